"""On what terms models were trained, as their records tell."""

import numpy as np
from contestants import make_network

from svmcifar import RBFSVC, SVC
from svmcifar.compare.training_terms import TrainingTerms, common_terms, network_terms, svm_terms


def test_terms_of_a_card_of_train_cnn(tmp_path):
    card = {"recipe": {"width": 16, "seed": 7}, "validation_rows": 50}
    terms = network_terms(make_network(tmp_path / "a.pth", card=card), n_images=500)
    assert (terms.n_images, terms.n_held_out, terms.seed) == (450, 50, 7)
    assert "mirror images" in terms.augmentation
    assert terms.n_settings is None
    del card["validation_rows"]
    terms = network_terms(make_network(tmp_path / "a.pth", card=card), n_images=500)
    assert (terms.n_images, terms.n_held_out) == (None, None)


def test_views_of_an_image_are_one_training_image(train_small):
    for svc in (RBFSVC(), SVC(kernel="linear")):  # mirror images are implied, and are samples
        model = train_small(svc, limit=200, augment="flip-shift", seed=3, n_settings=48)
        terms = svm_terms(model)
        assert (terms.n_images, terms.seed, terms.n_settings) == (200, 3, 48)
        assert terms.augmentation == "images and mirror images, and both shifted"


def test_precision_is_that_of_the_file(train_small):
    model = train_small(RBFSVC(), limit=200)
    assert svm_terms(model).stored_weights == "float32 support vectors, float64 coefficients"
    vectors = model.svc.support_vectors_
    model.svc.support_vectors_ = vectors.astype(np.float16).astype(np.float32)
    model.svc.dual_coef_ = np.ones_like(model.svc.dual_coef_)
    assert svm_terms(model).stored_weights == "float16 support vectors, float64 coefficients"


def test_an_ensemble_has_the_terms_that_its_members_share():
    first = TrainingTerms(n_images=450, seed=1, stored_weights="16 bits a weight")
    second = TrainingTerms(n_images=450, seed=2, stored_weights="16 bits a weight")
    shared = TrainingTerms(n_images=450, stored_weights="16 bits a weight")
    assert common_terms([first, second]) == shared
