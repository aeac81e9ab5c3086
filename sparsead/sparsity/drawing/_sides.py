"""Which compressed entry holds which entry of the matrix: the columns' side, or the rows'."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sparsead.sparsity.colouring._incidence import as_int32, checked_pattern


class Sums(NamedTuple):
    """What sweeps give for the first rows (or columns): a sum of entries of a line for each colour that occurs in it.

    Parameters
    ----------
    lines, colors : ndarray of int, shape (sums,)
        Row (column) and colour of each.
    terms : ndarray of int, shape (sums,)
        How many entries it adds up.
    n_colors : int
    """

    lines: NDArray
    colors: NDArray
    terms: NDArray
    n_colors: int


class Colored(NamedTuple):
    """The first rows and columns of a coloured pattern.

    Parameters
    ----------
    shape : tuple of int
        Of the whole pattern.
    window : tuple of int
        Rows and columns that are here.
    rows, columns : ndarray of int, shape (entries,)
        Entries in the window.
    color : ndarray of int, shape (entries,)
        Colour that an entry is read from; -1 for none.
    by_row : ndarray of bool, shape (entries,)
        Whether this is the colour of its row; else of its column.
    symmetric : bool
        Whether colours of rows are those of columns, and `row_sums` equal to `column_sums`.
    column_sums, row_sums : Sums
        Sums of columns, which have the rows in the window; sums of rows, which have the columns there.
    """

    shape: tuple[int, int]
    window: tuple[int, int]
    rows: NDArray
    columns: NDArray
    color: NDArray
    by_row: NDArray
    symmetric: bool
    column_sums: Sums
    row_sums: Sums


def colored(caller, indptr, indices, shape, column_colors, row_colors, limit, symmetric=False):
    """`Colored`, with at most `limit` rows and columns; errors begin with `caller`.

    An entry is read from the colour of its column if it is the only one of its row there, else from that of its row if it is
    the only one of its column there (Gebremedhin, Manne and Pothen, SIAM Review 47, 2005, sections 3.3 and 4.1); those of
    substitution are neither, and are shown in the colour of their column, if it has one.
    """
    (indptr, indices), shape = checked_pattern(caller, indptr, indices, shape)
    if column_colors is None and row_colors is None:
        raise ValueError(f"{caller}: neither column_colors nor row_colors are given")
    if symmetric and row_colors is not None:
        raise ValueError(f"{caller}: symmetric=True takes column_colors only: those of rows are the same")
    column_colors = _checked_colors(caller, "column_colors", column_colors, shape[1])
    row_colors = column_colors if symmetric else _checked_colors(caller, "row_colors", row_colors, shape[0])
    if symmetric and shape[0] != shape[1]:
        raise ValueError(f"{caller}: symmetric=True for a pattern of shape {shape}")
    rows, columns = np.repeat(np.arange(shape[0]), np.diff(indptr)), indices
    window = (min(shape[0], limit), min(shape[1], limit))
    of_column, of_row = column_colors[columns], row_colors[rows]
    column_sums, by_column = _sums(rows, of_column, window[0], column_colors.max(initial=-1) + 1)
    row_sums, by_row = _sums(columns, of_row, window[1], row_colors.max(initial=-1) + 1)
    by_row &= ~by_column
    by_row |= (of_column < 0) & (of_row >= 0)
    color = np.where(by_row, of_row, of_column)
    inside = (rows < window[0]) & (columns < window[1])
    return Colored(
        shape, window, rows[inside], columns[inside], color[inside], by_row[inside], symmetric, column_sums, row_sums
    )  # fmt: skip


def _checked_colors(caller, name, colors, size):
    if colors is None:
        return np.full(size, -1, np.int32)
    colors = as_int32(caller, name, colors)
    if colors.size != size:
        raise ValueError(f"{caller}: {name} has length {colors.size}, must be {size} for this pattern")
    return colors


def _sums(lines, colors, n_lines, n_colors):
    """The `Sums` of the first lines, and for each entry whether it is alone in one of them."""
    kept = np.flatnonzero((lines < n_lines) & (colors >= 0))
    where = lines[kept].astype(np.int64) * n_colors + colors[kept]
    found, sum_of_entry, terms = np.unique(where, return_inverse=True, return_counts=True)
    alone = np.zeros(lines.size, bool)
    alone[kept] = terms[sum_of_entry] == 1
    return Sums(*np.divmod(found, max(n_colors, 1)), terms, int(n_colors)), alone
