"""The tasks of chapter 10: components, noise, anomalies, and the parts of a variational autoencoder."""

import math

import numpy as np

from kerasnotes.course.tasks import Mend, Predict, Value, Write, Wrong

# --- 10.1 Rebuild from principal components -------------------------------------------------------------------------


def _without_centring(x, k):
    _, vectors = np.linalg.eigh(x.T @ x / len(x))
    rows = vectors[:, -k:].T
    return x @ rows.T @ rows


def _smallest_directions(x, k):
    mean = x.mean(axis=0)
    _, vectors = np.linalg.eigh(np.cov(x, rowvar=False))
    rows = vectors[:, :k].T
    return (x - mean) @ rows.T @ rows + mean


def _mean_not_added(x, k):
    mean = x.mean(axis=0)
    _, vectors = np.linalg.eigh(np.cov(x, rowvar=False))
    rows = vectors[:, -k:].T
    return (x - mean) @ rows.T @ rows


def _rows_of_eigh(x, k):
    mean = x.mean(axis=0)
    _, vectors = np.linalg.eigh(np.cov(x, rowvar=False))
    rows = vectors[-k:]
    return (x - mean) @ rows.T @ rows + mean


def _one_mean_for_all(x, k):
    mean = x.mean()
    _, vectors = np.linalg.eigh((x - mean).T @ (x - mean) / len(x))
    rows = vectors[:, -k:].T
    return (x - mean) @ rows.T @ rows + mean


def _check_components(trial):
    x = np.array([[0.0, 1.0], [6.0, 1.0], [3.0, 3.0], [3.0, -1.0]])  # the mean is (3, 1); they spread most along x
    trial.equal("four points and one direction", x, 1)
    for samples, features, k in ((20, 5, 2), (50, 8, 3), (12, 4, 1)):
        x = trial.rng.normal(size=(samples, features)) @ trial.rng.normal(size=(features, features)) + 5.0
        trial.equal(f"{samples} samples of {features} features, {k} directions", x, k, rtol=1e-6)
    left, sizes, right = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    want = (left[:, :2] * sizes[:2]) @ right[:2] + x.mean(axis=0)
    trial.check("equals NumPy's singular value decomposition, cut off after two", got=trial.answer(x, 2), want=want)
    trial.check("with every direction nothing is lost", got=trial.answer(x, 4), want=x)


components = Write(
    title="Rebuild data from principal components",
    lesson="chapter10.autoencoder",
    minutes=15,
    text=r"""A linear autoencoder can do no better than principal components. Rebuild samples from $k$ numbers each,
$\hat x = (x - m) C^T C + m$, with $m$ the mean of each feature and the rows of $C$ the $k$ eigenvectors
of the covariance with the largest eigenvalues. NumPy is enough: `np.cov(x, rowvar=False)` and
`np.linalg.eigh`.""",
    start='''import numpy as np


def rebuild(x, k):
    """Rebuild every sample from its k principal components.

    Args:
        x: Array (samples, features) of floats, with two features or more.
        k: Number of directions, from 1 to the number of features.

    Returns:
        Array (samples, features).
    """
    ...
''',
    name="rebuild",
    solution_code="""import numpy as np


def rebuild(x, k):
    mean = x.mean(axis=0)  # (features,)
    _, vectors = np.linalg.eigh(np.cov(x, rowvar=False))  # eigenvalues ascend, eigenvectors are columns
    c = vectors[:, -k:].T  # (k, features): the last columns, as rows
    codes = (x - mean) @ c.T  # (samples, k)
    return codes @ c + mean
""",
    hints=(
        "Three steps: move the data so that their mean is zero, keep $k$ coordinates of each sample, move back.",
        "`np.linalg.eigh` returns eigenvalues in *ascending* order, and the eigenvectors as the *columns* of a matrix.",
        "So $C$ is `vectors[:, -k:].T`, of the shape (k, features); their order does not matter here.",
        "The codes are `(x - mean) @ C.T`, of the shape (samples, k); from there `codes @ C + mean`.",
    ),
    check=_check_components,
    wrong=(
        Wrong(_without_centring, "the data were not centred: directions are those of spread around the mean, x − m"),
        Wrong(_smallest_directions, "these are the directions of least spread: `eigh` sorts eigenvalues upwards"),
        Wrong(_mean_not_added, "the result is still centred at zero: the mean has to be added again"),
        Wrong(_rows_of_eigh, "rows of `eigh`'s matrix were taken: its *columns* are the eigenvectors"),
        Wrong(_one_mean_for_all, "one mean of all numbers was taken off: every feature has a mean of its own (axis 0)"),
    ),
)

# --- 10.2 Noise that is cut off -------------------------------------------------------------------------------------

_PIXELS, _IGNORANT = 784, 53.0


def _measured_noise(deviation):
    from kerasnotes.chapter10.autoencoder import squared_error
    from kerasnotes.chapter10.denoising import add_noise

    black = np.zeros((2000, _PIXELS), np.float32)
    return squared_error(black, add_noise(black, deviation))


def _below(t):
    return (1 + math.erf(t / math.sqrt(2))) / 2


def _noise_error(deviation):
    edge = 1 / deviation  # noise above it is cut to 1
    density = math.exp(-(edge**2) / 2) / math.sqrt(2 * math.pi)
    return _PIXELS * (deviation**2 * (_below(edge) - 0.5 - edge * density) + 1 - _below(edge))


def _equal_deviation():
    low, high = 0.1, 2.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _noise_error(middle) < _IGNORANT else (low, middle)
    return low


_NOT_CUT = "that is the error of noise that is not cut off: below 0 and above 1 it is"
_CUT_BELOW = "only the cut at 0 is in it: noise above 1 is cut, too"
_ONE_PIXEL = "that is the error of one pixel: an image has 784"

noise = Predict(
    title="Noise that is cut off",
    lesson="chapter10.denoising",
    minutes=20,
    text=r"""Normal noise of deviation σ is added to a black image (784 pixels, all 0), and cut off to $[0, 1]$. With
the normal density φ, its distribution function Φ and $a = 1/σ$, a pixel's expected squared error is
$σ^2 \int_0^a t^2 φ(t)\,dt + 1 − Φ(a)$. What is the sum over the pixels for σ = 0.5, σ = 1 and σ → ∞? An
answer that never looks at the image has the error 53, say: from which σ on is it better than leaving the
noise as it is? (The last number has no formula: find it by bisection.)""",
    hints=(
        "A pixel's noise is cut to 0 in half of the cases, and to 1 whenever σ t > 1: hence 1 − Φ(a).",
        "The integral by parts: t² φ(t) is t times t φ(t), and −φ(t) has the slope t φ(t).",
        "The integral is Φ(a) − ½ − a φ(a), since −t φ(t) has the slope t² φ(t) − φ(t).",
        "Φ(a) is `(1 + math.erf(a / 2**0.5)) / 2`. For the last number halve an interval until it is small, or "
        "draw the curve. For σ → ∞ every pixel is 0 or 1.",
    ),
    values=(
        Value(
            "error_half",
            "expected squared error of an image at σ = 0.5",
            want=lambda: _measured_noise(0.5),
            wrong=(
                (lambda: _PIXELS * 0.25, _NOT_CUT),
                (lambda: _PIXELS * 0.125, _CUT_BELOW),
                (lambda: _noise_error(0.5) / _PIXELS, _ONE_PIXEL),
                (
                    lambda: _noise_error(0.5) - _PIXELS * (1 - _below(2.0)),
                    "pixels that are cut to 1 are missing: they have an error of 1 each",
                ),
            ),
        ),
        Value(
            "error_one",
            "the same at σ = 1",
            want=lambda: _measured_noise(1.0),
            wrong=(
                (lambda: float(_PIXELS), _NOT_CUT),
                (lambda: _PIXELS / 2, _CUT_BELOW),
                (lambda: _noise_error(1.0) / _PIXELS, _ONE_PIXEL),
                (
                    lambda: _noise_error(1.0) - _PIXELS * (1 - _below(1.0)),
                    "pixels that are cut to 1 are missing: they have an error of 1 each",
                ),
                (lambda: 4 * _noise_error(0.5), "four times the first: what is cut off does not grow with σ"),
            ),
        ),
        Value(
            "error_endless",
            "where it goes for σ → ∞",
            want=lambda: _measured_noise(1000.0),
            wrong=(
                (lambda: float(_PIXELS), "half of the pixels are cut to 0, where a black image has no error"),
                (lambda: 0.5, _ONE_PIXEL),
            ),
        ),
        Value(
            "equal_deviation",
            "the σ at which the error is 53, to one per cent",
            want=_equal_deviation,
            wrong=(
                (lambda: math.sqrt(_IGNORANT / _PIXELS), _NOT_CUT),
                (lambda: _equal_deviation() ** 2, "that is the variance: the deviation was asked for"),
            ),
        ),
    ),
    solution_code="""import math


def phi(t):  # the density
    return math.exp(-t * t / 2) / math.sqrt(2 * math.pi)


def below(t):  # its distribution function
    return (1 + math.erf(t / math.sqrt(2))) / 2


def error(deviation):
    a = 1 / deviation  # a pixel's noise stays as it is from 0 to a deviations, and is cut to 0 or 1 elsewhere
    return 784 * (deviation**2 * (below(a) - 0.5 - a * phi(a)) + 1 - below(a))


error_half = error(0.5)
error_one = error(1.0)  # less than four times as much: more and more pixels are cut, to an error of 1 at most
error_endless = 784 / 2  # half of the pixels are 0, the others 1
low, high = 0.1, 2.0  # the error grows with the deviation, so halving finds where it is 53
for _ in range(60):
    middle = (low + high) / 2
    low, high = (middle, high) if error(middle) < 53 else (low, middle)
equal_deviation = low  # 53 is about what the mean training image costs as the answer to a test digit
""",
)

# --- 10.3 The area under the ROC curve ------------------------------------------------------------------------------


def _ties_win(scores, labels):
    strange, known = scores[labels == 1], scores[labels == 0]
    return float(np.mean(strange[:, None] >= known))


def _ties_lose(scores, labels):
    strange, known = scores[labels == 1], scores[labels == 0]
    return float(np.mean(strange[:, None] > known))


def _known_above_strange(scores, labels):
    strange, known = scores[labels == 1], scores[labels == 0]
    return float(np.mean(strange[:, None] < known) + np.mean(strange[:, None] == known) / 2)


def _counted_pairs(scores, labels):
    strange, known = scores[labels == 1], scores[labels == 0]
    return float(np.sum(strange[:, None] > known) + np.sum(strange[:, None] == known) / 2)


def _all_pairs(scores, labels):
    return _counted_pairs(scores, labels) / len(scores) ** 2


def _accuracy(scores, labels):
    return float(np.mean((scores > 0.5) == (labels == 1)))


def _check_area(trial):
    from kerasnotes.chapter10.anomaly import roc_auc

    scores, labels = np.array([0.9, 0.7, 0.7, 0.4, 0.2]), np.array([1, 0, 1, 1, 0])
    trial.equal("five images, of which the first, third and fourth are strange", scores, labels)
    trial.equal("the same scores squared: their order is the same", scores**2, labels)
    trial.equal("with the opposite sign: the order is turned round", -scores, labels)
    for samples in (6, 40, 300):
        labels = (trial.rng.random(samples) < 0.3).astype(int)
        labels[:2] = 0, 1  # both kinds are there
        scores = np.round(trial.rng.normal(size=samples) + labels, 1)  # rounded, so that some are equal
        trial.equal(f"{samples} images, some with equal scores", scores, labels)
    trial.check("equals the lesson's, which sorts", got=trial.answer(scores, labels), want=roc_auc(scores, labels))
    trial.check("all scores equal: chance", got=trial.answer(np.ones(5), np.array([1, 0, 1, 1, 0])), want=0.5)


area = Write(
    title="The area under the ROC curve, pair by pair",
    lesson="chapter10.anomaly",
    minutes=10,
    text=r"""Write the area under the ROC curve by its plain meaning: go through all pairs of a strange image and a
known one, and count how often the strange one has the higher score; a pair with equal scores counts one
half. Before you run it: five images have the scores 0.9, 0.7, 0.7, 0.4, 0.2, and the first, third and
fourth are strange. What is the area, what does it become if all scores are squared, and what if their
signs are changed?""",
    start='''import numpy as np


def area_under_curve(scores, labels):
    """The share of pairs (strange, known) in which the strange image scores higher; equal scores count one half.

    Args:
        scores: Array (images,) of floats.
        labels: Array (images,): 1 for a strange image, 0 for a known one; both are there.

    Returns:
        Float from 0 to 1.
    """
    ...
''',
    name="area_under_curve",
    solution_code="""import numpy as np


def area_under_curve(scores, labels):
    strange, known = scores[labels == 1], scores[labels == 0]
    above = np.mean(strange[:, None] > known)  # all pairs: (strange, 1) against (known,)
    equal = np.mean(strange[:, None] == known)
    return float(above + equal / 2)
""",
    hints=(
        "Separate the scores first: `scores[labels == 1]` and `scores[labels == 0]`. Two loops are good enough.",
        "Each pair is worth 1, ½ or 0. Divide the sum by the number of pairs, 3 · 2 for the five images.",
        "Without loops: `strange[:, None] > known` is a table (strange, known) of all comparisons.",
        "The area is the mean of `strange[:, None] > known` plus half the mean of `strange[:, None] == known`.",
    ),
    check=_check_area,
    wrong=(
        Wrong(_ties_win, "a pair with equal scores counts as won here: it is worth one half"),
        Wrong(_ties_lose, "a pair with equal scores counts as lost here: it is worth one half"),
        Wrong(_known_above_strange, "the pairs in which the *known* image scores higher were counted"),
        Wrong(_counted_pairs, "that is a number of pairs: divide it by how many pairs there are"),
        Wrong(_all_pairs, "divided by the pairs of all images: only pairs of a strange and a known one count"),
        Wrong(_accuracy, "that is a share of right answers at the threshold 0.5: the area needs no threshold"),
    ),
)

# --- 10.4 The divergence between two Gaussians ----------------------------------------------------------------------


def _divergence_parts(mean1, log_variance1, mean2, log_variance2):
    import tensorflow as tf

    ratio = tf.exp(log_variance1 - log_variance2)
    distance = tf.square(mean1 - mean2) * tf.exp(-log_variance2)
    return ratio, distance, log_variance1 - log_variance2


def _divergence_mean(*gaussians):
    import tensorflow as tf

    ratio, distance, logarithm = _divergence_parts(*gaussians)
    return 0.5 * tf.reduce_mean(ratio + distance - 1.0 - logarithm, axis=-1)


def _divergence_without_half(*gaussians):
    import tensorflow as tf

    ratio, distance, logarithm = _divergence_parts(*gaussians)
    return tf.reduce_sum(ratio + distance - 1.0 - logarithm, axis=-1)


def _divergence_of_batch(*gaussians):
    import tensorflow as tf

    ratio, distance, logarithm = _divergence_parts(*gaussians)
    return 0.5 * tf.reduce_sum(ratio + distance - 1.0 - logarithm)


def _divergence_log_sign(*gaussians):
    import tensorflow as tf

    ratio, distance, logarithm = _divergence_parts(*gaussians)
    return 0.5 * tf.reduce_sum(ratio + distance - 1.0 + logarithm, axis=-1)


def _divergence_without_one(*gaussians):
    import tensorflow as tf

    ratio, distance, logarithm = _divergence_parts(*gaussians)
    return 0.5 * tf.reduce_sum(ratio + distance - logarithm, axis=-1)


def _divergence_turned(mean1, log_variance1, mean2, log_variance2):
    from kerasnotes.chapter10.kl_divergence import gaussian_kl

    return gaussian_kl(mean2, log_variance2, mean1, log_variance1)


def _divergence_log_deviation(mean1, log_variance1, mean2, log_variance2):
    from kerasnotes.chapter10.kl_divergence import gaussian_kl

    return gaussian_kl(mean1, 2 * log_variance1, mean2, 2 * log_variance2)


def _divergence_unscaled(mean1, log_variance1, mean2, log_variance2):
    import tensorflow as tf

    ratio, _, logarithm = _divergence_parts(mean1, log_variance1, mean2, log_variance2)
    return 0.5 * tf.reduce_sum(ratio + tf.square(mean1 - mean2) - 1.0 - logarithm, axis=-1)


def _check_divergence(trial):
    import tensorflow as tf

    zeros = tf.zeros((1, 2))
    trial.equal("means (1, 3) and (0, 0), all variances 1", tf.constant([[1.0, 3.0]]), zeros, zeros, zeros)
    four = tf.math.log([[4.0, 4.0]])
    trial.equal("equal means, variances 4 and 1", zeros, four, zeros, zeros)
    trial.equal("means (2, 0) and (0, 0), variances 4 both", tf.constant([[2.0, 0.0]]), four, zeros, four)
    for shape in ((3, 1), (4, 5), (2, 20)):
        parts = [tf.constant(trial.rng.normal(size=shape), tf.float32) for _ in range(4)]
        trial.equal(f"random Gaussians {shape}", *parts)
        trial.gradient(f"the gradient, {shape}", *parts, of=(0, 1, 2, 3))
    same = parts[:2] * 2
    trial.check("from itself, every Gaussian has divergence 0", got=trial.answer(*same), want=tf.zeros(2))


divergence = Write(
    title="The divergence between two Gaussians",
    lesson="chapter10.kl_divergence",
    minutes=10,
    text=r"""Write KL(N₁ ‖ N₂) = ½ Σ (σ₁²/σ₂² + (μ₁ − μ₂)²/σ₂² − 1 − ln(σ₁²/σ₂²)) for Gaussians with independent
dimensions, given by their means and by the *logarithms of their variances*, ln σ². The sum runs over the
dimensions, so that the result is one number for each row of the batch.""",
    start='''import tensorflow as tf


def gaussian_kl(mean1, log_variance1, mean2, log_variance2):
    """The divergence KL(N1 || N2) in nats.

    Args:
        mean1, log_variance1: Means and natural logarithms of the variances of the first (batch, dimensions).
        mean2, log_variance2: Those of the second, of the same shape.

    Returns:
        Tensor (batch,), summed over the dimensions.
    """
    ...
''',
    name="gaussian_kl",
    solution="chapter10.kl_divergence.gaussian_kl",
    hints=(
        "Four terms in a bracket, one sum over the last axis, one half in front.",
        "A variance is `tf.exp(log_variance)`, a ratio of variances the exponential of a difference of logarithms.",
        "The logarithm of the ratio needs no `tf.math.log`: it is `log_variance1 - log_variance2`.",
        "`0.5 * tf.reduce_sum(ratio + distance - 1 - (log_variance1 - log_variance2), axis=-1)`, where distance is "
        "`(mean1 - mean2)**2 / tf.exp(log_variance2)`.",
    ),
    check=_check_divergence,
    wrong=(
        Wrong(_divergence_mean, "a mean over the dimensions: dimensions are added up, only a batch is averaged"),
        Wrong(_divergence_without_half, "twice too large: the factor ½ is missing"),
        Wrong(_divergence_of_batch, "everything was summed: keep one number for each row (`axis=-1`)"),
        Wrong(_divergence_log_sign, "the logarithm has the wrong sign: it is taken off"),
        Wrong(_divergence_without_one, "the −1 of each dimension is missing: equal Gaussians must have divergence 0"),
        Wrong(_divergence_turned, "this is KL(N2 ‖ N1): the divergence is not symmetric"),
        Wrong(_divergence_log_deviation, "ln σ² was taken for ln σ: its exponential is the variance already"),
        Wrong(_divergence_unscaled, "the distance of the means has to be divided by the second variance"),
    ),
)

# --- 10.5 What a code costs -----------------------------------------------------------------------------------------


def _divergence_of(mean1, variance1, mean2, variance2):
    from kerasnotes.chapter10.kl_divergence import gaussian_kl

    one = [[[mean1]], [[math.log(variance1)]], [[mean2]], [[math.log(variance2)]]]
    return float(gaussian_kl(*one)[0])


price = Predict(
    title="What a code costs",
    lesson="chapter10.kl_divergence",
    minutes=15,
    text=r"""A code of one number takes the means +√(1 − σ²) and −√(1 − σ²) equally often, with the same variance σ²
each time, so that all codes together have mean 0 and variance 1. Show that its divergence from $N(0, 1)$
is −½ ln σ². For which σ does it cost one bit, ln 2 nats? Then take $N(2, 0.01)$, mean 2 and *variance*
0.01: what is its divergence from the standard normal, what is that in the other direction, and how much
of the latter comes from the distance between the means?""",
    hints=(
        "Put μ² = 1 − σ² into ½ (μ² + σ² − 1 − ln σ²): most of it cancels.",
        "−½ ln σ² = −ln σ, and that shall be ln 2.",
        "From the standard normal: ½ (4 + 0.01 − 1 − ln 0.01). In the other direction σ₁² = 1 and "
        "σ₂² = 0.01, so that both fractions are divided by 0.01.",
        "The distance's term is ½ (μ₁ − μ₂)² / σ₂².",
    ),
    values=(
        Value(
            "one_bit_deviation",
            "the deviation σ of a code that costs one bit",
            want=lambda: math.exp(-math.log(2)),
            rtol=1e-3,
            wrong=(
                (lambda: 0.25, "that is its variance: the deviation was asked for"),
                (lambda: 1 / math.sqrt(2), "the ½ in front of ln σ² was lost"),
                (lambda: math.exp(-1), "that code costs one nat: a bit is ln 2 nats"),
            ),
        ),
        Value(
            "to_standard",
            "divergence of N(2, 0.01) from N(0, 1), nats",
            want=lambda: _divergence_of(2, 0.01, 0, 1),
            wrong=(
                (lambda: _divergence_of(2, 0.0001, 0, 1), "0.01 was squared: it is the variance already"),
                (lambda: 2 * _divergence_of(2, 0.01, 0, 1), "twice too large: the factor ½ is missing"),
                (lambda: _divergence_of(2, 100, 0, 1), "the variance is 0.01, so that its logarithm is negative"),
                (lambda: 3.01 / 2 + math.log(0.01) / 2, "the logarithm is taken off: −ln 0.01 is positive"),
                (lambda: _divergence_of(0, 1, 2, 0.01), "this is the other direction"),
            ),
        ),
        Value(
            "from_standard",
            "divergence of N(0, 1) from N(2, 0.01), nats",
            want=lambda: _divergence_of(0, 1, 2, 0.01),
            wrong=(
                (lambda: _divergence_of(0, 1, 2, 0.0001), "0.01 was squared: it is the variance already"),
                (lambda: 2 * _divergence_of(0, 1, 2, 0.01), "twice too large: the factor ½ is missing"),
                (lambda: _divergence_of(2, 0.01, 0, 1), "the two directions differ: here σ₂² is 0.01"),
                (lambda: _divergence_of(0, 1, 0, 0.01), "the distance between the means is missing"),
                (lambda: (100 + 4 - 1 - math.log(100)) / 2, "the distance has to be divided by the second variance"),
                (
                    lambda: (499 + math.log(100)) / 2,
                    "the ratio of the variances is 100 here, and its logarithm is taken off",
                ),
            ),
        ),
        Value(
            "from_distance",
            "the part of the last number that the means' distance makes, nats",
            want=lambda: _divergence_of(0, 0.01, 2, 0.01),
            wrong=(
                (lambda: 2.0, "the distance has to be divided by the second variance"),
                (lambda: 400.0, "twice too large: the factor ½ is missing"),
                (lambda: 50.0, "that is the part of the variances' ratio"),
            ),
        ),
    ),
    solution_code="""import math

one_bit_deviation = math.exp(-math.log(2))  # −ln σ = ln 2
to_standard = 0.5 * (0.01 + 2**2 - 1 - math.log(0.01))
from_standard = 0.5 * (1 / 0.01 + 2**2 / 0.01 - 1 - math.log(1 / 0.01))
from_distance = 0.5 * 2**2 / 0.01  # twenty deviations of the second Gaussian: that is what makes it so large
""",
)

# --- 10.6 A draw with slopes ----------------------------------------------------------------------------------------


def _spread_is_variance(mean, log_variance, noise):
    import tensorflow as tf

    return mean + tf.exp(log_variance) * noise


def _spread_is_logarithm(mean, log_variance, noise):
    return mean + log_variance * noise


def _spread_is_root(mean, log_variance, noise):
    import tensorflow as tf

    return mean + tf.sqrt(log_variance) * noise


def _cut_off(mean, log_variance, noise):
    import tensorflow as tf

    return tf.stop_gradient(mean + tf.exp(log_variance / 2) * noise)


def _mean_stretched(mean, log_variance, noise):
    import tensorflow as tf

    return (mean + noise) * tf.exp(log_variance / 2)


def _check_draw(trial):
    import tensorflow as tf

    four = tf.math.log([[4.0, 4.0]])
    trial.equal("means 1 and 2, variance 4, noise 0 and 1", tf.constant([[1.0, 2.0]]), four, tf.constant([[0.0, 1.0]]))
    for shape in ((1, 1), (3, 2), (4, 20)):
        parts = [tf.constant(trial.rng.normal(size=shape), tf.float32) for _ in range(3)]
        trial.equal(f"random Gaussians {shape}", *parts)
        trial.gradient(f"slopes by mean and log variance, {shape}", *parts, of=(0, 1))
    noise = tf.constant(trial.rng.normal(size=(20000, 1)), tf.float32)
    drawn = trial.answer(tf.fill((20000, 1), 3.0), tf.fill((20000, 1), math.log(0.25)), noise)
    spread = 0.5 * np.std(noise)
    trial.check(
        "draws from N(3, 0.25) have the noise's deviation, times one half", got=np.std(drawn), want=spread, rtol=1e-3
    )


draw = Write(
    title="A draw that has slopes",
    lesson="chapter10.reparameterization",
    minutes=5,
    text=r"""Write a draw from N(μ, σ²) so that a gradient passes to μ and to ln σ². The noise ε is drawn from a
standard normal beforehand and given to your function; the encoder puts out ln σ², not σ.""",
    start='''import tensorflow as tf


def draw(mean, log_variance, noise):
    """A draw from the Gaussian with this mean and variance, through which gradients pass.

    Args:
        mean: Tensor (batch, latent).
        log_variance: Tensor (batch, latent), natural logarithms of the variances.
        noise: Tensor (batch, latent), draws from a standard normal.

    Returns:
        Tensor (batch, latent).
    """
    ...
''',
    name="draw",
    solution_code="""import tensorflow as tf


def draw(mean, log_variance, noise):
    deviation = tf.exp(log_variance / 2)  # the root of the variance
    return mean + deviation * noise
""",
    hints=(
        "The noise has mean 0 and deviation 1. Stretch it to the deviation σ, then move it to the mean.",
        "If ln σ² is given, σ = exp(ln σ² / 2).",
        "z = μ + exp(ln σ² / 2) ε. Use TensorFlow's functions, so that the gradient passes.",
    ),
    check=_check_draw,
    wrong=(
        Wrong(_spread_is_variance, "the noise is stretched by the variance: halve the logarithm to get the deviation"),
        Wrong(_spread_is_logarithm, "the noise is stretched by the logarithm itself: its exponential is the variance"),
        Wrong(
            _spread_is_root, "the root of the logarithm was taken: the root of the variance is exp(log_variance / 2)"
        ),
        Wrong(_cut_off, "the draw is cut off from mean and log variance: no gradient passes"),
        Wrong(_mean_stretched, "the mean is stretched, too: stretch the noise first, then add the mean"),
    ),
)

# --- 10.7 A bound that does not tighten -----------------------------------------------------------------------------

_MANY_DRAWS = '''import math

import tensorflow as tf


def log_normal(z, mean, log_variance):
    """ln N(z; mean, variance), summed over the last axis."""
    squares = tf.square(z - mean) * tf.exp(-log_variance)
    return -0.5 * tf.reduce_sum(squares + log_variance + math.log(2 * math.pi), axis=-1)


def many_draws_bound(z, mean, log_variance, log_likelihood):
    """The bound of K draws on ln p(x), for each image.

    Args:
        z: Draws from q(z | x), a tensor (K, batch, latent).
        mean, log_variance: Mean and log variance of q(z | x), each (batch, latent).
        log_likelihood: ln p(x | z) of each draw (K, batch); for real images these are numbers like -100.

    Returns:
        Tensor (batch,).
    """
    log_prior = log_normal(z, tf.zeros_like(mean), tf.zeros_like(mean))  # ln p(z), (K, batch)
    log_guess = log_normal(z, mean, log_variance)  # ln q(z | x), (K, batch)
    log_weights = log_prior + log_likelihood - log_guess
{last}
'''


def _log_weights(z, mean, log_variance, log_likelihood):
    from kerasnotes.chapter10.kl_divergence import gaussian_log_density

    prior = gaussian_log_density(z, 0.0, 0.0)
    return prior + log_likelihood - gaussian_log_density(z, mean, log_variance)


def _mean_of_logs(*parts):
    import tensorflow as tf

    return tf.reduce_mean(_log_weights(*parts), axis=0)


def _sum_of_weights(*parts):
    import tensorflow as tf

    return tf.reduce_logsumexp(_log_weights(*parts), axis=0)


def _best_draw(*parts):
    import tensorflow as tf

    return tf.reduce_max(_log_weights(*parts), axis=0)


def _underflow(*parts):
    import tensorflow as tf

    return tf.math.log(tf.reduce_mean(tf.exp(_log_weights(*parts)), axis=0))


def _over_batch(*parts):
    import tensorflow as tf

    weights = _log_weights(*parts)
    return tf.reduce_logsumexp(weights, axis=1) - tf.math.log(tf.cast(tf.shape(weights)[1], tf.float32))


def _check_many_draws(trial):
    import tensorflow as tf

    zeros = tf.zeros((1, 1))
    likelihoods = tf.math.log([[0.2], [0.4], [0.6]])
    trial.equal("three draws whose p(x | z) is 0.2, 0.4, 0.6", tf.zeros((3, 1, 1)), zeros, zeros, likelihoods)
    for draws, batch, latent in ((1, 3, 2), (5, 2, 3), (50, 4, 2)):
        mean, log_variance = (tf.constant(trial.rng.normal(size=(batch, latent)) / 2, tf.float32) for _ in range(2))
        z = mean + tf.exp(log_variance / 2) * tf.constant(trial.rng.normal(size=(draws, batch, latent)), tf.float32)
        likelihoods = tf.constant(trial.rng.normal(size=(draws, batch)) - 3, tf.float32)
        trial.equal(f"{draws} draws for {batch} images", z, mean, log_variance, likelihoods)
        trial.gradient(f"the gradient, {draws} draws", z, mean, log_variance, likelihoods, of=(0, 1, 2, 3))
    trial.equal("images of hundreds of nats", z, mean, log_variance, likelihoods - 500.0)


many_draws = Mend(
    title="A bound that more draws do not tighten",
    lesson="chapter10.likelihood_bounds",
    minutes=10,
    text=r"""With $K$ draws, ln (1/K Σ_k p(x, z_k)/q(z_k | x)) should come nearer to ln p(x) as $K$ grows. This program
gives a bound, but one that is as loose with a hundred draws as with one, on average. Mend it. The mended
program must also stand images of hundreds of nats, whose weights are too small for float32.""",
    start=_MANY_DRAWS.format(last="    return tf.reduce_mean(log_weights, axis=0)"),
    name="many_draws_bound",
    solution_code=_MANY_DRAWS.format(
        last="""    # ln of the mean of exp(log_weights); reduce_logsumexp takes the largest out first: no underflow
    return tf.reduce_logsumexp(log_weights, axis=0) - math.log(z.shape[0])"""
    ),
    hints=(
        "Compare the last line with the formula: in which order are mean and logarithm taken?",
        "The weights are `tf.exp(log_weights)`; the formula has the logarithm of *their* mean.",
        "exp(−500) is 0 in float32. `tf.reduce_logsumexp(x, axis)` computes ln Σ exp(x) without that trouble.",
        "A mean is a sum divided by $K$, so take ln K off: `tf.reduce_logsumexp(…, axis=0) - math.log(K)`.",
    ),
    check=_check_many_draws,
    wrong=(
        Wrong(_mean_of_logs, "this is still the mean of the logarithms; the formula has the logarithm of the mean"),
        Wrong(_sum_of_weights, "the logarithm of a sum: divide by the number of draws, which takes ln K off"),
        Wrong(_best_draw, "that is the best draw alone: the mean over all draws is asked for"),
        Wrong(_underflow, "right in principle, but e to the −500 is 0 in float32: use `tf.reduce_logsumexp`"),
        Wrong(_over_batch, "the mean was taken over the images: the draws are along axis 0"),
    ),
)

# --- 10.8 The evidence lower bound ----------------------------------------------------------------------------------


def _bound_parts(x, mean, log_variance, noise, decoder):
    import tensorflow as tf

    from kerasnotes.chapter10.kl_divergence import gaussian_kl_to_standard
    from kerasnotes.chapter10.likelihood_bounds import pixel_cross_entropy

    logits = decoder(mean + tf.exp(log_variance / 2) * noise)
    return pixel_cross_entropy(x, logits), gaussian_kl_to_standard(mean, log_variance)


def _bound_is_loss(*parts, decoder):
    pixels, code = _bound_parts(*parts, decoder)
    return pixels + code


def _bound_code_added(*parts, decoder):
    pixels, code = _bound_parts(*parts, decoder)
    return code - pixels


def _bound_pixels_averaged(x, *parts, decoder):
    pixels, code = _bound_parts(x, *parts, decoder)
    return -pixels / x.shape[-1] - code


def _bound_code_averaged(x, mean, *parts, decoder):
    pixels, code = _bound_parts(x, mean, *parts, decoder)
    return -pixels - code / mean.shape[-1]


def _bound_all_averaged(x, mean, *parts, decoder):
    pixels, code = _bound_parts(x, mean, *parts, decoder)
    return -pixels / x.shape[-1] - code / mean.shape[-1]


def _bound_code_doubled(*parts, decoder):
    pixels, code = _bound_parts(*parts, decoder)
    return -pixels - 2 * code


def _bound_without_code(*parts, decoder):
    return -_bound_parts(*parts, decoder)[0]


def _bound_without_draw(x, mean, log_variance, noise, decoder):
    pixels, code = _bound_parts(x, mean, log_variance, 0 * noise, decoder)
    return -pixels - code


def _bound_wide_draw(x, mean, log_variance, noise, decoder):
    import tensorflow as tf

    pixels, code = _bound_parts(x, mean, log_variance, noise * tf.exp(log_variance / 2), decoder)
    return -pixels - code


def _bound_of_batch(*parts, decoder):
    import tensorflow as tf

    pixels, code = _bound_parts(*parts, decoder)
    return tf.reduce_mean(-pixels - code)


def _bound_bare_logarithms(x, mean, log_variance, noise, decoder):
    import tensorflow as tf

    _, code = _bound_parts(x, mean, log_variance, noise, decoder)
    p = tf.sigmoid(decoder(mean + tf.exp(log_variance / 2) * noise))
    return tf.reduce_sum(x * tf.math.log(p) + (1 - x) * tf.math.log(1 - p), axis=-1) - code


def _bound_white_only(x, mean, log_variance, noise, decoder):
    import tensorflow as tf

    _, code = _bound_parts(x, mean, log_variance, noise, decoder)
    logits = decoder(mean + tf.exp(log_variance / 2) * noise)
    return tf.reduce_sum(x * tf.math.log_sigmoid(logits), axis=-1) - code


def _check_bound(trial):
    import keras
    import tensorflow as tf

    def undecided(z):  # every pixel has the logit 0, the probability one half
        return tf.zeros((z.shape[0], 3))

    x, zeros = tf.constant([[1.0, 0.0, 1.0]]), tf.zeros((1, 2))
    label = "three pixels of probability ½, a code that costs 1 nat"
    trial.equal(label, x, tf.ones((1, 2)), zeros, zeros, decoder=undecided)
    for batch, latent, pixels in ((2, 2, 4), (3, 1, 5), (4, 5, 30)):
        kernel = tf.constant(trial.rng.normal(size=(latent, pixels)), tf.float32)

        def decode(z, kernel=kernel):
            return z @ kernel

        x = tf.constant(trial.rng.random((batch, pixels)) < 0.5, tf.float32)
        code = [tf.constant(trial.rng.normal(size=(batch, latent)), tf.float32) for _ in range(3)]
        trial.equal(f"{batch} images of {pixels} pixels, codes of {latent}", x, *code, decoder=decode)
        trial.gradient(f"slopes by mean and log variance, codes of {latent}", x, *code, of=(1, 2), decoder=decode)
    trial.equal("a decoder that is very sure", x, *code, decoder=lambda z: 100.0 * z @ kernel)
    zeros = tf.zeros_like(code[0])
    entropy = keras.losses.binary_crossentropy(x, decode(code[2]), from_logits=True)
    want, got = -pixels * entropy, trial.answer(x, zeros, zeros, code[2], decoder=decode)
    trial.check("without a cost of the code, −30 times Keras's binary cross-entropy", got=got, want=want)


bound = Write(
    title="The evidence lower bound",
    lesson="chapter10.likelihood_bounds",
    minutes=20,
    text=r"""Write ELBO(x) = E[ln p(x | z)] − KL(q(z | x) ‖ N(0, 1)) for each image, with one draw z = μ + σ ε in place
of the expectation. Pixels are independent: with the decoder's logits $a$, ln p(x | z) = Σ_i x_i ln
sigmoid(a_i) + (1 − x_i) ln (1 − sigmoid(a_i)), summed over the pixels. The divergence has its closed
form, summed over the code.""",
    start='''import tensorflow as tf


def elbo(x, mean, log_variance, noise, decoder):
    """The evidence lower bound of each image, in nats, with one draw of its code.

    Args:
        x: Images (batch, pixels) of zeros and ones, float32.
        mean, log_variance: Mean and log variance of each image's code (batch, latent).
        noise: Draws from a standard normal (batch, latent), for the draw of the code.
        decoder: Function from codes (batch, latent) to logits (batch, pixels).

    Returns:
        Tensor (batch,), the estimate of the bound on ln p(x) by this draw, not a loss.
    """
    ...
''',
    name="elbo",
    solution_code="""import tensorflow as tf


def elbo(x, mean, log_variance, noise, decoder):
    z = mean + tf.exp(log_variance / 2) * noise
    # −ln p(x | z): from logits, so that a decoder that is very sure does not take the logarithm of 0
    pixels = tf.nn.sigmoid_cross_entropy_with_logits(labels=x, logits=decoder(z))  # (batch, pixels)
    code = tf.square(mean) + tf.exp(log_variance) - 1.0 - log_variance  # (batch, latent)
    return -tf.reduce_sum(pixels, axis=-1) - 0.5 * tf.reduce_sum(code, axis=-1)
""",
    hints=(
        "Three steps: draw the code, decode it, and take what the code costs off what the pixels are worth.",
        "`tf.nn.sigmoid_cross_entropy_with_logits(labels=x, logits=a)` is −ln p of every pixel by itself.",
        "Sum over the pixels, and over the numbers of the code: `axis=-1` both times, and no mean anywhere.",
        "The code costs ½ Σ (μ² + σ² − 1 − ln σ²). The bound is minus the summed cross-entropy, minus that.",
    ),
    check=_check_bound,
    wrong=(
        Wrong(_bound_is_loss, "that is the loss, the *negative* bound: a bound on ln p(x) of pixels is below 0"),
        Wrong(_bound_code_added, "the divergence was added: a code that costs more makes the bound lower"),
        Wrong(_bound_pixels_averaged, "a mean over the pixels (Keras's `binary_crossentropy` takes one): sum them"),
        Wrong(_bound_code_averaged, "a mean over the numbers of the code: its cost is the sum"),
        Wrong(_bound_all_averaged, "means over pixels and code: both are sums, only a batch is averaged"),
        Wrong(_bound_code_doubled, "the code costs twice too much: the ½ of the divergence is missing"),
        Wrong(_bound_without_code, "the code is free here: take its divergence from N(0, 1) off"),
        Wrong(_bound_without_draw, "the mean was decoded: the bound needs a draw, mean + deviation · noise"),
        Wrong(_bound_wide_draw, "the noise is stretched by the variance: the deviation is exp(log_variance / 2)"),
        Wrong(_bound_of_batch, "one number for the whole batch: keep one for each image"),
        Wrong(_bound_bare_logarithms, "where the decoder is very sure, ln 0 comes up: compute ln p from the logits"),
        Wrong(_bound_white_only, "only pixels that are 1 count here: those that are 0 have (1 − x) ln(1 − p)"),
    ),
)

# --- 10.9 An autoencoder that says nothing --------------------------------------------------------------------------

_VAE_LOSS = '''import keras
import tensorflow as tf


def vae_loss(x, logits, mean, log_variance):
    """The loss of a variational autoencoder: the negative evidence lower bound, in nats, averaged over the batch.

    Args:
        x: Images (batch, pixels) with values from 0 to 1.
        logits: What the decoder makes of one drawn code of each image (batch, pixels).
        mean, log_variance: Mean and log variance of the codes (batch, latent).

    Returns:
        Scalar tensor.
    """
{pixels}
    code = 0.5 * tf.reduce_sum(tf.square(mean) + tf.exp(log_variance) - 1.0 - log_variance, axis=-1)
    return tf.reduce_mean(pixels + code)


def build(pixels, latent):
    encoder = keras.Sequential([keras.Input((pixels,)), keras.layers.Dense(64, "relu"), keras.layers.Dense(2 * latent)])
    decoder = keras.Sequential([keras.Input((latent,)), keras.layers.Dense(64, "relu"), keras.layers.Dense(pixels)])
    return encoder, decoder


def train_step(encoder, decoder, optimizer, x):
    with tf.GradientTape() as tape:
        mean, log_variance = tf.split(encoder(x), 2, axis=-1)
        z = mean + tf.exp(log_variance / 2) * tf.random.normal(tf.shape(mean))
        loss = vae_loss(x, decoder(z), mean, log_variance)
    weights = encoder.trainable_variables + decoder.trainable_variables
    optimizer.apply(tape.gradient(loss, weights), weights)
    return loss
'''


def _vae_parts(x, logits, mean, log_variance):
    from kerasnotes.chapter10.kl_divergence import gaussian_kl_to_standard
    from kerasnotes.chapter10.likelihood_bounds import pixel_cross_entropy

    return pixel_cross_entropy(x, logits), gaussian_kl_to_standard(mean, log_variance)


def _loss_pixels_averaged(x, logits, mean, log_variance):
    import tensorflow as tf

    pixels, code = _vae_parts(x, logits, mean, log_variance)
    return tf.reduce_mean(pixels / x.shape[-1] + code)


def _loss_all_averaged(x, logits, mean, log_variance):
    import tensorflow as tf

    pixels, code = _vae_parts(x, logits, mean, log_variance)
    return tf.reduce_mean(pixels / x.shape[-1] + code / mean.shape[-1])


def _loss_code_averaged(x, logits, mean, log_variance):
    import tensorflow as tf

    pixels, code = _vae_parts(x, logits, mean, log_variance)
    return tf.reduce_mean(pixels + code / mean.shape[-1])


def _loss_batch_summed(*parts):
    import tensorflow as tf

    return tf.reduce_sum(tf.add(*_vae_parts(*parts)))


def _loss_without_code(*parts):
    import tensorflow as tf

    return tf.reduce_mean(_vae_parts(*parts)[0])


def _loss_code_taken_off(*parts):
    import tensorflow as tf

    return tf.reduce_mean(tf.subtract(*_vae_parts(*parts)))


def _check_vae_loss(trial):
    import tensorflow as tf

    x, codes = tf.constant([[1.0, 0.0, 1.0, 0.0]] * 2), tf.ones((2, 2))
    parts = x, tf.zeros((2, 4)), codes, tf.zeros((2, 2))
    trial.equal("one image of 4 undecided pixels, a code that costs 1 nat", *(part[:1] for part in parts))
    trial.equal("two such images", *parts)
    for batch, pixels, latent in ((3, 5, 2), (4, 784, 20)):
        x = tf.constant(trial.rng.random((batch, pixels)), tf.float32)
        logits = tf.constant(trial.rng.normal(size=(batch, pixels)), tf.float32)
        code = [tf.constant(trial.rng.normal(size=(batch, latent)), tf.float32) for _ in range(2)]
        trial.equal(f"{batch} images of {pixels} pixels, codes of {latent}", x, logits, *code)
        trial.gradient(f"its gradient, {pixels} pixels", x, logits, *code, of=(1, 2, 3))


mended_loss = Mend(
    title="A variational autoencoder whose codes say nothing",
    lesson="chapter10.vae",
    minutes=10,
    text=r"""This variational autoencoder trains without an error. After a short while the codes cost nearly nothing:
their divergence from $N(0, 1)$ falls towards 0, whatever image is shown, and every digit is rebuilt as
the same grey blot. Its loss is below 1, while the page's is around a hundred nats an image. Mend
`vae_loss`; the rest may stay as it is.""",
    start=_VAE_LOSS.format(
        pixels="    pixels = keras.losses.binary_crossentropy(x, logits, from_logits=True)  # (batch,)"
    ),
    name="vae_loss",
    solution_code=_VAE_LOSS.format(
        pixels="""    # Keras's binary_crossentropy is a mean over the pixels: 784 times too cheap against the code
    pixels = tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(labels=x, logits=logits), axis=-1)  # (batch,)"""
    ),
    hints=(
        "Two costs are added up. Which one is so small that nobody would pay the other one for it?",
        "The probability of an image is a product over its pixels, so ln p(x | z) is a sum over all of them.",
        "What does `keras.losses.binary_crossentropy` do along the last axis? Try it with logits 0 and 4 pixels.",
        "It takes the mean. Multiply by the number of pixels, or sum `tf.nn.sigmoid_cross_entropy_with_logits` "
        "over `axis=-1`.",
    ),
    check=_check_vae_loss,
    wrong=(
        Wrong(_loss_pixels_averaged, "the pixels' cost is a mean over the pixels: against it any code is too dear"),
        Wrong(_loss_all_averaged, "now both are means: that mends the proportion for one size only; both are sums"),
        Wrong(_loss_code_averaged, "the pixels are right now, but the code's cost must stay a sum"),
        Wrong(_loss_batch_summed, "the batch was summed: over images a mean is taken"),
        Wrong(_loss_without_code, "the code's cost is gone: then nothing keeps codes near the standard normal"),
        Wrong(_loss_code_taken_off, "the code's cost was taken off: in a loss both parts are added"),
    ),
)

TASKS = (components, noise, area, divergence, price, draw, many_draws, bound, mended_loss)
