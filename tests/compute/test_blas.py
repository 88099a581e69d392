import re

import pytest
from threadpoolctl import threadpool_limits

from svmcifar.compute import blas

_AVX512 = "flags : fpu avx2 avx512f avx512cd avx512bw avx512dq avx512vl\n"


@pytest.fixture
def advise(tmp_path, monkeypatch):
    def advise(kernels, flags=_AVX512, coretype=None):
        library = {
            "user_api": "blas",
            "internal_api": "openblas",
            "version": "0.3",
            "architecture": kernels,
        }
        monkeypatch.setattr(blas, "threadpool_info", lambda: [library])
        monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
        if coretype:
            monkeypatch.setenv("OPENBLAS_CORETYPE", coretype)
        cpuinfo = tmp_path / "cpuinfo"
        cpuinfo.write_text("processor : 0\n" + flags)
        return blas.slow_kernels_advice(cpuinfo)

    return advise


def test_slow_kernels_that_the_user_asked_for(advise):
    assert advise("Haswell", coretype="Haswell").endswith("unset OPENBLAS_CORETYPE=Haswell")


def test_slow_kernels_that_openblas_chose(advise):
    assert advise("Zen").startswith("openblas 0.3 Zen does not use the AVX-512")
    assert advise("Zen").endswith("set OPENBLAS_CORETYPE=SkylakeX")


@pytest.mark.parametrize("kernels", ["SkylakeX", "COOPERLAKE", "SapphireRapids"])
def test_fast_kernels(advise, kernels):
    assert advise(kernels) is None


def test_processor_without_avx512(advise):
    assert advise("Haswell", flags="flags : fpu avx2 avx512f\n") is None


def test_systems_without_cpuinfo(tmp_path):
    assert blas.slow_kernels_advice(tmp_path / "missing") is None


def test_kernels_are_named():
    import numpy as np

    np.ones((2, 2)) @ np.ones((2, 2))
    assert blas.blas_kernels()
    with threadpool_limits(1, "blas"):
        assert all(re.fullmatch(r"\S.* \(1 threads\)", name) for name in blas.blas_kernels())
