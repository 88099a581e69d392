"""`svmcifar predict`, `evaluate` and `show` on folders, patterns and lists, and with networks."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from clirun import fail, run
from datafiles import to_pictures
from PIL import Image

from svmcifar.cli import main
from svmcifar.cnn.bundled import bundled_checkpoint
from svmcifar.cnn.checkpoint import load_network
from svmcifar.metrics.losses import calibrate
from svmcifar.model.persistence import load_model, save_model

TRUNCATED = "image file is truncated"


@pytest.fixture(autouse=True)
def in_folder(folder, split):
    """Four images, one of them in a folder within, and two that cannot be read."""
    (folder / "photos/sub").mkdir(parents=True)
    for name, picture in zip(NAMES, to_pictures(split.images[:4]), strict=True):
        Image.fromarray(picture).save(folder / "photos" / name)
    return folder


NAMES = ("a.png", "b.png", "d.png", "sub/e.png")


@pytest.fixture(scope="module")
def split(synthetic_data):
    return synthetic_data.read_split("test")


@pytest.fixture(scope="module")
def model_path(train_small, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.skops"
    save_model(train_small(label_kind="fine"), path)
    return path


@pytest.fixture(scope="module")
def network(synthetic_data):
    names = synthetic_data.class_names("fine")
    return load_network(bundled_checkpoint(synthetic=True), names, synthetic_data.image_shape)


def spoil(*names):
    whole = Path("photos/a.png").read_bytes()
    for name in names:
        Path("photos", name).write_bytes(whole[:400])


def rows(output):
    return [line.split(",") for line in output.splitlines()[1:]]


@pytest.mark.parametrize("place", ["photos", "photos/**/*.png"])
def test_folders_and_patterns(model_path, split, place):
    expected = load_model(model_path).predict(split.images[:4]).tolist()
    shown = rows(run("predict", model_path, place))
    assert [row[0] for row in shown] == [f"photos/{name}" for name in NAMES]
    assert [int(row[1]) for row in shown] == expected


@pytest.mark.parametrize("source", ["list.txt", "-"])
def test_files_from_a_list(model_path, source):
    listed = b"photos/b.png\n\nphotos/sub\r\n" + b"photos/caf\xe9.png\n"
    shutil.copy("photos/a.png", b"photos/caf\xe9.png")
    Path("list.txt").write_bytes(listed)
    result = CliRunner().invoke(
        main, ["predict", str(model_path), "--files-from", source], input=listed
    )
    assert result.exit_code == 0, result.output
    names = [row[0] for row in rows(result.stdout_bytes.decode("utf-8", "surrogateescape"))]
    assert names == ["photos/b.png", "photos/sub/e.png", "photos/caf\udce9.png"]


def test_an_empty_list(model_path):
    Path("list.txt").write_text("\n")
    error = fail("predict", model_path, "--files-from", "list.txt", exit_code=2)
    assert "--files-from names no image." in error


def test_one_bad_file_has_no_row_and_its_reason(model_path):
    spoil("c.png")
    result = CliRunner().invoke(main, ["predict", str(model_path), "photos"])
    assert result.exit_code == 1
    assert [row[0] for row in rows(result.stdout)] == [f"photos/{name}" for name in NAMES]
    (error,) = result.stderr.splitlines()
    assert error.startswith("Error: photos/c.png: the image must be readable, got '")


def test_bad_files_are_listed_in_the_end(model_path):
    spoil("c.png", "sub/d.png")
    result = CliRunner().invoke(
        main, ["predict", str(model_path), "photos", "missing.jpg", "--out", "p.csv"]
    )
    assert result.exit_code == 1
    assert pd.read_csv("p.csv").file.tolist() == [f"photos/{name}" for name in NAMES]
    assert result.stdout == "p.csv: 4 predictions (SYNTHETIC)\n"
    *listed, error = result.stderr.splitlines()
    assert [line.split(":")[0] for line in listed] == [
        "photos/c.png", "photos/sub/d.png", "missing.jpg",
    ]  # fmt: skip
    assert error == "Error: 3 of 7 images could not be read, see above; the others are predicted"


def test_nothing_is_written_of_bad_files_alone(model_path):
    spoil("x.png", "y.png")
    error = fail("predict", model_path, "photos/x.png", "photos/y.png", "--out", "p.csv")
    assert error == "Error: 2 of 2 images could not be read, see above; name others"
    assert not Path("p.csv").exists()


def test_help_says_what_becomes_of_bad_files():
    text = " ".join(run("predict", "--help").split())
    for words in (
        "in folders within", "has no row", "exit code is 1", "'photos/*.jpg'", "179 megapixels",
        "'bundled'",
    ):  # fmt: skip
        assert words in text


def test_a_network_predicts_files(network, split, synthetic_folder):
    p = network.predict_proba(split.images[:4])
    shutil.copy(network.path, "net.onnx")
    data = ("--data", synthetic_folder)
    for model, more in (("bundled", data), (network.path, ()), ("net.onnx", data)):
        shown = rows(run("predict", model, "photos", "--top", 2, *more))
        assert [int(row[1]) for row in shown] == p.argmax(axis=1).tolist()
        assert [float(row[5]) for row in shown] == pytest.approx(p.max(axis=1), abs=1e-6)
        assert [row[2] for row in shown] == [network.class_names[i] for i in p.argmax(axis=1)]
    error = fail("predict", "net.onnx", "photos")  # without a card nobody knows its classes
    assert "no card beside it has them; pass --data" in error
    error = fail("predict", "none.pth", "photos")
    assert "none.pth: the network's file must exist" in error


def test_a_network_predicts_a_split(network, split, synthetic_folder):
    run("predict", network.path, "--data", synthetic_folder)
    table = pd.read_csv("predictions.csv")
    assert table.predicted_id.tolist() == network.predict_proba(split.images).argmax(1).tolist()
    assert table.true_id.tolist() == split.labels["fine"].tolist()


def test_a_network_is_evaluated(network, split, synthetic_folder, synthetic_data):
    output = run("evaluate", "bundled", "--data", synthetic_folder, "--json", "s.json")
    content = json.loads(Path("s.json").read_text())
    p = network.predict_proba(split.images).astype(float)
    y = split.labels["fine"]
    scores = content["scores"]
    assert scores["accuracy"] == (p.argmax(axis=1) == y).mean()
    assert scores["log_loss"] == pytest.approx(-np.log(p[np.arange(200), y]).mean())
    assert scores["hinge_loss"] is None
    of_superclass = synthetic_data.superclass_of
    mapped = of_superclass[p.argmax(axis=1)]
    summed = (p @ np.eye(20)[of_superclass]).argmax(axis=1)
    coarse = split.labels["coarse"]
    for rule, ids in (("superclass_scores", mapped), ("summed_superclass_scores", summed)):
        assert content[rule]["accuracy"] == (ids == coarse).mean()
    assert f"mapped up to superclasses: accuracy {(mapped == coarse).mean():.2%}" in output
    assert f"probabilities summed by superclass: accuracy {(summed == coarse).mean():.2%}" in output


def test_an_svm_has_superclasses_both_ways(model_path, split, synthetic_folder, synthetic_data):
    run("evaluate", model_path, "--data", synthetic_folder, "--json", "s.json")
    decisions = load_model(model_path).predict_with_decisions(split.images)[1]
    p = np.exp(calibrate(split.labels["fine"], decisions)[0])
    summed = (p @ np.eye(20)[synthetic_data.superclass_of]).argmax(axis=1)
    content = json.loads(Path("s.json").read_text())
    expected = (summed == split.labels["coarse"]).mean()
    assert content["summed_superclass_scores"]["accuracy"] == expected


def test_a_network_is_shown(synthetic_folder):
    assert "of 9 right" in run("show", "bundled", "--data", synthetic_folder, "--out", "g.svg")


@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_a_network_stays_on_the_cpu(command, synthetic_folder, monkeypatch):
    monkeypatch.setattr("svmcifar.cli.options.wants_gpu", lambda device: True)
    error = fail(command, "bundled", "--data", synthetic_folder, "--device", "gpu")
    assert error == "Error: bundled: a network predicts on the CPU; leave out --device"
