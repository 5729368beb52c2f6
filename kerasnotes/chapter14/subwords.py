"""Merging the most frequent neighbours makes tokens between letters and words, and no text is unknown to them.

A list of words always lacks some; letters lack none and make texts long. Byte pair encoding begins with letters and
makes one token of the two neighbours that stand together most often, again and again. What the reader should see:
frequent words become one token, rare ones keep several pieces, a name that was never read is spelt; texts become three
times as short; and a perplexity for each token says nothing across vocabularies, one for each character does. A blank
belongs to the word behind it, so that joining the tokens gives the text back, letter by letter.

Notes: chapter 14, "Pieces of words" (子词).
Source: Sennrich, Haddow, Birch 2016, arXiv:1508.07909, section 3.2 and algorithm 1; GPT-2's program (blanks before
words, the pair learnt first is joined first), https://github.com/openai/gpt-2/blob/master/src/encoder.py.
"""

import re
from collections import Counter, defaultdict
from itertools import pairwise

import keras
import numpy as np

from kerasnotes import data, plots
from kerasnotes.chapter08.counting_models import interpolation_weights, ngram_probabilities
from kerasnotes.parts import whole

SMOKE = {"characters": 6000, "merges": 20, "strings": 20}
SECONDS = 5

PUBLISHED = " low" * 5 + " lower" * 2 + " newest" * 6 + " widest" * 3  # the words of algorithm 1


def split_with_blanks(text):
    """Cut a text into words, each with the blanks before it: `"so, he"` gives `["so,", " he"]`. Nothing is lost."""
    return re.findall(r"\s*\S+|\s+", text)


def merge_pair(pieces, pair):
    """Join every two neighbours that are the pair, from the left: `("e", "s", "t")`, `("s", "t")` to `("e", "st")`.

    Args:
        pieces: Strings, in order.
        pair: The two strings to join.

    Returns:
        The pieces as a tuple, at most as many as before.
    """
    pieces, pair, merged, at = tuple(pieces), tuple(pair), [], 0
    while at < len(pieces):
        width = 2 if pieces[at : at + 2] == pair else 1  # of "aaa" the first two: what is joined now is not looked at
        merged.append("".join(pieces[at : at + width]))
        at += width
    return tuple(merged)


def count_pairs(words):
    """How often two pieces are neighbours inside a word.

    Args:
        words: Dictionary from a word, a tuple of its pieces, to how often it occurs.

    Returns:
        `collections.Counter` from pairs to counts.
    """
    counts = Counter()
    for pieces, times in words.items():
        for pair in pairwise(pieces):
            counts[pair] += times
    return counts


def most_frequent(counts):
    """The pair with the highest count; of several the smaller one in order of code points."""
    highest = max(counts.values())
    return min(pair for pair, count in counts.items() if count == highest)


def recounted_merges(text, merges):
    """As `learn_merges`, slowly: count all pairs, join the most frequent, and count anew."""
    words, learnt = Counter(map(tuple, split_with_blanks(text))), []
    for _ in range(whole("merges", merges, 0)):
        if counts := count_pairs(words):
            learnt.append(most_frequent(counts))
            words = {merge_pair(pieces, learnt[-1]): times for pieces, times in words.items()}
    return learnt


class Pieces:
    """The words of a text in pieces, with counts of neighbours that a merge brings up to date where it changes a word.

    Args:
        text: The text. At first each character is a piece.

    Attributes: `words`, the different words as tuples of pieces; `times`, how often each occurs; `counts`, a dictionary
    from pairs of neighbours to counts; `length`, the number of pieces in the whole text.
    """

    def __init__(self, text):
        words = Counter(split_with_blanks(text))
        self.words, self.times = [tuple(word) for word in words], list(words.values())
        self.counts, self.places, self.length = Counter(), defaultdict(set), 0
        for number in range(len(self.words)):
            self._count(number, 1)

    def _count(self, number, sign):
        pieces, times = self.words[number], sign * self.times[number]
        self.length += times * len(pieces)
        for pair in pairwise(pieces):
            self.counts[pair] += times
            if not self.counts[pair]:
                del self.counts[pair]
            if sign > 0:
                self.places[pair].add(number)  # which may get out of date: later the pair may be gone from that word

    def merge(self, pair):
        """Join the pair wherever its parts are neighbours."""
        for number in self.places.pop(pair, ()):
            self._count(number, -1)
            self.words[number] = merge_pair(self.words[number], pair)
            self._count(number, 1)


def learn_merges(text, merges):
    """The pairs that become tokens: at every step the neighbours that stand together most often in the text.

    Args:
        text: The text to learn from, a string. Pairs are counted inside words, as `split_with_blanks` makes them.
        merges: How many pairs to learn, 0 or more.

    Returns:
        List of pairs of strings in the order of learning, fewer than `merges` if every word is one token.
    """
    pieces, learnt = Pieces(text), []
    for _ in range(whole("merges", merges, 0)):
        if pieces.counts:
            learnt.append(most_frequent(pieces.counts))
            pieces.merge(learnt[-1])
    return learnt


class BytePairEncoding:
    """Texts as tokens, by learnt merges. Characters that no merge knows are tokens of their own.

    Args:
        merges: Pairs as `learn_merges` returns them. A part of more than one character must be an earlier pair's join.
        characters: Further characters that shall have an id, a string.

    Attributes: `tokens`, the list from id to token, characters first by code points, then joins in the order of
    learning; `ids`, the dictionary from token to id. Two pairs with the same join share one token.
    """

    def __init__(self, merges, characters=""):
        self.ranks, joins = {}, set()
        for pair in map(tuple, merges):
            if len(pair) != 2 or any(len(part) != 1 and part not in joins for part in pair):
                raise ValueError(f"merges: expected pairs of characters or joins of earlier pairs, got {pair!r}")
            self.ranks.setdefault(pair, len(self.ranks))
            joins.add("".join(pair))
        letters = sorted({*characters, *(letter for pair in self.ranks for part in pair for letter in part)})
        self.tokens = letters + list(dict.fromkeys(map("".join, self.ranks)))
        self.ids = {token: number for number, token in enumerate(self.tokens)}
        self._known = {}

    def encode(self, text):
        """The tokens of a text, a list of strings; joined they are the text."""
        return [token for word in split_with_blanks(text) for token in self._word(word)]

    def _word(self, word):
        if word not in self._known:
            pieces = tuple(word)
            while ranked := [(self.ranks[pair], pair) for pair in pairwise(pieces) if pair in self.ranks]:
                pieces = merge_pair(pieces, min(ranked)[1])  # the pair that was learnt first
            self._known[word] = pieces
        return self._known[word]

    def decode(self, tokens):
        """The text of tokens."""
        return "".join(tokens)


def example():
    """The published example: four words, three merges, a word that was never read; letters as in Keras."""
    for count in (0, 3, 8):
        merges = learn_merges(PUBLISHED, count)
        encoding = BytePairEncoding(merges, characters=PUBLISHED)
        tokens = encoding.encode(" lowest")
        print(f"{count} merges: {tokens}, ids {[encoding.ids[token] for token in tokens]}")
    print("merges:", merges, "and together again:", repr(encoding.decode(tokens)))
    layer = keras.layers.TextVectorization(standardize=None, split="character", vocabulary=sorted(set(PUBLISHED)))
    print("Keras's characters, two ids reserved:", layer([" lowest"]).numpy()[0].tolist())


def lesson(report, *, characters: int = 1_000_000, merges: int = 800, strings: int = 500, seed: int = 0):
    """Give texts back, learn merges in two ways, and see what they do to lengths and to perplexities.

    Args:
        report: The report to write to.
        characters: Characters of the novel to use, all if it has fewer (6000 to 1000000).
        merges: Pairs to learn (10 to 10000).
        strings: Random strings that are encoded and decoded (1 to 100000).
        seed: Seed of the random strings (0 to 4294967295).
    """
    novel = data.novel()[:characters]
    learnt = learn_merges(novel[: int(0.9 * len(novel))], merges)
    encoding = BytePairEncoding(learnt, novel)
    _two_ways_of_learning(report, novel)
    _texts_come_back(report, novel, encoding, strings, seed)
    _tokens(report, novel, encoding)
    figure, axes = plots.subplots(1, 2, figsize=(10, 4.2))
    _lengths(report, novel, learnt, encoding, axes[0])
    _perplexities(report, novel, learnt, axes[1])
    alt = (
        "Left: characters in a token against merges; the curves of the text learnt from and of the novel's end rise "
        "together, that of film reviews stays lower. Right: perplexity rises for each token, falls for each character."
    )
    report.figure("Texts become shorter with every merge", figure, alt=alt)


def _two_ways_of_learning(report, novel):
    report.check("the paper's four words: the first two merges", learn_merges(PUBLISHED, 2), [("e", "s"), ("es", "t")])
    part = novel[: min(len(novel), 20_000)]
    fast, slow = (learn(part, 60) for learn in (learn_merges, recounted_merges))
    differ = sum(a != b for a, b in zip(fast, slow, strict=True))
    report.check("60 merges, counts brought up to date or made anew: pairs that differ", differ, 0)


def _texts_come_back(report, novel, encoding, strings, seed):
    """The novel, poems in Chinese, and anything at all."""
    poems = ["\n".join(poem.lines) for poem in data.tang_quatrains()[:100]]
    rng = np.random.default_rng(seed)
    letters = np.array(list("aethis .,\n\t'_0é中🙂\u3000\u0301"))
    anything = ["".join(rng.choice(letters, size=rng.integers(0, 60))) for _ in range(strings)]
    for name, texts in {"the novel": [novel], "100 poems in Chinese": poems, "random strings": anything}.items():
        wrong = sum(encoding.decode(encoding.encode(text)) != text for text in texts)
        report.check(f"{name}, encoded and decoded: texts that do not come back", wrong, 0)
    bare = BytePairEncoding([]).encode(novel)
    report.check("without merges: tokens that are no single characters", sum(len(token) != 1 for token in bare), 0)
    report.note(
        "GPT-2 merges bytes, of which there are 256, so that no token is unknown, and cuts marks off the words."
    )


def _tokens(report, novel, encoding):
    tokens = encoding.encode(novel)
    written, used = (Counter(map(len, each)) for each in (encoding.tokens, tokens))
    rows = []
    for length, number in sorted(written.items()):
        some = [repr(token) for token in encoding.tokens if len(token) == length]
        rows.append([length, number, 100 * used[length] / len(tokens), " ".join(some[:5])])
    columns = ["characters", "tokens", "in the novel, %", "the first ones"]
    report.table("Tokens by their number of characters", columns, rows)
    words = ("Elizabeth", "acknowledged", "universally", "neighbourhood", "electricity", "blockchain")
    rows = [[word, len(re.findall(rf"\b{word}\b", novel)), "|".join(encoding.encode(f" {word}"))] for word in words]
    report.table("Frequent words are one token, rare ones are spelt", ["word", "times in the novel", "tokens"], rows)


def _lengths(report, novel, learnt, encoding, ax):
    """Characters in a token after every merge, on three texts."""
    cut = int(0.9 * len(novel))
    texts = {"the text learnt from": novel[:cut], "the rest of the novel": novel[cut:]}
    texts["film reviews"] = "\n".join(data.movie_reviews()[0])[: len(novel) - cut]
    curves, growth = {}, []
    for name, text in texts.items():
        pieces = Pieces(text)
        lengths = [pieces.length]
        for pair in learnt:
            pieces.merge(pair)
            lengths.append(pieces.length)
        growth.append(np.diff(lengths).max())
        curves[name] = len(text) / np.array(lengths)
        report.check(f"{name}: tokens, encoded or merged step by step", len(encoding.encode(text)), lengths[-1])
    report.at_most("three texts, every merge: largest growth of a text, tokens", growth, 0)
    together = len(novel) / len(encoding.encode(novel))
    report.at_least("the novel: characters in a token", together, 2.8, trained=True)
    report.at_most("the novel: no more of them than expected", together, 3.1, trained=True)
    plots.curves(np.arange(len(learnt) + 1), curves, xlabel="merges", ylabel="characters in a token", ax=ax)


def _perplexities(report, novel, learnt, ax):
    """Counted pairs of tokens predict the novel's end; the loss is shared out among tokens or characters."""
    a, b = int(0.9 * len(novel)), int(0.95 * len(novel))
    parts = novel[:a], novel[a:b], novel[b:]
    rows = []
    for count in sorted({0, len(learnt) // 8, len(learnt) // 3, len(learnt)}):
        encoding = BytePairEncoding(learnt[:count], novel)
        size = len(encoding.tokens)
        train, fitted, test = (np.array([encoding.ids[token] for token in encoding.encode(part)]) for part in parts)
        weights = interpolation_weights(ngram_probabilities(train, fitted, 2, size))
        loss = -np.log(weights @ ngram_probabilities(train, test, 2, size)).sum()
        tokens, characters = len(test) - 1, len(parts[2]) - len(encoding.tokens[test[0]])  # the first token is given
        by_token, by_character = float(np.exp(loss / tokens)), float(np.exp(loss / characters))
        rows.append([count, size, characters / tokens, by_token, by_character])
    columns = ["merges", "tokens that may follow", "characters in a token", "per token", "per character"]
    report.table("Counted pairs of tokens: perplexity of the novel's end", columns, rows)
    merges, _, length, by_token, by_character = np.array(rows).T
    report.check("no merges: per token is per character", by_token[0], by_character[0])
    report.check("per token = per character to the power of characters in a token", by_token, by_character**length)
    report.at_least("per token, most merges against none: factor", by_token[-1] / by_token[0], 2, trained=True)
    report.at_most("per character, likewise: factor", by_character[-1] / by_character[0], 0.7, trained=True)
    series = {"per token": by_token, "per character": by_character}
    plots.curves(merges, series, marker="o", xlabel="merges", ylabel="perplexity of the novel's end", ax=ax)
