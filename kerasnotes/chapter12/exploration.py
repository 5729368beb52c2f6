"""A table of zeros that is played greedily stays a table of zeros: who never explores never meets what could teach him.

Q-learning learns the best policy whatever is played, but only from what is met. What the reader should see: on slippery
ice, always taking the first of equal actions never reaches the goal, whatever the seed and however long; ties broken at
random make one lucky, sometimes; and with one random action in ten the policies reach the goal far more often, on the
mean over the seeds.

Notes: chapter 12, "Q-learning: off-policy temporal difference" (Q学习算法: ε-贪心策略).
Source: Watkins and Dayan 1992, doi:10.1007/BF00992698, theorem (all pairs are tried again and again); Sutton and Barto
2018, ISBN 978-0-262-03924-6, section 6.5; https://gymnasium.farama.org/environments/toy_text/frozen_lake
"""

import gymnasium
import numpy as np

from kerasnotes import plots
from kerasnotes.chapter12.policy_evaluation import policy_evaluation
from kerasnotes.chapter12.q_learning import batched_q_learning, q_learning_update
from kerasnotes.chapter12.sarsa import empty_table
from kerasnotes.parts import whole

SMOKE = {"tries": 40, "seeds": 3}
SECONDS = 10


def never_exploring(env, episodes, learning_rate, discount, seed):
    """Q-learning that never explores and takes the first of equal actions.

    Args:
        env: gymnasium environment with discrete states and actions, both counted from 0, that ends its episodes.
        episodes: Episodes to play.
        learning_rate, discount: As in `q_learning_update`.
        seed: Seed of the environment, at its first reset.

    Returns:
        `QTable`.

    Raises:
        ValueError: If the environment's spaces are not discrete, or a number is out of range.
    """
    table = empty_table(env, whole("episodes", episodes))
    for episode in range(episodes):
        state, ended = env.reset(seed=None if episode else seed)[0], False
        while not ended:
            # act: the first of the best actions
            action = int(np.argmax(table.values[state]))
            following, reward, terminated, truncated, _ = env.step(action)
            # learn
            q_learning_update(table.values, state, action, reward, following, terminated, learning_rate, discount)
            # remember
            table.visits[state, action] += 1
            table.returns[episode] += reward
            state, ended = following, terminated or truncated
    return table


def example():
    """Three hundred episodes on the ice without a single random action, and with some."""
    env = gymnasium.make("FrozenLake-v1")
    table = never_exploring(env, episodes=300, learning_rate=0.1, discount=0.99, seed=0)
    print("never exploring: goals", table.returns.sum(), "- actions tried at the start:", table.visits[0])
    for epsilon in (0.0, 0.1, 0.3):
        many = batched_q_learning(env.unwrapped.P, 0, 2000, 0.1, 0.99, epsilon, range(20), max_steps=100)
        worth = [policy_evaluation(env.unwrapped.P, q.argmax(axis=1), 1.0)[0] for q in many.values]
        print(f"ε = {epsilon}: the learnt policies reach the goal in {np.mean(worth):.0%} of their episodes")


def lesson(report, *, tries: int = 2000, seeds: int = 50, seed: int = 0):
    """Learn on the ice greedily, with ties at random, and with more and more exploration.

    Args:
        report: The report to write to.
        tries: Episodes of each run (10 to 1000000).
        seeds: Independent runs of each choice that draws (2 to 10000).
        seed: Seed of everything drawn; each value gives other runs (0 to 4294967295).
    """
    env = gymnasium.make("FrozenLake-v1")
    transitions, rate, discount = env.unwrapped.P, 0.1, 0.99
    stuck = [never_exploring(env, tries, rate, discount, each) for each in range(3 * seed, 3 * seed + 3)]
    outcomes = {"greedy, the first of equal actions": [np.array([getattr(table, part) for table in stuck])
                                                       for part in ("values", "returns")]}  # fmt: skip
    for name, chance in (("greedy, equal actions at random", 0.0), ("ε = 0.1", 0.1), ("ε = 0.3", 0.3)):
        many_seeds = range(seeds * seed, seeds * (seed + 1))
        many = batched_q_learning(transitions, 0, tries, rate, discount, chance, many_seeds, 100)
        outcomes[name] = many.values, many.returns
    rows = []
    for name, (tables, sums) in outcomes.items():
        reached = [policy_evaluation(transitions, q.argmax(axis=1), 1.0)[0] for q in tables]
        recent = sums[:, -min(tries, 500) :].mean(axis=1)
        rows.append([name, len(tables), *plots.mean_and_error(recent), *plots.mean_and_error(reached)])
    columns = ["choice", "runs", "goals while learning", "standard error", "goals of the greedy policy", "its error"]
    report.table(f"FrozenLake: share of episodes that reach the goal, after {tries} episodes", columns, rows)
    label = "greedy from a table of zeros, ties to the first action: goals reached in all episodes"
    report.check(label, got=outcomes["greedy, the first of equal actions"][1].sum(), want=0.0)
    label = f"with ε = 0.1 the learnt policy reaches the goal: share of episodes, mean of {seeds} runs"
    report.at_least(label, rows[2][4] - 4 * rows[2][5], 0.5, trained=True)
    report.correction(
        "acting greedily from the start",
        course="Take the best action of the table in every step, starting from a table of zeros.",
        correct="Explore: with probability ε any action, and break ties at random.",
        shown_by=f"{tries} episodes on FrozenLake: always the first of equal actions never reaches the goal, "
        f"whatever the seed, as no reward is ever met; with ε = 0.1 the learnt policy does in {100 * rows[2][4]:.0f}%, "
        f"with ties broken at random alone in {100 * rows[1][4]:.0f}%",
    )
    labels = ["never,\nfirst of equals", "never,\nties at random", "ε = 0.1", "ε = 0.3"]
    figure = plots.bars(labels, [row[4] for row in rows], errors=[row[5] for row in rows],
                        ylabel="episodes of the greedy policy at the goal", title="Who explores, finds")  # fmt: skip
    report.figure(
        "Who explores, finds",
        figure,
        alt="Bars of the share of episodes in which the learnt greedy policy reaches the goal: nothing without "
        "exploring and with ties to the first action, a part with ties at random, most with ε = 0.1 and 0.3.",
    )
