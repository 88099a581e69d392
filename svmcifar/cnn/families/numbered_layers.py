"""Sequences of layers, built from the numbers and shapes of their weights."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn


def build_layers(
    state: Mapping[str, Any],
    name: str,
    activation: Callable[[], nn.Module],
    *,
    stride: int = 1,
    is_last_active: bool = True,
) -> nn.Sequential:
    """Build convolutions with batch normalisation, and an activation at each number between.

    The stride is that of the convolutions that are larger than 1 x 1, which are padded.  Weights do
    not tell whether an activation ends the sequence: `is_last_active` does.
    """
    layers: list[nn.Module] = []
    while f"{name}.{len(layers)}.weight" in state or f"{name}.{len(layers) + 1}.weight" in state:
        weight = state.get(f"{name}.{len(layers)}.weight")
        if weight is None:
            layers.append(activation())
        elif weight.ndim == 1:
            layers.append(nn.BatchNorm2d(len(weight)))
        else:
            layers.append(_convolution(weight, stride, f"{name}.{len(layers)}.bias" in state))
    return nn.Sequential(*layers, *([activation()] if is_last_active else []))


def _convolution(weight: Any, stride: int, has_bias: bool) -> nn.Conv2d:
    n_out, n_in, side, _ = weight.shape
    is_depthwise = n_in == 1
    return nn.Conv2d(
        n_out if is_depthwise else n_in,
        n_out,
        side,
        stride=stride if side > 1 else 1,
        padding=side // 2,
        groups=n_out if is_depthwise else 1,
        bias=has_bias,
    )
