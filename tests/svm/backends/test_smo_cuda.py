"""The CUDA solver without a GPU: in lockstep here, and in numba's simulator by `cudasim_smo.py`."""

import os
import re
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from cudapairs import assert_identical, make_pairs
from lockstep import DivergenceError, Lockstep, RaceError, forward

from svmcifar.svm.backends import smo

SOURCE = Path(smo.__file__).with_name("smo_cuda.py").read_text()
LINES = SOURCE.splitlines()
BARRIERS = [k for k, line in enumerate(LINES) if "cuda.syncthreads()" in line]
VOTE = next(k for k, line in enumerate(LINES) if "cuda.syncthreads_or(" in line)
SIMULATED = Path(__file__).parents[2] / "cudasim_smo.py"
N_SIMULATED = 20


def solve(module, problem, threads=32, tol=1e-6, max_iter=-1, form="whole"):
    K, tables = getattr(problem, form)()
    pairs = module.PairTables(*tables)
    settings = {"tol": tol, "max_iter": max_iter, "threads": threads}
    return module.launch_smo(K, problem.upper, pairs, diagonal=problem.diagonal, **settings)


def backward(n_threads):
    return range(n_threads - 1, -1, -1)


def shuffled(n_threads, rng=np.random.default_rng(0)):  # noqa: B008
    return rng.permutation(n_threads)


# Sizes about the number of threads, classes of one sample, duplicates, weights, bounds.
PROBLEMS = {
    "three classes": make_pairs([20, 15, 1]),
    "five classes": make_pairs([9, 8, 7, 6, 5], 0.05, duplicates=True),
    "few free": make_pairs([10, 40], 0.01),
    "many free": make_pairs([30, 30], 1e3, gamma=3.0),
    "a full block": make_pairs([33, 32], 0.1, weights=True),
    "one against many": make_pairs([40, 1], 1e3, duplicates=True),
    "all kinds": make_pairs([24, 2, 36], weights=True, duplicates=True),
    "copies": make_pairs([64, 70], 0.1, period=32),
    "two samples": make_pairs([1, 1]),
    "linear": make_pairs([20, 15, 1], 0.5, kernel="linear", weights=True),
    "indefinite": make_pairs([24, 2, 20], 3.0, kernel="indefinite", duplicates=True),
}


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("order", [forward, backward, shuffled])
def test_no_race_and_the_answer_of_the_cpu(name, order):
    """`Lockstep` raises where two threads could touch one place at a time."""
    module = Lockstep(SOURCE, order)
    form = "tiles" if order is backward else "whole"
    PROBLEMS[name].assert_solved(solve(module, PROBLEMS[name], form=form), 1e-6)
    of_any = "" if PROBLEMS[name].diagonal is None else "_any"
    assert [launch[0] for launch in module.launches] == [f"smo_shared{of_any}"]


@pytest.mark.parametrize("threads", [64, 128, 256, 512, 1024])
def test_the_number_of_threads_changes_nothing(threads):
    module = Lockstep(SOURCE, shuffled)
    problem = PROBLEMS["three classes"]
    few, many = (solve(module, problem, n, max_iter=2048 // threads) for n in (32, threads))
    assert_identical(many, few)


@pytest.mark.parametrize(
    ("problem", "of_any", "n"), [("all kinds", "", 60), ("linear", "_any", 35)]
)
def test_v_in_global_memory(problem, of_any, n):
    module = Lockstep(SOURCE, shuffled)
    problem = PROBLEMS[problem]
    shared = solve(module, problem)
    name, n_blocks, threads, stream, shared_bytes = module.launches.pop()
    assert (name, n_blocks, threads, stream) == (f"smo_shared{of_any}", 3, 32, 0)
    assert shared_bytes == 12 * 34 + 8 * n
    module.names["_SHARED_BYTES"] = shared_bytes
    assert_identical(solve(module, problem), shared)
    module.names["_SHARED_BYTES"] = shared_bytes - 1
    assert_identical(solve(module, problem), shared)
    assert module.launches == [
        (f"smo_shared{of_any}", 3, 32, 0, shared_bytes),
        (f"smo_global{of_any}", 3, 32, 0, 12 * 34),
    ]


def test_five_thousand_samples_fit_the_shared_memory():
    module = Lockstep(SOURCE)
    assert 12 * (512 + 2) + 8 * 5_300 <= module.names["_SHARED_BYTES"] == 48 * 1024


@pytest.mark.parametrize("max_iter", [0, 1, 2, 3, 7, 30])
def test_steps_are_those_of_the_cpu(max_iter):
    problem = PROBLEMS["all kinds"]
    ours = solve(Lockstep(SOURCE), problem, max_iter=max_iter)
    for one, other in zip(ours, problem.solve_on_cpu(1e-6, max_iter), strict=True):
        assert one.n_iter == other.n_iter <= max_iter
        np.testing.assert_allclose(one.beta, other.beta, rtol=1e-12)
        np.testing.assert_allclose(one.gap, other.gap, rtol=1e-12)
        np.testing.assert_allclose(one.intercept, other.intercept, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(("default", "expected"), [(10**7, [10**7] * 3), (3, [3500, 2100, 1600])])
def test_the_bound_on_steps_by_default(monkeypatch, default, expected):
    """LIBSVM's: ``max(10_000_000, 100 n)``."""
    module, told = Lockstep(SOURCE), []
    assert smo._DEFAULT_MAX_ITER == 10**7
    monkeypatch.setattr(smo, "_DEFAULT_MAX_ITER", default)
    module.names["smo_shared"] = {(3, 32, 0, 688): lambda K, table, *others: told.append(table)}
    solve(module, PROBLEMS["three classes"])
    assert told[0][:, module.names["_MAX_STEPS"]].tolist() == expected


def test_longest_first():
    sizes = np.array([[3, 4], [9, 9], [1, 6], [20, 1], [9, 9]])
    assert Lockstep(SOURCE).longest_first(sizes).tolist() == [3, 1, 4, 0, 2]


def test_it_runs_in_the_simulator():
    """In a process of its own: the simulator is chosen before numba is imported."""
    command = [sys.executable, "-m", "pytest", "-q", "--noconftest", "-p", "no:cacheprovider"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    done = subprocess.run(
        [*command, "-p", "no:xdist", str(SIMULATED)],
        env=environment | {"NUMBA_ENABLE_CUDASIM": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    assert re.match(rf"{N_SIMULATED} passed in", done.stdout.splitlines()[-1]), done.stdout


def test_the_package_does_not_load_it():
    code = (
        "import sys, svmcifar, svmcifar.svm.estimator, svmcifar.svm.backends.registry as r\n"
        "r.choose_backend('numba').load()\n"
        "assert 'svmcifar.svm.backends.smo' in sys.modules\n"
        "assert 'svmcifar.svm.backends.smo_cuda' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def altered(problem, name, pair, column, change):
    """Give the tables with one entry moved."""
    K, tables = problem.whole()
    table = tables[("offsets", "strides", "sizes", "starts").index(name)]
    table[pair, column] += change
    return K, tables


@pytest.mark.parametrize(
    ("name", "pair", "column", "change", "message"),
    [
        ("offsets", 0, 0, -1, "does not lie within the 1296 kernel values"),
        ("offsets", 2, 3, 1, "does not lie within the 1296 kernel values"),
        ("offsets", 0, 0, 2**62, "does not lie within the 1296 kernel values"),
        ("strides", 0, 0, -17, "does not lie within the 1296 kernel values"),
        ("strides", 2, 1, 1300, "does not lie within the 1296 kernel values"),
        ("strides", 2, 0, 10, "does not lie within the 1296 kernel values"),
        ("strides", 0, 3, 2**61, "does not lie within the 1296 kernel values"),
        ("sizes", 1, 1, -1, "one sample of each class"),
        ("sizes", 2, 1, 1, "does not lie within the 36 samples"),
        ("starts", 0, 0, -1, "does not lie within the 36 samples"),
        ("starts", 2, 1, 1, "does not lie within the 36 samples"),
        ("starts", 2, 1, 2**62, "does not lie within the 36 samples"),
    ],
)
def test_tables_that_point_outside(name, pair, column, change, message):
    module = Lockstep(SOURCE)
    problem = PROBLEMS["three classes"]
    K, tables = altered(problem, name, pair, column, change)
    with pytest.raises(ValueError, match=message):
        module.launch_smo(K, problem.upper, module.PairTables(*tables), tol=1e-3, max_iter=-1)
    assert not module.launches


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"K": lambda K: np.float64(K)}, TypeError, "K must be float32. Got float64"),
        ({"K": lambda K: K.reshape(36, 36)}, ValueError, r"K must have the shape \(1296,\)"),
        ({"K": lambda K: np.repeat(K, 2)[::2]}, ValueError, "K must be contiguous"),
        ({"K": lambda K: K[::-1]}, ValueError, "K must be contiguous"),
        ({"upper": np.float32}, TypeError, "upper must be float64"),
        ({"diagonal": lambda d: np.ones(36)}, TypeError, "K must be float64. Got float32"),
        (
            {"K": np.float64, "diagonal": lambda d: np.ones(35)},
            ValueError,
            r"diagonal must have the shape \(36,\)",
        ),
        (
            {"K": np.float64, "diagonal": lambda d: np.ones(36, np.float32)},
            TypeError,
            "diagonal must be float64",
        ),
        ({"upper": lambda u: np.repeat(u, 2)[::2]}, ValueError, "upper must be contiguous"),
        ({"upper": np.zeros_like}, ValueError, "upper must be > 0"),
        ({"upper": lambda u: u * np.inf}, ValueError, "upper must be > 0 and finite"),
        ({"upper": lambda u: u * np.nan}, ValueError, "upper must be > 0 and finite"),
        ({"offsets": np.int32}, TypeError, "offsets must be int64"),
        ({"strides": lambda t: t[:, :3]}, ValueError, r"strides must have the shape \(3, 4\)"),
        ({"starts": lambda t: t[:2]}, ValueError, r"starts must have the shape \(3, 2\)"),
        ({"sizes": np.float64}, TypeError, "sizes must be int64"),
        (
            dict.fromkeys(("offsets", "strides", "sizes", "starts"), lambda t: t[:0]),
            ValueError,
            "at least one pair",
        ),
        ({"tol": lambda tol: 0.0}, ValueError, "tol must be > 0"),
        ({"tol": lambda tol: np.nan}, ValueError, "tol must be > 0"),
        ({"max_iter": lambda n: -2}, ValueError, "max_iter >= -1"),
        ({"threads": lambda n: 96}, ValueError, "power of two from 32 to 1024. Got 96"),
        ({"threads": lambda n: 16}, ValueError, "power of two"),
        ({"threads": lambda n: 2048}, ValueError, "power of two"),
    ],
)
def test_arguments_that_a_kernel_would_misread(changes, error, message):
    module = Lockstep(SOURCE)
    problem = PROBLEMS["three classes"]
    K, tables = problem.whole()
    names = ("K", "upper", "offsets", "strides", "sizes", "starts", "tol", "max_iter", "threads")
    values = dict(zip(names, (K, problem.upper, *tables, 1e-3, -1, 32), strict=True))
    values["diagonal"] = None
    values |= {name: change(values[name]) for name, change in changes.items()}
    pairs = module.PairTables(*(values.pop(name) for name in names[2:6]))
    with pytest.raises(error, match=message):
        module.launch_smo(pairs=pairs, **values)
    assert not module.launches


def without_barrier(k):
    lines = LINES.copy()
    lines[k] = lines[k].replace("cuda.syncthreads()", "pass")
    return "\n".join(lines)


def test_all_barriers_are_known():
    assert (len(BARRIERS), SOURCE.count("cuda.syncthreads")) == (4, 5)


@pytest.mark.parametrize("order", [forward, backward, shuffled])
@pytest.mark.parametrize("k", range(4))
def test_a_missing_barrier_is_a_race(k, order):
    with pytest.raises((RaceError, DivergenceError, IndexError)):
        solve(Lockstep(without_barrier(BARRIERS[k]), order), PROBLEMS["all kinds"], max_iter=50)


@pytest.mark.parametrize("order", [forward, backward, shuffled])
def test_the_vote_is_needed_as_a_barrier(order):
    """The vote is taken, but what is before it and after it counts as at one time."""
    with pytest.raises(RaceError):
        solve(Lockstep(SOURCE, order, merged=[VOTE + 1]), PROBLEMS["all kinds"], max_iter=50)


FAULTS = {
    "the step has the wrong sign": ("v[p] - step * (", "v[p] + step * ("),
    "a coefficient moves the wrong way": ("else beta[i] + step", "else beta[i] - step"),
    "class a has one sample too few": ("if p < n_a else i_b", "if p < n_a - 1 else i_b"),
    "class a has one sample too many": ("if p < n_a else j_b", "if p <= n_a else j_b"),
    "row i is sought in the wrong class": ("    if i < n_a:", "    if i <= n_a:"),
    "the bounds are those of the sample before": ("row[_START_B] + p", "row[_START_B] - 1 + p"),
    "the last sample is left out": ("+ row[_N_B])", "+ row[_N_B] - 1)"),
    "ties go to the highest index": ("indices[s] < index", "indices[s] > index"),
    "ties go to the last of a thread's": ("if score > best", "if score >= best"),
    "ties of v go to the last": ("new > top:", "new >= top:"),
    "a candidate of a round is left out": ("range(t + stride,", "range(t + 2 * stride,"),
    "the bound of i is not kept": (" TAU), rise, fall)", " TAU), fall)"),
    "the bound of j is not kept": (" TAU), rise, fall)", " TAU), rise)"),
    "flags of i are not refreshed": ("beta[i], flags[i] = ", "beta[i], _ = "),
    "flags of j are not refreshed": ("beta[j], flags[j] = ", "beta[j], _ = "),
    "the curvature has another floor": ("np.float32(TAU)", "np.float32(0.5)"),
    "the step has no floor": ("2.0 - 2.0 * K_ij, TAU", "2.0 - 2.0 * K_ij, 0.5"),
    "first-order selection": ("violation * violation / curvature", "violation"),
    "the stopping rule looks at twice the gap": ("bottom > tol", "bottom > 2 * tol"),
    "the vote is one thread's": ("_or(int32(top", "_or(int32(t == 0 and top"),
    "one step too many": ("steps == row[_MAX_STEPS]", "steps > row[_MAX_STEPS]"),
    "the objective counts l1 twice": ("+ abs(beta[p])", "+ 2 * abs(beta[p])"),
    "samples at a bound count as free": ("flags[p] == _MAY_RISE | ", "flags[p] & "),
    "a lane is left out": ("for lane in range(_LANES)", "for lane in range(_LANES - 1)"),
    "results of the first pair alone": ("n_iter[0] = steps", "n_iter[0] = 0"),
    "the diagonal of i is that of class a": ("d_a if i < n_a else d_b", "d_a if True else d_b"),
    "the diagonal of p is that of class b": ("d_a if p < n_a else d_b", "d_b if True else d_b"),
    "the diagonal of j is that of class a": ("d_a if j < n_a else d_b", "d_a if True else d_b"),
    "a diagonal counts twice in the score": (
        "bend = K_ii + diagonal[(d_a if p", "bend = 2 * K_ii + diagonal[(d_a if p"
    ),
    "a step is too short": (
        "bend = K_ii + diagonal[(d_a if j", "bend = 2 * K_ii + diagonal[(d_a if j"
    ),
    "a score has no floor": (
        "score = more * more / (bend if bend > 0.0 else TAU)", "score = more * more / abs(bend)"
    ),
    "a negative curvature is a step back": (
        "step = min((top - v[j]) / (bend if bend > 0.0 else TAU)", "step = min((top - v[j]) / (bend"
        " if bend != 0.0 else TAU)"
    ),
}  # fmt: skip


def find_difference(module, problem, max_iter):
    ours = solve(module, problem, max_iter=max_iter)
    for one, other in zip(ours, problem.solve_on_cpu(1e-6, max_iter), strict=True):
        assert one.n_iter == other.n_iter
        for field in ("beta", "intercept", "objective", "gap"):
            np.testing.assert_allclose(getattr(one, field), getattr(other, field), 1e-9, 1e-12)


@pytest.mark.parametrize("fault", [None, *FAULTS])
def test_a_fault_is_found(fault):
    old, new = FAULTS.get(fault, ("", ""))
    assert old in SOURCE
    module = Lockstep(SOURCE.replace(old, new))
    found = None
    names = "all kinds", "copies", "few free", "three classes", "linear", "indefinite"
    for name, max_iter in product(names, (12, 1000)):
        try:
            with np.errstate(all="ignore"):
                find_difference(module, PROBLEMS[name], max_iter)
        except (AssertionError, IndexError) as error:
            found = error
            break
    assert (found is None) == (fault is None), found
