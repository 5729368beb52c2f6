"""If wrong halves of poems are chosen carelessly, one half alone answers above chance; fair ones ask for both.

BERT's second task asks whether a sentence follows another one; texts hold the answers. What the reader should see: a
quatrain's halves packed into one row with two segments; what goes wrong if any half may stand in as a wrong one, for
then a network that never saw the first half answers above chance; and, on fair pairs, how a small network that reads
both halves stands beside a rule of one line, which counts the characters that both share.

Notes: chapter 14, "BERT" (BERT模型).
Source: Devlin et al. 2019, arXiv:1810.04805, section 3.1, task 2.
"""

import keras
import numpy as np

from kerasnotes import data, plots, training
from kerasnotes.chapter08.sequences import Vocabulary
from kerasnotes.chapter09.sentiment import families
from kerasnotes.chapter13.translation import rise_and_fall
from kerasnotes.chapter14.masked_language_model import MaskedLanguageModel
from kerasnotes.chapter14.masked_words import next_sentence_pairs, pack_pair
from kerasnotes.parts import layer_seeds

SMOKE = {"poems": 200, "epochs": 1, "units": 8, "layers": 1}
SECONDS = 29

LENGTH = 31  # two halves of fourteen characters, and three tokens around them
CLS, SEP = 2, 3  # ids behind padding and the unknown character; a vocabulary's own ids begin two later


def any_pairs(poems, seed=0):
    """Pairs as `next_sentence_pairs` draws them: a wrong second half is any half of another poem.

    Args:
        poems: List of pairs (first half, second half), strings.
        seed: Seed of the draws.

    Returns:
        `(first, second, is_next)`: two lists of strings, and Booleans (pairs,).

    Raises:
        ValueError: If a poem is no pair, or there are too few.
    """
    first, second, is_next = next_sentence_pairs(*_halves(poems, seed))
    return [text for text, _ in first], [text for text, _ in second], is_next


def fair_pairs(poems, seed=0):
    """Pairs of which no half alone tells the answer: a wrong second half is the second half of another poem.

    Of the pairs that `next_sentence_pairs` draws, those with a first half in the second place are left out, and as
    large a share of the right ones by chance. Arguments and result as for `any_pairs`.
    """
    first, second, is_next = next_sentence_pairs(*_halves(poems, seed))
    half = np.random.default_rng((1, *np.atleast_1d(seed))).random(len(first)) < 0.5
    kept = np.flatnonzero(np.where(is_next, half, [number == 1 for _, number in second]))
    return [first[i][0] for i in kept], [second[i][0] for i in kept], is_next[kept]


def _halves(poems, seed):
    if any(len(poem) != 2 for poem in poems):
        raise ValueError("poems: expected pairs (first half, second half)")
    found = [(text, number) for poem in poems for number, text in enumerate(poem)]
    return found, seed, np.repeat(np.arange(len(poems)), 2)


def pack_pairs(first, second, encode, length):
    """Rows [CLS] first [SEP] second [SEP]: ids and segments (pairs, length), int32.

    Args:
        first, second: Lists of strings.
        encode: Function from a string to ids, 0 padding and 1 unknown; all others are moved up by two.
        length: Length of a row.
    """

    def ids(text):
        return [i + 2 if i > 1 else i for i in encode(text)]

    rows = [pack_pair(ids(one), ids(two), CLS, SEP, length) for one, two in zip(first, second, strict=True)]
    return tuple(np.stack(part) for part in zip(*rows, strict=True))


def build_pair_classifier(model, seed=0):
    """A classifier of pairs: a new head on the state of the first token, [CLS], of a language model's encoder.

    Args:
        model: A `MaskedLanguageModel`; its encoder is shared.
        seed: Seed of the head.

    Returns:
        A `keras.Model` from `(ids, segments)`, each (batch, model.encoder.max_length), to logits (batch, 1).
    """
    ids, segments = (keras.Input((model.encoder.max_length,), dtype="int32") for _ in range(2))
    head = keras.layers.Dense(1, kernel_initializer=keras.initializers.GlorotUniform(next(layer_seeds(seed))))
    return keras.Model((ids, segments), head(model.encoder(ids, segments)[:, 0]), name="pair_classifier")


def shared(first, second):
    """How many different characters both strings have, for each pair: (pairs,)."""
    return np.array([len(set(one) & set(two)) for one, two in zip(first, second, strict=True)])


def example():
    """One quatrain as a row, and a second half from elsewhere; untrained answers for both."""
    poems = [("床前明月光疑是地上霜", "举头望明月低头思故乡"), ("白日依山尽黄河入海流", "欲穷千里目更上一层楼")]
    poems += [("春眠不觉晓处处闻啼鸟", "夜来风雨声花落知多少")]
    vocabulary = Vocabulary("".join(first + second for first, second in poems))
    first, second, is_next = any_pairs(poems, seed=3)
    for one, two, right in zip(first, second, is_next, strict=True):
        print(one, two, "belongs" if right else "does not")
    ids, segments = pack_pairs(first, second, vocabulary.encode, 23)
    print("ids:     ", ids[0].tolist())
    print("segments:", segments[0].tolist())
    model = MaskedLanguageModel(len(vocabulary) + 2, units=8, num_heads=2, layers=1, max_length=23, seed=1)
    print("untrained logits:", build_pair_classifier(model)((ids, segments)).numpy().ravel().round(2))
    print("characters that both halves share:", shared(first, second))


def lesson(
    report, *, poems: int = 10421, units: int = 48, layers: int = 2, epochs: int = 18, learning_rate: float = 3e-3,
    seed: int = 0,
):  # fmt: skip
    """Pack halves of quatrains, learn which belong together, and look at what unfair pairs give away.

    Args:
        report: The report to write to.
        poems: Quatrains to use, of training and test (200 to 10421).
        units: Numbers for a character, a multiple of 4 (8 to 256).
        layers: Blocks of the encoder (1 to 8).
        epochs: Draws of pairs to learn from; the reader of second halves gets a third (1 to 100).
        learning_rate: Largest learning rate (0.000001 to 1).
        seed: Seed of all random draws (0 to 4294967295).
    """
    train, test = _split(report, poems, seed)
    vocabulary = Vocabulary("".join(first + second for first, second in train), 3000)
    _rows(report, test, vocabulary, units, seed)
    _draws(report, train, seed)
    arguments = {"units": units, "hidden_units": 2 * units, "layers": layers, "max_length": LENGTH, "seed": (seed, 1)}
    model = MaskedLanguageModel(len(vocabulary) + 2, num_heads=4, **arguments)
    rows = _judged(report, model, vocabulary, train, test, epochs, learning_rate, seed)
    figure = plots.bars([name for name, *_ in rows], [row[1] for row in rows], errors=[row[2] for row in rows],
                        ylabel="share of unseen pairs answered rightly", bound=0.5, bound_label="by chance",
                        title="Which halves of a quatrain belong together")  # fmt: skip
    figure.axes[0].set_ylim(0.4, None)
    report.figure("Which halves belong together", figure,
                  alt="Three bars with error bars and a line at one half: a network that reads both halves of fair "
                  "pairs, one that reads the second half of any pairs, and shared characters.")  # fmt: skip


def _split(report, poems, seed):
    """Halves of quatrains with seven characters a line, for training and for the test."""
    lines = list(dict.fromkeys(poem.lines for poem in data.tang_quatrains(7)))  # some stand there twice
    chosen = [lines[i] for i in np.random.default_rng((seed, 2)).permutation(len(lines))[:poems]]
    kin = families(chosen)  # poems that share a line stay together
    in_test = np.random.default_rng((seed, 3)).random(kin.max() + 1)[kin] < 0.12
    parts = [[("".join(poem[:2]), "".join(poem[2:])) for poem, own in zip(chosen, in_test, strict=True) if own == part]
             for part in (False, True)]  # fmt: skip
    known = {half for poem in parts[0] for half in poem}
    report.check("halves of the test that stand in the training", sum(half in known for p in parts[1] for half in p), 0)
    return parts


def _rows(report, poems, vocabulary, units, seed):
    first, second, _ = any_pairs(poems, seed)
    ids, segments = pack_pairs(first[:50], second[:50], vocabulary.encode, LENGTH)
    want = np.repeat([0, 1], [16, 15])
    report.check("segments: 0 up to the first [SEP], 1 behind it", segments, np.tile(want, (len(ids), 1)))
    report.check("[CLS] first [SEP] second [SEP]", ids[:, [0, 15, 30]], np.tile([CLS, SEP, SEP], (len(ids), 1)))
    model = MaskedLanguageModel(len(vocabulary) + 2, 8, 2, layers=1, max_length=LENGTH, seed=seed)
    other = np.abs(model.encode(ids, segments) - model.encode(ids, 1 - segments)).max()
    report.at_least("segments exchanged: a state changes by up to", other, 1e-3)


def _draws(report, poems, seed):
    """What stands second in pairs that do not belong together."""
    seconds = {second for _, second in poems}
    for name, draw, want in (("fair", fair_pairs, 1.0), ("any", any_pairs, 0.5)):
        _, second, is_next = draw(poems, (seed, 4))
        wrong = [text in seconds for text, right in zip(second, is_next, strict=True) if not right]
        error = np.sqrt(0.25 / len(wrong))
        report.check(f"{name} pairs: share that belong together", is_next.mean(), 0.5, rtol=0, atol=4 * error)
        report.check(f"{name} pairs: wrong ones with a second half in the second place", np.mean(wrong), want, rtol=0,
                     atol=4 * error * (want < 1))  # fmt: skip


def _judged(report, model, vocabulary, train, test, epochs, learning_rate, seed):
    """Unseen pairs by networks and by shared characters: rows of a name, the share right and its error."""
    classifier, size = build_pair_classifier(model, seed=(seed, 5)), int(0.47 * len(train)) // 64 * 64
    rate = rise_and_fall(learning_rate, epochs * size // 64)
    classifier.compile(keras.optimizers.Adam(rate, beta_2=0.98), keras.losses.BinaryCrossentropy(from_logits=True))
    start, restart, rows = classifier.get_weights(), training.restarter(classifier), []
    form = "xla" if epochs * size >= 500 * 64 else "loop"  # worth its compiling in a long training of this size

    def read(draw, blind, poems, seed):
        first, second, is_next = draw(poems, seed)
        ids, segments = pack_pairs(first, second, vocabulary.encode, LENGTH)
        ids[:, 1:15] *= not blind  # padding, which no character sees
        return (ids, segments), is_next.astype(np.float32)

    def add(name, right):
        rows.append([name, *map(float, plots.mean_and_error(right))])

    for name, draws, *how in (("both halves", epochs, fair_pairs, False),
                              ("second half only", -(-epochs // 3), any_pairs, True)):  # fmt: skip
        restart(start)
        for epoch in report.track(range(draws), name):  # other pairs in every epoch
            pairs, is_next = read(*how, train, (seed, epoch, 6))
            training.fit(classifier, tuple(part[:size] for part in pairs), is_next[:size, None], batch_size=64,
                         form=form, initial_epoch=epoch, epochs=epoch + 1, seed=seed)  # fmt: skip
        pairs, is_next = read(*how, test, (seed, 7))
        add(f"{name},\n{'any' if how[1] else 'fair'} pairs", (training.predict(classifier, pairs)[:, 0] > 0) == is_next)
    (known, known_next), (counts, is_next) = ((shared(first, second), is_next) for first, second, is_next in
                                              (fair_pairs(poems, (seed, 7)) for poems in (train, test)))  # fmt: skip
    rules = [(least, more) for least in range(1, 6) for more in (True, False)]
    least, more = max(rules, key=lambda rule: np.mean(((known >= rule[0]) == rule[1]) == known_next))
    rule = f"{least} or more" if more else f"fewer than {least}" if least > 1 else "no"
    add(f"{rule} shared\ncharacters, fair pairs", ((counts >= least) == more) == is_next)
    table = [[name.replace("\n", " "), *row] for name, *row in rows]
    label = "second half only, any pairs: answered rightly, less three standard errors"
    report.at_least(label, rows[1][1] - 3 * rows[1][2], 0.5, trained=True)
    report.note(
        f"Nothing is claimed for the network on fair pairs, {rows[0][1]:.2f} ± {rows[0][2]:.2f}: a few thousand poems "
        "are few to learn from what makes halves of a poem belong together."
    )
    report.table("unseen pairs of halves", ["read", "answered rightly", "standard error"], table)
    return rows
