"""The grid of a search: values of C, of gamma and of the number of components."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from math import inf
from typing import NamedTuple

from svmcifar.errors import InputError

DEFAULT_C = (1.0, 3.0, 10.0, 30.0, 100.0)


class Gamma(NamedTuple):
    """A kernel coefficient, as a number or as a multiple of "scale"."""

    number: float
    times_scale: bool = False  # whether to multiply 1 / (n_features * X.var()) of the training part

    @classmethod
    def parse(cls, text: str | float) -> "Gamma":
        """Parse a number, "scale" or a multiple of it such as "2x"; raise InputError otherwise."""
        words = str(text).strip()
        words = "1x" if words == "scale" else words
        try:
            number = float(words.removesuffix("x"))
        except ValueError:
            number = 0.0
        if not 0 < number < inf:
            raise InputError(
                f"A gamma must be a number above 0, 'scale', or a multiple of it such as '2x'. "
                f"Got {text!r} instead."
            )
        return cls(number, words.endswith("x"))

    def resolve(self, scale: float) -> float:
        """Return the coefficient, given the value of "scale"."""
        return self.number * scale if self.times_scale else self.number

    def __str__(self) -> str:
        # All digits, because the string identifies a setting.
        return f"{float(self.number)}".removesuffix(".0") + "x" * self.times_scale


DEFAULT_GAMMA = tuple(Gamma(number, True) for number in (0.25, 0.5, 1.0, 2.0, 4.0))


class Point(NamedTuple):
    """One setting of a grid."""

    C: float
    gamma: Gamma
    n_components: int | None = None  # use the first `n_components` features; None for all


@dataclass(frozen=True)
class Grid:
    """Every combination of values of C, gamma and number of components.

    Parameters
    ----------
    C : iterable of float
        Above 0.
    gamma : iterable of float, str or Gamma
        All numbers, or all multiples of "scale" (see `Gamma.parse`).
    n_components : iterable of int or None
        Use the first `n_components` features; None for all.

    Attributes
    ----------
    C, gamma, n_components : tuple
        Ascending.

    Raises
    ------
    InputError
        If a parameter has no value, the same twice, or one that is out of range.

    Examples
    --------
    >>> grid = Grid(C=[10, 1], gamma=["scale", "0.5x"])
    >>> [(point.C, str(point.gamma)) for point in grid.points]
    [(1.0, '0.5x'), (1.0, '1x'), (10.0, '0.5x'), (10.0, '1x')]
    """

    C: tuple[float, ...] = DEFAULT_C
    gamma: tuple[Gamma, ...] = DEFAULT_GAMMA
    n_components: tuple[int | None, ...] = (None,)

    def __init__(
        self,
        C: Iterable[float] = DEFAULT_C,
        gamma: Iterable[float | str | Gamma] = DEFAULT_GAMMA,
        n_components: Iterable[int | None] = (None,),
    ) -> None:
        gammas = [g if isinstance(g, Gamma) else Gamma.parse(g) for g in gamma]
        store = object.__setattr__  # the class is frozen
        store(self, "C", tuple(sorted(float(value) for value in C)))
        store(self, "gamma", tuple(sorted(gammas)))
        store(self, "n_components", tuple(sorted(n_components, key=lambda p: (p is None, p or 0))))
        self._check()

    @property
    def points(self) -> list[Point]:
        """Every setting, in the order that breaks ties: by C, gamma, number of components."""
        return [Point(*values) for values in product(self.C, self.gamma, self.n_components)]

    def _check(self) -> None:
        for name, values in (
            ("C", self.C), ("gamma", self.gamma), ("components", self.n_components),
        ):  # fmt: skip
            if not values or len(set(values)) < len(values):
                shown = ", ".join(map(str, values)) or "none"
                raise InputError(
                    f"A search must have one or more values of {name}, each once. "
                    f"Got {shown} instead."
                )
        for C in self.C:
            if not 0 < C < inf:
                raise InputError(f"A C to search must be a finite number above 0. Got {C} instead.")
        for gamma in self.gamma:
            if not 0 < gamma.number < inf:
                raise InputError(
                    f"A gamma to search must be a finite number above 0, or a multiple of 'scale'. "
                    f"Got {gamma} instead."
                )
        for count in self.n_components:
            if count is not None and count < 1:
                raise InputError(
                    f"A number of components to search must be at least 1. Got {count} instead."
                )
        if len({gamma.times_scale for gamma in self.gamma}) > 1:
            raise InputError(
                f"Gammas to search must be all numbers or all multiples of 'scale'. "
                f"Got {', '.join(map(str, self.gamma))} instead."
            )
