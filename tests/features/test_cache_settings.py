"""What the environment says of the feature cache."""

import os
from pathlib import Path

import pytest

from svmcifar.errors import InputError
from svmcifar.features import cache_settings
from svmcifar.features.cache import open_cache
from svmcifar.features.cache_settings import read_cache_settings

VARIABLES = ("CACHE", "CACHE_LIMIT", "CACHE_DTYPE")


@pytest.fixture(autouse=True)
def _bare(monkeypatch):
    for name in [f"SVMCIFAR_{variable}" for variable in VARIABLES] + ["XDG_CACHE_HOME"]:
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(Path("/ann")))
    monkeypatch.setattr(cache_settings.sys, "platform", "linux")


def test_defaults():
    assert read_cache_settings() == (Path("/ann/.cache/svmcifar"), 10 * 2**30, "float32")


@pytest.mark.parametrize(
    ("platform", "variables", "folder"),
    [
        ("linux", {"XDG_CACHE_HOME": "/xdg"}, "/xdg/svmcifar"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "/ann/.cache/svmcifar"),
        ("linux", {"XDG_CACHE_HOME": ""}, "/ann/.cache/svmcifar"),
        ("linux", {"LOCALAPPDATA": "/elsewhere"}, "/ann/.cache/svmcifar"),
        ("darwin", {"XDG_CACHE_HOME": "/xdg"}, "/ann/Library/Caches/svmcifar"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/svmcifar"),
        ("win32", {"LOCALAPPDATA": ""}, "/ann/AppData/Local/svmcifar"),
        *((p, {"SVMCIFAR_CACHE": "/big/disk"}, "/big/disk") for p in ("linux", "darwin", "win32")),
        ("linux", {"SVMCIFAR_CACHE": "~/own"}, "/ann/own"),
        ("linux", {"SVMCIFAR_CACHE": "own"}, "own"),
        ("linux", {"SVMCIFAR_CACHE": ""}, "/ann/.cache/svmcifar"),
    ],
)
def test_folder(monkeypatch, platform, variables, folder):
    monkeypatch.setattr(cache_settings.sys, "platform", platform)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert read_cache_settings().folder == Path(folder)


@pytest.mark.parametrize("variables", [{}, {"SVMCIFAR_CACHE": "~nobody-of-this-name/cache"}])
def test_folder_that_cannot_be_told(monkeypatch, variables):
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=r"no home folder is known.*SVMCIFAR_CACHE_LIMIT=0"):
        read_cache_settings()


@pytest.mark.parametrize(
    ("text", "limit_bytes"), [("3GB", 3 * 10**9), ("0", 0), (" 0 ", 0), ("", 10 * 2**30)]
)
def test_limit(monkeypatch, text, limit_bytes):
    monkeypatch.setenv("SVMCIFAR_CACHE_LIMIT", text)
    assert read_cache_settings().limit_bytes == limit_bytes


@pytest.mark.parametrize("text", ["much", "-1", "nan", "0x10"])
def test_what_is_no_limit_is_refused(monkeypatch, text):
    monkeypatch.setenv("SVMCIFAR_CACHE_LIMIT", text)
    with pytest.raises(InputError, match=rf"\$SVMCIFAR_CACHE_LIMIT must be 0, .* Got '{text}'"):
        read_cache_settings()


def test_dtype(monkeypatch):
    monkeypatch.setenv("SVMCIFAR_CACHE_DTYPE", "float16")
    assert read_cache_settings().dtype == "float16"
    monkeypatch.setenv("SVMCIFAR_CACHE_DTYPE", "float64")
    with pytest.raises(InputError, match=r"'float32' or 'float16'\. Got 'float64' instead"):
        read_cache_settings()


def test_open_cache(monkeypatch, tmp_path):
    for variable, value in zip(VARIABLES, (str(tmp_path), "1MB", "float16"), strict=True):
        monkeypatch.setenv(f"SVMCIFAR_{variable}", value)
    cache = open_cache()
    assert (cache.folder.path, cache.folder.limit_bytes) == (tmp_path, 10**6)
    assert (cache.dtype, cache.least_s) == ("float16", 10.0)
    monkeypatch.setenv("SVMCIFAR_CACHE_LIMIT", "0")
    assert open_cache() is None
