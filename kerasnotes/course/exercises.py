"""The exercises: which there are, the file that is handed out, hints, solutions, and how far a learner has come.

Nothing here imports TensorFlow or a lesson; `judge.py` tries an answer, `check.py` does so for files.
"""

import contextlib
import functools
import hashlib
import importlib
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table
from rich.text import Text

from kerasnotes.course import catalog, language
from kerasnotes.course.tasks import Predict
from kerasnotes.course.terminal import EXIT_OK, print_code

FILE_NAME = re.compile(r"exercise_(\d\d)_(\d+)(?!\d).*\.py$")
NUMBER = re.compile(r"(?:exercise_|chapter)?0*(\d+)[._]0*(\d+)(?:\.py)?$")
NOTES = ".exercises.json"  # beside the files that were handed out: hints seen, tries, the last check
TRIES = 2  # or hints, before a solution is shown without asking back


@dataclass(frozen=True, repr=False)
class Exercise:
    """A task with its number, which displays itself in a notebook."""

    number: str
    chapter: catalog.Chapter
    task: object

    @property
    def file_name(self):
        """The file that the learner fills in, such as `exercise_08_2.py`."""
        return f"exercise_{self.number.replace('.', '_')}.py"

    @property
    def kind(self):
        """`"write"`, `"mend"` or `"predict"`."""
        return type(self.task).__name__.lower()

    @property
    def start(self):
        """The code to fill in."""
        if not isinstance(self.task, Predict):
            return self.task.start
        return "".join(f"{value.name} = ...  # {value.text}\n" for value in self.task.values)

    @property
    def file_text(self):
        """The whole file: the question as a comment, how to go on, and the code to fill in."""
        lines = [f"{self.number} {self.task.title} ({self.kind}, {self.task.minutes} minutes)", ""]
        lines += [*self.task.text.strip().splitlines(), ""]
        lines += [
            f"Explained by {self.task.lesson}. When it is done:  python -m kerasnotes check {self.file_name}",
            f"If it does not come:  python -m kerasnotes hint {self.number}",
        ]
        return "".join(f"# {line}".rstrip() + "\n" for line in lines) + "\n" + self.start

    def __repr__(self):
        return f"{self.number} {self.task.title}\n\n{self.task.text.strip()}\n\n{self.start}"

    def _repr_markdown_(self):
        hints = "".join(
            f"<details><summary>Hint {i + 1}</summary>\n\n{hint}\n\n</details>\n\n"
            for i, hint in enumerate(self.task.hints)
        )
        return f"{self.question}\n\n```python\n{self.start}```\n\n{hints}"

    @property
    def question(self):
        """Number, title, facts and text, as Markdown."""
        facts = f"*{self.kind} · {self.task.minutes} minutes · explained by {self.task.lesson}*"
        return f"### {self.number} {self.task.title}\n\n{facts}\n\n{self.task.text.strip()}"

    @property
    def call(self):
        """How a notebook checks it, such as `check("08.2", clip_by_global_norm)`."""
        names = (
            [f"{value.name}={value.name}" for value in self.task.values] if self.kind == "predict" else [self.task.name]
        )
        return f"check({', '.join([repr(self.number).replace(chr(39), chr(34)), *names])})"

    @functools.cached_property
    def solution(self):
        """`(code, dotted name of the course's function or None)`."""
        dotted = getattr(self.task, "solution", None)
        if self.task.solution_code is not None:
            return self.task.solution_code, dotted
        from kerasnotes.course import snippet

        return snippet.parts(dotted)[0] + "\n", dotted


def of_chapter(chapter):
    """The exercises of a chapter (a `catalog.Chapter`), as a tuple of `Exercise`."""
    if not (chapter.path / "exercises.py").is_file():
        return ()
    tasks = importlib.import_module(f"kerasnotes.{chapter.name}.exercises").TASKS
    numbers = [f"{chapter.name[-2:]}.{i + 1}" for i in range(len(tasks))]
    return tuple(
        Exercise(number, chapter, language.task(number, task)) for number, task in zip(numbers, tasks, strict=True)
    )


def every():
    """All exercises of the course, in order."""
    return [exercise for chapter in catalog.chapters() for exercise in of_chapter(chapter)]


def find(name):
    """The exercise of a name: `"08.2"`, `"8.2"` or `"exercise_08_2.py"`. Raises UsageError with what there is."""
    found = NUMBER.match(Path(str(name)).name) or FILE_NAME.match(Path(str(name)).name)
    if found is None:
        raise catalog.UsageError(
            f"There is no exercise {str(name)!r}: expected a number such as 08.2. "
            "python -m kerasnotes exercise lists them."
        )
    chapter = catalog.find_chapter(found[1])
    exercises = of_chapter(chapter)
    if not 1 <= int(found[2]) <= len(exercises):
        there = ", ".join(f"{each.number} {each.task.title}" for each in exercises)
        raise catalog.UsageError(
            f"There is no exercise {chapter.name[-2:]}.{found[2]}. "
            + (f"{chapter.name} has: {there}." if there else f"{chapter.name} has none.")
        )
    return exercises[int(found[2]) - 1]


# --- what is remembered ----------------------------------------------------------------------------------------------


def notes_of(folder):
    """What a folder's notes say, `{number: {"hints": …, "tries": …, "held": …, "checks": …, "checked": …}}`."""
    try:
        notes = json.loads((folder / NOTES).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return notes if isinstance(notes, dict) else {}


def remember(folder, number, **changed):
    """Change the notes of one exercise. Returns whether they could be written."""
    notes = notes_of(folder)
    notes[number] = {**notes.get(number, {}), **changed}
    with contextlib.suppress(OSError):
        (folder / NOTES).write_text(json.dumps(notes, indent=1) + "\n", encoding="utf-8")
        return True
    return False


def digest(text):
    """What tells two versions of a file apart."""
    return hashlib.sha256(text.encode("utf-8", errors="replace")).hexdigest()


def state_of(exercise, folder, notes):
    """How far the learner has come with an exercise, as `(symbol, style, words)`."""
    note = notes.get(exercise.number, {})
    try:
        text = (folder / exercise.file_name).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return " ", "dim", ""
    if digest(text) != note.get("checked"):
        return "·", "yellow", "changed since its check" if note.get("tries") else "begun"
    if note["held"] == note["checks"]:
        return "✓", "green", "done"
    return "✗", "red", f"{note['held']} of {note['checks']} checks hold"


# --- the commands ----------------------------------------------------------------------------------------------------


def hand_out(options, console):
    """`python -m kerasnotes exercise [08.2]`: write the file of an exercise, or list them. Returns the exit code."""
    folder = options.out
    if options.number is None or options.number.isdecimal():
        chapters = catalog.chapters() if options.number is None else (catalog.find_chapter(options.number),)
        return _print_list(chapters, folder, console)
    exercise = find(options.number)
    path = folder / exercise.file_name
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x", encoding="utf-8") as file:  # "x": what is there is never overwritten
            file.write(exercise.file_text)
    except FileExistsError:
        raise catalog.UsageError(
            f"{path} is there already and stays as it is; --out DIR writes another copy elsewhere"
        ) from None
    remember(folder, exercise.number)
    console.print(
        f"{path}: {exercise.number} {exercise.task.title}, about {exercise.task.minutes} minutes", markup=False
    )
    console.print(f"python -m kerasnotes check {path}", style="dim", markup=False, soft_wrap=True)
    return EXIT_OK


def _print_list(chapters, folder, console):
    notes, first = notes_of(folder), None
    for chapter in chapters:
        exercises = of_chapter(chapter)
        if not exercises:
            continue
        first = first or exercises[0]
        _, english, chinese = chapter.titles
        console.print(Text.assemble((f"{chapter.name[-2:]} {english}", "bold"), f" · {chinese}"))
        grid = Table.grid(padding=(0, 2))
        for wrap in (False, False, True, False, False, True):
            grid.add_column(no_wrap=not wrap)
        for exercise in exercises:
            symbol, style, words = state_of(exercise, folder, notes)
            minutes = f"{exercise.task.minutes} min"
            title = Text(exercise.task.title)
            grid.add_row(
                Text(symbol, style), Text(exercise.number, "cyan"), title, exercise.kind, minutes, Text(words, style)
            )
        console.print(grid)
    if first is None:
        raise catalog.UsageError("There are no exercises here yet.")
    console.print(
        f"""
begin one             python -m kerasnotes exercise {first.number}
check it              python -m kerasnotes check {first.file_name}
a hint, then another  python -m kerasnotes hint {first.number}
our solution          python -m kerasnotes solution {first.number}""",
        markup=False,
        soft_wrap=True,
    )
    return EXIT_OK


def give_hint(options, console):
    """`python -m kerasnotes hint 08.2`: one hint more than the last time. Returns the exit code."""
    exercise = find(options.number)
    hints = exercise.task.hints
    seen = notes_of(options.out).get(exercise.number, {}).get("hints", 0)
    shown = len(hints) if options.all else min(seen + 1, len(hints))
    console.print(Text(f"{exercise.number} {exercise.task.title}", "bold"))
    for i, hint in enumerate(hints[:shown]):
        new = i >= seen
        console.print(
            Text.assemble((f"  {i + 1} ", "cyan"), (hint, "" if new else "dim"), (" (new)" if new else "", "green"))
        )
    kept = remember(options.out, exercise.number, hints=shown)
    if shown < len(hints):
        left = len(hints) - shown
        more = f"python -m kerasnotes hint {exercise.number}"
        if not kept:  # a folder that cannot be written to forgets which hints were seen
            more += " --all"
        console.print(f"{left} more hint{'s' if left > 1 else ''}: {more}", style="dim", markup=False, soft_wrap=True)
    else:
        console.print(
            f"That was the last one. Ours: python -m kerasnotes solution {exercise.number}",
            style="dim", markup=False, soft_wrap=True,
        )  # fmt: skip
    return EXIT_OK


def show_solution(options, console):
    """`python -m kerasnotes solution 08.2`: ours, and where it comes from. Returns the exit code."""
    exercise = find(options.number)
    note = notes_of(options.out).get(exercise.number, {})
    if not options.yes and max(note.get("tries", 0), note.get("hints", 0)) < TRIES:
        _ask_back(exercise)
    code, dotted = exercise.solution
    lines = [f"{exercise.number} {exercise.task.title}; explained by {exercise.task.lesson}"]
    if dotted is not None:
        lines.append(f"From {dotted}; as a program: python -m kerasnotes snippet {dotted}")
    return print_code("".join(f"# {line}\n" for line in lines) + "\n" + code)


def _ask_back(exercise):
    advice = f"python -m kerasnotes hint {exercise.number}"
    if not sys.stdin.isatty():
        raise catalog.UsageError(
            f"Before {TRIES} tries or hints --yes is needed to see the solution of {exercise.number}; a hint: {advice}"
        )
    print(f"Not {TRIES} tries or hints yet ({advice}). Show the solution all the same? [y/N] ", end="", flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise catalog.UsageError("The solution stays closed.")
