"""Large arrays of features as members of a model file by themselves.

skops reads a whole file before it builds anything from it, and holds each array twice then.
"""

import copy
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from svmcifar.features.transfer import single_steps
from svmcifar.io.half_arrays import read_array

_LEAST_BYTES = 2**20


def take_out(features: Pipeline) -> tuple[Pipeline, dict[str, NDArray[Any]]]:
    """Return a copy with empty arrays in place of large ones, and these by name of member."""
    arrays = {
        member: getattr(step, name)
        for member, step, name in _members(features)
        if getattr(step, name).nbytes >= _LEAST_BYTES
    }
    # The copies of objects that `deepcopy` is to take for made.
    empty = {id(array): np.empty(0, array.dtype) for array in arrays.values()}
    return copy.deepcopy(features, empty), arrays


def put_back(features: Pipeline, archive: zipfile.ZipFile) -> None:
    """Give a pipeline of `take_out` its arrays, from an archive that has them."""
    written = set(archive.namelist())
    for member, step, name in _members(features):
        if member in written:
            setattr(step, name, read_array(archive, member))


def _members(features: Pipeline) -> Iterator[tuple[str, Any, str]]:
    """Yield a name for each array of a pipeline, with its step and its attribute."""
    for number, step in enumerate(single_steps(features.steps)):
        for name, value in list(vars(step).items()):
            if isinstance(value, np.ndarray):
                yield f"features/{number}/{name}.npy", step, name
