#!/usr/bin/env python3
"""Hold what four student reports on CIFAR-100 say of their networks against trainings made here.

Trainings are found by their model cards, FOLDER/NAME.json; a network without one is not measured.

    svmcifar train-cnn --preset weak-baseline --out runs/weak-baseline.pth
    python scripts/network_table.py runs --json docs/benchmarks/networks.json
"""

import json
from pathlib import Path
from typing import NamedTuple

import click

from svmcifar.metrics.per_class import accuracy_interval


class Reported(NamedTuple):
    """What a report says: its number, the network, accuracy in percent, of what, and epochs."""

    report: int
    network: str
    card: str
    accuracy: float | None
    of: str
    epochs: int | None


REPORTED = (
    Reported(1, "weak baseline", "weak-baseline", 41.34, "test", 15),
    Reported(1, "its refinement", "refined", 38.67, "test", 13),
    Reported(1, "tuned by Hyperband", "tuned", 37.96, "test", 15),
    Reported(1, "weak baseline, cyclic rate", "snapshots-5", 45.07, "test", 15),
    Reported(2, "five blocks", "five-blocks", 0.99, "test", None),
    Reported(2, "VGG16 from random weights", "vgg16", None, "", None),
    Reported(3, "SimpleCNN", "simple-cnn", 0.98, "validation", 5),
    Reported(3, "ResNet-34", "resnet34", 56.77, "validation", 100),
    Reported(3, "ResNet-50 from ImageNet, in two phases", "resnet50", 67.5, "validation", 110),
    Reported(4, "EfficientNet", "efficientnet", 79.07, "test", 10),
    Reported(4, "vision transformer", "vit", 90.88, "test", 5),
)  # fmt: skip
HEADS = ("standard", "gumbel", "hierarchical", "adaptive")


def measured(path: Path) -> dict | None:
    """Return what a model card says of a training, if there is one."""
    if not path.exists():
        return None
    card = json.loads(path.read_text())
    n, right = card["test"]["n"], card["test"]["fine_right"]
    low, high = accuracy_interval(right, n)
    return {
        "accuracy": right / n,
        "interval": [low, high],
        "epochs": len(card["history"]),
        "kept_epoch": card.get("kept_epoch", len(card["history"])),
        "seconds": card["training_s"],
        "cpu_seconds": card["training_cpu_s"],
        "n_parameters": card["n_parameters"],
        "validation_rows": card["validation_rows"],
        "device": card["device"],
        "recipe": card["recipe"],
        "ensemble": card.get("ensemble"),
    }


def percent(value: float) -> str:
    """Return a share as percent."""
    return f"{100 * value:.2f} %"


def table_row(reported: Reported, found: dict | None) -> str:
    """Return a row of the Markdown table."""
    said = "a curve only" if reported.accuracy is None else f"{reported.accuracy:g} %"
    if reported.accuracy is not None:
        epochs = f", {reported.epochs} epochs" if reported.epochs else ""
        said += f" of {reported.of} images{epochs}"
    if found is None:
        return f"| {reported.report} | {reported.network} | {said} | not measured | |"
    low, high = (f"{100 * value:.2f}" for value in found["interval"])
    got = f"{percent(found['accuracy'])} ({low}–{high})"
    budget = f"{found['epochs']} epochs, {found['cpu_seconds'] / 60:.0f} min of processor time"
    return f"| {reported.report} | {reported.network} | {said} | {got} | {budget} |"


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--json", "out", type=click.Path(path_type=Path), required=True)
def main(folder: Path, out: Path) -> None:
    """Write the figures of the trainings in FOLDER, and print a table."""
    rows = []
    for reported in REPORTED:
        found = measured(folder / f"{reported.card}.json")
        rows.append({"reported": reported._asdict(), "measured": found})
        click.echo(table_row(reported, found))
        if found and (together := found["ensemble"]):
            shown = {key: together[key] / together["n"] for key in ("sum_right", "vote_right")}
            best = max(together["single_right"]) / together["n"]
            click.echo(f"best single {percent(best)}, {shown}")
    heads = {head: measured(folder / f"head-{head}.json") for head in HEADS}
    for head, found in heads.items():
        click.echo(f"{head}: {percent(found['accuracy']) if found else 'not measured'}")
    out.write_text(json.dumps({"networks": rows, "heads": heads}, indent=1) + "\n")


if __name__ == "__main__":
    main()
