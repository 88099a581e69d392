"""Optimizers, and schedules of the learning rate that are stepped after every batch."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer, lr_scheduler

from svmcifar.cnn.recipe import Recipe

_MOMENTUM = 0.9
# A cycle starts and ends at this share of its peak.
_LOWEST = 1e-3


def make_optimizer(
    parameters: Iterable[nn.Parameter], recipe: Recipe, learning_rate: float
) -> Optimizer:
    """Make the optimizer of a recipe."""
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            parameters, learning_rate, momentum=_MOMENTUM, weight_decay=recipe.weight_decay
        )
    return torch.optim.Adam(parameters, lr=learning_rate, weight_decay=recipe.weight_decay)


def make_schedule(optimizer: Optimizer, recipe: Recipe, n_batches: int) -> Any:
    """Make the schedule of a recipe for epochs of `n_batches`.

    "one-cycle" is PyTorch's; "cosine" falls to 0; "step" divides by ten after each milestone;
    "cyclic" rises to the peak and falls again, along straight lines, in each of the recipe's
    snapshots, or once.
    """
    peak, total = recipe.max_learning_rate, recipe.epochs * n_batches
    if recipe.schedule == "one-cycle":
        return lr_scheduler.OneCycleLR(optimizer, peak, total_steps=total)
    if recipe.schedule == "cosine":
        return lr_scheduler.CosineAnnealingLR(optimizer, total)
    if recipe.schedule == "step":
        epochs = recipe.milestones or (recipe.epochs // 2, recipe.epochs * 3 // 4)
        return lr_scheduler.MultiStepLR(optimizer, [epoch * n_batches for epoch in epochs])
    if recipe.schedule == "cyclic":
        cycle = total // max(recipe.snapshots, 1)
        return lr_scheduler.CyclicLR(
            optimizer,
            _LOWEST * peak,
            peak,
            step_size_up=cycle // 2,
            step_size_down=cycle - cycle // 2,
            cycle_momentum=False,
        )
    return lr_scheduler.ConstantLR(optimizer, factor=1.0)
