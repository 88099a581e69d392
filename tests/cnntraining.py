"""Tiny trainings of networks, for tests."""

import numpy as np
import torch

from svmcifar.cnn.recipe import Recipe
from svmcifar.cnn.training_loop import train_network

CPU = torch.device("cpu")
SUPERCLASS_OF = np.array([0, 1, 0, 1])
COLOURS = np.array([[230, 30, 30], [30, 230, 30], [30, 30, 230], [120, 120, 120]])
TINY = {"width": 1, "epochs": 3, "batch_size": 7, "validation": 0.25}


def coloured_images(n_per_class=8, seed=0):
    """Images of four colours with noise, a class each."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(4), n_per_class))
    pixels = COLOURS[labels][:, :, None] + rng.integers(-25, 26, (len(labels), 3, 1024))
    return pixels.reshape(-1, 3, 32, 32).astype(np.uint8), labels


def train(state_path, *, images=None, labels=None, data_key="d", on_batch=None, **settings):
    if images is None:
        images, labels = coloured_images()
    images.flags.writeable = False  # as the data set gives them
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums in another order are others
    try:
        return train_network(
            images,
            labels,
            SUPERCLASS_OF,
            Recipe(**(TINY | settings)),
            device=CPU,
            state_path=state_path,
            data_key=data_key,
            on_batch=on_batch or (lambda n: None),
        )
    finally:
        torch.set_num_threads(threads)


def weights(trained):
    return {name: value.numpy() for name, value in trained.network.state_dict().items()}


def assert_same(trained, other):
    """Compare weights and histories to the bit, times apart."""
    first, second = weights(trained), weights(other)
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)
    assert without_times(trained.history) == without_times(other.history)
    np.testing.assert_array_equal(trained.validation_rows, other.validation_rows)


def without_times(history):
    assert all(entry["seconds"] > 0 and entry["cpu_seconds"] > 0 for entry in history)
    return [{k: v for k, v in entry.items() if "seconds" not in k} for entry in history]


class StopError(Exception):
    pass


def stop_after(n_batches):
    """Stop a training once so many batches are done."""
    done = 0

    def on_batch(n):
        nonlocal done
        done += n
        if done >= n_batches:
            raise StopError

    return on_batch
