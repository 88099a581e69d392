"""Writes that fail as on a full disk, without one."""

import resource
from contextlib import contextmanager


@contextmanager
def full_disk(n_bytes):
    """Let no file grow beyond so many bytes; the system's word is 'File too large'."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
