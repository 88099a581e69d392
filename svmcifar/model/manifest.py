"""The manifest: how a model was made, as its file records it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from svmcifar.compute.environment import Host, Versions
from svmcifar.features.settings import FeatureSettings
from svmcifar.json_values import plain, read_fields
from svmcifar.svm.fit_report import FitReport

# Format 1 had raw pixels only and no augmentation; up to 2, types were named by their modules; up
# to 3, no model implied mirror images; up to 4, no array was narrowed (`svmcifar.io.half_arrays`),
# and none of the features had a member of its own.
FORMAT_NUMBER = 5
# What files of other estimators hold, by their manifest; image classifiers' do not say.
ESTIMATOR = "estimator"


@dataclass
class DataSource:
    """The data set that a model was trained on."""

    label: str  # for people
    synthetic: bool
    md5s: dict[str, str]  # by name of file
    # Unknown of models of older releases, which are of CIFAR's images.
    image_shape: list[int] | None = None  # channels, height and width
    split_seed: int | None = None  # of the test images, where they were held out

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form, without what is unknown."""
        return {key: value for key, value in vars(self).items() if value is not None}


@dataclass
class Training:
    """Settings of the training."""

    label_kind: str  # one of `svmcifar.data.dataset.LABEL_KINDS`
    parameters: dict[str, Any]  # of `SVC`
    features: FeatureSettings
    rows: list[int] | None  # training images that were drawn; None for all
    seed: int
    preset: str | None = None  # name of the preset that settings came from
    n_settings: int | None = None  # settings that were tried to find these, if it is known
    feature_dtype: str = "float32"  # older releases could cache features as float16

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "label_kind": self.label_kind,
            "parameters": plain(self.parameters),
            "preset": self.preset,
            **({} if self.n_settings is None else {"n_settings": self.n_settings}),
            **plain(self.features.to_manifest()),
            "feature_dtype": self.feature_dtype,
            "rows": self.rows,
            "seed": self.seed,
        }


@dataclass
class Manifest:
    """How a model was made."""

    created: str  # when training began, ISO 8601 in UTC
    # These three as `svmcifar.compute.environment.describe_environment` returns them.
    versions: Versions
    git_commit: str | None
    host: Host
    data: DataSource
    training: Training
    fit: FitReport
    # Seconds, ``features_s`` and ``fit_s``; ``features_found`` if some were in the feature cache.
    # Newer ones have seconds of the processor, ``..._cpu_s``, and ``n_threads`` too.
    times: dict[str, float | bool]
    format: int = FORMAT_NUMBER
    slim: bool = False  # whether support vectors are left out of the file
    content_hash: str = ""  # of the model; empty before it is saved
    stored_hash: str = ""  # of what every file holds, slim or not

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        fit = plain(self.fit)
        if not self.fit.n_odd:  # as in older releases
            del fit["n_odd"]
        of_parts = {"data": self.data.to_dict(), "training": self.training.to_dict(), "fit": fit}
        return plain(self) | of_parts

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Manifest":
        """Read the JSON form; what older releases leave out has its default.

        Raise LookupError, TypeError or ValueError if anything else is missing or of another type.
        """
        training = content["training"]
        parts: dict[str, Any] = {
            "data": read_fields(DataSource, content["data"]),
            "training": read_fields(
                Training, {**training, "features": FeatureSettings.from_manifest(training)}
            ),
            "fit": read_fields(FitReport, {"memory_plan": None, **content["fit"]}),
        }
        shape = parts["data"].image_shape
        if shape is not None and not (len(shape) == 3 and min(shape) > 0):
            raise ValueError("image_shape must be channels, height and width")
        saved = {name: content[name] for name in ("format", "slim", "content_hash", "stored_hash")}
        return read_fields(cls, {**content, **parts, **saved})


@dataclass
class EstimatorManifest:
    """How an estimator that was saved in Python was made."""

    estimator: str  # as it is printed
    created: str  # when it was saved, ISO 8601 in UTC
    # As in `Manifest`.
    versions: Versions
    git_commit: str | None
    host: Host
    content_hash: str
    holds: str = ESTIMATOR
    format: int = FORMAT_NUMBER

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return plain(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "EstimatorManifest":
        """Read the JSON form; raise TypeError if anything is missing or of another type."""
        return read_fields(cls, content)
