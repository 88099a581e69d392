"""Recompute every number of a report from its scores.npz and the data set, by plain code.

    python tests/compare/recompute.py REPORT [DATA]

Of svmcifar it uses nothing but the reading of the data set.  A number of report.json that is
neither recomputed nor in `PROVENANCE` counts as a fault, as does one that differs.
"""

import json
import math
import re
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np

from svmcifar.data.registry import open_dataset

# Numbers that no image has a part in: times, sizes, versions, settings, how models were made.
PROVENANCE = (
    r"format",
    r"data\.synthetic",
    r"host\..*",
    r"models\.\d+\.(made|terms)\..*",
    r"models\.\d+\.curve\.\d+\.(seconds|coarse|fine)",
    r"models\.\d+\.cost\.(epochs|epoch_s|training_s|training_cpu_s|features_s|inference_s|inference_cpu_s)",
    r"models\.\d+\.cost\.(inference_load|images_per_s|training_machine\.(cores|threads))",
    r"models\.\d+\.cost\.(n_bytes|n_parameters|n_support_vectors)",
)
Z = 1.959963984540054  # of 95 %
LEAST = float(np.finfo(np.float32).tiny)  # probabilities are not below it
LEAST_P = float(np.finfo(np.float64).tiny)  # nor p-values below this
N_BINS, N_FOLDS, N_COVERAGES, N_RESAMPLES, N_SHOWN, N_GRID = 15, 5, 50, 10_000, 27, 9
STRENGTHS = {
    "noise": [0.04, 0.06, 0.08, 0.09, 0.10],
    "blur": [0.4, 0.6, 0.7, 0.8, 1.0],
    "contrast": [0.75, 0.5, 0.4, 0.3, 0.15],
    "shift": [1, 2, 3, 4, 5],
}


def numbers(content, place=""):
    """Each number, truth value and null of JSON content, with its place."""
    if isinstance(content, dict | list):
        pairs = content.items() if isinstance(content, dict) else enumerate(content)
        for key, value in pairs:
            yield from numbers(value, f"{place}.{key}" if place else str(key))
    elif content is None or isinstance(content, bool | int | float):
        yield place, content


def check(report, arrays, dataset):
    """Return how many numbers were recomputed, and how each of the others is at fault."""
    expected = dict(numbers(recompute(report, arrays, dataset)))
    found = dict(numbers(report))
    faults = [f"{place}: recomputed, and not there" for place in expected.keys() - found.keys()]
    n_recomputed = 0
    for place, value in found.items():
        if place in expected:
            n_recomputed += 1
            if not same(value, expected[place]):
                faults.append(f"{place}: {value}, recomputed {expected[place]}")
        elif value is not None and not any(re.fullmatch(p, place) for p in PROVENANCE):
            faults.append(f"{place}: {value}, neither recomputed nor provenance")
    return n_recomputed, faults


def same(value, expected):
    if expected is None or (isinstance(expected, float) and not math.isfinite(expected)):
        return value is None
    if value is None or isinstance(value, bool) != isinstance(expected, bool):
        return False
    return math.isclose(value, expected, rel_tol=1e-8, abs_tol=1e-11)


class Model:
    """What scores.npz holds of a model on one kind of labels."""

    def __init__(self, arrays, kind, model_id):
        self.score_kind = str(arrays[f"{model_id}/score_kind"])
        self.ids = arrays.get(f"{kind}/{model_id}/ids")
        scores = arrays.get(f"{kind}/{model_id}/scores")
        self.scores = None if scores is None else scores.astype(float)

    @property
    def has_probabilities(self):
        return self.scores is not None and self.score_kind == "probabilities"

    @property
    def logits(self):
        return np.log(np.maximum(self.scores, LEAST)) if self.has_probabilities else self.scores


def recompute(report, arrays, dataset):
    """The report's numbers in their places, but for those of `PROVENANCE`."""
    test = dataset.read_split("test")
    kinds = list(report["scores"])
    truth = {kind: test.labels[kind] for kind in kinds}
    for kind in kinds:
        assert np.array_equal(arrays[f"{kind}/true"], truth[kind])
    superclass_of = dataset.superclass_of if len(kinds) > 1 else None
    ids = [m["id"] for m in report["models"]]
    models = {kind: {m: Model(arrays, kind, m) for m in ids} for kind in kinds}
    models = {k: {m: x for m, x in of.items() if x.ids is not None} for k, of in models.items()}
    names = {kind: list(dataset.class_names(kind)) for kind in kinds}
    scores = {
        kind: {
            m: score(
                truth[kind], model, len(names[kind]), superclass_of if kind == "fine" else None
            )
            for m, model in of_kind.items()
        }
        for kind, of_kind in models.items()
    }
    content = {
        "data": {"n_images": len(test.images)},
        "scores": scores,
        "paired": {
            kind: [paired(truth[kind], models[kind][p["a"]].ids, models[kind][p["b"]].ids)
                   for p in report["paired"][kind]]
            for kind in kinds
        },
        "time_to_accuracy": {
            kind: [reached(report, scores, kind, entry) for entry in of_kind]
            for kind, of_kind in report["time_to_accuracy"].items()
        },
        "mixtures": {
            kind: [mixture(truth, models, kind, m, superclass_of) for m in of_kind]
            for kind, of_kind in report["mixtures"].items()
        },
        "seeds": [seeds(group, report, scores) for group in report["seeds"]],
        "disagreements": disagreements(report["disagreements"], truth, models),
        "grid": [pictured(i, truth, models) for i in range(min(N_GRID, len(test.images)))],
    }  # fmt: skip
    shown = report["disagreements"]["images"]
    content["disagreements"]["images"] = [pictured(i["index"], truth, models) for i in shown]
    for entry in (*report["grid"], *shown):
        check_names(entry, truth, models, names)
    if superclass_of is not None:
        content["classes"] = {"coarse_of_fine": superclass_of.tolist()}
        content["superclasses"] = superclasses(report, truth, models, superclass_of)
    if report["robustness"] is not None:
        content["robustness"] = robustness(arrays, truth, models)
    return content


def check_names(entry, truth, models, names):
    """The names of classes under a picture, which are no numbers."""
    for kind, of_kind in models.items():
        assert entry[f"true_{kind}"] == names[kind][truth[kind][entry["index"]]]
        for model_id, model in of_kind.items():
            said = entry["answers"][model_id][kind]
            assert said == names[kind][model.ids[entry["index"]]]


def score(y, model, n_classes, superclass_of):
    """All scores of a model on one kind of labels."""
    p, right, n, classes = model.ids, model.ids == y, len(y), range(n_classes)
    confusion = np.zeros((n_classes, n_classes), int)
    for true, predicted in zip(y, p, strict=True):
        confusion[true, predicted] += 1
    rows = [of_class(y, p, c) for c in classes]
    by_chance = sum((y == c).mean() * (p == c).mean() for c in classes)
    seen = [row for row in rows if row["support"]]
    extremes = {
        name: {key: choose(seen, key=lambda r: r["recall"])[key] for key in ("class_id", "recall")}
        for name, choose in (("best_class", max), ("worst_class", min))
    }
    found = {
        "n_samples": n,
        "n_correct": int(right.sum()),
        "accuracy": right.mean(),
        "accuracy_interval": wilson(right.sum(), n),
        **{f"macro_{k}": np.mean([r[k] or 0.0 for r in rows]) for k in ("precision", "recall")},
        "macro_f1": np.mean([r["f1"] or 0.0 for r in rows]),
        "cohen_kappa": (right.mean() - by_chance) / (1 - by_chance),
        "confusion": confusion.tolist(),
        "per_class": rows,
        **extremes,
        **believed(y, model),
        "error_places": None,
    }
    if superclass_of is not None and not right.all():
        found["error_places"] = places(y[~right], p[~right], superclass_of)
    return found


def of_class(y, p, c):
    support, predicted = int((y == c).sum()), int((p == c).sum())
    correct = int(((y == c) & (p == c)).sum())
    low, high = wilson(correct, support) if support else (None, None)
    return {
        "class_id": c,
        "support": support,
        "correct": correct,
        "recall": correct / support if support else None,
        "recall_low": low,
        "recall_high": high,
        "precision": correct / predicted if predicted else None,
        "f1": 2 * correct / (support + predicted) if support + predicted else None,
    }


def wilson(k, n):
    share = k / n
    middle = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    reach = Z / (1 + Z**2 / n) * math.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    return [max(0.0, middle - reach) if k else 0.0, min(1.0, middle + reach) if k < n else 1.0]


def believed(y, model):
    """Losses, calibration, top-5 accuracy and risk against coverage."""
    found = dict.fromkeys(
        ("hinge_loss", "log_loss", "temperatures", "calibration_error", "confident_accuracy",
         "top5_accuracy", "uncalibrated_log_loss", "reliability", "calibrated_reliability",
         "risk_coverage")
    )  # fmt: skip
    if model.scores is None:
        return found
    n, right, rows = len(y), model.ids == y, np.arange(len(y))
    if model.score_kind == "decisions":
        margins = [s[c] - max(np.delete(s, c)) for s, c in zip(model.scores, y, strict=True)]
        found["hinge_loss"] = np.mean([max(0.0, 1.0 - m) for m in margins])
    if model.scores.shape[1] >= 25:
        ranks = [np.argsort(-s, kind="stable")[:5] for s in model.logits]
        found["top5_accuracy"] = np.mean([c in top for c, top in zip(y, ranks, strict=True)])
    if model.has_probabilities:
        confidence = model.scores[rows, model.ids]
        found["uncalibrated_log_loss"] = -model.logits[rows, y].mean()
        found["reliability"] = diagram(right, confidence)
        found["calibration_error"] = found["reliability"]["error"]
        half = sorted(range(n), key=lambda i: -confidence[i])[: math.ceil(n / 2)]
        found["confident_accuracy"] = right[half].mean()
    else:
        pairs = zip(model.scores, model.ids, strict=True)
        confidence = np.array([s[c] - max(np.delete(s, c)) for s, c in pairs])
    found["risk_coverage"] = coverage(right, confidence)
    if n >= N_FOLDS:
        p, temperatures = calibrated(y, model.logits)
        found["log_loss"] = -np.log(p[rows, y]).mean()
        found["temperatures"] = temperatures
        found["calibrated_reliability"] = diagram(right, p[rows, model.ids])
    return found


def calibrated(y, logits):
    """Probabilities, each fold by the temperature that is best for the others."""
    fold = np.empty(len(y), int)
    for position, i in enumerate(sorted(range(len(y)), key=lambda i: y[i])):
        fold[i] = position % N_FOLDS
    p, temperatures = np.empty(logits.shape), []
    for k in range(N_FOLDS):
        temperatures.append(temperature(y[fold != k], logits[fold != k]))
        p[fold == k] = softmax(logits[fold == k] / temperatures[-1])
    return p, temperatures


def softmax(logits):
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def temperature(y, logits):
    """Where the smoothed log loss is least: its slope is found by halving intervals of 1 / T."""
    gaps = logits - logits.max(axis=1, keepdims=True)
    scale = -gaps.mean()
    if scale == 0:
        return math.inf
    gaps = gaps / scale
    spread = 1 / (len(y) + 1)
    wanted = (1 - spread) * gaps[np.arange(len(y)), y].mean() + spread * gaps.mean()

    def slope(inverse):
        return (softmax(inverse * gaps) * gaps).sum(axis=1).mean() - wanted

    if slope(0.0) >= 0:
        return math.inf
    low, high = 0.0, 1.0
    while slope(high) < 0:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return scale / low


def diagram(right, confidence):
    bins, error = [], 0.0
    number = [min(int(c * N_BINS), N_BINS - 1) for c in confidence]
    for k in range(N_BINS):
        inside = np.array(number) == k
        if inside.any():
            accuracy, mean = right[inside].mean(), confidence[inside].mean()
            error += inside.mean() * abs(accuracy - mean)
            bins.append(
                {"low": k / N_BINS, "high": (k + 1) / N_BINS, "n_samples": int(inside.sum()),
                 "confidence": mean, "accuracy": accuracy}
            )  # fmt: skip
    return {"error": error, "bins": bins}


def coverage(right, confidence):
    """Risks of the most confident; samples that tie count as their mean."""
    n, wrong = len(right), []
    for value in sorted(set(confidence.tolist()), reverse=True):
        tied = confidence == value
        wrong += [(~right[tied]).mean()] * int(tied.sum())
    risks = [total / k for k, total in enumerate(np.cumsum(wrong), start=1)]
    n_right = int(right.sum())
    least = [max(0, k - n_right) / k for k in range(1, n + 1)]
    counts = [math.ceil(step * n / N_COVERAGES) for step in range(1, N_COVERAGES + 1)]
    return {
        "area": np.mean(risks),
        "least_area": np.mean(least),
        "coverages": [k / n for k in counts],
        "risks": [risks[k - 1] for k in counts],
    }


def places(y, p, superclass_of):
    """Where errors fall; both arrays are of the wrong predictions alone."""
    inside = int((superclass_of[y] == superclass_of[p]).sum())
    siblings = [(superclass_of == superclass_of[c]).sum() - 1 for c in y]
    return {
        "n_wrong": len(y),
        "n_inside": inside,
        "share": inside / len(y),
        "interval": wilson(inside, len(y)),
        "chance": np.mean(siblings) / (len(superclass_of) - 1),
    }


def counted(y, a, b):
    right_a, right_b = a == y, b == y
    return {
        "both_right": int((right_a & right_b).sum()),
        "only_a": int((right_a & ~right_b).sum()),
        "only_b": int((right_b & ~right_a).sum()),
        "both_wrong": int((~right_a & ~right_b).sum()),
        "same_answer": int((a == b).sum()),
    }


def mcnemar(counts):
    n = counts["only_a"] + counts["only_b"]
    fewer = min(counts["only_a"], counts["only_b"])
    term, total = 1, 0
    for k in range(fewer + 1):
        total += term
        term = term * (n - k) // (k + 1)
    return max(float(min(Fraction(1), Fraction(2 * total, 2**n))), LEAST_P)


def bootstrap(counts, n):
    only_a, only_b = counts["only_a"], counts["only_b"]
    shares = [only_a / n, only_b / n, (n - only_a - only_b) / n]
    drawn = np.random.default_rng(0).multinomial(n, shares, size=N_RESAMPLES)
    return np.quantile((drawn[:, 0] - drawn[:, 1]) / n, [0.025, 0.975]).tolist()


def paired(y, a, b):
    counts, n = counted(y, a, b), len(y)
    low, high = bootstrap(counts, n)
    value = (counts["only_a"] - counts["only_b"]) / n
    difference = {"value": value, "low": low, "high": high, "confidence": 0.95}
    of_all = {"n": n, **counts, "mcnemar_p": mcnemar(counts), "difference": difference}
    return of_all | {"by_class": by_class(y, a, b)}


def by_class(y, a, b):
    """The test of each class, with Holm's correction for their number."""
    found = []
    for c in sorted(set(y.tolist())):
        counts, n = counted(y[y == c], a[y == c], b[y == c]), int((y == c).sum())
        part = {"class_id": c, "n": n, "only_a": counts["only_a"], "only_b": counts["only_b"]}
        part["difference"] = (counts["only_a"] - counts["only_b"]) / n
        found.append(part | {"mcnemar_p": mcnemar(counts)})
    corrected = 0.0
    for rank, part in enumerate(sorted(found, key=lambda part: part["mcnemar_p"])):
        corrected = max(corrected, part["mcnemar_p"] * (len(found) - rank))
        part["holm_p"] = min(1.0, corrected)
    return found


def superclasses(report, truth, models, superclass_of):
    """All models' superclasses by either rule."""
    y, found = truth["coarse"], {}
    for rule, content in report["superclasses"].items():
        ids = {}
        for model_id, coarse in models["coarse"].items():
            fine = models["fine"].get(model_id)
            if fine is None:
                ids[model_id] = coarse.ids
            elif rule == "mapped":
                ids[model_id] = superclass_of[fine.ids]
            else:
                p = fine.scores
                if fine.score_kind == "decisions":
                    p = calibrated(truth["fine"], fine.logits)[0]
                ids[model_id] = summed(p, superclass_of).argmax(axis=1)
        found[rule] = {
            "scores": {
                m: {
                    "n_correct": int((p == y).sum()),
                    "accuracy": (p == y).mean(),
                    "accuracy_interval": wilson((p == y).sum(), len(y)),
                    "macro_f1": np.mean([of_class(y, p, c)["f1"] or 0.0
                                         for c in range(superclass_of.max() + 1)]),
                }
                for m, p in ids.items()
            },
            "paired": [paired(y, ids[p["a"]], ids[p["b"]]) for p in content["paired"]],
        }  # fmt: skip
    return found


def summed(scores, superclass_of):
    classes = range(superclass_of.max() + 1)
    return np.stack([scores[:, superclass_of == c].sum(axis=1) for c in classes], axis=1)


def reached(report, scores, kind, entry):
    """When a learning curve reached an SVM's accuracy."""
    target = scores[kind][entry.get("svm", "svm")]["accuracy"]
    (model,) = [m for m in report["models"] if m["id"] == entry["model"]]
    seconds = [point["seconds"] for point in model["curve"] if point[kind] >= target]
    return {"target": target, "seconds": min(seconds, default=None)}


def mixture(truth, models, kind, entry, superclass_of):
    """A network and an SVM together, at equal weights of calibrated probabilities."""
    pair = (entry["network"], entry["svm"])
    shared = [k for k in truth if all(getattr(models[k].get(m), "scores", None) is not None
                                      for m in pair)]  # fmt: skip
    base = "fine" if "fine" in shared else shared[0]
    p = sum(0.5 * calibrated(truth[base], models[base][m].logits)[0] for m in pair)
    if kind != base:
        p = summed(p, superclass_of)
    y, ids = truth[kind], p.argmax(axis=1)
    n_right = [(models[kind][m].ids == y).sum() for m in pair]
    better = pair[int(n_right[1] > n_right[0])]
    assert entry["better"] == better
    counts = counted(y, ids, models[kind][better].ids)
    low, high = bootstrap(counts, len(y))
    value = (counts["only_a"] - counts["only_b"]) / len(y)
    return {
        "weight": 0.5,
        "n_correct": int((ids == y).sum()),
        "accuracy": (ids == y).mean(),
        "accuracy_interval": wilson((ids == y).sum(), len(y)),
        "mcnemar_p": mcnemar(counts),
        "gain": {"value": value, "low": low, "high": high, **counts},
    }


def seeds(group, report, scores):
    """Mean and spread of models that differ in their seed alone; seeds are as the models' terms."""
    of = {m["id"]: m["terms"]["seed"] for m in report["models"]}
    spreads = {}
    for kind in group["accuracy"]:
        rates = np.array([scores[kind][m]["accuracy"] for m in group["models"]])
        spreads[kind] = {
            "mean": rates.mean(), "std": rates.std(ddof=1), "low": rates.min(),
            "high": rates.max(),
        }  # fmt: skip
    return {"seeds": [of[m] for m in group["models"]], "accuracy": spreads}


def disagreements(shown, truth, models):
    kind = next(iter(truth))
    a, b = (models[kind][shown[key]].ids == truth[kind] for key in ("a", "b"))
    groups = {"only_a": a & ~b, "only_b": b & ~a, "both_wrong": ~a & ~b}
    first = {key: np.flatnonzero(hit)[:N_SHOWN].tolist() for key, hit in groups.items()}
    indices = sorted(i for of_group in first.values() for i in of_group)
    assert [image["index"] for image in shown["images"]] == indices
    return {kind: first}


def pictured(index, truth, models):
    answers = {}
    for kind, of_kind in models.items():
        for model_id, model in of_kind.items():
            right = bool(model.ids[index] == truth[kind][index])
            answers.setdefault(model_id, {})[f"{kind}_right"] = right
    return {"index": index, "answers": answers}


def robustness(arrays, truth, models):
    """Accuracy on images made worse, from the models' predictions of them."""
    rows = arrays["robustness/rows"]
    return {
        "n_images": len(rows),
        "strengths": STRENGTHS,
        "accuracy": {
            kind: {m: (x.ids[rows] == truth[kind][rows]).mean() for m, x in of_kind.items()}
            for kind, of_kind in models.items()
        },
        "worse": {
            kind: {
                m: {
                    name: [
                        (ids == truth[kind][rows]).mean()
                        for ids in arrays[f"{kind}/{m}/ids/{name}"]
                    ]
                    for name in STRENGTHS
                }
                for m in of_kind
            }
            for kind, of_kind in models.items()
        },
    }


def read(folder):
    """The report and its arrays."""
    with np.load(Path(folder) / "scores.npz", allow_pickle=False) as file:
        return json.loads((Path(folder) / "report.json").read_text()), dict(file)


if __name__ == "__main__":
    report, arrays = read(sys.argv[1])
    n_recomputed, faults = check(report, arrays, open_dataset(*sys.argv[2:]))
    print("\n".join(faults))
    print(f"{n_recomputed:,} numbers recomputed, {len(faults):,} at fault")
    sys.exit(bool(faults))
