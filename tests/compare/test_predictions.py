"""Predictions of networks, ensembles and SVMs, their scores, and learning curves."""

from dataclasses import replace
from math import log
from types import SimpleNamespace

import numpy as np
import pytest
from contestants import entry_of, make_card, make_network, predictions_of
from feature_options import ALL, quick_features
from scipy.special import log_softmax, softmax
from sklearn.metrics import log_loss

from svmcifar.compare.assemble import model_ids
from svmcifar.compare.comparison import TimeToAccuracy
from svmcifar.compare.model_entries import distinct_names, network_entry, svm_entry
from svmcifar.compare.predictions import (
    Predictions,
    combine_networks,
    predict_by_network,
    predict_by_svm,
)
from svmcifar.compare.scores import score_predictions
from svmcifar.compare.time_to_accuracy import time_to_accuracy
from svmcifar.model.persistence import save_model


@pytest.fixture(scope="module")
def split(synthetic_data):
    return synthetic_data.read_split("test")


@pytest.fixture(scope="module")
def superclass_of(synthetic_data):
    return synthetic_data.superclass_of


def test_network_is_warmed_up_and_asked_once(tmp_path, split, superclass_of):
    network, sizes = make_network(tmp_path / "a.pth"), []
    compute = network.compute_logits

    def count(pixels):
        sizes.append(len(pixels))
        return compute(pixels)

    object.__setattr__(network, "compute_logits", count)
    predictions = predict_by_network(network, split.images, superclass_of)
    assert sum(sizes) == 400  # the warm-up takes at most 256 images, and there are 200
    assert predictions.inference_s > 0


def test_slim_svm_counts_what_it_takes_from_the_data(train_small, split, superclass_of, tmp_path):
    svm = train_small()
    predictions = predict_by_svm(svm, split.images, superclass_of)
    sizes = {}
    for slim in (False, True):
        path = tmp_path / f"{slim}.skops"
        save_model(svm, path, slim=slim)
        sizes[slim] = svm_entry(svm, predictions, path, "SVM", "svm", None).cost.n_bytes
        in_file = svm.svc.support_vectors_.nbytes if not slim else 0
        assert sizes[slim] == path.stat().st_size + svm.svc.support_vectors_.nbytes - in_file
    assert sizes[True] == pytest.approx(sizes[False], rel=0.01)


@pytest.mark.parametrize("label_kind", ["coarse", "fine"])
def test_svm_with_other_features_answers_as_it_predicts(
    train_small, split, superclass_of, tmp_path, label_kind
):
    with quick_features():
        svm = train_small(limit=200, label_kind=label_kind, **ALL)
    predictions = predict_by_svm(svm, split.images, superclass_of)
    predicted, decisions = svm.predict_with_decisions(split.images)
    np.testing.assert_array_equal(predictions.ids[label_kind], predicted)
    np.testing.assert_array_equal(predictions.scores[label_kind], decisions)
    assert list(predictions.scores) == [label_kind]
    assert set(predictions.ids) == ({"coarse", "fine"} if label_kind == "fine" else {"coarse"})
    save_model(svm, tmp_path / "svm.skops")
    entry = svm_entry(svm, predictions, tmp_path / "svm.skops", "SVM", "svm", None)
    assert entry.features == ["means + cells", "standardize", "pca", "whiten^0.5"]
    steps = "means + cells > standardize > pca > whiten^0.5, 20 features"
    assert f"; {steps}, of images and mirror images; " in entry.description


def test_ensembles_with_known_answers(superclass_of):
    def sure(*probabilities):
        """One image: probabilities of fine classes 0, 1, ..., the rest shared out evenly."""
        p = np.full(100, (1 - sum(probabilities)) / (100 - len(probabilities)))
        p[: len(probabilities)] = probabilities
        return predictions_of([p.argmax()], superclass_of, p[None])

    # Two weak votes for class 0 against one strong vote for class 1.
    members = [sure(0.4, 0.3), sure(0.4, 0.3), sure(0.0, 0.9)]
    assert combine_networks(members, "sum").ids["fine"].tolist() == [1]
    assert combine_networks(members, "vote").ids["fine"].tolist() == [0]
    # One vote each: the sum breaks the tie, whatever the order.
    tied = [sure(0.6, 0.3), sure(0.1, 0.8)]
    for order in (tied, tied[::-1]):
        assert combine_networks(order, "vote").ids["fine"].tolist() == [1]
        assert combine_networks(order, "sum").ids["fine"].tolist() == [1]
    # A class that nobody votes for wins the sum, and never the vote.
    split = [sure(0.5, 0.45, 0.0), sure(0.0, 0.45, 0.5)]
    assert combine_networks(split, "sum").ids["fine"].tolist() == [1]
    assert combine_networks(split, "vote").ids["fine"].tolist() == [0]
    # All equal: the lower id.
    assert combine_networks([sure(0.7, 0.2), sure(0.2, 0.7)], "vote").ids["fine"].tolist() == [0]
    total = combine_networks(split, "sum")
    assert total.scores["fine"].sum() == pytest.approx(1.0)
    assert total.scores["coarse"].sum() == pytest.approx(1.0)
    assert total.score_kind == "probabilities"
    assert combine_networks(split, "vote").score_kind == "votes"


def test_superclasses_are_voted_on_by_themselves():
    superclass_of = np.repeat(np.arange(20), 5)
    p = np.zeros((3, 100))
    p[0, [0, 5, 6]] = 0.4, 0.35, 0.25  # fine class 0, superclass 1
    p[1, [0, 5, 6]] = 0.4, 0.35, 0.25
    p[2, [0, 50]] = 0.6, 0.4  # fine class 0, superclass 0
    members = [
        predictions_of([0], superclass_of, q[None], superclasses=[c])
        for q, c in zip(p, (1, 1, 0), strict=True)
    ]
    vote = combine_networks(members, "vote")
    assert vote.ids["fine"].tolist() == [0]
    assert vote.ids["coarse"].tolist() == [1]


def test_ensemble_never_lets_the_sum_outweigh_a_vote():
    """Against a count of votes, on random probabilities with many ties."""
    superclass_of = np.repeat(np.arange(20), 5)
    rng = np.random.default_rng(0)
    members = []
    for _ in range(4):
        p = softmax(8 * np.pad(rng.normal(size=(300, 6)), ((0, 0), (0, 94))), axis=1)
        members.append(predictions_of(p.argmax(axis=1), superclass_of, p))
    for i, predicted in enumerate(combine_networks(members, "vote").ids["fine"]):
        votes = np.bincount([m.ids["fine"][i] for m in members], minlength=100)
        total = sum(m.scores["fine"][i] for m in members)
        best = [c for c in range(100) if votes[c] == votes.max()]
        assert predicted == max(best, key=lambda c: total[c])


def test_probability_of_zero_has_a_finite_loss():
    p = np.zeros((10, 3))
    p[:, 0] = 1.0
    y = np.array([0] * 9 + [1])
    predictions = Predictions(
        {"coarse": p.argmax(axis=1)}, {"coarse": p}, "probabilities", 1.0, 2.0, None
    )
    s = score_predictions(y, predictions, "coarse", ["a", "b", "c"])
    assert s.uncalibrated_log_loss == pytest.approx(-log(np.finfo(np.float32).tiny) / 10)
    assert 0 < s.log_loss < 5


def test_calibration_makes_log_loss_blind_to_overconfidence():
    """A network that is five times too sure loses nothing but its uncalibrated log loss."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 20, 400)
    logits = rng.normal(size=(400, 20)) + 1.0 * np.eye(20)[y]
    losses = []
    for factor in (1.0, 5.0):
        p = softmax(factor * logits, axis=1)
        predictions = Predictions(
            {"coarse": p.argmax(axis=1)}, {"coarse": p}, "probabilities", 1.0, 2.0, None
        )
        losses.append(score_predictions(y, predictions, "coarse", [str(c) for c in range(20)]))
    assert losses[1].log_loss == pytest.approx(losses[0].log_loss, rel=1e-6)
    assert losses[1].uncalibrated_log_loss > 1.5 * losses[0].uncalibrated_log_loss
    own = log_softmax(logits, axis=1)[np.arange(400), y]
    assert losses[0].uncalibrated_log_loss == pytest.approx(-own.mean())
    assert losses[0].uncalibrated_log_loss == pytest.approx(
        log_loss(y, softmax(logits, axis=1), labels=range(20))
    )


def test_learning_curve(tmp_path, synthetic_data, split, superclass_of):
    predictions = predictions_of(split.labels["fine"], superclass_of)

    def entry(card):
        network = make_network(tmp_path / "n.pth", card=card)
        return network_entry(network, predictions, "CNN n", "cnn", None, n_images=500)

    validated = entry(make_card(synthetic_data))
    curve = validated.curve
    assert curve.seconds == (10.0, 30.0, 60.0)
    assert curve.accuracy["fine"] == pytest.approx([0.1, 0.2, 0.3])
    assert curve.accuracy["coarse"] == pytest.approx([0.2, 0.4, 0.6])
    assert curve.images == "validation images"
    learning = entry(make_card(synthetic_data, validated=False)).curve
    assert learning.accuracy["coarse"] == pytest.approx([0.25, 0.45, 0.65])
    assert learning.images == "augmented training images, while learning"
    for card in (None, {"history": []}, {"history": [{"seconds": 1.0}]}):
        assert entry(card).curve is None
    assert entry({"training_s": float("nan")}).cost.training_s is None

    def reached(accuracy):
        scores = {"coarse": {"svm": SimpleNamespace(accuracy=accuracy)}, "fine": {}}
        models = [validated, replace(entry(None), id="cnn2"), entry_of("svm", "SVM")]
        return time_to_accuracy(models, scores)

    assert reached(0.39) == {"coarse": [TimeToAccuracy("cnn", "svm", 0.39, 30.0)], "fine": []}
    assert reached(0.6001)["coarse"][0].seconds is None
    assert reached(0.0)["coarse"][0].seconds == 10.0


def test_names_and_ids():
    assert distinct_names(["CNN m", "CNN a\nb", "CNN m", "CNN m"]) == [
        "CNN m", r"CNN a\x0ab", "CNN m (2)", "CNN m (3)",
    ]  # fmt: skip
    assert model_ids("cnn", "abc") == ["cnn", "cnn2", "cnn3"]
    assert model_ids("svm", "a") == ["svm"]
