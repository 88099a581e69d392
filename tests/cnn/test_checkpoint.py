import hashlib
import json
import os
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch
from checkpoints import NAMES, SHAPE, SUFFIXES, made_card, made_network, refused, write_file
from reference_network import TOLERANCE, normalised, probabilities, random_state
from torch import nn

from svmcifar.cnn.bundled import bundled_checkpoint
from svmcifar.cnn.checkpoint import checkpoint_files, load_network, save_checkpoint
from svmcifar.cnn.image_network import normalise
from svmcifar.cnn.model_card import REFERENCE_NORMALISATION
from svmcifar.cnn.torch_runtime import round_weights
from svmcifar.errors import (
    CheckpointError,
    InputError,
    OutputError,
)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(2).integers(0, 256, (9, 3072), dtype=np.uint8)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoints") / "model.pth"
    save_checkpoint(made_network(), path, made_card())
    return path


@pytest.fixture
def write(tmp_path):
    return lambda content, name="foreign.pth": write_file(tmp_path / name, content)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_round_trip(saved, images, suffix):
    path = saved.with_suffix(suffix)
    network = load_network(str(path), NAMES, SHAPE)
    got, expected = network.predict_proba(images), probabilities(random_state(2), images)
    assert got.dtype == np.float32
    # A logit off by d moves a probability by the factor exp(2 d) at most; logits reach 130.
    np.testing.assert_allclose(got, expected, rtol=260 * TOLERANCE, atol=1e-12)
    np.testing.assert_allclose(got.sum(axis=1), 1, rtol=0, atol=1e-6)
    content = path.read_bytes()
    assert (network.path, network.name) == (path, "model")
    assert network.architecture == "reference, width 2, 100 classes"
    assert (network.n_classes, network.n_parameters) == (100, 33300)
    assert network.n_bytes == len(content)
    assert network.sha256 == hashlib.sha256(content).hexdigest()
    assert network.runtime.startswith("PyTorch " if suffix == ".pth" else "ONNX Runtime ")
    assert network.normalisation == REFERENCE_NORMALISATION
    assert network.card == json.loads(saved.with_suffix(".json").read_bytes())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_batches_and_their_order_do_not_matter(saved, suffix):
    network = load_network(saved.with_suffix(suffix), NAMES, SHAPE)
    n = 2 * network.batch_size + 3
    images = np.random.default_rng(3).integers(0, 256, (n, 3072), dtype=np.uint8)
    cut = network.batch_size // 2
    parts = [network.predict_proba(part) for part in (images[:cut], images[cut:])]
    np.testing.assert_allclose(network.predict_proba(images), np.concatenate(parts), rtol=1e-3)
    assert network.predict_proba(images[:0]).shape == (0, 100)


def test_card_is_complete(saved):
    card = json.loads(saved.with_suffix(".json").read_bytes())
    assert card["architecture"] == {"name": "reference", "width": 2, "n_classes": 100}
    assert card["n_parameters"] == 33300
    assert set(card["files"]) == {"model.pth", "model.onnx"}
    for name, entry in card["files"].items():
        content = (saved.parent / name).read_bytes()
        assert entry == {"sha256": hashlib.sha256(content).hexdigest(), "n_bytes": len(content)}
    assert {key: card[key] for key in made_card() if key != "created"} == {
        key: value for key, value in made_card().items() if key != "created"
    }


def test_equal_networks_give_equal_bytes(saved, tmp_path):
    save_checkpoint(made_network(), tmp_path / "other.pth", made_card())
    for suffix in SUFFIXES:
        assert (tmp_path / f"other{suffix}").read_bytes() == saved.with_suffix(suffix).read_bytes()


def test_quarter_width_as_float16_fits_8_mb(tmp_path):
    path = tmp_path / "model.pth"
    save_checkpoint(made_network(width=16), path, made_card(), half=True)
    sizes = [file.stat().st_size for file in checkpoint_files(path)]
    assert sum(sizes) < 8e6
    assert load_network(path.with_suffix(".onnx"), NAMES, SHAPE).n_parameters == 1_925_283


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_rounded_weights_are_those_that_half_stores(images, tmp_path, suffix):
    network = made_network()
    save_checkpoint(network, tmp_path / "half.pth", made_card(), half=True)
    round_weights(network)
    save_checkpoint(network, tmp_path / "rounded.pth", made_card())
    loaded = [load_network(tmp_path / f"{n}{suffix}", NAMES, SHAPE) for n in ("half", "rounded")]
    assert loaded[0].n_bytes < 0.7 * loaded[1].n_bytes
    assert loaded[0].n_parameters == loaded[1].n_parameters == 33300
    half, rounded = (one.predict_proba(images) for one in loaded)
    np.testing.assert_array_equal(half, rounded)
    expected = probabilities(network.state_dict(), images)
    np.testing.assert_allclose(half, expected, rtol=260 * TOLERANCE, atol=1e-12)
    assert np.abs(expected / probabilities(random_state(2), images) - 1).max() > 0.01


def test_vectors_stay_exact(tmp_path):
    network = made_network()
    save_checkpoint(network, tmp_path / "half.pth", made_card(), half=True)
    stored = torch.load(tmp_path / "half.pth", weights_only=True)
    for name, value in network.state_dict().items():
        assert stored[name].dtype == (torch.float16 if value.ndim > 1 else value.dtype)
        torch.testing.assert_close(
            stored[name].to(value.dtype),
            value.half().to(value.dtype) if value.ndim > 1 else value,
            rtol=0,
            atol=0,
        )


@pytest.mark.parametrize(("value", "half"), [(np.nan, False), (np.inf, True), (70000.0, True)])
def test_weights_that_cannot_be_stored(tmp_path, value, half):
    network = made_network()
    with torch.no_grad():
        network.reslayer1[0][0].weight[0, 0, 0, 0] = value
    with pytest.raises(CheckpointError, match=r"finite.*'reslayer1\.0\.0\.weight'"):
        save_checkpoint(network, tmp_path / "model.pth", made_card(), half=half)
    assert list(tmp_path.iterdir()) == []


def test_other_names_are_refused(tmp_path):
    with pytest.raises(OutputError, match=r"model\.onnx: a checkpoint's name must end in \.pth"):
        save_checkpoint(made_network(), tmp_path / "model.onnx", made_card())
    assert [file.name for file in checkpoint_files(tmp_path / "a.b.pth")] == [
        "a.b.pth", "a.b.onnx", "a.b.json",
    ]  # fmt: skip


@pytest.mark.parametrize("n_done", [0, 1, 2])
def test_an_interrupted_save_is_never_a_mixture(tmp_path, monkeypatch, n_done):
    path = tmp_path / "model.pth"
    save_checkpoint(made_network(), path, made_card())
    before = {file: file.read_bytes() for file in checkpoint_files(path)}
    replaced, replace = [], os.replace

    def stop(source, target):
        if len(replaced) == n_done:
            raise OSError(28, "No space left on device")
        replaced.append(target)
        replace(source, target)

    monkeypatch.setattr(os, "replace", stop)
    with pytest.raises(OutputError, match="No space left"):
        save_checkpoint(made_network(seed=1), path, made_card())
    assert path.with_suffix(".json").read_bytes() == before[path.with_suffix(".json")]
    assert {file.name for file in tmp_path.iterdir()} == {"model.pth", "model.onnx", "model.json"}
    for file in checkpoint_files(path)[:2]:
        if file in replaced:
            assert "a card must be of the checkpoint beside it" in refused(file)
        else:
            assert file.read_bytes() == before[file]
            load_network(file, NAMES, SHAPE)


def test_a_write_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "model.pth"
    save_checkpoint(made_network(), path, made_card())
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    write_bytes = type(path).write_bytes

    def fail(self, content):
        if self.suffix == ".onnx":
            raise OSError(28, "No space left on device")
        return write_bytes(self, content)

    monkeypatch.setattr(type(path), "write_bytes", fail)
    with pytest.raises(OutputError, match="No space left"):
        save_checkpoint(made_network(seed=1), path, made_card())
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    "wrap",
    [
        OrderedDict,
        lambda state: {"state_dict": state, "epoch": 50},
        lambda state: {f"module.{name}": value for name, value in state.items()},
        lambda state: {name: value.double() for name, value in state.items()},
        lambda state: {name: nn.Parameter(v) if v.ndim else v for name, v in state.items()},
        lambda state: {
            n: v.to(memory_format=torch.channels_last) if v.ndim == 4 else v
            for n, v in state.items()
        },
    ],
)
def test_state_dicts_as_others_save_them(saved, images, write, wrap):
    network = load_network(write(wrap(random_state(2))), NAMES, SHAPE)
    expected = load_network(saved, NAMES, SHAPE).predict_proba(images)
    np.testing.assert_array_equal(network.predict_proba(images), expected)
    assert network.card is None
    assert network.normalisation is None


def test_tensors_from_a_gpu_come_to_the_host(saved, images, write, tmp_path):
    on_host = write(random_state(2))
    with zipfile.ZipFile(on_host) as old, zipfile.ZipFile(tmp_path / "gpu.pth", "w") as new:
        for entry in old.namelist():
            content = old.read(entry)
            if entry.endswith("data.pkl"):
                assert b"X\x03\x00\x00\x00cpu" in content
                content = content.replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0")
            new.writestr(entry, content)
    network = load_network(tmp_path / "gpu.pth", NAMES, SHAPE)
    expected = load_network(saved, NAMES, SHAPE).predict_proba(images)
    np.testing.assert_array_equal(network.predict_proba(images), expected)


def test_normalise(images):
    pixels = normalise(images.reshape(-1, *SHAPE), REFERENCE_NORMALISATION)
    np.testing.assert_allclose(pixels, normalised(images), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_normalisation_of_the_card_counts(tmp_path, images, suffix):
    normalisation = {"mean": [0.5, 0.4, 0.3], "std": [0.25, 0.5, 0.125]}
    save_checkpoint(made_network(), tmp_path / "m.pth", made_card(normalisation=normalisation))
    other = load_network(tmp_path / f"m{suffix}", NAMES, SHAPE)
    assert other.normalisation._asdict() == {k: tuple(v) for k, v in normalisation.items()}
    pixels = normalise(images.reshape(-1, *SHAPE), other.normalisation)
    mean, std = (np.array(normalisation[key])[:, None, None] for key in ("mean", "std"))
    expected = (images.reshape(-1, 3, 32, 32) / 255 - mean) / std
    np.testing.assert_allclose(pixels, expected, rtol=1e-5, atol=1e-6)


def test_onnx_without_card_keeps_its_normalisation(tmp_path):
    normalisation = {"mean": [0.5, 0.4, 0.3], "std": [0.25, 0.5, 0.125]}
    save_checkpoint(made_network(), tmp_path / "m.pth", made_card(normalisation=normalisation))
    (tmp_path / "m.json").unlink()
    network = load_network(tmp_path / "m.onnx", NAMES, SHAPE)
    assert network.card is None
    assert network.normalisation == ((0.5, 0.4, 0.3), (0.25, 0.5, 0.125))
    assert network.architecture == "reference, width 2, 100 classes"
    assert network.n_parameters is None  # known from the card alone


@pytest.mark.parametrize(
    "images",
    [np.zeros((2, 3072)), np.zeros((2, 3, 32, 32), np.uint8), np.zeros(3072, np.uint8),
     np.zeros((2, 3071), np.uint8)],
)  # fmt: skip
def test_images_of_another_shape_or_type(saved, images):
    with pytest.raises(InputError, match="uint8 rows of 3072"):
        load_network(saved, NAMES, SHAPE).predict_proba(images)


@pytest.mark.parametrize(
    ("name", "value"), [("convolution_5.0.bias", np.nan), ("classifier.2.bias", np.inf)]
)
def test_weights_that_are_no_numbers_are_named(write, name, value):
    state = random_state(2)
    state[name][7] = value
    with pytest.raises(CheckpointError, match=f"must be finite, got others in '{name}'"):
        load_network(write(state), NAMES, SHAPE)


def test_networks_that_answer_with_nothing_finite(write, images):
    state = random_state(2)
    state["convolution_5.0.bias"][:] = state["classifier.2.weight"][:] = 1e38
    with pytest.raises(CheckpointError, match="finite numbers"):
        load_network(write(state), NAMES, SHAPE).predict_proba(images)


@pytest.mark.parametrize("synthetic", [False, True])
def test_bundled_networks_are_inside_the_package(synthetic):
    path = bundled_checkpoint(synthetic)
    assert path.parts[-4:-1] == ("svmcifar", "cnn", "checkpoints")
    assert ("synthetic" in path.name) == synthetic
    assert path.suffix == ".onnx"
