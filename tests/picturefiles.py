"""Small data sets of drawn pictures in every form but CIFAR-100's, for tests."""

import hashlib
import io
import json
import pickle

import numpy as np
import pyarrow as pa
from PIL import Image
from pyarrow import parquet

from svmcifar.data.cifar10 import CIFAR_10

COLOURS = {"blau": (30, 60, 220), "grün": (40, 200, 60), "rot": (220, 40, 40), "weiß": (240,) * 3}
NAMES = tuple(sorted(COLOURS))
ABOVE = {"blau": "kalt", "grün": "kalt", "rot": "warm", "weiß": "warm"}
CIFAR_NAMES = [
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
]


def draw(class_id, rng, width=32, height=32):
    """A noisy picture of one colour, bright in a corner of its own for each four classes."""
    pixels = rng.integers(0, 60, (height, width, 3))
    pixels += np.array(COLOURS[NAMES[class_id % 4]])[None, None] * 3 // 4
    row, column = divmod(class_id // 4, 2)
    pixels[row * height // 2 :, column * width // 2 :] //= 2
    return pixels.clip(0, 255).astype(np.uint8)


def draw_all(labels, seed, side=32):
    rng = np.random.default_rng(seed)
    return np.stack([draw(int(c), rng, side, side) for c in labels])


def write_folder(folder, n_train=60, n_test=15, seed=0, superclasses=True, parts=("train", "test")):
    """Pictures of various sizes, so many of each class; every third is a JPEG."""
    rng = np.random.default_rng(seed)
    for part, n in zip(parts, (n_train, n_test), strict=False):
        for class_id, name in enumerate(NAMES):
            inside = folder / part / name
            inside.mkdir(parents=True)
            for number in range(n):
                size = rng.integers(20, 50, 2)
                form = "jpg" if number % 3 == 2 else "png"
                Image.fromarray(draw(class_id, rng, *size)).save(inside / f"{number:03}.{form}")
    if superclasses:
        lines = ["class,superclass", *(f"{name},{ABOVE[name]}" for name in NAMES)]
        (folder / "superclasses.csv").write_text("\n".join(lines), encoding="utf-8")
    return folder


def write_npz(path, n_train=120, n_test=40, side=32, **arrays):
    labels = {part: np.arange(n) % 4 for part, n in (("train", n_train), ("test", n_test))}
    values = {f"y_{part}": of_part for part, of_part in labels.items()}
    values |= {f"x_{part}": draw_all(y, len(part), side) for part, y in labels.items()}
    np.savez(path, **(values | {"class_names": list(NAMES)} | arrays))
    return path


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def hub_table(n, seed, with_names=True):
    """A table as uoft-cs/cifar100 has it."""
    labels = np.arange(n) % 4
    above = [sorted(set(ABOVE.values())).index(ABOVE[NAMES[c]]) for c in labels]
    images = [{"bytes": png(image), "path": None} for image in draw_all(labels, seed)]
    table = pa.table({"img": images, "fine_label": labels, "coarse_label": above})
    names = {"fine_label": NAMES, "coarse_label": sorted(set(ABOVE.values()))}
    features = {key: {"names": list(of), "_type": "ClassLabel"} for key, of in names.items()}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return table.replace_schema_metadata(metadata if with_names else None)


def write_parquet(folder, n_train=120, n_test=40, **settings):
    folder.mkdir(parents=True)
    for part, n in (("train", n_train), ("test", n_test)):
        table = hub_table(n, len(part), **settings)
        parquet.write_table(table, folder / f"{part}-00000-of-00001.parquet")
    return folder


def cifar10_fields(name, n=40):
    """What a file of CIFAR-10 holds."""
    if name == "batches.meta":
        return {
            b"num_cases_per_batch": n,
            b"label_names": [text.encode() for text in CIFAR_NAMES],
            b"num_vis": 3072,
        }
    labels = np.random.default_rng(len(name)).permutation(np.arange(n) % 10)
    images = draw_all(labels, int(name[-1]) if name[-1].isdigit() else 9)
    return {
        b"batch_label": name.encode(),
        b"labels": labels.tolist(),
        b"data": images.transpose(0, 3, 1, 2).reshape(n, -1).copy(),
        b"filenames": [f"{name}_{number}.png".encode() for number in range(n)],
    }


def write_cifar10(folder, synthetic=True):
    folder.mkdir(parents=True)
    sums = []
    for name in CIFAR_10.files:
        content = pickle.dumps(cifar10_fields(name), protocol=2)
        (folder / name).write_bytes(content)
        sums.append(f"{hashlib.md5(content).hexdigest()}  {name}\n")
    if synthetic:
        (folder / "SYNTHETIC.md5").write_text("".join(sums))
    return folder
