"""Kinds of features, by the names that the command line has for them.

Nothing is imported before a kind is asked for, so that help is instant.
"""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from svmcifar.errors import InputError

# The name of its step in a pipeline, and its transformer: uint8 images to float32 features, fitted
# on training images, written for the host and a device.
KINDS = {
    "raw": ("pixels", "svmcifar.features.pixels.RawPixels"),
    "hog": ("hog", "svmcifar.features.hog.HOG"),
}


def make_transformers(kinds: Sequence[str]) -> list[tuple[str, Any]]:
    """Make the transformers of kinds of features.

    Parameters
    ----------
    kinds : sequence of str
        Keys of `KINDS`, each once.

    Returns
    -------
    list of (str, transformer)
        Their names and they, not fitted, in the same order.

    Raises
    ------
    InputError
        If there is none, or one is not known or given twice.
    """
    if not kinds or len(set(kinds)) < len(kinds) or not set(kinds) <= set(KINDS):
        raise InputError(
            f"Features must be one or more of {', '.join(KINDS)}, each once. "
            f"Got {', '.join(kinds) or 'none'} instead."
        )
    made = []
    for name, path in (KINDS[kind] for kind in kinds):
        module, _, transformer = path.rpartition(".")
        made.append((name, getattr(import_module(module), transformer)()))
    return made
