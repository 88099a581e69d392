"""Kernels of `train`: from the command line to the model and the report."""

import json
from dataclasses import fields

import pytest
from clirun import fail, run

from svmcifar.cli.kernel_options import KERNELS
from svmcifar.model.persistence import load_model, read_manifest
from svmcifar.svm.estimator import RBFSVC, SVC

pytestmark = pytest.mark.usefixtures("folder")
OTHERS = {
    "laplacian": ("--gamma", 0.001),
    "linear": (),
    "poly": ("--degree", 2, "--coef0", 1, "--gamma", "auto"),
    "sigmoid": ("--coef0", -0.5),
}


@pytest.fixture
def train(synthetic_folder):
    return lambda *options: run("train", "--data", synthetic_folder, "--limit", 200, *options)


def test_kernels_and_their_parameters_are_those_of_the_registry():
    from svmcifar.svm.kernels import registry

    own = {
        name: {field.name for field in fields(kernel)}
        for name, kernel in registry.KERNELS.items()
        if name != "precomputed"
    }
    assert {name: set(parameters) for name, parameters in KERNELS.items()} == own


@pytest.mark.parametrize("kernel", OTHERS)
def test_a_kernel_reaches_the_model(train, synthetic_folder, synthetic_data, kernel):
    output = train("--kernel", kernel, *OTHERS[kernel], "--pca", 20)
    model = load_model("model.skops")
    assert (type(model.svc), model.svc.kernel) == (SVC, kernel)
    parameters = read_manifest("model.skops").training.parameters
    assert {*KERNELS[kernel]} == {"gamma", "degree", "coef0"} & parameters.keys()
    assert parameters["kernel"] == kernel
    assert f" support vectors, kernel {kernel}" in output
    if kernel == "poly":
        assert "kernel poly, gamma 0.05, degree 2, coef0 1\n" in output
        assert (model.svc.degree, model.svc.coef0, model.svc.gamma_) == (2, 1.0, 1 / 20)
    X = model.compute_features(synthetic_data.read_split("test").images)
    again = SVC(**{name: parameters[name] for name in ("kernel", *KERNELS[kernel])})
    train_images = synthetic_data.read_split("train").take(
        read_manifest("model.skops").training.rows
    )
    again.fit(model.compute_training_features(train_images.images), train_images.labels["coarse"])
    assert (model.predict_features(X)[0] == again.predict(X)).all()
    assert f"kernel={kernel}" in run("info", "model.skops")
    assert "accuracy" in run("evaluate", "model.skops", "--data", synthetic_folder)
    assert "200 predictions" in run("predict", "model.skops", "--data", synthetic_folder)


def test_the_rbf_kernel_is_that_of_older_files(train):
    train("--kernel", "rbf", "--out", "named.skops")
    train()
    assert type(load_model("model.skops").svc) is RBFSVC
    manifests = [read_manifest(path) for path in ("model.skops", "named.skops")]
    assert len({manifest.content_hash for manifest in manifests}) == 1
    for manifest in manifests:
        assert not {"kernel", "degree", "coef0"} & manifest.training.parameters.keys()


def test_the_report_names_the_kernel(train, synthetic_folder):
    options = ("--labels", "fine", "--pca", 10)
    train("--kernel", "poly", "--probability", *options, "--out", "poly.skops", "--slim")
    train("--kernel", "linear", *options, "--out", "linear.skops")
    svms = ("--svm", "poly.skops", "--svm", "linear.skops")
    run("compare", "--data", synthetic_folder, "--no-cnn", *svms)
    with open("report/report.json", encoding="utf-8") as file:
        models = json.load(file)["models"]
    texts = [model["description"] for model in models]
    assert texts[0].startswith("Exact one-vs-one poly-kernel SVM: C = 1, gamma = 0.")
    assert ", degree = 3, coef0 = 0; pixels > " in texts[0]
    assert texts[1].startswith("Exact one-vs-one linear-kernel SVM: C = 1; pixels > ")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--degree", 2), "--degree has no effect with --kernel rbf. Got 2. Leave it out"),
        (("--kernel", "linear", "--gamma", 1), "--gamma has no effect with --kernel linear."),
        (("--kernel", "laplacian", "--coef0", 1), "or take --kernel poly or sigmoid."),
        (("--kernel", "chi2"), "features that are nowhere negative, and train standardises them"),
    ],
)
def test_parameters_of_other_kernels(options, message):
    assert message in fail("train", "--data", "nowhere", *options)


def test_settings_of_files_are_of_their_own_kernel(train, folder):
    config = folder / "poly.toml"
    config.write_text("kernel = 'poly'\ngamma = 0.25\ndegree = 2\npca = 20\n")
    output = train("--config", config)
    assert "kernel poly, gamma 0.25, degree 2, coef0 0\n" in output
    output = train("--config", config, "--kernel", "laplacian", "--overwrite")
    assert "settings     config poly.toml: pca 20" in output.replace(f"{folder}/", "")
    assert read_manifest("model.skops").training.parameters["gamma"] == "scale"
    config.write_text("kernel = 'linear'\ndegree = 2\n")
    assert "--degree has no effect" in fail("train", "--data", "nowhere", "--config", config)


def test_tune_searches_one_kernel():
    message = fail("tune", "--data", "nowhere", "--kernel", "poly")
    assert "tune searches the RBF kernel alone, got --kernel poly; leave it out" in message
