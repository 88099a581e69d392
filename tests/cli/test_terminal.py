"""Standard output and error of the command line."""

import os
import subprocess
import sys

import pytest

from svmcifar.cli.terminal import shell_word
from svmcifar.text import visible


def svmcifar(*arguments, **options):
    """Run the command line in a process of its own, without what it prints of its versions."""
    options = {"capture_output": True} | options
    environment = os.environ | options.pop("env", {})
    command = [sys.executable, "-m", "svmcifar", *arguments]
    return subprocess.run(command, env=environment, **options)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8", "utf-8:strict"])
def test_every_name_can_be_printed_in_every_encoding(encoding):
    name = os.fsdecode(b"caf\xe9") + "模ü\x1b[31m"
    done = svmcifar("info", name, env={"PYTHONIOENCODING": encoding})
    expected = {
        "ascii": r"caf\xe9\u6a21\xfc\x1b[31m", "cp1252": r"caf\xe9\u6a21ü\x1b[31m"
    }.get(encoding, r"caf\xe9模ü\x1b[31m")  # fmt: skip
    text = done.stderr.decode(encoding.partition(":")[0])
    assert text.startswith(f"Error: {expected}: ")
    assert done.returncode == 1


def test_a_full_disk_is_one_line():
    with open("/dev/full", "w") as full:
        done = svmcifar("cache", "info", stdout=full, capture_output=False, stderr=subprocess.PIPE)
    assert done.stderr.startswith(b"Error: standard output: it must be writable, got 'No space")
    assert done.stderr.count(b"\n") == 1
    assert done.returncode == 1


def test_a_reader_that_has_enough_is_no_error():
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as pipe:
        done = svmcifar("cache", "info", stdout=pipe, capture_output=False, stderr=subprocess.PIPE)
    assert done.stderr == b""


@pytest.mark.parametrize(
    "name",
    [b"a.skops", b"it's b.skops", b"caf\xe9 '\\x41.skops", b"a\nb\x1b[31m", "模ü\u202e".encode()],
)
def test_words_of_a_command_can_be_pasted(name):
    word = shell_word(os.fsdecode(name))
    assert word == visible(word)
    done = subprocess.run(["bash", "-c", f"printf %s {word}"], capture_output=True, check=True)
    assert done.stdout == name
