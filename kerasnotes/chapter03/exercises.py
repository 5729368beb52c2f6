"""The tasks of chapter 03: gradients by differences and by formula, steps of descent, Rprop, Adam, critical points."""

import math

import numpy as np

from kerasnotes.course.tasks import Mend, Predict, Value, Write, Wrong

# --- 03.1 A gradient by differences ----------------------------------------------------------------------------------


def _differences(function, x, step, ahead=1.0, behind=1.0, over=2.0, restore=True, dtype=np.float64):
    x = np.array(x, dtype)
    gradient = np.empty(x.shape)
    for index in np.ndindex(x.shape):
        moved = x.copy() if restore else x
        moved[index] += ahead * step
        upper = function(moved)
        moved[index] -= (ahead + behind) * step
        gradient[index] = (upper - function(moved)) / (over * step)
    return gradient


def _forward(function, x, step=1e-5):
    return _differences(function, x, step, behind=0.0, over=1.0)


def _one_step_wide(function, x, step=1e-5):
    return _differences(function, x, step, over=1.0)


def _backwards(function, x, step=1e-5):
    return -_differences(function, x, step)


def _not_restored(function, x, step=1e-5):
    return _differences(function, x, step, restore=False)


def _all_moved(function, x, step=1e-5):
    x = np.array(x, float)
    return np.full(x.shape, (function(x + step) - function(x - step)) / (2 * step))


def _whole_direction(function, x, step=1e-5):
    gradient = np.empty(x.shape)
    for index in np.ndindex(x.shape):
        move = np.zeros_like(x)  # of whole numbers where x is: the step becomes 0 there
        move[index] = step
        gradient[index] = (function(x + move) - function(x - move)) / (2 * step)
    return gradient


def _whole_numbers(function, x, step=1e-5):
    return _differences(function, x, step, dtype=np.asarray(x).dtype)


def _check_differences(trial):
    def squares(x):
        return (x**2).sum()

    def waves(x):
        return (np.sin(x) * np.arange(1, x.size + 1).reshape(x.shape)).sum() + x.prod()

    trial.equal("x² + y² at (1, 2), step ½: (2, 4)", squares, np.array([1.0, 2.0]), 0.5)
    trial.equal("the product x y at (1, 2), step ½: (2, 1)", lambda x: x.prod(), np.array([1.0, 2.0]), 0.5)
    for shape in ((3,), (2, 3)):
        trial.equal(f"a curved function, shape {shape}, step 0.1", waves, trial.rng.normal(size=shape), 0.1)
    trial.equal("x² + y² at whole numbers, (1, 2), step ½", squares, np.array([1, 2]), 0.5)
    import tensorflow as tf

    x = tf.constant(trial.rng.normal(size=(4,)))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.reduce_sum(tf.exp(x)) * x[0]
    got = trial.answer(lambda x: np.exp(x).sum() * x[0], x.numpy())
    trial.check("with the default step it equals the tape's gradient", got, tape.gradient(y, x), rtol=1e-6)


differences = Write(
    title="A gradient by central differences",
    lesson="chapter03.gradients",
    minutes=15,
    text=r"""Find the gradient of a function without differentiating it: for each number $x_i$ by itself, $(f(x + h e_i)
− f(x − h e_i)) / (2h)$, where $e_i$ is 1 at place $i$ and 0 elsewhere. Compute in float64, also where `x`
holds whole numbers. This is the tool that finds mistakes in gradients of your own.""",
    start='''import numpy as np


def numerical_gradient(function, x, step=1e-5):
    """The gradient of a function from central differences.

    Args:
        function: Takes an array of the shape of x, returns one number.
        x: Where to differentiate, an array of any shape, perhaps of whole numbers. It is not changed.
        step: The h.

    Returns:
        Array of the shape of x.
    """
    ...
''',
    name="numerical_gradient",
    solution_code="""import numpy as np


def numerical_gradient(function, x, step=1e-5):
    x = np.array(x, np.float64)  # a copy; whole numbers would swallow the step
    gradient = np.empty_like(x)
    for index in np.ndindex(x.shape):  # (0, 0), (0, 1), …: works for any shape
        ahead, behind = x.copy(), x.copy()
        ahead[index] += step
        behind[index] -= step
        gradient[index] = (function(ahead) - function(behind)) / (2 * step)
    return gradient
""",
    hints=(
        "A loop over all places of x; at each, two calls of the function.",
        "`for index in np.ndindex(x.shape)` walks through an array of any shape; `x[index]` is one number.",
        "Begin each place with a fresh copy of x, so that only one number is moved.",
        "`ahead = x.copy()`, `ahead[index] += step`, `behind` likewise with `-=`; then the difference of the values "
        "over `2 * step`. `x = np.array(x, np.float64)` first.",
    ),
    check=_check_differences,
    wrong=(
        Wrong(_forward, "the difference goes to one side only: take f(x + h) − f(x − h), whose error is far smaller"),
        Wrong(_one_step_wide, "the two points lie 2h apart: divide by 2h"),
        Wrong(_backwards, "the sign is turned: ahead minus behind"),
        Wrong(_not_restored, "a number stayed moved while the next one was tried: start from x itself at each place"),
        Wrong(_all_moved, "all numbers were moved at once: that gives the sum of the slopes, at every place"),
        Wrong(_whole_numbers, "in an array of whole numbers a step is cut off: make x an array of float64 first"),
        Wrong(
            _whole_direction,
            "x holds whole numbers, and so do its copies and zeros like it: convert to float64 before a step is added",
        ),
    ),
)

# --- 03.2 The error as it enters a network ---------------------------------------------------------------------------


def _softmax(z):
    import tensorflow as tf

    return tf.nn.softmax(z)


def _sum_to_one(y, logits):
    return _softmax(logits) - y


def _label_minus_answer(y, logits):
    return y - _softmax(logits) * _total(y)


def _total(y):
    import tensorflow as tf

    return tf.reduce_sum(y, axis=-1, keepdims=True)


def _per_class(y, logits):
    return (_softmax(logits) * _total(y) - y) / y.shape[-1]


def _per_example(y, logits):
    return (_softmax(logits) * _total(y) - y) / y.shape[0]


def _sum_of_batch(y, logits):
    import tensorflow as tf

    return _softmax(logits) * tf.reduce_sum(y) - y


def _own_slope_only(y, logits):
    return -y * (1 - _softmax(logits))


def _of_probabilities(y, logits):
    return -y / _softmax(logits)


def _check_loss_gradient(trial):
    import keras
    import tensorflow as tf

    y, z = tf.constant([[0.0, 1.0]]), tf.constant([[0.0, math.log(3.0)]])
    trial.equal("answer (1/4, 3/4), label (0, 1)", y, z)
    trial.equal("labels (1, 1), which sum to 2, equal logits", tf.constant([[1.0, 1.0]]), tf.zeros((1, 2)))
    for shape in ((3, 4), (2, 5)):
        y, z = (tf.constant(trial.rng.normal(size=shape)) for _ in range(2))
        trial.equal(f"any labels, shape {shape}", y, z)
    trial.gradient("its own slope by the logits", y, z, of=(1,))
    hot = tf.one_hot([0, 2], 5, dtype=tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(z)
        loss = keras.losses.categorical_crossentropy(hot, z, from_logits=True)
    trial.check("one-hot labels: equals the tape through Keras's loss", trial.answer(hot, z), tape.gradient(loss, z))


loss_gradient = Write(
    title="The error as it enters a network",
    lesson="chapter03.loss_gradients",
    minutes=10,
    text=r"""For one example with labels $y$ and logits $z$ the loss is $−\sum_k y_k \ln p_k$, $p = softmax(z)$. Write
its slope along the logits, $p_j \sum_k y_k − y_j$, for a batch: every row is an example, and neither the
batch nor the classes are averaged. The labels need not sum to one. Use `tf.nn.softmax`, but no tape.""",
    start='''import tensorflow as tf


def softmax_cross_entropy_gradient(y, logits):
    """The slope of each example's cross-entropy along its logits.

    Args:
        y: Labels, a float tensor (batch, classes): one-hot, or any numbers.
        logits: Any numbers, a tensor of the same shape.

    Returns:
        Tensor (batch, classes).
    """
    ...
''',
    name="softmax_cross_entropy_gradient",
    solution_code="""import tensorflow as tf


def softmax_cross_entropy_gradient(y, logits):
    p = tf.nn.softmax(logits)  # (batch, classes)
    return p * tf.reduce_sum(y, axis=-1, keepdims=True) - y  # the sum is (batch, 1): one for each example
""",
    hints=(
        "For labels that sum to one it is the answer minus the label. What changes if they do not?",
        "The sum of the labels is one number for each row: `axis=-1`.",
        "`keepdims=True` keeps its shape at (batch, 1), so that it multiplies its own row.",
        "`tf.nn.softmax(logits) * tf.reduce_sum(y, axis=-1, keepdims=True) - y`.",
    ),
    check=_check_loss_gradient,
    wrong=(
        Wrong(_sum_to_one, "p − y holds only for labels that sum to one: p has to be multiplied by their sum"),
        Wrong(_label_minus_answer, "the sign is turned: that is the direction of descent, not the slope"),
        Wrong(_per_class, "divided by the number of classes: the loss is a sum over them"),
        Wrong(_per_example, "divided by the size of the batch: every example keeps its own slope here"),
        Wrong(_sum_of_batch, "the labels of the whole batch were summed: each row has its own sum"),
        Wrong(
            _own_slope_only, "only the slope of each probability along its own logit is in it: all others count, too"
        ),
        Wrong(
            _of_probabilities, "that is the slope along the probabilities; softmax's slope is still to be multiplied"
        ),
    ),
)

# --- 03.3 Three steps of descent -------------------------------------------------------------------------------------


def _slope(w):
    return 4 * w


def _path(rate, steps):
    from kerasnotes.chapter03.descent import gradient_descent

    return gradient_descent(_slope, [1.0], rate, steps)[:, 0]


def _ratio():
    from kerasnotes.chapter03.descent import convergence_ratio

    return float(convergence_ratio(_path(0.1, 3)[:, None], [0.0])[0])


def _limit_rate():
    low, high = 0.01, 10.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if abs(_path(middle, 1)[1]) < 1 else (low, middle)
    return low


descent = Predict(
    title="Three steps of descent",
    lesson="chapter03.descent",
    minutes=10,
    text="""Descend on f(w) = 2w² from w = 1 with the learning rate 0.1. Where is w after one, two and three steps? By
which ratio does a step shrink the distance from the minimum, and by which the value of f? Which learning rate
arrives in one step, and from which learning rate on does descent no longer come nearer?""",
    hints=(
        "The slope of 2w² is 4w, and a step is w ← w − rate · slope.",
        "Every step multiplies w by the same number, 1 − rate · curvature. What is the curvature (the second "
        "derivative) of 2w²?",
        "The value of f is a square: what a step does to w it does twice to f.",
        "With the curvature λ = 4: one step for the rate 1/λ; at 2/λ the ratio is −1.",
    ),
    values=(
        Value(
            "path",
            "w after one, two and three steps, a list",
            want=lambda: _path(0.1, 3)[1:].tolist(),
            rtol=1e-3,
            wrong=(
                (lambda: [0.8, 0.64, 0.512], "the slope of 2w² is 4w, not 2w"),
                (lambda: [1.4, 1.96, 2.744], "steps go against the slope, w − rate · slope"),
                (lambda: [0.6, 0.2, -0.2], "the slope has to be taken anew after every step: it gets smaller"),
                (lambda: [0.8, 0.672, 0.5817], "2w² is the value of f: a step goes along its slope, 4w"),
            ),
        ),
        Value(
            "ratio_of_error",
            "the ratio of the distance, a step",
            want=_ratio,
            rtol=1e-3,
            wrong=(
                (lambda: 0.4, "that is the part that goes; the ratio is the part that stays"),
                (lambda: 0.36, "that is the ratio of the values of f"),
                (lambda: 0.8, "the curvature of 2w² is 4"),
            ),
        ),
        Value(
            "ratio_of_value",
            "the ratio of f, a step",
            want=lambda: float((2 * _path(0.1, 1)[1] ** 2) / (2 * _path(0.1, 1)[0] ** 2)),
            rtol=1e-3,
            wrong=(
                (lambda: 0.6, "that is the ratio of the distance; f goes with its square"),
                (lambda: 0.64, "the curvature of 2w² is 4: first the ratio of the distance, then its square"),
            ),
        ),
        Value(
            "best_rate",
            "the rate that arrives in one step",
            want=lambda: 1 / (_slope(1.0) - _slope(0.0)),
            rtol=1e-3,
            wrong=((lambda: 0.5, "the curvature of 2w² is 4, not 2: solve 1 − 4 · rate = 0"),),
        ),
        Value(
            "limit_rate",
            "the rate from which on descent comes no nearer",
            want=_limit_rate,
            rtol=1e-3,
            wrong=(
                (lambda: 0.25, "at that rate it arrives in one step; beyond, it overshoots and still comes nearer"),
                (lambda: 1.0, "the curvature of 2w² is 4: solve 1 − 4 · rate = −1"),
            ),
        ),
    ),
    solution_code="""rate, curvature = 0.1, 4.0  # the slope of 2w² is 4w, its slope 4
ratio_of_error = 1 - rate * curvature
path = [ratio_of_error, ratio_of_error**2, ratio_of_error**3]
ratio_of_value = ratio_of_error**2  # f is a square
best_rate = 1 / curvature  # the ratio is 0
limit_rate = 2 / curvature  # the ratio is -1: from w to -w and back
""",
)

# --- 03.4 A path that is one point -----------------------------------------------------------------------------------

_DESCENT = """import numpy as np


def descend(gradient, start, learning_rate, steps):
    w = {first}
    path = [{begin}]
    for _ in range(steps):
        {move}
        path.append({kept})
    return {result}
"""


def _descent_program(
    first="np.array(start)", begin="w.copy()", move="w -= learning_rate * gradient(w)", kept="w.copy()",
    result="np.array(path)",
):  # fmt: skip
    return _DESCENT.format(first=first, begin=begin, move=move, kept=kept, result=result)


def _path_and_start(function, start, curvatures, learning_rate, steps):
    """The path, and the array that was handed in, after the call; the slope is curvatures · w."""
    return [function(lambda w: curvatures * w, start, learning_rate, steps), start]


def _check_path(trial):
    label = "the path from (1, −2) with the slope curvatures · w, and the start after the call"
    trial.equal(label, np.array([1.0, -2.0]), np.array([2.0, 2.0]), 0.25, 2, call=_path_and_start)
    for dims, steps in ((3, 4), (1, 6)):
        start, curvatures = trial.rng.normal(size=dims), trial.rng.uniform(1, 5, size=dims)
        label = f"{steps} steps with {dims} weights"
        trial.equal(label, start, curvatures, 0.1, steps, call=_path_and_start)
    trial.equal("no step at all", np.array([3.0]), np.array([1.0]), 0.1, 0, call=_path_and_start)


one_point = Mend(
    title="A path that is a single point",
    lesson="chapter03.descent",
    minutes=10,
    text="""This program descends and keeps its path, to be drawn. In the picture the path is a single point: all rows
of the array are the same, and equal to where descent ends. Besides, a second run from the same `start` begins
where the first one ended. Mend it: the path has the start in its first row, and `start` stays as it is.""",
    start='''import numpy as np


def descend(gradient, start, learning_rate, steps):
    """Step against the gradient, again and again.

    Args:
        gradient: Takes an array (dims,), returns the gradient there, (dims,).
        start: Where to begin, a float array (dims,).
        learning_rate: The step is this number times the gradient.
        steps: How many steps.

    Returns:
        The path, an array (steps + 1, dims), start included.
    """
    w = start
    path = [w]
    for _ in range(steps):
        w -= learning_rate * gradient(w)
        path.append(w)
    return np.array(path)
''',
    name="descend",
    solution_code='''import numpy as np


def descend(gradient, start, learning_rate, steps):
    """Step against the gradient, again and again."""
    w = start
    path = [w]
    for _ in range(steps):
        w = w - learning_rate * gradient(w)  # a new array; -= would change the one that has other names as well
        path.append(w)
    return np.array(path)
''',
    hints=(
        "How many arrays does the program make in its loop? Print `path[0] is path[1]`.",
        "`w -= …` changes the numbers of the array in place, under all names that the array has: `w`, `start`, and "
        "every entry of `path`.",
        "Either make a new array in each step, or keep copies, of the start as well.",
        "`w = w - learning_rate * gradient(w)` mends both faults.",
    ),
    check=_check_path,
    wrong=(
        Wrong(
            _descent_program(first="start"),
            "the path is right, but the caller's `start` has moved: `-=` reaches it under its other name",
        ),
        Wrong(
            _descent_program(begin="w", kept="w"),
            "the entries of the path are still one array: what is kept has to be a copy, or w a new array each time",
        ),
        Wrong(
            _descent_program(first="start", begin="w", kept="w.copy()"),
            "the first row is still the array that moves, and so is the caller's `start`",
        ),
        Wrong(
            _descent_program(first="start", begin="w[:]", kept="w[:]"),
            "`w[:]` of an array is a view of the same numbers, unlike that of a list: use `w.copy()`",
        ),
        Wrong(_descent_program(result="np.array(path[1:])"), "the first row is missing: the path includes the start"),
        Wrong(_descent_program(result="np.array(path[:-1])"), "the last row is missing: a path has steps + 1 points"),
    ),
)

# --- 03.5 The mean of a path -----------------------------------------------------------------------------------------


def _averaged(path, share):
    means = np.array(path, float)
    for t in range(2, len(path) + 1):
        c = share(t)
        means[t - 1] = (1 - c) * means[t - 2] + c * path[t - 1]
    return means


def _counted_from_zero(path, gamma=3):
    return _averaged(path, lambda t: (gamma + 1) / (t - 1 + gamma))


def _counted_too_far(path, gamma=3):
    return _averaged(path, lambda t: (gamma + 1) / (t + 1 + gamma))


def _swapped(path, gamma=3):
    return _averaged(path, lambda t: 1 - (gamma + 1) / (t + gamma))


def _gamma_alone(path, gamma=3):
    return _averaged(path, lambda t: gamma / (t + gamma))


def _plain_mean(path, gamma=3):
    return _averaged(path, lambda t: 1 / t)


def _last_only(path, gamma=3):
    return _averaged(path, lambda t: (gamma + 1) / (t + gamma))[-1]


def _check_average(trial):
    trial.equal("3, 0, 4 with γ = 1: 3, 1, 2.5", np.array([[3.0], [0.0], [4.0]]), 1)
    for steps, dims, gamma in ((6, 2, 3), (10, 3, 2)):
        path = trial.rng.normal(size=(steps, dims))
        trial.equal(f"{steps} points with {dims} weights, γ = {gamma}", path, gamma)
    path = trial.rng.normal(size=(7, 2))
    want = np.cumsum(path, axis=0) / np.arange(1, 8)[:, None]
    trial.check("with γ = 0 it is the plain mean of the points so far", got=trial.answer(path, 0), want=want)


average = Write(
    title="A mean that forgets its start",
    lesson="chapter03.stochastic",
    minutes=10,
    text=r"""A path $w_1, w_2, …$ hovers around the minimum. Write its polynomial average, $m_1 = w_1$ and $m_t = (1 −
c_t) m_{t−1} + c_t w_t$ with $c_t = (γ + 1) / (t + γ)$; the first point of the path has $t = 1$. The path
itself does not change.""",
    start='''import numpy as np


def polynomial_average(path, gamma=3):
    """The running mean of a path that gives later points more weight.

    Args:
        path: Points (steps, dims), a float array; row 0 is the point t = 1.
        gamma: 0 for the plain mean; the larger, the sooner the start is forgotten.

    Returns:
        All means m_1, m_2, …, an array of the shape of path.
    """
    ...
''',
    name="polynomial_average",
    solution_code="""import numpy as np


def polynomial_average(path, gamma=3):
    means = path.copy()
    for t in range(2, len(path) + 1):  # m_1 is w_1; row t - 1 holds the point t
        c = (gamma + 1) / (t + gamma)
        means[t - 1] = (1 - c) * means[t - 2] + c * path[t - 1]
    return means
""",
    hints=(
        "A loop over t, in which each mean needs only the one before and one point.",
        "Row t − 1 holds the point t: Python counts rows from 0, the formula counts from 1.",
        "At t = 1 the share c is 1, so the first mean is the first point.",
        "`c = (gamma + 1) / (t + gamma)`, `means[t - 1] = (1 - c) * means[t - 2] + c * path[t - 1]` for t = 2, 3, …",
    ),
    check=_check_average,
    wrong=(
        Wrong(_counted_from_zero, "t is one too small: the second point has t = 2"),
        Wrong(_counted_too_far, "t is one too large: the first point has t = 1, the second t = 2"),
        Wrong(_swapped, "the shares are exchanged: c belongs to the new point, 1 − c to the mean so far"),
        Wrong(_gamma_alone, "the numerator is γ + 1: with γ = 0 it has to be the plain mean"),
        Wrong(_plain_mean, "that is the plain mean: γ is not used"),
        Wrong(_last_only, "that is the last mean: all of them are asked for, one for each point"),
    ),
)

# --- 03.6 Rprop by hand ----------------------------------------------------------------------------------------------

_SLOPES = (3.0, 0.1, -5.0, -2.0)


def _rprop(factor=1.0):
    from kerasnotes.chapter03.rprop import Rprop

    method, path = Rprop(), [np.zeros(1)]
    for slope in _SLOPES:
        path.append(method.step(path[-1], factor * np.array([slope])))
    return np.array(path)[:, 0]


rprop = Predict(
    title="Rprop by hand",
    lesson="chapter03.rprop",
    minutes=15,
    text="""One weight starts at 0 and sees the slopes 3, 0.1, −5, −2, in this order. Follow Rprop with its
default settings for four steps: the first step is 0.01; a step is multiplied by 1.2 where the sign has
stayed and by 0.5 where it has turned. Where it has turned, the last move is taken back instead of a new
one, and the next step counts as if the slope before it had been 0. Where is the weight after each step, and
how long is the fourth? Where does it end if all slopes are a thousand times larger?""",
    hints=(
        "Sizes of slopes do not matter, only their signs: +, +, −, −.",
        "Second step: the sign has stayed, so the step grows to 0.01 · 1.2. A positive slope moves the weight down.",
        "Third step: the sign has turned. The step is halved to 0.006, but what happens to the weight is that the move "
        "−0.012 is undone.",
        "Fourth step: the product with the slope before counts as 0, so the step keeps its length, 0.006, and goes up.",
    ),
    values=(
        Value(
            "weights",
            "the weight after each of the four steps, a list",
            want=lambda: _rprop()[1:].tolist(),
            rtol=1e-3,
            wrong=(
                (
                    lambda: [-0.01, -0.022, -0.016, -0.0088],
                    "at the turn a new step was taken: instead, the last move is undone",
                ),
                (
                    lambda: [-0.01, -0.022, -0.016, -0.01],
                    "when the sign turns there is no new step: the last one is taken back, to −0.01",
                ),
                (
                    lambda: [-0.01, -0.022, -0.01, -0.0028],
                    "the fourth step has grown: after a turn the slope before counts as 0, so its length stays",
                ),
                (lambda: [0.01, 0.022, 0.01, 0.004], "the sign: a weight moves against its slope"),
                (
                    lambda: [-0.01, -0.02, -0.01, -0.005],
                    "the second step has not grown: while the sign stays it is multiplied by 1.2",
                ),
                (
                    lambda: [-0.012, -0.0264, -0.012, -0.0048],
                    "the first step has grown already: before it there is no slope to agree with",
                ),
            ),
        ),
        Value(
            "fourth_step",
            "the length of the fourth step",
            want=lambda: float(abs(np.diff(_rprop())[3])),
            rtol=1e-3,
            wrong=(
                (lambda: 0.0072, "it has grown: after a turn the slope before counts as 0, so the length stays"),
                (lambda: 0.012, "at the turn the step was halved"),
                (lambda: 0.005, "half of the *second* step is left at the turn, not half of the first"),
            ),
        ),
        Value(
            "end_of_large_slopes",
            "where it ends with slopes a thousand times larger",
            want=lambda: float(_rprop(1000.0)[-1]),
            rtol=1e-3,
            wrong=((lambda: 1000 * float(_rprop()[-1]), "sizes of slopes do not count, only signs: nothing changes"),),
        ),
    ),
    solution_code="""first = 0.01
second = 1.2 * first  # the sign has stayed
third = 0.5 * second  # the sign has turned: halved, but the weight only goes back by the second step
weights = [-first, -first - second, -first, -first + third]
fourth_step = third  # neither agreement nor turn: the slope before counts as 0
end_of_large_slopes = weights[-1]  # only signs count
""",
)

# --- 03.7 A step of Adam ---------------------------------------------------------------------------------------------


def _adam(
    w, gradient, m, v, t, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7, *, share_1=None, square=True,
    first=True, second=True, root=True, inside=False, sign=-1.0, early=False,
):  # fmt: skip
    m = beta_1 * m + (1 - beta_1 if share_1 is None else share_1) * gradient
    v = beta_2 * v + (1 - beta_2) * (gradient**2 if square else np.abs(gradient))
    corrected_m = m / (1 - beta_1**t) if first else m
    factor = np.sqrt(1 - beta_2**t) if second else 1.0
    if early:
        below = np.sqrt(v) / factor + epsilon
    elif inside:
        below = np.sqrt(v + epsilon) / factor
    else:
        below = ((np.sqrt(v) if root else v) + epsilon) / factor
    return w + sign * learning_rate * corrected_m / below, m, v


def _adam_without(**changes):
    def step(w, gradient, m, v, t, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
        return _adam(w, gradient, m, v, t, learning_rate, beta_1, beta_2, epsilon, **changes)

    return step


def _check_adam(trial):
    trial.equal("first step from 1 with slope 2", np.array([1.0]), np.array([2.0]), np.zeros(1), np.zeros(1), 1, 0.1)
    for dims, t in ((3, 2), (4, 10)):
        w, gradient, m = trial.rng.normal(size=(3, dims))
        v = trial.rng.uniform(0.1, 1, size=dims)
        trial.equal(f"step {t} of {dims} weights", w, gradient, m, v, t, 0.1)
    small = np.array([1e-6])
    trial.equal("a very small slope, where ε shows", np.zeros(1), small, np.zeros(1), np.zeros(1), 1, 1.0)
    import keras
    import tensorflow as tf

    w, m, v = np.array([1.0, -2.0]), np.zeros(2), np.zeros(2)
    variable, library = keras.Variable(w, dtype="float64"), keras.optimizers.Adam(0.1)
    for t in range(1, 6):
        slope = trial.rng.normal(size=2)
        w, m, v = trial.answer(w, slope, m, v, t, learning_rate=0.1)
        library.apply([tf.constant(slope)], [variable])
    trial.check("five steps equal Keras's Adam", got=w, want=variable.numpy(), atol=1e-6)


adam = Write(
    title="A step of Adam",
    lesson="chapter03.optimizers",
    minutes=15,
    text=r"""Write one step of Adam in NumPy: $m ← β_1 m + (1 − β_1) g$, $v ← β_2 v + (1 − β_2) g^2$ and $w ← w − η ·
\sqrt{1 − β_2^t} / (1 − β_1^t) · m / (\sqrt v + ε)$, with the new $m$ and $v$. The first step has $t = 1$.""",
    start='''import numpy as np


def adam_step(w, gradient, m, v, t, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
    """One step of Adam.

    Args:
        w: Weights (dims,).
        gradient: Slopes g at these weights, (dims,).
        m, v: The running means of slopes and of their squares before this step, (dims,) each.
        t: Number of this step, from 1 on.
        learning_rate, beta_1, beta_2, epsilon: η, β₁, β₂, ε.

    Returns:
        `(w, m, v)` after the step, three arrays (dims,).
    """
    ...
''',
    name="adam_step",
    solution_code="""import numpy as np


def adam_step(w, gradient, m, v, t, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
    m = beta_1 * m + (1 - beta_1) * gradient
    v = beta_2 * v + (1 - beta_2) * gradient**2
    correction = np.sqrt(1 - beta_2**t) / (1 - beta_1**t)  # both means start at zero and are too small at first
    w = w - learning_rate * correction * m / (np.sqrt(v) + epsilon)
    return w, m, v
""",
    hints=(
        "Three lines: the mean of slopes, the mean of squares, the move. The move uses the two means just updated.",
        "The very first step of each weight is as long as the learning rate, if its slope is not tiny: a good check.",
        "The correction is a factor, `np.sqrt(1 - beta_2**t) / (1 - beta_1**t)`; ** binds before −.",
        "`w - learning_rate * correction * m / (np.sqrt(v) + epsilon)`: ε is added outside the root.",
    ),
    check=_check_adam,
    wrong=(
        Wrong(
            _adam_without(first=False, second=False),
            "the correction is missing: both means start at zero, and the first steps come out wrong",
        ),
        Wrong(_adam_without(second=False), "the correction of the squares is missing, √(1 − β₂ᵗ)"),
        Wrong(_adam_without(first=False), "the correction of the slopes is missing, 1 / (1 − β₁ᵗ)"),
        Wrong(_adam_without(root=False), "the root of v is missing: slopes are divided by their usual size, √v"),
        Wrong(_adam_without(square=False), "v is the mean of *squares* of slopes"),
        Wrong(_adam_without(share_1=1.0), "the new slope counts with the share 1 − β₁, so that m is a mean"),
        Wrong(_adam_without(sign=1.0), "the step goes up the slope: it has to be taken away from w"),
        Wrong(_adam_without(inside=True), "ε stands inside the root: here it is added to √v"),
        Wrong(
            _adam_without(early=True),
            "ε was added to the corrected root: that is the paper's other form; here it is added to √v itself",
        ),
    ),
)

# --- 03.8 A valley of a thousand -------------------------------------------------------------------------------------

_CONDITION = 1000.0


def _valley(turn):
    c, s = math.cos(turn), math.sin(turn)
    rotation = np.array([[c, -s], [s, c]])
    return rotation @ np.diag([1.0, _CONDITION]) @ rotation.T


def _steps(path, bound=1e-6):
    return int(np.flatnonzero(np.linalg.norm(path, axis=1) < bound)[0])


def _descent_steps(bound=1e-6):
    from kerasnotes.chapter03.descent import gradient_descent

    matrix = _valley(0.0)
    return _steps(gradient_descent(lambda w: matrix @ w, [1.0, 1.0], 2 / (1 + _CONDITION), 10000), bound)


def _newton_steps():
    import tensorflow as tf

    from kerasnotes.chapter03.second_order import newton

    matrix = tf.constant(_valley(0.5))
    return _steps(newton(lambda w: tf.reduce_sum(w * tf.linalg.matvec(matrix, w)) / 2, [1.0, 1.0], 2))


def _quickprop_steps(turn):
    from kerasnotes.chapter03.second_order import quickprop

    matrix = _valley(turn)
    return _steps(quickprop(lambda w: matrix @ w, [1.0, 1.0], 5000, 1 / _CONDITION))


valley = Predict(
    title="Steps in a valley of a thousand",
    lesson="chapter03.second_order",
    minutes=20,
    text="""A quadratic valley has the curvatures 1 and 1000. Descend from (1, 1) at the best learning rate, at which
each step shrinks both directions by the same factor, (κ − 1)/(κ + 1). How many steps does it take until the
distance to the minimum is below 10⁻⁶? How many more for each further digit? How many does Newton need, at
rate 1? And if the valley is turned by 0.5 (in radians, about 29°), with the same start (1, 1): write 1 if a
method then needs more steps, else 0, for gradient descent, Newton, Quickprop.""",
    hints=(
        "At the best rate 2 / (λ₁ + λ₂) each step leaves the same ratio of the distance, (κ − 1)/(κ + 1).",
        "The distance starts at √2. Solve √2 · ratioᵗ < 10⁻⁶ with logarithms, and round up.",
        "One more digit is a factor 10: ln 10 / −ln ratio steps. Newton sees the whole Hessian of a quadratic.",
        "At the best rate descent shrinks the distance by the same factor along both axes of the valley, so it is all "
        "one how the start is shared between them; Newton sees the whole Hessian. Quickprop treats every weight as "
        "if the others stood still: turned, they do not.",
    ),
    values=(
        Value(
            "descent_steps",
            "steps of gradient descent",
            want=_descent_steps,
            rtol=1e-3,
            wrong=(
                (lambda: math.log(1e6) / -math.log(999 / 1001), "the distance starts at √2, not at 1"),
                (lambda: 14161, "that is for the ratio 1 − 1/κ, the rate 1/λ₂: the best rate is nearly twice that"),
                (lambda: 3541, "the ratio of the distance was taken for that of f: f falls with its square"),
            ),
        ),
        Value(
            "steps_per_digit",
            "steps for each further digit, rounded or not",
            want=lambda: (_descent_steps(1e-8) - _descent_steps(1e-4)) / 4,
            rtol=3e-3,
            wrong=(
                (lambda: 500.0, "that is for a factor e: a digit is a factor 10"),
                (lambda: 7082 / 6, "the first digits also have to bring √2 down: compute ln 10 / −ln ratio"),
            ),
        ),
        Value(
            "newton_steps",
            "steps of Newton",
            want=_newton_steps,
            rtol=0,
            wrong=((lambda: 2, "one jump is enough for both directions at once: H⁻¹ g is w itself"),),
        ),
        Value(
            "slower_when_turned",
            "1 or 0 for gradient descent, Newton, Quickprop, a list",
            want=lambda: [0, 0, int(_quickprop_steps(0.5) > _quickprop_steps(0.0))],
            rtol=0,
            wrong=(
                (lambda: [1, 0, 1], "at the best rate both directions shrink by one factor, however the valley lies"),
                (lambda: [0, 0, 0], "one method takes each weight by itself, and so sees the axes"),
                (lambda: [1, 1, 1], "a method that uses only gradient vectors and the Hessian cannot see the axes"),
            ),
        ),
    ),
    solution_code="""import math

ratio = (1000 - 1) / (1000 + 1)  # each step, in both directions, at the rate 2 / 1001
descent_steps = math.ceil(math.log(1e-6 / math.sqrt(2)) / math.log(ratio))
steps_per_digit = math.log(10) / -math.log(ratio)
newton_steps = 1  # w - H⁻¹ H w = 0
slower_when_turned = [0, 0, 1]  # Quickprop's secant is the curvature of a weight only while the others stand still
""",
)

# --- 03.9 What a critical point is -----------------------------------------------------------------------------------


def _by_signs(values, tolerance=1e-6, order=("minimum", "maximum")):
    up, down = values > tolerance, values < -tolerance
    if up.any() and down.any():
        return "saddle"
    return order[0] if up.all() else order[1] if down.all() else "undecided"


def _by_diagonal(hessian, tolerance=1e-6):
    return _by_signs(np.diag(hessian), tolerance)


def _by_entries(hessian, tolerance=1e-6):
    return _by_signs(np.ravel(hessian), tolerance)


def _by_determinant(hessian, tolerance=1e-6):
    determinant, trace = np.linalg.det(hessian), np.trace(hessian)
    if abs(determinant) <= tolerance:
        return "undecided"
    return "saddle" if determinant < 0 else "minimum" if trace > 0 else "maximum"


def _exchanged(hessian, tolerance=1e-6):
    return _by_signs(np.linalg.eigvalsh(hessian), tolerance, order=("maximum", "minimum"))


def _zero_is_positive(hessian, tolerance=1e-6):
    values = np.linalg.eigvalsh(hessian)
    if (values >= -tolerance).all():
        return "minimum"
    return "maximum" if (values <= tolerance).all() else "saddle"


def _no_tolerance(hessian, tolerance=1e-6):
    return _by_signs(np.linalg.eigvalsh(hessian), 0.0)


def _any_zero_undecided(hessian, tolerance=1e-6):
    values = np.linalg.eigvalsh(hessian)
    return "undecided" if (np.abs(values) <= tolerance).any() else _by_signs(values, tolerance)


def _check_critical(trial):
    trial.equal("curvatures 2 and 1", np.diag([2.0, 1.0]))
    trial.equal("diagonal 1 and 1, beside it 2: eigenvalues 3 and −1", np.array([[1.0, 2.0], [2.0, 1.0]]))
    trial.equal("diagonal 2 and 2, beside it −1: eigenvalues 3 and 1", np.array([[2.0, -1.0], [-1.0, 2.0]]))
    trial.equal("curvatures −1 and −2", np.diag([-1.0, -2.0]))
    trial.equal("curvatures −1, −1 and 3", np.diag([-1.0, -1.0, 3.0]))
    trial.equal("curvatures 1 and 0", np.diag([1.0, 0.0]))
    trial.equal("curvatures −1 and 0", np.diag([-1.0, 0.0]))
    trial.equal("curvatures 1, 0 and −1", np.diag([1.0, 0.0, -1.0]))
    trial.equal("curvatures 1 and 10⁻⁹, which counts as zero", np.diag([1.0, 1e-9]))
    trial.equal("curvatures 1 and 0.01, with the tolerance 0.1", np.diag([1.0, 0.01]), 0.1)
    trial.equal("curvatures 2 and 0", np.diag([2.0, 0.0]))
    for eigenvalues in ((1.0, 2.0, 0.5), (-1.0, 2.0, 0.5), (-3.0, -1.0, -2.0), (-3.0, -1.0, 0.0)):
        basis = np.linalg.qr(trial.rng.normal(size=(3, 3)))[0]
        trial.equal(f"eigenvalues {eigenvalues}, turned", basis @ np.diag(eigenvalues) @ basis.T)


critical = Write(
    title="Minimum, maximum, saddle",
    lesson="chapter03.critical_points",
    minutes=10,
    text=r"""The gradient is zero: what is it? Decide by the eigenvalues of the Hessian, as the page does: all above 0 a
minimum, all below 0 a maximum, both signs a saddle (also if there is a zero beside them); otherwise, with a
zero among others of one sign, it is undecided. An eigenvalue counts as zero if its size is at most
`tolerance`.""",
    start='''import numpy as np


def classify(hessian, tolerance=1e-6):
    """What a critical point is.

    Args:
        hessian: Matrix of second derivatives (dims, dims), symmetric.
        tolerance: Eigenvalues of at most this size count as zero.

    Returns:
        `"minimum"`, `"maximum"`, `"saddle"` or `"undecided"`.
    """
    ...
''',
    name="classify",
    solution_code="""import numpy as np


def classify(hessian, tolerance=1e-6):
    eigenvalues = np.linalg.eigvalsh(hessian)  # of a symmetric matrix
    up, down = eigenvalues > tolerance, eigenvalues < -tolerance
    if up.any() and down.any():
        return "saddle"
    if up.all():
        return "minimum"
    return "maximum" if down.all() else "undecided"
""",
    hints=(
        "`np.linalg.eigvalsh` returns the eigenvalues of a symmetric matrix.",
        "Two arrays of truth values help: which eigenvalues are above `tolerance`, which below `-tolerance`.",
        "Ask for the saddle first: any up and any down. Zeros do not matter for it.",
        "Then `up.all()` is a minimum, `down.all()` a maximum, and what is left is undecided.",
    ),
    check=_check_critical,
    wrong=(
        Wrong(_by_diagonal, "the diagonal was taken: curvatures along the axes do not show those between them"),
        Wrong(_by_entries, "the signs of the matrix's entries were taken: those of its eigenvalues decide"),
        Wrong(_by_determinant, "determinant and trace decide in two dimensions only: two negative signs multiply to +"),
        Wrong(_exchanged, "minimum and maximum are exchanged: curvature upwards on all sides is a minimum"),
        Wrong(_zero_is_positive, "a zero was counted with the others: along it, higher derivatives decide"),
        Wrong(
            _no_tolerance, "the tolerance is not used: eigenvalues are computed with rounding and are never exactly 0"
        ),
        Wrong(_any_zero_undecided, "a zero does not undo a saddle: with both signs there, it is one in any case"),
    ),
)

TASKS = (differences, loss_gradient, descent, one_point, average, rprop, adam, valley, critical)
