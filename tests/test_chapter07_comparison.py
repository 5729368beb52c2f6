"""The siblings have the asked shapes, and the front is what its definition says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasnotes.chapter07.comparison import _multiply_adds, build_siblings, pareto_front


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12))
def test_the_front_is_what_nobody_beats(choices):
    costs, scores = zip(*choices, strict=True)
    for i, on_front in enumerate(pareto_front(costs, scores)):
        beaten = any(
            c <= costs[i] and s >= scores[i] and (c < costs[i] or s > scores[i])
            for c, s in zip(costs, scores, strict=True)
        )
        assert on_front == (not beaten)


def test_the_front_by_hand():
    assert pareto_front([1, 2, 3, 3], [0.5, 0.4, 0.9, 0.9]).tolist() == [True, False, True, True]


@pytest.mark.parametrize("name", ["LeNet-5", "AlexNet", "VGG", "GoogLeNet", "ResNet", "DenseNet", "highway"])
def test_siblings_give_logits(name):
    (model,) = build_siblings((28, 28, 1), 7, seed=1, names=[name]).values()
    assert model(np.zeros((2, 28, 28, 1), "float32")).shape == (2, 7)
    assert 10_000 < model.count_params() < 500_000
    assert _multiply_adds(model) > 10_000


def test_one_seed_gives_one_start():
    first, again, other = (build_siblings(seed=seed, names=["highway"])["highway"].get_weights() for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert any(not np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_errors():
    with pytest.raises(ValueError, match=r"names: expected some of LeNet-5, .*, got Inception"):
        build_siblings(names=["Inception"])
    with pytest.raises(ValueError, match="costs, scores: expected equally many numbers"):
        pareto_front([1, 2], [1])
    with pytest.raises(ValueError, match="costs, scores: expected finite numbers"):
        pareto_front([1, np.nan], [1, 2])
