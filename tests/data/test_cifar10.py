"""CIFAR-10 in its own six files and their meta data."""

import hashlib
import re
import tarfile
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from datafiles import data_error_of, write_dataset
from picturefiles import CIFAR_NAMES, cifar10_fields, write_cifar10

from svmcifar.data.cifar10 import CIFAR_10, Cifar10
from svmcifar.data.cifar100 import Cifar100
from svmcifar.data.download import download_dataset
from svmcifar.data.registry import open_dataset

BATCHES = [f"data_batch_{number}" for number in range(1, 6)]


@pytest.fixture(scope="module")
def cifar10(tmp_path_factory):
    return write_cifar10(tmp_path_factory.mktemp("ten") / "cifar-10-batches-py")


@pytest.fixture
def altered(tmp_path):
    return write_cifar10(tmp_path / "cifar-10-batches-py")


def test_batches_are_read_in_order(cifar10):
    dataset = open_dataset(cifar10.parent)
    assert isinstance(dataset, Cifar10)
    train, test = dataset.read_split("train"), dataset.read_split("test")
    fields = [cifar10_fields(name) for name in BATCHES]
    np.testing.assert_array_equal(train.images, np.concatenate([f[b"data"] for f in fields]))
    assert train.classes.tolist() == [label for f in fields for label in f[b"labels"]]
    assert train.filenames[40] == "data_batch_2_0.png"
    np.testing.assert_array_equal(test.images, cifar10_fields("test_batch")[b"data"])
    assert dataset.class_names("fine") == tuple(CIFAR_NAMES)
    assert dataset.label_kinds == ("fine",)
    assert list(train.labels) == ["fine"]
    assert dataset.superclass_of.tolist() == list(range(10))
    assert not train.images.flags.writeable


def test_identity_of_the_training_images_is_that_of_the_five_batches(altered):
    first = open_dataset(altered, check_md5=False).md5s
    assert set(first) == {*CIFAR_10.files, "train"}
    (altered / "test_batch").write_bytes((altered / "data_batch_1").read_bytes())
    second = open_dataset(altered, check_md5=False).md5s
    assert second["train"] == first["train"]
    (altered / "data_batch_5").write_bytes((altered / "data_batch_1").read_bytes())
    assert open_dataset(altered, check_md5=False).md5s["train"] != first["train"]


def test_labels_and_originals(cifar10, monkeypatch):
    stand_in = open_dataset(cifar10)
    assert (stand_in.label, stand_in.original) == ("SYNTHETIC stand-in", "CIFAR-10")
    assert stand_in.is_synthetic
    files = {
        name: file._replace(md5=hashlib.md5((cifar10 / name).read_bytes()).hexdigest())
        for name, file in CIFAR_10.files.items()
    }
    monkeypatch.setattr(Cifar10, "description", replace(CIFAR_10, files=files))
    official = open_dataset(cifar10)
    assert (official.label, official.original) == ("CIFAR-10", None)


@pytest.mark.parametrize("name", ["data_batch_3", "test_batch", "batches.meta"])
def test_a_wrong_md5_is_refused(altered, name):
    (altered / "SYNTHETIC.md5").unlink()
    dataset = open_dataset(altered)
    message = data_error_of(
        lambda: [
            dataset.class_names("fine"),
            dataset.read_split("test"),
            dataset.read_split("train"),
        ]
    )
    assert "svmcifar download --dataset cifar10`" in message
    open_dataset(altered, check_md5=False).read_split("train")
    (altered / name).write_bytes((altered / name).read_bytes()[:-60])
    damaged = open_dataset(altered, check_md5=False)
    message = data_error_of(
        lambda: [
            damaged.class_names("fine"),
            damaged.read_split("test"),
            damaged.read_split("train"),
        ]
    )
    assert f"{name}: a data file must be a whole pickle" in message
    assert "svmcifar download --dataset cifar10`" in message


def test_a_missing_batch_is_named(altered):
    (altered / "data_batch_4").unlink()
    message = data_error_of(open_dataset(altered / "data_batch_1").read_split, "train")
    assert f"{altered / 'data_batch_4'}: a data file must be readable" in message
    assert "svmcifar download --dataset cifar10`" in message
    message = data_error_of(open_dataset, altered)
    assert "a folder that holds data_batch_1, data_batch_2" in message


def pack(folder, archive):
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w") as opened:
            for path in folder.iterdir():
                opened.write(path, f"{folder.name}/{path.name}")
    else:
        with tarfile.open(archive, f"w:{archive.suffix[1:]}") as opened:
            opened.add(folder, arcname=folder.name)
    return archive


@pytest.mark.parametrize("suffix", [".tar.gz", ".tar.xz", ".zip"])
def test_archives_of_both_are_told_apart(cifar10, tiny_dataset, tmp_path, suffix):
    ten = open_dataset(pack(cifar10, tmp_path / f"ten{suffix}"))
    assert isinstance(ten, Cifar10)
    assert len(ten.read_split("train").images) == 200
    assert isinstance(open_dataset(pack(tiny_dataset, tmp_path / f"hundred{suffix}")), Cifar100)
    message = data_error_of(open_dataset, tmp_path / f"ten{suffix}", kind="cifar100")
    assert "got another file" in message


@pytest.mark.parametrize("stem", ["cifar-10-python", "cifar-10-batches-py"])
def test_archives_are_found_in_a_folder(cifar10, tmp_path, stem):
    archive = pack(cifar10, tmp_path / f"{stem}.tar.gz")
    assert open_dataset(tmp_path).location == archive


def test_kind_chooses_where_both_are(cifar10, tmp_path, monkeypatch):
    write_dataset(tmp_path / "data" / "cifar-100-python")
    (tmp_path / "data" / "cifar-10-batches-py").symlink_to(cifar10)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SVMCIFAR_DATA", raising=False)
    assert isinstance(open_dataset(), Cifar100)
    assert isinstance(open_dataset("data"), Cifar100)
    assert isinstance(open_dataset(kind="cifar10"), Cifar10)
    assert isinstance(open_dataset("data", kind="cifar10"), Cifar10)


def test_images_of_cifar_are_not_resized_nor_split(cifar10):
    for options in ({"image_size": 16}, {"split_seed": 1}):
        with pytest.raises(Exception, match="leave out --resize and --split-seed"):
            open_dataset(cifar10, **options)
    assert open_dataset(cifar10, image_size=32).image_shape == (3, 32, 32)


def test_download(cifar10, tmp_path, monkeypatch):
    archive = pack(cifar10, tmp_path / "cifar-10-python.tar.gz")
    md5s = {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in cifar10.iterdir()}
    description = replace(
        CIFAR_10,
        files={n: file._replace(md5=md5s[n]) for n, file in CIFAR_10.files.items()},
        archive_md5=hashlib.md5(archive.read_bytes()).hexdigest(),
    )
    folder = download_dataset(tmp_path, description=description, progress=False)
    assert folder == tmp_path / "cifar-10-batches-py"
    assert {path.name for path in folder.iterdir()} == set(CIFAR_10.files)
    assert re.fullmatch("[0-9a-f]{32}", CIFAR_10.archive_md5)
