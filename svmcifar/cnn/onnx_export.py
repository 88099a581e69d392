"""The reference network as an ONNX graph.

Built layer by layer from the state dict: PyTorch's own exporter needs another package
(onnxscript), its older one is deprecated, neither keeps weights as float16 while it computes
in float32, and the bytes of their files depend on their releases.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

import svmcifar
from svmcifar.cnn.model_card import Normalisation
from svmcifar.compute.image_shape import ImageShape

# Old enough for every ONNX Runtime that the package allows, and for most other readers.
_OPSET, _IR_VERSION = 17, 8


def reference_to_onnx(
    state: Mapping[str, NDArray[Any]],
    architecture: str,
    normalisation: Normalisation,
    image_shape: ImageShape,
) -> ModelProto:
    """Export the reference network as an ONNX graph; see `Network.to_onnx`.

    Its input ``images`` is float32 (N, *image_shape), normalised; its output ``logits`` is
    float32 (N, n_classes).  Float16 weights are stored as such and widened when the graph
    is loaded: it computes in float32.
    """
    graph = _Graph(state)
    x = graph.convolution("images", "convolution1")
    x = graph.pool(graph.convolution(x, "convolution2"))
    x = graph.residual(x, "reslayer1")
    x = graph.pool(graph.convolution(x, "convolution_3"))
    x = graph.pool(graph.convolution(x, "convolution_4"))
    x = graph.residual(x, "reslayer2")
    x = graph.pool(graph.convolution(x, "convolution_5"))
    x = graph.residual(x, "reslayer3")
    x = graph.add("Flatten", [graph.pool(x)])
    weights = graph.parameters("classifier.2", "weight", "bias")
    graph.add("Gemm", [x, *weights], output="logits", transB=1)

    n_classes = len(state["classifier.2.bias"])
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", *image_shape])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", n_classes])
    model = helper.make_model(
        helper.make_graph(graph.nodes, "reference", [images], [logits], graph.initializers),
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
        producer_name="svmcifar",
        producer_version=svmcifar.__version__,
    )
    about = {"architecture": architecture, "normalisation": json.dumps(normalisation._asdict())}
    helper.set_model_props(model, about)
    return model


class _Graph:
    """A graph under construction: its nodes and weights so far."""

    def __init__(self, state: Mapping[str, NDArray[Any]]) -> None:
        self.state = state
        self.nodes: list[NodeProto] = []
        self.initializers: list[TensorProto] = []

    def add(self, operator: str, inputs: list[str], output: str = "", **attributes: Any) -> str:
        """Add a node; return the name of its output."""
        name = output or f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name, **attributes))
        return name

    def parameters(self, layer: str, *names: str) -> list[str]:
        """Add a layer's weights; return their names in the graph, as float32."""
        return [self._parameter(f"{layer}.{name}") for name in names]

    def convolution(self, x: str, layer: str) -> str:
        """Add convolution, batch normalisation and ReLU."""
        weights = self.parameters(f"{layer}.0", "weight", "bias")
        x = self.add("Conv", [x, *weights], kernel_shape=[3, 3], pads=[1, 1, 1, 1])
        weights = self.parameters(f"{layer}.1", "weight", "bias", "running_mean", "running_var")
        return self.add("Relu", [self.add("BatchNormalization", [x, *weights], epsilon=1e-5)])

    def residual(self, x: str, layer: str) -> str:
        """Add a residual block of two convolutions."""
        inner = self.convolution(x, f"{layer}.0")
        return self.add("Add", [self.convolution(inner, f"{layer}.1"), x])

    def pool(self, x: str) -> str:
        """Halve height and width."""
        return self.add("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2])

    def _parameter(self, name: str) -> str:
        value = np.ascontiguousarray(self.state[name])
        self.initializers.append(numpy_helper.from_array(value, name))
        return name if value.dtype == np.float32 else self.add("Cast", [name], to=TensorProto.FLOAT)
