"""Commands that are stopped print the one that goes on, which ends as if nothing had happened."""

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner
from clirun import fail, run
from feature_options import quick_features

from svmcifar.cli import main
from svmcifar.features import cache, fitting
from svmcifar.features.cache import FeatureCache
from svmcifar.features.kinds import KINDS
from svmcifar.io import kept_parts
from svmcifar.model.persistence import read_manifest
from svmcifar.svm.backends import memory_plan
from svmcifar.svm.backends.numba_ovo import BlockedRun
from svmcifar.svm.path import evaluate, schedule

TILE, PAIR = (BlockedRun, "solve_tile"), (BlockedRun, "solve_pair_on_demand")
SEARCHED = (schedule._Run, "solve_tile")
COMMANDS = {
    "train": (["train"], TILE, "model.skops"),
    "train with probabilities": (["train", "--probability"], TILE, "model.skops"),
    "train by rows": (["train", "--features", "hog"], PAIR, "model.skops"),
    "tune": (["tune", "--features", "hog", "--pca", 3, "--pca", 5], SEARCHED, "tuned.toml"),
    "tune by folds": (["tune", "--folds", 2, "--gamma", "1x"], SEARCHED, "tuned.toml"),
    "tune one by one": (["tune", "--C", "1,10", "--gamma", "1x,2x"], TILE, "tuned.toml"),
}


@pytest.fixture(autouse=True)
def many_parts(folder, monkeypatch):
    """Work in an empty folder; keep each part at once, and have several."""
    monkeypatch.setattr(kept_parts, "_FIRST_S", 0.0)
    monkeypatch.setattr(kept_parts, "_EVERY_S", 0.0)
    monkeypatch.setattr(memory_plan, "BLOCK", 120)
    monkeypatch.setenv("SVMCIFAR_CACHE_LIMIT", "0")
    with quick_features():
        monkeypatch.setitem(KINDS, "hog", ("hog", KINDS["cells"][1]))
        yield


class Solved:
    """The parts that are solved from now on; the last that may be interrupts the command."""

    def __init__(self, monkeypatch, of, most=None):
        self.n, solve = 0, getattr(*of)

        def spy(*arguments):
            if self.n == most:
                raise KeyboardInterrupt
            self.n += 1
            return solve(*arguments)

        monkeypatch.setattr(*of, spy)


def interrupt(*arguments):
    """Run a command that is stopped; return what it prints to go on."""
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    assert result.exit_code == 1
    *_, line, last = result.stderr.splitlines()
    assert (last, type(result.exception)) == ("Aborted!", SystemExit)
    return line.removeprefix("Stopped; to go on: svmcifar ")


def content(path):
    """What must be the same: the hash of a model, or the bytes of a config."""
    return read_manifest(path).content_hash if path.endswith("skops") else Path(path).read_bytes()


@pytest.mark.parametrize("name", COMMANDS)
def test_a_stopped_command_goes_on(name, synthetic_folder, folder, monkeypatch):
    arguments, of, out = COMMANDS[name]
    if name == "train by rows":
        monkeypatch.setattr(memory_plan, "_MANY_SAMPLES", 20)
    elif name == "tune one by one":
        monkeypatch.setattr(evaluate, "make_search_plan", lambda *_: None)
    command = [*arguments, "--data", synthetic_folder]
    with monkeypatch.context() as patch:
        whole = Solved(patch, of)
        run(*command, "--out", f"whole-{out}")
    with monkeypatch.context() as patch:
        Solved(patch, of, most=whole.n // 2)
        words = interrupt(*command)
    assert words == shlex.join(map(str, [*command, "--resume"]))
    parts = Path(f"{out}.parts")
    assert parts.is_dir()
    assert not Path(out).exists()
    assert f"{parts}: a stopped run must not be lost" in fail(*command)
    assert "got another seed;" in fail(*command, "--resume", "--seed", 1)
    with monkeypatch.context() as patch:
        rest = Solved(patch, of)
        output = run(*shlex.split(words))
    assert f"going on from {parts}" in output
    assert 0 < rest.n <= whole.n - whole.n // 2
    assert content(out) == content(f"whole-{out}")
    assert not parts.exists()


def test_parts_of_other_data_are_refused(synthetic_folder, tiny_dataset, monkeypatch):
    command = ["tune", "--gamma", "1x"]
    with monkeypatch.context() as patch:
        Solved(patch, SEARCHED, most=2)
        interrupt(*command, "--data", synthetic_folder)
    assert "got another data;" in fail(*command, "--data", tiny_dataset, "--resume")
    run(*command, "--data", synthetic_folder, "--overwrite")
    assert sorted(path.name for path in Path().iterdir()) == ["tuned.toml"]


def test_features_are_found_in_the_cache(synthetic_folder, folder, monkeypatch):
    command = ["train", "--data", synthetic_folder, "--features", "hog", "--out", "a/m.skops"]
    monkeypatch.setattr(cache, "open_cache", lambda: FeatureCache(folder / "cache", 10**9, 0.0))
    with monkeypatch.context() as patch:
        Solved(patch, TILE, most=2)
        interrupt(*command)
    computed = []
    monkeypatch.setattr(fitting, "_compute_views", lambda *_: computed.append("features"))
    run(*command, "--resume")
    assert read_manifest("a/m.skops").times["features_found"]
    assert computed == []


def test_what_is_damaged_is_solved_again(synthetic_folder, monkeypatch):
    command = ["train", "--data", synthetic_folder]
    run(*command, "--out", "whole.skops")
    with monkeypatch.context() as patch:
        Solved(patch, TILE, most=6)
        interrupt(*command)
    paths = sorted(Path().glob("model.skops.parts/*/*.npz"))
    for number, path in enumerate(paths):
        damaged = bytearray(path.read_bytes())
        damaged[len(damaged) * number // len(paths)] ^= 1
        path.write_bytes(damaged)
    run(*command, "--resume")
    assert content("model.skops") == content("whole.skops")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["download", "--data", "my data"], "download --data 'my data'"),
        (["tune-cnn", "--study", "trials.log"], "tune-cnn --study trials.log"),
        (["tune-cnn", "--study=t", "--seed", "1"], "tune-cnn --study=t --seed 1"),
        (["train-cnn", "--resume"], "train-cnn --resume"),
        (["train", "--C", "3", "--resume"], "train --C 3 --resume"),
        (["tune-cnn"], None),
        (["compare"], None),
        (["info"], None),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_commands_to_paste(arguments, expected, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    command = main.get_command(None, arguments[0])
    monkeypatch.setattr(command, "callback", stop)
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    assert "Traceback" not in result.stderr
    found = re.findall(r"to go on: svmcifar (.*)$", result.stderr, re.M)
    assert found == ([expected] if expected else [])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["train", "--backend", "sklearn"], "--resume goes on with fits by numba or --dask, not s"),
        (["tune", "--out", "-"], "--resume goes on from a folder beside --out; name a file there."),
    ],
    ids=["backend", "standard output"],
)
def test_resume_where_nothing_is_kept(arguments, expected, synthetic_folder):
    assert expected in fail(*arguments, "--data", synthetic_folder, "--resume", exit_code=2)
