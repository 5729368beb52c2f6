"""Published counts, thin networks, the construction of a deep plain network, and errors."""

import keras
import numpy as np
import pytest

from kerasnotes.chapter07 import residual_block as blocks
from kerasnotes.chapter07 import resnet
from kerasnotes.chapter07.resnet import (
    build_cifar_resnet,
    build_resnet,
    insert_identities,
)

EXACT = {"rtol": 0, "atol": 0}


def perturb(model, seed):
    rng = np.random.default_rng(seed)
    model.set_weights([rng.uniform(0.5, 1.5, w.shape) if w.ndim == 1 else w for w in model.get_weights()])


@pytest.mark.parametrize(("depth", "torch_parameters"), [(18, 11_689_512), (34, 21_797_672)])
def test_parameters_without_biases_are_the_published_ones(depth, torch_parameters):
    with keras.StatelessScope():  # nothing is allocated
        model = build_resnet(depth)
        biases = sum(layer.filters for layer in model.layers if isinstance(layer, keras.layers.Conv2D))
        assert sum(int(np.prod(w.shape)) for w in model.trainable_weights) - biases == torch_parameters
    assert model.output_shape == (None, 1000)


@pytest.mark.parametrize("n", [1, 2])
def test_layers_and_stages_of_the_thin_network(n):
    plain, residual = (build_cifar_resnet(n, kind, (8, 8, 3), 5, 0.5) for kind in (False, True))
    for model in (plain, residual):
        weighted = [layer for layer in model.layers if isinstance(layer, (keras.layers.Conv2D, keras.layers.Dense))]
        assert len(weighted) == 6 * n + 2
        assert weighted[-2].output.shape == (None, 2, 2, 32)
        assert model.output_shape == (None, 5)
    for a, b in zip(plain.get_weights(), residual.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)  # option A: the same weights
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    assert not np.allclose(plain(x), residual(x))


def test_identities_keep_the_function():
    shallow, deep = (build_cifar_resnet(n, False, (8, 8, 1), 3, 0.25, seed=n) for n in (1, 3))
    perturb(shallow, 0)
    x = np.random.default_rng(0).normal(size=(3, 8, 8, 1)).astype("float32")
    want = shallow(x, training=False)
    assert not np.allclose(deep(x, training=False), want, atol=1e-3)
    insert_identities(shallow, deep)
    np.testing.assert_allclose(deep(x, training=False), want, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="deep: expected at least the depth of plain20"):
        insert_identities(deep, shallow)
    with pytest.raises(ValueError, match="deep: expected at least the depth of plain8 and its sizes"):
        insert_identities(shallow, build_cifar_resnet(1, False, (8, 8, 1), 4, 0.25))
    with pytest.raises(ValueError, match="expected plain networks"):
        insert_identities(shallow, build_cifar_resnet(1, True, (8, 8, 1), 3, 0.25))


def test_the_blocks_are_offered_here_too():
    assert resnet.residual_block is blocks.residual_block
    assert resnet.preactivation_block is blocks.preactivation_block


def test_seeds():
    one, same, other = (build_cifar_resnet(1, seed=seed, width=0.1).get_weights() for seed in (0, 0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
    assert not np.array_equal(one[0], other[0])


def test_errors():
    with pytest.raises(ValueError, match="depth: expected one of 18, 34, 50, got 19"):
        build_resnet(19)
    with pytest.raises(ValueError, match="n: expected a whole number of at least 1, got 0"):
        build_cifar_resnet(0)
    for build in (build_resnet, lambda **arguments: build_cifar_resnet(1, **arguments)):
        with pytest.raises(ValueError, match=r"input_shape: expected .height, width, channels., positive integers"):
            build(input_shape=(28, 28))
        with pytest.raises(ValueError, match="classes: expected a whole number of at least 1, got 0"):
            build(classes=0)
        with pytest.raises(ValueError, match="width: expected a positive number, got nan"):
            build(width=float("nan"))
