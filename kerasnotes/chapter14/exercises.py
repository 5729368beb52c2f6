"""Tasks of chapter 14: merging neighbours, a loss for balance, what a divided layer sends."""

from kerasnotes.course.tasks import Predict, Value, Write, Wrong

# --- 14.1 One merge ---------------------------------------------------------------------------------------------------


def _merged(tokens, pair, overlap=False, once=False, swapped=False):
    found, place, done = [], 0, False
    pair = pair[::-1] if swapped else pair
    while place < len(tokens):
        if tuple(tokens[place : place + 2]) == tuple(pair) and not done:
            found.append("".join(pair))
            place += 1 if overlap else 2
            done = once
        else:
            found.append(tokens[place])
            place += 1
    return found


def _overlapping(tokens, pair):
    return _merged(tokens, pair, overlap=True)


def _only_first(tokens, pair):
    return _merged(tokens, pair, once=True)


def _turned(tokens, pair):
    return _merged(tokens, pair, swapped=True)


def _letters_joined(tokens, pair):
    return " ".join(tokens).replace(" ".join(pair), "".join(pair)).split()


def _check_merge(trial):
    trial.equal("l o w e r, merge (l, o)", ["l", "o", "w", "e", "r"], ("l", "o"))
    trial.equal("a a a, merge (a, a)", ["a", "a", "a"], ("a", "a"))
    trial.equal("two places", ["l", "o", "w", "l", "o", "g"], ("l", "o"))
    trial.equal("no place", ["n", "e", "w"], ("l", "o"))
    trial.equal("a token that only ends in the pair's first", ["al", "o", "l", "o"], ("l", "o"))
    for length in (1, 8, 40):
        letters = [str(each) for each in trial.rng.choice(["a", "b"], size=length)]
        trial.equal(f"{length} letters", letters, ("a", "b"))


merge = Write(
    title="Merge a pair of neighbours",
    lesson="chapter14.subwords",
    minutes=15,
    text=r"""Byte pair encoding merges one pair of neighbours after the other. Write one merge: wherever the two tokens
of the pair stand side by side, they become one, from left to right. What becomes of a, a, a when the pair
(a, a) is merged?""",
    start='''def merge(tokens, pair):
    """The tokens after one merge.

    Args:
        tokens: List of strings.
        pair: Two strings, the tokens to join where they are neighbours.

    Returns:
        A new list of strings.
    """
    ...
''',
    name="merge",
    check=_check_merge,
    wrong=(
        Wrong(_overlapping, "a token that has been merged is used once more: go on behind the pair"),
        Wrong(_only_first, "only the first place was merged: all of them are"),
        Wrong(_letters_joined, "the end of a longer token was taken for the pair's first: compare whole tokens"),
        Wrong(_turned, "the pair has an order: its first token stands before its second"),
    ),
    solution_code="""def merge(tokens, pair):
    found, place = [], 0
    while place < len(tokens):
        if tuple(tokens[place : place + 2]) == tuple(pair):
            found.append("".join(pair))
            place += 2  # behind the pair
        else:
            found.append(tokens[place])
            place += 1
    return found
""",
    hints=(
        "A place that moves by one or by two needs a while loop.",
        "tokens[place : place + 2] is shorter than two at the end: comparing it with the pair is then False.",
        "If the pair begins at this place, append the joined token and go on two places further.",
    ),
)

# --- 14.2 A loss for balance -----------------------------------------------------------------------------------------


def _balance(probabilities, expert, factor=None, share="routed", mean=True):
    import tensorflow as tf

    experts = probabilities.shape[1]
    routed = tf.reduce_mean(tf.one_hot(expert, experts), axis=0)
    p = tf.reduce_mean(probabilities, axis=0)
    routed = p if share == "p" else routed
    p = p if mean else tf.reduce_sum(probabilities, axis=0)
    return (experts if factor is None else factor) * tf.reduce_sum(routed * p)


def _without_factor(probabilities, expert):
    return _balance(probabilities, expert, factor=1.0)


def _squared(probabilities, expert):
    return _balance(probabilities, expert, share="p")


def _summed(probabilities, expert):
    return _balance(probabilities, expert, mean=False)


def _likeliest(probabilities, expert):
    import tensorflow as tf

    return _balance(probabilities, tf.argmax(probabilities, axis=1))


def _check_balance(trial):
    import tensorflow as tf

    even = tf.fill((4, 2), 0.5)
    trial.equal("even probabilities, two tokens each", even, tf.constant([0, 0, 1, 1]))
    trial.equal("even probabilities, all to expert 0", even, tf.constant([0, 0, 0, 0]))
    trial.equal("certain of expert 0", tf.constant([[1.0, 0.0]] * 3), tf.constant([0, 0, 0]))
    for tokens, experts in ((5, 3), (16, 4)):
        p = tf.nn.softmax(tf.constant(trial.rng.normal(size=(tokens, experts)), tf.float32))
        expert = tf.constant(trial.rng.integers(0, experts, tokens))  # wherever they were sent
        trial.equal(f"{tokens} tokens, {experts} experts", p, expert)
        trial.gradient(f"slopes, {experts} experts", p, expert, of=(0,))


balance = Write(
    title="A loss for balance",
    lesson="chapter14.switch",
    minutes=15,
    text=r"""A router gives each token a probability for each of $n$ experts and sends it to one of them. Write the
loss for balance, $n \sum_e f_e P_e$, where $f_e$ is the share of the tokens that go to expert $e$ and $P_e$
the mean of its probabilities. Before you run it: what is it when every token goes to one expert with
certainty?""",
    start='''import tensorflow as tf


def load_balancing_loss(probabilities, expert):
    """Large where the same experts are likely and chosen.

    Args:
        probabilities: Tensor (tokens, experts).
        expert: Ids (tokens,) of the expert that each token is sent to.

    Returns:
        A number; its slope reaches the probabilities.
    """
    ...
''',
    name="load_balancing_loss",
    check=_check_balance,
    wrong=(
        Wrong(_without_factor, "the number of experts is missing: even routing must give 1"),
        Wrong(_squared, "f is the share of tokens that were *sent*, not the mean probability"),
        Wrong(_likeliest, "tokens are counted where `expert` says, which need not be where they are likeliest"),
        Wrong(_summed, "P is the *mean* over the tokens, not the sum"),
    ),
    solution="chapter14.switch.load_balancing_loss",
    hints=(
        "tf.one_hot(expert, experts) has a 1 where a token goes; its mean over the tokens is f.",
        "P is the mean of the probabilities over the tokens, (experts,).",
        "n · sum(f · P): with certainty for one expert f = P = (1, 0, …), so the loss is n.",
    ),
)

# --- 14.3 What a divided layer sends ----------------------------------------------------------------------------------

sent = Predict(
    title="What a divided layer sends",
    lesson="chapter14.model_parallel",
    minutes=15,
    text=r"""A dense layer from 512 units to 2048 and another back to 512 are divided over 4 devices, the first by
columns, the second by rows. 100 tokens pass. How many numbers of the two kernels does each device hold (no
biases)? How large is the tensor that is summed over the devices on the way forward? And how many such sums
does a block of attention and feed-forward layer need, forward and backward together?""",
    hints=(
        "By columns: each device has all inputs and a quarter of the hidden units. By rows: its quarter of them.",
        "What the second layer's parts compute has the full size of the output, and must be added up.",
        "One sum forward and one backward for each half of the block.",
    ),
    values=(
        Value(
            "held",
            "numbers of the two kernels on each device",
            want=lambda: 2 * 512 * 2048 // 4,
            rtol=0,
            wrong=((lambda: 2 * 512 * 2048, "that is all of them: each device has a quarter"),),
        ),
        Value(
            "summed",
            "numbers of the tensor that is summed on the way forward",
            want=lambda: 100 * 512,
            rtol=0,
            wrong=(
                (lambda: 100 * 2048, "the hidden units are not exchanged: each device goes on with its own"),
                (lambda: 100 * 512 // 4, "every device has a summand for *all* outputs"),
            ),
        ),
        Value(
            "sums",
            "sums of a block, forward and backward together",
            want=lambda: 4,
            rtol=0,
            wrong=((lambda: 2, "that is the way forward: the way back needs as many"),),
        ),
    ),
    solution_code="""held = 512 * (2048 // 4) + (2048 // 4) * 512
summed = 100 * 512  # each device's share of every output
sums = 2 * 2  # two halves of the block, two directions
""",
)

TASKS = (merge, balance, sent)
