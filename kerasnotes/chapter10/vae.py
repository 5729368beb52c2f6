"""A variational autoencoder codes an image as a small Gaussian, so that it can also draw images that it never saw.

The encoder gives a mean and a spread for every image, the decoder an image for every code. The loss adds what the
pixels cost and what the code costs, its divergence from a standard normal. What the reader should see: the loss is a
bound on −ln p(image), in nats, to hold against published figures; and the codes lie close together.

Notes: chapter 10, "Variational autoencoder" (变分自编码器).
Source: Kingma and Welling 2014, arXiv:1312.6114, section 3 and appendix C.
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots, training
from kerasnotes.chapter10.kl_divergence import gaussian_kl_to_standard
from kerasnotes.chapter10.likelihood_bounds import elbo, importance_weighted_bound, pixel_cross_entropy
from kerasnotes.chapter10.reparameterization import Sampling
from kerasnotes.parts import whole

SMOKE = {"images": 256, "epochs": 1, "map_epochs": 1, "hidden": 4, "batch_size": 256}
FULL = {"epochs": 100, "map_epochs": 30}
SECONDS = 40


class Encoder(keras.Model):
    """Dense layers from images to the mean and the logarithm of the variance of their codes.

    Args:
        latent_size: Numbers in a code.
        hidden: Units of the hidden layers, which are ReLU.
        seed: Seed of the start.
    """

    def __init__(self, latent_size, hidden=(400,), seed=0, **kwargs):
        super().__init__(**kwargs)
        self.hidden = _dense_layers("hidden", hidden, "relu", (seed, 0))
        (self.mean,) = _dense_layers("latent_size", (latent_size,), None, (seed, 1))
        (self.log_variance,) = _dense_layers("latent_size", (latent_size,), None, (seed, 2))

    def call(self, x):
        """Images (batch, pixels) to `(mean, log_variance)`, each (batch, latent): a logarithm may be any number."""
        for layer in self.hidden:
            x = layer(x)
        return self.mean(x), self.log_variance(x)


class Decoder(keras.Model):
    """Dense layers from codes (batch, latent) to logits of pixels (batch, pixels).

    Args:
        pixels: Pixels of an image.
        hidden, seed: As for `Encoder`.
    """

    def __init__(self, pixels=784, hidden=(400,), seed=0, **kwargs):
        super().__init__(**kwargs)
        self.stack = _dense_layers("hidden", hidden, "relu", (seed, 3))
        self.stack += _dense_layers("pixels", (pixels,), None, (seed, 4))

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
        return self.trackers  # Keras sets them back before every epoch

    def build(self, input_shape):
        self.decoder(self.encoder(tf.zeros((1, input_shape[-1])))[0])  # a first call makes the weights

    def call(self, x):
        """Images (batch, pixels) to the logits of their reconstructions, from the means of their codes."""
        return self.decoder(self.encoder(x)[0])

    def losses_of(self, x):
        """`(loss, reconstruction, kl)` of images: the second and third add up to the first, averaged over the batch."""
        x = tf.cast(x, self.compute_dtype)
        mean, log_variance = self.encoder(x)  # each (batch, latent)
        reconstruction = tf.reduce_mean(pixel_cross_entropy(x, self.decoder(self.sampling((mean, log_variance)))))
        kl = tf.reduce_mean(gaussian_kl_to_standard(mean, log_variance))
        return reconstruction + kl, reconstruction, kl

    def train_step(self, images):
        """One step of the optimizer. Returns the running means of the losses."""
        # Code, draw, rebuild: what the pixels cost and what the code costs add up to one loss.
        with tf.GradientTape() as tape:
            values = self.losses_of(_only_images(images))
        # Learn: the gradient passes through the draw, which is mean + spread · noise, to the encoder.
        self.optimizer.apply(tape.gradient(values[0], self.trainable_weights), self.trainable_weights)
        return self._track(values)

    def test_step(self, images):
        """The losses of a batch, without learning."""
        return self._track(self.losses_of(_only_images(images)))

    def _track(self, values):
        for tracker, value in zip(self.trackers, values, strict=True):
            tracker.update_state(value)
        return {tracker.name: tracker.result() for tracker in self.trackers}


def _only_images(images):
    return images[0] if isinstance(images, (tuple, list)) else images  # Keras may wrap them: (x,)


def _dense_layers(name, sizes, activation, seed):  # `name` is for errors: the argument that gave the sizes
    start = keras.initializers.HeUniform if activation == "relu" else keras.initializers.GlorotUniform
    seeds = np.random.default_rng(seed).integers(2**31, size=len(sizes)).tolist()
    return [
        keras.layers.Dense(whole(name, size), activation=activation, kernel_initializer=start(seed=layer_seed))
        for size, layer_seed in zip(sizes, seeds, strict=True)
    ]


def example():
    """A small model on made-up pictures: Keras's `fit`, the bound, and pictures that nobody has shown it."""
    rng = np.random.default_rng(0)
    x = np.repeat(rng.random((4, 12)), 50, axis=0)  # four patterns of twelve pixels
    vae = VAE(Encoder(2, (16,)), Decoder(12, (16,)))
    vae.compile(keras.optimizers.Adam(0.02))
    history = vae.fit(x, batch_size=32, epochs=3, verbose=0)
    print("loss:", history.history["loss"])
    mean, log_variance = vae.encoder(x[:1])
    print("code of the first picture:", mean.numpy(), "with variance", np.exp(log_variance))
    print("bound on its likelihood, nats:", elbo(x[:1], vae, seed=1).numpy())
    print("a drawn picture:", tf.sigmoid(vae.decoder(rng.normal(size=(1, 2)))).numpy().round(2))


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
    (x_train, _), (x_test, y_test) = data.mnist()
    x_train, x_test = (np.float32(x).reshape(len(x), -1) / 255 for x in (x_train[:images], x_test))
    vae, history = _train(report, x_train, x_test, epochs, (hidden,), latent_size, batch_size, seed)
    _bounds(report, vae, x_test, seed)
    _corrections(report, vae, x_test, history, latent_size)
    # A second, smaller model: its codes of two numbers can be drawn as points of a plane.
    plane, _ = _train(report, x_train, None, map_epochs, (hidden // 2 + 1, hidden // 4 + 1), 2, batch_size, seed)
    _figures(report, vae, plane, x_test, y_test, history, seed)


def _train(report, x_train, x_test, epochs, hidden, latent_size, batch_size, seed):
    vae = VAE(Encoder(latent_size, hidden, seed), Decoder(x_train.shape[1], hidden[::-1], seed), seed)
    steps = epochs * -(-len(x_train) // batch_size)  # rounded up: the last batch may be short
    # The rate rises for a twentieth of the steps and falls from then on.
    rate = keras.optimizers.schedules.CosineDecay(3e-4, steps, 1e-2, warmup_target=2e-3, warmup_steps=steps // 20 + 1)
    vae.compile(keras.optimizers.Adam(rate))
    validation = None if x_test is None else (x_test,)
    form = "xla" if steps > training.WORTH_COMPILING else "auto"  # little noise is drawn here: XLA is worth it
    history = training.fit(
        vae,
        x_train,
        batch_size=batch_size,
        epochs=epochs,
        validation_data=validation,
        seed=seed,
        form=form,
        track=report.track,
    )
    return vae, history.history


def _bounds(report, vae, x_test, seed):
    subset = x_test[:1000]
    binary = np.float32(np.random.default_rng((seed, 5)).random(x_test.shape) < x_test)  # pixels drawn once
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
    # The variance of all codes together is that of their means plus the mean of their own.
    spread = tf.math.reduce_variance(mean, axis=0) + tf.reduce_mean(tf.exp(log_variance), axis=0)  # (latent,)
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
    figure, (left, right) = plots.subplots(1, 2, figsize=(10, 4))
    series = {"reconstruction": history["val_reconstruction"], "KL divergence": history["val_kl"]}
    plots.curves(
        np.arange(1, len(history["kl"]) + 1),
        series,
        xlabel="epoch",
        ylabel="nats a test image",
        ax=left,
        marker="o",
        title="Images get sharper\nat the same price of their codes",
    )
    plots.classes(plane.encoder(x_test[:3000])[0].numpy(), y_test[:3000], right)
    right.set(xlabel="first number of the code", ylabel="second number", xlim=(-3.5, 3.5), ylim=(-3.5, 3.5))
    right.set_title("A code of two numbers\nsorts the digits by itself")
    report.figure(
        "cost of a code, and the plane of codes",
        figure,
        alt="Left: reconstruction falls while the divergence stays level. Right: test digits as points in the plane "
        "of codes; equal digits lie together, around the origin.",
    )
    _drawn_digits(report, vae, plane, x_test, seed)


def _drawn_digits(report, vae, plane, x_test, seed, side=12):
    grid = np.linspace(-2, 2, side, dtype="float32")
    z = np.stack(np.meshgrid(grid, grid[::-1]), axis=-1).reshape(-1, 2)  # the top row has second number 2
    over_the_plane = tf.sigmoid(plane.decoder(z)).numpy().reshape(side, side, 28, 28)
    rng = np.random.default_rng((seed, 9))
    prior = tf.sigmoid(vae.decoder(np.float32(rng.normal(size=(60, vae.encoder.mean.units)))))  # (60, 784), no image
    mean, _ = vae.encoder(x_test[[0, 1]])
    share = np.linspace(0, 1, 10, dtype="float32")[:, None]  # (10, 1): from the first code to the second
    between = tf.sigmoid(vae.decoder((1 - share) * mean[0] + share * mean[1]))
    rows = np.concatenate([x_test[:10], tf.sigmoid(vae(x_test[:10])), between, prior]).reshape(9, 10, 28, 28)
    figure, (left, right) = plots.subplots(1, 2, figsize=(11, 5.4))
    names = ["test images", "reconstructed", "first to second", "", "", "", "drawn from\nthe prior", "", ""]
    plots.tiles(rows, left, names, low=0)
    left.set_title("Reconstructed, interpolated, drawn")
    plots.tiles(over_the_plane, right, ["2", *[""] * (side - 2), "−2"], low=0)
    right.set_xticks([14, 14 + 28 * (side - 1)], ["−2", "2"])
    right.set(xlabel="first number of the code", ylabel="second number")
    right.set_title("What the decoder draws over the plane")
    report.figure(
        "digits from codes",
        figure,
        alt="Left: test digits, their reconstructions, ten steps from a 7 to a 2, and sixty digits drawn from the "
        "prior. Right: digits drawn over the plane of two-number codes, changing gradually from one to the next.",
    )
