import json
import os
import subprocess
import sys
from math import nan

import pytest

from svmcifar.cnn.model_card import (
    REFERENCE_NORMALISATION,
    Normalisation,
    card_path,
    make_card,
    read_card,
    read_normalisation,
)
from svmcifar.errors import CheckpointError

SHA256 = "ab" * 32


@pytest.fixture
def checkpoint(tmp_path):
    return tmp_path / "model.pth"


@pytest.fixture
def write(checkpoint):
    """Write a card beside the checkpoint, from an object or as text."""

    def written(card):
        text = card if isinstance(card, str) else json.dumps(card)
        card_path(checkpoint).write_text(text)
        return checkpoint

    return written


def test_made_card_is_read_back(write):
    card = make_card(
        class_names=("apple", "worm"),
        recipe={"width": 16, "epochs": 2},
        history=[{"epoch": 1, "train_loss": 3.5}, {"epoch": 2, "train_loss": 3.25}],
        training_s=12.5,
        training_cpu_s=nan,
        device="a processor, 2 threads",
        validation_rows=5000,
        test={"n": 10000, "fine_right": 6000, "coarse_right": 7300},
        data={"label": "CIFAR-100", "synthetic": False, "md5s": {"train": "16019d"}},
    )
    assert card["format"] == 1
    assert card["classes"] == ["apple", "worm"]
    assert card["normalisation"] == {
        "mean": [0.4914, 0.4822, 0.4465],
        "std": [0.2023, 0.1994, 0.2010],
    }
    assert card["history"][1] == {"epoch": 2, "train_loss": 3.25}
    assert card["test"]["coarse_right"] == 7300
    assert card["versions"]["svmcifar"]
    assert card["training_cpu_s"] is None  # of a part of the training it is not known
    assert card["host"]["cores"] == os.cpu_count()
    assert {"created", "git_commit", "recipe", "training_s", "device", "data"} < set(card)
    assert read_card(write(card), SHA256) == card


def test_no_card(checkpoint):
    assert read_card(checkpoint, SHA256) is None


def test_both_files_share_a_card(checkpoint):
    assert card_path(checkpoint) == card_path(checkpoint.with_suffix(".onnx"))
    assert card_path(checkpoint).name == "model.json"


def test_a_card_may_say_no_more_than_its_format(write):
    assert read_card(write({"format": 1}), SHA256) == {"format": 1}


@pytest.mark.parametrize("name", ["model.pth", "renamed.pth"])
def test_hash_of_the_checkpoint(write, name):
    files = {"model.onnx": {"sha256": "0" * 64}, name: {"sha256": SHA256}}
    card = {"format": 1, "files": files}
    assert read_card(write(card), SHA256) == card
    files[name]["sha256"] = "cd" * 32
    with pytest.raises(CheckpointError, match=r"model.json: a card must be of the checkpoint") as e:
        read_card(write(card), SHA256)
    assert "cdcdcd" in str(e.value)
    assert "abababababab..." in str(e.value)


def test_the_other_file_s_hash_does_not_matter(write):
    card = {"format": 1, "files": {"model.onnx": {"sha256": "0" * 64}}}
    assert read_card(write(card), SHA256) == card


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ("", "readable JSON"),
        ('{"format": 1', "readable JSON"),
        ("[" * 100_000, "readable JSON"),
        ("[1]", "'format' number, got None"),
        ({}, "'format' number, got None"),
        ({"format": "1"}, "'format' number, got '1'"),
        ({"format": True}, "'format' number, got True"),
        ({"format": 0}, "'format' number, got 0"),
        ({"format": 2}, "at most 1, got 2; upgrade"),
        ({"format": 1, "classes": "apple"}, "'classes', got 'apple'"),
        ({"format": 1, "classes": ["apple", 7]}, "'classes', got 7"),
        ({"format": 1, "history": {}}, "'history'"),
        ({"format": 1, "training_s": -5.0}, "'training_s' from 0 to .*, got -5.0"),
        ({"format": 1, "training_s": 10**400}, "'training_s' from 0 to .*, got 1000"),
        ({"format": 1, "training_s": True}, "'training_s' from 0 to .*, got True"),
        ({"format": 1, "history": [{"seconds": -1}]}, "'history 0: seconds' from 0"),
        ({"format": 1, "history": [{}, {"train_accuracy": 50.0}]}, "accuracy' from 0 to 1, got 50"),
        ({"format": 1, "history": [[]]}, "'history'"),
        ({"format": 1, "training_s": "long"}, "'training_s', got 'long'"),
        ({"format": 1, "device": 3}, "'device'"),
        ({"format": 1, "recipe": []}, "'recipe'"),
        ({"format": 1, "data": None}, "'data'"),
        ({"format": 1, "test": 66.4}, "'test'"),
        ({"format": 1, "files": []}, "'files'"),
        ({"format": 1, "files": {"a.pth": 7}}, "SHA-256 '7'"),
        ({"format": 1, "files": {"a.pth": {}}}, "SHA-256 'None'"),
        ({"format": 1, "normalisation": {"mean": [0.5] * 3}}, "'normalisation'"),
    ],
)
def test_bad_cards(write, card, message):
    with pytest.raises(CheckpointError, match=message) as error:
        read_card(write(card), SHA256)
    assert "model.json: " in str(error.value)
    assert "\n" not in str(error.value)


def test_a_folder_in_the_card_s_place(checkpoint):
    card_path(checkpoint).mkdir()
    with pytest.raises(CheckpointError, match="readable JSON"):
        read_card(checkpoint, SHA256)


def test_read_normalisation():
    value = {"mean": [0.5, 0, 1], "std": [0.25, 1, 2]}
    assert read_normalisation("x", value) == Normalisation((0.5, 0.0, 1.0), (0.25, 1.0, 2.0))
    value = {key: list(part) for key, part in REFERENCE_NORMALISATION._asdict().items()}
    assert read_normalisation("x", value) == REFERENCE_NORMALISATION


@pytest.mark.parametrize(
    "change",
    [
        {"mean": None}, {"mean": [0.5, 0.5]}, {"mean": [0.5, 0.5, "0.5"]}, {"std": [1, 1, 0]},
        {"std": [1, 1, -1]}, {"std": [1, 1, float("nan")]}, {"mean": [0, 0, float("inf")]},
        {"std": 1}, {"std": [1, 1, True]}, {"std": [1, 1, 10**400]},
        {"mean": {"a": 1, "b": 2, "c": 3}},
    ],
)  # fmt: skip
def test_bad_normalisation(change):
    with pytest.raises(CheckpointError, match=r"x.onnx: 'normalisation' must .* three numbers"):
        read_normalisation("x.onnx", {"mean": [0.5] * 3, "std": [0.25] * 3, **change})


def test_cards_need_no_torch():
    code = "import svmcifar.cnn.model_card, sys; assert not {'torch', 'onnx'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
