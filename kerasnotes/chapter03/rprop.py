"""Rprop looks only at the sign of a slope: a weight's step grows while the sign stays and halves when it turns.

Slopes can be a thousand times too small or too large, as they are at the two ends of a deep network; their signs are
right. So a weight goes the same way whatever its curvature, which the reader should see exactly. Keras has no Rprop:
here it is also a Keras optimizer. It wants all the data in one batch, since noise turns signs at random.

Notes: chapter 03, "Rprop" (弹性反向传播 Rprop).
Source: Riedmiller and Braun 1993, doi:10.1109/ICNN.1993.298623; Igel and Hüsken 2003, doi:10.1016/S0925-2312(01)00700-7
(Rprop+).
"""

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from kerasnotes import data, plots, training
from kerasnotes.parts import share

SMOKE = {"epochs": 3}
SECONDS = 4


class ArrayOptimizer:
    """What the methods for NumPy arrays share: they are told apart by `_move` alone."""

    def step(self, w, gradient):
        """The weights after one step, of the shape of `w`. Raises ValueError if the shapes differ, or for NaN."""
        if isinstance(gradient, tf.IndexedSlices):  # of an embedding: a row that was looked up twice counts twice
            gradient = tf.convert_to_tensor(gradient)
        w = np.asarray(w) if np.asarray(w).dtype.kind == "f" else np.asarray(w, np.float64)
        gradient = np.asarray(gradient, w.dtype)
        self.shape = getattr(self, "shape", w.shape)  # what is kept for each weight belongs to the first call's weights
        if not w.shape == gradient.shape == self.shape:
            raise ValueError(f"w, gradient: expected the shape {self.shape}, got {w.shape} and {gradient.shape}")
        if np.isnan(w + gradient).any():
            raise ValueError("w, gradient: expected numbers, got NaN")
        return w + self._move(gradient)


class Rprop(ArrayOptimizer):
    """Only the sign of a slope counts: a weight's step grows while the sign stays, and halves when it turns.

    When the sign turns, this weight's last move is taken back as well. Meant for gradients of the whole data.

    Args: `learning_rate` is the first step of every weight, the next two are factors on it, the last two its bounds.
    Raises: ValueError: If an argument is out of range.
    Source: Riedmiller and Braun 1993; Igel and Hüsken 2003 (with backtracking: Rprop+).
    """

    def __init__(self, learning_rate=0.01, increase=1.2, decrease=0.5, min_step=1e-6, max_step=50.0):
        _expect_in_order(learning_rate, increase, decrease, min_step, max_step)
        self.factors, self.bounds = (decrease, 1.0, increase), (min_step, max_step)
        self.step_size, self.gradient, self.move = learning_rate, 0.0, 0.0

    def _move(self, gradient):
        agreement = np.sign(gradient) * np.sign(self.gradient)  # 1: same sign, −1: turned, 0: one of them is zero
        factor = np.asarray(self.factors, gradient.dtype)[agreement.astype(int) + 1]
        self.step_size = np.clip(self.step_size * factor, *self.bounds)
        self.move = np.where(agreement < 0, -self.move, -np.sign(gradient) * self.step_size)
        self.gradient = np.where(agreement < 0, np.zeros_like(gradient), gradient)  # zero: no second turn right away
        return self.move


class KerasRprop(keras.optimizers.Optimizer):
    """`Rprop` for `model.compile`. Train with all the data in one batch: noise would turn signs at random.

    Args, Raises: As for `Rprop`; further arguments, such as `clipnorm`, go to `keras.optimizers.Optimizer`.
        A schedule has no effect: the learning rate is only where the steps start.
    """

    def __init__(self, learning_rate=0.01, increase=1.2, decrease=0.5, min_step=1e-6, max_step=50.0, **arguments):
        _expect_in_order(learning_rate, increase, decrease, min_step, max_step)
        super().__init__(learning_rate=learning_rate, **arguments)
        self.own = {"increase": increase, "decrease": decrease, "min_step": min_step, "max_step": max_step}
        self.start = learning_rate

    def build(self, variables):
        """Creates what is kept for each weight: the size of its step, its last slope and its last move."""
        if not self.built:
            super().build(variables)
            start = keras.initializers.Constant(self.start)
            self.step_sizes = self.add_optimizer_variables(variables, "step_size", initializer=start)
            self.gradients, self.moves = self.add_optimizer_variables(variables, ["gradient", "move"])

    def update_step(self, gradient, variable, learning_rate):
        """Moves one variable; Keras calls it for each of them."""
        gradient = tf.convert_to_tensor(gradient)  # an embedding's gradient comes in slices
        kept = (self.step_sizes, self.gradients, self.moves)
        step_size, last, move = (each[self._get_variable_index(variable)] for each in kept)
        agreement = ops.sign(gradient) * ops.sign(last)
        factor = ops.where(agreement > 0, self.own["increase"], ops.where(agreement < 0, self.own["decrease"], 1.0))
        step = ops.clip(step_size * ops.cast(factor, step_size.dtype), self.own["min_step"], self.own["max_step"])
        self.assign(step_size, step)
        self.assign(move, ops.where(agreement < 0, -move, -ops.sign(gradient) * step))
        self.assign(last, ops.where(agreement < 0, ops.zeros_like(gradient), gradient))
        self.assign_add(variable, move)

    def get_config(self):
        """The arguments, so that a saved model can be loaded."""
        return {**super().get_config(), "learning_rate": self.start, **self.own}


def _expect_in_order(learning_rate, increase, decrease, min_step, max_step):
    if not 0 < min_step <= learning_rate <= max_step < np.inf:
        steps = (min_step, learning_rate, max_step)
        raise ValueError(f"learning_rate: expected 0 < min_step <= learning_rate <= max_step, got {steps}")
    share("decrease", decrease, low=False, high=False)
    if not 1 < increase < np.inf:
        raise ValueError(f"increase: expected a number above 1, got {increase!r}")


def example():
    """Four slopes of one weight, where the third turns; then Rprop as a Keras optimizer in `fit`."""
    ours, theirs, w, variable = Rprop(0.1), KerasRprop(0.1), np.zeros(1), keras.Variable([0.0])
    for slope in (5.0, 0.1, -1.0, -3.0):
        w = ours.step(w, [slope])
        theirs.apply([tf.constant([slope])], [variable])
        print(f"slope {slope:>4}: step {ours.step_size[0]:.3f}, weight {w[0]:.3f}, in Keras {variable.numpy()[0]:.3f}")

    x = np.random.default_rng(0).normal(size=(64, 4))
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile(optimizer=KerasRprop(), loss="mse")
    history = model.fit(x, x @ np.ones((4, 1)), batch_size=64, epochs=20, verbose=0)
    print("loss of a line, all the data in a batch:", history.history["loss"][0], "to", history.history["loss"][-1])


def lesson(report, *, steps: int = 60, epochs: int = 300, seed: int = 0):
    """Both forms on the same slopes, two weights of very different curvature, and training on the car data.

    Args:
        report: The report to write to.
        steps: Steps on a quadratic (20 to 10000).
        epochs: Epochs of each training on the car data (1 to 10000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _two_forms(report, np.random.default_rng(seed))
    _curvatures(report, steps)
    _training(report, epochs, seed)


def _two_forms(report, rng):
    start, gradients = rng.normal(size=4), rng.normal(size=(100, 4)) * [1e-3, 0.1, 1, 10]
    ours, theirs, w, variable = Rprop(), KerasRprop(), start, keras.Variable(start, dtype="float64")
    paths = []
    for gradient in gradients:
        w = ours.step(w, gradient)
        theirs.apply([tf.constant(gradient)], [variable])
        paths.append([w, variable.numpy()])
    kept = "size of the step, last slope, last move"
    paths = np.array(paths)  # (steps, 2, weights)
    report.check(f"Rprop (keeps: {kept}) equals its form as a Keras optimizer", paths[:, 0], paths[:, 1], atol=1e-5)


def _curvatures(report, steps):
    """Three weights of ½ λ w², all from 1: the slopes differ by a factor of a million, the paths do not."""
    curvatures, rprop, path, sizes = np.array([1e-3, 1.0, 1e3]), Rprop(0.01), [np.ones(3)], []
    for _ in range(steps):
        path.append(rprop.step(path[-1], curvatures * path[-1]))
        sizes.append(np.broadcast_to(rprop.step_size, 3))
    path, sizes = np.array(path), np.array(sizes)
    report.check("curvatures 0.001, 1 and 1000: one path", path, path[:, [1, 1, 1]], rtol=1e-9)
    grown = 0.01 * 1.2 ** np.arange(12)  # the first step has no sign before it, so the second is the first to grow
    report.check("until the sign turns, each step is 1.2 times the last", sizes[:12, 1], grown)
    turns = int(np.sum(np.diff(sizes[:, 1]) < 0))
    report.at_least("times that the step was halved", turns, 1)
    figure, (left, right) = plots.subplots(1, 2, figsize=(11, 4.2))
    plots.curves(np.arange(steps + 1), {"weight": path[:, 1]}, xlabel="step", ylabel="weight", marker=".",
                 title="Every curvature takes this path", ax=left)  # fmt: skip
    plots.curves(1 + np.arange(steps), {"step": sizes[:, 1]}, xlabel="step", ylabel="size of the step", yscale="log",
                 marker=".", title="Longer while the sign stays,\nhalved when it turns", ax=right)  # fmt: skip
    report.figure(
        "Longer while the sign stays, halved when it turns",
        figure,
        alt="Left: a weight falls from 1, overshoots 0 and settles. Right: its step grows in a straight line on a "
        "logarithmic axis and is halved at every turn.",
    )


def _training(report, epochs, seed):
    """With all the data in a batch the signs can be trusted; in batches of 32 noise turns them.

    The output layer starts at zeros, so that a layer that stands still shows: alone, the hidden layer cannot change the
    output at all, and the output layer cannot do better than least squares on the hidden units as they start.
    """
    x, y = ((values - values.mean(axis=0)) / values.std(axis=0) for values in data.auto_mpg())
    line = np.mean((x @ np.linalg.lstsq(x, y, rcond=None)[0] - y) ** 2)  # no constant needed: all means are zero
    rows = []
    for batch_size in (len(x), 32):
        keras.utils.set_random_seed(seed)
        layers = [keras.layers.Dense(16, "tanh"), keras.layers.Dense(1, kernel_initializer="zeros")]
        model = keras.Sequential([keras.Input((x.shape[1],)), *layers])
        hidden = np.column_stack([layers[0](x), np.ones(len(x))])
        alone = np.mean((hidden @ np.linalg.lstsq(hidden, y, rcond=None)[0] - y) ** 2)
        model.compile(KerasRprop(), "mean_squared_error")
        losses = training.fit(model, x, y, batch_size=batch_size, epochs=epochs, seed=seed).history["loss"]
        rows.append([batch_size, losses[0], losses[-1]])
    columns = ["batch size", "loss of the first epoch", "loss of the last"]
    report.table(f"KerasRprop in fit on the car data, {epochs} epochs; the best line has {line:.3f}", columns, rows)
    report.at_most("a network trained with KerasRprop is below the best line's error", rows[0][2], line, trained=True)
    report.at_most("and below the best that one of its layers could reach alone", rows[0][2], alone, trained=True)
