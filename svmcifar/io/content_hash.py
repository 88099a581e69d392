"""A hash of what estimators hold: parameters, fitted arrays and plain values."""

import hashlib
from functools import cached_property
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

# How a model is computed, not what it is.
_NOT_CONTENT = {
    "n_jobs", "verbose", "memory_limit", "memory_plan_", "shrinking", "cache_size",
}  # fmt: skip


def content_hash(*parts: Any) -> str:
    """Return the SHA-256, in hexadecimal, of estimators, arrays, dicts, lists and plain values.

    Two models have the same hash if their parameters and fitted arrays are the same to the bit;
    worker counts, memory limits and verbosity do not count.  An estimator may have a method
    ``_content`` that returns what counts instead of its attributes.  Raise TypeError for any other
    type.
    """
    digest = hashlib.sha256()
    _update(digest, list(parts))
    return digest.hexdigest()


def _update(digest: "hashlib._Hash", value: Any) -> None:
    """Hash one value with its type and size, so that no two values feed the same bytes."""
    if isinstance(value, np.ndarray) and value.dtype != object:
        digest.update(f"array {value.dtype.str} {value.shape};".encode())
        is_time = value.dtype.kind in "mM"  # which has no buffer
        digest.update(np.ascontiguousarray(value.view(np.int64) if is_time else value).data)
    elif isinstance(value, np.ndarray | list | tuple):
        digest.update(f"list {len(value)};".encode())
        for item in value:
            _update(digest, item)
    elif isinstance(value, dict):
        digest.update(f"dict {len(value)};".encode())
        for key in sorted(value, key=repr):
            _update(digest, key)
            _update(digest, value[key])
    elif isinstance(value, BaseEstimator):
        digest.update(f"estimator {type(value).__name__};".encode())
        content = value._content() if hasattr(value, "_content") else vars(value)
        _update(digest, {k: v for k, v in content.items() if _is_content(type(value), k, v)})
    elif isinstance(value, np.random.RandomState):
        _update(digest, value.get_state(legacy=False))
    elif isinstance(value, np.generic):
        _update(digest, value.item())
    elif value is None or isinstance(value, bool | int | float | str):
        digest.update(f"{type(value).__name__} {value!r};".encode())
    else:
        raise TypeError(f"cannot hash a {type(value).__name__}")


def _is_content(kind: type, name: str, value: Any) -> bool:
    """Return whether an attribute is hashed: one that equals its class's own is none of its own.

    So a parameter can be added whose default keeps the hashes that there are.
    """
    defaults: Any = next((vars(base) for base in kind.__mro__ if name in vars(base)), {})
    has_default = name in defaults and not isinstance(defaults[name], cached_property)
    return name not in _NOT_CONTENT and not (has_default and defaults[name] == value)
