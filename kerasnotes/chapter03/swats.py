"""SWATS starts with Adam and changes to SGD, at a learning rate that it reads off Adam's own steps.

Adam's step p is not along the slope g. SGD's step of rate γ, projected onto p's direction, is as long as p for
γ = p·p / −p·g. Once the running mean of γ and its newest value agree, SGD takes over with that mean. What is hard is
the agreement: the paper asks for 1e-9, which in noise is a matter of luck.

Notes: chapter 03, "From Adam to SGD" (从 Adam 切换到 SGD).
Source: Keskar and Socher 2017, arXiv:1712.07628, Algorithm 1.
"""

import math

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from kerasnotes import data, plots, training
from kerasnotes.chapter03.optimizers import Adam
from kerasnotes.parts import positive

SMOKE = {"samples": 400, "epochs": 2, "seeds": 1}
SECONDS = 21

# Chance alone takes Student's t beyond this, to either side, once in 20 times; by the number of seeds, from 2.
STUDENT = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13, 2.12, 2.11,
           2.10, 2.09)  # fmt: skip


class Swats(keras.optimizers.Optimizer):
    """Adam, until its estimate of a learning rate for SGD has settled; then SGD with momentum `beta_1`.

    Args: As for `keras.optimizers.Adam`; `tolerance` is how closely the newest estimate and the mean must agree.
    Raises: ValueError: If an argument is out of range.
    Source: Keskar and Socher 2017, arXiv:1712.07628, Algorithm 1. Beyond it, a mean below zero does not switch.
    """

    def __init__(self, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-9, tolerance=1e-9, **arguments):
        own = {"beta_1": beta_1, "beta_2": beta_2, "epsilon": epsilon, "tolerance": tolerance}
        for name, value in own.items():
            if not 0 <= value < (1 if name.startswith("beta") else math.inf):
                raise ValueError(f"{name}: expected a number of at least 0, betas below 1, got {value!r}")
        if not callable(learning_rate):
            positive("learning_rate", learning_rate)
        super().__init__(learning_rate=learning_rate, **arguments)
        self.own = own

    def build(self, variables):
        """Creates Adam's two means and SGD's velocity for each weight, and a few numbers for all of them."""
        if not self.built:
            super().build(variables)
            self.means, self.squares, self.velocities = (
                self.add_optimizer_variables(variables, name) for name in ("mean", "square", "velocity")
            )
            self.p_p, self.p_g, self.mean_rate, self.newest = (
                self.add_variable((), dtype="float64", name=name) for name in ("p_p", "p_g", "mean_rate", "newest")
            )
            self.switch_step = self.add_variable((), dtype="int64", name="switch_step")  # 0: still Adam
            start = keras.initializers.Constant(self.own["tolerance"])
            self.tolerance = self.add_variable((), start, dtype="float64", name="tolerance")  # may be assigned anew

    def _backend_update_step(self, gradients, variables, learning_rate):  # Keras calls it once for all variables
        self.assign(self.p_p, 0.0)
        self.assign(self.p_g, 0.0)
        super()._backend_update_step(gradients, variables, learning_rate)
        step, beta = ops.cast(self.iterations + 1, "int64"), self.own["beta_2"]
        adam = ops.logical_and(self.switch_step.value == 0, self.p_g.value != 0)
        newest = ops.where(adam, -self.p_p / ops.where(self.p_g.value == 0, 1.0, self.p_g), self.newest)
        mean = ops.where(adam, beta * self.mean_rate + (1 - beta) * newest, self.mean_rate)
        corrected = mean / (1 - ops.power(tf.constant(beta, "float64"), ops.cast(step, "float64")))
        close = ops.logical_and(ops.abs(corrected - newest) < self.tolerance, corrected > 0)
        switch = ops.logical_and(ops.logical_and(adam, step > 1), close)
        self.assign(self.newest, newest)
        self.assign(self.mean_rate, ops.where(switch, corrected, mean))  # from the switch on, the rate itself
        self.assign(self.switch_step, ops.where(switch, step, self.switch_step))

    def update_step(self, gradient, variable, learning_rate):
        """Moves one variable; Keras calls it for each of them."""
        gradient, dtype = tf.convert_to_tensor(gradient), variable.dtype
        kept = (self.means, self.squares, self.velocities)
        mean, square, velocity = (each[self._get_variable_index(variable)] for each in kept)
        beta_1, beta_2, adam = self.own["beta_1"], self.own["beta_2"], self.switch_step.value == 0
        step = ops.cast(self.iterations + 1, dtype)
        powers = [ops.power(tf.constant(beta, dtype), step) for beta in (beta_1, beta_2)]
        rate = ops.cast(learning_rate, dtype) * ops.sqrt(1 - powers[1]) / (1 - powers[0])
        self.assign(mean, ops.where(adam, beta_1 * mean + (1 - beta_1) * gradient, mean))
        self.assign(square, ops.where(adam, beta_2 * square + (1 - beta_2) * gradient**2, square))
        self.assign(velocity, ops.where(adam, velocity, beta_1 * velocity + gradient))
        sgd_rate = ops.cast((1 - beta_1) * self.mean_rate, dtype)
        adam_move = -rate * mean / (ops.sqrt(square) + self.own["epsilon"])
        self.assign_add(variable, ops.where(adam, adam_move, -sgd_rate * velocity))
        self.assign_add(self.p_p, ops.cast(ops.sum(adam_move * adam_move), "float64"))
        self.assign_add(self.p_g, ops.cast(ops.sum(adam_move * gradient), "float64"))

    @property
    def switched_at(self):
        """The step after which SGD took over, counted from 1, or None."""
        return int(self.switch_step) or None if self.built else None

    @property
    def sgd_learning_rate(self):
        """Λ of the paper; steps are (1 − beta_1)·Λ times the velocity. None before the switch."""
        return None if self.switched_at is None else float(self.mean_rate)

    def get_config(self):
        """The arguments, so that a saved model can be loaded."""
        return {**super().get_config(), **self.own}


def example():
    """A narrow valley walked with Adam and with SWATS, which changes to SGD on the way; then SWATS in `fit`."""
    curvatures = tf.constant([1.0, 10.0])
    for optimizer in (keras.optimizers.Adam(0.1), Swats(0.1, tolerance=0.001)):
        w = keras.Variable([1.0, 1.0])
        for _ in range(50):
            optimizer.apply([curvatures * w], [w])
        print(f"{type(optimizer).__name__:<5} is after 50 steps at", w.numpy())
        if isinstance(optimizer, Swats):
            print("  switched after step", optimizer.switched_at, "to SGD's rate", optimizer.sgd_learning_rate)

    x = np.random.default_rng(0).normal(size=(64, 3))
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(Swats(), "mse", jit_compile=False)  # a network this small is not worth compiling
    print("in fit:", model.fit(x, x[:, :1], batch_size=32, epochs=3, verbose=0).history["loss"])


def lesson(
    report,
    *,
    samples: int = 10000,
    epochs: int = 10,
    units: int = 64,
    tolerance: float = 5e-4,
    seeds: int = 3,
    seed: int = 0,
):
    """Follow the estimate step by step, then train on pictures of clothing with Adam, SGD and SWATS.

    Args:
        report: The report to write to.
        samples: Pictures to train on (100 to 60000).
        epochs: Epochs of each training (2 to 100).
        units: Hidden units of the network (1 to 4096).
        tolerance: A tolerance that may switch within the run, beside the paper's 1e-9 (0.000000001 to 1).
        seeds: Trainings with each optimizer (1 to 20).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _by_hand(report, np.random.default_rng(seed))
    (x, y), (x_test, y_test) = data.fashion_mnist()
    x, y, x_test = x[:samples].reshape(-1, 784) / 255, y[:samples], x_test.reshape(-1, 784) / 255
    adam, sgd, swats = (
        _model(units, optimizer, seed)
        for optimizer in (keras.optimizers.Adam(0.001), keras.optimizers.SGD(0.01, momentum=0.9), Swats())
    )
    rows = {  # the model, and what of its optimizer is set before each run
        "Adam, 0.001": (adam, {}),
        "SGD with momentum, 0.01": (sgd, {"learning_rate": 0.01}),
        "SGD with momentum, 0.03": (sgd, {"learning_rate": 0.03}),
        "SWATS, tolerance 1e-9": (swats, {"tolerance": 1e-9}),
        f"SWATS, tolerance {tolerance:g}": (swats, {"tolerance": tolerance}),
    }
    restarts = {id(model): training.restarter(model) for model in (adam, sgd, swats)}
    starts = {run: _model(units, None, run).get_weights() for run in range(seed, seed + seeds)}
    losses, accuracies, switches, estimates = {}, {}, {}, []
    for name, (model, set_to) in report.track(list(rows.items()), "optimizers"):
        for run, start in starts.items():
            restarts[id(model)](start)
            for variable, value in set_to.items():
                getattr(model.optimizer, variable).assign(value)
            course = [] if name.endswith("1e-9") and run == seed else None
            follow = keras.callbacks.LambdaCallback(
                on_epoch_end=lambda epoch, logs, course=course: _follow(course, model, epoch)  # noqa: B023
            )
            history = training.fit(model, x, y, batch_size=100, epochs=epochs, seed=run, callbacks=[follow]).history
            losses.setdefault(name, []).append(history["loss"])
            adam.set_weights(model.get_weights())  # one model judges all, so that it is compiled once
            accuracies.setdefault(name, []).append(training.evaluate(adam, x_test, y_test)["accuracy"])
            if isinstance(model.optimizer, Swats):
                switches.setdefault(name, []).append((model.optimizer.switched_at, model.optimizer.sgd_learning_rate))
            estimates += course or []
    _results(report, losses, accuracies, switches, estimates, epochs)


def _by_hand(report, rng, steps=100):
    """Algorithm 1 on given slopes, once more in NumPy; the tolerance is such that the closest agreement fires."""
    gradients, w = rng.normal(size=(steps, 5)) + 1.0, rng.normal(size=5)
    adam, mean, path, course = Adam(0.01, epsilon=1e-9), 0.0, [w], []
    for k, g in enumerate(gradients[: steps // 2], start=1):
        path.append(adam.step(path[-1], g))
        p = path[-1] - path[-2]
        newest = p @ p / -(p @ g)
        mean = 0.999 * mean + 0.001 * newest
        corrected = mean / (1 - 0.999**k)
        course.append((abs(corrected - newest) if k > 1 and corrected > 0 else math.inf, k, corrected))
    gap, step, rate = min(course)

    variable, optimizer = keras.Variable(w, dtype="float64"), Swats(0.01, tolerance=gap * 1.01)
    optimizer.build([variable])
    apply = tf.function(lambda gradient: optimizer.apply([gradient], [variable]))
    sgd, other = keras.optimizers.SGD(0.1 * rate, momentum=0.9), keras.Variable(w, dtype="float64")
    for k, g in enumerate(gradients, start=1):
        apply(tf.constant(g))
        if k == step:
            other.assign(variable)
        elif k > step:
            sgd.apply([tf.constant(g)], [other])
    report.check("SWATS switches once, at the step that Algorithm 1 gives", got=optimizer.switched_at, want=step)
    report.check("with the learning rate that it gives", got=optimizer.sgd_learning_rate, want=rate)
    report.check("after that its steps are SGD's, of rate (1 − β₁)Λ", got=variable.numpy(), want=other.numpy())


def _model(units, optimizer, seed):
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((784,)), keras.layers.Dense(units, "relu"), keras.layers.Dense(10)])
    if optimizer is not None:
        model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    return model


def _follow(course, model, epoch):
    if course is not None:
        steps = int(model.optimizer.iterations)
        course.append((epoch + 1, float(model.optimizer.mean_rate) / (1 - 0.999**steps), float(model.optimizer.newest)))


def _results(report, losses, accuracies, switches, estimates, epochs):
    mean = {name: np.mean(runs, axis=0) for name, runs in losses.items()}
    rows = [[name, mean[name][0], mean[name][-1], *plots.mean_and_error(accuracies[name])] for name in losses]
    columns = ["optimizer, learning rate", "loss of epoch 1", f"loss of epoch {epochs}", "test accuracy", "± error"]
    report.table(f"means of {len(losses['Adam, 0.001'])} seeds on Fashion-MNIST", columns, rows)
    ahead = mean["SGD with momentum, 0.01"][0] - mean["Adam, 0.001"][0]
    report.at_least("after epoch 1, Adam's loss is below SGD's, both at Keras's rates, by", ahead, 0.0, trained=True)
    worst = max(loss[-1] for loss in mean.values())
    report.at_most("after the last epoch, each optimizer's loss is below ln 10, that of guessing", worst, np.log(10),
                   trained=True)  # fmt: skip
    _paired(report, losses, accuracies, list(switches))
    strict, loose = switches
    report.table("switches", ["optimizer", "switched after step", "rate of SGD, Λ"],
                 [[name, *pair] for name, pairs in switches.items() for pair in pairs])  # fmt: skip
    fired = [sum(step is not None for step, _ in switches[name]) for name in (strict, loose)]
    report.note(f"Of {len(switches[strict])} runs each, {fired[0]} switched at the paper's 1e-9, {fired[1]} at the "
                "wider tolerance. The estimate jumps where Adam's step is almost across the slope: when, or if, it "
                "agrees with its mean is luck. A wide tolerance only shows what a switch does.")  # fmt: skip
    report.note("Whether SGD is slower depends on its rate: see 0.01 and 0.03 in the table. Whether it ends better is "
                "not checked. Beyond the paper, a switch asks for Λ > 0.")  # fmt: skip
    figure, (left, right) = plots.subplots(1, 2, figsize=(11, 4.4))
    numbers = np.arange(1, epochs + 1)
    plots.curves(numbers, {name: np.array(runs) for name, runs in losses.items()}, ax=left, marker=".", yscale="log",
                 xlabel="epoch", ylabel="training loss, nats", title="Adam starts ahead at Keras's rates")  # fmt: skip
    epoch, mean_rate, newest = np.array(estimates).T
    plots.curves(epoch, {"running mean": mean_rate, "newest estimate": newest}, ax=right, marker=".",
                 xlabel="epoch", ylabel="rate for SGD, Λ", title="The estimate for SGD jumps")  # fmt: skip
    report.figure("SWATS reads a rate for SGD off Adam's steps", figure,
                  alt="Left: loss of five optimizers. Right: a mean and a newest estimate that jump.")  # fmt: skip


def _paired(report, losses, accuracies, ours):
    """Differences seed by seed: one seed is one start and one order for all, so that what it gives or takes cancels."""
    rows = []
    for name, other in ((name, other) for name in ours for other in losses if other not in ours):
        loss = np.subtract(losses[name], losses[other])[:, -1]
        accuracy = np.subtract(accuracies[name], accuracies[other])
        rows.append([name, other])
        for differences in (loss, accuracy):
            mean, error = plots.mean_and_error(differences)
            decided = len(differences) > 1 and abs(mean) > STUDENT[len(differences) - 2] * error
            rows[-1] += [(mean, error), ("higher" if mean > 0 else "lower") if decided else "undecided"]
    columns = ["SWATS", "minus", "training loss", "which is", "test accuracy", "which is"]
    report.table(f"differences after the last epoch, seed by seed, over {len(loss)} seeds", columns, rows)
    behind = np.subtract(losses["SGD with momentum, 0.01"], losses[ours[0]])[:, -1].min()
    report.at_least("after the last epoch, SWATS's loss is below SGD's, both at Keras's rates, in every pair by",
                    behind, 0.0, trained=True)  # fmt: skip
    report.note("In the table of differences, 'undecided' means that 0 lies inside Student's 95 % interval. Were there "
                "no difference at all, one of twenty such answers would still name one.")  # fmt: skip
