"""How images are normalised for a network: named, or whichever suits it best on training images."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from svmcifar.cnn.image_network import ImageNetwork
from svmcifar.cnn.model_card import REFERENCE_NORMALISATION, Normalisation
from svmcifar.errors import InputError

Images = NDArray[np.uint8]
Classes = NDArray[np.integer]

# What people normalise by, the commonest first.
NORMALISATIONS = {
    "cifar100": Normalisation((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    "cifar10": REFERENCE_NORMALISATION,
    "imagenet": Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "half": Normalisation((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "none": Normalisation((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "0-255": Normalisation((0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255)),
}
# Accuracy on training images below which a network was read wrongly, or never learned.
LEAST_ACCURACY = 0.03


class Tried(NamedTuple):
    """What a network makes of training images that are normalised in one way."""

    name: str
    accuracy: float
    log_loss: float  # nats


def parse_normalisation(text: str) -> Normalisation:
    """Read a name of `NORMALISATIONS`, or means and deviations as "M,M,M/S,S,S", of 0 to 1.

    Raise InputError if it is something else.
    """
    if text in NORMALISATIONS:
        return NORMALISATIONS[text]
    try:
        mean, std = (tuple(map(float, part.split(","))) for part in text.split("/"))
    except ValueError:
        mean, std = (), ()
    if not (len(mean) == len(std) == 3 and np.isfinite(mean + std).all() and min(std) > 0):
        raise InputError(
            f"A normalisation must be one of {', '.join(NORMALISATIONS)}, or three means and "
            f"positive deviations of pixels from 0 to 1, as 0.5,0.5,0.5/0.2,0.2,0.2. "
            f"Got {text!r} instead."
        )
    return Normalisation(mean, std)


def settle_normalisation(
    network: ImageNetwork, named: str | None, draw: Callable[[], tuple[Images, Classes]]
) -> ImageNetwork:
    """Return the network with its normalisation, and with words on where that comes from.

    It is the one that is `named` (see `parse_normalisation`), else what the file or its card says,
    else whichever suits the network best on the training images, rows with their classes, that
    `draw` returns.  Warn if the network is hardly better than chance on these whatever is tried.
    """
    if network.takes_bytes:
        return replace(network, normalised="by the graph itself")
    if named is not None:
        normalisation = parse_normalisation(named)
        return replace(network, normalisation=normalisation, normalised=f"as named: {named}")
    if network.normalisation is not None:
        return replace(network, normalised="as its file or card says")
    images, classes = draw()
    best, tried = choose_normalisation(network, images, classes)
    shown = ", ".join(f"{one.name} {one.accuracy:.1%}" for one in tried)
    if max(one.accuracy for one in tried) < LEAST_ACCURACY:
        warnings.warn(
            f"{network.path}: the network is right for less than {LEAST_ACCURACY:.0%} of "
            f"{len(images):,} training images, however they are normalised ({shown}): usual causes "
            f"are another order of the classes, another normalisation (--normalise), and training "
            f"on another data set",
            stacklevel=2,
        )
    of_images = f"{len(tried)} on {len(images):,} training images"
    return replace(best, normalised=f"by {tried[0].name}, the best of {of_images} ({shown})")


def choose_normalisation(
    network: ImageNetwork, images: Images, classes: Classes
) -> tuple[ImageNetwork, list[Tried]]:
    """Return the network with the normalisation that suits it best, and all that were tried.

    The best has the lowest log loss on training images, rows as for `ImageNetwork.predict_proba`
    with their classes; the log loss tells normalisations apart whose accuracies are nearly alike.
    """
    tried = []
    for name, normalisation in NORMALISATIONS.items():
        probabilities = replace(network, normalisation=normalisation).predict_proba(images)
        of_true = np.take_along_axis(probabilities, classes[:, None], axis=1)
        log_loss = -np.log(np.maximum(of_true, np.finfo(np.float32).tiny)).mean()
        accuracy = (probabilities.argmax(axis=1) == classes).mean()
        tried.append(Tried(name, float(accuracy), float(log_loss)))
    tried.sort(key=lambda one: one.log_loss)
    return replace(network, normalisation=NORMALISATIONS[tried[0].name]), tried
