"""The tasks of chapter 02: the perceptron, slopes of softmax, parity, cross-entropy, a line, a row of bumps."""

import math

import numpy as np

from kerasnotes.course.tasks import Mend, Predict, Value, Write, Wrong

# --- 02.1 One epoch of the perceptron --------------------------------------------------------------------------------


def _perceptron(x, y, w, b, *, fires=np.greater_equal, direction=1, learn_bias=True, all_at_once=False, always=False):
    first, mistakes = (w, b), 0
    for row, label in zip(x, y, strict=True):
        old_w, old_b = first if all_at_once else (w, b)
        total = row @ old_w + old_b
        error = label - (total if always else float(fires(total, 0)))
        if error:
            w, mistakes = w + direction * error * row, mistakes + 1
            b = b + direction * error if learn_bias else b
    return w, b, mistakes


def _in_place(x, y, w, b):
    mistakes = 0
    for row, label in zip(x, y, strict=True):
        if error := label - float(row @ w + b >= 0):
            w += error * row
            b, mistakes = b + error, mistakes + 1
    return w, b, mistakes


def _and_start(function, x, y, w, b):
    """What comes back, and the array that was handed in, after the call."""
    return [*function(x, y, w, b), w]


def _strictly_above(x, y, w, b):
    return _perceptron(x, y, w, b, fires=np.greater)


def _wrong_way(x, y, w, b):
    return _perceptron(x, y, w, b, direction=-1)


def _bias_stays(x, y, w, b):
    return _perceptron(x, y, w, b, learn_bias=False)


def _all_at_once(x, y, w, b):
    return _perceptron(x, y, w, b, all_at_once=True)


def _no_threshold(x, y, w, b):
    return _perceptron(x, y, w, b, always=True)


def _label_instead_of_error(x, y, w, b):
    mistakes = 0
    for row, label in zip(x, y, strict=True):
        if (row @ w + b >= 0) != label:
            w, b, mistakes = w + label * row, b + label, mistakes + 1
    return w, b, mistakes


def _check_perceptron(trial):
    x, y = np.array([[1.0, 2.0], [3.0, 1.0]]), np.array([0, 1])
    trial.equal("two rows, from zero weights", x, y, np.zeros(2), 0.0)
    for rows, inputs in ((6, 2), (30, 4)):
        x = trial.rng.normal(size=(rows, inputs))
        y = (x[:, 0] > 0.3).astype(int)
        w = trial.rng.normal(size=inputs)
        trial.equal(f"{rows} rows of {inputs} inputs", x, y, w, 0.5)
        trial.equal("the same, and the weights that were given stay as they were", x, y, w, 0.5, call=_and_start)
    x, y = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]), np.array([0, 0, 0, 1])
    w, b, epochs = np.zeros(2), 0.0, 0
    for _ in range(20):
        w, b, mistakes = trial.answer(x, y, w, b)
        epochs += bool(mistakes)
    trial.check("AND is learnt within 20 epochs", got=[int(row @ w + b >= 0) for row in x], want=y)


perceptron = Write(
    title="One epoch of the perceptron",
    lesson="chapter02.neurons",
    minutes=10,
    text=r"""Go once through the rows, in their order. Each is answered with the weights as they are now: 1 where $w · x
+ b ≥ 0$, else 0. Where the answer $a$ differs from the label $y$, the weights learn, $w ← w + (y − a) x$ and
$b ← b + (y − a)$, and the mistake is counted.""",
    start='''import numpy as np


def perceptron_epoch(x, y, w, b):
    """One pass over the data with Rosenblatt's rule.

    Args:
        x: Inputs (rows, inputs).
        y: Labels (rows,), 0 or 1.
        w: Weights (inputs,) at the beginning; the array itself is not changed.
        b: Bias at the beginning, a number.

    Returns:
        `(w, b, mistakes)`: the weights (inputs,) and the bias after the pass, and the number of mistakes.
    """
    ...
''',
    name="perceptron_epoch",
    solution_code="""import numpy as np


def perceptron_epoch(x, y, w, b):
    mistakes = 0
    for row, label in zip(x, y):
        answer = 1 if row @ w + b >= 0 else 0
        error = label - answer  # 1: should have fired; -1: should not have; 0: right
        if error != 0:
            w = w + error * row  # a new array: w += … would change the caller's
            b = b + error
            mistakes += 1
    return w, b, mistakes
""",
    hints=(
        "A loop over the rows; in it an answer, an error, and, if there is one, three things that change.",
        "The error is label − answer: +1, 0 or −1. The sum decides the answer, the error does not contain it.",
        "The next row is answered with the weights that this row has just changed.",
        "`error = label - (1 if row @ w + b >= 0 else 0)`; if it is not 0, `w = w + error * row`, `b = b + error`.",
    ),
    check=_check_perceptron,
    wrong=(
        Wrong(_strictly_above, "a sum of exactly 0 was answered with 0: the unit fires where the sum is at least 0"),
        Wrong(_wrong_way, "the weights moved the wrong way: add (y − answer) · x, with the label first"),
        Wrong(_in_place, "`w += …` changes the array that was given: make a new one, `w = w + …`"),
        Wrong(_bias_stays, "the bias never learns: it moves by y − answer as the weights do"),
        Wrong(_all_at_once, "all rows were answered with the first weights: each mistake counts for the next row"),
        Wrong(_no_threshold, "the sum itself was taken as the answer: the answer is 1 or 0"),
        Wrong(
            _label_instead_of_error, "y · x was added: where the label is 0, x has to be taken away, (y − answer) · x"
        ),
    ),
)

# --- 02.2 The slopes of softmax --------------------------------------------------------------------------------------


def _softmax(x, axis=-1):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def _jacobian(y):
    return y[:, :, None] * (np.eye(y.shape[1]) - y[:, None, :])


def _turned(x):
    return -_jacobian(_softmax(x))


def _diagonal(x):
    y = _softmax(x)
    return y[:, :, None] * (1 - y[:, None, :]) * np.eye(x.shape[1])


def _no_diagonal(x):
    y = _softmax(x)
    return -y[:, :, None] * y[:, None, :]


def _plus(x):
    y = _softmax(x)
    return y[:, :, None] * (np.eye(x.shape[1]) + y[:, None, :])


def _over_the_batch(x):
    return _jacobian(_softmax(x, axis=0))


def _over_everything(x):
    e = np.exp(x - x.max())
    return _jacobian(e / e.sum())


def _overflowing(x):
    with np.errstate(over="ignore", invalid="ignore"):
        e = np.exp(x)
        return _jacobian(e / e.sum(axis=1, keepdims=True))


def _of_values(x):
    return _jacobian(x)


def _check_jacobian(trial):
    trial.equal("one row, whose softmax is (1/4, 3/4)", np.array([[0.0, math.log(3.0)]]))
    trial.equal("two rows of two", np.array([[0.0, 1.0], [2.0, 0.0]]))
    for shape in ((3, 4), (5, 3)):
        trial.equal(f"random sums, shape {shape}", trial.rng.normal(size=shape))
    trial.equal("large sums: e¹⁰⁰⁰ is no number", np.array([[1000.0, 999.0, 0.0]]))
    import tensorflow as tf

    x = tf.constant(trial.rng.normal(size=(3, 4)))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.nn.softmax(x)
    trial.check("equals the tape's Jacobian of tf.nn.softmax", trial.answer(x.numpy()), tape.batch_jacobian(y, x))


jacobian = Write(
    title="All slopes of softmax",
    lesson="chapter02.activations",
    minutes=15,
    text=r"""Every output of $y = softmax(x)$ depends on every input. Write the matrix of all slopes, $∂y_i / ∂x_j = y_i
(δ_{ij} − y_j)$, for each row of a batch; $δ_{ij}$ is 1 for $i = j$, else 0, and $softmax(x)_i = e^{x_i} /
\sum_j e^{x_j}$ within a row. Adding one number to all inputs of a row changes nothing: use that, so that sums
of 1000 do not overflow.""",
    start='''import numpy as np


def softmax_jacobian(x):
    """Every slope of softmax, in NumPy.

    Args:
        x: Sums (batch, n); softmax goes along the last axis.

    Returns:
        Array (batch, n, n): at [b, i, j] the slope of output i by input j, in row b of the batch.
    """
    ...
''',
    name="softmax_jacobian",
    solution_code="""import numpy as np


def softmax_jacobian(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))  # the largest exponent is 0: nothing overflows
    y = e / e.sum(axis=1, keepdims=True)  # (batch, n)
    return y[:, :, None] * (np.eye(x.shape[1]) - y[:, None, :])  # y_i stands in row i, y_j in column j
""",
    hints=(
        "First softmax itself: each row by itself, `axis=1, keepdims=True`. Subtract the row's largest number before "
        "`np.exp`.",
        "Then one row by hand: the diagonal has y_i (1 − y_i), the rest −y_i y_j.",
        "`y[:, :, None]` has the shape (batch, n, 1) and `y[:, None, :]` (batch, 1, n): broadcasting makes the matrix.",
        "`y[:, :, None] * (np.eye(n) - y[:, None, :])`.",
    ),
    check=_check_jacobian,
    wrong=(
        Wrong(_turned, "all signs are turned: an output grows with its own input, so the diagonal is positive"),
        Wrong(_diagonal, "only the diagonal is there: a larger input also lowers all other outputs, by y_i y_j"),
        Wrong(_no_diagonal, "the part with δ is missing: on the diagonal y_i has to be added"),
        Wrong(_plus, "a sign inside is turned: δ − y_j, not δ + y_j; each column has to sum to 0"),
        Wrong(_over_the_batch, "softmax went down the columns: each row of the batch has to sum to 1"),
        Wrong(_over_everything, "softmax went over the whole batch: each row has a sum of its own"),
        Wrong(_overflowing, "large inputs overflow: subtract the row's largest number before the exponential"),
        Wrong(_of_values, "x was taken for the outputs: first compute y = softmax(x)"),
    ),
)

# --- 02.3 Parity by counters -----------------------------------------------------------------------------------------


def _parity_weights(n, *, first=1, constant_sign=False, shift=0.0, output_bias=-0.5, turned=False):
    k = np.arange(1, n + 1)
    v = np.ones(n) if constant_sign else (-1.0) ** (k + 1) * first
    b = 0.5 - k + shift
    return np.ones((n, n)), -b if turned else b, v, output_bias


def _any_input(n):
    return _parity_weights(n, constant_sign=True)


def _starts_with_minus(n):
    return _parity_weights(n, first=-1)


def _one_too_early(n):
    return _parity_weights(n, shift=1.0)


def _one_too_late(n):
    return _parity_weights(n, shift=-1.0)


def _no_output_threshold(n):
    return _parity_weights(n, output_bias=0.0)


def _threshold_as_bias(n):
    return _parity_weights(n, turned=True)


def _answers(function, n):
    """What a network with these weights answers to 0…00, 0…01, …, and how many hidden units it has."""
    w, b, v, c = (np.asarray(each, float) for each in function(n))
    x = (np.arange(2**n)[:, None] >> np.arange(n)[::-1]) & 1  # (2^n, n)
    if w.shape[0] != n or b.shape != w.shape[1:] or v.shape != b.shape or c.shape:
        raise ValueError(f"expected shapes ({n}, units), (units,), (units,) and a number, got "
                         f"{w.shape}, {b.shape}, {v.shape} and {c.shape}")  # fmt: skip
    hidden = (x @ w + b >= 0).astype(float)
    return {"hidden units": len(b), "answers to all rows": (hidden @ v + c >= 0).astype(int)}


def _check_parity(trial):
    trial.equal("n = 1: answers to 0 and 1", 1, call=_answers)
    trial.equal("n = 2, which is XOR: answers to 00, 01, 10, 11", 2, call=_answers)
    for n in (3, 6):
        trial.equal(f"n = {n}: answers to all {2**n} rows", n, call=_answers)
    x = (np.arange(32)[:, None] >> np.arange(5)) & 1
    w, b, v, c = (np.asarray(each, float) for each in trial.answer(5))
    got = ((x @ w + b >= 0) @ v + c >= 0).astype(int)
    trial.check("n = 5: is the number of ones odd?", got=got, want=x.sum(axis=1) % 2)


parity = Write(
    title="Parity by n counters",
    lesson="chapter02.logic",
    minutes=15,
    text=r"""Write down the weights of a network of threshold units (1 where the weighted sum plus bias is at least 0,
else 0) that says whether the number of ones among $n$ inputs is odd. Use one hidden layer of $n$ units: unit
$k = 1 … n$ fires if at least $k$ inputs are 1, and the output adds them up with the weights +1, −1, +1, … and
compares with ½. For $n = 2$ it is XOR. Nothing is trained.""",
    start='''import numpy as np


def parity_weights(n):
    """The weights of a network for the parity of n inputs, each 0 or 1.

    Args:
        n: Number of inputs, at least 1.

    Returns:
        `(w, b, v, c)`: hidden weights (n, n), one column for each unit, hidden biases (n,), output weights (n,), and
        the output's bias, a number. The network is [[x @ w + b >= 0] @ v + c >= 0].
    """
    ...
''',
    name="parity_weights",
    solution_code="""import numpy as np


def parity_weights(n):
    k = np.arange(1, n + 1)
    w = np.ones((n, n))  # every unit counts the ones
    b = 0.5 - k  # unit k fires from k ones on: k - 1/2 would do as a threshold, with its sign turned as a bias
    v = (-1.0) ** (k + 1)  # +1, -1, +1, …: the first (number of ones) units fire and cancel in pairs
    return w, b, v, -0.5
""",
    hints=(
        "Every hidden unit sees the same sum, the number of ones. Only the biases differ.",
        "“At least k ones” is sum − k + ½ ≥ 0. The ½ keeps the sum away from the threshold.",
        "If m inputs are 1, units 1 … m fire. Their weights +1, −1, … add up to 1 for odd m, to 0 for even m.",
        "So `b = 0.5 - k` and `v = (-1.0) ** (k + 1)` with `k = np.arange(1, n + 1)`, and the output's bias is −½.",
    ),
    check=_check_parity,
    wrong=(
        Wrong(_any_input, "this says whether any input is 1: the output weights have to alternate"),
        Wrong(_starts_with_minus, "the signs start with −1: the first counter has to speak for an odd number, +1"),
        Wrong(_one_too_early, "each counter fires one too early: unit 1 needs at least one 1, not none"),
        Wrong(_one_too_late, "each counter fires one too late: unit 1 fires as soon as one input is 1"),
        Wrong(_no_output_threshold, "the output fires at a sum of 0 as well: compare with ½, so its bias is −½"),
        Wrong(_threshold_as_bias, "a bias is a threshold with its sign turned: “at least k” is the bias ½ − k"),
    ),
)

# --- 02.4 What parity costs ------------------------------------------------------------------------------------------


def _tree(n):
    from kerasnotes.chapter02.logic import parity_deep

    return parity_deep(n)


def _cost(form, n):
    from kerasnotes.chapter02 import logic

    if form == "ands":
        rows = np.arange(2**n)
        return logic.dnf_network([bin(row).count("1") % 2 for row in rows]).hidden_count
    return logic.parity_shallow(n).hidden_count


price = Predict(
    title="What parity costs as a tree",
    lesson="chapter02.logic",
    minutes=20,
    text="""In a tree of XORs each layer makes one value of two, by two hidden units, until one is left. If a layer has
an odd number of values, its last three become one, by three. A XOR's sum feeds the units above it: it is no
unit or layer of its own, and the output unit is not counted. How many hidden units and layers has the tree
for n = 11 and 12? For which n from 2 to 12 are there fewer than 2 (n − 1) units? And how many need OR of ANDs
and counters, the page's other two forms, at n = 12?""",
    hints=(
        "Follow the number of values from layer to layer until one is left. What does a pair cost, what a group of "
        "three, for each value that it reads?",
        "12 values become 6, 3 and 1. 11 values: four pairs and a group of three make 5, then a pair and a group.",
        "A tree of pairs alone, n = 2, 4, 8, …, costs 2 (n − 1). A group of three merges two XORs for three units "
        "instead of four.",
        "OR of ANDs: one unit for every row with an odd number of ones. Counters: one for each input.",
    ),
    values=(
        Value(
            "tree_units",
            "hidden units of the tree for n = 11 and 12, a list",
            want=lambda: [_tree(n).hidden_count for n in (11, 12)],
            rtol=0,
            wrong=(
                (lambda: [20, 22], "that is 2 (n − 1): a group of three costs three units, not four"),
                (lambda: [30, 33], "that is three units for each XOR: XOR as OR minus AND costs two"),
                (lambda: [19, 22], "the output unit is not counted"),
            ),
        ),
        Value(
            "tree_layers",
            "hidden layers of the tree for n = 11 and 12, a list",
            want=lambda: [len(_tree(n).layers) - 1 for n in (11, 12)],
            rtol=0,
            wrong=(
                (lambda: [4, 4], "groups of three save a layer; and the output unit is no hidden layer"),
                (lambda: [10, 11], "that is a chain: a tree merges many pairs in one layer"),
            ),
        ),
        Value(
            "cheaper",
            "for n = 2, 3, …, 12: 1 if there are fewer than 2 (n − 1) units, else 0; eleven numbers",
            want=lambda: [int(_tree(n).hidden_count < 2 * (n - 1)) for n in range(2, 13)],
            rtol=0,
            wrong=(
                (
                    lambda: [n % 2 for n in range(2, 13)],
                    "even numbers count as well where a later layer is odd: 6 becomes 3",
                ),
                (lambda: [int(n in (2, 4, 8)) for n in range(2, 13)], "that marks the n that need exactly 2 (n − 1)"),
            ),
        ),
        Value(
            "ands_units",
            "hidden units of OR of ANDs at n = 12",
            want=lambda: _cost("ands", 12),
            rtol=0,
            wrong=((lambda: 4096, "half of the rows have an even number of ones and need no unit"),),
        ),
        Value(
            "counters_units",
            "hidden units of the counters at n = 12",
            want=lambda: _cost("counters", 12),
            rtol=0,
            wrong=((lambda: 11, "one for each number of ones from 1 to n"),),
        ),
    ),
    solution_code="""def tree(n):
    units, layers = 0, 0
    while n > 1:
        units += n  # pairs cost two for two values, a group of three costs three
        layers += 1
        n = n // 2  # (n - 3) / 2 pairs and one group of three make as many values as n // 2
    return units, layers


tree_units = [tree(11)[0], tree(12)[0]]
tree_layers = [tree(11)[1], tree(12)[1]]
cheaper = [int(tree(n)[0] < 2 * (n - 1)) for n in range(2, 13)]  # all but 2, 4, 8, where no layer is odd
ands_units = 2**11  # one for each odd row: no two of them are neighbours
counters_units = 12
""",
)

# --- 02.5 Bits -------------------------------------------------------------------------------------------------------

_P, _Q = (0.5, 0.5, 0.0), (0.25, 0.25, 0.5)


def _bits(name, *distributions, base=2):
    from kerasnotes.chapter02 import losses

    return float(getattr(losses, name)(*distributions, base))


bits = Predict(
    title="Four numbers in bits",
    lesson="chapter02.losses",
    minutes=10,
    text="""Let p = (½, ½, 0) and q = (¼, ¼, ½). Find H(p), H(p, q), KL(p ‖ q) and KL(q ‖ p) in bits, by hand; 0 · log
0 counts as 0. One of the four is not finite (write `float("inf")`): which mistake of the believer does it
punish?""",
    hints=(
        "In bits the logarithm has base 2: log₂ ½ = −1 and log₂ ¼ = −2.",
        "The weights in front are those of the true distribution, the first of the two names.",
        "KL is the difference of two of the numbers: KL(p ‖ q) = H(p, q) − H(p).",
        "In KL(q ‖ p) the third outcome contributes ½ · log₂(½ / 0).",
    ),
    values=(
        Value(
            "entropy_p",
            "H(p) in bits",
            want=lambda: _bits("entropy", _P),
            wrong=(
                (lambda: math.log(2), "that is in nats: with base 2 the number is larger"),
                (lambda: -1.0, "the sign: entropy is −Σ p log p, and logarithms of probabilities are negative"),
                (lambda: 0.5, "there are two outcomes of probability ½; both contribute"),
            ),
        ),
        Value(
            "cross_entropy_pq",
            "H(p, q) in bits",
            want=lambda: _bits("cross_entropy", _P, _Q),
            wrong=(
                (lambda: math.log(4), "that is in nats"),
                (lambda: 1.5, "that is H(q), the entropy of q: the weights in front are those of p"),
                (lambda: -2.0, "the sign: it is −Σ p log q"),
            ),
        ),
        Value(
            "kl_pq",
            "KL(p ‖ q) in bits",
            want=lambda: _bits("kl_divergence", _P, _Q),
            wrong=(
                (lambda: math.log(2), "that is in nats"),
                (lambda: -1.0, "the sign: a divergence is never negative; it is Σ p log(p/q)"),
                (lambda: 3.0, "H(p) was added to H(p, q): it is taken away"),
                (lambda: math.inf, "where p is 0 nothing is lost, whatever q says: 0 · log 0 counts as 0"),
            ),
        ),
        Value(
            "kl_qp",
            "KL(q ‖ p) in bits",
            want=lambda: _bits("kl_divergence", _Q, _P),
            wrong=(
                (lambda: -0.5, "the third outcome was left out: q gives it ½, and p excludes it"),
                (lambda: 1.0, "it is not symmetric: here q is the truth and p the belief"),
            ),
        ),
    ),
    solution_code="""import math

entropy_p = -(0.5 * math.log2(0.5) + 0.5 * math.log2(0.5))  # one fair coin
cross_entropy_pq = -(0.5 * math.log2(0.25) + 0.5 * math.log2(0.25))  # the third outcome never happens under p
kl_pq = cross_entropy_pq - entropy_p
kl_qp = math.inf  # ½ · log(½ / 0): to hold for impossible what does happen costs without limit
""",
)

# --- 02.6 Cross-entropy from logits ----------------------------------------------------------------------------------


def _mean_of_outcomes(p, logits):
    return _right(p, logits) / p.shape[-1]


def _right(p, logits):
    import tensorflow as tf

    return -tf.reduce_sum(p * tf.nn.log_softmax(logits), axis=-1)


def _softmax_twice(p, logits):
    import tensorflow as tf

    return _right(p, tf.nn.softmax(logits))


def _in_bits(p, logits):
    return _right(p, logits) / math.log(2)


def _positive(p, logits):
    return -_right(p, logits)


def _one_loss(p, logits):
    import tensorflow as tf

    return tf.reduce_mean(_right(p, logits))


def _probabilities_between(p, logits):
    import tensorflow as tf

    return -tf.reduce_sum(p * tf.math.log(tf.nn.softmax(logits)), axis=-1)


def _clipped(p, logits):
    import tensorflow as tf

    return -tf.reduce_sum(p * tf.math.log(tf.clip_by_value(tf.nn.softmax(logits), 1e-7, 1.0)), axis=-1)


def _check_cross_entropy(trial):
    import keras
    import tensorflow as tf

    trial.equal("right class at probability 3/4: ln(4/3)", tf.constant([[0.0, 1.0]]), tf.constant([[0.0, math.log(3)]]))
    for shape in ((3, 4), (2, 3, 5)):
        p = tf.constant(trial.rng.dirichlet(np.ones(shape[-1]), size=shape[:-1]), tf.float32)
        trial.equal(f"random distributions, shape {shape}", p, tf.constant(trial.rng.normal(size=shape), tf.float32))
    sure = tf.constant([[1.0, 0.0]])
    trial.equal("sure and wrong: logits −20 and 20", sure, tf.constant([[-20.0, 20.0]]))
    trial.equal("surer still: logits −1000 and 1000", sure, tf.constant([[-1000.0, 1000.0]]))
    trial.gradient("its gradient by the logits", sure, tf.constant([[1.0, 3.0]]), of=(1,))
    trial.gradient("its gradient where the answer is sure and wrong", sure, tf.constant([[-50.0, 50.0]]), of=(1,))
    y, z = tf.one_hot([0, 2, 1], 3), tf.constant(trial.rng.normal(size=(3, 3)), tf.float32)
    want = keras.losses.categorical_crossentropy(y, z, from_logits=True)
    trial.check("equals Keras's categorical_crossentropy with from_logits=True", got=trial.answer(y, z), want=want)


cross_entropy = Write(
    title="Cross-entropy without the probabilities in between",
    lesson="chapter02.losses",
    minutes=15,
    text=r"""Write the cross-entropy $−\sum_i p_i \ln q_i$ (natural logarithm, a sum over the last axis) of true
distributions $p$ and $q = softmax(z)$, from the logits $z$ themselves, so that it is right for any logits,
−1000 as well. There $softmax$ gives 0 and its logarithm −∞. Use $\ln q_i = z_i − \ln \sum_j e^{z_j}$, whose
second part is `tf.reduce_logsumexp`; please do without TensorFlow's and Keras's own cross-entropies.""",
    start='''import tensorflow as tf


def cross_entropy_from_logits(p, logits):
    """The cross-entropy of every example, in nats.

    Args:
        p: True distributions, a float tensor (..., outcomes).
        logits: Any numbers, a tensor of the same shape.

    Returns:
        Tensor (...): one number for each example.
    """
    ...
''',
    name="cross_entropy_from_logits",
    solution_code="""import tensorflow as tf


def cross_entropy_from_logits(p, logits):
    log_q = logits - tf.reduce_logsumexp(logits, axis=-1, keepdims=True)  # (..., outcomes)
    return -tf.reduce_sum(p * log_q, axis=-1)
""",
    hints=(
        "Never compute the probabilities: what is wanted is their logarithm.",
        "`tf.reduce_logsumexp(logits, axis=-1, keepdims=True)` is ln Σ e^z for each example, and does not overflow.",
        "ln q = logits − that. It has the shape of the logits.",
        "`-tf.reduce_sum(p * (logits - tf.reduce_logsumexp(logits, axis=-1, keepdims=True)), axis=-1)`.",
    ),
    check=_check_cross_entropy,
    wrong=(
        Wrong(_mean_of_outcomes, "the outcomes were averaged: cross-entropy is their sum"),
        Wrong(_softmax_twice, "softmax was applied twice: the logarithm of q is already z minus logsumexp"),
        Wrong(_in_bits, "that is in bits: the logarithm is the natural one"),
        Wrong(_positive, "the sign is turned: logarithms of probabilities are negative, the loss is positive"),
        Wrong(_one_loss, "the examples were put together: each keeps a loss of its own"),
        Wrong(
            _probabilities_between,
            "log(softmax) is −∞ where softmax has become 0, and 0 · −∞ is no number: stay with logarithms",
        ),
        Wrong(
            _clipped,
            "the probabilities were clipped, or kept above 0 by a small number: behind that it teaches nothing",
        ),
    ),
)

# --- 02.7 A line that comes out flat ---------------------------------------------------------------------------------

_LINE = """import tensorflow as tf


def fit_line(x, y, learning_rate, steps):
    w, b = tf.zeros(x.shape[1], x.dtype), tf.zeros((), x.dtype)
    for _ in range(steps):
        with tf.GradientTape() as tape:
            tape.watch([w, b])
            error = {error}
            loss = {loss}
        slopes = tape.gradient(loss, [w, b])
        w, b = w - learning_rate * slopes[0], b - learning_rate * slopes[1]
    return w, b
"""
_MEAN_SQUARE = "tf.reduce_mean(error**2)"
_RIGHT_ERROR = "tf.linalg.matvec(x, w) + b - y[:, 0]"


def _line_program(error=_RIGHT_ERROR, loss=_MEAN_SQUARE):
    return _LINE.format(error=error, loss=loss)


def _check_line(trial):
    import tensorflow as tf

    x, y = tf.constant([[0.0], [2.0]], tf.float64), tf.constant([[0.0], [4.0]], tf.float64)
    trial.equal("points (0, 0) and (2, 4): one step", x, y, 0.1, 1)
    trial.equal("the same, three steps", x, y, 0.1, 3)
    for rows, features in ((10, 2), (25, 3)):
        x = trial.rng.normal(size=(rows, features))
        y = tf.constant(trial.rng.normal(size=(rows, 1)) + x[:, :1])
        trial.equal(f"{rows} rows of {features} features, five steps", tf.constant(x), y, 0.05, 5)
    w, b = trial.answer(tf.constant(x), y, 0.2, 200)
    want = np.linalg.lstsq(np.column_stack([x, np.ones(rows)]), y.numpy()[:, 0], rcond=None)[0]
    trial.check("after 200 steps it is NumPy's least squares", np.append(w, b), want, rtol=1e-3, atol=1e-4)


line = Mend(
    title="A line that comes out flat",
    lesson="chapter02.regression",
    minutes=10,
    text=r"""This program fits a line by gradient descent on the mean squared error. For the points (0, 0), (1, 2) and
(2, 4) the slope should become 2 and the bias 0; the program goes towards slope 0 and bias 2, the mean of the
targets, at every rate at which it converges. No error is raised. Mend it, and leave loss, start and
step as they are.""",
    start='''import tensorflow as tf


def fit_line(x, y, learning_rate, steps):
    """Fit y = x w + b by gradient descent on the mean squared error, from zero weights.

    Args:
        x: Inputs, a tensor (rows, features).
        y: Targets, a tensor (rows, 1).
        learning_rate: Factor of the gradient.
        steps: Number of steps.

    Returns:
        `(w, b)`: weights (features,) and bias (), tensors.
    """
    w, b = tf.zeros(x.shape[1], x.dtype), tf.zeros((), x.dtype)
    for _ in range(steps):
        with tf.GradientTape() as tape:
            tape.watch([w, b])
            prediction = tf.linalg.matvec(x, w) + b
            error = prediction - y
            loss = tf.reduce_mean(error**2)
        slope_w, slope_b = tape.gradient(loss, [w, b])
        w = w - learning_rate * slope_w
        b = b - learning_rate * slope_b
    return w, b
''',
    name="fit_line",
    solution_code='''import tensorflow as tf


def fit_line(x, y, learning_rate, steps):
    """Fit y = x w + b by gradient descent on the mean squared error, from zero weights."""
    w, b = tf.zeros(x.shape[1], x.dtype), tf.zeros((), x.dtype)
    for _ in range(steps):
        with tf.GradientTape() as tape:
            tape.watch([w, b])
            prediction = tf.linalg.matvec(x, w) + b  # (rows,)
            error = prediction - y[:, 0]  # (rows,) - (rows,); with (rows, 1) it would be (rows, rows)
            loss = tf.reduce_mean(error**2)
        slope_w, slope_b = tape.gradient(loss, [w, b])
        w = w - learning_rate * slope_w
        b = b - learning_rate * slope_b
    return w, b
''',
    hints=(
        "Print the shapes of `prediction`, of `y` and of `error`.",
        "(rows,) minus (rows, 1) is broadcast to (rows, rows): every prediction is compared with every target.",
        "Against all targets at once, the best prediction is their mean, for every row. So the line is flat.",
        "Bring both to one shape: `y[:, 0]`, or `prediction[:, None] - y`.",
    ),
    check=_check_line,
    wrong=(
        Wrong(
            _line_program("tf.reshape(tf.linalg.matvec(x, w) + b - y, (-1,))"),
            "every prediction is still compared with every target: the shapes have to match before the subtraction",
        ),
        Wrong(_line_program(loss="tf.reduce_sum(error**2)"), "the squares are summed now: the loss is their mean"),
        Wrong(_line_program(loss="tf.reduce_mean(error**2) / 2"), "the loss has got a factor ½: it is the plain mean"),
        Wrong(_line_program(loss="tf.reduce_mean(tf.abs(error))"), "the errors are no longer squared"),
        Wrong(
            _line_program("y[:, 0] + tf.linalg.matvec(x, w) + b"),
            "the targets are added: the error is prediction minus target",
        ),
    ),
)

# --- 02.8 How many bumps ---------------------------------------------------------------------------------------------


def _largest_error(units):
    from kerasnotes.chapter02.approximation import fit_steps

    x = np.linspace(0, 1, 20001)
    return np.abs(fit_steps(_wave, (0, 1), units)(x) - _wave(x)).max()


def _wave(x):
    return np.sin(6 * np.pi * x)


def _steepest():
    x = np.linspace(0, 1, 20001)
    return float(np.abs(np.gradient(_wave(x), x)).max())


def _units(error):
    """The fewest units for which the bound is at most `error`."""
    return next(m for m in range(1, 10000) if 6 * np.pi / (2 * (m + 1)) <= error)


bumps = Predict(
    title="How many bumps for three waves",
    lesson="chapter02.approximation",
    minutes=15,
    text=r"""You want a row of bumps for $\sin 6πx$ on $[0, 1]$. According to the bound $L ℓ / (2 (m + 1))$, with $L$
the steepest slope and $ℓ$ the length of the interval, what is the smallest number $m$ of hidden units that
makes the largest error at most 0.05? And for half of that error? How near to the bound do you expect the
largest error that the network really has at the first $m$? Guess its ratio to the bound. (Bumps have the
height of the curve in their middle.)""",
    hints=(
        "The steepest slope of sin(6πx) is that at 0.",
        "L = 6π and ℓ = 1. Solve 6π / (2 (m + 1)) ≤ 0.05 for m and round up.",
        "Half the error takes twice as many pieces, m + 1: so not exactly twice as many units.",
        "In a piece where the curve is steepest, it leaves the height of the middle by L times half the piece's width. "
        "Is there a piece whose edge lies where the slope is nearly L?",
    ),
    values=(
        Value(
            "steepest_slope",
            "L",
            want=_steepest,
            rtol=1e-3,
            wrong=(
                (lambda: 6.0, "the slope of sin(6πx) is 6π cos(6πx): the π belongs to it"),
                (lambda: 1.0, "that is the slope of sin x: here the inner factor multiplies it"),
                (lambda: 2 * math.pi, "that is the slope of one wave; there are three on the interval"),
            ),
        ),
        Value(
            "units",
            "the fewest hidden units for 0.05",
            want=lambda: _units(0.05),
            rtol=0,
            wrong=(
                (lambda: 189, "189 is the number of pieces, m + 1"),
                (lambda: 376, "the ½ of the bound is missing"),
                (lambda: 187, "rounded down: with 188 pieces the bound is still above 0.05"),
                (lambda: 59, "L was taken as 6: the slope is 6π"),
            ),
        ),
        Value(
            "units_half",
            "the fewest hidden units for 0.025",
            want=lambda: _units(0.025),
            rtol=0,
            wrong=(
                (lambda: 377, "377 is the number of pieces, m + 1"),
                (lambda: 375, "rounded down: with 376 pieces the bound is still above 0.025"),
                (lambda: 94, "half the error needs more units, not fewer"),
            ),
        ),
        Value(
            "ratio",
            "largest error / bound at the first m: a guess, to three per cent",
            want=lambda: _largest_error(_units(0.05)) / (6 * np.pi / (2 * (_units(0.05) + 1))),
            rtol=0.03,
            wrong=(
                (
                    lambda: 0.5,
                    "somewhere the curve is as steep as L over a whole piece: nothing is to spare there",
                ),
                (lambda: 2 / math.pi, "that would be a mean over the curve: the largest error is asked for"),
            ),
        ),
    ),
    solution_code="""import math

steepest_slope = 6 * math.pi  # the slope is 6π cos(6πx)
units = math.ceil(steepest_slope / (2 * 0.05)) - 1  # m + 1 ≥ L ℓ / (2 · error)
units_half = math.ceil(steepest_slope / (2 * 0.025)) - 1
# The pieces are so narrow that the curve is nearly straight in each. At the ends of the interval it is steepest, and
# no wall is near that would smooth the jump: there the error is the bound, but for a part in a thousand.
ratio = 1.0
""",
)

TASKS = (perceptron, jacobian, parity, price, bits, cross_entropy, line, bumps)
