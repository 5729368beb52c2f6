"""Tests of chapter04.rectifiers: the convolutional network, the count of epochs, bad arguments."""

import math

import numpy as np
import pytest

from kerasnotes.chapter04.rectifiers import _mean_epochs, build_four_layer_cnn, epochs_to_error, gratings


def test_network_has_four_layers_and_repeatable_weights():
    model, twin, other = (build_four_layer_cnn("relu", seed) for seed in (3, 3, 4))
    kernels = [w for w in model.get_weights() if w.ndim > 1]
    assert [k.shape for k in kernels] == [(3, 3, 1, 16), (3, 3, 16, 32), (3, 3, 32, 32), (512, 10)]
    assert model.output_shape == (None, 10)
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), twin.get_weights(), strict=True))
    assert not np.array_equal(kernels[0], other.get_weights()[0])
    assert np.var(kernels[2]) == pytest.approx(2 / (9 * 32), rel=0.1)  # He
    tanh = build_four_layer_cnn("tanh", 3).get_weights()[4]
    assert np.var(tanh) == pytest.approx(2 / (9 * 32 + 9 * 32), rel=0.1)  # Glorot


def test_gratings_are_striped_in_their_direction():
    images, labels = gratings(200, seed=1, size=16)
    assert images.shape == (200, 16, 16, 1)
    assert images.dtype == np.float32
    assert set(labels) == set(range(10))
    upright = images[labels == 0, ..., 0]  # direction 0: the stripes stand, all rows are alike
    rows, columns = upright.mean(axis=1).std(axis=1), upright.mean(axis=2).std(axis=1)
    assert (rows > columns).all()


def test_epochs_to_error_counts_and_repeats():
    x, y = gratings(256, seed=0, size=12)
    arguments = ("relu", 0.6, 0, x, y)
    keywords = {"learning_rates": (1e-6, 0.03), "batch_size": 32, "max_epochs": 12}
    epochs, errors = epochs_to_error(*arguments, **keywords, history=True)
    assert list(errors) == [1e-6, 0.03]
    assert len(errors[1e-6]) == 12  # far too slow: gives up
    assert epochs == len(errors[0.03]) < 12
    assert errors[0.03][-1] <= 0.6 < errors[0.03][:-1].min()
    keywords["max_epochs"] = 3
    alone = epochs_to_error(*arguments, **{**keywords, "learning_rates": (0.03,)}, history=True)[1]
    after = epochs_to_error(*arguments, **{**keywords, "learning_rates": (0.3, 0.03)}, history=True)[1]
    np.testing.assert_array_equal(after[0.03], alone[0.03])  # every learning rate starts from the same state


def test_error_is_the_share_of_mistakes_on_all_images():
    x, y = gratings(1300, seed=2, size=8)  # more than are measured at a time
    _, errors = epochs_to_error("tanh", 0, 5, x, y, learning_rates=(1e-30,), max_epochs=1, history=True)
    predicted = build_four_layer_cnn("tanh", 5, (8, 8, 1), int(y.max()) + 1)(x).numpy().argmax(axis=1)
    assert errors[1e-30][0] == np.mean(predicted != y)


def test_unreached_target_is_infinite():
    x, y = gratings(64, seed=0, size=8)
    assert epochs_to_error("sigmoid", 0.0, 0, x, y, learning_rates=(1e-9,), max_epochs=1) == math.inf


def test_mean_epochs():
    runs = [{0.1: np.array([0.5, 0.2, 0.1]), 0.2: np.array([0.4, 0.09])}, {0.1: np.array([0.3, 0.3, 0.3, 0.05])}]
    assert _mean_epochs(runs, 0.1) == 3.0
    assert _mean_epochs(runs, 0.3) == 1.5
    assert _mean_epochs(runs, 0.01) is None


IMAGES, LABELS = np.zeros((64, 8, 8, 1)), np.zeros(64, int)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda: build_four_layer_cnn("gelu"), "activation: expected one of"),
        (lambda: gratings(0), "count: expected a whole number"),
        (lambda: gratings(1, size=0), "size: expected a whole number"),
        (lambda: epochs_to_error("gelu", 0.1, 0), "activation: expected one of"),
        (lambda: epochs_to_error("relu", 1.0, 0), "target_error: expected a number from 0"),
        (lambda: epochs_to_error("relu", math.nan, 0), "target_error: expected a number from 0"),
        (lambda: epochs_to_error("relu", 0.1, 0, IMAGES), "y: expected labels"),
        (lambda: epochs_to_error("relu", 0.1, 0, None, LABELS), "y: expected labels"),
        (lambda: epochs_to_error("relu", 0.1, 0, IMAGES[..., 0], LABELS), "x: expected the shape"),
        (lambda: epochs_to_error("relu", 0.1, 0, IMAGES, LABELS[1:]), "x: expected at least"),
        (lambda: epochs_to_error("relu", 0.1, 0, IMAGES, LABELS, batch_size=65), "x: expected at least"),
        (lambda: epochs_to_error("relu", 0.1, 0, IMAGES, LABELS, batch_size=0), "batch_size: expected a whole number"),
        (lambda: epochs_to_error("relu", 0.1, 0, IMAGES, LABELS, max_epochs=0), "max_epochs: expected a whole number"),
        (lambda: epochs_to_error("relu", 0.1, 0, IMAGES, LABELS, learning_rates=()), "learning_rates: expected"),
        (lambda: epochs_to_error("relu", 0.1, 0, IMAGES, LABELS, learning_rates=(-1,)), "learning_rates: expected"),
    ],
)
def test_bad_arguments(function, message):
    with pytest.raises(ValueError, match=message):
        function()
