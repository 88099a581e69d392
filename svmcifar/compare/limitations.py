"""What the comparison does not say, in plain sentences."""

from typing import Any


def find_limits(content: dict[str, Any]) -> list[str]:
    """Say in sentences how far the conclusions reach.

    Parameters
    ----------
    content : dict
        The report's content (see `svmcifar.compare.comparison`).

    Returns
    -------
    list of str
        Those that always hold, and those that hold for these models.
    """
    models = content["models"]
    svm = next(entry for entry in models if entry["kind"] == "svm")
    networks = [entry for entry in models if entry["kind"] == "cnn"]
    return [
        *_of_data(content),
        "Intervals and tests say how much the choice of test images matters. They do not say how "
        "much training matters: each model was trained once, and another seed would change a "
        "network's answers.",
        *_of_many_tests(content),
        *_of_training_images(content, networks, svm),
        *_of_superclasses(svm),
        f"The SVM's features are {' > '.join(svm['features'])}; other features, or another choice "
        "of C and gamma, would change its accuracy.",
        "Log loss is that of scores divided by a temperature, for networks and SVM alike; the "
        "temperature is fitted to other test images than those it is used on.",
        *_of_time(networks, svm),
    ]


def _of_data(content: dict[str, Any]) -> list[str]:
    label = content["data"]["label"]
    if label == "CIFAR-100":
        return []
    return [f"The images are those of the {label}: these numbers say nothing about CIFAR-100."]


def _of_many_tests(content: dict[str, Any]) -> list[str]:
    n_tests = sum(len(pairs) for pairs in content["paired"].values())
    if n_tests < 2:
        return []
    return [
        f"{n_tests} pairs were compared. Each interval and p-value stands for itself; none is "
        f"corrected for their number."
    ]


def _of_training_images(
    content: dict[str, Any], networks: list[dict[str, Any]], svm: dict[str, Any]
) -> list[str]:
    """Say which models were trained on other images, or on fewer."""
    sentences = []
    train_md5 = content["data"]["md5s"]["train"]
    for entry in (*networks, svm):
        data, held_out = entry["made"].get("data"), entry["made"].get("validation_rows")
        if data is None:
            sentences.append(
                f"How {entry['name']} was trained is not known: it may have seen the test images."
            )
        elif train_md5 not in str(data):
            sentences.append(
                f"{entry['name']} was trained on other data ({data.get('label', 'unknown')}): it "
                "may have seen more images or fewer, or test images of this set."
            )
        if held_out:
            sentences.append(
                f"{entry['name']} was trained without {held_out} training images that it held out."
            )
    if (n_rows := svm["made"]["training"]["rows"]) is not None:
        sentences.append(f"{svm['name']} was trained on {n_rows} of the training images.")
    return sentences


def _of_superclasses(svm: dict[str, Any]) -> list[str]:
    sentence = "A network's probability of a superclass is the sum over its five fine classes"
    if svm["labels"] == "fine":
        sentence += (
            "; the SVM's superclass is that of the one fine class it answers, for decision "
            "values cannot be summed. Models trained on the superclasses themselves may do better"
        )
    return [f"{sentence}."]


def _of_time(networks: list[dict[str, Any]], svm: dict[str, Any]) -> list[str]:
    sentences = [
        "Times of training are as recorded when each model was trained; inference was timed once, "
        "on this machine, whatever else it was doing."
    ]
    processor = svm["made"]["host"]["processor"]
    for entry in networks:
        hardware = entry["cost"]["training_hardware"]
        if hardware is not None and not hardware.startswith(processor):
            sentences.append(
                f"{entry['name']} and {svm['name']} were trained on different hardware "
                f"({hardware}; {svm['cost']['training_hardware']}): their times of training do "
                "not compare."
            )
    return sentences
