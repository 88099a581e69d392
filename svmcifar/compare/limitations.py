"""What the comparison does not say, in plain sentences."""

from collections.abc import Sequence

from svmcifar.compare.report_content import Comparison, ModelEntry
from svmcifar.data.dataset import CLASSES, SUPERCLASSES


def find_limitations(comparison: Comparison) -> list[str]:
    """Put into sentences how far the conclusions reach, in general and for these models."""
    svm = comparison.model("svm")
    networks = [entry for entry in comparison.models if entry.kind == "cnn"]
    return [
        *_of_data(comparison),
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
        *_of_time(networks, svm),
    ]


def _of_data(comparison: Comparison) -> list[str]:
    label = comparison.data.label
    if label == "CIFAR-100":
        return []
    return [f"The images are those of the {label}: these numbers say nothing about CIFAR-100."]


def _of_many_tests(comparison: Comparison) -> list[str]:
    n_tests = sum(map(len, comparison.paired.values()))
    if n_tests < 2:
        return []
    return [
        f"{n_tests} pairs were compared. Each interval and p-value stands for itself; none is "
        f"corrected for their number."
    ]


def _of_training_images(
    comparison: Comparison, networks: Sequence[ModelEntry], svm: ModelEntry
) -> list[str]:
    """Name the models that were trained on other images, or on fewer."""
    sentences = []
    train_md5 = comparison.data.md5s["train"]
    for entry in (*networks, svm):
        data, held_out = entry.made.get("data"), entry.made.get("validation_rows")
        if data is None:
            sentences.append(
                f"How {entry.name} was trained is not known: it may have seen the test images."
            )
        elif train_md5 not in str(data):
            sentences.append(
                f"{entry.name} was trained on other data ({data.get('label', 'unknown')}): it "
                "may have seen more images or fewer, or test images of this set."
            )
        if held_out:
            sentences.append(
                f"{entry.name} was trained without {held_out} training images that it held out."
            )
    if (n_rows := svm.made["training"]["rows"]) is not None:
        sentences.append(f"{svm.name} was trained on {n_rows} of the training images.")
    return sentences


def _of_superclasses(comparison: Comparison, svm: ModelEntry) -> list[str]:
    if SUPERCLASSES not in comparison.class_names:
        return []
    sentence = "A network's probability of a superclass is the sum over its classes"
    if svm.labels == CLASSES:
        sentence += (
            "; the SVM's superclass is that of the one class it answers, for decision "
            "values cannot be summed. Models trained on the superclasses themselves may do better"
        )
    return [f"{sentence}."]


def _of_time(networks: Sequence[ModelEntry], svm: ModelEntry) -> list[str]:
    sentences = [
        "Times of training are as recorded when each model was trained; inference was timed once, "
        "on this machine, whatever else it was doing."
    ]
    processor = svm.made["host"]["processor"]
    for entry in networks:
        hardware = entry.cost.training_hardware
        if hardware is not None and not hardware.startswith(processor):
            sentences.append(
                f"{entry.name} and {svm.name} were trained on different hardware "
                f"({hardware}; {svm.cost.training_hardware}): their times of training do "
                "not compare."
            )
    return sentences
