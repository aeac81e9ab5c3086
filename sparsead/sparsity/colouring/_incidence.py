"""Patterns as the kernels want them: checked, int32, and seen from the side that is coloured."""

import operator
from functools import cached_property
from typing import NamedTuple

import numpy as np

from . import _graphs, _greedy

INT32_MAX = np.iinfo(np.int32).max
# To count degrees exactly takes the sum of squared net sizes. It may be so many visits, which take below a second, or so many for
# each entry: nets of no more vertices are always counted, as rows of finite elements of high order may all be that long.
VISITS, VISITS_PER_ENTRY = 10**8, 1000


class Incidence:
    """The bipartite graph of a pattern: the vertices are coloured, vertices that share a net need different colours.

    For a column colouring the vertices are the columns and the nets the rows; for a row colouring the reverse.

    Parameters
    ----------
    rows : tuple of int32 arrays
        ``(indptr, indices)`` of the pattern in CSR, as returned by `checked_pattern`.
    shape : tuple of int
    partition : {"column", "row"}
    """

    def __init__(self, rows, shape, partition):
        self._rows, self._n_columns, self._by_column = rows, shape[1], partition == "column"
        self.n_nets, self.n_vertices = shape if self._by_column else shape[::-1]

    @cached_property
    def _columns(self):
        return _greedy.transpose(self._rows, self._n_columns)

    @property
    def nets_of(self):
        """Adjacency lists ``(start, items)`` of the vertices."""
        return self._columns if self._by_column else self._rows

    @property
    def vertices_of(self):
        """Adjacency lists ``(start, items)`` of the nets."""
        return self._rows if self._by_column else self._columns

    def degrees(self):
        """Number of other vertices that share a net, one of `counted_nets`, with each vertex; takes longer than to colour."""
        if self._is_clique:
            return np.full(self.n_vertices, self.n_vertices - 1, np.int32)
        return _greedy.distance2_degrees(*self.counted_nets)

    def dynamic_order(self, kind):
        """The order `_greedy.dynamic_order` of this kind."""
        if self._is_clique:
            return np.arange(self.n_vertices, dtype=np.int32)
        return _greedy.dynamic_order(kind, self.degrees(), *self.counted_nets)

    @cached_property
    def counted_nets(self):
        """`nets_of` and `vertices_of` for degrees: without the longest nets, where all of them would take too many visits.

        Any order gives a colouring. A long net adds about as much to the degrees of all its vertices, and so says little on their
        order; but alone it is quadratic work.
        """
        start, items = self.vertices_of
        sizes, most = np.diff(start).astype(np.int64), max(VISITS, VISITS_PER_ENTRY * items.size)
        if sizes @ sizes <= most:
            return self.nets_of, self.vertices_of
        by_size = np.argsort(sizes, kind="stable")
        counted = np.empty(sizes.size, bool)
        counted[by_size] = np.cumsum(sizes[by_size] ** 2) <= most
        short = np.concatenate([[0], np.cumsum(sizes * counted)]).astype(np.int32), items[np.repeat(counted, sizes)]
        return _greedy.transpose(short, self.n_vertices), short

    @property
    def _is_clique(self):
        """Whether one net has all vertices: then each needs its own colour in any order, and to count is quadratic work."""
        return self.largest_net == self.n_vertices > 0

    @property
    def largest_net(self):
        """Size of the largest net: so many vertices differ pairwise, so no colouring has fewer colours."""
        return int(np.diff(self.vertices_of[0]).max(initial=0))


class Graph:
    """A graph whose vertices are coloured so that neighbours, at least, differ.

    Parameters
    ----------
    lists : tuple
        ``(start, items, edge, n_edges)``; see ``_graphs.pyx``.
    """

    def __init__(self, lists):
        self.lists, self.n_vertices = lists, lists[0].size - 1

    def degrees(self):
        """Number of neighbours of each vertex."""
        return np.diff(self.lists[0])

    def dynamic_order(self, kind):
        """The order `_greedy.dynamic_order` of this kind."""
        return _greedy.dynamic_order(kind, self.degrees(), self.lists[:2])


class Pattern(NamedTuple):
    """A pattern that has been checked, in arrays that nobody writes."""

    indptr: np.ndarray
    indices: np.ndarray
    shape: tuple[int, int]


def transpose_pattern(indptr, indices, shape):
    """CSR to CSC of a pattern without values.

    Parameters
    ----------
    indptr : array_like of int, shape (m + 1,)
    indices : array_like of int, shape (nnz,)
        Column indices, strictly increasing in every row.
    shape : tuple of int
        ``(m, n)``.

    Returns
    -------
    indptr : ndarray of int32, shape (n + 1,)
    indices : ndarray of int32, shape (nnz,)
        Row indices, strictly increasing in every column.

    Raises
    ------
    TypeError, ValueError
        If the arguments do not describe a pattern.

    Examples
    --------
    >>> from sparsead.sparsity.colouring import transpose_pattern
    >>> transpose_pattern([0, 2, 3], [0, 2, 2], (2, 3))
    (array([0, 1, 1, 3], dtype=int32), array([0, 0, 1], dtype=int32))
    """
    rows, shape = checked_pattern("transpose_pattern", indptr, indices, shape)
    return _greedy.transpose(rows, shape[1])


def checked_pattern(caller, indptr, indices, shape):
    """Contiguous int32 ``(indptr, indices)`` and ``shape`` as ints, or an error that begins with `caller`."""
    shape = _checked_shape(caller, shape)
    indices = as_int32(caller, "indices", indices)
    indptr = as_int32(caller, "indptr", indptr)
    if indptr.size != shape[0] + 1:
        raise ValueError(
            f"{caller}: indptr of shape {indptr.shape} for shape {shape}: it must have {shape[0] + 1} entries, one per "
            "row and one more (for a pattern in CSC, call the function for the other partition)"
        )
    if indptr[0] != 0 or indptr[-1] != indices.size or np.any(indptr[1:] < indptr[:-1]):
        raise ValueError(
            f"{caller}: indptr must start at 0, never decrease and end at {indices.size}, the length of indices; "
            f"it starts at {indptr[0]} and ends at {indptr[-1]}"
        )
    row = _greedy.find_bad_list((indptr, indices), shape[1])
    if row >= 0:
        raise ValueError(f"{caller}: {_row_complaint(row, indices[indptr[row] : indptr[row + 1]], shape[1])}")
    return (indptr, indices), shape


def kept_pattern(caller, indptr, indices, shape):
    """The `Pattern` of these, or an error that begins with `caller`. Arrays that somebody may write are copied."""
    rows, shape = checked_pattern(caller, indptr, indices, shape)
    kept_indptr, kept_indices = (array.copy() if array.flags.writeable else array for array in rows)
    for array in (kept_indptr, kept_indices):
        array.setflags(write=False)
    return Pattern(kept_indptr, kept_indices, shape)


def symmetric_graph(caller, pattern):
    """The graph of a symmetric pattern, or an error that begins with `caller` and names an entry that is missing."""
    indptr, indices, (m, n) = pattern
    if m != n:
        raise ValueError(f"{caller}: a pattern of shape {(m, n)} is not symmetric")
    lists = _graphs.symmetric_graph((indptr, indices))
    if lists is not None:
        return Graph(lists)
    entries = np.repeat(np.arange(n), np.diff(indptr)), indices.astype(np.int64)
    here, mirrored = entries[0] * n + entries[1], entries[1] * n + entries[0]
    i, j = divmod(int(np.setdiff1d(mirrored, here).min()), n)
    raise ValueError(f"{caller}: the pattern is not symmetric: it has the entry ({j}, {i}) but not ({i}, {j})")


def bipartite_graph(caller, pattern):
    """The graph of [0 J^T; J 0] for a pattern J: columns are vertices 0 to n - 1, then come the rows, and entries are edges."""
    indptr, indices, (m, n) = pattern
    if m + n >= INT32_MAX or 2 * indices.size > INT32_MAX:
        raise ValueError(f"{caller}: {indices.size} entries in {m} rows and {n} columns are beyond 32-bit integers")
    return Graph(_graphs.bipartite_graph((indptr, indices), n))


def as_int32(caller, name, values):
    """A one-dimensional array of integers as contiguous int32, or an error that names it."""
    array = np.asarray(values)
    if array.ndim != 1:
        raise ValueError(f"{caller}: {name} has shape {array.shape}, must be one-dimensional")
    if array.size and array.dtype.kind not in "iu":
        raise TypeError(f"{caller}: {name} has dtype {array.dtype}, must hold integers")
    if array.size and not np.can_cast(array.dtype, np.int32) and (array.max() > INT32_MAX or array.min() < -INT32_MAX):
        raise ValueError(f"{caller}: {name} holds values beyond 32-bit integers, which is as far as colouring goes")
    return np.ascontiguousarray(array, np.int32)


def checked_forced(caller, forced, n):
    """Forced colours of n vertices as int32, or an error that begins with `caller`."""
    forced = as_int32(caller, "forced_colors", forced)
    if forced.size != n:
        raise ValueError(f"{caller}: forced_colors has length {forced.size}, must have one for each of {n}")
    if forced.size and not (forced.min() >= -1 and forced.max() < n):
        raise ValueError(f"{caller}: forced_colors must be from -1 to {n - 1}")
    return forced


def _checked_shape(caller, shape):
    try:
        m, n = (operator.index(size) for size in shape)
    except (TypeError, ValueError):
        raise TypeError(f"{caller}: shape is {shape!r}, must be a pair of integers (m, n)") from None
    if not (0 <= m < INT32_MAX and 0 <= n < INT32_MAX):
        raise ValueError(f"{caller}: shape is {(m, n)}, sizes must be from 0 to {INT32_MAX - 1}")
    return m, n


def _row_complaint(row, indices, n_columns):
    outside = indices[(indices < 0) | (indices >= n_columns)]
    if outside.size:
        return f"row {row} has column index {outside[0]}, outside of 0 to {n_columns - 1}"
    unique, counts = np.unique(indices, return_counts=True)
    if unique.size < indices.size:
        kind = f"has column index {unique[counts > 1][0]} twice"
    else:
        kind = "has unsorted column indices"
    return f"row {row} {kind}; SciPy's A.sum_duplicates() sorts and merges the entries of a csr_array A in place"
