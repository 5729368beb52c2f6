"""A generator is as good as the advice it gets: through a poor discriminator it can walk away from the data.

The slope through the best discriminator is that of the Jensen-Shannon divergence, so that following it helps. What the
reader should see: that equality, by numerical integration; a discriminator that is wrong about where the data lie, and
a step on its advice that raises the divergence; and networks on their way to the best discriminator: the cosine of
their advice with the best one's, which rises as they learn, and falls again where they have only a few samples to learn
from, by heart.

Notes: chapter 11, "A poor discriminator misguides" (差的判别器会误导).
Source: Goodfellow et al. 2014, arXiv:1406.2661, proposition 1 and theorem 1; Arjovsky and Bottou 2017,
arXiv:1701.04862.
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.chapter11.saturation import discriminator_loss, generator_loss
from kerasnotes.chapter11.side_by_side import parallel_mlp
from kerasnotes.parts import positive, shape, whole

SMOKE = {"steps": 10, "runs": 2, "units": 4, "batch_size": 8}
SECONDS = 4

WEIGHTS, MEANS, DEVIATIONS = (0.7, 0.3), (-1.0, 1.5), (0.5, 0.6)  # the two hills of the lesson `gan`


def log_mixture(x, weights, means, deviations):
    """ln of a mixture of Gaussians on a line at the places x (any shape); weights that add up to 1."""
    parts = [np.log(w) - 0.5 * ((x - m) / s) ** 2 - np.log(s * np.sqrt(2 * np.pi))
             for w, m, s in zip(weights, means, deviations, strict=True)]  # fmt: skip
    return tf.reduce_logsumexp(tf.stack(parts), axis=0)


def best_logits(x, data, drawn):
    """The logits of the best discriminator, ln p(x) − ln q(x), for two mixtures `(weights, means, deviations)`.

    Source: Goodfellow et al. 2014, proposition 1.
    """
    return log_mixture(x, *data) - log_mixture(x, *drawn)


def advice(logits, x, saturating=False):
    """Where a discriminator sends each sample: minus the slope of the generator's loss by the sample.

    Args:
        logits: Callable from samples to logits of the answer "real", sample by sample.
        x: Samples (samples,) or (..., samples, 1).
        saturating: Whether the generator descends log(1 − D) instead of −log D.

    Returns:
        Tensor of the shape of x.

    Raises:
        ValueError: If a sample has more than one logit.

    Source: Goodfellow et al. 2014, section 3.
    """
    x = tf.convert_to_tensor(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = generator_loss(logits(x), saturating)  # a mean over the samples
    samples = x.shape[0] if len(x.shape) == 1 else x.shape[-2]
    return -samples * tape.gradient(loss, x)


def agreement(one, other):
    """Cosine between two pieces of advice: 1 for the same direction for all samples, 0 for none in common, −1 against.

    Args:
        one, other: Arrays (..., samples) of one shape; axes before the last are runs of their own.

    Returns:
        Array (...).

    Raises:
        ValueError: If the shapes differ, or a piece of advice is 0 everywhere.
    """
    one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
    shape("other", other, *one.shape)
    lengths = np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1)
    positive("length of the advice", float(np.min(lengths)))
    return np.sum(one * other, axis=-1) / lengths


def js_by_integration(data, drawn, low=-12.0, high=12.0, points=20001):
    """The Jensen-Shannon divergence of two mixtures on a line, in nats, by the trapezoidal rule.

    Args:
        data, drawn: Mixtures `(weights, means, deviations)`.
        low, high: Where to integrate.
        points: Number of points, at least 2.

    Returns:
        Float from 0 to ln 2.
    """
    x = np.linspace(low, high, whole("points", points, 2))
    p, q = (log_mixture(x, *each).numpy() for each in (data, drawn))
    middle = np.logaddexp(p, q) - np.log(2)
    integrand = (np.exp(p) * (p - middle) + np.exp(q) * (q - middle)) / 2
    return float(np.sum(integrand) * (x[1] - x[0]))


def example():
    """Data around 3, a generator around 0: the best advice, a poor one, and Keras's cross-entropy for the first."""
    data, drawn = ((1.0,), (3.0,), (1.0,)), ((1.0,), (0.0,), (1.0,))
    x = np.array([-1.0, 0.0, 1.0, 2.0])
    best = advice(lambda x: best_logits(x, data, drawn), x)
    poor = advice(lambda x: tf.sin(3 * x), x)
    print("samples:", x, "\nbest advice:", best.numpy().round(3), "\na poor one: ", poor.numpy().round(3))
    print("cosine:", agreement(best, poor))
    logits = keras.Variable(best_logits(x, data, drawn))
    with tf.GradientTape() as tape:
        loss = keras.losses.BinaryCrossentropy(from_logits=True, reduction="sum")(
            np.ones((4, 1)), logits.value[:, None]
        )
    print("by Keras: ", (-3 * tape.gradient(loss, logits.value)).numpy().round(3), "(the logits rise by 3 a unit)")
    print("divergence:", js_by_integration(data, drawn), "nats of", np.log(2))


def lesson(
    report,
    *,
    steps: int = 2000,
    runs: int = 5,
    units: int = 32,
    batch_size: int = 256,
    few: int = 10,
    learning_rate: float = 0.003,
    seed: int = 0,
):
    """Integrate the divergence's slope, follow a wrong discriminator, then watch discriminators learn.

    Args:
        report: The report to write to.
        steps: Training steps of the discriminators (10 to 1000000).
        runs: Discriminators of each kind (2 to 100).
        units: Units of each of two hidden layers (2 to 1024).
        batch_size: Samples in a batch (4 to 100000).
        few: Real samples, and drawn ones, that the second kind has (2 to 1000).
        learning_rate: Learning rate of Adam (0.000001 to 1).
        seed: Seed of all random draws (0 to 4294967295).
    """
    data, drawn = (WEIGHTS, MEANS, DEVIATIONS), ((1.0,), (0.5,), (1.0,))
    _slope_of_the_divergence(report, data)
    _wrong_way(report)
    x = np.linspace(-2.0, 3.0, 301, dtype="float32")  # within 2.5 deviations of the generator's mean
    looks = _learning(x, data, drawn, steps, runs, units, batch_size, few, learning_rate, seed)
    weights = np.exp(log_mixture(x, *drawn) / 2)  # so that places count by how often the generator draws there
    best = advice(lambda x: best_logits(x, data, drawn), x).numpy()
    cosines = {step: agreement(weights * each, np.tile(weights * best, (2 * runs, 1))) for step, each in looks.items()}
    _compare(report, cosines, runs)
    _figure(report, x, best, looks, cosines, runs, data, drawn)


def _slope_of_the_divergence(report, data):
    """By the mean of a Gaussian generator and by its deviation; twice the divergence is the game's value and ln 4."""
    mean, deviation, h = 0.5, 1.0, 1e-4
    slopes = [(js_by_integration(data, ((1.0,), (mean + h * a,), (deviation + h * b,)))
               - js_by_integration(data, ((1.0,), (mean - h * a,), (deviation - h * b,)))) / h
              for a, b in ((1, 0), (0, 1))]  # fmt: skip
    z = np.linspace(-8, 8, 20001)
    drawn = ((1.0,), (mean,), (deviation,))
    x = mean + deviation * z
    sent = advice(lambda x: best_logits(x, data, drawn), x, saturating=True).numpy()
    weights = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi) * (z[1] - z[0])
    through = [-np.sum(weights * sent), -np.sum(weights * sent * z)]  # by mean and deviation
    label = "slope through the best discriminator, and of twice the divergence by differences"
    report.check(label, through, slopes, rtol=1e-4, atol=1e-6)


def _wrong_way(report):
    """Data on the left, the generator on the right, and a discriminator that takes the right for real."""
    data = ((1.0,), (-1.0,), (1.0,))
    rows = []
    for name, logits in (
        ("the best", lambda x: best_logits(x, data, ((1.0,), (1.0,), (1.0,)))),
        ("right is real", lambda x: 2 * x),
    ):
        z = np.linspace(-4, 4, 401)
        weights = np.exp(-(z**2) / 2) / np.sum(np.exp(-(z**2) / 2))
        move = 0.2 * np.sign(np.sum(weights * advice(logits, 1 + z).numpy()))
        rows.append([name, float(move), js_by_integration(data, ((1.0,), (1.0 + move,), (1.0,)))])
    before = js_by_integration(data, ((1.0,), (1.0,), (1.0,)))
    title = "a generator around 1, data around −1, one step of 0.2"
    rows = [["none yet", 0.0, before], *rows]
    report.table(title, ["discriminator", "step", "divergence after it"], rows)
    report.at_least("a step on the best one's advice lowers the divergence, by nats", before - rows[1][2], 1e-3)
    report.at_least("a step on the wrong one's raises it, by nats", rows[2][2] - before, 1e-3)


def _learning(x, data, drawn, steps, runs, units, batch_size, few, learning_rate, seed):
    """Advice at places x by step, (2 runs, places): the first half of the runs has fresh samples, the second few."""
    model = parallel_mlp(2 * runs, 1, (units, units), 1, seed, "tanh")
    for weight in model.weights:  # both kinds start alike
        weight.assign(tf.tile(weight[:runs], (2, 1, 1)))
    optimizer = keras.optimizers.Adam(learning_rate)
    optimizer.build(model.trainable_variables)

    def samples(shape, key):
        right = tf.random.stateless_uniform(shape, key) < WEIGHTS[1]
        normal = tf.random.stateless_normal(shape, key + 1)
        hills = [m + s * normal for m, s in zip(MEANS, DEVIATIONS, strict=True)]
        fake = drawn[1][0] + drawn[2][0] * tf.random.stateless_normal(shape, key + 2)
        return tf.where(right, hills[1], hills[0]), fake

    kept = samples((runs, few, 1), tf.constant([seed, -9], tf.int64))
    kept = [tf.tile(each, (1, -(-batch_size // few), 1))[:, :batch_size] for each in kept]

    def step(i):
        fresh = samples((runs, batch_size, 1), tf.stack([tf.constant(seed, tf.int64), 3 * i]))
        real, fake = (tf.concat(pair, axis=0) for pair in zip(fresh, kept, strict=True))
        with tf.GradientTape() as tape:
            loss = discriminator_loss(model(real), model(fake))
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return [i + 1]

    @tf.function(jit_compile=steps >= 200, autograph=False)
    def many(first, last):
        return tf.while_loop(lambda i: i < last, step, [first])

    grid, looks, done = tf.tile(x[None, :, None], (2 * runs, 1, 1)), {}, 0
    for next_look in sorted({0, *(int(each) for each in np.geomspace(3, steps, 10).round())}):
        if next_look > done:
            many(tf.constant(done, tf.int64), tf.constant(next_look, tf.int64))
        done = next_look
        looks[done] = advice(model, grid).numpy()[..., 0]
    return looks


def _compare(report, cosines, runs):
    fresh, few = (np.array([each[half] for each in cosines.values()]) for half in (slice(runs), slice(runs, None)))
    summaries = (*plots.mean_and_error(fresh.T), *plots.mean_and_error(few.T))
    columns = ["steps", "fresh samples", "standard error", "few samples", "standard error "]
    rows = [[step, *map(float, row)] for step, *row in zip(cosines, *summaries, strict=True)]
    report.table("cosine of the advice with the best one's, mean over runs", columns, rows)
    report.at_most("no training: cosine with the best advice, mean", abs(fresh[0].mean()), 0.6, trained=True)
    report.at_least("fresh samples, trained: cosine with the best advice, mean", fresh[-1].mean(), 0.8, trained=True)
    label = "few samples, trained: cosine below that of the same networks on the way"
    report.at_least(label, few.mean(axis=1).max() - few[-1].mean(), 0.2, trained=True)


def _figure(report, x, best, looks, cosines, runs, data, drawn):
    figure, (left, middle, right) = plots.subplots(1, 3, figsize=(14, 4.3))
    for mixture, name, style in ((data, "data", "-"), (drawn, "generator", "--")):
        left.plot(x, np.exp(log_mixture(x, *mixture)), style, label=name)
    left.set(xlabel="x", ylabel="density")
    left.set_title("Where both are")
    left.legend()
    steps = sorted(looks)
    middle.plot(x, best, color="k", linewidth=3, label="best discriminator")
    for number, step in enumerate((steps[0], steps[len(steps) // 2], steps[-1])):
        middle.plot(x, looks[step][0], plots.LINE_STYLES[number + 1], label=f"after {step} steps")
    middle.axhline(0, color="0.5", linewidth=1)
    middle.set(xlabel="x", ylabel="advice: to the right if above 0")
    middle.set_title("Where a sample is sent")
    middle.legend()
    series = {
        "fresh samples": np.array([cosines[step][:runs] for step in steps]).T,
        "few samples": np.array([cosines[step][runs:] for step in steps]).T,
    }
    shown = np.maximum(steps, 1)  # 0 has no place on a scale of logarithms
    plots.curves(shown, series, xlabel="steps of the discriminator (first: none)", ylabel="cosine with the best",
                 xscale="log", marker="o", title="How good the advice is", ax=right)  # fmt: skip
    report.figure(
        "Advice on the way to the best",
        figure,
        alt="Left: densities of the data, two hills, and of the generator, one. Middle: where samples are sent by the "
        "best discriminator and by a network before, during and after its training. Right: the cosine of the advice "
        "with the best one rises with training on fresh samples; with only a few it rises as well, and falls again.",
    )
