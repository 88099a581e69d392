"""Blueprints: all that is needed to make a network again, as a model card keeps it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from inspect import signature
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import interpolate

from svmcifar.cnn.heads import HEADS, make_head
from svmcifar.cnn.libraries import create_from_library, fixed_size, is_library_name
from svmcifar.cnn.networks.pooled_blocks import FiveBlocks, SimpleCNN
from svmcifar.cnn.networks.refined import Refined
from svmcifar.cnn.networks.tuned import Tuned
from svmcifar.cnn.networks.weak_baseline import WeakBaseline
from svmcifar.cnn.reference import ReferenceNetwork
from svmcifar.compute.image_shape import ImageShape
from svmcifar.errors import InputError

REFERENCE = "reference"
NETWORKS: dict[str, Any] = {
    "weak-baseline": WeakBaseline,
    "refined": Refined,
    "tuned": Tuned,
    "five-blocks": FiveBlocks,
    "simple-cnn": SimpleCNN,
}
_PLAIN = (bool, int, float, str)


@dataclass(frozen=True)
class Blueprint:
    """A network that `train-cnn` makes.

    Attributes
    ----------
    name : str
        "reference", a key of `NETWORKS`, or a library's, such as ``timm:resnet18``.
    n_classes : int
    settings : dict of str to plain values
        Keyword arguments of the network; "width" of the reference network.
    head : str
        A key of `svmcifar.cnn.heads.HEADS`.
    groups : tuple of int, optional
        The superclass of each class, for a head that needs it.
    image_size : int, optional
        Height and width to which the network resizes its images.
    """

    name: str
    n_classes: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    head: str = "standard"
    groups: tuple[int, ...] | None = None
    image_size: int | None = None

    def __str__(self) -> str:
        parts = [self.name, *(f"{key} {value}" for key, value in self.settings.items())]
        parts += [] if self.head == "standard" else [f"{self.head} softmax"]
        parts += [f"images resized to {self.image_size}"] if self.image_size else []
        return ", ".join([*parts, f"{self.n_classes} classes"])

    def build(self, image_shape: ImageShape) -> nn.Module:
        """Build a network with random weights, from images of this shape to logits.

        Raise InputError if there is no such network or it takes no such settings or images.
        """
        network = self._build_plain(image_shape)
        if self.head == "standard" and self.image_size is None:
            return network
        head: nn.Module = nn.Identity()
        path, linear = find_classifier(network, self.n_classes, self.name)
        if self.head != "standard":
            head = make_head(self.head, linear.in_features, self.n_classes, self.groups)
            network.set_submodule(path, nn.Identity())
        return AdaptedNetwork(network, head, path, self.image_size)

    def to_card(self) -> dict[str, Any]:
        """Return the JSON-ready entry of a model card."""
        if self.name == REFERENCE and self.head == "standard" and self.image_size is None:
            return {"name": self.name, "width": self.settings["width"], "n_classes": self.n_classes}
        return asdict(self)

    @classmethod
    def from_card(cls, entry: Any) -> "Blueprint | None":
        """Read the entry of a model card; None if it is no blueprint.

        Raise InputError if it holds anything but what `to_card` writes.
        """
        if not isinstance(entry, dict) or set(entry) != {one.name for one in fields(cls)}:
            return None
        groups, settings = entry["groups"], entry["settings"]
        is_valid = (
            isinstance(entry["name"], str)
            and _is_count(entry["n_classes"])
            and isinstance(settings, dict)
            and all(isinstance(value, _PLAIN) for value in settings.values())
            and entry["head"] in HEADS
            and (entry["image_size"] is None or _is_count(entry["image_size"]))
            and (groups is None or _are_groups(groups, entry["n_classes"]))
        )
        if not is_valid:
            raise InputError(
                f"An architecture must have a name, a number of classes, plain settings, a head "
                f"of {', '.join(HEADS)}, a superclass a class and an image size. "
                f"Got {str(entry)[:100]!r} instead."
            )
        return cls(**entry | {"groups": None if groups is None else tuple(groups)})

    @classmethod
    def guesses(cls, state: Mapping[str, Any]) -> "list[Blueprint]":
        """Return the small networks, with default settings, that a state dict may be of.

        Those are left out of which the state dict does not show all that matters.
        """
        last = state.get("classifier.weight")
        if not isinstance(last, Tensor) or last.ndim != 2:
            return []
        return [cls(name, last.shape[0]) for name in NETWORKS if name != "tuned"]

    def _build_plain(self, image_shape: ImageShape) -> nn.Module:
        settings = dict(self.settings)
        if is_library_name(self.name):
            # Text could name files that the library would read.
            if texts := [key for key, value in settings.items() if isinstance(value, str)]:
                raise InputError(
                    f"Settings of a library's network must be numbers. "
                    f"Got {texts[0]}={settings[texts[0]]} instead."
                )
            size = self.image_size or image_shape.height
            return create_from_library(self.name, self.n_classes, size, **settings)
        if self.name == REFERENCE:
            return ReferenceNetwork(settings["width"], self.n_classes)
        if self.name not in NETWORKS:
            known = ", ".join([REFERENCE, *NETWORKS, "torchvision:NAME", "timm:NAME"])
            raise InputError(f"A network must be one of {known}. Got {self.name!r} instead.")
        network = NETWORKS[self.name]
        _, _, *known_settings = signature(network).parameters.values()
        defaults = {setting.name: setting.default for setting in known_settings}
        for key, value in settings.items():
            if key not in defaults or not _is_like(value, defaults[key]):
                shown = ", ".join(f"{k} (such as {v})" for k, v in defaults.items()) or "nothing"
                raise InputError(
                    f"Settings of {self.name} must be among {shown}. Got {key}={value} instead."
                )
        try:
            built: nn.Module = network(image_shape, self.n_classes, **settings)
        except (RuntimeError, ValueError) as error:  # of PyTorch, for numbers that make no layer
            reason = " ".join(str(error).split())[:100]
            raise InputError(
                f"{self} must be a network for images of shape {tuple(image_shape)}. "
                f"Got '{reason}' instead. Change its settings or its images' size."
            ) from error
        return built


class AdaptedNetwork(nn.Module):
    """A network with another head, or for images of another size than the data's.

    `head_path` is where in the body the head stands, or has stood.
    """

    def __init__(
        self, body: nn.Module, head: nn.Module, head_path: str, image_size: int | None
    ) -> None:
        super().__init__()
        self.head_path = head_path
        self.body = body
        self.head = head
        self.image_size = image_size

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits (n_images, n_classes) of normalised images."""
        if self.image_size is not None:
            size = (self.image_size, self.image_size)
            images = interpolate(images, size, mode="bilinear", align_corners=False)
        return self.head(self.body(images))


def default_image_size(name: str, image_shape: ImageShape) -> int | None:
    """Return the size that images must be resized to, None where a network takes the data's."""
    size = fixed_size(name) if is_library_name(name) else None
    return None if size == image_shape.height else size


def find_classifier(network: nn.Module, n_classes: int, name: str) -> tuple[str, nn.Linear]:
    """Find the last linear layer, with its path; raise InputError if it has no output a class."""
    linear = [(p, m) for p, m in network.named_modules() if isinstance(m, nn.Linear)]
    if not linear or linear[-1][1].out_features != n_classes:
        raise InputError(
            f"A network whose head is changed must end in a linear layer of {n_classes} classes. "
            f"Got {name} instead. Use another network."
        )
    return linear[-1]


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 < value <= 1_000_000


def _are_groups(value: Any, n_classes: int) -> bool:
    if not isinstance(value, list | tuple) or len(value) != n_classes:
        return False
    return all(type(v) is int and 0 <= v < n_classes for v in value)


def _is_like(value: Any, default: Any) -> bool:
    if isinstance(default, float):
        return type(value) in (int, float) and 0 <= value < 1
    if isinstance(default, int):
        return _is_count(value)
    return isinstance(value, type(default))
