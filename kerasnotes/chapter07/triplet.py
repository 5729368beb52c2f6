"""The same or another? Learn distances, not names, and digits that were never seen can be told apart.

A classifier knows its classes and no others. Faces come without end: a network should say whether two pictures show the
same person, also a person whom it has never seen. What the reader should see: the triplet loss asks for distances only,
the same nearer than another by a margin; most triplets keep the margin soon and teach nothing, so the ones to learn
from are looked for in every batch; and a network that has learnt from the digits 0 to 6 verifies 7, 8 and 9 better than
pixels do.

Notes: chapter 07, "Face recognition and FaceNet" (人脸识别, FaceNet).
Source: Schroff, Kalenichenko, Philbin 2015, arXiv:1503.03832, section 3; https://keras.io/api/metrics.
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots, training
from kerasnotes.chapter07.proposals import train_in_one_loop
from kerasnotes.parts import floating, layer_seeds, positive, shape, whole

SMOKE = {"images": 700, "steps": 4, "runs": 1, "pictures": 60}
SECONDS = 40

KNOWN = 7  # the digits 0 to 6 are learnt from, 7 to 9 are not


def triplet_loss(anchor, positive_one, negative, margin=0.2):
    """How far a triplet misses: the squared distance to the same, plus the margin, less that to another, at least 0.

    Args:
        anchor: Embeddings (..., units).
        positive_one: Embeddings of pictures of the same class, of the same shape.
        negative: Embeddings of pictures of another class, of the same shape.
        margin: By how much another has to be farther away.

    Returns:
        Tensor (...), 0 exactly where the margin is kept.

    Raises:
        ValueError: If shapes differ or the margin is not positive.

    Source: Schroff, Kalenichenko, Philbin 2015, section 3.1.
    """
    anchor = floating("anchor", anchor)
    same = tf.cast(shape("positive_one", positive_one, *anchor.shape), anchor.dtype)
    other = tf.cast(shape("negative", negative, *anchor.shape), anchor.dtype)
    near, far = (tf.reduce_sum((anchor - each) ** 2, axis=-1) for each in (same, other))
    return tf.maximum(near + positive("margin", margin) - far, 0)


def squared_distances(embeddings, others):
    """Squared distances (n, m) of embeddings (n, units) and others (m, units), none below 0."""
    one, two = floating("embeddings", embeddings), floating("others", others)
    norms = [tf.reduce_sum(each**2, axis=1) for each in (one, two)]
    return tf.maximum(norms[0][:, None] + norms[1] - 2 * tf.matmul(one, two, transpose_b=True), 0)


def semi_hard_triplets(embeddings, labels, margin=0.2):
    """For every two pictures of a class, the nearest of another class that is farther away, but within the margin.

    Args:
        embeddings: Embeddings of a batch (n, units).
        labels: Classes (n,), integers.
        margin: Where the triplets' loss ends.

    Returns:
        Integer tensor (triplets, 3): indices of anchor, positive and negative, with
        d(anchor, positive) < d(anchor, negative) < d(anchor, positive) + margin for each, d the squared distance.
        Pairs without such a negative are left out.

    Raises:
        ValueError: If shapes do not fit or the margin is not positive.

    Source: Schroff, Kalenichenko, Philbin 2015, section 3.2.
    """
    embeddings = floating("embeddings", shape("embeddings", embeddings, None, None))
    labels = shape("labels", tf.convert_to_tensor(labels), embeddings.shape[0])
    distances = squared_distances(embeddings, embeddings)  # (n, n)
    same = labels[:, None] == labels
    pairs = same & ~tf.eye(tf.shape(labels)[0], dtype=bool)
    near, far = distances[:, :, None], distances[:, None, :]  # of anchor and positive, of anchor and negative
    fits = ~same[:, None, :] & (near < far) & (far < near + positive("margin", margin))  # (anchor, positive, negative)
    infinite = tf.constant(np.inf, distances.dtype)
    negative = tf.argmin(tf.where(fits, far, infinite), axis=2)
    chosen = tf.where(pairs & tf.reduce_any(fits, axis=2))  # (triplets, 2)
    return tf.concat([chosen, tf.gather_nd(negative, chosen)[:, None]], axis=1)


def random_triplets(labels, seed):
    """For every two pictures of a class, one of another class by chance: an integer tensor (triplets, 3)."""
    same = labels[:, None] == labels
    chosen = tf.where(same & ~tf.eye(tf.shape(labels)[0], dtype=bool))
    chance = tf.random.stateless_uniform((tf.shape(chosen)[0], tf.shape(labels)[0]), seed)
    negative = tf.argmax(tf.where(tf.gather(same, chosen[:, 0]), -1.0, chance), axis=1)
    return tf.concat([chosen, negative[:, None]], axis=1)


def verification_auc(embeddings, labels):
    """How well distances tell the same from another: the share of couples of pairs that stand in the right order.

    Args:
        embeddings: Embeddings (n, units).
        labels: Classes (n,), at least two of them, and one with two pictures.

    Returns:
        Area under the ROC curve: the probability that a pair of the same class is nearer than one of two classes.

    Raises:
        ValueError: If shapes do not fit or one of the two kinds of pairs is missing.
    """
    distances = squared_distances(shape("embeddings", embeddings, None, None), embeddings).numpy()
    labels = shape("labels", np.asarray(labels), len(distances))
    one, two = np.triu_indices(len(labels), 1)
    same, values = labels[one] == labels[two], distances[one, two]
    if same.all() or not same.any():
        raise ValueError("labels: expected pairs of the same class and pairs of two classes")
    levels, ranks, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[ranks]  # from 1; the same distance has the same, middle rank
    different = np.sum(~same)
    return float((ranks[~same].sum() - different * (different + 1) / 2) / different / np.sum(same))


def build_embedding(units=32, seed=0):
    """A network from pictures (batch, 28, 28, 1) to embeddings (batch, units) of length 1."""
    seeds, channels = layer_seeds(seed), (16, 32, 64)
    x = inputs = keras.Input((28, 28, 1))
    for filters in channels:
        start = keras.initializers.HeUniform(next(seeds))
        x = keras.layers.Conv2D(filters, 3, strides=2, padding="same", kernel_initializer=start)(x)
        x = keras.layers.ReLU()(x)  # (batch, 14, 14, 16), (batch, 7, 7, 32), (batch, 4, 4, 64)
    start = keras.initializers.GlorotUniform(next(seeds))
    x = keras.layers.Dense(whole("units", units), kernel_initializer=start)(keras.layers.Flatten()(x))
    return keras.Model(inputs, keras.layers.UnitNormalization()(x))


def train_embedding(images, labels, mining="semi-hard", steps=400, margin=0.2, batch_size=112, seed=0):
    """Train a network on triplets that are chosen anew in every batch.

    Args:
        images: Pictures (n, 28, 28, 1).
        labels: Classes (n,).
        mining: `"semi-hard"`, or `"random"` for any negative.
        steps, batch_size: Number of updates and pictures in each.
        margin: Of the loss and of the choice.
        seed: Seed of weights, order and random negatives.

    Returns:
        `(model, losses)`: from `build_embedding`, and the mean losses of the triplets of each step (steps,).

    Raises:
        ValueError: If the mining is unknown.
    """
    if mining not in ("semi-hard", "random"):
        raise ValueError(f"mining: expected 'semi-hard' or 'random', got {mining!r}")
    model = build_embedding(seed=seed)

    def loss_of(images, labels, step_seed):
        embeddings = model(images, training=True)
        semi_hard = mining == "semi-hard"
        triplets = semi_hard_triplets(embeddings, labels, margin) if semi_hard else random_triplets(labels, step_seed)
        losses = triplet_loss(*(tf.gather(embeddings, triplets[:, place]) for place in range(3)), margin)
        return tf.reduce_sum(losses) / tf.cast(tf.maximum(tf.size(losses), 1), tf.float32)

    passes = -(-whole("steps", steps) // (len(images) // batch_size))
    arrays = images, np.asarray(labels, np.int32)
    return model, train_in_one_loop(loss_of, model.trainable_variables, arrays, passes, batch_size, 0.002, seed)


def example():
    """Five embeddings of two classes: distances, the semi-hard triplets among them, and their losses."""
    embeddings = tf.constant([[0.0, 0.0], [0.3, 0.0], [0.0, 0.4], [0.0, 1.0], [1.0, 1.0]])
    labels = [0, 0, 1, 1, 1]
    print("squared distances:", squared_distances(embeddings, embeddings).numpy().round(2), sep="\n")
    triplets = semi_hard_triplets(embeddings, labels, margin=0.2)
    losses = triplet_loss(*(tf.gather(embeddings, triplets[:, place]) for place in range(3)), 0.2)
    for triplet, loss in zip(triplets.numpy(), losses.numpy(), strict=True):
        print("anchor, positive, negative:", triplet, f"loss {loss:.2f}")
    one, two = np.triu_indices(5, 1)
    near = -squared_distances(embeddings, embeddings).numpy()[one, two]
    near = (near - near.min()) / np.ptp(near)  # Keras's metric wants numbers from 0 to 1
    metric = keras.metrics.AUC(num_thresholds=2000)
    print("verification:", verification_auc(embeddings, labels), "Keras:",
          metric(np.array(labels)[one] == np.array(labels)[two], near).numpy())  # fmt: skip
