"""Momentum adds up the slopes of many steps: a ball that remembers them rolls through a shallow minimum.

What the reader should see: four ways to write momentum down, and where they agree. Keras's form adds up moves, the
course's form adds up slopes: one path while the learning rate stays, two when it falls. Nesterov's momentum can be told
as a look ahead, with β in one place where one source prints 1 − β. Then a ball rolls through a shallow minimum in which
plain descent stays, and with other settings through the deep one, too.

Notes: chapter 05, "Momentum, RMSprop and the learning rate" (动量法).
Source: Polyak 1964, Some methods of speeding up the convergence of iteration methods, doi:10.1016/0041-5553(64)90137-5;
Nesterov 1983, https://www.mathnet.ru/eng/dan46009; Sutskever et al. 2013,
https://proceedings.mlr.press/v28/sutskever13.html; https://keras.io/api/optimizers/sgd/
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.chapter03.descent import gradient_descent
from kerasnotes.chapter03.optimizers import RMSProp
from kerasnotes.parts import share, whole

SMOKE = {}
SECONDS = 1


def heavy_ball(gradient, start, learning_rate, beta, steps):
    """Momentum as Keras has it: v ← βv − ηg, w ← w + v. The velocity v is the last move.

    Args:
        gradient: Takes an array (dims,), returns the gradient there, (dims,).
        start: Where to begin, (dims,).
        learning_rate: η, a positive number, or one number for each step, (steps,).
        beta: Share of the last move that is kept, in [0, 1). At 0 this is plain descent.
        steps: How many steps.

    Returns: The path, float64 (steps + 1, dims), start included. A path that diverges may end in infinity.
    Raises: ValueError: If the shapes do not fit or a number is out of range.
    Source: Polyak 1964; `keras.optimizers.SGD(learning_rate, momentum=beta)`.
    """
    path, rates = _prepare(gradient, start, learning_rate, beta, steps)
    velocity = np.zeros_like(path[0])
    with np.errstate(over="ignore", invalid="ignore"):
        for t, rate in enumerate(rates):
            velocity = beta * velocity - rate * gradient(path[t])
            path[t + 1] = path[t] + velocity
    return path


def nesterov(gradient, start, learning_rate, beta, steps):
    """Nesterov's momentum as Keras has it: v ← βv − ηg, w ← w + βv − ηg. The path is where the slopes are taken.

    With a constant β; `nesterov_descent` of chapter 03 has one that grows.

    Args, Returns, Raises: As for `heavy_ball`.
    Source: Sutskever et al. 2013; `keras.optimizers.SGD(learning_rate, momentum=beta, nesterov=True)`.
    """
    path, rates = _prepare(gradient, start, learning_rate, beta, steps)
    velocity = np.zeros_like(path[0])
    with np.errstate(over="ignore", invalid="ignore"):
        for t, rate in enumerate(rates):
            move = rate * gradient(path[t])
            velocity = beta * velocity - move
            path[t + 1] = path[t] + beta * velocity - move
    return path


def look_ahead(gradient, start, learning_rate, beta, steps, pull=None):
    """Nesterov's momentum told the other way: first W + M, then a step from there.

    W ← W + M − η∇L(W + M), and M ← βM − pull·η∇L(W + M). With pull = β, M is β times the last move of W.

    Args: As for `heavy_ball`; `pull` is β if None.
    Returns: `(path, ahead)`: the path of W, and that of W + M, each (steps + 1, dims).
    Raises: ValueError: As for `heavy_ball`.
    Source: Nesterov 1983.
    """
    path, rates = _prepare(gradient, start, learning_rate, beta, steps)
    ahead, momentum = path.copy(), np.zeros_like(path[0])
    with np.errstate(over="ignore", invalid="ignore"):
        for t, rate in enumerate(rates):
            move = rate * gradient(ahead[t])
            path[t + 1] = ahead[t] - move
            momentum = beta * momentum - (beta if pull is None else pull) * move
            ahead[t + 1] = path[t + 1] + momentum
    return path, ahead


def gradient_momentum(gradient, start, learning_rate, beta, steps):
    """Momentum of slopes, not of moves: z ← βz + g, w ← w − ηz. A new η rescales what was collected before.

    Args, Returns, Raises: As for `heavy_ball`.
    Source: The course's notes; https://docs.pytorch.org/docs/stable/generated/torch.optim.SGD.html has the same form.
    """
    path, rates = _prepare(gradient, start, learning_rate, beta, steps)
    collected = np.zeros_like(path[0])
    with np.errstate(over="ignore", invalid="ignore"):
        for t, rate in enumerate(rates):
            collected = beta * collected + gradient(path[t])
            path[t + 1] = path[t] - rate * collected
    return path


def _prepare(gradient, start, learning_rate, beta, steps):
    """Check the arguments; the path to be filled, with its start, and one rate for each step."""
    start = np.array(start, np.float64)
    if start.ndim != 1 or not start.size or not np.isfinite(start).all():
        raise ValueError(f"start: expected finite numbers (dims,), got {start}")
    share("beta", beta, high=False)
    whole("steps", steps, least=0)
    rates = np.asarray(learning_rate, np.float64)
    if rates.shape not in ((), (steps,)) or not (np.isfinite(rates) & (rates > 0)).all():
        raise ValueError(f"learning_rate: expected a positive number, or one for each step, got {learning_rate!r}")
    if np.shape(gradient(start)) != start.shape:
        raise ValueError(f"gradient: expected shape {start.shape}, got {np.shape(gradient(start))}")
    return np.concatenate([start[None], np.zeros((steps, start.size))]), np.broadcast_to(rates, steps)


def example():
    """Twenty steps with momentum in a narrow valley, by Keras's optimizers and by hand."""
    curvatures, start = np.array([1.0, 10.0]), np.array([1.0, 1.0])  # of the loss ½ (w₁² + 10 w₂²)
    optimizers = {
        "SGD(momentum)": keras.optimizers.SGD(0.05, momentum=0.9),
        "SGD(momentum, nesterov)": keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True),
        "RMSprop(momentum)": keras.optimizers.RMSprop(0.05, momentum=0.9),
    }
    for name, optimizer in optimizers.items():
        w = keras.Variable(start, dtype="float64")
        for _ in range(20):
            optimizer.apply([curvatures * w], [w])
        print(f"{name:24}", w.numpy())

    for form in (heavy_ball, nesterov, gradient_momentum):
        print(f"{form.__name__:24}", form(lambda w: curvatures * w, start, 0.05, 0.9, 20)[-1])
    ours, w = RMSProp(0.05, momentum=0.9), start
    for _ in range(20):
        w = ours.step(w, curvatures * w)
    print(f"{'RMSProp(momentum)':24}", w)


def lesson(report, *, seed: int = 0):
    """Compare four forms of momentum with Keras's optimizers, and roll through a shallow minimum.

    Args:
        report: The report to write to.
        seed: Seed of the starting point (0 to 4294967295).
    """
    _same_path(report, np.random.default_rng(seed))
    _shallow(report)


def _keras_path(optimizer, gradient, start, rates):
    """The path of a Keras optimizer; `rates` are assigned, one before each step."""
    variable = keras.Variable(np.asarray(start), dtype="float64")
    path = [variable.numpy()]
    for rate in rates:
        optimizer.learning_rate = rate
        optimizer.apply([tf.constant(gradient(path[-1]))], [variable])
        path.append(variable.numpy())
    return np.array(path)  # (steps + 1, dims)


def _same_path(report, rng, rate=0.05, beta=0.9, steps=60):
    def slope(w):
        return np.array([1.0, 10.0]) * w + np.sin(w)

    start, sgd, constant = rng.normal(size=2), keras.optimizers.SGD, np.full(steps, rate)
    theirs = _keras_path(sgd(rate, beta), slope, start, constant)
    report.check("SGD(momentum) is the heavy ball", heavy_ball(slope, start, rate, beta, steps), theirs)
    collected = gradient_momentum(slope, start, rate, beta, steps)
    report.check("z ← βz + g, w ← w − ηz: the same path at a constant η", collected, theirs)
    theirs = _keras_path(sgd(rate, beta, nesterov=True), slope, start, constant)
    path = nesterov(slope, start, rate, beta, steps)
    report.check("SGD(nesterov=True) is nesterov", path, theirs)
    theirs = _keras_path(keras.optimizers.RMSprop(rate, momentum=beta), slope, start, constant)
    optimizer, ours = RMSProp(rate, momentum=beta), [start]
    for _ in range(steps):
        ours.append(optimizer.step(ours[-1], slope(ours[-1])))
    report.check("RMSprop(momentum): move ← β·move − ηg/√(mean of g²), as chapter 03 has it", ours, theirs)

    # One slope of 1, then none. After η has fallen to a tenth, the ball rolls on by β·0.1; the other form rescales.
    falling, forms = np.array([0.1, 0.01]), []
    for form in (heavy_ball, gradient_momentum):
        forms.append(np.diff(form(lambda w: np.where(w == 0.0, 1.0, 0.0), [0.0], falling, beta, 2)[:, 0]))
    library = _keras_path(sgd(0.1, beta), lambda w: np.where(w == 0.0, 1.0, 0.0), [0.0], falling)
    report.check("η falls from 0.1 to 0.01: Keras and the heavy ball roll on by", [forms[0], np.diff(library[:, 0])],
                 [[-0.1, -0.09]] * 2)  # fmt: skip
    report.check("z ← βz + g rolls on by a tenth of that", forms[1], [-0.1, -0.009])

    exact = look_ahead(slope, start, rate, beta, steps)[1]
    report.check("look-ahead with M ← βM − βη∇L(W + M): W + M is nesterov's path", exact, path, rtol=1e-12, atol=1e-12)
    printed = look_ahead(slope, start, rate, beta, steps, pull=1 - beta)[1]
    moves = [np.diff(look_ahead(np.ones_like, [0.0], rate, beta, 400, pull)[0][:, 0])[-1] for pull in (None, 1 - beta)]
    report.check("in a slope of 1: final move −η/(1 − β); with (1 − β) in place of β only −2η", moves,
                 [-rate / (1 - beta), -2 * rate])  # fmt: skip
    report.correction(
        "Nesterov's momentum by looking ahead",
        course="M ← βM − (1 − β)η∇L(W + M)",
        correct="M ← βM − βη∇L(W + M), with W ← W + M − η∇L(W + M); the two agree at β = ½ only",
        shown_by=f"largest distance from Nesterov's path: {np.abs(exact - path).max():.0e} with β, "
        f"{np.abs(printed - path).max():.2g} with 1 − β",
    )


def _shallow(report, rate=0.05, steps=400):
    """f′ = (w − 1)(w − 2)(w − 4): a shallow minimum at 1, a hill at 2, a deep minimum at 4."""

    def slope(w):
        return (w - 1) * (w - 2) * (w - 4)

    def value(w):
        return w**4 / 4 - 7 * w**3 / 3 + 7 * w**2 - 8 * w

    plain = gradient_descent(slope, [0.0], rate, steps)
    report.check("from 0, plain descent stays in the shallow minimum at 1", plain[-1], [1.0])
    report.at_most("and never passes it: from 0 to 1 the curvature is at most 14 < 1/η", plain, 1 + 1e-9)
    ball = heavy_ball(slope, [0.0], rate, 0.9, steps)
    report.check("momentum 0.9 carries through to the deep minimum at 4", ball[-1], [4.0], atol=1e-5)
    report.check("f there, and in the shallow one", value(np.array([ball[-1, 0], plain[-1, 0]])), [-16 / 3, -37 / 12])
    betas = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95)
    ends = [
        [eta, *(round(heavy_ball(slope, [0.0], eta, b, 1000)[-1, 0], 3) for b in betas)] for eta in (0.03, rate, 0.07)
    ]
    report.table("Where the ball ends, from 0", ["η", *(f"β = {beta:g}" for beta in betas)], ends)
    report.note("Momentum knows nothing of depth: with η = 0.07 and β = 0.95 it rolls out of the deep minimum again.")
    figure, ax = plots.subplots(figsize=(7.5, 4.4))
    line = np.linspace(-0.3, 5.2, 200)
    ax.plot(line, value(line), color="0.75")
    for label, path, style in (("plain descent", plain, "C0o"), ("momentum 0.9", ball, "C1s")):
        ax.plot(path[:25], value(path[:25]), style, markersize=6, alpha=0.8, label=f"{label}, 25 steps")
    ax.set(xlabel="w", ylabel="f(w)", title="Momentum rolls through the shallow minimum", ylim=(-6, 4))
    ax.legend(loc="upper center")
    report.figure(
        "Momentum and a shallow minimum",
        figure,
        alt="A curve with a shallow minimum at 1 and a deep one at 4. The points of plain descent stop at 1, those of "
        "momentum run past it and gather around 4.",
    )
