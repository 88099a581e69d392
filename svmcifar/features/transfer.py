"""Transfer of fitted pipelines between the host and a device."""

import copy
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

from svmcifar.compute.arrays import is_host, move_beside, to_host
from svmcifar.features.extract.even_odd import EvenOddFeatures
from svmcifar.features.extract.feature_union import FeatureStack


def bring_to_host(pipeline: Pipeline) -> None:
    """Move the arrays of a pipeline that was fitted on a device to the host, in place."""
    for step in single_steps(pipeline.steps):
        # An array without dimensions becomes the number that it is on the host.
        _convert_arrays(step, lambda array: to_host(array)[()])


def pipeline_beside(pipeline: Pipeline, images: Any) -> Pipeline:
    """Copy a fitted pipeline, with its arrays on the device of images."""
    steps = _copied(pipeline.steps)
    for step in single_steps(steps):
        _convert_arrays(step, lambda array: move_beside(array, images))
    return Pipeline(steps)


def _copied(steps: Iterable[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Copy steps, and those within others, but not their arrays."""
    return [(name, _copy(step)) for name, step in steps]


def _copy(step: Any) -> Any:
    if isinstance(step, EvenOddFeatures):
        return EvenOddFeatures(_copy(step.source))
    if isinstance(step, FeatureStack):
        return FeatureStack(_copied(step.transformers))
    return copy.copy(step)


def single_steps(steps: Iterable[tuple[str, Any]]) -> Iterator[Any]:
    """Yield the steps that have arrays: those within others one by one."""
    for name, step in steps:
        if isinstance(step, EvenOddFeatures):
            yield from single_steps([(name, step.source)])
        elif isinstance(step, FeatureStack):
            yield from single_steps(step.transformers)
        else:
            yield step


def _convert_arrays(step: Any, convert: Callable[[Any], Any]) -> None:
    """Replace the fitted arrays of one step."""
    for name, value in list(vars(step).items()):
        if isinstance(value, np.ndarray) or not is_host(value):
            setattr(step, name, convert(value))
