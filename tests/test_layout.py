"""Imports go downwards: a folder stands on those of lower floors alone."""

import ast
from pathlib import Path

import pytest

import svmcifar

PACKAGE = Path(svmcifar.__file__).parent
FLOORS = (
    {"errors", "json_values", "metrics", "text"},
    {"compute", "io"},
    {"data", "features", "svm", "plots"},
    {"model", "cnn", "tuning"},
    {"compare"},
    {"cli"},
)
FLOOR_OF = {folder: floor for floor, folders in enumerate(FLOORS) for folder in folders}
NOT_FOR_SVM = {"data", "features", "plots"}  # beside all above it: it knows no images


def imported_folders(code, package="svmcifar"):
    """Folders that code imports from, within functions and for type checkers as well.

    So do strings that name a module: `import_module` takes them.
    """
    names = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            around = package.split(".")[: len(package.split(".")) + 1 - node.level]
            base = ".".join([*(around if node.level else []), *filter(None, [node.module])])
            for alias in node.names:
                public = svmcifar._PUBLIC.get(alias.name) if base == "svmcifar" else None
                names.add(public or f"{base}.{alias.name}")
        elif isinstance(node, ast.Constant):
            names.add(str(node.value))
    parts = [name.split(".") for name in names if name.startswith("svmcifar.")]
    return {part[1] for part in parts} & set(FLOOR_OF)


def package_imports():
    """Each file of a folder with each other folder that it imports from."""
    for path in PACKAGE.rglob("*.py"):
        file = path.relative_to(PACKAGE)
        own = file.with_suffix("").parts[0]
        if own in FLOOR_OF:
            package = ".".join(["svmcifar", *file.parent.parts])
            for folder in imported_folders(path.read_text(), package) - {own}:
                yield str(file), own, folder


IMPORTS = sorted(package_imports())


def test_every_folder_has_a_floor():
    found = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert found - {"__init__", "__main__", "__pycache__", "presets"} == set(FLOOR_OF)


@pytest.mark.parametrize(
    "code",
    [
        "import svmcifar.data.cifar",
        "from svmcifar.data import cifar",
        "from svmcifar import data",
        "from svmcifar import open_dataset",
        "from ..data.cifar import Cifar100",
        "def f():\n    from svmcifar.data.cifar import Cifar100",
        "if TYPE_CHECKING:\n    from svmcifar.data.cifar import Cifar100",
        "import_module('svmcifar.data.cifar')",
    ],
)
def test_imports_of_every_form_are_seen(code):
    assert imported_folders(code, "svmcifar.svm") == {"data"}


def test_nothing_is_imported_from_a_floor_above():
    assert not [line for line in IMPORTS if FLOOR_OF[line[2]] > FLOOR_OF[line[1]]]


def test_the_svm_knows_no_images():
    assert not [line for line in IMPORTS if line[1] == "svm" and line[2] in NOT_FOR_SVM]


@pytest.mark.parametrize("folders", FLOORS, ids=lambda folders: "-".join(sorted(folders)))
def test_folders_of_one_floor_do_not_need_each_other_in_a_circle(folders):
    needs = {folder: set() for folder in folders}
    for _, own, folder in IMPORTS:
        if {own, folder} <= folders:
            needs[own].add(folder)
    while free := {folder for folder in needs if not needs[folder] & set(needs)}:
        for folder in free:
            del needs[folder]
    assert not needs
