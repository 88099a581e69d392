#!/usr/bin/env python3
"""Hold what four student reports on CIFAR-100 say of their networks against trainings made here.

Trainings are found by their model cards, FOLDER/NAME.json; a network without one is not measured.

    svmcifar train-cnn --preset weak-baseline --out runs/weak-baseline.pth
    python scripts/network_table.py runs --json docs/benchmarks/networks.json
"""

import json
from pathlib import Path

import click

from svmcifar.compare.reported import REPORTS, Report, describe_report
from svmcifar.metrics.per_class import accuracy_interval

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


def table_row(report: Report, found: dict | None) -> str:
    """Return a row of the Markdown table."""
    said = describe_report(report)
    if found is None:
        return f"| {report.source} | {report.network} | {said} | not measured | |"
    low, high = (f"{100 * value:.2f}" for value in found["interval"])
    got = f"{percent(found['accuracy'])} ({low}–{high})"
    budget = f"{found['epochs']} epochs, {found['cpu_seconds'] / 60:.0f} min of processor time"
    return f"| {report.source} | {report.network} | {said} | {got} | {budget} |"


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--json", "out", type=click.Path(path_type=Path), required=True)
def main(folder: Path, out: Path) -> None:
    """Write the figures of the trainings in FOLDER, and print a table."""
    rows = []
    for preset, report in REPORTS.items():
        if not report.source:
            continue
        # The last network of a snapshot ensemble has the number of them in its name.
        found = measured(folder / f"{'snapshots-5' if preset == 'snapshots' else preset}.json")
        rows.append({"preset": preset, "reported": report._asdict(), "measured": found})
        click.echo(table_row(report, found))
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
