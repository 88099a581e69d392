"""Fabricated comparisons of CNNs with an SVM: random answers, scored by the project's own code."""

from dataclasses import asdict

import numpy as np

from svmcifar.data.synthetic import COARSE_NAMES, FINE_CLASSES
from svmcifar.metrics.evaluation import evaluate_predictions
from svmcifar.metrics.paired_tests import bootstrap_difference, count_pairs, mcnemar_p

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
PARAMETERS = {"C": 5.0, "gamma": "scale", "tol": 0.001, "class_weight": None, "backend": "auto"}
HASH = "5f7a0c1e" * 8


def random_answers(rng, truth, coarse_of_fine, accuracy):
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
    svm_labels="coarse",
    accuracies=(0.66, 0.63, 0.6, 0.58, 0.55),
    seed=0,
):
    """A comparison of all that the report knows; `truth` holds fine ids."""
    rng = np.random.default_rng(seed)
    of_fine = np.array(names["coarse_of_fine"])
    fine = rng.permutation(np.repeat(np.arange(100), 5)) if truth is None else np.asarray(truth)
    truths = {"fine": fine, "coarse": of_fine[fine]}
    answers, entries = {}, []
    members = []
    for i in range(n_cnns):
        members.append(random_answers(rng, fine, of_fine, accuracies[i]))
        model_id = f"cnn{i + 1}" if i else "cnn"
        answers[model_id] = network_answers(members[-1], of_fine)
        entries.append(network_entry(model_id, i, len(fine), accuracies[i]))
    if ensemble:
        mixed = np.mean([*members, members[0], members[0]], axis=0)
        answers["ensemble"] = network_answers(mixed, of_fine)
        entries.append(ensemble_entry(entries, len(fine)))
    svm_scores = random_answers(rng, fine, of_fine, 0.5)
    answers["svm"] = {"coarse": (of_fine[svm_scores.argmax(axis=1)], None)}
    if svm_labels == "fine":
        answers["svm"]["fine"] = (svm_scores.argmax(axis=1), svm_scores)
    entries.append(svm_entry(svm_labels, len(fine)))
    scores = {
        kind: {
            model_id: evaluate_predictions(truths[kind], *said[kind], names[kind]).to_dict()
            | {"uncalibrated_log_loss": 1.234 if "cnn" in model_id else None}
            for model_id, said in answers.items()
            if kind in said
        }
        for kind in ("coarse", "fine")
    }
    for entry in entries:
        entry["cost"]["accuracy_per_mb"] = {
            kind: 100 * scores[kind][entry["id"]]["accuracy"] / (entry["cost"]["n_bytes"] / 1e6)
            if entry["id"] in scores[kind]
            else None
            for kind in scores
        }
    lead = "ensemble" if ensemble else "cnn"
    found = find_disagreements(truths["coarse"], answers, lead)
    pictured = sorted({index for some in found.values() for index in some})
    label = "SYNTHETIC stand-in" if synthetic else "CIFAR-100"
    return {
        "format": 1,
        "title": f"CNN versus SVM on {label}",
        "created": "2026-11-20T09:30:00+00:00",
        "versions": {"python": "3.12.8", "svmcifar": "0.3.0", "numpy": "2.4.6"},
        "host": {"system": "Linux-6.1", "processor": HOSTS[0], "blas": [{"kernel": "SkylakeX"}]},
        "git_commit": "0123456789abcdef0123456789abcdef01234567",
        "command": "svmcifar compare --cnn runs/reference-w16.onnx --svm runs/patches.skops",
        "data": {
            "label": label,
            "synthetic": synthetic,
            "md5s": {"train": "1601" * 8, "test": "f0ef" * 8, "meta": "7973" * 8},
            "split": "test",
            "n_images": len(fine),
        },
        "classes": names,
        "models": entries,
        "scores": scores,
        "paired": {kind: compare_all(truths[kind], answers, kind) for kind in scores},
        "disagreements": {
            "a": lead,
            "b": "svm",
            "coarse": found,
            "images": [describe(i, fine, names, answers) for i in pictured],
        },
        "grid": [describe(i, fine, names, answers) for i in range(min(9, len(fine)))],
        "conclusion": [
            "On the 20 superclasses the CNN is right for 73.1 % of the test images and the SVM for "
            "64.6 %: the CNN is better by 8.5 percentage points.",
            "Both are right for 55.2 % of the images, the CNN alone for 17.9 %, the SVM alone for "
            "9.4 %, and neither for 17.5 %.",
            "Training took the CNN 56 min and the SVM 109 s: 31 times as long for the CNN.",
        ],
        "limits": [
            "Intervals and tests say how much the choice of test images matters, not how much "
            "training matters: each model was trained once.",
            "Inference was timed once, on this machine.",
        ],
        "files": {
            "predictions": "predictions.csv",
            "scores": "scores.csv",
            "costs": "costs.csv",
            "classes_coarse": "classes-coarse.csv",
            "classes_fine": "classes-fine.csv",
            "paired": "paired.csv",
            "figures": ["figures/accuracy.png", "figures/recall.png"],
        },
    }


def network_answers(fine_scores, of_fine):
    shares = np.exp(fine_scores - fine_scores.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    coarse = shares @ np.eye(of_fine.max() + 1)[of_fine]
    return {
        "fine": (fine_scores.argmax(axis=1), np.log(shares)),
        "coarse": (coarse.argmax(axis=1), np.log(coarse)),
    }


def compare_all(truth, answers, kind):
    able = [model_id for model_id in answers if kind in answers[model_id]]
    pairs = [(a, "svm") for a in able if a != "svm"] if "svm" in able else []
    networks = [a for a in able if a.startswith("cnn")]
    pairs += [(a, b) for i, a in enumerate(networks) for b in networks[i + 1 :]]
    return [compare(truth, a, b, *(answers[m][kind][0] for m in (a, b))) for a, b in pairs]


def compare(truth, a, b, y_a, y_b):
    counts = count_pairs(truth, y_a, y_b)
    low, high = bootstrap_difference(counts)
    difference = {
        "value": counts.difference,
        "low": low,
        "high": high,
        "confidence": 0.95,
        "method": "paired bootstrap, 10000 resamples, seed 0",
    }
    return {
        "a": a, "b": b, "n": counts.n, **asdict(counts), "mcnemar_p": mcnemar_p(counts),
        "difference": difference,
    }  # fmt: skip


def find_disagreements(truth, answers, lead):
    cnn, svm = (answers[m]["coarse"][0] == truth for m in (lead, "svm"))
    groups = {"only_cnn": cnn & ~svm, "only_svm": svm & ~cnn, "both_wrong": ~cnn & ~svm}
    return {key: np.flatnonzero(hit)[:27].tolist() for key, hit in groups.items()}


def describe(index, fine, names, answers):
    """One image with every model's answer."""
    true_fine, true_coarse = fine[index], names["coarse_of_fine"][fine[index]]
    return {
        "index": int(index),
        "filename": f"picture_s_{index:06}.png",
        "true_fine": names["fine"][true_fine],
        "true_coarse": names["coarse"][true_coarse],
        "answers": {
            model_id: {
                "coarse": names["coarse"][said["coarse"][0][index]],
                "coarse_right": bool(said["coarse"][0][index] == true_coarse),
                "fine": names["fine"][said["fine"][0][index]] if "fine" in said else None,
                "fine_right": bool(said["fine"][0][index] == true_fine) if "fine" in said else None,
            }
            for model_id, said in answers.items()
        },
    }


def network_entry(model_id, number, n_images, accuracy):
    epochs = np.arange(1, 51)
    rates = accuracy * (1 - np.exp(-epochs / 9)) + 0.01 * np.sin(7.0 * epochs)
    seconds = 68.0 * epochs / (1 + number)
    curve = [
        {"seconds": float(s), "fine": float(r), "coarse": float(r**0.7)}
        for s, r in zip(seconds, rates, strict=True)
    ]
    return {
        "id": model_id, "kind": "cnn", "name": f"CNN reference-w{16 * (number + 1)}",
        "description": "CNN: reference, width 16, 100 classes; probabilities summed per superclass",
        "labels": "fine", "file": f"reference-w{16 * (number + 1)}.onnx", "sha256": HASH,
        "content_hash": None, "runtime": "ONNX Runtime 1.31.1",
        "cost": {
            "training_s": float(seconds[-1]), "training_hardware": HOSTS[0], "features_s": None,
            "inference_s": n_images / 2345.6, "images_per_s": 2345.6,
            "inference_hardware": f"{HOSTS[0]}, ONNX Runtime 1.31.1", "n_bytes": 1_234_567,
            "n_parameters": 305_124, "n_support_vectors": None,
        },
        "curve": curve, "curve_of": "validation images",
        "made": {"recipe": {"epochs": 50, "width": 16, "seed": 0}, "device": HOSTS[0]},
        "note": None,
    }  # fmt: skip


def ensemble_entry(members, n_images):
    costs = [member["cost"] for member in members]
    totals = ("training_s", "inference_s", "n_bytes", "n_parameters")
    cost = costs[0] | {key: sum(cost[key] for cost in costs) for key in totals}
    return members[0] | {
        "id": "ensemble", "kind": "ensemble", "name": f"{len(members)} CNNs (sum)",
        "description": "Ensemble: the largest sum of probabilities", "file": None, "sha256": None,
        "cost": cost | {"images_per_s": n_images / cost["inference_s"]},
        "curve": None, "curve_of": None, "made": {"members": [m["id"] for m in members]},
    }  # fmt: skip


def svm_entry(labels, n_images):
    return {
        "id": "svm", "kind": "svm", "name": f"SVM ({labels})",
        "description": "Exact one-vs-one RBF-kernel SVM: C = 5, gamma = 0.000651; patches > pca",
        "labels": labels, "file": "patches.skops", "sha256": HASH, "content_hash": HASH,
        "features": ["patches", "pca"], "runtime": "svmcifar, 2 threads",
        "cost": {
            "training_s": 109.4, "training_hardware": f"{HOSTS[0]}, backend numba",
            "features_s": n_images / 900.0, "inference_s": n_images / 512.3, "images_per_s": 512.3,
            "inference_hardware": f"{HOSTS[0]}, 2 threads", "n_bytes": 287_654_321,
            "n_parameters": None, "n_support_vectors": 46_123,
        },
        "curve": None, "curve_of": None,
        "made": {"training": {"label_kind": labels, "parameters": PARAMETERS, "seed": 0}},
        "note": "Trained by this command, since no SVM was given.",
    }  # fmt: skip
