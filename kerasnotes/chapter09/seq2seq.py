"""A small translator that reads its own words goes astray after one wrong word; reversing the source is measured.

An encoder and a decoder learn to translate texts of a program's interface. Teacher forcing lets the decoder read the
right words so far; on own output it reads what it wrote. Three variants: the context, the encoder's last states, is the
decoder's first state; or an input at every step; or the first state, and the source is read backwards. What the reader
should see: the sentences that come out right are the same in both ways of reading, but after one wrong word the rest
goes astray; what reversing changes, in data that was learnt and in data that was not; and how near the network comes
to copying the translation of the most similar sentence.

Notes: chapter 09, "Sequence to sequence" (序列到序列).
Source: Sutskever, Vinyals, Le 2014, arXiv:1409.3215 (context as the first state, reversed source); Cho et al. 2014,
arXiv:1406.1078 (context at every step); Papineni et al. 2002, doi:10.3115/1073083.1073135 (the score).
"""

import dataclasses

import keras
import numpy as np

from kerasnotes import data, plots, training
from kerasnotes.chapter09.bleu import bare as bare  # `as` the same name: also to be had from here
from kerasnotes.chapter09.bleu import bleu, most_similar, translation_corpus
from kerasnotes.chapter09.bleu import split_pairs as split_pairs
from kerasnotes.chapter09.encoder_decoder import Decoder, Encoder, Seq2Seq, greedy_decode, likeliest
from kerasnotes.chapter09.encoder_decoder import sentence_loss as sentence_loss
from kerasnotes.parts import whole

SMOKE = {"pairs": 100, "longest": 6, "vocabulary": 60, "units": 4, "epochs": 1, "seeds": 1}
FULL = {"longest": 10, "vocabulary": 3000, "units": 256, "epochs": 12, "seeds": 5}
SECONDS = 100

PAD, UNSEEN = 0, 1  # ids of chapter 08's vocabulary: padding, and a word that it does not know
CONTEXTS = ("initial_state", "every_step")  # where the decoder gets the context
VARIANTS = ("initial_state", "every_step", "initial_state, source reversed")


def alignment_lags(length, reverse=False):
    """Steps between reading the source's word k and writing the target's word k, for k = 1 to `length`.

    Args:
        length: Words of the source, and of a target of the same length.
        reverse: Whether the source is read from its end.

    Returns: Array (length,), int64: `length` everywhere, or reversed 1, 3, 5, …, which have the same mean.
    """
    read_at = np.arange(1, whole("length", length) + 1)[:: -1 if reverse else 1]
    written_at = length + np.arange(1, length + 1)  # writing begins when all is read
    return written_at - read_at


def example():
    """Teach four translations by heart with teacher forcing, and write them without it."""
    texts = {"open": "ouvrir", "open file": "ouvrir le fichier", "save all": "tout garder", "cut": "couper"}
    words = [
        ["", "", "", *sorted({word for text in side for word in text.split()})] for side in (texts, texts.values())
    ]  # an id is a place in its language's list; 0 is padding
    source, target_in, target_out = (np.zeros((4, 4), np.int32) for _ in range(3))  # (pairs, steps)
    for row, pair in enumerate(texts.items()):
        english, french = ([words[side].index(word) for word in pair[side].split()] for side in (0, 1))
        source[row, : len(english)] = english[::-1]  # reversed, as Sutskever et al. do
        target_in[row, : len(french) + 1] = [1, *french]  # 1 begins a translation, 2 ends it
        target_out[row, : len(french) + 1] = [*french, 2]
    model = Seq2Seq(Encoder(len(words[0]), 16, seed=1), Decoder(len(words[1]), 16, seed=2))
    model.compile(keras.optimizers.Adam(0.05), sentence_loss())
    model.fit((source, target_in), target_out, epochs=30, verbose=0)
    for english, ids in zip(texts, greedy_decode(model, source, start=1, end=2, max_length=4), strict=True):
        print(f"{english:10} → {' '.join(words[1][i] for i in ids if i > 2)}")
    print("steps from reading a word to writing it:", alignment_lags(3), "reversed:", alignment_lags(3, reverse=True))


def lesson(
    report,
    *,
    pairs: int = 12360,
    longest: int = 8,
    vocabulary: int = 1500,
    units: int = 128,
    epochs: int = 5,
    learning_rate: float = 1e-2,
    batch_size: int = 64,
    seeds: int = 3,
    seed: int = 0,
):
    """Translate texts of a program's interface from English to French in three variants.

    Args:
        report: The report to write to.
        pairs: Pairs to draw sentences from (100 to 12360).
        longest: Longest sentence, in words (6 to 30).
        vocabulary: Size of each vocabulary, with four reserved ids; rarer words become unknown (10 to 5000).
        units: Units of the encoder and of the decoder (1 to 1024).
        epochs: Training epochs (1 to 1000).
        learning_rate: Largest learning rate (0.000001 to 1).
        batch_size: Pairs in a batch (1 to 70).
        seeds: Independent runs of each variant (1 to 20).
        seed: Seed of all random draws (0 to 4294967295).
    """
    texts = data.interface_texts("fr")
    texts = [texts[i] for i in np.random.default_rng((seed, 1)).permutation(len(texts))[:pairs]]
    corpus = translation_corpus(texts, longest, vocabulary, seed)
    runs = _train_all(report, corpus, units, epochs, learning_rate, batch_size, seeds, seed)
    _compare(report, corpus, runs, epochs)
    _own_output(report, corpus, runs)
    _lags(report)
    _reversal(report, runs, epochs)
    _draw(report, corpus, runs, epochs)
    _translations(report, corpus, runs)


@dataclasses.dataclass
class _Run:
    """What one training leaves behind: ids that the network predicts or writes, and their scores."""

    history: dict  # losses by epoch
    own: np.ndarray  # what it writes for the test pairs; these four are ids (pairs, longest + 1)
    forced: np.ndarray  # the likeliest words after the right ones: for the test pairs,
    train: np.ndarray  # for as many training pairs,
    exchanged: np.ndarray  # and for test targets with the sources of other pairs
    accuracy: dict  # share of right words in each of the four, and of right first words
    right: np.ndarray  # (pairs,): which test sentences it writes right in every word
    bleu: float  # in percent: how many groups of words the references have too


def _train_all(report, corpus, units, epochs, learning_rate, batch_size, seeds, seed):
    """Train every variant from every seed. Returns for each variant a list of runs."""
    count = len(corpus.train.source)
    batch_size = min(batch_size, count)
    total = epochs * -(-count // batch_size)
    models = {}
    for context in CONTEXTS:  # one compiled model for each; a run starts from weights and optimizer of its own
        model = _build(corpus, units, context, seed)
        rate = keras.optimizers.schedules.CosineDecay(
            0.1 * learning_rate, total, 0.05, warmup_target=learning_rate, warmup_steps=total // 8
        )
        model.compile(keras.optimizers.Adam(rate, global_clipnorm=1.0), sentence_loss())
        models[context] = model, training.restarter(model)
    runs = {name: [] for name in VARIANTS}
    schedule = [(number, name) for number in range(seeds) for name in VARIANTS]  # a seed for all: pairs of runs
    for number, name in report.track(schedule, "training"):
        context, side = name.split(",")[0], "reversed" if name.endswith("reversed") else "source"
        model, restart = models[context]
        restart(_build(corpus, units, context, seed + number).get_weights())
        # Learn with teacher forcing. An unknown word is no aim: as padding it is left out of the loss.
        learnt, held_out = (((getattr(part, side), part.target_in), np.where(part.target_out == UNSEEN, PAD,
                            part.target_out)) for part in (corpus.train, corpus.validation))  # fmt: skip
        history = training.fit(model, *learnt, batch_size=batch_size, epochs=epochs, seed=seed + number,
                               validation_data=held_out).history  # fmt: skip
        # Write without it: from here on nobody hands over the right words.
        runs[name].append(_examine(model, corpus, side, history))
    return runs


def _build(corpus, units, context, seed):
    a, b = np.random.default_rng((seed, 2)).integers(2**30, size=2).tolist()  # a seed for each half
    reader, writer = len(corpus.source_vocabulary), len(corpus.target_vocabulary)
    return Seq2Seq(Encoder(reader, units, seed=a), Decoder(writer, units, context, seed=b))


def _examine(model, corpus, side, history):
    """What a trained model predicts for test and training pairs, and what it writes for the test pairs."""
    test, train, some = corpus.test, corpus.train, slice(len(corpus.test.source))  # as many training as test pairs
    asked, learnt = getattr(test, side), getattr(train, side)[some]
    own = greedy_decode(model, asked, corpus.start, corpus.end, corpus.longest + 1)
    sources = [asked, learnt, np.roll(asked, 1, axis=0)]  # the last: each target with its neighbour's source
    targets = [test.target_in, train.target_in[some], test.target_in]
    ids = likeliest(model((np.concatenate(sources), np.concatenate(targets))))  # one call for all three
    forced, known, exchanged = np.split(ids, np.cumsum([len(each) for each in sources])[:-1])
    out = test.target_out
    accuracy = {name: _accuracy(ids, out) for name, ids in (("forced", forced), ("exchanged", exchanged), ("own", own))}
    accuracy["train"] = _accuracy(known, train.target_out[some])
    accuracy["first"] = _accuracy(forced[:, :1], out[:, :1])
    right = np.all(np.where(out > 0, own, 0) == out, axis=1) & ~np.any(out == UNSEEN, axis=1)
    score = _bleu(corpus, [_until_end(corpus, ids) for ids in own])
    return _Run(history, own, forced, known, exchanged, accuracy, right, score)


def _hits(ids, targets):
    """True where a real word of the targets is met; an unknown word never is."""
    return (ids == targets) & (targets > UNSEEN)


def _accuracy(ids, targets):
    return float(_hits(ids, targets).sum() / (targets != PAD).sum())  # of all words, the unknown ones too


def _until_end(corpus, ids):
    """The words before the end token, or all if it was never written."""
    words = corpus.target_vocabulary.decode([i for i in ids if i != PAD])
    return words[: words.index("<end>")] if "<end>" in words else words


def _bleu(corpus, candidates, chosen=None):
    """BLEU, in percent, of translations of the test pairs, or of those that `chosen` marks."""
    references = [[target] for _, target in corpus.test.words]
    if chosen is not None:
        references, candidates = ([each[i] for i in np.flatnonzero(chosen)] for each in (references, candidates))
    return 100 * bleu(references, candidates)


def _baselines(corpus):
    """Accuracy of counted words and pairs, and BLEU of the translation of the most similar training sentence."""
    train, test, size = corpus.train, corpus.test, len(corpus.target_vocabulary)
    pairs = np.zeros((size, size), np.int64)  # how often the second word follows the first
    real = train.target_out > UNSEEN
    np.add.at(pairs, (train.target_in[real], train.target_out[real]), 1)
    usual = int(pairs.sum(axis=0).argmax())
    after = np.where(pairs.any(axis=1), pairs.argmax(axis=1), usual)  # (vocabulary,): the best guess after each word
    nearest = most_similar(test.source, train.source, len(corpus.source_vocabulary))
    copied = _bleu(corpus, [train.words[i][1] for i in nearest])
    words = _accuracy(np.full_like(test.target_out, usual), test.target_out)
    return words, _accuracy(after[test.target_in], test.target_out), copied


def _spread(values, percent=True):
    mean, error = plots.mean_and_error(100 * np.asarray(values) if percent else values)
    return f"{mean:.1f} ± {error:.1f}"


def _compare(report, corpus, runs, epochs):
    words, counted, copied = _baselines(corpus)
    rows = [
        ["always the most frequent word", None, f"{100 * words:.1f}", None, None],
        ["most frequent word after the last one", None, f"{100 * counted:.1f}", None, None],
        ["translation of the most similar training source", None, None, None, f"{copied:.1f}"],
    ]
    for name, group in runs.items():
        columns = [[run.accuracy[key] for run in group] for key in ("train", "forced", "exchanged")]
        rows.append([name, *map(_spread, columns), _spread([run.bleu for run in group], percent=False)])
        label = f"{name}: test accuracy of each seed above that of counted pairs of words"
        report.at_least(label, got=columns[1], bound=counted, trained=True)
        # With a source that is not its own the decoder must do worse, else it does not listen to the encoder.
        report.at_least(f"{name}: and above that with exchanged sources", columns[1], max(columns[2]), trained=True)
    title = f"{epochs} epochs; mean ± standard error of {len(runs[VARIANTS[0]])} seeds; accuracy with teacher forcing"
    columns = ["variant", "training accuracy, %", "test accuracy, %", "with exchanged sources, %", "test BLEU, %"]
    report.table(title, columns, rows)
    best = max(plots.mean_and_error([run.bleu for run in group])[0] for group in runs.values())
    report.note(
        f"Copying the translation of the most similar sentence has a BLEU of {copied:.1f} %, the best variant "
        f"{best:.1f} %. Learning rate and the embedding's start were chosen by the loss on the validation part, the "
        "number of epochs by the time it takes."
    )
    report.note(
        "As in the papers: how the context is handed over, and the reversal. Not as there: an LSTM of one layer in all "
        "variants, where Sutskever et al. have four and Cho et al. gated units; and the decoder that reads the context "
        "at every step starts from zeros."
    )


def _own_output(report, corpus, runs):
    target = corpus.test.target_out
    rows = []
    for name, group in runs.items():
        # Until its first wrong word a decoder has read the same in both ways, so it must get the same sentences right.
        whole = [np.all(_hits(run.forced, target) | (target == PAD), axis=1) for run in group]
        label = f"{name}: sentences right in every word are the same with teacher forcing and on own output"
        report.check(label, got=[run.right for run in group], want=whole)
        rows.append([name, *(_spread([run.accuracy[key] for run in group]) for key in ("forced", "own")),
                     _spread([run.right.mean() for run in group])])  # fmt: skip
    columns = ["variant", "word right after the right words, %", "word right in its place after own words, %",
               "whole sentence right, %"]  # fmt: skip
    report.table("teacher forcing against own output, test pairs", columns, rows)


def _lags(report):
    lags = [[alignment_lags(n, reverse) for n in range(1, 21)] for reverse in (False, True)]
    means = [[float(each.mean()) for each in side] for side in lags]
    label = "mean steps from reading word k to writing word k: as many as the source has words, reversed or not"
    report.check(label, got=means, want=[list(map(float, range(1, 21)))] * 2)
    report.check("but the shortest is 1 after reversing", got=[int(each.min()) for each in lags[1]], want=[1] * 20)


def _reversal(report, runs, epochs):
    plain, turned = runs["initial_state"], runs["initial_state, source reversed"]

    def compared(pick):
        a, b = (np.array([pick(run) for run in group]) for group in (plain, turned))
        mean, error = plots.mean_and_error(b - a)
        return [_spread(a, False), _spread(b, False), f"{mean:+.1f} ± {error:.1f}"]

    quantities = {
        "training accuracy, %": lambda run: 100 * run.accuracy["train"],
        "test accuracy, %": lambda run: 100 * run.accuracy["forced"],
        "training minus test, %": lambda run: 100 * (run.accuracy["train"] - run.accuracy["forced"]),
        "first word of the test pairs, %": lambda run: 100 * run.accuracy["first"],
        "test BLEU, %": lambda run: run.bleu,
    }
    found = {name: compared(pick) for name, pick in quantities.items()}
    report.table(
        f"reversing the source, {len(plain)} seeds, difference run by run, mean ± standard error",
        ["quantity", "as written", "reversed", "difference"],
        [[name, *row] for name, row in found.items()],
    )
    gap, test = (found[name] for name in ("training minus test, %", "test accuracy, %"))
    report.correction(
        "reversing the source",
        course="Reversing the source prevents overfitting.",
        correct="It brings the first words of both sentences next to each other, while the mean distance stays "
        "(Sutskever et al. 2014). Whether the gap between training and test narrows has to be measured.",
        shown_by=f"training minus test accuracy after {epochs} epochs: {gap[0]} % as written, {gap[1]} % reversed, "
        f"difference {gap[2]}; test accuracy {test[0]} % and {test[1]} %, difference {test[2]} ({len(plain)} seeds; of "
        "three, only a difference above 4.3 standard errors is significant at 5 %)",
    )


def _draw(report, corpus, runs, epochs):
    figure, (left, right) = plots.subplots(1, 2, figsize=(11, 4.4))
    series = {}
    for name, variant in (("as written", "initial_state"), ("reversed", "initial_state, source reversed")):
        for key, part in (("val_loss", "held out"), ("loss", "training")):
            series[f"{part}, {name}"] = [run.history[key] for run in runs[variant]]
    plots.curves(np.arange(1, epochs + 1), series, xlabel="epoch", ylabel="loss a word, nats",
                 title="Reversed or not,\nit fits the training pairs better", ax=left)  # fmt: skip
    target = corpus.test.target_out
    places = np.flatnonzero((target > PAD).sum(axis=0) >= 0.02 * len(target))  # later ones have too few words
    shares = {}
    for key, name in (("forced", "after the right words"), ("own", "after its own words")):
        hits = [_hits(getattr(run, key), target).sum(axis=0)[places] for run in runs["initial_state"]]
        shares[name] = 100 * np.array(hits) / (target > PAD).sum(axis=0)[places]
    plots.curves(places + 1, shares, xlabel="place of the word in the translation", ylabel="right words, %", marker="o",
                 title="Nobody corrects own output:\none wrong word leads astray", ax=right)  # fmt: skip
    left.xaxis.get_major_locator().set_params(integer=True)
    right.set_ylim(0, None)
    report.figure(
        "reversal and own output",
        figure,
        alt="Left: loss by epoch in training and held out, with the source as written and reversed. Right: share of "
        "right words by place; after the right words it stays far higher than after own words.",
    )


def _translations(report, corpus, runs):
    run, words = runs["initial_state"][0], corpus.test.words
    written = [_until_end(corpus, ids) for ids in run.own]
    chosen = range(min(10, len(words)))  # taken as they come, not picked
    rows = [[*(" ".join(each) for each in (*words[i], written[i])), bool(run.right[i])] for i in chosen]
    report.table("ten test pairs, the first of the split", ["source", "reference", "output", "right"], rows)
    source = corpus.test.source
    lengths, unknown = (source != PAD).sum(axis=1), (source == UNSEEN).any(axis=1)
    rows = []
    for name, group in (("one to three words", lengths <= 3), ("four to six", (lengths > 3) & (lengths <= 6)),
                        ("seven or more", lengths > 6), ("all words known", ~unknown),
                        ("a word unknown", unknown)):  # fmt: skip
        if group.any():
            scores = [_bleu(corpus, [_until_end(corpus, ids) for ids in each.own], group)
                      for each in runs["initial_state"]]  # fmt: skip
            right = [each.right[group].mean() for each in runs["initial_state"]]
            rows.append([name, int(group.sum()), _spread(right), _spread(scores, False)])
    report.table("where it fails: initial_state, test pairs", ["source", "pairs", "whole sentence right, %", "BLEU, %"],
                 rows)  # fmt: skip
