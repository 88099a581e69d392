"""Our own CUDA kernels, compiled by CuPy when they are first used; it keeps what it compiles."""

from functools import cache
from pathlib import Path
from typing import Any

_NAMES = Path(__file__).with_name("device_names.cuh")
_STANDARD = "--std=c++17"


def read_source(path: Path) -> str:
    """Return a CUDA source with what stands before all."""
    return _NAMES.read_text() + path.read_text()


@cache
def load_kernel(path: Path, name: str, *options: str) -> Any:
    """Return a kernel of a CUDA source, a function of grid, block and arguments."""
    import cupy  # type: ignore[import-not-found,unused-ignore]

    return _load_module(path, options, cupy).get_function(name)


@cache
def _load_module(path: Path, options: tuple[str, ...], cupy: Any) -> Any:
    return cupy.RawModule(code=read_source(path), options=(_STANDARD, *options))
