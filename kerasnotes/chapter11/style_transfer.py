"""Style is which features occur together, wherever; a picture can take that from one and its form from another.

A trained network turns a picture into maps of features. Their products, summed over all places, make the Gram matrix.
What the reader should see: shuffled places leave it as it was, so that it says what there is and not where; matching
Gram matrices makes two pictures alike as clouds of features; and digits in the look of stripes, dots and rings, found
by descent on the pixels of a picture while the network stays as it is. The weight of the style decides: another
classifier, which had no part in it, reads most digits at a small weight and fewer at a large one.

Notes: chapter 11, "Style transfer" (风格迁移).
Source: Gatys et al. 2016, doi:10.1109/CVPR.2016.265 (losses and their derivatives), first as arXiv:1508.06576;
Li et al. 2017, arXiv:1701.01036 (what matching Gram matrices compares).
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots, training
from kerasnotes.chapter07.lenet import build_lenet5
from kerasnotes.chapter11.judge import classify, trained_classifier
from kerasnotes.parts import floating, positive, shape, whole

SMOKE = {"images": 128, "classifier_images": 512, "digits": 3, "steps": 3, "weights": (1e4, 3e4, 1e5)}
SECONDS = 8


def gram_matrix(features):
    """Products of any two features at one place, summed over all places.

    Args:
        features: Tensor (batch, height, width, filters).

    Returns: Tensor (batch, filters, filters), symmetric.

    Raises: ValueError: If there are not four axes, or no numbers.

    Source: Gatys et al. 2016, doi:10.1109/CVPR.2016.265 (style representation).
    """
    features = shape("features", floating("features", features), None, None, None, None)
    return tf.einsum("bhwi,bhwj->bij", features, features)


def style_loss(features, gram):
    """How far a picture's features are from a style: squared distance of Gram matrices over 4 · filters² · places².

    Args:
        features: Tensor (batch, height, width, filters).
        gram: Gram matrices of the style (batch, filters, filters), from equally many places.

    Returns: Tensor (batch,).

    Raises: ValueError: If the shapes do not fit.

    Source: Gatys et al. 2016, doi:10.1109/CVPR.2016.265 (style representation).
    """
    difference, scale = _difference(features, gram)
    return tf.reduce_sum(difference**2, axis=(1, 2)) / (4 * scale)


def style_gradient(features, gram):
    """The slope of `style_loss` with the features, by the published formula: F (G − A) over filters² · places².

    Args:
        features, gram: As in `style_loss`.

    Returns: Tensor (batch, height, width, filters).

    Raises: ValueError: If the shapes do not fit.

    Source: Gatys et al. 2016, doi:10.1109/CVPR.2016.265 (there 0 where a feature is below 0, as ReLU has it).
    """
    difference, scale = _difference(features, gram)
    return tf.einsum("bhwi,bij->bhwj", floating("features", features), difference) / scale


def _difference(features, gram):
    own = gram_matrix(features)
    _, height, width, filters = features.shape
    return own - shape("gram", floating("gram", gram), *own.shape), float(filters * height * width) ** 2


def content_loss(features, target):
    """Half of the squared distance of two pictures' features, place by place.

    Args:
        features, target: Tensors (batch, height, width, filters).

    Returns: Tensor (batch,).

    Raises: ValueError: If the shapes differ.

    Source: Gatys et al. 2016, doi:10.1109/CVPR.2016.265, equations 1 and 2 (its slope is the difference).
    """
    features = shape("features", floating("features", features), None, None, None, None)
    return tf.reduce_sum((features - shape("target", floating("target", target), *features.shape)) ** 2, (1, 2, 3)) / 2


def feature_maps(model, names):
    """The part of a network that gives the outputs of some layers.

    Args:
        model: A `keras.Model` of pictures.
        names: Names of layers; each gives (batch, height, width, filters).

    Returns: A model with a list of outputs, on the same weights.

    Raises: ValueError: If a name is no layer's, or there is none.
    """
    if not names or isinstance(names, str):
        raise ValueError(f"names: expected names of layers, at least one, got {names!r}")
    return keras.Model(model.inputs[0], [model.get_layer(name).output for name in names])


def transfer(content, style, layers, steps, style_weight=3e4, learning_rate=0.05):
    """Give pictures the style of others, by descent on their pixels; the network does not change.

    Args:
        content: Pictures (batch, height, width, channels) to start from and to stay like, values from 0 to 1.
        style: Pictures of the same shape whose style is wanted, one for each.
        layers: Callable from pictures to a list of feature maps, as `feature_maps` makes it. Styles are compared in all
            of them, contents in the last.
        steps: Steps of Adam; after each, pixels beyond 0 and 1 are set to 0 and 1.
        style_weight: Weight of the style's loss beside the content's: a number, or numbers (batch,).
        learning_rate: Of Adam.

    Returns: `(pictures, losses)`: float32 as `content`, and (steps + 1, 2, batch): the losses of style and of content
        before each step and in the end.

    Raises: ValueError: If the shapes differ, or a number is out of range.

    Source: Gatys et al. 2016, doi:10.1109/CVPR.2016.265 (there by L-BFGS, with a network of 19 layers).
    """
    whole("steps", steps), positive("learning_rate", learning_rate)
    content = shape("content", tf.cast(floating("content", content), tf.float32), None, None, None, None)
    style = shape("style", tf.cast(floating("style", style), tf.float32), *content.shape)
    weights = [positive("style_weight", float(each)) for each in np.ravel(style_weight)]
    weights = tf.constant(np.broadcast_to(np.float32(weights), len(content)))
    grams, target = [gram_matrix(maps) for maps in layers(style)], layers(content)[-1]
    pictures, optimizer = tf.Variable(content), keras.optimizers.Adam(learning_rate)
    optimizer.build([pictures])

    def losses():
        maps = layers(pictures)
        styles = tf.add_n([style_loss(each, gram) for each, gram in zip(maps, grams, strict=True)])
        return tf.stack([styles, content_loss(maps[-1], target)])  # (2, batch)

    @tf.function(autograph=False)
    def descend():
        def step(i, history):
            with tf.GradientTape() as tape:
                found = losses()
                total = tf.reduce_sum(weights * found[0] + found[1])  # pictures do not touch each other
            optimizer.apply(tape.gradient(total, [pictures]), [pictures])
            pictures.assign(tf.clip_by_value(pictures, 0, 1))
            return i + 1, history.write(i, found)

        history = tf.TensorArray(tf.float32, steps)
        return tf.while_loop(lambda i, _: i < steps, step, (0, history), parallel_iterations=1)[1].stack()

    history = descend().numpy()
    return pictures.numpy(), np.concatenate([history, losses().numpy()[None]])


def textures(size=32):
    """Four patterns in black and white: oblique stripes, level stripes, dots and rings, float32 (4, size, size, 1)."""
    row, column = np.mgrid[: whole("size", size), :size]
    middle = (size - 1) / 2
    rings = np.hypot(row - middle, column - middle) % 5 < 2.5
    return np.float32([(row + column) % 5 < 2, row % 4 < 2, (row % 4 < 2) & (column % 4 < 2), rings])[..., None]


def example():
    """Two features at six places by hand, a shuffled picture, Keras's tape, and a small transfer."""
    features = np.float32([[1, 0, 2, 0, 1, 0], [0, 3, 1, 0, 1, 0]]).T.reshape(1, 2, 3, 2)
    print("Gram matrix:", gram_matrix(features)[0].numpy().tolist(), "of its mirror image:",
          gram_matrix(features[:, :, ::-1])[0].numpy().tolist())  # fmt: skip
    wanted = np.float32([[[6, 0], [0, 11]]])
    with tf.GradientTape() as tape:
        variable = tf.Variable(features)
        loss = style_loss(variable, wanted)
    print("style loss:", loss.numpy(), "= 18 / (4 · 2² · 6²)")
    print("slope by the tape:   ", tape.gradient(loss, variable)[0, 0, 2].numpy())
    print("slope by the formula:", style_gradient(features, wanted)[0, 0, 2].numpy())
    layers = feature_maps(build_lenet5(), ["C1", "C3"])  # without training, styles are random projections
    pictures, losses = transfer(np.full((4, 32, 32, 1), 0.5), textures(), layers, 5)
    print("transferred:", pictures.shape, "style loss left:", (losses[-1, 0] / losses[0, 0]).round(2))


def lesson(
    report,
    *,
    images: int = 8000,
    classifier_images: int = 60000,
    digits: int = 16,
    steps: int = 100,
    weights: tuple[float, ...] = (3e3, 1e4, 3e4, 1e5, 1e6),
    seed: int = 0,
):
    """See what a Gram matrix keeps, then draw digits in four styles at several weights.

    Args:
        report: The report to write to.
        images: Digits that LeNet-5 learns from, each seen twice (64 to 60000).
        classifier_images: Digits that the judging classifier learns from (64 to 60000).
        digits: Test digits that get a style (1 to 1000).
        steps: Steps of the descent (1 to 100000).
        weights: Weights of the style; the figure shows the last but one (1 to 1000000000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    (x, y), (x_test, y_test) = data.mnist()
    rng = np.random.default_rng((seed, 1))
    order, chosen = rng.permutation(len(x))[:images], rng.permutation(len(x_test))[:digits]
    model = build_lenet5(width=2.0, seed=seed)
    model.compile(keras.optimizers.Adam(2e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    training.fit(model, _padded(x[order]), np.int32(y[order]), batch_size=64, epochs=2, seed=seed, track=report.track)
    layers, content, labels = feature_maps(model, ["C1", "C3"]), _padded(x_test[chosen]), y_test[chosen]
    _forgets_places(report, rng, layers(content)[-1])
    _slopes(report, rng)
    _clouds(report, rng)
    judge = trained_classifier(data.mnist, training.fit, classifier_images, 4, seed)
    pictures, rows = _transfers(report, content, labels, layers, judge, steps, weights)
    _figure(report, content, pictures, rows)


def _padded(digits):
    return np.pad(np.float32(digits) / 255, ((0, 0), (2, 2), (2, 2)))[..., None]  # (samples, 32, 32, 1)


def _shuffled(features, rng):
    """The same features at other places, in one order for all pictures."""
    batch, height, width, filters = features.shape
    places = np.reshape(features, (batch, height * width, filters))
    return places[:, rng.permutation(height * width)].reshape(features.shape)


def _forgets_places(report, rng, maps):
    features = np.float32(rng.integers(-9, 10, (20, 5, 6, 4)))  # whole numbers: sums are exact in any order
    report.check("Gram matrices of shuffled features: the same to the last digit",
                 gram_matrix(_shuffled(features, rng)), gram_matrix(features), rtol=0, atol=0)  # fmt: skip
    shuffled, nothing = _shuffled(maps.numpy(), rng), tf.zeros_like(maps)
    style = style_loss(shuffled, gram_matrix(maps)) / style_loss(nothing, gram_matrix(maps))
    report.at_most("digits' features, shuffled: style loss over that of no features", np.max(style), 1e-8)
    form = content_loss(shuffled, maps) / content_loss(nothing, maps)
    report.at_least("and content loss over that of no features", np.min(form), 0.3)


def _slopes(report, rng):
    features, others = (tf.constant(rng.normal(size=(3, 4, 5, 6)), tf.float32) for _ in range(2))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(features)
        losses = style_loss(features, gram_matrix(others)), content_loss(features, others)
    report.check("slope of the style loss: the published formula", tape.gradient(losses[0], features),
                 style_gradient(features, gram_matrix(others)), rtol=1e-3, atol=1e-6)  # fmt: skip
    report.check("slope of the content loss: the difference", tape.gradient(losses[1], features), features - others,
                 rtol=1e-4, atol=1e-6)  # fmt: skip


def _clouds(report, rng):
    """Two sets of points are compared by the mean of a kernel k(f, g) = (f · g)² within and between them."""
    f, g = rng.normal(size=(2, 30, 4))  # 30 places, 4 filters
    within, between = (f @ f.T) ** 2 + (g @ g.T) ** 2, (f @ g.T) ** 2
    loss = style_loss(f.reshape(1, 5, 6, 4), gram_matrix(g.reshape(1, 5, 6, 4)))[0]
    report.check("style loss · 4 · filters²: distance of two clouds of features, by the kernel (f · g)²",
                 loss * 4 * 4**2, np.mean(within) - 2 * np.mean(between), rtol=1e-6)  # fmt: skip


def _transfers(report, content, labels, layers, judge, steps, weights):
    """Every digit in every style at every weight, all in one descent: pictures (weights, digits, styles, 32, 32, 1)."""
    styles, sizes = textures(), (len(weights), len(content), 4)
    start = np.tile(np.repeat(content, len(styles), axis=0), (len(weights), 1, 1, 1))
    wanted = np.tile(styles, (len(weights) * len(content), 1, 1, 1))
    pictures, losses = transfer(start, wanted, layers, steps, np.repeat(weights, len(content) * len(styles)))
    read = classify(judge, 2 * pictures[:, 2:-2, 2:-2] - 1)[1].argmax(axis=1).reshape(sizes) == labels[:, None]
    first, last = losses[[0, -1], 0].reshape(2, *sizes).mean(axis=2)  # of the style, (weights, styles)
    rows = np.transpose([weights, (last / first).mean(axis=1), read.mean(axis=(1, 2))]).tolist()
    plain = np.mean(classify(judge, 2 * content[:, 2:-2, 2:-2] - 1)[1].argmax(axis=1) == labels)
    report.table("test digits in four styles",
                 ["weight of the style", "style loss left of the digit's", "digits that another classifier reads"],
                 [["the digits themselves", 1.0, float(plain)], *rows])  # fmt: skip
    (_, lightest, _), (_, left, share), (_, heaviest, lost) = rows[0], rows[len(rows) // 2], rows[-1]
    report.at_most("middle weight: style loss left", left, 0.5, trained=True)
    report.at_least("middle weight: digits read", share, 0.75, trained=True)
    report.at_most("style loss left by the largest weight over the smallest", heaviest / lightest, 0.5, trained=True)
    report.at_least("digits read, lost from the middle weight to the largest", share - lost, 0.2, trained=True)
    return pictures.reshape(*sizes, *content.shape[1:]), rows


def _figure(report, content, pictures, rows):
    figure, (left, right) = plots.subplots(1, 2, figsize=(11, 4.8), width_ratios=(1, 1.25))
    shown = np.concatenate([textures()[None], pictures[-2:][0][:5]])  # (1 + digits, styles, 32, 32, 1)
    first = np.concatenate([np.zeros((1, 32, 32, 1)), content[:5]])[:, None]  # an empty corner, the digits below it
    plots.tiles(np.hstack([first, shown]), left, low=0.0)
    left.set_title(f"Digits in four styles, weight {rows[-2:][0][0]:,.0f}")
    weights, style, read = np.transpose(rows)
    series = {"style loss left": style, "digits that another classifier reads": read}
    plots.curves(weights, series, xlabel="weight of the style", ylabel="share", xscale="log", marker="o",
                 title="More style, less digit", ax=right)  # fmt: skip
    right.set_ylim(0, 1.05)
    report.figure("Digits in four styles", figure, alt="Five digits in stripes, dots and rings; with the weight of "
                  "the style, its loss and the share of digits read fall.")  # fmt: skip
