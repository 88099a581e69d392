"""Each kind of data set goes through every command."""

import csv
import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from clirun import fail, run
from picturefiles import (
    CIFAR_NAMES,
    NAMES,
    draw,
    write_cifar10,
    write_folder,
    write_npz,
    write_parquet,
)
from PIL import Image

from svmcifar.cli import main
from svmcifar.features import cache


def write(kind, folder):
    """Write a data set; return what --data names."""
    if kind == "cifar10":
        return write_cifar10(folder / "cifar-10-batches-py")
    if kind == "npz":
        return write_npz(folder / "drawn.npz")
    if kind == "parquet":
        return write_parquet(folder / "hub" / "cifar100")
    place = write_folder(folder / "photos", 60, 15)  # 300 pictures
    return place if kind == "folder" else shutil.move(place / "train", folder / "one")


@pytest.mark.parametrize("kind", ["cifar10", "folder", "one-folder", "npz", "parquet"])
def test_the_whole_road(kind, folder):
    place = write(kind, folder)
    data = ("--data", place)
    above = kind in ("folder", "parquet")
    classes = CIFAR_NAMES if kind == "cifar10" else NAMES
    n_test = {"folder": 60, "one-folder": 48}.get(kind, 40)

    out = run("train", *data, "--preset", "raw", "--probability", "--out", "a.skops", "--slim")
    assert f"labels       {'coarse' if above else 'fine'}\n" in out
    assert f"next         svmcifar evaluate a.skops --data {place}" in out
    run("tune", *data, "--labels", "fine", "--C", "1,10", "--gamma", "1x", "--out", "best.toml")
    run("train", *data, "--config", "best.toml", "--out", "b.skops")
    assert not (folder / "data").exists(), "no map of superclasses but that of CIFAR-100"

    for model in ("a.skops", "b.skops"):
        run("evaluate", model, *data, "--json", "scores.json", "--overwrite")
        scores = json.loads((folder / "scores.json").read_text())
        assert scores["scores"]["accuracy"] > 0.9
        assert (scores["superclass_scores"] is None) == (not above or model == "a.skops")
    assert "9 of 9 right" in run("show", "b.skops", *data)
    run("predict", "b.skops", *data, "--out", "test.csv")
    rows = list(csv.DictReader((folder / "test.csv").open(encoding="utf-8")))
    assert len(rows) == n_test
    assert {row["true_name"] for row in rows} <= set(classes)
    Image.fromarray(draw(1, np.random.default_rng(9), 70, 50)).save("new.png")
    assert f",{classes[1]}\n" in run("predict", "b.skops", "new.png")

    narrow = ("--width", 4, "--epochs", 1, "--batch-size", 32, "--figure", "curves.svg")
    out = run("train-cnn", *data, *narrow, "--precision", "float32")
    assert ("superclasses" in out) == above
    card = json.loads((folder / "model.json").read_text())
    assert any("coarse" in key for key in card["history"][0]) == above
    assert ("coarse_right" in card["test"]) == above
    assert ("superclasses" in (folder / "curves.svg").read_text()) == above
    run("evaluate", "model.onnx", *data)

    network = ("--no-cnn",) if kind == "one-folder" else ("--cnn", "model.onnx")
    run("compare", *data, *network, "--svm", "a.skops", "--svm", "b.skops")
    page = (folder / "report" / "report.html").read_text(encoding="utf-8")
    assert ("uperclass" in page) == above
    report = json.loads((folder / "report" / "report.json").read_text())
    assert set(report["scores"]) == ({"coarse", "fine"} if above else {"fine"})
    assert "other data" not in " ".join(report["limits"])
    for path in (folder / "report").rglob("*.csv"):
        text = path.read_text(encoding="utf-8")
        assert above or ("coarse" not in text and "superclass" not in text)
    message = fail("compare", *data, "--svm", "a.skops", "--out", "c")
    assert "network that comes with svmcifar is for the classes of CIFAR-100, got" in message

    if above:
        run("build-labels", *data, "--out", "labels.csv")
        assert f",{classes[0]},0," in (folder / "labels.csv").read_text(encoding="utf-8")
        run("train", *data, "--label-csv", "labels.csv", "--out", "c.skops", "--limit", 40)
    else:
        assert "must have superclasses, and" in fail("build-labels", *data)
        message = fail("train", *data, "--label-csv", "labels.csv", "--out", "c.skops")
        assert "--label-csv is of superclasses, and" in message
        message = fail("train", *data, "--labels", "coarse", "--out", "c.skops")
        assert "has none; pass --labels fine" in message
    assert place.name in run("info", "b.skops") or kind == "cifar10"


@pytest.fixture
def photos(folder):
    return write_folder(folder / "photos", 12, 3, superclasses=False)


def test_models_remember_how_their_pictures_were_read(photos, folder):
    one = ("--data", photos / "train")
    asked = ("--resize", 20, "--split-seed", 3)
    run("train", *one, *asked, "--features", "hog", "--out", "a.skops", "--slim")
    run("train", *one, *asked, "--out", "b.skops")
    manifest = json.loads(run("info", "a.skops", "--json"))
    assert manifest["data"]["image_shape"] == [3, 20, 20]
    assert manifest["data"]["split_seed"] == 3
    run("evaluate", "a.skops", *one)
    run("show", "b.skops", *one)
    run("predict", "b.skops", photos / "test")
    run("compare", *one, "--no-cnn", "--svm", "a.skops", "--svm", "b.skops")
    run("predict", "b.skops", *one)
    files = {row["file"] for row in csv.DictReader((folder / "predictions.csv").open())}
    report = json.loads((folder / "report" / "report.json").read_text())
    assert {image["filename"] for image in report["grid"]} <= files
    again = {"show": ("--overwrite",), "predict": ("--overwrite",)}
    for command in ("evaluate", "show", "predict"):
        message = fail(command, "b.skops", *one, "--resize", 24, *again.get(command, ()))
        assert "trained on 20 x 20 pixels, got 24 x 24 of" in message
        assert message.endswith("pass --resize 20")
    message = fail("evaluate", "a.skops", *one, "--split-seed", 4)
    assert "a slim model needs the data set it was trained on" in message


def test_cached_features_are_of_the_same_pictures(photos, folder, monkeypatch):
    """Not of another data set of the same shape, nor of the folder before it changed."""
    monkeypatch.setattr(cache, "open_cache", lambda: cache.FeatureCache("cache", 10**8, least_s=0))
    monkeypatch.setenv("SVMCIFAR_CACHE", str(folder / "cache"))

    def is_found(command, *arguments):
        result = CliRunner().invoke(main, [command, *map(str, arguments)], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return "cache: features found in cache, not computed" in result.stderr

    def trains_on(place, *options):
        return is_found("train", "--data", place, "--features", "hog", "--overwrite", *options)

    others = write_folder(folder / "others", 12, 3, seed=1, superclasses=False)
    assert [trains_on(photos), trains_on(photos), trains_on(others)] == [False, True, False]
    assert [trains_on(photos, "--resize", size) for size in (32, 30)] == [True, False]
    run("train", "--data", photos, "--features", "hog", "--no-cache", "--overwrite")
    scored = ("evaluate", "model.skops", "--data", photos)
    assert [is_found(*scored), is_found(*scored)] == [False, True]
    for part in ("train", "test"):
        picture = photos / part / NAMES[2] / "002.jpg"
        Image.open(picture).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(picture)
    assert not is_found(*scored)
    assert not trains_on(photos)
    assert " entries\n" in run("cache", "info")
    assert run("cache", "clear").startswith("freed ")
    assert not trains_on(photos)


def test_networks_of_one_size(photos):
    message = fail("train-cnn", "--data", photos, "--resize", 28)
    assert "must have the 32 x 32 pixels that the network takes, got 28 x 28" in message


@pytest.mark.parametrize("preset", ["raw", "hog", "patches-small"])
@pytest.mark.parametrize("size", [12, 40])
def test_presets_for_other_sizes(photos, preset, size):
    filters = ("--filters", 10) if preset.startswith("patches") else ()
    out = run("train", "--data", photos, "--resize", size, "--preset", preset, *filters)
    assert "48 samples" in out or "images and mirror images" in out
    run("evaluate", "model.skops", "--data", photos)


def test_features_that_do_not_fit_small_pictures(photos):
    message = fail("train", "--data", photos, "--resize", 4, "--features", "patches")
    assert message.startswith("Error: ")


def test_pictures_that_cannot_be_read_are_listed_before_the_error(photos, folder):
    for name in ("a.png", "b\x1b[31m.png"):
        (photos / "train" / NAMES[0] / name).write_text("no picture")
    result = CliRunner().invoke(main, ["train", "--data", str(photos)])
    assert result.exit_code == 1
    *notes, last = result.stderr.splitlines()[-3:]
    assert "b\\x1b[31m.png: must be an image file" in notes[1]
    assert "a.png: must be an image file" in notes[0]
    assert "\x1b" not in result.stderr
    assert last.startswith(f"Error: {photos}: every picture must be readable, got 2 of 50")
    assert not (folder / "model.skops").exists()


def test_kinds_are_those_of_the_registry():
    from svmcifar.data.dataset import DATASET_WORDS
    from svmcifar.data.registry import DATASETS

    assert tuple(DATASETS) == DATASET_WORDS


def test_dataset_says_which_kind(photos):
    assert "must be a folder that holds data_batch_1" in fail(
        "train", "--data", photos, "--dataset", "cifar10"
    )
    out = run("train", "--data", photos, "--dataset", "folder")
    assert f"--data {photos} --dataset folder" in out
    message = fail("train", "--dataset", "folder", "--out", "b.skops")
    assert "must be named, got no place of a folder; name it with --data" in message


def test_download_of_cifar10(folder, monkeypatch):
    from svmcifar.data import download

    asked = []
    monkeypatch.setattr(
        download, "download_dataset", lambda data, description: asked.append(description) or data
    )
    assert run("download", "--dataset", "cifar10").startswith("CIFAR-10: ")
    assert run("download").startswith("CIFAR-100: ")
    assert [about.name for about in asked] == ["CIFAR-10", "CIFAR-100"]
    message = fail("download", "--dataset", "cifar10", "--synthetic", exit_code=2)
    assert "--synthetic makes a stand-in for CIFAR-100" in message
