"""A generator learns a distribution that it never sees, from nothing but a discriminator's slope.

Two networks take turns: one tells real numbers from drawn ones, the other shifts its draws to where the first says
"real". What the reader should see: the losses are cross-entropies, each player moves its own weights only, and a
discriminator that is always right leaves the first form of the generator's loss without a slope. The game's equilibria
can be counted out for small tables; and on the game xy gradient steps circle outwards, with momentum even faster.

Notes: chapter 11, "Generative adversarial networks, game theory" (生成对抗网络、博弈论).
Source: Goodfellow et al. 2014, arXiv:1406.2661, algorithm 1 and figure 1; Nash 1951, Non-cooperative games; Gidel et
al. 2019, arXiv:1807.04740, section 4 (momentum on bilinear games).
"""

import itertools

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.chapter11.divergences import optimal_discriminator, wasserstein_of_samples

SMOKE = {"steps": 6, "runs": 2, "perfect_steps": 3, "batch_size": 16, "units": 8, "samples": 200}
FULL = {"runs": 10, "steps": 20000}
SECONDS = 14


class ParallelDense(keras.layers.Layer):
    """A dense layer for each of several independent runs, side by side: (runs, batch, inputs) to (runs, batch, units).

    One product of batches of matrices computes all runs, many times faster than one run after the other. A sum over
    the runs' losses gives each run its own gradient, and optimizers that work weight by weight keep the runs apart.

    Args:
        runs: Number of runs.
        units: Outputs of the layer.
        activation: As in `keras.layers.Dense`.
        seed: Pair of whole numbers (start, layer); run i starts from start + i, uniform as in Glorot and Bengio 2010.

    Raises:
        ValueError: If runs or units are not positive, or the input has another number of runs.
    """

    def __init__(self, runs, units, activation=None, seed=(0, 0), **kwargs):
        super().__init__(**kwargs)
        for name, value in (("runs", runs), ("units", units)):
            _expect_whole(name, value, 1)
        self.runs, self.units, self.seed = runs, units, seed
        self.activation = keras.activations.get(activation)

    def build(self, input_shape):
        if len(input_shape) != 3 or input_shape[0] != self.runs:
            raise ValueError(f"inputs: expected ({self.runs} runs, batch, inputs), got the shape {tuple(input_shape)}")
        limit = np.sqrt(6 / (input_shape[-1] + self.units))
        rngs = [np.random.default_rng((self.seed[0] + run, *self.seed[1:])) for run in range(self.runs)]
        start = np.stack([rng.uniform(-limit, limit, (input_shape[-1], self.units)) for rng in rngs])
        self.kernel = self.add_weight(
            shape=start.shape, initializer=lambda shape, dtype: tf.constant(start, dtype), name="kernel"
        )
        self.bias = self.add_weight(shape=(self.runs, 1, self.units), initializer="zeros", name="bias")

    def call(self, x):
        return self.activation(tf.matmul(x, self.kernel) + self.bias)


def parallel_mlp(runs, inputs, hidden, outputs, seed=0, activation="relu"):
    """Fully connected networks for several runs at once, with a linear last layer.

    Args:
        runs: Number of independent runs.
        inputs, outputs: Numbers of a sample before and after.
        hidden: Units of the hidden layers.
        seed: Seed of the first run's start; the next runs take the next seeds.
        activation: Activation of the hidden layers.

    Returns:
        A `keras.Sequential` from (runs, batch, inputs) to (runs, batch, outputs), with its weights in place.

    Raises:
        ValueError: If a size is not positive.
    """
    _expect_whole("inputs", inputs, 1)
    layers = [ParallelDense(runs, units, activation, (seed, i)) for i, units in enumerate(hidden)]
    model = keras.Sequential([*layers, ParallelDense(runs, outputs, None, (seed, len(hidden)))])
    model(tf.zeros((runs, 1, inputs)))
    return model


def discriminator_loss(real_logits, fake_logits):
    """The discriminator's cross-entropy: −log D(real) − log(1 − D(fake)), with D the sigmoid of the logits.

    Args:
        real_logits, fake_logits: Logits of the answer "real", (batch,) or (batch, 1); axes before that are runs of
            their own.

    Returns:
        The mean over the batch, one number a run: () or (runs,). It is finite for all finite logits.

    Raises:
        ValueError: If a batch is empty, or holds more than one logit a sample.

    Source: Goodfellow et al. 2014, arXiv:1406.2661, equation 1, with the sign of a loss.
    """
    real_logits, fake_logits = _logits("real_logits", real_logits), _logits("fake_logits", fake_logits)
    return _batch_mean(tf.nn.softplus(-real_logits)) + _batch_mean(tf.nn.softplus(fake_logits))


def generator_loss(fake_logits, saturating=False):
    """What the generator descends: −log D(fake), or the game's own log(1 − D(fake)), whose slope dies if D is sure.

    Args:
        fake_logits: The discriminator's logits of generated samples, shaped as in `discriminator_loss`.
        saturating: Whether to take the second form.

    Returns:
        The mean over the batch, one number a run.

    Raises:
        ValueError: As `discriminator_loss`.

    Source: Goodfellow et al. 2014, arXiv:1406.2661, equation 1 and the end of section 3.
    """
    fake_logits = _logits("fake_logits", fake_logits)
    return _batch_mean(-tf.nn.softplus(fake_logits) if saturating else tf.nn.softplus(-fake_logits))


def discriminator_step(generator, discriminator, optimizer, real, noise, loss=discriminator_loss):
    """One step of the discriminator; the generator draws the fakes and stays as it is.

    Args:
        generator: Model from noise to samples.
        discriminator: Model from samples to logits.
        optimizer: The discriminator's Keras optimizer.
        real, noise: A batch of real samples, and one of noise.
        loss: Callable `(real_logits, fake_logits) -> loss`.

    Returns:
        The loss before the step.
    """
    fake = generator(noise)
    with tf.GradientTape() as tape:
        value = loss(discriminator(real), discriminator(fake))
    optimizer.apply(tape.gradient(value, discriminator.trainable_variables), discriminator.trainable_variables)
    return value


def generator_step(generator, discriminator, optimizer, noise, loss=generator_loss):
    """One step of the generator, on the slope that comes through the discriminator, which stays as it is.

    Args:
        generator, discriminator, noise: As in `discriminator_step`.
        optimizer: The generator's Keras optimizer.
        loss: Callable `fake_logits -> loss`.

    Returns:
        The loss before the step.
    """
    with tf.GradientTape() as tape:
        value = loss(discriminator(generator(noise)))
    optimizer.apply(tape.gradient(value, generator.trainable_variables), generator.trainable_variables)
    return value


def take_turns(discriminator_turn, generator_turn, steps, discriminator_steps=1, every=None, record=None, seed=0):
    """Let two players take turns, many turns in one compiled call.

    Args:
        discriminator_turn, generator_turn: Callables from two seeds, an integer tensor (2, 2), to a loss. They must
            have made all variables before, and draw what they need from the seeds.
        steps: Turns of the generator.
        discriminator_steps: Turns of the discriminator before each of them.
        every: Steps between two calls of `record`; None for one call only, at the end.
        record: Callable of the number of steps so far, called at 0, after each `every` steps and at the end, or None.
        seed: Seed of all draws.

    Returns:
        Dictionary with `"step"` (records,), and the players' last losses `"discriminator"` and `"generator"`, each
        (records, ...), where the records are those after step 0.

    Raises:
        ValueError: If steps, discriminator_steps or every is no positive whole number.
    """
    every = steps if every is None else every
    for name, value in (("steps", steps), ("discriminator_steps", discriminator_steps), ("every", every)):
        _expect_whole(name, value, 1)

    def seeds_of(turn):
        return tf.stack([(seed, 2 * turn), (seed, 2 * turn + 1)])

    def one_step(step, discriminator_value, generator_value):
        first = step * (discriminator_steps + 1)

        def one_turn(i, _):
            return i + 1, discriminator_turn(seeds_of(first + i))

        start = (tf.constant(0, tf.int64), discriminator_value)
        _, discriminator_value = tf.while_loop(lambda i, _: i < discriminator_steps, one_turn, start)
        return step + 1, discriminator_value, generator_turn(seeds_of(first + discriminator_steps))

    def many_steps(first, last):
        losses = tuple(tf.zeros(shape) for shape in shapes)
        return tf.while_loop(lambda step, *_: step < last, one_step, (first, *losses))[1:]

    turns = (discriminator_turn, generator_turn)
    shapes = [
        tf.function(turn, autograph=False).get_concrete_function(seeds_of(tf.constant(0, tf.int64))).output_shapes
        for turn in turns
    ]
    compiled = tf.function(many_steps, jit_compile=True, autograph=False)
    history = {"step": [], "discriminator": [], "generator": []}
    if record is not None:
        record(0)
    for first in range(0, steps, every):
        last = min(first + every, steps)
        losses = compiled(*(tf.constant(number, tf.int64) for number in (first, last)))
        for name, value in zip(history, (last, *losses), strict=True):
            history[name].append(np.asarray(value))
        if record is not None:
            record(last)
    return {name: np.stack(values) for name, values in history.items()}


def train_gan(generator, discriminator, sample_data, sample_noise, steps, *, discriminator_steps=1, learning_rate=2e-4,
              discriminator_objective=discriminator_loss, generator_objective=generator_loss, every=None, record=None,
              seed=0):  # fmt: skip
    """Train a generator against a discriminator, both by Adam without most of its momentum.

    Args:
        generator, discriminator: Keras models, as in `discriminator_step`.
        sample_data, sample_noise: Callables from a seed, an integer tensor (2,), to a batch of real samples or noise.
        steps, discriminator_steps, every, record, seed: As in `take_turns`.
        learning_rate: Learning rate of both players, or a Keras schedule.
        discriminator_objective, generator_objective: Losses, as in `discriminator_step` and `generator_step`.

    Returns:
        The history, as from `take_turns`.

    Raises:
        ValueError: If a number of steps is not positive.

    Source: Goodfellow et al. 2014, arXiv:1406.2661, algorithm 1; its optimizer: Radford et al. 2016, arXiv:1511.06434.
    """
    generator_optimizer = keras.optimizers.Adam(learning_rate, beta_1=0.5)
    discriminator_optimizer = keras.optimizers.Adam(learning_rate, beta_1=0.5)
    generator_optimizer.build(generator.trainable_variables)
    discriminator_optimizer.build(discriminator.trainable_variables)

    def discriminator_turn(seeds):
        real, noise = sample_data(seeds[0]), sample_noise(seeds[1])
        loss = discriminator_step(
            generator, discriminator, discriminator_optimizer, real, noise, discriminator_objective
        )
        return loss

    def generator_turn(seeds):
        return generator_step(
            generator, discriminator, generator_optimizer, sample_noise(seeds[1]), generator_objective
        )

    return take_turns(discriminator_turn, generator_turn, steps, discriminator_steps, every, record, seed)


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

    Source: Nash 1951; support enumeration, Nisan et al. 2007, Algorithmic game theory, algorithm 3.4.
    """
    a, b = np.asarray(payoffs_a, float), np.asarray(payoffs_b, float)
    if a.ndim != 2 or a.shape != b.shape or a.size == 0:
        raise ValueError(f"payoffs_a, payoffs_b: expected one shape (rows, columns), got {a.shape} and {b.shape}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
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

    Source: Gidel et al. 2019, arXiv:1807.04740, sections 3 and 4.
    """
    _expect_whole("steps", steps, 0)
    state = np.array([*start, 0.0, 0.0])
    path = [state[:2]]
    for _ in range(steps):
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
    if not 0 < learning_rate < np.inf:
        raise ValueError(f"learning_rate: expected a positive number, got {learning_rate!r}")
    if not -1 < momentum < 1:
        raise ValueError(f"momentum: expected a number between -1 and 1, got {momentum!r}")
    x, y, x_move, y_move = state
    x_move = momentum * x_move - learning_rate * y
    y_move = momentum * y_move + learning_rate * (x + x_move if alternating else x)
    return np.stack([x + x_move, y + y_move, x_move, y_move])


def _logits(name, logits):
    logits = tf.convert_to_tensor(logits)
    logits = logits if logits.dtype.is_floating else tf.cast(logits, tf.float32)
    if len(logits.shape) == 0 or 0 in logits.shape or (len(logits.shape) > 1 and logits.shape[-1] != 1):
        raise ValueError(f"{name}: expected the shape (batch,) or (..., batch, 1), got {tuple(logits.shape)}")
    return logits


def _batch_mean(values):
    return tf.reduce_mean(values, axis=-1 if len(values.shape) == 1 else (-2, -1))


def _expect_whole(name, value, least):
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"{name}: expected a whole number of at least {least}, got {value!r}")


def lesson(
    report,
    *,
    steps: int = 8000,
    runs: int = 3,
    units: int = 32,
    batch_size: int = 256,
    learning_rate: float = 0.0005,
    perfect_steps: int = 1000,
    samples: int = 20000,
    seed: int = 0,
):
    """Check losses and turns, take a perfect discriminator's slope, count equilibria, and learn two hills.

    Args:
        report: The report to write to.
        steps: Training steps of the generator (2 to 1000000).
        runs: Independent runs, trained side by side (2 to 100).
        units: Units of each of two hidden layers (2 to 1024).
        batch_size: Samples in a batch (2 to 100000).
        learning_rate: Learning rate at the start; it falls to 0 (0.000001 to 1).
        perfect_steps: Training steps of a discriminator against a generator that stands still (1 to 100000).
        samples: Samples to measure distances with (100 to 1000000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _losses(report, np.random.default_rng(seed))
    _one_player_at_a_time(report, seed)
    _perfect_discriminator(report, perfect_steps, seed)
    _games(report)
    _bilinear(report)
    _two_hills_learnt(report, steps, runs, units, batch_size, learning_rate, samples, seed)


def _losses(report, rng):
    real, fake = (tf.constant(rng.normal(scale=3.0, size=(3, 64, 1)), tf.float32) for _ in range(2))
    keras_loss = keras.losses.BinaryCrossentropy(from_logits=True)
    rows = []
    for run in range(3):
        ones, zeros = tf.ones((64, 1)), tf.zeros((64, 1))
        both = keras_loss(ones, real[run]) + keras_loss(zeros, fake[run])
        rows.append([both, keras_loss(ones, fake[run]), -keras_loss(zeros, fake[run])])
    want = [tf.stack(values) for values in zip(*rows, strict=True)]
    ours = [discriminator_loss(real, fake), generator_loss(fake), generator_loss(fake, saturating=True)]
    report.check(
        "the losses are Keras's cross-entropies with labels 1 and 0, run by run", ours, list(map(tf.stack, want))
    )
    sure = tf.constant([100.0, -100.0])
    at_ends = [discriminator_loss(-sure, sure), generator_loss(sure), generator_loss(sure, saturating=True)]
    report.check("at logits ±100 they are 100, 50 and −50", at_ends, [100.0, 50.0, -50.0])


def _one_player_at_a_time(report, seed):
    generator, discriminator = parallel_mlp(2, 3, (8,), 1, seed), parallel_mlp(2, 1, (8,), 1, seed + 100)
    rng = np.random.default_rng((seed, 1))
    real, noise = (tf.constant(rng.normal(size=(2, 16, size)), tf.float32) for size in (1, 3))
    players = {"generator": generator, "discriminator": discriminator}
    for name, step, data in (
        ("generator", generator_step, (noise,)),
        ("discriminator", discriminator_step, (real, noise)),
    ):
        before = {player: model.get_weights() for player, model in players.items()}
        step(generator, discriminator, keras.optimizers.Adam(0.01), *data)
        moved = {
            player: max(np.abs(new - old).max() for new, old in zip(model.get_weights(), before[player], strict=True))
            for player, model in players.items()
        }
        other = next(player for player in players if player != name)
        report.check(f"in the {name}'s step the {other}'s weights stand still", moved[other], 0.0, rtol=0, atol=0)
        report.at_least(f"and the {name}'s move", moved[name], 0.005)


def _perfect_discriminator(report, perfect_steps, seed):
    """Data far from all that a fresh generator draws; the discriminator learns to tell them apart without mistake."""
    generator, discriminator = parallel_mlp(1, 2, (16,), 1, seed), parallel_mlp(1, 1, (16,), 1, seed + 100)
    optimizer = keras.optimizers.Adam(0.02)
    optimizer.build(discriminator.trainable_variables)
    rng = np.random.default_rng((seed, 2))
    real, noise = (tf.constant(rng.normal(size=(1, 256, size)), tf.float32) for size in (1, 2))
    step = tf.function(lambda: discriminator_step(generator, discriminator, optimizer, real + 10.0, noise))
    losses = [float(step()[0]) for _ in range(perfect_steps)]
    variables = generator.trainable_variables
    norms, values = [], []
    for saturating in (True, False):
        with tf.GradientTape() as tape:
            value = generator_loss(discriminator(generator(noise)), saturating)
        norms.append(float(tf.linalg.global_norm(tape.gradient(value, variables))))
        values.append(float(value[0]))
    rows = [
        ["discriminator's, at the start", losses[0], None],
        ["discriminator's, perfect", losses[-1], None],
        ["log(1 − D), saturating", values[0], norms[0]],
        ["−log D", values[1], norms[1]],
    ]
    columns = ["loss", "nats", "norm of its gradient in the generator"]
    report.table("a discriminator without mistakes", columns, rows)
    label = "perfect discriminator: gradient of log(1 − D) over that of −log D"
    report.at_most(label, norms[0] / norms[1], 1e-3, trained=True)
    report.at_most("the perfect discriminator's own loss, nats", losses[-1], 1e-3, trained=True)
    logits = tf.constant([-10.0])
    slopes = []
    for saturating in (True, False):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = generator_loss(logits, saturating)
        slopes.append(tape.gradient(value, logits)[0])
    report.check("at one logit the ratio is e to the logit, here e⁻¹⁰", slopes[0] / slopes[1], np.exp(-10.0))
    report.correction(
        "when the generator stops learning",
        course="The discriminator is too good: its loss is too large.",
        correct="Its loss is near 0 then. What is missing is the generator's gradient, if its loss is log(1 − D).",
        shown_by=f"a discriminator trained alone: loss {losses[-1]:.2g}, gradients {norms[0]:.2g} and {norms[1]:.2g}",
    )


def _games(report):
    pennies = np.array([[1, -1], [-1, 1]])
    hands = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]])
    saddle = np.array([[3, 1], [4, 2]])
    years = np.array([[-1, -10], [0, -8]])  # rows and columns: keep silent, confess
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
            rows.append([name, sums, *(", ".join(f"{share:.3g}" for share in each) for each in (p, q)),
                         p @ a @ q, p @ b @ q])  # fmt: skip
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
    report.check("the prisoners' payoffs do not add up to a constant", int(np.ptp(sums)), 14)
    report.correction(
        "non-cooperative games",
        course="Zero-sum and negative-sum games are the non-cooperative ones, by definition.",
        correct="Non-cooperative means that no agreement binds, whatever the sums. The prisoners' payoffs add up to no "
        "constant, those of two who want to meet are never negative, and both games are played without agreements.",
        shown_by=f"sums of the prisoners' payoffs from {sums.min()} to {sums.max()}; their one equilibrium costs each "
        f"{-years[1, 1]} years, an agreement would cost {-years[0, 0]}",
    )


def _bilinear(report):
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


def _real_numbers(seed, shape):
    """Two hills, 0.7 N(−1, 0.5²) and 0.3 N(1.5, 0.6²)."""
    right = tf.random.stateless_uniform(shape, seed) < 0.3
    normal = tf.random.stateless_normal(shape, seed + 1)
    return tf.where(right, 1.5 + 0.6 * normal, -1.0 + 0.5 * normal)


def _real_density(x):
    hills = ((0.7, -1.0, 0.5), (0.3, 1.5, 0.6))
    return sum(w * np.exp(-0.5 * ((x - m) / s) ** 2) / (s * np.sqrt(2 * np.pi)) for w, m, s in hills)


def _two_hills_learnt(report, steps, runs, units, batch_size, learning_rate, samples, seed):
    generator = parallel_mlp(runs, 1, (units, units), 1, seed, "leaky_relu")
    discriminator = parallel_mlp(runs, 1, (units, units), 1, seed + 1000, "leaky_relu")
    real = tf.tile(tf.sort(_real_numbers(tf.constant([seed, -1], tf.int64), (1, samples))), (runs, 1))
    deviation = float(tf.math.reduce_std(real))
    noise = tf.linspace(-1.0, 1.0, samples + 1)[:-1] + 1 / samples  # evenly spaced: no luck in the measurement
    x = np.linspace(-3.5, 4, 301, dtype="float32")
    grid = tf.tile(tf.constant(x[:, None])[None], (runs, 1, 1))
    distances, snapshots = [], {}

    def record(step):
        drawn = generator(tf.tile(noise[None, :, None], (runs, 1, 1)))[..., 0]
        distances.append(wasserstein_of_samples(drawn, real) / deviation)
        snapshots[step] = drawn[0].numpy(), tf.sigmoid(discriminator(grid))[0, :, 0].numpy()

    every = max(1, steps // 60)
    history = train_gan(
        generator,
        discriminator,
        lambda seed: _real_numbers(seed, (runs, batch_size, 1)),
        lambda seed: tf.random.stateless_uniform((runs, batch_size, 1), seed, -1.0, 1.0),
        steps,
        learning_rate=keras.optimizers.schedules.PolynomialDecay(learning_rate, steps, 0.0),
        every=every,
        record=record,
        seed=seed,
    )
    distances = np.stack(distances)  # (records, runs)
    rows = [
        [run, *(float(distances[i, run]) for i in (0, len(distances) // 2, -1)),
         *(float(history[player][-1, run]) for player in ("discriminator", "generator"))]
        for run in range(runs)
    ]  # fmt: skip
    columns = ["run", "distance at the start", "half way", "at the end", "discriminator's loss", "generator's loss"]
    report.table("Wasserstein distance to the data, in its standard deviations", columns, rows)
    mean, error = plots.mean_and_error(distances[-1])
    report.note(f"Distance over {runs} runs: {mean:.3f} ± {error:.3f} standard deviations of the data.")
    report.at_most("distance to the data at the end, largest of all runs", distances[-1].max(), 0.1, trained=True)
    label = "the discriminator's loss at the end, near the 2 ln 2 of one that can only guess"
    report.check(label, history["discriminator"][-1].mean(), 2 * np.log(2), rtol=0, atol=0.1, trained=True)
    report.note("The learning rate falls to 0 here, which algorithm 1 leaves open: at a steady rate the two circle on.")
    _figure_one(report, snapshots, x)


def _figure_one(report, snapshots, x):
    recorded = sorted(snapshots)
    chosen = [recorded[i] for i in (0, min(2, len(recorded) - 1), len(recorded) // 4, -1)]
    figure, axes = plots.subplots(1, 4, figsize=(14, 4.2), sharey=True)
    for ax, step in zip(axes, chosen, strict=True):
        drawn, answers = snapshots[step]
        counts, edges = np.histogram(drawn, np.linspace(-3.5, 4, 61), density=True)
        counts = np.minimum(counts, 1.6)
        density = np.interp(x, (edges[1:] + edges[:-1]) / 2, counts)
        ax.plot(x, _real_density(x), ":", color="k", label="data")
        ax.stairs(counts, edges, color="C3", fill=True, alpha=0.6, label="generator")
        ax.plot(x, answers, "-", color="C1", label="D(x)")
        ax.plot(x, optimal_discriminator(_real_density(x), density), "--", color="C2", linewidth=1, label="best D(x)")
        for z, point in zip(np.linspace(-3.5, 4, 25), drawn[:: max(1, len(drawn) // 25)], strict=False):
            ax.plot([z, np.clip(point, -3.5, 4)], [-0.45, -0.08], color="0.6", linewidth=0.8)
        ax.set(xlabel="x", ylim=(-0.5, 1.65), xlim=(-3.6, 4.1), yticks=[0, 0.5, 1, 1.5])
        ax.set_title(f"step {step}")
    axes[0].set_ylabel("density, or probability")
    axes[0].legend(loc="upper right", fontsize=10)
    report.figure(
        "Two players, as in figure 1 of the paper",
        figure,
        alt="Four steps of one run. At first the generator draws one narrow peak and the discriminator tells it from "
        "the data; at the end the generator's histogram lies on the two hills of the data and the discriminator is "
        "level at one half. Grey lines below show where evenly spaced noise goes.",
    )
