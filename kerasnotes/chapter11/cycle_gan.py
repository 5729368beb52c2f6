"""Two sets without pairs fix how translations look; the way back keeps what is in them, though not which is which.

Digits, and other digits drawn as light outlines on dark paper: which outline belongs to which digit is known here and
hidden from training, so that translations can be marked. What the reader should see: discriminators that are content
with any outlines; a loss on the way there and back that keeps a digit's class and brings it near its true partner, over
several seeds; and a case to be solved by hand in which a perfect game and a perfect way back go with the wrong map.

Notes: chapter 11, "CycleGAN" (CycleGAN).
Source: Zhu et al. 2017, arXiv:1703.10593, section 3; Galanti, Wolf, Benaim 2018, arXiv:1709.00074 (wrong maps with a
perfect way back).
"""

import functools
import itertools

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots, training
from kerasnotes.chapter11.judge import as_pixels, classify, trained_classifier
from kerasnotes.chapter11.players import Player, play
from kerasnotes.chapter11.saturation import discriminator_loss, generator_loss
from kerasnotes.parts import floating, layer_seeds, positive, shape, whole

SMOKE = {"steps": 2, "seeds": 1, "images": 64, "test_images": 40, "batch_size": 4, "channels": (4, 4),
         "classifier_images": 512, "classifier_epochs": 1}  # fmt: skip
SECONDS = 50


def cycle_loss(x, back):
    """Mean absolute difference between what set out and what came back.

    Args:
        x, back: Tensors of one shape.

    Returns: A scalar tensor.

    Raises: ValueError: If the shapes differ, which would broadcast.

    Source: Zhu et al. 2017, arXiv:1703.10593, equation 2.
    """
    x, back = floating("x", x), floating("back", back)
    shape("back", back, *x.shape)
    return tf.reduce_mean(tf.abs(x - back))


def outlines(images):
    """Light outlines on dark paper: of each pixel, how much ink is around it beyond its own.

    A convolution can compute it: a pixel depends on its 3 x 3 neighbours.

    Args:
        images: Array (samples, height, width, 1), pixels from −1 (paper) to 1 (ink).

    Returns: float32 array of that shape, 1 on paper and −1 where ink begins.

    Raises: ValueError: If a pixel is out of range.
    """
    images = as_pixels(images)
    spread = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-1)
    for axis in (1, 2):  # the largest of three neighbours in a column, then of three in a row
        size = images.shape[axis]
        spread = functools.reduce(np.maximum, (np.take(spread, range(i, i + size), axis) for i in range(3)))
    return 1 - (spread - images)


def build_translation(channels=(16, 16), seed=0):
    """A translation between pictures of 28 x 28 pixels: halved, looked at, and enlarged again.

    Args:
        channels: Maps of both layers of 14 x 14 pixels.
        seed: Seed of the initial weights.

    Returns: An uncompiled model from (batch, 28, 28, 1) to (batch, 28, 28, 1) in [−1, 1].

    Raises: ValueError: If `channels` are not two positive whole numbers.
    """
    first, second = _two(channels)
    layers, start = keras.layers, _starts((seed, 1))
    inputs = keras.Input((28, 28, 1))
    x = layers.Conv2D(first, 6, 2, "same", activation="relu", kernel_initializer=start())(inputs)
    x = layers.Conv2D(second, 3, 1, "same", activation="relu", kernel_initializer=start())(x)
    x = layers.Conv2DTranspose(1, 4, 2, "same", activation="tanh", kernel_initializer=start())(x)
    return keras.Model(inputs, x)


def build_judge(channels=(16, 16), seed=0):
    """A discriminator of whole pictures: two halving convolutions and one logit.

    Args:
        channels: Maps of 14 x 14 and of 7 x 7 pixels.
        seed: Seed of the initial weights.

    Returns: An uncompiled model from (batch, 28, 28, 1) to logits (batch, 1).

    Raises: ValueError: If `channels` are not two positive whole numbers.
    """
    first, second = _two(channels)
    layers, start = keras.layers, _starts((seed, 2))
    inputs = keras.Input((28, 28, 1))
    x = layers.LeakyReLU(0.2)(layers.Conv2D(first, 4, 2, "same", kernel_initializer=start())(inputs))
    x = layers.LeakyReLU(0.2)(layers.Conv2D(second, 4, 2, "same", kernel_initializer=start())(x))
    return keras.Model(inputs, layers.Dense(1, kernel_initializer=start())(layers.Flatten()(x)))


def _two(channels):
    if len(channels) != 2:
        raise ValueError(f"channels: expected two positive whole numbers, got {channels!r}")
    return [whole("channels", size) for size in channels]


def _starts(seed):
    seeds = layer_seeds(seed)
    return lambda: keras.initializers.HeNormal(next(seeds))


def cycle_players(there, back, judge_first, judge_second, first, second, cycle_weight=10.0, learning_rate=2e-3):
    """The two players of a CycleGAN, for `play`: both judges, and both translations.

    Args:
        there, back: Models that translate the first set into the second and back.
        judge_first, judge_second: Models from pictures of a set to logits.
        first, second: Arrays (samples, 28, 28, 1), pixels in [−1, 1], not in pairs.
        cycle_weight: Weight of the cycle losses, 0 or more; a variable, if it is to be changed later.
        learning_rate: Of both Adam optimizers, or a Keras schedule.

    Returns: List of two players, whose losses take indices into the first and the second set.
    """
    first, second = (tf.constant(as_pixels(each)) for each in (first, second))

    def judges_turn(order_first, order_second):
        x, y = tf.gather(first, order_first), tf.gather(second, order_second)
        loss = discriminator_loss(judge_second(y), judge_second(there(x)))
        return loss + discriminator_loss(judge_first(x), judge_first(back(y)))

    def translations_turn(order_first, order_second):
        x, y = tf.gather(first, order_first), tf.gather(second, order_second)
        like_y, like_x = there(x), back(y)
        cycles = cycle_loss(x, back(like_y)) + cycle_loss(y, there(like_x))
        return generator_loss(judge_second(like_y)) + generator_loss(judge_first(like_x)) + cycle_weight * cycles

    judges = Player([judge_first, judge_second], judges_turn, learning_rate)
    return [judges, Player([there, back], translations_turn, learning_rate)]


def train_cycle_gan(networks, first, second, steps, *, cycle_weight=10.0, batch_size=16, learning_rate=2e-3, seed=0):
    """Train two translations and two judges in turns, in place.

    Args:
        networks: `(there, back, judge_first, judge_second)`, as in `cycle_players`.
        first, second: Arrays (samples, 28, 28, 1), pixels in [−1, 1], not in pairs.
        steps: Turns of each player.
        cycle_weight: Weight of the cycle losses, 0 or more.
        batch_size: Pictures of each set in a batch.
        learning_rate: Of both Adam optimizers.
        seed: Seed of the order.

    Returns: float32 (steps, 2), the losses of judges and translations.

    Raises: ValueError: If a number is out of range.

    Source: Zhu et al. 2017, arXiv:1703.10593, equation 3.
    """
    if not 0 <= cycle_weight < np.inf:
        raise ValueError(f"cycle_weight: expected a number of at least 0, got {cycle_weight!r}")
    players = cycle_players(*networks, first, second, cycle_weight, positive("learning_rate", learning_rate))
    return play(players, _draw(len(first), len(second), whole("batch_size", batch_size), seed), steps)


def _draw(first, second, batch_size, seed):
    rng = np.random.default_rng((seed, 3))
    return lambda _, count: tuple(
        rng.integers(samples, size=(count, batch_size), dtype=np.int32) for samples in (first, second)
    )


def example():
    """There and back with the right map and with a wrong one, and a few steps of a small game."""
    x = np.array([-2.0, -1.0, 1.0, 2.0])  # a symmetric set; the second set is the same, the right map leaves x alone
    print("Keras's mean absolute error and our cycle loss:",
          float(keras.losses.MeanAbsoluteError()(x, x + 0.5)), float(cycle_loss(x, x + 0.5)))  # fmt: skip
    wrong = -x
    print("the wrong map's set:", np.sort(wrong), "its cycle loss:", float(cycle_loss(x, -wrong)))
    print("its distance from the right partners:", float(cycle_loss(x, wrong)))
    square = np.full((8, 28, 28, 1), -1, np.float32)
    square[:, 10:18, 10:18] = 1
    print("a row of an outline:", "".join("# "[int(pixel > 0)] for pixel in outlines(square)[0, 12, :, 0]))
    networks = [build((4, 4), seed) for build in (build_translation, build_judge) for seed in (0, 1)]
    losses = train_cycle_gan(networks, square, outlines(square), 5)
    print("losses of judges and translations:", losses[-1].round(2))


def lesson(
    report,
    *,
    steps: int = 500,
    seeds: int = 3,
    images: int = 20000,
    test_images: int = 1000,
    channels: tuple[int, ...] = (16, 16),
    cycle_weight: float = 10.0,
    batch_size: int = 16,
    classifier_images: int = 60000,
    classifier_epochs: int = 2,
    seed: int = 0,
):
    """Solve small cases by hand, then translate digits into outlines with and without the way back.

    Args:
        report: The report to write to.
        steps: Turns of each player (2 to 1000000).
        seeds: Trainings with the cycle losses, and as many without (1 to 100).
        images: Training digits, and as many outlines of other digits (64 to 30000).
        test_images: Digits that are translated and marked (40 to 10000).
        channels: Maps of the two layers of every network (1 to 1024).
        cycle_weight: Weight of the cycle losses (0.001 to 100000).
        batch_size: Pictures of each set in a batch (1 to 1024).
        classifier_images: Outlines on which the classifier that marks is trained (512 to 60000).
        classifier_epochs: Its epochs (1 to 100).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _by_hand(report)
    classifier = trained_classifier(_outlined, training.fit, classifier_images, classifier_epochs, seed)
    (x, _), (x_test, y_test) = data.mnist()
    picked = np.random.default_rng((seed, 4)).permutation(len(x_test))[:test_images]
    x, x_test = (np.float32(each)[..., None] / 127.5 - 1 for each in (x[: 2 * images], x_test[picked]))
    truth, labels = outlines(x_test), y_test[picked]
    accuracy = np.mean(classify(classifier, truth)[1].argmax(axis=1) == labels)
    rates = np.repeat([cycle_weight, 0.0], seeds)
    translated = _trainings(report, x[:images], outlines(x[images:]), x_test, rates, steps, channels, batch_size, seed)
    rows = []
    for there, again in translated:
        answers = classify(classifier, there)[1].argmax(axis=1)
        common = [np.bincount(answers[labels == digit], minlength=10).argmax() for digit in np.unique(labels)]
        moved = int(np.sum(common != np.unique(labels)))
        distance, cycle = np.sqrt(np.mean((there - truth) ** 2)), np.mean(np.abs(again - x_test))
        rows.append([np.mean(answers == labels), distance, cycle, moved])
    _compare(report, np.array(rows).reshape(2, seeds, 4), float(accuracy), cycle_weight)
    _figure(report, x_test, truth, [translated[0][0], translated[seeds][0]], np.array(rows).reshape(2, seeds, 4))


def _by_hand(report):
    """Perfect games with a perfect way back whose map is wrong."""
    x = np.array([-2.0, -1.0, 1.0, 2.0])  # each equally likely; the second set is the same, and x belongs to x
    there = -x
    report.check("x to −x: the set's distribution is the right one", np.sort(there), x)
    report.check("its cycle loss", cycle_loss(x, -there), 0.0)
    report.check("its distance from the right partners", cycle_loss(x, there), 1.5)
    maps = list(itertools.product(range(4), repeat=4))
    fair = [each for each in maps if sorted(each) == list(range(4))]  # judges see the right distribution
    back = [np.argsort(each) for each in fair]
    worst = max(cycle_loss(x, x[back[n][list(each)]]).numpy() for n, each in enumerate(fair))
    report.check("four points, 256 maps: those that no judge can tell from the right one", len(fair), 24)
    report.check("and every one of them has a way back with cycle loss 0", worst, 0.0)


def _outlined():
    """MNIST as outlines, in the form of its loader."""
    parts = []
    for x, y in data.mnist():
        drawn = [outlines(np.float32(part)[..., None] / 127.5 - 1)[..., 0] for part in np.array_split(x, 10)]
        parts.append((np.uint8(np.round((np.concatenate(drawn) + 1) * 127.5)), y))
    return tuple(parts)


def _trainings(report, first, second, x_test, weights, steps, channels, batch_size, seed):
    """All trainings, one after the other in one compiled loop; pairs of translations and what comes back of them."""
    makers = (build_translation, build_translation, build_judge, build_judge)
    networks = [make(channels) for make in makers]
    weight = tf.Variable(0.0)
    rate = keras.optimizers.schedules.PolynomialDecay(2e-3, steps, 2e-4)
    players = cycle_players(*networks, first, second, weight, rate)
    fresh = [[variable.numpy() for variable in player.optimizer.variables] for player in players]
    seeds, translated = len(weights) // 2, []

    def start(run):
        weight.assign(weights[run])
        for number, (network, make) in enumerate(zip(networks, makers, strict=True)):
            network.set_weights(make(channels, (seed, run % seeds, number)).get_weights())
        for player, values in zip(players, fresh, strict=True):
            for variable, value in zip(player.optimizer.variables, values, strict=True):
                variable.assign(value)

    def end(done):
        there = networks[0].predict(x_test, batch_size=500, verbose=0)
        translated.append((there, networks[1].predict(there, batch_size=500, verbose=0)))
        if done < steps * len(weights):
            start(done // steps)

    start(0)
    draw = _draw(len(first), len(second), batch_size, seed)
    play(players, draw, steps * len(weights), every=steps, track=report.track, watch=end)
    return translated


def _compare(report, rows, accuracy, cycle_weight):
    means = [plots.mean_and_error(each) for each in rows]
    columns = ["training", "share that keeps its class", "distance from the true partner", "cycle loss",
               "classes taken for others"]  # fmt: skip
    names = (f"cycle losses times {cycle_weight:g}", "without")
    report.table(
        f"digits to outlines, {len(rows[0])} seeds; true outlines keep {accuracy:.1%}", columns,
        [[name, *zip(*map(np.ndarray.tolist, each), strict=True)] for name, each in zip(names, means, strict=True)],
    )  # fmt: skip
    (kept, distance, _, moved), (kept_without, distance_without, *_) = (mean for mean, _ in means)
    report.at_least("with cycle losses: share that keeps its class", kept, 0.7, trained=True)
    report.at_least("its gain over training without, mean over seeds", kept - kept_without, 0.05, trained=True)
    nearer = distance / distance_without
    report.at_most("distance from the true partner, with over without", nearer, 0.95, trained=True)
    reached = "reached" if kept >= 0.9 else f"missed by {0.9 - kept:.3f}"
    report.note(
        f"Goal 0.9 of the classes kept: {reached} with {kept:.3f}. In the mean {moved:.1f} of ten digits are mostly "
        "taken for another one. Unlike the paper: small networks with one halving, a logit for the whole picture, the "
        "logistic loss in place of least squares, no store of old pictures."
    )
    report.correction(
        "what makes translations match",
        course="The two discriminators make sure that a translation matches its original.",
        correct="They only see the distribution of translations; the cycle loss ties each to its original, and not "
        "uniquely.",
        shown_by="x ↦ −x on a symmetric set: no discriminator can object, the cycle loss is 0, the partner is wrong",
    )


def _figure(report, x_test, truth, drawn, rows):
    figure, (left, right) = plots.subplots(1, 2, figsize=(10.5, 4.2), width_ratios=(2, 1))
    labels = ("digit", "true partner", "with the\ncycle losses", "without")
    plots.tiles(np.stack([each[:10] for each in (x_test, truth, *drawn)]), left, labels)
    left.set_title("Translations of one pair of trainings")
    for place, values in enumerate(rows[..., 0]):
        right.plot(np.full(len(values), place), values, "osD^v"[place], markersize=8)
    right.set(xlim=(-0.5, 1.5), ylim=(0, 1), ylabel="share that keeps its class")
    right.set_xticks([0, 1], ["with", "without"])
    right.set_title("Every seed")
    report.figure("Digits to outlines", figure, alt="Left: ten digits, their true outlines, and translations learnt "
                  "without pairs, with cycle losses and without. Right: the share of translations that keep their "
                  "class, a mark for each seed, higher with cycle losses.")  # fmt: skip
