"""From a data set to a checkpoint: train, test the weights as they are saved, save."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from svmcifar.cnn.checkpoint import checkpoint_files, save_checkpoint
from svmcifar.cnn.model_card import make_card
from svmcifar.cnn.recipe import Recipe, device_name
from svmcifar.cnn.torch_runtime import round_weights
from svmcifar.cnn.training_loop import count_right, train_network
from svmcifar.data.dataset import CLASSES, Dataset
from svmcifar.data.sampling import hold_out
from svmcifar.errors import OutputError
from svmcifar.io.files import check_output


def state_path(out: Path) -> Path:
    """Return the path of the state of the training that makes the checkpoint `out`."""
    return out.with_suffix(".state")


def check_outputs(out: Path, *, resume: bool = False, overwrite: bool = False) -> None:
    """Raise if outputs exist already, or if a stopped training would be lost.

    Parameters
    ----------
    out : Path
        ``*.pth``; the files beside it are checked, too.
    resume : bool, default=False
        Go on with a stopped training.
    overwrite : bool, default=False
        Replace files that exist already.

    Raises
    ------
    OutputError
        If a file is in the way.
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
) -> dict[str, Any]:
    """Train the reference network on the classes, test it once, and save it.

    The state is written beside `out` after each epoch, and removed when the
    checkpoint is complete.  The test images are used for the final test only.

    Parameters
    ----------
    dataset : Dataset
    recipe : Recipe
    out : Path
        ``*.pth``; ``*.onnx`` and the model card ``*.json`` are written beside it.
    device : torch.device
    half : bool, default=False
        Store the weights as float16, and test them so.
    resume : bool, default=False
        Go on with a stopped training, if there is one.
    overwrite : bool, default=False
        Replace files that exist already.
    progress : bool, default=True
        Show a progress bar on standard error.
    on_epoch : callable, optional
        Called with each epoch's entry in the history.

    Returns
    -------
    dict
        The model card, as `svmcifar.cnn.model_card.make_card` returns it.

    Raises
    ------
    OutputError
        If a file is in the way or cannot be written.
    DataError
        If the data set cannot be read.
    CheckpointError
        If the state is damaged, or of another training.
    InputError
        If the training diverges.
    """
    check_outputs(out, resume=resume, overwrite=overwrite)
    train, test = dataset.read_split("train"), dataset.read_split("test")
    superclass_of = dataset.superclass_of
    state = state_path(out)
    if not resume:
        state.unlink(missing_ok=True)

    n_kept = int((~hold_out(train.classes, recipe.validation, recipe.seed)).sum())
    total = recipe.epochs * -(-n_kept // recipe.batch_size)
    with tqdm(total=total, desc="training", unit=" batches", disable=not progress) as bar:
        trained = train_network(
            train.images.reshape(-1, *dataset.image_shape),
            train.classes,
            superclass_of,
            recipe,
            device=device,
            state_path=state,
            data_key=dataset.md5s["train"],
            on_batch=bar.update,
            on_epoch=on_epoch,
        )
    if half:
        round_weights(trained.network)
    pictures = test.images.reshape(-1, *dataset.image_shape)
    right = count_right(trained.network, pictures, test.classes, superclass_of)
    card = make_card(
        class_names=list(dataset.class_names(CLASSES)),
        recipe=asdict(recipe),
        history=trained.history,
        training_s=sum(entry["seconds"] for entry in trained.history),
        device=device_name(device),
        validation_rows=len(trained.validation_rows),
        test={"n": len(test.classes)} | {f"{kind}_right": n for kind, n in right.items()},
        data={
            "label": dataset.label,
            "synthetic": dataset.is_synthetic,
            "md5s": dataset.md5s,
        },
    )
    card["versions"]["torch"] = str(torch.__version__)
    save_checkpoint(trained.network, out, card, half=half)
    state.unlink(missing_ok=True)
    return card
