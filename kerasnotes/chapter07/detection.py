"""Where is it? A detector owes one box for each object, and average precision counts what it owes.

A detector returns boxes, each with a class and a score; how many there are to find, nobody tells it. What the reader
should see: two boxes are compared by what they share; a search finds an object many times, and non-maximum suppression
leaves the best box of each heap; average precision then falls with every double, every false alarm and every object
missed. Here the boxes are the true ones, spoilt by known amounts, so that each of these can be seen alone.

Notes: chapter 07, "Object detection" (目标检测).
Source: Everingham et al. 2010, doi:10.1007/s11263-009-0275-4 (average precision); Ren et al. 2015, arXiv:1506.01497
(suppression of proposals); https://www.tensorflow.org/api_docs/python/tf/image/non_max_suppression.
"""

import numpy as np
import tensorflow as tf

from kerasnotes import data, plots
from kerasnotes.parts import shape, share, whole

SMOKE = {"canvases": 20, "trials": 10}
SECONDS = 3


def iou(boxes, others):
    """Intersection over union of every box with every other: 1 for the same box, 0 for boxes that share nothing.

    Args:
        boxes: Boxes (..., n, 4), each (top, left, bottom, right).
        others: Boxes (..., m, 4).

    Returns:
        Array (..., n, m); a tensor if the boxes are tensors. A box without area shares nothing, so that boxes of zeros
        may fill an array up.
    Raises: ValueError: If the last axis is not 4, or a box ends before it begins (arrays only).
    """
    ops = tf if tf.is_tensor(boxes) else np  # the same formula; small arrays are much faster without TensorFlow
    for name, each in (("boxes", boxes), ("others", others)):
        if np.shape(each)[-1:] != (4,) or (ops is np and not np.all(np.less_equal(each[..., :2], each[..., 2:]))):
            raise ValueError(f"{name}: expected (..., 4) with top <= bottom and left <= right, got {np.shape(each)}")
    one, two = boxes[..., :, None, :], others[..., None, :, :]
    sides = ops.maximum(ops.minimum(one[..., 2:], two[..., 2:]) - ops.maximum(one[..., :2], two[..., :2]), 0)
    areas = [(each[..., 2] - each[..., 0]) * (each[..., 3] - each[..., 1]) for each in (one, two)]
    common = sides[..., 0] * sides[..., 1]  # (..., n, m)
    return common / ops.maximum(areas[0] + areas[1] - common, 1e-30)


def non_maximum_suppression(boxes, scores, threshold=0.5):
    """Keep the best box, drop all that overlap it by more than the threshold, and go on with the best of the rest.

    Args:
        boxes: Boxes (n, 4), each (top, left, bottom, right).
        scores: Scores (n,), high is good.
        threshold: Intersection over union up to which two boxes may both stay, from 0 to 1.

    Returns: Indices of the boxes kept, int array (kept,), best first.
    Raises: ValueError: If the shapes differ, a score is not finite or the threshold is out of range.
    """
    scores = shape("scores", np.asarray_chkfinite(scores, np.float64), np.shape(boxes)[0])
    if not len(scores):
        return np.zeros(0, int)
    boxes = shape("boxes", np.asarray(boxes, np.float64), None, 4)
    overlaps = iou(boxes, boxes) > share("threshold", threshold)
    kept = []
    for index in np.argsort(-scores, kind="stable"):
        if not overlaps[index, kept].any():
            kept.append(index)
    return np.array(kept)


def average_precision(scores, hits, objects):
    """Area under precision over recall, where precision is the best that can be had at this recall or a higher one.

    Args:
        scores: Scores of all detections of a class (n,), from all pictures.
        hits: Which of them found an object that no better one had found (n,), Booleans.
        objects: Number of objects that were there to be found.

    Returns: A number from 0 to 1.
    Raises: ValueError: If the shapes differ, or there are more hits than objects.
    Source: Everingham et al. 2010, without their rounding to eleven recalls.
    """
    scores = shape("scores", np.asarray_chkfinite(scores, np.float64), None)
    hits = shape("hits", np.asarray(hits, bool), len(scores))[np.argsort(-scores, kind="stable")]
    if hits.sum() > whole("objects", objects):
        raise ValueError(f"hits: expected at most one for each of {objects} objects, got {hits.sum()}")
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(best[hits]) / objects)  # every hit is a step of 1/objects in recall


def first_hits(boxes, scores, truth, threshold=0.5):
    """Which detections of one class in one picture count: each object is found by the best that overlaps it most.

    Args:
        boxes, scores: Detections (n, 4) and (n,).
        truth: Boxes of the objects (m, 4).
        threshold: Intersection over union that is enough.

    Returns:
        Booleans (n,), at most m of them True.
    """
    hits, taken = np.zeros(len(scores), bool), set()
    if len(scores) and len(truth):
        overlaps = iou(boxes, truth)
        for index in np.argsort(-np.asarray(scores), kind="stable"):
            nearest = int(overlaps[index].argmax())
            hits[index] = overlaps[index, nearest] >= threshold and nearest not in taken
            taken |= {nearest} if hits[index] else set()
    return hits


def mean_average_precision(found, boxes, labels, threshold=0.5):
    """Average precision of every class that occurs, and the mean of them.

    Args:
        found: For every picture its detections `(boxes (n, 4), scores (n,), labels (n,))`.
        boxes: The true boxes (pictures, most, 4).
        labels: Their classes (pictures, most), -1 where there is none.
        threshold: Intersection over union that is enough.

    Returns:
        A number from 0 to 1.
    """
    labels = shape("labels", np.asarray(labels), len(found), np.shape(boxes)[1])
    values = []
    for label in np.unique(labels[labels >= 0]):
        scores, hits = [], []
        for (seen, score, named), truth, true in zip(found, np.asarray(boxes), labels, strict=True):
            scores.append(score[named == label])
            hits.append(first_hits(seen[named == label], scores[-1], truth[true == label], threshold))
        values.append(average_precision(np.concatenate(scores), np.concatenate(hits), int(np.sum(labels == label))))
    return float(np.mean(values))


def digit_canvases(digits, labels, count, seed, side=64, most=4, heights=(14, 34)):
    """Draw canvases with one to `most` digits of different heights that do not overlap.

    Args:
        digits: Pictures (n, height, width), 0 where there is no ink, at most 255.
        labels: Their classes (n,).
        count: Number of canvases.
        seed: Seed of which digits, where and how large.
        side: Height and width of a canvas in pixels.
        most: Digits on a canvas at most; one that finds no room in 20 trials is left out.
        heights: Smallest and largest height of a digit's ink in pixels; both occur.

    Returns:
        `(canvases, boxes, classes)`: float32 (count, side, side, 1) from 0 to 1, float32 (count, most, 4) around the
        ink, zeros where there is no digit, and int32 (count, most), -1 where there is none.
    """
    rng = np.random.default_rng(seed)
    canvases = np.zeros((whole("count", count), side, side, 1), np.float32)
    boxes, classes = np.zeros((count, most, 4), np.float32), np.full((count, most), -1, np.int32)
    for canvas, places, names in zip(canvases, boxes, classes, strict=True):
        for number in range(rng.integers(1, most + 1)):
            index = rng.integers(len(digits))
            rows, columns = (np.flatnonzero(digits[index].any(axis=axis)) for axis in (1, 0))
            ink = digits[index][rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] / 255.0
            height = int(rng.integers(heights[0], heights[1] + 1))
            width = min(max(round(ink.shape[1] * height / len(ink)), height // 3), side)
            for _ in range(20):
                top, left = rng.integers(0, side - height + 1), rng.integers(0, side - width + 1)
                box = np.array([top, left, top + height, left + width], np.float32)
                if not np.any(np.all((places[:, :2] < box[2:]) & (box[:2] < places[:, 2:]), axis=1)):
                    canvas[top : top + height, left : left + width, 0] = _resized(ink, height, width)
                    places[number], names[number] = box, labels[index]
                    break
    return canvases, boxes, classes


def _resized(picture, *sizes):
    """A picture (h, w) with other sizes, linear between the middles of pixels, first by rows, then by columns."""
    for size in sizes:
        at = np.clip((np.arange(size) + 0.5) * len(picture) / size - 0.5, 0, len(picture) - 1)
        low = at.astype(int)
        high, part = np.minimum(low + 1, len(picture) - 1), (at - low)[:, None]
        picture = (picture[low] * (1 - part) + picture[high] * part).T
    return picture


def example():
    """Three boxes on two digits: overlaps, suppression by us and by TensorFlow, and average precision by hand."""
    boxes = np.array([[0, 0, 10, 10], [0, 2, 10, 12], [20, 20, 40, 40]], np.float32)
    scores = np.array([0.9, 0.8, 0.7], np.float32)
    print("intersection over union:", iou(boxes, boxes).round(3), sep="\n")
    print("kept by us:", non_maximum_suppression(boxes, scores, 0.5), "and by TensorFlow:",
          tf.image.non_max_suppression(boxes, scores, 3, 0.5).numpy())  # fmt: skip
    truth = np.array([[0, 0, 10, 10], [20, 20, 40, 40]], np.float32)
    hits = first_hits(boxes, scores, truth)
    print("hits:", hits, "average precision:", average_precision(scores, hits, 2), "= (1 + 2/3) / 2")


def lesson(report, *, canvases: int = 300, copies: int = 6, jitter: float = 0.08, trials: int = 200, seed: int = 0):
    """Count pixels, compare with TensorFlow, then spoil the true boxes of some canvases in several ways.

    Args:
        report: The report to write to.
        canvases: Canvases with one to four digits (10 to 10000).
        copies: Boxes that the spoilt search finds for each object (2 to 50).
        jitter: How far a found box is off, its standard deviation over the object's height and width (0 to 1).
        trials: Random cases of each comparison with TensorFlow (1 to 10000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    rng, (_, (x, y)) = np.random.default_rng(seed), data.mnist()
    _pixels(report, rng)
    _suppression(report, rng, trials)
    _by_hand(report)
    _spoilt(report, (seed, 2), digit_canvases(x, y, canvases, (seed, 1)), copies, jitter)


def _pixels(report, rng):
    ends = np.sort(rng.integers(0, 33, (40, 2, 2)), axis=1)  # (boxes, start or end, axis)
    boxes = ends.reshape(40, 4).astype(np.float32)
    inside = np.zeros((40, 32, 32), bool)
    for mask, (top, left, bottom, right) in zip(inside, ends.reshape(40, 4), strict=True):
        mask[top:bottom, left:right] = True
    both, either = ((op(inside[:, None], inside)).sum(axis=(2, 3)) for op in (np.logical_and, np.logical_or))
    report.check("1600 pairs of boxes: overlap, by formula and by counting pixels", iou(boxes, boxes),
                 both / np.maximum(either, 1))  # fmt: skip


def _suppression(report, rng, trials):
    same = 0
    for _ in range(trials):
        ends = np.sort(rng.random((30, 2, 2)), axis=1).reshape(30, 4).astype(np.float32)
        scores, threshold = rng.random(30).astype(np.float32), float(rng.uniform(0.1, 0.9))
        theirs = tf.image.non_max_suppression(ends, scores, 30, threshold).numpy()
        same += np.array_equal(non_maximum_suppression(ends, scores, threshold), theirs)
    report.check(f"{trials} heaps of 30 boxes: kept as by tf.image.non_max_suppression", same, trials)


def _by_hand(report):
    """Three detections of three objects, the second one wrong: precision 1 at recall 1/3, 2/3 at recall 2/3."""
    report.check("hit, miss, hit of 3 objects: average precision 1/3 · 1 + 1/3 · 2/3",
                 average_precision([0.9, 0.8, 0.7], [True, False, True], 3), 5 / 9)  # fmt: skip
    report.check("a better one later lifts the precision before it: miss, hit, hit of 2 objects",
                 average_precision([0.9, 0.8, 0.7], [False, True, True], 2), 2 / 3)  # fmt: skip
    truth = np.array([[0, 0, 10, 10]], np.float32)
    hits = first_hits(np.repeat(truth, 3, axis=0), [0.7, 0.9, 0.8], truth)
    report.check("one object found three times: only the best box is a hit", hits, [False, True, False])


def _found(seed, boxes, labels, copies, jitter, threshold):
    """For each object `copies` boxes that are off at random, the worse the lower their score; then suppression."""
    rng, found = np.random.default_rng(seed), []
    for truth, true in zip(boxes, labels, strict=True):
        truth, true = (np.repeat(each[true >= 0], copies, axis=0) for each in (truth, true))
        off = np.clip(rng.normal(0, jitter, truth.shape), -0.4, 0.4)  # of the height or width: no box turns inside out
        seen = truth + off * np.tile(truth[:, 2:] - truth[:, :2], 2)
        sure = np.repeat(rng.random(len(truth) // copies), copies)  # some digits are found with more confidence
        scores = sure - np.abs(off).mean(axis=1)
        kept = non_maximum_suppression(seen, scores, threshold)  # with 1, all
        found.append((seen[kept], scores[kept], true[kept]))
    return found


def _spoilt(report, seed, drawn, copies, jitter):
    canvases, boxes, labels = drawn
    perfect = _found(seed, boxes, labels, 1, 0.0, 1.0)
    report.check("the true boxes: mean average precision", mean_average_precision(perfect, boxes, labels), 1.0)
    cases = {"all boxes": (copies, jitter, 1.0), "suppressed above 0.5": (copies, jitter, 0.5), "suppressed above 0.3":
             (copies, jitter, 0.3), "one box a digit, any": (1, jitter, 1.0), "one box a digit, twice as far off":
             (1, 2 * jitter, 1.0)}  # fmt: skip
    several = {name: _found(seed, boxes, labels, *case) for name, case in cases.items()}
    values = np.array([[mean_average_precision(found, boxes, labels, threshold) for threshold in (0.5, 0.75)]
                       for found in several.values()])  # fmt: skip
    counts = [sum(len(scores) for _, scores, _ in found) for found in several.values()]
    report.table(f"digits on {len(canvases)} canvases, {copies} spoilt boxes for each", ["what is returned", "boxes",
                 "mean average precision at overlap 0.5", "at 0.75"],
                 [[*row, *two] for *row, two in zip(several, counts, values.tolist(), strict=True)])  # fmt: skip
    report.at_least("suppression above 0.3: gain of mean average precision", values[2, 0] - values[0, 0], 0.3)
    report.at_least("twice as far off: what it costs at overlap 0.75", values[3, 1] - values[4, 1], 0.2)
    report.figure("Suppression leaves one box for each digit", _draw(canvases, several, boxes, labels),
                  alt="Left: a canvas with several boxes round each digit. Middle: one box each is left. Right: "
                  "precision over recall, which without suppression drops at once.")  # fmt: skip


def _draw(canvases, several, boxes, labels):
    figure, axes = plots.subplots(1, 3, figsize=(11, 3.7))
    shown = int(np.argmax((labels >= 0).sum(axis=1)))
    for number, name in enumerate(("all boxes", "suppressed above 0.3")):
        plots.bare_picture(canvases[shown, ..., 0], axes[number], low=0.0)
        plots.boxes(several[name][shown][0], axes[number], color=f"C{number}")
        axes[number].set_title(name)
        scores = np.concatenate([score for _, score, _ in several[name]])
        parts = zip(several[name], boxes, labels, strict=True)
        hits = np.concatenate([first_hits(*found[:2], truth[true >= 0]) for found, truth, true in parts])
        right = np.cumsum(hits[np.argsort(-scores, kind="stable")])
        precision, style = right / np.arange(1, len(hits) + 1), plots.LINE_STYLES[number]
        axes[2].plot(right / np.sum(labels >= 0), precision, style, color=f"C{number}", label=name)
    axes[2].set(xlabel="recall", ylabel="precision", ylim=(0, 1.03), title="All classes together")
    axes[2].legend()
    return figure
