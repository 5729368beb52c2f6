"""A wider beam finds likelier sentences, as a rule; and the likeliest sentence is not always the one that is wanted.

Greedy writing takes the likeliest word at every step. A beam keeps several beginnings and writes them all on. What the
reader should see: more beginnings find the best sequence more often; two that end worse than one; short answers that
win as every further word costs probability; and prose that repeats itself with a likelihood that the novel's own
passages do not have.

Notes: chapter 13, "Beam search" (束搜索).
Source: Wu et al. 2016, arXiv:1609.08144, equation 14 (length penalty); Viterbi 1967, doi:10.1109/TIT.1967.1054010;
Holtzman et al. 2020, arXiv:1904.09751 (likelihood against quality).
"""

import numpy as np
import tensorflow as tf

from kerasnotes import data, plots
from kerasnotes.chapter09.encoder_decoder import Decoder, Encoder, Seq2Seq, greedy_decode
from kerasnotes.parts import shape, whole

SMOKE = {"chains": 5, "characters": 30_000, "length": 40, "beginnings": 1}
SECONDS = 3


def penalty(length, alpha):
    """What a log-probability is divided by, so that long answers may compete: ((5 + length)/6)^alpha.

    Args:
        length: Words of the answer, the end token included.
        alpha: 0 leaves the log-probability alone; the larger, the more is forgiven to length.

    Source: Wu et al. 2016, equation 14.
    """
    if not 0 <= alpha < np.inf:
        raise ValueError(f"alpha: expected a number of at least 0, got {alpha!r}")
    return ((5 + length) / 6) ** alpha


def beam_search(next_log_probabilities, start, end, width, max_length, length_penalty=0.0):
    """Write several beginnings on, word by word, and keep the likeliest; finished ones are set aside.

    Args:
        next_log_probabilities: From a tuple of tokens, the start first, to log-probabilities (vocabulary,) of the next.
        start, end: The tokens before the first and behind the last; without an end, None, all have `max_length`.
        width: Beginnings that are kept, 1 for greedy writing.
        max_length: Most tokens of an answer, the end token included; what is not ended then is cut there.
        length_penalty: The `alpha` of `penalty`.

    Returns:
        At most `width` pairs `(tokens, log_probability)`, tokens without the start and with the end, the one with the
        largest log_probability / penalty(len(tokens), length_penalty) first.

    Raises ValueError: If a number is out of range, or a log-probability is above 0 or NaN.
    """
    whole("width", width), whole("max_length", max_length)
    alive, ended = [((), 0.0)], []
    for length in range(1, max_length + 1):
        rows = np.array([next_log_probabilities((start, *tokens)) for tokens, _ in alive], np.float64)
        if not np.all(shape("next_log_probabilities", rows, None, None) <= 1e-6):
            raise ValueError(f"next_log_probabilities: expected numbers of at most 0, got {rows.max()}")
        total = np.array([log_p for _, log_p in alive])[:, None] + rows  # (beginnings, vocabulary)
        best = np.unravel_index(np.argsort(-total, axis=None, kind="stable")[:width], total.shape)
        kept = [((*alive[row][0], int(token)), float(total[row, token])) for row, token in zip(*best, strict=True)]
        kept = [(each, length == max_length or each[0][-1] == end) for each in kept if each[1] > -np.inf]
        ended += [each for each, finished in kept if finished]
        ended = sorted(ended, key=lambda each: -each[1] / penalty(len(each[0]), length_penalty))[:width]
        alive = [each for each, finished in kept if not finished]
        if not alive:
            break
    return ended


def word_log_probabilities(logits):
    """Log-probabilities (..., vocabulary), float64, of words: padding, id 0, is never written and has -inf."""
    words = tf.nn.log_softmax(tf.cast(logits, tf.float64)[..., 1:])
    return tf.concat([tf.fill(tf.shape(words[..., :1]), tf.constant(-np.inf, tf.float64)), words], axis=-1)


def beam_candidates(model, source, start, end, max_length, width=4, length_penalty=0.6):
    """`beam_search` for many sentences at once: every beginning of every sentence is a row of one batch.

    Args:
        model: A model of chapter 09's form: `encoder(source) -> context`, `decoder(tokens, context, state) -> (logits,
            state)`, `decoder.head.units`. Context and state: tensors with the batch first, or None, in any nesting.
        source: Ids (batch, steps), with zeros behind the last word.
        start, end, max_length, width, length_penalty: As in `beam_search`, tokens as ids.

    Returns:
        `(ids, log_probabilities)`: (batch, width, max_length), the best first, zeros behind the last word; (batch,
        width), -inf where there are fewer than `width` answers.

    Raises ValueError: If an id or a number is out of range.
    """
    source, size = tf.convert_to_tensor(source), model.decoder.head.units
    batch, last = source.shape[0], penalty(whole("max_length", max_length), length_penalty)
    if not 0 < min(start, end) <= max(start, end) < size:
        raise ValueError(f"start, end: expected ids from 1 to {size - 1}, got {start!r} and {end!r}")
    rows = np.arange(batch)[:, None] * whole("width", width)  # (batch, 1), where a sentence's beginnings are
    context, state = _rows(model.encoder(source), np.repeat(np.arange(batch), width)), None
    log_p = np.where(np.arange(width) == 0, np.zeros((batch, 1)), -np.inf)  # one beginning: the empty one
    ids, words = np.zeros((batch, width, max_length), np.int32), np.full((batch, width), start, np.int32)
    ended = np.zeros_like(ids), np.full((batch, width), -np.inf), np.full((batch, width), -np.inf)
    for step in range(max_length):
        logits, state = model.decoder(tf.constant(words.reshape(-1, 1)), context, state)
        total = word_log_probabilities(logits[:, -1]) + log_p.reshape(-1, 1)  # (batch · width, vocabulary)
        log_p, best = (part.numpy() for part in tf.math.top_k(tf.reshape(total, (batch, -1)), width))
        beginning, words = best // size, (best % size).astype(np.int32)  # (batch, width)
        ids = np.take_along_axis(ids, beginning[..., None], axis=1)
        ids[..., step] = words
        done = (words == end) | (step == max_length - 1)
        scores = np.where(done, log_p / penalty(step + 1, length_penalty), -np.inf)
        both = [np.concatenate(pair, axis=1) for pair in zip(ended, (ids, log_p, scores), strict=True)]
        order = np.argsort(-both[2], axis=1, kind="stable")[:, :width]
        ended = [np.take_along_axis(part, order[..., None] if part.ndim == 3 else order, axis=1) for part in both]
        log_p = np.where(done, -np.inf, log_p)
        # A probability only falls as words are added, so the longest answer has the best score in reach.
        if np.all(log_p.max(axis=1) / last <= ended[2][:, -1]):
            break
        state = _rows(state, (rows + beginning).ravel())
    found = ended[2] > -np.inf
    return np.where(found[..., None], ended[0], 0), np.where(found, ended[1], -np.inf)


def _rows(nested, chosen):
    return tf.nest.map_structure(lambda part: None if part is None else tf.gather(part, chosen), nested)


def beam_decode(model, source, start, end, max_length, width=4, length_penalty=0.6):
    """The best of `beam_candidates`, with its arguments, as ids (batch, max_length) such as `greedy_decode`'s."""
    return beam_candidates(model, source, start, end, max_length, width, length_penalty)[0][:, 0]


def best_sequence(start, transition, steps):
    """The likeliest sequence of a Markov chain, without searching: the best way to each symbol, step by step.

    Args:
        start: Probabilities (symbols,) of the first symbol.
        transition: Probabilities (symbols, symbols) of the next symbol, a row for the symbol before.
        steps: Length of the sequence.

    Returns: `(tokens, log_probability)`, as in `beam_search`.

    Raises ValueError: If shapes do not fit, or a row is no distribution. Source: Viterbi 1967.
    """
    start = shape("start", np.asarray(start, np.float64), None)
    transition = shape("transition", np.asarray(transition, np.float64), len(start), len(start))
    for name, rows in (("start", start), ("transition", transition)):
        if not np.all(rows >= 0) or not np.allclose(rows.sum(axis=-1), 1, atol=1e-6):
            raise ValueError(f"{name}: expected probabilities that sum to 1, got {rows.tolist()}")
    with np.errstate(divide="ignore"):
        best, step, ways = np.log(start), np.log(transition), []
    for _ in range(whole("steps", steps) - 1):
        through = best[:, None] + step  # (symbol before, symbol)
        ways.append(through.argmax(axis=0))
        best = through.max(axis=0)
    tokens = [int(best.argmax())]
    for way in reversed(ways):
        tokens.append(int(way[tokens[-1]]))
    return tuple(reversed(tokens)), float(best.max())


def example():
    """A street that looks good and ends badly: A (0.6) goes on with 0.5 at best, B (0.4) with 0.95."""
    start, transition = [0.6, 0.4], [[0.5, 0.5], [0.05, 0.95]]
    rows = np.log([start, *transition])
    for width in (1, 2):
        print(f"width {width}:", beam_search(lambda tokens: rows[tokens[-1] + 1], -1, None, width, max_length=2))
    print("Viterbi:", best_sequence(start, transition, steps=2))
    model = Seq2Seq(Encoder(vocabulary_size=9, units=8, seed=1), Decoder(vocabulary_size=7, units=8, seed=2))
    source = tf.constant([[4, 5, 6, 0], [8, 0, 0, 0]])  # (batch, steps)
    print("greedy: ", greedy_decode(model, source, start=2, end=3, max_length=5).tolist())
    print("width 1:", beam_decode(model, source, start=2, end=3, max_length=5, width=1).tolist())


def lesson(report, *, chains: int = 300, characters: int = 684_768, length: int = 400, beginnings: int = 5,
           seed: int = 0):  # fmt: skip
    """Search chains whose best sequence is known, sentences of a network, and prose.

    Args:
        report: The report to write to.
        chains: Random Markov chains to search (1 to 10000).
        characters: Characters of the novel to count in, from its beginning (10000 to 684768).
        length: Characters to write (20 to 10000).
        beginnings: Places of the novel from which writing goes on (1 to 1000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    figure, axes = plots.subplots(1, 2, figsize=(12, 4.4))
    _chains(report, rng, chains, axes[0])
    _small_cases(report)
    _sentences(report, rng, seed)
    _prose(report, rng, characters, length, beginnings, axes[1])
    alt = "Left: wider beams find the best sequence more often. Right: along a text a beam's probability stays high."
    report.figure("Likelier, and then too likely", figure, alt=alt)


def _follower(start, transition):
    """A Markov chain as `beam_search` asks for it, with -1 as the start token."""
    rows = np.log(np.maximum([start, *transition], 1e-300))
    return lambda tokens: rows[tokens[-1] + 1]


def _chains(report, rng, chains, ax, widths=(1, 2, 3, 4, 8, 256)):
    start, transition = rng.dirichlet(np.ones(4), chains), rng.dirichlet(np.ones(4), (chains, 4))
    pairs, every = [*zip(start, transition, strict=True)], np.indices([4] * 5).reshape(5, -1).T  # (1024, 5)
    log_p = np.log(start[:, every[:, 0]]) + np.log(transition[:, every[:, :-1], every[:, 1:]]).sum(axis=2)
    best = log_p.max(axis=1, keepdims=True)  # of all 1,024 sequences
    found = [[beam_search(_follower(*pair), -1, None, width, 5)[0] for width in widths] for pair in pairs]
    tokens, got = (np.array([[each[part] for each in row] for row in found]) for part in (0, 1))
    greedy = np.column_stack([start.argmax(axis=1), *(transition[np.arange(chains), tokens[:, 0, step]].argmax(axis=1)
                                                      for step in range(4))])  # fmt: skip
    report.check("a beam of width 1 takes the likeliest symbol at every step", tokens[:, 0], greedy)
    report.check("a beam's log-probability is that of its sequence", got,
                 np.take_along_axis(log_p, tokens @ 4 ** np.arange(4, -1, -1), axis=1), atol=1e-9)  # fmt: skip
    report.check("Viterbi, and a beam as wide as there are beginnings, find the best of all 1,024 sequences",
                 [[best_sequence(*pair, 5)[1] for pair in pairs], got[:, -1]], [best[:, 0]] * 2)  # fmt: skip
    shares = np.mean(got > best - 1e-9, axis=0)
    report.at_least("share with the best sequence: change to the next width", np.diff(shares), 0.0, trained=True)
    worse = np.any(np.diff(got, axis=1) < -1e-9, axis=1).sum()
    report.note(f"On {worse} of the {chains} chains a wider beam of the figure ends worse than the next narrower one.")
    plots.bars([*map(str, widths)], shares, ylabel="best sequence found, share of chains", ax=ax,
               title="Markov chains: wider finds the best more often")  # fmt: skip
    ax.set_xlabel("width of the beam")


def _small_cases(report):
    got = [
        np.exp(beam_search(_follower([0.6, 0.4], [[0.5, 0.5], [0.05, 0.95]]), -1, None, width, 2)[0][1])
        for width in (1, 2)
    ]
    report.check("the likelier first word, the likelier pair: width 1 and 2", got, [0.6 * 0.5, 0.4 * 0.95])
    chain = _follower([0.52, 0.48, 0, 0], [[0.3, 0, 0.4, 0.3], [0, 0.5, 0, 0.5], [0, 0, 1, 0], [0.25] * 4])
    got = [np.exp(beam_search(chain, -1, None, width, 3)[0][1]) for width in (1, 2, 3)]
    report.check("a chain on which width 2 ends worse: width 1, 2 and 3", got, [0.52 * 0.4, 0.48 * 0.25, 0.52 * 0.4])
    stop = np.log([[0.4, 0.6], [0.2, 0.8], [0.2, 0.8], [0.2, 0.8], [1.0, 1e-300]])  # token 0 ends
    crossing = np.log(np.log(0.6 * 0.8**3) / np.log(0.4)) / np.log(10 / 6)
    alphas = [0.0, crossing - 0.01, crossing + 0.01, 1.0]
    got = [len(beam_search(lambda tokens: stop[len(tokens) - 1], None, 0, 3, 5, alpha)[0][0]) for alpha in alphas]
    report.check("stop at once (0.4) or after four words (0.6 · 0.8³), by the penalty: tokens", got, [1, 1, 5, 5])


def _sentences(report, rng, seed):
    """Of an untrained network, with larger weights than usual, so that it prefers something."""
    source = np.where(np.arange(5) < [[5], [3], [4], [1]], rng.integers(2, 12, size=(4, 5)), 0)
    model = Seq2Seq(Encoder(12, 8, seed=seed), Decoder(9, 8, seed=seed + 1))
    model.set_weights([3 * weight for weight in model.get_weights()])
    one, greedy = beam_decode(model, source, 2, 3, 6, width=1), greedy_decode(model, source, 2, 3, 6)
    report.check("untrained network: width 1 writes what greedy_decode writes", one, greedy)
    ids, log_p = beam_candidates(model, source, 2, 3, max_length=6, width=3)
    singly = np.zeros_like(ids), np.zeros_like(log_p)
    for row, s in enumerate(source[:, None]):
        found = beam_search(lambda t, s=s: word_log_probabilities(model((s, np.array([t]))))[0, -1], 2, 3, 3, 6, 0.6)
        for place, (tokens, value) in enumerate(found):
            singly[0][row, place, : len(tokens)], singly[1][row, place] = tokens, value
    report.check("untrained network: answers of a batch, in order, as sentence by sentence", ids, singly[0])
    report.check("untrained network: their log-probabilities", log_p, singly[1], atol=1e-4)


def _prose(report, rng, characters, length, beginnings, ax):
    """Write on from places of the novel, by counting which character follows each five."""
    letters, ids = np.unique([*data.novel()[:characters]], return_inverse=True)
    ring = np.lib.stride_tricks.sliding_window_view(np.concatenate([ids, ids[:5]]), 6)  # so that something follows
    powers = len(letters) ** np.arange(5, -1, -1)
    groups, counts = np.unique(ring @ powers, return_counts=True)

    def following(tokens):
        first = np.array(tokens[-5:]) @ powers[:-1]
        chosen = slice(*np.searchsorted(groups, [first, first + len(letters)]))
        row = np.full(len(letters), -np.inf)
        row[groups[chosen] % len(letters)] = np.log(counts[chosen] / counts[chosen].sum())
        return row

    def search(text, width):
        return [*text, *beam_search(lambda tokens: following([*text, *tokens[1:]]), None, None, width, length)[0][0]]

    texts, rows, series = {name: [] for name in ("the novel", "draws", "greedy", "beam of 10")}, [], {}
    for place in report.track(rng.integers(len(ids) - length - 5, size=beginnings), "writing"):
        novel, drawn = ids[place : place + 5 + length].tolist(), ids[place : place + 5].tolist()
        for _ in range(length):
            drawn.append(int(rng.choice(len(letters), p=np.exp(following(drawn)))))
        for name, text in zip(texts, (novel, drawn, search(novel[:5], 1), search(novel[:5], 10)), strict=True):
            texts[name].append(text)
    for name, written in texts.items():
        log_p = np.array([[following(text[:k])[text[k]] for k in range(5, len(text))] for text in written])
        pieces = [[tuple(text[k : k + 20]) for k in range(5, len(text) - 19)] for text in written]
        repeated = np.mean([1 - len({*each}) / len(each) for each in pieces])
        rows.append([name, float(log_p.mean()), float(repeated), " ".join("".join(letters[written[0][:60]]).split())])
        series[name] = np.exp(np.convolve(log_p[0], np.full(20, 1 / 20), "valid"))[:200]
    report.table("writing on from the novel, by its groups of six characters",
                 ["text", "log p per character", "groups of 20 repeated", "how it begins"], rows)  # fmt: skip
    (novel, drawn, _, beam), (_, drawn_again, greedy_again, _) = ([row[part] for row in rows] for part in (1, 2))
    report.at_least("prose: log p per character of a beam of 10, above the novel's", beam - novel, 0.2, trained=True)
    report.at_most("prose: log p per character, draws and novel differ by", abs(drawn - novel), 0.1, trained=True)
    report.at_least("prose: share of groups of 20 that occur before, greedy", greedy_again, 0.8, trained=True)
    report.at_most("prose: share of groups of 20 that occur before, draws", drawn_again, 0.02, trained=True)
    report.correction("what a wider beam finds", course="A wider search may find a better output.",
                      correct="Likelier ones as a rule, not always; in open-ended text the likeliest is not the best.",
                      shown_by="a chain on which width 2 ends worse than 1; log p of beam and novel")  # fmt: skip
    del series["greedy"]
    plots.curves(np.arange(len(series["draws"])) + 10, series, xlabel="character", ax=ax,
                 ylabel="probability, geometric mean of 20", title="Prose: the novel is less likely")  # fmt: skip
