"""The form of written poems, causality of the model, the split by kinship, and errors."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter08.sequences import Vocabulary
from kerasnotes.chapter09.poetry import PoemModel, compose, split_by_kinship

CHARACTERS = "春江花月夜天地人山水"


@pytest.fixture(scope="module")
def model():
    return PoemModel(Vocabulary(CHARACTERS), characters_per_line=5, lines=4, units=6, embedding_size=4, seed=1)


def ids_of(seed, batch=3):
    return np.random.default_rng(seed).integers(2, 12, size=(batch, 20)).astype(np.int32)


def test_a_prediction_sees_only_what_stands_before(model):
    first, second = ids_of(0), ids_of(1)
    for step in (0, 1, 7, 19):
        mixed = np.concatenate([first[:, :step], second[:, step:]], axis=1)
        np.testing.assert_allclose(model(mixed)[:, : step + 1], model(first)[:, : step + 1], rtol=1e-5, atol=1e-6)
    assert float(tf.reduce_max(tf.abs(model(first)[:, 1] - model(second)[:, 1]))) > 1e-6
    np.testing.assert_allclose(
        model.logits_at(tf.constant(first), tf.constant(4)), model(first)[:, 4], rtol=1e-5, atol=1e-6
    )


def test_shapes_and_place(model):
    logits = model(np.full((2, 20), 3, np.int32))
    assert logits.shape == (2, 20, 12)
    assert float(tf.reduce_max(tf.abs(logits[:, 18] - logits[:, 19]))) > 1e-6  # the place counts, too


@settings(max_examples=8)
@given(st.integers(0, 1000), st.integers(1, 4), st.integers(1, 5), st.floats(0.2, 3.0))
def test_a_poem_has_the_asked_form(model, seed, lines, characters, temperature):
    poem = compose(model, "", lines, characters, temperature, seed)
    assert [len(line) for line in poem] == [characters] * lines
    assert set("".join(poem)) <= set(CHARACTERS)
    assert poem == compose(model, "", lines, characters, temperature, seed)


def test_beginnings_are_kept(model):
    assert [line[0] for line in compose(model, "山水人天", 4, 5)] == list("山水人天")
    poem = compose(model, ["春江花月夜", "天地"], 4, 5)
    assert poem[0] == "春江花月夜"
    assert poem[1].startswith("天地")


def test_draws_follow_the_model(model):
    """The first character of many poems is distributed as the model's probabilities over real characters."""
    logits = np.asarray(model(np.full((1, 20), 1, np.int32)), np.float64)[0, 0, 2:]
    want = np.exp(logits) / np.exp(logits).sum()
    drawn = [compose(model, "", 1, 1, 1.0, seed) for seed in range(400)]
    got = np.array([sum(poem == [c] for poem in drawn) for c in model.vocabulary.tokens[2:]]) / 400
    assert np.abs(got - want).max() < 4 * np.sqrt(0.25 / 400)


def test_a_low_temperature_takes_the_likeliest_and_a_high_one_any():
    loud = PoemModel(Vocabulary(CHARACTERS), characters_per_line=5, lines=1, units=6, embedding_size=4, seed=1)
    ids = np.full((1, 5), 1, np.int32)
    loud(ids)
    rng = np.random.default_rng(0)
    loud.set_weights([rng.normal(size=weight.shape) for weight in loud.get_weights()])
    likeliest = loud.vocabulary.tokens[2 + int(np.argmax(loud(ids).numpy()[0, 0, 2:]))]
    assert {compose(loud, "", 1, 1, 1e-3, seed)[0] for seed in range(20)} == {likeliest}
    assert len({compose(loud, "", 1, 1, 1e3, seed)[0] for seed in range(100)}) == len(CHARACTERS)


def test_sizes_by_default_and_dropout_in_training_only():
    model = PoemModel(Vocabulary(CHARACTERS))
    ids = np.full((2, 28), 3, np.int32)
    logits = model(ids)
    assert logits.shape == (2, 28, 12)
    assert (model.embedding.output_dim, model.place.input_dim, model.lstm.units) == (128, 28, 256)
    assert [drop.rate for drop in model.drop] == [0.3, 0.3]
    np.testing.assert_array_equal(model(ids), logits)
    assert not np.allclose(model(ids, training=True), logits)
    for table in (model.embedding, model.place):
        assert 0.095 < np.abs(table.embeddings).max() <= 0.1


def test_the_two_tables_start_from_draws_of_their_own():
    model = PoemModel(Vocabulary(CHARACTERS), embedding_size=4)  # 12 characters and 28 places
    model(np.full((1, 28), 3, np.int32))
    characters, places = (np.ravel(table.embeddings) for table in (model.embedding, model.place))
    assert not np.isclose(characters, places[: len(characters)]).any()


def poem(author, title, *lines):
    return SimpleNamespace(author=author, title=title, lines=lines)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 30)), min_size=1, max_size=30),
       st.integers(0, 100))  # fmt: skip
def test_kin_stay_together(numbers, seed):
    poems = [poem(f"a{a}", f"题{'甲乙丙丁戊己'[t]} 二首 一", f"l{line}", f"m{n}", "x" * (n + 40), f"o{n}")
             for n, (a, t, line) in enumerate(numbers)]  # fmt: skip
    parts = split_by_kinship(poems, (0.6, 0.4), seed)
    assert sorted(p.lines for part in parts for p in part) == sorted(p.lines for p in poems)
    lines, titles = (
        [{key(p) for p in part} for part in parts] for key in (lambda p: p.lines[0], lambda p: (p.author, p.title))
    )
    assert not lines[0] & lines[1]
    assert not titles[0] & titles[1]


def test_repeated_poems_are_kept_once_and_numbers_of_titles_do_not_count():
    poems = [poem("a", "咏烛二首 一", "1", "2", "3", "4"), poem("b", "x", "1", "2", "3", "4"),
             poem("a", "咏烛二首 二", "5", "6", "7", "8"), poem("c", "y", "9", "10", "11", "12")]  # fmt: skip
    for seed in range(6):
        parts = split_by_kinship(poems, (0.5, 0.5), seed)
        assert sum(map(len, parts)) == 3
        assert 2 in [sum(p.author == "a" for p in part) for part in parts]  # both of one title, in one part


def test_shares_are_met_when_nobody_is_kin():
    poems = [poem(str(i), "t", *(f"{i}-{k}" for k in range(4))) for i in range(1000)]
    assert [len(part) for part in split_by_kinship(poems, (0.9, 0.05, 0.05))] == [900, 50, 50]


def test_errors(model):
    with pytest.raises(ValueError, match="temperature: expected a positive number, got 0"):
        compose(model, "", temperature=0, characters_per_line=5)
    with pytest.raises(ValueError, match="lines: expected 1 to 4, as the model has learnt, got 5"):
        compose(model, "", lines=5, characters_per_line=5)
    with pytest.raises(ValueError, match="characters_per_line: expected 1 to 5, as the model has learnt, got 7"):
        compose(model, "")
    with pytest.raises(ValueError, match="first_characters: expected at most 4 beginnings"):
        compose(model, "春江花月夜", characters_per_line=5)
    with pytest.raises(ValueError, match="first_characters: expected at most 4 beginnings of at most 5 characters"):
        compose(model, ["春江花月夜天"], characters_per_line=5)
    with pytest.raises(ValueError, match="positive shares"):
        split_by_kinship([poem("a", "b", "c")], (1.0, 0.0))
    with pytest.raises(ValueError, match="lines: expected 1 to 4, as the model has learnt, got 0"):
        compose(model, "", lines=0, characters_per_line=5)
    with pytest.raises(ValueError, match="first_characters: expected characters of the vocabulary, got '龙'"):
        compose(model, "龙", characters_per_line=5)
    with pytest.raises(ValueError, match="units: expected a whole number of at least 1, got 0"):
        PoemModel(model.vocabulary, units=0)
    with pytest.raises(ValueError, match="poems, shares: expected poems"):
        split_by_kinship([], (1.0,))
    with pytest.raises(ValueError, match="positive shares"):
        split_by_kinship([poem("a", "b", "c")], (0.9, 0.2))
