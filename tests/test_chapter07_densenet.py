"""Small siblings, their stems and seeds, and what the weights say about reuse."""

import keras
import numpy as np
import pytest

from kerasnotes.chapter07 import dense_block, densenet
from kerasnotes.chapter07.densenet import build_densenet121, feature_reuse

SMALL = {"input_shape": (28, 28, 1), "classes": 10, "depth": (3, 2), "growth_rate": 4}


def test_siblings():
    model = build_densenet121(**SMALL)
    assert model(np.ones((2, 28, 28, 1), "float32")).shape == (2, 10)
    assert [model.get_layer(name).kernel.shape[2] for name in ("block1_1", "block1_3", "block2_1")] == [8, 16, 10]
    a, b = (build_densenet121(**SMALL, seed=seed).get_weights() for seed in (0, 1))
    assert all(np.array_equal(x, y) for x, y in zip(a, model.get_weights(), strict=True))
    assert not np.array_equal(a[0], b[0])
    assert build_densenet121(**{**SMALL, "width": 0.5}).get_layer("block1_1").kernel.shape[2:] == (4, 8)


def test_stem_depends_on_the_picture():
    models = [build_densenet121((size, size, 3), depth=(1,), growth_rate=2) for size in (63, 64)]
    assert [model.get_layer("block1_1").output.shape[1] for model in models] == [32, 16]
    kernels = [next(x for x in model.layers if isinstance(x, keras.layers.Conv2D)).kernel for model in models]
    assert [kernel.shape[0] for kernel in kernels] == [3, 7]


def test_the_blocks_are_offered_here_too():
    assert densenet.dense_block is dense_block.dense_block
    assert densenet.transition is dense_block.transition


def test_feature_reuse_by_hand():
    model = build_densenet121(**SMALL)
    for layer, sources in ((1, [1]), (2, [2, -3]), (3, [4, 5, -6])):
        kernel = model.get_layer(f"block1_{layer}").kernel
        values = np.repeat(sources, [8, *[4] * (layer - 1)])  # 8 channels of the stem, then 4 of each layer
        kernel.assign(np.broadcast_to(values[:, None], kernel.shape))
    want = [[1, 2, 4], [np.nan, 3, 5], [np.nan, np.nan, 6]]
    np.testing.assert_array_equal(feature_reuse(model, 1), want)
    assert feature_reuse(model, 2).shape == (2, 2)
    for block in (0, 3):
        with pytest.raises(ValueError, match="block: expected the number of a dense block with two layers or more"):
            feature_reuse(model, block)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (3, 28, 1)}, "input_shape: expected at least 4 x 4 pixels, got 3 x 28"),
        ({"classes": 0}, "classes: expected a whole number of at least 1"),
        ({"width": 0}, "width: expected a positive number"),
        ({"depth": ()}, "depth: expected the numbers of layers of each block"),
        ({"depth": (2, 0)}, "layers: expected a whole number of at least 1, got 0"),
        ({"growth_rate": 0}, "growth_rate: expected a whole number of at least 1, got 0"),
        ({"reduction": 0}, "reduction: expected a number above 0 to 1, got 0"),
        ({"reduction": 1.5}, "reduction: expected"),
        ({"reduction": 0.01}, "reduction: expected"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        build_densenet121(**{**SMALL, **arguments})
