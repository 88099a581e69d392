#!/usr/bin/env python3
"""Draw the presets' accuracy by training images, from the figures of bench_presets.py.

python scripts/plot_learning_curve.py docs/benchmarks/presets.json docs/learning-curve.png
"""

import json
from pathlib import Path

import click

_ALL_IMAGES = 50_000
_TITLES = {"coarse": "20 superclasses", "fine": "100 fine classes"}
# Colour, marker and dash: told apart by colour-blind readers and in print.
_STYLES = {
    "patches-best": ("#0072B2", "o", "-"),
    "patches-small": ("#009E73", "s", "--"),
    "hog": ("#D55E00", "^", "-."),
    "raw": ("#555555", "D", ":"),
}


def points(runs: list[dict], preset: str, labels: str) -> list[tuple[int, float, float, float]]:
    """Return images, accuracy and its 95 % interval in percent, seed 0, by ascending images."""
    found = []
    for run in runs:
        if (run["preset"], run["labels"], run["seed"]) == (preset, labels, 0):
            scores = run["scores"]
            values = [scores["accuracy"], *scores["accuracy_interval"]]
            found.append((run["limit"] or _ALL_IMAGES, *(100 * value for value in values)))
    return sorted(found)


@click.command()
@click.argument("figures", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("picture", type=click.Path(dir_okay=False, path_type=Path))
def main(figures: Path, picture: Path) -> None:
    """Draw the learning curves in FIGURES to PICTURE."""
    from matplotlib.figure import Figure

    from svmcifar.plots.figures import save_figure

    runs = json.loads(figures.read_text())["runs"]
    figure = Figure(figsize=(9.0, 4.2), layout="constrained")
    for axes, (labels, title) in zip(figure.subplots(1, 2), _TITLES.items(), strict=True):
        for preset, (colour, marker, dash) in _STYLES.items():
            curve = points(runs, preset, labels)
            if not curve:
                continue
            images, accuracy, low, high = zip(*curve, strict=True)
            axes.plot(images, accuracy, dash, color=colour, marker=marker, label=preset)
            axes.fill_between(images, low, high, color=colour, alpha=0.15, linewidth=0)
        sizes = sorted({run["limit"] or _ALL_IMAGES for run in runs})
        axes.set_xscale("log")
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axes.minorticks_off()
        axes.set(title=title, xlabel="training images", ylabel="test accuracy (%)")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend(loc="lower right")
    save_figure(figure, picture)
    click.echo(f"learning curves: {picture}")


if __name__ == "__main__":
    main()
