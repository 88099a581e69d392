"""The GPU benchmark: its counts and tables, and all of it with kernels compiled for the host."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from time import perf_counter, sleep
from types import SimpleNamespace

import numpy as np
import pytest
from datafiles import make_fields, write_fields, write_sums
from parity import is_certain as reference_is_certain

TOP = Path(__file__).parents[2]
sys.path.append(str(TOP / "scripts"))

import bench_gpu  # noqa: E402
import gpu_compare  # noqa: E402
import gpu_stages  # noqa: E402
import gpu_tables  # noqa: E402


@pytest.fixture
def few_images(tmp_path):
    """A data set of 4 fine classes in 3 superclasses: 24 training and 12 test images."""
    folder = tmp_path / "few"
    folder.mkdir()
    middle = np.random.default_rng(9).integers(60, 190, (4, 3072))
    for name, per_class in (("train", 6), ("test", 3)):
        fine = np.tile(np.arange(4), per_class)
        noise = np.random.default_rng(per_class).normal(0, 60, (len(fine), 3072))
        fields = make_fields(name) | {
            "fine_labels": fine.tolist(),
            "coarse_labels": np.array([0, 0, 1, 2])[fine].tolist(),
            "filenames": [f"picture_{i}.png" for i in range(len(fine))],
            "data": np.clip(middle[fine] + noise, 0, 255).astype(np.uint8),
        }
        write_fields(folder / name, fields)
    write_fields(folder / "meta", make_fields("meta"))
    write_sums(folder)
    return folder


def run_on_the_host(*command):
    paths = (TOP / "tests/bare_machine", TOP / "tests/standins", TOP)
    variables = {"PYTHONPATH": os.pathsep.join(map(str, paths))}
    return subprocess.run(
        [sys.executable, *map(str, command)],
        env=os.environ | variables, cwd=TOP, capture_output=True, text=True,
    )  # fmt: skip


def numbers_of(value):
    """All numbers in nested dicts and lists."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [number for item in value for number in numbers_of(item)]
    return [value] if isinstance(value, int | float) else []


def test_all_of_it_on_the_host(few_images, tmp_path):
    out = tmp_path / "out"
    done = run_on_the_host(
        "scripts/bench_gpu.py", "--data", few_images, "--size", 12, "--n-test", 12,
        "--memory-limit", "600B", "--budget", 500, "--out", out,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((out / "bench.json").read_text())
    results = {(r["solver"], r["labels"]): r for r in report["results"]}
    assert set(results) == {
        ("cupy", "coarse"), ("cupy", "fine"), ("numba", "coarse"), ("numba", "fine"),
        ("cuml", "coarse"), ("cuml-own", "coarse"),
    }  # fmt: skip
    assert all(map(math.isfinite, numbers_of(report)))
    assert report["gpu"]["summary"].startswith("simulated GPU")
    assert {"cupy", "numpy"} <= set(report["versions"])
    assert "skops" not in report["versions"]  # a bare machine lacks it
    assert report["data"].startswith("SYNTHETIC")
    assert (report["failures"], report["notes"]) == ([], [])
    for (solver, labels), r in results.items():
        assert (r["n"], r["n_test"], r["d"]) == (12, 12, 3072)
        assert r["n_classes"] == (3 if labels == "coarse" else 4)
        times = ("warm_up_s", "first_fit_s", "fit_s", "predict_s", "fit_peak_bytes")
        assert all(r[name] > 0 for name in times)
        assert 0 <= r["accuracy"] <= 1
        if solver == "cupy":
            check_stages(r)
        elif solver == "cuml-own":
            assert r["parity"] == {"predictions_that_differ": 0}
        else:
            check_parity(r["parity"])
            assert r["parity"]["decision_values_off_by"] > 0
    limited = results["cupy", "coarse"]["limited"]
    assert limited["tiles"] == [9, 9, 6]
    check_parity(limited["parity"])
    large = results["cupy", "coarse"]["large_C"]
    assert large["C"] == 10
    assert large["steps"] > 0
    assert 0 <= large["largest_gap"] <= 1e-3
    assert not {"limited", "large_C"} & results["cupy", "fine"].keys()
    assert gpu_tables.report_text(report) == (out / "bench.txt").read_text()
    assert gpu_tables.report_markdown(report) == (out / "bench.md").read_text()
    assert (out / "bench.txt").read_text() in done.stdout


FEW_BLOCKS = """
import gpu_blocks

gpu_blocks.CANDIDATES = {"fine": [(32, 1, 1), (64, 1, 2)], "coarse": [(32, 2, 1)], "double": []}
gpu_blocks.main()
"""


def test_blocks_of_other_sizes_are_timed(few_images, tmp_path):
    """Those with no place for a pair are left out."""
    code = f"import sys\nsys.path.append({str(TOP / 'scripts')!r})\n{FEW_BLOCKS}"
    few = ("--data", few_images, "--size", 24)
    done = run_on_the_host("-c", code, *few, "--out", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "blocks.json").read_text())
    names = {kind: [row["kernel"] for row in rows] for kind, rows in found.items()}
    assert names == {
        "fine": ["package's own", "smo_32x1x1", "smo_64x1x2"],
        "coarse": ["package's own", "smo_32x2x1"],
        "double": ["package's own"],
    }
    for own, *others in found.values():
        assert own["steps"] > 0
        assert all(row["same"] and row["steps"] == own["steps"] for row in others)
        assert all(row["seconds"] > 0 for row in (own, *others))


def check_stages(r):
    stages, features = r["stages"], r["features"]
    assert stages["tiles"] == [12]
    assert stages["smo_kernels"] == ["smo_1024"]
    assert stages["smo_steps"] >= stages["smo_longest_pair_steps"] > 0
    fractions = [name for name in stages if name.endswith("_limit")]
    assert len(fractions) == 4
    assert all(stages[name] > 0 for name in fractions)
    parts = ("products_s", "kernel_values_s", "smo_s", "download_s", "other_s")
    np.testing.assert_allclose(sum(stages[name] for name in parts), stages["watched_fit_s"])
    assert all(stages[name] > 0 for name in parts)
    assert features["upload_bytes"] == 12 * 3072
    assert min(features["upload_s"], features["compute_features_s"]) > 0
    assert r["features_off_by"] < 1e-4
    assert r["predict_floor_s"] > 0
    # A sorted copy with its norms, two blocks of products, K and the solver's state.
    others = 12 * (4 * 3072 + 4) + 2 * 4096**2 * 4
    assert others + 12**2 * 4 < r["fit_planned_bytes"] < others + 10_000


def check_parity(parity):
    assert parity["predictions_judged"] == 12
    assert parity["predictions_that_differ"] == parity["of_these_differ"] == 0
    assert parity["predictions_that_stay"] > 6
    assert 0 <= parity["objective_off_by"] < 1e-5
    assert 0 <= parity["decision_values_off_by"] < gpu_compare.DECISION_BAND


def test_without_a_gpu_it_is_one_line(tmp_path):
    done = subprocess.run(
        [sys.executable, TOP / "scripts/bench_gpu.py", "--out", tmp_path],
        env=os.environ | {"CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(TOP)},
        capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: The benchmark needs a GPU: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("kernel", ["smo_1024", "smo_shared", "smo_global"])
def test_the_bytes_of_a_step_are_those_that_the_kernel_asks_for(kernel):
    """Counted in the loops of smo.cu as they are written down here."""
    n, steps, count = 7, 3, {"K": 0, "v": 0, "box": 0}
    for step in range(steps + 1):
        count["K"] += 4 * n  # row i, to choose j
        count["v"] += 8 * n
        count["box"] += (8 + 8) * n  # coefficient and bound
        if step < steps:
            count["K"] += (4 if kernel == "smo_1024" else 8) * n  # row j, and row i if it must
            count["v"] += 2 * 8 * n
            count["box"] += (8 + 8) * n
    expected = sum(count.values()) if kernel == "smo_global" else count["K"]
    requested, distinct = gpu_stages.smo_bytes(np.array([n, n]), np.array([steps, steps]), kernel)
    assert requested == 2 * expected
    assert distinct == 2 * steps * 2 * 4 * n


def test_peak_memory_is_the_least_free_below_what_was_before(monkeypatch):
    free = iter([1000, 900, 400, *[700] * 10_000])
    runtime = SimpleNamespace(memGetInfo=lambda: (next(free), 0))
    pool = SimpleNamespace(free_all_blocks=lambda: None)
    cupy = SimpleNamespace(
        cuda=SimpleNamespace(runtime=runtime), get_default_memory_pool=lambda: pool
    )
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    with gpu_stages.PeakMemory() as peak:
        end = perf_counter() + 30
        while peak.n_bytes < 600 and perf_counter() < end:
            sleep(0.01)
    assert peak.n_bytes == 600


@pytest.mark.parametrize("band", [0.0, 0.3, 1.0])
def test_is_certain(band):
    """Against the tests' own, which test_parity.py relies on."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(200, 10))
    predicted = rng.integers(5, size=200)
    ours = gpu_compare.is_certain(predicted, 5, values, band)
    expected = reference_is_certain(predicted, 5, values, np.full(10, band))
    np.testing.assert_array_equal(ours, expected)
    assert (band == 1.0) or ours.any()


def answers(values, predicted, objective=(1.0, 2.0, 3.0)):
    return {
        "values": np.array(values),
        "predicted": np.array(predicted),
        "objective": -np.array(objective),
        "classes": np.array([3, 5, 9]),
    }


def test_compare_tells_apart_what_tolerance_explains():
    sure, unsure = [1.0, 1.0, 1.0], [0.001, 1.0, 1.0]  # the first class, or near the second
    base = answers([sure, unsure], [3, 3, 9])
    other = answers([sure, [-0.002, 1.0, 1.0]], [3, 5, 9], (1.0, 2.0, 3.00003))
    found = gpu_compare.compare(base, other)
    assert (found["predictions_that_differ"], found["of_these_differ"]) == (1, 0)
    assert (found["predictions_judged"], found["predictions_that_stay"]) == (2, 1)
    np.testing.assert_allclose(found["decision_values_off_by"], 0.003)
    np.testing.assert_allclose(found["objective_off_by"], 1e-5, rtol=1e-6)
    found = gpu_compare.compare(base, answers([sure, unsure], [5, 3, 3]))
    assert (found["predictions_that_differ"], found["of_these_differ"]) == (2, 1)


def result(solver, n=10, labels="coarse", fit_s=1.0, **more):
    return {"solver": solver, "labels": labels, "n": n, "fit_s": fit_s, **more}


def test_failures_are_found():
    good = {"of_these_differ": 0, "objective_off_by": 1e-6}
    assert bench_gpu.failures([result("cupy"), result("numba", parity=good)]) == []
    for bad in (
        result("numba", parity=good | {"of_these_differ": 1}),
        result("numba", parity=good | {"objective_off_by": 1e-2}),
        result("numba", parity=good | {"objective_off_by": math.nan}),
        result("cupy", limited={"parity": good | {"of_these_differ": 1}}),
        {"solver": "cupy", "labels": "fine", "n": 10, "missing": "not finished within 5 s"},
        {"solver": "cuml", "labels": "fine", "n": 10, "missing": "failed: Error"},
        result("cupy", large_C={"C": 10.0, "largest_gap": 2e-3}),
        result("cupy", large_C={"C": 10.0, "largest_gap": math.nan}),
    ):
        assert len(bench_gpu.failures([result("cupy"), bad])) == 1
    late = {"solver": "cuml-own", "labels": "coarse", "n": 10, "missing": "not finished within 5 s"}
    assert bench_gpu.failures([result("cupy"), late]) == []


def test_each_measurement_comes_behind_what_it_is_compared_with():
    tasks = bench_gpu.plan([50_000, 5_000, 20_000], with_cuml=True)
    assert tasks[0] == ("cupy", "coarse", 50_000)
    assert len(set(tasks)) == len(tasks) == 12
    for place, (_, labels, n) in enumerate(tasks):
        assert ("cupy", labels, n) in tasks[: place + 1]
    sizes = [n for solver, _, n in tasks if solver == "cuml-own"]
    assert sizes == [5_000, 20_000, 50_000]
    assert {solver for solver, *_ in bench_gpu.plan([10], with_cuml=False)} == {"cupy", "numba"}


def test_what_takes_too_long_is_left_out_and_so_are_larger_ones(monkeypatch, tmp_path):
    def run(task, limit_s, log):
        assert 0 < limit_s < 100
        if task["solver"] == "cuml-own":
            return {"solver": "cuml-own", "labels": "coarse", "n": task["n"], "missing": "late"}
        return result(task["solver"], task["n"], n_test=10, predict_s=1.0, accuracy=0.5)

    monkeypatch.setattr(bench_gpu, "run_apart", run)
    tasks = [("cupy", "coarse", 9), *[("cuml-own", "coarse", n) for n in (5, 9)]]
    shared = {"memory_limit": "4GiB"}
    found = bench_gpu.run_all(tasks, shared, perf_counter() + 100, tmp_path)
    assert [r.get("missing") for r in found] == [
        None, "late", "not run: a smaller size took too long"
    ]  # fmt: skip
    (late,) = bench_gpu.run_all(tasks[:1], shared, perf_counter() + 1, tmp_path)
    assert late["missing"] == "not run: no time left"


def test_a_measurement_that_does_not_end_or_fails_is_told(monkeypatch, tmp_path):
    script = tmp_path / "script.py"
    monkeypatch.setattr(bench_gpu, "__file__", str(script))
    task = {"solver": "cuml", "labels": "fine", "n": 3}
    for code, missing in (
        ("import time; time.sleep(60)", "not finished within 1 s"),
        ("raise ValueError('no\\nroom')", "failed: room"),
        ("raise SystemExit(3)", "failed: exit status 3"),
    ):
        script.write_text(code)
        assert bench_gpu.run_apart(task, 1.0 if "sleep" in code else 60.0, tmp_path / "log") == {
            **task, "missing": missing
        }  # fmt: skip


def test_lines_tell_memory_and_a_larger_c():
    large = {"C": 10.0, "fit_s": 0.625, "steps": 12_345, "largest_gap": 9.5e-4}
    ours = result("cupy", n=5_000, fit_peak_bytes=1.25e9, fit_planned_bytes=1.5e9, large_C=large)
    assert gpu_tables.fit_lines([ours, result("numba")]) == [
        "5,000 samples, coarse: memory at its peak 1.25 GB, planned 1.50 GB",
        "5,000 samples, coarse: at C = 10 fit 0.625 s, 12,345 steps, gaps within 9.5e-04",
    ]


def test_tables_give_ratios_to_our_own_at_equal_size():
    common = {
        "n_test": 100, "first_fit_s": 2.0, "warm_up_s": 3.0, "fit_peak_bytes": 1.5e9,
        "accuracy": 0.5,
    }  # fmt: skip
    results = [
        result("cupy", fit_s=2.0, predict_s=0.5, **common),
        result("cupy", n=99, fit_s=7.0, predict_s=0.1, **common),
        result("cuml-own", fit_s=9.0, predict_s=2.0, parity={"predictions_that_differ": 4},
               **common),
        {"solver": "cuml", "labels": "coarse", "n": 10, "missing": "not finished within 9 s"},
    ]  # fmt: skip
    header, ours, _, peer, late = gpu_tables.fit_rows(results)
    assert dict(zip(header[:4], peer[:4], strict=True)) == {
        "samples": "10", "labels": "coarse", "solver": "cuML multiclass", "fit s": "9"
    }  # fmt: skip
    assert (ours[4], peer[4]) == ("1", "4.5")
    assert (ours[8:10], peer[8:10]) == (["200", "1"], ["50", "4"])
    assert (peer[7], peer[10], peer[11]) == ("1.50", "50.00%", "4")
    assert late[3] == "not finished within 9 s"
    assert {len(row) for row in (header, ours, peer, late)} == {12}
