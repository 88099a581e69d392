"""Progress of commands: on terminals each second, in logs a line a stage, and not if unwanted."""

import subprocess
import sys

import numba
import pytest
from click.testing import CliRunner
from terminals import run_in_terminal, screen

import svmcifar.cli.progress as progress
from svmcifar.cli import main
from svmcifar.compute.jit import njit
from svmcifar.compute.progress import stage, stages_under_way

# Stages one after the other; in the second no thread of the process can draw.
STAGES = """
import ctypes, sys, time
from svmcifar.cli.progress import _shown_progress
from svmcifar.cli.terminal import visible_streams
from svmcifar.compute.progress import stage

with visible_streams(), _shown_progress(quiet="--quiet" in sys.argv):
    with stage("a count", 10, "pieces") as counting:
        time.sleep(0.7)
        counting.advance(4)
        time.sleep(0.7)
        print("a line of output")
        time.sleep(0.7)
    with stage("outer\\x1b[31m"), stage("no count"):
        time.sleep(0.7)
        ctypes.PyDLL(None).sleep(3)
        time.sleep(0.1)
print("the end")
"""

pytestmark = pytest.mark.usefixtures("folder")


@pytest.fixture(scope="module")
def drawn():
    """What a terminal gets of `STAGES`."""
    code, output, changes = run_in_terminal(sys.executable, "-c", STAGES)
    assert code == 0, output
    return output, changes


def test_no_two_seconds_pass_without_a_change_of_the_screen(drawn):
    _, changes = drawn
    assert max(seconds for seconds, _ in changes) < 2


def test_a_bar_counts_and_a_stage_that_cannot_tells_its_seconds(drawn):
    output, _ = drawn
    assert "a count:  40%" in output
    assert "4/10" in output
    assert r"outer\x1b[31m: no count [00:03]" in output
    assert "\x1b" not in output


def test_nothing_of_the_progress_stays_on_the_screen(drawn):
    output, _ = drawn
    assert [line for line in screen(output) if line] == ["a line of output", "the end"]


@pytest.mark.parametrize(
    ("arguments", "environment"), [(["--quiet"], {}), ([], {"TQDM_DISABLE": "1"})]
)
def test_nothing_is_drawn_for_those_who_want_nothing(arguments, environment):
    _, output, _ = run_in_terminal(sys.executable, "-c", STAGES, *arguments, **environment)
    assert output == "a line of output\r\nthe end\r\n"


def test_a_log_has_a_line_for_each_stage_that_takes_long():
    done = subprocess.run([sys.executable, "-c", STAGES], capture_output=True, text=True)
    assert done.stdout == "a line of output\nthe end\n"
    lines = ["a count ...", r"outer\x1b[31m: no count ..."]
    assert done.stderr.splitlines() == lines


def test_every_command_that_works_long_has_quiet():
    for name in main.list_commands(None):
        if name not in ("info", "cache"):
            assert "--quiet" in CliRunner().invoke(main, [name, "--help"]).output, name


def test_training_never_leaves_a_terminal_without_a_change(synthetic_folder):
    command = [sys.executable, "-m", "svmcifar", "train", "--preset", "patches-small"]
    options = ["--filters", "40", "--pca", "64", "--ridge-pca", "96", "--data", synthetic_folder]
    code, output, changes = run_in_terminal(*command, *map(str, options))
    assert code == 0, output
    assert max(seconds for seconds, _ in changes) < 2
    assert "learning features [00:0" in output


@pytest.fixture
def seen(monkeypatch):
    """The names of all stages that begin, outermost first."""
    names = []
    original = progress.Stage.__init__

    def note(self, name, total, unit, bar=None):
        original(self, name, total, unit, bar)
        names.append((name, total))

    monkeypatch.setattr(progress.Stage, "__init__", note)
    return names


def test_every_slow_part_of_a_command_is_a_stage(seen, synthetic_folder):
    def stages_of(*arguments):
        seen.clear()
        CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False)
        return [part for part in seen if not part[0].startswith("compiling")]

    data = ("--data", synthetic_folder)
    settings = ("--ridge-scores", "1", "--pca", "20", "--whiten", "0.5", "--probability", "--slim")
    folds = [
        part
        for fold in range(1, 6)
        for part in (
            (f"probabilities, fold {fold} of 5", None),
            ("pairs", 190),
            ("predicting", 100),
        )
    ]
    learning = ["learning features", "features to learn components from"]
    learning += ["mean and deviation of features", "principal components"]
    learning += ["deviation of components"]
    assert stages_of("train", *settings, *data) == [
        *[(f"reading {name}", None) for name in ("train", "meta", "test")],
        *[(name, None) for name in learning],
        ("features", 500),
        ("class scores", None),
        *folds,
        ("pairs", 190),
        ("saving the model", None),
    ]
    loading = [("loading the model", None), ("reading train", None), ("features", 500)]
    predicting = [("reading test", None), ("features", 200), ("predicting", 200)]
    found = stages_of("evaluate", "model.skops", *data)
    assert [part for part in found if part != ("reading meta", None)] == [*loading, *predicting]
    found = stages_of("compare", "--svm", "model.skops", *data)
    assert [total for _, total in found].count(200) == 6  # three stages, each warmed up
    assert found[-2:] == [("scores and tests", None), ("figures, tables and page", None)]


def test_compiling_is_a_stage_and_says_why(seen):
    add_one = numba.extending.register_jitable(lambda a: a + 1)
    assert njit()(lambda a: add_one(a) + 1)(1) == 3
    assert {name for name, _ in seen} == {"compiling, once after an installation"}
    assert stages_under_way() == []


def test_a_stage_ends_with_its_block_whatever_happens():
    def fail_within_two():
        with stage("a"), stage("b", 2) as inner:
            inner.advance()
            assert [(s.name, s.done) for s in stages_under_way()] == [("a", 0), ("b", 1)]
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_within_two()
    assert stages_under_way() == []
