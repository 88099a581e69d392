"""Zip archives whose members are stored as they are, and what damaged ones raise."""

import lzma
import os
import struct
import zipfile
import zlib
from typing import BinaryIO

ZIP_ERRORS = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, LookupError, ValueError,
    OverflowError, NotImplementedError, RuntimeError,
)  # fmt: skip
"""What reading a damaged zip archive raises, apart from OSError: `zipfile` promises the first."""


def open_zip(file: BinaryIO) -> zipfile.ZipFile:
    """Open a zip archive as our writers leave it: each name once, and nothing compressed.

    So it cannot unpack to more than it is large.  Raise BadZipFile for any other.
    """
    archive = zipfile.ZipFile(file)
    members = archive.infolist()
    if len({member.filename for member in members}) < len(members):
        raise zipfile.BadZipFile("a name comes twice")
    n_bytes = file.seek(0, os.SEEK_END)
    if (
        any(member.compress_type != zipfile.ZIP_STORED for member in members)
        or sum(member.file_size for member in members) > n_bytes
    ):
        raise zipfile.BadZipFile("it unpacks to more than it is large")
    return archive
