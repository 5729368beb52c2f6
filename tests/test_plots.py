"""The shared drawings: what they draw, and what they refuse."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from kerasnotes import plots


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_curves_draw_every_series_with_mean_and_error():
    runs = np.array([[1.0, 2.0, 3.0], [3.0, 4.0, 5.0]])
    figure = plots.curves(
        [1, 2, 3], {"one": [1, 2, 3], "runs": runs}, xlabel="step", ylabel="loss", title="T", yscale="log"
    )
    (ax,) = figure.axes
    assert [line.get_label() for line in ax.lines] == ["one", "runs"]
    assert ax.lines[1].get_ydata().tolist() == [2.0, 3.0, 4.0]
    assert len(ax.collections) == 1
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_yscale()) == ("step", "loss", "log")
    assert ax.get_legend() is not None
    assert ax.lines[0].get_linestyle() != ax.lines[1].get_linestyle()


def test_mean_and_error():
    mean, error = plots.mean_and_error([[1.0, 5.0], [3.0, 5.0]])
    assert mean.tolist() == [2.0, 5.0]
    assert error == pytest.approx([1.0, 0.0])  # deviation sqrt(2) over sqrt(2)
    assert plots.mean_and_error([[7.0]])[1].tolist() == [0.0]
    with pytest.raises(ValueError, match="at least one run"):
        plots.mean_and_error([])


def test_images_make_a_grid():
    figure = plots.images(np.zeros((5, 4, 4)), columns=3, titles=list("abcde"))
    assert len(figure.axes) == 6
    assert sum(bool(ax.images) for ax in figure.axes) == 5
    with pytest.raises(ValueError, match="pictures"):
        plots.images(np.zeros((4, 4)))


def test_bars_and_heatmap():
    figure = plots.bars(["a", "b"], [1.0, 2.0], ylabel="accuracy", bound=1.5, bound_label="bound", title="T")
    assert len(figure.axes[0].patches) == 2
    figure = plots.heatmap(np.eye(3), xlabel="x", ylabel="y", label="value", title="T")
    assert figure.axes[1].get_ylabel() == "value"


def test_colours_are_those_for_colour_blind_readers():
    plots.subplots()
    drawn = plt.rcParams["axes.prop_cycle"].by_key()["color"]
    with plt.style.context("tableau-colorblind10"):
        assert {c.upper().lstrip("#") for c in drawn} == {
            c.upper().lstrip("#") for c in plt.rcParams["axes.prop_cycle"].by_key()["color"]
        }


def test_a_bare_picture_has_neither_frame_nor_ticks():
    figure, ax = plots.subplots()
    plots.bare_picture(np.linspace(-1, 1, 6).reshape(2, 3), ax)
    assert ax.images[0].get_clim() == (-1, 1)
    assert not any(spine.get_visible() for spine in ax.spines.values())
    assert len(ax.get_xticks()) == len(ax.get_yticks()) == 0
    plt.close(figure)


def test_tiles_stand_edge_to_edge_and_rows_are_named():
    figure, ax = plots.subplots()
    pictures = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5) / 120
    plots.tiles(pictures, ax, ["first", ""])
    sheet = ax.images[0].get_array()
    assert sheet.shape == (2 * 4, 3 * 5)
    np.testing.assert_array_equal(sheet[4:, 5:10], pictures[1, 1])
    assert [(tick, label.get_text()) for tick, label in zip(ax.get_yticks(), ax.get_yticklabels(), strict=True)] == [
        (2.0, "first")
    ]
    plt.close(figure)


def test_classes_are_numbered_at_their_medians():
    figure, ax = plots.subplots()
    points = np.array([[0.0, 0.0], [2.0, 4.0], [5.0, 5.0]])
    plots.classes(points, np.array([3, 3, 7]), ax)
    assert [(text.get_text(), text.get_position()) for text in ax.texts] == [("3", (1.0, 2.0)), ("7", (5.0, 5.0))]
    plt.close(figure)


def test_numbers_stand_in_their_cells_and_nan_leaves_one_empty():
    figure, ax = plots.subplots()
    plots.numbered(np.array([[0, 1], [2, np.nan]]), ax, highest=2)
    assert [(text.get_position(), text.get_text()) for text in ax.texts] == [
        ((0, 0), "0"),
        ((1, 0), "1"),
        ((0, 1), "2"),
    ]
    assert [text.get_color() for text in ax.texts] == ["white", "black", "black"]
    plt.close(figure)


def test_means_of_windows():
    runs = np.arange(14.0).reshape(2, 7)
    middles, means, window = plots.window_means(runs, 3)
    assert window == 2
    np.testing.assert_array_equal(middles, [1.0, 3.0, 5.0])
    np.testing.assert_array_equal(means, [[0.5, 2.5, 4.5], [7.5, 9.5, 11.5]])
    assert plots.window_means(runs, 100)[2] == 1


def test_the_cliff_lies_between_start_and_goal():
    figure, ax = plots.subplots()
    plots.cliff(ax)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["start", "goal"]
    (area,) = ax.collections
    low, high = area.get_paths()[0].vertices.min(axis=0), area.get_paths()[0].vertices.max(axis=0)
    assert [*low, *high] == [0.5, 2.5, 10.5, 3.5]  # squares 1 to 10 of the last row
    plots.plt.close(figure)


def test_tiles_by_hand():
    images = np.arange(16).reshape(2, 2, 2, 2)
    want = [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]
    np.testing.assert_array_equal(plots.tile_images(images), want)
    np.testing.assert_array_equal(plots.tile_images(images[..., None]), want)
    for wrong in (np.zeros((2, 28, 28)), np.zeros((2, 2, 4, 4, 3)), np.zeros((0, 2, 4, 4))):
        with pytest.raises(ValueError, match="images: expected"):
            plots.tile_images(wrong)


def test_tiles_have_a_label_for_each_row():
    figure, ax = plots.subplots()
    plots.tiles(np.zeros((3, 2, 4, 5)), ax, ["a", "b", "c"])
    assert ax.images[0].get_array().shape == (12, 10)
    assert ax.get_yticks().tolist() == [2, 6, 10]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b", "c"]
    plt.close(figure)


def test_two_scales():
    figure, ax = plots.subplots()
    plots.two_scales([1, 2], ("small", [1, 2]), ("large", [100, 50]), xlabel="x", title="both", ax=ax)
    other = figure.axes[1]
    assert (ax.get_ylabel(), other.get_ylabel()) == ("small", "large")
    assert (ax.get_ylim()[0], other.get_ylim()[0]) == (0, 0)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["small", "large"]
    plt.close(figure)


def test_a_graph_has_its_edges_and_readable_labels():
    _, ax = plots.subplots()
    places = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]])
    path = [[0, 1, 0], [1, 0, 1], [0, 1, 0]]
    discs = plots.graph(path, places, ax, [0, 1, 2], labels=["a", "b", "c"], title="T")
    assert [line.get_xydata().tolist() for line in ax.lines] == [[[0, 0], [1, 0]], [[1, 0], [1, 1]]]
    assert discs.get_offsets().tolist() == places.tolist()
    assert [(text.get_text(), text.get_color()) for text in ax.texts] == [
        ("a", "white"),
        ("b", "white"),
        ("c", "black"),
    ]
    assert ax.get_title(loc="left") == "T"
    assert not ax.axison
    plots.graph(path, places, ax, ["C0", "C0", "C1"], s=10)
    assert len(ax.texts) == 3


def test_places_of_a_graph_keep_the_distances():
    path = np.eye(5, k=1) + np.eye(5, k=-1)
    places = plots.graph_places(path, seed=1)
    np.testing.assert_allclose(np.linalg.norm(places[0] - places, axis=1), range(5), atol=0.02)
    assert plots.graph_places(np.zeros((1, 1))).shape == (1, 2)
    with pytest.raises(ValueError, match="connected"):
        plots.graph_places(np.zeros((2, 2)))
