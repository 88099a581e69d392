from dataclasses import replace
from itertools import combinations, product

import array_api_strict as xp
import numpy as np
import pytest
from devices import OTHER_DEVICE, assert_on_device, on_device, stand_in_for_gpu
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import clusters
from reference import rbf
from sklearn.svm import SVC
from sklearn.utils.multiclass import _ovr_decision_function

from svmcifar import RBFSVC
from svmcifar.compute.arrays import to_host
from svmcifar.errors import InputError
from svmcifar.svm import decision_function, prediction
from svmcifar.svm.decision_function import OvOModel, pair_decisions
from svmcifar.svm.kernels import blocks
from svmcifar.svm.kernels.rbf import RBF
from svmcifar.svm.one_vs_one import (
    class_pairs,
    one_vs_rest,
    pair_numbers,
    winners,
    write_winners_of_parts,
)
from svmcifar.svm.samples import sample_blocks


@pytest.mark.parametrize("n_classes", [2, 3, 4, 7, 100])
def test_pairs_are_numbered_as_in_libsvm(n_classes):
    pairs, number = [], 0
    numbers = pair_numbers(n_classes)
    assert numbers.shape == (n_classes, n_classes - 1)
    for a in range(n_classes):
        for b in range(a + 1, n_classes):
            pairs.append((a, b))
            assert numbers[a, b - 1] == number
            assert numbers[b, a] == number
            number += 1
    assert class_pairs(n_classes) == pairs
    assert number == n_classes * (n_classes - 1) // 2


@settings(deadline=None)
@given(st.data())
def test_votes_are_counted(data):
    n_classes = data.draw(st.integers(2, 6))
    n_pairs = n_classes * (n_classes - 1) // 2
    value = st.sampled_from([-1.5, -1e-300, -0.0, 0.0, 1e-300, 2.0])
    rows = data.draw(st.lists(st.lists(value, min_size=n_pairs, max_size=n_pairs), min_size=1))
    for row, winner in zip(rows, winners(np.array(rows), n_classes), strict=True):
        expected = [0] * n_classes
        for v, (a, b) in zip(row, combinations(range(n_classes), 2), strict=True):
            expected[a if v > 0 else b] += 1
        assert winner == expected.index(max(expected))


def decisions_of_all_kinds(n_classes):
    """Make decision values with all ties of few classes, or many of many, zeros and NaN."""
    n_pairs = n_classes * (n_classes - 1) // 2
    kinds = [-1.5, -0.0, 0.0, 1e-300, 2.0, np.nan]
    if n_pairs <= 3:
        return np.array(list(product(kinds, repeat=n_pairs)))
    rng = np.random.default_rng(n_classes)
    few = rng.choice(kinds, size=(60, n_pairs), p=[0.3, 0.1, 0.1, 0.1, 0.3, 0.1])
    return np.concatenate([few, rng.normal(size=(60, n_pairs)), np.zeros((1, n_pairs))])


@pytest.mark.parametrize("n_classes", [2, 3, 4, 7, 40])
def test_votes_on_a_device_are_those_of_the_host(n_classes):
    """To the bit, and so are one-vs-rest values with their sums of margins."""
    decisions = decisions_of_all_kinds(n_classes)
    there = on_device(decisions)
    won = winners(there, n_classes)
    assert_on_device(won, xp.int64)
    np.testing.assert_array_equal(to_host(won), winners(decisions, n_classes))
    values = one_vs_rest(there, n_classes)
    assert_on_device(values, xp.float64)
    expected = _ovr_decision_function(decisions < 0, -decisions, n_classes)
    np.testing.assert_array_equal(to_host(values), expected)
    assert n_classes < 3 or np.isnan(expected).any()


def test_only_what_is_asked_for_is_brought_down(monkeypatch):
    stand_in_for_gpu(monkeypatch)
    X, y = clusters(np.random.default_rng(0), [10] * 5, 3)
    fetched = []
    monkeypatch.setattr(prediction, "to_host", lambda a: fetched.append(a.shape) or to_host(a))
    for shape, width in (("ovr", 5), ("ovo", 10)):
        model = RBFSVC(decision_function_shape=shape).fit(X, y)
        fetched.clear()
        expected = model.predict_with_decisions(on_device(X))
        assert fetched == [(50,), (50, width)]
        for method, shapes in ((model.predict, [(50,)]), (model.decision_function, [(50, width)])):
            fetched.clear()
            np.testing.assert_array_equal(method(on_device(X)), expected[len(shapes[0]) - 1])
            assert fetched == shapes


@pytest.mark.parametrize("n_views", [1, 3])
@pytest.mark.parametrize("n_classes", [2, 3, 6])
def test_winners_of_what_classes_add_to_decision_values(n_classes, n_views):
    """On small whole numbers, so that sums are exact and ties and zeros are many."""
    rng = np.random.default_rng(n_classes)
    values = rng.integers(-1, 2, (40 * n_views, n_classes, n_classes - 1)).astype(np.float32)
    intercept = rng.integers(-1, 2, n_classes * (n_classes - 1) // 2).astype(np.float64)
    decisions = np.empty((len(values), len(intercept)))
    for p, (a, b) in enumerate(combinations(range(n_classes), 2)):
        decisions[:, p] = intercept[p] + values[:, a, b - 1] + values[:, b, a]
    result = np.empty(40, dtype=np.intp)
    write_winners_of_parts(values, intercept, n_views, result)
    sums = decisions.reshape(40, n_views, -1).sum(axis=1)
    np.testing.assert_array_equal(result, winners(sums, n_classes))
    assert len(set(result)) > 1


def random_model(n_support, dtype, center=None, d=4, gamma=0.2):
    """Make a model of random support vectors and coefficients."""
    rng = np.random.default_rng(len(n_support))
    n, n_classes = sum(n_support), len(n_support)
    support = (rng.normal(size=(n, d)) + (0 if center is None else center)).astype(dtype)
    return support, OvOModel(
        support=sample_blocks(support, center),
        n_support=np.array(n_support),
        coef=rng.normal(size=(n_classes - 1, n)),
        intercept=rng.normal(size=n_classes * (n_classes - 1) // 2),
        kernel=RBF(gamma),
        center=center,
    )


def plain_decisions(model, support, Z):
    """Sum over the support vectors of each pair, from LIBSVM's layout."""
    K = rbf(Z, support, model.kernel.gamma)
    class_of = np.repeat(np.arange(len(model.n_support)), model.n_support)
    values = np.empty((len(Z), len(model.intercept)))
    for s in range(len(Z)):
        for p, (a, b) in enumerate(combinations(range(len(model.n_support)), 2)):
            total = model.intercept[p]
            for i, c in enumerate(class_of):
                if c == a:
                    total += model.coef[b - 1, i] * K[s, i]
                elif c == b:
                    total += model.coef[a, i] * K[s, i]
            values[s, p] = total
    return values


@pytest.mark.parametrize(("dtype", "rtol"), [(np.float64, 1e-12), (np.float32, 1e-5)])
@pytest.mark.parametrize("offset", [None, 50.0])
@pytest.mark.parametrize(
    "n_support",
    [
        (1, 1),
        (9, 4),  # class borders within chunks
        (7, 7, 7),  # and at their edges
        (3, 25, 2),  # a class over several chunks
        (0, 5, 0, 0, 9, 1, 0),  # classes without support vectors, at both ends
    ],
)
def test_decisions_are_those_of_plain_loops(monkeypatch, n_support, offset, dtype, rtol):
    monkeypatch.setattr(decision_function, "BLOCK", 7)
    monkeypatch.setattr(blocks, "BLOCK", 5)
    center = None if offset is None else np.full(4, offset, dtype)
    support, model = random_model(n_support, dtype, center)
    Z = (np.random.default_rng(1).normal(size=(17, 4)) + (offset or 0)).astype(dtype)
    unchanged = Z.copy()
    batches = list(pair_decisions(model, Z, n_workers=1))
    assert [len(batch) for batch in batches] == [7, 7, 3]
    values = np.concatenate(batches)
    assert values.dtype == np.float64
    np.testing.assert_allclose(
        values, plain_decisions(model, support, Z), rtol=rtol, atol=10 * rtol
    )
    for n_workers in (2, 3):
        again = np.concatenate(list(pair_decisions(model, Z, n_workers)))
        np.testing.assert_array_equal(again, values)
    np.testing.assert_array_equal(Z, unchanged)


def moved(model, support):
    """The model with its support vectors on the device; the rest is sent when it is needed."""
    return replace(model, support=sample_blocks(on_device(support), model.center))


@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 1e-12), ("float32", 1e-5)])
@pytest.mark.parametrize("offset", [None, 50.0])
@pytest.mark.parametrize("n_support", [(1, 1), (7, 7, 7), (3, 25, 2), (0, 5, 0, 0, 9, 1, 0)])
def test_decisions_on_a_device(monkeypatch, n_support, offset, dtype, rtol):
    center = None if offset is None else np.full(4, offset, dtype)
    support, model = random_model(n_support, dtype, center)
    Z = (np.random.default_rng(1).normal(size=(17, 4)) + (offset or 0)).astype(dtype)
    expected = plain_decisions(model, support, Z)
    model, there = moved(model, support), on_device(Z)
    row_bytes = decision_function._row_bytes(model, 4, np.dtype(dtype).itemsize)
    for n_rows in (5, 17):
        free = int(np.ceil((n_rows + 0.1) * row_bytes / 0.8))
        monkeypatch.setattr(decision_function, "free_gpu_bytes", lambda free=free: free)
        batches = list(pair_decisions(model, there, n_workers=1))
        assert [len(to_host(batch)) for batch in batches] == [n_rows] * (17 // n_rows) + (
            [17 % n_rows] if 17 % n_rows else []
        )
        for batch in batches:
            assert_on_device(batch, xp.float64)
        values = np.concatenate([to_host(batch) for batch in batches])
        np.testing.assert_allclose(values, expected, rtol=rtol, atol=10 * rtol)
    np.testing.assert_array_equal(to_host(there), Z)


def test_batches_on_a_device_keep_to_the_limit(monkeypatch):
    support, model = random_model((3, 4), np.float64)
    model, Z = moved(model, support), on_device(np.zeros((9000, 4)))
    row_bytes = decision_function._row_bytes(model, 4, 8)
    monkeypatch.setattr(decision_function, "free_gpu_bytes", lambda: 2**40)

    def sizes(limit):
        return [batch.shape[0] for batch in pair_decisions(model, Z, 1, limit)]

    assert sizes(None) == [8192, 808]
    assert sizes(4000 * row_bytes) == [4000, 4000, 1000]
    assert sizes(1)[:2] == [1, 1]
    monkeypatch.setattr(decision_function, "free_gpu_bytes", lambda: 5000 * row_bytes)
    assert sizes(2**40) == [4000, 4000, 1000]


def test_samples_and_support_vectors_are_on_one_device(monkeypatch):
    monkeypatch.setattr(decision_function, "free_gpu_bytes", lambda: 2**20)
    support, model = random_model((3, 4), np.float64)
    for one, Z in [
        (model, on_device(np.zeros((2, 4)))),
        (moved(model, support), np.zeros((2, 4))),
        (moved(model, support), on_device(np.zeros((2, 4)), OTHER_DEVICE)),
    ]:
        with pytest.raises(InputError, match="All arrays must be on one device"):
            next(pair_decisions(one, Z, 1))


def test_blocks_of_the_real_size():
    n_support = (decision_function.BLOCK - 1, 3, 4)
    support, model = random_model(n_support, np.float64, d=2)
    Z = np.random.default_rng(1).normal(size=(decision_function.BLOCK + 2, 2))
    values = np.concatenate(list(pair_decisions(model, Z, n_workers=2)))
    rows = [0, decision_function.BLOCK - 1, decision_function.BLOCK, decision_function.BLOCK + 1]
    expected = plain_decisions(model, support, Z[rows])
    np.testing.assert_allclose(values[rows], expected, rtol=0, atol=1e-10)


def constant_model(intercepts, labels=("x", "y", "z"), **params):
    """Make a fitted model, and an SVC alike, whose decision values are the intercepts."""
    X, y = clusters(np.random.default_rng(0), [6] * len(labels), 2)
    model = RBFSVC(**params).fit(X, np.array(labels)[y])
    model.dual_coef_ = np.zeros_like(model.dual_coef_)
    model.intercept_ = np.array(intercepts, dtype=np.float64)
    return model, model.to_sklearn(), X


# The pairs are xy, xz, yz; a positive value is a vote for the first of the two.
@pytest.mark.parametrize(
    ("intercepts", "winner", "winner_of_ties"),
    [
        ((1, 1, 1), "x", "x"),
        ((-1, 1, 1), "y", "y"),
        ((1, -1, -1), "z", "z"),
        ((1, -2, 3), "x", "y"),  # one vote each; y has the largest sum of margins
        ((1, -4, 2), "x", "z"),
        ((3, -1, 2), "x", "x"),
        # Zero is a vote for the second, but for the first in one-vs-rest values.
        ((0, 1, 1), "y", "x"),
        ((0, 0, 0), "z", "x"),
    ],
)
def test_votes_ties_and_zeros_are_decided_as_by_scikit_learn(intercepts, winner, winner_of_ties):
    for break_ties, expected in ((False, winner), (True, winner_of_ties)):
        model, svc, X = constant_model(intercepts, break_ties=break_ties)
        assert set(model.predict(X)) == {expected}
        assert set(svc.predict(X)) == {expected}
        np.testing.assert_allclose(model.decision_function(X), svc.decision_function(X))


@pytest.mark.parametrize(("intercept", "winner"), [(-1, "x"), (0, "y"), (1, "y")])
def test_two_classes(intercept, winner):
    """The sign is turned: positive means the second class, and so does zero."""
    model, svc, X = constant_model([intercept], labels=("x", "y"))
    np.testing.assert_array_equal(model.decision_function(X), np.full(len(X), intercept))
    assert set(model.predict(X)) == set(svc.predict(X)) == {winner}


@pytest.mark.parametrize("shape", ["ovr", "ovo"])
@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_prediction_and_decisions_of_one_pass(shape, n_classes):
    X, y = clusters(np.random.default_rng(0), [10] * n_classes, 3)
    model = RBFSVC(decision_function_shape=shape).fit(X, y)
    svc = SVC(decision_function_shape=shape).fit(X, y)
    predicted, values = model.predict_with_decisions(X)
    np.testing.assert_array_equal(predicted, model.predict(X))
    np.testing.assert_array_equal(values, model.decision_function(X))
    theirs = svc.decision_function(X)
    assert values.shape == theirs.shape
    np.testing.assert_allclose(values, theirs, rtol=0, atol=0.05)


def test_break_ties_asks_for_ovr():
    X, y = clusters(np.random.default_rng(0), [5, 5, 5], 2)
    model = RBFSVC(break_ties=True, decision_function_shape="ovo").fit(X, y)
    with pytest.raises(ValueError, match="break_ties must be False when decision_function_shape"):
        model.predict(X)
    assert model.decision_function(X).shape == (15, 3)
