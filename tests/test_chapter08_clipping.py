"""Clipping against TensorFlow and Keras over random shapes, and its properties."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kerasnotes.chapter08.clipping import clip_by_global_norm, clip_by_norm, clip_by_value, cosine

SHAPES = st.lists(hnp.array_shapes(min_dims=0, max_dims=3, max_side=4), min_size=1, max_size=4)
SEEDS = st.integers(0, 2**32 - 1)
BOUNDS = st.floats(0.01, 100.0)


def tensors_of(shapes, seed):
    rng = np.random.default_rng(seed)
    return [tf.constant(rng.normal(size=shape), tf.float32) for shape in shapes]


def assert_equal(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@settings(max_examples=40)
@given(SHAPES, SEEDS, BOUNDS)
def test_equal_to_tensorflow(shapes, seed, bound):
    tensors = tensors_of(shapes, seed)
    assert_equal(clip_by_value(tensors, -bound, bound), [tf.clip_by_value(t, -bound, bound) for t in tensors])
    assert_equal([clip_by_norm(t, bound) for t in tensors], [tf.clip_by_norm(t, bound) for t in tensors])
    clipped, norm = clip_by_global_norm(tensors, bound)
    expected, expected_norm = tf.clip_by_global_norm(tensors, bound)
    assert_equal([*clipped, norm], [*expected, expected_norm])


@settings(max_examples=20)
@given(SHAPES, SEEDS, BOUNDS)
def test_gradients_equal_tensorflow(shapes, seed, bound):
    tensors = tensors_of(shapes, seed)

    def gradient_of(clip):
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            total = tf.add_n([tf.reduce_sum(tf.sin(tensor)) for tensor in clip(tensors)])
        return tape.gradient(total, tensors)

    assert_equal(gradient_of(lambda t: clip_by_global_norm(t, bound)[0]),
                 gradient_of(lambda t: tf.clip_by_global_norm(t, bound)[0]))  # fmt: skip


@settings(max_examples=15)
@given(SHAPES, SEEDS, BOUNDS)
def test_equal_to_keras(shapes, seed, bound):
    gradients = tensors_of(shapes, seed)
    for argument, ours in (
        ("clipvalue", clip_by_value(gradients, -bound, bound)),
        ("clipnorm", [clip_by_norm(gradient, bound) for gradient in gradients]),
        ("global_clipnorm", clip_by_global_norm(gradients, bound)[0]),
    ):
        weights = [keras.Variable(tf.zeros_like(gradient)) for gradient in gradients]
        keras.optimizers.SGD(learning_rate=1.0, **{argument: bound}).apply(gradients, weights)
        assert_equal([-weight.numpy() for weight in weights], ours)


@settings(max_examples=40)
@given(SHAPES, SEEDS, BOUNDS)
def test_direction_and_length(shapes, seed, bound):
    tensors = tensors_of(shapes, seed)
    clipped, norm = clip_by_global_norm(tensors, bound)
    length = float(tf.linalg.global_norm(clipped))
    assert length <= bound * (1 + 1e-5)
    assert length == pytest.approx(min(float(norm), bound), rel=1e-5)
    assert cosine(tensors, clipped) == pytest.approx(1.0, abs=1e-6)
    if norm <= bound:
        assert_equal(clipped, tensors)


def test_a_gradient_that_is_short_enough_is_not_touched():
    tensor = tf.constant([0.1, 0.2])
    assert np.array_equal(clip_by_global_norm([tensor], 5.0)[0][0], tensor)


def test_hand_made_gradients():
    gradients = [tf.constant([3.0, 4.0]), tf.constant([12.0])]
    clipped, norm = clip_by_global_norm(gradients, 6.5)
    assert float(norm) == 13.0
    assert_equal(clipped, [[1.5, 2.0], [6.0]])
    assert cosine(gradients, clip_by_value(gradients, -5, 5)) < 1 - 1e-3
    assert cosine(gradients, [clip_by_norm(gradient, 5) for gradient in gradients]) < 1 - 1e-3


def test_none_passes_through():
    one = tf.ones(4)
    assert clip_by_value([None, one], -1, 1)[0] is None
    assert clip_by_norm(None, 1.0) is None
    clipped, norm = clip_by_global_norm([None, one, None], 1.0)
    assert clipped[0] is None
    assert clipped[2] is None
    assert float(norm) == 2.0


def test_zero_stays_zero():
    zeros = [tf.zeros(3), tf.zeros((2, 2))]
    assert_equal(clip_by_global_norm(zeros, 1.0)[0], zeros)
    assert_equal([clip_by_norm(zero, 1.0) for zero in zeros], zeros)


def test_the_bound_may_be_a_tensor():
    gradients = [tf.constant([3.0, 4.0])]
    assert_equal(clip_by_global_norm(gradients, tf.constant(1.0))[0], [[0.6, 0.8]])
    compiled = tf.function(lambda bound: clip_by_global_norm(gradients, bound)[0], jit_compile=True)
    assert_equal(compiled(tf.constant(1.0)), [[0.6, 0.8]])


@pytest.mark.parametrize("clip_norm", [0.0, -1.0, float("nan")])
def test_clip_norm_must_be_positive(clip_norm):
    with pytest.raises(ValueError, match="clip_norm: expected a positive number"):
        clip_by_norm(tf.ones(2), clip_norm)
    with pytest.raises(ValueError, match="clip_norm: expected a positive number"):
        clip_by_global_norm([tf.ones(2)], clip_norm)


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_a_norm_that_is_not_finite_is_an_error(bad):
    tensors = [tf.constant([1.0, bad])]
    with pytest.raises(ValueError, match="finite global norm"):
        clip_by_global_norm(tensors, 1.0)
    with pytest.raises(ValueError, match="finite global norm"):
        clip_by_norm(tensors[0], 1.0)
    with pytest.raises(tf.errors.InvalidArgumentError, match="finite global norm"):
        tf.function(lambda t: clip_by_global_norm([t], 1.0)[0][0])(tensors[0])


def test_other_errors():
    with pytest.raises(ValueError, match="at least one tensor"):
        clip_by_global_norm([None], 1.0)
    with pytest.raises(ValueError, match="low <= high"):
        clip_by_value([tf.ones(2)], 1.0, -1.0)
    with pytest.raises(ValueError, match="low <= high"):
        clip_by_value([tf.ones(2)], float("nan"), 1.0)
    with pytest.raises(ValueError, match="not zero"):
        cosine([tf.zeros(2)], [tf.ones(2)])


def slices(values=None, indices=(0, 0), rows=5):
    values = tf.ones((len(indices), 3)) if values is None else values
    return tf.IndexedSlices(values, tf.constant(indices), tf.constant([rows, 3]))


def test_slices_of_one_row_are_added_up_and_stay_sparse():
    (clipped,), norm = clip_by_global_norm([slices()], 1.0)
    assert float(norm) == pytest.approx(np.sqrt(12))  # the gradient's; tf.clip_by_global_norm says √6
    assert float(tf.clip_by_global_norm([slices()], 1.0)[1]) == pytest.approx(np.sqrt(6))
    assert isinstance(clipped, tf.IndexedSlices)
    assert clipped.values.shape == (1, 3)
    np.testing.assert_allclose(tf.convert_to_tensor(clipped)[0], np.full(3, 1 / np.sqrt(3)), rtol=1e-6)
    assert_equal(tf.convert_to_tensor(clip_by_norm(slices(), 1.0)), tf.convert_to_tensor(clipped))


@settings(max_examples=20)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=6), SEEDS, BOUNDS)
def test_slices_equal_the_dense_gradient(indices, seed, bound):
    rng = np.random.default_rng(seed)
    sparse = slices(tf.constant(rng.normal(size=(len(indices), 3)), tf.float32), indices)
    dense, other = tf.convert_to_tensor(sparse), tf.constant(rng.normal(size=4), tf.float32)
    (ours, rest), norm = clip_by_global_norm([sparse, other], bound)
    (want, want_rest), want_norm = tf.clip_by_global_norm([dense, other], bound)
    assert_equal([tf.convert_to_tensor(ours), rest, norm], [want, want_rest, want_norm])
    (ours,) = clip_by_value([sparse], -bound, bound)
    assert isinstance(ours, tf.IndexedSlices)
    assert_equal([tf.convert_to_tensor(ours)], [tf.clip_by_value(dense, -bound, bound)])


def test_the_gradient_of_an_embedding_is_clipped_in_compiled_code():
    embedding = keras.layers.Embedding(5, 3)
    embedding.build()
    table = embedding.embeddings.value

    def clipped_gradient(ids):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(embedding(ids))
        (gradient,), norm = clip_by_global_norm([tape.gradient(loss, table)], 1.0)
        return tf.convert_to_tensor(gradient), norm

    ids = tf.constant([[2, 2, 4]])
    eager = clipped_gradient(ids)
    assert float(eager[1]) == pytest.approx(np.sqrt(4 * 3 + 3))
    for jit_compile in (False, True):
        assert_equal(tf.function(clipped_gradient, jit_compile=jit_compile)(ids), eager)
    unknown = tf.function(clipped_gradient, input_signature=[tf.TensorSpec((None, None), tf.int32)])
    assert_equal(unknown(ids), eager)


def test_bounds_on_one_side_of_zero_are_refused_for_slices():
    assert_equal(clip_by_value([tf.constant([0.0, 2.0])], 0.5, 1.0), [[0.5, 1.0]])
    with pytest.raises(ValueError, match="with 0 between"):
        clip_by_value([slices()], 0.5, 1.0)  # the rows that the slices leave out are 0, which would have to rise


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16, tf.float32, tf.float64])
def test_no_bound_leaves_everything_as_it_is(dtype):
    tensor = tf.constant([3.0, 4.0], dtype)
    for infinity in (float("inf"), tf.constant(np.inf)):
        clipped, norm = clip_by_global_norm([tensor], infinity)
        np.testing.assert_array_equal(clipped[0], tensor)
        assert float(norm) == 5.0
        np.testing.assert_array_equal(clip_by_norm(tensor, infinity), tensor)


def test_norms_whose_squares_leave_the_range():
    (half,), norm = clip_by_global_norm([tf.constant([300.0, 400.0], tf.float16)], 1.0)
    assert half.dtype == tf.float16
    assert norm.dtype == tf.float32
    assert float(norm) == 500.0
    np.testing.assert_allclose(half, [0.6, 0.8], rtol=1e-3)
    (large,), norm = clip_by_global_norm([tf.constant([3e20, 4e20])], 1.0)
    assert float(norm) == pytest.approx(5e20, rel=1e-6)
    np.testing.assert_allclose(large, [0.6, 0.8], rtol=1e-5)
    (double,), norm = clip_by_global_norm([tf.constant([3e200, 4e200], tf.float64)], 1.0)
    assert float(norm) == pytest.approx(5e200)
    np.testing.assert_allclose(double, [0.6, 0.8], rtol=1e-9)


def test_types_may_be_mixed():
    """tf.clip_by_global_norm refuses this; a model in mixed precision has such gradients."""
    tensors = [tf.constant([3.0], tf.float16), tf.constant([4.0]), tf.constant([12.0], tf.float64)]
    clipped, norm = clip_by_global_norm(tensors, 1.3)
    assert [tensor.dtype for tensor in clipped] == [tensor.dtype for tensor in tensors]
    assert norm.dtype == tf.float64
    assert float(norm) == 13.0
    np.testing.assert_allclose([float(tensor[0]) for tensor in clipped], [0.3, 0.4, 1.2], rtol=1e-3)


def test_integers_count_as_numbers():
    clipped, norm = clip_by_global_norm([[3, 4]], 1)
    assert float(norm) == 5.0
    assert_equal(clipped, [[0.6, 0.8]])
    assert_equal(clip_by_value([tf.constant([3, -4])], -0.5, 0.5), [[0.5, -0.5]])


def test_bounds_may_be_tensors_in_compiled_code():
    compiled = tf.function(lambda low, high: clip_by_value([tf.constant([-2.0, 2.0])], low, high), jit_compile=True)
    assert_equal(compiled(tf.constant(-1.0), tf.constant(0.5)), [[-1.0, 0.5]])
