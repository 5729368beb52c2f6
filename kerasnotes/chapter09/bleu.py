"""BLEU counts which groups of words stand in a reference; it is worth as much as the split behind it.

A translation is scored by its words, pairs, triples and fours of words that some reference has too. What the reader
should see: the published examples; a sentence whose words are shuffled keeps all of its words and loses nearly all of
its score; and sentences of a program's interface, of which so many occur again that a method which only copies the
translation of the most similar sentence looks better when the test part is split off at random.

Notes: chapter 09, "Scoring translations" (译文的评分).
Source: Papineni et al. 2002, doi:10.3115/1073083.1073135 (the score).
"""

import dataclasses
import math
import re
from collections import Counter

import numpy as np

from kerasnotes import data, plots
from kerasnotes.chapter08.sequences import Vocabulary, pad
from kerasnotes.chapter09.sentiment import deal_families, families
from kerasnotes.parts import whole

SMOKE = {"pairs": 3000}
SECONDS = 3

PAD, UNSEEN = 0, 1  # ids of chapter 08's vocabulary
START, END = "<start>", "<end>"


def bleu(references, candidates, max_order=4):
    """BLEU of a whole corpus: how many groups of one to four words stand in a reference, without smoothing.

    Args:
        references: For each candidate a list of references, each a list of tokens.
        candidates: Translations, each a list of tokens, which may be empty.
        max_order: Most words of a group, 4 as published.

    Returns:
        A float from 0 to 1: the geometric mean of the shares for 1, 2, … words, in which a group counts at most as
        often as it stands in one reference, times exp(1 − r / c) if all candidates together are shorter, c words, than
        the references of the closest lengths, r words. It is 0 if no group of some length is right.

    Raises:
        ValueError: If there is no candidate, the numbers differ, or a candidate has no reference.

    Source: Papineni et al. 2002, section 2.
    """
    if len(candidates) == 0 or len(references) != len(candidates) or not all(references):
        raise ValueError(
            "references, candidates: expected equally many, at least one, and a reference for each candidate, got "
            f"{len(references)} and {len(candidates)}"
        )
    whole("max_order", max_order)
    right, total = [0] * max_order, [0] * max_order
    written = wanted = 0
    for group, candidate in zip(references, candidates, strict=True):
        written += len(candidate)
        wanted += min((abs(len(reference) - len(candidate)), len(reference)) for reference in group)[1]
        for n in range(1, max_order + 1):
            most = Counter()
            for reference in group:
                most |= _groups(reference, n)
            found = _groups(candidate, n)
            right[n - 1] += (found & most).total()
            total[n - 1] += found.total()
    if min(right) == 0:
        return 0.0
    mean = math.exp(sum(math.log(r / t) for r, t in zip(right, total, strict=True)) / max_order)
    return mean * min(1.0, math.exp(1 - wanted / written))


def _groups(tokens, n):
    return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))


def split_pairs(pairs, shares, seed=0):
    """Split pairs of sentences so that no sentence, of either language, stands in two parts.

    Sentences count as the same if they differ in case or punctuation only. Pairs that share one are kin and stay
    together, as do kin of kin; of pairs that are the same in both languages the first is kept.

    Args:
        pairs: Pairs of texts.
        shares: Shares of the parts, positive, with sum 1.
        seed: Seed of the order.

    Returns:
        A list of lists of pairs, one for each share.

    Raises:
        ValueError: If there is no pair, a share is not positive, or their sum is not 1.
    """
    if not pairs or not shares or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-9:
        raise ValueError(f"pairs, shares: expected pairs, and positive shares with sum 1, got {len(pairs)}, {shares!r}")
    first = {}
    for pair in pairs:
        first.setdefault(tuple(map(bare, pair)), pair)
    kin = families([[(0, source), (1, target)] for source, target in first])
    return deal_families(list(first.values()), kin, np.cumsum(shares) * len(first), seed)


def bare(text):
    """A text in lower case without punctuation: `"Save As..."` gives `"save as"`, and `"..."` stays as it is."""
    return " ".join(re.findall(r"\w+", text.lower())) or text


@dataclasses.dataclass(frozen=True)
class SentencePairs:
    """One part of a corpus: the words, and the ids, int32, with zeros behind the last word."""

    words: list  # for each pair (words of the source, words of the target)
    source: np.ndarray  # (pairs, longest)
    reversed: np.ndarray  # (pairs, longest), the source from its last word to the first
    target_in: np.ndarray  # (pairs, longest + 1), the start token first: what a decoder reads
    target_out: np.ndarray  # (pairs, longest + 1), the end token last: what it is to write


@dataclasses.dataclass(frozen=True)
class TranslationCorpus:
    """Pairs of sentences in three parts, and the vocabularies of the first one."""

    train: SentencePairs
    validation: SentencePairs
    test: SentencePairs
    source_vocabulary: Vocabulary
    target_vocabulary: Vocabulary
    start: int  # ids of the tokens that begin and end a target
    end: int
    longest: int  # most words of a sentence


def translation_corpus(texts, longest, vocabulary_size, seed=0):
    """Pairs of texts as ids in three parts, 86 % to train on, 4 % to validate and 10 % to test; see `split_pairs`.

    Args:
        texts: Pairs of texts, source and target.
        longest: Most words of a sentence; pairs with a longer one are left out.
        vocabulary_size: Size of each vocabulary at most; rarer words become unknown.
        seed: Seed of the order.

    Returns:
        A `TranslationCorpus`.
    """
    short = [pair for pair in texts if all(len(split_marks(text)) <= longest for text in pair)]
    parts = split_pairs(short, (0.86, 0.04, 0.1), seed)
    words = [[(split_marks(source), split_marks(target)) for source, target in part] for part in parts]
    marked = [[word for pair in words[0] for word in (START, *pair[side], END)] for side in (0, 1)]
    reader, writer = (Vocabulary(tokens, vocabulary_size) for tokens in marked)
    start, end = writer.encode([START, END])

    def rows(sentences, length):  # a row of the full length fixes the number of columns
        return pad([*sentences, [UNSEEN] * length])[:-1]

    def part_of(pairs):
        sources = [reader.encode(source) for source, _ in pairs]
        targets = [writer.encode(target) for _, target in pairs]
        read, write = [[start, *ids] for ids in targets], [[*ids, end] for ids in targets]
        backwards = [ids[::-1] for ids in sources]
        ids = map(rows, (sources, backwards, read, write), (longest, longest, longest + 1, longest + 1))
        return SentencePairs(pairs, *ids)

    return TranslationCorpus(*map(part_of, words), reader, writer, start, end, longest)


def split_marks(text):
    """Lower-case words and punctuation marks; an elided article or pronoun (l', d', s') is a word of its own."""
    return re.findall(r"[^\W_]+['’]?|[^\w\s]", text.lower())


def most_similar(sources, known, size):
    """For each sentence the known one that shares the largest part of its words; unknown words do not count.

    Args:
        sources, known: Ids (…, steps) with zeros behind the last word.
        size: Number of ids.

    Returns:
        Array (sentences,) of row numbers of `known`; of equally similar ones the first.
    """
    bags = []
    for ids in (sources, known):
        bag = np.zeros((len(ids), size), np.float32)
        np.put_along_axis(bag, ids, 1, axis=1)
        bag[:, : UNSEEN + 1] = 0
        bags.append(bag)
    common = bags[0] @ bags[1].T
    union = bags[0].sum(axis=1)[:, None] + bags[1].sum(axis=1) - common
    return np.argmax(common / np.maximum(union, 1), axis=1)


def example():
    """Two translations of one sentence, scored by hand and by the function above."""
    reference = ["the", "cat", "is", "on", "the", "mat"]
    for candidate in ("the cat sat on the mat", "on the mat the cat is", "the cat is"):
        words = candidate.split()
        scores = [round(bleu([[reference]], [words], order), 3) for order in (1, 2, 3, 4)]
        print(f"{candidate:24} BLEU with groups of up to 1, 2, 3, 4 words: {scores}")
    print("by hand, the first:     ", 5 / 6, "and", round(math.sqrt(5 / 6 * 3 / 5), 3))
    texts = [("Save", "Enregistrer"), ("save...", "Sauver"), ("Open", "Ouvrir"), ("Close", "Fermer")]
    for part in split_pairs(texts, (0.5, 0.5)):
        print("a part:", part)  # the first two stay together: one source


def lesson(report, *, pairs: int = 12360, longest: int = 8, vocabulary: int = 1500, seed: int = 0):
    """Score the published examples, shuffled sentences, and copies under two ways to split.

    Args:
        report: The report to write to.
        pairs: Pairs to draw sentences from (100 to 12360).
        longest: Longest sentence, in words (6 to 30).
        vocabulary: Size of each vocabulary, with four reserved ids; rarer words become unknown (10 to 5000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _published(report)
    texts = data.interface_texts("fr")
    texts = [texts[i] for i in np.random.default_rng((seed, 1)).permutation(len(texts))[:pairs]]
    corpus = translation_corpus(texts, longest, vocabulary, seed)
    texts = [pair for pair in texts if all(len(split_marks(text)) <= longest for text in pair)]
    _parts(report, corpus, texts)
    shuffled = _shuffled(report, corpus, seed)
    copied = _copies(report, corpus, texts, vocabulary)
    figure, (left, right) = plots.subplots(1, 2, figsize=(10, 4.2))
    plots.curves(np.arange(1, 5), shuffled, xlabel="most words of a group", ylabel="BLEU, %", marker="o", ax=left)
    left.set_title("Shuffled, all words stay\nand the groups go")
    left.set(ylim=(0, 105), xticks=range(1, 5))
    plots.bars(list(copied), list(copied.values()), ylabel="BLEU of a copy, %", ax=right)
    right.set_title("Copying the most similar sentence:\nthe split decides")
    alt = (
        "Left: BLEU of test sentences as they are and with their words shuffled, by the length of groups. Right: BLEU "
    )
    report.figure("order, and the split", figure, alt=alt + "of copied translations, families kept together or not.")


def _published(report):
    """Examples 1 and 2 of Papineni et al. 2002."""
    references = [
        "it is a guide to action that ensures that the military will forever heed party commands",
        "it is the guiding principle which guarantees the military forces always being under the command of the party",
        "it is the practical guide for the army always to heed the directions of the party",
    ]
    candidate = "it is a guide to action which ensures that the military always obeys the commands of the party"
    group = [[split_marks(reference) for reference in references]]
    got = [bleu(group, [split_marks(candidate)], order) for order in (1, 2)]
    label = "BLEU of the paper's example 1: 17/18 words, and with 10/17 pairs"
    report.check(label, got=got, want=[17 / 18, math.sqrt(17 / 18 * 10 / 17)])
    cat = [[split_marks("the cat is on the mat")]]
    report.check("example 2, seven times 'the': 2/7", got=bleu(cat, [["the"] * 7], 1), want=2 / 7)
    report.check("a copy has 1", got=bleu(cat, cat[0]), want=1.0)
    got = bleu(cat, [split_marks("the cat is on")])
    report.check("the first four of six words: only brevity costs, exp(1 − 6/4)", got=got, want=math.exp(-0.5))


def _parts(report, corpus, texts):
    parts = {"train": corpus.train, "validation": corpus.validation, "test": corpus.test}
    twice = 0
    for side in (0, 1):
        train, validation, test = ({bare(" ".join(pair[side])) for pair in part.words} for part in parts.values())
        twice += len(train & validation) + len(train & test) + len(validation & test)
    report.check("sentences that stand in two parts, in either language", got=twice, want=0)
    sizes = ", ".join(f"{len(part.words)} {name}" for name, part in parts.items())
    report.note(f"{len(texts)} pairs of at most {corpus.longest} words: {sizes}; the others are repetitions.")


def _shuffled(report, corpus, seed):
    """BLEU, in percent, of the test part's references against themselves, as they are and shuffled."""
    targets = [target for _, target in corpus.test.words]
    rng = np.random.default_rng((seed, 2))
    mixed = [[target[i] for i in rng.permutation(len(target))] for target in targets]
    series = {}
    for name, each in (("as they are", targets), ("shuffled", mixed)):
        series[name] = [100 * bleu([[target] for target in targets], each, order) for order in (1, 2, 3, 4)]
    report.check("a copy has 100 %, for groups of any length", got=series["as they are"], want=[100] * 4)
    report.check("shuffled, single words still have 100 %", got=series["shuffled"][0], want=100)
    report.at_most("and groups of up to four words at most half", got=series["shuffled"][3], bound=50)
    return series


def _copies(report, corpus, texts, vocabulary_size):
    """BLEU, in percent, of the translation of the most similar training source, for two ways to split."""
    size = len(corpus.test.words)
    words = [(split_marks(source), split_marks(target)) for source, target in texts]
    reader = Vocabulary([word for source, _ in words[size:] for word in source], vocabulary_size)
    asked, known = (pad([reader.encode(source) for source, _ in part]) for part in (words[:size], words[size:]))
    careful = most_similar(corpus.test.source, corpus.train.source, len(corpus.source_vocabulary))
    careless = most_similar(asked, known, len(reader))
    copied = {
        "families kept together": _copy_score(corpus.test.words, [corpus.train.words[i] for i in careful]),
        "split at random": _copy_score(words[:size], [words[size:][i] for i in careless]),
    }
    trained = {bare(source) for source, _ in texts[size:]}
    leak = np.mean([bare(source) in trained for source, _ in texts[:size]])
    report.at_least("split at random, share of the test sources that stand in the training part", leak, bound=0.01)
    report.table("BLEU of a copied translation", ["split", "BLEU, %"], [list(row) for row in copied.items()])
    report.note(f"Split at random, {leak:.1%} of the test sources stand in the training part, case and marks aside.")
    return copied


def _copy_score(asked, copied):
    return 100 * bleu([[target] for _, target in asked], [target for _, target in copied])
