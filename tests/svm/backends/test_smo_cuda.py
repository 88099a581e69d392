"""The CUDA solver without a GPU: its source is compiled for the host (``cuda_on_host.py``)."""

import re
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from itertools import product
from pathlib import Path

import cuda_on_host
import numpy as np
import pytest
from cuda_on_host import CudaError, Watch
from cudapairs import assert_identical, make_pairs

from svmcifar.compute import cuda_source
from svmcifar.svm.backends import smo, smo_cuda
from svmcifar.svm.backends.smo_cuda import KERNELS, launch_smo, longest_first

STANDIN = Path(cuda_on_host.__file__).parent / "standins/cupy/__init__.py"
SOURCE = cuda_source.read_source(smo_cuda.SOURCE)
OF_ONES, OF_ANY = KERNELS.values()
BARRIERS = {
    re.search(r"barrier (\(\d\))", line)[1] if "barrier (" in line else "choice": number
    for number, line in enumerate(SOURCE.splitlines(), 1)
    if re.search(r"__syncthreads(_or)?\(", line)
}

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


def load_standin():
    """Import the stand-in as CuPy; return what is then in `sys.modules`."""
    real = take_cupy_away()
    spec = spec_from_file_location("cupy", STANDIN)
    sys.modules["cupy"] = module = module_from_spec(spec)
    spec.loader.exec_module(module)
    standin = take_cupy_away()
    sys.modules.update(real)
    return standin


def take_cupy_away():
    names = [name for name in sys.modules if name.partition(".")[0] == "cupy"]
    return {name: sys.modules.pop(name) for name in names}


@pytest.fixture(scope="module")
def standin():
    return load_standin()


@pytest.fixture(autouse=True)
def cupy(standin, monkeypatch):
    real = take_cupy_away()
    sys.modules.update(standin)
    monkeypatch.setattr(Watch, "launches", [])
    for cached in (cuda_source.load_kernel, cuda_source._load_module):
        cached.cache_clear()
    yield standin["cupy"]
    take_cupy_away()
    sys.modules.update(real)
    for cached in (cuda_source.load_kernel, cuda_source._load_module):
        cached.cache_clear()


def take(monkeypatch, kernel):
    """Let one kernel take pairs of all sizes."""
    kernels = {d: (kernel,) if kernel in of_dtype else of_dtype for d, of_dtype in KERNELS.items()}
    monkeypatch.setattr(smo_cuda, "KERNELS", kernels)


def solve(cupy, problem, tol=1e-6, max_iter=-1, **settings):
    K = cupy.asarray(problem.kernel)
    settings |= {"tol": tol, "max_iter": max_iter, "diagonal": problem.diagonal}
    return launch_smo(K, problem.upper, problem.tables(), **settings)


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_answer_of_the_cpu_and_the_same_bits_by_all_kernels(cupy, name, monkeypatch):
    problem = PROBLEMS[name]
    first = solve(cupy, problem)
    problem.assert_solved(first, 1e-6)
    for kernel in OF_ONES if problem.diagonal is None else OF_ANY:
        take(monkeypatch, kernel)
        assert_identical(solve(cupy, problem), first)
        assert {launch[0] for launch in Watch.launches[1:]} == {kernel.name}
        del Watch.launches[1:]


def test_before_compute_capability_8(cupy, monkeypatch):
    """Warps find their largest by shuffles there."""
    expected = [solve(cupy, PROBLEMS[name]) for name in ("all kinds", "linear")]
    monkeypatch.setattr(Watch, "arch", 750)
    for name, first in zip(("all kinds", "linear"), expected, strict=True):
        assert_identical(solve(cupy, PROBLEMS[name]), first)


@pytest.mark.parametrize("kernel", OF_ONES, ids=lambda kernel: kernel.name)
def test_several_samples_a_thread(cupy, kernel, monkeypatch):
    """One for each thread, one more, and about three."""
    take(monkeypatch, kernel)
    for n in (kernel.n_threads, kernel.n_threads + 1, 3 * kernel.n_threads - 5):
        problem = make_pairs([n // 2 + 7, n - n // 2 - 7], 0.5, weights=True)
        (ours,) = solve(cupy, problem, max_iter=25)
        (theirs,) = problem.solve_on_cpu(1e-6, 25)
        assert ours.n_iter == theirs.n_iter
        np.testing.assert_allclose(ours.beta, theirs.beta, rtol=1e-12)
        np.testing.assert_allclose(ours.gap, theirs.gap, rtol=1e-12)


def test_two_hundred_problems(cupy):
    rng = np.random.default_rng(17)
    for seed in range(200):
        is_rbf = seed % 4 > 0
        problem = make_pairs(
            rng.integers(1, 40, size=rng.integers(2, 4)).tolist(),
            10.0 ** rng.uniform(-2, 1.5 if is_rbf else -0.5),
            seed=seed,
            gamma=10.0 ** rng.uniform(-1, 1),
            duplicates=rng.random() < 0.3,
            weights=rng.random() < 0.5,
            kernel="rbf" if is_rbf else "linear",
        )
        tol = 10.0 ** rng.uniform(-4, -2)
        solutions = solve(cupy, problem, tol)
        problem.assert_solved(solutions, tol)
        steps = [pair.n_iter for pair in problem.solve_on_cpu(tol)]
        assert [pair.n_iter for pair in solutions] == steps, seed


@pytest.mark.parametrize("max_iter", [0, 1, 2, 3, 7, 30])
def test_steps_are_those_of_the_cpu(cupy, max_iter):
    problem = PROBLEMS["all kinds"]
    ours = solve(cupy, problem, max_iter=max_iter)
    for one, other in zip(ours, problem.solve_on_cpu(1e-6, max_iter), strict=True):
        assert one.n_iter == other.n_iter <= max_iter
        np.testing.assert_allclose(one.beta, other.beta, rtol=1e-12)
        np.testing.assert_allclose(one.gap, other.gap, rtol=1e-12)
        np.testing.assert_allclose(one.intercept, other.intercept, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("kernel", [*OF_ONES, *OF_ANY], ids=lambda kernel: kernel.name)
def test_long_solves_go_on_in_further_launches(cupy, kernel, monkeypatch):
    problem = PROBLEMS["three classes" if kernel in OF_ONES else "linear"]
    take(monkeypatch, kernel)
    whole, told = solve(cupy, problem), []
    monkeypatch.setattr(smo_cuda, "STEPS_PER_LAUNCH", 25)
    Watch.launches.clear()
    assert_identical(solve(cupy, problem, progress=told.append), whole)
    # 94, 22 and 32 steps, or 99, 7 and 3: what is done is left out.
    blocks = [3, 2, 1, 1] if kernel in OF_ONES else [3, 1, 1, 1]
    assert [launch[1] for launch in Watch.launches] == blocks
    assert told == [before - after for before, after in zip(blocks, [*blocks[1:], 0], strict=True)]


@pytest.mark.parametrize(
    ("n", "expected"),
    [(2, "smo_1024"), (1024, "smo_1024"), (1025, "smo_5184"), (5184, "smo_5184"),
     (5185, "smo_10368"), (10369, "smo_shared"), (24_576, "smo_shared"), (24_577, "smo_global")],
)  # fmt: skip
def test_the_kernel_for_a_size(n, expected):
    sizes = np.array([n, 2, 1024, n], dtype=np.int64)
    divided = smo_cuda._by_kernel(np.dtype(np.float32), sizes, np.array([0, 2, 3]))
    assert {k.name: chosen.tolist() for k, chosen in divided} == (
        {expected: [0, 3], "smo_1024": [2]} if n > 1024 else {"smo_1024": [0, 2, 3]}
    )
    divided = smo_cuda._by_kernel(np.dtype(np.float64), sizes, np.array([3]))
    assert [kernel.name for kernel, _ in divided] == [
        "smo_any_shared" if n <= 16_384 else "smo_any_global"
    ]


@pytest.mark.parametrize(
    ("kibibytes", "expected"),
    [
        (96, {"smo_global": [3], "smo_shared": [1, 2], "smo_10368": [0]}),
        (64, {"smo_global": [1, 2, 3], "smo_10368": [0]}),  # less than what registers hold
    ],
)
def test_a_device_with_less_shared_memory(cupy, monkeypatch, kibibytes, expected):
    monkeypatch.setattr(
        cupy.cuda.Device, "attributes", {"MaxSharedMemoryPerBlockOptin": kibibytes * 1024}
    )
    sizes = np.array([10_000, 10_369, 11_776, 11_777])  # (96 - 4) * 1024 / 8
    divided = smo_cuda._by_kernel(np.dtype(np.float32), sizes, np.arange(4))
    assert {kernel.name: chosen.tolist() for kernel, chosen in divided} == expected


def test_much_shared_memory_is_asked_for(cupy, monkeypatch):
    """The stand-in refuses what was not asked for."""
    monkeypatch.setattr(smo_cuda, "_SHARED_BYTES", 0)
    take(monkeypatch, OF_ONES[3])
    monkeypatch.setattr(cuda_on_host._Function, "max_dynamic_shared_size_bytes", 0)
    problem = PROBLEMS["a full block"]
    problem.assert_solved(solve(cupy, problem), 1e-6)
    assert Watch.launches == [("smo_shared", 1, 768, 65 * 8)]


@pytest.mark.parametrize(("default", "expected"), [(10**7, [10**7] * 3), (3, [3500, 2100, 1600])])
def test_the_bound_on_steps_by_default(cupy, monkeypatch, default, expected):
    """LIBSVM's: ``max(10_000_000, 100 n)``."""
    assert smo._DEFAULT_MAX_ITER == 10**7
    monkeypatch.setattr(smo, "_DEFAULT_MAX_ITER", default)
    monkeypatch.setattr(smo_cuda, "STEPS_PER_LAUNCH", 10**8)
    tables = []
    call = cuda_on_host._Function.__call__

    def watched(self, grid, block, args, **settings):
        tables.append(args[4].get())
        call(self, grid, block, args, **settings)

    monkeypatch.setattr(cuda_on_host._Function, "__call__", watched)
    solve(cupy, PROBLEMS["three classes"])
    assert tables[0][:, 6].tolist() == expected


def test_longest_first():
    sizes = np.array([[3, 4], [9, 9], [1, 6], [20, 1], [9, 9]])
    assert longest_first(sizes).tolist() == [3, 1, 4, 0, 2]


def test_the_package_does_not_load_it():
    code = (
        "import sys, svmcifar, svmcifar.svm.estimator, svmcifar.svm.backends.registry as r\n"
        "r.choose_backend('numba').load()\n"
        "assert 'svmcifar.svm.backends.smo' in sys.modules\n"
        "assert 'svmcifar.svm.backends.smo_cuda' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_all_barriers_are_known():
    """The choice's is one of the source and three of a step."""
    assert sorted(BARRIERS) == ["(2)", "(4)", "(5)", "choice"]
    assert len(re.findall(r"__syncthreads(?:_or)?\(", SOURCE)) == 4


@pytest.mark.parametrize("kernel", [OF_ONES[0], OF_ONES[3], OF_ONES[4], *OF_ANY], ids=str)
@pytest.mark.parametrize("barrier", sorted(BARRIERS))
def test_a_missing_barrier_is_a_race(cupy, barrier, kernel, monkeypatch):
    """Threads wait there, but what is before it and behind it counts as at one time."""
    take(monkeypatch, kernel)
    monkeypatch.setattr(Watch, "merged_line", BARRIERS[barrier])
    problem = PROBLEMS["copies" if kernel in OF_ONES else "indefinite"]
    with pytest.raises(CudaError, match="race: thread"):
        solve(cupy, problem, max_iter=50)


FAULTS = {
    "the step has the wrong sign": ("state.get(k, p) - step * (", "state.get(k, p) + step * ("),
    "a coefficient moves the wrong way": (": beta_i + step", ": beta_i - step"),
    "class a has one sample too few": ("(k < n_of_a ? i_a : i_b", "(k < n_of_a - 1 ? i_a : i_b"),
    "class a has one sample too many": ("(k < n_of_a ? j_a : j_b", "(k <= n_of_a ? j_a : j_b"),
    "K of i and j is of the wrong class": ("(j < n_a ? i_a : i_b", "(j <= n_a ? i_a : i_b"),
    "a row is sought in the wrong class": ("p + (p < n_a ? before_a", "p + (p <= n_a ? before_a"),
    "class b begins a sample early": ("row[START_B] - n_a", "row[START_B] - n_a - 1"),
    "the last sample is left out": ("n_a + (int)row[N_B]", "n_a + (int)row[N_B] - 1"),
    "ties go to the highest index": ("? ~(u32)index : 0u", "? (u32)index + 1 : 0u"),
    "ties go to the last of a thread's": ("score > best)", "score >= best)"),
    "ties of v go to the last": (
        " && v > top) top = v, i = k;\n    }\n    rising",
        " && v >= top) top = v, i = k;\n    }\n    rising",
    ),
    "a warp is left out": ("if (lane < T / WARP) {", "if (lane < T / WARP - 1) {"),
    "the bound of i is not kept": ("/ bend, room_i), room_j)", "/ bend, 1e300), room_j)"),
    "the bound of j is not kept": ("/ bend, room_i), room_j)", "/ bend, room_i), 1e300)"),
    "flags of i are not refreshed": (
        "state.flag(i, beta_i < high_i",
        "if (0) state.flag(i, beta_i < high_i",
    ),
    "flags of j are not refreshed": (
        "state.flag(j, beta_j < high_j",
        "if (0) state.flag(j, beta_j < high_j",
    ),
    "the curvature has another floor": ("(float)TAU));", "0.5f));"),
    "the step has no floor": ("fmax(2.0 - 2.0 * K_ij, TAU)", "fmax(2.0 - 2.0 * K_ij, 0.5)"),
    "first-order selection": ("return __fdividef(more * more, fmaxf", "return more + 0 * (fmaxf"),
    "the stopping rule looks at twice the gap": ("violation > tol", "violation > 0.5 * tol"),
    "the vote is one thread's": ("_or(is_above)", "_or(t == 0 && is_above)"),
    "one step too many": ("steps == pair.most_steps", "steps > pair.most_steps"),
    "the objective counts l1 twice": ("beta * v + fabs(beta)", "beta * v + 2 * fabs(beta)"),
    "samples at a bound count as free": ("if (beta < high) level", "if (true) level"),
    "a lane is left out": ("lane < WARP; ++lane", "lane < WARP - 1; ++lane"),
    "a step more is told": ("n_iter[0] = steps", "n_iter[0] = steps + 1"),
    "the diagonal of i is that of j": ("pair.sample(i)]", "pair.sample(0)]"),
    "the diagonal of p is another's": ("pair.sample(p)]", "pair.sample(0)]"),
    "the diagonal of j is another's": ("pair.sample(j)]", "pair.sample(0)]"),
    "a score has no floor": ("more * more / (bend > 0.0 ? bend : TAU)", "more * more / fabs(bend)"),
    "a negative curvature is a step back": ("bend = bend > 0.0 ? bend : TAU;", ""),
    "v is not kept from launch to launch": (
        "if (steps) v = (pair.v + t)",
        "if (0) v = (pair.v + t)",
    ),
}


def find_difference(cupy, problem, max_iter):
    launches = []

    def count(n_pairs):
        launches.append(n_pairs)
        assert len(launches) <= 3  # else it may go on for ever

    ours = solve(cupy, problem, max_iter=max_iter, progress=count)
    for one, other in zip(ours, problem.solve_on_cpu(1e-6, max_iter), strict=True):
        assert one.n_iter == other.n_iter
        for field in ("beta", "intercept", "objective", "gap"):
            np.testing.assert_allclose(getattr(one, field), getattr(other, field), 1e-9, 1e-12)


@pytest.mark.parametrize("fault", [None, *FAULTS])
def test_a_fault_is_found(cupy, fault, monkeypatch):
    old, new = FAULTS.get(fault, ("", ""))
    assert old in SOURCE
    # Two of the kernels take less time to compile than all.
    code = re.sub(r"\nSMO\((?!smo_1024|smo_any_shared).*", "", SOURCE).replace(old, new)
    monkeypatch.setattr(cuda_source, "read_source", lambda path: code)
    monkeypatch.setattr(smo_cuda, "STEPS_PER_LAUNCH", 100)
    found = None
    names = "all kinds", "copies", "few free", "three classes", "linear", "indefinite", "many free"
    for max_iter, name in product((12, 300), names):
        try:
            with np.errstate(all="ignore"):
                find_difference(cupy, PROBLEMS[name], max_iter)
        except AssertionError as error:  # CudaError is one
            found = error
            break
    assert (found is None) == (fault is None), found
