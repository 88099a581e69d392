"""Optimizers, schedules, label smoothing, augmentation and normalisation of a recipe."""

import copy

import numpy as np
import pytest
import torch
from cnntraining import train

from svmcifar.cnn import training_loop
from svmcifar.cnn.augment import augment_batch
from svmcifar.cnn.normalisation import NORMALISATIONS


def rates_of(tmp_path, monkeypatch, **settings):
    """Learning rates of each step, with the rest of the optimizer's group."""
    seen = []
    name = {"adam": "Adam", "sgd": "SGD"}[settings.get("optimizer", "adam")]

    class Spy(getattr(torch.optim, name)):
        def step(self, *args, **kwargs):
            seen.append(copy.deepcopy({**self.param_groups[0], "params": None}))
            return super().step(*args, **kwargs)

    monkeypatch.setattr(torch.optim, name, Spy)
    # 24 images in batches of 12: two steps an epoch
    train(tmp_path / "s", max_learning_rate=0.01, batch_size=12, **settings)
    return [group["lr"] for group in seen], seen[0]


STEPS = np.arange(12)
EXPECTED = {
    "constant": np.full(12, 0.01),
    "cosine": 0.005 * (1 + np.cos(np.pi * STEPS / 12)),
    "step": 0.01 * 0.1 ** ((STEPS >= 6).astype(int) + (STEPS >= 8)),  # epochs 3 and 4 of 6
    "cyclic": 1e-5 + (0.01 - 1e-5) * (1 - np.abs(STEPS % 4 - 2) / 2),  # three cycles
}


@pytest.mark.parametrize("schedule", [*EXPECTED])
def test_schedule(tmp_path, monkeypatch, schedule):
    settings = {"snapshots": 3} if schedule == "cyclic" else {}
    rates, _ = rates_of(tmp_path, monkeypatch, schedule=schedule, epochs=6, **settings)
    np.testing.assert_allclose(rates, EXPECTED[schedule], rtol=1e-6, atol=1e-12)


def test_milestones_are_epochs(tmp_path, monkeypatch):
    rates, _ = rates_of(tmp_path, monkeypatch, schedule="step", epochs=4, milestones=(1, 3))
    np.testing.assert_allclose(rates, np.repeat([1e-2, 1e-3, 1e-3, 1e-4], 2), rtol=1e-6)


def test_sgd_has_momentum_and_weight_decay(tmp_path, monkeypatch):
    _, group = rates_of(
        tmp_path, monkeypatch, optimizer="sgd", schedule="constant", weight_decay=0.25
    )
    assert (group["momentum"], group["weight_decay"]) == (0.9, 0.25)


def test_label_smoothing_reaches_the_loss(tmp_path, monkeypatch):
    seen = []
    loss = training_loop.cross_entropy
    monkeypatch.setattr(
        training_loop,
        "cross_entropy",
        lambda *a, **k: seen.append(k.get("label_smoothing")) or loss(*a, **k),
    )
    train(tmp_path / "s", epochs=1, label_smoothing=0.125)
    assert 0.125 in seen


def test_augmentation_and_jitter_reach_the_images(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        training_loop,
        "augment_batch",
        lambda x, g, *how: seen.append(how) or augment_batch(x, g, *how),
    )
    train(tmp_path / "s", epochs=1, augment="flip-shift", jitter=0.5)
    assert set(seen) == {("flip-shift", 0.5)}


def test_kinds_of_augmentation():
    generator = torch.Generator()
    images = torch.randint(256, (6, 3, 32, 32), generator=generator, dtype=torch.uint8)
    pixels = images.float() / 255
    assert torch.equal(augment_batch(images, generator, "none"), pixels)
    moved = augment_batch(images, generator, "flip-shift", 0.0)
    for image, result in zip(pixels, moved, strict=True):  # some shift of it or its mirror image
        middle = result[:, 8:-8, 8:-8]
        whole = torch.cat([image, image.flip(2)], dim=2)
        windows = whole.unfold(1, 16, 1).unfold(2, 16, 1)
        same = (windows == middle[:, None, None]).all(dim=(0, 3, 4))
        assert same.any()
    rotated = augment_batch(images, torch.Generator().manual_seed(3), "standard", 0.0)
    still = augment_batch(images, torch.Generator().manual_seed(3), "flip-shift", 0.0)
    assert not torch.equal(rotated, still)
    jittered = augment_batch(images, torch.Generator().manual_seed(3), "standard", 2.0)
    assert (jittered - rotated).abs().mean() > 0.02


def test_normalisation_reaches_training_and_evaluation(tmp_path, monkeypatch):
    seen = set()
    normalise = training_loop.normalise
    monkeypatch.setattr(
        training_loop, "normalise", lambda x, how: seen.add((len(x), how)) or normalise(x, how)
    )
    train(tmp_path / "s", epochs=1, normalise="imagenet", batch_size=24)
    assert seen == {(24, NORMALISATIONS["imagenet"]), (8, NORMALISATIONS["imagenet"])}
