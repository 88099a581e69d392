"""Files as people save them: each gives the logits of the network that was put in."""

import io
import json
import pickle
import zipfile

import numpy as np
import onnx
import pytest
import torch
from checkpoints import NAMES, SHAPE, made_network, refused, write_file
from onnx import TensorProto, helper, numpy_helper
from reference_network import random_state
from safetensors.torch import save as safetensors_bytes
from torch import nn

from svmcifar.cnn.checkpoint import load_network
from svmcifar.cnn.formats import kind_of
from svmcifar.cnn.image_network import resize
from svmcifar.cnn.state_dict import find_state, with_prefix_of


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (9, 3072), dtype=np.uint8)


@pytest.fixture(scope="module")
def expected(images, tmp_path_factory):
    path = tmp_path_factory.mktemp("plain") / "plain.pth"
    torch.save(random_state(2), path)
    return load_network(path, NAMES, SHAPE).predict_proba(images)


def prefixed(*prefixes):
    return {"".join(prefixes) + name: value for name, value in random_state(2).items()}


WRAPPERS = {
    "state_dict": lambda s: {"state_dict": s, "epoch": 3, "args": {"lr": 0.1}},
    "model_state_dict": lambda s: {
        "epoch": 5,
        "model_state_dict": s,
        "optimizer_state_dict": {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": []},
        "scheduler": {"last_epoch": 5},
    },
    "model": lambda s: {"model": s, "optimizer": {}, "epoch": 3},
    "net": lambda s: {"net": s, "acc": 68.4, "epoch": 199},
    "model_state": lambda s: {"model_state": s},
    "nested": lambda s: {"checkpoint": {"model": {"state_dict": s}}},
    "ema alone": lambda s: {"ema_state_dict": s, "step": 1},
}


@pytest.mark.parametrize("wrapper", WRAPPERS.values(), ids=WRAPPERS)
def test_state_dicts_under_keys(tmp_path, images, expected, wrapper):
    path = write_file(tmp_path / "m.pth", wrapper(random_state(2)))
    np.testing.assert_array_equal(load_network(path, NAMES, SHAPE).predict_proba(images), expected)


CHAINS = [
    *[(prefix,) for prefix in ("module.", "_orig_mod.", "model.", "net.", "network.")],
    ("module.", "_orig_mod."),
    ("_orig_mod.", "module."),
    ("model.", "net.", "module."),
]


@pytest.mark.parametrize("chain", CHAINS, ids="".join)
def test_prefixes_of_wrappers(tmp_path, images, expected, chain):
    path = write_file(tmp_path / "m.pth", {"state_dict": prefixed(*chain)})
    np.testing.assert_array_equal(load_network(path, NAMES, SHAPE).predict_proba(images), expected)


@pytest.mark.parametrize("name", ["m.pt", "m.ckpt", "m.bin", "m.pth.tar", "M.PTH"])
def test_names_of_pytorch_files(tmp_path, images, expected, name):
    path = write_file(tmp_path / name, random_state(2))
    np.testing.assert_array_equal(load_network(path, NAMES, SHAPE).predict_proba(images), expected)


def test_averaged_weights_are_taken_where_they_are_asked_for(tmp_path, images, expected):
    other = random_state(2, seed=1)
    path = write_file(tmp_path / "m.pth", {"model_ema": random_state(2), "model": other})
    with pytest.warns(UserWarning, match=r"--checkpoint-key model_ema"):
        plain = load_network(path, NAMES, SHAPE).predict_proba(images)
    assert np.abs(plain - expected).max() > 1e-3
    with pytest.warns(UserWarning, match="several state dicts"):
        averaged = load_network(path, NAMES, SHAPE, key="model_ema").predict_proba(images)
    np.testing.assert_array_equal(averaged, expected)


def test_a_key_without_a_state_dict_is_refused(tmp_path):
    path = write_file(tmp_path / "m.pth", {"model": random_state(2), "epoch": 1})
    with pytest.raises(Exception, match=r"m.pth: .* none under 'ema'; keys of state dicts: model"):
        load_network(path, NAMES, SHAPE, key="ema")


def test_the_commonest_key_is_taken_and_the_others_are_told():
    one, two = {"a": torch.ones(2)}, {"a": torch.zeros(2)}
    for loaded in ({"teacher": two, "model": one}, {"model": one, "a": {"teacher": two}}):
        state, others = find_state(loaded)
        assert state["a"] is one["a"]
        assert others == ["teacher" if "teacher" in loaded else "a.teacher"]
    assert find_state({"loss": torch.tensor(1.0), "epoch": 2}) == ({}, [])


def test_a_network_whose_own_names_begin_so_keeps_them():
    one = {"model.net.a": torch.ones(2), "model.net.b": torch.ones(3)}
    state, _ = find_state({"state_dict": {f"module.{name}": one[name] for name in one}})
    assert list(state) == ["a", "b"]
    assert with_prefix_of(state, one) == one
    assert with_prefix_of(state, {"a": 0, "b": 0}) == state


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_other_precisions(tmp_path, images, expected, dtype):
    state = {k: v.to(dtype) if v.is_floating_point() else v for k, v in random_state(2).items()}
    path = write_file(tmp_path / "m.pth", state)
    found = load_network(path, NAMES, SHAPE).predict_proba(images)
    np.testing.assert_allclose(found, expected, rtol=0, atol=0.2)
    assert np.isfinite(found).all()


def test_weights_in_another_order_of_memory(tmp_path, images, expected):
    state = {
        k: v.contiguous(memory_format=torch.channels_last) if v.ndim == 4 else v
        for k, v in random_state(2).items()
    }
    path = write_file(tmp_path / "m.pth", state)
    np.testing.assert_array_equal(load_network(path, NAMES, SHAPE).predict_proba(images), expected)


def test_counters_may_be_missing_and_leftovers_of_tools_are_dropped(tmp_path, images, expected):
    state = {k: v for k, v in random_state(2).items() if "num_batches" not in k}
    state |= {"total_ops": torch.zeros(1), "convolution1.0.total_params": torch.zeros(1)}
    path = write_file(tmp_path / "m.pth", state)
    np.testing.assert_array_equal(load_network(path, NAMES, SHAPE).predict_proba(images), expected)


@pytest.mark.parametrize("change", ["missing", "transposed", "unexpected", "swapped"])
def test_other_tensors_are_refused_by_name(tmp_path, change):
    state = random_state(2)
    name = "convolution2.0.weight"
    if change == "missing":
        del state[name]
    elif change == "transposed":
        state[name] = state[name].transpose(0, 1)
    elif change == "unexpected":
        name = "extra.weight"
        state[name] = torch.zeros(2)
    else:
        other = "convolution_3.0.weight"
        state[name], state[other] = state[other], state[name]
    assert name in refused(write_file(tmp_path / "m.pth", state))


@pytest.mark.parametrize("name", ["m.safetensors", "renamed.pth"])
def test_safetensors(tmp_path, images, expected, name):
    path = tmp_path / name
    content = safetensors_bytes({k: v.contiguous() for k, v in random_state(2).items()})
    path.write_bytes(content)
    np.testing.assert_array_equal(load_network(path, NAMES, SHAPE).predict_proba(images), expected)
    path.write_bytes(content[:-8])
    assert "safetensors file must be whole" in refused(path)


def archive(*names):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name in names:
            file.writestr(name, b"x")
    return buffer.getvalue()


def torchscript():
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.trace(nn.Flatten(), torch.zeros(1, 3, 32, 32)), buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("m.pth", torchscript, "TorchScript, which is code; save it with torch.save("),
        ("m.pt", torchscript, "TorchScript"),
        ("m.keras", lambda: archive("config.json", "model.weights.h5"), "tf2onnx.convert"),
        ("m.pth", lambda: archive("config.json", "model.weights.h5"), "tf2onnx.convert"),
        ("m.h5", lambda: b"\x89HDF\r\n\x1a\n" + bytes(99), "tf2onnx.convert"),
        ("m.pth", lambda: b"\x89HDF\r\n\x1a\n" + bytes(99), "tf2onnx.convert"),
        ("m.tflite", lambda: b"TFL3" + bytes(99), "tf2onnx.convert"),
        ("m.pt2", lambda: archive("m/archive_format"), "must end in .pth"),
        ("m.pt", lambda: archive("m/archive_format"), "exported by torch.export"),
        ("m.onnx", lambda: bytes(4) + b"ORTM" + bytes(99), "give the .onnx file"),
    ],
)
def test_files_of_others_name_the_way_out(tmp_path, name, content, words):
    assert words in refused(write_file(tmp_path / name, content()))


def test_the_content_tells_the_kind(tmp_path):
    for content in (b"PK\x03\x04", b"PK\x03\x04" + bytes(40), b"", b"\x80"):
        assert kind_of(tmp_path / "m.pth", content) == "torch"
        assert kind_of(tmp_path / "m.onnx", content) == "onnx"


def test_code_beside_a_state_dict_is_not_run(tmp_path):
    class Payload:
        def __reduce__(self):
            return (tmp_path / "ran").touch, ()

    path = tmp_path / "m.ckpt"
    path.write_bytes(pickle.dumps({"state_dict": random_state(2), "hook": Payload()}))
    refused(path)
    assert not (tmp_path / "ran").exists()


# ONNX graphs

FLOAT, WEIGHTS = TensorProto.FLOAT, np.random.default_rng(1).standard_normal((100, 3072)) / 20


def graph(shape=("N", 3, 32, 32), kind=FLOAT, last=(), opset=17, external=None, outputs=1):
    """A graph of one product of the mean of each pixel's image and weights."""
    weights = numpy_helper.from_array(WEIGHTS.astype(np.float32), "w")
    if external:
        weights.ClearField("raw_data")
        weights.data_location = TensorProto.EXTERNAL
        for key, value in (("location", external), ("offset", "64"), ("length", "1228800")):
            entry = weights.external_data.add()
            entry.key, entry.value = key, value
    nodes = [helper.make_node("Cast", ["x"], ["float"], to=FLOAT)]
    if shape[3] == 3:
        nodes.append(helper.make_node("Transpose", ["float"], ["first"], perm=[0, 3, 1, 2]))
    else:
        nodes.append(helper.make_node("Identity", ["float"], ["first"]))
    size = shape[2] if isinstance(shape[2], int) else 32
    pool = size // 32
    nodes += [
        helper.make_node(
            "AveragePool", ["first"], ["pooled"], kernel_shape=[pool, pool], strides=[pool, pool]
        ),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "w", "b"], ["y"], transB=1),
        *last,
    ]
    bias = numpy_helper.from_array(np.zeros(100, np.float32), "b")
    name = last[-1].output[0] if last else "y"
    ends = [helper.make_tensor_value_info(name, FLOAT, [shape[0], 100])]
    if outputs == 2:
        ends.append(helper.make_tensor_value_info("pooled", FLOAT, [shape[0], 3, 32, 32]))
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info("x", kind, list(shape))],
            ends,
            [weights, bias],
        ),
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=8,
    )
    return model.SerializeToString()


def plain_logits(pixels):
    return pixels.reshape(len(pixels), 3072).astype(np.float64) @ WEIGHTS.T


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def normalised(images):
    mean = np.array([0.4914, 0.4822, 0.4465])[:, None, None]
    std = np.array([0.2023, 0.1994, 0.2010])[:, None, None]
    return (images.reshape(-1, 3, 32, 32) / 255 - mean) / std


SOFTMAX = helper.make_node("Softmax", ["y"], ["z"])


@pytest.mark.parametrize(
    "content",
    [
        graph(),
        graph(("N", 32, 32, 3)),
        graph((1, 32, 32, 3)),
        graph((5, 3, 32, 32)),
        graph(kind=TensorProto.DOUBLE),
        graph(last=[SOFTMAX]),
        graph(("N", 32, 32, 3), last=[SOFTMAX]),
        graph(opset=7),
        graph(opset=23),
    ],
)
def test_graphs_as_others_export_them(tmp_path, images, content):
    path = write_file(tmp_path / "m.onnx", content)
    found = load_network(path, NAMES, SHAPE).predict_proba(images)
    np.testing.assert_allclose(found, softmax(plain_logits(normalised(images))), atol=1e-4)


def test_float16_images(tmp_path, images):
    path = write_file(tmp_path / "m.onnx", graph(kind=TensorProto.FLOAT16))
    found = load_network(path, NAMES, SHAPE).predict_proba(images)
    np.testing.assert_allclose(found, softmax(plain_logits(normalised(images))), atol=0.02)


def test_a_graph_of_bytes_normalises_by_itself(tmp_path, images):
    path = write_file(tmp_path / "m.onnx", graph(("N", 32, 32, 3), kind=TensorProto.UINT8))
    found = load_network(path, NAMES, SHAPE).predict_proba(images)
    np.testing.assert_allclose(found, softmax(plain_logits(images)), atol=1e-4)


@pytest.mark.parametrize("shape", [("N", 3, 128, 128), ("N", 128, 128, 3)])
def test_images_are_resized_for_a_graph_of_other_sizes(tmp_path, images, shape):
    network = load_network(write_file(tmp_path / "m.onnx", graph(shape)), NAMES, SHAPE)
    assert network.size == (128, 128)
    assert network.architecture.endswith(", images resized to 128 x 128")
    large = resize(images.reshape(-1, 3, 32, 32), (128, 128))
    assert large.shape == (9, 3, 128, 128)
    pooled = large.reshape(9, 3, 32, 4, 32, 4).mean(axis=(3, 5))
    found = network.predict_proba(images)
    np.testing.assert_allclose(found, softmax(plain_logits(normalised(pooled))), atol=1e-3)


def test_weights_beside_a_graph_are_read_and_hashed(tmp_path, images):
    path = write_file(tmp_path / "m.onnx", graph(external="m.onnx.data"))
    assert "put m.onnx.data beside it" in refused(path)
    data = tmp_path / "m.onnx.data"
    data.write_bytes(bytes(64) + WEIGHTS.astype(np.float32).tobytes())
    network = load_network(path, NAMES, SHAPE)
    found = network.predict_proba(images)
    np.testing.assert_allclose(found, softmax(plain_logits(normalised(images))), atol=1e-4)
    assert network.n_bytes == path.stat().st_size + data.stat().st_size
    data.write_bytes(bytes(64) + (2 * WEIGHTS).astype(np.float32).tobytes())
    assert load_network(path, NAMES, SHAPE).sha256 != network.sha256


@pytest.mark.parametrize("place", ["other.data", "../m.onnx.data", "{folder}/m.onnx.data"])
def test_no_other_file_is_read_for_weights(tmp_path, place):
    for name in ("other.data", "../m.onnx.data", "m.onnx.data"):
        (tmp_path / name).write_bytes(bytes(64 + 1228800))
    path = write_file(tmp_path / "m.onnx", graph(external=place.format(folder=tmp_path)))
    assert "export it" in refused(path)


def test_a_second_output_that_is_no_row_of_logits(tmp_path, images):
    path = write_file(tmp_path / "m.onnx", graph(outputs=2))
    found = load_network(path, NAMES, SHAPE).predict_proba(images)
    np.testing.assert_allclose(found, softmax(plain_logits(normalised(images))), atol=1e-4)


def test_networks_exported_while_they_train_are_refused(tmp_path):
    mean = helper.make_node("ReduceMean", ["y"], ["m"], axes=[0], keepdims=1)
    centred = helper.make_node("Sub", ["y", "m"], ["z"])
    path = write_file(tmp_path / "batch.onnx", graph(last=[mean, centred]))
    assert "with the other images of a batch; export it anew after network.eval()" in refused(path)
    noise = helper.make_node("RandomNormalLike", ["y"], ["r"], scale=5.0)
    noisy = helper.make_node("Add", ["y", "r"], ["z"])
    path = write_file(tmp_path / "noise.onnx", graph(last=[noise, noisy]))
    assert "from run to run" in refused(path)


def test_a_graph_for_a_newer_runtime(tmp_path):
    model = onnx.load_from_string(graph())
    model.ir_version = 99
    message = refused(write_file(tmp_path / "m.onnx", model.SerializeToString()))
    assert "upgrade onnxruntime" in message
    assert "damaged" not in message


def test_a_state_dict_of_another_network_names_the_way_out(tmp_path):
    message = refused(write_file(tmp_path / "m.pth", nn.Linear(2, 2).state_dict()))
    assert "torch.onnx.export" in message


def test_a_card_beside_a_file_of_any_name(tmp_path):
    path = write_file(tmp_path / "m.ckpt", {"model": made_network().state_dict()})
    card = {"format": 1, "normalisation": {"mean": [0, 0, 0], "std": [1, 1, 1]}}
    path.with_suffix(".json").write_text(json.dumps(card))
    assert load_network(path, NAMES, SHAPE).normalisation.std == (1.0, 1.0, 1.0)
