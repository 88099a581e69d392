"""Folders of labelled pictures."""

import shutil
import unicodedata
import warnings

import numpy as np
import pytest
from picturefiles import ABOVE, NAMES, draw, write_folder
from PIL import Image

from svmcifar.data.cifar100 import Cifar100
from svmcifar.data.image_files import read_image
from svmcifar.data.image_folder import ImageFolder
from svmcifar.data.labels import label_rows
from svmcifar.data.registry import open_dataset
from svmcifar.errors import DataError, LabelError


def error_of(action, kind=DataError):
    with pytest.raises(kind) as caught:
        action()
    message = str(caught.value)
    assert "\n" not in message
    return message


def read(place, **options):
    dataset = open_dataset(place, **options)
    return dataset.read_split("train"), dataset.read_split("test")


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("shapes") / "shapes", 8, 3)


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "shapes", 5, 2)


def test_train_and_test_folders(shapes):
    dataset = open_dataset(shapes)
    assert isinstance(dataset, ImageFolder)
    assert dataset.label == "shapes"
    assert dataset.original is None
    assert dataset.class_names("fine") == NAMES
    assert dataset.image_shape == (3, 32, 32)
    assert dataset.split_seed is None
    for name, n in (("train", 8), ("test", 3)):
        split = dataset.read_split(name)
        assert dataset.count_images(name) == len(split.images) == 4 * n
        assert np.bincount(split.classes).tolist() == [n] * 4
        assert not split.images.flags.writeable
        for row, label, file in zip(split.images, split.classes, split.filenames, strict=True):
            assert f"{name}/{NAMES[label]}/" in file
            np.testing.assert_array_equal(row, read_image(file, dataset.image_shape))
    first = dataset.read_split("train").classes[:9].tolist()
    assert len(set(first)) > 2, "the first images must be of several classes"


def test_superclasses(shapes):
    dataset = open_dataset(shapes)
    assert dataset.label_kinds == ("coarse", "fine")
    assert dataset.class_names("coarse") == ("kalt", "warm")
    assert dataset.superclass_of.tolist() == [0, 0, 1, 1]
    split = dataset.read_split("train")
    assert list(split.labels) == ["coarse", "fine"]
    names = [dataset.class_names(kind) for kind in ("coarse", "fine")]
    for above, label in zip(*split.labels.values(), strict=True):
        assert names[0][above] == ABOVE[names[1][label]]
    assert label_rows(dataset)[1] == ["0", "blau", "0", "kalt"]


def test_without_superclasses(tmp_path):
    dataset = open_dataset(write_folder(tmp_path / "a", 2, 1, superclasses=False))
    assert dataset.label_kinds == ("fine",)
    assert list(dataset.read_split("test").labels) == ["fine"]
    assert dataset.superclass_of.tolist() == [0, 1, 2, 3]
    assert "a has none; pass --labels fine" in error_of(lambda: dataset.class_names("coarse"))


def test_a_fifth_is_held_out_by_seed(shapes):
    place = shapes / "train"
    train, test = read(place)
    assert (len(train.images), len(test.images)) == (24, 8)
    assert np.bincount(test.classes).tolist() == [2] * 4
    assert not set(train.filenames) & set(test.filenames)
    again = read(place)
    assert [s.filenames for s in again] == [train.filenames, test.filenames]
    assert open_dataset(place).split_seed == 0
    dataset = open_dataset(place, split_seed=7)
    assert set(dataset.read_split("test").filenames) != set(test.filenames)
    assert dataset.to_record()["split_seed"] == 7
    assert dataset.md5s["train"] != open_dataset(place).md5s["train"]
    refused = open_dataset(shapes, split_seed=7)
    assert "test pictures of its own; leave out --split-seed" in error_of(lambda: refused.md5s)


def test_image_size(shapes):
    for place in (shapes, shapes / "train"):
        dataset = open_dataset(place, image_size=20)
        split = dataset.read_split("test")
        assert split.images.shape[1] == dataset.image_shape.n_values == 3 * 20 * 20
        row = read_image(split.filenames[0], dataset.image_shape)
        np.testing.assert_array_equal(split.images[0], row)


def test_a_data_set_like_a_models(shapes):
    record = open_dataset(shapes / "train", image_size=20, split_seed=3).to_record()
    assert (record["image_shape"], record["split_seed"]) == ([3, 20, 20], 3)
    assert open_dataset(shapes / "train").like(record).to_record() == record
    asked = open_dataset(shapes / "train", image_size=24, split_seed=0).like(record)
    assert asked.image_shape == (3, 24, 24)
    assert asked.md5s == open_dataset(shapes / "train").md5s
    assert open_dataset(shapes).like(record).md5s == open_dataset(shapes).md5s
    assert open_dataset(shapes).like({}).image_shape == (3, 32, 32)


def test_identity_is_that_of_contents_and_labels(folder, tmp_path):
    first = open_dataset(folder).md5s
    copy = shutil.copytree(folder, tmp_path / "copy")
    assert open_dataset(copy).md5s == first
    assert open_dataset(copy, image_size=16).md5s == first
    before = open_dataset(copy)
    before.read_split("train")
    assert before.md5s == first, "whether or not images were read before"
    rng = np.random.default_rng(5)
    Image.fromarray(draw(0, rng)).save(copy / "test" / NAMES[0] / "000.png")
    changed = open_dataset(copy).md5s
    assert changed["train"] == first["train"]
    assert changed["test"] != first["test"]
    (copy / "train" / NAMES[0] / "000.png").rename(copy / "train" / NAMES[1] / "moved.png")
    assert open_dataset(copy).md5s["train"] != first["train"]


def test_every_form_of_picture(folder):
    inside = folder / "train" / NAMES[0]
    pixels = draw(0, np.random.default_rng(0))
    rgb = Image.fromarray(pixels)
    forms = {
        "grey.png": rgb.convert("L"), "alpha.png": rgb.convert("RGBA"),
        "palette.gif": rgb.convert("P"), "grey-alpha.png": rgb.convert("LA"),
        "bit.png": rgb.convert("1"), "one.png": rgb.resize((1, 1)), "deep.jpg": rgb,
        "thin.webp": rgb.resize((200, 2)), "größe ☃.bmp": rgb,
    }  # fmt: skip
    for name, picture in forms.items():
        picture.save(inside / name)
    (inside / "deeper").mkdir()
    rgb.save(inside / "deeper" / "below.png")
    (inside / "notes.txt").write_text("no picture")
    (inside / ".hidden.png").write_bytes(b"no picture")
    train, _ = read(folder)
    assert len(train.images) == 4 * 5 + len(forms) + 1
    assert {file.rsplit("/", 1)[1] for file in train.filenames} >= {*forms, "below.png"}


def test_pictures_that_cannot_be_read_are_listed(folder, monkeypatch):
    inside = folder / "train" / NAMES[1]
    (inside / "a.png").write_text("no picture")
    Image.new("RGB", (300, 300)).save(inside / "huge.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20_000)
    whole = (inside / "000.png").read_bytes()
    (inside / "000.png").write_bytes(whole[: len(whole) // 2])
    (inside / "dangling.png").symlink_to("nowhere")
    dataset = open_dataset(folder)
    with pytest.raises(DataError, match="readable, got 4 of 23 that are not, see above") as caught:
        dataset.read_split("train")
    notes = "\n".join(sorted(caught.value.__notes__))
    assert notes.count("\n") == 3
    assert "a.png: must be an image file, and this is none" in notes
    assert "000.png: the image must be readable" in notes
    assert "dangling.png: the image must be readable, got 'No such file" in notes
    assert "huge.png: an image must have at most 0 megapixels" in notes
    assert len(dataset.read_split("test").images) == 8


def test_classes_of_test_that_train_lacks(folder):
    (folder / "train" / NAMES[2]).rename(folder.parent / "gone")
    message = error_of(lambda: open_dataset(folder).class_names("fine"))
    assert f"{folder / 'test'}: classes must be those of train/, got {NAMES[2]!r}" in message


def test_classes_of_train_that_test_lacks(folder):
    shutil.rmtree(folder / "test" / NAMES[2])
    _, test = read(folder)
    assert np.bincount(test.classes, minlength=4).tolist() == [2, 2, 0, 2]


@pytest.mark.parametrize("part", ["train", "test"])
def test_an_empty_class_folder(folder, part):
    (folder / part / "zzz").mkdir()
    message = error_of(lambda: read(folder))
    assert "zzz: a class folder must hold images, got none; fill it or remove it" in message


def test_one_class_alone(tmp_path):
    folder = write_folder(tmp_path / "a", 4, 0, superclasses=False) / "train"
    for name in NAMES[1:]:
        shutil.rmtree(folder / name)
    message = error_of(lambda: read(folder))
    assert f"there must be two or more classes, got one alone, {NAMES[0]!r}" in message


def test_one_picture_a_class_leaves_no_test_images(tmp_path):
    folder = write_folder(tmp_path / "a", 1, 0, superclasses=False) / "train"
    assert "there must be test pictures, got none" in error_of(lambda: read(folder))


def test_training_folder_without_test_folder(folder):
    (folder / "test").rename(folder / "val")
    message = error_of(lambda: open_dataset(folder).md5s)
    assert "a folder with train/ must have test/ too, got none; name the folder" in message


def test_a_class_may_be_called_train(tmp_path):
    folder = write_folder(tmp_path / "a", 4, 0, superclasses=False) / "train"
    (folder / NAMES[0]).rename(folder / "train")
    assert open_dataset(folder).class_names("fine") == (*NAMES[1:3], "train", NAMES[3])


def test_images_outside_of_class_folders_are_told(folder):
    Image.new("RGB", (8, 8)).save(folder / "train" / "stray.png")
    with pytest.warns(UserWarning, match="1 images lie in no class folder and are left out"):
        assert len(read(folder)[0].images) == 20
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (folder / "train" / "stray.png").unlink()
        read(folder)


def test_names_that_macos_decomposes(folder):
    apart = unicodedata.normalize("NFD", NAMES[1])
    assert apart != NAMES[1]
    (folder / "test" / NAMES[1]).rename(folder / "test" / apart)
    _, test = read(folder)
    assert np.bincount(test.classes).tolist() == [2] * 4


@pytest.mark.parametrize("name", ["two\nlines", b"\xff latin".decode("utf-8", "surrogateescape")])
def test_names_that_cannot_be_printed(folder, name):
    (folder / "train" / NAMES[3]).rename(folder / "train" / name)
    message = error_of(lambda: open_dataset(folder).class_names("fine"))
    assert "a class folder must have a printable name, got" in message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,superclass\n", "must have the columns class, superclass in its first line"),
        ("class,superclass\nblau,kalt\n", "must have one row with its superclass, got none of"),
        ("class,superclass\nblau,kalt\nblau,kalt\n", "line 3: .*, got 'blau' again"),
        ("class,superclass\nlila,kalt\n", "line 2: .*, got 'lila', which has no folder"),
        ("class,superclass\nblau\n", "line 2: .*, got no superclass of 'blau'"),
        ("class,superclass\n" + "".join(f"{n},alle\n" for n in NAMES), "two or more superclasses"),
    ],
)
def test_odd_superclass_files(folder, text, message):
    (folder / "superclasses.csv").write_text(text, encoding="utf-8")
    with pytest.raises(LabelError, match=f"superclasses.csv.*{message}"):
        open_dataset(folder).label_kinds  # noqa: B018


def test_superclass_files_of_spreadsheets(folder):
    path = folder / "superclasses.csv"
    path.write_text(path.read_text(encoding="utf-8"), encoding="utf-8-sig")
    assert open_dataset(folder).superclass_of.tolist() == [0, 0, 1, 1]
    path.write_bytes("class,superclass\ngrün,kalt".encode("latin-1"))
    with pytest.raises(LabelError, match="must be a readable CSV"):
        open_dataset(folder).label_kinds  # noqa: B018


def test_folders_of_other_data_are_no_images(tiny_dataset, tmp_path):
    assert isinstance(open_dataset(tiny_dataset.parent), Cifar100)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "notes.txt").write_text("no picture")
    message = error_of(lambda: open_dataset(tmp_path))
    assert "a folder of images in train/CLASS/ and test/CLASS/, or in CLASS/; got a" in message
    message = error_of(lambda: open_dataset(tiny_dataset, kind="folder"))
    assert message.startswith(f"{tiny_dataset}: must be a folder of images")
