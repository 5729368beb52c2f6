"""The whole course on one page: what was checked, what was corrected, and which of its calls still exist.

What the reader should see: for every chapter, how many statements were checked and how many hold, in how many seconds;
every correction to the course's notes; and, for each call that the course documented for TensorFlow 2.3, whether the
installed TensorFlow and Keras still have it under that name. The lesson trains nothing. It reads the reports that
earlier runs left, and says which commands make them where there are none.

Notes: chapter 16, "Summary" (总结).
Source: https://www.tensorflow.org/api_docs/python and https://keras.io/api, asked through the installed packages.
"""

import dataclasses
import importlib
import inspect
import json
from pathlib import Path

from kerasnotes import plots

SMOKE = {"directory": "no reports"}
SECONDS = 2

CHAPTERS = ("01", "02", "03", "04", "05", "06", "07", "08", "09", "10", "11", "12")
FIELDS = ("topic", "course", "correct", "shown_by")  # of a correction
ROOTS = {"tf": "tensorflow", "layers": "keras.layers", "optimizers": "keras.optimizers", "model": "keras.Model"}
DOCUMENTED = (  # what the course documents, arguments it names, the lesson that uses it, today's form where it differs
    ("tf.sigmoid", "", "chapter02.activations", ""),
    ("tf.nn.softmax", "", "chapter02.activations", ""),
    ("tf.tanh", "", "chapter02.activations", ""),
    ("tf.losses.MSE", "", "chapter02.losses", "tf.keras.losses.MSE"),
    ("tf.keras.losses.mean_squared_error", "", "chapter02.losses", "tf.keras.losses.MSE"),
    ("tf.losses.categorical_crossentropy", "", "chapter02.losses", "tf.keras.losses.CategoricalCrossentropy"),
    ("tf.GradientTape", "persistent", "chapter03.gradients", ""),
    ("tf.GradientTape.watch", "tensor", "chapter03.gradients", ""),
    ("tf.GradientTape.gradient", "target sources", "chapter03.gradients", ""),
    ("tf.math.pow", "", "chapter03.gradients", ""),
    ("model.fit", "validation_split", "chapter05.cross_validation", ""),
    (
        "tf.keras.callbacks.EarlyStopping",
        "monitor min_delta patience verbose mode baseline restore_best_weights",
        "chapter05.early_stopping",
        "",
    ),
    ("tf.nn.dropout", "rate", "chapter05.dropout", ""),
    ("layers.Dropout", "rate", "chapter05.dropout", ""),
    ("tf.keras.regularizers.L1", "", "chapter05.regularizers", ""),
    ("tf.keras.regularizers.L2", "", "chapter05.regularizers", ""),
    ("tf.keras.regularizers.L1L2", "", "chapter05.regularizers", ""),
    ("layers.Dense", "kernel_initializer kernel_regularizer activity_regularizer", "chapter05.regularizers", ""),
    ("optimizers.SGD", "momentum", "chapter05.momentum", ""),
    ("optimizers.RMSprop", "momentum", "chapter05.momentum", ""),
    ("optimizers.Optimizer.learning_rate", "", "chapter05.learning_rate_decay", ""),
    ("tf.nn.conv2d", "input filters strides padding", "chapter06.convolution", ""),
    ("layers.Conv2D", "", "chapter06.convolution", ""),
    ("tf.nn.max_pool2d", "", "chapter06.pooling", ""),
    ("layers.MaxPooling2D", "", "chapter06.pooling", ""),
    ("layers.BatchNormalization", "", "chapter06.batch_norm", ""),
    ("tf.concat", "", "chapter07.googlenet", ""),
    ("tf.clip_by_value", "", "chapter08.clipping", ""),
    ("tf.clip_by_norm", "", "chapter08.clipping", ""),
    ("tf.clip_by_global_norm", "", "chapter08.clipping", ""),
    ("layers.SimpleRNNCell", "", "chapter08.simple_rnn", ""),
    ("layers.SimpleRNN", "", "chapter08.simple_rnn", ""),
    ("layers.Embedding", "", "chapter08.sequences", ""),
    ("layers.LSTMCell", "", "chapter09.lstm", ""),
    ("layers.LSTM", "", "chapter09.lstm", ""),
    ("layers.GRUCell", "", "chapter09.gru", ""),
    ("layers.GRU", "", "chapter09.gru", ""),
)


@dataclasses.dataclass(frozen=True)
class LessonSummary:
    """What one report says: the lesson's dotted name, point and status, numbers of checks, seconds, memory in MB."""

    lesson: str
    point: str
    status: str
    scale: str
    seed: int
    passed: int
    failed: int
    skipped: int
    seconds: float
    peak_memory_mb: int | None

    @property
    def chapter(self):
        """The chapter's name, such as `"chapter08"`."""
        return self.lesson.partition(".")[0]


@dataclasses.dataclass(frozen=True)
class CourseSummary:
    """What all reports of a folder say.

    Args:
        lessons: Tuple of `LessonSummary`, in the order of their names.
        corrections: Tuple of dictionaries with lesson, topic, course, correct and shown_by.
        unreadable: Tuple of the files that are not reports, with the reason.
    """

    lessons: tuple
    corrections: tuple
    unreadable: tuple = ()

    @property
    def chapters(self):
        """`{chapter: tuple of its LessonSummary}`, in the order of the course."""
        names = sorted({lesson.chapter for lesson in self.lessons})
        return {name: tuple(lesson for lesson in self.lessons if lesson.chapter == name) for name in names}

    @property
    def counts(self):
        """Checks of the whole course: `{"passed": …, "failed": …, "skipped": …}`."""
        return {name: sum(getattr(each, name) for each in self.lessons) for name in ("passed", "failed", "skipped")}


@dataclasses.dataclass(frozen=True)
class ApiRow:
    """A call as the course documents it, and what the installed packages have.

    Args:
        call: The documented name, such as `"tf.losses.MSE"`.
        arguments: The arguments that the course names.
        lesson: The lesson that uses it.
        state: `"same name"`, `"renamed"` or `"gone"`.
        today: The name that works today, or an empty text.
        missing: Arguments that the installed version no longer takes.
    """

    call: str
    arguments: tuple
    lesson: str
    state: str
    today: str
    missing: tuple


def collect(directory):
    """Read the reports that runs left under a folder.

    Args:
        directory: The folder given to `--out`, with `chapterNN/lesson/report.json` in it.

    Returns:
        A `CourseSummary`; without reports, an empty one. What cannot be read is named in its `unreadable`.

    Raises:
        ValueError: If `directory` is a file.
    """
    directory = Path(directory)
    if directory.is_file():
        raise ValueError(f"directory: expected a folder with reports, got the file {directory}")
    lessons, corrections, unreadable = [], [], []
    for path in sorted(directory.glob("chapter[0-9][0-9]/*/report.json")):
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            lessons.append(_lesson_summary(found))
            records = [record for record in found["records"] if record["kind"] == "correction"]
            corrections += [{"lesson": found["lesson"], **{name: each[name] for name in FIELDS}} for each in records]
        except (OSError, ValueError, KeyError, TypeError) as error:
            unreadable.append(f"{path}: {type(error).__name__}: {error}")
    return CourseSummary(tuple(lessons), tuple(corrections), tuple(unreadable))


def _lesson_summary(found):
    counts, times = found["counts"], found["times"]
    return LessonSummary(
        lesson=found["lesson"],
        point=found.get("point", ""),
        status=found["status"],
        scale=found["scale"],
        seed=found["seed"],
        passed=counts["passed"],
        failed=counts["failed"],
        skipped=counts["skipped"],
        seconds=float(times["seconds"]),
        peak_memory_mb=times.get("peak_memory_mb"),
    )


def api_state(call, arguments=(), today=""):
    """Ask the installed TensorFlow and Keras for a name and its arguments.

    Args:
        call: Dotted name that begins with `tf`, `layers`, `optimizers` or `model`, as in the course.
        arguments: Names of arguments that have to be accepted.
        today: Another name, to be tried if the first one is not there.

    Returns:
        `(state, name, missing)`: the state as in `ApiRow`, the name that works, and the arguments it does not take.

    Raises:
        ValueError: If the name begins with something else.
    """
    for state, name in (("same name", call), ("renamed", today)):
        found = _resolve(name) if name else None
        if found is not None:
            return state, name, tuple(each for each in arguments if not _takes(found, each))
    return "gone", "", ()


def api_table():
    """Every call that the course documents, looked up in the installed packages.

    Returns:
        List of `ApiRow`, in the order of the course.
    """
    rows = []
    for call, arguments, lesson, today in DOCUMENTED:
        arguments = tuple(arguments.split())
        state, name, missing = api_state(call, arguments, today)
        rows.append(ApiRow(call, arguments, lesson, state, name, missing))
    return rows


def _resolve(name):
    """The object of a dotted name, or None."""
    first, *rest = name.split(".")
    if first not in ROOTS:
        raise ValueError(f"call: expected a name that begins with {', '.join(ROOTS)}, got {name!r}")
    module, *attributes = ROOTS[first].split(".")
    found = importlib.import_module(module)
    for attribute in [*attributes, *rest]:
        found = getattr(found, attribute, None)
    return found


def _takes(function, argument):
    return argument in inspect.signature(function).parameters  # **kwargs would swallow any name: they do not count


def lesson(report, *, directory: str = "out"):
    """Read the reports of earlier runs and ask the installed packages for the documented calls.

    Args:
        report: The report to write to.
        directory: Folder with the reports of earlier runs, as given to `--out` then (a folder).
    """
    apis = api_table()
    _apis(report, apis)
    summary = collect(directory)
    for line in summary.unreadable:
        report.note(f"Not a report: {line}")
    missing = [number for number in CHAPTERS if f"chapter{number}" not in summary.chapters]
    if missing:
        commands = " && ".join(f"python -m kerasnotes.chapter{number} --out {directory}" for number in missing)
        report.note(f"No reports of chapters {', '.join(missing)} in {directory!r}. This makes them: {commands}")
    if summary.lessons:
        _course(report, summary)
    report.figure("what was checked, and what became of the calls", *_figure(summary, apis))


def _apis(report, apis):
    report.table(
        "calls that the course documents, in the installed TensorFlow and Keras",
        ["call", "arguments named", "state", "today", "arguments gone", "used in"],
        [[r.call, ", ".join(r.arguments), r.state, r.today, ", ".join(r.missing), r.lesson] for r in apis],
    )
    states = {row.call: row.state for row in apis}
    alive = sum(state != "gone" for state in states.values())
    report.check("documented calls that can still be made, by some name", got=alive, want=len(apis))
    report.check("arguments that the course names and that are gone", got=sum(len(row.missing) for row in apis), want=0)
    kept = [state for call, state in states.items() if ".losses." not in call]
    report.check("outside the losses every name is the same", kept, ["same name"] * len(kept))


def _course(report, summary):
    rows = []
    for chapter, lessons in summary.chapters.items():
        memory = [each.peak_memory_mb for each in lessons if each.peak_memory_mb is not None]
        counts = [sum(getattr(each, name) for each in lessons) for name in ("passed", "failed", "skipped")]
        rows.append([chapter, len(lessons), *counts, sum(e.seconds for e in lessons), max(memory, default=None)])
    columns = ["chapter", "lessons", "checks passed", "failed", "skipped", "seconds", "peak memory, MB"]
    report.table("the course, chapter by chapter", columns, rows)
    columns = ["lesson", "status", "scale", "seed", "checks passed", "failed", "skipped", "seconds", "peak memory, MB"]
    rows = [
        [e.lesson, e.status, e.scale, e.seed, e.passed, e.failed, e.skipped, e.seconds, e.peak_memory_mb]
        for e in summary.lessons
    ]
    report.table("the course, lesson by lesson", columns, rows)
    rows = [[each["lesson"], each["topic"], each["course"], each["correct"]] for each in summary.corrections]
    if rows:
        report.table("corrections to the course's notes", ["lesson", "topic", "the notes", "correct"], rows)
    wrong = [
        each.lesson
        for each in summary.lessons
        if each.status != "error" and (each.failed > 0) != (each.status == "failed")
    ]
    report.check("reports whose status contradicts their checks", len(wrong), 0)


def _figure(summary, apis):
    figure, (left, right) = plots.subplots(1, 2, figsize=(11, 4.4), width_ratios=(2, 1))
    names = list(summary.chapters)
    positions, bottom = range(len(names)), [0] * len(names)
    for status, color in (("passed", "C0"), ("failed", "C1"), ("skipped", "C3")):
        heights = [sum(getattr(each, status) for each in summary.chapters[name]) for name in names]
        left.bar(positions, heights, bottom=bottom, color=color, label=status)
        bottom = [low + height for low, height in zip(bottom, heights, strict=True)]
    left.set_xticks(positions, [name.removeprefix("chapter") for name in names])
    left.set(xlabel="chapter", ylabel="checks")
    total = sum(summary.counts.values())
    left.set_title(f"{total:,} checks in {len(summary.lessons)} lessons" if total else "no reports yet")
    if total:
        left.legend()
    else:
        left.set_axis_off()
    states = ("same name", "renamed", "gone")
    numbers = [sum(row.state == state for row in apis) for state in states]
    right.bar(states, numbers, color=["C0", "C2", "C1"])
    for x, number in enumerate(numbers):
        right.text(x, number, str(number), ha="center", va="bottom")
    right.set(ylabel="calls that the course documents")
    right.set_title("Most names have outlived\nfive years")
    alt = f"Left: {total} checks by chapter and result. Right: of {len(apis)} documented calls, " + ", ".join(
        f"{number} are {state}" if state != "same name" else f"{number} have the same name"
        for state, number in zip(states, numbers, strict=True)
    )
    return figure, alt + "."
