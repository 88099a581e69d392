"""The networks of torchvision and timm that a state dict may belong to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import isqrt
from typing import Any

from torch import Tensor, nn

from svmcifar.cnn.differences import build_empty
from svmcifar.cnn.libraries import create_from_library, fixed_size
from svmcifar.cnn.library_index import find_networks, nearest_networks

# A number of classes that tells heads from other layers: a prime that no layer has as its size.
_N_CLASSES = 977
# Sides of the patches of timm's transformers, and the entry that has them.
_PATCHES = (16, 32, 14, 8)
_PATCH_WEIGHTS = "patch_embed.proj.weight"
_SECOND_HEADS = ("aux1.", "AuxLogits.")
# Factors of the width of torchvision's MobileNetV2, by the channels of its first convolution.
_WIDTHS = {16: 0.5, 24: 0.75, 32: 1.0, 48: 1.4}
_FIRST_WEIGHTS = "features.0.0.weight"
# The first convolution of torchvision's DenseNets, 7 x 7, for which many put one of 3 x 3.
_STEM_WEIGHTS = "features.conv0.weight"
# Images up to this side are small: networks for them keep more of their pixels.
_SMALL_SIDE = 64


@dataclass(frozen=True, eq=False)
class FromLibrary:
    """A network of torchvision's or timm's.

    `image_size` is the side of the images that it must be built for, None if it takes any; settings
    are those of `create_from_library`.  `is_small` is that of `_SMALL_FORMS`.
    """

    name: str
    n_classes: int
    image_size: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    is_small: bool = False

    def __str__(self) -> str:
        form = " for small images" if self.is_small else ""
        return f"{self.name}{form}, {self.n_classes} classes"

    def build(self) -> nn.Module:
        """Build a network with random weights."""
        network = create_from_library(self.name, self.n_classes, self.image_size, **self.settings)
        if self.is_small and (shrink := _small_form(self.name)):
            shrink(network)
        return network

    def to_card(self) -> dict[str, Any]:
        """Return the JSON-ready entry of a model card."""
        return {"name": self.name, "n_classes": self.n_classes}


def fit_network(name: str, state: Mapping[str, Any], image_size: int | None = None) -> FromLibrary:
    """Return the library's network with the sizes that the tensors of a state dict have.

    The number of classes is that of its head, the side of the images that of its embedding of
    positions, else `image_size`, else the library's own.  Raise as `create_from_library`.
    """
    settings: dict[str, Any] = {}
    if any(entry.startswith(_SECOND_HEADS) for entry in state):
        settings["aux_logits"] = True
    if name == "torchvision:mobilenet_v2":
        first = getattr(state.get(_FIRST_WEIGHTS), "shape", ())[:1]
        settings["width_mult"] = _WIDTHS.get(first[0] if first else 0, 1.0)
    empty = _empty_state(name, settings)
    patch = _square(state.get(_PATCH_WEIGHTS))
    if name.startswith("timm:") and patch and patch != _square(empty.get(_PATCH_WEIGHTS)):
        settings["patch_size"] = patch
        empty = _empty_state(name, settings)
    heads = [entry for entry, value in empty.items() if value.shape[:1] == (_N_CLASSES,)]
    counts = [len(state[entry]) for entry in heads if getattr(state.get(entry), "ndim", 0)]
    side = _side_by_positions(name, state, empty)
    if side is None and fixed_size(name) is not None:
        side = image_size or fixed_size(name)
    return FromLibrary(name, counts[0] if counts else 100, side, settings)


def fit_networks(
    name: str, state: Mapping[str, Any], image_size: int | None = None
) -> list[FromLibrary]:
    """Return `fit_network` and, where people change it for small images, that form beside it."""
    network = fit_network(name, state, image_size)
    if _small_form(name) is None:
        return [network]
    forms = [replace(network, is_small=True), network]
    return forms if (image_size or 0) <= _SMALL_SIDE else forms[::-1]


def library_candidates(state: Mapping[str, Tensor]) -> list[str]:
    """List the networks whose tensors have these names and shapes, the commonest first."""
    shapes = _shapes(state)
    if found := find_networks(shapes):
        return found
    if len(shapes.get(_PATCH_WEIGHTS, ())) == 4:
        for side in _PATCHES:
            other = (*shapes[_PATCH_WEIGHTS][:2], side, side)
            if found := find_networks({**shapes, _PATCH_WEIGHTS: other}):
                return found
    if shapes.get(_STEM_WEIGHTS, ())[2:] == (3, 3):
        return find_networks({**shapes, _STEM_WEIGHTS: (*shapes[_STEM_WEIGHTS][:2], 7, 7)})
    return []


def nearest_candidates(state: Mapping[str, Tensor]) -> list[str]:
    """List the libraries' networks that share most tensors, none if none shares half of them."""
    return nearest_networks(_shapes(state))


def _small_form(name: str) -> Callable[[Any], None] | None:
    """Return what makes a network's small-image form of it, if it has one."""
    return next((make for start, make in _SMALL_FORMS.items() if name.startswith(start)), None)


def _shrink_mobilenet(network: Any) -> None:
    network.features[0][0].stride = (1, 1)
    network.features[2].conv[1][0].stride = (1, 1)


def _shrink_shufflenet(network: Any) -> None:
    network.conv1[0].stride = (1, 1)
    network.maxpool = nn.Identity()


def _shrink_densenet(network: Any) -> None:
    width = network.features.conv0.out_channels
    network.features.conv0 = nn.Conv2d(3, width, 3, padding=1, bias=False)
    network.features.pool0 = nn.Identity()


# Forms for small images, as in chenyaofo/pytorch-cifar-models: fewer strides, and the same tensors
# but for the first of a DenseNet.
_SMALL_FORMS: dict[str, Callable[[Any], None]] = {
    "torchvision:mobilenet_v2": _shrink_mobilenet,
    "torchvision:shufflenet_v2_": _shrink_shufflenet,
    "torchvision:densenet": _shrink_densenet,
}


def _shapes(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    kept = (name for name in state if not name.endswith("num_batches_tracked"))
    return {name: tuple(state[name].shape) for name in kept}


def _empty_state(name: str, settings: Mapping[str, Any]) -> dict[str, Tensor]:
    return build_empty(lambda: create_from_library(name, _N_CLASSES, **settings)).state_dict()


def _square(value: Any) -> int | None:
    """Return the side of the kernels that weights of a convolution have."""
    return value.shape[-1] if getattr(value, "ndim", 0) == 4 else None


def _side_by_positions(
    name: str, state: Mapping[str, Any], empty: Mapping[str, Tensor]
) -> int | None:
    """Return the side of the images that an embedding of positions, one a patch, was made for."""
    default = fixed_size(name)
    patch = next((v.shape[-1] for v in empty.values() if v.ndim == 4 and v.shape[1] == 3), None)
    for entry, value in empty.items():
        found: Any = state.get(entry)
        if default is None or patch is None or "pos_emb" not in entry or value.ndim != 3:
            continue
        if getattr(found, "ndim", 0) == 3:
            n_others = value.shape[1] - (default // patch) ** 2
            n_patches = max(found.shape[1] - n_others, 0)
            if isqrt(n_patches) ** 2 == n_patches > 0:
                return isqrt(n_patches) * patch
    return None
