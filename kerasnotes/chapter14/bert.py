"""What filling gaps in ten thousand sentences has taught does not help to judge them, here at least.

BERT learns from gaps in texts, then its encoder gets a small head and learns from labels. What the reader should see:
weights that arrive in the classifier as they were, under a head that is new; gaps in unseen reviews filled better than
by the frequencies of words; and reviews judged no better for it than by the same network without any such preparation,
and worse than by a bag of words.

Notes: chapter 14, "BERT" (BERT模型).
Source: Devlin et al. 2019, arXiv:1810.04805, sections 3.1 and 3.2; Liu et al. 2019, arXiv:1907.11692, section 4.1
(new gaps in every epoch).
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots, training
from kerasnotes.chapter08.sequences import Vocabulary, pad, split_words
from kerasnotes.chapter09.sentiment import build_classifier, families, near_duplicates
from kerasnotes.chapter13.translation import rise_and_fall
from kerasnotes.chapter14.masked_language_model import MaskedLanguageModel
from kerasnotes.chapter14.masked_words import mask_tokens, masked_loss
from kerasnotes.parts import layer_seeds, positive, shape, share, whole

SMOKE = {"sentences": 300, "units": 8, "layers": 1, "epochs": 1, "labels": (40,), "draws": 1}
FULL = {"pretrainings": 3, "labels": (200, 1000, 8000)}
SECONDS = 47

SPECIAL = (0, 1)  # padding and unknown words are never hidden
MOST_WORDS, PASSES, RATE = 36, 6, 3e-3  # words of a review; passes over labelled reviews, and their largest rate
STARTS = ("pre-trained", "from scratch", "bag of words")


class GapFiller(keras.Model):
    """The loss of a `MaskedLanguageModel` at its gaps: `filler((inputs, targets))`, logits are made nowhere else."""

    def __init__(self, model):
        super().__init__()
        self.model, self.built = model, True

    def logits(self, inputs, targets):
        """Logits (gaps, vocabulary) and right words (gaps,): targets (batch, steps) are -1 where no gap is."""
        at_gaps = tf.boolean_mask(self.model.encode(inputs), targets >= 0)
        table = tf.convert_to_tensor(self.model.encoder.words)
        return tf.matmul(at_gaps, table, transpose_b=True) + self.model.bias, tf.boolean_mask(targets, targets >= 0)

    def call(self, batch):
        logits, right = self.logits(*batch)
        self.add_loss(masked_loss(right, logits))
        return tf.reduce_sum(logits[:0])


def pretrain(model, ids, epochs, learning_rate=3e-3, batch_size=64, seed=0, track=None):
    """Train a masked language model on texts, with new gaps in every epoch.

    Args:
        model: A `MaskedLanguageModel`; the last of its ids is the mask.
        ids: Texts (samples, steps), zeros behind; unknown words, 1, are no gaps.
        epochs: Passes over the texts.
        learning_rate: Largest rate of Adam, after a tenth of the steps; then it falls by a cosine.
        batch_size: Texts in a step.
        seed: Seed of gaps and of the order.
        track: Callable (iterable, description) that shows progress, such as `report.track`, or None.

    Returns:
        History: `{"loss": mean loss of a gap for each epoch}`, in nats.

    Raises: ValueError: If an id or an argument is out of range.
    """
    size, samples = model.bias.shape[0], len(shape("ids", np.asarray(ids), None, None))
    filler, history = GapFiller(model), {"loss": []}
    filler.compile(_falling(learning_rate, whole("epochs", epochs) * -(-samples // batch_size)), jit_compile=False)
    for epoch in (track or (lambda each, text: each))(range(epochs), "filling gaps"):
        order = np.random.default_rng((seed, epoch, 1)).permutation(samples)
        inputs, targets, _ = mask_tokens(ids[order], size, size - 1, seed=(seed, epoch), special=SPECIAL)
        history["loss"] += _one_epoch(filler, (inputs, targets), None, batch_size)
    return history


def _falling(learning_rate, steps):
    return keras.optimizers.Adam(rise_and_fall(positive("learning_rate", learning_rate), steps, 0.1), beta_2=0.98)


def _one_epoch(model, x, y, batch_size):
    return model.fit(x, y, batch_size=batch_size, shuffle=False, verbose=0).history["loss"]


def build_bert_classifier(model, dropout=0.3, seed=0):
    """A classifier on a language model's encoder: the mean of the states of real words, and a new head.

    Args:
        model: A `MaskedLanguageModel`; its encoder is shared, so that training the classifier changes it.
        dropout: Rate of dropout before the head.
        seed: Seed of the head and of dropout.

    Returns:
        A `keras.Model` from ids (batch, model.encoder.max_length) to logits (batch, 1).
    """
    seeds = layer_seeds(seed)
    ids = keras.Input((model.encoder.max_length,), dtype="int32")
    states = model.encoder(ids)  # (batch, steps, units)
    real = keras.ops.cast(ids != 0, "float32")[..., None]
    mean = keras.ops.sum(states * real, axis=1) / keras.ops.maximum(keras.ops.sum(real, axis=1), 1.0)
    mean = keras.layers.Dropout(share("dropout", dropout, high=False), seed=next(seeds))(mean)
    head = keras.layers.Dense(1, kernel_initializer=keras.initializers.GlorotUniform(next(seeds)), name="head")
    return keras.Model(ids, head(mean), name="bert_classifier")


def fine_tune(classifier, ids, labels, epochs, learning_rate=1e-3, batch_size=32, seed=0):
    """Train all weights of a classifier on labelled texts, the encoder's too; the rate is as in `pretrain`.

    Args:
        classifier: A `keras.Model` with one logit, as `build_bert_classifier` builds it. One that is compiled already
            keeps its optimizer.
        ids: Texts (samples, steps), zeros behind.
        labels: 0 or 1 (samples,).
        epochs, learning_rate, batch_size, seed: As in `pretrain`.

    Returns:
        History: `{"loss": mean loss for each epoch}`.

    Raises:
        ValueError: If labels do not fit the texts, or an argument is out of range.
    """
    labels = shape("labels", np.asarray(labels), len(ids))
    if not np.isin(labels, (0, 1)).all():
        raise ValueError(f"labels: expected 0 and 1, got {np.unique(labels)[:5].tolist()}")
    labels = labels[:, None].astype(np.float32)
    if not classifier.compiled:
        optimizer = _falling(learning_rate, whole("epochs", epochs) * -(-len(labels) // batch_size))
        classifier.compile(optimizer, keras.losses.BinaryCrossentropy(from_logits=True), jit_compile=False)
    history = {"loss": []}
    for epoch in range(epochs):
        order = np.random.default_rng((seed, epoch)).permutation(len(labels))
        history["loss"] += _one_epoch(classifier, ids[order], labels[order], batch_size)
    return history


def example():
    """Fill gaps in counted sequences, and hand the encoder over to a classifier."""
    rng = np.random.default_rng(0)
    ids = (rng.integers(0, 8, (200, 1)) + np.arange(6)) % 8 + 2  # 2 3 4 5 6 7, 8 9 2 3 4 5, …; the mask is 10
    model = MaskedLanguageModel(11, units=16, num_heads=2, layers=1, max_length=6, seed=1)
    losses = pretrain(model, ids, epochs=12, learning_rate=0.02, batch_size=10)["loss"]
    print("loss of a gap:", [round(loss, 2) for loss in losses[::3]])
    gap = tf.constant([[3, 4, 10, 6, 7, 8]])
    print("3 4 [gap] 6 7 8 →", int(tf.argmax(model(gap)[0, 2])))
    before = model.encode(gap).numpy()
    classifier = build_bert_classifier(model, seed=2)
    print("the encoder arrived unchanged:", bool(np.all(model.encode(gap).numpy() == before)))
    loss = fine_tune(classifier, ids.astype(np.int32), ids[:, 0] > 5, epochs=4, learning_rate=0.01)["loss"]
    print("loss of the labels:", [round(each, 2) for each in loss], "at chance:", round(float(np.log(2)), 2))


def lesson(
    report,
    *,
    sentences: int = 10072,
    units: int = 64,
    layers: int = 2,
    epochs: int = 5,
    pretrainings: int = 1,
    labels: tuple[int, ...] = (1000,),
    draws: int = 2,
    seed: int = 0,
):
    """Fill gaps in reviews, then judge reviews with and without that.

    Args:
        report: The report to write to.
        sentences: Reviews to use, of training and test (300 to 10072).
        units: Numbers for a word, a multiple of 8 (8 to 256).
        layers: Blocks of the encoder (1 to 8).
        epochs: Passes over the unlabelled reviews (1 to 100).
        pretrainings: Independent pre-trainings (1 to 10).
        labels: Numbers of labelled reviews to learn from (10 to 10000).
        draws: Draws of the labelled reviews, for each pre-training (1 to 10).
        seed: Seed of all random draws (0 to 4294967295).
    """
    ids, good, train, test, words = _reviews(sentences, seed)
    sizes = {"vocabulary_size": words + 1, "units": units, "hidden_units": 2 * units, "layers": layers,
             "max_length": ids.shape[1]}  # fmt: skip
    models, losses = [], []
    for number in range(pretrainings):
        models.append(MaskedLanguageModel(**sizes, seed=(seed, number, 3)))
        losses.append(pretrain(models[-1], ids[train], epochs, seed=(seed, number), track=report.track)["loss"])
    gaps = _gaps(report, models[0], ids, train, test, words, seed)
    _arrives(report, models[0], ids[test[:20]])
    judged = _judged(report, models, (ids, good, train, test), labels, draws, sizes, seed)
    _no_gain(report, judged, int((ids[train] != 0).sum()))
    _draw(report, losses, gaps, judged)


def _reviews(sentences, seed):
    """Chapter 09's reviews and its split: ids, labels, numbers of training and of test, size of the vocabulary."""
    texts, ratings = data.movie_reviews()
    clear = np.random.default_rng((seed, 1)).permutation(np.flatnonzero(np.abs(ratings) >= 0.5))[:sentences]
    words, good = [split_words(texts[i]) for i in clear], (ratings[clear] > 0).astype(np.float32)
    keys = [[("alone", i)] for i in range(len(words))]
    for pair in near_duplicates(words):
        keys[pair[0]].append(pair), keys[pair[1]].append(pair)
    kin = families(keys)  # near-duplicates stay together
    in_test = np.isin(kin, np.random.default_rng((seed, 2)).permutation(kin.max() + 1)[: (kin.max() + 1) // 5])
    train, test = np.flatnonzero(~in_test), np.flatnonzero(in_test)
    vocabulary = Vocabulary([word for i in train for word in words[i]], 4000)
    ids = pad([vocabulary.encode(each)[:MOST_WORDS] or [1] for each in words])
    return ids, good, train, test, len(vocabulary)


def _gaps(report, model, ids, train, test, words, seed):
    """Gaps in unseen reviews, by the frequencies of words and by the network: the two losses."""
    inputs, targets, chosen = mask_tokens(ids[test], words + 1, words, seed=(seed, 4), special=SPECIAL)
    filler, right = GapFiller(model), targets[chosen]
    parts = [filler.logits(inputs[i : i + 256], targets[i : i + 256])[0] for i in range(0, len(test), 256)]
    counts = 1.0 + np.bincount(ids[train].ravel(), minlength=words + 1)
    counts[[*SPECIAL, words]] = 1e-9
    by_count = np.tile(np.log(counts), (len(right), 1)).astype(np.float32)
    rows = [[name, float(masked_loss(right, each)), float(np.mean(np.argmax(each, axis=-1) == right))] for name, each
            in (("frequencies of words", by_count), ("network", tf.concat(parts, axis=0)))]  # fmt: skip
    report.table(f"gaps in {len(test)} unseen reviews, {len(right)} of them",
                 ["filled by", "loss, nats", "right"], rows)  # fmt: skip
    (_, base, often), (_, loss, found) = rows
    report.at_most("unseen gaps: loss of the network minus that of frequencies", loss - base, -0.2, trained=True)
    report.at_least(
        "unseen gaps filled rightly, over those by the most frequent word", found / often, 1.5, trained=True
    )
    return base, loss


def _arrives(report, model, ids):
    before, states = model.encoder.get_weights(), model.encode(ids).numpy()
    classifiers = [build_bert_classifier(model, seed=number) for number in (1, 2)]
    arrived, heads = classifiers[0].get_layer(model.encoder.name), [each.get_layer("head") for each in classifiers]
    report.check("in the classifier: the pre-trained weights", arrived.get_weights(), before, rtol=0, atol=0)
    kernel, bias = heads[0].get_weights()
    mean = [row[:length].mean(axis=0) for row, length in zip(states, (ids != 0).sum(axis=1), strict=True)]
    report.check(
        "its logits: the head of the mean state of real words", classifiers[0](ids), mean @ kernel + bias, atol=1e-5
    )
    report.at_least("another seed: the head differs by up to", np.abs(kernel - heads[1].get_weights()[0]).max(), 1e-3)


def _judged(report, models, reviews, labels, draws, sizes, seed):
    """Test reviews judged after learning from labels. Returns the table's rows of the last number of labels."""
    ids, good, train, test = reviews
    learnt = [model.encoder.get_weights() for model in models for _ in range(draws)]
    rows, entropy = [], keras.losses.BinaryCrossentropy(from_logits=True)
    for count in (min(count, len(train)) for count in labels):
        right = {name: [] for name in STARTS}
        bert = build_bert_classifier(MaskedLanguageModel(**sizes, seed=0), seed=(seed, 5))  # one trace for all runs
        bag, head = build_classifier("bag_of_words", sizes["vocabulary_size"]), bert.get_layer("head").get_weights()
        bert.compile(_falling(RATE, PASSES * -(-count // 32)), entropy, jit_compile=False)
        bag.compile(keras.optimizers.Adam(1e-2), entropy, jit_compile=False)
        classifiers, restarts = (bert, bert, bag), [training.restarter(each) for each in (bert, bag)]
        for run, start in enumerate(report.track(learnt, "fine-tuning")):
            fresh = MaskedLanguageModel(**sizes, seed=(seed, run, 6)).encoder.get_weights()
            chosen = np.random.default_rng((seed, run, 7)).permutation(train)[:count]
            weights = [*start, *head], [*fresh, *head], [np.zeros((sizes["vocabulary_size"], 1))]
            for name, classifier, begin in zip(STARTS, classifiers, weights, strict=True):
                restarts[classifier is bag](begin)
                fine_tune(classifier, ids[chosen], good[chosen], PASSES, seed=(seed, run))
                right[name].append((training.predict(classifier, ids[test])[:, 0] > 0) == good[test])
        shares = np.mean(list(right.values()), axis=1)  # (start, review)
        found = plots.mean_and_error(np.concatenate([shares, shares[:1] - shares[1:2]]).T)
        names = (*STARTS, "pre-trained minus from scratch")
        rows += [[count, *row] for row in zip(names, *(each.tolist() for each in found), strict=True)]
    report.table(f"unseen reviews, {len(test)}, and the error by their choice",
                 ["labels", "start", "share judged rightly", "standard error"], rows)  # fmt: skip
    return rows[-4:]


def _no_gain(report, rows, words):
    (count, _, one, _), (*_, other, _), (*_, bag, _), (*_, gain, error) = rows
    report.note(f"No winner is named unless two stand more than two errors apart. With {count} labels the preparation "
                f"changes the share by {gain:+.3f} ± {error:.3f}. The texts have {words} words, BERT's had 3.3 "
                "thousand million. What enough texts are worth is shown by masked_language_model, on texts whose law "
                "is known. The rate of both was chosen among three, on a fifth of the training reviews.")  # fmt: skip
    report.at_most("gain by the preparation, in standard errors", gain / error, 2.0, trained=True)
    report.correction("a pre-trained start", course="A pre-trained start is better.", correct="It is where there are "
                      "enough texts to learn from. Ten thousand sentences of reviews are too few.",
                      shown_by=f"{count} labels: {one:.3f} pre-trained, {other:.3f} from scratch, {bag:.3f} by a bag "
                      f"of words; the difference has an error of {error:.3f}")  # fmt: skip


def _draw(report, losses, gaps, rows):
    figure, (left, right) = plots.subplots(1, 2, figsize=(11.5, 4.4))
    plots.curves(np.arange(1, len(losses[0]) + 1), {"network, learning": np.mean(losses, axis=0)}, marker="o",
                 xlabel="epoch", ylabel="loss of a gap, nats", title="Gaps are filled", ax=left)  # fmt: skip
    for value, name, style in zip(gaps, ("frequencies of words", "network, unseen reviews"), ("--", ":"), strict=True):
        left.axhline(value, color="C1", linestyle=style, label=name)
    left.legend()
    counts, names, means, errors = zip(*rows[:3], strict=True)
    plots.bars(names, means, errors=errors, ylabel=f"share right after {counts[0]} labels",
               title="Reviews are not judged better", ax=right)  # fmt: skip
    right.set_ylim(0.5, None)
    report.figure("Gaps filled, and what it is worth", figure,
                  alt="Left: loss of a gap by epoch, falling below the line of word frequencies, and a line for unseen "
                  "reviews near its end. Right: three bars with error bars.")  # fmt: skip
