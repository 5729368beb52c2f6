"""One classifier, moved everywhere: a window of every size at every place finds digits, and pays for each look.

The oldest detector needs nothing new: cut out a window, ask a classifier what is in it, move on. The classifier gets
one class more, "nothing", for windows that hold no digit or only a part of one. What the reader should see: some window
fits nearly every digit; after suppression most digits are found, among many false alarms and in boxes that seldom fit
closely, more with more windows; but a canvas costs as much as 1,536 small pictures, nearly all of them of nothing. The
windows are those that the next lessons call anchors.

Notes: chapter 07, "Object detection" (目标检测).
Source: Girshick et al. 2014, arXiv:1311.2524 (a classifier for each region, with a class for background); Ren et al.
2015, arXiv:1506.01497, section 3.1 (anchors); https://www.tensorflow.org/api_docs/python/tf/image/crop_and_resize.
"""

import time

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots
from kerasnotes.chapter07.alexnet import multiply_adds
from kerasnotes.chapter07.detection import digit_canvases, iou, mean_average_precision, non_maximum_suppression
from kerasnotes.parts import layer_seeds, positive, shape, whole

SMOKE = {"canvases": 20, "test_canvases": 2, "epochs": 1}
SECONDS = 14

SIZES, RATIOS = (12.0, 18.0, 27.0), (1.0, 2.0)  # of the windows: square roots of areas, heights over widths


def anchors(shape, stride, sizes, ratios):
    """Boxes of all sizes and shapes around the middle of every cell of a grid: the windows of a search.

    Args:
        shape: Rows and columns of the grid, such as those of a layer's features.
        stride: Height and width of a cell in pixels.
        sizes: Square roots of the boxes' areas, in pixels.
        ratios: Heights over widths.

    Returns:
        Float32 array (rows · columns · sizes · ratios, 4); the ratio changes fastest, then the size, then the column.

    Raises:
        ValueError: If a number is not positive.
    """
    rows, columns = ((np.arange(whole("shape", each)) + 0.5) * positive("stride", stride) for each in shape)
    sides = [(size * ratio**0.5, size / ratio**0.5) for size in sizes for ratio in ratios]
    if not (sides and np.min([*sizes, *ratios]) > 0):
        raise ValueError(f"sizes, ratios: expected positive numbers, at least one of each, got {sizes} and {ratios}")
    middles = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1)[:, :, None]  # (rows, columns, 1, 2)
    half = np.array(sides) / 2  # (sizes · ratios, 2)
    return np.concatenate([middles - half, middles + half], axis=-1).reshape(-1, 4).astype(np.float32)


def crop_windows(canvas, windows, size):
    """Look through windows: cut each out of a canvas and bring it to size x size pixels.

    Args:
        canvas: A picture (height, width, channels).
        windows: Boxes (n, 4), each (top, left, bottom, right); 0 is seen where they reach over the edge.
        size: Height and width of the results.

    Returns:
        Tensor (n, size, size, channels), linear between the middles of pixels.

    Source: `tf.image.crop_and_resize`, whose boxes go from the middle of the first sample to that of the last one.
    """
    canvas = tf.convert_to_tensor(shape("canvas", canvas, None, None, None))
    windows = tf.cast(shape("windows", windows, None, 4), tf.float32)
    half = (windows[:, 2:] - windows[:, :2]) / (2 * whole("size", size))  # half the distance of two samples
    middles = tf.concat([windows[:, :2] + half, windows[:, 2:] - half], axis=1) - 0.5  # in pixels from the first one
    boxes = middles / tf.tile([canvas.shape[0] - 1.0, canvas.shape[1] - 1.0], [2])
    return tf.image.crop_and_resize(canvas[None], boxes, tf.zeros(len(windows), tf.int32), (size, size))


def sample_windows(boxes, labels, windows, count, seed):
    """Choose windows of a canvas to learn from: a third with a digit, a third with a part of one, a third anywhere.

    Args:
        boxes, labels: The objects of a canvas (most, 4), (most,), -1 where there is none.
        windows: All windows (n, 4).
        count: How many to choose, for each third.
        seed: Seed of the choice.

    Returns:
        `(indices, classes)`, each (3 · count,) at most. An overlap of 0.6 makes a window the object's, one below 0.5
        makes it nothing, the number behind the last class; what lies between is not chosen.
    """
    rng = np.random.default_rng(seed)
    overlaps = iou(windows, boxes) * (labels >= 0)  # (n, most)
    best, nothing = overlaps.max(axis=1), 10
    groups = [np.flatnonzero(each) for each in (best >= 0.6, (best >= 0.2) & (best < 0.5), best < 0.5)]
    indices = np.concatenate([rng.choice(group, count) for group in groups if len(group)])
    return indices, np.where(best[indices] >= 0.6, labels[overlaps[indices].argmax(axis=1)], nothing)


def train_in_one_loop(loss_of, variables, arrays, epochs, batch_size, learning_rate, seed):
    """Adam over shuffled batches, all steps in one compiled loop, with a rate that falls to 0 along a cosine.

    Args:
        loss_of: Function of a batch of every array and of a seed (two integers), returns the loss.
        variables: What to train.
        arrays: Arrays with equally many samples, at least a batch; what is left over of a pass is not used.
        epochs, batch_size, learning_rate, seed: Of the training.
    Returns: Losses (steps,).
    """
    rng, per_epoch = np.random.default_rng(seed), len(arrays[0]) // batch_size
    order = [rng.permutation(len(arrays[0]))[: whole("steps", per_epoch) * batch_size] for _ in range(epochs)]
    order = np.reshape(order, (-1, batch_size))
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(learning_rate, len(order)))
    optimizer.build(variables)
    tensors, seed = [tf.constant(each) for each in arrays], int(rng.integers(2**31))

    @tf.function
    def run(order):
        losses = tf.TensorArray(tf.float32, len(order))
        for i in tf.range(len(order)):
            with tf.GradientTape() as tape:
                loss = loss_of(*(tf.gather(each, order[i]) for each in tensors), tf.stack([seed, i]))
            optimizer.apply(tape.gradient(loss, variables), variables)
            losses = losses.write(i, loss)
        return losses.stack()

    return run(tf.constant(order)).numpy()


def train_window_classifier(canvases, boxes, labels, windows, size=20, epochs=2, batch_size=128, seed=0):
    """Train a small network to say what a window holds: digit 0 to 9, or 10 for nothing.

    Args:
        canvases, boxes, labels: As from `digit_canvases`.
        windows: All windows of a canvas (n, 4).
        size: Height and width at which the network sees a window.
        epochs, batch_size: Passes over 24 windows of each canvas, and windows in a batch.
        seed: Seed of weights, choice and order.

    Returns:
        A `keras.Model` from (batch, size, size, 1) to logits (batch, 11).
    """
    seeds, crops, classes = layer_seeds((seed, 0)), [], []
    for number, canvas in enumerate(canvases):
        indices, names = sample_windows(boxes[number], labels[number], windows, 8, (seed, 1, number))
        crops.append(crop_windows(canvas, windows[indices], size))
        classes.append(names)

    def start():
        return keras.initializers.HeUniform(next(seeds))

    model = keras.Sequential([
        keras.Input((size, size, 1)),
        keras.layers.Conv2D(16, 5, strides=2, padding="same", activation="relu", kernel_initializer=start()),
        keras.layers.Conv2D(32, 3, padding="same", activation="relu", kernel_initializer=start()),
        keras.layers.MaxPooling2D(2),
        keras.layers.Flatten(),
        keras.layers.Dense(64, activation="relu", kernel_initializer=start()),
        keras.layers.Dense(11, kernel_initializer=start()),
    ])  # fmt: skip

    def loss_of(crops, classes, _):
        logits = model(crops, training=True)
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(classes, logits))

    arrays = np.concatenate(crops), np.concatenate(classes)
    train_in_one_loop(loss_of, model.trainable_variables, arrays, epochs, batch_size, 0.003, (seed, 2))
    return model


def suppress_by_class(boxes, scores, labels, threshold=0.3):
    """Non-maximum suppression within each class: `(boxes, scores, labels)` that stay, class by class."""
    kept = [np.zeros(0, int)]
    for label in np.unique(labels):
        chosen = np.flatnonzero(labels == label)
        kept.append(chosen[non_maximum_suppression(boxes[chosen], scores[chosen], threshold)])
    kept = np.concatenate(kept)
    return boxes[kept], scores[kept], labels[kept]


def search_windows(model, canvas, windows, least=0.3, threshold=0.3):
    """Ask a classifier about every window of a canvas, then suppress.

    Args:
        model: From `train_window_classifier`.
        canvas: A picture (height, width, 1).
        windows: Boxes (n, 4).
        least: Smallest probability of a digit that is reported.
        threshold: Intersection over union up to which two boxes of a class may both stay.

    Returns:
        `(boxes, scores, labels)` of what was found.
    """
    crops = crop_windows(canvas, windows, model.input_shape[1])
    chances = tf.nn.softmax(model(crops, training=False)).numpy()[:, :-1]  # without "nothing"
    scores, labels = chances.max(axis=1), chances.argmax(axis=1)
    sure = scores >= least
    return suppress_by_class(windows[sure], scores[sure], labels[sure], threshold)


def example():
    """Windows of a small grid; the window that is the canvas shows the canvas."""
    print("2 x 2 places, one size, two shapes:", anchors((2, 2), 8, (8,), (1, 4)).astype(int), sep="\n")
    canvas = np.arange(16, dtype=np.float32).reshape(4, 4, 1)
    print("the canvas:", crop_windows(canvas, np.array([[0, 0, 4, 4]]), 4).numpy()[0, ..., 0], sep="\n")
    print("its middle:", crop_windows(canvas, np.array([[1, 1, 3, 3]]), 2).numpy()[0, ..., 0], sep="\n")


def lesson(report, *, canvases: int = 1000, test_canvases: int = 80, epochs: int = 2, seed: int = 0):
    """Count windows and check what they show, train the classifier, and search with few and with many windows.

    Args:
        report: The report to write to.
        canvases: Canvases to learn from (10 to 100000).
        test_canvases: Canvases to search, with digits of other writers (1 to 10000).
        epochs: Passes over 24 windows of each canvas (1 to 100).
        seed: Seed of all random draws (0 to 4294967295).
    """
    windows = anchors((16, 16), 4, SIZES, RATIOS)
    _windows(report, windows)
    (x, y), (x_test, y_test) = data.mnist()
    learnt = digit_canvases(x, y, canvases, (seed, 1))
    model = train_window_classifier(*learnt, windows, epochs=epochs, seed=seed)
    _search(report, model, digit_canvases(x_test, y_test, test_canvases, (seed, 2)))


def _windows(report, windows):
    report.check("16 x 16 places, 3 sizes, 2 shapes: number of windows", len(windows), 1536)
    heights, widths = (windows[:6, 2:] - windows[:6, :2]).T
    report.check("their areas", (heights * widths).reshape(3, 2), np.square([[size, size] for size in SIZES]))
    report.check("and shapes", heights / widths, np.tile(RATIOS, 3))
    report.check("middles of the first and of the last", (windows[[0, -1], :2] + windows[[0, -1], 2:]) / 2,
                 [[2, 2], [62, 62]])  # fmt: skip
    canvas = np.random.default_rng(1).random((64, 64, 1)).astype(np.float32)
    seen = crop_windows(canvas, np.array([[10, 20, 30, 40]]), 20)[0]
    report.check("a window of 20 x 20 pixels shows these pixels", seen, canvas[10:30, 20:40],
                 atol=1e-5)  # fmt: skip


def _search(report, model, drawn):
    canvases, boxes, labels = drawn
    searches = {4: anchors((16, 16), 4, SIZES, RATIOS), 8: anchors((8, 8), 8, SIZES, RATIOS)}
    rows, found, work = [], {}, multiply_adds(model)
    for stride, windows in searches.items():
        search_windows(model, canvases[0], windows)  # so that tracing is not counted
        begin = time.perf_counter()
        found[stride] = [search_windows(model, canvas, windows) for canvas in canvases]
        seconds = (time.perf_counter() - begin) / len(canvases)
        fits = [iou(windows, truth[true >= 0]).max(axis=0) for truth, true in zip(boxes, labels, strict=True)]
        fits = float(np.mean(np.concatenate(fits) >= 0.5))
        precision = [mean_average_precision(found[stride], boxes, labels, each) for each in (0.5, 0.75)]
        rows.append([f"every {stride} pixels", len(windows), fits, *precision, len(windows) * work / 1e6, seconds])
    report.table(f"digits on {len(canvases)} new canvases", ["a window", "windows", "digits "
                 "that one fits by 0.5", "mean average precision at 0.5", "at 0.75", "million multiply-adds",
                 "seconds a canvas"], rows)  # fmt: skip
    report.at_least("every 4 pixels: share of digits that some window fits by 0.5", rows[0][2], 0.9)
    report.at_least("every 4 pixels: mean average precision at overlap 0.5", rows[0][3], 0.5, trained=True)
    report.at_least("and above that of every 8 pixels by", rows[0][3] - rows[1][3], 0.05, trained=True)
    report.figure("What the windows find", _draw(canvases, found[4]),
                  alt="Five canvases with digits of several sizes; round each digit stands a box with its name, often "
                  "not quite fitting, and some boxes hold a part of a digit.")  # fmt: skip


def _draw(canvases, found):
    figure, axes = plots.subplots(1, 5, figsize=(12, 2.7))
    for ax, canvas, (boxes, scores, labels) in zip(axes, canvases, found, strict=False):
        plots.bare_picture(canvas[..., 0], ax, low=0.0)
        plots.boxes([[0, 0, *canvas.shape[:2]]], ax, color="0.7")
        plots.boxes(boxes[scores >= 0.5], ax, labels[scores >= 0.5])
    return figure
