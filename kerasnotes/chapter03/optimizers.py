"""Adaptive optimizers give every weight a step of its own, measured by the slopes that this weight has seen.

A weight's slope is its number in the gradient. In a narrow valley one learning rate is too large across and too small
along; AdaGrad, RMSProp and Adam divide each slope by its own usual size. What the reader should see: ours equal Keras's
step for step. They, and Rprop before them, owe their speed to valleys along the axes: turn the valley by 45° and much
of it is gone. On a saddle, where slopes are small, RMSProp walks on at full pace while plain descent crawls. Where a
batch looks up a row of an embedding twice, Keras squares the two slopes one by one; here their sum is squared.

Notes: chapter 03, "AdaGrad, RMSProp, Adam" (自适应学习率算法).
Source: Kingma and Ba 2015, arXiv:1412.6980, Algorithm 1; Duchi et al. 2011, https://jmlr.org/papers/v12/duchi11a.html;
Tieleman and Hinton 2012, https://www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf.
"""

import math

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.chapter03.rprop import ArrayOptimizer, Rprop
from kerasnotes.chapter03.rprop import KerasRprop as KerasRprop  # looked for here too
from kerasnotes.parts import positive, share

SMOKE = {"steps": 60}
SECONDS = 2


class AdaGrad(ArrayOptimizer):
    """Divides each weight's slope by the root of the sum of its squares so far: steps get smaller and smaller.

    `step(w, gradient)`, from `ArrayOptimizer`, checks its arguments and returns w + `_move(gradient)`.

    Args, Raises: As for `keras.optimizers.Adagrad`; ValueError if one is out of range.
    Source: Duchi et al. 2011, Figure 1 (diagonal).
    """

    def __init__(self, learning_rate=0.001, initial_accumulator_value=0.1, epsilon=1e-7):
        if not 0 <= initial_accumulator_value < math.inf:
            raise ValueError(f"initial_accumulator_value: expected at least 0, got {initial_accumulator_value!r}")
        _expect_rates(learning_rate, epsilon)
        self.learning_rate, self.epsilon, self.accumulator = learning_rate, epsilon, initial_accumulator_value

    def _move(self, gradient):
        self.accumulator = self.accumulator + gradient**2  # from the first step on in the weights' shape
        return -self.learning_rate * gradient / np.sqrt(self.accumulator + self.epsilon)


class RMSProp(ArrayOptimizer):
    """As AdaGrad, but with a running mean of the squares: old slopes are forgotten, and steps need not shrink.

    Args, Raises: As for `keras.optimizers.RMSprop`; ValueError if one is out of range.
    Source: Tieleman and Hinton 2012, with epsilon inside the root, as in Keras.
    """

    def __init__(self, learning_rate=0.001, rho=0.9, momentum=0.0, epsilon=1e-7):
        _expect_rates(learning_rate, epsilon, rho=rho, momentum=momentum)
        self.learning_rate, self.rho, self.momentum, self.epsilon = learning_rate, rho, momentum, epsilon
        self.velocity, self.move = 0.0, 0.0  # Keras's name for the mean of squares; the last move

    def _move(self, gradient):
        # Forget a little, remember the new square, and add a share of the last move.
        self.velocity = self.rho * self.velocity + (1 - self.rho) * gradient**2
        step = self.learning_rate * gradient / np.sqrt(self.velocity + self.epsilon)
        self.move = self.momentum * self.move - step
        return self.move


class Adam(ArrayOptimizer):
    """A running mean of the slopes, divided by the root of a running mean of their squares.

    Both means start at zero and are too small at first: after t equal slopes g the first is (1 - beta_1^t) · g, the
    second (1 - beta_2^t) · g². A factor on the learning rate sets that right.

    Args, Raises: As for `keras.optimizers.Adam`; ValueError if one is out of range.
    Source: Kingma and Ba 2015, arXiv:1412.6980, Algorithm 1, in the order of computation of the end of Section 2.
    """

    def __init__(self, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
        _expect_rates(learning_rate, epsilon, beta_1=beta_1, beta_2=beta_2)
        self.learning_rate, self.beta_1, self.beta_2, self.epsilon = learning_rate, beta_1, beta_2, epsilon
        self.momentum, self.velocity, self.iterations = 0.0, 0.0, 0  # mean of slopes, mean of squares: Keras's names

    def _move(self, gradient):
        self.iterations += 1
        self.momentum = self.beta_1 * self.momentum + (1 - self.beta_1) * gradient
        self.velocity = self.beta_2 * self.velocity + (1 - self.beta_2) * gradient**2
        correction = math.sqrt(1 - self.beta_2**self.iterations) / (1 - self.beta_1**self.iterations)
        return -self.learning_rate * correction * self.momentum / (np.sqrt(self.velocity) + self.epsilon)


def _expect_rates(learning_rate, epsilon, **shares):
    positive("learning_rate", learning_rate)
    if not 0 <= epsilon < math.inf:
        raise ValueError(f"epsilon: expected a number of at least 0, got {epsilon!r}")
    for name, value in shares.items():
        share(name, value, high=False)


def example():
    """Three steps of each method beside Keras's optimizer of the same name, on the same slopes."""
    slopes = [np.array([0.01, -100.0]), np.array([0.02, -50.0]), np.array([0.01, 25.0])]
    for ours, theirs in (
        (AdaGrad(0.01), keras.optimizers.Adagrad(learning_rate=0.01)),
        (RMSProp(0.01, momentum=0.9), keras.optimizers.RMSprop(learning_rate=0.01, momentum=0.9)),
        (Adam(0.01), keras.optimizers.Adam(learning_rate=0.01)),
    ):
        w, variable = np.zeros(2), keras.Variable([0.0, 0.0])
        for slope in slopes:
            w = ours.step(w, slope)
            theirs.apply([tf.constant(slope, tf.float32)], [variable])
        print(f"{type(ours).__name__:<8}", w, "Keras", variable.numpy())


def lesson(report, *, steps: int = 400, curvature: float = 100.0, seed: int = 0):
    """Compare the methods with Keras's, on a saddle, in a valley and in the same valley turned by 45°.

    Args:
        report: The report to write to.
        steps: Steps of each method in the valleys (50 to 10000).
        curvature: Curvature across the valley; along it, it is 1 (2 to 1000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    # The same slopes for ours and Keras's: four weights whose slopes are of very different size.
    start, gradients = rng.normal(size=4), rng.normal(size=(100, 4)) * [1e-3, 0.1, 1, 10]
    for name, kept, ours, theirs in (
        ("AdaGrad", "sum of squared slopes", AdaGrad(0.1), keras.optimizers.Adagrad(0.1)),
        ("RMSProp", "mean of squared slopes", RMSProp(0.01), keras.optimizers.RMSprop(0.01)),
        (
            "RMSProp, momentum 0.9,",
            "last move as well",
            RMSProp(0.01, 0.9, 0.9),
            keras.optimizers.RMSprop(0.01, 0.9, 0.9),
        ),
        ("Adam", "mean of slopes, mean of squares", Adam(0.01), keras.optimizers.Adam(0.01)),
    ):
        paths = [_path(each, gradients, start, 100) for each in (ours, _Keras(theirs, start))]
        report.check(f"{name} (keeps: {kept}) equals Keras over 100 steps", *paths, atol=1e-5)
    _rows_looked_up_twice(report)
    _first_step_of_adam(report)
    _corrections(report, np.array([1.0, curvature]))
    _saddle(report)
    _valleys(report, curvature, steps)


class _PlainDescent(ArrayOptimizer):
    def __init__(self, learning_rate):
        self.learning_rate = learning_rate

    def _move(self, gradient):
        return -self.learning_rate * gradient


class _Keras:
    """A Keras optimizer of one variable, with the `step` of ours."""

    def __init__(self, optimizer, start):
        self.optimizer, self.variable = optimizer, keras.Variable(np.asarray(start), dtype="float64")

    def step(self, w, gradient):
        self.optimizer.apply([tf.constant(gradient)], [self.variable])
        return self.variable.numpy()


def _path(optimizer, gradient, start, steps):
    """The weights at the start and after every step; `gradient` is a function of them, or one array for each step."""
    path = [np.asarray(start, np.float64)]
    for step in range(steps):
        path.append(optimizer.step(path[-1], gradient(path[-1]) if callable(gradient) else gradient[step]))
    return np.array(path)  # (steps + 1, dims)


def _rows_looked_up_twice(report):
    """An embedding's gradient comes in slices; slopes 1 and 3 of one row make 4, whose square is 16, not 1 + 9."""
    slices = tf.IndexedSlices(tf.constant([[1.0], [3.0]]), tf.constant([0, 0]), tf.constant([1, 1]))
    moved = []
    for gradient in (slices, tf.convert_to_tensor(slices)):
        variable = keras.Variable(np.zeros((1, 1), np.float32))
        keras.optimizers.Adagrad(1.0).apply([gradient], [variable])
        moved.append(variable.numpy()[0, 0])
    ours = AdaGrad(1.0).step(np.zeros((1, 1)), slices)[0, 0]
    want = [-4 / math.sqrt(0.1 + 16)] * 2  # the accumulator starts at 0.1
    report.check(
        "a row looked up twice has the slope of both together: ours, Keras's of the sum", [ours, moved[1]], want
    )
    report.check("Keras's optimizers square slices one by one", moved[0], -4 / math.sqrt(0.1 + 1 + 9))


def _first_step_of_adam(report):
    slopes = np.array([1e-2, -1.0, 100.0])
    first = Adam(0.01, epsilon=0.0).step(np.zeros(3), slopes)
    report.check("Adam's first step is as long as the learning rate, for every slope", first, -0.01 * np.sign(slopes))
    # Without the factor: how much of the mean of slopes is there, over the root of how much of the mean of squares.
    lengths = [[t, (1 - 0.9**t) / math.sqrt(1 - 0.999**t)] for t in (1, 10, 100, 1000, 10000)]
    report.table("without Adam's correction, in a constant slope", ["step", "times the right length"], lengths)


def _corrections(report, curvatures, rate=0.01, rho=0.9):
    """Two wrong forms of RMSProp, as notes of the course have them, built and held against Keras in a valley.

    The loss is Σ curvature · w² / 2: slopes are curvature · w, second derivatives the curvatures.
    """

    class SecondDerivatives(ArrayOptimizer):
        mean = 0.0

        def _move(self, gradient):
            self.mean = rho * self.mean + (1 - rho) * curvatures
            return -rate * gradient / self.mean

    class ConstantMomentum(RMSProp):
        def _move(self, gradient):
            self.move = rate  # so the term is μα, whatever the last move was
            return super()._move(gradient)

    start, gaps = np.array([1.0, 0.7]), []
    for momentum, notes in ((0.0, SecondDerivatives()), (0.9, ConstantMomentum(rate, rho, 0.9))):
        library = _Keras(keras.optimizers.RMSprop(rate, rho, momentum), start)
        ours, theirs, other = (
            _path(each, lambda w: curvatures * w, start, 100) for each in (RMSProp(rate, rho, momentum), library, notes)
        )
        # How far each path ever is from Keras's: the right form's, and that of the notes.
        gaps.append([np.abs(path - theirs).max() for path in (ours, other)])
    shown = [
        "largest distance from Keras in 100 steps: {1:.2g}, of the right form {0:.0e}".format(*gap) for gap in gaps
    ]
    report.at_most("in the valley, largest distance of RMSProp from Keras", [gap[0] for gap in gaps], 1e-5)
    report.at_least("and of the notes' two forms, in learning rates", [gap[1] / rate for gap in gaps], 1.0)
    report.correction(
        "RMSProp",
        course="It averages second derivatives and divides the slope by that average.",
        correct="It averages squares of first derivatives and divides by the root of that average.",
        shown_by=shown[0],
    )
    report.correction(
        "the momentum term of RMSProp",
        course="μα is added, with the learning rate α.",
        correct="μ·Δw(t − 1) is added, μ times the last move.",
        shown_by=shown[1],
    )


def _saddle(report, rate=0.01, start=1e-3):
    """x² − y² near its ridge: y has to grow from `start` to 1, in plain descent by a factor 1 + 2·rate a step."""
    # The first step at which y is 1 or more; argmax gives 0 if there is none, so the last check asks for at least 1.
    plain, rms = (
        np.argmax(_path(optimizer, lambda w: np.array([2.0, -2.0]) * w, [1.0, start], 500)[:, 1] >= 1)
        for optimizer in (_PlainDescent(rate), RMSProp(rate))
    )
    by_hand = math.ceil(math.log(1 / start) / math.log(1 + 2 * rate))
    report.check("steps in which plain descent leaves the saddle x² − y²", plain, want=by_hand)
    report.at_most("RMSProp needs fewer than 1/rate: slopes grow, so each step is longer than the rate", rms, 1 / rate)
    report.at_least("and it does leave", rms, 1)


def _valleys(report, curvature, steps):
    methods = {
        "plain descent": (_PlainDescent, 2 / (1 + curvature)),  # its best rate
        "Rprop": (Rprop, 0.01),
        "AdaGrad": (AdaGrad, 0.3),
        "RMSProp": (RMSProp, 0.01),
        "RMSProp, momentum 0.9": (lambda rate: RMSProp(rate, momentum=0.9), 0.003),
        "Adam": (Adam, 0.1),
    }
    figure, axes = plots.subplots(1, 2, figsize=(11, 5.2))
    grid = np.stack(np.meshgrid(*[np.linspace(-0.6, 1.3, 150)] * 2), axis=-1)  # (150, 150, 2)
    counts = {}
    for ax, turn, title in zip(
        axes, (np.eye(2), np.array([[1, -1], [1, 1]]) / math.sqrt(2)), ("along an axis", "turned by 45°"), strict=True
    ):
        # The loss is wᵀ · matrix · w / 2, its gradient matrix · w; turning the axes turns the start, too.
        matrix = turn @ np.diag([1.0, curvature]) @ turn.T  # (2, 2)
        height = np.einsum("...i,ij,...j->...", grid, matrix, grid) / 2
        ax.contour(*np.moveaxis(grid, -1, 0), height, np.geomspace(0.02, 80, 10), colors="0.85", linewidths=1)
        for number, (name, (make, rate)) in enumerate(methods.items()):
            path = _path(make(rate), lambda w, matrix=matrix: matrix @ w, turn @ [1.0, 0.7], steps)
            loss = np.einsum("ti,ij,tj->t", path, matrix, path) / 2  # (steps + 1,)
            # The step after the last one above a thousandth; steps + 1 means never, and the table leaves it empty.
            counts.setdefault(name, []).append(int(np.flatnonzero(loss > loss[0] / 1000)[-1]) + 1)
            ax.plot(
                *path[:120].T,
                plots.LINE_STYLES[number % 4],
                marker=".",
                markersize=4,
                linewidth=1.5,
                alpha=1 if number else 0.3,
                label=name,
            )
        ax.plot(0, 0, "*", color="black", markersize=14)
        ax.set(xlabel="weight 1", ylabel="weight 2", xlim=(-0.6, 1.3), ylim=(-0.6, 1.3), title=f"A valley {title}")
        ax.grid(False)
    axes[0].legend(loc="lower left", ncols=2, fontsize=9)
    rows = [[name, methods[name][1], *(each if each <= steps else None for each in counts[name])] for name in counts]
    columns = ["method", "learning rate", "valley along an axis", "turned by 45°"]
    report.table(f"steps until the loss stays below a thousandth, of {steps} steps", columns, rows)
    report.check("plain descent does not notice that the valley was turned", *counts["plain descent"])
    report.at_least("Rprop does: steps turned over steps along", counts["Rprop"][1] / counts["Rprop"][0], 1.0)
    alt = "Six paths into a valley. Along an axis the adaptive methods go straight; turned, they bend."
    report.figure("Adaptive methods straighten a valley that lies along an axis", figure, alt=alt)
