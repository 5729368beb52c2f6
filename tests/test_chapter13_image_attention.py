"""Channel and spatial attention: by Keras's layers, what they ignore, their counts, and what is refused."""

import keras
import numpy as np
import pytest

from kerasnotes.chapter13.image_attention import Cbam, SpatialAttention, SqueezeExcite, build_network

X = np.random.default_rng(0).normal(size=(2, 5, 6, 8)).astype("float32")


def test_channel_weights_are_two_dense_layers_of_the_means():
    layer = SqueezeExcite(4, seed=1)
    got = layer(X)
    squeeze, excite, mean = layer.squeeze, layer.excite, X.mean(axis=(1, 2))
    hidden = np.maximum(mean @ squeeze.kernel.numpy() + squeeze.bias.numpy(), 0)
    weights = 1 / (1 + np.exp(-(hidden @ excite.kernel.numpy() + excite.bias.numpy())))
    np.testing.assert_allclose(got, X * weights[:, None, None], atol=1e-5)
    assert layer.count_params() == 2 * 8 * 8 // 4 + 8 // 4 + 8
    both = SqueezeExcite(4, maximum=True, seed=1)
    both.build(X.shape)
    top = np.maximum(X.max(axis=(1, 2)) @ squeeze.kernel.numpy(), 0)
    weights = 1 / (1 + np.exp(-((hidden + top) @ excite.kernel.numpy())))
    np.testing.assert_allclose(both.weights_of(X)[:, 0, 0], weights, atol=1e-5)


def test_spatial_weights_are_a_convolution_of_mean_and_maximum():
    layer = SpatialAttention(3, seed=2)
    got = layer(X)
    read = np.stack([X.mean(axis=-1), X.max(axis=-1)], axis=-1)
    scores = keras.ops.conv(read, layer.convolution.kernel, padding="same")
    np.testing.assert_allclose(got, X / (1 + np.exp(-np.array(scores))), atol=1e-5)
    assert layer.count_params() == 2 * 9 + 1
    assert layer.weights_of(X).shape == (2, 5, 6, 1)


def test_both_are_one_after_the_other():
    layer = Cbam(4, 3, seed=3)
    got = layer(X)
    np.testing.assert_allclose(got, layer.places(layer.channels(X)), atol=1e-6)
    assert layer.count_params() == 2 * 8 * 8 // 4 + 8 // 4 + 8 + 19


@pytest.mark.parametrize("attention", [None, "channel", "spatial", "both"])
def test_networks_have_the_layers_of_their_name(attention):
    kinds = {"channel": SqueezeExcite, "spatial": SpatialAttention, "both": Cbam}
    model = build_network(attention, (4, 8))
    assert model.output_shape == (None, 10)
    assert sum(isinstance(each, tuple(kinds.values())) for each in model.layers) == (2 if attention else 0)
    if attention:
        assert sum(isinstance(each, kinds[attention]) for each in model.layers) == 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: SqueezeExcite(0), "reduction: expected a whole"),
        (lambda: SqueezeExcite(9)(X), "reduction: expected at most 8"),
        (lambda: build_network("all"), "attention: expected None, 'channel'"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
