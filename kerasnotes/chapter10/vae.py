"""A variational autoencoder codes an image as a small Gaussian, so that it can also draw images that it never saw.

The encoder gives a mean and a spread for every image, the decoder an image for every code. What the reader should see:
the gradient passes through the draw because the draw is written as mean + spread · noise; the loss is a bound on the
data's likelihood, in nats, that can be held against published figures; and the codes fill the plane without holes.

Notes: chapter 10, "Variational autoencoder" (变分自编码器).
Source: Kingma and Welling 2014, arXiv:1312.6114, equation 10 and appendix C; Burda, Grosse, Salakhutdinov 2016,
arXiv:1509.00519, equation 8 (importance-weighted bound).
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots, training
from kerasnotes.chapter10.kl_divergence import gaussian_kl_to_standard, gaussian_log_density

SMOKE = {"images": 256, "epochs": 1, "map_epochs": 1, "hidden": 8, "batch_size": 64}
FULL = {"epochs": 100, "map_epochs": 30}
SECONDS = 40


class Sampling(keras.layers.Layer):
    """Draws z = mean + exp(log_variance / 2) · ε with ε from a standard normal: gradients reach mean and log_variance.

    Args:
        seed: Seed of the draws.
    """

    def __init__(self, seed=0, **kwargs):
        super().__init__(**kwargs)
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, inputs):
        """Take the pair (mean, log_variance), each (batch, latent); return a draw (batch, latent)."""
        mean, log_variance = inputs
        noise = keras.random.normal(tf.shape(mean), seed=self.generator, dtype=mean.dtype)
        return mean + tf.exp(log_variance / 2) * noise


class Encoder(keras.Model):
    """Dense layers from images to the mean and the logarithm of the variance of their codes.

    Args:
        latent_size: Numbers in a code.
        hidden: Units of the hidden layers, which are ReLU.
        seed: Seed of the start.
    """

    def __init__(self, latent_size, hidden=(400,), seed=0, **kwargs):
        super().__init__(**kwargs)
        _expect_sizes(latent_size=latent_size, hidden=hidden)
        self.hidden = _dense_layers(hidden, "relu", (seed, 0))
        (self.mean,) = _dense_layers((latent_size,), None, (seed, 1))
        (self.log_variance,) = _dense_layers((latent_size,), None, (seed, 2))

    def call(self, x):
        """Images (batch, pixels) to `(mean, log_variance)`, each (batch, latent)."""
        for layer in self.hidden:
            x = layer(x)
        return self.mean(x), self.log_variance(x)


class Decoder(keras.Model):
    """Dense layers from codes (batch, latent) to logits of pixels (batch, pixels).

    Args:
        pixels: Pixels of an image.
        hidden: Units of the hidden layers, which are ReLU.
        seed: Seed of the start.
    """

    def __init__(self, pixels=784, hidden=(400,), seed=0, **kwargs):
        super().__init__(**kwargs)
        _expect_sizes(pixels=pixels, hidden=hidden)
        self.stack = [*_dense_layers(hidden, "relu", (seed, 3)), *_dense_layers((pixels,), None, (seed, 4))]

    def call(self, z):
        for layer in self.stack:
            z = layer(z)
        return z


class VAE(keras.Model):
    """An encoder and a decoder, trained on the negative evidence lower bound (ELBO), in nats an image.

    Fit it on images alone: `vae.compile(optimizer)`, then `vae.fit(x)` with x (samples, pixels) in [0, 1].

    Args:
        encoder: Model from images to `(mean, log_variance)`.
        decoder: Model from codes to logits.
        seed: Seed of the draws in training.
    """

    def __init__(self, encoder, decoder, seed=0, **kwargs):
        super().__init__(**kwargs)
        self.encoder, self.decoder, self.sampling = encoder, decoder, Sampling(seed)
        self.trackers = [keras.metrics.Mean(name) for name in ("loss", "reconstruction", "kl")]

    @property
    def metrics(self):
        return self.trackers

    def build(self, input_shape):
        self.decoder(self.encoder(tf.zeros((1, input_shape[-1])))[0])

    def call(self, x):
        """Images (batch, pixels) to the logits of their reconstructions, from the means of their codes."""
        return self.decoder(self.encoder(x)[0])

    def losses_of(self, x):
        """`(loss, reconstruction, kl)` of images: the second and third add up to the first, averaged over the batch."""
        mean, log_variance = self.encoder(x)
        reconstruction = tf.reduce_mean(_pixel_cross_entropy(x, self.decoder(self.sampling((mean, log_variance)))))
        kl = tf.reduce_mean(gaussian_kl_to_standard(mean, log_variance))
        return reconstruction + kl, reconstruction, kl

    def train_step(self, images):
        """One step of the optimizer. Returns the running means of the losses."""
        with tf.GradientTape() as tape:
            values = self.losses_of(_only_images(images))
        self.optimizer.apply(tape.gradient(values[0], self.trainable_weights), self.trainable_weights)
        return self._track(values)

    def test_step(self, images):
        """The losses of a batch, without learning."""
        return self._track(self.losses_of(_only_images(images)))

    def _track(self, values):
        for tracker, value in zip(self.trackers, values, strict=True):
            tracker.update_state(value)
        return {tracker.name: tracker.result() for tracker in self.trackers}


def elbo(x, vae, seed):
    """A lower bound on ln p(x) of each image, with one draw of its code.

    Args:
        x: Images (batch, pixels) with values in [0, 1]. Grey values count as probabilities: then this is a bound on a
            pseudo-likelihood, not on that of the binary image.
        vae: A model with `encoder` and `decoder`, such as `VAE`.
        seed: Seed of the draw.

    Returns:
        Tensor (batch,), in nats: minus the cross-entropy summed over pixels, minus the divergence in closed form.

    Raises:
        ValueError: If `x` is not (batch, pixels) with values in [0, 1].
    """
    x = _checked_images(x)
    mean, log_variance = vae.encoder(x)
    noise = tf.constant(np.random.default_rng(seed).normal(size=mean.shape), mean.dtype)
    logits = vae.decoder(mean + tf.exp(log_variance / 2) * noise)
    return -_pixel_cross_entropy(x, logits) - gaussian_kl_to_standard(mean, log_variance)


def importance_weighted_bound(x, vae, samples, seed=0):
    """A tighter bound on ln p(x): the logarithm of the mean of `samples` importance weights p(x, z) / q(z | x).

    Args:
        x, vae, seed: As in `elbo`.
        samples: Draws for each image, at least 1; with one, its expectation is that of `elbo`.

    Returns:
        Tensor (batch,), in nats.

    Raises:
        ValueError: If `x` is not (batch, pixels) with values in [0, 1], or there is no sample.

    Source: Burda et al. 2016, arXiv:1509.00519, equation 8.
    """
    x = _checked_images(x)
    if not samples >= 1:
        raise ValueError(f"samples: expected at least 1, got {samples!r}")
    mean, log_variance = vae.encoder(x)
    rng, weights = np.random.default_rng(seed), []
    for _ in range(samples):
        z = mean + tf.exp(log_variance / 2) * tf.constant(rng.normal(size=mean.shape), mean.dtype)
        joint = gaussian_log_density(z, 0.0, 0.0) - _pixel_cross_entropy(x, vae.decoder(z))  # ln p(z) + ln p(x | z)
        weights.append(joint - gaussian_log_density(z, mean, log_variance))
    return tf.reduce_logsumexp(tf.stack(weights), axis=0) - np.log(samples)


def _pixel_cross_entropy(x, logits):
    """Bernoulli cross-entropy, summed over the pixels: (batch,)."""
    return tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(labels=x, logits=logits), axis=-1)


def _only_images(images):
    return images[0] if isinstance(images, (tuple, list)) else images


def _dense_layers(sizes, activation, seed):
    seeds = np.random.default_rng(seed).integers(2**31, size=len(sizes)).tolist()
    start = keras.initializers.HeUniform if activation == "relu" else keras.initializers.GlorotUniform
    return [
        keras.layers.Dense(size, activation=activation, kernel_initializer=start(seed=layer_seed))
        for size, layer_seed in zip(sizes, seeds, strict=True)
    ]


def _expect_sizes(**sizes):
    for name, value in sizes.items():
        values = value if isinstance(value, (tuple, list)) else [value]
        if not all(isinstance(size, (int, np.integer)) and size >= 1 for size in values):
            raise ValueError(f"{name}: expected positive whole numbers, got {value!r}")


def _checked_images(x):
    x = tf.convert_to_tensor(x)
    if len(x.shape) != 2 or 0 in x.shape:
        raise ValueError(f"x: expected images of the shape (batch, pixels), got {tuple(x.shape)}")
    low, high = float(tf.reduce_min(x)), float(tf.reduce_max(x))
    if not 0 <= low <= high <= 1:
        raise ValueError(f"x: expected values in [0, 1], got {low:g} to {high:g}")
    return x


def lesson(
    report,
    *,
    images: int = 60000,
    epochs: int = 14,
    map_epochs: int = 10,
    hidden: int = 400,
    latent_size: int = 20,
    batch_size: int = 128,
    seed: int = 0,
):
    """Train on MNIST, measure the bound in nats, and look at what the codes have learnt.

    Args:
        report: The report to write to.
        images: Training images (256 to 60000).
        epochs: Training epochs of the large model (1 to 10000).
        map_epochs: Training epochs of the model with two numbers a code (1 to 10000).
        hidden: Units of the hidden layers (1 to 4096).
        latent_size: Numbers in a code (2 to 512).
        batch_size: Images in a batch (1 to 256).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _through_the_draw(report, seed)
    (x_train, _), (x_test, y_test) = data.mnist()
    x_train, x_test = (np.float32(x).reshape(len(x), -1) / 255 for x in (x_train[:images], x_test))
    vae, history = _train(report, x_train, x_test, epochs, (hidden,), latent_size, batch_size, seed)
    _bounds(report, vae, x_test, seed)
    _corrections(report, vae, x_test, history, latent_size)
    plane, _ = _train(report, x_train, None, map_epochs, (hidden // 2 + 1, hidden // 4 + 1), 2, batch_size, seed)
    _figures(report, vae, plane, x_test, y_test, history, seed)


def _train(report, x_train, x_test, epochs, hidden, latent_size, batch_size, seed):
    vae = VAE(Encoder(latent_size, hidden, seed), Decoder(x_train.shape[1], hidden[::-1], seed), seed)
    steps = epochs * -(-len(x_train) // batch_size)
    rate = keras.optimizers.schedules.CosineDecay(3e-4, steps, 1e-2, warmup_target=2e-3, warmup_steps=steps // 20 + 1)
    vae.compile(keras.optimizers.Adam(rate))
    validation = None if x_test is None else (x_test,)
    form = "xla" if steps > training.WORTH_COMPILING else "auto"  # little noise is drawn here: XLA is worth it
    history = training.fit(vae, x_train, batch_size=batch_size, epochs=epochs, validation_data=validation, seed=seed,
                           form=form, track=report.track)  # fmt: skip
    return vae, history.history


def _through_the_draw(report, seed):
    """What the gradient sees of a draw, in three ways to write it."""
    mean, log_variance = tf.constant([[0.5, -1.0]]), tf.constant([[0.2, -0.6]])
    draw_seed = (seed % 2**31, 7)

    def gradients(draw):
        with tf.GradientTape() as tape:
            tape.watch([mean, log_variance])
            loss = tf.reduce_sum(tf.square(draw()))
        return tape.gradient(loss, [mean, log_variance], unconnected_gradients="zero")

    def tensorflow_draw():
        return tf.random.stateless_normal((1, 2), draw_seed, mean=mean, stddev=tf.exp(log_variance / 2))

    def written_out():
        return mean + tf.exp(log_variance / 2) * tf.random.stateless_normal((1, 2), draw_seed)

    z = written_out()
    by_hand = [2 * z, z * (z - mean)]  # d z²/d mean = 2 z; d z / d ln σ² = (z − mean) / 2
    report.check("gradient through mean + exp(log_variance / 2) · ε", got=gradients(written_out), want=by_hand)
    label = "TensorFlow's own draw with a mean and a deviation passes the same gradient"
    report.check(label, got=gradients(tensorflow_draw), want=by_hand)
    cut = gradients(lambda: tf.stop_gradient(written_out()))
    report.check("nothing passes a draw that is cut off", got=cut, want=[tf.zeros((1, 2))] * 2)
    sampling, n = Sampling(seed), 200000
    draws = sampling((tf.repeat(mean, n, axis=0), tf.repeat(log_variance, n, axis=0))).numpy()
    variance = np.exp(log_variance)[0]
    off = np.abs(draws.mean(axis=0) - mean[0]) / np.sqrt(variance / n)
    report.at_most("mean of 200,000 draws: distance from the mean, standard errors", got=off, bound=4)
    off = np.abs(draws.var(axis=0) / variance - 1) / np.sqrt(2 / n)
    report.at_most("their variance: distance from exp(log_variance), standard errors", got=off, bound=4)

    def slope(name, sigma):  # of −ln σ, the part of the divergence that keeps the spread from vanishing
        source = tf.constant(sigma if name == "sigma" else 2 * np.log(sigma))
        with tf.GradientTape() as tape:
            tape.watch(source)
            value = -tf.math.log(source) if name == "sigma" else -source / 2
        return float(tape.gradient(value, source))

    spreads = (1.0, 0.1, 0.001)
    rows = [[sigma, slope("sigma", sigma), slope("log_variance", sigma)] for sigma in spreads]
    report.table("slope of −ln σ by what the encoder puts out", ["σ", "by σ", "by ln σ²"], rows)
    report.check("by σ the slope is −1/σ", got=[row[1] for row in rows], want=[-1 / s for s in spreads])
    report.check("by ln σ² it is −1/2 everywhere", got=[row[2] for row in rows], want=[-0.5] * len(spreads))
    report.note("ln σ² may be any number, σ only a positive one: exp makes sure of it without a constraint.")


def _bounds(report, vae, x_test, seed):
    subset = x_test[:1000]
    binary = np.float32(np.random.default_rng((seed, 5)).random(x_test.shape) < x_test)  # each pixel drawn once
    grey_bound, binary_bound = (float(-tf.reduce_mean(elbo(x, vae, (seed, 6)))) for x in (x_test, binary))
    report.at_most("negative ELBO on the test set, nats an image", got=grey_bound, bound=105.0, trained=True)
    one = float(-tf.reduce_mean(elbo(subset, vae, (seed, 7))))
    fifty = float(-tf.reduce_mean(importance_weighted_bound(subset, vae, 50, (seed, 8))))
    label = "the importance-weighted bound with 50 draws is tighter, nats gained on 1,000 images"
    report.at_least(label, got=one - fifty, bound=0.5, trained=True)
    report.table(
        "bounds on the test set, nats an image",
        ["images", "bound", "nats"],
        [
            ["10,000, grey pixels as probabilities", "negative ELBO", grey_bound],
            ["10,000, pixels drawn as 0 or 1", "negative ELBO", binary_bound],
            ["first 1,000, grey", "negative ELBO", one],
            ["first 1,000, grey", "importance-weighted, 50 draws", fifty],
        ],
    )
    report.note(
        "With grey pixels the sum is a bound on a pseudo-likelihood, as in most examples; the figure for binary pixels "
        "is the one to hold against the literature, although the model was trained on grey ones."
    )


def _corrections(report, vae, x_test, history, latent_size):
    mean, log_variance = vae.encoder(x_test)
    logits = vae.decoder(mean)
    shapes = [tuple(part.shape[1:]) for part in (mean, log_variance, logits)]
    report.check(
        "encoder: mean and log variance of the code; decoder: one logit a pixel", shapes[:2], [(latent_size,)] * 2
    )
    report.check("the decoder puts out pixels only", got=shapes[2], want=(x_test.shape[1],))
    divergences = gaussian_kl_to_standard(mean, log_variance)
    label = "q(z | x) is not the standard normal: least divergence of a test image, nats"
    report.at_least(label, got=float(tf.reduce_min(divergences)), bound=1.0, trained=True)
    spread = tf.math.reduce_variance(mean, axis=0) + tf.reduce_mean(
        tf.exp(log_variance), axis=0
    )  # of all codes together
    used = float(tf.reduce_mean(spread))
    report.check("all codes together have about unit variance", got=used, want=1.0, rtol=0, atol=0.25, trained=True)
    report.correction(
        "what the variational autoencoder learns",
        course="The decoder outputs ln σ²; the conditional distribution of the code is standard normal; the "
        "weight of the KL divergence changes in training.",
        correct="The encoder outputs mean and ln σ²; q(z | x) is standard normal only where a code has collapsed; "
        "it is the mixture of all codes that comes near it; the weight stays 1, the KL term's value changes.",
        shown_by=f"shapes {shapes[1]} and {shapes[2]}; {float(tf.reduce_mean(divergences)):.1f} nats an image, all "
        f"codes together with variance {used:.2f}; KL from {history['kl'][0]:.1f} to {history['kl'][-1]:.1f} nats",
    )


def _figures(report, vae, plane, x_test, y_test, history, seed):
    epochs = np.arange(1, len(history["kl"]) + 1)
    figure, (left, right) = plots.subplots(1, 2, figsize=(10, 4))
    series = {"reconstruction": history["val_reconstruction"], "KL divergence": history["val_kl"]}
    plots.curves(epochs, series, xlabel="epoch", ylabel="nats a test image", ax=left, marker="o",
                 title="Images get sharper\nat the same price of their codes")  # fmt: skip
    codes, _ = plane.encoder(x_test[:3000])
    for digit in range(10):
        chosen = codes.numpy()[y_test[:3000] == digit]
        right.plot(*chosen.T, "o^sDvP*X<>"[digit], markersize=2.5, color=f"C{digit}")
        right.text(*np.median(chosen, axis=0), str(digit), fontsize=14, weight="bold", ha="center", va="center")
    right.set(xlabel="first number of the code", ylabel="second number", xlim=(-3.5, 3.5), ylim=(-3.5, 3.5))
    right.set_title("A code of two numbers\nsorts the digits by itself")
    report.figure(
        "cost of a code, and the plane of codes",
        figure,
        alt="Left: reconstruction falls while the divergence stays level. Right: test digits as points in the plane "
        "of codes; equal digits lie together, around the origin.",
    )
    side = 12
    grid = np.linspace(-2, 2, side, dtype="float32")
    z = np.stack(np.meshgrid(grid, grid[::-1]), axis=-1).reshape(-1, 2)
    drawn = tf.sigmoid(plane.decoder(z)).numpy().reshape(side, side, 28, 28)
    rng = np.random.default_rng((seed, 9))
    prior = tf.sigmoid(vae.decoder(np.float32(rng.normal(size=(60, vae.encoder.mean.units)))))
    mean, _ = vae.encoder(x_test[[0, 1]])
    share = np.linspace(0, 1, 10, dtype="float32")[:, None]
    between = tf.sigmoid(vae.decoder((1 - share) * mean[0] + share * mean[1]))
    rows = np.concatenate([x_test[:10], tf.sigmoid(vae(x_test[:10])), between, prior[:60]]).reshape(9, 10, 28, 28)
    figure, (left, right) = plots.subplots(1, 2, figsize=(11, 5.4))
    for ax, tiles in ((left, rows), (right, drawn)):
        high, wide = tiles.shape[:2]
        ax.imshow(tiles.transpose(0, 2, 1, 3).reshape(high * 28, wide * 28), cmap="gray_r")
        ax.grid(False)
        ax.set_xticks([])
    left.set_yticks([14, 42, 70, 182], ["test images", "reconstructed", "first to second", "drawn from\nthe prior"])
    left.set_title("Reconstructed, interpolated, drawn")
    right.set_yticks([14, 14 + 28 * (side - 1)], ["2", "−2"])
    right.set_xticks([14, 14 + 28 * (side - 1)], ["−2", "2"])
    right.set(xlabel="first number of the code", ylabel="second number")
    right.set_title("What the decoder draws over the plane")
    report.figure(
        "digits from codes",
        figure,
        alt="Left: test digits, their reconstructions, ten steps from a 7 to a 2, and sixty digits drawn from the "
        "prior. Right: digits drawn over the plane of two-number codes, changing gradually from one to the next.",
    )
