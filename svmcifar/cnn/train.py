"""From a data set to a checkpoint: train, test the weights as they are saved, save."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from math import nan
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from svmcifar.cnn.blueprint import REFERENCE
from svmcifar.cnn.checkpoint import checkpoint_files, save_checkpoint
from svmcifar.cnn.model_card import make_card
from svmcifar.cnn.normalisation import parse_normalisation
from svmcifar.cnn.recipe import Recipe, device_name
from svmcifar.cnn.reference import ReferenceNetwork
from svmcifar.cnn.torch_runtime import round_weights
from svmcifar.cnn.training_loop import count_right, predict_probabilities, train_network
from svmcifar.compute.progress import stage
from svmcifar.data.dataset import CLASSES, SUPERCLASSES, Dataset
from svmcifar.data.sampling import hold_out
from svmcifar.errors import InputError, OutputError
from svmcifar.io.files import check_output, written_together
from svmcifar.metrics.ensembles import combine_scores

T = TypeVar("T")


def state_path(out: Path) -> Path:
    """Return the path of the state of the training that makes the checkpoint `out`."""
    return out.with_suffix(".state")


def network_paths(out: Path, n_snapshots: int = 0) -> list[Path]:
    """Return the paths of the weights that a training writes: `out`, or one a snapshot."""
    numbers = range(1, n_snapshots + 1)
    return [out.with_stem(f"{out.stem}-{number}") for number in numbers] or [out]


def output_files(out: Path, n_snapshots: int = 0) -> list[Path]:
    """Return the paths of all that a training writes in the end; errors of `checkpoint_files`."""
    return [file for path in network_paths(out, n_snapshots) for file in checkpoint_files(path)]


def check_outputs(
    out: Path, n_snapshots: int = 0, *, resume: bool = False, overwrite: bool = False
) -> None:
    """Raise OutputError if one of the files of a training that makes `out` exists already.

    `resume` allows the state of a stopped training, `overwrite` allows all.
    """
    for path in output_files(out, n_snapshots):
        check_output(path, overwrite)
    if state_path(out).exists() and not resume and not overwrite:
        raise OutputError(
            f"{state_path(out)}: a stopped training must not be lost; go on with --resume and its "
            "own options, or start anew with --overwrite"
        )


def train_checkpoint(
    dataset: Dataset,
    recipe: Recipe,
    out: Path,
    *,
    device: torch.device,
    weights: Mapping[str, Tensor] | None = None,
    half: bool = False,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = True,
    on_epoch: Callable[[dict[str, float]], Any] = lambda entry: None,
    on_saving: Callable[[dict[str, Any]], Any] = lambda card: None,
) -> dict[str, Any]:
    """Train a network on the classes, test it once, and save it.

    The state is written beside `out` after each epoch, and removed when the checkpoint is
    complete.  The test images are used for the final test only.  Return the model card; snapshots
    are saved beside `out`, numbered from 1, with a card each, and the card that is returned is the
    last one's.

    `weights` is a state dict to start from.  `half` stores the weights as float16, and tests them
    so.  `resume` and `overwrite` are those of `check_outputs`, `on_epoch` that of `train_network`;
    errors are those of both.  `on_saving` is called with the card when the checkpoint is written:
    its files appear with those.  Raise DataError if the data set cannot be read, OutputError if a
    file cannot be written.
    """
    paths = network_paths(out, recipe.snapshots)
    check_outputs(out, recipe.snapshots, resume=resume, overwrite=overwrite)
    shape = ReferenceNetwork.image_shape
    if recipe.arch == REFERENCE and dataset.image_shape != shape:
        raise InputError(
            f"{dataset.location}: images must have the {shape.height} x {shape.width} pixels that "
            f"the network takes, got {dataset.image_shape.height} x {dataset.image_shape.width}; "
            f"pass --resize {shape.height}"
        )
    # Without superclasses, each class is its own, and would be reported twice.
    untold = () if SUPERCLASSES in dataset.label_kinds else (SUPERCLASSES,)
    train, test = dataset.read_split("train"), dataset.read_split("test")
    superclass_of = dataset.superclass_of
    state = state_path(out)
    if not resume:
        state.unlink(missing_ok=True)

    n_kept = int((~hold_out(train.classes, recipe.validation, recipe.seed)).sum())
    total = recipe.all_epochs * -(-n_kept // recipe.batch_size)
    with stage("training", total, "batches", bar=progress) as training:
        trained = train_network(
            train.images.reshape(-1, *dataset.image_shape),
            train.classes,
            superclass_of,
            recipe,
            device=device,
            state_path=state,
            data_key=dataset.md5s["train"],
            first_weights=weights,
            on_batch=training.advance,
            on_epoch=lambda entry: on_epoch(_without(untold, entry)),
        )
    networks = [trained.network] if not recipe.snapshots else []
    for weights in trained.snapshots:
        network = trained.blueprint.build(dataset.image_shape)
        network.load_state_dict(weights)
        networks.append(network.eval())
    if half:
        for network in networks:
            round_weights(network)
    pictures = test.images.reshape(-1, *dataset.image_shape)
    normalisation = parse_normalisation(recipe.normalise)
    right = [
        count_right(network, pictures, test.classes, superclass_of, normalisation)
        for network in networks
    ]
    card = make_card(
        class_names=list(dataset.class_names(CLASSES)),
        normalisation=normalisation,
        recipe=asdict(recipe),
        history=[_without(untold, entry) for entry in trained.history],
        training_s=sum(entry["seconds"] for entry in trained.history),
        training_cpu_s=sum(entry.get("cpu_seconds", nan) for entry in trained.history),
        device=device_name(device),
        validation_rows=len(trained.validation_rows),
        test=_without(untold, _test_entry(len(test.classes), right[-1])),
        data=dataset.to_record(),
    )
    card["versions"]["torch"] = str(torch.__version__)
    if recipe.keep == "best":
        card["kept_epoch"] = trained.best_epoch
    if recipe.snapshots:
        scores = [predict_probabilities(n, pictures, normalisation) for n in networks]
        card["ensemble"] = {
            "n": len(test.classes),
            "single_right": [one[CLASSES] for one in right],
            **{f"{how}_right": n for how, n in _count_together(scores, test.classes).items()},
        }
    with written_together():
        for number, (network, path) in enumerate(zip(networks, paths, strict=True), 1):
            own = card
            if recipe.snapshots:
                own = card | {
                    "recipe": card["recipe"] | {"snapshot": number},
                    "test": _without(untold, _test_entry(len(test.classes), right[number - 1])),
                }
            save_checkpoint(
                network, path, own, half=half,
                architecture=trained.blueprint, image_shape=dataset.image_shape,
            )  # fmt: skip
        on_saving(card)
    state.unlink(missing_ok=True)
    return card


def _test_entry(n: int, right: dict[str, int]) -> dict[str, int]:
    return {"n": n} | {f"{kind}_right": n_right for kind, n_right in right.items()}


def _count_together(
    scores: Sequence[NDArray[np.float32]], classes: NDArray[np.int64]
) -> dict[str, int]:
    """Count the images that an ensemble gets right, by sum and by vote."""
    ids = [one.argmax(axis=1) for one in scores]
    return {
        how: int((combine_scores(scores, ids, how).argmax(axis=1) == classes).sum())
        for how in ("sum", "vote")
    }


def _without(kinds: Collection[str], entry: Mapping[str, T]) -> dict[str, T]:
    """Leave out what an entry says of some kinds of labels."""
    return {key: n for key, n in entry.items() if not any(kind in key for kind in kinds)}
