#!/usr/bin/env python3
"""Time the bundled network's inference against plain loops and the hardware floor, in one run.

Every contestant turns the same uint8 test images into probabilities.  A plain loop is what one
would write by hand: normalise, network, softmax, a batch at a time.  Contestants take turns,
and the best of the repeats counts.  The floor is the network's multiplications and additions at
the rate of NumPy's float32 matrix product in this process.

    python scripts/bench_cnn.py --data data/cifar-100-python --json bench.json
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

import click
import numpy as np
import onnxruntime
import torch

from svmcifar.cnn.bundled import bundled_checkpoint
from svmcifar.cnn.checkpoint import load_network
from svmcifar.cnn.model_card import MEAN, STD
from svmcifar.cnn.reference import ReferenceNetwork
from svmcifar.compute.environment import processor_name
from svmcifar.data.dataset import CLASSES
from svmcifar.data.registry import open_dataset

_BATCH = 128
_WIDTH, _N_CLASSES = 16, 100
_PRODUCT = 3072


def batches(pixels):
    """Normalise images, a batch at a time."""
    mean, std = (torch.tensor(part)[:, None, None] for part in (MEAN, STD))
    for batch in pixels.reshape(-1, *ReferenceNetwork.image_shape).split(_BATCH):
        yield (batch.float() / 255 - mean) / std


def plain_torch(path, pixels, memory_format):
    """Make a plain PyTorch loop."""
    state = torch.load(path, weights_only=True)
    network = ReferenceNetwork(_WIDTH, _N_CLASSES).to(memory_format=memory_format).eval()
    network.load_state_dict(state)  # which casts float16 to float32

    @torch.inference_mode()
    def predict():
        converted = (batch.contiguous(memory_format=memory_format) for batch in batches(pixels))
        return torch.cat([network(batch).softmax(1) for batch in converted]).numpy()

    return predict


def plain_onnxruntime(path, pixels):
    """Make a plain ONNX Runtime loop."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def predict():
        logits = [session.run(None, {"images": b.numpy()})[0] for b in batches(pixels)]
        return torch.from_numpy(np.concatenate(logits)).softmax(1).numpy()

    return predict


def count_flops():
    """Count an image's multiplications and additions in convolutions and the linear layer."""
    counts = []

    def count(module, _inputs, output):
        places = output[0].numel() // output.shape[1]
        counts.append(2 * module.weight.numel() * places)

    with torch.device("meta"):
        network = ReferenceNetwork(_WIDTH, _N_CLASSES).eval()
        for module in network.modules():
            if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
                module.register_forward_hook(count)
        network(torch.empty(1, *ReferenceNetwork.image_shape))
    return sum(counts)


def timed(function):
    """Call a function; give the seconds and its result."""
    clock = perf_counter()
    result = function()
    return perf_counter() - clock, result


def compete(contestants, repeats):
    """Let contestants and a matrix product take turns; check that all contestants agree.

    Gives each one's best seconds, and the product's operations a second.
    """
    best, answers = dict.fromkeys(contestants, float("inf")), {}
    a, b = torch.randn(2, _PRODUCT, _PRODUCT).numpy()  # OpenBLAS is faster at it than PyTorch
    product_s = float("inf")
    for _ in range(repeats):
        for name, predict in contestants.items():
            product_s = min(product_s, timed(lambda: a @ b)[0])
            seconds, answers[name] = timed(predict)
            best[name] = min(best[name], seconds)
    first, *others = answers.values()
    largest = max(float(np.abs(first - other).max()) for other in others)
    if not largest < 1e-3:
        raise SystemExit(f"error: probabilities must agree, got a difference of {largest:.2g}")
    return best, 2 * _PRODUCT**3 / product_s


@click.command()
@click.option("--data", help="Folder or archive of CIFAR-100.")
@click.option("--repeats", type=click.IntRange(min=1), default=5, show_default=True)
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write figures there.")
def main(data, repeats, json_path):
    """Time the bundled network's inference against plain loops."""
    dataset = open_dataset(data)
    class_names = dataset.class_names(CLASSES)
    images = dataset.read_split("test").images
    onnx = bundled_checkpoint(synthetic=False)
    pth, pixels = onnx.with_suffix(".pth"), torch.from_numpy(np.array(images))
    ours = {
        path.suffix: load_network(path, class_names, dataset.image_shape) for path in (pth, onnx)
    }
    plain = {
        ".pth": ["PyTorch, plain", "PyTorch, plain, channels last"],
        ".onnx": ["ONNX Runtime, plain"],
    }
    best, rate = compete(
        {
            plain[".pth"][0]: plain_torch(pth, pixels, torch.contiguous_format),
            plain[".pth"][1]: plain_torch(pth, pixels, torch.channels_last),
            "svmcifar, .pth": lambda: ours[".pth"].predict_proba(images),
            plain[".onnx"][0]: plain_onnxruntime(onnx, pixels),
            "svmcifar, .onnx": lambda: ours[".onnx"].predict_proba(images),
        },
        repeats,
    )
    floor_s = count_flops() * len(images) / rate

    n_threads = torch.get_num_threads()
    print(f"{len(images)} images, {dataset.label}; {processor_name()}, {n_threads} threads")
    print(
        f"floor {floor_s:.2f} s: {count_flops() / 1e6:.0f} MFLOP an image, {rate / 1e9:.0f} GFLOP/s"
    )
    print(f"{'':32}{'seconds':>8}{'images/s':>10}{'x plain':>9}{'x floor':>9}")
    rows = []
    for name, seconds in best.items():
        suffix = ".onnx" if name in ("svmcifar, .onnx", *plain[".onnx"]) else ".pth"
        fastest_plain_s = min(best[rival] for rival in plain[suffix])
        row = {
            "name": name,
            "seconds": seconds,
            "images_per_s": len(images) / seconds,
            "times_plain": seconds / fastest_plain_s,
            "times_floor": seconds / floor_s,
        }
        rows.append(row)
        speed, of_plain, of_floor = list(row.values())[2:]
        print(f"{name:32}{seconds:8.2f}{speed:10,.0f}{of_plain:9.2f}{of_floor:9.1f}")
    if json_path:
        report = {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "data": dataset.label,
            "n_images": len(images),
            "processor": processor_name(),
            "n_threads": n_threads,
            "versions": {"torch": torch.__version__, "onnxruntime": onnxruntime.__version__},
            "gflops": rate / 1e9,
            "floor_s": floor_s,
            "rows": rows,
        }
        json_path.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
