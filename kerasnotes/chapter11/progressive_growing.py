"""Grown from 7 to 28 pixels or trained at 28 from the start: compared for as many multiplications, won or lost.

Steps on small pictures are cheap, and what they teach is kept. But they are steps that the large picture does not
get. What the reader should see: digits at three sizes of one training; the price of a step at each size; and scores of
the grown generator beside those of the same network that had all its steps at 28 x 28, over several runs.

Notes: chapter 11, "Progressive growing" (渐进式增长).
Source: Karras et al. 2018, arXiv:1710.10196, section 2 and figure 2.
"""

import math
import time

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots, training
from kerasnotes.chapter11.judge import as_pixels, classify, draw_images, trained_classifier
from kerasnotes.chapter11.players import Player, draw_batches, play
from kerasnotes.chapter11.pyramids import FadeIn, build_pair, double, grow, grow_discriminator, halve, settle
from kerasnotes.chapter11.saturation import discriminator_loss, generator_loss
from kerasnotes.chapter11.scores import score_images
from kerasnotes.parts import positive, share, whole

SMOKE = {"steps": (2, 2, 2), "runs": 2, "images": 512, "samples": 100, "batch_size": 4, "channels": (2, 2, 2),
         "classifier_epochs": 1}  # fmt: skip
SECONDS = 45


def multiplications(generator, discriminator):
    """Multiplications with kernels in one step of both, for each picture of a batch.

    A pass back costs about two forward, or one where only the inputs' slopes are asked for. The discriminator's turn:
    a picture is drawn, that one and a real one judged with slopes, G + 6 D. The generator's: 3 G + 2 D.

    Args:
        generator, discriminator: Keras models of dense layers and convolutions.

    Returns: A whole number, 4 G + 8 D, with G and D those of a pass forward.
    """
    forward = []
    for network in (generator, discriminator):
        kernels = [layer for layer in network.layers if hasattr(layer, "kernel")]
        forward.append(sum(math.prod(layer.kernel.shape) * _places(layer) for layer in kernels))
    return 4 * forward[0] + 8 * forward[1]


def _places(layer):
    """How often a picture meets the kernel: at each pixel of a convolution's output, or of a transposed one's input."""
    maps = layer.input if isinstance(layer, keras.layers.Conv2DTranspose) else layer.output
    return math.prod(maps.shape[1:-1])


def train_size(
    generator, discriminator, images, steps, *, fade_steps=0, batch_size=32, learning_rate=2e-3, every=250, seed=0,
    track=None, watch=None,
):  # fmt: skip
    """Train a pair at one size, in place. While α rises, real pictures are mixed as the drawn ones are.

    Args:
        generator, discriminator: Models as `build_pair`, `grow` and `grow_discriminator` make them.
        images: Array (samples, side, side, 1), pixels in [−1, 1].
        steps: Turns of each network.
        fade_steps: Steps in which α rises from 0 to 1; with 0 it is 1 from the start.
        batch_size: Pictures in a batch, real and drawn.
        learning_rate: Of both Adam optimizers, a number or a Keras schedule.
        every, track, watch: As in `train_in_chunks`.
        seed: Seed of noise and order.

    Returns: float32 (steps, 2), the losses of discriminator and generator.

    Raises: ValueError: If the pictures have another size than the networks, or a number is out of range.

    Source: Karras et al. 2018, arXiv:1710.10196, figure 2.
    """
    images, fade_steps = tf.constant(as_pixels(images)), whole("fade_steps", fade_steps, 0)
    if images.shape[1:] != generator.output_shape[1:]:
        raise ValueError(f"images: expected the generator's size {generator.output_shape[1:]}, got {images.shape[1:]}")
    fades = [layer for each in (generator, discriminator) for layer in each.layers if isinstance(layer, FadeIn)]
    draw_both = draw_batches(len(images), batch_size, generator.input_shape[-1], seed)

    def draw(first, count):
        alpha = np.arange(first, first + count) / fade_steps if fade_steps else np.ones(count)
        return (*draw_both(first, count), np.float32(np.minimum(alpha, 1)))

    def tell(order, noise, alpha):
        for fade in fades:
            fade.alpha.assign(alpha)
        real = tf.gather(images, order)
        if fade_steps:
            real = (1 - alpha) * double(halve(real)) + alpha * real
        drawn = generator(noise, training=True)
        return discriminator_loss(discriminator(real, training=True), discriminator(drawn, training=True))

    def fool(order, noise, alpha):
        return generator_loss(discriminator(generator(noise, training=True), training=True))

    players = [Player([discriminator], tell, learning_rate), Player([generator], fool, learning_rate)]
    losses = play(players, draw, steps, every=every, track=track, watch=watch)
    for fade in fades:
        fade.alpha.assign(1)
    return losses


def train_pyramid(
    generator, discriminator, images, steps, *, channels=(16, 8), batch_size=32, learning_rate=2e-3, fade=0.5, seed=0,
    looks=1, track=None, watch=None,
):  # fmt: skip
    """Train a pair at one size after the other, the small ones first; between sizes it doubles.

    Args:
        generator, discriminator: Models of the smallest size, as `build_pair` makes them.
        images: Array (samples, side, side, 1) of the last size, pixels in [−1, 1].
        steps: Turns of each network at each size. A pair grows through a size without steps at once: `(0, 0, 500)`
            trains at the last size from the start.
        channels: Maps of each size but the first.
        batch_size: Pictures in a batch, real and drawn.
        learning_rate: Of the Adam optimizers; at the last size it falls linearly to a twentieth.
        fade: Share of a size's steps in which its new layers fade in; the first that is trained has none.
        seed: Seed of new weights, noise and order.
        looks, watch: `watch(generator, multiplications)` is called so many times at each size, or never if None.
        track: As in `train_in_chunks`.

    Returns: `(generator, discriminator, multiplications)`: the pair at the last size, without old paths, and the price.

    Raises: ValueError: If sizes, steps and channels do not fit together, or a number is out of range.

    Source: Karras et al. 2018, arXiv:1710.10196, section 2.
    """
    positive("learning_rate", learning_rate), share("fade", fade), whole("looks", looks)
    steps = [whole("steps", count, 0) for count in steps]
    if not any(steps) or len(channels) != len(steps) - 1:
        raise ValueError(f"steps, channels: expected counts of all sizes, of all but one, got {steps}, {channels!r}")
    sizes, spent, fresh = [as_pixels(images)], 0, True
    for _ in channels:
        sizes.insert(0, halve(sizes[0]).numpy())
    for number, (real, count) in enumerate(zip(sizes, steps, strict=True)):
        if number:
            generator = grow(generator, channels[number - 1], seed)
            discriminator = grow_discriminator(discriminator, channels[number - 1], seed)
        if fresh:
            generator, discriminator = settle(generator), settle(discriminator)
        if count:
            last, price = number == len(steps) - 1, batch_size * multiplications(generator, discriminator)
            rate = keras.optimizers.schedules.PolynomialDecay(learning_rate, count, learning_rate / 20)
            train_size(
                generator, discriminator, real, count, fade_steps=0 if fresh else round(fade * count),
                batch_size=batch_size, learning_rate=rate if last else learning_rate, every=math.ceil(count / looks),
                seed=(seed, number), track=track,
                watch=watch and (lambda done, g=generator, s=spent, p=price: watch(g, s + done * p)),
            )  # fmt: skip
            spent, fresh = spent + count * price, False
    return settle(generator), settle(discriminator), spent


def example():
    """Pictures that are bright above, grown from 7 to 14 pixels; and the price of a step against Keras's weights."""
    images = np.full((64, 14, 14, 1), -1, np.float32)
    images[:, :7] = 1
    pair = build_pair(8, 4)
    for name in ("7 x 7", "14 x 14"):
        print(f"{name}: {sum(each.count_params() for each in pair):,} weights,", end=" ")
        print(f"{multiplications(*pair):,} multiplications of a step, for each picture")
        if name == "7 x 7":
            *pair, spent = train_pyramid(*pair, images, (40, 40), channels=(4,), batch_size=16, learning_rate=0.01)
    drawn = draw_images(pair[0], 200, seed=0)
    print("mean pixel above and below:", drawn[:, :7].mean().round(2), drawn[:, 7:].mean().round(2))
    print(f"spent: {spent:,} multiplications")


def lesson(
    report,
    *,
    steps: tuple[int, ...] = (150, 120, 100),
    runs: int = 3,
    images: int = 30000,
    samples: int = 4000,
    channels: tuple[int, ...] = (16, 8, 8),
    batch_size: int = 32,
    learning_rate: float = 3e-3,
    classifier_epochs: int = 2,
    seed: int = 0,
):
    """Train grown networks and the same ones at 28 from the start, for one price, and have a classifier judge them.

    Args:
        report: The report to write to.
        steps: Turns of each network at 7 x 7, 14 x 14 and 28 x 28 pixels (2 to 1000000).
        runs: Trainings of each kind, with seeds of their own (2 to 100).
        images: Training images of the networks and of the classifier (512 to 60000).
        samples: Digits drawn in the end, and as many real ones beside them (100 to 10000).
        channels: Maps of 7 x 7, 14 x 14 and 28 x 28 pixels (1 to 1024).
        batch_size: Pictures in a batch, real and drawn (2 to 1024).
        learning_rate: Of the Adam optimizers (0.000001 to 1).
        classifier_epochs: Epochs of the classifier that judges (1 to 100).
        seed: Seed of all random draws (0 to 4294967295).
    """
    (x, _), (x_test, _) = data.mnist()
    rng = np.random.default_rng((seed, 6))
    real, test = (rng.permutation(len(each))[:samples] for each in (x[:images], x_test))
    x, x_test = (np.float32(each)[..., None] / 127.5 - 1 for each in (x[:images], x_test[test]))
    classifier = trained_classifier(data.mnist, training.fit, images, classifier_epochs, seed)
    reference = classify(classifier, x[real])[0]

    def judged(pictures):
        scored = score_images(classifier, _large(pictures), reference)
        return [scored["score"], round(10 * scored["coverage"]), scored["frechet"]]

    arms = {"grown": [], "at 28 from the start": []}
    for run in range(runs):
        settings = {"channels": channels[1:], "batch_size": batch_size, "learning_rate": learning_rate,
                    "seed": 1000 * seed + run, "track": report.track}  # fmt: skip
        grown = _train(judged, channels[0], x, steps, samples, settings)
        turns = math.ceil(grown["spent"] / (batch_size * multiplications(*grown["pair"])))
        arms["grown"].append(grown)
        arms["at 28 from the start"].append(_train(judged, channels[0], x, [0, 0, turns], samples, settings))
    tiny = halve(halve(x_test)).numpy()
    small = {"test digits": judged(x_test), "test digits of 7 x 7 pixels, doubled": judged(tiny)}
    _prices(report, steps, turns, arms)
    _verdict(report, arms, small)
    _figure(report, arms, small)


def _large(pictures):
    return pictures if pictures.shape[1] >= 28 else _large(double(pictures).numpy())


def _train(judged, maps, x, steps, samples, settings):
    """One training: its last pair, price and CPU seconds, scores in the end, distances and pictures on the way."""
    way, pictures, looking = [], [], 0

    def look(generator, spent):
        nonlocal looking
        looking -= time.process_time()
        way.append([spent, judged(draw_images(generator, max(100, samples // 8), 7))[2]])
        pictures.append(draw_images(generator, 10, 8))
        looking += time.process_time()

    began, pair = time.process_time(), build_pair(64, maps, settings["seed"])
    looks = 6 // sum(count > 0 for count in steps)
    *pair, spent = train_pyramid(*pair, x, steps, looks=looks, watch=look, **settings)
    seconds = time.process_time() - began - looking
    scores = judged(draw_images(pair[0], samples, 9))
    return {"pair": pair, "spent": spent, "seconds": seconds, "scores": scores, "way": way, "pictures": pictures}


def _prices(report, steps, turns, arms):
    spent, seconds = ([[run[key] for run in arm] for arm in arms.values()] for key in ("spent", "seconds"))
    label = "price of the training at 28 over that of growing: 1 within a step"
    report.check(label, spent[1][0] / spent[0][0], 1.0, rtol=1 / (turns - 1))
    sizes = [f"{count:,} at {7 * 2**number}" for number, count in enumerate(steps)]
    rows = [[", ".join(sizes)], [f"{turns:,} at {7 * 2 ** (len(steps) - 1)}"]]
    columns = ["kind", "steps", "multiplications, billions", "CPU seconds with traces"]
    report.table("two trainings of one price", columns,
                 [[name, *row, price[0] / 1e9, tuple(map(float, plots.mean_and_error(took)))]
                  for name, row, price, took in zip(arms, rows, spent, seconds, strict=True)])  # fmt: skip


def _verdict(report, arms, small):
    scores = {name: np.array([run["scores"] for run in arm]) for name, arm in arms.items()}  # (runs, 3)
    grown, start = scores.values()
    scores["difference, run by run"] = grown - start
    means = {name: [(float(a), float(b)) for a, b in zip(*plots.mean_and_error(each), strict=True)]
             for name, each in scores.items()}  # fmt: skip
    report.table(f"mean and standard error of {len(grown)} runs, and real digits",
                 ["digits", "inception-type score", "classes found in 1,000", "Fréchet distance"],
                 [[name, *row] for name, row in {**means, **small}.items()])  # fmt: skip
    report.at_least("classes found by grown generators, mean", means["grown"][1][0], 9.0, trained=True)
    floor = small["test digits of 7 x 7 pixels, doubled"][2]
    for name in arms:
        label = f"Fréchet distance, {name}: over that of real digits of 7 x 7 pixels"
        report.at_most(label, means[name][2][0] / floor, 1.0, trained=True)
    gain, error = means["difference, run by run"][2]
    verdict = "decides nothing" if abs(gain) <= 2 * error else f"says that growing {'won' if gain < 0 else 'lost'}"
    report.note(
        f"Fréchet distance, grown minus from the start: {gain:.1f} with a standard error of {error:.1f}, which "
        f"{verdict} at this price (two standard errors decide). The paper grows to 1024 x 1024 pixels, by eight "
        "doublings in place of two. Unlike it: batch normalization, and the logistic loss in place of WGAN-GP."
    )


def _figure(report, arms, small):
    (grown, *_), (start, *_) = arms.values()
    rows = [_large(pictures) for pictures in (*grown["pictures"][1:], start["pictures"][-1])]
    labels = ["7 x 7", "14 x 14, faded in", "14 x 14", "28 x 28, faded in", "28 x 28", "28 from the start"]
    figure, (left, right) = plots.subplots(1, 2, figsize=(10.5, 4.4), width_ratios=(1.15, 1))
    plots.tiles(np.stack(rows), left, labels)
    left.set_title("The same noise at every size")
    for (name, arm), style in zip(arms.items(), ("o-", "s--"), strict=True):
        way = np.array([run["way"] for run in arm])  # (runs, looks, 2)
        mean, error = plots.mean_and_error(way[..., 1])
        right.errorbar(way[0, :, 0] / 1e9, mean, error, fmt=style, capsize=3, label=name)
    right.axhline(small["test digits of 7 x 7 pixels, doubled"][2], color="0.5", linestyle=":",
                  label="real digits of 7 x 7 pixels")  # fmt: skip
    right.set(xlabel="multiplications, billions", ylabel="Fréchet distance", yscale="log")
    right.set_title("On the way, mean of the runs")
    right.legend()
    report.figure("growing digits", figure, alt="Left: ten digits of one generator at 7 x 7, 14 x 14 and 28 x 28 "
                  "pixels, and ten of one trained at 28 from the start. Right: the Fréchet distance of both falls with "
                  "the multiplications spent.")  # fmt: skip
