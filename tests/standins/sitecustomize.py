"""Python imports this at its start: what numba's simulator needs to take the GPU's place."""

import os
import sys
from functools import partial

if os.environ.get("NUMBA_ENABLE_CUDASIM") == "1":
    from numba import cuda
    from numba.cuda.simulator.cudadrv.devicearray import FakeCUDAArray

    from svmcifar.svm.backends import cupy_ovo, smo_cuda

    # The simulator lacks it; an array of the stand-in for CuPy is used in place, as CuPy's are.
    cuda.as_cuda_array = lambda array: FakeCUDAArray(array._host)
    # Each thread of a block is one of the simulator's, and they are slow.
    smo_cuda.launch_smo = partial(smo_cuda.launch_smo, threads=32)
    cupy_ovo.launch_smo = smo_cuda.launch_smo
    cupy_ovo._THREADS = (8, 4)
    # They take turns every 0.1 ms instead of 5: five times as fast.
    sys.setswitchinterval(1e-4)
