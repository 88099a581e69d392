"""Residual networks for small images: a 3 x 3 stem, stages of blocks, and one linear layer.

Names are those of torchvision with a small stem, of chenyaofo/pytorch-cifar-models (ResNet-20 to
56) and of kuangliu/pytorch-cifar, which calls the shortcut and the last layer otherwise.
"""

import re
from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn

from svmcifar.cnn.families.family import Family

_BLOCK = re.compile(r"layer(\d+)\.(\d+)\..*")


class ResNet(Family):
    """The network whose layers have the shapes of a state dict's; see He et al., CVPR 2016."""

    layers = "conv1, layer1 to layer3 or 4, fc or linear"

    def __init__(self, state: Mapping[str, Any]) -> None:
        super().__init__(state)
        width = state["conv1.weight"].shape[0]
        self.conv1 = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        blocks = sorted({(int(m[1]), int(m[2])) for m in map(_BLOCK.fullmatch, state) if m})
        self.stages = sorted({stage for stage, _ in blocks})
        for stage in self.stages:
            names = [f"layer{stage}.{block}" for at, block in blocks if at == stage]
            strides = [2 if stage > 1 and k == 0 else 1 for k in range(len(names))]
            made = [_Block(state, name, s) for name, s in zip(names, strides, strict=True)]
            self.add_module(f"layer{stage}", nn.Sequential(*made))
        self.head = "fc" if "fc.weight" in state else "linear"
        n_classes, n_features = state[f"{self.head}.weight"].shape
        self.add_module(self.head, nn.Linear(n_features, n_classes))

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Self | None:
        """Build the network of a state dict, None if it is none of this family."""
        is_small = getattr(state.get("conv1.weight"), "shape", ())[1:] == (3, 3, 3)
        has_head = "fc.weight" in state or "linear.weight" in state
        return cls(state) if is_small and has_head and "layer1.0.bn1.weight" in state else None

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits (n_images, n_classes) of normalised images."""
        x = torch.relu(self.bn1(self.conv1(images)))
        for stage in self.stages:
            x = self.get_submodule(f"layer{stage}")(x)
        logits: Tensor = self.get_submodule(self.head)(x.mean(dim=(2, 3)))
        return logits


class _Block(nn.Module):
    """Two or three convolutions, added to their input or its projection."""

    def __init__(self, state: Mapping[str, Any], name: str, stride: int) -> None:
        super().__init__()
        self.n_convolutions = 3 if f"{name}.bn3.weight" in state else 2
        channels = state[f"{name}.conv1.weight"].shape[1]
        for k in range(1, self.n_convolutions + 1):
            n_out, n_in, side, _ = state[f"{name}.conv{k}.weight"].shape
            # The stride is that of the first 3 x 3 convolution.
            step = stride if side == 3 and k <= 2 and (k == 1 or self.n_convolutions == 3) else 1
            conv = nn.Conv2d(
                channels, n_out, side, step, side // 2, groups=channels // n_in, bias=False
            )
            channels = n_out
            self.add_module(f"conv{k}", conv)
            self.add_module(f"bn{k}", nn.BatchNorm2d(n_out))
        self.shortcut_name = "downsample" if f"{name}.downsample.1.weight" in state else "shortcut"
        layers: list[nn.Module] = []
        if f"{name}.{self.shortcut_name}.1.weight" in state:
            n_out, n_in = state[f"{name}.{self.shortcut_name}.0.weight"].shape[:2]
            layers = [nn.Conv2d(n_in, n_out, 1, stride=stride, bias=False), nn.BatchNorm2d(n_out)]
        self.add_module(self.shortcut_name, nn.Sequential(*layers))

    def forward(self, x: Tensor) -> Tensor:
        """Compute the block."""
        y = x
        for k in range(1, self.n_convolutions + 1):
            y = self.get_submodule(f"bn{k}")(self.get_submodule(f"conv{k}")(y))
            if k < self.n_convolutions:
                y = torch.relu(y)
        return torch.relu(y + self.get_submodule(self.shortcut_name)(x))
