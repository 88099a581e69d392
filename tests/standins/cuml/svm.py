"""`cuml.svm.SVC`, solved by LIBSVM on the host."""

import cupy
import numpy as np
from sklearn import svm


class SVC:
    """Takes and gives arrays on the device; two classes or more."""

    def __init__(self, *, C, kernel, gamma, tol, max_iter=-1, cache_size=1024.0):
        self._settings = {"C": C, "kernel": kernel, "gamma": gamma, "tol": tol}
        self._settings |= {"max_iter": max_iter, "cache_size": cache_size or 1}

    def fit(self, X, y, sample_weight=None):
        assert all(type(array) is cupy.ndarray for array in (X, y))
        assert sample_weight is None or type(sample_weight) is cupy.ndarray
        self._dtype = X.dtype
        weight = None if sample_weight is None else sample_weight.get().astype(np.float64)
        model = svm.SVC(**self._settings).fit(X.get().astype(np.float64), y.get(), weight)
        self._model = model
        if len(model.classes_) == 2:
            order = np.argsort(model.support_)
            self.support_ = cupy.asarray(model.support_[order])
            self.dual_coef_ = cupy.asarray(model.dual_coef_[:, order], dtype=X.dtype)
            self.intercept_ = cupy.asarray(model.intercept_, dtype=X.dtype)
        self.n_iter_ = model.n_iter_
        return self

    def predict(self, X):
        return cupy.asarray(self._model.predict(X.get().astype(np.float64)))
