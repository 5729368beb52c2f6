"""Units that take their neighbours along put themselves in order.

A self-organizing map is a grid of units, each with a point of the data's space as its weights. The unit nearest to a
sample moves towards it, and its neighbours on the grid move along. What the reader should see: a chain in the wildest
order becomes a ruler, and once in order it stays so, whatever comes; a net that begins as a tangle unfolds over a
square; without neighbours the same step is k-means, and no order comes; and the chain gives its units to the data by a
law of their density, the power 2/3, that nobody has told it.

Notes: chapter 15, "Self-organizing map" (自组织映射).
Source: Kohonen 1982, doi:10.1007/BF00337288; Kohonen 2013, doi:10.1016/j.neunet.2012.09.018, equation 8 (batch step);
Kiviluoto 1996, doi:10.1109/ICNN.1996.548907 (topographic error); Ritter and Schulten 1986, doi:10.1007/BF00320480
(density of units).
"""

import numpy as np
from matplotlib.animation import FuncAnimation

from kerasnotes import plots
from kerasnotes.parts import positive, shape, share, whole

SMOKE = {"runs": 2, "steps": 100, "side": 4, "frames": 3, "batches": 5}
SECONDS = 7


class SelfOrganizingMap:
    """A grid of units with `weights` (rows, columns, inputs), which begin at random between 0 and 1.

    Args:
        rows, columns: Units of the grid; one row is a chain.
        inputs: Numbers in a sample.
        seed: Seed of the start, and of the order of samples in `train`.

    Source: Kohonen 1982.
    """

    def __init__(self, rows, columns, inputs, seed):
        self.rng = np.random.default_rng(seed)
        self.weights = self.rng.random((whole("rows", rows), whole("columns", columns), whole("inputs", inputs)))
        places = np.stack(np.unravel_index(np.arange(rows * columns), (rows, columns)), axis=1)
        self.distances = np.linalg.norm(places[:, None] - places, axis=2)  # (units, units), on the grid

    def best_unit(self, x):
        """The unit with the nearest weights: (batch, inputs) to rows and columns (batch, 2), the first of equals."""
        return np.stack(np.unravel_index(_distances(self, x).argmin(axis=1), self.weights.shape[:2]), axis=1)

    def neighbourhood(self, radius):
        """How much each unit is taken along by each other, (units, units): exp(-distance² / (2 radius²)), or itself."""
        if radius == 0:
            return np.eye(len(self.distances))
        return np.exp(-0.5 * (self.distances / positive("radius", radius)) ** 2)

    def train(self, x, steps, learning_rate, radius):
        """Show samples one at a time, drawn at random; w += rate · neighbourhood · (x - w) each time.

        Args:
            x: Samples (samples, inputs).
            steps: How many to draw.
            learning_rate: From 0 to 1, or the first and the last one of a geometric fall.
            radius: Of the neighbourhood, in distances on the grid, or the first and the last one. 0 moves one unit.

        Raises:
            ValueError: If a number is out of range or samples do not fit.
        """
        x, w = _samples(self, x), self.weights.reshape(-1, self.weights.shape[2])  # a view
        rates, radii = _fall("learning_rate", learning_rate, steps), _fall("radius", radius, steps)
        share("learning_rate", rates.max())
        picked, same = self.rng.integers(len(x), size=len(rates)), self.distances == 0
        for number, rate, width in zip(picked, rates, radii, strict=True):
            away = x[number] - w  # (units, inputs)
            best = np.sum(away**2, axis=1).argmin()
            along = np.exp(-0.5 * (self.distances[best] / width) ** 2) if width else same[best]
            w += (rate * along)[:, None] * away

    def batch_step(self, x, radius):
        """Every unit moves to the mean of all samples, each weighted by the neighbourhood of its best unit.

        Units that no sample reaches stay where they are.

        Args:
            x: Samples (samples, inputs).
            radius: Of the neighbourhood, in distances on the grid; 0 makes the step one of k-means.

        Source: Kohonen 2013, equation 8.
        """
        x = _samples(self, x)
        belongs = (_distances(self, x).argmin(axis=1)[:, None] == np.arange(len(self.distances))).astype(x.dtype)
        along = self.neighbourhood(radius)
        counts, sums = along @ belongs.sum(axis=0), along @ (belongs.T @ x)  # (units,), (units, inputs)
        w, reached = self.weights.reshape(sums.shape), counts > 0
        w[reached] = sums[reached] / counts[reached, None]


def _samples(som, x):
    x = np.asarray_chkfinite(x)
    return shape("x", x if x.dtype == np.float32 else x.astype(np.float64), None, som.weights.shape[2])


def _fall(name, value, steps):
    """One number for each step, the same or, between two, a geometric fall."""
    if np.ndim(value):
        return np.geomspace(*(positive(name, end) for end in value), whole("steps", steps))
    return np.full(whole("steps", steps), value if value == 0 else positive(name, value), np.float64)


def _distances(som, x):
    """Euclidean distances of samples from units, (samples, units), units row by row."""
    x, w = _samples(som, x), som.weights.reshape(-1, som.weights.shape[2])
    w = w.astype(x.dtype)
    squares = np.sum(x**2, axis=1)[:, None] - 2 * x @ w.T + np.sum(w**2, axis=1)
    return np.sqrt(np.maximum(squares, 0))


def quantization_error(som, x):
    """Mean distance of samples (samples, inputs) from the weights of their best units."""
    return float(_distances(som, x).min(axis=1).mean())


def topographic_error(som, x, diagonal=True):
    """Share of samples whose nearest and second nearest units are not neighbours on the grid.

    Args:
        som: The map, of two units at least.
        x: Samples (samples, inputs).
        diagonal: Whether units whose corners touch are neighbours.

    Source: Kiviluoto 1996.
    """
    first, second = np.argsort(_distances(som, x), axis=1, kind="stable")[:, :2].T
    return float(np.mean(som.distances[first, second] > (1.5 if diagonal else 1.0)))


def lloyd_step(x, centres):
    """One step of k-means: every centre moves to the mean of the samples that are nearest to it; without any it stays.

    Args:
        x: Samples (samples, inputs).
        centres: Array (centres, inputs).

    Source: Lloyd 1982, doi:10.1109/TIT.1982.1056489.
    """
    nearest = np.linalg.norm(x[:, None] - centres, axis=2).argmin(axis=1)
    return np.array([x[nearest == k].mean(axis=0) if np.any(nearest == k) else old for k, old in enumerate(centres)])


def example():
    """A chain of eight units on numbers between 0 and 1: it puts itself in order; then a step of k-means."""
    x = np.random.default_rng(0).random((1000, 1))
    som = SelfOrganizingMap(1, 8, 1, seed=1)
    for steps in (0, 20, 2000):
        if steps:
            som.train(x, steps, learning_rate=0.2, radius=(2.0, 0.5))
        print(f"after {steps:4} steps more: {som.weights[0, :, 0].round(2)}")
    print("best unit of 0.3:", som.best_unit([[0.3]])[0])
    centres = lloyd_step(x, som.weights[0])
    som.batch_step(x, radius=0)
    print("a step of k-means:  ", centres[:, 0].round(3))
    print("a batch step, radius 0:", som.weights[0, :, 0].round(3))


def lesson(
    report, *, runs: int = 20, steps: int = 4000, side: int = 12, frames: int = 24, batches: int = 150, seed: int = 0
):
    """Without neighbours: k-means; with them: a chain in order, units by density, a net unfolded.

    Args:
        report: The report to write to.
        runs: Chains that order themselves (1 to 1000).
        steps: Samples for each of them, and five times as many for the net (100 to 1000000).
        side: Units along a side of the net (2 to 40).
        frames: Pictures of the net on its way (2 to 200).
        batches: Batch steps of the chains on unevenly dense data (1 to 100000).
        seed: Seed of samples and starts (0 to 4294967295).
    """
    _is_k_means(report, rng := np.random.default_rng(seed))
    _stays_in_order(report, rng)
    _figure(report, _chains(report, runs, steps, seed), _density(report, batches))
    _net(report, side, 5 * steps, frames, seed)


def _is_k_means(report, rng):
    differences = []
    for rows, columns, inputs in ((1, 5, 1), (3, 4, 2), (6, 6, 5)):
        x, som = rng.normal(size=(200, inputs)), SelfOrganizingMap(rows, columns, inputs, int(rng.integers(2**31)))
        for _ in range(5):
            before = som.weights.reshape(-1, inputs).copy()
            som.batch_step(x, radius=0)
            differences.append(np.abs(som.weights.reshape(-1, inputs) - lloyd_step(x, before)).max())
    report.at_most("batch step of radius 0 against a step of k-means: largest difference", differences, 1e-12)


def _in_order(chain):
    return bool(np.all(np.diff(chain) > 0) or np.all(np.diff(chain) < 0))


def _stays_in_order(report, rng, trials=500):
    lost = 0
    for trial in range(trials):
        som = SelfOrganizingMap(1, int(rng.integers(2, 30)), 1, trial)
        som.weights = np.sort(som.weights, axis=1)[:, :: rng.choice((-1, 1))].copy()
        som.train(rng.normal(0.5, 1, (1, 1)), 1, rng.uniform(0, 0.99), rng.choice((0, rng.uniform(0.1, 5))))
        lost += not _in_order(som.weights[0, :, 0])
    report.check(f"{trials} ordered chains, any rate below 1, radius and sample: chains that lost their order", lost, 0)


def _chains(report, runs, steps, seed, units=20):
    """Chains on numbers spread evenly between 0 and 1, with neighbours and without; the first ones' paths."""
    rows, paths = [], {}
    for name, radii in (("neighbours", (5.0, 0.5)), ("no neighbours", (0, 0))):
        ordered, errors = [], []
        for run in range(runs):
            som = SelfOrganizingMap(1, units, 1, (seed, run))
            x = som.rng.random((10000, 1))
            paths.setdefault(name, _watched(som, x, steps, radii, 50))
            ordered.append(_in_order(som.weights[0, :, 0]))
            errors.append((quantization_error(som, x), topographic_error(som, x)))
        rows.append([name, float(np.mean(ordered)), *np.mean(errors, axis=0).tolist()])
    report.table(f"{units} units in a chain, {steps} samples, {runs} runs",
                 ["moved along", "share in order", "quantization error", "topographic error"], rows)  # fmt: skip
    report.at_least("neighbours moved along: share of chains in order", rows[0][1], 1.0, trained=True)
    report.at_most("no neighbours: share of chains in order", rows[1][1], 0.0, trained=True)
    return paths


def _watched(som, x, steps, radii, moments, rate=0.1):
    """Train in parts, at moments ever further apart: {samples shown: weights}."""
    seen, shown = 0, {0: som.weights.copy()}
    for moment in np.unique(np.geomspace(1, steps, moments).astype(int)).tolist():
        ends = [radii[0] * (radii[1] / radii[0]) ** (now / steps) for now in (seen, moment)] if radii[0] else 0
        som.train(x, moment - seen, rate, ends)
        seen, shown[moment] = moment, som.weights.copy()
    return shown


def _density(report, steps, units=50):
    """Chains on data of density 2x, begun as dense as its power 1 and 1/3: the place of unit t is t^(1/(1 + power))."""
    x, t, found = np.sqrt((np.arange(4000) + 0.5) / 4000)[:, None], (np.arange(units) + 0.5) / units, {}
    inner = slice(units // 5, -units // 5)  # units near the ends, with fewer neighbours, lie otherwise
    for name, power in (("1", 1), ("1/3", 1 / 3)):
        som = SelfOrganizingMap(1, units, 1, 0)
        som.weights = (t ** (1 / (1 + power)))[None, :, None]
        for _ in range(steps):
            som.batch_step(x, radius=4.0)
        w = som.weights[0, :, 0]
        places, density = found[name] = w[1:-1][inner], 2 / (units * (w[2:] - w[:-2])[inner])
        exponent = np.polyfit(np.log(places), np.log(density), 1)[0]
        report.check(f"units as dense as the data's density to the power, begun at {name}", float(exponent), 2 / 3,
                     rtol=0, atol=0.01, trained=True)  # fmt: skip
    return found


def _figure(report, paths, found):
    figure, axes = plots.subplots(1, 3, figsize=(11, 3.5))
    for ax, (name, path) in zip(axes, paths.items(), strict=False):
        weights = np.array(list(path.values()))[:, 0, :, 0]
        for unit, color in enumerate(plots.plt.get_cmap("cividis")(np.linspace(0, 1, weights.shape[1]))):
            ax.plot(list(path), weights[:, unit], color=color, linewidth=1.2)
        ax.set(xlabel="samples shown", ylabel="weight", title=f"A chain, {name}")
        ax.set_xscale("symlog", linthresh=1)
    places, density = found["1"]
    axes[2].plot(places, density, "o", markersize=4, label="30 units of 50")
    for style, power, name in (("-", 2 / 3, "2/3"), ("--", 1, "1"), (":", 1 / 3, "1/3")):
        line = density[15] * (places / places[15]) ** power
        axes[2].plot(places, line, style, color="black", linewidth=1, label=f"power {name}")
    axes[2].set(xlabel="weight x", ylabel="density of units", title="Data of density 2x")
    axes[2].legend()
    alt = "Left: weights of twenty units, coloured by place in the chain, meet and part in the order of the colours. "
    alt += "Middle: without neighbours colours stay mixed. Right: units are as dense as 2x to the power 2/3."
    report.figure("A chain puts itself in order", figure, alt)


def _folded(weights):
    """Share of a net's cells that are turned over against most others."""
    one, other = weights[1:, 1:] - weights[:-1, :-1], weights[1:, :-1] - weights[:-1, 1:]  # diagonals
    signs = np.sign(one[..., 0] * other[..., 1] - one[..., 1] * other[..., 0])  # of the cells' areas
    return float(min(np.mean(signs <= 0), np.mean(signs >= 0)))


def _net(report, side, steps, frames, seed):
    som = SelfOrganizingMap(side, side, 2, (seed, 1000))
    som.weights = 0.4 + 0.2 * som.weights
    x = som.rng.random((20000, 2))
    shown = _watched(som, x, steps, (side / 2, 0.5), frames)
    report.at_most("net over a square: share of cells folded over, in the end", _folded(som.weights), 0.0, trained=True)
    report.at_most("net: topographic error", topographic_error(som, x), 0.05, trained=True)
    figure, ax = plots.subplots(figsize=(3.4, 3.7), dpi=72)
    ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel="first input", ylabel="second input")
    ax.set_title(f"{steps} samples")
    lines = [ax.plot([], [], color="C0", linewidth=1)[0] for _ in range(2 * side)]
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # laid out once, so that no frame differs from the others

    def draw(frame):
        samples, w = list(shown.items())[min(frame, len(shown) - 1)]
        for line, points in zip(lines, [*w, *w.transpose(1, 0, 2)], strict=True):
            line.set_data(*points.T)
        ax.set_title(f"{samples} samples")

    film = FuncAnimation(figure, draw, frames=len(shown) + 5, interval=250)  # the last picture stays for a moment
    report.figure("A net unfolds over a square", film, alt="Animation: a tangle of lines untwists into an even net.")
