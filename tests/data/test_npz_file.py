"""Arrays of images in ``.npz`` files."""

import numpy as np
import pytest
from picturefiles import NAMES, draw_all, write_npz
from PIL import Image

from svmcifar.data.npz_file import NpzFile
from svmcifar.data.registry import open_dataset
from svmcifar.errors import DataError


@pytest.fixture(scope="module")
def arrays(tmp_path_factory):
    return write_npz(tmp_path_factory.mktemp("npz") / "drawn.npz", 24, 8, side=28)


def test_arrays_as_keras_has_them(arrays):
    dataset = open_dataset(arrays)
    assert isinstance(dataset, NpzFile)
    assert dataset.label == "drawn.npz"
    assert dataset.class_names("fine") == NAMES
    assert dataset.label_kinds == ("fine",)
    assert dataset.image_shape == (3, 28, 28)
    train, test = dataset.read_split("train"), dataset.read_split("test")
    pictures = draw_all(np.arange(24) % 4, len("train"), 28)
    np.testing.assert_array_equal(dataset.image_shape.to_pictures(train.images), pictures)
    assert train.classes.tolist() == [0, 1, 2, 3] * 6
    assert len(test.images) == 8
    assert test.filenames[7] == "test_00007"


def test_layouts_and_shapes_mean_the_same(arrays, tmp_path):
    x, y = draw_all(np.arange(24) % 4, 5, 28), np.arange(24) % 4
    xt, yt = draw_all(np.arange(8) % 4, 4, 28), np.arange(8) % 4
    keys = ("train_images", "train_labels", "test_images", "test_labels")
    forms = [
        (x, y, xt, yt),
        (x, y[:, None].astype(np.uint8), xt, yt[:, None]),
        (x.transpose(0, 3, 1, 2), y, xt.transpose(0, 3, 1, 2), yt),
        (x.transpose(0, 3, 1, 2).reshape(24, -1), y, xt.transpose(0, 3, 1, 2).reshape(8, -1), yt),
    ]
    expected = open_dataset(arrays)
    for values in forms:
        np.savez(
            tmp_path / "a.npz", class_names=list(NAMES), **dict(zip(keys, values, strict=True))
        )
        dataset = open_dataset(tmp_path / "a.npz")
        for name in ("train", "test"):
            read, wanted = dataset.read_split(name), expected.read_split(name)
            np.testing.assert_array_equal(read.images, wanted.images)
            assert read.classes.tolist() == wanted.classes.tolist()
        assert dataset.md5s == expected.md5s


def test_grey_images_have_three_equal_planes(tmp_path):
    x = draw_all(np.arange(20) % 2, 0, 8)[..., 0]
    for images in (x, x[..., None], x[:, None]):
        np.savez(tmp_path / "a.npz", x=images, y=np.arange(20) % 2)
        dataset = open_dataset(tmp_path / "a.npz")
        assert dataset.class_names("fine") == ("0", "1")
        assert dataset.split_seed == 0
        train, test = dataset.read_split("train"), dataset.read_split("test")
        assert (len(train.images), len(test.images)) == (16, 4)
        number = int(test.filenames[0].split("_")[1])
        np.testing.assert_array_equal(test.images[0].reshape(3, 8, 8), [x[number]] * 3)


def test_other_sizes(arrays, tmp_path):
    dataset = open_dataset(arrays, image_size=14)
    picture = draw_all([0], len("train"), 28)[0]
    resized = np.asarray(Image.fromarray(picture).resize((14, 14), Image.Resampling.LANCZOS))
    row = dataset.read_split("train").images[0]
    np.testing.assert_array_equal(dataset.image_shape.to_pictures(row[None])[0], resized)
    np.savez(tmp_path / "a.npz", x=draw_all([0, 1] * 5, 0, 16)[:, :, :12], y=[0, 1] * 5)
    with pytest.raises(DataError, match="must be square, got 16 x 12 pixels; pass --resize"):
        open_dataset(tmp_path / "a.npz").read_split("train")
    assert open_dataset(tmp_path / "a.npz", image_size=8).read_split("test").images.shape[1] == 192


def test_identity_is_that_of_images_labels_and_names(tmp_path):
    def md5s(**arrays):
        return open_dataset(write_npz(tmp_path / "a.npz", 12, 4, 8, **arrays)).md5s

    first = md5s()
    assert md5s() == first
    relabelled = md5s(y_test=np.array([1, 0, 2, 3]))
    assert relabelled["train"] == first["train"]
    assert relabelled["test"] != first["test"]
    assert md5s(class_names=[*NAMES[:3], "schwarz"])["train"] != first["train"]


def test_superclasses(tmp_path):
    above = {"superclass_of": [0, 0, 1, 1], "superclass_names": ["kalt", "warm"]}
    dataset = open_dataset(write_npz(tmp_path / "a.npz", 12, 4, 8, **above))
    assert dataset.class_names("coarse") == ("kalt", "warm")
    assert dataset.read_split("test").labels["coarse"].tolist() == [0, 0, 1, 1]
    del above["superclass_names"]
    dataset = open_dataset(write_npz(tmp_path / "a.npz", 12, 4, 8, **above))
    assert dataset.class_names("coarse") == ("0", "1")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x_train": np.zeros((120, 8, 8, 3))}, "x_train: images must be bytes .*got float64"),
        ({"x_train": np.zeros((120, 8, 8, 4), np.uint8)}, r"got \(120, 8, 8, 4\); reshape"),
        ({"x_test": np.zeros((40, 9, 9, 3), np.uint8)}, "all images must have one shape"),
        ({"y_train": np.arange(120) % 4 + 1}, "y_train: must be numbers from 0 to 3, got 4"),
        ({"y_train": np.arange(120) % 3}, "must have training pictures, got none of 'weiß'"),
        ({"y_train": np.arange(120) / 4}, "y_train: must be one integer an image, got float64"),
        ({"y_test": np.full(40, -1)}, "y_test: must be numbers from 0 to 3, got -1"),
        ({"y_test": np.zeros(39, int)}, "one label an image, got 39 for 40 images"),
        ({"class_names": ["a", "a", "b", "c"]}, "must be different names, got 'a' twice"),
        ({"class_names": ["a\nb", "c", "d", "e"]}, r"must be printable names, got 'a\\nb'"),
        ({"class_names": np.arange(4)}, "must be a list of texts, got int64"),
        ({"class_names": np.array(["a", None, 2, 3])}, r"whole \.npz file of numbers and texts"),
        ({"superclass_of": [0, 0, 1]}, "one number a class, got 3 for 4 classes"),
        ({"superclass_of": [0, 0, 2, 2]}, "each superclass must have classes, got none of '1'"),
    ],
)
def test_odd_arrays(tmp_path, arrays, message):
    dataset = open_dataset(write_npz(tmp_path / "a.npz", side=8, **arrays))
    with pytest.raises(DataError, match=message) as caught:
        [dataset.read_split("train"), dataset.read_split("test"), dataset.label_kinds]
    assert "\n" not in str(caught.value)


def test_damaged_files(arrays, tmp_path):
    content = arrays.read_bytes()
    path = tmp_path / "a.npz"
    for damaged in (content[: len(content) // 2], b"", b"no arrays"):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"must be a whole \.npz file"):
            open_dataset(path).read_split("train")
    np.savez(path, weights=np.zeros(3))
    with pytest.raises(
        DataError, match=r"must have the arrays x_train, y_train.*, got none of them"
    ):
        open_dataset(path).read_split("train")
