"""The switch layer: a loop over tokens, places first come first served, the balance and its gradient, every error."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter14.switch import (
    SwitchFeedForward,
    capacity,
    dispatch,
    load_balancing_loss,
    route,
    switch_layer,
)


def drawn(seed, experts=3, units=4, hidden=5, tokens=11):
    rng = np.random.default_rng(seed)
    sizes = {"x": (tokens, units), "w_router": (units, experts), "w1": (experts, units, hidden)}
    sizes |= {"b1": (experts, hidden), "w2": (experts, hidden, units), "b2": (experts, units)}
    values = {name: tf.Variable(rng.normal(size=size), dtype=tf.float64) for name, size in sizes.items()}
    return values.pop("x"), values


def looped(x, p, keep):
    """One token after the other, in NumPy; `keep` says which have a place."""
    x, p = x.numpy(), {name: value.numpy() for name, value in p.items()}
    rows = np.zeros_like(x)
    for number, token in enumerate(x):
        scores = np.exp(token @ p["w_router"])
        best = scores.argmax()
        inner = np.maximum(token @ p["w1"][best] + p["b1"][best], 0)
        rows[number] = keep[number] * (inner @ p["w2"][best] + p["b2"][best]) * scores[best] / scores.sum()
    return rows


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_the_layer_is_a_loop(seed, factor):
    x, p = drawn(seed)
    output, balance, dropped = switch_layer(x, p, factor)
    expert, seen, keep = route(x, p["w_router"])[1].numpy(), [0] * 3, []
    for number in expert:
        keep.append(seen[number] < capacity(11, 3, factor))
        seen[number] += 1
    np.testing.assert_allclose(output, looped(x, p, keep), rtol=1e-9, atol=1e-12)
    assert float(dropped) == pytest.approx(1 - np.mean(keep))
    assert float(balance) == pytest.approx(float(load_balancing_loss(*route(x, p["w_router"]))))


@pytest.mark.parametrize("name", ["x", "w_router", "w1", "b1", "w2", "b2"])
def test_gradients_are_slopes(name):
    x, p = drawn(5)
    variable, rng = {"x": x, **p}[name], np.random.default_rng(1)
    direction = rng.normal(size=variable.shape)

    def value():
        output, balance, _ = switch_layer(x, p, 1.0)
        return tf.reduce_sum(tf.sin(output)) + balance

    with tf.GradientTape() as tape:
        result = value()
    slope = float(tf.reduce_sum(direction * tape.gradient(result, variable)))
    ends = []
    for sign in (1, -1):
        variable.assign_add(sign * 1e-6 * direction)
        ends.append(float(value()))
        variable.assign_add(-sign * 1e-6 * direction)
    assert (ends[0] - ends[1]) / 2e-6 == pytest.approx(slope, rel=1e-5, abs=1e-7)


def test_first_come_first_served():
    places = dispatch([1, 0, 1, 1], 2, 2).numpy()
    assert places.dtype == bool
    assert np.argwhere(places).tolist() == [[0, 1, 0], [1, 0, 0], [2, 1, 1]]


@pytest.mark.parametrize("seed", range(5))
def test_a_place_for_one_and_one_place_for_each(seed):
    expert = np.random.default_rng(seed).integers(4, size=30)
    places = dispatch(expert, 4, 6).numpy()
    assert places.sum(axis=0).max() <= 1
    assert places.sum(axis=(1, 2)).max() <= 1
    assert places.sum(axis=(0, 2)).tolist() == np.minimum(np.bincount(expert, minlength=4), 6).tolist()


def test_capacity_is_rounded_up():
    assert [capacity(10, 4, factor) for factor in (1, 1.25, 0.1)] == [3, 4, 1]


def test_route_is_a_softmax():
    x, p = drawn(2)
    probabilities, expert = route(x, p["w_router"])
    np.testing.assert_allclose(probabilities, keras.ops.softmax(x.numpy() @ p["w_router"].numpy()), rtol=1e-6)
    np.testing.assert_array_equal(expert, np.argmax(probabilities, axis=1))


@pytest.mark.parametrize("experts", [1, 2, 5])
def test_balance(experts):
    spread = np.arange(10) % experts
    uniform = np.full((10, experts), 1 / experts)
    assert float(load_balancing_loss(uniform, spread)) == pytest.approx(1)
    assert float(load_balancing_loss(np.eye(experts)[[0] * 10], [0] * 10)) == pytest.approx(experts)
    q = np.random.default_rng(experts).dirichlet(np.ones(experts), size=10)
    share = np.bincount(q.argmax(axis=1), minlength=experts) / 10
    assert float(load_balancing_loss(q, q.argmax(axis=1))) == pytest.approx(experts * share @ q.mean(axis=0))


def test_the_keras_layer():
    layer = SwitchFeedForward(3, 5, capacity_factor=1.0, balance_weight=0.5, seed=1)
    x = np.random.default_rng(0).normal(size=(2, 7, 4)).astype(np.float32)
    output = layer(x)
    parameters = {name: weight.value for name, weight in layer.parameters.items()}
    want, balance, dropped = switch_layer(x.reshape(14, 4), parameters, 1.0)
    np.testing.assert_allclose(output, want.numpy().reshape(2, 7, 4), rtol=1e-5, atol=1e-6)
    assert float(layer.losses[0]) == pytest.approx(0.5 * float(balance))
    assert float(layer.dropped) == pytest.approx(float(dropped))
    assert len(layer.trainable_weights) == 5
    again, other = SwitchFeedForward(3, 5, seed=1), SwitchFeedForward(3, 5, seed=2)
    for each in (again, other):
        each.build((None, 4))
    np.testing.assert_array_equal(layer.parameters["w1"], again.parameters["w1"])
    assert np.abs(layer.parameters["w1"] - other.parameters["w1"]).max() > 0.1


def test_one_expert_is_two_dense_layers():
    x, p = drawn(3, experts=1)
    dense = keras.layers.Dense(5, activation="relu", dtype="float64"), keras.layers.Dense(4, dtype="float64")
    for number, layer in enumerate(dense, 1):
        layer.build((None, p[f"w{number}"].shape[1]))
        layer.set_weights([p[f"w{number}"][0].numpy(), p[f"b{number}"][0].numpy()])
    np.testing.assert_allclose(switch_layer(x, p, 1.0)[0], dense[1](dense[0](x)), rtol=1e-9)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x, p: route(x[0], p["w_router"]), "x: expected the shape"),
        (lambda x, p: route(x[:, :3], p["w_router"]), "w_router: expected the shape"),
        (lambda x, p: capacity(0, 2, 1.0), "tokens: expected a whole number"),
        (lambda x, p: capacity(5, 2, 0.0), "factor: expected a positive number"),
        (lambda x, p: capacity(5, 0, 1.0), "experts: expected a whole number"),
        (lambda x, p: dispatch([0, 3], 3, 2), "expert: expected integers from 0 to 2"),
        (lambda x, p: dispatch([0, -1], 3, 2), "expert: expected integers from 0 to 2"),
        (lambda x, p: dispatch([0.0, 1.0], 3, 2), "expert: expected integers"),
        (lambda x, p: dispatch([[0, 1]], 3, 2), "expert: expected the shape"),
        (lambda x, p: dispatch([0, 1], 3, 0), "capacity: expected a whole number"),
        (lambda x, p: dispatch([0, 1], 0, 2), "experts: expected a whole number"),
        (lambda x, p: load_balancing_loss(np.ones((2, 3)) / 3, [0, 3]), "expert: expected integers"),
        (lambda x, p: load_balancing_loss(np.ones((2, 3)) / 3, [0]), "expert: expected the shape"),
        (lambda x, p: load_balancing_loss(np.ones(3) / 3, [0]), "probabilities: expected the shape"),
        (lambda x, p: switch_layer(x, {**p, "w1": p["w1"][:1]}), "w1: expected the shape"),
        (lambda x, p: switch_layer(x, {**p, "b1": p["b1"][:1]}), "b1: expected the shape"),
        (lambda x, p: switch_layer(x, {**p, "w2": p["w2"][:1]}), "w2: expected the shape"),
        (lambda x, p: switch_layer(x, {**p, "b2": p["b2"][:1]}), "b2: expected the shape"),
        (lambda x, p: SwitchFeedForward(0, 5), "experts: expected a whole number"),
        (lambda x, p: SwitchFeedForward(2, 0), "hidden_units: expected a whole number"),
    ],
)
def test_errors(function, message):
    with pytest.raises(ValueError, match=message):
        function(*drawn(0))
