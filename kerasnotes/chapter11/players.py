"""A game of networks is a list of players, each some networks and a loss; one loop trains every member of the zoo.

A player owns the weights of its networks and descends its loss, which may run anybody's networks. What the reader
should see: two players make the very steps that `gan.py` and `dcgan.py` write out; weights move in their own player's
turns only, in a game of three as well; a player that stands in the list twice takes two turns; and one player alone is
ordinary training, as Keras does it.

Notes: chapter 11, "The zoo of GANs" (GAN家族).
Source: Goodfellow et al. 2014, arXiv:1406.2661, algorithm 1 (turns); Radford et al. 2016, arXiv:1511.06434.
"""

import time

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.chapter11.dcgan import dcgan_step, train_in_chunks
from kerasnotes.chapter11.dcgan_networks import build_discriminator, build_generator
from kerasnotes.chapter11.gan import discriminator_step, generator_step
from kerasnotes.chapter11.saturation import discriminator_loss, generator_loss
from kerasnotes.chapter11.side_by_side import parallel_mlp
from kerasnotes.parts import positive, share, whole

SMOKE = {"steps": 2}
SECONDS = 5


class Player:
    """Some networks whose weights descend one loss.

    Args:
        networks: Keras models, built: their trainable weights are this player's, and nobody else's.
        loss: Callable from what was drawn for a step to a scalar. It may run the other players' networks.
        learning_rate: Of its Adam optimizer, or a Keras schedule.
        beta_1, beta_2: Of its Adam optimizer.

    Raises: ValueError: If there is no trainable weight, or a rate is out of range.
    """

    def __init__(self, networks, loss, learning_rate=1e-3, beta_1=0.5, beta_2=0.999):
        share("beta_1", beta_1, high=False)
        share("beta_2", beta_2, high=False)
        if isinstance(learning_rate, (int, float)):
            positive("learning_rate", learning_rate)
        self.networks, self.loss = list(networks), loss
        if not self.weights:
            raise ValueError("networks: expected trainable weights, got none; call each network once to build it")
        self.optimizer = keras.optimizers.Adam(learning_rate, beta_1, beta_2)
        self.optimizer.build(self.weights)  # a loop must not create variables

    @property
    def weights(self):
        """Trainable weights of all its networks, in order."""
        return [weight for network in self.networks for weight in network.trainable_variables]

    def turn(self, *drawn):
        """One step down the loss; returns the loss from before it."""
        with tf.GradientTape() as tape:
            loss = self.loss(*drawn)
        self.optimizer.apply(tape.gradient(loss, self.weights), self.weights)
        return loss


def play(players, draw, steps, *, every=250, track=None, watch=None):
    """Let the players take turns, in the order of the list; many steps in one compiled call.

    Args:
        players: List of `Player`; one that stands in the list several times takes several turns a step.
        draw: Callable `(first, count)` as in `train_in_chunks`: a tuple of arrays (count, ...); each player's loss gets
            one step's share of all of them.
        steps, every, track, watch: As in `train_in_chunks`.

    Returns: float32 (steps, players), the losses, each from before its player's turn.

    Raises: ValueError: If there is no player, or a number of steps is not positive.
    """
    if not players:
        raise ValueError("players: expected at least one, got none")
    return train_in_chunks(lambda *drawn: [player.turn(*drawn) for player in players], draw, steps, every, track, watch)


def draw_batches(samples, batch_size, latent_size, seed=0):
    """A `draw` for `play`: for every step the indices of a batch of samples, and noise.

    Args:
        samples: Number of samples to choose from.
        batch_size: Samples in a batch; a tuple such as (runs, batch) for several runs side by side.
        latent_size: Numbers of noise for each.
        seed: Seed of the draws.

    Returns: Callable `(first, count)` -> (int32 (count, batch), float32 (count, batch, latent)).

    Raises: ValueError: If a size is not a positive whole number.
    """
    sizes = batch_size if isinstance(batch_size, tuple) else (batch_size,)
    samples, latent_size = whole("samples", samples), whole("latent_size", latent_size)
    batch = tuple(whole("batch_size", size) for size in sizes)
    rng = np.random.default_rng((seed, 3))

    def draw(first, count):
        order = rng.integers(samples, size=(count, *batch), dtype=np.int32)
        return order, rng.standard_normal((count, *batch, latent_size), np.float32)

    return draw


def two_players(generator, discriminator, samples, tell, fool, *, penalty=None, **optimizer):
    """A discriminator that tells real from drawn, and a generator that fools it: most of the zoo is this pair.

    Args:
        generator, discriminator: Built Keras models, from noise to samples and from samples to one number each; those
            of `parallel_mlp` play several games side by side.
        samples: Real samples (samples, ...).
        tell: The discriminator's loss, a callable from its numbers for real and for drawn samples.
        fool: The generator's loss, a callable from the discriminator's numbers for drawn samples.
        penalty: Callable `(real, drawn, seed) -> number`, added to the discriminator's loss, or None. Its seed, two
            whole numbers, differs from step to step.
        optimizer: `learning_rate`, `beta_1` and `beta_2` of both players.

    Returns: `[discriminator's player, generator's player]`, for the draws of `draw_batches`. Their losses are sums over
        the games that are played side by side.
    """
    samples = tf.constant(samples)

    def telling(order, noise):
        real, drawn = tf.gather(samples, order), generator(noise, training=True)
        loss = tf.reduce_sum(tell(discriminator(real, training=True), discriminator(drawn, training=True)))
        return loss if penalty is None else loss + penalty(real, drawn, tf.reshape(order, (-1,))[:2])

    def fooling(order, noise):
        return tf.reduce_sum(fool(discriminator(generator(noise, training=True), training=True)))

    return [Player([discriminator], telling, **optimizer), Player([generator], fooling, **optimizer)]


def example():
    """A game of two on the line, and a single player, whose steps are those of Keras's own training."""
    one = tf.ones((1, 1))
    generator, discriminator = (keras.Sequential([keras.layers.Dense(1, kernel_initializer="ones")]) for _ in range(2))
    generator(one), discriminator(one)
    samples = 3 + 0.5 * np.random.default_rng(0).standard_normal((500, 1), np.float32)
    players = two_players(generator, discriminator, samples, discriminator_loss, generator_loss, learning_rate=0.02)
    play(players, draw_batches(500, 64, 1), 400)
    print("a straight line is a judge of the mean only. Drawn:", generator(tf.zeros((1, 1))).numpy()[0], "data: 3")

    ours, keras_model = keras.Sequential([keras.layers.Dense(1)]), keras.Sequential([keras.layers.Dense(1)])
    ours(one), keras_model(one)
    keras_model.set_weights(ours.get_weights())
    x, y = samples[:64], 2 * samples[:64]
    alone = Player([ours], lambda x, y: tf.reduce_mean((ours(x) - y) ** 2), learning_rate=0.1)
    play([alone], lambda first, count: (np.stack([x] * count), np.stack([y] * count)), 5)
    keras_model.compile(keras.optimizers.Adam(0.1, 0.5), "mse")
    for _ in range(5):
        keras_model.train_on_batch(x, y)
    print("one player alone:", ours.get_weights()[0][0], "by Keras:", keras_model.get_weights()[0][0])


def lesson(report, *, steps: int = 20, seed: int = 0):
    """Hold players against the steps of earlier lessons and of Keras, and watch whose weights move.

    Args:
        report: The report to write to.
        steps: Steps of the comparisons and of the game of three (2 to 1000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _one_player(report, steps, seed)
    _steps_of_gan(report, steps, seed)
    _steps_of_dcgan(report, seed)
    _own_turns_only(report, steps, seed)


def _one_player(report, steps, seed):
    """A single player and Keras's own training of the same network on the same batches."""
    rng = np.random.default_rng((seed, 1))
    x, y = rng.normal(size=(steps, 16, 3)).astype(np.float32), rng.normal(size=(steps, 16, 2)).astype(np.float32)
    start = keras.initializers.GlorotUniform(seed)
    ours, by_keras = (
        keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, "tanh", kernel_initializer=start)]) for _ in range(2)
    )
    by_keras.set_weights(ours.get_weights())
    by_keras.compile(keras.optimizers.Adam(0.01, 0.5), "mse")
    want = [by_keras.evaluate(*each, verbose=0) for each in [(x[0], y[0])]]
    player = Player([ours], lambda x, y: tf.reduce_mean((ours(x) - y) ** 2), 0.01)
    losses = play([player], lambda first, count: (x[first : first + count], y[first : first + count]), steps, every=7)
    for each in zip(x, y, strict=True):
        by_keras.train_on_batch(*each)
    report.check("one player alone: its weights are those of Keras's training", ours.get_weights(),
                 by_keras.get_weights(), rtol=1e-3, atol=1e-5)  # fmt: skip
    report.check("and its first loss", losses[0], want)


def _steps_of_gan(report, steps, seed):
    """Steps of both, by the loop and by the functions of `gan.py`, on two games side by side."""
    samples = np.random.default_rng((seed, 2)).normal(size=(100, 1)).astype(np.float32)
    order, noise = draw_batches(100, (2, 16), 3, seed)(0, steps)
    results = []
    for by_loop in (True, False):
        pair = parallel_mlp(2, 3, (8,), 1, seed), parallel_mlp(2, 1, (8,), 1, seed + 100)
        if by_loop:
            players = two_players(*pair, samples, discriminator_loss, generator_loss)
            play(players, lambda first, count: (order, noise), steps)
        else:
            optimizers = [keras.optimizers.Adam(1e-3, 0.5) for _ in range(2)]
            for each, z in zip(order, noise, strict=True):
                discriminator_step(*pair, optimizers[0], tf.gather(samples, each), z)
                generator_step(*pair, optimizers[1], z)
        results.append([weight for model in pair for weight in model.get_weights()])
    report.check("steps of two players are those of gan.py", *results, rtol=1e-3, atol=1e-4)


def _steps_of_dcgan(report, seed):
    """One step, by plain descent: Adam would blow up the rounding of slopes that are 0."""
    rng = np.random.default_rng((seed, 3))
    images, noise = np.float32(rng.uniform(-1, 1, (8, 28, 28, 1))), rng.standard_normal((8, 5), np.float32)
    results, averages = [], []
    for by_players in (True, False):
        generator, discriminator = build_generator(5, (4, 3, 2), seed), build_discriminator((2, 3, 4), seed)
        optimizers = [keras.optimizers.SGD(0.1) for _ in range(2)]
        if by_players:
            players = two_players(generator, discriminator, images, discriminator_loss, generator_loss)
            for player, player.optimizer in zip(players, optimizers, strict=True):
                player.turn(np.arange(8), noise)
        else:
            dcgan_step(generator, discriminator, *optimizers, images, noise)
        results.append([weight.numpy() for model in (generator, discriminator) for weight in model.trainable_variables])
        averages.append(np.concatenate([np.ravel(each) for each in generator.non_trainable_variables]))
    report.check("a step of two players is the one of dcgan.py", *results, rtol=1e-3, atol=1e-5)
    report.at_least("but for the generator's moving averages: largest difference", np.ptp(averages, axis=0).max(), 1e-3)
    report.note(
        "A player's loss draws anew: where `dcgan.py` runs the generator once for both steps, two players run it twice "
        "on the same noise. Its trained weights are the same; the moving averages of its batch normalization move "
        "twice a step, and so forget faster. A new member of the zoo costs its idea, and that much time."
    )


def _own_turns_only(report, steps, seed):
    """Three networks in a chain, and a loss that runs all of them."""
    networks = [parallel_mlp(1, 2, (4,), 2, seed + i) for i in range(3)]
    x = tf.random.stateless_normal((1, 8, 2), (seed, 4))

    def loss(*_):
        return tf.reduce_mean(tf.square(networks[2](networks[1](networks[0](x)))))

    players, way = [Player([network], loss, 0.01) for network in networks], [_flat(networks)]
    for turn in range(12):
        players[turn % 3].turn()
        way.append(_flat(networks))
    moved = np.abs(np.diff(way, axis=0)).max(axis=2)  # (turns, networks)
    label = "twelve turns of three players: whose weights moved"
    report.check(label, moved > 0, np.tile(np.eye(3, dtype=bool), (4, 1)))
    play([*players, players[0]], draw_batches(1, 1, 1), steps)
    turns = [int(player.optimizer.iterations) for player in players]
    report.check("in the list twice: two turns a step, after the four above", turns,
                 [4 + 2 * steps, 4 + steps, 4 + steps])  # fmt: skip
    _figure(report, np.linalg.norm(np.array(way) - way[0], axis=2), _milliseconds(players, steps))


def _flat(networks):
    return [np.concatenate([np.ravel(weight) for weight in network.get_weights()]) for network in networks]


def _milliseconds(players, steps):
    """Of a step of all players, called one by one from Python and inside one compiled call; and of its first call."""
    draw, began = draw_batches(1, 1, 1), time.perf_counter()
    for _ in range(steps):
        for player in players:
            player.turn()
    one_by_one, ends = (time.perf_counter() - began) / steps, [time.perf_counter()]
    play(players, draw, 3 * steps, every=steps, watch=lambda done: ends.append(time.perf_counter()))
    return [1000 * one_by_one, 1000 * (ends[-1] - ends[-2]) / steps, 1000 * (ends[1] - ends[0])]


def _figure(report, distances, milliseconds):
    names = "turn by turn in Python", "in a compiled call", "first compiled call, with its trace"
    report.table("milliseconds of a step of three players", ["how", "milliseconds"],
                 [list(row) for row in zip(names, milliseconds, strict=True)])  # fmt: skip
    figure, (left, right) = plots.subplots(1, 2, figsize=(10.5, 4.2), width_ratios=(1.6, 1))
    for player, (marker, way) in enumerate(zip("os^", distances.T, strict=True)):
        left.step(range(len(way)), way, where="post", marker=marker, label=f"player {player + 1}")
    left.set(
        xlabel="turns taken, of the players 1, 2, 3, 1, 2, 3, …", ylabel="distance of the weights\nfrom their start"
    )
    left.set_title("Weights move in their player's turns only")
    left.legend()
    plots.bars(["turn by turn\nin Python", "in a\ncompiled call"], milliseconds[:2], ylabel="milliseconds a step",
               title="A step of all three", ax=right)  # fmt: skip
    right.set_yscale("log")
    report.figure(
        "Three players take turns",
        figure,
        alt="Left: three staircases, the distances of three players' weights from their start; each rises in its own "
        "turns and is level in those of the others. Right: a step takes many times longer turn by turn in Python than "
        "in a compiled call.",
    )
