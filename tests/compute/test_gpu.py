# ruff: noqa: N802 (the names are CUDA's)
"""Every reason, from stand-ins for CuPy and cuML.

They answer as CuPy 14.2.0 does.  What it says without a driver was seen on a machine that has
none: driverGetVersion() is 0, runtimeGetVersion() 13020, and memGetInfo() raises CUDARuntimeError
with status 35; NVRTC and cuBLAS raise where CUDA's libraries are not installed.  The rest is from
cupy_backends/cuda/api/runtime.pyx: an error has a `status` and the text "name: description", a
device's name is bytes.
"""

import sys
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from svmcifar.compute import gpu
from svmcifar.compute.gpu import device_summary, why_no_cuml, why_no_cupy

GIB = 2**30


class CUDARuntimeError(RuntimeError):
    TEXTS = {  # noqa: RUF012
        2: "cudaErrorMemoryAllocation: out of memory",
        35: "cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime "
        "version",
        100: "cudaErrorNoDevice: no CUDA-capable device is detected",
        804: "cudaErrorCompatNotSupportedOnDevice: forward compatibility was attempted on "
        "non supported HW",
    }

    def __init__(self, status):
        self.status = status
        super().__init__(self.TEXTS[status])


class FakeRuntime:
    """CuPy's `cupy.cuda.runtime` on a machine with an H200."""

    CUDARuntimeError = CUDARuntimeError

    def __init__(self, *, driver=13000, capability=(9, 0), free=130 * GIB, fails=None):
        self.driver, self.capability = driver, capability
        self.free, self.fails = free, fails or {}

    def _call(self, name, value):
        if name in self.fails:
            raise CUDARuntimeError(self.fails[name])
        return value

    def driverGetVersion(self):
        return self._call("driverGetVersion", self.driver)

    def runtimeGetVersion(self):
        return self._call("runtimeGetVersion", 13020)

    def getDevice(self):
        return self._call("getDevice", 0)

    def memGetInfo(self):
        return self._call("memGetInfo", (self.free, 139 * GIB))

    def getDeviceProperties(self, device):
        assert device == 0
        major, minor = self.capability
        properties = {"name": b"NVIDIA H200", "major": major, "minor": minor, "totalGlobalMem": 1}
        return self._call("getDeviceProperties", properties)


class FakeArray:
    """What CuPy multiplies and gives to the host; `missing` is a library that is not installed."""

    def __init__(self, values, missing):
        self.values, self.missing = values, missing

    def __matmul__(self, other):
        if self.missing == "cublas":
            raise ImportError('Failure finding "libcublasLt.so.13": No such file')
        return FakeArray(self.values @ other.values, self.missing)

    def get(self):
        return self.values


class CompileException(Exception):  # noqa: N818 (CuPy's name)
    """CuPy's, where NVRTC does not accept a kernel."""


class BrokenImport:
    """A finder whose modules fail to import."""

    def __init__(self, name, error):
        self.name, self.error = name, error

    def find_spec(self, name, path=None, target=None):
        return ModuleSpec(name, self) if name == self.name else None

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        raise self.error


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """Nothing known of earlier tests, of the machine's packages and of its settings."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for package in ("cupy", "cuml"):
        monkeypatch.setitem(sys.modules, package, None)
    gpu._try_cupy.cache_clear()
    why_no_cuml.cache_clear()
    yield
    gpu._try_cupy.cache_clear()
    why_no_cuml.cache_clear()


@pytest.fixture
def install(monkeypatch):
    """Put a stand-in for a package where imports find it."""

    def put(name, **attributes):
        module = ModuleType(name)
        module.__spec__ = ModuleSpec(name, None)
        vars(module).update(attributes)
        monkeypatch.setitem(sys.modules, name, module)

    return put


@pytest.fixture
def break_import(monkeypatch):
    def put(name, error):
        monkeypatch.delitem(sys.modules, name)
        monkeypatch.setattr(sys, "meta_path", [BrokenImport(name, error), *sys.meta_path])

    return put


@pytest.fixture
def known(monkeypatch):
    """Versions of packages by their metadata."""
    versions = {}

    def version(name):
        if versions.get(name) is None:
            raise PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(gpu.metadata, "version", version)
    return versions


@pytest.fixture
def machine(install, known):
    """Describe a machine with CuPy, and cuML."""

    def put(missing=None, cuml="26.10.00", **settings):
        def ones(shape, dtype):
            if missing == "nvrtc":
                message = 'Failure finding "libnvrtc.so.13": No such file\nlibnvrtc.so.13'
                raise RuntimeError(message)
            if missing == "headers":
                raise CompileException("cannot open source file")
            if missing == "nothing":
                raise ZeroDivisionError
            return FakeArray(np.ones(shape, dtype), missing)

        compiler = SimpleNamespace(CompileException=CompileException)
        runtime = FakeRuntime(**settings)
        install("cupy", cuda=SimpleNamespace(runtime=runtime, compiler=compiler), ones=ones)
        install("cuml")
        known["cuml-cu13"] = cuml

    return put


def test_packages_that_are_not_installed():
    assert why_no_cupy() == "the package cupy is not installed (pip install 'svmcifar[gpu]')"
    assert why_no_cuml() == "the package cuml is not installed (pip install 'svmcifar[gpu]')"
    assert device_summary() is None


def test_cuml_is_not_imported_where_there_is_no_cupy(break_import):
    break_import("cuml", AssertionError("imported"))
    assert why_no_cuml() == "the package cupy is not installed (pip install 'svmcifar[gpu]')"


def test_nothing_is_imported_that_is_not_installed(monkeypatch):
    def no_import(name):
        raise AssertionError(name)

    monkeypatch.setattr(gpu, "import_module", no_import)
    assert "not installed" in why_no_cupy()
    assert "not installed" in why_no_cuml()


def test_a_usable_gpu(machine):
    machine()
    assert why_no_cupy() is None
    assert why_no_cuml() is None
    assert device_summary() == (
        "NVIDIA H200, compute capability 9.0, 139 GiB of memory (130 GiB free), "
        "CUDA 13.0 driver, CUDA 13.2 runtime"
    )


def test_the_least_that_is_usable(machine):
    machine(capability=(7, 5), free=GIB, cuml="26.06.00")
    assert why_no_cupy() is None
    assert why_no_cuml() is None


def test_only_cupy_is_installed(machine, monkeypatch):
    machine()
    monkeypatch.setitem(sys.modules, "cuml", None)
    assert why_no_cupy() is None
    assert why_no_cuml() == "the package cuml is not installed (pip install 'svmcifar[gpu]')"


def test_cupy_does_not_import(install, break_import):
    """CuPy frames what went wrong in a banner, and keeps the error as the cause."""
    banner = ImportError("\n=====\nFailed to import CuPy.\n\nOriginal error:\n  ...\n=====\n")
    banner.__cause__ = ImportError("libcudart.so.13: cannot open shared object file\nhelp")
    break_import("cupy", banner)
    install("cuml")
    expected = (
        "the package cupy does not import "
        "(ImportError: libcudart.so.13: cannot open shared object file)"
    )
    assert why_no_cupy() == why_no_cuml() == expected
    assert device_summary() is None


def test_what_an_import_error_says_is_kept_short(break_import):
    break_import("cupy", ImportError("\n=====\n" + "word " * 1000))
    reason = why_no_cupy()
    assert reason.startswith("the package cupy does not import (ImportError: word word")
    assert reason.endswith("...)")
    assert len(reason) < 220


def test_an_error_without_words(break_import):
    break_import("cupy", OSError())
    assert why_no_cupy() == "the package cupy does not import (OSError)"


def test_cuml_is_not_imported_to_be_asked(machine, break_import, known):
    """It would replace CuPy's allocator in the whole process."""
    machine()
    break_import("cuml", AssertionError("imported"))
    assert why_no_cuml() is None
    why_no_cuml.cache_clear()
    known["cuml"] = known.pop("cuml-cu13")  # as conda calls it
    assert why_no_cuml() is None
    why_no_cuml.cache_clear()
    known.clear()
    assert why_no_cuml() == (
        "the version of the package cuml is not known (pip install 'svmcifar[gpu]')"
    )


@pytest.mark.parametrize("version", ["26.04.00", "25.12.00"])
def test_cuml_is_too_old(machine, version):
    machine(cuml=version)
    assert why_no_cuml() == (
        f"cuML {version} is too old: 26.06 is the least (pip install 'svmcifar[gpu]')"
    )


def test_there_is_no_driver(machine):
    machine(driver=0, fails={"getDevice": 35})
    assert why_no_cupy() == why_no_cuml() == "there is no NVIDIA driver"
    assert device_summary() is None


@pytest.mark.parametrize("call", ["getDevice", "getDeviceProperties", "memGetInfo"])
@pytest.mark.parametrize("status", CUDARuntimeError.TEXTS)
def test_what_cuda_says_is_told(machine, call, status):
    """The driver is too old, there is no GPU, its memory is taken, ..."""
    machine(driver=12040, fails={call: status})
    expected = f"CuPy cannot compute here (CUDARuntimeError: {CUDARuntimeError.TEXTS[status]})"
    assert why_no_cupy() == why_no_cuml() == expected
    assert device_summary() is None


@pytest.mark.parametrize("capability", [(7, 0), (6, 1), (5, 9)])
def test_the_gpu_is_too_old(machine, capability):
    machine(capability=capability)
    dotted = "{}.{}".format(*capability)
    assert why_no_cupy() == (f"the NVIDIA H200 has compute capability {dotted}: 7.5 is the least")
    assert f"compute capability {dotted}, 139 GiB" in device_summary()


def test_the_gpu_is_full(machine):
    machine(free=GIB - 2**20)
    assert why_no_cupy() == "1023 MiB of the NVIDIA H200's 139 GiB are free: 1 GiB is the least"
    assert "(1023 MiB free)" in device_summary()


@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        ("nvrtc", 'RuntimeError: Failure finding "libnvrtc.so.13": No such file'),
        ("headers", "CompileException: cannot open source file"),
        ("cublas", 'ImportError: Failure finding "libcublasLt.so.13": No such file'),
    ],
)
def test_libraries_of_cuda_are_missing(machine, missing, expected):
    machine(missing=missing)
    assert why_no_cupy() == f"CuPy cannot compute here ({expected})"
    assert device_summary().startswith("NVIDIA H200, compute capability 9.0")


def test_other_errors_are_faults_of_ours(machine):
    machine(missing="nothing")
    with pytest.raises(ZeroDivisionError):
        why_no_cupy()


def test_the_answer_is_found_once(machine, monkeypatch):
    machine()
    assert why_no_cupy() is None
    assert why_no_cuml() is None
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.setitem(sys.modules, "cuml", None)
    assert why_no_cupy() is None
    assert why_no_cuml() is None
    assert device_summary() is not None
