"""What the command line says of itself, and to those who mistype."""

import os
import subprocess
import sys

import click
import pytest
from click.shell_completion import get_completion_class
from click.testing import CliRunner
from clirun import fail

import svmcifar.cli.help as help_of_commands
from svmcifar.cli import main

COMMANDS = main.list_commands(None)


def test_every_option_has_a_group_and_every_group_its_options():
    used = set()
    for name in COMMANDS:
        command = main.get_command(None, name)
        if isinstance(command, help_of_commands.GroupedCommand):
            options = command.get_params(click.Context(command))
            used |= {o.opts[-1].lstrip("-") for o in options if isinstance(o, click.Option)}
    assert used == {*help_of_commands._GROUP_OF}


@pytest.mark.parametrize("name", ["evaluate", "predict", "export"])
def test_arguments_are_no_options(name):
    lines = CliRunner().invoke(main, [name, "--help"]).output.splitlines()
    arguments = [p for p in main.get_command(None, name).params if isinstance(p, click.Argument)]
    assert arguments
    assert not {f"  {a.metavar or a.name.upper()}" for a in arguments} & set(lines)


def test_help_lists_each_option_once_and_in_its_group():
    text = CliRunner().invoke(main, ["train", "--help"]).output
    for option in main.get_command(None, "train").params:
        assert text.count(f"\n  {option.opts[0]} ") == 1
    places = [text.find(f"\n{title}:\n") for title in help_of_commands._GROUPS]
    found = [place for place in places if place >= 0]
    assert found == sorted(found)
    assert len(found) == 6
    _, _, svm = text.partition("\nSVM:\n")
    assert "--gamma" in svm.partition("\n\n")[0]


def test_few_options_are_one_list():
    text = CliRunner().invoke(main, ["build-labels", "--help"]).output
    assert "\nOptions:\n" in text
    assert "How to run" not in text


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("trian", "'train'"), ("evalute", "'evaluate'"), ("train-ccn", "'train-cnn' or 'train'")],
)
def test_a_command_that_looks_like_another_is_asked_about(typed, meant):
    assert f"No such command {typed!r}. Did you mean {meant}?" in fail(typed, exit_code=2)


@pytest.mark.parametrize(
    ("path", "option"), [("a.skops", "--svm"), ("b.ONNX", "--cnn"), ("c.pth", "--cnn")]
)
def test_a_model_without_its_option_is_told_it(path, option):
    error = fail("compare", path, exit_code=2)
    assert f"Got {path!r}. Write {option} before it." in error


def test_the_package_can_be_run():
    done = subprocess.run([sys.executable, "-m", "svmcifar", "--help"], capture_output=True)
    assert done.stdout.startswith(b"Usage: svmcifar [OPTIONS] COMMAND")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_can_complete(shell):
    code = "from svmcifar.cli import main; main(prog_name='svmcifar')"
    asked = os.environ | {"_SVMCIFAR_COMPLETE": f"{shell}_source"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=asked)
    script = get_completion_class(shell)(main, {}, "svmcifar", "_SVMCIFAR_COMPLETE").source()
    assert done.stdout == script
    asked |= {"_SVMCIFAR_COMPLETE": f"{shell}_complete", "COMP_WORDS": "svmcifar tra"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=asked | {"COMP_CWORD": "1" if shell != "fish" else "tra"},
    )
    assert "train" in done.stdout
    assert "train-cnn" in done.stdout
    assert done.stderr == ""
