#!/usr/bin/env python3
"""Stop every command at random moments, and run it on a disk that is full at a random byte.

Each trial works in a folder of its own, on small synthetic data; in every second one, outputs of an
earlier run are there to be replaced.  A command is sent SIGKILL, SIGTERM or SIGINT, then the
command that it printed, or itself with --resume, is run to its end.  What is there then must be
what an undisturbed run makes, and nothing else; outputs are old or new at any time, and nothing
prints a traceback.  A disk that is full gives one line of error.

Commands run in children of this process, which has imported all before, so that most signals meet
work and not imports; one in ten is a process of its own.  Parts of runs and features are
kept at once here, which else are after a minute.  Disks of a random size need the right to mount a
tmpfs (Linux, root).

    python scripts/kill_trials.py --kills 200 --disks 50 --seed 1
"""

import hashlib
import json
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import click

_SIGNALS = ("SIGKILL", "SIGTERM", "SIGINT")
_MOST_S = 300
# What a trial may leave besides outputs: the cache of features, and what is read.
_KEPT = {"cache", "log", "given"}
_TMPFS_BYTES = (2_000, 3_000_000)
# Ends of trials in which nothing was stopped: they do not count.
_MISSES = ("over", "enough room", "no room for old outputs")


class Command(NamedTuple):
    """A command, its outputs, and what may differ from run to run."""

    words: str
    outputs: tuple[str, ...]
    # Of its outputs, those whose bytes are the same in each run; of models the content hash.
    same: tuple[str, ...]
    overwrites: bool = True  # whether --overwrite replaces the outputs of an earlier run
    resumes: bool = False


_NET = "--width 1 --epochs 3 --jobs 1 --batch-size 100"
COMMANDS = {
    "download": Command(
        "download --synthetic --data new", ("new/synthetic-cifar-100",),
        ("new/synthetic-cifar-100",), overwrites=False,
    ),
    "build-labels": Command(
        "build-labels {data} --out map.csv", ("map.csv",), ("map.csv",), overwrites=False
    ),
    "train": Command(
        "train {data} --features hog --pca 20 --label-csv given/map.csv --jobs 2",
        ("model.skops", "model.skops.md"), ("model.skops",), resumes=True,
    ),
    "train --probability": Command(
        "train {data} --probability --label-csv given/map.csv --out p.skops --jobs 1",
        ("p.skops", "p.skops.md"), ("p.skops",), resumes=True,
    ),
    "tune": Command(
        "tune {data} --C 1,10 --gamma 1x,2x --folds 2 --table t.csv --heatmap h.png --jobs 2",
        ("tuned.toml", "t.csv", "h.png"), ("tuned.toml", "t.csv"), resumes=True,
    ),
    "train-cnn": Command(
        f"train-cnn {{data}} {_NET} --out n.pth", ("n.pth", "n.onnx", "n.json"),
        ("n.pth",), resumes=True,
    ),
    "tune-cnn": Command(
        "tune-cnn {data} --limit 200 --trials 2 --epochs 1 --study s.log --jobs 1",
        ("tuned-cnn.toml", "s.log"), (),
    ),
    "evaluate": Command(
        "evaluate given/model.skops {data} --json e.json --figure e.pdf", ("e.json", "e.pdf"), ()
    ),
    "predict": Command(
        "predict given/model.skops given/images --out p.csv", ("p.csv",), ("p.csv",)
    ),
    "compare": Command(
        "compare --svm given/model.skops --cnn given/n.pth {data} --jobs 1", ("report",), ()
    ),
    "export": Command(
        "export given/model.skops --format sklearn --out x.skops", ("x.skops",), ("x.skops",),
    ),
    "info": Command("info given/model.skops", (), ()),
    "cache": Command("cache info", (), ()),
}  # fmt: skip
# Quick ones, which are tried three times as often.
_OFTEN = ("download", "train", "train --probability", "tune", "predict")


class TrialError(Exception):
    """What should not have happened."""


def prepare(folder: Path) -> None:
    """Make data, models and images that commands read."""
    from PIL import Image

    from svmcifar.data.registry import open_dataset
    from svmcifar.data.synthetic import write_synthetic

    write_synthetic(folder / "data", train_per_class=5, test_per_class=2, progress=False)
    images = open_dataset(folder / "data").read_split("test").images.reshape(-1, 3, 32, 32)
    (folder / "given/images").mkdir(parents=True)
    for number, image in enumerate(images[:20]):
        Image.fromarray(image.transpose(1, 2, 0)).save(folder / f"given/images/{number:02}.png")
    for words in (
        "build-labels {data} --out given/map.csv",
        "train {data} --label-csv given/map.csv --out given/model.skops",
        f"train-cnn {{data}} {_NET} --out given/n.pth",
    ):
        code, text = finish(start(fill(words, folder), folder, folder / "log"), folder / "log")
        if code:
            raise click.ClickException(text)


def fill(words: str, base: Path) -> list[str]:
    """Return the words of a command."""
    return shlex.split(words.format(data=f"--data {base}/data"))


def start(words: list[str], folder: Path, log: Path, *, apart: bool = False) -> int:
    """Run a command in a folder, in a child or in a process of its own; return its id."""
    os.environ["SVMCIFAR_CACHE"] = str(folder / "cache")
    if apart:
        with log.open("wb") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "svmcifar", *words], cwd=folder, stdout=output,
                stderr=output, start_new_session=True,
            ).pid  # fmt: skip
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        os.setsid()
        os.chdir(folder)
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        code = _run(words)
    except KeyboardInterrupt:  # before or after the command
        code = 1
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _run(words: list[str]) -> int:
    from svmcifar.cli import main

    try:
        main(words, prog_name="svmcifar")
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    return 0


def finish(pid: int, log: Path) -> tuple[int, str]:
    """Wait for a command; return its exit code, and all that it printed."""
    end = time.monotonic() + _MOST_S
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status), log.read_text(errors="replace")
        if time.monotonic() > end:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise TrialError(f"it does not end: {log.read_text(errors='replace')[-300:]}")
        time.sleep(0.005)


def fingerprint(folder: Path, names: tuple[str, ...]) -> dict[str, str]:
    """Hash outputs; of models what they hold, since they tell times as well."""
    from svmcifar.model.persistence import read_manifest

    hashes = {}
    for name in names:
        path = folder / name
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if name == "x.skops":  # of scikit-learn; it holds dates, and addresses as names
                members = zipfile.ZipFile(file).infolist()
                arrays = (member.CRC for member in members if member.filename.endswith("npy"))
                hashes[name] = str(sorted(arrays))
            elif file.suffix == ".skops":
                hashes[str(file.relative_to(folder))] = read_manifest(file).content_hash
            elif file.is_file():
                digest = hashlib.sha256(file.read_bytes()).hexdigest()
                hashes[str(file.relative_to(folder))] = digest
    return hashes


def bytes_of(folder: Path, names: tuple[str, ...]) -> dict[str, bytes]:
    """Return the contents of all files of outputs, but for what is unfinished."""
    paths = [path for name in names for path in (folder / name, *(folder / name).rglob("*"))]
    paths = [path for path in paths if path.is_file() and ".svmcifar-" not in str(path)]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def entries(folder: Path) -> set[str]:
    """Return what is in a folder, with what is hidden in folders of outputs."""
    hidden = {str(path.relative_to(folder)) for path in folder.rglob(".svmcifar-*")}
    return {path.name for path in folder.iterdir()} | hidden


class Trials:
    """The folder of the trials, and what undisturbed runs make and take."""

    def __init__(self, base: Path, names: list[str]) -> None:
        self.base = base
        self.expected: dict[str, dict[str, str]] = {}
        self.seconds: dict[str, float] = {}
        for name in names:
            for _ in range(2):  # the first loads and compiles what the trials then find
                with self.folder() as folder:
                    clock = time.monotonic()
                    self.complete(COMMANDS[name], folder)
                    self.seconds[name] = time.monotonic() - clock
                    self.expected[name] = fingerprint(folder, COMMANDS[name].same)

    @contextmanager
    def folder(self, n_bytes: int | None = None) -> Iterator[Path]:
        """Make a folder for a trial, on a disk of its own if that has so many bytes."""
        folder = Path(tempfile.mkdtemp(prefix="trial-", dir=self.base))
        if n_bytes is not None:
            mount = ["mount", "-t", "tmpfs", "-o", f"size={n_bytes}", "tmpfs", str(folder)]
            subprocess.run(mount, check=True)
        try:
            (folder / "given").symlink_to(self.base / "given")
            yield folder
        finally:
            if n_bytes is not None:
                subprocess.run(["umount", "-l", str(folder)], check=True)
            shutil.rmtree(folder)

    def complete(self, command: Command, folder: Path, *more: str) -> str:
        """Run a command that must succeed."""
        return self.complete_words([*fill(command.words, self.base), *more], folder)

    def complete_words(self, words: list[str], folder: Path) -> str:
        """Run words that must succeed; return what they print."""
        log = self.base / "log"
        code, text = finish(start(words, folder, log), log)
        if code or "Traceback" in text:
            raise TrialError(f"{' '.join(words)} ends with {code}: {text[-600:]}")
        return text

    def make_old(self, command: Command, folder: Path) -> None:
        """Put outputs of an earlier run there."""
        for name in command.outputs:
            if "." in name:
                (folder / name).write_text(f"old {name}")
            else:
                (folder / name).mkdir()
                (folder / name / "report.json").write_text("old")

    def kill(self, name: str, random_: random.Random) -> tuple[str, str]:
        """Stop a command at a random moment, go on, and compare; return the signal and the end."""
        command, signal_name = COMMANDS[name], random_.choice(_SIGNALS)
        has_old = bool(command.overwrites and command.outputs and random_.random() < 0.5)
        if name == "tune-cnn":
            has_old = False  # its journal goes on
        apart = random_.random() < 0.1
        moment = random_.random() * self.seconds[name] + random_.random() * 3 * apart
        with self.folder() as folder:
            words = fill(command.words, self.base)
            if has_old:
                self.make_old(command, folder)
                words.append("--overwrite")
            old = bytes_of(folder, command.outputs)
            log = self.base / "log"
            pid = start(words, folder, log, apart=apart)
            time.sleep(moment)
            os.kill(pid, getattr(signal, signal_name))
            code, text = finish(pid, log)
            if "Traceback" in text and not (apart and "svmcifar" not in text):
                raise TrialError(f"traceback: {text[-1500:]}")
            was_over = code == 0
            now = bytes_of(folder, command.outputs)
            is_old, is_new = now == old, self.is_new(name, folder)
            if not is_old and not is_new and name != "tune-cnn":
                raise TrialError(
                    f"outputs are neither old nor new after {signal_name}: {sorted(now)}"
                )
            if was_over and not is_new:
                raise TrialError("it ended well without its outputs")
            if not is_new or not command.outputs:
                printed = re.search(r"to go on: svmcifar (.*)", text)
                if printed:
                    words = shlex.split(printed[1])
                elif command.resumes:
                    words.append("--resume")
                self.complete_words(words, folder)
            else:  # a later run of anything removes what the kill has left
                shutil.rmtree(folder / "report", ignore_errors=True)
                again = [*words, *["--overwrite"] * (command.overwrites and not has_old)]
                if not command.overwrites:
                    again = words
                if command.resumes and signal_name == "SIGKILL":
                    again.append("--resume")
                if name != "build-labels":
                    self.complete_words(again, folder)
            self.compare(name, folder)
            return signal_name, "over" if was_over else "killed, new" if is_new else "killed"

    def is_new(self, name: str, folder: Path) -> bool:
        """Return whether all outputs are those of an undisturbed run."""
        command = COMMANDS[name]
        paths = [folder / output for output in command.outputs]
        if not all(path.exists() for path in paths):
            return False
        old = {path.name for path in paths if path.is_file() and path.read_bytes()[:4] == b"old "}
        if name == "compare":
            return (folder / "report/report.html").is_file()
        return not old and fingerprint(folder, command.same) == self.expected[name]

    def compare(self, name: str, folder: Path) -> None:
        """Raise TrialError unless the folder holds what an undisturbed run makes, and no more."""
        command = COMMANDS[name]
        if not self.is_new(name, folder) and command.outputs:
            found = fingerprint(folder, command.same)
            raise TrialError(f"other outputs: {found} and not {self.expected[name]}")
        tops = {output.split("/")[0] for output in command.outputs}
        if surplus := entries(folder) - tops - _KEPT:
            raise TrialError(f"left behind: {sorted(surplus)}")
        if name == "compare":
            json.loads((folder / "report/report.json").read_text())
        for path in (folder / "cache").rglob("*"):
            if path.is_file() and path.name not in ("output.pkl", ".gitignore"):
                raise TrialError(f"left in the cache: {path.relative_to(folder)}")

    def fill_disk(self, name: str, random_: random.Random) -> tuple[str, str]:
        """Run a command on a disk that is full at a random byte."""
        command = COMMANDS[name]
        low, high = _TMPFS_BYTES
        n_bytes = int(low * (high / low) ** random_.random())
        has_old = bool(command.overwrites and random_.random() < 0.5) and name != "tune-cnn"
        with self.folder(n_bytes) as folder:
            words = fill(command.words, self.base)
            try:
                if has_old:
                    self.make_old(command, folder)
                    words.append("--overwrite")
            except OSError:
                return "full", "no room for old outputs"
            before, old = entries(folder), bytes_of(folder, command.outputs)
            os.environ["TMPDIR"] = str(folder)
            log = self.base / "log"
            code, text = finish(start(words, folder, log), log)
            if "Traceback" in text:
                raise TrialError(f"traceback with {n_bytes} bytes: {text[-1500:]}")
            if code == 0:
                self.compare(name, folder)
                return "full", "enough room"
            errors = [line for line in text.splitlines() if line.startswith("Error: ")]
            if code != 1 or len(errors) != 1 or text.splitlines()[-1] != errors[0]:
                raise TrialError(f"no clear line with {n_bytes} bytes, exit {code}: {text[-600:]}")
            if bytes_of(folder, command.outputs) != old and name != "tune-cnn":
                raise TrialError(f"old outputs changed with {n_bytes} bytes: {errors[0]}")
            allowed = before | _KEPT | {"n.state", "s.log"}
            allowed |= {path.name for path in folder.glob("*.parts")}
            if surplus := entries(folder) - allowed:
                raise TrialError(
                    f"left behind with {n_bytes} bytes: {sorted(surplus)}; {errors[0]}"
                )
            return "full", "one line"


def _patch() -> None:
    """Import all that commands use; keep parts and features at once, and let parts be small."""
    from importlib import import_module

    import numpy as np

    from svmcifar.cli.commands import _COMMANDS
    from svmcifar.data import synthetic
    from svmcifar.features import cache
    from svmcifar.io import kept_parts
    from svmcifar.svm.backends import memory_plan
    from svmcifar.svm.estimator import RBFSVC

    for file in _COMMANDS.values():
        import_module(f"svmcifar.cli.{file}")
    for file in (
        "compare.assemble", "compare.report.write", "cnn.train", "cnn.search", "model.persistence",
        "model.onnx_export", "plots.figures", "tuning.tune", "tuning.output",
    ):  # fmt: skip
        import_module(f"svmcifar.{file}")
    kept_parts._FIRST_S = kept_parts._EVERY_S = 0.0
    memory_plan.BLOCK = 120
    cache.FeatureCache.__init__.__defaults__ = (0.0,)
    write: Callable[..., Path] = synthetic.write_synthetic
    small = {"train_per_class": 5, "test_per_class": 2}
    synthetic.write_synthetic = lambda folder, **more: write(folder, **small | more)
    X = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)
    RBFSVC(n_jobs=1).fit(X, np.arange(60) % 3).predict(X)  # loads compiled code


@click.command()
@click.option("--kills", default=200, show_default=True, help="Commands to stop.")
@click.option("--disks", default=50, show_default=True, help="Disks to fill.")
@click.option("--seed", default=0, show_default=True)
@click.option("--only", multiple=True, type=click.Choice(list(COMMANDS)), help="These commands.")
@click.option("--place", default=tempfile.gettempdir(), show_default=True, help="Where to work.")
def main(kills: int, disks: int, seed: int, only: tuple[str, ...], place: str) -> None:
    """Run the trials, and print a table of what happened."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.pop("SVMCIFAR_DATA", None)
    os.environ.pop("SVMCIFAR_CACHE_LIMIT", None)
    _patch()
    names = list(only or COMMANDS)
    random_ = random.Random(seed)
    counts: Counter[tuple[str, str, str]] = Counter()
    bad = 0
    with tempfile.TemporaryDirectory(prefix="kill-trials-", dir=place) as folder:
        base = Path(folder)
        prepare(base)
        trials = Trials(base, names)
        for name in names:
            click.echo(f"undisturbed  {name:20} {trials.seconds[name]:6.2f} s")
        names += 2 * [name for name in _OFTEN if name in names]
        writing = [name for name in names if COMMANDS[name].outputs]
        with suppress(KeyboardInterrupt):  # what has happened so far is told
            for trial, of, asked in (
                (trials.kill, names, kills),
                (trials.fill_disk, writing, disks),
            ):
                number = done = 0
                while done < asked:
                    name, own = of[number % len(of)], random.Random(random_.random())
                    number += 1
                    try:
                        how, end = trial(name, own)
                    except TrialError as error:
                        bad += 1
                        done += 1
                        click.echo(f"BAD  trial {number}, {name}: {error}")
                    else:
                        counts[name, how, end] += 1
                        done += end not in _MISSES
    hits = {key: n for key, n in counts.items() if key[2] not in _MISSES}
    n_disks = sum(n for (_, how, _), n in hits.items() if how == "full")
    n_kills = sum(hits.values()) - n_disks
    click.echo(f"\nseed {seed}: {n_kills} kills, {n_disks} full disks as they should be, {bad} bad")
    for (name, how, end), n in sorted(counts.items()):
        click.echo(f"{name:20} {how:8} {end:24} {n:4}")
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
