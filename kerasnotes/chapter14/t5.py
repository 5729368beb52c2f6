"""Every task is text to text: a first token says what to do, and a sentinel marks a gap that is to be filled.

T5 reads a text and writes a text, whatever is asked. What the reader should see: spans of a text that are replaced by
sentinels, one for each, and targets that hold nothing but the spans, so that little has to be written; a Transformer
that copies, turns round, sorts or finds the largest digit as its first token says, and does another task on the same
digits when that token is exchanged; and that filling gaps in digits without any law is no preparation for these tasks.

Notes: chapter 14, "T5" (T5模型).
Source: Raffel et al. 2020, arXiv:1910.10683, figure 2 and sections 3.1.4 and 3.3.4.
"""

from itertools import pairwise

import keras
import numpy as np

from kerasnotes import plots, training
from kerasnotes.chapter09.encoder_decoder import greedy_decode, likeliest, sentence_loss
from kerasnotes.chapter13.transformer import Transformer, TransformerDecoder, TransformerEncoder
from kerasnotes.chapter13.translation import rise_and_fall
from kerasnotes.parts import positive, share, whole

SMOKE = {"steps": 4, "units": 8, "layers": 1}
SECONDS = 27

PADDING, START, END = 0, 1, 2
TASKS = ("copy", "reverse", "sort", "largest")
FIRST_TASK, ZERO, FIRST_SENTINEL, SENTINELS = 3, 7, 17, 4  # ids: four tasks, ten digits, four sentinels
SHORTEST, LONGEST = 5, 8  # digits
SENTENCE = ("Thank", "you", "for", "inviting", "me", "to", "your", "party", "last", "week", ".")  # of the paper


def random_spans(length, rate=0.15, mean_length=3, seed=0):
    """Spans of a text that are to be hidden: neither how many nor how long in all is left to chance, but where.

    Args:
        length: Tokens of the text, at least 2.
        rate: Share of them to hide, rounded to whole tokens; at least one token is hidden and one stays.
        mean_length: Mean length of a span; the number of spans is rounded.
        seed: Seed of lengths and places.

    Returns:
        List of pairs (start, stop) in their order, with at least one token between two spans.

    Source: Raffel et al. 2020, section 3.3.4.
    """
    hidden = min(max(1, round(whole("length", length, 2) * share("rate", rate))), length - 1)
    spans = min(max(1, round(hidden / positive("mean_length", mean_length))), hidden, length - hidden + 1)
    rng = np.random.default_rng(seed)
    sizes = _cut(hidden, spans, rng)
    gaps = _cut(length - hidden + 2, spans + 1, rng)  # the first and the last may be empty: one token too many each
    starts = np.cumsum(gaps[:-1]) - 1 + np.cumsum([0, *sizes[:-1]])
    return [(int(start), int(start + size)) for start, size in zip(starts, sizes, strict=True)]


def _cut(total, parts, rng):
    """Whole numbers, at least 1 each, with this sum: all ways are equally likely."""
    cuts = np.sort(rng.choice(total - 1, parts - 1, replace=False)) + 1
    return np.diff([0, *cuts, total])


def corrupt_spans(ids, spans, sentinels):
    """Put one sentinel in the place of each span, and the spans behind their sentinels into the targets.

    Args:
        ids: Tokens of the text, a list or an array (length,).
        spans: Pairs (start, stop) in their order, with at least one token between two.
        sentinels: Tokens that stand for spans, one more than spans: the one behind the last ends the targets.

    Returns:
        `(inputs, targets)`, two lists of tokens.

    Raises:
        ValueError: If spans touch or lie outside, or sentinels are too few, not distinct, or stand in the text.

    Source: Raffel et al. 2020, figure 2.
    """
    ids, sentinels = list(ids), list(sentinels)
    if len(set(sentinels)) != len(sentinels) or len(sentinels) <= len(spans) or set(sentinels) & set(ids):
        raise ValueError(f"sentinels: expected {len(spans) + 1} or more different ones that are not in the text")
    inputs, targets, place = [], [], 0
    for number, (start, stop) in enumerate(spans):
        if not (place + (number > 0) <= start < stop <= len(ids)):
            raise ValueError(f"spans: expected them apart, in order, within {len(ids)} tokens, got {(start, stop)}")
        inputs += [*ids[place:start], sentinels[number]]
        targets += [sentinels[number], *ids[start:stop]]
        place = stop
    return inputs + ids[place:], [*targets, sentinels[len(spans)]]


def restore_spans(inputs, targets, sentinels):
    """The text whose gaps the targets fill: undoes `corrupt_spans`. Returns a list of tokens.

    Raises:
        ValueError: If the sentinels of the two are not those of `corrupt_spans`, in their order.
    """
    inputs, targets, sentinels = list(inputs), list(targets), list(sentinels)
    marks = [token for token in targets if token in sentinels]
    known = [token for token in inputs if token in sentinels]
    if not marks or marks != sentinels[: len(marks)] or (targets[0], targets[-1]) != (marks[0], marks[-1]):
        raise ValueError(f"targets: expected sentinels in order, the first and the last at the ends, got {targets}")
    if known != marks[:-1]:
        raise ValueError(f"inputs: expected the targets' sentinels but the last, {marks[:-1]}, got {known}")
    places = [targets.index(mark) for mark in marks]
    gaps = {targets[start]: targets[start + 1 : stop] for start, stop in pairwise(places)}
    return [token for each in inputs for token in gaps.get(each, [each])]


def string_tasks(samples, seed=0):
    """Strings of 5 to 8 digits behind a token that says what to do: copy, reverse, sort, or find the largest digit.

    Args:
        samples: Number of strings.
        seed: Seed of strings and tasks.

    Returns:
        `(source, target, task)`: ids (samples, 9) each, zeros behind the end, and numbers 0 to 3 (samples,). The token
        of task k has the id 3 + k, the digit d has 7 + d; targets end with the id 2.
    """
    rng = np.random.default_rng(seed)
    task = rng.integers(len(TASKS), size=whole("samples", samples))
    lengths = rng.integers(SHORTEST, LONGEST + 1, samples)
    digits = np.where(np.arange(LONGEST) < lengths[:, None], rng.integers(ZERO, ZERO + 10, (samples, LONGEST)), PADDING)
    return asked(digits, task), answers(digits, task), task


def asked(digits, task):
    """What is read: strings (samples, 8), zeros behind, each behind the token of its task (samples,)."""
    return np.concatenate([FIRST_TASK + np.asarray(task)[:, None], digits], axis=1).astype(np.int32)


def answers(digits, task):
    """What is to be written (samples, 9), from strings (samples, 8) and tasks (samples,)."""
    target = np.zeros((len(digits), LONGEST + 1), np.int32)
    for row, string, number in zip(target, digits, task, strict=True):
        real = string[string != PADDING]
        answer = (real, real[::-1], np.sort(real), [real.max()])[number]
        row[: len(answer) + 1] = [*answer, END]
    return target


def gaps_in_digits(samples, seed=0):
    """Strings as those of `string_tasks`, with a span of two digits hidden: `(source, target)`, ids (samples, 9)."""
    source, target = np.zeros((2, samples, LONGEST + 1), np.int32)
    sentinels = range(FIRST_SENTINEL, FIRST_SENTINEL + SENTINELS)
    for number, (_, *digits) in enumerate(string_tasks(samples, seed)[0]):
        digits = [digit for digit in digits if digit != PADDING]
        spans = random_spans(len(digits), rate=2 / len(digits), mean_length=2, seed=(number, *np.atleast_1d(seed)))
        inputs, wanted = corrupt_spans(digits, spans, sentinels)
        source[number, : len(inputs)], target[number, : len(wanted) + 1] = inputs, [*wanted, END]
    return source, target


def behind_start(target):
    """What a decoder reads when it shall write the target: the start token, then the target up to its last word."""
    before = np.concatenate([np.full((len(target), 1), START), target[:, :-1]], axis=1)
    return np.where(before == END, PADDING, before).astype(np.int32)


def example():
    """The paper's sentence with two gaps, restored; and one string of digits under four tasks."""
    inputs, targets = corrupt_spans(SENTENCE, [(2, 4), (8, 9)], ["<X>", "<Y>", "<Z>"])
    print(" ".join(inputs), "→", " ".join(targets))
    print("restored:", " ".join(restore_spans(inputs, targets, ["<X>", "<Y>", "<Z>"])))
    print("spans of a text of 40 tokens:", random_spans(40, seed=1))
    digits = np.tile([ZERO + 3, ZERO + 1, ZERO + 4, ZERO + 1, ZERO + 5, 0, 0, 0], (4, 1))
    for name, row in zip(TASKS, answers(digits, range(4)), strict=True):
        print(f"{name:8}", [int(i) - ZERO for i in row if i >= ZERO])
    print("by sorted:", sorted([3, 1, 4, 1, 5]), "by max:", max(3, 1, 4, 1, 5))


def lesson(report, *, steps: int = 600, units: int = 64, layers: int = 2, learning_rate: float = 4e-3, seed: int = 0):
    """Hide spans and restore them, train one Transformer for four tasks, exchange the task, and prepare it by gaps.

    Args:
        report: The report to write to.
        steps: Steps of a training, in batches of 64, a multiple of 4 (4 to 100000).
        units: Numbers for a word, a multiple of 8 (8 to 256).
        layers: Blocks of encoder and decoder each (1 to 8).
        learning_rate: Largest learning rate (0.000001 to 1).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _spans(report, seed)
    learnt = string_tasks(64 * (steps // 4), (seed, 1))
    tested = _unseen(report, learnt[0], seed)
    model, start, restart = _network(units, layers, steps, learning_rate, seed)
    curves, written = _four_tasks(report, model, learnt, tested, seed)
    restart(start)
    _prepared(report, model, learnt, tested, curves, seed)
    _draw(report, curves, written, steps)


def _spans(report, seed):
    got = map(" ".join, corrupt_spans(SENTENCE, [(2, 4), (8, 9)], ["<X>", "<Y>", "<Z>"]))
    want = ["Thank you <X> me to your party <Y> week .", "<X> for inviting <Y> last <Z>"]
    report.check("the paper's sentence", [*got], want)
    rng, restored, between = np.random.default_rng((seed, 2)), [], []
    for number in range(500):
        text = rng.integers(100, size=rng.integers(2, 200)).tolist()
        spans = random_spans(len(text), rng.uniform(0.05, 0.6), rng.uniform(1, 5), (seed, number))
        sentinels = range(100, 101 + len(spans))
        restored.append(restore_spans(*corrupt_spans(text, spans, sentinels), sentinels) == text)
        between += [after[0] - before[1] for before, after in pairwise(spans)]
    report.check("random texts: restored from inputs and targets", restored, [True] * 500)
    report.at_least("fewest tokens between two spans", min(between), 1)
    found = [random_spans(length, seed=(seed, length)) for length in range(400, 600)]
    sizes = np.array([stop - start for spans in found for start, stop in spans])
    report.check("long texts: share that is hidden", sizes.sum() / sum(range(400, 600)), 0.15, rtol=0, atol=0.01)
    report.check("long texts: mean length of a span", sizes.mean(), 3.0, rtol=0, atol=0.1)
    rows = []
    for length in (20, 100, 500):
        spans = random_spans(length, seed=seed)
        both = corrupt_spans(range(length), spans, range(length, length + 1 + len(spans)))
        rows.append([length, len(spans), *map(len, both)])
    report.table("15 % of a text are hidden: what is left to do", ["tokens", "spans", "read", "written"], rows)
    report.check("500 tokens: 75 hidden ones and 26 sentinels are written", rows[-1][3], 101)


def _unseen(report, source, seed):
    """250 strings that stand in no task of the training, behind each of the four tokens, and their answers."""
    known = {row.tobytes() for row in source[:, 1:]}
    new = [row for row in string_tasks(1000, (seed, 3))[0][:, 1:] if row.tobytes() not in known][:250]
    report.check("tested strings that stand in the training", sum(row.tobytes() in known for row in new), 0)
    every, tasks = np.tile(new, (4, 1)), np.repeat(np.arange(4), len(new))
    return asked(every, tasks), answers(every, tasks)


def _network(units, layers, steps, learning_rate, seed):
    arguments = {"num_heads": 4, "hidden_units": 2 * units, "embedding_deviation": 0.2, "position_scale": 0.5}
    size = FIRST_SENTINEL + SENTINELS
    model = Transformer(*(kind(size, units, **arguments, layers=layers, seed=(seed, number))
                          for kind, number in ((TransformerEncoder, 4), (TransformerDecoder, 5))))  # fmt: skip
    model.compile(keras.optimizers.Adam(rise_and_fall(learning_rate, steps), beta_2=0.98), sentence_loss())
    return model, model.get_weights(), training.restarter(model)


def _right(model, source, target):
    """Share of whole answers right after right words, for each task."""
    ids = likeliest(training.predict(model, (source, behind_start(target))))
    return np.all((ids == target) | (target == PADDING), axis=1).reshape(4, -1).mean(axis=1)


def _learn(report, model, learnt, tested, epochs, seed):
    """Quarters of a training, from the first to the last of `epochs`. Returns shares of right answers after each."""
    curves, (source, target) = [], learnt[:2]
    watch = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs=None: curves.append(_right(model, *tested)))
    form = "xla" if len(source) >= 64 * 100 else "loop"  # products of 64 units are small enough for it
    training.fit(model, (source, behind_start(target)), target, batch_size=64, epochs=epochs[1], form=form, seed=seed,
                 initial_epoch=epochs[0], callbacks=[watch], track=report.track)  # fmt: skip
    return curves


def _four_tasks(report, model, learnt, tested, seed):
    curves = [_right(model, *tested), *_learn(report, model, learnt, tested, (0, 4), seed)]
    report.at_least("whole answers right, after right words", curves[-1], 0.85, trained=True)
    source, wanted = tested
    own = greedy_decode(model, source, START, END, LONGEST + 1)
    own, wanted = (ids.reshape(4, -1, LONGEST + 1) for ids in (own, wanted))  # (first token, string, step)
    written = np.all(own[:, None] == wanted, axis=-1).mean(axis=-1)  # (first token, whose answer)
    report.at_least("whole answers right, written by itself", np.diagonal(written), 0.8, trained=True)
    all_four = np.all(own == wanted, axis=(0, 2)).mean()
    report.at_least("first token exchanged: all four answers to a string right", all_four, 0.8, trained=True)
    other = written[~np.eye(4, dtype=bool)].max()
    report.at_most("the answer of a task that the first token does not name", other, 0.05, trained=True)
    text, *texts = ("".join(str(i - ZERO) for i in ids if i >= ZERO) for ids in (source[0], *own[:, 0]))
    columns = ["first token", "right after right words", "right, written by itself", f"what it wrote for {text}"]
    rows = zip(TASKS, curves[-1].tolist(), np.diagonal(written).tolist(), texts, strict=True)
    report.table(f"{len(source) // 4} strings of digits, each with four tasks", columns, [[*row] for row in rows])
    return curves, written


def _prepared(report, model, learnt, tested, curves, seed):
    """A quarter of the steps on gaps in digits, three on the tasks: against four quarters on the tasks."""
    prepared = _learn(report, model, gaps_in_digits(len(learnt[0]), (seed, 7)), tested, (0, 1), seed)
    loss = model.history.history["loss"][0]
    prepared += _learn(report, model, learnt, tested, (1, 4), seed)
    rows = zip((1, 2, 3, 4), *(np.mean(each, axis=1).tolist() for each in (curves[1:], prepared)), strict=True)
    columns = ["quarters of the training", "tasks alone", "a quarter on gaps, then tasks"]
    report.table("whole answers right, mean of four tasks", columns, [[*row] for row in rows])
    best = 2 * np.log(10) / 5  # two digits among five tokens
    report.note(f"The digits are random, so no gap can be filled: at best the loss is 2 ln 10 / 5 = {best:.3f} nats a "
                f"token, and its mean over the quarter is {loss:.3f}. Gaps teach the form of texts here, and nothing "
                "that the tasks ask for.")  # fmt: skip


def _draw(report, curves, written, steps):
    figure, (left, right) = plots.subplots(1, 2, figsize=(11.5, 4.6), width_ratios=(1.1, 1))
    plots.curves(np.arange(5) * steps / 4, dict(zip(TASKS, np.transpose(curves), strict=True)), marker="o",
                 xlabel="steps of training", ylabel="share of whole answers right",
                 title="One network learns four tasks", ax=left)  # fmt: skip
    plots.heatmap(written, xlabel="task whose answer was written", ylabel="first token", label="share of strings",
                  title="The first token decides", ax=right, cmap="cividis", vmin=0, vmax=1)  # fmt: skip
    right.set(xticks=range(4), xticklabels=TASKS, yticks=range(4), yticklabels=TASKS)
    for (row, column), value in np.ndenumerate(written):
        right.text(column, row, f"{value:.2f}", ha="center", va="center", color="black" if value > 0.5 else "white")
    report.figure("The first token says what to do", figure,
                  alt="Left: share of strings answered without a mistake by steps, four curves that rise to nearly 1. "
                  "Right: for each first token, whose task's answer was written: near 1 on the diagonal.")  # fmt: skip
