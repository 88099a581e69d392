"""Run the command line with ``python -m svmcifar.cli``."""

from svmcifar.cli import main

main(prog_name="svmcifar")
