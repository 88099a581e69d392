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
from svmcifar.features import cache_keys

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
    environment = cache_keys.describe_environment()
    changed = environment | {part: environment[part] | {name: "another"}}
    monkeypatch.setattr(cache_keys, "describe_environment", lambda: changed)
    computing = Computing(open_at(tmp_path))
    computing.features(computing.fit(IMAGES, **MEANS), IMAGES)
    assert computing.done == ["fit", "features"]


def test_other_kernels_of_blas_are_not_mixed_up(tmp_path, monkeypatch):
    computing = Computing(open_at(tmp_path))
    computing.features(computing.fit(IMAGES, **MEANS), IMAGES)
    environment = cache_keys.describe_environment()
    environment["host"]["blas"] = ["openblas 0.1 Prescott"]
    monkeypatch.setattr(cache_keys, "describe_environment", lambda: environment)
    computing = Computing(open_at(tmp_path))
    computing.features(computing.fit(IMAGES, **MEANS), IMAGES)
    assert computing.done == ["fit", "features"]


@pytest.mark.parametrize("name", ["arrays.py", "simd.py", "features/whiten.py", "features/hog.py"])
def test_other_code_is_not_mixed_up(tmp_path, monkeypatch, name):
    package = Path(svmcifar.__file__).parent
    (copied := tmp_path / "package").mkdir()
    shutil.copytree(package / "features", copied / "features")
    for module in package.glob("*.py"):
        shutil.copy(module, copied)
    monkeypatch.setattr(svmcifar, "__file__", str(copied / "__init__.py"))

    def compute_again():
        monkeypatch.setattr(cache_keys, "_CODE_MD5", cache_keys._hash_code())
        computing = Computing(open_at(tmp_path / "cache"))
        computing.features(computing.fit(IMAGES, **MEANS), IMAGES)
        return computing.done

    assert compute_again() == ["fit", "features"]
    (copied / "metrics.py").write_text("# has nothing to do with features\n")
    assert compute_again() == []
    (copied / name).write_text((copied / name).read_text() + "# changed\n")
    assert compute_again() == ["fit", "features"]


def test_code_that_changes_while_it_runs_is_not_that_which_runs(tmp_path, monkeypatch):
    package = Path(svmcifar.__file__).parent
    shutil.copytree(package, copied := tmp_path / "package")
    monkeypatch.setattr(svmcifar, "__file__", str(copied / "__init__.py"))
    Computing(open_at(tmp_path / "cache")).fit(IMAGES, **MEANS)
    (copied / "features" / "whiten.py").write_text("# changed\n")
    computing = Computing(open_at(tmp_path / "cache"))
    computing.fit(IMAGES, **MEANS)
    assert computing.done == []


def test_code_that_counts_is_all_that_computes_features():
    package = Path(svmcifar.__file__).parent
    # These only refuse, or count threads.
    counted = {"svmcifar.errors", "svmcifar.svm.validation"}
    counted |= {f"svmcifar.{Path(name).stem}" for name in cache_keys._CODE}
    paths = [path for path in package.glob("features/*.py") if not path.stem.startswith("cache")]
    assert len(paths) > 10
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("svmcifar."):
                assert node.module in counted or node.module.startswith("svmcifar.features.")


def test_another_process_finds_what_this_one_kept(tmp_path):
    settings = {"kinds": ("hog",), "settings": {"hog": {"pixels_per_cell": (16, 16)}}}
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
