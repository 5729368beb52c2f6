"""Recorded runs: each lesson once at default scale with seed 0, kept beside the pages, and what makes one stale.

A record is the `report.json` of a run with its figures in 256 colours, under `chapters/results/chapterNN/lesson/`. It
says what it depends on (`fingerprint.py`), so that reading it tells whether a run today would do the same work. Beside
it may lie `seeds.json`, what a sweep over seeds found. `index.json` and `README.md` repeat the numbers of all records.
"""

import hashlib
import io
import json
import math
import multiprocessing
import os
import signal
import threading
import time

from kerasnotes.course import catalog, fingerprint, render, store

SCALE, SEED = "default", 0
COLOURS = 256
SKEWED = 2.0  # positive numbers that differ by more than this factor are compared by their logarithms


def folder(lesson, root=None):
    """Where a lesson's record lies. `root` is the folder of all records, by default the one of the course."""
    return (root or catalog.results_directory()) / lesson.chapter / lesson.name


def load(lesson, root=None):
    """The recorded report of a lesson as a dictionary, or None."""
    stored = store.load(folder(lesson, root), with_images=False)
    return stored[0] if stored else None


def every_lesson():
    """All lessons of the course, in its order."""
    return tuple(lesson for chapter in catalog.chapters() for lesson in chapter.lessons)


def fingerprints(root=None):
    """A `Fingerprints` for which recorded runs are those in `root`."""

    def recorded():
        texts = []
        for lesson in every_lesson():
            path = folder(lesson, root) / "report.json"
            if path.is_file() and not _reads_records(lesson):
                texts.append(f"{lesson.full_name} {hashlib.sha256(path.read_bytes()).hexdigest()}")
        return "\n".join(texts)

    return fingerprint.Fingerprints(recorded)


def _reads_records(lesson):
    return "results_directory" in lesson.source


def reason_to_run(lesson, prints, root=None):
    """Why a lesson's record is not what a run today would give; None if it is fresh and holds."""
    report = load(lesson, root)
    if report is None:
        return "no record"
    if (report.get("lesson"), report.get("scale"), report.get("seed")) != (lesson.full_name, SCALE, SEED):
        return "not a run of this lesson at default scale with seed 0"
    depends = prints.depends(lesson)
    difference = fingerprint.difference(report.get("depends", {}), depends)
    if difference:
        return difference
    if report.get("fingerprint") != fingerprint.digest_of(depends):
        return "its fingerprint is not that of what it says it depends on"
    settings = store.settings_as_json(store.default_settings(lesson))
    if report["settings"] != settings:
        return "other settings"
    if not store.untouched(report):
        return "the report was changed by hand"
    missing = [r["file"] for r in report["records"] if r["kind"] == "figure" and not _sound(lesson, r, root)]
    if missing:
        return f"figures missing or changed: {', '.join(missing)}"
    bad = [r["label"] for r in report["records"] if r["kind"] == "check" and r["status"] != "passed"]
    if report["error"] or bad:
        return f"does not hold: {'; '.join(bad) or 'raised an exception'}"
    return None


def _sound(lesson, record, root):
    return fingerprint.file_hash(folder(lesson, root) / record["file"]) == record.get("sha256")


def save(lesson, report, images, depends, root=None):
    """Store a run as the lesson's record; the old one stays until the new one is whole.

    Args:
        lesson: The `catalog.Lesson`.
        report: The run's report, as `run_lesson` returns it.
        images: Its figures, `{file name: bytes}`.
        depends: What it depends on, as `Fingerprints.depends` gave it before the run.
        root: Folder of all records.
    """
    images = {name: smaller(name, image) for name, image in images.items()}
    records = [
        {**r, "sha256": hashlib.sha256(images[r["file"]]).hexdigest()[:12]} if r["kind"] == "figure" else r
        for r in report["records"]
    ]
    report = {
        **report,
        "records": records,
        "depends": depends,
        "fingerprint": fingerprint.digest_of(depends),
    }
    store.save(folder(lesson, root), report, images)


def smaller(name, image):
    """A PNG in 256 colours, which keeps lines and grey pictures as they are; other images unchanged."""
    from PIL import Image

    if not name.endswith(".png"):
        return image
    picture = Image.open(io.BytesIO(image)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    picture.save(buffer, format="png", optimize=True)
    return min(image, buffer.getvalue(), key=len)


# --- running again -------------------------------------------------------------------------------------------------


def run(lessons, prints, console, root=None, failed=None):
    """Run lessons, each in a process of its own, and store each as soon as it has ended and holds.

    Args:
        lessons: What to run, in this order.
        prints: `Fingerprints` of the code as it is.
        console: Where to say how far it is.
        root: Folder of all records.
        failed: Folder for runs that do not hold, which are no records.

    Returns:
        Names of lessons that do not hold.
    """
    bad, start = [], time.monotonic()
    whole = sum(map(expected_seconds, lessons))
    done = 0.0
    for position, lesson in enumerate(lessons, 1):
        spent = time.monotonic() - start
        left = (whole - done) * (spent / done if done else 1.0)
        console.print(f"{position}/{len(lessons)} {lesson.full_name}, about {duration(left)} left in all")
        if _reads_records(lesson):
            prints = fingerprints(root)  # it reads what this very command has just stored
        depends = prints.depends(lesson)
        provenance = {"versions": store.versions(), "fingerprint": fingerprint.digest_of(depends)}
        report, images = run_apart(lesson, store.default_settings(lesson), provenance)
        done += expected_seconds(lesson)
        summary = f"  {render.counts_text(report['counts'])} · {report['times']['seconds']:.1f} s"
        if report["status"] == "passed":
            save(lesson, report, images, depends, root)
            console.print(summary, style="green")
            continue
        bad.append(lesson.full_name)
        console.print(summary, style="red")
        render.terminal({**report, "records": [r for r in report["records"] if r.get("status") == "failed"]}, console)
        if failed is not None:
            store.save(failed / lesson.chapter / lesson.name, report, images)
            console.print(f"  not recorded; the run is in {failed / lesson.chapter / lesson.name}", style="red")
    return bad


def run_apart(lesson, settings, provenance):
    """Run a lesson in a process of its own, so that the memory it is said to need is not that of others before it.

    Returns:
        `(report, images)`, as `run_lesson` does; a process that dies gives a report with an error.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_apart, args=(sender, lesson.full_name, settings, provenance), daemon=True)
    process.start()
    sender.close()  # the child holds the other end: when that closes, nothing more will come
    try:
        return receiver.recv()
    except EOFError:
        process.join()
        return _dead(lesson, settings, provenance, process.exitcode), {}
    finally:
        process.kill()
        process.join()


def _apart(sender, name, settings, provenance):
    from kerasnotes.course.progress import Tracker
    from kerasnotes.course.run import import_tensorflow, run_lesson
    from kerasnotes.course.terminal import Console

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the command, which then ends this process
    threading.Thread(target=_end_with, args=(multiprocessing.parent_process(),), daemon=True).start()
    os.environ.setdefault("MPLBACKEND", "Agg")
    import_tensorflow()
    tracker = Tracker(Console())
    result = run_lesson(catalog.find_lesson(name), settings, progress=tracker, provenance=provenance)
    tracker.close()
    sender.send(result)


def _end_with(parent):
    parent.join()  # a command that is killed cannot end what it has started
    os._exit(1)


def _dead(lesson, settings, provenance, code):
    from kerasnotes.course.report import Report

    report = Report(lesson.full_name, settings=settings)
    report.error = f"its process ended with exit code {code} before it gave a result"
    times = {"seconds": 0.0, "peak_memory_mb": None, "cores": store.cores(), "date": store.today()}
    return {**report.to_dict(), "point": lesson.point, "times": times, **provenance}


def expected_seconds(lesson, root=None):
    """Seconds of the lesson's record, else what the lesson says."""
    return index(root).get(lesson.full_name, {}).get("seconds") or lesson.seconds or 10


def duration(seconds):
    """`"45 s"` or `"12 min"`."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


# --- a sample, run again and compared --------------------------------------------------------------------------------


def sample_order(lessons, key):
    """The lessons in an order that depends on a text only, such as a commit's name."""
    return sorted(lessons, key=lambda lesson: hashlib.sha256(f"{key} {lesson.full_name}".encode()).hexdigest())


def compare(recorded, report):
    """Differences in numbers that are no times, between two reports of the same lesson.

    Returns:
        List of texts, empty if both say the same.
    """
    old, new = (render.without_times(each)["records"] for each in (recorded, report))
    if [(r["kind"], _title(r)) for r in old] != [(r["kind"], _title(r)) for r in new]:
        return ["other checks, tables or figures than recorded"]
    found = []
    for before, after in zip(old, new, strict=True):
        for field in ("got", "want", "rows"):
            if before.get(field) != after.get(field):
                place = _first_difference(before[field], after[field])
                found.append(f"{_title(before)}: {field} {place}")
    return found


def _title(record):
    return record.get("label") or record.get("title") or ""


def _first_difference(old, new):
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return next(_first_difference(a, b) for a, b in zip(old, new, strict=True) if a != b)
    return f"{render.number(new)}, recorded {render.number(old)}"


def verify(lessons, key, minutes, console):
    """Run a sample of lessons again and compare each with its record; nothing is stored.

    The sample is what fits into the time, in the order of `sample_order`; on a slow day it holds fewer lessons.

    Returns:
        Names of lessons that do not hold.
    """
    from kerasnotes.course.run import import_tensorflow, run_lesson

    start, planned, bad, ran = time.monotonic(), 0.0, [], 0
    import_tensorflow()
    versions = store.versions()
    for lesson in sample_order(lessons, key):
        spent = time.monotonic() - start
        slowness = max(1.0, spent / planned) if planned > 30 else 1.5
        if spent + slowness * expected_seconds(lesson) > 60 * minutes:
            continue
        report, _ = run_lesson(lesson, store.default_settings(lesson), provenance={"versions": versions})
        planned += expected_seconds(lesson)
        ran += 1
        recorded = load(lesson)
        holds = report["status"] == "passed"
        console.print(
            f"{lesson.full_name}: {render.counts_text(report['counts'])}, {report['times']['seconds']:.1f} s, "
            f"recorded {recorded['times']['seconds'] if recorded else '?'} s",
            style=None if holds else "red",
            soft_wrap=True,
        )
        if not holds:
            bad.append(lesson.full_name)
            failed = [r for r in report["records"] if r.get("status") == "failed"]
            render.terminal({**report, "records": failed}, console)
        elif recorded and recorded["versions"] == versions:
            for difference in compare(recorded, report):
                console.print(f"  warning: {difference}", style="yellow", markup=False, soft_wrap=True)
    console.print(f"{ran} of {len(lessons)} lessons in {duration(time.monotonic() - start)}, {len(bad)} do not hold")
    return bad


# --- seeds -----------------------------------------------------------------------------------------------------------


def seeds_summary(lesson, reports, depends):
    """What several seeds of a lesson at default scale have in common.

    Args:
        lesson: The `catalog.Lesson`.
        reports: Reports of its runs, one for each seed.
        depends: What the runs depend on.

    Returns:
        A dictionary: `seeds`, `held` (seeds on which every check held), `failed` (`{seed: labels}`), and `checks`, one
        entry for each check that needs training: mean, standard deviation, extremes, on how many seeds it held, and
        `margin`, the distance of the mean from the bound in standard deviations, of logarithms where seeds differ by
        more than a factor of two (None where all seeds agree).
    """
    failed, groups = {}, {}
    for report in sorted(reports, key=lambda report: report["seed"]):
        checks = [record for record in report["records"] if record["kind"] == "check"]
        labels = [record["label"] for record in checks if record["status"] != "passed"]
        if labels or report["error"]:
            failed[str(report["seed"])] = labels or [report["error"].strip().splitlines()[-1]]
        for record in checks:
            if record["trained"]:
                groups.setdefault(record["label"], []).append(record)
    return {
        "lesson": lesson.full_name,
        "fingerprint": fingerprint.digest_of(depends),
        "versions": store.versions(),
        "date": store.today(),
        "seeds": sorted(report["seed"] for report in reports),
        "held": len(reports) - len(failed),
        "failed": failed,
        "checks": [_spread(label, records) for label, records in groups.items()],
    }


def _spread(label, records):
    first = records[0]
    entry = {"label": label, "relation": first["relation"], "want": None, "mean": None, "deviation": None,
             "lowest": None, "highest": None, "held": sum(r["status"] == "passed" for r in records),
             "margin": None}  # fmt: skip
    import statistics

    got = [r["got"] for r in records]
    if not all(isinstance(each, (int, float)) and not isinstance(each, bool) for each in got):
        return entry
    mean, deviation = statistics.fmean(got), statistics.stdev(got) if len(got) > 1 else 0.0
    entry.update(mean=mean, deviation=deviation, lowest=min(got), highest=max(got))
    if isinstance(first["want"], (int, float)) and not isinstance(first["want"], bool):
        entry["want"] = first["want"]
        bounds = [record["want"] for record in records]
        if first["relation"] == "at least" and min(*got, *bounds) > 0 and max(got) > SKEWED * min(got):
            logs = [math.log(each) for each in got]  # ratios spread by factors, so they are told apart by factors
            mean, deviation = statistics.fmean(logs), statistics.stdev(logs)
            records = [{**record, "want": math.log(record["want"])} for record in records]
        if deviation > 0:
            entry["margin"] = round(min(_distance(record, mean) for record in records) / deviation, 2)
    return entry


def _distance(record, value):
    """How far a value lies inside what a check allows; negative outside."""
    want = record["want"]
    if record["relation"] == "at least":
        return value - want
    if record["relation"] == "at most":
        return want - value
    atol = record.get("atol") if record.get("atol") is not None else 1e-6
    rtol = record.get("rtol") if record.get("rtol") is not None else 1e-5
    return atol + rtol * abs(want) - abs(value - want)


def save_seeds(lesson, reports, depends, numbers=None, root=None):
    """Store what a sweep over seeds found beside the lesson's record; `numbers` is the fingerprint without words."""
    summary = {**seeds_summary(lesson, reports, depends), "numbers": numbers}
    store.write_atomically(folder(lesson, root) / "seeds.json", store.to_json(summary))
    return summary


def load_seeds(lesson, root=None):
    """The stored summary of a lesson's seeds, or None."""
    try:
        return json.loads((folder(lesson, root) / "seeds.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def same_code(lesson, report, seeds, wordless=None):
    """Whether seeds were run with the code of the record, apart from words that only people read.

    Args:
        lesson, report, seeds: The `catalog.Lesson`, its record, and the summary of its seeds.
        wordless: `Fingerprints(words=False)` to share between lessons, or None.
    """
    if seeds["fingerprint"] == report["fingerprint"]:
        return True
    numbers = seeds.get("numbers")
    return numbers is not None and numbers == (wordless or fingerprint.Fingerprints(words=False)).of(lesson)


def thinnest(seeds):
    """The trained check of a seeds' summary with the smallest margin, or None."""
    known = [check for check in seeds["checks"] if check["margin"] is not None]
    return min(known, key=lambda check: check["margin"], default=None)


# --- all records in one place ----------------------------------------------------------------------------------------

_INDEX = {}


def index(root=None):
    """`{lesson: numbers}` of all records, from the one file that `write_index` keeps; empty if there is none."""
    path = (root or catalog.results_directory()) / "index.json"
    try:
        key = path, path.stat().st_mtime_ns
        if key not in _INDEX:
            _INDEX.clear()
            _INDEX[key] = json.loads(path.read_text(encoding="utf-8"))
        return _INDEX[key]
    except (OSError, ValueError):
        return {}


def gather(root=None):
    """The index as it should be: read from every record."""
    entries, wordless = {}, fingerprint.Fingerprints(words=False)
    for lesson in every_lesson():
        report, seeds = load(lesson, root), load_seeds(lesson, root)
        if report is None:
            continue
        entry = {
            "checks": report["counts"]["passed"],
            "trained": sum(bool(r.get("trained")) for r in report["records"]),
            "corrections": sum(r["kind"] == "correction" for r in report["records"]),
            "figures": sum(r["kind"] == "figure" for r in report["records"]),
            "seconds": report["times"]["seconds"],
            "peak_memory_mb": report["times"]["peak_memory_mb"],
            "cores": report["times"]["cores"],
            "date": report["times"]["date"],
        }
        if seeds is not None:
            thin = thinnest(seeds)
            entry.update(
                seeds=len(seeds["seeds"]),
                held=seeds["held"],
                thinnest=None if thin is None else [thin["label"], thin["margin"]],
                same_code=same_code(lesson, report, seeds, wordless),
            )
        entries[lesson.full_name] = entry
    return entries


def write_index(root=None):
    """Write `index.json` and the table `README.md` beside it. Returns the index."""
    root = root or catalog.results_directory()
    entries = gather(root)
    store.write_atomically(root / "index.json", store.to_json(entries))
    store.write_atomically(root / "README.md", table(entries))
    if root == catalog.results_directory():
        from kerasnotes.course import pages

        pages.write()
    return entries


ABOUT_TABLE = """\
One run of each lesson at default scale with seed 0: {lessons} lessons, {checks} checks, \
all of which hold, {minutes} minutes.
*Seeds*: on how many seeds every check of the lesson held, in a sweep. *Margin*: how far the mean of the
thinnest check that needs training lies from its bound, in standard deviations over the seeds. A star marks
seeds that were run before the lesson's code last changed, titles and notes aside. `python -m kerasnotes record`
writes this page."""


def table(entries, say=str):
    """The records as one Markdown table: lesson, checks, seconds, memory, seeds; `say` translates its words."""
    whole = sum(entry["seconds"] for entry in entries.values())
    numbers = {
        "lessons": len(entries),
        "checks": f"{sum(entry['checks'] for entry in entries.values()):,}",
        "minutes": f"{whole / 60:.0f}",
    }
    columns = ("lesson", "checks", "seconds", "memory, MB", "seeds", "margin", "thinnest check")
    lines = [
        say("# Recorded runs"),
        "",
        say(ABOUT_TABLE).format(**numbers),
        "",
        "| " + " | ".join(map(say, columns)) + " |",
        "| --- | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for name, entry in entries.items():
        held = f"{entry['held']} of {entry['seeds']}{'' if entry['same_code'] else '*'}" if "seeds" in entry else ""
        label, margin = entry.get("thinnest") or ("", None)
        shown = "" if margin is None else f"{margin:.1f}"
        memory = "" if entry["peak_memory_mb"] is None else f"{entry['peak_memory_mb']:,}"
        link = f"[{name}]({name.replace('.', '/')}/report.json)"
        label = label.replace("|", "\\|")
        lines.append(f"| {link} | {entry['checks']} | {entry['seconds']:.1f} | {memory} | {held} | {shown} | {label} |")
    return "\n".join(lines) + "\n"


# --- the command -----------------------------------------------------------------------------------------------------


def add_arguments(parser):
    """The options of `python -m kerasnotes record`."""
    parser.add_argument(
        "names", nargs="*", metavar="LESSON", help="lessons such as chapter08.clipping, or chapters; all by default"
    )
    parser.add_argument("--all", action="store_true", help="also run what is fresh")
    parser.add_argument("--list", action="store_true", help="say what is stale and why, and run nothing")
    parser.add_argument(
        "--verify", type=float, metavar="MINUTES", help="run a sample again, compare with the records, store nothing"
    )
    parser.add_argument("--key", default="", metavar="TEXT", help="which sample, such as a commit's name (any text)")


def main(options, console):
    """The command. Returns the exit code: 0 all fresh and held, 1 something stale or failed, 130 interrupted."""
    from kerasnotes.course.run import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK

    lessons, root = _chosen(options.names), catalog.results_directory()
    if options.verify is not None and not 0 < options.verify < math.inf:
        raise catalog.UsageError(f"--verify: expected a positive number of minutes, got {options.verify}")
    if options.verify is not None:
        return EXIT_FAILED if verify(lessons, options.key, options.verify, console) else EXIT_OK
    prints = fingerprints()
    reasons = {lesson: reason_to_run(lesson, prints) for lesson in lessons}
    stale = [lesson for lesson in lessons if reasons[lesson] or options.all]
    if stale:  # what reads the records is stale as soon as one of them is written again
        stale += [lesson for lesson in lessons if _reads_records(lesson) and lesson not in stale]
    if options.list:
        for lesson in lessons:
            if reasons[lesson]:
                console.print(f"{lesson.full_name}: {reasons[lesson]}", markup=False, soft_wrap=True)
        count = sum(map(bool, reasons.values()))
        verdict = "is fresh and holds" if not count else f"{count} stale; python -m kerasnotes record runs them"
        console.print(f"{len(lessons)} lessons, {verdict if count else 'every record ' + verdict}", soft_wrap=True)
        return EXIT_FAILED if count else EXIT_OK
    store.check_place(root, "the records")
    if not stale:
        write_index()
        console.print(f"{len(lessons)} lessons, every record is fresh and holds")
        return EXIT_OK
    console.print(f"{len(stale)} of {len(lessons)} lessons to run, about {duration(sum(map(expected_seconds, stale)))}")
    try:
        bad = run(stale, prints, console, failed=_failed_folder())
    except KeyboardInterrupt:
        console.print("\nInterrupted. What had ended is recorded; the same command goes on from here.", style="yellow")
        return EXIT_INTERRUPTED
    finally:
        write_index()
    if bad:
        console.print(f"look at: {', '.join(bad)}", style="red")
        return EXIT_FAILED
    console.print(f"every record asked for is fresh and holds; all of them: {root / 'README.md'}", soft_wrap=True)
    return EXIT_OK


def _failed_folder():
    return catalog.PACKAGE.parent / "out" / "not-recorded"


def _chosen(names):
    everything = every_lesson()
    if not names:
        return list(everything)
    chosen = []
    for name in names:
        short = name.removeprefix("kerasnotes.")
        if short.removeprefix("chapter").isdecimal():
            chosen += catalog.find_chapter(short).lessons
        else:
            chosen.append(catalog.find_lesson(short))
    return [lesson for lesson in everything if lesson in chosen]
