"""A network takes the table's place, with a memory of old steps, a target that waits, and two estimates of a maximum.

CartPole's state is four real numbers, so no table can hold it. A network takes the state and gives one value for each
action, and each value is moved towards a target: the reward plus the discounted value of the best next action. What the
reader should see: the steps to learn from are drawn from a memory. The targets come from a copy of the network, which
stands still for a while, so that the network does not run after a target that moves with it. The network chooses the
next action and the copy values it (double DQN). The pole then stands after some seconds of computing, on every seed;
what two of the parts are worth is measured by leaving them out.

Notes: chapter 12, "Deep Q-network" (深度Q网络: DQN).
Source: Mnih et al. 2015, doi:10.1038/nature14236, algorithm 1; van Hasselt, Guez, Silver 2016, arXiv:1509.06461,
section "Double DQN"; https://gymnasium.farama.org/api/vector
"""

import time

import keras
import numpy as np

from kerasnotes import plots
from kerasnotes.chapter12.checkpoints import Checkpoint, greedy_policy_of, numpy_forward, state_encoder
from kerasnotes.chapter12.checkpoints import TrainingRun as TrainingRun
from kerasnotes.chapter12.replay import ReplayBuffer
from kerasnotes.chapter12.targets import build_q_network, compile_updates
from kerasnotes.chapter12.targets import huber_loss as huber_loss
from kerasnotes.chapter12.targets import td_target as td_target
from kerasnotes.chapter12.vector_environments import Episodes as Episodes
from kerasnotes.chapter12.vector_environments import make_environments, play_episodes, vector_steps
from kerasnotes.parts import share, whole

SMOKE = {"max_steps": 600, "comparison_steps": 300, "seeds": 1, "evaluation_episodes": 3}
FULL = {"comparison_steps": 100_000}
SECONDS = 32

LIMIT = 500  # steps after which CartPole-v1 cuts an episode off: the largest return


def train_dqn(
    env_id,
    *,
    max_steps=200_000,
    target=None,
    copies=16,
    hidden=(64, 64),
    learning_rate=2.3e-3,
    discount=0.99,
    batch_size=64,
    capacity=50_000,
    steps_a_round=256,
    updates_a_round=128,
    warmup_steps=1000,
    exploration_steps=10_000,
    final_epsilon=0.04,
    double=True,
    evaluate_every=16,
    evaluation_episodes=100,
    environment=None,
    seed=0,
    track=None,
):
    """Deep Q-learning, in rounds: act for some steps, learn from the memory, copy the network to its target.

    Every few rounds the greedy policy is evaluated. Training stops at the first evaluation that reaches `target`, or
    after `max_steps`; the weights of the best evaluation are kept.

    Args:
        env_id: Name of a gymnasium environment with a flat or a discrete observation and discrete actions.
        max_steps: Environment steps after which training stops, those of all copies together.
        target: Mean return of an evaluation at which training stops, or None for never.
        copies: Copies of the environment that act together.
        hidden: Units of the hidden layers.
        learning_rate: Step size of Adam.
        discount: From 0 to 1.
        batch_size: Transitions in a gradient step, each a state, action, reward, next state and whether it terminated.
        capacity: Transitions that the memory holds.
        steps_a_round, updates_a_round: Environment steps, then gradient steps, after which the target network is set to
            the network.
        warmup_steps: Environment steps before the first gradient step.
        exploration_steps: Environment steps over which the share of random actions falls from 1 to `final_epsilon`.
        final_epsilon: Share of random actions in the end.
        double: Whether the network chooses the next action and the target network values it; else the latter does both.
        evaluate_every: Rounds between two evaluations.
        evaluation_episodes: Episodes in an evaluation.
        environment: Dictionary of further arguments for the environment, or None.
        seed: Seed of all random draws; each use has a stream of its own, (seed, 0), (seed, 1) and so on.
        track: Callable `(iterable, description) -> iterable` that shows progress, or None.

    Returns:
        `TrainingRun`.

    Raises:
        ValueError: If the environment or a setting is out of range.

    Source: Mnih et al. 2015, algorithm 1; van Hasselt et al. 2016, section "Double DQN". The defaults of the learning
    rate, the batch and the rounds are those of https://github.com/DLR-RM/rl-baselines3-zoo for CartPole-v1, on a
    smaller network.
    """
    counts = {"max_steps": max_steps, "copies": copies, "batch_size": batch_size, "steps_a_round": steps_a_round,
              "updates_a_round": updates_a_round, "evaluate_every": evaluate_every,
              "evaluation_episodes": evaluation_episodes}  # fmt: skip
    for name, value in counts.items():
        whole(name, value)
    share("discount", discount)
    share("final_epsilon", final_epsilon)
    env, _ = make_environments(env_id, copies, environment)
    actions, space = int(env.single_action_space.n), env.single_observation_space
    size, encode = state_encoder(space)  # real numbers as they are, state numbers one-hot
    network, target_network = (build_q_network(size, actions, hidden, (seed, 0)) for _ in range(2))  # equal at first
    # its steps move Q(s, a) towards r + discount · the target network's Q(s2, a2): see `targets.compile_updates`
    learn = compile_updates(network, target_network, keras.optimizers.Adam(learning_rate), discount, double)
    memory, rng = ReplayBuffer(capacity, (size,), (seed, 1)), np.random.default_rng((seed, 2))
    checkpoint = Checkpoint(env_id, network, evaluation_episodes, target, (seed, 3), environment)
    # running: what each copy's episode has returned so far
    greedy, steps, returns, ends, running = greedy_policy_of(network, space), 0, [], [], np.zeros(copies)

    # called at every step, so that it sees the newest `steps` and `greedy`
    def explore(observations):
        epsilon = max(final_epsilon, 1 - (1 - final_epsilon) * steps / max(exploration_steps, 1))
        random = rng.random(copies) < epsilon
        return np.where(random, rng.integers(actions, size=copies), greedy(observations))

    stream = vector_steps(env, explore, int(rng.integers(2**31)))
    rounds = range(1, -(-max_steps // steps_a_round) + 1)  # rounded up: the last round may be shorter
    for number in rounds if track is None else track(rounds, "training"):
        while steps < min(number * steps_a_round, max_steps):
            # act: `who` are the copies that took a step and did not only start anew, with a row each in the rest
            who, states, chosen, rewards, next_states, terminated, truncated = next(stream)
            # remember: of the two ends only `terminated`, for after a cut something would have followed
            memory.add(encode(states), chosen, rewards, encode(next_states), terminated)
            steps += len(who)
            # keep the returns of episodes that have ended: they show how training went
            running[who] += rewards
            ended = who[terminated | truncated]
            returns.extend(running[ended])
            ends.extend([steps] * len(ended))
            running[ended] = 0
        if steps >= warmup_steps:
            # learn: from steps that the memory draws, for those in a row resemble each other
            drawn = memory.sample(updates_a_round * batch_size)  # five arrays (updates · batch, ...)
            learn(*(part.reshape(updates_a_round, batch_size, *part.shape[1:]) for part in drawn))  # by batch
            # copy to the target only now: it stood still through all updates; and act by the new network from now on
            target_network.set_weights(network.get_weights())
            greedy = greedy_policy_of(network, space)
        # evaluate, and keep the best: more training can also make the policy worse
        if (number % evaluate_every == 0 or number == rounds[-1]) and checkpoint.evaluate(steps):
            break
    env.close()
    return checkpoint.finish(returns, ends, steps)


def example():
    """A short training on four frozen cells in a row: the network comes to the values of the table."""
    row = {"desc": ["SFFG"], "is_slippery": False, "max_episode_steps": 10}  # the goal G pays 1
    run = train_dqn("FrozenLake-v1", environment=row, max_steps=2500, discount=0.9, final_epsilon=0.5, hidden=(32,),
                    warmup_steps=500, evaluation_episodes=1, seed=0)  # fmt: skip
    print("right, from each of three cells:", numpy_forward(run.network)(np.eye(4, dtype="float32")[:3])[:, 2])
    print("the table has                    [0.81 0.9  1.  ]; greedy actions:", run.policy(np.arange(3)))


def lesson(
    report,
    *,
    max_steps: int = 200_000,
    comparison_steps: int = 50_000,
    seeds: int = 3,
    evaluation_episodes: int = 100,
    discount: float = 0.99,
    seed: int = 0,
):
    """See that the target waits, then let the pole stand.

    Args:
        report: The report to write to.
        max_steps: Environment steps after which a run gives up (300 to 10000000).
        comparison_steps: Environment steps of the runs that go without one part (300 to 10000000).
        seeds: Independent runs of each kind (1 to 100).
        evaluation_episodes: Episodes in each evaluation of the stopping rule (1 to 1000).
        discount: Weight of one step's delay (0 to 1).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _waiting_target(report, discount, seed)
    common = {"target": LIMIT, "discount": discount, "evaluation_episodes": evaluation_episodes, "track": report.track}
    runs = _learn(report, {**common, "max_steps": max_steps}, range(seed, seed + seeds))
    report.note(
        f"Stopping rule: about every 4,096 environment steps the greedy policy plays {evaluation_episodes} episodes; "
        f"training stops when all of them last {LIMIT} steps, or after {max_steps:,} steps. The weights of the best "
        "evaluation are kept, and judged by 20 other episodes with reset seeds from a stream of their own."
    )
    report.note(
        "How long it takes varies much from seed to seed, and the first steps do not give it away. More seeds, each in "
        "a process of its own: python -m kerasnotes sweep chapter12.dqn --seeds 0-4 --set seeds=1"
    )
    report.note(
        "Deviations from Mnih et al. 2015: four numbers in place of images, 16 copies of the environment in place of "
        "one, Adam in place of RMSProp, double DQN, and 128 gradient steps in a row after every 256 environment steps."
    )
    _without(report, runs, {**common, "max_steps": comparison_steps}, seed)
    report.figure(
        "learning to balance, and what was learnt",
        _figure(runs, seed),
        alt="Left: returns of training episodes climb from about 20; the evaluations of the runs, not at all steadily, "
        "end near 500. Right: the difference of the two values over the pole's angle and speed; push "
        "right where it falls to the right, left where it falls to the left.",
    )


def _waiting_target(report, discount, seed):
    """Three gradient steps on made-up transitions: which of the two networks moves, and when."""
    network, target_network = (build_q_network(4, 2, (8,), (seed, number)) for number in (5, 6))
    before = [np.array(weight) for weight in network.get_weights()]
    kept = [np.array(weight) for weight in target_network.get_weights()]
    learn = compile_updates(network, target_network, keras.optimizers.Adam(0.01), discount, compiled=False)
    rng = np.random.default_rng((seed, 7))
    states, next_states = rng.normal(size=(2, 3, 16, 4)).astype(np.float32)  # each (gradient steps, batch, 4)
    actions, terminated = rng.integers(2, size=(2, 3, 16))
    learn(states, actions, np.ones((3, 16), np.float32), next_states, terminated)
    shift = max(np.abs(new - old).max() for new, old in zip(network.get_weights(), before, strict=True))
    report.at_least("three gradient steps move the network", got=shift, bound=0.01)
    report.check("but not its target", got=target_network.get_weights(), want=kept, rtol=0, atol=0)
    target_network.set_weights(network.get_weights())
    label = "until the network is copied"
    report.check(label, got=target_network.get_weights(), want=network.get_weights(), rtol=0, atol=0)


def _learn(report, settings, seeds):
    """Train until the pole stands, and judge by fresh episodes. Returns the runs."""
    runs, rows, fresh, steps, discount = [], [], [], settings["max_steps"], settings["discount"]
    for number in seeds:
        started = time.perf_counter()
        # a short run has to begin to learn earlier
        runs.append(train_dqn("CartPole-v1", seed=number, warmup_steps=min(1000, steps // 2), **settings))
        run, seconds = runs[-1], time.perf_counter() - started
        played = play_episodes("CartPole-v1", run.policy, 20, int(np.random.default_rng((number, 9)).integers(2**31)))
        value = numpy_forward(run.network)(played.observations[0]).max(axis=1).mean()  # best Q in 20 first states
        fresh.append(played.returns.mean())
        best = max(mean for _, mean in run.evaluations)
        rows.append([number, run.steps, len(run.returns), best, fresh[-1], played.returns.min(), value, seconds])
    label = "CartPole-v1, greedy: mean return of 20 fresh episodes, first seed"
    report.at_least(label, got=fresh[0], bound=475.0, trained=True)
    good = np.mean(np.array(fresh) >= 475)
    report.at_least(f"share of the {len(seeds)} seeds that reach 475", good, 0.8, trained=True)
    # one point a step adds up to 1/(1 − γ): the limit of 500 steps is a cut and no end
    start = f"Q at the start (1/(1 − γ) = {1 / (1 - discount):.0f})" if discount < 1 else "Q at the start"
    columns = ["seed", "environment steps", "episodes", "best evaluation", "20 fresh episodes", "worst of them", start]
    report.table("runs on CartPole-v1", [*columns, "seconds"], rows)
    return runs


def _without(report, runs, settings, seed):
    """The same seeds with a part left out, as far as `max_steps`, which the last round may pass by a few steps."""
    kinds, steps = {"all parts": runs}, settings["max_steps"]
    for name, change in (
        ("memory of the last 256 steps only", {"capacity": 256}),  # no more than one round
        ("next action chosen and valued by the target", {"double": False}),
    ):
        changed = {**settings, "warmup_steps": min(1000, steps // 2), **change}
        kinds[name] = [train_dqn("CartPole-v1", seed=seed + number, **changed) for number in range(len(runs))]
    rows = []
    for name, group in kinds.items():
        best = [max([mean for at, mean in run.evaluations if at <= 1.01 * steps], default=0.0) for run in group]
        rows.append([name, *plots.mean_and_error(best), int(np.sum(np.array(best) >= 475))])
    columns = ["trained with", "best evaluation, mean", "standard error", f"runs of {len(runs)} that reach 475"]
    report.table(f"what is reached within {steps:,} environment steps", columns, rows)
    report.note(
        "Sixteen copies that act together mix their steps already: CartPole asks little of the memory. The maximum "
        "over values that are themselves estimates may do harm, as what is overestimated is what it picks; "
        "whether it does here, the standard errors in the table say."
    )


def _figure(runs, seed):
    figure, (left, right) = plots.subplots(1, 2, figsize=(11, 4.3))
    first = f"episodes, seed {seed}"
    left.plot(runs[0].ends / 1000, runs[0].returns, ".", color="gray", markersize=3, alpha=0.5, label=first)
    for number, run in enumerate(runs[:4]):
        steps, means = np.transpose(run.evaluations)
        style = plots.LINE_STYLES[number]
        left.plot(steps / 1000, means, style, marker="o", color=f"C{number}", label=f"greedy, seed {seed + number}")
    left.set(xlabel="environment steps, thousands", ylabel="return", ylim=(0, LIMIT * 1.04))
    left.set_title("Episodes get longer until\nthe pole stands to the end")
    left.legend(loc="upper left")
    angles, speeds = np.linspace(-12, 12, 81), np.linspace(-1.5, 1.5, 81)
    grid = np.zeros((81, 81, 4), np.float32)  # (speeds, angles, state): the cart in the middle, at rest
    grid[..., 2], grid[..., 3] = np.deg2rad(angles), speeds[:, None]
    difference = np.diff(numpy_forward(runs[0].network)(grid.reshape(-1, 4)))[:, 0].reshape(81, 81)
    limit = max(float(np.quantile(np.abs(difference), 0.98)), 1e-6)  # a few large values shall not bleach the rest
    plots.heatmap(difference, xlabel="angle of the pole, degrees", ylabel="its speed, radians/s", ax=right,
                  label="Q(push right) − Q(push left)", title="It pushes to the side\nto which the pole falls",
                  origin="lower", extent=(-12, 12, -1.5, 1.5), cmap="PuOr", vmin=-limit, vmax=limit)  # fmt: skip
    if difference.min() < 0 < difference.max():
        right.contour(angles, speeds, difference, levels=[0], colors="black", linewidths=1.5)
    return figure
