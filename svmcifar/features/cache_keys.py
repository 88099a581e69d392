"""What a result of the feature cache depends on, and the name of its file."""

import hashlib
from functools import cached_property
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline

import svmcifar
from svmcifar.compute.environment import describe_environment
from svmcifar.io.content_hash import content_hash

# What computes features, besides the modules beside this one.
_CODE = ("compute/arrays.py", "compute/llvm.py", "compute/threads.py")


class CacheKey:
    """Everything that a result depends on.

    Its name is of two parts: what is cheap to hash, and what is large.  Only if there is a file
    whose name begins with the first need the second be known.

    Parameters
    ----------
    kind : {"pipeline", "features"}
        A pipeline to be fitted, or features by a fitted one.
    pipeline : Pipeline
        For features its fitted arrays count too.
    images : array-like of shape (n_images, n_pixels), uint8
        On the host.
    *options
        What else the result depends on, such as `describe_surroundings`; plain values.

    Attributes
    ----------
    prefix : str
        What the name begins with.
    name : str
        Of the file; hashed when it is first asked for.
    """

    def __init__(self, kind: str, pipeline: Pipeline, images: Any, *options: Any) -> None:
        settings = [hash_parameters(pipeline), *np.shape(images), *options]
        self.prefix = f"{kind}-{joblib.hash(settings)}-"
        self._images = images
        self._fitted = pipeline if kind == "features" else None

    @cached_property
    def name(self) -> str:
        """Name the file of the result."""
        contents = [joblib.hash(np.ascontiguousarray(self._images))]
        if self._fitted is not None:
            contents.append(content_hash(self._fitted))
        return f"{self.prefix}{joblib.hash(contents)}.zip"


def hash_parameters(pipeline: Pipeline) -> str:
    """Hash the classes and parameters of a pipeline, fitted or not.

    Parameters
    ----------
    pipeline : Pipeline

    Returns
    -------
    str
        The number of threads does not count.
    """
    return content_hash(clone(pipeline))


def describe_surroundings() -> list[str]:
    """List what features depend on besides images and pipeline.

    The code is hashed, since a checkout changes without its version; what is rounded how depends
    on the processor and the kernels of BLAS.

    Returns
    -------
    list of str
    """
    environment = describe_environment()
    return [
        *(f"{name} {number}" for name, number in environment["versions"].items()),
        environment["host"]["processor"],
        *environment["host"]["blas"],
        _CODE_MD5,
    ]


def _hash_code() -> str:
    package = Path(svmcifar.__file__).parent
    md5 = hashlib.md5(usedforsecurity=False)
    for path in [*(package / name for name in _CODE), *sorted(package.glob("features/**/*.py"))]:
        md5.update(path.read_bytes())
    return md5.hexdigest()


# When it is imported: files that change later are not the code that runs.
_CODE_MD5 = _hash_code()
