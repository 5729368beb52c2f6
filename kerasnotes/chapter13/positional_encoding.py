"""Waves tell where a word stands: a step along the sentence turns the encoding, and products know only distances.

Attention has no sense of order, so every word carries a number for its place: sines and cosines of many wavelengths,
added to its vector. What the reader should see: the pattern, like the hands of clocks of different speed; that a shift
is a rotation, the same wherever it begins; that the product of two places depends on their distance alone; and a
network that cannot say which of two words came first, until positions are added.

Notes: chapter 13, "Positional encoding" (位置编码).
Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.5.
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots, training
from kerasnotes.chapter13.multi_head import MultiHeadAttention
from kerasnotes.parts import layer_seeds, positive, whole

SMOKE = {"samples": 200, "steps": 6, "units": 4, "epochs": 1}
SECONDS = 7


def frequencies(depth, base=10000.0, indexing="paper"):
    """Angles by which the waves turn at each step, in radians.

    Args:
        depth: Numbers of an encoding, even: a sine and a cosine of each frequency.
        base: What the slowest wave's frequency is one over, nearly or exactly.
        indexing: "paper": base^(-2l/depth) for l = 0 to depth/2 - 1. "course": for l = 1 to depth/2, as in the notes.

    Returns:
        Array (depth/2,), float64, from fast to slow.

    Raises:
        ValueError: If the depth is odd, or the indexing neither of the two.

    Source: Vaswani et al. 2017, section 3.5.
    """
    if whole("depth", depth) % 2:
        raise ValueError(f"depth: expected an even number, got {depth}")
    if indexing not in ("paper", "course"):
        raise ValueError(f"indexing: expected paper or course, got {indexing!r}")
    wave = np.arange(depth // 2) + (indexing == "course")
    return positive("base", base) ** (-2.0 * wave / depth)


def sinusoidal_encoding(positions, depth, base=10000.0, indexing="paper"):
    """Sine and cosine of every frequency side by side: (sin ω₀t, cos ω₀t, sin ω₁t, …).

    Args:
        positions: How many, counted from 0, or an array of them (positions,).
        depth, base, indexing: As in `frequencies`.

    Returns:
        Array (positions, depth), float64. Every row has the squared norm depth/2.

    Source: Vaswani et al. 2017, section 3.5.
    """
    t = np.arange(whole("positions", positions)) if np.ndim(positions) == 0 else np.asarray_chkfinite(positions, float)
    angles = t[:, None] * frequencies(depth, base, indexing)  # (positions, depth/2)
    return np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(len(t), depth)


def shift_matrix(shift, depth, base=10000.0, indexing="paper"):
    """The rotation (depth, depth) that takes the encoding of any place t to that of t + shift: P(t + shift) = R P(t).

    Args:
        shift: Steps, also negative or broken.
        depth, base, indexing: As in `frequencies`.
    """
    angles = shift * frequencies(depth, base, indexing)
    rotation = np.zeros((depth, depth))
    sine, cosine = np.arange(0, depth, 2), np.arange(1, depth, 2)  # where each wave's pair stands
    rotation[sine, sine] = rotation[cosine, cosine] = np.cos(angles)
    rotation[sine, cosine], rotation[cosine, sine] = np.sin(angles), -np.sin(angles)
    return rotation


class Positions(keras.layers.Layer):
    """Adds a vector for each place to vectors (batch, steps, depth).

    Args:
        longest: Most steps.
        kind: "sinusoidal"; "learned": trained, from random numbers of deviation 0.05 on; or "none".
        seed: Seed of the learned ones, or None.
    """

    def __init__(self, longest, kind="sinusoidal", seed=None, **kwargs):
        super().__init__(**kwargs)
        if kind not in ("sinusoidal", "learned", "none"):
            raise ValueError(f"kind: expected sinusoidal, learned or none, got {kind!r}")
        self.longest, self.kind, self.seed = longest, kind, seed

    def build(self, shape):
        if self.kind == "learned":
            start = keras.initializers.RandomNormal(stddev=0.05, seed=self.seed)
            self.table = self.add_weight(name="table", shape=(self.longest, shape[-1]), initializer=start)
        elif self.kind == "sinusoidal":
            self.table = tf.constant(sinusoidal_encoding(self.longest, shape[-1]), tf.float32)

    def call(self, x):
        return x if self.kind == "none" else x + tf.convert_to_tensor(self.table)[: x.shape[1]]


def build_classifier(words, units, positions, heads=4, seed=0):
    """Self-attention and a dense layer over words, their mean, one logit; ids (batch, steps) of any length.

    Args:
        words: Number of ids.
        units: Numbers for a word.
        positions: A `Positions` layer.
        heads: Heads of the attention.
        seed: Seed of the initial weights.
    """
    seeds = layer_seeds(seed)
    start = keras.initializers.GlorotUniform
    ids = keras.Input((None,), dtype="int32")
    x = positions(
        keras.layers.Embedding(words, units, keras.initializers.RandomNormal(stddev=1.0, seed=next(seeds)))(ids)
    )
    x = x + MultiHeadAttention(heads, units // heads, seed=next(seeds))(x, x)
    x = keras.layers.Dense(2 * units, "relu", kernel_initializer=start(next(seeds)))(x)
    x = keras.layers.GlobalAveragePooling1D()(x)
    return keras.Model(ids, keras.layers.Dense(1, kernel_initializer=start(next(seeds)))(x))


def example():
    """The first places of the paper's encoding, and a shift by two steps."""
    encoding = sinusoidal_encoding(4, depth=4)
    print("place  sin t, cos t, sin t/100, cos t/100")
    for place, row in enumerate(encoding):
        print(place, "   ", row.round(4))
    print("place 3 from place 1:", (shift_matrix(2, depth=4) @ encoding[1]).round(4))
    print("products with place 0:", (encoding @ encoding[0]).round(4))
    words = keras.layers.Embedding(10, 4)(tf.constant([[7, 2, 7]]))  # (batch, steps, depth)
    print("the word 7 twice, with its place:", Positions(8)(words)[0, ::2].numpy().round(2).tolist())


def lesson(report, *, samples: int = 10000, steps: int = 16, units: int = 32, epochs: int = 4, seed: int = 0):
    """Draw the waves, turn them, and ask which of two words came first.

    Args:
        report: The report to write to.
        samples: Sentences to learn from (100 to 100000).
        steps: Words of a sentence (4 to 64).
        units: Numbers for a word; half of them are waves (4 to 256).
        epochs: Epochs of training (1 to 100).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _rotation(report, seed)
    _both_indexings(report)
    _adding(report, seed)
    found = _which_came_first(report, samples, steps, units, epochs, seed)
    _draw(report, found, steps)


def _rotation(report, seed):
    rng = np.random.default_rng((seed, 1))
    t, shifts = rng.integers(-500, 500, size=20), (1, 7, -3, 250, -0.5)
    for indexing in ("paper", "course"):
        plain = sinusoidal_encoding(t, 16, indexing=indexing)
        turned = [plain @ shift_matrix(shift, 16, indexing=indexing).T for shift in shifts]
        want = [sinusoidal_encoding(t + shift, 16, indexing=indexing) for shift in shifts]
        report.check(f"{indexing}: P(t + Δ) = R(Δ) P(t), also backwards", turned, want, rtol=0, atol=1e-9)
    a, b = shift_matrix(7, 16), shift_matrix(-3, 16)
    report.check("R is orthogonal, and R(a) R(b) = R(a + b)", [a @ a.T, a @ b], [np.eye(16), shift_matrix(4, 16)],
                 atol=1e-9)  # fmt: skip
    encoding = sinusoidal_encoding(t, 16)
    want = np.cos((t[:, None] - t)[..., None] * frequencies(16)).sum(-1)
    report.check("P(s)·P(t) = Σ cos ω(s - t): only the distance counts", encoding @ encoding.T, want, atol=1e-9)
    moved = np.abs(sinusoidal_encoding(t + 1, 16) - encoding).max()
    report.at_least("the encoding itself changes with a shift, by up to", moved, 0.5)
    report.correction("shift invariance", course="The encoding is shift-invariant.",
                      correct="It turns: P(t + Δ) = R(Δ) P(t) with a rotation R. Products P(s)·P(t) are invariant.",
                      shown_by="both sides computed for five shifts; products against a sum of cosines")  # fmt: skip


def _both_indexings(report):
    paper, course = (sinusoidal_encoding([1], 16, indexing=each)[0] for each in ("paper", "course"))
    report.check("the paper's first pair at place 1", paper[:2], [np.sin(1), np.cos(1)])
    report.check("the notes' pair l is the paper's pair l + 1", course[:-2], paper[2:])
    waves = {each: 2 * np.pi / frequencies(16, indexing=each) for each in ("paper", "course")}
    report.check("shortest wave at depth 16, in steps", [waves["paper"][0], waves["course"][0]],
                 [2 * np.pi, 2 * np.pi * 10000 ** (2 / 16)])  # fmt: skip
    report.table("wavelengths in steps, depth 16", ["wave", "paper, from l = 0", "notes, from l = 1"],
                 [[i + 1, *map(float, pair)] for i, pair in enumerate(zip(*waves.values(), strict=True))])  # fmt: skip
    report.correction("the first wave", course="ω_l = 1/10000^(2l/d), the vector begins with ω_1.",
                      correct="l counts from 0 in the paper: the fastest wave turns once in 2π steps. From 1 on it is "
                      "missing, and the shortest wave is 10000^(2/d) times longer.",
                      shown_by="the first pair at t = 1; 19.9 against 6.3 steps at depth 16")  # fmt: skip


def _adding(report, seed):
    rng = np.random.default_rng((seed, 2))
    x, p, w = rng.normal(size=(5, 6)), sinusoidal_encoding(5, 4), rng.normal(size=(10, 3))
    report.check("[x; P] W = x W_x + P W_p: appending is adding after a matrix", np.concatenate([x, p], 1) @ w,
                 x @ w[:6] + p @ w[6:])  # fmt: skip
    report.correction("appended or added", course="The elements of a position are appended to the word's vector.",
                      correct="The paper adds them. After the next matrix appending is adding, with a matrix of "
                      "its own for the positions.", shown_by="both computed with one matrix")  # fmt: skip


def _sentences(samples, steps, words, rng):
    """Sentences with one word 0 and one word 1; the label says whether 0 comes first."""
    ids = rng.integers(2, words, size=(samples, steps))
    places = rng.random((samples, steps)).argsort(axis=1)[:, :2]
    ids[np.arange(samples)[:, None], places] = [0, 1]
    return ids.astype(np.int32), (places[:, 0] < places[:, 1]).astype(np.float32)[:, None]


def _which_came_first(report, samples, steps, units, epochs, seed, words=20):
    rng = np.random.default_rng((seed, 3))
    x, y = _sentences(samples, steps, words, rng)
    lengths = (steps, 2 * steps)
    tests = [_sentences(2000, length, words, rng) for length in lengths]
    found = {}
    for kind in report.track(("none", "learned", "sinusoidal"), "training"):
        model = build_classifier(words, units, Positions(max(lengths), kind, seed), seed=seed)
        model.compile(keras.optimizers.Adam(3e-3), keras.losses.BinaryCrossentropy(from_logits=True))
        if kind == "none":
            order = rng.permutation(steps)
            report.check("without positions: another order of the same words, the same logits",
                         model(x[:50][:, order]), model(x[:50]), atol=1e-5)  # fmt: skip
        training.fit(model, x, y, batch_size=100, epochs=epochs, seed=seed)
        found[kind] = [float(np.mean((training.predict(model, a) > 0) == b)) for a, b in tests]
    report.check("without positions no network of this kind can know: accuracy", found["none"][0], 0.5, atol=0.05,
                 trained=True)  # fmt: skip
    report.at_least("sinusoidal positions: accuracy", found["sinusoidal"][0], 0.95, trained=True)
    report.table(f"which of two words came first; trained on {steps} words", ["positions",
                 *(f"accuracy on {length} words" for length in lengths)],
                 [[kind, *each] for kind, each in found.items()])  # fmt: skip
    return found


def _draw(report, found, steps):
    figure, (left, middle, right) = plots.subplots(1, 3, figsize=(13, 4.2))
    plots.heatmap(sinusoidal_encoding(60, 32).T, xlabel="place t", ylabel="number of the encoding", label="value",
                  title="Sines and cosines,\nfast above, slow below", ax=left, cmap="cividis")  # fmt: skip
    lags = np.arange(-60, 61)
    products = {
        f"from place {t}": sinusoidal_encoding(t + lags, 32) @ sinusoidal_encoding([t], 32)[0] for t in (0, 200)
    }
    plots.curves(lags, products, xlabel="distance, steps", ylabel="product of two encodings",
                 title="Only the distance counts", ax=middle)  # fmt: skip
    middle.set_ylim(None, 19)  # room for the legend
    plots.bars(list(found), [each[0] for each in found.values()], ylabel=f"accuracy on {steps} words", bound=0.5,
               bound_label="chance", title="Which of two words\ncame first?", ax=right)  # fmt: skip
    report.figure("Waves tell where a word stands", figure,
                  alt="Left: the encoding of 60 places, fast waves above and slow ones below. Middle: products against "
                  "distance, the same from two places. Right: accuracy, at chance without positions.")  # fmt: skip
