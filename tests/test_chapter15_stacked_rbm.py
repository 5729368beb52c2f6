"""A stack of machines, unrolled: the network is the stack, and a step of pre-training is contrastive divergence."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter15.rbm import RBM, sigmoid
from kerasnotes.chapter15.stacked_rbm import _passes, logistic_autoencoder, multiplications, pretrain, unroll


def stack(*sizes):
    rng = np.random.default_rng(len(sizes))
    rbms = [RBM(visible, hidden, 0, deviation=0.5) for visible, hidden in itertools.pairwise(sizes)]
    for rbm in rbms:
        rbm.b, rbm.c = rng.normal(size=rbm.b.shape), rng.normal(size=rbm.c.shape)
    return rbms


@pytest.mark.parametrize("sizes", [(6, 3), (7, 5, 2), (8, 6, 4, 3)])
def test_the_unrolled_network_is_the_stack(sizes):
    rbms = stack(*sizes)
    model, encoder, decoder = unroll(rbms)
    x = np.random.default_rng(1).random((5, sizes[0]))
    h = x
    for rbm in rbms[:-1]:
        h = sigmoid(h @ rbm.w + rbm.c)
    code = h @ rbms[-1].w + rbms[-1].c
    np.testing.assert_allclose(encoder(x), code, rtol=1e-4, atol=1e-5)
    picture = code
    for rbm in rbms[::-1]:
        picture = sigmoid(picture @ rbm.w.T + rbm.b)
    np.testing.assert_allclose(decoder(np.float32(code)), picture, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model(x), picture, rtol=1e-4, atol=1e-5)


def test_the_halves_have_weights_of_their_own():
    _, encoder, decoder = unroll(stack(6, 4, 2))
    before = decoder.get_weights()
    encoder.set_weights([0 * number for number in encoder.get_weights()])
    for number, old in zip(decoder.get_weights(), before, strict=True):
        np.testing.assert_array_equal(number, old)


def test_the_network_from_a_random_start():
    models = [logistic_autoencoder((9, 6, 4, 2), seed) for seed in (0, 0, 1)]
    assert [layer.activation.__name__ for layer in models[0][1].layers] == ["sigmoid", "sigmoid", "linear"]
    assert [layer.activation.__name__ for layer in models[0][2].layers] == ["sigmoid"] * 3
    kernels = [model.get_weights()[::2] for model, _, _ in models]
    for kernel, again, other in zip(*kernels, strict=True):
        np.testing.assert_array_equal(kernel, again)
        assert not np.array_equal(kernel, other)
        assert np.abs(kernel).max() <= np.sqrt(6 / sum(kernel.shape))  # Glorot's bound
    assert not np.array_equal(kernels[0][0].ravel()[:4], kernels[0][1].ravel()[:4])


@pytest.mark.parametrize("linear", [False, True])
def test_a_step_is_contrastive_divergence_with_decay_and_momentum(linear):
    rng = np.random.default_rng(3)
    start = [rng.normal(size=shape) for shape in ((6, 4), (6,), (4,))]
    numbers = [tf.Variable(np.float32(number)) for number in start]
    x, seed = np.float32(rng.random((5, 6))), tf.constant([11, 12])
    passes = _passes(numbers, linear, learning_rate=0.5, momentum=0.9, decay=0.01)
    (w, b, c), speeds = start, [0.0, 0.0, 0.0]
    for order in ([0, 1, 2], [2, 4, 3]):
        passes(tf.constant(x), tf.constant([order]), seed)
        v = x[order]
        h = v @ w + c if linear else sigmoid(v @ w + c)
        draws = seed  # that of step 0
        if linear:
            drawn = h + tf.random.stateless_normal(h.shape, draws).numpy()
        else:
            drawn = tf.random.stateless_uniform(h.shape, draws).numpy() < h
        dream = sigmoid(drawn @ w.T + b)
        h_dream = dream @ w + c if linear else sigmoid(dream @ w + c)
        slopes = (v.T @ h - dream.T @ h_dream) / 3 - 0.01 * w, (v - dream).mean(axis=0), (h - h_dream).mean(axis=0)
        speeds = [0.9 * speed + 0.5 * slope for speed, slope in zip(speeds, slopes, strict=True)]
        w, b, c = (number + speed for number, speed in zip((w, b, c), speeds, strict=True))
    for number, want in zip(numbers, (w, b, c), strict=True):
        np.testing.assert_allclose(number, want, rtol=1e-3, atol=1e-4)


def test_pretraining_learns_and_repeats_itself():
    rng = np.random.default_rng(0)
    x = np.repeat(rng.integers(0, 2, (3, 12)), 40, axis=0)  # three pictures
    first, again, other = (pretrain(x, (8, 2), epochs=60, batch_size=20, seed=seed) for seed in (0, 0, 1))
    assert [rbm.w.shape for rbm in first] == [(12, 8), (8, 2)]
    np.testing.assert_array_equal(first[1].w, again[1].w)
    assert not np.array_equal(first[1].w, other[1].w)
    errors = [np.mean((unroll(rbms)[0](np.float32(x)) - x) ** 2)
              for rbms in (pretrain(x, (8, 2), epochs=1, batch_size=120), first)]  # fmt: skip
    assert errors[1] < 0.7 * errors[0]


def test_multiplications_by_hand():
    # 4-3-2: matrices 12 and 6. Training: three products with 12, 6, 6, 12, less one with the first.
    assert multiplications((4, 3, 2), 0, 1) == 3 * 36 - 12
    assert multiplications((4, 3, 2), 0, 10) == 10 * (3 * 36 - 12)
    assert multiplications((4, 3, 2), 2, 0) == 2 * 5 * (12 + 6) + 12  # and up to the second machine once


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pretrain(np.ones(5), (2,)), "data: expected the shape"),
        (lambda: pretrain(np.full((5, 3), 1.5), (2,), batch_size=5), "data: expected"),
        (lambda: pretrain(np.full((5, 3), np.nan), (2,), batch_size=5), "data: expected"),
        (lambda: pretrain(np.zeros((0, 3)), (2,)), "data: expected"),
        (lambda: pretrain(np.ones((5, 3)), (2,), batch_size=6), "data: expected a batch or more"),
        (lambda: pretrain(np.ones((5, 3)), (2,), batch_size=0), "batch_size: expected a whole number"),
        (lambda: pretrain(np.ones((5, 3)), (2,), epochs=0, batch_size=5), "epochs: expected a whole number"),
        (lambda: pretrain(np.ones((5, 3)), (2,), learning_rate=0, batch_size=5), "learning_rate: expected a positive"),
        (lambda: pretrain(np.ones((5, 3)), (0,), batch_size=5), "hidden: expected a whole number"),
        (lambda: unroll([]), "rbms: expected machines that fit"),
        (lambda: unroll([RBM(4, 3, 0), RBM(2, 1, 0)]), "rbms: expected machines that fit"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
