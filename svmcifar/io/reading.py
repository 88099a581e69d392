"""The gate for files that others made: regular ones alone, and no larger than can be read.

What is refused is an OSError whose `strerror` says why, as for a file that is not there.
"""

import errno
import os
import stat
from math import inf
from pathlib import Path
from typing import BinaryIO

from svmcifar.compute.memory import available_bytes

# Where a system has neither, pipes have no paths, and files are bytes.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def open_file(path: str | Path, most_bytes: float = inf) -> BinaryIO:
    """Open a regular file for reading bytes; raise OSError if it is anything else, or larger.

    A pipe would make its reader wait for ever, and some devices have no end.
    """
    descriptor = os.open(path, _FLAGS)
    try:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is a pipe or a device", str(path))
        if status.st_size > most_bytes:
            sizes = f"{status.st_size:,} bytes where at most {most_bytes:,}"
            raise OSError(errno.EFBIG, f"it has {sizes} can be read", str(path))
    except BaseException:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


def read_file(path: str | Path, most_bytes: float = inf) -> bytes:
    """Read a file whole, as `open_file`, and no more than the memory that there is."""
    with open_file(path, min(most_bytes, available_bytes() or inf)) as file:
        return file.read()
