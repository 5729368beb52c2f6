"""A softmax shares one belief among all digits; sigmoids answer for each digit, and so say how many to expect.

One handwritten digit in a picture or two side by side, and a part of all pixels erased: which digits are there? What
the reader should see: both losses have the slope p − y along the logits, and yet they ask different things. A softmax
that is sure of a 3 and a 5 says ½ and ½, exactly what it says if one digit is there and it cannot tell a 3 from a 5;
sigmoids say 1 and 1, or ½ and ½. Told how many digits there are, both networks rank them about equally well. Not told,
the softmax needs a threshold below ½ and more often takes one digit that it is unsure of for two.

Notes: chapter 02, "Loss functions" (损失函数); chapter 13, "Multi-label classification" (多标签分类).
Source: Bishop 2006, Pattern Recognition and Machine Learning, ISBN 978-0-387-31073-2, section 4.3;
https://keras.io/api/losses/probabilistic_losses.
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots, training
from kerasnotes.chapter02.activations import sigmoid
from kerasnotes.chapter02.losses import matched
from kerasnotes.chapter02.mlp import build_mlp
from kerasnotes.parts import shape

SMOKE = {"samples": 200, "epochs": 1, "units": 16}
SECONDS = 10

KINDS = ("one alone", "two different", "two equal")
WAYS = ("softmax", "sigmoids")


def softmax_loss(y, logits):
    """Cross-entropy of a softmax, −Σ y ln p, for each example: one choice among all classes.

    Args:
        y: Targets (examples, classes), 0 or more, that sum to 1: a half for each of two labels.
        logits: (examples, classes), of any size.

    Returns: `(loss, slope)`: the losses (examples,), and their slopes p − y along the logits (examples, classes).
    Raises: ValueError: If the shapes differ, or targets are negative or do not sum to 1.
    """
    y, logits = _checked(y, logits)
    if np.any(y < 0) or np.any(np.abs(y.sum(axis=1) - 1) > 1e-5):
        raise ValueError(f"y: expected targets that sum to 1, got the sums {np.unique(y.sum(axis=1))}")
    highest = logits.max(axis=1, keepdims=True)  # subtracted, so that exp does not overflow
    log_p = logits - highest - np.log(np.exp(logits - highest).sum(axis=1, keepdims=True))
    return -(y * log_p).sum(axis=1), np.exp(log_p) - y


def sigmoid_loss(y, logits):
    """Cross-entropies of yes or no, summed over the classes, for each example: a question for every class.

    Args:
        y: Targets (examples, classes), from 0 to 1: a 1 for each label that is there.
        logits: (examples, classes), of any size.

    Returns:
        `(loss, slope)`: the losses (examples,), and their slopes p − y along the logits (examples, classes).
        Keras takes the mean over classes instead of the sum.
    Raises: ValueError: If the shapes differ, or a target is outside [0, 1].
    """
    y, logits = _checked(y, logits)
    if np.any(y < 0) or np.any(y > 1):
        raise ValueError(f"y: expected targets from 0 to 1, got {y.min()} to {y.max()}")
    # −ln σ(z) = ln(1 + e^−z), and for a no −ln(1 − σ(z)) is larger by z.
    return (np.logaddexp(0, -logits) + (1 - y) * logits).sum(axis=1), sigmoid(logits) - y


def best_answers(sets, chances):
    """The answers with the smallest expected loss, if several sets of labels are possible for a picture.

    The slope p − y is 0 on average where p is the mean of the targets: for sigmoids each label's chance, for a softmax
    the mean share.

    Args:
        sets: 1 for each label of a set (sets, classes), at least one label in each.
        chances: How likely each set is (sets,), sum 1.

    Returns: `(softmax's, sigmoids')` probabilities, each (classes,).
    Raises: ValueError: If the shapes differ, a set is empty, or the chances are no distribution.
    """
    sets = np.asarray(sets, float)
    chances = shape("chances", np.asarray(chances, float), len(shape("sets", sets, None, None)))
    if not np.isin(sets, (0, 1)).all() or not sets.any(axis=1).all():
        raise ValueError("sets: expected 0 and 1, and a label in each set")
    if np.any(chances < 0) or abs(chances.sum() - 1) > 1e-9:
        raise ValueError(f"chances: expected 0 or more, with sum 1, got {chances}")
    return chances @ (sets / sets.sum(axis=1, keepdims=True)), chances @ sets


def side_by_side(left, right):
    """Pictures of two digits, each at half its height and width.

    Args:
        left, right: Pictures (n, 28, 28), from 0 to 255; zeros for an empty side.

    Returns: Array (n, 14, 28), float32, from 0 to 1.
    Raises: ValueError: If a shape differs.
    """
    sides = [np.float32(shape("pictures", np.asarray(side), len(left), 28, 28)) / 255 for side in (left, right)]
    return np.concatenate([side.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4)) for side in sides], axis=2)


def likeliest(scores, counts):
    """The answer of someone who is told how many labels there are: for each row its `counts` highest scores.

    Args:
        scores: (samples, labels).
        counts: How many labels, from 0 to all, (samples,).

    Returns: Booleans (samples, labels).
    Raises: ValueError: If the shapes differ or a count is out of range.
    """
    scores = np.asarray_chkfinite(shape("scores", np.asarray(scores), None, None))
    counts = shape("counts", np.asarray(counts), len(scores))
    if np.any((counts < 0) | (counts > scores.shape[1]) | (counts != np.round(counts))):
        raise ValueError(f"counts: expected whole numbers from 0 to {scores.shape[1]}, got {np.unique(counts)}")
    ranks = np.argsort(np.argsort(-scores, axis=1, kind="stable"), axis=1)
    return ranks < counts[:, None]


def all_right(labels, said):
    """Share of samples whose labels are all right; both (samples, labels), of 0 and 1."""
    labels = np.asarray(labels, bool)
    return float(np.mean((labels == shape("said", np.asarray(said, bool), *labels.shape)).all(axis=1)))


def choose_threshold(labels, scores):
    """The one threshold for all labels, of 0.01, 0.02, … 0.99, above which most samples are all right."""
    levels = np.arange(1, 100) / 100
    return float(levels[np.argmax([all_right(labels, np.asarray(scores) > level) for level in levels])])


def _checked(y, logits):
    y, logits = (each.numpy() for each in matched("y", y, "logits", np.asarray_chkfinite(logits, float)))
    return y, shape("logits", logits, None, None)


def example():
    """A picture with a 0 and a 2 of three digits: both losses and slopes, by Keras and by hand."""
    both, logits = np.array([[1.0, 0, 1]]), tf.constant([[2.0, -1, 0.5]])
    theirs = {
        "softmax": (keras.losses.CategoricalCrossentropy(from_logits=True), both / 2, softmax_loss),
        "sigmoids": (keras.losses.BinaryCrossentropy(from_logits=True), both, sigmoid_loss),
    }
    for name, (loss, y, ours) in theirs.items():
        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = loss(y, logits)
        found, slope = ours(y, logits.numpy())
        print(f"{name}: Keras {value:.4f}, slope {tape.gradient(value, logits).numpy()[0].round(3)}; "
              f"ours {found[0]:.4f}, {slope[0].round(3)}")  # fmt: skip
    print("Keras's BinaryCrossentropy is the mean over three classes, ours the sum.")
    for what, sets in (("a 0 and a 2", [[1, 0, 1]]), ("a 0 or a 2", [[1, 0, 0], [0, 0, 1]])):
        print(f"{what}: softmax, sigmoids", *best_answers(sets, np.full(len(sets), 1 / len(sets))))


def lesson(report, *, samples: int = 20000, epochs: int = 6, units: int = 256, seed: int = 0):
    """Slopes and best answers of both losses, then the same network trained with each.

    Args:
        report: The report to write to.
        samples: Pictures to learn from (100 to 200000).
        epochs: Passes over them (1 to 100).
        units: Hidden units (1 to 8192).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _against_keras(report, np.random.default_rng((seed, 0)))
    _best(report, np.random.default_rng((seed, 1)))
    (images, digits), (test_images, test_digits) = data.mnist()
    rng = np.random.default_rng((seed, 2))
    # The last 5,000 digits of the training part are for choosing thresholds.
    x, y, _, _ = _pictures(images[:-5000], digits[:-5000], samples, rng)
    tuning = _pictures(images[-5000:], digits[-5000:], 4000, rng)
    test = _pictures(test_images, test_digits, 12000, rng)
    scores, thresholds = {}, {}
    for way in report.track(WAYS, "training"):
        tuned, scores[way] = _trained(way, x, y, (tuning[0], test[0]), epochs, units, seed)
        thresholds[way] = choose_threshold(tuning[1], tuned)
    right = _what_they_say(report, test, scores, thresholds)
    report.figure("One belief to share, or ten", _draw(test, scores, right),
                  alt="A picture of two digits and ten probabilities by a softmax and by sigmoids: the softmax shares "
                  "its one among them and others, the sigmoids give both far more than one half. Right: the share "
                  "of pictures all right falls with the share of pixels erased; told how many digits there are, both "
                  "are nearly equal; not told, the softmax is below unless most pixels are erased.")  # fmt: skip


def _against_keras(report, rng):
    logits = 5 * rng.normal(size=(6, 10))
    logits[0, :2] = 100, -100
    labels = np.array([rng.permutation(np.arange(10) < 2) for _ in range(6)], float)  # two labels each
    with tf.GradientTape(persistent=True) as tape:
        z = tf.constant(logits)
        tape.watch(z)
        theirs = [tf.nn.softmax_cross_entropy_with_logits(labels / 2, z),
                  10 * keras.losses.binary_crossentropy(labels, z, from_logits=True)]  # fmt: skip
        sums = [tf.reduce_sum(each) for each in theirs]
    slopes = [tape.gradient(each, z) for each in sums]
    ours = softmax_loss(labels / 2, logits), sigmoid_loss(labels, logits)
    names = "softmax: loss and slope p − y are TensorFlow's", "sigmoids: ten times Keras's mean, loss and slope p − y"
    for name, (loss, slope), their_loss, their_slope in zip(names, ours, theirs, slopes, strict=True):
        report.check(name, np.c_[loss, slope], np.c_[their_loss, their_slope], rtol=1e-6, atol=1e-9)


def _best(report, rng):
    """What each loss asks for, where the labels are not certain."""
    cases = {"a 3 and a 5": ({3, 5},), "one digit, a 3 or a 5": ({3}, {5}), "a 3, and perhaps a 5": ({3}, {3, 5}),
             "a 3, with a 5 or an 8": ({3, 5}, {3, 8})}  # fmt: skip
    rows, answers = [], {}
    for name, possible in cases.items():
        sets = np.array([[digit in each for digit in range(10)] for each in possible])
        answers[name] = best_answers(sets, np.full(len(sets), 1 / len(sets)))
        for way, best in zip(("softmax", "sigmoids"), answers[name], strict=True):
            rows.append([name, way, *(float(best[digit]) for digit in (3, 5, 8)), float(best.sum())])
    columns = ["what may be there, evenly", "answer of", "3", "5", "8", "sum of ten"]
    report.table("Best answers to a picture", columns, rows)
    (both, _), (either, _), *_ = answers.values()
    report.check("softmax: the best answer to a 3 and a 5 is the one to a 3 or a 5", both, either)

    sets, chances = rng.random((5, 10)) < 0.4, rng.dirichlet(np.ones(5))
    sets[0] |= ~sets.any(axis=0)  # every label is possible,
    sets[:, 0] |= ~sets.any(axis=1)  # and no set is empty
    shares, likely = best_answers(sets, chances)
    odds = np.clip(likely, 1e-9, 1 - 1e-9)  # a label of every set would have an infinite logit
    slopes = [softmax_loss(sets / sets.sum(axis=1, keepdims=True), np.tile(np.log(shares), (5, 1)))[1],
              sigmoid_loss(sets, np.tile(np.log(odds / (1 - odds)), (5, 1)))[1]]  # fmt: skip
    report.check("mean slopes of both losses at the best answers", chances @ slopes, np.zeros((2, 10)), atol=1e-8)
    label = "sigmoids: the best answers sum to the mean number of labels"
    report.check(label, likely.sum(), chances @ sets.sum(axis=1))


def _pictures(images, digits, samples, rng):
    """Pictures (samples, 14, 28), their labels (samples, 10), their kinds, and the shares of their pixels erased."""
    left, right = rng.integers(len(images), size=(2, samples))
    empty = rng.integers(4, size=samples)  # 0: the left side, 1: the right side, 2 or 3: none
    sides = [np.where((empty == side)[:, None, None], 0, images[chosen]) for side, chosen in enumerate((left, right))]
    y = np.zeros((samples, 10), np.float32)
    for side, chosen in enumerate((left, right)):
        there = np.flatnonzero(empty != side)
        y[there, digits[chosen[there]]] = 1
    kinds = np.where(empty < 2, 0, np.where(digits[left] == digits[right], 2, 1))
    erased = rng.uniform(size=samples)
    pictures = side_by_side(*sides)
    return pictures * (rng.random(pictures.shape) >= erased[:, None, None]), y, kinds, erased


def _trained(way, x, y, others, epochs, units, seed):
    """A network's answers to other pictures; both networks have the same start and the same batches."""
    model = build_mlp([units], 10, seed=seed)
    loss, squash = keras.losses.BinaryCrossentropy(from_logits=True), tf.sigmoid
    if way == "softmax":
        y = y / y.sum(axis=1, keepdims=True)  # a half for each of two
        loss, squash = keras.losses.CategoricalCrossentropy(from_logits=True), tf.nn.softmax
    rate = keras.optimizers.schedules.CosineDecay(2e-3, epochs * -(-len(x) // 100))
    model.compile(keras.optimizers.Adam(rate), loss)
    training.fit(model, np.float32(x.reshape(len(x), -1)), y, batch_size=100, epochs=epochs, seed=seed)
    return [squash(training.predict(model, np.float32(each.reshape(len(each), -1)))).numpy() for each in others]


def _what_they_say(report, test, scores, thresholds):
    """Shares of test pictures all right, by kind; returns those by the share of pixels erased."""
    _, y, kinds, erased = test
    counts = y.sum(axis=1)
    said = {}
    for way, p in scores.items():
        said |= {f"{way}, told how many": likeliest(p, counts), f"{way}, above ½": p > 0.5,
                 f"{way}, above its threshold": p > thresholds[way]}  # fmt: skip
    rows = [[name, *(all_right(y[kinds == kind], each[kinds == kind]) for kind in range(3)), all_right(y, each),
             float(np.mean(each[kinds == 0].sum(axis=1) > 1))] for name, each in said.items()]  # fmt: skip
    report.table("Test pictures, a random share of their pixels erased: share all right",
                 ["answer", *KINDS, "all pictures", "two or more named where one is alone"], rows)  # fmt: skip
    report.check("softmax above ½: two different digits all right", rows[1][2], 0.0)
    sums = {way: [float(p[kinds == kind].sum(axis=1).mean()) for kind in range(3)] for way, p in scores.items()}
    report.table("Sum of the ten answers, mean", ["answers of", *KINDS, "threshold, chosen on other pictures"],
                 [[way, *sums[way], thresholds[way]] for way in WAYS])  # fmt: skip
    gap = abs(scores["sigmoids"].sum(axis=1).mean() - counts.mean())
    report.at_most("sigmoids: mean sum of ten less the mean number of digits, size", gap, 0.05, trained=True)
    told, _, ahead = (rows[3 + k][4] - rows[k][4] for k in range(3))
    report.at_most("told how many: sigmoids and softmax differ by", abs(told), 0.05, trained=True)
    report.at_least("not told: sigmoids ahead of the softmax, each above its threshold, by", ahead, 0.0, trained=True)
    more = rows[2][5] - rows[5][5]
    report.at_least("one digit alone: the softmax names two more often, by", more, 0.0, trained=True)
    report.at_most("softmax: threshold", thresholds["softmax"], 0.5, trained=True)
    bins = np.minimum(np.int32(erased * 8), 7)
    return {name: [all_right(y[bins == k], each[bins == k]) for k in range(8)]
            for name, each in said.items() if "½" not in name}  # fmt: skip


def _draw(test, scores, right):
    figure, axes = plots.subplots(1, 3, figsize=(14, 4.4), width_ratios=(1, 1.4, 1.8))
    pictures, _, kinds, erased = test
    shown = np.flatnonzero((kinds == 1) & (erased < 0.3))[0]
    plots.bare_picture(pictures[shown], axes[0], low=0)
    axes[0].set_title("Two digits")
    for shift, (way, p) in zip((-0.2, 0.2), scores.items(), strict=True):
        axes[1].bar(np.arange(10) + shift, p[shown], width=0.4, label=way)
    axes[1].set(xlabel="digit", ylabel="answer", xticks=range(10), ylim=(0, 1.25), title="What both say")
    axes[1].legend(loc="upper right", ncols=2)
    plots.curves((np.arange(8) + 0.5) / 8, right, xlabel="share of pixels erased", ylabel="share all right",
                 title="Told or not told how many", marker="o", ax=axes[2])  # fmt: skip
    return figure
