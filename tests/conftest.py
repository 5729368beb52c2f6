"""One TensorFlow for all tests, imported without its log lines; figures without a window; each data file read once."""

import functools
import gc
import os

os.environ["MPLBACKEND"] = "Agg"
os.environ["LANGUAGE"] = "en"  # whatever the machine speaks
# Two workers on two cores leave no room for more threads of NumPy's: those that wait for small products only spin.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pytest
from hypothesis import settings

from kerasnotes import data
from kerasnotes.course.run import import_tensorflow

settings.register_profile("kerasnotes", deadline=None, derandomize=True, print_blob=False)
settings.load_profile("kerasnotes")

read_verified = data.read_verified


@functools.lru_cache(maxsize=32)
def _read(name, *_):
    return read_verified(name)


@functools.wraps(read_verified)
def read_once(name):
    """`data.read_verified`, which unpacks a file again only when it or the registry has changed."""
    folder = data.data_directory()
    try:
        facts = [(path, stat.st_size, stat.st_mtime_ns) for path in (folder / "registry.json", folder / name)
                 if (stat := path.stat())]  # fmt: skip
    except (OSError, TypeError):
        return read_verified(name)
    return _read(name, *facts)


data.read_verified = read_once


def pytest_configure(config):
    """Import TensorFlow where tests run, which is not in the process that only hands them to the workers."""
    if config.getoption("dist", "no") == "no" or hasattr(config, "workerinput"):
        gc.disable()  # until all tests are collected: imports and tests are no garbage
        import_tensorflow()


def pytest_collection_modifyitems(items):
    """The smoke runs come first and the many small files of lessons last, so that all workers end at one time."""
    items.sort(key=lambda item: (item.path.name.startswith("test_chapter"), item.path.name != "test_lessons.py"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Deals out whole files, whose tests share what they make; the smoke runs, a third of all work, by chapters.
    Only where `--dist` is setup.cfg's: any other choice is the user's."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class Files(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            file, _, test = nodeid.partition("::")
            return test.partition(".")[0] if file.endswith("test_lessons.py") else file

    config.option.loadscopereorder = False  # the order is that of the items
    return Files(config, log)


def pytest_collection_finish(session):
    """What is there before the first test stays: the garbage collector need not walk through it again and again."""
    gc.collect()
    gc.freeze()
    gc.enable()
