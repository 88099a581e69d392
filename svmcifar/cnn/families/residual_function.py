"""Residual networks as in weiaicunzai/pytorch-cifar100: ResNet-18 to 152 for small images."""

import re
from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn

from svmcifar.cnn.families.family import Family

_BLOCK = re.compile(r"conv(\d+)_x\.(\d+)\..*")
_FIRST_STAGE = 2


class ResidualFunctionNet(Family):
    """The network whose convolutions have the shapes of a state dict's."""

    layers = "conv1, conv2_x to conv5_x with residual_function, fc"

    def __init__(self, state: Mapping[str, Any]) -> None:
        super().__init__(state)
        self.conv1 = nn.Sequential(*_layers(state, "conv1", [1]))
        blocks = sorted({(int(m[1]), int(m[2])) for m in map(_BLOCK.fullmatch, state) if m})
        self.stages = sorted({stage for stage, _ in blocks})
        for stage in self.stages:
            names = [f"conv{stage}_x.{block}" for at, block in blocks if at == stage]
            strides = [2 if stage > _FIRST_STAGE and k == 0 else 1 for k in range(len(names))]
            made = [_Block(state, name, s) for name, s in zip(names, strides, strict=True)]
            self.add_module(f"conv{stage}_x", nn.Sequential(*made))
        n_classes, n_features = state["fc.weight"].shape
        self.fc = nn.Linear(n_features, n_classes)

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Self | None:
        """Build the network of a state dict, None if it is none of this family."""
        names = ("conv1.0.weight", "conv2_x.0.residual_function.1.weight", "fc.weight")
        return cls(state) if all(name in state for name in names) else None

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits (n_images, n_classes) of normalised images."""
        x = torch.relu(self.conv1(images))
        for stage in self.stages:
            x = self.get_submodule(f"conv{stage}_x")(x)
        logits: Tensor = self.fc(x.mean(dim=(2, 3)))
        return logits


class _Block(nn.Module):
    def __init__(self, state: Mapping[str, Any], name: str, stride: int) -> None:
        super().__init__()
        # Three convolutions have the stride in their second, two in their first.
        is_bottleneck = f"{name}.residual_function.7.weight" in state
        strides = [1, stride, 1] if is_bottleneck else [stride, 1]
        self.residual_function = nn.Sequential(
            *_layers(state, f"{name}.residual_function", strides)
        )
        has_projection = f"{name}.shortcut.1.weight" in state
        layers = _layers(state, f"{name}.shortcut", [stride]) if has_projection else []
        self.shortcut = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the block."""
        return torch.relu(self.residual_function(x) + self.shortcut(x))


def _layers(state: Mapping[str, Any], name: str, strides: list[int]) -> list[nn.Module]:
    """Build convolutions, each with batch normalisation, and a ReLU between them."""
    layers: list[nn.Module] = []
    for k, stride in enumerate(strides):
        n_out, n_in, side, _ = state[f"{name}.{3 * k}.weight"].shape
        conv = nn.Conv2d(n_in, n_out, side, stride=stride, padding=side // 2, bias=False)
        layers += [conv, nn.BatchNorm2d(n_out), nn.ReLU()]
    return layers[:-1]
