"""How images are normalised for a network: named, or whichever suits it best on training images."""

import warnings
from collections.abc import Callable, Mapping
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
# Training images on which architectures with the same tensors are tried, each in every way.
N_FOR_ARCHITECTURE = 500


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


def settle_reading(
    network: ImageNetwork, named: str | None, draw: Callable[[], tuple[Images, Classes]] | None
) -> ImageNetwork:
    """Return the network with its normalisation, and with words on where that comes from.

    It is the one that is `named` (see `parse_normalisation`), else what the file or its card says,
    else whichever suits the network best on training images.  So is the architecture, where several
    have its tensors.  `draw` returns the training images, rows with their classes; it is None where
    there are none.  Warn if the network is hardly better than chance on these whatever is tried, or
    if an architecture has to be guessed.  Raise InputError if a normalisation would have to be.
    """
    known, words = _known_normalisation(network, named)
    if known is not None and not network.alternatives:
        return replace(network, normalisation=known[0], normalised=words)
    if draw is None:
        if known is None:
            raise InputError(
                f"{network.path}: how images are normalised for the network must be known, and "
                f"neither its file nor a card says; pass --normalise, or --data to find out"
            )
        others = ", ".join(name for name, _ in network.alternatives)
        warnings.warn(
            f"{network.path} is read as {network.architecture}, and may be {others}, which have "
            f"the same tensors: pass --arch, or --data to find out",
            stacklevel=2,
        )
        return replace(network, normalisation=known[0], normalised=words)
    images, classes = draw()
    choices: Mapping[str, Normalisation | None]
    choices = NORMALISATIONS if known is None else {"": known[0]}
    best, tried = choose_reading(network, choices, images, classes)
    shown = ", ".join(f"{one.name} {one.accuracy:.1%}" for one in tried).strip()
    if max(one.accuracy for one in tried) < LEAST_ACCURACY:
        warnings.warn(
            f"{network.path}: the network is right for less than {LEAST_ACCURACY:.0%} of "
            f"{len(images):,} training images, however they are normalised ({shown}): usual causes "
            f"are another order of the classes, another normalisation (--normalise), images that "
            f"were resized in training (--image-size), and training on another data set",
            stacklevel=2,
        )
    if known is None:
        of_images = f"{len(tried)} on {len(images):,} training images"
        words = f"by {tried[0].name}, the best of {of_images} ({shown})"
    return replace(best, normalised=words)


def choose_reading(
    network: ImageNetwork,
    normalisations: Mapping[str, Normalisation | None],
    images: Images,
    classes: Classes,
) -> tuple[ImageNetwork, list[Tried]]:
    """Return the network with the normalisation that suits it best, and all that were tried.

    The best has the lowest log loss on training images, rows as for `ImageNetwork.predict_proba`
    with their classes; the log loss tells normalisations apart whose accuracies are nearly alike.
    Of architectures with the same tensors the best on some of them is taken, and the others are
    named with it.
    """
    if network.alternatives:
        network = _choose_architecture(network, normalisations, images, classes)
    tried = []
    for name, normalisation in normalisations.items():
        probabilities = replace(network, normalisation=normalisation).predict_proba(images)
        of_true = np.take_along_axis(probabilities, classes[:, None], axis=1)
        log_loss = -np.log(np.maximum(of_true, np.finfo(np.float32).tiny)).mean()
        accuracy = (probabilities.argmax(axis=1) == classes).mean()
        tried.append(Tried(name, float(accuracy), float(log_loss)))
    tried.sort(key=lambda one: one.log_loss)
    return replace(network, normalisation=normalisations[tried[0].name]), tried


def _choose_architecture(
    network: ImageNetwork,
    normalisations: Mapping[str, Normalisation | None],
    images: Images,
    classes: Classes,
) -> ImageNetwork:
    others = [
        replace(network, architecture=name, compute_logits=make())
        for name, make in network.alternatives
    ]
    few = slice(0, N_FOR_ARCHITECTURE)
    readings = []
    for one in (network, *others):
        alone = replace(one, alternatives=())
        _, tried = choose_reading(alone, normalisations, images[few], classes[few])
        readings.append((alone, tried[0]))
    readings.sort(key=lambda reading: reading[1].log_loss)
    shown = ", ".join(f"{one.architecture} {tried.accuracy:.1%}" for one, tried in readings)
    chosen = f"the best of {len(readings)} on {len(images[few])} training images ({shown})"
    best, _ = readings[0]
    return replace(best, architecture=f"{best.architecture}, {chosen}")


def _known_normalisation(
    network: ImageNetwork, named: str | None
) -> tuple[tuple[Normalisation | None] | None, str]:
    """Return the normalisation that need not be found out, and where it comes from."""
    if network.takes_bytes:
        return (None,), "by the graph itself"
    if named is not None:
        return (parse_normalisation(named),), f"as named: {named}"
    if network.normalisation is not None:
        return (network.normalisation,), "as its file or card says"
    return None, ""
