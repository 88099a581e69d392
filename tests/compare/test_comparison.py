"""Numbers recomputed from the predictions, and sentences from the numbers."""

import json
from dataclasses import replace
from math import comb
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from contestants import make_card, make_network
from reportform import form_of
from scipy.special import softmax
from sklearn.metrics import (
    accuracy_score,
    cohen_kappa_score,
    confusion_matrix,
    f1_score,
    precision_score,
    recall_score,
)

from svmcifar.compare.assemble import ask_models, compare_predictions, describe_models
from svmcifar.compare.tables import write_json, write_tables
from svmcifar.compare.training_terms import svm_terms
from svmcifar.data.superclasses import sum_by_superclass
from svmcifar.metrics.calibration import calibration_scores
from svmcifar.metrics.losses import temperature_log_loss
from svmcifar.model.persistence import save_model
from svmcifar.svm.estimator import RBFSVC


@pytest.fixture(scope="module")
def split(synthetic_data):
    return synthetic_data.read_split("test")


@pytest.fixture(scope="module")
def superclass_of(synthetic_data):
    return synthetic_data.superclass_of


@pytest.fixture(scope="module")
def models(train_small, synthetic_data, tmp_path_factory):
    """Two networks and SVMs of both kinds, with their files."""
    folder = tmp_path_factory.mktemp("models")
    networks = [
        make_network(folder / "first.pth", 1, make_card(synthetic_data), strength=0.03),
        make_network(folder / "second.onnx", 2, strength=0.05),
    ]
    svms = {kind: train_small(label_kind=kind) for kind in ("fine", "coarse")}
    for kind, svm in svms.items():
        save_model(svm, folder / f"{kind}.skops")
    return networks, svms, folder


@pytest.fixture(scope="module", params=["fine", "coarse"])
def report(request, models, synthetic_data, split, tmp_path_factory):
    """The comparison as a reader of its files sees it."""
    networks, svms, folder = models
    kind, out = request.param, tmp_path_factory.mktemp("report")
    predictions = ask_models(networks, [svms[kind]], synthetic_data, split, "vote")
    entries = describe_models(
        networks, [(svms[kind], folder / f"{kind}.skops")], predictions, synthetic_data,
        ensemble="vote", notes={"cnn2": "found in the attic"},
    )  # fmt: skip
    comparison = compare_predictions(entries, predictions, synthetic_data, split, "typed")
    files = write_tables(comparison, predictions, split, out)
    write_json(replace(comparison, files=files), out)
    return out, kind


def read(report):
    folder, kind = report
    content = json.loads((folder / "report.json").read_text())
    return content, pd.read_csv(folder / "predictions.csv"), kind


def test_report_json_keeps_its_form(report):
    """Against the keys, their order and the types of format 2."""
    content, _, kind = read(report)
    expected = Path(__file__).with_name(f"report-form-{kind}.txt").read_text().splitlines()
    assert form_of(content) == expected


def ids_with(content, labels):
    return [m["id"] for m in content["models"] if m["id"] in content["scores"][labels]]


def test_predictions_are_those_of_the_models(report, models, split, superclass_of):
    content, table, kind = read(report)
    networks, svms, _ = models
    assert [m["id"] for m in content["models"]] == ["cnn", "cnn2", "ensemble", "svm"]
    assert table["index"].tolist() == list(range(200))
    assert table.filename.tolist() == split.filenames
    assert table.true_fine.tolist() == split.labels["fine"].tolist()
    assert table.true_coarse.tolist() == split.labels["coarse"].tolist()
    names = content["classes"]
    assert table.true_fine_name.tolist() == [names["fine"][c] for c in split.labels["fine"]]
    assert table.true_coarse_name.tolist() == [names["coarse"][c] for c in split.labels["coarse"]]
    for model_id, network in zip(("cnn", "cnn2"), networks, strict=True):
        p = network.predict_proba(split.images).astype(float)
        coarse = np.stack([p[:, superclass_of == c].sum(axis=1) for c in range(20)], axis=1)
        assert table[f"{model_id}_fine"].tolist() == p.argmax(axis=1).tolist()
        assert table[f"{model_id}_coarse"].tolist() == coarse.argmax(axis=1).tolist()
        np.testing.assert_allclose(
            table[f"{model_id}_coarse_probability"], coarse.max(axis=1), atol=1e-6
        )
        # A sum can put another superclass first than the one of the first fine class.
        assert (coarse.argmax(axis=1) != superclass_of[p.argmax(axis=1)]).any()
    predicted = svms[kind].predict(split.images)
    if kind == "fine":
        assert table.svm_fine.tolist() == predicted.tolist()
        assert table.svm_coarse.tolist() == superclass_of[predicted].tolist()
    else:
        assert table.svm_fine.isna().all()
        assert table.svm_coarse.tolist() == predicted.tolist()
    assert "svm_coarse_probability" not in table
    assert "ensemble_coarse_probability" not in table  # votes are none


def test_scores_recomputed_from_predictions(report):
    content, table, kind = read(report)
    assert ids_with(content, "coarse") == ["cnn", "cnn2", "ensemble", "svm"]
    assert ids_with(content, "fine") == ["cnn", "cnn2", "ensemble"] + ["svm"] * (kind == "fine")
    for labels, n_classes in (("coarse", 20), ("fine", 100)):
        y = table[f"true_{labels}"].to_numpy()
        for model_id in ids_with(content, labels):
            p = table[f"{model_id}_{labels}"].to_numpy(dtype=int)
            s = content["scores"][labels][model_id]
            macro = {"labels": range(n_classes), "average": "macro", "zero_division": 0}
            assert s["n_samples"] == 200
            assert s["n_correct"] == (p == y).sum()
            assert s["accuracy"] == accuracy_score(y, p)
            assert s["macro_precision"] == pytest.approx(precision_score(y, p, **macro))
            assert s["macro_recall"] == pytest.approx(recall_score(y, p, **macro))
            assert s["macro_f1"] == pytest.approx(f1_score(y, p, **macro))
            assert s["cohen_kappa"] == pytest.approx(cohen_kappa_score(y, p))
            assert s["confusion"] == confusion_matrix(y, p, labels=range(n_classes)).tolist()
            recalls = [(p[y == c] == c).mean() for c in range(n_classes)]
            assert s["best_class"]["recall"] == max(recalls)
            assert s["worst_class"]["recall"] == min(recalls)
            names = content["classes"][labels]
            assert s["best_class"]["name"] == names[int(np.argmax(recalls))]
            low, high = s["accuracy_interval"]
            z, share = 1.959963984540054, (p == y).mean()
            for end in (low, high):  # Wilson's ends are where the z-score is z
                assert abs(end - share) / np.sqrt(end * (1 - end) / 200) == pytest.approx(z)
            assert low < share < high


def test_scores_of_probabilities_and_decisions(report, models, split, superclass_of):
    content, _, kind = read(report)
    networks, svms, _ = models
    for model_id, network in zip(("cnn", "cnn2"), networks, strict=True):
        p = network.predict_proba(split.images).astype(float)
        for labels, y, q in (
            ("fine", split.labels["fine"], p),
            ("coarse", split.labels["coarse"], sum_by_superclass(p, superclass_of)),
        ):
            s = content["scores"][labels][model_id]
            clipped = np.maximum(q, np.finfo(np.float32).tiny)
            own = np.log(clipped)[np.arange(200), y]
            assert s["uncalibrated_log_loss"] == pytest.approx(-own.mean(), rel=1e-9)
            assert s["log_loss"] == pytest.approx(temperature_log_loss(y, np.log(clipped))[0])
            assert s["hinge_loss"] is None
        top = np.argsort(-p, axis=1)[:, :5]
        in_top = (top == split.labels["fine"][:, None]).any(axis=1).mean()
        assert content["scores"]["fine"][model_id]["top5_accuracy"] == in_top
        assert content["scores"]["coarse"][model_id]["top5_accuracy"] is None
    decisions = svms[kind].predict_with_decisions(split.images)[1]
    s = content["scores"][kind]["svm"]
    truth = split.labels["fine"] if kind == "fine" else split.labels["coarse"]
    assert s["log_loss"] == temperature_log_loss(truth, decisions)[0]
    assert s["uncalibrated_log_loss"] is None
    assert s["hinge_loss"] > 0
    if kind == "fine":
        top = np.argsort(-decisions, axis=1)[:, :5]
        assert s["top5_accuracy"] == (top == split.labels["fine"][:, None]).any(axis=1).mean()
        mapped = content["scores"]["coarse"]["svm"]
        assert mapped["log_loss"] is None
        assert mapped["hinge_loss"] is None


@pytest.mark.parametrize("kind", ["fine", "coarse"])
def test_probabilities_of_the_svm(
    kind, models, train_small, synthetic_data, split, superclass_of, tmp_path
):
    networks, _, _ = models
    svm = train_small(RBFSVC(C=10.0, probability=True), label_kind=kind, n_components=12)
    save_model(svm, tmp_path / "svm.skops")
    predictions = ask_models(networks, [svm], synthetic_data, split)
    entries = describe_models(
        networks, [(svm, tmp_path / "svm.skops")], predictions, synthetic_data
    )
    comparison = compare_predictions(entries, predictions, synthetic_data, split)
    files = write_tables(comparison, predictions, split, tmp_path)
    write_json(replace(comparison, files=files), tmp_path)
    content = json.loads((tmp_path / "report.json").read_text())
    table = pd.read_csv(tmp_path / "predictions.csv")

    X = svm.compute_features(split.images)
    p, ids = svm.svc.predict_proba(X), svm.svc.predict(X)
    by_kind = {kind: (p, ids)}
    if kind == "fine":
        by_kind["coarse"] = sum_by_superclass(p, superclass_of), superclass_of[ids]
    for labels, (q, answers) in by_kind.items():
        y, s = split.labels[labels], content["scores"][labels]["svm"]
        own = np.log(q[np.arange(200), y])
        assert s["accuracy"] == (answers == y).mean()
        assert s["uncalibrated_log_loss"] == pytest.approx(-own.mean(), rel=1e-9)
        assert s["log_loss"] == pytest.approx(temperature_log_loss(y, np.log(q))[0])
        assert s["hinge_loss"] is None
        error, confident = calibration_scores(y, answers, q)
        assert (s["calibration_error"], s["confident_accuracy"]) == (error, confident)
    q, answers = by_kind["coarse"]
    np.testing.assert_allclose(table.svm_coarse_probability, q[np.arange(200), answers], atol=1e-6)
    said = [sentence for sentence in content["limits"] if "The probabilities of SVM" in sentence]
    assert len(said) == 1
    assert "had not seen" in said[0]


def test_paired_recomputed_from_predictions(report):
    content, table, kind = read(report)
    with_svm = [("cnn", "svm"), ("cnn2", "svm"), ("ensemble", "svm")]
    expected = {"coarse": [*with_svm, ("cnn", "cnn2")], "fine": [*with_svm, ("cnn", "cnn2")]}
    if kind == "coarse":
        expected["fine"] = [("cnn", "cnn2")]
    for labels, pairs in expected.items():
        assert [(p["a"], p["b"]) for p in content["paired"][labels]] == pairs
        for pair in content["paired"][labels]:
            y = table[f"true_{labels}"]
            a, b = (table[f"{pair[key]}_{labels}"] for key in ("a", "b"))
            only_a, only_b = ((a == y) & (b != y)).sum(), ((b == y) & (a != y)).sum()
            assert (pair["only_a"], pair["only_b"], pair["n"]) == (only_a, only_b, 200)
            assert pair["both_right"] == ((a == y) & (b == y)).sum()
            assert pair["both_wrong"] == ((a != y) & (b != y)).sum()
            assert pair["same_answer"] == (a == b).sum()
            n = int(only_a + only_b)
            tail = sum(comb(n, k) for k in range(int(min(only_a, only_b)) + 1)) / 2**n
            assert pair["mcnemar_p"] == pytest.approx(min(1.0, 2 * tail), rel=1e-9)
            assert "exact" in pair["mcnemar_method"]
            d = pair["difference"]
            assert d["value"] == pytest.approx((a == y).mean() - (b == y).mean(), abs=1e-12)
            outcome = (a == y).to_numpy().astype(int) - (b == y).to_numpy()
            drawn = np.random.default_rng(3).choice(outcome, (10_000, 200)).mean(axis=1)
            ends = np.quantile(drawn, [0.025, 0.975])
            np.testing.assert_allclose((d["low"], d["high"]), ends, atol=0.00501)
            assert d["confidence"] == 0.95
            assert d["method"] == "paired bootstrap, 10,000 resamples, seed 0"


def test_classes_recomputed_from_predictions(report):
    content, table, _ = read(report)
    for labels, pairs in content["paired"].items():
        y = table[f"true_{labels}"].to_numpy()
        for pair in pairs:
            a, b = (table[f"{pair[key]}_{labels}"].to_numpy() for key in ("a", "b"))
            p = []
            assert [test["class_id"] for test in pair["by_class"]] == sorted(set(y))
            for test in pair["by_class"]:
                right_a, right_b = (of[y == test["class_id"]] == test["class_id"] for of in (a, b))
                only_a, only_b = (right_a & ~right_b).sum(), (right_b & ~right_a).sum()
                assert (test["n"], test["only_a"], test["only_b"]) == (len(right_a), only_a, only_b)
                n, least = int(only_a + only_b), int(min(only_a, only_b))
                tail = sum(comb(n, k) for k in range(least + 1)) / 2**n
                p.append(min(1.0, 2 * tail))
                assert test["mcnemar_p"] == pytest.approx(p[-1], rel=1e-9)
                assert test["difference"] == pytest.approx(right_a.mean() - right_b.mean())
            # Holm: the largest, over all tests with no larger p, of p times the tests left.
            for test, own in zip(pair["by_class"], p, strict=True):
                left = [q * sum(other >= q for other in p) for q in p if q <= own]
                assert test["holm_p"] == pytest.approx(min(1.0, max(left)), rel=1e-9)


def test_superclasses_by_one_rule_for_all(report, models, split, superclass_of):
    content, table, kind = read(report)
    networks, svms, _ = models
    y = table.true_coarse.to_numpy()
    scores = {i: networks[k].predict_proba(split.images) for k, i in enumerate(("cnn", "cnn2"))}
    if kind == "fine":
        decisions = svms[kind].predict_with_decisions(split.images)[1]
        fold = np.empty(200, dtype=int)  # each with the temperature of the other four
        fold[np.argsort(split.labels["fine"], kind="stable")] = np.arange(200) % 5
        temperatures = content["scores"]["fine"]["svm"]["temperatures"]
        scores["svm"] = softmax(decisions / np.array(temperatures)[fold][:, None], axis=1)
    for rule, by in content["superclasses"].items():
        assert list(by["scores"]) == ["cnn", "cnn2", "ensemble", "svm"]
        ids = {"svm": table.svm_coarse.to_numpy()}
        for model_id, of_model in scores.items():
            mapped = superclass_of[table[f"{model_id}_fine"].to_numpy(dtype=int)]
            sums = [of_model[:, superclass_of == c].astype(float).sum(axis=1) for c in range(20)]
            ids[model_id] = mapped if rule == "mapped" else np.argmax(sums, axis=0)
        for model_id, of_model in ids.items():
            assert by["scores"][model_id]["n_correct"] == (of_model == y).sum()
            assert by["scores"][model_id]["accuracy"] == (of_model == y).mean()
        pairs = {(pair["a"], pair["b"]): pair for pair in by["paired"]}
        right_a, right_b = ids["cnn"] == y, ids["svm"] == y
        pair = pairs["cnn", "svm"]
        assert (pair["only_a"], pair["only_b"]) == (
            (right_a & ~right_b).sum(), (right_b & ~right_a).sum(),
        )  # fmt: skip
    mapped, summed = content["superclasses"]["mapped"], content["superclasses"]["summed"]
    assert mapped["scores"]["cnn"]["accuracy"] != summed["scores"]["cnn"]["accuracy"]
    (said,) = [s for s in content["conclusion"] if s.startswith("With the answered class mapped")]
    assert f"and SVM ({kind}) for {100 * mapped['scores']['svm']['accuracy']:.2f} %" in said
    assert any(
        s.startswith("With the probabilities of its classes summed") for s in content["conclusion"]
    )


def test_terms_of_training_are_those_of_cards_and_manifests(report, models):
    content, _, kind = read(report)
    cnn, cnn2, ensemble, svm = (m["terms"] for m in content["models"])
    # A card that is not of 'train-cnn' says how much was held out, and the data set the rest.
    assert (cnn["n_images"], cnn["augmentation"], cnn["seed"]) == (None, None, None)
    assert cnn["stored_weights"] == "625 bits a weight"  # 1 MB of a file for 12,800
    assert set(cnn2.values()) == {None, cnn2["stored_weights"]}
    assert ensemble == {**cnn2, "stored_weights": ensemble["stored_weights"]}
    assert (svm["n_images"], svm["n_held_out"], svm["augmentation"]) == (500, 0, "none")
    assert svm["seed"] == models[1][kind].manifest.training.seed
    assert svm["stored_weights"] == "float32 support vectors, float64 coefficients"
    assert svm["n_settings"] is None
    manifest = models[1][kind].manifest
    searched = replace(manifest, training=replace(manifest.training, n_settings=48))
    assert svm_terms(replace(models[1][kind], manifest=searched)).n_settings == 48


def test_pictures_and_their_answers(report):
    content, table, _ = read(report)
    right = {m: table[f"{m}_coarse"] == table.true_coarse for m in ("ensemble", "svm")}
    shown = content["disagreements"]
    assert (shown["a"], shown["b"]) == ("ensemble", "svm")
    for key, hit in {
        "only_a": right["ensemble"] & ~right["svm"],
        "only_b": right["svm"] & ~right["ensemble"],
        "both_wrong": ~right["svm"] & ~right["ensemble"],
    }.items():
        assert shown["coarse"][key] == np.flatnonzero(hit)[:27].tolist()
    indices = sorted(i for group in shown["coarse"].values() for i in group)
    assert [entry["index"] for entry in shown["images"]] == indices
    assert [entry["index"] for entry in content["grid"]] == list(range(9))
    names = content["classes"]
    for entry in (*content["grid"], *shown["images"]):
        row = table.loc[entry["index"]]
        assert entry["filename"] == row.filename
        assert entry["true_fine"] == row.true_fine_name
        assert entry["true_coarse"] == row.true_coarse_name
        assert list(entry["answers"]) == ["cnn", "cnn2", "ensemble", "svm"]
        for model_id, said in entry["answers"].items():
            assert said["coarse"] == names["coarse"][row[f"{model_id}_coarse"]]
            assert said["coarse_right"] is bool(row[f"{model_id}_coarse"] == row.true_coarse)
            fine = row[f"{model_id}_fine"]
            assert said["fine"] == (None if pd.isna(fine) else names["fine"][int(fine)])
            assert said["fine_right"] == (None if pd.isna(fine) else fine == row.true_fine)


def test_costs(report, models):
    content, _, kind = read(report)
    _, svms, folder = models
    cnn, cnn2, ensemble, svm = content["models"]
    assert cnn["cost"]["training_s"] == 60.0
    assert cnn["cost"]["training_hardware"] == "Abacus 3000, 2 threads"
    assert cnn2["cost"]["training_s"] is None
    assert ensemble["cost"]["training_s"] is None  # not known of every member
    assert ensemble["cost"]["n_parameters"] == 2 * 12_800
    assert ensemble["cost"]["n_bytes"] == 2_000_003
    together = cnn["cost"]["inference_s"] + cnn2["cost"]["inference_s"]
    assert ensemble["cost"]["inference_s"] == together
    manifest = svms[kind].manifest
    times = manifest.times
    assert svm["cost"]["training_s"] == times["features_s"] + times["fit_s"]
    assert svm["cost"]["training_cpu_s"] == times["features_cpu_s"] + times["fit_cpu_s"] > 0
    host = manifest.host
    assert svm["cost"]["training_machine"] == {
        "processor": host["processor"], "cores": host["cores"], "threads": times["n_threads"],
    }  # fmt: skip
    machine = {"processor": "Abacus 3000, 2 threads", "cores": None, "threads": None}
    assert cnn["cost"]["training_machine"] == machine
    cpu_s = [entry["cost"]["inference_cpu_s"] for entry in (cnn, cnn2)]
    assert ensemble["cost"]["inference_cpu_s"] == sum(cpu_s) > 0
    assert cnn["cost"]["training_cpu_s"] is None
    assert svm["cost"]["n_bytes"] == (folder / f"{kind}.skops").stat().st_size
    assert svm["cost"]["n_support_vectors"] == len(svms[kind].svc.support_vectors_)
    assert 0 < svm["cost"]["features_s"] < svm["cost"]["inference_s"]
    assert svm["content_hash"] == manifest.content_hash
    for entry in content["models"]:
        cost = entry["cost"]
        assert cost["images_per_s"] == pytest.approx(200 / cost["inference_s"])
    assert cnn["note"] is None
    assert cnn2["note"] == "found in the attic"
    assert "history" not in cnn["made"]
    assert "classes" not in cnn["made"]
    assert content["command"] == "typed"
    assert content["title"] == "CNN versus SVM on SYNTHETIC stand-in"


def test_tables_say_what_the_json_says(report):
    content, _, _ = read(report)
    folder, _ = report
    tables = {path.stem: pd.read_csv(path) for path in folder.glob("*.csv")}
    assert set(tables) == {
        "predictions", "scores", "costs", "classes-coarse", "classes-fine", "paired",
        "paired-classes",
    }  # fmt: skip
    for row in tables["scores"].to_dict("records"):
        s = content["scores"][row["labels"]][row["model"]]
        assert row["accuracy"] == pytest.approx(s["accuracy"], abs=1e-12)
        assert (row["accuracy_low"], row["accuracy_high"]) == pytest.approx(
            s["accuracy_interval"], abs=1e-12
        )
        assert row["worst_class"] == s["worst_class"]["name"]
    assert len(tables["scores"]) == sum(map(len, content["scores"].values()))
    for labels in ("coarse", "fine"):
        table = tables[f"classes-{labels}"]
        assert table.name.tolist() == content["classes"][labels]
        for model_id, s in content["scores"][labels].items():
            assert table[f"{model_id}_correct"].tolist() == [r["correct"] for r in s["per_class"]]
    pairs = [p for of_kind in content["paired"].values() for p in of_kind]
    assert tables["paired"].difference_low.tolist() == pytest.approx(
        [p["difference"]["low"] for p in pairs], abs=1e-12
    )
    assert tables["paired"].mcnemar_p.tolist() == pytest.approx([p["mcnemar_p"] for p in pairs])
    tests = [test for p in pairs for test in p["by_class"]]
    holm = tables["paired-classes"].holm_p.tolist()
    assert holm == pytest.approx([test["holm_p"] for test in tests])
    assert tables["costs"].n_bytes.tolist() == [m["cost"]["n_bytes"] for m in content["models"]]
