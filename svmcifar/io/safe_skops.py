"""Load objects of trusted types alone from skops' format."""

import json
import zipfile
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import skops.io

from svmcifar.errors import ModelFileError
from svmcifar.io.half_arrays import widen_members
from svmcifar.io.stored_zip import open_zip

_SCHEMA = "schema.json"


def read_trusted(
    data: bytes,
    subject: str | Path,
    trusted: Sequence[str],
    renamed: Mapping[str, str] | None = None,
) -> Any:
    """Load an object from skops' format.

    Raise ModelFileError, with `subject` as the file, if it holds types that are neither skops'
    own nor `trusted` (module and name); nothing is built then.  Raise BadZipFile if it is none that
    skops wrote, or compressed.  Its arrays may have been narrowed
    (`svmcifar.io.half_arrays.narrow_members`).  `renamed` maps names of types that older releases
    wrote to today's.
    """
    open_zip(BytesIO(data))
    data = widen_members(data)
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
