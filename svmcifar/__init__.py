"""Exact multiclass kernel support vector machines for CIFAR-100.

Importing the package is cheap: the public names are loaded on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from svmcifar.data.registry import open_dataset
    from svmcifar.model.persistence import load_model, save_model
    from svmcifar.svm.estimator import RBFSVC, SVC
    from svmcifar.tuning.search import search_svc

__version__ = "0.1.0"

_PUBLIC = {
    "RBFSVC": "svmcifar.svm.estimator",
    "SVC": "svmcifar.svm.estimator",
    "load_model": "svmcifar.model.persistence",
    "open_dataset": "svmcifar.data.registry",
    "save_model": "svmcifar.model.persistence",
    "search_svc": "svmcifar.tuning.search",
}

__all__ = [
    "RBFSVC",
    "SVC",
    "__version__",
    "load_model",
    "open_dataset",
    "save_model",
    "search_svc",
]


def __getattr__(name: str) -> Any:
    """Load a public name on first use."""
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public names, loaded or not."""
    return sorted(__all__)
