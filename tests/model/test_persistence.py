import copy
import io
import json
import pickle
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import skops.io
from sklearn.svm import SVC

from svmcifar.data.registry import open_dataset
from svmcifar.errors import ModelFileError, OutputError
from svmcifar.model import persistence
from svmcifar.model.classifier import ImageClassifier
from svmcifar.model.persistence import load_model, model_content_hash, read_manifest, save_model
from svmcifar.svm.estimator import RBFSVC


@pytest.fixture(scope="module")
def model(train_small):
    return train_small()


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "model.skops"
    save_model(model, path)
    return path


@pytest.fixture
def edit(saved, tmp_path):
    """Copy the model file with members replaced (None leaves one out)."""

    def edited(**members):
        path = tmp_path / "edited.skops"
        with zipfile.ZipFile(saved) as source, zipfile.ZipFile(path, "w") as target:
            for name in source.namelist():
                content = members.get(name.split(".")[0], source.read(name))
                if content is not None:
                    target.writestr(name, content)
        return path

    return edited


@pytest.mark.parametrize("slim", [False, True])
def test_probabilities_are_kept(train_small, synthetic_data, tmp_path, slim):
    model = train_small(RBFSVC(probability=True), n_components=12, augment="flip")
    path = tmp_path / "model.skops"
    save_model(model, path, slim=slim)
    again = load_model(path, synthetic_data)
    assert again.has_probabilities
    X = model.compute_features(synthetic_data.read_split("test").images)
    for loaded, expected in zip(
        again.predict_features_with_probabilities(X),
        model.predict_features_with_probabilities(X),
        strict=True,
    ):
        np.testing.assert_array_equal(loaded, expected)
        assert len(loaded) == 200


def test_without_probabilities_there_are_none(model, synthetic_data):
    X = model.compute_features(synthetic_data.read_split("test").images)
    ids, decisions, probabilities = model.predict_features_with_probabilities(X)
    assert not model.has_probabilities
    assert probabilities is None
    np.testing.assert_array_equal(ids, model.predict_features(X)[0])
    np.testing.assert_array_equal(decisions, model.predict_features(X)[1])


@pytest.mark.parametrize("slim", [False, True])
@pytest.mark.parametrize("settings", [{}, {"n_components": 12}, {"limit": 150, "seed": 3}])
def test_round_trip(train_small, synthetic_data, tmp_path, slim, settings):
    model = train_small(**settings)
    path = tmp_path / "deep" / "model.skops"
    save_model(model, path, slim=slim)
    again = load_model(path, synthetic_data)
    images = synthetic_data.read_split("test").images
    expected, loaded = model.predict_with_decisions(images), again.predict_with_decisions(images)
    np.testing.assert_array_equal(loaded[0], expected[0])
    np.testing.assert_array_equal(loaded[1], expected[1])
    np.testing.assert_array_equal(again.svc.support_vectors_, model.svc.support_vectors_)
    assert again.class_names == model.class_names
    assert again.superclass_of == model.superclass_of
    assert again.manifest.to_dict() == model.manifest.to_dict()
    assert again.manifest.slim is slim
    assert isinstance(again.svc.to_sklearn(), SVC)


def test_slim_is_smaller_and_of_the_same_content(model, saved, tmp_path):
    save_model(model, tmp_path / "slim.skops", slim=True)
    assert (tmp_path / "slim.skops").stat().st_size < saved.stat().st_size / 4
    slim, full = read_manifest(tmp_path / "slim.skops"), read_manifest(saved)
    assert slim.content_hash == full.content_hash


def test_another_process_predicts_the_same(model, saved, synthetic_folder, synthetic_data):
    code = (
        "import sys; from svmcifar import load_model, open_dataset\n"
        "images = open_dataset(sys.argv[2]).read_split('test').images\n"
        "predictions, decisions = load_model(sys.argv[1]).predict_with_decisions(images)\n"
        "sys.stdout.buffer.write(predictions.tobytes() + decisions.tobytes())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, saved, synthetic_folder], capture_output=True, check=True
    )
    expected = model.predict_with_decisions(synthetic_data.read_split("test").images)
    assert done.stdout == expected[0].tobytes() + expected[1].tobytes()


def test_content_does_not_depend_on_workers(train_small):
    hashes = {
        model_content_hash(train_small(RBFSVC(n_jobs=n, memory_limit="1GB"))) for n in (1, 2, 3)
    }
    assert len(hashes) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.svc.set_params(C=1.5),
        lambda m: m.svc.dual_coef_.__setitem__((0, 0), m.svc.dual_coef_[0, 0] + 1e-12),
        lambda m: m.svc.support_vectors_.__setitem__((0, 0), 9),
        lambda m: m.features[1].mean_.__setitem__(0, 0.123),
        lambda m: m.class_names.reverse(),
        lambda m: setattr(m, "label_kind", "fine"),
        lambda m: m.superclass_of.reverse(),
    ],
)
def test_content_hash_sees_every_change(train_small, change):
    model = train_small()
    before = model_content_hash(model)
    model.svc.set_params(n_jobs=1, verbose=True, memory_limit="2GB")
    assert model_content_hash(model) == before
    change(model)
    assert model_content_hash(model) != before


@pytest.mark.parametrize("name", ["probA_", "probB_"])
def test_content_hash_sees_the_sigmoids(train_small, name):
    plain = train_small()
    model = train_small(RBFSVC(probability=True))
    before = model_content_hash(model)
    assert before != model_content_hash(plain)
    getattr(model.svc, name)[7] += 1e-12
    assert model_content_hash(model) != before


def test_existing_output_is_kept(model, tmp_path):
    path = tmp_path / "model.skops"
    path.write_text("precious")
    with pytest.raises(OutputError, match="exists already"):
        save_model(model, path)
    assert path.read_text() == "precious"
    save_model(model, path, overwrite=True)
    assert zipfile.is_zipfile(path)


def test_failed_write_leaves_the_old_file(model, tmp_path, monkeypatch):
    path = tmp_path / "model.skops"
    path.write_text("precious")

    def fail(*args, **kwargs):
        raise RuntimeError("disk on fire")

    monkeypatch.setattr(persistence.np.lib.format, "write_array", fail)
    with pytest.raises(RuntimeError, match="disk on fire"):
        save_model(model, path, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["model.skops"]
    assert path.read_text() == "precious"


def _refused(path, match, dataset=None):
    with pytest.raises(ModelFileError, match=match) as caught:
        load_model(path, dataset)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(path))


def test_missing_file(tmp_path):
    _refused(tmp_path / "none.skops", "must exist")


@pytest.mark.parametrize("content", [b"no model at all", pickle.dumps({"a": 1})])
def test_foreign_file(tmp_path, content):
    (tmp_path / "m.skops").write_bytes(content)
    _refused(tmp_path / "m.skops", "must be one that svmcifar wrote")


def test_foreign_archives(tmp_path):
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.writestr("cat.png", "meow")
    _refused(tmp_path / "photos.zip", "must be one that svmcifar wrote")
    skops.io.dump(SVC(), tmp_path / "svc.skops")
    _refused(tmp_path / "svc.skops", "must be one that svmcifar wrote")


@pytest.mark.parametrize("share", [0, 0.2, 0.5, 0.9, 0.999])
def test_truncated_file(saved, tmp_path, share):
    content = saved.read_bytes()
    (tmp_path / "m.skops").write_bytes(content[: int(len(content) * share)])
    _refused(tmp_path / "m.skops", f"is truncated: it has {int(len(content) * share)} bytes")


@pytest.mark.parametrize("member", ["manifest.json", "model.skops", "support_vectors.npy"])
def test_flipped_byte(saved, tmp_path, member):
    content = bytearray(saved.read_bytes())
    with zipfile.ZipFile(saved) as archive:
        info = archive.getinfo(member)
    content[info.header_offset + 200 + info.file_size // 2] ^= 1
    (tmp_path / "m.skops").write_bytes(content)
    _refused(tmp_path / "m.skops", "damaged")


def test_altered_content_with_a_right_checksum(model, edit):
    buffer = io.BytesIO()
    np.save(buffer, model.svc.support_vectors_ * np.float32(1.001))
    _refused(edit(support_vectors=buffer.getvalue()), "must match its content hash")


@pytest.mark.parametrize(
    "members",
    [
        {"support_vectors": None},
        {"manifest": "{"},
        {"manifest": "[]"},
        {"manifest": "{}"},
        {"manifest": '{"format": 1}'},
        {"manifest": '{"format": Infinity}'},
        {"model": b"no zip"},
        {"model": skops.io.dumps({"features": 1})},
        {"model": skops.io.dumps([1, 2])},
    ],
)
def test_incomplete_file(edit, members):
    _refused(edit(**members), "damaged")


def test_incomplete_manifest_is_refused_before_it_is_shown(edit):
    path = edit(manifest='{"format": 1}')
    with pytest.raises(ModelFileError, match="damaged"):
        read_manifest(path)


def test_file_of_a_newer_release(saved, edit):
    manifest = read_manifest(saved).to_dict() | {"format": 99}
    _refused(edit(manifest=json.dumps(manifest)), "at most 5, got 99; upgrade")


@pytest.mark.parametrize("is_rounded", [False, True])
def test_support_vectors_of_half_precision_take_half_of_the_file(
    model, saved, synthetic_data, tmp_path, is_rounded
):
    """Without loss."""
    rounded, path = copy.copy(model), tmp_path / "rounded.skops"
    rounded.manifest = copy.copy(model.manifest)
    if is_rounded:
        rounded.svc = copy.copy(model.svc)
        rounded.svc.support_vectors_ = model.svc.support_vectors_.astype(np.float16).astype("f4")
    save_model(rounded, path)
    with zipfile.ZipFile(saved) as before, zipfile.ZipFile(path) as after:
        sizes = [before.getinfo(name).file_size for name in before.namelist()]
        found = [after.getinfo(name).file_size for name in after.namelist()]
        stored = np.load(io.BytesIO(after.read("support_vectors.npy")), allow_pickle=False)
    assert abs(found[2] - sizes[2] / (2 if is_rounded else 1)) < 200
    assert stored.itemsize == (2 if is_rounded else 4)
    loaded = load_model(path)
    assert loaded.svc.support_vectors_.dtype == np.float32
    np.testing.assert_array_equal(loaded.svc.support_vectors_, rounded.svc.support_vectors_)
    assert loaded.manifest.content_hash == model_content_hash(rounded)
    assert (loaded.manifest.content_hash == read_manifest(saved).content_hash) != is_rounded
    images = synthetic_data.read_split("test").images[:20]
    np.testing.assert_array_equal(loaded.predict(images), rounded.predict(images))


class _Evil:
    def __reduce__(self):
        import os

        return os.mkdir, ("evil-was-here",)


def test_foreign_types_are_not_built(edit, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _refused(edit(model=skops.io.dumps({"features": _Evil(), "svc": _Evil()})), "only known types")
    assert not (tmp_path / "evil-was-here").exists()


def test_slim_needs_its_own_data(model, tiny_dataset, tmp_path):
    path = tmp_path / "slim.skops"
    save_model(model, path, slim=True)
    _refused(path, "needs the data set it was trained on; pass --data")
    _refused(path, "pass the right --data", open_dataset(tiny_dataset))


@pytest.mark.parametrize("slim", [False, True])
def test_altered_coefficients_are_refused(train_small, synthetic_data, tmp_path, monkeypatch, slim):
    """As if somebody had changed the stored part and kept the hashes of the manifest."""
    model = train_small()
    honest = {
        "_stored_hash": persistence._stored_hash(model, _without_support_vectors(model.svc)),
        "model_content_hash": model_content_hash(model),
    }
    model.svc.dual_coef_ *= -1
    with monkeypatch.context() as patch:
        for name, value in honest.items():
            patch.setattr(persistence, name, lambda *_, value=value: value)
        save_model(model, tmp_path / "m.skops", slim=slim)
    _refused(tmp_path / "m.skops", "must match its content hash", synthetic_data)


def _without_support_vectors(svc):
    svc = copy.copy(svc)
    del svc.support_vectors_
    return svc


def test_rows_of_a_slim_file_are_hashed(train_small, synthetic_data, tmp_path, edit):
    model = train_small(limit=150)
    path = tmp_path / "slim.skops"
    save_model(model, path, slim=True)
    manifest = read_manifest(path)
    manifest.training.rows[0] += 1
    with zipfile.ZipFile(path) as source:
        stored = source.read("model.skops")
    with zipfile.ZipFile(path, "w") as target:
        target.writestr("manifest.json", json.dumps(manifest.to_dict()))
        target.writestr("model.skops", stored)
    _refused(path, "must match its content hash", synthetic_data)


def test_slim_with_other_features_is_refused(model, synthetic_data, tmp_path, monkeypatch):
    path = tmp_path / "slim.skops"
    save_model(model, path, slim=True)
    right = ImageClassifier.compute_training_features
    monkeypatch.setattr(
        ImageClassifier, "compute_training_features", lambda *a: right(*a) * np.float32(1.01)
    )
    _refused(path, "must match its content hash", synthetic_data)


def test_slim_tells_of_other_rounding(model, synthetic_data, tmp_path, monkeypatch):
    path = tmp_path / "slim.skops"
    save_model(model, path, slim=True)
    right = ImageClassifier.compute_training_features
    monkeypatch.setattr(
        ImageClassifier,
        "compute_training_features",
        lambda *a: np.nextafter(right(*a), np.float32(9)),
    )
    with pytest.warns(UserWarning, match="last digits"):
        load_model(path, synthetic_data)
