"""The pictures of the page, with what the models say about them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from svmcifar.compare.report.formatting import count, shown
from svmcifar.compare.report.model_styles import ShownModel
from svmcifar.compare.report.thumbnails import png_data_uri

_N_OPEN = 9  # pictures of a gallery that are seen without a click


def galleries(
    comparison: Mapping[str, Any],
    pictures: NDArray[np.uint8],
    network: ShownModel,
    svm: ShownModel,
) -> list[dict[str, Any]]:
    """Put together the pictures that two models disagree on, or both get wrong.

    Parameters
    ----------
    comparison : mapping
        ``disagreements`` lists indices, and under ``images`` what was answered
        to them, in the form of ``grid``.
    pictures : ndarray of uint8, shape (n_images, 32, 32, 3)
    network, svm : ShownModel

    Returns
    -------
    list of dict
        ``title``, ``count`` (text), ``first`` and ``more`` (pictures as
        `show_picture` gives them).
    """
    found = comparison["disagreements"]["coarse"]
    entries = {entry["index"]: entry for entry in comparison["disagreements"]["images"]}
    total = _totals(comparison, network, svm)
    result = []
    for key, title, of_whom in (
        ("only_cnn", f"Only {network.name} is right", [svm]),
        ("only_svm", f"Only {svm.name} is right", [network]),
        ("both_wrong", "Both are wrong", [network, svm]),
    ):
        items = [show_picture(entries[i], pictures, [network, svm], of_whom) for i in found[key]]
        result.append(
            {
                "title": title,
                "count": f"{count(total[key])} images" if total else "",
                "first": items[:_N_OPEN],
                "more": items[_N_OPEN:],
            }
        )
    return result


def nine_images(
    comparison: Mapping[str, Any], pictures: NDArray[np.uint8], models: Sequence[ShownModel]
) -> list[dict[str, Any]]:
    """Put together the first test images, with every model's answer.

    Parameters
    ----------
    comparison : mapping
    pictures : ndarray of uint8, shape (n_images, 32, 32, 3)
    models : sequence of ShownModel

    Returns
    -------
    list of dict
        As `show_picture` gives them.
    """
    return [show_picture(entry, pictures, models, models, True) for entry in comparison["grid"]]


def show_picture(
    entry: Mapping[str, Any],
    pictures: NDArray[np.uint8],
    models: Sequence[ShownModel],
    captioned: Sequence[ShownModel],
    with_fine: bool = False,
) -> dict[str, Any]:
    """Put together one picture.

    Parameters
    ----------
    entry : mapping
        ``index``, ``true_fine``, ``true_coarse`` and ``answers`` by model id.
    pictures : ndarray of uint8, shape (n_images, 32, 32, 3)
    models : sequence of ShownModel
        Whose answers the alternative text gives.
    captioned : sequence of ShownModel
        Whose answers are written below the picture.
    with_fine : bool, default=False
        Write fine answers below it, too.

    Returns
    -------
    dict
        ``source`` (data URI), ``alt``, ``true`` and ``detail`` (superclass and
        fine class), ``answers`` (model, text, whether the superclass is right).
    """
    said = entry["answers"]
    truth, detail = shown(entry["true_coarse"]), shown(entry["true_fine"])
    verdicts = [
        f"{model.name}: {_words(said[model.id], with_fine)}, "
        f"{'right' if said[model.id]['coarse_right'] else 'wrong'}"
        for model in models
    ]
    return {
        "source": png_data_uri(pictures[entry["index"]]),
        "alt": f"True class: {truth} ({detail}). {'; '.join(verdicts)}.",
        "true": truth,
        "detail": detail,
        "answers": [
            (model, _words(said[model.id], with_fine), said[model.id]["coarse_right"])
            for model in captioned
        ],
    }


def _words(answer: Mapping[str, Any], with_fine: bool) -> str:
    fine = answer["fine"] if with_fine else None
    return shown(answer["coarse"]) + (f" ({shown(fine)})" if fine else "")


def _totals(
    comparison: Mapping[str, Any], network: ShownModel, svm: ShownModel
) -> dict[str, int] | None:
    """Find how many images there are of each kind."""
    for pair in comparison["paired"]["coarse"]:
        if (pair["a"], pair["b"]) == (network.id, svm.id):
            return {
                "only_cnn": pair["only_a"],
                "only_svm": pair["only_b"],
                "both_wrong": pair["both_wrong"],
            }
    return None
