"""The drawings that several lessons share, in one style that a colour-blind reader can follow.

Every function returns a matplotlib figure. Lessons hand it to `report.figure`, which takes it over.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

STYLE = Path(__file__).with_name("kerasnotes.mplstyle")
LINE_STYLES = ("-", "--", "-.", ":")


def subplots(rows=1, columns=1, **arguments):
    """`matplotlib.pyplot.subplots` in the course's style, which stays in use. Takes and returns the same."""
    plt.style.use(STYLE)  # colours such as "C1" are looked up when the figure is drawn, so a style context is too short
    return plt.subplots(rows, columns, **arguments)


def curves(x, series, *, xlabel, ylabel, title=None, xscale="linear", yscale="linear", marker=None, ax=None):
    """Draw several curves over one axis, told apart by colour and line style.

    Args:
        x: Positions (n,), shared by all curves, or a dictionary with one array for each name in `series`.
        series: Dictionary from name to values (n,), or to values (runs, n): then mean and standard error are drawn.
        xlabel, ylabel: Axis labels with units.
        title: Title, or None.
        xscale, yscale: `"linear"` or `"log"`.
        marker: Marker of the points, or None.
        ax: Axes to draw on, or None for a figure of its own.

    Returns:
        The figure.
    """
    figure, ax = (ax.figure, ax) if ax is not None else subplots()
    for number, (name, values) in enumerate(series.items()):
        positions = np.asarray(x[name] if isinstance(x, dict) else x)
        values = np.asarray(values, dtype=float)
        style = LINE_STYLES[number % len(LINE_STYLES)]
        if values.ndim == 2:
            mean, error = mean_and_error(values)
            (line,) = ax.plot(positions, mean, style, marker=marker, label=name)
            ax.fill_between(positions, mean - error, mean + error, color=line.get_color(), alpha=0.2, linewidth=0)
        else:
            ax.plot(positions, values, style, marker=marker, label=name)
    ax.set(xlabel=xlabel, ylabel=ylabel, xscale=xscale, yscale=yscale)
    if title:
        ax.set_title(title)
    if len(series) > 1:
        ax.legend()
    return figure


def mean_and_error(runs):
    """Mean and standard error over the first axis.

    Args:
        runs: Array (runs, ...), at least one run.

    Returns:
        `(mean, error)`, each of shape (...). The error of a single run is 0.
    """
    runs = np.asarray(runs, dtype=float)
    if runs.ndim == 0 or len(runs) == 0:
        raise ValueError(f"runs: expected at least one run, got an array of shape {runs.shape}")
    error = runs.std(axis=0, ddof=1) / np.sqrt(len(runs)) if len(runs) > 1 else np.zeros(runs.shape[1:])
    return runs.mean(axis=0), error


def bars(labels, values, *, ylabel, errors=None, title=None, bound=None, bound_label=None, ax=None):
    """Draw one bar per label, with optional error bars and a dashed line at `bound`.

    Returns:
        The figure.
    """
    figure, ax = (ax.figure, ax) if ax is not None else subplots()
    positions = np.arange(len(labels))
    ax.bar(positions, values, yerr=errors, capsize=4, width=0.65)
    ax.set_xticks(positions, labels)
    ax.set_ylabel(ylabel)
    if title:
        ax.set_title(title)
    if bound is not None:
        ax.axhline(bound, color="C1", linestyle="--", label=bound_label)
        if bound_label:
            ax.legend()
    return figure


def images(pictures, *, titles=None, columns=8, title=None):
    """Draw pictures in a grid, in grey, each scaled to its own range.

    Args:
        pictures: Array (n, height, width), or (n, height, width, 1 or 3).
        titles: One short text for each picture, or None.
        columns: Pictures in a row.
        title: Title of the whole figure, or None.

    Returns:
        The figure.
    """
    pictures = np.asarray(pictures)
    if pictures.ndim not in (3, 4) or len(pictures) == 0:
        raise ValueError(f"pictures: expected (n, height, width) with n > 0, got an array of shape {pictures.shape}")
    rows = -(-len(pictures) // columns)
    figure, axes = subplots(
        rows, columns, figsize=(columns, rows * (1.25 if titles is not None else 1.0)), squeeze=False
    )
    for ax in axes.flat:
        ax.set_axis_off()
    for number, (ax, picture) in enumerate(zip(axes.flat, pictures, strict=False)):
        ax.imshow(picture.squeeze(), cmap="gray")
        if titles is not None:
            ax.set_title(titles[number], fontsize=9, loc="center")
    if title:
        figure.suptitle(title)
    return figure


def bare_picture(picture, ax, low=-1.0):
    """Draw a picture with values from `low` to 1, dark on light, with neither frame nor ticks.

    Args:
        picture: Array (height, width).
        ax: Axes to draw on.
        low: The value that is white.
    """
    ax.imshow(picture, cmap="gray_r", vmin=low, vmax=1)
    ax.spines[:].set_visible(False)
    ax.grid(False)
    ax.set_xticks([])
    ax.set_yticks([])


def boxes(boxes, ax, labels=(), color="C1"):
    """Draw boxes (n, 4) in pixels, each (top, left, bottom, right), onto a picture, with short texts above if given.

    Args:
        boxes: Array (n, 4); 0 is the first pixel's edge.
        ax: Axes with the picture.
        labels: Texts for the first boxes.
        color: Colour of the lines.
    """
    ax.autoscale(False)  # what reaches over the edge is cut
    for number, (top, left, bottom, right) in enumerate(np.asarray(boxes) - 0.5):  # a pixel's middle is a whole number
        ax.plot([left, right, right, left, left], [top, top, bottom, bottom, top], color=color, linewidth=1.2)
        if number < len(labels):
            corner = np.maximum((left, top), [min(ax.get_xlim()), min(ax.get_ylim())])
            ax.text(*corner, labels[number], color="C0", fontsize=10, va="bottom")


def tile_images(images):
    """Put images side by side into one picture.

    Args:
        images: Array (rows, columns, height, width), or with an axis of one channel behind.

    Returns:
        Array (rows · height, columns · width).

    Raises:
        ValueError: If the array is empty or has another shape.
    """
    images = np.asarray(images)
    if images.size == 0 or images.ndim not in (4, 5) or (images.ndim == 5 and images.shape[-1] != 1):
        raise ValueError(f"images: expected (rows, columns, height, width), not empty, got {images.shape}")
    rows, columns, height, width = images.shape[:4]
    ordered = images.reshape(rows, columns, height, width).transpose(0, 2, 1, 3)
    return ordered.reshape(rows * height, columns * width)


def tiles(images, ax, labels=None, low=-1.0):
    """Draw images close together, row by row, dark on light.

    Args:
        images: As in `tile_images`, values from `low` to 1.
        ax: Axes to draw on.
        labels: One short text for each row, empty for none, or None.
        low: The value that is white.
    """
    bare_picture(tile_images(images), ax, low)
    height, labels = np.shape(images)[2], [] if labels is None else labels
    named = [row for row, label in enumerate(labels) if label]
    ax.set_yticks([(row + 0.5) * height for row in named], [labels[row] for row in named])


def two_scales(x, left, right, *, xlabel, title, ax, legend="best"):
    """Draw two curves of different units over one axis, one against each side.

    Args:
        x: Positions (n,).
        left, right: Pairs of a name, which becomes the side's label, and values (n,).
        xlabel: Axis label with units.
        title: Title.
        ax: Axes to draw on.
        legend: Place of the legend.
    """
    other = ax.twinx()
    lines = [*ax.plot(x, left[1], "o-", color="C0"), *other.plot(x, right[1], "s--", color="C1")]
    ax.set(xlabel=xlabel, ylabel=left[0], ylim=(0, None))
    other.set(ylabel=right[0], ylim=(0, None))
    other.grid(False)
    other.spines["right"].set_visible(True)
    ax.set_title(title)
    ax.legend(lines, [left[0], right[0]], loc=legend)


def classes(points, labels, ax):
    """Draw points (n, 2) in the colour and marker of their class, 0 to 9, whose number stands at its median."""
    for number in range(10):
        chosen = points[labels == number]
        ax.plot(*chosen.T, "o^sDvP*X<>"[number], markersize=2.5, color=f"C{number}")
    for number in range(10):
        if np.any(labels == number):
            middle = np.median(points[labels == number], axis=0)
            ax.text(*middle, str(number), fontsize=13, weight="bold", ha="center", va="center")


def numbered(grid, ax, highest):
    """Draw a grid of whole numbers, each written into its cell and coloured by its size.

    Args:
        grid: Array (rows, columns); NaN leaves a cell empty.
        ax: Axes to draw on.
        highest: The number with the lightest colour; the darkest is 0.
    """
    ax.imshow(grid, cmap="cividis", vmin=0, vmax=highest, aspect="auto")
    ax.grid(False)
    for (row, column), number in np.ndenumerate(grid):
        if not np.isnan(number):
            color = "white" if 2 * number < highest else "black"
            ax.text(column, row, f"{number:.0f}", color=color, ha="center", va="center", fontsize=12)


def heatmap(matrix, *, xlabel, ylabel, label, title=None, ax=None, **arguments):
    """Draw a matrix as colours with a colour bar; further arguments go to `imshow`.

    Returns:
        The figure.
    """
    figure, ax = (ax.figure, ax) if ax is not None else subplots()
    picture = ax.imshow(np.asarray(matrix), aspect="auto", interpolation="nearest", **arguments)
    ax.grid(False)
    figure.colorbar(picture, ax=ax, label=label)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    if title:
        ax.set_title(title)
    return figure


def window_means(runs, points):
    """Means over windows of equal length, to draw what would otherwise be a band of noise.

    Args:
        runs: Array (runs, steps).
        points: About how many windows to make of the steps.

    Returns:
        `(middles, means, window)`: positions (n,) and means (runs, n), and the steps in a window. A rest is left out.
    """
    window = max(1, runs.shape[1] // points)
    whole = runs[:, : runs.shape[1] // window * window]
    means = whole.reshape(len(runs), -1, window).mean(axis=2)
    return window * (np.arange(means.shape[1]) + 0.5), means, window


def cliff(ax):
    """Prepare axes for the 4 by 12 squares of gymnasium's CliffWalking, with the cliff between start and goal."""
    ax.fill_between((0.5, 10.5), 2.5, 3.5, color="0.35", linewidth=0)
    ax.text(5.5, 3, "cliff: −100, back to the start", color="white", ha="center", va="center")
    ax.set(xlim=(-0.5, 11.5), ylim=(3.5, -0.5), aspect="equal", yticks=[])
    ax.set_xticks([0, 11], ["start", "goal"])
    ax.grid(False)


def graph(adjacency, places, ax, values, *, labels=None, title=None, **arguments):
    """Draw a graph: edges as grey lines, nodes as discs in the colours of their values, with neither frame nor ticks.

    Args:
        adjacency: Matrix (nodes, nodes), not 0 where there is an edge.
        places: Where the nodes are (nodes, 2).
        ax: Axes to draw on.
        values: Numbers or colours (nodes,).
        labels: A short text for each node, or None.
        title: Title, or None.
        **arguments: For `ax.scatter`, such as `s`, the area of a disc.

    Returns:
        The discs, as `ax.scatter` returns them.
    """
    for one, two in np.argwhere(np.triu(adjacency)):
        ax.plot(*np.asarray(places)[[one, two]].T, color="0.75", linewidth=1.2, zorder=1)
    discs = ax.scatter(*np.transpose(places), c=values, **{"s": 260, "zorder": 2, "edgecolors": "0.3", **arguments})
    discs.update_scalarmappable()  # else the colours are known only when the figure is drawn
    colors = np.resize(discs.get_facecolors(), (len(places), 4))
    for place, color, label in zip(places, colors, [] if labels is None else labels, strict=False):
        dark = color[:3] @ (0.3, 0.6, 0.1) < 0.5
        ax.text(*place, label, ha="center", va="center", fontsize=10, color="white" if dark else "black")
    ax.set_axis_off()
    ax.set_aspect("equal")
    if title:
        ax.set_title(title)
    return discs


def graph_places(adjacency, seed=0, steps=300):
    """Places (nodes, 2) for a drawing of a connected graph, as far apart as there are edges between two nodes.

    Each step is Guttman's transform, which never raises the sum of the squared errors of the distances.

    Args:
        adjacency: Matrix (nodes, nodes) of 0 and 1, symmetric, of a connected graph.
        seed: Seed of the places to begin at.
        steps: Number of steps.
    """
    within = np.eye(len(adjacency), dtype=bool)
    wanted = np.zeros(within.shape)
    while not within.all():
        wanted += ~within
        wider = within | (np.asarray(adjacency, float) @ within > 0)
        if np.array_equal(wider, within):
            raise ValueError("adjacency: expected a connected graph")
        within = wider
    places = np.random.default_rng(seed).normal(size=(len(wanted), 2))
    for _ in range(steps):
        pull = -wanted / (np.linalg.norm(places[:, None] - places, axis=2) + np.eye(len(wanted)))
        places = (pull - np.diag(pull.sum(axis=1))) @ places / len(wanted)
    return places
