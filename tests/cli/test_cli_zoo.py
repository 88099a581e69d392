"""Networks of several libraries side by side, as their files are."""

import json
import re

import numpy as np
import timm
import torch
from clirun import run
from torch import nn
from torchvision import models

from svmcifar.cnn.image_network import normalise
from svmcifar.cnn.normalisation import NORMALISATIONS
from svmcifar.data.dataset import CLASSES
from svmcifar.model.persistence import save_model


class LastChannels(nn.Module):
    """As converters from Keras make them: channels last, probabilities."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(3, 8, 5, stride=3)
        self.linear = nn.Linear(8 * 10 * 10, 100)

    def forward(self, images):
        x = torch.relu(self.convolution(images.permute(0, 3, 1, 2)))
        return torch.softmax(self.linear(x.flatten(1)), dim=1)


def learned(network, data):
    """Let a network see some images, so that its statistics are theirs."""
    train = data.read_split("train")
    pixels = normalise(train.images.reshape(-1, 3, 32, 32), NORMALISATIONS["half"])
    batches = torch.from_numpy(pixels[:96]).split(32)
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    for batch, classes in zip(batches, torch.from_numpy(train.classes[:96]).split(32), strict=True):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(batch), classes).backward()
        optimizer.step()
    return network.eval()


def test_a_timm_resnet_a_lightning_dict_and_a_graph_of_probabilities(
    tmp_path, monkeypatch, synthetic_data, synthetic_folder, train_small
):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    first = learned(timm.create_model("resnet10t", num_classes=100), synthetic_data)
    torch.save({"model": first.state_dict(), "epoch": 1, "arch": "resnet10t"}, "one.pth")
    second = learned(models.resnet18(num_classes=100), synthetic_data)
    state = {f"net.{name}": value for name, value in second.state_dict().items()}
    torch.save({"state_dict": state, "pytorch-lightning_version": "2.5", "loops": {}}, "two.ckpt")
    third = LastChannels().eval()
    torch.onnx.export(
        third,
        (torch.zeros(2, 32, 32, 3),),
        "three.onnx",
        dynamic_shapes=({0: torch.export.Dim("N")},),
        external_data=False,
        verbose=False,
    )
    save_model(train_small(label_kind=CLASSES), "svm.skops")

    named = ("--cnn", "one.pth", "--cnn", "two.ckpt", "--cnn", "three.onnx", "--svm", "svm.skops")
    run("compare", *named, "--data", synthetic_folder, "--out", "r")

    with open("r/report.json") as file:
        entries = json.load(file)["models"]
    assert [entry["file"] for entry in entries] == [
        "one.pth",
        "two.ckpt",
        "three.onnx",
        "svm.skops",
    ]
    assert "timm:resnet10t, 100 classes" in entries[0]["description"]
    assert "torchvision:resnet18, 100 classes" in entries[1]["description"]
    images = synthetic_data.read_split("test").images.reshape(-1, 3, 32, 32)
    with np.load("r/scores.npz") as scores, torch.no_grad():
        for model_id, entry, network in zip(
            ("cnn", "cnn2", "cnn3"), entries, (first, second, third), strict=False
        ):
            (by,) = re.findall(r"images normalised by ([\w-]+), the best of", entry["description"])
            pixels = torch.from_numpy(normalise(images, NORMALISATIONS[by]))
            if network is third:
                expected = network(pixels.permute(0, 2, 3, 1))
            else:
                expected = torch.softmax(network(pixels), dim=1)
            found = scores[f"{CLASSES}/{model_id}/scores"]
            np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=1e-4)
    with open("r/report.html") as file:
        page = file.read()
    assert all(name in page for name in ("CNN one", "CNN two", "CNN three"))
