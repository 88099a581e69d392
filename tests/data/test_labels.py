"""The label CSV: built from the pickles, written whole, read with suspicion."""

import os
import shutil

import pandas as pd
import pytest
from datafiles import coarse_of, make_fields, write_fields

from svmcifar.data.cifar import Cifar100, open_dataset
from svmcifar.data.labels import (
    COLUMNS,
    build_label_map,
    check_label_map,
    load_or_build_labels,
    read_label_csv,
    write_label_csv,
)
from svmcifar.errors import DataError, LabelError, OutputError


@pytest.fixture
def dataset(tiny_dataset):
    return open_dataset(tiny_dataset)


@pytest.fixture
def frame(dataset):
    return build_label_map(dataset)


@pytest.fixture
def labels_csv(frame, tmp_path):
    path = tmp_path / "labels.csv"
    write_label_csv(frame, path)
    return path


@pytest.fixture
def contradicting(tiny_dataset, tmp_path):
    """Open a copy of the data set in which labels of one split were changed."""

    def contradicting(name, changes):
        folder = shutil.copytree(tiny_dataset, tmp_path / "contradicting")
        fields = make_fields(name)
        for key, old, new in changes:
            fields[key] = [new if value == old else value for value in fields[key]]
        write_fields(folder / name, fields)
        return open_dataset(folder, check_md5=False)

    return contradicting


# Building


def test_build(frame):
    assert list(frame.columns) == list(COLUMNS)
    assert frame["fine_label_id"].tolist() == list(range(100))
    assert frame["coarse_label_id"].tolist() == coarse_of(range(100)).tolist()
    assert frame["fine_label_name"][42] == "class_42"
    assert frame["coarse_label_name"][1] == "superclass_10"
    assert frame["fine_label_id"].dtype == frame["coarse_label_id"].dtype == "int64"


def test_build_takes_splits_already_read(dataset, frame, monkeypatch):
    splits = {name: dataset.read_split(name) for name in ("train", "test")}
    read = []
    real = Cifar100.read_split
    monkeypatch.setattr(Cifar100, "read_split", lambda s, n: (read.append(n), real(s, n))[1])
    assert build_label_map(dataset, train=splits["train"]).equals(frame)
    assert read == ["test"]
    assert build_label_map(dataset, **splits).equals(frame)
    assert read == ["test"]


@pytest.mark.parametrize("name", ["train", "test"])
def test_build_needs_every_class_in_both_splits(contradicting, name):
    dataset = contradicting(name, [("fine_labels", 7, 8)])
    with pytest.raises(DataError, match=rf"{name}: each of the 100 .* got fine class 7 in 0"):
        build_label_map(dataset)


def test_build_refuses_a_class_in_two_superclasses(tiny_dataset, tmp_path):
    folder = shutil.copytree(tiny_dataset, tmp_path / "two")
    fields = make_fields("train")
    fields["coarse_labels"][0] = (fields["coarse_labels"][0] + 1) % 20
    write_fields(folder / "train", fields)
    with pytest.raises(DataError, match=rf"got fine class {fields['fine_labels'][0]} in 2"):
        build_label_map(open_dataset(folder, check_md5=False))


def test_build_needs_five_classes_in_a_superclass(contradicting):
    dataset = contradicting("train", [("coarse_labels", 3, 4)])
    with pytest.raises(DataError, match="must have 5 fine classes, got 10 in superclass 4"):
        build_label_map(dataset)


def test_build_refuses_splits_that_disagree(contradicting):
    """Swap two superclasses in test alone: each split is sound by itself."""
    swap = [("coarse_labels", 3, -1), ("coarse_labels", 4, 3), ("coarse_labels", -1, 4)]
    with pytest.raises(DataError, match=r"train and test must agree.*superclass 3 .* 4 in test"):
        build_label_map(contradicting("test", swap))


# Writing


def test_written_file_is_plain_csv(labels_csv):
    lines = labels_csv.read_bytes().decode().split("\n")
    assert lines[0] == "fine_label_id,fine_label_name,coarse_label_id,coarse_label_name"
    assert lines[1] == "0,class_00,3,superclass_03"
    assert len(lines) == 102
    assert lines[-1] == ""


def test_write_does_not_overwrite(frame, labels_csv):
    labels_csv.write_text("mine")
    with pytest.raises(OutputError, match="--overwrite"):
        write_label_csv(frame, labels_csv)
    assert labels_csv.read_text() == "mine"
    write_label_csv(frame, labels_csv, overwrite=True)
    assert read_label_csv(labels_csv).equals(frame)
    assert os.listdir(labels_csv.parent) == ["labels.csv"]


# Reading


def test_round_trip(frame, labels_csv):
    pd.testing.assert_frame_equal(read_label_csv(labels_csv), frame)


def test_reads_what_a_spreadsheet_saves(frame, labels_csv):
    text = labels_csv.read_text()
    labels_csv.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert read_label_csv(labels_csv).equals(frame)


@pytest.mark.parametrize(
    ("line", "row", "rule"),
    [
        (1, "fine,coarse", "the header must be fine_label_id,.* got 'fine,coarse'"),
        (6, "4,class_04,11", "a row must have 4 fields, got '3'"),
        (6, "", "a row must have 4 fields, got '0'"),
        (6, "5,class_04,11,superclass_11", "fine_label_id must be 4.* got '5'"),
        (6, "four,class_04,11,superclass_11", "fine_label_id must be 4.* got 'four'"),
        (6, "4,class_04,20,superclass_11", r"coarse_label_id must be an integer in 0\.\.19"),
        (6, "4,class_04,-1,superclass_11", r"coarse_label_id must be .* got '-1'"),
        (6, "4,class_04,1.0,superclass_11", r"coarse_label_id must be .* got '1.0'"),
        (6, "4, ,11,superclass_11", "fine_label_name must not be empty"),
        (6, "4,class_04,11,", "coarse_label_name must not be empty"),
        (6, "4,class_03,11,superclass_11", "fine_label_name must be given once, got 'class_03'"),
        (26, "24,class_24,11,other", "coarse_label_name must be 'superclass_11' .* got 'other'"),
        (8, "6,class_06,5,superclass_11", "'superclass_11' must keep the one id .* got '5'"),
        (102, "0,class_00,3,superclass_03", "there must be 100 rows.* got '101 rows'"),
        (102, "100,class_100,3,superclass_03", "there must be 100 rows.* got '101 rows'"),
    ],
)
def test_wrong_row(labels_csv, line, row, rule):
    lines = labels_csv.read_text().splitlines()
    lines[line - 1 : line] = [row]
    labels_csv.write_text("\n".join(lines) + "\n")
    with pytest.raises(LabelError, match=rule) as caught:
        read_label_csv(labels_csv)
    message = str(caught.value)
    assert message.startswith(f"{labels_csv}, line {line}: ")
    assert message.endswith("write it again with `svmcifar build-labels --overwrite`")
    assert "\n" not in message


def test_uneven_superclasses(labels_csv):
    text = labels_csv.read_text()
    labels_csv.write_text(
        text.replace("99,class_99,16,superclass_16", "99,class_99,3,superclass_03")
    )
    with pytest.raises(LabelError, match=r"line 101: .* 5 fine classes, got '6 in superclass 3'"):
        read_label_csv(labels_csv)


def test_missing_last_rows(labels_csv):
    lines = labels_csv.read_text().splitlines()
    labels_csv.write_text("\n".join(lines[:-2]))
    with pytest.raises(LabelError, match=r"line 99: there must be 100 rows.* got '98 rows'"):
        read_label_csv(labels_csv)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b'fine_label_id,"a\nb"\n'])
def test_file_of_something_else(labels_csv, content):
    labels_csv.write_bytes(content)
    with pytest.raises(LabelError, match=r"labels\.csv") as caught:
        read_label_csv(labels_csv)
    assert "\n" not in str(caught.value)


def test_missing_file(tmp_path):
    with pytest.raises(LabelError, match=r"labels\.csv: .*No such file.*build-labels"):
        read_label_csv(tmp_path / "labels.csv")


# Checking against the data set


@pytest.mark.parametrize(
    ("column", "row", "value"),
    [
        ("fine_label_name", 5, "cow"),
        ("coarse_label_name", 6, "animals"),
        ("coarse_label_id", 7, 19),
        ("fine_label_id", 8, 9),
    ],
)
def test_contradiction(frame, column, row, value):
    wrong = frame.copy()
    wrong.loc[row, column] = value
    check_label_map(frame, frame, path="mine.csv")
    with pytest.raises(LabelError, match=rf"mine\.csv, line {row + 2}: {column} .* '{value}'"):
        check_label_map(wrong, frame, path="mine.csv")


def test_load_or_build(dataset, frame, tmp_path):
    path = tmp_path / "new" / "labels.csv"
    assert load_or_build_labels(path, dataset).equals(frame)
    assert read_label_csv(path).equals(frame)
    time_ns = path.stat().st_mtime_ns
    assert load_or_build_labels(path, dataset).equals(frame)
    assert path.stat().st_mtime_ns == time_ns


def test_load_refuses_and_keeps_a_contradicting_file(dataset, labels_csv):
    text = labels_csv.read_text().replace("class_42", "cow")
    labels_csv.write_text(text)
    with pytest.raises(LabelError, match="line 44: fine_label_name must be 'class_42'"):
        load_or_build_labels(labels_csv, dataset)
    assert labels_csv.read_text() == text


def test_official_map(official_dataset):
    frame = build_label_map(official_dataset).set_index("fine_label_name")
    assert frame["coarse_label_name"]["maple_tree"] == "trees"
    assert frame["coarse_label_name"]["cattle"] == "large_omnivores_and_herbivores"
    assert frame["coarse_label_id"]["apple"] == 4
