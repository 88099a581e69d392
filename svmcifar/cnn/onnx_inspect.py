"""What an ONNX file holds, read from its bytes without building anything.

The file is a protocol buffer.  Reading the few fields that matter here takes less than a
dependency on the onnx package, which ONNX Runtime does without as well.
"""

import math
from collections.abc import Iterator

from svmcifar.errors import CheckpointError

_Field = int | memoryview

# Numbers of the fields, in onnx.proto, that lead to tensors.
_CHILDREN: dict[str, dict[int, str]] = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {
        5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse tensor",
        23: "sparse tensor",
    },
    "sparse tensor": {1: "tensor", 2: "tensor"},
    "tensor": {},
}  # fmt: skip
_NODE_INPUT, _NODE_OPERATOR = 1, 4
_DIMS, _DATA_TYPE, _NAME, _EXTERNAL_DATA, _DATA_LOCATION = 1, 2, 8, 13, 14
_NOT_WEIGHTS = {6, 7, 8, 9}  # int32, int64, string, bool: shapes, axes, names


def count_parameters(path: object, content: bytes) -> int:
    """Count the weights that an ONNX file holds.

    Running statistics of batch normalisation do not count.

    Parameters
    ----------
    path : object
        Named in errors.
    content : bytes

    Returns
    -------
    int

    Raises
    ------
    CheckpointError
        If this is no ONNX file, or if weights lie in another file.
    """
    sizes: list[tuple[str, int]] = []
    statistics: set[str] = set()
    try:
        for kind, fields in _messages("model", memoryview(content)):
            if kind == "node":
                statistics.update(_statistics(fields))
            elif kind == "tensor":
                sizes.append(_tensor_size(path, fields))
    except (ValueError, IndexError, RecursionError) as error:
        raise not_onnx(path, str(error)) from error
    return sum(size for name, size in sizes if name not in statistics)


def not_onnx(path: object, got: str) -> CheckpointError:
    """Make the error for a file that is no ONNX graph.

    Parameters
    ----------
    path : object
    got : str
        What was wrong.

    Returns
    -------
    CheckpointError
    """
    return CheckpointError(
        f"{path}: an .onnx file must be an ONNX graph, got '{got}'; copy it again or export it anew"
    )


def _messages(kind: str, data: memoryview) -> Iterator[tuple[str, list[tuple[int, _Field]]]]:
    """Walk over a message and all below it that may hold tensors."""
    fields = list(_fields(data))
    yield kind, fields
    for number, value in fields:
        if number in _CHILDREN[kind]:
            yield from _messages(_CHILDREN[kind][number], _bytes(value))


def _fields(data: memoryview) -> Iterator[tuple[int, _Field]]:
    """Split a message into numbered fields."""
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        number, wire_type = (key & 0xFFFFFFFF) >> 3, key & 7  # readers take 32 bits of a key
        if wire_type == 0:
            value, position = _varint(data, position)
            yield number, value
            continue
        if wire_type == 2:
            size, position = _varint(data, position)
        elif wire_type in (1, 5):
            size = 8 if wire_type == 1 else 4
        else:
            raise ValueError(f"a field of unknown wire type {wire_type}")
        if position + size > len(data):
            raise ValueError("a field that goes on after the end")
        yield number, data[position : position + size]
        position += size


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    """Read a number of 7 bits a byte; give it and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError("a number of more than 64 bits")


def _tensor_size(path: object, fields: list[tuple[int, _Field]]) -> tuple[str, int]:
    """Give the name of a tensor, and how many weights it holds."""
    if any(n == _EXTERNAL_DATA or (n == _DATA_LOCATION and value) for n, value in fields):
        raise CheckpointError(
            f"{path}: an .onnx file must hold its own weights, got a reference to another file; "
            "export it with the weights inside"
        )
    dims: list[int] = []
    for number, value in fields:
        if number == _DIMS:
            dims += [value] if isinstance(value, int) else _packed(value)
    is_weight = not any(number == _DATA_TYPE and v in _NOT_WEIGHTS for number, v in fields)
    name = next((bytes(_bytes(v)) for number, v in fields if number == _NAME), b"")
    return name.decode(errors="replace"), math.prod(dims) * is_weight


def _packed(data: memoryview) -> list[int]:
    values, position = [], 0
    while position < len(data):
        value, position = _varint(data, position)
        values.append(value)
    return values


def _statistics(fields: list[tuple[int, _Field]]) -> list[str]:
    """Name a batch normalisation's running mean and variance, its last two inputs."""
    if (_NODE_OPERATOR, b"BatchNormalization") not in fields:
        return []
    inputs = [bytes(_bytes(v)).decode() for number, v in fields if number == _NODE_INPUT]
    return inputs[3:5]


def _bytes(value: _Field) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number where text or a message belongs")
    return value
