"""The scripts that the README tells people to run, and what no file may mention."""

import ast
import os
import re
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from datafiles import write_archive, write_dataset

TOP = Path(__file__).parents[1]
SCRIPTS = [
    f"scripts/{name}.sh" for name in ("test", "quickstart", "gpu_check", "common", "lock", "audit")
]
SCRIPTS.append(".ci/run")
PYTHON_SCRIPTS = sorted(path.stem for path in TOP.glob("scripts/*.py"))
RUNNABLE = [name for name in SCRIPTS if name != "scripts/common.sh"]
BASH = shutil.which("bash")
pytestmark = pytest.mark.skipif(BASH is None, reason="the scripts need bash")


def run(*command, cwd=TOP, **variables):
    environment = {key: value for key, value in os.environ.items() if key != "SVMCIFAR_DATA"}
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment | {key: str(value) for key, value in variables.items()},
        capture_output=True,
        text=True,
        check=False,
    )


def write_stub(path, body):
    """Write an executable shell script."""
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def checkout(tmp_path):
    """A folder that the scripts in it take for the checkout, with data/ and a neighbour.

    No test runs a script of the real checkout: a faulty one might alter its environments.
    """
    top = tmp_path / "checkout"
    for folder in (top / "scripts", top / "data", tmp_path / "neighbour"):
        folder.mkdir(parents=True)
    for path in TOP.glob("scripts/*.sh"):
        shutil.copy(path, top / "scripts")
    return top


def find_data(checkout, **variables):
    """What find_data says, and the last line: $SVMCIFAR_DATA after it."""
    code = f'set -euo pipefail; source scripts/common.sh; find_data "{sys.executable}"; '
    code += 'echo "${SVMCIFAR_DATA:-none}"'
    return run(BASH, "-c", code, cwd=checkout, PYTHONPATH=TOP, **variables)


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_are_valid_bash(name):
    done = run(BASH, "-n", name)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_pass_shellcheck(name):
    shellcheck = Path(sys.executable).with_name("shellcheck")  # of the extra 'dev'
    done = run(shellcheck, "--external-sources", name)
    assert done.returncode == 0, done.stdout


def imported_names(code):
    """Module and name of everything that code takes from the package, within functions as well."""
    nodes = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.ImportFrom)]
    return {
        (node.module, alias.name)
        for node in nodes
        if node.module.partition(".")[0] == "svmcifar"
        for alias in node.names
    }


def check_imports(code):
    for module, name in imported_names(code):
        if not hasattr(import_module(module), name):
            import_module(f"{module}.{name}")


@pytest.mark.parametrize("name", PYTHON_SCRIPTS)
def test_python_scripts_import_what_there_is(name, monkeypatch):
    monkeypatch.syspath_prepend(TOP / "scripts")
    import_module(name)
    check_imports((TOP / f"scripts/{name}.py").read_text())


def test_python_within_shell_scripts_imports_what_there_is():
    for path in TOP.glob("scripts/*.sh"):
        for code in re.findall(
            r"<<'PYTHON'.*?\n(.+?)\nPYTHON$", path.read_text(), flags=re.S | re.M
        ):
            check_imports(code)


@pytest.mark.parametrize("name", RUNNABLE)
def test_scripts_are_executable_and_stop_at_errors(name):
    assert os.access(TOP / name, os.X_OK)
    text = (TOP / name).read_text()
    assert text.startswith("#!/usr/bin/env bash\n")
    assert "\nset -euo pipefail\n" in text


def test_ci_runs_the_test_script_and_ends_with_it():
    last = (TOP / ".ci/run").read_text().splitlines()[-1]
    assert last == 'exec scripts/test.sh "$@"'


def test_quickstart_refuses_arguments(checkout):
    done = run("scripts/quickstart.sh", "--fast", cwd=checkout)
    assert done.returncode == 2
    assert "usage: scripts/quickstart.sh\n" in done.stdout
    assert done.stderr == "error: quickstart.sh takes no arguments, got: --fast\n"


def test_quickstart_gives_help(checkout):
    done = run("scripts/quickstart.sh", "--help", cwd=checkout)
    assert (done.returncode, done.stderr) == (0, "")
    assert "usage: scripts/quickstart.sh\n" in done.stdout
    assert "#" not in done.stdout


@pytest.mark.parametrize("script", ["test.sh", "quickstart.sh"])
def test_a_python_that_is_not_there_is_one_line(script, checkout, tmp_path):
    done = run(checkout / "scripts" / script, cwd=tmp_path, PYTHON="./no-such-python")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "must be 3.11 or newer, got none in" in done.stderr
    assert str(tmp_path) in done.stderr  # taken from where the caller stands


@pytest.mark.parametrize("script", ["test.sh", "quickstart.sh"])
def test_an_old_python_is_one_line(script, checkout, tmp_path):
    old = write_stub(tmp_path / "python", 'case "$2" in *"version_info < (3, 11)"*) exit 1 ;; esac')
    done = run(checkout / "scripts" / script, PYTHON=old)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "must be 3.11 or newer" in done.stderr


@pytest.mark.parametrize("script", ["test.sh", "quickstart.sh"])
def test_a_python_without_venv_is_one_line(script, checkout, tmp_path):
    bare = write_stub(tmp_path / "python", 'case "$2" in *ensurepip*) exit 1 ;; esac')
    done = run(checkout / "scripts" / script, PYTHON=bare)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "install python3-venv" in done.stderr


def test_an_environment_of_somebody_else_is_never_altered(checkout):
    (checkout / ".venv").mkdir()
    (checkout / ".venv/mine").touch()
    code = f"source scripts/common.sh; python={sys.executable}; make_venv .venv ."
    done = run(BASH, "-c", code, cwd=checkout)
    assert done.returncode == 1
    assert done.stderr.startswith("error: .venv: must be made by this script")
    assert [path.name for path in (checkout / ".venv").iterdir()] == ["mine"]


def test_other_packages_do_not_hide_those_of_an_environment(checkout):
    (checkout / ".venv/bin").mkdir(parents=True)
    write_stub(checkout / ".venv/bin/python", 'echo "${PYTHONPATH:-$PWD}/svmcifar/__init__.py"')
    code = f"source scripts/common.sh; python={sys.executable}; make_venv .venv ."
    done = run(BASH, "-c", code, cwd=checkout, PYTHONPATH="elsewhere")
    assert (done.returncode, done.stderr) == (0, "")
    assert "used as it is" in done.stdout


@pytest.mark.parametrize("named", [False, True])
def test_environments_are_made_by_a_python_of_none(checkout, named):
    """Else that of an active environment would have to make its own anew."""
    folder = Path(sys.executable).parent
    variables = {"PYTHON": sys.executable} if named else {"PATH": f"{folder}:{os.environ['PATH']}"}
    code = 'source scripts/common.sh; find_python; "$python" -c '
    code += "'import sys; print(sys.prefix == sys.base_prefix, *sys.version_info[:2])'"
    done = run(BASH, "-c", code, cwd=checkout, **variables)
    assert done.stdout.split() == ["True", *map(str, sys.version_info[:2])]


@pytest.mark.parametrize(
    ("answers", "returncode", "said"),
    [
        ("exit 1", 0, "NOTHING WAS CHECKED"),  # no answer
        (
            'case "$(cat "$7")" in *1.26.4*) echo CVE-2021-33503; exit 1 ;; esac; echo none',
            0,
            "none",
        ),
        ("echo CVE-2021-33503; exit 1", 1, "CVE-2021-33503"),
    ],
    ids=["no-answer", "no-advisory", "an-advisory"],
)
def test_an_audit_tells_advisories_or_that_nothing_was_checked(checkout, answers, returncode, said):
    """By a pip-audit that is none, in an environment that is none."""
    (checkout / "constraints.txt").write_text("tqdm==4.70.1\n")
    (checkout / ".venv-test/bin").mkdir(parents=True)
    write_stub(checkout / ".venv-test/bin/python", f"echo {checkout}/svmcifar/__init__.py")
    write_stub(checkout / ".venv-test/bin/pip-audit", answers)
    done = run("scripts/audit.sh", cwd=checkout, PYTHON=sys.executable)
    assert done.returncode == returncode, done.stderr
    assert said in done.stdout


def test_no_data_is_no_error(checkout):
    (checkout / "data/cifar-100-python.tar.gz.part").touch()
    done = find_data(checkout)
    assert (done.returncode, done.stdout, done.stderr) == (0, "none\n", "")


def test_data_that_the_caller_names_is_taken_first(checkout):
    write_dataset(checkout / "data/cifar-100-python")
    assert find_data(checkout, SVMCIFAR_DATA="/named").stdout == "/named\n"
    assert find_data(checkout, SVMCIFAR_DATA="~/named").stdout == "~/named\n"
    assert find_data(checkout, SVMCIFAR_DATA="named").stdout == f"{checkout}/named\n"


def test_a_data_folder_is_taken_before_an_archive(checkout):
    folder = write_dataset(checkout / "data/cifar-100-python")
    write_archive(folder, checkout / "data/cifar-100-python.tar.gz")
    assert find_data(checkout).stdout == f"{folder}\n"


@pytest.mark.parametrize("place", ["checkout/data", "neighbour"])
@pytest.mark.parametrize("suffix", ["gz", "xz"])
def test_an_archive_is_unpacked_once(checkout, tiny_dataset, place, suffix):
    archive = checkout.parent / place / f"cifar-100-python.tar.{suffix}"
    write_archive(tiny_dataset, archive)
    folder = checkout / "build/cifar-100-python"
    first, second = find_data(checkout), find_data(checkout)
    assert first.stdout.startswith("data: unpacking ")
    assert first.stdout.endswith(f"\n{folder}\n")
    assert second.stdout == f"{folder}\n"
    for name in ("train", "test", "meta"):
        assert (folder / name).read_bytes() == (tiny_dataset / name).read_bytes()


def test_a_newer_archive_is_unpacked_again(checkout, tiny_dataset):
    archive = write_archive(tiny_dataset, checkout / "data/cifar-100-python.tar.gz")
    find_data(checkout)
    train = checkout / "build/cifar-100-python/train"
    train.write_bytes(b"old")
    os.utime(train, (0, os.path.getmtime(archive) - 10))
    assert "unpacking" in find_data(checkout).stdout
    assert train.read_bytes() == (tiny_dataset / "train").read_bytes()


@pytest.mark.parametrize("keep", [0.5, 0.0])
def test_a_damaged_archive_is_one_line(checkout, tiny_dataset, keep):
    archive = write_archive(tiny_dataset, checkout / "data/cifar-100-python.tar.gz")
    content = archive.read_bytes()
    archive.write_bytes(content[: int(len(content) * keep)])
    done = find_data(checkout)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: data/cifar-100-python.tar.gz: must be a whole archive")
    assert not (checkout / "build/cifar-100-python").exists()


def test_quickstart_calls_commands_and_options_that_there_are():
    from svmcifar.cli import main

    text = (TOP / "scripts/quickstart.sh").read_text().replace("\\\n", " ")
    calls = re.findall(r"^ *svmcifar ([a-z-]+) (.+)$", text, flags=re.MULTILINE)
    assert [name for name, _ in calls] == [
        "download",
        "build-labels",
        "train",
        "evaluate",
        "show",
        "compare",
    ]
    for name, rest in calls:
        known = {o for p in main.get_command(None, name).params for o in p.opts}
        assert set(re.findall(r"--[\w-]+", rest)) <= known


def test_quickstart_writes_under_its_own_folder_alone():
    text = (TOP / "scripts/quickstart.sh").read_text()
    assert "\nout=runs/quickstart\n" in text
    outputs = re.findall(r"--(?:out|json|figure|label-csv|data) (\S+)", text)
    assert len(outputs) == 8
    assert all(output.startswith('"$out') for output in outputs)


def test_no_file_names_a_registry_host_or_a_place_on_one_machine():
    try:
        listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z")
    except FileNotFoundError:
        pytest.skip("no git on this machine")
    if listed.returncode:
        pytest.skip("not a git checkout")
    hosts = r"pypi\.(?:org|python)|pythonhosted\.org|anaconda\.(?:org|com)|index[-_]url|find-links"
    places = r"(?<![\w.~/-])/(?:home|root|Users|work|mnt)/\w"
    found = []
    for name in filter(None, listed.stdout.split("\0")):
        path = TOP / name
        if path == Path(__file__) or not path.is_file():
            continue
        content = path.read_bytes()
        if b"\0" not in content:
            lines = enumerate(content.decode("utf-8").splitlines(), 1)
            found += [f"{name}:{n}: {s}" for n, s in lines if re.search(f"{hosts}|{places}", s)]
    assert not found
