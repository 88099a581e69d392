"""The networks that come with the package are what their cards say."""

import json

import numpy as np
import pytest
from checkpoints import SHAPE
from clirun import run

from svmcifar.cnn.bundled import bundled_checkpoint
from svmcifar.cnn.checkpoint import load_network
from svmcifar.model.persistence import save_model

SUFFIXES = (".pth", ".onnx")


def count_right(network, split, coarse_of_fine):
    fine = network.predict_proba(split.images)
    coarse = np.zeros((len(fine), coarse_of_fine.max() + 1))
    np.add.at(coarse.T, coarse_of_fine, fine.T)
    n_fine = int((fine.argmax(1) == split.classes).sum())
    return n_fine, int((coarse.argmax(1) == split.labels["coarse"]).sum())


def coarse_of(split):
    coarse = np.empty(split.classes.max() + 1, dtype=np.int64)
    coarse[split.classes] = split.labels["coarse"]
    return coarse


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_network_answers_the_test_images_as_its_training_log_says(official_dataset, suffix):
    names = official_dataset.class_names("fine")
    network = load_network(bundled_checkpoint(synthetic=False).with_suffix(suffix), names, SHAPE)
    test = official_dataset.read_split("test")
    right = count_right(network, test, coarse_of(test))
    said = network.card["test"]
    assert (len(test.classes), *right) == (said["n"], said["fine_right"], said["coarse_right"])
    assert right[0] >= 6200
    assert network.card["data"]["md5s"] == official_dataset.md5s
    assert network.card["validation_rows"] == 0


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_synthetic_network_knows_synthetic_images(synthetic_data, suffix):
    names = synthetic_data.class_names("fine")
    network = load_network(bundled_checkpoint(synthetic=True).with_suffix(suffix), names, SHAPE)
    split = synthetic_data.read_split("test")
    fine, coarse = count_right(network, split, coarse_of(split))
    # 200 images; 92 % and 95 % of the 10,000 of the whole set.
    assert fine >= 165
    assert coarse >= 175
    assert network.card["data"]["synthetic"]


def test_compare_takes_it(synthetic_folder, train_small, tmp_path):
    save_model(train_small(), tmp_path / "model.skops")
    arguments = ("--cnn", "--svm", tmp_path / "model.skops", "--out", tmp_path / "report")
    run("compare", *arguments, "--data", synthetic_folder)
    content = json.loads((tmp_path / "report/report.json").read_text())
    assert content["models"][0]["file"] == "synthetic-w8.onnx"
    assert content["scores"]["fine"]["cnn"]["n_correct"] >= 165


def test_both_files_of_the_network_together_are_under_8_megabytes():
    path = bundled_checkpoint(synthetic=False)
    assert 0 < sum(path.with_suffix(suffix).stat().st_size for suffix in SUFFIXES) < 8e6
