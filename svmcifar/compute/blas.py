"""Which BLAS kernels run, and whether they suit the processor."""

import os
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_info

# What OpenBLAS's AVX-512 kernels need, in the names of Linux.
_AVX512 = {"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"}
_AVX512_KERNELS = {"skylakex", "cooperlake", "sapphirerapids"}
_VARIABLE = "OPENBLAS_CORETYPE"


def blas_kernels() -> list[str]:
    """Return the BLAS libraries here, such as "openblas 0.3.31 SkylakeX (2 threads)".

    Features are fitted with all of its threads, whose number may change the last digits.
    """
    return sorted({f"{_describe(lib)} ({lib['num_threads']} threads)" for lib in _libraries()})


def slow_kernels_advice(cpuinfo: Path = Path("/proc/cpuinfo")) -> str | None:
    """Return how to make OpenBLAS use the processor's AVX-512, in one line; None if it does.

    `cpuinfo` is the file in which Linux describes the processor.
    """
    slow = [
        _describe(library)
        for library in _libraries()
        if library["internal_api"] == "openblas"
        and library.get("architecture", "").lower() not in _AVX512_KERNELS
    ]
    if not slow or not _processor_flags(cpuinfo) >= _AVX512:
        return None
    remedy = (
        f"unset {_VARIABLE}={os.environ[_VARIABLE]}"
        if _VARIABLE in os.environ
        else f"set {_VARIABLE}=SkylakeX"
    )
    return (
        f"{slow[0]} does not use the AVX-512 of this processor, so matrix products run at about "
        f"half the speed they could; {remedy}"
    )


def _libraries() -> list[dict[str, Any]]:
    return [library for library in threadpool_info() if library["user_api"] == "blas"]


def _describe(library: dict[str, Any]) -> str:
    parts = (library["internal_api"], library["version"], library.get("architecture"))
    return " ".join(part for part in parts if part)


def _processor_flags(cpuinfo: Path) -> set[str]:
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return set()
    return next((set(line.split(":")[1].split()) for line in lines if line[:5] == "flags"), set())
