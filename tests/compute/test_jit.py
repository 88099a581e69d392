import ast
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import numba
import pytest

import svmcifar
from svmcifar.compute import jit

PACKAGE = Path(svmcifar.__file__).parent


def add(a, b):
    return a + b


@pytest.fixture
def chosen(monkeypatch, tmp_path):
    """The folder that numba chooses; the temporary folder and what is known are new too."""
    for name in ("chosen", "temporary"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "chosen"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.setattr(jit, "_is_usable", {})
    jit._own_folder.cache_clear()
    yield tmp_path / "chosen"
    jit._own_folder.cache_clear()


@pytest.fixture
def own(chosen):
    """The folder that takes its place."""
    return chosen.parent / "temporary" / f"svmcifar-numba-{os.geteuid()}"


def kept_in():
    """Return where the code of a function is kept, None if it is not."""
    compiled = jit.njit(cache=True)(add)
    assert compiled(1, 2) == 3
    path = compiled.stats.cache_path
    if path is None:
        return None
    assert list(Path(path).glob("*.add-*.nbi"))
    return Path(path).parent


def refuse(monkeypatch, *_):
    """Let numba find no folder unless it is given one."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    monkeypatch.setattr(numba.config, "CACHE_LOCATOR_CLASSES", "UserProvidedCacheLocator")


def give_to_another(monkeypatch, folder):
    monkeypatch.setattr(jit.os, "geteuid", lambda: 12345 if os.getuid() else 0)
    for path in [*folder.iterdir()] or [folder]:
        os.chown(path, 54321, -1)


def open_to_all(_, folder):
    for path in [*folder.iterdir()] or [folder]:
        path.chmod(0o777)


def fill(monkeypatch, folder):
    """Let a folder have no room: files can be made, and not filled."""
    real = tempfile.TemporaryFile

    def temporary_file(dir):
        if Path(dir).is_relative_to(folder):
            return open("/dev/full", "wb", buffering=0)
        return real(dir=dir)

    monkeypatch.setattr(jit.tempfile, "TemporaryFile", temporary_file)


def test_numba_has_no_folder(chosen, monkeypatch):
    refuse(monkeypatch)
    with pytest.raises(RuntimeError, match="cannot cache function"):
        numba.njit(cache=True)(add)


def test_numbas_choice_is_taken(chosen, own):
    assert kept_in() == chosen
    assert not own.exists()


needs_root = pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() != 0, reason="a folder is given to another user"
)


@pytest.mark.parametrize(
    "spoil", [refuse, pytest.param(give_to_another, marks=needs_root), open_to_all, fill]
)
def test_a_folder_of_this_user_takes_its_place(chosen, own, monkeypatch, recwarn, spoil):
    kept_in()  # makes the folder
    jit._is_usable.clear()
    spoil(monkeypatch, chosen)
    before = numba.config.CACHE_DIR
    assert kept_in() == own
    assert stat.S_IMODE(own.stat().st_mode) == 0o700
    assert before == numba.config.CACHE_DIR
    assert not recwarn.list


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(give_to_another, marks=needs_root), open_to_all, fill,
        lambda _, folder: folder.chmod(0o750),
        lambda _, folder: folder.symlink_to(folder.rename(folder.with_name("elsewhere"))),
        lambda _, folder: (folder.rmdir(), folder.write_text("")),
    ],
)  # fmt: skip
def test_without_any_folder_code_is_not_kept(chosen, own, monkeypatch, spoil):
    refuse(monkeypatch)
    own.mkdir(mode=0o700)
    spoil(monkeypatch, own)
    with pytest.warns(RuntimeWarning) as caught:
        assert kept_in() is None
    assert kept_in() is None
    assert [str(warning.message) for warning in caught] == [
        "compiled code cannot be kept, so that each start of Python compiles it again: no folder "
        "for it can be written; set NUMBA_CACHE_DIR to one that you alone can write"
    ]


def test_without_a_temporary_folder_code_is_not_kept(chosen, monkeypatch):
    def gettempdir():
        raise FileNotFoundError("No usable temporary directory found")

    refuse(monkeypatch)
    monkeypatch.setattr(jit.tempfile, "gettempdir", gettempdir)
    with pytest.warns(RuntimeWarning, match="cannot be kept"):
        assert kept_in() is None


def test_without_a_compiler_functions_stay_what_they_are(chosen, monkeypatch):
    monkeypatch.setattr(numba.config, "DISABLE_JIT", True)
    assert jit.njit(cache=True)(add) is add


def test_the_package_can_be_imported_where_numba_finds_no_folder(tmp_path):
    environment = os.environ | {
        "NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator",
        "NUMBA_CACHE_DIR": "",
        "TMPDIR": str(tmp_path),
    }
    code = "from svmcifar import RBFSVC; import svmcifar.features.extract.patches"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=100
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == [tmp_path / f"svmcifar-numba-{os.geteuid()}"]


def test_nothing_else_lets_numba_keep_code():
    for path in PACKAGE.rglob("*.py"):
        if path.name == "jit.py":
            continue
        code = path.read_text()
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and node.module == "numba":
                assert not {"njit", "jit", "vectorize"} & {alias.name for alias in node.names}
        assert "cuda.jit(cache" not in code, path
