"""Chapter 10 · Autoencoders · 自编码器.

Networks that give back their input through a narrow place: what they keep, how they repair and find what is strange,
and how a distribution in the middle turns them into a model that draws.
"""

LESSONS = (
    "autoencoder",
    "codes_and_labels",
    "denoising",
    "anomaly",
    "kl_divergence",
    "reparameterization",
    "likelihood_bounds",
    "vae",
    "noisy_codes",
    "exact_elbo",
    "pixel_cnn",
    "pixel_rnn",
    "disentangling",
)
BUDGET = 265  # seconds of the whole chapter at default scale, on two CPU cores
