"""The pictures of the page, with what the models say about them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from svmcifar.compare.report.formatting import count, shown
from svmcifar.compare.report.model_styles import ShownModel
from svmcifar.compare.report.thumbnails import png_data_uri
from svmcifar.compare.report_content import Comparison, ImagePredictions

_N_OPEN = 9  # pictures of a gallery that are seen without a click


@dataclass(frozen=True)
class Picture:
    """A picture with its caption.

    Attributes
    ----------
    source : str
        Data URI.
    alt : str
        What is to be read aloud: the true class, and what the models predict.
    true, detail : str
        Names of the true class of the main kind, and of the others.
    predictions : tuple of (ShownModel, str, bool)
        Model, what it predicts, and whether the main kind is right.
    """

    source: str
    alt: str
    true: str
    detail: str
    predictions: tuple[tuple[ShownModel, str, bool], ...]


@dataclass(frozen=True)
class Gallery:
    """Pictures on which two models fare alike: those seen at first, and more on a click.

    `count` says how many images of the kind there are.
    """

    title: str
    count: str
    first: list[Picture]
    more: list[Picture]


def galleries(
    comparison: Comparison, pictures: NDArray[np.uint8], network: ShownModel, svm: ShownModel
) -> list[Gallery]:
    """Lay out the first pictures that only one of two models has right, or neither."""
    found = comparison.disagreements
    images = {image.index: image for image in found.images}
    counts = next(
        pair.counts
        for pair in comparison.paired[found.kind]
        if (pair.a, pair.b) == (network.id, svm.id)
    )
    result = []
    for title, indices, total, wrong in (
        (f"Only {network.name} is right", found.only_a, counts.only_a, [svm]),
        (f"Only {svm.name} is right", found.only_b, counts.only_b, [network]),
        ("Both are wrong", found.both_wrong, counts.both_wrong, [network, svm]),
    ):
        shown_pictures = [
            _picture(images[i], pictures, found.kind, [network, svm], wrong) for i in indices
        ]
        result.append(
            Gallery(
                title,
                f"{count(total)} images",
                shown_pictures[:_N_OPEN],
                shown_pictures[_N_OPEN:],
            )
        )
    return result


def nine_images(
    comparison: Comparison, pictures: NDArray[np.uint8], models: Sequence[ShownModel]
) -> list[Picture]:
    """Lay out the first test images, with every model's predictions of every kind."""
    main = comparison.main_kind
    return [
        _picture(image, pictures, main, models, models, in_detail=True) for image in comparison.grid
    ]


def _picture(
    image: ImagePredictions,
    pictures: NDArray[np.uint8],
    main: str,
    models: Sequence[ShownModel],
    captioned: Sequence[ShownModel],
    in_detail: bool = False,
) -> Picture:
    """Lay out a picture: `models` are in its alternative text, those `captioned` below it."""
    said = image.predicted
    texts = {}
    for model in models:
        names = {kind: predicted.name for kind, predicted in said[model.id].items()}
        texts[model.id] = _in_brackets(*_split(names if in_detail else {main: names[main]}, main))
    verdicts = [
        f"{model.name}: {texts[model.id]}, {'right' if said[model.id][main].right else 'wrong'}"
        for model in models
    ]
    true, detail = _split(image.true, main)
    return Picture(
        source=png_data_uri(pictures[image.index]),
        alt=f"True class: {_in_brackets(true, detail)}. {'; '.join(verdicts)}.",
        true=true,
        detail=detail,
        predictions=tuple((m, texts[m.id], said[m.id][main].right) for m in captioned),
    )


def _split(names: Mapping[str, str], main: str) -> tuple[str, str]:
    """Return the name of the main kind, and those of other kinds."""
    return shown(names[main]), ", ".join(shown(names[kind]) for kind in names if kind != main)


def _in_brackets(name: str, detail: str) -> str:
    return f"{name} ({detail})" if detail else name
