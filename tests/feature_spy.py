"""A kind of features that tells what it is asked, and views of images by NumPy alone."""

from contextlib import contextmanager

import numpy as np
import pytest
from feature_options import Means, quick_features

from svmcifar.compute.arrays import to_host
from svmcifar.features.augmentation import draw_offsets
from svmcifar.features.kinds import KINDS

# Images that it was fitted on, and those whose features it computed, call by call.
FITTED_ON, TRANSFORMED = [], []


class Spy(Means):
    """Mean colours of 8 x 8 pixels."""

    def fit(self, images, y=None):
        FITTED_ON.append(to_host(images))
        return self

    def transform(self, images):
        TRANSFORMED.append(to_host(images))
        return super().transform(images)


@contextmanager
def spy_features():
    """Put it into the table of kinds, with those of `quick_features`."""
    FITTED_ON.clear()
    TRANSFORMED.clear()
    with quick_features(), pytest.MonkeyPatch.context() as patch:
        patch.setitem(KINDS, "spy", ("spy", f"{__name__}.Spy"))
        yield


def views_of(images, augment, *, implied=False):
    """Each view of all images that is trained on; both images of each if one implies the other."""
    own = images.reshape(-1, 3, 32, 32)
    other = own[..., ::-1]
    views = {None: [own], "flip": [own, other]}.get(augment)
    shifted = _shifted(own, 0)
    views = views or [own, other, shifted, shifted[..., ::-1] if implied else _shifted(other, 1)]
    return [view.reshape(-1, 3072) for view in views]


def _shifted(pictures, seed):
    padded = np.pad(pictures, ((0, 0), (0, 0), (9, 9), (9, 9)), mode="edge")
    offsets = draw_offsets(len(pictures), seed)
    return np.array(
        [
            image[:, 9 + row : 41 + row, 9 + column : 41 + column]
            for image, (row, column) in zip(padded, offsets, strict=True)
        ]
    )
