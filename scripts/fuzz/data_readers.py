"""Readers of data sets, pictures, tables of labels and settings."""

import csv
import pickle
import sys
import zipfile
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import mutations
import numpy as np
from trial import Reader, require

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
from datafiles import make_fields, python2_pickle, write_archive, write_dataset, write_fields
from picturefiles import cifar10_fields, draw_all, write_folder, write_npz, write_parquet
from PIL import Image

from svmcifar.compute.image_shape import ImageShape
from svmcifar.data.cifar10 import CIFAR_10
from svmcifar.data.dataset import Dataset
from svmcifar.data.image_files import read_image
from svmcifar.data.image_folder import SUPERCLASS_FILE
from svmcifar.data.labels import check_label_csv, write_label_csv
from svmcifar.data.registry import open_dataset
from svmcifar.errors import SvmCifarError

_SHAPE = ImageShape(3, 8, 8)


def _check_dataset(dataset: Dataset, splits: tuple[str, ...] = ("train", "test")) -> None:
    """Read all that there is; raise AssertionError if what comes of it is inconsistent."""
    for name in splits:
        _check_split(dataset, name)
    names = {kind: dataset.class_names(kind) for kind in dataset.label_kinds}
    for kind, of_kind in names.items():
        require(len(of_kind) == dataset.description.n_classes[kind] > 1, f"names of {kind}")
        require(all(isinstance(name, str) for name in of_kind), f"names of {kind}")
        "".join(of_kind).encode()
    above = dataset.superclass_of
    require(len(above) == len(names["fine"]) and above.min() >= 0, "superclasses")
    require(all(len(md5) == 32 for md5 in dataset.md5s.values()), "md5s")
    require(isinstance(dataset.to_record()["label"], str), "label")


def _check_split(dataset: Dataset, name: str) -> None:
    split = dataset.read_split(name)
    n, n_values = split.images.shape
    require(split.images.dtype == np.uint8 and n_values == dataset.image_shape.n_values, "images")
    require(n == len(split.filenames) > 0 and n == dataset.count_images(name), "numbers of images")
    require(all(isinstance(text, str) for text in split.filenames), "names of files")
    for kind in dataset.label_kinds:
        ids = split.labels[kind]
        require(ids.shape == (n,) and ids.dtype == np.int64, f"labels {kind}")
        require(0 <= ids.min() <= ids.max() < dataset.description.n_classes[kind], f"labels {kind}")


def _each(*actions: Callable[[], Any]) -> None:
    """Do all of these, though some are refused; raise the last refusal."""
    refusal: SvmCifarError | None = None
    for act in actions:
        try:
            act()
        except SvmCifarError as error:
            refusal = error
    if refusal:
        raise refusal


# The files of CIFAR: one file is split and names at once.


def _link(folder: Path, file: str, names: tuple[str, ...]) -> None:
    for name in names:
        if name != file:
            (folder / name).symlink_to(folder / file)


def _cifar100_seeds(folder: Path) -> list[bytes]:
    _link(folder, "test", ("train", "meta"))
    fields = {**make_fields("meta"), **make_fields("test")}
    rows = {"filenames", "fine_labels", "coarse_labels", "data"}
    few = {key: value[:1] if key in rows else value for key, value in fields.items()}
    pickles = [pickle.dumps(few, protocol) for protocol in (0, 2, 4, 5)]
    return [*pickles, python2_pickle(few)]


def _read_cifar(kind: str, path: Path) -> None:
    dataset = open_dataset(path.parent, kind=kind, check_md5=False)
    _each(
        lambda: dataset.class_names("fine"),
        lambda: _check_split(dataset, "test"),
        lambda: _check_dataset(dataset),
    )


def _cifar10_seeds(folder: Path) -> list[bytes]:
    _link(folder, "test_batch", tuple(CIFAR_10.files))
    fields = {**cifar10_fields("batches.meta"), **cifar10_fields("test_batch", 1)}
    return [pickle.dumps(fields, 2), pickle.dumps({k.decode(): v for k, v in fields.items()}, 4)]


def _archive_seeds(folder: Path) -> list[bytes]:
    inside = write_dataset(folder / "cifar-100-python")
    few = {key: value[:1] for key, value in make_fields("test").items()} | {"batch_label": ""}
    for name in ("train", "test"):
        write_fields(inside / name, few)
    seeds = [write_archive(inside, folder / f"a.tar.{end}").read_bytes() for end in ("gz", "xz")]
    file = BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for one in inside.iterdir():
            archive.write(one, f"cifar-100-python/{one.name}")
    return [*seeds, file.getvalue()]


def _read_archive(path: Path) -> None:
    dataset = open_dataset(path, check_md5=False)
    _each(
        lambda: dataset.is_synthetic,  # type: ignore[arg-type, return-value]
        lambda: dataset.class_names("fine"),
        lambda: _check_split(dataset, "test"),
        lambda: _check_dataset(open_dataset(path)),
    )


# Pictures of the user's own


def _npz_seeds(folder: Path) -> list[bytes]:
    above = {"superclass_of": np.array([0, 0, 1, 1]), "superclass_names": ["kalt", "warm"]}
    y = np.arange(10) % 2
    path = folder / "other.npz"
    seeds = [write_npz(path, 8, 4, side=4, **above).read_bytes()]
    np.savez(path, x=draw_all(y, 0, 4), y=y)
    seeds.append(path.read_bytes())
    np.savez_compressed(path, train_images=draw_all(y, 0, 6)[..., 0], train_labels=y[:, None],
                        test_images=draw_all(y, 1, 6)[..., 0], test_labels=y[:, None])  # fmt: skip
    return [*seeds, path.read_bytes()]


def _read_npz(path: Path) -> None:
    _check_dataset(open_dataset(path))


def _parquet_seeds(folder: Path) -> list[bytes]:
    made = write_parquet(folder / "made", 8, 4)
    other = write_parquet(folder / "other", 8, 4, with_names=False)
    return [path.read_bytes() for of in (made, other) for path in of.iterdir()]


def _read_parquet(path: Path) -> None:
    _check_dataset(open_dataset(path))


def _picture_seeds(folder: Path) -> list[bytes]:
    pixels = draw_all(np.array([0]), 0, 9)[0]
    seeds = []
    for form, mode in (
        ("png", "RGB"), ("png", "P"), ("png", "LA"), ("png", "I;16"), ("jpeg", "RGB"),
        ("jpeg", "CMYK"), ("gif", "P"), ("bmp", "RGB"), ("tiff", "RGB"), ("tiff", "I;16"),
        ("tiff", "F"), ("webp", "RGB"), ("ppm", "RGB"), ("ico", "RGBA"), ("tga", "RGB"),
        ("pcx", "RGB"), ("sgi", "RGB"), ("dds", "RGB"), ("jpeg2000", "RGB"), ("avif", "RGB"),
        ("xbm", "1"), ("spider", "F"), ("msp", "1"), ("blp", "P"), ("mpo", "RGB"), ("qoi", "RGB"),
    ):  # fmt: skip
        file = BytesIO()
        picture = Image.fromarray(pixels)
        if mode == "I;16":
            picture = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
        try:
            picture = picture if mode == "I;16" else picture.convert(mode)
            exif = Image.Exif()
            exif[0x0112] = 6
            picture.save(file, form, **({"exif": exif} if form in ("jpeg", "png", "tiff") else {}))
        except (KeyError, OSError):  # of a Pillow that was built without it
            continue
        seeds.append(file.getvalue())
    return [seed for seed in seeds if len(seed) < 2**14]


def _read_picture(path: Path) -> None:
    row = read_image(path, _SHAPE)
    require(row.shape == (_SHAPE.n_values,) and row.dtype == np.uint8, "picture")


# Texts


def _label_seeds(folder: Path) -> list[bytes]:
    dataset = open_dataset(write_dataset(folder / "cifar-100-python"))
    write_label_csv(dataset, folder / "made.csv")
    return [(folder / "made.csv").read_bytes()]


def _read_labels(path: Path) -> None:
    dataset = _label_data(path.parent / "cifar-100-python")
    check_label_csv(dataset, path)
    text = path.read_bytes().decode("utf-8-sig")
    rows = list(csv.reader(text.splitlines()))
    require([row[1] for row in rows[1:]] == list(dataset.class_names("fine")), "labels")


_opened: dict[Path, Dataset] = {}


def _label_data(folder: Path) -> Dataset:
    if folder not in _opened:
        _opened[folder] = open_dataset(folder)
    return _opened[folder]


def _superclass_seeds(folder: Path) -> list[bytes]:
    write_folder(folder, 1, 1)
    return [(folder / SUPERCLASS_FILE).read_bytes(), b"superclass;class\r\n"]


def _read_superclasses(path: Path) -> None:
    dataset = open_dataset(path.parent, kind="folder")
    names = dataset.class_names("coarse")
    above = dataset.superclass_of
    require(set(above.tolist()) == set(range(len(names))) and len(names) > 1, "superclasses")
    require(all(name and name == name.strip() for name in names), "names of superclasses")


def _config_seeds(folder: Path) -> list[bytes]:
    import svmcifar

    presets = (Path(svmcifar.__file__).parent / "presets").glob("**/*.toml")
    every = b'labels = "fine"\nfeatures = ["raw", "hog"]\nC = 1e1\ngamma = "scale"\nlimit = 10\n'
    return [*(path.read_bytes() for path in sorted(presets)), every]


def _read_config(path: Path) -> None:
    from svmcifar.cli import train, train_cnn, tune, tune_cnn
    from svmcifar.cli.settings import read_settings

    _each(
        *(
            lambda of=of: read_settings(path, of.command)
            for of in (train, tune, train_cnn, tune_cnn)
        )
    )


READERS = {
    "cifar100": Reader(
        "test", _cifar100_seeds, partial(_read_cifar, "cifar100"), mutations.mutate_pickle
    ),
    "cifar10": Reader(
        "test_batch", _cifar10_seeds, partial(_read_cifar, "cifar10"), mutations.mutate_pickle
    ),
    "archive": Reader(
        "cifar-100-python.tar.gz", _archive_seeds, _read_archive, mutations.mutate_archive
    ),
    "npz": Reader("data.npz", _npz_seeds, _read_npz, mutations.mutate_zip),
    "parquet": Reader("data.parquet", _parquet_seeds, _read_parquet, mutations.mutate_parquet),
    "picture": Reader("picture", _picture_seeds, _read_picture, mutations.mutate_picture),
    "labels": Reader("labels.csv", _label_seeds, _read_labels, mutations.mutate_text),
    "superclasses": Reader(
        SUPERCLASS_FILE, _superclass_seeds, _read_superclasses, mutations.mutate_text
    ),
    "config": Reader("config.toml", _config_seeds, _read_config, mutations.mutate_text),
}
