"""Tiny data sets in the official file format, for tests."""

import hashlib
import pickle
import struct
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from svmcifar.data.cifar100 import CIFAR_100
from svmcifar.data.dataset import LABEL_KINDS
from svmcifar.errors import DataError

N_FINE, N_COARSE = 100, 20
PER_CLASS = {"train": 2, "test": 1}
NAMES = ("train", "test", "meta")

to_pictures = CIFAR_100.image_shape.to_pictures


def coarse_of(fine):
    """Any map will do that gives each superclass five classes and is not the identity."""
    return (np.asarray(fine) * 7 + 3) % N_COARSE


def make_fields(name, seed=0):
    """The dictionary that the file `name` holds."""
    if name == "meta":
        return {
            "fine_label_names": [f"class_{i:02}" for i in range(N_FINE)],
            "coarse_label_names": [f"superclass_{i:02}" for i in range(N_COARSE)],
        }
    rng = np.random.default_rng([seed, len(name)])
    fine = rng.permutation(np.repeat(np.arange(N_FINE), PER_CLASS[name]))
    return {
        "filenames": [f"picture_s_{i:06}.png" for i in range(len(fine))],
        "batch_label": f"{name} batch 1 of 1",
        "fine_labels": fine.tolist(),
        "coarse_labels": coarse_of(fine).tolist(),
        "data": rng.integers(0, 256, (len(fine), 3072), dtype=np.uint8),
    }


def write_fields(path, fields, protocol=2):
    Path(path).write_bytes(pickle.dumps(fields, protocol=protocol))


def write_sums(folder):
    """Mark the data set in `folder` as synthetic."""
    sums = [f"{hashlib.md5((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in NAMES]
    (folder / "SYNTHETIC.md5").write_text("".join(sums))


def write_dataset(folder, seed=0, synthetic=True):
    folder.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        write_fields(folder / name, make_fields(name, seed))
    if synthetic:
        write_sums(folder)
    return folder


def md5s_of(folder):
    return {name: hashlib.md5((folder / name).read_bytes()).hexdigest() for name in NAMES}


def official_as(folder, **changes):
    """Describe the data set in `folder` as if it were the official CIFAR-100."""
    files = {name: CIFAR_100.files[name]._replace(md5=md5) for name, md5 in md5s_of(folder).items()}
    return replace(CIFAR_100, **({"files": files} | changes))


def write_archive(folder, archive):
    """Pack a data set as the official archive is packed; the suffix chooses the compression."""
    with tarfile.open(archive, f"w:{archive.suffix[1:]}") as tar:
        tar.add(folder, arcname="cifar-100-python")
    return archive


def assert_is_tiny(dataset, name="train"):
    """Assert that a split of an opened data set reads as it was written."""
    split, fields = dataset.read_split(name), make_fields(name)
    np.testing.assert_array_equal(split.images, fields["data"])
    assert list(split.labels) == ["coarse", "fine"]
    for kind in LABEL_KINDS:
        assert split.labels[kind].tolist() == fields[f"{kind}_labels"]
    assert split.labels["coarse"].tolist() == coarse_of(split.classes).tolist()
    assert split.filenames == fields["filenames"]


def read_of(dataset, name):
    """What reads one file of a data set."""
    return lambda: dataset.class_names("fine") if name == "meta" else dataset.read_split(name)


def data_error_of(action, *args, **kwargs):
    """Give the message of the DataError that `action` must raise: one line, with a remedy."""
    with pytest.raises(DataError) as caught:
        action(*args, **kwargs)
    message = str(caught.value)
    assert "\n" not in message
    assert "svmcifar download" in message
    return message


def python2_pickle(fields):
    """Pickle as Python 2 and its NumPy did: byte strings, and numpy.core in the names."""
    return b"\x80\x02" + _python2(fields) + b"."


def _python2(value):
    match value:
        case None:
            return b"N"
        case bool():
            return b"\x88" if value else b"\x89"
        case int():
            return b"J" + struct.pack("<i", value)
        case str():
            return b"T" + struct.pack("<i", len(value)) + value.encode("latin-1")
        case list():
            return b"](" + b"".join(map(_python2, value)) + b"e"
        case tuple():
            return b"(" + b"".join(map(_python2, value)) + b"t"
        case dict():
            items = (_python2(key) + _python2(item) for key, item in value.items())
            return b"}(" + b"".join(items) + b"u"
        case np.ndarray():
            dtype = b"cnumpy\ndtype\n" + _python2(("u1", 0, 1)) + b"R"
            dtype += _python2((3, "|", None, None, None, -1, -1, 0)) + b"b"
            empty = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n"
            empty += _python2((0,)) + _python2("b") + b"tR"
            content = b"T" + struct.pack("<i", value.nbytes) + value.tobytes()
            shape = _python2(value.shape)
            return empty + b"(" + _python2(1) + shape + dtype + b"\x89" + content + b"tb"
    raise TypeError(type(value))
