"""What checks a GPU, without one: the script, the selection of its tests, the tests on the host.

With the stand-in for CuPy, processes lack what a machine with a GPU may lack (`bare_machine`).
"""

import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from svmcifar.svm.backends.smo_cuda import KERNELS

TOP = Path(__file__).parents[2]
SCRIPT = TOP / "scripts/gpu_check.sh"
STANDINS = TOP / "tests/standins"
N_ON_HOST = 54
NO_GPU = {"CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": ""}
BARE = TOP / "tests/bare_machine"
WITH_STANDIN = {"PYTHONPATH": os.pathsep.join(map(str, (BARE, STANDINS, TOP)))}
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
    assert set(re.findall(r"tests/gpu/(\w+\.py)", SCRIPT.read_text())) == set(marked)


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
    usage = "usage: scripts/gpu_check.sh [--here] [--ncu | --blocks] [--out FOLDER]\n"
    assert usage in done.stdout
    assert "#" not in done.stdout


def test_a_bare_machine_lacks_skops_and_tells_of_the_gpu():
    assert run(sys.executable, "-c", "import skops", **WITH_STANDIN).returncode == 1
    done = run(sys.executable, "-m", "svmcifar", "info", **WITH_STANDIN)
    assert done.returncode == 0, done.stderr
    assert "skops" not in done.stdout
    assert re.search(r"^GPU +simulated GPU, compute capability 9\.0", done.stdout, re.MULTILINE)


TRY_KERNELS = """
import click
from svmcifar.svm.backends import cupy_ovo, smo_cuda
from gpu_smoke import main

main(["--samples", "12"], standalone_mode=False)
launch = smo_cuda.launch_smo
smo_cuda.launch_smo = cupy_ovo.launch_smo = lambda *arguments, **settings: [
    pair._replace(beta=0.9 * pair.beta) for pair in launch(*arguments, **settings)
]
try:
    main(["--samples", "12"], standalone_mode=False)
except click.ClickException as error:
    print(error.message)
"""


def test_every_kernel_is_tried_and_told_if_it_is_wrong():
    paths = f"{TOP / 'scripts'}{os.pathsep}{WITH_STANDIN['PYTHONPATH']}"
    done = run(sys.executable, "-c", TRY_KERNELS, PYTHONPATH=paths)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    kernels = [kernel.name for of_dtype in KERNELS.values() for kernel in of_dtype]
    n = len(kernels)
    told = r"(\w+) +\d+ threads +0 registers +0 local bytes  cold \d+\.\d+ s  warm .+  gap \d.+"
    assert [re.fullmatch(told, line)[1] for line in lines[1 : n + 1]] == kernels
    assert re.match(r"fit +cold \d+\.\d+ s", lines[n + 1])
    complaint = lines[-1]
    for name in kernels:
        assert f"{name}: objectives must be LIBSVM's, got them off by " in complaint
        assert f"{name}: gaps must be 1e-05 at most, got " in complaint
    assert "fit: decision values must be scikit-learn's" in complaint


@pytest.fixture
def python(tmp_path):
    """A Python on a bare machine with the stand-in; what takes long is but noted down.

    What matches $FAILS fails, and what matches $HANGS does not end.  What it says of the machine is
    made up unless $REAL is set.  There are commands compute-sanitizer, which runs what it is given,
    and ncu.
    """
    folder = tmp_path / "bin"
    folder.mkdir()
    notes = f'echo "$(basename "$0") $*" >>"{tmp_path}/calls"\n'
    fails = (
        'case "$*" in *"${FAILS:-nothing}"*) echo failing; exit 7 ;; esac\n'
        'case "$*" in *"${HANGS:-nothing}"*) exec sleep 60 ;; esac\n'
    )
    bodies = {
        "python": 'case "$*" in "-m pytest "*|"-m svmcifar download "*|scripts/*)\n'
        + notes + fails +
        '    case "$*" in\n'
        '        *bench_gpu*) echo "{}" >"$3/bench.json"; echo "data in $SVMCIFAR_DATA" ;;\n'
        '        *gpu_blocks*--out*) echo "{}" >"$3/blocks.json" ;; esac\n'
        "    exit 0 ;;\n"
        '"-m pip list") exit 0 ;;\n'
        '-c*open_dataset*) [ "$REAL" ] || exit 1 ;;\n'
        '"-m svmcifar info") [ "$REAL" ] || exit 0 ;;\n'
        '-) code=$(cat); [ "$REAL" ] || exit 0; case "$code" in *numba*) exit 0 ;; esac\n'
        '    set -- -c "$code" ;;\n'
        "esac\n"
        f'export PYTHONPATH="{BARE}:{STANDINS}:$PYTHONPATH"\n'
        f'exec "{sys.executable}" "$@"\n',
        "compute-sanitizer": notes + 'while [ "$1" != "$PYTHON" ]; do shift; done\nexec "$@"\n',
        "ncu": notes,
    }  # fmt: skip
    for name, body in bodies.items():
        (folder / name).write_text(f"#!/bin/sh\n{body}")
        (folder / name).chmod(0o755)
    return folder / "python"


def check(python, data, tmp_path, *arguments, **variables):
    """Run the script; return it with its summary and what it called."""
    path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    variables = {"PYTHON": python, "PATH": path, "SVMCIFAR_DATA": data} | variables
    done = run(SCRIPT, "--here", *arguments, "--out", "results", cwd=tmp_path, **variables)
    results = tmp_path / "results"
    with tarfile.open(results / "results.tgz") as archive:
        packed = {Path(name).name for name in archive.getnames()}
    assert packed >= {"summary.txt", "environment.txt", "kernels.txt", "prepare.txt"}
    summary = (results / "summary.txt").read_text()
    assert summary.splitlines()[0] == f"data: {data}"
    steps = dict(re.findall(r"^(\w+): (.+?)(?:, \d+ s)?$", summary, re.MULTILINE))
    assert steps.pop("data")
    calls = (tmp_path / "calls").read_text().splitlines()
    files = sorted(path.name for path in results.iterdir())
    return done, steps, calls, files


ALL_STEPS = ["environment", "kernels", "solver", "benchmark", "parity", "racecheck", "memcheck"]


@needs_bash
def test_the_script_runs_everything_and_tells_how_it_went(python, tiny_dataset, tmp_path):
    done, steps, calls, files = check(python, tiny_dataset, tmp_path, REAL="yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert steps == dict.fromkeys(ALL_STEPS, "passed")
    assert files == ["bench.json", "results.tgz", "summary.txt"]
    with tarfile.open(tmp_path / "results/results.tgz") as archive:
        report = archive.extractfile("./environment.txt").read().decode()
    assert re.search(r"^GPU +simulated GPU, compute capability 9\.0", report, re.MULTILINE)
    assert calls[0] == "python scripts/gpu_smoke.py"
    assert calls[1].startswith("python -m pytest -m gpu ")
    assert calls[1].endswith(" tests/gpu/test_gpu_solver.py")
    found = re.fullmatch(r"python scripts/bench_gpu\.py --out \S+ --budget (\d+)", calls[2])
    assert 60 < int(found[1]) <= 105
    assert calls[3].endswith(" tests/gpu/test_gpu_parity.py")
    for number, tool in ((4, "racecheck"), (6, "memcheck")):
        assert f"compute-sanitizer --tool {tool} --error-exitcode 9 " in calls[number]
        assert calls[number + 1] == "python scripts/gpu_smoke.py --samples 40 --steps 20"
    assert len(calls) == 8


@needs_bash
@pytest.mark.parametrize("step", ["solver", "benchmark", "memcheck"])
def test_a_step_that_fails_stops_no_other(step, python, tiny_dataset, tmp_path):
    fails = {"solver": "test_gpu_solver.py", "benchmark": "bench_gpu.py", "memcheck": "--steps 20"}
    done, steps, _, _ = check(python, tiny_dataset, tmp_path, FAILS=fails[step])
    assert done.returncode == 1
    others = ["racecheck"] if step == "memcheck" else []
    assert [name for name, how in steps.items() if how != "passed"] == [*others, step]
    assert steps[step] == "FAILED (exit status 7)"
    assert list(steps) == ALL_STEPS


@needs_bash
def test_it_stops_if_a_kernel_does_not_work_and_keeps_what_it_has(python, tiny_dataset, tmp_path):
    done, steps, calls, files = check(python, tiny_dataset, tmp_path, FAILS="gpu_smoke")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "error: GPU: each kernel must solve a small problem, got the output above"
    )
    assert steps == {"environment": "passed", "kernels": "FAILED (exit status 7)"}
    assert calls == ["python scripts/gpu_smoke.py"]
    assert files == ["results.tgz", "summary.txt"]


@needs_bash
@pytest.mark.parametrize(
    ("kind", "names"),
    [("--ncu", ["solver", "benchmark", "ncu"]), ("--blocks", ["blocks"])],
)
def test_other_kinds_of_run(kind, names, python, tiny_dataset, tmp_path):
    done, steps, calls, files = check(python, tiny_dataset, tmp_path, kind)
    assert done.returncode == 0, done.stdout + done.stderr
    assert steps == dict.fromkeys(["environment", "kernels", *names], "passed")
    if kind == "--ncu":
        wanted = f"--kernel-name regex:smo {python} scripts/gpu_blocks.py --once"
        assert calls[-1].startswith("ncu --clock-control none ")
        assert calls[-1].endswith(wanted)
    else:
        assert re.fullmatch(r"python scripts/gpu_blocks\.py --out \S+", calls[-1])
        assert "blocks.json" in files


@pytest.fixture
def checkout(tmp_path):
    """A folder that the script takes for the checkout, without data; what it is told to alter."""

    def make(*alterations):
        script = tmp_path / "checkout/scripts/gpu_check.sh"
        script.parent.mkdir(parents=True)
        (script.parent / "common.sh").write_text((TOP / "scripts/common.sh").read_text())
        text = SCRIPT.read_text()
        for old, new in alterations:
            assert old in text
            text = text.replace(old, new)
        script.write_text(text)
        script.chmod(0o755)
        return script

    return make


@needs_bash
def test_no_step_is_longer_than_its_time_and_none_starts_without(python, checkout, tmp_path):
    script = checkout(
        ("solver 70", "solver 2"),
        ("least_s=5", "least_s=2"),
        ("benchmark 110", "total_s=$((SECONDS + 1)); benchmark 9"),
    )
    variables = {"PYTHON": python, "HANGS": "test_gpu_solver.py", "SVMCIFAR_DATA": "somewhere"}
    done = run(script, "--here", "--out", "results", cwd=tmp_path, **variables)
    assert done.returncode == 1
    summary = (tmp_path / "results/summary.txt").read_text()
    assert "\nsolver: FAILED (out of time), " in summary
    for name in ("benchmark", "parity"):
        assert f"\n{name}: NOT RUN, no time left\n" in summary


@needs_bash
def test_results_are_kept_after_each_step(python, checkout, tmp_path):
    """Whoever kills the script has what it had until then."""
    script = checkout(("case $kind in\n    check)", "case $kind in\n    check) kill -9 $$;"))
    done = run(script, "--here", "--out", "results", cwd=tmp_path, PYTHON=python, TMPDIR=tmp_path)
    assert done.returncode == -9
    with tarfile.open(tmp_path / "results/results.tgz") as archive:
        assert {"./environment.txt", "./kernels.txt"} <= set(archive.getnames())
    assert "\nkernels: passed, " in (tmp_path / "results/summary.txt").read_text()


@needs_bash
@pytest.mark.parametrize("fails", ["nothing", "download"])
def test_a_stand_in_is_drawn_where_there_are_no_data(fails, python, checkout, tmp_path):
    variables = {"PYTHON": python, "FAILS": fails}
    path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    environment = {key: value for key, value in os.environ.items() if key != "SVMCIFAR_DATA"}
    done = subprocess.run(
        [checkout(), "--here", "--out", "results"],
        cwd=tmp_path, env=environment | variables | {"PATH": path}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    lines = (tmp_path / "results/summary.txt").read_text().splitlines()
    assert lines[0].startswith("data: CIFAR-100 is not here; drawing a SYNTHETIC stand-in")
    calls = (tmp_path / "calls").read_text().splitlines()
    assert "python -m svmcifar download --synthetic --data build/gpu-check" in calls
    assert ("preparations: FAILED, see prepare.txt in results.tgz" in lines) == (fails != "nothing")
    with tarfile.open(tmp_path / "results/results.tgz") as archive:
        told = archive.extractfile("./benchmark.txt").read().decode()
    assert told == f"data in {tmp_path}/checkout/build/gpu-check/synthetic-cifar-100\n"


def test_results_are_not_committed():
    assert "/gpu-check/" in (TOP / ".gitignore").read_text().splitlines()
