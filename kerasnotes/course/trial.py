"""Tries an answer against ours on the same inputs, and says in the learner's terms where the two first differ.

A task's check calls `trial.equal`, `trial.gradient` and what a lesson's report has; everything lands in a report. Where
values differ, they are compared with those of answers that learners typically give: the one that gives the same values
is what the learner wrote, and its message says what is wrong with it.
"""

import copy
import inspect
import linecache
import random
import re
import sys
from pathlib import Path

import numpy as np

from kerasnotes.course.render import number
from kerasnotes.course.report import FAILED, PASSED, SKIPPED

SHOWN_NUMBERS = 12  # inputs and values up to this size are printed whole
SHOWN_LETTERS = 300  # of an exception's message
WEIGHTS_SEED = 8  # the gradient of a plain sum misses mistakes that a weighted sum shows


class Trial:
    """One answer under judgement.

    Args:
        answer: The learner's function or class.
        reference: Ours.
        wrong: Pairs of a function that gives a wrong answer and its message.
        report: The `Report` to write to.
        files: Names of the files that the learner wrote, for the lines where exceptions came from.
        seed: Of `rng`.
    """

    def __init__(self, answer, reference, wrong, report, files=(), seed=0):
        self.answer, self.reference, self.report = answer, reference, report
        self.rng = np.random.default_rng(seed)
        self._wrong, self._files = tuple(wrong), frozenset(files)
        self._failed = {}  # kind -> the record of the first failure
        self._suspects = None  # wrong answers that gave the learner's values so far, once something failed

    def equal(self, label, *inputs, rtol=1e-5, atol=1e-6, call=None, **keywords):
        """Call both functions on equal copies of the inputs and compare what they return.

        Args:
            label: What is compared, for the learner.
            inputs: Positional arguments.
            rtol, atol: Tolerances.
            call: Function `(answer, *inputs, **keywords)` that uses the answer; by default it is just called.
            keywords: Further arguments.

        Returns:
            True if they agree. After a first failure nothing is called any more but to find out what is wrong.
        """
        names = _names(self.answer, inputs, call)

        def values(function):
            return self._call(function, inputs, call, keywords)

        def compare(got, want, alike=False):
            return difference(got, want, rtol, atol, alike=alike)

        return self._compare("equal", label, values, compare, _inputs_line(names, inputs, keywords), rtol, atol)

    def gradient(self, label, *inputs, of=(0,), rtol=1e-4, atol=1e-5, call=None, **keywords):
        """Compare the gradients of a fixed random weighted sum of what is returned, by the inputs at the places `of`.

        Args, Returns: As for `equal`; an input at one of the places may be a list of tensors.
        """
        names = _names(self.answer, inputs, call)

        def slopes(function):
            return self._slopes(function, inputs, of, call, keywords)

        def compare(got, want, alike=False):
            if (problem := difference(got[0], want[0], rtol, atol, alike=alike)) is not None:
                return ["the values already differ:", *problem]
            for name, ours, theirs in zip([names[place] for place in of], want[1], got[1], strict=True):
                if (problem := _gradient_difference(name, theirs, ours, rtol, atol, alike)) is not None:
                    return problem
            return None

        return self._compare("gradient", label, slopes, compare, _inputs_line(names, inputs, keywords), rtol, atol)

    def check(self, label, got, want, *, rtol=None, atol=None):
        """As `Report.check`."""
        return self.report.check(label, got, want, rtol=rtol, atol=atol)

    def at_least(self, label, got, bound):
        """As `Report.at_least`."""
        return self.report.at_least(label, got, bound)

    def at_most(self, label, got, bound):
        """As `Report.at_most`."""
        return self.report.at_most(label, got, bound)

    def stopped(self, error):
        """Record that the check itself could not go on, because of an exception that no comparison has caught."""
        if self._failed:
            return  # what failed before explains it
        lines = exception_lines(error, self._files)
        if not _learners_frames(error, self._files):
            lines = ["what your code returned could not be used:", *lines]
        add_check(self.report, "the other checks", FAILED, reason="an exception", detail=lines)

    def _compare(self, kind, label, values, compare, inputs_line, rtol, atol):
        tolerances = {"rtol": rtol, "atol": atol}
        if kind in self._failed or "equal" in self._failed:
            self._narrow(values, compare)
            add_check(self.report, label, SKIPPED, reason="not reached", **tolerances)
            return False
        want = values(self.reference)
        try:
            got = values(self.answer)
        except (Exception, SystemExit) as error:
            self._suspects = ()
            problem, reason = exception_lines(error, self._files), "an exception"
        else:
            problem, reason = compare(got, want), "differs"
        if problem is None:
            add_check(self.report, label, PASSED, **tolerances)
            return True
        detail = [line for line in (inputs_line, *problem) if line is not None]
        self._failed[kind] = add_check(self.report, label, FAILED, reason=reason, detail=detail, **tolerances)
        self._narrow(values, compare)
        return False

    def _narrow(self, values, compare):
        """Keep the wrong answers whose values equal the learner's here, until one is left."""
        if self._suspects is None:
            suspects = self._wrong
        elif len(self._suspects) > 1:
            suspects = self._suspects
        else:
            return
        try:
            got = values(self.answer)
            kept = [pair for pair in suspects if _same(pair[0], values, compare, got)]
        except (Exception, SystemExit):
            return
        if kept or self._suspects is None:
            self._suspects = tuple(kept)
        if self._suspects:
            next(iter(self._failed.values()))["diagnosis"] = self._suspects[0][1]

    @staticmethod
    def _call(function, inputs, call, keywords):
        _set_seeds()
        inputs, keywords = _copied(list(inputs)), _copied(keywords)
        return function(*inputs, **keywords) if call is None else call(function, *inputs, **keywords)

    @staticmethod
    def _slopes(function, inputs, of, call, keywords):
        import tensorflow as tf

        inputs, keywords = _copied(list(inputs)), _copied(keywords)
        for place in of:
            inputs[place] = tf.nest.map_structure(tf.convert_to_tensor, inputs[place])
        sources = [inputs[place] for place in of]
        weights = np.random.default_rng(WEIGHTS_SEED)
        _set_seeds()
        with tf.GradientTape() as tape:
            tape.watch(tf.nest.flatten(sources))
            result = function(*inputs, **keywords) if call is None else call(function, *inputs, **keywords)
            total = tf.zeros((), tf.float64)
            for part in tf.nest.flatten(result):
                part = None if part is None else tf.convert_to_tensor(part)
                if part is not None and part.dtype.is_floating:
                    total += tf.reduce_sum(tf.cast(part, tf.float64) * weights.normal(size=part.shape))
        slopes = tape.gradient(total, tf.nest.flatten(sources))
        dense = [None if slope is None else tf.convert_to_tensor(slope) for slope in slopes]
        return result, [_packed(source, dense) for source in sources]


def add_check(report, label, status, *, reason=None, detail=(), rtol=None, atol=None):
    """Record a check with the lines that explain it to the learner. Returns the record."""
    record = {
        "kind": "check", "label": str(label), "relation": "equals", "status": status, "trained": False,
        "rtol": rtol, "atol": atol, "got": None, "want": None, "difference": None, "reason": reason,
        "detail": list(detail), "diagnosis": None,
    }  # fmt: skip
    report.records.append(record)
    return record


# --- comparing -------------------------------------------------------------------------------------------------------


def difference(got, want, rtol, atol, *, alike=False, place=""):
    """Where two values first differ.

    Args:
        got, want: Numbers, texts, arrays, tensors, None, or lists, tuples and dictionaries of them.
        rtol, atol: Tolerances; nothing ever broadcasts.
        alike: Whether NaN equals NaN, to find out whether two wrong answers are the same.
        place: Where in a larger value these two stand.

    Returns:
        None if they agree, else lines of text for the learner.
    """
    at = f" at {place}" if place else ""
    if isinstance(want, dict):
        if not isinstance(got, dict) or got.keys() != want.keys():
            found = f"the keys {', '.join(map(str, got))}" if isinstance(got, dict) else _what(got)
            return [f"expected a dictionary with the keys {', '.join(map(str, want))}{at}, got {found}"]
        items = [(got[key], want[key], f"{place}[{key!r}]") for key in want]
        return _first_difference(items, rtol, atol, alike)
    if isinstance(want, (list, tuple)) and not (_is_array(got) and _as_array(want) is not None):
        if not isinstance(got, (list, tuple)) or len(got) != len(want):
            return [f"expected {_what(want)}{at}, got {_what(got)}"]
        items = [(g, w, f"{place}[{i}]") for i, (g, w) in enumerate(zip(got, want, strict=True))]
        return _first_difference(items, rtol, atol, alike)
    if want is None or isinstance(want, (str, bytes)):
        same = got is None if want is None else isinstance(got, type(want)) and got == want
        return None if same else [f"expected {_what(want)}{at}, got {_what(got)}"]
    right = _as_array(want)
    if right is None:
        raise TypeError(f"a trial compares numbers, texts, arrays and lists of them, not {type(want).__name__}")
    if right.dtype.kind in "fc" and np.isnan(right).any() and not alike:
        raise ValueError("the reference gives NaN on these inputs")
    if got is None:
        return [f"expected {_what(want)}{at}, got None: is it still to be written, or is a return missing?"]
    left = None if isinstance(got, (list, tuple, str)) and right.ndim else _as_array(got)
    if left is None or left.dtype.kind == "U" != right.dtype.kind:
        return [f"expected {_what(want)}{at}, got {_what(got)}"]
    if left.shape != right.shape:
        return [f"shape{at}: expected {right.shape}, got {left.shape}"]
    return _number_difference(left, right, rtol, atol, alike, place)


def _first_difference(items, rtol, atol, alike):
    found = (difference(got, want, rtol, atol, alike=alike, place=place) for got, want, place in items)
    return next((lines for lines in found if lines is not None), None)


def _number_difference(got, want, rtol, atol, alike, place):
    if want.dtype.kind in "US":
        differs = got != want
    else:
        if got.dtype.kind not in "c" and want.dtype.kind not in "c":
            got, want = got.astype(np.float64), want.astype(np.float64)
        with np.errstate(invalid="ignore"):
            close = np.abs(got - want) <= atol + rtol * np.abs(want)
        # ∞ − ∞ is NaN, and |x − ∞| ≤ ∞ holds for every x: where one of the two is not finite, only equal ones agree.
        close = np.where(np.isfinite(want) & np.isfinite(got), close, got == want)
        differs = ~(close | (alike & np.isnan(got) & np.isnan(want)))
    if not differs.any():
        return None
    first = tuple(int(i) for i in np.argwhere(differs)[0])
    where = f"{place}{list(first)}" if first else place
    pair = [_digits(each[first]) for each in (want, got)]
    if pair[0] == pair[1]:
        pair = [repr(each[first].item()) for each in (want, got)]
    head = f"first difference at {where}: " if where else ""
    lines = [f"{head}expected {pair[0]}, got {pair[1]}"]
    if 1 < got.size <= SHOWN_NUMBERS:
        lines += [f"expected {_shown(want)}", f"got      {_shown(got)}"]
    elif got.size > 1:
        lines[0] += f" ({int(differs.sum())} of {got.size} differ)"
    return lines


def _gradient_difference(name, got, want, rtol, atol, alike):
    """As `difference`, for the gradients by one input; None stands for a gradient that does not exist."""
    got, want = (list(each) if isinstance(each, (list, tuple)) else [each] for each in (got, want))
    for place, (theirs, ours) in enumerate(zip(got, want, strict=True)):
        each = f"{name}[{place}]" if len(want) > 1 else name
        if theirs is None and ours is not None and np.any(ours.numpy()):
            return [f"the values are right, the gradient is not: no gradient flows to {each}"]
        if theirs is None or (ours is None and not np.any(theirs.numpy())):
            continue
        ours = np.zeros(theirs.shape) if ours is None else ours
        if (problem := difference(theirs, ours, rtol, atol, alike=alike)) is not None:
            return [f"the values are right, the gradient by {each} is not:", *problem]
    return None


def _same(function, values, compare, got):
    try:
        return compare(values(function), got, alike=True) is None
    except (Exception, SystemExit):
        return False  # a wrong answer that cannot take these inputs is not what the learner wrote


# --- calling ---------------------------------------------------------------------------------------------------------


def _set_seeds():
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 -- the learner's code may draw from it
    if "tensorflow" in sys.modules:
        sys.modules["tensorflow"].random.set_seed(0)


def _copied(value):
    """A copy that the learner may change; what cannot change, and functions, are passed as they are."""
    if isinstance(value, list):
        return [_copied(each) for each in value]
    if type(value) is tuple:
        return tuple(_copied(each) for each in value)
    if isinstance(value, dict):
        return {key: _copied(each) for key, each in value.items()}
    if hasattr(value, "numpy") and not hasattr(value, "assign"):
        return value
    return copy.deepcopy(value)


def _packed(structure, flat):
    """Take as many items off `flat` as the structure has, in its form: a list for a list, one item for a tensor."""
    import tensorflow as tf

    items = [flat.pop(0) for _ in tf.nest.flatten(structure)]
    return items if isinstance(structure, (list, tuple, dict)) else items[0]


# --- in words --------------------------------------------------------------------------------------------------------


def exception_lines(error, files):
    """An exception as lines for the learner: what it says, and the line of their file where it came up."""
    if isinstance(error, SystemExit):
        lines = ["your program ended itself with sys.exit or exit(): leave that out"]
    else:
        message = re.sub(r"\{\{.*?\}\}|\[Op:\w+\]( name:)?", "", str(error))  # TensorFlow's own marks
        message = " ".join(message.split())
        if len(message) > SHOWN_LETTERS:
            message = message[:SHOWN_LETTERS] + " …"
        lines = [f"{type(error).__name__}: {message}" if message else type(error).__name__]
    frames = _learners_frames(error, files)
    if frames:
        name, line = frames[-1]
        lines.append(line_text(name, line))
    return lines


def line_text(name, line):
    """`"in line 14 of exercise_08_2.py: return x @ y"`; a notebook's cells have no names that anybody knows."""
    text = linecache.getline(name, line).strip()
    place = "the cell" if "ipykernel" in name or name.startswith("<ipython") else Path(name).name
    return f"in line {line} of {place}" + (f": {text}" if text else "")


def _learners_frames(error, files):
    frames, trace = [], error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename in files:
            frames.append((trace.tb_frame.f_code.co_filename, trace.tb_lineno))
        trace = trace.tb_next
    return frames


def _names(function, inputs, call):
    """The names of the positional arguments, as the learner's function has them, or what calls it: that one first."""
    names, _ = _positional(function)
    if call is not None:
        (_, *own), passed_on = _positional(call)
        names = own + names[len(own) :] if passed_on else own
    return [names[i] if i < len(names) else f"input {i + 1}" for i in range(len(inputs))]


def _positional(function):
    """`(names of the positional arguments, whether *others follow)`."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return [], False
    names = [each.name for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    return names, any(each.kind == each.VAR_POSITIONAL for each in parameters)


def _inputs_line(names, inputs, keywords):
    """The inputs in one line: whole if they are small, else their shapes; None if there are none."""
    pairs = [*zip(names, inputs, strict=True), *keywords.items()]
    small = sum(_count(value) for _, value in pairs) <= SHOWN_NUMBERS
    texts = [
        f"{name} = {_shown(value)}" if small or _count(value) <= 1 else f"{name}: {_what(value)}"
        for name, value in pairs
        if not callable(value)
    ]
    return "inputs: " + ", ".join(texts) if texts else None


def _count(value):
    if isinstance(value, (list, tuple)):
        return sum(map(_count, value))
    if isinstance(value, dict):
        return sum(map(_count, value.values()))
    array = _as_array(value)
    return 0 if array is None else array.size


def _shown(value):
    """A small value, whole."""
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_shown, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {_shown(each)}" for key, each in value.items()) + "}"
    if value is None or isinstance(value, str):
        return repr(value)
    array = _as_array(value)
    if array is None:
        return _what(value)
    return _shown(array.tolist()) if array.ndim else _digits(array[()])


def _digits(value):
    value = value.item() if isinstance(value, np.generic) else value
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _what(value):
    """What kind of value it is, with its shape."""
    if value is None or isinstance(value, (str, bool, int, float)):
        return number(value) if isinstance(value, float) else repr(value)
    if isinstance(value, (list, tuple)):
        kind = "list" if isinstance(value, list) else "tuple"
        inner = ", ".join(str(tuple(each.shape)) for each in value[:4] if _is_array(each))
        return f"a {kind} of {len(value)}" + (f", shapes {inner}" if inner else "")
    if isinstance(value, dict):
        return f"a dictionary with the keys {', '.join(map(str, value))}"
    if _is_array(value):
        return f"an array of shape {tuple(value.shape)}" if len(value.shape) else "a number"
    return f"a {type(value).__name__}"


def _is_array(value):
    return hasattr(value, "shape") and hasattr(value, "dtype")


def _as_array(value):
    """The value as an array of numbers or texts, or None if it is none."""
    if "tensorflow" in sys.modules and isinstance(value, sys.modules["tensorflow"].IndexedSlices):
        value = sys.modules["tensorflow"].convert_to_tensor(value)
    try:
        array = np.asarray(value.numpy() if hasattr(value, "numpy") else value)
    except (ValueError, TypeError, NotImplementedError, AttributeError):
        return None
    if array.dtype.name.startswith(("bfloat16", "float8")):
        array = array.astype(np.float32)
    return array if array.dtype.kind in "biufcUS" else None
