"""Where all is Gaussian, the bound and the divergence of guessed codes from the right ones add up to ln p(x) exactly.

A decoder that is linear, with noise of one size on every pixel, leaves no integral open: the likelihood, the right
codes, the bound for any Gaussian guess and its divergence are closed forms. What the reader should see: bound and
divergence trade places and their sum stays; the best guess with independent numbers leaves a gap unless the decoder's
columns are at right angles; so two decoders that give every image the same likelihood differ in their bound, and
training on the bound prefers one of them.

Notes: chapter 10, "The bound, exactly" (精确的下界).
Source: Kingma and Welling 2014, arXiv:1312.6114, section 2.2; Tipping and Bishop 1999, doi:10.1111/1467-9868.00196 (the
linear model); Lucas et al. 2019, arXiv:1911.02469 (its bound).
"""

import numpy as np

from kerasnotes import plots
from kerasnotes.chapter10.kl_divergence import gaussian_kl_to_standard
from kerasnotes.parts import positive, shape

SMOKE = {"guesses": 5}
SECONDS = 1


def linear_evidence(x, w, b, variance):
    """ln p(x) of the model that draws codes z from N(0, 1) and images from N(w z + b, variance): N(b, w wᵀ + variance).

    Args:
        x: Images (batch, pixels).
        w: The decoder's weights (pixels, codes).
        b: Its biases (pixels,).
        variance: Variance of the noise on each pixel, positive.

    Returns:
        Array (batch,), in nats.

    Raises:
        ValueError: If the shapes do not fit, or the variance is not positive.

    Source: Tipping and Bishop 1999.
    """
    x, w, b = _checked(x, w, b, variance)
    return gaussian_log_density(x, b, w @ w.T + variance * np.eye(len(w)))


def linear_posterior(x, w, b, variance):
    """The right codes of an image, p(z | x): Gaussian, with a mean for each image and one covariance for all.

    Args, Raises: As for `linear_evidence`.

    Returns:
        `(mean, covariance)`: (batch, codes) and (codes, codes).
    """
    x, w, b = _checked(x, w, b, variance)
    covariance = np.linalg.inv(np.eye(w.shape[1]) + w.T @ w / variance)
    return (x - b) @ w @ covariance / variance, covariance


def linear_elbo(x, mean, covariance, w, b, variance):
    """The bound on ln p(x) for guessed codes q = N(mean, covariance): E ln p(x | z) − KL(q ‖ N(0, 1)), without draws.

    Args:
        x, w, b, variance: As in `linear_evidence`.
        mean: Means of the guessed codes (batch, codes).
        covariance: Their covariance (codes, codes), the same for all images.

    Returns:
        Array (batch,), in nats.

    Raises:
        ValueError: As `linear_evidence`, or if the guess does not fit.
    """
    x, w, b = _checked(x, w, b, variance)
    mean, covariance = _guess(mean, covariance, len(x), w.shape[1])
    squares = np.sum((x - mean @ w.T - b) ** 2, axis=1) + np.trace(w @ covariance @ w.T)  # E ‖x − w z − b‖²
    pixels = -squares / (2 * variance) - len(w) / 2 * np.log(2 * np.pi * variance)
    return pixels - full_gaussian_kl(mean, covariance, np.zeros_like(mean), np.eye(w.shape[1]))


def full_gaussian_kl(mean1, covariance1, mean2, covariance2):
    """KL(N₁ ‖ N₂) of Gaussians whose dimensions may depend on each other.

    Args:
        mean1, mean2: Means (batch, dimensions).
        covariance1, covariance2: Covariances (dimensions, dimensions), the same for all rows.

    Returns:
        Array (batch,), in nats.

    Raises:
        ValueError: If the shapes differ.
    """
    mean1 = shape("mean1", np.asarray(mean1, np.float64), None, None)
    mean1, covariance1 = _guess(mean1, covariance1, *mean1.shape)
    mean2, covariance2 = _guess(mean2, covariance2, *mean1.shape)
    precision = np.linalg.inv(covariance2)
    logarithms = np.linalg.slogdet(covariance2)[1] - np.linalg.slogdet(covariance1)[1]
    distance = np.einsum("bi,ij,bj->b", mean1 - mean2, precision, mean1 - mean2)
    return (np.trace(precision @ covariance1) + distance - mean1.shape[1] + logarithms) / 2


def gaussian_log_density(x, mean, covariance):
    """ln N(x; mean, covariance) of each row of x (batch, dimensions), with one mean or a row of them; (batch,)."""
    difference = np.asarray(x, np.float64) - mean
    squares = np.einsum("bi,ij,bj->b", difference, np.linalg.inv(covariance), difference)
    return -(squares + np.linalg.slogdet(covariance)[1] + difference.shape[1] * np.log(2 * np.pi)) / 2


def _checked(x, w, b, variance):
    w = shape("w", np.asarray_chkfinite(w, np.float64), None, None)
    positive("variance", variance)
    x = shape("x", np.asarray_chkfinite(x, np.float64), None, len(w))
    return x, w, shape("b", np.asarray_chkfinite(b, np.float64), len(w))


def _guess(mean, covariance, batch, codes):
    mean = shape("mean", np.asarray_chkfinite(mean, np.float64), batch, codes)
    covariance = shape("covariance", np.asarray_chkfinite(covariance, np.float64), codes, codes)
    return mean, covariance


def example():
    """One image of two pixels, codes of one number: the three terms for three guesses; a VAE's divergence and ours."""
    x, w, b, variance = np.array([[2.0, 1.0]]), np.array([[1.0], [1.0]]), np.zeros(2), 0.5
    mean, covariance = linear_posterior(x, w, b, variance)
    print(
        "ln p(x):", linear_evidence(x, w, b, variance)[0], " the right code:", mean[0, 0], "±", covariance[0, 0] ** 0.5
    )
    for guess, spread in ((0.0, 1.0), (1.0, 0.5), (mean[0, 0], covariance[0, 0])):
        q = np.array([[guess]]), np.array([[spread]])
        bound, gap = linear_elbo(x, *q, w, b, variance)[0], full_gaussian_kl(*q, mean, covariance)[0]
        print(f"guess N({guess:.2f}, {spread:.2f}): bound {bound:.4f} + divergence {gap:.4f} = {bound + gap:.4f}")
    by_the_vae = gaussian_kl_to_standard(np.array([[1.0]]), np.log([[0.5]]))  # the loss term of a VAE
    ours = full_gaussian_kl(np.array([[1.0]]), np.array([[0.5]]), np.zeros((1, 1)), np.eye(1))
    print("divergence from the prior, as in a VAE and here:", float(by_the_vae[0]), ours[0])


def lesson(report, *, guesses: int = 200, pixels: int = 8, codes: int = 2, seed: int = 0):
    """Hold the three terms against each other, then turn the codes.

    Args:
        report: The report to write to.
        guesses: Random guesses of the codes, each with an image of its own (2 to 100000).
        pixels: Pixels of an image (2 to 100).
        codes: Numbers in a code (2 to 5).
        seed: Seed of model, images and guesses (0 to 4294967295).
    """
    rng = np.random.default_rng(seed)
    model = rng.normal(size=(pixels, codes)), rng.normal(size=pixels), 0.5
    x = rng.normal(size=(guesses, codes)) @ model[0].T + model[1] + 0.5**0.5 * rng.normal(size=(guesses, pixels))
    _integral(report, x, model)
    _identity(report, rng, x, model)
    _independent(report, x, model)
    turned = _turned(report, x, *model)
    _figure(report, x[:1], model, turned)


def _integral(report, x, model):
    """The likelihood by a sum over a grid of codes: the only number here that does not come from a formula."""
    w, b, variance = model[0][:, :2], *model[1:]
    z = np.linspace(-8, 8, 321)
    grid = np.stack(np.meshgrid(z, z), axis=-1).reshape(-1, 2)
    joint = -np.sum(grid**2, axis=1) / 2 - np.log(2 * np.pi)
    joint = joint - np.sum((x[0] - grid @ w.T - b) ** 2, axis=1) / (2 * variance)
    joint = joint - len(w) / 2 * np.log(2 * np.pi * variance)
    summed = np.log(np.sum(np.exp(joint - joint.max()))) + joint.max() + 2 * np.log(z[1] - z[0])
    label = "ln p(x) by its formula, and by a sum over a grid of codes"
    report.check(label, linear_evidence(x[:1], w, b, variance)[0], summed, rtol=1e-8)


def _identity(report, rng, x, model):
    """For any guess, near or far."""
    evidence, right = linear_evidence(x, *model), linear_posterior(x, *model)
    sums, bounds = [], []
    for scale in (0.1, 1.0, 10.0):
        root = scale * rng.normal(size=right[1].shape) + 0.1 * np.eye(len(right[1]))
        q = right[0] + scale * rng.normal(size=right[0].shape), root @ root.T
        bounds.append(linear_elbo(x, *q, *model))
        sums.append(bounds[-1] + full_gaussian_kl(*q, *right))
    error = np.abs(np.array(sums) - evidence).max() / np.abs(bounds).max()
    report.at_most("bound + divergence − ln p(x), over the largest bound: largest of all guesses", error, 1e-12)
    report.at_most("no bound lies above ln p(x): largest excess, nats", np.max(bounds - evidence), 1e-9)
    report.check("the right codes leave no gap", linear_elbo(x, *right, *model), evidence, rtol=1e-10)
    spread = np.array([0.3, 2.0])
    mean = rng.normal(size=(5, 2))
    by_the_vae = gaussian_kl_to_standard(mean, np.broadcast_to(np.log(spread), (5, 2)))
    ours = full_gaussian_kl(mean, np.diag(spread), np.zeros((5, 2)), np.eye(2))
    report.check("the divergence from the prior is the one in a VAE's loss", ours, by_the_vae, rtol=1e-9)


def _independent(report, x, model):
    """A VAE's codes are independent given the image: the best such guess, and what it leaves."""
    mean, covariance = linear_posterior(x, *model)
    precision = np.linalg.inv(covariance)
    best = 1 / np.diag(precision)
    guesses = {"the prior": (0 * mean, np.eye(len(best))), "right variances": (mean, np.diag(np.diag(covariance))),
               "best variances 1/Λᵢᵢ": (mean, np.diag(best)), "right covariance": (mean, covariance)}  # fmt: skip
    bounds = {name: linear_elbo(x, *q, *model)[0] for name, q in guesses.items()}
    at_best, marginal = bounds["best variances 1/Λᵢᵢ"], bounds["right variances"]
    gap = linear_evidence(x, *model)[0] - at_best
    closed = (np.log(np.diag(precision)).sum() + np.linalg.slogdet(covariance)[1]) / 2
    report.check("independent codes: the gap is ½ (Σ ln Λᵢᵢ − ln det Λ), Λ the right precision", gap, closed, rtol=1e-8)
    others = [linear_elbo(x, mean, np.diag(best * factor), *model)[0]
              for factor in (*(1 + 0.1 * np.eye(len(best))), *(1 - 0.1 * np.eye(len(best))))]  # fmt: skip
    report.at_least("and variances a tenth off are worse: least loss, nats", at_best - np.array(others), 0.0)
    report.at_least("as are the right variances themselves: loss, nats", at_best - marginal, 0.0)
    rows = [[name, bounds[name], full_gaussian_kl(*q, mean, covariance)[0]] for name, q in guesses.items()]
    report.table("bounds on one image's likelihood, nats", ["guessed codes", "bound", "divergence", "sum"],
                 [[*row, row[1] + row[2]] for row in rows])  # fmt: skip


def _turned(report, x, w, b, variance):
    """Codes z turned by an angle: w z = (w Rᵀ)(R z), so that p(x) stays, and independent guesses change."""
    columns = np.linalg.svd(w, full_matrices=False)
    straight = columns[0] * columns[1]  # the same w wᵀ, with columns at right angles
    angles = np.linspace(0, 90, 46)
    evidence, bound = [], []
    for angle in np.radians(angles):
        turn = np.eye(w.shape[1])
        turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        model = straight @ turn, b, variance
        mean, covariance = linear_posterior(x, *model)
        evidence.append(linear_evidence(x, *model).mean())
        bound.append(linear_elbo(x, mean, np.diag(1 / np.diag(np.linalg.inv(covariance))), *model).mean())
    gaps = np.array(evidence) - bound
    report.check("turning the codes leaves ln p(x) as it is", evidence, np.full(46, evidence[0]), rtol=1e-10)
    report.check("columns at right angles: independent codes are right, no gap", gaps[[0, -1]], [0, 0], atol=1e-9)
    report.at_least("turned by 45° they leave one, nats", gaps[np.abs(angles - 44).argmin()], 1e-6)
    report.note(
        "So the bound of a VAE fixes the axes of the codes, which the likelihood leaves open: they turn to the "
        "principal directions of the decoder. Nothing says that they then mean something to a reader."
    )
    return angles, np.array(evidence), np.array(bound)


def _figure(report, x, model, turned):
    right, evidence = linear_posterior(x, *model), linear_evidence(x, *model)[0]
    moves = np.linspace(-1.2, 1.2, 61)
    step = np.linalg.eigh(right[1])[1][:, -1]  # along the widest direction of the right codes
    bound = np.array([linear_elbo(x, right[0] + move * step, right[1], *model)[0] for move in moves])
    figure, (left, other) = plots.subplots(1, 2, figsize=(11, 4.3))
    divergence = [full_gaussian_kl(right[0] + move * step, right[1], *right)[0] for move in moves]
    left.fill_between(moves, bound, bound + np.array(divergence), color="C1", alpha=0.4, label="KL(q ‖ p(z | x))")
    left.plot(moves, bound, color="C0", label="ELBO")
    left.axhline(evidence, color="k", linestyle="--", label="ln p(x)")
    left.set(xlabel="how far the guessed mean is from the right one", ylabel="nats")
    left.set_title("Bound and divergence\nadd up to ln p(x)")
    left.legend(loc="lower center")
    angles, evidence, bound = turned
    series = {"ln p(x), mean of the images": evidence, "best bound with independent codes": bound}
    plots.curves(angles, series, xlabel="codes turned by, degrees", ylabel="nats", ax=other,
                 title="The same likelihood,\nanother bound")  # fmt: skip
    other.set(ylim=(bound.min() - 0.45 * np.ptp(bound), None))
    other.legend(loc="lower center")
    report.figure(
        "Bound, divergence and likelihood",
        figure,
        alt="Left: the bound is a parabola below the constant ln p(x), touching it where the guess is right; the "
        "divergence fills the space between. Right: while the codes are turned, ln p(x) stays and the best bound with "
        "independent codes sinks and comes back at 90 degrees.",
    )
