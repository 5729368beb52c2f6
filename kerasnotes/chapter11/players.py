"""A game of networks is a list of players, each some networks and a loss; one loop trains every member of the zoo."""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes.chapter11.dcgan import train_in_chunks
from kerasnotes.parts import positive, share


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
        batch_size: Samples in a batch.
        latent_size: Numbers of noise for each.
        seed: Seed of the draws.

    Returns: Callable `(first, count)` -> (int32 (count, batch), float32 (count, batch, latent)).
    """
    rng = np.random.default_rng((seed, 3))

    def draw(first, count):
        order = rng.integers(samples, size=(count, batch_size), dtype=np.int32)
        return order, rng.standard_normal((count, batch_size, latent_size), np.float32)

    return draw
