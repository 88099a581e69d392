"""The same model from a GPU as from scikit-learn and the CPU backend; see conftest.py."""

import numpy as np
import pytest
from gpu_problems import SIMULATED, draw, here
from parity import assert_same_model
from problems import N_PROBLEMS, Problem, random_problem
from sklearn.svm import SVC

from svmcifar import RBFSVC
from svmcifar.compute.arrays import is_host, to_device, to_host
from svmcifar.errors import InputError, MemoryLimitError
from svmcifar.features.fitting import compute_features, fit_features
from svmcifar.features.pipeline import make_feature_pipeline
from svmcifar.features.settings import FeatureSettings
from svmcifar.svm.backends import cupy_ovo

pytestmark = pytest.mark.gpu

# Of 2, 3 and 5 classes, on the host, with a stand-in for CuPy.
NUMBERS = here(list(range(N_PROBLEMS)), [0, 1, 3])
FITTED = ("support_", "support_vectors_", "n_support_", "dual_coef_", "intercept_", "n_iter_")
FITTED += ("gap_", "objective_", "classes_", "class_weight_", "_support_sq_norms")


def problem_of(number, dtype):
    """One of the CPU suite's problems; on the host a quarter of each class, at a small C."""
    problem = random_problem(number).astype(dtype)
    if not SIMULATED:
        return problem
    rows = np.sort(np.concatenate([np.flatnonzero(problem.y == c)[:4] for c in set(problem.y)]))
    weight = None if problem.sample_weight is None else problem.sample_weight[rows]
    params = {**problem.params, "C": min(problem.params["C"], 10.0)}
    return Problem(problem.X[rows], problem.y[rows], problem.Z, weight, params)


def assert_close(ours, theirs, Z, *, rtol, atol):
    """Compare two of our models: objective, gap, decision values, and predictions they make sure.

    `rtol` is of the objectives, `atol` of decision values.
    """
    np.testing.assert_array_equal(ours.classes_, theirs.classes_)
    np.testing.assert_allclose(ours.gamma_, theirs.gamma_, rtol=1e-6)
    np.testing.assert_allclose(ours.objective_, theirs.objective_, rtol=rtol)
    assert (ours.gap_ <= ours.tol).all()
    values = [model.decision_function(Z) for model in (ours, theirs)]
    np.testing.assert_allclose(*values, rtol=0, atol=atol)
    differ = ours.predict(Z) != theirs.predict(Z)
    least = np.abs(values[1]).reshape(len(Z), -1).min(axis=1)
    assert not (differ & (least > atol)).any()
    assert differ.mean() < 0.02


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize(
    ("dtype", "objective_rtol", "decision_atol"),
    [(np.float64, 1e-8, 1e-4), (np.float32, 1e-6, 0.1)],
)
def test_random_problem(number, dtype, objective_rtol, decision_atol):
    """As tests/svm/test_parity.py does on the CPU, with its limits."""
    problem = problem_of(number, dtype)
    ours = problem.fit(RBFSVC, tol=1e-6, backend="cupy")
    assert ours.backend_ == "cupy"
    theirs = problem.fit(SVC, tol=1e-6)
    assert_same_model(problem, ours, theirs, 1e-6, objective_rtol, decision_atol)


@pytest.mark.parametrize("on_gpu", [False, True], ids=["host arrays", "device arrays"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("C", here([0.01, 1.0, 1e3], [0.01, 1.0]))
@pytest.mark.parametrize(
    "sizes", here([[300, 200], [500, 3, 200], [90, 150, 60, 210, 30]], [[4, 5], [3, 1, 4]])
)
def test_the_model_is_that_of_the_cpu(sizes, C, dtype, on_gpu):
    X, y = draw(sizes, here(48, 6), dtype)
    Z = draw(sizes, here(48, 6), dtype, seed=1)[0]
    settings = {"C": C, "tol": 1e-6, "decision_function_shape": "ovo"}
    theirs = RBFSVC(**settings, backend="numba").fit(X, y)
    ours = RBFSVC(**settings, backend="cupy").fit(to_device(X) if on_gpu else X, y)
    if dtype == np.float32:  # rounded distances move an optimum by their error times C
        limits = {"rtol": 1e-5 * max(1.0, C / 100), "atol": 1e-3 * max(1.0, C)}
    else:
        limits = {"rtol": 1e-8, "atol": 1e-4}
    assert_close(ours, theirs, Z, **limits)
    for name in FITTED:
        assert type(getattr(ours, name)) is np.ndarray, name
    assert ours.support_vectors_.dtype == dtype


def test_prediction_on_the_gpu():
    """From one model: with samples on the host, and with samples on the GPU."""
    sizes = here([400, 100, 300, 50], [4, 2, 3])
    X, y = draw(sizes, here(48, 6))
    Z = draw(sizes, here(48, 6), seed=1)[0]
    for backend in ("numba", "cupy"):
        model = RBFSVC(backend=backend, decision_function_shape="ovo").fit(X, y)
        values, device_values = (model.decision_function(A) for A in (Z, to_device(Z)))
        assert type(device_values) is np.ndarray
        np.testing.assert_allclose(device_values, values, rtol=0, atol=1e-4)
        differ = model.predict(to_device(Z)) != model.predict(Z)
        assert not (differ & (np.abs(values).min(axis=1) > 1e-4)).any()
        labels, both = model.predict_with_decisions(to_device(Z))
        np.testing.assert_array_equal(labels, model.predict(to_device(Z)))
        np.testing.assert_array_equal(both, device_values)


def test_the_cpu_backends_refuse_device_arrays():
    X, y = draw([4, 5], 6)
    with pytest.raises(InputError, match="must be on the host for the backend 'numba'"):
        RBFSVC(backend="numba").fit(to_device(X), y)


def test_a_memory_limit_changes_nothing_but_the_tiles(monkeypatch):
    sizes = here([800, 700, 600, 900, 500], [2, 3, 2, 3])
    X, y = draw(sizes, here(48, 6))
    tiles = []
    kernel_matrix = cupy_ovo.kernel_matrix

    def counted(kernel, X, *arguments):
        tiles.append(X.shape[0])
        return kernel_matrix(kernel, X, *arguments)

    monkeypatch.setattr(cupy_ovo, "kernel_matrix", counted)
    settings = {"backend": "cupy", "tol": 1e-6, "decision_function_shape": "ovo"}
    whole = RBFSVC(**settings).fit(to_device(X), y)
    assert tiles == [sum(sizes)]
    limited = RBFSVC(**settings, memory_limit=here("16MiB", "600B")).fit(to_device(X), y)
    assert len(tiles) > 3
    assert max(tiles[1:]) < sum(sizes)
    assert_close(limited, whole, X[:200], rtol=1e-6, atol=1e-3)
    with pytest.raises(MemoryLimitError, match="The GPU memory for kernel values must be"):
        RBFSVC(**settings, memory_limit="100B").fit(to_device(X), y)


@pytest.mark.parametrize("n_components", [None, 5])
def test_features_on_the_gpu(n_components):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (here(6000, 60), here(3072, 48)), dtype=np.uint8)
    images[:, 0] = 7  # has no spread
    images[:, 1::2] //= 3  # spreads unlike the others
    others = images[::-2].copy()
    on_host = fit_features(
        make_feature_pipeline(FeatureSettings(n_components=n_components)), images
    )
    on_gpu = fit_features(
        make_feature_pipeline(FeatureSettings(n_components=n_components)), to_device(images)
    )
    expected, features = compute_features(on_host, others), []
    for pipeline in (on_host, on_gpu):
        device_features = compute_features(pipeline, to_device(others))
        assert not is_host(device_features)
        features.append(to_host(device_features))
    features.append(compute_features(on_gpu, others))
    for ours in features:
        assert ours.dtype == np.float32
        if n_components:  # axes of nearly equal spread may turn: not the space, if all are kept
            assert ours.shape == expected.shape
            ours, theirs = (np.square(A).sum(axis=0).sum() for A in (ours, expected))
            np.testing.assert_allclose(ours, theirs, rtol=1e-2)
        else:
            np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-4)


def test_cuml_gives_the_model_of_the_cpu():
    pytest.importorskip("cuml", reason="cuML is not installed")
    sizes = here([300, 150, 250, 100], [9, 8, 7])
    X, y = draw(sizes, here(48, 6))
    Z = draw(sizes, here(48, 6), seed=1)[0]
    settings = {"tol": 1e-4, "decision_function_shape": "ovo"}
    theirs = RBFSVC(**settings, backend="numba").fit(X, y)
    for A in (X, to_device(X)):
        ours = RBFSVC(**settings, backend="cuml").fit(A, y)
        assert ours.backend_ == "cuml"
        assert_close(ours, theirs, Z, rtol=1e-4, atol=1e-2)
