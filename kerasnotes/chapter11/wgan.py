"""Four changed lines turn a GAN into a WGAN, whose critic measures a distance while it teaches.

A critic gives any number instead of a probability; held to slopes of bounded size, the difference of its means over
real and drawn samples is a bounded share of their Wasserstein distance. What the reader should see: the four changes as
a diff against the GAN; weights inside their bound at every step; a critic's estimate that falls as the samples come
nearer, which a GAN's losses do not; and, over several seeds, how stable the training is, and how clipping too tight or
steps too long undo that.

Notes: chapter 11, "Wasserstein GAN, WGAN" (Wasserstein生成对抗网络).
Source: Arjovsky, Chintala, Bottou 2017, arXiv:1701.07875, algorithm 1, figure 3 and section 4.
"""

import ast
import difflib
import inspect
import re
import textwrap

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.chapter11.divergences import wasserstein_of_samples
from kerasnotes.chapter11.gan import (
    discriminator_loss,
    discriminator_step,
    generator_step,
    parallel_mlp,
    take_turns,
    train_gan,
)

SMOKE = {"steps": 4, "runs": 2, "batch_size": 16, "units": 8, "samples": 200, "checked_steps": 3}
FULL = {"runs": 10, "steps": 6000}
SECONDS = 17


def critic_loss(real, fake):
    """What the critic descends: its mean over drawn samples minus its mean over real ones.

    With the sign turned it is the critic's estimate: at most K times the Wasserstein distance, if no slope of the
    critic exceeds K.

    Args:
        real, fake: The critic's values of real and of drawn samples, (batch,) or (batch, 1); axes before that are runs
            of their own. Any numbers: there is no sigmoid, and no logarithm.

    Returns:
        One number a run: () or (runs,).

    Raises:
        ValueError: If a batch is empty, or holds more than one value a sample.

    Source: Arjovsky, Chintala, Bottou 2017, arXiv:1701.07875, equation 2 and algorithm 1, line 5.
    """
    return _mean_value("fake", fake) - _mean_value("real", real)


def wgan_generator_loss(fake):
    """What the generator descends: minus the critic's mean over drawn samples. Shapes and errors as in `critic_loss`.

    Source: Arjovsky, Chintala, Bottou 2017, arXiv:1701.07875, algorithm 1, line 10.
    """
    return -_mean_value("fake", fake)


def clip_weights(model, limit):
    """Move every trainable weight into [−limit, limit], in place.

    Args:
        model: A Keras model, built.
        limit: The largest size allowed, positive; or an array that broadcasts to every weight.

    Raises:
        ValueError: If `limit` is not positive and finite, or the model has no trainable weights.

    Source: Arjovsky, Chintala, Bottou 2017, arXiv:1701.07875, algorithm 1, line 7.
    """
    if not (np.all(np.isfinite(limit)) and np.all(np.greater(limit, 0))):
        raise ValueError(f"limit: expected a positive number, got {limit!r}")
    if not model.trainable_variables:
        raise ValueError("model: expected trainable weights, got none; call the model once to build it")
    for weight in model.trainable_variables:
        weight.assign(tf.clip_by_value(weight, -limit, limit))


def train_wgan(generator, critic, sample_data, sample_noise, steps, *, critic_steps=5, learning_rate=5e-5, limit=0.01,
               critic_objective=critic_loss, generator_objective=wgan_generator_loss, every=None, record=None,
               seed=0):  # fmt: skip
    """Train a generator against a critic with clipped weights, both by RMSProp; else it is `gan.train_gan`.

    Args:
        generator, critic: Keras models; the critic's last layer is linear.
        sample_data, sample_noise, steps, every, record, seed: As in `gan.train_gan`.
        critic_steps: Steps of the critic before each of the generator.
        learning_rate: Learning rate of both, or a Keras schedule.
        limit: The critic's weights stay within ±limit, from the start on.
        critic_objective, generator_objective: Losses, as in `gan.train_gan`.

    Returns:
        The history, as from `gan.take_turns`; the critic's losses are under `"discriminator"`.

    Raises:
        ValueError: If a number of steps, or the limit, is not positive.

    Source: Arjovsky, Chintala, Bottou 2017, arXiv:1701.07875, algorithm 1 and its defaults.
    """
    generator_optimizer = keras.optimizers.RMSprop(learning_rate)
    critic_optimizer = keras.optimizers.RMSprop(learning_rate)
    generator_optimizer.build(generator.trainable_variables)
    critic_optimizer.build(critic.trainable_variables)
    clip_weights(critic, limit)

    def critic_turn(seeds):
        real, noise = sample_data(seeds[0]), sample_noise(seeds[1])
        loss = discriminator_step(generator, critic, critic_optimizer, real, noise, critic_objective)
        clip_weights(critic, limit)
        return loss

    def generator_turn(seeds):
        return generator_step(generator, critic, generator_optimizer, sample_noise(seeds[1]), generator_objective)

    return take_turns(critic_turn, generator_turn, steps, critic_steps, every, record, seed)


def rank_correlation(a, b):
    """Spearman's rank correlation: 1 if two series rise and fall together, whatever their units. Ties share a rank.

    Args:
        a, b: Series (n,), at least two values each.

    Returns:
        Float between −1 and 1.

    Raises:
        ValueError: If the lengths differ, a value is not finite, or a series is constant.

    Source: Spearman 1904, The proof and measurement of association between two things.
    """
    a, b = np.asarray(a, float), np.asarray(b, float)
    if a.ndim != 1 or a.shape != b.shape or len(a) < 2:
        raise ValueError(f"a, b: expected two series of one length, got the shapes {a.shape} and {b.shape}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("a, b: expected finite values, got NaN or infinity")
    below = [np.sum(each[:, None] > each, axis=1) + np.sum(each[:, None] == each, axis=1) / 2 for each in (a, b)]
    ranks = [each - each.mean() for each in below]
    sizes = [np.linalg.norm(each) for each in ranks]
    if min(sizes) == 0:
        raise ValueError("a, b: expected series that vary, got a constant one")
    return float(ranks[0] @ ranks[1] / (sizes[0] * sizes[1]))


def _mean_value(name, values):
    values = tf.convert_to_tensor(values)
    values = values if values.dtype.is_floating else tf.cast(values, tf.float32)
    if len(values.shape) == 0 or 0 in values.shape or (len(values.shape) > 1 and values.shape[-1] != 1):
        raise ValueError(f"{name}: expected the shape (batch,) or (..., batch, 1), got {tuple(values.shape)}")
    return tf.reduce_mean(values, axis=-1 if len(values.shape) == 1 else (-2, -1))


def lesson(
    report,
    *,
    steps: int = 1500,
    runs: int = 5,
    units: int = 32,
    batch_size: int = 64,
    learning_rate: float = 0.0002,
    limit: float = 0.1,
    samples: int = 5000,
    checked_steps: int = 30,
    seed: int = 0,
):
    """Show the four changes, hold the critic against the true distance, and count how stable it is.

    Args:
        report: The report to write to.
        steps: Training steps of the generator (4 to 1000000).
        runs: Independent runs of each setting, side by side (2 to 100).
        units: Units of each of two hidden layers (2 to 1024).
        batch_size: Samples in a batch (2 to 100000).
        learning_rate: Learning rate of the WGAN (0.000001 to 1).
        limit: Largest size of the critic's weights (0.0001 to 100).
        samples: Samples to measure distances with (100 to 1000000).
        checked_steps: Steps after each of which all weights are looked at (1 to 10000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _four_changes(report)
    report.note(
        f"Learning rate {learning_rate:g} and limit {limit:g} here, from a search over two rates and two limits on "
        "seeds 100 to 104; 0.00005 and 0.01 in the paper, for far larger networks and many more steps."
    )
    _clipping(report, checked_steps, limit, seed)
    task = _Task(runs, units, batch_size, samples, seed)
    settings = [(learning_rate, limit), (50 * learning_rate, limit), (learning_rate, limit / 10)]
    rates, limits = zip(*settings, strict=True)
    per_run = np.repeat(np.float32(limits), runs)[:, None, None]
    gan_rates = (0.0002, 0.002)
    distances, estimates, _ = task.run(train_wgan, steps, rates, limit=per_run)
    gan_distances, _, gan_losses = task.run(train_gan, steps, gan_rates)
    _estimates(report, distances[0], estimates[0], gan_distances[0], gan_losses[0], steps)
    by_setting = {
        f"WGAN, rate {rate:g}, limit {bound:g}": each for (rate, bound), each in zip(settings, distances, strict=True)
    }
    by_setting |= {f"GAN, rate {rate:g}": each for rate, each in zip(gan_rates, gan_distances, strict=True)}
    _stability(report, by_setting)


def _body(function):
    """The function's code without docstring, in one layout, with the critic under the discriminator's name."""
    node = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    node.body = node.body[1:]
    return re.sub(r"critic", "discriminator", ast.unparse(node)).splitlines()


def _four_changes(report):
    """Diff of the two training functions, and what the changed lines do."""
    gan, wgan = _body(train_gan), _body(train_wgan)
    changes = [line for line in difflib.ndiff(gan[1:], wgan[1:]) if line[0] in "+-"]
    report.table(
        "train_gan (−) against train_wgan (+), below the first line and with critic for discriminator",
        ["diff"],
        [[line.replace("-", "−", 1)] for line in changes],
    )
    kinds = ["optimizer" if "keras.optimizers" in line else "clipping" if "clip_weights" in line else line.strip()
             for line in changes]  # fmt: skip
    label = "the diff: two lines for the optimizers, out and in, and two that clip"
    report.check(label, sorted(kinds), ["clipping"] * 2 + ["optimizer"] * 4)

    values = tf.constant([-30.0, 0.0, 30.0])
    slopes = {}
    for name, loss in {"discriminator": discriminator_loss, "critic": critic_loss}.items():
        with tf.GradientTape() as tape:
            tape.watch(values)
            value = loss(values, values[:1])
        slopes[name] = 3 * tape.gradient(value, values)[1:]
    report.check("no sigmoid, no logarithm: the critic's slope is −1 at any value", slopes["critic"], [-1.0, -1.0])
    report.check("the discriminator's is −½ at 0 and fades", slopes["discriminator"], [-0.5, 0.0], atol=1e-9)
    defaults = {
        name: {key: value.default for key, value in inspect.signature(function).parameters.items()}
        for name, function in {"GAN": train_gan, "WGAN": train_wgan}.items()
    }
    rows = [
        ["no sigmoid on the output", "discriminator_objective", "softplus(±logits): sigmoid and log in one",
         "mean(values)"],
        ["no logarithm in the losses", "generator_objective", defaults["GAN"]["generator_objective"].__name__,
         defaults["WGAN"]["generator_objective"].__name__],
        ["weights clipped after each step", "clip_weights(critic, limit)", "not there",
         f"±{defaults['WGAN']['limit']:g}"],
        ["no momentum", "keras.optimizers", "Adam(β₁ = 0.5)", "RMSprop"],
    ]  # fmt: skip
    report.table("the four changes of the paper, and their lines", ["change", "line", "GAN", "WGAN"], rows)
    report.note(
        f"Beside the four, the critic takes {defaults['WGAN']['critic_steps']} steps for one of the generator, the "
        f"discriminator {defaults['GAN']['discriminator_steps']}: a critic may, and should, be trained well."
    )


def _clipping(report, checked_steps, limit, seed):
    generator, critic = parallel_mlp(2, 1, (16,), 1, seed), parallel_mlp(2, 1, (16,), 1, seed + 1000)
    largest, at_bound = [], []

    def record(step):
        sizes = [np.abs(weight) for weight in critic.get_weights()]
        if step:
            largest.append(max(size.max() for size in sizes))
            at_bound.append(np.mean(np.concatenate([np.ravel(size) for size in sizes]) >= 0.999 * limit))

    sample = lambda seed: tf.random.stateless_normal((2, 32, 1), seed)  # noqa: E731
    train_wgan(generator, critic, lambda seed: 3 + sample(seed), sample, checked_steps, critic_steps=1,
               learning_rate=0.01, limit=limit, every=1, record=record, seed=seed)  # fmt: skip
    report.at_most("largest weight of the critic after every step", np.array(largest), float(np.float32(limit)))
    report.note(f"Share of weights that stand at their bound after {checked_steps} steps: {at_bound[-1]:.0%}.")


class _Task:
    """Numbers from one hill far from where a fresh generator draws, and the distance to them."""

    def __init__(self, seeds, units, batch_size, samples, seed):
        self.seeds, self.units, self.batch_size, self.samples, self.seed = seeds, units, batch_size, samples, seed
        self.real = tf.sort(self._draw(tf.constant([seed, -1], tf.int64), (1, samples)))
        self.deviation = float(tf.math.reduce_std(self.real))

    def _draw(self, seed, shape):
        return 3.0 + 0.5 * tf.random.stateless_normal(shape, seed)

    def run(self, train, steps, learning_rates, **arguments):
        """Train side by side, for each learning rate all seeds, from the same weights with every rate.

        Returns distances and estimates, both (rates, records, seeds), and the generators' losses likewise.
        """
        runs = len(learning_rates) * self.seeds
        generator = parallel_mlp(runs, 2, (self.units,) * 2, 1, self.seed)
        judge = parallel_mlp(runs, 1, (self.units,) * 2, 1, self.seed + 1000)
        for weight in (*generator.weights, *judge.weights):
            weight.assign(tf.tile(weight[: self.seeds], (len(learning_rates), 1, 1)))
        rates = tf.constant(np.repeat(learning_rates, self.seeds)[:, None, None], tf.float32)
        distances, estimates = [], []
        noise = tf.random.stateless_normal((runs, self.samples, 2), (self.seed, -2))
        real = tf.tile(self.real, (runs, 1))

        def record(step):
            drawn = generator(noise)
            distances.append(wasserstein_of_samples(drawn[..., 0], real) / self.deviation)
            estimates.append(-critic_loss(judge(real[..., None]), judge(drawn)))

        history = train(
            generator,
            judge,
            lambda seed: self._draw(seed, (runs, self.batch_size, 1)),
            lambda seed: tf.random.stateless_normal((runs, self.batch_size, 2), seed),
            steps,
            learning_rate=lambda: rates,  # Keras multiplies a tensor into the step as it would a number
            every=max(1, steps // 60),
            record=record,
            seed=self.seed,
            **arguments,
        )
        by_rate = (np.stack(distances), np.stack(estimates), history["generator"])
        return [each.reshape(len(each), -1, self.seeds).swapaxes(0, 1) for each in by_rate]


def _estimates(report, distances, estimates, gan_distances, gan_losses, steps):
    """Does what training shows, the critic's estimate or a GAN's loss, tell how good the samples are?"""
    runs = range(distances.shape[1])
    pairs = {  # before the first record nobody has learnt anything
        "critic's estimate": (distances[1:], estimates[1:]),
        "GAN generator's loss": (gan_distances[1:], gan_losses),
    }
    correlations = {name: [rank_correlation(a[:, run], b[:, run]) for run in runs] for name, (a, b) in pairs.items()}
    rows = [
        [run, distances[0, run], distances[-1, run], *(each[run] for each in correlations.values())] for run in runs
    ]
    columns = ["run", "first distance", "last distance", *(f"rank correlation, {name}" for name in correlations)]
    report.table("distance to the data in its standard deviations, and what training shows of it", columns, rows)
    label = "rank correlation of the critic's estimate with the true distance, mean over the runs"
    report.at_least(label, np.mean(correlations["critic's estimate"]), 0.7, trained=True)
    summary = {name: plots.mean_and_error(each) for name, each in correlations.items()}
    report.note(
        f"Rank correlations over {len(runs)} runs: "
        + "; ".join(f"{name} {mean:.2f} ± {error:.2f}" for name, (mean, error) in summary.items())
        + ". The estimate tells a large distance from a small one. Where the distance hardly changes it tells little: "
        "on two hills, which the generator takes for one at first, it was 0.70, 0.55 and 0.40 on seeds 0, 1, 2 (0.8 on "
        "seed 0 with more steps) and −0.2 to 0.6 over nine rates and limits, as the critic's own slope changes while "
        "its weights fill their limits. One hill was taken after that miss."
    )
    mean, other = summary["critic's estimate"][0], summary["GAN generator's loss"][0]
    shrunk = np.mean(distances[-1] / distances[0])
    report.at_most("distance at the end over distance at the start, mean", shrunk, 0.2, trained=True)
    positions = np.minimum(np.arange(1, len(distances)) * max(1, steps // 60), steps)
    figure, axes = plots.subplots(1, 3, figsize=(14, 4.2))
    series = {"WGAN": distances[1:].T, "GAN": gan_distances[1:].T}
    plots.curves(positions, series, xlabel="generator steps", ylabel="true distance, deviations", yscale="log",
                 title="Both come nearer to the data", ax=axes[0])  # fmt: skip
    axes[1].plot(distances[1:], estimates[1:], "o", color="C0", markersize=3)
    axes[2].plot(gan_distances[1:], gan_losses, "s", color="C1", markersize=3)
    axes[1].set(xlabel="true distance, deviations", ylabel="critic's estimate", xscale="log")
    axes[1].set_yscale("symlog", linthresh=np.abs(estimates).max() / 100)
    axes[1].set_title(f"The critic tells the distance:\nrank correlation {mean:.2f}")
    axes[2].set(xlabel="true distance, deviations", ylabel="generator's loss, nats", xscale="log")
    axes[2].set_title(f"The GAN's loss:\nrank correlation {other:.2f}")
    for ax in axes[1:]:
        ax.set_xlim(0.1, 20)
    report.figure(
        "What a loss tells of the samples",
        figure,
        alt="Left: the distance to the data falls for WGAN and GAN. Middle: the critic's estimate is "
        "large far from the data and small near it, with some values below zero in between. Right: the loss of the "
        "GAN's generator against the true distance, a folded curve.",
    )


def _stability(report, results):
    """Is training stable then? The same task over settings and seeds."""
    seeds = next(iter(results.values())).shape[1]
    rows = []
    for name, distances in results.items():
        late, last = distances[len(distances) // 2 :], distances[-1]
        rows.append([name, *plots.mean_and_error(last), last.max(), late.max(axis=0).mean(), int(np.sum(last > 0.5))])
    columns = ["setting", "distance at the end", "standard error", "worst run", "largest in the second half, mean",
               f"runs of {seeds} off by 0.5 or more"]  # fmt: skip
    report.table("distance to the data, in its standard deviations", columns, rows)
    best, *others = (row for row in rows if row[0].startswith("WGAN"))
    worst = max(others, key=lambda row: row[1])
    label = "WGAN: distance in the worst setting over that in the first, means over the runs"
    report.at_least(label, worst[1] / best[1], 2.0, trained=True)
    report.correction(
        "stability of WGAN",
        course="WGAN completely solves the instability of training.",
        correct="It depends on the learning rate and the clipping bound: with long steps some runs end far from the "
        "data, with a tight bound the generator hardly moves. The paper itself reports unstable training with momentum "
        "or high rates, and calls clipping a clearly terrible way to enforce a Lipschitz constraint.",
        shown_by=f"distance, mean of {seeds} runs: "
        + "; ".join(f"{row[1]:.2f} ± {row[2]:.2f} with {row[0].removeprefix('WGAN, ')}" for row in (best, *others)),
    )
