"""The character model: state, perplexity, sampling, training, and the counting models against other computations."""

import math
from collections import Counter

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from kerasnotes.chapter08.language_model import (
    CharacterModel,
    generate,
    interpolation_weights,
    ngram_probabilities,
    perplexity,
    stateful_batches,
    training_function,
)


@pytest.fixture(scope="module")
def model():
    return CharacterModel(5, 4, seed=1)


def log_loss(logits, targets):
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return np.log(np.exp(shifted).sum(axis=-1)) - shifted[np.arange(len(targets)), targets]


@given(st.integers(1, 3), st.integers(2, 7), st.integers(0, 2**16))
@settings(max_examples=15, deadline=None)
def test_logits_equal_the_formula_and_the_state_carries(model, batch, steps, seed):
    ids = np.random.default_rng(seed).integers(0, 5, (batch, steps))
    w_xh, w_hh, b, w_ho, b_o = model.get_weights()
    h, want = np.zeros((batch, 4)), []
    for t in range(steps):
        h = np.tanh(w_xh[ids[:, t]] + h @ w_hh + b)
        want.append(h @ w_ho + b_o)
    logits, state = model(ids, return_state=True)
    np.testing.assert_allclose(logits, np.stack(want, 1), atol=1e-5)
    np.testing.assert_allclose(state, h, atol=1e-5)
    cut = steps // 2
    first, middle = model(ids[:, :cut], return_state=True)
    second = model(ids[:, cut:], initial_state=middle)
    np.testing.assert_allclose(np.concatenate([first, second], 1), logits, atol=1e-5)


def test_a_seed_fixes_the_initial_weights():
    weights = [CharacterModel(5, 4, seed=seed).get_weights() for seed in (1, 1, 2)]
    for same, again, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(same, again)
        assert not same.any() or not np.array_equal(same, other)


@given(st.integers(1, 4), st.integers(1, 6), st.integers(1, 5), st.integers(0, 3))
@settings(max_examples=30, deadline=None)
def test_rows_continue_the_rows_before(batch_size, steps, batches, rest):
    rest = min(rest, batch_size * steps - 1)
    text = np.arange(batches * batch_size * steps + 1 + rest)
    inputs, targets = stateful_batches(text, batch_size, steps)
    assert inputs.shape == targets.shape == (batches, batch_size, steps)
    np.testing.assert_array_equal(targets, inputs + 1)
    rows = inputs.swapaxes(0, 1).reshape(batch_size, -1)
    np.testing.assert_array_equal(rows.ravel(), text[: rows.size])


def test_perplexity_is_the_mean_log_loss_whatever_the_steps(model):
    ids = np.random.default_rng(0).integers(0, 5, 23)
    want = math.exp(log_loss(model(ids[None, :-1]).numpy()[0], ids[1:]).mean())
    for steps in (7, 22, 100):
        assert perplexity(model, ids, steps) == pytest.approx(want, rel=1e-5)


def test_equal_logits_have_the_perplexity_of_the_vocabulary():
    flat = CharacterModel(7, 3, seed=0)
    flat.head.kernel.assign(tf.zeros((3, 7)))
    assert perplexity(flat, np.arange(7), 6) == pytest.approx(7.0, rel=1e-5)


def test_characters_are_drawn_at_the_temperature():
    flat = CharacterModel(3, 2, seed=0)
    flat.head.kernel.assign(tf.zeros((2, 3)))
    probabilities = np.array([0.2, 0.3, 0.5])
    flat.head.bias.assign(np.log(probabilities))
    for temperature in (0.5, 1.0, 2.0):
        want = probabilities ** (1 / temperature)
        want /= want.sum()
        shares = np.bincount(generate(flat, [0], 2000, temperature, seed=4), minlength=3) / 2000
        assert np.abs(shares - want).max() < 5 * 0.5 / math.sqrt(2000)  # five standard errors


def test_generation_reads_the_prefix_and_its_own_output(model):
    written = generate(model, [1, 2, 3], 6, temperature=1e-4, seed=0)  # nearly always the likeliest character
    ids = [1, 2, 3]
    for character in written:
        assert character == int(np.argmax(model(np.array([ids]))[0, -1]))
        ids.append(int(character))
    np.testing.assert_array_equal(generate(model, [1], 9, 1.0, 3), generate(model, [1], 9, 1.0, 3))
    assert not np.array_equal(generate(model, [1], 20, 1.0, 3), generate(model, [1], 20, 1.0, 4))


def test_training_equals_a_plain_loop_and_stops_the_gradient_between_batches():
    inputs, targets = stateful_batches(np.random.default_rng(0).integers(0, 5, 61), 2, 10)
    ours, plain = CharacterModel(5, 4, seed=2), CharacterModel(5, 4, seed=2)
    train = training_function(ours, keras.optimizers.SGD(0.5), clip_norm=0.3)
    losses, last = train(tf.constant(inputs), tf.constant(targets), tf.zeros((2, 4)))
    state, want = tf.zeros((2, 4)), []
    optimizer = keras.optimizers.SGD(0.5, global_clipnorm=0.3)
    for x, y in zip(inputs, targets, strict=True):
        with tf.GradientTape() as tape:
            logits, new_state = plain(x, initial_state=tf.stop_gradient(state), return_state=True)
            loss = keras.ops.mean(keras.losses.sparse_categorical_crossentropy(y, logits, from_logits=True))
        optimizer.apply(tape.gradient(loss, plain.trainable_variables), plain.trainable_variables)
        state = new_state
        want.append(float(loss))
    np.testing.assert_allclose(losses, want, rtol=1e-5)
    np.testing.assert_allclose(last, state, atol=1e-5)
    for got, expected in zip(ours.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-5)


def counted(train, ids, order, size):
    """The same probabilities, one character at a time, with dictionaries."""
    rows = [[1 / size] * (len(ids) - 1)]
    for k in range(1, order + 1):
        padded = [-1] * (k - 1) + list(train)
        groups = Counter(tuple(padded[i : i + k]) for i in range(len(train)))
        begun = Counter()
        for group, count in groups.items():
            begun[group[:-1]] += count
        padded, row = [-1] * (k - 1) + list(ids), []
        for i in range(1, len(ids)):
            group = tuple(padded[i : i + k])
            seen = begun[group[:-1]]
            row.append(groups[group] / seen if seen else rows[-1][i - 1])
        rows.append(row)
    return np.array(rows)


@given(st.integers(1, 4), st.integers(2, 4), st.integers(1, 40), st.integers(2, 20), st.integers(0, 2**16))
@settings(max_examples=40, deadline=None)
def test_counting_equals_dictionaries(order, size, train_length, length, seed):
    rng = np.random.default_rng(seed)
    train, ids = rng.integers(0, size, train_length), rng.integers(0, size, length)
    np.testing.assert_allclose(
        ngram_probabilities(train, ids, order, size), counted(train.tolist(), ids.tolist(), order, size), rtol=1e-12
    )


def test_pairs_by_hand():
    rows = ngram_probabilities([0, 1, 0, 1, 0, 0], [0, 1, 0], 2, 3)
    np.testing.assert_allclose(rows, [[1 / 3, 1 / 3], [2 / 6, 4 / 6], [2 / 3, 1.0]])


@given(st.integers(2, 4), st.integers(5, 60), st.integers(0, 2**16))
@settings(max_examples=20, deadline=None)
def test_expectation_maximization_reaches_the_maximum(models, length, seed):
    p = np.random.default_rng(seed).uniform(0.05, 1.0, (models, length))
    weights = interpolation_weights(p, iterations=5000)
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1.0)
    few, more = (np.log(interpolation_weights(p, rounds) @ p).mean() for rounds in (1, 2))
    assert more >= few - 1e-12
    found = minimize(
        lambda w: -np.log(w @ p).mean(),
        np.full(models, 1 / models),
        bounds=[(0, 1)] * models,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
        method="SLSQP",
    )
    assert np.log(weights @ p).mean() >= -found.fun - 1e-4


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: CharacterModel(1, 4), "vocabulary_size: expected at least 2, got 1"),
        (lambda m: CharacterModel(5, 0), "units: expected a positive number, got 0"),
        (lambda m: m(np.array([[0, 5]])), "ids: expected ids from 0 to 4"),
        (lambda m: stateful_batches([1, 2, 3], 0, 1), "batch_size: expected a positive number, got 0"),
        (lambda m: stateful_batches([1, 2, 3], 1, 0), "steps: expected a positive number, got 0"),
        (lambda m: stateful_batches([1, 2, 3], 3, 1), "ids: expected more than batch_size"),
        (lambda m: stateful_batches([1.0, 2.0], 1, 1), "ids: expected at least 2 integers"),
        (lambda m: training_function(m, keras.optimizers.SGD(), clip_norm=0.0), "clip_norm: expected a positive"),
        (lambda m: perplexity(m, [1]), "ids: expected at least 2 integers"),
        (lambda m: perplexity(m, [1, 5]), "ids: expected ids from 0 to vocabulary_size - 1, got 1 to 5"),
        (lambda m: perplexity(m, [1, 2], 0), "steps: expected a positive number, got 0"),
        (lambda m: generate(m, [], 3), "prefix: expected at least 1 integers"),
        (lambda m: generate(m, [-1], 3), "prefix: expected ids from 0"),
        (lambda m: generate(m, [1], 0), "length: expected a positive number, got 0"),
        (lambda m: generate(m, [1], 3, temperature=0.0), "temperature: expected a positive number, got 0.0"),
        (lambda m: ngram_probabilities([], [1, 2], 2, 5), "train: expected at least 1 integers"),
        (lambda m: ngram_probabilities([1], [1, 7], 2, 5), "ids: expected ids from 0"),
        (lambda m: ngram_probabilities([1], [1, 2], 0, 5), "order: expected at least 1"),
        (lambda m: ngram_probabilities([1], [1, 2], 60, 5), "order: expected at least 1"),
        (lambda m: interpolation_weights([0.5]), "probabilities: expected"),
        (lambda m: interpolation_weights([[0.0], [0.0]]), "probabilities: expected"),
        (lambda m: interpolation_weights([[0.5], [1.5]]), "probabilities: expected"),
        (lambda m: interpolation_weights([[0.5]], 0), "iterations: expected a positive number, got 0"),
    ],
)
def test_bad_arguments_are_refused(model, call, message):
    with pytest.raises(ValueError, match=message):
        call(model)
