"""Files of a data set that claim to have no end, or more than a data set has."""

import gzip
import io
import os
import tarfile
import zipfile
from contextlib import suppress

import numpy as np
import pytest
from datafiles import data_error_of, write_archive, write_dataset
from picturefiles import write_npz, write_parquet
from PIL import Image

from svmcifar.compute.image_shape import ImageShape
from svmcifar.data import locations, npz_file, parquet_files
from svmcifar.data.image_files import read_image
from svmcifar.data.labels import check_label_csv
from svmcifar.data.registry import open_dataset
from svmcifar.errors import DataError, LabelError

TOO_LARGE = "it unpacks to more than a data set has"


def names_of(place):
    return open_dataset(place).class_names("fine")


def packed(path, *headers):
    """Write a compressed archive of headers, each followed by less than it claims."""
    with gzip.open(path, "wb") as file:
        for member in headers:
            file.write(member.tobuf() + bytes(512))
    return path


def member(name, size, kind=tarfile.REGTYPE):
    header = tarfile.TarInfo(name)
    header.size, header.type = size, kind
    return header


@pytest.mark.parametrize(
    "header",
    [
        member("cifar-100-python/meta", 2**40),
        member("cifar-100-python/notes", 2**40),
        member("pax", 2**30, tarfile.XHDTYPE),
        member("name", 2**30, tarfile.GNUTYPE_LONGNAME),
    ],
    ids=["data", "other file", "pax header", "long name"],
)
def test_tar_archives_that_claim_terabytes(tmp_path, header):
    first = member("cifar-100-python/README", 512)
    path = packed(tmp_path / "cifar-100-python.tar.gz", first, header, first)
    assert "does not read as one" in data_error_of(names_of, path)


def test_archives_that_unpack_to_more_than_a_data_set_has(tmp_path, monkeypatch):
    folder = write_dataset(tmp_path / "cifar-100-python")
    tar = write_archive(folder, tmp_path / "a.tar.gz")
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in folder.iterdir():
            archive.write(file, f"cifar-100-python/{file.name}")
    for path in (tar, tmp_path / "a.zip", folder):
        assert len(names_of(path)) == 100
    monkeypatch.setattr(locations, "_MOST_BYTES", 1000)
    assert TOO_LARGE in data_error_of(names_of, tar)
    assert TOO_LARGE in data_error_of(names_of, tmp_path / "a.zip")
    assert "can be read" in data_error_of(names_of, folder)


def test_arrays_and_tables_that_do_not_fit_the_memory(tmp_path, monkeypatch):
    write_npz(tmp_path / "a.npz")
    write_parquet(tmp_path / "hub")
    for place, module in ((tmp_path / "a.npz", npz_file), (tmp_path / "hub", parquet_files)):
        assert names_of(place)
        monkeypatch.setattr(module, "available_bytes", lambda: 100)
        with pytest.raises(DataError, match=r"got 'it unpacks to .* more than is free'"):
            names_of(place)


def test_devices_and_pipes(tmp_path, tiny_dataset):
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(LabelError, match="got 'it is a pipe or a device'"):
            check_label_csv(open_dataset(tiny_dataset), place)
        with pytest.raises(DataError, match="got 'it is a pipe or a device'"):
            read_image(place, ImageShape(3, 8, 8))


def test_damaged_pictures_of_every_kind(tmp_path):
    """Pillow raises more than it says."""
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8))
    for form in ("png", "jpeg", "bmp", "gif", "tiff", "webp", "ppm", "ico", "tga", "pcx", "sgi"):
        buffer = io.BytesIO()
        picture.save(buffer, form)
        for _ in range(40):
            content = bytearray(buffer.getvalue())
            content[rng.integers(len(content))] = rng.integers(256)
            content[rng.integers(min(len(content), 60))] = rng.integers(256)
            path = tmp_path / f"a.{form}"
            path.write_bytes(content)
            with suppress(DataError):
                assert read_image(path, ImageShape(3, 8, 8)).shape == (192,)
