"""Ten frames, two letters: CTC adds up all the ways in which labels can be spread over frames.

Nobody says which frame of a recording belongs to which letter. What the reader should see: a blank and the rule "drop
repeats, then blanks" turn every path over frames into labels; the sum over all paths of some labels, too many to list,
takes one pass; its slope compares what the network says with where the labels probably are. Learning from the one best
path alone believes the first guess, and is often stuck with it.

Notes: chapter 08, "Labels without alignment" (连接时序分类).
Source: Graves et al. 2006, doi:10.1145/1143844.1143891; https://www.tensorflow.org/api_docs/python/tf/nn/ctc_loss;
https://keras.io/api/losses.
"""

import itertools
import math

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots, training
from kerasnotes.chapter08.sequences import one_hot
from kerasnotes.parts import floating, layer_seeds, shape, whole

SMOKE = {"samples": 40, "starts": 1, "epochs": 2, "units": 4}
SECONDS = 15

NEVER = -1e30  # the logarithm of a probability 0; minus infinity would make gradients NaN
SYMBOLS, FEATURES, LENGTH, LONGEST, NOISE = 4, 8, 4, 4, 0.5  # the toy: symbols, numbers a frame, and so on


def collapse(path, blank=0):
    """The labels of a path over frames: repeats are dropped, then blanks; 0, 1, 1, 0, 1, 2 gives `[1, 1, 2]`.

    Source: Graves et al. 2006, section 3.
    """
    return [int(label) for label, _ in itertools.groupby(path) if label != blank]


def alignments(labels, steps, classes, blank=0):
    """All paths over `steps` frames that collapse to `labels`, (paths, steps), by trying each of classes ** steps.

    `classes` counts the blank as well. For small cases only: at most a million paths are tried.
    """
    if whole("classes", classes) ** whole("steps", steps) > 1_000_000:
        raise ValueError(f"steps: expected at most a million paths, got {classes} ** {steps}")
    paths = [path for path in itertools.product(range(classes), repeat=steps) if collapse(path, blank) == [*labels]]
    return np.array(paths, int).reshape(-1, steps)


def ctc_log_likelihood(log_probabilities, labels, blank=0):
    """Logarithm of the sum of the probabilities of all paths that collapse to some labels, in one pass over frames.

    Args:
        log_probabilities: Logarithms of each class's probability at each frame (..., steps, classes).
        labels: Labels (..., length), integers, none of them the blank.
        blank: The class that stands for nothing.

    Returns:
        Tensor (...), minus infinity where there is no such path.

    Raises:
        ValueError: If shapes do not fit, probabilities of a frame do not sum to 1, or a label is out of range.

    Source: Graves et al. 2006, section 4.1.
    """
    scores, _, skips = _trellis(log_probabilities, labels, blank)
    total = tf.reduce_logsumexp(_passes(scores, skips, tf.reduce_logsumexp)[-1][..., -2:], axis=-1)
    return tf.where(total < NEVER / 10, -math.inf, total)


def forced_alignment(log_probabilities, labels, blank=0):
    """The likeliest path that collapses to some labels: the same pass with a maximum, then back.

    Returns:
        `(path, log_probability)`: int (..., steps) and float (...).

    Raises:
        ValueError: As `ctc_log_likelihood`, and if there are too few frames for the labels.
    """
    scores, extended, skips = _trellis(log_probabilities, labels, blank, fits=True)
    best = _passes(scores, skips, tf.reduce_max)
    state = tf.argmax(best[-1][..., -2:], axis=-1).numpy() + max(best[-1].shape[-1] - 2, 0)
    states = [state]
    for earlier in reversed(best[:-1]):
        origin = tf.argmax(_origins(earlier, skips), axis=0).numpy()  # 0: stayed, 1: one state on, 2: a blank skipped
        state = state - np.take_along_axis(origin, state[..., None], axis=-1)[..., 0]
        states.append(state)
    path = np.take_along_axis(extended.numpy(), np.stack(states[::-1], axis=-1), axis=-1)
    return path, tf.reduce_max(best[-1][..., -2:], axis=-1).numpy()


def occupancy(log_probabilities, labels, blank=0):
    """Probability of each class at each frame, given the labels: a pass forwards meets one from the end.

    Arguments and errors as in `forced_alignment`; the result is (..., steps, classes), each frame with sum 1. By
    logits, the slope of minus `ctc_log_likelihood` is the softmax less this.

    Source: Graves et al. 2006, section 4.2.
    """
    scores, extended, skips = _trellis(log_probabilities, labels, blank, fits=True)
    forwards = tf.stack(_passes(scores, skips, tf.reduce_logsumexp), axis=-2)  # (..., steps, states)
    turned = tf.reverse(scores, [-1, -2])  # from the end, the labels run the other way, and so do the skips
    turned_skips = tf.reverse(tf.roll(skips, -2, axis=-1), [-1])
    backwards = tf.stack(_passes(turned, turned_skips, tf.reduce_logsumexp), axis=-2)
    states = tf.nn.softmax(forwards + tf.reverse(backwards, [-1, -2]) - scores)
    return states @ tf.cast(one_hot(extended, log_probabilities.shape[-1]), states.dtype)


def best_path_decode(logits, blank=0):
    """The labels of the path through each frame's highest logit: (batch, steps, classes) to a list of lists."""
    return [collapse(path, blank) for path in np.argmax(shape("logits", np.asarray(logits), None, None, None), axis=2)]


def _trellis(log_probabilities, labels, blank, fits=False):
    """Scores (..., steps, states) of blank, label, …, blank, these states, and which may skip the one before them."""
    log_p, labels = floating("log_probabilities", log_probabilities), tf.convert_to_tensor(labels)
    (steps, classes), labels = log_p.shape[-2:], shape("labels", labels, *log_p.shape[:-2], None)
    if not 0 <= blank < classes or tf.reduce_any(labels == blank):
        raise ValueError(f"blank: expected a class from 0 to {classes - 1} that is not among the labels, got {blank!r}")
    if not np.all(np.abs(tf.reduce_logsumexp(log_p, axis=-1)) < 1e-3):  # NaN is refused too
        raise ValueError("log_probabilities: expected logarithms of probabilities with sum 1 at each frame")
    repeats = tf.reduce_sum(tf.cast(labels[..., 1:] == labels[..., :-1], tf.int32), axis=-1)
    if fits and steps < labels.shape[-1] + tf.reduce_max(repeats):
        raise ValueError(f"labels: expected labels that {steps} frames have room for, with a blank between repeats")
    sizes, nothing = [*labels.shape[:-1]], tf.cast(blank, labels.dtype)
    pairs = tf.stack([labels, tf.fill(labels.shape, nothing)], axis=-1)  # (..., length, 2)
    extended = tf.concat([tf.fill([*sizes, 1], nothing), tf.reshape(pairs, [*sizes, 2 * labels.shape[-1]])], axis=-1)
    chosen = tf.cast(one_hot(extended, classes), log_p.dtype)  # (..., states, classes)
    scores = tf.matmul(tf.maximum(log_p, NEVER), chosen, transpose_b=True)
    return scores, extended, (extended != blank) & (extended != tf.roll(extended, 2, axis=-1))


def _origins(alpha, skips):
    """Where a path can come from, (3, ..., states): the same state, the one before, the one before that."""
    never = tf.fill([*alpha.shape[:-1], 2], tf.cast(NEVER, alpha.dtype))
    padded, states = tf.concat([never, alpha], axis=-1), alpha.shape[-1]
    return tf.stack([alpha, padded[..., 1 : states + 1], tf.where(skips, padded[..., :states], NEVER)])


def _passes(scores, skips, add):
    """For every frame, all beginnings that end in a state, added (or the best of them): a list of (..., states)."""
    alpha = [tf.where(tf.range(scores.shape[-1]) < 2, scores[..., 0, :], NEVER)]
    for step in range(1, scores.shape[-2]):
        alpha.append(add(_origins(alpha[-1], skips), axis=0) + scores[..., step, :])
    return alpha


def speech_toy(samples, seed):
    """Sentences of four symbols, 1 to 4, no two neighbours alike; each lasts 1 to 4 noisy frames, then there is noise.

    The result is `(frames, labels)`: float32 (samples, 16, 8) and int32 (samples, 4).
    """
    rng = np.random.default_rng(seed)
    voices = np.random.default_rng(2006).normal(size=(SYMBOLS + 1, FEATURES)) * (np.arange(SYMBOLS + 1) > 0)[:, None]
    steps = rng.integers(1, SYMBOLS, (whole("samples", samples), LENGTH))
    labels = (rng.integers(0, SYMBOLS, (samples, 1)) + np.cumsum(steps, axis=1)) % SYMBOLS + 1
    frames = rng.normal(0, NOISE, (samples, LENGTH * LONGEST, FEATURES))
    for sentence, spoken in zip(frames, labels, strict=True):
        said = np.repeat(spoken, rng.integers(1, LONGEST + 1, LENGTH))
        sentence[: len(said)] += voices[said]
    return frames.astype(np.float32), labels.astype(np.int32)


def example():
    """The labels 1, 2 in five frames: 35 paths, their sum, the best of them, and TensorFlow's loss."""
    logits = tf.constant([[1.0, 2.0, 0.0], [0.0, 2.0, 1.0], [2.0, 0.0, 0.0], [0.0, 0.0, 3.0], [1.0, 0.0, 1.0]])
    log_p, labels = tf.nn.log_softmax(logits), [1, 2]
    print(len(alignments(labels, 5, 3)), "paths; the first three:", *alignments(labels, 5, 3)[:3].tolist())
    path, log_probability = forced_alignment(log_p, labels)
    print("the likeliest path:", path, f"with probability {np.exp(log_probability):.3f}; all together "
          f"{np.exp(ctc_log_likelihood(log_p, labels)):.3f}")  # fmt: skip
    print("where the labels probably are:", occupancy(log_p, labels).numpy().round(2), sep="\n")
    theirs = tf.nn.ctc_loss([labels], logits[:, None], [2], [5], blank_index=0)
    print("TensorFlow:", theirs.numpy(), "ours:", -ctc_log_likelihood(log_p, labels).numpy())
    print("each frame's best:", best_path_decode(logits[None]))


def lesson(report, *, starts: int = 5, epochs: int = 12, samples: int = 3200, units: int = 32, seed: int = 0):
    """Count all paths of small cases, compare with the libraries, then learn to read sentences of noisy frames.

    Args:
        report: The report to write to.
        starts: Networks to train, for each way (1 to 100).
        epochs: Passes over the sentences (1 to 1000).
        samples: Sentences to learn from (40 to 100000).
        units: Channels of the networks (1 to 1000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    _counted(report, rng)
    _libraries(report, rng)
    _repeats(report)
    _trained(report, starts, epochs, samples, units, seed)


def _counted(report, rng):
    """Two labels in five frames, three classes: all 243 paths, of which 35 count."""
    log_p, labels = tf.nn.log_softmax(rng.normal(size=(5, 3))), [1, 2]
    paths = alignments(labels, 5, 3)
    chances = np.exp(log_p.numpy()[np.arange(5), paths].sum(axis=1))
    counted = np.einsum("p,ptc->tc", chances / chances.sum(), np.eye(3)[paths])
    report.check("log of the sum over 35 paths: one pass, and one by one", ctc_log_likelihood(log_p, labels),
                 np.log(chances.sum()), rtol=0, atol=1e-9)  # fmt: skip
    path, log_probability = forced_alignment(log_p, labels)
    report.check("forced alignment is the likeliest of them", path, paths[chances.argmax()])
    report.check("with its probability", np.exp(log_probability), chances.max(), rtol=0, atol=1e-9)
    label = "class at each frame, given the labels: two passes, and counted"
    report.check(label, occupancy(log_p, labels), counted, rtol=0, atol=1e-9)
    report.at_least("one path instead of all: difference of the slope", np.abs(np.eye(3)[path] - counted).max(), 0.1)
    report.correction("what CTC learns from", course="the slope comes from the one best sequence of labels (Viterbi)",
                      correct="it comes from all paths, each by its probability: softmax less occupancy",
                      shown_by="all paths of a small case; networks of several starts, trained both ways")  # fmt: skip
    sizes = [(steps, length) for steps in (3, 5, 7) for length in (1, 2, 3)]
    got = [len(alignments([1, 2, 1][:length], steps, 3)) for steps, length in sizes]
    want = [math.comb(steps + length, 2 * length) for steps, length in sizes]
    report.check("number of paths, no repeats among U labels, T frames: C(T + U, 2U)", got, want)


def _libraries(report, rng):
    logits, labels = tf.constant(rng.normal(size=(6, 9, 5))), tf.constant(rng.integers(1, 5, (6, 3)))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(logits)
        ours = -ctc_log_likelihood(tf.nn.log_softmax(logits), labels)
        single = tf.cast(logits, tf.float32)
        theirs = tf.nn.ctc_loss(labels, single, [3] * 6, [9] * 6, logits_time_major=False, blank_index=0)
    report.check("tf.nn.ctc_loss", theirs, ours, rtol=1e-5)
    report.check("keras.losses.CTC", keras.losses.CTC(reduction="none")(labels, single), ours, rtol=1e-5)
    want = tf.nn.softmax(logits) - occupancy(tf.nn.log_softmax(logits), labels)
    report.check("slope by logits: softmax less occupancy", tape.gradient(ours, logits), want, rtol=0, atol=1e-9)
    report.check("and TensorFlow's", tape.gradient(theirs, logits), want, atol=1e-5)
    decoded, _ = tf.nn.ctc_greedy_decoder(tf.transpose(single, (1, 0, 2)), [9] * 6, blank_index=0)
    want = [[label for label in row if label >= 0] for row in tf.sparse.to_dense(decoded[0], -1).numpy().tolist()]
    report.check("best path: tf.nn.ctc_greedy_decoder", str(best_path_decode(logits)), str(want))


def _repeats(report):
    """Between two equal labels there must be a blank, which takes a frame."""
    alike = {steps: tf.nn.log_softmax(tf.zeros((steps, 3))) for steps in (3, 4)}
    report.check("1, 1, 2 in three frames: number of paths", len(alignments([1, 1, 2], 3, 3)), 0)
    report.check("and probability", np.exp(ctc_log_likelihood(alike[3], [1, 1, 2])), 0.0, atol=0)
    report.check("in four frames there is one path", np.exp(ctc_log_likelihood(alike[4], [1, 1, 2])), 1 / 81)
    theirs = tf.nn.ctc_loss([[1, 1, 2]], tf.zeros((1, 3, 3)), [3], [3], logits_time_major=False, blank_index=0)
    report.note(f"For three frames the loss is infinite; TensorFlow returns {float(theirs[0]):.1f}.")


def _trained(report, starts, epochs, samples, units, seed):
    """From the same starts: all paths (Keras's loss), or the network's own best path, found anew for each pass."""
    (x, y), (x_test, y_test) = speech_toy(samples, (seed, 0)), speech_toy(1000, (seed, 1))
    losses = {"all paths": keras.losses.CTC(), "the best path": keras.losses.SparseCategoricalCrossentropy(True)}
    errors, shown = {name: np.zeros((starts, epochs + 1)) for name in losses}, []
    for name, loss in losses.items():
        (model := _network(units, seed)).compile(keras.optimizers.Adam(0.01), loss)
        restart = training.restarter(model)
        for start in report.track(range(starts), name):
            restart(_network(units, (seed, start)).get_weights())
            errors[name][start, 0] = _symbol_error(model, x_test, y_test)
            for epoch in range(epochs):
                best = name == "the best path"
                target = forced_alignment(tf.nn.log_softmax(training.predict(model, x)), y)[0] if best else y
                training.fit(model, x, target, batch_size=64, epochs=epoch + 1, initial_epoch=epoch, seed=seed)
                errors[name][start, epoch + 1] = _symbol_error(model, x_test, y_test)
        shown.append(tf.nn.softmax(training.predict(model, x_test[:1])[0]).numpy().T)
    last = {name: each[:, -1] for name, each in errors.items()}
    report.at_most("all paths: symbol error, worst start", last["all paths"], 0.1, trained=True)
    report.at_least("the best path alone: mean symbol error over that of all paths",
                    last["the best path"].mean() / last["all paths"].mean(), 2.0, trained=True)  # fmt: skip
    rows = [[name, float(ends.mean()), float(ends.min()), float(ends.max()), int(np.sum(ends > 0.1))]
            for name, ends in last.items()]  # fmt: skip
    report.table(f"{starts} starts, {epochs} passes: symbol error on new sentences", ["learnt from", "mean", "best",
                 "worst", "starts stuck above 0.1"], rows)  # fmt: skip
    report.figure("All paths find what the best path misses", _draw(errors, shown[0], y_test[0]),
                  alt="Left: with all paths the symbol error falls at once, from every start; with the best path alone "
                  "it falls late or stays high. Right: over frames, one class after another is sure.")  # fmt: skip


def _network(units, seed):
    seeds = layer_seeds(seed)
    window, head = (keras.initializers.GlorotUniform(next(seeds)) for _ in range(2))
    return keras.Sequential([
        keras.Input((LENGTH * LONGEST, FEATURES)),
        keras.layers.Conv1D(units, 3, padding="same", activation="relu", kernel_initializer=window),
        keras.layers.Dense(SYMBOLS + 1, kernel_initializer=head),
    ])  # fmt: skip


def _symbol_error(model, x, y):
    """Symbols to insert, delete or replace, per symbol spoken."""
    read = tf.ragged.constant(best_path_decode(training.predict(model, x)), tf.int32, ragged_rank=1).to_sparse()
    return float(tf.reduce_sum(tf.edit_distance(read, tf.sparse.from_dense(y), normalize=False)) / y.size)


def _draw(errors, shown, labels):
    figure, (left, right) = plots.subplots(1, 2, figsize=(11, 3.6))
    for number, (name, runs) in enumerate(errors.items()):
        left.plot(runs.T, plots.LINE_STYLES[number], color=f"C{number}", marker="o", markersize=3)[0].set_label(name)
    left.set(xlabel="passes", ylabel="symbol error", ylim=(0, None), title="Symbol error, one line a start")
    left.legend()
    plots.heatmap(shown, xlabel="frame", ylabel="class (0: blank)", label="probability", ax=right, vmin=0, vmax=1,
                  title=f"All paths: {', '.join(map(str, labels))} is read", cmap="cividis")  # fmt: skip
    return figure
