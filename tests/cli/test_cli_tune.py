import re
import tomllib
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from clirun import fail, run
from feature_options import quick_features

from svmcifar.cli import main
from svmcifar.data.cifar100 import Cifar100
from svmcifar.data.sampling import draw_rows, holdout_split
from svmcifar.errors import InputError
from svmcifar.features.kinds import KINDS
from svmcifar.features.settings import FeatureSettings
from svmcifar.model.persistence import read_manifest
from svmcifar.tuning import tune

QUICK = ["--features", "hog", "--limit", "300", "--C", "1,10", "--gamma", "0.5x,1x"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Each test works in an empty folder of its own, and histograms are few features."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SVMCIFAR_DATA", raising=False)
    monkeypatch.setenv("SVMCIFAR_CACHE_LIMIT", "0")
    with quick_features():
        monkeypatch.setitem(KINDS, "hog", ("hog", KINDS["cells"][1]))
        yield tmp_path


def test_a_search_tells_what_it_found(synthetic_folder, folder):
    search = ("tune", "--data", synthetic_folder, *QUICK, "--pca", 5, "--pca", 12)
    assert "memory plan" not in run(*search, "--out", "other.toml")
    output = run(*search, "--verbose")
    for expected in (
        "data         SYNTHETIC stand-in, ",
        "labels       coarse\n",
        "images       200 to train on, 100 held out\n",
        "grid         C 1, 10\n",
        "             gamma 0.5x, 1x scale\n",
        "             components 5, 12\n",
        "search       8 settings in ",
        "memory plan  whole kernel matrix, ",
        "95 % interval",
        "saved        tuned.toml\n",
        "next         svmcifar train --config tuned.toml\n",
    ):
        assert expected in output
    rows = re.findall(r"^ .  ? *(\d+\.\d\d) % ", output, flags=re.MULTILINE)
    assert len(rows) == 8
    assert rows == sorted(rows, key=float, reverse=True)
    assert {path.name for path in folder.iterdir()} == {"tuned.toml", "other.toml"}


def test_the_config_trains_the_best_setting(synthetic_folder, synthetic_data, folder):
    run(
        "tune", "--data", synthetic_folder, *QUICK, "--labels", "fine", "--pca", 12, "--whiten",
        0.5, "--augment", "flip", "--holdout", 100, "--out", "best.toml", "--table", "all.csv",
        "--class-weight", "balanced", "--tol", 0.01, "--max-iter", 100000, "--jobs", 1,
        "--seed", 6,
    )  # fmt: skip
    text = (folder / "best.toml").read_text()
    config = tomllib.loads(text)
    best = pd.read_csv("all.csv").iloc[0]
    assert config == {
        "labels": "fine", "features": ["hog"], "pca": 12, "whiten": 0.5, "augment": "flip",
        "ridge-scores": 0.0, "ridge-kernel": "linear", "C": best["C"],
        "gamma": best["gamma"], "tol": 0.01,
        "max-iter": 100000, "class-weight": "balanced", "seed": 6,
        "searched": len(pd.read_csv("all.csv")),
    }  # fmt: skip
    comments = [line for line in text.splitlines() if line.startswith("#")]
    assert f"# SYNTHETIC stand-in, md5 of train {synthetic_data.md5s['train']}" in comments
    assert any(f"accuracy {best['score']:.4f}" in line for line in comments)
    assert not re.search(r"\b20\d\d-\d\d", text)  # the same whenever it is made
    run("train", "--data", synthetic_folder, "--config", "best.toml", "--slim")
    training = read_manifest("model.skops").training.to_dict()
    assert training["seed"] == 6
    assert training["n_settings"] == config["searched"] > 1
    assert training["parameters"]["C"] == best["C"]
    assert training["parameters"]["gamma"] == best["gamma"]
    assert (training["n_components"], training["whiten"]) == (12, 0.5)
    assert (training["label_kind"], training["augment"]) == ("fine", "flip")


def test_the_best_of_several_numbers_of_components_is_written(synthetic_folder):
    run("tune", "--data", synthetic_folder, *QUICK, "--pca", 2, "--pca", 20, "--table", "all.csv")
    with open("tuned.toml", "rb") as file:
        assert tomllib.load(file)["pca"] == pd.read_csv("all.csv")["n_components"][0]


@pytest.mark.parametrize("best", [2, 20])
def test_components_of_the_best_are_written_be_they_few_or_many(
    synthetic_folder, monkeypatch, best
):
    search = tune.tune

    def found(*arguments, **settings):
        result = search(*arguments, **settings)
        return replace(result, best=result.best._replace(n_components=best))

    monkeypatch.setattr(tune, "tune", found)
    run("tune", "--data", synthetic_folder, *QUICK, "--pca", 2, "--pca", 20)
    with open("tuned.toml", "rb") as file:
        assert tomllib.load(file)["pca"] == best


def test_folds(synthetic_folder):
    output = run("tune", "--data", synthetic_folder, *QUICK, "--folds", 2, "--table", "all.csv")
    assert "images       150 to train on, 150 held out, in each of 2 folds\n" in output
    assert "over 2 folds" in output
    table = pd.read_csv("all.csv")
    assert len(table) == 4
    assert {"split_1", "split_2"} <= set(table.columns)


def test_pictures(synthetic_folder, folder):
    arguments = [*QUICK[:4], "--C", "1", "--C", "10,100", "--gamma", "0.5x", "--gamma", "1x"]
    output = run(
        "tune", "--data", synthetic_folder, *arguments, "--table", "all.csv",
        "--heatmap", "map.png",
    )  # fmt: skip
    assert "saved        tuned.toml, all.csv, map.png\n" in output
    assert (folder / "map.png").read_bytes().startswith(b"\x89PNG")
    assert len(pd.read_csv("all.csv")) == 6


def test_the_same_whenever_and_with_however_many_threads(synthetic_folder, folder):
    for jobs in (1, 3):
        run("tune", "--data", synthetic_folder, *QUICK, "--jobs", jobs, "--out", f"{jobs}.toml")
    assert (folder / "1.toml").read_bytes() == (folder / "3.toml").read_bytes()
    run("tune", "--data", synthetic_folder, *QUICK, "--seed", 9, "--out", "9.toml")
    assert (folder / "9.toml").read_bytes() != (folder / "3.toml").read_bytes()


def test_the_test_images_are_not_read(synthetic_folder, monkeypatch):
    read = Cifar100.read_split

    def read_train(self, name):
        assert name == "train"
        return read(self, name)

    monkeypatch.setattr(Cifar100, "read_split", read_train)
    run("tune", "--data", synthetic_folder, *QUICK)


def test_a_best_at_the_edge_is_told(synthetic_folder):
    arguments = ["tune", "--data", str(synthetic_folder), *QUICK[:4], "--C", "1,1e-9"]
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    edges = [line for line in result.stderr.splitlines() if "was searched" in line]
    assert edges
    assert all(re.fullmatch(r"WARNING: the best .* searched; search beyond it\.", e) for e in edges)


BAD_USAGE = [
    (["--C", "0"], "'--C'"),
    (["--C", "1,-1"], "'--C'"),
    (["--C", "1,,2"], "'--C'"),
    (["--C", "nan"], "'--C'"),
    (["--gamma", "auto"], "'--gamma'"),
    (["--gamma", "1x,0"], "'--gamma'"),
    (["--gamma", "inf"], "'--gamma'"),
    (["--folds", "1"], "'--folds'"),
    (["--holdout", "0"], "'--holdout'"),
    (["--pca", "0"], "'--pca'"),
    (["--out", "."], "'--out'"),
    (["--tol", "0"], "'--tol'"),
    (["--features", "sift"], "'--features'"),
]


@pytest.mark.parametrize(("arguments", "option"), BAD_USAGE)
def test_bad_usage(folder, arguments, option):
    error = fail("tune", "--data", "nowhere", *arguments, exit_code=2)
    assert f"Invalid value for {option}" in error
    assert not list(folder.iterdir())


def test_folds_and_a_held_out_part_exclude_each_other():
    error = fail("tune", "--data", "nowhere", "--folds", 3, "--holdout", 100, exit_code=2)
    assert "--folds and --holdout exclude each other" in error


BAD_VALUES = [
    (["--C", "1,10,1"], "values of C, each once. Got 1.0, 1.0, 10.0"),
    (["--gamma", "1x,0.01"], "all numbers or all multiples of 'scale'"),
    (["--pca", "5", "--pca", "5"], "values of components, each once. Got 5, 5"),
    (["--whiten", "0.5"], "Whitening needs principal components"),
    (["--memory-limit", "lots"], "memory limit must be a number of bytes"),
    (["--heatmap", "map.jpg"], "must end in .png, .svg or .pdf"),
    (["--table", "tuned.toml"], "must not be a file that the command reads or writes otherwise"),
    (["--heatmap", "a.png", "--table", "a.png"], "must not be a file that the command"),
    ([], "nowhere"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD_VALUES)
def test_bad_values_are_refused_before_the_data_is_read(folder, arguments, message):
    assert message in fail("tune", "--data", "nowhere", *arguments)
    assert not list(folder.iterdir())


BAD_FOR_THE_DATA = [
    (["--holdout", "99"], "from 100, one a class, to 400, which leaves one a class to train on"),
    (["--holdout", "401"], "Got 401 instead"),
    (["--folds", "6", "--labels", "fine"], "from 2 to 5, the images of the smallest class. Got 6"),
    (["--limit", "99"], "from 100, one a class, to 500. Got 99"),
    (["--features", "hog", "--pca", "37"], "at most 36 components"),
    (["--features", "hog", "--memory-limit", "1kB"], "or train on fewer samples"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD_FOR_THE_DATA)
def test_bad_values_for_the_data(synthetic_folder, folder, arguments, message):
    assert message in fail("tune", "--data", synthetic_folder, *arguments)
    assert not list(folder.iterdir())


@pytest.mark.parametrize("option", ["--out", "--table", "--heatmap"])
def test_existing_outputs_are_refused_first(synthetic_folder, folder, option):
    (folder / "old.png").write_text("precious")
    error = fail("tune", "--data", "nowhere", option, "old.png")
    assert "exists already; pass --overwrite" in error
    assert (folder / "old.png").read_text() == "precious"
    run("tune", "--data", synthetic_folder, *QUICK, option, "old.png", "--overwrite")
    assert (folder / "old.png").read_bytes() != b"precious"


def test_options_reach_the_search(synthetic_folder, synthetic_data, monkeypatch):
    seen = {}

    def stop(svc, grid, train, splits, features, **settings):
        seen.update(settings, svc=svc, features=features, train=train, splits=splits)
        raise InputError("seen enough")

    monkeypatch.setattr("svmcifar.tuning.tune.tune", stop)
    fail(
        "tune", "--data", synthetic_folder, *QUICK, "--labels", "fine",
        "--class-weight", "balanced", "--tol", 0.01, "--max-iter", 7, "--jobs", 1,
        "--memory-limit", "1GB", "--seed", 9,
    )  # fmt: skip
    svc = seen["svc"]
    assert (svc.class_weight, svc.tol, svc.max_iter, svc.n_jobs) == ("balanced", 0.01, 7, 1)
    assert (svc.memory_limit, seen["seed"]) == ("1GB", 9)
    assert seen["features"] == FeatureSettings(kinds=("hog",))
    fine = synthetic_data.read_split("train").classes
    rows = draw_rows(fine, 300, 9)
    assert seen["label_kind"] == "fine"
    np.testing.assert_array_equal(seen["train"].classes, fine[rows])
    (split,), expected = seen["splits"], holdout_split(fine[rows], None, 9)
    np.testing.assert_array_equal(split.held_out, expected.held_out)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--limit", 100], "two or more images of every class, to train on and to hold out"),
        (["--limit", 100, "--labels", "fine", "--folds", 2], "Folds must have two or more images"),
        (["--pca", 5, "--pca", 9, "--ridge-scores", 1, "--data", "nowhere"], "one number of compo"),
        (["--memory-limit", "1KB"], "for samples and kernel rows of the largest pair"),
    ],
)
def test_refusals_name_what_is_wrong(synthetic_folder, options, words):
    assert words in fail("tune", "--data", synthetic_folder, *QUICK, *options)
