"""The benchmark of the estimator: every case on tiny data, and the ratios of its table."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

TOP = Path(__file__).parents[1]
sys.path.append(str(TOP / "scripts"))

import bench_estimator  # noqa: E402


def fit_of(library, fit_s, fit_bytes, n=2000):
    return {
        "case": "a case", "library": library, "n": n, "d": 50, "fit_s": fit_s,
        "fit_bytes": fit_bytes, "predict_s": {"1": fit_s / 10},
    }  # fmt: skip


def test_every_case_on_tiny_data(monkeypatch, tmp_path):
    monkeypatch.setattr(
        bench_estimator, "run_apart", lambda task, *_: bench_estimator.measure(task)
    )
    monkeypatch.setattr(bench_estimator, "find_spec", lambda name: None)
    monkeypatch.setattr(bench_estimator, "QUICK_SECONDS", 1e-9)
    out = tmp_path / "figures.json"
    done = CliRunner().invoke(bench_estimator.main, ["--quick", "--json", str(out)])
    assert done.exit_code == 0, done.output
    assert "scikit-learn-intelex is not installed" in done.output
    results = json.loads(out.read_text())["results"]
    measured = [(r["case"], r["library"]) for r in results]
    assert measured == [(c, lib) for c in bench_estimator.CASES for lib in ("svmcifar", "sklearn")]
    for ours, peer in zip(results[::2], results[1::2], strict=True):
        assert ours["n_support"] == pytest.approx(peer["n_support"], rel=0.02)  # the same problem
        assert {"n", "d", "n_classes", "dtype", "fit_s", "fit_bytes", "peak_bytes"} <= set(ours)
    n_predictions = sum(len(case.predict) for case in bench_estimator.CASES.values())
    lines = done.output.splitlines()
    assert sum(" fit " in line for line in lines) == len(bench_estimator.CASES)
    assert sum(" predict " in line for line in lines) == n_predictions


def test_a_measurement_is_a_process_of_its_own(tmp_path):
    out = tmp_path / "figures.json"
    subprocess.run(
        [sys.executable, TOP / "scripts/bench_estimator.py", "--quick", "--case", "iris",
         "--peers-most", "0", "--json", out],
        check=True, capture_output=True,
    )  # fmt: skip
    (result,) = json.loads(out.read_text())["results"]
    assert (result["library"], result["n"], result["n_classes"]) == ("svmcifar", 150, 3)
    assert 0 < result["fit_bytes"] < result["peak_bytes"]


def test_the_table_divides_by_the_better_of_the_peers():
    results = [
        fit_of("svmcifar", 0.3, 400e6), fit_of("sklearn", 0.2, 800e6), fit_of("sklearnex", 0.6, 1e9)
    ]  # fmt: skip
    fit, predict = bench_estimator.table(results, 2e9)
    assert fit.split()[2:] == [
        "fit", "300.000", "200.000", "600.000", "1.50", "400", "800", "1000", "0.50", "3.0"
    ]  # fmt: skip
    assert predict.split()[2:] == ["predict", "1", "30.000", "20.000", "60.000", "1.50"]


def test_the_table_without_peers():
    fit, _ = bench_estimator.table([fit_of("svmcifar", 0.3, 400e6)], None)
    assert fit.split()[2:] == ["fit", "300.000", "-", "-", "-", "400", "-", "-", "-"]


@pytest.mark.parametrize("failing", ["svmcifar", "sklearn"])
def test_a_library_that_fails_is_named(monkeypatch, failing):
    def measure(task, *_):
        if task["library"] == failing:
            raise subprocess.CalledProcessError(1, "a measurement")
        return fit_of(task["library"], 0.3, 400e6)

    monkeypatch.setattr(bench_estimator, "run_apart", measure)
    monkeypatch.setattr(bench_estimator, "find_spec", lambda name: None)
    arguments = ["--quick", "--case", "iris", "--case", "digits"]
    done = CliRunner().invoke(bench_estimator.main, arguments, catch_exceptions=False)
    assert done.output.count(f"{failing} failed") == 2
    assert done.output.count("predict") == (2 if failing == "sklearn" else 0)
