"""Where the feature cache lies and how large it may be: what the environment says."""

import os
import sys
from pathlib import Path
from typing import NamedTuple

from svmcifar.compute.memory import parse_bytes
from svmcifar.errors import InputError

FOLDER_VARIABLE = "SVMCIFAR_CACHE"
LIMIT_VARIABLE = "SVMCIFAR_CACHE_LIMIT"
DTYPE_VARIABLE = "SVMCIFAR_CACHE_DTYPE"

DTYPES = ("float32", "float16")
_DEFAULT_LIMIT = "10GiB"


class CacheSettings(NamedTuple):
    """Settings of the cache.

    Attributes
    ----------
    folder : Path
    limit_bytes : int
        What all entries may take together; 0 turns the cache off.
    dtype : {"float32", "float16"}
        That features are kept in.
    """

    folder: Path
    limit_bytes: int
    dtype: str


def read_cache_settings() -> CacheSettings:
    """Read the settings from the environment.

    ``SVMCIFAR_CACHE`` names the folder, ``SVMCIFAR_CACHE_LIMIT`` the limit (as
    `svmcifar.compute.memory.parse_bytes` reads it, or 0), ``SVMCIFAR_CACHE_DTYPE`` the dtype.
    Without them it is the platform's folder for caches, 10 GiB and float32.

    Returns
    -------
    CacheSettings

    Raises
    ------
    InputError
        If a variable is not what it may be, or no folder can be told.
    """
    return CacheSettings(_folder(), _limit_bytes(), _dtype())


def _folder() -> Path:
    named = os.environ.get(FOLDER_VARIABLE)
    try:
        return Path(named).expanduser() if named else _platform_folder() / "svmcifar"
    except RuntimeError as error:  # from expanduser
        raise InputError(
            f"The feature cache must have a folder, and no home folder is known. "
            f"Got ${FOLDER_VARIABLE}={named or ''}. Name a folder with it, or set "
            f"{LIMIT_VARIABLE}=0 to do without."
        ) from error


def _platform_folder() -> Path:
    """Tell where programs keep what they can make again."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or "~/AppData/Local").expanduser()
    if sys.platform == "darwin":
        return Path("~/Library/Caches").expanduser()
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # The specification has relative paths ignored.
    return named if named.is_absolute() else Path("~/.cache").expanduser()


def _limit_bytes() -> int:
    text = os.environ.get(LIMIT_VARIABLE) or _DEFAULT_LIMIT
    try:
        return 0 if text.strip() == "0" else parse_bytes(text)
    except InputError as error:
        raise InputError(
            f"${LIMIT_VARIABLE} must be 0, a number of bytes, or such as '3GB' or '512MiB'. "
            f"Got {text!r} instead."
        ) from error


def _dtype() -> str:
    dtype = os.environ.get(DTYPE_VARIABLE) or DTYPES[0]
    if dtype not in DTYPES:
        raise InputError(
            f"${DTYPE_VARIABLE} must be {' or '.join(map(repr, DTYPES))}. Got {dtype!r} instead."
        )
    return dtype
