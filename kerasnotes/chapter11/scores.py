"""The inception score takes ten digits for a thousand; the Fréchet distance between features sees the repetition.

Two numbers for drawn images, both read off a classifier: is every image clearly one class, with all classes there
(inception score), and do the features have the mean and covariance of the data's (Fréchet distance)? What the reader
should see: sets of digits made worse on purpose, and which number notices which. One distinct digit a class scores
nearly 10, as good as the data. And few samples look worse than many. The bound of 0.985 on the classifier's accuracy
was set after a run had been seen.

Notes: chapter 11, "Evaluating generative models" (生成模型的评价).
Source: Salimans et al. 2016, arXiv:1606.03498, section 4 (inception score); Heusel et al. 2017, arXiv:1706.08500
(Fréchet distance); Barratt and Sharma 2018, arXiv:1801.01973 (what the score overlooks).
"""

import math

import keras
import numpy as np

from kerasnotes import data, plots, training
from kerasnotes.chapter11.judge import build_classifier, classify, draw_images, mode_coverage, trained_classifier
from kerasnotes.parts import shape, whole

SMOKE = {"images": 512, "test_images": 400, "classifier_epochs": 1}
SECONDS = 6


def inception_score(probabilities, splits=10):
    """exp of the mean divergence KL(p(class | image) ‖ p(class)), from 1 to the number of classes.

    It is high when every image is clearly of one class and all classes are there. The data are cut into `splits` parts
    in their order, each with its own p(class): the score of few samples is too low, so the size of a part matters.

    Args:
        probabilities: Array (samples, classes), a classifier's output for each image; rows add up to 1.
        splits: Number of parts, at most one for each sample.

    Returns: `(mean, deviation)` of the score over the parts, two floats; the deviation is that of the parts themselves.

    Raises:
        ValueError: If `probabilities` is empty, has another rank, or rows that are no distribution; or if `splits` is
            not a whole number from 1 to the number of samples.

    Source: Salimans et al. 2016, arXiv:1606.03498, section 4.
    """
    p = np.asarray(probabilities, np.float64)
    if p.ndim != 2 or p.size == 0:
        raise ValueError(f"probabilities: expected (samples, classes), not empty, got an array of shape {p.shape}")
    if not (p >= 0).all() or not np.allclose(p.sum(axis=1), 1, rtol=0, atol=1e-4):
        raise ValueError("probabilities: expected rows of at least 0 that add up to 1, got others")
    if whole("splits", splits) > len(p):
        raise ValueError(f"splits: expected at most {len(p)}, the samples, got {splits!r}")

    def plogp(q):
        return q * np.log(np.where(q > 0, q, 1))

    parts = []
    for part in np.array_split(p, splits):
        marginal = part.mean(axis=0)
        parts.append(np.exp(plogp(part).sum(axis=1).mean() - plogp(marginal).sum()))
    return float(np.mean(parts)), float(np.std(parts))


def frechet_distance(features_a, features_b):
    """Squared Fréchet (Wasserstein-2) distance between the Gaussians with the means and covariances of two sets.

    ‖m_a − m_b‖² + tr(C_a + C_b − 2 (C_a C_b)^½). The product has no symmetric root, but the same trace as that of
    C_a^½ C_b C_a^½, whose eigenvalues are real and not negative: no complex arithmetic is needed.

    Args:
        features_a, features_b: Arrays (samples, features), at least two samples each. The expected distance of small
            samples is too large: compare sets of one size only.

    Returns: The distance, a float, in squared units of the features.

    Raises: ValueError: If an array has another rank, fewer than two samples, other features, or values not finite.

    Source: Heusel et al. 2017, arXiv:1706.08500; Dowson and Landau 1982, doi:10.1016/0047-259X(82)90077-X.
    """
    sets = {"features_a": np.asarray(features_a, np.float64), "features_b": np.asarray(features_b, np.float64)}
    for name, features in sets.items():
        if features.ndim != 2 or len(features) < 2 or features.shape[1] == 0:
            raise ValueError(f"{name}: expected (samples, features) with two samples or more, got {features.shape}")
        if not np.isfinite(features).all():
            raise ValueError(f"{name}: expected finite values, got NaN or infinity")
    a, b = sets.values()
    shape("features_b", b, None, a.shape[1])
    covariance_a, covariance_b = (np.atleast_2d(np.cov(features, rowvar=False)) for features in (a, b))
    values, vectors = np.linalg.eigh(covariance_a)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    mixed = np.linalg.eigvalsh(root @ covariance_b @ root)
    cross = np.sqrt(np.maximum(mixed, 0)).sum()
    distance = np.sum((a.mean(axis=0) - b.mean(axis=0)) ** 2) + np.trace(covariance_a + covariance_b) - 2 * cross
    return float(max(distance, 0.0))  # rounding may leave a tiny negative number for equal sets


def score_images(classifier, images, reference_features, coverage_of=1000):
    """All figures of one set of images: what `dcgan` and `wgan_gp` are judged by.

    Args:
        classifier, images: As in `classify`.
        reference_features: Features of real images, (samples, units): as many as images for a fair distance.
        coverage_of: The classes are looked for among so many of the first images.

    Returns:
        Dictionary: "score" and "deviation" of `inception_score` in 10 parts, "coverage", "frechet", and "confidence",
        the mean of each image's largest probability.

    Raises: As `classify`, `inception_score` and `frechet_distance`.
    """
    features, probabilities = classify(classifier, images)
    score, deviation = inception_score(probabilities)
    return {
        "score": score,
        "deviation": deviation,
        "coverage": mode_coverage(probabilities[:coverage_of].argmax(axis=1), probabilities.shape[1]),
        "frechet": frechet_distance(features, reference_features),
        "confidence": float(probabilities.max(axis=1).mean()),
    }


class Judge:
    """Scores a generator on its way and at its end, with real images beside it.

    For each look on the way `path` has a row (steps, inception score, digits found, Fréchet distance), from a fifth of
    the images, and `strips` ten drawn images of the same noise.

    Args:
        classifier: As in `classify`.
        real: Real images (samples, 28, 28, 1) whose features are the reference: as many will be drawn at the end.
        seed: Seed of all noise.
    """

    def __init__(self, classifier, real, seed=0):
        self.classifier, self.samples, self.seed = classifier, len(real), seed
        self.reference = classify(classifier, real)[0]
        self.path, self.strips = [], []

    def look(self, generator, done):
        """Score the generator after `done` steps."""
        drawn = draw_images(generator, max(100, self.samples // 5), (self.seed, 7))
        scored = score_images(self.classifier, drawn, self.reference)
        self.path.append([done, scored["score"], round(10 * scored["coverage"]), scored["frechet"]])
        self.strips.append(draw_images(generator, 10, (self.seed, 8)))

    def verdict(self, generator, real):
        """Score the generator at the end, and real images beside it; returns both sets of images by name."""
        images = {"drawn digits": draw_images(generator, self.samples, (self.seed, 9)), "test digits": real}
        self.scored = {name: score_images(self.classifier, each, self.reference) for name, each in images.items()}
        return images

    def table(self):
        """Columns and rows of the verdict."""
        rows = [[name, *(round(10 * n) if key == "coverage" else n for key, n in scored.items())]
                for name, scored in self.scored.items()]  # fmt: skip
        return ["images", "inception score", "deviation of 10 parts", "digits found in 1,000", "Fréchet distance",
                "mean confidence"], rows  # fmt: skip


def example():
    """The two scores of made-up probabilities and features, beside their closed forms."""
    rng = np.random.default_rng(0)
    sure = np.eye(10)[np.tile(np.arange(10), 30)]
    print("inception score of sure answers, ten classes in turn:", inception_score(sure)[0])
    print("of one class only:", inception_score(np.eye(10)[np.zeros(300, int)])[0])
    p = rng.dirichlet(np.ones(10), size=300)
    divergence = keras.losses.KLDivergence()(p, np.broadcast_to(p.mean(axis=0), p.shape))  # the mean over the images
    print("by keras.losses.KLDivergence and by ours:", math.exp(divergence), inception_score(p, splits=1)[0])
    features = rng.normal(size=(1000, 3))
    classifier, noise = build_classifier(steps=1), np.float32(rng.uniform(-1, 1, (20, 28, 28, 1)))
    print("all figures of a set:", score_images(classifier, noise, classify(classifier, noise)[0]))
    print("Fréchet distance of a set moved by (3, 4, 0):", frechet_distance(features, features + np.array([3, 4, 0])))


def lesson(report, *, images: int = 60000, test_images: int = 10000, classifier_epochs: int = 4, seed: int = 0):
    """Hold both scores against closed forms, then spoil real digits in several ways and score them.

    Args:
        report: The report to write to.
        images: Training images of the classifier (512 to 60000).
        test_images: Images of each set that is scored (400 to 10000).
        classifier_epochs: Epochs of the classifier (1 to 100).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _closed_forms(report, np.random.default_rng((seed, 1)))
    (x, _), (x_test, y_test) = data.mnist()
    x, x_test = (np.float32(pixels)[..., None] / 127.5 - 1 for pixels in (x[:images], x_test))
    rng = np.random.default_rng((seed, 2))
    picked = rng.permutation(len(x_test))[:test_images]  # the first half of the test set is the easier one
    x_test, y_test = x_test[picked], np.int32(y_test[picked])
    classifier = trained_classifier(data.mnist, training.fit, images, classifier_epochs, seed)
    accuracy = np.mean(classify(classifier, x_test)[1].argmax(axis=1) == y_test)
    report.at_least("the classifier's test accuracy", got=accuracy, bound=0.985, trained=True)

    shuffled = rng.permutation(len(x))[: len(x_test)]
    reference = classify(classifier, x[shuffled])[0]
    sets = _spoilt_sets(x_test, y_test, classify(classifier, x_test)[1], rng)
    scored = {name: score_images(classifier, each, reference) for name, each in sets.items()}
    _what_each_notices(report, scored, len(x_test))
    _few_samples(report, classifier, x[shuffled], x_test)
    report.note("Published scores use the Inception network on photographs: these compare within this chapter only.")
    report.figure(
        "what each score notices",
        _figure(classifier, x_test, y_test, reference, rng),
        alt="Left: with fewer classes the inception score falls to 1 and the Fréchet distance rises. Right: with fewer "
        "distinct digits a class the score stays above 9 down to one digit, while the Fréchet distance rises.",
    )


def _closed_forms(report, rng):
    classes = 7
    uniform, constant = np.full((20, classes), 1 / classes), np.eye(classes)[np.zeros(20, int)]
    report.check("uniform predictions score 1", got=inception_score(uniform, 4), want=(1.0, 0.0))
    report.check("always the same class scores 1", got=inception_score(constant, 4), want=(1.0, 0.0))
    balanced = np.eye(classes)[np.tile(np.arange(classes), 4)]
    report.check("confident and balanced: the number of classes", inception_score(balanced, 4), (float(classes), 0.0))
    ordered = np.repeat(np.eye(classes), 4, axis=0)
    report.check("the same images sorted by class, one class in each part", inception_score(ordered, 7), (1.0, 0.0))

    points = rng.normal(size=(500, 4))
    report.check("equal sets have Fréchet distance 0", frechet_distance(points, points[::-1]), want=0.0, atol=1e-9)
    label = "a shift by (1, 2, 2, 0) has squared length 9"
    report.check(label, got=frechet_distance(points, points + np.array([1, 2, 2, 0])), want=9.0)
    white = points - points.mean(axis=0)
    white = white @ np.linalg.inv(np.linalg.cholesky(np.cov(white, rowvar=False))).T  # covariance exactly 1
    scaled = frechet_distance(white * [1, 2, 3, 4], white * [4, 2, 2, 1])
    report.check("independent features: the sum of (σ − σ′)²", got=scaled, want=3.0**2 + 0 + 1 + 3**2)
    a, b = np.array([[2.0, 1.0], [1.0, 3.0]]), np.array([[4.0, -1.0], [-1.0, 1.0]])
    got = frechet_distance(*(white[:, :2] @ np.linalg.cholesky(c).T for c in (a, b)))
    # tr M^½ = (tr M + 2 (det M)^½)^½ for two eigenvalues
    root = math.sqrt(np.trace(a @ b) + 2 * math.sqrt(np.linalg.det(a) * np.linalg.det(b)))
    report.check("covariances that do not commute, by the trace of a 2 x 2 root", got, np.trace(a + b) - 2 * root)


def _spoilt_sets(x, y, probabilities, rng):
    n = len(x)
    clearest = probabilities.argmax(axis=0)  # (10,): of each class the image that the classifier is surest of
    low = np.flatnonzero(y < 5)
    smeared = (x + np.roll(x, 2, axis=1) + np.roll(x, 2, axis=2) + np.roll(x, (2, 2), axis=(1, 2))) / 4
    return {
        "test digits": x,
        "one distinct digit a class": x[clearest[np.arange(n) % 10]],
        "digits 0 to 4": x[rng.choice(low, n)],
        "smeared over 2 pixels": smeared,
        "noise of 0.8": np.clip(x + 0.8 * rng.normal(size=x.shape).astype(np.float32), -1, 1),
        "noise alone": np.clip(rng.normal(size=x.shape).astype(np.float32), -1, 1),
        "one grey level": np.full_like(x, -1.0),
    }


def _what_each_notices(report, scored, count):
    report.table(
        f"{count:,} images of each kind; Fréchet distances to as many training digits",
        ["images", "inception score", "deviation of 10 parts", "digits found", "Fréchet distance"],
        [[name, s["score"], s["deviation"], round(10 * s["coverage"]), s["frechet"]] for name, s in scored.items()],
    )
    names = "test digits", "one distinct digit a class", "digits 0 to 4", "noise of 0.8"
    real, repeated, half, noisy = map(scored.get, names)
    report.at_least("inception score of the test digits", got=real["score"], bound=9.4, trained=True)
    label = "one digit a class, repeated: its score over the test digits' score"
    report.at_least(label, got=repeated["score"] / real["score"], bound=0.95, trained=True)
    label = "five classes score 5, but for the classifier's errors"
    report.check(label, got=half["score"], want=5.0, rtol=0.05, trained=True)
    label = "its Fréchet distance over that of the test digits"
    report.at_least(label, got=repeated["frechet"] / real["frechet"], bound=10.0, trained=True)
    label = "noise raises the Fréchet distance: over that of the test digits"
    report.at_least(label, got=noisy["frechet"] / real["frechet"], bound=10.0, trained=True)


def _few_samples(report, classifier, real, test):
    """Both scores of real images by how many there are."""
    a, b = (classify(classifier, pixels) for pixels in (real, test))
    sizes = [n for n in (100, 300, 1000, 3000, 10000) if n <= min(len(real), len(test))]
    rows = [[n, *inception_score(b[1][:n]), frechet_distance(a[0][:n], b[0][:n])] for n in sizes]
    columns = ["images in each set", "inception score", "deviation of 10 parts", "Fréchet distance"]
    report.table("real digits against real digits: few samples look worse than many", columns, rows)
    few, most = rows[0], rows[-1]
    report.at_least("Fréchet distance of 100 real digits over that of the most", few[3] / most[3], 5.0, trained=True)
    report.at_least("inception score that 100 real digits lose to the most", most[1] - few[1], 0.5, trained=True)


def _figure(classifier, x, y, reference, rng):
    features, probabilities = classify(classifier, x)
    by_class = [rng.permutation(np.flatnonzero(y == digit)) for digit in range(10)]
    counts = list(range(1, 11))
    fewer_classes = [rng.choice(np.concatenate(by_class[:k]), len(x)) for k in counts]
    distinct = [k for k in (1, 3, 10, 30, 100, 300) if k <= min(map(len, by_class))]
    turns = np.arange(len(x))  # the classes in turn, and within a class its first k images in turn
    fewer_images = [np.array([by_class[i % 10][i // 10 % k] for i in turns]) for k in distinct]
    figure, axes = plots.subplots(1, 2, figsize=(10.5, 4.2))
    panels = (
        (axes[0], counts, fewer_classes, "classes in the set", "Fewer classes: both notice"),
        (axes[1], distinct, fewer_images, "distinct digits a class", "Fewer distinct digits:\nthe score does not"),
    )
    for ax, positions, picks, xlabel, title in panels:
        scores = "inception score", [inception_score(probabilities[pick])[0] for pick in picks]
        distances = "Fréchet distance", [frechet_distance(features[pick], reference) for pick in picks]
        plots.two_scales(positions, scores, distances, xlabel=xlabel, title=title, ax=ax, legend="center right")
        ax.set(ylim=(0, 10.5))
    axes[1].set_xscale("log")
    return figure
