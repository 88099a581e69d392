"""From a data set to a checkpoint: train, test the weights as they are saved, save."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict
from math import nan
from pathlib import Path
from typing import Any, TypeVar

import torch

from svmcifar.cnn.checkpoint import checkpoint_files, save_checkpoint
from svmcifar.cnn.model_card import make_card
from svmcifar.cnn.recipe import Recipe, device_name
from svmcifar.cnn.reference import ReferenceNetwork
from svmcifar.cnn.torch_runtime import round_weights
from svmcifar.cnn.training_loop import count_right, train_network
from svmcifar.compute.progress import stage
from svmcifar.data.dataset import CLASSES, SUPERCLASSES, Dataset
from svmcifar.data.sampling import hold_out
from svmcifar.errors import InputError, OutputError
from svmcifar.io.files import check_output, written_together

T = TypeVar("T")


def state_path(out: Path) -> Path:
    """Return the path of the state of the training that makes the checkpoint `out`."""
    return out.with_suffix(".state")


def check_outputs(out: Path, *, resume: bool = False, overwrite: bool = False) -> None:
    """Raise OutputError if one of the files of the checkpoint `out` exists already.

    `resume` allows the state of a stopped training, `overwrite` allows all.
    """
    for path in checkpoint_files(out):
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
    half: bool = False,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = True,
    on_epoch: Callable[[dict[str, float]], Any] = lambda entry: None,
    on_saving: Callable[[dict[str, Any]], Any] = lambda card: None,
) -> dict[str, Any]:
    """Train the reference network on the classes, test it once, and save it.

    The state is written beside `out` after each epoch, and removed when the checkpoint is
    complete.  The test images are used for the final test only.  Return the model card.

    `half` stores the weights as float16, and tests them so.  `resume` and `overwrite` are those
    of `check_outputs`, `on_epoch` that of `train_network`; errors are those of both.  `on_saving`
    is called with the card when the checkpoint is written: its files appear with those.  Raise
    DataError if the data set cannot be read, OutputError if a file cannot be written.
    """
    check_outputs(out, resume=resume, overwrite=overwrite)
    if dataset.image_shape != (shape := ReferenceNetwork.image_shape):
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
    total = recipe.epochs * -(-n_kept // recipe.batch_size)
    with stage("training", total, "batches", bar=progress) as training:
        trained = train_network(
            train.images.reshape(-1, *dataset.image_shape),
            train.classes,
            superclass_of,
            recipe,
            device=device,
            state_path=state,
            data_key=dataset.md5s["train"],
            on_batch=training.advance,
            on_epoch=lambda entry: on_epoch(_without(untold, entry)),
        )
    if half:
        round_weights(trained.network)
    pictures = test.images.reshape(-1, *dataset.image_shape)
    right = count_right(trained.network, pictures, test.classes, superclass_of)
    card = make_card(
        class_names=list(dataset.class_names(CLASSES)),
        recipe=asdict(recipe),
        history=[_without(untold, entry) for entry in trained.history],
        training_s=sum(entry["seconds"] for entry in trained.history),
        training_cpu_s=sum(entry.get("cpu_seconds", nan) for entry in trained.history),
        device=device_name(device),
        validation_rows=len(trained.validation_rows),
        test=_without(
            untold, {"n": len(test.classes)} | {f"{kind}_right": n for kind, n in right.items()}
        ),
        data=dataset.to_record(),
    )
    card["versions"]["torch"] = str(torch.__version__)
    with written_together():
        save_checkpoint(trained.network, out, card, half=half)
        on_saving(card)
    state.unlink(missing_ok=True)
    return card


def _without(kinds: Collection[str], entry: Mapping[str, T]) -> dict[str, T]:
    """Leave out what an entry says of some kinds of labels."""
    return {key: n for key, n in entry.items() if not any(kind in key for kind in kinds)}
