"""Times `kerasnotes.training.fit` against `model.fit` and, with `--peers`, against others that train on a CPU.

    python benchmarks/training.py --models mlp lstm128 --peers

Each round trains every contestant for one epoch, in turn and in one process, so that a busy machine slows all of them.
Columns: seconds to the end of the first epoch, in which tracing and compiling happen; seconds an epoch, the median of
the rounds and their least and largest; CPU seconds an epoch; how many times faster than `model.fit`, the median of the
rounds' ratios; and the floor, the epoch's multiplications over the rate of a large matrix product measured here, which
no contestant can pass. PyTorch takes part, and JAX in models that are written for it below, where they are installed.
"""

import argparse
import importlib.util
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")  # its helpers do not survive beside TensorFlow

if importlib.util.find_spec("torch"):
    import torch._dynamo  # noqa: F401  Before TensorFlow: its compiler brings an LLVM that crashes where another is loaded.

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from kerasnotes import training


def mlp():
    return keras.Sequential([keras.Input((784,)), layers.Dense(256, activation="relu"), layers.Dense(10)]), (784,), 128


def wide_mlp():
    hidden = [layers.Dense(1024, activation="relu"), layers.BatchNormalization(), layers.Dropout(0.3)]
    return (
        keras.Sequential([keras.Input((784,)), *hidden, layers.Dense(1024, activation="relu"), layers.Dense(10)]),
        (784,),
        256,
    )


def lenet5():
    return keras.Sequential([
        keras.Input((28, 28, 1)),
        layers.Conv2D(6, 5, padding="same", activation="tanh"), layers.AveragePooling2D(2),
        layers.Conv2D(16, 5, activation="tanh"), layers.AveragePooling2D(2),
        layers.Flatten(), layers.Dense(120, activation="tanh"), layers.Dense(84, activation="tanh"), layers.Dense(10),
    ]), (28, 28, 1), 128  # fmt: skip


def small_cnn():
    return keras.Sequential([
        keras.Input((28, 28, 1)),
        layers.Conv2D(16, 3, strides=2, activation="relu"), layers.BatchNormalization(),
        layers.Conv2D(32, 3, strides=2, activation="relu"), layers.Flatten(), layers.Dense(10),
    ]), (28, 28, 1), 128  # fmt: skip


def simple_rnn():
    return keras.Sequential([keras.Input((28, 28)), layers.SimpleRNN(64), layers.Dense(10)]), (28, 28), 128


def lstm():
    return keras.Sequential([keras.Input((28, 28)), layers.LSTM(64), layers.Dense(10)]), (28, 28), 128


def large_lstm():
    return keras.Sequential([keras.Input((28, 28)), layers.LSTM(256), layers.Dense(10)]), (28, 28), 128


def linear():
    return keras.Sequential([keras.Input((784,)), layers.Dense(10)]), (784,), 32


def _recurrent(layer):
    return keras.Sequential([keras.Input((64, 32)), layer(128), layers.Dense(10)]), (64, 32), 64


def lstm128():
    return _recurrent(layers.LSTM)


def gru128():
    return _recurrent(layers.GRU)


def simple_rnn128():
    return _recurrent(layers.SimpleRNN)


def small_resnet():
    def convolution(x, filters, strides=1):
        return layers.BatchNormalization()(layers.Conv2D(filters, 3, strides, "same", use_bias=False)(x))

    inputs = keras.Input((28, 28, 1))
    x = layers.ReLU()(convolution(inputs, 16))
    for filters, strides in ((16, 1), (32, 2), (64, 2)):
        shortcut = x if strides == 1 else layers.Conv2D(filters, 1, strides, use_bias=False)(x)
        x = convolution(layers.ReLU()(convolution(x, filters, strides)), filters)
        x = layers.ReLU()(x + shortcut)
    return keras.Model(inputs, layers.Dense(10)(layers.GlobalAveragePooling2D()(x))), (28, 28, 1), 128


def transformer():
    inputs = x = keras.Input((64, 128))
    for _ in range(2):
        x = layers.LayerNormalization()(x + layers.MultiHeadAttention(4, 32)(x, x))
        x = layers.LayerNormalization()(x + layers.Dense(128)(layers.Dense(512, activation="relu")(x)))
    return keras.Model(inputs, layers.Dense(10)(layers.GlobalAveragePooling1D()(x))), (64, 128), 64


MODELS = {
    function.__name__: function
    for function in (
        mlp, wide_mlp, lenet5, small_cnn, simple_rnn, lstm, large_lstm, linear,
        lstm128, gru128, simple_rnn128, small_resnet, transformer,
    )
}  # fmt: skip


def by_keras(name, data, **compiling):
    """An epoch by `model.fit`."""
    model, batch_size = _compiled(name, **compiling)
    return lambda epoch: model.fit(*data, batch_size=batch_size, verbose=0)


def by_ours(name, data, form="auto"):
    """An epoch by `training.fit`, which is told of a hundred epochs to come, as a long training is."""
    model, batch_size = _compiled(name)
    steps = 100 * (len(data[0]) // batch_size)
    if form == "auto":
        form = training._compiled(model).faster_form(training._as_tensors(*data), batch_size, steps)
    return lambda epoch: training.fit(
        model, *data, batch_size=batch_size, initial_epoch=epoch, epochs=epoch + 1, form=form
    )


def _compiled(name, **compiling):
    keras.utils.set_random_seed(0)
    model, _, batch_size = MODELS[name]()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer="adam", loss=loss, metrics=["accuracy"], **compiling)
    return model, batch_size


def by_torch(name, data, compiled=False):
    """An epoch by PyTorch."""
    import torch
    from torch import nn

    class Recurrent(nn.Module):
        def __init__(self, kind, inputs, units):
            super().__init__()
            self.cells, self.head = kind(inputs, units, batch_first=True), nn.Linear(units, 10)

        def forward(self, x):
            return self.head(self.cells(x)[0][:, -1])

    class Channels(nn.Module):
        def forward(self, x):
            return x.permute(0, 3, 1, 2)  # Keras's pixels, channels, as PyTorch wants them

    class Block(nn.Module):
        def __init__(self, inputs, filters, strides):
            super().__init__()
            first, second = (
                (nn.Conv2d(before, filters, 3, step, 1, bias=False), nn.BatchNorm2d(filters))
                for before, step in ((inputs, strides), (filters, 1))
            )
            self.long = nn.Sequential(*first, nn.ReLU(), *second)
            self.short = nn.Identity() if strides == 1 else nn.Conv2d(inputs, filters, 1, strides, bias=False)

        def forward(self, x):
            return torch.relu(self.long(x) + self.short(x))

    class Mean(nn.Module):
        def __init__(self, *axes):
            super().__init__()
            self.axes = axes

        def forward(self, x):
            return x.mean(self.axes)

    torch.manual_seed(0)
    networks = {
        "mlp": lambda: nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10)),
        "wide_mlp": lambda: nn.Sequential(
            nn.Linear(784, 1024), nn.ReLU(), nn.BatchNorm1d(1024), nn.Dropout(0.3),
            nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 10),
        ),
        "lenet5": lambda: nn.Sequential(
            Channels(), nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.Tanh(),
            nn.AvgPool2d(2), nn.Flatten(), nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh(),
            nn.Linear(84, 10),
        ),
        "small_cnn": lambda: nn.Sequential(
            Channels(), nn.Conv2d(1, 16, 3, 2), nn.ReLU(), nn.BatchNorm2d(16), nn.Conv2d(16, 32, 3, 2), nn.ReLU(),
            nn.Flatten(), nn.Linear(1152, 10),
        ),
        "small_resnet": lambda: nn.Sequential(
            Channels(), nn.Conv2d(1, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
            Block(16, 16, 1), Block(16, 32, 2), Block(32, 64, 2), Mean(2, 3), nn.Linear(64, 10),
        ),
        "transformer": lambda: nn.Sequential(
            *(nn.TransformerEncoderLayer(128, 4, 512, dropout=0.0, batch_first=True) for _ in range(2)),
            Mean(1), nn.Linear(128, 10),
        ),
        "linear": lambda: nn.Linear(784, 10),
        "simple_rnn": lambda: Recurrent(nn.RNN, 28, 64),
        "lstm": lambda: Recurrent(nn.LSTM, 28, 64),
        "large_lstm": lambda: Recurrent(nn.LSTM, 28, 256),
        "lstm128": lambda: Recurrent(nn.LSTM, 32, 128),
        "gru128": lambda: Recurrent(nn.GRU, 32, 128),
        "simple_rnn128": lambda: Recurrent(nn.RNN, 32, 128),
    }  # fmt: skip
    network, batch_size = networks[name](), MODELS[name]()[2]
    optimizer, loss_of = torch.optim.Adam(network.parameters()), nn.CrossEntropyLoss()
    forward = torch.compile(network) if compiled else network
    x, y = (torch.from_numpy(values) for values in data)

    def epoch(_):
        for rows in torch.randperm(len(x)).split(batch_size):
            optimizer.zero_grad()
            loss_of(forward(x[rows]), y[rows]).backward()
            optimizer.step()

    return epoch


def by_jax(name, data):
    """An epoch by JAX, one `lax.scan` over all steps with Adam by hand, or None if the model is not written here."""
    import jax
    from jax import lax
    from jax import numpy as jnp

    recurrent = {"simple_rnn": (28, 64), "simple_rnn128": (32, 128)}
    sizes = {"mlp": (784, 256, 10), "linear": (784, 10)}
    keys = iter(jax.random.split(jax.random.key(0), 9))

    def matrix(*shape):
        return jax.random.normal(next(keys), shape) / np.sqrt(shape[0])

    if name in sizes:
        weights = [(matrix(m, n), jnp.zeros(n)) for m, n in zip(sizes[name], sizes[name][1:], strict=False)]
    elif name in recurrent:
        inputs, units = recurrent[name]
        weights = [(matrix(inputs, units), matrix(units, units), jnp.zeros(units)), (matrix(units, 10), jnp.zeros(10))]
    else:
        return None

    def logits(weights, x):
        if name in recurrent:
            w, u, b = weights[0]
            h = jnp.zeros((len(x), u.shape[0]))
            x, _ = lax.scan(lambda h, now: (jnp.tanh(now @ w + h @ u + b), None), h, x.swapaxes(0, 1))
        for place, (w, b) in enumerate(weights[-1:] if name in recurrent else weights):
            x = (jax.nn.relu(x) if place else x) @ w + b
        return x

    def loss_of(weights, x, y):
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits(weights, x)), y[:, None], 1))

    @jax.jit
    def run(state, x, y, batches):
        def step(state, rows):
            weights, first, second, count = state
            gradient = jax.grad(loss_of)(weights, x[rows], y[rows])
            first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradient)
            second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, gradient)
            rate = 0.001 * jnp.sqrt(1 - 0.999 ** (count + 1)) / (1 - 0.9 ** (count + 1))
            weights = jax.tree.map(lambda w, m, v: w - rate * m / (jnp.sqrt(v) + 1e-7), weights, first, second)
            return (weights, first, second, count + 1), None

        return lax.scan(step, state, batches)[0]

    batch_size = MODELS[name]()[2]
    x, y = jnp.asarray(data[0]), jnp.asarray(data[1])
    zeros = jax.tree.map(jnp.zeros_like, weights)
    state = [(weights, zeros, zeros, 0)]

    def epoch(number):
        order = np.random.default_rng(number).permutation(len(x))[: len(x) // batch_size * batch_size]
        state[0] = jax.block_until_ready(run(state[0], x, y, order.reshape(-1, batch_size)))

    return epoch


def floor(name, samples):
    """Seconds of an epoch's multiplications, forward and twice backward, at the rate of a large matrix product."""
    model, shape, batch_size = MODELS[name]()
    graph = tf.function(model).get_concrete_function(tf.TensorSpec((batch_size, *shape))).graph
    profile = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    profile["output"] = "none"
    forward = tf.compat.v1.profiler.profile(graph, options=profile).total_float_ops
    for layer in model.layers:  # the profile counts the body of a recurrence once
        if isinstance(layer, layers.RNN):
            forward += 2 * batch_size * shape[0] * sum(np.prod(weights.shape) for weights in layer.weights[:2])
    square = tf.random.normal((1500, 1500))
    times = []
    for _ in range(15):  # the best of many: a busy machine must not raise the floor
        start = time.perf_counter()
        (square @ square).numpy()
        times.append(time.perf_counter() - start)
    return 3 * forward * samples / batch_size * min(times) / (2 * 1500**3)


def contestants(name, data, peers):
    """`{contestant: epoch(number)}`; those that cannot take part are left out."""
    found = {"model.fit": by_keras(name, data), "training.fit": by_ours(name, data)}
    if peers:
        found["model.fit, jit_compile"] = by_keras(name, data, jit_compile=True)
        if importlib.util.find_spec("torch"):
            found["torch"], found["torch.compile"] = by_torch(name, data), by_torch(name, data, compiled=True)
        if importlib.util.find_spec("jax"):
            found["jax, scan"] = by_jax(name, data)
    return {contestant: epoch for contestant, epoch in found.items() if epoch is not None}


def contest(name, rounds, samples, peers):
    """Rows of one model: contestant, first epoch, median, least, largest, CPU seconds, times faster."""
    _, shape, batch_size = MODELS[name]()
    rng = np.random.default_rng(0)
    samples = max(batch_size, samples // batch_size * batch_size)
    data = rng.normal(size=(samples, *shape)).astype("float32"), rng.integers(0, 10, samples)
    seconds, processor = {}, {}
    epochs = contestants(name, data, peers)
    for number in range(rounds + 1):
        for contestant, epoch in epochs.items():
            start, used = time.perf_counter(), time.process_time()
            try:
                epoch(number)
            except Exception as error:  # a peer that needs a compiler, say, must not end the others' contest
                print(f"{name}: {contestant} left out: {str(error).strip().splitlines()[:1]}", flush=True)
                continue
            seconds.setdefault(contestant, []).append(time.perf_counter() - start)
            processor.setdefault(contestant, []).append(time.process_time() - used)
        epochs = {contestant: epochs[contestant] for contestant in seconds}
    rows = []
    for contestant, (first, *rest) in seconds.items():
        faster = statistics.median(slow / fast for slow, fast in zip(seconds["model.fit"][1:], rest, strict=True))
        rows.append((contestant, first, statistics.median(rest), min(rest), max(rest),
                     statistics.median(processor[contestant][1:]), faster))  # fmt: skip
    return rows, floor(name, samples)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS), metavar="NAME",
                        help=f"of {', '.join(MODELS)}; all by default")  # fmt: skip
    parser.add_argument(
        "--peers", action="store_true", help="also model.fit under XLA, and PyTorch and JAX if installed"
    )
    parser.add_argument("--rounds", type=int, default=5, help="timed epochs for each contestant (default 5)")
    parser.add_argument("--samples", type=int, default=8192, help="random samples in an epoch (default 8192)")
    options = parser.parse_args()
    tf.get_logger().setLevel("ERROR")
    if options.rounds < 1 or options.samples < 1:
        parser.error("--rounds and --samples: expected positive numbers")
    head = "model", "trained by", "first epoch, s", "epoch, s", "least to largest", "CPU s", "times faster", "floor, s"
    print("| " + " | ".join(head) + " |\n| --- | --- |" + " ---: |" * 6)
    for name in options.models:
        rows, least = contest(name, options.rounds, options.samples, options.peers)
        for contestant, first, median, low, high, used, faster in rows:
            cells = (name, contestant, f"{first:.2f}", f"{median:.3f}", f"{low:.3f} to {high:.3f}", f"{used:.2f}",
                     f"{faster:.2f}", f"{least:.3f}")  # fmt: skip
            print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
