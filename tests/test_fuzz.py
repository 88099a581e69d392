"""Files that once were read wrongly, and damaged ones in an order that is fixed.

`scripts/fuzz` has the readers, and looks for more.  An input that shows a fault goes to
`corpus/READER/`, packed by gzip if its name ends in ".packed".
"""

import gzip
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts" / "fuzz"))

from readers import READERS, damaged, fault_of

CORPUS = sorted(path for path in (Path(__file__).parent / "corpus").glob("*/*"))
# Damaged inputs of each reader: a second or two.
N_DAMAGED = {
    "archive": 120, "card": 40, "cifar10": 300, "cifar100": 400, "config": 500, "labels": 600,
    "model": 100, "npz": 250, "onnx": 300, "parquet": 80, "part": 100, "picture": 150, "pth": 60,
    "safetensors": 100, "settings": 300, "state": 80, "study": 150, "superclasses": 500,
}  # fmt: skip


@pytest.fixture(scope="module")
def prepare(tmp_path_factory):
    """Make a reader's seeds, with a folder that its inputs are read in."""
    made = {}

    def of(name):
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            made[name] = READERS[name].seeds(folder), folder
        return made[name]

    return of


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_files_that_were_read_wrongly(prepare, path):
    _, folder = prepare(path.parent.name)
    content = path.read_bytes()
    assert len(content) <= 4096
    content = gzip.decompress(content) if path.suffix == ".packed" else content
    assert fault_of(READERS[path.parent.name], content, folder) is None


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", sorted(READERS))
def test_damaged_files_are_read_or_refused(prepare, name):
    seeds, folder = prepare(name)
    for content in (*seeds, *damaged(READERS[name], seeds, N_DAMAGED[name])):
        if fault := fault_of(READERS[name], content, folder):
            pytest.fail(f"{fault}: {content[:500]!r}")
