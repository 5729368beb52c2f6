"""The tasks of chapter 05: parts of the error, honest folds, stopping early, dropout, penalties, momentum, labels."""

import math

import numpy as np

from kerasnotes.course.tasks import Mend, Predict, Value, Write, Wrong

# --- 05.1 Bias and variance ------------------------------------------------------------------------------------------


def _variance_over_inputs(predictions, truth):
    return np.mean((predictions.mean(axis=0) - truth) ** 2), predictions.var(axis=1).mean()


def _total_as_bias(predictions, truth):
    return np.mean((predictions - truth) ** 2), predictions.var(axis=0).mean()


def _not_squared(predictions, truth):
    return np.mean(predictions.mean(axis=0) - truth), predictions.var(axis=0).mean()


def _cancelling(predictions, truth):
    return np.mean(predictions.mean(axis=0) - truth) ** 2, predictions.var(axis=0).mean()


def _one_less(predictions, truth):
    return np.mean((predictions.mean(axis=0) - truth) ** 2), predictions.var(axis=0, ddof=1).mean()


def _one_variance(predictions, truth):
    return np.mean((predictions.mean(axis=0) - truth) ** 2), predictions.var()


def _summed(predictions, truth):
    return np.sum((predictions.mean(axis=0) - truth) ** 2), predictions.var(axis=0).sum()


def _check_parts(trial):
    trial.equal("two training sets, two inputs", np.array([[1.0, 3.0], [3.0, 3.0]]), np.array([0.0, 3.0]))
    for sets, points in ((5, 3), (20, 8)):
        truth = trial.rng.normal(size=points)
        predictions = truth + trial.rng.normal(size=points) + trial.rng.normal(size=(sets, points))
        trial.equal(f"{sets} training sets, {points} inputs", predictions, truth)
    bias2, variance = trial.answer(predictions, truth)
    trial.check("together they are the mean squared distance from the truth", bias2 + variance,
                np.mean((predictions - truth) ** 2))  # fmt: skip


parts = Write(
    title="Bias and variance, counted",
    lesson="chapter05.error_decomposition",
    minutes=10,
    text=r"""A method was fitted to several training sets, and each fit has predicted the targets at the same inputs. At
one input, bias² is the squared distance of the mean prediction (over the training sets) from the truth, and
the variance is the mean squared distance of the predictions from *their* mean (NumPy's `var`). Return both,
averaged over the inputs.""",
    start='''import numpy as np


def bias_and_variance(predictions, truth):
    """Cut the error of a method into two parts.

    Args:
        predictions: Float array (sets, points): one row for each training set, one column for each input.
        truth: The true values at the inputs, without noise, (points,).

    Returns:
        `(bias2, variance)`, two numbers: means over the inputs.
    """
    ...
''',
    name="bias_and_variance",
    solution_code="""import numpy as np


def bias_and_variance(predictions, truth):
    mean_prediction = predictions.mean(axis=0)  # (points,), over the training sets
    bias2 = np.mean((mean_prediction - truth) ** 2)  # squared at each input, then averaged
    variance = np.mean(predictions.var(axis=0))  # scatter over the training sets, at each input
    return bias2, variance
""",
    hints=(
        "Stay at one input first, one column of the array. What is its mean, what its scatter?",
        "Over training sets means down the column: `axis=0`.",
        "Square the bias at every input before you average: errors of opposite sign must not cancel.",
        "`np.mean((predictions.mean(axis=0) - truth) ** 2)` and `np.mean(predictions.var(axis=0))`.",
    ),
    check=_check_parts,
    wrong=(
        Wrong(
            _variance_over_inputs, "the variance was taken over the inputs: it is a scatter over training sets, axis 0"
        ),
        Wrong(_total_as_bias, "that is the whole squared error: for the bias the predictions are averaged first"),
        Wrong(_not_squared, "the bias was not squared: biases of opposite sign cancel"),
        Wrong(_cancelling, "the biases were averaged over the inputs before they were squared, so that they cancel"),
        Wrong(_one_less, "the variance divides by the number of sets less one (ddof=1): here it is the plain mean"),
        Wrong(_one_variance, "one variance was taken of all numbers: each input has a mean prediction of its own"),
        Wrong(_summed, "the inputs were summed: both parts are means over them"),
    ),
)

# --- 05.2 Noise that can be predicted --------------------------------------------------------------------------------

_FOLDS = '''import numpy as np


def best_features(x, y, kept):
    """The `kept` features whose class means lie farthest apart."""
    apart = np.abs(x[y == 1].mean(axis=0) - x[y == 0].mean(axis=0))
    return np.argsort(-apart)[:kept]


def cross_validated_accuracy(x, y, k, kept):
{before}    rows, correct = np.arange(len(x)), 0
    for test in np.array_split(rows, k):
        train = np.setdiff1d(rows, test)
{inside}
        centres = [x_train[y[train] == label].mean(axis=0) for label in (0, 1)]
        distances = np.array([((x_test - centre) ** 2).sum(axis=1) for centre in centres])
        correct += (distances.argmin(axis=0) == y[{judged}]).sum()
    return correct / {count}
'''


def _folds_program(*inside, before="", judged="test", count="len(x)"):
    lines = "\n".join(f"        {line}" for line in inside)
    return _FOLDS.format(before=before, inside=lines, judged=judged, count=count)


def _chosen(choice, columns="chosen", train="train", test="test"):
    return choice, f"x_train, x_test = x[{train}][:, {columns}], x[{test}][:, {columns}]"


def _check_folds(trial):
    x = np.array([[5.0, 8.0], [1.0, 2.0], [0.0, 5.0], [8.0, 0.0], [3.0, 6.0], [5.0, 6.0]])
    trial.equal("six rows, two features, one kept, three folds", x, np.array([0, 1, 0, 1, 1, 0]), 3, 1)
    for rows, features, k, kept in ((40, 60, 5, 4), (60, 100, 4, 5), (50, 200, 5, 3)):
        x, y = trial.rng.normal(size=(rows, features)), np.arange(rows) % 2
        trial.equal(f"pure noise: {rows} rows, {kept} of {features} features, {k} folds", x, y, k, kept)
    x, y = trial.rng.normal(size=(200, 500)), np.arange(200) % 2
    trial.at_most("pure noise, 200 rows, 10 of 500 features: no better than chance", trial.answer(x, y, 5, 10), 0.6)


folds = Mend(
    title="Noise that seems to be predictable",
    lesson="chapter05.cross_validation",
    minutes=15,
    text="""This program keeps the features that tell the classes apart best and cross-validates a classifier (the
nearer class mean) on them. On pure noise, 200 rows with 500 features of which 10 are kept, it reports an
accuracy of nearly 0.7; the truth is ½. Mend it, so that no prediction has seen the label that it is judged
by. The order of the folds and the way to choose features stay as they are.""",
    start='''import numpy as np


def best_features(x, y, kept):
    """The `kept` features whose class means lie farthest apart."""
    apart = np.abs(x[y == 1].mean(axis=0) - x[y == 0].mean(axis=0))
    return np.argsort(-apart)[:kept]


def cross_validated_accuracy(x, y, k, kept):
    """Share of correct answers when every row is tested once.

    Args:
        x: Features (rows, features).
        y: Classes (rows,), 0 or 1.
        k: Number of folds; they are consecutive rows.
        kept: How many features are used.

    Returns:
        The accuracy, a number.
    """
    chosen = best_features(x, y, kept)
    x = x[:, chosen]
    rows, correct = np.arange(len(x)), 0
    for test in np.array_split(rows, k):
        train = np.setdiff1d(rows, test)
        centres = [x[train][y[train] == label].mean(axis=0) for label in (0, 1)]
        distances = np.array([((x[test] - centre) ** 2).sum(axis=1) for centre in centres])
        correct += (distances.argmin(axis=0) == y[test]).sum()
    return correct / len(x)
''',
    name="cross_validated_accuracy",
    solution_code='''import numpy as np


def best_features(x, y, kept):
    """The `kept` features whose class means lie farthest apart."""
    apart = np.abs(x[y == 1].mean(axis=0) - x[y == 0].mean(axis=0))
    return np.argsort(-apart)[:kept]


def cross_validated_accuracy(x, y, k, kept):
    """Share of correct answers when every row is tested once."""
    rows, correct = np.arange(len(x)), 0
    for test in np.array_split(rows, k):
        train = np.setdiff1d(rows, test)
        chosen = best_features(x[train], y[train], kept)  # a choice is learnt from data, so inside each fold
        x_train, x_test = x[train][:, chosen], x[test][:, chosen]
        centres = [x_train[y[train] == label].mean(axis=0) for label in (0, 1)]
        distances = np.array([((x_test - centre) ** 2).sum(axis=1) for centre in centres])
        correct += (distances.argmin(axis=0) == y[test]).sum()
    return correct / len(x)
''',
    hints=(
        "Which lines read `y`? For each, ask whether it may know the labels of the test rows.",
        "Whatever is learnt from data, a choice of features as well, is learnt inside each fold.",
        "Call `best_features` in the loop, with the training rows and their labels only.",
        "`chosen = best_features(x[train], y[train], kept)`, then `x[train][:, chosen]`, `x[test][:, chosen]`; leave "
        "`x` itself whole for the next fold.",
    ),
    check=_check_folds,
    wrong=(
        Wrong(
            _folds_program(*_chosen("chosen = best_features(x, y, kept)")),
            "the choice stands in the loop now, but it still reads all labels, those of the test rows as well",
        ),
        Wrong(
            _folds_program(*_chosen("chosen = best_features(x[test], y[test], kept)")),
            "the features are chosen by the test rows: only the training rows may be asked",
        ),
        Wrong(
            _folds_program(
                "x = x[:, best_features(x[train], y[train], kept)]",
                "x_train, x_test = x[train], x[test]",
            ),
            "`x` itself shrinks in the first fold: the later folds can only choose among its features",
        ),
        Wrong(
            _folds_program(
                *_chosen("chosen = best_features(x[train], y[train], kept)", test="train"),
                judged="train",
                count="(len(x) * (k - 1))",
            ),
            "the accuracy is that on the training rows: each row is judged when it was left out",
        ),
        Wrong(
            _folds_program("x_train, x_test = x[train], x[test]"),
            "no features are chosen any more: the best ones of each fold are to be used",
        ),
    ),
)

# --- 05.3 When to stop -----------------------------------------------------------------------------------------------


def _stop(
    history, patience, min_delta=0.0, *, strictly=False, against_last=False, lowest=False, reset=True, sign=1.0,
    first_is_free=False,
):  # fmt: skip
    best, count = math.inf, 0
    for epoch, value in enumerate(history):
        count += 1
        reference = history[epoch - 1] if against_last and epoch else best
        if value + sign * min_delta < reference:
            best, count = value, 0 if reset else count - 1
        else:
            best = min(best, value) if lowest else best
            if count > patience if strictly else count >= patience:
                return epoch
    return None


def _one_epoch_late(history, patience, min_delta=0.0):
    return _stop(history, patience, min_delta, strictly=True)


def _against_last_epoch(history, patience, min_delta=0.0):
    return _stop(history, patience, min_delta, against_last=True)


def _lowest_value(history, patience, min_delta=0.0):
    return _stop(history, patience, min_delta, lowest=True)


def _never_reset(history, patience, min_delta=0.0):
    return _stop(history, patience, min_delta, reset=False)


def _delta_turned(history, patience, min_delta=0.0):
    return _stop(history, patience, min_delta, sign=-1.0)


def _delta_ignored(history, patience, min_delta=0.0):
    return _stop(history, patience)


def _epochs_run(history, patience, min_delta=0.0):
    last = _stop(history, patience, min_delta)
    return None if last is None else last + 1


def _best_instead(history, patience, min_delta=0.0):
    last = _stop(history, patience, min_delta)
    return None if last is None else int(np.argmin(history[: last + 1]))


def _end_instead_of_none(history, patience, min_delta=0.0):
    last = _stop(history, patience, min_delta)
    return len(history) - 1 if last is None else last


def _check_stopping(trial):
    trial.equal("1.0, 0.8, 0.9, 0.85, 0.7 with patience 2", [1.0, 0.8, 0.9, 0.85, 0.7], 2)
    trial.equal("1.0, 0.9, 0.95, 0.8, 0.85, 0.86, 0.9 with patience 3", [1.0, 0.9, 0.95, 0.8, 0.85, 0.86, 0.9], 3)
    trial.equal("a loss that only falls: None", [1.0, 0.9, 0.8, 0.7], 1)
    trial.equal("falling by less than min_delta 0.15", [1.0, 0.9, 0.8, 0.7, 0.6, 0.5], 2, 0.15)
    trial.equal("1.0, 0.7, 0.9, 0.85, 0.8 with patience 2", [1.0, 0.7, 0.9, 0.85, 0.8], 2)
    for patience, delta in ((2, 0.0), (3, 0.0), (2, 0.015), (3, 0.035), (4, 0.015)):
        history = np.round(np.linspace(1, 0.6, 15) + trial.rng.normal(scale=0.04, size=15), 2).tolist()
        trial.equal(f"15 losses, patience {patience}, min_delta {delta:g}", history, patience, delta)
    from kerasnotes.chapter05.early_stopping import stopping_epoch

    histories = [np.round(trial.rng.uniform(0.5, 1, size=12), 2).tolist() for _ in range(50)]
    want = [-1 if (last := stopping_epoch(each, patience=3, mode="min")) is None else last for each in histories]
    got = [-1 if (last := trial.answer(list(each), 3)) is None else last for each in histories]
    trial.check("fifty random histories: where keras.callbacks.EarlyStopping stops, −1 for never", got=got, want=want)


stopping = Write(
    title="When to stop",
    lesson="chapter05.early_stopping",
    minutes=15,
    text=r"""Say after which epoch training ends. An epoch with the loss $v$ is progress if $v + Δ < v_{best}$, with
$v_{best}$ the loss at the last progress (the first epoch always is progress) and Δ = `min_delta`. A count
goes up by one in every epoch, and back to 0 at progress. Training ends after an epoch without progress in
which the count has reached the patience. Epochs count from 0; `None` if it never ends.""",
    start='''def stopping_epoch(history, patience, min_delta=0.0):
    """The last epoch that is run.

    Args:
        history: The validation loss after each epoch, a list of numbers.
        patience: How many epochs without progress are waited for, at least 1.
        min_delta: What progress has to exceed.

    Returns:
        Index of the epoch after which training ends, or None if the history never ends it.
    """
    ...
''',
    name="stopping_epoch",
    solution_code="""import math


def stopping_epoch(history, patience, min_delta=0.0):
    best, count = math.inf, 0
    for epoch, value in enumerate(history):
        count += 1
        if value + min_delta < best:
            best, count = value, 0  # only progress moves the mark
        elif count >= patience:
            return epoch
    return None
""",
    hints=(
        "Two things have to be remembered from epoch to epoch: the loss at the last progress, and a count.",
        "Start with `best = math.inf` and `count = 0`; in every epoch first `count += 1`.",
        "At progress the count is 0 again and best moves. Else, and only else, ask whether the count has reached the "
        "patience.",
        "`if value + min_delta < best: best, count = value, 0`, `elif count >= patience: return epoch`; after the loop "
        "`return None`.",
    ),
    check=_check_stopping,
    wrong=(
        Wrong(_one_epoch_late, "it stops one epoch late: the count has to reach the patience, not to exceed it"),
        Wrong(_against_last_epoch, "each epoch was compared with the one before: compare with the best so far"),
        Wrong(_lowest_value, "the mark moves without progress: a loss that is lower by less than min_delta leaves it"),
        Wrong(_never_reset, "the count is never set back: progress starts it from 0 again"),
        Wrong(_delta_turned, "min_delta has the wrong sign: a loss has to be lower by more than that"),
        Wrong(_delta_ignored, "min_delta is not used"),
        Wrong(_epochs_run, "that is the number of epochs run: the index of the last one is one less"),
        Wrong(_best_instead, "that is the epoch of the best loss: training ends some epochs later"),
        Wrong(_end_instead_of_none, "a history that never ends the training has the answer None, not its last epoch"),
    ),
)

# --- 05.4 Four ways to stop ------------------------------------------------------------------------------------------

_HISTORY = (1.0, 0.8, 0.7, 0.75, 0.72, 0.69, 0.74, 0.73, 0.71)
_CASES = (
    {"patience": 2}, {"patience": 3}, {"patience": 3, "min_delta": 0.02}, {"patience": 3, "baseline": 0.65},
)  # fmt: skip


def _last_epochs():
    from kerasnotes.chapter05.early_stopping import stopping_epoch

    return [stopping_epoch(_HISTORY, mode="min", **case) for case in _CASES]


def _restored_epochs():
    from kerasnotes.chapter05.early_stopping import best_epoch

    return [
        best_epoch(_HISTORY[: last + 1], mode="min", min_delta=case.get("min_delta", 0.0))
        for last, case in zip(_last_epochs(), _CASES, strict=True)
    ]


def _worse_than_seen():
    kept = zip(_last_epochs(), _restored_epochs(), strict=True)
    worse = [min(_HISTORY[: last + 1]) < _HISTORY[epoch] for last, epoch in kept]
    return 1 + worse.index(True)


four_ways = Predict(
    title="Four ways to stop",
    lesson="chapter05.early_stopping",
    minutes=15,
    text="""A validation loss runs 1.0, 0.8, 0.7, 0.75, 0.72, 0.69, 0.74, 0.73, 0.71 (epochs 0 to 8). After which epoch
does Keras's `EarlyStopping` end the training: with patience 2; with patience 3; with patience 3 and
`min_delta` 0.02; with patience 3 and a baseline of 0.65? And of which epoch are the weights that
`restore_best_weights` gives back? In one of the four cases they are not the best ones seen: in which (1 to
4)?""",
    hints=(
        "Write three lines under the losses: the mark (the loss at the last progress), progress or not, and the count.",
        "The count goes up in every epoch, then back to 0 at progress; it ends at an epoch without progress.",
        "With `min_delta` 0.02, 0.69 is no progress after 0.7: the mark stays at 0.7.",
        "With a baseline, progress sets the count back only if it also beats the baseline. 0.65 is never beaten: the "
        "count runs 1, 2, 3, 4, but ends nothing as long as the loss falls.",
    ),
    values=(
        Value(
            "last_epochs",
            "the last epoch run in the four cases, a list",
            want=_last_epochs,
            rtol=0,
            wrong=(
                (lambda: [5, 9, 6, 4], "epochs count from 0: those are the numbers of epochs run"),
                (lambda: [4, 8, 8, 3], "0.69 is no progress after 0.7 if it has to be lower by more than 0.02"),
                (lambda: [4, 8, 5, 8], "a baseline that is never beaten keeps the count from going back to 0"),
                (lambda: [4, 8, 5, 2], "at epoch 2 the loss still falls: an epoch with progress ends nothing"),
                (lambda: [3, 5, 4, 3], "one too early: the count is 1 in the first epoch without progress"),
                (lambda: [2, 5, 2, 2], "those are the best epochs: the training goes on after them"),
            ),
        ),
        Value(
            "restored_epochs",
            "the epoch of the weights given back, a list",
            want=_restored_epochs,
            rtol=0,
            wrong=(
                (lambda: [2, 5, 5, 2], "with `min_delta` the mark stays at epoch 2: 0.69 did not count as progress"),
                (lambda: [5, 5, 5, 5], "what comes after the stop is never run"),
                (_last_epochs, "those are the last epochs: the best so far is given back"),
            ),
        ),
        Value(
            "not_the_best",
            "the case whose weights are not the best ones seen, 1 to 4",
            want=_worse_than_seen,
            rtol=0,
            wrong=(
                (lambda: 1, "0.69 would have come later: with patience 2 it is never seen"),
                (lambda: 4, "training ends at epoch 3 there: 0.7 is the best loss seen"),
                (lambda: 2, "there 0.69 is the best and is given back; cases count from 1"),
            ),
        ),
    ),
    solution_code="""last_epochs = [
    4,  # progress at 0, 1, 2; the count is 1 at epoch 3, 2 at epoch 4
    8,  # 0.69 at epoch 5 is progress; then 1, 2, 3
    5,  # 0.69 + 0.02 is not below 0.7: the count goes on to 3
    3,  # the count runs 1, 2, 3 while the loss falls; epoch 3 is the first without progress, at the count 4
]
restored_epochs = [2, 5, 2, 2]
not_the_best = 3  # 0.69 at epoch 5 was seen, and was lower than the mark
""",
)

# --- 05.5 Inverted dropout -------------------------------------------------------------------------------------------


def _kept(x, rate, draws):
    import tensorflow as tf

    return tf.cast(draws >= rate, x.dtype)


def _inverted(x, rate, draws):
    return x * _kept(x, rate, draws) / (1 - rate)


def _rate_is_kept(x, rate, draws):
    return x * (1 - _kept(x, rate, draws)) / rate


def _wrong_ones(x, rate, draws):
    return x * (1 - _kept(x, rate, draws)) / (1 - rate)


def _classic(x, rate, draws):
    return x * _kept(x, rate, draws)


def _multiplied(x, rate, draws):
    return x * _kept(x, rate, draws) * (1 - rate)


def _divided_by_rate(x, rate, draws):
    return x * _kept(x, rate, draws) / rate


def _share_of_this_mask(x, rate, draws):
    import tensorflow as tf

    kept = _kept(x, rate, draws)
    return x * kept / tf.reduce_mean(kept)


def _only_scaled(x, rate, draws):
    return x / (1 - rate)


def _check_dropout(trial):
    import tensorflow as tf

    x, draws = tf.constant([1.0, 2.0, 3.0, 4.0]), tf.constant([0.1, 0.3, 0.8, 0.2])
    trial.equal("1, 2, 3, 4 at rate 1/4: the draws keep 2 and 3", x, 0.25, draws)
    for shape, rate in (((3, 4), 0.5), ((2, 3, 5), 0.3)):
        x = tf.constant(trial.rng.normal(size=shape), tf.float32)
        draws = tf.constant(trial.rng.uniform(size=shape), tf.float32)
        trial.equal(f"shape {shape}, rate {rate}", x, rate, draws)
    trial.gradient("its gradient by x", x, rate, draws, of=(0,))
    trial.equal("rate 0 changes nothing", x, 0.0, draws)
    x, draws = tf.ones((4, 5)), tf.random.stateless_uniform((4, 5), (1, 0))
    want = tf.nn.experimental.stateless_dropout(x, 0.5, (1, 0))
    trial.check("equals tf.nn.experimental.stateless_dropout with the same draws", trial.answer(x, 0.5, draws), want)


dropout = Write(
    title="Inverted dropout",
    lesson="chapter05.dropout",
    minutes=10,
    text=r"""Write dropout as Keras has it in training. To make it repeatable the random numbers are given: `draws`,
uniform between 0 and 1, one for each number of `x`. A number is dropped (set to 0) where its draw is below
`rate`, and kept and divided by 1 − rate elsewhere. So each keeps its expectation, and nothing has to be done
afterwards.""",
    start='''import tensorflow as tf


def dropout(x, rate, draws):
    """Drop some numbers and enlarge the others.

    Args:
        x: Float tensor of any shape.
        rate: Probability of dropping, at least 0 and below 1.
        draws: Tensor of the shape and type of x, uniform in [0, 1).

    Returns:
        Tensor of the shape of x.
    """
    ...
''',
    name="dropout",
    solution_code="""import tensorflow as tf


def dropout(x, rate, draws):
    keep = draws >= rate  # True with probability 1 - rate
    return tf.where(keep, x / (1 - rate), tf.zeros_like(x))
""",
    hints=(
        "First a mask: which numbers stay? A uniform draw is below `rate` with just that probability.",
        "`tf.where(keep, …, …)` chooses number by number; or multiply by `tf.cast(keep, x.dtype)`.",
        "Of the numbers a share 1 − rate survives. Which factor brings their mean back?",
        "`tf.where(draws >= rate, x / (1 - rate), tf.zeros_like(x))`.",
    ),
    check=_check_dropout,
    wrong=(
        Wrong(_rate_is_kept, "`rate` was taken for the share that is kept: it is the share that is dropped"),
        Wrong(_wrong_ones, "the wrong ones are kept: a number is dropped where its draw is below the rate"),
        Wrong(_classic, "the kept numbers are not enlarged: that is the classic form"),
        Wrong(_multiplied, "multiplied by 1 − rate: in training the kept numbers are *divided* by it"),
        Wrong(_divided_by_rate, "divided by the rate: the share that is kept is 1 − rate"),
        Wrong(
            _share_of_this_mask,
            "divided by the share that this mask happens to keep: the factor is always 1/(1 − rate)",
        ),
        Wrong(_only_scaled, "nothing was dropped"),
    ),
)

# --- 05.6 Four masks -------------------------------------------------------------------------------------------------

_INPUTS, _WEIGHTS, _RATE = (2.0, -1.0), (3.0, 4.0), 0.25
_ORDER = (3, 1, 2, 0)  # all_masks counts in binary: both, first only, second only, none


def _masks(what, rectified=False):
    from kerasnotes.chapter05.thinned_networks import all_masks

    masks, probabilities = all_masks(2, _RATE)
    outputs = (masks * _INPUTS) @ np.array(_WEIGHTS)
    if what == "mean":
        return float(probabilities @ (np.maximum(outputs, 0) if rectified else outputs))
    return {"outputs": outputs, "probabilities": probabilities}[what][list(_ORDER)].tolist()


def _scaled():
    from kerasnotes.chapter05.dropout import classic_inference

    return float(np.asarray(classic_inference(_INPUTS, _RATE)) @ _WEIGHTS)


four_masks = Predict(
    title="Four masks",
    lesson="chapter05.thinned_networks",
    minutes=10,
    text="""A linear unit has the inputs (2, −1) and the weights (3, 4). Its inputs are dropped with rate ¼, in the
classic form. Take the four masks in the order: both kept, only the first, only the second, none. What are the
outputs, their probabilities, and the mean output? What does the scaled unit answer (inputs times 1 − rate)?
Then put a ReLU behind the unit: the mean over the masks, and the ReLU of the scaled unit. Which is larger,
and always?""",
    hints=(
        "Kept inputs are not enlarged in the classic form: with both kept the output is 2 · 3 − 1 · 4.",
        "An input is kept with probability ¾ and dropped with ¼, each by itself: multiply.",
        "The mean weights each output by its probability.",
        "With the ReLU, cut off negative outputs before you take the mean; for the scaled unit, after scaling.",
    ),
    values=(
        Value(
            "outputs",
            "both, only the first, only the second, none, a list",
            want=lambda: _masks("outputs"),
            wrong=(
                (lambda: [8 / 3, 8.0, -16 / 3, 0.0], "that is the inverted form: the classic one leaves kept inputs"),
                (lambda: [2.0, -4.0, 6.0, 0.0], "“only the first” keeps the first input, it does not drop it"),
                (lambda: [1.5, 4.5, -3.0, 0.0], "inputs are not scaled in training: that comes afterwards"),
            ),
        ),
        Value(
            "probabilities",
            "of the four masks in the same order, a list",
            want=lambda: _masks("probabilities"),
            wrong=(
                (lambda: [0.25] * 4, "the masks are not equally probable: each input is kept with probability ¾"),
                (lambda: [1 / 16, 3 / 16, 3 / 16, 9 / 16], "¼ is the probability of dropping, not of keeping"),
            ),
        ),
        Value(
            "mean_output",
            "the mean output",
            want=lambda: _masks("mean"),
            wrong=(
                (lambda: 1.0, "the plain mean: the masks are not equally probable"),
                (lambda: 2.0, "that is the output without dropout"),
                (lambda: 0.5, "¼ was taken for the probability of keeping"),
            ),
        ),
        Value(
            "scaled_output",
            "the scaled unit",
            want=_scaled,
            wrong=(
                (lambda: 2.0, "that is the unit without scaling"),
                (lambda: 0.5, "scaled by the rate: 1 − rate is the share kept"),
                (lambda: 8 / 3, "divided by 1 − rate: classic dropout multiplies afterwards"),
            ),
        ),
        Value(
            "mean_rectified",
            "the mean over the masks behind a ReLU",
            want=lambda: _masks("mean", rectified=True),
            wrong=(
                (lambda: 1.5, "the ReLU comes before the mean: −4 becomes 0 first"),
                (lambda: 2.0, "the plain mean: the masks are not equally probable"),
            ),
        ),
        Value(
            "rectified_scaled",
            "the ReLU of the scaled unit",
            want=lambda: max(_scaled(), 0.0),
            wrong=((lambda: 2.25, "that is the mean over the masks: scale first, then one ReLU"),),
        ),
    ),
    solution_code="""outputs = [2 * 3 - 1 * 4, 2 * 3, -1 * 4, 0]
probabilities = [0.75 * 0.75, 0.75 * 0.25, 0.25 * 0.75, 0.25 * 0.25]
mean_output = sum(p * o for p, o in zip(probabilities, outputs))
scaled_output = 0.75 * (2 * 3 - 1 * 4)  # the same: exact for a linear unit
mean_rectified = sum(p * max(o, 0) for p, o in zip(probabilities, outputs))
rectified_scaled = max(scaled_output, 0)
# The mean over the masks is never the smaller one: a ReLU is convex (Jensen's inequality). They are equal where all
# outputs have one sign.
""",
)

# --- 05.7 Soft thresholding ------------------------------------------------------------------------------------------


def _tensors():
    import tensorflow as tf

    return tf


def _crossing_zero(w, amount):
    tf = _tensors()
    return w - amount * tf.sign(w)


def _sign_lost(w, amount):
    tf = _tensors()
    return tf.nn.relu(tf.abs(w) - amount)


def _hard(w, amount):
    tf = _tensors()
    return tf.where(tf.abs(w) > amount, w, tf.zeros_like(w))


def _one_side(w, amount):
    tf = _tensors()
    return tf.nn.relu(w - amount)


def _all_down(w, amount):
    tf = _tensors()
    return tf.where(tf.abs(w) > amount, w - amount, tf.zeros_like(w))


def _squares(w, amount):
    return w / (1 + 2 * amount)


def _clipped(w, amount):
    tf = _tensors()
    return tf.clip_by_value(w, -amount, amount)


def _check_threshold(trial):
    import tensorflow as tf

    trial.equal("3, −3, ½, −½ by 1", tf.constant([3.0, -3.0, 0.5, -0.5]), 1.0)
    for shape, amount in (((5,), 0.5), ((3, 4), 0.8)):
        trial.equal(f"shape {shape}, by {amount}", tf.constant(trial.rng.normal(size=shape)), amount)
    trial.equal("by 0: nothing changes", tf.constant([1.0, -2.0]), 0.0)
    trial.gradient("its slope: 1 outside, 0 inside", tf.constant([3.0, -2.0, 0.4]), 1.0, of=(0,))
    grid = np.linspace(-4, 4, 8001)
    a = np.array([2.5, -1.7, 0.3])
    best = grid[np.argmin((grid - a[:, None]) ** 2 / 2 + 0.6 * np.abs(grid), axis=1)]
    got = trial.answer(tf.constant(a), 0.6)
    trial.check("it is where ½ (w − a)² + 0.6 |w| is lowest, of 8001 tried", got=got, want=best, atol=1e-3)


threshold = Write(
    title="Soft thresholding",
    lesson="chapter05.regularizers",
    minutes=10,
    text=r"""One weight has the loss $½ (w − a)^2 + λ |w|$. Its minimum is at $sign(a) · max(|a| − λ, 0)$: every weight
moves towards zero by λ, and those that are closer become exactly zero. Write this for a tensor of weights,
number by number.""",
    start='''import tensorflow as tf


def soft_threshold(w, amount):
    """Move every weight towards zero, and to zero those that are closer.

    Args:
        w: Float tensor of any shape.
        amount: How far, a number of at least 0.

    Returns:
        Tensor of the shape of w.
    """
    ...
''',
    name="soft_threshold",
    solution_code="""import tensorflow as tf


def soft_threshold(w, amount):
    return tf.sign(w) * tf.nn.relu(tf.abs(w) - amount)
""",
    hints=(
        "Treat size and sign apart: `tf.abs(w)` and `tf.sign(w)`.",
        "The size shrinks by `amount`, but never below zero. Which activation does that?",
        "max(…, 0) of a tensor is `tf.nn.relu` or `tf.maximum(…, 0)`.",
        "`tf.sign(w) * tf.nn.relu(tf.abs(w) - amount)`.",
    ),
    check=_check_threshold,
    wrong=(
        Wrong(_crossing_zero, "weights near zero were carried across it: they have to stop at zero"),
        Wrong(_sign_lost, "the signs are lost: negative weights stay negative"),
        Wrong(_hard, "that is hard thresholding: the large weights have to move as well"),
        Wrong(_one_side, "negative weights were all cut off: those below −amount move up, towards zero"),
        Wrong(_all_down, "negative weights moved down, away from zero: they have to move up"),
        Wrong(_squares, "that is what L2 does: it divides, and makes no zeros"),
        Wrong(
            _clipped, "the weights were clipped to ±amount: that is just the part which soft thresholding takes away"
        ),
    ),
)

# --- 05.8 A heavy ball -----------------------------------------------------------------------------------------------


def _ball(gradient, start, learning_rate, beta, steps, *, mode="heavy"):
    w, v = np.array(start, float), np.zeros(len(start))
    path = [w]
    for _ in range(steps):
        g, old = gradient(w), v
        if mode == "damped":
            v = beta * v - (1 - beta) * learning_rate * g
        elif mode == "all_shrinks":
            v = beta * (v - learning_rate * g)
        elif mode == "uphill":
            v = beta * v + learning_rate * g
        else:
            v = beta * v - learning_rate * g
        move = {"old": old, "nesterov": beta * v - learning_rate * g, "plain": -learning_rate * g}.get(mode, v)
        w = w + move
        path.append(w)
    return np.array(path)


def _damped(gradient, start, learning_rate, beta, steps):
    return _ball(gradient, start, learning_rate, beta, steps, mode="damped")


def _all_shrinks(gradient, start, learning_rate, beta, steps):
    return _ball(gradient, start, learning_rate, beta, steps, mode="all_shrinks")


def _uphill(gradient, start, learning_rate, beta, steps):
    return _ball(gradient, start, learning_rate, beta, steps, mode="uphill")


def _old_velocity(gradient, start, learning_rate, beta, steps):
    return _ball(gradient, start, learning_rate, beta, steps, mode="old")


def _nesterov(gradient, start, learning_rate, beta, steps):
    return _ball(gradient, start, learning_rate, beta, steps, mode="nesterov")


def _plain(gradient, start, learning_rate, beta, steps):
    return _ball(gradient, start, learning_rate, beta, steps, mode="plain")


def _without_start(gradient, start, learning_rate, beta, steps):
    return _ball(gradient, start, learning_rate, beta, steps)[1:]


def _path_and_start(answer, gradient, start, *numbers):
    return answer(gradient, start, *numbers), start


def _check_ball(trial):
    trial.equal("slope w, from 1, η = ½, β = ½: 1, ½, 0, −¼", lambda w: w, np.array([1.0]), 0.5, 0.5, 3)
    for dims, beta, steps in ((2, 0.9, 5), (4, 0.3, 8)):
        curvatures, start = trial.rng.uniform(0.5, 3, size=dims), trial.rng.normal(size=dims)
        label = f"{dims} weights, β = {beta}, {steps} steps"
        trial.equal(label, lambda w, c=curvatures: c * w, start, 0.1, beta, steps)
        trial.equal("the same, and the start that was given", lambda w, c=curvatures: c * w, start, 0.1, beta, steps,
                    call=_path_and_start)  # fmt: skip
    import keras
    import tensorflow as tf

    library, variable = keras.optimizers.SGD(0.1, momentum=0.9), keras.Variable(start, dtype="float64")
    for _ in range(10):
        library.apply([tf.constant(curvatures) * variable], [variable])
    got = trial.answer(lambda w: curvatures * w, start.copy(), 0.1, 0.9, 10)[-1]
    trial.check("ends where Keras's SGD with momentum=0.9 ends", got=got, want=variable.numpy(), atol=1e-6)


ball = Write(
    title="A heavy ball",
    lesson="chapter05.momentum",
    minutes=10,
    text=r"""Write gradient descent with momentum, $v ← β v − η g$ and then $w ← w + v$, where $g$ is the gradient at
$w$ and $v$ is 0 at first. Return the path, the start included.""",
    start='''import numpy as np


def heavy_ball(gradient, start, learning_rate, beta, steps):
    """Descent that keeps a share of its last move.

    Args:
        gradient: Takes an array (dims,), returns the gradient there, (dims,).
        start: Where to begin, a float array (dims,). It is not changed.
        learning_rate: η, a positive number.
        beta: β, the share of the last move that is kept.
        steps: How many steps.

    Returns:
        The path, an array (steps + 1, dims).
    """
    ...
''',
    name="heavy_ball",
    solution_code="""import numpy as np


def heavy_ball(gradient, start, learning_rate, beta, steps):
    w, v = start, np.zeros_like(start)
    path = [w]
    for _ in range(steps):
        v = beta * v - learning_rate * gradient(w)
        w = w + v  # with the velocity just computed; a new array, since the old one is in the path
        path.append(w)
    return np.array(path)
""",
    hints=(
        "Two arrays are carried along, the place and the velocity; a list collects the places.",
        "The velocity is updated first, and the place moves by the *new* velocity.",
        "Make new arrays (`w = w + v`): `w += v` would change the places already in the list.",
        "In the loop `v = beta * v - learning_rate * gradient(w)`, `w = w + v`, `path.append(w)`.",
    ),
    check=_check_ball,
    wrong=(
        Wrong(_damped, "the slope was multiplied by 1 − β: here it counts in full"),
        Wrong(_all_shrinks, "β multiplies the last move only, not the new slope"),
        Wrong(_uphill, "the sign: the velocity has to point down the slope, −η g"),
        Wrong(_old_velocity, "the place moved by the velocity of the step before: update the velocity first"),
        Wrong(_nesterov, "that is Nesterov's form: the heavy ball moves by v itself"),
        Wrong(_plain, "that is plain descent: the velocity is not used"),
        Wrong(_without_start, "the start is missing in the path"),
    ),
)

# --- 05.9 A valley four times as narrow ------------------------------------------------------------------------------


def _ratio(method, condition):
    from kerasnotes.chapter05.valley import best_parameters

    return best_parameters(1.0, condition)[method][2]


def _theory(method, condition=400.0):
    return math.log(1e6) / -math.log(_ratio(method, condition))


def _ball_steps(condition=400.0):
    from kerasnotes.chapter05.momentum import heavy_ball
    from kerasnotes.chapter05.valley import best_parameters

    rate, beta, _ = best_parameters(1.0, condition)["heavy ball"]
    path = heavy_ball(lambda w: condition * w, [1.0], rate, beta, 1000)
    return int(np.flatnonzero(np.abs(path[:, 0]) > 1e-6)[-1]) + 1


def _gain(condition):
    return _theory("plain descent", condition) / _ball_steps(condition)


narrow = Predict(
    title="A valley four times as narrow",
    lesson="chapter05.valley",
    minutes=20,
    text=r"""The condition number of a valley rises from 100 to 400. By which factors grow the steps that plain descent
and the heavy ball need for six digits by theory (ln 10⁶ / −ln ratio), at their best settings, and to which
numbers (not rounded)? The heavy ball's error across the valley really is $(1 + (1 + r) t) r^t$ times its
start, with $r$ its ratio: after how many steps is it below 10⁻⁶ at κ = 400? What is the gain then, plain
descent's steps by theory over these?""",
    hints=(
        "The ratios are (κ − 1)/(κ + 1) and (√κ − 1)/(√κ + 1): 399/401 and 19/21 at κ = 400.",
        "For large κ the steps grow like κ and like √κ.",
        "ln 10⁶ = 13.816. −ln(399/401) is about 2/400; −ln(19/21) = 0.1001.",
        "(1 + (1 + r) t) rᵗ < 10⁻⁶ has no formula for t: try numbers in a loop. It takes some 60 steps more than "
        "theory.",
    ),
    values=(
        Value(
            "plain_growth",
            "factor by which plain descent's steps grow",
            want=lambda: _theory("plain descent") / _theory("plain descent", 100.0),
            rtol=2e-2,
            wrong=(
                (lambda: 2.0, "that is the heavy ball's: plain descent's steps grow like κ itself"),
                (lambda: 16.0, "they grow like κ, not like κ²"),
            ),
        ),
        Value(
            "ball_growth",
            "factor by which the heavy ball's steps grow",
            want=lambda: _theory("heavy ball") / _theory("heavy ball", 100.0),
            rtol=2e-2,
            wrong=((lambda: 4.0, "that is plain descent's: the heavy ball's steps grow like the root of κ"),),
        ),
        Value(
            "plain_steps",
            "plain descent's steps by theory, κ = 400",
            want=lambda: _theory("plain descent"),
            wrong=(
                (lambda: 6 * 200.0, "κ/2 steps are for a factor e: six digits are a factor 10⁶, ln 10⁶ = 13.8"),
                (lambda: math.log(1e6) * 400, "the ratio 1 − 1/κ belongs to the rate 1/λ₂: the best one is better"),
                (lambda: _theory("plain descent", 100.0), "that is for κ = 100"),
            ),
        ),
        Value(
            "ball_steps_by_theory",
            "the heavy ball's steps by theory, κ = 400",
            want=lambda: _theory("heavy ball"),
            wrong=(
                (lambda: math.log(1e6) * 20, "−ln(19/21) is 2/20, not 1/20"),
                (lambda: _theory("heavy ball", 100.0), "that is for κ = 100"),
            ),
        ),
        Value(
            "ball_steps",
            "steps until its error across is below 10⁻⁶",
            want=_ball_steps,
            wrong=(
                (lambda: _theory("heavy ball"), "that is without the factor in front, which grows with t"),
                (lambda: _ball_steps(100.0), "that is for κ = 100"),
            ),
        ),
        Value(
            "gain",
            "plain descent's steps by theory over these",
            want=lambda: _gain(400.0),
            rtol=2e-2,
            wrong=(
                (
                    lambda: _theory("plain descent") / _theory("heavy ball"),
                    "that is theory over theory: the swing counts",
                ),
                (lambda: 1 / _gain(400.0), "upside down: plain descent over the heavy ball"),
            ),
        ),
    ),
    solution_code="""import math


def steps(ratio):
    return math.log(1e6) / -math.log(ratio)


plain_steps = steps(399 / 401)
ball_steps_by_theory = steps(19 / 21)
plain_growth = plain_steps / steps(99 / 101)  # about 4: as κ
ball_growth = ball_steps_by_theory / steps(9 / 11)  # about 2: as √κ
r, t = 19 / 21, 1
while (1 + (1 + r) * t) * r**t >= 1e-6:
    t += 1
ball_steps = t
gain = plain_steps / ball_steps  # nearly twice that at κ = 100: it grows like √κ
""",
)

# --- 05.10 Smoothed labels -------------------------------------------------------------------------------------------


def _taken_only(y, amount):
    return y * (1 - amount)


def _others_only(y, amount):
    return y * (1 - amount) + (1 - y) * amount / (y.shape[1] - 1)


def _rows_counted(y, amount):
    return y * (1 - amount) + amount / y.shape[0]


def _whole_amount(y, amount):
    return y * (1 - amount) + amount


def _nothing_taken(y, amount):
    return y + amount / y.shape[1]


def _exchanged(y, amount):
    return y * amount + (1 - amount) / y.shape[1]


def _check_smoothing(trial):
    trial.equal("one row of four classes, a = 0.2", np.array([[0.0, 1.0, 0.0, 0.0]]), 0.2)
    for rows, classes, amount in ((3, 5, 0.1), (6, 2, 0.3)):
        hot = np.eye(classes)[trial.rng.integers(classes, size=rows)]
        trial.equal(f"{rows} rows of {classes} classes, a = {amount}", hot, amount)
    trial.equal("soft labels, a = 0.5", np.array([[0.5, 0.25, 0.25]]), 0.5)
    import keras

    hot, logits = np.eye(4)[[0, 2, 3]], trial.rng.normal(size=(3, 4))
    loss = keras.losses.categorical_crossentropy(hot, logits, from_logits=True, label_smoothing=0.1)
    got = keras.losses.categorical_crossentropy(trial.answer(hot.copy(), 0.1), logits, from_logits=True)
    trial.check("its cross-entropy equals Keras's with label_smoothing=0.1", got=got, want=loss)


smoothing = Write(
    title="Smoothed labels",
    lesson="chapter05.label_smoothing",
    minutes=5,
    text=r"""Smooth labels by an amount $a$ over $K$ classes, $y ← (1 − a) y + a / K$. Each row is an example and still
sums to 1: the right class gets its share of what is spread, too.""",
    start='''import numpy as np


def smooth_labels(y, amount):
    """Take some of the probability from each label and spread it over all classes alike.

    Args:
        y: Float array (rows, classes), each row a distribution, for example one-hot.
        amount: Share that is spread, from 0 to 1.

    Returns:
        Array (rows, classes).
    """
    ...
''',
    name="smooth_labels",
    solution_code="""import numpy as np


def smooth_labels(y, amount):
    return (1 - amount) * y + amount / y.shape[1]
""",
    hints=(
        "Two parts: what is left of the label, and an equal share for every class.",
        "K is the number of classes, the size of the last axis.",
        "A row has to sum to 1 again: (1 − a) from the first part, K times a / K from the second.",
        "`(1 - amount) * y + amount / y.shape[1]`.",
    ),
    check=_check_smoothing,
    wrong=(
        Wrong(_taken_only, "what was taken away is not given to anybody: rows have to sum to 1"),
        Wrong(_others_only, "the share went to the other classes only: all K classes get a / K, the right one, too"),
        Wrong(_rows_counted, "divided by the number of rows: K is the number of classes, `y.shape[1]`"),
        Wrong(_whole_amount, "every class got the whole amount: it is shared among the K classes"),
        Wrong(_nothing_taken, "nothing was taken from the label: multiply it by 1 − a first"),
        Wrong(_exchanged, "a and 1 − a are exchanged: a is the share that is spread"),
    ),
)

TASKS = (parts, folds, stopping, four_ways, dropout, four_masks, threshold, ball, narrow, smoothing)
