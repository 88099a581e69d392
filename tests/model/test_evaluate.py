import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix

from svmcifar.data.registry import open_dataset
from svmcifar.errors import ModelFileError
from svmcifar.model.evaluate import evaluate_classifier


def test_scores_of_a_coarse_model(train_small, synthetic_data):
    model = train_small()
    result = evaluate_classifier(model, synthetic_data)
    test = synthetic_data.read_split("test")
    predictions = model.predict(test.images)
    assert result.scores.accuracy == accuracy_score(test.labels["coarse"], predictions)
    np.testing.assert_array_equal(
        result.scores.confusion,
        confusion_matrix(test.labels["coarse"], predictions, labels=range(20)),
    )
    assert result.superclass_scores is None
    assert result.scores.log_loss < np.log(20)  # better than knowing nothing
    assert result.to_dict()["data"] == "SYNTHETIC stand-in"
    assert result.predict_s > 0


def test_a_fine_model_is_mapped_up(train_small, synthetic_data):
    model = train_small(label_kind="fine")
    result = evaluate_classifier(model, synthetic_data)
    test = synthetic_data.read_split("test")
    predictions = model.predict(test.images)
    assert result.scores.accuracy == accuracy_score(test.classes, predictions)
    mapped = [model.superclass_of[c] for c in predictions]
    assert result.superclass_scores.accuracy == accuracy_score(test.labels["coarse"], mapped)
    assert result.superclass_scores.accuracy > result.scores.accuracy
    assert result.scores.top5_accuracy > result.scores.accuracy


def test_train_split(train_small, synthetic_data):
    model = train_small()
    result = evaluate_classifier(model, synthetic_data, "train")
    assert result.scores.n_samples == 500
    assert result.scores.accuracy > 0.5  # it has seen these


def test_other_data_set_is_refused(train_small, tiny_dataset):
    with pytest.raises(ModelFileError, match=r"must be those of the data set.*pass the right"):
        evaluate_classifier(train_small(), open_dataset(tiny_dataset))
