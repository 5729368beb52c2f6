"""The equilibria of a small game can be counted out; gradient steps circle away from one, and momentum speeds them up.

A pair of networks that learn against each other plays a game, and a game has an equilibrium, not a minimum. What the
reader should see: for payoffs in a table all equilibria are found by trying every choice of rows and columns, and the
prisoners' shows that "non-cooperative" says nothing of the sum of the payoffs. On the smooth game xy two players who
follow their gradients circle outwards by a factor that can be computed, and with momentum even faster.

Notes: chapter 11, "Game theory" (博弈论).
Source: Nash 1951, doi:10.2307/1969529; Nisan et al. 2007, Algorithmic game theory, doi:10.1017/CBO9780511800481,
algorithm 3.4; Gidel et al. 2019, arXiv:1807.04740 (momentum on bilinear games).
"""

import itertools

import keras
import numpy as np

from kerasnotes import plots
from kerasnotes.parts import positive, whole

SMOKE = {"steps": 20}
SECONDS = 1


def equilibria(payoffs_a, payoffs_b):
    """The Nash equilibria of a game in a table, counted out: every choice of equally many rows and columns is tried.

    Player a chooses a row, player b a column. At an equilibrium neither gains by changing alone.

    Args:
        payoffs_a, payoffs_b: What a and what b wins, each (rows, columns).

    Returns:
        List of pairs (probabilities of the rows, probabilities of the columns). All of them, unless the game is
        degenerate (ties between best answers); then there may be infinitely many.

    Raises:
        ValueError: If the tables differ in shape, are empty, or hold a value that is not finite.

    Source: Nash 1951; Nisan et al. 2007, algorithm 3.4 (support enumeration).
    """
    a, b = np.asarray(payoffs_a, float), np.asarray(payoffs_b, float)
    if a.ndim != 2 or a.shape != b.shape or a.size == 0:
        raise ValueError(f"payoffs_a, payoffs_b: expected one shape (rows, columns), got {a.shape} and {b.shape}")
    if not np.isfinite([a, b]).all():
        raise ValueError("payoffs_a, payoffs_b: expected finite numbers, got NaN or infinity")
    found = []
    for size in range(1, min(a.shape) + 1):
        supports = (itertools.combinations(range(count), size) for count in a.shape)
        for rows, columns in itertools.product(*map(list, supports)):
            of_b = _indifferent(a[np.ix_(rows, columns)], columns, a.shape[1])  # b's mixture leaves a no preference
            of_a = _indifferent(b[np.ix_(rows, columns)].T, rows, a.shape[0])
            if of_a is None or of_b is None:
                continue
            regrets = (a @ of_b).max() - of_a @ a @ of_b, (of_a @ b).max() - of_a @ b @ of_b
            if max(regrets) < 1e-9:
                found.append((of_a, of_b))
    return found


def _indifferent(payoffs, support, count):
    """Positive probabilities on `support` that make all rows of `payoffs` equally good, or None."""
    size = len(support)
    system = np.block([[payoffs, -np.ones((size, 1))], [np.ones((1, size)), np.zeros((1, 1))]])
    if np.linalg.matrix_rank(system) <= size:
        return None
    shares = np.linalg.solve(system, np.eye(size + 1)[-1])[:-1]
    if shares.min() < 1e-9:
        return None
    mixture = np.zeros(count)
    mixture[list(support)] = shares
    return mixture


def bilinear_path(steps, learning_rate, momentum=0.0, alternating=False, start=(1.0, 0.0)):
    """Play the game xy by gradient steps: one player shrinks it by x, the other makes it grow by y; (0, 0) is fair.

    Args:
        steps: Number of steps.
        learning_rate: Learning rate of both, positive.
        momentum: Share of its last move that each adds to its step, between −1 and 1.
        alternating: Whether the second player sees the first one's new x, instead of both moving at once.
        start: The first (x, y).

    Returns:
        Array (steps + 1, 2).

    Raises:
        ValueError: If a number is out of its range.

    Source: Gidel et al. 2019, arXiv:1807.04740.
    """
    state = np.array([*start, 0.0, 0.0])
    path = [state[:2]]
    for _ in range(whole("steps", steps, 0)):
        state = _bilinear_step(state, learning_rate, momentum, alternating)
        path.append(state[:2])
    return np.stack(path)


def bilinear_growth(learning_rate, momentum=0.0, alternating=False):
    """The factor by which the distance from (0, 0) grows a step in the end: the step's largest eigenvalue.

    Args, Raises: As for `bilinear_path`.

    Returns:
        Float: above 1 the players spiral outwards, below 1 they find (0, 0).
    """
    return float(np.abs(np.linalg.eigvals(_bilinear_step(np.eye(4), learning_rate, momentum, alternating))).max())


def _bilinear_step(state, learning_rate, momentum, alternating):
    positive("learning_rate", learning_rate)
    if not -1 < momentum < 1:
        raise ValueError(f"momentum: expected a number between -1 and 1, got {momentum!r}")
    x, y, x_move, y_move = state
    x_move = momentum * x_move - learning_rate * y
    y_move = momentum * y_move + learning_rate * (x + x_move if alternating else x)
    return np.stack([x + x_move, y + y_move, x_move, y_move])


def example():
    """Two games in tables, and the game xy played by Keras's SGD and by ours."""
    pennies = np.array([[1, -1], [-1, 1]])
    years = np.array([[-1, -10], [0, -5]])  # rows and columns: keep silent, confess
    for name, game in (("matching pennies", (pennies, -pennies)), ("prisoners", (years, years.T))):
        for p, q in equilibria(*game):
            print(f"{name:16} a plays {p}, b plays {q}, a wins {p @ game[0] @ q:g}")

    x, y = keras.Variable(1.0), keras.Variable(0.0)
    players = [keras.optimizers.SGD(learning_rate=0.1, momentum=0.5) for _ in range(2)]
    for _ in range(20):
        gradients = float(y), -float(x)  # of xy for the one who shrinks it, of −xy for the other
        for player, variable, gradient in zip(players, (x, y), gradients, strict=True):
            player.apply([gradient], [variable])
    print("keras.optimizers.SGD after 20 steps:", float(x), float(y))
    print("bilinear_path:                      ", *bilinear_path(20, 0.1, momentum=0.5)[-1])
    print("growth a step without and with momentum:", bilinear_growth(0.1), bilinear_growth(0.1, 0.5))


def lesson(report, *, steps: int = 400, seed: int = 0):
    """Count the equilibria of five games, then follow two players who take gradient steps on xy.

    Args:
        report: The report to write to.
        steps: Steps of each path on xy (20 to 100000).
        seed: Seed of a random game (0 to 4294967295).
    """
    _games(report)
    _random_game(report, np.random.default_rng(seed))
    _growth(report)
    _momentum(report)
    _paths(report, steps)


def _games(report):
    pennies = np.array([[1, -1], [-1, 1]])
    hands = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]])
    saddle = np.array([[3, 1], [4, 2]])
    years = np.array([[-1, -10], [0, -5]])  # rows and columns: keep silent, confess
    meeting = np.array([[2, 0], [0, 1]])
    games = {
        "matching pennies": (pennies, -pennies),
        "rock, paper, scissors": (hands, -hands),
        "a saddle point": (saddle, -saddle),
        "prisoner's dilemma": (years, years.T),
        "where to meet": (meeting, meeting[::-1, ::-1].T),
    }
    rows, found = [], {name: equilibria(*game) for name, game in games.items()}
    for name, (a, b) in games.items():
        for p, q in found[name]:
            sums = f"{(a + b).min()} to {(a + b).max()}"
            mixtures = [", ".join(f"{share:.3g}" for share in each) for each in (p, q)]
            rows.append([name, sums, *mixtures, p @ a @ q, p @ b @ q])
    columns = ["game", "sum of the payoffs", "a's probabilities", "b's probabilities", "a wins", "b wins"]
    report.table("equilibria, counted out", columns, rows)
    even = [np.concatenate(found[name][0]) for name in ("matching pennies", "rock, paper, scissors")]
    report.check("matching pennies ½, ½; rock, paper, scissors ⅓ each", even, [np.full(4, 1 / 2), np.full(6, 1 / 3)])
    label = "a saddle point is where max min equals min max"
    report.check(label, found["a saddle point"][0][0] @ saddle @ found["a saddle point"][0][1], saddle.min(1).max())
    report.check(
        "the prisoner's dilemma has one equilibrium: both confess", found["prisoner's dilemma"], [([0.0, 1.0],) * 2]
    )
    report.check("where to meet: three", len(found["where to meet"]), 3)
    gain = years[0, 0] - years[1, 1]
    report.at_least("years that each prisoner saves if they can bind themselves to silence", gain, 1)
    sums = years + years.T
    report.check("the prisoners' payoffs do not add up to a constant", int(np.ptp(sums)), 8)
    report.correction(
        "non-cooperative games",
        course="Zero-sum and negative-sum games are the non-cooperative ones, by definition.",
        correct="Non-cooperative means that no agreement binds, whatever the sums. The prisoners' payoffs add up to no "
        "constant, those of two who want to meet are never negative, and both games are played without agreements.",
        shown_by=f"sums of the prisoners' payoffs from {sums.min()} to {sums.max()}; their one equilibrium costs each "
        f"{-years[1, 1]} years, an agreement would cost {-years[0, 0]}",
    )


def _random_game(report, rng):
    """von Neumann's theorem, without a solver: at the equilibrium nobody can be exploited, nor exploit."""
    a = rng.normal(size=(3, 4))
    ((p, q),) = equilibria(a, -a)
    value = p @ a @ q
    label = "a random zero-sum game: what a is sure of, and what b holds a down to, are one value"
    report.check(label, [(p @ a).min(), (a @ q).max()], [value, value])


def _growth(report):
    rates, momenta = np.array([0.01, 0.05, 0.1, 0.2, 0.5, 1.0]), np.array([0.0, 0.3, 0.5, 0.7, 0.9])
    growth = np.array([[bilinear_growth(rate, momentum) for momentum in momenta] for rate in rates])
    report.check("on xy, steps at once grow by √(1 + η²)", growth[:, 0], np.sqrt(1 + rates**2))
    roots = [[np.abs(np.roots([1, -(1 + m + 1j * r), m])).max() for m in momenta] for r in rates]
    report.check("with momentum β by the larger root of λ² − (1 + β + iη)λ + β", growth, roots)
    report.at_least("more momentum, faster outwards: least rise", np.diff(growth, axis=1).min(), 0.0)
    lengths = [np.linalg.norm(bilinear_path(400, 0.1, momentum), axis=1)[[200, 400]] for momentum in momenta[:3]]
    measured = [(late / early) ** (1 / 200) for early, late in lengths]
    report.check("the paths grow like that", measured, growth[2, :3], rtol=1e-3)
    rows = [[rate, *row] for rate, row in zip(rates, growth, strict=True)]
    report.table("growth a step on xy", ["learning rate", *(f"momentum {m:g}" for m in momenta)], rows)
    report.correction(
        "oscillation",
        course="Momentum damps the oscillation of the two players.",
        correct="On the game xy the players circle outwards, and with momentum faster.",
        shown_by=f"growth a step at learning rate 0.1: {growth[2, 0]:.4f} without, {growth[2, 2]:.4f} at momentum 0.5",
    )


def _momentum(report):
    rates, momenta = (0.05, 0.1, 0.2), (-0.5, 0.0, 0.5, 0.9)
    rows = []
    for alternating in (False, True):
        for rate in rates:
            growth = [bilinear_growth(rate, momentum, alternating) for momentum in momenta]
            rows.append(["in turn" if alternating else "at once", rate, *growth])
    columns = ["steps", "learning rate", *(f"momentum {momentum:g}".replace("-", "−") for momentum in momenta)]
    report.table("the game xy: growth of the distance from (0, 0) a step", columns, rows)
    at_once, in_turn = (np.array([row[2:] for row in part]) for part in (rows[:3], rows[3:]))
    report.check("steps at once, without momentum: √(1 + η²)", at_once[:, 1], np.sqrt(1 + np.square(rates)))
    label = "momentum 0.5 over none, excess of the growth over 1: least ratio"
    report.at_least(label, np.min((at_once[:, 2] - 1) / (at_once[:, 1] - 1)), 2.0)
    report.check("steps in turn, without momentum, neither grow nor shrink", in_turn[:, 1], np.ones(3))
    report.at_most("in turn with momentum −0.5 they come in: largest growth", in_turn[:, 0].max(), 1 - 1e-4)
    report.note("What helps on xy is the opposite of the usual advice: steps in turn, and negative momentum.")


def _paths(report, steps):
    """The same start, and three ways to take turns."""
    ways = {"at once": (0.0, False), "at once, momentum 0.5": (0.5, False), "in turn": (0.0, True)}
    paths = {name: bilinear_path(steps, 0.1, *way) for name, way in ways.items()}
    figure, (left, right) = plots.subplots(1, 2, figsize=(10.5, 4.6))
    for number, (name, path) in enumerate(paths.items()):
        shown = path[np.cumsum(np.linalg.norm(path, axis=1) > 3) == 0]
        left.plot(*shown.T, plots.LINE_STYLES[number], label=name)
    left.plot(0, 0, "k+", markersize=12)
    left.set(xlabel="x, which shrinks xy", ylabel="y, which makes xy grow", aspect="equal", xlim=(-3, 3), ylim=(-3, 3))
    left.set_title("From (1, 0), at learning rate 0.1")
    distances = {name: np.linalg.norm(path, axis=1) for name, path in paths.items()}
    plots.curves(np.arange(steps + 1), distances, xlabel="steps", ylabel="distance from the equilibrium", yscale="log",
                 title="Momentum drives them apart", ax=right)  # fmt: skip
    x, y = paths["in turn"].T
    label = "in turn, without momentum, they neither leave nor arrive: x² + y² − ηxy stays 1"
    report.check(label, x**2 + y**2 - 0.1 * x * y, np.ones(steps + 1), rtol=1e-9)
    report.figure(
        "Two players circle",
        figure,
        alt="Left: from (1, 0) the players who move at once spiral outwards, with momentum in wider turns; those who "
        "move in turn stay on an oval around the equilibrium. Right: the distance grows exponentially, faster with "
        "momentum, and stays near 1 for players in turn.",
    )
