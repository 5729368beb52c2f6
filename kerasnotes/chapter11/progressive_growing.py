"""Grown from 7 to 28 pixels or trained at 28 from the start: compared for as many multiplications, won or lost.

Steps on small pictures are cheap, but the large picture does not get them. What the reader should see: digits at three
sizes, the price of a step at each, and scores beside the same network's with all its steps at 28 x 28, in several runs.

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

SMOKE = {"steps": (0, 2, 2), "runs": 1, "images": 512, "classifier_images": 512, "samples": 100, "channels": (2, 2, 2)}
SECONDS = 51


def multiplications(generator, discriminator):
    """Multiplications with kernels in one step of both, for each picture of a batch.

    A pass back costs about two forward, or one where only the inputs' slopes are asked for. The discriminator's turn:
    a picture is drawn, that one and a real one judged with slopes, G + 6 D. The generator's: 3 G + 2 D.

    Args:
        generator, discriminator: Keras models of dense layers and convolutions; G and D are their passes forward.
    """
    forward = []
    for network in (generator, discriminator):
        kernels = [layer for layer in network.layers if hasattr(layer, "kernel")]
        forward.append(sum(math.prod(layer.kernel.shape) * _places(layer) for layer in kernels))
    return 4 * forward[0] + 8 * forward[1]


def _places(layer):  # a kernel is put at each pixel of the output, a transposed one at each of the input
    return math.prod((layer.input if isinstance(layer, keras.layers.Conv2DTranspose) else layer.output).shape[1:-1])


class Size:
    """A pair at one size and its two players, whose turns are traced once and serve any number of trainings.

    Args:
        generator, discriminator: Models as `build_pair`, `grow` and `grow_discriminator` make them.
        images: Array (samples, side, side, 1) of that size, pixels in [−1, 1].

    Raises: ValueError: If the pictures have another size, or a pixel is out of range.
    """

    def __init__(self, generator, discriminator, images):
        self.networks, self.images = (generator, discriminator), tf.constant(as_pixels(images))
        if self.images.shape[1:] != generator.output_shape[1:]:
            raise ValueError(f"images: expected pictures {generator.output_shape[1:]}, got {self.images.shape[1:]}")
        self.fades = [layer for each in self.networks for layer in each.layers if isinstance(layer, FadeIn)]
        self.players = [Player([discriminator], self._tell), Player([generator], self._fool)]
        for player in self.players:
            player.turn = tf.function(player.turn, autograph=False)

    def _tell(self, order, noise, alpha, rate):
        for fade in self.fades:
            fade.alpha.assign(alpha)
        for player in self.players:
            player.optimizer.learning_rate.assign(rate)
        real = tf.gather(self.images, order)
        if self.fades:  # real pictures sharpen as the drawn ones do
            real = (1 - alpha) * double(halve(real)) + alpha * real
        return discriminator_loss(self.networks[1](real, training=True), self._judge(noise))

    def _fool(self, order, noise, *_):
        return generator_loss(self._judge(noise))

    def _judge(self, noise):
        return self.networks[1](self.networks[0](noise, training=True), training=True)

    def price(self, fading):
        """`multiplications` of a step, with the old paths if they fade out."""
        return multiplications(*(self.networks if fading else map(settle, self.networks)))

    def train(self, alphas, rates, batch_size=32, seed=0, **arguments):
        """Train in place, with new optimizers; `arguments` are `every`, `track` and `watch` of `play`.

        Args:
            alphas, rates: α and learning rate of each step, (steps,).
            batch_size, seed: As in `train_pyramid`.

        Returns: float32 (steps, 2), the losses of discriminator and generator.
        """
        for variable in [each for player in self.players for each in player.optimizer.variables]:
            variable.assign(tf.zeros_like(variable))
        draw_both = draw_batches(len(self.images), batch_size, self.networks[0].input_shape[-1], seed)

        def draw(first, count):
            part = slice(first, first + count)
            return (*draw_both(first, count), np.float32(alphas[part]), np.float32(rates[part]))

        return play(self.players, draw, len(rates), **arguments)


def build_sizes(images, latent_size=64, channels=(16, 16, 8), seed=0):
    """Pairs for 7 x 7 pixels and each doubling up to the images' size; they share their layers.

    Args:
        images: Array (samples, side, side, 1), pixels in [−1, 1].
        latent_size: Numbers of noise for a picture.
        channels: Maps of each size.
        seed: Seed of the initial weights.

    Returns: List of `Size`, the smallest first.

    Raises: ValueError: If the doublings do not lead to the images' size, or a number is out of range.
    """
    pictures, pairs = [as_pixels(images)], [build_pair(latent_size, channels[0], seed)]
    for maps in channels[1:]:
        pictures.insert(0, halve(pictures[0]).numpy())
        pairs.append((grow(pairs[-1][0], maps, seed), grow_discriminator(pairs[-1][1], maps, seed)))
    return [Size(*pair, each) for pair, each in zip(pairs, pictures, strict=True)]


def train_pyramid(
    sizes, steps, *, batch_size=32, learning_rate=3e-3, fade=0.5, seed=0, looks=1, track=None, watch=None
):
    """Train the pairs of a pyramid one after the other, the smallest first, each with what those before it learnt.

    Args:
        sizes: List of `Size` that share their layers, as `build_sizes` makes it.
        steps: Turns of each network at each size: `(0, 0, 500)` trains at the last size from the start.
        batch_size: Pictures in a batch, real and drawn.
        learning_rate: Of the Adam optimizers; at the last size it falls linearly to a twentieth.
        fade: Share of a size's steps in which α rises from 0 to 1; it is 1 at the first size that is trained.
        seed: Seed of noise and order.
        looks, watch: `watch(generator, multiplications)` is called so many times at each size, or never if None.
        track: As in `train_in_chunks`.

    Returns: The multiplications that it took, a whole number.

    Raises: ValueError: If there is not one count for each size, or a number is out of range.

    Source: Karras et al. 2018, arXiv:1710.10196, section 2.
    """
    positive("learning_rate", learning_rate), share("fade", fade, low=False), whole("looks", looks)
    steps, spent = [whole("steps", count, 0) for count in steps], 0
    if len(steps) != len(sizes) or not any(steps):
        raise ValueError(f"steps: expected a count for each of {len(sizes)} sizes, not all 0, got {steps}")
    for number, (size, count) in enumerate(zip(sizes, steps, strict=True)):
        if count:
            fading, price = spent > 0, batch_size * size.price(spent > 0)
            alphas = np.minimum(np.linspace(0, 1 / fade, count), 1) if fading else np.ones(count)
            rates = np.linspace(learning_rate, learning_rate / (20 if size is sizes[-1] else 1), count)
            size.train(
                alphas, rates, batch_size, (seed, number), every=math.ceil(count / looks), track=track,
                watch=watch and (lambda done, g=size.networks[0], s=spent, p=price: watch(g, s + done * p)),
            )  # fmt: skip
            spent += count * price
    return spent


def example():
    """Pictures that are bright above, grown from 7 to 14 pixels; and a step's price beside Keras's count of weights."""
    images = np.full((64, 14, 14, 1), -1, np.float32)
    images[:, :7] = 1
    sizes = build_sizes(images, 8, (4, 4))
    for size in sizes:
        print("side:", size.images.shape[1], "weights:", sum(network.count_params() for network in size.networks),
              "multiplications a step and picture:", size.price(False))  # fmt: skip
    print("spent:", train_pyramid(sizes, (40, 40), batch_size=16, learning_rate=0.01))
    drawn = draw_images(sizes[-1].networks[0], 200, seed=0)
    print("mean pixel above and below:", drawn[:, :7].mean().round(2), drawn[:, 7:].mean().round(2))


def lesson(
    report,
    *,
    steps: tuple[int, ...] = (150, 150, 100),
    runs: int = 3,
    images: int = 30000,
    samples: int = 4000,
    channels: tuple[int, ...] = (16, 16, 8),
    batch_size: int = 32,
    classifier_images: int = 60000,
    seed: int = 0,
):
    """Train grown networks and the same ones at 28 from the start, for one price, and have a classifier judge them.

    Args:
        report: The report to write to.
        steps: Turns of each network at 7 x 7, 14 x 14 and 28 x 28 pixels (0 to 1000000).
        runs: Trainings of each kind, with seeds of their own (1 to 100).
        images: Training images of the networks (512 to 60000).
        samples: Digits drawn in the end, and as many real ones beside them (100 to 10000).
        channels: Maps of 7 x 7, 14 x 14 and 28 x 28 pixels (1 to 1024).
        batch_size: Pictures in a batch, real and drawn (2 to 1024).
        classifier_images: Digits that the judging classifier learns from (64 to 60000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    (x, _), (x_test, _) = data.mnist()
    rng = np.random.default_rng((seed, 6))
    x, x_test = (np.float32(rng.permutation(each)[:count])[..., None] / 127.5 - 1
                 for each, count in ((x, images), (x_test, samples)))  # fmt: skip
    classifier = trained_classifier(data.mnist, training.fit, classifier_images, 4, seed)
    reference = classify(classifier, x[:samples])[0]

    def judged(pictures):
        scored = score_images(classifier, _large(pictures), reference)
        return [scored["score"], round(10 * scored["coverage"]), scored["frechet"]]

    sizes, arms = build_sizes(x, 64, channels, 0), {"grown": [], "at 28 from the start": []}
    for run in range(1000 * seed, 1000 * seed + runs):
        fresh, turns = build_sizes(x[:2], 64, channels, run), steps
        for arm in arms.values():
            settings = {"batch_size": batch_size, "seed": run, "track": report.track}
            arm.append(_train(judged, sizes, fresh, turns, samples, settings))
            turns = [0, 0, math.ceil(arm[0]["spent"] / (batch_size * sizes[-1].price(False)))]
    tiny = halve(halve(x_test)).numpy()
    small = {"test digits": judged(x_test), "test digits of 7 x 7 pixels, doubled": judged(tiny)}
    _prices(report, steps, turns[-1], arms)
    _verdict(report, arms, small)
    _figure(report, arms, small)


def _large(pictures):
    return pictures if pictures.shape[1] >= 28 else _large(double(pictures).numpy())


def _train(judged, sizes, fresh, steps, samples, settings):
    """One training from fresh weights: its price and CPU seconds, scores, and distances and pictures on the way."""
    for size, start in zip(sizes, fresh, strict=True):
        for network, values in zip(size.networks, start.networks, strict=True):
            network.set_weights(values.get_weights())
    way, pictures, looking = [], [], 0

    def look(generator, spent):
        nonlocal looking
        looking -= time.process_time()
        way.append([spent, judged(draw_images(generator, samples // 8 + 100, 7))[2]])
        pictures.append(draw_images(generator, 10, 8))
        looking += time.process_time()

    began = time.process_time()
    spent = train_pyramid(sizes, steps, looks=6 // np.count_nonzero(steps), watch=look, **settings)
    seconds = time.process_time() - began - looking
    scores = judged(draw_images(sizes[-1].networks[0], samples, 9))
    return {"spent": spent, "seconds": seconds, "scores": scores, "way": way, "pictures": pictures}


def _prices(report, steps, turns, arms):
    grown, start = (arm[-1] for arm in arms.values())
    ratio, taken = start["spent"] / grown["spent"], "{:,} at 7, {:,} at 14, {:,} at 28".format(*steps)
    report.check("prices, at 28 over grown: 1 within a step", ratio, 1.0, rtol=1 / (turns - 1))
    rows = [["grown", taken, grown], ["at 28 from the start", f"{turns:,} at 28", start]]
    rows = [[*row, run["spent"] / 1e9, run["seconds"]] for *row, run in rows]
    report.table("two trainings, the last run", ["kind", "steps", "multiplications, billions", "CPU seconds"], rows)


def _verdict(report, arms, small):
    grown, start = (np.array([run["scores"] for run in arm]) for arm in arms.values())  # (runs, 3)
    rows = []
    for name, each in zip((*arms, "difference, run by run"), (grown, start, grown - start), strict=True):
        mean, error = plots.mean_and_error(each)
        rows.append([name, mean[0], error[0], mean[1], mean[2], error[2]])
    real = [[name, score, None, found, distance, None] for name, (score, found, distance) in small.items()]
    columns = ["digits", "inception-type score", "its error", "classes in 1,000", "Fréchet distance", "its error"]
    report.table(f"mean and standard error of {len(grown)} runs, and real digits", columns, rows + real)
    report.at_least("classes found by grown generators, mean", rows[0][3], 9.0, trained=True)
    floor = small["test digits of 7 x 7 pixels, doubled"][2]
    for name, _, _, _, distance, _ in rows[:2]:
        label = f"Fréchet distance, {name}: over that of real digits of 7 x 7"
        report.at_most(label, distance / floor, 1.0, trained=True)
    gain, error = rows[2][4:]
    verdict = f"says that growing {'won' if gain < 0 else 'lost'}" if abs(gain) > 2 * error > 0 else "decides nothing"
    report.note(
        f"Fréchet distance, grown minus from the start: {gain:.1f} ± {error:.1f}, which {verdict} (bar: two standard "
        "errors). The paper doubles eight times in place of two, with WGAN-GP and without batch normalization."
    )


def _figure(report, arms, small):
    grown, start = (arm[0]["pictures"] for arm in arms.values())
    rows = [_large(pictures) for pictures in (*grown[1:], start[-1])]
    labels = ["7 x 7", "14 x 14, faded in", "14 x 14", "28 x 28, faded in", "28 x 28", "28 from the start"]
    figure, (left, right) = plots.subplots(1, 2, figsize=(10.5, 4.4), width_ratios=(1.15, 1))
    plots.tiles(np.stack(rows), left, labels)
    left.set_title("The same noise at every size")
    for (name, arm), style in zip(arms.items(), ("o-", "s--"), strict=True):
        way = np.array([run["way"] for run in arm])  # (runs, looks, 2)
        right.errorbar(way[0, :, 0] / 1e9, *plots.mean_and_error(way[..., 1]), fmt=style, capsize=3, label=name)
    right.axhline(small["test digits of 7 x 7 pixels, doubled"][2], ls=":", c="0.4", label="real digits of 7 x 7")
    right.set(xlabel="multiplications, billions", ylabel="Fréchet distance, mean of the runs", yscale="log")
    right.set_title("The same price at the end")
    right.legend()
    report.figure("growing digits", figure, alt="Left: digits of one generator at 7, 14 and 28 pixels, and of one "
                  "trained at 28 from the start. Right: their Fréchet distances fall with the price.")  # fmt: skip
