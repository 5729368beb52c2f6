"""Steps in a row resemble each other, so that thirty of them tell as little as one; drawn from a memory they differ.

A network that learns from the last steps learns the last second. What the reader should see: the memory keeps what is
newest and draws evenly from all of it; a batch of 32 steps in a row is worth about one independent step, a batch drawn
from a long memory is worth 32; and a memory that is too short forgets what would have made the difference, even if
sixteen copies of the world fill it together.

Notes: chapter 12, "Deep Q-network" (深度Q网络: 经验回放).
Source: Lin 1992, doi:10.1007/BF00992699; Mnih et al. 2015, doi:10.1038/nature14236, algorithm 1.
"""

import numpy as np

from kerasnotes import plots
from kerasnotes.chapter12.vector_environments import make_environments, vector_steps
from kerasnotes.parts import whole

SMOKE = {"calls": 300, "batches": 50}
SECONDS = 4


class ReplayBuffer:
    """The last `capacity` transitions, to draw from at random. New ones overwrite the oldest.

    Args:
        capacity: Number of transitions that it holds, at least 1.
        state_shape: Shape of one state, such as `(4,)`.
        seed: Seed of the draws.

    Raises:
        ValueError: If `capacity` or a size is not a positive whole number.

    Source: Lin 1992, doi:10.1007/BF00992699; Mnih et al. 2015, algorithm 1.
    """

    def __init__(self, capacity, state_shape, seed):
        self.capacity, self.added = whole("capacity", capacity), 0
        for size in state_shape:
            whole("state_shape", size)
        self.states = np.zeros((capacity, *state_shape), np.float32)
        self.next_states = np.zeros_like(self.states)
        self.actions = np.zeros(capacity, np.int32)
        self.rewards = np.zeros(capacity, np.float32)
        self.terminated = np.zeros(capacity, bool)
        self.rng = np.random.default_rng(seed)

    def __len__(self):
        """Number of transitions held."""
        return min(self.added, self.capacity)

    def add(self, states, actions, rewards, next_states, terminated):
        """Store one transition, or a batch of them with one more axis in front.

        `terminated` says that nothing follows the next state. It is False for a step that was only truncated.

        Raises:
            ValueError: If shapes do not fit together, or an action is not a whole number.
        """
        new = [np.asarray(part) for part in (states, actions, rewards, next_states, terminated)]
        if new[1].ndim == 0:
            new = [part[None] for part in new]
        count, shape = len(new[1]), self.states.shape[1:]
        want = [(count, *shape), (count,), (count,), (count, *shape), (count,)]
        if [part.shape for part in new] != want:
            raise ValueError(f"states, ...: expected shapes {want}, got {[part.shape for part in new]}")
        if new[1].dtype.kind not in "iu":
            raise ValueError(f"actions: expected whole numbers, got {new[1].dtype}")
        new = [part[-self.capacity :] for part in new]  # of a larger batch only the end would be left anyway
        places = np.arange(self.added + count - len(new[1]), self.added + count) % self.capacity
        for kept, part in zip(self._parts(), new, strict=True):
            kept[places] = part
        self.added += count

    def sample(self, batch_size):
        """Draw transitions uniformly, with replacement.

        Returns:
            `(states, actions, rewards, next_states, terminated)`, each (batch_size, ...).

        Raises:
            ValueError: If the buffer is empty, or `batch_size` is not a positive whole number.
        """
        if not len(self):
            raise ValueError("sample: expected a buffer with at least one transition, got an empty one")
        drawn = self.rng.integers(len(self), size=whole("batch_size", batch_size))
        return tuple(part[drawn] for part in self._parts())

    def _parts(self):
        return self.states, self.actions, self.rewards, self.next_states, self.terminated


def effective_size(batches, everything):
    """How many independent steps a batch is worth: the variance of single steps over that of the batches' means.

    Independent draws give the size of the batch. What is alike in a batch does not cancel in its mean.

    Args:
        batches: Array (batches, batch_size) of one number of each step.
        everything: Array (steps,) of that number for all steps that there are.

    Returns:
        A float.

    Raises:
        ValueError: If there are fewer than two batches, or all steps are alike.
    """
    batches, everything = np.asarray(batches, dtype=np.float64), np.asarray(everything, dtype=np.float64)
    if batches.ndim != 2 or len(batches) < 2 or not np.var(everything) > 0:
        raise ValueError(f"batches: expected several (batches, batch_size) of different steps, got {batches.shape}")
    return float(np.var(everything) / np.mean(np.square(batches.mean(axis=1) - everything.mean())))


def example():
    """Eight steps into five places, and what a batch of a slow wave is worth, in a row and drawn."""
    memory = ReplayBuffer(capacity=5, state_shape=(1,), seed=0)
    for number in range(8):
        memory.add([number], number % 2, 1.0, [number + 1], terminated=number == 7)
    print("kept:", memory.states[:, 0], "- the steps 0, 1 and 2 are gone")
    states, actions, rewards, next_states, terminated = memory.sample(batch_size=4)
    print("drawn:", *zip(states[:, 0], actions, rewards, next_states[:, 0], terminated, strict=True), sep="\n  ")

    wave = np.sin(np.arange(20_000) / 100)
    memory = ReplayBuffer(20_000, (1,), seed=0)
    memory.add(wave[:, None], np.zeros(20_000, int), np.zeros(20_000), wave[:, None], np.zeros(20_000, bool))
    drawn = np.array([memory.sample(32)[0][:, 0] for _ in range(500)])
    print("32 steps in a row are worth", round(effective_size(wave[: 625 * 32].reshape(625, 32), wave), 2))
    print("32 steps drawn are worth   ", round(effective_size(drawn, wave), 2))


def lesson(report, *, calls: int = 4000, batches: int = 500, batch_size: int = 32, seed: int = 0):
    """Fill the memory, draw from it, and compare batches in a row with batches from short and long memories.

    Args:
        report: The report to write to.
        calls: Calls of `step` of sixteen copies of CartPole (300 to 100000).
        batches: Batches of each kind (20 to 100000).
        batch_size: Steps in a batch (2 to 256).
        seed: Seed of all random draws (0 to 4294967295).
    """
    _memory(report, seed)
    positions = _positions(calls, seed)  # (calls, copies)
    everything, rng = positions.ravel(), np.random.default_rng((seed, 3))
    starts = rng.integers(len(positions) - batch_size, size=batches)
    sizes = {
        "in a row, one copy": effective_size([positions[at : at + batch_size, 0] for at in starts], positions[:, 0])
    }
    joint = rng.integers(len(everything) - batch_size, size=batches)
    sizes["in a row, 16 copies"] = effective_size([everything[at : at + batch_size] for at in joint], everything)
    for capacity in (256, len(everything)):
        memory, drawn = ReplayBuffer(capacity, (1,), (seed, 4)), []
        for part in np.array_split(everything, batches):  # a batch after each part that is new
            count = np.zeros(len(part))
            memory.add(part[:, None], count.astype(int), count, part[:, None], count > 0)
            drawn.append(memory.sample(batch_size)[0][:, 0])
        name = f"from the last {capacity:,}" if capacity == 256 else "from all so far"
        sizes[name] = effective_size(drawn[batches // 10 :], everything)
    report.table(
        f"what a batch of {batch_size} is worth", ["drawn", "independent steps"], list(map(list, sizes.items()))
    )
    row, copies, short, long = sizes.values()
    report.at_most("in a row, one copy: a batch is worth no more than two steps", row, 2.0, trained=True)
    report.at_least("from a long memory it is worth at least five times as much", long / row, 5.0, trained=True)
    report.at_least("sixteen copies mix, too: more than one in a row", copies / row, 1.0, trained=True)
    report.at_least("and a long memory beats a short one", long / short, 1.0, trained=True)
    report.figure(
        "What a batch is worth",
        plots.bars([name.replace(", ", ",\n").replace(" the ", "\nthe ").replace(" all ", "\nall ") for name in sizes],
                   list(sizes.values()), ylabel="independent steps in a batch", bound=batch_size,
                   bound_label=f"{batch_size} independent draws", title="A memory makes steps differ"),
        alt="Four bars: a batch of steps in a row is worth about one independent step, sixteen copies make it worth "
        "many more, a short memory fewer than these, and a long one as many as the dashed line of independent draws.",
    )  # fmt: skip


def _memory(report, seed):
    memory = ReplayBuffer(5, (1,), seed)
    for number in range(8):
        memory.add([number], 0, 0.0, [number + 1], False)
    report.check("eight transitions into five places: the oldest three are gone", memory.states[:, 0], [5, 6, 7, 3, 4])
    places, draws = 50, 100_000
    memory = ReplayBuffer(places, (1,), (seed, 4))
    memory.add(np.arange(places)[:, None], np.arange(places), np.zeros(places), np.zeros((places, 1)), np.zeros(places))
    counts = np.bincount(memory.sample(draws)[1], minlength=places)
    expected = draws / places
    # The 0.999 quantile of the chi-squared distribution with 49 degrees of freedom.
    statistic = float(np.sum((counts - expected) ** 2) / expected)
    report.at_most("chi-squared statistic of 100,000 draws from 50 places", got=statistic, bound=85.351)


def _positions(calls, seed):
    """Positions (calls, 16) of carts that are balanced, most of the time: one step in five is pushed at random."""
    env, _ = make_environments("CartPole-v1", 16)
    rng, kept = np.random.default_rng((seed, 2)), []

    def policy(seen):
        balance = seen[:, 2] + 0.5 * seen[:, 3] + 0.05 * seen[:, 0] + 0.1 * seen[:, 1] > 0
        return np.where(rng.random(16) < 0.2, rng.integers(2, size=16), balance.astype(int))

    stream = vector_steps(env, policy, seed)
    last = np.zeros(16)
    for _ in range(calls):
        moved, states, *_ = next(stream)
        last[moved] = states[:, 0]
        kept.append(last.copy())
    return np.array(kept)
