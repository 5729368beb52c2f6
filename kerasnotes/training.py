"""Fast training on a few CPU cores, for any compiled Keras model: `fit` here does what `model.fit` does.

Data lies in tensors, and all steps of an epoch run inside one compiled loop, so that Python is asked once an epoch and
not at every step. The loop takes one of two forms. XLA fuses the many small operations of a step, which is faster for
dense and recurrent networks; but its convolutions lose their threads inside a loop and its random numbers are slow, so
models with convolutions, pooling or dropout take TensorFlow's own loop. Measured in `benchmarks/training.py`.
"""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

FORMS = ("auto", "xla", "loop", "step")
WORTH_COMPILING = 400  # steps; XLA takes a second or two to compile, which fewer steps do not earn back
SLOW_IN_XLA = ("Conv", "DepthwiseConv", "MaxPool", "AvgPool", "StatelessRandom", "Random", "StatelessTruncated")


def fit(
    model,
    x,
    y=None,
    *,
    batch_size=32,
    epochs=1,
    validation_data=None,
    shuffle=True,
    sample_weight=None,
    callbacks=None,
    initial_epoch=0,
    seed=0,
    form="auto",
    track=None,
):
    """Train a compiled Keras model, as `model.fit` does, but faster on a CPU.

    The model's own `train_step` and `test_step` run, also where a subclass defines them; losses, metrics, optimizers,
    sample weights and dropout are Keras's. The last batch of an epoch may be short, as in Keras.

    Args:
        model: A `keras.Model` on which `compile` has been called.
        x, y: Inputs and targets, arrays or tensors (samples, ...), or nested structures of them; y may be None.
        batch_size: Samples in a batch.
        epochs: Number of the epoch to stop before, counted from 0 as in Keras.
        validation_data: `(x, y)` or `(x, y, sample_weight)`, evaluated after every epoch, or None.
        shuffle: Whether to draw a new order for every epoch.
        sample_weight: Weights (samples,), or None.
        callbacks: Keras callbacks. Hooks of epochs and of the whole training are called; if one has hooks of batches,
            these are called too, and steps are called one by one.
        initial_epoch: Number of the first epoch.
        seed: Seed of the order of samples.
        form: How an epoch runs: `"xla"`, one loop compiled by XLA; `"loop"`, one loop of TensorFlow's; `"step"`, one
            call a step. `"auto"` takes the fastest one that the model and the callbacks allow; a model that XLA cannot
            compile takes `"loop"`.
        track: Callable `(iterable, description) -> iterable` that shows progress, such as `report.track`, or None.

    Returns:
        A `keras.callbacks.History`; `.history` maps each metric's name to a list with one value per epoch.

    Raises:
        ValueError: If the model is not compiled, the sizes of the data differ, or an argument is out of range.
    """
    _check_arguments(model, batch_size, epochs, form)
    data = _as_tensors(x, y, sample_weight)
    samples = _samples(data)
    compiled = _compiled(model)
    history = keras.callbacks.CallbackList(
        callbacks,
        add_history=True,
        add_progbar=False,
        model=model,
        verbose=0,
        epochs=epochs,
        steps=-(-samples // batch_size),
    )
    batch_callbacks = [each for each in history.callbacks if _has_batch_hooks(each)]
    validation = None if validation_data is None else _as_tensors(*validation_data)
    if form == "auto":
        steps = (epochs - initial_epoch) * (samples // batch_size)
        form = "step" if batch_callbacks else compiled.faster_form(data, min(batch_size, samples), steps)
    elif form != "step" and batch_callbacks:
        raise ValueError(f"form: expected 'step' or 'auto' with callbacks that have batch hooks, got {form!r}")

    model.stop_training = False
    history.on_train_begin()
    epoch_numbers = range(initial_epoch, epochs)
    for epoch in epoch_numbers if track is None else track(epoch_numbers, "training"):
        model.reset_metrics()
        history.on_epoch_begin(epoch)
        order = np.random.default_rng((seed, epoch)).permutation(samples) if shuffle else np.arange(samples)
        compiled.run("train_step", data, order.astype(np.int32), batch_size, form, batch_callbacks)
        logs = _results(model)
        if validation is not None:
            logs.update({f"val_{name}": value for name, value in _evaluate(model, validation, batch_size).items()})
        history.on_epoch_end(epoch, logs)
        if model.stop_training:
            break
    history.on_train_end()
    return next(each for each in history.callbacks if isinstance(each, keras.callbacks.History))


def evaluate(model, x, y=None, *, batch_size=512, sample_weight=None):
    """Loss and metrics of a compiled model on data, as `model.evaluate(return_dict=True)`.

    Returns:
        Dictionary from the metric's name to a float.
    """
    _check_arguments(model, batch_size, 1, "auto")
    return _evaluate(model, _as_tensors(x, y, sample_weight), batch_size)


def predict(model, x, *, batch_size=512):
    """Outputs of a model for all samples, as `model.predict`; the model need not be compiled.

    Returns:
        Array (samples, ...), or a nested structure of arrays where the model has several outputs.
    """
    data = _as_tensors(x, None, None)
    if not (isinstance(batch_size, (int, np.integer)) and batch_size > 0):
        raise ValueError(f"batch_size: expected a positive whole number, got {batch_size!r}")
    function = _compiled(model).predict_function
    parts = []
    for start in range(0, _samples(data), batch_size):
        part = tf.nest.map_structure(lambda tensor: tensor[start : start + batch_size], data[0])  # noqa: B023
        parts.append(tf.nest.map_structure(lambda tensor: tensor.numpy(), function(part)))
    return tf.nest.map_structure(lambda *arrays: np.concatenate(arrays), *parts)


def restarter(model):
    """Let one compiled model serve several runs: compiling takes longer than many a run.

    Args:
        model: A `keras.Model` on which `compile` has been called; its optimizer is taken as it is now.

    Returns:
        `restart(weights)`: gives the model these weights, as `model.get_weights()` returns them, and puts the
        optimizer back to what it was.

    Raises:
        ValueError: If the model is not compiled.
    """
    _check_arguments(model, 1, 1, "auto")
    model.optimizer.build(model.trainable_variables)
    fresh = [variable.numpy() for variable in model.optimizer.variables]

    def restart(weights):
        model.set_weights(weights)
        for variable, value in zip(model.optimizer.variables, fresh, strict=True):
            variable.assign(value)

    return restart


class Snapshots(keras.callbacks.Callback):
    """Keeps a copy of the weights after chosen epochs, for figures of how a model changed.

    Args:
        epochs: Numbers of the epochs after which to copy, or None for every epoch.
    """

    def __init__(self, epochs=None):
        super().__init__()
        self._epochs = None if epochs is None else set(epochs)
        self.weights = {}  # epoch -> list of arrays, as model.get_weights() returns them

    def on_epoch_end(self, epoch, logs=None):
        if self._epochs is None or epoch in self._epochs:
            self.weights[epoch] = self.model.get_weights()


@dataclasses.dataclass
class _Functions:
    """The compiled functions of one model; made anew when `model.compile` is called again."""

    model: keras.Model
    state: tuple
    functions: dict = dataclasses.field(default_factory=dict)
    forms: dict = dataclasses.field(default_factory=dict)
    refused: set = dataclasses.field(default_factory=set)

    def faster_form(self, data, batch_size, steps):
        """`"loop"` for a few steps, or if the training step has operations that are slow under XLA, else `"xla"`."""
        if steps < WORTH_COMPILING and ("train_step", "xla") not in self.functions:
            return "loop"
        key = (batch_size, *(str(tensor.shape[1:]) for tensor in tf.nest.flatten(data)))
        if key not in self.forms:
            graph = self._build(data, batch_size).as_graph_def()
            nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
            self.forms[key] = "loop" if any(node.op.startswith(SLOW_IN_XLA) for node in nodes) else "xla"
        return self.forms[key]

    def _build(self, data, batch_size):
        """Trace one step without running it. This creates all variables, which a compiled loop must not do."""
        step = tf.autograph.experimental.do_not_convert(self.model.train_step)
        specs = tf.nest.map_structure(lambda t: tf.TensorSpec((batch_size, *t.shape[1:]), t.dtype), data)
        return tf.function(step).get_concrete_function(specs).graph

    def run(self, method, data, order, batch_size, form, callbacks=()):
        """Run `model.train_step` or `model.test_step` over all batches of `order`."""
        whole = len(order) // batch_size
        batches = order[: whole * batch_size].reshape(whole, batch_size)
        rest = order[whole * batch_size :]
        if not self.model.built or (method == "train_step" and not self.model.optimizer.built):
            self._build(data, min(batch_size, len(order)))
        if form != "step" and whole:
            self._run_loop(method, form, data, tf.constant(batches))
            batches = batches[:0]
        step = self._function(method, "step")
        for number, indices in enumerate([*batches, *([rest] if len(rest) else [])]):
            for callback in callbacks:
                callback.on_train_batch_begin(number)
            step(data, tf.constant(indices))
            for callback in callbacks:
                callback.on_train_batch_end(number, _results(self.model))

    def _run_loop(self, method, form, data, batches):
        if (method, form) in self.refused:
            form = "loop"
        try:
            self._function(method, form)(data, batches)
        except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError) as error:
            if form != "xla" or "tf2xla" not in str(error):
                raise
            self.refused.add((method, form))  # compiling comes before the first step, so nothing has been done yet
            self._function(method, "loop")(data, batches)

    @property
    def predict_function(self):
        """The model's inference, compiled."""
        if "predict" not in self.functions:
            call = tf.autograph.experimental.do_not_convert(lambda x: self.model(x, training=False))
            self.functions["predict"] = tf.function(call, reduce_retracing=True)
        return self.functions["predict"]

    def _function(self, method, form):
        if (method, form) not in self.functions:
            one = getattr(self.model, method)

            def step(data, indices):
                one(tf.nest.map_structure(lambda tensor: tf.gather(tensor, indices), data))

            def epoch(data, batches):
                def body(i):
                    step(data, batches[i])
                    return (i + 1,)

                # Steps depend on each other through the weights: none may start before the last one has ended.
                tf.while_loop(lambda i: i < batches.shape[0], body, (tf.constant(0),), parallel_iterations=1)

            function = tf.autograph.experimental.do_not_convert(step if form == "step" else epoch)
            self.functions[method, form] = tf.function(function, jit_compile=form == "xla")
        return self.functions[method, form]


def _compiled(model):
    """The model's compiled functions, kept with the model, so that they go when it goes."""
    state = (model.optimizer, *model.metrics) if getattr(model, "compiled", False) else ()
    kept = model.__dict__.get("_kerasnotes_functions")
    if kept is None or [*map(id, kept.state)] != [*map(id, state)]:
        # Written past Keras's __setattr__, which would track it as a part of the model.
        kept = model.__dict__["_kerasnotes_functions"] = _Functions(model, state)
    return kept


def _evaluate(model, data, batch_size):
    model.reset_metrics()
    batch_size = min(batch_size, _samples(data))
    order = np.arange(_samples(data), dtype=np.int32)
    _compiled(model).run("test_step", data, order, batch_size, "loop")
    return _results(model)


def _results(model):
    return {name: float(value) for name, value in model.get_metrics_result().items()}


def _has_batch_hooks(callback):
    hooks = ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end")
    return any(getattr(type(callback), hook) is not getattr(keras.callbacks.Callback, hook) for hook in hooks)


def _as_tensors(x, y=None, sample_weight=None):
    """`(x, y, sample_weight)` as tensors, without trailing None; floats in Keras's precision, as Keras does."""

    def convert(value):
        tensor = tf.convert_to_tensor(value)
        return tf.cast(tensor, keras.config.floatx()) if tensor.dtype.is_floating else tensor

    parts = (x, y, sample_weight)
    while parts[-1] is None and len(parts) > 1:
        parts = parts[:-1]
    return tuple(None if part is None else tf.nest.map_structure(convert, part) for part in parts)


def _samples(data):
    sizes = [tensor.shape[0] for tensor in tf.nest.flatten(data) if tensor is not None]
    if not sizes or min(sizes) != max(sizes) or sizes[0] == 0:
        raise ValueError(f"x, y, sample_weight: expected equally many samples, at least one, got {sizes}")
    return sizes[0]


def _check_arguments(model, batch_size, epochs, form):
    if not getattr(model, "compiled", False):
        raise ValueError("model: expected a compiled model; call model.compile(optimizer, loss, metrics) first")
    for name, value in (("batch_size", batch_size), ("epochs", epochs)):
        if not (isinstance(value, (int, np.integer)) and value > 0):
            raise ValueError(f"{name}: expected a positive whole number, got {value!r}")
    if form not in FORMS:
        raise ValueError(f"form: expected one of {', '.join(FORMS)}, got {form!r}")
