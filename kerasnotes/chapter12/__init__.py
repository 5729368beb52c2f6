"""Chapter 12 · Reinforcement learning · 强化学习初探.

Learning from reward alone: bandits, dynamic programming where the model is known, tables learnt from experience where
it is not, and networks in place of the tables.
"""

LESSONS = (
    "environment",
    "bandits",
    "dynamic_programming",
    "monte_carlo",
    "sarsa",
    "q_learning",
    "dqn",
    "policy_gradient",
    "families",
)
BUDGET = 300  # seconds of the whole chapter at default scale, on two CPU cores
