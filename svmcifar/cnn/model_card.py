"""The model card: a JSON file beside a checkpoint, about how the network was made."""

import json
from collections.abc import Sequence
from math import isnan
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

from svmcifar.compute.environment import describe_environment, utc_now
from svmcifar.errors import CheckpointError
from svmcifar.io.reading import read_file
from svmcifar.json_values import plain

FORMAT_NUMBER = 1

# Mean and standard deviation of red, green and blue in the reference.
MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2023, 0.1994, 0.2010)

_MOST = 1e12
_MOST_SIDE = 2048
_MOST_BYTES = 16 * 2**20

# Types of the optional entries that readers rely on.
_TYPES: dict[str, type | tuple[type, ...]] = {
    "classes": list, "history": list, "training_s": (int, float), "device": str, "files": dict,
    "recipe": dict, "data": dict, "test": dict, "architecture": dict,
}  # fmt: skip


class Normalisation(NamedTuple):
    """Mean and standard deviation that standardise red, green and blue from 0 to 1."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


REFERENCE_NORMALISATION = Normalisation(MEAN, STD)


def make_card(
    *,
    class_names: Sequence[str],
    recipe: dict[str, Any],
    history: list[dict[str, float]],
    training_s: float,
    training_cpu_s: float,
    device: str,
    validation_rows: int,
    test: dict[str, int],
    data: dict[str, Any],
    normalisation: Normalisation = REFERENCE_NORMALISATION,
) -> dict[str, Any]:
    """Build the JSON-ready model card of a network that was just trained.

    Class names are in the order of the logits, `recipe` has the fields of
    `svmcifar.cnn.recipe.Recipe`, and `history` is that of
    `svmcifar.cnn.training_loop.TrainedNetwork`.  `training_cpu_s` is NaN if that of a part of the
    training is not known.  `validation_rows` is the number of training images that were held out.
    `test` holds ``n`` test images and the number that the weights as they are saved get right,
    ``KIND_right`` by kind of label; `data` holds ``label``, ``synthetic`` and ``md5s`` of the data
    set.

    `save_checkpoint` adds the ``architecture``, ``n_parameters`` and the hashes of the ``files``.
    """
    environment = describe_environment()
    return plain(
        {
            "format": FORMAT_NUMBER,
            "created": utc_now(),
            "versions": environment["versions"],
            "git_commit": environment["git_commit"],
            "classes": list(class_names),
            "normalisation": normalisation._asdict(),
            "recipe": recipe,
            "history": history,
            "training_s": training_s,
            "training_cpu_s": None if isnan(training_cpu_s) else training_cpu_s,
            "device": device,
            "host": environment["host"],
            "validation_rows": validation_rows,
            "test": test,
            "data": data,
        }
    )


def card_path(checkpoint: Path) -> Path:
    """Return a checkpoint's model card: ``model.pth`` and ``model.onnx`` share ``model.json``."""
    return checkpoint.with_suffix(".json")


def read_card(checkpoint: Path, sha256: str) -> dict[str, Any] | None:
    """Read the model card of a checkpoint with this hash; return None where there is none.

    Raise CheckpointError if the card is damaged, of a newer release, or of another checkpoint.
    """
    path = card_path(checkpoint)
    try:
        card = json.loads(read_file(path, _MOST_BYTES))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise _invalid(path, f"readable JSON, got '{error}'") from error
    number = card.get("format") if isinstance(card, dict) else None
    if type(number) is not int or number < 1:
        raise _invalid(path, f"an object with a 'format' number, got {_short(number)}")
    if number > FORMAT_NUMBER:
        raise CheckpointError(
            f"{path}: the card's format must be at most {FORMAT_NUMBER}, got {number}; "
            "upgrade svmcifar to read it"
        )
    _check_entries(path, card)
    listed = _listed(card, checkpoint)
    if listed is not None and listed != sha256:
        raise CheckpointError(
            f"{path}: a card must be of the checkpoint beside it, got the SHA-256 {_short(listed)} "
            f"where {checkpoint.name} has {sha256[:12]}...; copy both from one place"
        )
    return card


def card_data(checkpoint: Path) -> dict[str, Any]:
    """Return what the card of a checkpoint tells of its data set; {} if there is no such card.

    Whether it is damaged, or of another checkpoint, `read_card` tells.
    """
    try:
        data = json.loads(read_file(card_path(checkpoint), _MOST_BYTES))["data"]
        shape, seed = data.get("image_shape"), data.get("split_seed")
    except (OSError, ValueError, RecursionError, LookupError, TypeError, AttributeError):
        return {}
    is_shape = isinstance(shape, list) and len(shape) == 3
    if not is_shape or not all(type(n) is int and 0 < n <= _MOST_SIDE for n in shape):
        return {}
    return {"image_shape": shape, "split_seed": seed if type(seed) is int and seed >= 0 else None}


def read_normalisation(source: str | Path, value: Any) -> Normalisation:
    """Read a dict with ``mean`` and ``std``, three numbers each.

    Raise CheckpointError, which names the `source`, if it is something else.
    """
    parts = value if isinstance(value, dict) else {}
    mean, std = parts.get("mean"), parts.get("std")
    if not _is_three_numbers(mean) or not _is_three_numbers(std) or min(std) <= 0:
        raise CheckpointError(
            f"{source}: 'normalisation' must have a 'mean' and a positive 'std' of three numbers "
            f"each, got {_short(value)}; fix it"
        )
    return Normalisation(tuple(map(float, mean)), tuple(map(float, std)))


def _is_three_numbers(value: Any) -> TypeGuard[list[float]]:
    is_triple = isinstance(value, list) and len(value) == 3
    return is_triple and all(type(v) in (int, float) and abs(v) <= _MOST for v in value)


def _check_entries(path: Path, card: dict[str, Any]) -> None:
    if "normalisation" in card:
        read_normalisation(path, card["normalisation"])
    for key, kind in _TYPES.items():
        if key in card and not isinstance(card[key], kind):
            raise _invalid(path, f"one with a proper {key!r}, got {_short(card[key])}")
    for key, kind in (("classes", str), ("history", dict)):
        for entry in card.get(key, []):
            if not isinstance(entry, kind):
                raise _invalid(path, f"one with proper {key!r}, got {_short(entry)} in it")
    numbers = {key: card.get(key) for key in ("training_s", "training_cpu_s", "n_parameters")}
    size = card.get("image_size", 1)
    if type(size) is not int or not 1 <= size <= _MOST_SIDE:
        raise _invalid(path, f"one with an 'image_size' from 1 to {_MOST_SIDE}, got {_short(size)}")
    for number, entry in enumerate(card.get("history", [])):
        numbers |= {f"history {number}: {name}": value for name, value in entry.items()}
    for name, value in numbers.items():
        most = 1.0 if name.endswith("accuracy") else _MOST
        if value is not None and not (type(value) in (int, float) and 0 <= value <= most):
            raise _invalid(path, f"one with a {name!r} from 0 to {most:g}, got {_short(value)}")


def _listed(card: dict[str, Any], checkpoint: Path) -> str | None:
    """Return the hash listed for the checkpoint's suffix: files may be renamed together."""
    for name, entry in card.get("files", {}).items():
        if Path(name).suffix == checkpoint.suffix:
            return str(entry.get("sha256") if isinstance(entry, dict) else entry)
    return None


def _invalid(path: Path, rule: str) -> CheckpointError:
    return CheckpointError(
        f"{path}: a checkpoint's card must be {rule}; fix it, or move it away to do without"
    )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
