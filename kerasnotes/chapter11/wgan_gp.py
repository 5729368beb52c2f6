"""A critic whose slope is pulled to 1 teaches a generator digits, and its estimate says how good they are.

Clipping keeps a critic's slope bounded by brute force; WGAN-GP asks for it: between real and drawn samples the norm
of the gradient shall be 1, and its squared error is added to the loss. What the reader should see: the penalty of
critics whose slope is known, its own gradient against central differences, and a generator that learns all ten digits
from it. Unlike a discriminator's loss, the critic's estimate falls while the digits get better.

Notes: chapter 11, "WGAN-GP" (带梯度惩罚的 WGAN).
Source: Gulrajani et al. 2017, arXiv:1704.00028, equation 3 and algorithm 1.
"""

import inspect
import math

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots, training
from kerasnotes.chapter11.dcgan import build_generator, draw_images, tile_images
from kerasnotes.chapter11.scores import build_classifier, classify, score_images
from kerasnotes.chapter11.wgan import critic_loss, rank_correlation, wgan_generator_loss

SMOKE = {"steps": 4, "images": 512, "samples": 200, "batch_size": 8, "channels": (2, 2, 4), "classifier_epochs": 1}
FULL = {"steps": 20000, "channels": (32, 64, 128), "generator_channels": (128, 64, 32)}
SECONDS = 116

AIM = 6.5  # an inception-type score to aim at; 5.0 has to be reached


def interpolate(real, fake, seed):
    """One point on the line between each pair of a real and a generated sample, at a uniform share of the way.

    Args:
        real, fake: Tensors (batch, ...) of one shape and one floating type.
        seed: A whole number from 0 to 2⁶³ − 1, or a pair of whole numbers (an integer tensor of shape (2,) inside
            compiled loops). One seed gives the same weights again.

    Returns:
        Tensor (batch, ...): real + weight · (fake − real), with one weight per sample, uniform in [0, 1).

    Raises:
        ValueError: If the shapes or types differ, the batch is empty, a value is not finite (checked outside compiled
            code only), or the seed is neither a whole number nor a pair of them.

    Source: Gulrajani et al. 2017, arXiv:1704.00028, algorithm 1, lines 4 to 6 (uniform, and one number per sample).
    """
    real, fake = _checked_pair(real, fake)
    ones = [1] * (len(real.shape) - 1)
    weights = tf.random.stateless_uniform([tf.shape(real)[0], *ones], _seed_pair(seed), dtype=real.dtype)
    return real + weights * (fake - real)


def gradient_penalty(critic, real, fake, seed):
    """Mean of (‖∇ critic(x)‖ − 1)² over points x between real and generated samples, without the factor λ.

    The norm is taken over all axes of one sample. It is differentiable with respect to the critic's weights; where the
    slope is 0, so that the norm has no direction, the norm passes no gradient on.

    Args:
        critic: Callable from (batch, ...) to (batch,) or (batch, 1). It must treat every sample for itself: batch
            normalization does not.
        real, fake, seed: As in `interpolate`.

    Returns:
        Scalar tensor.

    Raises:
        ValueError: As `interpolate`, or if the critic gives other than one number per sample.

    Source: Gulrajani et al. 2017, arXiv:1704.00028, equation 3.
    """
    x = interpolate(real, fake, seed)
    with tf.GradientTape() as tape:
        tape.watch(x)
        values = tf.convert_to_tensor(critic(x))
        if tuple(values.shape) not in ((x.shape[0],), (x.shape[0], 1)):
            raise ValueError(f"critic: expected outputs (batch,) or (batch, 1), got {tuple(values.shape)}")
    slope = tape.gradient(values, x, unconnected_gradients="zero")
    squared = tf.reduce_sum(tf.square(slope), axis=list(range(1, len(x.shape))))  # (batch,)
    steep = squared > 0
    norm = tf.where(steep, tf.sqrt(tf.where(steep, squared, 1.0)), 0.0)  # the root's own slope at 0 is infinite
    return tf.reduce_mean(tf.square(norm - 1.0))


def build_critic(channels=(8, 16, 64), seed=0):
    """A critic of 28 x 28 pixels: three strided convolutions, leaky ReLU, one number, and no normalization.

    Batch normalization would make one sample's value depend on the others, and the slope at one sample meaningless.

    Args:
        channels: Maps of 14 x 14, 7 x 7 and 4 x 4 pixels.
        seed: Seed of the initial weights.

    Returns:
        An uncompiled `keras.Model` from images (batch, 28, 28, 1) to values (batch, 1).

    Raises:
        ValueError: If `channels` are not three positive whole numbers.

    Source: Gulrajani et al. 2017, arXiv:1704.00028, section 4, "No critic batch normalization".
    """
    _expect_whole_numbers(channels=channels)
    if len(channels) != 3:
        raise ValueError(f"channels: expected three positive whole numbers, got {channels!r}")
    seeds = np.random.default_rng((seed, 2)).integers(2**31, size=4).tolist()
    inputs = x = keras.Input((28, 28, 1))
    for filters, start in zip(channels, seeds, strict=False):
        x = keras.layers.Conv2D(filters, 4, 2, "same", kernel_initializer=keras.initializers.HeNormal(start))(x)
        x = keras.ops.maximum(x, 0.2 * x)  # leaky ReLU; TensorFlow's own trips over its second derivative in a graph
    last = keras.layers.Dense(1, kernel_initializer=keras.initializers.HeNormal(seeds[3]))
    return keras.Model(inputs, last(keras.layers.Flatten()(x)))


def wgan_gp_step(generator, critic, generator_optimizer, critic_optimizer, real, noise, seed, penalty=10.0):
    """Several steps of the critic, each on a batch of its own, then one step of the generator.

    Args:
        generator, critic: Models from noise to samples, and from samples to (batch, 1).
        generator_optimizer, critic_optimizer: Keras optimizers; in compiled code they must be built.
        real: Samples (critic_steps, batch, ...).
        noise: (critic_steps + 1, batch, latent_size); the last batch is the generator's.
        seed: A whole number, or a scalar integer tensor.
        penalty: The factor λ of the gradient penalty.

    Returns:
        Tensor (2,): the critic's estimate mean critic(real) − mean critic(fake) and the gradient penalty (without λ),
        both from before the critic's last step.

    Raises:
        ValueError: If noise has other than one batch more than real, or the penalty's factor is negative or NaN.

    Source: Gulrajani et al. 2017, arXiv:1704.00028, algorithm 1.
    """
    if not 0 <= penalty < math.inf:
        raise ValueError(f"penalty: expected a finite number of at least 0, got {penalty!r}")
    real, noise = tf.convert_to_tensor(real), tf.convert_to_tensor(noise)
    critic_steps, batch_size = real.shape[0], real.shape[1]
    if noise.shape[0] != critic_steps + 1 or noise.shape[1] != batch_size:
        got = f"{tuple(real.shape)} and {tuple(noise.shape)}"
        raise ValueError(f"real, noise: expected (steps, batch, ...) and (steps + 1, batch, ...), got {got}")
    drawn = tf.reshape(generator(tf.reshape(noise[:-1], (-1, noise.shape[-1])), training=True), real.shape)

    def critic_step(k, _):
        with tf.GradientTape() as tape:
            values = critic(tf.concat([real[k], drawn[k]], axis=0), training=True)  # each sample is judged for itself
            distance = critic_loss(values[:batch_size], values[batch_size:])
            slope_error = gradient_penalty(critic, real[k], drawn[k], tf.stack([tf.cast(seed, tf.int32), k]))
            loss = distance + penalty * slope_error
        critic_optimizer.apply(tape.gradient(loss, critic.trainable_variables), critic.trainable_variables)
        return k + 1, tf.stack([-distance, slope_error])

    start = (tf.constant(0), tf.zeros(2))
    _, result = tf.while_loop(lambda k, _: k < critic_steps, critic_step, start, parallel_iterations=1)
    with tf.GradientTape() as tape:
        loss = wgan_generator_loss(critic(generator(noise[-1], training=True), training=True))
    weights = generator.trainable_variables
    generator_optimizer.apply(tape.gradient(loss, weights), weights)
    return result


def train_wgan_gp(
    generator,
    critic,
    images,
    steps,
    *,
    critic_steps=5,
    penalty=10.0,
    batch_size=64,
    learning_rate=1e-3,
    beta_1=0.5,
    beta_2=0.9,
    every=250,
    seed=0,
    track=None,
    watch=None,
):
    """Train a generator against a critic with a gradient penalty, both in place.

    Args:
        generator, critic: Models from noise to samples, and from samples to (batch, 1).
        images: Array or tensor (samples, ...) as the generator draws them.
        steps: Steps of the generator.
        critic_steps: Steps of the critic for each of them.
        penalty: The factor λ of the gradient penalty.
        batch_size: Samples in a batch, real and drawn.
        learning_rate, beta_1, beta_2: Of both Adam optimizers; the rate falls linearly to a twentieth.
        every: Generator steps in one compiled call.
        seed: Seed of noise, order and interpolation, from 0 to 4294967295.
        track: Callable `(iterable, description) -> iterable` that shows progress, or None.
        watch: Callable `(steps_done)`, called after every compiled call, or None.

    Returns:
        float32 (steps, 2), the critic's estimate of the distance and the gradient penalty (without λ).

    Raises:
        ValueError: If a number is out of range, or the images are none or not finite.

    Source: Gulrajani et al. 2017, arXiv:1704.00028, algorithm 1.
    """
    _expect_whole_numbers(steps=steps, critic_steps=critic_steps, batch_size=batch_size, every=every)
    for name, beta in (("beta_1", beta_1), ("beta_2", beta_2)):
        if not 0 <= beta < 1:
            raise ValueError(f"{name}: expected a number from 0 to below 1, got {beta!r}")
    if not 0 < learning_rate < math.inf:
        raise ValueError(f"learning_rate: expected a positive number, got {learning_rate!r}")
    if not 0 <= penalty < math.inf:
        raise ValueError(f"penalty: expected a finite number of at least 0, got {penalty!r}")
    images = tf.convert_to_tensor(images, tf.float32)
    if len(images.shape) < 2 or 0 in images.shape:
        raise ValueError(f"images: expected (samples, ...), not empty, got {tuple(images.shape)}")
    if not np.isfinite(images).all():
        raise ValueError("images: expected finite values, got NaN or infinity")
    optimizers = []
    for model, count in ((generator, steps), (critic, steps * critic_steps)):
        rate = keras.optimizers.schedules.PolynomialDecay(learning_rate, count, learning_rate / 20)
        optimizers.append(keras.optimizers.Adam(rate, beta_1, beta_2))
        optimizers[-1].build(model.trainable_variables)  # a loop must not create variables

    @tf.function(autograph=False, reduce_retracing=True)
    def run(images, order, noise, first_seed):
        def body(i, history):
            real = tf.gather(images, order[i])
            step = wgan_gp_step(generator, critic, *optimizers, real, noise[i], first_seed + i, penalty)
            return i + 1, history.write(i, step)

        count = tf.shape(order)[0]
        history = tf.TensorArray(tf.float32, count, element_shape=(2,))
        # Steps depend on each other through the weights: none may start before the last one has ended.
        return tf.while_loop(lambda i, _: i < count, body, (0, history), parallel_iterations=1)[1].stack()

    rng, history = np.random.default_rng((seed, 3)), []
    draws = int(rng.integers(2**30))
    chunks = range(0, steps, every)
    for start in chunks if track is None else track(chunks, "training"):
        count = min(every, steps - start)
        order = rng.integers(len(images), size=(count, critic_steps, batch_size), dtype=np.int32)
        noise = rng.standard_normal((count, critic_steps + 1, batch_size, generator.input_shape[-1]), np.float32)
        history.append(run(images, tf.constant(order), tf.constant(noise), tf.constant(draws + start)).numpy())
        if watch is not None:
            watch(start + count)
    return np.concatenate(history)


def slope_norms(critic, samples):
    """Norm of a critic's gradient at each sample.

    Args:
        critic: Callable from (batch, ...) to (batch,) or (batch, 1), which treats every sample for itself.
        samples: Tensor (batch, ...).

    Returns:
        Tensor (batch,).

    Raises:
        ValueError: If there are no samples, or they are not floating numbers.
    """
    samples = tf.convert_to_tensor(samples)
    if len(samples.shape) == 0 or 0 in samples.shape or not samples.dtype.is_floating:
        raise ValueError(f"samples: expected floats (batch, ...), got {samples.dtype.name} {tuple(samples.shape)}")
    with tf.GradientTape() as tape:
        tape.watch(samples)
        values = critic(samples)
    slope = tape.gradient(values, samples, unconnected_gradients="zero")
    return tf.norm(tf.reshape(slope, (samples.shape[0], -1)), axis=1)


def _checked_pair(real, fake):
    real, fake = tf.convert_to_tensor(real), tf.convert_to_tensor(fake)
    if real.dtype != fake.dtype or not real.dtype.is_floating:
        raise ValueError(f"real, fake: expected one floating type, got {real.dtype.name} and {fake.dtype.name}")
    if len(real.shape) == 0 or 0 in real.shape or not real.shape.is_compatible_with(fake.shape):
        shapes = f"{tuple(real.shape)} and {tuple(fake.shape)}"
        raise ValueError(f"real, fake: expected one shape (batch, ...) that is not empty, got {shapes}")
    if tf.executing_eagerly():
        for name, value in (("real", real), ("fake", fake)):
            if not np.isfinite(value).all():
                raise ValueError(f"{name}: expected finite values, got NaN or infinity")
    return real, fake


def _seed_pair(seed):
    """Two integers, as TensorFlow's stateless draws take them."""
    pair = seed if tf.is_tensor(seed) else np.asarray(seed)
    whole = pair.dtype.is_integer if tf.is_tensor(pair) else pair.dtype.kind in "iu"
    if not whole or tuple(pair.shape) not in ((), (2,)):
        raise ValueError(f"seed: expected a whole number or a pair of them, got {seed!r}")
    if not tf.is_tensor(seed) and pair.min() < 0:
        raise ValueError(f"seed: expected at least 0, got {seed!r}")
    if len(pair.shape) == 0:
        pair = tf.stack([pair, tf.zeros_like(pair)])
    return tf.cast(pair, tf.int64)


def _expect_whole_numbers(**sizes):
    for name, value in sizes.items():
        values = value if isinstance(value, (tuple, list)) else [value]
        good = all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) and n >= 1 for n in values)
        if not good or not values:
            raise ValueError(f"{name}: expected positive whole numbers, got {value!r}")


def lesson(
    report,
    *,
    steps: int = 1200,
    critic_steps: int = 5,
    images: int = 60000,
    samples: int = 10000,
    channels: tuple[int, ...] = (8, 16, 64),
    generator_channels: tuple[int, ...] = (64, 32, 16),
    latent_size: int = 64,
    batch_size: int = 64,
    penalty: float = 10.0,
    learning_rate: float = 1e-3,
    classifier_epochs: int = 4,
    seed: int = 0,
):
    """Check the penalty on critics whose slope is known, then train on MNIST and have a classifier judge the digits.

    Args:
        report: The report to write to.
        steps: Steps of the generator (4 to 1000000).
        critic_steps: Steps of the critic for each of them (1 to 100).
        images: Training images (512 to 60000).
        samples: Drawn digits that are scored, and as many real ones beside them (100 to 10000).
        channels: The critic's maps of 14 x 14, 7 x 7 and 4 x 4 pixels (1 to 1024).
        generator_channels: The generator's maps of 4 x 4, 7 x 7 and 14 x 14 pixels (1 to 1024).
        latent_size: Numbers of noise for an image (1 to 1024).
        batch_size: Images in a batch (2 to 1024).
        penalty: The factor λ of the gradient penalty (0 to 1000).
        learning_rate: Of both Adam optimizers (0.000001 to 1).
        classifier_epochs: Epochs of the classifier that judges (1 to 100).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _weights_between(report, seed)
    _known_slopes(report, seed)
    _second_derivative(report, seed)
    _five_steps(report, seed)

    (x, y), (x_test, y_test) = data.mnist()
    x, x_test = (np.float32(pixels)[..., None] / 127.5 - 1 for pixels in (x[:images], x_test))
    classifier = build_classifier(classifier_epochs * math.ceil(images / 128), seed)
    training.fit(classifier, x, np.int32(y[:images]), batch_size=128, epochs=classifier_epochs, seed=seed)
    accuracy = training.evaluate(classifier, x_test, np.int32(y_test))["accuracy"]
    report.at_least("the classifier's test accuracy", got=accuracy, bound=0.985, trained=True)

    rng = np.random.default_rng((seed, 6))
    reference = classify(classifier, x[rng.permutation(len(x))[:samples]])[0]
    every = math.ceil(steps / 8)
    path, strips = [], []

    def look(done):
        scored = score_images(classifier, draw_images(generator, max(100, samples // 5), (seed, 7)), reference)
        path.append([done, scored["score"], round(10 * scored["coverage"]), scored["frechet"]])
        strips.append(draw_images(generator, 10, (seed, 8)))

    generator, critic = build_generator(latent_size, generator_channels, seed), build_critic(channels, seed)
    history = train_wgan_gp(
        generator, critic, x, steps, critic_steps=critic_steps, penalty=penalty, batch_size=batch_size,
        learning_rate=learning_rate, every=every, seed=seed, track=report.track, watch=look,
    )  # fmt: skip
    drawn = {
        "drawn digits": draw_images(generator, samples, (seed, 9)),
        "test digits": x_test[rng.permutation(len(x_test))[:samples]],
    }
    scored = {name: score_images(classifier, pixels, reference) for name, pixels in drawn.items()}
    estimates = [history[max(0, done - max(1, every // 4)) : done, 0].mean() for done, *_ in path]
    _verdict(report, scored, path, estimates, samples, steps)
    between = interpolate(drawn["test digits"][:1000], drawn["drawn digits"][:1000], seed)
    norms = slope_norms(critic, between).numpy()
    report.at_most("mean of (slope − 1)² between real and drawn digits", np.mean((norms - 1) ** 2), 0.1, trained=True)
    report.note(
        "Unlike the paper: the generator is that of the lesson on DCGAN, with batch normalization, and the critic has "
        "fewer maps; kernels are 4 x 4 in place of 5 x 5; Adam has beta_1 0.5 in place of 0; the "
        "learning rate is 0.001 in place of 0.0001, and falls linearly."
    )
    _figures(report, drawn, path, estimates, strips, norms)


def _weights_between(report, seed):
    n = 10000
    weights = np.sort(interpolate(tf.zeros((n, 1)), tf.ones((n, 1)), seed).numpy()[:, 0].astype(np.float64))
    steps = np.arange(n + 1) / n
    distance = max(np.max(steps[1:] - weights), np.max(weights - steps[:-1]))
    # Massart 1990: a larger distance than this has a probability of at most one in a million.
    limit = math.sqrt(math.log(2 / 1e-6) / (2 * n))
    report.at_most("Kolmogorov-Smirnov distance of 10,000 weights from uniform", got=distance, bound=limit)
    report.at_least("the least and the largest weight lie in [0, 1]", [weights[0], 1 - weights[-1]], 0.0)
    shares = interpolate(tf.zeros((64, 5, 5, 2)), tf.ones((64, 5, 5, 2)), seed).numpy().reshape(64, -1)
    report.check("all numbers of a sample share one weight: largest spread", np.ptp(shares, axis=1).max(), want=0.0)
    report.check("each sample has a weight of its own", got=len(np.unique(shares[:, 0])), want=64)


def _known_slopes(report, seed):
    rng = np.random.default_rng((seed, 12))
    real, drawn = (tf.constant(rng.normal(size=(16, 4, 3)), tf.float32) for _ in range(2))
    direction = rng.normal(size=(4, 3))
    direction = tf.constant(direction / np.linalg.norm(direction), tf.float32)
    slopes = (0.0, 0.5, 1.0, 3.0)
    got = [float(gradient_penalty(lambda x, k=k: tf.reduce_sum(k * direction * x, axis=(1, 2)), real, drawn, seed))
           for k in slopes]  # fmt: skip
    report.check("a critic of slope 0, ½, 1, 3 pays (slope − 1)²", got=got, want=[(k - 1) ** 2 for k in slopes])
    weights = tf.Variable(tf.zeros((12, 1)))
    with tf.GradientTape() as tape:
        value = gradient_penalty(lambda x: tf.reshape(x, (-1, 12)) @ weights, real, drawn, seed)
    gradient = tape.gradient(value, weights)
    report.check("at slope 0 its gradient is finite", got=bool(np.isfinite(gradient).all()), want=True)


def _second_derivative(report, seed):
    """The penalty's own gradient, by the weights of a small critic in float64, against central differences."""
    rng = np.random.default_rng((seed, 13))
    real, drawn = (tf.constant(rng.normal(size=(6, 3))) for _ in range(2))
    start = [rng.normal(size=shape) for shape in ((3, 4), (4,), (4, 1))]

    def penalty_of(weights):
        w, b, v = weights
        return gradient_penalty(lambda x: tf.tanh(x @ w + b) @ v, real, drawn, seed)

    weights = [tf.constant(part) for part in start]
    with tf.GradientTape() as tape:
        tape.watch(weights)
        value = penalty_of(weights)
    gradients, differences, step = tape.gradient(value, weights), [], 1e-5
    for number, part in enumerate(start):
        slopes = np.empty_like(part)
        for index in np.ndindex(part.shape):
            moved = []
            for sign in (1, -1):
                changed = [each.copy() for each in start]
                changed[number][index] += sign * step
                moved.append(float(penalty_of([tf.constant(each) for each in changed])))
            slopes[index] = (moved[0] - moved[1]) / (2 * step)
        differences.append(slopes)
    report.check("the penalty's gradient equals central differences", gradients, differences, rtol=1e-5, atol=1e-7)
    report.at_least("it reaches every layer: norms", [float(tf.norm(gradient)) for gradient in gradients], 1e-3)


def _five_steps(report, seed):
    default = inspect.signature(train_wgan_gp).parameters["critic_steps"].default
    rng = np.random.default_rng((seed, 14))
    generator, critic = build_generator(3, (2, 2, 2), seed), build_critic((2, 2, 2), seed)
    optimizers = keras.optimizers.Adam(1e-3), keras.optimizers.Adam(1e-3)
    real = np.float32(rng.uniform(-1, 1, (default, 4, 28, 28, 1)))
    noise = rng.standard_normal((default + 1, 4, 3), np.float32)
    wgan_gp_step(generator, critic, *optimizers, real, noise, 0)
    steps = [int(optimizer.iterations) for optimizer in optimizers]
    report.check("by default, one step of the generator and five of the critic", got=steps, want=[1, 5])


def _verdict(report, scored, path, estimates, samples, steps):
    report.table(
        f"{samples:,} images of each kind, judged by the classifier",
        ["images", "inception score", "deviation of 10 parts", "digits found in 1,000", "Fréchet distance",
         "mean confidence"],
        [[name, s["score"], s["deviation"], round(10 * s["coverage"]), s["frechet"], s["confidence"]]
         for name, s in scored.items()],
    )  # fmt: skip
    columns = ["generator steps", "inception score", "digits found", "Fréchet distance", "critic's estimate"]
    report.table("on the way", columns, [
        [*row, estimate] for row, estimate in zip(path, estimates, strict=True)
    ])  # fmt: skip
    best, real = scored["drawn digits"], scored["test digits"]
    report.at_least("inception-type score of drawn digits", got=best["score"], bound=5.0, trained=True)
    report.at_least("digits found among 1,000 drawn", got=round(10 * best["coverage"]), bound=10, trained=True)
    label = "rank correlation of the critic's estimate with the Fréchet distance, on the way"
    report.at_least(label, got=rank_correlation([row[3] for row in path], estimates), bound=0.7, trained=True)
    reached = "reached" if best["score"] >= AIM else f"missed by {AIM - best['score']:.2f}"
    report.note(
        f"Goal {AIM}: {reached} with {best['score']:.2f} after {steps} steps of the generator; the test digits have "
        f"{real['score']:.2f}."
    )


def _figures(report, drawn, path, estimates, strips, norms):
    steps = [row[0] for row in path]
    figure, (left, middle, right) = plots.subplots(1, 3, figsize=(13.5, 4.4), width_ratios=(1.2, 1, 1))
    plots.bare_picture(tile_images(np.stack(strips)), left)
    left.set_yticks(14 + 28 * np.arange(len(strips)), [f"{done:,}" for done in steps])
    left.set(ylabel="generator steps")
    left.set_title("Ten noise vectors on the way")
    other = middle.twinx()
    lines = [
        *middle.plot(steps, [row[3] for row in path], "o-", color="C0", label="Fréchet distance"),
        *other.plot(steps, estimates, "s--", color="C1", label="critic's estimate"),
    ]
    middle.set(xlabel="generator steps", ylabel="Fréchet distance", ylim=(0, None))
    other.set(ylabel="critic's estimate", ylim=(0, None))
    other.grid(False)
    other.spines["right"].set_visible(True)
    middle.set_title("The critic's estimate falls\nas the digits get better")
    middle.legend(lines, [line.get_label() for line in lines], loc="upper right")
    right.hist(norms, bins=25, color="C0")
    right.axvline(1, color="C1", linestyle="--", label="asked for")
    right.set(xlabel="norm of the slope", ylabel="points between real and drawn", xlim=(0, None))
    right.set_title("The critic's slope\nafter training")
    right.legend()
    report.figure(
        "the critic on the way", figure,
        alt="Left: ten drawn images at eight times of training. Middle: Fréchet distance and the critic's estimate "
        "fall together. Right: the critic's slopes gather around 1.",
    )  # fmt: skip
    figure, axes = plots.subplots(1, 2, figsize=(9, 4.8))
    for ax, name, title in zip(axes, ("drawn digits", "test digits"), ("Drawn", "Real"), strict=True):
        plots.bare_picture(tile_images(drawn[name][:100].reshape(10, 10, 28, 28)), ax)
        ax.set_title(f"{title} digits")
    report.figure("drawn and real digits", figure, alt="A hundred drawn digits beside a hundred real ones.")
