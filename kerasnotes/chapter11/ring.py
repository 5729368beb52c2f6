"""On a ring of Gaussians modes can be counted; how many a set covers and how much of it lies near one are two figures.

A generator that repeats one good answer, and one that draws blurred answers everywhere, fail in different ways. What
the reader should see: true samples that cover all modes with 98.9 % near one, and samples that were spoilt on purpose,
where each of the two figures notices its own failure only.

Notes: chapter 11, "Mode collapse" (模式坍塌).
Source: Metz et al. 2017, arXiv:1611.02163, section 3.1 (the ring); Srivastava et al. 2017, arXiv:1705.07761 (counting
modes within three deviations).
"""

import keras
import numpy as np

from kerasnotes import plots
from kerasnotes.parts import positive, shape, whole

SMOKE = {"samples": 2000}
SECONDS = 1

RADIUS, DEVIATION = 2.0, 0.1


def ring_of_gaussians(modes, radius, deviation, samples, seed):
    """Points from equal round Gaussians whose centers stand evenly on a circle.

    Args:
        modes: Number of Gaussians.
        radius: Radius of the circle, positive.
        deviation: Standard deviation of each Gaussian in each direction, at least 0.
        samples: Number of points; each falls to a Gaussian at random.
        seed: Seed of the draws.

    Returns:
        `(points, centers)`: arrays (samples, 2) and (modes, 2), float32.

    Raises:
        ValueError: If a number is out of its range.

    Source: Metz et al. 2017, arXiv:1611.02163, section 3.1.
    """
    if not 0 <= deviation < np.inf:
        raise ValueError(f"deviation: expected a number of at least 0, got {deviation!r}")
    rng = np.random.default_rng(seed)
    angles = 2 * np.pi * np.arange(whole("modes", modes)) / modes
    centers = positive("radius", radius) * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    points = centers[rng.integers(modes, size=whole("samples", samples))] + deviation * rng.normal(size=(samples, 2))
    return points.astype(np.float32), centers.astype(np.float32)


def modes_found(samples, centers, deviation):
    """How many modes a set of samples covers: those with 1 % of the samples or more within 3 deviations.

    Args:
        samples: Points (..., samples, 2); axes before that are runs of their own.
        centers: Centers of the modes (modes, 2).
        deviation: Standard deviation of a mode, positive.

    Returns:
        Integer array (...).

    Raises:
        ValueError: If the shapes do not fit, a point is not finite, or the deviation is not positive.
    """
    return np.sum(np.mean(_near(samples, centers, deviation), axis=-2) >= 0.01, axis=-1)


def share_near_a_mode(samples, centers, deviation):
    """Which share of the samples lies within 3 deviations of any mode; of the true ones it is 1 − e^−4.5 = 98.9 %.

    Args, Raises: As for `modes_found`.

    Returns:
        Array (...).
    """
    return np.mean(np.any(_near(samples, centers, deviation), axis=-1), axis=-1)


def _near(samples, centers, deviation):
    samples, centers = np.asarray(samples, float), shape("centers", np.asarray(centers, float), None, 2)
    if samples.ndim < 2 or samples.size == 0 or samples.shape[-1] != 2:
        raise ValueError(f"samples: expected the shape (..., samples, 2), got {samples.shape}")
    for name, value in (("samples", samples), ("centers", centers)):
        if value.size == 0 or not np.isfinite(value).all():
            raise ValueError(f"{name}: expected finite points, at least one, got none, NaN or infinity")
    distances = np.linalg.norm(samples[..., None, :] - centers, axis=-1)
    return distances <= 3 * positive("deviation", deviation)  # (..., samples, modes)


def example():
    """Samples of eight modes, of two modes, and blurred ones; and the class that a nearest centre stands for."""
    points, centers = ring_of_gaussians(8, 2.0, 0.1, 2000, seed=0)
    rng = np.random.default_rng(1)
    sets = {
        "all": points,
        "two modes": points[np.linalg.norm(points[:, None] - centers[:2], axis=-1).min(axis=1) < 0.5],
        "blurred": points + 0.3 * rng.normal(size=points.shape),
    }
    for name, samples in sets.items():
        found, near = modes_found(samples, centers, 0.1), share_near_a_mode(samples, centers, 0.1)
        print(f"{name:10} modes found {found}, share near one {near:.3f}")
    nearest = np.linalg.norm(points[:, None] - centers, axis=-1).argmin(axis=1)
    counts = keras.ops.bincount(nearest, minlength=8)
    print("samples of each mode, by keras.ops.bincount:", np.asarray(counts))


def lesson(report, *, modes: int = 8, samples: int = 20000, seed: int = 0):
    """Count by hand, then spoil true samples in two ways and see which figure notices.

    Args:
        report: The report to write to.
        modes: Gaussians on the ring (2 to 30).
        samples: True samples (1000 to 1000000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _counting(report, samples, seed)
    points, centers = ring_of_gaussians(modes, RADIUS, DEVIATION, samples, (seed, 2))
    fewer = _fewer_modes(report, points, centers)
    blurred = _blurred(report, points, centers, np.random.default_rng((seed, 3)))
    _figure(report, points, centers, fewer, blurred)


def _counting(report, samples, seed):
    points, centers = ring_of_gaussians(8, RADIUS, DEVIATION, samples, (seed, 1))
    report.check("the true points cover all modes", int(modes_found(points, centers, DEVIATION)), 8)
    share, want = share_near_a_mode(points, centers, DEVIATION), 1 - np.exp(-4.5)
    error = np.sqrt(want * (1 - want) / len(points))
    label = "and 1 − e^−4.5 of them lie within 3 deviations, to 4 standard errors"
    report.check(label, float(share), want, rtol=0, atol=4 * error)
    one = np.tile(centers[:1], (200, 1))
    one[:2], one[2] = centers[1], centers[2]
    report.check("two samples of 200 make a mode, one does not", int(modes_found(one, centers, DEVIATION)), 2)


def _fewer_modes(report, points, centers):
    """Sets of the first 1, 2, … modes only."""
    nearest = np.linalg.norm(points[:, None] - centers, axis=-1).argmin(axis=1)
    rows = []
    for kept in range(1, len(centers) + 1):
        left = points[nearest < kept]
        rows.append([kept, int(modes_found(left, centers, DEVIATION)), share_near_a_mode(left, centers, DEVIATION)])
    report.table("true samples of some modes only", ["modes kept", "modes found", "share near a mode"], rows)
    report.check("as many modes are found as were kept", [row[1] for row in rows], [row[0] for row in rows])
    report.at_least("the share near a mode notices nothing: least", min(row[2] for row in rows), 0.97)
    return np.array(rows)


def _blurred(report, points, centers, rng):
    """Each sample moved at random: the squared distance over the larger variance is exponential with mean 2."""
    noise = rng.normal(size=points.shape)
    rows = []
    for factor in (1.0, 1.5, 2.0, 3.0):
        moved = points + DEVIATION * np.sqrt(factor**2 - 1) * noise
        found, share = (of(moved, centers, DEVIATION) for of in (modes_found, share_near_a_mode))
        rows.append([factor, int(found), share, 1 - np.exp(-4.5 / factor**2)])
    columns = ["deviation, in the true one", "modes found", "share near a mode", "expected share"]
    report.table("true samples, blurred", columns, rows)
    _, found, share, want = np.array(rows).T
    report.check("the modes notice nothing", found, np.full(len(rows), float(len(centers))))
    label = "the share falls to 1 − e^(−4.5/f²) at f times the deviation, to 5 standard errors"
    report.at_most(label, np.abs(share - want) / np.sqrt(want * (1 - want) / len(points)), 5.0)
    return np.array(rows)


def _figure(report, points, centers, fewer, blurred):
    figure, (left, middle, right) = plots.subplots(1, 3, figsize=(13.5, 4.3))
    left.plot(*points[:1000].T, ".", markersize=2, color="C0", alpha=0.6)
    angles = np.linspace(0, 2 * np.pi, 60)
    for x, y in centers:
        left.plot(x + 3 * DEVIATION * np.cos(angles), y + 3 * DEVIATION * np.sin(angles), "-", color="C1")
    left.set(xlabel="first coordinate", ylabel="second coordinate", aspect="equal")
    left.set_title("Circles of three deviations")
    for ax, rows, xlabel, title in (
        (middle, fewer, "modes that are kept", "Fewer modes:\nonly the count notices"),
        (right, blurred, "deviation, in the true one", "Blurred samples:\nonly the share notices"),
    ):
        plots.two_scales(rows[:, 0], ("modes found", rows[:, 1]), ("share near a mode", rows[:, 2]), xlabel=xlabel,
                         title=title, ax=ax, legend="lower right")  # fmt: skip
    report.figure(
        "two figures for two failures",
        figure,
        alt="Left: samples on a ring of Gaussians, each inside a circle. Middle: with fewer modes the count falls and "
        "the share near a mode stays. Right: with blurred samples the share falls and the count stays.",
    )
