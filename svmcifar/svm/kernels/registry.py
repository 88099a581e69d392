"""The kernels there are."""

from dataclasses import fields
from typing import Any

from svmcifar.svm.kernels.chi2 import Chi2
from svmcifar.svm.kernels.invariant_rbf import InvariantRBF
from svmcifar.svm.kernels.kernel import Kernel
from svmcifar.svm.kernels.laplacian import Laplacian
from svmcifar.svm.kernels.linear import Linear
from svmcifar.svm.kernels.poly import Polynomial
from svmcifar.svm.kernels.precomputed import Precomputed
from svmcifar.svm.kernels.rbf import RBF
from svmcifar.svm.kernels.sigmoid import Sigmoid

KERNELS: dict[str, type[Kernel]] = {
    kernel.name: kernel
    for kernel in (RBF, Laplacian, Linear, Polynomial, Sigmoid, Chi2, Precomputed)
}


def make_kernel(name: str, *, n_odd: int = 0, **parameters: Any) -> Kernel:
    """Build a kernel by name, with those of the parameters that it has.

    With odd features, which the RBF kernel alone may have, it is `InvariantRBF`.
    """
    kind: type[Kernel] = InvariantRBF if n_odd else KERNELS[name]
    parameters["n_odd"] = n_odd
    return kind(**{field.name: parameters[field.name] for field in fields(kind)})  # type: ignore[arg-type]
