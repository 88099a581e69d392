"""The kernels there are."""

from svmcifar.svm.kernels.kernel import Kernel
from svmcifar.svm.kernels.rbf import RBF

KERNELS = {kernel.name: kernel for kernel in (RBF,)}


def make_kernel(name: str, gamma: float) -> Kernel:
    """Build a kernel by name and coefficient, > 0."""
    return KERNELS[name](gamma)
