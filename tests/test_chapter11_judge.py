"""The classifier that judges, and what is read off it."""

import keras
import numpy as np
import pytest
import scipy.spatial
import tensorflow as tf

from kerasnotes.chapter11.dcgan_networks import build_generator
from kerasnotes.chapter11.judge import (
    as_pixels,
    build_classifier,
    classify,
    draw_images,
    mode_coverage,
    nearest_distances,
    trained_classifier,
)


def test_coverage():
    assert mode_coverage([0, 3, 3, 0], 4) == 0.5
    assert mode_coverage(np.arange(10), 10) == 1.0
    assert mode_coverage(np.array([7], np.uint8), 10) == pytest.approx(0.1)


@pytest.fixture(scope="module")
def pictures():
    return np.float32(np.random.default_rng(1).uniform(-1, 1, (30, 28, 28, 1)))


def test_the_classifier_and_its_outputs(pictures):
    classifier, again, other = build_classifier(5, seed=3), build_classifier(5, seed=3), build_classifier(5, seed=4)
    features, probabilities = classify(classifier, pictures, batch_size=7)
    assert features.shape == (30, 64)
    np.testing.assert_allclose(probabilities, tf.nn.softmax(classifier(pictures)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-12)
    logits = (
        features @ classifier.get_layer("logits").get_weights()[0] + classifier.get_layer("logits").get_weights()[1]
    )
    np.testing.assert_allclose(logits, classifier(pictures), rtol=1e-3, atol=1e-4)  # it is the last hidden layer
    np.testing.assert_array_equal(classifier(pictures), again(pictures))
    assert not np.allclose(classifier(pictures), other(pictures))
    assert not any(isinstance(layer, keras.layers.MaxPooling2D) for layer in classifier.layers)
    classifier.fit(pictures, np.arange(30) % 10, verbose=0)
    assert np.isfinite(classifier.evaluate(pictures, np.arange(30) % 10, verbose=0)).all()


def test_one_classifier_for_all_who_ask(pictures):
    calls = []

    def load():
        return (np.uint8(127.5 * (pictures[..., 0] + 1)), np.arange(30) % 10), None

    def fit(model, x, y, *, batch_size, epochs, seed):
        calls.append((x.shape, y.dtype, batch_size, epochs, seed))
        assert np.abs(x).max() <= 1

    first, again = (trained_classifier(load, fit, images=20, epochs=2, seed=5) for _ in range(2))
    assert first is again
    assert calls == [((20, 28, 28, 1), np.int32, 128, 2, 5)]
    assert trained_classifier(load, fit, images=20, epochs=2, seed=6) is not first
    np.testing.assert_array_equal(first(pictures), build_classifier(2, seed=5)(pictures))


def test_drawing():
    generator = build_generator(5, (4, 3, 2))
    images = draw_images(generator, 7, seed=1, batch_size=3)
    np.testing.assert_allclose(images, draw_images(generator, 7, seed=1), atol=1e-6)
    assert images.shape == (7, 28, 28, 1)
    assert not np.allclose(images, draw_images(generator, 7, seed=2))


def test_nearest_distances():
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(700, 3, 2)), rng.normal(size=(40, 3, 2))
    want = scipy.spatial.distance.cdist(a.reshape(-1, 6), b.reshape(-1, 6)).min(axis=1)
    np.testing.assert_allclose(nearest_distances(a, b), want, rtol=1e-4)
    assert nearest_distances(b[:5], b).max() < 1e-6  # exactly 0 up to the rounding of float32


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mode_coverage([], 3), "labels: expected whole numbers"),
        (lambda: mode_coverage([0.5], 3), "labels: expected whole numbers"),
        (lambda: mode_coverage([3], 3), "labels: expected 0 to 2"),
        (lambda: mode_coverage([-1], 3), "labels: expected 0 to 2"),
        (lambda: mode_coverage([0], 0), "classes: expected a whole number"),
        (lambda: mode_coverage([0], 2.5), "classes"),
        (lambda: build_classifier(0), "steps: expected a whole number"),
        (lambda: classify(None, np.zeros((0, 28, 28, 1))), "images: expected"),
        (lambda: classify(None, np.zeros((2, 28, 28))), "images: expected"),
        (lambda: classify(None, np.full((2, 28, 28, 1), 255.0)), "pixels from −1 to 1"),
        (lambda: classify(None, np.full((2, 28, 28, 1), np.nan)), "pixels from −1 to 1"),
        (lambda: draw_images(build_generator(5, (4, 3, 2)), 0, 0), "count: expected a whole number"),
        (lambda: nearest_distances(np.zeros((0, 2)), np.zeros((3, 2))), "images, others: expected"),
        (lambda: nearest_distances(np.zeros((3, 2)), np.zeros((3, 4))), "images, others: expected"),
        (lambda: nearest_distances(np.full((3, 2), np.nan), np.zeros((3, 2))), "finite"),
        (lambda: as_pixels(np.zeros((2, 28, 28))), "images: expected"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
