"""Load objects from skops' format, of trusted types alone."""

import json
import zipfile
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import skops.io

from svmcifar.errors import ModelFileError

_SCHEMA = "schema.json"


def read_trusted(
    data: bytes,
    subject: str | Path,
    trusted: Sequence[str],
    renamed: Mapping[str, str] | None = None,
) -> Any:
    """Load an object from skops' format.

    Parameters
    ----------
    data : bytes
    subject : str or Path
        The file, for the error.
    trusted : sequence of str
        Allowed types besides skops' own, by module and name.
    renamed : mapping of str to str, optional
        Today's names of types that had other names when the file was written.

    Raises
    ------
    ModelFileError
        If it holds other types; nothing is built then.
    """
    if renamed:
        data = _with_new_names(data, renamed)
    foreign = sorted(set(skops.io.get_untrusted_types(data=data)) - set(trusted))
    if foreign:
        raise ModelFileError(
            f"{subject}: a model may hold only known types, got {', '.join(foreign)}; "
            f"nothing of it was loaded; use a file that svmcifar wrote"
        )
    return skops.io.loads(data, trusted=list(trusted))


def _with_new_names(data: bytes, renamed: Mapping[str, str]) -> bytes:
    """Replace old names of types in the schema of a skops file."""
    with zipfile.ZipFile(BytesIO(data)) as old:
        schema = json.loads(old.read(_SCHEMA), object_hook=lambda node: _renamed(node, renamed))
        changed = BytesIO()
        with zipfile.ZipFile(changed, "w") as new:
            for name in old.namelist():
                new.writestr(name, json.dumps(schema) if name == _SCHEMA else old.read(name))
    return changed.getvalue()


def _renamed(node: dict[str, Any], renamed: Mapping[str, str]) -> dict[str, Any]:
    name = renamed.get(f"{node.get('__module__')}.{node.get('__class__')}")
    return node if name is None else node | {"__module__": name.rpartition(".")[0]}
