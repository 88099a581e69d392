"""Arrays in files at a half of their size or less, without loss: those that float16 holds.

If every value of a float array is one of float16, to the bit, a file has it as float16.  It is then
an array of records with one field, whose name is the array's own dtype.
"""

import zipfile
from collections.abc import Mapping
from io import BytesIO
from typing import IO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

_HALF = np.dtype(np.float16)
# The own dtype of an array by that of its records.
_WIDENED = {np.dtype([(name, _HALF)]): np.dtype(name) for name in ("float32", "float64")}
_RECORDS = {dtype: records for records, dtype in _WIDENED.items()}
# Smaller arrays are not worth it: files stay as they were.
_LEAST_BYTES = 2**14
# Values that are looked at together.
_RUN = 2**16


def narrow(array: NDArray) -> NDArray:
    """Return the records of an array that float16 holds, any other as it is."""
    return array.astype(_HALF).view(_RECORDS[array.dtype]) if is_narrowed(array) else array


def is_narrowed(array: NDArray) -> bool:
    """Return whether `narrow` makes records of an array, so that a file has float16."""
    if array.dtype not in _RECORDS or array.nbytes < _LEAST_BYTES:
        return False
    values = array.ravel(order="K")
    runs = (values[start : start + _RUN] for start in range(0, len(values), _RUN))
    return all(_is_exact(run, _round(run)) for run in runs)


def widen(array: NDArray) -> NDArray:
    """Return the array that `narrow` was given."""
    dtype = _WIDENED.get(array.dtype)
    return array if dtype is None else array.view(_HALF).astype(dtype)


def narrow_members(data: bytes) -> bytes:
    """Narrow the arrays in a zip archive; return the same object if there are none to narrow."""
    with zipfile.ZipFile(BytesIO(data)) as archive:
        arrays = {
            name: array
            for name in archive.namelist()
            if _may_be_narrowed(archive, name)
            and (array := narrow(_read(archive, name))).dtype in _WIDENED
        }
        return _replaced(data, archive, arrays)


def widen_members(data: bytes) -> bytes:
    """Undo `narrow_members`."""
    with zipfile.ZipFile(BytesIO(data)) as archive:
        names = [name for name in archive.namelist() if _dtype(archive, name) in _WIDENED]
        return _replaced(data, archive, {name: widen(_read(archive, name)) for name in names})


def read_array(archive: zipfile.ZipFile, name: str) -> NDArray:
    """Return an array of an archive, widened if `write_array` narrowed it."""
    return widen(_read(archive, name))


def write_array(archive: zipfile.ZipFile, name: str, array: NDArray) -> None:
    """Add an array to an archive, narrowed if it can be."""
    _write(archive, name, narrow(array))


def _round(values: NDArray) -> NDArray[np.float16]:
    with np.errstate(all="ignore"):  # of values that float16 does not hold
        return values.astype(_HALF)


def _is_exact(values: NDArray, halves: NDArray[np.float16]) -> bool:
    """Return whether values are their halves to the bit: signs of zeros and NaN too."""
    bits = f"u{values.dtype.itemsize}"
    return np.array_equal(halves.astype(values.dtype).view(bits), values.view(bits))


def _dtype(archive: zipfile.ZipFile, name: str) -> np.dtype | None:
    """Return the dtype of an array in an archive; None for what is no array."""
    if not name.endswith(".npy"):
        return None
    with archive.open(name) as file:
        return _read_header(file)


def _may_be_narrowed(archive: zipfile.ZipFile, name: str) -> bool:
    """Return whether the first values of a member are those of an array to narrow."""
    if not name.endswith(".npy") or archive.getinfo(name).file_size < _LEAST_BYTES:
        return False
    with archive.open(name) as file:
        dtype = _read_header(file)
        if dtype not in _RECORDS:
            return False
        values = np.frombuffer(file.read(_RUN * dtype.itemsize), dtype)
    return _is_exact(values, _round(values))


def _read_header(file: IO[bytes]) -> np.dtype:
    read = (
        npy.read_array_header_1_0 if npy.read_magic(file) == (1, 0) else npy.read_array_header_2_0
    )
    return read(file)[2]


def _read(archive: zipfile.ZipFile, name: str) -> NDArray:
    with archive.open(name) as file:
        return npy.read_array(file, allow_pickle=False)


def _write(archive: zipfile.ZipFile, name: str, array: NDArray) -> None:
    with archive.open(name, "w", force_zip64=True) as file:
        npy.write_array(file, array, allow_pickle=False)


def _replaced(data: bytes, archive: zipfile.ZipFile, arrays: Mapping[str, NDArray]) -> bytes:
    """Return an archive with other arrays, `data` itself if there are none."""
    if not arrays:
        return data
    changed = BytesIO()
    with zipfile.ZipFile(changed, "w") as new:
        for name in archive.namelist():
            if name in arrays:
                _write(new, name, arrays[name])
            else:
                new.writestr(name, archive.read(name))
    return changed.getvalue()
