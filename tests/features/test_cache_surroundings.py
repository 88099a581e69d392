"""What features depend on besides images and pipeline: packages, processor, code."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cached_features import MEANS, Computing, open_at, random_images
from feature_options import quick_features

import svmcifar
from svmcifar.features import cache

IMAGES = random_images()


@pytest.fixture(scope="module", autouse=True)
def _quick_features():
    with quick_features():
        yield


@pytest.mark.parametrize(
    ("part", "name"), [("versions", "numpy"), ("versions", "scikit-learn"), ("host", "processor")]
)
def test_other_surroundings_are_not_mixed_up(tmp_path, monkeypatch, part, name):
    computing = Computing(open_at(tmp_path))
    computing.features(computing.fit(IMAGES, **MEANS), IMAGES)
    environment = cache.describe_environment()
    changed = environment | {part: environment[part] | {name: "another"}}
    monkeypatch.setattr(cache, "describe_environment", lambda: changed)
    computing = Computing(open_at(tmp_path))
    computing.features(computing.fit(IMAGES, **MEANS), IMAGES)
    assert computing.done == ["fit", "features"]


def test_other_kernels_of_blas_are_not_mixed_up(tmp_path, monkeypatch):
    computing = Computing(open_at(tmp_path))
    computing.features(computing.fit(IMAGES, **MEANS), IMAGES)
    environment = cache.describe_environment()
    environment["host"]["blas"] = ["openblas 0.1 Prescott"]
    monkeypatch.setattr(cache, "describe_environment", lambda: environment)
    computing = Computing(open_at(tmp_path))
    computing.features(computing.fit(IMAGES, **MEANS), IMAGES)
    assert computing.done == ["fit", "features"]


@pytest.mark.parametrize(
    "name",
    [
        "compute/arrays.py",
        "compute/image_shape.py",
        "compute/jit.py",
        "compute/llvm.py",
        "compute/threads.py",
        "features/pipeline.py",
        "features/extract/hog.py",
        "features/reduce/standardize.py",
    ],
)
def test_other_code_is_not_mixed_up(tmp_path, monkeypatch, name):
    package = Path(svmcifar.__file__).parent
    shutil.copytree(package, copied := tmp_path / "package")
    monkeypatch.setattr(svmcifar, "__file__", str(copied / "__init__.py"))

    def compute_again():
        monkeypatch.setattr(cache, "_CODE_SHA256", cache._hash_code())
        computing = Computing(open_at(tmp_path / "cache"))
        computing.features(computing.fit(IMAGES, **MEANS), IMAGES)
        return computing.done

    assert compute_again() == ["fit", "features"]
    (copied / "errors.py").write_text("# has nothing to do with features\n")
    assert compute_again() == []
    (copied / name).write_text((copied / name).read_text() + "# changed\n")
    assert compute_again() == ["fit", "features"]


def test_code_that_changes_while_it_runs_is_not_that_which_runs(tmp_path, monkeypatch):
    package = Path(svmcifar.__file__).parent
    shutil.copytree(package, copied := tmp_path / "package")
    monkeypatch.setattr(svmcifar, "__file__", str(copied / "__init__.py"))
    Computing(open_at(tmp_path / "cache")).fit(IMAGES, **MEANS)
    (copied / "features" / "pipeline.py").write_text("# changed\n")
    computing = Computing(open_at(tmp_path / "cache"))
    computing.fit(IMAGES, **MEANS)
    assert computing.done == []


def test_code_that_counts_is_all_that_computes_features():
    package = Path(svmcifar.__file__).parent
    counted = {f"svmcifar.{name.removesuffix('.py').replace('/', '.')}" for name in cache._CODE}
    assert all((package / name).is_file() for name in cache._CODE)
    paths = [path for path in package.glob("features/**/*.py") if not path.stem.startswith("cache")]
    assert len(paths) > 20
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("svmcifar."):
                is_counted = node.module in counted or node.module.startswith("svmcifar.features.")
                assert is_counted or node.module == "svmcifar.errors"  # which computes nothing


def test_another_process_finds_what_this_one_kept(tmp_path):
    settings = {"kinds": ("hog",), "parameters": {"hog": {"pixels_per_cell": (16, 16)}}}
    computing = Computing(open_at(tmp_path))
    X = computing.features(computing.fit(IMAGES, **settings), IMAGES, "flip-shift")
    code = (
        "import sys; from cached_features import Computing, open_at, random_images\n"
        "computing, images = Computing(open_at(sys.argv[1])), random_images()\n"
        f"pipeline = computing.fit(images, **{settings})\n"
        "X = computing.features(pipeline, images, 'flip-shift')\n"
        "assert computing.done == [], computing.done\n"
        "sys.stdout.buffer.write(X.tobytes())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path],
        capture_output=True,
        cwd=Path(__file__).parents[1],
        check=True,
    )
    assert done.stdout == X.tobytes()
