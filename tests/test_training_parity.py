"""`training.fit` against `model.fit` over models, options and callbacks: history, hooks with their logs, weights."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from kerasnotes import training

RNG = np.random.default_rng(0)
X = RNG.normal(size=(70, 6)).astype("float32")
Y = np.arange(70) % 3
ONE_HOT = np.eye(3, dtype="float32")[Y]
IDS = RNG.integers(0, 5, size=(70, 4))
PICTURES = RNG.normal(size=(70, 6, 6, 1)).astype("float32")
ROWS = RNG.normal(size=(70, 3, 2)).astype("float32")
CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def sequential(shape, *parts, **arguments):
    model = keras.Sequential([keras.Input(shape), *parts])
    model.compile(**{"optimizer": "sgd", "loss": CROSS_ENTROPY, **arguments})
    return model


class OnXAlone(keras.Model):
    """Has a step on images alone, and a log that no metric gives."""

    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(6)

    def call(self, x):
        return self.dense(x)

    def train_step(self, images):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(self(images) - images))
        self.optimizer.apply(tape.gradient(loss, self.trainable_weights), self.trainable_weights)
        return {"my_loss": loss, "parts": {"mean": tf.reduce_mean(images), "first": images[0]}}

    def test_step(self, images):
        return {"error": tf.reduce_mean(tf.abs(self(images) - images))}


class OwnMetrics(keras.Model):
    """Has metrics and steps of its own."""

    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(3)
        self.tracker = keras.metrics.Mean("tracked")

    def call(self, x):
        return self.dense(x)

    @property
    def metrics(self):
        return [self.tracker]

    def train_step(self, data):
        x, y, weights = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as tape:
            loss = self.compute_loss(x, y, self(x, training=True), weights)
        self.optimizer.apply(tape.gradient(loss, self.trainable_weights), self.trainable_weights)
        return self._seen(loss)

    def test_step(self, data):
        x, y, weights = keras.utils.unpack_x_y_sample_weight(data)
        return self._seen(self.compute_loss(x, y, self(x), weights))

    def _seen(self, loss):
        self.tracker.update_state(loss)
        return {"tracked": self.tracker.result()}


class Numpy(layers.Layer):
    """Takes its input to NumPy, which needs `run_eagerly`; symbols pass."""

    def call(self, x):
        return tf.constant(x.numpy()) if self.built and tf.executing_eagerly() else x


def plain():
    return sequential((6,), layers.Dense(3), metrics=["accuracy"]), X, Y


def averaged():
    optimizer = keras.optimizers.Adam(0.01, use_ema=True, ema_momentum=0.9)
    return sequential((6,), layers.Dense(3), optimizer=optimizer), X, Y


def overwritten():
    optimizer = keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=3)
    return sequential((6,), layers.Dense(3), optimizer=optimizer, steps_per_execution=2), X, Y


def normalized():
    parts = layers.Dense(4, kernel_regularizer="l2"), layers.BatchNormalization(), layers.Dropout(0.4, seed=3)
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.9)
    optimizer = keras.optimizers.SGD(schedule, momentum=0.9, clipnorm=0.5)
    return sequential((6,), *parts, layers.Dense(3), optimizer=optimizer, weighted_metrics=["accuracy"]), X, Y


def scored():
    metrics = [keras.metrics.F1Score(), keras.metrics.AUC(num_thresholds=9, name="auc")]
    parts = layers.Dense(3, activation="softmax")
    return sequential((6,), parts, loss="categorical_crossentropy", metrics=metrics), X, ONE_HOT


def forked():
    a, b = keras.Input((6,), name="a"), keras.Input((6,), name="b")
    outputs = {"p": layers.Dense(1, name="p")(a + b), "q": layers.Dense(3, name="q")(a - b)}
    model = keras.Model([a, b], outputs)
    losses, weights = {"p": "mse", "q": CROSS_ENTROPY}, {"p": 0.5, "q": 2.0}
    model.compile("adam", losses, loss_weights=weights, metrics={"p": "mae", "q": ["accuracy"]})
    return model, [X, X[::-1].copy()], {"p": X[:, :1], "q": Y}


def embedded():
    parts = layers.Embedding(5, 3), layers.GlobalAveragePooling1D(), layers.Dense(3)
    optimizer = keras.optimizers.Adam(gradient_accumulation_steps=2)
    return sequential((4,), *parts, optimizer=optimizer, metrics=["accuracy"]), IDS, Y


def convolutional():
    return sequential((6, 6, 1), layers.Conv2D(2, 3), layers.Flatten(), layers.Dense(3)), PICTURES, Y


def recurrent():
    return sequential((3, 2), layers.SimpleRNN(3), layers.Dense(3), optimizer="rmsprop"), ROWS, Y


def on_x_alone():
    model = OnXAlone()
    model.compile("sgd")
    return model, X, None


def own_metrics():
    model = OwnMetrics()
    model.compile("sgd", CROSS_ENTROPY)
    return model, X, Y


def eager():
    return sequential((6,), Numpy(), layers.Dense(3), run_eagerly=True), X, Y


def compiled_by_xla():
    return sequential((6,), layers.Dense(3), jit_compile=True, metrics=["accuracy"]), X, Y


class Hooks(keras.callbacks.Callback):
    """Writes down every hook that is called, with its number and the keys of its logs."""

    def __init__(self, batches):
        super().__init__()
        self.calls = []
        for phase in ("train", "test"):
            names = [f"on_{phase}_{time}" for time in ("begin", "end")]
            names += [f"on_{phase}_batch_{time}" for time in ("begin", "end")] if batches else []
            names += ["on_epoch_begin", "on_epoch_end"] if phase == "train" else []
            for name in names:
                setattr(self, name, functools.partial(self.write, name))

    def write(self, name, *numbers, logs=None):
        numbers, logs = (
            ([*numbers, None][:2]) if name[3:8] == "epoch" or "batch" in name else (None, [*numbers, logs][0])
        )
        self.calls.append((name, numbers, sorted(logs or {})))


class StopAt(keras.callbacks.Callback):
    """Stops the training from the hook of this name, when it is called for the `count`-th time."""

    def __init__(self, hook, count=1):
        super().__init__()
        self.left = count
        setattr(self, hook, self.stop)

    def stop(self, *_, **__):
        self.left -= 1
        if self.left == 0:
            self.model.stop_training = True
            self.model.stop_evaluating = True


def each(kind, *arguments):
    return lambda: kind(*arguments)


HELD_OUT = "held out"  # stands for the model's last samples
OPTIONS = {
    "nothing": {},
    "whole batches": {"batch_size": 14},
    "one batch": {"batch_size": 70},
    "batch above samples": {"batch_size": 100},
    "validation": {"validation_data": HELD_OUT},
    "validation in parts": {"validation_data": HELD_OUT, "validation_batch_size": 7},
    "every second": {"validation_split": 0.25, "validation_freq": 2, "epochs": 3},
    "listed epochs": {"validation_data": HELD_OUT, "validation_freq": [1, 3], "validation_steps": 1, "epochs": 3},
    "weights of samples": {"sample_weight": np.linspace(0, 2, 70)},
    "held-out weights": {"sample_weight": np.linspace(0, 2, 70), "validation_split": 0.2},
    "weights of classes": {"class_weight": {0: 0.5, 2: 3.0}},
    "steps": {"steps_per_epoch": 2, "epochs": 4, "batch_size": 14},
    "steps without a size": {"batch_size": None, "steps_per_epoch": 7},
    "later epochs": {"initial_epoch": 1, "epochs": 3},
    "hooks": {"callbacks": each(Hooks, True), "validation_data": HELD_OUT},
    "hooks of epochs": {"callbacks": each(Hooks, False), "validation_data": HELD_OUT},
    "stop at a batch": {"callbacks": each(StopAt, "on_train_batch_end", 2)},
    "stop before a batch": {"callbacks": each(StopAt, "on_train_batch_begin", 7)},
    "stop at an epoch": {"callbacks": each(StopAt, "on_epoch_begin", 2), "epochs": 3},
    "stop at once": {"callbacks": each(StopAt, "on_train_begin")},
    "stop in a test": {"callbacks": each(StopAt, "on_test_batch_end"), "validation_data": HELD_OUT},
    "stop early": {
        "callbacks": lambda: keras.callbacks.EarlyStopping("loss", min_delta=9.0, restore_best_weights=True),
        "epochs": 4,
    },
    "rate of epochs": {"callbacks": lambda: keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)},
}
TABLE = [
    *((plain, name) for name in OPTIONS),
    *((averaged, name) for name in ("nothing", "hooks", "stop at a batch", "stop early", "later epochs", "validation")),
    *((overwritten, name) for name in ("nothing", "hooks", "stop before a batch", "stop at once", "validation")),
    *((normalized, name) for name in ("validation", "hooks", "stop at a batch")),
    *((scored, name) for name in ("nothing", "hooks", "validation")),
    *((forked, name) for name in ("one batch",)),
    *((embedded, name) for name in ("nothing", "stop at an epoch", "rate of epochs")),
    *((convolutional, name) for name in ("nothing", "stop at a batch")),
    *((recurrent, name) for name in ("one batch",)),
    *(
        (on_x_alone, name)
        for name in ("nothing", "hooks", "hooks of epochs", "stop at an epoch", "validation", "steps")
    ),
    *((own_metrics, name) for name in ("nothing", "hooks", "hooks of epochs", "stop early", "stop in a test")),
    *((eager, name) for name in ("nothing", "hooks", "stop at a batch", "steps", "validation")),
]


@functools.cache
def pair(build):
    """Two equal models, ours and Keras's, each with the values that its variables had before the first step."""
    models = []
    for _ in range(2):
        keras.utils.set_random_seed(1)
        model, x, y = build()
        model(keras.tree.map_structure(lambda values: values[:1], x))
        model.optimizer.build(model.trainable_variables)
        models.append(model)
    variables = [[*model.variables, *model.optimizer.variables] for model in models]
    start = [variable.numpy() for variable in variables[0]]

    def restart():
        for side in variables:
            for variable, value in zip(side, start, strict=True):
                variable.assign(value)

    return models, x, y, restart


def arguments_of(option, x, y):
    arguments = {"batch_size": 16, "epochs": 2, "shuffle": False, "verbose": 0, **OPTIONS[option]}
    if arguments.get("validation_data") is HELD_OUT:
        last = keras.tree.map_structure(lambda values: values[-16:], (x, y) if y is not None else (x,))
        arguments["validation_data"] = last
    if "callbacks" in arguments:
        arguments["callbacks"] = [arguments["callbacks"]()]
    return arguments


def test_the_table_is_long_enough():
    assert len(set(TABLE)) >= 60


@pytest.mark.parametrize(("build", "option"), TABLE, ids=lambda value: getattr(value, "__name__", value))
def test_the_same_as_keras(build, option):
    (ours, theirs), x, y, restart = pair(build)
    restart()
    arguments, expected_arguments = arguments_of(option, x, y), arguments_of(option, x, y)
    found = training.fit(ours, x, y, **arguments)
    expected = theirs.fit(x, y, **expected_arguments)
    assert found.epoch == expected.epoch
    assert list(found.history) == list(expected.history)
    for name, values in expected.history.items():
        assert [np.shape(value) for value in found.history[name]] == [np.shape(value) for value in values], name
        np.testing.assert_allclose(found.history[name], values, rtol=1e-3, atol=1e-5, err_msg=name)
    for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)
    for one, other in zip(arguments.get("callbacks", ()), expected_arguments.get("callbacks", ()), strict=True):
        assert getattr(one, "calls", None) == getattr(other, "calls", None)
