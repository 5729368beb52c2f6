"""The guards that functions of many chapters share: a wrong argument is refused before it gives a wrong number.

They refuse what would otherwise pass in silence. What TensorFlow, Keras or NumPy refuse by themselves is left to them.
Each takes the argument's name first and returns the value, so that a guard is one short line; `snippet` cuts them out
with the functions that use them.
"""

import numpy as np
import tensorflow as tf


def whole(name, value, least=1):
    """A whole number of at least `least`, as an int. Booleans are no numbers.

    Raises:
        ValueError: If the value is none.
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"{name}: expected a whole number of at least {least}, got {value!r}")
    return int(value)


def positive(name, value):
    """A number above 0, neither infinite nor NaN.

    Raises:
        ValueError: If the value is none.
    """
    if isinstance(value, (bool, np.bool_)) or np.ndim(value) or not 0 < value < np.inf:
        raise ValueError(f"{name}: expected a positive number, got {value!r}")
    return value


def share(name, value, low=True, high=True):
    """A number from 0 to 1; `low=False` leaves out 0, `high=False` leaves out 1.

    Raises:
        ValueError: If the value is none.
    """
    inside = not np.ndim(value) and (value >= 0 if low else value > 0) and (value <= 1 if high else value < 1)
    if isinstance(value, (bool, np.bool_)) or not inside:
        words = f"{'from' if low else 'above'} 0 {'to' if high else 'and below'} 1"
        raise ValueError(f"{name}: expected a number {words}, got {value!r}")
    return value


def shape(name, value, *expected):
    """An array or tensor whose sizes are the expected ones; None stands for any size.

    Sizes that a `tf.function` does not know yet pass.

    Raises:
        ValueError: If the number of axes or a known size differs.
    """
    if not tf.TensorShape(value.shape).is_compatible_with(expected):
        wanted = ", ".join("any" if size is None else str(size) for size in expected)
        raise ValueError(f"{name}: expected the shape ({wanted}), got {tuple(value.shape)}")
    return value


def floating(name, value):
    """Numbers as a tensor: floats keep their precision, integers and Booleans become float32.

    Raises:
        ValueError: If there is no number in it, or no number at all.
    """
    value = tf.convert_to_tensor(value)
    empty = value.shape.rank is not None and 0 in value.shape
    if empty or not (value.dtype.is_floating or value.dtype.is_integer or value.dtype.is_bool):
        raise ValueError(f"{name}: expected numbers, at least one, got {value.dtype.name} of shape {value.shape}")
    return value if value.dtype.is_floating else tf.cast(value, tf.float32)


def layer_seeds(seed):
    """Yield one seed after another, so that every layer of a network starts with random numbers of its own.

    Args:
        seed: A non-negative integer, or a tuple of them.
    """
    rng = np.random.default_rng(seed)
    while True:
        yield int(rng.integers(2**31))
