"""What a lesson records: checks, tables, figures, notes and corrections.

A report is append-only data. It prints nothing, opens nothing and knows no terminal; `course/render.py` turns it
into text, HTML or a notebook display, and `course/run.py` writes it to disk.
"""

import io
import math
import re
import sys
import tempfile
from pathlib import Path

import numpy as np

SCALES = ("smoke", "default", "full")
PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"
EXACT_KINDS = "biu"  # NumPy's kinds for booleans and integers: they are counted, so they must match exactly
SHOWN_ELEMENTS = 8  # arrays up to this size are recorded whole, larger ones by their worst element


class Report:
    """The record of one lesson's run.

    Args:
        lesson: Dotted name, for example `"chapter08.clipping"`.
        scale: `"smoke"`, `"default"` or `"full"`. At smoke scale trained checks are skipped, never passed.
        seed: The seed of the run.
        settings: The lesson's keyword arguments, as used.
        progress: Callable `(iterable, description) -> iterable` that shows progress; None is silent.
        show: True keeps figures open for an interactive window; otherwise `figure` closes them.
    """

    def __init__(self, lesson="lesson", *, scale="default", seed=0, settings=None, progress=None, show=False):
        if scale not in SCALES:
            raise ValueError(f"scale: expected one of {', '.join(SCALES)}, got {scale!r}")
        self.lesson, self.scale, self.seed = lesson, scale, seed
        self.settings = dict(settings or {})
        self.records = []
        self.images = {}  # file name -> bytes of a PNG or GIF
        self.error = None
        self._progress = progress
        self._show = show

    # --- what a lesson calls -------------------------------------------------------------------------------------

    def check(self, label, got, want, *, rtol=None, atol=None, trained=False):
        """Record that `got` equals `want` within `atol + rtol * |want|`, element by element.

        Numbers, arrays, tensors, and lists or dictionaries of them are compared; their shapes must agree.
        Integers, booleans and text must match exactly unless a tolerance is given; for other numbers `rtol` is 1e-5
        and `atol` 1e-6 by default. NaN and infinity never pass, on either side, nor does an empty comparison.

        Returns:
            True if the check holds; False otherwise (the run goes on).
        """
        for name, tolerance in (("rtol", rtol), ("atol", atol)):
            if tolerance is not None and not (math.isfinite(tolerance) and tolerance >= 0):
                raise ValueError(f"{name}: expected a finite number of at least 0, got {tolerance!r}")
        outcome = _compare(got, want, rtol, atol)
        return self._add_check(label, "equals", outcome, trained, rtol=rtol, atol=atol)

    def at_least(self, label, got, bound, *, trained=False):
        """Record that `got` (every element of it) is at least `bound`. Both must be finite."""
        return self._add_check(label, "at least", _against_bound(got, bound, 1.0), trained)

    def at_most(self, label, got, bound, *, trained=False):
        """Record that `got` (every element of it) is at most `bound`. Both must be finite."""
        return self._add_check(label, "at most", _against_bound(got, bound, -1.0), trained)

    def table(self, title, columns, rows):
        """Record a table. A column whose name speaks of seconds (`"ms a step"`, `"seconds"`) holds times, not results.

        Args:
            title: What the table shows.
            columns: Column names, with units.
            rows: One sequence per row, as long as `columns`; text, numbers, booleans or None.
        """
        columns = [str(column) for column in columns]
        rows = [[_plain(cell) for cell in row] for row in rows]
        for row in rows:
            if len(row) != len(columns):
                raise ValueError(f"rows: expected {len(columns)} cells as in columns, got {len(row)}: {row}")
        self.records.append({"kind": "table", "title": str(title), "columns": columns, "rows": rows})

    def figure(self, title, fig, alt):
        """Record a matplotlib figure as a PNG, or an animation as a GIF; the report takes it over and closes it.

        Args:
            title: What the figure shows.
            fig: A `matplotlib.figure.Figure`, or a `matplotlib.animation.Animation`.
            alt: What a reader who cannot see the figure should know of it.
        """
        if not str(alt).strip():
            raise ValueError(f"alt: expected a description of the figure {title!r}, got an empty text")
        animated = not hasattr(fig, "savefig")
        name = _file_name(title, self.images, "gif" if animated else "png")
        self.images[name] = _gif(fig) if animated else png_of(fig)
        fig = fig._fig if animated else fig
        self.records.append({"kind": "figure", "title": str(title), "alt": str(alt).strip(), "file": name})
        pyplot = sys.modules.get("matplotlib.pyplot")
        if pyplot is not None and not self._show:
            pyplot.close(fig)

    def note(self, text):
        """Record a remark, such as a deviation from the source."""
        self.records.append({"kind": "note", "text": " ".join(str(text).split())})

    def correction(self, topic, course, correct, shown_by):
        """Record a statement of the course's notes that is wrong, imprecise or out of date.

        Args:
            topic: What the statement is about.
            course: The statement as the course's notes have it.
            correct: The right form.
            shown_by: The computation that tells them apart.
        """
        texts = {"topic": topic, "course": course, "correct": correct, "shown_by": shown_by}
        for name, text in texts.items():
            if not str(text).strip():
                raise ValueError(f"{name}: expected a text, got {text!r}")
        self.records.append({"kind": "correction", **{name: str(text) for name, text in texts.items()}})

    def track(self, iterable, description):
        """Pass `iterable` through and show how far it has come: a bar on a terminal, nothing elsewhere."""
        return iterable if self._progress is None else self._progress(iterable, description)

    # --- what the runner reads -----------------------------------------------------------------------------------

    @property
    def counts(self):
        """How many checks passed, failed and were skipped, as a dictionary."""
        return {status: sum(r.get("status") == status for r in self.records) for status in (PASSED, FAILED, SKIPPED)}

    @property
    def status(self):
        """`"error"` if the lesson raised, else `"failed"` if a check failed, else `"passed"`."""
        if self.error is not None:
            return "error"
        return FAILED if self.counts[FAILED] else PASSED

    @property
    def ok(self):
        """True if the lesson ended and no check failed."""
        return self.status == PASSED

    def to_dict(self):
        """The report as plain data for JSON; images by their file names."""
        return {
            "lesson": self.lesson,
            "scale": self.scale,
            "seed": self.seed,
            "settings": {name: _plain(value) for name, value in self.settings.items()},
            "status": self.status,
            "counts": self.counts,
            "records": self.records,
            "error": self.error,
        }

    def _repr_html_(self):
        from kerasnotes.course.render import report_html

        return report_html(self.to_dict(), self.images, standalone=False)

    def _add_check(self, label, relation, outcome, trained, **tolerances):
        status = PASSED if outcome["reason"] is None else FAILED
        if trained and self.scale == "smoke":
            status, outcome["reason"] = SKIPPED, "smoke"
        record = {
            "kind": "check",
            "label": str(label),
            "relation": relation,
            "status": status,
            "trained": bool(trained),
        }
        self.records.append({**record, **tolerances, **outcome})
        return status == PASSED


def _compare(got, want, rtol, atol):
    """Compare two values; `reason` is None when they agree."""
    pairs, problem = _pairs(got, want, "")
    if problem is None and not pairs:
        problem = "nothing to compare"
    if problem is not None:
        return {"got": _summary(got), "want": _summary(want), "difference": None, "reason": problem}
    outcomes = [_compare_arrays(path, *pair, rtol, atol) for path, *pair in pairs]
    failed = [outcome for outcome in outcomes if outcome["reason"] is not None]
    worst = failed[0] if failed else max(outcomes, key=lambda outcome: outcome["difference"] or 0.0)
    return worst


def _pairs(got, want, path):
    """Break two values into pairs of arrays that belong together, or say why they do not match."""
    if isinstance(got, dict) or isinstance(want, dict):
        if not (isinstance(got, dict) and isinstance(want, dict)) or got.keys() != want.keys():
            keys = [
                sorted(map(str, value)) if isinstance(value, dict) else type(value).__name__ for value in (got, want)
            ]
            return [], f"{path or 'keys'}: got {keys[0]}, want {keys[1]}"
        items = [(f"{path}[{key!r}]", got[key], want[key]) for key in got]
    else:
        arrays = [_as_array(value) for value in (got, want)]
        if arrays[0] is not None and arrays[1] is not None:
            return [(path, *arrays)], None
        if not (isinstance(got, (list, tuple)) and isinstance(want, (list, tuple))) or len(got) != len(want):
            return [], f"{path or 'value'}: cannot compare {_describe(got)} with {_describe(want)}"
        items = [(f"{path}[{i}]", g, w) for i, (g, w) in enumerate(zip(got, want, strict=True))]
    pairs = []
    for item_path, g, w in items:
        inner, problem = _pairs(g, w, item_path)
        if problem is not None:
            return [], problem
        pairs += inner
    return pairs, None


def _compare_arrays(path, got, want, rtol, atol):
    where = f"{path}: " if path else ""
    outcome = {"got": _summary(got), "want": _summary(want), "difference": None, "reason": None}
    if got.shape != want.shape:
        outcome["reason"] = f"{where}shape {got.shape} instead of {want.shape}"
    elif got.size == 0:
        outcome["reason"] = f"{where}nothing to compare"
    elif got.dtype.kind in "US" or want.dtype.kind in "US":
        if got.dtype.kind != want.dtype.kind or not np.array_equal(got, want):
            outcome["reason"] = f"{where}texts differ"
    elif not (np.isfinite(got).all() and np.isfinite(want).all()):
        side = "got" if not np.isfinite(got).all() else "want"
        kind = "NaN" if np.isnan(got if side == "got" else want).any() else "infinity"
        outcome["reason"] = f"{where}{kind} in {side}"
    else:
        counted = got.dtype.kind in EXACT_KINDS and want.dtype.kind in EXACT_KINDS
        rtol = (0.0 if counted else 1e-5) if rtol is None else rtol
        atol = (0.0 if counted else 1e-6) if atol is None else atol
        if counted:
            difference = np.abs(got.astype(object) - want.astype(object)).astype(np.float64)  # exact beyond 2**53
        else:
            difference = np.abs(got.astype(np.complex128) - want.astype(np.complex128))
        excess = difference - (atol + rtol * np.abs(want.astype(np.complex128)))
        worst = np.unravel_index(np.argmax(excess), excess.shape)
        outcome["difference"] = float(difference.max())
        if got.size > SHOWN_ELEMENTS:
            outcome["got"] = {"shape": list(got.shape), "at": [int(i) for i in worst], "value": _plain(got[worst])}
            outcome["want"] = {"shape": list(want.shape), "at": [int(i) for i in worst], "value": _plain(want[worst])}
        if excess[worst] > 0:
            outcome["reason"] = f"{where}differs by {difference[worst]:.3g}"
    return outcome


def _against_bound(got, bound, sign):
    """`sign` 1: got at least bound; -1: got at most bound."""
    value, limit = _as_array(got), _as_array(bound)
    outcome = {"got": _summary(got), "want": _summary(bound), "difference": None, "reason": None}
    if value is None or value.dtype.kind not in "biuf" or value.size == 0:
        outcome["reason"] = f"expected a number, got {_describe(got)}"
    elif limit is None or limit.dtype.kind not in "biuf" or limit.shape != ():
        outcome["reason"] = f"bound: expected one number, got {_describe(bound)}"
    elif not (np.isfinite(value).all() and np.isfinite(limit)):
        outcome["reason"] = "NaN or infinity"
    else:
        margin = sign * (value.astype(np.float64) - limit.astype(np.float64))
        worst = np.unravel_index(np.argmin(margin), margin.shape)
        outcome["got"] = _plain(value[worst])
        outcome["difference"] = float(abs(margin[worst]))
        if margin[worst] < 0:
            outcome["reason"] = f"missed by {-margin[worst]:.3g}"
    return outcome


def _as_array(value):
    """The value as a numeric or text array, or None if it is neither."""
    try:
        array = np.asarray(value.numpy() if hasattr(value, "numpy") else value)
    except (ValueError, TypeError):
        return None
    if array.dtype.name.startswith(("bfloat16", "float8")):  # kinds that NumPy does not know by itself
        array = array.astype(np.float32)
    return array if array.dtype.kind in "biufcUS" else None


def _describe(value):
    shape = getattr(value, "shape", None)
    return f"{type(value).__name__} of shape {tuple(shape)}" if shape is not None else f"{type(value).__name__}"


def _summary(value):
    array = _as_array(value)
    if array is None:
        return _describe(value)
    return _plain(array) if array.size <= SHOWN_ELEMENTS else {"shape": list(array.shape)}


def _plain(value):
    """The value as JSON can hold it; numbers that JSON does not know become text."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    array = np.asarray(value)
    if array.ndim:
        return [_plain(item) for item in array.tolist()]
    item = array.item()
    if isinstance(item, float):
        return item if math.isfinite(item) else str(item)
    return item if isinstance(item, (bool, int, str)) else str(item)


def png_of(figure):
    """A matplotlib figure as the bytes of a PNG; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _gif(animation):
    """The frames of a matplotlib animation; its writer wants a file, so there is one for a moment."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "animation.gif"
        animation.save(path, writer="pillow")
        return path.read_bytes()


def _file_name(title, taken, ending):
    stem = re.sub(r"[^a-z0-9]+", "-", str(title).lower()).strip("-")[:60] or "figure"
    name, number = f"{stem}.{ending}", 2
    while name in taken:
        name, number = f"{stem}-{number}.{ending}", number + 1
    return name
