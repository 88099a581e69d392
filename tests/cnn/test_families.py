"""Networks of the families that people train: as written by hand, and as read from a state dict."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from checkpoints import NAMES, SHAPE, refused, write_file
from torch import nn

from svmcifar.cnn.architectures import recognise
from svmcifar.cnn.checkpoint import load_network
from svmcifar.cnn.image_network import normalise
from svmcifar.cnn.model_card import REFERENCE_NORMALISATION


class BasicBlock(nn.Module):
    """As in torchvision and its descendants; `shortcut` is what they call the projection."""

    expansion = 1

    def __init__(self, n_in, n, stride, shortcut):
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(n)
        self.conv2 = nn.Conv2d(n, n, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(n)
        self.relu = nn.ReLU()
        self.project = shortcut
        setattr(self, shortcut, projection(n_in, n, stride))

    def forward(self, x):
        out = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(out)) + getattr(self, self.project)(x))


class Bottleneck(nn.Module):
    expansion = 4

    def __init__(self, n_in, n, stride, shortcut):
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(n)
        self.conv2 = nn.Conv2d(n, n, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(n)
        self.conv3 = nn.Conv2d(n, 4 * n, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * n)
        self.relu = nn.ReLU()
        self.project = shortcut
        setattr(self, shortcut, projection(n_in, 4 * n, stride))

    def forward(self, x):
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        return self.relu(self.bn3(self.conv3(out)) + getattr(self, self.project)(x))


def projection(n_in, n_out, stride):
    if stride == 1 and n_in == n_out:
        return nn.Sequential()
    return nn.Sequential(nn.Conv2d(n_in, n_out, 1, stride, bias=False), nn.BatchNorm2d(n_out))


class PlainResNet(nn.Module):
    def __init__(self, block, blocks, widths, shortcut="downsample", head="fc"):
        super().__init__()
        self.conv1 = nn.Conv2d(3, widths[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        n_in, self.names, self.head = widths[0], [], head
        for k, (n_blocks, width) in enumerate(zip(blocks, widths, strict=True), 1):
            layer = []
            for b in range(n_blocks):
                layer.append(block(n_in, width, 2 if k > 1 and b == 0 else 1, shortcut))
                n_in = block.expansion * width
            self.names.append(f"layer{k}")
            setattr(self, f"layer{k}", nn.Sequential(*layer))
        setattr(self, head, nn.Linear(n_in, 100))

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        for name in self.names:
            x = getattr(self, name)(x)
        return getattr(self, self.head)(nn.functional.adaptive_avg_pool2d(x, 1).flatten(1))


class FunctionBlock(nn.Module):
    def __init__(self, n_in, n, stride, bottleneck):
        super().__init__()
        sizes = [(n_in, n, 1, 1), (n, n, 3, stride), (n, 4 * n, 1, 1)]
        if not bottleneck:
            sizes = [(n_in, n, 3, stride), (n, n, 3, 1)]
        layers = []
        for a, b, side, step in sizes:
            conv = nn.Conv2d(a, b, side, step, side // 2, bias=False)
            layers += [conv, nn.BatchNorm2d(b), nn.ReLU()]
        self.residual_function = nn.Sequential(*layers[:-1])
        self.shortcut = projection(n_in, sizes[-1][1], stride)

    def forward(self, x):
        return torch.relu(self.residual_function(x) + self.shortcut(x))


class FunctionResNet(nn.Module):
    def __init__(self, blocks, width, bottleneck):
        super().__init__()
        self.conv1 = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )
        n_in = width
        for k, n_blocks in enumerate(blocks):
            layer = []
            for b in range(n_blocks):
                n = width * 2**k
                layer.append(FunctionBlock(n_in, n, 2 if k and not b else 1, bottleneck))
                n_in = 4 * n if bottleneck else n
            setattr(self, f"conv{k + 2}_x", nn.Sequential(*layer))
        self.n_stages = len(blocks)
        self.fc = nn.Linear(n_in, 100)

    def forward(self, x):
        x = self.conv1(x)
        for k in range(self.n_stages):
            x = getattr(self, f"conv{k + 2}_x")(x)
        return self.fc(x.mean((2, 3)))


class LinearBottleneck(nn.Module):
    def __init__(self, n_in, n_out, stride, factor=6):
        super().__init__()
        n = n_in * factor
        self.residual = nn.Sequential(
            *(nn.Conv2d(n_in, n, 1), nn.BatchNorm2d(n), nn.ReLU6()),
            *(nn.Conv2d(n, n, 3, stride, 1, groups=n), nn.BatchNorm2d(n), nn.ReLU6()),
            *(nn.Conv2d(n, n_out, 1), nn.BatchNorm2d(n_out)),
        )
        self.keeps = stride == 1 and n_in == n_out

    def forward(self, x):
        return x + self.residual(x) if self.keeps else self.residual(x)


class StagedMobile(nn.Module):
    def __init__(self):
        super().__init__()
        self.pre = nn.Sequential(nn.Conv2d(3, 8, 1, padding=1), nn.BatchNorm2d(8), nn.ReLU6())
        self.stage1 = LinearBottleneck(8, 4, 1, 1)
        sizes = [(2, 4, 6, 2), (3, 6, 8, 2), (4, 8, 8, 2), (3, 8, 12, 1), (3, 12, 12, 1)]
        for k, (n, n_in, n_out, stride) in enumerate(sizes, 2):
            more = [LinearBottleneck(n_out, n_out, 1) for _ in range(n - 1)]
            stage = nn.Sequential(LinearBottleneck(n_in, n_out, stride), *more)
            setattr(self, f"stage{k}", stage)
        self.stage7 = LinearBottleneck(12, 16, 1)
        self.conv1 = nn.Sequential(nn.Conv2d(16, 32, 1), nn.BatchNorm2d(32), nn.ReLU6())
        self.conv2 = nn.Conv2d(32, 100, 1)

    def forward(self, x):
        x = self.pre(x)
        for k in range(1, 8):
            x = getattr(self, f"stage{k}")(x)
        x = nn.functional.adaptive_avg_pool2d(self.conv1(x), 1)
        return self.conv2(x).view(len(x), -1)


class ShuffleUnit(nn.Module):
    def __init__(self, n_in, n_out, stride):
        super().__init__()
        n, half = (n_in, n_out // 2) if stride == 2 else (n_in // 2, n_in // 2)
        last = (nn.Conv2d(n, half, 1), nn.BatchNorm2d(half), nn.ReLU())
        self.residual = nn.Sequential(
            *(nn.Conv2d(n, n, 1), nn.BatchNorm2d(n), nn.ReLU()),
            *(nn.Conv2d(n, n, 3, stride, 1, groups=n), nn.BatchNorm2d(n)),
            *last,
        )
        self.shortcut = nn.Sequential()
        if stride == 2:
            self.shortcut = nn.Sequential(
                *(nn.Conv2d(n, n, 3, stride, 1, groups=n), nn.BatchNorm2d(n)),
                *(nn.Conv2d(n, half, 1), nn.BatchNorm2d(half), nn.ReLU()),
            )
        self.splits = stride == 1

    def forward(self, x):
        a, b = torch.split(x, x.shape[1] // 2, dim=1) if self.splits else (x, x)
        x = torch.cat([self.shortcut(a), self.residual(b)], dim=1)
        n, c, h, w = x.shape
        return x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


class StagedShuffle(nn.Module):
    def __init__(self):
        super().__init__()
        self.pre = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8))
        for k, (n, n_in, n_out) in enumerate([(3, 8, 12), (7, 12, 24), (3, 24, 32)], 2):
            more = [ShuffleUnit(n_out, n_out, 1) for _ in range(n)]
            setattr(self, f"stage{k}", nn.Sequential(ShuffleUnit(n_in, n_out, 2), *more))
        self.conv5 = nn.Sequential(nn.Conv2d(32, 64, 1), nn.BatchNorm2d(64), nn.ReLU())
        self.fc = nn.Linear(64, 100)

    def forward(self, x):
        x = self.stage4(self.stage3(self.stage2(self.pre(x))))
        return self.fc(self.conv5(x).mean((2, 3)))


class PlainVGG(nn.Module):
    def __init__(self, plan, norm, hidden, dropout=True):
        super().__init__()
        layers, n_in = [], 3
        for n in plan:
            if n == "M":
                layers.append(nn.MaxPool2d(2, 2))
                continue
            layers.append(nn.Conv2d(n_in, n, 3, padding=1))
            layers += [nn.BatchNorm2d(n)] if norm else []
            layers.append(nn.ReLU(inplace=True))
            n_in = n
        self.features = nn.Sequential(*layers)
        between = [nn.ReLU(True), nn.Dropout()] if dropout else [nn.ReLU(True)]
        sizes = [n_in, *hidden]
        linear = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), *between)]
        last = nn.Linear(sizes[-1], 100)
        self.classifier = nn.Sequential(*linear, last) if hidden else last

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


VGG11 = [8, "M", 16, "M", 16, 16, "M", 32, 32, "M", 32, 32, "M"]
VGG13 = [8, 8, "M", 16, 16, "M", 16, 16, "M", 32, 32, "M", 32, 32, "M"]
VGG16 = [8, 8, "M", 16, 16, "M", 16, 16, 16, "M", 32, 32, 32, "M", 32, 32, 32, "M"]

NETWORKS = {
    "ResNet-20": lambda: PlainResNet(BasicBlock, [3, 3, 3], [16, 32, 64]),
    "ResNet-32": lambda: PlainResNet(BasicBlock, [5, 5, 5], [8, 16, 32]),
    "ResNet-56": lambda: PlainResNet(BasicBlock, [9, 9, 9], [8, 16, 32]),
    "ResNet-18, shortcut and linear": lambda: PlainResNet(
        BasicBlock, [2, 2, 2, 2], [8, 16, 32, 64], "shortcut", "linear"
    ),
    "ResNet-34": lambda: PlainResNet(BasicBlock, [3, 4, 6, 3], [8, 16, 32, 64]),
    "ResNet-50": lambda: PlainResNet(
        Bottleneck, [3, 4, 6, 3], [8, 16, 32, 64], "shortcut", "linear"
    ),
    "ResNet-50, downsample": lambda: PlainResNet(Bottleneck, [3, 4, 6, 3], [8, 16, 32, 64]),
    "ResNet-18 of residual functions": lambda: FunctionResNet([2, 2, 2, 2], 8, False),
    "ResNet-34 of residual functions": lambda: FunctionResNet([3, 4, 6, 3], 8, False),
    "ResNet-50 of residual functions": lambda: FunctionResNet([3, 4, 6, 3], 8, True),
    "MobileNetV2 of stages": StagedMobile,
    "ShuffleNetV2 of stages": StagedShuffle,
    "VGG-11": lambda: PlainVGG(VGG11, norm=False, hidden=[]),
    "VGG-13-BN": lambda: PlainVGG(VGG13, norm=True, hidden=[64, 64]),
    "VGG-16": lambda: PlainVGG(VGG16, norm=False, hidden=[64, 64]),
    "VGG-16-BN": lambda: PlainVGG(VGG16, norm=True, hidden=[]),
    "VGG-16-BN without dropout": lambda: PlainVGG(VGG16, norm=True, hidden=[64], dropout=False),
}


def trained(make):
    """Make a network with statistics that are not those of the start."""
    torch.manual_seed(0)
    network = make()
    network.train()
    with torch.no_grad():
        for _ in range(3):
            network(torch.randn(16, 3, 32, 32))
    return network.eval()


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("half", [False, True])
def test_logits_are_those_of_the_network_itself(tmp_path, name, half):
    network = trained(NETWORKS[name])
    state = network.state_dict()
    if half:
        state = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
        network.load_state_dict(state)
    images = np.random.default_rng(0).integers(0, 256, (5, 3072), dtype=np.uint8)
    read = load_network(write_file(tmp_path / "m.pth", {"model": state}), NAMES, SHAPE)
    assert read.n_classes == 100
    pixels = normalise(images.reshape(-1, 3, 32, 32), REFERENCE_NORMALISATION)
    with torch.no_grad():
        expected = network(torch.from_numpy(pixels)).numpy()
    np.testing.assert_allclose(read.compute_logits(pixels), expected, rtol=0, atol=1e-4)
    assert np.ptp(expected) > 0.01


@pytest.mark.parametrize("name", ["ResNet-20", "ResNet-50 of residual functions", "VGG-16-BN"])
@pytest.mark.parametrize("change", ["missing", "unexpected", "transposed"])
def test_other_tensors_are_refused_by_name(tmp_path, name, change):
    state = NETWORKS[name]().state_dict()
    entry = [key for key, value in state.items() if value.ndim == 4][3]
    if change == "missing":
        del state[entry]
    elif change == "unexpected":
        entry = "attention.weight"
        state[entry] = torch.zeros(3)
    else:
        state[entry] = state[entry].permute(2, 3, 0, 1).contiguous()
    message = refused(write_file(tmp_path / "m.pth", state))
    assert "must be that of a known network" in message
    if change != "transposed":
        assert entry in message


def test_what_a_hostile_file_claims_is_not_built():
    state = NETWORKS["VGG-16-BN"]().state_dict()
    del state["classifier.weight"], state["classifier.bias"]
    state["classifier.1000000000000.weight"] = torch.zeros(100, 32)
    with pytest.raises(Exception, match="known network"):
        recognise(state)
    state = NETWORKS["ResNet-20"]().state_dict()
    state["layer1000000000000.0.conv1.weight"] = state["conv1.weight"]
    with pytest.raises(Exception, match="known network"):
        recognise(state)


def test_images_that_a_network_cannot_take_are_refused(tmp_path):
    """Pooled five times, images of 64 x 64 leave four values a channel."""
    path = write_file(tmp_path / "m.pth", NETWORKS["VGG-11"]().state_dict())
    with pytest.raises(Exception, match=r"must work on images of shape \(3, 64, 64\)"):
        load_network(path, NAMES, SHAPE._replace(height=64, width=64))
    path = write_file(tmp_path / "r.pth", NETWORKS["ResNet-20"]().state_dict())
    assert load_network(path, NAMES, SHAPE._replace(height=64, width=64)).n_classes == 100
