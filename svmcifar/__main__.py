"""Run the command line: ``svmcifar``, or ``python -m svmcifar``."""

import signal


def start() -> None:
    """Run the command line; Ctrl-C ends the process without a word before and after the command."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from svmcifar.cli import main

    main(prog_name="svmcifar")


if __name__ == "__main__":
    start()
