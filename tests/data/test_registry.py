"""Another data set is one class and one line in the registry."""

import re
from pathlib import Path

import numpy as np
import pytest
from datafiles import data_error_of

from svmcifar.compute.image_shape import ImageShape
from svmcifar.data import registry
from svmcifar.data.cifar100 import Cifar100
from svmcifar.data.dataset import Dataset, DatasetDescription, Split
from svmcifar.data.labels import label_rows
from svmcifar.data.registry import open_dataset
from svmcifar.errors import DataError
from svmcifar.features.settings import FeatureSettings
from svmcifar.model.evaluate import evaluate_classifier
from svmcifar.model.persistence import load_model, save_model
from svmcifar.model.train import train_classifier
from svmcifar.svm.estimator import RBFSVC


class Stripes(Dataset):
    """Images of 8 x 8 pixels in four classes without superclasses, drawn when they are read."""

    description = DatasetDescription(
        name="Stripes",
        image_shape=ImageShape(3, 8, 8),
        n_classes={"fine": 4},
    )
    form = classmethod(lambda cls: "a folder that holds stripes")
    usual_places = classmethod(lambda cls: [Path("stripes")])
    label = "Stripes"
    is_synthetic = False
    md5s = property(lambda self: {"train": "0" * 32})
    superclass_of = np.arange(4)

    def __init__(self, location):
        self.location = location

    @classmethod
    def find(cls, place, reading):
        return cls(place) if (place / "stripes").is_file() else None

    def class_names(self, kind):
        return {"fine": ("red", "green", "blue", "grey")}[kind]

    def read_split(self, name):
        rng = np.random.default_rng(len(name))
        labels = np.repeat(np.arange(4), 10)
        images = rng.integers(0, 120, (40, 3, 64), dtype=np.uint8)
        for channel in range(3):
            images[(labels == channel) | (labels == 3), channel] += 100
        return Split(
            name, images.reshape(40, -1), {"fine": labels}, [f"{i}.png" for i in range(40)]
        )


@pytest.fixture
def stripes(tmp_path, monkeypatch):
    """The folder of a data set that the registry knows."""
    monkeypatch.setattr(registry, "DATASETS", {"cifar100": Cifar100, "stripes": Stripes})
    folder = tmp_path / "stripes"
    folder.mkdir()
    (folder / "stripes").touch()
    return folder


def test_each_data_set_is_opened_by_its_kind(stripes, tiny_dataset):
    dataset = open_dataset(stripes)
    assert isinstance(dataset, Stripes)
    assert dataset.label_kinds == ("fine",)
    assert dataset.image_shape == (3, 8, 8)
    assert isinstance(open_dataset(tiny_dataset), Cifar100)


def test_usual_places_of_each_are_searched(stripes, monkeypatch):
    monkeypatch.delenv("SVMCIFAR_DATA", raising=False)
    monkeypatch.setenv("HOME", str(stripes))
    monkeypatch.chdir(stripes.parent)
    assert isinstance(open_dataset(), Stripes)
    (stripes / "stripes").unlink()
    message = data_error_of(open_dataset)
    assert re.match("cifar100 or stripes: .*data/cifar-100-python.*, stripes;", message)


def test_what_a_place_must_hold_is_said_of_each(stripes):
    message = data_error_of(open_dataset, stripes.parent)
    assert "or such an archive; or a folder that holds stripes" in message


def test_labels_without_superclasses(stripes):
    rows = label_rows(open_dataset(stripes))
    assert rows == [
        ["fine_label_id", "fine_label_name"],
        ["0", "red"], ["1", "green"], ["2", "blue"], ["3", "grey"],
    ]  # fmt: skip


def test_a_classifier_of_another_data_set(stripes, tmp_path):
    dataset = open_dataset(stripes)
    with pytest.raises(DataError, match=r"must have superclasses, and Stripes has none.* fine"):
        train_classifier(dataset, dataset.read_split("train"), RBFSVC(), label_kind="coarse")
    model = train_classifier(
        dataset, dataset.read_split("train"), RBFSVC(), FeatureSettings(kinds=["raw", "hog"]),
        label_kind="fine", limit=24,
    )  # fmt: skip
    save_model(model, tmp_path / "model.skops", slim=True)
    result = evaluate_classifier(load_model(tmp_path / "model.skops", dataset), dataset)
    assert result.scores.accuracy == 1
    assert result.superclass_scores is None
    names = [row["name"] for row in result.to_dict()["scores"]["per_class"]]
    assert names == ["red", "green", "blue", "grey"]
