"""CuPy's RawModule for machines without a GPU: CUDA sources are compiled for the host.

See ``cuda_on_host.hpp`` for what watches them.  Arrays are anything with an array of NumPy's as
``_host``.
"""

import ctypes
import subprocess
import tempfile
from functools import cache
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import ClassVar

import numpy as np

HEADER = Path(__file__).with_name("cuda_on_host.hpp")
# What every kernel has without asking, and what this device has.
SHARED_BYTES, MOST_SHARED_BYTES = 48 * 1024, 227 * 1024

_folder = tempfile.TemporaryDirectory(prefix="cuda-on-host-")
_seeds = count()


class Watch:
    """What launches are watched for, and what they were; for tests to change."""

    merged_line = 0  # of a barrier that keeps no accesses apart
    arch = 900  # compute capability, as in __CUDA_ARCH__
    launches: ClassVar[list] = []  # (kernel, blocks, threads, bytes of shared memory)
    start = staticmethod(lambda launch, args: launch())  # when a launch takes place


class CudaError(AssertionError):
    """A kernel does what it must not."""


class _Argument(ctypes.Structure):
    _fields_ = (("data", ctypes.c_void_p), ("n_bytes", ctypes.c_int64))


class _Launch(ctypes.Structure):
    _fields_ = (
        ("grid", ctypes.c_int32 * 2),
        ("block", ctypes.c_int32 * 2),
        ("shared_bytes", ctypes.c_int64),
        ("arguments", ctypes.POINTER(_Argument)),
        ("n_arguments", ctypes.c_int32),
        ("merged_line", ctypes.c_int32),
        ("seed", ctypes.c_uint64),
        ("error", ctypes.c_char * 400),
    )


@cache
def _compile(code, options, arch):
    name = sha256(repr((code, options, arch)).encode()).hexdigest()[:16]
    source, library = (Path(_folder.name) / f"{name}{suffix}" for suffix in (".cpp", ".so"))
    # Lines are those of the code, so that tests can name them.
    source.write_text(f'#include "{HEADER}"\n#line 1 "kernels.cu"\n{code}')
    subprocess.run(
        ["g++", "-std=c++17", "-O1", "-shared", "-fPIC", "-w", "-ffp-contract=off",
         "-U_FORTIFY_SOURCE", f"-D__CUDA_ARCH__={arch}",
         *(option for option in options if option.startswith("-D")), source, "-o", library],
        check=True,
    )  # fmt: skip
    return ctypes.CDLL(str(library))


class RawModule:
    """As CuPy's."""

    def __init__(self, *, code, options=()):
        self.code, self.options = code, tuple(options)

    def get_function(self, name):
        return _Function(self, name)


class _Function:
    max_dynamic_shared_size_bytes = SHARED_BYTES
    num_regs = local_size_bytes = 0  # nobody knows

    def __init__(self, module, name):
        self.module, self.name = module, name

    def __call__(self, grid, block, args, *, shared_mem=0):
        assert shared_mem <= self.max_dynamic_shared_size_bytes <= MOST_SHARED_BYTES
        values, kept = zip(*map(_as_argument, args), strict=True)
        Watch.start(lambda: self._run(grid, block, values, shared_mem, kept), args)

    def _run(self, grid, block, values, shared_mem, kept):
        function = _compile(self.module.code, self.module.options, Watch.arch)[self.name]
        launch = _Launch(
            grid=(*grid, 1)[:2],
            block=(*block, 1)[:2],
            shared_bytes=shared_mem,
            arguments=(_Argument * len(values))(*values),
            n_arguments=len(values),
            merged_line=Watch.merged_line,
            seed=next(_seeds),
        )
        Watch.launches.append((self.name, *grid, *block, shared_mem))
        if function(ctypes.byref(launch)):
            raise CudaError(f"{self.name}: {launch.error.decode()}")


def _as_argument(value):
    """Give address and size of an array's data or of a number, and what keeps the number alive.

    Arrays are not kept: memory that is freed is for later launches of its stream.
    """
    if hasattr(value, "_host"):
        assert value._host.flags.c_contiguous
        return (value._host.ctypes.data, value._host.nbytes), None
    assert isinstance(value, np.generic), "CuPy makes up the type of Python's numbers"
    whole = np.atleast_1d(value)
    return (whole.ctypes.data, whole.nbytes), whole
