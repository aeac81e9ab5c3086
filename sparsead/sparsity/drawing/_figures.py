"""Patterns, coloured patterns and compressed matrices, drawn by matplotlib, which is imported when something is drawn."""

import numpy as np

from sparsead.sparsity.colouring._incidence import checked_pattern

from ._painting import (
    COLD,
    DOTS,
    INK,
    WARM,
    add_density,
    add_dots,
    frame,
    new_axes,
    new_axes_with_room,
    palette,
    proportion,
    proportions,
    rgba,
)
from ._sides import colored
from ._words import counted, size_text

# Of the longer side of the pattern:
GAP = 0.04  # to a compressed matrix
THINNEST = 0.02  # a compressed matrix of few colours


def plot_pattern(indptr, indices, shape, *, ax=None):
    """Draw a pattern by matplotlib.

    Parameters
    ----------
    indptr : array_like of int, shape (m + 1,)
    indices : array_like of int, shape (nnz,)
        The pattern in CSR: column indices, strictly increasing in every row.
    shape : tuple of int
        ``(m, n)``.
    ax : matplotlib.axes.Axes, optional
        Where to draw; else in a figure of its own.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        Without matplotlib.
    TypeError, ValueError
        If the arguments do not describe a pattern.

    Notes
    -----
    Each entry is a dot; of patterns with more than 240 rows or columns, blocks are drawn in the shade of how many entries they
    hold, on a logarithmic scale. It takes time proportional to the entries.

    Examples
    --------
    >>> import scipy.sparse as sp
    >>> from sparsead.sparsity.drawing import plot_pattern
    >>> A = sp.diags_array([1.0, 1.0, 1.0], offsets=[-1, 0, 6], shape=(12, 12), format="csr")
    >>> plot_pattern(A.indptr, A.indices, A.shape).get_title()
    '12 × 12, 29 entries'
    """
    (indptr, indices), shape = checked_pattern("plot_pattern", indptr, indices, shape)
    ax = ax or new_axes(shape)
    if max(shape) <= DOTS:
        rows = np.repeat(np.arange(shape[0]), np.diff(indptr))
        add_dots(ax, rows, indices, rgba(INK), discs=True)
    else:
        add_density(ax, indptr, indices, shape)
    frame(ax, shape, size_text(shape, indices.size))
    proportion(ax, shape)
    return ax


def plot_coloring(indptr, indices, shape, column_colors=None, row_colors=None, *, symmetric=False, ax=None):
    """Draw a pattern, each entry in the colour that it is read from.

    Parameters
    ----------
    indptr : array_like of int, shape (m + 1,)
    indices : array_like of int, shape (nnz,)
        The pattern in CSR: column indices, strictly increasing in every row.
    shape : tuple of int
        ``(m, n)``.
    column_colors : array_like of int, shape (n,), optional
        Colours of the columns from 0; -1 for none.
    row_colors : array_like of int, shape (m,), optional
        Those of the rows. With both, entries that are read by columns are squares in warm colours, and those that are read by
        rows are discs in cold ones.
    symmetric : bool, optional
        The matrix is symmetric, and an entry may be read where its mirror image is: it is a disc then, in the colour of the
        column with the number of its row.
    ax : matplotlib.axes.Axes, optional
        Where to draw; else in a figure of its own.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        Without matplotlib.
    TypeError, ValueError
        If the arguments do not describe a pattern, or colours have another length or are missing on both sides.

    Notes
    -----
    Entries that no colour gives are grey; those that follow by substitution have the colour of their column. At most the first
    96 rows and columns are drawn.

    Examples
    --------
    >>> import scipy.sparse as sp
    >>> from sparsead.sparsity.drawing import plot_coloring
    >>> A = sp.diags_array([1.0, 1.0], offsets=[0, 1], shape=(6, 6), format="csr")
    >>> plot_coloring(A.indptr, A.indices, A.shape, [0, 1, 0, 1, 0, 1]).get_title().splitlines()
    ['6 × 6, 11 entries', '2 colours of columns']
    """
    entries = colored("plot_coloring", indptr, indices, shape, column_colors, row_colors, DOTS, symmetric)
    ax = ax or new_axes(entries.window)
    _draw_colored(ax, entries, len(indices))
    return ax


def plot_compressed(indptr, indices, shape, column_colors=None, row_colors=None, *, symmetric=False, ax=None):
    """Draw a coloured pattern, and beside it what the sweeps for its colours give.

    Parameters
    ----------
    indptr, indices, shape, column_colors, row_colors, symmetric
        As for `plot_coloring`.
    ax : matplotlib.axes.Axes, optional
        Where to draw the pattern; else in a figure of its own. What belongs to it is drawn outside of these axes, to the right
        and below.

    Returns
    -------
    matplotlib.axes.Axes
        Of the pattern; the others are its ``child_axes``: rows by colours of columns, then colours of rows by columns.

    Raises
    ------
    ImportError
        Without matplotlib.
    TypeError, ValueError
        As for `plot_coloring`.

    Notes
    -----
    All are drawn to the same scale. Grey are sums of several entries. At most the first 96 rows, columns and colours are drawn.

    Examples
    --------
    >>> import scipy.sparse as sp
    >>> from sparsead.sparsity.drawing import plot_compressed
    >>> A = sp.diags_array([1.0, 1.0], offsets=[0, 1], shape=(6, 6), format="csr")
    >>> ax = plot_compressed(A.indptr, A.indices, A.shape, [0, 1, 0, 1, 0, 1])
    >>> [child.get_xlabel() for child in ax.child_axes]
    ['2 colours']
    """
    entries = colored("plot_compressed", indptr, indices, shape, column_colors, row_colors, DOTS, symmetric)
    ax = ax or new_axes_with_room(entries.window, below=GAP + _room(entries, 1), right=GAP + _room(entries, 0))
    _draw_colored(ax, entries, len(indices))
    if column_colors is not None:
        _add_columns_side(ax, entries)
    if row_colors is not None:
        _add_rows_side(ax, entries)
    return ax


def _draw_colored(ax, entries, n_entries):
    of_columns, of_rows = _palettes(entries)
    for chosen, colors, discs in ((~entries.by_row, of_columns, False), (entries.by_row, of_rows, True)):
        if chosen.any():
            rows, columns, color = entries.rows[chosen], entries.columns[chosen], entries.color[chosen]
            add_dots(ax, rows, columns, colors[color], discs=discs)
    frame(ax, entries.window, f"{size_text(entries.shape, n_entries)}\n{_colors_text(entries)}")
    proportion(ax, entries.window)


def _palettes(entries):
    """Of columns and of rows; of two families where both have colours of their own."""
    n_columns, n_rows = _counts(entries)
    if entries.symmetric:
        return (palette(n_columns),) * 2
    return (palette(n_columns, WARM), palette(n_rows, COLD)) if n_columns and n_rows else (palette(n_columns), palette(n_rows))


def _counts(entries):
    """Numbers of colours of columns and of rows."""
    return entries.column_sums.n_colors, 0 if entries.symmetric else entries.row_sums.n_colors


def _room(entries, side):
    """Of colours of columns (0) or rows (1) the extent, of the longer side of the pattern."""
    count = min(_counts(entries)[side], DOTS)
    return max(count / max(1, *entries.window), THINNEST) if count else 0


def _add_columns_side(ax, entries):
    """Rows by colours of columns, to the right of `ax`."""
    _, width = proportions(entries.window)
    side = ax.inset_axes((1 + GAP / width, 0, _room(entries, 0) / width, 1))
    lines, lanes, color, label = _drawn_sums(entries.column_sums)
    add_dots(side, lines, lanes, _palettes(entries)[0][color], discs=False)
    frame(side, (entries.window[0], min(entries.column_sums.n_colors, DOTS)))
    side.set(xticks=[], yticks=[], ylabel="", xlabel=label)


def _add_rows_side(ax, entries):
    """Colours of rows by columns, below `ax`; the columns are labelled there."""
    height, _ = proportions(entries.window)
    extent = _room(entries, 1) / height
    side = ax.inset_axes((0, -GAP / height - extent, 1, extent))
    lines, lanes, color, label = _drawn_sums(entries.row_sums)
    add_dots(side, lanes, lines, _palettes(entries)[1][color], discs=True)
    frame(side, (min(entries.row_sums.n_colors, DOTS), entries.window[1]))
    side.set(yticks=[], xticks=[tick for tick in ax.get_xticks() if 0 <= tick < entries.window[1]])
    side.set_ylabel(label, rotation=0, ha="right", va="center")
    ax.set_xlabel("")
    ax.tick_params(bottom=False, labelbottom=False)


def _drawn_sums(sums):
    """Of the first colours the lines, the colours, what colours to draw them in, and a label."""
    few = sums.colors < DOTS
    lines, lanes, terms = sums.lines[few], sums.colors[few], sums.terms[few]
    label = counted(sums.n_colors, "colour") + (f",\nthe first {DOTS}" if sums.n_colors > DOTS else "")
    return lines, lanes, np.where(terms == 1, lanes, -1), label


def _colors_text(entries):
    sides = zip(_counts(entries), ("columns", "rows"), strict=True)
    text = " and ".join(f"{counted(count, 'colour')} of {name}" for count, name in sides if count) or "no colours"
    text += " for both triangles" if entries.symmetric else ""
    m, n = entries.window
    return text if entries.window == entries.shape else f"{text}; here the first {m} rows, {n} columns"
