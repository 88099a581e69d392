"""What the package calls of CuPy and cuML is there, and is called as they ask.

CuPy is imported, which needs no GPU.  cuML cannot be without one: `cuml_api.json` has the names and
signatures that are used, from its wheel (`scripts/read_cuml.py` writes it).
"""

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from gpu_calls import ARRAY_API, CUPY, Library, read_calls, read_signature

TOP = Path(__file__).parents[2]
SOURCES = sorted([*TOP.glob("svmcifar/**/*.py"), *TOP.glob("scripts/*.py")])
CUML_API = Path(__file__).with_name("cuml_api.json")

pytest.importorskip("cupy")  # Linux has it in the extra 'dev'


@pytest.fixture(scope="module")
def library():
    modules = {name: import_module(name) for name in (CUPY, ARRAY_API)}
    return Library(modules, json.loads(CUML_API.read_text())["names"])


@pytest.fixture(scope="module")
def calls(library):
    return [read_calls(library, path.read_text(), path.relative_to(TOP)) for path in SOURCES]


def test_all_that_is_used_is_there_and_called_as_it_asks(calls):
    assert [fault for found in calls for fault in found.faults] == []


def test_the_calls_that_matter_are_seen(calls):
    bound = set().union(*(found.bound for found in calls))
    assert bound >= {
        "cupy.RawModule", "cupy.RawModule.get_function", "cupy.RawKernel.__call__",
        "cupy.asarray", "cupy.cuda.runtime.memGetInfo", "cupy.cuda.MemoryPool.free_all_blocks",
        "cuml.svm.SVC", "cuml.svm.SVC.fit", "cuml.using_output_type",
        f"{ARRAY_API}.take", f"{ARRAY_API}.concat", f"{ARRAY_API}.sqrt",
    }  # fmt: skip
    used = set().union(*(found.used for found in calls))
    assert used >= {"cupy.RawKernel.max_dynamic_shared_size_bytes", "cuml.svm.SVC.dual_coef_"}


def test_nothing_of_cuml_is_told_that_is_not_used(calls, library):
    assert set(library.table) <= set().union(*(found.used for found in calls))


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("import cupy\ncupy.asaray(3)", "there is no cupy.asaray"),
        ("import cupy\ncupy.asarray(3, device=0)", "cupy.asarray(.*unexpected"),
        ("import cupy\ncupy.zeros()", "cupy.zeros(.*missing"),
        ("import cupy\ncupy.get_default_memory_pool().free()", "no cupy.cuda.MemoryPool.free"),
        ("import cupy\ndef f():\n p = cupy.cuda.Stream()\n p.wait()", "no cupy.cuda.Stream.wait"),
        ("import cupy\ncupy.cuda.Device(0).use(1)", "cupy.cuda.Device.use"),
        ("import cupy\ncupy.RawModule('x', ())", "cupy.RawModule(.*too many"),
        ("import cupy\ncupy.RawModule(code='x', option=())", "cupy.RawModule(.*unexpected"),
        ("k = load_kernel(a, b)\nk((1,), (1,))", "cupy.RawKernel.__call__(.*missing"),
        ("k = load_kernel(a, b)\nk((1,), (1,), (), shared=3)", "cupy.RawKernel.__call__(.*unexp"),
        ("k = load_kernel(a, b)\nk.shared_bytes = 3", "there is no cupy.RawKernel.shared_bytes"),
        ("import cupy\ncupy.cuda.Device().attributes['Optin']", "runtime.cudaDevAttrOptin"),
        ("r = import_module('cupy').cuda.runtime\nr.freeMemory()", "no cupy.cuda.runtime.free"),
        ("import cupy\ncupy.square(1, 2, 3)", "cupy.square(.*too many"),
        ("xp = get_namespace(X)\nxp.concatenate([1])\nxp.hstak(1)", f"{ARRAY_API}.hstak"),
        ("get_namespace(X).astype(X)", f"{ARRAY_API}.astype(.*missing"),
        ("from cuml.svm import SVR", "there is no cuml.svm.SVR"),
        ("from cuml.svm import SVC\nSVC(1.0)", "cuml.svm.SVC(.*too many"),
        ("from cuml.svm import SVC\nSVC(C=1.0).fit(1, 2, weight=3)", "cuml.svm.SVC.fit(.*unexp"),
        ("class A:\n def f(self):\n  self.svc_class(c=1)", "cuml.svm.SVC(.*unexpected"),
        ("class A:\n def f(self):\n  self.xp.asnumpyy(1)", "there is no cupy.asnumpyy"),
    ],
)  # fmt: skip
def test_a_fault_is_found(library, code, fault):
    (line,) = read_calls(library, code, "file.py").faults
    place, _, what = line.partition(": ")
    assert place.startswith("file.py:")
    *_, first = fault.split("(.*")
    head = fault.partition("(.*")[0]
    assert head in what
    assert first in what


def test_what_is_not_known_is_passed_over(library):
    code = (
        "import cupy\n"
        "def f(cupy_array, k):\n    return cupy_array.anything(k.other), a.cupy.no\n"
        "cupy.asarray(*things, **settings)\n"
        "pool = cupy.get_default_memory_pool()\n"
        "def g(pool):\n    pool.of_another_kind()\n"
    )
    assert read_calls(library, code, "file.py").faults == []


def test_signatures_are_read():
    text = r"(str code=None, /, *, tuple c=(1, 2), d: 'a, b' = \"x,y\", **kwargs)"
    assert str(read_signature(text)) == "(code=None, /, *, c=None, d=None, **kwargs)"
    assert str(read_signature(r"(x, /, out=None, \*, casting='same_kind')")) == (
        "(x, /, out=None, *, casting=None)"
    )
    assert str(read_signature("()")) == "()"


def test_without_a_driver_cupy_itself_says_so():
    code = "from svmcifar.compute.gpu import why_no_cupy; print(why_no_cupy())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    reason = done.stdout.strip()
    assert reason == "there is no NVIDIA driver" or reason.startswith("CuPy cannot compute here")
