"""The siblings have the asked shapes, and the front is what its definition says."""

import keras
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


@pytest.mark.parametrize(
    ("name", "outputs", "dropout"),
    [  # the published numbers of filters and units times the sibling's width, layer by layer
        ("LeNet-5", [6, 16, 120, 84, 10], []),
        ("AlexNet", [96 // 16, 256 // 16, 384 // 16, 384 // 16, 256 // 16, 2048 // 16, 2048 // 16, 10], [0.2, 0.2]),
        ("VGG", [64 // 8, 128 // 8, 256 // 8, 1024 // 8, 1024 // 8, 10], [0.2, 0.2]),
        (
            "GoogLeNet",
            [
                192 // 4,
                *(n // 4 for n in (96, 16, 64, 128, 32, 32)),  # inception 3a, then 4a
                *(n // 4 for n in (96, 16, 192, 208, 48, 64)),
                10,
            ],
            [0.0],
        ),
        ("ResNet", [16 // 2, *[16 // 2] * 2, *[32 // 2] * 2, *[64 // 2] * 2, 10], []),
        ("DenseNet", [2 * 8, *[4 * 8, 8] * 2, (16 + 2 * 8) // 2, *[4 * 8, 8] * 2, 10], []),
        ("highway", [50, *[50] * 2 * 8, 10], []),
    ],
)
def test_sizes_of_the_siblings(name, outputs, dropout):
    (model,) = build_siblings(names=[name]).values()
    assert model.input_shape == (None, 28, 28, 1)
    assert [w.shape[-1] for w in model.weights if len(w.shape) > 1] == outputs
    layers = model._flatten_layers()
    assert [layer.rate for layer in layers if isinstance(layer, keras.layers.Dropout)] == dropout
    if name == "highway":
        assert {float(w[0]) for w in model.weights if w.path.endswith("transform_bias")} == {-1.0}


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
