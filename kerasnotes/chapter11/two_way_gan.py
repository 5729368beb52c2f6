"""A discriminator that sees pairs of picture and code makes an encoder the inverse of the generator, at the optimum.

BiGAN has two ways to make a pair: a picture x with its code E(x), and a code z with its picture G(z). If nobody can
tell them apart, E and G undo each other, though neither has ever seen what the other made of its own output. What the
reader should see: this by enumeration of all small encoders and generators; then, on digits, how far from the optimum
training ends, beside an encoder that simply learns to invert the same generator on its draws.

Notes: chapter 11, "BiGAN" (双向GAN).
Source: Donahue, Krähenbühl, Darrell 2017, arXiv:1605.09782; Dumoulin et al. 2017, arXiv:1606.00704.
"""

import itertools

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots, training
from kerasnotes.chapter11.divergences import js
from kerasnotes.chapter11.players import Player, draw_batches, play
from kerasnotes.chapter11.saturation import discriminator_loss, generator_loss
from kerasnotes.parts import layer_seeds, shape, whole

SMOKE = {"steps": 3, "images": 500, "units": 8, "code": 2, "classifier_epochs": 1}
FULL = {"steps": 20000, "units": 512}
SECONDS = 11


def bigan_losses(encoded_logits, drawn_logits):
    """The discriminator tells (x, E(x)) from (G(z), z); encoder and generator together want the answers exchanged.

    Args:
        encoded_logits: The discriminator's for pairs of a real sample and its code, (batch, 1).
        drawn_logits: For pairs of a drawn sample and the code it was drawn from, (batch, 1).

    Returns: `(discriminator_loss, loss of encoder and generator)`, scalars; the second in the form that does not
        saturate: with the logits exchanged it is the first.

    Raises: ValueError: If a batch is empty, or holds more than one logit a sample.

    Source: Donahue et al. 2017, arXiv:1605.09782.
    """
    return discriminator_loss(encoded_logits, drawn_logits), discriminator_loss(drawn_logits, encoded_logits)


def bigan_divergence(p_x, p_z, encoder, generator):
    """Jensen-Shannon divergence between the pairs (x, E(x)) and (G(z), z): what the best discriminator leaves.

    Args:
        p_x, p_z: Distributions of samples (n,) and of codes (m,).
        encoder: For each sample its code, whole numbers (n,) below m.
        generator: For each code its sample, whole numbers (m,) below n.

    Returns: A float, in nats: 0 if and only if both kinds of pairs have one distribution.

    Raises: ValueError: If the sizes do not fit, or an index is out of range.
    """
    p_x, p_z, encoder, generator = (np.asarray(each) for each in (p_x, p_z, encoder, generator))
    shape("encoder", encoder, len(p_x))
    shape("generator", generator, len(p_z))
    for name, index, size in (("encoder", encoder, len(p_z)), ("generator", generator, len(p_x))):
        if index.dtype.kind not in "iu" or index.min() < 0 or index.max() >= size:
            raise ValueError(f"{name}: expected whole numbers from 0 to {size - 1}, got {index}")
    encoded, drawn = np.zeros((len(p_x), len(p_z))), np.zeros((len(p_x), len(p_z)))
    np.add.at(encoded, (np.arange(len(p_x)), encoder), p_x)
    np.add.at(drawn, (generator, np.arange(len(p_z))), p_z)
    return float(js(encoded.ravel(), drawn.ravel()))


def build_mlp(inputs, hidden, outputs, activation=None, normalize=True, seed=0):
    """A fully connected network with leaky ReLU, and batch normalization if asked for.

    Args:
        inputs, outputs: Numbers of a sample before and after.
        hidden: Units of the hidden layers.
        activation: Of the last layer.
        normalize: Whether hidden layers have batch normalization.
        seed: Seed of the initial weights.

    Returns: An uncompiled `keras.Sequential`.
    """
    seeds, layers = layer_seeds((seed, 7)), [keras.Input((inputs,))]
    for units in hidden:
        layers.append(keras.layers.Dense(units, kernel_initializer=keras.initializers.HeNormal(next(seeds))))
        layers += [keras.layers.BatchNormalization(momentum=0.9)] if normalize else []
        layers.append(keras.layers.LeakyReLU(0.2))
    last = keras.layers.Dense(outputs, activation, kernel_initializer=keras.initializers.GlorotNormal(next(seeds)))
    return keras.Sequential([*layers, last])


def train_bigan(generator, encoder, discriminator, samples, steps, *, batch_size=64, learning_rate=1e-3, seed=0,
                every=250, track=None):  # fmt: skip
    """Two players: the discriminator, and generator and encoder together, which share one loss.

    Args:
        generator, encoder: Built Keras models between codes and samples (batch, numbers), either way.
        discriminator: From a sample with a code behind it, (batch, sample + code), to a logit.
        samples: Real samples (samples, numbers).
        steps, every, track: As in `play`.
        batch_size: Samples and codes in a batch.
        learning_rate: Of both at the start; it falls to a twentieth.
        seed: Seed of the draws; codes are standard normal.

    Returns: float32 (steps, 2), the losses of the two.

    Raises: ValueError: If a number is not positive.
    """
    samples = tf.constant(samples)
    rate = keras.optimizers.schedules.PolynomialDecay(learning_rate, whole("steps", steps), learning_rate / 20)

    def losses(order, codes):
        x = tf.gather(samples, order)
        encoded = tf.concat([x, encoder(x, training=True)], axis=1)
        drawn = tf.concat([generator(codes, training=True), codes], axis=1)
        return bigan_losses(discriminator(encoded, training=True), discriminator(drawn, training=True))

    players = [Player([discriminator], lambda *both: losses(*both)[0], rate),
               Player([generator, encoder], lambda *both: losses(*both)[1], rate)]  # fmt: skip
    draw = draw_batches(len(samples), batch_size, generator.input_shape[-1], seed)
    return play(players, draw, steps, every=every, track=track)


def train_inverse(encoder, generator, steps, *, batch_size=64, learning_rate=1e-3, seed=0):
    """Teach an encoder the code of a generator's draws, by squared errors: one player, and no data.

    Args:
        encoder, generator, steps, batch_size, learning_rate, seed: As in `train_bigan`; the generator stays as it is.

    Returns: float32 (steps, 1), the mean squared errors of the codes.

    Raises: ValueError: If a number is not positive.
    """
    rate = keras.optimizers.schedules.PolynomialDecay(learning_rate, whole("steps", steps), learning_rate / 20)

    def loss(_, codes):
        return tf.reduce_mean((encoder(generator(codes, training=False), training=True) - codes) ** 2)

    draw = draw_batches(1, batch_size, generator.input_shape[-1], seed)
    return play([Player([encoder], loss, rate, beta_1=0.9)], draw, steps)


def example():
    """The losses by Keras and by ours; a pair of maps that undo each other, and one that does not."""
    encoded, drawn = tf.constant([[2.0], [0.5]]), tf.constant([[-1.0], [0.3]])
    cross_entropy = keras.losses.BinaryCrossentropy(from_logits=True)
    by_keras = [
        cross_entropy(tf.fill((2, 1), a), encoded) + cross_entropy(tf.fill((2, 1), 1 - a), drawn) for a in (1.0, 0.0)
    ]
    print("by Keras:", *map(float, by_keras), "by ours:", *map(float, bigan_losses(encoded, drawn)))
    uniform = np.full(3, 1 / 3)
    print("inverse maps:", bigan_divergence(uniform, uniform, [1, 2, 0], [2, 0, 1]))
    print("both are permutations, but not inverse:", bigan_divergence(uniform, uniform, [1, 2, 0], [1, 2, 0]))
    generator, encoder = build_mlp(2, (), 3), build_mlp(3, (), 2, seed=1)
    errors = train_inverse(encoder, generator, 300, learning_rate=0.02)
    print("errors of an encoder that learns to invert a plane:", errors[0], errors[-1])


def lesson(
    report,
    *,
    steps: int = 1500,
    images: int = 60000,
    units: int = 192,
    code: int = 20,
    classifier_epochs: int = 3,
    seed: int = 0,
):
    """Enumerate all small encoders and generators, then train on digits and compare two encoders.

    Args:
        report: The report to write to.
        steps: Steps of the game, and of the encoder that learns to invert (2 to 1000000).
        images: Training images, of 14 x 14 pixels (500 to 60000).
        units: Units of each of two hidden layers (1 to 1024).
        code: Numbers of a code (1 to 1024).
        classifier_epochs: Epochs of the classifier that judges (1 to 100).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _enumerate(report)
    _losses(report, np.random.default_rng(seed))
    (x, y), (x_test, y_test) = data.mnist()
    x, x_test = (np.float32(each).reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4)) for each in (x[:images], x_test))
    x, x_test = (each.reshape(-1, 196) / 127.5 - 1 for each in (x, x_test))
    classifier = _classifier(x, np.int32(y[:images]), classifier_epochs, units, seed)
    networks = {"generator": build_mlp(code, (units, units), 196, "tanh", seed=seed)}
    for i, name in enumerate(("BiGAN's encoder", "learnt to invert"), 1):
        networks[name] = build_mlp(196, (units, units), code, seed=seed + 1000 * i)
    discriminator = build_mlp(196 + code, (units, units), 1, normalize=False, seed=seed + 3000)
    train_bigan(
        networks["generator"], networks["BiGAN's encoder"], discriminator, x, steps, seed=seed, track=report.track
    )
    train_inverse(networks["learnt to invert"], networks["generator"], steps // 2, seed=seed)
    _compare(report, networks, classifier, (x[:5000], y[:5000]), (x_test, y_test), seed)


def _enumerate(report):
    """All 27 encoders and 27 generators between three samples and three codes."""
    uniform, maps = np.full(3, 1 / 3), list(itertools.product(range(3), repeat=3))
    lowest, inverse, least = set(), set(), []
    for e, g in itertools.product(maps, maps):
        divergence = bigan_divergence(uniform, uniform, e, g)
        undone = all(g[e[i]] == i and e[g[i]] == i for i in range(3))
        lowest |= {(e, g)} if divergence < 1e-9 else set()
        inverse |= {(e, g)} if undone else set()
        least += [] if undone else [divergence]
    report.check(
        "729 pairs of maps: the divergence is 0 for the inverse ones only", sorted(lowest) == sorted(inverse), True
    )
    report.check("and there are as many as permutations", len(lowest), 6)
    report.at_least("the least divergence of the others, nats", min(least), 0.2)
    alone = [(e, g) for e, g in itertools.product(maps, maps) if len(set(e)) == len(set(g)) == 3]
    report.note(
        f"Judged one by one, codes and samples would be right in {len(alone)} pairs of permutations, of which "
        f"{len(lowest)} are inverse: the discriminator has to see both together."
    )


def _losses(report, rng):
    encoded, drawn = (tf.constant(rng.normal(size=(9, 1)), tf.float32) for _ in range(2))
    want = [discriminator_loss(encoded, drawn), generator_loss(drawn) + generator_loss(-encoded)]
    report.check("losses: the discriminator's, and −log of the opposite answers", bigan_losses(encoded, drawn), want)


def _classifier(x, y, epochs, units, seed):
    model = build_mlp(196, (units,), 10, normalize=False, seed=seed + 4000)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(2e-3), loss)
    training.fit(model, x, y, batch_size=128, epochs=epochs, seed=seed)
    return model


def _compare(report, networks, classifier, train, test, seed):
    def named(samples):
        return np.argmax(classifier(samples), axis=1)

    generator, (x, y) = networks.pop("generator"), test
    codes = np.random.default_rng((seed, 5)).standard_normal((len(x), generator.input_shape[-1]), np.float32)
    drawn, rows, kept, pictures = generator(codes, training=False), [], {}, {"real": x[:16]}
    for name, encoder in networks.items():
        of_test, of_train = (encoder(each, training=False).numpy() for each in (x, train[0]))
        back = generator(of_test, training=False).numpy()
        kept[name], pictures[name] = np.mean(named(back) == named(x)), back[:16]
        error = np.mean((encoder(drawn, training=False) - codes) ** 2)
        rows.append([name, kept[name], np.mean((back - x) ** 2), error, _nearest(of_train, train[1], of_test, y)])
    rows.append(["pixels themselves", 1.0, 0.0, None, _nearest(train[0], train[1], x, y)])
    columns = ["encoder", "G(E(x)): class kept", "squared error", "E(G(z)): squared error of the code",
               "class of the nearest digit's code"]  # fmt: skip
    report.table(f"two encoders of one generator, {len(x):,} test digits", columns, rows)
    report.at_least("the classifier's test accuracy", np.mean(named(x) == y), 0.94, trained=True)
    label = "BiGAN: share of digits whose class G(E(x)) keeps"
    bigan, inverse = kept.values()
    report.at_least(label, bigan, 0.3, trained=True)
    won = bigan > inverse
    report.note(
        f"Do the pairs give the better encoder? {'Yes' if won else 'No'}, after so short a game: BiGAN's keeps "
        f"{bigan:.0%} of the classes, one that learnt to invert the same generator, from draws only, {inverse:.0%}. "
        "Whoever answers 0 for every code has a squared error of 1. Unlike the paper: small fully connected networks "
        "and digits of 14 x 14 pixels."
    )
    _figure(report, {**pictures, "drawn": drawn[:16].numpy()}, rows)


def _nearest(codes, labels, others, wanted, count=2000):
    """Share of the first samples whose nearest known code has their label."""
    others = others[:count]
    distances = np.sum(codes**2, axis=1) - 2 * others @ codes.T
    return np.mean(labels[np.argmin(distances, axis=1)] == wanted[:count])


def _figure(report, pictures, rows):
    figure, (left, right) = plots.subplots(1, 2, figsize=(11.5, 4), width_ratios=(1.7, 1))
    plots.tiles(
        np.stack([np.clip(each, -1, 1).reshape(16, 14, 14) for each in pictures.values()]), left, list(pictures)
    )
    left.set_title("To the code and back")
    x = np.arange(2)
    for i, row in enumerate(rows[:2]):
        right.bar(x + 0.4 * i, [row[1], row[4]], 0.38, label=row[0])
    right.axhline(0.1, color="k", linestyle=":", label="chance")
    right.set_xticks(x + 0.2, ["class kept\nby G(E(x))", "class of the\nnearest code"])
    right.set(ylabel="share of test digits", ylim=(0, 1.25))
    right.set_title("Two encoders of one generator")
    right.legend(fontsize=10)
    report.figure(
        "To the code and back", figure,
        alt="Left: rows of real digits, of what the generator makes of their codes by each of two encoders, and of "
        "drawn digits. Right: the shares of digits whose class is kept, and whose nearest code has it.",
    )  # fmt: skip
