"""The networks that `train-cnn` makes: each learns, and is what the documents describe."""

import numpy as np
import pytest
import torch
from cnntraining import SUPERCLASS_OF, coloured_images, train
from torch import nn
from torch.nn.functional import cross_entropy

from svmcifar.cnn.blueprint import NETWORKS, Blueprint, default_image_size
from svmcifar.compute.image_shape import ImageShape
from svmcifar.errors import InputError

SHAPE = ImageShape(3, 32, 32)
SMALL = {name: {} for name in NETWORKS} | {"tuned": {"activation2": "tanh"}}
LIBRARY = {
    "torchvision:vgg16_bn": {},
    "torchvision:resnet34": {},
    "torchvision:resnet50": {"zero_init_residual": True},  # steady from the first step
    "torchvision:efficientnet_b0": {},
    "timm:vit_tiny_patch16_224": {"patch_size": 8},
}


@pytest.mark.parametrize("name", [*SMALL])
def test_small_networks_learn_what_is_easy(tmp_path, name):
    images, labels = coloured_images(12)
    trained = train(
        tmp_path / "s", images=images, labels=labels, arch=name, settings=SMALL[name], epochs=4,
        batch_size=6, max_learning_rate=1e-3, schedule="constant", augment="none",
        weight_decay=0.0,
    )  # fmt: skip
    first, last = trained.history[0], trained.history[-1]
    assert last["train_loss"] < 0.7 * first["train_loss"]
    assert last["validation_accuracy"] > 0.7


@pytest.mark.parametrize("name", [*LIBRARY])
def test_library_networks_take_steps_in_which_the_loss_falls(name):
    torch.manual_seed(0)
    network = Blueprint(name, 4, LIBRARY[name], image_size=32).build(SHAPE)
    images, labels = coloured_images(3)
    images = torch.from_numpy(images).float() / 128 - 1
    labels = torch.from_numpy(labels)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    losses = []
    for _ in range(5):
        torch.manual_seed(1)  # the same dropout
        loss = cross_entropy(network(images), labels)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        assert all(value.grad is not None for value in network.parameters())
        optimizer.step()
    assert losses[-1] < 0.9 * losses[0]


def count(network):
    return sum(value.numel() for value in network.parameters())


def test_the_weak_baseline_has_the_parameters_of_its_document():
    # 1,252,068 trainable ones, by layer: convolutions, their normalisation, and two linear layers.
    network = Blueprint("weak-baseline", 100).build(SHAPE)
    layers = [896, 64, 18_496, 128, 1_180_160, 1_024, 51_300]
    assert count(network) == sum(layers) == 1_252_068


@pytest.mark.parametrize(
    ("name", "channels", "n_flat"),
    [("simple-cnn", [32, 64, 128, 256], 1024), ("five-blocks", [64, 128, 256, 512, 512], 512)],
)
def test_blocks_halve_the_image(name, channels, n_flat):
    network = Blueprint(name, 100).build(SHAPE)
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert [m.out_channels for m in convolutions] == channels
    assert {m.kernel_size for m in convolutions} == {(3, 3)}
    linear = [m for m in network.modules() if isinstance(m, nn.Linear)]
    assert [(m.in_features, m.out_features) for m in linear] == [(n_flat, 512), (512, 100)]


def test_the_refinement_normalises_before_it_convolves():
    layers = [*Blueprint("refined", 100).build(SHAPE).blocks]
    kinds = [nn.BatchNorm2d, nn.ReLU, nn.Conv2d, nn.MaxPool2d, nn.Dropout]
    assert [type(layer) for layer in layers] == [*kinds * 3, nn.Flatten]
    assert [layer.kernel_size for layer in layers[2::5]] == [(5, 5), (3, 3), (3, 3)]
    assert [layer.p for layer in layers[4::5]] == [0.2, 0.3, 0.4]


def test_settings_reach_the_tuned_network():
    settings = {
        "filters1": 8, "filters2": 9, "units": 10, "activation2": "leaky_relu", "slope2": 0.3,
        "activation3": "tanh", "dropout": 0.25,
    }  # fmt: skip
    network = Blueprint("tuned", 7, settings).build(SHAPE)
    kinds = [type(layer) for layer in network.convolutions]
    assert kinds[:3] == [nn.Conv2d, nn.ReLU, nn.BatchNorm2d]
    assert kinds[4:7] == [nn.Conv2d, nn.LeakyReLU, nn.BatchNorm2d]
    assert network.convolutions[5].negative_slope == 0.3
    assert [type(layer) for layer in network.hidden][1:] == [nn.Tanh, nn.BatchNorm1d, nn.Dropout]
    assert network.hidden[-1].p == 0.25
    assert [m.out_channels for m in network.modules() if isinstance(m, nn.Conv2d)] == [8, 9]
    assert network(torch.zeros(2, *SHAPE)).shape == (2, 7)


def test_other_image_shapes():
    assert Blueprint("weak-baseline", 5).build(ImageShape(3, 28, 20))(
        torch.zeros(2, 3, 28, 20)
    ).shape == (2, 5)
    with pytest.raises(InputError, match=r"five-blocks, 5 classes must be .* \(3, 8, 8\)"):
        Blueprint("five-blocks", 5).build(ImageShape(3, 8, 8))


@pytest.mark.parametrize(
    ("blueprint", "message"),
    [
        (Blueprint("lenet", 5), r"one of reference, weak-baseline, .*timm:NAME. Got 'lenet'"),
        (Blueprint("tuned", 5, {"unit": 3}), r"among filters1 \(such as 32\).*Got unit=3"),
        (Blueprint("tuned", 5, {"units": 0}), "Got units=0"),
        (Blueprint("tuned", 5, {"dropout": 1.5}), "Got dropout=1.5"),
        (Blueprint("tuned", 5, {"activation2": "step"}), "one of relu, .*Got 'step'"),
        (Blueprint("simple-cnn", 5, {"a": 1}), "among nothing. Got a=1"),
        (Blueprint("timm:resnet18", 5, {"checkpoint_path": "x"}), "must be numbers"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, Blueprint) else "",
)
def test_networks_that_cannot_be_made(blueprint, message):
    with pytest.raises(InputError, match=message) as caught:
        blueprint.build(SHAPE)
    assert "\n" not in str(caught.value)


def test_images_are_resized_in_the_network():
    plain = Blueprint("torchvision:resnet18", 4)
    resized = Blueprint("torchvision:resnet18", 4, image_size=48)
    torch.manual_seed(0)
    inner = plain.build(SHAPE).eval()
    torch.manual_seed(0)
    outer = resized.build(SHAPE).eval()
    images = torch.rand(2, *SHAPE)
    larger = nn.functional.interpolate(images, (48, 48), mode="bilinear", align_corners=False)
    torch.testing.assert_close(outer(images), inner(larger))
    assert not torch.allclose(outer(images), inner(images), atol=1e-3)
    assert default_image_size("torchvision:vit_b_16", SHAPE) == 224
    assert default_image_size("torchvision:resnet18", SHAPE) is None
    assert default_image_size("weak-baseline", SHAPE) is None


def test_superclasses_reach_a_hierarchical_head(tmp_path):
    trained = train(tmp_path / "s", arch="weak-baseline", head="hierarchical", epochs=1)
    assert trained.blueprint.groups == tuple(SUPERCLASS_OF)
    logits = trained.network(torch.zeros(2, *SHAPE)).detach().numpy()
    np.testing.assert_allclose(np.exp(logits).sum(1), 1, rtol=1e-5)
