"""Model files that older releases wrote, on the small synthetic data set of conftest.py.

`format-1.skops` knew nothing but raw pixels; both `format-2` files name types by the modules that
they lay in then.  The predictions are those that the releases printed when they wrote the files.
"""

import json
import zipfile
from pathlib import Path

import pytest

from svmcifar.model.persistence import load_model, model_content_hash, save_model

FILES = Path(__file__).parents[1] / "files"
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


def test_is_saved_by_the_names_of_today(tmp_path):
    model = load_model(FILES / "format-2.skops")
    save_model(model, path := tmp_path / "new.skops")
    with zipfile.ZipFile(path) as archive:
        assert b'"svmcifar.svc"' not in archive.read("model.skops")
    assert model_content_hash(load_model(path)) == model.manifest["content_hash"]
