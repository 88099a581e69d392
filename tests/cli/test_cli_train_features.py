"""Options of features: from the command line to the model."""

import pytest
from clirun import fail, run
from feature_options import quick_features

from svmcifar.features.extract.patches import PatchFeatures
from svmcifar.features.kinds import KINDS
from svmcifar.model.persistence import load_model, read_manifest

pytestmark = pytest.mark.usefixtures("folder")


@pytest.fixture
def few_histograms(monkeypatch):
    """Make "hog" few features, whose PCA is quick."""
    with quick_features():
        monkeypatch.setitem(KINDS, "hog", ("hog", KINDS["cells"][1]))
        yield


def test_features_reach_the_model(synthetic_folder, few_histograms):
    output = run(
        "train", "--data", synthetic_folder, "--features", "hog", "--pca", 12, "--whiten", 0.5,
        "--augment", "flip", "--limit", 200, "--slim",
    )  # fmt: skip
    assert "features     hog > standardize > pca > whiten^0.5: 12 a sample, " in output
    assert (
        "fit          200 samples (images, which imply their mirror images), 190 pairs, " in output
    )
    training = read_manifest("model.skops").training.to_dict()
    assert (training["features"], training["n_components"]) == (["hog"], 12)
    assert (training["whiten"], training["augment"]) == (0.5, "flip")
    described = run("info", "model.skops")
    assert "samples      200 x 12, images, which imply their mirror images, drawn\n" in described
    assert "features     hog\n" in described
    assert "PCA          12 components, divided by deviation^0.5\n" in described
    assert "class scores none\n" in described
    assert "right" in run("show", "model.skops", "--data", synthetic_folder)
    assert "200 predictions" in run("predict", "model.skops", "--data", synthetic_folder)
    assert "accuracy" in run("evaluate", "model.skops", "--data", synthetic_folder)


def test_info_tells_how_features_were_made(synthetic_folder):
    scores = ("--pca", 10, "--ridge-scores", 0.5, "--ridge-pca", 20, "--seed", 7)
    run("train", "--data", synthetic_folder, "--limit", 200, *PATCHES, *scores)
    described = run("info", "model.skops")
    for line in (
        "preset       none",
        "seed         7",
        "features     patches (patches: n_filters=4, ",
        "class scores weight 0.5, by ridge regression on 20 components",
    ):
        assert f"\n{line}" in described


def test_features_are_concatenated_in_order(synthetic_folder):
    kinds = ["--features", "hog", "--features", "raw"]
    output = run("train", "--data", synthetic_folder, *kinds, "--limit", 200)
    assert "features     hog + pixels > standardize: 4836 a sample, " in output
    assert "features     hog + raw\n" in run("info", "model.skops")


PATCHES = ["--features", "patches", "--filters", 4, "--pooling", 2, "--filter-kind", "random"]


def test_patches_reach_the_model(synthetic_folder):
    arguments = ["--data", synthetic_folder, "--limit", 100, *PATCHES, "--jobs", 2]
    output = run("train", *arguments, "--patch-size", 8, "--patch-size", 5, "--threshold", 0.25)
    assert "features     patches8 + patches5 > standardize: 64 a sample, " in output
    training = read_manifest("model.skops").training.to_dict()
    assert training["feature_settings"] == {
        "patches": {
            "n_filters": 4, "pooling": 2, "filters": "random", "patch_size": [8, 5],
            "threshold": 0.25,
        },
    }  # fmt: skip
    stack = load_model("model.skops").features.named_steps["stack"]
    for size, (_, patches) in zip((8, 5), stack.transformers, strict=True):
        assert patches.filters_.shape == (4, 3 * size * size)
        assert (patches.threshold, patches.pooling, patches.filters) == (0.25, 2, "random")
    assert "200 predictions" in run("predict", "model.skops", "--data", synthetic_folder)


def test_jobs_reach_the_features(synthetic_folder, monkeypatch):
    worked_with, transform = [], PatchFeatures.transform

    def recorded(self, images):
        worked_with.append(self.n_jobs)
        return transform(self, images)

    monkeypatch.setattr(PatchFeatures, "transform", recorded)
    data = ("--data", synthetic_folder)
    run("train", *data, "--limit", 100, *PATCHES, "--jobs", 2, "--slim")
    assert set(worked_with) == {2}
    worked_with.clear()
    run("predict", "model.skops", *data, "--jobs", 1)  # its support vectors are computed too
    assert set(worked_with) == {1}
    run("train", *data, "--limit", 100, *PATCHES, "--overwrite")
    opened = load_model("model.skops", n_jobs=3)
    assert opened.features.named_steps["patches"].n_jobs == opened.svc.n_jobs == 3
    assert load_model("model.skops").features.named_steps["patches"].n_jobs is None


def test_options_of_histograms_reach_the_model(synthetic_folder):
    hog = ["--features", "hog", "--hog-cell", 8, "--hog-orientations", 5]
    output = run("train", "--data", synthetic_folder, "--limit", 100, *hog)
    assert "features     hog > standardize: 180 a sample, " in output
    settings = read_manifest("model.skops").training.features.parameters
    assert settings == {"hog": {"pixels_per_cell": [8, 8], "orientations": 5}}


def test_features_by_default(synthetic_folder):
    output = run("train", "--data", synthetic_folder)
    assert "features     pixels > standardize: 3072 a sample, " in output
    assert "fit          500 samples, " in output
    training = read_manifest("model.skops").training.to_dict()
    assert (training["features"], training["whiten"], training["augment"]) == (["raw"], 0.0, None)
    described = run("info", "model.skops")
    assert "samples      500 x 3072\n" in described
    assert "features     raw\n" in described
    assert "PCA          none\n" in described


BAD_VALUES = [
    (["--whiten", "0.5", "--data", "nowhere"], "Whitening needs principal components"),
    (["--features", "hog", "--features", "hog", "--data", "nowhere"], "Got hog, hog instead"),
    (["--pooling", "2", "--data", "nowhere"], "no effect without --features patches. Got 2 with"),
    (["--features", "hog", "--filters", "9"], "no effect without --features patches. Got 9 with"),
    ([*PATCHES, "--patch-size", "7", "--patch-size", "7"], "each once. Got 7, 7 instead"),
    ([*PATCHES, "--pooling", "28"], "'pooling' parameter of PatchFeatures must be at most 27"),
    (
        [*PATCHES, "--patch-size", "33"],
        "'patch_size' parameter of PatchFeatures must be at most 32",
    ),
    (["--features", "hog", "--hog-cell", "17"], "must fit an image of 32 x 32 pixels. Got"),
    (["--features", "hog", "--pca", "501"], "at most 500 components of 500 images. Got 501"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD_VALUES)
def test_bad_values(synthetic_folder, folder, arguments, message):
    assert message in fail("train", "--data", synthetic_folder, *arguments)
    assert not (folder / "model.skops").exists()
