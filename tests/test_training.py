"""Our `fit` against Keras's: same steps, same numbers, any model; and what it refuses."""

import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from kerasnotes import training

FORMS = [form for form in training.FORMS if form != "auto"]
RNG = np.random.default_rng(0)
X = RNG.normal(size=(70, 6)).astype("float32")
Y = RNG.integers(0, 3, size=70)
SEQUENCES = RNG.normal(size=(40, 5, 3)).astype("float32")
IMAGES = RNG.normal(size=(40, 8, 8, 1)).astype("float32")


def dense():
    return keras.Sequential([keras.Input((6,)), layers.Dense(8, activation="tanh"), layers.Dense(3)]), X, Y


def normalized():
    return keras.Sequential([keras.Input((6,)), layers.Dense(8), layers.BatchNormalization(), layers.Dense(3)]), X, Y


def regularized():
    hidden = layers.Dense(8, kernel_regularizer=keras.regularizers.L2(0.1))
    return keras.Sequential([keras.Input((6,)), hidden, layers.Dense(3)]), X, Y


def recurrent():
    return keras.Sequential([keras.Input((5, 3)), layers.LSTM(4), layers.Dense(3)]), SEQUENCES, Y[:40]


def convolutional():
    convolution = layers.Conv2D(3, 3, activation="relu")
    return (
        keras.Sequential(
            [keras.Input((8, 8, 1)), convolution, layers.MaxPooling2D(2), layers.Flatten(), layers.Dense(3)]
        ),
        IMAGES,
        Y[:40],
    )


MODELS = [dense, normalized, regularized, recurrent, convolutional]
CASES = [
    *((dense, form) for form in FORMS),
    (normalized, "xla"),
    (regularized, "loop"),
    (recurrent, "xla"),
    (convolutional, "loop"),
    (convolutional, "auto"),
]


def compiled(build, optimizer="adam", **arguments):
    keras.utils.set_random_seed(1)
    model, x, y = build()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=optimizer, loss=loss, metrics=["accuracy"], **arguments)
    return model, x, y


@pytest.mark.parametrize(("build", "form"), CASES)
def test_the_same_as_keras(build, form):
    ours, x, y = compiled(build)
    theirs, _, _ = compiled(build)
    held_out = (x[:10], y[:10])
    history = training.fit(ours, x, y, batch_size=16, epochs=3, shuffle=False, validation_data=held_out, form=form)
    expected = theirs.fit(x, y, batch_size=16, epochs=3, shuffle=False, validation_data=held_out, verbose=0)
    assert history.history.keys() == expected.history.keys()
    for name, values in expected.history.items():
        assert history.history[name] == pytest.approx(values, rel=2e-3, abs=2e-4), name
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-4)
    assert history.epoch == [0, 1, 2]


@pytest.mark.parametrize("form", FORMS)
def test_sample_weights(form):
    weights = np.linspace(0.0, 2.0, 70).astype("float32")
    ours, x, y = compiled(dense, weighted_metrics=["accuracy"])
    theirs, _, _ = compiled(dense, weighted_metrics=["accuracy"])
    history = training.fit(ours, x, y, batch_size=32, epochs=2, shuffle=False, sample_weight=weights, form=form)
    expected = theirs.fit(x, y, batch_size=32, epochs=2, shuffle=False, sample_weight=weights, verbose=0)
    assert history.history["loss"] == pytest.approx(expected.history["loss"], rel=1e-4)


def test_every_sample_once_an_epoch_in_an_order_of_the_seed():
    class Collector(keras.Model):
        def __init__(self, size):
            super().__init__()
            self.scale = self.add_weight(shape=(), initializer="ones")
            self.seen = self.add_weight(shape=(size,), initializer="zeros", trainable=False)

        def call(self, x):
            return x * self.scale

        def train_step(self, data):
            x = data
            self.seen.assign_add(tf.reduce_sum(tf.one_hot(tf.cast(x[:, 0], tf.int32), 11), axis=0))
            self.optimizer.apply_gradients([(tf.constant(0.0), self.scale.value)])
            return {}

    for form in FORMS:
        model = Collector(11)
        model.compile(optimizer="sgd")
        training.fit(model, np.arange(11.0)[:, None], batch_size=4, epochs=3, form=form)
        assert model.seen.numpy().tolist() == [3.0] * 11


def test_one_seed_gives_the_same_numbers():
    losses = []
    for seed in (0, 0, 1):
        model, x, y = compiled(dense)
        losses.append(training.fit(model, x, y, batch_size=16, epochs=2, seed=seed).history["loss"])
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]


def test_a_subclass_with_its_own_steps():
    class Doubling(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(1)
            self.tracker = keras.metrics.Mean(name="error")

        def call(self, x):
            return self.dense(x)

        @property
        def metrics(self):
            return [self.tracker]

        def train_step(self, data):
            x, y = data
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(tf.square(self(x, training=True) - y))
            gradients = tape.gradient(loss, self.trainable_variables)
            self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
            self.tracker.update_state(loss)
            return {"error": self.tracker.result()}

    for form in FORMS:
        keras.utils.set_random_seed(0)
        model = Doubling()
        model.compile(optimizer=keras.optimizers.SGD(0.1))
        history = training.fit(model, X, X[:, :1] * 2, batch_size=10, epochs=30, form=form).history
        assert list(history) == ["error"]
        assert history["error"][-1] < 0.01 * history["error"][0]


def test_dropout_draws_a_new_mask_every_step():
    for form in FORMS:
        keras.utils.set_random_seed(0)
        model = keras.Sequential(
            [keras.Input((1,)), layers.Dropout(0.5, seed=1), layers.Dense(1, use_bias=False, trainable=False)]
        )
        model.compile(optimizer="sgd", loss=lambda y, output: output, metrics=[])
        model.layers[-1].kernel.assign([[1.0]])
        losses = training.fit(
            model, np.ones((64, 1), "float32"), np.ones((64, 1)), batch_size=8, epochs=6, form=form
        ).history["loss"]
        assert len(set(losses)) > 3
        assert np.mean(losses) == pytest.approx(1.0, abs=0.25)


def test_early_stopping_and_snapshots():
    model, x, y = compiled(dense)
    snapshots = training.Snapshots(epochs=[0, 2])
    stopping = keras.callbacks.EarlyStopping(monitor="loss", min_delta=1e9, patience=2, restore_best_weights=True)
    history = training.fit(model, x, y, batch_size=16, epochs=20, callbacks=[stopping, snapshots])
    assert len(history.history["loss"]) == 3
    assert sorted(snapshots.weights) == [0, 2]
    for a, b in zip(model.get_weights(), snapshots.weights[0], strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_learning_rate_may_change_between_epochs():
    for form in FORMS:
        model, x, y = compiled(dense, optimizer=keras.optimizers.SGD(0.1))
        frozen = keras.callbacks.LearningRateScheduler(lambda epoch: 0.0)
        before = model.get_weights()
        training.fit(model, x, y, batch_size=16, epochs=2, callbacks=[frozen], form=form)
        for a, b in zip(before, model.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


def test_callbacks_of_batches_are_called():
    class Counter(keras.callbacks.Callback):
        batches = 0

        def on_train_batch_end(self, batch, logs=None):
            self.batches += 1
            assert "loss" in logs

    counter = Counter()
    model, x, y = compiled(dense)
    training.fit(model, x, y, batch_size=16, epochs=2, callbacks=[counter])
    assert counter.batches == 2 * 5
    with pytest.raises(ValueError, match="batch hooks"):
        training.fit(model, x, y, callbacks=[counter], form=FORMS[0])


def test_compile_again_and_go_on():
    model, x, y = compiled(dense)
    training.fit(model, x, y, epochs=1)
    model.compile(
        optimizer=keras.optimizers.SGD(0.0), loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    before = model.get_weights()
    history = training.fit(model, x, y, epochs=3, initial_epoch=1)
    assert history.epoch == [1, 2]
    assert history.history["loss"][0] == pytest.approx(history.history["loss"][1])
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_form_fits_the_model():
    for build, expected in ((dense, "xla"), (recurrent, "xla"), (convolutional, "loop")):
        model, x, y = compiled(build)
        functions = training._compiled(model)
        assert functions.faster_form(training._as_tensors(x, y), 16, steps=1000) == expected
        assert functions.faster_form(training._as_tensors(x, y), 16, steps=10) == "loop"
    model = keras.Sequential([keras.Input((6,)), layers.Dropout(0.5), layers.Dense(3)])
    model.compile(optimizer="adam", loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    assert training._compiled(model).faster_form(training._as_tensors(X, Y), 16, steps=1000) == "loop"
    for slow in (layers.LSTM(128), layers.MultiHeadAttention(2, 4)):
        x = keras.Input((5, 3))
        hidden = slow(x, x) if isinstance(slow, layers.MultiHeadAttention) else slow(x)
        model = keras.Model(x, layers.Dense(3)(layers.Flatten()(hidden)))
        model.compile(optimizer="adam", loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        data = training._as_tensors(SEQUENCES, Y[:40])
        assert training._compiled(model).faster_form(data, 40, steps=1000) == "loop"


def test_what_xla_cannot_compile_still_trains(monkeypatch):
    class Counting(layers.Layer):
        def call(self, x):
            counts = tf.math.bincount(tf.cast(x[:, 0] > 0, tf.int32), minlength=2, maxlength=2)
            return x + 0.0 * tf.cast(counts[0], x.dtype)

    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((6,)), Counting(), layers.Dense(3)])
    model.compile(optimizer="adam", loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    monkeypatch.setattr(training, "WORTH_COMPILING", 0)
    losses = training.fit(model, X, Y, batch_size=10, epochs=2, validation_data=(X, Y)).history["loss"]
    assert losses[1] < losses[0]
    with pytest.raises(ValueError, match="form"):
        training.fit(model, X, Y, form="epoch")


@pytest.mark.parametrize("optimizer", ["adam", keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, 9))])
def test_a_restarted_model_is_as_good_as_new(optimizer):
    model, x, y = compiled(dense, optimizer)
    restart, start = training.restarter(model), model.get_weights()
    runs = []
    for _ in range(2):
        training.fit(model, x, y, batch_size=16, epochs=2, seed=3)
        runs.append(model.get_weights())
        restart(start)
    assert all(np.array_equal(one, other) for one, other in zip(*runs, strict=True))
    assert int(model.optimizer.iterations) == 0
    assert not all(np.array_equal(one, other) for one, other in zip(runs[0], start, strict=True))
    with pytest.raises(ValueError, match="model"):
        training.restarter(dense()[0])


def test_evaluate_and_predict_equal_keras():
    for build in (dense, convolutional):
        model, x, y = compiled(build)
        expected = model.evaluate(x, y, verbose=0, return_dict=True)
        found = training.evaluate(model, x, y, batch_size=16)
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-5)
        np.testing.assert_allclose(
            training.predict(model, x, batch_size=16), model.predict(x, verbose=0), rtol=1e-4, atol=1e-5
        )


def test_several_inputs_and_outputs():
    a, b = keras.Input((6,), name="a"), keras.Input((6,), name="b")
    keras.utils.set_random_seed(0)
    model = keras.Model({"a": a, "b": b}, {"sum": layers.Dense(1)(a + b), "difference": layers.Dense(1)(a - b)})
    model.compile(optimizer=keras.optimizers.Adam(0.05), loss={"sum": "mse", "difference": "mse"})
    inputs, targets = {"a": X, "b": X[::-1]}, {"sum": X[:, :1], "difference": X[:, 1:2]}
    history = training.fit(model, inputs, targets, batch_size=10, epochs=5).history
    assert history["loss"][-1] < history["loss"][0]
    assert training.predict(model, inputs)["sum"].shape == (70, 1)


def test_a_model_that_is_dropped_is_freed_and_one_that_is_kept_can_be_saved(tmp_path):
    model, x, y = compiled(dense)
    training.fit(model, x, y, epochs=1)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(training.predict(loaded, x), training.predict(model, x), rtol=1e-5)
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


def test_progress_is_shown_by_epoch():
    seen = []
    model, x, y = compiled(dense)
    training.fit(
        model, x, y, epochs=2, track=lambda items, description: seen.append((len(items), description)) or items
    )
    assert seen == [(2, "training")]


class Counting(keras.Sequential):
    """Counts how often its step is traced."""

    traced = 0

    def train_step(self, data):
        Counting.traced += 1
        return super().train_step(data)


def small(*parts, shape=(6,), optimizer="adam", **arguments):
    keras.utils.set_random_seed(1)
    model = Counting([keras.Input(shape), *parts, layers.Dense(3)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"], **arguments)
    return model


def test_a_step_is_traced_once_for_every_size_of_batch(monkeypatch):
    monkeypatch.setattr(training, "WORTH_COMPILING", 0)
    Counting.traced, model = 0, small()
    training.fit(model, X[:64], Y[:64], batch_size=16)
    training.fit(model, X[:64], Y[:64], batch_size=16, form="loop")
    training.fit(model, X[:48], Y[:48], batch_size=16, form="step")
    assert Counting.traced == 1
    training.fit(model, X, Y, batch_size=16, epochs=2)
    assert Counting.traced == 2


def test_a_mistake_does_in_xla_what_it_does_elsewhere(monkeypatch):
    monkeypatch.setattr(training, "WORTH_COMPILING", 0)
    ids = RNG.integers(0, 5, size=(64, 4))
    wrong_label, wrong_id, unknown = np.where(np.arange(70) == 20, 3, Y), ids.copy(), X.copy()
    wrong_id[33, 2], unknown[40, 1] = 5, np.nan
    embedding = (layers.Embedding(5, 3), layers.Flatten())
    checked = layers.Lambda(lambda x: tf.debugging.check_numerics(x, "not a number"))
    gathered = layers.Lambda(lambda x: tf.gather(tf.eye(4), tf.cast(x[:, 0] * 0, tf.int32) + 4))
    cases = [
        (small(), X[:64], wrong_label[:64], "auto"),
        (small(), X[:64], wrong_label[:64], "xla"),
        (small(*embedding, shape=(4,)), wrong_id, Y[:64], "auto"),
        (small(checked), unknown[:64], Y[:64], "auto"),
        (small(gathered), X[:64], Y[:64], "auto"),
    ]
    for model, x, y, form in cases:
        with pytest.raises(tf.errors.InvalidArgumentError):
            training.fit(model, x, y, batch_size=16, shuffle=False, form=form)
        assert all(np.isfinite(weights).all() for weights in model.get_weights())
    model = small(*embedding, shape=(4,))
    training.fit(model, ids, Y[:64], batch_size=16)
    assert [list(step.loops) for step in training._compiled(model).steps.values()] == [["xla"]]


def test_what_was_compiled_goes_when_the_model_changes():
    model = small(optimizer=keras.optimizers.SGD(0.1))
    training.fit(model, X, Y)
    first = training._compiled(model)
    training.fit(model, X, Y)
    assert training._compiled(model) is first
    model.jit_compile = True
    assert training._compiled(model) is not first
    training.fit(model, X, Y, form="step")
    model.trainable, before = False, model.get_weights()
    with pytest.warns(UserWarning, match="trainable weights"):
        training.fit(model, X, Y)
    assert all(np.array_equal(one, other) for one, other in zip(before, model.get_weights(), strict=True))

    class OwnMetrics(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense, self.tracker = layers.Dense(1), keras.metrics.Mean("loss")

        def call(self, x):
            return self.dense(x)

        @property
        def metrics(self):
            return [self.tracker]

        def train_step(self, data):
            self.tracker.update_state(self.compute_loss(data[0], data[1], self(data[0])))
            return {"loss": self.tracker.result()}

    model, optimizer = OwnMetrics(), keras.optimizers.SGD(0.0)
    losses = []
    for loss in ("mse", "mae"):
        model.compile(optimizer, loss)
        losses += training.fit(model, X, X[:, :1] + 5, batch_size=70).history["loss"]
    errors = X[:, :1] + 5 - training.predict(model, X)
    assert losses == pytest.approx([np.mean(errors**2), np.mean(np.abs(errors))], rel=1e-4)


def test_losses_of_single_outputs_are_means_over_samples_where_keras_forgets_the_size_of_the_last_batch():
    x = keras.Input((6,))
    keras.utils.set_random_seed(0)
    outputs = {"p": layers.Dense(1, name="p")(x), "q": layers.Dense(1, name="q")(x)}
    model = keras.Model(x, outputs)
    model.compile(keras.optimizers.SGD(0.0), {"p": "mse", "q": "mae"})
    targets = {"p": X[:, :1], "q": X[:, 1:2]}
    ours = training.fit(model, X, targets, batch_size=32, shuffle=False).history
    theirs = model.fit(X, targets, batch_size=32, shuffle=False, verbose=0).history
    squares = np.square(X[:, 0] - model.predict(X, verbose=0)["p"][:, 0])
    batches = [squares[:32].mean(), squares[32:64].mean(), squares[64:].mean()]
    assert ours["p_loss"] == pytest.approx([squares.mean()], rel=1e-4)
    assert theirs["p_loss"] == pytest.approx([np.mean(batches)], rel=1e-4)
    assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-4)


def test_a_step_of_prediction_of_its_own_and_a_model_that_runs_eagerly():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(3)

        def call(self, x):
            return self.dense(x.numpy() if tf.executing_eagerly() else x + np.nan)

        def predict_step(self, data):
            return 0 * self(data) + 7

    model = Own()
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), run_eagerly=True)
    history = training.fit(model, X, Y, validation_data=(X, Y)).history
    assert np.isfinite(history["loss"]).all()
    assert np.isfinite(history["val_loss"]).all()
    assert np.array_equal(training.predict(model, X, batch_size=32), np.full((70, 3), 7.0))
    with pytest.raises(ValueError, match="run_eagerly"):
        training.fit(model, X, Y, form="loop")


def test_no_step_follows_one_whose_loss_is_no_number():
    batches, bad = [], np.where(np.arange(70)[:, None] == 20, np.nan, X)
    seen = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: batches.append(batch))
    training.fit(
        small(), bad, Y, batch_size=10, shuffle=False, callbacks=[seen, keras.callbacks.TerminateOnNaN()], epochs=2
    )
    assert batches == [0, 1, 2]


def test_weights_without_targets_are_left_out_as_in_keras():
    model = keras.Sequential([keras.Input((6,)), layers.Dense(6, activity_regularizer="l2")])
    model.compile(keras.optimizers.SGD(0.0))
    found = [training.fit(model, X, sample_weight=weights).history for weights in (None, np.zeros(70))]
    assert found[0] == found[1]


def test_lines_of_epochs_are_printed(capsys):
    model, x, y = compiled(dense)
    for verbose in (0, 2, 1):
        training.fit(model, x, y, epochs=2, verbose=verbose)
        printed = capsys.readouterr().out
        assert ("Epoch 2/2" in printed) == bool(verbose)
        assert ("accuracy" in printed) == bool(verbose)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size: expected a positive whole number, got 0"),
        ({"epochs": 1.5}, "epochs: expected a positive whole number, got 1.5"),
        ({"form": "fast"}, "form: expected one of auto"),
        ({"x": X[:3]}, "equally many samples"),
        ({"x": X[:0], "y": Y[:0]}, "at least one"),
        ({"batch_size": True}, "batch_size: expected a positive whole number"),
        ({"x": X.tolist()}, "expected arrays"),
        ({"x": tf.data.Dataset.from_tensors(X), "y": None}, "model.fit"),
        ({"validation_split": 1.0}, "validation_split"),
        ({"validation_split": 0.99}, "validation_split"),
        ({"class_weight": {0: 2.0}, "sample_weight": np.ones(70)}, "class_weight"),
    ],
)
def test_wrong_arguments(arguments, message):
    model, x, y = compiled(dense)
    with pytest.raises(ValueError, match=message):
        training.fit(model, **{"x": x, "y": y, **arguments})


def test_a_model_must_be_compiled():
    model, x, y = dense()
    with pytest.raises(ValueError, match="compiled model"):
        training.fit(model, x, y)
    with pytest.raises(ValueError, match="compiled model"):
        training.evaluate(model, x, y)
    assert training.predict(model, x).shape == (70, 3)
