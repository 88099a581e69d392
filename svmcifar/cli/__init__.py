"""The command line, one command a file; `commands` lists them."""

from svmcifar.cli.commands import main

__all__ = ["main"]
