"""Networks as ONNX graphs, written by PyTorch's exporter."""

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Iterator, Mapping

import torch
from onnx import ModelProto, TensorProto, helper, numpy_helper
from torch import Tensor, nn

import svmcifar
from svmcifar.cnn.model_card import Normalisation
from svmcifar.compute.image_shape import ImageShape

# Old enough for every ONNX Runtime that the package allows, and for most other readers.
_OPSET = 18
_N_EXAMPLES = 2  # an example of one image would fix the batch to one


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
    with _quiet():
        program = torch.onnx.export(
            network.eval(),
            (torch.zeros(_N_EXAMPLES, *image_shape),),
            dynamo=True,
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("N")},),
            opset_version=_OPSET,
            external_data=False,
            optimize=False,  # which would fold normalisation into weights
            verbose=False,
        )
    network.train(is_training)
    assert program is not None
    model = program.model_proto
    _strip(model)
    _store(model, state)
    model.producer_name, model.producer_version = "svmcifar", svmcifar.__version__
    about = {"architecture": architecture, "normalisation": json.dumps(normalisation._asdict())}
    helper.set_model_props(model, about)
    return model


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's prints, warnings and log from the terminal."""
    disabled = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


def _strip(model: ModelProto) -> None:
    """Remove what the exporter notes, such as stack traces with places in the file system."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.initializer, *graph.value_info, *graph.input,
                 *graph.output):  # fmt: skip
        part.ClearField("metadata_props")
        part.ClearField("doc_string")


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
