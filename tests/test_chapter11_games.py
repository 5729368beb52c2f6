"""Small games solved by other means, and two players on xy."""

import numpy as np
import pytest
from scipy import optimize

from kerasnotes.chapter11 import gan
from kerasnotes.chapter11.games import bilinear_growth, bilinear_path, equilibria


@pytest.mark.parametrize("seed", range(5))
def test_zero_sum_equilibria_equal_a_linear_program(seed):
    a = np.random.default_rng(seed).normal(size=(3, 4))
    # a's safest mixture: the largest v with pᵀA ≥ v in every column
    program = optimize.linprog(
        [0, 0, 0, -1], A_ub=np.hstack([-a.T, np.ones((4, 1))]), b_ub=np.zeros(4), A_eq=[[1, 1, 1, 0]], b_eq=[1],
        bounds=[(0, 1)] * 3 + [(None, None)],
    )  # fmt: skip
    found = equilibria(a, -a)
    assert len(found) == 1
    p, q = found[0]
    np.testing.assert_allclose(p, program.x[:3], atol=1e-7)
    assert p @ a @ q == pytest.approx(program.x[3])


def test_small_games():
    dilemma = np.array([[3, 0], [5, 1]])
    assert [[list(each) for each in pair] for pair in equilibria(dilemma, dilemma.T)] == [[[0, 1], [0, 1]]]
    chicken = np.array([[0, -1], [1, -10]])
    found = equilibria(chicken, chicken.T)
    assert len(found) == 3
    np.testing.assert_allclose(found[-1], [[0.9, 0.1], [0.9, 0.1]])


def test_bilinear():
    np.testing.assert_allclose(bilinear_path(2, 0.5), [[1, 0], [1, 0.5], [0.75, 1.0]])
    np.testing.assert_allclose(bilinear_path(1, 0.5, alternating=True, start=(0, 1)), [[0, 1], [-0.5, 0.75]])
    np.testing.assert_allclose(bilinear_path(2, 0.5, 0.5), [[1, 0], [1, 0.5], [0.75, 1.25]])
    assert bilinear_growth(0.1) == pytest.approx(np.sqrt(1.01))
    assert bilinear_growth(0.1, 0.5) > bilinear_growth(0.1)
    assert bilinear_growth(0.1, alternating=True) == pytest.approx(1.0)
    path = np.linalg.norm(bilinear_path(300, 0.2, 0.3), axis=1)
    assert path[300] / path[299] == pytest.approx(bilinear_growth(0.2, 0.3), rel=1e-6)


def test_names_that_moved_here_are_still_found():
    assert (gan.equilibria, gan.bilinear_path, gan.bilinear_growth) == (equilibria, bilinear_path, bilinear_growth)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: equilibria([[1, 2]], [[1], [2]]), "expected one shape"),
        (lambda: equilibria([[np.nan]], [[1]]), "expected finite numbers"),
        (lambda: bilinear_path(-1, 0.1), "steps: expected a whole number"),
        (lambda: bilinear_growth(0.0), "learning_rate: expected a positive number"),
        (lambda: bilinear_growth(0.1, 1.0), "momentum: expected a number between"),
        (lambda: bilinear_growth(0.1, float("nan")), "momentum: expected a number between"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
