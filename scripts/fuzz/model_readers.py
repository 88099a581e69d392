"""Readers of models, networks and their cards."""

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import mutations
import numpy as np
from trial import Reader, require

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
from picturefiles import write_npz
from sklearn.base import BaseEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from svmcifar import RBFSVC, SVC
from svmcifar.compute.image_shape import ImageShape
from svmcifar.data.registry import open_dataset
from svmcifar.errors import CheckpointError
from svmcifar.features.settings import FeatureSettings
from svmcifar.model import estimator_file, persistence
from svmcifar.model.classifier import ImageClassifier
from svmcifar.model.description import describe_manifest
from svmcifar.model.train import train_classifier

_HASH = "0" * 64
_NAMES = ["no", "yes"]


@contextmanager
def _any_hash() -> Iterator[None]:
    """Let content hashes be computed, and be right: who forges a file can compute them too."""
    with ExitStack() as stack:
        for module in (persistence, estimator_file):
            real = module.content_hash
            stack.enter_context(
                patch.object(module, "content_hash", lambda *parts, of=real: (of(*parts), _HASH)[1])
            )
        yield


def _check_scores(ids: Any, classes: Any, *scores: Any) -> None:
    require(np.isin(ids, classes).all(), "predicted classes")
    for score in scores:
        require(score.shape[0] == len(ids) and np.isfinite(score).all(), "decision values")


# Models


def _model_seeds(folder: Path) -> list[bytes]:
    dataset = open_dataset(write_npz(folder / "data.npz", 16, 4, side=2))
    train = dataset.read_split("train")
    components = FeatureSettings(
        n_components=4, whiten=0.5, ridge_scores=0.5, ridge_components=6, augment="flip"
    )
    seeds = []
    for features, svc, slim in (
        (FeatureSettings(), RBFSVC(), False),
        (FeatureSettings(), SVC(kernel="poly", probability=True, class_weight="balanced"), False),
        (components, RBFSVC(), False),
        (FeatureSettings(), RBFSVC(), True),
    ):
        model = train_classifier(dataset, train, svc, features, label_kind="fine")
        seeds.append(_saved(folder, model, slim=slim))
    X = np.random.default_rng(0).standard_normal((12, 3))
    y = np.array(["a", "b", "c"])[np.arange(12) % 3]
    for estimator in (
        SVC(kernel="precomputed").fit(X @ X.T, y),
        make_pipeline(StandardScaler(), RBFSVC()).fit(X, y),
    ):
        seeds.append(_saved(folder, estimator))
    return seeds


def _saved(folder: Path, model: Any, **how: Any) -> bytes:
    with _any_hash():
        persistence.save_model(model, folder / "seed.skops", overwrite=True, **how)
    return (folder / "seed.skops").read_bytes()


def _read_model(path: Path) -> None:
    manifest = persistence.read_any_manifest(path)
    json.dumps(manifest.to_dict(), allow_nan=False)
    describe_manifest(manifest)
    dataset = open_dataset(path.parent / "data.npz")
    with _any_hash():
        model = persistence.load_model(path, dataset)
    rng = np.random.default_rng(0)
    if isinstance(model, ImageClassifier):
        shape = model.manifest.data.image_shape or (3, 32, 32)
        images = rng.integers(0, 256, (3, int(np.prod(shape))), dtype=np.uint8)
        ids, decisions, probabilities = model.predict_with_probabilities(images)
        _check_scores(ids, range(len(model.class_names)), decisions)
        if probabilities is not None:
            require(np.allclose(probabilities.sum(axis=1), 1), "probabilities")
        return
    require(isinstance(model, BaseEstimator), "an estimator")
    if isinstance(model, SVC):  # what scikit-learn's own do with strange arrays is theirs
        X = rng.standard_normal((3, model.n_features_in_))
        _check_scores(model.predict(X), model.classes_, model.decision_function(X))


# Networks


def _check_network(path: Path, shape: ImageShape) -> None:
    from svmcifar.cnn.checkpoint import load_network

    network = load_network(path, _NAMES, shape, n_threads=1)
    images = np.random.default_rng(0).integers(0, 256, (2, shape.n_values), dtype=np.uint8)
    probabilities = network.predict_proba(images)
    require(probabilities.shape == (2, 2) and np.allclose(probabilities.sum(axis=1), 1), "logits")
    require(isinstance(network.architecture, str) and isinstance(network.data_label, str), "texts")


def _state() -> dict[str, Any]:
    import torch

    from svmcifar.cnn.reference import ReferenceNetwork

    torch.manual_seed(0)
    network = ReferenceNetwork(1, len(_NAMES))
    return {k: v.half() if v.ndim > 1 else v for k, v in network.state_dict().items()}


def _pth_seeds(_: Path) -> list[bytes]:
    import torch

    seeds = []
    for content, new in (
        (_state(), True),
        ({"epoch": 3, "model": _state()}, True),
        (_state(), False),
    ):
        file = BytesIO()
        torch.save(content, file, _use_new_zipfile_serialization=new)
        seeds.append(file.getvalue())
    return seeds


def _safetensors_seeds(_: Path) -> list[bytes]:
    from safetensors.torch import save

    return [save(_state(), {"format": "pt"})]


def _read_weights(path: Path) -> None:
    _check_network(path, ImageShape(3, 32, 32))


def _card_seeds(folder: Path) -> list[bytes]:
    import torch
    from checkpoints import made_card

    torch.save(_state(), folder / "network.pth")
    from svmcifar.cnn.blueprint import Blueprint

    blueprint = Blueprint("weak-baseline", len(_NAMES), {"dropout": 0.5})
    plain = made_card(
        classes=_NAMES, architecture={"name": "reference", "width": 1, "n_classes": 2}
    )
    return [
        json.dumps(card).encode()
        for card in (plain, {**plain, "architecture": blueprint.to_card()})
    ]


def _read_card(path: Path) -> None:
    from svmcifar.cnn.model_card import card_data

    record = card_data(path.with_name("network.pth"))
    shape = ImageShape(*record.get("image_shape", (3, 32, 32)))
    require(shape.n_values <= 2**24 and shape.channels > 0, "the shape of images")
    _check_network(path.with_name("network.pth"), ImageShape(3, 32, 32))


def _onnx_seeds(folder: Path) -> list[bytes]:
    from onnx import TensorProto, helper, numpy_helper

    (folder / "network.onnx.data").write_bytes(bytes(64))
    weights = np.random.default_rng(0).standard_normal((2, 3)).astype(np.float32)
    seeds = []
    for kind, size in ((TensorProto.FLOAT, ["N", 3, 8, 8]), (TensorProto.UINT8, [1, 3, "h", "w"])):
        nodes = [
            helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
            helper.make_node("GlobalAveragePool", ["f"], ["p"]),
            helper.make_node("Flatten", ["p"], ["v"]),
            helper.make_node("Gemm", ["v", "w"], ["y"], transB=1),
        ]
        graph = helper.make_graph(
            nodes,
            "small",
            [helper.make_tensor_value_info("x", kind, size)],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [size[0], 2])],
            [numpy_helper.from_array(weights, "w")],
        )
        opset = [helper.make_opsetid("", 17)]
        model = helper.make_model(graph, opset_imports=opset, ir_version=8)
        normalisation = json.dumps({"mean": [0, 0, 0], "std": [1, 1, 1]})
        helper.set_model_props(model, {"architecture": "small", "normalisation": normalisation})
        seeds.append(model.SerializeToString())
    return seeds


def _mutate_onnx(content: bytes, random: Random) -> bytes:
    """Change fields of the messages that a graph is made of, or its bytes."""
    from google.protobuf.message import DecodeError
    from onnx import ModelProto

    model = ModelProto()
    try:
        model.ParseFromString(content)
        if random.random() < 0.2:
            return mutations.mutate_bytes(content, random)
        for _ in range(random.choice((1, 1, 2))):
            _mutate_message(model, random)
        return model.SerializeToString()
    except (DecodeError, ValueError, TypeError):
        return mutations.mutate_bytes(content, random)


def _mutate_message(message: Any, random: Random) -> None:
    present = message.ListFields()
    field, value = random.choice(present) if present else (None, None)
    if field is None or random.random() < 0.05:
        field = random.choice(message.DESCRIPTOR.fields)
        value = getattr(message, field.name)
    is_list = hasattr(value, "extend")
    if is_list and len(value) and (field.message_type is None or random.random() < 0.3):
        at = random.randrange(len(value))
        if random.random() < 0.3:
            del value[at]
        elif field.message_type is not None:
            value.add().CopyFrom(value[at])
        else:
            value[at] = _other(value[at], random)
    elif field.message_type is not None:
        if is_list and not len(value):
            value.add()
        _mutate_message(random.choice(value) if is_list else value, random)
    elif is_list:
        value.append(random.choice((0, 1, 7)))
    elif random.random() < 0.1:
        message.ClearField(field.name)
    else:
        setattr(message, field.name, _other(value, random))


def _other(value: Any, random: Random) -> Any:
    """Return another value of the same type."""
    if isinstance(value, bytes):
        return mutations.mutate_bytes(value, random)
    if isinstance(value, str):
        return random.choice(
            ("", "x", "y", "w", "Loop", "Expand", "Resize", "Tile", "Softmax", "\n")
        )
    if isinstance(value, float):
        return random.choice((0.0, -1.0, 1e30, float("nan"), float("inf")))
    return random.choice((0, 1, 2, 3, 7, 10, 11, 16, 255, 2**31 - 1, -1))


class _Here:
    """Stands for the process of `onnx_runtime`, whose faults would not be seen."""

    @classmethod
    def idle(cls) -> "_Here":
        return cls()

    def release(self) -> None:
        pass

    def ask(self, request: dict[str, Any], parts: Any, *_: Any) -> tuple[dict[str, Any], list[Any]]:
        from svmcifar.cnn import onnx_process

        try:
            if "open" in request:
                shape = ImageShape(*request["open"]["image_shape"])
                args = Path(request["open"]["path"]), parts[0], shape, 1, b"".join(parts[1:])
                self.compute, opened = onnx_process.opened(*args)
                return json.loads(json.dumps({"opened": opened})), []
            entries, of_answer = onnx_process.answered(self.compute, parts[0])
            return json.loads(json.dumps(entries)), of_answer
        except CheckpointError as error:
            return {"error": str(error)}, []
        except MemoryError:
            return {"error": None}, []


def _read_onnx(path: Path) -> None:
    from svmcifar.cnn import onnx_runtime

    with patch.object(onnx_runtime, "_Process", _Here):
        _check_network(path, ImageShape(3, 8, 8))


READERS = {
    "model": Reader("model.skops", _model_seeds, _read_model, mutations.mutate_zip),
    "pth": Reader("network.pth", _pth_seeds, _read_weights, mutations.mutate_zip),
    "safetensors": Reader(
        "network.safetensors", _safetensors_seeds, _read_weights, mutations.mutate_safetensors
    ),
    "card": Reader("network.json", _card_seeds, _read_card, mutations.mutate_json),
    "onnx": Reader("network.onnx", _onnx_seeds, _read_onnx, _mutate_onnx),
}
