"""A decoder that has seen noise on its codes forgives it, and in training each number of a code finds its own noise.

A variational autoencoder and a plain one differ in two things: the noise on the code, and what the code costs. What the
reader should see: the same two networks, trained both ways on the same digits; how the noise of each number of a code
goes its own way in training, down where the number carries much about the image and up again, towards 1, where it
carries little; and how much worse pictures get when noise is put on the codes afterwards, in units of their spread.

Notes: chapter 10, "Noise on the codes" (编码上的噪声).
Source: Kingma and Welling 2014, arXiv:1312.6114, section 3; Burda, Grosse, Salakhutdinov 2016, arXiv:1509.00519
(numbers of a code that carry nothing).
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots, training
from kerasnotes.chapter10.likelihood_bounds import pixel_cross_entropy
from kerasnotes.chapter10.vae import VAE, Decoder, Encoder
from kerasnotes.parts import floating, shape, whole

SMOKE = {"images": 256, "epochs": 2, "hidden": 4, "latent_size": 3, "test_images": 100}
FULL = {"images": 60000, "epochs": 50, "hidden": 400}
SECONDS = 11


class PlainAutoencoder(VAE):
    """The networks of a `VAE` without noise on the code and without a price for it; built and fitted in the same way.

    Args:
        encoder: Model from images to a pair, of which the first is the code.
        decoder: Model from codes to logits.
    """

    def losses_of(self, x):
        """`(loss, reconstruction, kl)` as for a `VAE`, where the last is 0."""
        x = tf.cast(x, self.compute_dtype)
        code, unused = self.encoder(x)
        reconstruction = tf.reduce_mean(pixel_cross_entropy(x, self.decoder(code)))
        nothing = 0.0 * tf.reduce_mean(unused)  # keeps a slope, 0, for the weights that are not used
        return reconstruction + nothing, reconstruction, nothing


def build_coder(kind, pixels, latent_size, hidden, steps, seed=0):
    """A `VAE` or a `PlainAutoencoder`, compiled, all else equal: sizes, start, and the learning rate on the way.

    Args:
        kind: The class.
        pixels: Pixels of an image.
        latent_size: Numbers in a code.
        hidden: Units of the one hidden layer of encoder and decoder.
        steps: Training steps that are to come, over which the learning rate falls.
        seed: Seed of start and noise.

    Returns:
        The model: `fit(x)` with images (samples, pixels) in [0, 1], then `encoder(x)[0]` and `decoder(code)`.

    Raises:
        ValueError: If a size is not a positive whole number.
    """
    model = kind(Encoder(latent_size, (hidden,), seed), Decoder(pixels, (hidden,), seed), seed)
    warm = whole("steps", steps) // 20 + 1
    rate = keras.optimizers.schedules.CosineDecay(3e-4, steps, 1e-2, warmup_target=2e-3, warmup_steps=warm)
    model.compile(keras.optimizers.Adam(rate))
    return model


def spoil(codes, size, seed):
    """Add normal noise to codes, for each number in the unit of its own spread over the codes.

    Args:
        codes: Tensor (samples, numbers).
        size: Noise in that unit, at least 0: with 1, half of each number's variance is noise.
        seed: Seed of the noise.

    Returns:
        Tensor of the same shape.

    Raises:
        ValueError: If `codes` has another rank, or `size` is negative.
    """
    codes = shape("codes", floating("codes", codes), None, None)
    if not 0 <= size < np.inf:
        raise ValueError(f"size: expected a number of at least 0, got {size!r}")
    noise = np.random.default_rng(seed).normal(size=codes.shape)
    return codes + size * tf.math.reduce_std(codes, axis=0) * tf.cast(noise, codes.dtype)


def example():
    """Patterns of twelve pixels, coded by two numbers both ways: how the codes spread, and what noise costs."""
    rng = np.random.default_rng(0)
    x = np.float32(np.repeat(rng.random((4, 12)), 50, axis=0))
    for kind in (PlainAutoencoder, VAE):
        model = build_coder(kind, 12, latent_size=2, hidden=16, steps=150)
        model.fit(x, batch_size=20, epochs=15, verbose=0)
        code, log_variance = model.encoder(x)
        print(f"{kind.__name__}: spread of the codes {np.std(code, axis=0).round(2)}", end="")
        print(", their own noise", np.exp(log_variance[0] / 2).round(2) if kind is VAE else "none")
        for size in (0.0, 0.5):
            logits = model.decoder(spoil(code, size, seed=1))
            by_keras = keras.losses.BinaryCrossentropy(from_logits=True)(x, logits)
            print(f"  noise {size}: {float(tf.reduce_mean(pixel_cross_entropy(x, logits))):.3f} nats", end="")
            print(f", Keras's mean over pixels times 12: {12 * float(by_keras):.3f}")


def lesson(
    report,
    *,
    images: int = 20000,
    epochs: int = 8,
    hidden: int = 200,
    latent_size: int = 40,
    test_images: int = 2000,
    seed: int = 0,
):
    """Train both ways, watch the noise of each number of a code, then spoil codes.

    Args:
        report: The report to write to.
        images: Training images (256 to 60000).
        epochs: Training epochs of each (2 to 10000).
        hidden: Units of the hidden layers (1 to 4096).
        latent_size: Numbers in a code (2 to 512).
        test_images: Images to measure with (100 to 10000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    (x, _), (x_test, _) = data.mnist()
    x, x_test = (np.float32(part).reshape(len(part), -1) / 255 for part in (x[:images], x_test[:test_images]))
    _alike(report, x_test[:100], hidden, latent_size, seed)
    plain, vae = (
        _trained(report, kind, x, x_test, epochs, hidden, latent_size, seed) for kind in (PlainAutoencoder, VAE)
    )
    sigma = _own_noise(report, vae[1])
    sizes, costs = _forgiven(report, plain[0], vae[0], x_test, seed)
    _figure(report, plain[0], vae[0], x_test, sigma, sizes, costs, seed)


def _alike(report, x, hidden, latent_size, seed):
    """Before training, the two differ in their losses only."""
    plain, vae = (build_coder(kind, x.shape[1], latent_size, hidden, 1, seed) for kind in (PlainAutoencoder, VAE))
    report.check("both start from the same weights: what they rebuild", plain(x), vae(x), rtol=0, atol=0)
    want = tf.reduce_mean(pixel_cross_entropy(x, plain.decoder(plain.encoder(x)[0])))
    report.check("the plain one pays for pixels only, from codes without noise", plain.losses_of(x)[0], want)


def _trained(report, kind, x, x_test, epochs, hidden, latent_size, seed):
    """The model, and before and after each epoch the noise of each number of a code and the spread of its mean."""
    steps = epochs * -(-len(x) // 128)
    model, on_the_way = build_coder(kind, x.shape[1], latent_size, hidden, steps, seed), []

    def look(*_):
        mean, log_variance = model.encoder(x_test)
        on_the_way.append([np.mean(np.exp(log_variance / 2), axis=0), np.std(mean, axis=0)])

    look()
    form = "xla" if steps > training.WORTH_COMPILING else "auto"  # little noise is drawn here: XLA is worth it
    hooks = [keras.callbacks.LambdaCallback(on_epoch_end=look)]
    training.fit(model, x, batch_size=128, epochs=epochs, seed=seed, form=form, callbacks=hooks, track=report.track)
    return model, np.array(on_the_way)


def _own_noise(report, on_the_way):
    """What becomes of the noise of each number, and whether it and the variance of the means make up the prior's 1."""
    sigma, spread = np.moveaxis(on_the_way, 1, 0)  # each (epochs + 1, latent)
    order = np.argsort(sigma[-1])
    chosen = order[np.linspace(0, len(order) - 1, min(8, len(order))).round().astype(int)]
    rows = [[rank, *(float(each[when, number]) for when in (0, 1, -1) for each in (sigma, spread))]
            for rank, number in enumerate(chosen, 1)]  # fmt: skip
    columns = [f"{what}, {when}" for when in ("at the start", "after one epoch", "at the end") for what in
               ("noise", "spread of the mean")]  # fmt: skip
    title = "noise of some numbers of a code, from the least to the largest"
    report.table(title, ["number of the code", *columns], rows)
    ratio = sigma[-1].max() / sigma[-1].min()
    report.at_least("the numbers part: largest noise over the least at the end", ratio, 1.8, trained=True)
    back = int(np.sum(_rises_again(sigma)))
    report.at_least("numbers whose noise comes back by more than 0.05", back, 1, trained=True)
    together = sigma[-1] ** 2 + spread[-1] ** 2
    label = "noise² + variance of the means, the mean over all numbers, is the prior's 1"
    report.check(label, together.mean(), 1.0, rtol=0, atol=0.25, trained=True)
    return sigma


def _rises_again(sigma):
    return sigma[-1] - sigma.min(axis=0) > 0.05


def _forgiven(report, plain, vae, x_test, seed):
    """Cost of pictures from spoilt codes, nats an image, by the size of the noise."""
    sizes, costs = np.array([0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0]), {}
    for name, model in (("plain autoencoder", plain), ("VAE", vae)):
        code = model.encoder(x_test)[0]
        spoilt = [model.decoder(spoil(code, size, (seed, 1))) for size in sizes]
        costs[name] = np.array([float(tf.reduce_mean(pixel_cross_entropy(x_test, each))) for each in spoilt])
    columns = ["autoencoder", *(f"noise {size:g}" for size in sizes)]
    report.table("cost of pictures from codes with noise, nats a test image", columns,
                 [[name, *map(float, row)] for name, row in costs.items()])  # fmt: skip
    rise = {name: row - row[0] for name, row in costs.items()}
    ratio = rise["plain autoencoder"][4] / rise["VAE"][4]
    report.at_least("noise of half a spread: what it costs the plain one over what it costs the VAE", ratio, 1.5,
                    trained=True)  # fmt: skip
    report.at_most("without noise the plain one is better, as it has nothing else to do: its cost over the VAE's",
                   costs["plain autoencoder"][0] / costs["VAE"][0], 1.0, trained=True)  # fmt: skip
    return sizes, costs


def _figure(report, plain, vae, x_test, sigma, sizes, costs, seed):
    figure, (left, middle, right) = plots.subplots(1, 3, figsize=(14.5, 4.4), width_ratios=(1, 1, 1.25))
    for number, back in enumerate(_rises_again(sigma)):
        left.plot(sigma[:, number], "-" if back else "--", color="C1" if back else "C0", linewidth=1)
    left.plot([], [], "--", color="C0", label="falls")
    left.plot([], [], "-", color="C1", label="falls and comes back")
    left.set(xlabel="epochs", ylabel="noise of a number of the code", ylim=(0, None))
    left.set_title("Each number finds its noise")
    left.legend()
    plots.curves(sizes, costs, xlabel="noise, in spreads of the codes", ylabel="nats a test image", marker="o",
                 title="What noise costs", ax=middle)  # fmt: skip
    rows = [x_test[:8]]
    for model in (plain, vae):
        code = model.encoder(x_test)[0]
        rows += [tf.sigmoid(model.decoder(spoil(code, size, (seed, 1))[:8])).numpy() for size in (0.0, 0.5, 1.0)]
    names = ["test", "plain", "noise 0.5", "noise 1", "VAE", "noise 0.5", "noise 1"]
    plots.tiles(np.reshape(rows, (7, 8, 28, 28)), right, names, low=0)
    right.set_title("Pictures from codes with noise")
    report.figure(
        "Noise on codes",
        figure,
        alt="Left: the noise of each number of the code over the epochs; they fall, then part. "
        "Middle: with more noise on the codes the cost of the pictures rises for both, twice as fast for the plain "
        "autoencoder. Right: digits rebuilt from codes with noise are blurred by the VAE and torn by the plain one.",
    )
