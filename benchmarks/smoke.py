"""CPU seconds of every lesson at smoke scale, in one process, slowest first: python benchmarks/smoke.py [chapterNN …].

The tests run each lesson at this scale: these seconds are a good part of the suite's. Nothing passes or fails here.
"""

import argparse
import time

from kerasnotes.course import catalog, store
from kerasnotes.course.run import import_tensorflow, run_lesson

BUDGET = 3.0  # CPU seconds a lesson


def main():
    """Run the lessons and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("chapters", nargs="*", metavar="CHAPTER", help="such as chapter08; all by default")
    names = parser.parse_args().chapters
    chapters = [catalog.find_chapter(name) for name in names] or catalog.chapters()
    import_tensorflow()
    found = []
    for chapter in chapters:
        for lesson in chapter.lessons:
            start, wall = time.process_time(), time.perf_counter()
            report, _ = run_lesson(lesson, store.effective_settings(lesson, "smoke", 0), scale="smoke")
            found.append((time.process_time() - start, time.perf_counter() - wall, lesson.full_name, report["status"]))
    for cpu, seconds, name, status in sorted(found, reverse=True):
        print(f"{cpu:6.1f} CPU s {seconds:6.1f} s  {name}{'' if status == 'passed' else '  ' + status}"
              f"{'  above the budget' if cpu > BUDGET else ''}")  # fmt: skip
    total = sum(cpu for cpu, *_ in found)
    over = sum(cpu > BUDGET for cpu, *_ in found)
    print(f"{len(found)} lessons, {total:.0f} CPU s, {total / len(found):.1f} each; {over} above {BUDGET:.0f}")


if __name__ == "__main__":
    main()
