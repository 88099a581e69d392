"""Names that others chose, in every command, on a terminal: they are shown, and nothing obeys."""

import csv
import io
import json
import os
import pickle
import pty
import re
import shutil
import sys
import threading
import tty
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from contestants import make_card, make_network
from PIL import Image

from svmcifar.cli import main
from svmcifar.data.registry import open_dataset

NAMES = [
    "\x1b[31mred\x1b]0;title\x07", "\0nul\x08\x7f", "\u202eevil\u2066", "\x9b31m", "\ttab",
    "=1+1", "+1", "-1", "@SUM(A1)", "'; --", "<script>alert(1)</script>", "</text><b>&amp;\"'",
    "$\\frac{$x^$", "{{7*7}}", "x" * 5000, "模型", "a,b;\"c\"", "\\x1b", "", " ", "\ufeffbom",
    "\ue000\ufffe\uffff", "\U000e0041tag", "e\u0301", "مرحبا",
]  # fmt: skip
# What may be printed besides visible text: carriage returns begin each state of a progress bar.
FORBIDDEN = re.compile(r"[\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


pytestmark = pytest.mark.usefixtures("folder")


@pytest.fixture(scope="module")
def data(synthetic_folder, tmp_path_factory):
    """The small synthetic data set, with other names of classes."""
    folder = tmp_path_factory.mktemp("hostile") / "cifar-100-python"
    shutil.copytree(synthetic_folder, folder)
    (folder / "SYNTHETIC.md5").unlink()
    fine = [*NAMES, *(f"class {i}" for i in range(100 - len(NAMES)))]
    fields = {"fine_label_names": fine, "coarse_label_names": NAMES[:20]}
    (folder / "meta").write_bytes(pickle.dumps(fields, protocol=4))
    return "--data", folder, "--skip-md5"


@pytest.fixture(scope="module")
def model(data, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "a.skops"
    on_terminal(
        "train",
        *data,
        "--labels",
        "fine",
        "--limit",
        100,
        "--label-csv",
        path.with_suffix(".csv"),
        "--out",
        path,
    )
    return path


def on_terminal(*arguments, status=0):
    """Run a command on a pseudo-terminal; return what it printed, which must be harmless."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    printed = []

    def read():
        while not printed or not printed[-1].endswith(b"\4"):
            printed.append(os.read(master, 65536))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    with pytest.MonkeyPatch.context() as patch, open(slave, "w", encoding="utf-8") as screen:
        patch.setattr(sys, "stdout", screen)
        patch.setattr(sys, "stderr", screen)
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments], prog_name="svmcifar")
        screen.write("\n\4")
        screen.flush()
        reader.join()
    os.close(master)
    text = b"".join(printed).decode().removesuffix("\n\4")
    assert end.value.code == status, text
    assert not FORBIDDEN.findall(text)
    assert len(max(text.split("\n"), key=len)) < 20_000
    return text


def assert_valid(path):
    """Assert that a file is what its suffix says, and that nothing in it is obeyed."""
    if path.suffix in (".png", ".pdf", ".skops"):
        return
    if path.suffix == ".npz":
        with np.load(path) as arrays:  # refuses pickles
            assert all(re.fullmatch(r"[a-z0-9/_]+", name) for name in arrays)
            assert all(array.dtype.kind in "iufU" for array in arrays.values())
        return
    text = path.read_bytes().decode()
    if path.suffix == ".json":
        json.loads(text)
        assert not FORBIDDEN.findall(text)
    elif path.suffix == ".svg":
        assert not [e for e in ET.fromstring(text).iter() if e.tag.endswith(("script", "}b"))]
    elif path.suffix == ".csv":
        rows = list(csv.reader(io.StringIO(text)))
        assert len({len(row) for row in rows}) == 1
        is_number = re.compile(r"-?[\d.]+(e-?\d+)?").fullmatch
        assert not [
            c for row in rows for c in row if c[:1] in "=+-@\t\r" and c and not is_number(c)
        ]
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", text)
    elif path.suffix == ".html":
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\ufffe\uffff]|<script|<b>&amp;", text)
        assert len(text) < 10**7


def test_a_data_set(data, folder):
    assert "from modified CIFAR-100" in on_terminal("build-labels", *data, "--out", "map.csv")
    assert_valid(folder / "map.csv")
    on_terminal("train", *data, "--limit", 100, "--label-csv", "map.csv")
    grid = ("--features", "raw", "--pca", 5, "--limit", 300, "--C", "1", "--gamma", "1x")
    on_terminal("tune", *data, *grid, "--table", "a.csv", "--heatmap", "a.svg")
    for path in folder.glob("a.*"):
        assert_valid(path)


def test_a_model(data, model, folder):
    text = on_terminal("evaluate", model, *data, "--json", "a.json", "--figure", "a.svg")
    assert r"\x1b[31mred\x1b]0;title\x07" in text
    assert r"\u202eevil\u2066" in text
    on_terminal("show", model, *data, "--out", "b.svg")
    on_terminal("show", model, *data, "--out", "b.pdf")
    on_terminal("predict", model, *data, "--out", "a.csv")
    on_terminal("info", model)
    json.loads(on_terminal("info", model, "--json"))
    for path in folder.iterdir():
        assert_valid(path)


FILES = ["\x1b[31m\u202e.png", "=1.png", "a\nb\rc.png", "模型.png", os.fsdecode(b"caf\xe9.png")]


def test_image_files(model, folder):
    for name in FILES:
        Image.new("RGB", (8, 8)).save(folder / name)
    text = on_terminal("predict", model, *FILES)
    assert r"\x1b[31m\u202e.png," in text
    assert r"caf\xe9.png," in text
    on_terminal("predict", model, *FILES, "--out", "a.csv")
    content = (folder / "a.csv").read_bytes()
    piped = CliRunner().invoke(main, ["predict", str(model), *FILES])
    assert piped.stdout_bytes == content
    assert content.count(b"caf\xe9.png") == 1
    assert b"'=1.png," in content


@pytest.mark.parametrize("name", ["\x1b[31m\u202e", "a\rb", os.fsdecode(b"caf\xe9")])
def test_errors(data, model, name, folder):
    missing = name + ".png"
    assert on_terminal("predict", model, missing, status=1).startswith("Error: ")
    on_terminal("evaluate", name, *data, status=1)
    on_terminal("evaluate", model, "--data", name, status=1)
    on_terminal(name, status=2)
    on_terminal("train", f"--{name}", status=2)
    on_terminal("train", "--C", name, status=2)
    Path(name + ".toml").write_text('"\\u001b[31m" = 1')
    on_terminal("train", *data, "--config", name + ".toml", status=1)
    Path(name).mkdir()
    on_terminal("build-labels", *data, "--out", name, status=2)


@pytest.mark.parametrize("name", ["a\nb", "a\rb", "\ud800"])
def test_a_name_of_several_lines_is_refused_where_it_is_read(data, model, folder, name):
    copy = shutil.copytree(data[1], folder / "cifar-100-python")
    fields = pickle.loads((copy / "meta").read_bytes())
    fields["fine_label_names"][40] = name
    (copy / "meta").write_bytes(pickle.dumps(fields, protocol=4).replace(b"never", b""))
    for command in (["build-labels"], ["train"], ["evaluate", model], ["show", model]):
        text = on_terminal(*command, "--data", copy, "--skip-md5", status=1)
        assert "'fine_label_names' must be" in text
    assert [path.name for path in folder.iterdir()] == ["cifar-100-python"]


@pytest.mark.parametrize("name", ["\x1b[31m<b>\u202e$x_{", os.fsdecode(b"caf\xe9")])
def test_a_network(data, model, folder, monkeypatch, name):
    dataset = open_dataset(data[1], check_md5=False)
    card = make_card(dataset) | {
        "device": NAMES[0], "versions": {NAMES[1]: NAMES[2]}, "created": NAMES[3],
        "recipe": dict(zip(NAMES, NAMES, strict=True)),
    }  # fmt: skip
    network = make_network(folder / f"{name}.onnx", 0, card)
    monkeypatch.setattr("svmcifar.cnn.checkpoint.load_network", lambda *_, **__: network)
    text = on_terminal("compare", "--cnn", name, "--svm", model, *data)
    assert text.count("Warning: figures show boxes") <= 1
    assert "Glyph" not in text
    for path in (folder / "report").rglob("*.*"):
        assert_valid(path)


def test_training_a_network(data, folder):
    tiny = ("--width", 1, "--epochs", 1, "--jobs", 1)
    on_terminal("train-cnn", *data, *tiny, "--out", "\x1b[31m\u202e.pth", "--figure", "a.svg")
    for path in folder.iterdir():
        if path.suffix in (".svg", ".json"):
            assert_valid(path)
