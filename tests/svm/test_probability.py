"""Probabilities of `RBFSVC`: held against folds, sigmoids and coupling made the plain way."""

from dataclasses import replace

import numpy as np
import pytest
from problems import clusters, training_set
from scipy.special import expit
from sklearn.calibration import _SigmoidCalibration
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.svm import SVC

from svmcifar import RBFSVC
from svmcifar.errors import InputError
from svmcifar.metrics.calibration import calibration_scores, probability_log_loss
from svmcifar.metrics.losses import temperature_log_loss
from svmcifar.svm import out_of_fold
from svmcifar.svm.backends.registry import BACKENDS
from svmcifar.svm.coupling import couple
from svmcifar.svm.out_of_fold import assign_folds, hash_samples
from svmcifar.svm.sharpness import fit_sharpness

SIGMOIDS = ("probA_", "probB_")


def overlapping(n_classes=3, n=30, seed=0, dtype=np.float64):
    """A training set whose classes overlap, so that decisions of each pair say something."""
    return training_set(n_classes, n=n, d=3, seed=seed, dtype=dtype)


def pair_decisions(model, X):
    """Decision values in LIBSVM's sign, (n_samples, n_pairs)."""
    values = model.set_params(decision_function_shape="ovo").decision_function(X)
    return -values[:, None] if values.ndim == 1 else values


def plain_sigmoids(X, y, weight, n_views, **params):
    """The sigmoids by scikit-learn's SVC and its sigmoid fit, in plain loops.

    For more than two classes their factor is the best of all, on each fold with sigmoids that have
    not seen it.
    """
    n_classes = len(set(y))
    gamma, class_weight = params.pop("gamma"), params.pop("class_weight", {})
    labels = y[::n_views]
    folds = assign_folds(hash_samples(X, n_views), labels)
    of_row = np.repeat(folds, n_views)
    values = np.full((len(labels), n_classes * (n_classes - 1) // 2), np.nan)
    for fold in set(folds):
        train, test = of_row != fold, of_row == fold
        svc = SVC(gamma=gamma, class_weight=class_weight, tol=1e-10, **params)
        svc.fit(X[train], y[train], weight[train])
        f = pair_decisions(svc, X[test])
        values[folds == fold] = f.reshape(-1, n_views, f.shape[1]).mean(axis=1)
    of_sample = weight.reshape(-1, n_views).mean(axis=1)

    def fit_all(used):
        sigmoids = []
        for number, (a, b) in enumerate(zip(*np.triu_indices(n_classes, 1), strict=True)):
            rows = used & np.isin(labels, (a, b))
            f, is_first = values[rows, number], labels[rows] == a
            fit = _SigmoidCalibration().fit(f, is_first, of_sample[rows])
            sigmoids.append((fit.a_, fit.b_))
        return np.transpose(sigmoids)

    sigmoids = fit_all(np.full(len(labels), True))
    if n_classes == 2:
        return sigmoids
    losses = np.zeros(65)
    small = 1 / (of_sample.sum() + 1)
    for fold in set(folds):
        rows = folds == fold
        A, B = fit_all(~rows)
        assert (A < 0).all()
        for i, exponent in enumerate(range(-32, 33)):
            factor = 2 ** (exponent / 16)
            log_p = np.log(couple(values[rows], factor * A, factor * B, n_classes, 1))
            own = log_p[np.arange(rows.sum()), labels[rows]]
            losses[i] -= of_sample[rows] @ ((1 - small) * own + small * log_p.mean(axis=1))
    assert 0 < losses.argmin() < 64
    return sigmoids * 2 ** ((losses.argmin() - 32) / 16)


@pytest.mark.parametrize("backend", ["numba", "sklearn"])
@pytest.mark.parametrize(("n_classes", "n_views"), [(2, 1), (4, 1), (3, 2)])
def test_sigmoids_are_those_of_plain_loops(n_classes, n_views, backend):
    X, y = overlapping(n_classes)
    if n_views > 1:
        noise = np.random.default_rng(1).normal(size=(n_views, *X.shape))
        X, y = (X + 0.5 * noise).transpose(1, 0, 2).reshape(-1, X.shape[1]), np.repeat(y, n_views)
    weight = np.random.default_rng(2).uniform(0.5, 2.0, len(y))
    params = {"C": 2.0, "gamma": 0.2, "class_weight": {0: 1.5}}
    model = RBFSVC(**params, tol=1e-10, probability=True, backend=backend)
    model.fit(X, y, weight, n_views=n_views)
    A, B = plain_sigmoids(X, y, weight, n_views, **params)
    np.testing.assert_allclose(model.probA_, A, rtol=1e-4)
    np.testing.assert_allclose(model.probB_, B, rtol=1e-4, atol=1e-4)
    assert (A < -0.1).all()  # else the test would be blind to the sign


def test_gamma_and_class_weights_are_those_of_all_samples():
    X, y = clusters(np.random.default_rng(0), [40, 25, 12], 3, spread=0.7)
    model = RBFSVC(class_weight="balanced", tol=1e-10, probability=True).fit(X, y)
    weights = dict(enumerate(model.class_weight_))
    A, B = plain_sigmoids(X, y, np.ones(len(y)), 1, gamma=model.gamma_, class_weight=weights)
    np.testing.assert_allclose(model.probA_, A, rtol=1e-4)
    np.testing.assert_allclose(model.probB_, B, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_classes", [2, 5])
def test_the_model_is_the_same_without(n_classes, dtype):
    X, y = overlapping(n_classes, dtype=dtype)
    plain, model = RBFSVC().fit(X, y), RBFSVC(probability=True).fit(X, y)
    for name in set(vars(plain)) - {"probability"}:
        np.testing.assert_array_equal(getattr(model, name), getattr(plain, name), err_msg=name)
    assert vars(model).keys() - vars(plain).keys() == {*SIGMOIDS}
    np.testing.assert_array_equal(model.predict(X), plain.predict(X))
    np.testing.assert_array_equal(model.decision_function(X), plain.decision_function(X))


def libsvm_coupling(r):
    """LIBSVM's multiclass_probability, with its tolerance."""
    k = len(r)
    Q = -r * r.T
    np.fill_diagonal(Q, (r**2).sum(axis=0) - np.diag(r) ** 2)
    p = np.full(k, 1 / k)
    for _ in range(max(100, k)):
        Qp = Q @ p
        pQp = p @ Qp
        if np.abs(Qp - pQp).max() < 0.005 / k:
            break
        for t in range(k):
            change = (pQp - Qp[t]) / Q[t, t]
            p[t] += change
            pQp = (pQp + change * (change * Q[t, t] + 2 * Qp[t])) / (1 + change) ** 2
            Qp = (Qp + change * Q[t]) / (1 + change)
            p /= 1 + change
    return p


@pytest.mark.filterwarnings("ignore:The `probability` parameter was deprecated:FutureWarning")
@pytest.mark.parametrize("n_classes", [2, 3, 6])
def test_to_sklearn_has_the_same_sigmoids(n_classes):
    """SVC stops coupling early; with its own tolerance the same sigmoids give its probabilities."""
    X, y = overlapping(n_classes)
    model = RBFSVC(probability=True).fit(X, y)
    svc, Z = model.to_sklearn(), X[::2] + 0.3
    expected = []
    for f in pair_decisions(model, Z):
        r = np.full((n_classes, n_classes), 0.5)
        r[np.triu_indices(n_classes, 1)] = expit(-(model.probA_ * f + model.probB_))
        lower = np.tril_indices(n_classes, -1)
        r[lower] = 1 - r.T[lower]
        expected.append(libsvm_coupling(np.clip(r, 1e-7, 1 - 1e-7)))
    np.testing.assert_allclose(svc.predict_proba(Z), expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(svc.predict_proba(Z), model.predict_proba(Z), rtol=0, atol=0.01)


def test_two_classes_have_the_sigmoid_of_the_decision():
    X, y = overlapping(2)
    model = RBFSVC(probability=True).fit(X, np.array(["no", "yes"])[y])
    p = model.predict_proba(X)
    f = -model.decision_function(X)  # LIBSVM's sign: positive for the first class
    np.testing.assert_allclose(p[:, 0], expit(-(model.probA_ * f + model.probB_)), rtol=1e-12)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-15)
    assert (np.diff(p[np.argsort(f), 0]) >= 0).all()


def test_log_probabilities():
    X, y = overlapping()
    model = RBFSVC(probability=True).fit(X, y)
    np.testing.assert_array_equal(model.predict_log_proba(X), np.log(model.predict_proba(X)))


def test_one_pass_gives_what_three_give():
    X, y = overlapping()
    model = RBFSVC(probability=True).fit(X, y)
    for n_views in (1, 2):
        ids, decisions, p = model.predict_with_probabilities(X, n_views=n_views)
        expected = model.predict_with_decisions(X, n_views=n_views)
        np.testing.assert_array_equal(ids, expected[0])
        np.testing.assert_array_equal(decisions, expected[1])
        np.testing.assert_array_equal(p, model.predict_proba(X, n_views=n_views))
        assert p.shape == (len(X) // n_views, 3)


def test_views_are_averaged_before_the_sigmoid():
    X, y = overlapping()
    model = RBFSVC(probability=True).fit(X, y)
    twice = np.repeat(X, 2, axis=0)
    np.testing.assert_allclose(
        model.predict_proba(twice, n_views=2), model.predict_proba(X), rtol=1e-9
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_n_jobs_changes_no_bit(dtype):
    X, y = overlapping(6, dtype=dtype)
    alone = RBFSVC(probability=True, n_jobs=1).fit(X, y)
    for n_jobs in (2, 3):
        model = RBFSVC(probability=True, n_jobs=n_jobs).fit(X, y)
        for name in SIGMOIDS:
            np.testing.assert_array_equal(getattr(model, name), getattr(alone, name))
        np.testing.assert_array_equal(model.predict_proba(X), alone.predict_proba(X))


def test_the_order_of_samples_does_not_matter():
    X, y = overlapping(4)
    order = np.random.default_rng(0).permutation(len(y))
    params = {"gamma": 0.3, "tol": 1e-11, "probability": True}
    one, other = RBFSVC(**params).fit(X, y), RBFSVC(**params).fit(X[order], y[order])
    for name in SIGMOIDS:
        np.testing.assert_allclose(getattr(other, name), getattr(one, name), rtol=1e-6)


def test_sample_weights_are_repetition_and_removal():
    X, y = overlapping(3)
    weight = np.random.default_rng(0).integers(0, 4, len(y))
    params = {"gamma": 0.3, "tol": 1e-11, "probability": True}
    weighted = RBFSVC(**params).fit(X, y, weight)
    repeated = RBFSVC(**params).fit(np.repeat(X, weight, axis=0), np.repeat(y, weight))
    for name in SIGMOIDS:
        np.testing.assert_allclose(getattr(weighted, name), getattr(repeated, name), rtol=1e-6)


def test_folds_are_even_and_keep_equal_samples_together():
    X, y = clusters(np.random.default_rng(0), [23, 40, 7], 4)
    X[1:20:3] = X[0]
    folds = assign_folds(hash_samples(X, 1), y)
    for c in range(3):
        of_class = {x.tobytes(): fold for x, fold in zip(X[y == c], folds[y == c], strict=True)}
        for x, fold in zip(X[y == c], folds[y == c], strict=True):
            assert of_class[x.tobytes()] == fold
        counts = np.bincount(list(of_class.values()), minlength=5)
        assert counts.max() - counts.min() <= 1
    turned = assign_folds(hash_samples(X[::-1], 1), y[::-1])
    np.testing.assert_array_equal(turned[::-1], folds)


def test_folds_of_views_and_of_left_out_samples():
    X = np.random.default_rng(0).normal(size=(40, 3))
    codes = np.repeat([0, 1], 10)
    codes[3] = -1
    folds = assign_folds(hash_samples(X, 2), codes)
    assert folds.shape == (20,)
    assert folds[3] == -1
    assert set(folds[codes >= 0]) == set(range(5))


@pytest.mark.parametrize("sizes", [(1, 30), (1, 1), (2, 2, 40), (4, 1, 3, 2), (3, 3)])
def test_classes_of_few_samples_have_probabilities(sizes):
    """Every fold's model has all classes, and a class that nobody can vouch for has its share."""
    X, y = clusters(np.random.default_rng(len(sizes)), sizes, 4)
    model = RBFSVC(probability=True).fit(X, y)
    p = model.predict_proba(X)
    assert (p > 0).all()
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-12)
    assert (model.probA_ <= 0).all()
    if sizes == (1, 30):
        np.testing.assert_allclose(p[:, 0], 1 / 32, rtol=1e-9)
    if sizes == (1, 1):
        np.testing.assert_allclose(p, 0.5, rtol=1e-12)


def test_more_classes_than_can_be_kept_whole(monkeypatch):
    """The factor is then fitted on some of the held-out samples, drawn by their hashes."""
    X, y = overlapping(4, n=100)
    drawn = []

    def record(parts, *args):
        drawn.append(sum(len(part.codes) for part in parts))
        return fit_sharpness(parts, *args)

    monkeypatch.setattr(out_of_fold, "fit_sharpness", record)
    whole = RBFSVC(probability=True).fit(X, y)
    monkeypatch.setattr(out_of_fold, "_MOST_KEPT_VALUES", 150 * 4**2)
    some = RBFSVC(probability=True).fit(X, y)
    monkeypatch.setattr(out_of_fold, "_MOST_KEPT", 70)
    fewer = RBFSVC(probability=True).fit(X, y)
    assert drawn == [400, 150, 70]
    for model in (some, fewer):
        ratio = model.probA_ / whole.probA_
        np.testing.assert_allclose(ratio, ratio[0], rtol=1e-12)
        assert ratio[0] == pytest.approx(1, abs=0.3)


@pytest.mark.parametrize("most", [70, 10_000])
def test_few_different_samples_many_times(most, monkeypatch):
    """No more of them are kept than may be, and not none, though their hashes tie."""
    X, y = overlapping(3, n=2)
    X, y = np.repeat(X, 100, axis=0), np.repeat(y, 100)
    monkeypatch.setattr(out_of_fold, "_MOST_KEPT", most)
    p = RBFSVC(probability=True).fit(X, y).predict_proba(X[::100])
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-12)


def test_probabilities_of_many_classes_are_calibrated():
    """Coupled sigmoids alone are too even: without the factor error and loss are 0.11 and 1.49."""
    X, y = clusters(np.random.default_rng(0), [60] * 20, 8, spread=1.0)
    train = np.arange(len(y)) % 2 == 0
    model = RBFSVC(probability=True).fit(X[train], y[train])
    Z, z = X[~train], y[~train]
    p = model.predict_proba(Z)
    assert calibration_scores(z, model.predict(Z), p)[0] < 0.07
    of_votes, _ = temperature_log_loss(z, model.decision_function(Z))
    assert probability_log_loss(z, p) < 0.93 * of_votes


def test_a_class_of_equal_samples_counts_as_one():
    X, y = clusters(np.random.default_rng(0), [6, 30], 4)
    X[y == 0] = X[y == 0][0]
    np.testing.assert_allclose(RBFSVC(probability=True).fit(X, y).probA_, 0)


def test_probabilities_are_there_when_asked_for():
    X, y = overlapping()
    model = RBFSVC().fit(X, y)
    for name in ("predict_proba", "predict_log_proba", "predict_with_probabilities"):
        assert not hasattr(model, name)
        with pytest.raises(AttributeError):
            getattr(model, name)
    with pytest.raises(AttributeError) as caught:
        _ = model.predict_proba
    assert "probability=True; set it, and fit again" in str(caught.value.__cause__)
    model.set_params(probability=True)
    with pytest.raises(NotFittedError, match="fitted with probability=False"):
        model.predict_proba(X)
    with pytest.raises(NotFittedError):
        RBFSVC(probability=True).predict_proba(X)
    assert model.fit(X, y).predict_proba(X).shape == (len(X), 3)
    model.set_params(probability=False).fit(X, y)
    assert not set(SIGMOIDS) & set(vars(model))


def test_a_fold_that_fails_leaves_the_model_as_it_was(monkeypatch):
    X, y = overlapping()
    model = RBFSVC(probability=True).fit(X, y)
    before = dict(vars(model))
    load, calls = BACKENDS["numba"].load, []

    def interrupt_third(*args, **kwargs):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return load()(*args, **kwargs)

    monkeypatch.setitem(BACKENDS, "numba", replace(BACKENDS["numba"], load=lambda: interrupt_third))
    with pytest.raises(KeyboardInterrupt):
        model.fit(X[::2] + 50, y[::2])
    assert vars(model).keys() == before.keys()
    assert all(vars(model)[name] is value for name, value in before.items())


def test_unsolved_pairs_are_told_once():
    X, y = overlapping()
    with pytest.warns(ConvergenceWarning, match="3 of 3 pairs") as caught:
        RBFSVC(max_iter=4, probability=True).fit(X, y)
    assert [warning.filename for warning in caught] == [__file__]


def test_views_that_do_not_belong_together_are_refused():
    X, y = overlapping(3, n=7)
    model = RBFSVC(probability=True)
    with pytest.raises(InputError, match=r"must have 2 views\. Got 21 rows, which leave 1"):
        model.fit(X, y, n_views=2)
    with pytest.raises(InputError, match=r"must have one class\. Got several in rows \d+ to \d+"):
        model.fit(X[:20], np.arange(20) % 2, n_views=2)
    assert not hasattr(model, "classes_")
