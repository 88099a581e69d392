"""Data on standard output: nothing else is there."""

import io
import json

import pandas as pd
import pytest
from click.testing import CliRunner
from clirun import fail, run

from svmcifar.cli import main
from svmcifar.model.persistence import save_model

pytestmark = pytest.mark.usefixtures("folder")


@pytest.fixture(scope="module")
def model_path(train_small, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "model.skops"
    save_model(train_small(), path)
    return path


def invoke(*arguments):
    """Run a command that must succeed; return what it writes to standard output and error."""
    result = CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout, result.stderr


def test_predictions_of_a_split(model_path, synthetic_folder, folder):
    arguments = ("predict", model_path, "--data", synthetic_folder)
    data, _ = invoke(*arguments, "--out", "-")
    run(*arguments, "--out", "predictions.csv")
    assert data == (folder / "predictions.csv").read_text()
    assert [path.name for path in folder.iterdir()] == ["predictions.csv"]


def test_scores(model_path, synthetic_folder, folder):
    data, words = invoke("evaluate", model_path, "--data", synthetic_folder, "--json", "-")
    assert json.loads(data)["scores"]["n_samples"] == 200
    assert "accuracy" in words
    assert list(folder.iterdir()) == []


def test_a_search(synthetic_folder, folder):
    arguments = ("tune", "--data", synthetic_folder, "--C", "1,10", "--gamma", "1x")
    data, words = invoke(*arguments, "--table", "-")
    assert len(pd.read_csv(io.StringIO(data))) == 2
    assert "next         svmcifar train --config tuned.toml" in words
    assert [path.name for path in folder.iterdir()] == ["tuned.toml"]
    config, words = invoke(*arguments, "--out", "-")
    assert config == (folder / "tuned.toml").read_text()
    assert "next" not in words
    error = fail(*arguments, "--out", "-", "--table", "-", exit_code=2)
    assert "Only one output can be standard output" in error


@pytest.mark.parametrize("arguments", [["train"], ["show", "m.skops"], ["build-labels"]])
def test_other_outputs_cannot_go_there(arguments, folder):
    assert "-: this output cannot go to standard output" in fail(*arguments, "--out", "-")
    assert list(folder.iterdir()) == []
