"""Finding the data set, in folders and in archives."""

import os
import zipfile
from pathlib import Path

import pytest
from datafiles import assert_is_tiny, data_error_of, md5s_of, write_archive, write_dataset

from svmcifar.data import locations
from svmcifar.data.registry import open_dataset


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """An empty current folder and home, and no $SVMCIFAR_DATA; gives (current, home)."""
    current, home = tmp_path / "current", tmp_path / "home"
    current.mkdir()
    home.mkdir()
    monkeypatch.chdir(current)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.delenv("SVMCIFAR_DATA", raising=False)
    monkeypatch.delenv("KERAS_HOME", raising=False)
    return current, home


# Finding


def test_missing_folder(tmp_path):
    assert "nothing there" in data_error_of(open_dataset, tmp_path / "absent")


def test_folder_without_data_set(tmp_path):
    message = data_error_of(open_dataset, tmp_path)
    assert message.startswith(f"{tmp_path}: ")
    assert "a folder without them" in message


def test_folder_without_one_file(altered):
    (altered / "test").unlink()
    data_error_of(open_dataset, altered)


def test_environment_variable(nowhere, tiny_dataset, monkeypatch):
    monkeypatch.setenv("SVMCIFAR_DATA", str(tiny_dataset))
    assert open_dataset().location == tiny_dataset


def test_missing_folder_of_the_environment_variable_is_not_passed_over(nowhere, monkeypatch):
    current, _ = nowhere
    write_dataset(current / "data" / "cifar-100-python")
    monkeypatch.setenv("SVMCIFAR_DATA", "absent")
    assert data_error_of(open_dataset).startswith("absent (from $SVMCIFAR_DATA): ")


def test_argument_comes_before_the_environment_variable(nowhere, tiny_dataset, monkeypatch):
    monkeypatch.setenv("SVMCIFAR_DATA", "absent")
    assert open_dataset(str(tiny_dataset)).location == tiny_dataset


def test_nothing_found_names_places_and_remedies(nowhere):
    message = data_error_of(open_dataset)
    for part in (
        "$SVMCIFAR_DATA (not set)",
        "data/cifar-100-python",
        "~/.keras/datasets",
        "--data",
        "svmcifar download --synthetic",
    ):
        assert part in message


@pytest.mark.parametrize(
    "place",
    [
        "data/cifar-100-python",
        "data/cifar100/cifar-100-python",
        "cifar-100-python",
        "~/data/cifar-100-python",
        "~/datasets/cifar-100-python",
        "~/.cache/cifar-100-python",
        "~/.keras/datasets/cifar-100-python",
        "~/.keras/datasets/cifar-100-python-target/cifar-100-python",
    ],
)
def test_usual_places(nowhere, place):
    folder = write_dataset(Path(os.path.expanduser(place)))
    assert open_dataset().location.resolve() == folder.resolve()


def test_current_folder_comes_before_home(nowhere):
    current, home = nowhere
    for root in (home / "data", current / "data"):
        write_dataset(root / "cifar-100-python")
    assert str(open_dataset().location) == "data/cifar-100-python"


def test_keras_home(nowhere, tmp_path, monkeypatch):
    write_dataset(tmp_path / "keras" / "datasets" / "cifar-100-python")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    assert tmp_path / "keras" in open_dataset().location.parents


# Archives


@pytest.mark.parametrize("suffix", [".tar.gz", ".tar.xz"])
def test_archive(tiny_dataset, tmp_path, suffix):
    archive = write_archive(tiny_dataset, tmp_path / f"cifar-100-python{suffix}")
    for place in (archive, tmp_path):
        dataset = open_dataset(place)
        assert dataset.location == archive
        assert dataset.is_synthetic
        assert dataset.md5s == md5s_of(tiny_dataset)
        assert_is_tiny(dataset, "train")
        assert_is_tiny(dataset, "test")
        assert len(dataset.class_names("fine")) == 100
    assert os.listdir(tmp_path) == [archive.name], "nothing may be extracted"


@pytest.mark.parametrize("keep_limit_bytes", [2**26, 500_000, 0])
def test_archive_passes_and_bytes_kept(tiny_dataset, tmp_path, monkeypatch, keep_limit_bytes):
    """With a limit between test and train, as officially, `train` first makes one pass of all."""
    monkeypatch.setattr(locations, "_KEEP_LIMIT_BYTES", keep_limit_bytes)
    archive = write_archive(tiny_dataset, tmp_path / "a.tar.gz")
    passes = []
    scan = locations.ArchiveSource._scan
    monkeypatch.setattr(
        locations.ArchiveSource, "_scan", lambda *args, **kw: (passes.append(1), scan(*args, **kw))
    )
    dataset = open_dataset(archive)
    assert_is_tiny(dataset, "train")
    assert_is_tiny(dataset, "test")
    assert dataset.class_names("fine") == dataset.class_names("fine")
    assert dataset.is_synthetic
    assert len(passes) == (1 if keep_limit_bytes else 4)
    assert not dataset._source._kept, "bytes are dropped once they were read"
    assert_is_tiny(dataset, "train")
    assert not dataset._source._kept, "a later pass keeps nothing that nobody asked for"


def test_truncated_archive(tiny_dataset, tmp_path):
    archive = write_archive(tiny_dataset, tmp_path / "a.tar.gz")
    archive.write_bytes(archive.read_bytes()[:200_000])
    assert str(archive) in data_error_of(open_dataset(archive).read_split, "test")


def test_file_that_is_no_archive(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    message = data_error_of(open_dataset(tmp_path / "notes.txt").class_names, "fine")
    assert "notes.txt: must be a folder" in message
    assert "got a file that does not read as one (it is no archive)" in message


def test_archive_without_one_member(altered, tmp_path):
    (altered / "meta").unlink()
    dataset = open_dataset(write_archive(altered, tmp_path / "a.tar.gz"))
    assert "cifar-100-python/meta" in data_error_of(dataset.class_names, "fine")


@pytest.mark.parametrize("name", ["train", "test", "meta"])
def test_a_data_file_stands_for_its_folder(tiny_dataset, name):
    assert open_dataset(tiny_dataset / name).location == tiny_dataset


def test_a_data_file_without_the_others_is_told_what_lacks(altered):
    (altered / "meta").unlink()
    message = data_error_of(open_dataset(altered / "train").class_names, "fine")
    assert f"{altered / 'meta'}: a data file must be readable, got 'No such file" in message


def zip_of(folder, archive, inside="", **options):
    with zipfile.ZipFile(archive, "w", **options) as opened:
        opened.writestr(f"{inside}other/train", "of something else")
        for path in folder.iterdir():
            opened.write(path, f"{inside}{path.name}")
    return archive


@pytest.mark.parametrize("inside", ["", "cifar-100-python/"])
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_zip_archive(tiny_dataset, tmp_path, inside, compression):
    archive = tmp_path / "cifar-100-python.zip"
    zip_of(tiny_dataset, archive, inside, compression=compression)
    for place in (archive, tmp_path):
        dataset = open_dataset(place)
        assert dataset.location == archive
        assert dataset.md5s == md5s_of(tiny_dataset)
        assert_is_tiny(dataset, "train")
        assert_is_tiny(dataset, "test")
        assert dataset.is_synthetic
    assert os.listdir(tmp_path) == [archive.name], "nothing may be extracted"


def test_zip_archives_are_never_trusted_more_than_files(altered, tmp_path):
    (altered / "train").write_bytes(b"\x80\x02cos\nsystem\n.")
    dataset = open_dataset(zip_of(altered, tmp_path / "a.zip"), check_md5=False)
    assert "'os.system', which was not run" in data_error_of(dataset.read_split, "train")


def test_zip_archives_with_faults_have_one_line(altered, tmp_path):
    whole = zip_of(altered, tmp_path / "a.zip").read_bytes()
    for damaged in (whole[: len(whole) // 2], whole.replace(b"\x00" * 8, b"\x01" * 8, 1)):
        (tmp_path / "b.zip").write_bytes(damaged)
        message = data_error_of(lambda: open_dataset(tmp_path / "b.zip", check_md5=False).md5s)
        assert "b.zip: " in message
    (tmp_path / "b.zip").write_bytes(whole[: len(whole) // 2])
    message = data_error_of(open_dataset(tmp_path / "b.zip").read_split, "train")
    assert "got a file that does not read as one (it is truncated)" in message
    (altered / "meta").unlink()
    message = data_error_of(open_dataset(zip_of(altered, tmp_path / "c.zip")).class_names, "fine")
    assert "c.zip: the archive must hold cifar-100-python/meta, got none" in message
