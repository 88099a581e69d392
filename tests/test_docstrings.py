"""Examples in docstrings run, print what they say, and leave no files behind."""

import ast
import doctest
import tempfile
from importlib import import_module
from pathlib import Path

import pytest

import svmcifar

PACKAGE = Path(svmcifar.__file__).parent


class Finder(doctest.DocTestFinder):
    """Finds what a file defines by name: the `__module__` of a class may say where it is public."""

    def _from_module(self, module, value):
        nodes = ast.parse(Path(module.__file__).read_text()).body
        names = {node.name for node in nodes if isinstance(node, ast.ClassDef | ast.FunctionDef)}
        return getattr(value, "__qualname__", "").split(".")[0] in names


def docstrings_with_examples():
    for path in sorted(PACKAGE.rglob("*.py")):
        if ">>>" in path.read_text():
            parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
            module = import_module(".".join(parts).removesuffix(".__init__"))
            yield from Finder(exclude_empty=True).find(module, module.__name__)


TESTS = [test for test in docstrings_with_examples() if test.examples]


@pytest.mark.parametrize("test", TESTS, ids=lambda test: test.name)
def test_examples_run(test, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    output = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    runner.run(test, out=output.append)
    assert runner.failures == 0, "".join(output)
    assert not list(tmp_path.iterdir()), "an example leaves files behind"


def test_every_example_is_found():
    written = sum(path.read_text().count(">>> ") for path in PACKAGE.rglob("*.py"))
    assert sum(len(test.examples) for test in TESTS) == written > 20
