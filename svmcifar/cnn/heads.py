"""Softmax heads: from the features of a network to the log probabilities of its classes.

Each is a module from features (n, n_features) to log probabilities (n, n_classes), which are
logits too; `loss` is the mean cross-entropy of the true classes at the head's own cost.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, log_softmax

from svmcifar.errors import InputError

# Shares of the classes at which the shortlist and the first cluster of an adaptive softmax end.
_ADAPTIVE_SHARES = (0.2, 0.6)
_ADAPTIVE_SHRINKING = 2.0
_NEVER = -1e9  # the logit of a class that is none


class StandardHead(nn.Module):
    """The softmax of a linear layer: each example costs a product with every class."""

    def __init__(self, n_features: int, n_classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(n_features, n_classes)

    def forward(self, features: Tensor) -> Tensor:
        """Compute log probabilities."""
        return log_softmax(self.linear(features), dim=1)

    def loss(self, features: Tensor, targets: Tensor) -> Tensor:
        """Compute the mean cross-entropy."""
        return cross_entropy(self.linear(features), targets)


class GumbelHead(StandardHead):
    """The Gumbel softmax: Gumbel noise on each logit while it trains, none afterwards.

    References
    ----------
    Jang, Gu and Poole, "Categorical reparameterization with Gumbel-softmax", ICLR 2017.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Compute log probabilities, of noisy logits in training."""
        return log_softmax(self._noisy(features), dim=1)

    def loss(self, features: Tensor, targets: Tensor) -> Tensor:
        """Compute the mean cross-entropy, of noisy logits in training."""
        return cross_entropy(self._noisy(features), targets)

    def _noisy(self, features: Tensor) -> Tensor:
        logits = self.linear(features).float()
        if not self.training:
            return logits
        return logits - torch.empty_like(logits).exponential_().log()


class HierarchicalHead(nn.Module):
    """The probability of the superclass times that of the class among its superclass's.

    `loss` costs a product with every superclass and with the classes of one: with superclasses of
    the square root of the number of classes, that root times two.

    References
    ----------
    Goodman, "Classes for fast maximum entropy training", ICASSP 2001.
    """

    place: Tensor
    group_of: Tensor
    padding: Tensor

    def __init__(self, n_features: int, groups: Sequence[int]) -> None:
        super().__init__()
        group_of = np.array(groups)
        sizes = np.bincount(group_of)
        n_groups, size = len(sizes), int(sizes.max())
        order = np.argsort(group_of, kind="stable")
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order)) - (np.cumsum(sizes) - sizes)[group_of[order]]
        padding = np.where(np.arange(size) < sizes[:, None], 0.0, _NEVER)
        for name, values in (("group_of", group_of), ("place", group_of * size + rank)):
            self.register_buffer(name, torch.tensor(values.tolist()), persistent=False)
        self.register_buffer("padding", torch.tensor(padding.tolist()), persistent=False)
        self.group = nn.Linear(n_features, n_groups)
        within = nn.Linear(n_features, n_groups * size)
        self.weight = nn.Parameter(within.weight.detach().reshape(n_groups, size, n_features))
        self.bias = nn.Parameter(within.bias.detach().reshape(n_groups, size))

    def forward(self, features: Tensor) -> Tensor:
        """Compute log probabilities of all classes."""
        n_groups, size = self.bias.shape
        logits = features @ self.weight.flatten(0, 1).T + self.bias.flatten()
        logits = logits.reshape(-1, n_groups, size).float() + self.padding
        chances = log_softmax(logits, dim=2)
        chances = chances + log_softmax(self.group(features).float(), dim=1)[:, :, None]
        return chances.flatten(1).index_select(1, self.place)

    def loss(self, features: Tensor, targets: Tensor) -> Tensor:
        """Compute the mean cross-entropy from the classes of the true superclasses alone."""
        groups = self.group_of[targets]
        logits = torch.bmm(self.weight[groups], features[:, :, None])[:, :, 0]
        logits = logits + self.bias[groups] + self.padding[groups]
        within = cross_entropy(logits, self.place[targets] - groups * self.bias.shape[1])
        return within + cross_entropy(self.group(features), groups)


class AdaptiveHead(nn.Module):
    """PyTorch's adaptive softmax: a shortlist of classes, and clusters of others behind it.

    Clusters work on features of half the length, then a quarter.  Meant for classes of which the
    first are far more frequent, it saves what the others seldom need.

    References
    ----------
    Grave, Joulin, Cissé, Grangier and Jégou, "Efficient softmax approximation for GPUs", ICML 2017.
    """

    def __init__(self, n_features: int, n_classes: int) -> None:
        super().__init__()
        cutoffs = sorted({max(1, int(share * n_classes)) for share in _ADAPTIVE_SHARES})
        self.softmax = nn.AdaptiveLogSoftmaxWithLoss(
            n_features, n_classes, cutoffs, div_value=_ADAPTIVE_SHRINKING, head_bias=True
        )

    def forward(self, features: Tensor) -> Tensor:
        """Compute log probabilities of all classes."""
        if not self.training:
            return self.softmax.log_prob(features)
        with torch.autocast(features.device.type, enabled=False):  # which would round what it adds
            return self.softmax.log_prob(features.float())

    def loss(self, features: Tensor, targets: Tensor) -> Tensor:
        """Compute the mean cross-entropy from the clusters of the true classes alone."""
        return self.softmax(features, targets).loss


HEADS = ("standard", "gumbel", "hierarchical", "adaptive")


def make_head(
    name: str, n_features: int, n_classes: int, groups: Sequence[int] | None = None
) -> nn.Module:
    """Make a head, a name of `HEADS`; `groups` holds the superclass of each class.

    Raise InputError if the head needs superclasses and there are none, or more classes.
    """
    if name == "hierarchical" and groups is None:
        raise InputError(
            "A hierarchical softmax must have the superclass of each class. Got none instead. "
            "Use another head."
        )
    if name == "adaptive" and n_classes < 4:
        raise InputError(
            f"An adaptive softmax must have at least 4 classes. Got {n_classes} instead. "
            f"Use another head."
        )
    makers: dict[str, Callable[[], nn.Module]] = {
        "standard": lambda: StandardHead(n_features, n_classes),
        "gumbel": lambda: GumbelHead(n_features, n_classes),
        "hierarchical": lambda: HierarchicalHead(n_features, groups or ()),
        "adaptive": lambda: AdaptiveHead(n_features, n_classes),
    }
    return makers[name]()
