import json
import pickle
import re
import shlex
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from clirun import fail, run
from datafiles import make_fields, write_fields

from svmcifar.cli import main
from svmcifar.features.extract.pixels import RawPixels
from svmcifar.model.classifier import ImageClassifier
from svmcifar.model.persistence import load_model, read_manifest
from svmcifar.model.train import count_held_out

pytestmark = pytest.mark.usefixtures("folder")


def test_train_tells_what_it_did(synthetic_folder, folder):
    output = run("train", "--data", synthetic_folder)
    manifest = read_manifest("model.skops")
    for expected in (
        "data         SYNTHETIC stand-in",
        "labels       coarse, map in data/labels-SYNTHETIC.csv",
        "500 samples, 190 pairs",
        "saved        model.skops (",
        "), card model.skops.md, ",
        "trained on SYNTHETIC data",
    ):
        assert expected in output
    *_, time, _, following = output.splitlines()
    assert re.fullmatch(r"time         \d+\.\d s in all", time)
    assert following == f"next         svmcifar evaluate model.skops --data {synthetic_folder}"
    for_authors = (
        "memory plan  whole kernel matrix, blocks within classes kept, ",
        "every pair converged",
        "BLAS         ",
        f"content hash {manifest.content_hash}",
    )
    assert not any(words in output for words in for_authors)
    output = run("train", "--data", synthetic_folder, "--overwrite", "--verbose")
    assert all(words in output for words in for_authors)
    assert len((folder / "data/labels-SYNTHETIC.csv").read_text().splitlines()) == 101
    assert manifest.fit.backend == "numba"


def test_options_reach_the_model(synthetic_folder):
    run(
        "train", "--data", synthetic_folder, "--labels", "fine", "--pca", 9, "--C", 2.5,
        "--gamma", 0.01, "--tol", 0.01, "--class-weight", "balanced", "--limit", 300, "--seed", 4,
        "--backend", "sklearn", "--jobs", 1, "--slim", "--out", "runs/fine.skops",
        "--label-csv", "runs/map.csv", "--memory-limit", "1GB", "--max-iter", 100000,
    )  # fmt: skip
    manifest = read_manifest("runs/fine.skops")
    parameters = manifest.training.parameters
    assert (parameters["C"], parameters["gamma"], parameters["tol"]) == (2.5, 0.01, 0.01)
    assert (parameters["class_weight"], parameters["max_iter"]) == ("balanced", 100000)
    assert (manifest.fit.n_features, manifest.fit.n_samples) == (9, 300)
    assert (manifest.fit.n_pairs, manifest.training.seed) == (4950, 4)
    assert (manifest.fit.backend, manifest.slim) == ("sklearn", True)


def test_gamma_by_name(synthetic_folder):
    run("train", "--data", synthetic_folder, "--gamma", "auto")
    assert read_manifest("model.skops").fit.gamma == 1 / 3072


@pytest.mark.parametrize("backend", ["sklearn", "numba"])
def test_backends_predict_alike(synthetic_folder, synthetic_data, backend):
    run("train", "--data", synthetic_folder, "--backend", backend, "--tol", 1e-6)
    run("train", "--data", synthetic_folder, "--tol", 1e-6, "--out", "auto.skops")
    images = synthetic_data.read_split("test").images
    np.testing.assert_array_equal(
        load_model("model.skops").predict(images), load_model("auto.skops").predict(images)
    )


def test_memory_plan_is_told(synthetic_folder):
    solver = ("--backend", "sklearn", "--verbose")
    output = run("train", "--data", synthetic_folder, *solver, "--limit", 200)
    assert "memory plan  the backend's own\n" in output
    assert read_manifest("model.skops").fit.memory_plan is None


def test_hash_does_not_depend_on_workers(synthetic_folder):
    for jobs in (1, 2, 3):
        run("train", "--data", synthetic_folder, "--jobs", jobs, "--out", f"{jobs}.skops")
    assert len({read_manifest(f"{jobs}.skops").content_hash for jobs in (1, 2, 3)}) == 1


def test_every_backend_can_be_chosen():
    from svmcifar.cli.train import command
    from svmcifar.svm.backends.registry import BACKENDS

    (backend,) = [option for option in command.params if option.name == "backend"]
    assert {*backend.type.choices, "dask"} == {"auto", *BACKENDS}  # --dask names a scheduler


def test_cuml_falls_back_with_one_loud_line(synthetic_folder, monkeypatch):
    from svmcifar.svm.backends import registry

    reason = "the package cuml is not installed"
    broken = registry.Backend("cuml", "", lambda: reason, registry.BACKENDS["cuml"].load)
    monkeypatch.setitem(registry.BACKENDS, "cuml", broken)
    arguments = ["train", "--data", str(synthetic_folder), "--backend", "cuml"]
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    (line,) = [line for line in result.stderr.splitlines() if "cuml" in line]
    assert line.startswith(f"WARNING: backend 'cuml' does not work here: {reason}.")
    assert "--backend numba" in line
    assert read_manifest("model.skops").fit.backend == "sklearn"
    error = fail(*arguments, "--strict", "--overwrite")
    assert f"'cuml' does not work here: {reason}" in error


def test_unconverged_pairs_are_not_silent(synthetic_folder):
    arguments = ["train", "--data", str(synthetic_folder), "--max-iter", "3"]
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert "190 of 190 pairs ended with a KKT gap above tol=0.001" in result.stderr
    assert "190 pairs NOT converged" in result.stdout


@pytest.mark.parametrize("options", [[], ["--overwrite"]])
def test_the_label_map_is_not_written_over(synthetic_folder, folder, options):
    train = ("train", "--data", synthetic_folder, "--limit", 100, *options)
    assert "must not be a file that" in fail(*train, "--out", "same", "--label-csv", "same")
    run(*train)
    default = "data/labels-SYNTHETIC.csv"
    before = (folder / default).read_bytes()
    assert "must not be a file that" in fail(*train, "--out", default, "--overwrite")
    assert (folder / default).read_bytes() == before


def test_label_csv_is_read_and_refused_if_wrong(synthetic_folder, folder):
    csv = folder / "map.csv"
    run("build-labels", "--data", synthetic_folder, "--out", csv)
    lines = csv.read_text().splitlines()
    run("train", "--data", synthetic_folder, "--label-csv", csv)
    fine, name, coarse, _ = lines[4].split(",")
    other = next(x.split(",") for x in lines[1:] if x.split(",")[2] != coarse)
    lines[4] = ",".join([fine, name, other[2], other[3]])
    csv.write_text("\n".join(lines) + "\n")
    error = fail("train", "--data", synthetic_folder, "--label-csv", csv, "--out", "b.skops")
    assert "map.csv" in error
    assert "build-labels --overwrite" in error
    assert not (folder / "b.skops").exists()


BAD_USAGE = [
    (["--C", "0"], "'--C'"),
    (["--C", "-1"], "'--C'"),
    (["--tol", "0"], "'--tol'"),
    (["--gamma", "0"], "'--gamma'"),
    (["--gamma", "big"], "'--gamma'"),
    (["--backend", "tpu"], "'--backend'"),
    (["--labels", "medium"], "'--labels'"),
    (["--pca", "0"], "'--pca'"),
    (["--jobs", "0"], "'--jobs'"),
    (["--seed", "-1"], "'--seed'"),
    (["--C", "nan"], "'--C'"),
    (["--C", "inf"], "'--C'"),
    (["--gamma", "inf"], "'--gamma'"),
    (["--tol", "nan"], "'--tol'"),
    (["--features", "sift"], "'--features'"),
    (["--whiten", "1.1"], "'--whiten'"),
    (["--whiten", "-0.1"], "'--whiten'"),
    (["--whiten", "nan"], "'--whiten'"),
    (["--augment", "rotate"], "'--augment'"),
]


@pytest.mark.parametrize(("arguments", "option"), BAD_USAGE)
def test_bad_usage(synthetic_folder, folder, arguments, option):
    error = fail("train", "--data", synthetic_folder, *arguments, exit_code=2)
    assert f"Invalid value for {option}" in error
    assert not list(folder.iterdir())


BAD_VALUES = [
    (["--backend", "cupy", "--strict"], "'cupy' does not work here"),
    (["--backend", "cupy"], "'cupy' does not work here"),
    (["--memory-limit", "lots"], "memory limit must be a number of bytes"),
    (["--memory-limit", "1kB"], "memory limit must be at least"),
    (["--limit", "99"], "from 100, one a class, to 500. Got 99"),
    (["--limit", "501"], "from 100, one a class, to 500. Got 501"),
    (["--pca", "501"], "at most 500 components"),
    (["--data", "nowhere"], "nowhere"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD_VALUES)
def test_bad_values(synthetic_folder, folder, arguments, message):
    assert message in fail("train", "--data", synthetic_folder, *arguments)
    assert not (folder / "model.skops").exists()


def test_missing_data_names_the_remedies(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    error = fail("train")
    assert "svmcifar download" in error
    assert "--data" in error


def test_existing_output_is_refused_first(folder):
    (folder / "model.skops").write_text("precious")
    assert "exists already; pass --overwrite" in fail("train", "--data", "nowhere")
    assert (folder / "model.skops").read_text() == "precious"


def test_truncated_pickle(altered, folder):
    (altered / "train").write_bytes((altered / "train").read_bytes()[:1000])
    assert "md5" in fail("train", "--data", altered)
    assert "must be a whole pickle" in fail("train", "--data", altered, "--skip-md5")
    assert not (folder / "model.skops").exists()


def test_altered_data_needs_skip_md5(altered):
    write_fields(altered / "train", make_fields("train", seed=9))
    assert "--skip-md5" in fail("train", "--data", altered)
    run("train", "--data", altered, "--skip-md5")
    assert read_manifest("model.skops").data.label == "modified CIFAR-100"


def test_pickle_with_code_is_not_executed(altered, folder):
    class Evil:
        def __reduce__(self):
            return shutil.copytree, (str(altered), str(folder / "stolen"))

    (altered / "train").write_bytes(pickle.dumps({"data": Evil()}, protocol=2))
    assert "copytree" in fail("train", "--data", altered, "--skip-md5")
    assert not (folder / "stolen").exists()


def test_nan_features(synthetic_folder, folder, monkeypatch):
    monkeypatch.setattr(
        RawPixels, "transform", lambda self, images: np.full(images.shape, np.nan, "f4")
    )
    error = fail("train", "--data", synthetic_folder)
    assert "NaN" in error
    assert not (folder / "model.skops").exists()


def test_manifest_is_complete_json(synthetic_folder):
    run("train", "--data", synthetic_folder)
    manifest = json.loads(run("info", "model.skops", "--json"))
    assert set(manifest) == {
        "created", "versions", "git_commit", "host", "data", "training", "fit", "times",
        "format", "slim", "content_hash", "stored_hash",
    }  # fmt: skip


def test_images_that_were_left_out_are_scored(synthetic_folder, synthetic_data):
    output = run("train", "--data", synthetic_folder, "--limit", 300, "--pca", 20)
    model, train = load_model("model.skops"), synthetic_data.read_split("train")
    left_out = np.setdiff1d(np.arange(500), model.manifest.training.rows)
    right = (model.predict(train.images[left_out]) == train.labels["coarse"][left_out]).mean()
    assert f"accuracy     {right:.2%} of 200 training images that --limit left out" in output
    output = run("train", "--data", synthetic_folder, "--limit", 500, "--out", "all.skops")
    assert "accuracy" not in output


def test_few_of_many_left_out_images_are_drawn_evenly(train_small, synthetic_data, monkeypatch):
    model, train = train_small(limit=200), synthetic_data.read_split("train")
    left_out = np.setdiff1d(np.arange(500), model.manifest.training.rows)
    asked = []

    def predict(self, images):
        asked.append(images)
        return np.zeros(len(images))

    monkeypatch.setattr(ImageClassifier, "predict", predict)
    assert count_held_out(model, train, n_most=100)[1] == 100
    by_image = {image.tobytes(): row for row, image in enumerate(train.images)}
    rows = [by_image[image.tobytes()] for image in asked[0]]
    assert set(rows) <= set(left_out)
    assert len(set(train.classes[rows])) == 100


def test_the_next_command_can_be_pasted(synthetic_folder):
    run("train", "--data", synthetic_folder, "--limit", 100, "--out", "a b.skops", "--skip-md5")
    output = run("train", "--data", synthetic_folder, "--limit", 100, "--out", "it's.skops")
    command = shlex.split(output.splitlines()[-1].removeprefix("next "))
    assert command == ["svmcifar", "evaluate", "it's.skops", "--data", str(synthetic_folder)]
    assert "images, 20 superclasses" in run(*command[1:])


def test_few_images_lower_the_components_of_a_preset(synthetic_folder):
    arguments = ["train", "--preset", "hog", "--limit", "150", "--data", str(synthetic_folder)]
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    said = "150 images have 149 principal components: lowered"
    assert f"WARNING: {said} pca 512 to 149, ridge-pca 2048 to none." in result.stderr
    features = read_manifest("model.skops").training.features
    assert (features.n_components, features.ridge_components) == (149, None)
    some = [*arguments, "--overwrite", "--pca", "100"]
    assert "lowered ridge-pca 2048 to 149." in CliRunner().invoke(main, some).stderr
    asked = "PCA can keep at most 150 components of 150 images. Got 400 instead"
    assert asked in fail(*arguments, "--overwrite", "--pca", "300", "--ridge-pca", "400")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--gamma", "foo"], "'foo' is neither 'scale', 'auto' nor a number."),
        (["--gamma", "-1"], "-1.0 is not in the range x>0."),
        (["--gamma", "nan"], "nan is not finite."),
        (["--memory-limit", "2"], "2 has no unit; write 2GB, 2MB or 2B."),
    ],
)
def test_values_are_refused_with_those_that_there_are(arguments, expected):
    assert expected in fail("train", *arguments, exit_code=2)


def test_labels_that_contradict_one_another_leave_the_classes(altered, folder):
    fields = make_fields("train")
    fields["coarse_labels"] = np.random.default_rng(0).permutation(fields["coarse_labels"])
    write_fields(altered / "train", fields, protocol=4)
    data = ("--data", altered, "--skip-md5")
    for command in ("train", "build-labels"):
        error = fail(command, *data)
        assert "each of the 100 fine classes must lie in one superclass, got fine class" in error
        assert error.endswith(", or pass --labels fine")
    output = run("train", *data, "--labels", "fine")
    assert "labels       fine, map not written, since superclasses contradict" in output
    made = sorted(path.name for path in folder.iterdir() if path.name != altered.name)
    assert made == ["model.skops", "model.skops.md"]
    assert "test images, 100 classes" in run("evaluate", "model.skops", *data)
    assert "100 predictions" in run("predict", "model.skops", *data)


def test_a_working_folder_that_cannot_be_written_is_no_obstacle(synthetic_folder, folder):
    (folder / "data").write_text("in the way of data/labels.csv")
    train = ("train", "--data", synthetic_folder, "--limit", 100)
    output = run(*train, "--out", folder / "model.skops")
    assert "labels       coarse, map not written: name a file with --label-csv\n" in output
    assert sorted(path.name for path in folder.iterdir()) == [
        "data",
        "model.skops",
        "model.skops.md",
    ]
    error = fail(*train, "--out", "b.skops", "--label-csv", "data/labels.csv")
    assert "data/labels.csv: an output must be writable" in error


def test_a_working_folder_that_is_gone_is_one_line(folder, monkeypatch):
    (folder / "gone").mkdir()
    monkeypatch.chdir(folder / "gone")
    (folder / "gone").rmdir()
    assert "the working folder must exist, got 'No such file" in fail("train")
    monkeypatch.chdir(folder)
