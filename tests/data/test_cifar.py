"""Reading and checking the data set."""

from dataclasses import replace

import numpy as np
import pytest
from datafiles import (
    assert_is_tiny,
    coarse_of,
    data_error_of,
    make_fields,
    md5s_of,
    official_as,
    read_of,
    to_pictures,
    write_fields,
    write_sums,
)

from svmcifar.data.cifar100 import CIFAR_100, Cifar100
from svmcifar.data.registry import open_dataset
from svmcifar.errors import DataError


def test_reads_splits_and_meta(tiny_dataset):
    dataset = open_dataset(tiny_dataset)
    split = dataset.read_split("train")
    assert split.name == "train"
    assert (split.images.dtype, split.images.shape) == (np.uint8, (200, 3072))
    assert split.images.flags.c_contiguous
    assert {ids.dtype for ids in split.labels.values()} == {np.dtype(np.int64)}
    assert split.classes is split.labels["fine"]
    assert_is_tiny(dataset, "train")
    assert_is_tiny(dataset, "test")
    assert dataset.class_names("fine")[41] == "class_41"
    assert dataset.class_names("coarse")[19] == "superclass_19"
    assert [len(dataset.class_names(kind)) for kind in dataset.label_kinds] == [20, 100]


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
    monkeypatch.setattr(Cifar100, "description", official_as(altered))
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
    read = read_of(dataset, name)
    message = data_error_of(read)
    assert message.startswith(f"{altered / name}: altered")
    assert "--skip-md5" in message
    assert "SYNTHETIC.md5" in message


def test_a_part_of_a_file_is_called_truncated(altered):
    (altered / "SYNTHETIC.md5").unlink()
    size = (altered / "train").stat().st_size // 2
    (altered / "train").write_bytes((altered / "train").read_bytes()[:size])
    message = data_error_of(open_dataset(altered).read_split, "train")
    assert "truncated" in message
    assert "155249918 bytes" in message
    assert f"got {size};" in message


def test_unofficial_file_of_the_official_size_is_called_altered(altered, monkeypatch):
    (altered / "SYNTHETIC.md5").unlink()
    file = CIFAR_100.files["train"]._replace(size_bytes=(altered / "train").stat().st_size)
    changed = replace(CIFAR_100, files={**CIFAR_100.files, "train": file})
    monkeypatch.setattr(Cifar100, "description", changed)
    message = data_error_of(open_dataset(altered).read_split, "train")
    assert "altered" in message
    assert CIFAR_100.files["train"].md5 in message
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
    assert "SYNTHETIC.md5" in data_error_of(read_of(open_dataset(altered), "meta"))


@pytest.mark.parametrize(
    ("name", "change", "rule"),
    [
        ("test", {"data": None}, "'data' must be an array, got nothing"),
        ("test", {"data": [1, 2]}, "'data' must be an array"),
        ("test", {"data": np.zeros((100, 3071), np.uint8)}, r"shape \(100, 3071\)"),
        ("test", {"data": np.zeros((0, 3072), np.uint8)}, r"shape \(0, 3072\)"),
        ("test", {"data": np.zeros((100, 3, 1024), np.uint8)}, "shape"),
        (
            "test",
            {"data": np.zeros((100, 3072), np.float32)},
            "of integers, got one of type 'f4'",
        ),
        ("test", {"data": np.zeros((100, 3072), np.int16)}, "of uint8, got one of int16"),
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
        read_of(dataset, name)()
    assert str(caught.value).startswith(str(altered / name))


# Superclasses


@pytest.fixture
def contradicting(altered):
    """Open a copy of the data set in which labels of one split were changed."""

    def contradicting(name, changes):
        fields = make_fields(name)
        for key, old, new in changes:
            fields[key] = [new if value == old else value for value in fields[key]]
        write_fields(altered / name, fields)
        return open_dataset(altered, check_md5=False)

    return contradicting


def superclass_error_of(dataset):
    assert dataset.label_kinds == ("fine",)
    assert dataset.superclass_of.tolist() == list(range(100))
    message = data_error_of(dataset.require_kind, "coarse")
    assert message.endswith(", or pass --labels fine")
    dataset.require_kind("fine")
    return message


def test_superclasses(tiny_dataset):
    superclass_of = open_dataset(tiny_dataset).superclass_of
    assert superclass_of.dtype == np.int64
    assert superclass_of.tolist() == coarse_of(range(100)).tolist()


def test_superclasses_need_no_split_twice(tiny_dataset, monkeypatch):
    dataset, read, real = open_dataset(tiny_dataset), [], Cifar100.read_split
    monkeypatch.setattr(Cifar100, "read_split", lambda s, n: (read.append(n), real(s, n))[1])
    dataset.read_split("train")
    assert dataset.superclass_of is dataset.superclass_of
    assert read == ["train", "test"]


@pytest.mark.parametrize("name", ["train", "test"])
def test_every_class_must_be_in_both_splits(contradicting, name):
    dataset = contradicting(name, [("fine_labels", 7, 8)])
    message = data_error_of(lambda: dataset.superclass_of)
    assert f"{name}: each of the 100 fine classes" in message
    assert "got none of fine class 7" in message


def test_a_class_in_two_superclasses_is_refused(altered):
    fields = make_fields("train")
    fields["coarse_labels"][0] = (fields["coarse_labels"][0] + 1) % 20
    write_fields(altered / "train", fields)
    message = superclass_error_of(open_dataset(altered, check_md5=False))
    assert f"got fine class {fields['fine_labels'][0]} in 2" in message


def test_superclasses_have_five_classes(contradicting):
    message = superclass_error_of(contradicting("train", [("coarse_labels", 3, 4)]))
    assert "each of the 20 superclasses must have 5 fine classes, got 10 in superclass 4" in message


def test_splits_that_disagree_are_refused(contradicting):
    """Swap two superclasses in test alone: each split is sound by itself."""
    swap = [("coarse_labels", 3, -1), ("coarse_labels", 4, 3), ("coarse_labels", -1, 4)]
    message = superclass_error_of(contradicting("test", swap))
    assert "train and test must agree, got fine class 0 in superclass 3 in train and 4" in message


# Splits


def test_some_rows_of_a_split(tiny_dataset):
    split, rows = open_dataset(tiny_dataset).read_split("train"), np.array([7, 2])
    part = split.take(rows)
    np.testing.assert_array_equal(part.images, split.images[rows])
    for kind, ids in part.labels.items():
        np.testing.assert_array_equal(ids, split.labels[kind][rows])
    assert part.filenames == [split.filenames[7], split.filenames[2]]


# The official files


def test_official_files(official_dataset):
    train, test = (official_dataset.read_split(name) for name in ("train", "test"))
    assert train.images.shape == (50_000, 3072)
    assert test.images.shape == (10_000, 3072)
    assert set(np.bincount(train.labels["fine"])) == {500}
    assert set(np.bincount(test.labels["coarse"])) == {500}
    assert train.filenames[0] == "bos_taurus_s_000507.png"
    names = {kind: official_dataset.class_names(kind)[ids[0]] for kind, ids in train.labels.items()}
    assert names == {"fine": "cattle", "coarse": "large_omnivores_and_herbivores"}
    assert official_dataset.label == "CIFAR-100"


def write_more(folder, per_class):
    """Write training images anew, so many of each class; return their fields."""
    fields = make_fields("train")
    fine = np.repeat(np.arange(100), per_class)
    data = np.random.default_rng(0).integers(0, 256, (len(fine), 3072), dtype=np.uint8)
    names = [f"{i}.png" for i in range(len(fine))]
    fields |= {"fine_labels": fine, "coarse_labels": coarse_of(fine), "data": data}
    fields |= {"filenames": names}
    write_fields(folder / "train", fields, protocol=4)
    return fields


def test_noisy_labels_leave_a_class_in_the_superclass_of_most_of_its_images(altered):
    fields = write_more(altered, 5)
    noisy = fields["fine_labels"].copy()
    noisy[::5] = (noisy[::5] + 1) % 100
    write_fields(altered / "train", fields | {"fine_labels": noisy}, protocol=4)
    dataset = open_dataset(altered, check_md5=False)
    with pytest.warns(UserWarning, match="train: 100 images lie in another superclass than most"):
        superclass_of = dataset.superclass_of
    assert superclass_of.tolist() == coarse_of(range(100)).tolist()
    assert dataset.label_kinds == ("coarse", "fine")
    assert dataset.read_split("train").classes.tolist() == noisy.tolist()


def test_contradicting_superclasses_of_data_with_an_md5_are_refused(contradicting, altered):
    contradicting("train", [("coarse_labels", 3, 4)])
    write_sums(altered)
    dataset = open_dataset(altered)
    assert dataset.label_kinds == ("coarse", "fine")
    assert "got 10 in superclass 4" in data_error_of(lambda: dataset.superclass_of)


# As people write it again


@pytest.mark.parametrize("dtype", ["u1", "i1", "<i2", ">i2", "<u4", "<i8", ">i8", ">u8"])
@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("form", [np.asarray, list])
def test_labels_may_be_integers_of_any_type(altered, dtype, protocol, form):
    fields = make_fields("train")
    labels = {key: form(np.array(fields[key], dtype)) for key in ("fine_labels", "coarse_labels")}
    write_fields(altered / "train", fields | labels, protocol)
    assert_is_tiny(open_dataset(altered, check_md5=False))


@pytest.mark.parametrize("labels", [np.linspace(0, 1, 200), list(np.linspace(0, 1, 200))])
def test_labels_that_are_no_integers_are_called_that(altered, labels):
    write_fields(altered / "train", make_fields("train") | {"fine_labels": labels}, protocol=4)
    message = data_error_of(open_dataset(altered, check_md5=False).read_split, "train")
    assert "must be of integers, got one of type 'f8'" in message


def test_images_need_no_filenames(altered):
    fields = make_fields("train")
    del fields["filenames"]
    write_fields(altered / "train", fields)
    split = open_dataset(altered, check_md5=False).read_split("train")
    assert split.filenames[:2] == ["train_00000", "train_00001"]
    assert len(set(split.filenames)) == 200


def test_a_whole_file_that_is_smaller_is_not_called_truncated(altered):
    (altered / "SYNTHETIC.md5").unlink()
    message = data_error_of(open_dataset(altered).read_split, "train")
    assert "truncated" not in message
    assert "altered: the official md5 is 16019d7e" in message
    assert "--skip-md5" in message
