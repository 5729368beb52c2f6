"""Recurrent networks read a review word by word, and do no better here than a bag of its words.

Is a sentence from a film review good or bad? Sentences have different lengths, so they are padded and masked. What the
reader should see: a network that keeps the order of words and one that throws it away are about as good on ten thousand
sentences, within the error of the measurement, so no winner is named; and which words moved the score.

Notes: chapter 09, "Sentiment analysis" (情感分析).
Source: Pang and Lee 2005, https://aclanthology.org/P05-1015 (sentences); Hutto and Gilbert 2014,
doi:10.1609/icwsm.v8i1.14550 (ratings); Wang and Manning 2012, https://aclanthology.org/P12-2018 (bags of words).
"""

from collections import Counter

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots, training
from kerasnotes.chapter08.sequences import Vocabulary, pad, split_words
from kerasnotes.parts import share, whole

CELLS = {"bag_of_words": "bag of words", "simple_rnn": "SimpleRNN", "gru": "GRU", "lstm": "LSTM",
         "bi_lstm": "LSTM, both ways"}  # fmt: skip

SMOKE = {"sentences": 300, "epochs": 1, "units": 4, "cells": ("bag_of_words", "lstm"), "seeds": 1}
FULL = {"seeds": 5}
SECONDS = 78


def build_classifier(cell, vocabulary_size, units=64, embedding_size=64, dropout=0.7, seed=0):
    """A model from padded sentences to one logit each, positive for good ones.

    Args:
        cell: "simple_rnn", "gru", "lstm" or "bi_lstm", whose states are averaged over the real words; or
            "bag_of_words", logistic regression on the counts of words.
        vocabulary_size: Number of ids; 0 is padding and is masked.
        units: Units of the recurrent layer, for each direction.
        embedding_size: Numbers for a word.
        dropout: Rate of dropout before and after the recurrent layer.
        seed: Seed of the start and of dropout.

    Returns:
        A Keras model from ids (batch, words) to logits (batch, 1).

    Raises:
        ValueError: If the cell is unknown, or a size is not positive.
    """
    if cell not in CELLS:
        raise ValueError(f"cell: expected one of {', '.join(CELLS)}, got {cell!r}")
    whole("vocabulary_size", vocabulary_size)
    whole("units", units)
    seeds = np.random.default_rng(seed).integers(2**31, size=6).tolist()
    ids = keras.Input((None,), dtype="int32")
    if cell == "bag_of_words":
        weights = keras.layers.Embedding(vocabulary_size, 1, embeddings_initializer="zeros")(ids)
        real = keras.ops.cast(ids != 0, "float32")[..., None]
        return keras.Model(ids, keras.ops.sum(weights * real, axis=1), name=cell)
    start = keras.initializers.RandomUniform(-0.1, 0.1, seed=seeds[0])
    x = keras.layers.Embedding(vocabulary_size, embedding_size, mask_zero=True, embeddings_initializer=start)(ids)
    x = keras.layers.Dropout(dropout, seed=seeds[1])(x)
    arguments = {
        "return_sequences": True,
        "kernel_initializer": keras.initializers.GlorotUniform(seeds[2]),
        "recurrent_initializer": keras.initializers.Orthogonal(seed=seeds[3]),
    }
    layer = {"simple_rnn": keras.layers.SimpleRNN, "gru": keras.layers.GRU}.get(cell, keras.layers.LSTM)
    layer = layer(units, **arguments)
    if cell == "bi_lstm":
        layer = keras.layers.Bidirectional(layer)
    x = keras.layers.GlobalAveragePooling1D()(layer(x))  # over the real words: it knows the mask
    x = keras.layers.Dropout(dropout, seed=seeds[4])(x)
    head = keras.layers.Dense(1, kernel_initializer=keras.initializers.GlorotUniform(seeds[5]))
    return keras.Model(ids, head(x), name=cell)


def families(keys):
    """Number the families of items: items that share a key are kin, and so are kin of kin.

    Args:
        keys: For each item, an iterable of hashable keys.

    Returns:
        Array (items,) of family numbers, from 0 on.
    """
    leader, seen = list(range(len(keys))), {}

    def find(i):
        while leader[i] != i:
            leader[i] = leader[leader[i]]
            i = leader[i]
        return i

    for i, own in enumerate(keys):
        for key in own:
            leader[find(i)] = find(seen.setdefault(key, i))
    return np.unique([find(i) for i in range(len(keys))], return_inverse=True)[1]


def deal_families(items, kin, limits, seed=0):
    """Deal items to parts, family by family in random order, so that no family stands in two parts.

    Args:
        items: The items, a list.
        kin: Family number of each item (items,), as `families` gives them.
        limits: How many items the parts hold up to and with each one: a part is full when that many are dealt. The
            last part takes what is left.
        seed: Seed of the order of families.

    Returns:
        A list of lists of items, one for each limit. The family that fills a part may exceed its limit.

    Raises:
        ValueError: If items and family numbers do not match, or there is no limit.
    """
    if len(items) != len(kin) or len(limits) == 0:
        raise ValueError(f"items, kin, limits: got {len(items)} items, {len(kin)} numbers and {len(limits)} limits")
    groups = {}
    for item, family in zip(items, kin, strict=True):
        groups.setdefault(int(family), []).append(item)
    parts, done = [[] for _ in limits], 0
    for family in np.random.default_rng(seed).permutation(len(groups)):
        parts[int(np.searchsorted(limits[:-1], done, side="right"))].extend(groups[int(family)])
        done += len(groups[int(family)])
    return parts


def near_duplicates(sentences, threshold=0.6):
    """Pairs of sentences that share most of their words.

    Args:
        sentences: Lists of words.
        threshold: Least share of common words among all words of the two, above 0 and at most 1.

    Returns:
        List of pairs `(i, j)` with i < j. Candidates are found by the five rarest words of a sentence, so that a pair
        without any of these in common is overlooked.

    Raises:
        ValueError: If the threshold is out of range.
    """
    share("threshold", threshold, low=False)
    sets = [frozenset(words) for words in sentences]
    counts = Counter(word for words in sets for word in words)
    places, pairs = {}, set()
    for i, words in enumerate(sets):
        candidates = set()
        for word in sorted(words, key=lambda word: (counts[word], word))[:5]:
            candidates.update(places.get(word, ()))
            places.setdefault(word, []).append(i)
        for j in candidates:
            if len(words & sets[j]) >= threshold * len(words | sets[j]):
                pairs.add((j, i))
    return sorted(pairs)


def example():
    """Four reviews, padded and masked, for an LSTM that reads both ways: as Keras documents it, and as built above."""
    reviews, good = ["a good film", "not good at all", "good fun for all", "a bad film"], [1, 0, 1, 0]
    vocabulary = Vocabulary([word for review in reviews for word in split_words(review)])
    ids = pad([vocabulary.encode(split_words(review)) for review in reviews])  # (reviews, words), zeros behind
    embedding = keras.layers.Embedding(len(vocabulary), 8, mask_zero=True)
    documented = keras.Sequential([embedding, keras.layers.Bidirectional(keras.layers.LSTM(8)), keras.layers.Dense(1)])
    for model in (documented, build_classifier("bi_lstm", len(vocabulary), 8, 8, dropout=0.2, seed=1)):
        model.compile(keras.optimizers.Adam(0.02), keras.losses.BinaryCrossentropy(from_logits=True))
        model.fit(ids, np.reshape(good, (-1, 1)), epochs=20, verbose=0)
        print("good or bad:", [f"{text} ({z:+.1f})" for text, (z,) in zip(reviews, model(ids).numpy(), strict=True)])


def lesson(
    report,
    *,
    cells: tuple[str, ...] = ("bag_of_words", "simple_rnn", "gru", "lstm", "bi_lstm"),
    sentences: int = 10072,
    epochs: int = 4,
    units: int = 48,
    max_words: int = 40,
    seeds: int = 3,
    seed: int = 0,
):
    """Train five readers on review sentences and compare them on sentences that none has seen.

    Args:
        report: The report to write to.
        cells: The readers (one of: bag_of_words, simple_rnn, gru, lstm, bi_lstm).
        sentences: Sentences to use, training and test (300 to 10072).
        epochs: Training epochs (1 to 1000).
        units: Units of the recurrent layers (1 to 1024).
        max_words: Words of a sentence that are read (5 to 60).
        seeds: Independent runs (1 to 20).
        seed: Seed of all random draws (0 to 4294967295).
    """
    texts, ratings = data.movie_reviews()
    clear = np.random.default_rng((seed, 1)).permutation(np.flatnonzero(np.abs(ratings) >= 0.5))[:sentences]
    words, labels = [split_words(texts[i]) for i in clear], (ratings[clear] > 0).astype(np.float32)
    train, test = _split(report, words, seed)
    vocabulary = Vocabulary([word for i in train for word in words[i]], 8000)
    ids = pad([vocabulary.encode(each)[:max_words] or [1] for each in words]).astype(np.int32)
    _mask(report, ids, len(vocabulary), seed)
    accuracies, models = {}, {}
    for cell in cells:
        work = report, cell, ids, labels, train, test, len(vocabulary), units, epochs, range(seeds), seed
        models[cell], accuracies[cell] = _train(*work)
    majority = max(labels[test].mean(), 1 - labels[test].mean())
    sampling = np.sqrt(0.78 * 0.22 / len(test))
    if "lstm" in cells:
        report.at_least("LSTM, test accuracy", got=np.mean(accuracies["lstm"]), bound=0.77, trained=True)
    networks = [np.mean(accuracies[cell]) for cell in cells if cell != "bag_of_words"]
    if networks and "bag_of_words" in cells:
        lead, two_errors = max(networks) - np.mean(accuracies["bag_of_words"]), 2 * np.sqrt(2) * sampling
        report.at_most("best network's lead over the bag, within 2 standard errors", lead, two_errors, trained=True)
    rows = [[cell, models[cell].count_params(), *plots.mean_and_error(values)] for cell, values in accuracies.items()]
    title = f"{len(test)} unseen sentences, {seeds} run{'s'[: seeds > 1]}"
    report.table(title, ["reader", "parameters", "accuracy", "standard error over runs"], rows)
    report.note(
        f"The test set alone leaves a standard error of {sampling:.3f}, so no winner is named. Always answering "
        f"“{'good' if labels[test].mean() >= 0.5 else 'bad'}” is right in {majority:.3f}. Rate, dropout and epochs "
        "were chosen on a fifth of the training sentences, among seven settings."
    )
    shown = models["lstm" if "lstm" in cells else cells[0]]
    _moved(report, shown, words, vocabulary, test, max_words, accuracies, majority)


def _train(report, cell, ids, labels, train, test, vocabulary_size, units, epochs, runs, seed):
    """Train one kind of reader several times. Returns the model with the first run's weights, and the accuracies."""
    model = build_classifier(cell, vocabulary_size, units, units, seed=(seed, 0))
    bag = cell == "bag_of_words"
    rate = 1e-2 if bag else keras.optimizers.schedules.CosineDecay(6e-3, epochs * -(-len(train) // 64))
    optimizer = keras.optimizers.Adam(rate, global_clipnorm=None if bag else 1.0)
    model.compile(optimizer, keras.losses.BinaryCrossentropy(from_logits=True))
    restart, accuracies, first = training.restarter(model), [], None
    for run in runs:
        fresh = build_classifier(cell, vocabulary_size, units, units, seed=(seed, run))
        restart(fresh.get_weights())
        for mine, other in zip(model.non_trainable_variables, fresh.non_trainable_variables, strict=True):
            mine.assign(other)  # the states of dropout's random numbers
        training.fit(model, ids[train], labels[train, None], batch_size=64, epochs=epochs, seed=seed + run,
                     track=report.track)  # fmt: skip
        accuracies.append(np.mean((training.predict(model, ids[test])[:, 0] > 0) == labels[test]))
        first = first or model.get_weights()
    model.set_weights(first)
    return model, accuracies


def _split(report, words, seed):
    """Four fifths for training, one fifth for testing; near-duplicates stay together."""
    pairs = near_duplicates(words)
    keys = [[("alone", i)] for i in range(len(words))]
    for number, (i, j) in enumerate(pairs):
        keys[i].append(number)
        keys[j].append(number)
    family = families(keys)
    order = np.random.default_rng((seed, 2)).permutation(family.max() + 1)
    in_test = np.isin(family, order[: len(order) // 5])
    torn = sum(in_test[i] != in_test[j] for i, j in pairs)
    report.check("pairs of near-duplicates with one in each part", got=torn, want=0)
    careless = np.random.default_rng((seed, 3)).permutation(len(words)) < len(words) // 5
    torn = sum(careless[i] != careless[j] for i, j in pairs)
    report.note(f"{len(pairs)} pairs of sentences share 60 % of their words; a careless split would tear {torn} apart.")
    return np.flatnonzero(~in_test), np.flatnonzero(in_test)


def _mask(report, ids, vocabulary_size, seed):
    """Padding must not change what a network says."""
    short, longer = ids[:20, :12], np.pad(ids[:20, :12], ((0, 0), (0, 5)))
    worst = 0.0
    for cell in ("bag_of_words", "lstm", "bi_lstm"):
        model = build_classifier(cell, vocabulary_size, 4, 4, seed=seed)
        worst = max(worst, float(tf.reduce_max(tf.abs(model(short) - model(longer)))))
    report.at_most("largest change of a logit by five words of padding", got=worst, bound=1e-6)


def _moved(report, model, words, vocabulary, test, max_words, accuracies, majority):
    """Which words moved the score: leave each out in turn."""
    chosen = [i for i in test if 5 <= len(words[i]) <= 12]  # short ones, for the figure, with few unknown words
    chosen = sorted(chosen, key=lambda i: vocabulary.encode(words[i]).count(1))[:200]
    logits = training.predict(model, pad([vocabulary.encode(words[i]) for i in chosen]).astype(np.int32))[:, 0]
    extremes = [chosen[int(np.argmax(logits))], chosen[int(np.argmin(logits))]]
    figure, (left, *others) = plots.subplots(1, 3, figsize=(13, 4.4), width_ratios=(1.1, 1, 1))
    pairs = [plots.mean_and_error(values) for values in accuracies.values()]
    means, error = zip(*((m, max(e, np.sqrt(m * (1 - m) / len(test)))) for m, e in pairs), strict=True)
    rows = np.arange(len(means))
    left.errorbar(means, rows, xerr=error, fmt="o", capsize=4)
    left.set_yticks(rows, [CELLS[cell] for cell in accuracies])
    left.axvline(majority, color="gray", linestyle=":", label="always one answer")
    left.legend(loc="lower left")
    left.set(xlabel="test accuracy ± standard error", ylim=(len(rows) - 0.5, -0.5))
    left.set_title("Order helps little here")
    for ax, i in zip(others, extremes, strict=True):
        ids = vocabulary.encode(words[i])[:max_words]
        without = pad([ids, *([*ids[:k], *ids[k + 1 :]] for k in range(len(ids)))]).astype(np.int32)
        scores = training.predict(model, without)[:, 0]
        moved = scores[0] - scores[1:]
        ax.barh(np.arange(len(ids)), moved, color=["C0" if value >= 0 else "C1" for value in moved])
        ax.set_yticks(np.arange(len(ids)), words[i])
        ax.invert_yaxis()
        ax.set(xlabel="change of the logit by the word")
        ax.set_title(f"Score {scores[0]:+.1f}")
    report.figure("accuracies, and words that moved the score", figure, alt="Left: accuracies of the readers with "
                  "overlapping error bars. Middle and right: the sentence with the highest and the one with the lowest "
                  "score, and by how much each word moved it.")  # fmt: skip
