"""The result of a comparison, from which page, tables, figures and report.json are made.

"By kind" means a dict by kind of labels: superclasses, where the data set has any, then classes.
A model of superclasses alone has no entry for classes.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

from svmcifar.compare.machines import Machine
from svmcifar.compare.mixtures import Mixture
from svmcifar.compare.robustness import Robustness
from svmcifar.compare.scores import ModelScores
from svmcifar.compare.training_terms import TrainingTerms
from svmcifar.data.dataset import SUPERCLASS_OF, kind_words
from svmcifar.json_values import finite, plain
from svmcifar.metrics.evaluation import Evaluation
from svmcifar.metrics.paired_tests import N_RESAMPLES, SEED, PairedCounts

FORMAT_NUMBER = 2
CONFIDENCE = 0.95
BOOTSTRAP = f"paired bootstrap, {N_RESAMPLES:,} resamples, seed {SEED}"
_MCNEMAR = "exact binomial test on the images that only one model has right"


@dataclass(frozen=True)
class DataDescription:
    """The images that the models were tested on."""

    label: str  # name of the data set
    synthetic: bool  # whether it is a stand-in
    original: str | None  # what it stands in for, or is an altered copy of
    md5s: dict[str, str]  # of each of its files
    split: str
    n_images: int


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a model costs; None where it is not known or does not apply."""

    training_s: float | None  # seconds on the clock, features included
    training_cpu_s: float | None = None  # seconds of the processor, of all threads together
    epochs: int | None = None  # passes over the training images
    epoch_s: float | None = None  # median seconds on the clock of one
    training_hardware: str | None
    training_machine: Machine = field(default_factory=Machine)
    features_s: float | None = None  # seconds of `inference_s` that an SVM's features took
    inference_s: float  # seconds on the clock for all test images
    inference_cpu_s: float  # seconds of the processor, of all threads together
    inference_load: float | None = None  # load average of the machine just before
    images_per_s: float
    inference_hardware: str | None
    n_bytes: int  # of the file; that of a slim SVM counts its support vectors as well
    n_parameters: int | None = None
    n_support_vectors: int | None = None


@dataclass(frozen=True)
class LearningCurve:
    """A network's accuracy as it was trained."""

    images: str  # what it was measured on
    held_out: bool  # whether these were not trained on
    seconds: tuple[float, ...]  # of training, after each epoch
    accuracy: dict[str, tuple[float, ...]]  # after each epoch, by kind

    def to_json(self) -> list[dict[str, float]]:
        """Return the curve's part of report.json, an entry per epoch."""
        columns = {"seconds": self.seconds} | dict(reversed(self.accuracy.items()))
        epochs = zip(*columns.values(), strict=True)
        return [dict(zip(columns, values, strict=True)) for values in epochs]


@dataclass(frozen=True, kw_only=True)
class ModelEntry:
    """What a model is, what it costs and how it was made."""

    id: str  # key of its scores and predictions: "cnn", "cnn2", ..., "ensemble", "svm", "svm2", ...
    kind: str  # "cnn", "ensemble" or "svm"
    name: str  # for tables and legends
    description: str
    labels: str  # kind of labels that it was trained on
    features: list[str] | None = None  # steps of an SVM's features
    file: str | None = None
    sha256: str | None = None
    content_hash: str | None = None  # of an SVM
    runtime: str | None
    terms: TrainingTerms
    cost: Cost
    curve: LearningCurve | None = None
    made: dict[str, Any]  # a network's card, an SVM's manifest
    note: str | None = None  # where the model comes from, if nobody named it

    def to_json(self) -> dict[str, Any]:
        """Return the model's part of report.json."""
        content: dict[str, Any] = {}
        for key, value in vars(self).items():
            if key == "curve":
                content |= {key: value and value.to_json(), "curve_of": value and value.images}
            elif key == "cost":
                machine = value.training_machine._asdict()
                content[key] = vars(value) | {"training_machine": machine}
            elif key != "features" or value is not None:
                content[key] = value
        return content


@dataclass(frozen=True)
class ClassTest:
    """How two models differ on the images of one class."""

    class_id: int
    counts: PairedCounts
    mcnemar_p: float  # of McNemar's exact test
    holm_p: float  # the same by Holm's correction for the number of classes with images

    def to_json(self) -> dict[str, Any]:
        """Return the class's part of report.json."""
        return {
            "class_id": self.class_id,
            "n": self.counts.n,
            "only_a": self.counts.only_a,
            "only_b": self.counts.only_b,
            "difference": self.counts.difference,
            "mcnemar_p": self.mcnemar_p,
            "holm_p": self.holm_p,
        }


@dataclass(frozen=True)
class PairedTest:
    """How two models differ on the same images."""

    a: str  # ids of the models
    b: str
    counts: PairedCounts  # images that both, one or none of them have right
    mcnemar_p: float  # of McNemar's exact test
    low: float  # ends of the bootstrap interval, of coverage `CONFIDENCE`, of `counts.difference`
    high: float
    by_class: tuple[ClassTest, ...] = ()

    def swapped(self) -> "PairedTest":
        """Return the same test with a and b exchanged, without its classes."""
        counts = replace(self.counts, only_a=self.counts.only_b, only_b=self.counts.only_a)
        # 0.0 - x, since -x would be shown as -0.00 where x is 0.
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
            "by_class": [of_class.to_json() for of_class in self.by_class],
        }


@dataclass(frozen=True, eq=False)
class SuperclassAnswers:
    """All models' superclasses by one rule, so that they are scored alike.

    A model that was trained on superclasses answers them by itself, whatever the rule.
    """

    rule: str  # "mapped" from the answered class, or "summed" over probabilities of classes
    scores: dict[str, Evaluation]  # by model id
    paired: list[PairedTest]  # of the same pairs as `Comparison.paired`

    def to_json(self) -> dict[str, Any]:
        """Return the rule's part of report.json, without what the scores of classes say."""
        scores = {
            model_id: {
                "n_correct": s.n_correct,
                "accuracy": s.accuracy,
                "accuracy_interval": s.accuracy_interval,
                "macro_f1": s.macro_f1,
            }
            for model_id, s in self.scores.items()
        }
        return {"scores": scores, "paired": [pair.to_json() for pair in self.paired]}


class Spread(NamedTuple):
    """Mean, sample standard deviation and extremes of several accuracies."""

    mean: float
    std: float
    low: float
    high: float


@dataclass(frozen=True)
class SeedGroup:
    """Models that differ in the seed of their training alone."""

    models: list[str]  # ids
    seeds: list[int]  # in the same order
    accuracy: dict[str, Spread]  # by kind of labels

    def to_json(self) -> dict[str, Any]:
        """Return the group's part of report.json."""
        accuracy = {kind: spread._asdict() for kind, spread in self.accuracy.items()}
        return {"models": self.models, "seeds": self.seeds, "accuracy": accuracy}


@dataclass(frozen=True)
class TimeToAccuracy:
    """When a network's learning curve reached an SVM's accuracy."""

    model: str  # id of the network
    svm: str  # id of the SVM
    target: float  # the SVM's accuracy on the test images
    seconds: float | None  # of training; None if it was never reached


class PredictedClass(NamedTuple):
    """Name of a predicted class, and whether it is the true one."""

    name: str
    right: bool


@dataclass(frozen=True)
class ImagePredictions:
    """A test image with what the models predict."""

    index: int  # in the split
    filename: str
    true: dict[str, str]  # name of the true class, by kind
    predicted: dict[str, dict[str, PredictedClass]]  # by model id, then by kind

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
    """The first images that only one of two models has right, or neither."""

    a: str  # id of the ensemble or the first network, without networks of the first SVM
    b: str  # id of the first SVM, without networks of the second
    kind: str  # of the labels that are looked at
    only_a: list[int]  # indices of images that a alone has right
    only_b: list[int]
    both_wrong: list[int]
    images: list[ImagePredictions]  # all of these, by index

    def to_json(self) -> dict[str, Any]:
        """Return this part of report.json."""
        first = {"only_a": self.only_a, "only_b": self.only_b, "both_wrong": self.both_wrong}
        images = [image.to_json() for image in self.images]
        return {"a": self.a, "b": self.b, self.kind: first, "images": images}


@dataclass(frozen=True, eq=False)
class Comparison:
    """All that a comparison found."""

    title: str
    created: str  # ISO 8601
    versions: dict[str, str]
    git_commit: str | None
    host: dict[str, Any]
    command: str  # what the user typed
    data: DataDescription
    class_names: dict[str, list[str]]  # by kind, in the order of the ids
    superclass_of: list[int] | None  # superclass id of each class; None without superclasses
    models: list[ModelEntry]  # the networks, their ensemble, the SVMs
    scores: dict[str, dict[str, ModelScores]]  # by kind, then by id of the models that predict it
    # By kind: all against each SVM, then pairs of SVMs, then of networks.
    paired: dict[str, list[PairedTest]]
    superclasses: list[SuperclassAnswers]  # by either rule; none without superclasses
    seeds: list[SeedGroup]  # of models that differ in nothing else
    time_to_accuracy: dict[str, list[TimeToAccuracy]]  # by kind, for curves on held-out images
    disagreements: Disagreements
    grid: list[ImagePredictions]  # the first test images
    mixtures: dict[str, list[Mixture]] = field(default_factory=dict)  # by kind
    robustness: Robustness | None = None  # if it was asked for
    conclusion: list[str] = field(default_factory=list)  # sentences
    limitations: list[str] = field(default_factory=list)  # sentences
    files: dict[str, Any] = field(default_factory=dict)  # names beside report.json, by content

    @property
    def main_kind(self) -> str:
        """The kind of labels that all models predict: superclasses, where there are any."""
        return next(iter(self.class_names))

    def model(self, model_id: str) -> ModelEntry:
        """Return the model with this id."""
        return next(entry for entry in self.models if entry.id == model_id)

    def of_kind(self, *kinds: str) -> list[ModelEntry]:
        """Return the models of some kinds: "cnn", "ensemble", "svm"."""
        return [entry for entry in self.models if entry.kind in kinds]

    def chief_pairs(self, pairs: Sequence[PairedTest]) -> list[PairedTest]:
        """Return the paired tests with an SVM that one of the two rivals takes part in.

        The rivals are the models of `disagreements`; their own test comes first.
        """
        a, b = self.disagreements.a, self.disagreements.b
        chief = [
            pair
            for pair in pairs
            if self.model(pair.b).kind == "svm" and (pair.a == a or pair.b == b)
        ]
        return sorted(chief, key=lambda pair: (pair.a, pair.b) != (a, b))

    def words(self, kind: str) -> tuple[str, str]:
        """Return the singular and the plural of the classes of a kind."""
        return kind_words(kind, self.class_names)

    def title_of(self, kind: str) -> str:
        """Return the classes of a kind with their number, such as "4 superclasses"."""
        return f"{len(self.class_names[kind])} {self.words(kind)[1]}"

    def to_json(self) -> dict[str, Any]:
        """Return the content of report.json; NaN and infinity are None."""
        classes: dict[str, Any] = dict(self.class_names)
        if self.superclass_of is not None:
            classes[SUPERCLASS_OF] = self.superclass_of
        renamed = {"class_names": "classes", "limitations": "limits"}
        content: dict[str, Any] = {"format": FORMAT_NUMBER}
        content |= {renamed.get(key, key): value for key, value in vars(self).items()}
        del content["superclass_of"]
        content |= {
            "classes": classes,
            "models": [entry.to_json() for entry in self.models],
            "scores": {
                kind: {model_id: scores.to_dict() for model_id, scores in of_kind.items()}
                for kind, of_kind in self.scores.items()
            },
            "paired": {kind: [p.to_json() for p in pairs] for kind, pairs in self.paired.items()},
            "seeds": [group.to_json() for group in self.seeds],
            "superclasses": {by.rule: by.to_json() for by in self.superclasses},
            "disagreements": self.disagreements.to_json(),
            "grid": [image.to_json() for image in self.grid],
            "mixtures": {kind: [m.to_json() for m in of] for kind, of in self.mixtures.items()},
            "robustness": self.robustness and self.robustness.to_json(),
        }
        result: dict[str, Any] = finite(plain(content))
        return result
