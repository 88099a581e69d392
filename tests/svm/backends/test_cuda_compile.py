"""The CUDA kernels compile for each kind of device that is supported; no device is needed."""

import re

import pytest
from numba import cuda, float32, float64, int64, uint8

from svmcifar.svm.backends.smo_cuda import (
    _OPTIONS,
    smo_global,
    smo_global_any,
    smo_shared,
    smo_shared_any,
)
from svmcifar.svm.kernels.rbf_cuda import rbf_from_products

# K, table, upper, tol, flags, beta, n_iter, results: contiguous, as `launch_smo` passes them.
ARGUMENTS = (
    float32[::1],
    int64[:, ::1],
    float64[::1],
    float64,
    uint8[::1],
    float64[::1],
    int64[::1],
    float64[:, ::1],
)
# Kernel values of any size are float64, and have a diagonal.
OF_ANY = (float64[::1], *ARGUMENTS[1:], float64[::1])
SIGNATURES = {
    smo_shared: ARGUMENTS,
    smo_global: (*ARGUMENTS, float64[::1]),
    smo_shared_any: OF_ANY,
    smo_global_any: (*OF_ANY, float64[::1]),
}
OTHERS = {
    smo_shared: smo_global,
    smo_global: smo_shared,
    smo_shared_any: smo_global_any,
    smo_global_any: smo_shared_any,
}
# The kernels for values of any size are the same code, so one kind of device is enough.
OLDEST, *_ = DEVICES = (7, 5), (8, 0), (9, 0), (10, 0)
KERNELS = pytest.mark.parametrize(
    ("kernel", "cc"),
    [
        (kernel, cc)
        for kernel in SIGNATURES
        for cc in DEVICES
        if kernel in (smo_shared, smo_global) or cc == OLDEST
    ],
    ids=lambda value: f"{value[0]}.{value[1]}" if type(value) is tuple else value.__name__,
)
REGISTERS_OF_A_BLOCK = 65_536

# Linux has it from the extra 'dev'; there is none for other systems.
nvjitlink = pytest.importorskip("cuda.bindings.nvjitlink")

_compiled = {}


def compile_to_ptx(kernel, cc):
    if (kernel, cc) not in _compiled:
        bound = _OPTIONS["launch_bounds"]
        code, result = cuda.compile_ptx(
            kernel.py_func, SIGNATURES[kernel], cc=cc, launch_bounds=bound
        )
        assert str(result) == "none"
        _compiled[kernel, cc] = code
    return _compiled[kernel, cc]


def count(pattern, ptx):
    return len(re.findall(pattern, ptx, flags=re.MULTILINE))


@KERNELS
def test_ptx(kernel, cc):
    ptx = compile_to_ptx(kernel, cc)
    assert count(rf"^\.target sm_{cc[0]}{cc[1]}$", ptx) == 1
    assert count(r"^\.maxntid 1024", ptx) == 1
    # Two barriers for each of three maxima and of three sums, and the vote: none lost or doubled.
    assert count(r"\bbar(rier)?(\.cta)?\.sync\b", ptx) == 12
    assert count(r"\bbar(rier)?(\.cta)?\.red\.or\b", ptx) == 1
    # Nothing is called, and nothing is kept in the slow memory of a thread.
    assert count(r"^\s*call|\.local\b", ptx) == 0


@pytest.mark.parametrize("cc", DEVICES, ids="{0[0]}.{0[1]}".format)
@pytest.mark.parametrize("dtype", [float32, float64])
def test_ptx_of_kernel_values(dtype, cc):
    """As `kernel_matrix` launches it: products as CuPy gives them, in the samples' precision."""
    signature = (dtype[:, ::1], dtype[::1], dtype, int64, int64, int64, float32[::1])
    ptx, _ = cuda.compile_ptx(rbf_from_products.py_func, signature, cc=cc)
    assert count(rf"^\.target sm_{cc[0]}{cc[1]}$", ptx) == 1
    assert count(r"\bst\.global\.[bf]32\b", ptx) == 2  # the value and its mirror image
    assert count(r"\.local\b", ptx) == 0
    if dtype is float32:
        assert count(r"\.f64\b", ptx) == 0  # nothing is promoted to double precision


@KERNELS
def test_where_v_is(kernel, cc):
    """In shared memory it is read as such, not through pointers that may lead anywhere."""
    ptx = compile_to_ptx(kernel, cc)
    assert count(r"^\s+(@%p\d+\s+)?(ld|st|atom|red)\.(?!shared|global|param)", ptx) == 0
    other = compile_to_ptx(OTHERS[kernel], cc)
    sides = 1 if kernel in (smo_shared, smo_shared_any) else -1
    for access in ("ld", "st"):
        pattern = rf"\b{access}\.shared\.[bf]64\b"
        assert count(pattern, ptx) > 0
        assert sides * (count(pattern, ptx) - count(pattern, other)) > 0


@KERNELS
def test_the_largest_block_has_enough_registers(kernel, cc):
    """A launch fails if it has not; the compiler is told by the launch bound."""
    info = assemble(compile_to_ptx(kernel, cc).encode(), cc)
    (registers,) = re.findall(r"Used (\d+) registers", info)
    assert int(registers) * _OPTIONS["launch_bounds"] <= REGISTERS_OF_A_BLOCK


def assemble(ptx, cc):
    """Make machine code of PTX, and give the assembler's remarks."""
    options = [f"-arch=sm_{cc[0]}{cc[1]}", "-verbose"]
    linker = nvjitlink.create(len(options), options)
    try:
        nvjitlink.add_data(linker, nvjitlink.InputType.PTX, ptx, len(ptx), "smo")
        nvjitlink.complete(linker)
        info = bytearray(nvjitlink.get_info_log_size(linker))
        nvjitlink.get_info_log(linker, info)
        assert nvjitlink.get_linked_cubin_size(linker) > 0
    finally:
        nvjitlink.destroy(linker)
    return info.decode()
