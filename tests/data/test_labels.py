"""The label CSV: derived from the data set, written whole, read with suspicion."""

import os

import pandas as pd
import pytest
from datafiles import coarse_of, make_fields, write_fields

from svmcifar.data.labels import (
    check_label_csv,
    check_or_write_label_csv,
    label_rows,
    write_label_csv,
)
from svmcifar.data.registry import open_dataset
from svmcifar.errors import LabelError, OutputError


@pytest.fixture
def dataset(tiny_dataset):
    return open_dataset(tiny_dataset)


@pytest.fixture
def labels_csv(dataset, tmp_path):
    path = tmp_path / "labels.csv"
    write_label_csv(dataset, path)
    return path


# Writing


def test_table(labels_csv):
    frame = pd.read_csv(labels_csv)
    assert frame["fine_label_id"].tolist() == list(range(100))
    assert frame["coarse_label_id"].tolist() == coarse_of(range(100)).tolist()
    assert frame["fine_label_name"][42] == "class_42"
    assert frame["coarse_label_name"][1] == "superclass_10"


def test_written_file_is_plain_csv(labels_csv):
    lines = labels_csv.read_bytes().decode().split("\n")
    assert lines[0] == "fine_label_id,fine_label_name,coarse_label_id,coarse_label_name"
    assert lines[1] == "0,class_00,3,superclass_03"
    assert len(lines) == 102
    assert lines[-1] == ""


def test_a_data_set_without_superclasses_has_two_columns(dataset, monkeypatch):
    monkeypatch.setattr(type(dataset), "label_kinds", ("fine",))
    assert label_rows(dataset)[:2] == [["fine_label_id", "fine_label_name"], ["0", "class_00"]]


def test_write_does_not_overwrite(dataset, labels_csv):
    labels_csv.write_text("mine")
    with pytest.raises(OutputError, match="--overwrite"):
        write_label_csv(dataset, labels_csv)
    assert labels_csv.read_text() == "mine"
    write_label_csv(dataset, labels_csv, overwrite=True)
    check_label_csv(dataset, labels_csv)
    assert os.listdir(labels_csv.parent) == ["labels.csv"]


# Checking


def test_round_trip(dataset, labels_csv):
    check_label_csv(dataset, labels_csv)


def test_names_that_begin_as_formulas(altered, tmp_path):
    fields = make_fields("meta")
    fields["fine_label_names"][:3] = ["=1+1", "@x", "\x1b[31m"]
    write_fields(altered / "meta", fields)
    dataset = open_dataset(altered, check_md5=False)
    path = tmp_path / "labels.csv"
    write_label_csv(dataset, path)
    assert [line.split(",")[1] for line in path.read_text().split("\n")[1:4]] == [
        "'=1+1", "'@x", "\\x1b[31m",
    ]  # fmt: skip
    check_label_csv(dataset, path)
    path.write_text(path.read_text().replace("'=", "=").replace("\\x1b", "\x1b"))  # as others write
    check_label_csv(dataset, path)
    path.write_text(path.read_text() + "\n")
    with pytest.raises(LabelError, match="line 102: there must be no such line"):
        check_label_csv(dataset, path)


def test_reads_what_a_spreadsheet_saves(dataset, labels_csv):
    text = labels_csv.read_text()
    labels_csv.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    check_label_csv(dataset, labels_csv)


@pytest.mark.parametrize(
    ("line", "row", "rule"),
    [
        (1, "fine,coarse", "must be 'fine_label_id,fine_label_name,.* got 'fine,coarse'"),
        (6, "4,class_04,11", "must be '4,class_04,11,superclass_11'.* got '4,class_04,11'"),
        (6, "", "must be '4,class_04,11,superclass_11', as in the data set, got ''"),
        (6, "5,class_04,11,superclass_11", "got '5,class_04,11,superclass_11'"),
        (6, "4,class_03,11,superclass_11", "got '4,class_03,11,superclass_11'"),
        (6, "4,class_04,12,superclass_11", "got '4,class_04,12,superclass_11'"),
        (6, "4,class_04,11.0,superclass_11", r"got '4,class_04,11\.0,superclass_11'"),
        (26, "24,class_24,11,other", "must be '24,class_24,11,superclass_11'.* got '24,class_24"),
        (102, "100,class_100,3,superclass_03", "there must be no such line.* got '100,class_100"),
        (102, "", "there must be no such line.* got ''"),
    ],
)
def test_wrong_row(dataset, labels_csv, line, row, rule):
    lines = labels_csv.read_text().splitlines()
    lines[line - 1 : line] = [row]
    labels_csv.write_text("\n".join(lines) + "\n")
    with pytest.raises(LabelError, match=rule) as caught:
        check_label_csv(dataset, labels_csv)
    message = str(caught.value)
    assert message.startswith(f"{labels_csv}, line {line}: ")
    assert message.endswith("write it again with `svmcifar build-labels --overwrite`")
    assert "\n" not in message


def test_missing_last_rows(dataset, labels_csv):
    lines = labels_csv.read_text().splitlines()
    labels_csv.write_text("\n".join(lines[:-2]))
    with pytest.raises(LabelError, match=r"line 100: must be '98,class_98,.* got nothing"):
        check_label_csv(dataset, labels_csv)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b'fine_label_id,"a\nb"\n'])
def test_file_of_something_else(dataset, labels_csv, content):
    labels_csv.write_bytes(content)
    with pytest.raises(LabelError, match=r"labels\.csv") as caught:
        check_label_csv(dataset, labels_csv)
    assert "\n" not in str(caught.value)


def test_missing_file(dataset, tmp_path):
    with pytest.raises(LabelError, match=r"labels\.csv: .*No such file.*build-labels"):
        check_label_csv(dataset, tmp_path / "labels.csv")


def test_check_or_write(dataset, tmp_path):
    path = tmp_path / "new" / "labels.csv"
    check_or_write_label_csv(dataset, path)
    check_label_csv(dataset, path)
    time_ns = path.stat().st_mtime_ns
    check_or_write_label_csv(dataset, path)
    assert path.stat().st_mtime_ns == time_ns


def test_a_contradicting_file_is_refused_and_kept(dataset, labels_csv):
    text = labels_csv.read_text().replace("class_42", "cow")
    labels_csv.write_text(text)
    with pytest.raises(LabelError, match=r"line 44: must be '42,class_42,.* got '42,cow,"):
        check_or_write_label_csv(dataset, labels_csv)
    assert labels_csv.read_text() == text


def test_official_map(official_dataset):
    rows = {name: (label, group) for _, name, label, group in label_rows(official_dataset)}
    assert rows["maple_tree"][1] == "trees"
    assert rows["cattle"][1] == "large_omnivores_and_herbivores"
    assert rows["apple"] == ("4", "fruit_and_vegetables")
