"""A fitted model as ONNX nodes: from samples to labels, scores and probabilities, in float64.

The kernel is one matrix product with all support vectors, and decision values one with the
coefficients of each class.
"""

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import GraphProto, ModelProto, TensorProto, helper

from svmcifar.errors import InputError
from svmcifar.io.onnx_graph import GraphBuilder, make_model
from svmcifar.svm.both_images import with_mirror_images
from svmcifar.svm.coupling import LEAST
from svmcifar.svm.kernels.kernel import Precision
from svmcifar.svm.one_vs_one import pair_arrays, pair_numbers
from svmcifar.svm.prediction import choose_precision

if TYPE_CHECKING:
    from svmcifar.svm.estimator import SVC

# The kernels whose values follow from inner products and norms.
_KERNELS = ("rbf", "linear", "poly", "sigmoid")
# Steps of conjugate gradients: 13 bring residuals below 1e-12 for 100 classes.
_STEPS = 24
_TINY = np.float64(1e-300)


def require_onnx_form(svc: "SVC") -> None:
    """Raise InputError if nodes of ONNX cannot compute the kernel of a fitted model."""
    if svc.kernel not in _KERNELS:
        raise InputError(
            f"A model for ONNX must have a kernel of inner products, {', '.join(_KERNELS)}. Got "
            f"{svc.kernel!r}. Export it as sklearn."
        )
    if svc.kernel == "rbf" and choose_precision(svc) == Precision.EXACT:
        raise InputError(
            f"A model for ONNX must have a kernel that is wide enough for distances from inner "
            f"products. Got gamma={svc.gamma_:g}. Export it as sklearn."
        )


def to_onnx(svc: "SVC") -> ModelProto:
    """Build the graph of a fitted model.

    Its input ``X``, (N, n_features), has the dtype of the support vectors; outputs are those of
    `add_svm`.  Raise InputError as `require_onnx_form`.
    """
    require_onnx_form(svc)
    of_type = helper.np_dtype_to_tensor_dtype(svc.support_vectors_.dtype)
    X = helper.make_tensor_value_info("X", of_type, ["N", svc.n_features_in_])
    graph = GraphProto(name="svm", input=[X])
    add_svm(graph, svc, "X")
    return make_model(graph)


def add_svm(graph: GraphProto, svc: "SVC", samples: str, n_views: int = 1) -> None:
    """Add the nodes and the outputs of a fitted model to a graph.

    `samples` is a value of the graph, (n_views * N, n_features), float32 or float64: the first view
    of all samples, then the second; decision values are averaged over the views of a sample.
    Outputs are ``labels`` (N,), as of `SVC.predict`;
    ``scores``, float64, as of `SVC.decision_function`; and of a model with probabilities
    ``probabilities``, float64 (N, n_classes).  The pairs' decision values are the value
    ``decisions`` within.
    """
    svc = with_mirror_images(svc)
    add, n_classes = GraphBuilder(graph), len(svc.classes_)
    decisions = _add_decisions(add, svc, samples, n_views)
    numbers, scores = _add_votes(add, svc, decisions)
    classes = svc.classes_.astype(object) if svc.classes_.dtype.kind == "U" else svc.classes_
    add("Gather", add.constant(classes), numbers, output="labels")
    outputs: dict[str, tuple[int, list[int]]] = {}
    outputs["labels"] = (graph.initializer[-1].data_type, [])
    add("Identity", scores, output="scores")
    n_scores = len(svc.intercept_) if svc.decision_function_shape == "ovo" else n_classes
    outputs["scores"] = (TensorProto.DOUBLE, [n_scores] if n_classes > 2 else [])
    if svc.probability:
        add("Identity", _add_probabilities(add, svc, decisions), output="probabilities")
        outputs["probabilities"] = (TensorProto.DOUBLE, [n_classes])
    graph.output.extend(
        helper.make_tensor_value_info(name, of_type, ["N", *shape])
        for name, (of_type, shape) in outputs.items()
    )


def _add_decisions(add: GraphBuilder, svc: "SVC", samples: str, n_views: int) -> str:
    """Add the decision values of all pairs, in LIBSVM's order and sign."""
    n_classes = len(svc.classes_)
    sign = -1.0 if n_classes == 2 else 1.0
    values = _add_kernel(add, svc, samples)
    if n_views > 1:  # decision values are linear in these
        of_views = add("Reshape", values, np.array([n_views, -1, len(svc.support_)]))
        values = add("ReduceMean", of_views, np.array([0]), keepdims=0)
    coef = sign * svc.dual_coef_.T
    edges = [0, *np.cumsum(svc.n_support_).tolist()]
    parts = add.split(values, svc.n_support_.tolist(), axis=1)
    of_classes = [
        add("MatMul", part, coef[start:stop])
        for part, (start, stop) in zip(parts, pairwise(edges), strict=True)
    ]
    added = add("Concat", *of_classes, axis=1)
    # Where each pair finds what its two classes add to its decision value.
    places = np.argsort(pair_numbers(n_classes).ravel(), kind="stable").reshape(-1, 2).T
    of_first, of_second = (add("Gather", added, of_pair, axis=1) for of_pair in places)
    both = add("Add", of_first, of_second)
    return add("Add", both, sign * svc.intercept_, output="decisions")


def _add_kernel(add: GraphBuilder, svc: "SVC", samples: str) -> str:
    """Add the kernel values of samples with all support vectors, (n_samples, n_support_vectors)."""
    X, support = add("Cast", samples, to=TensorProto.DOUBLE), svc.support_vectors_
    if svc._center is not None:
        center = svc._center.astype(np.float64)
        X, support = add("Sub", X, center), support - center
    kept = support.astype(np.float32, copy=False)  # half the size, where it is the same
    constant = add.constant(np.ascontiguousarray((kept if (kept == support).all() else support).T))
    products = add("MatMul", X, add("Cast", constant, to=TensorProto.DOUBLE))
    if svc.kernel == "linear":
        return products
    if svc.kernel == "rbf":
        of_support = np.einsum("ij,ij->i", support, support, dtype=np.float64)
        of_samples = add("ReduceSum", add("Mul", X, X), np.array([1]), keepdims=1)
        both = add("Add", of_samples, of_support)
        distances = add("Sub", both, add("Mul", products, np.float64(2.0)))
        distances = add("Max", distances, np.float64(0.0))  # rounding may leave less
        return add("Exp", add("Mul", distances, np.float64(-svc.gamma_)))
    scaled = add("Mul", products, np.float64(svc.gamma_))
    argument = add("Add", scaled, np.float64(svc.coef0))
    if svc.kernel == "sigmoid":
        return add("Tanh", argument)
    return add("Pow", argument, np.float64(svc.degree))


def _add_votes(add: GraphBuilder, svc: "SVC", decisions: str) -> tuple[str, str]:
    """Add the number of the class that wins, and scores in `decision_function_shape`."""
    n_classes, zero = len(svc.classes_), np.float64(0.0)
    if n_classes == 2:
        decision = add("Squeeze", decisions, np.array([1]))
        is_second = add("LessOrEqual", decision, zero)
        return add("Cast", is_second, to=TensorProto.INT64), add("Neg", decision)
    first, second = pair_arrays(n_classes)
    one_of = np.eye(n_classes)
    signs = add.constant(one_of[first] - one_of[second])  # of a pair's decision, by class

    def count(is_first: str) -> str:
        won = add("MatMul", add("Cast", is_first, to=TensorProto.DOUBLE), signs)
        return add("Add", won, np.arange(n_classes, dtype=np.float64))  # votes, if none is first

    winner: dict[str, Any] = {"axis": 1, "keepdims": 0}  # of classes that tie the first
    numbers = add("ArgMax", count(add("Greater", decisions, zero)), **winner)
    if svc.decision_function_shape == "ovo":
        return numbers, decisions
    # As scikit-learn counts here, a decision value of 0 is a vote for the first class.
    votes = count(add("GreaterOrEqual", decisions, zero))
    confidences = add("MatMul", decisions, signs)
    size = add("Add", add("Abs", confidences), np.float64(1.0))
    bounded = add("Div", confidences, add("Mul", size, np.float64(3.0)))
    scores = add("Add", votes, bounded)
    return (add("ArgMax", scores, **winner) if svc.break_ties else numbers), scores


def _add_probabilities(add: GraphBuilder, svc: "SVC", decisions: str) -> str:
    """Add class probabilities, as `svmcifar.svm.coupling`."""
    n_classes = len(svc.classes_)
    exponent = add("Sub", add("Mul", decisions, -svc.probA_), svc.probB_)
    of_first = add("Max", add("Sigmoid", exponent), np.float64(LEAST))
    of_first = add("Min", of_first, np.float64(1.0 - LEAST))
    of_second = add("Sub", np.float64(1.0), of_first)
    of_both = add("Concat", of_first, of_second, axis=1)
    return of_both if n_classes == 2 else _add_coupling(add, of_both, n_classes)


def _add_coupling(add: GraphBuilder, of_both: str, n_classes: int) -> str:
    """Couple the probabilities of pairs, first those of their first classes.

    The distribution that minimises p' Q p solves (Q + 1 1') p = 1 up to a factor; this positive
    definite system is solved by conjugate gradients, preconditioned by the diagonal.
    """
    first, second = pair_arrays(n_classes)
    numbers = np.arange(2 * len(first)).reshape(2, -1)
    places = np.zeros((n_classes, n_classes), dtype=np.int64)  # of a class against another
    places[first, second], places[second, first] = numbers
    others, eye = 1.0 - np.eye(n_classes), np.eye(n_classes)
    wins, losses = (
        add("Mul", add("Gather", of_both, of, axis=1), others) for of in (places, places.T)
    )
    over_columns, over_rows = add.constant(np.array([2])), add.constant(np.array([1]))
    squares = add("ReduceSum", add("Mul", losses, losses), over_columns, keepdims=1)
    Q = add("Sub", add("Mul", squares, eye), add("Mul", wins, losses))
    matrix = add("Add", Q, np.float64(1.0))
    scale = add("Reciprocal", add("Add", squares, np.float64(1.0)))  # of the diagonal

    def inner(a: str, b: str) -> str:
        return add("ReduceSum", add("Mul", a, b), over_rows, keepdims=1)

    def ratio(a: str, b: str) -> str:
        return add("Div", a, add("Max", b, _TINY))  # both are 0 where it is solved

    p = add("Mul", scale, np.float64(0.0))
    residual = add("Add", p, np.float64(1.0))
    scaled = direction = add("Mul", scale, residual)
    size = inner(residual, scaled)
    for _ in range(_STEPS):
        image = add("MatMul", matrix, direction)
        step = ratio(size, inner(direction, image))
        p = add("Add", p, add("Mul", step, direction))
        residual = add("Sub", residual, add("Mul", step, image))
        scaled, before = add("Mul", scale, residual), size
        size = inner(residual, scaled)
        direction = add("Add", scaled, add("Mul", ratio(size, before), direction))
    p = add("Squeeze", p, over_columns)
    return add("Div", p, add("ReduceSum", p, over_rows, keepdims=1))
