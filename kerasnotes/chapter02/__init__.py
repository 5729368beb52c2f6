"""Chapter 02 · Neural-network foundations · 神经网络基础.

What one neuron computes, which functions squash or rectify its output, and which loss tells it how wrong it is. Then
neurons are joined: layers compute logic, draw polygons, fit real data, and approximate any curve with bumps.
"""

LESSONS = (
    "neurons",
    "activations",
    "logic",
    "hyperplane_cells",
    "losses",
    "keras_losses",
    "regression",
    "mlp",
    "two_digits",
    "approximation",
    "radial_basis",
)
BUDGET = 60  # seconds of the whole chapter at default scale, on two CPU cores
