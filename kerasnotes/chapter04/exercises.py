"""The tasks of chapter 04: a graph by hand and by program, back-propagation, its order, vanishing gradients."""

from itertools import pairwise

import numpy as np

from kerasnotes.course.tasks import Mend, Predict, Value, Write, Wrong

# --- 04.1 A graph by hand --------------------------------------------------------------------------------------------


def _graph():
    from kerasnotes.chapter04.chain_rule import Value as Node

    x, y = Node(2.0), Node(-1.0)
    product = x * y
    total = product + y
    square = total**2
    square.backward()
    return {"x": x, "y": y, "product": product, "sum": total, "f": square}


def _paths():
    nodes = _graph()
    return [nodes["product"].grad * nodes["x"].data, nodes["sum"].grad]


graph = Predict(
    title="A graph by hand",
    lesson="chapter04.chain_rule",
    minutes=10,
    text="""Draw the graph of f = (x y + y)² at x = 2, y = −1, with a node for the product x y, one for the sum and one
for the square. Write the values going forwards, a slope at each edge, and the gradients going back. What is
f, and what are the derivatives of f by the sum, by x and by y? Two paths lead from y to f: through the
product, and straight into the sum. What does each contribute?""",
    hints=(
        "Forwards: the product, then the sum. An edge into a product has the *other* factor as its slope.",
        "The edge from the sum into the square has the slope 2 · sum.",
        "Both edges into the sum have slope 1, so the product's gradient is that of the sum.",
        "The gradient of y is the sum over its two users: sum's gradient · 1 + product's gradient · x.",
    ),
    values=(
        Value(
            "f",
            "the value of f",
            want=lambda: _graph()["f"].data,
            wrong=(
                (lambda: 1.0, "x y is −2, and y is added once more: −3 before the square"),
                (lambda: -9.0, "a square is not negative"),
            ),
        ),
        Value(
            "by_sum",
            "∂f/∂(sum)",
            want=lambda: _graph()["sum"].grad,
            wrong=(
                (lambda: 6.0, "the sum is negative, and so is 2 · sum"),
                (lambda: -3.0, "that is the sum itself: the slope of the square is twice that"),
            ),
        ),
        Value(
            "by_x",
            "∂f/∂x",
            want=lambda: _graph()["x"].grad,
            wrong=(
                (lambda: -6.0, "the edge from x into the product has the slope y, which is −1"),
                (lambda: -12.0, "the edge from x into the product has the slope y, not x"),
                (lambda: -1.0, "that is the slope of the last edge only: multiply it by what comes back from f"),
            ),
        ),
        Value(
            "by_y",
            "∂f/∂y",
            want=lambda: _graph()["y"].grad,
            wrong=(
                (lambda: -12.0, "only the path through the product is in it: y is also added directly"),
                (lambda: -6.0, "only the direct path is in it: y is also a factor of the product"),
                (lambda: 18.0, "the sign of the sum: 2 · (−3) comes back"),
                (lambda: 72.0, "the paths were multiplied: contributions of several paths are added"),
            ),
        ),
        Value(
            "paths_from_y",
            "through the product, straight into the sum, a list",
            want=_paths,
            wrong=(
                (
                    lambda: [-6.0, -12.0],
                    "the two are exchanged: the path through the product has one edge with slope x",
                ),
                (
                    lambda: [2.0, 1.0],
                    "those are the slopes up to the sum: the edge into the square belongs to both paths",
                ),
                (lambda: [6.0, -6.0], "the edge from y into the product has the slope x, not y"),
            ),
        ),
    ),
    solution_code="""x, y = 2.0, -1.0
product = x * y  # -2
total = product + y  # -3
f = total**2
by_sum = 2 * total
by_x = by_sum * 1 * y  # back through the sum (slope 1) and the product (slope y)
paths_from_y = [by_sum * 1 * x, by_sum * 1]
by_y = sum(paths_from_y)  # added, never overwritten
""",
)

# --- 04.2 Backwards through any graph --------------------------------------------------------------------------------


def _overwriting(nodes):
    nodes[-1].grad = 1.0
    for node in reversed(nodes):
        for parent, slope in zip(node.parents, node.slopes, strict=True):
            parent.grad = slope * node.grad


def _no_start(nodes):
    for node in reversed(nodes):
        for parent, slope in zip(node.parents, node.slopes, strict=True):
            parent.grad += slope * node.grad


def _forwards(nodes):
    nodes[-1].grad = 1.0
    for node in nodes:
        for parent, slope in zip(node.parents, node.slopes, strict=True):
            parent.grad += slope * node.grad


def _slopes_alone(nodes):
    nodes[-1].grad = 1.0
    for node in reversed(nodes):
        for parent, slope in zip(node.parents, node.slopes, strict=True):
            parent.grad += slope


def _added(nodes):
    nodes[-1].grad = 1.0
    for node in reversed(nodes):
        for parent, slope in zip(node.parents, node.slopes, strict=True):
            parent.grad += slope + node.grad


def _all_start(nodes):
    for node in nodes:
        node.grad = 1.0
    _no_start(nodes)


def _gradients(function, build, *numbers):
    """What `function` leaves in the grad of the inputs of an expression."""
    from kerasnotes.chapter04.chain_rule import Value as Node

    inputs = [Node(number) for number in numbers]
    output = build(*inputs)
    function(output.graph())
    return [float(each.grad) for each in inputs]


def _doubled(x):
    for _ in range(60):
        x = x + x
    return x


def _check_backward(trial):
    trial.equal("x · y at 3 and 4: the gradients of x and y", lambda x, y: x * y, 3.0, 4.0, call=_gradients)
    trial.equal("2 x · y at 3 and 4", lambda x, y: 2 * x * y, 3.0, 4.0, call=_gradients)
    trial.equal(
        "(x + y) (y − z) at −1, 3, 2: y is used twice", lambda x, y, z: (x + y) * (y - z), -1.0, 3.0, 2.0,
        call=_gradients,
    )  # fmt: skip
    trial.equal("x · x · x at 2", lambda x: x * x * x, 2.0, call=_gradients)
    x, y, z = trial.rng.uniform(0.5, 2, size=3).tolist()
    trial.equal("a longer one", lambda x, y, z: ((x * y).tanh() + z * x).exp() / (x + z), x, y, z, call=_gradients)
    trial.equal("h = h + h, sixty times: 2⁶⁰", _doubled, 1.0, call=_gradients)


backward = Write(
    title="Backwards through any graph",
    lesson="chapter04.chain_rule",
    minutes=15,
    text=r"""A computation is given as a list of its nodes, each after those that it was computed from; the last one is
the output $f$. Every node has `parents`, `slopes` (its derivative by each parent, in the same order) and
`grad`, which is 0.0 at first. Set `grad` of every node to $∂f/∂node$: go through the list backwards, and let
every node hand its gradient on, $\bar u = \sum \bar v · ∂v/∂u$ over all nodes $v$ that use $u$. The list has
each node once.""",
    start='''def backward(nodes):
    """Fill in the derivatives of the last node by every node.

    Args:
        nodes: List of objects with the attributes grad (a number, 0.0), parents (a tuple of nodes) and slopes (a
            tuple of numbers, as many as parents). A node may occur twice among the parents of another.

    Returns:
        None; the attribute grad of every node has changed.
    """
    ...
''',
    name="backward",
    solution_code="""def backward(nodes):
    nodes[-1].grad = 1.0  # the output by itself
    for node in reversed(nodes):  # all that use a node come after it in the list: its gradient is complete
        for parent, slope in zip(node.parents, node.slopes):
            parent.grad += slope * node.grad  # added: a node may be used more than once
""",
    hints=(
        "Which derivative is known from the start? That of the output by itself.",
        "Two loops: over the nodes, last one first (`reversed(nodes)`), and over the parents of each.",
        "`zip(node.parents, node.slopes)` gives each parent with its slope. What it receives is slope times gradient.",
        "A node with two users receives twice: `parent.grad += slope * node.grad`.",
    ),
    check=_check_backward,
    wrong=(
        Wrong(_overwriting, "a node that is used twice keeps only one share: add to `grad`, do not overwrite it"),
        Wrong(_no_start, "everything stays 0: the output's own gradient has to be set to 1 first"),
        Wrong(
            _forwards, "the list was read from the front: a node can hand on its gradient only when that is complete"
        ),
        Wrong(_slopes_alone, "only the edge's slope was handed on: multiply it by the gradient of the node itself"),
        Wrong(_added, "slope and gradient were added: along a path slopes are multiplied"),
        Wrong(_all_start, "every node starts with 1: only the output does, the others with 0"),
    ),
)

# --- 04.3 Two units by hand ------------------------------------------------------------------------------------------

_X, _T = np.array([[2.0]]), np.array([[1.0]])


def _two_units():
    from kerasnotes.chapter04.backpropagation import SigmoidNetwork

    network = SigmoidNetwork((1, 1, 1), dtype="float64")
    network.weights = [np.array([[0.0]]), np.array([[2.0]])]
    network.biases = [np.array([0.0]), np.array([-1.0])]
    return network


def _errors():
    network = _two_units()
    return [float(delta[0, 0]) for delta in network.deltas(network.activations(_X), _T)]


def _two_gradients(kind):
    return [float(np.ravel(each)[0]) for each in _two_units().gradients(_X, _T)[kind]]


def _late_factor():
    from kerasnotes.chapter04.order_of_steps import late_hidden_delta

    return float(late_hidden_delta(_two_units(), _X, _T, 8.0)[0, 0]) / _errors()[0]


_LOSS_SIGN = "the sign: the error starts with output − target, which is −½"

two_units = Predict(
    title="Two units by hand",
    lesson="chapter04.backpropagation",
    minutes=20,
    text=r"""One input, one hidden sigmoid unit, one sigmoid output: $w_1 = 0$, $w_2 = 2$, $b_1 = 0$, $b_2 = −1$, the
loss is $½ (o − t)^2$. The input is 2, the target $t$ is 1. Find both δ and all four derivatives; every number
is a fraction with a small denominator. Then change $w_2$ first, by one step of descent with the learning rate
8, and compute the hidden δ with this new $w_2$: by what factor is it wrong (the late one over the right one)?""",
    hints=(
        "Forwards first: both weighted sums, both answers, and the slope of each sigmoid from its answer. (Sums of 0 "
        "give the answer ½.)",
        "δ of the output is (o − t) · o (1 − o); δ of the hidden unit is that times w₂, times its own slope ¼.",
        "The derivative by a weight is δ times what went into the weight; by a bias it is δ itself.",
        "The step changes w₂ by −8 · ∂L/∂w₂ = +½; the hidden δ is proportional to w₂.",
    ),
    values=(
        Value(
            "output_delta",
            "δ of the output",
            want=lambda: _errors()[1],
            wrong=(
                (lambda: 0.125, _LOSS_SIGN),
                (lambda: -0.5, "the slope of the output's sigmoid, o (1 − o), is missing"),
                (lambda: -0.25, "the slope of the loss is o − t = −½, without a factor 2: the ½ takes it away"),
            ),
        ),
        Value(
            "hidden_delta",
            "δ of the hidden unit",
            want=lambda: _errors()[0],
            wrong=(
                (lambda: 0.0625, _LOSS_SIGN),
                (lambda: -0.25, "the slope of the hidden sigmoid, h (1 − h), is missing"),
                (lambda: -1 / 32, "w₂ is missing: the error comes back through the weight 2"),
                (lambda: 0.0, "that is through w₁: the error of the output comes back through w₂"),
            ),
        ),
        Value(
            "weight_slopes",
            "∂L/∂w₁ and ∂L/∂w₂, a list",
            want=lambda: _two_gradients(0),
            wrong=(
                (lambda: [-0.0625, -0.125], "δ has to be multiplied by what went in: x for w₁, h for w₂"),
                (lambda: [0.125, 0.0625], _LOSS_SIGN),
                (lambda: [-0.0625, -0.0625], "x = 2 goes into w₁: its derivative is 2 δ"),
                (lambda: [-0.125, -0.25], "into w₂ goes the hidden value h = ½, not w₂ or x"),
            ),
        ),
        Value(
            "bias_slopes",
            "∂L/∂b₁ and ∂L/∂b₂, a list",
            want=lambda: _two_gradients(1),
            wrong=(
                (lambda: [0.0, 0.125], "a bias has the slope δ, whatever its value is"),
                (
                    lambda: [-0.125, -0.0625],
                    "those are the weights' slopes, or the order: b₁ belongs to the hidden unit",
                ),
                (lambda: [0.0625, 0.125], _LOSS_SIGN),
            ),
        ),
        Value(
            "late_factor",
            "hidden δ with the changed w₂ over the right one",
            want=_late_factor,
            wrong=(
                (lambda: 0.75, "the step goes against the derivative, which is negative: w₂ grows to 2.5"),
                (lambda: 0.8, "upside down: the late one over the right one"),
                (lambda: 1.5, "the derivative by w₂ is −1/16: eight times that is ½, so w₂ becomes 2.5"),
            ),
        ),
    ),
    solution_code="""x, t, w_2 = 2.0, 1.0, 2.0
h = 0.5  # sigmoid(0 · 2 + 0)
o = 0.5  # sigmoid(2 · ½ - 1)
output_delta = (o - t) * o * (1 - o)  # -1/8
hidden_delta = output_delta * w_2 * h * (1 - h)  # -1/16
weight_slopes = [x * hidden_delta, h * output_delta]  # -1/8, -1/16
bias_slopes = [hidden_delta, output_delta]
changed = w_2 - 8 * weight_slopes[1]  # 2.5
late_factor = changed / w_2  # the hidden δ is proportional to the weight that the error comes back through
""",
)

# --- 04.4 The gradients of a sigmoid network -------------------------------------------------------------------------


def _sigmoid(z):
    return 1 / (1 + np.exp(-z))


def _backpropagation(
    x, t, weights, biases, *, sign=1.0, output_slope=True, hidden_slope=True, mean=True, transposed=True, slope_of=None,
    double=1.0, biases_mean=True,
):  # fmt: skip
    layers = [x]
    for w, b in zip(weights, biases, strict=True):
        layers.append(_sigmoid(layers[-1] @ w + b))
    delta = double * sign * (layers[-1] - t)
    if output_slope:
        delta = delta * layers[-1] * (1 - layers[-1])
    n = len(x) if mean else 1
    by_weights, by_biases = [], []
    for i in reversed(range(len(weights))):
        by_weights.insert(0, layers[i].T @ delta / n)
        by_biases.insert(0, delta.sum(axis=0) / (n if biases_mean else 1))
        if i:
            delta = delta @ (weights[i].T if transposed else weights[i].reshape(weights[i].shape[::-1]))
            if hidden_slope:
                h = layers[i] if slope_of is None else slope_of(layers[i - 1] @ weights[i - 1] + biases[i - 1])
                delta = delta * h * (1 - h)
    return by_weights, by_biases


def _with(**changes):
    def gradients(x, t, weights, biases):
        return _backpropagation(x, t, weights, biases, **changes)

    return gradients


def _check_backpropagation(trial):
    first = [np.zeros((2, 2)), np.array([[2.0], [-2.0]])], [np.zeros(2), np.zeros(1)]
    trial.equal("one example: both layers answer ½", np.array([[1.0, 2.0]]), np.array([[1.0]]), *first)
    for sizes, batch in (((2, 3, 2), 4), ((4, 4, 4, 3), 5)):
        weights = [trial.rng.normal(size=pair) for pair in pairwise(sizes)]
        biases = [trial.rng.normal(size=size) for size in sizes[1:]]
        x, t = trial.rng.normal(size=(batch, sizes[0])), trial.rng.uniform(size=(batch, sizes[-1]))
        trial.equal(f"layers of {', '.join(map(str, sizes))} units, batch of {batch}", x, t, weights, biases)
    import tensorflow as tf

    variables = [[tf.constant(each) for each in group] for group in (weights, biases)]
    with tf.GradientTape() as tape:
        tape.watch(variables)
        h = tf.constant(x)
        for w, b in zip(*variables, strict=True):
            h = tf.sigmoid(h @ w + b)
        loss = tf.reduce_mean(tf.reduce_sum((h - t) ** 2, axis=1)) / 2
    got = trial.answer(x.copy(), t.copy(), [w.copy() for w in weights], [b.copy() for b in biases])
    want = tape.gradient(loss, variables)
    trial.check("equals the tape's: weights", [np.asarray(each) for each in got[0]], [each.numpy() for each in want[0]])
    trial.check("equals the tape's: biases", [np.asarray(each) for each in got[1]], [each.numpy() for each in want[1]])


backpropagation = Write(
    title="Back-propagation through sigmoid layers",
    lesson="chapter04.backpropagation",
    minutes=30,
    text=r"""Write the whole backward pass in NumPy, for any number of layers $h_l = σ(h_{l−1} W_l + b_l)$, $h_0 = x$,
with $σ(z) = 1 / (1 + e^{−z})$. The loss is $½ \sum_k (o_k − t_k)^2$, summed over the outputs and averaged
over the batch. The page has the three formulas: δ of the last layer, δ of the others, $∂L/∂W_l = h_{l−1}^T
δ_l$ over the number of examples. The slope by a bias is the mean of δ over the batch.""",
    start='''import numpy as np


def gradients(x, t, weights, biases):
    """The gradient of the loss by all parameters.

    Args:
        x: Inputs (batch, inputs).
        t: Targets (batch, outputs).
        weights: List of arrays (inputs of the layer, units), first layer first.
        biases: List of arrays (units,).

    Returns:
        `(by_weights, by_biases)`: lists of arrays in the shapes of weights and biases, first layer first.
    """
    ...
''',
    name="gradients",
    solution_code="""import numpy as np


def gradients(x, t, weights, biases):
    layers = [x]
    for w, b in zip(weights, biases):
        layers.append(1 / (1 + np.exp(-(layers[-1] @ w + b))))  # (batch, units)
    o = layers[-1]
    delta = (o - t) * o * (1 - o)  # (batch, outputs)
    by_weights, by_biases = [], []
    for number in reversed(range(len(weights))):
        h = layers[number]  # what went into this layer
        by_weights.insert(0, h.T @ delta / len(x))
        by_biases.insert(0, delta.mean(axis=0))
        if number > 0:
            delta = (delta @ weights[number].T) * h * (1 - h)  # of the layer below, from its own values
    return by_weights, by_biases
""",
    hints=(
        "Go forwards first and keep what every layer puts out: the backward pass needs all of it.",
        "The slope of a sigmoid is known from its value: h (1 − h). At the output: δ = (o − t) · o · (1 − o).",
        "One layer down: δ @ W.T has the shape (batch, units below); multiply it by h (1 − h) of *those* units.",
        "With δ of a layer and h, what went into it: `h.T @ delta / len(x)` and `delta.mean(axis=0)`.",
        "In a loop from the last layer to the first, collect with `.insert(0, …)`; do not compute a δ for the inputs.",
    ),
    check=_check_backpropagation,
    wrong=(
        Wrong(_with(sign=-1.0), "all signs are turned: the error starts with output − target"),
        Wrong(_with(output_slope=False), "the output's own slope o (1 − o) is missing in its δ"),
        Wrong(_with(hidden_slope=False), "the hidden layers' slopes h (1 − h) are missing on the way back"),
        Wrong(_with(mean=False), "the gradients are summed over the batch: the loss is its mean"),
        Wrong(_with(biases_mean=False), "the slopes by biases are summed over the batch: they are means, too"),
        Wrong(_with(transposed=False), "the weights were reshaped, not transposed: δ goes back with W.T"),
        Wrong(
            _with(slope_of=lambda z: z), "the slope was taken at the weighted sum: h (1 − h) needs the sigmoid's value"
        ),
        Wrong(_with(double=2.0), "a factor 2 too much: the ½ of the loss takes it away"),
    ),
)

# --- 04.5 It learns, and its gradient is wrong -----------------------------------------------------------------------

_STEP = """import numpy as np


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def train_step(x, t, w_1, w_2, learning_rate):
    h = sigmoid(x @ w_1)
    o = sigmoid(h @ w_2)
    output_delta = (o - t) * o * (1 - o)
{lines}
    return w_1, w_2
"""


def _step_program(*lines):
    return _STEP.format(lines="\n".join(f"    {line}" for line in lines))


_UPDATE_1 = "w_1 = w_1 - learning_rate * x.T @ hidden_delta / len(x)"
_UPDATE_2 = "w_2 = w_2 - learning_rate * h.T @ output_delta / len(x)"


def _check_step(trial):
    x, t = np.array([[2.0]]), np.array([[1.0]])
    trial.equal("one example, rate 8", x, t, np.array([[0.0]]), np.array([[2.0]]), 8.0)
    for sizes, rate in (((3, 4, 2), 1.0), ((5, 3, 4), 4.0)):
        x, t = trial.rng.normal(size=(6, sizes[0])), trial.rng.uniform(size=(6, sizes[2]))
        w_1, w_2 = trial.rng.normal(size=sizes[:2]), trial.rng.normal(size=sizes[1:])
        trial.equal(f"layers of {', '.join(map(str, sizes))} units, rate {rate:g}", x, t, w_1, w_2, rate)
    import tensorflow as tf

    weights = [tf.constant(w_1), tf.constant(w_2)]
    with tf.GradientTape() as tape:
        tape.watch(weights)
        o = tf.sigmoid(tf.sigmoid(x @ weights[0]) @ weights[1])
        loss = tf.reduce_mean(tf.reduce_sum((o - t) ** 2, axis=1)) / 2
    want = [w.numpy() - 2.0 * slope.numpy() for w, slope in zip(weights, tape.gradient(loss, weights), strict=True)]
    got = [np.asarray(w) for w in trial.answer(x.copy(), t.copy(), w_1.copy(), w_2.copy(), 2.0)]
    trial.check("both steps are those along the tape's gradient", got=got, want=want)


order = Mend(
    title="It learns, but not along its gradient",
    lesson="chapter04.order_of_steps",
    minutes=10,
    text=r"""This is one step of training of a network with a hidden layer (sigmoids without biases, loss ½ Σ (o − t)²,
averaged over the batch). It trains, somewhat slowly. Compared with the tape, the change of `w_2` is right and
that of `w_1` is not; the smaller the learning rate, the smaller is the relative difference. Mend it.""",
    start='''import numpy as np


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def train_step(x, t, w_1, w_2, learning_rate):
    """One step of gradient descent.

    Args:
        x: Inputs (batch, inputs).
        t: Targets (batch, outputs).
        w_1: Weights of the hidden layer (inputs, units).
        w_2: Weights of the output layer (units, outputs).
        learning_rate: Factor of the gradient.

    Returns:
        `(w_1, w_2)` after the step.
    """
    h = sigmoid(x @ w_1)
    o = sigmoid(h @ w_2)
    output_delta = (o - t) * o * (1 - o)
    w_2 = w_2 - learning_rate * h.T @ output_delta / len(x)
    hidden_delta = (output_delta @ w_2.T) * h * (1 - h)
    w_1 = w_1 - learning_rate * x.T @ hidden_delta / len(x)
    return w_1, w_2
''',
    name="train_step",
    solution_code='''import numpy as np


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def train_step(x, t, w_1, w_2, learning_rate):
    """One step of gradient descent."""
    h = sigmoid(x @ w_1)
    o = sigmoid(h @ w_2)
    output_delta = (o - t) * o * (1 - o)
    hidden_delta = (output_delta @ w_2.T) * h * (1 - h)  # all errors first, through the weights of the forward pass
    w_2 = w_2 - learning_rate * h.T @ output_delta / len(x)
    w_1 = w_1 - learning_rate * x.T @ hidden_delta / len(x)
    return w_1, w_2
''',
    hints=(
        "Every formula in it is right. So look at *when* each line runs.",
        "The error must come back through the same weights through which the signal went forwards.",
        "Which value has `w_2` when `hidden_delta` is computed?",
        "Compute both errors before any weight changes.",
    ),
    check=_check_step,
    wrong=(
        Wrong(
            _step_program(
                "old = w_2",
                "w_2 -= learning_rate * h.T @ output_delta / len(x)",
                "hidden_delta = (output_delta @ old.T) * h * (1 - h)",
                _UPDATE_1,
            ),
            "the hidden error still comes from changed weights: `old = w_2` is a second name, and `-=` reaches it too",
        ),
        Wrong(
            _step_program(
                _UPDATE_2,
                "o = sigmoid(h @ w_2)",
                "output_delta = (o - t) * o * (1 - o)",
                "hidden_delta = (output_delta @ w_2.T) * h * (1 - h)",
                _UPDATE_1,
            ),
            "the outputs were computed anew after `w_2` had changed: both steps belong to one forward pass",
        ),
        Wrong(
            _step_program(
                "hidden_delta = (output_delta @ w_2.T) * h * (1 - h)",
                _UPDATE_1,
                "h = sigmoid(x @ w_1)",
                _UPDATE_2,
            ),
            "now the hidden values were computed anew before `w_2` learns: both steps belong to one forward pass",
        ),
        Wrong(
            _step_program("hidden_delta = output_delta @ w_2.T", _UPDATE_2, _UPDATE_1),
            "the order is right now, but the hidden layer's slope h (1 − h) has gone",
        ),
        Wrong(
            _step_program(
                "hidden_delta = (output_delta @ w_2.T) * h * (1 - h)",
                _UPDATE_2.replace(" / len(x)", ""),
                _UPDATE_1.replace(" / len(x)", ""),
            ),
            "the division by the number of examples has gone: the loss is a mean over the batch",
        ),
        Wrong(
            _step_program("hidden_delta = (output_delta @ w_2.T) * h * (1 - h)", _UPDATE_2), "`w_1` no longer learns"
        ),
    ),
)

# --- 04.6 What is left of the error ----------------------------------------------------------------------------------

_SEEDS = range(2)


def _norms(depth, activation, initializer, seed):
    from kerasnotes.chapter04.depth import gradient_norms_by_layer

    return gradient_norms_by_layer(depth, activation, initializer, seed=seed)


def _power_of_ratio(activation, initializer):
    ratios = [norms[0] / norms[-1] for norms in (_norms(40, activation, initializer, seed) for seed in _SEEDS)]
    return float(np.mean(np.log10(ratios)))


def _halvings():
    medians = [[np.median(_norms(depth, "relu", "glorot", seed)) for depth in (20, 40)] for seed in _SEEDS]
    return float(np.mean([np.log2(shallow / deep) for shallow, deep in medians]))


vanishing = Predict(
    title="What is left after forty layers",
    lesson="chapter04.depth",
    minutes=15,
    text=r"""A network has 40 layers of sigmoids. Take the norm of the first layer's gradient over that of the
last: which power of ten is it with Glorot's start, which with He's? (With sigmoids an exponent that is off
by 2.5 counts as right, as the page's factor for a layer is a bound; with ReLU by 1.) Then ReLU with
Glorot's start: the exponent of the same ratio; and how often are the gradient norms of all layers halved
when 20 layers become 40?""",
    hints=(
        "From the last layer to the first the error passes 39 layers. Take the page's factor for one layer to the "
        "power of 39.",
        "With sigmoids the values h stay near ½ everywhere: only the errors count. log₁₀ 0.25 = −0.602; "
        "log₁₀(√2/4) = −0.452.",
        "ReLU with Glorot's start: a layer multiplies the errors by √½ on the way back and the values by √½ on the way "
        "forward. A gradient is a product of the two: which powers of √½ has the first layer's, which the last one's?",
        "Every gradient has √½ to the power of nearly the whole depth: level, and lower by (√½)²⁰ for 20 layers more.",
    ),
    values=(
        Value(
            "sigmoid_glorot",
            "sigmoid, Glorot: the exponent of ten",
            want=lambda: _power_of_ratio("sigmoid", "glorot"),
            rtol=0,
            atol=2.5,
            wrong=(
                (lambda: 24.8, "the sign: the first layer has less, so the exponent is negative"),
                (lambda: -54.0, "that is the exponent of e: divide by ln 10"),
                (lambda: -12.0, "that is a factor ½ for each layer: a sigmoid's slope is at most ¼"),
            ),
        ),
        Value(
            "sigmoid_he",
            "sigmoid, He: the exponent of ten",
            want=lambda: _power_of_ratio("sigmoid", "he"),
            rtol=0,
            atol=2.5,
            wrong=(
                (lambda: -25.0, "He's start has s √n = √2: a layer leaves √2/4, not ¼"),
                (lambda: -11.7, "s √n is √2, not 2: a layer leaves √2/4, not ½"),
            ),
        ),
        Value(
            "relu_glorot",
            "ReLU, Glorot: the exponent of ten",
            want=lambda: _power_of_ratio("relu", "glorot"),
            rtol=0,
            atol=1.0,
            wrong=(
                (lambda: -5.9, "errors shrink on the way back, but values shrink on the way forward just as much"),
                (lambda: 5.9, "values shrink on the way forward, but errors shrink on the way back just as much"),
            ),
        ),
        Value(
            "halvings",
            "ReLU, Glorot: how often the gradient norms are halved from 20 to 40 layers",
            want=_halvings,
            rtol=0,
            atol=1.5,
            wrong=(
                (lambda: 20.0, "a layer leaves √½, not ½"),
                (lambda: 0.0, "the curve is level, but it lies lower the more layers there are"),
                (lambda: -10.0, "they get smaller: count halvings as positive"),
            ),
        ),
    ),
    solution_code="""import math

# A sigmoid's slope is at most 1/4, and less where sums are away from 0: the true factors lie a little below 1/4 and
# √2/4, the more so with He's larger sums. Measured exponents are about -25 and -20.
sigmoid_glorot = 39 * math.log10(1 / 4)
sigmoid_he = 39 * math.log10(math.sqrt(2) / 4)
# The gradient of layer l is a product of what came forwards, (√½)^(l - 1), and what comes back, (√½)^(40 - l).
relu_glorot = 0.0
halvings = 20 / 2  # twenty layers more, each with √½
""",
)

TASKS = (graph, backward, two_units, backpropagation, order, vanishing)
