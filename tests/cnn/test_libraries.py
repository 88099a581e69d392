"""Networks of torchvision and timm by name."""

import sys

import pytest
import timm
import torch
import torchvision

from svmcifar.cnn.libraries import create_from_library, fixed_size, is_library_name
from svmcifar.errors import BackendUnavailableError, InputError


@pytest.mark.parametrize(
    ("name", "size", "made"),
    [
        ("torchvision:squeezenet1_1", 64, lambda: torchvision.models.squeezenet1_1(num_classes=7)),
        (
            "torchvision:mobilenet_v3_small",
            32,
            lambda: torchvision.models.mobilenet_v3_small(num_classes=7),
        ),
        ("timm:resnet10t", 32, lambda: timm.create_model("resnet10t", num_classes=7)),
        (
            "timm:vit_tiny_patch16_224.augreg_in21k",
            48,
            lambda: timm.create_model("vit_tiny_patch16_224", num_classes=7, img_size=48),
        ),
    ],
)
def test_networks_are_those_of_the_library(name, size, made):
    torch.manual_seed(0)
    found = create_from_library(name, 7, size).eval()
    torch.manual_seed(0)
    expected = made().eval()
    images = torch.rand(2, 3, size, size)
    with torch.no_grad():
        torch.testing.assert_close(found(images), expected(images), rtol=0, atol=0)
        assert found(images).shape == (2, 7)


def test_a_second_head_for_training_is_left_out():
    with torch.device("meta"):
        network = create_from_library("torchvision:googlenet", 7)
        assert isinstance(network.train()(torch.zeros(2, 3, 64, 64)), torch.Tensor)
        assert not [name for name in network.state_dict() if name.startswith("aux")]


def test_sizes_that_networks_are_made_for():
    names = [
        "torchvision:resnet18",
        "torchvision:vit_b_16",
        "timm:resnet18",
        "timm:deit3_base_patch16_384",
    ]
    assert [fixed_size(name) for name in names] == [None, 224, None, 384]
    with torch.device("meta"):
        network = create_from_library("torchvision:vit_b_16", 7, 32)
    assert network.encoder.pos_embedding.shape == (1, 5, 768)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("torchvision:resnet81", "one of its .* Got 'resnet81' instead. Nearest: resnet18"),
        ("torchvision:fcn_resnet50", "one of its"),
        ("timm:vit_tiny_patch61_224", "Nearest: vit_tiny_patch16_224"),
        ("timm:hf-hub:timm/resnet18", "Got 'hf-hub:timm/resnet18' instead"),
        ("timm:local-dir:/tmp", "one of its"),
        ("timm:", "one of its"),
        ("keras:resnet50", "one of torchvision:NAME, timm:NAME"),
    ],
)
def test_other_names_are_refused(name, words):
    with pytest.raises(InputError, match=words):
        create_from_library(name, 7)


def test_images_that_a_network_cannot_take_are_refused():
    with pytest.raises(
        InputError, match=r"Images of 64 x 64 must suit the network torchvision:max"
    ):
        create_from_library("torchvision:maxvit_t", 7, 64)


@pytest.mark.parametrize("library", ["torchvision", "timm"])
def test_a_missing_library_is_named(monkeypatch, library):
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.setitem(sys.modules, f"{library}.models", None)
    with pytest.raises(BackendUnavailableError, match=rf"need {library}, .*svmcifar\[cnn\]"):
        create_from_library(f"{library}:resnet18", 7)


def test_names_of_libraries_are_told_from_files():
    assert is_library_name("timm:resnet18")
    assert not is_library_name("timm.py:resnet18")
    assert not is_library_name("reference")
