"""Most calls that the course documented for TensorFlow 2.3 still work, and a lesson's example shows each of them.

What the reader should see: every documented call is looked up in the installed TensorFlow and Keras, with each argument
that the course names: same name, another name, or gone. Beside it stands the lesson whose `example` makes that call
with those arguments, to be copied with `python -m kerasnotes snippet LESSON`; the examples' syntax trees say which.

Notes: chapter 16, "Summary" (总结), the calls of all chapters.
Source: https://www.tensorflow.org/api_docs/python and https://keras.io/api, asked through the installed packages.
"""

import ast
import dataclasses
import importlib.util
import inspect
from pathlib import Path

from kerasnotes import plots

SMOKE = {}
SECONDS = 2

ROOTS = {"tf": "tensorflow", "layers": "keras.layers", "optimizers": "keras.optimizers", "model": "keras.Model"}
DOCUMENTED = (  # what the course documents, the arguments it names, today's form where it differs
    ("tf.sigmoid", "", ""),
    ("tf.nn.softmax", "", ""),
    ("tf.tanh", "", ""),
    ("tf.losses.MSE", "", "tf.keras.losses.MSE"),
    ("tf.keras.losses.mean_squared_error", "", "tf.keras.losses.MSE"),
    ("tf.losses.categorical_crossentropy", "", "tf.keras.losses.CategoricalCrossentropy"),
    ("tf.GradientTape", "persistent", ""),
    ("tf.GradientTape.watch", "tensor", ""),
    ("tf.GradientTape.gradient", "target sources", ""),
    ("tf.math.pow", "", ""),
    ("model.fit", "validation_split", ""),
    ("tf.keras.callbacks.EarlyStopping", "monitor min_delta patience verbose mode baseline restore_best_weights", ""),
    ("tf.nn.dropout", "rate", ""),
    ("layers.Dropout", "rate", ""),
    ("tf.keras.regularizers.L1", "", ""),
    ("tf.keras.regularizers.L2", "", ""),
    ("tf.keras.regularizers.L1L2", "", ""),
    ("layers.Dense", "kernel_initializer kernel_regularizer activity_regularizer", ""),
    ("optimizers.SGD", "momentum", ""),
    ("optimizers.RMSprop", "momentum", ""),
    ("optimizers.Optimizer.learning_rate", "", ""),
    ("tf.nn.conv2d", "input filters strides padding", ""),
    ("layers.Conv2D", "", ""),
    ("tf.nn.max_pool2d", "", ""),
    ("layers.MaxPooling2D", "", ""),
    ("layers.BatchNormalization", "", ""),
    ("tf.concat", "", ""),
    ("tf.clip_by_value", "", ""),
    ("tf.clip_by_norm", "", ""),
    ("tf.clip_by_global_norm", "", ""),
    ("layers.SimpleRNNCell", "", ""),
    ("layers.SimpleRNN", "", ""),
    ("layers.Embedding", "", ""),
    ("layers.LSTMCell", "", ""),
    ("layers.LSTM", "", ""),
    ("layers.GRUCell", "", ""),
    ("layers.GRU", "", ""),
)


@dataclasses.dataclass(frozen=True)
class ApiRow:
    """A call as the course documents it, and what the installed packages have.

    Args:
        call: The documented name, such as `"tf.losses.MSE"`.
        arguments: The arguments that the course names.
        lesson: The lesson whose example makes the call, or an empty text.
        state: `"same name"`, `"renamed"` or `"gone"`.
        today: The name that works today, or an empty text.
        missing: Arguments that the installed version no longer takes.
        unused: Arguments that the course names and that example does not pass.
    """

    call: str
    arguments: tuple
    lesson: str
    state: str
    today: str
    missing: tuple
    unused: tuple = ()


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


def calls_of(source, function="example"):
    """The calls that a function of a program makes, read from the syntax tree; nothing is imported or run.

    Args:
        source: Text of a Python file.
        function: Name of a function at its top level.

    Returns:
        List of `(name, positional, keywords)`: the full name, such as `"keras.layers.GRUCell"`, or `".fit"` for a
        method of some object; the number of positional arguments; the names of the others. An assignment to an
        attribute stands there as `(".learning_rate", 0, ())`. Without such a function the list is empty.
    """
    tree = ast.parse(source)
    body = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == function]
    imported = _imported(tree)
    calls = []
    for node in (node for each in body for node in ast.walk(each)):
        if isinstance(node, ast.Call):
            name = _full_name(node.func, imported)
            calls.append((name, len(node.args), tuple(each.arg for each in node.keywords if each.arg)))
        elif isinstance(node, ast.Assign):
            calls += [(f".{each.attr}", 0, ()) for each in node.targets if isinstance(each, ast.Attribute)]
    return calls


def _imported(tree):
    """`{name in the file: full name}` of what a file imports."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for each in node.names:  # `import a.b` binds a, `import a.b as c` binds c to a.b
                first = each.name.partition(".")[0]
                names[each.asname or first] = each.name if each.asname else first
        elif isinstance(node, ast.ImportFrom):
            names |= {each.asname or each.name: f"{node.module}.{each.name}" for each in node.names}
    return names


def _full_name(function, imported):
    """`"tensorflow.nn.conv2d"` for what begins with an import, `".fit"` for a method of anything else."""
    parts = ast.unparse(function).split(".")
    if parts[0] in imported:
        return ".".join([imported[parts[0]], *parts[1:]])
    return "." + parts[-1] if isinstance(function, ast.Attribute) else parts[-1]


def _spellings(call):
    """The names under which `calls_of` may find a documented call."""
    first, *rest = call.split(".")
    name = ".".join([ROOTS[first], *rest])
    names = {name, name.replace("tensorflow.keras.", "keras."), name.replace("keras.", "tensorflow.keras.", 1)}
    owner, _, last = call.rpartition(".")
    return names | ({"." + last} if owner == "model" or owner[owner.rfind(".") + 1 :][:1].isupper() else set())


def _parameters(call):
    """Names of a call's parameters in order, without `self`."""
    found = _resolve(call)
    names = [*inspect.signature(found).parameters] if callable(found) else []
    return names[names[:1] == ["self"] :]


def covered(call, arguments, calls, today=""):
    """Which of the named arguments a documented call is given among the calls of a program.

    Args:
        call: Documented name, such as `"layers.Dense"`, `"model.fit"` or `"optimizers.Optimizer.learning_rate"`.
        arguments: Names of arguments that the course names.
        calls: As `calls_of` returns them.
        today: Another name under which the call may be made.

    Returns:
        The arguments passed in some call, as a set; None if the call is not made at all.
    """
    found = None
    for name in filter(None, (call, today)):
        for made, positional, keywords in calls:
            if made in _spellings(name):
                passed = {*keywords, *_parameters(name)[:positional]}
                found = (found or set()) | (passed & set(arguments))
    return found


def api_table(sources=None):
    """Every call that the course documents, looked up in the installed packages and in the lessons' examples.

    Args:
        sources: Dictionary from a lesson's name to the text of its file; None for this course's own.

    Returns:
        List of `ApiRow`, in the order of the course. Of several examples that make a call, the row names the first that
        passes most of the arguments.
    """
    made = {lesson: calls_of(source) for lesson, source in (_course() if sources is None else sources).items()}
    rows = []
    for call, arguments, today in DOCUMENTED:
        arguments = tuple(arguments.split())
        state, name, missing = api_state(call, arguments, today)
        other = today if state == "renamed" else ""
        passed = {lesson: covered(call, arguments, calls, other) for lesson, calls in made.items()}
        passed = {lesson: names for lesson, names in passed.items() if names is not None}
        lesson = max(passed, key=lambda each: len(passed[each]), default="")
        unused = tuple(each for each in arguments if each not in passed.get(lesson, ()))
        rows.append(ApiRow(call, arguments, lesson, state, name, missing, unused))
    return rows


def _course():
    """`{lesson: text of its file}`, in the order of the course; empty where the course is not installed."""
    sources, package = {}, importlib.util.find_spec("kerasnotes")
    folders = package.submodule_search_locations if package else []
    for path in sorted(path for each in folders for path in Path(each).glob("chapter[0-9][0-9]/__init__.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "LESSONS":
                for name in ast.literal_eval(node.value):
                    sources[f"{path.parent.name}.{name}"] = path.with_name(f"{name}.py").read_text(encoding="utf-8")
    return sources


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


def example():
    """Is a call of 2020 still there, does it take the arguments, and does a program make it?"""
    for call, arguments in (("tf.nn.dropout", ("rate", "keep_prob")), ("tf.placeholder", ()), ("layers.GRUCell", ())):
        print(call, *api_state(call, arguments))
    program = "from tensorflow.keras import layers\ndef example():\n    layers.Dense(1, kernel_regularizer='l2')"
    calls = calls_of(program)
    print(calls, "give layers.Dense", covered("layers.Dense", ("kernel_regularizer", "kernel_initializer"), calls))


def lesson(report):
    """Look up every documented call in the installed packages and in the lessons' examples.

    Args:
        report: The report to write to.
    """
    rows = api_table()
    renamed = [row for row in rows if row.state == "renamed"]
    tables = {
        "arguments and state of the documented calls": (
            ["call", "arguments named", "state"],
            [[row.call, ", ".join(row.arguments), " without ".join([row.state, *row.missing])] for row in rows],
        ),
        "renamed calls": (["documented", "today"], [[row.call, row.today] for row in renamed]),
        "the example that makes each call": (
            ["call", "lesson"],
            [[row.call, row.lesson] for row in rows],
        ),
    }
    for title, (columns, cells) in tables.items():
        if cells:
            report.table(title, columns, cells)
    alive = sum(row.state != "gone" for row in rows)
    report.check("documented calls that can still be made, by some name", got=alive, want=len(rows))
    report.check("arguments that the course names and that are gone", got=sum(len(row.missing) for row in rows), want=0)
    kept = [row.state for row in rows if ".losses." not in row.call]
    report.check("outside the losses every name is the same", kept, ["same name"] * len(kept))
    shown = sum(bool(row.lesson) and not row.unused for row in rows)
    report.note(f"{shown} of {len(rows)} calls are made in an example with every argument that the course names.")
    for row in rows:
        if row.unused:
            report.note(f"{row.call}: {row.lesson} does not pass {', '.join(row.unused)}.")
    report.figure("what became of the calls", *_figure(rows))


def _figure(rows):
    states = ("same name", "renamed", "gone")
    numbers = [sum(row.state == state for row in rows) for state in states]
    figure, ax = plots.subplots(figsize=(6, 4))
    ax.bar(states, numbers, color=["C0", "C2", "C1"])
    for x, number in enumerate(numbers):
        ax.text(x, number, str(number), ha="center", va="bottom")
    ax.set(ylabel="calls that the course documents")
    ax.set_title("Most names have outlived five years")
    words = ("have the same name", "are renamed", "are gone")
    parts = [f"{number} {word}" for number, word in zip(numbers, words, strict=True)]
    return figure, f"Of {len(rows)} documented calls, {', '.join(parts)}."
