"""A SYNTHETIC stand-in for CIFAR-100, in exactly its file format.

For machines that cannot get the real data: 100 fine classes in 20 superclasses of drawn shapes
with clutter, in random poses and colours.  The bytes depend on the arguments alone, not on the
machine or the number of threads.  Scores on it say nothing about CIFAR-100, so every file, image
and class is named as synthetic.
"""

import os
import shutil
import struct
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from numbers import Integral
from pathlib import Path

import joblib
import numpy as np
from numpy.typing import NDArray

from svmcifar.compute.progress import Stage, stage
from svmcifar.data.cifar100 import CIFAR_100
from svmcifar.data.locations import SYNTHETIC_SUMS, file_md5
from svmcifar.data.synthetic_shapes import FAMILIES, N_WORDS, SIDE_PX, draw_images
from svmcifar.errors import OutputError
from svmcifar.io.files import output_errors
from svmcifar.io.folders import put_in_place, scratch_folder

COARSE_NAMES = [f"{family}s" for family in sorted(FAMILIES)]
"""Superclass names in the order of their labels."""

FINE_CLASSES = sorted(
    (f"{finish}_{name}", finish, name)
    for name, family in FAMILIES.items()
    for finish in family.finishes.split()
)
"""Name, finish and family of the fine classes in the order of their labels."""

Columns = Mapping[str, bytes | list[bytes] | list[int] | NDArray[np.uint8]]
"""Content of the file of a split, or of the names."""

_COARSE_OF_FINE = np.array([COARSE_NAMES.index(f"{name}s") for _, _, name in FINE_CLASSES])
_N_VALUES = 3 * SIDE_PX * SIDE_PX
_N_PER_CLASS_MAX = (2**31 - 1) // (_N_VALUES * len(FINE_CLASSES))  # a pickle 2 string's length
_BATCH_SIZE = 16  # keeps the drawing in the cache: twice as fast as 100
_BATCH_LABELS = {"train": "training", "test": "testing"}
_FILE_NAMES = tuple(CIFAR_100.files)
_README_NAME = "README.txt"
_OWN_NAMES = {*_FILE_NAMES, SYNTHETIC_SUMS, _README_NAME}
_README = """\
SYNTHETIC images in the file format of CIFAR-100. This is NOT CIFAR-100.

Drawn by svmcifar (drawing version 1) for machines without the real data set.
The labels name shapes (superclasses) and their finishes (fine classes). Scores
on these images say nothing about CIFAR-100 and must not be reported as such.

seed: {seed}
training images per fine class: {train}
test images per fine class: {test}

md5sum --check SYNTHETIC.md5
"""


def write_synthetic(
    folder: Path,
    *,
    train_per_class: int = 500,
    test_per_class: int = 100,
    seed: int = 0,
    overwrite: bool = False,
    progress: bool = True,
) -> Path:
    """Write the synthetic data set: train, test, meta, their md5 sums and a README.

    The folder appears when all its files are complete; return it.  If it holds this very data set
    already, it is left as it is.  `overwrite` replaces another synthetic data set, and never a
    folder of anything else.  Raise OutputError if the folder may not be replaced or cannot be
    written, and ValueError unless the images per fine class are in [1, 6990] and the seed is not
    negative.

    The k-th image of a class depends only on the seed, the split, the class and k; the shuffled
    order of a split also depends on its size.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write_synthetic(
    ...         Path(folder) / "synthetic", train_per_class=1, test_per_class=1, progress=False
    ...     )
    ...     sorted(file.name for file in path.iterdir())
    ['README.txt', 'SYNTHETIC.md5', 'meta', 'test', 'train']
    """
    folder = Path(folder)
    counts = {"train": train_per_class, "test": test_per_class}
    for split, count in counts.items():
        _check_int(f"{split}_per_class", count, 1, _N_PER_CLASS_MAX)
    _check_int("seed", seed, 0, None)
    readme = _README.format(seed=seed, **counts).encode()
    target = folder.resolve()
    with output_errors(target):
        if not _is_good_copy(target, readme):
            _check_replaceable(target, overwrite)
            with scratch_folder(target, target.parent) as staging:
                _write_files(staging, counts, seed, progress)
                (staging / _README_NAME).write_bytes(readme)
                if aside := put_in_place(staging, target, lambda p: _is_good_copy(p, readme)):
                    shutil.rmtree(aside)
    return folder


def _check_int(name: str, value: int, low: int, high: int | None) -> None:
    if not isinstance(value, Integral) or value < low or (high is not None and value > high):
        limits = f"[{low}, {'inf)' if high is None else f'{high}]'}"
        raise ValueError(
            f"The {name!r} parameter of write_synthetic must be an int "
            f"in the range {limits}. Got {value!r} instead."
        )


def _is_good_copy(target: Path, readme: bytes) -> bool:
    """Return whether a folder holds this very data set, undamaged."""
    return (
        all((target / name).is_file() for name in _OWN_NAMES)
        and (target / _README_NAME).read_bytes() == readme
        and (target / SYNTHETIC_SUMS).read_bytes() == _md5_lines(target)
    )


def _md5_lines(folder: Path) -> bytes:
    """Return the md5s of the data files in a folder in the format of md5sum."""
    return "".join(f"{file_md5(folder / name)}  {name}\n" for name in _FILE_NAMES).encode()


def _check_replaceable(target: Path, overwrite: bool) -> None:
    """Raise OutputError unless a folder is new, empty, or a synthetic data set to replace."""
    if not os.path.lexists(target):
        return
    names = {entry.name for entry in target.iterdir()} if target.is_dir() else None
    if names == set():
        return
    if not names or SYNTHETIC_SUMS not in names or names - _OWN_NAMES:
        raise OutputError(
            f"synthetic data set '{target}': only a synthetic data set may be replaced, found "
            f"{_listed(names)}; choose another folder or move these away"
        )
    if not overwrite:
        raise OutputError(
            f"synthetic data set '{target}': the folder must not exist, but it holds another or "
            f"a damaged synthetic data set; choose another folder or overwrite it (--overwrite)"
        )


def _listed(names: set[str] | None) -> str:
    """List a few of the entries of a folder."""
    if names is None:
        return "a file"
    return ", ".join(sorted(names)[:4]) + (", ..." if len(names) > 4 else "")


def _write_files(folder: Path, counts: dict[str, int], seed: int, progress: bool) -> None:
    """Write train, test, meta and their md5 sums into an empty folder."""
    n_images = sum(counts.values()) * len(FINE_CLASSES)
    with stage("drawing synthetic images", n_images, "images", bar=progress) as drawing:
        for split_id, (split, n_per_class) in enumerate(counts.items()):
            columns = _make_split(split, split_id, n_per_class, seed, drawing)
            _write_pickle(folder / split, columns)
    names = {
        "fine_label_names": [name.encode() for name, _, _ in FINE_CLASSES],
        "coarse_label_names": [name.encode() for name in COARSE_NAMES],
    }
    _write_pickle(folder / "meta", names)
    (folder / SYNTHETIC_SUMS).write_bytes(_md5_lines(folder))


def _make_split(split: str, split_id: int, n_per_class: int, seed: int, drawing: Stage) -> Columns:
    """Draw the images of a split, in shuffled order; return the columns of its file."""
    n_images = n_per_class * len(FINE_CLASSES)
    shuffle = np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(split_id,)))
    order = np.argsort(shuffle.random_raw(n_images), kind="stable")
    fine_labels, numbers = np.divmod(order, n_per_class)
    row_of_image = np.argsort(order).reshape(len(FINE_CLASSES), n_per_class)
    data = np.empty((n_images, _N_VALUES), np.uint8)

    def draw_class(fine_label: int) -> None:
        _, finish, family = FINE_CLASSES[fine_label]
        sequence = np.random.SeedSequence(seed, spawn_key=(split_id, fine_label))
        # NumPy guarantees stable streams for raw words only, not for its distributions.
        bits = np.random.PCG64(sequence)
        for first in range(0, n_per_class, _BATCH_SIZE):
            rows = row_of_image[fine_label, first : first + _BATCH_SIZE]
            words = bits.random_raw(len(rows) * N_WORDS).reshape(len(rows), N_WORDS)
            images = draw_images(family, finish, words)
            data[rows] = images.reshape(len(rows), _N_VALUES)
            drawing.advance(len(rows))

    with ThreadPoolExecutor(joblib.cpu_count()) as pool:
        for _ in pool.map(draw_class, range(len(FINE_CLASSES))):
            pass
    return {
        "filenames": [
            f"synthetic_{split}_{FINE_CLASSES[label][0]}_{number:06d}.png".encode()
            for label, number in zip(fine_labels.tolist(), numbers.tolist(), strict=True)
        ],
        "batch_label": f"SYNTHETIC {_BATCH_LABELS[split]} batch 1 of 1".encode(),
        "fine_labels": fine_labels.tolist(),
        "coarse_labels": _COARSE_OF_FINE[fine_labels].tolist(),
        "data": data,
    }


def _write_pickle(path: Path, columns: Columns) -> None:
    with path.open("xb") as file:
        file.writelines(_pickle_chunks(columns))


def _pickle_chunks(columns: Columns) -> Iterator[bytes | memoryview]:
    """Yield the opcodes of pickle protocol 2 for a dict, as Python 2 wrote the official files.

    `pickle.dump` cannot write the strings of Python 2, names modules that only some versions of
    NumPy have, and would change the md5s that models record.
    """
    yield b"\x80\x02}("
    for name, value in columns.items():
        yield _pickle_scalar(name.encode())
        if isinstance(value, np.ndarray):
            shape = b"".join(map(_pickle_scalar, value.shape))
            yield b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR"
            yield b"(K\x01" + shape + b"\x86cnumpy\ndtype\n(U\x02u1K\x00K\x01tR"
            yield b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T"
            yield struct.pack("<i", value.nbytes)
            yield value.data
            yield b"tb"
        elif isinstance(value, list):
            yield b"](" + b"".join(map(_pickle_scalar, value)) + b"e"
        else:
            yield _pickle_scalar(value)
    yield b"u."


def _pickle_scalar(value: bytes | int) -> bytes:
    """Return the opcode of a short string or of a number below 2**31."""
    if isinstance(value, bytes):
        return struct.pack("<cB", b"U", len(value)) + value
    return struct.pack("<cB", b"K", value) if value < 256 else struct.pack("<ci", b"J", value)
