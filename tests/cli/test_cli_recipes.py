"""Presets and options of `train-cnn` for other networks than the reference."""

import json
import tomllib

import pytest
from clirun import fail, run

from svmcifar.cli import settings, train_cnn
from svmcifar.cnn.recipe import Recipe

PRESETS = settings.preset_names("cnn")
FAST = ["--epochs", 1, "--validation", 0.2, "--jobs", 1, "--batch-size", 100]


@pytest.fixture(autouse=True)
def folder(training_folder):
    return training_folder


@pytest.fixture
def train(synthetic_folder):
    def train(*arguments, ends=run):
        return ends("train-cnn", "--data", synthetic_folder, *arguments)

    return train


def card_of(folder, name="model"):
    return json.loads((folder / f"{name}.json").read_text())


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_recipes(name):
    keys = tomllib.loads(settings.preset_path(f"cnn/{name}").read_text())
    assert keys["arch"] != "reference"
    params = train_cnn.command.make_context("train-cnn", ["--preset", name]).params
    fields = {k: v for k, v in params.items() if k in Recipe.__dataclass_fields__}
    recipe = Recipe(**fields | {"settings": {}, "precision": "float32"})
    assert recipe.arch == keys["arch"]
    assert recipe.epochs == keys["epochs"]
    assert recipe.weight_decay == keys["weight-decay"]


def test_presets_are_offered(folder):
    assert {"weak-baseline", "refined", "snapshots", "simple-cnn", "vgg16"} <= set(PRESETS)
    assert "--preset [" in run("train-cnn", "--help")
    assert "is not one of" in fail("train-cnn", "--preset", "raw", exit_code=2)
    assert "is not one of" in fail("train", "--preset", "vgg16", exit_code=2)


def test_a_preset_trains_its_network(train, folder, synthetic_folder):
    output = train("--preset", "weak-baseline", *FAST)
    assert "settings     preset weak-baseline: arch weak-baseline" in output
    assert "network      weak-baseline, 100 classes" in output
    assert "kept         epoch 1, the best on held-out images" in output
    card = card_of(folder)
    assert card["architecture"]["name"] == "weak-baseline"
    assert (card["recipe"]["preset"], card["recipe"]["augment"]) == ("weak-baseline", "none")
    assert card["kept_epoch"] == 1
    for suffix in (".pth", ".onnx"):
        output = run("evaluate", f"model{suffix}", "--data", synthetic_folder)
        assert f"{card['test']['fine_right']} of 200)" in output


def test_settings_head_and_normalisation_reach_the_card(train, folder):
    train(
        "--arch", "tuned", "--set", "units=8", "--set", "activation3=tanh", "--head",
        "hierarchical", "--normalise", "half", *FAST,
    )  # fmt: skip
    card = card_of(folder)
    assert card["architecture"]["settings"] == {"units": 8, "activation3": "tanh"}
    assert card["architecture"]["head"] == "hierarchical"
    assert len(card["architecture"]["groups"]) == 100
    assert card["normalisation"] == {"mean": [0.5] * 3, "std": [0.5] * 3}


def test_snapshots_are_checkpoints_with_votes_and_sums(train, folder, synthetic_folder):
    output = train(
        "--arch", "weak-baseline", "--snapshots", 2, "--schedule", "cyclic", *FAST, "--epochs", 2,
        "--out", "s.pth",
    )  # fmt: skip
    names = {f"s-{k}.{suffix}" for k in (1, 2) for suffix in ("pth", "onnx", "json")}
    assert {path.name for path in folder.iterdir()} == names
    first, last = card_of(folder, "s-1"), card_of(folder, "s-2")
    together = last["ensemble"]
    assert together["single_right"] == [first["test"]["fine_right"], last["test"]["fine_right"]]
    assert first["ensemble"] == together
    assert (first["recipe"]["snapshot"], last["recipe"]["snapshot"]) == (1, 2)
    assert f"together     {together['sum_right'] / 200:.2%} by the sum" in output
    error = train("--arch", "weak-baseline", "--snapshots", 2, *FAST, "--epochs", 2, "--out",
                  "s.pth", ends=fail)  # fmt: skip
    assert "s-1.pth: the file exists already" in error
    svm = run("train", "--data", synthetic_folder, "--out", "m.skops", "--labels", "fine")
    assert "saved" in svm
    for how in ("sum", "vote"):
        run("compare", "--cnn", "s-1.pth", "--cnn", "s-2.onnx", "--ensemble", how, "--svm",
            "m.skops", "--data", synthetic_folder, "--out", how)  # fmt: skip
        report = (folder / how / "report.json").read_text()
        assert f'"accuracy": {together[f"{how}_right"] / 200}' in report


def test_start_from_weights_head_first(train, folder):
    train("--arch", "weak-baseline", *FAST, "--out", "a.pth")
    train(
        "--arch", "weak-baseline", "--weights", "a.pth", "--head-epochs", 1, *FAST, "--out", "b.pth"
    )
    card = card_of(folder, "b")
    assert card["recipe"]["weights"].startswith("a.pth, SHA-256 ")
    assert len(card["history"]) == 2
    assert card["history"][0]["train_loss"] < card_of(folder, "a")["history"][0]["train_loss"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--arch", "lenet"], "A network must be one of reference"),
        (["--arch", "tuned", "--set", "units"], "--set takes KEY=VALUE"),
        (["--arch", "tuned", "--set", "unit=3"], "Settings of tuned must be among"),
        (["--arch", "tuned", "--width", "3"], "--width is of the reference network"),
        (["--arch", "torchvision:resnet1"], "Nearest: resnet"),
        (["--weights", "imagenet"], "torchvision:NAME or timm:NAME"),
        (["--weights", "none.pth"], "none.pth: weights to start from must be a readable file"),
        (["--normalise", "some"], "A normalisation must be one of"),
        (["--snapshots", "3"], "Snapshots must be at the ends of equal cycles"),
        (["--keep", "best", "--validation", "0"], "best epoch must be known"),
    ],
)
def test_bad_values_are_one_clear_line(train, folder, options, message):
    exit_code = 2 if message.startswith("--") else 1
    error = train(*FAST, *options, ends=lambda *a: fail(*a, exit_code=exit_code))
    assert message in error
    assert not list(folder.iterdir())
