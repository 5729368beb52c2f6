"""A residual block has to learn only what changes: with a branch of zeros it passes its input on.

What the reader should see: relu(shortcut + branch) is the identity for what is not negative, and the order of layers
that came a year later is the identity for everything. Plain layers could do that too, as a pair of ReLUs shows; they
only do not start there.

Notes: chapter 07, "Deep residual networks" (深度残差网络).
Source: He et al. 2016, arXiv:1512.03385, figures 2 and 5; He et al. 2016, arXiv:1603.05027, figure 1.
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.parts import whole

SMOKE = {"largest": 2}
SECONDS = 2

EPSILON = 1.001e-5  # of batch normalization, as in Keras's ResNets


def residual_block(x, filters, stride=1, projection=None, bottleneck=False, *, seed=0):
    """Add a residual block: relu(shortcut(x) + branch(x)), batch normalization after every convolution.

    Args:
        x: Symbolic tensor (batch, height, width, channels).
        filters: Filters of the 3×3 convolutions.
        stride: Stride of the branch's first convolution, and of the shortcut.
        projection: What the shortcut is. True: a 1×1 convolution. False: the input, with `stride` skipped pixels and
            zeros for channels that are new. None: a 1×1 convolution only where the shapes ask for one, else the input.
            (Options C, A and B of the paper.)
        bottleneck: False for two 3×3 convolutions; True for 1×1, 3×3, and 1×1 with four times the filters.
        seed: Seed of the initial weights, or a NumPy generator that several blocks share.

    Returns:
        Symbolic tensor (batch, ⌈height / stride⌉, ⌈width / stride⌉, filters), or 4 · filters with `bottleneck`.

    Raises:
        ValueError: If an argument is out of range, or the input has more channels than an identity shortcut can keep.

    Source: He et al. 2016, arXiv:1512.03385, figure 5, in the order of layers of `keras.applications.ResNet50`.
    """
    whole("filters", filters), whole("stride", stride)
    rng = np.random.default_rng(seed)
    outputs = 4 * filters if bottleneck else filters
    if _projects(x, outputs, stride, projection):
        shortcut = batch_norm(he_convolution(x, outputs, 1, stride, rng))
    else:
        shortcut = _identity(x, outputs, stride)
    if bottleneck:
        branch = keras.layers.ReLU()(batch_norm(he_convolution(x, filters, 1, stride, rng)))
        branch = keras.layers.ReLU()(batch_norm(he_convolution(branch, filters, 3, 1, rng)))
        branch = batch_norm(he_convolution(branch, outputs, 1, 1, rng))
    else:
        branch = plain_branch(x, filters, stride, rng)
    return keras.layers.ReLU()(keras.layers.Add()([shortcut, branch]))


def preactivation_block(x, filters, stride=1, projection=None, *, seed=0):
    """Add a residual block without an outer ReLU: shortcut(x) + branch(x), normalization and ReLU before convolutions.

    Args and errors are those of `residual_block`; a 1×1 convolution in the shortcut sees the normalized input.

    Source: He et al. 2016, arXiv:1603.05027, figure 1b.
    """
    whole("filters", filters), whole("stride", stride)
    rng = np.random.default_rng(seed)
    active = keras.layers.ReLU()(batch_norm(x))
    if _projects(x, filters, stride, projection):
        shortcut = he_convolution(active, filters, 1, stride, rng)
    else:
        shortcut = _identity(x, filters, stride)
    branch = keras.layers.ReLU()(batch_norm(he_convolution(active, filters, 3, stride, rng)))
    return keras.layers.Add()([shortcut, he_convolution(branch, filters, 3, 1, rng)])


def he_convolution(x, filters, size, stride, rng, padding="same"):
    """A convolution whose weights start as He et al. 2015 propose, from a NumPy generator `rng`."""
    start = keras.initializers.HeNormal(seed=int(rng.integers(2**31)))
    return keras.layers.Conv2D(filters, size, strides=stride, padding=padding, kernel_initializer=start)(x)


def batch_norm(x):
    """Batch normalization with the constants of Keras's ResNets and a faster average."""
    return keras.layers.BatchNormalization(momentum=0.9, epsilon=EPSILON)(x)


def plain_branch(x, filters, stride, rng):
    """Two convolutions of 3 × 3 with batch normalization, and a ReLU between them."""
    x = keras.layers.ReLU()(batch_norm(he_convolution(x, filters, 3, stride, rng)))
    return batch_norm(he_convolution(x, filters, 3, 1, rng))


def _projects(x, outputs, stride, projection):
    return (stride > 1 or outputs != x.shape[-1]) if projection is None else projection


def _identity(x, outputs, stride):
    """The input without weights: every `stride`-th pixel, and zeros for new channels."""
    new = outputs - x.shape[-1]
    if new < 0:
        raise ValueError(f"projection: expected True or None for {x.shape[-1]} channels to {outputs}, got False")
    x = x[:, ::stride, ::stride] if stride > 1 else x
    return keras.ops.pad(x, [(0, 0), (0, 0), (0, 0), (0, new)]) if new else x


def example():
    """A block by Keras's layers, the same by the function, and what is left when the branch is zero."""
    layers = keras.layers
    inputs = keras.Input((8, 8, 4))
    branch = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same")(inputs)))
    branch = layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same")(branch))
    by_hand = keras.Model(inputs, layers.ReLU()(layers.Add()([inputs, branch])))
    ours = keras.Model(inputs, residual_block(inputs, filters=4))
    print("weights by hand:", by_hand.count_params(), "and by the function:", ours.count_params())
    ours.set_weights([np.zeros_like(weight) for weight in ours.get_weights()])
    x = np.random.default_rng(0).normal(size=(1, 8, 8, 4)).astype(np.float32)
    print("with zeros in the branch: largest change of |x|:", float(np.abs(ours(abs(x)) - abs(x)).max()))
    wider = keras.Model(inputs, residual_block(inputs, filters=8, stride=2))
    print("stride 2 and twice the channels:", wider(x).shape)


def lesson(report, *, largest: int = 6, seed: int = 0):
    """Zero branches, and how much of a picture is left after many blocks of small weights.

    Args:
        report: The report to write to.
        largest: Blocks or plain layers in the deepest stack of the figure (1 to 50).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _zero_branch(report, np.random.default_rng(seed))
    report.figure(
        "What is left of the input, block after block",
        _figure(report, largest, seed),
        alt="Correlation of the input with what comes out, by depth. Residual blocks keep it near one, the same layers "
        "without shortcuts lose it after the first.",
    )


def _zero_branch(report, rng):
    x = tf.constant(rng.normal(size=(2, 5, 5, 3)), tf.float32)
    inputs = keras.Input((5, 5, 3))
    outer, inner = (keras.Model(inputs, block(inputs, 3)) for block in (residual_block, preactivation_block))
    for block in (outer, inner):
        block.set_weights([np.zeros_like(w) for w in block.get_weights()])
    exact = {"rtol": 0.0, "atol": 0.0}
    report.check("zero branch, outer ReLU: the identity for x ≥ 0", outer(tf.abs(x)), tf.abs(x), **exact)
    report.check("zero branch, outer ReLU: negative numbers are lost", outer(x), tf.nn.relu(x), **exact)
    report.check("zero branch, pre-activation: the identity for all x", inner(x), x, **exact)
    split = tf.concat([tf.eye(3), -tf.eye(3)], axis=1)  # (channels, 2 · channels)
    pair = tf.nn.relu(x @ split) @ tf.transpose(split)
    report.check("a plain ReLU pair: relu(x) - relu(-x) is x", pair, x, **exact)


def _figure(report, largest, seed):
    """Correlation of the input with the output of stacks of blocks whose branches are a tenth as strong as He's."""
    x = np.abs(np.random.default_rng((seed, 1)).normal(size=(2, 8, 8, 4))).astype(np.float32)
    kept = {"residual": [], "plain": []}
    for kind, values in kept.items():
        inputs = y = keras.Input((8, 8, 4))
        rng, outputs = np.random.default_rng((seed, 2)), []
        for _ in range(largest):
            branch = plain_branch(y, 4, 1, rng)
            y = keras.layers.ReLU()(keras.layers.Add()([y, branch]) if kind == "residual" else branch)
            outputs.append(y)
        model = keras.Model(inputs, outputs)
        model.set_weights([0.1 * weight if weight.ndim == 4 else weight for weight in model.get_weights()])
        values.extend(np.corrcoef(np.ravel(x), np.ravel(y))[0, 1] for y in model(x))
    report.at_least("residual blocks with a weak branch keep their input: correlation", min(kept["residual"]), 0.9)
    report.at_most("plain layers with the same weights do not: correlation after one", abs(kept["plain"][0]), 0.5)
    labels = {"xlabel": "blocks", "ylabel": "correlation with the input"}
    return plots.curves(np.arange(1, largest + 1), kept, marker="o", title="Weak branches, with and without a shortcut",
                        **labels)  # fmt: skip
