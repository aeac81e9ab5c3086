"""Which compressed entry holds which entry of the matrix: the columns' side, or the rows'."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sparsead.sparsity.colouring._incidence import as_int32, checked_pattern


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
        Whether colours of rows are those of columns, and `row_sums` the transpose of `column_sums`.
    column_sums : ndarray of int, shape (rows, colours of columns)
        How many entries of a row are summed up in a colour of columns.
    row_sums : ndarray of int, shape (colours of rows, columns)
        How many entries of a column are summed up in a colour of rows.
    """

    shape: tuple[int, int]
    window: tuple[int, int]
    rows: NDArray
    columns: NDArray
    color: NDArray
    by_row: NDArray
    symmetric: bool
    column_sums: NDArray
    row_sums: NDArray


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
    column_sums = _sums(rows, column_colors[columns], window[0], column_colors.max(initial=-1) + 1)
    row_sums = _sums(columns, row_colors[rows], window[1], row_colors.max(initial=-1) + 1)
    inside = (rows < window[0]) & (columns < window[1])
    rows, columns = rows[inside], columns[inside]
    of_column, of_row = column_colors[columns], row_colors[rows]
    by_column, by_row = _alone(column_sums, rows, of_column), _alone(row_sums, columns, of_row)
    by_row &= ~by_column
    by_row |= (of_column < 0) & (of_row >= 0)
    color = np.where(by_row, of_row, of_column)
    return Colored(shape, window, rows, columns, color, by_row, symmetric, column_sums, row_sums.T)


def _checked_colors(caller, name, colors, size):
    if colors is None:
        return np.full(size, -1, np.int32)
    colors = as_int32(caller, name, colors)
    if colors.size != size:
        raise ValueError(f"{caller}: {name} has length {colors.size}, must be {size} for this pattern")
    return colors


def _sums(lines, colors, n_lines, n_colors):
    """How many entries each of the first lines has in each colour."""
    kept = (lines < n_lines) & (colors >= 0)
    where = lines[kept].astype(np.int64) * n_colors + colors[kept]
    return np.bincount(where, minlength=n_lines * n_colors).reshape(n_lines, n_colors)


def _alone(sums, lines, colors):
    """Which entries are the only ones of their line in their colour."""
    alone = colors >= 0
    alone[alone] = sums[lines[alone], colors[alone]] == 1
    return alone
