"""Files of ONNX graphs."""

import numpy as np
import onnxruntime
import pytest
from onnx import GraphProto, TensorProto, helper

from svmcifar.errors import OutputError
from svmcifar.io.onnx_graph import GraphBuilder, make_model, write_model

W = np.random.default_rng(0).normal(size=(50, 40))
V = np.random.default_rng(1).normal(size=(40, 40))
X = np.random.default_rng(2).normal(size=(3, 50))
Y = X @ W @ V + 1.0


@pytest.fixture
def model():
    graph = GraphProto(name="product")
    add = GraphBuilder(graph)
    add("Add", add("MatMul", add("MatMul", "x", W), V), np.float64(1.0), output="y")
    for name, n, values in (("x", 50, graph.input), ("y", 40, graph.output)):
        values.append(helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["N", n]))
    return make_model(graph)


def result(path):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(["y"], {"x": X})[0]


def test_small_models_are_one_file(model, tmp_path):
    path = tmp_path / "m.onnx"
    assert write_model(model, path) == [path]
    assert [*tmp_path.iterdir()] == [path]
    np.testing.assert_allclose(result(path), Y)


def test_constants_of_large_models_lie_beside(model, tmp_path):
    path, beside = tmp_path / "m.onnx", tmp_path / "m.onnx.data"
    assert write_model(model, path, most_bytes=W.nbytes) == [path, beside]
    assert beside.stat().st_size == W.nbytes + V.nbytes
    assert path.stat().st_size < 1000
    np.testing.assert_allclose(result(path), Y)


def test_a_file_of_constants_is_not_replaced_unasked(model, tmp_path):
    path, beside = tmp_path / "m.onnx", tmp_path / "m.onnx.data"
    beside.write_text("mine")
    with pytest.raises(OutputError, match=r"m\.onnx\.data: the file exists already"):
        write_model(model, path, most_bytes=10)
    assert beside.read_text() == "mine"
    assert not path.exists()
    assert write_model(model, path, most_bytes=10, overwrite=True) == [path, beside]
    assert beside.stat().st_size == W.nbytes + V.nbytes
