import numpy as np
import pytest
from datafiles import to_pictures
from PIL import Image

from svmcifar.compute.image_shape import ImageShape
from svmcifar.data import image_files
from svmcifar.data.cifar100 import CIFAR_100
from svmcifar.data.image_files import read_image
from svmcifar.errors import DataError


def read(path):
    return read_image(path, CIFAR_100.image_shape)


def test_other_shapes(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    shape = ImageShape(3, 6, 9)
    row = read_image(_save(tmp_path / "a.png", picture), shape)
    np.testing.assert_array_equal(shape.to_pictures(row[None])[0], picture)


def _save(path, pixels, **options):
    Image.fromarray(pixels).save(path, **options)
    return path


def test_32_pixels_pass_unchanged(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    row = read(_save(tmp_path / "a.png", picture))
    assert row.shape == (3072,)
    assert row.dtype == np.uint8
    np.testing.assert_array_equal(to_pictures(row[None])[0], picture)


def test_central_square_is_taken(tmp_path):
    wide = np.zeros((64, 128, 3), dtype=np.uint8)
    wide[:, 32:96] = (10, 200, 60)
    picture = to_pictures(read(_save(tmp_path / "wide.png", wide))[None])[0]
    np.testing.assert_array_equal(picture[:, 4:-4], np.full((32, 24, 3), (10, 200, 60)))


def test_grey_becomes_rgb(tmp_path):
    row = read(_save(tmp_path / "grey.png", np.full((40, 40), 77, dtype=np.uint8)))
    np.testing.assert_array_equal(row, np.full(3072, 77))


def test_transparent_parts_are_white(tmp_path):
    clear = np.zeros((32, 32, 4), dtype=np.uint8)
    np.testing.assert_array_equal(read(_save(tmp_path / "clear.png", clear)), np.full(3072, 255))


@pytest.mark.parametrize("strip_pixels", [1, 100, 10**6])
def test_strips_of_transparent_pictures_are_the_whole(tmp_path, monkeypatch, strip_pixels):
    monkeypatch.setattr(image_files, "_STRIP_PIXELS", strip_pixels)
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 4), dtype=np.uint8)
    white = Image.new("RGBA", (32, 32), "white")
    expected = Image.alpha_composite(white, Image.fromarray(pixels)).convert("RGB")
    row = read(_save(tmp_path / "clear.png", pixels))
    np.testing.assert_array_equal(to_pictures(row[None])[0], expected)


@pytest.mark.parametrize(
    ("mode", "most"), [("RGB", 250_000), ("L", 200_000), ("P", 200_000), ("RGBA", 125_000)]
)
def test_pictures_that_unpack_to_too_much(tmp_path, monkeypatch, mode, most):
    monkeypatch.setattr(image_files, "_MOST_BYTES", 1_000_000 + 16 * 1000)
    path = tmp_path / "a.png"
    Image.new(mode, (most // 1000, 1000)).save(path)
    assert read(path).shape == (3072,)
    Image.new(mode, (most // 1000 + 1, 1000)).save(path)
    with pytest.raises(DataError, match=rf"at most 992\.2 KiB, got .* pixels \({mode}\), which"):
        read(path)
    Image.new("L", (1, 60_000)).save(path)
    with pytest.raises(DataError, match="got 1 x 60000 pixels"):
        read(path)


def test_exif_orientation(tmp_path):
    picture = np.zeros((32, 32, 3), dtype=np.uint8)
    picture[:4] = 255  # a white bar at the top, stored lying on its side
    exif = Image.Exif()
    exif[0x0112] = 6
    path = _save(tmp_path / "turned.png", np.rot90(picture).copy(), exif=exif)
    np.testing.assert_array_equal(to_pictures(read(path)[None])[0], picture)


def test_16_bits_are_scaled(tmp_path):
    ramp = np.linspace(0, 65535, 1024).round().astype(np.uint16).reshape(32, 32)
    row = read(_save(tmp_path / "deep.png", ramp))
    np.testing.assert_array_equal(row[:1024], ramp.reshape(-1) // 257)


def test_32_bits_are_refused(tmp_path):
    path = _save(tmp_path / "float.tiff", np.full((32, 32), 0.5, dtype=np.float32))
    with pytest.raises(DataError, match="must have 8 or 16 bits a channel"):
        read(path)


def test_files_that_are_no_images(tmp_path):
    (tmp_path / "note.txt").write_text("no image")
    with pytest.raises(DataError, match="must be an image file"):
        read(tmp_path / "note.txt")
    with pytest.raises(DataError, match="No such file"):
        read(tmp_path / "missing.png")


def test_truncated_image(tmp_path):
    path = _save(tmp_path / "a.png", np.zeros((64, 64, 3), dtype=np.uint8))
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match=r"must be readable|must be an image file"):
        read(path)
