"""The character model's perplexity and what it writes, against other computations."""

import math

import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter08 import counting_models, language_model, stateful_training
from kerasnotes.chapter08.language_model import CharacterModel, generate, perplexity


@pytest.fixture(scope="module")
def model():
    return CharacterModel(5, 4, seed=1)


def log_loss(logits, targets):
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return np.log(np.exp(shifted).sum(axis=-1)) - shifted[np.arange(len(targets)), targets]


def test_perplexity_is_the_mean_log_loss_whatever_the_steps(model):
    ids = np.random.default_rng(0).integers(0, 5, 23)
    want = math.exp(log_loss(model(ids[None, :-1]).numpy()[0], ids[1:]).mean())
    for steps in (7, 22, 100):
        assert perplexity(model, ids, steps) == pytest.approx(want, rel=1e-5)


def test_equal_logits_have_the_perplexity_of_the_vocabulary():
    flat = CharacterModel(7, 3, seed=0)
    flat.head.kernel.assign(tf.zeros((3, 7)))
    assert perplexity(flat, np.arange(7), 6) == pytest.approx(7.0, rel=1e-5)


def test_characters_are_drawn_at_the_temperature():
    flat = CharacterModel(3, 2, seed=0)
    flat.head.kernel.assign(tf.zeros((2, 3)))
    probabilities = np.array([0.2, 0.3, 0.5])
    flat.head.bias.assign(np.log(probabilities))
    for temperature in (0.5, 1.0, 2.0):
        want = probabilities ** (1 / temperature)
        want /= want.sum()
        shares = np.bincount(generate(flat, [0], 2000, temperature, seed=4), minlength=3) / 2000
        assert np.abs(shares - want).max() < 5 * 0.5 / math.sqrt(2000)  # five standard errors


def test_generation_reads_the_prefix_and_its_own_output(model):
    written = generate(model, [1, 2, 3], 6, temperature=1e-4, seed=0)  # nearly always the likeliest character
    ids = [1, 2, 3]
    for character in written:
        assert character == int(np.argmax(model(np.array([ids]))[0, -1]))
        ids.append(int(character))
    np.testing.assert_array_equal(generate(model, [1], 9, 1.0, 3), generate(model, [1], 9, 1.0, 3))
    assert not np.array_equal(generate(model, [1], 20, 1.0, 3), generate(model, [1], 20, 1.0, 4))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: perplexity(m, [1]), "ids: expected at least 2 integers"),
        (lambda m: perplexity(m, [1, 5]), "ids: expected ids from 0 to vocabulary_size - 1, got 1 to 5"),
        (lambda m: perplexity(m, [1, 2], 0), "steps: expected a whole number of at least 1, got 0"),
        (lambda m: generate(m, [], 3), "prefix: expected at least 1 integers"),
        (lambda m: generate(m, [-1], 3), "prefix: expected ids from 0"),
        (lambda m: generate(m, [1], 0), "length: expected a whole number of at least 1, got 0"),
        (lambda m: generate(m, [1], 3, temperature=0.0), "temperature: expected a positive number, got 0.0"),
    ],
)
def test_bad_arguments_are_refused(model, call, message):
    with pytest.raises(ValueError, match=message):
        call(model)


def test_names_stay_where_they_were():
    for name in ("CharacterModel", "stateful_batches", "training_function"):
        assert getattr(language_model, name) is getattr(stateful_training, name)
    for name in ("interpolation_weights", "ngram_probabilities"):
        assert getattr(language_model, name) is getattr(counting_models, name)
