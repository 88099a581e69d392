"""CSV files that are safe to open."""

import csv
import io

import pandas as pd
import pytest

from svmcifar.io.csv_files import file_column, write_rows, write_table
from svmcifar.text import csv_cell

FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "\n=1", "=cmd|' /C calc'!A0"]
CONTROLS = ["\t=1", "\r=1", "a\rb", "a\0b", "a\x1b[31mb", "\x7f", "\x9b31m"]


@pytest.mark.parametrize("text", FORMULAS)
def test_a_text_is_no_formula(text):
    assert csv_cell(text) == "'" + text


@pytest.mark.parametrize("text", CONTROLS)
def test_a_text_has_no_control_characters(text):
    cell = csv_cell(text)
    assert cell[:1] not in "=+-@\t\r"
    assert cell.isprintable()


@pytest.mark.parametrize("value", ["", "a", "maple_tree", "a=b", "a-b", "ü 日本", "a\nb", -1, None])
def test_other_cells_stay_as_they_are(value):
    assert csv_cell(value) == value


def test_a_table(tmp_path):
    names = [*FORMULAS, *CONTROLS, "plain", 'a,"b"']
    numbers = [-0.5 * i for i in range(len(names))]
    table = pd.DataFrame({"name": names, "number": numbers, "right": True, "none": None})
    write_table(table, tmp_path / "a.csv")
    text = (tmp_path / "a.csv").read_bytes().decode()
    assert not [c for c in text if not c.isprintable() and c != "\n"]
    rows = list(csv.reader(io.StringIO(text)))
    assert rows[0] == ["name", "number", "right", "none"]
    assert [row[0] for row in rows[1:]] == [csv_cell(name) for name in names]
    assert [float(row[1]) for row in rows[1:]] == numbers
    assert rows[1][2:] == ["True", ""]
    write_table(table, stream := io.StringIO())
    assert stream.getvalue() == text
    write_rows([table.columns, *table[["name"]].to_numpy()], tmp_path / "b.csv")
    assert (tmp_path / "b.csv").read_text().splitlines()[1] == "'=1+1"


def test_bytes_of_file_names_stay_as_they_are(tmp_path):
    write_table(pd.DataFrame({"file": file_column(["caf\udce9.png"])}), tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_bytes() == b"file\ncaf\xe9.png\n"
