"""Image classifiers as ONNX graphs, run by ONNX Runtime."""

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from exported import run
from older_models import as_before
from scipy.spatial.distance import cdist

from svmcifar import RBFSVC
from svmcifar.compute.image_shape import ImageShape
from svmcifar.features.extract import hog_gradients
from svmcifar.model.onnx_export import _votes, to_onnx

SHAPE = ImageShape(3, 32, 32)
PATCHES = {"patches": {"n_filters": 8, "n_patches": 500}}
HOG = {"hog": {"orientations": 4, "pixels_per_cell": (8, 8)}}
# Among them all steps that there are: components of patches are computed in another way.
SETTINGS = {
    "hog": {"kinds": ("hog",), "parameters": HOG, "n_components": 12},
    "stack": {"kinds": ("raw", "patches"), "parameters": PATCHES, "augment": "flip"},
    "patches": {
        "kinds": ("patches",), "parameters": PATCHES, "n_components": 8, "whiten": 0.5,
        "ridge_scores": 0.8, "ridge_components": 30, "augment": "flip",
    },
    "kernel": {
        "kinds": ("patches",),
        "parameters": {"patches": {"n_filters": 8, "n_patches": 600, "layers": 2}},
        "n_components": 20, "whiten": 0.3, "ridge_scores": 0.8, "ridge_kernel": "rbf",
        "augment": "flip",
    },
    "kernel, no mirror images": {
        "kinds": ("raw",), "n_components": 20, "ridge_scores": 0.8, "ridge_kernel": "rbf",
    },
    "views": {"kinds": ("hog",), "parameters": HOG, "n_components": 12, "augment": "flip"},
}  # fmt: skip


def pairs(model, images):
    """Decision values of the pairs."""
    svc = copy.copy(model.svc).set_params(decision_function_shape="ovo")
    return replace(model, svc=svc).predict_with_decisions(images)[1]


def exact_scores(model, images):
    """The classifier's scores, with its class scores by a kernel in float64.

    Their coefficients are large and cancel: rounding kernel values to float32 shows in the scores.
    """
    step, X = model.features[-1], model.compute_features(images)
    own = X[:, step.coef_.shape[1] :].astype(np.float64)
    centred = own if step.center_ is None else own - step.center_
    samples = step.samples_.astype(np.float64)
    signs = np.where(np.arange(own.shape[1]) < own.shape[1] - step.n_odd, 1.0, -1.0)
    rows = (samples, samples * signs) if step.n_odd else (samples,)
    kernel = sum(np.exp(-step.gamma_ * cdist(centred, b, "sqeuclidean")) for b in rows)
    return model.svc.decision_function(np.hstack([kernel @ step.coef_ + step.intercept_, own]))


@pytest.mark.parametrize("name", SETTINGS)
def test_a_graph_predicts_as_the_classifier(name, train_small, synthetic_data):
    svc = RBFSVC(C=10.0, tol=1e-5, probability=name == "patches", backend="numba")
    model = train_small(svc, label_kind="coarse", **SETTINGS[name])
    if name == "views":
        model = as_before(model, synthetic_data)
    graph = to_onnx(model, SHAPE)
    rows = synthetic_data.read_split("test").images
    for images in (rows[:1], rows):
        outputs = run(graph, images=images.reshape(-1, *SHAPE))
        labels, scores, p = model.predict_with_probabilities(images)
        assert outputs["labels"].tolist() == labels.tolist()
        # Where a pair's value is within rounding of 0 its vote may fall either way.
        rounding, least_sure = (5e-4, 0.8) if name.startswith("kernel") else (1e-5, 0.99)
        sure = np.abs(pairs(model, images)).min(axis=1) > rounding
        assert sure.mean() >= least_sure
        if name.startswith("kernel"):
            exact = exact_scores(model, images)
            own_error = np.abs(scores[sure] - exact[sure]).max()
            assert own_error < 1e-3
            atol = max(1e-4, 2 * own_error)  # the graph rounds elsewhere, and no more
            np.testing.assert_allclose(outputs["scores"][sure], exact[sure], atol=atol)
        else:
            np.testing.assert_allclose(outputs["scores"][sure], scores[sure], atol=1e-4)
        assert ("probabilities" in outputs) == (p is not None)
        if p is not None:
            np.testing.assert_allclose(outputs["probabilities"], p, atol=1e-4)
            np.testing.assert_allclose(outputs["probabilities"].sum(axis=1), 1.0, atol=1e-12)
    about = {entry.key: entry.value for entry in graph.metadata_props}
    assert json.loads(about["classes"]) == model.class_names
    assert about["labels"] == "coarse"
    assert str(synthetic_data.location) not in str(graph.graph.node)


@pytest.mark.parametrize("orientations", [1, 2, 9, 180])
def test_gradients_vote_for_the_same_bins(orientations):
    values = np.arange(-255, 256, dtype=np.float64)
    down, right = (part.ravel() for part in np.meshgrid(values, values))
    expected = hog_gradients.votes(down, right, orientations)
    found = _votes(torch.from_numpy(down), torch.from_numpy(right), orientations)
    is_gradient = (down != 0) | (right != 0)  # no gradient, no vote
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours.numpy()[is_gradient], theirs[is_gradient])
