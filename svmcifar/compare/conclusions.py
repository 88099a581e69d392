"""Conclusions of a comparison, sentences computed from its numbers."""

from collections.abc import Sequence

from svmcifar.compare.comparison import (
    CONFIDENCE,
    Comparison,
    ModelEntry,
    PairedTest,
    SeedGroup,
    SuperclassAnswers,
    TimeToAccuracy,
)
from svmcifar.compare.machines import are_same
from svmcifar.compare.mixtures import Mixture
from svmcifar.data.dataset import CLASSES, SUPERCLASSES

LEVEL = 0.05
_LEAST_P = 0.0001
_LEAST_RATIO = 1.05
MOST_IN_WORDS = 3  # pairs, or networks, with a sentence each; more of them share one


def conclude(comparison: Comparison) -> list[str]:
    """Write sentences on accuracy, differences and cost.

    First the accuracy of the two rivals (`Comparison.disagreements`), then of other pairs that one
    of them is in, unless these are so many that one sentence is on all; then where the rivals
    differ, what they are together, and what they cost.
    """
    main, shown = comparison.main_kind, comparison.disagreements
    pairs = {kind: comparison.chief_pairs(tests) for kind, tests in comparison.paired.items()}
    a, b = comparison.model(shown.a), comparison.model(shown.b)
    sentences = _accuracy_sentences(comparison, main, pairs[main])
    sentences[0] += _training_images(a, b)
    sentences.append(_overlap_sentence(comparison, pairs[main][0]))
    sentences.append(_classes_sentence(comparison, a, b))
    sentences += [
        _rule_sentence(by, pair, a, b)
        for by in comparison.superclasses
        for pair in comparison.chief_pairs(by.paired)[:1]
        if a.labels == CLASSES or b.labels == CLASSES
    ]
    for kind in pairs:
        if kind != main:
            sentences += _accuracy_sentences(comparison, kind, pairs[kind])
    sentences += [
        _mixture_sentence(comparison, kind, mixture, a, b)
        for kind, mixtures in comparison.mixtures.items()
        for mixture in mixtures
        if (mixture.network, mixture.svm) == (a.id, b.id)
    ]
    sentences += [_seeds_sentence(comparison, group) for group in comparison.seeds]
    sentences += [
        f"{model.name} was trained on the superclasses: it has no answers on the "
        f"{comparison.title_of(CLASSES)}."
        for model in comparison.models
        if model.labels == SUPERCLASSES
    ]
    return [*sentences, *_training_sentences(comparison, a, b), *_use_sentences(a, b)]


def describe_difference(pair: PairedTest, a: str, b: str) -> str:
    """Write which of two models, named a and b, is better and by how much: the end of a sentence.

    A model is called better only if the bootstrap interval of the difference excludes 0 and
    McNemar's p-value is below 0.05: with few discordant images, the two may disagree.
    """
    p = pair.mcnemar_p
    test = f"McNemar's test p {f'= {p:.2g}' if p >= _LEAST_P else f'< {_LEAST_P}'}"
    is_shown = _is_shown(pair)
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


def listing(words: Sequence[str]) -> str:
    """Join words as in a sentence: "a, b and c"."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _is_shown(pair: PairedTest) -> bool:
    """Return whether interval and test both leave chance out."""
    return (pair.low > 0 or pair.high < 0) and pair.mcnemar_p < LEVEL


def _accuracy_sentences(comparison: Comparison, kind: str, pairs: list[PairedTest]) -> list[str]:
    if len(pairs) <= MOST_IN_WORDS:
        return [_accuracy_sentence(comparison, kind, pair) for pair in pairs]
    rivals = pairs[0]
    of_a = [pair.swapped() for pair in pairs if pair.a == rivals.a]
    of_b = [pair for pair in pairs if pair.b == rivals.b]
    return [_many_sentence(comparison, kind, of) for of in (of_b, of_a) if len(of) > 1]


def _many_sentence(comparison: Comparison, kind: str, pairs: list[PairedTest]) -> str:
    """Compare several models with one, the second of each pair."""
    scores = comparison.scores[kind]
    rates = {pair.a: scores[pair.a].accuracy for pair in pairs}
    worst, best = min(rates, key=rates.__getitem__), max(rates, key=rates.__getitem__)
    shown = [pair.counts.difference for pair in pairs if _is_shown(pair)]
    n_better, n_worse = sum(d > 0 for d in shown), sum(d < 0 for d in shown)
    name = comparison.model(pairs[0].b).name
    return (
        f"On the {comparison.title_of(kind)} {len(pairs)} models are right for "
        f"{100 * rates[worst]:.2f} % ({comparison.model(worst).name}) to {100 * rates[best]:.2f} % "
        f"({comparison.model(best).name}) of the {pairs[0].counts.n:,} test images and {name} for "
        f"{100 * scores[pairs[0].b].accuracy:.2f} %. Shown to be better than {name}: {n_better} of "
        f"them; to be worse: {n_worse}; neither: {len(pairs) - len(shown)}."
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


def _mixture_sentence(
    comparison: Comparison, kind: str, mixture: Mixture, a: ModelEntry, b: ModelEntry
) -> str:
    """Hold the rivals together against the better one of them alone."""
    better = comparison.model(mixture.better).name
    gain = PairedTest(
        "mean", mixture.better, mixture.counts, mixture.mcnemar_p, mixture.low, mixture.high
    )
    percent = 100 * comparison.scores[kind][mixture.better].accuracy
    return (
        f"By the mean of their probabilities {a.name} and {b.name} together are right for "
        f"{100 * mixture.accuracy:.2f} % on the {comparison.title_of(kind)}, {better} alone for "
        f"{percent:.2f} %: {describe_difference(gain, 'the mean', better)}."
    )


def _seeds_sentence(comparison: Comparison, group: SeedGroup) -> str:
    """Give mean and spread of models that differ in their seed alone."""
    parts = [
        f"on the {comparison.title_of(kind)} their accuracy is {100 * spread.mean:.2f} % on "
        f"average, with a standard deviation of {100 * spread.std:.2f} points "
        f"({100 * spread.low:.2f} to {100 * spread.high:.2f} %)"
        for kind, spread in group.accuracy.items()
    ]
    names = listing([comparison.model(model_id).name for model_id in group.models])
    seeds = ", ".join(map(str, group.seeds))
    return f"{names} differ in the seed alone ({seeds}): {'; '.join(parts)}."


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
    pair = comparison.chief_pairs(comparison.paired[comparison.main_kind])[0]
    shown = [test.counts.difference for test in pair.by_class if test.holm_p < LEVEL]
    found = "none is shown to differ"
    if shown:
        found = f"{a.name} is better in {sum(d > 0 for d in shown)} and {b.name} in "
        found += f"{sum(d < 0 for d in shown)}"
    return (
        f"{text}. By McNemar's exact test with Holm's correction for the {len(pair.by_class)} of "
        f"them {found}."
    )


def _training_images(a: ModelEntry, b: ModelEntry) -> str:
    """Return a sentence for the headline if two models had not as many training images."""
    n_a, n_b = a.terms.n_images, b.terms.n_images
    if n_a is not None and n_a == n_b:
        return ""
    unknown = [model.name for model, n in ((a, n_a), (b, n_b)) if n is None]
    if n_a is None or n_b is None:
        return f" On how many images {listing(unknown)} was trained is not known."
    return f" {a.name} was trained on {n_a:,} images and {b.name} on {n_b:,}."


def _rule_sentence(by: SuperclassAnswers, pair: PairedTest, a: ModelEntry, b: ModelEntry) -> str:
    """Compare two models' superclasses by one rule for both."""
    rule = {
        "mapped": "the answered class mapped up to its superclass",
        "summed": "the probabilities of its classes summed for each superclass",
    }[by.rule]
    percent_a, percent_b = (100 * by.scores[model.id].accuracy for model in (a, b))
    return (
        f"With {rule}, {a.name} is right for {percent_a:.2f} % and {b.name} for "
        f"{percent_b:.2f} %: {describe_difference(pair, a.name, b.name)}."
    )


def _training_sentences(comparison: Comparison, a: ModelEntry, b: ModelEntry) -> list[str]:
    sentence = f"How long {a.name} was trained is not known; {b.name} took {_training(b)}."
    if a.cost.training_s:
        sentence = (
            f"Training took {a.name} {_training(a)} and {b.name} {_training(b)}"
            f"{_training_ratio(a, b)}."
        )
    sentences = [sentence]
    learners: dict[str, list[TimeToAccuracy]] = {}
    for reached in comparison.time_to_accuracy[comparison.main_kind]:
        if reached.svm == b.id and (curve := comparison.model(reached.model).curve):
            learners.setdefault(curve.images, []).append(reached)
    for images, of in learners.items():
        if len(of) > MOST_IN_WORDS:
            sentences.append(_all_reached_sentence(comparison, of, b, images))
        else:
            sentences += [_reached_sentence(comparison, one, b, images) for one in of]
    return sentences


def _reached_sentence(
    comparison: Comparison, reached: TimeToAccuracy, svm: ModelEntry, images: str
) -> str:
    """Write when a network reached an SVM's accuracy in training, as measured on some images."""
    never, after = "never ", ""
    if reached.seconds is not None:
        never, after = "", f"after {_duration(reached.seconds)} "
    return (
        f"In training, {comparison.model(reached.model).name} {never}reached the "
        f"{_accuracy_of(comparison.main_kind)} that {svm.name} has on the test images {after}"
        f"({100 * reached.target:.2f} %; measured on {images})."
    )


def _all_reached_sentence(
    comparison: Comparison, learners: list[TimeToAccuracy], svm: ModelEntry, images: str
) -> str:
    """Write when each of many networks reached it."""
    names = {one.model: comparison.model(one.model).name for one in learners}
    never = listing([names[one.model] for one in learners if one.seconds is None])
    in_time = [(names[one.model], one.seconds) for one in learners if one.seconds is not None]
    after = listing([f"{name} after {_duration(seconds)}" for name, seconds in in_time])
    by = [f"by {after}"] * bool(after) + [f"never by {never}"] * bool(never)
    return (
        f"In training, the {_accuracy_of(comparison.main_kind)} that {svm.name} has on the test "
        f"images ({100 * learners[0].target:.2f} %) was reached {', and '.join(by)} (measured on "
        f"{images})."
    )


def _training(model: ModelEntry) -> str:
    """Describe a training's time, which manifests hold and cards may."""
    cost = model.cost
    cpu = "" if cost.training_cpu_s is None else f"{_duration(cost.training_cpu_s)} of CPU time; "
    hardware = cost.training_hardware or "hardware not recorded"
    return f"{_duration(cost.training_s or 0.0)} ({cpu}{hardware})"


def _training_ratio(a: ModelEntry, b: ModelEntry) -> str:
    """Compare two trainings if they ran on one machine: by CPU time where both have it."""
    same = are_same([a.cost.training_machine, b.cost.training_machine])
    if not same:
        where = "on different machines" if same is False else "perhaps on different machines"
        return f", {where}"
    cpu_a, cpu_b = a.cost.training_cpu_s, b.cost.training_cpu_s
    if cpu_a and cpu_b:
        return f": {_ratio(cpu_a, cpu_b, a, b, 'as much CPU time')}"
    return f": {_ratio(a.cost.training_s or 0.0, b.cost.training_s or 1.0, a, b, 'as long')}"


def _use_sentences(a: ModelEntry, b: ModelEntry) -> list[str]:
    of_a, of_b = a.cost, b.cost
    return [
        f"On this machine {a.name} answers {of_a.images_per_s:,.0f} images a second and "
        f"{b.name} {of_b.images_per_s:,.0f}: "
        f"{_ratio(of_a.images_per_s, of_b.images_per_s, a, b, 'as many')}. All test images take "
        f"{a.name} {_duration(of_a.inference_cpu_s)} of CPU time and {b.name} "
        f"{_duration(of_b.inference_cpu_s)}.",
        f"{a.name} takes {of_a.n_bytes / 1e6:,.2f} MB and {b.name} "
        f"{of_b.n_bytes / 1e6:,.2f} MB: {_ratio(of_a.n_bytes, of_b.n_bytes, a, b, 'as much')}.",
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
