"""One file knows the kinds of labels by name, and the files of CIFAR's own format their numbers.

So that a data set with other images, classes or superclasses needs a file of its own and no change
of another.
"""

import ast
import re
from pathlib import Path

import pytest

import svmcifar

PACKAGE = Path(svmcifar.__file__).parent
HAVE_THE_WORDS = ("dataset", "cifar*", "labels", "synthetic*", "locations")
WORDS = re.compile(r"(?<![a-z])(coarse|fine)(?![a-z])", re.IGNORECASE)
NUMBERS = re.compile(r"\b(3,?072|32 ?[x×*] ?32|(20|twenty) superclasses|100 (fine )?classes)\b")


def words_of(code):
    """Names and numbers of CIFAR-100 in the names, texts and numbers of Python code."""
    found = []
    for node in ast.walk(ast.parse(code)):
        for name in ("id", "attr", "name", "arg", "asname", "module"):
            found += WORDS.findall(str(getattr(node, name, None) or ""))
        if isinstance(node, ast.Constant):
            text = str(node.value)
            found += [match[0] for regex in (WORDS, NUMBERS) for match in regex.finditer(text)]
    return found


def files():
    allowed = {path for name in HAVE_THE_WORDS for path in PACKAGE.glob(f"data/{name}.py")}
    return sorted(set(PACKAGE.rglob("*.py")) - allowed)


@pytest.mark.parametrize(
    "code",
    [
        "split.fine", "def f(coarse): pass", "coarse_of_fine = 1", "kind == 'coarse'",
        "f'{kind}_coarse_accuracy'", "N = 3072", "'''Rows of 3072 values.'''", "f(fine=1)",
        "'32 x 32 pixels'", "'the 20 superclasses'", "'train on the 100 fine classes'",
        "from svmcifar.x import fine_labels", "class Coarse: pass",
    ],
)  # fmt: skip
def test_words_are_seen(code):
    assert words_of(code)


@pytest.mark.parametrize("code", ["refined = define(affine)", "'finer than 32'", "x = 100"])
def test_other_words_are_none(code):
    assert not words_of(code)


def test_only_the_data_set_knows_its_words_and_numbers():
    found = {
        str(path.relative_to(PACKAGE)): words
        for path in files()
        if (words := words_of(path.read_text()))
    }
    assert not found


def test_templates_do_not_know_them():
    texts = [path.read_text() for path in PACKAGE.rglob("*.j2")]
    assert texts
    assert not [text for text in texts if WORDS.search(text) or NUMBERS.search(text)]
