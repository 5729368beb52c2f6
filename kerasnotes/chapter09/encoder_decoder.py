"""One network reads a sentence, another writes the answer; all that passes between them is two vectors.

The encoder turns a sentence of any length into the last states of an LSTM. The decoder writes from them, word by word,
and reads every word that it has written. What the reader should see: writing step by step gives the numbers of
training, where the right words are read; padding changes nothing; and a small pair of networks learns to write the
digits of a number from the last to the first, for numbers that it has never seen.

Notes: chapter 09, "Encoder and decoder" (编码器与解码器).
Source: Sutskever, Vinyals, Le 2014, arXiv:1409.3215 (context as the first state); Cho et al. 2014, arXiv:1406.1078
(context at every step); Williams and Zipser 1989, doi:10.1162/neco.1989.1.2.270 (teacher forcing).
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots, training
from kerasnotes.parts import shape, whole

SMOKE = {"samples": 200, "units": 4, "epochs": 1}
SECONDS = 10

PAD, UNSEEN = 0, 1  # ids of chapter 08's vocabulary
GO, STOP = 2, 3  # around the lesson's numbers; digit d has the id 4 + d
CONTEXTS = ("initial_state", "every_step")


class Encoder(keras.layers.Layer):
    """Reads sentences, ids (batch, steps) with zeros behind the last word, and returns the context.

    The context is the pair `(h, c)`, each (batch, units): the LSTM's states after the last word. Padding is masked.

    Args:
        vocabulary_size: Number of ids, padding included.
        units: Units of the LSTM, which are half of the context.
        embedding_size: Numbers for a word, or None for half of the units.
        seed: Seed of the initial weights, or None.
    """

    def __init__(self, vocabulary_size, units, embedding_size=None, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.embedding, self.lstm = _reader(vocabulary_size, units, embedding_size, 0, seed)
        self.built = True

    def call(self, source):
        _sentences("source", source)
        _, h, c = self.lstm(self.embedding(source), mask=source != PAD)  # each state (batch, units)
        return h, c


class Decoder(keras.layers.Layer):
    """Reads words and gives logits of the word that follows each: `decoder(tokens, context, state=None)`.

    `tokens` are ids (batch, steps), `context` is what the encoder returned, and `state` what an earlier call returned,
    or None at the beginning of a sentence. The result is `(logits, state)`: (batch, steps, vocabulary_size), and the
    pair `(h, c)` after the last word, from which the sentence can be continued.

    Args:
        vocabulary_size: Number of ids, padding included.
        units: Units of the LSTM; with "initial_state" as many as the encoder's.
        context: "initial_state": the context is the first state (Sutskever et al. 2014). "every_step": the first state
            is zero, and the context's h is a further input at every step (as in Cho et al. 2014).
        context_size: Units of the encoder, or None for as many as here.
        embedding_size: Numbers for a word, or None for half of the units.
        seed: Seed of the initial weights, or None.
    """

    def __init__(self, vocabulary_size, units, context="initial_state", context_size=None, embedding_size=None,
                 seed=None, **kwargs):  # fmt: skip
        super().__init__(**kwargs)
        if context not in CONTEXTS:
            raise ValueError(f"context: expected one of {', '.join(CONTEXTS)}, got {context!r}")
        self.units, self.context = units, context
        self.context_size = units if context_size is None else context_size
        if context == "initial_state" and self.context_size != units:
            raise ValueError(f"context_size: expected {units} as units, for a first state, got {context_size!r}")
        further = self.context_size if context == "every_step" else 0
        self.embedding, self.lstm = _reader(vocabulary_size, units, embedding_size, further, seed)
        last = None if seed is None else seed + 1
        self.head = keras.layers.Dense(vocabulary_size, kernel_initializer=keras.initializers.GlorotUniform(last))
        self.head.build((None, None, units))
        self.built = True

    def call(self, tokens, context, state=None):
        _sentences("tokens", tokens)
        for part in context:
            shape("context", part, tokens.shape[0], self.context_size)
        x = self.embedding(tokens)  # (batch, steps, embedding)
        if self.context == "every_step":
            repeated = tf.repeat(context[0][:, None], tf.shape(tokens)[1], axis=1)  # (batch, steps, context)
            x = tf.concat([x, repeated], axis=-1)
        elif state is None:
            state = context
        outputs, h, c = self.lstm(x, mask=tokens != PAD, initial_state=None if state is None else list(state))
        return self.head(outputs), (h, c)


class Seq2Seq(keras.Model):
    """An encoder and a decoder with teacher forcing: `model((source, target_in))` gives logits of the next words.

    `target_in` is the right translation with the start token before it, whatever the model would have written itself.

    Args:
        encoder: An `Encoder`.
        decoder: A `Decoder` for contexts of the encoder's size.
    """

    def __init__(self, encoder, decoder):
        super().__init__()
        if encoder.units != decoder.context_size:
            raise ValueError(
                f"encoder, decoder: expected a context of {decoder.context_size} units, got {encoder.units}"
            )
        self.encoder, self.decoder = encoder, decoder
        self.built = True

    def call(self, inputs):
        source, target_in = inputs
        return self.decoder(target_in, self.encoder(source))[0]  # (batch, steps, vocabulary)


def greedy_decode(model, source, start, end, max_length):
    """Translate: read the source, then write the likeliest word, read it, and so on until the end token.

    Args:
        model: A `Seq2Seq`.
        source: Ids (batch, steps), with zeros behind the last word.
        start, end: Ids of the tokens that begin and end a translation.
        max_length: Most words to write, the end token included.

    Returns:
        Array (batch, max_length), int32: the words, the end token if the model wrote it, then zeros.

    Raises:
        ValueError: If an id or a shape does not fit, or `max_length` is not positive.
    """
    source = tf.convert_to_tensor(source)
    whole("max_length", max_length)
    size = model.decoder.head.units
    for name, token in (("start", start), ("end", end)):
        if not 0 < token < size:
            raise ValueError(f"{name}: expected an id from 1 to {size - 1}, got {token!r}")
    context, state = model.encoder(source), None  # read
    ids = np.zeros((source.shape[0], max_length), np.int32)
    words, ended = np.full(source.shape[0], start, np.int32), np.zeros(source.shape[0], bool)
    for step in range(max_length):
        # Write the likeliest word, and read it at the next step.
        logits, state = model.decoder(tf.constant(words[:, None]), context, state)  # (batch, 1, vocabulary)
        words = np.where(ended, PAD, likeliest(logits)[:, 0])
        ids[:, step] = words
        ended |= words == end
        if ended.all():
            break
    return ids


def likeliest(logits):
    """The id of the largest logit (..., vocabulary), padding left out; array (...), int32."""
    return np.argmax(np.asarray(logits)[..., PAD + 1 :], axis=-1).astype(np.int32) + PAD + 1


def sentence_loss():
    """Cross-entropy from logits, the mean over real words: padding, id 0, is left out."""
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=PAD)


def _reader(vocabulary_size, units, embedding_size, further, seed):
    """An embedding and an LSTM behind it, both built."""
    whole("units", units)
    embedding_size = max(1, units // 2) if embedding_size is None else embedding_size
    whole("vocabulary_size", vocabulary_size, 2)
    whole("embedding_size", embedding_size)
    embedding = keras.layers.Embedding(
        vocabulary_size, embedding_size, embeddings_initializer=keras.initializers.RandomUniform(-0.5, 0.5, seed=seed)
    )
    lstm = keras.layers.LSTM(
        units, return_sequences=True, return_state=True,
        kernel_initializer=keras.initializers.GlorotUniform(seed),
        recurrent_initializer=keras.initializers.Orthogonal(seed=seed),
    )  # fmt: skip
    embedding.build()
    lstm.build((None, None, embedding_size + further))
    return embedding, lstm


def _sentences(name, ids):
    """Keras would cut fractions off without a word."""
    shape(name, ids, None, None)
    if 0 in ids.shape or not tf.as_dtype(ids.dtype).is_integer:
        raise ValueError(f"{name}: expected whole numbers, not empty, got {ids.dtype} of shape {tuple(ids.shape)}")


def example():
    """Read three ids, and write the likeliest answer of a network that has learnt nothing yet."""
    model = Seq2Seq(Encoder(vocabulary_size=9, units=8, seed=1), Decoder(vocabulary_size=7, units=8, seed=2))
    source = tf.constant([[4, 5, 6, 0], [8, 0, 0, 0]])  # (batch, steps), zeros behind the last word
    written = greedy_decode(model, source, start=2, end=3, max_length=5)
    print("written:           ", written.tolist())

    read = np.concatenate([[[2], [2]], written[:, :-1]], axis=1)  # the start token, and what was written
    print("by teacher forcing:", likeliest(model((source, read))).tolist())
    h, c = model.encoder(source)
    table, *weights = model.encoder.get_weights()
    layer = keras.layers.LSTM(8, return_state=True)
    layer.build((None, None, table.shape[1]))
    layer.set_weights(weights)
    _, keras_h, keras_c = layer(table[source], mask=source != 0)
    print("largest difference from layers.LSTM:", float(tf.reduce_max(tf.abs(h - keras_h) + tf.abs(c - keras_c))))


def lesson(report, *, samples: int = 5000, digits: int = 5, units: int = 64, epochs: int = 10, seed: int = 0):
    """Compare one step at a time with teacher forcing, then teach a small pair of networks to turn numbers round.

    Args:
        report: The report to write to.
        samples: Numbers to train on (100 to 9000).
        digits: Most digits of a number (4 to 6).
        units: Units of the encoder and of the decoder (1 to 1024).
        epochs: Training epochs (1 to 1000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    sentences = _numbers(samples + 500, digits, seed)
    _step_by_step(report, *(ids[:8] for ids in sentences), seed)
    _turn_round(report, *sentences, samples, units, epochs, seed)


def _numbers(count, digits, seed):
    """Different numbers as ids, and the same turned round, behind a start and before an end token."""
    numbers = [str(n) for n in np.random.default_rng((seed, 1)).permutation(10**digits)[:count]]
    source, target_in, target_out = (np.zeros((count, digits + more), np.int32) for more in (0, 1, 1))
    for row, number in enumerate(numbers):
        ids = [4 + int(digit) for digit in number]
        source[row, : len(ids)] = ids
        target_in[row, : len(ids) + 1] = [GO, *ids[::-1]]
        target_out[row, : len(ids) + 1] = [*ids[::-1], STOP]
    return source, target_in, target_out


def _build(units, context, seed):
    a, b = np.random.default_rng((seed, 2)).integers(2**30, size=2).tolist()
    return Seq2Seq(Encoder(14, units, seed=a), Decoder(14, units, context, seed=b))


def _step_by_step(report, source, target_in, target_out, seed, units=16):
    """What holds before any training."""
    real = target_in != PAD
    for context in CONTEXTS:
        model = _build(units, context, seed)
        forced = model((source, target_in)).numpy()
        encoded, state, single = model.encoder(source), None, []
        for t in range(forced.shape[1]):
            logits, state = model.decoder(target_in[:, t : t + 1], encoded, state)
            single.append(logits[:, 0].numpy())
        label = f"{context}: one step at a time, the logits are those of teacher forcing"
        report.check(label, got=np.stack(single, axis=1)[real], want=forced[real], atol=1e-5)
        padded = model([np.pad(ids, ((0, 0), (0, 7))) for ids in (source, target_in)]).numpy()[:, : forced.shape[1]]
        report.check(f"{context}: seven more zeros leave the logits", got=padded[real], want=forced[real], atol=1e-6)
        other = model((source[::-1], target_in)).numpy()
        change = float(np.abs(other - forced)[real].max())
        report.at_least(f"{context}: other sources change the logits by", got=change, bound=1e-5)
    log_p = tf.math.log_softmax(forced).numpy()
    want = -np.take_along_axis(log_p, target_out[..., None], axis=-1)[target_out != PAD].mean()
    report.check("the loss is the mean over real words only", got=sentence_loss()(target_out, forced), want=want)


def _turn_round(report, source, target_in, target_out, samples, units, epochs, seed):
    """Train with teacher forcing, and look after every epoch at what is written without it."""
    model = _build(units, "initial_state", seed)
    steps = epochs * -(-samples // 50)
    rate = keras.optimizers.schedules.CosineDecay(1e-2, steps, 0.01)
    model.compile(keras.optimizers.Adam(rate, global_clipnorm=1.0), sentence_loss())
    asked, wanted = source[samples:], target_out[samples:]
    real = wanted != PAD
    shares = {"after the right digits": [], "after its own digits": []}

    def look(epoch, logs=None):
        forced = likeliest(model((asked, target_in[samples:])))
        own = greedy_decode(model, asked, GO, STOP, wanted.shape[1])
        for values, written in zip(shares.values(), (forced, own), strict=True):
            values.append(100 * np.mean(written[real] == wanted[real]))

    watch = keras.callbacks.LambdaCallback(on_epoch_end=look)
    training.fit(model, (source[:samples], target_in[:samples]), target_out[:samples], batch_size=50, epochs=epochs,
                 seed=seed, callbacks=[watch], track=report.track)  # fmt: skip
    own = greedy_decode(model, asked, GO, STOP, wanted.shape[1])
    right = np.all((own == wanted) | ~real, axis=1)
    label = f"of {len(asked)} numbers never seen, the share turned round without a mistake"
    report.at_least(label, got=right.mean(), bound=0.9, trained=True)
    axes = {"xlabel": "epoch", "ylabel": "digits right, %", "title": "Numbers never seen"}
    figure = plots.curves(np.arange(1, epochs + 1), shares, marker="o", **axes)
    alt = (
        "Share of right digits by epoch, written after the right digits and after the network's own: both climb to 100."
    )
    report.figure("turning numbers round", figure, alt=alt)
    texts = [["".join(str(i - 4) for i in ids if i > STOP) for ids in part[:10]] for part in (asked, own)]
    rows = [[*row, bool(good)] for *row, good in zip(*texts, right[:10], strict=True)]
    report.table("ten numbers that were never seen", ["number", "written", "right"], rows)
