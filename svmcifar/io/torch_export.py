"""ONNX graphs, written by PyTorch's exporter."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence

import torch
from onnx import ModelProto, helper
from torch import Tensor, nn

import svmcifar
from svmcifar.io.onnx_graph import OPSET


def export_graph(
    module: nn.Module,
    example: Tensor,
    input_name: str,
    output_names: Sequence[str],
    metadata: Mapping[str, str],
) -> ModelProto:
    """Export a module of one input as an ONNX graph; the same bytes for the same weights.

    `example` has two rows or more: of one, the exporter would fix the batch to one.  Inputs and
    outputs are of any number of rows.
    """
    with _quiet():
        program = torch.onnx.export(
            module,
            (example,),
            dynamo=True,
            input_names=[input_name],
            output_names=list(output_names),
            dynamic_shapes=({0: torch.export.Dim("N")},),
            opset_version=OPSET,
            external_data=False,
            optimize=False,  # which would rename weights, and makes NaN of histograms of gradients
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    _strip(model)
    model.producer_name, model.producer_version = "svmcifar", svmcifar.__version__
    helper.set_model_props(model, dict(metadata))
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
