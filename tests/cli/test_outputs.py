"""Outputs of a command appear together or not at all, and what took long to make is kept."""

import errno
import os
import re
import shutil
from pathlib import Path

import pytest
from clirun import fail, run
from contestants import make_card, make_network
from fulldisk import full_disk

from svmcifar.io import files
from svmcifar.model.persistence import load_model, read_manifest, save_model


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Each test works in an empty folder of its own."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.delenv("SVMCIFAR_DATA", raising=False)
    monkeypatch.setenv("SVMCIFAR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "work"


@pytest.fixture(scope="module")
def svm_path(train_small, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "svm.skops"
    save_model(train_small(), path)
    return path


@pytest.fixture(scope="module")
def commands(svm_path, synthetic_folder):
    """Commands with several outputs, by name, and these outputs."""
    data = ("--data", synthetic_folder)
    quick = ("--features", "raw", "--pca", 5, "--limit", 300, "--C", "1,10", "--gamma", "1x")
    network = ("--width", 1, "--epochs", 1, "--jobs", 1)
    return {
        "evaluate": (
            ["evaluate", svm_path, *data, "--json", "new/a.json", "--figure", "b.pdf"],
            ["new/a.json", "b.pdf"],
        ),
        "tune": (
            [
                "tune",
                *data,
                *quick,
                "--out",
                "a.toml",
                "--table",
                "b/b.csv",
                "--heatmap",
                "c.png",
            ],
            ["a.toml", "b/b.csv", "c.png"],
        ),
        "train": (
            ["train", *data, "--limit", 100, "--out", "new/a.skops", "--label-csv", "b.csv"],
            ["new/a.skops", "new/a.skops.md", "b.csv"],
        ),
        "train-cnn": (
            ["train-cnn", *data, *network, "--out", "new/a.pth", "--figure", "b.svg"],
            ["new/a.pth", "new/a.onnx", "new/a.json", "b.svg"],
        ),
    }


def files_in(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in Path(folder).rglob("*")
        if path.is_file()
    }


def fill_disk_at(monkeypatch, n_renames):
    """Let the disk be full when so many outputs are finished and the next is written."""
    made = files.parents_made
    count = iter(range(10**6))

    def parents_made(path):
        if next(count) == n_renames:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return made(path)

    monkeypatch.setattr(files, "parents_made", parents_made)


@pytest.mark.parametrize("name", ["evaluate", "tune", "train", "train-cnn"])
def test_all_outputs_appear_or_none(commands, name, folder, monkeypatch):
    command, outputs = commands[name]
    # The state of a network's training is written first, and stays.
    n_before, kept = (1, ["new/a.state"]) if name == "train-cnn" else (0, [])
    for n_finished in range(len(outputs)):
        with monkeypatch.context() as patch:
            fill_disk_at(patch, n_before + n_finished)
            error = fail(*command)
        assert re.match(f"Error: {outputs[n_finished]}: .* 'No space left on device'", error)
        assert list(files_in(folder)) == kept
        assert kept or os.listdir(folder) == []
        shutil.rmtree(folder / "new", ignore_errors=True)
    run(*command)
    new = files_in(folder)
    assert sorted(new) == sorted(outputs)
    if name == "train":
        (folder / "b.csv").unlink()  # else it is read
    for path in new.keys() & files_in(folder):
        (folder / path).write_text("old")
    old = files_in(folder)
    with monkeypatch.context() as patch:
        fill_disk_at(patch, n_before + len(outputs) - 1)
        fail(*command, "--overwrite")
    assert {path: old.get(path) for path in files_in(folder) if path not in kept} == old


def test_a_figure_larger_than_the_disk(commands, folder):
    command, _ = commands["evaluate"]
    with full_disk(15_000):
        assert fail(*command).startswith("Error: b.pdf: an output must be writable, got 'File too")
    assert os.listdir(folder) == []


def test_a_model_is_kept_where_there_is_room(commands, folder, monkeypatch, synthetic_data):
    command, _ = commands["train"]
    fill_disk_at(monkeypatch, 0)
    error = fail(*command)
    cache = folder.parent / "cache"
    (kept,) = cache.glob("a-*.skops")
    assert error.endswith(f"name another or fix the folder; the model is kept: {kept}")
    assert os.listdir(folder) == []
    run(*command)
    assert read_manifest(kept).content_hash == read_manifest("new/a.skops").content_hash
    images = synthetic_data.read_split("test").images
    assert load_model(kept).predict(images).tolist() == (
        load_model("new/a.skops").predict(images).tolist()
    )


def test_a_model_is_kept_beside_temporary_files_if_there_is_no_cache(
    commands, folder, monkeypatch, tmp_path
):
    monkeypatch.setenv("SVMCIFAR_CACHE", str(tmp_path / "file"))
    (tmp_path / "file").touch()
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    fill_disk_at(monkeypatch, 0)
    error = fail(*commands["train"][0])
    (kept,) = (tmp_path / "tmp").iterdir()
    assert error.endswith(f"; the model is kept: {kept}")


def test_a_model_that_fits_nowhere_is_one_line(commands, folder, tmp_path):
    with full_disk(10_000):
        error = fail(*commands["train"][0])
    assert error.endswith("got 'File too large'; name another or fix the folder")
    assert os.listdir(folder) == []
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


def test_training_of_a_network_goes_on_when_there_is_room(commands, folder, monkeypatch):
    command, outputs = commands["train-cnn"]
    with monkeypatch.context() as patch:
        fill_disk_at(patch, 3)
        assert "new/a.state holds the training up to its last whole epoch" in fail(*command)
    assert list(files_in(folder)) == ["new/a.state"]
    assert "epoch 1/1" not in run(*command, "--resume")
    assert sorted(files_in(folder)) == sorted(outputs)


def test_training_does_without_a_label_csv(synthetic_folder, folder, monkeypatch):
    access = os.access
    monkeypatch.setattr(os, "access", lambda p, mode: Path(p) != folder and access(p, mode))
    train = ("train", "--data", synthetic_folder, "--limit", 100, "--out", "../a.skops")
    assert "labels       coarse, map not written: name a file with --label-csv" in run(*train)
    assert os.listdir(folder) == []
    assert read_manifest("../a.skops").fit.n_samples == 100
    error = fail(*train, "--overwrite", "--label-csv", "map.csv")
    assert "map.csv: an output must be writable" in error


def test_a_label_csv_that_appears_meanwhile_is_no_obstacle(synthetic_folder, folder, monkeypatch):
    from svmcifar.model import train

    fit = train.train_classifier

    def train_classifier(*args, **kwargs):
        run("build-labels", "--data", synthetic_folder, "--out", "map.csv")
        return fit(*args, **kwargs)

    monkeypatch.setattr(train, "train_classifier", train_classifier)
    run("train", "--data", synthetic_folder, "--limit", 100, "--label-csv", "map.csv")
    assert sorted(os.listdir(folder)) == ["map.csv", "model.skops", "model.skops.md"]


# The report's folder


@pytest.fixture
def compare(synthetic_folder, synthetic_data, monkeypatch):
    """Run the command with a network of one random layer."""
    network = make_network(Path("a.pth"), 0, make_card(synthetic_data))
    monkeypatch.setattr("svmcifar.cnn.checkpoint.load_network", lambda *_, **__: network)
    return lambda end, *more: end("compare", "--cnn", "a", "--data", synthetic_folder, *more)


def test_a_report_appears_whole_or_not_at_all(compare, svm_path, folder):
    svm = ("--svm", svm_path, "--out", "new/report")
    before = set(os.listdir(folder))
    with full_disk(20_000):
        error = fail_of(compare, *svm)
    assert re.match(r"Error: new/report(/\S+)?: an output must be .*'File too large'", error)
    assert set(os.listdir(folder)) == before
    compare(run, *svm)
    old = files_in("new/report")
    with full_disk(20_000):
        fail_of(compare, *svm, "--overwrite")
    assert files_in("new/report") == old
    assert os.listdir("new") == ["report"]


def fail_of(compare, *arguments):
    error = compare(fail, *arguments)
    assert not re.search("-[0-9a-f]{8}", error)
    return error


def test_a_report_that_may_not_be_written_is_refused_before_the_work(
    compare, svm_path, folder, monkeypatch
):
    monkeypatch.setattr("svmcifar.data.registry.open_dataset", None)
    access = os.access
    monkeypatch.setattr(os, "access", lambda p, mode: Path(p) != folder and access(p, mode))
    assert "no folder that can be written to" in compare(fail, "--svm", svm_path, "--out", "a/b")


def test_the_svm_of_a_report_is_kept(compare, folder, monkeypatch, synthetic_data):
    monkeypatch.setattr("svmcifar.compare.report.write.write_json", disk_is_full)
    error = compare(fail)
    (kept,) = (folder.parent / "cache").glob("model-*.skops")
    assert error.startswith("Error: report: an output must be writable, got 'No space left")
    assert error.endswith(f"; the model is kept: {kept}")
    assert not (folder / "report").exists()
    assert load_model(kept, synthetic_data).label_kind == "fine"


def disk_is_full(*args):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
