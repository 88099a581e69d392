"""The hyperparameters of a training, its device and its precision."""

import platform
from dataclasses import dataclass
from typing import Any

import torch

from svmcifar.compute.environment import processor_name
from svmcifar.errors import BackendUnavailableError, InputError


@dataclass(frozen=True)
class Recipe:
    """Hyperparameters of a training.

    Adam with the one-cycle schedule, stepped after every batch, on images augmented by
    `svmcifar.cnn.augment`.

    Attributes
    ----------
    width : int
        Channels of the first convolution.
    epochs, batch_size : int
    max_learning_rate : float
        Peak of the one-cycle schedule.
    weight_decay : float
        L2 penalty added to the gradient (Adam, not AdamW).
    validation : float
        Share of the training images that are held out, stratified by class.
    precision : {"float32", "bfloat16"}
        Of convolutions and products (autocast); parameters are float32.
    seed : int
    """

    width: int = 64
    epochs: int = 50
    batch_size: int = 128
    max_learning_rate: float = 1e-3
    weight_decay: float = 1e-3
    validation: float = 0.1
    precision: str = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.validation < 1:
            raise InputError(
                f"The share of validation images must be from 0 to below 1. "
                f"Got {self.validation} instead."
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
