"""Runs lessons: arguments, seed, progress, output, exit code.

Exit codes: 0 all checks hold, 1 a check failed or a lesson raised an exception, 2 wrong usage, 130 interrupted.
"""

import argparse
import contextlib
import difflib
import importlib
import os
import re
import sys
import tempfile
import time
import traceback
from pathlib import Path

from kerasnotes.course import catalog, language, records, render, store
from kerasnotes.course.progress import Tracker
from kerasnotes.course.store import effective_settings
from kerasnotes.course.terminal import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_OK,
    WIDTH,
    Console,
    answered,
)

SEED = catalog.Setting("seed", int, False, 0, "Seed of all random draws.", 0, 2**32 - 1, None)
TENSORFLOW_SECONDS = 7


def main(package, argv=None):
    """Run a chapter or some of its lessons from the command line.

    Args:
        package: The chapter's package, such as `"kerasnotes.chapter08"`.
        argv: Arguments; those of the process by default.

    Returns:
        The exit code.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    return answered(lambda: language.speaking(argv, lambda rest: _main(package, rest)))


def _main(package, argv):
    chapter = catalog.find_chapter(package)
    options, chosen, settings = _parse(chapter, argv)
    # As JSON the report goes to standard output and everything else to standard error.
    console = Console(stderr=options.json, soft_wrap=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = WIDTH
    if options.list:
        return _print_list(chapter, console)
    return _run_chapter(chapter, chosen, settings, options, console)


def run_module(module, *, scale="default", seed=0, settings=None):
    """Run one lesson given as a module and return its report; for notebooks and scripts. Exceptions pass through.

    Raises:
        ValueError: If a setting is unknown or out of its range.
    """
    name = getattr(module, "__name__", "")
    if not re.fullmatch(r"kerasnotes\.chapter\d\d\.\w+", name):
        raise ValueError(f"lesson: expected a lesson's module such as kerasnotes.chapter08.clipping, got {module!r}")
    try:
        lesson = catalog.find_lesson(name)
    except catalog.UsageError as error:
        raise ValueError(str(error)) from None
    known = {setting.name: setting for setting in lesson.settings}
    seed = SEED.validate(seed)
    changed = {}
    for key, value in (settings or {}).items():
        if key not in known:
            raise ValueError(f"{key}: {lesson.full_name} has no such setting.{catalog.suggest(key, list(known))}")
        changed[key] = known[key].validate(value)
    from kerasnotes.course.report import Report  # NumPy, which listing need not wait for

    report = Report(lesson.full_name, scale=scale, seed=seed, settings=effective_settings(lesson, scale, seed, changed))
    _seed(seed)
    module.lesson(report, **report.settings)
    return report


def run_lesson(lesson, settings, *, scale="default", seed=0, progress=None, show=False, provenance=None):
    """Run one lesson and return `(report, images)`, the report as `report.json` holds it.

    An exception of the lesson is recorded with its traceback; KeyboardInterrupt passes through. `provenance` is
    `store.provenance(lesson)`, for callers that have it already.
    """
    from kerasnotes.course.report import Report

    record = Report(lesson.full_name, scale=scale, seed=seed, settings=settings, progress=progress, show=show)
    memory = PeakMemory()
    start = time.perf_counter()
    try:
        module = importlib.import_module(f"kerasnotes.{lesson.full_name}")
        _seed(seed)
        module.lesson(record, **settings)
    except Exception:
        record.error = traceback.format_exc()
    times = {
        "seconds": round(time.perf_counter() - start, 3),
        "peak_memory_mb": memory.megabytes(),
        "cores": store.cores(),
        "date": store.today(),
    }
    report = {**record.to_dict(), "point": lesson.point, "times": times}
    return {**report, **(provenance or store.provenance(lesson))}, record.images


class PeakMemory:
    """The process's largest memory since this object was made; since its start where the system cannot reset it."""

    def __init__(self):
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")

    def megabytes(self):
        """Megabytes as an integer, or None where the system does not say."""
        with contextlib.suppress(OSError):
            peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
            if peak:
                return int(peak[1]) // 1024
        with contextlib.suppress(ImportError):
            import resource

            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            return peak // (1024 * 1024 if sys.platform == "darwin" else 1024)
        return None


def import_tensorflow():
    """Import TensorFlow and Keras without TensorFlow's log lines; what they say is printed only if the import fails."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    if "tensorflow" in sys.modules and "keras" in sys.modules:
        return
    sys.stderr.flush()
    with tempfile.TemporaryFile() as log:
        # The first lines come from compiled code before any setting is read: only the file descriptor stops them.
        kept = os.dup(2)
        os.dup2(log.fileno(), 2)
        failed = True
        try:
            import keras
            import tensorflow as tf

            tf.get_logger().setLevel("ERROR")
            tf.config.list_physical_devices()
            keras.backend.clear_session()
            failed = False
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            if failed:
                log.seek(0)
                sys.stderr.write(log.read().decode("utf-8", errors="replace"))
    if keras.backend.backend() != "tensorflow":
        raise catalog.UsageError(
            f"Keras runs on {keras.backend.backend()!r}, the course needs TensorFlow: set KERAS_BACKEND=tensorflow."
        )


def _seed(seed):
    import_tensorflow()
    import keras

    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)


# --- the command line ------------------------------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        raise catalog.UsageError(message[:1].upper() + message[1:] + f"\nSee {self.prog} --help.")


def _parse(chapter, argv):
    """`(options, chosen lessons, changed settings)`. A lesson's own flags are there when just that one is named."""
    names = [lesson.name for lesson in chapter.lessons]
    single, options = _read_arguments(chapter, [name for name in dict.fromkeys(argv) if name in names], argv)
    chosen = [chapter.lesson(name) for name in dict.fromkeys(options.lessons)] or list(chapter.lessons)
    if not options.list:
        store.check_place(options.out / chapter.name, "--out")
    changed = {}
    for setting in single.settings if single else ():
        value = getattr(options, f"setting_{setting.name}", None)
        if value is not None:
            changed[setting.name] = tuple(value) if setting.many else value
    return options, chosen, changed


def _read_arguments(chapter, named, argv):
    """`(the one lesson named or None, options)`. A lesson's name may stand there as the value of a setting as well."""
    first_problem = None
    for name in named:
        single = chapter.lesson(name)
        parser = _parser(chapter, single)
        try:
            options, unknown = parser.parse_known_intermixed_args(argv)
            if unknown:
                raise catalog.UsageError(_unknown_text(chapter, single, unknown[0], parser))
        except catalog.UsageError as problem:
            first_problem = first_problem or problem
            continue
        if set(options.lessons) == {name}:
            return single, options
    parser = _parser(chapter, None)
    try:
        options, unknown = parser.parse_known_intermixed_args(argv)
        if unknown:
            raise catalog.UsageError(_unknown_text(chapter, None, unknown[0], parser))
    except catalog.UsageError as problem:
        raise first_problem or problem from None
    return None, options


def _parser(chapter, single):
    lines = [" · ".join(language.chapter_titles(chapter)), "", language.about(chapter), ""]
    if single is None:
        width = max(len(lesson.name) for lesson in chapter.lessons)
        lines += ["lessons:", *(f"  {lesson.name:<{width}}  {language.line(lesson)}" for lesson in chapter.lessons)]
        lines += ["", "Name one lesson before --help to see its settings."]
    else:
        lines = [f"{single.full_name}: {language.line(single)}"]
    command = f"python -m kerasnotes.{chapter.name}"
    example = single or chapter.lessons[0]
    numeric = next((s for s in example.settings if s.type is int and s.name != "seed"), None)
    flag = f" --{numeric.name.replace('_', '-')} {numeric.default}" if numeric else ""
    parser = _Parser(
        prog=command,
        description="\n".join(lines),
        epilog=f"examples:\n  {command}\n  {command} {example.name}{flag} --seed 1\n"
        f"  {command} --resume --out results\n\n"
        "exit code: 0 all checks hold, 1 a check fails, 2 wrong usage, 130 interrupted",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("lessons", nargs="*", metavar="LESSON", help="lessons to run; all of the chapter by default")
    scale = parser.add_mutually_exclusive_group()
    scale.add_argument(
        "--smoke",
        dest="scale",
        action="store_const",
        const="smoke",
        help="a second or so per lesson; trained checks are skipped",
    )
    scale.add_argument(
        "--full",
        dest="scale",
        action="store_const",
        const="full",
        help="as close to the published settings as the machine allows",
    )
    parser.set_defaults(scale="default")
    parser.add_argument("--seed", type=_typed(SEED), default=0, help="seed of all random draws (default 0)")
    parser.add_argument(
        "--out", type=Path, default=Path("out"), metavar="DIR", help="folder for reports and figures (default out)"
    )
    parser.add_argument(
        "--resume", action="store_true", help="keep what an earlier run with the same settings has finished"
    )
    parser.add_argument("--show", action="store_true", help="open the figures in windows at the end")
    parser.add_argument(
        "--json", action="store_true", help="print the reports as JSON to standard output, the rest to standard error"
    )
    parser.add_argument("--list", action="store_true", help="list the lessons and end")
    language.add_argument(parser)
    if single is not None:
        group = parser.add_argument_group(f"settings of {single.name}")
        for setting in single.settings:
            if setting.name != "seed":
                _add_setting(group, setting)
    return parser


def _add_setting(group, setting):
    default = " ".join(map(str, setting.default)) if setting.many else setting.default
    arguments = {"dest": f"setting_{setting.name}", "default": None}
    expected = "" if setting.type is bool else f" Expected: {setting.expected}"
    arguments["help"] = f"{setting.help}{expected} (default {default})".replace("%", "%%")
    flags = dict.fromkeys([f"--{setting.name.replace('_', '-')}", f"--{setting.name}"])
    if setting.type is bool:
        group.add_argument(*flags, action=argparse.BooleanOptionalAction, **arguments)
        return
    if setting.many:
        arguments["nargs"] = "+"
    group.add_argument(*flags, type=_typed(setting), metavar=setting.type.__name__.upper(), **arguments)


def _typed(setting):
    def parse(text):
        try:
            return setting.parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error).partition(": ")[2]) from None

    return parse


def _unknown_text(chapter, single, token, parser):
    if not token.startswith("-"):
        return (
            f"{chapter.name} has no lesson {token!r}.{catalog.suggest(token, [each.name for each in chapter.lessons])}"
        )
    flag = token.partition("=")[0]
    owners = [each.name for each in chapter.lessons if flag[2:].replace("-", "_") in {s.name for s in each.settings}]
    if single is None and owners:
        return f"{flag} is a setting of {', '.join(owners)}: name that one lesson to change it."
    near = difflib.get_close_matches(flag, parser._option_string_actions)
    where = f"{chapter.name} {single.name}" if single else chapter.name
    return f"{where} has no option {flag}." + (
        f" Did you mean {' or '.join(near)}?" if near else f" See {parser.prog} --help."
    )


def _print_list(chapter, console):
    for lesson in chapter.lessons:
        text = f"{lesson.name:<20} {lesson.seconds or '?':>4} s  {language.line(lesson)}"
        console.print(text, markup=False, soft_wrap=True)
    return EXIT_OK


# --- running ---------------------------------------------------------------------------------------------------------


def _run_chapter(chapter, chosen, changed, options, console):
    directory, prints = options.out / chapter.name, records.fingerprints()
    provenance = {lesson.name: store.provenance(lesson, prints) for lesson in chosen}
    expected = {
        lesson.name: store.identity(
            lesson.full_name,
            options.scale,
            options.seed,
            effective_settings(lesson, options.scale, options.seed, changed),
            provenance[lesson.name],
        )
        for lesson in chosen
    }
    kept = {}
    if options.resume:
        stored = {lesson.name: store.load(directory / lesson.name) for lesson in chosen}
        kept = {name: entry for name, entry in stored.items() if entry and store.reusable(entry[0], expected[name])}
    todo = [lesson for lesson in chosen if lesson.name not in kept]
    console.print(" · ".join(language.chapter_titles(chapter)), style="bold")
    console.print(_plan_text(chosen, todo, kept, options, directory))

    reports = {name: entry[0] for name, entry in kept.items()}
    tracker, current, code = Tracker(console), None, EXIT_OK
    try:
        if todo:
            if "tensorflow" not in sys.modules:
                console.print("importing TensorFlow …", style="dim")
            import_tensorflow()
            _headless(options.show)
        for position, lesson in enumerate(chosen, 1):
            current = lesson
            title = f"\n{position}/{len(chosen)} {lesson.name}  "
            console.print(title, style="bold", end="")
            console.print(language.line(lesson), markup=False, soft_wrap=True)
            if lesson.name in kept:
                console.print(f"  kept from {directory / lesson.name}", style="dim")
            else:
                console.print(_expected_text(lesson, options.scale), style="dim")
                settings = effective_settings(lesson, options.scale, options.seed, changed)
                report, images = run_lesson(
                    lesson,
                    settings,
                    scale=options.scale,
                    seed=options.seed,
                    progress=tracker,
                    show=options.show,
                    provenance=provenance[lesson.name],
                )
                tracker.close()
                store.save(directory / lesson.name, report, images)
                reports[lesson.name] = report
            render.terminal(reports[lesson.name], console)
            console.print(
                _ended_text(reports[lesson.name]),
                style="green" if reports[lesson.name]["status"] == "passed" else "red",
            )
    except KeyboardInterrupt:
        tracker.close()
        code = EXIT_INTERRUPTED
        done = ", ".join(reports) or "nothing yet"
        where = f" during {current.name}" if current else ""
        console.print(
            f"\nInterrupted{where}. Done: {done}. The same command with --resume goes on from here.", style="yellow"
        )
    except (catalog.UsageError, ImportError) as error:
        console.print(f"error: {error}\npython -m kerasnotes doctor says what is missing.", style="red", markup=False)
        return EXIT_FAILED
    if reports:
        index = store.save_index(chapter, directory)
        _print_end(chapter, chosen, reports, index, console)
    if options.json:
        print(
            store.to_json({"chapter": chapter.name, "lessons": [reports[x.name] for x in chosen if x.name in reports]}),
            end="",
        )
    if options.show and reports:
        _show(console, directory)
    if code == EXIT_OK and any(report["status"] != "passed" for report in reports.values()):
        code = EXIT_FAILED
    return code


def _plan_text(chosen, todo, kept, options, directory):
    count = f"{len(chosen)} lesson{'' if len(chosen) == 1 else 's'}"
    text = f"{count}, scale {options.scale}, seed {options.seed}, results in {directory}"
    if kept:
        text += f"; {len(kept)} already there"
    seconds = sum(lesson.seconds or 0 for lesson in todo)
    if options.scale == "default" and todo:
        text += f"; about {seconds} s on two cores, after {TENSORFLOW_SECONDS} s for importing TensorFlow"
    return text


def _expected_text(lesson, scale):
    if scale == "smoke":
        return "  a second or so"
    if scale == "full":
        return (
            f"  longer than the default's {lesson.seconds} s"
            if lesson.constant("FULL")
            else f"  about {lesson.seconds} s"
        )
    return f"  about {lesson.seconds} s"


def _ended_text(report):
    times = report["times"]
    text = "raised an exception" if report["status"] == "error" else render.counts_text(report["counts"])
    memory = f" · {times['peak_memory_mb']:,} MB" if times["peak_memory_mb"] is not None else ""
    return f"  {text} · {times['seconds']:.1f} s{memory}"


def _print_end(chapter, chosen, reports, index, console):
    counts = render.total_counts(reports.values())
    seconds = sum(report["times"]["seconds"] for report in reports.values())
    text = f"{chapter.name}: {len(reports)} of {len(chosen)} lessons, {render.counts_text(counts)}, {seconds:.1f} s"
    bad = [name for name, report in reports.items() if report["status"] != "passed"]
    console.print(f"\n{text}", style="bold red" if bad else "bold green")
    if bad:
        console.print(f"look at: {', '.join(bad)}", style="red")
    console.print(f"read it in a browser: {index}")


def _headless(show):
    import matplotlib

    if not show:
        matplotlib.use("Agg")


def _show(console, directory):
    import matplotlib
    import matplotlib.pyplot as plt

    if matplotlib.get_backend().lower() in ("agg", "pdf", "svg", "ps", "cairo"):
        console.print(f"no window system here; the figures are in {directory}", style="yellow")
    else:
        plt.show()
