"""The CUDA sources compile for each kind of device that is supported; no device is needed."""

import re
from functools import cache

import pytest

from svmcifar.compute import cuda_source
from svmcifar.svm.backends import smo_cuda
from svmcifar.svm.backends.smo_cuda import KERNELS
from svmcifar.svm.kernels import rbf_cuda

# Linux has them from PyTorch; there are none for other systems.
nvrtc = pytest.importorskip("cuda.bindings.nvrtc")
nvjitlink = pytest.importorskip("cuda.bindings.nvjitlink")

DEVICES = pytest.mark.parametrize(
    "cc", [(7, 5), (8, 0), (9, 0), (10, 0)], ids="{0[0]}.{0[1]}".format
)
REGISTERS = 65_536  # of a multiprocessor
# Blocks of a kernel that are to run on a multiprocessor at a time, as its launch bounds ask.
AT_A_TIME = {"smo_1024": 8, "smo_5184": 2}
SMO = [kernel for kernels in KERNELS.values() for kernel in kernels]


def check(result):
    error, *values = result
    assert int(error) == 0, error
    return values[0] if values else None


@cache
def compile_to_ptx(path, cc, *options):
    """Compile as CuPy does."""
    code = cuda_source.read_source(path).encode()
    program = check(nvrtc.nvrtcCreateProgram(code, path.name.encode(), 0, [], []))
    arguments = ["--std=c++17", f"--gpu-architecture=compute_{cc[0]}{cc[1]}", *options]
    nvrtc.nvrtcCompileProgram(program, len(arguments), [a.encode() for a in arguments])
    log = bytes(check(nvrtc.nvrtcGetProgramLogSize(program)))
    nvrtc.nvrtcGetProgramLog(program, log)
    assert log.strip(b"\0 ") == b"", log.decode()
    ptx = bytes(check(nvrtc.nvrtcGetPTXSize(program)))
    check(nvrtc.nvrtcGetPTX(program, ptx))
    return ptx


@cache
def assemble(ptx, cc):
    """Make machine code of PTX; give the assembler's remarks on each kernel."""
    options = [f"-arch=sm_{cc[0]}{cc[1]}", "-verbose"]
    linker = nvjitlink.create(len(options), options)
    try:
        nvjitlink.add_data(linker, nvjitlink.InputType.PTX, ptx, len(ptx), "kernels")
        nvjitlink.complete(linker)
        remarks = bytearray(nvjitlink.get_info_log_size(linker))
        nvjitlink.get_info_log(linker, remarks)
        assert nvjitlink.get_linked_cubin_size(linker) > 0
    finally:
        nvjitlink.destroy(linker)
    parts = re.split(r"Compiling entry function '(\w+)'", remarks.decode())
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def body_of(ptx, name):
    return re.search(rf"\.entry {name}\(.*?^}}", ptx.decode(), re.DOTALL | re.MULTILINE)[0]


@DEVICES
def test_smo(cc):
    ptx = compile_to_ptx(smo_cuda.SOURCE, cc, *smo_cuda.OPTIONS)
    remarks = assemble(ptx, cc)
    assert set(remarks) == {kernel.name for kernel in SMO}
    for kernel in SMO:
        body, remark = body_of(ptx, kernel.name), remarks[kernel.name]
        assert re.search(rf"\.maxntid {kernel.n_threads}\b", body)
        # Three of a step and one before all, the vote, and two of what is told in the end.
        assert len(re.findall(r"\bbar(?:rier)?(?:\.cta)?\.sync\b", body)) >= 5
        assert len(re.findall(r"\bbar(?:rier)?(?:\.cta)?\.red\.(?:popc|or)\b", body)) == 1
        # Nothing is called, and nothing is kept in the slow memory of a thread.
        assert not re.findall(r"^\s*call|\.local\b", body, re.MULTILINE)
        stack, stored, loaded = (
            int(re.search(rf"(\d+) bytes {what}", remark)[1])
            for what in ("stack frame", "spill stores", "spill loads")
        )
        assert (stack, stored, loaded) == (0, 0, 0), kernel.name
        registers = int(re.search(r"Used (\d+) registers", remark)[1])
        blocks = AT_A_TIME.get(kernel.name, 1)
        assert registers * kernel.n_threads * blocks <= REGISTERS
        has_reduction = "redux.sync.max" in body
        assert has_reduction == (cc >= (8, 0))


@DEVICES
def test_kernel_values(cc):
    ptx = compile_to_ptx(rbf_cuda.SOURCE, cc)
    for name, remark in assemble(ptx, cc).items():
        body = body_of(ptx, name)
        # The value and its mirror image, once or on each of two ways.
        assert len(re.findall(r"\bst\.global\.[fb]32\b", body)) in (2, 4)
        assert "0 bytes stack frame" in remark
        # Nothing of float32 is promoted to double precision.
        assert (".f64" in body) == (name == "rbf_float64")
