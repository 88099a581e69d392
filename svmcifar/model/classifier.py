"""A trained image classifier: features, SVM, and the names of its classes."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from svmcifar.features.augmentation import decision_views
from svmcifar.features.pipeline import compute_features, compute_training_features
from svmcifar.model.manifest import Manifest
from svmcifar.svm.estimator import RBFSVC

if TYPE_CHECKING:
    from svmcifar.features.cache import FeatureCache


@dataclass
class ImageClassifier:
    """What `svmcifar train` makes and every other command uses.

    Attributes
    ----------
    features : Pipeline
        Fitted, from uint8 images to float32 features.
    svc : RBFSVC
        Fitted on class ids.
    label_kind : str
        One of `svmcifar.data.dataset.LABEL_KINDS`: whether it predicts classes or superclasses.
    class_names : list of str
        Name of each class id of that kind.
    superclass_of : list of int
        Superclass id of each class id.
    manifest : Manifest
        How it was made.
    augment : {"flip", "flip-shift"} or None
        The SVM was trained on the mirror images too, and decides by image and mirror image; with
        "flip-shift" it was trained on both shifted besides.
    cache : FeatureCache or None
        Where features are looked for and kept; no part of what is saved.
    """

    features: Pipeline
    svc: RBFSVC
    label_kind: str
    class_names: list[str]
    superclass_of: list[int]
    manifest: Manifest
    augment: str | None = None
    cache: "FeatureCache | None" = field(default=None, repr=False, compare=False)

    @property
    def is_synthetic(self) -> bool:
        """Whether it was trained on the synthetic stand-in."""
        return self.manifest.data.synthetic

    def predict(self, images: Any) -> NDArray[np.int64]:
        """Predict the class id of each image.

        Parameters
        ----------
        images : array of shape (n_images, n_values), uint8
            Channel-first rows, as in the official pickles.  Worked on where they are: on the
            host, or on the GPU after `svmcifar.compute.arrays.to_device`.

        Returns
        -------
        ndarray of shape (n_images,), int64
        """
        if self.augment is None:
            return self.svc.predict(self.compute_features(images))
        return self.predict_with_decisions(images)[0]

    def predict_with_decisions(self, images: Any) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Predict class ids, with the one-vs-rest decision values.

        Parameters
        ----------
        images : array of shape (n_images, n_values), uint8
            As for `predict`.

        Returns
        -------
        class_ids : ndarray of shape (n_images,), int64
        decisions : ndarray of shape (n_images, n_classes), float64
        """
        return self.predict_features(self.compute_features(images))

    def compute_features(self, images: Any) -> Any:
        """Compute the features that decide on images.

        Parameters
        ----------
        images : array of shape (n_images, n_values), uint8
            As for `predict`.

        Returns
        -------
        array of shape (n_images * n_views, n_features), float32
            Where the images are.  With augmentation an image has two views, rows 2 i and
            2 i + 1: itself and its mirror image; one otherwise.
        """
        return compute_features(self.features, images, augment=self.augment, cache=self.cache)

    def compute_training_features(self, images: Any) -> Any:
        """Compute the features that the SVM was trained on.

        Parameters
        ----------
        images : array of shape (n_images, n_values), uint8
            Those that it was trained on.

        Returns
        -------
        array of shape (n_images * n_views, n_features), float32
            The views that were trained on, those of an image one after the other; class scores
            are out of fold.
        """
        return compute_training_features(
            self.features,
            images,
            augment=self.augment,
            seed=self.manifest.training.seed,
            cache=self.cache,
        )

    def predict_features(self, X: Any) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Predict from features as `predict_with_decisions` does from images.

        Parameters
        ----------
        X : array of shape (n_images * n_views, n_features), float32
            As `compute_features` gives them.  The pairs' decision values are averaged over an
            image's views before they vote.

        Returns
        -------
        class_ids : ndarray of shape (n_images,), int64
        decisions : ndarray of shape (n_images, n_classes), float64
        """
        return self.svc.predict_with_decisions(X, n_views=len(decision_views(self.augment)))
