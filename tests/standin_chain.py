"""From bytes to predictions as on a GPU, in a process that has tests/standins on its path.

CuPy is NumPy there, and kernels are compiled for the host; run by test_device_chain.py.
"""

import cupy
import numpy as np
import pytest
from feature_options import ALL, quick_features

from svmcifar.compute.arrays import is_host, to_device
from svmcifar.features.settings import FeatureSettings
from svmcifar.model.persistence import load_model, save_model
from svmcifar.model.train import train_classifier
from svmcifar.svm.backends import cupy_ovo
from svmcifar.svm.estimator import RBFSVC


@pytest.fixture
def images_of_three_classes(synthetic_data):
    """Three images each of three superclasses."""
    train = synthetic_data.read_split("train")
    rows = np.concatenate([np.flatnonzero(train.labels["coarse"] == c)[:3] for c in (3, 7, 11)])
    return train.take(rows)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize(
    ("limit", "plan"), [(None, "whole kernel matrix, "), ("400B", "3 groups of classes, ")]
)
def test_train_save_load_predict(
    synthetic_data, images_of_three_classes, tmp_path, monkeypatch, limit, plan
):
    places = []
    solve = cupy_ovo.solve_on_device
    monkeypatch.setattr(
        cupy_ovo,
        "solve_on_device",
        lambda problem, *a: places.append(is_host(problem.samples.X)) or solve(problem, *a),
    )

    def train(**params):
        return train_classifier(
            synthetic_data,
            images_of_three_classes,
            RBFSVC(tol=1e-3, **params),
        )

    here = train(backend="numba")
    model = train(backend="cupy", memory_limit=limit)
    assert places == [False]
    assert model.manifest.fit.memory_plan.startswith(plan)
    np.testing.assert_allclose(model.svc.objective_, here.svc.objective_, rtol=1e-3)
    save_model(model, tmp_path / "model.skops")
    model = load_model(tmp_path / "model.skops")
    images = synthetic_data.read_split("test").images
    expected, values = here.predict_with_decisions(images)
    on_host, on_device = (model.predict_with_decisions(x) for x in (images, to_device(images)))
    np.testing.assert_allclose(on_device[1], on_host[1], rtol=0, atol=1e-5)
    for predicted, decisions in (on_host, on_device):
        np.testing.assert_allclose(decisions, values, rtol=0, atol=1e-2)
        assert (predicted == expected).mean() > 0.9


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_train_with_other_features(synthetic_data, images_of_three_classes):
    features = FeatureSettings(**(ALL | {"n_components": 6}))
    with quick_features():
        model, here = (
            train_classifier(synthetic_data, images_of_three_classes, RBFSVC(backend=b), features)
            for b in ("cupy", "numba")
        )
    np.testing.assert_allclose(model.svc.objective_, here.svc.objective_, rtol=1e-2)
    images = synthetic_data.read_split("test").images
    expected, values = here.predict_with_decisions(images)
    with cupy.cuda.Device(1):
        on_another = to_device(images)
    for inputs in (images, to_device(images), on_another):
        predicted, decisions = model.predict_with_decisions(inputs)
        np.testing.assert_allclose(decisions, values, rtol=0, atol=2e-2)
        assert (predicted == expected).mean() > 0.9
