"""Fixtures that several test modules share."""

import os
import shutil

import pytest
from datafiles import write_dataset

from svmcifar.cifar import open_dataset
from svmcifar.errors import DataError


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
