"""Breaks the concept of a lesson in small ways, one at a time, and sees whether its test file notices.

    pip install cosmic-ray
    python benchmarks/mutation.py chapter05.momentum [chapter03 ...] [--sample 25] [--seed 0] [--jobs 2] [--all]

The mutants are Cosmic Ray's: another operator, a number one larger or smaller, a condition turned round, a loop that
never runs. Only what stands above `example` is changed, without docstrings, `raise` statements and what picks a seed.
Drawn are `--sample` mutants of each lesson, or all. TensorFlow is imported once; each mutant runs in a fork of its own,
from a temporary file (AutoGraph reads source files). A mutant is killed when the lesson's tests fail, or take five
times as long as they should. What is known to change nothing that could be tested stands with its reason in
mutation.json, by `old line → new line`. Printed are the survivors, and a table. Needs a system that can fork.
"""

import argparse
import ast
import importlib
import json
import os
import random
import re
import resource
import signal
import sys
import tempfile
import time
from importlib import util
from pathlib import Path

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ[variable] = "1"  # a fork takes no threads with it

ROOT = Path(__file__).resolve().parent.parent
OPERATORS = (
    *[f"ReplaceBinaryOperator_{pair}" for pair in (
        "Add_Sub", "Sub_Add", "Mul_Div", "Mul_Add", "Div_Mul", "Pow_Mul", "FloorDiv_Mul", "Mod_FloorDiv",
        "BitAnd_BitOr", "BitOr_BitAnd")],
    *[f"ReplaceComparisonOperator_{pair}" for pair in (
        "Lt_LtE", "LtE_Lt", "Gt_GtE", "GtE_Gt", "Lt_Gt", "Gt_Lt", "Eq_NotEq", "NotEq_Eq", "Is_IsNot", "IsNot_Is")],
    *[f"ReplaceUnaryOperator_Delete_{sign}" for sign in ("USub", "Not", "Invert")],
    "AddNot", "ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "ReplaceAndWithOr", "ReplaceOrWithAnd",
    "ReplaceBreakWithContinue", "ReplaceContinueWithBreak", "NumberReplacer", "ZeroIterationForLoop",
)  # fmt: skip
SEEDS = re.compile(
    r"2\*\*3\d|\bseed=0|\bseeds\[-?\d\]|\(seed, \d\)|^ *seeds? = .*$"
)  # one number is as good as another


def mutants_of(source):
    """All mutants of the concept: `[(change, mutated source), ...]`, each source once."""
    from cosmic_ray.ast import Visitor, get_ast
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.operators.provider import OperatorProvider

    class Places(Visitor):
        """Line and column of all that an operator would change, in the order of its occurrences."""

        def visit(self, node):
            places.extend(start for start, _ in operator.mutation_positions(node))
            return node

    tree, found = ast.parse(source), {}
    end = min(node.lineno for node in tree.body if getattr(node, "name", "") in ("example", "lesson"))
    concept, rest = source.splitlines()[: end - 1], source.splitlines()[end - 1 :]
    inside = {line for node in tree.body if hasattr(node, "name") for line in range(node.lineno, node.end_lineno + 1)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise):
            inside -= set(range(node.lineno, node.end_lineno + 1))
    head = "\n".join(concept) + "\n"
    for name in OPERATORS:
        operator, places = OperatorProvider()[name](), []
        Places().walk(get_ast(head))
        for occurrence, (line, column) in enumerate(places):
            if line not in inside or any(m.start() <= column < m.end() for m in SEEDS.finditer(concept[line - 1])):
                continue
            mutated = mutate_code(head, operator, occurrence).splitlines()
            changed = [(a, b) for a, b in zip(concept, mutated, strict=False) if a != b]
            mutated = "\n".join([*mutated, *rest, ""])
            if not changed:
                continue
            try:
                compile(mutated, "mutant", "exec")
            except SyntaxError:
                continue
            before, after = (" ".join(line.strip() for line in side) for side in zip(*changed, strict=True))
            found.setdefault(mutated, f"{before} → {after}")
    return sorted(((change, mutated) for mutated, change in found.items()), key=lambda mutant: mutant[0])


def start(name, path, test, limit, seconds):
    """Fork; the child takes the lesson from the file `path` and runs its tests. Returns the child's process id.

    It may take `limit` seconds of the processor. The file `seconds` keeps how long each test took the first time.
    """
    child = os.fork()
    if child:
        return child
    code = 3
    try:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
        os.dup2(os.open(path.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
        os.dup2(1, 2)
        sys.dont_write_bytecode = True
        import pytest
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        package, short = name.rsplit(".", 1)
        spec = util.spec_from_file_location(name, path)
        module = sys.modules[name] = util.module_from_spec(spec)
        setattr(importlib.import_module(package), short, module)
        spec.loader.exec_module(module)
        arguments = ["-q", "-x", "--tb=line", "--numprocesses", "0", "-p", "no:cacheprovider"]
        code = pytest.main([*arguments, str(test)], plugins=[Hurry(seconds)])
    except BaseException as error:  # a mutant that cannot even be imported
        print(repr(error), flush=True)
    os._exit(int(code))


class Hurry:
    """A plugin for pytest: quick tests first, and Hypothesis need not look for the smallest example."""

    def __init__(self, file):
        self.file, self.seconds = file, {}
        self.known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}

    def pytest_configure(self):
        from hypothesis import Phase, settings

        profile = settings.get_profile("kerasnotes")
        settings.register_profile("mutation", profile, phases=(Phase.explicit, Phase.generate), database=None)
        settings.load_profile("mutation")

    def pytest_collection_modifyitems(self, items):
        items.sort(key=lambda item: self.known.get(item.nodeid, 0.0))

    def pytest_runtest_logreport(self, report):
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration

    def pytest_sessionfinish(self):
        if not self.known:
            self.file.write_text(json.dumps(self.seconds), encoding="utf-8")


def run(name, sources, jobs, limit, folder):
    """Run the tests on each source; for each the exit code (None: out of time) and the seconds of the processor."""
    test = ROOT / "tests" / f"test_{'_'.join(name.split('.')[1:])}.py"
    results, running, waiting = [None] * len(sources), {}, list(enumerate(sources))
    while waiting or running:
        while waiting and len(running) < jobs:
            number, source = waiting.pop(0)
            path = folder / f"mutant{number}.py"
            path.write_text(source, encoding="utf-8")
            running[start(name, path, test, limit, folder / "seconds.json")] = number, time.perf_counter()
        time.sleep(0.05)
        for child, (number, began) in list(running.items()):
            done, status, usage = os.wait4(child, os.WNOHANG)
            if not done and time.perf_counter() - began > 60 * limit:  # it waits for something
                os.killpg(child, signal.SIGKILL)
                done, status, usage = os.wait4(child, 0)
            if done:
                code = os.waitstatus_to_exitcode(status)
                late = code in (-signal.SIGXCPU, -signal.SIGKILL)
                results[number] = None if late else code, usage.ru_utime + usage.ru_stime
                del running[child]
    return results


def report_on(lesson, arguments, known, folder):
    """One row of the table, after the survivors."""
    name = f"kerasnotes.{lesson}"
    source = (ROOT / f"{name.replace('.', '/')}.py").read_text(encoding="utf-8")
    mutants = mutants_of(source)
    drawn = mutants
    if not arguments.all and len(mutants) > arguments.sample:
        drawn = random.Random(f"{arguments.seed} {lesson}").sample(mutants, arguments.sample)
    [(code, seconds)] = run(name, [source], 1, 600, folder)
    if code != 0:
        log = (folder / "mutant0.log").read_text(encoding="utf-8")
        raise SystemExit(f"{log}\n{lesson}: the tests fail without a mutation")
    print(f"\n{lesson}: {len(mutants)} mutants, {len(drawn)} drawn; tests take {seconds:.0f} s", flush=True)
    equivalent = known.get(lesson, {})
    tried = [mutant for mutant in drawn if mutant[0] not in equivalent]
    results = run(name, [mutated for _, mutated in tried], arguments.jobs, int(max(20, 5 * seconds)), folder)
    survivors = [mutant for mutant, (code, _) in zip(tried, results, strict=True) if code == 0]
    for change, _ in survivors:
        print(f"  {change}", flush=True)
    late = sum(code is None for code, _ in results)
    killed = len(tried) - len(survivors)
    print(
        f"  killed {killed} ({late} late), equivalent {len(drawn) - len(tried)}, survived {len(survivors)}", flush=True
    )
    return lesson, len(mutants), len(drawn), killed, late, len(drawn) - len(tried), len(survivors)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", help="lessons or chapters")
    parser.add_argument("--all", action="store_true", help="all mutants, not a sample")
    for option, default in (("sample", 25), ("seed", 0), ("jobs", 2)):
        parser.add_argument(f"--{option}", type=int, default=default)
    arguments = parser.parse_args()
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    for module in ("tensorflow", "keras", "pytest", "hypothesis.strategies", "matplotlib.figure", "scipy.stats"):
        importlib.import_module(module)
    known = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    lessons = []
    for name in arguments.names:
        listed = () if "." in name else importlib.import_module(f"kerasnotes.{name}").LESSONS
        lessons += [f"{name}.{lesson}" for lesson in listed] or [name]
    rows = []
    for lesson in lessons:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(report_on(lesson, arguments, known, Path(folder)))
    print(f"\n{'lesson':32} mutants  drawn killed (late) equivalent survived")
    for lesson, *numbers in rows:
        print("{:32} {:7} {:6} {:6} {:6} {:10} {:8}".format(lesson, *numbers))


if __name__ == "__main__":
    main()
