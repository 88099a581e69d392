"""Conclusions of a comparison, sentences computed from its numbers."""

from svmcifar.compare.comparison import CONFIDENCE, Comparison, ModelEntry, PairedTest
from svmcifar.data.dataset import CLASSES, SUPERCLASSES

_LEVEL = 0.05
_LEAST_P = 0.0001
_LEAST_RATIO = 1.05


def conclude(comparison: Comparison) -> list[str]:
    """Write sentences on accuracy, differences and cost.

    First the accuracy of the two rivals (`Comparison.disagreements`), then of other pairs that one
    of them is in; then where the rivals differ, and what they cost.
    """
    main, shown = comparison.main_kind, comparison.disagreements
    pairs = {kind: comparison.chief_pairs(kind) for kind in comparison.paired}
    a, b = comparison.model(shown.a), comparison.model(shown.b)
    sentences = [_accuracy_sentence(comparison, main, pair) for pair in pairs[main]]
    sentences.append(_overlap_sentence(comparison, pairs[main][0]))
    sentences.append(_classes_sentence(comparison, a, b))
    for kind in pairs:
        if kind != main:
            sentences += [_accuracy_sentence(comparison, kind, pair) for pair in pairs[kind]]
    sentences += [
        f"{model.name} was trained on the superclasses: it has no answers on the "
        f"{comparison.title_of(CLASSES)}."
        for model in comparison.models
        if model.labels == SUPERCLASSES
    ]
    return [*sentences, *_training_sentences(comparison, a, b), *_use_sentences(main, a, b)]


def describe_difference(pair: PairedTest, a: str, b: str) -> str:
    """Write which of two models, named a and b, is better and by how much: the end of a sentence.

    A model is called better only if the bootstrap interval of the difference excludes 0 and
    McNemar's p-value is below 0.05: with few discordant images, the two may disagree.
    """
    p = pair.mcnemar_p
    test = f"McNemar's test p {f'= {p:.2g}' if p >= _LEAST_P else f'< {_LEAST_P}'}"
    is_shown = (pair.low > 0 or pair.high < 0) and p < _LEVEL
    if is_shown and pair.counts.difference < 0:
        return describe_difference(pair.swapped(), b, a)
    value, low, high = (100 * rate for rate in (pair.counts.difference, pair.low, pair.high))
    interval = f"{100 * CONFIDENCE:.0f} % interval"
    if not is_shown:
        return (
            f"no difference that this test set can show ({value:+.2f} percentage points, "
            f"{interval} {low:+.2f} to {high:+.2f}; {test})"
        )
    return (
        f"{a} is better by {value:.2f} percentage points "
        f"({interval} {low:.2f} to {high:.2f}; {test})"
    )


def _accuracy_sentence(comparison: Comparison, kind: str, pair: PairedTest) -> str:
    a, b = (comparison.model(model_id).name for model_id in (pair.a, pair.b))
    percent_a, percent_b = (100 * comparison.scores[kind][m].accuracy for m in (pair.a, pair.b))
    return (
        f"On the {comparison.title_of(kind)} {a} is right for {percent_a:.2f} % of the "
        f"{pair.counts.n:,} test images and {b} for {percent_b:.2f} %: "
        f"{describe_difference(pair, a, b)}."
    )


def _overlap_sentence(comparison: Comparison, pair: PairedTest) -> str:
    a, b = (comparison.model(model_id).name for model_id in (pair.a, pair.b))
    counts = pair.counts
    both, only_a, only_b, neither = (
        f"{100 * n / counts.n:.1f} %"
        for n in (counts.both_right, counts.only_a, counts.only_b, counts.both_wrong)
    )
    return (
        f"Both are right for {both} of the images, {a} alone for {only_a}, {b} alone for "
        f"{only_b}, and neither for {neither}."
    )


def _classes_sentence(comparison: Comparison, a: ModelEntry, b: ModelEntry) -> str:
    scores = comparison.scores[comparison.main_kind]
    ours, theirs = scores[a.id].per_class, scores[b.id].per_class
    gaps = (ours["recall"] - theirs["recall"]).set_axis(ours["name"]).dropna()
    ahead, behind = int((gaps > 0).sum()), int((gaps < 0).sum())
    text = (
        f"{a.name} recognises more images of {ahead} of the {len(gaps)} "
        f"{comparison.words(comparison.main_kind)[1]} and {b.name} of {behind}"
    )
    leads = [
        f"{model.name} in {name.replace('_', ' ')} ({100 * abs(gaps[name]):.1f} points)"
        for model, name, count in ((a, gaps.idxmax(), ahead), (b, gaps.idxmin(), behind))
        if count
    ]
    if leads:
        text += f"; the largest lead is that of {' and that of '.join(leads)}"
    return f"{text}."


def _training_sentences(comparison: Comparison, a: ModelEntry, b: ModelEntry) -> list[str]:
    seconds, b_seconds = a.cost.training_s, b.cost.training_s
    assert b_seconds is not None  # manifests hold it
    b_took = f"{b.name} took {_duration(b_seconds)} ({b.cost.training_hardware})"
    sentence = f"How long {a.name} was trained is not known; {b_took}."
    if seconds:
        sentence = (
            f"Training took {a.name} {_duration(seconds)} "
            f"({a.cost.training_hardware or 'hardware not recorded'}) and {b.name} "
            f"{_duration(b_seconds)} ({b.cost.training_hardware}): "
            f"{_ratio(seconds, b_seconds, a, b, 'as long')}."
        )
    sentences = [sentence]
    for reached in comparison.time_to_accuracy[comparison.main_kind]:
        if reached.svm != b.id:
            continue
        learner = comparison.model(reached.model)
        assert learner.curve is not None
        never, after = "never ", ""
        if reached.seconds is not None:
            never, after = "", f"after {_duration(reached.seconds)} "
        sentences.append(
            f"In training, {learner.name} {never}reached the "
            f"{_accuracy_of(comparison.main_kind)} that {b.name} has on the test images {after}"
            f"({100 * reached.target:.2f} %; measured on {learner.curve.images})."
        )
    return sentences


def _use_sentences(kind: str, a: ModelEntry, b: ModelEntry) -> list[str]:
    of_a, of_b = a.cost, b.cost
    return [
        f"On this machine {a.name} answers {of_a.images_per_s:,.0f} images a second and "
        f"{b.name} {of_b.images_per_s:,.0f}: "
        f"{_ratio(of_a.images_per_s, of_b.images_per_s, a, b, 'as many')}.",
        f"{a.name} takes {of_a.n_bytes / 1e6:,.2f} MB and {b.name} "
        f"{of_b.n_bytes / 1e6:,.2f} MB: {_ratio(of_a.n_bytes, of_b.n_bytes, a, b, 'as much')}. "
        f"Each MB brings {a.name} {of_a.accuracy_per_mb[kind]:.3g} and {b.name} "
        f"{of_b.accuracy_per_mb[kind]:.3g} percentage points of {_accuracy_of(kind)}.",
    ]


def _ratio(a: float, b: float, of_a: ModelEntry, of_b: ModelEntry, measure: str) -> str:
    """Return how many times as large the larger one is."""
    ratio, larger = (a / b, of_a) if a >= b else (b / a, of_b)
    if ratio < _LEAST_RATIO:
        return "about the same"
    shown = f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.3g}"
    return f"{shown} times {measure} for {larger.name}"


def _accuracy_of(kind: str) -> str:
    return "superclass accuracy" if kind == SUPERCLASSES else "accuracy"


def _duration(seconds: float) -> str:
    """Return a time in seconds, minutes or hours."""
    if seconds < 120:
        return f"{seconds:.3g} s"
    if seconds < 7200:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"
