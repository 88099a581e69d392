"""Graphs that compute for ever, take any memory or end their process are one line each."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from time import process_time

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from svmcifar.cnn import onnx_runtime
from svmcifar.cnn.checkpoint import load_network
from svmcifar.compute.image_shape import ImageShape
from svmcifar.compute.stopwatch import Stopwatch
from svmcifar.errors import CheckpointError

FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
NAMES, SHAPE = ["no", "yes"], ImageShape(3, 8, 8)


def named(name, kind=FLOAT, shape=()):
    return helper.make_tensor_value_info(name, kind, list(shape))


def constant(name, value, kind=np.float32):
    return numpy_helper.from_array(np.array(value, kind), name)


def graph(path, nodes, constants, last="Add"):
    """Write a graph that combines "more" with the logits of images "x"."""
    made = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["x"], ["means"]),
            helper.make_node("Flatten", ["means"], ["rows"]),
            helper.make_node("Gemm", ["rows", "weights"], ["plain"]),
            helper.make_node("ReduceMax", ["x"], ["largest"], keepdims=0),
            *nodes,
            helper.make_node(last, ["plain", "more"], ["y"]),
        ],
        "small",
        [named("x", shape=("N", *SHAPE))],
        [named("y", shape=("N", 2))],
        [constant("weights", np.eye(3, 2)), *constants],
    )
    opset = [helper.make_opsetid("", 17)]
    path.write_bytes(helper.make_model(made, opset_imports=opset, ir_version=8).SerializeToString())
    return path


def looping(path, above):
    """Write a graph that loops for as good as ever if a pixel is larger than `above`."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["on"]),
            helper.make_node("Sin", ["value"], ["next"]),
        ],
        "body",
        [named("i", INT64), named("go", BOOL), named("value")],
        [named("on", BOOL), named("next")],
    )
    nodes = [
        helper.make_node("Sub", ["largest", "above"], ["excess"]),
        helper.make_node("Relu", ["excess"], ["relu"]),
        helper.make_node("Mul", ["relu", "many"], ["float"]),
        helper.make_node("Cast", ["float"], ["count"], to=INT64),
        helper.make_node("Loop", ["count", "true", "zero"], ["more"], body=body),
    ]
    constants = [constant("above", above), constant("many", 1e15), constant("zero", 0.0)]
    return graph(path, nodes, [*constants, constant("true", True, np.bool_)])


def filling(path, n_values):
    """Write a graph that needs so many numbers at once."""
    nodes = [
        helper.make_node("Mul", ["largest", "zero"], ["nothing"]),
        helper.make_node("Expand", ["nothing", "shape"], ["filled"]),
        helper.make_node("ReduceMin", ["filled"], ["more"], keepdims=0),
    ]
    return graph(path, nodes, [constant("shape", [n_values], np.int64), constant("zero", 0.0)])


def widening(path):
    """Write a graph whose number of logits is two, and one more for each 100 of a pixel."""
    nodes = [
        helper.make_node("Div", ["largest", "hundred"], ["share"]),
        helper.make_node("Cast", ["share"], ["whole"], to=INT64),
        helper.make_node("Mul", ["whole", "columns"], ["extra"]),
        helper.make_node("Add", ["extra", "shape"], ["widened"]),
        helper.make_node("Expand", ["one", "widened"], ["more"]),
    ]
    sizes = constant("columns", [0, 1], np.int64), constant("shape", [2, 2], np.int64)
    constants = [constant("hundred", 100.0), constant("one", 1.0), *sizes]
    return graph(path, nodes, constants, last="MatMul")


def refusal(act, *arguments):
    with pytest.raises(CheckpointError) as caught:
        act(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def images(value, n=2):
    return np.full((n, *SHAPE), value, np.float32)


def test_a_graph_that_never_answers(tmp_path, monkeypatch):
    path = looping(tmp_path / "m.onnx", above=-100)
    monkeypatch.setattr(onnx_runtime, "_OPEN_S", 1.0)
    message = refusal(load_network, path, NAMES, SHAPE)
    assert message == f"{path}: the graph must open within 1 s, and does not; use another network"


def test_a_graph_that_does_not_answer_some_images(tmp_path, monkeypatch):
    network = load_network(looping(tmp_path / "m.onnx", above=100), NAMES, SHAPE)
    np.testing.assert_allclose(network.compute_logits(images(50.0)), 50.0)
    monkeypatch.setattr(onnx_runtime, "_BATCH_S", 0.5)
    monkeypatch.setattr(onnx_runtime, "_IMAGE_S", 0.25)
    for value in (200.0, 50.0):  # it was ended at the first
        message = refusal(network.compute_logits, images(value))
        assert "the graph must answer 2 images within 1 s, and does not" in message


def test_a_graph_whose_number_of_logits_depends_on_the_image(tmp_path):
    path = widening(tmp_path / "m.onnx")
    network = load_network(path, NAMES, SHAPE)
    np.testing.assert_array_equal(network.compute_logits(images(50.0)), 100.0)
    message = refusal(network.compute_logits, images(-150.0))
    rule = "the graph must answer 2 images with 2 logits each, got [2, 1]"
    assert message == f"{path}: {rule}; use another network"
    assert "the graph must answer 2 images" in refusal(network.compute_logits, images(150.0))


def test_a_graph_that_takes_fifty_gigabytes(tmp_path):
    np.testing.assert_array_equal(
        load_network(filling(tmp_path / "m.onnx", 10), NAMES, SHAPE).compute_logits(images(1.0)),
        1.0,
    )
    path = filling(tmp_path / "m.onnx", 12_500_000_000)
    message = refusal(load_network, path, NAMES, SHAPE)
    assert message.startswith(f"{path}: the graph must open within ")
    assert message.endswith("GiB of memory; use another network")


def test_a_process_that_ends(tmp_path):
    network = load_network(filling(tmp_path / "m.onnx", 10), NAMES, SHAPE)
    os.kill(network.compute_logits.__self__._process._popen.pid, signal.SIGKILL)
    assert "and ended its process (SIGKILL)" in refusal(network.compute_logits, images(1.0))


def test_graphs_share_processes_one_after_the_other_and_threads_share_a_graph(tmp_path):
    def process(network):
        return network.compute_logits.__self__._process

    path = filling(tmp_path / "m.onnx", 10)
    first, second = (load_network(path, NAMES, SHAPE) for _ in range(2))
    kept = process(first)
    assert kept is not process(second)
    del first
    assert kept in (process(load_network(path, NAMES, SHAPE)) for _ in range(2))
    with ThreadPoolExecutor(4) as pool:
        for k, logits in enumerate(pool.map(lambda k: second.compute_logits(images(k)), range(40))):
            np.testing.assert_array_equal(logits, images(0)[:, :2, 0, 0] + k)


def test_a_fork_does_not_mix_answers(tmp_path):
    network = load_network(filling(tmp_path / "m.onnx", 10), NAMES, SHAPE)
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        try:
            network.compute_logits(images(1.0))
        except CheckpointError as error:
            os.write(writing, str(error).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    assert b"the process that this one was forked from" in os.read(reading, 4096)
    os.close(reading)
    np.testing.assert_array_equal(network.compute_logits(images(1.0)), 1.0)


def test_processor_time_of_a_graph_counts(tmp_path):
    network = load_network(filling(tmp_path / "m.onnx", 10_000_000), NAMES, SHAPE)
    clock, start = Stopwatch(), process_time()
    network.compute_logits(images(1.0))
    own_s = process_time() - start
    assert clock.cpu_s > own_s + 1e-3  # 10 million values take longer on any processor
