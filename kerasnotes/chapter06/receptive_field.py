"""Every layer sees a larger part of the picture: kernels and strides say how large, and the gradient shows it.

The field that a unit sees follows from kernels and strides alone: (kernel − 1) times the product of the strides below
it is added by every layer. The gradient of a unit shows the same field, for LeNet-5, AlexNet and VGG-16, and besides
that the field is not used evenly: most of what a unit sees is in its middle.

Notes: chapter 06, "Receptive field; scanning with a small network" (感受野, 用多层感知机扫描).
Source: Araujo, Norris, Sim 2019, doi:10.23915/distill.00021 (formula, and the fields of AlexNet and VGG-16);
LeCun et al. 1998, doi:10.1109/5.726791 (LeNet-5); Simonyan and Zisserman 2014, arXiv:1409.1556 (VGG-16, Table 1).
"""

import keras
import numpy as np
import tensorflow as tf
from matplotlib.patches import Rectangle

from kerasnotes import data, plots
from kerasnotes.chapter06.padding import pair
from kerasnotes.chapter06.scanning import as_convolution, multiplications, scan  # noqa: F401

SMOKE = {"stacks": ("LeNet-5",)}
SECONDS = 3

AVERAGES = {
    "MaxPooling2D": keras.layers.AveragePooling2D,
    "GlobalMaxPooling2D": keras.layers.GlobalAveragePooling2D,
}
BENDS = ("Activation", "ReLU", "LeakyReLU", "PReLU", "ELU")


def receptive_field(layers):
    """Side of the square of the picture that one unit depends on, and the step from a unit to its neighbour.

    Args:
        layers: Pairs `(kernel, stride)` of convolutions and poolings, from the picture on.

    Returns: `(size, jump)`, both in pixels.
    Raises: ValueError: If there is no layer, or an entry is not a pair of positive integers.
    Source: Araujo, Norris, Sim 2019, doi:10.23915/distill.00021.
    """
    layers, size, jump = list(layers), 1, 1
    if not layers:
        raise ValueError("layers: expected at least one pair (kernel, stride), got none")
    for layer in layers:
        kernel, stride = pair("layers", layer)
        size, jump = size + (kernel - 1) * jump, jump * stride
    return size, jump


def gradient_map(model, layer_name):
    """How much one unit in the middle of a layer depends on every pixel.

    Only where a unit looks matters, so a copy is made in which nothing can cancel: positive weights, average instead of
    maximum pooling, no bends, one channel a layer, in double precision.

    Args:
        model: A `keras.Sequential` or functional model of one picture of fixed size, channels last. Its layers' outputs
            must not fall when an input rises, once weights are positive; so no softmax below the layer.
        layer_name: Name of the layer.

    Returns: Array (height, width) of non-negative numbers; zero where the unit does not look.
    Raises: ValueError: If the model has no such layer, or no single input of fixed size.
    """
    names = [layer.name for layer in model.layers]
    if layer_name not in names:
        raise ValueError(f"layer_name: expected one of {', '.join(names)}, got {layer_name!r}")
    shape = model.inputs[0].shape[1:]
    if len(model.inputs) != 1 or len(shape) != 3 or None in shape:
        raise ValueError(f"model: expected one input (height, width, channels) of fixed size, got {shape}")
    part = keras.Model(model.inputs[0], model.get_layer(layer_name).output)
    picture = keras.Input(shape, dtype="float64")
    copy = keras.models.clone_model(part, input_tensors=picture, clone_function=_simplified)
    for weight in copy.weights:
        weight.assign(np.full(weight.shape, 1 / np.prod(weight.shape[:-1])))
    x = tf.ones((1, *shape), tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(x)
        units = copy(x, training=False)
        if len(units.shape) == 4:  # else a layer without places, as after Flatten
            units = units[:, (units.shape[1] - 1) // 2, (units.shape[2] - 1) // 2]
    return tf.reduce_sum(tape.gradient(units, x)[0], axis=-1).numpy()


def empirical_receptive_field(model, layer_name):
    """Height and width of the field of one unit in the middle of a layer, measured by its gradient.

    Args, as for `gradient_map`. A unit whose field reaches over the border sees less than the formula says.

    Returns: `(height, width)` in pixels.
    Raises: ValueError: As `gradient_map`, and if the field of one among several units is cut off by the border.
    """
    seen = gradient_map(model, layer_name) > 0
    units = model.get_layer(layer_name).output.shape[1:-1]
    sizes = []
    for axis in (0, 1):
        places = np.flatnonzero(seen.any(axis=1 - axis))
        sizes.append(int(places[-1] - places[0] + 1))
        if len(units) == 2 and units[axis] > 1 and sizes[axis] == seen.shape[axis]:
            raise ValueError(f"model: expected a picture larger than the field of {layer_name}, got {seen.shape}")
    return tuple(sizes)


def _simplified(layer):
    """The same layer with one channel, without a bend, and averaging instead of taking the maximum."""
    kind = type(layer).__name__
    if kind in BENDS:
        return keras.layers.Activation("linear", name=layer.name, dtype="float64")
    config = {**layer.get_config(), "dtype": "float64"}
    changes = {"activation": "linear", "filters": 1, "units": 1, "groups": 1}
    config.update({name: value for name, value in changes.items() if name in config})
    return AVERAGES.get(kind, type(layer)).from_config(config)


def example():
    """Two convolutions and a pooling: the formula, and the pixels that change a unit of Keras's network."""
    layers = keras.layers
    model = keras.Sequential([
        keras.Input((20, 20, 1)), layers.Conv2D(2, 3), layers.MaxPooling2D(2), layers.Conv2D(2, 3, name="last"),
    ])  # fmt: skip
    print("by the formula:", receptive_field([(3, 1), (2, 2), (3, 1)]))
    print("by the gradient:", empirical_receptive_field(model, "last"))
    for row in gradient_map(model, "last")[6:16:3]:
        print(np.round(100 * row[6:16], 1), "% of the gradient")


def lesson(
    report, *, stacks: tuple[str, ...] = ("three 3 × 3", "strides 2", "LeNet-5", "AlexNet", "VGG-16"), seed: int = 0
):
    """Measure what the units of networks see, layer by layer.

    Args:
        report: The report to write to.
        stacks: Networks whose fields are measured (one of: three 3 × 3, strides 2, LeNet-5, AlexNet, VGG-16).
        seed: Seed of their weights, which do not matter (0 to 4294967295).
    """
    fields = {name: _measure(report, name, seed) for name in stacks}
    _draw_fields(report, fields, data.mnist()[1][0][0])


def _stack(name):
    """Layers `(name, kernel, stride)`, where names with a "pool" or "S" are poolings; padding; size of the picture."""
    if name == "VGG-16":
        layers = []
        for block, count in enumerate((2, 2, 3, 3, 3), 1):
            layers += [(f"conv{block}_{n + 1}", 3, 1) for n in range(count)] + [(f"pool{block}", 2, 2)]
        return layers, "same", 256
    return {
        "three 3 × 3": ([(f"conv{n}", 3, 1) for n in (1, 2, 3)], "valid", 24),
        "strides 2": ([(f"conv{n}", 3, 2) for n in (1, 2, 3, 4)], "valid", 95),
        "LeNet-5": ([("C1", 5, 1), ("S2", 2, 2), ("C3", 5, 1), ("S4", 2, 2), ("C5", 5, 1)], "valid", 48),
        "AlexNet": ([("conv1", 11, 4), ("pool1", 3, 2), ("conv2", 5, 1), ("pool2", 3, 2), ("conv3", 3, 1),
                     ("conv4", 3, 1), ("conv5", 3, 1), ("pool5", 3, 2)], "same", 384),
    }[name]  # fmt: skip


def _measure(report, name, seed):
    """Check every layer of a stack. Returns names, fields and the model."""
    layers, padding, side = _stack(name)
    model = keras.Sequential([keras.Input((side, side, 1))])
    for number, (layer, kernel, stride) in enumerate(layers):
        if "pool" in layer or "S" in layer:
            model.add(keras.layers.MaxPooling2D(kernel, stride, padding, name=layer))
        else:
            start = keras.initializers.GlorotUniform(seed=seed % 2**31 + number)
            model.add(
                keras.layers.Conv2D(4, kernel, stride, padding, activation="relu", kernel_initializer=start, name=layer)
            )
    formula = [receptive_field([layer[1:] for layer in layers[: n + 1]]) for n in range(len(layers))]
    names = [layer for layer, _, _ in layers]
    measured = [empirical_receptive_field(model, each) for each in report.track(names, name)]
    report.check(f"{name}: the formula is the support of the gradient, at every layer",
                 got=[[size, size] for size, _ in formula], want=measured)  # fmt: skip
    published = {
        "three 3 × 3": [("as one 7 × 7 (Simonyan and Zisserman 2014)", "conv3", 7)],
        "LeNet-5": [("its 32 × 32 input (LeCun et al. 1998)", "C5", 32)],
        "AlexNet": [("195 (Araujo et al. 2019)", "pool5", 195)],
        "VGG-16": [("212 (Araujo et al. 2019)", "pool5", 212), ("196, without the last pooling", "conv5_3", 196)],
    }
    for what, layer, size in published.get(name, []):
        report.check(f"{name}, {layer}: {what}", got=measured[names.index(layer)], want=(size, size))
    report.table(f"{name}: receptive fields, pixels", ["layer", "kernel", "stride", "sees", "jump"],
                 [[*layer, *field] for layer, field in zip(layers, formula, strict=True)])  # fmt: skip
    return names, [size for size, _ in formula], model


def _draw_fields(report, fields, digit):
    figure, (left, middle, right) = plots.subplots(1, 3, figsize=(13, 4.2), width_ratios=[1, 1.25, 1.1])
    shown = "LeNet-5" if "LeNet-5" in fields else next(iter(fields))
    names, sizes, _ = fields[shown]
    left.imshow(np.pad(digit, 2), cmap="gray", extent=(0, 32, 32, 0))
    for number, (name, size) in enumerate(zip(names, sizes, strict=True)):
        start = (32 - size) / 2
        look = {"edgecolor": f"C{(1, 3)[number % 2]}", "linestyle": ("-", "--", ":", "-.", "-")[number % 5]}
        left.add_patch(Rectangle((start, start), size, size, fill=False, linewidth=2.5, **look))
        left.plot([], [], color=look["edgecolor"], linestyle=look["linestyle"], label=f"{name}: {size}")
    left.set(xlim=(-0.5, 32.5), ylim=(32.5, -0.5), xlabel="pixels", ylabel="pixels")
    left.grid(False)
    left.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    left.set_title(f"{shown}: what a unit sees")
    curves = {name: sizes for name, (_, sizes, _) in fields.items()}
    plots.curves({name: np.arange(1, len(sizes) + 1) for name, sizes in curves.items()}, curves, marker="o",
                 xlabel="layer", ylabel="receptive field, pixels", yscale="log", ax=middle)  # fmt: skip
    middle.set_title("Growth with depth and strides")
    name, (layers, sizes, model) = list(fields.items())[-1]
    strength = gradient_map(model, layers[-2])
    colours = right.imshow(strength / strength.max())
    rows, columns = np.nonzero(strength)
    corner, sides = (columns.min() - 0.5, rows.min() - 0.5), (np.ptp(columns) + 1, np.ptp(rows) + 1)
    right.add_patch(Rectangle(corner, *sides, fill=False, edgecolor="C1", linewidth=2))
    right.grid(False)
    right.set(xlabel="pixels", ylabel="pixels")
    right.set_title(f"{name}, {layers[-2]}: sees {sizes[-2]},\nmostly its middle")
    figure.colorbar(colours, ax=right, label="gradient, relative")
    report.figure(
        "The receptive field grows from layer to layer",
        figure,
        alt="Left: a digit with nested squares of 5, 6, 14, 16 and 32 pixels, the fields of LeNet-5's layers. Middle: "
        "receptive field against layer, steeper after every stride. Right: the gradient of one unit, a bright middle "
        "that fades towards the framed border of its field.",
    )
