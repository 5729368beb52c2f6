"""The gradient penalty: values by hand, derivatives by differences, and the training step against one tape."""

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter11.wgan_gp import (
    build_critic,
    gradient_penalty,
    interpolate,
    slope_norms,
    train_wgan_gp,
    wgan_gp_step,
)


def samples(shape, seed=0, dtype=tf.float32):
    rng = np.random.default_rng(seed)
    return [tf.constant(rng.normal(size=shape), dtype) for _ in range(2)]


def test_weights_are_uniform():
    weights = interpolate(tf.zeros(10000), tf.ones(10000), 5).numpy()
    assert scipy.stats.kstest(weights, "uniform").pvalue > 1e-6
    assert 0 <= weights.min() <= weights.max() <= 1


@pytest.mark.parametrize("shape", [(50,), (50, 1), (50, 3), (50, 4, 2), (50, 4, 2, 3)])
def test_one_weight_for_each_sample(shape):
    real, fake = samples(shape)
    share = ((interpolate(real, fake, 1) - real) / (fake - real)).numpy().reshape(50, -1)
    np.testing.assert_allclose(share, np.repeat(share[:, :1], share.shape[1], axis=1), atol=1e-2)
    assert len(np.unique(share[:, 0].round(4))) > 45


def test_seeds():
    real, fake = samples((9, 2))
    first = interpolate(real, fake, 3)
    np.testing.assert_array_equal(first, interpolate(real, fake, 3))
    np.testing.assert_array_equal(interpolate(real, fake, (3, 1)), interpolate(real, fake, tf.constant([3, 1])))
    np.testing.assert_array_equal(first, interpolate(real, fake, tf.constant(3)))
    for other in (4, (3, 1), 2**32 - 1):
        assert not np.allclose(first, interpolate(real, fake, other))


@settings(max_examples=20, deadline=None)
@given(st.floats(0, 5), st.sampled_from([(6,), (6, 3), (6, 2, 3)]), st.integers(0, 2**32 - 1))
def test_a_linear_critic_pays_for_its_slope(slope, shape, seed):
    real, fake = samples(shape, seed % 1000)
    direction = np.ones(shape[1:]) / np.sqrt(np.prod(shape[1:], dtype=int))

    def critic(x):
        return tf.reduce_sum(tf.reshape(slope * x * tf.constant(direction, tf.float32), (6, -1)), axis=1)

    assert float(gradient_penalty(critic, real, fake, seed)) == pytest.approx((slope - 1) ** 2, rel=1e-4, abs=1e-5)


def test_the_norm_is_that_of_a_sample_not_of_a_number_or_a_batch():
    real, fake = samples((7, 3, 4))
    got = gradient_penalty(lambda x: tf.reduce_sum(x, axis=(1, 2)), real, fake, 0)
    assert float(got) == pytest.approx((np.sqrt(12) - 1) ** 2, rel=1e-5)


def test_slopes_that_differ_between_samples_are_averaged_after_the_square():
    x = tf.constant([[0.0], [1.0], [3.0]])  # both ends alike, so that the points between are known
    got = gradient_penalty(lambda x: tf.square(x) / 2, x, x, 0)  # slope x
    assert float(got) == pytest.approx((1 + 0 + 4) / 3)


@pytest.mark.parametrize("outputs", [lambda y: y, lambda y: y[:, 0]])
def test_second_derivatives_equal_differences(outputs):
    real, fake = samples((5, 3), dtype=tf.float64)
    rng = np.random.default_rng(3)
    start = rng.normal(size=(3, 4))
    last = tf.constant(rng.normal(size=(4, 1)))

    def penalty(w):
        return gradient_penalty(lambda x: outputs(tf.tanh(x @ w) @ last), real, fake, (1, 2))

    w = tf.Variable(start)
    with tf.GradientTape() as tape:
        value = penalty(w)
    gradient = tape.gradient(value, w).numpy()
    for index in np.ndindex(start.shape):
        step = np.zeros_like(start)
        step[index] = 1e-6
        difference = (penalty(tf.constant(start + step)) - penalty(tf.constant(start - step))) / 2e-6
        assert gradient[index] == pytest.approx(float(difference), rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_slope_zero(jit_compile):
    """XLA, unlike TensorFlow's own kernel, makes 0 · ∞ of a root's gradient at 0."""
    real, fake = samples((4, 3))

    @tf.function(jit_compile=jit_compile)
    def value_and_gradient(w):
        with tf.GradientTape() as tape:
            tape.watch(w)
            value = gradient_penalty(lambda x: x @ w, real, fake, 0)
        return value, tape.gradient(value, w)

    value, gradient = value_and_gradient(tf.zeros((3, 1)))
    assert float(value) == 1.0
    assert np.isfinite(gradient).all()
    assert float(gradient_penalty(lambda x: tf.ones(4), real, fake, 0)) == 1.0  # does not depend on x at all


@pytest.mark.parametrize("jit_compile", [False, True])
def test_in_compiled_loops(jit_compile):
    real, fake = samples((8, 3))
    kernel = tf.constant(np.random.default_rng(1).normal(size=(3, 1)), tf.float32)

    @tf.function(jit_compile=jit_compile)
    def total(real, fake):
        def body(i, values):
            points = interpolate(real, fake, tf.stack([i, 9]))
            value = gradient_penalty(lambda x: tf.square(x) @ kernel, real, fake, tf.stack([i, 9]))
            return i + 1, values.write(i, tf.stack([value, tf.reduce_sum(points)]))

        start = (0, tf.TensorArray(tf.float32, 3, element_shape=(2,)))
        return tf.while_loop(lambda i, _: i < 3, body, start)[1].stack()

    values = total(real, fake).numpy()
    assert np.isfinite(values).all()
    assert len(np.unique(values)) == 6  # each turn draws anew
    np.testing.assert_array_equal(values, total(real, fake))


def test_slope_norms():
    x = tf.constant([[1.0, 2.0], [0.0, 0.0]])
    np.testing.assert_allclose(slope_norms(lambda x: tf.reduce_sum(tf.square(x), axis=1), x), [np.sqrt(20), 0])
    np.testing.assert_allclose(slope_norms(lambda x: tf.ones((2, 1)), x), [0, 0])


def test_the_critic():
    critic, images = build_critic((2, 3, 4), seed=1), samples((5, 28, 28, 1))[0]
    assert critic(images).shape == (5, 1)
    assert critic.count_params() == 16 * 2 + 2 + 16 * 6 + 3 + 16 * 12 + 4 + 16 * 4 + 1
    assert not any(isinstance(layer, keras.layers.BatchNormalization) for layer in critic.layers)
    together, alone = critic(images, training=True), [critic(images[i : i + 1], training=True) for i in range(5)]
    np.testing.assert_allclose(together, tf.concat(alone, axis=0), rtol=1e-4, atol=1e-5)  # each for itself
    np.testing.assert_array_equal(critic(images), build_critic((2, 3, 4), seed=1)(images))
    assert not np.allclose(critic(images), build_critic((2, 3, 4), seed=2)(images))
    maps = [layer.output.shape[1:] for layer in critic.layers if isinstance(layer, keras.layers.Conv2D)]
    assert maps == [(14, 14, 2), (7, 7, 3), (4, 4, 4)]


def test_the_critics_activation_is_a_leaky_relu():
    critic, images = build_critic((2, 3, 4)), samples((5, 28, 28, 1))[0]
    x = images
    for layer in critic.layers:
        if isinstance(layer, keras.layers.Conv2D):
            x = keras.layers.LeakyReLU(0.2)(layer(x))
    np.testing.assert_allclose(critic.layers[-1](tf.reshape(x, (5, -1))), critic(images), rtol=1e-4, atol=1e-5)


def pair(units=4, latent_size=3):
    """A small generator and a critic of another kind than the lesson's: the training takes any two that fit."""
    layers, start = keras.layers, keras.initializers.GlorotNormal
    drawing = [layers.Input((latent_size,)), layers.Dense(units, "relu", kernel_initializer=start(1)),
               layers.Dense(784, "tanh", kernel_initializer=start(2)), layers.Reshape((28, 28, 1))]  # fmt: skip
    judging = [layers.Input((28, 28, 1)), layers.Flatten(), layers.Dense(2 * units, "elu", kernel_initializer=start(3)),
               layers.Dense(1, kernel_initializer=start(4))]  # fmt: skip
    return keras.Sequential(drawing), keras.Sequential(judging)


def batches(critic_steps=1, batch_size=5):
    rng = np.random.default_rng(4)
    real = np.float32(rng.uniform(-1, 1, (critic_steps, batch_size, 28, 28, 1)))
    return real, rng.standard_normal((critic_steps + 1, batch_size, 3), np.float32)


def test_one_step_of_each_against_a_tape():
    real, noise = batches()
    generator, critic = pair()
    drawn = generator(noise[0], training=True)
    with tf.GradientTape() as tape:
        estimate = tf.reduce_mean(critic(real[0])) - tf.reduce_mean(critic(drawn))
        slope_error = gradient_penalty(critic, real[0], drawn, (7, 0))
        loss = 2.5 * slope_error - estimate
    want = [w - 0.1 * g for w, g in zip(critic.trainable_variables, tape.gradient(loss, critic.trainable_variables),
                                        strict=True)]  # fmt: skip
    generator, critic = pair()
    still = [weight.numpy() for weight in generator.trainable_variables]
    got = wgan_gp_step(generator, critic, keras.optimizers.SGD(0.0), keras.optimizers.SGD(0.1), real, noise, 7, 2.5)
    np.testing.assert_allclose(got, [estimate, slope_error], rtol=1e-5)
    for a, b in zip(critic.trainable_variables, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    for a, b in zip(generator.trainable_variables, still, strict=True):
        np.testing.assert_array_equal(a, b)
    with tf.GradientTape() as tape:
        loss = -tf.reduce_mean(critic(generator(noise[1], training=True)))
    want = [w - g for w, g in zip(generator.trainable_variables, tape.gradient(loss, generator.trainable_variables),
                                  strict=True)]  # fmt: skip
    wgan_gp_step(generator, critic, keras.optimizers.SGD(1.0), keras.optimizers.SGD(0.0), real, noise, 7, 2.5)
    for a, b in zip(generator.trainable_variables, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("critic_steps", [1, 5])
def test_steps_of_the_critic_for_one_of_the_generator(critic_steps):
    optimizers = keras.optimizers.Adam(), keras.optimizers.Adam()
    wgan_gp_step(*pair(), *optimizers, *batches(critic_steps), 0)
    assert [int(optimizer.iterations) for optimizer in optimizers] == [1, critic_steps]


def test_training_is_reproducible_and_reports():
    images = batches(1, 20)[0][0]
    results, seen = [], []
    for seed in (0, 0, 1):
        results.append(train_wgan_gp(*pair(), images, 5, batch_size=4, critic_steps=2, every=2, seed=seed,
                                     watch=seen.append))  # fmt: skip
    assert results[0].shape == (5, 2)
    assert np.isfinite(results[0]).all()
    np.testing.assert_array_equal(results[0], results[1])
    assert not np.allclose(results[0], results[2])
    assert seen == [2, 4, 5] * 3


def test_training_learns_one_picture():
    picture = np.full((1, 28, 28, 1), -1, np.float32)
    picture[:, :14] = 1
    generator, critic = pair(8, 2)
    noise = np.random.default_rng(0).standard_normal((64, 2), np.float32)
    before = np.abs(generator(noise, training=True) - picture).mean()
    train_wgan_gp(generator, critic, np.repeat(picture, 16, axis=0), 60, batch_size=16, every=60, learning_rate=0.01)
    assert np.abs(generator(noise, training=True) - picture).mean() < before / 2


ONES = tf.ones((2, 3))


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: interpolate(ONES, tf.ones((2, 4)), 0), "real, fake: expected one shape"),
        (lambda: interpolate(ONES, tf.ones((1, 3)), 0), "real, fake: expected one shape"),
        (lambda: interpolate(tf.ones(()), tf.ones(()), 0), "real, fake: expected one shape"),
        (lambda: interpolate(tf.ones((0, 3)), tf.ones((0, 3)), 0), "not empty"),
        (lambda: interpolate(ONES, tf.ones((2, 3), tf.float64), 0), "one floating type"),
        (lambda: interpolate(tf.ones((2, 3), tf.int32), tf.ones((2, 3), tf.int32), 0), "one floating type"),
        (lambda: interpolate(ONES * np.nan, ONES, 0), "real: expected finite"),
        (lambda: interpolate(ONES, ONES / 0, 0), "fake: expected finite"),
        (lambda: interpolate(ONES, ONES, 0.5), "seed: expected a whole number"),
        (lambda: interpolate(ONES, ONES, (1, 2, 3)), "seed: expected a whole number"),
        (lambda: interpolate(ONES, ONES, -1), "seed: expected"),
        (lambda: interpolate(ONES, ONES, None), "seed: expected a whole number"),
        (lambda: gradient_penalty(lambda x: x, ONES, ONES, 0), r"critic: expected outputs \(batch,\)"),
        (lambda: gradient_penalty(tf.reduce_sum, ONES, ONES, 0), r"critic: expected outputs \(batch,\)"),
        (lambda: gradient_penalty(lambda x: x[:, 0], ONES, tf.ones((2, 2)), 0), "real, fake"),
        (lambda: slope_norms(lambda x: x, tf.ones((0, 3))), "samples: expected floats"),
        (lambda: slope_norms(lambda x: x, tf.ones((2, 3), tf.int32)), "samples: expected floats"),
        (lambda: build_critic((4, 0, 4)), "channels: expected positive whole numbers"),
        (lambda: build_critic((4, 4)), "channels: expected three positive whole numbers"),
        (lambda: wgan_gp_step(*pair(), None, None, *batches(), 0, penalty=-1.0), "penalty: expected"),
        (lambda: wgan_gp_step(*pair(), None, None, batches(2)[0], batches(1)[1], 0), "real, noise: expected"),
        (lambda: train_wgan_gp(*pair(), batches()[0][0], 0), "steps: expected positive whole numbers"),
        (lambda: train_wgan_gp(*pair(), batches()[0][0], 1, critic_steps=0), "critic_steps: expected"),
        (lambda: train_wgan_gp(*pair(), batches()[0][0], 1, learning_rate=0.0), "learning_rate: expected"),
        (lambda: train_wgan_gp(*pair(), batches()[0][0], 1, beta_2=1.0), "beta_2: expected"),
        (lambda: train_wgan_gp(*pair(), batches()[0][0], 1, penalty=np.nan), "penalty: expected"),
        (lambda: train_wgan_gp(*pair(), np.zeros((0, 28, 28, 1)), 1), "images: expected"),
        (lambda: train_wgan_gp(*pair(), batches()[0][0] * np.nan, 1), "images: expected finite"),
    ],
)
def test_errors(call, match):
    with pytest.raises(ValueError, match=match):
        call()


def test_every_step_interpolates_with_a_seed_of_its_own(monkeypatch):
    """The steps are replaced by one that only says which seed it got."""

    def step(generator, critic, generator_optimizer, critic_optimizer, real, noise, seed, penalty):
        return tf.stack([tf.cast(seed % 1000, tf.float32), 0.0])

    monkeypatch.setattr("kerasnotes.chapter11.wgan_gp.wgan_gp_step", step)
    generator = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    critic = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    history = train_wgan_gp(generator, critic, np.zeros((8, 3), "float32"), 7, batch_size=4, every=3, seed=1)
    assert len(set(history[:, 0])) == 7
