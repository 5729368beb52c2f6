import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import OneHotEncoder

from kerasnotes.chapter08.sequences import (
    PADDING,
    UNKNOWN,
    Vocabulary,
    embedding_lookup,
    embedding_product,
    mask,
    one_hot,
    pad,
    split_words,
)

few = settings(max_examples=25, deadline=None)
seeds = st.integers(0, 2**32 - 1)
words = st.lists(st.text("abcd", min_size=1, max_size=2), min_size=1, max_size=60)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It isn't so.", ["it", "isn't", "so", "."]),
        ("_Very_ well-bred!", ["very", "well", "-", "bred", "!"]),
        ("Où? 床前明月光，", ["où", "?", "床前明月光", "，"]),
        (" \n", []),
    ],
)
def test_split_words(text, expected):
    assert split_words(text) == expected


@few
@given(words)
def test_vocabulary_keeps_what_it_knows_and_sorts_by_frequency(tokens):
    vocabulary = Vocabulary(tokens)
    assert vocabulary.decode(vocabulary.encode(tokens)) == tokens
    assert len(vocabulary) == len(set(tokens)) + 2
    expected = sorted(set(tokens), key=lambda token: (-tokens.count(token), tokens.index(token)))
    assert vocabulary.tokens == ["<pad>", "<unk>", *expected]
    assert vocabulary.encode(expected) == list(range(2, len(vocabulary)))


def test_vocabulary_by_hand():
    vocabulary = Vocabulary(["to", "be", "or", "not", "to", "be", "to"], max_tokens=4)
    assert vocabulary.tokens == ["<pad>", "<unk>", "to", "be"]
    ids = vocabulary.encode(["be", "or", "to", "unseen"])
    assert ids == [3, UNKNOWN, 2, UNKNOWN]
    assert all(type(number) is int for number in ids)
    assert vocabulary.decode(np.array([3, 1, 0])) == ["be", "<unk>", "<pad>"]
    assert vocabulary.encode([]) == []
    assert Vocabulary("abba").encode("ab?") == [2, 3, UNKNOWN]  # a text is a sequence of characters


def test_vocabulary_equals_text_vectorization_where_counts_differ():
    tokens = [word for number, word in enumerate(["the", "cat", "sat", "on", "a", "mat"], 1) for _ in range(number)]
    layer = keras.layers.TextVectorization(max_tokens=6, standardize=None, split=None)
    layer.adapt(np.array(tokens))
    vocabulary = Vocabulary(tokens, max_tokens=6)
    assert vocabulary.tokens[2:] == [str(token) for token in layer.get_vocabulary()[2:]]
    assert vocabulary.encode(tokens) == layer(np.array(tokens)[:, np.newaxis]).numpy()[:, 0].tolist()


@few
@given(seeds, st.lists(st.integers(1, 4), max_size=3), st.integers(1, 9))
def test_one_hot_equals_tensorflow_and_scikit_learn(seed, shape, size):
    ids = np.random.default_rng(seed).integers(size, size=shape)
    vectors = one_hot(ids, size).numpy()
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, tf.one_hot(ids, size))
    encoder = OneHotEncoder(categories=[range(size)], sparse_output=False)
    np.testing.assert_array_equal(vectors.reshape(-1, size), encoder.fit_transform(ids.reshape(-1, 1)))


@few
@given(seeds, st.integers(1, 4), st.integers(1, 5), st.integers(1, 9), st.integers(1, 4))
def test_embeddings_equal_keras_in_output_and_gradient(seed, batch, steps, size, features):
    rng = np.random.default_rng(seed)
    ids, upstream = rng.integers(size, size=(batch, steps)), rng.normal(size=(batch, steps, features))
    layer = keras.layers.Embedding(size, features)
    layer.build()
    table = layer.embeddings.value
    results = []
    for embed in (layer, lambda ids: embedding_product(ids, table), lambda ids: embedding_lookup(ids, table)):
        with tf.GradientTape() as tape:
            output = embed(ids)
            value = tf.reduce_sum(tf.cast(upstream, tf.float32) * output)
        results.append((output, tf.convert_to_tensor(tape.gradient(value, table))))
    for result in results[1:]:
        np.testing.assert_allclose(result[0], results[0][0], atol=1e-6)
        np.testing.assert_allclose(result[1], results[0][1], atol=1e-5)


def test_embeddings_work_in_compiled_code():
    table = tf.constant([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    for embed in (embedding_product, embedding_lookup):
        compiled = tf.function(lambda ids, embed=embed: embed(ids, table))
        np.testing.assert_array_equal(compiled(tf.constant([2, 0])), [[5, 6], [1, 2]])


@few
@given(st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=6), min_size=1, max_size=5), st.integers(-1, 0))
def test_pad_and_mask_equal_keras(sequences, value):
    padded = pad(sequences, value=value)
    assert padded.dtype == np.int32
    np.testing.assert_array_equal(padded, keras.utils.pad_sequences(sequences, padding="post", value=value))
    real = mask(padded, value=value)
    assert real.dtype == bool
    assert real.sum(axis=1).tolist() == [len(sequence) for sequence in sequences]
    assert [row[seen].tolist() for row, seen in zip(padded, real, strict=True)] == sequences
    if value == PADDING:
        np.testing.assert_array_equal(real, keras.layers.Embedding(10, 2, mask_zero=True).compute_mask(padded))
        assert tf.is_tensor(mask(tf.constant(padded)))
        np.testing.assert_array_equal(mask(tf.constant(padded)), real)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int32, np.int64, np.uint16])
def test_ids_of_any_integer_type_and_large_vocabularies(dtype):
    ids, table = np.array([[3, 100]], dtype), np.random.default_rng(0).normal(size=(300, 2)).astype(np.float32)
    np.testing.assert_array_equal(one_hot(ids, 300), tf.one_hot(ids.astype(int), 300))
    for embed in (embedding_product, embedding_lookup):
        np.testing.assert_allclose(embed(ids, table), table[ids.astype(int)])


@pytest.mark.parametrize("dtype", [tf.float16, tf.float32, tf.float64])
def test_embeddings_keep_the_tables_type(dtype):
    table = tf.cast([[1.0, 2.0], [3.0, 4.0]], dtype)
    for embed in (embedding_product, embedding_lookup):
        for run in (embed, tf.function(embed, jit_compile=True)):
            vectors = run(tf.constant([1, 0]), table)
            assert vectors.dtype == dtype
            np.testing.assert_array_equal(vectors, [[3, 4], [1, 2]])
        unknown = tf.function(
            lambda ids, embed=embed, table=table: embed(ids, table),
            input_signature=[tf.TensorSpec((None, None), tf.int32)],
        )
        assert unknown(tf.constant([[1, 0]])).shape == (1, 2, 2)


def test_pad_keeps_fractions():
    padded = pad([[0.5], [1, 2]])
    assert padded.dtype == np.float32
    np.testing.assert_array_equal(padded, [[0.5, 0], [1, 2]])
    np.testing.assert_array_equal(pad([[1], [1, 2]], value=0.5), [[1, 0.5], [1, 2]])


@pytest.mark.parametrize("cell", [keras.layers.SimpleRNN, keras.layers.GRU])
def test_masked_padding_leaves_the_last_state(cell):
    layer, table = cell(3), np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32)
    sequences = [[2, 3, 4], [5]]
    padded = pad(sequences)
    together = layer(embedding_lookup(padded, table), mask=mask(padded))
    for sequence, state in zip(sequences, together, strict=True):
        np.testing.assert_allclose(layer(embedding_lookup([sequence], table))[0], state, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Vocabulary([]), "tokens: expected at least one"),
        (lambda: Vocabulary(["a", "<pad>"]), "tokens: .*got 2 different"),
        (lambda: Vocabulary(["<unk>"]), "tokens: expected at least one"),
        (lambda: Vocabulary(["a"], max_tokens=2), "max_tokens: expected at least 3.*got 2"),
        (lambda: Vocabulary(["a"]).decode([3]), "ids: expected ids from 0 to 2, got 3"),
        (lambda: Vocabulary(["a"]).decode([-1]), "ids: expected ids from 0 to 2, got -1"),
        (lambda: one_hot([0, 3], 3), "ids: expected ids from 0 to 2, got 0 to 3"),
        (lambda: one_hot([-1], 3), "ids: expected ids from 0 to 2, got -1"),
        (lambda: one_hot(np.zeros(0, int), 3), "ids: expected ids from 0 to 2, got none"),
        (lambda: one_hot([0.5], 3), "ids: expected integers, got float32"),
        (lambda: one_hot([0], 0), "size: expected a whole number of at least 1, got 0"),
        (lambda: embedding_lookup([4], np.zeros((4, 2))), "ids: expected ids from 0 to 3, got 4"),
        (lambda: embedding_product([4], np.zeros((4, 2))), "ids: expected ids from 0 to 3, got 4"),
        (lambda: pad([]), "sequences: expected at least one sequence, got none"),
        (lambda: pad([[1], []]), r"sequences\[1\]: expected a list of numbers, not empty"),
        (lambda: pad([[[1]]]), r"sequences\[0\]: expected a list of numbers"),
        (lambda: pad([["a"]]), r"sequences\[0\]: expected a list of numbers"),
        (lambda: mask([1, 0]), r"padded: expected the shape \(batch, steps\), got \(2,\)"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()
