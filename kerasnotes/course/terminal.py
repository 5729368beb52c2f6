"""What every command does about its output: text that cannot break, code that stays exact, a word when it fails."""

import contextlib
import os
import re
import sys

from rich.cells import cell_len
from rich.console import Console as RichConsole

from kerasnotes.course import catalog

EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 0, 1, 2, 130
WIDTH = 120  # where there is no terminal to ask
# What a line may not be broken within: a word, or a Chinese character, with the punctuation around it.
OPENING, CLOSING, CHINESE = "（“「", "，。；：、？！）”」…", "\u2e80-\u9fff"
PARTS = re.compile(
    rf"[{OPENING}]*(?:[{CHINESE}]|[^\s{OPENING}{CLOSING}{CHINESE}]+)[{CLOSING}]*\s*|[{OPENING}{CLOSING}]+\s*|\s+"
)


class Console(RichConsole):
    """A console for people; a reader that has gone, such as head, is for the command to answer."""

    def __init__(self, **arguments):
        super().__init__(highlight=False, **arguments)

    def on_broken_pipe(self):
        """Let the exception pass; rich itself would end the process with exit code 1."""
        raise BrokenPipeError


def make_output_safe():
    """A console that lacks a character must not end a run; a file or a pipe gets UTF-8, whatever the console uses."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError, OSError):
            if stream.isatty():
                stream.reconfigure(errors="replace")
            else:
                stream.reconfigure(encoding="utf-8", errors="replace")


def wrapped(text, console, indent):
    """Text in lines that fit beside an indent, broken between words and between Chinese characters.

    Where nobody looks at lines, in a file or a pipe, it stays one line, which `grep` finds as a whole.
    """
    width = console.width - indent
    if width < 20 or not (console.is_terminal or "COLUMNS" in os.environ):
        return text
    return f"\n{' ' * indent}".join(broken(text, width))


def broken(text, width):
    """A list of lines of the text that are `width` characters of a terminal wide, where its words let them."""
    if cell_len(text) <= width:
        return [text]
    lines = [""]
    for part in PARTS.findall(text):
        if lines[-1] and cell_len(lines[-1] + part.rstrip()) > width:
            lines.append("")
        lines[-1] += part
    return [line.rstrip() for line in lines]


def print_code(text):
    """Print a program: exact in a file or a pipe; on a console that lacks a character, as its escape sequence."""
    stream = sys.stdout
    with contextlib.suppress(AttributeError, ValueError):
        stream.reconfigure(errors="backslashreplace")
    stream.write(text)
    stream.flush()
    return EXIT_OK


def answered(command):
    """Call a command without arguments and return its exit code; what goes wrong is said in one line."""
    make_output_safe()
    try:
        code = command()
        sys.stdout.flush()
        return code
    except catalog.UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE
    except OSError as error:
        return output_failed(error)


def output_failed(error):
    """The exit code where writing fails: 0 if the reader has seen enough, else 2 after saying why."""
    # Whatever is still buffered cannot be written either: Python must not try again when it ends.
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        return EXIT_OK
    place = f"{error.filename}: " if error.filename else ""
    print(f"error: {place}{error.strerror or error}", file=sys.stderr)
    return EXIT_USAGE
