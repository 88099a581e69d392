"""What checks a GPU, without one: the script, the selection of its tests, the tests on the host."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
SCRIPT = TOP / "scripts/gpu_check.sh"
STANDINS = TOP / "tests/standins"
N_ON_HOST = 54
NO_GPU = {"CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": ""}
WITH_STANDIN = {"PYTHONPATH": f"{STANDINS}{os.pathsep}{TOP}"}
needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="the script needs bash")


def run(*command, cwd=TOP, **variables):
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=os.environ | {key: str(value) for key, value in variables.items()},
        capture_output=True,
        text=True,
    )


def run_pytest(*arguments, **variables):
    return run(
        sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-n0", *arguments, **variables
    )


def test_the_gpu_tests_on_the_host():
    paths = sorted((TOP / "tests/gpu").glob("test_gpu_*.py"))
    done = run_pytest("-q", "-m", "gpu", *paths, **WITH_STANDIN)
    assert done.returncode == 0, done.stdout + done.stderr
    summary = re.search(r"^(.+) in [\d.]+s", done.stdout, re.MULTILINE)[1]
    counts = dict(reversed(part.split()) for part in summary.split(", "))
    assert counts.pop("passed") == str(N_ON_HOST), done.stdout
    assert set(counts) <= {"deselected", "warnings", "warning"}


def test_without_a_gpu_its_tests_are_left_out_and_the_header_says_so():
    done = run_pytest("tests/gpu/test_gpu_solver.py", "--collect-only", **NO_GPU)
    assert re.search(r"^no GPU: the tests marked 'gpu' are not run \(.+\)$", done.stdout, re.M)
    assert re.search(r"no tests collected \(\d+ deselected\)", done.stdout)
    assert done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED


@pytest.mark.parametrize("expression", ["gpu", "gpu and not slow"])
def test_without_a_gpu_asking_for_its_tests_is_an_error(expression):
    done = run_pytest("-m", expression, "tests/gpu/test_gpu_solver.py", **NO_GPU)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1
    assert lines[0].startswith("ERROR: The tests marked 'gpu' need a GPU: ")


def test_without_a_gpu_all_but_its_tests_can_be_asked_for():
    done = run_pytest("-q", "-m", "not gpu", "tests/svm/backends/test_gpu_memory_plan.py", **NO_GPU)
    assert done.returncode == 0, done.stdout


def test_gpu_tests_are_where_the_script_looks_for_them():
    marked = [
        path.name
        for path in (TOP / "tests").glob("**/*.py")
        if "pytest.mark.gpu" in path.read_text() and path != Path(__file__)
    ]
    assert sorted(marked) == ["test_gpu_parity.py", "test_gpu_solver.py"]
    assert "tests/gpu/test_gpu_*.py" in SCRIPT.read_text()


@needs_bash
def test_the_script_without_a_gpu_stops_with_one_line(tmp_path):
    for arguments in (["--here"], []):
        out = tmp_path / "out"
        done = run(SCRIPT, *arguments, "--out", out, PYTHON=sys.executable, **NO_GPU)
        assert done.returncode == 1
        assert done.stderr.startswith("error: GPU: ")
        assert done.stderr.count("\n") == 1
        assert done.stdout == ""
        assert not out.exists()


@needs_bash
@pytest.mark.parametrize("arguments", [["--fast"], ["--out"]])
def test_the_script_refuses_other_arguments(arguments):
    done = run(SCRIPT, *arguments)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: ")


@needs_bash
def test_the_script_gives_help():
    done = run(SCRIPT, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "usage: scripts/gpu_check.sh [--here] [--out FOLDER]\n" in done.stdout
    assert "#" not in done.stdout


@pytest.fixture
def python(tmp_path):
    """A Python with the stand-in whose tests and benchmark are but noted down."""
    path = tmp_path / "python"
    path.write_text(
        "#!/bin/sh\n"
        f'case "$*" in "-m pytest "*|"scripts/bench_gpu.py "*) echo "$@" >>"{tmp_path}/calls"\n'
        '    case "$*" in *"$FAILS"*) exit 7 ;; esac; exit 0 ;; esac\n'
        f'export PYTHONPATH="{STANDINS}:$PYTHONPATH"\n'
        f'exec "{sys.executable}" "$@"\n'
    )
    path.chmod(0o755)
    return path


@needs_bash
@pytest.mark.parametrize(
    ("fails", "summary"),
    [
        ("nothing", "tests: passed; benchmark: finished; took "),
        ("-m pytest", "tests: FAILED (exit status 7); benchmark: finished; took "),
        ("bench_gpu.py", "tests: passed; benchmark: FAILED (exit status 7); took "),
    ],
)
def test_the_script_runs_everything_and_tells_how_it_went(
    fails, summary, python, tiny_dataset, tmp_path
):
    variables = {"PYTHON": python, "SVMCIFAR_DATA": tiny_dataset, "FAILS": fails}
    done = run(SCRIPT, "--here", "--out", "results", cwd=tmp_path, **variables)
    assert done.returncode == (fails != "nothing"), done.stdout + done.stderr
    assert f"\n{summary}" in done.stdout
    assert f"data: {tiny_dataset}\n" in done.stdout
    report = (tmp_path / "results/environment.txt").read_text()
    assert re.search(r"^GPU +simulated GPU, compute capability 9\.0", report, re.MULTILINE)
    tests, benchmark = (tmp_path / "calls").read_text().splitlines()
    assert re.match(r"-m pytest -m gpu .*tests/gpu/test_gpu_parity\.py", tests)
    found = re.fullmatch(r"scripts/bench_gpu\.py --out (\S+) --budget (\d+)", benchmark)
    assert found[1] == str(tmp_path / "results")
    assert 300 < int(found[2]) <= 460


def test_results_are_not_committed():
    assert "/gpu-check/" in (TOP / ".gitignore").read_text().splitlines()
