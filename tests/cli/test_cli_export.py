"""Models for other programs, from the command line."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import skops.io
from clirun import fail, run
from exported import fitted
from exported import run as run_graph
from libsvmfiles import decision_values, read_samples
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from svmcifar import RBFSVC
from svmcifar.cli import export
from svmcifar.model.persistence import load_model, save_model

pytestmark = pytest.mark.usefixtures("folder")
FEATURES = {"kinds": ("hog",), "parameters": {"hog": {"pixels_per_cell": (8, 8)}}}


@pytest.fixture(scope="module")
def models(train_small, tmp_path_factory):
    """Files of models of raw pixels, whole and slim, and one of HOG on mirror images too.

    They tell that they were trained on a GPU.
    """
    folder = tmp_path_factory.mktemp("models")
    raw = train_small(RBFSVC(backend="numba"))
    raw.svc.backend = raw.svc.backend_ = "cupy"
    save_model(raw, folder / "raw.skops")
    save_model(raw, folder / "slim.skops", slim=True)
    hog = train_small(RBFSVC(C=10.0, backend="numba"), **FEATURES, augment="flip")
    hog.svc.backend = hog.svc.backend_ = "cupy"
    save_model(hog, folder / "hog.skops")
    return folder


@pytest.fixture
def svc_path(tmp_path):
    save_model(fitted(3)[0], tmp_path / "svc.skops")
    return tmp_path / "svc.skops"


@pytest.mark.parametrize("name", ["raw", "hog"])
def test_libsvm_predicts_the_samples_as_we_do(name, models, synthetic_folder, synthetic_data):
    path, data = models / f"{name}.skops", ["--data", synthetic_folder]
    words = ["--format", "libsvm", "--out", "m.txt", "--samples", "s.txt", "--limit", 60]
    output = run("export", path, *words, *data)
    assert [line.partition(":")[0] for line in output.splitlines()] == ["m.txt", "s.txt"]
    test = synthetic_data.read_split("test")
    labels, X = read_samples(Path("s.txt").read_text())
    assert labels.tolist() == test.labels["coarse"][:60].tolist()
    _, predicted = decision_values(Path("m.txt").read_text(), X)
    assert predicted.tolist() == load_model(path).predict(test.images[:60]).tolist()


def test_samples_are_written_in_batches(models, synthetic_folder, monkeypatch):
    words = ["export", models / "hog.skops", "--format", "libsvm", "--data", synthetic_folder]
    run(*words, "--out", "a.txt", "--samples", "b.txt", "--split", "train", "--limit", 7)
    monkeypatch.setattr(export, "_BATCH_IMAGES", 3)
    run(*words, "--out", "c.txt", "--samples", "d.txt", "--split", "train", "--limit", 7)
    (_, b), (_, d) = (read_samples(Path(name).read_text()) for name in ("b.txt", "d.txt"))
    np.testing.assert_allclose(d, b, rtol=1e-6)


def test_scikit_learn_and_onnx_runtime_predict_as_we_do(models, synthetic_folder, synthetic_data):
    run("export", models / "slim.skops", "--data", synthetic_folder, "--format", "sklearn",
        "--out", "p.skops")  # fmt: skip
    run("export", models / "raw.skops", "--format", "onnx", "--out", "m.onnx")
    images = synthetic_data.read_split("test").images
    labels, scores = load_model(models / "raw.skops").predict_with_decisions(images)
    names = skops.io.get_untrusted_types(file="p.skops")
    assert all(name.startswith("svmcifar.features.") for name in names)
    pipeline = skops.io.load("p.skops", trusted=names)
    assert pipeline.predict(images).tolist() == labels.tolist()
    np.testing.assert_allclose(pipeline.decision_function(images), scores, atol=1e-4)
    outputs = run_graph(onnx.load("m.onnx"), images=images.reshape(-1, 3, 32, 32))
    assert outputs["labels"].tolist() == labels.tolist()
    np.testing.assert_allclose(outputs["scores"], scores, atol=1e-4)


def test_estimators_are_exported(svc_path):
    svc, Z = fitted(3)
    for to in ("sklearn", "onnx", "libsvm"):
        run("export", svc_path, "--format", to, "--out", f"m.{to}")
    truth = svc.predict(Z).tolist()
    assert skops.io.load("m.sklearn").predict(Z).tolist() == truth
    assert run_graph(onnx.load("m.onnx"), X=Z)["labels"].tolist() == truth
    text = Path("m.libsvm").read_text()
    assert decision_values(text, np.pad(Z, ((0, 0), (1, 0))))[1].tolist() == truth


@pytest.mark.parametrize("to", ["onnx", "libsvm"])
def test_what_a_format_lacks_is_refused_and_nothing_is_written(to, folder):
    svc, _ = fitted(2)
    svc.kernel = "laplacian"
    save_model(svc, "svc.skops")
    assert "Got 'laplacian'" in fail("export", "svc.skops", "--format", to, "--out", "m.out")
    assert [path.name for path in folder.iterdir()] == ["svc.skops"]


def test_a_pipeline_is_no_graph(folder):
    X, Z = (np.abs(part) for part in (fitted(2)[1], fitted(2)[1]))
    save_model(make_pipeline(StandardScaler(), RBFSVC()).fit(X, np.arange(len(Z)) % 2), "p.skops")
    error = fail("export", "p.skops", "--format", "onnx", "--out", "m.onnx")
    assert "Got a Pipeline" in error
    assert [path.name for path in folder.iterdir()] == ["p.skops"]


@pytest.mark.parametrize("name", ["torch", "onnx", "onnxscript"])
def test_missing_packages_are_named(name, models, folder, monkeypatch):
    found = export.find_spec
    monkeypatch.setattr(export, "find_spec", lambda n: None if n == name else found(n))
    error = fail("export", models / "raw.skops", "--format", "onnx", "--out", "m.onnx")
    assert f"got no {name}; install them with `pip install 'svmcifar[cnn]'`" in error
    assert not [*folder.iterdir()]


def test_a_slim_model_needs_the_data(models, synthetic_folder, tiny_dataset):
    words = ["export", models / "slim.skops", "--format", "libsvm", "--out", "m.txt"]
    assert "needs the data set it was trained on" in fail(*words, "--data", tiny_dataset)


@pytest.mark.parametrize("to", ["sklearn", "onnx", "libsvm"])
def test_samples_are_of_images_for_libsvm(to, models, svc_path):
    path = svc_path if to == "libsvm" else models / "raw.skops"
    words = ["--format", to, "--out", "m.out", "--samples", "s.txt"]
    assert "--samples is for --format libsvm" in fail("export", path, *words, exit_code=2)


def test_outputs_are_not_replaced_unasked(svc_path):
    run("export", svc_path, "--format", "libsvm", "--out", "m.txt")
    before = Path("m.txt").read_text()
    error = fail("export", svc_path, "--format", "libsvm", "--out", "m.txt")
    assert "the file exists already" in error
    run("export", svc_path, "--format", "libsvm", "--out", "m.txt", "--overwrite")
    assert Path("m.txt").read_text() == before
