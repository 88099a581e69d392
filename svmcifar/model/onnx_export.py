"""Image classifiers as ONNX graphs: from bytes of images to labels, scores and probabilities.

Features are the package's own code, by the array API, traced with PyTorch's tensors; what stands
here are the steps that code cannot take that way.
"""

import json
import math
from typing import Any

import torch
from onnx import ModelProto, helper
from torch import Tensor, nn

from svmcifar.compute.arrays import traced_by_torch
from svmcifar.compute.image_shape import ImageShape
from svmcifar.compute.progress import stage
from svmcifar.features.extract.even_odd import EvenOddFeatures
from svmcifar.features.extract.feature_union import FeatureStack
from svmcifar.features.extract.hog import HOG
from svmcifar.features.extract.image_rows import mirror
from svmcifar.features.extract.patch_responses import batch_features
from svmcifar.features.extract.patches import PatchFeatures
from svmcifar.features.extract.pixels import RawPixels
from svmcifar.features.extract.second_layer import SecondLayerPatches
from svmcifar.features.reduce.component_scaling import ComponentScaling
from svmcifar.features.reduce.even_odd import EvenOddPCA
from svmcifar.features.reduce.kernel_ridge import KernelRidgeScores
from svmcifar.features.reduce.ridge_scores import RidgeScores
from svmcifar.features.reduce.standardize import BatchStandardScaler
from svmcifar.features.reduce.unit_rows import UnitRows
from svmcifar.features.reduce.wide_pca import WidePCA
from svmcifar.io.torch_export import export_graph
from svmcifar.model.classifier import ImageClassifier
from svmcifar.svm.onnx_export import add_svm, require_onnx_form

# An orientation on the edge of two bins belongs to the upper one; see `hog_gradients`.
_EDGE_MARGIN = 1e-9


def to_onnx(model: ImageClassifier, image_shape: ImageShape) -> ModelProto:
    """Export an image classifier as an ONNX graph of standard operators.

    Its input is ``images``, uint8 (N, *image_shape); its outputs are those of
    `svmcifar.svm.onnx_export.add_svm`.  Names of the classes are in the metadata, as JSON.  Raise
    InputError if ONNX cannot compute the kernel.
    """
    require_onnx_form(model.svc)
    example = torch.zeros((2, *image_shape), dtype=torch.uint8)
    about = {"classes": json.dumps(model.class_names), "labels": model.label_kind}
    with stage("tracing the features"), traced_by_torch():
        exported = export_graph(_Features(model), example, "images", ["features"], about)
    _resolve_casts(exported)
    exported.graph.ClearField("output")
    add_svm(exported.graph, model.svc, "features", len(model.decision_views))
    return exported


def _resolve_casts(model: ModelProto) -> None:
    """Cast to a type by name instead of a value of that type: ONNX Runtime warns of the latter."""
    graph = model.graph
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        types[value.name] = value.type.tensor_type.elem_type
    for node in graph.node:
        if node.op_type == "CastLike":
            to = types[node.input.pop()]
            node.op_type = "Cast"
            node.attribute.append(helper.make_attribute("to", to))


class _Features(nn.Module):
    """The features of images: those of the first view of all, then those of the second."""

    def __init__(self, model: ImageClassifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """Compute the features of images, (n_views * N, n_features), float32."""
        rows = images.flatten(1)
        X = torch.cat([view(rows, slice(None)) for view in self.model.decision_views])
        for _, step in self.model.features.steps:
            X = _transform(step, X)
        return X


def _transform(step: Any, X: Tensor) -> Any:
    """Apply a step of the features to traced tensors."""
    match step:
        case EvenOddFeatures():
            of_both = _transform(step.source, torch.cat([X, mirror(X)]))
            own, mirrored = of_both.unflatten(0, (2, X.shape[0]))
            return torch.cat([own + mirrored, own - mirrored], dim=1) * 0.5
        case FeatureStack():
            return torch.cat([_transform(one, X) for _, one in step.transformers], dim=1)
        case RawPixels():
            return X.float() / 255.0
        case HOG():
            return step.transform_batch(X, step.shape_of(X), _votes)
        case SecondLayerPatches():
            return step.transform_batch(X)
        case PatchFeatures():
            return batch_features(X, step.filters_beside(X))
        case BatchStandardScaler():  # as scikit-learn does it: in the dtype of the samples
            mean, scale = (torch.from_numpy(a).to(X.dtype) for a in (step.mean_, step.scale_))
            return (X - mean) / scale
        case WidePCA():
            return X @ torch.from_numpy(step.components_).T - torch.from_numpy(step.offset_)
        case EvenOddPCA():
            even, odd = torch.from_numpy(step.components_).split([len(step.offset_), step.n_odd_])
            of_even, of_odd = X.chunk(2, dim=1)
            offset = torch.from_numpy(step.offset_)
            return torch.cat([of_even @ even.T - offset, of_odd @ odd.T], dim=1)
        case ComponentScaling():
            return X / torch.from_numpy(step.divisors_)
        case UnitRows():
            lengths = X.square().sum(dim=1, keepdim=True).sqrt()
            return X / torch.where(lengths > 0, lengths, 1.0)
        case KernelRidgeScores():
            return torch.cat([_kernel_scores(step, X), X], dim=1)
        case RidgeScores():
            even = X[:, : X.shape[1] - step.n_odd_]
            scores = even @ torch.from_numpy(step.coef_) + torch.from_numpy(step.intercept_)
            return step.prepended(scores, X)
    components = torch.from_numpy(step.components_)  # scikit-learn's PCA
    return X @ components.T - torch.from_numpy(step.mean_) @ components.T


def _kernel_scores(step: KernelRidgeScores, X: Tensor) -> Tensor:
    """Compute the scores of `KernelRidgeScores.transform`."""
    if step.center_ is not None:
        X = X - torch.from_numpy(step.center_)
    samples = torch.from_numpy(step.samples_)
    # Coefficients are large and cancel, so all that follows the products is float64.
    own, others = X.double().square().sum(dim=1, keepdim=True), torch.from_numpy(step.sq_norms_)
    sq_norms = own + others.double()
    n_even = X.shape[1] - step.n_odd
    even, odd = X[:, :n_even] @ samples[:, :n_even].T, X[:, n_even:] @ samples[:, n_even:].T
    products = [even + odd, even - odd] if step.n_odd else [even]
    distances = [(sq_norms - 2.0 * p.double()).clamp(min=0.0) for p in products]
    values = torch.stack([torch.exp(-step.gamma_ * d) for d in distances]).sum(dim=0)
    scores = values @ torch.from_numpy(step.coef_).double() + torch.from_numpy(step.intercept_)
    return scores.float()


def _votes(down: Tensor, right: Tensor, orientations: int) -> tuple[Tensor, Tensor]:
    """Compute magnitudes and bins as `hog_gradients.votes`, without arc tangents.

    ONNX Runtime has none for float64.  The bin of a gradient, turned into the upper half of the
    plane, is the number of edges that it has passed.
    """
    magnitude = (down * down + right * right).sqrt().float()
    sign = torch.where((down < 0) | ((down == 0) & (right < 0)), -1.0, 1.0).double()
    y, x = sign * down, sign * right
    bins = torch.zeros_like(y)
    for k in range(1, orientations):
        angle = math.pi * k / orientations
        passed = y * math.cos(angle) - x * math.sin(angle) >= -_EDGE_MARGIN * magnitude.double()
        bins = bins + passed.double()
    return magnitude, bins.to(torch.uint8)
