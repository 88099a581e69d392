"""A network and an SVM together, with answers known beforehand."""

import numpy as np
import pytest
from contestants import predictions_of
from scipy.special import softmax

from svmcifar.compare.mixtures import mix_models

SUPERCLASS_OF = np.repeat(np.arange(20), 5)
PAIR = [("cnn", "svm")]


def noisy(truth, classes, seed):
    """Probabilities that know the images of some superclasses, and guess on others."""
    logits = np.random.default_rng(seed).normal(size=(len(truth), 100))
    known = np.isin(SUPERCLASS_OF[truth], classes)
    logits[known, truth[known]] += 6.0
    return softmax(logits, axis=1)


@pytest.fixture(scope="module")
def truth():
    fine = np.random.default_rng(0).integers(100, size=500)
    return {"coarse": SUPERCLASS_OF[fine], "fine": fine}


def test_models_that_know_different_things_gain(truth):
    p, q = (noisy(truth["fine"], classes, i) for i, classes in enumerate((range(12), range(8, 20))))
    models = {
        name: predictions_of(x.argmax(axis=1), SUPERCLASS_OF, x)
        for name, x in (("cnn", p), ("svm", q))
    }
    mixtures = mix_models(truth, models, PAIR, SUPERCLASS_OF)
    for kind in ("coarse", "fine"):
        (mixed,) = mixtures[kind]
        assert (mixed.network, mixed.svm, mixed.weight) == ("cnn", "svm", 0.5)
        rates = {m: (of.ids[kind] == truth[kind]).mean() for m, of in models.items()}
        assert mixed.better == max(rates, key=rates.get)
        assert mixed.counts.difference == pytest.approx(mixed.accuracy - max(rates.values()))
        assert mixed.accuracy > max(rates.values()) + 0.1
        assert mixed.low > 0
        assert mixed.mcnemar_p < 0.001


def test_scores_count_alike_whatever_their_unit(truth):
    """Decision values a thousand times as large are the same once calibrated."""
    p, q = noisy(truth["fine"], range(12), 0), np.log(noisy(truth["fine"], range(8, 20), 1))
    found = []
    for unit in (1.0, 1000.0):
        models = {
            "cnn": predictions_of(p.argmax(axis=1), SUPERCLASS_OF, p),
            "svm": predictions_of(q.argmax(axis=1), SUPERCLASS_OF, unit * q, "decisions"),
        }
        found.append(mix_models(truth, models, PAIR, SUPERCLASS_OF))
    assert found[0] == found[1]
    # The SVM has no scores of superclasses, and those of its classes are summed.
    assert len(found[0]["coarse"]) == 1


def test_models_without_scores_of_the_same_labels_are_not_mixed(truth):
    p = noisy(truth["fine"], range(12), 0)
    network = predictions_of(p.argmax(axis=1), SUPERCLASS_OF, p)
    svm = predictions_of(p.argmax(axis=1), SUPERCLASS_OF, p)
    svm.scores.clear()
    mixtures = mix_models(truth, {"cnn": network, "svm": svm}, PAIR, SUPERCLASS_OF)
    assert mixtures == {"coarse": [], "fine": []}


def test_a_tie_is_the_networks(truth):
    p = noisy(truth["fine"], range(12), 0)
    same = predictions_of(p.argmax(axis=1), SUPERCLASS_OF, p)
    mixtures = mix_models(truth, {"cnn": same, "svm": same}, PAIR, SUPERCLASS_OF)
    assert mixtures["fine"][0].better == "cnn"
    assert mixtures["fine"][0].counts.difference == 0
    assert mixtures["fine"][0].mcnemar_p == 1
