"""First where, then what: two stages share one look at the canvas, and cost two per cent of a search by windows.

The proposals say where something is. The second stage cuts each of them out of the features, which are there already,
brings it to a fixed size by pooling, and decides what it is and how the box is to be moved once more. What the reader
should see: pooling by regions lets gradients through to the shared layers, so that both stages learn together; the
detector is more precise and fits better than a classifier behind a sliding window that has learnt from some of the same
canvases; and it takes a small part of its multiplications and of its time.

Notes: chapter 07, "Faster R-CNN" (Faster R-CNN 目标检测).
Source: Ren et al. 2015, arXiv:1506.01497, section 3; Girshick 2015, arXiv:1504.08083, section 2.1 (pooling by regions).
"""

import time

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots
from kerasnotes.chapter07.alexnet import multiply_adds
from kerasnotes.chapter07.detection import digit_canvases, iou, mean_average_precision
from kerasnotes.chapter07.proposals import (
    build_region_proposal_network,
    decode_boxes,
    encode_boxes,
    proposal_loss,
    proposal_targets,
    propose,
)
from kerasnotes.chapter07.window_search import (
    anchors,
    search_windows,
    suppress_by_class,
    train_in_one_loop,
    train_window_classifier,
)
from kerasnotes.parts import layer_seeds, shape, whole

SMOKE = {"canvases": 32, "test_canvases": 6, "searched": 2, "epochs": 1}
SECONDS = 44

SIZES, RATIOS, STRIDE = (12.0, 18.0, 27.0), (1.0, 2.0), 4
SPREAD = (0.1, 0.1, 0.2, 0.2)  # units of the second stage's changes, so that they are neither tiny nor large


def roi_pool(features, boxes, size):
    """Maximum over each of size x size parts of every box: regions of any shape become arrays of one shape.

    Args:
        features: Features (batch, height, width, channels).
        boxes: Boxes (batch, n, 4), each (top, left, bottom, right) in cells of the features; 0 is the first cell's
            edge. Edges are rounded to cells, and a box holds one cell at least.
        size: Rows and columns of parts. Neighbouring parts share a cell where the cells do not divide evenly.

    Returns: Tensor (batch, n, size, size, channels).
    Raises: ValueError: If shapes do not fit or size is no positive number.
    Source: Girshick 2015, section 2.1.
    """
    features = tf.convert_to_tensor(shape("features", features, None, None, None, None))
    boxes, size = tf.convert_to_tensor(shape("boxes", boxes, features.shape[0], None, 4)), whole("size", size)
    _, height, width, channels = features.shape
    edges = tf.cast(tf.round(boxes), tf.int32)
    windows = features[:, None, None]  # (batch, row lengths, column lengths, height, width, channels)
    rows, row_levels, windows = _parts(windows, edges[..., 0], edges[..., 2], size, axis=3)
    columns, column_levels, windows = _parts(windows, edges[..., 1], edges[..., 3], size, axis=4)
    maps = row_levels[:, :, :, None, None, None] * windows.shape[2] + column_levels[:, :, None, None, :, None]
    places = (maps * height + rows[..., None, None]) * width + columns[:, :, None, None]
    flat = tf.reshape(windows, (-1, windows.shape[1] * windows.shape[2] * height * width, channels))
    return tf.reduce_max(
        tf.gather(flat, places, batch_dims=1), axis=(3, 5)
    )  # of (batch, n, size, 2, size, 2, channels)


def _parts(maps, start, end, size, axis):
    """Parts of boxes along an axis, each the union of two windows of 1, 2, 4, … cells, and maxima over such windows.

    Returns where both begin (batch, n, size, 2), the logarithm of their length (batch, n, size), and the maxima for
    all lengths, on the axis that stands two before the given one.
    """
    cells = maps.shape[axis]
    start = tf.clip_by_value(start, 0, cells - 1)[..., None]
    length = tf.clip_by_value(end[..., None], start + 1, cells) - start
    first = start + tf.range(size) * length // size
    behind = start - (-(tf.range(size) + 1) * length // size)  # rounded up
    found = [maps]
    while 2 ** len(found) <= -(-cells // size) + 1:  # twice as long: the maximum of two neighbouring windows
        found.append(tf.maximum(found[-1], tf.roll(found[-1], -(2 ** (len(found) - 1)), axis)))
    level = sum((tf.cast(behind - first >= 2**power, tf.int32) for power in range(1, len(found))), 0 * first)
    return tf.stack([first, behind - 2**level], axis=-1), level, tf.concat(found, axis=axis - 2)


class Detector:
    """Two stages on shared layers: proposals, and what they are.

    Args:
        side: Height and width of the canvases in pixels.
        classes: Number of classes.
        proposals: Boxes that the first stage hands to the second one.
        pooled: Rows and columns of parts to which `roi_pool` brings a box.
        units: Units of the second stage's hidden layer.
        seed: Seed of the initial weights.

    Source: Ren et al. 2015, section 3. Small, and one change of the box for all classes instead of one for each.
    """

    def __init__(self, side=64, classes=10, proposals=16, pooled=4, units=96, seed=0):
        self.side, self.classes, self.proposals, self.pooled = side, classes, whole("proposals", proposals), pooled
        self.anchors = anchors((side // STRIDE, side // STRIDE), STRIDE, SIZES, RATIOS)
        self.first = build_region_proposal_network((side, side, 1), len(SIZES) * len(RATIOS), seed=seed)
        seeds, channels = layer_seeds((seed, 1)), self.first.outputs[0].shape[-1]
        x = inputs = keras.Input((pooled, pooled, channels))
        start = [keras.initializers.HeUniform(next(seeds)) for _ in range(3)]
        x = keras.layers.Dense(units, activation="relu", kernel_initializer=start[0])(keras.layers.Flatten()(x))
        logits = keras.layers.Dense(classes + 1, kernel_initializer=start[1])(x)  # the last class is nothing
        self.second = keras.Model(inputs, [logits, keras.layers.Dense(4, kernel_initializer=start[2])(x)])
        self.look = tf.function(self._look)

    @property
    def trainable_variables(self):
        """The weights of both stages."""
        return self.first.trainable_variables + self.second.trainable_variables

    def judge(self, features, boxes):
        """The second stage: logits (batch, n, classes + 1) of boxes (batch, n, 4) in pixels, and changes of them."""
        parts = roi_pool(features, boxes / STRIDE, self.pooled)  # (batch, n, pooled, pooled, channels)
        outputs = self.second(tf.reshape(parts, (-1, *parts.shape[2:])), training=True)
        return [tf.reshape(each, (-1, boxes.shape[1], each.shape[1])) for each in outputs]

    def loss(self, canvases, boxes, labels, seed):
        """Loss of both stages: proposals, then classes and changes of the proposals and of the true boxes."""
        features, odds, deltas = self.first(canvases, training=True)
        first = proposal_loss(odds, deltas, *proposal_targets(boxes, self.anchors), seed)
        seen = propose(odds, deltas, self.anchors, self.proposals, self.side)
        seen = tf.stop_gradient(tf.concat([seen, boxes], axis=1))  # (batch, n, 4): boxes are given, not learnt from
        logits, changes = self.judge(features, seen)
        overlaps = iou(seen, boxes)
        best, nearest = tf.reduce_max(overlaps, axis=2), tf.argmax(overlaps, axis=2)
        objects = tf.cast(best >= 0.5, tf.float32)
        wanted = tf.where(best >= 0.5, tf.gather(labels, nearest, batch_dims=1), self.classes)
        there = tf.cast(seen[..., 2] > seen[..., 0], tf.float32)  # zeros fill up where there were fewer
        entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(wanted, logits)
        off = tf.abs(changes - encode_boxes(tf.gather(boxes, nearest, batch_dims=1), self._solid(seen)) / SPREAD)
        smooth = tf.reduce_sum(tf.where(off < 1, off**2 / 2, off - 0.5), axis=-1)
        return first + sum(
            tf.reduce_sum(loss * weight) / tf.maximum(tf.reduce_sum(weight), 1)
            for loss, weight in ((entropy, there), (smooth, objects))
        )

    @staticmethod
    def _solid(boxes):
        """Boxes with an area, also where zeros fill up, so that nothing is divided by 0."""
        return tf.concat([boxes[..., :2], tf.maximum(boxes[..., 2:], boxes[..., :2] + 1)], axis=-1)

    def _look(self, canvases):
        features, odds, deltas = self.first(canvases, training=False)
        seen = propose(odds, deltas, self.anchors, self.proposals, self.side)
        logits, changes = self.judge(features, seen)
        moved = tf.clip_by_value(decode_boxes(changes * SPREAD, self._solid(seen)), 0, self.side)
        chances = tf.nn.softmax(logits) * tf.cast(seen[..., 2:3] > seen[..., :1], tf.float32)
        return seen, moved, chances[..., :-1]

    def detect(self, canvases, least=0.1, threshold=0.3):
        """What is where: `(boxes, scores, labels)` for each canvas, suppressed by class.

        Args:
            canvases: Array (batch, side, side, 1).
            least: Smallest probability of a class that is reported.
            threshold: Intersection over union up to which two boxes of a class may both stay.
        """
        found = []
        for boxes, chances in zip(*(each.numpy() for each in self.look(canvases)[1:]), strict=True):
            scores, labels = chances.max(axis=1), chances.argmax(axis=1)
            sure = scores >= least
            found.append(suppress_by_class(boxes[sure], scores[sure], labels[sure], threshold))
        return found


def train_detector(canvases, boxes, labels, epochs=5, batch_size=8, learning_rate=0.003, proposals=16, seed=0):
    """Train both stages together, from random weights.

    Args:
        canvases, boxes, labels: As from `digit_canvases`.
        epochs, batch_size, learning_rate: As for Adam; the rate falls to 0.
        proposals: Boxes that the first stage hands to the second one.
        seed: Seed of weights, order and chosen anchors.

    Returns:
        `(detector, losses)`: a `Detector`, and an array (steps,).

    Source: Ren et al. 2015, section 3.2, "approximate joint training".
    """
    detector = Detector(canvases.shape[1], proposals=proposals, seed=seed)
    arrays = (canvases, boxes, labels)
    return detector, train_in_one_loop(
        detector.loss, detector.trainable_variables, arrays, epochs, batch_size, learning_rate, seed
    )


def example():
    """A ramp of 4 x 6 cells: what four parts of two boxes hold, and where the gradient goes."""
    features = tf.reshape(tf.range(24.0), (1, 4, 6, 1))
    boxes = np.array([[[0, 0, 4, 6], [1, 1, 3, 4]]], np.float32)
    with tf.GradientTape() as tape:
        tape.watch(features)
        parts = roi_pool(features, boxes, 2)
    print("features:", features[0, ..., 0].numpy().astype(int), sep="\n")
    print("the whole and a box of 2 x 3:", parts[0, ..., 0].numpy().astype(int), sep="\n")
    print("gradient, by cell:", tape.gradient(parts, features)[0, ..., 0].numpy().astype(int), sep="\n")
    print("two rows of two parts by Keras:", keras.layers.MaxPooling2D((2, 3))(features)[0, ..., 0].numpy().tolist())


def lesson(
    report, *, canvases: int = 3000, epochs: int = 5, test_canvases: int = 300, searched: int = 80, seed: int = 0
):
    """Pool by regions, train both stages together, and compare with a search by windows.

    Args:
        report: The report to write to.
        canvases: Canvases to learn from (32 to 100000).
        epochs: Passes over them (1 to 1000).
        test_canvases: Canvases with digits of other writers (2 to 10000).
        searched: How many of these are searched by windows as well, which takes longer (1 to 10000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    rng, ((x, y), (x_test, y_test)) = np.random.default_rng(seed), data.mnist()
    _pooling(report, rng)
    learnt = digit_canvases(x, y, canvases, (seed, 1))
    drawn = digit_canvases(x_test, y_test, test_canvases, (seed, 2))
    detector, losses = train_detector(*learnt, epochs=epochs, seed=seed)
    report.note(f"Loss: {losses[:20].mean():.2f} in the first steps, {losses[-20:].mean():.2f} in the last ones.")
    _measured(report, detector, *drawn)
    found = _compared(report, detector, learnt, *(each[:searched] for each in drawn), seed)
    report.figure("What the two stages find", _draw(drawn, found),
                  alt="Above, canvases with the boxes of the two stages, which fit the digits they find; below, the "
                  "same canvases searched by windows, whose boxes fit less well.")  # fmt: skip


def _pooling(report, rng):
    features = tf.constant(rng.normal(size=(1, 12, 12, 2)), tf.float32)
    whole_map = np.array([[[0, 0, 12, 12]]], np.float32)
    report.check("the whole in 12 x 12 parts: nothing changes", roi_pool(features, whole_map, 12)[0], features)
    theirs = keras.layers.MaxPooling2D(3)(features)
    report.check("the whole in 4 x 4 parts: Keras's max pooling", roi_pool(features, whole_map, 4)[0], theirs)
    box = np.array([[[2, 3, 9, 8]]], np.float32)
    with tf.GradientTape() as tape:
        tape.watch(features)
        pooled = tf.reduce_sum(roi_pool(features, box, 2))
    slope = tape.gradient(pooled, features).numpy()[0]
    report.check("gradient of the sum of 2 x 2 parts: 4 for each channel", slope.sum(axis=(0, 1)), [4.0, 4.0])
    report.check("all of it inside the box", slope[2:9, 3:8].sum(axis=(0, 1)), [4.0, 4.0])


def _measured(report, detector, canvases, boxes, labels):
    found = detector.detect(canvases)
    fits = np.asarray(iou(boxes, detector.look(canvases)[0].numpy()))[labels >= 0].max(axis=1)
    precision = {least: mean_average_precision(found, boxes, labels, least) for least in (0.5, 0.75)}
    recall = {least: float(np.mean(fits >= least)) for least in (0.5, 0.75)}
    report.table(f"digits on {len(canvases)} new canvases, {detector.proposals} proposals each",
                 ["overlap", "recall of the proposals", "mean average precision"],
                 [[least, recall[least], precision[least]] for least in precision])  # fmt: skip
    report.at_least("mean average precision at overlap 0.5", precision[0.5], 0.5, trained=True)
    report.at_least("recall of the proposals at overlap 0.5", recall[0.5], 0.8, trained=True)


def _compared(report, detector, learnt, canvases, boxes, labels, seed):
    """The same canvases, one at a time, by two stages and by a classifier behind a sliding window."""
    classifier = train_window_classifier(*(each[:1000] for each in learnt), detector.anchors, seed=seed)
    ways = {"two stages": lambda canvas: detector.detect(canvas[None])[0],
            "sliding window": lambda canvas: search_windows(classifier, canvas, detector.anchors)}  # fmt: skip
    work = {"two stages": multiply_adds(detector.first) + detector.proposals * multiply_adds(detector.second),
            "sliding window": len(detector.anchors) * multiply_adds(classifier)}  # fmt: skip
    found, rows = {}, {}
    for name, look in ways.items():
        look(canvases[0])  # so that tracing is not counted
        begin = time.perf_counter()
        found[name] = [look(canvas) for canvas in canvases]
        seconds = (time.perf_counter() - begin) / len(canvases)
        precision = [mean_average_precision(found[name], boxes, labels, least) for least in (0.5, 0.75)]
        rows[name] = [*precision, work[name] / 1e6, seconds]
    report.table(f"{len(canvases)} canvases, one at a time", ["way", "mean average precision at 0.5", "at 0.75",
                 "million multiply-adds", "seconds a canvas"],
                 [[name, *row] for name, row in rows.items()])  # fmt: skip
    two, one = rows.values()
    report.at_least("multiply-adds of the sliding window over those of two stages", one[2] / two[2], 10.0)
    report.at_least("two stages above the sliding window: mean average precision at 0.75", two[1] - one[1], 0.05,
                    trained=True)  # fmt: skip
    return found


def _draw(drawn, found):
    figure, axes = plots.subplots(2, 5, figsize=(11, 4.9))
    for row, (name, several) in zip(axes, found.items(), strict=True):
        row[0].set_title(name, pad=14)
        for ax, canvas, (boxes, scores, labels) in zip(row, drawn[0], several, strict=False):
            plots.bare_picture(canvas[..., 0], ax, low=0.0)
            plots.boxes([[0, 0, *canvas.shape[:2]]], ax, color="0.7")
            plots.boxes(boxes[scores >= 0.5], ax, labels[scores >= 0.5])
    return figure
