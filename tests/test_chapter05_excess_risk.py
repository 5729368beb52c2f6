"""The parts of the excess risk."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter05 import error_decomposition
from kerasnotes.chapter05.excess_risk import excess_risk


def test_it_may_be_taken_from_the_lesson_on_bias_too():
    assert error_decomposition.excess_risk is excess_risk


@settings(max_examples=40)
@given(st.floats(-10, 10), st.floats(0, 10), st.floats(0, 10), st.floats(0, 10))
def test_the_three_parts_come_back(bayes, approximation, estimation, optimization):
    best = bayes + approximation
    erm = best + estimation
    parts = excess_risk(best, erm, erm + optimization, bayes)
    assert parts == pytest.approx((approximation, estimation, optimization), abs=1e-12)
    assert sum(parts) == pytest.approx(erm + optimization - bayes, abs=1e-12)


def test_training_that_ends_early_may_gain():
    assert excess_risk(1.0, 3.0, 2.0, 0.5) == (0.5, 2.0, -1.0)


@pytest.mark.parametrize(
    ("risks", "message"),
    [
        ((1.0, 2.0, 3.0, 1.5), "best_in_class_risk: expected at least bayes_risk = 1.5, got 1.0"),
        ((1.0, 0.9, 3.0, 0.5), "erm_risk: expected at least best_in_class_risk = 1.0, got 0.9"),
        ((1.0, 2.0, 0.9, 0.5), "achieved_risk: expected at least best_in_class_risk = 1.0, got 0.9"),
        ((1.0, 2.0, float("inf"), 0.5), "achieved_risk: expected a finite number, got inf"),
        ((1.0, 2.0, 3.0, float("nan")), "bayes_risk: expected a finite number, got nan"),
    ],
)
def test_impossible_risks(risks, message):
    with pytest.raises(ValueError, match=message):
        excess_risk(*risks)
