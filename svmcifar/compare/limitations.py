"""Limitations of a comparison, in sentences."""

from collections.abc import Iterator, Sequence

from svmcifar.compare.comparison import Comparison, ModelEntry
from svmcifar.data.dataset import CLASSES, SUPERCLASSES
from svmcifar.data.registry import DATASETS


def find_limitations(comparison: Comparison) -> list[str]:
    """Write sentences on the scope of the conclusions, in general and for these models."""
    svm = comparison.model("svm")
    networks = [entry for entry in comparison.models if entry.kind == "cnn"]
    return [
        *_of_images(comparison),
        "Intervals and tests say how much the choice of test images matters. They do not say how "
        "much training matters: each model was trained once, and another seed would change a "
        "network's answers.",
        *_of_many_tests(comparison),
        *_of_training_images(comparison, networks, svm),
        *_of_superclasses(comparison, svm),
        f"The SVM's features are {' > '.join(svm.features or ())}; other features, or another "
        "choice of C and gamma, would change its accuracy.",
        "Log loss is that of scores divided by a temperature, for networks and SVM alike; the "
        "temperature is fitted to other test images than those it is used on.",
        *_of_probabilities(svm),
        *_of_time(networks, svm),
    ]


def _of_images(comparison: Comparison) -> Iterator[str]:
    names = [kind.description.name for kind in DATASETS]
    if (label := comparison.data.label) not in names:
        real = " or ".join(names)
        yield f"The images are those of the {label}: these numbers say nothing about {real}."


def _of_many_tests(comparison: Comparison) -> Iterator[str]:
    if (n_tests := sum(map(len, comparison.paired.values()))) > 1:
        yield (
            f"{n_tests} pairs were compared. Each interval and p-value stands for itself; none is "
            f"corrected for their number."
        )


def _of_training_images(
    comparison: Comparison, networks: Sequence[ModelEntry], svm: ModelEntry
) -> Iterator[str]:
    for entry in (*networks, svm):
        data, held_out = entry.made.get("data"), entry.made.get("validation_rows")
        if data is None:
            yield f"How {entry.name} was trained is not known: it may have seen the test images."
        elif comparison.data.md5s["train"] not in str(data):
            yield (
                f"{entry.name} was trained on other data ({data.get('label', 'unknown')}): it "
                "may have seen more images or fewer, or test images of this set."
            )
        if held_out:
            yield f"{entry.name} was trained without {held_out} training images that it held out."
    if (n_rows := svm.made["training"]["rows"]) is not None:
        yield f"{svm.name} was trained on {n_rows} of the training images."


def _of_superclasses(comparison: Comparison, svm: ModelEntry) -> Iterator[str]:
    if SUPERCLASSES in comparison.class_names:
        sentence = "A network's probability of a superclass is the sum over its classes"
        if svm.labels == CLASSES and _has_probabilities(svm):
            sentence += (
                "; so is the SVM's, but its superclass is that of the one class it answers. Models "
                "trained on the superclasses themselves may do better"
            )
        elif svm.labels == CLASSES:
            sentence += (
                "; the SVM's superclass is that of the one class it answers, for decision values "
                "cannot be summed. Models trained on the superclasses themselves may do better"
            )
        yield f"{sentence}."


def _of_probabilities(svm: ModelEntry) -> Iterator[str]:
    if _has_probabilities(svm):
        yield (
            "The SVM's probabilities are coupled from sigmoids of the pairs' decision values, "
            "fitted to training images that a model of the other four fifths had not seen; its "
            "answers are the pairs' votes, and need not be the most probable class."
        )


def _has_probabilities(svm: ModelEntry) -> bool:
    """Return whether the SVM was trained with probabilities; older manifests do not say."""
    return bool(svm.made["training"]["parameters"].get("probability"))


def _of_time(networks: Sequence[ModelEntry], svm: ModelEntry) -> Iterator[str]:
    yield (
        "Times of training are as recorded when each model was trained; inference was timed once, "
        "on this machine, whatever else it was doing."
    )
    processor = svm.made["host"]["processor"]
    for entry in networks:
        hardware = entry.cost.training_hardware
        if hardware is not None and not hardware.startswith(processor):
            yield (
                f"{entry.name} and {svm.name} were trained on different hardware ({hardware}; "
                f"{svm.cost.training_hardware}): their times of training do not compare."
            )
