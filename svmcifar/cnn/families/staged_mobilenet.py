"""MobileNetV2 for small images as in weiaicunzai/pytorch-cifar100."""

from collections.abc import Mapping
from typing import Any, Self

from torch import Tensor, nn

from svmcifar.cnn.families.family import Family
from svmcifar.cnn.families.numbered_layers import build_layers

_STRIDES = {1: 1, 2: 2, 3: 2, 4: 2, 5: 1, 6: 1, 7: 1}


class StagedMobileNet(Family):
    """Inverted residuals in seven stages; see Sandler et al., CVPR 2018."""

    layers = "pre, stage1 to stage7 with residual, conv1, conv2"

    def __init__(self, state: Mapping[str, Any]) -> None:
        super().__init__(state)
        # Around a 1 x 1 convolution, padding makes a border of its bias.
        self.pre = nn.Sequential(*build_layers(state, "pre", nn.ReLU6))
        width = len(state["pre.0.weight"])
        self.pre[0] = nn.Conv2d(3, width, 1, padding=1)
        for number, stride in _STRIDES.items():
            name = f"stage{number}"
            if f"{name}.residual.0.weight" in state:
                self.add_module(name, _Bottleneck(state, name, stride))
                continue
            blocks: list[nn.Module] = []
            while not blocks or f"{name}.{len(blocks)}.residual.0.weight" in state:
                step = 1 if blocks else stride
                blocks.append(_Bottleneck(state, f"{name}.{len(blocks)}", step))
            self.add_module(name, nn.Sequential(*blocks))
        self.conv1 = build_layers(state, "conv1", nn.ReLU6)
        n_classes, n_features = state["conv2.weight"].shape[:2]
        self.conv2 = nn.Conv2d(n_features, n_classes, 1)

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Self | None:
        """Build the network of a state dict, None if it is none of this family."""
        names = ("pre.0.weight", "stage1.residual.0.weight", "conv2.weight")
        return cls(state) if all(name in state for name in names) else None

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits (n_images, n_classes) of normalised images."""
        x = self.pre(images)
        for number in _STRIDES:
            x = self.get_submodule(f"stage{number}")(x)
        x = self.conv1(x).mean(dim=(2, 3), keepdim=True)
        logits: Tensor = self.conv2(x).flatten(1)
        return logits


class _Bottleneck(nn.Module):
    def __init__(self, state: Mapping[str, Any], name: str, stride: int) -> None:
        super().__init__()
        self.residual = build_layers(
            state, f"{name}.residual", nn.ReLU6, stride=stride, is_last_active=False
        )
        first, last = state[f"{name}.residual.0.weight"], state[f"{name}.residual.6.weight"]
        self.is_added = stride == 1 and first.shape[1] == last.shape[0]

    def forward(self, x: Tensor) -> Tensor:
        """Compute the block."""
        y: Tensor = self.residual(x)
        return x + y if self.is_added else y
