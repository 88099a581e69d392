"""Fixtures that several test modules share, and what becomes of the tests for GPUs.

Tests with the marker 'gpu', all of them in tests/gpu/test_gpu_*.py, need an NVIDIA GPU that the
backend 'cupy' can use.  Where there is none they are deselected, which the header of the run says
and its last line counts; a run that asks for them (`pytest -m gpu`) is refused.
`test_gpu_check.py` runs them on the host everywhere, with a stand-in for CuPy.
"""

import os
import re
import shutil
from dataclasses import fields

import pytest
from datafiles import write_dataset

from svmcifar.data.registry import open_dataset
from svmcifar.data.synthetic import write_synthetic
from svmcifar.errors import DataError
from svmcifar.features.settings import FeatureSettings
from svmcifar.model.train import train_classifier
from svmcifar.svm.backends.registry import BACKENDS
from svmcifar.svm.estimator import RBFSVC


def pytest_configure(config):
    os.environ["SVMCIFAR_CACHE_LIMIT"] = "0"  # tests leave nothing in the user's folders
    asks_for_gpu = re.search(r"(?<!not )\bgpu\b", config.getoption("markexpr"))
    if asks_for_gpu and (reason := BACKENDS["cupy"].why_not()):
        raise pytest.UsageError(f"The tests marked 'gpu' need a GPU: {reason}.")


def pytest_report_header():
    if reason := BACKENDS["cupy"].why_not():
        return f"no GPU: the tests marked 'gpu' are not run ({reason})"
    return "GPU: the tests marked 'gpu' are run"


def pytest_collection_modifyitems(config, items):
    if BACKENDS["cupy"].why_not() is None:
        return
    for_gpu = [item for item in items if item.get_closest_marker("gpu")]
    if for_gpu:
        config.hook.pytest_deselected(items=for_gpu)
        items[:] = [item for item in items if item not in for_gpu]


@pytest.fixture(scope="session")
def tiny_dataset(tmp_path_factory):
    """A folder with 200 + 100 random images, marked as synthetic.  See `altered`."""
    return write_dataset(tmp_path_factory.mktemp("tiny") / "cifar-100-python")


@pytest.fixture
def altered(tiny_dataset, tmp_path):
    """A copy of the tiny data set that a test may alter."""
    return shutil.copytree(tiny_dataset, tmp_path / "cifar-100-python")


@pytest.fixture(scope="session")
def official_dataset():
    """The official data set, from $SVMCIFAR_DATA or a usual place."""
    try:
        dataset = open_dataset()
    except DataError as error:
        if os.environ.get("SVMCIFAR_DATA"):
            raise  # asked for and not there: skipping would hide it
        pytest.skip(str(error))
    if not dataset.is_official:
        pytest.skip(f"{dataset.location}: {dataset.label}, and the test needs the official data")
    return dataset


@pytest.fixture(scope="session")
def synthetic_folder(tmp_path_factory):
    """A small synthetic data set: 500 training and 200 test images."""
    folder = tmp_path_factory.mktemp("synthetic") / "synthetic-cifar-100"
    return write_synthetic(folder, train_per_class=5, test_per_class=2, progress=False)


@pytest.fixture(scope="session")
def synthetic_data(synthetic_folder):
    return open_dataset(synthetic_folder)


@pytest.fixture(scope="session")
def train_small(synthetic_data):
    """Train a classifier on the small synthetic data set, with settings of choice.

    Those of features are given one by one.
    """
    split = synthetic_data.read_split("train")

    def train(svc=None, **settings):
        names = {field.name for field in fields(FeatureSettings)} & settings.keys()
        features = FeatureSettings(**{name: settings.pop(name) for name in names})
        return train_classifier(synthetic_data, split, svc or RBFSVC(), features, **settings)

    return train


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Work in an empty folder, with no data set named."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SVMCIFAR_DATA", raising=False)
    return tmp_path


@pytest.fixture
def training_folder(tmp_path, monkeypatch):
    """Work in an empty folder, and leave PyTorch's threads as they were."""
    import torch

    threads = torch.get_num_threads()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SVMCIFAR_DATA", raising=False)
    yield tmp_path
    torch.set_num_threads(threads)
