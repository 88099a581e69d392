"""The commands there are: `svmcifar COMMAND`.

NumPy and what needs it are imported only when a command runs, so that help is instant.
"""

import os
import signal
import sys
import warnings
from _thread import interrupt_main
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib import import_module
from threading import Timer, current_thread, main_thread
from typing import Any

import click

from svmcifar import __version__
from svmcifar.cli.resuming import command_to_go_on, record_command
from svmcifar.cli.terminal import visible_streams
from svmcifar.errors import SvmCifarError
from svmcifar.text import error_line, one_line

# Modules by name of command, in the order of use.
_COMMANDS = {
    "download": "download",
    "build-labels": "build_labels",
    "train": "train",
    "tune": "tune",
    "train-cnn": "train_cnn",
    "tune-cnn": "tune_cnn",
    "evaluate": "evaluate",
    "predict": "predict",
    "show": "show",
    "compare": "compare",
    "export": "export",
    "info": "info",
    "cache": "cache",
}


_COMPLETE = "_SVMCIFAR_COMPLETE"  # by click's rule, set by shells that ask for completions
# "color" keeps click from removing the escape sequences of names: they are shown.
_SETTINGS = {"help_option_names": ["-h", "--help"], "color": True}

_MOMENT_S = 0.02


class _Commands(click.Group):
    """Imports a command's module when the command is used."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command line; all that it prints is visible text, but completions for shells."""
        with nullcontext() if _COMPLETE in os.environ else visible_streams(), _stopped_alike():
            return super().main(*args, **kwargs)

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """Parse the command line, and remember it as typed."""
        record_command(context, args)
        return super().parse_args(context, args)

    def list_commands(self, context: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        return import_module(f"svmcifar.cli.{_COMMANDS[name]}").command

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is named; name those that look like it if there is none."""
        from difflib import get_close_matches

        if args[0] not in _COMMANDS and (near := get_close_matches(args[0], _COMMANDS)):
            names = " or ".join(map(repr, near))
            context.fail(f"No such command {args[0]!r}. Did you mean {names}?")
        return super().resolve_command(context, args)

    def invoke(self, context: click.Context) -> Any:
        """Run the command; an error that the user can fix is one line and exit code 1.

        Of a command that is stopped and can go on, print the one that does.
        """
        try:
            os.getcwd()
        except OSError as error:
            raise click.ClickException(
                f"the working folder must exist, got '{error.strerror}'; change to another"
            ) from error
        try:
            return super().invoke(context)
        except SvmCifarError as error:
            for note in getattr(error, "__notes__", []):
                click.echo(one_line(error_line(note)), err=True)
            raise click.ClickException(error_line(str(error))) from error
        except KeyboardInterrupt as error:
            command = self.get_command(context, context.invoked_subcommand or "")
            if command and (words := command_to_go_on(command)):
                click.echo(f"\nStopped; to go on: {words}", err=True)
                raise click.Abort from error
            raise
        except MemoryError as error:
            raise click.ClickException(self._out_of_memory(context, error)) from error

    def _out_of_memory(self, context: click.Context, error: MemoryError) -> str:
        """Return one line that names the options of the command which take less memory."""
        command = self.get_command(context, context.invoked_subcommand or "")
        flags = {flag for option in getattr(command, "params", []) for flag in option.opts}
        lower = [flag for flag in ("--memory-limit", "--limit", "--jobs") if flag in flags]
        remedy = f"lower {', '.join(lower)}, or " if lower else ""
        what = " ".join(f"out of memory: {error}".split()).rstrip(":.")
        return f"{what}; {remedy}allow this process more"


@contextmanager
def _stopped_alike() -> Iterator[None]:
    """Let SIGTERM and SIGHUP stop a command as Ctrl-C does: it leaves nothing half-written."""
    if current_thread() is not main_thread():  # which alone hears signals
        yield
        return
    numbers = [getattr(signal, n) for n in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, n)]
    unheard = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]
    for number in unheard:
        signal.signal(number, signal.default_int_handler)
    before = sys.unraisablehook

    def interrupt_again(lost: Any) -> None:
        """Stop a moment later, if an object was just being deleted, where Python only prints."""
        if issubclass(lost.exc_type, KeyboardInterrupt):
            Timer(_MOMENT_S, interrupt_main).start()
        else:
            before(lost)

    sys.unraisablehook = interrupt_again
    try:
        yield
    finally:
        sys.unraisablehook = before
        for number in unheard:
            signal.signal(number, signal.SIG_DFL)


@click.group(cls=_Commands, context_settings=_SETTINGS)
@click.version_option(__version__)
def main() -> None:
    """Exact multiclass RBF-kernel SVMs on CIFAR-100.

    \b
    svmcifar download                get the data (or --synthetic)
    svmcifar train --out model.skops train on the superclasses
    svmcifar evaluate model.skops    score it on the test images
    """  # noqa: D301 (click reads the backspace as "keep these lines")
    warnings.showwarning = _show_warning


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """Print a warning as one line."""
    print("Warning:", " ".join(str(message).split()), file=sys.stderr)
