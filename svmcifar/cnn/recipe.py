"""The hyperparameters of a training, its device and its precision."""

import platform
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from svmcifar.cnn.blueprint import REFERENCE, Blueprint
from svmcifar.compute.environment import processor_name
from svmcifar.errors import BackendUnavailableError, InputError

OPTIMIZERS = ("adam", "sgd")
SCHEDULES = ("one-cycle", "constant", "step", "cosine", "cyclic")


@dataclass(frozen=True)
class Recipe:
    """Hyperparameters of a training; by default those of the reference network.

    Attributes
    ----------
    width : int
        Channels of the first convolution of the reference network.
    epochs, batch_size : int
    max_learning_rate : float
        Peak of the schedule.
    weight_decay : float
        L2 penalty added to the gradient (Adam, not AdamW).
    validation : float
        Share of the training images that are held out, stratified by class.
    precision : {"float32", "bfloat16"}
        Of convolutions and products (autocast); parameters are float32.
    seed : int
    arch : str
        See `svmcifar.cnn.blueprint.Blueprint`, as for `settings`, `head` and `image_size`.
    optimizer : {"adam", "sgd"}
        Adam, or stochastic gradient descent with momentum 0.9.
    schedule : {"one-cycle", "constant", "step", "cosine", "cyclic"}
        Of the learning rate, stepped after every batch; see `svmcifar.cnn.schedules`.
    milestones : tuple of int
        Epochs after which "step" divides the learning rate by ten; none is half and three quarters.
    label_smoothing : float
        Share of the target that is spread over all classes, from 0 to below 1.
    augment : str
        A key of `svmcifar.cnn.augment.AUGMENTATIONS`.
    jitter : float
        Share of the usual colour jitter in "standard" and "flip-shift".
    normalise : str
        See `svmcifar.cnn.normalisation.parse_normalisation`.
    keep : {"last", "best"}
        The epoch whose weights are kept; the best has the highest accuracy on held-out images.
    patience : int, optional
        Stop after so many epochs without a better accuracy on held-out images.
    snapshots : int
        Number of equal cycles of epochs at whose ends the weights are kept as a network each; 0
        for none.
    weights : str, optional
        What the first weights are instead of random ones, in words.
    head_epochs : int
        Epochs before all others in which the last layer alone is trained, at a constant rate.
    head_learning_rate : float
    preset : str, optional
        Name of the preset that settings come from.
    """

    width: int = 64
    epochs: int = 50
    batch_size: int = 128
    max_learning_rate: float = 1e-3
    weight_decay: float = 1e-3
    validation: float = 0.1
    precision: str = "float32"
    seed: int = 0
    arch: str = "reference"
    settings: dict[str, Any] = field(default_factory=dict)
    head: str = "standard"
    image_size: int | None = None
    optimizer: str = "adam"
    schedule: str = "one-cycle"
    milestones: tuple[int, ...] = ()
    label_smoothing: float = 0.0
    augment: str = "standard"
    jitter: float = 1.0
    normalise: str = "cifar10"
    keep: str = "last"
    patience: int | None = None
    snapshots: int = 0
    weights: str | None = None
    head_epochs: int = 0
    head_learning_rate: float = 1e-3
    preset: str | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.validation < 1:
            raise InputError(
                f"The share of validation images must be from 0 to below 1. "
                f"Got {self.validation} instead."
            )
        if not self.validation and (self.keep == "best" or self.patience):
            raise InputError(
                "The best epoch must be known from held-out images. Got none instead. "
                "Hold a share of the training images out."
            )
        if self.snapshots and (
            self.epochs % self.snapshots or self.keep == "best" or self.patience
        ):
            raise InputError(
                f"Snapshots must be at the ends of equal cycles of epochs, all of them trained. "
                f"Got {self.snapshots} of {self.epochs} epochs, keep {self.keep}, "
                f"patience {self.patience} instead. Take a multiple of epochs, and keep the last."
            )

    @property
    def all_epochs(self) -> int:
        """Number of epochs, with those of the last layer alone."""
        return self.head_epochs + self.epochs

    def blueprint(self, superclass_of: NDArray[np.int64]) -> Blueprint:
        """Return the network to train, for classes with these superclasses."""
        is_reference = self.arch == REFERENCE
        return Blueprint(
            self.arch,
            len(superclass_of),
            {"width": self.width} if is_reference else self.settings,
            self.head,
            tuple(superclass_of.tolist()) if self.head == "hierarchical" else None,
            self.image_size,
        )


def choose_device(name: str = "auto") -> torch.device:
    """Choose the device to train on: "cpu", "gpu", or "auto", the GPU where PyTorch finds one.

    Raise BackendUnavailableError for "gpu" where it finds none.
    """
    has_gpu = torch.cuda.is_available()
    if name == "gpu" and not has_gpu:
        raise BackendUnavailableError(
            f"The device 'gpu' does not work here: PyTorch {torch.__version__} finds no CUDA GPU. "
            "Use the device 'cpu'."
        )
    return torch.device("cuda" if has_gpu and name != "cpu" else "cpu")


def fastest_precision(device: torch.device) -> str:
    """Return "bfloat16" where the device multiplies it in hardware, else "float32"."""
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    # Older versions of torch have no such function.
    flags: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return "bfloat16" if flags.get("avx512_bf16") or flags.get("amx_bf16") else "float32"


def device_name(device: torch.device) -> str:
    """Return the name of the processor or the GPU, for reports."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{processor_name()}, {torch.get_num_threads()} threads ({platform.system()})"
