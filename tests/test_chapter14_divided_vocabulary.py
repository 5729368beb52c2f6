"""A divided table: look-up, loss and gradients of the whole one, what is counted, and every error."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter14.divided_vocabulary import (
    copy_to_parts,
    equal_size,
    parallel_cross_entropy,
    parallel_embedding,
    split_rows,
    sum_of_parts,
)


def drawn(seed, *sizes):
    rng = np.random.default_rng(seed)
    return [tf.Variable(rng.normal(size=size), dtype=tf.float64) for size in sizes]


def test_rows_stand_in_order():
    w = np.arange(12.0).reshape(6, 2)
    pieces = split_rows(w, 3)
    assert [tuple(piece.shape) for piece in pieces] == [(2, 2)] * 3
    np.testing.assert_array_equal(tf.concat(pieces, axis=0), w)


@pytest.mark.parametrize("parts", [1, 2, 3, 6])
def test_look_up(parts):
    (table,) = drawn(parts, (6, 4))
    ids = np.random.default_rng(parts).integers(6, size=(3, 5))
    with tf.GradientTape() as tape:
        output, traffic = parallel_embedding(ids, table, parts)
        value = tf.reduce_sum(tf.sin(output))
    np.testing.assert_array_equal(output, table.numpy()[ids])
    want = np.zeros((6, 4))
    np.add.at(want, ids, np.cos(table.numpy()[ids]))
    np.testing.assert_allclose(tf.convert_to_tensor(tape.gradient(value, table)), want, rtol=1e-12)
    assert traffic["forward"] == (3 * 5 * 4 if parts > 1 else 0)


@pytest.mark.parametrize("parts", [1, 2, 3, 6])
@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_loss(parts, scale):
    hidden, table = drawn(parts, (7, 3), (12, 3))
    targets = np.random.default_rng(parts).integers(12, size=7)
    with tf.GradientTape(persistent=True) as tape:
        loss, traffic = parallel_cross_entropy(scale * hidden, table, targets, parts)
        logits = tf.matmul(scale * hidden, table, transpose_b=True)
        want = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(targets, logits)
    np.testing.assert_allclose(loss, want, rtol=1e-6)
    gradients = (tape.gradient(value, [hidden, table]) for value in (loss, want))
    for mine, theirs in zip(*gradients, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-7)
    assert traffic["forward"] == (3 * 7 if parts > 1 else 0)
    assert traffic["backward"] == (7 * 3 if parts > 1 else 0)


def test_the_largest_logit_may_be_anybodys():
    table = np.array([[1.0], [2.0], [3.0], [900.0]])
    for targets in ([0], [3]):
        loss, _ = parallel_cross_entropy(np.array([[1.0]]), table, targets, 2)
        assert float(loss) == pytest.approx(900 - table[targets[0], 0])


def test_copies_add_their_gradients_and_a_sum_hands_its_own_on():
    x, traffic = tf.Variable([1.0, 2.0]), {"forward": 0, "backward": 0}
    with tf.GradientTape() as tape:
        copies = copy_to_parts(x, 3, traffic)
        value = tf.reduce_sum(sum_of_parts([copies[0], 2 * copies[1], 4 * copies[2]], traffic) ** 2)
    assert traffic == {"forward": 2, "backward": 0}
    np.testing.assert_allclose(tape.gradient(value, x), [98.0, 196.0])  # (7 x)² has the slope 98 x
    assert traffic == {"forward": 2, "backward": 2}


def test_inside_a_compiled_function():
    hidden, table = drawn(0, (4, 3), (6, 3))
    loss = tf.function(lambda ids: parallel_cross_entropy(hidden, table, ids, 2)[0])(tf.constant([0, 1, 4, 5]))
    np.testing.assert_allclose(loss, parallel_cross_entropy(hidden, table, [0, 1, 4, 5], 1)[0], rtol=1e-12)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda: split_rows(np.ones((6, 2)), 4), "parts: expected a divisor of the 6 inputs"),
        (lambda: split_rows(np.ones(6), 2), "w: expected the shape"),
        (lambda: split_rows(np.ones((6, 2)), 0), "parts: expected a whole number"),
        (lambda: equal_size("heads", 6, 1.5), "parts: expected a whole number"),
        (lambda: parallel_embedding([0, 6], np.ones((6, 2)), 2), "ids: expected integers from 0 to 5"),
        (lambda: parallel_embedding([-1], np.ones((6, 2)), 2), "ids: expected integers"),
        (lambda: parallel_embedding([1.0], np.ones((6, 2)), 2), "ids: expected integers"),
        (lambda: parallel_cross_entropy(np.ones((2, 3)), np.ones((6, 2)), [0, 1], 2), "hidden: expected the shape"),
        (lambda: parallel_cross_entropy(np.ones((2, 2)), np.ones((6, 2)), [0, 6], 2), "targets: expected integers"),
        (lambda: parallel_cross_entropy(np.ones((2, 2)), np.ones((6, 2)), [0], 2), "targets: expected the shape"),
    ],
)
def test_errors(function, message):
    with pytest.raises(ValueError, match=message):
        function()
