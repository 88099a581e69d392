"""Weights that a training starts from."""

import socket
import urllib.request
from urllib.error import URLError

import pytest
import torch

from svmcifar.cnn import first_weights
from svmcifar.cnn.blueprint import Blueprint
from svmcifar.cnn.first_weights import last_layer, load_first_weights, read_first_weights
from svmcifar.compute.image_shape import ImageShape
from svmcifar.errors import BackendUnavailableError, CheckpointError, InputError

SHAPE = ImageShape(3, 32, 32)
BLUEPRINTS = {
    "plain": Blueprint("weak-baseline", 4),
    "sized": Blueprint("weak-baseline", 4, image_size=32),
    "head": Blueprint("weak-baseline", 4, head="adaptive"),
    "library": Blueprint("torchvision:resnet18", 4),
}


def made(blueprint, seed, **changes):
    torch.manual_seed(seed)
    return Blueprint(**{**vars(blueprint), **changes}).build(SHAPE)


@pytest.mark.parametrize("kind", [*BLUEPRINTS])
@pytest.mark.parametrize("n_classes", [4, 9])
def test_all_but_a_last_layer_of_other_classes_is_taken(kind, n_classes):
    blueprint = BLUEPRINTS[kind]
    source = made(blueprint, 1, n_classes=n_classes).state_dict()
    network, before = made(blueprint, 2), made(blueprint, 2).state_dict()
    load_first_weights(network, source, blueprint)
    head = {id(value) for value in last_layer(network, blueprint).parameters()}
    for name, value in network.named_parameters():
        expected = before if id(value) in head and n_classes != 4 else source
        assert torch.equal(value, expected[name]), name


def test_a_plain_network_s_weights_suit_another_head():
    blueprint = BLUEPRINTS["head"]
    source = made(blueprint, 1, head="standard").state_dict()
    network = made(blueprint, 2)
    load_first_weights(network, source, blueprint)
    for name, value in network.body.state_dict().items():
        assert torch.equal(value, source[name])


@pytest.mark.parametrize("change", ["missing", "shape", "more"])
def test_weights_of_another_network_are_refused(change):
    blueprint = BLUEPRINTS["plain"]
    source = dict(made(blueprint, 1).state_dict())
    if change == "missing":
        del source["hidden.0.bias"]
    elif change == "shape":
        source["hidden.0.bias"] = torch.zeros(7)
    else:
        source["other"] = torch.zeros(7)
    network, before = made(blueprint, 2), made(blueprint, 2).state_dict()
    name = "'other'" if change == "more" else "'hidden.0.bias'"
    with pytest.raises(CheckpointError, match=f"must be those of weak-baseline.*{name}"):
        load_first_weights(network, source, blueprint)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_file_of_weights(tmp_path):
    state = made(BLUEPRINTS["plain"], 1).state_dict()
    torch.save({"state_dict": {f"module.{n}": v for n, v in state.items()}}, tmp_path / "a.pth")
    weights, words = read_first_weights(str(tmp_path / "a.pth"), BLUEPRINTS["plain"])
    assert words.startswith("a.pth, SHA-256 ")
    assert all(torch.equal(weights[name], state[name]) for name in state)
    with pytest.raises(CheckpointError, match=r"b\.pth: weights to start from must be a readable"):
        read_first_weights(str(tmp_path / "b.pth"), BLUEPRINTS["plain"])
    (tmp_path / "c.pth").write_bytes(b"no weights")
    with pytest.raises(CheckpointError, match=r"c\.pth: a .pth file must be whole"):
        read_first_weights(str(tmp_path / "c.pth"), BLUEPRINTS["plain"])


@pytest.mark.parametrize("library", ["torchvision", "timm"])
def test_no_download_is_one_clear_line(tmp_path, monkeypatch, library):
    def fail(*_, **__):
        raise URLError("no route")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setattr(urllib.request, "urlopen", fail)
    monkeypatch.setattr(socket, "create_connection", fail)
    monkeypatch.setattr(first_weights, "_download", fail)
    with pytest.raises(BackendUnavailableError) as caught:
        read_first_weights("imagenet", Blueprint(f"{library}:resnet18", 4))
    assert "must be downloadable" in str(caught.value)
    assert "no route" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_imagenet_is_for_networks_of_libraries():
    with pytest.raises(InputError, match=r"torchvision:NAME or timm:NAME. Got weak-baseline"):
        read_first_weights("imagenet", BLUEPRINTS["plain"])
