"""Filling gaps teaches what words have in common, near the best that is possible; then thirty labels go a long way.

BERT learns from texts whose words are hidden here and there, and is then taught a task. What the reader should see: a
hidden word's prediction depends on both sides, a causal model's on the left only; a loss that comes close to the best
possible one, on texts whose law is known, which the model is not told; and a classifier that has seen thirty labelled
texts and does better if it has filled gaps before, although that taught it nothing about the labels.

Notes: chapter 14, "BERT" (BERT模型).
Source: Devlin et al. 2019, arXiv:1810.04805, section 3 (model, pre-training, fine-tuning).
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots, training
from kerasnotes.chapter13.attention import padding_mask
from kerasnotes.chapter13.transformer_block import EncoderBlock
from kerasnotes.chapter13.translation import rise_and_fall
from kerasnotes.chapter14.gpt import Gpt
from kerasnotes.chapter14.known_texts import best_masked_loss, chain_transitions, class_chain, majority_labels
from kerasnotes.chapter14.masked_words import mask_tokens, masked_loss
from kerasnotes.chapter14.masked_words import next_sentence_pairs as next_sentence_pairs  # also to be had from here
from kerasnotes.chapter14.masked_words import pack_pair as pack_pair
from kerasnotes.parts import layer_seeds, shape, whole

SMOKE = {"steps": 3, "pretrainings": 1, "draws": 1, "epochs": 2, "units": 8, "texts": 200}
FULL = {"steps": 4000, "pretrainings": 3, "draws": 6}
SECONDS = 47

CLASSES, WORDS, STEPS = 10, 30, 20  # of the texts: hidden classes, words of each, and words in a text
LAW = 0  # seed of the law and of the texts; the lesson's own seed says which are held out, and all the rest


class TextEncoder(keras.layers.Layer):
    """Blocks that see both sides: `encoder(ids, segments=None)` gives states (batch, steps, units).

    A word's vector is the sum of three learnt ones: the word's, its place's and its segment's. Id 0 is padding, which
    no word sees. Arguments as for `MaskedLanguageModel`.
    """

    def __init__(self, vocabulary_size, units, num_heads, hidden_units, layers, max_length, seed=0, **kwargs):
        super().__init__(**kwargs)
        self.units, self.max_length, seeds = units, whole("max_length", max_length), layer_seeds(seed)
        sizes = {"words": whole("vocabulary_size", vocabulary_size, 2), "places": max_length, "parts": 2}
        self.words, self.places, self.parts = (
            self.add_weight(name=name, shape=(size, whole("units", units)),
                            initializer=keras.initializers.RandomNormal(stddev=0.05, seed=next(seeds)))
            for name, size in sizes.items()
        )  # fmt: skip
        self.blocks = [
            EncoderBlock(units, num_heads, hidden_units, seed=next(seeds)) for _ in range(whole("layers", layers))
        ]
        self.norm = keras.layers.LayerNormalization(epsilon=1e-6)
        self.norm.build((None, None, units))
        self.built = True

    def call(self, ids, segments=None):
        ids = shape("ids", tf.convert_to_tensor(ids), None, None)
        if ids.shape[1] is None or ids.shape[1] > self.max_length:
            raise ValueError(f"ids: expected at most {self.max_length} steps, got {ids.shape[1]}")
        segments = tf.zeros_like(ids) if segments is None else tf.convert_to_tensor(segments)
        shape("segments", segments, *ids.shape)
        words, places, parts = (tf.convert_to_tensor(table) for table in (self.words, self.places, self.parts))
        x = tf.gather(words, ids) + places[: ids.shape[1]] + tf.gather(parts, segments)  # (batch, steps, units)
        for block in self.blocks:
            x = block(x, attention_mask=padding_mask(ids))
        return self.norm(x)


class MaskedLanguageModel(keras.Model):
    """Logits of the word at every place, from both sides: `model(ids)` or `model((ids, segments))`.

    The head has no table of its own: a word's logit is the product of the state with the word's vector, plus a bias.

    Args:
        vocabulary_size: Number of ids, padding 0 and the mask included.
        units: Numbers for a word, a multiple of `num_heads`.
        num_heads: Heads of each attention.
        hidden_units: Units of the first dense layer of a block, or None for 4·units.
        layers: Number of blocks.
        max_length: Most words of a text.
        seed: Seed of the initial weights.
    """

    def __init__(self, vocabulary_size, units=48, num_heads=4, hidden_units=None, layers=2, max_length=64, seed=0):
        super().__init__()
        self.encoder = TextEncoder(vocabulary_size, units, num_heads, hidden_units, layers, max_length, seed)
        self.bias = self.add_weight(name="bias", shape=(vocabulary_size,), initializer="zeros")
        self.built = True

    def encode(self, ids, segments=None):
        """States (batch, steps, units) of ids (batch, steps), and of segments likewise, 0 or 1, or None for all 0."""
        return self.encoder(ids, segments)

    def call(self, inputs):
        states = self.encode(*inputs) if isinstance(inputs, (tuple, list)) else self.encode(inputs)
        return tf.tensordot(states, tf.transpose(tf.convert_to_tensor(self.encoder.words)), 1) + self.bias


class TextClassifier(keras.Model):
    """One logit a text: a dense layer on the mean of an encoder's states over real words.

    Args:
        encoder: A `TextEncoder`, which is shared, not copied.
        seed: Seed of the dense layer's weights.
    """

    def __init__(self, encoder, seed=0):
        super().__init__()
        self.encoder = encoder
        start = keras.initializers.GlorotUniform(next(layer_seeds(seed)))
        self.head = keras.layers.Dense(1, kernel_initializer=start)
        self.head.build((None, encoder.units))
        self.built = True

    def features(self, ids):
        """Mean states (batch, units) of the words that are no padding."""
        real = tf.cast(tf.not_equal(ids, 0), tf.float32)[..., None]
        return tf.reduce_sum(self.encoder(ids) * real, axis=1) / tf.maximum(tf.reduce_sum(real, axis=1), 1.0)

    def call(self, ids):
        return self.head(self.features(ids))


def compile_masked(model, steps, learning_rate=3e-3):
    """Adam on `masked_loss`; a tenth of the steps lead up to the rate, a cosine down from it."""
    model.compile(keras.optimizers.Adam(rise_and_fall(learning_rate, steps, share=0.1), beta_2=0.98), masked_loss)


def example():
    """A word is hidden in texts that always say the same: the model learns to put it back; loss and head by hand."""
    ids = np.tile([[1, 2, 3, 4, 5, 6]], (256, 1))  # (texts, steps); 7 is the mask
    model = MaskedLanguageModel(vocabulary_size=8, units=16, num_heads=2, layers=1, max_length=6)
    inputs, targets, _ = mask_tokens(ids, 8, mask_id=7, rate=0.3)
    compile_masked(model, steps=160, learning_rate=0.01)
    model.fit(inputs, targets, batch_size=16, epochs=10, verbose=0)
    hidden = np.array([[1, 7, 3, 4, 7, 6]])
    print("read:   ", hidden[0])
    print("written:", model(hidden)[0].numpy().argmax(axis=-1))
    by_hand = model.encode(hidden) @ tf.transpose(model.encoder.words) + model.bias
    print("the head is the table of words:", np.allclose(by_hand, model(hidden)))
    _, classes = class_chain(1000, 20)
    print("best loss of one hidden word:", best_masked_loss(classes, 10, chain_transitions(), words=30))


def lesson(report, *, steps: int = 1300, pretrainings: int = 2, draws: int = 3, labelled: int = 30, epochs: int = 30,
           units: int = 48, texts: int = 3000, seed: int = 0):  # fmt: skip
    """Look at what a hidden word depends on, fill gaps, and then teach a task with few labels.

    Args:
        report: The report to write to.
        steps: Steps of pre-training, of 64 texts each (1 to 100000).
        pretrainings: Models that are pre-trained (1 to 20).
        draws: Draws of labelled texts for each of them (1 to 20).
        labelled: Labelled texts (2 to 1000).
        epochs: Passes through the labelled texts (1 to 1000).
        units: Numbers for a word, a multiple of 4 (8 to 512).
        texts: Held-out texts (100 to 100000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _both_sides(report, seed)
    _tied(report, seed)
    size = CLASSES * WORDS + 2  # 0 is padding, the last id the mask
    ids, classes = class_chain(64 * steps + texts, STEPS, CLASSES, WORDS, LAW)
    order = np.random.default_rng((seed, 7)).permutation(len(ids))
    ids, classes = ids[order], classes[order]
    held_out = ids[-texts:], classes[-texts:]
    models = []
    for number in report.track(range(pretrainings), "pre-training"):
        model = MaskedLanguageModel(size, units, max_length=STEPS, seed=(seed, number))
        inputs, targets, _ = mask_tokens(ids[:-texts], size, size - 1, seed=(seed, number))
        compile_masked(model, steps)
        form = "xla" if len(inputs) >= 500 * 64 else "loop"  # worth its compiling in a long training of this size
        training.fit(model, inputs, targets, batch_size=64, shuffle=False, form=form)
        models.append(model)
    losses, best = _hidden_words(report, models, held_out)
    right = _few_labels(report, models, held_out, draws, labelled, epochs, seed)
    _draw(report, losses, best, right)


def _both_sides(report, seed):
    """One word is hidden at place 6 of 12; each of the others is changed in turn."""
    rng = np.random.default_rng((seed, 1))
    ids, size = rng.integers(1, 30, 12), 32
    ids[6] = size - 1  # the mask
    changed = np.where(np.eye(12, dtype=bool), 1 + ids % 29, ids)
    found = {}
    for name, model in {"masked": MaskedLanguageModel(size, 16, max_length=12, seed=(seed, 2)),
                        "causal": Gpt(size, 16, hidden_units=64, context=12, seed=(seed, 2))}.items():  # fmt: skip
        found[name] = np.abs(model(changed)[:, 6] - model(ids[None])[:, 6]).max(axis=-1)  # (changed place,)
    smallest = np.delete(found["masked"], 6).min()
    report.at_least("a hidden word: smallest change of its logits by a word on either side", smallest, 1e-6)
    report.at_least("a causal model at the same place: by a word on the left", found["causal"][:6].min(), 1e-6)
    report.at_most("by a word on the right: largest change", found["causal"][7:].max(), 1e-5)


def _tied(report, seed):
    model = MaskedLanguageModel(32, 16, max_length=12, seed=(seed, 3))
    ids = np.random.default_rng((seed, 3)).integers(1, 32, (3, 12))
    model.bias.assign(np.arange(32.0))
    by_hand = tf.einsum("bsu,vu->bsv", model.encode(ids), model.encoder.words.value) + model.bias
    report.check(
        "the head: products of states with the words' own vectors, plus a bias", model(ids), by_hand, atol=1e-4
    )
    blocks = sum(block.count_params() for block in model.encoder.blocks)
    report.check("weights: tables of words, places and segments, blocks, a normalization, a bias, and no more",
                 model.count_params(), (32 + 12 + 2) * 16 + blocks + 2 * 16 + 32)  # fmt: skip
    longer = model(np.pad(ids[:, :9], ((0, 0), (0, 3))))[:, :9]
    report.check("three zeros behind nine words", longer, model(ids[:, :9]), atol=1e-4)


def _hidden_words(report, models, held_out):
    """The loss of one hidden word at every place, and the least possible one: two arrays (places,)."""
    ids, classes = (part[:400] for part in held_out)
    transitions = chain_transitions(CLASSES, LAW)
    places, losses = range(STEPS), np.zeros((len(models), STEPS))
    best = np.array([best_masked_loss(classes, place, transitions, WORDS) for place in places])
    for place in places:
        hidden = np.where(np.arange(STEPS) == place, CLASSES * WORDS + 1, ids)
        targets = np.where(np.arange(STEPS) == place, ids, -1)
        for number, model in enumerate(models):
            losses[number, place] = masked_loss(targets, training.predict(model, hidden))
    inside = slice(1, STEPS - 1)
    above = (losses - best)[:, inside].mean(axis=1)
    rows = [["no word seen, log 300", float(np.log(CLASSES * WORDS)), float(np.log(CLASSES * WORDS))],
            ["model", float(losses[:, inside].mean()), float(losses[:, [0, -1]].mean())],
            ["least possible", float(best[inside].mean()), float(best[[0, -1]].mean())]]  # fmt: skip
    report.table("Loss of one hidden word, nats", ["", "with two neighbours", "at the ends"], rows)
    report.at_most("a hidden word with two neighbours: loss above the least possible", above.max(), 0.15, trained=True)
    report.note(
        f"The goal of 0.05 is {'reached' if above.max() <= 0.05 else 'missed'}: {above.max():.3f}. All seeds share one "
        "law of the classes. How long a model takes to find a law differs: some others are not found in so few steps."
    )
    return losses.mean(axis=0), best


def _few_labels(report, models, held_out, draws, labelled, epochs, seed):
    """Shares of right answers on the second half of the held-out texts: a list for each way to learn."""
    labels, kept = majority_labels(held_out[1], CLASSES // 2)
    x, y = held_out[0][kept], labels[kept].astype(np.float32)
    half, size, units = len(x) // 2, CLASSES * WORDS + 2, models[0].encoder.units
    learners = {}
    for name, learner, rate in (
        ("whole", TextClassifier(TextEncoder(size, units, 4, None, 2, STEPS)), 1e-3),
        ("head", keras.Sequential([keras.Input((units,)), keras.layers.Dense(1)]), 1e-2),
    ):
        learner.compile(keras.optimizers.Adam(rate), keras.losses.BinaryCrossentropy(from_logits=True))
        learners[name] = learner, training.restarter(learner)
    right = {"pre-trained": [], "encoder frozen": [], "from scratch": []}
    for number, model in enumerate(models):
        fresh = MaskedLanguageModel(size, units, max_length=STEPS, seed=(seed, number, 4))
        for draw in range(draws):
            chosen = np.random.default_rng((seed, number, draw, 5)).permutation(half)[:labelled]
            for name, found in right.items():
                start = TextClassifier((fresh if name == "from scratch" else model).encoder, (seed, number, draw, 6))
                frozen = name == "encoder frozen"
                learner, restart = learners["head" if frozen else "whole"]
                restart((start.head if frozen else start).get_weights())
                inputs = start.features(x).numpy() if frozen else x
                training.fit(learner, inputs[chosen], y[chosen], batch_size=10, epochs=epochs, seed=draw)
                answers = training.predict(learner, inputs[half:])[:, 0] > 0
                found.append(float(np.mean(answers == y[half:])))
    rows = [[name, tuple(map(float, plots.mean_and_error(found))), len(found)] for name, found in right.items()]
    report.table(f"{labelled} labelled texts: right answers on others", ["classifier", "share", "runs"], rows)
    gain = float(np.mean(right["pre-trained"]) - np.mean(right["from scratch"]))
    report.at_least("pre-trained less from scratch: right answers, share", gain, 0.05, trained=True)
    report.note(f"The goal of 0.12 for this gain is {'reached' if gain >= 0.12 else 'missed'}: {gain:.3f}.")
    return right


def _draw(report, losses, best, right):
    figure, (left, other) = plots.subplots(1, 2, figsize=(11, 4.4))
    series = {"model": losses, "least possible": best}
    plots.curves(np.arange(1, STEPS + 1), series, xlabel="place of the hidden word", ylabel="loss, nats", ax=left,
                 marker="o", title="Close to the best that is possible")  # fmt: skip
    left.set_xticks(range(1, STEPS + 1, 3))
    means, errors = zip(*(plots.mean_and_error(values) for values in right.values()), strict=True)
    plots.bars([*right], means, errors=errors, ylabel="right answers, share", title="Few labels", ax=other)
    report.figure("Filled gaps, then few labels", figure, alt="Left: loss of a hidden word by its place, and the least "
                  "possible one. Right: right answers of a classifier that was pre-trained, of one whose encoder was "
                  "frozen after that, and of one from scratch.")  # fmt: skip
