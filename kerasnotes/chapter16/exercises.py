"""The tasks of chapter 16: asking the installed packages, reading programs, and counting checks honestly."""

import ast
import inspect
import re

from kerasnotes.course.tasks import Mend, Predict, Value, Write, Wrong

# --- 16.1 Names of years ago ------------------------------------------------------------------------------------


def _there(*calls):
    from kerasnotes.chapter16.documented_calls import api_state

    return [int(api_state(call)[0] == "same name") for call in calls]


def _taken(call, *arguments):
    from kerasnotes.chapter16.documented_calls import api_state

    missing = api_state(call, arguments)[2]
    return [int(argument not in missing) for argument in arguments]


names = Predict(
    title="Names of years ago",
    lesson="chapter16.documented_calls",
    minutes=10,
    text=r"""Programs of TensorFlow 2.3 write `tf.losses.MSE` and `tf.keras.losses.mean_squared_error` for one and the
same loss; `tf.placeholder` is older still. Which of the three, in this order, does the installed TensorFlow
have? Thinking does not tell: guess, then try them. (1 for yes, 0 for no.) Then look at the arguments `units`,
`name` and `colour` of `layers.Dense`: which of them does its signature name? Its last parameter is the
catch-all `**kwargs`, and what only that would swallow counts as 0.""",
    hints=(
        "Ask the installed version: `hasattr(tf.losses, 'MSE')`, and so on for each name.",
        "The loss has its short name in `tf.keras.losses`, which is `tf.losses`; its long name in `keras.losses`.",
        "`inspect.signature(keras.layers.Dense)` lists the parameters. `Dense(4, name='x')` works all the same: the "
        "catch-all hands `name` on to the class below.",
    ),
    values=(
        Value(
            "still_there",
            "1 or 0 for tf.losses.MSE, tf.keras.losses.mean_squared_error, tf.placeholder, a list",
            want=lambda: _there("tf.losses.MSE", "tf.keras.losses.mean_squared_error", "tf.placeholder"),
            rtol=0.0,
            wrong=(
                (lambda: [1, 1, 0], "one of the two names of the loss is gone: try both"),
                (lambda: [0, 1, 0], "the other way round: ask for both names"),
                (lambda: [1, 0, 1], "`tf.placeholder` went with TensorFlow 1: only tf.compat.v1 still has it"),
                (lambda: [0, 0, 0], "one of the two names of the loss is still there"),
                (lambda: [1, 1, 1], "two of them are gone"),
            ),
        ),
        Value(
            "named_by_dense",
            "1 or 0 for the arguments units, name, colour of layers.Dense, a list",
            want=lambda: _taken("layers.Dense", "units", "name", "colour"),
            rtol=0.0,
            wrong=(
                (
                    lambda: [1, 1, 0],
                    "`name` is accepted, but only through the catch-all: the signature does not name it",
                ),
                (lambda: [1, 1, 1], "a catch-all would swallow any name: it does not count"),
                (lambda: [0, 0, 0], "`units` is the first parameter of all"),
            ),
        ),
    ),
    solution_code="""import inspect

import keras
import tensorflow as tf

still_there = [
    int(hasattr(tf.losses, "MSE")),
    int(hasattr(tf.keras.losses, "mean_squared_error")),
    int(hasattr(tf, "placeholder")),
]
# `name` works, since **kwargs hands it on to the class below; a signature alone does not promise that.
named = inspect.signature(keras.layers.Dense).parameters
named_by_dense = [int(argument in named) for argument in ("units", "name", "colour")]
""",
)

# --- 16.2 Does it take that argument? -------------------------------------------------------------------------------

_CATCH_ALLS = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def _any_name_of(function, argument):
    return argument in inspect.signature(function).parameters


def _catch_all_counts(function, argument):
    parameters = inspect.signature(function).parameters
    if any(each.kind == inspect.Parameter.VAR_KEYWORD for each in parameters.values()):
        return True
    return argument in parameters and parameters[argument].kind not in _CATCH_ALLS


def _variables_count(function, argument):
    function = function.__init__ if inspect.isclass(function) else function
    return argument in function.__code__.co_varnames


def _only_with_default(function, argument):
    parameter = inspect.signature(function).parameters.get(argument)
    return parameter is not None and parameter.kind not in _CATCH_ALLS and parameter.default is not parameter.empty


def _only_by_position(function, argument):
    parameter = inspect.signature(function).parameters.get(argument)
    return parameter is not None and parameter.kind == inspect.Parameter.POSITIONAL_OR_KEYWORD


def _text_contains(function, argument):
    return argument in str(inspect.signature(function))


def _turned(function, argument):
    parameters = inspect.signature(function).parameters
    return not (argument in parameters and parameters[argument].kind not in _CATCH_ALLS)


def _asked(takes, program, *arguments):
    """What a function says of the arguments of the one thing that a program defines."""
    space = {}
    exec(program, space)
    defined = next(value for name, value in space.items() if name != "__builtins__")
    return [takes(defined, argument) for argument in arguments]


def _check_takes(trial):
    import keras

    trial.equal("arguments x and y", "def double(x): return 2 * x", "x", "y", call=_asked)
    program = "def scale(x, factor=2, **kwargs): return x * factor"
    trial.equal("with a catch-all", program, "x", "factor", "colour", "kwargs", call=_asked)
    program = "def total(*values, start=0):\n    result = start + sum(values)\n    return result"
    trial.equal("a variable is no argument", program, "values", "start", "result", call=_asked)
    program = "def shift(inputs, by, *, axis): return inputs"
    trial.equal("one that is only given by name", program, "inputs", "by", "axis", "input", call=_asked)
    program = "class Layer:\n    def __init__(self, units, **options): pass"
    trial.equal("a class", program, "self", "units", "options", "name", call=_asked)
    got = [trial.answer(keras.layers.Dense, argument) for argument in ("units", "kernel_regularizer", "colour")]
    trial.check("keras.layers.Dense takes units and kernel_regularizer, but no colour", got, [True, True, False])


takes = Write(
    title="Does it take that argument?",
    lesson="chapter16.documented_calls",
    minutes=10,
    text=r"""Write a function that says whether another function (or a class, when it is called) takes an argument by
its own name, without calling it. What only a catch-all such as `*args` or `**kwargs` would swallow is not
taken, and neither is the catch-all's own name.""",
    start='''import inspect


def takes(function, argument):
    """Whether a function names an argument in its signature.

    Args:
        function: A function or a class.
        argument: Text, the argument's name.

    Returns:
        True or False.
    """
    ...
''',
    name="takes",
    solution_code="""import inspect


def takes(function, argument):
    parameter = inspect.signature(function).parameters.get(argument)
    catch_alls = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return parameter is not None and parameter.kind not in catch_alls
""",
    hints=(
        "`inspect.signature(function).parameters` is a dictionary from names to parameters, of a class without `self`.",
        "So `argument in …parameters` is nearly it. What does it say to `'kwargs'` if there is a `**kwargs`?",
        "Each parameter has a `kind`; those of catch-alls are `inspect.Parameter.VAR_POSITIONAL` and `VAR_KEYWORD`.",
        "It is there, and its kind is neither of the two.",
    ),
    check=_check_takes,
    wrong=(
        Wrong(_any_name_of, "the catch-all's own name was counted: look at each parameter's `kind`"),
        Wrong(_catch_all_counts, "a catch-all swallows any name, a misspelt one, too: it does not count"),
        Wrong(_only_with_default, "an argument without a default is one, too"),
        Wrong(_only_by_position, "an argument that is only given by name (after `*`) is one, too"),
        Wrong(_text_contains, "a part of the signature's text is no name: `input` is not `inputs`"),
        Wrong(_turned, "True and False are exchanged"),
        Wrong(_variables_count, "variables inside the function and `self` are no arguments: ask the signature"),
    ),
)

# --- 16.3 Which calls does a program make? --------------------------------------------------------------------------


def _example_of(source):
    return [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef) and node.name == "example"]


def _calls_in(nodes):
    return [ast.unparse(node.func) for each in nodes for node in ast.walk(each) if isinstance(node, ast.Call)]


def _calls_of_file(source):
    return sorted(set(_calls_in([ast.parse(source)])))


def _calls_twice(source):
    return sorted(_calls_in(_example_of(source)))


def _calls_unsorted(source):
    return list(dict.fromkeys(_calls_in(_example_of(source))))


def _calls_on_the_surface(source):
    statements = [each for node in _example_of(source) for each in node.body if isinstance(each, ast.Expr)]
    return sorted({ast.unparse(each.value.func) for each in statements if isinstance(each.value, ast.Call)})


def _last_names(source):
    return sorted({name.rpartition(".")[2] for name in _calls_in(_example_of(source))})


def _calls_in_text(source):
    text = source[source.index("def example") :]
    return sorted(set(re.findall(r"([\w.]+)\(", text)) - {"example"})


def _calls_with_arguments(source):
    calls = (node for each in _example_of(source) for node in ast.walk(each) if isinstance(node, ast.Call))
    return sorted({ast.unparse(node) for node in calls})


def _check_calls(trial):
    from kerasnotes.chapter16.documented_calls import calls_of

    trial.equal("one call", "def example():\n    print(max(1, 2))")
    program = "import keras\n\ndef example():\n    layer = keras.layers.Dense(4)\n    print(layer(2), layer(3))\n"
    trial.equal("a layer that is made and called twice", program)
    trial.equal("another function beside it", program + "\ndef other():\n    return min(1, 2)\n")
    comment = "def example():\n    # old: tf.placeholder(x)\n    print('call sum(x)', abs(-1))\n"
    trial.equal("a comment and a text that look like calls", comment)
    got = trial.answer(program)
    want = sorted({name.removeprefix(".") for name, _, _ in calls_of(program)})
    trial.check("as many different calls as the lesson's function finds", got=len(got), want=len(want))


calls = Write(
    title="Which calls does a program make?",
    lesson="chapter16.documented_calls",
    minutes=15,
    text=r"""Write a function that reads from a program's text which calls its function `example` makes, without
importing or running anything: read the syntax tree. A call is listed as it is written before its bracket,
such as `keras.layers.Dense` or `model.fit`, each one once, in the order of `sorted`.""",
    start='''import ast


def calls_of_example(source):
    """The calls that the function `example` of a program makes.

    Args:
        source: Text of a Python program that defines `example` at its top level.

    Returns:
        Sorted list of texts, each once: what stands before the bracket of a call.
    """
    ...
''',
    name="calls_of_example",
    solution_code="""import ast


def calls_of_example(source):
    found = set()
    for function in ast.parse(source).body:
        if isinstance(function, ast.FunctionDef) and function.name == "example":
            for node in ast.walk(function):  # every node below it, however deep
                if isinstance(node, ast.Call):
                    found.add(ast.unparse(node.func))
    return sorted(found)
""",
    hints=(
        "`ast.parse(source).body` is the list of statements at the top level; functions are `ast.FunctionDef` nodes.",
        "Find the one whose `name` is `'example'`; `ast.walk(node)` goes through all nodes below it, nested ones too.",
        "A call is an `ast.Call` node; what stands before its bracket is `node.func`, and `ast.unparse` makes it text.",
        "Collect the texts in a set, and return `sorted(…)` of it.",
    ),
    check=_check_calls,
    wrong=(
        Wrong(_calls_of_file, "calls of the whole file: only those inside `example` are asked for"),
        Wrong(_calls_twice, "each call once: collect them in a set"),
        Wrong(_calls_unsorted, "the calls are there, but not sorted"),
        Wrong(
            _calls_on_the_surface, "only statements that *are* calls: calls are also inside others and in assignments"
        ),
        Wrong(_last_names, "only the last part of each name: `keras.layers.Dense` is wanted as it is written"),
        Wrong(_calls_in_text, "the text was searched: comments and texts are no calls, the syntax tree knows"),
        Wrong(_calls_with_arguments, "the arguments belong to the call: only what stands before the bracket is wanted"),
    ),
)

# --- 16.4 Ten checks ------------------------------------------------------------------------------------------------


def _ten_checks(scale):
    from kerasnotes.course.report import Report

    report = Report(scale=scale)
    for number in range(10):
        report.check(f"check {number}", got=int(number != 9), want=1, trained=number >= 6)
    return list(report.counts.values())


ten = Predict(
    title="Ten checks",
    lesson="chapter16.summary",
    minutes=5,
    text=r"""A report holds ten checks. Six need no training and hold; of the four that need training, three would hold
and one would fail. How many are passed, failed and skipped at smoke scale, where nothing is really
trained, and how many at default scale?""",
    hints=(
        "What can a check say of a training that did not take place?",
        "At smoke scale a check that needs training is skipped, whatever its numbers are.",
        "In each list the three numbers add up to ten.",
    ),
    values=(
        Value(
            "smoke",
            "the list of passed, failed and skipped at smoke scale",
            want=lambda: _ten_checks("smoke"),
            rtol=0.0,
            wrong=(
                (lambda: [10, 0, 0], "skipped is not passed: where nothing was trained, nothing was shown"),
                (lambda: [9, 1, 0], "that is default scale: at smoke scale checks of training are skipped"),
                (lambda: [6, 1, 3], "the one that would fail is skipped as well"),
                (lambda: [6, 4, 0], "skipped is not failed, either"),
                (lambda: [9, 0, 1], "three that would hold are skipped as well: nobody has seen them hold"),
            ),
        ),
        Value(
            "default",
            "the list of passed, failed and skipped at default scale",
            want=lambda: _ten_checks("default"),
            rtol=0.0,
            wrong=(
                (lambda: [6, 0, 4], "that is smoke scale: at default scale everything is trained and judged"),
                (lambda: [10, 0, 0], "the one that would fail fails now"),
                (lambda: [9, 0, 1], "what fails is not skipped"),
            ),
        ),
    ),
    solution_code="""smoke = [6, 0, 4]  # the four that need training say nothing: neither passed nor failed
default = [6 + 3, 1, 0]
""",
)

# --- 16.5 Too good a summary ----------------------------------------------------------------------------------------

_ADD_UP = '''def add_up(reports):
    """Count the checks of each chapter.

    Args:
        reports: List of reports, each a dictionary such as
            {{"lesson": "chapter08.clipping", "records": [{{"kind": "check", "status": "passed"}}, …]}};
            a check's status is "passed", "failed" or "skipped"; other kinds of record, such as "note", have none.

    Returns:
        Dictionary from the chapter's name, such as "chapter08", to {{"passed": …, "failed": …, "skipped": …}}.
    """
    chapters = {{}}
    for report in reports:
        chapter = {chapter}
        counts = chapters.setdefault(chapter, {{"passed": 0, "failed": 0, "skipped": 0}})
        for record in report["records"]:
{count}
    return chapters


def line_of(chapter, counts):
    checks = sum(counts.values())
    return f"{{chapter}}: {{counts['passed']}} of {{checks}} checks hold"
'''
_CHAPTER = 'report["lesson"].partition(".")[0]'
_IF_CHECK = """            if record["kind"] == "check":
"""


def _adding(count, chapter=_CHAPTER):
    return _ADD_UP.format(count=count, chapter=chapter)


_FAILED_OR_NOT = _adding(
    _IF_CHECK + '                counts["failed" if record["status"] == "failed" else "passed"] += 1'
)
_PASSED_OR_NOT = _adding(
    _IF_CHECK + '                counts["passed" if record["status"] == "passed" else "failed"] += 1'
)
_EVERY_RECORD = _adding('            counts[record.get("status", "passed")] += 1')
_NO_SKIPPED = _adding(
    '            if record["kind"] == "check" and record["status"] != "skipped":\n'
    '                counts[record["status"]] += 1'
)
_BY_LESSON = _adding(_IF_CHECK + '                counts[record["status"]] += 1', chapter='report["lesson"]')
_LAST_REPORT = _adding(_IF_CHECK + '                counts[record["status"]] += 1').replace(
    "chapters.setdefault(chapter, {", "chapters[chapter] = dict({"
)


def _report(lesson, *statuses):
    records = [{"kind": "check", "status": status} for status in statuses]
    return {"lesson": lesson, "records": [*records, {"kind": "note"}, {"kind": "figure"}]}


def _check_adding(trial):
    clipping = _report("chapter08.clipping", "passed", "passed", "failed", "skipped", "skipped", "skipped")
    trial.equal("two checks that hold, one that fails, three skipped, a note and a figure", [clipping])
    lessons = [clipping, _report("chapter08.gru", "passed"), _report("chapter09.translation", "failed", "skipped")]
    trial.equal("three lessons of two chapters", lessons)
    statuses = ("passed", "failed", "skipped")
    lessons = [
        _report(f"chapter{chapter:02d}.lesson{number}", *(statuses[k] for k in trial.rng.integers(3, size=5)))
        for chapter in range(1, 5)
        for number in range(chapter)
    ]
    trial.equal("ten lessons of four chapters", lessons)
    trial.check("without a report there is no chapter", got=len(trial.answer([])), want=0)


summary = Mend(
    title="Too good a summary",
    lesson="chapter16.summary",
    minutes=5,
    text=r"""This program adds up what the reports of a course say. A course that was only run at smoke scale, where
checks of training are skipped, comes out as one in which every check holds. Mend `add_up`.""",
    start=_FAILED_OR_NOT,
    name="add_up",
    solution_code=_adding(_IF_CHECK + '                counts[record["status"]] += 1  # three answers, not two'),
    hints=(
        "Count by hand for one report with a passed, a failed and a skipped check. Which number is wrong?",
        "Everything that did not fail counts as passed. How many answers can a check have?",
        "A check's status is the key under which it is counted: `counts[record['status']] += 1`.",
    ),
    check=_check_adding,
    wrong=(
        Wrong(_FAILED_OR_NOT, "skipped checks still count as passed: there are three answers"),
        Wrong(_PASSED_OR_NOT, "now skipped checks count as failed: they are neither"),
        Wrong(_EVERY_RECORD, "notes and figures were counted as checks that hold"),
        Wrong(_NO_SKIPPED, "skipped checks were left out: they are counted, under their own name"),
        Wrong(_BY_LESSON, "counted by lesson: the chapter is what stands before the dot"),
        Wrong(_LAST_REPORT, "each lesson begins its chapter's count anew: add them up"),
    ),
)

TASKS = (names, takes, calls, ten, summary)
