"""Blindly drawn codes give ink; drawn where its codes lie, a plain autoencoder is as good a painter as a VAE.

A decoder draws whatever code it is given. The codes of a plain autoencoder lie anywhere, those of a variational one as
a standard normal's draws would, and so it is said that only the second can draw. What the reader should see: pictures
from random codes of both, and the judge's figures for them; the plain one's are ink if codes are drawn from a standard
normal, and as good as the variational one's if they are drawn with the mean and covariance of the images' codes. What
training for a known distribution brings is that nobody has to look. Pictures from random codes of either are far from
the data, reconstructions are near.

Notes: chapter 11, "Random codes before a judge" (随机编码的评判).
Source: Kingma and Welling 2014, arXiv:1312.6114, section 3; Heusel et al. 2017, arXiv:1706.08500 (the distance); Ghosh
et al. 2020, arXiv:1903.12436 (codes drawn after the fact).
"""

import numpy as np
import tensorflow as tf

from kerasnotes import data, plots, training
from kerasnotes.chapter10.noisy_codes import PlainAutoencoder, build_coder
from kerasnotes.chapter10.vae import VAE
from kerasnotes.chapter11.judge import classify, trained_classifier
from kerasnotes.chapter11.scores import score_images
from kerasnotes.parts import shape, whole

SMOKE = {
    "images": 512,
    "classifier_images": 512,
    "epochs": 1,
    "hidden": 4,
    "latent_size": 3,
    "samples": 100,
}
FULL = {"images": 60000, "epochs": 50, "hidden": 400, "samples": 10000}
SECONDS = 10

WAYS = ("standard", "each", "together")


def random_codes(codes, samples, way, seed=0):
    """Codes that no image has, drawn from a normal distribution.

    Args:
        codes: Codes of images (n, numbers), two at least, whose moments may be used.
        samples: Codes to draw.
        way: `"standard"`, mean 0 and variance 1; `"each"`, each number with its own mean and variance; `"together"`,
            with the mean and the covariance of all numbers.
        seed: Seed of the draws.

    Returns:
        Array (samples, numbers), float32.

    Raises:
        ValueError: If the codes have another rank, or the way is none of these.
    """
    codes = shape("codes", np.asarray_chkfinite(codes, np.float64), None, None)
    if way not in WAYS:
        raise ValueError(f"way: expected one of {', '.join(WAYS)}, got {way!r}")
    whole("number of codes", len(codes), 2)
    z = np.random.default_rng(seed).normal(size=(whole("samples", samples), codes.shape[1]))
    if way == "each":
        z = codes.mean(axis=0) + codes.std(axis=0) * z
    if way == "together":
        values, vectors = np.linalg.eigh(np.atleast_2d(np.cov(codes, rowvar=False, bias=True)))
        z = codes.mean(axis=0) + (z * np.sqrt(np.maximum(values, 0))) @ vectors.T
    return np.float32(z)


def draw_from(decoder, codes):
    """Pictures (samples, 28, 28, 1) in [−1, 1] from codes (samples, numbers), by a decoder to 784 logits."""
    pixels = tf.sigmoid(decoder(tf.convert_to_tensor(codes)))
    return 2 * shape("pixels", pixels, None, 784).numpy().reshape(-1, 28, 28, 1) - 1


def example():
    """Codes on a diagonal far from 0, and what each way of drawing makes of them."""
    rng = np.random.default_rng(0)
    codes = 10 + rng.normal(size=(500, 1)) * [2, 2] + 0.1 * rng.normal(size=(500, 2))
    print("codes:    means", codes.mean(axis=0).round(1), "correlation", np.corrcoef(codes.T)[0, 1].round(2))
    for way in WAYS:
        z = random_codes(codes, 1000, way, seed=1)
        print(f"{way:9} means", z.mean(axis=0).round(1), "correlation", np.corrcoef(z.T)[0, 1].round(2))
    vae = build_coder(VAE, 784, 2, 8, steps=1)
    vae(np.zeros((1, 784), "float32"))
    print("pictures:", draw_from(vae.decoder, random_codes(codes, 3, "standard")).shape)


def lesson(
    report,
    *,
    images: int = 10000,
    epochs: int = 10,
    hidden: int = 200,
    latent_size: int = 20,
    samples: int = 2000,
    classifier_images: int = 60000,
    seed: int = 0,
):
    """Train a plain and a variational autoencoder, draw from random codes, and let the judge look.

    Args:
        report: The report to write to.
        images: Training images of both (512 to 60000).
        epochs: Training epochs of both (1 to 10000).
        hidden: Units of the hidden layers (1 to 4096).
        latent_size: Numbers in a code (2 to 512).
        samples: Pictures that are scored (100 to 10000).
        classifier_images: Digits that the judging classifier learns from (64 to 60000).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _moments(report, np.random.default_rng((seed, 1)))
    (x, _), (x_test, _) = data.mnist()
    x, x_test = (np.float32(part).reshape(len(part), -1) / 255 for part in (x, x_test))
    classifier = trained_classifier(data.mnist, training.fit, classifier_images, 4, seed)
    rng = np.random.default_rng((seed, 2))
    reference, real = (part[rng.permutation(len(part))[:samples]] for part in (x, x_test))
    sets, spreads = {"test digits": 2 * real.reshape(-1, 28, 28, 1) - 1}, {}
    for name, kind in (("plain", PlainAutoencoder), ("VAE", VAE)):
        steps = epochs * -(-images // 128)
        model = build_coder(kind, 784, latent_size, hidden, steps, seed)
        form = "xla" if steps > training.WORTH_COMPILING else "auto"
        training.fit(model, x[:images], batch_size=128, epochs=epochs, seed=seed, form=form, track=report.track)
        code = np.asarray(model.encoder(x[: min(images, 10000)])[0])
        spreads[name] = np.abs(code.mean(axis=0)).max(), code.std(axis=0).min(), code.std(axis=0).max()
        sets[f"{name}, reconstructed"] = draw_from(model.decoder, model.encoder(real)[0])
        for way in WAYS if name == "plain" else ("standard", "together"):
            sets[f"{name}, random codes: {way}"] = draw_from(model.decoder, random_codes(code, samples, way, (seed, 3)))
    features = classify(classifier, 2 * reference.reshape(-1, 28, 28, 1) - 1)[0]
    scored = {name: score_images(classifier, each, features) for name, each in sets.items()}
    _compare(report, scored, spreads)
    _figure(report, sets, scored)


def _moments(report, rng):
    codes = rng.normal(size=(4000, 3)) @ rng.normal(size=(3, 3)) + 7
    for way, mean, covariance in (
        ("standard", np.zeros(3), np.eye(3)),
        ("each", codes.mean(axis=0), np.diag(codes.var(axis=0))),
        ("together", codes.mean(axis=0), np.cov(codes.T, bias=True)),
    ):
        drawn = random_codes(codes, 50000, way, seed=1)
        scale = np.sqrt(np.diag(covariance))
        report.at_most(
            f"{way}: means of drawn codes, off by (in spreads)", np.abs(drawn.mean(axis=0) - mean) / scale, 0.03
        )
        off = np.abs(np.cov(drawn.T) - covariance) / np.outer(scale, scale)
        report.at_most(f"{way}: covariances of drawn codes, off by", off.max(), 0.05)


def _compare(report, scored, spreads):
    columns = ["pictures", "inception score", "digits found", "Fréchet distance", "mean confidence"]
    rows = [[name, s["score"], round(10 * s["coverage"]), s["frechet"], s["confidence"]] for name, s in scored.items()]
    report.table("pictures before the judge; distances to as many training digits", columns, rows)
    columns = ["autoencoder", "largest mean of a number", "least spread", "largest spread"]
    report.table("where codes lie", columns, [[name, *map(float, row)] for name, row in spreads.items()])
    frechet = {name.replace("random codes: ", ""): s["frechet"] for name, s in scored.items()}
    label = "codes drawn blindly: distance of the plain one's pictures over the VAE's"
    report.at_least(label, frechet["plain, standard"] / frechet["VAE, standard"], 1.5, trained=True)
    label = "codes drawn where they lie: distance of the plain one's pictures over the VAE's from its prior"
    report.at_most(label, frechet["plain, together"] / frechet["VAE, standard"], 1.0, trained=True)
    label = "the covariance counts: distance with it over that without"
    report.at_most(label, frechet["plain, together"] / frechet["plain, each"], 0.9, trained=True)
    label = "codes of images give better pictures than random ones: the VAE's distances, one over the other"
    report.at_most(label, frechet["VAE, reconstructed"] / frechet["VAE, standard"], 0.5, trained=True)
    report.note(
        "So it is not the noise in training that makes a decoder draw; the price of codes brings them to where they "
        "will be drawn, and mean and covariance of the codes do as much for a plain autoencoder."
    )


def _figure(report, sets, scored):
    names = [name for name in sets if name not in ("test digits", "plain, random codes: each")]
    figure, (left, right) = plots.subplots(1, 2, figsize=(13, 4.4), width_ratios=(1.5, 1))
    shown = np.stack([sets[name][:14, ..., 0] for name in names])
    plots.tiles(shown, left, [name.replace("random codes: ", "") for name in names])
    left.set_title("What the decoders draw")
    names = list(sets)[::-1]
    right.barh(np.arange(len(names)), [scored[name]["frechet"] for name in names])
    right.set_yticks(np.arange(len(names)), [name.replace("random codes: ", "") for name in names])
    right.set(xlabel="Fréchet distance to training digits")
    right.set_title("How far from the data")
    report.figure(
        "Pictures from random codes",
        figure,
        alt="Left: digits reconstructed by both autoencoders, and pictures from random codes; those of the plain one "
        "are ink if drawn blindly, and look like the VAE's if drawn with mean and covariance. Right: Fréchet "
        "distances, "
        "largest for the plain one's blind codes, small for reconstructions, the others between.",
    )
