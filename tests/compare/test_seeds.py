"""Models that differ in their seed alone."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from comparisons import changed, make_comparison
from contestants import entry_of
from pagetree import read, section, table_of

from svmcifar.compare.comparison import SeedGroup, Spread
from svmcifar.compare.conclusions import conclude
from svmcifar.compare.limitations import find_limitations
from svmcifar.compare.seeds import group_by_seed
from svmcifar.compare.training_terms import TrainingTerms

DATA = {"md5s": {"train": "1601"}}


def svm(model_id, seed, **changes):
    training = {"label_kind": "fine", "parameters": {"C": 5.0}, "rows": 300, "seed": seed} | changes
    terms = TrainingTerms(seed=seed)
    return entry_of(model_id, model_id, made={"training": training, "data": DATA}, terms=terms)


def cnn(model_id, seed, data=DATA, **changes):
    made = {"recipe": {"width": 16, "seed": seed} | changes, "data": data}
    return entry_of(model_id, model_id, made=made, terms=TrainingTerms(seed=seed))


ACCURACIES = {"cnn": 0.7, "cnn2": 0.8, "svm": 0.5, "svm2": 0.52, "svm3": 0.6, "svm4": 0.7}


def groups(*models, fine=tuple(ACCURACIES)):
    scores = {
        kind: {i: SimpleNamespace(accuracy=ACCURACIES[i]) for i in ids}
        for kind, ids in (("coarse", ACCURACIES), ("fine", fine))
    }
    return group_by_seed(models, scores)


def test_mean_and_spread_of_seeds():
    found = groups(
        svm("svm", 0), cnn("cnn", 3), svm("svm2", 1), svm("svm3", 7), svm("svm4", 0, rows=None),
        cnn("cnn2", 4),
    )  # fmt: skip
    assert [(group.models, group.seeds) for group in found] == [
        (["svm", "svm2", "svm3"], [0, 1, 7]), (["cnn", "cnn2"], [3, 4]),
    ]  # fmt: skip
    values = [0.5, 0.52, 0.6]
    expected = (np.mean(values), np.std(values, ddof=1), 0.5, 0.6)
    assert found[0].accuracy == {kind: pytest.approx(expected) for kind in ("coarse", "fine")}


def test_models_of_superclasses_have_no_other_spread():
    (found,) = groups(svm("svm", 0), svm("svm2", 1), fine=["svm"])
    assert list(found.accuracy) == ["coarse"]


@pytest.mark.parametrize(
    "models",
    [
        [svm("svm", 0), svm("svm2", 1, parameters={"C": 1.0})],
        [svm("svm", 0), svm("svm2", 1, augment="flip")],
        [svm("svm", 0), svm("svm2", 0)],  # a model twice, from other machines
        [cnn("cnn", 0), cnn("cnn2", 1, width=32)],
        [cnn("cnn", 0), cnn("cnn2", 1, data={"md5s": {"train": "other"}})],
        [entry_of("cnn", "A", made={}), entry_of("cnn2", "B", made={})],
        [cnn("cnn", 0), svm("svm", 1)],
    ],
)
def test_what_differs_otherwise_is_no_group(models):
    assert groups(*models) == []


def test_report_says_it():
    group = SeedGroup(["svm", "svm2"], [0, 1], {"coarse": Spread(0.5012, 0.0034, 0.4987, 0.5036)})
    comparison = make_comparison(n_svms=2, seeds=[group])
    (said,) = [s for s in conclude(comparison) if "seed" in s]
    assert said == (
        "SVM (coarse) and SVM svm2 differ in the seed alone (0, 1): on the 20 superclasses their "
        "accuracy is 50.12 % on average, with a standard deviation of 0.34 points (49.87 to "
        "50.36 %)."
    )
    made = {"made": {"training": {"rows": None, "parameters": {}}}}
    limitations = find_limitations(changed(comparison, {}, made, made))
    assert "but for those given with several seeds, each model" in limitations[0]
    accuracy = section(read(comparison), "accuracy")
    rows = table_of(accuracy, "Accuracy of models that differ in their seed alone")
    assert [(name, td[0].text) for name, td in rows.items()] == [
        (
            "SVM (coarse), SVM svm2, 20 superclasses",
            "50.12 % ± 0.34 points (49.87 to 50.36 %), seeds 0, 1",
        )
    ]
    assert comparison.to_json()["seeds"][0]["accuracy"]["coarse"]["std"] == 0.0034
    assert "Several seeds" not in section(read(replace(comparison, seeds=[])), "accuracy").text
