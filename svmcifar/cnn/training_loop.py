"""The training loop: epoch by epoch, from where it was stopped."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from svmcifar.cnn.architectures import Architecture
from svmcifar.cnn.augment import augment_batch
from svmcifar.cnn.model_card import MEAN, STD
from svmcifar.cnn.network import Network
from svmcifar.cnn.recipe import Recipe
from svmcifar.cnn.resume import History, load_state, save_state
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
    network : Network
        On the host, in evaluation mode.
    history : list of dict
        An entry an epoch: ``epoch`` (from 1), loss, accuracy and accuracy of superclasses of
        ``train`` (on augmented images, while learning) and of ``validation`` (if images are
        held out) by the names of `_scores`, ``learning_rate`` at its end, ``seconds``,
        ``cpu_seconds``.
    validation_rows : ndarray of int
        Indices of the training images that were held out.
    """

    network: Network
    history: History
    validation_rows: NDArray[np.intp]


def train_network(
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    superclass_of: NDArray[np.int64],
    recipe: Recipe,
    *,
    device: torch.device,
    state_path: Path,
    data_key: str = "",
    on_batch: Callable[[int], Any] = lambda n_batches: None,
    on_epoch: Callable[[dict[str, float]], Any] = lambda entry: None,
) -> TrainedNetwork:
    """Train the reference network by a recipe.

    Images are (n_images, 3, height, width), labels their class ids (n_images,), and
    `superclass_of` holds the superclass id of each class id.

    The state is written to `state_path` after each epoch.  If the file exists, training
    resumes from there, with the same recipe and `data_key` only; the caller removes it in the
    end.  `on_batch` is called with 1 after each batch, and once with the number of batches that
    are done already; `on_epoch` with the epoch's entry in the history.

    Raise CheckpointError if the state is damaged or of another training, and InputError if
    the loss becomes infinite or NaN.
    """
    held_out = hold_out(labels, recipe.validation, recipe.seed)
    pictures = torch.from_numpy(np.array(images)).to(device)
    targets = torch.from_numpy(np.array(labels)).to(device)
    kept = torch.from_numpy(np.flatnonzero(~held_out)).to(device)
    validation = torch.from_numpy(np.flatnonzero(held_out)).to(device)
    groups = torch.from_numpy(np.array(superclass_of)).to(device)

    torch.manual_seed(recipe.seed)
    network = Architecture("reference", recipe.width, len(superclass_of)).build().to(device)
    network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(
        network.parameters(), lr=recipe.max_learning_rate, weight_decay=recipe.weight_decay
    )
    n_batches = -(-len(kept) // recipe.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.max_learning_rate, total_steps=recipe.epochs * n_batches
    )
    parts = {"network": network, "optimizer": optimizer, "schedule": schedule}
    identity = {"data": data_key, **asdict(recipe)}
    history = load_state(state_path, identity, parts) if state_path.exists() else []
    on_batch(len(history) * n_batches)
    is_bfloat16 = recipe.precision == "bfloat16"

    for epoch in range(len(history) + 1, recipe.epochs + 1):
        clock = Stopwatch()
        # Drawn anew from seed and epoch, so that a resumed training draws the same.
        generator = torch.Generator(device).manual_seed(recipe.seed * 1_000_003 + epoch)
        sums = torch.zeros(3, device=device)
        network.train()
        order = torch.randperm(len(kept), generator=generator, device=device)
        for rows in kept[order].split(recipe.batch_size):
            batch = augment_batch(pictures[rows], generator)
            with torch.autocast(device.type, torch.bfloat16, enabled=is_bfloat16):
                logits = network(normalise(batch)).float()
            loss = cross_entropy(logits, targets[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
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
            sums = _evaluate(network, pictures[validation], targets[validation], groups)
            entry |= _scores("validation", sums, len(validation))
        entry |= {
            "learning_rate": float(schedule.get_last_lr()[0]),
            "seconds": clock.wall_s,
            "cpu_seconds": clock.cpu_s,
        }
        history.append(entry)
        save_state(state_path, identity, parts, history)
        on_epoch(entry)
    network.to("cpu", memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return TrainedNetwork(network.eval(), history, np.flatnonzero(held_out))


def normalise(images: Tensor) -> Tensor:
    """Standardise each colour of images from 0 to 1; channels come last in memory."""
    mean = torch.tensor(MEAN, device=images.device)[:, None, None]
    std = torch.tensor(STD, device=images.device)[:, None, None]
    return ((images - mean) / std).contiguous(memory_format=torch.channels_last)


def count_right(
    network: Network,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    superclass_of: NDArray[np.int64],
) -> dict[str, int]:
    """Count the images that a network on the host gets right, by kind of label.

    The predictions are the most probable class, and the superclass whose classes are together
    the most probable.  Arrays are those of `train_network`.
    """
    pictures, targets, groups = (
        torch.from_numpy(np.array(a)) for a in (images, labels, superclass_of)
    )
    sums = _evaluate(network, pictures, targets, groups)
    return {CLASSES: int(sums[1]), SUPERCLASSES: int(sums[2])}


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
def _evaluate(network: nn.Module, pictures: Tensor, targets: Tensor, groups: Tensor) -> Tensor:
    """Add up `_sums` over images that are not augmented."""
    network.eval()
    batches = zip(pictures.split(_EVALUATION_BATCH), targets.split(_EVALUATION_BATCH), strict=True)
    return torch.stack(
        [_sums(network(normalise(batch.float() / 255)), t, groups) for batch, t in batches]
    ).sum(0)


def _scores(prefix: str, sums: Tensor, n: int) -> dict[str, float]:
    names = (f"{prefix}_loss", f"{prefix}_accuracy", f"{prefix}_{SUPERCLASSES}_accuracy")
    return dict(zip(names, (sums / n).tolist(), strict=True))
