"""Every number of a report is in its scores.npz: recompute.py finds it again, or says so."""

import json

import numpy as np
import pytest
from contestants import make_card, make_network
from recompute import check, numbers, read

from svmcifar.compare.assemble import ask_models, compare_predictions, describe_models
from svmcifar.compare.robustness import measure_robustness
from svmcifar.compare.score_file import write_scores
from svmcifar.compare.tables import write_json
from svmcifar.model.persistence import save_model
from svmcifar.svm.estimator import RBFSVC

SVMS = {
    "votes of classes": {"label_kind": "fine"},
    "superclasses": {"label_kind": "coarse", "n_components": 12},
    "probabilities": {
        "svc": RBFSVC(C=10.0, probability=True), "label_kind": "fine", "n_components": 12,
    },
}  # fmt: skip


@pytest.fixture(scope="module", params=SVMS)
def report(request, train_small, synthetic_data, tmp_path_factory):
    """A report of two networks, their ensemble and an SVM, as its files tell it."""
    folder = tmp_path_factory.mktemp("report")
    networks = [
        make_network(folder / "first.pth", 1, make_card(synthetic_data), strength=0.03),
        make_network(folder / "second.onnx", 2),
    ]
    svms = [train_small(**SVMS[request.param])]
    if request.param == "superclasses":
        svms.append(train_small(**SVMS[request.param], seed=1))
    paths = [folder / f"{number}.skops" for number in range(len(svms))]
    for svm, path in zip(svms, paths, strict=True):
        save_model(svm, path)
    test = synthetic_data.read_split("test")

    def ask(split):
        return ask_models(networks, svms, synthetic_data, split, "sum")

    predictions = ask(test)
    entries = describe_models(
        networks, list(zip(svms, paths, strict=True)), predictions, synthetic_data, ensemble="sum"
    )
    shape = synthetic_data.image_shape
    robustness = measure_robustness(ask, test, shape, 10, predictions)
    comparison = compare_predictions(
        entries, predictions, synthetic_data, test, robustness=robustness
    )
    write_scores(predictions, test, robustness, folder)
    write_json(comparison, folder)
    return read(folder)


def test_every_number_is_recomputed(report, synthetic_data):
    content, arrays = report
    n_recomputed, faults = check(content, arrays, synthetic_data)
    assert faults == []
    assert n_recomputed > 10_000
    assert content["robustness"]["n_images"] == 10
    assert len(content["seeds"]) == (len(content["scores"]["coarse"]) == 5)
    assert content["mixtures"]["coarse"] or "svm" in content["scores"]["fine"]


def leaf(content, place):
    *path, last = place.split(".")
    for key in path:
        content = content[int(key) if isinstance(content, list) else key]
    return content, int(last) if isinstance(content, list) else last


def test_every_number_that_is_changed_is_found(report, synthetic_data):
    """One number of each kind: what differs is told by its place."""
    content, arrays = report
    kinds = {}
    for place, value in numbers(content):
        if value is not None:
            kinds.setdefault(tuple(p for p in place.split(".") if not p.isdigit()), place)
    _, faults = check(content, arrays, synthetic_data)
    assert faults == []
    changed = json.loads(json.dumps(content))
    places = []
    for place in kinds.values():
        if place.startswith(
            ("scores", "paired", "robustness", "mixtures", "superclasses", "seeds")
        ):
            holder, key = leaf(changed, place)
            holder[key] = not holder[key] if isinstance(holder[key], bool) else holder[key] + 1e-3
            places.append(place)
    assert len(places) > 80
    _, faults = check(changed, arrays, synthetic_data)
    assert sorted(fault.split(":")[0] for fault in faults) == sorted(places)


def test_a_number_that_nobody_knows_is_found(report, synthetic_data):
    content, arrays = report
    _, faults = check(content | {"charm": 0.5}, arrays, synthetic_data)
    assert faults == ["charm: 0.5, neither recomputed nor provenance"]


def test_scores_are_read_without_pickle_and_lose_nothing(report, synthetic_data):
    _, arrays = report
    assert all(array.dtype.kind in "iufU" for array in arrays.values())
    assert arrays["fine/cnn/scores"].dtype == np.float32
    assert arrays["coarse/cnn/scores"].dtype == np.float64  # sums of these
    np.testing.assert_array_equal(
        arrays["fine/true"], synthetic_data.read_split("test").labels["fine"]
    )
