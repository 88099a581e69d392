"""Model files with other features than raw pixels, with mirror images, and of format 1."""

import io
import json
import zipfile

import numpy as np
import pytest
import skops.io
from feature_options import ALL, KERNEL_SCORES, OPTIONS, PATCH_SCORES, SCORES, quick_features

from svmcifar import SVC
from svmcifar.errors import ModelFileError
from svmcifar.features import kinds
from svmcifar.features.reduce.ridge_scores import RidgeScores
from svmcifar.io.content_hash import content_hash
from svmcifar.model import persistence
from svmcifar.model.persistence import load_model, model_content_hash, read_manifest, save_model

SAVED = {**OPTIONS, "scores of shifted patches": {**PATCH_SCORES, "augment": "flip-shift"}}
# What manifests of format 1 did not have.
_BEFORE_FEATURES = {
    "preset": None, "features": ["raw"], "feature_settings": {}, "whiten": 0.0,
    "ridge_scores": 0.0, "ridge_components": None, "augment": None, "feature_dtype": "float32",
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _quick_features():
    with quick_features():
        yield


def rewritten(path, target, *, manifest=None, content=None):
    """Copy a model file with its manifest and content changed."""
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w") as archive:
        for name in source.namelist():
            data = source.read(name)
            if name == "manifest.json" and manifest:
                data = json.dumps(manifest(json.loads(data)))
            if name == "model.skops" and content:
                data = skops.io.dumps(
                    content(skops.io.loads(data, [*kinds.TRUSTED, "svmcifar.RBFSVC"]))
                )
            archive.writestr(name, data)
    return target


def before_features(manifest):
    """Make a manifest what it was before there were any features but raw pixels."""
    training = {
        key: value for key, value in manifest["training"].items() if key not in _BEFORE_FEATURES
    }
    return manifest | {"format": 1, "training": training}


def without_augment(content):
    return {key: value for key, value in content.items() if key != "augment"}


@pytest.fixture(scope="module")
def flipped(train_small):
    return train_small(augment="flip", limit=200)


@pytest.fixture(scope="module")
def scored(train_small):
    return train_small(limit=200, **SCORES)


@pytest.mark.parametrize("slim", [False, True])
@pytest.mark.parametrize("options", SAVED.values(), ids=list(SAVED))
def test_round_trip(train_small, synthetic_data, tmp_path, slim, options):
    model = train_small(limit=300, seed=3, **options)
    save_model(model, tmp_path / "model.skops", slim=slim)
    again = load_model(tmp_path / "model.skops", synthetic_data)
    images = synthetic_data.read_split("test").images
    for loaded, expected in zip(
        again.predict_with_decisions(images), model.predict_with_decisions(images), strict=True
    ):
        np.testing.assert_array_equal(loaded, expected)
    np.testing.assert_array_equal(again.svc.support_vectors_, model.svc.support_vectors_)
    assert again.augment == options.get("augment")
    assert again.manifest.to_dict() == model.manifest.to_dict()
    assert model_content_hash(again) == model_content_hash(model)


@pytest.mark.parametrize("options", [ALL, SCORES])
def test_slim_without_a_draw(train_small, synthetic_data, tmp_path, options):
    model = train_small(**options)
    save_model(model, tmp_path / "slim.skops", slim=True)
    again = load_model(tmp_path / "slim.skops", synthetic_data)
    np.testing.assert_array_equal(again.svc.support_vectors_, model.svc.support_vectors_)
    with zipfile.ZipFile(tmp_path / "slim.skops") as archive:
        assert archive.namelist() == ["manifest.json", "model.skops"]


@pytest.mark.parametrize("slim", [False, True])
@pytest.mark.parametrize("settings", [{}, {"label_kind": "fine", "limit": 200}])
def test_file_of_format_1(train_small, synthetic_data, tmp_path, slim, settings):
    model = train_small(**settings)
    save_model(model, tmp_path / "new.skops", slim=slim)
    old = rewritten(
        tmp_path / "new.skops", tmp_path / "old.skops",
        manifest=before_features, content=without_augment,
    )  # fmt: skip
    with zipfile.ZipFile(old) as archive:
        assert "augment" not in json.loads(archive.read("manifest.json"))["training"]
    training = read_manifest(old).training.to_dict()
    assert {key: training[key] for key in _BEFORE_FEATURES} == _BEFORE_FEATURES
    again = load_model(old, synthetic_data)
    assert again.augment is None
    images = synthetic_data.read_split("test").images
    np.testing.assert_array_equal(again.predict(images), model.predict(images))
    save_model(again, tmp_path / "again.skops", slim=slim)
    assert read_manifest(tmp_path / "again.skops") == read_manifest(tmp_path / "new.skops")


def test_what_a_manifest_of_format_2_lacks(flipped, tmp_path):
    save_model(flipped, tmp_path / "new.skops")
    missing = {"preset", "feature_settings", "ridge_scores", "ridge_components", "feature_dtype"}

    def older(manifest):
        return manifest | {
            "training": {k: v for k, v in manifest["training"].items() if k not in missing}
        }

    old = rewritten(tmp_path / "new.skops", tmp_path / "old.skops", manifest=older)
    assert read_manifest(old) == read_manifest(tmp_path / "new.skops")


@pytest.mark.parametrize("number", [1, 2])
def test_damaged_training_in_a_manifest(train_small, tmp_path, number):
    save_model(train_small(limit=200), tmp_path / "new.skops")
    for training in (None, [], "raw", {}, {"features": ["raw"]}):
        old = rewritten(
            tmp_path / "new.skops", tmp_path / "old.skops",
            manifest=lambda m, t=training: m | {"format": number, "training": t},
        )  # fmt: skip
        with pytest.raises(ModelFileError, match="damaged"):
            read_manifest(old)


def test_hash_without_mirror_images_is_that_of_format_1(train_small, flipped):
    model = train_small(limit=200)
    parts = (model.features, model.svc, model.label_kind, model.class_names, model.superclass_of)
    assert model_content_hash(model) == content_hash(*parts)
    plain = model_content_hash(flipped)
    flipped.augment = None
    try:
        assert model_content_hash(flipped) != plain
    finally:
        flipped.augment = "flip"


@pytest.mark.parametrize("slim", [False, True])
@pytest.mark.parametrize("augment", [None, "rotate", "flip-shift"])
def test_altered_augmentation_is_refused(flipped, synthetic_data, tmp_path, slim, augment):
    save_model(flipped, tmp_path / "flip.skops", slim=slim)
    altered = rewritten(
        tmp_path / "flip.skops", tmp_path / "altered.skops",
        content=lambda c: c | {"augment": augment},
    )  # fmt: skip
    with pytest.raises(ModelFileError, match="must match its content hash"):
        load_model(altered, synthetic_data)


@pytest.mark.parametrize("slim", [False, True])
@pytest.mark.parametrize("name", ["coef_", "intercept_", "fold_coef_", "fold_intercept_"])
def test_altered_class_scores_are_refused(scored, synthetic_data, tmp_path, slim, name):
    """Those of new images, and those that only a slim file's support vectors come from."""
    save_model(scored, tmp_path / "scored.skops", slim=slim)

    def alter(content):
        array = getattr(content["features"].named_steps["scores"], name)
        array.flat[0] = np.nextafter(array.flat[0], np.float32(9))
        return content

    altered = rewritten(tmp_path / "scored.skops", tmp_path / "altered.skops", content=alter)
    with pytest.raises(ModelFileError, match="must match its content hash"):
        load_model(altered, synthetic_data)


def test_slim_files_need_the_scores_out_of_fold(scored, synthetic_data, tmp_path, monkeypatch):
    """Support vectors with the scores of new images are not those that were trained on."""
    save_model(scored, tmp_path / "slim.skops", slim=True)

    def as_new(self, X):
        return self.transform(X)

    monkeypatch.setattr(RidgeScores, "transform_training", as_new)
    with pytest.raises(ModelFileError, match="must match its content hash"):
        load_model(tmp_path / "slim.skops", synthetic_data)


def stored_columns(path):
    with zipfile.ZipFile(path) as archive:
        return np.load(io.BytesIO(archive.read("support_vectors.npy"))).shape[1]


def test_samples_of_kernel_scores_stand_in_a_file_once(train_small, tmp_path):
    """Support vectors are rows of them, after their scores, to the bit; else they are written."""
    model, path = train_small(limit=200, **KERNEL_SCORES), tmp_path / "model.skops"
    save_model(model, path)
    assert stored_columns(path) == 100  # scores of all classes
    np.testing.assert_array_equal(load_model(path).svc.support_vectors_, model.svc.support_vectors_)
    support = model.svc.support_vectors_
    support[3, -1] = np.nextafter(support[3, -1], 1)
    save_model(model, path, overwrite=True)
    assert stored_columns(path) == support.shape[1] == 120
    np.testing.assert_array_equal(load_model(path).svc.support_vectors_, support)


def test_support_vectors_that_are_mirror_images_are_written(train_small, tmp_path):
    model, path = train_small(SVC(kernel="laplacian"), limit=200, **KERNEL_SCORES), tmp_path / "m"
    assert model.svc.support_.max() >= len(model.features[-1].samples_) == 200
    save_model(model, path)
    assert stored_columns(path) == 120
    np.testing.assert_array_equal(load_model(path).svc.support_vectors_, model.svc.support_vectors_)


@pytest.mark.parametrize(
    "forge",
    {
        "other samples": lambda m: m.features[-1].samples_.sort(axis=0),
        "too few samples": lambda m: setattr(m.features[-1], "samples_", np.zeros((3, 20), "f4")),
        "no samples": lambda m: setattr(m.features[-1], "samples_", None),
        "narrow samples": lambda m: setattr(m.features[-1], "samples_", m.features[-1].samples_.T),
    }.items(),
    ids=lambda item: item[0],
)
def test_forged_samples_of_kernel_scores_are_refused(train_small, tmp_path, monkeypatch, forge):
    model, path = train_small(limit=200, **KERNEL_SCORES), tmp_path / "forged.skops"
    n_own = 100
    forge[1](model)
    # As if the support vectors had been those samples.
    monkeypatch.setattr(
        persistence, "_without_held", lambda model: model.svc.support_vectors_[:, :n_own]
    )
    save_model(model, path)
    with pytest.raises(ModelFileError, match=r"forged\.skops"):
        load_model(path)
