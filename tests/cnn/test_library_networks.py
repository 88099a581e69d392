"""Networks of torchvision and timm as others save them: recognised, with the library's logits."""

import json

import numpy as np
import pytest
import timm
import torch
from checkpoints import NAMES, SHAPE, refused, write_file
from torch import nn
from torchvision import models

from svmcifar.cnn.architectures import find_architectures, recognise
from svmcifar.cnn.checkpoint import load_network
from svmcifar.cnn.image_network import normalise, resize
from svmcifar.cnn.libraries import create_from_library
from svmcifar.cnn.library_index import INDEX_FILE, find_networks, nearest_networks
from svmcifar.cnn.model_card import REFERENCE_NORMALISATION
from svmcifar.errors import InputError

TORCHVISION = [
    "resnet18", "resnet34", "resnet50", "resnext50_32x4d", "squeezenet1_0", "squeezenet1_1",
    "densenet121", "mobilenet_v3_small", "mobilenet_v3_large", "efficientnet_b0", "mnasnet0_5",
    "regnet_x_400mf", "regnet_y_400mf", "convnext_tiny", "swin_t", "googlenet",
]  # fmt: skip
TIMM = [
    "resnet18d", "resnet26t", "seresnet18", "regnetx_002", "mobilenetv3_small_050", "ghostnet_100",
    "efficientnet_lite0", "convnext_atto", "mobileone_s0", "edgenext_xx_small", "levit_128s",
    "vit_tiny_patch16_224", "deit_tiny_distilled_patch16_224", "mixer_s32_224",
 "xcit_nano_12_p16_224",
]  # fmt: skip
WRAPPERS = [
    lambda state: state,
    lambda state: {"model_state_dict": {f"module.{k}": v for k, v in state.items()}, "epoch": 3},
    lambda state: {"state_dict": {f"model.{k}": v for k, v in state.items()}, "loops": {}},
    lambda state: {"net": {f"_orig_mod.{k}": v for k, v in state.items()}},
]


def trained(network, size=32):
    """Give a network statistics and weights that are not those of the start."""
    network.eval()
    generator = torch.Generator().manual_seed(0)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d | nn.BatchNorm1d):
            layer.momentum = 0.99
            layer.train()
    with torch.no_grad():
        for value in network.parameters():
            if value.ndim > 1 and not value.any():
                value.normal_(0, 0.1, generator=generator)
        network(torch.randn(48 if size < 64 else 2, 3, size, size, generator=generator))
    return network.eval()


def images(size=32, n=3):
    return np.random.default_rng(0).integers(0, 256, (n, 3 * size * size), dtype=np.uint8)


def check_logits(read, network, size=32):
    pixels = resize(images().reshape(-1, 3, 32, 32), read.size)
    pixels = normalise(pixels, REFERENCE_NORMALISATION)
    assert pixels.shape[2:] == (size, size)
    with torch.no_grad():
        expected = network(torch.from_numpy(pixels)).numpy()
    scale = max(1, np.abs(expected).max())
    np.testing.assert_allclose(read.compute_logits(pixels), expected, rtol=0, atol=1e-4 * scale)
    assert np.ptp(expected, axis=0).max() > 1e-5


@pytest.fixture(scope="module")
def squeezenet():
    torch.manual_seed(0)
    return models.squeezenet1_1(num_classes=100).state_dict()


@pytest.mark.parametrize(
    "name", [*(f"torchvision:{n}" for n in TORCHVISION), *(f"timm:{n}" for n in TIMM)]
)
def test_logits_are_those_of_the_library(tmp_path, name):
    library, _, short = name.partition(":")
    torch.manual_seed(0)
    if library == "timm":
        network = timm.create_model(short, num_classes=100)
        size = 224 if short.endswith("224") or short.startswith("levit") else 32
    else:
        network = models.get_model(short, num_classes=100)
        size = 32
    network = trained(network, size)
    number = [*TORCHVISION, *TIMM].index(short)
    path = write_file(tmp_path / "m.pth", WRAPPERS[number % len(WRAPPERS)](network.state_dict()))
    read = load_network(path, NAMES, SHAPE)
    assert read.architecture.startswith(f"{name}, 100 classes")
    check_logits(read, network, size)


# Networks for small images


def small_mobilenet(width=1.0):
    network = models.mobilenet_v2(num_classes=100, width_mult=width)
    network.features[0][0].stride = network.features[2].conv[1][0].stride = (1, 1)
    return network


def small_shufflenet():
    network = models.shufflenet_v2_x0_5(num_classes=100)
    network.conv1[0].stride = (1, 1)
    network.maxpool = nn.Identity()
    return network


def small_resnet(make):
    network = make(num_classes=100)
    network.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    network.maxpool = nn.Identity()
    return network


def small_densenet():
    network = models.densenet121(num_classes=100)
    network.features.conv0 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    network.features.pool0 = nn.Identity()
    return network


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (small_mobilenet, "torchvision:mobilenet_v2 for small images"),
        (lambda: small_mobilenet(0.5), "torchvision:mobilenet_v2 for small images"),
        (small_shufflenet, "torchvision:shufflenet_v2_x0_5 for small images"),
        (small_densenet, "torchvision:densenet121 for small images"),
        (lambda: small_resnet(models.resnet18), "ResNet of 21 weighted layers"),
        (lambda: small_resnet(models.resnext50_32x4d), "ResNet of 54 weighted layers"),
        (lambda: small_resnet(lambda **k: timm.create_model("resnet18", **k)), "ResNet of 21"),
    ],
    ids=["mobilenet", "mobilenet 0.5", "shufflenet", "densenet", "resnet", "resnext", "timm"],
)
def test_forms_for_small_images(tmp_path, make, name):
    torch.manual_seed(0)
    network = trained(make())
    read = load_network(write_file(tmp_path / "m.pth", network.state_dict()), NAMES, SHAPE)
    assert read.architecture.startswith(name)
    check_logits(read, network)


def test_other_forms_with_the_same_tensors_are_alternatives(tmp_path):
    torch.manual_seed(0)
    network = trained(models.mobilenet_v2(num_classes=100))
    path = write_file(tmp_path / "m.pth", network.state_dict())
    read = load_network(path, NAMES, SHAPE)
    ((name, make),) = read.alternatives
    assert name == "torchvision:mobilenet_v2, 100 classes"
    pixels = normalise(images().reshape(-1, 3, 32, 32), REFERENCE_NORMALISATION)
    with torch.no_grad():
        expected = network(torch.from_numpy(pixels)).numpy()
    np.testing.assert_allclose(make()(pixels), expected, atol=1e-4)
    named = load_network(path, NAMES, SHAPE, named="torchvision:mobilenet_v2")
    assert named.alternatives == ()
    np.testing.assert_allclose(named.compute_logits(pixels), expected, atol=1e-4)
    large = load_network(path, NAMES, SHAPE, image_size=96)
    assert large.architecture == name + ", images resized to 96 x 96"


# Heads


@pytest.mark.parametrize(
    ("make", "head"),
    [
        (lambda: models.resnet18(num_classes=100), "fc"),
        (lambda: small_resnet(models.resnet18), "fc"),
        (lambda: models.squeezenet1_1(num_classes=100), "classifier.1"),
        (lambda: timm.create_model("convnext_atto", num_classes=100), "head.fc"),
    ],
    ids=["resnet", "small resnet", "squeezenet", "timm"],
)
def test_dropout_before_the_last_layer(tmp_path, make, head):
    torch.manual_seed(0)
    network = trained(make())
    network.set_submodule(head, nn.Sequential(nn.Dropout(0.5), network.get_submodule(head)))
    path = write_file(tmp_path / "m.pth", network.state_dict())
    assert f"{head}.1.weight" in network.state_dict()
    check_logits(load_network(path, NAMES, SHAPE), network.eval())


def test_two_last_layers_are_refused(tmp_path):
    """What is between them is not in a state dict."""
    network = models.resnet18(num_classes=100)
    network.fc = nn.Sequential(nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, 100))
    message = refused(write_file(tmp_path / "m.pth", network.state_dict()))
    assert "the nearest is timm:resnet18, 100 classes. Got missing: 'fc.weight'" in message
    assert "'fc.0.weight'" in message


# Sizes of images


@pytest.mark.parametrize(
    ("name", "size"), [("vit_tiny_patch16_224", 32), ("deit_tiny_distilled_patch16_224", 64)]
)
def test_embeddings_of_positions_tell_the_size(tmp_path, name, size):
    torch.manual_seed(0)
    network = trained(timm.create_model(name, num_classes=100, img_size=size), size)
    read = load_network(write_file(tmp_path / "m.pth", network.state_dict()), NAMES, SHAPE)
    assert read.architecture.startswith(f"timm:{name}, 100 classes")
    check_logits(read, network, size)


def test_patches_of_another_size(tmp_path):
    torch.manual_seed(0)
    network = timm.create_model("vit_tiny_patch16_224", num_classes=100, img_size=32, patch_size=4)
    read = load_network(write_file(tmp_path / "m.pth", network.state_dict()), NAMES, SHAPE)
    check_logits(read, trained(network))
    assert read.size == (32, 32)


def test_torchvision_s_transformer(tmp_path):
    torch.manual_seed(0)
    with torch.device("meta"):
        network = models.vit_b_32(num_classes=100, image_size=64)
    (found,) = find_architectures(network.state_dict())
    assert (found.name, found.image_size, found.n_classes) == ("torchvision:vit_b_32", 64, 100)


def test_images_are_resized_where_it_is_told(tmp_path):
    torch.manual_seed(0)
    network = trained(models.squeezenet1_1(num_classes=100))
    path = write_file(tmp_path / "m.pth", network.state_dict())
    read = load_network(path, NAMES, SHAPE, image_size=64)
    assert read.architecture == "torchvision:squeezenet1_1, 100 classes, images resized to 64 x 64"
    check_logits(read, network, 64)
    path.with_suffix(".json").write_text(json.dumps({"format": 1, "image_size": 48}))
    assert load_network(path, NAMES, SHAPE).size == (48, 48)
    assert load_network(path, NAMES, SHAPE, image_size=64).size == (64, 64)
    path.with_suffix(".json").write_text(json.dumps({"format": 1, "image_size": "48"}))
    assert "an 'image_size' from 1 to 2048" in refused(path)


def test_images_that_a_network_cannot_take_are_refused(tmp_path, squeezenet):
    path = write_file(tmp_path / "m.pth", squeezenet)
    with pytest.raises(Exception, match=r"\(3, 4, 4\), .* name another size with --image-size"):
        load_network(path, NAMES, SHAPE, image_size=4)


def test_a_second_head_is_read_and_not_asked(tmp_path):
    torch.manual_seed(0)
    network = models.googlenet(num_classes=100, aux_logits=True, init_weights=False)
    network = trained(network)
    read = load_network(write_file(tmp_path / "m.pth", network.state_dict()), NAMES, SHAPE)
    assert read.architecture == "torchvision:googlenet, 100 classes"
    check_logits(read, network)


# What is named, and what does not fit


def test_a_card_names_the_architecture(tmp_path):
    """Of several that have the same tensors."""
    torch.manual_seed(0)
    state = models.shufflenet_v2_x0_5(num_classes=100).state_dict()
    path = write_file(tmp_path / "m.pth", state)
    card = {"format": 1, "architecture": {"name": "torchvision:shufflenet_v2_x0_5"}}
    path.with_suffix(".json").write_text(json.dumps(card))
    assert (
        load_network(path, NAMES, SHAPE).architecture
        == "torchvision:shufflenet_v2_x0_5, 100 classes"
    )


def test_other_architectures_are_refused(tmp_path, squeezenet):
    path = write_file(tmp_path / "m.pth", squeezenet)
    with pytest.raises(
        Exception, match="must be those of torchvision:resnet18, got missing: 'conv1"
    ):
        load_network(path, NAMES, SHAPE, named="torchvision:resnet18")
    with pytest.raises(InputError, match="Nearest: squeezenet1_1"):
        load_network(path, NAMES, SHAPE, named="torchvision:squeezenet11")


@pytest.mark.parametrize("change", ["missing", "unexpected", "transposed", "swapped"])
def test_other_tensors_are_refused_by_name(tmp_path, squeezenet, change):
    state = dict(squeezenet)
    name = "features.6.expand3x3.weight"
    if change == "missing":
        del state[name]
    elif change == "unexpected":
        name = "features.6.attention.weight"
        state[name] = torch.zeros(2)
    elif change == "transposed":
        state[name] = state[name].transpose(0, 1)
    else:
        other = "features.3.expand3x3.weight"
        state[name], state[other] = state[other], state[name]
    message = refused(write_file(tmp_path / "m.pth", state))
    assert "the nearest is torchvision:squeezenet1_1, 100 classes. Got" in message
    assert repr(name) in message


def test_the_number_of_classes_is_that_of_the_head(squeezenet):
    state = dict(squeezenet)
    state["classifier.1.weight"] = state["classifier.1.weight"][:20]
    state["classifier.1.bias"] = state["classifier.1.bias"][:20]
    assert recognise(state).n_classes == 20


# The index


@pytest.mark.parametrize(
    "name", ["torchvision:mnasnet0_5", "timm:resnet14t", "timm:vit_small_patch32_224"]
)
def test_the_index_knows_the_networks_of_today(name):
    """Run scripts/index_networks.py after another release is pinned."""
    with torch.device("meta"):
        state = create_from_library(name, 3).state_dict()
    shapes = {k: tuple(v.shape) for k, v in state.items() if not k.endswith("num_batches_tracked")}
    assert find_networks(shapes)[0] == name
    assert nearest_networks({k: v for k, v in shapes.items() if "head" not in k})
    first = next(iter(shapes))
    assert find_networks({**shapes, first: (1,)}) == []
    assert find_networks({}) == []
    assert nearest_networks({"a": (1,)}) == []


def test_the_index_knows_all_networks():
    known = set(json.loads(INDEX_FILE.read_text())["sketches"])
    for library, all_names in (
        ("torchvision", models.list_models(module=models)),
        ("timm", timm.list_models()),
    ):
        missing = [name for name in all_names if f"{library}:{name}" not in known]
        assert len(missing) <= len(all_names) // 50, missing
