"""Training a network: learning, seeds, schedules, precision, held-out images."""

import copy
import math

import numpy as np
import pytest
import torch
from cnntraining import (
    CPU,
    SUPERCLASS_OF,
    TINY,
    assert_same,
    coloured_images,
    train,
    weights,
)
from torch import nn

from svmcifar.cnn import blueprint, training_loop
from svmcifar.cnn import recipe as recipe_module
from svmcifar.cnn.recipe import Recipe, choose_device, fastest_precision
from svmcifar.cnn.reference import ReferenceNetwork
from svmcifar.cnn.training_loop import count_right, normalise, train_network
from svmcifar.errors import BackendUnavailableError, InputError


def test_learns_what_is_easy(tmp_path):
    images, labels = coloured_images(12)
    trained = train(
        tmp_path / "s", images=images, labels=labels, width=2, epochs=24, batch_size=6,
        max_learning_rate=0.01,
    )  # fmt: skip
    last = trained.history[-1]
    assert last["validation_accuracy"] == last["validation_coarse_accuracy"] == 1
    assert last["validation_loss"] < 0.3
    assert last["train_accuracy"] > 0.8
    assert last["train_loss"] < 0.5 * trained.history[0]["train_loss"]
    assert count_right(trained.network, images, labels, SUPERCLASS_OF) == {"fine": 48, "coarse": 48}
    assert not trained.network.training


def test_history_has_an_entry_an_epoch(tmp_path):
    seen = []
    images, labels = coloured_images()
    trained = train_network(
        images, labels, SUPERCLASS_OF, Recipe(**TINY),
        device=CPU, state_path=tmp_path / "s", on_epoch=seen.append,
    )  # fmt: skip
    assert seen == trained.history
    assert [entry["epoch"] for entry in seen] == [1, 2, 3]
    scores = {"loss", "accuracy", "coarse_accuracy"}
    names = {f"{images}_{score}" for images in ("train", "validation") for score in scores}
    assert all(
        set(entry) == names | {"epoch", "learning_rate", "seconds", "cpu_seconds"} for entry in seen
    )
    assert len(trained.validation_rows) == 8


def test_without_validation_all_images_are_learned_from(tmp_path):
    batches = []
    trained = train(tmp_path / "s", validation=0.0, on_batch=batches.append)
    assert sum(batches) == 3 * 5  # 32 images in batches of 7
    assert "validation_loss" not in trained.history[0]
    assert len(trained.validation_rows) == 0
    assert not trained.network.training


def test_validation_images_are_not_learned_from(tmp_path):
    images, labels = coloured_images()
    trained = train(tmp_path / "a", images=images, labels=labels)
    other = images.copy()
    other[trained.validation_rows] = 77
    assert_same_weights = weights(train(tmp_path / "b", images=other, labels=labels))
    for name, value in weights(trained).items():
        np.testing.assert_array_equal(value, assert_same_weights[name])
    other = images.copy()
    rows = np.setdiff1d(np.arange(32), trained.validation_rows)
    other[rows[0]] = 77
    changed = weights(train(tmp_path / "c", images=other, labels=labels))
    assert (changed["classifier.2.weight"] != assert_same_weights["classifier.2.weight"]).any()


def test_same_seed_same_network(tmp_path):
    first = train(tmp_path / "1", seed=3)
    torch.manual_seed(99)
    assert_same(first, train(tmp_path / "2", seed=3))
    other = train(tmp_path / "3", seed=4)
    assert (
        weights(other)["convolution1.0.weight"] != weights(first)["convolution1.0.weight"]
    ).any()
    assert other.validation_rows.tolist() != first.validation_rows.tolist()


def test_seed_is_that_of_first_weights_and_of_order(tmp_path, monkeypatch):
    seen = []
    augment = training_loop.augment_batch
    monkeypatch.setattr(
        training_loop, "augment_batch", lambda x, *how: seen.append(x) or augment(x, *how)
    )
    still = {"max_learning_rate": 1e-30, "validation": 0.0, "batch_size": 32, "epochs": 1}
    first, other = (train(tmp_path / str(seed), seed=seed, **still) for seed in (3, 4))
    name = "convolution1.0.weight"
    assert (weights(first)[name] != weights(other)[name]).any()
    assert not torch.equal(*seen)


def test_epochs_are_shuffled_and_changed_anew(tmp_path, monkeypatch):
    seen = []
    augment = training_loop.augment_batch
    monkeypatch.setattr(
        training_loop,
        "augment_batch",
        lambda x, *how: seen.append((x, augment(x, *how))) or seen[-1][1],
    )
    train(tmp_path / "s", batch_size=24)
    (first, changed), (second, changed_again), _ = seen
    assert not torch.equal(first, second)
    order = [int((first == image).flatten(1).all(1).nonzero()[0]) for image in second]
    assert sorted(order) == [*range(24)]
    assert not torch.isclose(changed[order], changed_again).flatten(1).all(1).any()


def test_one_cycle_is_stepped_after_each_batch(tmp_path, monkeypatch):
    seen = []

    class SpyAdam(torch.optim.Adam):
        def step(self, *args, **kwargs):
            seen.append(copy.deepcopy({**self.param_groups[0], "params": None}))
            return super().step(*args, **kwargs)

    monkeypatch.setattr(torch.optim, "Adam", SpyAdam)
    train(tmp_path / "s", epochs=5, max_learning_rate=0.02, weight_decay=0.3)
    total = 5 * 4  # 24 images in batches of 7
    top = 0.3 * total - 1
    low, high, end = 0.02 / 25, 0.02, 0.02 / 25 / 1e4

    def cosine(start, stop, share):
        return stop + (start - stop) / 2 * (1 + math.cos(math.pi * share))

    expected = [
        cosine(low, high, k / top) if k <= top else cosine(high, end, (k - top) / (total - 1 - top))
        for k in range(total)
    ]
    np.testing.assert_allclose([group["lr"] for group in seen], expected, rtol=1e-9)
    assert {group["weight_decay"] for group in seen} == {0.3}
    assert not any(group.get("decoupled_weight_decay") for group in seen)  # Adam, not AdamW


def test_defaults_are_the_references():
    recipe = Recipe()
    assert (recipe.width, recipe.epochs, recipe.batch_size) == (64, 50, 128)
    assert (recipe.max_learning_rate, recipe.weight_decay) == (1e-3, 1e-3)


@pytest.mark.parametrize("batch_size", [1, 31, 32, 1000])
def test_last_batch_may_be_of_any_size(tmp_path, batch_size):
    trained = train(tmp_path / "s", validation=0.0, batch_size=batch_size, epochs=1)
    assert math.isfinite(trained.history[0]["train_loss"])
    assert all(np.isfinite(value).all() for value in weights(trained).values())


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_precision_is_that_of_the_products(tmp_path, monkeypatch, precision):
    dtypes = []

    class SpyNetwork(ReferenceNetwork):
        def forward(self, images):
            logits = super().forward(images)
            dtypes.append((self.training, logits.dtype))
            return logits

    monkeypatch.setattr(blueprint, "ReferenceNetwork", SpyNetwork)
    trained = train(tmp_path / "s", precision=precision, epochs=1)
    assert set(dtypes) == {(True, getattr(torch, precision)), (False, torch.float32)}
    assert all(value.dtype == torch.float32 for value in trained.network.parameters())


@pytest.mark.parametrize("share", [-0.1, 1.0, math.nan])
def test_share_of_validation_must_leave_something(share):
    with pytest.raises(InputError, match="share of validation images"):
        Recipe(validation=share)


def test_normalise():
    images = torch.rand(2, 3, 4, 5)
    mean, std = np.array([0.4914, 0.4822, 0.4465]), np.array([0.2023, 0.1994, 0.2010])
    expected = (images.numpy() - mean[:, None, None]) / std[:, None, None]
    np.testing.assert_allclose(normalise(images), expected, rtol=1e-5, atol=1e-6)


def test_superclass_is_that_of_the_largest_summed_probability():
    class Fixed(nn.Module):
        def forward(self, images):
            # Likeliest are class 1 and superclass 0, class 1 and superclass 1, and class 0 and
            # superclass 0, though the logits of superclass 1 have the larger sum there.
            chances = [[0.3, 0.4, 0.3, 0.0], [0.05, 0.5, 0.05, 0.4], [0.6, 0.2, 0.0, 0.2]]
            return torch.tensor(chances).clamp(min=1e-9).log()

    images = np.zeros((3, 3, 32, 32), np.uint8)
    assert count_right(Fixed(), images, np.array([1, 1, 0]), SUPERCLASS_OF) == {
        "fine": 3,
        "coarse": 2,
    }
    assert count_right(Fixed(), images, np.array([0, 3, 2]), SUPERCLASS_OF) == {
        "fine": 0,
        "coarse": 3,
    }


def test_gpu_that_is_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == choose_device("cpu") == CPU
    with pytest.raises(BackendUnavailableError, match=r"device 'gpu' does not work here.*'cpu'"):
        choose_device("gpu")


@pytest.mark.parametrize(
    ("flags", "precision"),
    [({}, "float32"), ({"avx512_bf16": True}, "bfloat16"), ({"amx_bf16": True}, "bfloat16"),
     ({"avx512_bf16": False, "avx2": True}, "float32")],
)  # fmt: skip
def test_bfloat16_is_for_processors_that_have_it(monkeypatch, flags, precision):
    monkeypatch.setattr(recipe_module.torch.cpu, "get_capabilities", lambda: flags)
    assert fastest_precision(CPU) == precision
