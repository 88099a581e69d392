"""Reading and checking the data set."""

import numpy as np
import pytest
from datafiles import (
    assert_is_tiny,
    data_error_of,
    make_fields,
    md5s_of,
    write_fields,
)

from svmcifar.data import cifar
from svmcifar.data.cifar import open_dataset, to_pictures
from svmcifar.errors import DataError


def test_reads_splits_and_meta(tiny_dataset):
    dataset = open_dataset(tiny_dataset)
    split = dataset.read_split("train")
    assert split.name == "train"
    assert (split.images.dtype, split.images.shape) == (np.uint8, (200, 3072))
    assert split.images.flags.c_contiguous
    assert split.fine.dtype == split.coarse.dtype == np.int64
    assert_is_tiny(dataset, "train")
    assert_is_tiny(dataset, "test")
    meta = dataset.read_meta()
    assert meta.fine_names[41] == "class_41"
    assert meta.coarse_names[19] == "superclass_19"
    assert (len(meta.fine_names), len(meta.coarse_names)) == (100, 20)


def test_split_name_is_checked(tiny_dataset):
    with pytest.raises(ValueError, match="'train' or 'test'"):
        open_dataset(tiny_dataset).read_split("meta")


def test_repr_of_split_is_short(tiny_dataset):
    assert len(repr(open_dataset(tiny_dataset).read_split("train"))) < 3000


def test_pictures_are_channels_last():
    row, column = np.mgrid[:32, :32]
    planes = np.stack([row, column, np.full((32, 32), 200)])
    pictures = to_pictures(planes.reshape(1, 3072).astype(np.uint8))
    assert pictures.shape == (1, 32, 32, 3)
    assert pictures.flags.c_contiguous
    assert pictures[0, 5, 17].tolist() == [5, 17, 200]


# Checking


def test_synthetic(tiny_dataset):
    dataset = open_dataset(tiny_dataset)
    assert dataset.is_synthetic
    assert not dataset.is_official
    assert dataset.label == "SYNTHETIC stand-in"
    assert dataset.md5s == md5s_of(tiny_dataset)


def test_official_by_md5(altered, monkeypatch):
    (altered / "SYNTHETIC.md5").unlink()
    monkeypatch.setattr(cifar, "OFFICIAL_MD5S", md5s_of(altered))
    dataset = open_dataset(altered)
    assert_is_tiny(dataset)
    assert dataset.is_official
    assert not dataset.is_synthetic
    assert dataset.label == "CIFAR-100"


@pytest.mark.parametrize("name", ["train", "test", "meta"])
def test_wrong_md5_of_synthetic(altered, name):
    content = bytearray((altered / name).read_bytes())
    content[-20] ^= 1
    (altered / name).write_bytes(content)
    dataset = open_dataset(altered)
    read = dataset.read_meta if name == "meta" else lambda: dataset.read_split(name)
    message = data_error_of(read)
    assert message.startswith(f"{altered / name}: altered")
    assert "--skip-md5" in message
    assert "SYNTHETIC.md5" in message


def test_unofficial_smaller_file_is_called_truncated(altered):
    (altered / "SYNTHETIC.md5").unlink()
    size = (altered / "train").stat().st_size
    message = data_error_of(open_dataset(altered).read_split, "train")
    assert "truncated" in message
    assert "155249918 bytes" in message
    assert f"got {size};" in message


def test_unofficial_file_of_the_official_size_is_called_altered(altered, monkeypatch):
    (altered / "SYNTHETIC.md5").unlink()
    size = (altered / "train").stat().st_size
    monkeypatch.setitem(cifar.OFFICIAL_SIZES_BYTES, "train", size)
    message = data_error_of(open_dataset(altered).read_split, "train")
    assert "altered" in message
    assert cifar.OFFICIAL_MD5S["train"] in message
    assert md5s_of(altered)["train"] in message
    assert "--skip-md5" in message


@pytest.mark.parametrize("is_marked", [False, True])
def test_skipping_the_md5_makes_a_modified_data_set(altered, is_marked):
    if not is_marked:
        (altered / "SYNTHETIC.md5").unlink()
    write_fields(altered / "test", make_fields("test", seed=1))
    dataset = open_dataset(altered, check_md5=False)
    assert dataset.read_split("test").images.shape == (100, 3072)
    assert not dataset.is_synthetic
    assert not dataset.is_official
    assert dataset.label == "modified CIFAR-100"


def test_skipping_the_md5_of_a_sound_data_set_changes_nothing(tiny_dataset):
    assert open_dataset(tiny_dataset, check_md5=False).label == "SYNTHETIC stand-in"


def test_md5s_of_files_read_already_are_not_summed_again(altered):
    dataset, md5s = open_dataset(altered), md5s_of(altered)
    for name in ("train", "test"):
        dataset.read_split(name)
        (altered / name).unlink()
    assert dataset.md5s == md5s


def test_malformed_sums(altered):
    (altered / "SYNTHETIC.md5").write_text("hello\n")
    assert "SYNTHETIC.md5" in data_error_of(open_dataset(altered).read_meta)


@pytest.mark.parametrize(
    ("name", "change", "rule"),
    [
        ("test", {"data": None}, "'data' must be an array, got nothing"),
        ("test", {"data": [1, 2]}, "'data' must be an array"),
        ("test", {"data": np.zeros((100, 3071), np.uint8)}, r"shape \(100, 3071\)"),
        ("test", {"data": np.zeros((0, 3072), np.uint8)}, r"shape \(0, 3072\)"),
        ("test", {"data": np.zeros((100, 3, 1024), np.uint8)}, "shape"),
        ("test", {"data": np.zeros((100, 3072), np.float32)}, "only 'u1' is allowed"),
        ("test", {"fine_labels": [0] * 99}, "'fine_labels' must be 100 labels.* got 99"),
        ("test", {"fine_labels": None}, "'fine_labels' must be 100 labels.* got nothing"),
        ("test", {"fine_labels": [0] * 99 + [100]}, r"integers in 0\.\.99, got 100"),
        ("test", {"fine_labels": [0] * 99 + [-1]}, r"integers in 0\.\.99, got -1"),
        ("test", {"fine_labels": [0] * 99 + [0.5]}, r"integers in 0\.\.99, got 0.5"),
        ("test", {"coarse_labels": [0] * 99 + [20]}, r"'coarse_labels'.* 0\.\.19, got 20"),
        ("test", {"filenames": ["a.png"]}, "'filenames' must be a list of 100 texts, got 1"),
        ("test", {"filenames": ["a.png"] * 99 + [3]}, "'filenames'.* not int"),
        ("meta", {"fine_label_names": ["a"] * 99}, "'fine_label_names'.* 100 texts, got 99"),
        ("meta", {"coarse_label_names": ["a"] * 21}, "'coarse_label_names'.* 20 texts, got 21"),
    ],
)
def test_structure_is_checked(altered, name, change, rule):
    fields = {k: v for k, v in (make_fields(name) | change).items() if v is not None}
    write_fields(altered / name, fields, protocol=4)
    dataset = open_dataset(altered, check_md5=False)
    with pytest.raises(DataError, match=rule) as caught:
        dataset.read_meta() if name == "meta" else dataset.read_split(name)
    assert str(caught.value).startswith(str(altered / name))


# The official files


def test_official_files(official_dataset):
    train, test = (official_dataset.read_split(name) for name in ("train", "test"))
    assert train.images.shape == (50_000, 3072)
    assert test.images.shape == (10_000, 3072)
    assert set(np.bincount(train.fine)) == {500}
    assert set(np.bincount(test.coarse)) == {500}
    assert train.filenames[0] == "bos_taurus_s_000507.png"
    meta = official_dataset.read_meta()
    assert meta.fine_names[train.fine[0]] == "cattle"
    assert meta.coarse_names[train.coarse[0]] == "large_omnivores_and_herbivores"
    assert official_dataset.label == "CIFAR-100"
