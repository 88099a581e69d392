"""Image files by name, folder and pattern, and what cannot be read among them."""

import gzip
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from svmcifar.data.cifar100 import CIFAR_100
from svmcifar.data.image_files import find_images, read_image, read_images
from svmcifar.errors import DataError

SHAPE = CIFAR_100.image_shape


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A folder of images and other files, at two depths."""
    monkeypatch.chdir(tmp_path)
    for name in (
        "b.png", "a.JPG", "c.webp", "notes.txt", "film.mpg", "paper.pdf", "Thumbs.db", "._a.jpg",
        "phone.HEIC", "drawing.svg", "no suffix", "sub/d.tif", "sub/[x].png", ".trash/e.png",
    ):  # fmt: skip
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return tmp_path


def found(*places):
    return [path.as_posix() for path in find_images(map(Path, places))]


def test_a_folder_means_its_images_and_those_within(photos):
    assert found("photos") == [
        "photos/a.JPG", "photos/b.png", "photos/c.webp", "photos/drawing.svg", "photos/phone.HEIC",
        "photos/sub/[x].png", "photos/sub/d.tif",
    ]  # fmt: skip


def test_patterns_mean_what_they_match(photos):
    assert found("photos/*.png") == ["photos/b.png"]
    assert found("photos/**/*.png") == ["photos/b.png", "photos/sub/[x].png"]
    assert found("photos/?.[jJ][pP][gG]", "photos/b.png") == ["photos/a.JPG", "photos/b.png"]
    # The name of a file is no pattern, and a file that is not there is told when it is read.
    assert found("photos/sub/[x].png", "none.png") == ["photos/sub/[x].png", "none.png"]


@pytest.mark.parametrize("place", ["photos/*.gif", "empty"])
def test_what_means_nothing_is_refused(photos, place):
    (photos / "empty").mkdir()
    with pytest.raises(DataError, match="must mean at least one image file"):
        find_images([photos / place])


def test_bad_files_do_not_stop_the_others(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    for name in ("a.png", "c.png"):
        Image.fromarray(picture).save(tmp_path / name)
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:200])
    paths = [tmp_path / name for name in ("a.png", "b.png", "missing.png", "c.png")]
    readable, rows, errors = read_images(paths, SHAPE)
    assert readable == [paths[0], paths[3]]
    np.testing.assert_array_equal(rows, [read_image(paths[0], SHAPE)] * 2)
    assert [str(error).split(":")[0] for error in errors] == [str(paths[1]), str(paths[2])]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "got HEIC; convert it to JPEG or PNG"),
        ("a.jpg", b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "got HEIC; convert it to JPEG or PNG"),
        ("a.mp4", b"\0\0\0\x18ftypisom\0\0\0\0isomiso2", "this is a film or another file of ISO"),
        ("a.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "got SVG, a drawing; convert it"),
        ("b.svg", b"\xef\xbb\xbf<?xml version='1.0'?><!-- x -->\n<svg/>", "got SVG, a drawing;"),
        ("a.svgz", gzip.compress(b"<svg/>", mtime=0), "got SVG, a drawing; convert it to PNG"),
        ("a.png", b"<html>", "must be an image file, and this is none; name another"),
        ("b.png", b"", "must be an image file, and this is none; name another"),
    ],
)
def test_what_pillow_does_not_read_is_named(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_image(tmp_path / name, SHAPE)
    assert str(caught.value).startswith(f"{tmp_path / name}: must be an image file")
    assert said in str(caught.value)


def test_size_has_a_limit_and_no_warning_below_it(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1_000_000)
    for name, side in (("large", 1200), ("huge", 1500)):
        Image.new("1", (side, side)).save(tmp_path / f"{name}.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_image(tmp_path / "large.png", SHAPE).shape == (SHAPE.n_values,)
        with pytest.raises(DataError) as caught:
            read_image(tmp_path / "huge.png", SHAPE)
    assert str(caught.value) == (
        f"{tmp_path / 'huge.png'}: an image must have at most 2 megapixels, got 2; make it smaller "
        "first"
    )
