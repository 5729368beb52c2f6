"""Many runs of one lesson, seeds times settings, on one machine or on a Ray cluster, and what they have in common.

Each run has a folder of its own with its `report.json`; one that is there and up to date is never run again, nor is one
that the lesson's record holds. On one machine joblib's process backend keeps the workers, and with them TensorFlow,
from run to run. On a cluster each run is a Ray task, which Ray itself tries again when a node dies. (Ray's joblib
backend was tried: it gives no result before all are done, and one dead worker ends the whole sweep.)
"""

import collections
import contextlib
import hashlib
import itertools
import math
import os
import re
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from kerasnotes.course import catalog, records, render, store
from kerasnotes.course.fingerprint import Fingerprints
from kerasnotes.course.progress import Tracker
from kerasnotes.course.report import png_of
from kerasnotes.course.run import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_OK,
    SEED,
    import_tensorflow,
    run_lesson,
)

DONE, FAILED, LOST = "done", "failed", "lost"
STARTED = ".started"  # marks a run in flight, so that a dead worker's run is known
CONNECT_SECONDS = 10
MOST_RUNS = 1_000_000
MOST_FIGURES = 40


@dataclass(frozen=True)
class Run:
    """One point of the grid: the swept settings, all settings, the seed, and where the report goes."""

    lesson: str
    scale: str
    swept: tuple  # ((name, value), …)
    settings: tuple  # all of them
    seed: int
    directory: Path


def add_arguments(parser):
    """The options of `python -m kerasnotes sweep`."""
    parser.add_argument("lesson", metavar="LESSON", help="such as chapter08.clipping")
    parser.add_argument("--seeds", default="0-4", metavar="SEEDS", help="such as 0-19 or 0,3,8-11 (default 0-4)")
    parser.add_argument(
        "--set", action="append", default=[], dest="changes", metavar="NAME=VALUES",
        help="a setting and its values, such as learning_rate=0.1,0.3; may be given several times, then every "
        "combination is run. A setting of several numbers is written with colons: bounds=1:5,0.1:0.5",
    )  # fmt: skip
    scale = parser.add_mutually_exclusive_group()
    scale.add_argument("--smoke", dest="scale", action="store_const", const="smoke", help="settings that take a second")
    scale.add_argument("--full", dest="scale", action="store_const", const="full", help="the published settings")
    parser.set_defaults(scale="default")
    parser.add_argument("--out", type=Path, default=Path("out/sweep"), metavar="DIR",
                        help="folder for reports, table and figures (default out/sweep)")  # fmt: skip
    parser.add_argument("--workers", type=int, metavar="N", help="processes at a time (default: cores / threads)")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="threads of each process (default 1)")
    parser.add_argument("--attempts", type=int, default=3, metavar="N",
                        help="how often to try a run whose worker dies (default 3)")  # fmt: skip
    parser.add_argument("--record", action="store_true", help="keep on how many seeds each check held with the records")
    parser.add_argument("--cluster", metavar="HOST:PORT", help="run on the Ray cluster with this address")


def main(options, console):
    """Run a sweep as the command line asks. Returns the exit code: 0 all runs ended, 1 not all, 130 interrupted."""
    lesson, runs = plan(options.lesson, options.seeds, options.changes, options.scale, options.out)
    threads = _at_least_one("--threads", options.threads)
    workers = options.workers if options.workers is not None else max(1, (os.cpu_count() or 1) // threads)
    _at_least_one("--workers", workers)
    _at_least_one("--attempts", options.attempts)
    if options.cluster is not None:
        check_cluster(options.cluster)
    if options.record and (options.scale != "default" or options.changes):
        raise catalog.UsageError("--record keeps seeds at default scale and with the lesson's own settings only")
    store.check_place(options.out / lesson.full_name, "--out")
    if options.record:
        store.check_place(records.folder(lesson), "the records")
    where = f"the cluster at {options.cluster}" if options.cluster else f"{workers} processes of {threads} threads"
    folder = options.out / lesson.full_name
    prints = Fingerprints()
    provenance = store.provenance(lesson, prints)
    numbers = Fingerprints(words=False).of(lesson) if options.record else None
    results = {run: stored for run in runs if (stored := _stored(run, provenance)) is not None}
    todo = [run for run in runs if run not in results]
    console.print(
        f"{lesson.full_name}: {len(runs)} runs, {len(results)} already there, {len(todo)} to do on {where}; "
        f"results in {folder}",
        soft_wrap=True,
    )
    problems, tracker, start, code = {}, Tracker(console), time.monotonic(), EXIT_OK
    try:
        if options.cluster:
            outcomes = on_cluster(todo, options.cluster, threads, options.attempts, provenance)
        else:
            outcomes = on_this_machine(todo, workers, threads, options.attempts, provenance)
        for run, report, images, problem in tracker(_Sized(outcomes, len(todo)), "runs"):
            if problem is None:
                store.save(run.directory, report, images)
                problem = report["error"]
            if problem is None:
                results[run] = report
            else:
                problems[run] = problem
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
        console.print("\nInterrupted. The same command goes on from here.", style="yellow")
    finally:
        tracker.close()
    seconds = time.monotonic() - start
    summary = summarize(lesson, runs, results, problems)
    summary["this_time"] = {
        "runs": len(todo),
        "seconds": round(seconds, 1),
        "workers": None if options.cluster else workers,
        "threads": threads,
        "cluster": options.cluster,
    }
    images = figures(summary)
    for old in folder.glob("*.png"):
        old.unlink()
    for name, image in images.items():
        store.write_atomically(folder / name, image)
    store.write_atomically(folder / "sweep.json", store.to_json(summary))
    store.write_atomically(folder / "index.html", page(lesson, summary, images))
    _print(summary, console)
    if options.record and len(results) == len(runs):
        kept = records.save_seeds(lesson, list(results.values()), prints.depends(lesson), numbers)
        records.write_index()
        console.print(f"recorded: every check held on {kept['held']} of {len(runs)} seeds")
    if todo and code == EXIT_OK:
        console.print(f"{len(todo)} runs in {seconds:.0f} s, {60 * len(todo) / max(seconds, 1e-9):.1f} a minute")
    console.print(f"read it in a browser: {folder / 'index.html'}", soft_wrap=True)
    return EXIT_FAILED if code == EXIT_OK and problems else code


class _Sized:
    """A generator with a length, so that progress can say what is left."""

    def __init__(self, generator, length):
        self._generator, self._length = generator, length

    def __iter__(self):
        return iter(self._generator)

    def __len__(self):
        return self._length


# --- what to run -----------------------------------------------------------------------------------------------------


def plan(name, seeds, changes, scale, out):
    """The runs of a sweep.

    Args:
        name: The lesson's name.
        seeds: Text such as `"0-4"`.
        changes: Texts such as `"steps=100,200"`.
        scale: `"smoke"`, `"default"` or `"full"`.
        out: Folder of all sweeps.

    Returns:
        `(lesson, runs)`.

    Raises:
        UsageError: If a name or value is wrong, saying what was expected.
    """
    lesson = catalog.find_lesson(name)
    seeds, grid = parse_seeds(seeds), parse_settings(lesson, changes)
    count = len(seeds) * math.prod(len(values) for values in grid.values())
    if count > MOST_RUNS:
        raise catalog.UsageError(f"--seeds, --set: expected at most {MOST_RUNS:,} runs, got {count:,}")
    runs = []
    for values in itertools.product(*grid.values()):
        swept = tuple(zip(grid, values, strict=True))
        for seed in seeds:
            settings = store.effective_settings(lesson, scale, seed, dict(swept))
            directory = Path(out) / lesson.full_name / scale / _folder(swept) / f"seed-{seed}"
            runs.append(Run(lesson.full_name, scale, swept, tuple(settings.items()), seed, directory))
    return lesson, runs


def parse_seeds(text):
    """Seeds from text: `"0-3,8"` gives (0, 1, 2, 3, 8). Raises UsageError for what is no seed, and for empty ranges."""
    seeds = []
    for part in text.split(","):
        found = re.fullmatch(r"\s*(\d+)(?:\s*-\s*(\d+))?\s*", part)
        if not found:
            raise catalog.UsageError(f"--seeds: expected numbers and ranges such as 0-19 or 0,3,8-11, got {text!r}")
        first, last = int(found[1]), int(found[2] or found[1])
        if last < first:
            raise catalog.UsageError(f"--seeds: {part.strip()} is empty: expected the lower number first")
        if last - first >= MOST_RUNS:
            raise catalog.UsageError(f"--seeds: expected at most {MOST_RUNS:,} seeds, got {part.strip()}")
        for seed in (first, last):
            try:
                SEED.validate(seed)
            except ValueError as error:
                raise catalog.UsageError(f"--seeds: {error}") from None
        seeds += range(first, last + 1)
    return tuple(dict.fromkeys(seeds))


def parse_settings(lesson, changes):
    """`{setting: tuple of values}` from texts such as `"steps=100,200"`. Raises UsageError if one is wrong."""
    known, grid = {setting.name: setting for setting in lesson.settings}, {}
    for change in changes:
        name, equals, values = change.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or not values.strip():
            raise catalog.UsageError(f"--set: expected NAME=VALUE[,VALUE…], got {change!r}")
        if name == "seed":
            raise catalog.UsageError("--set: seeds are given by --seeds")
        if name not in known:
            raise catalog.UsageError(f"{lesson.full_name} has no setting {name!r}.{catalog.suggest(name, list(known))}")
        if name in grid:
            raise catalog.UsageError(f"--set: {name} is given twice; write all its values after one --set")
        grid[name] = tuple(dict.fromkeys(_parse_value(known[name], value) for value in values.split(",")))
    return grid


def _parse_value(setting, text):
    text = text.strip()
    try:
        if setting.many:
            return setting.validate([setting.parse(part) for part in text.split(":")])
        if setting.type is bool:
            return setting.parse({"true": True, "false": False}.get(text.lower(), text))
        return setting.parse(text)
    except ValueError as error:
        raise catalog.UsageError(f"--set {error}") from None


def check_cluster(address):
    """Answer in time whether a Ray cluster can be there at all. Raises UsageError if not."""
    try:
        import ray  # noqa: F401
    except ImportError:
        raise catalog.UsageError('--cluster needs Ray: pip install -e ".[cluster]"') from None
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdecimal():
        raise catalog.UsageError(f"--cluster: expected HOST:PORT, as ray start --head prints it, got {address!r}")
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise catalog.UsageError(
            f"--cluster: nothing answers at {address} within {CONNECT_SECONDS} s ({error}); start it there with "
            f"ray start --head --port {port}"
        ) from None


def _at_least_one(name, value):
    if value < 1:
        raise catalog.UsageError(f"{name}: expected a whole number of at least 1, got {value}")
    return value


def _text(value):
    return (
        ":".join(map(_text, value))
        if isinstance(value, tuple)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )


def _folder(swept):
    name = ",".join(f"{name}={_text(value)}" for name, value in swept) or "as-it-is"
    exact = repr(swept)  # _text shortens numbers, and two values must not share a folder
    if len(name) > 80 or any(isinstance(v, float) and float(_text(v)) != v for _, v in swept) or "/" in name:
        name = f"{name[:60].replace('/', '_')}-{hashlib.sha256(exact.encode()).hexdigest()[:12]}"
    return name


def _stored(run, provenance):
    """The run's report, if what a new run would give is on disk: in the sweep's folder, or as the lesson's record."""
    expected = store.identity(run.lesson, run.scale, run.seed, dict(run.settings), provenance)
    folders = [run.directory]
    if (run.scale, run.seed) == (records.SCALE, records.SEED):  # no other run can be the record: spare reading it
        folders.append(records.folder(catalog.find_lesson(run.lesson)))
    for folder in folders:
        stored = store.load(folder, with_images=False)
        if stored is not None and store.reusable(stored[0], expected):
            return stored[0]
    return None


# --- running ---------------------------------------------------------------------------------------------------------


def work(run, threads, provenance, mark=True):
    """Run one lesson in this process. Returns `(report, images)`. For worker processes."""
    if mark:
        run.directory.mkdir(parents=True, exist_ok=True)
        (run.directory / STARTED).write_text(str(os.getpid()), encoding="ascii")
    os.environ.setdefault("MPLBACKEND", "Agg")
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
        os.environ[name] = str(threads)  # read once, when TensorFlow starts
    import_tensorflow()
    lesson = catalog.find_lesson(run.lesson)
    return run_lesson(lesson, dict(run.settings), scale=run.scale, seed=run.seed, provenance=provenance)


def on_this_machine(runs, workers, threads, attempts, provenance):
    """Run in processes of joblib's pool, which stay from run to run.

    A dead worker breaks the pool, and with it end the other runs in flight; all of them are tried again.

    Yields:
        `(run, report, images, problem)` as runs end, in any order; either report or problem is None.
    """
    from joblib.externals.loky import as_completed, get_reusable_executor
    from joblib.externals.loky.process_executor import BrokenProcessPool

    left, tried = list(runs), collections.Counter()
    pool = None
    try:
        while left:
            for run in left:
                (run.directory / STARTED).unlink(missing_ok=True)
            # joblib.Parallel would do with one worker what it does with none: run in this process.
            pool = get_reusable_executor(max_workers=workers, timeout=600, kill_workers=True)
            futures = {pool.submit(work, run, threads, provenance): run for run in left}
            ended, reason = set(), None
            for future in as_completed(futures):
                run = futures[future]
                try:
                    outcome = future.result()
                except BrokenProcessPool as error:
                    reason = str(error).strip().splitlines()[0]
                    continue
                (run.directory / STARTED).unlink(missing_ok=True)
                ended.add(run)
                yield run, *outcome, None
            left = [run for run in left if run not in ended]
            for run in [run for run in left if (run.directory / STARTED).exists()]:
                tried[run] += 1
                if tried[run] >= attempts:
                    (run.directory / STARTED).unlink(missing_ok=True)
                    left.remove(run)
                    yield run, None, None, f"its worker died {attempts} times: {reason}"
    finally:
        if pool is not None:
            pool.shutdown(wait=False, kill_workers=True)


def on_cluster(runs, address, threads, attempts, provenance):
    """Run as tasks of a Ray cluster; yields as `on_this_machine` does. The driver writes all reports."""
    import ray

    ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    futures = {}
    try:
        task = ray.remote(num_cpus=threads, max_retries=attempts - 1)(work)
        futures = {task.remote(run, threads, provenance, mark=False): run for run in runs}
        while futures:
            ready, _ = ray.wait(list(futures), num_returns=1)
            for future in ready:
                run = futures.pop(future)
                try:
                    yield run, *ray.get(future), None
                except ray.exceptions.RayError as error:
                    yield run, None, None, f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
    finally:
        for future in futures:
            with contextlib.suppress(Exception):
                ray.cancel(future, force=True)
        ray.shutdown()


# --- what came out ---------------------------------------------------------------------------------------------------


def summarize(lesson, runs, results, problems):
    """Everything that `sweep.json` holds.

    Args:
        lesson: The `catalog.Lesson`.
        runs: All runs of the sweep.
        results: `{run: report}` of those that ended.
        problems: `{run: text}` of those that did not.

    Returns:
        A dictionary: `runs`, one entry each; `checks`, one for each combination of settings and label, with mean,
        standard error, minimum and maximum of what was got, and the share of seeds on which the check held.
    """
    listed, groups = [], {}
    for run in runs:
        report = results.get(run)
        status = DONE if report else FAILED if run in problems else LOST
        listed.append({
            "swept": dict(run.swept), "seed": run.seed, "status": status, "directory": run.directory.as_posix(),
            "seconds": report["times"]["seconds"] if report else None,
            "counts": report["counts"] if report else None, "error": problems.get(run),
        })  # fmt: skip
        for record in report["records"] if report else ():
            if record["kind"] == "check":
                groups.setdefault((run.swept, record["label"]), []).append(record)
    order = {swept: place for place, swept in enumerate(dict.fromkeys(run.swept for run in runs))}
    checks = [_one_check(*key, records) for key, records in sorted(groups.items(), key=lambda item: order[item[0][0]])]
    seeds = sorted({run.seed for run in runs})
    return {"lesson": lesson.full_name, "scale": runs[0].scale, "seeds": seeds, "runs": listed, "checks": checks}


def _one_check(swept, label, records):
    from kerasnotes import plots  # matplotlib, which --help need not wait for

    numbers = [r["got"] for r in records if isinstance(r["got"], (int, float)) and not isinstance(r["got"], bool)]
    entry = {"swept": dict(swept), "label": label, "seeds": len(records), "relation": records[0]["relation"],
             "want": records[0]["want"] if not isinstance(records[0]["want"], (list, dict)) else None,
             "held": sum(r["status"] == "passed" for r in records),
             "skipped": sum(r["status"] == "skipped" for r in records),
             "mean": None, "error": None, "minimum": None, "maximum": None}  # fmt: skip
    if len(numbers) == len(records):
        entry["mean"], entry["error"] = map(float, plots.mean_and_error(numbers))
        entry["minimum"], entry["maximum"] = min(numbers), max(numbers)
    return entry


COLUMNS = ("mean", "standard error", "minimum", "maximum", "held")


def table(summary):
    """`(columns, rows)` of all checks: swept settings, check, and what came out over the seeds."""
    swept = list(dict.fromkeys(name for entry in summary["checks"] for name in entry["swept"]))
    rows = []
    for entry in summary["checks"]:
        share = "skipped (smoke)" if entry["skipped"] else f"{entry['held']} of {entry['seeds']}"
        numbers = [entry[name] for name in ("mean", "error", "minimum", "maximum")]
        rows.append(
            [*(_text(entry["swept"][name]) for name in swept), entry["label"], *map(render.number, numbers), share]
        )
    return [*swept, "check", *COLUMNS], rows


def figures(summary):
    """One figure for each measured quantity that varies: against the swept setting, or over the seeds.

    Returns:
        `{file name: PNG bytes}`, at most forty of them.
    """
    quantities = {}
    for entry in summary["checks"]:
        if entry["mean"] is not None:
            quantities.setdefault(entry["label"], []).append(entry)
    varied = {
        label: entries for label, entries in quantities.items()
        if len({value for e in entries for value in (e["minimum"], e["maximum"])}) > 1
    }  # fmt: skip
    return {
        f"{number:02d}-{re.sub(r'[^a-z0-9]+', '-', label.lower()).strip('-')[:50]}.png": _figure(label, entries)
        for number, (label, entries) in enumerate(itertools.islice(varied.items(), MOST_FIGURES), 1)
    }


def _figure(label, entries):
    import matplotlib

    matplotlib.use("Agg")
    from kerasnotes import plots

    names = list(entries[0]["swept"])
    varying = [name for name in names if len({_text(e["swept"][name]) for e in entries}) > 1]
    axis = next(
        (name for name in varying if all(_is_number(e["swept"][name]) for e in entries)), (varying or [None])[0]
    )
    figure, ax = plots.subplots(figsize=(7, 4.2))
    groups = {}
    for entry in entries:
        other = ", ".join(f"{name}={_text(entry['swept'][name])}" for name in varying if name != axis)
        groups.setdefault(other, []).append(entry)
    places = {_text(e["swept"][axis]): i for i, e in enumerate(entries)} if axis else {"": 0}
    numeric = axis is not None and all(_is_number(e["swept"][axis]) for e in entries)
    for number, (name, group) in enumerate(groups.items()):
        x = [e["swept"][axis] if numeric else places[_text(e["swept"][axis]) if axis else ""] for e in group]
        style = plots.LINE_STYLES[number % len(plots.LINE_STYLES)] if axis else ""
        ax.errorbar(x, [e["mean"] for e in group], yerr=[e["error"] for e in group], marker="o", capsize=4,
                    linestyle=style, color=f"C{number % 10}", label=name or "mean ± standard error")  # fmt: skip
        ax.scatter([*x, *x], [*(e["minimum"] for e in group), *(e["maximum"] for e in group)], marker="_", s=120,
                   color=f"C{number % 10}", label=None if number else "lowest and highest seed")  # fmt: skip
    wanted = {e["want"] for e in entries if _is_number(e["want"])}
    if len(wanted) == 1:
        ax.axhline(wanted.pop(), color="C2", linestyle=":", label=f"{entries[0]['relation']} this")
    if axis is None:
        ax.set_xticks([0], [f"{entries[0]['seeds']} seeds"])
    elif not numeric:
        ax.set_xticks(list(places.values()), list(places))
    elif min(e["swept"][axis] for e in entries) > 0 and max(e["swept"][axis] for e in entries) > 20 * min(
        e["swept"][axis] for e in entries
    ):
        ax.set_xscale("log")
    ax.set(xlabel=axis or "", ylabel="measured")
    ax.set_title("\n".join(_wrapped(label, 62)), fontsize=11)
    ax.legend(fontsize=9)
    image = png_of(figure)
    plots.plt.close(figure)
    return image


def _wrapped(text, width):
    import textwrap

    return textwrap.wrap(text, width)[:3]


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def page(lesson, summary, images):
    """The sweep as one self-contained HTML page."""
    states = collections.Counter(run["status"] for run in summary["runs"])
    about = f"{lesson.point} {states[DONE]} of {len(summary['runs'])} runs, scale {summary['scale']}."
    problems = [[_run_name(run), run["status"], run["error"] or "not run yet"] for run in summary["runs"]
                if run["status"] != DONE]  # fmt: skip
    sections = [("Checks over the seeds", *table(summary))]
    if problems:
        sections.append(("Runs that are missing", ["run", "status", "why"], problems))
    times = [[_run_name(run), run["seconds"]] for run in summary["runs"] if run["status"] == DONE]
    sections.append(("Runs", ["run", "seconds"], [[name, render.number(value)] for name, value in times]))
    return render.tables_html(f"Sweep of {lesson.full_name}", about, sections, images)


def _run_name(run):
    return ", ".join([*(f"{name}={_text(value)}" for name, value in run["swept"].items()), f"seed {run['seed']}"])


def _print(summary, console):
    from rich import box
    from rich.table import Table
    from rich.text import Text

    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = 120
    columns, rows = table(summary)
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        justify = "right" if column in COLUMNS else "left"
        shown.add_column(column, justify=justify, min_width=30 if column == "check" else None, overflow="fold")
    told = 0  # what is the same on every seed and holds everywhere stands on the page only
    for entry, row in zip(summary["checks"], rows, strict=True):
        if entry["minimum"] != entry["maximum"] or entry["held"] + entry["skipped"] < entry["seeds"]:
            shown.add_row(*(Text(str(cell)) for cell in row))
            told += 1
    if told:
        console.print(shown)
    if told < len(rows):
        console.print(f"{len(rows) - told} further checks give the same on every seed, and hold")
    for run in summary["runs"]:
        if run["status"] == FAILED:
            last = run["error"].strip().splitlines()[-1]
            console.print(f"failed: {_run_name(run)}: {last}", style="red", markup=False, soft_wrap=True)
    left = sum(run["status"] == LOST for run in summary["runs"])
    if left:
        console.print(f"{left} of {len(summary['runs'])} runs are not done", style="yellow")


def describe(parser):
    """Give the command line's `sweep` its help and options."""
    parser.description = (
        "Run one lesson for all combinations of seeds and settings, each in a process of its own, and "
        "show mean, standard error, lowest and highest value, and on how many seeds each check held. What is done is "
        "never run again, and a fresh record counts as seed 0: the same command goes on where it stopped."
    )
    parser.epilog = (
        "examples:\n  python -m kerasnotes sweep chapter08.clipping --seeds 0-19\n"
        "  python -m kerasnotes sweep chapter08.clipping --seeds 0-4 --set learning_rate=0.1,0.3 --set steps=200\n"
        "  python -m kerasnotes sweep chapter12.dqn --seeds 0-99 --cluster 127.0.0.1:6379\n\n"
        "exit code: 0 all runs ended, 1 some did not, 2 wrong usage, 130 interrupted"
    )
    add_arguments(parser)
    parser.set_defaults(command=main)
