"""VGG networks for small images: 3 x 3 convolutions with pooling between, and linear layers.

Names are those of torchvision, chenyaofo/pytorch-cifar-models, weiaicunzai/pytorch-cifar100 and
kuangliu/pytorch-cifar; where images are pooled follows from the gaps between the layers' numbers.
"""

import re
from collections.abc import Mapping
from typing import Any, Self

from torch import Tensor, nn

from svmcifar.cnn.families.family import Family

_FEATURE = re.compile(r"(features\.(\d+))\.bias")
_MOST_BETWEEN = 3  # layers without weights between two linear ones
_CLASSIFIER = re.compile(r"(classifier\.(\d+))\.bias")


class VGG(Family):
    """The network whose layers have the shapes of a state dict's; see Simonyan, ICLR 2015."""

    layers = "features, classifier"

    def __init__(self, state: Mapping[str, Any]) -> None:
        super().__init__(state)
        features: list[nn.Module] = []
        for number, shape in _numbered(state, _FEATURE):
            if len(shape) == 4:
                if number > len(features):  # one more layer than a ReLU, which has no weights
                    features.append(nn.MaxPool2d(2))
                conv = nn.Conv2d(shape[1], shape[0], shape[2], padding=shape[2] // 2)
                features.append(conv)
                has_norm = f"features.{number + 1}.running_mean" in state
                features += [nn.BatchNorm2d(shape[0])] if has_norm else []
                features.append(nn.ReLU())
        features.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*features)
        if "classifier.weight" in state:
            n_classes, n_features = state["classifier.weight"].shape
            self.classifier: nn.Module = nn.Linear(n_features, n_classes)
            return
        layers: list[nn.Module] = []
        for number, shape in _numbered(state, _CLASSIFIER):
            # Between linear layers are a ReLU and dropout, which is nothing in inference.
            gap = min(number - len(layers), _MOST_BETWEEN)
            layers += [nn.ReLU() if k == 0 else nn.Identity() for k in range(gap)]
            layers.append(nn.Linear(shape[1], shape[0]))
        self.classifier = nn.Sequential(*layers)

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Self | None:
        """Build the network of a state dict, None if it is none of this family."""
        first = getattr(state.get("features.0.weight"), "shape", ())
        has_classifier = any(re.fullmatch(r"classifier(\.\d+)?\.weight", name) for name in state)
        return cls(state) if first[1:] == (3, 3, 3) and has_classifier else None

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits (n_images, n_classes) of normalised images."""
        logits: Tensor = self.classifier(self.features(images).flatten(1))
        return logits


def _numbered(state: Mapping[str, Any], pattern: re.Pattern[str]) -> list[tuple[int, Any]]:
    """Return numbers and shapes of the weights of a sequence of layers, in order."""
    found = (pattern.fullmatch(name) for name in state)
    return sorted((int(m[2]), tuple(state[f"{m[1]}.weight"].shape)) for m in found if m)
