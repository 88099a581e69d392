#!/usr/bin/env python3
"""Write tests/gpu/cuml_api.json anew, from a wheel of cuML: signatures of the names in it.

Run it after another release of cuML is wanted, or with names of cuML that new code uses:

    pip download --no-deps --dest wheels cuml-cu13
    python scripts/read_cuml.py wheels/cuml_cu13-*.whl cuml.svm.SVC.decision_function
"""

import ast
import json
import re
import zipfile
from pathlib import Path

import click

API_FILE = Path(__file__).parents[1] / "tests/gpu/cuml_api.json"


class Sources:
    """The sources of a package in a wheel."""

    def __init__(self, wheel: Path) -> None:
        self._archive = zipfile.ZipFile(wheel)
        self._files = set(self._archive.namelist())
        self.version = wheel.name.split("-")[1]

    def read(self, file: str) -> str:
        """Return the text of a file."""
        return self._archive.read(file).decode()

    def file_of(self, module: str) -> str | None:
        """Return the file of a module; None if that is no module with a source."""
        path = module.replace(".", "/")
        return next((f for f in (f"{path}/__init__.py", f"{path}.py") if f in self._files), None)

    def signature(self, name: str) -> str | None:
        """Return the signature of a function, a class or a method; None of anything else.

        Raise ClickException if there is no such name.
        """
        module, _, last = name.rpartition(".")
        file = self.file_of(module)
        if file is None:
            return self._of_class(*self._definition(module), last)
        if last == "__version__":
            return None
        return self._arguments(self._definition(name)[0], "__init__")

    def _definition(self, name: str) -> tuple[ast.stmt, str]:
        """Find a class or a function, through imports; return it and its file."""
        module, _, last = name.rpartition(".")
        file = self.file_of(module)
        for node in ast.parse(self.read(file)).body if file else []:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == last:
                return node, file
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    if (alias.asname or alias.name) == last:
                        return self._definition(f"{node.module}.{alias.name}")
        raise click.ClickException(f"{name}: must be in the wheel's sources, got none.")

    def _of_class(self, node: ast.stmt, file: str, name: str) -> str | None:
        """Return the signature of a method; None of an attribute, of the class or those above it.

        Those are in files beside it, some of them in Cython, which are searched as text.
        """
        methods = [n for n in getattr(node, "body", []) if getattr(n, "name", "") == name]
        for method in methods:
            is_property = any("property" in ast.unparse(d) for d in method.decorator_list)
            return None if is_property else self._arguments(method)
        beside = [f for f in self._files if f.rpartition("/")[0] == file.rpartition("/")[0]]
        texts = [self.read(f) for f in beside if f.endswith((".py", ".pyx"))]
        if not any(re.search(rf"^ +(self\.)?{name} = ", text, re.MULTILINE) for text in texts):
            raise click.ClickException(f"{name}: must be in the wheel's sources, got none.")
        return None

    @staticmethod
    def _arguments(node: ast.stmt, of_class: str = "") -> str:
        if isinstance(node, ast.ClassDef):
            node = next(n for n in node.body if getattr(n, "name", "") == of_class)
        return f"({ast.unparse(node.args)})"


@click.command()
@click.argument("wheel", type=click.Path(exists=True, path_type=Path))
@click.argument("more", nargs=-1)
def main(wheel: Path, more: tuple[str, ...]) -> None:
    """Read a wheel of cuML; MORE are names to add."""
    sources = Sources(wheel)
    names = sorted({*json.loads(API_FILE.read_text())["names"], *more})
    api = {"version": sources.version, "names": {name: sources.signature(name) for name in names}}
    API_FILE.write_text(json.dumps(api, indent=2) + "\n")


if __name__ == "__main__":
    main()
