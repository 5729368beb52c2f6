"""Devices: names that work, and rates that count the right operations."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from kerasnotes.chapter01 import devices
from kerasnotes.chapter01.devices import available_devices, throughput


def test_the_names_are_those_of_tensorflow_and_work():
    names = available_devices()
    assert sorted(names) == sorted(device.name for device in tf.config.list_logical_devices())
    assert names[0] == "/device:CPU:0"
    for name in names:
        with tf.device(name):
            assert (tf.constant(1.0) + 1.0).device.endswith(name)


def test_the_processor_comes_first(monkeypatch):
    class Device:
        def __init__(self, name):
            self.name = name

    found = [Device(f"/device:{name}") for name in ("GPU:1", "GPU:0", "CPU:0")]
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda: found)
    assert available_devices() == ["/device:CPU:0", "/device:GPU:0", "/device:GPU:1"]


@pytest.mark.parametrize("device", ["/device:CPU:0", "CPU:0", "/CPU:0", "cpu:0"])
def test_throughput_takes_short_names(device):
    rate = throughput(device, 8, 2)
    assert isinstance(rate, float)
    assert 0 < rate < 1e16


def test_throughput_is_operations_over_the_fastest_product(monkeypatch):
    """By this clock the three products that count take 4 s, 2 s and 5 s; the first one's end is not asked for."""
    ticks = iter([0, 100, 104, 200, 202, 300, 305])
    monkeypatch.setattr(devices, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    assert throughput("CPU:0", 10, 3) == 2 * 10**3 / 2


def test_the_profiler_counts_the_same_operations():
    graph = tf.Graph()
    with graph.as_default():
        tf.matmul(tf.zeros((12, 12)), tf.zeros((12, 12)))
    builder = tf.compat.v1.profiler.ProfileOptionBuilder
    options = builder(builder.float_operation()).with_empty_output().build()
    assert tf.compat.v1.profiler.profile(graph, options=options).total_float_ops == 2 * 12**3


@pytest.mark.parametrize(("size", "tile"), [(8, 8), (8, 4), (9, 4), (3, 16)])
def test_tiles_make_the_whole_product(size, tile):
    a, b = np.random.default_rng(size).normal(size=(2, size, size))
    product = devices._by_tiles(devices._tiles(a, tile), devices._tiles(b, tile))
    np.testing.assert_allclose(np.block([[np.asarray(block) for block in row] for row in product]), a @ b, atol=1e-12)


@pytest.mark.parametrize(
    ("device", "size", "repeats", "message"),
    [
        ("GPU:99", 8, 1, "device: expected one of /device:CPU:0.*, got 'GPU:99'"),
        ("CPU", 8, 1, "device: expected one of"),
        ("banana", 8, 1, "device: expected one of"),
        (None, 8, 1, "device: expected one of"),
        ("CPU:0", 0, 1, "size: expected a whole number of at least 1, got 0"),
        ("CPU:0", 2.5, 1, "size: expected a whole number of at least 1"),
        ("CPU:0", 8, 0, "repeats: expected a whole number of at least 1, got 0"),
        ("CPU:0", 8, True, "repeats: expected a whole number of at least 1"),
    ],
)
def test_errors(device, size, repeats, message):
    with pytest.raises(ValueError, match=message):
        throughput(device, size, repeats)
