"""What the comparison says, in plain sentences computed from its numbers."""

from typing import Any

_LABELS = {"coarse": "superclasses", "fine": "fine classes"}
_LEVEL = 0.05
_LEAST_P = 0.0001
_LEAST_RATIO = 1.05


def conclude(content: dict[str, Any]) -> list[str]:
    """Say in sentences what the numbers say.

    Parameters
    ----------
    content : dict
        The report's content (see `svmcifar.compare.comparison`).

    Returns
    -------
    list of str
        Accuracy of each network against the SVM, the leading one's (the
        ensemble, or the first) in the first sentence; where they differ; and
        what the leading one and the SVM cost.

    Notes
    -----
    A model is called better only if the bootstrap interval of the difference
    leaves out 0 and McNemar's p-value is below 0.05: with few images on which
    they differ, the two may disagree.
    """
    lead = content["disagreements"]["a"]
    models = {entry["id"]: entry for entry in content["models"]}
    coarse, fine = content["paired"]["coarse"], content["paired"]["fine"]
    with_svm = [pair for pair in coarse if pair["b"] == "svm"]
    with_svm.sort(key=lambda pair: pair["a"] != lead)
    sentences = [_say_accuracy(content, "coarse", pair) for pair in with_svm]
    sentences.append(_say_overlap(models, with_svm[0]))
    sentences.append(_say_classes(content, lead))
    sentences += [_say_accuracy(content, "fine", pair) for pair in fine if pair["b"] == "svm"]
    if models["svm"]["labels"] == "coarse":
        sentences.append(
            f"{models['svm']['name']} was trained on the superclasses: it has no answers on the "
            f"{len(content['classes']['fine'])} fine classes."
        )
    return [*sentences, *_say_training(content, lead), *_say_use(models[lead], models["svm"])]


def is_difference_shown(pair: dict[str, Any]) -> bool:
    """Tell whether the test images show that one model of a pair is better.

    Parameters
    ----------
    pair : dict
        An entry of ``content["paired"]``.

    Returns
    -------
    bool
    """
    difference = pair["difference"]
    leaves_out_zero = difference["low"] > 0 or difference["high"] < 0
    return leaves_out_zero and pair["mcnemar_p"] < _LEVEL


def _say_accuracy(content: dict[str, Any], kind: str, pair: dict[str, Any]) -> str:
    names = {entry["id"]: entry["name"] for entry in content["models"]}
    a, b = pair["a"], pair["b"]
    percent_a, percent_b = (100 * content["scores"][kind][m]["accuracy"] for m in (a, b))
    facts = (
        f"On the {len(content['classes'][kind])} {_LABELS[kind]} {names[a]} is right for "
        f"{percent_a:.2f} % of the {pair['n']:,} test images and {names[b]} for {percent_b:.2f} %"
    )
    value, low, high = (100 * pair["difference"][key] for key in ("value", "low", "high"))
    p = pair["mcnemar_p"]
    test = f"McNemar's test p {f'= {p:.2g}' if p >= _LEAST_P else f'< {_LEAST_P}'}"
    if not is_difference_shown(pair):
        return (
            f"{facts}: no difference that this test set can show ({value:+.2f} percentage points, "
            f"95 % interval {low:+.2f} to {high:+.2f}; {test})."
        )
    better = a if value > 0 else b
    if better == b:
        value, low, high = -value, -high, -low
    return (
        f"{facts}: {names[better]} is better by {value:.2f} percentage points "
        f"(95 % interval {low:.2f} to {high:.2f}; {test})."
    )


def _say_overlap(models: dict[str, Any], pair: dict[str, Any]) -> str:
    a, b = models[pair["a"]]["name"], models[pair["b"]]["name"]
    shares = {
        k: 100 * pair[k] / pair["n"] for k in ("both_right", "only_a", "only_b", "both_wrong")
    }
    return (
        f"Both are right for {shares['both_right']:.1f} % of the images, {a} alone for "
        f"{shares['only_a']:.1f} %, {b} alone for {shares['only_b']:.1f} %, and neither for "
        f"{shares['both_wrong']:.1f} %."
    )


def _say_classes(content: dict[str, Any], lead: str) -> str:
    names = {entry["id"]: entry["name"] for entry in content["models"]}
    of_lead, of_svm = (content["scores"]["coarse"][m]["per_class"] for m in (lead, "svm"))
    gaps = {
        ours["name"]: ours["recall"] - theirs["recall"]
        for ours, theirs in zip(of_lead, of_svm, strict=True)
        if ours["support"]
    }
    ahead, behind = (sum(sign * gap > 0 for gap in gaps.values()) for sign in (1, -1))
    text = (
        f"{names[lead]} recognises more images of {ahead} of the {len(gaps)} superclasses and "
        f"{names['svm']} of {behind}"
    )
    ends = {lead: max(gaps, key=lambda n: gaps[n]), "svm": min(gaps, key=lambda n: gaps[n])}
    leads = [
        f"{names[model_id]} in {name.replace('_', ' ')} ({100 * abs(gaps[name]):.1f} points)"
        for (model_id, name), count in zip(ends.items(), (ahead, behind), strict=True)
        if count
    ]
    if leads:
        text += f"; the largest lead is that of {' and that of '.join(leads)}"
    return f"{text}."


def _say_training(content: dict[str, Any], lead: str) -> list[str]:
    models = {entry["id"]: entry for entry in content["models"]}
    cnn, svm = models[lead], models["svm"]
    seconds, svm_seconds = cnn["cost"]["training_s"], svm["cost"]["training_s"]
    sentences = []
    if not seconds:
        sentences.append(
            f"How long {cnn['name']} was trained is not known; {svm['name']} took "
            f"{_duration(svm_seconds)} ({svm['cost']['training_hardware']})."
        )
    else:
        sentences.append(
            f"Training took {cnn['name']} {_duration(seconds)} "
            f"({cnn['cost']['training_hardware'] or 'hardware not recorded'}) and {svm['name']} "
            f"{_duration(svm_seconds)} ({svm['cost']['training_hardware']}): "
            + f"{_ratio(seconds, svm_seconds, cnn, svm, 'as long')}."
        )
    for reached in content["time_to_accuracy"]["coarse"]:
        entry = models[reached["model"]]
        sentences.append(
            f"In training, {entry['name']} "
            + (
                f"never reached the superclass accuracy that {svm['name']} has on the test images "
                if reached["seconds"] is None
                else f"reached the superclass accuracy that {svm['name']} has on the test images "
                f"after {_duration(reached['seconds'])} "
            )
            + f"({100 * reached['target']:.2f} %; measured on {entry['curve_of']})."
        )
    return sentences


def _say_use(cnn: dict[str, Any], svm: dict[str, Any]) -> list[str]:
    a, b = cnn["cost"], svm["cost"]
    gain_a, gain_b = (cost["accuracy_per_mb"]["coarse"] for cost in (a, b))
    return [
        f"On this machine {cnn['name']} answers {a['images_per_s']:,.0f} images a second and "
        f"{svm['name']} {b['images_per_s']:,.0f}: "
        f"{_ratio(a['images_per_s'], b['images_per_s'], cnn, svm, 'as many')}.",
        f"{cnn['name']} takes {a['n_bytes'] / 1e6:,.2f} MB and {svm['name']} "
        f"{b['n_bytes'] / 1e6:,.2f} MB: {_ratio(a['n_bytes'], b['n_bytes'], cnn, svm, 'as much')}. "
        f"Each MB brings {cnn['name']} {gain_a:.3g} and {svm['name']} {gain_b:.3g} percentage "
        "points of superclass accuracy.",
    ]


def _ratio(a: float, b: float, of_a: dict[str, Any], of_b: dict[str, Any], measure: str) -> str:
    """Say how many times as much the larger one is."""
    ratio, larger = (a / b, of_a) if a >= b else (b / a, of_b)
    if ratio < _LEAST_RATIO:
        return "about the same"
    shown = f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.3g}"
    return f"{shown} times {measure} for {larger['name']}"


def _duration(seconds: float) -> str:
    """Write a time in the unit that people would take."""
    if seconds < 120:
        return f"{seconds:.3g} s"
    if seconds < 7200:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"
