"""Critics side by side with a gradient penalty, each as if it were alone."""

import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter11 import mode_collapse, remedies, ring
from kerasnotes.chapter11.mode_collapse import train_with_penalty
from kerasnotes.chapter11.side_by_side import parallel_mlp


def test_runs_do_not_touch_each_other():
    """Other data in the second run: the first one's weights come out the same, the second one's do not."""
    results = []
    for shift in (0.0, 5.0):
        generator, critic = parallel_mlp(2, 1, (), 2, 3), parallel_mlp(2, 2, (3,), 1, 9)
        moved = tf.constant([0.0, shift])[:, None, None]
        train_with_penalty(
            generator,
            critic,
            lambda seed, moved=moved: tf.random.stateless_normal((2, 8, 2), seed) + moved,
            lambda seed: tf.random.stateless_normal((2, 8, 1), seed),
            2,
            learning_rate=0.01,
        )
        results.append([weight for model in (generator, critic) for weight in model.get_weights()])
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one[0], other[0], rtol=1e-5, atol=1e-6)
    assert any(not np.allclose(one[1], other[1]) for one, other in zip(*results, strict=True))


def test_names_that_moved_are_still_found():
    assert mode_collapse.ring_of_gaussians is ring.ring_of_gaussians
    assert mode_collapse.modes_found is ring.modes_found
    assert mode_collapse.share_near_a_mode is ring.share_near_a_mode
    assert mode_collapse.smoothed_discriminator_loss is remedies.smoothed_discriminator_loss
    assert mode_collapse.MinibatchDiscrimination is remedies.MinibatchDiscrimination


def test_no_steps_are_refused():
    with pytest.raises(ValueError, match="steps: expected a whole number"):
        train_with_penalty(*[parallel_mlp(1, 1, (), 1)] * 2, tf.identity, tf.identity, 0, learning_rate=0.1)
