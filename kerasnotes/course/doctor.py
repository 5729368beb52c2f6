"""Looks at the installation (versions, devices, threads, memory, data) and says what to do about what is wrong."""

import os
import platform
import shutil

from rich.text import Text

from kerasnotes.course import store

LOWEST = {
    "python": (3, 10),
    "tensorflow": (2, 20),
    "keras": (3, 12),
    "numpy": (2, 0),
    "matplotlib": (3, 9),
    "gymnasium": (1, 0),
}
ENOUGH_MEMORY_GB = 3.0
ENOUGH_DISK_MB = 200
WIDTH = 16  # of the subjects' column


def diagnose():
    """Examine everything.

    Returns:
        List of `(subject, finding, remedy)`; `remedy` is None where all is well.
    """
    return list(_findings())


def _findings():
    """One after another: first what needs no TensorFlow, whose import takes some seconds."""
    yield from _versions()
    yield from _machine()
    yield from _data_files()
    yield from _tensorflow()


def print_diagnosis(console):
    """Print the diagnosis. Returns the number of things that are wrong."""
    wrong = 0
    for subject, finding, remedy in _findings():
        symbol = ("✓ ", "green") if remedy is None else ("✗ ", "bold red")
        console.print(Text.assemble("  ", symbol, f"{subject:<{WIDTH}}  ", finding), soft_wrap=True)
        if remedy is not None:
            wrong += 1
            console.print(Text(f"    {'':<{WIDTH}}  → {remedy}", style="yellow"), soft_wrap=True)
    verdict = "everything is in order" if not wrong else f"{wrong} thing{'s' if wrong > 1 else ''} to put right"
    console.print(verdict, style="bold red" if wrong else "bold green")
    return wrong


def _versions():
    found = store.versions()
    for name, lowest in LOWEST.items():
        version = found[name]
        wanted = ".".join(map(str, lowest))
        if version is None:
            yield name, "not installed", f"pip install '{name}>={wanted}'"
        elif tuple(int(part) for part in version.split(".")[:2]) < lowest:
            remedy = (
                f"install Python {wanted} or newer" if name == "python" else f"pip install --upgrade '{name}>={wanted}'"
            )
            yield name, f"{version}, the course needs {wanted} or newer", remedy
        else:
            yield name, version, None


def _machine():
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    yield "system", f"{platform.system()} {platform.machine()}, {cores} CPU core{'s' if cores > 1 else ''}", None
    memory = _memory_gb()
    if memory is not None:
        remedy = f"close other programs: some lessons need up to {ENOUGH_MEMORY_GB:g} GB"
        yield "memory", f"{memory:.1f} GB free", remedy if memory < ENOUGH_MEMORY_GB else None
    free = shutil.disk_usage(os.getcwd()).free / 1e6
    remedy = "free some space, or choose another folder with --out"
    yield "disk", f"{free:,.0f} MB free in the current folder", remedy if free < ENOUGH_DISK_MB else None


def _memory_gb():
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            fields = dict(line.split(":", 1) for line in file)
        return int(fields["MemAvailable"].split()[0]) / 1e6
    except (OSError, KeyError, ValueError):
        return None


def _tensorflow():
    from kerasnotes.course.run import import_tensorflow

    try:
        import_tensorflow()
        import tensorflow as tf
    except Exception as error:
        yield "TensorFlow", f"cannot be imported: {error}", "pip install --force-reinstall tensorflow keras"
        return
    devices = [device.device_type for device in tf.config.list_physical_devices()]
    gpus = devices.count("GPU")
    yield "devices", f"CPU and {gpus} GPU" if gpus else "CPU only, which is what the course is made for", None
    threads = tf.config.threading.get_intra_op_parallelism_threads()
    yield "threads", f"{threads} a computation" if threads else "as many as there are cores", None
    product = float(tf.reduce_sum(tf.matmul(tf.ones((64, 64)), tf.ones((64, 64)))))
    wrong = None if product == 64.0**3 else "pip install --force-reinstall tensorflow"
    yield _convolution(tf)
    yield "computation", f"sum of a product of ones: {product:.0f}", wrong
    try:
        compiled = float(tf.function(lambda x: x * 2, jit_compile=True)(tf.constant(21.0)))
        yield (
            "compiler (XLA)",
            f"works: {compiled:.0f}",
            None if compiled == 42.0 else "pip install --force-reinstall tensorflow",
        )
    except Exception as error:
        yield "compiler (XLA)", f"fails: {str(error).splitlines()[0]}", "lessons run, but slowly; reinstall tensorflow"


def _convolution(tf):
    """The smallest case in which TensorFlow's convolution reads memory that is not the picture's."""
    import numpy as np

    x, w = np.arange(1, 19, dtype=np.float32).reshape(2, 3, 3, 1), np.ones((1, 3, 1, 1), np.float32)
    right = np.array_equal(np.ravel(tf.nn.conv2d(x, w, [1, 2], "VALID")), x.sum(axis=2).ravel())
    fault = (
        "tf.nn.conv2d misreads memory in float32 where one channel comes in and one column goes out (oneDNN on "
        "processors with AVX-512); lessons work round it; TF_ENABLE_ONEDNN_OPTS=0 avoids it: chapter06.convolution"
    )
    return "convolution", "right" if right else fault, None


def _data_files():
    from kerasnotes import data

    try:
        names = sorted(data.registry())
    except data.DataFileError as error:
        yield "data", str(error).partition(": ")[2], "see above"
        return
    good, total = 0, 0
    for name in names:
        try:
            total += len(data.read_verified(name))
            good += 1
        except data.DataFileError as error:
            finding, _, remedy = str(error).partition(". Restore")
            yield "data", finding, f"Restore{remedy}"
    yield "data", f"{good} of {len(names)} files verified in {data.data_directory()}", None


def main(console):
    """The command: exit code 0 if all is well, 1 otherwise."""
    return 1 if print_diagnosis(console) else 0
