"""What a comparison found: the one source of the page, the tables, the figures and report.json.

"By kind" means a dict with the kinds of labels as keys (`svmcifar.data.dataset.LABEL_KINDS`):
superclasses, where the data set has any, then classes.  A model that knows superclasses alone has
no entry for classes.
"""

from collections.abc import Collection
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

from svmcifar.compare.scores import ModelScores
from svmcifar.data.dataset import CLASSES, SUPERCLASSES
from svmcifar.json_values import finite, plain
from svmcifar.metrics.paired_tests import N_RESAMPLES, SEED, PairedCounts

FORMAT_NUMBER = 1
CONFIDENCE = 0.95
BOOTSTRAP = f"paired bootstrap, {N_RESAMPLES} resamples, seed {SEED}"
_MCNEMAR = "exact binomial test on the images that only one model has right"


def kind_words(kind: str, kinds: Collection[str]) -> tuple[str, str]:
    """Return what a class of some kind, one of `kinds`, is called: singular and plural."""
    if kind == SUPERCLASSES:
        return "superclass", "superclasses"
    return ("fine class", "fine classes") if SUPERCLASSES in kinds else ("class", "classes")


@dataclass(frozen=True)
class DataDescription:
    """The images that the models were tested on.

    Attributes
    ----------
    label : str
        Name of the data set.
    synthetic : bool
        Whether it is the stand-in.
    md5s : dict of str to str
        Of each of its files.
    split : str
    n_images : int
    """

    label: str
    synthetic: bool
    md5s: dict[str, str]
    split: str
    n_images: int


@dataclass(frozen=True)
class Cost:
    """What a model costs; None where it is not known or does not apply.

    Attributes
    ----------
    training_s : float or None
        Seconds of training, features included.
    training_hardware : str or None
    features_s : float or None
        Seconds of `inference_s` that an SVM's features took.
    inference_s, images_per_s : float
        Seconds for all test images, and images a second.
    inference_hardware : str or None
    n_bytes : int
        Size of the file; that of a slim SVM counts its support vectors as well.
    n_parameters, n_support_vectors : int or None
    accuracy_per_mb : dict of str to float or None
        Percentage of right predictions per million bytes, by kind.
    """

    training_s: float | None
    training_hardware: str | None
    features_s: float | None
    inference_s: float
    images_per_s: float
    inference_hardware: str | None
    n_bytes: int
    n_parameters: int | None
    n_support_vectors: int | None
    accuracy_per_mb: dict[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class LearningCurve:
    """A network's accuracy as it was trained.

    Attributes
    ----------
    images : str
        What it was measured on.
    seconds : tuple of float
        Of training, after each epoch.
    accuracy : dict of str to tuple of float
        After each epoch, by kind.
    """

    images: str
    seconds: tuple[float, ...]
    accuracy: dict[str, tuple[float, ...]]


@dataclass(frozen=True)
class ModelEntry:
    """What a model is, what it costs and how it was made.

    Attributes
    ----------
    id : str
        Key of its scores and predictions: "cnn", "cnn2", ..., "ensemble" or "svm".
    kind : {"cnn", "ensemble", "svm"}
    name : str
        For tables and legends.
    description : str
    labels : str
        Kind of labels that it was trained on.
    file, sha256 : str or None
    content_hash : str or None
        Of an SVM.
    runtime : str or None
    cost : Cost
    curve : LearningCurve or None
    made : dict
        A network's card, an SVM's manifest.
    note : str or None
        Where the model comes from, if nobody named it.
    features : list of str or None
        Steps of an SVM's features.
    """

    id: str
    kind: str
    name: str
    description: str
    labels: str
    file: str | None
    sha256: str | None
    content_hash: str | None
    runtime: str | None
    cost: Cost
    curve: LearningCurve | None
    made: dict[str, Any]
    note: str | None
    features: list[str] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the model's part of report.json."""
        content: dict[str, Any] = {}
        for key in ("id", "kind", "name", "description", "labels"):
            content[key] = getattr(self, key)
        if self.features is not None:
            content["features"] = self.features
        for key in ("file", "sha256", "content_hash", "runtime"):
            content[key] = getattr(self, key)
        curve = self.curve
        return content | {
            "cost": asdict(self.cost),
            "curve": None if curve is None else [
                {"seconds": seconds}
                | {kind: curve.accuracy[kind][i] for kind in reversed(curve.accuracy)}
                for i, seconds in enumerate(curve.seconds)
            ],
            "curve_of": None if curve is None else curve.images,
            "made": self.made,
            "note": self.note,
        }  # fmt: skip


@dataclass(frozen=True)
class PairedTest:
    """How two models differ on the same images.

    Attributes
    ----------
    a, b : str
        Ids of the models.
    counts : PairedCounts
        Images that both, one or none of them have right.
    mcnemar_p : float
        Of McNemar's exact test.
    low, high : float
        Ends of the bootstrap interval, of coverage `CONFIDENCE`, of the accuracy of a minus that
        of b (``counts.difference``).
    """

    a: str
    b: str
    counts: PairedCounts
    mcnemar_p: float
    low: float
    high: float

    def swapped(self) -> "PairedTest":
        """Return the same test with the models the other way round."""
        counts = replace(self.counts, only_a=self.counts.only_b, only_b=self.counts.only_a)
        # Subtracted from 0.0, for the negative of 0.0 is shown as -0.00.
        return PairedTest(self.b, self.a, counts, self.mcnemar_p, 0.0 - self.high, 0.0 - self.low)

    def to_json(self) -> dict[str, Any]:
        """Return the pair's part of report.json."""
        return {
            "a": self.a,
            "b": self.b,
            "n": self.counts.n,
            **asdict(self.counts),
            "mcnemar_p": self.mcnemar_p,
            "mcnemar_method": _MCNEMAR,
            "difference": {
                "value": self.counts.difference,
                "low": self.low,
                "high": self.high,
                "confidence": CONFIDENCE,
                "method": BOOTSTRAP,
            },
        }


@dataclass(frozen=True)
class TimeToAccuracy:
    """When a network's learning curve reached the SVM's accuracy.

    Attributes
    ----------
    model : str
        Id of the network.
    target : float
        The SVM's accuracy on the test images.
    seconds : float or None
        Of training until the curve was first there; None if it never was.
    """

    model: str
    target: float
    seconds: float | None


class PredictedClass(NamedTuple):
    """Name of a predicted class, and whether it is the true one."""

    name: str
    right: bool


@dataclass(frozen=True)
class ImagePredictions:
    """A test image with what the models predict.

    Attributes
    ----------
    index : int
        In the split.
    filename : str
    true : dict of str to str
        Name of the true class, by kind.
    predicted : dict of str to dict of str to PredictedClass
        By model id, then by kind.
    """

    index: int
    filename: str
    true: dict[str, str]
    predicted: dict[str, dict[str, PredictedClass]]

    def to_json(self) -> dict[str, Any]:
        """Return the image's part of report.json."""
        content: dict[str, Any] = {"index": self.index, "filename": self.filename}
        content |= {f"true_{kind}": self.true[kind] for kind in reversed(self.true)}
        answers: dict[str, dict[str, Any]] = {model_id: {} for model_id in self.predicted}
        for model_id, predicted in self.predicted.items():
            for kind in self.true:
                name, right = predicted.get(kind, (None, None))
                answers[model_id] |= {kind: name, f"{kind}_right": right}
        return content | {"answers": answers}


@dataclass(frozen=True)
class Disagreements:
    """The first images on which the leading network and the SVM fare differently.

    Attributes
    ----------
    a, b : str
        Ids of the leading network (the ensemble, or the first) and of the SVM.
    kind : str
        Of the labels that are looked at.
    only_a, only_b, both_wrong : list of int
        Indices of images.
    images : list of ImagePredictions
        All of these, by index.
    """

    a: str
    b: str
    kind: str
    only_a: list[int]
    only_b: list[int]
    both_wrong: list[int]
    images: list[ImagePredictions]

    def to_json(self) -> dict[str, Any]:
        """Return this part of report.json."""
        first = {"only_cnn": self.only_a, "only_svm": self.only_b, "both_wrong": self.both_wrong}
        images = [image.to_json() for image in self.images]
        return {"a": self.a, "b": self.b, self.kind: first, "images": images}


@dataclass(frozen=True, eq=False)
class Comparison:
    """All that a comparison found.

    Attributes
    ----------
    title, created, command : str
        `created` is a time in ISO 8601; `command` is what the user typed.
    versions, host : dict
    git_commit : str or None
        Software and machine (see `svmcifar.compute.environment`).
    data : DataDescription
    class_names : dict of str to list of str
        By kind, in the order of the ids.
    superclass_of : list of int or None
        Superclass id of each class; None without superclasses.
    models : list of ModelEntry
        The networks, their ensemble, the SVM.
    scores : dict of str to dict of str to ModelScores
        By kind, then by model id, for the models that predict this kind.
    paired : dict of str to list of PairedTest
        By kind: each network and the ensemble against the SVM, then the networks against one
        another.
    time_to_accuracy : dict of str to list of TimeToAccuracy
        By kind, for each network with a learning curve.
    disagreements : Disagreements
    grid : list of ImagePredictions
        The first test images.
    conclusion, limitations : list of str
        Sentences: what follows from all this, and what does not.
    files : dict of str to str or list of str
        Files beside report.json, by what they hold.
    """

    title: str
    created: str
    command: str
    versions: dict[str, str]
    git_commit: str | None
    host: dict[str, Any]
    data: DataDescription
    class_names: dict[str, list[str]]
    superclass_of: list[int] | None
    models: list[ModelEntry]
    scores: dict[str, dict[str, ModelScores]]
    paired: dict[str, list[PairedTest]]
    time_to_accuracy: dict[str, list[TimeToAccuracy]]
    disagreements: Disagreements
    grid: list[ImagePredictions]
    conclusion: list[str] = field(default_factory=list)
    limitations: list[str] = field(default_factory=list)
    files: dict[str, Any] = field(default_factory=dict)

    @property
    def main_kind(self) -> str:
        """The kind of labels that all models predict: superclasses, where there are any."""
        return next(iter(self.class_names))

    def model(self, model_id: str) -> ModelEntry:
        """Return the model with this id."""
        return next(entry for entry in self.models if entry.id == model_id)

    def words(self, kind: str) -> tuple[str, str]:
        """Return what a class of some kind is called: singular and plural."""
        return kind_words(kind, self.class_names)

    def title_of(self, kind: str) -> str:
        """Return what the classes of some kind are called, with their number."""
        return f"{len(self.class_names[kind])} {self.words(kind)[1]}"

    def to_json(self) -> dict[str, Any]:
        """Return the content of report.json; NaN and infinity are None."""
        classes: dict[str, Any] = dict(self.class_names)
        if self.superclass_of is not None:
            classes[f"{SUPERCLASSES}_of_{CLASSES}"] = self.superclass_of
        content = {
            "format": FORMAT_NUMBER,
            "title": self.title,
            "created": self.created,
            "versions": self.versions,
            "git_commit": self.git_commit,
            "host": self.host,
            "command": self.command,
            "data": self.data,
            "classes": classes,
            "models": [entry.to_json() for entry in self.models],
            "scores": {
                kind: {model_id: scores.to_dict() for model_id, scores in of_kind.items()}
                for kind, of_kind in self.scores.items()
            },
            "paired": {kind: [p.to_json() for p in pairs] for kind, pairs in self.paired.items()},
            "time_to_accuracy": self.time_to_accuracy,
            "disagreements": self.disagreements.to_json(),
            "grid": [image.to_json() for image in self.grid],
            "conclusion": self.conclusion,
            "limits": self.limitations,
            "files": self.files,
        }
        result: dict[str, Any] = finite(plain(content))
        return result
