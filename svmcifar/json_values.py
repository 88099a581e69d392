"""Values of the types that JSON has: converted to, and checked for."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from math import isfinite
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints, is_typeddict

import numpy as np

T = TypeVar("T")
_MOST_DEPTH = 32


def plain(value: Any) -> Any:
    """Return arrays, NumPy scalars, tuples and dataclasses, at any depth, as Python's own types.

    Other objects are returned as they are.
    """
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def finite(value: Any) -> Any:
    """Return a plain value with None for NaN and infinity, which JSON does not have."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def read_fields(part: type[T], content: Mapping[str, Any]) -> T:
    """Build a dataclass from those values of a JSON object that it has fields for.

    Raise TypeError if one is missing or not of its field's type (see `is_of_type`).
    """
    hints = get_type_hints(part)
    names = [field.name for field in fields(part)]  # type: ignore[arg-type]
    known = {name: content[name] for name in names if name in content}
    for name, value in known.items():
        if not is_of_type(value, hints[name]):
            raise TypeError(f"{name} must be of type {hints[name]}")
    return part(**known)


def is_of_type(value: Any, kind: Any) -> bool:
    """Return whether a value that was read from JSON is of the type of an annotation.

    Known are bool, int (of 64 bits), float (finite, or such an int), str, None, Any (finite, and
    not nested deeply), unions, lists and sequences, dicts and mappings with keys that are strings,
    typed dicts, whose other keys have any values, and classes.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is UnionType:
        return any(is_of_type(value, one) for one in arguments)
    if is_typeddict(kind):
        hints = get_type_hints(kind).items()
        return is_of_type(value, dict[str, Any]) and all(
            is_of_type(value.get(key), of_key) for key, of_key in hints
        )
    if origin in (list, Sequence):
        return isinstance(value, list) and all(is_of_type(item, arguments[0]) for item in value)
    if origin in (dict, Mapping):
        return isinstance(value, dict) and all(
            is_of_type(item, arguments[1]) for item in value.values()
        )
    if kind is Any:
        return _is_plain(value, _MOST_DEPTH)
    if kind in (None, NoneType):
        return value is None
    if kind is int:
        return type(value) is int and abs(value) < 2**63
    if kind is float:
        return (type(value) is float and isfinite(value)) or is_of_type(value, int)
    return isinstance(value, kind)


def _is_plain(value: Any, depth: int) -> bool:
    """Return whether what was read from JSON, or a dataclass, can be written to it again."""
    if isinstance(value, dict | list):
        items = value.values() if isinstance(value, dict) else value
        return depth > 0 and all(_is_plain(item, depth - 1) for item in items)
    return not isinstance(value, float) or isfinite(value)
