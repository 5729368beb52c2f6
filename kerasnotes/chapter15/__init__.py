"""Chapter 15 · Energy and self-organization · 能量模型与自组织.

Networks without an output layer: they settle. What states they settle in, how much they can store, how chance enters
at a temperature, and how such a machine learns a distribution.
"""

LESSONS = (
    "hopfield",
    "projection_rule",
    "hopfield_capacity",
    "modern_hopfield",
    "boltzmann",
    "boltzmann_learning",
    "rbm",
    "stacked_rbm",
    "self_organizing_map",
    "maps_of_data",
)
BUDGET = 180  # seconds of the whole chapter at default scale, on two CPU cores
