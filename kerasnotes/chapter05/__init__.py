"""Chapter 05 · Overfitting · 过拟合.

Networks that learn their training data by heart: how to see it, where the error comes from, and what helps, from
stopping early and dropping units to penalties, momentum, falling learning rates and more data.
"""

LESSONS = (
    "shattering",
    "capacity",
    "diagnosis",
    "excess_risk",
    "error_decomposition",
    "cross_validation",
    "early_stopping",
    "patience",
    "thinned_networks",
    "dropout",
    "regularizers",
    "lasso",
    "momentum",
    "valley",
    "learning_rate_decay",
    "input_noise",
    "label_smoothing",
    "augmentation",
    "connections",
    "weight_noise",
    "semi_supervised",
    "two_moons",
    "transfer",
)
BUDGET = 210  # seconds of the whole chapter at default scale, on two CPU cores
