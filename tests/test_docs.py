"""Every command and every public name has its place in the documentation."""

import re
from pathlib import Path

import svmcifar
from svmcifar.cli import main
from svmcifar.features import __all__ as feature_names

DOCS = Path(__file__).parents[1] / "docs"


def test_every_command_is_documented():
    text = (DOCS / "commands.md").read_text()
    titles = re.findall(r"^## (.+)$", text, flags=re.MULTILINE)
    asked = re.findall(r"^!svmcifar (\S+) --help$", text, flags=re.MULTILINE)
    assert titles == asked == main.list_commands(None)


def test_every_public_name_is_documented():
    text = (DOCS / "api.md").read_text()
    documented = set(re.findall(r"^\.\. auto(?:class|function):: (\S+)$", text, flags=re.MULTILINE))
    public = {f"svmcifar.{name}" for name in svmcifar.__all__ if not name.startswith("_")}
    assert documented == public | {f"svmcifar.features.{name}" for name in feature_names}


def test_every_page_is_in_the_contents():
    listed = set(re.findall(r"^([a-z/-]+)$", (DOCS / "index.md").read_text(), flags=re.MULTILINE))
    pages = {str(path.relative_to(DOCS).with_suffix("")) for path in DOCS.rglob("*.md")}
    assert pages - {"index"} == listed
