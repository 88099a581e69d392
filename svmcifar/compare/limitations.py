"""Limitations of a comparison, in sentences."""

from collections.abc import Iterator, Sequence

from svmcifar.compare.comparison import Comparison, ModelEntry
from svmcifar.compare.conclusions import listing
from svmcifar.compare.machines import are_same
from svmcifar.data.dataset import CLASSES, SUPERCLASSES


def find_limitations(comparison: Comparison) -> list[str]:
    """Write sentences on the scope of the conclusions, in general and for these models."""
    svms, networks = comparison.of_kind("svm"), comparison.of_kind("cnn")
    seeds = "but for those given with several seeds, " if comparison.seeds else ""
    return [
        *_of_images(comparison),
        "Intervals and tests say how much the choice of test images matters. They do not say how "
        f"much training matters: {seeds}each model was trained once"
        + (", and another seed would change a network's answers." if networks else "."),
        *_of_many_tests(comparison),
        *_of_training_images(comparison, [*networks, *svms]),
        *_of_superclasses(comparison, networks, svms),
        *_of_features(svms),
        "Log loss is that of scores divided by a temperature, for every kind of model alike; the "
        "temperature is fitted to other test images than those it is used on.",
        *_of_probabilities(svms),
        *_of_time([*networks, *svms]),
    ]


def _of_images(comparison: Comparison) -> Iterator[str]:
    data = comparison.data
    if data.original is not None:
        yield (
            f"The images are those of the {data.label}: these numbers say nothing about "
            f"{data.original}."
        )


def _of_many_tests(comparison: Comparison) -> Iterator[str]:
    if (n_tests := sum(map(len, comparison.paired.values()))) > 1:
        yield (
            f"{n_tests} pairs were compared. Each interval and p-value stands for itself; none is "
            f"corrected for their number."
        )


def _of_training_images(comparison: Comparison, models: Sequence[ModelEntry]) -> Iterator[str]:
    found: dict[str, list[ModelEntry]] = {}
    for entry in models:
        for sentence in _on_training_images(comparison, entry):
            found.setdefault(sentence, []).append(entry)
    for sentence, alike in found.items():
        were, they = ("was", "it") if len(alike) == 1 else ("were", "they")
        yield sentence.format(names=_listed(alike), were=were, they=they)


def _on_training_images(comparison: Comparison, entry: ModelEntry) -> Iterator[str]:
    """Yield sentences on a model's training images, with places for the models' names."""
    data, held_out = entry.made.get("data"), entry.made.get("validation_rows")
    if data is None:
        yield "How {names} {were} trained is not known: {they} may have seen the test images."
    elif comparison.data.md5s["train"] not in str(data):
        label = str(data.get("label", "unknown")).replace("{", "{{").replace("}", "}}")
        yield (
            f"{{names}} {{were}} trained on other data ({label}): {{they}} may have seen more "
            "images or fewer, or test images of this set."
        )
    if held_out:
        yield (
            f"{{names}} {{were}} trained without {held_out:,} training images that {{they}} held "
            "out."
        )
    if entry.kind == "svm" and (n_rows := entry.made["training"]["rows"]) is not None:
        yield f"{{names}} {{were}} trained on {n_rows:,} of the training images."


def _of_superclasses(
    comparison: Comparison, networks: Sequence[ModelEntry], svms: Sequence[ModelEntry]
) -> Iterator[str]:
    if SUPERCLASSES not in comparison.class_names:
        return
    if any(network.labels == CLASSES for network in networks):
        yield "A network's probability of a superclass is the sum over its classes."
    if of_classes := [svm for svm in svms if svm.labels == CLASSES]:
        yield (
            f"The superclass of {_listed(of_classes)} is that of the one class answered; what all "
            "models get by one rule stands beside it. Models trained on the superclasses "
            "themselves may do better."
        )


def _of_features(svms: Sequence[ModelEntry]) -> Iterator[str]:
    for steps in dict.fromkeys(" > ".join(svm.features or ()) for svm in svms):
        alike = [svm for svm in svms if " > ".join(svm.features or ()) == steps]
        yield (
            f"The features of {_listed(alike)} are {steps}; other features or kernels, or another "
            "choice of C and gamma, would change the accuracy."
        )


def _of_probabilities(svms: Sequence[ModelEntry]) -> Iterator[str]:
    if with_probabilities := [svm for svm in svms if _has_probabilities(svm)]:
        yield (
            f"The probabilities of {_listed(with_probabilities)} are coupled from sigmoids of the "
            "pairs' decision values, fitted to training images that a model of the other four "
            "fifths had not seen; the answers are the pairs' votes, and need not be the most "
            "probable class."
        )


def _listed(models: Sequence[ModelEntry]) -> str:
    return listing([model.name for model in models])


def _has_probabilities(svm: ModelEntry) -> bool:
    """Return whether the SVM was trained with probabilities; older manifests do not say."""
    return bool(svm.made["training"]["parameters"].get("probability"))


def _of_time(models: Sequence[ModelEntry]) -> Iterator[str]:
    yield (
        "Times of training are as recorded when each model was trained; inference was timed once, "
        f"on this machine{_loads(models)}. Seconds of the processor are those of all threads."
    )
    same = are_same(entry.cost.training_machine for entry in models)
    if same:
        return
    where = "; ".join(
        f"{entry.name}: {entry.cost.training_machine.describe() or 'not recorded'}"
        for entry in models
    )
    what = "were trained on different machines"
    if same is None:
        what = "may have been trained on different machines, for not all records tell"
    yield f"Models {what} ({where}): their times of training do not compare."


def _loads(models: Sequence[ModelEntry]) -> str:
    """Say how busy the machine was when the models predicted."""
    loads = [entry.cost.inference_load for entry in models if entry.cost.inference_load is not None]
    if not loads:
        return ", whatever else it was doing"
    return f", whose load average was {min(loads):.1f} to {max(loads):.1f} before"
