"""The pictures of the page, with the models' predictions."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from svmcifar.compare.comparison import Comparison, ImagePredictions
from svmcifar.compare.report.formatting import count
from svmcifar.compare.report.model_styles import ShownModel
from svmcifar.text import shown_name

_N_OPEN = 9  # pictures of a gallery that are visible without a click


@dataclass(frozen=True)
class Picture:
    """A picture with its caption."""

    source: str  # data URI
    alt: str  # for screen readers: the true class, and the models' predictions
    true: str  # name of the true class of the main kind
    detail: str  # names of the true classes of the other kinds
    predictions: list[tuple[ShownModel, str, bool]]  # with whether the main kind is right


@dataclass(frozen=True)
class Gallery:
    """Pictures that the same ones of two models have right."""

    title: str
    count: str  # of all such images
    first: list[Picture]
    more: list[Picture]  # visible on a click


def galleries(
    comparison: Comparison, pictures: NDArray[np.uint8], a: ShownModel, b: ShownModel
) -> list[Gallery]:
    """Lay out the first pictures that only one of two rivals has right, or neither."""
    shown, both = comparison.disagreements, [a, b]
    images = {image.index: image for image in shown.images}
    pairs = comparison.paired[shown.kind]
    counts = next(pair.counts for pair in pairs if (pair.a, pair.b) == (a.id, b.id))
    result = []
    for title, indices, total, wrong in (
        (f"Only {a.name} is right", shown.only_a, counts.only_a, [b]),
        (f"Only {b.name} is right", shown.only_b, counts.only_b, [a]),
        ("Both are wrong", shown.both_wrong, counts.both_wrong, both),
    ):
        laid_out = [_picture(images[i], pictures, shown.kind, both, wrong) for i in indices]
        text = f"{count(total)} images"
        result.append(Gallery(title, text, laid_out[:_N_OPEN], laid_out[_N_OPEN:]))
    return result


def nine_images(
    comparison: Comparison, pictures: NDArray[np.uint8], models: Sequence[ShownModel]
) -> list[Picture]:
    """Lay out the first test images, with every model's predictions of every kind."""
    main = comparison.main_kind
    return [_picture(i, pictures, main, models, models, in_detail=True) for i in comparison.grid]


def _picture(
    image: ImagePredictions,
    pictures: NDArray[np.uint8],
    main: str,
    models: Sequence[ShownModel],
    captioned: Sequence[ShownModel],
    in_detail: bool = False,
) -> Picture:
    """Lay out a picture: `models` are in its alternative text, those `captioned` below it."""
    texts, verdicts, right = {}, [], {}
    for model in models:
        predicted = image.predicted[model.id]
        names = {kind: p.name for kind, p in predicted.items() if in_detail or kind == main}
        texts[model.id], right[model.id] = _in_brackets(*_split(names, main)), predicted[main].right
        verdict = "right" if right[model.id] else "wrong"
        verdicts.append(f"{model.name}: {texts[model.id]}, {verdict}")
    true, detail = _split(image.true, main)
    return Picture(
        source=_png_data_uri(pictures[image.index]),
        alt=f"True class: {_in_brackets(true, detail)}. {'; '.join(verdicts)}.",
        true=true,
        detail=detail,
        predictions=[(model, texts[model.id], right[model.id]) for model in captioned],
    )


def _split(names: Mapping[str, str], main: str) -> tuple[str, str]:
    """Return the name of the main kind, and those of other kinds."""
    others = [shown_name(name) for kind, name in names.items() if kind != main]
    return shown_name(names[main]), ", ".join(others)


def _in_brackets(name: str, detail: str) -> str:
    return f"{name} ({detail})" if detail else name


def _png_data_uri(picture: NDArray[np.uint8]) -> str:
    """Return a picture, uint8 RGB of shape (height, width, 3), as a PNG inside a data URI."""
    buffer = BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
