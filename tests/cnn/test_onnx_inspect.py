import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from reference_network import random_state

from svmcifar.cnn.model_card import REFERENCE_NORMALISATION
from svmcifar.cnn.onnx_export import reference_to_onnx
from svmcifar.cnn.onnx_inspect import count_parameters
from svmcifar.errors import CheckpointError


def test_a_reference_with_an_overlong_key():
    tensor = b"\x08\x03\x10\x01" + b"\xf0\x80\x80\x80\x10" + b"\x01"  # field 14 + 2 ** 29
    graph = b"\x2a" + bytes([len(tensor)]) + tensor
    with pytest.raises(CheckpointError, match="reference to another file"):
        count_parameters("m.onnx", b"\x3a" + bytes([len(graph)]) + graph)


def test_counting_agrees_with_onnx():
    """Packed and unpacked sizes, integers, constants, and what may follow in any order."""
    graph = helper.make_graph([], "some", [], [])
    model = helper.make_model(graph)
    model.graph.initializer.extend(
        [
            numpy_helper.from_array(np.zeros((5, 3072), np.float32), "w"),
            numpy_helper.from_array(np.zeros((7, 11), np.float64), "a"),
            numpy_helper.from_array(np.zeros((300, 200), np.int8), "b"),
            numpy_helper.from_array(np.zeros(13, np.int64), "c"),
            numpy_helper.from_array(np.float32(1), "d"),
            numpy_helper.from_array(np.zeros((0, 4), np.float32), "e"),
            helper.make_tensor("f", TensorProto.FLOAT, [2], [1.0, 2.0]),
            helper.make_tensor("g", TensorProto.STRING, [2], [b"a", b"b"]),
        ]
    )
    value = numpy_helper.from_array(np.zeros(3, np.float32))
    model.graph.node.append(helper.make_node("Constant", [], ["k"], value=value))
    expected = 5 * 3072 + 77 + 60000 + 1 + 0 + 2 + 3
    assert count_parameters("m.onnx", model.SerializeToString()) == expected


def test_packed_sizes():
    tensor = b"\x0a\x03\xac\x02\x07" + b"\x10\x01"  # dims [300, 7] in one field, float
    graph = b"\x2a" + bytes([len(tensor)]) + tensor
    assert count_parameters("m.onnx", b"\x3a" + bytes([len(graph)]) + graph) == 2100


def test_fields_of_every_kind_are_passed_over():
    eight, four = b"\xa1\x06" + b"\xff" * 8, b"\xa5\x06" + b"\xff" * 4
    tensor = eight + b"\x08\x07" + four + b"\x10\x01"
    graph = b"\x2a" + bytes([len(tensor)]) + tensor
    assert count_parameters("m.onnx", four + b"\x3a" + bytes([len(graph)]) + graph) == 7


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x3a\x05\x2a\x09\x08\x07\x10", "after the end"),
        (b"\x08" + b"\x80" * 11 + b"\x01", "more than 64 bits"),
        (b"\x08\x80", "out of bounds"),
        (b"\x0b", "wire type 3"),
        (b"\x38\x01", "a number where"),
    ],
)
def test_counting_notices_damage(content, message):
    with pytest.raises(CheckpointError, match=f"m.onnx: an .onnx file must be .*{message}"):
        count_parameters("m.onnx", content)


def test_damage_is_one_error_or_none():
    state = {name: value.numpy() for name, value in random_state(2).items()}
    model = reference_to_onnx(state, "reference", REFERENCE_NORMALISATION)
    content = bytearray(model.SerializeToString())
    rng = np.random.default_rng(5)
    for _ in range(200):
        damaged = bytearray(content)
        for position in rng.integers(0, len(content), 3):
            damaged[position] = rng.integers(256)
        try:
            count_parameters("m.onnx", bytes(damaged[: rng.integers(1, len(content) + 1)]))
        except CheckpointError as error:
            assert "\n" not in str(error)  # noqa: PT017
