"""What the figures are made of: axes, palettes, dots, densities."""

import numpy as np

from ._blocks import block_counts, fitting_block

DOTS = 96  # rows and columns up to which entries are drawn one by one
PIXELS = 240  # blocks of a density in each direction: not more than the picture has pixels
DOT = 0.86  # of a square or disc, in rows
LONGEST = 8  # times the other side; beyond, rows and columns are not drawn to the same scale
SIDE = 4.8  # of the longer side of a figure's axes, in inches
INK, NEUTRAL, FRAME = "#1f3b5c", "#b8b8b8", "#8a8a8a"
SHADES = ("#a9c6e3", "#3f7fb8", "#0b1f3a")
# M. Okabe and K. Ito, "Color universal design", 2008: told apart by all eyes.
DISTINCT = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442")
WARM, COLD = "YlOrRd", "YlGnBu"


def pyplot():
    """The module, or an ImportError that says what to do."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError("pictures are drawn by matplotlib, which is not installed: pip install 'sparsead[plot]'") from error
    return plt


def proportions(shape):
    """Height and width of axes for rows and columns to the same scale, where that leaves room for both; the longer one is 1."""
    return tuple(max(size / max(1, *shape), 1 / LONGEST) for size in shape)


def new_axes(shape):
    """Axes in a figure of their own."""
    height, width = (SIDE * side for side in proportions(shape))
    return pyplot().figure(figsize=(max(width + 1.4, 4.4), height + 1.2), layout="constrained").subplots()


def new_axes_with_room(shape, below, right):
    """`new_axes` with room for more of the same scale: fractions of the longer side."""
    (height, width), (left, bottom, end, top) = proportions(shape), (1.0, 0.6, 0.6, 0.7)
    size = (left + max(SIDE * (width + right), 2) + end, bottom + SIDE * (height + below) + top)
    figure = pyplot().figure(figsize=size)
    place = (left, bottom + SIDE * below, SIDE * width, SIDE * height)
    return figure.add_axes([inches / size[k % 2] for k, inches in enumerate(place)])


def frame(ax, shape, title=""):
    """Rows downwards, few ticks, a light frame."""
    from matplotlib.ticker import MaxNLocator

    m, n = (max(size, 1) for size in shape)
    ax.set(xlim=(-0.5, n - 0.5), ylim=(m - 0.5, -0.5), xlabel="column", ylabel="row", title=title)
    height, width = proportions(shape)
    for axis, size, length in ((ax.xaxis, n, width), (ax.yaxis, m, height)):
        axis.set_major_locator(MaxNLocator(min(max(1, round(5 * length)), size), integer=True, min_n_ticks=1))
    ax.tick_params(color=FRAME, labelsize="small")
    ax.spines[:].set_color(FRAME)


def proportion(ax, shape):
    """Give the axes the `proportions` of `shape`, whatever room they have."""
    height, width = proportions(shape)
    ax.set_aspect("auto")
    ax.set_box_aspect(height / width)


def rgba(name):
    """A colour by its name, shape (4,)."""
    from matplotlib.colors import to_rgba

    return np.array(to_rgba(name))


def palette(count, cmap=None):
    """Colours 0 to count - 1, shape (count + 1, 4), and the neutral one in the last place, where -1 finds it.

    More than fit into a picture begin anew.
    """
    from matplotlib import colormaps
    from matplotlib.colors import to_rgba_array

    if cmap is None and count <= len(DISTINCT):
        return to_rgba_array([*DISTINCT[:count], NEUTRAL])
    begin, end = (0.04, 0.96) if cmap is None else (0.35, 1.0)
    several = np.arange(count) % DOTS
    spread = colormaps[cmap or "turbo"](begin + (end - begin) * (several + 0.5) / min(count, DOTS))
    return np.concatenate([spread, to_rgba_array(NEUTRAL)])


def add_dots(ax, rows, columns, colors, *, discs):
    """Entries one by one, discs or squares; `colors` of shape (entries, 4) or (4,)."""
    from matplotlib.collections import EllipseCollection, PolyCollection

    places = np.column_stack([columns, rows]).astype(float)
    if discs:
        size = np.full(len(places), DOT)
        where = {"units": "xy", "offsets": places, "offset_transform": ax.transData}
        ax.add_collection(EllipseCollection(size, size, np.zeros(len(places)), facecolors=colors, linewidths=0, **where))
    else:
        corners = DOT / 2 * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
        ax.add_collection(PolyCollection(list(places[:, None] + corners), facecolors=colors, linewidths=0))


def add_density(ax, indptr, indices, shape):
    """Blocks in the shade of the logarithm of their entries."""
    from matplotlib.colors import LinearSegmentedColormap, LogNorm

    block = fitting_block(shape, (PIXELS, PIXELS), least=PIXELS // LONGEST)
    counts = block_counts(indptr, indices, shape, block)
    most = counts.max(initial=1)
    edges = (-0.5, counts.shape[1] * block[1] - 0.5, counts.shape[0] * block[0] - 0.5, -0.5)
    cmap = LinearSegmentedColormap.from_list("entries", SHADES if most > 1 else (INK, INK))
    style = {"cmap": cmap, "norm": LogNorm(1, max(most, 2)), "interpolation_stage": "rgba", "aspect": "auto"}
    image = ax.imshow(np.ma.masked_equal(counts, 0), extent=edges, **style)
    if most > 1:
        add_scale(ax, image, f"entries in {block[0]} × {block[1]}")


def add_scale(ax, image, label):
    """A colour bar with round numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    bar = ax.figure.colorbar(image, ax=ax, shrink=0.7, aspect=30, pad=0.02)
    bar.ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:,.0f}".replace(",", " ")))
    bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.ax.tick_params(color=FRAME, labelsize="small")
    bar.set_label(label, size="small")
    bar.outline.set_edgecolor(FRAME)
