"""Local response normalization makes channels at one place compete: the louder the neighbours, the quieter each.

AlexNet divides every answer by a power of what itself and its neighbouring channels answer at the same place. The layer
is built from shifted sums of squares and equals TensorFlow's, whose argument names and defaults are not the paper's.

Notes: chapter 07, "AlexNet" (AlexNet 网络).
Source: Krizhevsky, Sutskever, Hinton 2012,
https://papers.nips.cc/paper/2012/hash/c399862d3b9d6b76c8436e924a68c45b-Abstract.html, section 3.3;
https://www.tensorflow.org/api_docs/python/tf/nn/local_response_normalization
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.parts import floating, shape, whole

SMOKE = {"channels": 5}
SECONDS = 1


def local_response_normalization(x, size=5, k=2.0, alpha=1e-4, beta=0.75):
    """Divide every channel by a power of what itself and its neighbours answer at the same place.

    `tf.nn.local_response_normalization` does the same with `depth_radius=size // 2` and `bias=k`; the other two keep
    their names. TensorFlow's own defaults (radius 5, bias 1, alpha 1, beta 0.5) are not the paper's.

    Args:
        x: Tensor (batch, height, width, channels).
        size: Number n of neighbouring channels, odd; at the first and the last channel there are fewer.
        k, alpha, beta: Constants of the denominator (k + alpha * sum of squares) ** beta.

    Returns:
        Tensor of the same shape.

    Raises:
        ValueError: If `size` is not odd, or `x` does not have four axes.

    Source: Krizhevsky et al. 2012, section 3.3.
    """
    if whole("size", size) % 2 == 0:
        raise ValueError(f"size: expected an odd number of channels, got {size!r}")
    x = shape("x", floating("x", x), None, None, None, None)
    channels, reach = x.shape[-1], size // 2
    squares = tf.pad(tf.square(x), ((0, 0), (0, 0), (0, 0), (reach, reach)))
    total = tf.add_n(
        [squares[..., shift : shift + channels] for shift in range(size)]
    )  # (batch, height, width, channels)
    return x / (k + alpha * total) ** beta


@keras.saving.register_keras_serializable("kerasnotes")
class LocalResponseNormalization(keras.layers.Layer):
    """The layer form of `local_response_normalization`, with the paper's constants. It has no weights."""

    def call(self, x):
        return tf.nn.local_response_normalization(x, depth_radius=2, bias=2.0, alpha=1e-4, beta=0.75)


def example():
    """Seven channels at one place, one of them loud: TensorFlow's call and ours."""
    x = tf.constant([1.0, 2.0, 3.0, 100.0, 3.0, 2.0, 1.0])[None, None, None, :]  # (batch, height, width, channels)
    theirs = tf.nn.local_response_normalization(x, depth_radius=2, bias=2.0, alpha=1e-4, beta=0.75)
    print("TensorFlow:", np.round(np.ravel(theirs), 3))
    print("ours:      ", np.round(np.ravel(local_response_normalization(x)), 3))
    print("the layer: ", np.round(np.ravel(LocalResponseNormalization()(x)), 3))
    print("TensorFlow's defaults (radius 5, bias 1, alpha 1, beta 0.5) are others:")
    print("           ", np.round(np.ravel(tf.nn.local_response_normalization(x)), 3))


def lesson(report, *, channels: int = 7, seed: int = 0):
    """The formula against TensorFlow, and what a loud channel does to its neighbours.

    Args:
        report: The report to write to.
        channels: Channels of the random answers (1 to 1000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _normalization(report, np.random.default_rng((seed, 3)), channels)
    report.figure(
        "A loud channel quietens its neighbours",
        _figure(report),
        alt="Answers of four channels against the answer of one of them. As it grows, it flattens out itself, and the "
        "two nearest channels fall; the channel three places away stays as it is.",
    )


def _normalization(report, rng, channels):
    x = tf.constant(10 * rng.standard_normal((2, 3, 3, channels)), tf.float32)
    library = tf.nn.local_response_normalization(x, depth_radius=2, bias=2.0, alpha=1e-4, beta=0.75)
    ours = local_response_normalization(x)
    report.check("normalization across channels equals tf.nn's (depth_radius 2, bias 2)", got=ours, want=library)
    report.check("and the layer's", got=LocalResponseNormalization()(x), want=library)
    one = local_response_normalization(tf.constant(100.0, shape=(1, 1, 1, 1)))
    report.check("a lone answer of 100 becomes 100 / (2 + 1) ** 0.75", got=float(one[0, 0, 0, 0]), want=100 / 3**0.75)


def _figure(report):
    loud = np.linspace(0, 500, 51)
    x = np.full((1, 1, len(loud), 7), 50.0)
    x[..., 3] = loud
    y = local_response_normalization(x)[0, 0].numpy()  # (answers of channel 3, channels)
    report.check("a channel three places away does not notice", y[:, 0], np.full(len(loud), y[0, 0]))
    report.at_most("a neighbour only falls as the loud one grows: largest step", np.diff(y[:, 2]).max(), 0.0)
    series = {"the channel itself": y[:, 3], "one place away": y[:, 2], "two places away": y[:, 1],
              "three places away": y[:, 0]}  # fmt: skip
    labels = {"xlabel": "answer of channel 3 before", "ylabel": "answers after"}
    return plots.curves(loud, series, title="All other channels answer 50", **labels)
