"""Runs that were stopped: the option to go on, and the command that does."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import click

from svmcifar.cli.options import STANDARD_OUTPUT
from svmcifar.cli.terminal import shell_word

# Key of `Context.meta`: the words of the command line after the program's name.
_TYPED = f"{__name__}.typed"
_FLAG = "--resume"
# Commands that go on, or begin again without harm, when they are run again as they were.
_AGAIN = ("download",)


def option(what: str) -> Any:
    """Add ``--resume``, which goes on with what was stopped."""
    return click.option(_FLAG, is_flag=True, help=f"Go on with {what} that was stopped.")


def record_command(context: click.Context, words: list[str]) -> None:
    """Remember the command line as typed, for `typed_words`."""
    context.meta[_TYPED] = list(words)


def typed_words() -> list[str]:
    """Return the words of the command line that runs, the program's name first."""
    return ["svmcifar", *click.get_current_context().meta.get(_TYPED, [])]


def command_to_go_on(command: click.Command) -> str | None:
    """Return the command line, to be pasted, that goes on with a stopped one; None if none does."""
    program, *words = typed_words()
    if any(_FLAG in parameter.opts for parameter in command.params):
        words += [_FLAG] * (_FLAG not in words)
    elif words[0] not in _AGAIN and not any(word.split("=")[0] == "--study" for word in words):
        return None
    return " ".join(map(shell_word, [program, *words]))


def parts_folder(out: Path) -> Path:
    """Return the folder for the finished parts of the run that makes the output `out`."""
    return out.with_name(f"{out.name}.parts")


def check_parts(out: Path, *, resume: bool, overwrite: bool) -> None:
    """Raise OutputError for parts of a stopped run that the user has said nothing of."""
    from svmcifar.io.kept_parts import check_parts

    if out != STANDARD_OUTPUT:
        check_parts(parts_folder(out), resume=resume, overwrite=overwrite)
    elif resume:
        raise click.UsageError(f"{_FLAG} goes on from a folder beside --out; name a file there.")


def parts_kept(
    out: Path, settings: Mapping[str, Any], *, resume: bool, at_once: bool = False
) -> AbstractContextManager[None]:
    """Keep the finished parts of the block's run until it succeeds (see `svmcifar.io.kept_parts`).

    `settings` are all that the output depends on, but the version.
    """
    from svmcifar import __version__
    from svmcifar.io.kept_parts import parts_kept

    if out == STANDARD_OUTPUT:
        return nullcontext()
    folder = parts_folder(out)
    if resume and folder.is_dir():
        click.echo(f"parts        going on from {folder}")
    settings = {**settings, "version": __version__}
    return parts_kept(folder, settings, resume=resume, at_once=at_once)
