"""Chapter 11 · Generative adversarial networks · 生成对抗网络.

Two networks learn from each other: one draws, the other tells drawn from real. What distance between distributions
that game measures, why it fails when they do not meet, and how the Wasserstein distance mends it.
"""

LESSONS = (
    "divergences",
    "games",
    "saturation",
    "side_by_side",
    "gan",
    "poor_advice",
    "hard_choices",
    "judge",
    "scores",
    "random_codes",
    "dcgan_networks",
    "dcgan",
    "wgan",
    "critic_estimate",
    "gradient_penalty",
    "wgan_gp",
    "ring",
    "remedies",
    "mode_collapse",
    "still_generators",
    "players",
    "members",
    "f_gan",
    "least_squares",
    "handwriting",
    "conditional_gan",
    "two_way_gan",
    "energy_gan",
    "many_generators",
    "cycle_gan",
    "pix2pix",
    "pyramids",
    "progressive_growing",
    "big_gan",
    "super_resolution",
    "style_transfer",
)
BUDGET = 600  # seconds of the whole chapter at default scale, on two CPU cores
