"""Divergences and distances against SciPy, by hand, and their errors."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import spatial, special, stats

from kerasnotes.chapter11.divergences import (
    game_value,
    js,
    kl,
    optimal_discriminator,
    wasserstein_1d,
    wasserstein_of_samples,
)

SEEDS = st.integers(0, 2**32 - 1)
LN2 = np.log(2)


def distributions(seed, count, outcomes):
    return np.random.default_rng(seed).dirichlet(np.full(outcomes, 0.5), size=count)


@settings(max_examples=25)
@given(SEEDS, st.integers(2, 8))
def test_equal_to_scipy(seed, outcomes):
    p, q = distributions(seed, 2, outcomes)
    x = np.random.default_rng(seed).normal(size=outcomes)
    assert float(kl(p, q)) == pytest.approx(special.rel_entr(p, q).sum(), rel=1e-9)
    assert float(js(p, q)) == pytest.approx(spatial.distance.jensenshannon(p, q) ** 2, rel=1e-9, abs=1e-12)
    assert float(wasserstein_1d(p, q, x)) == pytest.approx(stats.wasserstein_distance(x, x, p, q), rel=1e-9)


@settings(max_examples=15)
@given(SEEDS, st.integers(1, 30))
def test_samples_equal_scipy(seed, count):
    a, b = np.random.default_rng(seed).normal(size=(2, 3, count))
    want = [stats.wasserstein_distance(*pair) for pair in zip(a, b, strict=True)]
    np.testing.assert_allclose(wasserstein_of_samples(a, b), want, rtol=1e-9)


def test_zeros_by_hand():
    p, q = [0.5, 0.5, 0.0], [0.5, 0.0, 0.5]
    assert np.isposinf(kl(p, q))
    assert float(js(p, q)) == pytest.approx(LN2 / 2)
    assert float(kl([1.0, 0.0], [0.5, 0.5])) == pytest.approx(LN2)


def test_a_batch_is_each_pair_for_itself():
    p, q = distributions(1, 6, 4).reshape(2, 3, 4)
    x = np.array([3.0, 0.0, -1.0, 2.0])
    for of in (kl, js, lambda a, b: wasserstein_1d(a, b, x), lambda a, b: game_value(a, b, b)):
        np.testing.assert_allclose(of(p, q), [of(*pair) for pair in zip(p, q, strict=True)])


def test_the_slope_in_the_places_and_in_the_mass():
    """Half of the mass at 1 goes to 4: pulling 1 towards 4 saves half a unit of work for each unit."""
    x, p, q = tf.constant([0.0, 1.0, 4.0]), tf.constant([0.5, 0.5, 0.0]), tf.constant([0.5, 0.0, 0.5])
    with tf.GradientTape() as tape:
        tape.watch(x)
        work = wasserstein_1d(p, q, x)
    assert float(work) == 1.5
    np.testing.assert_allclose(tf.convert_to_tensor(tape.gradient(work, x)), [0.0, -0.5, 0.5])


def test_best_discriminator():
    np.testing.assert_allclose(optimal_discriminator([0.3, 0.0, 2.0, 0.0], [0.1, 5.0, 0.0, 0.0]), [0.75, 0, 1, 0.5])
    p, q = distributions(2, 2, 5)
    grid = np.linspace(0.001, 0.999, 999)
    best = [grid[np.argmax(a * np.log(grid) + b * np.log(1 - grid))] for a, b in zip(p, q, strict=True)]
    np.testing.assert_allclose(optimal_discriminator(p, q), best, atol=1e-3)


def test_value_of_the_game_by_hand():
    assert float(game_value([0.5, 0.5], [0.5, 0.5], [0.5, 0.5])) == pytest.approx(-2 * LN2)
    assert float(game_value([1.0, 0.0], [0.0, 1.0], [1.0, 0.0])) == 0.0
    assert np.isneginf(game_value([1.0, 0.0], [0.0, 1.0], [0.0, 1.0]))


def test_in_compiled_code():
    p, q = (tf.constant(each, tf.float32) for each in distributions(3, 2, 4))
    x = tf.constant([0.0, 1.0, 2.0, 5.0])
    for of in (js, lambda a, b: wasserstein_1d(a, b, x), optimal_discriminator):
        np.testing.assert_allclose(tf.function(of, jit_compile=True)(p, q), of(p, q), rtol=1e-5)


def test_a_batch_of_unknown_size():
    p, q = (tf.constant(each, tf.float32) for each in distributions(4, 6, 3).reshape(2, 3, 3))
    for of in (js, lambda a, b: wasserstein_1d(a, b, [0.0, 1.0, 5.0]), optimal_discriminator, wasserstein_of_samples):
        compiled = tf.function(of, input_signature=[tf.TensorSpec((None, 3))] * 2)
        np.testing.assert_allclose(compiled(p, q), of(p, q), rtol=1e-5)
        np.testing.assert_allclose(compiled(p[:1], q[:1]), of(p, q)[:1], rtol=1e-5)


HALF = [0.5, 0.5]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kl([0.5, 0.6], HALF), "p: expected distributions"),
        (lambda: js(HALF, [1.5, -0.5]), "probabilities between 0 and 1"),
        (lambda: js(HALF, [0.2, 0.3, 0.5]), "q: expected the shape"),
        (lambda: js([], []), "p: expected numbers"),
        (lambda: wasserstein_1d(HALF, HALF, [0.0]), "p: expected the shape"),
        (lambda: wasserstein_1d(HALF, HALF, [0.0, np.nan]), "x: expected finite numbers"),
        (lambda: wasserstein_1d([0.5, 0.4], HALF, [0.0, 1.0]), "p: expected distributions"),
        (lambda: wasserstein_1d(HALF, [1.5, -0.5], [0.0, 1.0]), "q: expected distributions"),
        (lambda: wasserstein_of_samples([1.0], [1.0, 2.0]), "b: expected the shape"),
        (lambda: wasserstein_of_samples([], []), "a: expected numbers"),
        (lambda: wasserstein_of_samples([np.inf], [1.0]), "a: expected finite numbers"),
        (lambda: optimal_discriminator([-0.1], [0.5]), "p_data: expected probabilities or densities"),
        (lambda: optimal_discriminator([0.1], [0.5, 0.5]), "p_model: expected the shape"),
        (lambda: game_value(HALF, HALF, [0.5, 1.1]), "discriminator: expected probabilities"),
        (lambda: game_value(HALF, HALF, [0.5]), "discriminator: expected the shape"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
