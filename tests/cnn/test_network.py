import numpy as np
import pytest
import torch
from reference_network import TOLERANCE, logits, normalised, random_state, shapes

from svmcifar.cnn.checkpoint import load_network
from svmcifar.cnn.network import Architecture, ReferenceNetwork, recognise
from svmcifar.errors import CheckpointError


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).integers(0, 256, (3, 3072), dtype=np.uint8)


@pytest.mark.parametrize("width", [16, 64])
def test_names_and_shapes_are_the_reference_s(width):
    state = ReferenceNetwork(width).state_dict()
    assert {name: tuple(value.shape) for name, value in state.items()} == shapes(width)


@pytest.mark.parametrize(("width", "expected"), [(16, 1_925_283), (64, 30_441_528)])
def test_number_of_parameters(width, expected):
    with torch.device("meta"):
        network = ReferenceNetwork(width)
    assert sum(value.numel() for value in network.parameters()) == expected


@pytest.mark.parametrize("width", [16, 64])
def test_a_reference_state_dict_loads_and_computes_the_same(width, images, tmp_path):
    state = random_state(width)
    path = tmp_path / "model.pth"
    torch.save(state, path)
    network = load_network(path, [f"class {k}" for k in range(100)])
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
        ({"reslayer2.1.1.running_var": None}, r"'reslayer2.1.1.running_var' of shape none"),
        ({"extra": torch.zeros(2)}, r"'extra' of shape \(2,\) where .* has none"),
        ({"convolution_5.0.bias": torch.zeros(9)}, r"\(9,\) where reference, width 2, .*\(32,\)"),
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
