"""A tape records what is done to watched tensors and plays it backwards; what it did not see has no gradient.

Variables are watched from the start, constants only on request. The reader should see what cuts the record (a detour
through NumPy, `stop_gradient`, `stop_recording`), that a tape is spent after one use unless it is persistent, that a
tape around a tape gives second derivatives, and that every call starts from zero, where PyTorch adds to `.grad`.

Notes: chapter 01, "Automatic differentiation" (自动求导).
Source: https://www.tensorflow.org/guide/autodiff; https://www.tensorflow.org/guide/advanced_autodiff; Griewank and
Walther 2008, Evaluating Derivatives, doi:10.1137/1.9780898717761, chapter 3 (reverse mode).
"""

import numpy as np
import tensorflow as tf

from kerasnotes import plots

SMOKE = {"points": 7}
SECONDS = 1


def gradient(function, *inputs, unconnected_gradients="none"):
    """The gradient of a function with respect to each of its inputs, at these inputs.

    Args:
        function: Takes as many tensors as there are inputs and returns a floating tensor of any shape. Of a result
            with several elements the sum is differentiated, as TensorFlow does.
        inputs: Numbers, arrays, tensors or variables with floating values, at least one, none of them empty or NaN.
        unconnected_gradients: What an input gets that does not reach the result: `"none"` or `"zero"`.

    Returns:
        List with one tensor for each input, of its shape, or None. Rows that were looked up are added into the whole
        tensor, where a tape gives slices. Nothing is kept from one call to the next. The result can be differentiated
        again: `gradient(lambda x: gradient(f, x)[0], x)`.

    Raises:
        ValueError: If there is no input, an input is not floating, is empty or holds NaN, the result is not floating,
            or `unconnected_gradients` is neither of the two.

    Source: https://www.tensorflow.org/api_docs/python/tf/GradientTape.
    """
    if unconnected_gradients not in ("none", "zero"):
        raise ValueError(f"unconnected_gradients: expected 'none' or 'zero', got {unconnected_gradients!r}")
    if not inputs:
        raise ValueError("inputs: expected at least one, got none")
    inputs = [each if isinstance(each, tf.Variable) else tf.convert_to_tensor(each) for each in inputs]
    for each in inputs:
        if not each.dtype.is_floating:
            raise ValueError(f"inputs: expected floating numbers such as 2.0, got {each.dtype.name}")
        if 0 in each.shape:
            raise ValueError(f"inputs: expected at least one element in each, got the shape {each.shape}")
        if tf.executing_eagerly() and bool(tf.reduce_any(tf.math.is_nan(each))):
            raise ValueError(f"inputs: expected numbers, got NaN in {each.numpy()}")
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(inputs)
        result = tf.convert_to_tensor(function(*inputs))
    if not result.dtype.is_floating:
        raise ValueError(f"function: expected a floating result, got {result.dtype.name}")
    slopes = tape.gradient(result, inputs, unconnected_gradients=unconnected_gradients)
    return [None if slope is None else tf.convert_to_tensor(slope) for slope in slopes]


def example():
    """The slope of x² + 3x at 2, from a tape as the course writes it and from `gradient`; then twice in a row."""
    x = tf.Variable(2.0)  # a variable is watched from the start
    with tf.GradientTape() as tape:
        y = x**2 + 3 * x
    print("tape, variable        ", float(tape.gradient(y, x)))
    constant = tf.constant(2.0)
    with tf.GradientTape() as tape:
        tape.watch(constant)  # a constant only if asked
        y = constant**2 + 3 * constant
    print("tape, watched constant", float(tape.gradient(y, constant)))
    print("gradient(function, 2.)", float(gradient(lambda x: x**2 + 3 * x, 2.0)[0]))
    print("second derivative     ", float(gradient(lambda x: gradient(lambda z: z**2 + 3 * z, x)[0], 2.0)[0]))
    print("cut by stop_gradient  ", gradient(lambda x: tf.stop_gradient(x**2), 2.0))


def lesson(report, *, points: int = 61):
    """Ask tapes what they have seen, differentiate twice, and call twice.

    Args:
        report: The report to write to.
        points: Points of the curves (5 to 100001).
    """
    two = tf.constant(2.0)
    report.check("d(x² + 3x)/dx at 2 is 7", got=gradient(_polynomial, 2.0), want=[7.0])
    _watching(report)
    _course_example(report)
    _recording(report)
    _once_or_more(report)
    _accumulation(report)

    x = tf.linspace(-2.0, 2.0, points)
    cube = [tf.pow(x, 3), gradient(_cube, x)[0], gradient(_slope, x)[0]]
    report.check("x³ by one tape is 3x²", got=cube[1], want=3 * x.numpy() ** 2)
    report.check("by a tape around a tape it is 6x", got=cube[2], want=6 * x.numpy())
    report.check("at 2: 12", got=gradient(_slope, two), want=[12.0])
    report.check("a third one: 6", got=gradient(lambda x: gradient(_slope, x)[0], two), want=[6.0])
    a, b = tf.constant([[1.0, 2.0], [3.0, 4.0]]), tf.constant([[1.0], [-1.0]])
    want = [np.ones((2, 1)) @ b.numpy().T, a.numpy().T @ np.ones((2, 1))]
    report.check("of the sum of A B: the row sums of Bᵀ, the column sums of A", gradient(tf.matmul, a, b), want)
    report.figure(
        "What the tape recorded, and tapes around tapes",
        _figure(x, cube),
        alt="Left: x = 2 leads to x² = 4 and 3x = 6, both to y = 10; the slopes on the way back are 1, 1, 4 and 3, "
        "together 7. Right: x³ with its first derivative 3x² and its second 6x, which is 12 at 2.",
    )


def _polynomial(x):
    return x**2 + 3 * x


def _cube(x):
    return x**3


def _slope(x):
    return gradient(_cube, x)[0]


def _watching(report):
    def slope(x, watch=False):
        with tf.GradientTape() as tape:
            if watch:
                tape.watch(x)
            y = _polynomial(x)
        return tape.gradient(y, x), [variable.name for variable in tape.watched_variables()]

    cases = {
        "tf.Variable(2.0)": slope(tf.Variable(2.0, name="x")),
        "tf.Variable(2.0, trainable=False)": slope(tf.Variable(2.0, trainable=False)),
        "tf.constant(2.0)": slope(tf.constant(2.0)),
        "tf.constant(2.0), after tape.watch": slope(tf.constant(2.0), watch=True),
    }
    rows = [[name, "None" if got is None else str(got.numpy()), len(seen)] for name, (got, seen) in cases.items()]
    report.table("slope of x² + 3x at 2", ["x", "gradient", "variables watched"], rows)
    answers = [row[1] for row in rows]
    report.check("variables are watched, constants only on request", got=answers, want=["7.0", "None", "None", "7.0"])

    def ignores_second(x, z):
        return x**2

    unconnected = gradient(ignores_second, 2.0, 5.0)
    report.check("an input that does not reach the result has the gradient None", got=str(unconnected[1]), want="None")
    zeros = gradient(ignores_second, 2.0, [5.0, 6.0], unconnected_gradients="zero")
    report.check("or zeros, on request", got=zeros, want=[4.0, [0.0, 0.0]])


def _course_example(report):
    """x² + y² at (1, 2) as the course writes it, then without what is redundant in it."""

    def slopes(inside, watched, kind=tf.Variable):
        """Make x and y inside the tape or before it, and watch them or not."""
        x, y = kind(1.0), kind(2.0)
        with tf.GradientTape() as tape:
            if inside:
                x, y = kind(1.0), kind(2.0)
            if watched:
                tape.watch(x)
                tape.watch(y)
            z = tf.math.pow(x, 2) + tf.math.pow(y, 2)
        got = [None if slope is None else float(slope) for slope in tape.gradient(z, [x, y])]
        return str(got), len(tape.watched_variables())

    cases = {
        "variables made in the tape, and watched (the course)": (True, True),
        "made in the tape, not watched": (True, False),
        "made before it, watched": (False, True),
        "made before it, not watched: enough": (False, False),
    }
    rows = [[name, *slopes(*case)] for name, case in cases.items()]
    rows.append(["constants made before it, not watched", *slopes(False, False, tf.constant)])
    report.table("the course's example: slopes of x² + y² at (1, 2)", ["written as", "slopes", "variables seen"], rows)
    answers = [row[1] for row in rows]
    report.check("watch on variables, and making them in the tape, change nothing", answers[:4], ["[2.0, 4.0]"] * 4)
    report.check("without watch only constants are missed", got=answers[4], want="[None, None]")

    def descend(made_before, steps=3):
        w = tf.Variable(1.0)
        for _ in range(steps):
            with tf.GradientTape() as tape:
                w = w if made_before else tf.Variable(1.0)
                loss = w**2
            w.assign_sub(0.25 * tape.gradient(loss, w))
        return float(w)

    ends = [descend(True), descend(False)]
    report.check("in a loop, a variable made in the tape starts anew: w after three halvings", ends, want=[0.125, 0.5])
    report.correction(
        "what a tape needs to be told",
        course="Variables are made inside the tape and passed to watch.",
        correct="A tape watches variables by itself, and they are made once, before it; watch is for constants.",
        shown_by=f"slopes {answers[0]} either way; {answers[4]} for constants without watch",
    )


def _recording(report):
    def answer(function):
        x = tf.Variable(2.0)
        with tf.GradientTape() as tape:
            y = function(x, tape)
        got = tape.gradient(y, x)
        return "None" if got is None else f"{got.numpy():g}"

    def paused(x, tape):
        with tape.stop_recording():
            square = x**2
        return square * x

    cases = (
        ("x² · x", lambda x, tape: x**2 * x, "12"),
        ("stop_gradient(x²) · x: x² is a number, 4", lambda x, tape: tf.stop_gradient(x**2) * x, "4"),
        ("x² under stop_recording, times x", paused, "4"),
        ("x² by NumPy, times x", lambda x, tape: np.square(x.numpy()) * x, "4"),
        ("all by NumPy", lambda x, tape: tf.constant(x.numpy() ** 3), "None"),
        ("through a whole number: cast(x, int32)³", lambda x, tape: tf.cast(tf.cast(x, tf.int32), tf.float32) ** 3,
         "None"),
        ("x³ if x > 0 else −x: only the branch taken", lambda x, tape: x**3 if x > 0 else -x, "12"),
    )  # fmt: skip
    rows = [[name, answer(function), want] for name, function, want in cases]
    report.table("slope of x³ at 2, as far as the tape saw it", ["computed as", "gradient", "expected"], rows)
    report.check("what the tape did not see counts as a constant", [row[1] for row in rows], [row[2] for row in rows])


def _once_or_more(report):
    x = tf.constant(2.0)

    def asked_twice(persistent):
        with tf.GradientTape(persistent=persistent) as tape:
            tape.watch(x)
            square = x**2
            fourth = square**2
        answers = []
        for source in (x, square):
            try:
                answers.append(f"{tape.gradient(fourth, source).numpy():g}")
            except RuntimeError:
                answers.append("RuntimeError")
        return answers

    report.check("a tape answers once: x⁴ by x, then by x²", got=asked_twice(False), want=["32", "RuntimeError"])
    report.check("a persistent tape answers again", got=asked_twice(True), want=["32", "8"])


def _accumulation(report):
    calls = [gradient(_polynomial, 2.0)[0] for _ in range(2)]
    report.check("two calls do not accumulate", got=calls, want=[7.0, 7.0])
    x = tf.constant([[1.0], [2.0], [3.0], [4.0]])

    def loss(w, rows):
        return tf.reduce_sum(tf.square(rows @ w - 1.0))

    w = tf.constant([[0.5]])
    parts = [gradient(lambda w, rows=rows: loss(w, rows), w)[0] for rows in tf.split(x, 2)]
    whole = gradient(lambda w: loss(w, x), w)[0]
    report.check("added by hand, two half batches make the whole one", got=tf.add_n(parts), want=whole)
    report.note(
        "PyTorch's backward() adds to .grad, so that two calls at 2 would leave 14 there unless zero_grad() is called "
        "between them; a tape returns the gradient and keeps nothing."
    )


def _figure(x, cube):
    start = tf.constant(2.0)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(start)
        square, triple = start**2, 3 * start
        y = square + triple
    slopes = {
        ("x", "square"): tape.gradient(square, start), ("x", "triple"): tape.gradient(triple, start),
        ("square", "y"): tape.gradient(y, square), ("triple", "y"): tape.gradient(y, triple),
    }  # fmt: skip
    nodes = {"x": ((0.1, 0.5), f"x\n{start:g}"), "square": ((0.5, 0.85), f"x²\n{square:g}"),
             "triple": ((0.5, 0.15), f"3x\n{triple:g}"), "y": ((0.9, 0.5), f"y\n{y:g}")}  # fmt: skip
    figure, (left, right) = plots.subplots(1, 2, figsize=(10, 4.2))
    for (source, target), slope in slopes.items():
        (x0, y0), (x1, y1) = nodes[source][0], nodes[target][0]
        arrow = {"arrowstyle": "-|>", "color": "C2", "linewidth": 2, "shrinkA": 24, "shrinkB": 24}
        left.annotate("", (x1, y1), (x0, y0), arrowprops=arrow)
        above = 0.1 if (y0 + y1) / 2 > 0.5 else -0.1
        left.text((x0 + x1) / 2, (y0 + y1) / 2 + above, f"slope {slope:g}", color="C1", weight="bold", ha="center",
                  va="center")  # fmt: skip
    for (px, py), text in nodes.values():
        circle = {"boxstyle": "circle,pad=0.35", "facecolor": "white", "edgecolor": "C0", "linewidth": 2}
        left.text(px, py, text, ha="center", va="center", fontsize=13, bbox=circle)
    total = tape.gradient(y, start)
    left.text(0.5, 0.5, f"dy/dx = 1·4 + 1·3 = {total:g}", ha="center", va="center", fontsize=13)
    left.set(xlim=(-0.05, 1.05), ylim=(-0.05, 1.05))
    left.set_axis_off()
    left.set_title("The tape of x² + 3x at 2:\nvalues forwards, slopes backwards")
    names = ("x³", "one tape: 3x²", "two tapes: 6x")
    plots.curves(x, dict(zip(names, cube, strict=True)), xlabel="x", ylabel="value", ax=right)
    right.plot([2.0], [12.0], "o", color="C2")
    right.text(1.85, 12.3, "12 at 2", color="C2", ha="right")
    right.set_ylim(top=15)
    right.legend(loc="lower right")
    right.set_title("A tape around a tape:\nthe second derivative")
    return figure
