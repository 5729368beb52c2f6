"""Six passes through a novel in pieces of words, and GPT is less surprised by new text than counting and recurrence.

Chapter 08's recurrent network read the same novel letter by letter and lost to counted groups of five. What the reader
should see: a small GPT that beats both on the same held-out end; that a token is easier to guess with a few tokens
before it, and no easier with more than a dozen; texts at several temperatures; that it writes and does not recite; and
what it does with a task in its prompt: nothing of the kind that large models are known for.

Notes: chapter 14, "GPT" (GPT模型).
Source: Radford et al. 2018,
https://cdn.openai.com/research-covers/language-unsupervised/language_understanding_paper.pdf (the task);
Peng et al. 2023, arXiv:2305.13048, section 3.1 (token shift).
"""

import math

import keras
import numpy as np

from kerasnotes import data, plots, training
from kerasnotes.chapter08.counting_models import interpolation_weights, ngram_probabilities, text_ids
from kerasnotes.chapter13.translation import rise_and_fall
from kerasnotes.chapter14.gpt import Gpt, generate, token_losses
from kerasnotes.chapter14.subwords import BytePairEncoding, learn_merges
from kerasnotes.parts import whole

SMOKE = {"characters": 8000, "merges": 20, "passes": 1, "units": 8, "layers": 1, "context": 8, "length": 12}
FULL = {"passes": 10, "token_shift": True, "letters": True}
SECONDS = 60

RECURRENT, COUNTED = 3.99, 3.72  # held-out perplexity a character, chapter 08's network and fives; a test compares them


class NovelInPieces:
    """A text in pieces of words, in three parts: 90 % to learn from, 5 % to choose by, 5 % to judge by.

    Args:
        text: A string.
        merges: Pieces to learn, from the first part; 0 for single characters.

    Attributes: `encoding`, `size`, the number of different tokens; `train`, `middle`, `test`, ids (length,) int32;
    `characters`, for the middle and the last part the number of characters of all tokens but the first.
    """

    def __init__(self, text, merges):
        a, b = int(0.9 * len(text)), int(0.95 * len(text))
        self.encoding = BytePairEncoding(learn_merges(text[:a], merges) if merges else [], text)
        self.size = len(self.encoding.tokens)
        self.train, self.middle, self.test = (self.encode(part) for part in (text[:a], text[a:b], text[b:]))
        self.characters = [len(self.decode(part[1:])) for part in (self.middle, self.test)]

    def encode(self, text):
        """Ids (length,) of a text's tokens."""
        return np.array([self.encoding.ids[token] for token in self.encoding.encode(text)], np.int32)

    def decode(self, ids):
        """The text of ids."""
        return self.encoding.decode([self.encoding.tokens[i] for i in ids])


def random_windows(ids, context, seed):
    """A text cut into windows in random order, the first cut at a random place; each has a token more than the context.

    Args:
        ids: The text (length,), at least two contexts long.
        context: Tokens that are read together.
        seed: Seed of cut and order.

    Returns:
        Ids (windows, context + 1): the last token of each is only predicted, and begins another window.
    """
    ids, rng = text_ids("ids", ids, 2 * whole("context", context, 2)), np.random.default_rng(seed)
    starts = rng.permutation(np.arange(rng.integers(context), len(ids) - context, context))
    return ids[starts[:, None] + np.arange(context + 1)]


def perplexity_per_character(model, ids, characters):
    """Exp of the loss of a whole text, shared out among its characters, so that vocabularies can be compared.

    Args:
        model: A `Gpt`.
        ids: The text (length,); its first token is given, not predicted.
        characters: Characters of all tokens but the first.
    """
    return math.exp(token_losses(model, ids).sum() / whole("characters", characters))


def compile_gpt(model, steps, learning_rate=3e-3):
    """Adam with β₂ 0.99 on Keras's cross-entropy; a tenth of the steps lead up to the rate, a cosine down to 0."""
    rate = rise_and_fall(learning_rate, steps, share=0.1, end=0.0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate, beta_2=0.99), loss)


def counted_losses(novel, order=3):
    """`token_losses` of the last part by counted groups of up to `order` tokens, mixed with weights of the middle part.

    Args:
        novel: A `NovelInPieces`.
        order: Longest group.
    """
    fitted, rows = (ngram_probabilities(novel.train, part, order, novel.size) for part in (novel.middle, novel.test))
    return -np.log(interpolation_weights(fitted) @ rows)


def copied_share(texts, source, length):
    """Share of all passages of `length` tokens in texts (texts, tokens) that stand in the source (tokens,) too."""
    known = {tuple(source[at : at + length]) for at in range(len(source) - length + 1)}
    passages = [tuple(row[at : at + length]) for row in texts for at in range(len(row) - length + 1)]
    return sum(each in known for each in passages) / len(passages)


def example():
    """A text of two sentences in turn: three pieces, windows, and what training does to the perplexity."""
    novel = NovelInPieces("the cat sat on the mat. a dog sat on a log. " * 30, merges=12)
    print("tokens:", novel.encoding.encode("the cat sat on a log. "), "of", novel.size)
    model = Gpt(novel.size, units=16, num_heads=2, hidden_units=32, layers=1, context=12)
    windows = random_windows(novel.train, 12, seed=0)
    print("perplexity a character:", perplexity_per_character(model, novel.test, novel.characters[1]))
    compile_gpt(model, steps=10 * len(windows) // 4, learning_rate=0.02)
    model.fit(windows[:, :-1], windows[:, 1:], batch_size=4, epochs=10, verbose=0)
    print("after ten passes:      ", perplexity_per_character(model, novel.test, novel.characters[1]))
    print("counted pairs:         ", math.exp(counted_losses(novel, 2).sum() / novel.characters[1]))
    print("written:", repr(novel.decode(generate(model, novel.encode("the cat"), 20, temperature=0.5))))


def lesson(
    report,
    *,
    characters: int = 1_000_000,
    merges: int = 800,
    passes: int = 6,
    units: int = 128,
    layers: int = 2,
    context: int = 64,
    learning_rate: float = 3e-3,
    length: int = 50,
    token_shift: bool = False,
    letters: bool = False,
    seed: int = 0,
):
    """Teach a small GPT a novel, hold it against counting and recurrence, and let it write.

    Args:
        report: The report to write to.
        characters: Characters of the novel to use, all if it has fewer (8000 to 1000000).
        merges: Pieces of words to learn (1 to 10000).
        passes: Passes through the novel (1 to 100).
        units: Numbers for a token, a multiple of 4 (8 to 1024).
        layers: Number of blocks (1 to 12).
        context: Tokens that are read together (4 to 256).
        learning_rate: Largest learning rate (0.000001 to 1).
        length: Tokens of each written text (2 to 10000).
        token_shift: Whether to train a second model whose attention also gets half of the token before.
        letters: Whether to train a model on single letters too, for one pass.
        seed: Seed of all random draws (0 to 4294967295).
    """
    novel = NovelInPieces(data.novel()[:characters], merges)
    settings = {"units": units, "hidden_units": 4 * units, "layers": layers, "context": context}
    model = Gpt(novel.size, seed=seed, **settings)
    curve = _train(report, model, novel, passes, learning_rate, seed)
    rows = _more_models(report, novel, settings, (passes, learning_rate), (token_shift, letters), seed)
    counted = counted_losses(novel)
    _held_out(report, novel, curve, counted, rows)
    _written(report, model, novel, length, seed)
    _prompt(report, model, novel, seed)
    _draw(report, model, novel, curve, counted)


def _train(report, model, novel, passes, learning_rate, seed):
    """Perplexity a character of the last part, before training and after each pass; nothing is chosen by it."""
    untrained = perplexity_per_character(model, novel.test, novel.characters[1])
    nats = math.log(untrained) * novel.characters[1] / (len(novel.test) - 1)
    report.check("before training: nats a token, near log(number of tokens)", nats, math.log(novel.size), rtol=0.1)
    learning = _teach(model, novel.train, passes, learning_rate, seed, report.track)
    return [untrained, *(perplexity_per_character(model, novel.test, novel.characters[1]) for _ in learning)]


def _teach(model, ids, passes, learning_rate, seed, track, batch_size=16):
    """Pass through a text, each time in other windows, and yield after each; what does not fill a batch is left out."""
    steps = max(1, (len(ids) // model.context - 2) // batch_size)  # as many in every pass
    compile_gpt(model, passes * steps, learning_rate)
    form = "xla" if passes * steps >= 500 else "loop"  # worth its compiling in a long training of this size
    for number in track(range(passes), "training"):
        windows = random_windows(ids, model.context, (seed, number))[: steps * batch_size]
        training.fit(model, windows[:, :-1], windows[:, 1:], batch_size=batch_size, shuffle=False,
                     form=form, initial_epoch=number, epochs=number + 1)  # fmt: skip
        yield number


def _more_models(report, novel, settings, training_settings, wanted, seed):
    """At full scale: token shift, and single letters for one pass."""
    rows = []
    if wanted[0]:
        model = Gpt(novel.size, seed=seed, token_shift=True, **settings)
        for _ in _teach(model, novel.train, *training_settings, seed, report.track):
            pass
        rows.append(["GPT with token shift", perplexity_per_character(model, novel.test, novel.characters[1])])
        report.note("Token shift is no part of GPT: half of the channels that enter a block's attention come from the "
                    "token before.")  # fmt: skip
    if wanted[1]:
        text = NovelInPieces("".join(novel.decode(part) for part in (novel.train, novel.middle, novel.test)), 0)
        model = Gpt(text.size, seed=seed, **settings)
        for _ in _teach(model, text.train, 1, training_settings[1], seed, report.track):
            pass
        rows.append(["GPT on letters, one pass", perplexity_per_character(model, text.test, text.characters[1])])
    return rows


def _held_out(report, novel, curve, counted, rows):
    triples = math.exp(counted.sum() / novel.characters[1])
    rows = [["recurrent network on letters, chapter 08, cited", RECURRENT],
            ["counted groups of five letters, chapter 08, cited", COUNTED],
            ["counted triples of the same tokens", triples], ["GPT", curve[-1]], *rows]  # fmt: skip
    report.table(f"The novel's last 5 %, {novel.characters[1]:,} characters", ["model", "perplexity a character"], rows)
    report.at_most("held-out perplexity a character", curve[-1], 3.7, trained=True)
    report.at_most("over the recurrent network's", curve[-1] / RECURRENT, 1.0, trained=True)
    report.at_most("over that of counted groups of five letters", curve[-1] / COUNTED, 1.0, trained=True)
    report.note(f"Two goals: 3.45, {'reached' if curve[-1] <= 3.45 else 'missed'} with {curve[-1]:.3f}; and below "
                f"counted triples of the same tokens, {triples:.3f}.")  # fmt: skip


def _written(report, model, novel, length, seed, texts=8):
    """Eight texts in each of five ways; the first is shown."""
    ways = {"temperature 0.5": (0.5, None), "temperature 0.8": (0.8, None), "temperature 1.2": (1.2, None),
            "top-k 5": (1.0, 5), "top-k 40": (1.0, 40)}  # fmt: skip
    prefix, rows, copied = np.tile(novel.encode("It was"), (texts, 1)), [], []
    sizes = [size for size in (5, 10, 20, 40) if size <= length]
    for name, (temperature, top_k) in ways.items():
        written = generate(model, prefix, length, temperature, top_k, seed)
        copied.append([name, *(copied_share(written, novel.train, size) for size in sizes)])
        rows.append([name, novel.decode(written[0]).replace("\n", "↵")])
    report.table("What GPT writes after “It was” (↵ starts a new line)", ["choice", "text"], rows)
    report.table("Written passages that stand in the text learnt from, share",
                 ["choice", *(f"{size} tokens" for size in sizes)], copied)  # fmt: skip
    report.at_most("passages of the longest length that are recited, share", max(row[-1] for row in copied), 0.05,
                   trained=True)  # fmt: skip


def _prompt(report, model, novel, seed):
    prompt = "cat: cats; dog: dogs; sister:"
    answer = novel.decode(generate(model, novel.encode(prompt), 8, 0.5, seed=seed)).replace("\n", "↵")
    report.note(f"A task in the prompt, of which nothing is claimed: after “{prompt}” it writes “{answer}”.")


def _draw(report, model, novel, curve, counted):
    windows = random_windows(np.concatenate([novel.middle, novel.test]), model.context, 0)
    losses = keras.losses.sparse_categorical_crossentropy(windows[:, 1:], model(windows[:, :-1]), from_logits=True)
    places = np.split(np.arange(model.context), [1, 2, 4, 8, 16, 32])
    places = [each[each < model.context] for each in places if len(each)]
    by_place = [float(np.exp(np.mean(losses.numpy()[:, each]))) for each in places]
    ratio = by_place[min(3, len(places) - 1)] / by_place[0]
    report.at_most("four to seven tokens before: perplexity a token over that with one", ratio, 0.7, trained=True)
    figure, (left, right) = plots.subplots(1, 2, figsize=(11, 4.4))
    plots.curves(np.arange(len(curve)), {"GPT": curve}, xlabel="passes through the novel", ax=left, marker="o",
                 ylabel="held-out perplexity a character", yscale="log", title="Below its rivals")  # fmt: skip
    rivals = {"recurrent network": RECURRENT, "counted fives of letters": COUNTED,
              "counted triples of tokens": math.exp(counted.sum() / novel.characters[1])}  # fmt: skip
    for number, (name, value) in enumerate(rivals.items(), 1):
        left.axhline(value, color=f"C{number}", linestyle=plots.LINE_STYLES[number], label=f"{name}: {value:.2f}")
    left.set_yticks([3, 4, 6, 10], ["3", "4", "6", "10"])
    left.minorticks_off()
    left.legend()
    plots.curves([each.mean() + 1 for each in places], {"GPT": by_place}, xlabel="tokens before it", xscale="log",
                 ylabel="perplexity a token", marker="o", title="A few tokens before help", ax=right)  # fmt: skip
    ticks = [each for each in (1, 2, 4, 8, 16, 32, 64, 128, 256) if each <= model.context]
    right.set_xticks(ticks, ticks)
    right.minorticks_off()
    report.figure("GPT learns a novel", figure,
                  alt=f"Left: held-out perplexity a character falls from {curve[0]:.1f} to {curve[-1]:.2f}, with lines "
                  "of the rivals. Right: perplexity a token falls over the first places of the window.")  # fmt: skip
