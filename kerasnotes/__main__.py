"""python -m kerasnotes: contents, show, snippet, exercises, doctor, record, site, sweep, and any chapter by name."""

import argparse
import sys
from pathlib import Path

from kerasnotes import __version__
from kerasnotes.course import catalog, language
from kerasnotes.course.terminal import Console, answered, print_code

FORMATTER = argparse.RawDescriptionHelpFormatter


def main(argv=None):
    """The command line of the whole course. Returns the exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    return answered(lambda: language.speaking(argv, _main))


def _main(argv):
    if argv and argv[0].removeprefix("chapter").isdecimal():
        from kerasnotes.course import run

        return run.main(catalog.find_chapter(argv[0]).name, argv[1:])
    options = _parser(argv).parse_args(argv)
    return options.command(options, Console())


def _parser(argv):
    parser = argparse.ArgumentParser(
        prog="python -m kerasnotes",
        description="Deep-learning notes that you can run, check and copy. Without a command: the contents.",
        epilog="Any chapter can be run from here too: python -m kerasnotes chapter08 clipping --seed 1\n\n"
        "exit code: 0 all is well, 1 a check fails or something is stale, 2 wrong usage, 130 interrupted",
        formatter_class=FORMATTER,
    )
    parser.add_argument("--version", action="version", version=f"kerasnotes {__version__}")
    language.add_argument(parser)
    parser.set_defaults(command=_contents)
    commands = parser.add_subparsers(metavar="COMMAND")
    add = commands.add_parser("contents", help="list chapters and lessons (the default)")
    add.set_defaults(command=_contents)
    add = commands.add_parser(
        "show",
        help="print a lesson's source, or its recorded results",
        description="Print a lesson's source, or with --results what its recorded run found, without running it.",
        epilog="examples:\n  python -m kerasnotes show chapter08.clipping\n"
        "  python -m kerasnotes show clipping --results",
        formatter_class=FORMATTER,
    )
    add.add_argument("lesson", metavar="LESSON", help="such as chapter08.clipping or 梯度裁剪")
    add.add_argument("--results", action="store_true", help="checks, tables and notes of the recorded run")
    add.set_defaults(command=_show)
    add = commands.add_parser(
        "snippet",
        help="cut a lesson, functions or classes out as a program that runs without kerasnotes",
        description="Print the named functions and classes with everything they need, as one Python program; for a\n"
        "lesson's name its whole concept and an example, which the program runs.",
        epilog="examples:\n  python -m kerasnotes snippet chapter08.clipping -o mine.py\n"
        "  python -m kerasnotes snippet chapter08.clipping.clip_by_global_norm -o mine.py",
        formatter_class=FORMATTER,
    )
    add.add_argument("names", nargs="+", metavar="LESSON[.NAME]", help="such as chapter08.clipping.clip_by_global_norm")
    add.add_argument("-o", "--out", type=Path, metavar="FILE", help="write to this file, in UTF-8, not to the screen")
    add.add_argument("--force", action="store_true", help="replace the file if it is there")
    add.set_defaults(command=_snippet)
    _add_exercises(commands)
    add = commands.add_parser("doctor", help="check versions, devices, memory and data files")
    add.set_defaults(command=_doctor)
    named = argv[0] if argv else ""
    for name, about in (
        ("record", "run what is stale and keep it with the course; say what is stale and why"),
        ("site", "build the site from pages, lessons and recorded runs"),
        ("sweep", "run a lesson for many seeds and settings"),
    ):
        add = commands.add_parser(name, help=about, formatter_class=FORMATTER)
        if name == named:  # the others' modules need not be imported
            {"record": _add_record, "site": _add_site, "sweep": _add_sweep}[name](add)
    return parser


def _add_exercises(commands):
    add = commands.add_parser(
        "exercise",
        help="list the exercises, or write one's file to fill in",
        description="Without a number: list the exercises and how far you have come. With one: write its file, which\n"
        "holds the question and the code to fill in; a file that is there is never overwritten.",
        epilog="examples:\n  python -m kerasnotes exercise\n  python -m kerasnotes exercise 08\n"
        "  python -m kerasnotes exercise 08.2\n  python -m kerasnotes exercise 08.2 --out homework",
        formatter_class=FORMATTER,
    )
    add.add_argument("number", nargs="?", metavar="NUMBER", help="such as 08.2; a chapter's number lists its exercises")
    _add_folder(add)
    add.set_defaults(command=_exercise)
    add = commands.add_parser(
        "check",
        help="check answers to exercises: one file, several, or a folder",
        description="Run each file in a process of its own and compare with our solution: shapes, values, gradients.\n"
        "One file gives every check and where it first differs, several give a table. It needs no network; the\n"
        "program runs in a temporary folder, which is no prison for hostile programs.",
        epilog="examples:\n  python -m kerasnotes check exercise_08_2.py\n  python -m kerasnotes check homework\n"
        "  python -m kerasnotes check homework --json\n\n"
        "exit code: 0 every check holds, 1 one does not, 2 wrong usage",
        formatter_class=FORMATTER,
    )
    add.add_argument(
        "files", nargs="*", metavar="FILE | DIR", help="exercise_08_2.py …, or a folder (default: this one)"
    )
    add.add_argument("--exercise", metavar="NUMBER", help="the exercise of one file that has another name")
    add.add_argument("--json", action="store_true", help="print the reports as JSON: a list with one entry a file")
    add.add_argument(
        "--seconds", type=float, default=30.0, metavar="N", help="time for each file after TensorFlow's start (30)"
    )
    add.set_defaults(command=_check)
    add = commands.add_parser(
        "hint",
        help="give one hint more for an exercise",
        description="Each call gives one hint more, up to the formula; those that you have seen stay.",
        formatter_class=FORMATTER,
    )
    add.add_argument("number", metavar="NUMBER", help="such as 08.2")
    add.add_argument("--all", action="store_true", help="all hints at once")
    _add_folder(add)
    add.set_defaults(command=_hint)
    add = commands.add_parser(
        "solution",
        help="show our solution of an exercise",
        description="Print our solution and the lesson that it comes from. Before two tries or hints it asks back.",
        formatter_class=FORMATTER,
    )
    add.add_argument("number", metavar="NUMBER", help="such as 08.2")
    add.add_argument("--yes", action="store_true", help="do not ask back")
    _add_folder(add)
    add.set_defaults(command=_solution)


def _add_folder(parser):
    parser.add_argument(
        "--out", type=Path, default=Path(), metavar="DIR", help="the folder of your exercise files (default: this one)"
    )


def _add_record(parser):
    from kerasnotes.course import records

    parser.description = (
        "Run the lessons whose code, settings or data have changed since they were recorded, at default scale with\n"
        "seed 0, and keep reports and figures. What has ended is kept, whatever happens then."
    )
    parser.epilog = (
        "examples:\n  python -m kerasnotes record --list\n  python -m kerasnotes record\n"
        "  python -m kerasnotes record chapter08.clipping chapter03\n"
        "  python -m kerasnotes record --verify 15 --key today"
    )
    records.add_arguments(parser)
    parser.set_defaults(command=records.main)


def _add_site(parser):
    from kerasnotes.course import site

    parser.description = "Make HTML of the pages to read, the lessons and the recorded runs; no lesson is run."
    parser.epilog = 'needs pip install -e ".[docs]"'
    site.add_arguments(parser)
    parser.set_defaults(command=site.main)


def _add_sweep(parser):
    from kerasnotes.course import sweep

    sweep.describe(parser)


def _contents(options, console):
    from kerasnotes.course import contents

    contents.print_contents(console)
    return 0


def _show(options, console):
    from kerasnotes.course import contents

    lesson = catalog.find_lesson(options.lesson)
    return contents.print_results(lesson, console) if options.results else contents.print_lesson(lesson, console)


def _snippet(options, console):
    from kerasnotes.course import snippet

    text = snippet.cut(options.names)
    if options.out is None:
        return print_code(text)
    if options.out.exists() and not options.force:
        raise catalog.UsageError(f"{options.out} is there already; choose another name, or replace it with --force")
    options.out.write_bytes(text.encode("utf-8"))
    print(f"{options.out}: {text.count(chr(10))} lines; python {options.out} runs it")
    return 0


def _exercise(options, console):
    from kerasnotes.course import exercises

    return exercises.hand_out(options, console)


def _check(options, console):
    from kerasnotes.course import check

    return check.main(options, console)


def _hint(options, console):
    from kerasnotes.course import exercises

    return exercises.give_hint(options, console)


def _solution(options, console):
    from kerasnotes.course import exercises

    return exercises.show_solution(options, console)


def _doctor(options, console):
    from kerasnotes.course import doctor

    return doctor.main(console)


if __name__ == "__main__":
    raise SystemExit(main())
