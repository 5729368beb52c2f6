"""A text is turned into another by inserting and deleting, and many words can be inserted at the same time.

Whoever writes from left to right never looks back. What the reader should see: the fewest deletions and insertions that
lead from any text to any other, worked out by a table; they are what a network that edits would be taught. And a
sentence written from its middle outwards, one word into every gap at once, is finished after as many rounds as its
length can be halved, while writing from left to right takes a round for each word. No network is trained here: the
lesson is about what such a network has to learn.

Notes: chapter 13, "Insertion and deletion" (插入与删除).
Source: Stern et al. 2019, arXiv:1902.03249 (the middle of every gap first); Gu, Wang, Zhao 2019, arXiv:1905.11006
(deletions and insertions as a policy, taught by an oracle).
"""

from collections import deque

import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.parts import share, whole

SMOKE = {"pairs": 30, "longest": 16}
SECONDS = 1


def edit_table(a, b, exchange=2):
    """The fewest edits that turn the end of one text, from each place on, into the end of another.

    Args:
        a, b: Sequences of tokens, such as strings or lists of ids; they may be empty.
        exchange: Edits for putting one token in place of another: 2, a deletion and an insertion, or 1.

    Returns:
        Array (len(a) + 1, len(b) + 1) of whole numbers; entry (i, j) is for a[i:] and b[j:].

    Raises:
        ValueError: If `exchange` is neither 1 nor 2.
    """
    if exchange not in (1, 2):
        raise ValueError(f"exchange: expected 1 or 2, got {exchange!r}")
    table = np.add.outer(np.arange(len(a), -1, -1), np.arange(len(b), -1, -1))  # delete all, insert all
    for i in reversed(range(len(a))):
        for j in reversed(range(len(b))):
            keep = table[i + 1, j + 1] + (0 if a[i] == b[j] else exchange)
            table[i, j] = min(keep, table[i + 1, j] + 1, table[i, j + 1] + 1)
    return table


def edit_distance(a, b):
    """The fewest deletions and insertions of single tokens that turn one text into the other.

    Args:
        a, b: Sequences of tokens, such as strings or lists of ids; they may be empty.

    Returns:
        A whole number: len(a) + len(b) minus twice the length of the longest common subsequence.
    """
    return int(edit_table(a, b)[0, 0])


def oracle_edits(current, target):
    """What a perfect editor would do: the fewest deletions, then the fewest insertions, that give the target.

    Args:
        current: Sequence of n tokens.
        target: Sequence of tokens.

    Returns:
        `(delete, insertions)`: a Boolean array (n,), True where a token goes; n + 1 lists of tokens, what comes before
        each token, and behind the last.
    """
    table = edit_table(current, target)
    delete, insertions, i, j = np.zeros(len(current), bool), [[] for _ in range(len(current) + 1)], 0, 0
    while i < len(current) or j < len(target):
        if i < len(current) and j < len(target) and current[i] == target[j]:
            i, j = i + 1, j + 1
        elif j == len(target) or (i < len(current) and table[i + 1, j] <= table[i, j + 1]):
            delete[i] = True
            i += 1
        else:
            insertions[i].append(target[j])
            j += 1
    return delete, insertions


def apply_edits(current, delete, insertions):
    """Carry out deletions and insertions.

    Args:
        current: Sequence of n tokens.
        delete: Booleans (n,), True where a token goes.
        insertions: n + 1 lists of tokens, one for each gap: before each token, and behind the last.

    Returns:
        A list of tokens.

    Raises:
        ValueError: If the number of Booleans or of gaps does not fit.
    """
    delete = np.asarray(delete)
    if delete.shape != (len(current),) or (delete.size and delete.dtype != bool) or len(insertions) != len(current) + 1:
        raise ValueError(
            f"delete, insertions: expected {len(current)} Booleans and {len(current) + 1} lists, "
            f"got {delete.dtype} of shape {delete.shape} and {len(insertions)}"
        )
    result = [*insertions[0]]
    for token, goes, inserted in zip(current, delete, insertions[1:], strict=True):
        result += ([] if goes else [token]) + [*inserted]
    return result


def insertion_rounds(length):
    """In which round a word of a sentence is written, if every round fills the middle of every gap.

    Args:
        length: Words of the sentence, at least 1.

    Returns:
        A list of rounds, each a list of positions, 0 to length - 1, in order.

    Source: Stern et al. 2019 (a balanced binary tree).
    """
    gaps, rounds = [(0, whole("length", length))], []
    while gaps:
        rounds.append([(low + high) // 2 for low, high in gaps])
        halves = [half for low, high in gaps for half in ((low, (low + high) // 2), ((low + high) // 2 + 1, high))]
        gaps = [(low, high) for low, high in halves if low < high]
    return rounds


def corrupt(tokens, rate, vocabulary_size, seed):
    """Spoil a text, so that an editor has something to learn from: tokens are dropped, and others slip in.

    Args:
        tokens: Sequence of n ids.
        rate: Chance of each token to be dropped, and of each of the n + 1 gaps to get a random token.
        vocabulary_size: Ids that slip in are 0 to vocabulary_size - 1.
        seed: A seed, or a tuple of them.

    Returns:
        A list of ids. With rate 0 it is the text.

    Raises:
        ValueError: If the rate is no share, or the size not positive.
    """
    rng, rate, size = np.random.default_rng(seed), share("rate", rate), whole("vocabulary_size", vocabulary_size)
    dropped, slips = rng.random(len(tokens)) < rate, rng.random(len(tokens) + 1) < rate
    return apply_edits(tokens, dropped, [rng.integers(size, size=int(slip)).tolist() for slip in slips])


def example():
    """From kitten to sitting: by TensorFlow, which exchanges letters, and by deletions and insertions."""
    a, b = "kitten", "sitting"
    sparse = [tf.sparse.from_dense([[*word]]) for word in (a, b)]
    print("with exchanges: tf.edit_distance", tf.edit_distance(*sparse, normalize=False).numpy()[0], "- ours",
          edit_table(a, b, exchange=1)[0, 0])  # fmt: skip
    delete, insertions = oracle_edits(a, b)
    print("without:", edit_distance(a, b), "edits. Delete", [*map(int, delete)], "- insert", insertions)
    print("carried out:", "".join(apply_edits(a, delete, insertions)))
    sentence = ["the", "cat", "sat", "on", "the", "mat", "by", "the", "door"]
    written = []
    for places in insertion_rounds(len(sentence)):
        written = sorted([*written, *places])
        print(" ".join(sentence[place] for place in written))
    print("spoilt:", corrupt([5, 6, 7, 8, 9], rate=0.3, vocabulary_size=5, seed=1))


def lesson(report, *, pairs: int = 200, longest: int = 64, seed: int = 0):
    """Edit random texts and small cases, write sentences in rounds, and spoil texts.

    Args:
        report: The report to write to.
        pairs: Random pairs of short texts, each compared with a search (1 to 100000).
        longest: Longest sentence that is written in rounds (9 to 1000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    _fewest(report, rng, pairs)
    _small_cases(report)
    _rounds(report, longest)
    _spoilt(report, seed)
    report.note(
        "No network is trained here. One that edits would be taught by such edits: what goes, and what comes into each "
        "gap. Words that come into different gaps in the same round do not know of each other; that is the price."
    )
    report.figure("A sentence written from its middle", _figure(longest),
                  alt="Left: a sentence of eleven words appears in four rounds, a word in every gap. Right: rounds "
                  "against words, a low staircase beside a straight line.")  # fmt: skip


def _fewest(report, rng, pairs):
    """Random texts of two letters, up to six long: edits by the table, and by a search through all texts."""
    results, counted, searched, common = [], [], [], []
    for _ in range(pairs):
        a, b = ("".join(rng.choice([*"ab"], size=rng.integers(7))) for _ in range(2))
        delete, insertions = oracle_edits(a, b)
        results.append("".join(apply_edits(a, delete, insertions)) == b)
        counted.append(int(delete.sum()) + sum(map(len, insertions)))
        searched.append(_search(a, b, "ab", 6))
        common.append(len(a) + len(b) - 2 * _common(a, b))
    report.check("random pairs: the edits give the target, share of pairs", np.mean(results), 1.0)
    report.check("random pairs: as few edits as a search finds", counted, searched)
    report.check("random pairs: m + n - 2 · longest common subsequence", counted, common)


def _search(a, b, letters, longest):
    """Steps from one text to the other, breadth first; deleting first, no text need be longer than the longer one."""
    steps, waiting = {a: 0}, deque([a])
    while b not in steps:
        text = waiting.popleft()
        after = [text[:at] + text[at + 1 :] for at in range(len(text))]
        if len(text) < longest:
            after += [text[:at] + letter + text[at:] for at in range(len(text) + 1) for letter in letters]
        for each in after:
            if each not in steps:
                steps[each] = steps[text] + 1
                waiting.append(each)
    return steps[b]


def _common(a, b):
    """Length of the longest common subsequence, by trying all subsequences of a short text, the longest first."""
    subsequences = {""}
    for letter in a:
        subsequences |= {each + letter for each in subsequences}
    return max(len(each) for each in subsequences if all(letter in rest for rest in [iter(b)] for letter in each))


def _small_cases(report):
    delete, insertions = oracle_edits("kitten", "sitting")
    report.check("kitten to sitting: deletions and insertions", edit_distance("kitten", "sitting"), 5)
    report.check("kitten to sitting: with exchanges", int(edit_table("kitten", "sitting", exchange=1)[0, 0]), 3)
    edits = [oracle_edits(*texts) for texts in (("cat", "cat"), ("", "cat"), ("cat", ""))]
    report.check("equal texts, from nothing, to nothing: what goes, what comes",
                 [[int(go.sum()), sum(map(len, come))] for go, come in edits], [[0, 0], [0, 3], [3, 0]])  # fmt: skip
    rows = [["".join(insertions[place]), letter, bool(delete[place])] for place, letter in enumerate("kitten")]
    rows.append(["".join(insertions[6]), "", None])
    report.table("from kitten to sitting", ["comes before", "letter", "goes"], rows)


def _rounds(report, longest):
    lengths = np.arange(1, longest + 1)
    rounds = [insertion_rounds(int(length)) for length in lengths]
    report.check("rounds for 1 to the longest number of words: the logarithm to base 2 of n + 1, rounded up",
                 [len(each) for each in rounds], [int(length).bit_length() for length in lengths])  # fmt: skip
    complete, fullest = [], []
    for length, each in zip(lengths.tolist(), rounds, strict=True):
        text = []  # words are their places
        for places in each:
            gaps = [[] for _ in range(len(text) + 1)]
            for place in places:
                gaps[int(np.searchsorted(text, place))].append(place)
            fullest.append(max(map(len, gaps)))
            text = apply_edits(text, np.zeros(len(text), bool), gaps)
        complete.append(text == list(range(length)))
    report.check("every sentence is complete at the end, share", np.mean(complete), 1.0)
    report.check("most words that come into one gap in a round", max(fullest), 1)


def _spoilt(report, seed, tokens=2000, rate=0.2):
    text = np.random.default_rng((seed, 1)).integers(5, 1000, size=tokens).tolist()
    report.check("spoilt at rate 0: the text", corrupt(text, 0.0, 5, seed), text)
    spoilt = np.array(corrupt(text, rate, 5, seed))  # ids 0 to 4 slip in, and are known by that
    error = 4 * np.sqrt(rate * (1 - rate) / tokens)
    report.check(
        "spoilt at rate 0.2: share of tokens that are left", np.sum(spoilt >= 5) / tokens, 1 - rate, atol=error
    )
    report.check("spoilt at rate 0.2: tokens that slipped in, for each gap", np.sum(spoilt < 5) / (tokens + 1), rate,
                 atol=error)  # fmt: skip
    words = ["one", "small", "step", "for", "a", "man", "and", "one", "giant", "leap", "for", "mankind"]
    known, rows = sorted(set(words)), []
    for number in range(4):
        ids = corrupt([known.index(word) for word in words], rate, len(known), (seed, 2, number))
        current = [known[id_] for id_ in ids]
        delete, insertions = oracle_edits(current, words)
        rows.append([" ".join(current), " ".join(word for word, goes in zip(current, delete, strict=True) if goes),
                     " ".join(word for each in insertions for word in each)])  # fmt: skip
    report.table("what an editor would learn from", ["spoilt sentence", "to delete", "to insert"], rows)


def _figure(longest):
    figure, (left, right) = plots.subplots(1, 2, figsize=(12, 4.2), width_ratios=(3, 2))
    words = ["a", "word", "in", "every", "gap", "and", "soon", "all", "words", "stand", "there"]
    shown = set()
    for number, places in enumerate(insertion_rounds(len(words))):
        for place in sorted({*shown, *places}):
            new = place in places
            left.text(place, number + 1, words[place], ha="center", va="center", fontsize=12,
                      color="C0" if new else "0.55", weight="bold" if new else "normal")  # fmt: skip
        shown |= set(places)
    left.set(xlim=(-0.6, len(words) - 0.4), ylim=(number + 1.6, 0.4), xlabel="place in the sentence", ylabel="round")
    left.set_title("New words in blue: one into every gap")
    left.set_yticks(range(1, number + 2))
    left.grid(False)
    lengths = np.arange(1, longest + 1)
    series = {"left to right": lengths, "the middle of every gap": [len(insertion_rounds(int(n))) for n in lengths]}
    plots.curves(lengths, series, xlabel="words of the sentence", ylabel="rounds", title="Rounds needed", ax=right)
    return figure
