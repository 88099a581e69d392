"""Finished parts of a stopped run are found by the next, and by no other."""

import json
import os

import numpy as np
import pytest

from svmcifar.errors import OutputError
from svmcifar.io import kept_parts
from svmcifar.io.kept_parts import KeptParts, check_parts, parts_kept

SETTINGS = {"C": 1.0, "grid": (1, 2), "limit": None}
VALUES = {"betas": np.arange(6.0), "stats": np.ones((2, 4), np.float32)}


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Write each part when it is finished."""
    monkeypatch.setattr(kept_parts, "_FIRST_S", 0.0)
    monkeypatch.setattr(kept_parts, "_EVERY_S", 0.0)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "model.skops.parts"


def keep(folder, key="0" * 40, resume=False, names=("tile-0-1",)):
    """Run, find what is there, keep parts and stop; return what was found."""
    found = {}
    with parts_kept(folder, SETTINGS, resume=resume), KeptParts(lambda: key) as parts:
        for name in names:
            found[name] = parts.find(name, lambda: VALUES)
            parts.add(name, lambda: VALUES)
        raise Stopped(found)


class Stopped(KeyboardInterrupt):
    """Ctrl-C, with what was found before."""


def stop(*arguments, **settings):
    """Keep parts and stop; return what was found."""
    with pytest.raises(Stopped) as stopped:
        keep(*arguments, **settings)
    return stopped.value.args[0]


def test_a_run_goes_on(folder):
    assert stop(folder) == {"tile-0-1": None}
    found = stop(folder, resume=True, names=("tile-0-1", "tile-0-2"))
    assert found["tile-0-2"] is None
    for name, values in VALUES.items():
        np.testing.assert_array_equal(found["tile-0-1"][name], values)
    assert stop(folder, key="1" * 40, resume=True) == {"tile-0-1": None}  # of another problem
    with parts_kept(folder, SETTINGS, resume=True):
        assert sorted(os.listdir(folder)) == ["0" * 32, "1" * 32, "run.json"]
    assert not folder.exists()


def test_nothing_is_kept_of_a_short_run(folder, monkeypatch):
    monkeypatch.setattr(kept_parts, "_FIRST_S", 60.0)
    stop(folder)
    assert not folder.exists()
    monkeypatch.setattr(kept_parts, "_EVERY_S", 20.0)
    now = [0.0]
    monkeypatch.setattr(kept_parts, "monotonic", lambda: now[0])
    with parts_kept(folder, SETTINGS), KeptParts(lambda: pytest.fail("hashed")) as parts:
        now[0] = 59.0
        parts.add("early", lambda: VALUES)
        assert not folder.exists()
        parts._hash_problem = lambda: "0" * 40
        now[0] = 60.0
        parts.add("late", lambda: VALUES)
        (place,) = folder.glob("0*")
        assert sorted(os.listdir(place)) == ["early.npz", "late.npz"]
        now[0] = 79.0
        parts.add("soon", lambda: VALUES)
        assert sorted(os.listdir(place)) == ["early.npz", "late.npz"]


def test_what_waits_is_written_when_a_long_run_is_stopped(folder, monkeypatch):
    monkeypatch.setattr(kept_parts, "_EVERY_S", 20.0)
    stop(folder)
    (place,) = folder.glob("0*")
    assert os.listdir(place) == ["tile-0-1.npz"]


def test_without_a_run_nothing_is_kept():
    with KeptParts(lambda: pytest.fail("hashed")) as parts:
        parts.add("tile-0-1", lambda: VALUES)
        assert parts.find("tile-0-1", lambda: VALUES) is None


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_damaged_parts_are_computed_again(folder, share):
    stop(folder)
    (path,) = folder.glob("*/*.npz")
    content = bytearray(path.read_bytes())
    content[int(share * (len(content) - 1))] ^= 0x55
    path.write_bytes(content)
    found = stop(folder, resume=True)["tile-0-1"]
    if found is not None:  # a byte that says nothing of the values
        assert all(np.array_equal(found[name], VALUES[name]) for name in VALUES)
    path.write_bytes(content[: int(share * len(content))])
    assert share == 1.0 or stop(folder, resume=True) == {"tile-0-1": None}


@pytest.mark.parametrize(
    "other",
    [
        {"betas": np.arange(7.0), "stats": VALUES["stats"]},
        {"betas": np.arange(6), "stats": VALUES["stats"]},
        {"stats": VALUES["stats"]},
    ],
    ids=["shape", "dtype", "missing"],
)
def test_parts_must_have_the_form_of_the_problem(folder, other):
    stop(folder)
    (path,) = folder.glob("*/*.npz")
    np.savez(path, **other)
    assert stop(folder, resume=True) == {"tile-0-1": None}


def test_other_settings_are_refused(folder):
    stop(folder)
    with (
        pytest.raises(OutputError, match=r"got another C, tol; go on with its own options"),
        parts_kept(folder, SETTINGS | {"C": 2.0, "tol": 1}, resume=True),
    ):
        pytest.fail("it runs")
    assert stop(folder, resume=True)["tile-0-1"] is not None


@pytest.mark.parametrize("text", ["", "[1]", "{" * 10, "[" * 5000, '"a"', "\xff", "{}"])
def test_damaged_settings_are_told(folder, text):
    stop(folder)
    (folder / "run.json").write_bytes(text.encode("latin-1"))
    with (
        pytest.raises(OutputError, match=r"run\.json: the settings .* must be readable|another C"),
        parts_kept(folder, SETTINGS, resume=True),
    ):
        pytest.fail("it runs")
    with parts_kept(folder, SETTINGS):
        assert not folder.exists()


def test_a_stopped_run_is_not_lost(folder):
    check_parts(folder, resume=False, overwrite=False)
    stop(folder)
    with pytest.raises(OutputError, match="must not be lost; go on with --resume"):
        check_parts(folder, resume=False, overwrite=False)
    check_parts(folder, resume=True, overwrite=False)
    check_parts(folder, resume=False, overwrite=True)


def test_other_folders_are_left_alone(folder):
    folder.mkdir()
    check_parts(folder, resume=False, overwrite=False)
    (folder / "photo.png").touch()
    for how in ({"resume": True, "overwrite": False}, {"resume": False, "overwrite": True}):
        with pytest.raises(OutputError, match="it is something else"):
            check_parts(folder, **how)
    (folder / "run.json").write_text(json.dumps(SETTINGS))
    with parts_kept(folder, SETTINGS, resume=False):
        assert os.listdir(folder) == ["photo.png"]
    assert os.listdir(folder) == ["photo.png"]


def test_what_a_killed_writer_left_is_no_obstacle(folder):
    (folder / ".svmcifar-0123abcd").mkdir(parents=True)
    check_parts(folder, resume=False, overwrite=False)
    with parts_kept(folder, SETTINGS):
        pass
    assert not folder.exists()


def test_a_run_without_parts_leaves_nothing(folder):
    run = parts_kept(folder, SETTINGS, at_once=True)
    run.__enter__()
    assert (folder / "run.json").is_file()
    assert run.__exit__(None, KeyboardInterrupt(), None) is False
    assert not folder.exists()


def test_a_full_disk_stops_no_run(folder, monkeypatch):
    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", fail)
    with parts_kept(folder, SETTINGS), KeptParts(lambda: "0" * 40) as parts:
        with pytest.warns(UserWarning, match="No space left on.*; finished parts are not kept"):
            parts.add("tile-0-1", lambda: VALUES)
        parts.add("tile-0-2", lambda: pytest.fail("it is tried again"))
    assert not folder.exists()
