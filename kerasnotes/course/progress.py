"""How far a loop has come: a bar on a terminal, a plain line now and then elsewhere."""

import contextlib
import time

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

FIRST_LINE_AFTER = 2.0  # seconds; a loop that ends sooner needs no progress
LINE_EVERY = 10.0


class Tracker:
    """Callable `(iterable, description) -> iterable` for `Report(progress=…)`; loops may be nested."""

    def __init__(self, console):
        self._console = console
        self._bars = None

    def __call__(self, iterable, description):
        total = len(iterable) if hasattr(iterable, "__len__") else None
        return (self._bar if self._console.is_terminal else self._lines)(iterable, description, total)

    def close(self):
        """Remove all bars, also after an exception in the middle of a loop."""
        if self._bars is not None:
            self._bars.stop()
            self._bars = None

    def _bar(self, iterable, description, total):
        if self._bars is None:
            columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bars = Progress(*columns, console=self._console, transient=True)
            self._bars.start()
        bars = self._bars
        task = bars.add_task(description, total=total)
        try:
            for item in iterable:
                yield item
                bars.advance(task)
        finally:
            with contextlib.suppress(KeyError):
                bars.remove_task(task)
            if bars is self._bars and not bars.tasks:
                self.close()

    def _lines(self, iterable, description, total):
        start = time.monotonic()
        due = start + FIRST_LINE_AFTER
        for done, item in enumerate(iterable):
            now = time.monotonic()
            if now >= due and done:
                due = now + LINE_EVERY
                left = (
                    f" of {total} ({100 * done // total} %), about {(now - start) / done * (total - done):.0f} s left"
                    if total
                    else ""
                )
                self._console.print(f"  {description}: {done}{left}", highlight=False)
            yield item
