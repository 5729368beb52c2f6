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

from rich.cells import set_cell_size
from rich.table import Table
from rich.text import Text

from kerasnotes.course import catalog, language
from kerasnotes.course.language import word
from kerasnotes.course.tasks import Predict
from kerasnotes.course.terminal import EXIT_OK, print_code, wrapped

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
        facts = {
            "number": self.number, "title": self.task.title, "kind": word(self.kind), "minutes": self.task.minutes,
            "lesson": self.task.lesson,
        }  # fmt: skip
        check, hint = (f"python -m kerasnotes {each}" for each in (f"check {self.file_name}", f"hint {self.number}"))
        lines = [
            word("{number} {title} ({kind}, {minutes} minutes)").format(**facts),
            "",
            *self.task.text.strip().splitlines(),
            "",
            word("Explained by {lesson}. When it is done:  {command}").format(**facts, command=check),
            word("If it does not come:  {command}").format(command=hint),
        ]
        return "".join(f"# {line}".rstrip() + "\n" for line in lines) + "\n" + self.start

    def __repr__(self):
        return f"{self.number} {self.task.title}\n\n{self.task.text.strip()}\n\n{self.start}"

    def _repr_markdown_(self):
        hints = "".join(
            f"<details><summary>{word('Hint')} {i + 1}</summary>\n\n{hint}\n\n</details>\n\n"
            for i, hint in enumerate(self.task.hints)
        )
        return f"{self.question}\n\n```python\n{self.start}```\n\n{hints}"

    @property
    def question(self):
        """Number, title, facts and text, as Markdown."""
        minutes, explained = word("{} minutes").format(self.task.minutes), word("explained by")
        facts = f"*{word(self.kind)} · {minutes} · {explained} {self.task.lesson}*"
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
        text = "There is no exercise {name}: expected a number such as 08.2. {command} lists them."
        raise catalog.UsageError(word(text).format(name=repr(str(name)), command="python -m kerasnotes exercise"))
    chapter = catalog.find_chapter(found[1])
    exercises = of_chapter(chapter)
    if not 1 <= int(found[2]) <= len(exercises):
        there = word(", ").join(f"{each.number} {each.task.title}" for each in exercises)
        text = "There is no exercise {number}. " + ("{chapter} has: {there}." if there else "{chapter} has none.")
        number = f"{chapter.name[-2:]}.{found[2]}"
        raise catalog.UsageError(word(text).format(number=number, chapter=chapter.name, there=there))
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
        return "·", "yellow", word("changed since its check" if note.get("tries") else "begun")
    if note["held"] == note["checks"]:
        return "✓", "green", word("done")
    return "✗", "red", word("{held} of {checks} checks hold").format(**note)


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
        text = word("{path} is there already and stays as it is; --out DIR writes another copy elsewhere")
        raise catalog.UsageError(text.format(path=path)) from None
    remember(folder, exercise.number)
    facts = {"path": path, "number": exercise.number, "title": exercise.task.title, "minutes": exercise.task.minutes}
    console.print(word("{path}: {number} {title}, about {minutes} minutes").format(**facts), markup=False)
    console.print(f"python -m kerasnotes check {path}", style="dim", markup=False, soft_wrap=True)
    return EXIT_OK


def _print_list(chapters, folder, console):
    notes, first = notes_of(folder), None
    for chapter in chapters:
        exercises = of_chapter(chapter)
        if not exercises:
            continue
        first = first or exercises[0]
        number, title, *chinese = language.chapter_titles(chapter)
        heading = f"{number} · {title}" if language.current() == "zh" else f"{chapter.name[-2:]} {title}"
        console.print(Text.assemble((heading, "bold"), *(f" · {text}" for text in chinese)))
        grid = Table.grid(padding=(0, 2))
        for wrap in (False, False, True, False, False, True):
            grid.add_column(no_wrap=not wrap)
        for exercise in exercises:
            symbol, style, words = state_of(exercise, folder, notes)
            minutes = word("{} min").format(exercise.task.minutes)
            title, kind = Text(exercise.task.title), word(exercise.kind)
            grid.add_row(Text(symbol, style), Text(exercise.number, "cyan"), title, kind, minutes, Text(words, style))
        console.print(grid)
    if first is None:
        raise catalog.UsageError(word("There are no exercises here yet."))
    commands = (
        ("begin one", f"exercise {first.number}"),
        ("check it", f"check {first.file_name}"),
        ("a hint, then another", f"hint {first.number}"),
        ("our solution", f"solution {first.number}"),
    )
    console.print()
    for purpose, command in commands:
        text = f"{set_cell_size(word(purpose), 22)}python -m kerasnotes {command}"
        console.print(text, markup=False, soft_wrap=True)
    return EXIT_OK


def give_hint(options, console):
    """`python -m kerasnotes hint 08.2`: one hint more than the last time. Returns the exit code."""
    exercise = find(options.number)
    hints = exercise.task.hints
    seen = notes_of(options.out).get(exercise.number, {}).get("hints", 0)
    shown = len(hints) if options.all else min(seen + 1, len(hints))
    console.print(Text(f"{exercise.number} {exercise.task.title}", "bold"))
    for i, hint in enumerate(hints[:shown]):
        mark = word(" (new)") if i >= seen else ""
        text = Text(wrapped(hint + mark, console, indent=4), style="" if mark else "dim")
        text.stylize("green", len(text) - len(mark))
        console.print(Text(f"  {i + 1} ", "cyan") + text)
    kept = remember(options.out, exercise.number, hints=shown)
    if shown < len(hints):
        left = len(hints) - shown
        more = f"python -m kerasnotes hint {exercise.number}"
        if not kept:  # a folder that cannot be written to forgets which hints were seen
            more += " --all"
        text = word("{left} more hint: {command}" if left == 1 else "{left} more hints: {command}")
        text = text.format(left=left, command=more)
    else:
        command = f"python -m kerasnotes solution {exercise.number}"
        text = word("That was the last one. Ours: {command}").format(command=command)
    console.print(text, style="dim", markup=False, soft_wrap=True)
    return EXIT_OK


def show_solution(options, console):
    """`python -m kerasnotes solution 08.2`: ours, and where it comes from. Returns the exit code."""
    exercise = find(options.number)
    note = notes_of(options.out).get(exercise.number, {})
    if not options.yes and max(note.get("tries", 0), note.get("hints", 0)) < TRIES:
        _ask_back(exercise)
    code, dotted = exercise.solution
    facts = {"number": exercise.number, "title": exercise.task.title, "lesson": exercise.task.lesson}
    lines = [word("{number} {title}; explained by {lesson}").format(**facts)]
    if dotted is not None:
        command = f"python -m kerasnotes snippet {dotted}"
        lines.append(word("From {name}; as a program: {command}").format(name=dotted, command=command))
    return print_code("".join(f"# {line}\n" for line in lines) + "\n" + code)


def _ask_back(exercise):
    known = {"tries": TRIES, "number": exercise.number, "command": f"python -m kerasnotes hint {exercise.number}"}
    if not sys.stdin.isatty():
        text = "Before {tries} tries or hints --yes is needed to see the solution of {number}; a hint: {command}"
        raise catalog.UsageError(word(text).format(**known))
    text = word("Not {tries} tries or hints yet ({command}). Show the solution all the same? [y/N] ")
    print(text.format(**known), end="", flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise catalog.UsageError(word("The solution stays closed."))
