"""Scores of generated images against SciPy, closed forms and hand-made sets."""

import keras
import numpy as np
import pytest
import scipy.linalg
import scipy.special
import scipy.stats
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter11.scores import (
    build_classifier,
    classify,
    frechet_distance,
    inception_score,
    mode_coverage,
    score_images,
)

SEEDS = st.integers(0, 2**32 - 1)


def distributions(seed, samples=24, classes=5, sharpness=3.0):
    return scipy.special.softmax(sharpness * np.random.default_rng(seed).normal(size=(samples, classes)), axis=1)


def by_matrix_root(a, b):
    """The Fréchet distance as the definition has it, with the root of a product that is not symmetric."""
    covariances = [np.cov(each, rowvar=False) for each in (a, b)]
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
    return np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(covariances[0] + covariances[1] - 2 * root)


@settings(max_examples=25)
@given(SEEDS, st.sampled_from([1, 2, 3, 8]))
def test_inception_score_by_relative_entropies(seed, splits):
    p = distributions(seed)
    parts = [np.exp(np.mean([scipy.stats.entropy(row, part.mean(axis=0)) for row in part]))
             for part in p.reshape(splits, -1, p.shape[1])]  # fmt: skip
    assert inception_score(p, splits) == pytest.approx((np.mean(parts), np.std(parts)), rel=1e-9, abs=1e-12)


@settings(max_examples=25)
@given(SEEDS)
def test_inception_score_lies_between_1_and_the_classes_and_ignores_their_names(seed):
    p = distributions(seed)
    score, _ = inception_score(p, 1)
    assert 1 <= score <= 5
    order = np.random.default_rng(seed).permutation(5)
    assert inception_score(p[:, order], 1)[0] == pytest.approx(score, rel=1e-12)


def test_inception_scores_by_hand():
    assert inception_score(np.full((6, 4), 0.25), 3) == (1.0, 0.0)
    assert inception_score(np.tile(np.eye(4), (5, 1)), 5) == pytest.approx((4.0, 0.0))
    two_of_four = np.eye(4)[[0, 1] * 10]
    assert inception_score(two_of_four, 2)[0] == pytest.approx(2.0)
    assert inception_score(np.eye(4)[[0, 0, 1, 2]], 2) == pytest.approx((1.5, 0.5))  # a part of one class, one of two


def test_parts_need_not_be_equal():
    score, deviation = inception_score(np.eye(3)[[0, 1, 2, 0, 1]], 2)  # three images of three classes, then two of two
    assert (score, deviation) == pytest.approx((2.5, 0.5))


@settings(max_examples=25)
@given(SEEDS, st.integers(2, 6))
def test_frechet_distance_equals_the_matrix_root(seed, features):
    rng = np.random.default_rng(seed)
    a, b = (rng.normal(size=(40, features)) @ rng.normal(size=(features, features)) + rng.normal() for _ in range(2))
    want = by_matrix_root(a, b)
    assert frechet_distance(a, b) == pytest.approx(want, rel=1e-6, abs=1e-6)
    assert frechet_distance(b, a) == pytest.approx(want, rel=1e-6, abs=1e-6)


@settings(max_examples=20)
@given(SEEDS)
def test_frechet_distance_does_not_change_when_both_sets_turn_or_move(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(30, 4)), 2 * rng.normal(size=(25, 4)) + 1
    turn, shift = np.linalg.qr(rng.normal(size=(4, 4)))[0], rng.normal(size=4)
    want = frechet_distance(a, b)
    assert frechet_distance(a @ turn + shift, b @ turn + shift) == pytest.approx(want, rel=1e-8)
    assert frechet_distance(3 * a, 3 * b) == pytest.approx(9 * want, rel=1e-8)


def test_frechet_distance_in_special_cases():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(20, 3))
    assert frechet_distance(a, a[::-1]) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(a, a + np.array([3, 4, 0])) == pytest.approx(25)
    flat = np.array([[0.0, 5], [2, 5]])  # second feature constant: a covariance without an inverse
    assert frechet_distance(flat, flat + np.array([0, 1])) == pytest.approx(1)
    one = np.array([[-1.0], [1.0]])  # one feature: (σ − σ′)², whatever the number of samples
    assert frechet_distance(one, 3 * one) == pytest.approx((2 * np.sqrt(2)) ** 2)
    few = rng.normal(size=(3, 10))  # fewer samples than features
    assert frechet_distance(few, a[:3] @ rng.normal(size=(3, 10))) >= 0


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


def test_all_figures_of_a_set(pictures):
    classifier = build_classifier(1, seed=0)
    features, probabilities = classify(classifier, pictures)
    got = score_images(classifier, pictures, features[::-1], coverage_of=4)
    assert (got["score"], got["deviation"]) == inception_score(probabilities)
    assert got["frechet"] == pytest.approx(0, abs=1e-6)
    assert got["coverage"] == len(set(probabilities[:4].argmax(axis=1))) / 10
    assert got["confidence"] == pytest.approx(probabilities.max(axis=1).mean())


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: inception_score(np.zeros((0, 3))), r"probabilities: expected \(samples, classes\)"),
        (lambda: inception_score(np.ones(3)), r"probabilities: expected \(samples, classes\)"),
        (lambda: inception_score([[0.5, 0.6]], 1), "probabilities: expected rows"),
        (lambda: inception_score([[1.5, -0.5]], 1), "probabilities: expected rows"),
        (lambda: inception_score([[np.nan, 1.0]], 1), "probabilities: expected rows"),
        (lambda: inception_score(np.eye(3)), "splits: expected a whole number from 1 to 3"),
        (lambda: inception_score(np.eye(3), 0), "splits"),
        (lambda: inception_score(np.eye(3), 1.5), "splits"),
        (lambda: frechet_distance(np.ones(3), np.ones((3, 1))), r"features_a: expected \(samples, features\)"),
        (lambda: frechet_distance(np.ones((3, 1)), np.ones((1, 1))), "features_b: expected"),
        (lambda: frechet_distance(np.ones((3, 2)), np.ones((3, 1))), "equally many features, got 2 and 1"),
        (lambda: frechet_distance([[1.0], [np.nan]], np.ones((3, 1))), "features_a: expected finite"),
        (lambda: frechet_distance(np.ones((3, 1)), [[1.0], [np.inf]]), "features_b: expected finite"),
        (lambda: mode_coverage([], 3), "labels: expected whole numbers"),
        (lambda: mode_coverage([0.5], 3), "labels: expected whole numbers"),
        (lambda: mode_coverage([3], 3), "labels: expected 0 to 2"),
        (lambda: mode_coverage([-1], 3), "labels: expected 0 to 2"),
        (lambda: mode_coverage([0], 0), "classes: expected a positive whole number"),
        (lambda: mode_coverage([0], 2.5), "classes"),
        (lambda: build_classifier(0), "steps: expected a positive whole number"),
        (lambda: classify(None, np.zeros((0, 28, 28, 1))), "images: expected"),
        (lambda: classify(None, np.zeros((2, 28, 28))), "images: expected"),
        (lambda: classify(None, np.full((2, 28, 28, 1), 255.0)), "pixels from −1 to 1"),
        (lambda: classify(None, np.full((2, 28, 28, 1), np.nan)), "pixels from −1 to 1"),
    ],
)
def test_errors(call, match):
    with pytest.raises(ValueError, match=match):
        call()
