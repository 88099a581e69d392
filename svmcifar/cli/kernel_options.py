"""Options of the SVM's kernel."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from svmcifar.cli import options
from svmcifar.cli.settings import gives_way
from svmcifar.errors import InputError

if TYPE_CHECKING:
    from svmcifar.svm.estimator import SVC

# The parameters of each kernel; the registry of kernels, which is slow to import, has the same.
KERNELS: dict[str, tuple[str, ...]] = {
    "rbf": ("gamma",),
    "laplacian": ("gamma",),
    "linear": (),
    "poly": ("gamma", "degree", "coef0"),
    "sigmoid": ("gamma", "coef0"),
    "chi2": ("gamma",),
}


class _Gamma(click.ParamType):
    name = "scale|auto|FLOAT"

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> str | float:
        """Read "scale", "auto" or a number above 0."""
        if value in ("scale", "auto"):
            return value
        try:
            number = float(value)
        except ValueError:
            self.fail(f"{value!r} is neither 'scale', 'auto' nor a number.", parameter, context)
        return options.POSITIVE.convert(number, parameter, context)


@dataclass(frozen=True)
class KernelOptions:
    """A kernel with those of its parameters that were given."""

    name: str
    parameters: dict[str, Any]

    def make_svc(self, **parameters: Any) -> "SVC":
        """Build the estimator; with the RBF kernel the one that older model files have too."""
        from svmcifar.svm.estimator import RBFSVC, SVC

        if self.name == "rbf":
            return RBFSVC(**self.parameters, **parameters)
        return SVC(kernel=self.name, **self.parameters, **parameters)


def kernel_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of the kernel; the command receives `KernelOptions` as ``kernel``."""

    @wraps(command)
    def collected(
        kernel: str, gamma: str | float, degree: int | None, coef0: float | None, **values: Any
    ) -> Any:
        given = _used(kernel, {"gamma": gamma, "degree": degree, "coef0": coef0})
        return command(kernel=KernelOptions(kernel, given), **values)

    return options.group(
        options.with_default(
            "--kernel",
            click.Choice(list(KERNELS)),
            "rbf",
            "Kernel: exp(-gamma |a - b|^2), exp(-gamma sum |a_i - b_i|), a.b, "
            "(gamma a.b + coef0)^degree, tanh(gamma a.b + coef0), or chi2, which takes no "
            "standardised features.",
        ),
        options.with_default(
            "--gamma",
            _Gamma(),
            "scale",
            "Kernel coefficient of all kernels but linear: a number, 1 / (features x their "
            "variance), or 1 / features.",
        ),
        click.option(
            "--degree",
            type=click.IntRange(0, 100),
            help="Degree of the polynomial.  [only for --kernel poly; default: 3]",
        ),
        click.option(
            "--coef0",
            type=options.FiniteRange(),
            help="What is added to gamma a.b.  [only for --kernel poly and sigmoid; default: 0]",
        ),
    )(collected)


def _used(kernel: str, values: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters that were given; raise InputError if the kernel does not have them.

    Those of a preset or config are of its own kernel, and another's needs none of them.
    """
    context = click.get_current_context()
    if kernel == "chi2":
        raise InputError(
            "--kernel chi2 is of features that are nowhere negative, and train standardises them. "
            "Take --kernel laplacian, or fit svmcifar.SVC(kernel='chi2') to "
            "svmcifar.features.HOG in Python (docs/features.md)."
        )
    kept = {}
    for name, value in values.items():
        source = context.get_parameter_source(name)
        if source is ParameterSource.DEFAULT:
            continue
        if kernel != "rbf" and gives_way(context, name, to="kernel"):
            continue
        if name not in KERNELS[kernel]:
            having = " or ".join(of for of in KERNELS if name in KERNELS[of] and of != "chi2")
            raise InputError(
                f"--{name} has no effect with --kernel {kernel}. Got {value}. "
                f"Leave it out, or take --kernel {having}."
            )
        kept[name] = value
    return kept
