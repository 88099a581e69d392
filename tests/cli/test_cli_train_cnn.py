import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from clirun import fail, run
from PIL import Image

from svmcifar.cli import main, train_cnn
from svmcifar.cnn import train as train_module
from svmcifar.cnn import training_loop
from svmcifar.cnn.checkpoint import load_network
from svmcifar.compute import progress

TINY = ["--width", 1, "--epochs", 2, "--validation", 0.2, "--jobs", 1]


@pytest.fixture(autouse=True)
def folder(training_folder):
    return training_folder


@pytest.fixture
def train(synthetic_folder):
    """Run train-cnn on the small synthetic data set; a command that fails gives its error."""

    def train(*arguments, ends=run):
        return ends("train-cnn", "--data", synthetic_folder, *TINY, *arguments)

    return train


def stop_at(monkeypatch, n_batches):
    """Press Ctrl-C in the batch of that number."""
    augment, done = training_loop.augment_batch, []

    def augment_batch(*args):
        done.append(1)
        if len(done) == n_batches:
            raise KeyboardInterrupt
        return augment(*args)

    monkeypatch.setattr(training_loop, "augment_batch", augment_batch)


def count_right(network, data):
    """Count classes and superclasses that a saved network gets right, by plain NumPy."""
    test = data.read_split("test")
    chances = network.predict_proba(test.images).astype(float)
    coarse_of_fine = [test.labels["coarse"][test.classes == k][0] for k in range(100)]
    summed = np.zeros((len(chances), 20))
    for k in range(100):
        summed[:, coarse_of_fine[k]] += chances[:, k]
    fine_right = (chances.argmax(1) == test.classes).sum()
    return {
        "n": 200,
        "fine_right": fine_right,
        "coarse_right": (summed.argmax(1) == test.labels["coarse"]).sum(),
    }


def test_tells_what_it_did(train, folder):
    output = train("--learning-rate", 0.02, "--epochs", 3)
    for expected in (
        "data         SYNTHETIC stand-in",
        "1 threads",
        "model.state after each epoch; --resume goes on from it",
        "\nepoch 1/3  train: loss ",
        "\nepoch 3/3  train: loss ",
        "  validation: loss ",
        "100 images held out",
        "of 200 images in their superclasses (95 % interval",
        "trained on SYNTHETIC data",
    ):
        assert expected in output
    assert output.count("\nepoch ") == 3
    assert {path.name for path in folder.iterdir()} == {"model.pth", "model.onnx", "model.json"}


def test_progress_is_in_batches_and_counts_those_before_a_stop(synthetic_folder, monkeypatch):
    counted = []

    class Stages(list):
        def remove(self, ended):
            counted.append((ended.name, ended.done, ended.total))

    monkeypatch.setattr(progress, "_under_way", Stages())
    arguments = ["train-cnn", "--data", str(synthetic_folder), *map(str, TINY)]
    with monkeypatch.context() as patch:
        stop_at(patch, 6)
        CliRunner().invoke(main, arguments)
    assert ("training", 5, 8) in counted
    CliRunner().invoke(main, [*arguments, "--resume"])
    assert ("training", 8, 8) in counted


@pytest.mark.parametrize("options", [[], ["--half"]])
def test_card_has_the_scores_of_the_weights_as_saved(train, synthetic_data, folder, options):
    train("--learning-rate", 0.02, "--epochs", 3, "--out", "runs/net.pth", *options)
    names = synthetic_data.class_names("fine")
    card = json.loads((folder / "runs/net.json").read_text())
    for suffix in (".pth", ".onnx"):
        network = load_network(folder / f"runs/net{suffix}", names, synthetic_data.image_shape)
        assert card["test"] == count_right(network, synthetic_data)
        assert network.card == card
    assert card["test"]["fine_right"] > 0
    assert card["classes"] == list(names)
    assert card["architecture"] == {"name": "reference", "width": 1, "n_classes": 100}
    assert card["data"] == {
        "label": "SYNTHETIC stand-in", "synthetic": True, "md5s": synthetic_data.md5s,
        "image_shape": [3, 32, 32],
    }  # fmt: skip
    assert card["versions"]["torch"] == torch.__version__
    assert card["training_s"] == sum(entry["seconds"] for entry in card["history"])
    assert card["training_cpu_s"] == sum(entry["cpu_seconds"] for entry in card["history"]) > 0
    assert card["host"]["processor"]
    assert card["validation_rows"] == 100
    assert len(card["history"]) == 3


def test_half_is_half_the_size_and_rounded(train, folder):
    train()
    train("--half", "--out", "half.pth")
    for suffix in (".pth", ".onnx"):
        ratio = (folder / f"half{suffix}").stat().st_size / (
            folder / f"model{suffix}"
        ).stat().st_size
        assert ratio < 0.8
    weights = torch.load("half.pth", weights_only=True)
    assert weights["classifier.2.weight"].dtype == torch.float16


def test_half_is_tested_as_it_is_stored(train, folder, monkeypatch):
    tested = []
    count_right = lambda network, *_: tested.append(network) or {"fine": 1, "coarse": 2}  # noqa: E731
    monkeypatch.setattr(train_module, "count_right", count_right)
    train("--half")
    weights = tested[0].state_dict()
    for name, stored in torch.load("model.pth", weights_only=True).items():
        assert torch.equal(stored.float(), weights[name].float())


def test_options_reach_the_recipe(train, folder):
    train(
        "--width", 2, "--epochs", 1, "--batch-size", 50, "--learning-rate", 0.003,
        "--weight-decay", 0, "--validation", 0, "--precision", "float32", "--device", "cpu",
        "--seed", 7, "--out", "a.pth",
    )  # fmt: skip
    card = json.loads((folder / "a.json").read_text())
    assert card["recipe"] == {
        "width": 2, "epochs": 1, "batch_size": 50, "max_learning_rate": 0.003,
        "weight_decay": 0.0, "validation": 0.0, "precision": "float32", "seed": 7,
        "arch": "reference", "settings": {}, "head": "standard", "image_size": None,
        "optimizer": "adam", "schedule": "one-cycle", "milestones": [], "label_smoothing": 0.0,
        "augment": "standard", "jitter": 1.0, "normalise": "cifar10", "keep": "last",
        "patience": None, "snapshots": 0, "weights": None, "head_epochs": 0,
        "head_learning_rate": 0.001, "preset": None,
    }  # fmt: skip
    assert card["validation_rows"] == 0
    assert "validation_loss" not in card["history"][0]
    assert card["device"].split(", ")[1].startswith("1 threads")


def test_defaults_are_the_references_recipe():
    defaults = {option.name: option.default for option in train_cnn.command.params}
    assert (defaults["width"], defaults["epochs"], defaults["batch_size"]) == (64, 50, 128)
    assert (defaults["max_learning_rate"], defaults["weight_decay"]) == (1e-3, 1e-3)
    assert defaults["validation"] == 0.1


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_auto_is_the_fastest_precision(train, folder, monkeypatch, precision):
    flags = {"avx512_bf16": precision == "bfloat16"}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: flags)
    train("--epochs", 1, "--device", "cpu")
    assert json.loads((folder / "model.json").read_text())["recipe"]["precision"] == precision


def test_stopped_training_goes_on_with_resume(train, tiny_dataset, folder, monkeypatch):
    train("--out", "whole.pth")
    with monkeypatch.context() as patch:
        stop_at(patch, 6)  # in the second epoch of 4 batches
        error = train(ends=fail)
    assert "stopped; model.state holds the training up to its last whole epoch" in error
    assert "--resume" in error
    assert {path.name for path in folder.glob("model*")} == {"model.state"}
    error = train(ends=fail)
    assert "model.state: a stopped training must not be lost" in error
    assert "--resume" in error
    assert "--overwrite" in error
    assert "got another seed" in train("--resume", "--seed", 1, ends=fail)
    assert "got another data" in train("--resume", "--data", tiny_dataset, ends=fail)
    output = train("--resume")
    assert "going on from model.state" in output
    assert "epoch 1/2" not in output
    assert "epoch 2/2" in output
    assert (folder / "model.pth").read_bytes() == (folder / "whole.pth").read_bytes()
    assert not (folder / "model.state").exists()


def test_stopped_training_can_be_dropped(train, folder, monkeypatch):
    with monkeypatch.context() as patch:
        stop_at(patch, 6)
        train(ends=fail)
    assert "epoch 1/2" in train("--seed", 1, "--overwrite")
    assert not (folder / "model.state").exists()


def test_stop_in_the_first_epoch(train, folder, monkeypatch):
    with monkeypatch.context() as patch:
        stop_at(patch, 2)
        assert "nothing to go on from" in train(ends=fail)
    assert not list(folder.iterdir())
    assert "epoch 1/2" in train("--resume")


def test_damaged_state(train, folder):
    (folder / "model.state").write_bytes(b"")
    assert "model.state: the state of a stopped training must be readable" in train(
        "--resume", ends=fail
    )
    assert (folder / "model.state").exists()


@pytest.mark.parametrize("name", ["model.pth", "model.onnx", "model.json", "curves.png"])
def test_existing_output_is_refused_first(folder, name):
    (folder / name).write_text("precious")
    arguments = ["train-cnn", "--data", "nowhere", "--figure", "curves.png"]
    assert f"{name}: the file exists already; pass --overwrite" in fail(*arguments)
    assert "exists already" in fail(*arguments, "--resume")
    assert (folder / name).read_text() == "precious"
    assert "nowhere" in fail(*arguments, "--overwrite")


@pytest.mark.parametrize("name", ["model.png", "a/../model.onnx", "model.json", "model.state"])
def test_figure_is_none_of_the_other_files(folder, name):
    error = fail("train-cnn", "--data", "nowhere", "--overwrite", "--figure", name)
    expected = "nowhere" if name == "model.png" else "must not be a file that the command"
    assert expected in error


def test_curves(train, folder):
    output = train("--figure", "out/curves.svg")
    assert "curves       out/curves.svg" in output
    text = (folder / "out/curves.svg").read_text()
    assert "SYNTHETIC data: training of model" in text
    train("--figure", "curves.png", "--overwrite")
    with Image.open("curves.png") as picture:
        assert picture.size[0] > 1000
    assert ".png, .svg or .pdf. Got 'x.jpg'" in train(
        "--figure", "x.jpg", "--out", "b.pth", ends=fail
    )
    assert not (folder / "b.pth").exists()


BAD_USAGE = [
    ("--width", 0), ("--epochs", 0), ("--batch-size", 0), ("--learning-rate", 0),
    ("--learning-rate", "inf"), ("--weight-decay", -1), ("--weight-decay", "nan"),
    ("--validation", 0.6), ("--validation", "nan"), ("--precision", "float16"),
    ("--device", "tpu"), ("--seed", -1), ("--seed", 2**32), ("--jobs", 0),
]  # fmt: skip


@pytest.mark.parametrize(("option", "value"), BAD_USAGE)
def test_bad_usage(folder, option, value):
    assert f"Invalid value for '{option}'" in fail("train-cnn", option, value, exit_code=2)
    assert not list(folder.iterdir())


def test_bad_values(train, folder, monkeypatch):
    assert "must end in .pth" in train("--out", "model.skops", ends=fail)
    assert "loss must stay finite" in train("--learning-rate", 1e38, ends=fail)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "finds no CUDA GPU" in train("--device", "gpu", ends=fail)
    assert not list(folder.iterdir())


@pytest.mark.parametrize("name", ["torch", "onnx"])
def test_missing_package_is_one_clear_line(folder, monkeypatch, name):
    found = train_cnn.find_spec
    monkeypatch.setattr(train_cnn, "find_spec", lambda n: None if n == name else found(n))
    error = fail("train-cnn")
    assert f"got no {name};" in error
    assert "pip install 'svmcifar[cnn]'" in error


def test_help_imports_no_pytorch():
    code = (
        "import sys; from svmcifar.cli import main\n"
        "try: main(['train-cnn', '--help'])\n"
        "finally: print(sorted({'numpy', 'torch', 'onnx', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--resume" in done.stdout
    assert done.stdout.endswith("[]\n")
