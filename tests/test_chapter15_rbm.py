"""Restricted Boltzmann machines against the list of all states, and contrastive divergence against the exact slope."""

import math

import numpy as np
import pytest

from kerasnotes.chapter15.boltzmann import binary_states, boltzmann_distribution
from kerasnotes.chapter15.boltzmann_learning import likelihood_gradient
from kerasnotes.chapter15.rbm import RBM, bars_and_stripes, contrastive_divergence, log_partition, sigmoid, train_rbm


def random_rbm(visible, hidden, seed, deviation=1.0):
    rng, rbm = np.random.default_rng(seed), RBM(visible, hidden, seed)
    rbm.w, rbm.b, rbm.c = (rng.normal(0, deviation, size) for size in ((visible, hidden), visible, hidden))
    return rbm


def joined(rbm):
    """One matrix for all units, visible ones first."""
    visible, hidden = rbm.w.shape
    w = np.zeros((visible + hidden, visible + hidden))
    w[:visible, visible:], w[visible:, :visible] = rbm.w, rbm.w.T
    return w, np.concatenate([rbm.b, rbm.c])


@pytest.mark.parametrize(("visible", "hidden"), [(1, 1), (3, 4), (5, 2)])
def test_conditionals_are_those_of_the_list_of_all_states(visible, hidden):
    rbm = random_rbm(visible, hidden, seed=visible)
    states, p = boltzmann_distribution(*joined(rbm))
    v = binary_states(visible)
    for number, picture in enumerate(v):
        held = (states[:, :visible] == picture).all(axis=1)
        want = p[held] @ states[held, visible:] / p[held].sum()
        np.testing.assert_allclose(rbm.hidden_probabilities(v)[number], want, rtol=1e-10)
    for number, h in enumerate(binary_states(hidden)):
        held = (states[:, visible:] == h).all(axis=1)
        want = p[held] @ states[held, :visible] / p[held].sum()
        np.testing.assert_allclose(rbm.visible_probabilities(binary_states(hidden))[number], want, rtol=1e-10)


@pytest.mark.parametrize(("visible", "hidden"), [(1, 1), (3, 4), (5, 2)])
def test_free_energy_and_partition_are_the_sums_they_stand_for(visible, hidden):
    rbm = random_rbm(visible, hidden, seed=hidden)
    v, h = binary_states(visible), binary_states(hidden)
    energies = -(v @ rbm.w @ h.T) - (v @ rbm.b)[:, None] - h @ rbm.c  # (visible state, hidden state)
    np.testing.assert_allclose(np.exp(-rbm.free_energy(v)), np.exp(-energies).sum(axis=1), rtol=1e-10)
    assert log_partition(rbm) == pytest.approx(math.log(np.exp(-energies).sum()), rel=1e-12)


def test_one_unit_each_by_hand():
    rbm = RBM(1, 1, 0)
    rbm.w[:] = math.log(3)  # states 00, 01 and 10 have weight 1, state 11 has 3
    assert log_partition(rbm) == pytest.approx(math.log(6))
    np.testing.assert_allclose(rbm.hidden_probabilities([[0.0], [1.0]]), [[0.5], [0.75]])
    np.testing.assert_allclose(np.exp(-rbm.free_energy([[0.0], [1.0]])), [2, 4])


def test_the_partition_of_a_large_layer_beside_a_small_one():
    rbm = RBM(300, 3, 0)
    rbm.w[:] = 0
    assert log_partition(rbm) == pytest.approx(303 * math.log(2))
    rbm.b[:] = 1000.0  # exp would overflow
    assert log_partition(rbm) == pytest.approx(300 * 1000 + 3 * math.log(2))


def test_many_draws_give_the_exact_slope_and_one_draw_does_not():
    rbm, rng = random_rbm(4, 3, seed=1, deviation=1.5), np.random.default_rng(2)
    data = np.array([[1.0, 0, 0, 1], [1, 1, 0, 0], [0, 0, 1, 1]])
    dw, db = likelihood_gradient(*joined(rbm), data, hidden=3)
    exact = np.concatenate([dw[:4, 4:].ravel(), db])
    largest = {}
    for k in (1, 60):
        blocks = [contrastive_divergence(rbm, np.repeat(data, 100, axis=0), k, rng) for _ in range(60)]
        blocks = np.array([np.concatenate([part.ravel() for part in block]) for block in blocks])
        error = blocks.std(axis=0, ddof=1) / math.sqrt(len(blocks))
        largest[k] = (np.abs(blocks.mean(axis=0) - exact) / error).max()
    assert largest[60] < 4.5
    assert largest[1] > 8


def test_the_shapes_of_a_slope():
    slopes = contrastive_divergence(RBM(5, 2, 0), np.ones((7, 5)), 1, np.random.default_rng(0))
    assert [slope.shape for slope in slopes] == [(5, 2), (5,), (2,)]


def test_bars_and_stripes():
    for size in (1, 2, 3, 4):
        pictures = bars_and_stripes(size)
        want = [
            picture.ravel()
            for picture in binary_states(size * size).reshape(-1, size, size)
            if (picture == picture[:1]).all() or (picture == picture[:, :1]).all()
        ]
        assert pictures.shape == (2 ** (size + 1) - 2, size * size)
        assert {tuple(picture) for picture in pictures} == {tuple(picture) for picture in want}


@pytest.mark.parametrize("persistent", [False, True])
def test_training_learns_and_repeats_itself(persistent):
    pictures = bars_and_stripes(3)
    data = np.repeat(pictures, 10, axis=0)

    def likelihood(steps):
        rbm = RBM(9, 6, 0, deviation=0.5)
        if steps:
            assert train_rbm(rbm, data, steps, 140, 0.2, 1, persistent, seed=3) is rbm
        return float(np.mean(-rbm.free_energy(pictures)) - log_partition(rbm))

    assert likelihood(0) + 1 < likelihood(1500) <= -math.log(14)  # no machine does better than the data's own entropy
    assert likelihood(50) == likelihood(50)


def test_the_first_step_is_the_slope_times_the_rate():
    data = bars_and_stripes(2)
    ours, theirs = RBM(4, 3, 5), RBM(4, 3, 5)
    train_rbm(ours, data, 1, 6, 0.5, 2, seed=8)
    rng = np.random.default_rng(8)
    rng.integers(0, 2, (6, 4))  # chains that this way does not use
    slopes = contrastive_divergence(theirs, data[rng.permutation(6)], 2, rng)
    for number, start, slope in zip((ours.w, ours.b, ours.c), (theirs.w, theirs.b, theirs.c), slopes, strict=True):
        np.testing.assert_allclose(number, start + 0.5 * slope, rtol=1e-12)


def test_sigmoid_does_not_overflow():
    with np.errstate(all="raise"):
        np.testing.assert_allclose(sigmoid(np.array([-1e4, 0.0, math.log(3), 1e4])), [0, 0.5, 0.75, 1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: RBM(0, 2, 0), "visible: expected a whole number"),
        (lambda: RBM(2, 1.5, 0), "hidden: expected a whole number"),
        (lambda: RBM(3, 2, 0).hidden_probabilities(np.ones((4, 2))), "v: expected the shape"),
        (lambda: RBM(3, 2, 0).visible_probabilities(np.ones((4, 3))), "h: expected the shape"),
        (lambda: RBM(3, 2, 0).free_energy(np.ones(3)), "v: expected the shape"),
        (lambda: log_partition(RBM(21, 22, 0)), "units: expected at most 20"),
        (lambda: contrastive_divergence(RBM(2, 2, 0), np.ones((3, 2)), 0, None), "k: expected a whole number"),
        (lambda: train_rbm(RBM(2, 2, 0), np.ones((3, 3)), 1, 1, 0.1, 1), "data: expected the shape"),
        (lambda: train_rbm(RBM(2, 2, 0), np.full((3, 2), 0.5), 1, 1, 0.1, 1), "expected states 0 and 1"),
        (lambda: train_rbm(RBM(2, 2, 0), np.full((3, 2), np.nan), 1, 1, 0.1, 1), "expected states 0 and 1"),
        (lambda: train_rbm(RBM(2, 2, 0), np.ones((3, 2)), 1, 4, 0.1, 1), "a batch of at most"),
        (lambda: train_rbm(RBM(2, 2, 0), np.ones((3, 2)), 0, 1, 0.1, 1), "epochs: expected a whole number"),
        (lambda: train_rbm(RBM(2, 2, 0), np.ones((3, 2)), 1, 1, 0.0, 1), "learning_rate: expected a positive"),
        (lambda: train_rbm(RBM(2, 2, 0), np.ones((3, 2)), 1, 1, 0.1, 0), "k: expected a whole number"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
