"""An arg max passes no slope, so that a generator of words hears nothing from its discriminator; three ways round it.

A picture can be a little darker, a word cannot be a little different. What the reader should see: the tape finds no way
through an arg max, and differences find a slope of zero; probabilities in place of words pass a slope, but no real text
looks like that, so that a discriminator tells the two apart by the largest number alone; drawn words with the logarithm
of their probability give the right slope on average, with a wide spread; words on the way there and probabilities on
the way back have a mean that is off, unless the discriminator is linear; soft draws trade error for spread by their
temperature.

Notes: chapter 11, "Text has no slope" (文本没有梯度).
Source: Williams 1992, doi:10.1007/BF00992696 (score function); Bengio, Léonard, Courville 2013, arXiv:1308.3432
(straight through); Jang, Gu, Poole 2017, arXiv:1611.01144 (soft draws); Yu et al. 2017, arXiv:1609.05473 (SeqGAN).
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.chapter11.side_by_side import parallel_mlp
from kerasnotes.parts import positive, shape, whole

SMOKE = {"draws": 50}
SECONDS = 1


def hardest(logits):
    """The likeliest word as a one-hot vector: what a generator of text hands over. Shapes (..., words) to the same."""
    return tf.one_hot(tf.argmax(logits, axis=-1), logits.shape[-1], dtype=logits.dtype)


def straight_through(logits, hard):
    """A one-hot vector on the way there, the slope of the softmax on the way back.

    Args:
        logits: Tensor (..., words).
        hard: One-hot vectors of the same shape, drawn or the likeliest.

    Returns:
        Tensor with the values of `hard`.

    Raises:
        ValueError: If the shapes differ.

    Source: Bengio, Léonard, Courville 2013.
    """
    shape("hard", hard, *logits.shape)
    soft = tf.nn.softmax(logits)
    return hard + soft - tf.stop_gradient(soft)


def soft_draws(logits, temperature, seed):
    """Draws from the words that are not quite words: the softmax of (logits + Gumbel noise) / temperature.

    The largest number is at each word as often as the softmax of the logits says, at any temperature; towards
    temperature 0 the draw becomes one-hot.

    Args:
        logits: Tensor (..., words).
        temperature: Positive number.
        seed: Seed of the draws, an integer tensor or pair (2,).

    Returns:
        Tensor of the same shape, whose last axis adds up to 1.

    Raises:
        ValueError: If the temperature is not positive.

    Source: Jang, Gu, Poole 2017.
    """
    uniform = tf.random.stateless_uniform(tf.shape(logits), seed, np.finfo(np.float32).tiny, 1.0)
    gumbel = -tf.math.log(-tf.math.log(tf.cast(uniform, logits.dtype)))
    return tf.nn.softmax((logits + gumbel) / positive("temperature", temperature))


def expected_value(logits, values):
    """What a generator that draws words wants to raise: Σ p(word) · value(word), differentiable by the logits.

    Args:
        logits: Tensor (words,).
        values: What each word is worth (words,), such as the discriminator's log D.

    Returns:
        Tensor ().

    Raises:
        ValueError: If the shapes differ.
    """
    return tf.reduce_sum(tf.nn.softmax(logits) * tf.stop_gradient(shape("values", values, *logits.shape)))


def score_gradient(logits, word, value):
    """One draw's estimate of the slope of `expected_value`: value · ∂ ln p(word) / ∂ logits = value · (one-hot − p).

    Args:
        logits: Tensor (words,).
        word: Number of the word that was drawn.
        value: What it is worth; a constant may be taken off, which changes the spread and not the mean.

    Returns:
        Tensor (words,).

    Raises:
        ValueError: If there is no such word.

    Source: Williams 1992.
    """
    if whole("word", word, 0) >= logits.shape[-1]:
        raise ValueError(f"word: expected a number below {logits.shape[-1]}, got {word!r}")
    return value * (tf.one_hot(word, logits.shape[-1], dtype=logits.dtype) - tf.nn.softmax(logits))


def example():
    """Three words and what each is worth: what the tape finds by the arg max, and by the ways round it."""
    logits, values = tf.constant([1.0, 0.5, 0.0]), tf.constant([0.0, 1.0, 3.0])
    ways = {
        "arg max": lambda: hardest(logits),
        "softmax, by Keras": lambda: keras.ops.softmax(logits),
        "straight through": lambda: straight_through(logits, hardest(logits)),
        "a soft draw": lambda: soft_draws(logits, 0.5, (0, 1)),
    }
    for name, way in ways.items():
        with tf.GradientTape() as tape:
            tape.watch(logits)
            word = way()
            value = tf.reduce_sum(word * values)
        print(f"{name:18} {word.numpy().round(2)}, slope {tape.gradient(value, logits)}")
    p = tf.nn.softmax(logits)
    mean = sum(p[word] * score_gradient(logits, word, values[word]) for word in range(3))
    print("mean of the score's estimates:", mean.numpy())


def lesson(report, *, words: int = 12, draws: int = 4000, seed: int = 0):
    """Look for a slope through the arg max, then hold three ways round it against the exact slope.

    Args:
        report: The report to write to.
        words: Words of the vocabulary (3 to 1000).
        draws: Draws of each way (20 to 1000000).
        seed: Seed of logits, discriminator and draws (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    logits = tf.constant(rng.normal(size=words), tf.float32)
    discriminator = parallel_mlp(1, words, (32,), 1, seed, "tanh")

    def value(x):
        return -tf.nn.softplus(-4 * discriminator(8 * x[None])[0, :, 0])  # log D, (n, words) to (n,)

    _no_way_through(report, logits, value)
    _told_apart(report, rng, words)
    rows = _ways_round(report, logits, value, draws, seed)
    _figure(report, rows)


def _no_way_through(report, logits, value):
    slopes = {}
    for name, way in (("arg max", hardest), ("softmax", tf.nn.softmax)):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            out = value(way(logits)[None])
        slopes[name] = tape.gradient(out, logits)
    report.check("the tape finds a way through the arg max", slopes["arg max"] is not None, False)
    report.at_least("through the softmax the slope's length is", float(tf.norm(slopes["softmax"])), 1e-3)
    best = np.sort(logits)[::-1]
    step = (best[0] - best[1]) / 3  # too small for another word to pass the likeliest
    moved = [value(hardest(logits + sign * step * row)[None])[0] - value(hardest(logits)[None])[0]
             for sign in (-1, 1) for row in np.eye(len(best), dtype="float32")]  # fmt: skip
    report.check(
        "nor is there a slope: what a change of any logit changes", moved, np.zeros(len(moved)), rtol=0, atol=0
    )
    report.correction(
        "what a GAN can draw",
        course="A GAN learns to draw from any distribution, texts as well as pictures.",
        correct="Not as it stands: the generator learns by the slope that comes through its sample, and choosing a "
        "word has none. Text needs another way, such as the logarithm of the drawn word's probability.",
        shown_by=f"through the softmax a slope of length {float(tf.norm(slopes['softmax'])):.2g}, through the arg max "
        f"the tape gives None",
    )


def _told_apart(report, rng, words):
    """Real words are one-hot; what a softmax hands over is not, however good the generator."""
    real = np.eye(words)[rng.integers(words, size=500)]
    soft = tf.nn.softmax(3 * rng.normal(size=(500, words))).numpy()
    right = np.mean([*(real.max(axis=1) == 1), *(soft.max(axis=1) < 1)])
    report.check("probabilities for words: told from real ones by the largest number, share right", right, 1.0)


def _ways_round(report, logits, value, draws, seed):
    """Estimates (draws, words) of each way against the exact slope."""
    words = logits.shape[0]
    worth = value(tf.eye(words))
    with tf.GradientTape() as tape:
        tape.watch(logits)
        total = expected_value(logits, worth)
    exact, p = tape.gradient(total, logits).numpy(), tf.nn.softmax(logits).numpy()
    report.check("the exact slope is p (value − mean value)", exact, p * (worth - np.sum(p * worth)), atol=1e-6)
    each = np.stack([score_gradient(logits, word, worth[word]) for word in range(words)])  # all that can be drawn
    report.check("the score's mean over all words is the exact slope", p @ each, exact, atol=1e-5)
    baseline = np.stack([score_gradient(logits, word, worth[word] - np.sum(p * worth)) for word in range(words)])
    report.check("so it is with a constant taken off", p @ baseline, exact, atol=1e-5)
    drawn = np.random.default_rng((seed, 1)).choice(words, size=draws, p=np.float64(p) / np.float64(p).sum())
    many, hard = tf.tile(logits[None], (draws, 1)), tf.one_hot(drawn, words)
    ways = {
        "score, as it is": each[drawn],
        "score, mean value taken off": baseline[drawn],
        "straight through": _slopes(lambda x: value(straight_through(x, hard)), many),
    }
    for temperature in (0.2, 1.0, 5.0):
        ways[f"soft draws, temperature {temperature:g}"] = _slopes(
            lambda x, t=temperature: value(soft_draws(x, t, (seed, 2))), many
        )
    rows = {name: _bias_and_spread(estimates, exact) for name, estimates in ways.items()}
    report.table("one draw's slope, over the length of the exact one",
                 ["way", "mean's distance from it", "standard error", "spread", "cosine of mean and exact"],
                 [[name, *row] for name, row in rows.items()])  # fmt: skip
    for name in ("score, as it is", "score, mean value taken off"):
        report.at_most(f"{name}: distance from the exact slope, standard errors", rows[name][0] / rows[name][1], 4.0)
    off, with_it = rows["score, mean value taken off"][2], rows["score, as it is"][2]
    report.note(f"Taking the mean value off changes the spread from {with_it:.2g} to {off:.2g}.")
    counts = np.bincount(np.argmax(soft_draws(many, 1.0, (seed, 3)), axis=1), minlength=words) / draws
    error = np.sqrt(p * (1 - p) / draws)
    report.at_most("soft draws choose each word as often as the softmax: largest gap, standard errors",
                   np.abs(counts - p) / error, 5.0)  # fmt: skip
    through = _slopes(lambda x: value(straight_through(x, tf.eye(words))), tf.tile(logits[None], (words, 1)))
    off = np.linalg.norm(p @ through - exact) / np.linalg.norm(exact)
    report.at_least("straight through: its mean over all words is off, in lengths of the exact slope", off, 0.02)
    linear = _slopes(lambda x: tf.linalg.matvec(straight_through(x, hard[:1]), worth), many[:1])[0]
    report.check("straight through is right if the discriminator is linear", linear, exact, atol=1e-5)
    return rows


def _slopes(function, logits):
    with tf.GradientTape() as tape:
        tape.watch(logits)
        values = function(logits)
    return tape.gradient(values, logits).numpy()


def _bias_and_spread(estimates, exact):
    """Distance of the mean, its size by chance alone, spread of one draw, all over the exact length; and the cosine."""
    mean, length = estimates.mean(axis=0), np.linalg.norm(exact)
    spread = np.sqrt(np.sum(estimates.var(axis=0)))
    cosine = mean @ exact / (np.linalg.norm(mean) * length)
    return [float(each) for each in (np.linalg.norm(mean - exact) / length, spread / length / np.sqrt(len(estimates)),
                                     spread / length, cosine)]  # fmt: skip


def _figure(report, rows):
    figure, (left, right) = plots.subplots(1, 2, figsize=(11.5, 4.2), sharey=True)
    names = list(rows)[::-1]
    for ax, column, title in ((left, 0, "How wrong the mean of all draws is"), (right, 2, "How far one draw is off")):
        chance = None if column else [rows[name][1] for name in names]  # its standard error
        ax.barh(
            np.arange(len(names)), [rows[name][column] for name in names], xerr=chance, capsize=4, color=f"C{column}"
        )
        ax.set_yticks(np.arange(len(names)), names)
        ax.set(xlabel="in lengths of the exact slope")
        ax.set_title(title)
    report.figure(
        "Wrong on average, or right with a wide spread",
        figure,
        alt="Bars for six ways to a slope through a choice of words. Left: the mean of the score's estimates is right, "
        "that of straight through and of warm soft draws is off. Right: a single cold soft draw is furthest off, then "
        "one of the score; warm soft draws hardly spread.",
    )
