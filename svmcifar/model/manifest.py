"""What a model file says of how the model was made."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from svmcifar.features.settings import FeatureSettings
from svmcifar.json_values import plain
from svmcifar.svm.fit_report import FitReport

# 1 knew neither mirror images nor other features than raw pixels; up to 2 types were named by the
# modules that they lay in.
FORMAT_NUMBER = 3

T = TypeVar("T")


@dataclass
class DataSource:
    """The data set that a model was trained on.

    Attributes
    ----------
    label : str
        What reports call it.
    synthetic : bool
    md5s : dict of str to str
        The md5 of each file.
    """

    label: str
    synthetic: bool
    md5s: dict[str, str]


@dataclass
class Training:
    """What was asked of the training.

    Attributes
    ----------
    label_kind : str
        One of `svmcifar.data.dataset.LABEL_KINDS`.
    parameters : dict
        Of `RBFSVC`.
    features : FeatureSettings
    rows : list of int or None
        Training images that were drawn; None for all.
    seed : int
    preset : str or None
        Name of the preset that settings came from.
    feature_dtype : str
        What features were rounded to; older releases had a cache of float16.
    """

    label_kind: str
    parameters: dict[str, Any]
    features: FeatureSettings
    rows: list[int] | None
    seed: int
    preset: str | None = None
    feature_dtype: str = "float32"

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "label_kind": self.label_kind,
            "parameters": plain(self.parameters),
            "preset": self.preset,
            **plain(self.features.to_manifest()),
            "feature_dtype": self.feature_dtype,
            "rows": self.rows,
            "seed": self.seed,
        }


@dataclass
class Manifest:
    """How a model was made.

    Attributes
    ----------
    created : str
        When training began, ISO 8601 in UTC.
    versions, git_commit, host
        As `svmcifar.compute.environment.describe_environment` gives them.
    data : DataSource
    training : Training
    fit : FitReport
    times : dict of str to float or bool
        Seconds, ``features_s`` and ``fit_s``; ``features_found`` if the feature cache had some.
    format : int
        Format number of the model file.
    slim : bool
        Whether the file lacks the support vectors.
    content_hash, stored_hash : str
        Hashes of the model, and of what every file holds; empty before it is saved.
    """

    created: str
    versions: dict[str, str]
    git_commit: str | None
    host: dict[str, Any]
    data: DataSource
    training: Training
    fit: FitReport
    times: dict[str, Any]
    format: int = FORMAT_NUMBER
    slim: bool = False
    content_hash: str = ""
    stored_hash: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return plain(self) | {"training": self.training.to_dict()}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Manifest":
        """Read the JSON form; what older releases leave out has its default.

        Parameters
        ----------
        content : mapping

        Returns
        -------
        Manifest

        Raises
        ------
        LookupError, TypeError
            If anything else is missing.
        """
        training = content["training"]
        parts = {
            "data": _read(DataSource, content["data"]),
            "training": _read(
                Training, {**training, "features": FeatureSettings.from_manifest(training)}
            ),
            "fit": _read(FitReport, {"memory_plan": None, **content["fit"]}),
        }
        saved = {name: content[name] for name in ("format", "slim", "content_hash", "stored_hash")}
        return _read(cls, {**content, **parts, **saved})


def _read(part: type[T], content: Mapping[str, Any]) -> T:
    """Build a part of the manifest from those of the values that it knows."""
    names = [field.name for field in fields(part)]  # type: ignore[arg-type]
    return part(**{name: content[name] for name in names if name in content})
