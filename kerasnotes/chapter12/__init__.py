"""Chapter 12 · Reinforcement learning · 强化学习初探.

Learning from reward alone: bandits, dynamic programming where the model is known, tables learnt from experience where
it is not, and networks in place of the tables.
"""

LESSONS = (
    "environment",
    "bandits",
    "confidence_bounds",
    "policy_evaluation",
    "dynamic_programming",
    "numbered_states",
    "monte_carlo",
    "table_walks",
    "sarsa",
    "cliff",
    "q_learning",
    "exploration",
    "vector_environments",
    "checkpoints",
    "replay",
    "targets",
    "dqn",
    "score_function",
    "policy_gradient",
    "families",
)
BUDGET = 300  # seconds of the whole chapter at default scale, on two CPU cores
