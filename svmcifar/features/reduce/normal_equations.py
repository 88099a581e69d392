"""Normal equations of ridge regression on class indicators, summed a batch at a time."""

import operator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import gen_batches

from svmcifar.compute.arrays import get_device, get_namespace, move_beside, take_rows

# Variances below this share of the mean square are rounding errors of float32 sums.
_LEAST_SHARE = 1e-5
# Keeps the equations of features without variance solvable.
_TINY = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True)
class NormalEquations:
    """The sums over samples that ridge regression needs, in float64; they can be added."""

    squares: Any  # X' X, of shape (n_features, n_features)
    features: Any  # sums of the features
    products: Any  # X' Y with the class indicators, of shape (n_features, n_classes)
    classes: Any  # number of samples of each class

    @classmethod
    def of(
        cls, X: Any, rows: NDArray[np.intp], codes: NDArray[np.intp], batch_rows: int
    ) -> "NormalEquations":
        """Sum over some rows of X, `batch_rows` at a time; codes are the classes of all rows."""
        xp, n_features, n_classes = get_namespace(X), X.shape[1], int(codes.max()) + 1
        shapes = (n_features, n_features), (n_features,), (n_features, n_classes), (n_classes,)
        squares, features, products, classes = (
            xp.zeros(shape, dtype=xp.float64, device=get_device(X)) for shape in shapes
        )
        for batch in gen_batches(len(rows), batch_rows):
            of_batch = rows[batch]
            samples = take_rows(X, of_batch)
            indicators = np.zeros((len(of_batch), n_classes), dtype=np.float32)
            indicators[np.arange(len(of_batch)), codes[of_batch]] = 1
            Y = move_beside(indicators, X)
            # In place: a float64 copy of the product would cost more than the product.
            squares += samples.T @ samples
            features += xp.sum(samples, axis=0, dtype=xp.float64)
            products += samples.T @ Y
            classes += xp.sum(Y, axis=0, dtype=xp.float64)
        return cls(squares, features, products, classes)

    def __add__(self, other: "NormalEquations") -> "NormalEquations":
        return NormalEquations(*map(operator.add, vars(self).values(), vars(other).values()))

    def __sub__(self, other: "NormalEquations") -> "NormalEquations":
        return NormalEquations(*map(operator.sub, vars(self).values(), vars(other).values()))

    def variances(self) -> Any:
        """Return the variances of the features, 0 where they are rounding errors."""
        xp = get_namespace(self.squares)
        n = xp.sum(self.classes)
        mean_squares = xp.linalg.diagonal(self.squares) / n
        variances = mean_squares - (self.features / n) ** 2
        return xp.where(variances > _LEAST_SHARE * mean_squares, variances, 0.0)

    def solve(self, alpha: float) -> tuple[Any, Any]:
        """Regress the class indicators on the features.

        Return coefficients of shape (n_features, n_classes), 0 for features without variance, and
        intercepts, both float32; `alpha` is the penalty of RidgeScores.
        """
        xp = get_namespace(self.squares)
        n = xp.sum(self.classes)
        mean, share = self.features / n, self.classes / n
        variances = self.variances()
        varied = xp.astype(variances > 0, xp.float64)
        penalty = alpha * n * xp.mean(variances) + _TINY
        centred = self.squares - n * mean[:, None] * mean[None, :]
        centred *= varied[:, None] * varied[None, :]
        eye = xp.eye(centred.shape[0], dtype=xp.float64, device=get_device(centred))
        products = self.products - n * mean[:, None] * share[None, :]
        coef = xp.linalg.solve(centred + penalty * eye, varied[:, None] * products)
        return xp.astype(coef, xp.float32), xp.astype(share - mean @ coef, xp.float32)
