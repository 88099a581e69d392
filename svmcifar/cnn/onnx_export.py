"""Networks as ONNX graphs."""

import json
from collections.abc import Mapping

import torch
from onnx import ModelProto, TensorProto, helper, numpy_helper
from torch import Tensor, nn

from svmcifar.cnn.model_card import Normalisation
from svmcifar.compute.image_shape import ImageShape
from svmcifar.io.torch_export import export_graph

_N_EXAMPLES = 2  # as `export_graph` asks


def to_onnx(
    network: nn.Module,
    state: Mapping[str, Tensor],
    architecture: str,
    normalisation: Normalisation,
    image_shape: ImageShape,
) -> ModelProto:
    """Export a network on the host as an ONNX graph; the same bytes for the same weights.

    Its input ``images`` is float32 (N, *image_shape), normalised; its output ``logits`` is float32
    (N, n_classes).  Weights are those of `state`, under their names: float16 ones are stored so
    and widened when the graph is loaded: it computes in float32.  Architecture and normalisation
    are kept in the metadata.
    """
    is_training = network.training
    about = {"architecture": architecture, "normalisation": json.dumps(normalisation._asdict())}
    model = export_graph(
        network.eval(), torch.zeros(_N_EXAMPLES, *image_shape), "images", ["logits"], about
    )
    network.train(is_training)
    _store(model, state)
    return model


def _store(model: ModelProto, state: Mapping[str, Tensor]) -> None:
    """Replace the graph's weights by those of a state dict."""
    casts = []
    for initializer in model.graph.initializer:
        stored = state.get(initializer.name)
        if stored is None or stored.dtype != torch.float16:
            continue
        name = initializer.name
        initializer.CopyFrom(numpy_helper.from_array(stored.numpy(), f"{name}.float16"))
        casts.append(
            helper.make_node("Cast", [f"{name}.float16"], [name], name, to=TensorProto.FLOAT)
        )
    nodes = [*casts, *model.graph.node]
    model.graph.ClearField("node")
    model.graph.node.extend(nodes)
