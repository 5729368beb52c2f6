"""Back-propagation through time: equal to the tape and to Keras, truncated where it says, exact for linear cells."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter08.bptt import PARAMETERS, bptt, truncated_bptt

SIZES = st.integers(1, 5)
SEEDS = st.integers(0, 2**32 - 1)


def problem(seed, batch=2, steps=6, inputs=3, units=4, outputs=2):
    rng = np.random.default_rng(seed)
    shapes = ((inputs, units), (units, units), (units, outputs), (units,), (outputs,))
    parameters = {name: 0.7 * rng.normal(size=shape) for name, shape in zip(PARAMETERS, shapes, strict=True)}
    return rng.normal(size=(batch, steps, inputs)), rng.normal(size=(batch, steps, outputs)), parameters


def run(x, p):
    """States (batch, steps + 1, units), the start in front, and outputs."""
    states = [np.zeros((len(x), len(p["b"])))]
    for x_t in np.moveaxis(x, 1, 0):
        states.append(np.tanh(x_t @ p["w_xh"] + states[-1] @ p["w_hh"] + p["b"]))
    states = np.stack(states, axis=1)
    return states, states[:, 1:] @ p["w_ho"] + p["b_o"]


def loss_from(x, y, p, h, total):
    """The part of the loss that steps x, y contribute from state h on, one value a step, and the last state."""
    parts = []
    for t in range(x.shape[1]):
        h = tf.tanh(x[:, t] @ p["w_xh"] + h @ p["w_hh"] + p["b"])
        parts.append(tf.reduce_sum((h @ p["w_ho"] + p["b_o"] - y[:, t]) ** 2) / (2 * total))
    return parts, h


def tape(parameters, loss_of):
    p = {name: tf.constant(value) for name, value in parameters.items()}
    with tf.GradientTape() as gradient_tape:
        gradient_tape.watch(p)
        loss = loss_of(p)
    return gradient_tape.gradient(loss, p)


def assert_same(got, want, rtol=1e-9, atol=1e-12):
    assert got.keys() == want.keys()
    for name in want:
        np.testing.assert_allclose(got[name], want[name], rtol=rtol, atol=atol, err_msg=name)


# --- the full gradient ---------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(SEEDS, SIZES, SIZES, SIZES, SIZES, SIZES)
def test_bptt_equals_the_tape(seed, batch, steps, inputs, units, outputs):
    x, y, parameters = problem(seed, batch, steps, inputs, units, outputs)
    start = tf.zeros((batch, units), tf.float64)
    want = tape(parameters, lambda p: tf.add_n(loss_from(x, y, p, start, batch * steps)[0]))
    assert_same(bptt(x, y, parameters), want)


def test_bptt_equals_keras_layers():
    x, y, p = problem(1)
    model = keras.Sequential([
        keras.layers.SimpleRNN(4, return_sequences=True, unroll=True),
        keras.layers.Dense(2),
    ])  # fmt: skip
    model.build(x.shape)
    model.set_weights([p[name] for name in ("w_xh", "w_hh", "b", "w_ho", "b_o")])
    with tf.GradientTape() as gradient_tape:
        loss = tf.reduce_mean(tf.reduce_sum((model(x) - y) ** 2, axis=-1)) / 2
    gradients = gradient_tape.gradient(loss, [variable.value for variable in model.trainable_variables])
    want = dict(zip(("w_xh", "w_hh", "b", "w_ho", "b_o"), gradients, strict=True))
    assert_same(bptt(x, y, p), want, rtol=1e-4, atol=1e-5)


def test_one_step_by_hand():
    p = {"w_xh": [[0.0]], "w_hh": [[5.0]], "w_ho": [[2.0]], "b": [0.0], "b_o": [1.0]}
    got = bptt([[[3.0]]], [[[0.0]]], p)  # h = 0, o = 1, dloss/do = 1, tanh'(0) = 1
    assert_same(got, {"w_xh": [[6.0]], "w_hh": [[0.0]], "w_ho": [[0.0]], "b": [2.0], "b_o": [1.0]})


def test_tensors_and_single_precision_are_accepted_and_left_alone():
    x, y, p = problem(2)
    want = bptt(*(np.float32(a) for a in (x, y)), {name: np.float32(value) for name, value in p.items()})
    tensors = {name: tf.constant(value, tf.float32) for name, value in p.items()}
    got = bptt(tf.constant(x, tf.float32), tf.constant(y, tf.float32), tensors)
    assert_same(got, want, rtol=0, atol=0)
    assert all(value.dtype == np.float64 for value in got.values())
    copies = x.copy(), y.copy(), {name: value.copy() for name, value in p.items()}
    truncated_bptt(x, y, p, 2)
    np.testing.assert_array_equal(x, copies[0])
    np.testing.assert_array_equal(y, copies[1])
    assert_same(p, copies[2], rtol=0, atol=0)


# --- the truncated gradient ----------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(1, 6), st.integers(1, 8))
def test_sliding_windows_equal_a_sum_of_short_tapes(seed, steps, window):
    """Each loss on its own: the network runs on the last `window` steps only, from a state that is a constant."""
    x, y, parameters = problem(seed, steps=steps)
    states, _ = run(x, parameters)

    def loss_of(p):
        loss = 0.0
        for t in range(steps):
            first = max(t + 1 - window, 0)
            own = slice(first, t + 1)
            loss += loss_from(x[:, own], y[:, own], p, tf.constant(states[:, first]), 2 * steps)[0][-1]
        return loss

    assert_same(truncated_bptt(x, y, parameters, window), tape(parameters, loss_of))


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(1, 7), st.integers(1, 8))
def test_chunks_equal_training_chunk_by_chunk(seed, steps, window):
    x, y, parameters = problem(seed, steps=steps)

    def loss_of(p):
        h, parts = tf.zeros((2, 4), tf.float64), []
        for first in range(0, steps, window):
            more, h = loss_from(x[:, first : first + window], y[:, first : first + window], p, h, 2 * steps)
            parts, h = parts + more, tf.stop_gradient(h)
        return tf.add_n(parts)

    assert_same(truncated_bptt(x, y, parameters, window, every=window), tape(parameters, loss_of))


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(1, 8), st.integers(1, 4), st.integers(0, 6))
def test_blocks_equal_the_tape_with_stop_gradient(seed, steps, every, more):
    x, y, parameters = problem(seed, steps=steps)
    window, (states, _) = every + more, run(x, parameters)

    def loss_of(p):
        loss = 0.0
        for start in range(0, steps, every):
            first = max(start - more, 0)
            own = slice(first, min(start + every, steps))
            parts, _ = loss_from(x[:, own], y[:, own], p, tf.constant(states[:, first]), 2 * steps)
            loss += tf.add_n(parts[start - first :])
        return loss

    assert_same(truncated_bptt(x, y, parameters, window, every), tape(parameters, loss_of))


def test_chunks_equal_a_stateful_keras_layer():
    x, y, p = problem(3, batch=2, steps=6)
    inputs = keras.Input(batch_shape=(2, 2, 3), dtype="float64")
    layer = keras.layers.SimpleRNN(4, return_sequences=True, stateful=True, unroll=True, dtype="float64")
    model = keras.Model(inputs, layer(inputs))
    layer.set_weights([p["w_xh"], p["w_hh"], p["b"]])
    want = [0.0, 0.0, 0.0]
    for first in (0, 2, 4):
        own = slice(first, first + 2)
        with tf.GradientTape() as gradient_tape:
            outputs = model(x[:, own]) @ p["w_ho"] + p["b_o"]
            loss = tf.reduce_sum((outputs - y[:, own]) ** 2) / (2 * 2 * 6)
        gradients = gradient_tape.gradient(loss, [variable.value for variable in layer.trainable_variables])
        want = [total + gradient for total, gradient in zip(want, gradients, strict=True)]
    got = truncated_bptt(x, y, p, window=2, every=2)
    assert_same(
        {name: got[name] for name in ("w_xh", "w_hh", "b")}, dict(zip(("w_xh", "w_hh", "b"), want, strict=True))
    )


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(1, 12), st.integers(0, 5))
def test_a_window_over_the_sequence_gives_the_full_gradient(seed, steps, more):
    x, y, parameters = problem(seed, steps=steps)
    full = bptt(x, y, parameters)
    for every in (1, steps, steps + more):
        assert_same(truncated_bptt(x, y, parameters, steps + more, every), full, rtol=1e-12, atol=1e-14)


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.integers(1, 4))
def test_nothing_from_beyond_the_window_is_carried(seed, window):
    """Two pasts that lead to the same state where the window begins, and a loss in the last step only."""
    steps, units = 8, 4
    x, y, p = problem(seed, steps=steps, inputs=6, units=units)
    p["w_xh"] = np.vstack([np.eye(units), np.zeros((6 - units, units))]) * 0.7  # so that any state can be reached
    states, _ = run(x, p)
    past, beyond = x.copy(), steps - window
    past[:, : beyond - 1] = np.random.default_rng((seed, 1)).normal(size=past[:, : beyond - 1].shape)
    other_states, _ = run(past, p)
    missing = (states[:, beyond - 1] - other_states[:, beyond - 1]) @ p["w_hh"]
    past[:, beyond - 1, :units] += missing / 0.7
    np.testing.assert_allclose(run(past, p)[0][:, beyond:], states[:, beyond:], rtol=1e-9, atol=1e-12)

    def with_last_loss(inputs):
        targets = run(inputs, p)[1]
        targets[:, -1] = y[:, -1]
        return inputs, targets, p

    kept, changed = with_last_loss(x), with_last_loss(past)
    assert_same(truncated_bptt(*changed, window), truncated_bptt(*kept, window), rtol=1e-7, atol=1e-11)
    full = np.abs(bptt(*changed)["w_xh"] - bptt(*kept)["w_xh"]).max()
    assert full > 1e-9


def test_inputs_beyond_the_window_leave_no_trace():
    x, y, p = problem(5, steps=8)
    x[:, 5:] = 0.0
    targets = run(x, p)[1]
    targets[:, -1] = y[:, -1]
    assert np.abs(truncated_bptt(x, targets, p, window=3)["w_xh"]).max() < 1e-15
    assert np.abs(truncated_bptt(x, targets, p, window=4)["w_xh"]).max() > 1e-6


# --- arguments -----------------------------------------------------------------------------------------------------


def changed(**changes):
    x, y, p = problem(0)
    arguments = {"x": x, "y": y, **p, **changes}
    return arguments["x"], arguments["y"], {name: arguments[name] for name in PARAMETERS}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": np.zeros((2, 6))}, r"x: expected the shape \(any, any, any\), got \(2, 6\)"),
        ({"x": np.zeros((2, 0, 3)), "y": np.zeros((2, 0, 2))}, "x: expected at least one sequence with one step"),
        ({"x": np.full((2, 6, 3), np.nan)}, "array must not contain infs or NaNs"),
        ({"x": "text"}, "could not convert"),
        ({"y": np.zeros((2, 5, 2))}, r"y: expected the shape \(2, 6, any\), got \(2, 5, 2\)"),
        ({"y": np.full((2, 6, 2), np.inf)}, "array must not contain infs or NaNs"),
        ({"w_xh": np.zeros((4, 4))}, r"w_xh: expected the shape \(3, 4\), got \(4, 4\)"),
        ({"w_hh": np.zeros((4, 3))}, r"w_hh: expected the shape \(4, 4\), got \(4, 3\)"),
        ({"w_hh": np.zeros(4)}, r"w_hh: expected the shape \(4, 4\), got \(4,\)"),
        ({"w_ho": np.zeros((4, 1))}, r"w_ho: expected the shape \(4, 2\), got \(4, 1\)"),
        ({"b": np.zeros(3)}, r"b: expected the shape \(4\), got \(3,\)"),
        ({"b": 0.0}, r"b: expected the shape \(4\), got \(\)"),
        ({"b_o": np.full(2, np.nan)}, "array must not contain infs or NaNs"),
    ],
)
def test_bad_arrays(changes, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        bptt(*changed(**changes))
    with pytest.raises(ValueError, match=f"^{message}"):
        truncated_bptt(*changed(**changes), window=2)


def test_bad_parameters():
    x, y, p = problem(0)
    missing = {name: value for name, value in p.items() if name != "b"}
    for bad, got in ((missing, "'w_hh'"), ({**p, "h0": 0}, "'h0'"), (None, "None"), ([1], "[1]")):
        with pytest.raises(
            ValueError, match=rf"(?s)^parameters: expected a dictionary with the keys w_xh.*got.*{re.escape(got)}"
        ):
            bptt(x, y, bad)


@pytest.mark.parametrize("bad", [0, -1, 2.0, True, None, "2"])
def test_bad_counts(bad):
    x, y, p = problem(0)
    with pytest.raises(ValueError, match=r"^window: expected a whole number of at least 1, got"):
        truncated_bptt(x, y, p, bad)
    with pytest.raises(ValueError, match=r"^every: expected a whole number of at least 1, got"):
        truncated_bptt(x, y, p, 3, bad)


def test_bad_windows():
    x, y, p = problem(0)
    with pytest.raises(ValueError, match=r"^every: expected at most window=2, got 3"):
        truncated_bptt(x, y, p, 2, every=3)
