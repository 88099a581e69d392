#!/usr/bin/env python3
"""Time features of all 60,000 images, against a peer or the hardware floor of the same run.

HOG is held against scikit-image's, on fewer images; patches, and those of a second layer, against
what their matrix products alone must cost at the sgemm rate that NumPy reaches here.  Features are
computed a batch at a time and not kept, as PCA takes them; filters are learned before the clock
starts.

    python scripts/bench_features.py --data data/cifar-100-python --json features.json
"""

import json
import platform
import resource
import sys
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

import click
from bench_solvers import sgemm_rate

_BATCH_IMAGES = 2000
_PEER_IMAGES = 300


def seconds(transform, images) -> float:
    """Transform all images, a batch at a time; the first few before the clock starts."""
    transform(images[:64])
    clock = perf_counter()
    for start in range(0, len(images), _BATCH_IMAGES):
        transform(images[start : start + _BATCH_IMAGES])
    return perf_counter() - clock


def peak_bytes() -> int:
    """Return the peak memory of this process so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


@click.command()
@click.option("--data", help="The data set, as for svmcifar itself.")
@click.option("--filters", default=2000, show_default=True)
@click.option("--cells", default="apart", show_default=True)
@click.option("--json", "out", type=click.Path(path_type=Path), required=True)
def main(data: str | None, filters: int, cells: str, out: Path) -> None:
    """Time HOG and patches."""
    import numpy as np
    from skimage.feature import hog

    from svmcifar.compute.environment import describe_environment
    from svmcifar.data.registry import open_dataset
    from svmcifar.features.extract.hog import HOG
    from svmcifar.features.extract.patches import PatchFeatures
    from svmcifar.features.extract.second_layer import SecondLayerPatches

    dataset = open_dataset(data)
    images = np.concatenate([dataset.read_split(split).images for split in ("train", "test")])
    hog_s = seconds(HOG().fit(images).transform, images)
    few = images[:_PEER_IMAGES].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    clock = perf_counter()
    for image in few:
        hog(image, pixels_per_cell=(4, 4), cells_per_block=(2, 2), channel_axis=-1)
    peer_s = (perf_counter() - clock) / _PEER_IMAGES * len(images)
    clock = perf_counter()
    patches = PatchFeatures(n_filters=filters, cells=cells).fit(images[: -len(images) // 6])
    learn_s = perf_counter() - clock
    patches_s = seconds(patches.transform, images)
    n_positions = (32 - patches.patch_size + 1) ** 2
    floor_s = 2.0 * len(images) * n_positions * patches.filters_.size / sgemm_rate()
    clock = perf_counter()
    layer = SecondLayerPatches(n_filters=filters, cells=cells).fit(images[: -len(images) // 6])
    learn_layer_s = perf_counter() - clock
    layer_s = seconds(layer.transform, images)
    # Positions of patches of 5 x 5 pixels, their averages, and positions of patches of 3 x 3.
    products = 28**2 * layer.map_filters_.size + 14**2 * layer.channels_.size
    products += 12**2 * layer.filters_.size
    layer_floor_s = 2.0 * len(images) * products / sgemm_rate()
    peak = peak_bytes()
    result = {
        "date": datetime.now(UTC).isoformat(),
        "data": dataset.label,
        "n_images": len(images),
        "platform": platform.platform(),
        **describe_environment(),
        "hog_s": hog_s,
        "hog_scikit_image_s": peer_s,
        "n_filters": filters,
        "cells": cells,
        "patches_learn_s": learn_s,
        "patches_s": patches_s,
        "patches_floor_s": floor_s,
        "second_layer_learn_s": learn_layer_s,
        "second_layer_s": layer_s,
        "second_layer_floor_s": layer_floor_s,
        "peak_bytes": peak,
    }
    out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"HOG      {hog_s:.1f} s, scikit-image {peer_s:.0f} s by {_PEER_IMAGES} images")
    print(f"patches  {patches_s:.1f} s, floor {floor_s:.1f} s ({patches_s / floor_s:.2f} x)")
    ratio = layer_s / layer_floor_s
    print(f"layer 2  {layer_s:.1f} s, floor {layer_floor_s:.1f} s ({ratio:.2f} x)")
    print(f"peak memory {peak / 1e9:.1f} GB")
    print(f"filters learned in {learn_s:.0f} s and, of the second layer, {learn_layer_s:.0f} s")


if __name__ == "__main__":
    main()
