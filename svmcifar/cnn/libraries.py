"""Networks of torchvision and timm by name, with random weights: nothing is ever downloaded."""

import warnings
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from svmcifar.errors import BackendUnavailableError, InputError

if TYPE_CHECKING:
    from torch import nn

# Names of torchvision's whose number of tokens depends on the size of images, and the argument
# that takes it.
_SIZED = {"vit_": "image_size", "maxvit_": "input_size"}
# Names of torchvision's with a second head that helps in training alone.
_WITH_SECOND_HEAD = ("googlenet", "inception_v3")


class _Library(NamedTuple):
    module: str
    names: Callable[[Any], Sequence[str]]
    create: "Callable[..., nn.Module]"
    fixed_size: Callable[[Any, str], int | None]


def is_library_name(name: str) -> bool:
    """Return whether a name begins with that of a library, as ``timm:resnet18`` does."""
    return name.partition(":")[0] in _LIBRARIES and ":" in name


def create_from_library(
    name: str, n_classes: int, image_size: int | None = None, **settings: Any
) -> "nn.Module":
    """Create a network of torchvision's or timm's for images of three channels.

    Weights are random, as drawn by PyTorch's generator: the caller seeds it.  It answers with
    logits alone: where torchvision's have a second head for training, it is left out.

    Parameters
    ----------
    name : str
        ``torchvision:NAME``, one of its networks for classification, or ``timm:NAME``.
    n_classes : int
    image_size : int, optional
        Height and width of the images, for networks that must know (`fixed_size`); others take
        images of any size.  By default the size that the library makes them for.
    settings
        Further arguments of the library's own function.

    Raises
    ------
    InputError
        If there is no such network, or it takes no such images.
    BackendUnavailableError
        If the library is missing.
    """
    library, module, short = _find(name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return library.create(module, short, n_classes, image_size, **settings)
    except Exception as error:  # of the libraries, which check sizes in any way
        reason = " ".join(f"{type(error).__name__} '{error}'".split())[:150]
        size = "its own size" if image_size is None else f"{image_size} x {image_size}"
        raise InputError(
            f"Images of {size} must suit the network {name}. Got {reason} instead. "
            f"Name another size or network."
        ) from error


def fixed_size(name: str) -> int | None:
    """Return the height and width of images that a network is made for, by default.

    None where it takes images of any size.  Raise as `create_from_library`.
    """
    library, module, short = _find(name)
    return library.fixed_size(module, short)


def library_names(library: str) -> list[str]:
    """List the networks of ``torchvision`` or ``timm``, each as for `create_from_library`."""
    found = _LIBRARIES[library]
    return [f"{library}:{name}" for name in found.names(_module(library))]


def _find(name: str) -> tuple[_Library, Any, str]:
    prefix, _, short = name.partition(":")
    if prefix not in _LIBRARIES:
        known = ", ".join(f"{library}:NAME" for library in _LIBRARIES)
        raise InputError(f"A library's network must be one of {known}. Got {name!r} instead.")
    library, module = _LIBRARIES[prefix], _module(prefix)
    names = library.names(module)
    # A tag of timm's, after a dot, names weights alone.
    if short.partition(".")[0] not in names:
        near = ", ".join(get_close_matches(short, names, n=3, cutoff=0.5)) or "none"
        raise InputError(
            f"A network of {prefix} must be one of its {len(names)} names. Got {short[:60]!r} "
            f"instead. Nearest: {near}."
        )
    return library, module, short.partition(".")[0]


def _module(prefix: str) -> Any:
    try:
        return import_module(_LIBRARIES[prefix].module)
    except (
        ImportError,
        RuntimeError,
    ) as error:  # of another PyTorch, torchvision raises the latter
        reason = " ".join(str(error).split())[:100]
        raise BackendUnavailableError(
            f"Networks of {prefix} need {prefix}, got '{reason}'; pip install 'svmcifar[cnn]'"
        ) from error


def _torchvision_names(models: Any) -> list[str]:
    return list(models.list_models(module=models))


def _create_torchvision(
    models: Any, name: str, n_classes: int, image_size: int | None, **settings: Any
) -> "nn.Module":
    if name in _WITH_SECOND_HEAD:
        settings = {"aux_logits": False, "init_weights": True} | settings
    argument = _size_argument(name)
    if argument and image_size is not None:
        is_pair = argument == "input_size"
        settings[argument] = (image_size, image_size) if is_pair else image_size
    network: nn.Module = models.get_model(name, weights=None, num_classes=n_classes, **settings)
    return network


def _torchvision_size(models: Any, name: str) -> int | None:
    return 224 if _size_argument(name) else None


def _size_argument(name: str) -> str | None:
    return next((argument for start, argument in _SIZED.items() if name.startswith(start)), None)


def _timm_names(timm: Any) -> list[str]:
    return list(timm.list_models())


def _create_timm(
    timm: Any, name: str, n_classes: int, image_size: int | None, **settings: Any
) -> "nn.Module":
    if image_size is not None and _timm_size(timm, name) is not None:
        settings["img_size"] = image_size
    network: nn.Module = timm.create_model(
        name, pretrained=False, num_classes=n_classes, **settings
    )
    return network


def _timm_size(timm: Any, name: str) -> int | None:
    config = timm.models.get_pretrained_cfg(name)
    return int(config.input_size[-1]) if config is not None and config.fixed_input_size else None


_LIBRARIES = {
    "torchvision": _Library(
        "torchvision.models", _torchvision_names, _create_torchvision, _torchvision_size
    ),
    "timm": _Library("timm", _timm_names, _create_timm, _timm_size),
}
