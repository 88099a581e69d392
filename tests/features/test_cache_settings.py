"""What the environment says of the feature cache."""

import errno
import os
import stat
from pathlib import Path

import pytest
from cached_features import warned

from svmcifar.errors import InputError, OutputError
from svmcifar.features import cache_folder
from svmcifar.features.cache import FeatureCache, open_cache
from svmcifar.features.cache_folder import read_cache_settings

VARIABLES = ("SVMCIFAR_CACHE", "SVMCIFAR_CACHE_LIMIT")


@pytest.fixture(autouse=True)
def _bare(monkeypatch):
    for name in (*VARIABLES, "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(Path("/ann")))
    monkeypatch.setattr(cache_folder.sys, "platform", "linux")


def test_defaults():
    assert read_cache_settings() == (Path("/ann/.cache/svmcifar"), 10 * 2**30)


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
    monkeypatch.setattr(cache_folder.sys, "platform", platform)
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


def test_open_cache(monkeypatch, tmp_path):
    for variable, value in zip(VARIABLES, (str(tmp_path / "cache"), "1MB"), strict=True):
        monkeypatch.setenv(variable, value)
    cache = open_cache()
    assert (cache.folder, cache.limit_bytes, cache.least_s) == (tmp_path / "cache", 10**6, 10.0)
    monkeypatch.setenv("SVMCIFAR_CACHE_LIMIT", "0")
    assert open_cache() is None


# --- what is read is unpickled: nobody else may write there


def test_folder_is_made_for_its_user_alone(tmp_path):
    umask = os.umask(0)
    try:
        FeatureCache(tmp_path / "parent" / "cache", 10**6)
    finally:
        os.umask(umask)
    for path in (tmp_path / "parent" / "cache", tmp_path / "parent" / "cache" / "entries"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


def assert_goes_without(monkeypatch, folder, reason):
    monkeypatch.setenv("SVMCIFAR_CACHE", str(folder))
    with warned(1) as texts:
        assert open_cache() is None
    assert reason in texts[0]
    assert "$SVMCIFAR_CACHE; features are not kept" in texts[0]
    with pytest.raises(OutputError, match="must be yours, and only you may write to it"):
        FeatureCache(folder, 10**6)


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702, 0o720])
@pytest.mark.parametrize("name", ["cache", "cache/entries"])
def test_folder_that_others_can_write_to(monkeypatch, tmp_path, name, mode):
    FeatureCache(tmp_path / "cache", 10**6)
    (tmp_path / name).chmod(mode)
    assert_goes_without(monkeypatch, tmp_path / "cache", f"others can write to it (mode {mode:o})")
    (tmp_path / name).chmod(0o755)
    FeatureCache(tmp_path / "cache", 10**6)


def test_folder_of_another_user(monkeypatch, tmp_path):
    FeatureCache(tmp_path / "cache", 10**6)
    monkeypatch.setattr(cache_folder.os, "getuid", lambda: os.stat(tmp_path).st_uid + 1)
    assert_goes_without(monkeypatch, tmp_path / "cache", "it belongs to another user")


@pytest.mark.parametrize("name", ["file", "file/cache"])
def test_folder_that_is_none(monkeypatch, tmp_path, name):
    (tmp_path / "file").touch()
    reason = os.strerror(errno.EEXIST if name == "file" else errno.ENOTDIR)
    assert_goes_without(monkeypatch, tmp_path / name, reason)
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_folder_that_cannot_be_made(monkeypatch, tmp_path, code):
    def refuse(*_, **__):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(cache_folder.Path, "mkdir", refuse)
    assert_goes_without(monkeypatch, tmp_path / "cache", os.strerror(code))
