import numpy as np
import pytest
import skops.io
from devices import assert_on_device, on_device
from reference_patches import pooled_responses
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from svmcifar.compute.arrays import to_host
from svmcifar.errors import InputError
from svmcifar.features.extract import patch_responses, second_layer
from svmcifar.features.extract.second_layer import SecondLayerPatches
from svmcifar.features.kinds import TRUSTED, make_transformers
from svmcifar.io.content_hash import content_hash

SMALL = {"n_filters": 6, "n_maps": 5, "n_channels": 4, "n_patches": 2000}
SHAPES = [None, (1, 20, 17), (3, 14, 30)]


@pytest.fixture(scope="module")
def images(synthetic_data):
    return synthetic_data.read_split("train").images[::10]  # 50


def drawn(shape):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (6, np.prod(shape)), dtype=np.uint8)
    images[:, ::2] //= 4
    return images


def reference_maps(layer, image):
    """The channels of one image, (n_channels, side, side), in float64."""
    shape = layer.image_shape or (3, 32, 32)
    side = (min(shape[1:]) - 4) // 2
    overlaps = layer.cells == "overlapping"
    pooled = pooled_responses(
        image, layer.map_filters_, layer.map_bias_, 5, 10.0, 0.5, side, layer.image_shape, overlaps
    )
    maps = np.sqrt(pooled).reshape(side * side, -1)
    channels = maps @ layer.channels_.astype(np.float64) - layer.offset_
    return channels.T.reshape(-1, side, side)


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("cells", ["apart", "overlapping"])
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_plain_loops(images, shape, cells, there, monkeypatch):
    monkeypatch.setattr(second_layer, "_DEVICE_BATCH_IMAGES", 2)
    images = images if shape is None else drawn(shape)
    layer = SecondLayerPatches(**SMALL, cells=cells, image_shape=shape).fit(images)
    chosen = images[:3]
    features = layer.transform(on_device(chosen) if there else chosen)
    if there:
        assert_on_device(features, on_device(np.zeros(1, np.float32)).dtype)
    assert features.shape == (3, layer.count_features(images.shape[1])) == (3, 108)
    expected = []
    for image in chosen:
        maps = reference_maps(layer, image)
        options = {"shape": maps.shape, "overlaps": cells == "overlapping"}
        expected.append(
            pooled_responses(maps.ravel(), layer.filters_, layer.bias_, 3, 0.1, 1.0, 3, **options)
        )
    assert np.max(expected) > 0.01
    np.testing.assert_allclose(to_host(features) ** 2.0, expected, rtol=2e-4, atol=2e-5)


def test_channels_are_partly_whitened_components(images):
    """Of the images that they are learned from, all of them here."""
    of_ten = SecondLayerPatches(**SMALL).fit(images[:10])
    channels = np.concatenate(
        [reference_maps(of_ten, image).reshape(4, -1) for image in images[:10]], axis=1
    )
    np.testing.assert_allclose(channels.mean(axis=1), 0, atol=1e-5)
    covariance = np.cov(channels, bias=True)
    variances = np.diag(covariance)
    assert (np.diff(variances) < 0).all()
    np.testing.assert_allclose(covariance, np.diag(variances), atol=1e-5 * variances[0])
    # Columns of unit length were divided by the deviation to the power 0.5, which is left.
    lengths = np.linalg.norm(of_ten.channels_.astype(np.float64), axis=0)
    np.testing.assert_allclose(variances, 1 / lengths**2, rtol=1e-4)


def test_filters_are_learned_from_the_maps(images, monkeypatch):
    """With the seed, and as `learn_filters` learns those of any images."""
    seen = []
    learn = second_layer.learn_filters
    monkeypatch.setattr(
        second_layer,
        "learn_filters",
        lambda *args, **options: seen.append((args, options)) or learn(*args, **options),
    )
    layer = SecondLayerPatches(**SMALL, random_state=3).fit(images)
    (pixels, _), (maps, shape) = (args for args, _ in seen)
    np.testing.assert_array_equal(pixels, images)
    assert shape == (4, 14, 14)
    assert maps.shape == (50, 4 * 14 * 14)
    np.testing.assert_allclose(
        maps[7].reshape(4, 14, 14), reference_maps(layer, images[7]), atol=1e-4
    )
    assert [(options["size"], options["n_filters"], options["seed"]) for _, options in seen] == [
        (5, 5, 3),
        (3, 6, 3),
    ]


def test_many_images_are_drawn_from(images, monkeypatch):
    monkeypatch.setattr(second_layer, "_CHANNEL_IMAGES", 20)
    monkeypatch.setattr(second_layer, "_FILTER_IMAGES", 30)
    monkeypatch.setattr(second_layer, "_CHANNEL_BATCH_IMAGES", 7)
    assert len(np.unique(images, axis=0)) == 50
    drawn = second_layer._draw(images, 30, np.random.default_rng(0))
    assert len(np.unique(drawn, axis=0)) == len(drawn) == 30
    first, again, other = (
        SecondLayerPatches(**SMALL, random_state=seed).fit(images) for seed in (0, 0, 1)
    )
    for name in ("map_filters_", "channels_", "filters_", "bias_"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
        assert not np.array_equal(getattr(first, name), getattr(other, name))
    assert np.isfinite(first.transform(images)).all()


def test_files_of_before_have_cells_apart(images):
    layer = SecondLayerPatches(**SMALL).fit(images)
    newer = content_hash(layer)
    del vars(layer)["cells"]
    assert content_hash(layer) == newer
    assert layer.transform(images[:1]).shape == (1, 108)
    assert content_hash(layer.set_params(cells="overlapping")) != newer


def test_a_row_depends_on_nothing_else(images, monkeypatch):
    layer = SecondLayerPatches(**SMALL, n_jobs=2).fit(images)
    whole = layer.transform(images)
    one_thread = clone(layer).set_params(n_jobs=1).fit(images)
    np.testing.assert_array_equal(one_thread.filters_, layer.filters_)
    monkeypatch.setattr(patch_responses, "_TASK_IMAGES", 3)
    np.testing.assert_array_equal(one_thread.transform(images[5:]), whole[5:])


def test_file(images, tmp_path):
    layer = SecondLayerPatches(**SMALL).fit(images)
    skops.io.dump(layer, tmp_path / "layer.skops")
    read = skops.io.load(tmp_path / "layer.skops", trusted=TRUSTED)
    np.testing.assert_array_equal(read.transform(images[:2]), layer.transform(images[:2]))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"n_filters": 0}, "The 'n_filters' parameter"),
        ({"n_patches": 4}, "must be at least 6, the filters of a layer. Got 4"),
        ({"n_channels": 11}, "must be at most 2 n_maps=10. Got 11"),
        ({"image_shape": (3, 13, 13)}, "at least 14 rows and columns. Got 13 x 13"),
    ],
)
def test_bad_parameters(changed, message):
    images = drawn(changed.get("image_shape", (3, 16, 16)))
    with pytest.raises(InputError, match=message):
        SecondLayerPatches(**(SMALL | changed)).fit(images)


def test_bad_images(images):
    layer = SecondLayerPatches(**SMALL)
    with pytest.raises(NotFittedError):
        layer.transform(images)
    with pytest.raises(InputError, match="at least 1 image"):
        layer.fit(images[:0])
    layer.fit(images)
    with pytest.raises(InputError, match="must be uint8"):
        layer.transform(images.astype(np.float32))
    assert layer.transform(images[:0]).shape == (0, 108)


def test_setting():
    made = make_transformers(
        ["patches"],
        {"patches": {"layers": 2, "n_filters": 30, "n_patches": 999, "cells": "overlapping"}},
    )
    assert [one.cells for _, one in made] == ["overlapping", "overlapping"]
    assert [one.n_patches for _, one in made] == [999, 999]
    assert [(name, one.n_filters) for name, one in made] == [("patches", 30), ("layer2", 30)]
    sizes = {"layers": 2, "patch_size": [6, 8]}
    made = make_transformers(["patches", "raw"], {"patches": sizes})
    assert [name for name, _ in made] == ["patches6", "patches8", "layer2", "pixels"]
    assert len(make_transformers(["patches"], {"patches": {"layers": 1}})) == 1
    with pytest.raises(InputError, match=r"Layers of patches must be 1 or 2\. Got 3"):
        make_transformers(["patches"], {"patches": {"layers": 3}})
    with pytest.raises(InputError, match="hog"):
        make_transformers(["hog"], {"hog": {"layers": 2}})
    with pytest.raises(InputError, match="layers"):
        make_transformers(["patches"], {"patches": {"colour": 2}})
    with pytest.raises(InputError, match="at least 200000"):
        make_transformers(["patches"], {"patches": {"layers": 2, "n_filters": 200_000}})
