"""Run the command line with ``python -m svmcifar``."""

from svmcifar.cli import main

main(prog_name="svmcifar")
