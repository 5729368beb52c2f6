"""`python -m kerasnotes check`: judges files, each in a process of its own with a time limit, and says what it found.

A learner's program may loop, print without end, exit or crash: nothing of that reaches this process. It is no prison
for hostile programs.
"""

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from rich.table import Table
from rich.text import Text

from kerasnotes.course import catalog, exercises, render
from kerasnotes.course.language import word
from kerasnotes.course.render import SYMBOLS
from kerasnotes.course.terminal import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, Console

START_SECONDS = 120  # for Python and TensorFlow to start, on a slow and busy machine
KEPT_OUTPUT, SHOWN_LINES = 4000, 8  # of what the learner's program prints: bytes, lines


def main(options, console):
    """Judge what the command line names. Returns the exit code."""
    if not 1 <= options.seconds <= 3600:
        text = word("--seconds: expected a number from 1 to 3600, got {seconds}")
        raise catalog.UsageError(text.format(seconds=f"{options.seconds:g}"))
    chosen = _chosen(options.files, options.exercise)
    if options.json:
        console = Console(stderr=True)
    found = []
    for place, (path, exercise) in enumerate(chosen):
        count = word(" ({place} of {files})").format(place=place + 1, files=len(chosen)) if len(chosen) > 1 else ""
        try:
            with _waiting(console, f"{path}{count}"):
                outcome = judge_path(path, exercise, options.seconds)
        except KeyboardInterrupt:
            console.print(word("interrupted"), style="yellow")
            return EXIT_INTERRUPTED
        found.append(outcome)
        _remember(path, exercise, outcome)
        if len(chosen) == 1 and not options.json:
            print_outcome(outcome, console)
    if options.json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
    elif len(chosen) > 1:
        _print_table(found, console)
    return EXIT_OK if all(outcome["report"]["status"] == "passed" for outcome in found) else EXIT_FAILED


def _chosen(names, number):
    """Pairs of a file and its exercise. Raises UsageError if there are none."""
    if number is not None:
        if len(names) != 1 or not Path(names[0]).is_file():
            raise catalog.UsageError(word("--exercise: expected one file beside it, whose exercise it names"))
        return [(Path(names[0]), exercises.find(number))]
    pairs = []
    for name in names or ["."]:
        path = Path(name)
        if path.is_dir():
            inside = _inside(path)
            if not inside:
                text = (
                    "{path}: no exercise in this folder; expected files such as exercise_08_2.py, which "
                    "python -m kerasnotes exercise 08.2 writes"
                )
                raise catalog.UsageError(word(text).format(path=path))
            pairs += inside
            continue
        if not path.exists() and exercises.NUMBER.match(name) and not name.endswith(".py"):
            path = Path(exercises.find(name).file_name)  # the exercise's number for its file here
        if not path.is_file():
            raise catalog.UsageError(word("{path}: there is no such file or folder").format(path=path))
        if not exercises.FILE_NAME.match(path.name):
            text = (
                "{path}: which exercise is it? Call it as it was handed out, such as exercise_08_2.py, or say it: "
                "check FILE --exercise 08.2"
            )
            raise catalog.UsageError(word(text).format(path=path))
        pairs.append((path, exercises.find(path)))
    return pairs


def _inside(folder):
    """Pairs of a file and its exercise, in a folder and those below it; a number that does not exist stops nobody."""
    pairs = []
    for path in sorted(filter(_place, folder.rglob("exercise_*.py")), key=lambda path: (path.parent, _place(path))):
        try:
            pairs.append((path, exercises.find(path)))
        except catalog.UsageError as error:
            print(word("{path} is left out: {error}").format(path=path, error=error), file=sys.stderr)
    return pairs


def _place(path):
    """Chapter, number and name of an exercise's file, which sort 09.2 before 09.10; None for other files."""
    found = exercises.FILE_NAME.match(path.name)
    return found and (int(found[1]), int(found[2]), path.name)


def _remember(path, exercise, outcome):
    """Keep the result beside the file, where the exercise was handed out; a folder of other people's stays clean."""
    note = exercises.notes_of(path.parent).get(exercise.number)
    begun = not any(record["reason"] == "not begun" for record in outcome["report"]["records"])
    if note is None or path.name != exercise.file_name or not begun:
        return
    counts, checked = outcome["report"]["counts"], exercises.digest(path.read_text(encoding="utf-8", errors="replace"))
    tries = note.get("tries", 0) + (checked != note.get("checked"))  # the same file twice is one try
    exercises.remember(
        path.parent, exercise.number, tries=tries, held=counts["passed"], checks=sum(counts.values()), checked=checked
    )


# --- the other process -----------------------------------------------------------------------------------------------


def judge_path(path, exercise, seconds):
    """Judge a file in a process of its own.

    Args:
        path: The file.
        exercise: Its `exercises.Exercise`.
        seconds: How long it may run, TensorFlow's start not counted.

    Returns:
        `{"exercise": …, "title": …, "file": …, "report": …, "printed": …}`, plain data.
    """
    from kerasnotes.course import judge

    outcome = {"exercise": exercise.number, "title": exercise.task.title, "file": str(path), "printed": ""}
    early = judge.problem(exercise, path)
    if early is not None:
        return {**outcome, "report": early.to_dict()}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        result, where, inside = Path(folder) / "result.json", Path(folder) / "where.txt", Path(folder) / "inside"
        inside.mkdir()  # where the program runs: what it writes by a plain name goes with the folder
        command = [sys.executable, "-m", "kerasnotes.course.judge", exercise.number, path.resolve(), result, where]
        known = [str(catalog.PACKAGE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(known), "MPLBACKEND": "Agg", "PYTHONUTF8": "1"}
        code, printed = _run([*map(str, command), str(seconds)], inside, environment, seconds + START_SECONDS)
        try:
            report = json.loads(result.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            report = _ended_early(exercise, path, code, seconds, where).to_dict()
    return {**outcome, "report": report, "printed": printed}


def _run(command, folder, environment, seconds):
    """Run a command. Returns its exit code, None if its time was over, and the beginning of what it printed."""
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    kept = bytearray()

    def read():
        while chunk := process.stdout.read1(65536):
            kept.extend(chunk[: KEPT_OUTPUT - len(kept)])  # the rest is thrown away, however much there is

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        code = process.wait(seconds)
    except subprocess.TimeoutExpired:
        code = None
    finally:
        with contextlib.suppress(OSError, AttributeError):
            os.killpg(process.pid, 9)  # what it has started as well
        process.kill()
        process.wait()
    reader.join(2)
    return code, kept.decode("utf-8", errors="replace")


def _ended_early(exercise, path, code, seconds, where):
    """The report of a program that ended, or was ended, before it was judged."""
    from kerasnotes.course import trial
    from kerasnotes.course.report import FAILED, Report

    report = Report(f"exercise {exercise.number}")
    with contextlib.suppress(OSError):
        text = where.read_text(encoding="utf-8", errors="replace")
        if code is None or text.startswith("Timeout"):
            name = str(path.resolve())
            written = name.encode("ascii", "backslashreplace").decode("ascii")  # as faulthandler writes 练习
            lines = re.findall(rf'File "{re.escape(written)}", line (\d+)', text)  # the innermost comes first
            place = [trial.line_text(name, int(lines[0]))] if lines else []
            detail = [f"it still ran after {seconds:g} s: does a loop ever end? (--seconds allows more)", *place]
            trial.add_check(report, "it comes to an end", FAILED, reason="time is over", detail=detail)
            return report
    ending = f"with exit code {code}" if code >= 0 else f"by signal {-code}; was there enough memory?"
    detail = [f"the program ended before it could be judged, {ending}"]
    trial.add_check(report, "it can be judged", FAILED, reason="ended", detail=detail)
    return report


@contextlib.contextmanager
def _waiting(console, text):
    if not console.is_terminal:
        yield
        return
    with console.status(Text(word("{file}: TensorFlow starts, then the checks …").format(file=text))):
        yield


# --- what the learner sees -------------------------------------------------------------------------------------------


def print_outcome(outcome, console):
    """Print one outcome: a line for each check, below it what explains it."""
    console.print(Text.assemble((f"{outcome['exercise']} {outcome['title']}", "bold"), (f"  {outcome['file']}", "dim")))
    for kind, text in outcome_lines(outcome):
        style = {"passed": "green", "failed": "bold red", "skipped": "yellow", "why": "bold", "dim": "dim"}.get(
            kind, ""
        )
        console.print(Text(text, style=style), soft_wrap=True)


def outcome_lines(outcome):
    """An outcome as pairs `(kind, line)`; kind is a check's status, `"detail"`, `"why"` or `"dim"`."""
    report = outcome["report"]
    for record in report["records"]:
        status = record["status"]
        if status == "skipped":
            continue
        yield status, f"  {SYMBOLS[status][0]} {record['label']}"
        if status == "failed":
            for line in record.get("detail") or ([] if "detail" in record else [render.check_text(record)]):
                yield "detail", f"      {line}"
            if record.get("diagnosis"):
                yield "why", f"      → {record['diagnosis']}"
    if report["counts"]["skipped"]:
        left = word("{} more, not reached").format(report["counts"]["skipped"])
        yield "skipped", f"  {SYMBOLS['skipped'][0]} {left}"
    if outcome.get("printed", "").strip():
        lines = outcome["printed"].splitlines()
        yield "dim", f"  {word('your program printed:')}"
        for line in lines[:SHOWN_LINES]:
            yield "dim", "      " + "".join(letter for letter in line[:100] if letter.isprintable())
        if len(lines) > SHOWN_LINES or len(outcome["printed"]) >= KEPT_OUTPUT - 3:
            yield "dim", "      …"
    yield "dim", _last_line(outcome)


def _last_line(outcome):
    report, number = outcome["report"], outcome["exercise"]
    known = {"held": report["counts"]["passed"], "checks": sum(report["counts"].values())}
    if report["status"] == "passed":
        what = "The check holds." if known["checks"] == 1 else "All {checks} checks hold."
        command = f"python -m kerasnotes solution {number}"
        return word(f"{what} To compare with ours: {{command}}").format(**known, command=command)
    if "file" in outcome:
        command = f"python -m kerasnotes hint {number}"
        return word("{held} of {checks} checks hold. A hint: {command}").format(**known, command=command)
    hints = word("{held} of {checks} checks hold. Hints: {call} shows them")
    return hints.format(**known, call=f'exercise("{number}")')


def _print_table(found, console):
    table = Table.grid(padding=(0, 2))
    for outcome in found:
        report = outcome["report"]
        failed = next((record for record in report["records"] if record["status"] == "failed"), None)
        symbol, style = SYMBOLS["passed" if failed is None else "failed"]
        first = "" if failed is None else failed.get("diagnosis") or f"{failed['label']}: {_short(failed)}"
        counts = word("{} of {}").format(report["counts"]["passed"], sum(report["counts"].values()))
        table.add_row(
            Text(symbol, style), Text(outcome["file"]), Text(outcome["exercise"], "cyan"), counts, Text(first)
        )
    console.print(table)
    good = sum(outcome["report"]["status"] == "passed" for outcome in found)
    console.print(word("{good} of {files} files pass").format(good=good, files=len(found)), style="dim")


def _short(record):
    lines = [line for line in record.get("detail", ()) if not line.startswith("inputs: ")]
    return lines[0] if lines else record["reason"]


# --- in a notebook ---------------------------------------------------------------------------------------------------


class Judged:
    """What a check of one answer found; it displays itself as the terminal shows it."""

    def __init__(self, exercise, report):
        self.report = report
        self._outcome = {"exercise": exercise.number, "title": exercise.task.title, "report": report.to_dict()}

    @property
    def ok(self):
        """Whether every check holds."""
        return self.report.ok

    def __repr__(self):
        return "\n".join([self._title, *(text for _, text in outcome_lines(self._outcome))])

    def _repr_html_(self):
        return render.judged_html(self._title, outcome_lines(self._outcome))

    @property
    def _title(self):
        return f"{self._outcome['exercise']} {self._outcome['title']}"


def handed_out(number):
    """The exercise of a number. Raises ValueError if there is none."""
    try:
        return exercises.find(number)
    except catalog.UsageError as error:
        raise ValueError(str(error)) from None


def check_answer(number, answer, values):
    """Judge a function, or numbers by their names, in this process. Returns a `Judged`."""
    from kerasnotes.course import judge
    from kerasnotes.course.run import import_tensorflow

    exercise = handed_out(number)
    if exercise.kind == "predict":
        known = [value.name for value in exercise.task.values]
        if answer is not None or not set(values) <= set(known):
            expected = ", ".join(f"{name}=…" for name in known)
            text = word("{number} asks for numbers: expected {expected}")
            raise ValueError(text.format(number=exercise.number, expected=expected))
    elif values or not callable(answer):
        text = word("{number} asks for your {name}: expected {expected}")
        raise ValueError(text.format(number=exercise.number, name=exercise.task.name, expected=exercise.call))
    import_tensorflow()
    return Judged(exercise, judge.judge(exercise, answer or values, judge.files_of(answer)))
