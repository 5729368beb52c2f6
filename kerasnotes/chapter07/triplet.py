"""The same or another? Learn distances, not names, and digits that were never seen can be told apart.

A classifier knows its classes and no others. Faces come without end: a network should say whether two pictures show the
same person, also a person whom it has never seen. What the reader should see: the triplet loss asks for distances only,
the same nearer than another by a margin; most triplets keep the margin soon and teach nothing, so the ones to learn
from are looked for in every batch; and a network that has learnt from the digits 0 to 6 verifies 7, 8 and 9 better than
pixels do. The recipe was chosen by its area on the test set's 7, 8 and 9. Those judged here are the training set's: no
training learns from them, and the choice has not seen them.

Notes: chapter 07, "Face recognition and FaceNet" (人脸识别, FaceNet).
Source: Schroff, Kalenichenko, Philbin 2015, arXiv:1503.03832, section 3; https://keras.io/api/metrics.
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots, training
from kerasnotes.chapter07.window_search import train_in_one_loop
from kerasnotes.parts import floating, layer_seeds, shape, whole
from kerasnotes.parts import positive as above_zero  # here, a positive is a picture of the same class

SMOKE = {"images": 500, "steps": 3, "runs": 1, "pictures": 60}
SECONDS = 35

KNOWN = 7  # the digits 0 to 6 are learnt from, 7 to 9 are not


def triplet_loss(anchor, positive, negative, margin=0.2):
    """How far a triplet misses: the squared distance to the same, plus the margin, less that to another, at least 0.

    Args:
        anchor: Embeddings (..., units).
        positive: Embeddings of pictures of the same class, of the same shape.
        negative: Embeddings of pictures of another class, of the same shape.
        margin: By how much another has to be farther away.

    Returns: Tensor (...), 0 exactly where the margin is kept.
    Raises: ValueError: If shapes differ or the margin is not positive.
    Source: Schroff, Kalenichenko, Philbin 2015, section 3.1.
    """
    anchor = floating("anchor", anchor)
    same = tf.cast(shape("positive", positive, *anchor.shape), anchor.dtype)
    other = tf.cast(shape("negative", negative, *anchor.shape), anchor.dtype)
    near, far = (tf.reduce_sum((anchor - each) ** 2, axis=-1) for each in (same, other))
    return tf.maximum(near + above_zero("margin", margin) - far, 0)


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
    Raises: ValueError: If shapes do not fit or the margin is not positive.
    Source: Schroff, Kalenichenko, Philbin 2015, section 3.2.
    """
    embeddings = floating("embeddings", shape("embeddings", embeddings, None, None))
    labels = shape("labels", tf.convert_to_tensor(labels), embeddings.shape[0])
    distances = squared_distances(embeddings, embeddings)  # (n, n)
    same = labels[:, None] == labels
    pairs = same & ~tf.eye(tf.shape(labels)[0], dtype=bool)
    near, far = distances[:, :, None], distances[:, None, :]  # of anchor and positive, of anchor and negative
    fits = (
        ~same[:, None, :] & (near < far) & (far < near + above_zero("margin", margin))
    )  # (anchor, positive, negative)
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

    Returns: Area under the ROC curve: the probability that a pair of the same class is nearer than one of two classes.
    Raises: ValueError: If shapes do not fit or one of the two kinds of pairs is missing.
    """
    distances = squared_distances(shape("embeddings", embeddings, None, None), embeddings).numpy()
    labels = shape("labels", np.asarray(labels), len(distances))
    one, two = np.triu_indices(len(labels), 1)
    same, values = labels[one] == labels[two], distances[one, two]
    if same.all() or not same.any():
        raise ValueError("labels: expected pairs of the same class and pairs of two classes")
    _, ranks, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[ranks]  # from 1; the same distance has the same, middle rank
    different = np.sum(~same)
    return float((ranks[~same].sum() - different * (different + 1) / 2) / different / np.sum(same))


def more_classes(images, labels, seed, symmetric=()):
    """Make new classes of old pictures: a quarter turn, a mirror, and halves of two pictures side by side.

    Args:
        images: Square pictures (n, size, size, channels) of an even size.
        labels: Classes (n,), from 0.
        seed: Seed of which halves come together.
        symmetric: Classes that a mirror does not change; they are not mirrored.

    Returns: `(images, labels)`: the pictures, turned ones, mirrored ones, n with the upper half of one and the lower
        half of another, and n with two such halves left and right. With c classes, there are up to 3c + 2c² then.
    """
    rng, classes, axes = np.random.default_rng(seed), int(np.max(labels)) + 1, (1, 2)
    kept = ~np.isin(labels, symmetric)
    parts = [(images, labels), (np.rot90(images, 1, axes), labels + classes)]
    parts.append((images[kept][:, :, ::-1], labels[kept] + 2 * classes))
    for axis in axes:
        one, two = rng.integers(0, len(images), (2, len(images)))
        halves = np.split(images[one], 2, axis)[0], np.split(images[two], 2, axis)[1]
        names = 3 * classes + ((axis - 1) * classes + labels[one]) * classes + labels[two]
        parts.append((np.concatenate(halves, axis), names))
    return tuple(np.concatenate(each) for each in zip(*parts, strict=True))


def build_embedding(units=64, seed=0):
    """A network from pictures (batch, 28, 28, 1) to embeddings (batch, units) of length 1."""
    seeds = layer_seeds(seed)
    x = inputs = keras.Input((28, 28, 1))
    for filters in (16, 32):
        start = keras.initializers.HeUniform(next(seeds))
        x = keras.layers.Conv2D(filters, 5, padding="same", activation="relu", kernel_initializer=start)(x)
        x = keras.layers.MaxPooling2D(2)(x)  # (batch, 14, 14, 16), (batch, 7, 7, 32)
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
    Raises: ValueError: If the mining is unknown.
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


def lesson(report, *, images: int = 10000, steps: int = 250, runs: int = 2, pictures: int = 900, seed: int = 0):
    """Check loss, mining and score, then learn from the digits 0 to 6 in three ways and verify 7, 8 and 9.

    Args:
        report: The report to write to.
        images: Pictures of the digits 0 to 6 to learn from (300 to 40000).
        steps: Updates of each network (1 to 100000).
        runs: Networks for each way (1 to 20).
        pictures: New pictures of 7, 8 and 9 to verify, and as many of 0 to 6 (20 to 2900).
        seed: Seed of all random draws (0 to 4294967295).
    """
    rng, ((x, y), (x_test, y_test)) = np.random.default_rng(seed), data.mnist()
    _losses(report, rng)
    _mining(report, rng)
    _score(report, rng)
    known, new = ((x[chosen][:pictures, ..., None] / 255, y[chosen][:pictures])
                  for x, y, chosen in ((x_test, y_test, y_test < KNOWN), (x, y, y >= KNOWN)))  # fmt: skip
    learnt = x[y < KNOWN][:images, ..., None].astype(np.float32) / 255, y[y < KNOWN][:images].astype(int)
    _trained(report, learnt, known, new, steps, runs, seed)


def _losses(report, rng):
    anchor = np.array([[0.0, 0.0]] * 3)
    same, other = np.array([[0.3, 0.0]] * 3), np.array([[0.5, 0.0], [0.3, 0.4], [0.4, 0.0]])
    losses = triplet_loss(anchor, same, other, 0.16)
    report.check("margin just kept, well kept, missed by 0.09", losses, [0.0, 0.0, 0.09], atol=1e-9)
    points = [tf.constant(rng.normal(size=(5, 3))) for _ in range(3)]
    with tf.GradientTape() as tape:
        tape.watch(points)
        loss = tf.reduce_sum(triplet_loss(*points, 1.0))
    gradients, got, want = tape.gradient(loss, points), [], []
    for way in rng.normal(size=(20, 3, 5, 3)):  # steps of all embeddings together
        ends = [tf.reduce_sum(triplet_loss(*(np.array(points) + step * way), 1.0)) for step in (1e-6, -1e-6)]
        got.append(np.sum(np.array(gradients) * way))
        want.append((ends[0] - ends[1]) / 2e-6)
    report.check("slope in 20 directions: gradient and finite differences", got, want, atol=1e-5)


def _mining(report, rng):
    embeddings, labels = keras.utils.normalize(rng.normal(size=(60, 3))), rng.integers(0, 4, 60)
    triplets = semi_hard_triplets(embeddings, labels).numpy()
    distances = squared_distances(embeddings, embeddings).numpy()
    near, far = distances[triplets[:, 0], triplets[:, 1]], distances[triplets[:, 0], triplets[:, 2]]
    report.check("mined triplets: share with a negative farther away, within the margin",
                 np.mean((near < far) & (far < near + 0.2)), 1.0)  # fmt: skip
    losses = triplet_loss(*(embeddings[triplets[:, place]] for place in range(3)))
    report.at_least("and the smallest of their losses", np.min(losses), 0.0)


def _score(report, rng):
    embeddings, labels = rng.normal(size=(40, 2)), rng.integers(0, 3, 40)
    one, two = np.triu_indices(40, 1)
    near = 1 / (1 + squared_distances(embeddings, embeddings).numpy()[one, two])  # spread over Keras's thresholds
    theirs = keras.metrics.AUC(num_thresholds=20000)(labels[one] == labels[two], near)
    report.check("verification: Keras's AUC", theirs, verification_auc(embeddings, labels), rtol=0, atol=1e-3)


def _trained(report, learnt, known, new, steps, runs, seed):
    pixels = new[0].reshape(len(new[0]), -1)
    more = more_classes(*learnt, (seed, 9), symmetric=(0, 1))
    ways = {"any triplets": (learnt, "random"), "semi-hard triplets": (learnt, "semi-hard"),
            "semi-hard, made-up classes too": (more, "semi-hard")}  # fmt: skip
    rows, areas = [["pixels", 0, verification_auc(known[0].reshape(len(known[0]), -1), known[1]),
                    verification_auc(pixels, new[1]), None]], {}  # fmt: skip
    for name, (pictures, mining) in ways.items():
        found = []
        for run in report.track(range(runs), name):
            model, losses = train_embedding(*pictures, mining, steps, seed=seed + run)
            found.append([verification_auc(training.predict(model, each[0]), each[1]) for each in (known, new)])
        areas[name] = np.array(found)
        pairs = [(float(mean), float(error)) for mean, error in zip(*plots.mean_and_error(found), strict=True)]
        rows.append([name, len(np.unique(pictures[1])), *pairs, float(losses[-20:].mean())])
    report.table(f"area under the ROC curve of {runs} networks each", ["embedding", "classes learnt from",
                 "digits 0 to 6, new writers", "digits 7 to 9, never seen", "loss of the last triplets"],
                 rows)  # fmt: skip
    best, plain = (areas[name][:, 1].mean() for name in [*ways][:0:-1])
    report.at_least("semi-hard: digits 0 to 6", areas["semi-hard triplets"][:, 0].mean(), 0.98, trained=True)
    report.at_least("digits never seen: area under the curve", best, 0.85, trained=True)
    report.at_least("and above that of pixels by", best - rows[0][3], 0.1, trained=True)
    report.at_least("made-up classes: gain on digits never seen", best - plain, 0.03, trained=True)
    spare = rows[2][4] / max(rows[1][4], 1e-6)
    report.at_least("loss of semi-hard triplets over that of any, at the end", spare, 3.0, trained=True)
    report.figure("Digits never seen, sorted by class", _draw(pixels, training.predict(model, new[0]), new[1]),
                  alt="Likeness between pictures of 7, 8 and 9: by pixels hardly a block stands out; by the embedding "
                  "light blocks stand on the diagonal.")  # fmt: skip


def _draw(pixels, embeddings, labels):
    figure, axes = plots.subplots(1, 2, figsize=(10.5, 4.4))
    chosen = np.concatenate([np.flatnonzero(labels == label)[:40] for label in (7, 8, 9)])
    for ax, vectors, title in zip(axes, (pixels, embeddings), ("Pixels", "Embedding learnt from 0 to 6"), strict=True):
        unit = vectors[chosen] / np.linalg.norm(vectors[chosen], axis=1, keepdims=True)
        plots.heatmap(unit @ unit.T, xlabel="picture of", ylabel="picture of", label="cosine", title=title, ax=ax,
                      cmap="cividis")  # fmt: skip
        middles = [np.flatnonzero(labels[chosen] == label).mean() for label in (7, 8, 9)]
        ax.set_xticks(middles, (7, 8, 9))
        ax.set_yticks(middles, (7, 8, 9))
    return figure
