"""Networks whose files do not tell how they are to be read."""

import json
import shutil

import pytest
import torch
from click.testing import CliRunner
from clirun import fail, run

from svmcifar.cli import main
from svmcifar.cnn.bundled import bundled_checkpoint


@pytest.fixture(autouse=True)
def network(tmp_path, monkeypatch):
    """The bundled network without its card."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SVMCIFAR_DATA", raising=False)
    source = bundled_checkpoint(synthetic=True).with_suffix(".pth")
    shutil.copy(source, tmp_path / "net.pth")
    return tmp_path / "net.pth"


def accuracy(*arguments):
    outputs = ["--json", "s.json", "--overwrite"]
    result = CliRunner().invoke(main, ["evaluate", *map(str, arguments), *outputs])
    assert result.exit_code == 0, result.output
    with open("s.json") as file:
        return json.load(file)["scores"]["accuracy"], result.stderr


def test_the_normalisation_is_found_and_told(network, synthetic_folder):
    right, _ = accuracy("bundled", "--data", synthetic_folder)
    found, told = accuracy(network, "--data", synthetic_folder)
    assert "net.pth: images are normalised by cifar10, the best of 6 on 500 training images" in told
    assert found == right
    named, told = accuracy(network, "--data", synthetic_folder, "--normalise", "cifar10")
    assert (named, "normalised" in told) == (right, False)
    other, _ = accuracy(network, "--data", synthetic_folder, "--normalise", "0-255")
    assert other < 0.5 * right
    message = fail("evaluate", network, "--data", synthetic_folder, "--normalise", "x")
    assert "must be one of cifar100" in message


def test_a_key_chooses_among_weights(network, synthetic_folder):
    state = torch.load(network, weights_only=True)
    noise = {k: torch.zeros_like(v) for k, v in state.items()}
    torch.save({"model": noise, "ema": {"model": state}}, network)
    options = ("--data", synthetic_folder, "--normalise", "cifar10")
    wrong, warned = accuracy(network, *options)
    assert "--checkpoint-key ema.model" in warned
    right, _ = accuracy(network, *options, "--checkpoint-key", "ema.model")
    assert wrong < 0.1 < right
    message = fail("evaluate", network, *options, "--checkpoint-key", "teacher")
    assert "none under 'teacher'; keys of state dicts: model, ema.model" in message


MAKE = """
import torch
from torch import nn


def small():
    return nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(48, 100))


def other():
    return nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(48, 100, bias=False))


def nothing():
    return 3
"""


def test_a_network_is_made_by_code_that_is_named(tmp_path, synthetic_folder):
    (tmp_path / "own.py").write_text(MAKE)
    torch.manual_seed(0)
    torch.save({"2.weight": torch.randn(100, 48), "2.bias": torch.zeros(100)}, "own.pth")
    options = ("own.pth", "--data", synthetic_folder, "--normalise", "half")
    assert "torchvision:NAME or FILE.py:FUNCTION" in fail("evaluate", *options)
    found, _ = accuracy(*options, "--arch", "own.py:small")
    assert 0 <= found < 0.2
    message = fail("evaluate", *options, "--arch", "own.py:other")
    assert "must be those of own.py:other, got unexpected: '2.bias' of shape (100,)" in message
    for name in ("own.py:nothing", "own.py:missing", "none.py:small", "own", "torch:small"):
        message = fail("evaluate", *options, "--arch", name)
        assert f"named as FILE.py:FUNCTION, got '{name}'" in message


def test_compare_reads_each_network_in_its_own_way(network, train_small, synthetic_folder):
    from svmcifar.model.persistence import save_model

    save_model(train_small(label_kind="fine"), "svm.skops")
    common = ("--svm", "svm.skops", "--data", synthetic_folder)
    both = ("--cnn", network, "--cnn", "bundled")
    run("compare", *both, *common, "--normalise", "half", "--out", "r")
    with open("r/report.json") as file:
        models = json.load(file)["models"]
    assert [m["description"].count("normalised as named: half") for m in models] == [1, 1, 0]
    thrice = 3 * ["--normalise", "half"]
    assert "given 3 times" in fail("compare", *both, *common, *thrice, exit_code=2)
    run("compare", "--cnn", network, *common, "--out", "s")
    with open("s/report.html") as file:
        assert "images normalised by cifar10, the best of 6 on 500 training images" in file.read()


def test_without_data_a_normalisation_must_be_named(network, synthetic_data, folder_of_images):
    card = {"format": 1, "classes": list(synthetic_data.class_names("fine"))}
    network.with_suffix(".json").write_text(json.dumps(card))
    assert "pass --normalise, or --data" in fail("predict", network, folder_of_images)
    lines = run("predict", network, folder_of_images, "--normalise", "cifar10").splitlines()
    assert len(lines) == 3


@pytest.fixture
def folder_of_images(tmp_path, synthetic_data):
    from datafiles import to_pictures
    from PIL import Image

    (tmp_path / "images").mkdir()
    images = synthetic_data.read_split("test").images[:2]
    for number, picture in enumerate(to_pictures(images)):
        Image.fromarray(picture).save(tmp_path / f"images/{number}.png")
    return tmp_path / "images"


OF_SUPERCLASSES = """
from torch import nn


def make():
    return nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(48, 20))
"""


def test_a_network_of_superclasses(tmp_path, synthetic_folder, train_small, folder_of_images):
    from svmcifar.model.persistence import save_model

    save_model(train_small(label_kind="fine"), "svm.skops")
    (tmp_path / "own.py").write_text(OF_SUPERCLASSES)
    torch.manual_seed(0)
    torch.save({"2.weight": torch.randn(20, 48) / 4, "2.bias": torch.zeros(20)}, "own.pth")
    options = ("--data", synthetic_folder, "--arch", "own.py:make", "--normalise", "half")
    assert "20 superclasses" in run("evaluate", "own.pth", *options)
    run("show", "own.pth", *options, "--out", "x.png")
    assert len(run("predict", "own.pth", folder_of_images, *options).splitlines()) == 3
    run("compare", "--cnn", "own.pth", "--svm", "svm.skops", *options, "--out", "r")
    with open("r/report.json") as file:
        report = json.load(file)
    model = report["models"][0]
    assert model["labels"] == "coarse"
    assert "summed" not in model["description"]
    assert any("own was trained on the superclasses" in s for s in report["conclusion"])
