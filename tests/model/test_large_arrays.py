"""Large arrays of features are members of a model file by themselves."""

import io
import zipfile

import numpy as np
import pytest
from feature_options import KERNEL_SCORES, OPTIONS, PATCH_SCORES, quick_features

from svmcifar.errors import ModelFileError
from svmcifar.features.transfer import single_steps
from svmcifar.model import large_arrays
from svmcifar.model.persistence import load_model, model_content_hash, save_model

LEAST_BYTES = 5000


@pytest.fixture(scope="module", autouse=True)
def _quick_features():
    with quick_features():
        yield


@pytest.fixture(scope="module", params=[KERNEL_SCORES, PATCH_SCORES, OPTIONS["two layers"]])
def model(request, train_small):
    return train_small(limit=200, **request.param)


@pytest.fixture(autouse=True)
def _small_is_large(monkeypatch):
    monkeypatch.setattr(large_arrays, "_LEAST_BYTES", LEAST_BYTES)


def large(model):
    """The large arrays of a model's features."""
    values = [value for step in single_steps(model.features.steps) for value in vars(step).values()]
    return [v for v in values if isinstance(v, np.ndarray) and v.nbytes >= LEAST_BYTES]


def members(path):
    """The content of each member of a file, by name."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def written(path, content):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize("slim", [False, True])
def test_round_trip(model, synthetic_data, tmp_path, slim):
    before = model_content_hash(model)
    save_model(model, tmp_path / "model.skops", slim=slim)
    assert model_content_hash(model) == before  # its own arrays are where they were
    found = [name for name in members(tmp_path / "model.skops") if name.startswith("features/")]
    assert len(found) == len(large(model)) > 0
    again = load_model(tmp_path / "model.skops", synthetic_data)
    assert model_content_hash(again) == before
    images = synthetic_data.read_split("test").images
    np.testing.assert_array_equal(again.predict(images), model.predict(images))


def test_they_are_nowhere_else(model, tmp_path, monkeypatch):
    """And files that have them with the rest are read too."""
    save_model(model, tmp_path / "apart.skops")
    monkeypatch.setattr(large_arrays, "_LEAST_BYTES", np.inf)
    save_model(model, tmp_path / "together.skops")
    apart, together = members(tmp_path / "apart.skops"), members(tmp_path / "together.skops")
    assert set(together) == {"manifest.json", "model.skops", "support_vectors.npy"}
    n_bytes = len(together["model.skops"]) - len(apart["model.skops"])
    assert n_bytes == sum(array.nbytes for array in large(model))
    assert model_content_hash(load_model(tmp_path / "together.skops")) == model_content_hash(model)


def test_they_are_narrowed(train_small, tmp_path):
    model = train_small(limit=300, **KERNEL_SCORES)
    save_model(model, tmp_path / "model.skops")
    content = members(tmp_path / "model.skops")
    (samples,) = (data for name, data in content.items() if name.endswith("/samples_.npy"))
    assert len(samples) - 128 == model.features[-1].samples_.size * 2


@pytest.mark.parametrize("change", ["none", "fewer", "other", "objects", "text"])
def test_altered_members_are_refused(model, tmp_path, change):
    save_model(model, tmp_path / "model.skops")
    content = members(tmp_path / "model.skops")
    name = next(name for name in content if name.startswith("features/"))
    array = np.load(io.BytesIO(content[name]))
    file = io.BytesIO()
    match change:
        case "none":
            del content[name]
        case "fewer":
            np.save(file, array[:-1])
        case "other":
            np.save(file, np.nextafter(array, np.inf, dtype=array.dtype))
        case "objects":
            np.save(file, np.array([[1], {}], dtype=object), allow_pickle=True)
        case "text":
            np.save(file, array.astype("U8"))
    if change != "none":
        content[name] = file.getvalue()
    with pytest.raises(ModelFileError, match=r"content hash|damaged"):
        load_model(written(tmp_path / "altered.skops", content))
