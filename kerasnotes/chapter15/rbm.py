"""Without connections inside a layer a Boltzmann machine can be drawn a whole layer at a time, and scored.

A restricted Boltzmann machine joins visible units to hidden ones and no others. What the reader should see: given the
visible units the hidden ones are independent, so that their sum can be done by hand and a small machine has an exact
likelihood; contrastive divergence, which draws only k times up and down, follows the wrong slope for small k; and one
number, the exact likelihood of bars and stripes, tells its variants apart. States are 0 and 1, the temperature is 1.

Notes: chapter 15, "Restricted Boltzmann machine" (受限Boltzmann机).
Source: Smolensky 1986, in Parallel Distributed Processing 1, ISBN 978-0-262-68053-0; Hinton 2002,
doi:10.1162/089976602760128018 (contrastive divergence); Tieleman 2008, doi:10.1145/1390156.1390290 (persistent chains).
"""

import math

import numpy as np

from kerasnotes import data as data_sets
from kerasnotes import plots
from kerasnotes.chapter15.boltzmann import binary_states, boltzmann_distribution
from kerasnotes.chapter15.boltzmann_learning import likelihood_gradient
from kerasnotes.parts import positive, shape, whole

SMOKE = {"starts": 1, "steps": 5, "copies": 40, "images": 500, "digit_epochs": 1}
SECONDS = 30


class RBM:
    """Weights `w` (visible, hidden) and biases `b` (visible,), `c` (hidden,) of E(v, h) = -vᵀ W h - bᵀ v - cᵀ h.

    Args:
        visible, hidden: Numbers of units.
        seed: Seed of the weights, drawn from a normal distribution; biases are 0.
        deviation: That distribution's.
    """

    def __init__(self, visible, hidden, seed, deviation=0.01):
        rng = np.random.default_rng(seed)
        self.w = rng.normal(0, deviation, (whole("visible", visible), whole("hidden", hidden)))
        self.b, self.c = np.zeros(visible), np.zeros(hidden)

    def hidden_probabilities(self, v):
        """P(h = 1 | v) of each hidden unit, (batch, visible) to (batch, hidden)."""
        return sigmoid(shape("v", np.asarray(v), None, len(self.b)) @ self.w + self.c)

    def visible_probabilities(self, h):
        """P(v = 1 | h) of each visible unit, (batch, hidden) to (batch, visible)."""
        return sigmoid(shape("h", np.asarray(h), None, len(self.c)) @ self.w.T + self.b)

    def free_energy(self, v):
        """F(v) = -bᵀ v - Σ_j log(1 + exp(v·w_j + c_j)), (batch, visible) to (batch,): exp(-F) is Σ_h exp(-E)."""
        v = shape("v", np.asarray(v), None, len(self.b))
        return -v @ self.b - np.logaddexp(0.0, v @ self.w + self.c).sum(axis=1)


def sigmoid(x):
    """1 / (1 + exp(-x)), which cannot overflow in this form."""
    return 0.5 * (1.0 + np.tanh(0.5 * x))


def log_partition(rbm):
    """log Z, exact: a sum over all states of the smaller layer, the other layer's sum being a product.

    Raises:
        ValueError: If both layers have more than 20 units.
    """
    w, b, c = (rbm.w, rbm.b, rbm.c) if len(rbm.b) <= len(rbm.c) else (rbm.w.T, rbm.c, rbm.b)
    states = binary_states(len(b))
    logs = states @ b + np.logaddexp(0.0, states @ w + c).sum(axis=1)
    return float(logs.max() + np.log(np.exp(logs - logs.max()).sum()))


def contrastive_divergence(rbm, v, k, rng):
    """The slope of the log-likelihood, roughly: averages at the data, minus averages after k draws up and down.

    Args:
        rbm: The machine.
        v: Data (batch, visible) of 0 and 1, where the chains begin.
        k: How often all hidden and then all visible units are drawn.
        rng: A `numpy.random.Generator`.

    Returns:
        `(dw, db, dc)`, in the shapes of the machine's numbers.

    Source: Hinton 2002.
    """
    return _difference(rbm, v, _draw(rbm, v, whole("k", k), rng))


def _draw(rbm, v, k, rng):
    """k times up and down from v; every unit of a layer at once, as they are independent."""
    for _ in range(k):
        p = rbm.hidden_probabilities(v)
        h = (rng.random(p.shape) < p).astype(np.float64)
        p = rbm.visible_probabilities(h)
        v = (rng.random(p.shape) < p).astype(np.float64)
    return v


def _difference(rbm, awake, asleep):
    # Probabilities stand for the hidden states in the averages: the mean is the same and the noise less.
    h, dream = rbm.hidden_probabilities(awake), rbm.hidden_probabilities(asleep)
    dw = awake.T @ h / len(h) - asleep.T @ dream / len(dream)
    return dw, awake.mean(axis=0) - asleep.mean(axis=0), h.mean(axis=0) - dream.mean(axis=0)


def train_rbm(rbm, data, epochs, batch_size, learning_rate, k, persistent=False, seed=0):
    """Change a machine's numbers along contrastive divergence, with a learning rate that falls to 0 in a line.

    Args:
        rbm: The machine; it is changed in place.
        data: States (samples, visible) of 0 and 1.
        epochs: Passes over the data, in a new order each.
        batch_size: Samples of a step, and chains if they persist; at most the number of samples.
        learning_rate: The first step's.
        k: Draws up and down at each step.
        persistent: False begins each step's chains at the data (CD-k); True goes on where the last step's chains ended,
            from a random start (Tieleman 2008).
        seed: Seed of order and draws.

    Returns:
        The machine.

    Raises:
        ValueError: If the sizes do not fit, a number is none, or data are neither 0 nor 1.
    """
    data, rng = shape("data", np.asarray(data, np.float64), None, len(rbm.b)), np.random.default_rng(seed)
    if not np.isin(data, (0.0, 1.0)).all() or not 1 <= whole("batch_size", batch_size) <= len(data):
        raise ValueError("data, batch_size: expected states 0 and 1, and a batch of at most as many as there are")
    positive("learning_rate", learning_rate), whole("k", k)
    batches = len(data) // batch_size
    steps = whole("epochs", epochs) * batches
    chains = rng.integers(0, 2, (batch_size, len(rbm.b))).astype(np.float64)
    for step in range(steps):
        if step % batches == 0:
            order = rng.permutation(len(data))[: batches * batch_size].reshape(batches, batch_size)
        v = data[order[step % batches]]
        # Dream, from the data or from the last dream; then move.
        chains = _draw(rbm, chains if persistent else v, k, rng)
        rate = learning_rate * (1 - step / steps)
        for number, slope in zip((rbm.w, rbm.b, rbm.c), _difference(rbm, v, chains), strict=True):
            number += rate * slope
    return rbm


def bars_and_stripes(size):
    """All pictures of size × size whose rows are all alike or whose columns are: (2^(size + 1) - 2, size²)."""
    lines = np.repeat(binary_states(size)[:, :, None], size, axis=2)  # (2^size, size, size)
    return np.unique(np.concatenate([lines, lines.transpose(0, 2, 1)]).reshape(-1, size * size), axis=0)


def example():
    """Bars and stripes of 3 × 3: what a machine of 6 hidden units makes of 14 pictures among 512."""
    pictures = bars_and_stripes(3)
    rbm = RBM(9, 6, seed=0)
    for steps in (0, 3000):
        if steps:
            train_rbm(rbm, np.repeat(pictures, 10, axis=0), steps, 140, 0.2, k=1, persistent=True)
        likelihood = np.mean(-rbm.free_energy(pictures)) - log_partition(rbm)
        print(f"after {steps} steps: {likelihood:.2f} nats a picture; best possible {-math.log(14):.2f}")
    shown = pictures[3:4]
    print("a picture  ", shown[0].astype(int))
    print("rebuilt    ", rbm.visible_probabilities(rbm.hidden_probabilities(shown))[0].round(1))
    print("slope of c ", contrastive_divergence(rbm, pictures, 1, np.random.default_rng(0))[2].round(2))


def lesson(
    report,
    *,
    starts: int = 3,
    steps: int = 10000,
    copies: int = 10,
    images: int = 10000,
    digit_epochs: int = 10,
    seed: int = 0,
):
    """Check independence and slope by lists of states, learn bars and stripes in three ways, then digits.

    Args:
        report: The report to write to.
        starts: Machines that learn bars and stripes, for each way (1 to 100).
        steps: Steps of each, a fifth of them for CD-10, whose steps are three times as large (1 to 1000000).
        copies: Chains for each of the 30 pictures (1 to 1000).
        images: Digits to learn from (100 to 60000).
        digit_epochs: Passes over them (1 to 10000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    _by_hand(report, rng)
    _slopes(report, rng)
    _bars_and_stripes(report, starts, steps, copies, seed)
    _digits(report, images, digit_epochs, rng, seed)


def _random_rbm(visible, hidden, rng, deviation):
    rbm = RBM(visible, hidden, 0)
    rbm.w, rbm.b, rbm.c = (rng.normal(0, deviation, size) for size in ((visible, hidden), visible, hidden))
    return rbm


def _joined(rbm):
    """The machine as a Boltzmann machine with one matrix for all units, the visible ones first: `(w, b)`."""
    visible, hidden = rbm.w.shape
    w = np.block([[np.zeros((visible, visible)), rbm.w], [rbm.w.T, np.zeros((hidden, hidden))]])
    return w, np.concatenate([rbm.b, rbm.c])


def _by_hand(report, rng):
    """What the missing connections are good for, against the list of all 2^9 states of 5 visible and 4 hidden units."""
    rbm = _random_rbm(5, 4, rng, 1.0)
    _, p = boltzmann_distribution(*_joined(rbm))
    joint = p.reshape(16, 32)  # (hidden state, visible state): unit 0 is the lowest bit, and visible
    v, h, on = binary_states(5), binary_states(4), rbm.hidden_probabilities(binary_states(5))
    product = np.prod(np.where(h[:, None] == 1, on, 1 - on), axis=2)  # (hidden state, visible state)
    label = "P(h | v) is the product over hidden units, all 512 states: largest difference"
    report.at_most(label, np.abs(joint / joint.sum(axis=0) - product).max(), 1e-12)
    marginal = np.exp(-rbm.free_energy(v) - log_partition(rbm))
    report.check("exp(-F(v))/Z is P(v), the sum over hidden states", marginal, joint.sum(axis=0), rtol=1e-10, atol=0)
    turned = RBM(4, 5, 0)
    turned.w, turned.b, turned.c = rbm.w.T, rbm.c, rbm.b
    report.check("log Z is the same over either layer", log_partition(turned), log_partition(rbm), rtol=1e-12, atol=0)


def _slopes(report, rng, blocks=100, chains=80):
    rbm, data = _random_rbm(6, 4, rng, 1.5), rng.integers(0, 2, (5, 6)).astype(np.float64)
    dw, db = likelihood_gradient(*_joined(rbm), data, hidden=4)
    exact, rows = np.concatenate([dw[:6, 6:].ravel(), db]), []
    for k in (1, 10, 100):
        v = np.repeat(data, chains, axis=0)
        slopes = [contrastive_divergence(rbm, v, k, rng) for _ in range(blocks)]
        slopes = np.array([np.concatenate([slope.ravel() for slope in each]) for each in slopes])
        mean, error = plots.mean_and_error(slopes)
        cosine = mean @ exact / np.sqrt((mean @ mean) * (exact @ exact))
        rows.append([k, float(cosine), float(np.linalg.norm(mean - exact) / np.linalg.norm(exact))])
    away = np.abs(mean - exact) / error
    report.at_most("CD-100 from the exact slope, in standard errors: largest of 34", away, 4.0, trained=True)
    report.at_least("cosine of CD-100 with the exact slope", cosine, 0.99, trained=True)
    nearer = rows[1][2] / rows[0][2]
    report.at_most("distance of CD-10 from the exact slope over that of CD-1", nearer, 0.5, trained=True)
    columns = ["k", "cosine with the exact slope", "distance over the slope's length"]
    report.table(f"contrastive divergence, mean of {blocks * chains * 5} chains", columns, rows)


def _bars_and_stripes(report, starts, steps, copies, seed):
    """Exact likelihoods of a hidden layer of 16 after CD-1, CD-10 and persistent chains."""
    pictures, found = bars_and_stripes(4), {}
    many = np.repeat(pictures, copies, axis=0)
    ways = {  # draws a step, whether chains persist, steps, learning rate
        "CD-1": (1, False, steps, 0.1),
        "CD-10": (10, False, -(-steps // 5), 0.3),
        "persistent, 1 draw": (1, True, steps, 0.1),
    }
    for name, (k, persistent, epochs, rate) in report.track(list(ways.items()), "bars and stripes"):
        machines = [train_rbm(RBM(16, 16, number), many, epochs, len(many), rate, k, persistent, number)
                    for number in range(seed, seed + starts)]  # fmt: skip
        found[name] = np.array([np.mean(-rbm.free_energy(pictures)) - log_partition(rbm) for rbm in machines])
    share = pictures.mean(axis=0)
    independent = np.log(np.where(pictures == 1, share, 1 - share)).sum(axis=1).mean()
    report.check("bars and stripes: pixels by themselves have -16 log 2", independent, -16 * math.log(2))
    report.at_least("persistent chains: exact log-likelihood, every start", found["persistent, 1 draw"], -4.0,
                    trained=True)  # fmt: skip
    gain = found["persistent, 1 draw"].mean() - found["CD-1"].mean()
    report.at_least("its gain over CD-1 of as many draws, nats", gain, 0.3, trained=True)
    rows = [[name, ways[name][2], ways[name][0], float(values.mean()), float(values.min())]
            for name, values in found.items()]  # fmt: skip
    others = {"pixels by themselves": float(independent), "the best: minus the entropy": -math.log(len(pictures))}
    rows += [[name, None, None, value, None] for name, value in others.items()]
    report.table(f"30 pictures of 4 × 4, 16 hidden units: nats a picture, exact, {starts} starts",
                 ["way", "steps", "draws a step", "mean", "worst"], rows)  # fmt: skip


def _digits(report, images, epochs, rng, seed, hidden=100):
    (x, _), (x_test, _) = data_sets.mnist()
    x, x_test = (np.float64(part.reshape(len(part), -1) > 127) for part in (x[:images], x_test[:1000]))
    rbm = RBM(784, hidden, seed)
    share = np.clip(x.mean(axis=0), 1e-3, 1 - 1e-3)
    rbm.b = np.log(share / (1 - share))  # begin with the pixels' frequencies, so that no step is lost on them
    train_rbm(rbm, x, epochs, 50, 0.2, k=1, persistent=True, seed=seed)
    rebuilt = rbm.visible_probabilities(rbm.hidden_probabilities(x_test))
    left = np.mean((x_test - rebuilt) ** 2) / np.mean((x_test - x.mean(axis=0)) ** 2)
    report.at_most("test digits, up and down once: squared error over the mean digit's", left, 0.5, trained=True)
    noise = (rng.random(x_test.shape) < share).astype(np.float64)  # as many dark pixels, at the same places
    ranked = np.mean(rbm.free_energy(x_test)[:, None] < rbm.free_energy(noise))
    report.at_least("a digit is likelier than pixels drawn one by one: share of pairs", ranked, 0.99, trained=True)
    chains = _draw(rbm, x_test[:8], 1000, rng)
    samples = rbm.visible_probabilities(rbm.hidden_probabilities(chains))
    figure, (left, right) = plots.subplots(1, 2, figsize=(9, 2.4), width_ratios=(1, 1.2))
    plots.tiles(rbm.w.T[:32].reshape(4, 8, 28, 28) / np.quantile(np.abs(rbm.w), 0.999), left)
    left.set_title("Weights of 32 of the hidden units")
    shown = np.stack([x_test[:8], rebuilt[:8], samples]).reshape(3, 8, 28, 28)
    plots.tiles(shown, right, ["test digits", "rebuilt", "after 1000\ndraws"], low=0)
    right.set_title("Digits, rebuilt and dreamt")
    report.figure(
        "filters, reconstructions and samples",
        figure,
        alt="Left: weights of hidden units: strokes and spots, dark where positive. Right: digits, their "
        "reconstructions, nearly the same, and pictures that chains have drawn, most of them like digits.",
    )
