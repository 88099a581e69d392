"""Searches on plain samples, held against scikit-learn's GridSearchCV."""

import numpy as np
import pandas as pd
import pytest
from problems import training_set
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, GroupKFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from svmcifar.errors import InputError, MemoryLimitError
from svmcifar.svm.estimator import RBFSVC
from svmcifar.svm.path.evaluate import Part, evaluate_points
from svmcifar.svm.path.grid import Gamma, Grid
from svmcifar.tuning.search import search_parts, search_svc


def search(svc, grid, X, y, splits):
    """Search as search_svc does, without a fit at the end."""
    axes = {"C": grid.C, "gamma": grid.gamma, "n_components": grid.n_components}
    return search_svc(X, y, **axes, cv=list(splits), svc=svc, refit=False)


FOLDS = StratifiedKFold(3, shuffle=True, random_state=0)


def overlapping(n_classes=4, n=30, dtype=np.float64, seed=0):
    return training_set(n_classes, n, d=4, seed=seed, dtype=dtype)


def checkerboard(n, seed=0):
    """Two classes that a kernel tells apart if it is neither too wide nor too narrow."""
    X = np.random.default_rng(seed).uniform(0, 4, (n, 2))
    return X, np.floor(X).sum(axis=1).astype(int) % 2


def by_setting(result):
    """Give the table in the order of the grid's points."""
    table = result.table.assign(number=result.table["gamma"])
    return table.sort_values(["C", "number", "n_components"], ignore_index=True)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_parity_with_grid_search(n_classes, class_weight, dtype):
    """The same mean scores, to the last bit, and the same best setting."""
    X, y = overlapping(n_classes, 40, dtype)
    X, y = X[7:], 10 * y[7:] + 3
    Cs, gammas = [1.0, 10.0, 100.0], [0.02, 0.1, 0.5]
    theirs = GridSearchCV(
        SVC(tol=1e-5, class_weight=class_weight), {"C": Cs, "gamma": gammas}, cv=FOLDS
    ).fit(X, y)
    svc = RBFSVC(tol=1e-5, class_weight=class_weight)
    ours = search(svc, Grid(Cs, gammas), X, y, FOLDS.split(X, y))
    table = by_setting(ours)
    np.testing.assert_array_equal(table["score"], theirs.cv_results_["mean_test_score"])
    for i in range(3):
        expected = theirs.cv_results_[f"split{i}_test_score"]
        np.testing.assert_array_equal(table[f"split_{i + 1}"], expected)
    assert theirs.best_params_ == {"C": ours.best.C, "gamma": ours.best.gamma}
    assert ours.best.score == theirs.best_score_
    assert table["score"].nunique() > 4  # the problem tells settings apart


def test_of_those_tied_the_first_wins_as_in_grid_search():
    X, y = overlapping(3, 12)
    X[:, 0] += 50 * y  # every setting is right everywhere
    grid = {"C": [0.5, 5.0], "gamma": [0.01, 0.02]}
    theirs = GridSearchCV(SVC(), grid, cv=FOLDS).fit(X, y)
    ours = search(RBFSVC(), Grid([5.0, 0.5], [0.02, 0.01]), X, y, FOLDS.split(X, y))
    assert (ours.table["score"] == 1).all()
    assert {"C": ours.best.C, "gamma": ours.best.gamma} == theirs.best_params_
    assert ours.table["C"].tolist() == [0.5, 0.5, 5.0, 5.0]
    assert ours.table["gamma"].tolist() == [0.01, 0.02, 0.01, 0.02]


def test_fewest_components_win_a_tie():
    X, y = overlapping(3, 12)
    X[:, 0] += 50 * y
    grid = Grid([1.0], [0.01], [4, 2, 3])
    found = search(RBFSVC(), grid, X, y, FOLDS.split(X, y))
    assert found.table["n_components"].tolist() == [2, 3, 4]
    assert found.best.n_components == 2


def test_multiples_are_of_each_training_part():
    X, y = overlapping()
    X = X * np.linspace(0.5, 2, len(X))[:, None]  # parts differ in variance
    folds = list(FOLDS.split(X, y))
    found = search(RBFSVC(), Grid([3.0], ["2x"], [2, 4]), X, y, folds)
    for row in found.table.itertuples():
        parts = [X[train, : row.n_components] for train, _ in folds]
        scales = [2 / (row.n_components * part.var()) for part in parts]
        np.testing.assert_allclose(row.gamma, np.mean(scales), rtol=1e-12)
        for number, (gamma, (train, held_out)) in enumerate(zip(scales, folds, strict=True), 1):
            svc = SVC(C=3.0, gamma=gamma).fit(X[train, : row.n_components], y[train])
            score = svc.score(X[held_out, : row.n_components], y[held_out])
            assert getattr(row, f"split_{number}") == score
    assert found.best.point.gamma == Gamma(2.0, True)
    assert found.best.gamma == found.table["gamma"][0]


def test_nothing_that_is_fitted_sees_held_out_samples():
    """Whatever the held-out samples are, the same is trained."""
    X, y = overlapping()
    train, held_out = next(FOLDS.split(X, y))
    points = Grid([1.0, 10.0], ["1x", "4x"], [2, 4]).points
    rng = np.random.default_rng(0)
    seen = []
    for garbage in (X[held_out], 1e3 * rng.normal(size=X[held_out].shape)):
        part = Part(X[train], y[train], garbage, y[held_out])
        seen.append(evaluate_points(part, points, RBFSVC()))
    for name in ("gamma", "n_iter", "n_support", "unconverged"):
        np.testing.assert_array_equal(getattr(seen[0], name), getattr(seen[1], name))
    assert (seen[0].accuracy > seen[1].accuracy).all()


def test_shuffled_labels_give_chance():
    """Within 4.5 standard deviations of it, for the luckiest of eight settings too."""
    X, y = overlapping(4, 100)
    y = np.random.default_rng(1).permutation(y)
    found = search(RBFSVC(), Grid([1, 10], ["0.5x", "2x"], [2, 4]), X, y, FOLDS.split(X, y))
    deviation = np.sqrt(0.25 * 0.75 / len(y))
    assert abs(found.table["score"] - 0.25).max() < 4.5 * deviation


def test_a_class_that_is_never_trained_on_counts_as_wrong():
    X, y = overlapping(3, 20)
    train = np.flatnonzero(y < 2)
    held_out = np.arange(len(y))
    found = search(RBFSVC(), Grid([10.0], [0.5]), X, y, [(train, held_out)])
    expected = SVC(C=10.0, gamma=0.5).fit(X[train], y[train]).score(X, y)
    assert found.best.score == expected < 0.7


def test_one_split_has_the_error_and_interval_of_a_share():
    X, y = overlapping()
    split = next(FOLDS.split(X, y))
    found = search(RBFSVC(), Grid([1.0, 10.0], ["1x"]), X, y, [split])
    row, n = found.table.iloc[0], len(split[1])
    share = row["score"]
    assert row["std_error"] == pytest.approx(np.sqrt(share * (1 - share) / n))
    assert row["low"] < share < row["high"]
    assert (row["n_train"], row["n_held_out"], found.n_splits) == (len(split[0]), n, 1)


def test_folds_have_the_error_of_a_mean():
    X, y = overlapping()
    found = search(RBFSVC(), Grid([1.0, 1e-3], ["1x"]), X, y, FOLDS.split(X, y))
    scores = found.table[["split_1", "split_2", "split_3"]].to_numpy()
    np.testing.assert_allclose(found.table["score"], scores.mean(axis=1))
    expected = scores.std(axis=1, ddof=1) / np.sqrt(3)
    np.testing.assert_allclose(found.table["std_error"], expected)
    assert "low" not in found.table
    best = found.table.iloc[0]
    within = found.table["score"] >= best["score"] - best["std_error"]
    assert found.table["within"].tolist() == within.tolist()
    assert (found.best.score, found.best.std_error) == (best["score"], best["std_error"])


def test_the_edge_of_the_grid_is_told():
    X, y = checkerboard(300)
    split = [next(FOLDS.split(X, y))]
    wide = search(RBFSVC(), Grid([1e-6, 10, 1e7], [1e-6, 2, 1e4]), X, y, split)
    assert (wide.best.C, wide.best.gamma) == (10, 2)
    assert wide.edges == []
    low = search(RBFSVC(), Grid([10], ["10x", "9999x"], [2]), X, y, split)
    assert low.edges == ["the best gamma, 10x, is the smallest that was searched"]
    high = search(RBFSVC(), Grid([1e-6, 10], [1e-6, 2], [1, 2]), X, y, split)
    assert high.edges == [
        "the best C, 10, is the largest that was searched",
        "the best gamma, 2, is the largest that was searched",
        "the best number of components, 2, is the largest that was searched",
    ]


def test_each_part_is_made_once():
    X, y = overlapping(3, 90)
    split = next(FOLDS.split(X, y))
    made = []

    def make():
        made.append(1)
        return Part(X[split[0]], y[split[0]], X[split[1]], y[split[1]])

    search_parts(RBFSVC(), Grid(), [make, make])
    assert len(made) == 2


def test_unconverged_pairs_are_not_silent():
    X, y = overlapping()
    grid = Grid([1.0, 100.0], ["1x"])
    with pytest.warns(ConvergenceWarning, match=r"12 pairs of 2 settings ended .*max_iter=3"):
        found = search(RBFSVC(max_iter=3), grid, X, y, [next(FOLDS.split(X, y))])
    assert found.table["unconverged"].tolist() == [6, 6]
    assert found.table["n_iter"].tolist() == [18, 18]


BAD_SEARCHES = [
    ({"svc": RBFSVC(backend="sklearn")}, r"backend 'numba' alone. Got 'sklearn'"),
    ({"svc": RBFSVC(break_ties=True)}, "scores by votes alone"),
    ({"splits": []}, "needs a split to score on. Got none"),
    ({"grid": Grid([1], [1], [5])}, "components to search must be at most 4.* Got 5"),
    ({"svc": RBFSVC(class_weight={0: 0.0})}, "must be above 0 for an SVM. Got 0"),
]


@pytest.mark.parametrize(("changed", "message"), BAD_SEARCHES)
def test_bad_searches(changed, message):
    X, y = overlapping()
    values = {"svc": RBFSVC(), "grid": Grid([1], [1]), "splits": [next(FOLDS.split(X, y))]}
    values |= changed
    with pytest.raises(InputError, match=message):
        search(values["svc"], values["grid"], X, y, values["splits"])


def test_bad_samples():
    X, y = overlapping()
    split = [next(FOLDS.split(X, y))]
    with pytest.raises(InputError, match="Got 1 class: 0"):
        search(RBFSVC(), Grid([1], [1]), X, np.zeros_like(y), split)
    X[split[0][0][3], 2] = np.nan
    with pytest.raises(InputError, match="Got NaN in row 3, column 2"):
        search(RBFSVC(), Grid([1], [1]), X, y, split)
    with pytest.raises(ValueError, match="'tol' parameter"):
        search(RBFSVC(tol=0.0), Grid([1], [1]), X, y, split)


def test_the_memory_limit_is_kept():
    X, y = overlapping()
    split = [next(FOLDS.split(X, y))]
    with pytest.raises(MemoryLimitError, match=r"Got 1\.953 KiB instead"):
        search(RBFSVC(memory_limit=2000), Grid([1], [1]), X, y, split)
    found = search(RBFSVC(memory_limit="1GB"), Grid([1], [1]), X, y, split)
    assert found.memory_plan.startswith("whole kernel matrix, blocks within classes kept, ")


def test_settings_that_do_not_fit_together_are_fitted_one_by_one():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], [300, 250, 40])
    X = rng.normal(size=(590, 3)) + y[:, None]
    grid, split = Grid([0.1, 1, 10], ["0.5x", "2x"]), list(FOLDS.split(X, y))
    svc = RBFSVC(tol=1e-6)
    together = search(svc, grid, X, y, split)
    alone = search(clone(svc).set_params(memory_limit="450kB"), grid, X, y, split)
    assert "kernel rows made on demand" in alone.memory_plan
    assert "each setting by itself" in alone.memory_plan
    one, other = by_setting(together), by_setting(alone)
    np.testing.assert_allclose(one["score"], other["score"], rtol=0, atol=1e-12)
    np.testing.assert_allclose(one["n_support"], other["n_support"], atol=2)


def test_samples_of_other_types_are_taken():
    X, y = overlapping()
    X = np.round(10 * X).astype(int)
    folds = list(FOLDS.split(X, y))
    names = np.array(["ant", "bee", "cat", "dog"])[y]
    found = search(RBFSVC(), Grid([1.0], [0.01]), X.tolist(), names.tolist(), folds)
    theirs = GridSearchCV(SVC(), {"C": [1.0], "gamma": [0.01]}, cv=folds).fit(X, names)
    assert found.best.score == theirs.best_score_


def test_as_easy_as_grid_search():
    X, y = overlapping()
    frame = pd.DataFrame(X, columns=list("abcd"))
    names = np.array(["ant", "bee", "cat", "dog"])[y]
    found = search_svc(frame, names, C=[1, 10], gamma=[0.01, 0.1], cv=3)
    theirs = GridSearchCV(SVC(), {"C": [1, 10], "gamma": [0.01, 0.1]}, cv=3).fit(frame, names)
    assert {"C": found.best.C, "gamma": found.best.gamma} == theirs.best_params_
    assert found.best.score == theirs.best_score_
    best = found.best_estimator
    np.testing.assert_array_equal(best.predict(frame), theirs.best_estimator_.predict(frame))
    np.testing.assert_array_equal(best.feature_names_in_, frame.columns)
    assert isinstance(found.table, pd.DataFrame)
    assert len(found.table) == 4


def test_single_values_splitters_and_parameters():
    X, y = overlapping()
    svc = RBFSVC(class_weight="balanced", n_jobs=1)
    found = search_svc(X, y, C=3, gamma="scale", cv=GroupKFold(3).split(X, y, y + 4), svc=svc)
    assert found.n_splits == 3
    parameters = {"C": 3.0, "gamma": found.best.gamma, "class_weight": "balanced", "n_jobs": 1}
    assert found.best_estimator.get_params().items() >= parameters.items()
    assert not hasattr(svc, "classes_")
    assert svc.C == 1.0
    found = search_svc(X, y, C=np.logspace(0, 1, 2), gamma=0.1, n_components=[2], cv=FOLDS)
    assert found.best_estimator.n_features_in_ == 2
    assert len(search_svc(X, y, cv=2, refit=False).table) == 25


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"svc": SVC()}, r"is of an RBFSVC. Got SVC\(\) instead.*GridSearchCV"),
        ({"svc": make_pipeline(StandardScaler(), RBFSVC())}, "is of an RBFSVC. Got Pipeline"),
        ({"svc": RBFSVC}, "is of an RBFSVC. Got <class"),
        ({"svc": RBFSVC(kernel="linear")}, "'kernel' parameter .* Use svmcifar.SVC"),
        ({"gamma": "auto"}, "A gamma must be a number above 0"),
        ({"gamma": [0.1, "scale"]}, "all numbers or all multiples"),
        ({"C": []}, "one or more values of C"),
        ({"C": np.inf}, "finite number above 0. Got inf"),
        ({"cv": 1}, "k-fold"),
        ({"cv": []}, "needs a split"),
        ({"y": np.linspace(0, 1, 120)}, "Unknown label type"),
        ({"y": np.zeros(7)}, "inconsistent numbers of samples"),
        ({"X": csr_array(np.eye(120))}, "dense data is required"),
    ],
)
def test_what_search_svc_cannot_do(arguments, message):
    X, y = overlapping()
    with pytest.raises((ValueError, TypeError), match=message) as caught:
        search_svc(**({"X": X, "y": y, "cv": 3} | arguments))
    assert "\n" not in str(caught.value)
