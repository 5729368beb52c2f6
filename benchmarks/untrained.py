"""Runs lessons whose optimizers do nothing, and says which trained checks hold all the same.

    python benchmarks/untrained.py [chapter09.gates chapter10 ...] [--seed 0] [--limit 150]

Every Keras optimizer counts its steps and changes no weight; everything else runs at default scale, each lesson in its
own fork. A trained check that holds then says nothing of what was learned. That may be right: that a shuffled label
teaches nothing, say, holds without training as well. But where every trained check of a lesson holds, its training
could be left out and nobody would notice. Lessons that train without a Keras optimizer are named and not judged; what a
lesson trains by loops of its own goes on.
"""

import argparse
import importlib
import os
import signal
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")

ROOT = Path(__file__).resolve().parent.parent


def stand_still():
    """Take from all Keras optimizers what they do to weights. Returns a list that has an entry for each traced step."""
    import keras

    calls = []

    def apply(self, grads, trainable_variables=None):
        if not self.built:
            self.build(trainable_variables)
        calls.append(type(self).__name__)
        self.iterations.assign_add(1)

    keras.optimizers.Optimizer.apply = apply
    return calls


def run_untrained(name, seed, limit):
    """Fork; the child runs a lesson and prints what holds. Returns after it has ended."""
    child = os.fork()
    if child:
        if os.WIFSIGNALED(os.waitpid(child, 0)[1]):
            print(f"{name}: not judged, ended by a signal; by --limit after {limit} s", flush=True)
        return
    try:
        signal.alarm(limit)
        calls = stand_still()
        from kerasnotes import run

        checks = [each for each in run(importlib.import_module(f"kerasnotes.{name}"), seed=seed).records
                  if each["kind"] == "check" and each["trained"]]  # fmt: skip
        holding = [each["label"] for each in checks if each["status"] == "passed"]
        verdict = "no Keras optimizer" if not calls else "NOTHING NOTICED" if len(holding) == len(checks) else "noticed"
        print(f"{name}: {verdict}; {len(holding)} of {len(checks)} hold untrained: {'; '.join(holding) or 'none'}",
              flush=True)  # fmt: skip
    except Exception as error:
        print(f"{name}: stopped by {error!r}"[:300], flush=True)  # weights that stay may well stop a lesson
    finally:
        os._exit(0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lessons", nargs="*", help="lessons or chapters; all with trained checks if none is named")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, default=150, help="seconds for a lesson (default 150)")
    arguments = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    for module in ("tensorflow", "keras", "matplotlib.figure", "kerasnotes.course.run"):
        importlib.import_module(module)
    from kerasnotes.course import catalog, records

    for lesson in (lesson for chapter in catalog.chapters() for lesson in chapter.lessons):
        wanted = not arguments.lessons or {lesson.full_name, lesson.full_name.split(".")[0]} & set(arguments.lessons)
        recorded = (records.load(lesson) or {}).get("records", [])
        if wanted and any(each["kind"] == "check" and each["trained"] for each in recorded):
            began = time.perf_counter()
            run_untrained(lesson.full_name, arguments.seed, arguments.limit)
            print(f"    {time.perf_counter() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
