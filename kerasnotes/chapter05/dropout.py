"""Dropout trains a network of half its units, another half at every step, and uses all of them afterwards.

A unit that may be missing cannot be relied on, so a network learns its training data less well by heart. Missing units
shrink what the next layer gets on average, and two ways make training and test agree: the classic form scales down
afterwards, when all units are back; the inverted form (Keras) scales up in training. What the reader should see: both
keep the mean; ours equals TensorFlow's number by number; `tf.nn.dropout` drops at test time, too, unless it is left
out; and on a thousand digits the gap between training and test loss shrinks.

Notes: chapter 05, "Dropout" (随机失活).
Source: Hinton et al. 2012, arXiv:1207.0580; Srivastava et al. 2014, https://jmlr.org/papers/v15/srivastava14a.html;
https://www.tensorflow.org/api_docs/python/tf/nn/dropout
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots, training
from kerasnotes.chapter05.thinned_networks import all_masks, exact_ensemble  # noqa: F401 (may be taken from here too)
from kerasnotes.parts import share

SMOKE = {"draws": 10000, "images": 100, "epochs": 1, "units": 16, "seeds": 2}
FULL = {"units": 1024, "epochs": 100, "seeds": 10}
SECONDS = 15


def dropout(x, rate, seed):
    """Drop each number with probability `rate` and divide the others by 1 - rate (the inverted form, as in Keras).

    The expectation of each number is (1 - rate) · x / (1 - rate) = x, as without dropout. So nothing has to be done at
    test time: inference is the identity.

    Args:
        x: Tensor of any shape, floating point.
        rate: Probability of dropping, at least 0 and below 1.
        seed: Integer, or two of them; the same seed drops the same places, so every step of a training needs another.

    Returns:
        Tensor of the same shape.

    Raises:
        ValueError: If `rate` is outside [0, 1), x holds no floating-point numbers, or `seed` no integers.

    Source: https://www.tensorflow.org/api_docs/python/tf/nn/dropout
    """
    return classic_dropout(x, rate, seed) / (1 - rate)


def classic_dropout(x, rate, seed):
    """Drop each number with probability `rate` and leave the others as they are (the form of the first papers).

    The expectation shrinks to (1 - rate) · x, so at test time `classic_inference` has to follow.

    Args, Returns, Raises: As for `dropout`.

    Source: Srivastava et al. 2014, whose p is the probability of keeping, 1 - rate.
    """
    x = _checked(x, rate)
    seed = tf.convert_to_tensor(seed)
    # TensorFlow's stateless draws, which depend on the seed alone, take a seed of two parts.
    seed = tf.stack([seed, tf.zeros_like(seed)]) if seed.shape.rank == 0 else seed
    if seed.shape != (2,) or not seed.dtype.is_integer:
        raise ValueError(f"seed: expected an integer or two of them, got {seed}")
    keep = tf.random.stateless_uniform(tf.shape(x), seed, dtype=x.dtype) >= rate  # True with probability 1 - rate
    return tf.where(keep, x, tf.zeros_like(x))


def classic_inference(x, rate):
    """Multiply by 1 - rate, the share kept in training. Multiplying the next layer's weights by it does the same.

    Args, Returns, Raises: As for `dropout`.
    """
    return _checked(x, rate) * (1 - rate)


def _checked(x, rate):
    share("rate", rate, high=False)
    x = tf.convert_to_tensor(x)
    if not x.dtype.is_floating:
        raise ValueError(f"x: expected floating-point numbers, got {x.dtype.name}: cast them first")
    return x


def example():
    """Ten numbers, half of them dropped: by TensorFlow, by Keras in training and afterwards, and by hand."""
    x = tf.range(1.0, 11.0)
    print("tf.nn.dropout                       ", tf.nn.dropout(x, rate=0.5, seed=1).numpy())
    layer = keras.layers.Dropout(rate=0.5, seed=1)
    print("layers.Dropout, training=True       ", layer(x, training=True).numpy())
    print("layers.Dropout, training=False      ", layer(x, training=False).numpy())
    stateless = tf.nn.experimental.stateless_dropout(x, rate=0.5, seed=(1, 0))
    print("tf.nn.experimental.stateless_dropout", stateless.numpy())
    print("dropout, the same seed              ", dropout(x, 0.5, (1, 0)).numpy())
    print("classic_dropout                     ", classic_dropout(x, 0.5, (1, 0)).numpy())
    print("classic_inference                   ", classic_inference(x, 0.5).numpy())

    total = [float(tf.reduce_mean(dropout(tf.ones(10000), rate, 0))) for rate in (0.1, 0.5, 0.9)]
    print("mean of 10,000 ones at rates 0.1, 0.5, 0.9:", np.round(total, 3))


def lesson(
    report,
    *,
    draws: int = 1000000,
    rate: float = 0.5,
    input_rate: float = 0.2,
    images: int = 1000,
    units: int = 512,
    epochs: int = 30,
    seeds: int = 3,
    seed: int = 0,
):
    """The law of dropout (how often it drops, what it does to the mean), and networks on few digits with and without.

    Args:
        report: The report to write to.
        draws: Random numbers for every check of the law (1000 to 10000000).
        rate: Share of hidden units dropped in the networks (0.05 to 0.95).
        input_rate: Share of inputs dropped in the networks (0 to 0.95).
        images: Training pictures (50 to 60000).
        units: Units of each of the two hidden layers (1 to 4096).
        epochs: Epochs of training (1 to 1000).
        seeds: Independent pairs of networks, each with other pictures (2 to 100).
        seed: Seed of all random draws (0 to 2000000000).
    """
    _law(report, draws, seed)
    _test_time(report, seed)
    _train(report, (input_rate, rate), images, units, epochs, range(seed, seed + seeds))


def _law(report, draws, seed):
    """Numbers are kept with probability 1 - rate and the mean stays, each within four standard errors."""
    x = tf.constant(np.random.default_rng((seed, 2)).normal(1.0, 0.5, draws), tf.float32)
    rows = []
    for number, rate in enumerate((0.1, 0.5, 0.8)):
        places = (seed, number)
        y, classic = dropout(x, rate, places), classic_dropout(x, rate, places)
        report.check(
            f"rate {rate}: equal to tf.nn.experimental.stateless_dropout, number by number",
            got=y, want=tf.nn.experimental.stateless_dropout(x, rate, seed=places),
        )  # fmt: skip
        library = tf.function(lambda rate=rate: tf.nn.dropout(x, rate, seed=seed))()  # a new one: the same draw again
        layer = keras.layers.Dropout(rate, seed=seed)(x, training=True)
        error = np.sqrt(rate * (1 - rate) / draws)  # standard error of a share
        kept = [np.count_nonzero(values) / draws for values in (y, library, layer)]
        report.at_most(
            f"rate {rate}: kept by ours, tf.nn.dropout, layers.Dropout, standard errors from {1 - rate:g}",
            np.abs(np.array(kept) - (1 - rate)) / error, 4.0,
        )  # fmt: skip
        for name, values in (("tf.nn.dropout", library), ("layers.Dropout", layer)):
            values = values.numpy()
            survivors = values != 0
            scaled = x.numpy()[survivors] / (1 - rate)
            report.check(f"rate {rate}: what {name} keeps is divided by the share kept", values[survivors], scaled)
        # A number of y has the variance x² · rate / (1 - rate).
        moved = np.array([y, classic / (1 - rate)], np.float64).mean(axis=1) - np.mean(x, dtype=np.float64)
        error = np.sqrt(np.mean(np.square(x)) * rate / (1 - rate) / draws)  # of the mean
        report.at_most(f"rate {rate}: the mean is kept, standard errors apart", np.abs(moved[0]) / error, 4.0)
        rows.append([rate, *kept, float(np.mean(x)), float(np.mean(y)), float(np.mean(classic))])
    report.table(
        f"{draws} draws: share kept, and the mean before and after",
        ["rate", "kept: ours", "tf.nn.dropout", "layers.Dropout", "mean of x", "inverted", "classic"],
        rows,
    )


def _test_time(report, seed):
    """A Keras layer drops only in training or when told to; TensorFlow's function has no such switch."""
    x = tf.ones((100, 100))
    layer = keras.layers.Dropout(0.5, seed=seed)
    report.check("layers.Dropout at test time is the identity", layer(x, training=False), x)
    report.check("layers.Dropout called without a flag, too", layer(x), x)
    dropped = [bool(np.any(values.numpy() == 0)) for values in (tf.nn.dropout(x, 0.5, seed=seed), layer(x))]
    report.check("called without a flag, tf.nn.dropout drops and layers.Dropout does not", dropped, [True, False])
    report.correction(
        "dropout at test time",
        course="tf.nn.dropout knows when it is test time.",
        correct="tf.nn.dropout always drops and takes no training flag; keras.layers.Dropout drops with training=True.",
        shown_by="zeros among 10,000 outputs of a bare call: some from tf.nn.dropout, none from layers.Dropout",
    )


def _train(report, rates, images, units, epochs, seeds):
    """Pairs of networks: same pictures, same start, same order of batches; only the second one drops units."""
    (x, y), (x_test, y_test) = data.mnist()
    x_test = x_test / np.float32(255)
    shown = sorted({0, *np.linspace(0, epochs - 1, 7).astype(int).tolist()})
    losses = np.zeros((2, 2, len(seeds), len(shown)))  # (without or with, training or test, runs, epochs shown)
    final = np.zeros((2, len(seeds), 4))  # training loss, test loss, training accuracy, test accuracy
    for number, shares in enumerate(((0.0, 0.0), rates)):
        # Compile once for all runs: that takes longer than many a run.
        model = _network(units, shares, seeds[0])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(1e-3), loss)
        restart = training.restarter(model)
        for run, run_seed in enumerate(report.track(seeds, f"networks, rates {shares}")):
            chosen = np.random.default_rng((run_seed, 3)).choice(len(x), images, replace=False)
            few, snapshots = (x[chosen] / np.float32(255), y[chosen]), training.Snapshots(shown)
            # Start: weights and dropout's random states of the run's seed, the optimizer as new.
            fresh = _network(units, shares, run_seed)
            restart(fresh.get_weights())
            for variable, value in zip(model.variables, fresh.variables, strict=True):  # the seeds of dropout, too
                variable.assign(value)
            # Learn, keeping copies of the weights, and measure at the end: both losses first, then both accuracies.
            training.fit(model, *few, batch_size=50, epochs=epochs, callbacks=[snapshots], seed=run_seed)
            final[number, run] = np.transpose([_measure(model, *pair) for pair in (few, (x_test, y_test))]).ravel()
            # For the figure, measure the whole network after each epoch shown, on a part of the test pictures.
            for place, epoch in enumerate(shown):
                model.set_weights(snapshots.weights[epoch])
                for part, pair in enumerate((few, (x_test[:2000], y_test[:2000]))):
                    losses[number, part, run, place] = _measure(model, *pair)[0]
    _compare(report, rates, images, losses, final, shown)


def _network(units, rates, seed):
    """Two hidden layers; `rates` are the shares dropped of the inputs and of the hidden units. At rate 0 all stay."""
    # Three seeds for the weights, two for dropout of hidden units, one for dropout of inputs.
    seeds = np.random.default_rng((seed, 4)).integers(2**31, size=6).tolist()
    starts = [keras.initializers.GlorotUniform(seed=each) for each in seeds[:3]]
    layers = [keras.Input((28, 28)), keras.layers.Flatten(), keras.layers.Dropout(rates[0], seed=seeds[5])]
    for number in range(2):
        layers.append(keras.layers.Dense(units, "relu", kernel_initializer=starts[number]))
        layers.append(keras.layers.Dropout(rates[1], seed=seeds[3 + number]))
    return keras.Sequential([*layers, keras.layers.Dense(10, kernel_initializer=starts[2])])


def _measure(model, x, y):
    """Loss and accuracy of the whole network. Called a few times only, so nothing is compiled."""
    logits = model(x, training=False)  # (pictures, 10)
    loss = tf.nn.sparse_softmax_cross_entropy_with_logits(y.astype("int32"), logits)
    return float(tf.reduce_mean(loss)), np.mean(np.argmax(logits, axis=1) == y)


def _compare(report, rates, images, losses, final, shown):
    # By how much the loss is higher, and the accuracy lower, on test pictures: what was only learnt by heart.
    gaps = np.stack([final[..., 1] - final[..., 0], final[..., 2] - final[..., 3]])  # (loss or accuracy, 2, runs)
    report.at_most(
        "every seed: gap of losses with dropout over the gap without", gaps[0, 1] / gaps[0, 0], 1.0, trained=True
    )
    shrinks, errors = plots.mean_and_error((gaps[:, 0] - gaps[:, 1]).T)  # each (2,): loss, accuracy
    report.at_least(
        "mean shrinkage of the loss gap, standard errors", shrinks[0] / max(errors[0], 1e-12), 2.0, trained=True
    )
    rows = []
    for name, runs in (("without dropout", final[0]), (f"with dropout, rates {rates[0]:g} and {rates[1]:g}", final[1])):
        means, deviations = plots.mean_and_error(np.column_stack([runs, runs[:, 1] - runs[:, 0]]))
        rows.append([name, *(f"{mean:.4f} ± {error:.4f}" for mean, error in zip(means, deviations, strict=True))])
    report.table(
        f"{final.shape[1]} pairs of networks on {images} digits, mean ± standard error; losses in nats, dropout off",
        ["", "training loss", "test loss", "training accuracy", "test accuracy", "gap of losses"],
        rows,
    )
    report.note(
        "The rates are those of Srivastava et al. 2014: 0.2 for inputs, 0.5 for hidden units. With hidden units alone "
        "the gap shrinks less, and not for every draw of pictures."
    )
    report.note(
        f"The gap of accuracies shrinks by {shrinks[1]:.4f} ± {errors[1]:.4f}. The loss that training prints is higher "
        "with dropout, because it is measured while units are missing; the losses here are of the whole network."
    )
    report.figure(
        "Dropout narrows the gap between training and test loss",
        _figure(losses, shown, final, images),
        alt="Left: training losses fall to zero with and without dropout; the test loss without dropout ends "
        "above the one with dropout. Right: for every seed the gap is smaller with dropout.",
    )


def _figure(losses, shown, final, images):
    figure, (left, right) = plots.subplots(1, 2, figsize=(11, 4.4), width_ratios=(1.5, 1))
    epochs, names = np.array(shown) + 1, ("no dropout", "dropout")
    for number, (name, color) in enumerate(zip(names, ("C1", "C0"), strict=True)):
        for part, (what, style) in enumerate((("training", "--"), ("2,000 test", "-"))):
            mean, error = plots.mean_and_error(losses[number, part])
            left.errorbar(epochs, mean, error, color=color, linestyle=style, capsize=3, label=f"{what}, {name}")
    left.set(xlabel="epoch", ylabel="loss, nats", ylim=(0, None), title=f"{images} digits: dropout slows overfitting")
    left.legend()
    gaps = final[..., 1] - final[..., 0]  # of losses (2, runs)
    for number, (name, color) in enumerate(zip(names, ("C1", "C0"), strict=True)):
        right.bar(np.arange(gaps.shape[1]) + 0.4 * number - 0.2, gaps[number], width=0.38, color=color, label=name)
    right.set_xticks(np.arange(gaps.shape[1]), np.arange(1, gaps.shape[1] + 1))
    right.set(xlabel="network (seed)", ylabel="test loss - training loss, nats", title="The gap shrinks")
    right.set_ylim(0, 1.3 * gaps.max())
    right.legend(loc="upper right", ncols=2)
    return figure
