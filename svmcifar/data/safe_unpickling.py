"""Read plain data out of a pickle without trusting it.

A pickle is a program.  This reader lets it build lists, dictionaries, text, numbers and arrays of
integers, and nothing else: it imports no module, and replaces even NumPy's own constructors,
because a forged dtype or array state can corrupt memory.
"""

import io
import pickle
import re
import struct
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from svmcifar.errors import DataError

# Instructions, and what they read: 16 times those of CIFAR-100's training images.
_MOST_READS = 20_000_000
_INTEGERS = re.compile("[<>|=]?([iu][1248])")


class _ForeignTypeError(ValueError):
    """An array is of another type than integers."""


class _Dtype:
    """Stand-in for `numpy.dtype` that remembers the type code and the byte order."""

    def __init__(self, code: str | bytes, *_: object) -> None:
        self.code = as_text(code)
        self.order = self.code[:1] if self.code[:1] in "<>" else "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order = as_text(state[1])
        self.order = order if order in ("<", ">") else "="

    def read(self, content: bytes) -> np.ndarray:
        """Return the integers in some bytes."""
        known = _INTEGERS.fullmatch(self.code)
        if known is None:
            raise _ForeignTypeError(self.code)
        return np.frombuffer(content, dtype=np.dtype(self.order + known[1]))


class _Array:
    """Stand-in for `numpy.ndarray` that holds integers alone."""

    values: np.ndarray | None = None

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _version, shape, dtype, is_fortran, content = state
        self.fill(content, dtype, shape, "F" if is_fortran else "C")

    def fill(self, content: bytes, dtype: _Dtype, shape: tuple[int, ...], order: Any) -> "_Array":
        values = dtype.read(content).reshape(shape, order=order)
        self.values = np.ascontiguousarray(values)
        return self


def _scalar(dtype: _Dtype, content: bytes) -> int:
    """Stand-in for `numpy.core.multiarray.scalar`: an integer of Python's."""
    return int(dtype.read(content).item())


def _encode(text: str, encoding: str) -> bytes:
    """Stand-in for `_codecs.encode`, by which Python 3 writes bytes into old pickles."""
    if encoding not in ("latin1", "latin-1"):
        raise ValueError(f"encoding {encoding!r} where only 'latin1' is allowed")
    return str.encode(text, "latin-1")


# The standard library's unpickler in Python: the compiled one hashes whatever a pickle makes a key,
# which nested tuples end with a crash, or never.
_Unpickler: Any = pickle._Unpickler


def _counted() -> Iterator[int]:
    """Count to `_MOST_READS`, and raise ValueError."""
    yield from range(_MOST_READS)
    raise ValueError(f"it has more than {_MOST_READS:,} instructions and values")


class _PlainUnpickler(_Unpickler):
    """Unpickler that knows six names, each by a harmless stand-in, and keys that are text."""

    def __init__(self, content: bytes, subject: str, download: str) -> None:
        # With "bytes", Python 2's strings stay bytes; "latin1" would copy the pixels twice more.
        file = io.BytesIO(content)
        super().__init__(file, encoding="bytes")
        count, read_file = _counted().__next__, file.read

        def read(size: int) -> bytes:
            count()
            return read_file(size)

        self._read = read
        self._subject = subject
        self._download = download

    @property
    def read(self) -> Callable[[int], bytes]:
        """What reads the next bytes: not by frames, and not for ever."""
        return self._read

    @read.setter
    def read(self, _: object) -> None:
        """Keep it: `load` would set what reads by frames, whose lengths are needed for nothing."""

    def _load_frame(self) -> None:
        self.read(8)

    def _load_bytearray8(self) -> None:
        # The library's own takes as much memory as the pickle claims, before it reads.
        (size,) = struct.unpack("<Q", self.read(8))
        self.append(bytearray(self.read(size)))

    def _load_setitem(self) -> None:
        self._check_keys(self.stack[-2:-1])
        self.load_setitem()

    def _load_setitems(self) -> None:
        self._check_keys(self.stack[::2])
        self.load_setitems()

    def _load_dict(self) -> None:
        self._check_keys(self.stack[::2])
        self.load_dict()

    # Without sets, which hash what is in them.
    dispatch = {
        code: load
        for code, load in _Unpickler.dispatch.items()
        if code not in (pickle.EMPTY_SET[0], pickle.ADDITEMS[0], pickle.FROZENSET[0])
    } | {
        pickle.FRAME[0]: _load_frame,
        pickle.BYTEARRAY8[0]: _load_bytearray8,
        pickle.SETITEM[0]: _load_setitem,
        pickle.SETITEMS[0]: _load_setitems,
        pickle.DICT[0]: _load_dict,
    }

    def _check_keys(self, keys: list[Any]) -> None:
        """Raise TypeError unless keys are text, whose hashes are fast and cannot be foreseen."""
        if not all(isinstance(key, str | bytes) for key in keys):
            raise TypeError("the keys of a dictionary must be text")

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in for an allowed name; raise DataError for any other."""
        # A new wrapper for each call: a pickle can set attributes on what this returns.
        match module.replace("numpy._core.", "numpy.core."), name:
            case "numpy.core.multiarray", "_reconstruct":
                return _Array
            case "numpy.core.multiarray", "scalar":
                return lambda *args: _scalar(*args)
            case "numpy", "ndarray":
                return "numpy.ndarray"  # only ever an argument of _reconstruct, never called
            case "numpy", "dtype":
                return _Dtype
            case "numpy.core.numeric", "_frombuffer":  # the arrays of protocol 5
                return lambda *args: _Array().fill(*args)
            case "_codecs", "encode":
                return lambda *args: _encode(*args)
        raise DataError(
            f"{self._subject}: a data file may hold only lists, text, numbers and integer arrays, "
            f"but its pickle asks for {f'{module}.{name}'!r}, which was not run; "
            f"get the official files with `{self._download}`"
        )


def as_text(value: str | bytes) -> str:
    """Decode Python 2's strings (bytes, Latin-1); raise TypeError unless bytes or str."""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, str):
        return value
    raise TypeError(f"text was expected, not {type(value).__name__}")


def unpickle_fields(
    content: bytes, subject: str, download: str = "svmcifar download"
) -> dict[str, Any]:
    """Read the dictionary in a whole pickle, of any protocol, without running foreign code.

    Values are plain Python objects, or C-contiguous arrays of integers, read-only where they share
    the unpickled bytes.  The strings of Python 2 are bytes: see `as_text`.  Raise DataError, with
    `subject` as the file and `download` as the command that gets it again, if the pickle asks for a
    name beyond those that such files need, is truncated or malformed, or holds no dictionary.
    """
    try:
        fields = _PlainUnpickler(content, subject, download).load()
        if not isinstance(fields, dict):
            raise TypeError(f"a dictionary was expected, not {type(fields).__name__}")
        return {
            as_text(key): value.values if isinstance(value, _Array) else value
            for key, value in fields.items()
        }
    except DataError:
        raise
    except _ForeignTypeError as error:
        raise DataError(
            f"{subject}: the arrays in a data file must be of integers, got one of type "
            f"{str(error)!r}; write it again with integers, or get the official files with "
            f"`{download}`"
        ) from error
    except Exception as error:  # a malformed pickle may raise anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:100]
        raise DataError(
            f"{subject}: a data file must be a whole pickle, got {len(content)} bytes that "
            f"do not read as one ({reason}); get it again with `{download}`"
        ) from error
