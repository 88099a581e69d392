"""The training loop: epoch by epoch, from where it was stopped."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from svmcifar.cnn.augment import augment_batch
from svmcifar.cnn.blueprint import Blueprint
from svmcifar.cnn.first_weights import last_layer, load_first_weights
from svmcifar.cnn.kept_weights import KeptWeights
from svmcifar.cnn.model_card import REFERENCE_NORMALISATION, Normalisation
from svmcifar.cnn.normalisation import parse_normalisation
from svmcifar.cnn.recipe import Recipe
from svmcifar.cnn.resume import History, load_state, save_state
from svmcifar.cnn.schedules import make_optimizer, make_schedule
from svmcifar.compute.image_shape import ImageShape
from svmcifar.compute.stopwatch import Stopwatch
from svmcifar.data.dataset import CLASSES, SUPERCLASSES
from svmcifar.data.sampling import hold_out
from svmcifar.errors import InputError

_EVALUATION_BATCH = 250


@dataclass
class TrainedNetwork:
    """A trained network and its history.

    Attributes
    ----------
    network : Module
        On the host, in evaluation mode.
    blueprint : Blueprint
        How it is made.
    history : list of dict
        An entry an epoch: ``epoch`` (from 1), loss, accuracy and accuracy of superclasses of
        ``train`` (on augmented images, while learning) and of ``validation`` (if images are
        held out) by the names of `_scores`, ``learning_rate`` at its end, ``seconds``,
        ``cpu_seconds``.
    validation_rows : ndarray of int
        Indices of the training images that were held out.
    best_epoch : int
        The epoch with the highest accuracy on held-out images, the first of several; the last epoch
        where none are held out.
    snapshots : list of dict
        State dicts of a snapshot ensemble, if the recipe asks for one.
    """

    network: nn.Module
    blueprint: Blueprint
    history: History
    validation_rows: NDArray[np.intp]
    best_epoch: int
    snapshots: list[dict[str, Tensor]]


def train_network(
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    superclass_of: NDArray[np.int64],
    recipe: Recipe,
    *,
    device: torch.device,
    state_path: Path | None,
    data_key: str = "",
    first_weights: Mapping[str, Tensor] | None = None,
    on_batch: Callable[[int], Any] = lambda n_batches: None,
    on_epoch: Callable[[dict[str, float]], Any] = lambda entry: None,
) -> TrainedNetwork:
    """Train a network by a recipe.

    Images are (n_images, 3, height, width), labels their class ids (n_images,), and
    `superclass_of` holds the superclass id of each class id.  `first_weights` is a state dict to
    start from: see `svmcifar.cnn.first_weights.load_first_weights`.

    The state is written to `state_path` after each epoch, unless that is None.  If the file exists,
    training resumes from there, with the same recipe and `data_key` only; the caller removes it in
    the end.  `on_batch` is called with 1 after each batch, and once with the number of batches that
    are done already; `on_epoch` with the epoch's entry in the history.

    Raise CheckpointError if the state is damaged or of another training, and InputError if
    the loss becomes infinite or NaN, or the recipe's network cannot be made.
    """
    held_out = hold_out(labels, recipe.validation, recipe.seed)
    pictures = torch.from_numpy(np.array(images)).to(device)
    targets = torch.from_numpy(np.array(labels)).to(device)
    kept = torch.from_numpy(np.flatnonzero(~held_out)).to(device)
    validation = torch.from_numpy(np.flatnonzero(held_out)).to(device)
    groups = torch.from_numpy(np.array(superclass_of)).to(device)
    normalisation = parse_normalisation(recipe.normalise)

    torch.manual_seed(recipe.seed)
    blueprint = recipe.blueprint(superclass_of)
    network = blueprint.build(ImageShape(*images.shape[1:]))
    if first_weights is not None:
        load_first_weights(network, first_weights, blueprint)
    network.to(device).to(memory_format=torch.channels_last)
    n_batches = -(-len(kept) // recipe.batch_size)
    optimizer = make_optimizer(network.parameters(), recipe, recipe.max_learning_rate)
    schedule = make_schedule(optimizer, recipe, n_batches)
    others = KeptWeights()
    parts: dict[str, Any] = {
        "network": network, "optimizer": optimizer, "schedule": schedule, "kept": others,
    }  # fmt: skip
    if recipe.head_epochs:
        head = last_layer(network, blueprint)
        head_optimizer = make_optimizer(head.parameters(), recipe, recipe.head_learning_rate)
        parts["head_optimizer"] = head_optimizer
    identity = {"data": data_key, **asdict(recipe)}
    resumed = state_path is not None and state_path.exists()
    history = load_state(state_path, identity, parts) if resumed and state_path else []
    on_batch(len(history) * n_batches)
    is_bfloat16 = recipe.precision == "bfloat16"

    for epoch in range(len(history) + 1, recipe.all_epochs + 1):
        if is_over(history, recipe.patience):
            break
        clock = Stopwatch()
        # Drawn anew from seed and epoch, so that a resumed training draws the same.
        epoch_seed = recipe.seed * 1_000_003 + epoch
        generator = torch.Generator(device).manual_seed(epoch_seed)
        torch.manual_seed(epoch_seed)  # for what layers draw, such as dropout
        sums = torch.zeros(3, device=device)
        is_head_alone = epoch <= recipe.head_epochs
        network.train(not is_head_alone).requires_grad_(not is_head_alone)
        if is_head_alone:
            head.train().requires_grad_()
        stepped = head_optimizer if is_head_alone else optimizer
        order = torch.randperm(len(kept), generator=generator, device=device)
        for rows in kept[order].split(recipe.batch_size):
            batch = augment_batch(pictures[rows], generator, recipe.augment, recipe.jitter)
            with torch.autocast(device.type, torch.bfloat16, enabled=is_bfloat16):
                logits = network(normalise(batch, normalisation)).float()
            loss = cross_entropy(logits, targets[rows], label_smoothing=recipe.label_smoothing)
            network.zero_grad()
            loss.backward()
            stepped.step()
            if not is_head_alone:
                schedule.step()
            sums += _sums(logits.detach(), targets[rows], groups)
            on_batch(1)
        entry: dict[str, float] = {"epoch": epoch, **_scores("train", sums, len(kept))}
        if not isfinite(entry["train_loss"]):
            raise InputError(
                f"The training loss must stay finite. Got {entry['train_loss']} in epoch {epoch} "
                f"instead. Lower the learning rate, which is {recipe.max_learning_rate:g}."
            )
        if len(validation):
            sums = _evaluate(
                network, pictures[validation], targets[validation], groups, normalisation
            )
            entry |= _scores("validation", sums, len(validation))
        rate = recipe.head_learning_rate if is_head_alone else schedule.get_last_lr()[0]
        entry |= {
            "learning_rate": float(rate),
            "seconds": clock.wall_s,
            "cpu_seconds": clock.cpu_s,
        }
        history.append(entry)
        if recipe.keep == "best" and best_epoch(history) == epoch:
            others.keep_best(network)
        if recipe.snapshots and is_end_of_cycle(epoch - recipe.head_epochs, recipe):
            others.add_snapshot(network)
        if state_path is not None:
            save_state(state_path, identity, parts, history)
        on_epoch(entry)
    network.to("cpu").to(memory_format=torch.contiguous_format)
    if recipe.keep == "best":
        network.load_state_dict(others.best)
    return TrainedNetwork(
        network.eval(), blueprint, history, np.flatnonzero(held_out), best_epoch(history),
        others.snapshots,
    )  # fmt: skip


def best_epoch(history: History) -> int:
    """Return the first epoch with the highest accuracy on held-out images, or the last epoch."""
    scores = [entry.get("validation_accuracy", entry["epoch"]) for entry in history]
    return 1 + int(np.argmax(scores))


def is_over(history: History, patience: int | None) -> bool:
    """Return whether so many epochs have passed since the best one."""
    return bool(patience and history) and len(history) - best_epoch(history) >= (patience or 0)


def is_end_of_cycle(epoch: int, recipe: Recipe) -> bool:
    """Return whether a snapshot is taken after an epoch of the whole network, from 1."""
    return epoch > 0 and epoch % (recipe.epochs // recipe.snapshots) == 0


def normalise(images: Tensor, normalisation: Normalisation = REFERENCE_NORMALISATION) -> Tensor:
    """Standardise each colour of images from 0 to 1; channels come last in memory."""
    mean, std = (torch.tensor(part, device=images.device)[:, None, None] for part in normalisation)
    return ((images - mean) / std).contiguous(memory_format=torch.channels_last)


def count_right(
    network: nn.Module,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    superclass_of: NDArray[np.int64],
    normalisation: Normalisation = REFERENCE_NORMALISATION,
) -> dict[str, int]:
    """Count the images that a network on the host gets right, by kind of label.

    The predictions are the most probable class, and the superclass whose classes are together
    the most probable.  Arrays are those of `train_network`.
    """
    pictures, targets, groups = (
        torch.from_numpy(np.array(a)) for a in (images, labels, superclass_of)
    )
    sums = _evaluate(network, pictures, targets, groups, normalisation)
    return {CLASSES: int(sums[1]), SUPERCLASSES: int(sums[2])}


@torch.no_grad()
def predict_probabilities(
    network: nn.Module, images: NDArray[np.uint8], normalisation: Normalisation
) -> NDArray[np.float32]:
    """Compute the probabilities (n_images, n_classes) that a network on the host answers with."""
    pictures = torch.from_numpy(np.array(images)).split(_EVALUATION_BATCH)
    chances = [
        network(normalise(part.float() / 255, normalisation)).softmax(1) for part in pictures
    ]
    return torch.cat(chances).numpy()


def _sums(logits: Tensor, targets: Tensor, groups: Tensor) -> Tensor:
    """Return summed cross-entropy, and the numbers of right classes and superclasses."""
    n_groups = int(groups.max()) + 1
    grouped = torch.zeros(len(logits), n_groups, device=logits.device)
    grouped.index_add_(1, groups, logits.softmax(1))
    return torch.stack(
        [
            cross_entropy(logits, targets, reduction="sum"),
            (logits.argmax(1) == targets).sum().float(),
            (grouped.argmax(1) == groups[targets]).sum().float(),
        ]
    )


@torch.no_grad()
def _evaluate(
    network: nn.Module,
    pictures: Tensor,
    targets: Tensor,
    groups: Tensor,
    normalisation: Normalisation,
) -> Tensor:
    """Add up `_sums` over images that are not augmented."""
    network.eval()
    batches = zip(pictures.split(_EVALUATION_BATCH), targets.split(_EVALUATION_BATCH), strict=True)
    return torch.stack(
        [
            _sums(network(normalise(batch.float() / 255, normalisation)), t, groups)
            for batch, t in batches
        ]
    ).sum(0)


def _scores(prefix: str, sums: Tensor, n: int) -> dict[str, float]:
    names = (f"{prefix}_loss", f"{prefix}_accuracy", f"{prefix}_{SUPERCLASSES}_accuracy")
    return dict(zip(names, (sums / n).tolist(), strict=True))
