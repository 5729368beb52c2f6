"""The contents page of the course and the source of a lesson, for the terminal."""

from rich.syntax import Syntax
from rich.text import Text

from kerasnotes import __version__
from kerasnotes.course import catalog


def print_contents(console):
    """Print chapters with their lessons, each lesson's point and its seconds on two CPU cores."""
    everything = catalog.chapters()
    lessons = sum(len(chapter.lessons) for chapter in everything)
    seconds = sum(chapter.seconds for chapter in everything)
    console.print(
        Text.assemble(("kerasnotes ", "bold"), f"{__version__}: deep-learning notes that you can run, check and copy")
    )
    console.print(f"{lessons} lessons, {seconds} s in all on two CPU cores", style="dim")
    width = max((len(lesson.name) for chapter in everything for lesson in chapter.lessons), default=0)
    for chapter in everything:
        number, english, chinese = chapter.titles
        console.print()
        console.print(
            Text.assemble((f"{number} · {english}", "bold"), f" · {chinese}", (f"   {chapter.seconds} s", "dim"))
        )
        for lesson in chapter.lessons:
            line = Text.assemble("  ", (f"{lesson.name:<{width}}", "cyan"), (f"{lesson.seconds or '?':>4} s  ", "dim"))
            console.print(line + Text(lesson.point), soft_wrap=True)
    first = everything[-1]
    console.print(
        f"""
run a chapter            python -m kerasnotes.{first.name}
run one lesson           python -m kerasnotes.{first.name} {first.lessons[0].name}
read a lesson            python -m kerasnotes show {first.lessons[0].full_name}
copy a function          python -m kerasnotes snippet {first.lessons[0].full_name}.NAME
check this installation  python -m kerasnotes doctor""",
        markup=False,
        soft_wrap=True,
    )


def print_lesson(lesson, console):
    """Print a lesson's source: coloured on a terminal, as it is elsewhere."""
    if console.is_terminal:
        console.print(Syntax(lesson.source, "python", theme="ansi_dark", background_color="default", word_wrap=True))
    else:
        console.file.write(lesson.source)
