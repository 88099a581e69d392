"""The reference network once more, from the names and shapes of its parameters alone."""

import numpy as np
import torch
from torch.nn import functional

# Of float32 logits, as a part of the largest: sums of up to 9,252 products, eleven in a row,
# with roundings of 6e-8 each that mostly cancel.  Measured: 1.3e-6 at most, at width 64.
TOLERANCE = 1e-5

# Name, channels in, channels out, of every convolution with its batch normalisation.
LAYERS = {
    64: [
        ("convolution1", 3, 64),
        ("convolution2", 64, 128),
        ("reslayer1.0", 128, 128),
        ("reslayer1.1", 128, 128),
        ("convolution_3", 128, 256),
        ("convolution_4", 256, 512),
        ("reslayer2.0", 512, 512),
        ("reslayer2.1", 512, 512),
        ("convolution_5", 512, 1028),
        ("reslayer3.0", 1028, 1028),
        ("reslayer3.1", 1028, 1028),
    ],
    16: [
        ("convolution1", 3, 16),
        ("convolution2", 16, 32),
        ("reslayer1.0", 32, 32),
        ("reslayer1.1", 32, 32),
        ("convolution_3", 32, 64),
        ("convolution_4", 64, 128),
        ("reslayer2.0", 128, 128),
        ("reslayer2.1", 128, 128),
        ("convolution_5", 128, 257),
        ("reslayer3.0", 257, 257),
        ("reslayer3.1", 257, 257),
    ],
    2: [
        ("convolution1", 3, 2),
        ("convolution2", 2, 4),
        ("reslayer1.0", 4, 4),
        ("reslayer1.1", 4, 4),
        ("convolution_3", 4, 8),
        ("convolution_4", 8, 16),
        ("reslayer2.0", 16, 16),
        ("reslayer2.1", 16, 16),
        ("convolution_5", 16, 32),
        ("reslayer3.0", 32, 32),
        ("reslayer3.1", 32, 32),
    ],
}


def shapes(width, n_classes=100):
    """Names and shapes of the state dict."""
    found = {}
    for name, n_in, n_out in LAYERS[width]:
        found[f"{name}.0.weight"] = (n_out, n_in, 3, 3)
        found[f"{name}.0.bias"] = (n_out,)
        for part in ("weight", "bias", "running_mean", "running_var"):
            found[f"{name}.1.{part}"] = (n_out,)
        found[f"{name}.1.num_batches_tracked"] = ()
    found["classifier.2.weight"] = (n_classes, LAYERS[width][-1][2])
    found["classifier.2.bias"] = (n_classes,)
    return found


def random_state(width, n_classes=100, seed=0):
    """A state dict of which every number matters to the logits."""
    rng = np.random.default_rng(seed)
    state = {}
    for name, shape in shapes(width, n_classes).items():
        if name.endswith("num_batches_tracked"):
            value = np.array(391)
        elif len(shape) > 1:
            value = rng.standard_normal(shape, np.float32) * np.sqrt(2 / np.prod(shape[1:]))
        elif name.endswith(("1.weight", "running_var")):
            value = rng.uniform(0.5, 1.5, shape)
        else:
            value = rng.uniform(-0.3, 0.3, shape)
        is_count = name.endswith("num_batches_tracked")
        state[name] = torch.as_tensor(value, dtype=torch.int64 if is_count else torch.float32)
    return state


def logits(state, images):
    """Compute logits in float64 from normalised images."""
    state = {name: value.double() for name, value in state.items()}

    def block(x, name, pool=False):
        x = functional.conv2d(x, state[f"{name}.0.weight"], state[f"{name}.0.bias"], padding=1)
        mean, variance, scale, offset = (
            state[f"{name}.1.{part}"][:, None, None]
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        x = ((x - mean) / (variance + 1e-5).sqrt() * scale + offset).clamp(min=0)
        return functional.max_pool2d(x, 2) if pool else x

    def residual(x, name):
        return x + block(block(x, f"{name}.0"), f"{name}.1")

    x = block(block(torch.as_tensor(images).double(), "convolution1"), "convolution2", pool=True)
    x = residual(x, "reslayer1")
    x = block(block(x, "convolution_3", pool=True), "convolution_4", pool=True)
    x = residual(x, "reslayer2")
    x = residual(block(x, "convolution_5", pool=True), "reslayer3")
    x = functional.max_pool2d(x, 2).flatten(1)
    return (x @ state["classifier.2.weight"].T + state["classifier.2.bias"]).numpy()


def normalised(images):
    """Normalise channel-first rows as the reference does, in float64."""
    mean = np.array([0.4914, 0.4822, 0.4465])[:, None, None]
    std = np.array([0.2023, 0.1994, 0.2010])[:, None, None]
    return (images.reshape(-1, 3, 32, 32) / 255 - mean) / std


def probabilities(state, images):
    """Compute probabilities in float64 from channel-first rows."""
    powers = logits(state, normalised(images))
    powers = np.exp(powers - powers.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
