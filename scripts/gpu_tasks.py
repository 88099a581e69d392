"""One measurement of `bench_gpu.py`, in a process of its own: `measure` and what it consists of."""

import subprocess
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from statistics import median
from typing import Any

import numpy as np
from gpu_compare import answers_of, compare, load, save
from gpu_stages import (
    PeakMemory,
    best_of,
    hardware_limits,
    smo_bytes,
    timed,
    watch_fit,
)

C, TOL = 1.0, 1e-3
# Of fits that take more steps.
_LARGE_C = 10.0
# Fits of the first size compile; they are not what is measured.
_N_WARM_UP = 600
# No fit is repeated once all of them have taken so long.
_REPEAT_S = 15.0
_PACKAGES = ("cuda-bindings", "cuml-cu13", "cuml-cu12")


class Data:
    """Images and labels of one task, and their features on the GPU."""

    def __init__(self, task: dict) -> None:
        from svmcifar.data.registry import open_dataset
        from svmcifar.data.sampling import draw_rows

        dataset = open_dataset(task["data"])
        train, test = dataset.read_split("train"), dataset.read_split("test")
        n = min(task["n"], len(train.images))
        rows = draw_rows(train.classes, n, seed=0) if n < len(train.images) else slice(None)
        self.label = dataset.label
        self.images, self.test_images = train.images[rows], test.images[: task["n_test"]]
        kind = task["labels"]
        self.y = train.labels[kind][rows]
        self.y_test = test.labels[kind][: task["n_test"]]

    def features(self) -> dict[str, float]:
        """Compute features on the GPU, twice, and give the times of the second time.

        Sets ``X`` and ``Z``, of the training and test images, arrays on the GPU.
        """
        from svmcifar.compute.arrays import to_device
        from svmcifar.features.fitting import compute_features, fit_features
        from svmcifar.features.pipeline import make_feature_pipeline

        first_s = 0.0
        for _ in range(2):
            self.X = self.Z = None  # the first time's, before the second's are made
            upload_s, raw = timed(lambda: to_device(self.images))
            fit_s, pipeline = timed(lambda raw=raw: fit_features(make_feature_pipeline(), raw))
            compute_s, self.X = timed(lambda p=pipeline, raw=raw: compute_features(p, raw))
            first_s = first_s or upload_s + fit_s + compute_s
        self.Z = compute_features(pipeline, to_device(self.test_images))
        return {
            "upload_s": upload_s,
            "upload_bytes": self.images.nbytes,
            "fit_features_s": fit_s,
            "compute_features_s": compute_s,
            "first_features_s": first_s,
        }

    def features_off_by(self) -> float:
        """Return the largest difference of some images' features to those of the host."""
        from svmcifar.compute.arrays import to_host
        from svmcifar.features.fitting import compute_features, fit_features
        from svmcifar.features.pipeline import make_feature_pipeline

        some = self.images[:1000]
        on_host = compute_features(fit_features(make_feature_pipeline(), self.images), some)
        return float(np.abs(to_host(self.X[: len(some)]) - on_host).max())


def describe() -> dict:
    """Describe the GPU, its driver and the packages that work on it; or say why not.

    Returns
    -------
    dict
        ``why_no_cupy``, ``why_no_cuml``, and ``gpu`` if there is one.
    """
    from svmcifar.compute.gpu import device_summary
    from svmcifar.svm.backends.registry import BACKENDS

    reasons = {f"why_no_{name}": BACKENDS[name].why_not() for name in ("cupy", "cuml")}
    if reasons["why_no_cupy"]:
        return reasons
    import cupy

    try:
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        done = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True)
        driver = done.stdout.splitlines()[0].strip()
    except (OSError, subprocess.SubprocessError, IndexError):
        driver = f"for CUDA {cupy.cuda.runtime.driverGetVersion()}"
    versions = {"cupy": cupy.__version__}
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):
            versions[package] = version(package)
    return {**reasons, "gpu": {"summary": device_summary(), "driver": driver, "versions": versions}}


def measure(task: dict) -> dict:
    """Run one measurement.

    Parameters
    ----------
    task : dict
        ``solver``, ``labels`` ("coarse" or "fine"), ``n``, ``n_test``, ``data`` (as for
        `open_dataset`), ``work`` (a folder that the tasks share), ``memory_limit`` (None, or one
        to fit with as well; then also with a larger C).

    Returns
    -------
    dict
        JSON-ready.
    """
    data = Data(task)
    features = data.features()
    result = {
        "solver": task["solver"],
        "labels": task["labels"],
        "n": len(data.y),
        "n_test": len(data.y_test),
        "d": data.X.shape[1],
        "n_classes": len(np.unique(data.y)),
        "data": data.label,
        "features": features,
    }
    return result | SOLVERS[task["solver"]](task, data)


def _svc(backend: str, **settings: Any) -> Any:
    from svmcifar.svm.estimator import RBFSVC

    settings = {"C": C, "tol": TOL, "decision_function_shape": "ovo", **settings}
    return RBFSVC(backend=backend, **settings)


def _measure_cupy(task: dict, data: Data) -> dict:
    """Measure our own GPU backend, and leave its answers for other tasks to compare with."""
    limits = hardware_limits()
    result, svc = _time_solver(lambda: _svc("cupy"), data)
    result |= {"limits": limits, "features_off_by": data.features_off_by()}
    answers = answers_of(svc, data.Z)
    save(task, answers)
    with watch_fit() as stages:
        watched_s, _ = timed(lambda: _svc("cupy").fit(data.X, data.y))
    result["stages"] = _describe_stages(stages, watched_s, data.X.shape[1], limits)
    # A copy sorted by class, and its squared norms, are beside what is planned for the solver.
    result["fit_planned_bytes"] = stages.planned_bytes + data.X.nbytes + 4 * len(data.y)
    n_products = 2.0 * len(data.y_test) * len(svc.support_) * data.X.shape[1]
    result["predict_floor_s"] = n_products / limits["gemm_flops"]
    if task["memory_limit"]:
        limited = _svc("cupy", memory_limit=task["memory_limit"])
        with watch_fit() as stages:
            limited.fit(data.X, data.y)
        fit_s, _ = timed(lambda: limited.fit(data.X, data.y))
        result["limited"] = {
            "memory_limit": task["memory_limit"],
            "tiles": stages.tiles,
            "fit_s": fit_s,
            "parity": compare(answers, answers_of(limited, data.Z)),
        }
        times = [timed(lambda: _svc("cupy", C=_LARGE_C).fit(data.X, data.y)) for _ in range(3)]
        hard = times[0][1]
        result["large_C"] = {
            "C": _LARGE_C,
            "fit_s": median(seconds for seconds, _ in times),
            "steps": int(hard.n_iter_.sum()),
            "largest_gap": float(hard.gap_.max()),
        }
    return result


def _measure_numba(task: dict, data: Data) -> dict:
    """Measure the CPU backend on the very features that the GPU has."""
    from svmcifar.compute.arrays import to_host

    data.X, data.Z = to_host(data.X), to_host(data.Z)
    result, svc = _time_solver(lambda: _svc("numba"), data, repeats=1)
    return result | {"parity": compare(load(task), answers_of(svc, data.Z))}


def _measure_cuml(task: dict, data: Data) -> dict:
    """Measure our adapter of cuML's binary SVC."""
    result, svc = _time_solver(lambda: _svc("cuml"), data, repeats=1)
    return result | {"parity": compare(load(task), answers_of(svc, data.Z))}


def _measure_cuml_own(task: dict, data: Data) -> dict:
    """Measure cuML's own multiclass SVC, with gamma as a number that all its pairs share."""
    from cuml.svm import SVC

    from svmcifar.compute.arrays import to_device, to_host

    gamma = float(load(task)["gamma"])
    data.y = to_device(data.y)
    result, svc = _time_solver(
        lambda: SVC(C=C, tol=TOL, kernel="rbf", gamma=gamma), data, repeats=1
    )
    predicted = to_host(svc.predict(data.Z)).astype(np.int64)
    differ = int((predicted != load(task)["predicted"]).sum())
    return result | {"parity": {"predictions_that_differ": differ}}


SOLVERS: dict[str, Callable[[dict, Data], dict]] = {
    "cupy": _measure_cupy,
    "cuml": _measure_cuml,
    "cuml-own": _measure_cuml_own,
    "numba": _measure_numba,
}


def _time_solver(make: Callable[[], Any], data: Data, repeats: int = 3) -> tuple[dict, Any]:
    """Time fits and predictions from features that are where the solver wants them.

    The first fit, of a few samples, compiles what no measurement before it has: the cache of
    kernels is a folder that is empty when the benchmark starts.
    """
    from svmcifar.compute.arrays import take_rows, to_host

    rows = _few_of_each_class(to_host(data.y), _N_WARM_UP)
    few, labels = take_rows(data.X, rows), take_rows(data.y, rows)
    warm_up_s, _ = timed(lambda: make().fit(few, labels).predict(data.Z[:50]))
    with PeakMemory() as peak:
        seconds, svc = timed(lambda: make().fit(data.X, data.y))
    times = [seconds]
    while len(times) < repeats + 1 and repeats > 1 and sum(times) < _REPEAT_S:
        times.append(timed(lambda: make().fit(data.X, data.y))[0])
    with PeakMemory() as predict_peak:
        first_predict_s, predicted = timed(lambda: svc.predict(data.Z))
    # Once is enough for what takes long.
    predict_s = first_predict_s
    if repeats > 1 and first_predict_s < _REPEAT_S / repeats:
        predict_s = best_of(repeats - 1, lambda: svc.predict(data.Z))
    return {
        "warm_up_s": warm_up_s,
        "first_fit_s": times[0],
        "fit_s": median(times[1:] or times),
        "n_fits": len(times[1:] or times),
        "fit_peak_bytes": peak.n_bytes,
        "predict_s": predict_s,
        "predict_peak_bytes": predict_peak.n_bytes,
        "accuracy": float((to_host(predicted) == data.y_test).mean()),
    }, svc


def _few_of_each_class(y: np.ndarray, n: int) -> np.ndarray:
    """Choose about n samples, the first ones of each class."""
    order = np.argsort(y, kind="stable")
    starts = np.searchsorted(y[order], y[order])
    rank = np.arange(len(y)) - starts
    return np.sort(order[rank < max(2, n // len(np.unique(y)))])


def _describe_stages(stages: Any, fit_s: float, d: int, limits: dict) -> dict:
    """Set the stages of a fit against the limits."""
    seconds = stages.seconds
    values_s = seconds["rbf_float32"]
    products_s = seconds["kernel_matrix"] - values_s
    flops = sum(float(n) ** 2 * d for n in stages.tiles)
    # Half the products are read, and all kernel values written.
    value_bytes = sum(6.0 * n**2 for n in stages.tiles)
    n_samples, n_iter = (np.concatenate(parts) for parts in zip(*stages.launches, strict=True))
    slowest = max(stages.smo_kernels, key=seconds.__getitem__)
    requested, distinct = smo_bytes(n_samples, n_iter, slowest)
    bandwidth = limits["copy_bytes_per_s"]
    return {
        "watched_fit_s": fit_s,
        "products_s": products_s,
        "products_of_gemm_limit": flops / products_s / limits["gemm_flops"],
        "kernel_values_s": values_s,
        "kernel_values_of_copy_limit": value_bytes / values_s / bandwidth,
        "smo_s": stages.smo_s,
        "smo_steps": int(n_iter.sum()),
        "smo_longest_pair_steps": int(n_iter.max()),
        "smo_kernels": stages.smo_kernels,
        "smo_requested_bytes": requested,
        "smo_requested_of_copy_limit": requested / stages.smo_s / bandwidth,
        "smo_distinct_bytes": distinct,
        "smo_distinct_of_copy_limit": distinct / stages.smo_s / bandwidth,
        "download_s": seconds["launch_smo"] - stages.smo_s,
        "other_s": fit_s - seconds["kernel_matrix"] - seconds["launch_smo"],
        "fit_floor_s": flops / limits["gemm_flops"] + distinct / bandwidth,
        "tiles": stages.tiles,
    }
