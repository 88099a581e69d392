"""Learning curves: loss and accuracy against the epoch."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from svmcifar.plots.figures import new_figure

# Blue and vermilion of Okabe and Ito's palette: told apart by colour-blind readers too.
_COLOURS = ("#0072B2", "#D55E00")
# Dashes distinguish the images without colour.
_IMAGES = {
    "train": ("training images, while learning", "dashed"),
    "validation": ("validation images", "solid"),
}
_MAX_EPOCHS_WITH_MARKERS = 12  # more would hide the dashes


def curves_figure(
    history: Sequence[Mapping[str, float]], title: str, accuracies: Mapping[str, str]
) -> Figure:
    """Draw the loss, and one or two accuracies, after each epoch.

    `history` has an entry per epoch, as in `svmcifar.cnn.training_loop.TrainedNetwork`: ``epoch``,
    ``train_loss``, accuracies from 0 to 1 such as ``train_accuracy``, and perhaps the same of
    ``validation``.  `accuracies` maps names such as "classes" to keys such as "accuracy".
    """
    figure = new_figure(title, 10.0, 4.6)
    loss, accuracy = figure.subplots(1, 2)
    styled = [*zip(accuracies.items(), _COLOURS, strict=False)]
    for images, (images_name, dashes) in _IMAGES.items():
        if f"{images}_loss" not in history[0]:
            continue
        lines = [(loss, "loss", 1, _COLOURS[0], images_name)]
        for (name, key), colour in reversed(styled):
            lines.append((accuracy, key, 100, colour, f"{name}, {images_name}"))
        for axes, key, scale, colour, label in lines:
            axes.plot(
                [entry["epoch"] for entry in history],
                [scale * entry[f"{images}_{key}"] for entry in history],
                color=colour,
                linestyle=dashes,
                marker="o" if len(history) <= _MAX_EPOCHS_WITH_MARKERS else None,
                markersize=4,
                label=label,
            )
    loss.set_ylabel("cross-entropy (nats)")
    accuracy.set_ylabel("accuracy (%)")
    accuracy.set_ylim(0, 100)
    loss.set_ylim(0, 1.05 * loss.dataLim.y1)
    for axes in (loss, accuracy):
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
        axes.set_xlim(history[0]["epoch"] - 0.5, history[-1]["epoch"] + 0.5)
        axes.grid(color="0.9")
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        # Below the axes, where it covers no line.
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), fontsize=9, frameon=False)
    return figure
