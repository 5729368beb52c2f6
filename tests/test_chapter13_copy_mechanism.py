"""Pointers: the mixture by counting, the task, the network's two shares, and what is refused."""

import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter13.copy_mechanism import PointerTransformer, introductions, pointer_mixture


@pytest.mark.parametrize("seed", range(4))
def test_the_mixture_is_a_count_of_what_stands_in_the_source(seed):
    rng = np.random.default_rng(seed)
    batch, steps, vocabulary, places, more = rng.integers(1, 6, size=5).tolist()
    size = vocabulary + more
    written, attention = (rng.dirichlet(np.ones(n), (batch, steps)) for n in (vocabulary, places))
    ids, gate = rng.integers(0, size, (batch, places)), rng.random((batch, steps))
    want = np.zeros((batch, steps, size))
    want[..., :vocabulary] = gate[..., None] * written
    for b in range(batch):
        for t in range(steps):
            np.add.at(want[b, t], ids[b], (1 - gate[b, t]) * attention[b, t])
    got = pointer_mixture(written, attention, ids, gate, size)
    np.testing.assert_allclose(got, want, atol=1e-12)
    np.testing.assert_allclose(pointer_mixture(written, attention, ids, gate[..., None], size), want, atol=1e-12)
    np.testing.assert_allclose(tf.reduce_sum(got, -1), np.ones((batch, steps)))


def test_slopes_are_those_of_the_formula():
    inputs = [tf.constant(each) for each in ([[[0.2, 0.8]]], [[[0.6, 0.4]]], [[0.25]])]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        p = pointer_mixture(inputs[0], inputs[1], [[2, 1]], inputs[2], 3)[0, 0, 1]
    written, attention, gate = tape.gradient(p, inputs)
    np.testing.assert_allclose(written, [[[0, 0.25]]])
    np.testing.assert_allclose(attention, [[[0, 0.75]]])
    np.testing.assert_allclose(gate, [[0.8 - 0.4]], rtol=1e-6)


def test_introductions_answer_with_both_names_the_second_first():
    source, target = introductions(500, range(30, 40), seed=3)
    assert source.shape == (500, 8)
    names = [row[row >= 30] for row in source]
    assert all(len(each) == 2 and each[0] != each[1] for each in names)
    np.testing.assert_array_equal(target[:, [3, 1]], names)
    np.testing.assert_array_equal(target[:, [0, 2, 5]], np.tile([3, 4, 2], (500, 1)))
    np.testing.assert_array_equal(target[:, 4], np.where(source[:, 0] % 2 == 0, 5, 6))
    assert source[:, 0].max() < 30
    assert source.min() >= 7
    again, _ = introductions(500, range(30, 40), seed=3)
    np.testing.assert_array_equal(source, again)


def test_only_a_copying_network_gives_names_a_probability_and_names_are_told_apart_by_place():
    source, target = introductions(4, [41, 42, 47], seed=1)
    for copy in (True, False):
        model = PointerTransformer(30, 50, units=8, copy=copy, seed=2)
        probabilities, gate = model((source, target))
        assert probabilities.shape == (4, 6, 50)
        np.testing.assert_allclose(tf.reduce_sum(probabilities, -1), np.ones((4, 6)), atol=1e-5)
        assert (probabilities.numpy()[..., 30:].max() > 1e-3) == copy
        assert np.all(gate.numpy() == 1) != copy
    model = PointerTransformer(30, 50, units=8, seed=2)
    renamed = np.where(source == 41, 48, source)  # another name at the same place
    one, other = (model((each, target * 0 + 3))[0].numpy() for each in (source, renamed))
    np.testing.assert_allclose(one[..., 41], other[..., 48], atol=1e-6)
    np.testing.assert_allclose(one[..., :30], other[..., :30], atol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda w, a, i, g: pointer_mixture(w[0], a, i, g, 5), "vocabulary_probabilities: expected the shape"),
        (lambda w, a, i, g: pointer_mixture(w, a[:, :1], i, g, 5), "attention: expected the shape"),
        (lambda w, a, i, g: pointer_mixture(w, a, i[:, :1], g, 5), "source_ids: expected the shape"),
        (lambda w, a, i, g: pointer_mixture(w, a, i, g, 3), "extended_size: expected at least the vocabulary's 4"),
        (lambda w, a, i, g: introductions(3, [31], 0), "names: expected at least two"),
        (lambda w, a, i, g: introductions(3, [29, 31], 0), "names: expected at least two"),
        (lambda w, a, i, g: introductions(0, [30, 31], 0), "samples: expected a whole"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.full((1, 2, 4), 0.25), np.full((1, 2, 3), 1 / 3), np.array([[1, 2, 4]]), np.full((1, 2), 0.5))
