"""A fitted model as LIBSVM's text file, and samples for it; ThunderSVM reads both."""

from collections.abc import Iterable, Iterator
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from svmcifar.errors import InputError
from svmcifar.svm.both_images import with_mirror_images

if TYPE_CHECKING:
    from svmcifar.svm.estimator import SVC

# LIBSVM's names of the kernels that it has, with the parameters that each has there.
_KERNELS = {
    "rbf": ("rbf", ["gamma"]),
    "linear": ("linear", []),
    "poly": ("polynomial", ["degree", "gamma", "coef0"]),
    "sigmoid": ("sigmoid", ["gamma", "coef0"]),
    "precomputed": ("precomputed", []),
}
# Enough to tell every number of a dtype from its neighbours.
_DIGITS = {np.dtype(np.float32): 9, np.dtype(np.float64): 17}


def require_libsvm_form(svc: "SVC") -> None:
    """Raise InputError if LIBSVM lacks the kernel of a fitted model, or its kind of labels."""
    if svc.kernel not in _KERNELS:
        raise InputError(
            f"A model for LIBSVM must have one of its kernels, {', '.join(_KERNELS)}. Got "
            f"{svc.kernel!r}. Export it as sklearn."
        )
    labels = svc.classes_
    is_number = labels.dtype.kind in "iubf"
    if not is_number or (labels != labels.astype(np.int32)).any():
        raise InputError(
            f"Labels in a model for LIBSVM must be integers of 32 bits. Got {labels[0]!r}. Fit it "
            f"on numbers of classes, or export it as sklearn."
        )


def write_libsvm(svc: "SVC", file: IO[str]) -> None:
    """Write a fitted model as LIBSVM's ``svm-train`` does, with all digits of its numbers.

    The samples of one with the kernel "precomputed" are told by their numbers in training.  Raise
    InputError as `require_libsvm_form`.
    """
    require_libsvm_form(svc)
    svc = with_mirror_images(svc)
    name, parameters = _KERNELS[svc.kernel]
    # LIBSVM's own sign, which scikit-learn flips for two classes.
    sign = -1.0 if len(svc.classes_) == 2 else 1.0
    values = {"gamma": float(svc.gamma_), "degree": int(svc.degree), "coef0": float(svc.coef0)}
    header = {
        "svm_type": "c_svc",
        "kernel_type": name,
        **{parameter: repr(values[parameter]) for parameter in parameters},
        "nr_class": len(svc.classes_),
        "total_sv": len(svc.support_),
        "rho": _numbers(-sign * svc.intercept_),
        "label": _numbers(svc.classes_.astype(np.int32)),
    }
    if svc.probability:
        header |= {"probA": _numbers(svc.probA_), "probB": _numbers(svc.probB_)}
    header["nr_sv"] = _numbers(svc.n_support_)
    file.writelines(f"{name} {value}\n" for name, value in header.items())
    file.write("SV\n")
    coefs = map(_numbers, (sign * svc.dual_coef_).T)
    if svc.kernel == "precomputed":
        samples: Iterable[str] = (f"0:{number + 1}" for number in svc.support_.tolist())
    else:
        samples = _numbered(svc.support_vectors_)
    file.writelines(f"{coef} {sample}\n" for coef, sample in zip(coefs, samples, strict=True))


def write_libsvm_samples(svc: "SVC", X: NDArray[Any], labels: ArrayLike, file: IO[str]) -> None:
    """Write samples for a fitted model as LIBSVM's ``svm-predict`` reads them.

    X, of shape (n_samples, n_features), is as for `SVC.predict`; labels are integers.
    """
    serial = " 0:1" if svc.kernel == "precomputed" else ""  # LIBSVM asks for a number, any
    file.writelines(
        f"{label}{serial} {sample}\n"
        for label, sample in zip(np.asarray(labels).tolist(), _numbered(X), strict=True)
    )


def _numbered(X: NDArray[Any]) -> Iterator[str]:
    """Yield each row as numbered features, from 1.

    Zeros are written too: LIBSVM looks precomputed values up by their place.
    """
    one = f"%.{_DIGITS[X.dtype]}g"
    line = " ".join(f"{number}:{one}" for number in range(1, X.shape[1] + 1))
    return (line % tuple(row.tolist()) for row in X)


def _numbers(values: NDArray[Any]) -> str:
    return " ".join(map(repr, values.tolist()))
