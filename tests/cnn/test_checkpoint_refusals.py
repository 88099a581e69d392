import io
import json
import os
import pickle
import subprocess
import sys

import pytest
import torch
from checkpoints import NAMES, SHAPE, SUFFIXES, made_card, made_network, refused, write_file
from reference_network import random_state
from torch import nn

from svmcifar.cnn import torch_runtime
from svmcifar.cnn.checkpoint import load_network, save_checkpoint
from svmcifar.compute.image_shape import ImageShape
from svmcifar.data.dataset import SUPERCLASSES
from svmcifar.errors import (
    BackendUnavailableError,
    CheckpointError,
)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoints") / "model.pth"
    save_checkpoint(made_network(), path, made_card())
    return path


@pytest.fixture
def write(tmp_path):
    return lambda content, name="foreign.pth": write_file(tmp_path / name, content)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_missing_empty_and_folder(tmp_path, suffix):
    path = tmp_path / f"m{suffix}"
    assert "must exist" in refused(path)
    path.write_bytes(b"")
    assert "the network's file is empty" in refused(path)
    path.unlink()
    path.mkdir()
    assert "directory" in refused(path)


@pytest.mark.parametrize("name", ["model", "model.pkl", "model.json", "model.pth.zip"])
def test_unknown_suffix(write, name):
    assert "must end in .pth" in refused(write(b"x", name))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_truncation_is_noticed(saved, write, suffix):
    content = saved.with_suffix(suffix).read_bytes()
    for n in [1, 2, 7, 64, 1000, *range(5000, len(content), 9973), len(content) - 1]:
        message = refused(write(content[:n], f"short{suffix}"))
        assert "copy it again" in message
        assert "Weights only load failed" not in message  # PyTorch goes on with how to run the code


class Payload:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("form", ["torch.save", "old torch.save", "pickle"])
def test_code_in_a_file_is_not_run(tmp_path, write, form):
    target = tmp_path / "payload-ran"
    state = {**random_state(2), "more": Payload(target)}
    content = io.BytesIO()
    if form == "pickle":
        pickle.dump(state["more"], content, protocol=2)
    else:
        torch.save(state, content, _use_new_zipfile_serialization=form == "torch.save")
    message = refused(write(content.getvalue()))
    assert not target.exists()
    assert "mkdir" in message or form == "pickle"
    assert "none of it was run" in message
    # The payload is real: unpickled without the safeguard it makes the folder.
    content.seek(0)
    pickle.load(content) if form == "pickle" else torch.load(content, weights_only=False)
    assert target.exists()


def test_whole_network(write):
    message = refused(write(made_network()))
    assert "got svmcifar.cnn.reference.ReferenceNetwork" in message
    assert "state_dict()" in message
    assert "weights_only" not in message


@pytest.mark.parametrize("content", [[1, 2], torch.zeros(3), {}, {"state_dict": 7}, {1: 2}])
def test_no_state_dict(write, content):
    assert "must be that of a known network" in refused(write(content))


def test_state_dict_of_another_network(write):
    assert "first '0.weight'" in refused(write(nn.Sequential(nn.Linear(2, 2)).state_dict()))


@pytest.mark.parametrize("kind", ["integers", "sparse"])
def test_weights_of_another_kind(write, kind):
    state = random_state(2)
    value = state["convolution_3.0.weight"]
    state["convolution_3.0.weight"] = value.char() if kind == "integers" else value.to_sparse()
    assert "dense floating-point tensors, got 'convolution_3.0.weight'" in refused(write(state))


def test_tensors_that_claim_more_than_the_file_holds(write):
    n_classes = 10**15
    state = random_state(2)
    state["classifier.2.weight"] = torch.zeros(1).expand(n_classes, 32)
    state["classifier.2.bias"] = torch.zeros(1).expand(n_classes)
    assert "must be dense" in refused(write(state))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_wrong_number_of_classes(saved, tmp_path, suffix):
    other = tmp_path / f"m{suffix}"
    other.write_bytes(saved.with_suffix(suffix).read_bytes())
    with pytest.raises(CheckpointError, match=r"the 20 classes of the data set, got one for 100;"):
        load_network(other, NAMES[:20], SHAPE)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["x", *NAMES[1:]], "got 'class 0' for class 0, 'x'"),
        ([*NAMES[:98], NAMES[99], NAMES[98]], "got 'class 98' for class 98, 'class 99'"),
        (NAMES[:99], "got 'class 99' for class 99, 'none'"),
    ],
)
def test_other_classes(saved, names, message):
    with pytest.raises(CheckpointError, match=f"model.json: .* in their order, {message}"):
        load_network(saved, names, SHAPE)


def test_a_network_of_superclasses(tmp_path):
    state = {**made_network().state_dict()}
    for part in ("weight", "bias"):
        state[f"classifier.2.{part}"] = state[f"classifier.2.{part}"][:20]
    path = write_file(tmp_path / "m.pth", state)
    upper = [f"superclass {k}" for k in range(20)]
    read = load_network(path, NAMES, SHAPE, superclass_names=upper)
    assert (read.label_kind, read.class_names) == (SUPERCLASSES, tuple(upper))
    with pytest.raises(CheckpointError, match=r"the 100 classes or 19 superclasses .* one for 20;"):
        load_network(path, NAMES, SHAPE, superclass_names=upper[1:])
    path.with_suffix(".json").write_text(json.dumps({"format": 1, "classes": upper}))
    assert load_network(path, NAMES, SHAPE, superclass_names=upper).n_classes == 20
    path.with_suffix(".json").write_text(json.dumps({"format": 1, "classes": NAMES}))
    with pytest.raises(CheckpointError, match=r"got 'class 0' for class 0, 'superclass 0'"):
        load_network(path, NAMES, SHAPE, superclass_names=upper)


def test_images_of_another_shape(saved):
    with pytest.raises(CheckpointError, match=r"3, 32, 32\D.*; use"):
        load_network(saved, NAMES, ImageShape(3, 32, 16))
    graph = load_network(saved.with_suffix(".onnx"), NAMES, ImageShape(3, 32, 16))
    assert graph.architecture.endswith(", images resized to 32 x 32")


def test_card_of_another_checkpoint(saved, tmp_path):
    save_checkpoint(made_network(seed=1), tmp_path / "model.pth", made_card())
    (tmp_path / "model.json").write_bytes(saved.with_suffix(".json").read_bytes())
    for suffix in SUFFIXES:
        message = refused(tmp_path / f"model{suffix}")
        assert message.startswith(str(tmp_path / "model.json"))
        assert f"model{suffix}" in message


# What must be installed


@pytest.mark.parametrize(
    ("suffix", "module", "other"), [(".pth", "torch", ".onnx"), (".onnx", "onnxruntime", ".pth")]
)
def test_missing_packages(saved, monkeypatch, suffix, module, other):
    monkeypatch.setitem(sys.modules, module, None)
    for runtime in ("torch_runtime", "onnx_runtime"):
        monkeypatch.delitem(sys.modules, f"svmcifar.cnn.{runtime}", raising=False)
    message = refused(saved.with_suffix(suffix), BackendUnavailableError)
    assert "pip install 'svmcifar[cnn]'" in message
    assert f"the {other} file" in message


def test_onnx_files_need_neither_torch_nor_onnx(saved):
    code = (
        "import sys; import numpy as np; from svmcifar.cnn.checkpoint import load_network\n"
        "from svmcifar.compute.image_shape import ImageShape\n"
        "names = [f'class {k}' for k in range(100)]\n"
        "network = load_network(sys.argv[1], names, ImageShape(3, 32, 32))\n"
        "assert network.predict_proba(np.zeros((2, 3072), np.uint8)).shape == (2, 100)\n"
        "assert not {'torch', 'onnx'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, saved.with_suffix(".onnx")], check=True)


@pytest.mark.parametrize("version", ["2.9.1+cpu", "2.1.0"])
def test_old_pytorch_is_refused(saved, monkeypatch, version):
    monkeypatch.setattr(torch, "__version__", type(torch.__version__)(version))
    monkeypatch.setattr(torch_runtime, "read_state", lambda *args: pytest.fail("it was read"))
    assert "PyTorch 2.10 or newer" in refused(saved, BackendUnavailableError)
