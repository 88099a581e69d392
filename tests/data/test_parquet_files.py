"""Parquet files as the hubs of data sets ship CIFAR."""

import sys

import numpy as np
import pyarrow as pa
import pytest
from picturefiles import NAMES, draw_all, hub_table, png, write_folder, write_parquet
from pyarrow import parquet

from svmcifar.data.image_folder import ImageFolder
from svmcifar.data.parquet_files import ParquetFiles
from svmcifar.data.registry import open_dataset
from svmcifar.errors import BackendUnavailableError, DataError

TRAIN, TEST = "train-00000-of-00001.parquet", "test-00000-of-00001.parquet"


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    return write_parquet(tmp_path_factory.mktemp("hub") / "cifar100", 24, 8)


@pytest.fixture
def altered(tmp_path):
    return write_parquet(tmp_path / "cifar100", 24, 8)


def rewrite(path, change):
    parquet.write_table(change(parquet.read_table(path)), path)


def test_tables_of_the_hub(hub):
    for place in (hub, hub.parent, hub / TRAIN, hub / TEST):
        dataset = open_dataset(place)
        assert isinstance(dataset, ParquetFiles)
        assert dataset.location == hub
    assert dataset.label == "cifar100"
    assert dataset.class_names("fine") == NAMES
    assert dataset.class_names("coarse") == ("kalt", "warm")
    assert dataset.superclass_of.tolist() == [0, 0, 1, 1]
    train = dataset.read_split("train")
    pictures = draw_all(np.arange(24) % 4, len("train"))
    np.testing.assert_array_equal(dataset.image_shape.to_pictures(train.images), pictures)
    assert train.labels["fine"].tolist() == [0, 1, 2, 3] * 6
    assert train.labels["coarse"].tolist() == [0, 0, 1, 1] * 6
    assert len(dataset.read_split("test").images) == 8


def test_cifar10_has_a_column_of_labels_alone(tmp_path):
    (tmp_path / "plain_text").mkdir()
    for name, n in ((TRAIN, 24), (TEST, 8)):
        table, metadata = hub_table(n, 0), hub_table(n, 0).schema.metadata
        metadata = {k: v.replace(b"fine_label", b"label") for k, v in metadata.items()}
        table = table.drop_columns("coarse_label").rename_columns(["img", "label"])
        parquet.write_table(table.replace_schema_metadata(metadata), tmp_path / "plain_text" / name)
    dataset = open_dataset(tmp_path)
    assert dataset.class_names("fine") == NAMES
    assert dataset.label_kinds == ("fine",)


def test_several_files_and_folders_of_parts(altered):
    for name, part in ((TRAIN, "train"), (TEST, "test")):
        table = parquet.read_table(altered / name)
        (altered / name).unlink()
        (altered / part).mkdir()
        parquet.write_table(table.slice(0, 5), altered / part / "0000.parquet")
        parquet.write_table(table.slice(5), altered / part / "0001.parquet")
    dataset = open_dataset(altered)
    assert dataset.md5s == open_dataset(altered / "test" / "0001.parquet").md5s
    for part in ("train", "test"):
        assert dataset.read_split(part).images.shape == (dataset.count_images(part), 3072)


def test_labels_without_names_and_as_texts(altered):
    for name in (TRAIN, TEST):
        rewrite(altered / name, lambda table: table.replace_schema_metadata(None))
    dataset = open_dataset(altered)
    assert dataset.class_names("fine") == ("0", "1", "2", "3")
    assert dataset.class_names("coarse") == ("0", "1")
    before = dataset.read_split("train").classes

    def as_texts(table):
        texts = [f"class {number}" for number in table["fine_label"].to_pylist()]
        return table.set_column(1, "fine_label", pa.array(texts))

    for name in (TRAIN, TEST):
        rewrite(altered / name, as_texts)
    dataset = open_dataset(altered)
    assert dataset.class_names("fine") == ("class 0", "class 1", "class 2", "class 3")
    assert dataset.read_split("train").classes.tolist() == before.tolist()


def test_one_table_is_split(altered, tmp_path):
    path = tmp_path / "pictures.parquet"
    (altered / TRAIN).rename(path)
    (altered / TEST).unlink()
    altered.rmdir()
    for place in (path, tmp_path):
        dataset = open_dataset(place)
        assert dataset.split_seed == 0
        assert (dataset.count_images("train"), dataset.count_images("test")) == (20, 4)


def test_images_as_bytes_alone(altered):
    before = open_dataset(altered)
    for name in (TRAIN, TEST):
        rewrite(
            altered / name,
            lambda table: pa.table(
                {
                    "image": [image["bytes"] for image in table["img"].to_pylist()],
                    "label": table["fine_label"],
                }
            ),
        )
    images = open_dataset(altered).read_split("test").images
    np.testing.assert_array_equal(images, before.read_split("test").images)


def _with_images(images):
    return lambda table: table.set_column(0, "img", pa.array(images(table["img"].to_pylist())))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop_columns("img"), "must have a column img or image, got fine_label"),
        (lambda t: t.drop_columns("fine_label"), "a column fine_label or label, got img"),
        (
            lambda t: t.set_column(1, "fine_label", pa.array([-1] * len(t))),
            "cifar100, label: must be numbers from 0 to 3, got -1",
        ),
        (
            lambda t: t.set_column(2, "coarse_label", pa.array([0] * len(t))),
            "each class must lie in one superclass, got 'rot' in several",
        ),
        (
            _with_images(lambda images: [{"bytes": None, "path": "a.png"} for _ in images]),
            "8 of 8|must be readable, got 8 of 8",
        ),
        (
            _with_images(lambda images: [{"bytes": b"x", "path": None}, *images[1:]]),
            "must be readable, got 1 of 8",
        ),
    ],
)
def test_odd_tables(altered, change, message):
    rewrite(altered / TEST, change)
    dataset = open_dataset(altered)
    with pytest.raises(DataError, match=message) as caught:
        [dataset.label_kinds, dataset.read_split("test")]
    assert "\n" not in str(caught.value)


def test_missing_and_damaged_tables(altered, tmp_path):
    content = (altered / TEST).read_bytes()
    for damaged in (content[: len(content) // 2], b"", b"PAR1 no table PAR1"):
        (altered / TEST).write_bytes(damaged)
        with pytest.raises(DataError, match=f"{TEST}: must be a whole parquet file"):
            open_dataset(altered).class_names("fine")
    (altered / TEST).unlink()
    with pytest.raises(DataError, match=r"must be train\*.parquet and test\*.parquet, got none of"):
        open_dataset(altered).class_names("fine")
    write_parquet(tmp_path / "other", 4, 4)
    with pytest.raises(DataError, match="of one data set, got folders of several: cifar100, other"):
        open_dataset(tmp_path)


def test_without_pyarrow(hub, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(
        BackendUnavailableError, match=r"parquet files need pyarrow, got .*\[parquet\]"
    ):
        open_dataset(hub)
    assert isinstance(open_dataset(write_folder(tmp_path / "a", 2, 1)), ImageFolder)


def test_pictures_of_tables_are_resized(hub):
    dataset = open_dataset(hub, image_size=16)
    assert dataset.read_split("test").images.shape == (8, 768)
    assert dataset.md5s == open_dataset(hub).md5s
    assert png(draw_all([0], 0)[0])[:4] == b"\x89PNG"
