"""The contents page of the course, the source of a lesson and its recorded results, for the terminal."""

import sys

from rich.cells import set_cell_size
from rich.text import Text

from kerasnotes import __version__
from kerasnotes.course import catalog, language
from kerasnotes.course.terminal import EXIT_OK, print_code, wrapped


def print_contents(console):
    """Print chapters with their lessons, each lesson's point and the seconds of its recorded run."""
    everything = catalog.chapters()
    recorded = recorded_numbers()
    lessons = [lesson for chapter in everything for lesson in chapter.lessons]
    seconds = {lesson.full_name: recorded.get(lesson.full_name, {}).get("seconds") for lesson in lessons}
    whole = sum(value or 0 for value in seconds.values())
    checks = sum(entry["checks"] for entry in recorded.values())
    say = language.word
    about = say("deep-learning notes that you can run, check and copy")
    console.print(Text.assemble(("kerasnotes ", "bold"), f"{__version__}: {about}"))
    counts = say("{lessons} lessons, {checks} checks; all of them run in {minutes} minutes")
    numbers = {"lessons": len(lessons), "checks": f"{checks:,}", "minutes": f"{whole / 60:.0f}"}
    console.print(counts.format(**numbers), style="dim")
    width = max((len(lesson.name) for lesson in lessons), default=0)
    for chapter in everything:
        number, english, *chinese = language.chapter_titles(chapter)
        total = sum(seconds[lesson.full_name] or 0 for lesson in chapter.lessons)
        console.print()
        console.print(
            Text.assemble(
                (f"{number} · {english}", "bold"), *(f" · {word}" for word in chinese),
                (f"   {seconds_text(total)}", "dim"),
            )
        )  # fmt: skip
        for lesson in chapter.lessons:
            took = seconds_text(seconds[lesson.full_name])
            line = Text.assemble("  ", (f"{lesson.name:<{width}}", "cyan"), (f"{took:>7}  ", "dim"))
            text = wrapped(language.line(lesson), console, indent=len(line))
            console.print(line + Text(text), soft_wrap=True)
    chapter, lesson = _example(everything)
    commands = (
        ("run a chapter", f".{chapter.name}"),
        ("run one lesson", f".{chapter.name} {lesson.name}"),
        ("look at its results", f" show {lesson.full_name} --results"),
        ("read a lesson", f" show {lesson.full_name}"),
        ("copy a lesson", f" snippet {lesson.full_name} -o mine.py"),
        ("copy one function", f" snippet {lesson.full_name}.NAME -o mine.py"),
        ("solve an exercise", " exercise"),
        ("check this installation", " doctor"),
    )
    console.print()
    for purpose, command in commands:
        console.print(f"{set_cell_size(say(purpose), 25)}python -m kerasnotes{command}", markup=False, soft_wrap=True)


def recorded_numbers():
    """`{lesson: numbers}` of the recorded runs."""
    from kerasnotes.course import records

    return records.index()


def seconds_text(seconds):
    """`"0.4 s"`, `"12 s"`, or `"–"` where there is no record."""
    return "–" if not seconds else f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def _example(everything):
    """The chapter and lesson that the examples name: the README's, or the first there is."""
    for chapter in everything:
        for lesson in chapter.lessons:
            if lesson.full_name == "chapter08.clipping":
                return chapter, lesson
    return everything[0], everything[0].lessons[0]


def print_lesson(lesson, console):
    """Print a lesson's source: coloured on a terminal, as it is elsewhere."""
    if not sys.stdout.isatty():
        return print_code(lesson.source)
    from rich.syntax import Syntax  # Pygments, which the contents need not wait for

    console.print(Syntax(lesson.source, "python", theme="ansi_dark", background_color="default", word_wrap=True))
    return EXIT_OK


def print_results(lesson, console):
    """Print what a lesson's recorded run found. Raises UsageError if there is no record."""
    from kerasnotes.course import records, render

    say, report = language.word, records.load(lesson)
    if report is None:
        command = f"python -m kerasnotes.{lesson.chapter} {lesson.name}"
        raise catalog.UsageError(
            say("{lesson} has no recorded run; {command} runs it.").format(lesson=lesson.full_name, command=command)
        )
    name = f"{lesson.full_name}  "
    about = wrapped(language.line(lesson), console, indent=len(name))
    console.print(Text.assemble((name, "bold"), about), soft_wrap=True)
    facts = {
        "date": report["times"]["date"], "scale": report["scale"], "seed": report["seed"],
        "versions": say(", ").join(f"{name} {report['versions'][name]}" for name in ("python", "tensorflow", "keras")),
    }  # fmt: skip
    origin = say("recorded on {date} at {scale} scale with seed {seed}, {versions}").format(**facts)
    console.print(wrapped(origin, console, indent=0), style="dim")
    render.terminal(report, console)
    seconds = say("{} s").format(f"{report['times']['seconds']:.1f}")
    console.print(f"  {render.counts_words(report['counts'])} · {seconds}", style="green")
    seeds = records.load_seeds(lesson)
    if seeds is not None:
        fresh = records.same_code(lesson, report, seeds)
        held = "every check held on {held} of {seeds} seeds" + ("" if fresh else ", before the code last changed")
        console.print(f"  {say(held).format(held=seeds['held'], seeds=len(seeds['seeds']))}", style="dim")
    folder = say("figures: {folder}").format(folder=records.folder(lesson))
    console.print(f"  {folder}", style="dim", soft_wrap=True, markup=False)
    return EXIT_OK
