"""Features: from images to the samples that the SVM is trained on.

The transformers are loaded on first use.
"""

from typing import Any

from svmcifar.features.kinds import TRANSFORMERS, load_class

__all__ = [*TRANSFORMERS]


def __getattr__(name: str) -> Any:
    """Load a transformer on first use."""
    if name in TRANSFORMERS:
        return load_class(TRANSFORMERS[name])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the transformers, loaded or not."""
    return sorted(__all__)
