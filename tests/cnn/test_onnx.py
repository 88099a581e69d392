import json
import logging
from functools import cache

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from checkpoints import SHAPE
from onnx import TensorProto, helper, numpy_helper
from reference_network import TOLERANCE, logits, random_state

from svmcifar.cnn.checkpoint import load_network
from svmcifar.cnn.libraries import create_from_library
from svmcifar.cnn.model_card import REFERENCE_NORMALISATION
from svmcifar.cnn.onnx_export import to_onnx
from svmcifar.cnn.reference import ReferenceNetwork
from svmcifar.errors import CheckpointError

NAMES = [f"class {k}" for k in range(5)]
FLOAT = TensorProto.FLOAT


@cache
def exported(width, half):
    state = random_state(width)
    network = ReferenceNetwork(width, 100)
    network.load_state_dict(state)
    if half:
        state = {k: v.half() if v.ndim > 1 else v for k, v in state.items()}
    return to_onnx(network, state, "reference, tested", REFERENCE_NORMALISATION, SHAPE)


def run(model, images):
    options = onnxruntime.SessionOptions()
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(["logits"], {"images": images})[0]


def linear(shape=("N", 3, 32, 32), n_classes=5, *, kind=FLOAT, output=None, more=(), last=()):
    """A graph of one product; ``more`` adds inputs, ``last`` nodes from 'y' to 'z'."""
    weights = np.random.default_rng(0).standard_normal((n_classes, 3072)).astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["x"], ["float"], to=FLOAT),
        helper.make_node("Flatten", ["float"], ["flat"]),
        helper.make_node("Gemm", ["flat", "w"], ["y"], transB=1),
        *last,
    ]
    name = last[-1].output[0] if last else "y"
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("x", kind, list(shape)), *more],
        [output or helper.make_tensor_value_info(name, FLOAT, [shape[0], n_classes])],
        [numpy_helper.from_array(weights, "w")],
    )
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=8)


@pytest.fixture
def write(tmp_path):
    def written(model):
        content = model if isinstance(model, bytes) else model.SerializeToString()
        (tmp_path / "m.onnx").write_bytes(content)
        return tmp_path / "m.onnx"

    return written


def refused(path):
    with pytest.raises(CheckpointError) as caught:
        load_network(path, NAMES, SHAPE)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


# The exported graph


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).standard_normal((3, 3, 32, 32)).astype(np.float32)


@pytest.mark.parametrize("half", [False, True])
def test_onnx_accepts_the_graph(half):
    model = exported(2, half)
    onnx.checker.check_model(model, full_check=True)
    shape = [d.dim_param or d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    assert shape == ["N", 3, 32, 32]
    types = {t.name: t.data_type for t in model.graph.initializer}
    if half:
        assert types["reslayer3.1.0.weight.float16"] == TensorProto.FLOAT16
        assert "reslayer3.1.0.weight" not in types
    else:
        assert types["reslayer3.1.0.weight"] == FLOAT
    assert types["reslayer3.1.1.running_var"] == FLOAT


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("width", [2, 16])
def test_logits_are_pytorch_s(images, width, half):
    state = random_state(width)
    if half:
        state = {k: v.half().float() if v.ndim > 1 else v for k, v in state.items()}
    network = ReferenceNetwork(width, 100).eval()
    network.load_state_dict(state)
    with torch.no_grad():
        expected = network(torch.from_numpy(images)).numpy()
    got = run(exported(width, half), images)
    assert got.dtype == np.float32
    atol = TOLERANCE * np.abs(expected).max()
    np.testing.assert_allclose(got, expected, rtol=0, atol=atol)
    np.testing.assert_allclose(got, logits(state, images), rtol=0, atol=atol)


def test_metadata():
    about = {entry.key: entry.value for entry in exported(2, False).metadata_props}
    assert about["architecture"] == "reference, tested"
    assert json.loads(about["normalisation"]) == {
        "mean": [0.4914, 0.4822, 0.4465],
        "std": [0.2023, 0.1994, 0.2010],
    }


def test_the_same_weights_give_the_same_bytes_without_places_of_the_machine():
    once = exported(2, False).SerializeToString(deterministic=True)
    again = exported.__wrapped__(2, False).SerializeToString(deterministic=True)
    assert once == again
    for part in (b"site-packages", b".py", b"stack_trace", b"svmcifar/"):
        assert part not in once


def test_the_exporter_is_not_heard(capfd):
    network = ReferenceNetwork(2, 100)
    state = network.state_dict()
    to_onnx(network, state, "reference", REFERENCE_NORMALISATION, SHAPE)
    assert capfd.readouterr() == ("", "")
    assert network.training
    assert not logging.getLogger("torch.onnx").isEnabledFor(logging.DEBUG)
    assert logging.getLogger("torch.onnx").isEnabledFor(logging.ERROR)


@pytest.mark.parametrize(
    ("name", "size"), [("torchvision:resnet18", 32), ("timm:vit_tiny_patch16_224", 48)]
)
def test_any_network_is_exported(tmp_path, name, size):
    torch.manual_seed(0)
    network = create_from_library(name, 5, size).eval()
    shape = SHAPE._replace(height=size, width=size)
    graph = to_onnx(network, network.state_dict(), name, REFERENCE_NORMALISATION, shape)
    (tmp_path / "m.onnx").write_bytes(graph.SerializeToString())
    read = load_network(tmp_path / "m.onnx", NAMES, shape)
    pixels = np.random.default_rng(0).standard_normal((3, *shape), dtype=np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(pixels)).numpy()
    np.testing.assert_allclose(read.compute_logits(pixels), expected, rtol=0, atol=1e-4)
    assert np.ptp(expected) > 1e-3
    assert read.architecture == name
    assert read.normalisation == REFERENCE_NORMALISATION


# Graphs by others


def test_what_a_graph_says_of_its_architecture_is_one_short_line(write):
    model = linear()
    helper.set_model_props(model, {"architecture": "a\nb\x1b[31m" + 5000 * "x"})
    architecture = load_network(write(model), NAMES, SHAPE).architecture
    assert architecture == r"a\x0ab\x1b[31m" + 45 * "x" + "…"


def test_a_graph_by_others(write):
    model = linear()
    network = load_network(write(model), NAMES, SHAPE)
    assert (network.architecture, network.n_classes) == ("ONNX graph, 5 classes", 5)
    assert network.n_parameters is None
    assert network.normalisation is None
    images = np.random.default_rng(4).integers(0, 256, (300, 3072), dtype=np.uint8)
    mean, std = (np.array(v)[:, None, None] for v in REFERENCE_NORMALISATION)
    pixels = ((images.reshape(-1, 3, 32, 32) / 255 - mean) / std).reshape(300, 3072)
    powers = pixels @ numpy_helper.to_array(model.graph.initializer[0]).astype(np.float64).T
    expected = np.exp(powers - powers.max(axis=1, keepdims=True))
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(network.predict_proba(images), expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize("n", [1, 7])
def test_graphs_for_a_fixed_number_of_images(write, n):
    images = np.random.default_rng(4).integers(0, 256, (10, 3072), dtype=np.uint8)
    expected = load_network(write(linear()), NAMES, SHAPE).predict_proba(images)
    network = load_network(write(linear((n, 3, 32, 32))), NAMES, SHAPE)
    assert network.batch_size == n
    np.testing.assert_allclose(network.predict_proba(images), expected, rtol=0, atol=1e-4)


def test_graphs_that_leave_sizes_open(write):
    output = helper.make_tensor_value_info("y", FLOAT, ["N", "classes"])
    network = load_network(write(linear(("N", "c", "h", "w"), output=output)), NAMES, SHAPE)
    assert network.n_classes == 5


SOFTMAX = helper.make_node("Softmax", ["y"], ["z"])


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (linear(("N", 3072)), "got tensor(float)['N', 3072]"),
        (linear((0, 3, 32, 32)), "got tensor(float)[0, 3, 32, 32]"),
        (
            linear(more=[helper.make_tensor_value_info("x2", FLOAT, [1])]),
            "got tensor(float)['N', 3, 32, 32], tensor(float)[1]",
        ),
        (
            linear(
                output=helper.make_tensor_value_info("z", TensorProto.INT64, ["N"]),
                last=[helper.make_node("ArgMax", ["y"], ["z"], axis=1, keepdims=0)],
            ),
            "one output, float (N, n_classes), got tensor(int64)['N']",
        ),
        (
            linear(
                output=helper.make_tensor_value_info("z", TensorProto.INT32, ["N", 5]),
                last=[helper.make_node("Cast", ["y"], ["z"], to=TensorProto.INT32)],
            ),
            "one output, float (N, n_classes), got tensor(int32)['N', 5]",
        ),
        (linear(n_classes=4), "the 5 classes of the data set, got one for 4"),
        (linear(("N", 3, "h", 16)), "must work on 4 images"),
        (
            linear(("N", 1, 64, 48)),
            "(N, 3, height, width) or (N, height, width, 3), got",
        ),
        (linear(kind=TensorProto.INT64), "got tensor(int64)['N', 3, 32, 32]"),
    ],
)
def test_graphs_that_do_not_fit(write, model, message):
    assert message in refused(write(model))


def test_a_graph_with_two_outputs(write):
    model = linear(last=[SOFTMAX])
    model.graph.output.append(helper.make_tensor_value_info("y", FLOAT, ["N", 5]))
    assert "one output" in refused(write(model))


def test_a_graph_that_fails_on_images(write):
    model = linear(("N", "c", "h", "w"))
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.ones((5, 9), np.float32), "w"))
    assert "must work on 4 images" in refused(write(model))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_graph_that_answers_with_no_numbers(write, value):
    model = linear()
    (weights,) = model.graph.initializer
    broken = numpy_helper.to_array(weights).copy()
    broken[0, 0] = value
    weights.CopyFrom(numpy_helper.from_array(broken, weights.name))
    assert "must answer with finite logits" in refused(write(model))


def test_a_graph_that_answers_with_other_rows(write):
    last = [helper.make_node("Concat", ["y", "y"], ["z"], axis=0)]
    output = helper.make_tensor_value_info("z", FLOAT, ["M", 5])
    assert "got the shape (8, 5)" in refused(write(linear(last=last, output=output)))


def test_normalisation_in_the_metadata_must_be_one(write):
    for text in ("[1]", "no json", "[" * 100_000, '{"mean": [0, 0, 0], "std": [1, 1, 0]}'):
        model = linear()
        helper.set_model_props(model, {"normalisation": text})
        assert "'normalisation' must have" in refused(write(model))


# Files that are not what they should be


@pytest.mark.parametrize(
    "content",
    [b"PK\x03\x04", b"hello world\n", b"\x08", b"\x08\x08", b"\x80" * 30, b"\x08\x08\x12\xff\xff",
     b"\x0f\x01", b"\x3a\x7f", b"\x3a\x02\x28\x01"],
)  # fmt: skip
def test_files_that_are_no_onnx(write, content):
    assert "must be an ONNX graph" in refused(write(content))


def in_initializer(model):
    return model.graph.initializer[0]


def in_constant(model):
    """A constant that the graph adds to its logits."""
    zeros = numpy_helper.from_array(np.zeros(5, np.float32))
    first, flatten, product = model.graph.node
    product.output[0] = "product"
    nodes = [
        first,
        flatten,
        product,
        helper.make_node("Constant", [], ["c"], value=zeros),
        helper.make_node("Add", ["product", "c"], ["y"]),
    ]
    model.graph.ClearField("node")
    model.graph.node.extend(nodes)
    return model.graph.node[3].attribute[0].t


@pytest.mark.parametrize("place", ["weights.bin", "../folder/weights.bin", "{folder}/weights.bin"])
@pytest.mark.parametrize("find", [in_initializer, in_constant])
def test_weights_in_another_file(write, tmp_path, monkeypatch, find, place):
    """Only those with the name that PyTorch gives them are read, and count in the hash."""
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for path in (folder, tmp_path):
        (path / "weights.bin").write_bytes(bytes(4 * 5 * 3072))
    model = linear()
    tensor = find(model)
    load_network(write(model), NAMES, SHAPE)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", place.format(folder=folder)
    assert "export it" in refused(write(model))
