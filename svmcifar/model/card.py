"""The model card: a page of Markdown beside a model file."""

from collections.abc import Sequence
from pathlib import Path

from svmcifar.io.files import atomic_path
from svmcifar.metrics.per_class import accuracy_interval
from svmcifar.model.classifier import ImageClassifier
from svmcifar.model.description import describe_manifest
from svmcifar.text import markdown, one_line, shortened

_TITLE = "A support vector machine for images"


def card_path(path: Path) -> Path:
    """Return the path of the card of a model file."""
    return path.with_name(f"{path.name}.md")


def write_card(model: ImageClassifier, path: Path, held_out: tuple[int, int] | None = None) -> None:
    """Write the card of a model that was saved at `path`.

    `held_out` are the right predictions and the number of training images that it was not trained
    on, if any were asked.  Names of classes, files and data sets are shown as text.
    """
    from skops.card import Card  # slow to import

    rows = describe_manifest(model.manifest)
    card = Card(model.svc, template=None, model_diagram=False)
    card.add(
        **{
            _TITLE: _introduction(model),
            f"{_TITLE}/Accuracy": _accuracy(held_out),
            f"{_TITLE}/Use": _use(model, path),
        }
    )
    for title, table in (
        ("How it was made", {"what": list(rows), "value": list(map(markdown, rows.values()))}),
        ("Classes", {"id": range(len(model.class_names)), "name": _names(model.class_names)}),
    ):
        card.add_table(**{f"{_TITLE}/{title}": table})
        card.select(f"{_TITLE}/{title}").title = title
    with atomic_path(card_path(path)) as temporary:
        temporary.write_text(card.render().lstrip("\n"), encoding="utf-8", newline="\n")


def _introduction(model: ImageClassifier) -> str:
    """Say what the model is for."""
    data = markdown(shortened(model.data_label))
    synthetic = " The images are SYNTHETIC: it is of no use for others." * model.is_synthetic
    return (
        f"It names one of {len(model.class_names)} classes for an image. svmcifar trained it on "
        f"the images of {data}: a binary support vector machine for each pair of classes, solved "
        f"exactly; their votes decide.{synthetic}"
    )


def _names(names: Sequence[str]) -> list[str]:
    return [markdown(shortened(name)) for name in names]


def _accuracy(held_out: tuple[int, int] | None) -> str:
    """Give the accuracy, if there is any."""
    if held_out is None:
        return "Not measured when it was trained: all images were trained on."
    n_right, n = held_out
    low, high = accuracy_interval(n_right, n)
    return (
        f"{n_right / n:.2%} of {n:,} training images that were left out "
        f"(95 % interval {low:.2%} to {high:.2%})."
    )


def _use(model: ImageClassifier, path: Path) -> str:
    """Show how to load the model."""
    name = one_line(repr(path.name))
    slim = "The file is slim: each use needs the training images too.\n\n" * model.manifest.slim
    data = ', open_dataset("the data set")' * model.manifest.slim
    channels, height, width = model.manifest.data.image_shape or (3, 32, 32)
    return (
        f"{slim}On the command line, `svmcifar evaluate` scores the file on test images, and "
        f"`svmcifar predict` names the classes of image files. In Python:\n\n"
        f"```python\n"
        f"from svmcifar import load_model{', open_dataset' * model.manifest.slim}\n\n"
        f"model = load_model({name}{data})\n"
        f"# uint8, a row an image of {channels} x {height} x {width} values, one channel after the "
        f"other\n"
        f"ids = model.predict(images)\n"
        f"names = [model.class_names[i] for i in ids]\n"
        f"```"
    )
