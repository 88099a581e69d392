"""Reading pickles without running them."""

import os
import pickle
import struct
import sys
import tracemalloc

import numpy as np
import pytest
from datafiles import (
    assert_is_tiny,
    data_error_of,
    make_fields,
    python2_pickle,
    write_fields,
)

from svmcifar.data import safe_unpickling
from svmcifar.data.registry import open_dataset
from svmcifar.data.safe_unpickling import unpickle_fields
from svmcifar.errors import DataError

# Pickles in the format of the official files


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("make_key", [str, str.encode])
def test_reads_what_python_3_writes(altered, protocol, make_key):
    fields = {make_key(key): value for key, value in make_fields("train").items()}
    write_fields(altered / "train", fields, protocol)
    assert_is_tiny(open_dataset(altered, check_md5=False))


def test_reads_what_python_2_wrote(altered):
    for name in ("train", "meta"):
        (altered / name).write_bytes(python2_pickle(make_fields(name)))
    dataset = open_dataset(altered, check_md5=False)
    assert_is_tiny(dataset)
    assert dataset.class_names("fine")[7] == "class_07"


def test_python_2_helper_writes_real_pickles():
    fields = make_fields("test")
    loaded = pickle.loads(python2_pickle(fields), encoding="latin1")
    np.testing.assert_array_equal(loaded.pop("data"), fields.pop("data"))
    assert loaded == fields


def test_reads_fortran_order(altered):
    fields = make_fields("train")
    write_fields(altered / "train", fields | {"data": np.asfortranarray(fields["data"])})
    split = open_dataset(altered, check_md5=False).read_split("train")
    np.testing.assert_array_equal(split.images, fields["data"])
    assert split.images.flags.c_contiguous


def test_reading_holds_the_file_and_the_images_and_no_more(altered):
    fields = make_fields("train")
    fields |= {key: fields[key] * 20 for key in ("filenames", "fine_labels", "coarse_labels")}
    fields["data"] = np.tile(fields["data"], (20, 1))
    (altered / "train").write_bytes(python2_pickle(fields))
    dataset = open_dataset(altered, check_md5=False)
    tracemalloc.start()
    try:
        split = dataset.read_split("train")
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 1.2 * split.images.nbytes
    assert peak < 2.3 * split.images.nbytes


# Pickles that are not what they should be


class Foreign:
    """Runs an action when it is unpickled."""

    def __init__(self, action, *args):
        self.call = (action, args)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("is_in_array", [False, True])
def test_foreign_class_is_not_run(altered, tmp_path, protocol, is_in_array):
    trace = tmp_path / "trace"
    foreign = Foreign(os.mkdir, str(trace))
    fields = make_fields("test")
    fields["batch_label"] = np.array([foreign], dtype=object) if is_in_array else foreign
    write_fields(altered / "test", fields, protocol)
    pickle.loads((altered / "test").read_bytes())
    assert trace.is_dir(), "the pickle must be able to do harm"
    trace.rmdir()
    message = data_error_of(open_dataset(altered, check_md5=False).read_split, "test")
    assert not trace.exists()
    assert f"{os.mkdir.__module__}.mkdir" in message


def test_foreign_module_is_not_imported(altered, tmp_path, monkeypatch):
    (tmp_path / "foreign_module.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    (altered / "meta").write_bytes(b"\x80\x02cforeign_module\nthing\n.")
    message = data_error_of(open_dataset(altered, check_md5=False).class_names, "fine")
    assert "foreign_module.thing" in message
    assert "foreign_module" not in sys.modules


def test_foreign_name_stays_on_one_line(altered):
    (altered / "meta").write_bytes(b"\x80\x04\x8c\x04a\nb\x1b\x8c\x01c\x93.")
    data_error_of(open_dataset(altered, check_md5=False).class_names, "fine")


@pytest.mark.parametrize(
    ("opcodes", "reason"),
    [
        (b"cnumpy\nndarray\n(J\x04\x00\x00\x00tR", "not callable"),
        (b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x05\x00\x00\x00rot13tR", "encoding 'rot13'"),
        (b"cnumpy.core.multiarray\n_scalar\n", "asks for 'numpy.core.multiarray._scalar'"),
        (
            b"cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(X\x02\x00\x00\x00O8tRX\x08\x00\x00"
            b"\x0012345678tR",
            "of integers, got one of type 'O8'",
        ),
        (b"cnumpy\nfromfile\n", "asks for 'numpy.fromfile'"),
        (b"cnumpy.random\ndtype\n", "asks for 'numpy.random.dtype'"),
        (b"cbuiltins\neval\n", "asks for 'builtins.eval'"),
        (b"c__builtin__\neval\n", "eval'"),
    ],
)
def test_only_what_the_files_need_is_allowed(altered, opcodes, reason):
    (altered / "meta").write_bytes(b"\x80\x02" + opcodes + b".")
    assert reason in data_error_of(open_dataset(altered, check_md5=False).class_names, "fine")


@pytest.mark.parametrize(
    "key",
    {
        "tuples in tuples": b")" + b"\x85" * 200_000,
        "tuples of two, which are one": b")" + b"2\x86" * 100,
        "colliding numbers": b"J\x01\x00\x00\x00",
        "sets": b"\x8f(K\x01\x90",
        "frozen sets": b"(K\x01\x91",
    }.items(),
    ids=lambda item: item[0],
)
@pytest.mark.parametrize("build", [b"}%sNs", b"}(%sNu", b"(%sNd"], ids=["one", "more", "new"])
def test_no_key_is_hashed_but_text(key, build):
    content = b"\x80\x04" + build % key[1] + b"."
    with pytest.raises(DataError, match=r"f: a data file must be a whole pickle, got \d+ bytes"):
        unpickle_fields(content, "f")


@pytest.mark.parametrize("frame", [b"", b"\x95" + bytes(8)], ids=["plain", "framed"])
def test_cheap_instructions_have_an_end(monkeypatch, frame):
    monkeypatch.setattr(safe_unpickling, "_MOST_READS", 1000)
    assert unpickle_fields(b"\x80\x04" + frame + b"N0" * 400 + b"}.", "f") == {}
    with pytest.raises(DataError, match="it has more than 1,000 instructions and values"):
        unpickle_fields(b"\x80\x04" + frame + b"N0" * 600 + b"}.", "f")


def test_memo_takes_no_more_than_what_is_in_it():
    assert unpickle_fields(b"\x80\x04}r\xff\xff\xff\xff.", "f") == {}


def test_forged_dtype_is_refused(altered):
    """Object arrays made of raw bytes would be pointers of the pickle's choosing."""
    fields = make_fields("test")
    forged = python2_pickle(fields).replace(b"T\x02\x00\x00\x00u1", b"T\x02\x00\x00\x00O8")
    (altered / "test").write_bytes(forged)
    message = data_error_of(open_dataset(altered, check_md5=False).read_split, "test")
    assert "'O8'" in message


@pytest.mark.parametrize("name", ["test", "meta"])
def test_truncated_pickle(altered, name):
    content = (altered / name).read_bytes()
    dataset = open_dataset(altered, check_md5=False)
    read = (
        (lambda: dataset.class_names("fine"))
        if name == "meta"
        else lambda: dataset.read_split(name)
    )
    for size in (0, 1, 100, len(content) // 2, len(content) - 1):
        (altered / name).write_bytes(content[:size])
        with pytest.raises(DataError, match=rf"{name}: .* got {size} bytes") as caught:
            read()
        assert caught.value.__cause__ is not None
        assert "\n" not in str(caught.value)


def test_damage_anywhere_is_an_error_that_the_user_can_mend(altered):
    """Flip bytes of the part that holds opcodes: it reads, or it raises DataError."""
    content = (altered / "meta").read_bytes()
    dataset = open_dataset(altered, check_md5=False)
    rng = np.random.default_rng(0)
    n_refused = 0
    for position in rng.choice(len(content), 300, replace=False):
        damaged = bytearray(content)
        damaged[position] = rng.integers(256)
        (altered / "meta").write_bytes(damaged)
        try:
            dataset._read_fields("meta")
        except DataError:
            n_refused += 1
    assert n_refused > 20


@pytest.mark.parametrize(
    "opcode", ["BINSTRING", "BINBYTES", "BINBYTES8", "BYTEARRAY8", "BINUNICODE8", "LONG4", "FRAME"]
)
def test_lengths_that_are_claimed_take_no_memory(opcode):
    width = "<Q" if opcode in ("BINBYTES8", "BYTEARRAY8", "BINUNICODE8", "FRAME") else "<i"
    claimed = struct.pack(width, 2**34 if width == "<Q" else 2**30)
    content = pickle.PROTO + b"\x05" + getattr(pickle, opcode) + claimed + b"xyz."
    tracemalloc.start()
    try:
        with pytest.raises(DataError):
            unpickle_fields(content, "meta")
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_pickle_of_something_else(altered):
    write_fields(altered / "meta", [1, 2])
    message = data_error_of(open_dataset(altered, check_md5=False).class_names, "fine")
    assert "a dictionary was expected, not list" in message
