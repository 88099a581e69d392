"""ShuffleNetV2 for small images as in weiaicunzai/pytorch-cifar100."""

from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn

from svmcifar.cnn.families.family import Family
from svmcifar.cnn.families.numbered_layers import build_layers

_STAGES = ("stage2", "stage3", "stage4")


class StagedShuffleNet(Family):
    """Shuffle units in three stages; see Ma et al., ECCV 2018."""

    layers = "pre, stage2 to stage4 with residual and shortcut, conv5, fc"

    def __init__(self, state: Mapping[str, Any]) -> None:
        super().__init__(state)
        self.pre = build_layers(state, "pre", nn.ReLU, is_last_active=False)
        for name in _STAGES:
            units: list[nn.Module] = []
            while not units or f"{name}.{len(units)}.residual.0.weight" in state:
                units.append(_Unit(state, f"{name}.{len(units)}"))
            self.add_module(name, nn.Sequential(*units))
        self.conv5 = build_layers(state, "conv5", nn.ReLU)
        n_classes, n_features = state["fc.weight"].shape
        self.fc = nn.Linear(n_features, n_classes)

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Self | None:
        """Build the network of a state dict, None if it is none of this family."""
        names = ("pre.0.weight", "stage2.0.shortcut.0.weight", "fc.weight")
        return cls(state) if all(name in state for name in names) else None

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits (n_images, n_classes) of normalised images."""
        x = self.pre(images)
        for name in _STAGES:
            x = self.get_submodule(name)(x)
        logits: Tensor = self.fc(self.conv5(x).mean(dim=(2, 3)))
        return logits


class _Unit(nn.Module):
    """Halves of the channels, or two views of all with half the pixels, joined and shuffled."""

    def __init__(self, state: Mapping[str, Any], name: str) -> None:
        super().__init__()
        self.is_reducing = f"{name}.shortcut.0.weight" in state
        stride = 2 if self.is_reducing else 1
        self.residual = build_layers(state, f"{name}.residual", nn.ReLU, stride=stride)
        self.shortcut = nn.Sequential()
        if self.is_reducing:
            self.shortcut = build_layers(state, f"{name}.shortcut", nn.ReLU, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the unit."""
        kept, changed = (x, x) if self.is_reducing else x.chunk(2, dim=1)
        joined = torch.stack([self.shortcut(kept), self.residual(changed)], dim=2)
        return joined.flatten(1, 2)
