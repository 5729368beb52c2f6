"""Autoencoders: shapes, tied weights, and principal components against scikit-learn and scipy."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg
from sklearn.decomposition import PCA

from kerasnotes.chapter10.autoencoder import (
    TiedDense,
    build_autoencoder,
    principal_angles,
    principal_components,
    squared_error,
)

SEEDS = st.integers(0, 2**32 - 1)


@settings(max_examples=20)
@given(SEEDS, st.integers(3, 8), st.integers(10, 30))
def test_components_equal_scikit_learn(seed, features, samples):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(samples, features)) @ rng.normal(size=(features, features)) + rng.normal(size=features)
    k = min(3, features)
    components, mean = principal_components(x, k)
    theirs = PCA(k, svd_solver="full").fit(x)
    np.testing.assert_allclose(mean, theirs.mean_, atol=1e-10)
    np.testing.assert_allclose(components @ components.T, np.eye(k), atol=1e-8)
    ours = (x - mean) @ components.T @ components + mean
    np.testing.assert_allclose(ours, theirs.inverse_transform(theirs.transform(x)), atol=1e-5)
    np.testing.assert_allclose(
        ((x - mean) @ components.T).var(axis=0) * samples / (samples - 1), theirs.explained_variance_
    )


@settings(max_examples=20)
@given(SEEDS, st.integers(1, 3), st.integers(4, 7))
def test_angles_equal_scipy(seed, k, features):
    a, b = np.random.default_rng(seed).normal(size=(2, k, features))
    want = np.sort(np.degrees(linalg.subspace_angles(a.T, b.T)))
    np.testing.assert_allclose(principal_angles(a, b), want, atol=1e-5)


def test_angles_by_hand():
    x, y, z = np.eye(3)
    assert principal_angles([x], [x + y]) == pytest.approx([45])
    assert principal_angles([x, y], [y, z]) == pytest.approx([0, 90], abs=1e-6)
    assert principal_angles([x, y], [x + y, 3 * x - y]) == pytest.approx([0, 0], abs=1e-6)


def test_small_angles_and_those_near_a_right_angle_keep_their_digits():
    for angle in (1e-10, 1e-5, 0.7, 0.8, np.pi / 2 - 1e-5, np.pi / 2 - 1e-10):
        (found,) = principal_angles([[1.0, 0.0]], [[np.cos(angle), np.sin(angle)]])
        assert np.radians(found) == pytest.approx(angle, rel=1e-13, abs=1e-15)


def test_fewest_samples_and_all_directions():
    components, mean = principal_components([[1.0, 2.0], [3.0, 2.0]], 2)
    np.testing.assert_allclose(np.abs(components), np.eye(2), atol=1e-12)
    np.testing.assert_allclose(mean, [2, 2])
    with pytest.raises(ValueError, match="with two samples at least"):
        principal_components([[1.0, 2.0]], 1)


@pytest.mark.parametrize("tied", [False, True])
def test_hidden_layers_bend_and_code_and_output_do_not(tied):
    autoencoder, encoder, _ = build_autoencoder(3, (7, 5), tied, inputs=10, activation="tanh")
    autoencoder.set_weights([np.random.default_rng(0).normal(size=w.shape) for w in autoencoder.get_weights()])
    x = np.random.default_rng(1).normal(size=(4, 10)).astype("float32")
    *down, code = encoder.layers[1:]
    h = x
    for layer in down:
        h = np.tanh(h @ layer.kernel.numpy() + layer.bias.numpy())
    h = h @ code.kernel.numpy() + code.bias.numpy()
    np.testing.assert_allclose(encoder(x), h, rtol=1e-4, atol=1e-4)
    back = autoencoder.layers[-1].layers[1:]
    kernels = [layer.layer.kernel.numpy().T if tied else layer.kernel.numpy() for layer in back]
    for kernel, layer in zip(kernels[:-1], back[:-1], strict=True):
        h = np.tanh(h @ kernel + layer.bias.numpy())
    np.testing.assert_allclose(autoencoder(x), h @ kernels[-1] + back[-1].bias.numpy(), rtol=1e-4, atol=1e-4)


def test_by_default_a_picture_of_mnist_two_sets_of_weights_and_no_two_alike():
    autoencoder, encoder, decoder = build_autoencoder(2)
    assert autoencoder.input_shape == autoencoder.output_shape == (None, 784)
    assert autoencoder.count_params() == 2 * 784 * 2 + 2 + 784
    w, v = encoder.get_weights()[0], decoder.get_weights()[0]
    assert abs(np.corrcoef(w.ravel(), v.ravel())[0, 1]) < 0.2
    assert w.std() == pytest.approx(np.sqrt(2 / 786), rel=0.05)  # Glorot's
    bent = build_autoencoder(2, (300,))[1].get_weights()[0]
    assert bent.std() == pytest.approx(np.sqrt(2 / 784), rel=0.02)  # He's


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("hidden", [(), (7,), (7, 5)])
def test_the_three_models_share_their_layers(hidden, tied):
    autoencoder, encoder, decoder = build_autoencoder(3, hidden, tied, inputs=10)
    x = np.float32(np.random.default_rng(0).random((4, 10)))
    code = encoder(x)
    assert code.shape == (4, 3)
    np.testing.assert_allclose(autoencoder(x), decoder(code), rtol=1e-5)
    sizes = (10, *hidden, 3)
    products = sum(a * b for a, b in itertools.pairwise(sizes))
    biases = sum(sizes[1:]) + sum(sizes[:-1])
    assert autoencoder.count_params() == products * (1 if tied else 2) + biases


def test_a_tied_layer_is_the_transpose_and_passes_gradients_to_one_kernel():
    dense = keras.layers.Dense(2)
    dense.build((None, 3))
    tied = TiedDense(dense, "relu")
    code = tf.constant([[1.0, -2.0]])
    tied(code)
    dense.kernel.assign([[1.0, 2.0], [0.0, -1.0], [3.0, 1.0]])
    tied.bias.assign([0.5, 0.0, 0.0])
    np.testing.assert_allclose(tied(code), [[0.0, 2.0, 1.0]])  # relu((1, -2) · rows + bias) of −2.5, 2, 1
    x = tf.constant([[0.1, 0.2, 0.3]])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(dense.kernel.value)
        loss = tf.reduce_sum(tied(dense(x)) ** 2)
    w = tf.Variable(dense.kernel.value)
    with tf.GradientTape() as by_hand:
        rebuilt = tf.nn.relu((x @ w + dense.bias) @ tf.transpose(w) + tied.bias)
        want = tf.reduce_sum(rebuilt**2)
    np.testing.assert_allclose(tape.gradient(loss, dense.kernel.value), by_hand.gradient(want, w), rtol=1e-5)


def test_one_seed_gives_one_start():
    first, again, other = (build_autoencoder(2, (4,), inputs=5, seed=seed)[0].get_weights() for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.allclose(first[0], other[0])


def test_errors():
    with pytest.raises(ValueError, match="code_size: expected a whole number"):
        build_autoencoder(0)
    with pytest.raises(ValueError, match="hidden: expected a whole number"):
        build_autoencoder(2, (5, 2.5))
    with pytest.raises(ValueError, match=r"layer: expected a keras.layers.Dense, got Flatten"):
        TiedDense(keras.layers.Flatten())
    with pytest.raises(ValueError, match="layer: expected a layer that is built"):
        TiedDense(keras.layers.Dense(2))(tf.zeros((1, 2)))
    dense = keras.layers.Dense(2)
    dense.build((None, 3))
    with pytest.raises(ValueError, match=r"x: expected \(batch, 2\)"):
        TiedDense(dense)(tf.zeros((1, 3)))
    with pytest.raises(ValueError, match=r"x: expected the shape \(samples, features\)"):
        principal_components(np.zeros(3), 1)
    for function in (lambda x: principal_components(x, 1), lambda x: principal_angles(x, x)):
        with pytest.raises(ValueError, match="must not contain infs or NaNs"):
            function(np.full((3, 3), np.nan))
    with pytest.raises(ValueError, match="k: expected a number from 1 to 4, got 5"):
        principal_components(np.eye(4), 5)
    with pytest.raises(ValueError, match="a, b: expected two matrices of one shape"):
        principal_angles(np.eye(2), np.eye(3))


def test_squared_error_by_hand():
    assert squared_error([[1.0, 2.0], [3.0, 4.0]], [[1.0, 0.0], [0.0, 4.0]]) == pytest.approx((4 + 9) / 2)
    assert squared_error([1.0, 2.0], [0.0, 0.0]) == pytest.approx(2.5)
    for x, rebuilt in ((np.zeros((2, 4, 5)), np.zeros((2, 4))), (np.zeros((0, 3)), np.zeros((0, 3))), (1.0, 1.0)):
        with pytest.raises(ValueError, match="x, rebuilt: expected images of one shape"):
            squared_error(x, rebuilt)
