"""A report must fail on whatever is wrong, and never count a trained check as passed at smoke scale."""

import io
import json
import math

import matplotlib.pyplot as plt
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from matplotlib.animation import FuncAnimation

from kerasnotes.course.report import Report

NUMBERS = st.floats(-1e6, 1e6)
SHAPES = hnp.array_shapes(max_dims=3, max_side=4)
ARRAYS = hnp.arrays(np.float64, SHAPES, elements=NUMBERS)
BAD = st.sampled_from([math.nan, math.inf, -math.inf])


def last(report):
    return report.records[-1]


@given(ARRAYS)
def test_a_value_equals_itself(array):
    report = Report()
    assert report.check("same", got=array, want=array.copy())
    assert report.check("as a tensor", got=tf.constant(array), want=array)
    assert report.check("as a list", got=array.tolist(), want=array)
    assert report.counts == {"passed": 3, "failed": 0, "skipped": 0}
    assert report.ok


@given(ARRAYS, st.data(), st.floats(2e-5, 1e3))
def test_one_wrong_element_fails(array, data, excess):
    index = data.draw(st.integers(0, array.size - 1))
    wrong = array.copy()
    wrong.flat[index] += 2e-6 + excess * max(1.0, abs(wrong.flat[index]))
    report = Report()
    assert not report.check("wrong", got=wrong, want=array)
    assert last(report)["status"] == "failed"
    assert "differs" in last(report)["reason"]
    assert not report.ok


@given(NUMBERS, st.floats(1e-9, 1e-1), st.floats(1e-9, 1.0), st.floats(0.0, 3.0))
def test_tolerance_is_atol_plus_rtol_times_want(want, rtol, atol, factor):
    assume(abs(factor - 1.0) > 1e-2)
    allowed = atol + rtol * abs(want)
    got = want + factor * allowed
    assume(abs((got - want) - factor * allowed) < 1e-3 * allowed)  # where floating point can tell
    assert Report().check("edge", got=got, want=want, rtol=rtol, atol=atol) == (factor < 1.0)


@given(ARRAYS, st.data(), BAD)
def test_not_finite_never_passes(array, data, bad):
    index = data.draw(st.integers(0, array.size - 1))
    spoiled = array.copy()
    spoiled.flat[index] = bad
    report = Report()
    assert not report.check("got", got=spoiled, want=array)
    assert not report.check("want", got=array, want=spoiled)
    assert not report.check("both", got=spoiled, want=spoiled.copy())
    assert not report.check("any tolerance", got=spoiled, want=array, rtol=1e30, atol=1e30)
    assert not report.at_least("bound", got=spoiled, bound=-1e9)
    assert not report.at_most("bound", got=spoiled, bound=1e9)
    assert not report.at_least("bound", got=0.0, bound=bad)
    assert not report.at_most("bound", got=0.0, bound=bad)
    assert report.counts["failed"] == 8
    json.dumps(report.to_dict(), allow_nan=False)  # and the report can still be written


@given(SHAPES, SHAPES, st.sampled_from([0.0, 1.0]))
def test_shapes_never_broadcast(one, other, value):
    assume(one != other)
    report = Report()
    assert not report.check("shapes", got=np.full(one, value), want=np.full(other, value))
    assert "shape" in last(report)["reason"]


@pytest.mark.parametrize(
    ("got", "want"),
    [
        (1.0, [1.0]),
        ([1.0], 1.0),
        ([[1.0, 2.0]], [1.0, 2.0]),
        ([], []),
        (np.zeros((0, 3)), np.zeros((0, 3))),
        ({}, {}),
        ({"a": 1.0}, {"b": 1.0}),
        ({"a": 1.0}, 1.0),
        ({"a": [1.0, 2.0]}, {"a": [1.0]}),
        ([np.ones(2), np.ones(3)], [np.ones(2)]),
        ([np.ones(2), np.ones(3)], [np.ones(2), np.zeros(3)]),
        (None, 1.0),
        (None, None),
        ("13", 13),
        ("relu", "tanh"),
        (object(), 1.0),
        (1_000_000, 1_000_001),  # counts are exact, although the relative difference is only 1e-6
        (2**60, 2**60 + 1),
        (True, False),
    ],
)
def test_what_does_not_match_fails(got, want):
    report = Report()
    assert not report.check("no match", got=got, want=want)
    assert last(report)["reason"]


@pytest.mark.parametrize(
    ("got", "want"),
    [
        ([np.ones(2), np.ones((3, 1))], [np.ones(2), np.ones((3, 1))]),
        ({"w": np.ones(2), "b": [0.0]}, {"b": np.zeros(1), "w": tf.ones(2)}),
        ("relu", "relu"),
        (True, np.True_),
        (1_000_000, np.int32(1_000_000)),
        (1 + 2j, np.complex64(1 + 2j)),
        (tf.constant(1.0, tf.bfloat16), 1.0),
        (3, 3.0000001),
    ],
)
def test_what_matches_passes(got, want):
    assert Report().check("match", got=got, want=want)


@given(NUMBERS, NUMBERS)
def test_bounds(got, bound):
    report = Report()
    assert report.at_least("at least", got=got, bound=bound) == (got >= bound)
    assert report.at_most("at most", got=got, bound=bound) == (got <= bound)


@given(ARRAYS, NUMBERS)
def test_every_element_must_keep_the_bound(array, bound):
    assert Report().at_least("all", got=array, bound=bound) == bool((array >= bound).all())
    assert Report().at_most("all", got=array, bound=bound) == bool((array <= bound).all())


def test_a_bound_needs_a_number():
    report = Report()
    for got, bound in ((None, 1.0), ("1", 0.5), ([], 0.0), (1.0, [0.5, 0.6]), (1.0, None)):
        assert not report.at_least("no number", got=got, bound=bound)


@given(NUMBERS, NUMBERS, st.booleans())
def test_trained_checks_are_skipped_at_smoke_scale(got, want, lower):
    report = Report(scale="smoke")
    report.check("trained", got=got, want=want, trained=True)
    (report.at_least if lower else report.at_most)("trained", got=got, bound=want, trained=True)
    assert report.counts == {"passed": 0, "failed": 0, "skipped": 2}
    assert all(record["reason"] == "smoke" for record in report.records)
    assert report.check("not trained", got=1.0, want=1.0)
    assert not report.check("not trained", got=1.0, want=2.0)
    assert report.counts == {"passed": 1, "failed": 1, "skipped": 2}


@pytest.mark.parametrize("scale", ["default", "full"])
def test_trained_checks_count_at_other_scales(scale):
    report = Report(scale=scale)
    assert report.at_least("trained", got=0.99, bound=0.9, trained=True)
    assert not report.at_least("trained", got=0.8, bound=0.9, trained=True)
    assert report.counts == {"passed": 1, "failed": 1, "skipped": 0}


@pytest.mark.parametrize("tolerance", [{"rtol": -1.0}, {"atol": math.nan}, {"rtol": math.inf}])
def test_a_tolerance_must_be_a_finite_number(tolerance):
    with pytest.raises(ValueError, match=next(iter(tolerance))):
        Report().check("tolerance", got=1.0, want=1.0, **tolerance)


def test_an_unknown_scale_is_refused():
    with pytest.raises(ValueError, match="scale"):
        Report(scale="huge")


def test_the_run_goes_on_after_a_failed_check():
    report = Report()
    report.check("wrong", got=1.0, want=2.0)
    report.check("right", got=1.0, want=1.0)
    assert report.status == "failed"
    report.error = "Traceback"
    assert report.status == "error"


def test_a_figure_is_taken_over_and_closed():
    before = set(plt.get_fignums())
    report = Report()
    for _ in range(2):
        figure, ax = plt.subplots()
        ax.plot([1, 2])
        report.figure("Loss: train & test", figure, alt="two points")
    assert set(plt.get_fignums()) == before
    assert list(report.images) == ["loss-train-test.png", "loss-train-test-2.png"]
    assert all(image.startswith(b"\x89PNG") for image in report.images.values())
    with pytest.raises(ValueError, match="alt"):
        report.figure("no description", plt.figure(), alt=" ")
    plt.close("all")


def test_an_animation_becomes_a_gif_and_is_closed():
    before = set(plt.get_fignums())
    figure, ax = plt.subplots(figsize=(1, 1))
    (point,) = ax.plot([0, 3], [0, 0], "o")
    report = Report()
    frames = FuncAnimation(figure, lambda i: point.set_data([i, 3], [0, 0]), frames=4, interval=40)
    report.figure("A point moves", frames, alt="from left to right")
    assert set(plt.get_fignums()) == before
    assert list(report.images) == [last(report)["file"]] == ["a-point-moves.gif"]
    with PIL.Image.open(io.BytesIO(report.images["a-point-moves.gif"])) as image:
        assert (image.format, image.n_frames, image.info["duration"]) == ("GIF", 4, 40)
    assert "data:image/gif" in report._repr_html_()


def test_a_table_needs_equally_long_rows():
    report = Report()
    report.table("good", ["a", "b"], [[1, np.float32(0.5)], ["x", None]])
    assert last(report)["rows"] == [[1, 0.5], ["x", None]]
    with pytest.raises(ValueError, match="rows"):
        report.table("bad", ["a", "b"], [[1]])


def test_a_correction_needs_all_its_texts():
    report = Report()
    report.correction("topic", course="wrong", correct="right", shown_by="computation")
    assert last(report)["course"] == "wrong"
    with pytest.raises(ValueError, match="shown_by"):
        report.correction("topic", course="wrong", correct="right", shown_by="")


def test_track_passes_items_through():
    assert list(Report().track(range(3), "loop")) == [0, 1, 2]
    seen = []
    report = Report(progress=lambda items, description: (seen.append(description), iter(items))[1])
    assert list(report.track([4, 5], "training")) == [4, 5]
    assert seen == ["training"]
