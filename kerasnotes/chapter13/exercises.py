"""Tasks of chapter 13: scaled attention with a mask, places as waves, a decoder's mask, and counts."""

import numpy as np

from kerasnotes.course.tasks import Mend, Predict, Value, Write, Wrong

# --- 13.1 Scaled dot-product attention -------------------------------------------------------------------------------


def _attention(query, key, value, mask, scale, axis=-1, late=False):
    import tensorflow as tf

    scores = scale * tf.matmul(query, key, transpose_b=True)
    if late:
        return tf.matmul(tf.where(mask, tf.nn.softmax(scores, axis=axis), 0.0), value)
    return tf.matmul(tf.nn.softmax(tf.where(mask, scores, -1e9), axis=axis), value)


def _unscaled(query, key, value, mask):
    return _attention(query, key, value, mask, 1.0)


def _over_depth(query, key, value, mask):
    return _attention(query, key, value, mask, 1.0 / query.shape[-1])


def _over_queries(query, key, value, mask):
    return _attention(query, key, value, mask, query.shape[-1] ** -0.5, axis=1)


def _masked_late(query, key, value, mask):
    return _attention(query, key, value, mask, query.shape[-1] ** -0.5, late=True)


def _check_attention(trial):
    import tensorflow as tf

    query, key = tf.constant([[[2.0, 0.0, 0.0, 0.0]]]), tf.constant([[[1.0, 0, 0, 0], [0.0, 1, 0, 0], [3.0, 0, 0, 0]]])
    value = tf.constant([[[1.0], [2.0], [4.0]]])
    trial.equal("three keys, all seen", query, key, value, tf.ones((1, 1, 3), bool))
    trial.equal("the last key is masked", query, key, value, tf.constant([[[True, True, False]]]))
    for queries, keys, depth in ((2, 3, 5), (4, 2, 3), (3, 6, 16)):
        sizes = (2, queries, depth), (2, keys, depth), (2, keys, 2)
        query, key, value = (tf.constant(trial.rng.normal(size=size), tf.float32) for size in sizes)
        mask = trial.rng.random((2, queries, keys)) < 0.6
        mask[..., 0] = True
        trial.equal(f"{queries} queries, {keys} keys, depth {depth}", query, key, value, tf.constant(mask))
        trial.gradient(f"slopes, depth {depth}", query, key, value, tf.constant(mask), of=(0, 1, 2))


attention = Write(
    title="Scaled dot-product attention with a mask",
    lesson="chapter13.attention",
    minutes=20,
    text=r"""Write attention: each query is compared with all keys by an inner product over the root of the depth, a
softmax over the keys makes weights of the scores, and the output is the weighted sum of the values. A key
that the mask does not show has the weight 0, and the weights of the others still sum to 1. (Every query
sees at least one key.)""",
    start='''import tensorflow as tf


def scaled_dot_attention(query, key, value, mask):
    """The answers of all keys, weighted by how well they fit.

    Args:
        query: Tensor (batch, queries, depth).
        key: Tensor (batch, keys, depth).
        value: Tensor (batch, keys, value depth).
        mask: Booleans (batch, queries, keys), True where a key may be seen.

    Returns:
        Tensor (batch, queries, value depth).
    """
    ...
''',
    name="scaled_dot_attention",
    check=_check_attention,
    wrong=(
        Wrong(_unscaled, "the scores are not divided by the root of the depth"),
        Wrong(_over_depth, "that divides by the depth: it is the *root* of the depth"),
        Wrong(
            _over_queries, "the softmax goes over the queries: for each query it must go over the keys, the last axis"
        ),
        Wrong(_masked_late, "weights are set to 0 after the softmax: what is left no longer sums to 1"),
    ),
    solution_code="""import tensorflow as tf


def scaled_dot_attention(query, key, value, mask):
    scores = tf.matmul(query, key, transpose_b=True) * query.shape[-1] ** -0.5  # (batch, queries, keys)
    weights = tf.nn.softmax(tf.where(mask, scores, -1e9))  # exp(-1e9) is exactly 0
    return tf.matmul(weights, value)
""",
    hints=(
        "tf.matmul(query, key, transpose_b=True) compares every query with every key: (batch, queries, keys).",
        "Which axis of the scores belongs to the keys? The weights of one query must sum to 1.",
        "A mask works before the softmax: what should a masked score be, so that its exponential is 0?",
        "softmax over the last axis of where(mask, q kᵀ/√depth, -1e9), times the values.",
    ),
)

# --- 13.2 Places as waves --------------------------------------------------------------------------------------------


def _waves(positions, depth, first=0, side_by_side=True, step=2.0, turns=1.0):
    wave = np.arange(depth // 2) + first
    angles = turns * np.arange(positions)[:, None] / 10000.0 ** (step * wave / depth)
    if side_by_side:
        return np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(positions, depth)
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)


def _from_one(positions, depth):
    return _waves(positions, depth, first=1)


def _halves(positions, depth):
    return _waves(positions, depth, side_by_side=False)


def _slow(positions, depth):
    return _waves(positions, depth, step=1.0)


def _degrees(positions, depth):
    return _waves(positions, depth, turns=np.pi / 180)


def _check_waves(trial):
    trial.equal("three places, depth 2", 3, 2)
    for positions, depth in ((4, 4), (5, 8), (60, 32)):
        trial.equal(f"{positions} places, depth {depth}", positions, depth)


waves = Write(
    title="Where a word stands, as waves",
    lesson="chapter13.positional_encoding",
    minutes=15,
    text=r"""Write the encoding of Vaswani et al.: place $t = 0, 1, \dots$ becomes $(\sin \omega_0 t, \cos \omega_0 t,
\sin \omega_1 t, \cos \omega_1 t, \dots)$ with $\omega_l = 10000^{-2l/d}$ and $l = 0, \dots, d/2 - 1$, for an
even depth $d$. Before you run it: what is the row of place 0?""",
    start='''import numpy as np


def sinusoidal_encoding(positions, depth):
    """Sine and cosine of each frequency, side by side.

    Args:
        positions: Number of places, counted from 0.
        depth: Numbers of a place, even.

    Returns:
        Array (positions, depth).
    """
    ...
''',
    name="sinusoidal_encoding",
    check=_check_waves,
    wrong=(
        Wrong(_from_one, "l counts from 0: the fastest wave, sin t and cos t, is missing"),
        Wrong(_halves, "all sines stand before all cosines: a sine and its cosine stand side by side"),
        Wrong(_slow, "the exponent is -2l/d: the 2 is missing, and the waves are too fast"),
        Wrong(_degrees, "the angles were taken for degrees: np.sin and np.cos take radians, as the formula does"),
    ),
    solution="chapter13.positional_encoding.sinusoidal_encoding",
    hints=(
        "np.arange(positions)[:, None] times the d/2 frequencies gives all angles, (positions, d/2).",
        "The first frequency is 1: its wave turns once in 2π places.",
        "np.stack([sines, cosines], axis=-1) puts each sine beside its cosine; reshape makes one row of the pairs.",
        "angles = t·10000^(-2l/d); row = sin(a₀), cos(a₀), sin(a₁), cos(a₁), …",
    ),
)

# --- 13.3 A decoder that looks ahead ---------------------------------------------------------------------------------


def _seen(steps, past, shift=0, transposed=False, ignore_past=False):
    place = np.arange(past + steps)
    new = np.arange(steps) + (0 if ignore_past else past)
    mask = place[None, :] <= new[:, None] + shift
    return mask[:, ::-1] if transposed else mask


def _looks_ahead(steps, past):
    return _seen(steps, past, shift=1)


def _not_itself(steps, past):
    return _seen(steps, past, shift=-1)


def _forgets_past(steps, past):
    return _seen(steps, past, ignore_past=True)


def _backwards(steps, past):
    return _seen(steps, past, transposed=True)


def _check_mask(trial):
    trial.equal("three words, none before", 3, 0)
    trial.equal("two words behind three that are kept", 2, 3)
    for steps, past in ((1, 0), (1, 5), (5, 1), (4, 4)):
        trial.equal(f"{steps} words, {past} before", steps, past)


looks_ahead = Mend(
    title="A decoder that looks ahead",
    lesson="chapter13.transformer",
    minutes=10,
    text=r"""A decoder reads some words at once, behind words whose keys it has kept. Each new word may see all words
before it and itself, and no later one. With this mask the network had a wonderful loss in training, and
wrote nonsense: mend it. How many keys does the first new word see?""",
    start='''import numpy as np


def visible(steps, past):
    """Which words each new word may see.

    Args:
        steps: Number of new words.
        past: Number of words before them, whose keys are kept.

    Returns:
        Booleans (steps, past + steps): True where the new word of the row may see the word of the column.
    """
    place = np.arange(past + steps)  # of all words
    new = np.arange(past, past + steps)  # of the new ones
    return place[None, :] <= new[:, None] + 1
''',
    name="visible",
    check=_check_mask,
    wrong=(
        Wrong(_looks_ahead, "each word still sees the next one, which it is asked for"),
        Wrong(_not_itself, "no word sees itself, and the first one of all sees nothing"),
        Wrong(_forgets_past, "new words stand behind the kept ones: their places begin at `past`, not at 0"),
        Wrong(_backwards, "the columns are words from the first to the last: this mask is mirrored"),
    ),
    solution_code="""import numpy as np


def visible(steps, past):
    place = np.arange(past + steps)
    new = np.arange(past, past + steps)
    return place[None, :] <= new[:, None]  # itself and all before
""",
    hints=(
        "Write the mask for three words and none before on paper: three rows, three columns.",
        "Row t asks for word t + 1. May it see the column t + 1?",
        "Word t sees the words 0 to t: place ≤ new.",
    ),
)

# --- 13.4 Counting heads and pairs -----------------------------------------------------------------------------------


def _parameters():
    from kerasnotes.chapter13.multi_head import parameter_count

    return parameter_count(8, 3, 4, 5)


counting = Predict(
    title="Counting weights and products",
    lesson="chapter13.multi_head",
    minutes=15,
    text=r"""Self-attention on 8 inputs has 3 heads with queries and keys of 4 numbers and values of 5, an output map
back to 8, and biases everywhere. How many weights? And on 1000 steps: how many products of a query with a
key does full attention compute, how many a mask that shows 10 keys before, 10 after and the word itself,
and how many the band alone (a band that computes all 21 places at every step, also beyond the ends)?""",
    hints=(
        "Each head maps 8 inputs, and a bias, to its queries, its keys and its values.",
        "The output map reads 3 · 5 numbers and writes 8; its bias has one number for each output.",
        "3·(4 + 4 + 5)·(8 + 1) + (15 + 1)·8. And does a mask stop anything from being computed?",
    ),
    values=(
        Value(
            "weights",
            "weights of the layer",
            want=_parameters,
            rtol=0,
            wrong=(
                (lambda: 3 * 13 * 8 + 15 * 8, "that is without biases"),
                (lambda: 13 * 9 + 6 * 8, "that is one head: there are three"),
            ),
        ),
        Value("full", "products of a query with a key, full attention", want=lambda: 1000**2, rtol=0, wrong=()),
        Value(
            "masked",
            "the same with a mask that shows 21 keys",
            want=lambda: 1000**2,
            rtol=0,
            wrong=((lambda: 21 * 1000, "a mask hides scores that have been computed already"),),
        ),
        Value(
            "band",
            "the band alone",
            want=lambda: 21 * 1000,
            rtol=0,
            wrong=((lambda: 20 * 1000, "the word itself is one of the keys: 10 + 10 + 1"),),
        ),
    ),
    solution_code="""into_heads = 3 * (4 + 4 + 5) * (8 + 1)  # a kernel of 8 and a bias for each number of each head
out_of_heads = (3 * 5 + 1) * 8
weights = into_heads + out_of_heads
full = 1000**2
masked = 1000**2  # computed, then hidden
band = 1000 * (10 + 10 + 1)
""",
)

TASKS = (attention, waves, looks_ahead, counting)
