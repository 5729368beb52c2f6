"""An image has an exact likelihood when every pixel is predicted from the pixels before it, and from nothing else.

Pixels are put in order, row by row. A convolution whose kernel is masked sees only what comes before, so one pass gives
the predictions of all pixels at once; their product is the probability of the image, no bound on it. What the reader
should see: gradients that are exactly 0 at later pixels, and also in a wedge of earlier ones, the blind spot; all
pictures of 3 × 3 with probabilities that add up to 1; nats an image to hold against the variational autoencoder; and
digits whose lower half is drawn pixel by pixel, each time another one. The settings were chosen on test images, so
the likelihood is judged on the last of the training set, which neither training nor choice has seen.

Notes: chapter 10, "PixelCNN" (逐像素生成：PixelCNN).
Source: van den Oord, Kalchbrenner, Kavukcuoglu 2016, arXiv:1601.06759 (masks A and B, published nats); van den Oord et
al. 2016, arXiv:1606.05328 (the blind spot).
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots, training
from kerasnotes.chapter10.likelihood_bounds import pixel_cross_entropy
from kerasnotes.parts import layer_seeds, whole

SMOKE = {"images": 64, "epochs": 1, "filters": 4, "new_images": 20, "drawn": 2}
FULL = {"images": 50000, "epochs": 30, "filters": 64}
SECONDS = 36


class MaskedConv2D(keras.layers.Layer):
    """A convolution that sees only pixels before the one it computes, padded with 0 to keep the image's size.

    Args:
        filters: Channels of the output.
        kernel_size: Height and width of the whole kernel, an odd number.
        mask_type: `"A"` hides the pixel itself, for the first layer, whose input is the image; `"B"` shows it, for
            later layers, where it stands for what came before.
        seed: Seed of the start.

    Raises:
        ValueError: If a number is no positive whole one, the kernel's size is even, or the mask is another.
    """

    def __init__(self, filters, kernel_size, mask_type, seed=0, **kwargs):
        super().__init__(**kwargs)
        if mask_type not in ("A", "B") or whole("kernel_size", kernel_size) % 2 == 0:
            got = f"{mask_type!r} and {kernel_size!r}"
            raise ValueError(f"mask_type, kernel_size: expected A or B and an odd number, got {got}")
        self.filters, self.kernel_size, self.mask_type = whole("filters", filters), kernel_size, mask_type
        self.start = keras.initializers.HeUniform(seed)

    def build(self, input_shape):
        size, middle = self.kernel_size, self.kernel_size // 2
        self.mask = np.ones((middle + 1, size, 1, 1), "float32")  # rows below the middle need no weights
        self.mask[middle, middle + (self.mask_type == "B") :] = 0  # in the pixel's own row only what is left of it
        self.kernel = self.add_weight((middle + 1, size, input_shape[-1], self.filters), initializer=self.start)
        self.bias = self.add_weight((self.filters,), initializer="zeros")

    def call(self, x):
        """Images (batch, height, width, channels) to (batch, height, width, filters)."""
        middle = self.kernel_size // 2
        padding = [[0, 0], [middle, 0], [middle, middle], [0, 0]]
        return tf.nn.conv2d(x, self.kernel * self.mask, 1, padding) + self.bias


class Positions(keras.layers.Layer):
    """Row and column of every pixel, from the upper left corner at (−1, −1) on by 1/14, (1, height, width, 2)."""

    def call(self, x):
        rows_and_columns = tf.meshgrid(*(tf.range(tf.shape(x)[axis]) for axis in (1, 2)), indexing="ij")
        return tf.cast(tf.stack(rows_and_columns, axis=-1)[None], x.dtype) / 14 - 1


def build_pixel_cnn(filters=24, layers=2, kernel_size=3, first_size=7, first_mask="A", positions=True, seed=0):
    """A `keras.Model` from images (batch, height, width, 1) to logits of that shape, each from earlier pixels only.

    Args:
        filters: Channels of all hidden layers.
        layers: Layers with mask B, each added to what it is given.
        kernel_size: Their kernels' height and width, odd.
        first_size: That of the first layer.
        first_mask: The first layer's mask; with `"B"` a pixel is predicted from itself, and nothing holds any more.
        positions: Whether to tell the network where a pixel lies; convolutions alone do the same everywhere.
        seed: Seed of the start.
    """
    seeds = layer_seeds(seed)

    def dense(units, x):  # within a pixel
        return keras.layers.Dense(units, kernel_initializer=keras.initializers.HeUniform(next(seeds)))(x)

    inputs = keras.Input((None, None, 1))
    x = MaskedConv2D(filters, first_size, first_mask, next(seeds))(inputs)
    if positions:
        x = x + dense(filters, keras.ops.relu(dense(32, Positions()(inputs))))
    for _ in range(layers):
        x = x + MaskedConv2D(filters, kernel_size, "B", next(seeds))(keras.ops.relu(x))
    return keras.Model(inputs, dense(1, keras.ops.relu(dense(32, keras.ops.relu(x)))))


def log_likelihood(images, model):
    """ln p of each image: one pass gives the logits of all pixels, and the logarithms of their probabilities add up.

    Args:
        images: Array (samples, height, width, 1) of 0 and 1.
        model: From images to logits of the same shape, each made from earlier pixels only.

    Returns:
        float64 (samples,), in nats.

    Raises:
        ValueError: If the array has another shape, or a pixel is neither 0 nor 1.
    """
    images = binary_images(images)

    @tf.function(reduce_retracing=True)
    def of_batch(x):
        return -pixel_cross_entropy(*(tf.reshape(each, [tf.shape(x)[0], -1]) for each in (x, model(x))))

    return np.concatenate([of_batch(images[i : i + 500]) for i in range(0, len(images), 500)]).astype(np.float64)


def complete(images, known, model, seed=0):
    """Draw the pixels that are not known, each from those before it; known ones after it have no say.

    Args:
        images: Array (samples, height, width, 1) of 0 and 1; values of unknown pixels do not matter.
        known: Booleans (height, width).
        model: As in `log_likelihood`.
        seed: Seed of the draws.

    Returns:
        float32 array in the shape of the images.

    Raises:
        ValueError: If a shape differs, or a pixel is neither 0 nor 1.
    """
    images, known = binary_images(images), np.asarray(known)
    if known.dtype != bool or known.shape != images.shape[1:3]:
        raise ValueError(f"known: expected Booleans {images.shape[1:3]}, got {known.dtype} {known.shape}")
    if known.all():
        return images
    order = tf.constant(np.argwhere(~known), tf.int32)  # row by row
    draws = tf.constant(np.random.default_rng(seed).random(images.shape), tf.float32)
    numbers = tf.reshape(tf.range(known.size), (*known.shape, 1))

    def draw(step, x):
        row, column = order[step, 0], order[step, 1]
        logit = model(x[:, : row + 1])[:, row, column, 0]  # (samples,); rows below do not matter
        chosen = tf.cast(draws[:, row, column, 0] < tf.sigmoid(logit), x.dtype)
        return step + 1, tf.where(numbers == row * known.shape[1] + column, chosen[:, None, None, None], x)

    loop = tf.function(lambda x: tf.while_loop(lambda step, _: step < len(order), draw, [0, x])[1])
    return loop(tf.constant(images * known[..., None])).numpy()


def sample_pixels(model, count, size=(28, 28), seed=0):
    """Draw whole images, float32 (count, height, width, 1), pixel by pixel; arguments as in `complete`."""
    nothing = np.zeros((whole("count", count), *size, 1), "float32")
    return complete(nothing, np.zeros(size, bool), model, seed)


def input_gradients(model, images, row, column):
    """Mean size of the gradient of one pixel's logit by every pixel, (height, width): 0 where it does not look."""
    x = tf.constant(binary_images(images))
    with tf.GradientTape() as tape:
        tape.watch(x)
        logits = model(x)[:, row, column]
    return tf.reduce_mean(tf.abs(tape.gradient(logits, x)), axis=[0, 3]).numpy()


def binary_images(images):
    """Images of 0 and 1 as float32 (samples, height, width, 1); others raise a ValueError."""
    images = np.asarray(images, np.float32)
    if images.ndim != 4 or images.shape[-1] != 1 or images.size == 0:
        raise ValueError(f"images: expected (samples, height, width, 1), not empty, got shape {images.shape}")
    if not np.isin(images, (0, 1)).all():
        raise ValueError("images: expected pixels 0 and 1; draw grey ones first, each with its value as probability")
    return images


def binarize(images, seed):
    """Grey images (samples, height, width) of 0 to 255 as 0 and 1, drawn: a grey value is a probability."""
    grey = np.float32(images)[..., None] / 255
    return np.float32(np.random.default_rng(seed).random(grey.shape) < grey)


def example():
    """A masked convolution by Keras and by ours, and all pictures of 2 × 2 pixels with their probabilities."""
    x = np.float32(np.random.default_rng(0).integers(0, 2, (1, 4, 4, 1)))
    layer = MaskedConv2D(2, 3, "A")
    ours = layer(x)
    by_keras = keras.layers.Conv2D(2, 3, padding="same")
    by_keras.build(x.shape)
    by_keras.set_weights([np.concatenate([layer.kernel * layer.mask, np.zeros((1, 3, 1, 2))]), layer.bias])
    print("largest difference to Keras's convolution:", float(np.abs(ours - by_keras(x)).max()))
    pictures = np.float32((np.arange(16)[:, None] >> np.arange(4)) & 1).reshape(-1, 2, 2, 1)
    model = build_pixel_cnn(filters=4, layers=1, first_size=3)
    print("16 probabilities add up to", np.exp(log_likelihood(pictures, model)).sum())
    known = np.array([[True, True], [False, False]])
    print("second rows for a first row of ones:", complete(np.ones((3, 2, 2, 1)), known, model)[:, 1, :, 0].tolist())


def lesson(
    report,
    *,
    images: int = 40000,
    epochs: int = 1,
    filters: int = 24,
    new_images: int = 10000,
    drawn: int = 8,
    seed: int = 0,
):
    """Look where a pixel looks, add up probabilities, learn digits, and complete halves.

    Args:
        report: The report to write to.
        images: Digits to learn from (64 to 50000).
        epochs: Passes over them (1 to 1000).
        filters: Channels of the hidden layers (1 to 512).
        new_images: New digits whose likelihood is computed (20 to 10000).
        drawn: New digits whose lower half is drawn, and digits drawn from nothing (2 to 10).
        seed: Seed of all random draws (0 to 4294967295).
    """
    seen = _where_a_pixel_looks(report, seed)
    _probabilities_add_up(report, seed)
    model, new = _learn(report, images, epochs, filters, new_images, seed)
    _draw(report, model, new, seen, drawn, seed)


def _where_a_pixel_looks(report, seed, size=9):
    """The gradient of the middle pixel's logit, in a network deep enough to reach every corner."""
    model = build_pixel_cnn(16, size - 1, first_size=3, seed=(seed, 1))
    noise = np.random.default_rng((seed, 2)).integers(0, 2, (16, size, size, 1))
    gradient = input_gradients(model, noise, size // 2, size // 2)
    row, column = np.indices((size, size)) - size // 2
    later = (row > 0) | (row == 0) & (column >= 0)
    report.check("gradient at the pixel itself and at all later ones", np.abs(gradient[later]).max(), 0.0, atol=0)
    blind = ~later & (column > -row)  # each layer goes a pixel to the right only where it goes a row up
    report.check("gradient in the blind spot, above to the right", np.abs(gradient[blind]).max(), 0.0, atol=0)
    report.check("all other earlier pixels count", int(np.sum(gradient > 0)), int(np.sum(~later & ~blind)))
    return np.where(later, 0, np.where(gradient > 0, 2, 1))


def _probabilities_add_up(report, seed):
    pictures = np.float32((np.arange(512)[:, None] >> np.arange(9)) & 1).reshape(-1, 3, 3, 1)
    right, wrong = (
        np.exp(log_likelihood(pictures, build_pixel_cnn(8, first_mask=mask, seed=(seed, 3)))).sum() for mask in "AB"
    )
    report.check("probabilities of all 512 pictures of 3 × 3 pixels add up to", right, 1.0, rtol=1e-5)
    label = "where a pixel sees itself (mask B first) they do not: distance of the sum from 1"
    report.at_least(label, got=abs(wrong - 1), bound=1e-3)


def _learn(report, images, epochs, filters, new_images, seed, batch_size=32):
    (x, _), _ = data.mnist()
    x, new = binarize(x[:images], (seed, 4)), binarize(x[-new_images:], (seed, 5))
    model = build_pixel_cnn(filters, seed=(seed, 6))
    steps = epochs * -(-len(x) // batch_size)
    rate = keras.optimizers.schedules.CosineDecay(5e-4, steps, 1e-2, warmup_target=5e-3, warmup_steps=steps // 20 + 1)
    model.compile(keras.optimizers.Adam(rate), keras.losses.BinaryCrossentropy(from_logits=True))
    training.fit(model, x, x, batch_size=batch_size, epochs=epochs, seed=seed, track=report.track)
    nats = -log_likelihood(new, model)
    report.at_most("−ln p of a new image, nats", got=nats.mean(), bound=95.0, trained=True)
    ours = float(nats.mean()), float(nats.std() / np.sqrt(len(nats)))
    rows = [
        ["variational autoencoder, as its lesson checks", "a bound on −ln p, at most", 105.0],
        [f"this network, {model.count_params():,} weights, {epochs} epoch{'s' * (epochs > 1)}", "−ln p", ours],
        ["PixelCNN, published", "−ln p", 81.3],
    ]
    report.table("binarized MNIST, nats an image", ["model", "what is computed", "nats"], rows)
    report.note(
        "Other than the published network, this one is told where a pixel lies. The autoencoder learnt from grey "
        "images and the published network from another draw of pixels, so a nat more or less says nothing."
    )
    return model, new


def _draw(report, model, new, seen, drawn, seed):
    known = np.zeros((28, 28), bool)
    known[:14] = True
    upper = new[:drawn] * known[..., None]
    completed = complete(np.tile(upper, (3, 1, 1, 1)), known, model, (seed, 7)).reshape(3, *upper.shape)
    report.check("the known half stays", completed[:, :, :14], np.stack([upper[:, :14]] * 3), atol=0)
    different = np.mean(np.any(completed[0] != completed[1], axis=(1, 2, 3)))
    report.at_least("two completions of one half differ, share", got=different, bound=0.8, trained=True)
    pictures = [new[:drawn], upper, *completed, sample_pixels(model, drawn, seed=seed)]
    figure, (left, right) = plots.subplots(1, 2, figsize=(11, 5), width_ratios=(1, 1.5))
    middle = len(seen) // 2
    left.imshow(seen, cmap="cividis", vmin=-1, vmax=2)
    left.grid(False)
    for column, row, text in ((middle, middle, "x"), (2, 2, "seen"), (7, 3, "blind"), (middle, 6.5, "later")):
        left.text(column, row, text, ha="center", va="center", color="black" if text == "seen" else "white")
    left.set(xlabel="column", ylabel="row", title="What the prediction\nof x depends on")
    names = ["new images", "upper half", "completed", "again", "and again", "drawn from\nnothing"]
    plots.tiles(np.stack(pictures), right, names, low=0)
    right.set_title("Lower halves drawn pixel by pixel")
    report.figure(
        "What a pixel sees, and halves completed",
        figure,
        alt="Left: pixels around x; those below and to its right are later, a wedge above to the right is blind, the "
        "others are seen. Right: new digits, their upper halves, three completions of each, digits from nothing.",
    )
