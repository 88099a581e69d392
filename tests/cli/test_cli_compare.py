"""`svmcifar compare` through the real command group, with networks of one random layer."""

import json
import re
from functools import partial
from html import unescape
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from clirun import fail, run
from contestants import make_card, make_network

from svmcifar.errors import CheckpointError
from svmcifar.model.persistence import load_model, model_content_hash, save_model
from svmcifar.svm.estimator import RBFSVC

FILES = {
    "report.html", "report.json", "predictions.csv", "scores.npz", "scores.csv", "costs.csv",
    "paired.csv", "classes-coarse.csv", "classes-fine.csv", "paired-classes.csv", "figures",
}  # fmt: skip


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch, synthetic_data):
    """An empty folder with three networks' files, and a loader that knows them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SVMCIFAR_DATA", raising=False)
    card = make_card(synthetic_data)
    networks = {
        name: make_network(tmp_path / name, seed, card)
        for seed, name in enumerate(("a.pth", "b.onnx", "own.onnx"))
    }
    networks["copy.pth"] = make_network(tmp_path / "copy.pth", 0, card)

    def load_network(path, class_names, image_shape, n_threads, **reading):
        assert n_threads >= 1
        assert tuple(class_names) == synthetic_data.class_names("fine")
        if path.name not in networks:
            raise CheckpointError(f"{path}: the network's file must exist; make one")
        return networks[path.name]

    def bundled_checkpoint(synthetic):
        assert synthetic is True
        return tmp_path / "own.onnx"

    monkeypatch.setattr("svmcifar.cnn.checkpoint.load_network", load_network)
    monkeypatch.setattr("svmcifar.cnn.bundled.bundled_checkpoint", bundled_checkpoint)
    return tmp_path


@pytest.fixture(scope="module")
def svm_paths(train_small, tmp_path_factory):
    folder = tmp_path_factory.mktemp("svms")
    paths = {kind: folder / f"{kind}.skops" for kind in ("coarse", "fine")}
    for kind, path in paths.items():
        save_model(train_small(label_kind=kind), path)
    return paths


@pytest.fixture
def compare(synthetic_folder, svm_paths):
    """Run the command on the synthetic data, with a coarse SVM unless another is named."""

    def compare(*arguments, svm=svm_paths["coarse"], out="report", runner=run):
        svm = () if svm is None else ("--svm", svm)
        return runner("compare", *arguments, *svm, "--data", synthetic_folder, "--out", out)

    return compare


def read_report(folder="report"):
    with open(f"{folder}/report.json") as file:
        return json.load(file)


def ids_and_files(content):
    return [(m["id"], m["file"]) for m in content["models"]]


def test_report(compare, folder, synthetic_data, svm_paths):
    output = compare("--cnn", "a.pth", svm=svm_paths["fine"])
    assert {path.name for path in (folder / "report").iterdir()} == FILES
    content = read_report()
    assert ids_and_files(content) == [("cnn", "a.pth"), ("svm", "fine.skops")]
    assert content["data"]["n_images"] == 200
    assert content["data"]["md5s"] == synthetic_data.md5s
    assert set(content["scores"]["fine"]) == {"cnn", "svm"}
    assert [m["note"] for m in content["models"]] == [None, None]
    assert content["command"].startswith("svmcifar compare --cnn a.pth --svm ")
    figures = content["files"].pop("figures")
    assert set(content["files"].values()) == FILES - {"report.html", "report.json", "figures"}
    assert sorted(figures) == sorted(
        f"figures/{path.name}" for path in Path("report/figures").iterdir()
    )
    lines = output.splitlines()
    assert lines[0] == "CNN versus SVM on SYNTHETIC stand-in"
    assert lines[1:-1] == [f"- {sentence}" for sentence in content["conclusion"]]
    assert lines[-1] == "report: report/report.html"
    table = pd.read_csv("report/predictions.csv")
    split = synthetic_data.read_split("test")
    svm = load_model(svm_paths["fine"])
    assert table.svm_fine.tolist() == svm.predict(split.images).tolist()
    page = unescape((folder / "report/report.html").read_text()).replace("\N{NO-BREAK SPACE}", " ")
    for sentence in (*content["conclusion"], *content["limits"]):
        assert sentence in page
    assert "SYNTHETIC" in page


def test_defaults_train_an_svm_and_take_the_bundled_network(
    compare, folder, train_small, synthetic_data
):
    output = compare(svm=None)
    assert "No --svm given: training one on raw pixels and the 100 fine classes, C = 10" in output
    content = read_report()
    assert ids_and_files(content) == [("cnn", "own.onnx"), ("svm", "model.skops")]
    cnn, svm = content["models"]
    assert cnn["note"] == "the network that comes with svmcifar"
    assert svm["note"] == "trained by this command, since no SVM was given"
    model = load_model("report/model.skops", synthetic_data)
    assert model.label_kind == "fine"
    expected = train_small(RBFSVC(C=10.0), label_kind="fine")
    assert model_content_hash(model) == model_content_hash(expected) == svm["content_hash"]
    file = folder / "report/model.skops"  # without support vectors, which are counted all the same
    support_vectors = model.svc.support_vectors_
    assert svm["cost"]["n_bytes"] == file.stat().st_size + support_vectors.nbytes
    assert content["files"]["model"] == "model.skops"
    assert {path.name for path in (folder / "report").iterdir()} == FILES | {"model.skops"}


def test_cnn_without_a_value_is_the_bundled_one(compare):
    compare("--cnn", "a.pth", "--cnn")
    content = read_report()
    assert ids_and_files(content)[:2] == [("cnn", "a.pth"), ("cnn2", "own.onnx")]
    notes = [m["note"] for m in content["models"]]
    assert notes == [None, "the network that comes with svmcifar", None]
    # A coarse SVM has no answers on the fine classes.
    assert set(content["scores"]["fine"]) == {"cnn", "cnn2"}


@pytest.mark.parametrize("how", ["sum", "vote"])
def test_ensemble(compare, folder, synthetic_data, how):
    compare("--cnn", "a.pth", "--cnn", "b.onnx", "--cnn", "--ensemble", how)
    content = read_report()
    assert [m["id"] for m in content["models"]] == ["cnn", "cnn2", "cnn3", "ensemble", "svm"]
    assert content["models"][3]["name"] == f"Ensemble of 3 CNNs ({how})"
    assert content["models"][3]["made"] == {"members": ["cnn", "cnn2", "cnn3"], "rule": how}
    images = synthetic_data.read_split("test").images
    networks = [make_network(folder / "x.pth", seed) for seed in range(3)]
    p = np.array([network.predict_proba(images) for network in networks], dtype=float)
    total = p.sum(axis=0)
    if how == "vote":
        for q in p:
            total[np.arange(200), q.argmax(axis=1)] += 100.0
    table = pd.read_csv("report/predictions.csv")
    assert table.ensemble_fine.tolist() == total.argmax(axis=1).tolist()


def test_robustness(compare, folder):
    compare("--cnn", "a.pth", "--robustness", "7")
    assert read_report()["robustness"]["n_images"] == 7
    with np.load(folder / "report/scores.npz") as arrays:
        assert arrays["coarse/svm/ids/blur"].shape == (5, 7)
    compare("--overwrite", "--cnn", "a.pth", "--robustness")
    assert read_report()["robustness"]["n_images"] == 200  # all that there are
    compare("--overwrite", "--cnn", "a.pth")
    assert read_report()["robustness"] is None


def test_overwriting(compare, folder):
    compare()
    (folder / "report/notes.txt").write_text("precious")
    (folder / "report/predictions.csv").write_text("old")
    assert "pass --overwrite to replace the report's files" in compare(runner=fail)
    assert (folder / "report/predictions.csv").read_text() == "old"
    compare("--overwrite", "--cnn", "b.onnx")
    assert ids_and_files(read_report())[0] == ("cnn", "b.onnx")
    assert len(pd.read_csv("report/predictions.csv")) == 200
    assert (folder / "report/notes.txt").read_text() == "precious"
    assert {path.name for path in (folder / "report").iterdir()} == FILES | {"notes.txt"}


def test_several_svms(compare, svm_paths):
    compare("--cnn", "a.pth", "--svm", svm_paths["fine"])
    content = read_report()
    assert ids_and_files(content) == [
        ("cnn", "a.pth"), ("svm", "fine.skops"), ("svm2", "coarse.skops"),
    ]  # fmt: skip
    assert [m["name"] for m in content["models"]] == ["CNN a", "SVM fine", "SVM coarse"]
    assert set(content["scores"]["fine"]) == {"cnn", "svm"}
    pairs = [(p["a"], p["b"]) for p in content["paired"]["coarse"]]
    assert pairs == [("cnn", "svm"), ("cnn", "svm2"), ("svm", "svm2")]
    assert content["title"] == "CNN versus SVM on SYNTHETIC stand-in"


def test_svms_alone(compare, folder, svm_paths, synthetic_data):
    output = compare("--no-cnn", "--svm", svm_paths["fine"])
    assert output.startswith("SVMs compared on SYNTHETIC stand-in\n")
    content = read_report()
    assert ids_and_files(content) == [("svm", "fine.skops"), ("svm2", "coarse.skops")]
    images = synthetic_data.read_split("test").images
    table = pd.read_csv("report/predictions.csv")
    assert table.svm_fine.tolist() == load_model(svm_paths["fine"]).predict(images).tolist()
    assert table.svm2_coarse.tolist() == load_model(svm_paths["coarse"]).predict(images).tolist()
    assert (folder / "report/figures/confusion-coarse-svm2.png").exists()


@pytest.mark.parametrize("arguments", [[], ["--cnn", "a.pth", "--svm", "coarse"]])
def test_svms_alone_need_two_and_no_network(compare, svm_paths, arguments):
    arguments = [svm_paths.get(argument, argument) for argument in arguments]
    error = compare("--no-cnn", *arguments, runner=partial(fail, exit_code=2))
    assert "--no-cnn needs at least two --svm, and no --cnn." in error


def test_an_svm_is_taken_once(compare, folder, svm_paths):
    (folder / "copy.skops").write_bytes(svm_paths["coarse"].read_bytes())
    error = compare("--svm", "copy.skops", runner=fail)
    assert re.search(r"coarse\.skops: an SVM may be given once, .* the same as copy\.skops", error)


def test_svm_within_the_folder_survives(compare, folder, svm_paths):
    (folder / "report").mkdir()
    before = svm_paths["coarse"].read_bytes()
    (folder / "report/model.skops").write_bytes(before)
    compare("--overwrite", svm="report/model.skops")
    assert (folder / "report/model.skops").read_bytes() == before
    assert "model" not in read_report()["files"]


def test_failure_leaves_no_folder(compare, folder, monkeypatch):
    def explode(*arguments):
        raise ZeroDivisionError

    monkeypatch.setattr("svmcifar.compare.report.write.write_page", explode)
    before = set(folder.iterdir())
    with pytest.raises(ZeroDivisionError):
        compare()
    assert set(folder.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--cnn", "a.pth", "--cnn", "a.pth"], "a.pth: a network may be given once"),
        (["--cnn", "a.pth", "--cnn", "copy.pth"], r"copy.pth: .* the same as \S*a.pth; leave"),
        (["--cnn", "--cnn", "own.onnx"], "own.onnx: a network may be given once"),
        (["--cnn", "none.pth"], "none.pth: the network's file must exist"),
    ],
)
def test_networks_that_are_refused(compare, folder, arguments, error):
    assert re.search(error, compare(*arguments, svm="none.skops", runner=fail))
    assert not (folder / "report").exists()


@pytest.mark.parametrize("cnns", [[], ["--cnn"], ["--cnn", "a.pth"]])
def test_ensemble_of_one(compare, cnns):
    def fail2(*arguments):
        return fail(*arguments, exit_code=2)

    error = compare(*cnns, "--ensemble", "sum", runner=fail2)
    assert "--ensemble needs at least two networks; give --cnn once more." in error


def test_svms_that_are_refused(compare, folder, svm_paths, tiny_dataset, monkeypatch):
    assert "the model file must exist" in compare(svm="none.skops", runner=fail)
    (folder / "foreign.skops").write_bytes(b"no model")
    assert "must be one that svmcifar wrote" in compare(svm="foreign.skops", runner=fail)
    network = make_network(folder / "a.pth")
    monkeypatch.setattr("svmcifar.cnn.checkpoint.load_network", lambda *_, **__: network)
    error = fail("compare", "--cnn", "a.pth", "--svm", svm_paths["fine"], "--data", tiny_dataset)
    assert "The model's classes must be those of the data set" in error
    assert not (folder / "report").exists()


def test_output_is_checked_before_any_work(folder):
    (folder / "report").write_text("precious")
    for more in ([], ["--overwrite"]):
        error = fail("compare", "--cnn", "none.pth", "--data", "nowhere", *more)
        assert "report: the output must be a folder, and this is a file; name another" in error
    assert (folder / "report").read_text() == "precious"


def test_help_names_the_defaults():
    text = " ".join(run("compare", "--help").split())
    for words in ("--cnn [PATH]", "[default: report]", "the network that comes with svmcifar"):
        assert words in text
