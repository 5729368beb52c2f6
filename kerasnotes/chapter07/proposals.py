"""A small network that sees a canvas once says for every window whether to look there, and how to move it.

Nearly all windows of a search hold nothing. A region proposal network shares one convolutional network among all of
them: from the features at each place it gives, for every window around it (now called an anchor), the odds of an object
and four numbers that move and stretch the anchor. What the reader should see: sixteen proposals hold nearly every digit
by half, hardly more than proposals that may not move and far more than windows in a random order; to hold it by 0.7,
moving pays. What a digit is, nobody has been asked yet.

Notes: chapter 07, "Faster R-CNN: region proposal networks" (区域建议网络).
Source: Ren et al. 2015, arXiv:1506.01497, section 3.1; Girshick 2015, arXiv:1504.08083 (smooth L1 loss);
https://www.tensorflow.org/api_docs/python/tf/image/combined_non_max_suppression.
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots
from kerasnotes.chapter07.detection import digit_canvases, iou
from kerasnotes.chapter07.window_search import anchors, train_in_one_loop
from kerasnotes.parts import layer_seeds, shape, share, whole

SMOKE = {"canvases": 32, "test_canvases": 8, "epochs": 1}
SECONDS = 10

SIZES, RATIOS, STRIDE = (12.0, 18.0, 27.0), (1.0, 2.0), 4
NEGATIVES = 128  # anchors without an object that a canvas is learnt from
LARGEST = 4.0  # the largest change of a logarithm of height or width: a wild guess must not overflow


def _middles_and_sides(name, boxes):
    boxes = tf.convert_to_tensor(boxes)
    if boxes.shape[-1] != 4 or not boxes.dtype.is_floating:
        raise ValueError(f"{name}: expected floats of shape (..., 4), got {boxes.dtype.name} {boxes.shape}")
    return (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]


def encode_boxes(boxes, anchors):
    """How to get from anchors to boxes: shifts in units of the anchor's sides, and logarithms of what sides grow by.

    Args:
        boxes: Boxes (..., 4), each (top, left, bottom, right), float.
        anchors: Anchors of a shape that broadcasts with it.
    Returns: Tensor (..., 4): down, to the right, log of the height's factor, log of the width's. Boxes without area,
        which fill arrays up, give numbers without meaning but finite.
    Raises: ValueError: If the last axis is not 4 or numbers are not floats.
    Source: Ren et al. 2015, section 3.1.2.
    """
    middle, sides = _middles_and_sides("boxes", boxes)
    start, from_sides = _middles_and_sides("anchors", anchors)
    return tf.concat([(middle - start) / from_sides, tf.math.log(tf.maximum(sides, 1e-3) / from_sides)], axis=-1)


def decode_boxes(deltas, anchors):
    """Move and stretch anchors: the inverse of `encode_boxes`, with the same arguments and errors.

    Args:
        deltas: Changes (..., 4), as from `encode_boxes`; logarithms above 4 count as 4.
        anchors: Anchors of a shape that broadcasts with it.
    Returns: Boxes (..., 4).
    """
    shifts, growth = tf.split(tf.convert_to_tensor(deltas), [2, 2], axis=-1)
    start, from_sides = _middles_and_sides("anchors", anchors)
    middle, half = start + shifts * from_sides, from_sides * tf.exp(tf.minimum(growth, LARGEST)) / 2
    return tf.concat([middle - half, middle + half], axis=-1)


def proposal_targets(boxes, anchors, high=0.7, low=0.3):
    """What every anchor should say: an object, none, or no matter; and where the object is.

    Args:
        boxes: True boxes (batch, most, 4), zeros where there is none.
        anchors: Anchors (n, 4).
        high: Overlap from which an anchor stands for an object; the best anchor of an object does in any case.
        low: Overlap below which it stands for nothing.

    Returns: `(kinds, deltas)`: float (batch, n), 1, 0, or -1 in between; and (batch, n, 4) towards the nearest object.
    Raises: ValueError: If shapes do not fit or an overlap is out of range.
    Source: Ren et al. 2015, section 3.1.2.
    """
    if not 0 < share("low", low) <= share("high", high):
        raise ValueError(f"low, high: expected 0 < low <= high, got {low!r} and {high!r}")
    boxes = tf.convert_to_tensor(shape("boxes", boxes, None, None, 4))
    anchors = tf.cast(shape("anchors", anchors, None, 4), boxes.dtype)
    overlaps = iou(boxes, anchors[None])  # (batch, most, n)
    best = tf.reduce_max(overlaps, axis=1)
    chosen = (overlaps == tf.reduce_max(overlaps, axis=2, keepdims=True)) & (overlaps > 0)
    kinds = tf.where((best >= high) | tf.reduce_any(chosen, axis=1), 1.0, tf.where(best < low, 0.0, -1.0))
    nearest = tf.gather(boxes, tf.argmax(overlaps, axis=1), axis=1, batch_dims=1)  # (batch, n, 4)
    return kinds, encode_boxes(nearest, anchors)


def build_region_proposal_network(input_shape=(64, 64, 1), anchors_each=6, width=1.0, seed=0):
    """Build the shared layers and the proposal network on top of them.

    Args:
        input_shape: (height, width, channels) of a canvas, both divisible by 4.
        anchors_each: Anchors at each place.
        width: Factor on all channel counts.
        seed: Seed of the initial weights.

    Returns:
        An uncompiled `keras.Model` with outputs `[features, odds, deltas]`: features of the shared layers (batch,
        height/4, width/4, channels), logits of "an object" (batch, n) and changes (batch, n, 4), anchors in the order
        of `anchors`.
    Raises: ValueError: If a size is not divisible by 4.
    """
    if len(input_shape) != 3 or any(size % 4 for size in input_shape[:2]):
        raise ValueError(f"input_shape: expected height and width divisible by 4 and channels, got {input_shape}")
    seeds = layer_seeds(seed)

    def convolve(x, filters, kernel_size, **arguments):
        start = keras.initializers.HeUniform(next(seeds))
        return keras.layers.Conv2D(filters, kernel_size, padding="same", kernel_initializer=start, **arguments)(x)

    channels = [max(1, round(width * each)) for each in (16, 32, 48, 48, 48)]
    inputs = x = keras.Input(input_shape)
    for filters, kernel_size, strides in zip(channels[:4], (5, 3, 3, 3), (2, 2, 1, 1), strict=True):
        x = convolve(x, filters, kernel_size, strides=strides, activation="relu")
    looked = convolve(x, channels[4], 3, activation="relu")  # (batch, 16, 16, 48), sees 33 pixels of the canvas
    odds = keras.layers.Reshape((-1,))(convolve(looked, whole("anchors_each", anchors_each), 1))
    deltas = keras.layers.Reshape((-1, 4))(convolve(looked, 4 * anchors_each, 1))
    return keras.Model(inputs, [x, odds, deltas])


def proposal_loss(odds, deltas, kinds, wanted, seed):
    """Cross-entropy of "an object" over anchors with one and some without, and smooth L1 of the changes.

    Args:
        odds, deltas: Outputs of the network (batch, n) and (batch, n, 4).
        kinds, wanted: From `proposal_targets`.
        seed: Two integers that choose, out of the many anchors without an object, 128 for each canvas.
    Returns: The sum of both, each a mean over the anchors that take part.
    Source: Ren et al. 2015, sections 3.1.2 and 3.1.3 (256 anchors a picture, half of them with an object at most).
    """
    chance = tf.where(kinds == 0, tf.random.stateless_uniform(tf.shape(kinds), seed), -1.0)
    least = tf.math.top_k(chance, min(NEGATIVES, kinds.shape[1])).values[:, -1:]
    objects = tf.cast(kinds == 1, tf.float32)
    taken = objects + tf.cast((kinds == 0) & (chance >= least), tf.float32)
    entropy = tf.nn.sigmoid_cross_entropy_with_logits(objects, odds)
    off = tf.abs(deltas - wanted)
    smooth = tf.reduce_sum(tf.where(off < 1, off**2 / 2, off - 0.5), axis=-1)
    means = [tf.math.divide_no_nan(tf.reduce_sum(loss * weight), tf.reduce_sum(weight))
             for loss, weight in ((entropy, taken), (smooth, objects))]  # fmt: skip
    return means[0] + means[1]


def propose(odds, deltas, anchors, count, side, threshold=0.5):
    """The best boxes of every canvas: anchors moved, cut at the canvas's edge, and suppressed.

    Args:
        odds, deltas: Outputs of the network (batch, n) and (batch, n, 4).
        anchors: Anchors (n, 4).
        count: Boxes for each canvas.
        side: Height and width of the canvases in pixels.
        threshold: Overlap up to which two boxes may both stay; 0.7 in the paper, which keeps 300 boxes.
    Returns: Boxes (batch, count, 4), best first, zeros where fewer are left.
    """
    odds, order = tf.math.top_k(odds, min(odds.shape[1], 4 * count + 64))
    moved = decode_boxes(tf.gather(deltas, order, batch_dims=1), tf.gather(anchors, order))
    moved = tf.clip_by_value(moved, 0, side)
    return tf.image.combined_non_max_suppression(
        moved[:, :, None], tf.sigmoid(odds)[..., None], count, count, threshold, clip_boxes=False
    ).nmsed_boxes


def example():
    """An anchor and a box: the four numbers between them, and back; the losses beside Keras's."""
    anchor, box = np.array([[0.0, 0, 10, 10]]), np.array([[-4.0, 2, 16, 12]])
    deltas = encode_boxes(box, anchor)
    print("down 1/10, right 2/10, twice as high:", deltas.numpy().round(3))
    print("back:", decode_boxes(deltas, anchor).numpy())
    kinds, wanted = proposal_targets(box[None], np.array([[-4.0, 2, 16, 12], [0, 2, 15, 12], [30, 30, 40, 40]]))
    print("the box itself, nearly it, far from it:", kinds.numpy())
    odds, changes = tf.constant([[2.0, 0.0, -1.0]]), tf.zeros((1, 3, 4))
    loss = proposal_loss(odds, changes, tf.cast(kinds, tf.float32), tf.cast(wanted, tf.float32), (0, 1))
    theirs = keras.losses.BinaryCrossentropy(from_logits=True)(tf.constant([1.0, 1.0, 0.0]), odds[0])
    theirs += 4 * keras.losses.Huber(1.0)(wanted[0, :2], changes[0, :2])
    print("loss:", loss.numpy(), "Keras:", theirs.numpy())


def lesson(report, *, canvases: int = 1500, test_canvases: int = 300, epochs: int = 3, seed: int = 0):
    """Encode and decode, compare the losses with Keras's, then learn to propose and count what proposals hold.

    Args:
        report: The report to write to.
        canvases: Canvases to learn from (32 to 100000).
        test_canvases: Canvases with digits of other writers (1 to 10000).
        epochs: Passes over the canvases (1 to 1000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    rng, ((x, y), (x_test, y_test)) = np.random.default_rng(seed), data.mnist()
    grid = anchors((16, 16), STRIDE, SIZES, RATIOS)
    _codes(report, rng, grid)
    _losses(report, rng)
    learnt, boxes, _ = digit_canvases(x, y, canvases, (seed, 1))
    network, losses = _train(learnt, boxes, grid, epochs, seed)
    report.note("Ren et al. 2015 learn from 256 anchors a picture, and suppress proposals above 0.7, not 0.5.")
    report.note(f"Loss: {losses[:20].mean():.2f} in the first steps, {losses[-20:].mean():.2f} in the last ones.")
    _recall(report, network, grid, digit_canvases(x_test, y_test, test_canvases, (seed, 2)), seed)


def _codes(report, rng, grid):
    ends = np.sort(rng.uniform(0, 60, (len(grid), 2, 2)), axis=1) + np.array([[0.0], [4.0]])
    boxes = ends.reshape(-1, 4).astype(np.float32)
    deltas = encode_boxes(boxes, grid)
    report.check("random boxes, encoded by anchors and decoded", decode_boxes(deltas, grid), boxes, atol=1e-4)
    report.check("an anchor encoded by itself", encode_boxes(grid, grid), np.zeros_like(grid))
    report.check("all enlarged and shifted: the same numbers", encode_boxes(3 * boxes + 7, 3 * grid + 7), deltas,
                 atol=1e-4)  # fmt: skip


def _losses(report, rng):
    odds, deltas, wanted = (tf.constant(rng.normal(0, 2, size), tf.float32) for size in ((2, 9), (2, 9, 4), (2, 9, 4)))
    kinds = tf.constant(rng.integers(-1, 2, (2, 9)), tf.float32)
    ours = proposal_loss(odds, deltas, kinds, wanted, (0, 0))
    entropy = keras.losses.BinaryCrossentropy(from_logits=True)(kinds[kinds >= 0], odds[kinds >= 0])
    smooth = 4 * keras.losses.Huber(1.0)(wanted[kinds == 1], deltas[kinds == 1])
    report.check("loss: Keras's cross-entropy and Huber loss, a sum over the four numbers", ours, entropy + smooth)


def _train(canvases, boxes, grid, epochs, seed):
    network = build_region_proposal_network(canvases.shape[1:], len(SIZES) * len(RATIOS), seed=seed)

    def loss_of(canvases, boxes, step_seed):
        _, odds, deltas = network(canvases, training=True)
        return proposal_loss(odds, deltas, *proposal_targets(boxes, grid), step_seed)

    losses = train_in_one_loop(loss_of, network.trainable_variables, (canvases, boxes), epochs, 8, 0.003, seed)
    return network, losses


def _recall(report, network, grid, drawn, seed):
    """Share of digits that one of the first proposals holds: with all that was learnt, and with less."""
    canvases, boxes, labels = drawn
    compiled = tf.function(lambda canvases: network(canvases, training=False)[1:])
    odds, deltas = (tf.concat(each, axis=0) for each in zip(*map(compiled, np.array_split(canvases, 6)), strict=True))
    chance = tf.constant(np.random.default_rng((seed, 3)).normal(size=odds.shape), tf.float32)
    ways = {"proposed and moved": (odds, deltas), "proposed, not moved": (odds, tf.zeros_like(deltas)),
            "windows at random": (chance, tf.zeros_like(deltas))}  # fmt: skip
    counts = (2, 4, 8, 16, 32, 64)
    found = {name: propose(*way, grid, counts[-1], canvases.shape[1]).numpy() for name, way in ways.items()}
    overlaps = {name: np.asarray(iou(boxes, several))[labels >= 0] for name, several in found.items()}  # (digits, 64)
    recall = {(name, least): [float(np.mean(each[:, :count].max(axis=1) >= least)) for count in counts]
              for name, each in overlaps.items() for least in (0.5, 0.7)}  # fmt: skip
    report.table("share of digits that one of the first proposals holds", ["way", "overlap",
                 *(f"of {count}" for count in counts)],
                 [[name, least, *values] for (name, least), values in recall.items()])  # fmt: skip
    moved, _, random = (recall[name, 0.5][3] for name in ways)
    report.at_least("16 proposals a canvas: recall at overlap 0.5", moved, 0.9, trained=True)
    report.at_least("and above 16 windows at random by", moved - random, 0.2, trained=True)
    finer = recall["proposed and moved", 0.7][3] - recall["proposed, not moved", 0.7][3]
    report.at_least("what moving the anchors adds to recall at overlap 0.7", finer, 0.1, trained=True)
    report.figure("Few proposals hold nearly every digit", _draw(canvases, found, labels, counts, recall),
                  alt="Left: a canvas with its best proposals. Right: the share of digits held over the number of "
                  "proposals; moved ones rise fastest, random windows slowly.")  # fmt: skip


def _draw(canvases, found, labels, counts, recall):
    figure, axes = plots.subplots(1, 3, figsize=(12, 3.8))
    shown = int(np.argmax((labels >= 0).sum(axis=1)))
    plots.bare_picture(canvases[shown, ..., 0], axes[0], low=0.0)
    plots.boxes(found["proposed and moved"][shown][:8], axes[0])
    axes[0].set_title("The best eight")
    for least, ax in zip((0.5, 0.7), axes[1:], strict=True):
        series = {name: recall[name, least] for name in found}
        plots.curves(range(len(counts)), series, xlabel="proposals a canvas", ylabel="share of digits held", marker="o",
                     title=f"Overlap of {least} or more", ax=ax)  # fmt: skip
        ax.set(xticks=range(len(counts)), xticklabels=counts, ylim=(0, 1.03))
    return figure
