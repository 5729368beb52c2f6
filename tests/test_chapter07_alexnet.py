"""AlexNet by layers added up by hand, and neighbours against a plain search."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter07 import alexnet, lenet, local_response
from kerasnotes.chapter07.alexnet import (
    build_alexnet,
    layer_seeds,
    multiply_adds,
    nearest,
    random_pictures,
)

SMALL = {"input_shape": (28, 28, 1), "classes": 10, "width": 0.04, "dense_units": 256}


def by_hand(size, channels, classes, groups, width, dense_units):
    """Weights and biases of a small network: 5 x 5 stem with stride 1, three poolings 3 x 3 with stride 2."""
    c = [groups * max(1, round(filters * width / groups)) for filters in (96, 256, 384, 384, 256)]
    units = round(dense_units * width)
    for _ in range(3):
        size = (size - 3) // 2 + 1
    pairs = [(25 * channels, c[0]), (25 * c[0] // groups, c[1]), (9 * c[1], c[2]), (9 * c[2] // groups, c[3]),
             (9 * c[3] // groups, c[4]), (size * size * c[4], units), (units, units), (units, classes)]  # fmt: skip
    return sum((fan_in + 1) * fan_out for fan_in, fan_out in pairs)


@pytest.mark.parametrize(("size", "groups", "width"), [(15, 1, 0.05), (32, 2, 0.05), (28, 3, 0.1)])
def test_parameters_of_siblings(size, groups, width):
    model = build_alexnet((size, size, 2), 7, groups, width, 200)
    assert model.count_params() == by_hand(size, 2, 7, groups, width, 200)
    assert model(np.ones((2, size, size, 2), "float32")).shape == (2, 7)


def test_the_stem_depends_on_the_picture():
    kernels = [build_alexnet((size, size, 3), width=0.02, dense_units=50).layers[1].kernel for size in (66, 67)]
    assert [tuple(kernel.shape[:2]) for kernel in kernels] == [(5, 5), (11, 11)]


def test_names_of_earlier_lessons_are_offered_here_too():
    assert alexnet.check_picture is lenet.check_picture
    assert alexnet.scaled is lenet.scaled
    assert alexnet.local_response_normalization is local_response.local_response_normalization
    assert alexnet.LocalResponseNormalization is local_response.LocalResponseNormalization


def test_one_seed_one_start():
    a, b, c = (build_alexnet(**SMALL, seed=seed).get_weights() for seed in (1, 1, 2))
    assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
    assert not np.array_equal(a[0], c[0])
    seeds = layer_seeds((1, 2))
    assert next(seeds) != next(seeds)


def test_dropout_acts_in_training_only():
    model, x = build_alexnet(**SMALL), np.ones((1, 28, 28, 1), "float32")
    np.testing.assert_array_equal(model(x), model(x))
    assert not np.array_equal(model(x, training=True), model(x, training=True))
    assert [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)] == [0.5, 0.5]


def test_multiply_adds_by_hand():
    x = keras.Input((8, 8, 4))
    y = keras.layers.Conv2D(6, 3, strides=2, padding="same", groups=2)(x)  # 4 * 4 places, 9 * 2 * 6 weights
    y = keras.layers.DepthwiseConv2D(3)(y)  # 2 * 2 places, 9 * 6 weights
    inner = keras.Sequential([keras.Input((24,)), keras.layers.Dense(5)])
    y = inner(keras.layers.Flatten()(y))
    assert multiply_adds(keras.Model(x, y)) == 16 * 108 + 4 * 54 + 24 * 5
    with pytest.raises(ValueError, match="dense and convolutional layers only, got LSTM"):
        multiply_adds(keras.Sequential([keras.Input((3, 2)), keras.layers.LSTM(2)]))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 5), st.integers(1, 6), st.integers(1, 4), st.integers(0, 99), st.data())
def test_nearest_equals_a_plain_search(n, m, dims, seed, draw):
    rng, k = np.random.default_rng(seed), draw.draw(st.integers(1, m))
    queries, gallery = rng.normal(size=(n, dims)), rng.normal(size=(m, dims))
    want = [sorted(range(m), key=lambda j: np.linalg.norm(query - gallery[j]))[:k] for query in queries]
    np.testing.assert_array_equal(nearest(queries, gallery, k), want)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (14, 28, 1)}, "input_shape: expected at least 15 x 15 pixels, got 14 x 28"),
        ({"input_shape": (28, 28)}, "input_shape: expected .height, width, channels., positive integers"),
        ({"input_shape": 28}, "input_shape: expected"),
        ({"input_shape": (28, 28, 0)}, "input_shape: expected"),
        ({"classes": 0}, "classes: expected a whole number of at least 1, got 0"),
        ({"groups": 1.5}, "groups: expected a whole number of at least 1, got 1.5"),
        ({"width": 0}, "width: expected a positive number, got 0"),
        ({"width": float("nan")}, "width: expected a positive number"),
        ({"dense_units": True}, "dense_units: expected a whole number of at least 1, got True"),
        ({"dropout": 1.0}, "dropout: expected a number from 0 and below 1, got 1.0"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        build_alexnet(**{**SMALL, **arguments})


def test_other_errors():
    with pytest.raises(ValueError, match="queries: expected the shape"):
        nearest(np.ones((2, 3)), np.ones((2, 4)))
    with pytest.raises(ValueError, match="k: expected 1 to 2, got 3"):
        nearest(np.ones((2, 3)), np.ones((2, 3)), 3)


def test_random_pictures():
    x = np.arange(5 * 4).reshape(5, 2, 2) * 255 / 19
    pictures, labels = random_pictures(x, np.arange(5), 3, np.random.default_rng(1))
    assert (pictures.dtype, pictures.shape, labels.dtype) == (np.float32, (3, 2, 2, 1), np.int32)
    assert len(set(labels)) == 3
    np.testing.assert_allclose(pictures[..., 0], 2 * x[labels] / 255 - 1, atol=1e-6)
    assert sorted(random_pictures(x, np.arange(5), 9, np.random.default_rng(1))[1]) == list(range(5))
    with pytest.raises(ValueError, match="y: expected the shape"):
        random_pictures(x, np.arange(4), 3, np.random.default_rng(1))
    with pytest.raises(ValueError, match="count"):
        random_pictures(x, np.arange(5), 0, np.random.default_rng(1))
