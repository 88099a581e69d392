"""Models that imply mirror images (`n_odd`), against models that are trained on them."""

import io

import numpy as np
import pytest
from exported import run
from libsvmfiles import decision_values

from svmcifar import RBFSVC, SVC, load_model, save_model
from svmcifar.errors import InputError
from svmcifar.svm.backends import memory_plan, numba_ovo
from svmcifar.svm.libsvm_export import write_libsvm
from svmcifar.svm.onnx_export import to_onnx

N_ODD = 3
TOL = 1e-6


def draw(n_classes, dtype, n=90, seed=0, offset=0.0):
    rng = np.random.default_rng([seed, n_classes])
    y = rng.permutation(np.arange(n) % n_classes)
    X = rng.normal(size=(n, 8))
    X[:, :3] += 0.5 * y[:, None] + offset
    X[:, -N_ODD:] += rng.choice([-1.0, 1.0], (n, 1))
    return X.astype(dtype), y


def both(X):
    """Each sample, and its mirror image after it."""
    Z = np.repeat(X, 2, axis=0)
    Z[1::2, -N_ODD:] *= -1
    return Z


def pairwise(model, X):
    """Decision values of the pairs, whatever `decision_function` returns."""
    shaped = model.set_params(decision_function_shape="ovo").decision_function(X)
    return shaped.reshape(len(X), -1)


def assert_same(implied, explicit, X):
    """Two models, each solved to TOL, whose decision values at both images are the same."""
    expected = pairwise(explicit, both(X))
    for values in (pairwise(implied, X), pairwise(implied, both(X)[1::2])):
        np.testing.assert_allclose(values, expected[::2], rtol=0, atol=20 * TOL)
        np.testing.assert_allclose(values, expected[1::2], rtol=0, atol=20 * TOL)
    np.testing.assert_allclose(implied.gamma_, explicit.gamma_, rtol=1e-12)
    np.testing.assert_allclose(2 * implied.objective_, explicit.objective_, rtol=1e-6)
    assert (implied.gap_ <= 3 * TOL).all()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # LIBSVM's gap
@pytest.mark.parametrize("backend", ["numba", "sklearn"])
@pytest.mark.parametrize("offset", [0.0, 40.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_the_model_is_that_of_both_images(n_classes, dtype, offset, backend):
    """With class and sample weights, and gamma and centre of both."""
    X, y = draw(n_classes, dtype, offset=offset)
    weight = np.random.default_rng(1).uniform(0.5, 2.0, len(y))
    weight[0] = 0.0
    svc = RBFSVC(C=3.0, tol=TOL, class_weight="balanced", backend=backend)
    implied = svc.fit(X, y, weight, n_odd=N_ODD)
    explicit = RBFSVC(C=3.0, tol=TOL, class_weight="balanced").fit(
        both(X), np.repeat(y, 2), np.repeat(weight, 2)
    )
    assert_same(implied, explicit, draw(n_classes, dtype, 40, 1, offset)[0])


def test_odd_features_are_not_centred():
    """They may have a mean by chance, or since all images look to one side."""
    X, y = draw(3, np.float32, offset=40.0)
    X[:, -N_ODD:] += 10.0
    implied = RBFSVC(tol=TOL).fit(X, y, n_odd=N_ODD)
    assert_same(implied, RBFSVC(tol=TOL).fit(both(X), np.repeat(y, 2)), X[:20])


@pytest.mark.parametrize("gamma", [3e-3, 300.0])
def test_rounding_is_bounded(gamma):
    """Large coefficients, and a kernel far narrower than samples are large."""
    X, y = draw(3, np.float32, offset=40.0)
    svc = RBFSVC(C=1e4, gamma=gamma, tol=TOL, max_iter=10**7)
    explicit = RBFSVC(C=1e4, gamma=gamma, tol=TOL, max_iter=10**7)
    implied = svc.fit(X, y, n_odd=N_ODD)
    explicit.fit(both(X).astype(np.float64), np.repeat(y, 2))
    expected = pairwise(explicit, X[:20].astype(np.float64))
    np.testing.assert_allclose(pairwise(implied, X[:20]), expected, rtol=0, atol=50 * TOL)


def test_on_rows_made_on_demand(monkeypatch):
    X, y = draw(3, np.float32)
    expected = RBFSVC(tol=TOL).fit(X, y, n_odd=N_ODD)
    monkeypatch.setattr(memory_plan, "_MANY_SAMPLES", 10)
    implied = RBFSVC(tol=TOL).fit(X, y, n_odd=N_ODD)
    assert "made on demand" in implied.memory_plan_
    np.testing.assert_allclose(pairwise(implied, X), pairwise(expected, X), rtol=0, atol=20 * TOL)


def test_products_count_in_the_memory_plan(monkeypatch):
    """Two of a value: neither can be computed in its place."""
    made = []

    def spy(*args):
        made.append(memory_plan.make_plan(*args))
        return made[-1]

    monkeypatch.setattr(numba_ovo, "make_plan", spy)
    X, y = draw(3, np.float32)
    RBFSVC(n_jobs=1).fit(X, y, n_odd=N_ODD)
    samples, tile, within = 90 * 8, 90 * 90, 3 * 30 * 30
    assert made[0].n_bytes == 4 * (samples + tile + within + 2 * tile)


def test_probabilities():
    """Folds are drawn from the samples' values, so that they differ."""
    X, y = draw(3, np.float32, n=300)
    implied = RBFSVC(probability=True).fit(X, y, n_odd=N_ODD)
    explicit = RBFSVC(probability=True).fit(both(X), np.repeat(y, 2), n_views=2)
    p = implied.predict_proba(X)
    np.testing.assert_array_equal(implied.predict_proba(both(X)[1::2]), p)
    assert np.abs(p - explicit.predict_proba(X)).mean() < 0.03


@pytest.mark.parametrize("n_classes", [2, 4])
def test_exports_have_mirror_images_as_support_vectors(n_classes):
    X, y = draw(n_classes, np.float32)
    Z = draw(n_classes, np.float32, 20, 1)[0]
    svc = SVC(C=3.0, decision_function_shape="ovo").fit(X, y, n_odd=N_ODD)
    expected = svc.decision_function(Z)
    there = svc.to_sklearn()
    assert len(there.support_vectors_) == 2 * len(svc.support_)
    np.testing.assert_allclose(there.decision_function(Z), expected, atol=1e-5)
    scores = run(to_onnx(svc), X=Z)["scores"]
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    write_libsvm(svc, file := io.StringIO())
    values, _ = decision_values(file.getvalue(), np.pad(Z, ((0, 0), (1, 0))))
    sign = -1.0 if n_classes == 2 else 1.0
    np.testing.assert_allclose(sign * values, expected.reshape(values.shape), atol=1e-5)
    assert svc.n_odd_ == N_ODD


def test_files_hold_it(tmp_path):
    X, y = draw(3, np.float32)
    svc = RBFSVC().fit(X, y, n_odd=N_ODD)
    save_model(svc, tmp_path / "svc.skops")
    loaded = load_model(tmp_path / "svc.skops")
    assert loaded.n_odd_ == N_ODD
    np.testing.assert_array_equal(loaded.decision_function(X), svc.decision_function(X))
    svc.fit(X, y)
    assert svc.n_odd_ == 0
    assert "n_odd_" not in vars(svc)


@pytest.mark.parametrize(
    ("svc", "n_odd", "message"),
    [
        (RBFSVC(), 9, "must be from 0 to 8, all there are. Got n_odd=9"),
        (RBFSVC(), -1, "Got n_odd=-1"),
        (RBFSVC(), 1.0, "Got n_odd=1.0"),
        (SVC(kernel="laplacian"), 2, "with the kernel 'rbf' alone. Got n_odd=2 with the kernel"),
    ],
)
def test_what_it_cannot_be(svc, n_odd, message):
    X, y = draw(3, np.float64)
    with pytest.raises(InputError, match=message):
        svc.fit(X, y, n_odd=n_odd)
    assert "n_odd_" not in vars(svc)
