"""Fabricated comparisons of CNNs with an SVM: random predictions, scored by the project's code."""

from dataclasses import fields, replace

import numpy as np
from scipy.special import softmax

from svmcifar.compare.comparison import (
    ClassTest,
    Comparison,
    Cost,
    DataDescription,
    Disagreements,
    ImagePredictions,
    LearningCurve,
    ModelEntry,
    PairedTest,
    PredictedClass,
    SuperclassAnswers,
)
from svmcifar.compare.machines import Machine
from svmcifar.compare.mixtures import Mixture
from svmcifar.compare.robustness import Robustness
from svmcifar.compare.scores import ModelScores
from svmcifar.compare.training_terms import TrainingTerms
from svmcifar.data.corruptions import STRENGTHS
from svmcifar.data.synthetic import COARSE_NAMES, FINE_CLASSES
from svmcifar.metrics.calibration import reliability
from svmcifar.metrics.error_places import error_places
from svmcifar.metrics.evaluation import evaluate_predictions
from svmcifar.metrics.paired_tests import (
    bootstrap_difference,
    count_pairs,
    holm_correction,
    mcnemar_p,
)
from svmcifar.metrics.per_class import accuracy_interval
from svmcifar.metrics.risk_coverage import risk_coverage

SYNTHETIC_NAMES = {
    "coarse": list(COARSE_NAMES),
    "fine": [name for name, _, _ in FINE_CLASSES],
    "coarse_of_fine": [COARSE_NAMES.index(f"{family}s") for _, _, family in FINE_CLASSES],
}
# As long and as odd as names get; five fine classes in each superclass.
LONG_NAMES = {
    "coarse": [
        "aquatic_mammals", "fish", "flowers", "food_containers", "fruit_and_vegetables",
        "household_electrical_devices", "household_furniture", "insects", "large_carnivores",
        "large_man-made_outdoor_things", "large_natural_outdoor_scenes",
        "large_omnivores_and_herbivores", "medium_mammals", "non-insect_invertebrates", "people",
        "reptiles", "small_mammals", "trees", "vehicles_1", "vehicles_2",
    ],
    "fine": [f"fine_class_{i}" for i in range(100)],
    "coarse_of_fine": [(7 * i + 3) % 20 for i in range(100)],
}  # fmt: skip
HOSTS = ("AMD EPYC 7763 64-Core Processor, 16 threads (Linux)", "NVIDIA H200")
MACHINE = Machine("AMD EPYC 7763 64-Core Processor", 16, 16)
PARAMETERS = {"C": 5.0, "gamma": "scale", "tol": 0.001, "class_weight": None, "backend": "auto"}
JUDGED = ("reliability", "calibrated_reliability", "risk_coverage", "error_places")
HASH = "5f7a0c1e" * 8


def random_scores(rng, truth, coarse_of_fine, accuracy):
    """Fine scores of images: right in about `accuracy` of them, wrong ones near by."""
    n_fine = len(coarse_of_fine)
    ease = rng.normal(0, 0.9, n_fine)[truth] + rng.normal(0, 0.6, len(truth))
    scores = rng.gumbel(size=(len(truth), n_fine))
    scores += 1.6 * (coarse_of_fine[None, :] == coarse_of_fine[truth][:, None])
    scores += 1.2 * np.random.default_rng(0).normal(size=(n_fine, n_fine))[truth]
    own = scores[np.arange(len(truth)), truth] + ease
    others = scores.copy()
    others[np.arange(len(truth)), truth] = -np.inf
    bonus = np.quantile(others.max(axis=1) - own, accuracy)
    scores[np.arange(len(truth)), truth] = own + bonus
    return scores


def make_comparison(
    names=LONG_NAMES,
    truth=None,
    synthetic=False,
    n_cnns=1,
    ensemble=False,
    n_svms=1,
    svm_labels="coarse",
    accuracies=(0.66, 0.63, 0.6, 0.58, 0.55),
    seed=0,
    kinds=("coarse", "fine"),
    robust=True,
    seeds=(),
):
    """A comparison of all that the report knows; `truth` holds fine ids."""
    rng = np.random.default_rng(seed)
    of_fine = np.array(names["coarse_of_fine"])
    fine = rng.permutation(np.repeat(np.arange(100), 5)) if truth is None else np.asarray(truth)
    truths = {"coarse": of_fine[fine], "fine": fine}
    predicted, entries = {}, []
    members = []
    for i in range(n_cnns):
        members.append(random_scores(rng, fine, of_fine, accuracies[i]))
        model_id = f"cnn{i + 1}" if i else "cnn"
        predicted[model_id] = network_predictions(members[-1], of_fine)
        entries.append(network_entry(model_id, i, len(fine), accuracies[i]))
    if ensemble:
        mixed = np.mean([*members, members[0], members[0]], axis=0)
        predicted["ensemble"] = network_predictions(mixed, of_fine)
        entries.append(ensemble_entry(entries, len(fine)))
    for i in range(n_svms):
        svm_scores = random_scores(rng, fine, of_fine, 0.5 - 0.02 * i)
        model_id = f"svm{i + 1}" if i else "svm"
        predicted[model_id] = {"coarse": (of_fine[svm_scores.argmax(axis=1)], None)}
        if svm_labels == "fine":
            predicted[model_id]["fine"] = (svm_scores.argmax(axis=1), svm_scores)
        entries.append(svm_entry(model_id, svm_labels, len(fine)))
    truths = {kind: truths[kind] for kind in kinds}
    predicted = {m: {k: of[k] for k in kinds if k in of} for m, of in predicted.items()}
    scores = {
        kind: {
            model_id: score(
                truths[kind],
                *of[kind],
                names[kind],
                1.234 if "cnn" in model_id else None,
                of_fine if kind == "fine" and "coarse" in kinds else None,
            )
            for model_id, of in predicted.items()
            if kind in of
        }
        for kind in kinds
    }
    rivals = ("ensemble" if ensemble else "cnn", "svm") if n_cnns else ("svm", "svm2")
    main = kinds[0]
    found = find_disagreements(truths[main], predicted, rivals, main)
    pictured = sorted({index for some in found for index in some})
    label = "SYNTHETIC stand-in" if synthetic else "CIFAR-100"
    return Comparison(
        title=f"{'CNN versus SVM' if n_cnns else 'SVMs compared'} on {label}",
        created="2026-11-20T09:30:00+00:00",
        command="svmcifar compare --cnn runs/reference-w16.onnx --svm runs/patches.skops",
        versions={"python": "3.12.8", "svmcifar": "0.3.0", "numpy": "2.4.6"},
        git_commit="0123456789abcdef0123456789abcdef01234567",
        host={"system": "Linux-6.1", "processor": HOSTS[0], "blas": [{"kernel": "SkylakeX"}]},
        data=DataDescription(
            label=label,
            synthetic=synthetic,
            original="CIFAR-100" if synthetic else None,
            md5s={"train": "1601" * 8, "test": "f0ef" * 8, "meta": "7973" * 8},
            split="test",
            n_images=len(fine),
        ),
        class_names={kind: names[kind] for kind in kinds},
        superclass_of=names["coarse_of_fine"] if "coarse" in kinds else None,
        models=entries,
        scores=scores,
        paired={
            kind: compare_all(
                truths[kind], {m: of[kind][0] for m, of in predicted.items() if kind in of}
            )
            for kind in kinds
        },
        superclasses=[
            by_rule(rule, truths["coarse"], predicted, of_fine, names["coarse"])
            for rule in ("mapped", "summed")
            if "coarse" in kinds
        ],
        seeds=list(seeds),
        time_to_accuracy={kind: [] for kind in kinds},
        mixtures={kind: mix(truths[kind], predicted, kind, members and "cnn") for kind in kinds},
        robustness=make_worse(truths, predicted) if robust else None,
        disagreements=Disagreements(
            *rivals, main, *found, [describe(i, truths, names, predicted) for i in pictured]
        ),
        grid=[describe(i, truths, names, predicted) for i in range(min(9, len(fine)))],
        conclusion=[
            "On the 20 superclasses the CNN is right for 73.1 % of the test images and the SVM for "
            "64.6 %: the CNN is better by 8.5 percentage points.",
            "Both are right for 55.2 % of the images, the CNN alone for 17.9 %, the SVM alone for "
            "9.4 %, and neither for 17.5 %.",
            "Training took the CNN 56 min and the SVM 109 s: 31 times as long for the CNN.",
        ],
        limitations=[
            "Intervals and tests say how much the choice of test images matters, not how much "
            "training matters: each model was trained once.",
            "Inference was timed once, on this machine.",
        ],
        files={
            "predictions": "predictions.csv",
            "scores": "scores.csv",
            "costs": "costs.csv",
            **{f"classes_{kind}": f"classes-{kind}.csv" for kind in kinds},
            "paired": "paired.csv",
            "paired_classes": "paired-classes.csv",
            "figures": ["figures/accuracy.png", "figures/recall.png"],
        },
    )


def changed(comparison, *model_changes):
    """A comparison with other attributes of its models, those of their costs and curves too."""
    models = list(comparison.models)
    for i, changes in enumerate(model_changes):
        of = {
            key: {k: changes[k] for k in changes if k in {f.name for f in fields(kind)}}
            for key, kind in (("model", ModelEntry), ("cost", Cost), ("curve", LearningCurve))
        }
        model = replace(models[i], **of["model"])
        if model.curve is not None:
            model = replace(model, curve=replace(model.curve, **of["curve"]))
        models[i] = replace(model, cost=replace(model.cost, **of["cost"]))
    return replace(comparison, models=models)


def score(truth, ids, scores, names, uncalibrated, superclass_of):
    evaluation = evaluate_predictions(truth, ids, scores, names)
    values = {f.name: getattr(evaluation, f.name) for f in fields(evaluation)}
    if uncalibrated is not None:
        values |= {"calibration_error": 0.0321, "confident_accuracy": 0.777}
    return ModelScores(
        **values,
        uncalibrated_log_loss=uncalibrated,
        **judged(truth, ids, scores, uncalibrated is not None, superclass_of),
    )


def mix(truth, predicted, kind, network):
    """The network as it is, for a mixture that gains nothing."""
    if not network or any(kind not in predicted[m] for m in (network, "svm")):
        return []
    ids = predicted[network][kind][0]
    counts = count_pairs(truth, ids, ids)
    interval = accuracy_interval(int((ids == truth).sum()), len(truth))
    return [
        Mixture(
            network=network,
            svm="svm",
            weight=0.5,
            n_correct=counts.both_right,
            accuracy=counts.both_right / counts.n,
            accuracy_interval=interval,
            better=network,
            counts=counts,
            mcnemar_p=1.0,
            low=-0.01,
            high=0.02,
        )
    ]


def make_worse(truths, predicted):
    """Accuracy that falls evenly with the strength."""
    accuracy = {
        kind: {m: float((of[kind][0] == y).mean()) for m, of in predicted.items() if kind in of}
        for kind, y in truths.items()
    }
    worse = {
        kind: {
            m: {name: [rate * (1 - 0.1 * s) for s in range(1, 6)] for name in STRENGTHS}
            for m, rate in of.items()
        }
        for kind, of in accuracy.items()
    }
    return Robustness(np.arange(100), accuracy, worse, {})


def judged(truth, ids, scores, is_probability, superclass_of):
    """How far scores can be believed; superclasses of classes say where errors fall."""
    right, found = ids == truth, dict.fromkeys(JUDGED)
    if scores is not None:
        confidence = softmax(scores, axis=1)[np.arange(len(ids)), ids]
        if is_probability:
            found["reliability"] = reliability(right, confidence)
        found["calibrated_reliability"] = reliability(right, np.sqrt(confidence))
        name = "probability" if is_probability else "margin"
        found["risk_coverage"] = risk_coverage(right, confidence, name)
    if superclass_of is not None:
        found["error_places"] = error_places(truth, ids, superclass_of)
    return found


def network_predictions(fine_scores, of_fine):
    shares = np.exp(fine_scores - fine_scores.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    coarse = shares @ np.eye(of_fine.max() + 1)[of_fine]
    return {
        "coarse": (coarse.argmax(axis=1), np.log(coarse)),
        "fine": (fine_scores.argmax(axis=1), np.log(shares)),
    }


def by_rule(rule, truth, predicted, of_fine, names):
    ids = {
        m: of_fine[of["fine"][0]] if rule == "mapped" and "fine" in of else of["coarse"][0]
        for m, of in predicted.items()
    }
    scores = {m: evaluate_predictions(truth, of, None, names) for m, of in ids.items()}
    return SuperclassAnswers(rule, scores, compare_all(truth, ids))


def compare_all(truth, ids):
    svms = [a for a in ids if a.startswith("svm")]
    pairs = [(a, b) for b in svms for a in ids if a not in svms]
    for alike in (svms, [a for a in ids if a.startswith("cnn")]):
        pairs += [(a, b) for i, a in enumerate(alike) for b in alike[i + 1 :]]
    tests = []
    for a, b in pairs:
        counts = count_pairs(truth, ids[a], ids[b])
        by_class = [count_pairs(*(of[truth == c] for of in (truth, ids[a], ids[b])))
                    for c in range(truth.max() + 1)]  # fmt: skip
        p = [mcnemar_p(of_class) for of_class in by_class]
        classes = map(ClassTest, range(len(p)), by_class, p, holm_correction(p).tolist())
        interval = bootstrap_difference(counts)
        tests.append(PairedTest(a, b, counts, mcnemar_p(counts), *interval, tuple(classes)))
    return tests


def find_disagreements(truth, predicted, rivals, kind):
    a, b = (predicted[m][kind][0] == truth for m in rivals)
    groups = (a & ~b, b & ~a, ~a & ~b)
    return [np.flatnonzero(hit)[:27].tolist() for hit in groups]


def describe(index, truths, names, predicted):
    """One image with every model's predictions."""
    return ImagePredictions(
        index=int(index),
        filename=f"picture_s_{index:06}.png",
        true={kind: names[kind][ids[index]] for kind, ids in truths.items()},
        predicted={
            model_id: {
                kind: PredictedClass(
                    names[kind][ids[index]], bool(ids[index] == truths[kind][index])
                )
                for kind, (ids, _) in of.items()
            }
            for model_id, of in predicted.items()
        },
    )


def network_entry(model_id, number, n_images, accuracy):
    epochs = np.arange(1, 51)
    rates = accuracy * (1 - np.exp(-epochs / 9)) + 0.01 * np.sin(7.0 * epochs)
    seconds = 68.0 * epochs / (1 + number)
    return ModelEntry(
        id=model_id,
        kind="cnn",
        name=f"CNN reference-w{16 * (number + 1)}",
        description="CNN: reference, width 16, 100 classes; probabilities summed per superclass",
        labels="fine",
        features=None,
        file=f"reference-w{16 * (number + 1)}.onnx",
        sha256=HASH,
        content_hash=None,
        runtime="ONNX Runtime 1.31.1",
        terms=TrainingTerms(
            n_images=45_000,
            n_held_out=5_000,
            augmentation="shifts and mirror images",
            seed=number,
            stored_weights="16 bits a weight",
        ),
        cost=Cost(
            training_s=float(seconds[-1]),
            training_cpu_s=5123.4,
            training_hardware=HOSTS[0],
            training_machine=MACHINE,
            features_s=None,
            inference_s=n_images / 2345.6,
            inference_cpu_s=0.4,
            inference_load=1.25,
            images_per_s=2345.6,
            inference_hardware=f"{HOSTS[0]}, ONNX Runtime 1.31.1",
            n_bytes=1_234_567,
            n_parameters=305_124,
            n_support_vectors=None,
        ),
        curve=LearningCurve(
            images="validation images",
            held_out=True,
            seconds=tuple(seconds.tolist()),
            accuracy={"coarse": tuple((rates**0.7).tolist()), "fine": tuple(rates.tolist())},
        ),
        made={"recipe": {"epochs": 50, "width": 16, "seed": 0}, "device": HOSTS[0]},
        note=None,
    )


def ensemble_entry(members, n_images):
    costs = [member.cost for member in members]
    totals = (
        "training_s",
        "training_cpu_s",
        "inference_s",
        "inference_cpu_s",
        "n_bytes",
        "n_parameters",
    )
    cost = replace(costs[0], **{key: sum(getattr(c, key) for c in costs) for key in totals})
    return replace(
        members[0],
        id="ensemble",
        kind="ensemble",
        name=f"{len(members)} CNNs (sum)",
        description="Ensemble: the largest sum of probabilities",
        file=None,
        sha256=None,
        cost=replace(cost, images_per_s=n_images / cost.inference_s),
        curve=None,
        made={"members": [m.id for m in members]},
    )


def svm_entry(model_id, labels, n_images):
    return ModelEntry(
        id=model_id,
        kind="svm",
        name=f"SVM ({labels})" if model_id == "svm" else f"SVM {model_id}",
        description="Exact one-vs-one RBF-kernel SVM: C = 5, gamma = 0.000651; patches > pca",
        labels=labels,
        features=["patches", "pca"],
        file="patches.skops",
        sha256=HASH,
        content_hash=HASH,
        runtime="svmcifar, 2 threads",
        terms=TrainingTerms(
            n_images=50_000,
            n_held_out=0,
            augmentation="none",
            seed=0,
            stored_weights="float32 support vectors, float64 coefficients",
            n_settings=48,
        ),
        cost=Cost(
            training_s=109.4,
            training_cpu_s=190.0,
            training_hardware=f"{HOSTS[0]}, backend numba",
            training_machine=MACHINE,
            features_s=n_images / 900.0,
            inference_s=n_images / 512.3,
            inference_cpu_s=1.7,
            inference_load=1.25,
            images_per_s=512.3,
            inference_hardware=f"{HOSTS[0]}, 2 threads",
            n_bytes=287_654_321,
            n_parameters=None,
            n_support_vectors=46_123,
        ),
        curve=None,
        made={"training": {"label_kind": labels, "parameters": PARAMETERS, "seed": 0}},
        note="Trained by this command, since no SVM was given.",
    )
