"""The card beside a model file."""

import re
from dataclasses import replace

import numpy as np
import pytest

from svmcifar import load_model
from svmcifar.model.card import card_path, write_card
from svmcifar.model.persistence import save_model

HOSTILE = [
    "<script>alert(1)</script>",
    "a|b",
    "[click](https://evil.example)",
    "# title\n## another",
    "`code`",
    "![x](http://evil.example/x.png)",
    "www.evil.example",
    "\x1b[31mred",
]


@pytest.fixture(scope="module")
def model(train_small):
    return train_small(limit=200)


def rows(text, title):
    """The cells of the table under a title, without its head."""
    table = text.partition(f"## {title}\n")[2].lstrip("\n").partition("\n\n")[0].splitlines()
    assert all(line.startswith("|") and line.endswith("|") for line in table)
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table[2:]]


def test_it_says_how_the_model_was_made_and_how_to_load_it(model, tmp_path, monkeypatch):
    path = tmp_path / "a b.skops"
    save_model(model, path)
    write_card(model, path, (50, 200))
    text = card_path(path).read_text(encoding="utf-8")
    assert card_path(path).name == "a b.skops.md"
    titles = re.findall("^#+ (.*)", text, re.MULTILINE)
    comment = "uint8, a row an image of 3 x 32 x 32 values, one channel after the other"
    assert titles[1:] == ["Accuracy", "Use", comment, "How it was made", "Classes"]
    told = dict(rows(text, "How it was made"))
    assert told["content hash"] == model.manifest.content_hash
    assert told["samples"] == "200 x 3072, drawn"
    assert "C=1.0" in told["parameters"]
    assert "25.00% of 200 training images that were left out (95 % interval " in text
    assert "SYNTHETIC: it is of no use for others" in text
    assert [int(number) for number, _ in rows(text, "Classes")] == list(range(20))
    (code,) = re.findall("```python\n(.*?)```", text, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    ran = {"images": np.zeros((1, 3072), dtype=np.uint8)}
    exec(code, ran)
    assert ran["names"][0] in model.class_names
    assert load_model(path).manifest.content_hash == told["content hash"]


def test_without_images_left_out_there_is_no_accuracy(model, tmp_path):
    save_model(model, tmp_path / "a.skops", slim=True)
    write_card(model, tmp_path / "a.skops")
    text = (tmp_path / "a.skops.md").read_text(encoding="utf-8")
    assert "Not measured when it was trained" in text
    assert "each use needs the training images too" in text


def test_names_of_others_are_text(model, tmp_path):
    """No name makes markup, a row or a line of its own."""
    source = replace(model.manifest.data, label=HOSTILE[0])
    hostile = replace(model, class_names=HOSTILE, manifest=replace(model.manifest, data=source))
    path = tmp_path / "```\n# x <b> |.skops"
    write_card(hostile, path)
    text = card_path(path).read_text(encoding="utf-8")
    assert [int(number) for number, _ in rows(text, "Classes")] == list(range(len(HOSTILE)))
    assert len(dict(rows(text, "How it was made"))) == 18
    assert "<script" not in text
    assert "\x1b" not in text
    assert not re.search(r"(?<!\\)\]\(|(?<!\\)`code|(?<!\\)://|www\.evil", text)
    titles = [line for line in text.splitlines() if line.startswith("#")]
    assert len(titles) == 6
    assert text.count("\n```") == 2
