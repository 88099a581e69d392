"""What a search tries: values of C, of gamma and of the number of components."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from math import isfinite
from typing import NamedTuple

from svmcifar.errors import InputError

DEFAULT_C = (1.0, 3.0, 10.0, 30.0, 100.0)


class Gamma(NamedTuple):
    """A kernel coefficient, as a number or as a multiple of "scale".

    Attributes
    ----------
    number : float
    times_scale : bool
        Whether it multiplies ``1 / (n_features * X.var())`` of the training part.
    """

    number: float
    times_scale: bool = False

    @classmethod
    def parse(cls, text: str | float) -> "Gamma":
        """Read a number, "scale", or a multiple of it such as "2x".

        Raises
        ------
        InputError
            If it is none of these, or not above 0.
        """
        words = str(text).strip()
        words = "1x" if words == "scale" else words
        try:
            number = float(words.removesuffix("x"))
        except ValueError:
            number = 0.0
        if not 0 < number < float("inf"):
            raise InputError(
                f"A gamma must be a number above 0, 'scale', or a multiple of it such as '2x'. "
                f"Got {text!r} instead."
            )
        return cls(number, words.endswith("x"))

    def resolve(self, scale: float) -> float:
        """Give the coefficient where "scale" is `scale`."""
        return self.number * scale if self.times_scale else self.number

    def __str__(self) -> str:
        # In full: settings are told apart by it.
        return f"{float(self.number)}".removesuffix(".0") + "x" * self.times_scale


DEFAULT_GAMMA = tuple(Gamma(number, True) for number in (0.25, 0.5, 1.0, 2.0, 4.0))


class Point(NamedTuple):
    """One setting that is tried.

    Attributes
    ----------
    C : float
    gamma : Gamma
    n_components : int or None
        The features that are used are the first so many; None for all.
    """

    C: float
    gamma: Gamma
    n_components: int | None = None


@dataclass(frozen=True)
class Grid:
    """Every combination of values of C, gamma and number of components.

    Parameters
    ----------
    C : sequence of float
        Above 0.
    gamma : sequence of float, str or Gamma
        As `Gamma.parse` reads them; all numbers, or all multiples of "scale".
    n_components : sequence of int or None
        The first so many features; None for all of them.

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
        counts = list(n_components)
        put = object.__setattr__  # the class is frozen
        put(self, "C", tuple(sorted(float(value) for value in C)))
        put(self, "gamma", tuple(sorted(gammas)))
        put(self, "n_components", tuple(sorted(counts, key=lambda p: (p is None, p or 0))))
        self._check()

    @property
    def points(self) -> list[Point]:
        """Every setting, the one that wins a tie first: small C, then small gamma, then few."""
        return [Point(*values) for values in product(self.C, self.gamma, self.n_components)]

    def _check(self) -> None:
        for name, values in (
            ("C", self.C), ("gamma", self.gamma), ("components", self.n_components),
        ):  # fmt: skip
            if not values or len(set(values)) < len(values):
                found = ", ".join(map(str, values)) or "none"
                raise InputError(
                    f"A search must have one or more values of {name}, each once. "
                    f"Got {found} instead."
                )
        for C in self.C:
            if not (C > 0 and isfinite(C)):
                raise InputError(f"A C to search must be a finite number above 0. Got {C} instead.")
        for gamma in self.gamma:
            if not (gamma.number > 0 and isfinite(gamma.number)):
                raise InputError(
                    f"A gamma to search must be a finite number above 0, or so many times "
                    f"'scale'. Got {gamma} instead."
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
