"""A trained image classifier: features, SVM, and the names of its classes."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from svmcifar.compute.arrays import on_device_of
from svmcifar.features.augmentation import View, decision_views
from svmcifar.features.fitting import compute_features, compute_training_features
from svmcifar.features.pipeline import count_odd, implies_mirror_images
from svmcifar.model.manifest import Manifest
from svmcifar.svm.both_images import with_mirror_rows
from svmcifar.svm.estimator import SVC

if TYPE_CHECKING:
    from svmcifar.features.cache import FeatureCache


@dataclass
class ImageClassifier:
    """A model as `svmcifar train` makes it and the other commands use it."""

    features: Pipeline  # fitted, from uint8 images to float32 features
    svc: SVC  # fitted on class ids
    label_kind: str  # one of `svmcifar.data.dataset.LABEL_KINDS`
    class_names: list[str]  # by id of a class of that kind
    superclass_of: list[int]  # superclass ids by class id
    manifest: Manifest  # how it was made
    # Of the training images, "flip" or "flip-shift"; with any, predictions are those of image and
    # mirror image together.
    augment: str | None = None
    cache: "FeatureCache | None" = field(default=None, repr=False, compare=False)  # not saved

    @property
    def data_label(self) -> str:
        """Name of the data set that it was trained on."""
        return self.manifest.data.label

    @property
    def is_synthetic(self) -> bool:
        """Whether it was trained on the synthetic stand-in."""
        return self.manifest.data.synthetic

    @property
    def decision_views(self) -> list[View]:
        """Views of an image whose decision values are averaged; one but in older models."""
        return decision_views(self.augment, implied=implies_mirror_images(self.features))

    @property
    def has_probabilities(self) -> bool:
        """Whether it was trained with probabilities."""
        return bool(self.svc.probability)

    def predict(self, images: Any) -> NDArray[np.int64]:
        """Predict the class id of each image.

        Parameters
        ----------
        images : array of shape (n_images, n_values), uint8
            Channel-first rows, on the host, or on the GPU after
            `svmcifar.compute.arrays.to_device`: features are computed where they are.

        Returns
        -------
        ndarray of shape (n_images,), int64
        """
        if len(self.decision_views) == 1:
            return self.svc.predict(self.compute_features(images))
        return self.predict_with_decisions(images)[0]

    def predict_with_decisions(self, images: Any) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Predict class ids, with one-vs-rest decision values (n_images, n_classes), float64."""
        return self.predict_features(self.compute_features(images))

    def predict_with_probabilities(
        self, images: Any
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64] | None]:
        """Predict as `predict_with_decisions`, with class probabilities; None if there are none."""
        return self.predict_features_with_probabilities(self.compute_features(images))

    def compute_features(self, images: Any) -> Any:
        """Compute the features for prediction, (n_images * n_views, n_features), float32.

        They are where the images are.  `decision_views` of an image follow each other.
        """
        with on_device_of(images):
            return compute_features(self.features, images, augment=self.augment, cache=self.cache)

    def compute_training_features(self, images: Any) -> Any:
        """Compute the features that the SVM was trained on, from the same images.

        They are of shape (n_images * n_views, n_features), float32: the views for training, those
        of an image one after the other, and mirror images if the SVM does not imply them.  Ridge
        scores are out of fold.
        """
        with on_device_of(images):
            X = compute_training_features(
                self.features,
                images,
                augment=self.augment,
                seed=self.manifest.training.seed,
                cache=self.cache,
            )
        if implies_mirror_images(self.features) and not self.svc.n_odd_:
            return with_mirror_rows(X, count_odd(self.features))
        return X

    def predict_features(self, X: Any) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Predict as `predict_with_decisions`, from the output of `compute_features`.

        The pairs' decision values are averaged over an image's views before they vote.
        """
        return self.svc.predict_with_decisions(X, n_views=len(self.decision_views))

    def predict_features_with_probabilities(
        self, X: Any
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64] | None]:
        """Predict as `predict_features`, with class probabilities; None if there are none.

        Probabilities, (n_images, n_classes), are `SVC.predict_proba`: the predicted class is
        that of the pairs' votes, and need not be the most probable.
        """
        if not self.has_probabilities:
            return (*self.predict_features(X), None)
        return self.svc.predict_with_probabilities(X, n_views=len(self.decision_views))
