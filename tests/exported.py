"""Small models that tests export, and ONNX graphs that they run."""

import numpy as np
import onnxruntime
from onnx import checker

from svmcifar import SVC


def problem(n_classes, dtype=np.float32, seed=0):
    """Samples of overlapping classes, with labels 3, 5, 7, ..., and others of the same kind."""
    rng = np.random.default_rng(seed)
    codes = np.arange(20 * n_classes) % n_classes
    centres = rng.normal(size=(n_classes, 6))
    X, Z = (centres[codes] + rng.normal(size=(len(codes), 6)) for _ in range(2))
    return X.astype(dtype), 3 + 2 * codes, Z.astype(dtype)


def fitted(n_classes, dtype=np.float32, labels=None, **parameters):
    """A fitted SVC, and samples to predict."""
    X, y, Z = problem(n_classes, dtype)
    svc = SVC(tol=1e-6, **parameters)
    if svc.kernel == "precomputed":
        X, Z = X @ X.T, Z @ X.T
    return svc.fit(X, y if labels is None else labels[y]), Z


def run(model, **inputs):
    """Check a graph, and run it by ONNX Runtime; its outputs by name."""
    checker.check_model(model, full_check=True)
    content = model if isinstance(model, bytes) else model.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))
