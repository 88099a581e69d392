"""Checkpoints of `train-cnn`: their cards make the same network again, or say why not."""

import json

import numpy as np
import pytest
import torch
from checkpoints import NAMES, SHAPE, made_card

from svmcifar.cnn.blueprint import Blueprint
from svmcifar.cnn.checkpoint import load_network, save_checkpoint
from svmcifar.errors import CheckpointError

N = len(NAMES)
GROUPS = tuple(k % 7 for k in range(N))
BLUEPRINTS = {
    "weak baseline": Blueprint("weak-baseline", N),
    "tuned": Blueprint(
        "tuned",
        N,
        {"filters1": 4, "units": 8, "activation2": "leaky_relu", "slope2": 0.3, "dropout": 0.4},
    ),
    "reference": Blueprint("reference", N, {"width": 1}),
    "gumbel": Blueprint("refined", N, head="gumbel"),
    "hierarchical": Blueprint("simple-cnn", N, head="hierarchical", groups=GROUPS),
    "adaptive": Blueprint("reference", N, {"width": 1}, head="adaptive"),
    "resized": Blueprint("torchvision:squeezenet1_1", N, {"dropout": 0.25}),
    "library": Blueprint("timm:resnet10t", N, {}, image_size=40),
}


def saved(folder, blueprint, seed=0):
    torch.manual_seed(seed)
    network = blueprint.build(SHAPE).eval()
    path = folder / "net.pth"
    save_checkpoint(network, path, made_card(), architecture=blueprint, image_shape=SHAPE)
    return network, path


def images():
    return np.random.default_rng(3).normal(size=(3, *SHAPE)).astype(np.float32)


@pytest.mark.parametrize("kind", [*BLUEPRINTS])
def test_card_makes_the_same_network_again(tmp_path, kind):
    network, path = saved(tmp_path, BLUEPRINTS[kind])
    with torch.no_grad():
        expected = network(torch.from_numpy(images())).numpy()
    for file in (path, path.with_suffix(".onnx")):
        opened = load_network(file, NAMES, SHAPE)
        assert opened.size == SHAPE[1:]
        tolerance = 1e-4 * np.abs(expected).max()
        got = opened.compute_logits(images())
        np.testing.assert_allclose(got, expected, atol=tolerance, rtol=0)
        if kind in ("gumbel", "hierarchical", "adaptive"):
            np.testing.assert_allclose(np.exp(got.astype(float)).sum(1), 1, rtol=1e-5)
    assert load_network(path, NAMES, SHAPE).architecture == str(BLUEPRINTS[kind])


def test_names_and_shapes_suffice_where_they_show_all(tmp_path):
    for kind in ("weak baseline", "reference"):
        _, path = saved(tmp_path, BLUEPRINTS[kind])
        with_card = load_network(path, NAMES, SHAPE).compute_logits(images())
        path.with_suffix(".json").unlink()
        opened = load_network(path, NAMES, SHAPE)
        np.testing.assert_array_equal(opened.compute_logits(images()), with_card)


def test_what_a_state_dict_does_not_show_needs_its_card(tmp_path):
    _, path = saved(tmp_path, BLUEPRINTS["tuned"])
    path.with_suffix(".json").unlink()
    with pytest.raises(CheckpointError, match="must be that of a known network"):
        load_network(path, NAMES, SHAPE)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"settings": {"units": 9}},
            r"must be those of the card's tuned, units 9.*another shape: 'convol",
        ),
        ({"settings": {"units": 10**9}}, "Got units=1000000000"),
        ({"settings": {"units": [8]}}, "must have a name"),
        ({"settings": {"other": 8}}, "Got other=8"),
        ({"head": "mystery"}, "must have a name, a number of classes"),
        ({"head": "hierarchical", "groups": [0]}, "must have a name"),
        ({"head": "hierarchical", "groups": [-1] * N}, "must have a name"),
        ({"head": "hierarchical"}, "superclass of each class"),
        ({"image_size": -3}, "must have a name"),
        ({"n_classes": 10**12}, "must have a name"),
        ({"name": "timm:resnet18", "settings": {"checkpoint_path": "x.pth"}}, "must be numbers"),
        ({"name": "timm:hf-hub:x/y", "settings": {}}, "must be one of its"),
        ({"name": "lenet"}, "must be one of reference"),
    ],
    ids=lambda value: None if isinstance(value, str) else "-".join(value),
)
def test_damaged_or_hostile_cards_are_one_clear_line(tmp_path, change, message):
    _, path = saved(tmp_path, BLUEPRINTS["tuned"])
    file = path.with_suffix(".json")
    card = json.loads(file.read_text())
    card["architecture"] |= change
    file.write_text(json.dumps(card))
    with pytest.raises(CheckpointError, match=message) as caught:
        load_network(path, NAMES, SHAPE)
    assert "\n" not in str(caught.value)


def test_weights_that_do_not_fit_their_card_are_refused(tmp_path):
    _, path = saved(tmp_path, BLUEPRINTS["tuned"])
    other = Blueprint("tuned", N, {"filters1": 5, "units": 8})
    card = json.loads(path.with_suffix(".json").read_text())
    card["architecture"] = other.to_card()
    path.with_suffix(".json").write_text(json.dumps(card))
    with pytest.raises(CheckpointError, match=r"'convolutions.0.weight' of shape \(4, 3, 3, 3\)"):
        load_network(path, NAMES, SHAPE)
