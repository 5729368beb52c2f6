"""Attention can be a convolution: one head for each place of the kernel, which looks at one relative position only.

A head's scores may depend on where a key lies, seen from the query. A quadratic score with its top at one offset turns,
when it is made steep, into a look at that one neighbour; nine such heads are a 3 × 3 convolution. What the reader
should see: the difference falls by a factor of e for each unit of steepness, down to rounding; a picture that comes
into focus; and what plain self-attention, without positions, cannot do: it commutes with every shuffling of pixels.

Notes: chapter 13, "Self-attention and CNN" (自注意力与CNN).
Source: Cordonnier, Loukas, Jaggi 2020, arXiv:1911.03584, theorem 1, lemmas 1 and 2.
"""

import numpy as np
import tensorflow as tf

from kerasnotes import data, plots
from kerasnotes.chapter13.attention import attention_weights, dot_attention
from kerasnotes.parts import positive, shape, whole

SMOKE = {"size": 6}
SECONDS = 1


def relative_positions(height, width):
    """Where each pixel lies, seen from each pixel: key minus query, rows and columns.

    Args:
        height, width: Size of the picture; pixels are counted row by row.

    Returns:
        Array (height·width, height·width, 2), float64.
    """
    place = np.indices((whole("height", height), whole("width", width))).reshape(2, -1).T.astype(float)
    return place - place[:, None]  # (query, key, 2)


def quadratic_encoding(height, width):
    """What the scores are made of: (‖δ‖², δ₁, δ₂) for each relative position δ; (height·width, height·width, 3)."""
    relative = relative_positions(height, width)
    return np.concatenate([(relative**2).sum(axis=-1, keepdims=True), relative], axis=-1)


def attention_vector(offset, alpha):
    """Three numbers that make the encoding a score with its top at an offset: -α(1, -2Δ₁, -2Δ₂).

    Args:
        offset: Row and column of the neighbour Δ to look at, from the query.
        alpha: How steeply the score falls around it, a positive number.

    Returns:
        Array (3,). Encoding times vector is -α‖δ - Δ‖² and a constant, α‖Δ‖², which a softmax does not see.

    Source: Cordonnier et al. 2020, lemma 2.
    """
    offset = shape("offset", np.asarray(offset, float), 2)
    return -positive("alpha", alpha) * np.array([1.0, *(-2 * offset)])


def offset_attention(height, width, offset, alpha):
    """Weights (pixels, pixels) of a head that looks at one neighbour; beyond the border, at the nearest pixel."""
    scores = quadratic_encoding(height, width) @ attention_vector(offset, alpha)
    return attention_weights(scores).numpy()


def convolution_as_attention(x, w, alpha):
    """A convolution by heads of attention, one for each place of the kernel.

    Args:
        x: Pictures (batch, height, width, inputs), float64.
        w: Kernel (rows, columns, inputs, outputs) of odd size, as `tf.nn.conv2d` takes it.
        alpha: How steeply each head's score falls around its neighbour.

    Returns:
        Array (batch, height, width, outputs): as α grows, the convolution of the edge-padded picture.

    Raises:
        ValueError: If shapes do not fit, or the kernel's size is even.

    Source: Cordonnier et al. 2020, theorem 1.
    """
    x = shape("x", np.asarray_chkfinite(x, np.float64), None, None, None, None)
    batch, height, width, inputs = x.shape
    w = shape("w", np.asarray_chkfinite(w, np.float64), None, None, inputs, None)
    rows, columns = w.shape[:2]
    if rows % 2 == 0 or columns % 2 == 0:
        raise ValueError(f"w: expected a kernel of odd size, got {rows} × {columns}")
    pixels, total = x.reshape(batch, height * width, inputs), 0.0
    for row in range(rows):
        for column in range(columns):
            offset = row - rows // 2, column - columns // 2
            weights = offset_attention(height, width, offset, alpha)  # (pixels, pixels)
            total = total + weights @ pixels @ w[row, column]  # what the head sees, times its share of the output map
    return total.reshape(batch, height, width, -1)


def example():
    """One row of pixels; a kernel that takes the right neighbour minus the left one."""
    x = np.array([1.0, 2.0, 4.0, 8.0]).reshape(1, 1, 4, 1)  # (batch, height, width, channels)
    w = np.array([-1.0, 0.0, 1.0]).reshape(1, 3, 1, 1)  # (rows, columns, inputs, outputs)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (0, 0)), mode="edge")
    print("tf.nn.conv2d:", tf.nn.conv2d(padded, w, 1, "VALID").numpy().ravel())
    for alpha in (1, 3, 10, 40):
        print(f"heads, α = {alpha:2}:", convolution_as_attention(x, w, alpha).ravel().round(4))
    print("weights of the right neighbour's head, α = 3:")
    print(offset_attention(1, 4, (0, 1), 3).round(3))


def lesson(report, *, size: int = 10, seed: int = 0):
    """Build convolutions of heads, measure how fast they agree, and shuffle pixels.

    Args:
        report: The report to write to.
        size: Height of the random pictures, and their width less one (4 to 32).
        seed: Seed of all random draws (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    x, w = rng.normal(size=(2, size, size + 1, 3)), rng.normal(size=(3, 3, 3, 4))
    _scores(report, size)
    _agreement(report, x, w)
    _taps(report, x, w)
    _shuffled(report, rng, x, w)
    _parameters(report)
    _focus(report)


def _edge(x, w):
    margins = [(0, 0), *((side // 2, side // 2) for side in w.shape[:2]), (0, 0)]
    return tf.nn.conv2d(np.pad(x, margins, mode="edge"), w, 1, "VALID").numpy()


def _scores(report, size):
    gaps = []
    for offset in ((0, 0), (-1, 1), (2, 0)):
        score = quadratic_encoding(size, size) @ attention_vector(offset, 3.0)
        distance = ((relative_positions(size, size) - offset) ** 2).sum(axis=-1)
        gaps.append(score + 3.0 * distance - 3.0 * np.sum(np.square(offset)))
    report.check("encoding times vector: -α‖δ - Δ‖² and the constant α‖Δ‖²", gaps, np.zeros_like(gaps), atol=1e-9)


def _agreement(report, x, w):
    want, alphas = _edge(x, w), (1, 2, 5, 10, 12, 14, 16, 18, 20, 40)
    gaps = [float(np.abs(convolution_as_attention(x, w, alpha) - want).max()) for alpha in alphas]
    found = dict(zip(alphas, gaps, strict=True))
    report.at_most("α = 20: largest difference from tf.nn.conv2d on the edge-padded picture", found[20], 1e-5)
    report.at_most("α = 40: largest difference", found[40], 1e-12)
    inside = tf.nn.conv2d(x, w, 1, "VALID").numpy()
    report.check("α = 40, inside the border: tf.nn.conv2d, VALID", convolution_as_attention(x, w, 40)[:, 1:-1, 1:-1],
                 inside, rtol=0, atol=1e-12)  # fmt: skip
    steep = [alpha for alpha in alphas if 10 <= alpha <= 20]
    slope = np.polyfit(steep, [np.log(found[alpha]) for alpha in steep], 1)[0]
    # The nearest wrong pixel is one step away: its weight is e^-α of the right one's.
    report.check("the difference's logarithm, for each unit of α from 10 to 20", slope, -1.0, rtol=0, atol=0.05)
    report.table("3 × 3, 3 to 4 channels", ["α", "largest difference"], [[alpha, gap] for alpha, gap in found.items()])


def _taps(report, x, w):
    without = w.copy()
    without[0, 2] = 0
    share = convolution_as_attention(x, w, 40) - convolution_as_attention(x, without, 40)
    report.check("one head left out: its tap's share is missing", share, _edge(x, w - without), atol=1e-9)


def _shuffled(report, rng, x, w):
    batch, height, width, channels = x.shape
    order = rng.permutation(height * width)

    def shuffle(pictures):
        return pictures.reshape(batch, height * width, -1)[:, order].reshape(batch, height, width, -1)

    def attention(pictures):  # without positions
        pixels = tf.constant(pictures.reshape(batch, height * width, channels))
        return dot_attention(pixels, pixels, pixels)[0].numpy().reshape(batch, height, width, channels)

    report.check("self-attention without positions: shuffled pixels, shuffled output", attention(shuffle(x)),
                 shuffle(attention(x)), atol=1e-9)  # fmt: skip
    gap = np.abs(_edge(shuffle(x), w) - shuffle(_edge(x, w))).max()
    report.at_least("a convolution: largest difference", gap, 0.1)
    report.correction("CNN and self-attention", course="A CNN is a special case of self-attention.",
                      correct="With relative positions, a head for each place of the kernel, and scores steep enough "
                      "to choose one pixel. Self-attention without positions cannot be a convolution: it commutes with "
                      "every order of the pixels.", shown_by="the construction; one shuffling of pixels")  # fmt: skip


def _parameters(report):
    rows = []
    for size, inputs, outputs in ((3, 3, 4), (3, 64, 64), (5, 16, 32)):
        kernel = size**2 * inputs * outputs
        rows.append([f"{size} × {size}, {inputs} to {outputs}", size**2, kernel, kernel + 3 * size**2])
    report.table(
        "numbers to learn, without biases", ["layer", "heads", "convolution", "heads with 3 for a position"], rows
    )


def _focus(report):
    (pictures, _), _ = data.fashion_mnist()
    x = pictures[0][None, ..., None] / 255.0
    w = np.array([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])[..., None, None]  # Sobel's, for upright edges
    alphas = (0.1, 0.5, 2, 10)
    shown = [x, *(convolution_as_attention(x, w, alpha) for alpha in alphas), _edge(x, w)]
    figure, axes = plots.subplots(2, 6, figsize=(12, 4.6))
    names = ("picture", *(f"α = {alpha:g}" for alpha in alphas), "tf.nn.conv2d")
    for ax, picture, name in zip(axes[0], shown, names, strict=True):
        plots.bare_picture(picture[0, ..., 0] / np.abs(picture).max(), ax)
        ax.set_title(name, fontsize=11)
    middle = np.zeros((28, 28))
    middle[14, 14] = 1
    plots.bare_picture(middle, axes[1, 0], low=0)
    axes[1, 0].set_title("the query", fontsize=11)
    for ax, alpha in zip(axes[1, 1:5], alphas, strict=True):
        head = offset_attention(28, 28, (-1, 1), alpha)[14 * 28 + 14].reshape(28, 28)
        plots.bare_picture(head / head.max(), ax, low=0)
        ax.set_title("one head's weights", fontsize=11)
    axes[1, 5].axis("off")
    report.figure("A convolution comes into focus", figure,
                  alt="A piece of clothing, its upright edges by heads of growing steepness and by a convolution, "
                  "until both are alike. Below, one head's weights shrink to a pixel.")  # fmt: skip
