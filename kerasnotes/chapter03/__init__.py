"""Chapter 03 · Gradient descent · 梯度下降.

From the slope of a function to the optimizers of today: what a gradient is, how large a step may be and how fast it
arrives, what noise in the gradient costs and gains, how each weight gets a step of its own, and what curvature tells.
"""

LESSONS = (
    "gradients",
    "loss_gradients",
    "descent",
    "batch_size",
    "stochastic",
    "rprop",
    "optimizers",
    "swats",
    "second_order",
    "critical_points",
    "saddles",
)
BUDGET = 60  # seconds of the whole chapter at default scale, on two CPU cores
