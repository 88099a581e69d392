"""ONNX graphs that are built node by node, and their files."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, helper, numpy_helper
from onnx.external_data_helper import set_external_data

import svmcifar
from svmcifar.io.files import atomic_path, check_output, written_together

# Old enough for every ONNX Runtime that the package allows, and for most other readers.
OPSET, _IR_VERSION = 18, 10
_MOST_BYTES = 2**31 - 2**24  # of constants in a protobuf message, with room for the nodes
_SMALL_BYTES = 1024  # constants that stay in the graph in any case


class GraphBuilder:
    """Adds nodes and constants to a graph, and returns the names of their results.

    Examples
    --------
    >>> from onnx import GraphProto
    >>> graph = GraphProto()
    >>> add = GraphBuilder(graph)
    >>> add("Mul", "x", np.float64(2.0))
    'Mul_0'
    >>> len(graph.node), len(graph.initializer)
    (1, 1)
    """

    def __init__(self, graph: GraphProto) -> None:
        self.graph = graph

    def __call__(
        self, operator: str, *inputs: str | NDArray[Any] | np.generic, **attributes: Any
    ) -> str:
        """Add a node; an input is the name of a value, or a constant."""
        output = attributes.pop("output", f"{operator}_{len(self.graph.node)}")
        self._append(operator, inputs, [output], attributes)
        return output

    def split(self, value: str, sizes: list[int], axis: int) -> list[str]:
        """Cut a value into parts along an axis."""
        outputs = [f"Split_{len(self.graph.node)}_{part}" for part in range(len(sizes))]
        self._append("Split", (value, np.array(sizes, dtype=np.int64)), outputs, {"axis": axis})
        return outputs

    def _append(
        self, operator: str, inputs: tuple[Any, ...], outputs: list[str], attributes: dict[str, Any]
    ) -> None:
        names = [value if isinstance(value, str) else self.constant(value) for value in inputs]
        self.graph.node.append(helper.make_node(operator, names, outputs, **attributes))

    def constant(self, value: NDArray[Any] | np.generic) -> str:
        """Add a constant."""
        name = f"constant_{len(self.graph.initializer)}"
        self.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return name


def make_model(graph: GraphProto) -> ModelProto:
    """Return a graph as a model of svmcifar's."""
    return helper.make_model(
        graph,
        producer_name="svmcifar",
        producer_version=svmcifar.__version__,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=_IR_VERSION,
    )


def write_model(
    model: ModelProto, path: Path, *, overwrite: bool = False, most_bytes: int = _MOST_BYTES
) -> list[Path]:
    """Write a model whole or not at all; return the files that it is in.

    If its constants take more than `most_bytes`, by default the 2 GB of a protobuf message, they
    are moved from the model to ``PATH.data`` beside it.  Raise OutputError if that exists and
    `overwrite` is False.
    """
    paths = [path]
    with written_together():
        if sum(len(tensor.raw_data) for tensor in model.graph.initializer) > most_bytes:
            paths.append(path.with_name(f"{path.name}.data"))
            check_output(paths[1], overwrite)
            with atomic_path(paths[1]) as temporary:
                _move_constants(model, temporary, paths[1].name)
        with atomic_path(path) as temporary:
            temporary.write_bytes(model.SerializeToString(deterministic=True))
    return paths


def _move_constants(model: ModelProto, path: Path, name: str) -> None:
    """Move large constants to a file; the model keeps the name that it will have."""
    with path.open("wb") as file:
        for tensor in model.graph.initializer:
            if (n_bytes := len(tensor.raw_data)) > _SMALL_BYTES:
                set_external_data(tensor, name, file.tell(), n_bytes)
                file.write(tensor.raw_data)
                tensor.ClearField("raw_data")
