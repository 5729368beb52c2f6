"""Two convolutional networks against each other, with layers by four rules, draw digits after a minute on a CPU.

Strides in place of pooling, batch normalization in nearly every layer, no hidden dense layers, ReLU against leaky ReLU.
What the reader should see: the transposed convolution that enlarges maps is the transpose of the strided convolution
that shrinks them; one pass of the generator serves both networks' steps; digits come out of noise within a few hundred
steps, all ten of them; and drawn digits are no copies of training digits.

Notes: chapter 11, "DCGAN" (深度卷积生成对抗网络).
Source: Radford, Metz, Chintala 2016, arXiv:1511.06434, sections 3 and 4 and figure 1.
"""

import itertools
import math

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots, training
from kerasnotes.chapter11.gan import discriminator_loss, generator_loss
from kerasnotes.chapter11.scores import build_classifier, classify, score_images

SMOKE = {"steps": 6, "images": 512, "samples": 200, "batch_size": 8, "channels": (8, 4, 4), "classifier_epochs": 1}
FULL = {"steps": 30000, "channels": (128, 64, 32)}
SECONDS = 87

GOAL = 7.0  # an inception-type score to aim at; 5.0 has to be reached


def build_generator(latent_size=64, channels=(64, 32, 16), seed=0):
    """A DCGAN generator of 28 x 28 pixels: noise becomes 4 x 4 maps, which three transposed convolutions enlarge.

    Batch normalization and ReLU everywhere but in the output, which is tanh and has no normalization.

    Args:
        latent_size: Numbers of noise for an image, drawn from a standard normal.
        channels: Maps of 4 x 4, 7 x 7 and 14 x 14 pixels.
        seed: Seed of the initial weights, normal with deviation 0.02.

    Returns:
        An uncompiled `keras.Model` from (batch, latent_size) to images (batch, 28, 28, 1) in [−1, 1].

    Raises:
        ValueError: If a size is not a positive whole number, or `channels` are not three.

    Source: Radford et al. 2016, arXiv:1511.06434, section 3, with three enlargements in place of four.
    """
    _expect_counts(latent_size=latent_size, channels=channels)
    starts = _normal_starts((seed, 1), 4)
    layers = keras.layers
    stack = [
        layers.Input((latent_size,)),
        layers.Dense(16 * channels[0], use_bias=False, kernel_initializer=starts[0]),
        layers.BatchNormalization(momentum=0.9),
        layers.ReLU(),
        layers.Reshape((4, 4, channels[0])),
    ]
    for filters, size, extra, start in ((channels[1], 3, 0, starts[1]), (channels[2], 4, None, starts[2])):
        stack += [  # with 3 x 3 and no output padding, 4 x 4 maps become 7 x 7
            layers.Conv2DTranspose(
                filters, size, 2, "same", output_padding=extra, use_bias=False, kernel_initializer=start
            ),
            layers.BatchNormalization(momentum=0.9),
            layers.ReLU(),
        ]
    return keras.Sequential(
        [*stack, layers.Conv2DTranspose(1, 4, 2, "same", activation="tanh", kernel_initializer=starts[3])]
    )


def build_discriminator(channels=(16, 32, 64), seed=0):
    """A DCGAN discriminator of 28 x 28 pixels: three strided convolutions, leaky ReLU, and one logit.

    Batch normalization everywhere but in the first layer, which sees the image, and in the logit. With three layers a
    map's number sees 22 x 22 pixels, nearly a whole digit; with two it would see strokes of 10 x 10.

    Args:
        channels: Maps of 14 x 14, 7 x 7 and 4 x 4 pixels.
        seed: Seed of the initial weights, normal with deviation 0.02.

    Returns:
        An uncompiled `keras.Model` from images (batch, 28, 28, 1) to logits (batch, 1).

    Raises:
        ValueError: If `channels` are not three positive whole numbers.

    Source: Radford et al. 2016, arXiv:1511.06434, section 3; slope 0.2 of the leaky ReLU: section 4.
    """
    _expect_counts(channels=channels)
    starts = _normal_starts((seed, 2), 4)
    layers = keras.layers
    stack = [layers.Input((28, 28, 1)), layers.Conv2D(channels[0], 4, 2, "same", kernel_initializer=starts[0])]
    stack.append(layers.LeakyReLU(0.2))
    for filters, start in zip(channels[1:], starts[1:3], strict=True):
        stack += [
            layers.Conv2D(filters, 4, 2, "same", use_bias=False, kernel_initializer=start),
            layers.BatchNormalization(momentum=0.9),
            layers.LeakyReLU(0.2),
        ]
    return keras.Sequential([*stack, layers.Flatten(), layers.Dense(1, kernel_initializer=starts[3])])


def dcgan_step(generator, discriminator, generator_optimizer, discriminator_optimizer, real, noise):
    """One step of each network, the discriminator first, on one batch of drawn images.

    The generator runs once: both steps use its images, and the chain rule is cut in two at them. Real and drawn images
    pass the discriminator as separate batches, so that batch normalization does not mix them.

    Args:
        generator, discriminator: Models as `build_generator` and `build_discriminator` make them.
        generator_optimizer, discriminator_optimizer: Keras optimizers.
        real: Images (batch, 28, 28, 1) in [−1, 1].
        noise: (batch, latent_size).

    Returns:
        `(discriminator_loss, generator_loss)`, two scalars, each from before its network's step.

    Raises:
        ValueError: If real and noise have different batches.
    """
    if real.shape[0] != noise.shape[0]:
        raise ValueError(f"real, noise: expected equal batches, got {real.shape} and {noise.shape}")
    with tf.GradientTape() as drawing:
        fake = generator(noise, training=True)
    with tf.GradientTape() as judging:
        real_logits = discriminator(real, training=True)
        loss = discriminator_loss(real_logits, discriminator(tf.stop_gradient(fake), training=True))
    weights = discriminator.trainable_variables
    discriminator_optimizer.apply(judging.gradient(loss, weights), weights)
    with tf.GradientTape() as answer:
        answer.watch(fake)
        fooled = generator_loss(discriminator(fake, training=True))
    slope = answer.gradient(fooled, fake)  # (batch, 28, 28, 1)
    weights = generator.trainable_variables
    generator_optimizer.apply(drawing.gradient(fake, weights, output_gradients=slope), weights)
    return loss, fooled


def train_dcgan(
    generator,
    discriminator,
    images,
    steps,
    *,
    batch_size=64,
    learning_rate=1e-3,
    beta_1=0.5,
    every=250,
    seed=0,
    track=None,
    watch=None,
):
    """Train both networks in turns, in place.

    Args:
        generator, discriminator: Models as `build_generator` and `build_discriminator` make them.
        images: Array or tensor (samples, 28, 28, 1), pixels in [−1, 1].
        steps: Steps of each network.
        batch_size: Images in a batch, real and drawn.
        learning_rate, beta_1: Of both Adam optimizers; the rate falls linearly to a twentieth.
        every: Steps in one compiled call.
        seed: Seed of noise and order.
        track: Callable `(iterable, description) -> iterable` that shows progress, or None.
        watch: Callable `(steps_done)`, called after every compiled call, or None.

    Returns:
        float32 (steps, 2), the losses of discriminator and generator.

    Raises:
        ValueError: If a number is out of range, or the images have another shape or range.

    Source: Radford et al. 2016, arXiv:1511.06434, section 4 (Adam with beta_1 0.5; its learning rate is 0.0002).
    """
    _expect_counts(steps=steps, batch_size=batch_size, every=every)
    if not 0 < learning_rate < math.inf:
        raise ValueError(f"learning_rate: expected a positive number, got {learning_rate!r}")
    if not 0 <= beta_1 < 1:
        raise ValueError(f"beta_1: expected a number from 0 to below 1, got {beta_1!r}")
    images = _checked_pixels(images)
    rate = keras.optimizers.schedules.PolynomialDecay(learning_rate, steps, learning_rate / 20)
    optimizers = [keras.optimizers.Adam(rate, beta_1=beta_1) for _ in range(2)]
    for optimizer, model in zip(optimizers, (generator, discriminator), strict=True):
        optimizer.build(model.trainable_variables)  # a loop must not create variables

    @tf.function(autograph=False, reduce_retracing=True)
    def run(order, noise):
        def body(i, losses):
            pair = dcgan_step(generator, discriminator, *optimizers, tf.gather(images, order[i]), noise[i])
            return i + 1, losses.write(i, tf.stack(pair))

        count = tf.shape(order)[0]
        losses = tf.TensorArray(tf.float32, count)
        # Steps depend on each other through the weights: none may start before the last one has ended.
        return tf.while_loop(lambda i, _: i < count, body, (0, losses), parallel_iterations=1)[1].stack()

    rng, losses = np.random.default_rng((seed, 3)), []
    chunks = range(0, steps, every)
    for start in chunks if track is None else track(chunks, "training"):
        count = min(every, steps - start)
        order = rng.integers(len(images), size=(count, batch_size), dtype=np.int32)
        noise = rng.standard_normal((count, batch_size, generator.input_shape[-1]), np.float32)
        losses.append(run(order, noise).numpy())
        if watch is not None:
            watch(start + count)
    return np.concatenate(losses)


def draw_images(generator, count, seed, batch_size=1000):
    """Images from a generator, with the moving statistics of its batch normalization.

    Args:
        generator: Model from noise (batch, latent_size).
        count: Number of images.
        seed: Seed of the noise, standard normal.
        batch_size: Images at a time.

    Returns:
        float32 (count, ...), such as (count, 28, 28, 1).

    Raises:
        ValueError: If a count is not a positive whole number.
    """
    _expect_counts(count=count, batch_size=batch_size)
    noise = np.random.default_rng(seed).standard_normal((count, generator.input_shape[-1]), np.float32)
    parts = [generator(noise[i : i + batch_size], training=False).numpy() for i in range(0, count, batch_size)]
    return np.concatenate(parts)


def tile_images(images):
    """Put images side by side into one picture.

    Args:
        images: Array (rows, columns, height, width), or with an axis of one channel behind.

    Returns:
        Array (rows · height, columns · width).

    Raises:
        ValueError: If the array is empty or has another shape.
    """
    images = np.asarray(images)
    if images.size == 0 or images.ndim not in (4, 5) or (images.ndim == 5 and images.shape[-1] != 1):
        raise ValueError(f"images: expected (rows, columns, height, width), not empty, got {images.shape}")
    rows, columns, height, width = images.shape[:4]
    ordered = images.reshape(rows, columns, height, width).transpose(0, 2, 1, 3)
    return ordered.reshape(rows * height, columns * width)


def nearest_distances(images, others):
    """Euclidean distance from each image to the nearest of others.

    Args:
        images, others: Arrays (n, ...) and (m, ...) with equally many numbers an image.

    Returns:
        float64 (n,).

    Raises:
        ValueError: If a set is empty, images have different sizes, or a number is not finite.
    """
    a, b = (np.asarray(each, np.float32) for each in (images, others))
    if 0 in (a.size, b.size) or a.shape[1:] != b.shape[1:]:
        raise ValueError(f"images, others: expected two sets of images of one size, got {a.shape} and {b.shape}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("images, others: expected finite numbers, got NaN or infinity")
    a, b = a.reshape(len(a), -1), b.reshape(len(b), -1)
    nearest = np.empty(len(a), np.int64)
    lengths = np.einsum("ij,ij->i", b, b)
    for start in range(0, len(a), 500):
        nearest[start : start + 500] = np.argmin(lengths - 2 * a[start : start + 500] @ b.T, axis=1)
    return np.linalg.norm(a.astype(np.float64) - b[nearest], axis=1)  # exact, where the products above are rounded


def _expect_counts(**counts):
    for name, value in counts.items():
        values = value if isinstance(value, (tuple, list)) else [value]
        good = all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) and n >= 1 for n in values)
        if not good or (name == "channels" and len(values) != 3):
            kind = "three positive whole numbers" if name == "channels" else "a positive whole number"
            raise ValueError(f"{name}: expected {kind}, got {value!r}")


def _normal_starts(seed, count):
    seeds = np.random.default_rng(seed).integers(2**31, size=count).tolist()
    return [keras.initializers.RandomNormal(stddev=0.02, seed=each) for each in seeds]


def _checked_pixels(images):
    images = tf.convert_to_tensor(images, tf.float32)
    if len(images.shape) != 4 or 0 in images.shape:
        raise ValueError(f"images: expected (samples, height, width, channels), got {tuple(images.shape)}")
    if not float(tf.reduce_max(tf.abs(images))) <= 1 + 1e-6:
        raise ValueError("images: expected pixels from −1 to 1, got others or NaN")
    return images


def lesson(
    report,
    *,
    steps: int = 3200,
    images: int = 60000,
    samples: int = 10000,
    channels: tuple[int, ...] = (64, 32, 16),
    latent_size: int = 64,
    batch_size: int = 64,
    learning_rate: float = 1e-3,
    classifier_epochs: int = 4,
    seed: int = 0,
):
    """Check the architecture's rules, then train on MNIST and have a classifier judge the drawn digits.

    Args:
        report: The report to write to.
        steps: Steps of each network (6 to 1000000).
        images: Training images (512 to 60000).
        samples: Drawn digits that are scored, and as many real ones beside them (100 to 10000).
        channels: The generator's maps of 4 x 4, 7 x 7 and 14 x 14 pixels; the discriminator's in reverse (1 to 1024).
        latent_size: Numbers of noise for an image (1 to 1024).
        batch_size: Images in a batch (2 to 1024).
        learning_rate: Of both Adam optimizers (0.000001 to 1).
        classifier_epochs: Epochs of the classifier that judges (1 to 100).
        seed: Seed of all random draws (0 to 4294967295).
    """
    generator = build_generator(latent_size, channels, seed)
    discriminator = build_discriminator(channels[::-1], seed)
    _rules(report, generator, discriminator)
    _transpose(report, np.random.default_rng((seed, 5)))
    _cut_chain(report, seed)

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

    look(0)
    losses = train_dcgan(
        generator, discriminator, x, steps, batch_size=batch_size, learning_rate=learning_rate, every=every, seed=seed,
        track=report.track, watch=look,
    )  # fmt: skip
    drawn = {
        "drawn digits": draw_images(generator, samples, (seed, 9)),
        "test digits": x_test[rng.permutation(len(x_test))[:samples]],
    }
    scored = {name: score_images(classifier, pixels, reference) for name, pixels in drawn.items()}
    _verdict(report, scored, path, samples, steps)
    _copies(report, drawn, x, samples)
    _notes(report, steps, losses)
    _figures(report, generator, drawn, path, strips, latent_size, seed)


def _rules(report, generator, discriminator):
    """The four rules of the paper, read off the layers."""
    kinds = [[type(layer).__name__ for layer in model.layers] for model in (generator, discriminator)]
    rows = [list(row) for row in itertools.zip_longest(*kinds, fillvalue="")]
    report.table("the layers", ["generator", "discriminator"], rows)
    convolutions = [
        layer for model in (generator, discriminator) for layer in model.layers if hasattr(layer, "strides")
    ]
    report.check("every convolution has stride 2", [layer.strides for layer in convolutions], [(2, 2)] * 6)
    report.check("no pooling", any("Pool" in name for name in kinds[0] + kinds[1]), want=False)
    label = "batch normalization after every layer with weights, but for output, input and logit"
    follows = [_followed_by_normalization(model) for model in (generator, discriminator)]
    report.check(label, got=follows, want=[[True, True, True, False], [False, True, True, False]])
    slopes = [layer.negative_slope for layer in discriminator.layers if hasattr(layer, "negative_slope")]
    report.check("ReLU in the generator", [kinds[0].count("ReLU"), kinds[0].count("LeakyReLU")], want=[3, 0])
    report.check("leaky ReLU of slope 0.2 in the discriminator", got=slopes, want=[0.2] * 3)
    report.check("the output is tanh", got=generator.layers[-1].activation.__name__, want="tanh")


def _followed_by_normalization(model):
    names = [type(layer).__name__ for layer in model.layers] + [""]
    weighted = ("Dense", "Conv2D", "Conv2DTranspose")
    return [names[i + 1] == "BatchNormalization" for i, name in enumerate(names) if name in weighted]


def _transpose(report, rng):
    """⟨conv(x), y⟩ = ⟨x, transposed conv(y)⟩ for one kernel: the one is the other's transpose."""
    x, y = (tf.constant(rng.normal(size=shape), tf.float32) for shape in ((2, 14, 14, 3), (2, 7, 7, 5)))
    kernel = tf.constant(rng.normal(size=(4, 4, 3, 5)), tf.float32)
    down, up = (
        keras.layers.Conv2D(5, 4, 2, "same", use_bias=False),
        keras.layers.Conv2DTranspose(3, 4, 2, "same", use_bias=False),
    )
    for layer, inputs in ((down, x), (up, y)):
        layer.build(inputs.shape)
        layer.set_weights([kernel])
    label = "a transposed convolution is the transpose of the convolution with its kernel"
    want = float(tf.reduce_sum(down(x) * y))
    report.check(label, got=float(tf.reduce_sum(x * up(y))), want=want, rtol=1e-4, atol=1e-3)


def _cut_chain(report, seed):
    """`dcgan_step` moves the generator as one tape through both networks would."""
    rng = np.random.default_rng((seed, 10))
    real, noise = np.float32(rng.uniform(-1, 1, (8, 28, 28, 1))), rng.standard_normal((8, 5), np.float32)
    generator, discriminator = build_generator(5, (4, 3, 2), seed), build_discriminator((2, 3, 4), seed)
    frozen = keras.optimizers.SGD(0.0)
    before = generator.get_weights()
    with tf.GradientTape() as tape:
        loss = generator_loss(discriminator(generator(noise, training=True), training=True))
    gradients = tape.gradient(loss, generator.trainable_variables)
    generator.set_weights(before)
    start = [weight.numpy() for weight in generator.trainable_variables]
    _, fooled = dcgan_step(generator, discriminator, keras.optimizers.SGD(1.0), frozen, real, noise)
    moved = [a - b.numpy() for a, b in zip(start, generator.trainable_variables, strict=True)]
    report.check("the chain rule cut at the images: the generator's step", moved, gradients, rtol=1e-3, atol=1e-5)
    report.check("and its loss", got=fooled, want=loss)


def _verdict(report, scored, path, samples, steps):
    report.table(
        f"{samples:,} images of each kind, judged by the classifier",
        ["images", "inception score", "deviation of 10 parts", "digits found in 1,000", "Fréchet distance",
         "mean confidence"],
        [[name, s["score"], s["deviation"], round(10 * s["coverage"]), s["frechet"], s["confidence"]]
         for name, s in scored.items()],
    )  # fmt: skip
    report.table("on the way", ["steps", "inception score", "digits found", "Fréchet distance"], path)
    best, real = scored["drawn digits"], scored["test digits"]
    report.at_least("inception-type score of drawn digits", got=best["score"], bound=5.0, trained=True)
    report.at_least("digits found among 1,000 drawn", got=round(10 * best["coverage"]), bound=10, trained=True)
    label = "Fréchet distance of drawn digits over that before training"
    report.at_most(label, got=best["frechet"] / path[0][3], bound=0.2, trained=True)
    reached = "reached" if best["score"] >= GOAL else f"missed by {GOAL - best['score']:.2f}"
    report.note(
        f"Goal {GOAL}: {reached} with {best['score']:.2f} after {steps} steps; test digits have {real['score']:.2f}."
    )


def _copies(report, drawn, x, samples):
    """A generator that had learnt the training digits by heart would draw at distance 0 from them."""
    count = min(300, samples)
    own, real = (np.median(nearest_distances(drawn[name][:count], x)) for name in ("drawn digits", "test digits"))
    report.table("median distance to the nearest training digit (pixels from −1 to 1)", ["images", "distance"],
                 [["drawn", own], ["test digits", real]])  # fmt: skip
    label = "drawn digits are no copies: their distance to training digits over that of test digits"
    report.at_least(label, got=own / real, bound=0.5, trained=True)


def _notes(report, steps, losses):
    tail = losses[-max(1, steps // 10) :].mean(axis=0)
    report.note(
        f"Losses at the end: discriminator {tail[0]:.2f}, generator {tail[1]:.2f} nats. They say little about the "
        "digits: each is measured against an opponent that changes."
    )
    report.note(
        "Unlike the paper: images of 28 x 28 pixels, so three strided layers in place of four; kernels of 4 x 4 and "
        "3 x 3 in place of 5 x 5, and fewer maps; noise is normal, not uniform; batches of 64, not 128; the learning "
        "rate falls linearly from 0.001 in place of 0.0002; and both steps use one batch of drawn images."
    )


def _figures(report, generator, drawn, path, strips, latent_size, seed):
    steps = [row[0] for row in path]
    figure, (left, right) = plots.subplots(1, 2, figsize=(10.5, 4.8), width_ratios=(1.15, 1))
    plots.bare_picture(tile_images(np.stack(strips)), left)
    left.set_yticks(14 + 28 * np.arange(len(strips)), [f"{done:,}" for done in steps])
    left.set(ylabel="steps")
    left.set_title("Ten noise vectors on the way")
    right.plot(steps, [row[1] for row in path], "o-", color="C0", label="drawn")
    right.axhline(GOAL, color="C1", linestyle="--", label=f"goal {GOAL:g}")
    right.set(xlabel="steps", ylabel="inception-type score", ylim=(0, 10))
    right.set_title("Clear and varied digits")
    right.legend(loc="lower right")
    report.figure(
        "digits on the way", figure,
        alt="Left: ten drawn images at nine times of training, from grey noise to clear digits. Right: the "
        "inception-type score rises quickly at first and then slowly.",
    )  # fmt: skip
    figure, axes = plots.subplots(1, 3, figsize=(11, 4.3))
    for ax, name in zip(axes, ("drawn digits", "test digits"), strict=False):
        plots.bare_picture(tile_images(drawn[name][:100].reshape(10, 10, 28, 28)), ax)
        ax.set_title({"test digits": "Real digits"}.get(name, "Drawn digits"))
    ends = np.random.default_rng((seed, 11)).standard_normal((2, 10, latent_size), np.float32)
    share = np.linspace(0, 1, 10, dtype=np.float32)[:, None]
    walks = [generator((1 - share) * a + share * b, training=False) for a, b in zip(*ends, strict=True)]
    plots.bare_picture(tile_images(np.stack(walks)), axes[2])
    axes[2].set_title("From one noise to another")
    report.figure(
        "drawn and real digits", figure,
        alt="A hundred drawn digits, a hundred real ones, and ten rows that each change gradually from one drawn digit "
        "to another.",
    )  # fmt: skip
