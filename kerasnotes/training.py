"""Fast training on a few CPU cores, for any compiled Keras model: `fit` here does what `model.fit` does.

Data lies in tensors, and all steps of an epoch run inside one compiled loop, so that Python is asked once an epoch and
not at every step. A step is traced once; every form of the loop calls that trace. The loop takes one of two forms. XLA
fuses the many small operations of a step, which is faster for dense and small recurrent networks; but its convolutions
and the matrix products of attention and of large recurrences lose their threads, and its random numbers are slow, so
such models take TensorFlow's own loop. Measured in `benchmarks/training.py`.
"""

import dataclasses
import warnings

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.ops.resource_variable_ops import ResourceVariable  # tf.Variable would ask its creators again

from kerasnotes.parts import share

FORMS = ("auto", "xla", "loop", "step")
WORTH_COMPILING = 400  # steps; XLA takes a second or two to compile, which fewer steps do not earn back
LARGE_IN_A_RECURRENCE = 5000  # numbers in the result of a matrix product, above which threads earn more than fusing

# What XLA computes as fast as TensorFlow, and accepts or refuses as TensorFlow does. Whatever is not listed keeps a
# step out of XLA: convolutions, the products of attention, random numbers, assertions, matrix inverses, …
SAME_IN_XLA = """
    Abs Add AddN AddV2 All Any ArgMax ArgMin AssignAddVariableOp AssignSubVariableOp AssignVariableOp Atan Atan2
    BiasAdd BiasAddGrad Bitcast BitwiseAnd BitwiseOr BroadcastGradientArgs BroadcastTo Cast Ceil ClipByValue Concat
    ConcatOffset ConcatV2 Const Cos Cosh Cumsum DepthToSpace DivNoNan Elu EluGrad EmptyTensorList Equal Erf Erfc Exp
    ExpandDims Expm1 Fill Floor Greater GreaterEqual Identity IdentityN If InTopKV2 Inv InvGrad InvertPermutation
    IsFinite IsInf IsNan L2Loss LeakyRelu LeakyReluGrad Less LessEqual LinSpace Log Log1p LogSoftmax LogicalAnd
    LogicalNot LogicalOr MatMul MatrixBandPart MatrixDiagV3 Max Maximum Mean Min Minimum MirrorPad Mul MulNoNan Neg
    NoOp NotEqual OneHot OnesLike Pack Pad PadV2 PartitionedCall Placeholder Pow PreventGradient Prod Range Rank
    ReadVariableOp RealDiv Reciprocal ReciprocalGrad Relu Relu6 Relu6Grad ReluGrad Reshape ReverseV2 Roll Round
    Rsqrt RsqrtGrad Select SelectV2 Selu SeluGrad Shape ShapeN Sigmoid SigmoidGrad Sign Sin Sinh Size Slice Softmax
    SoftmaxCrossEntropyWithLogits Softplus SoftplusGrad Softsign SoftsignGrad SpaceToDepth Split SplitV Sqrt
    SqrtGrad Square SquaredDifference Squeeze StatefulPartitionedCall StatelessIf StatelessWhile StopGradient
    StridedSlice StridedSliceGrad Sub Sum Tan Tanh TanhGrad TensorListElementShape TensorListFromTensor
    TensorListGetItem TensorListLength TensorListPopBack TensorListPushBack TensorListReserve TensorListSetItem
    TensorListStack Tile TopKV2 Transpose Unpack VarHandleOp VariableShape While Xdivy Xlogy ZerosLike _Arg _Retval
"""
# Operations whose indices TensorFlow checks and XLA does not, each with the indices and what they must stay below.
INDEXED = {
    "SparseSoftmaxCrossEntropyWithLogits": lambda op: (op.inputs[1], tf.shape(op.inputs[0])[-1]),
    "GatherV2": lambda op: (op.inputs[1], tf.gather(tf.shape(op.inputs[0]), op.inputs[2])),
    "ResourceGather": lambda op: (op.inputs[1], tf.raw_ops.VariableShape(input=op.inputs[0])[0]),
    "ResourceScatterAdd": lambda op: (op.inputs[1], tf.raw_ops.VariableShape(input=op.inputs[0])[0]),
    "ResourceScatterSub": lambda op: (op.inputs[1], tf.raw_ops.VariableShape(input=op.inputs[0])[0]),
    "UnsortedSegmentSum": lambda op: (op.inputs[1], op.inputs[2]),
    "GatherNd": lambda op: (op.inputs[1], tf.shape(op.inputs[0])[: op.inputs[1].shape[-1]]),
}
INTEGER_DIVISIONS = ("Div", "FloorDiv", "FloorMod", "TruncateDiv", "TruncateMod", "Mod")  # by zero: the same


def fit(
    model,
    x,
    y=None,
    *,
    batch_size=None,
    epochs=1,
    validation_data=None,
    shuffle=True,
    sample_weight=None,
    callbacks=None,
    initial_epoch=0,
    seed=0,
    form="auto",
    track=None,
    verbose=0,
    validation_split=0.0,
    class_weight=None,
    steps_per_epoch=None,
    validation_steps=None,
    validation_batch_size=None,
    validation_freq=1,
):
    """Train a compiled Keras model, as `model.fit` does, but faster on a CPU.

    The model's own `train_step` and `test_step` run, also where a subclass defines them; losses, metrics, optimizers,
    callbacks, sample weights and dropout are Keras's. Three things differ:

    - The order of samples comes from `seed` and the number of the epoch. Four calls with `epochs=1` therefore shuffle
      alike; give them `initial_epoch` 0, 1, 2, 3 (and `epochs` one more), or other seeds, to draw anew.
    - Batches have a known size, also the short last one. Losses of single outputs (`a_loss`, `b_loss`) are therefore
      means over samples; `model.fit` counts a short last batch there as much as a whole one. The total agrees.
    - A `trainable` that is changed holds from the next call on, also without a new `compile`.

    Args:
        model: A `keras.Model` on which `compile` has been called.
        x, y: Inputs and targets, arrays or tensors (samples, ...), or nested structures of them; y may be None, and
            then sample weights are left out, as in Keras. For datasets and generators use `model.fit`.
        batch_size: Samples in a batch; 32 by default, or what makes `steps_per_epoch` steps of all samples.
        epochs: Number of the epoch to stop before, counted from 0 as in Keras.
        validation_data: `(x, y)` or `(x, y, sample_weight)`, evaluated after every epoch, or None.
        shuffle: Whether to draw a new order for every epoch; `"batch"` draws within each batch only.
        sample_weight: Weights (samples,), or None.
        callbacks: Keras callbacks. If one has hooks of training batches, steps are called one by one.
        initial_epoch: Number of the first epoch.
        seed: Seed of the order of samples.
        form: How an epoch runs: `"xla"`, one loop compiled by XLA; `"loop"`, one loop of TensorFlow's; `"step"`, one
            call a step. `"auto"` takes `"step"` if a callback or `run_eagerly` needs it; `"xla"` if at least
            `WORTH_COMPILING` steps are to come, every operation of the step is in `SAME_IN_XLA` or has checkable
            indices, and no matrix product inside a recurrence of Keras's gives more than `LARGE_IN_A_RECURRENCE`
            numbers; else `"loop"`. A model that XLA cannot compile takes `"loop"`. XLA does not notice a label or an
            index out of range: the loop watches for them, and such an epoch runs again as `"loop"`, which raises the
            error.
        track: Callable `(iterable, description) -> iterable` that shows progress, such as `report.track`, or None.
        verbose: 0 silent, 2 one line an epoch, 1 or `"auto"` Keras's bar, which calls steps one by one.
        validation_split, class_weight, steps_per_epoch, validation_steps, validation_batch_size, validation_freq: As in
            `model.fit`.

    Returns:
        A `keras.callbacks.History`; `.history` maps each metric's name to a list with one value per epoch.

    Raises:
        ValueError: If the model is not compiled, the sizes of the data differ, or an argument is out of range.
    """
    _check_arguments(model, batch_size, epochs, form)
    data = _as_tensors(x, y, sample_weight, class_weight)
    if share("validation_split", validation_split, high=False) and validation_data is None:
        data, validation = _split(data, validation_split)
    elif validation_data is not None:
        validation = _as_tensors(*keras.utils.unpack_x_y_sample_weight(validation_data))
    else:
        validation = None
    samples = _samples(data)
    steps = _steps(steps_per_epoch, keras.config.max_steps_per_epoch())
    batch_size = batch_size or (-(-samples // steps) if steps else 32)
    epochs = min(epochs, keras.config.max_epochs() or epochs)
    callbacks = _callback_list(model, callbacks, verbose, epochs, steps or -(-samples // batch_size), history=True)
    hooks = _batch_hooks(callbacks, "train", lambda: model.stop_training)
    functions = _compiled(model)
    if form == "auto":
        left = (epochs - initial_epoch) * min(steps or samples, samples // batch_size)
        form = "step" if hooks else functions.faster_form(data, min(batch_size, samples), left)
    elif form != "step" and hooks:
        raise ValueError(f"form: expected 'step' or 'auto' with callbacks that have batch hooks, got {form!r}")

    model.stop_training = False
    callbacks.on_train_begin()
    # A callback that goes on with an interrupted training sets the epoch to begin with.
    epoch_numbers = range(getattr(model, "_initial_epoch", None) or initial_epoch, epochs)
    order, logs = (), None
    for epoch in epoch_numbers if track is None else track(epoch_numbers, "training"):
        model.reset_metrics()
        callbacks.on_epoch_begin(epoch)
        if not len(order):
            order = _order(samples, batch_size, shuffle, (seed, epoch))
        now, order = np.split(order, [steps * batch_size if steps else samples])
        if steps and len(now) <= (steps - 1) * batch_size:
            warnings.warn("steps_per_epoch: the samples ran out; this epoch has fewer steps", stacklevel=2)
        if model.stop_training:  # Keras looks after a step, not before it
            now = now[: batch_size * model.steps_per_execution]
        logs = _logs(model, functions.run("train_step", data, now, batch_size, form, hooks))
        if validation is not None and _is_due(epoch, validation_freq):
            size = validation_batch_size or batch_size
            found = _evaluate(model, validation, size, callbacks, validation_steps)
            logs.update({f"val_{name}": value for name, value in found.items()})
        callbacks.on_epoch_end(epoch, logs)
        if model.stop_training:
            break
    if isinstance(model.optimizer, keras.optimizers.Optimizer):
        model.optimizer.finalize_variable_values(model.trainable_weights)
    callbacks.on_train_end(logs)
    return model.history


def evaluate(model, x, y=None, *, batch_size=512, sample_weight=None, callbacks=None, steps=None, verbose=0):
    """Loss and metrics of a compiled model on data, as `model.evaluate(return_dict=True)`.

    Returns:
        Dictionary from the metric's name to a float, or to an array where the metric's result is one.
    """
    _check_arguments(model, batch_size, 1, "auto")
    data = _as_tensors(x, y, sample_weight)
    batches = steps or -(-_samples(data) // batch_size)
    callbacks = _callback_list(model, callbacks, verbose, 1, batches, history=False)
    return _evaluate(model, data, batch_size, callbacks, steps)


def predict(model, x, *, batch_size=512):
    """Outputs of a model for all samples, as `model.predict`; the model need not be compiled.

    Returns:
        Array (samples, ...), or a nested structure of arrays where the model has several outputs.
    """
    data = _as_tensors(x)
    batch_size = _positive_whole("batch_size", batch_size)
    function = _compiled(model).predict_function
    parts = []
    for start in range(0, _samples(data), batch_size):
        part = _map(lambda tensor: tensor[start : start + batch_size], data)  # noqa: B023
        parts.append(_map(np.asarray, function(part)))
    return keras.tree.map_structure(
        lambda *arrays: np.concatenate(arrays) if np.ndim(arrays[0]) else np.stack(arrays), *parts
    )


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


class _Step:
    """One traced step, and the loops around it.

    Args:
        call: Concrete function from a batch's tensors, one after another, to `(logs in a row, all indices in range)`.
        structure: The logs as the step returned them while it was traced.
        from_metrics: Whether the metrics give the logs, so that no loop need carry them.
    """

    def __init__(self, call, structure, from_metrics):
        self.call, self.structure, self.from_metrics = call, structure, from_metrics
        self.logs = [] if from_metrics else list(call.structured_outputs[0])
        self.fits_xla, self.watches = _fits_xla(call.graph)
        self.refused, self.loops = False, {}

    @property
    def variables(self):
        """What an epoch may change, if it may have to run again."""
        return self.call.variables if self.watches else ()

    def packed(self, logs):
        return dict.fromkeys(self.structure) if self.from_metrics else keras.tree.pack_sequence_as(self.structure, logs)


@dataclasses.dataclass
class _Functions:
    """The compiled functions of one model; made anew when the model is compiled again or changes."""

    model: keras.Model
    state: list
    steps: dict = dataclasses.field(default_factory=dict)
    predict: callable = None

    @property
    def eager(self):
        return getattr(self.model, "run_eagerly", False) or tf.config.functions_run_eagerly()

    def faster_form(self, data, batch_size, steps):
        """`"loop"` for a few steps, or if the training step does not suit XLA, else `"xla"`; eagerly `"step"`."""
        if self.eager:
            return "step"
        if steps < WORTH_COMPILING and not any("xla" in step.loops for step in self.steps.values()):
            return "loop"
        return "xla" if self._traced("train_step", data, batch_size).fits_xla else "loop"

    def run(self, method, data, order, batch_size, form, hooks=None):
        """Run `model.train_step` or `model.test_step` over all batches of `order`; the last one's logs."""
        logs, whole_batches = {}, len(order) // batch_size
        if form != "step" and self.eager:
            raise ValueError(f"form: expected 'step' or 'auto' with run_eagerly=True, got {form!r}")
        order = order.astype(np.int32)
        if form != "step" and whole_batches:
            batches, order = np.split(order, [whole_batches * batch_size])
            logs = self._run_loop(method, form, data, batches.reshape(whole_batches, batch_size))
        begin, end, stopped = hooks or (lambda step: None, lambda step, logs: None, lambda: False)
        together = self.model.steps_per_execution
        batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
        for number in range(0, len(batches), together):
            begin(number)
            for indices in batches[number : number + together]:
                logs = self._run_step(method, data, tf.constant(indices))
            end(number + together - 1, logs)
            if stopped():
                break
        return logs

    def _run_step(self, method, data, indices):
        if self.eager:
            return getattr(self.model, method)(_map(lambda tensor: tf.gather(tensor, indices), data))
        step = self._traced(method, data, len(indices))
        call = step.call
        if self.model.jit_compile:
            call = step.loops.setdefault("step", tf.function(lambda *tensors: step.call(*tensors), jit_compile=True))
        logs, _ = call(*(tf.gather(tensor, indices) for tensor in _flat(data)))
        return keras.tree.pack_sequence_as(step.structure, logs)

    def _run_loop(self, method, form, data, batches):
        step = self._traced(method, data, batches.shape[1])
        tensors, batches = _flat(data), tf.constant(batches)
        if form == "xla" and not step.refused:
            before = [tf.raw_ops.DeepCopy(x=variable.value()) for variable in step.variables]
            try:
                logs, in_range = self._loop("xla", step)(tensors, batches)
                if in_range:
                    return step.packed(logs)
                for variable, value in zip(step.variables, before, strict=True):
                    variable.assign(value)  # and TensorFlow's loop says what is out of range
            except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError) as error:
                if "tf2xla" not in str(error):
                    raise
                step.refused = True  # compiling comes before the first step, so nothing has been done yet
        return step.packed(self._loop("loop", step)(tensors, batches)[0])

    def _loop(self, form, step):
        """The function `(data, batches)` that calls a step for each row of batches: `(last logs, all in range)`."""
        if form not in step.loops:

            def epoch(data, batches):
                def goes_on(i, in_range, *_):
                    return tf.logical_and(i < batches.shape[0], in_range) if form == "xla" else i < batches.shape[0]

                def body(i, in_range, *_):
                    logs, now_in_range = step.call(*(tf.gather(tensor, batches[i]) for tensor in data))
                    return i + 1, now_in_range if form == "xla" else in_range, *(logs if step.logs else ())

                start = [tf.zeros([size or 0 for size in log.shape], log.dtype) for log in step.logs]
                shapes = [tf.TensorShape(()), tf.TensorShape(()), *(log.shape for log in step.logs)]
                # Steps depend on each other through the weights: none may start before the last one has ended.
                _, in_range, *logs = tf.while_loop(
                    goes_on, body, [tf.constant(0), tf.constant(True), *start], shapes, parallel_iterations=1
                )
                return logs, in_range

            step.loops[form] = tf.function(tf.autograph.experimental.do_not_convert(epoch), jit_compile=form == "xla")
        return step.loops[form]

    def _traced(self, method, data, size):
        """One step on a batch of this size, traced once, whatever calls it."""
        specs = _map(lambda tensor: tf.TensorSpec((size, *tensor.shape[1:]), tensor.dtype), data)
        key = method, str(specs)
        if key not in self.steps:
            one, packed = getattr(self.model, method), []

            def step(*tensors):
                remaining = iter(tensors)
                with tf.variable_creator_scope(_made_outside):
                    logs = one(_map(lambda _: next(remaining), data))
                packed.append(logs)
                return keras.tree.flatten(logs), _in_range(tf.compat.v1.get_default_graph())

            function = tf.function(tf.autograph.experimental.do_not_convert(step))
            call = function.get_concrete_function(*_flat(specs))
            logs = packed[-1]
            from_metrics = isinstance(logs, dict) and set(logs) == set(self.model.get_metrics_result())
            self.steps[key] = _Step(call, logs, from_metrics)
            self.state = _state(self.model)  # the first trace builds the model
        return self.steps[key]

    @property
    def predict_function(self):
        """The model's inference, compiled."""
        if self.eager:
            return self.model.predict_step
        if self.predict is None:
            step = tf.autograph.experimental.do_not_convert(self.model.predict_step)
            self.predict = tf.function(step, reduce_retracing=True)
        return self.predict


def _made_outside(next_creator, **arguments):
    """Makes variables of metrics and optimizers outside the graph: else TensorFlow traces their step a second time."""
    if not callable(arguments["initial_value"]):
        return next_creator(**arguments)
    with tf.init_scope():
        return ResourceVariable(**arguments)


def _in_range(graph):
    """Whether all indices that TensorFlow checks and XLA does not are in range, as a tensor of the graph."""
    fine = tf.constant(True)
    for op in graph.get_operations():
        if op.type in INDEXED:
            indices, limit = INDEXED[op.type](op)
            limit = tf.cast(limit, indices.dtype)
            fine = tf.logical_and(fine, tf.reduce_all(tf.logical_and(indices >= 0, indices < limit)))
        elif op.type in INTEGER_DIVISIONS and op.inputs[1].dtype.is_integer:
            fine = tf.logical_and(fine, tf.reduce_all(op.inputs[1] != 0))
    return fine


def _fits_xla(graph):
    """`(whether XLA does the same as TensorFlow and as fast, whether there are indices to watch)`."""
    definition = graph.as_graph_def(add_shapes=True)
    inner = [node for function in definition.library.function for node in function.node_def]
    outer = {node.op for node in definition.node}
    same, watched = set(SAME_IN_XLA.split()), {*INDEXED, *INTEGER_DIVISIONS}
    moving = any(
        op.type in ("Slice", "StridedSlice") and _comes_from_data(op.inputs[1]) for op in graph.get_operations()
    )
    # A loop that TensorFlow differentiates keeps every step's numbers on stacks; a hand-written gradient does not.
    differentiated = any(node.op == "TensorListPushBack" for node in inner)
    products = [
        abs(np.prod([size.size for size in node.attr["_output_shapes"].list.shape[0].dim]))
        for node in inner
        if "MatMul" in node.op and differentiated
    ]
    fits = (
        outer <= same | watched
        and {node.op for node in inner} <= same
        and not moving
        and max(products, default=0) <= LARGE_IN_A_RECURRENCE
    )
    return fits, bool(outer & watched)


def _comes_from_data(tensor):
    """Whether a tensor depends on values of data or variables, and not on constants and shapes alone."""
    seen, waiting = set(), [tensor.op]
    while waiting:
        op = waiting.pop()
        if op.type in ("Placeholder", "ReadVariableOp", "While", "StatelessWhile"):
            return True
        if op not in seen and op.type not in ("Shape", "ShapeN", "Size", "Rank", "VariableShape"):
            seen.add(op)
            waiting += [each.op for each in op.inputs]
    return False


def _compiled(model):
    """The model's compiled functions, kept with the model, so that they go when it goes."""
    state, kept = _state(model), model.__dict__.get("_kerasnotes_functions")
    if kept is None or [*map(id, kept.state)] != [*map(id, state)]:
        # Written past Keras's __setattr__, which would track it as a part of the model.
        kept = model.__dict__["_kerasnotes_functions"] = _Functions(model, state)
    return kept


def _state(model):
    """What compiled functions depend on. Every `compile` makes a new tracker of the loss."""
    if not getattr(model, "compiled", False):
        return []
    settings = (model.optimizer, model._loss_tracker, model.loss, model.jit_compile, model.run_eagerly)
    return [*settings, *model.metrics, *model.trainable_variables]


def _evaluate(model, data, batch_size, callbacks, steps):
    samples = _samples(data)
    batch_size = min(batch_size, samples)
    steps = _steps(steps, keras.config.max_steps_per_epoch())
    order = np.arange(min(samples, (steps or samples) * batch_size))
    functions, hooks = _compiled(model), _batch_hooks(callbacks, "test", lambda: model.stop_evaluating)
    model.stop_evaluating = False
    callbacks.on_test_begin()
    model.reset_metrics()
    if model.stop_evaluating:
        order = order[: batch_size * model.steps_per_execution]
    form = "step" if hooks or functions.eager else "loop"
    logs = _plain(_logs(model, functions.run("test_step", data, order, batch_size, form, hooks)))
    callbacks.on_test_end(logs)
    return logs


def _logs(model, last):
    """An epoch's logs: the metrics' results if these are what the step returned, else what the last step returned."""
    if not isinstance(last, dict):
        raise ValueError(f"model: expected steps that return a dictionary of logs, got {last!r}")
    metrics = model.get_metrics_result()
    return dict(metrics if set(metrics) == set(last) else last)


def _plain(logs):
    """Logs as Keras hands them out: by name, without nesting, numbers as floats, arrays as arrays."""
    found = {}
    for name, value in sorted(logs.items()):
        if isinstance(value, dict):
            found.update(_plain(value))
        else:
            value = value.numpy() if tf.is_tensor(value) else value
            found[name] = value if np.ndim(value) or isinstance(value, (str, bytes)) else float(value)
    return found


def _callback_list(model, callbacks, verbose, epochs, steps, history):
    if isinstance(callbacks, keras.callbacks.CallbackList):
        return callbacks
    return keras.callbacks.CallbackList(
        callbacks,
        add_history=history,
        add_progbar=verbose != 0,
        model=model,
        verbose=verbose,
        epochs=epochs,
        steps=steps,
    )


def _batch_hooks(callbacks, phase, stopped):
    """`(begin, end, stopped)` for every batch if a callback has hooks of batches, else None."""
    names = [f"on_{phase}_batch_begin", f"on_{phase}_batch_end"]
    names += ["on_batch_begin", "on_batch_end"] if phase == "train" else []
    for callback in callbacks.callbacks:
        silent = isinstance(callback, keras.callbacks.ProgbarLogger) and callback.verbose != 1
        for name in names:
            hook = getattr(callback, name)  # of the class, or set on the instance
            if not silent and getattr(hook, "__func__", hook) is not getattr(keras.callbacks.Callback, name):
                return getattr(callbacks, names[0]), getattr(callbacks, names[1]), stopped
    return None


def _order(samples, batch_size, shuffle, seed):
    rng = np.random.default_rng(seed)
    if isinstance(shuffle, str) and shuffle == "batch":
        return np.concatenate(
            [start + rng.permutation(min(batch_size, samples - start)) for start in range(0, samples, batch_size)]
        )
    return rng.permutation(samples) if shuffle else np.arange(samples)


def _is_due(epoch, frequency):
    return epoch + 1 in frequency if isinstance(frequency, (list, tuple)) else (epoch + 1) % frequency == 0


def _steps(steps, most):
    return min(steps or most, most) if most else steps


def _map(function, data):
    return keras.tree.map_structure(lambda each: None if each is None else function(each), data)


def _flat(data):
    return [each for each in keras.tree.flatten(data) if each is not None]


def _as_tensors(x, y=None, sample_weight=None, class_weight=None):
    """What a step gets, `x`, `(x, y)` or `(x, y, sample_weight)`, as tensors; floats in Keras's precision, as Keras."""

    def convert(value):
        value = value.to_numpy() if hasattr(value, "to_numpy") else value
        if not hasattr(value, "__array__") or not np.ndim(value):
            kind = type(value).__name__
            raise ValueError(f"x, y, sample_weight: expected arrays (samples, ...), got {kind}; model.fit takes others")
        tensor = tf.convert_to_tensor(value)
        return tf.cast(tensor, keras.config.floatx()) if tensor.dtype.is_floating else tensor

    if class_weight is not None:
        if sample_weight is not None or keras.tree.is_nested(y):
            raise ValueError("class_weight: expected one output and no sample_weight; give sample_weight alone")
        sample_weight = _weights_of(np.asarray(y), class_weight)
    elif sample_weight is not None and keras.tree.is_nested(y) and not keras.tree.is_nested(sample_weight):
        sample_weight = keras.tree.map_structure(lambda _: sample_weight, y)
    return keras.tree.lists_to_tuples(_map(convert, keras.utils.pack_x_y_sample_weight(x, y, sample_weight)))


def _weights_of(y, class_weight):
    """Sample weights (samples,) from a dictionary of classes to weights, 1 for others; y is ids or one-hot rows."""
    if y.ndim > 1:
        y = y.argmax(axis=-1) if y.shape[-1] != 1 else y[..., 0]
    return np.array([class_weight.get(int(label), 1.0) for label in np.round(y)], keras.config.floatx())


def _split(data, held_out):
    """The first samples, and the last ones as a share of all."""
    samples = _samples(data)
    at = int(samples * (1.0 - held_out))
    if at == 0:
        raise ValueError(f"validation_split: expected samples on both sides, got {held_out} of {samples}")
    return _map(lambda tensor: tensor[:at], data), _map(lambda tensor: tensor[at:], data)


def _samples(data):
    sizes = [tensor.shape[0] for tensor in _flat(data)]
    if not sizes or min(sizes) != max(sizes) or sizes[0] == 0:
        raise ValueError(f"x, y, sample_weight: expected equally many samples, at least one, got {sizes}")
    return sizes[0]


def _positive_whole(name, value):
    if isinstance(value, bool) or not (isinstance(value, (int, np.integer)) and value > 0):
        raise ValueError(f"{name}: expected a positive whole number, got {value!r}")
    return int(value)


def _check_arguments(model, batch_size, epochs, form):
    if not getattr(model, "compiled", False):
        raise ValueError("model: expected a compiled model; call model.compile(optimizer, loss, metrics) first")
    _positive_whole("batch_size", 32 if batch_size is None else batch_size)
    _positive_whole("epochs", epochs)
    if form not in FORMS:
        raise ValueError(f"form: expected one of {', '.join(FORMS)}, got {form!r}")
