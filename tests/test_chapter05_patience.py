"""What each patience keeps, by hand and against the rules of one run at a time."""

import numpy as np
import pytest

from kerasnotes.chapter05.early_stopping import best_epoch, stopping_epoch
from kerasnotes.chapter05.patience import kept_epochs


def test_by_hand():
    history = [0.9, 0.7, 0.8, 0.6, 0.65, 0.7, 0.5]
    assert kept_epochs(history, [1, 2, 3]) == [(2, 1), (5, 3), (6, 6)]
    assert kept_epochs([1.0], [0, 5]) == [(0, 0), (0, 0)]
    assert kept_epochs(history, []) == []


def test_more_patience_never_stops_earlier_nor_keeps_worse():
    rng = np.random.default_rng(0)
    for _ in range(50):
        history = rng.integers(0, 9, size=20) / 10
        kept = kept_epochs(history, range(8))
        lasts, losses = [last for last, _ in kept], [history[best] for _, best in kept]
        assert lasts == sorted(lasts)
        assert losses == sorted(losses, reverse=True)
        for patience, (last, best) in enumerate(kept):
            assert stopping_epoch(history, patience=patience) == (
                None if last == 19 and best_epoch(history) + max(patience, 1) > 19 else last
            )
            assert best == int(np.argmin(history[: last + 1]))


@pytest.mark.parametrize(
    ("history", "patiences", "message"),
    [
        ([], [1], "history: expected one value"),
        ([1.0], [-1], "patience: expected a whole number"),
        ([1.0], [True], "patience: expected a whole number"),
    ],
)
def test_errors(history, patiences, message):
    with pytest.raises(ValueError, match=message):
        kept_epochs(history, patiences)
