import json

import numpy as np
import pytest
from sklearn.decomposition import PCA

from svmcifar import RBFSVC
from svmcifar.compute.environment import describe_environment
from svmcifar.io.content_hash import content_hash


def test_hash_is_pinned():
    """It must stay the same from release to release: model files hold it."""
    assert content_hash({"a": 1, "b": [True, None, 2.5, "x"]}, np.arange(3, dtype="<i4")) == (
        "46f7ae409565bce1340b4203838d99590fb512b43e9dc2cb387114fd167ccda9"
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 2),
        (1, 1.0),
        (1, True),
        ("1", 1),
        (None, "None"),
        ([1, 2], [2, 1]),
        ([[1], 2], [[1, 2]]),
        (["ab", "c"], ["a", "bc"]),
        ({"a": 1}, {"b": 1}),
        (np.zeros(2), np.zeros(3)),
        (np.zeros((2, 3)), np.zeros((3, 2))),
        (np.zeros(2, "f4"), np.zeros(2, "f8")),
        (np.array([0.0]), np.array([-0.0])),
        (PCA(2), PCA(3)),
    ],
)
def test_what_differs_has_another_hash(one, other):
    assert content_hash(one) == content_hash(one)
    assert content_hash(one) != content_hash(other)


def test_what_is_the_same_has_the_same_hash():
    assert content_hash({"a": 1, "b": 2}) == content_hash({"b": 2, "a": 1})
    values = np.arange(6).reshape(2, 3)
    assert content_hash(values) == content_hash(np.asfortranarray(values))
    assert content_hash(np.float64(1.5)) == content_hash(1.5)
    assert content_hash(np.array(["a", "b"], dtype=object)) == content_hash(["a", "b"])


def test_how_a_model_was_computed_is_not_hashed():
    X = np.random.default_rng(0).normal(size=(20, 3))
    svc = RBFSVC().fit(X, np.arange(20) % 2)
    before = content_hash(svc)
    svc.set_params(n_jobs=3, verbose=True, memory_limit="1GB").memory_plan_ = "another"
    assert content_hash(svc) == before
    svc.gamma_ *= 2
    assert content_hash(svc) != before


def test_unknown_values_are_refused():
    with pytest.raises(TypeError, match="cannot hash a set"):
        content_hash({1, 2})


def test_environment_is_json_ready():
    environment = json.loads(json.dumps(describe_environment()))
    assert environment["versions"]["numpy"] == np.__version__
    assert environment["host"]["processor"]
    assert environment["git_commit"] is None or len(environment["git_commit"]) == 40
