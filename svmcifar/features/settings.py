"""Settings of the features: one object from the command line to the model file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from math import inf
from numbers import Integral
from typing import Any

from svmcifar.errors import InputError
from svmcifar.features.kinds import make_transformers

# Kinds whose features are too many for their covariance to fit the memory.
WIDE_KINDS = {"patches"}
# Views that training can add to the images (see `svmcifar.features.augmentation`).
AUGMENTATIONS = ("flip", "flip-shift")
# Kernels of ridge scores.
RIDGE_KERNELS = ("linear", "rbf")
# Fields that manifests spell differently.
_MANIFEST_KEYS = {"kinds": "features", "parameters": "feature_settings"}


@dataclass(frozen=True)
class FeatureSettings:
    """Settings of the feature pipeline and of the views that it is applied to.

    Attributes
    ----------
    kinds : sequence of str, default=("raw",)
        Keys of `svmcifar.features.kinds.KINDS`; several are concatenated in this order.
    parameters : mapping of str to mapping, default={}
        Parameters of the transformers by kind, such as ``{"patches": {"n_filters": 400}}``.
    n_components : int, optional
        Components that PCA keeps; no PCA by default.
    whiten : float, default=0.0
        From 0 to 1: each component is divided by its standard deviation to this power.
    ridge_scores : float, default=0.0
        Weight of out-of-fold ridge scores of the classes, which are prepended to the components
        (see `svmcifar.features.reduce.ridge_scores.RidgeScores`); none by default.
    ridge_components : int, optional
        Components that these scores are learned from, more than `n_components` (the default).
    ridge_kernel : {"linear", "rbf"}, default="linear"
        Of the scores: with "rbf" they are those of kernel ridge regression, leave-one-out (see
        `svmcifar.features.reduce.kernel_ridge.KernelRidgeScores`), and components of an image are
        scaled to length one.
    augment : {"flip", "flip-shift"}, optional
        Train on the mirror image of each image too, and decide by both (test-time augmentation);
        with "flip-shift" train on both shifted by up to 3 pixels besides.
    """

    kinds: Sequence[str] = ("raw",)
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    n_components: int | None = None
    whiten: float = 0.0
    ridge_scores: float = 0.0
    ridge_components: int | None = None
    ridge_kernel: str = "linear"
    augment: str | None = None

    @property
    def is_wide(self) -> bool:
        """Whether the covariance of the features is too large for the memory."""
        return bool(WIDE_KINDS & set(self.kinds))

    def validate(self) -> None:
        """Raise InputError if a setting is invalid or has no effect."""
        require_augmentation(self.augment)
        count = self.n_components
        if count is not None and not (isinstance(count, Integral) and int(count) >= 1):
            raise InputError(
                f"The number of components must be an integer of at least 1. Got {count!r} instead."
            )
        self._validate_scores()
        if not 0 <= self.whiten <= 1:
            raise InputError(
                f"The power of whitening must be from 0 to 1. Got {self.whiten} instead."
            )
        if self.whiten and self.n_components is None:
            raise InputError(
                f"Whitening needs principal components to divide. Got power {self.whiten} without "
                f"PCA. Say how many components PCA is to keep, or do not whiten."
            )
        make_transformers(self.kinds, self.parameters)

    def _validate_scores(self) -> None:
        """Raise InputError if weight, kernel or components of class scores are invalid."""
        if self.is_wide and self.ridge_scores and self.n_components is None:
            raise InputError(
                f"Class scores need principal components of features as many as those of "
                f"{', '.join(self.kinds)}. Got class scores of weight {self.ridge_scores} without "
                f"PCA. Say how many components PCA is to keep, or leave the scores out."
            )
        if self.ridge_kernel not in RIDGE_KERNELS:
            raise InputError(
                f"The kernel of class scores must be {' or '.join(map(repr, RIDGE_KERNELS))}. "
                f"Got {self.ridge_kernel!r} instead."
            )
        if self.ridge_kernel != "linear" and not (
            self.ridge_scores and self.n_components is not None and self.ridge_components is None
        ):
            raise InputError(
                f"A kernel of class scores needs such scores, of the components that PCA keeps and "
                f"no more. Got {self.ridge_kernel!r} with class scores of weight "
                f"{self.ridge_scores}, PCA of {self.n_components} and {self.ridge_components} "
                f"components of class scores. Give a weight and a PCA alone, or no kernel."
            )
        if self.ridge_components is not None and not (
            self.ridge_scores and self.ridge_components > (self.n_components or inf)
        ):
            raise InputError(
                f"The components of class scores must be more than those that PCA keeps, and there "
                f"must be class scores. Got {self.ridge_components} with PCA of "
                f"{self.n_components} and class scores of weight {self.ridge_scores}. Say more of "
                f"them, or leave them out."
            )
        if not 0 <= self.ridge_scores < inf:
            raise InputError(
                f"The weight of class scores must be at least 0 and finite. "
                f"Got {self.ridge_scores} instead."
            )

    def with_components_of(self, n_images: int) -> "FeatureSettings":
        """Lower the numbers of components to those that there are of so many images.

        Once the mean is subtracted, one component fewer than images.
        """
        if self.n_components is None:
            return self
        n_components = min(self.n_components, n_images - 1)
        ridge = self.ridge_components and min(self.ridge_components, n_images - 1)
        if ridge is not None and ridge <= n_components:
            ridge = None  # the components that are kept
        return replace(self, n_components=n_components, ridge_components=ridge)

    def to_manifest(self) -> dict[str, Any]:
        """Return the settings by the manifest's keys; a linear kernel of scores is left out."""
        values = {_MANIFEST_KEYS.get(f.name, f.name): getattr(self, f.name) for f in fields(self)}
        if self.ridge_kernel == RIDGE_KERNELS[0]:  # as in manifests of before there were others
            del values["ridge_kernel"]
        return values

    @classmethod
    def from_manifest(cls, training: Mapping[str, Any]) -> "FeatureSettings":
        """Read the settings from a manifest's part "training".

        Settings that an older release did not have get their default; all had ``n_components``.
        Raise LookupError or TypeError if that is missing, or one is of another type.
        """
        from svmcifar.json_values import read_fields  # which takes NumPy, and help does not

        keys = {f.name: _MANIFEST_KEYS.get(f.name, f.name) for f in fields(cls)}
        known = {name: training[key] for name, key in keys.items() if key in training}
        return read_fields(cls, known | {"n_components": training["n_components"]})


RAW_PIXELS = FeatureSettings()


def require_augmentation(augment: str | None) -> None:
    """Raise InputError if an augmentation is unknown."""
    if augment is not None and augment not in AUGMENTATIONS:
        raise InputError(
            f"Images can be augmented by {' or '.join(map(repr, AUGMENTATIONS))}. "
            f"Got {augment!r} instead."
        )
