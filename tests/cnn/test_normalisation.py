"""The right normalisation is found on training images, or said to be wrong."""

import re
import warnings
from dataclasses import replace

import numpy as np
import pytest
from checkpoints import NAMES, SHAPE

from svmcifar.cnn.bundled import bundled_checkpoint
from svmcifar.cnn.checkpoint import load_network
from svmcifar.cnn.model_card import REFERENCE_NORMALISATION, Normalisation
from svmcifar.cnn.normalisation import (
    NORMALISATIONS,
    choose_reading,
    parse_normalisation,
    settle_reading,
)
from svmcifar.data.dataset import CLASSES
from svmcifar.errors import InputError


@pytest.fixture(scope="module")
def network(synthetic_data):
    path = bundled_checkpoint(synthetic=True).with_suffix(".onnx")
    return load_network(path, synthetic_data.class_names(CLASSES), synthetic_data.image_shape)


@pytest.fixture(scope="module")
def drawn(synthetic_data):
    train = synthetic_data.read_split("train")
    return train.images, train.classes


def as_if_trained_with(network, normalisation):
    """Undo a normalisation and do the reference's, before the network."""
    (mean, std), (wanted_mean, wanted_std) = (
        [np.array(part, np.float32)[:, None, None] for part in one]
        for one in (normalisation, REFERENCE_NORMALISATION)
    )

    def compute(images):
        return network.compute_logits((images * std + mean - wanted_mean) / wanted_std)

    return replace(network, compute_logits=compute, normalisation=None)


@pytest.mark.parametrize("name", NORMALISATIONS)
def test_each_normalisation_is_found(network, drawn, name):
    other = as_if_trained_with(network, NORMALISATIONS[name])
    chosen, tried = choose_reading(other, NORMALISATIONS, *drawn)
    assert tried[0].name == name
    assert chosen.normalisation == NORMALISATIONS[name]
    assert len(tried) == len(NORMALISATIONS)
    right = (network.predict_proba(drawn[0]).argmax(axis=1) == drawn[1]).mean()
    assert tried[0].accuracy == pytest.approx(right, abs=0.01)
    settled = settle_reading(other, None, lambda: drawn)
    assert settled.normalised.startswith(f"by {name}, the best of 6 on ")
    assert settled.normalisation == NORMALISATIONS[name]


def test_what_is_known_is_not_tried(network):
    def draw():
        raise AssertionError("no image is needed")

    assert settle_reading(network, None, draw).normalised == "as its file or card says"
    named = settle_reading(network, "0.1,0.2,0.3/1,1,2", draw)
    assert named.normalisation == Normalisation((0.1, 0.2, 0.3), (1.0, 1.0, 2.0))
    assert named.normalised == "as named: 0.1,0.2,0.3/1,1,2"
    of_bytes = settle_reading(replace(network, takes_bytes=True), "half", draw)
    assert of_bytes.normalised == "by the graph itself"


def test_a_network_of_other_classes_is_no_better_than_chance(network, drawn):
    images, classes = drawn
    shuffled = (classes + 17) % len(NAMES)
    unknown = replace(network, normalisation=None)
    with pytest.warns(UserWarning, match="another order of the classes"):
        settle_reading(unknown, None, lambda: (images, shuffled))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        settle_reading(unknown, None, lambda: drawn)


def test_of_architectures_with_the_same_tensors_the_best_is_taken(network, drawn):
    def backwards(images):
        return network.compute_logits(images[:, :, ::-1].copy())

    named = (("right", lambda: network.compute_logits),)
    ambiguous = replace(network, architecture="wrong", compute_logits=backwards, alternatives=named)
    settled = settle_reading(ambiguous, None, lambda: drawn)
    assert re.fullmatch(
        r"right, the best of 2 on 500 training images \(right 9\d\.\d%, wrong \d\d\.\d%\)",
        settled.architecture,
    )
    assert settled.normalised == "as its file or card says"
    np.testing.assert_array_equal(
        settled.predict_proba(drawn[0][:9]), network.predict_proba(drawn[0][:9])
    )
    with pytest.warns(UserWarning, match="read as wrong, and may be right, .* pass --arch"):
        assert settle_reading(ambiguous, None, None).architecture == "wrong"
    with pytest.raises(InputError, match="pass --normalise, or --data"):
        settle_reading(replace(network, normalisation=None), None, None)


@pytest.mark.parametrize(
    "text", ["", "vgg", "0.5/0.5", "1,2,3", "1,2,3/1,1,0", "1,2,3/1,nan,1", "a,b,c/1,1,1"]
)
def test_bad_normalisations(text):
    with pytest.raises(InputError, match="one of cifar100, cifar10, imagenet"):
        parse_normalisation(text)


def test_files_that_do_not_say_have_none(tmp_path, network):
    path = tmp_path / "m.pth"
    path.write_bytes(bundled_checkpoint(synthetic=True).with_suffix(".pth").read_bytes())
    assert load_network(path, NAMES, SHAPE).normalisation is None
    assert network.normalisation == REFERENCE_NORMALISATION
