import numpy as np
import pytest
import torch
from checkpoints import NAMES, SHAPE, made_card
from reference_network import TOLERANCE, logits, normalised, random_state, shapes
from torch import nn

from svmcifar.cnn.architectures import ARCHITECTURES, Architecture, recognise
from svmcifar.cnn.checkpoint import load_network, save_checkpoint
from svmcifar.cnn.network import Network
from svmcifar.cnn.reference import ReferenceNetwork
from svmcifar.errors import CheckpointError


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).integers(0, 256, (3, 3072), dtype=np.uint8)


@pytest.mark.parametrize("width", [16, 64])
def test_names_and_shapes_are_the_reference_s(width):
    state = ReferenceNetwork(width, 100).state_dict()
    assert {name: tuple(value.shape) for name, value in state.items()} == shapes(width)


@pytest.mark.parametrize(("width", "expected"), [(16, 1_925_283), (64, 30_441_528)])
def test_number_of_parameters(width, expected):
    with torch.device("meta"):
        network = ReferenceNetwork(width, 100)
    assert sum(value.numel() for value in network.parameters()) == expected


@pytest.mark.parametrize("width", [16, 64])
def test_a_reference_state_dict_loads_and_computes_the_same(width, images, tmp_path):
    state = random_state(width)
    path = tmp_path / "model.pth"
    torch.save(state, path)
    network = load_network(path, NAMES, SHAPE)
    expected = logits(state, normalised(images))
    assert np.ptp(expected, axis=0).min() > 0.01  # images differ in every logit
    got = network.compute_logits(normalised(images).astype(np.float32))
    np.testing.assert_allclose(got, expected, rtol=0, atol=TOLERANCE * np.abs(expected).max())
    assert network.architecture == f"reference, width {width}, 100 classes"


def test_recognise():
    assert recognise(random_state(16)) == Architecture("reference", 16, 100)
    assert recognise(random_state(2, n_classes=7)) == Architecture("reference", 2, 7)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, "0 entries, first 'none'"),
        ({"convolution1.0.weight": None}, "78 entries, first 'convolution1.0.bias'"),
        (
            {"reslayer2.1.1.running_var": None},
            r"reference, width 2, .* missing: 'reslayer2.1.1.running_var' of shape \(16,\)\. ",
        ),
        ({"extra": torch.zeros(2)}, r"reference, .* Got unexpected: 'extra' of shape \(2,\)\. "),
        (
            {"convolution_5.0.bias": torch.zeros(9)},
            r"another shape: 'convolution_5.0.bias' of shape \(9,\) instead of \(32,\)",
        ),
        ({"convolution_5.0.bias": "text"}, "'convolution_5.0.bias' of type str, which is no"),
        ({"epoch": 3}, "'epoch' of type int, which is no tensor"),
        ({"classifier.2.weight": torch.zeros(())}, "79 entries"),
    ],
)
def test_other_state_dicts_are_refused(change, message):
    state = {**random_state(2), **change} if change else {}
    state = {name: value for name, value in state.items() if value is not None}
    with pytest.raises(CheckpointError, match=f"known network.*{message}"):
        recognise(state)


class LinearNetwork(Network):
    image_shape, layers = SHAPE, "narrow and last"

    def __init__(self, width, n_classes):
        super().__init__(width, n_classes)
        self.narrow = nn.Sequential(nn.Conv2d(3, width, 32), nn.Flatten())
        self.last = nn.Linear(width, n_classes)

    def forward(self, images):
        return self.last(self.narrow(images))

    @classmethod
    def sizes_in(cls, state):
        if {"narrow.0.weight", "last.weight"} <= set(state):
            return len(state["narrow.0.weight"]), len(state["last.weight"])
        return None


def test_an_architecture_is_a_line_of_the_table(monkeypatch, images, tmp_path):
    """Found by its state dict, saved and loaded in both forms, beside the reference."""
    monkeypatch.setitem(ARCHITECTURES, "linear", LinearNetwork)
    network = Architecture("linear", 4, 100).build()
    assert recognise(network.state_dict()) == Architecture("linear", 4, 100)
    assert recognise(random_state(2)) == Architecture("reference", 2, 100)
    save_checkpoint(network, tmp_path / "m.pth", made_card())
    with torch.no_grad():
        expected = network(torch.as_tensor(normalised(images), dtype=torch.float32)).softmax(1)
    for suffix in (".pth", ".onnx"):
        loaded = load_network(tmp_path / f"m{suffix}", NAMES, SHAPE)
        assert loaded.architecture == "linear, width 4, 100 classes"
        assert loaded.n_parameters == 4 * 3 * 32 * 32 + 4 + 4 * 100 + 100
        np.testing.assert_allclose(loaded.predict_proba(images), expected, rtol=1e-4)
    with pytest.raises(CheckpointError, match=r"reference network .*; the linear network"):
        recognise({})
