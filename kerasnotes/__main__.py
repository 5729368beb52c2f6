"""python -m kerasnotes: contents, show, snippet, doctor, site, and any chapter by its name."""

import argparse
import contextlib
import sys
from pathlib import Path

from rich.console import Console

from kerasnotes import __version__
from kerasnotes.course import catalog


def main(argv=None):
    """The command line of the whole course. Returns the exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="replace")
    try:
        if argv and argv[0].removeprefix("chapter").isdecimal():
            from kerasnotes.course import run

            return run.main(catalog.find_chapter(argv[0]).name, argv[1:])
        options = _parser().parse_args(argv)
        return options.command(options, Console(highlight=False))
    except catalog.UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader, such as head, has seen enough
        sys.stderr.close()
        return 0


def _parser():
    from kerasnotes.course import sweep

    parser = argparse.ArgumentParser(
        prog="python -m kerasnotes",
        description="Deep-learning notes that you can run, check and copy. Without a command: the contents.",
        epilog="Any chapter can be run from here too: python -m kerasnotes chapter08 clipping --seed 1",
    )
    parser.add_argument("--version", action="version", version=f"kerasnotes {__version__}")
    parser.set_defaults(command=_contents)
    commands = parser.add_subparsers(metavar="COMMAND")
    add = commands.add_parser("contents", help="list chapters and lessons (the default)")
    add.set_defaults(command=_contents)
    add = commands.add_parser("show", help="print a lesson's source")
    add.add_argument("lesson", metavar="LESSON", help="such as chapter08.clipping")
    add.set_defaults(command=_show)
    add = commands.add_parser(
        "snippet",
        help="cut functions and classes out as a program that runs without kerasnotes",
        description="Print the named functions and classes with everything they need, as one Python program.",
        epilog="example: python -m kerasnotes snippet chapter08.clipping.clip_by_global_norm > mine.py",
    )
    add.add_argument("names", nargs="+", metavar="LESSON.NAME", help="such as chapter08.clipping.clip_by_global_norm")
    add.set_defaults(command=_snippet)
    add = commands.add_parser("doctor", help="check versions, devices, memory and data files")
    add.set_defaults(command=_doctor)
    add = commands.add_parser(
        "site",
        help="build the site from pages, lessons and the last run's reports",
        description="Make HTML of the pages to read, the lessons and the reports of the last run; no lesson is run.",
        epilog='needs pip install -e ".[docs]", and the reports that python -m kerasnotes.chapterNN leaves',
    )
    add.add_argument(
        "--results", type=Path, default=Path("out"), metavar="DIR", help="folder with reports (default out)"
    )
    add.add_argument("--out", type=Path, metavar="DIR", help="folder for the site (default site in the results)")
    add.set_defaults(command=_site)
    sweep.new_parser(commands)
    return parser


def _contents(options, console):
    from kerasnotes.course import contents

    contents.print_contents(console)
    return 0


def _show(options, console):
    from kerasnotes.course import contents

    contents.print_lesson(catalog.find_lesson(options.lesson), console)
    return 0


def _snippet(options, console):
    from kerasnotes.course import snippet

    console.file.write(snippet.cut(options.names))
    return 0


def _doctor(options, console):
    from kerasnotes.course import doctor

    return doctor.main(console)


def _site(options, console):
    from kerasnotes.course import site

    return site.main(options, console)


if __name__ == "__main__":
    raise SystemExit(main())
