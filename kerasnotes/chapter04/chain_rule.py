"""Back-propagation is the chain rule, applied once to every edge of a computation graph.

What the reader should see: every node keeps its value on the way forward. On the way back it receives a gradient: the
sum, over the nodes that use it, of their gradient times the slope of the edge. Two small graphs are drawn with both
numbers at every node, 200 random expressions agree with TensorFlow, and a graph with a million paths is differentiated
in 40 steps.

Notes: chapter 04, "Computation graphs and the chain rule" (计算图与链式法则).
Source: Rumelhart, Hinton, Williams 1986, doi:10.1038/323533a0; Baydin et al. 2018, arXiv:1502.05767, section 3.2.
"""

import math

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots

SMOKE = {"expressions": 10, "chain": 2000}
FULL = {"expressions": 2000, "chain": 1000000}
SECONDS = 2


class Value:
    """A number that remembers how it was computed, so that `backward` can differentiate the result.

    `+ - * / **` work between values and with plain numbers. Attributes: `data`, the number; `grad`, the derivative of
    the output with respect to this node (0 until an output's `backward`); `parents`, the nodes it was computed from;
    `slopes`, its derivative with respect to each parent.

    Raises:
        ValueError: If a number or a slope is not finite, or an operation is not defined at its arguments.
    """

    def __init__(self, data, parents=(), slopes=()):
        try:
            self.data = float(data)
        except (TypeError, ValueError):
            raise ValueError(f"data: expected a number, got {data!r}") from None
        if not all(map(math.isfinite, (self.data, *slopes))):
            raise ValueError(f"data: expected a finite number with finite slopes, got {self.data} with {slopes}")
        self.grad, self.parents, self.slopes = 0.0, parents, slopes

    def __repr__(self):
        return f"Value(data={self.data:.6g}, grad={self.grad:.6g})"

    def __add__(self, other):
        other = _as_value(other)
        return Value(self.data + other.data, (self, other), (1.0, 1.0))

    def __mul__(self, other):
        other = _as_value(other)
        return Value(self.data * other.data, (self, other), (other.data, self.data))

    def __pow__(self, other):
        other = _as_value(other)
        a, b = self.data, other.data
        if (a < 0 and b != int(b)) or (a == 0 and (b < 0 or 0 < b < 1)):
            raise ValueError(f"power: expected a base and an exponent with a real slope, got {a} ** {b}")
        try:
            slope_a = b * a ** (b - 1) if b else 0.0
            slope_b = a**b * math.log(a) if a > 0 else 0.0  # as tf.pow: 0 where the logarithm does not exist
            return Value(a**b, (self, other), (slope_a, slope_b))
        except OverflowError:
            raise ValueError(f"power: expected a finite result, got {a} ** {b}") from None

    def __truediv__(self, other):
        other = _as_value(other)
        if other.data == 0:
            raise ValueError(f"divisor: expected a number other than 0, got {other.data}")
        quotient = self.data / other.data
        return Value(quotient, (self, other), (1 / other.data, -quotient / other.data))

    def __sub__(self, other):
        other = _as_value(other)
        return Value(self.data - other.data, (self, other), (1.0, -1.0))

    def __neg__(self):
        return Value(-self.data, (self,), (-1.0,))

    __radd__, __rmul__ = __add__, __mul__

    def __rsub__(self, other):
        return _as_value(other) - self

    def __rtruediv__(self, other):
        return _as_value(other) / self

    def __rpow__(self, other):
        return _as_value(other) ** self

    def exp(self):
        """The exponential, for arguments up to 709."""
        if self.data > 709:
            raise ValueError(f"exp: expected an argument of at most 709, got {self.data}")
        value = math.exp(self.data)
        return Value(value, (self,), (value,))

    def log(self):
        """The natural logarithm of a positive number; `math.log` refuses others."""
        return Value(math.log(self.data), (self,), (1 / self.data,))

    def tanh(self):
        """The hyperbolic tangent."""
        value = math.tanh(self.data)
        return Value(value, (self,), (1 - value**2,))

    def relu(self):
        """The rectifier max(0, x); its slope at 0 is 0, as in TensorFlow."""
        return Value(max(self.data, 0.0), (self,), (float(self.data > 0),))

    def sigmoid(self):
        """The logistic function 1 / (1 + e^−x), which overflows nowhere."""
        decay = math.exp(-abs(self.data))
        value = (1.0 if self.data >= 0 else decay) / (1 + decay)
        return Value(value, (self,), (decay / (1 + decay) ** 2,))

    def graph(self):
        """List the nodes that this one depends on, and itself, each after its parents."""
        order, seen, stack = [], set(), [(self, False)]
        while stack:  # a stack of our own: Python's recursion ends at a depth of 1000
            node, parents_done = stack.pop()
            if parents_done:
                order.append(node)
            elif node not in seen:
                seen.add(node)
                stack += [(node, True), *((parent, False) for parent in node.parents)]
        return order

    def backward(self):
        """Add to the `grad` of every node in the graph the derivative of this node with respect to it."""
        order = self.graph()
        gradient = dict.fromkeys(order, 0.0)  # this call's own: a second call adds the same once more
        gradient[self] = 1.0
        for node in reversed(order):  # all that use a node come before it, so its gradient is complete
            node.grad += gradient[node]
            for parent, slope in zip(node.parents, node.slopes, strict=True):
                gradient[parent] += slope * gradient[node]

    def zero_grad(self):
        """Set `grad` to 0 in every node of the graph."""
        for node in self.graph():
            node.grad = 0.0


def _as_value(x):
    return x if isinstance(x, Value) else Value(x)


def example():
    """(x + y)(y − z) at (−1, 3, 2), and its gradient: by TensorFlow's tape and by the graph above."""
    x, y, z = variables = [tf.Variable(number) for number in (-1.0, 3.0, 2.0)]
    with tf.GradientTape() as tape:
        f = (x + y) * (y - z)
    print("tape:", f.numpy(), [float(slope) for slope in tape.gradient(f, variables)])

    x, y, z = Value(-1), Value(3), Value(2)
    f = (x + y) * (y - z)
    f.backward()
    print("ours:", f.data, [x.grad, y.grad, z.grad])
    print("nodes:", f.graph())


def lesson(report, *, expressions: int = 200, chain: int = 10000, seed: int = 0):
    """Two graphs with values and gradients, a deep one, one with many paths, and random ones against TensorFlow.

    Args:
        report: The report to write to.
        expressions: Random expressions compared with `tf.GradientTape` (1 to 100000).
        chain: Multiplications in a row in the deep graph (1 to 10000000).
        seed: Seed of the random expressions (0 to 4294967295).
    """
    _course_examples(report)
    x = Value(3)
    (x * x + x).backward()
    report.check("a node used three times: derivative of x · x + x at 3", got=x.grad, want=7.0)
    first = product = Value(1)
    factor = Value(1 + 1 / chain)
    for _ in range(chain):
        product = product * factor
    product.backward()
    want = [factor.data**chain, chain * factor.data ** (chain - 1)]
    report.check(f"{chain} products in a row: both derivatives", got=[first.grad, factor.grad], want=want, rtol=1e-9)

    rows = []
    for doublings in (5, 10, 20, 40):
        first = h = Value(1)
        for _ in range(doublings):
            h = h + h  # every slope is 1, so the derivative counts the paths
        h.backward()
        rows.append((doublings, sum(len(node.parents) for node in h.graph()), int(first.grad)))
    report.check("h = h + h, n times: 2ⁿ paths", got=[row[2] for row in rows], want=[2 ** row[0] for row in rows])
    report.table("h = h + h, n times", ("n", "edges: the steps of backward", "paths: the chain rule's terms"), rows)

    rng, got, want = np.random.default_rng(seed), [], []
    for _ in report.track(range(expressions), "random expressions"):
        numbers, choices = rng.uniform(-2, 2, 4), rng.integers(1000, size=(12, 3))
        inputs = [Value(number) for number in numbers]
        output = _random_expression(Value, inputs, choices)
        output.backward()
        got.append([output.data, *(node.grad for node in inputs)])
        tensors = [tf.constant(number, tf.float64) for number in numbers]
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            output = _random_expression(keras.ops, tensors, choices)
        want.append([output, *tape.gradient(output, tensors, unconnected_gradients="zero")])
    report.check(f"{expressions} random expressions: values and gradients equal tf.GradientTape's",
                 got=np.array(got), want=np.array(want), rtol=1e-9, atol=1e-9)  # fmt: skip


def _course_examples(report):
    x, y, z = Value(-1), Value(3), Value(2)
    h1, h2 = x + y, y - z
    f = h1 * h2
    f.backward()
    report.check("h₁ = x + y, h₂ = y − z, f = h₁ · h₂", got=[h1.data, h2.data, f.data], want=[2.0, 1.0, 2.0])
    report.check("gradient of f by (x, y, z)", got=[x.grad, y.grad, z.grad], want=[1.0, 3.0, -2.0])
    places = {x: ("x", 0, 2), y: ("y", 0, 1), z: ("z", 0, 0), h1: ("h₁ = x + y", 1, 1.5), h2: ("h₂ = y − z", 1, 0.5)}
    figure = _draw({**places, f: ("f = h₁ · h₂", 2, 1)}, "Both paths from y add up: 1 · 1 + 1 · 2 = 3", (8, 5.2))
    report.figure("computation graph", figure, alt="(x + y)(y − z) as a graph, values and gradients at every node.")

    w0, w1, x, nodes = _neuron(product=True)
    names = ("h₁ = x · w₁", "h₂ = h₁ + w₀", "h₃ = −h₂", "h₄ = exp h₃", "h₅ = 1 + h₄", "f = 1 / h₅")
    got, slope = [nodes[-1].data, w0.grad, w1.grad], 1 / (2 + math.exp(1) + math.exp(-1))
    report.check("logistic neuron: f, ∂f/∂w₀, ∂f/∂w₁", got=got, want=[1 / (1 + math.exp(-1)), slope, -2 * slope])
    report.check("the same, to the printed digits", got=got, want=[0.7311, 0.1966, -0.3932], rtol=0, atol=5e-5)
    places = {x: ("x", 0, 0), w1: ("w₁", 0, 1), w0: ("w₀", 1, 1)}
    places |= {node: (name, column, 0) for column, (node, name) in enumerate(zip(nodes, names, strict=True), 1)}
    figure = _draw(places, "A logistic neuron: the gradient picks up one slope at every edge", (12, 3.9))
    report.figure("logistic neuron", figure, alt="1 / (1 + e^−(w₀ + w₁ x)) as a graph, with values and gradients.")

    sum_w0, sum_w1, _, sum_nodes = _neuron(product=False)
    report.check("with h₁ = x + w₁: f", got=sum_nodes[-1].data, want=1 / (1 + math.exp(-2)))
    report.check("with h₁ = x + w₁: (∂f/∂w₁) / (∂f/∂w₀), printed −2", got=sum_w1.grad / sum_w0.grad, want=1.0)
    report.check("w₀ + x · w₁ is the logit of the printed f", got=3 - 2 * 1, want=math.log(0.7311 / 0.2689), atol=3e-4)
    report.correction(
        "example of the logistic neuron",
        course="two different starting values for one example; h₁ = x + w₁",
        correct="w₀ = 3, w₁ = 1 and h₁ = x · w₁",
        shown_by="they give the printed 0.7311, 0.1966 and −0.3932; the sum gives 0.8808 and equal gradients",
    )


def _neuron(product):
    w0, w1, x = Value(3), Value(1), Value(-2)
    nodes = [x * w1 if product else x + w1]
    for step in (lambda h: h + w0, lambda h: -h, Value.exp, lambda h: 1 + h, lambda h: 1 / h):
        nodes.append(step(nodes[-1]))
    nodes[-1].backward()
    return w0, w1, x, nodes


def _random_expression(ops, nodes, choices):
    """Apply operations to randomly chosen nodes; `ops` is `Value` or `keras.ops`, and no argument meets a pole."""
    forms = (
        lambda a, b: a + b,
        lambda a, b: a - 0.5 * b,
        lambda a, b: a * ops.tanh(b),
        lambda a, b: a / (1 + b * b),
        lambda a, b: ops.sigmoid(a) ** ops.tanh(b),
        lambda a, b: 2 - ops.exp(ops.tanh(a)),
        lambda a, b: ops.log(ops.sigmoid(a)),
        lambda a, b: ops.relu(a),
    )
    nodes = list(nodes)
    for form, i, j in choices:
        nodes.append(forms[form % len(forms)](nodes[i % len(nodes)], nodes[j % len(nodes)]))
    return sum(nodes[-4:])  # so that most inputs matter


def _draw(places, title, size):
    """Draw `{node: (label, column, row)}` with values and gradients, and the edges with their slopes."""
    blue, orange, half_width, half_height = "#006BA4", "#C85200", 0.29, 0.24
    figure, ax = plots.subplots(figsize=size)
    centred, slopes = {"ha": "center", "va": "center"}, {"facecolor": "white", "edgecolor": "none", "pad": 1}
    for node, (label, column, row) in places.items():
        corner = (column - half_width, row - half_height)
        ax.add_patch(plots.plt.Rectangle(corner, 2 * half_width, 2 * half_height, facecolor="white", edgecolor="gray"))
        ax.text(column, row + half_height + 0.1, label, fontsize=13, fontweight="bold", **centred)
        for number, color, height in ((node.data, blue, 0.11), (node.grad, orange, -0.11)):
            ax.text(column, row + height, f"{number:.4g}".replace("-", "−"), color=color, fontsize=15, **centred)
        for parent, slope in zip(node.parents, node.slopes, strict=True):
            if parent in places:  # a constant, such as the 1 in 1 + h, has no place
                start, level = places[parent][1:]
                ends = (column - half_width, row), (start + half_width, level)
                ax.annotate("", *ends, arrowprops={"arrowstyle": "->", "linewidth": 1.5})
                middle, above = ((start + column) / 2, (level + row) / 2), (0, 12 if level == row else 0)
                words = f"{slope:.3g}".replace("-", "−")
                ax.annotate(words, middle, above, textcoords="offset points", bbox=slopes, fontsize=12, **centred)
    for name, color in (("value, going forwards", blue), ("gradient, going back", orange)):
        ax.plot([], [], "s", color=color, label=name)
    ax.plot([], [], "k", marker=r"$\rightarrow$", linestyle="", markersize=12, label="edge and its slope")
    figure.legend(loc="outside lower center", ncols=3, fontsize=12, frameon=False, handletextpad=0.1)
    columns, rows = zip(*(place[1:] for place in places.values()), strict=True)
    ax.set(xlim=(-0.35, max(columns) + 0.35), ylim=(-0.3, max(rows) + 0.45), title=title)
    ax.set_axis_off()
    return figure
