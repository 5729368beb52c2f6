"""A linear autoencoder finds the subspace of principal components; depth finds codes that hold more of an image.

An autoencoder learns to give back its input through a narrow layer. What the reader should see: with linear layers and
squared error it ends in the subspace that principal component analysis gives in closed form, and nowhere better; tied
weights are one variable used twice; and a deep network with thirty numbers in the middle rebuilds digits with much less
error than thirty principal components.

Notes: chapter 10, "Autoencoder" (自编码器).
Source: Baldi and Hornik 1989, doi:10.1016/0893-6080(89)90014-2; Hinton and Salakhutdinov 2006,
doi:10.1126/science.1127647.
"""

import keras
import numpy as np
import tensorflow as tf

from kerasnotes import data, plots, training
from kerasnotes.parts import whole

SMOKE = {"images": 512, "epochs": 1, "linear_epochs": 1, "plane_epochs": 1, "hidden": (8,), "batch_size": 512}
FULL = {"epochs": 200, "linear_epochs": 40, "plane_epochs": 50}
SECONDS = 38


class TiedDense(keras.layers.Layer):
    """The way back through a `keras.layers.Dense`, by the transpose of its weights: y = f(x Wᵀ + c), only c is new.

    Args:
        layer: The dense layer whose weights are used, built or not.
        activation: Name of an activation, or None for none.
    """

    def __init__(self, layer, activation=None, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(layer, keras.layers.Dense):
            raise ValueError(f"layer: expected a keras.layers.Dense, got {type(layer).__name__}")
        self.layer, self.activation = layer, keras.activations.get(activation)

    def build(self, input_shape):
        """Take over the other layer's weights. Raises ValueError if that layer has none yet, or sizes do not fit."""
        if not self.layer.built:
            raise ValueError("layer: expected a layer that is built, so that its weights exist; call it first")
        inputs, units = self.layer.kernel.shape
        if input_shape[-1] != units:
            raise ValueError(f"x: expected (batch, {units}), as many as the tied layer has units, got {input_shape}")
        self.bias = self.add_weight(name="bias", shape=(inputs,), initializer="zeros")

    def call(self, x):
        """(batch, units of the tied layer) to (batch, inputs of the tied layer)."""
        return self.activation(tf.matmul(x, self.layer.kernel, transpose_b=True) + self.bias)


def build_autoencoder(code_size, hidden=(), tied=False, inputs=784, activation="relu", seed=0):
    """Dense layers down to a code and back up again, the second half a mirror of the first.

    Args:
        code_size: Units of the middle layer, which is linear.
        hidden: Units of the layers between input and code, from the input on; none gives a linear autoencoder.
        tied: Whether a layer of the decoder uses the transposed weights of its counterpart.
        inputs: Numbers in an input.
        activation: Activation of the hidden layers; code and output are linear.
        seed: Seed of the start.

    Returns:
        `(autoencoder, encoder, decoder)`, three Keras models with shared layers: (batch, inputs) to (batch, inputs),
        to (batch, code_size), and from there back.

    Raises:
        ValueError: If a size is not a positive whole number.
    """
    hidden = [whole("hidden", units) for units in hidden]
    code_size, inputs = whole("code_size", code_size), whole("inputs", inputs)
    seeds = iter(np.random.default_rng(seed).integers(2**31, size=2 * len(hidden) + 2).tolist())

    def dense(units, linear):
        start = keras.initializers.GlorotUniform if linear else keras.initializers.HeUniform
        return keras.layers.Dense(units, None if linear else activation, kernel_initializer=start(seed=next(seeds)))

    x = image = keras.Input((inputs,))
    down = [*(dense(units, False) for units in hidden), dense(code_size, True)]
    for layer in down:
        x = layer(x)
    encoder = keras.Model(image, x, name="encoder")
    x = code = keras.Input((code_size,))
    for number, units in enumerate([*hidden[::-1], inputs]):
        linear = number == len(hidden)
        layer = TiedDense(down[-1 - number], None if linear else activation) if tied else dense(units, linear)
        x = layer(x)
    decoder = keras.Model(code, x, name="decoder")
    return keras.Model(image, decoder(encoder(image)), name="autoencoder"), encoder, decoder


def principal_components(x, k):
    """The k directions in which data spread most, and their mean, in closed form.

    Args:
        x: Data (samples, features).
        k: Number of directions, at most the number of features.

    Returns:
        `(components, mean)`: (k, features) with orthonormal rows, largest variance first, and (features,), float64.
        The best reconstruction from k numbers is `(x - mean) @ components.T @ components + mean`.

    Raises:
        ValueError: If `x` is not (samples, features) with two samples at least, all finite, or k is out of range.

    Source: Pearson 1901, doi:10.1080/14786440109462720; Eckart and Young 1936, doi:10.1007/BF02288367.
    """
    x = np.asarray_chkfinite(x, np.float64)
    if x.ndim != 2 or len(x) < 2:
        raise ValueError(f"x: expected the shape (samples, features) with two samples at least, got {x.shape}")
    if not whole("k", k) <= x.shape[1]:
        raise ValueError(f"k: expected a number from 1 to {x.shape[1]}, got {k!r}")
    mean = x.mean(axis=0)
    covariance = x.T @ x / len(x) - np.outer(mean, mean)
    _, vectors = np.linalg.eigh(covariance)  # ascending
    return vectors[:, ::-1][:, :k].T, mean


def principal_angles(a, b):
    """The angles between two subspaces, each spanned by the rows of a matrix.

    Args:
        a, b: (k, features) each, rows linearly independent.

    Returns:
        Array (k,) in degrees, ascending: 0 for a shared direction, 90 for one at right angles to the other subspace.

    Raises:
        ValueError: If the shapes differ.

    Source: Björck and Golub 1973, doi:10.1090/S0025-5718-1973-0348991-3.
    """
    a, b = np.asarray_chkfinite(a, np.float64), np.asarray_chkfinite(b, np.float64)
    if a.shape != b.shape or a.ndim != 2:
        raise ValueError(f"a, b: expected two matrices of one shape, got {a.shape} and {b.shape}")
    bases = [np.linalg.qr(matrix.T)[0] for matrix in (a, b)]
    cosines = np.linalg.svd(bases[0].T @ bases[1], compute_uv=False)  # descending
    sines = np.linalg.svd(bases[1] - bases[0] @ (bases[0].T @ bases[1]), compute_uv=False)[::-1]  # ascending
    cosines, sines = np.clip(cosines, 0, 1), np.clip(sines, 0, 1)
    return np.degrees(np.where(sines < 0.7, np.arcsin(sines), np.arccos(cosines)))  # whichever is exact there


def squared_error(x, rebuilt):
    """Squared error of images, summed over an image and averaged over images.

    Args:
        x, rebuilt: Arrays of one shape (samples, …).

    Raises:
        ValueError: If the shapes differ, or there is no image.
    """
    x, rebuilt = np.asarray(x, np.float32), np.asarray(rebuilt, np.float32)
    if x.shape != rebuilt.shape or x.size == 0 or x.ndim == 0:
        raise ValueError(f"x, rebuilt: expected images of one shape (samples, …), got {x.shape} and {rebuilt.shape}")
    return float(np.sum((x - rebuilt) ** 2, dtype=np.float64) / len(x))


def example():
    """Images of six numbers that lie in a plane: a linear autoencoder of Keras's, and the plane in closed form."""
    rng = np.random.default_rng(0)
    x = np.float32(rng.normal(size=(500, 2)) @ rng.normal(size=(2, 6)))
    model, encoder, _ = build_autoencoder(code_size=2, inputs=6)
    model.compile(keras.optimizers.Adam(0.02), "mse")
    model.fit(x, x, epochs=15, verbose=0)
    print("squared error, autoencoder:", squared_error(x, model(x)))
    components, mean = principal_components(x, 2)
    print("principal components:      ", squared_error(x, (x - mean) @ components.T @ components + mean))
    print("codes of the first two:", encoder(x[:2]).numpy().round(2).tolist())
    print("angles between the planes, degrees:", principal_angles(model.layers[2].get_weights()[0], components))
    tied, _, _ = build_autoencoder(code_size=2, inputs=6, tied=True)
    print("parameters, free and tied:", model.count_params(), tied.count_params())


def lesson(
    report,
    *,
    images: int = 60000,
    linear_epochs: int = 12,
    epochs: int = 7,
    plane_epochs: int = 3,
    hidden: tuple[int, ...] = (1000, 500, 250),
    batch_size: int = 256,
    seed: int = 0,
):
    """Compare a linear autoencoder with principal components, then train a deep one on MNIST.

    Args:
        report: The report to write to.
        images: Training images (512 to 60000).
        linear_epochs: Training epochs of the linear autoencoder (1 to 10000).
        epochs: Training epochs of the deep autoencoder (1 to 10000).
        plane_epochs: Training epochs of the one with two numbers a code (1 to 10000).
        hidden: Units of the deep one's hidden layers (1 to 4096).
        batch_size: Images in a batch (1 to 512).
        seed: Seed of all random draws (0 to 4294967295).
    """
    (x_train, _), (x_test, y_test) = data.mnist()
    x_train, x_test = (np.float32(x).reshape(len(x), -1) / 255 for x in (x_train[:images], x_test))
    components, mean = principal_components(x_train, 30)
    _linear(report, x_train, x_test, components, mean, linear_epochs, seed)
    _tied(report, x_test, hidden, seed)
    _deep(report, x_train, x_test, y_test, components, mean, hidden, epochs, plane_epochs, batch_size, seed)


def _train(report, model, x, epochs, batch_size, rate, seed):
    steps = epochs * -(-len(x) // batch_size)
    schedule = keras.optimizers.schedules.CosineDecay(
        rate / 10, steps, 0.0, warmup_target=rate, warmup_steps=steps // 10
    )
    model.compile(keras.optimizers.Adam(schedule), "mean_squared_error")
    training.fit(model, x, x, batch_size=batch_size, epochs=epochs, seed=seed, track=report.track)


def _linear(report, x_train, x_test, components, mean, epochs, seed, k=6):
    pca = squared_error(x_train, (x_train - mean) @ components[:k].T @ components[:k] + mean)
    model, _, decoder = build_autoencoder(k, seed=seed)
    _train(report, model, x_train, epochs, 512, 0.01, seed)
    linear = squared_error(x_train, training.predict(model, x_train))
    label = f"a linear autoencoder with {k} units: its error over that of {k} principal components"
    report.at_most(label, got=linear / pca, bound=1.01, trained=True)
    report.at_least("and never below: theirs is the least (Eckart and Young)", got=linear / pca, bound=1 - 1e-6)
    weights = decoder.get_weights()[0]  # (k, 784); the encoder's weights of pixels that are always black never move
    angles = principal_angles(weights, components[:k])
    report.at_most("largest angle between its subspace and theirs, degrees", got=angles.max(), bound=5.0, trained=True)
    unit = weights / np.linalg.norm(weights, axis=1, keepdims=True)
    alignment = np.abs(unit @ components[:k].T).max(axis=1)  # cosine with the nearest component
    report.at_most(
        "yet its units are no components: least cosine with the nearest", alignment.min(), 0.99, trained=True
    )
    projected = components.T @ components
    report.check("x Wᵀ W is a projection where W has orthonormal rows", projected @ projected, projected, atol=1e-8)
    report.correction(
        "what an autoencoder with one layer is",
        course="The loss is x − wᵀxw, by KL divergence; an autoencoder with one layer is principal component analysis; "
        "the two halves share their weights.",
        correct="The loss is ‖x − WᵀWx‖², for vectors: wᵀxw is not even of x's shape. Only with linear layers does it "
        "find the components' subspace, not the components; sharing is optional.",
        shown_by=f"{k} units: error {linear:.2f} against {pca:.2f}, angle {angles.max():.1f}°, but cosines with the "
        f"components down to {alignment.min():.2f}; with weights of their own for both halves",
    )


def _tied(report, x_test, hidden, seed):
    free, tied = (build_autoencoder(30, hidden, tied, seed=seed)[0] for tied in (False, True))
    kernels = [sum(w.size for w in model.get_weights() if w.ndim == 2) for model in (free, tied)]
    report.check("tied weights halve the kernels' parameters", got=2 * kernels[1], want=kernels[0])
    report.check("each kernel of a tied network is one variable", len(tied.weights), want=3 * (len(hidden) + 1))
    model, encoder, decoder = build_autoencoder(5, seed=seed, tied=True)
    w, b, c = encoder.get_weights()[0], encoder.get_weights()[1], model.get_weights()[-1]
    x = x_test[:50]
    report.check("a tied linear autoencoder gives (x W + b) Wᵀ + c", model(x), (x @ w + b) @ w.T + c, atol=1e-5)
    encoder.layers[-1].kernel.assign(2 * w)
    report.check(
        "and twice the weights, in both places at once", decoder(np.eye(5, dtype="float32")), 2 * w.T, atol=1e-5
    )


def _deep(report, x_train, x_test, y_test, components, mean, hidden, epochs, plane_epochs, batch_size, seed):
    pca_codes = (x_test - mean) @ components.T
    pca_rebuilt = pca_codes @ components + mean
    pca = squared_error(x_test, pca_rebuilt)
    model, _, _ = build_autoencoder(30, hidden, seed=seed)
    _train(report, model, x_train, epochs, batch_size, 2e-3, seed)
    rebuilt = training.predict(model, x_test)
    deep = squared_error(x_test, rebuilt)
    shape = "-".join(map(str, (784, *hidden, 30)))
    if len(x_train) == 60000:
        label = "30 principal components: squared error a test image, published 13.87"
        report.check(label, got=pca, want=13.87, rtol=0.01)
    report.at_most(f"{shape}: squared error a test image", got=deep, bound=9.0, trained=True)
    report.table(
        "squared error a test image, 30 numbers a code",
        ["method", "here", "Hinton and Salakhutdinov 2006"],
        [["principal components", pca, 13.87], [f"{shape}, {epochs} epochs", deep, 3.0]],
    )
    report.note(
        f"The published 3.00 took layerwise pretraining and long fine-tuning; {epochs} epochs from a random start end "
        f"{deep - 3.0:.1f} above it."
    )
    plane, encoder, _ = build_autoencoder(2, tuple(-(-units // 4) for units in hidden), seed=seed)
    _train(report, plane, x_train, plane_epochs, batch_size, 2e-3, seed)
    codes = training.predict(encoder, x_test[:2000])
    figure, axes = plots.subplots(1, 3, figsize=(13, 4.4), width_ratios=(1.25, 1, 1))
    shown = np.concatenate([x_test[:8], rebuilt[:8], pca_rebuilt[:8]]).reshape(3, 8, 28, 28)
    plots.tiles(shown, axes[0], ["test images", f"deep, error {deep:.1f}", f"components,\nerror {pca:.1f}"], low=0)
    axes[0].set_title("Rebuilt from 30 numbers")
    scores = (x_test[:2000] - mean) @ components[:2].T
    for ax, points, title in ((axes[1], scores, "Two principal components"), (axes[2], codes, "A deep code of two")):
        plots.classes(points, y_test[:2000], ax)
        ax.set(xlabel="first number", ylabel="second number")
        ax.set_title(title)
    report.figure(
        "reconstructions and codes",
        figure,
        alt="Digits rebuilt by the deep autoencoder are sharp, those from components blurred; in the plane of "
        "codes, zeros and ones stand apart in both planes, and most other digits lie in heaps.",
    )
