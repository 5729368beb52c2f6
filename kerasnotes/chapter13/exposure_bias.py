"""A translator that was only shown right words reads its own mistakes; wrong inputs in training help little.

In training the decoder reads the right words so far, in writing its own. What the reader should see: how often the next
word is right after a right beginning and after a wrong one, against teacher forcing at the same places; that after one
wrong word not all is lost; and a second translator that was trained with some words exchanged for random ones: it
bears wrong inputs better, and does not write better for it.

Notes: chapter 13, "Transformer" (Transformer模型).
Source: Bengio et al. 2015, arXiv:1506.03099 (the mismatch, and a remedy with own words); Ranzato et al. 2016,
arXiv:1511.06732 (exposure bias).
"""

import dataclasses

import numpy as np

from kerasnotes import data, plots, training
from kerasnotes.chapter09.bleu import translation_corpus
from kerasnotes.chapter09.encoder_decoder import Decoder, Encoder, Seq2Seq, greedy_decode, likeliest
from kerasnotes.chapter13.translation import (
    build_translator,
    compile_translator,
    learning_pairs,
    translation_bleu,
    written_words,
)
from kerasnotes.parts import shape, share, whole

SMOKE = {"pairs": 100, "longest": 6, "vocabulary": 60, "units": 4, "epochs": 1}
SECONDS = 44


def wrong_inputs(target_in, rate, vocabulary_size, start, seed):
    """Exchange some of the words that a decoder reads for random ones; the start and padding stay.

    Args:
        target_in: Ids (batch, steps), 0 is padding.
        rate: Probability that a word is exchanged.
        vocabulary_size: Number of ids; the new words are drawn from 1 to that, the start and the old word left out.
        start: Id of the start token.
        seed: Seed of the draws.

    Returns:
        Array (batch, steps) of the same type.

    Raises:
        ValueError: If a shape or number does not fit.
    """
    target_in = shape("target_in", np.asarray(target_in), None, None)
    share("rate", rate)
    if whole("vocabulary_size", vocabulary_size, 4) <= target_in.max():
        raise ValueError(
            f"vocabulary_size: expected more than the largest id, {target_in.max()}, got {vocabulary_size}"
        )
    rng = np.random.default_rng(seed)
    exchanged = (rng.random(target_in.shape) < rate) & (target_in > 0) & (target_in != start)
    # One of the other words: go round the list of ids without padding and start, by at least one place.
    words = np.setdiff1d(np.arange(1, vocabulary_size), [start])
    place = np.searchsorted(words, target_in) + rng.integers(1, len(words), target_in.shape)
    return np.where(exchanged, words[place % len(words)], target_in).astype(target_in.dtype)


def prefix_right(ids, targets):
    """Whether all words before a place are right: Booleans (batch, steps), True at the first place.

    Args:
        ids: Written ids (batch, steps).
        targets: The right ones, of the same shape.
    """
    targets = np.asarray(targets)
    right = shape("ids", np.asarray(ids), *targets.shape) == targets
    before = np.concatenate([np.ones_like(right[:, :1]), right[:, :-1]], axis=1)
    return np.logical_and.accumulate(before, axis=1)


def accuracy_by_prefix(ids, targets):
    """Share of right words after a right beginning, and after one with a mistake: `(after right, after wrong)`.

    Args:
        ids: Written ids (batch, steps).
        targets: The right ones, 0 is padding and does not count.

    Returns:
        Two numbers, NaN where there is no such place.
    """
    targets = np.asarray(targets)
    clean, right = prefix_right(ids, targets), np.asarray(ids) == targets
    shares = []
    for place in (clean & (targets > 0), ~clean & (targets > 0)):
        shares.append(float(right[place].mean()) if place.any() else float("nan"))
    return tuple(shares)


def example():
    """Two sentences written with mistakes, by hand; and what Keras's LSTM of chapter 09 writes untrained."""
    targets = np.array([[5, 6, 7, 2], [5, 8, 2, 0]])
    ids = np.array([[5, 9, 7, 2], [5, 8, 2, 0]])  # one wrong word in the first
    print("right so far:", prefix_right(ids, targets).astype(int).tolist())
    print("after right words, after a wrong one:", accuracy_by_prefix(ids, targets))
    print("a third exchanged:", wrong_inputs([[1, 5, 6, 7], [1, 5, 8, 0]], 1 / 3, 10, start=1, seed=0).tolist())
    model = Seq2Seq(Encoder(10, 8, seed=1), Decoder(10, 8, seed=2))
    ids = greedy_decode(model, np.array([[4, 5], [6, 0]]), start=1, end=2, max_length=4)
    print("untrained:", accuracy_by_prefix(ids, targets))


def lesson(
    report,
    *,
    pairs: int = 12360,
    longest: int = 8,
    vocabulary: int = 1500,
    units: int = 64,
    epochs: int = 8,
    rate: float = 0.15,
    seed: int = 0,
):
    """Train two translators from one start, with right inputs and with some wrong ones, and let both write.

    Args:
        report: The report to write to.
        pairs: Pairs to draw sentences from (100 to 12360).
        longest: Longest sentence, in words (6 to 30).
        vocabulary: Size of each vocabulary, with four reserved ids (10 to 5000).
        units: Numbers for a word, a multiple of 4 (4 to 512).
        epochs: Training epochs of each (1 to 100).
        rate: Share of wrong words in the second translator's training (0 to 1).
        seed: Seed of all random draws (0 to 4294967295).
    """
    texts = data.interface_texts("fr")
    texts = [texts[i] for i in np.random.default_rng((seed, 1)).permutation(len(texts))[:pairs]]
    corpus = translation_corpus(texts, longest, vocabulary, seed)
    _exchanged(report, corpus, seed)
    runs = _train(report, corpus, units, epochs, rate, seed)
    _compare(report, runs)
    _what_follows(report, runs["right words"].own, corpus.test.target_out)
    _draw(report, runs)


def _exchanged(report, corpus, seed):
    read, size = corpus.train.target_in, len(corpus.target_vocabulary)
    report.check("rate 0: nothing changes", wrong_inputs(read, 0.0, size, corpus.start, seed), read)
    words = (read > 0) & (read != corpus.start)
    for rate in (0.15, 1.0):
        changed = wrong_inputs(read, rate, size, corpus.start, seed)
        report.check(f"rate {rate:g}: the start and padding stay", changed[~words], read[~words])
        deviation = (rate * (1 - rate) / words.sum()) ** 0.5
        report.check(f"rate {rate:g}: share of words exchanged", np.mean((changed != read)[words]), rate, rtol=0,
                     atol=4 * deviation + 1e-9)  # fmt: skip


def _train(report, corpus, units, epochs, rate, seed):
    """Two trainings of one network from the same start; the second reads other wrong words in every epoch."""
    model, batch, runs = build_translator(corpus, units, hidden_units=4 * units, seed=seed), 64, {}
    batch = min(batch, len(corpus.train.source))
    compile_translator(model, epochs * (len(corpus.train.source) // batch), learning_rate=4e-3)
    form = "xla" if len(corpus.train.source) >= 100 * batch else "loop"  # products of 64 units are small enough for it
    start, restart = model.get_weights(), training.restarter(model)
    for name, wrong in (("right words", 0.0), ("some wrong words", rate)):
        restart(start)
        for epoch in report.track(range(epochs), f"training on {name}"):
            read = wrong_inputs(
                corpus.train.target_in, wrong, len(corpus.target_vocabulary), corpus.start, (seed, epoch)
            )
            learnt = learning_pairs(corpus.train, read, batch)
            training.fit(model, *learnt, batch_size=batch, seed=seed, initial_epoch=epoch, epochs=epoch + 1, form=form)
        runs[name] = _examine(report, corpus, model, name, seed)
    return runs


@dataclasses.dataclass
class _Run:
    """What a trained translator does with the test pairs."""

    borne: list  # share of right words, for each share of wrong ones among those that it reads
    own: np.ndarray  # the ids it writes
    right: float  # share of right words after own words that are all right,
    wrong: float  # after own words of which one is wrong,
    forced: float  # and after the right words at the same places
    bleu: float


RATES = (0.0, 0.1, 0.2, 0.3, 0.4)  # of wrong words among those that are read


def _examine(report, corpus, model, name, seed):
    test, size = corpus.test, len(corpus.target_vocabulary)
    reads = [wrong_inputs(test.target_in, rate, size, corpus.start, (seed, 99)) for rate in RATES]
    borne = [_hits(model, test, read, test.target_out > 0) for read in reads]
    own = greedy_decode(model, test.source, corpus.start, corpus.end, corpus.longest + 1)
    first = (np.arange(corpus.longest + 1) == 0) & (test.target_out > 0)
    report.check(f"{name}: at the first word, own output is teacher forcing", np.mean((own == test.target_out)[first]),
                 _hits(model, test, test.target_in, first))  # fmt: skip
    spoilt = ~prefix_right(own, test.target_out) & (test.target_out > 0)
    forced = _hits(model, test, test.target_in, spoilt)
    score = translation_bleu(corpus, test, written_words(corpus, own))
    return _Run(borne, own, *accuracy_by_prefix(own, test.target_out), forced, score)


def _hits(model, part, read, places):
    """Share of words that are right after the words `read`, at the places."""
    ids = likeliest(training.predict(model, (part.source, read)))
    return float((ids == part.target_out)[places].mean())


def _compare(report, runs):
    report.table("share of right words, by the share of wrong ones that are read", ["trained on", *map(str, RATES)],
                 [[name, *run.borne] for name, run in runs.items()])  # fmt: skip
    rows = [[name, run.right, run.wrong, run.forced, run.bleu] for name, run in runs.items()]
    report.table("share of right words, and BLEU in %, test pairs", ["trained on", "after own words, all right",
                 "after own words, one wrong", "after right words at those places", "BLEU"], rows)  # fmt: skip
    first, second = runs.values()
    lost = [run.borne[0] - run.borne[-1] for run in (first, second)]
    report.at_least("40 % wrong inputs: the second loses less accuracy, by", lost[0] - lost[1], 0.01, trained=True)
    report.at_least("more often right after a right beginning of its own, by", first.right - first.wrong, 0.25,
                    trained=True)  # fmt: skip
    report.at_least("after right words, at the places behind an own mistake", first.forced, 0.6, trained=True)
    report.correction("wrong words in training", course="Put wrong words into the decoder's training inputs.",
                      correct="It makes wrong inputs easier to bear; whether it writes better must be measured.",
                      shown_by=f"BLEU {first.bleu:.1f} % with right words, {second.bleu:.1f} % with some wrong ones; "
                      f"after an own wrong word {first.wrong:.2f} and {second.wrong:.2f} are right")  # fmt: skip


def _what_follows(report, ids, targets):
    """Of the sentences with a wrong word: how many have all later words right, how many none."""
    spoilt = ~prefix_right(ids, targets) & (targets > 0)
    later = [(row == target)[place] for row, target, place in zip(ids, targets, spoilt, strict=True) if place.any()]
    every = np.mean([each.all() for each in later]) if later else 0.0
    none = np.mean([not each.any() for each in later]) if later else 0.0
    report.correction("after a wrong word", course="One wrong output, and all following may be wrong.",
                      correct="They may, and often are; but not all is lost: in some sentences every word after the "
                      "first wrong one is right.",
                      shown_by=f"{len(later)} sentences with a wrong word before the last: all later words right in "
                      f"{every:.2f} of them, none in {none:.2f}")  # fmt: skip


def _draw(report, runs):
    figure, (left, right) = plots.subplots(1, 2, figsize=(11, 4.4))
    first = next(iter(runs.values()))
    names = ("own words,\nall right so far", "own words,\none was wrong", "right words,\nat these places")
    plots.bars(names, [first.right, first.wrong, first.forced], ylabel="share of right words", ax=left,
               title="After a mistake of its own\nit errs more often")  # fmt: skip
    plots.curves(100 * np.array(RATES), {name: run.borne for name, run in runs.items()}, ax=right, marker="o",
                 xlabel="wrong words among those read, %", ylabel="share of right words",
                 title="Trained on some wrong words,\nit bears them better")  # fmt: skip
    right.legend(title="trained on")
    report.figure("Reading one's own mistakes", figure,
                  alt="Left: share of right words after own right words, after an own wrong word, and after right "
                  "words at the same places. Right: share of right words by the share of wrong inputs.")  # fmt: skip
