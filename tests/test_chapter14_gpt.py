"""GPT: chapter 13's blocks, later tokens, kept keys, token shift, losses of long texts, writing; every error."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter13.attention import causal_mask
from kerasnotes.chapter13.transformer_block import EncoderBlock
from kerasnotes.chapter14.gpt import Cache, CausalBlock, Gpt, generate, token_losses


def random_weights(model, seed):
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(size=weight.shape) / 2 for weight in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def model():
    return random_weights(Gpt(11, 8, 2, 12, layers=2, context=10), 1)


@pytest.fixture(scope="module")
def shifted():
    return random_weights(Gpt(11, 8, 2, 12, layers=2, context=10, token_shift=True), 2)


IDS = np.random.default_rng(0).integers(11, size=(3, 10))


@pytest.mark.parametrize("seed", range(3))
def test_a_block_is_chapter_13s_with_a_causal_mask(seed):
    rng = np.random.default_rng(seed)
    ours, theirs = CausalBlock(6, 3, 7), EncoderBlock(6, 3, 7)
    random_weights(ours, seed)
    theirs.set_weights(ours.get_weights())
    x = tf.constant(rng.normal(size=(2, 5, 6)), tf.float32)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        a, b = ours(x)[0], theirs(x, attention_mask=causal_mask(5))
        losses = [tf.reduce_sum(tf.sin(each)) for each in (a, b)]
    np.testing.assert_allclose(a, b, atol=1e-5)
    values = [[weight.value for weight in block.weights] for block in (ours, theirs)]
    for got, want in zip(tape.gradient(losses[0], [x, *values[0]]), tape.gradient(losses[1], [x, *values[1]]),
                         strict=True):  # fmt: skip
        np.testing.assert_allclose(got, want, atol=1e-4)


def test_token_shift_by_hand():
    block = random_weights(CausalBlock(4, 1, 3), 5)
    plain = random_weights(CausalBlock(4, 1, 3), 5)
    block.token_shift = True
    x = tf.constant(np.random.default_rng(1).normal(size=(1, 3, 4)), tf.float32)
    asked = []
    for each in (block, plain):
        each.heads = lambda name, part, x, run=each.heads: (asked.append((part, x.numpy())), run(name, part, x))[1]
    block(x), plain(x)
    for (part, with_shift), (other, without) in zip(asked[:3], asked[3:], strict=True):
        assert part == other
        np.testing.assert_array_equal(with_shift[..., 2:], without[..., 2:])
        np.testing.assert_array_equal(with_shift[:, 1:, :2], without[:, :-1, :2])
        np.testing.assert_array_equal(with_shift[:, 0, :2], 0)


@pytest.mark.parametrize("name", ["model", "shifted"])
@pytest.mark.parametrize("place", [0, 4, 9])
def test_no_token_sees_a_later_one(name, place, request):
    model, changed = request.getfixturevalue(name), IDS.copy()
    changed[:, place] = (IDS[:, place] + 1) % 11
    moved = np.abs(model(IDS) - model(changed)).max(axis=(0, 2)) > 0
    np.testing.assert_array_equal(moved, np.arange(10) >= place)


@pytest.mark.parametrize("name", ["model", "shifted"])
@pytest.mark.parametrize("cuts", [[1, 2, 3], [4], [3, 9]])
def test_kept_keys_change_nothing(name, cuts, request):
    model, cache = request.getfixturevalue(name), Cache()
    parts = [model(part, cache=cache) for part in np.split(IDS, cuts, axis=1)]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), model(IDS), atol=1e-4)
    assert cache.length == 10
    assert [kept[0].shape for kept in cache.kept] == [(3, 2, 10, 4)] * 2


def test_a_call_without_a_cache_keeps_nothing(model):
    np.testing.assert_array_equal(model(IDS), model(IDS))


def windows_by_hand(model, ids):
    """The loss of each token: the first context's, then half a context at a time, aligned with the end."""
    c, n = model.context, len(ids)
    found = np.full(n - 1, np.nan)
    starts = [0] if n - 1 <= c else [*range(0, n - 1 - c, c // 2), n - 1 - c]
    rows = [ids[start : start + c + 1] for start in starts]
    parts = np.split(np.stack(rows)[:, :-1], len(rows) if n < 100 else 1)  # many rows at once, which is much faster
    logits = np.concatenate([model(part) for part in parts])
    for start, row, each in zip(starts, rows, logits, strict=True):
        log_p = tf.nn.log_softmax(each.astype(np.float64)).numpy()
        loss = -log_p[np.arange(len(row) - 1), row[1:]]
        first = 0 if start == 0 else c // 2
        found[start + first : start + len(loss)] = loss[first:]
    return found


@pytest.mark.parametrize("length", [2, 5, 11, 12, 16, 17, 40, 683])
def test_losses_of_texts(model, length):
    ids = np.random.default_rng(length).integers(11, size=length)
    losses = token_losses(model, ids)
    assert losses.shape == (length - 1,)
    assert losses.dtype == np.float64
    np.testing.assert_allclose(losses, windows_by_hand(model, ids), rtol=1e-4, atol=1e-5)
    if length <= 11:
        keras_loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        assert losses.mean() == pytest.approx(float(keras_loss(ids[None, 1:], model(ids[None, :-1]))), rel=1e-5)


def test_writing_past_the_context(model):
    text = [3, 4]
    cache_length = 2
    for _ in range(30):  # greedy, without kept keys: the same windows
        window = text[-cache_length:]
        text.append(int(model(np.array([window]))[0, -1].numpy().argmax()))
        cache_length = cache_length + 1 if cache_length < 10 else 5
    np.testing.assert_array_equal(generate(model, [3, 4], 30, top_k=1), text[2:])


def test_writing_many_texts_and_seeds(model):
    prefix = np.array([[3, 4], [5, 6], [3, 4]])
    many = generate(model, prefix, 12, top_k=1)
    assert many.shape == (3, 12)
    assert many.dtype == np.int32
    np.testing.assert_array_equal(many[0], generate(model, [3, 4], 12, top_k=1))
    np.testing.assert_array_equal(many[0], many[2])
    np.testing.assert_array_equal(generate(model, [1], 9, 2.0, 5, seed=3), generate(model, [1], 9, 2.0, 5, seed=3))
    assert (generate(model, [1], 9, 2.0, seed=3) != generate(model, [1], 9, 2.0, seed=4)).any()
    long = np.random.default_rng(1).integers(11, size=25)
    np.testing.assert_array_equal(generate(model, long, 1, top_k=1), generate(model, long[-10:], 1, top_k=1))


def test_seeds_make_the_weights():
    a, b, c = (Gpt(11, 8, 2, 12, layers=1, context=10, seed=seed).get_weights() for seed in ((1, 2), (1, 2), 3))
    assert all(np.array_equal(*pair) for pair in zip(a, b, strict=True))
    assert not np.array_equal(a[0], c[0])


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda model: Gpt(1), "vocabulary_size: expected a whole number of at least 2"),
        (lambda model: Gpt(5, context=1), "context: expected a whole number of at least 2"),
        (lambda model: Gpt(5, layers=0), "layers: expected a whole number"),
        (lambda model: Gpt(5, 6, 4), "units: expected a multiple of num_heads"),
        (lambda model: model(np.ones(3, int)), "ids: expected the shape"),
        (lambda model: model(np.ones((1, 11), int)), "ids: expected at most 10 tokens, got 11"),
        (lambda model: token_losses(model, [1]), "ids: expected at least 2 integers"),
        (lambda model: token_losses(model, [1, 11]), "ids: expected ids from 0"),
        (lambda model: generate(model, [], 3), "prefix: expected at least 1 integers"),
        (lambda model: generate(model, [11], 3), "prefix: expected ids from 0"),
        (lambda model: generate(model, [1], 0), "length: expected a whole number"),
        (lambda model: generate(model, [1], 3, 0.0), "temperature: expected a positive number"),
        (lambda model: generate(model, [1], 3, top_k=0), "top_k: expected a whole number"),
    ],
)
def test_errors(model, function, message):
    with pytest.raises(ValueError, match=message):
        function(model)
