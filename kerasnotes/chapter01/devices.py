"""A device is named by its kind and a number; the processor is one device, however many cores work behind it.

The reader should see which devices there are, where a result lies, how many products of numbers a second each device
reaches, and that one core or all of them work on a product without any change of name: TensorFlow gives a small product
to the calling thread and a large one to its pool. Small tiles therefore bind a large product to one thread.

Notes: chapter 01, "Devices" (计算设备).
Source: https://www.tensorflow.org/guide/gpu; https://www.tensorflow.org/api_docs/python/tf/config/threading; Golub and
Van Loan 2013, Matrix Computations, ISBN 978-1-4214-0794-4, sections 1.1 (2 n³ operations) and 1.3 (products by blocks).
"""

import math
import os
import time

import numpy as np
import tensorflow as tf

from kerasnotes import plots
from kerasnotes.parts import whole

SMOKE = {"sizes": (64, 96), "repeats": 1, "tile": 64}
SECONDS = 4


def available_devices():
    """Names of the devices that TensorFlow computes on here, such as `"/device:CPU:0"`, the processor first.

    The number counts devices of one kind; cores have no names.

    Returns:
        List of texts, each good for `tf.device`.
    """
    devices = [device.name for device in tf.config.list_logical_devices()]
    return sorted(devices, key=lambda name: ("CPU" not in name, name))


def throughput(device, size, repeats):
    """How fast a device multiplies two matrices: the fastest of several products of float32 numbers.

    Args:
        device: One of `available_devices()`, or short for it, such as `"CPU:0"`.
        size: Rows and columns of both matrices.
        repeats: Products to time, after one that is not counted.

    Returns:
        Operations a second (FLOP/s), a float; a product is `size`² sums of `size` products, 2 size³ operations.

    Raises:
        ValueError: If there is no such device, or `size` or `repeats` is not a positive whole number.
    """
    size, repeats = whole("size", size), whole("repeats", repeats)
    try:
        full_name = tf.DeviceSpec.from_string(device).to_string()
    except (AttributeError, TypeError, ValueError):
        full_name = None
    if full_name not in available_devices():
        raise ValueError(f"device: expected one of {', '.join(available_devices())}, got {device!r}")
    a, b = np.random.default_rng(0).random((2, size, size), np.float32)
    with tf.device(full_name):
        a, b = tf.identity(a), tf.identity(b)
        seconds = math.inf
        for repeat in range(repeats + 1):
            tf.test.experimental.sync_devices()  # a GPU answers before it has computed
            start = time.perf_counter()
            tf.matmul(a, b)
            tf.test.experimental.sync_devices()
            if repeat > 0:
                seconds = min(seconds, time.perf_counter() - start)
    return 2 * size**3 / max(seconds, 1e-9)


def example():
    """Name the devices, put a product on each of them, and see how fast it is there."""
    print("physical:", [device.name for device in tf.config.list_physical_devices()])
    print("good for tf.device:", available_devices())
    for name in available_devices():
        with tf.device(name):
            product = tf.ones((2, 3)) @ tf.ones((3, 2))
        print("the product lies on", product.device)
        for size in (64, 512):
            print(f"{size} × {size}: {throughput(name, size, repeats=5) / 1e9:.2f} billion operations a second")


def lesson(
    report, *, sizes: tuple[int, ...] = (64, 128, 256, 512, 1024), repeats: int = 10, tile: int = 256, seed: int = 0
):
    """List the devices, see where results lie, and time products of matrices by size.

    Args:
        report: The report to write to.
        sizes: Sizes of the matrices (2 to 8192).
        repeats: Products of each size (1 to 10000).
        tile: Largest size of the tiles that one thread multiplies (16 to 1024).
        seed: Seed of the matrices (0 to 4294967295).
    """
    devices = available_devices()
    cores = os.cpu_count() or 1
    _names(report, devices, cores)
    _placement(report, devices, seed)
    _rates(report, devices, sorted(set(sizes)), repeats, tile, cores, seed)


def _names(report, devices, cores):
    physical = tf.config.list_physical_devices()
    rows = [[device.name, device.device_type] for device in physical]
    report.table(f"devices found, on a machine of {cores} core{'s' if cores > 1 else ''}", ["name", "kind"], rows)
    processors = [name for name in devices if "CPU" in name]
    report.check("the processor is one device, whatever its cores", got=processors, want=["/device:CPU:0"])
    kinds = [tf.DeviceSpec.from_string(name).device_type for name in devices]
    numbers = [tf.DeviceSpec.from_string(name).device_index for name in devices]
    want = [kinds[:place].count(kind) for place, kind in enumerate(kinds)]
    report.check("the number counts the devices of a kind, from 0", got=numbers, want=want)
    if not any("GPU" in name for name in devices):
        report.note("There is no GPU here; everything below runs on the processor, as the whole course does.")
    report.correction(
        "what a device's number means",
        course="The number behind a device, as in CPU:0 and CPU:1, names a core.",
        correct="It names a device. All cores together are CPU:0; how many of them work on an operation is a matter "
        "of threads (tf.config.threading). GPU:0 and GPU:1 are two cards.",
        shown_by=f"{cores} cores, and the devices {', '.join(devices)}",
    )


def _placement(report, devices, seed):
    a, b = np.random.default_rng(seed).normal(size=(2, 65, 65)).astype(np.float32)
    exact = a.astype(np.float64) @ b.astype(np.float64)
    places, products = [], []
    for name in devices:
        with tf.device(name):
            product = tf.matmul(tf.constant(a), tf.constant(b))
        places.append(product.device.rpartition("task:0")[2])
        products.append(product)
    report.check("a result lies on the device that was asked for", got=places, want=devices)
    report.check("every device gives NumPy's product", products, [exact] * len(products), rtol=1e-4, atol=1e-4)
    chosen = (tf.constant(a) @ tf.constant(b)).device
    first = next((name for name in devices if "GPU" in name), devices[0])
    report.check("unasked, a GPU is taken if there is one", got=chosen.rpartition("task:0")[2], want=first)
    with tf.device("/CPU:0"):
        moved = tf.identity(product)
    report.check("tf.identity under a device copies there", moved.device.rpartition("task:0")[2], "/device:CPU:0")
    report.check("and changes nothing", got=moved, want=product, rtol=0, atol=0)
    try:
        tf.config.threading.set_intra_op_parallelism_threads(tf.config.threading.get_intra_op_parallelism_threads() + 1)
        answer = "accepted"
    except RuntimeError:
        answer = "RuntimeError"
    report.check("the number of threads is fixed once TensorFlow has computed", got=answer, want="RuntimeError")


def _tiles(values, tile):
    """Cut a matrix into tiles, each of at most tile × tile: a list of rows of them."""
    cuts = range(0, values.shape[0], tile)
    return [[tf.constant(values[i : i + tile, j : j + tile]) for j in cuts] for i in cuts]


def _by_tiles(a, b):
    """The tiles of a matrix product: tile (i, j) is the sum over k of a's (i, k) times b's (k, j)."""
    rows = []
    for row in a:
        rows.append([])
        for j in range(len(b[0])):
            total = row[0] @ b[0][j]
            for k in range(1, len(b)):
                total += row[k] @ b[k][j]
            rows[-1].append(total)
    return rows


def _timed(function, repeats):
    """`(seconds, share)`: of the fastest call; and of the processor's time, what the calling thread itself spent."""
    function()
    seconds, process, thread = math.inf, time.process_time(), time.thread_time()
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        seconds = min(seconds, time.perf_counter() - start)
    process, thread = time.process_time() - process, time.thread_time() - thread
    return max(seconds, 1e-9), min(thread / process, 1.0) if process > 0 else 1.0


def _rates(report, devices, sizes, repeats, tile, cores, seed):
    rng = np.random.default_rng((seed, 1))
    rates, shares, rows = {"whole: TensorFlow's choice": [], "in tiles: one thread": []}, [], []
    errors = []
    with tf.device("/CPU:0"):
        for size in report.track(sizes, "timing"):
            values = rng.random((2, size, size), np.float32)
            a, b = (tf.constant(value) for value in values)
            tiles_a, tiles_b = (_tiles(value, tile) for value in values)
            count = repeats * max(1, 256 // size) ** 2
            whole, whole_share = _timed(lambda a=a, b=b: tf.matmul(a, b), count)
            tiled, tiled_share = _timed(lambda a=tiles_a, b=tiles_b: _by_tiles(a, b), count)
            joined = tf.concat([tf.concat(row, axis=1) for row in _by_tiles(tiles_a, tiles_b)], axis=0)
            errors.append(float(tf.reduce_max(tf.abs(joined / (a @ b) - 1))))
            for name, seconds in zip(rates, (whole, tiled), strict=True):
                rates[name].append(2 * size**3 / seconds / 1e9)
            shares.append((whole_share, tiled_share))
            rows.append([size, 2 * size**3 / 1e6, 1e3 * whole, rates["whole: TensorFlow's choice"][-1],
                         100 * whole_share, 1e3 * tiled, rates["in tiles: one thread"][-1],
                         100 * tiled_share])  # fmt: skip
    # Each entry is a sum of positive numbers: rounding to float32 moves it by less than size · 2⁻²⁴, each way.
    report.at_most("tiles give the same product: largest relative difference", errors, bound=2 * max(sizes) * 2.0**-24)
    columns = ["size", "million operations", "ms whole", "whole, GFLOP a second",
               "whole, % of the seconds in the calling thread", "ms in tiles",
               "tiles, GFLOP a second",
               "tiles, % of the seconds in the calling thread"]  # fmt: skip
    report.table(f"float32 products on the processor; tiles of {tile}", columns, rows)
    rows = [[name, sizes[-1], throughput(name, sizes[-1], repeats) / 1e9] for name in devices]
    report.table("fastest product of each device", ["device", "size", "GFLOP a second"], rows)
    report.note(
        "The number of threads cannot be changed in a process that has computed, and tf.data's "
        "max_intra_op_parallelism and private_threadpool_size do not bind matrix products. So one thread is had "
        "through small tiles, which TensorFlow multiplies in the calling thread itself; the share of processor time "
        "that this thread spent says whether it did. On two cores that others use, the gain can be small or absent."
    )
    figure, (left, right) = plots.subplots(1, 2, figsize=(10, 4.2))
    plots.curves(sizes, rates, xlabel="size of the matrices", ylabel="rate (GFLOP/s)", xscale="log", marker="o",
                 title="Small products do not fill\nthe processor", ax=left)  # fmt: skip
    series = dict(zip(rates, 100 * np.transpose(shares), strict=True))
    plots.curves(sizes, series, xlabel="size of the matrices", ylabel="processor time in the caller (%)", xscale="log",
                 marker="o", title="Large products go to the pool,\ntiles stay with the caller", ax=right)  # fmt: skip
    for ax in (left, right):
        ax.set_xticks(sizes, [str(size) for size in sizes])
        ax.minorticks_off()
        ax.set_ylim(bottom=0)
    report.figure(
        "One thread and all of them",
        figure,
        alt="Left: the rate of a matrix product rises with its size at first, whole and in tiles. Right: the share of "
        "processor time spent in the calling thread, near 100 % for tiles and falling for large whole products.",
    )
