import json
import re
import subprocess
import sys
from functools import partial

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from clirun import fail, run
from datafiles import to_pictures
from devices import stand_in_for_gpu
from PIL import Image

from svmcifar.cli import main
from svmcifar.compute import gpu
from svmcifar.features.cache import FeatureCache
from svmcifar.model.persistence import load_model, save_model

COMMANDS = ["download", "build-labels", "train", "train-cnn", "evaluate"]
COMMANDS += ["predict", "show", "compare", "info", "cache"]


pytestmark = pytest.mark.usefixtures("folder")


@pytest.fixture(scope="module")
def model_path(train_small, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "model.skops"
    save_model(train_small(), path)
    return path


@pytest.fixture(scope="module")
def slim_path(train_small, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "slim.skops"
    save_model(train_small(), path, slim=True)
    return path


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command):
    assert f"main {command} [OPTIONS]" in run(command, "--help")
    assert f"  {command} " in run("--help")


def test_help_imports_no_numerics():
    code = (
        "import sys; from svmcifar.cli import main\n"
        "try: main(['train', '--help'])\n"
        "finally: print(sorted({'numpy', 'numba', 'sklearn', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")


def test_module_can_be_run():
    done = subprocess.run(
        [sys.executable, "-m", "svmcifar", "--version"], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "svmcifar, version" in done.stdout


def test_unknown_command():
    assert "No such command 'fly'" in fail("fly", exit_code=2)


def test_bugs_keep_their_traceback(monkeypatch):
    from svmcifar.data import registry

    def explode(*args, **kwargs):
        raise ZeroDivisionError

    monkeypatch.setattr(registry, "open_dataset", explode)
    assert isinstance(CliRunner().invoke(main, ["build-labels"]).exception, ZeroDivisionError)


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (["train"], "lower --memory-limit, --limit, --jobs, or allow this process more"),
        (["train-cnn"], "lower --jobs, or allow this process more"),
        (["build-labels"], "allow this process more"),
    ],
)
@pytest.mark.parametrize("text", ["", "Unable to allocate 234. MiB for an array\nof float32"])
def test_running_out_of_memory_is_one_line(monkeypatch, folder, arguments, remedy, text):
    def open_dataset(*_, **__):
        raise MemoryError(text)

    monkeypatch.setattr("svmcifar.data.registry.open_dataset", open_dataset)
    monkeypatch.chdir(folder)
    what = f": {' '.join(text.split())}" if text else ""
    assert fail(*arguments) == f"Error: out of memory{what}; {remedy}"
    assert not list(folder.iterdir())


def test_download_makes_the_synthetic_set(folder, monkeypatch):
    from svmcifar.data import synthetic

    full = synthetic.write_synthetic
    sizes = {"train_per_class": 1, "test_per_class": 1}
    monkeypatch.setattr(synthetic, "write_synthetic", partial(full, **sizes))
    assert "SYNTHETIC" in run("download", "--synthetic", "--data", "sets")
    assert (folder / "sets/synthetic-cifar-100/SYNTHETIC.md5").exists()


def test_build_labels(synthetic_folder, synthetic_data):
    output = run("build-labels", "--data", synthetic_folder)
    assert "100 fine classes in 20 superclasses, from SYNTHETIC stand-in" in output
    table = pd.read_csv("data/labels.csv")
    assert list(table) == [
        "fine_label_id", "fine_label_name", "coarse_label_id", "coarse_label_name",
    ]  # fmt: skip
    train = synthetic_data.read_split("train")
    assert table.coarse_label_id[train.classes].tolist() == train.labels["coarse"].tolist()
    assert "exists already" in fail("build-labels", "--data", synthetic_folder)
    run("build-labels", "--data", synthetic_folder, "--overwrite")


def test_evaluate(model_path, synthetic_folder, synthetic_data, folder):
    output = run(
        "evaluate", model_path, "--data", synthetic_folder,
        "--json", "out/scores.json", "--figure", "out/confusion.svg",
    )  # fmt: skip
    scores = json.loads((folder / "out/scores.json").read_text())
    test = synthetic_data.read_split("test")
    accuracy = (load_model(model_path).predict(test.images) == test.labels["coarse"]).mean()
    assert scores["scores"]["accuracy"] == accuracy
    assert f"accuracy            {100 * accuracy:.2f} %  (95 % interval" in output
    assert output.startswith("SYNTHETIC data: test images, 20 superclasses")
    assert "best class:" in output
    assert "worst class:" in output
    assert "SYNTHETIC" in (folder / "out/confusion.svg").read_text()


def test_evaluate_fine(train_small, synthetic_folder, folder):
    save_model(train_small(label_kind="fine"), "fine.skops")
    output = run("evaluate", "fine.skops", "--data", synthetic_folder, "--json", "s.json")
    upper = json.loads((folder / "s.json").read_text())["superclass_scores"]["accuracy"]
    assert f"mapped up to superclasses: accuracy {upper:.2%}" in output


def test_evaluate_refuses_outputs_first(model_path, folder):
    (folder / "s.json").write_text("precious")
    assert "exists already" in fail("evaluate", "none.skops", "--json", "s.json")
    assert ".png, .svg or .pdf" in fail("evaluate", "none.skops", "--figure", "c.bmp")
    assert (folder / "s.json").read_text() == "precious"


def test_outputs_never_replace_inputs_or_each_other(train_small, synthetic_folder, folder):
    save_model(train_small(), "m.skops")
    before = (folder / "m.skops").read_bytes()
    for arguments in (
        ["evaluate", "m.skops", "--json", "m.skops"],
        ["evaluate", "m.skops", "--json", "a.png", "--figure", "./a.png"],
        ["show", "m.skops", "--out", "m.skops"],
        ["predict", "m.skops", "--out", "m.skops"],
        ["predict", "m.skops", "cat.png", "--out", "cat.png"],
    ):
        error = fail(*arguments, "--data", synthetic_folder, "--overwrite")
        assert "must not be a file that the command reads or writes otherwise" in error
    assert (folder / "m.skops").read_bytes() == before
    assert not (folder / "a.png").exists()


@pytest.mark.parametrize("command", ["evaluate", "show"])
def test_other_data_is_refused(command, model_path, tiny_dataset):
    assert "pass the right --data" in fail(command, model_path, "--data", tiny_dataset)


@pytest.mark.parametrize("command", ["evaluate", "show", "predict", "info"])
def test_foreign_model_file(command, synthetic_folder, folder):
    (folder / "m.skops").write_bytes(b"no model")
    data = [] if command == "info" else ["--data", synthetic_folder]
    assert "must be one that svmcifar wrote" in fail(command, "m.skops", *data)


def test_predict_split(model_path, synthetic_folder, synthetic_data):
    assert "200 predictions" in run("predict", model_path, "--data", synthetic_folder)
    table = pd.read_csv("predictions.csv")
    test = synthetic_data.read_split("test")
    assert table.predicted_id.tolist() == load_model(model_path).predict(test.images).tolist()
    assert table.true_id.tolist() == test.labels["coarse"].tolist()
    assert table.file.tolist() == test.filenames
    names = np.array(synthetic_data.class_names("coarse"))
    assert table.predicted_name.tolist() == names[table.predicted_id].tolist()
    assert "exists already" in fail("predict", model_path, "--data", synthetic_folder)


@pytest.mark.parametrize("slim", [False, True])
def test_predict_image_files(model_path, slim_path, synthetic_folder, synthetic_data, slim):
    test = synthetic_data.read_split("test")
    files = []
    for i, picture in enumerate(to_pictures(test.images[:4])):
        files.append(f"{i}.png")
        Image.fromarray(picture).save(files[-1])
    path = slim_path if slim else model_path
    # A full model needs no data set; a slim one does.
    data = ["--data", synthetic_folder] if slim else []
    lines = run("predict", path, *files, *data).splitlines()
    assert lines[0] == "file,predicted_id,predicted_name"
    expected = load_model(model_path).predict(test.images[:4]).tolist()
    assert [line.split(",")[:2] for line in lines[1:]] == [
        [file, str(c)] for file, c in zip(files, expected, strict=True)
    ]
    run("predict", path, *files, *data, "--out", "p.csv")
    assert pd.read_csv("p.csv").predicted_id.tolist() == expected


def test_predict_no_image(model_path, folder):
    (folder / "a.txt").write_text("no image")
    assert "a.txt: must be an image file" in fail("predict", model_path, "a.txt", "--out", "p.csv")
    assert not (folder / "p.csv").exists()


def test_show(model_path, synthetic_folder, folder):
    output = run("show", model_path, "--data", synthetic_folder, "--out", "grid.svg")
    assert "of 9 right" in output
    content = (folder / "grid.svg").read_text()
    assert "SYNTHETIC" in content
    assert content.count("<image") == 9
    assert "exists already" in fail("show", model_path, "--out", "grid.svg")
    assert ".png, .svg or .pdf" in fail("show", model_path, "--out", "grid.bmp")


def test_info_of_the_machine():
    output = run("info")
    assert f"numpy        {np.__version__}" in output
    for name in ("cupy", "cuml", "numba", "sklearn"):
        assert f"\n  {name}" in output
    assert "yes, auto" in output
    assert "free" in output


def test_info_of_a_model(model_path):
    output = run("info", model_path)
    manifest = json.loads(run("info", model_path, "--json"))
    assert f"content hash {manifest['content_hash']}" in output
    assert "SYNTHETIC stand-in" in output
    assert "190, 0 not converged" in output


@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_a_missing_gpu_is_told_first(model_path, synthetic_folder, folder, monkeypatch, command):
    monkeypatch.setattr(gpu, "why_no_cupy", lambda: "there is no NVIDIA GPU")
    error = fail(command, model_path, "--data", "nowhere", "--device", "gpu")
    assert error == (
        "Error: The GPU cannot be used here: there is no NVIDIA GPU. Work on the CPU instead."
    )
    assert not list(folder.iterdir())
    error = fail(command, model_path, "--device", "tpu", exit_code=2)
    assert "'--device': 'tpu' is not one of 'cpu', 'gpu'" in error


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning:array_api_strict")
def test_predictions_on_the_gpu(model_path, synthetic_folder, folder, monkeypatch):
    sent, _ = stand_in_for_gpu(monkeypatch)
    monkeypatch.setattr(gpu, "why_no_cupy", lambda: None)
    run("predict", model_path, "--data", synthetic_folder, "--out", "here.csv")
    here = run("evaluate", model_path, "--data", synthetic_folder)
    assert not sent
    run("predict", model_path, "--data", synthetic_folder, "--out", "there.csv", "--device", "gpu")
    there = run("evaluate", model_path, "--data", synthetic_folder, "--device", "gpu")
    assert [images.shape for images in sent] == [(200, 3072)] * 2
    assert (folder / "there.csv").read_text() == (folder / "here.csv").read_text()
    assert " s on the GPU, features" in there
    assert here.split("\npredicted ")[0] == there.split("\npredicted ")[0]
    Image.new("RGB", (40, 40), "red").save(folder / "red.png")
    assert "red.png," in run("predict", model_path, "red.png", "--device", "gpu")
    assert sent[2].shape == (1, 3072)


def test_evaluate_lists_all_classes_if_asked(train_small, synthetic_folder):
    save_model(train_small(label_kind="fine"), "fine.skops")
    short = run("evaluate", "fine.skops", "--data", synthetic_folder)
    whole = run("evaluate", "fine.skops", "--data", synthetic_folder, "--per-class")
    assert "best and worst 5" in short
    assert whole.count("\n") == short.count("\n") + 100 - 12
    assert re.search(r"predicted 200 images in \d+\.\d s, features included\n", short)


def test_features_found_in_the_cache_are_no_time_of_prediction(
    train_small, synthetic_folder, folder, monkeypatch
):
    save_model(train_small(), "m.skops")
    monkeypatch.setenv("SVMCIFAR_CACHE", str(folder / "cache"))
    monkeypatch.setenv("SVMCIFAR_CACHE_LIMIT", "1GB")
    monkeypatch.setattr(FeatureCache.__init__, "__defaults__", (0.0,))
    first, second = (run("evaluate", "m.skops", "--data", synthetic_folder) for _ in range(2))
    assert "features included\n" in first
    assert "features included, found in the cache\n" in second
