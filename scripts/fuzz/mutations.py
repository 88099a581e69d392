"""Damage done to files: to their bytes, and to what lies behind checksums and headers.

Each function takes a file's content and a `random.Random`, which decides what is damaged.  What
cannot be parsed is damaged as bytes.
"""

import bz2
import gzip
import io
import json
import lzma
import pickletools
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np

Mutate = Callable[[bytes, Random], bytes]

_NUMBERS = (
    0,
    1,
    -1,
    2,
    7,
    127,
    128,
    255,
    256,
    2**15,
    2**16,
    2**31 - 1,
    2**31,
    2**32,
    2**63,
    -(2**31),
)
_FLOATS = (float("nan"), float("inf"), float("-inf"), -1.0, 0.0, 1e-300, 1e300, 0.5)
_TEXTS = (
    "",
    "x",
    "\n",
    "\x1b[31m",
    "..",
    "/dev/zero",
    "é",
    "\ud800",
    "a" * 5000,
    "nan",
    "1e999",
    "0",
)
_VALUES: tuple[Any, ...] = (
    None, True, False, [], {}, [[]], ["x"], {"a": 1}, 10**400, 1.5, *_NUMBERS, *_FLOATS, *_TEXTS,
)  # fmt: skip
_MOST_UNPACKED = 2**21
_WORD = re.compile(rb"[A-Za-z_][A-Za-z_0-9.]*|-?[0-9][0-9.e+-]*|\"[^\"\n]*\"")


def mutate_bytes(content: bytes, random: Random) -> bytes:
    """Change, cut, double or insert some bytes, once or several times."""
    changed = bytearray(content or b"\0")
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        at = random.randrange(len(changed) + 1)
        end = min(len(changed), at + random.choice((1, 1, 2, 4, 8, 64, 512)))
        match random.randrange(7):
            case 0:
                changed[at:end] = bytes(random.randrange(256) for _ in range(at, end))
            case 1:
                del changed[at:end]
            case 2:
                changed[at:at] = changed[at:end] * random.choice((1, 2, 50))
            case 3:
                form = random.choice(("<B", "<H", "<I", ">I", "<Q", ">H"))
                size = struct.calcsize(form)
                number = random.choice(_NUMBERS) % 256**size
                changed[at : at + size] = struct.pack(form, number)
            case 4:
                changed[at:end] = random.choice((b"\0", b"\xff", b"9", b"-", b"[", b'"')) * (
                    end - at
                )
            case 5:
                start = random.randrange(len(changed) + 1)
                changed[at:end] = changed[start : start + end - at]
            case _ if end > at:
                changed[at] ^= 1 << random.randrange(8)
    return bytes(changed)


def mutate_text(content: bytes, random: Random) -> bytes:
    """Replace a word or a number by another one, or a line, or damage bytes."""
    words = list(_WORD.finditer(content))
    lines = content.splitlines(keepends=True)
    if not words or random.random() < 0.3:
        return mutate_bytes(content, random)
    if random.random() < 0.3:
        first, second = random.randrange(len(lines)), random.randrange(len(lines))
        lines[first : first + random.randrange(2)] = [lines[second]] * random.choice((0, 1, 1, 2))
        return b"".join(lines)
    word = random.choice(words)
    others = [str(value).encode(errors="surrogatepass") for value in _VALUES]
    others += [random.choice(words)[0], b'"' + word[0] + b'"', word[0] * 2]
    return content[: word.start()] + random.choice(others) + content[word.end() :]


def mutate_value(value: Any, random: Random) -> Any:
    """Replace a value somewhere in one of JSON's, leave one out, double it or rename its key."""
    if not isinstance(value, dict | list) or not value or random.random() < 0.02:
        return random.choice(_VALUES)
    copied = value.copy()
    key = random.choice(list(copied) if isinstance(copied, dict) else range(len(copied)))
    match random.randrange(12):
        case 0:
            del copied[key]
        case 1 if isinstance(copied, dict):
            copied[random.choice((*copied, "x", "__class__", "1"))] = copied.pop(key)
        case 1:
            copied *= random.choice((2, 3, 100))
        case 2:
            copied[key] = random.choice(_VALUES)
        case 3:
            copied[key] = random.choice(
                list(copied.values() if isinstance(copied, dict) else copied)
            )
        case 4:
            for _ in range(random.choice((1, 3, 2000))):
                copied = [copied] if random.random() < 0.5 else {"x": copied}
        case _:
            copied[key] = mutate_value(copied[key], random)
    return copied


def mutate_json(content: bytes, random: Random) -> bytes:
    """Change values of a JSON text, or its bytes."""
    try:
        value = json.loads(content)
        if random.random() < 0.1:
            return mutate_text(content, random)
        for _ in range(random.choice((1, 1, 2, 4))):
            value = mutate_value(value, random)
        return json.dumps(value).encode()
    except (ValueError, RecursionError):
        return mutate_text(content, random)


def mutate_lines(content: bytes, random: Random) -> bytes:
    """Change a line of JSON, leave one out, double it or exchange it."""
    lines = content.splitlines(keepends=True)
    if not lines or random.random() < 0.1:
        return mutate_bytes(content, random)
    at = random.randrange(len(lines))
    match random.randrange(8):
        case 0:
            del lines[at]
        case 1:
            lines.insert(at, random.choice(lines))
        case _:
            lines[at] = mutate_json(lines[at], random) + b"\n"
    return b"".join(lines)


def mutate_array(content: bytes, random: Random) -> bytes:
    """Change values, shape or type of an array in NumPy's format, or the text of its header."""
    try:
        array = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    except Exception:  # of any damage
        array = None
    if array is None or random.random() < 0.2:
        return mutate_text(content, random)
    array = array.copy()
    match random.randrange(6):
        case 0 if array.size and array.dtype.kind in "iuf":
            values = _FLOATS if array.dtype.kind == "f" else _NUMBERS
            with np.errstate(all="ignore"):
                value = np.array(random.choice(values)).astype(array.dtype)
            array.reshape(-1)[random.randrange(array.size)] = value
        case 1:
            array = array[: random.randrange(len(array) + 1)] if array.ndim else array[None]
        case 2:
            array = np.concatenate([array, array]) if array.ndim else array
        case 3:
            array = array.reshape(random.choice(((-1,), (-1, 1), (1, *array.shape))))
        case 4 if array.dtype.kind in "biuf":
            with np.errstate(all="ignore"):
                array = array.astype(
                    random.choice(("f2", "f4", "f8", "i8", "u1", "?", "U3", "c8", ">f4"))
                )
        case _ if array.ndim:
            array = array[::-1]
    return _npy(array)


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(array), allow_pickle=False)
    return file.getvalue()


def mutate_zip(content: bytes, random: Random) -> bytes:
    """Change what a zip archive holds, by the kind of each member, or the archive's bytes."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = [
                (info, archive.open(info).read(_MOST_UNPACKED)) for info in archive.infolist()
            ]
    except Exception:  # of any damage
        members = []
    if not members or random.random() < 0.15:
        return mutate_bytes(content, random)
    at = random.randrange(len(members))
    info, inside = members[at]
    match random.randrange(12):
        case 0:
            del members[at]
        case 1:
            members.append(members[at])
        case 2:
            info.filename = random.choice((*(one.filename for one, _ in members), "x", "../x", "é"))
        case 3:
            info.compress_type = random.choice((0, 8, 12, 14))
        case _:
            members[at] = info, mutate_by_content(inside, random)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for info, inside in members:
            archive.writestr(info.filename, inside, info.compress_type)  # whatever it is told
    return file.getvalue()


_PACKERS: dict[bytes, Any] = {b"\x1f\x8b": gzip, b"BZh": bz2, b"\xfd7zXZ": lzma}


def mutate_archive(content: bytes, random: Random) -> bytes:
    """Change what an archive of data files holds: tar, compressed or not, or zip."""
    if content.startswith(b"PK"):
        return mutate_zip(content, random)
    try:
        packer = next((of for start, of in _PACKERS.items() if content.startswith(start)), None)
        file = io.BytesIO(content)
        unpacked = packer.open(file).read(_MOST_UNPACKED) if packer else content
        with tarfile.open(fileobj=io.BytesIO(unpacked)) as tar:
            members = [(one, tar.extractfile(one).read()) for one in tar if one.isfile()]  # type: ignore[union-attr]
    except Exception:  # of any damage
        members = []
    if not members or random.random() < 0.15:
        return mutate_bytes(content, random)
    at = random.randrange(len(members))
    member, inside = members[at]
    size = None
    match random.randrange(10):
        case 0:
            del members[at]
        case 1:
            members.append(members[at])
        case 2:
            member.name = random.choice(
                ("x", "meta", "../meta", "é" * 200, "cifar-100-python/test")
            )
        case 3:
            member.type = random.choice(
                (b"0", b"1", b"2", b"5", b"6", b"g", b"x", b"S", b"L", b"7")
            )
        case 4:
            size = random.choice((2**20, 2**33, 2**40))
        case _:
            members[at] = member, mutate_by_content(inside, random)
    packed = bytearray()
    for number, (member, inside) in enumerate(members):
        member.size = size if size is not None and number == at else len(inside)
        packed += member.tobuf(tarfile.GNU_FORMAT) + inside + bytes(-len(inside) % 512)
    if random.random() < 0.1:
        packed = bytearray(mutate_bytes(bytes(packed), random))
    if random.random() < 0.1:
        packer = random.choice((None, *_PACKERS.values()))
    return packer.compress(bytes(packed)) if packer else bytes(packed)


def mutate_pickle(content: bytes, random: Random) -> bytes:
    """Leave out, double, exchange or change instructions of a pickle, or its bytes."""
    try:
        places = [place for _, _, place in pickletools.genops(content)]
    except Exception:  # of any damage
        places = []
    if len(places) < 2 or random.random() < 0.3:
        return mutate_bytes(content, random)
    parts = [content[a:b] for a, b in zip(places, [*places[1:], len(content)], strict=True)]
    for _ in range(random.choice((1, 1, 2, 3))):
        at = random.randrange(len(parts))
        match random.randrange(5):
            case 0 if len(parts) > 2:
                del parts[at]
            case 1:
                parts.insert(at, parts[random.randrange(len(parts))])
            case 2:
                parts[at] = parts[random.randrange(len(parts))]
            case 3:
                parts[at : at + 1] = [parts[at]] * random.choice((2, 3, 1000))
            case _:
                parts[at] = mutate_bytes(parts[at], random)
    return b"".join(parts)


def mutate_safetensors(content: bytes, random: Random) -> bytes:
    """Change the header of a safetensors file, which is JSON after its length, or its bytes."""
    end = 8 + int.from_bytes(content[:8], "little")
    if len(content) < end or random.random() < 0.2:
        return mutate_bytes(content, random)
    header, weights = mutate_json(content[8:end], random), content[end:]
    if random.random() < 0.2:
        header, weights = content[8:end], mutate_bytes(weights, random)
    return len(header).to_bytes(8, "little") + header + weights


def mutate_picture(content: bytes, random: Random) -> bytes:
    """Change bytes; those of a PNG's chunks get their checksums anew."""
    if not content.startswith(b"\x89PNG") or random.random() < 0.3:
        return mutate_bytes(content, random)
    parts, at = [], 8
    while at + 12 <= len(content):
        end = at + 8 + int.from_bytes(content[at : at + 4], "big")
        parts.append((content[at + 4 : at + 8], content[at + 8 : end]))
        at = end + 4
    if not parts:
        return mutate_bytes(content, random)
    number = random.randrange(len(parts))
    kind, inside = parts[number]
    if random.random() < 0.3:
        kind = random.choice(
            (b"IDAT", b"PLTE", b"tRNS", b"iCCP", b"tEXt", b"zTXt", b"eXIf", b"acTL")
        )
    parts[number : number + 1] = [(kind, mutate_bytes(inside, random))] * random.choice(
        (1, 1, 1, 2)
    )
    return content[:8] + b"".join(
        len(inside).to_bytes(4, "big")
        + kind
        + inside
        + zlib.crc32(kind + inside).to_bytes(4, "big")
        for kind, inside in parts
    )


def mutate_parquet(content: bytes, random: Random) -> bytes:
    """Change columns or metadata of a table, or its bytes."""
    import pyarrow as pa
    from pyarrow import parquet

    if random.random() < 0.3:
        return mutate_bytes(content, random)
    try:
        table = parquet.read_table(io.BytesIO(content))
        number = random.randrange(table.num_columns)
        name, values = table.column_names[number], table.column(number).to_pylist()
        match random.randrange(7):
            case 0:
                table = table.drop_columns([name])
            case 1:
                table = table.append_column(name, table.column(number))
            case 2:
                table = table.rename_columns(
                    random.choices((*table.column_names, "x", ""), k=table.num_columns)
                )
            case 3:
                kept = table.schema.metadata[b"huggingface"]
                table = table.replace_schema_metadata({"huggingface": mutate_json(kept, random)})
            case 4:
                table = table.slice(0, random.randrange(len(table) + 1))
            case 5:
                kind = random.choice(
                    (pa.string(), pa.float32(), pa.uint64(), pa.bool_(), pa.int8(), pa.null())
                )
                table = table.set_column(number, name, table.column(number).cast(kind, safe=False))
            case _:
                at = random.randrange(len(values))
                if isinstance(values[at], dict):
                    values[at] = {
                        "bytes": mutate_picture(values[at]["bytes"], random),
                        "path": None,
                    }
                else:
                    values[at] = random.choice(_VALUES)
                table = table.set_column(number, name, pa.array(values))
        file = io.BytesIO()
        parquet.write_table(table, file, compression=random.choice(("none", "snappy", "zstd")))
        return file.getvalue()
    except Exception:  # of any damage, and of values that a table cannot hold
        return mutate_bytes(content, random)


def mutate_by_content(content: bytes, random: Random) -> bytes:
    """Change a member of an archive by what it looks like."""
    starts: dict[bytes, Mutate] = {
        b"PK": mutate_zip, b"\x93NUMPY": mutate_array, b"{": mutate_json, b"\x80": mutate_pickle,
    }  # fmt: skip
    mutate = next((of for start, of in starts.items() if content.startswith(start)), mutate_bytes)
    return mutate(content, random)
