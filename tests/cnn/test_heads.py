"""Softmax heads: probabilities, losses at their own cost, noise."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from svmcifar.cnn.blueprint import AdaptedNetwork, Blueprint
from svmcifar.cnn.heads import HEADS, make_head
from svmcifar.compute.image_shape import ImageShape
from svmcifar.errors import InputError

GROUPS = {100: [k * 7 % 20 for k in range(100)], 11: [0, 2, 1, 1, 2, 0, 0, 0, 2, 2, 0]}
SHAPE = ImageShape(3, 32, 32)


def head_and_features(name, n_classes, seed=0):
    torch.manual_seed(seed)
    head = make_head(name, 12, n_classes, GROUPS[n_classes])
    return head, 3 * torch.randn(40, 12), torch.randint(n_classes, (40,))


@pytest.mark.parametrize("n_classes", [*GROUPS])
@pytest.mark.parametrize("name", HEADS)
def test_probabilities_sum_to_one(name, n_classes):
    head, features, _ = head_and_features(name, n_classes)
    for training in (True, False):
        chances = head.train(training)(features).exp()
        assert chances.shape == (40, n_classes)
        torch.testing.assert_close(chances.sum(1), torch.ones(40))
        assert (chances > 0).all()


@pytest.mark.parametrize("n_classes", [*GROUPS])
@pytest.mark.parametrize("name", HEADS)
def test_own_loss_is_the_cross_entropy_and_has_its_gradient(name, n_classes):
    head, features, targets = head_and_features(name, n_classes)
    gradients = []
    for loss in (
        lambda: head.loss(features, targets),
        lambda: cross_entropy(head(features), targets),
    ):
        torch.manual_seed(5)  # the same noise
        head.zero_grad()
        value = loss()
        value.backward()
        gradients.append([value.detach(), *(p.grad for p in head.parameters())])
    for own, other in zip(*gradients, strict=True):
        torch.testing.assert_close(own, other)


def test_hierarchical_probabilities_by_hand():
    head, features, _ = head_and_features("hierarchical", 11)
    groups = np.array(GROUPS[11])
    f = features.double().numpy()
    weight, bias = (value.detach().double().numpy() for value in (head.weight, head.bias))
    outer = np.exp(
        f @ head.group.weight.detach().double().numpy().T + head.group.bias.detach().numpy()
    )
    outer /= outer.sum(1, keepdims=True)
    expected = np.empty((40, 11))
    for group in range(3):
        members = np.flatnonzero(groups == group)
        inner = np.exp(f @ weight[group, : len(members)].T + bias[group, : len(members)])
        expected[:, members] = outer[:, [group]] * inner / inner.sum(1, keepdims=True)
    np.testing.assert_allclose(head(features).exp().detach(), expected, rtol=1e-4, atol=1e-7)


def test_gumbel_noise_is_that_of_sampling():
    """The most probable class of noisy logits is drawn with the softmax's probabilities."""
    head = make_head("gumbel", 3, 4)
    features = torch.tensor([[0.5, -1.0, 2.0]]).expand(40_000, 3)
    torch.manual_seed(1)
    drawn = head.train()(features).argmax(1)
    expected = head.eval()(features[:1]).exp()[0]
    shares = torch.bincount(drawn, minlength=4) / 40_000
    torch.testing.assert_close(shares, expected, rtol=0, atol=0.01)
    assert torch.equal(head(features[:5]), head(features[:5]))  # no noise afterwards


@pytest.mark.parametrize("name", HEADS[1:])
@pytest.mark.parametrize("arch", ["weak-baseline", "reference", "torchvision:resnet18"])
def test_any_network_takes_a_head_in_place_of_its_last_layer(name, arch):
    settings = {"width": 1} if arch == "reference" else {}
    blueprint = Blueprint(arch, 11, settings, name, tuple(GROUPS[11]))
    network = blueprint.build(SHAPE).eval()
    assert isinstance(network, AdaptedNetwork)
    logits = network(torch.rand(2, *SHAPE))
    torch.testing.assert_close(logits.exp().sum(1), torch.ones(2))
    assert type(network.body.get_submodule(network.head_path)) is nn.Identity


def test_bfloat16_keeps_float32_probabilities():
    for name in HEADS:
        head, features, _ = head_and_features(name, 100)
        with torch.autocast("cpu", torch.bfloat16):
            sums = head.train()(features).float().exp().sum(1)
        torch.testing.assert_close(sums, torch.ones(40), rtol=0, atol=0.02)


def test_heads_that_cannot_be_made():
    with pytest.raises(InputError, match="superclass of each class"):
        make_head("hierarchical", 3, 4)
    with pytest.raises(InputError, match=r"at least 4 classes\. Got 3"):
        make_head("adaptive", 3, 3)
    with pytest.raises(InputError, match=r"linear layer of 5 classes\. Got torchvision:squ"):
        Blueprint("torchvision:squeezenet1_1", 5, head="gumbel").build(SHAPE)
