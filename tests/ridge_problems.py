"""Samples for ridge scores."""

import numpy as np

N_IMAGES, N_FEATURES, N_CLASSES = 43, 6, 4


def samples(n_views=1, n_images=N_IMAGES, n_features=N_FEATURES, seed=0):
    """Classes that can be told apart in part; features of unlike variance and mean."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n_images) % N_CLASSES)
    centers = rng.normal(size=(N_CLASSES, n_features))
    X = np.repeat(centers[y], n_views, axis=0)
    X = X + rng.normal(size=X.shape)
    return (X * rng.uniform(0.2, 3, n_features) + rng.normal(size=n_features)).astype(np.float32), y


def fold_of_images(model, n_images=N_IMAGES):
    """The fold of each image."""
    order = np.random.default_rng(model.random_state).permutation(n_images)
    return order % model.n_folds
