"""Checkpoints that several test modules make and load."""

import pytest
import torch
from reference_network import random_state

from svmcifar.cnn.checkpoint import load_network
from svmcifar.cnn.model_card import make_card
from svmcifar.cnn.reference import ReferenceNetwork
from svmcifar.compute.image_shape import ImageShape
from svmcifar.errors import CheckpointError

NAMES = [f"class {k}" for k in range(100)]
SHAPE = ImageShape(3, 32, 32)
SUFFIXES = [".pth", ".onnx"]


def made_network(width=2, seed=0):
    network = ReferenceNetwork(width, 100)
    network.load_state_dict(random_state(width, seed=seed))
    return network.eval()


def made_card(**changes):
    card = make_card(
        class_names=NAMES,
        recipe={"epochs": 1},
        history=[{"epoch": 1, "train_loss": 4.5}],
        training_s=1.5,
        training_cpu_s=2.5,
        device="a processor",
        validation_rows=0,
        test={"n": 10, "fine_right": 3, "coarse_right": 5},
        data={"label": "CIFAR-100", "synthetic": False, "md5s": {}},
    )
    return {**card, **changes}


def write_file(path, content):
    """Write bytes as they are, and anything else with torch.save."""
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    return path


def refused(path, error=CheckpointError):
    """Load; give the one line that refuses it."""
    with pytest.raises(error) as caught:
        load_network(path, NAMES, SHAPE)
    message = str(caught.value)
    assert message.startswith(str(path.parent))
    assert "\n" not in message
    return message
