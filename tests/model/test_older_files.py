"""Model files that older releases wrote, on the small synthetic data set of conftest.py.

`format-1.skops` knew nothing but raw pixels; both `format-2` files name types by the modules that
they lay in then.  The predictions are those that the releases printed when they wrote the files.
"""

import json
import zipfile
from pathlib import Path

import pytest

from svmcifar.model.manifest import Manifest
from svmcifar.model.persistence import (
    load_model,
    model_content_hash,
    read_manifest,
    save_model,
)

FILES = Path(__file__).parents[1] / "files"
_NOT_OF_FORMAT_1 = {
    "preset", "features", "feature_settings", "whiten", "ridge_scores", "ridge_components",
    "augment", "feature_dtype",
}  # fmt: skip
PREDICTIONS = {
    "format-1": [9, 4, 0, 9, 4, 0, 9, 18, 2, 13, 10, 0, 11, 2, 10, 9, 3, 5, 6, 8],
    "format-2": [17, 6, 17, 9, 4, 1, 9, 11, 1, 1, 10, 12, 11, 2, 1, 9, 3, 16, 16, 8],
    "format-2-patches": [
        61, 87, 23, 29, 2, 85, 85, 85, 38, 80, 85, 41, 42, 81, 38, 34, 31, 49, 20, 29,
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", PREDICTIONS)
def test_opens_with_the_same_content_and_predictions(name, synthetic_data):
    path = FILES / f"{name}.skops"
    with zipfile.ZipFile(path) as archive:
        manifest = json.loads(archive.read("manifest.json"))
        assert b'"svmcifar.svc"' in archive.read("model.skops")  # else it is no older file
    model = load_model(path)
    assert model_content_hash(model) == manifest["content_hash"]
    images = synthetic_data.read_split("test").images[:20]
    assert model.predict(images).tolist() == PREDICTIONS[name]


@pytest.mark.parametrize("name", PREDICTIONS)
def test_manifest_keeps_its_form(name):
    """Key by key and in the same order; format 1 lacked what is said of features."""
    path = FILES / f"{name}.skops"
    with zipfile.ZipFile(path) as archive:
        written = json.loads(archive.read("manifest.json"))
    if name == "format-1":
        training = written["training"]
        before, after = ["label_kind", "parameters"], ["feature_dtype", "rows", "seed"]
        added = {"preset": None, "features": ["raw"], "feature_settings": {}}
        added |= {"n_components": 5, "whiten": 0.0, "ridge_scores": 0.0, "ridge_components": None}
        added |= {"augment": None, "feature_dtype": "float32"}
        filled = {key: (training | added)[key] for key in dict.fromkeys([*before, *added, *after])}
        written["training"] = filled
    assert json.dumps(read_manifest(path).to_dict()) == json.dumps(written)


@pytest.mark.parametrize("part", [None, "data", "training", "fit"])
def test_every_value_of_a_manifest_is_needed(part):
    """But for what some older release did not write."""
    with zipfile.ZipFile(FILES / "format-2.skops") as archive:
        written = json.loads(archive.read("manifest.json"))
    of_part = written if part is None else written[part]
    optional = {"training": _NOT_OF_FORMAT_1, "fit": {"memory_plan"}}.get(part, set())
    for key, value in list(of_part.items()):
        del of_part[key]
        if key in optional:
            Manifest.from_dict(written)
        else:
            with pytest.raises((LookupError, TypeError)):
                Manifest.from_dict(written)
        of_part[key] = value


def test_is_saved_by_the_names_of_today(tmp_path):
    model = load_model(FILES / "format-2.skops")
    save_model(model, path := tmp_path / "new.skops")
    with zipfile.ZipFile(path) as archive:
        assert b'"svmcifar.svc"' not in archive.read("model.skops")
    assert model_content_hash(load_model(path)) == model.manifest.content_hash
