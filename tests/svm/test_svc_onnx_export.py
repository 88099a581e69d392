"""Models as ONNX graphs, run by ONNX Runtime."""

import numpy as np
import pytest
from exported import fitted, run
from onnx import AttributeProto

from svmcifar import SVC
from svmcifar.errors import InputError
from svmcifar.svm.onnx_export import to_onnx


def require_same(svc, Z):
    """Require the outputs of a model, of one sample and of many."""
    graph = to_onnx(svc)
    for X in (Z[:1], Z):
        outputs = run(graph, X=X)
        assert outputs["labels"].tolist() == svc.predict(X).tolist()
        np.testing.assert_allclose(outputs["scores"], svc.decision_function(X), atol=1e-5)
        assert outputs["scores"].dtype == np.float64
        if svc.probability:
            p = outputs["probabilities"]
            np.testing.assert_allclose(p.sum(axis=1), 1.0, atol=1e-12)
            np.testing.assert_allclose(p, svc.predict_proba(X), atol=1e-6)
    return graph


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_classes", [2, 5])
@pytest.mark.parametrize("kernel", ["rbf", "linear", "poly", "sigmoid"])
def test_a_graph_predicts_as_the_model(kernel, n_classes, dtype):
    svc, Z = fitted(n_classes, dtype, kernel=kernel, coef0=0.5, degree=3, C=3.0)
    assert [value.name for value in require_same(svc, Z).graph.output] == ["labels", "scores"]


@pytest.mark.parametrize("n_classes", [2, 3, 12])
def test_a_graph_has_the_probabilities(n_classes):
    require_same(*fitted(n_classes, probability=True, C=3.0))


def test_a_graph_has_the_scores_of_pairs():
    require_same(*fitted(5, decision_function_shape="ovo"))


def test_a_graph_breaks_ties():
    svc, Z = fitted(12, C=0.05, break_ties=True)
    require_same(svc, Z)
    broken = svc.predict(Z)
    assert (svc.set_params(break_ties=False).predict(Z) != broken).any()


@pytest.mark.parametrize(
    "labels", [np.array([f"class {k}" for k in range(15)]), np.arange(15) * 2.0]
)
def test_labels_are_those_of_the_model(labels):
    require_same(*fitted(5, labels=labels))


def test_classes_of_one_sample_and_samples_far_from_the_origin():
    X = np.random.default_rng(0).normal(100.0, 1.0, (40, 4)).astype(np.float32)
    svc = SVC(gamma=0.3).fit(X, [0, *[1] * 20, *[2] * 19])
    assert svc._center is not None
    require_same(svc, X)


def test_operators_are_standard_ones():
    svc, _ = fitted(5, probability=True)
    graph = to_onnx(svc)
    assert [opset.domain for opset in graph.opset_import] == [""]
    kinds = {attribute.type for node in graph.graph.node for attribute in node.attribute}
    assert AttributeProto.GRAPH not in kinds
    assert [node.op_type for node in graph.graph.node].count("MatMul") > 5  # kernel, each class
    assert graph.SerializeToString() == to_onnx(svc).SerializeToString()


@pytest.mark.parametrize("kernel", ["laplacian", "chi2", "precomputed"])
def test_other_kernels_are_refused(kernel):
    svc, _ = fitted(2)
    svc.kernel = kernel
    with pytest.raises(InputError, match=f"kernel of inner products.*Got '{kernel}'") as caught:
        to_onnx(svc)
    assert "\n" not in str(caught.value)


def test_distances_that_need_differences_are_refused():
    X = np.arange(20.0)[:, None] * 1e-3 + [[1e7, -1e7]] * np.arange(20)[:, None]
    svc = SVC(gamma=1e4).fit(X, np.arange(20) % 2)
    with pytest.raises(InputError, match="wide enough for distances from inner products"):
        to_onnx(svc)
