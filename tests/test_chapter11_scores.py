"""Scores of generated images against SciPy, closed forms and hand-made sets."""

import numpy as np
import pytest
import scipy.linalg
import scipy.special
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter11.dcgan_networks import build_generator
from kerasnotes.chapter11.scores import (
    Judge,
    build_classifier,
    classify,
    draw_images,
    frechet_distance,
    inception_score,
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


@pytest.fixture(scope="module")
def pictures():
    return np.float32(np.random.default_rng(1).uniform(-1, 1, (30, 28, 28, 1)))


def test_all_figures_of_a_set(pictures):
    classifier = build_classifier(1, seed=0)
    features, probabilities = classify(classifier, pictures)
    got = score_images(classifier, pictures, features[::-1], coverage_of=4)
    assert (got["score"], got["deviation"]) == inception_score(probabilities)
    assert got["frechet"] == pytest.approx(0, abs=1e-6)
    assert got["coverage"] == len(set(probabilities[:4].argmax(axis=1))) / 10
    assert got["confidence"] == pytest.approx(probabilities.max(axis=1).mean())


def test_a_judge_looks_on_the_way_and_at_the_end(pictures):
    classifier, generator = build_classifier(1, seed=0), build_generator(3, (4, 3, 2))
    judge = Judge(classifier, pictures, seed=4)
    judge.look(generator, 0)
    judge.look(generator, 50)
    assert [row[0] for row in judge.path] == [0, 50]
    assert judge.path[0][1:] == judge.path[1][1:]  # the same generator, the same noise
    few = score_images(classifier, draw_images(generator, 100, (4, 7)), judge.reference)
    assert judge.path[0][1:] == [few["score"], round(10 * few["coverage"]), few["frechet"]]
    np.testing.assert_array_equal(judge.strips[0], draw_images(generator, 10, (4, 8)))
    images = judge.verdict(generator, pictures[::-1])
    np.testing.assert_array_equal(images["drawn digits"], draw_images(generator, 30, (4, 9)))
    assert judge.scored["test digits"]["frechet"] == pytest.approx(0, abs=1e-6)
    columns, rows = judge.table()
    assert [row[0] for row in rows] == ["drawn digits", "test digits"]
    assert all(len(row) == len(columns) for row in rows)
    assert 1 <= rows[0][columns.index("digits found in 1,000")] <= 10


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: inception_score(np.zeros((0, 3))), r"probabilities: expected \(samples, classes\)"),
        (lambda: inception_score(np.ones(3)), r"probabilities: expected \(samples, classes\)"),
        (lambda: inception_score([[0.5, 0.6]], 1), "probabilities: expected rows"),
        (lambda: inception_score([[1.5, -0.5]], 1), "probabilities: expected rows"),
        (lambda: inception_score([[np.nan, 1.0]], 1), "probabilities: expected rows"),
        (lambda: inception_score(np.eye(3)), "splits: expected at most 3"),
        (lambda: inception_score(np.eye(3), 0), "splits"),
        (lambda: inception_score(np.eye(3), 1.5), "splits"),
        (lambda: frechet_distance(np.ones(3), np.ones((3, 1))), r"features_a: expected \(samples, features\)"),
        (lambda: frechet_distance(np.ones((3, 1)), np.ones((1, 1))), "features_b: expected"),
        (lambda: frechet_distance(np.ones((3, 2)), np.ones((3, 1))), "features_b: expected the shape"),
        (lambda: frechet_distance([[1.0], [np.nan]], np.ones((3, 1))), "features_a: expected finite"),
        (lambda: frechet_distance(np.ones((3, 1)), [[1.0], [np.inf]]), "features_b: expected finite"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
