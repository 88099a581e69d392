"""Parquet files of encoded images and their labels, as the hubs of data sets ship them."""

import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from math import inf
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from svmcifar.compute.memory import available_bytes, format_bytes
from svmcifar.compute.progress import stage
from svmcifar.data.dataset import CLASSES, SUPERCLASSES, ReadingOptions
from svmcifar.data.labelled_pictures import (
    ALL,
    LabelledPictures,
    Pictures,
    Superclasses,
    check_ids,
    check_superclasses,
    check_texts,
    numbers_as_names,
)
from svmcifar.errors import BackendUnavailableError, DataError
from svmcifar.io.reading import open_file

# Our names of the columns, by those that files may have.
_IMAGE, _LABEL, _ABOVE = "image", "label", "superclass"
_COLUMNS = {
    _IMAGE: ("img", "image"),
    _LABEL: (f"{CLASSES}_label", "label"),
    _ABOVE: (f"{SUPERCLASSES}_label",),
}
_PARTS = ("train", "test")
_SUFFIX = ".parquet"


class ParquetFiles(LabelledPictures):
    """Tables such as ``train-00000-of-00001.parquet`` and ``test-00000-of-00001.parquet``.

    They have a column of encoded images, one of classes, as numbers or texts, and perhaps one of
    superclasses, by one of the names in `_COLUMNS`.  Names of numbered classes are those that
    Hugging Face's `datasets` keeps in the metadata.
    """

    @classmethod
    def find(cls, place: Path, reading: ReadingOptions) -> Self | None:
        """Open the tables in a folder or in one within, or a table; None if there are none."""
        path = Path(os.path.expanduser(place))
        if path.is_file() and path.suffix.lower() == _SUFFIX:
            if _part_of(path) is not None:  # it stands for the folder
                path = path.parent.parent if path.parent.name in _PARTS else path.parent
        elif not path.is_dir():
            return None
        elif not _tables_in(path):
            inside = [folder for folder in sorted(path.iterdir()) if _tables_in(folder)]
            if len(inside) > 1:
                raise DataError(
                    f"{path}: the tables must be of one data set, got folders of several: "
                    f"{', '.join(folder.name for folder in inside)}; name one of them"
                )
            if not inside:
                return None
            path = inside[0]
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError as error:
            raise BackendUnavailableError(
                f"{path}: parquet files need pyarrow, got '{error}'; install it with "
                "`pip install 'svmcifar[parquet]'`"
            ) from error
        return cls(path, reading)

    @classmethod
    def form(cls) -> str:
        """Describe what `find` takes, to end a sentence with "must be"."""
        return "a folder of train*.parquet and test*.parquet"

    @cached_property
    def _tables(self) -> Mapping[str, Any]:
        """The tables by part, with our names of columns."""
        import pyarrow as pa

        files = [self.location] if self.location.is_file() else _tables_in(self.location)
        by_part = {part: [f for f in files if _part_of(f) == part] for part in _PARTS}
        if not any(by_part.values()):
            by_part = {ALL: files}
        if missing := [part for part, of_part in by_part.items() if not of_part]:
            raise DataError(
                f"{self.location}: there must be train*.parquet and test*.parquet, got none of "
                f"{missing[0]}; add it, or name one table to hold out a fifth of its images"
            )
        try:
            return {part: pa.concat_tables(map(_read, paths)) for part, paths in by_part.items()}
        except pa.ArrowException as error:
            raise DataError(
                f"{self.location}: the tables must have the same columns, got "
                f"'{' '.join(str(error).split())[:100]}'; write them again"
            ) from error

    def _column(self, name: str, part: str) -> NDArray[Any]:
        """Return the labels of a kind."""
        return self._tables[part][name].to_numpy()

    def _names(self, name: str) -> tuple[str, ...]:
        """Return the names of the classes of a kind: texts, those in the metadata, or numbers."""
        table = next(iter(self._tables.values()))
        columns = [self._column(name, part) for part in self._tables]
        if columns[0].dtype.kind == "O":
            if odd := [value for of_part in columns for value in of_part if not _is_text(value)]:
                raise DataError(
                    f"{self.location}, {name}: labels must be texts or numbers, got {odd[0]!r}; "
                    "write the tables again"
                )
            return check_texts(sorted(set(np.concatenate(columns))), f"{self.location}, {name}")
        if kept := _names_in(table.schema.metadata or {}, name):
            return check_texts(kept, f"{self.location}, {name}")
        ids = [check_ids(of_part, f"{self.location}, {name}", None) for of_part in columns]
        return numbers_as_names(ids, f"{self.location}, {name}")

    def _ids(self, name: str, part: str, names: tuple[str, ...]) -> NDArray[np.int64]:
        values = self._column(name, part)
        if values.dtype.kind == "O":
            id_of = {text: class_id for class_id, text in enumerate(names)}
            return np.array([id_of[value] for value in values], dtype=np.int64)
        return check_ids(values, f"{self.location}, {name}", len(names))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self._names(_LABEL)

    @cached_property
    def stored_parts(self) -> Mapping[str, Pictures]:
        """The training and test pictures, or all."""
        return {part: self._pictures(part) for part in self._tables}

    def _pictures(self, part: str) -> Pictures:
        ids, images = self._ids(_LABEL, part, self.names), self._tables[part][_IMAGE]
        names = [f"{part}_{number:05}" for number in range(len(ids))]

        def content(i: int) -> bytes:
            image = images[i].as_py()
            content = image.get("bytes") if isinstance(image, dict) else image
            if not isinstance(content, bytes):
                raise DataError(
                    f"{names[i]}: the table must hold the image's file, got a "
                    f"{type(content).__name__}; write it again with the images embedded"
                )
            return content

        return Pictures(ids, names, content)

    @cached_property
    def superclasses(self) -> Superclasses | None:
        """The superclasses, if the tables have them; raise DataError if they contradict."""
        if any(_ABOVE not in table.column_names for table in self._tables.values()):
            return None
        names, subject = self._names(_ABOVE), f"{self.location}, {_ABOVE}"
        remedy = f"leave the column {_COLUMNS[_ABOVE][0]} out"
        pairs = [
            (self._ids(_LABEL, part, self.names), self._ids(_ABOVE, part, names))
            for part in self._tables
        ]
        ids, above = np.unique(np.concatenate(pairs, axis=1), axis=1)
        if divided := ids[1:][ids[1:] == ids[:-1]].tolist():
            raise DataError(
                f"{self.location}: each class must lie in one superclass, got "
                f"{self.names[divided[0]]!r} in several; {remedy}"
            )
        of_class = np.zeros(len(self.names), dtype=np.int64)
        of_class[ids] = above
        return check_superclasses(Superclasses(names, of_class), subject, remedy)


def _tables_in(folder: Path) -> list[Path]:
    """List the parquet files in a folder, and in train/ and test/ within it."""
    return sorted(
        path
        for place in (folder, *map(folder.joinpath, _PARTS))
        for path in place.glob(f"*{_SUFFIX}")
    )


def _part_of(path: Path) -> str | None:
    """Return "train" or "test" by the name of a table or of its folder; None for any other."""
    if path.parent.name in _PARTS:
        return path.parent.name
    begins = re.match(f"({'|'.join(_PARTS)})(?![a-z])", path.name)
    return begins[1] if begins else None


def _read(path: Path) -> Any:
    """Read the columns of a table that are known, by our names."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with stage(f"reading {path.name}"):
            _require_room(path)
            schema = parquet.read_schema(path)
            known = {
                ours: [name for name in names if name in schema.names]
                for ours, names in _COLUMNS.items()
            }
            for ours in (_IMAGE, _LABEL):
                if not known[ours]:
                    raise DataError(
                        f"{path}: must have a column {' or '.join(_COLUMNS[ours])}, got "
                        f"{', '.join(schema.names)}; rename one"
                    )
            found = {ours: names[0] for ours, names in known.items() if names}
            table = parquet.read_table(path, columns=list(found.values()))
            table.validate(full=True)  # texts, for example, need be none
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: must be a whole parquet file, got '{' '.join(str(error).split())[:100]}'; "
            "get it again"
        ) from error
    table = table.select(list(found.values())).rename_columns(list(found))
    return table.replace_schema_metadata(schema.metadata)


def _require_room(path: Path) -> None:
    """Raise OSError if a table is no regular file, or unpacks to more than there is memory."""
    from pyarrow import parquet

    open_file(path).close()
    metadata = parquet.read_metadata(path)
    groups = range(metadata.num_row_groups)
    n_bytes = sum(metadata.row_group(number).total_byte_size for number in groups)
    if n_bytes > (available_bytes() or inf):
        raise OSError(f"it unpacks to {format_bytes(n_bytes)}, more than is free")


def _names_in(metadata: Mapping[bytes, bytes], name: str) -> list[str] | None:
    """Return the names of classes that Hugging Face's `datasets` keeps in a table's metadata."""
    with suppress(ValueError, LookupError, TypeError, AttributeError):
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        for theirs in _COLUMNS[name]:
            if theirs in features:
                return [str(text) for text in features[theirs]["names"]]
    return None


def _is_text(value: Any) -> bool:
    return isinstance(value, str)
