"""The shared guards: what passes comes back, what would give a wrong number is refused with the argument's name."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from kerasnotes import parts


@pytest.mark.parametrize("value", [True, np.True_, 0, -1, 1.0, "1", None, np.array([1, 2])])
def test_whole_refuses(value):
    with pytest.raises(ValueError, match=r"^steps: expected a whole number of at least 1, got"):
        parts.whole("steps", value)


def test_whole_passes():
    assert parts.whole("steps", np.int64(3)) == 3
    assert type(parts.whole("steps", np.int64(3))) is int
    assert parts.whole("steps", 0, least=0) == 0


@pytest.mark.parametrize("value", [True, 0, -1.0, np.inf, np.nan, [1.0], np.ones(1)])
def test_positive_refuses(value):
    with pytest.raises(ValueError, match=r"^rate: expected a positive number"):
        parts.positive("rate", value)


def test_positive_passes():
    assert parts.positive("rate", 1e-300) == 1e-300
    assert parts.positive("rate", np.float32(2)) == 2


def test_share_knows_its_ends():
    for low, high, value in itertools.product((True, False), (True, False), (0.0, 1.0)):
        if low if value == 0 else high:
            assert parts.share("rate", value, low, high) == value
        else:
            with pytest.raises(ValueError, match=r"^rate: expected a number "):
                parts.share("rate", value, low, high)
    for value in (-1e-9, 1 + 1e-9, np.nan, True, [0.5]):
        with pytest.raises(ValueError, match=r"^rate: expected a number from 0 to 1, got"):
            parts.share("rate", value)


def test_shape_takes_none_for_any_size():
    x = np.zeros((2, 3))
    assert parts.shape("x", x, None, 3) is x
    for wanted in ((2,), (2, 4), (2, 3, 1)):
        with pytest.raises(ValueError, match=r"^x: expected the shape \(.*\), got \(2, 3\)"):
            parts.shape("x", x, *wanted)


def test_shape_lets_unknown_sizes_pass():
    @tf.function(input_signature=[tf.TensorSpec((None, 3))])
    def traced(x):
        return parts.shape("x", x, 7, 3)

    assert traced(tf.ones((5, 3))).shape == (5, 3)
    with pytest.raises(ValueError, match=r"x: expected the shape"):
        tf.function(lambda x: parts.shape("x", x, None, 4), input_signature=[tf.TensorSpec((None, 3))])(tf.ones((5, 3)))


def test_floating_keeps_precision_and_turns_counts_into_numbers():
    for dtype in ("float16", "float32", "float64", "bfloat16"):
        assert parts.floating("x", tf.ones(2, dtype)).dtype == dtype
    assert parts.floating("x", [True, False]).numpy().tolist() == [1.0, 0.0]
    assert parts.floating("x", np.uint8([255])).dtype == tf.float32
    for wrong in ([], ["a"]):
        with pytest.raises(ValueError, match=r"^x: expected numbers"):
            parts.floating("x", wrong)


def test_floating_takes_a_tensor_of_unknown_rank():
    traced = tf.function(lambda x: parts.floating("x", x), input_signature=[tf.TensorSpec(None, tf.int32)])
    assert traced(tf.constant([1, 2])).numpy().tolist() == [1.0, 2.0]


def test_layer_seeds_differ_from_layer_to_layer_and_repeat_with_the_seed():
    first, again, other = (list(itertools.islice(parts.layer_seeds(seed), 50)) for seed in (0, 0, (0, 1)))
    assert first == again != other
    assert len(set(first)) == 50
