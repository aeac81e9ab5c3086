"""From sums of columns and rows to entries: which sums to read, and the substitution that may follow."""

from dataclasses import dataclass, field

import numpy as np

from . import _graphs, _substitution
from ._incidence import bipartite_graph, symmetric_graph

CALLER = "Coloring.recovery"
TRIANGLES = (None, "lower", "upper")
GRAIN = 4096  # steps of substitution that a thread takes at once, and about the least that it pays to hand out
DTYPES = tuple(map(np.dtype, ("f4", "f8", "c8", "c16")))


@dataclass(frozen=True, eq=False)
class Recovery:
    """Which sums to read, and how entries follow from them; made by `Coloring.recovery`.

    Source number k is ``B[element[k], color[k]]`` where ``side[k]`` is 0, and ``C[color[k], element[k]]`` where it is 1: B holds
    the sums of columns, one column for each colour; C those of rows, one row for each colour.

    Attributes
    ----------
    indptr, indices : ndarray of int32
        Structure (CSR) of the entries that `finish` gives: the pattern of the colouring, or a triangle of it.
    color, element : ndarray of int32, shape (n_sources,)
        ``color * width + element`` may not fit into 32 bits.
    side : ndarray of int8, shape (n_sources,), or None
        None: all 0.
    direct : bool
        Sources are the entries themselves, in the order of `indices`, and `finish` copies them. Otherwise they are those of
        substitution, as many as there are distinct entries, in the order in which they are solved for.

    Notes
    -----
    Directly, an infinite or NaN value stays in its entry. With substitution it spreads over those entries of its tree (the edges
    of two colours that hang together) that are solved for after it; all others keep their values. Rounding errors add up along
    these trees as well (Gebremedhin, Tarafdar, Pothen and Walther, "Efficient computation of sparse Hessians using coloring and
    automatic differentiation", INFORMS J. Comput. 21, 2009).

    Examples
    --------
    >>> import numpy as np
    >>> from sparsead.sparsity.colouring import color_symmetric
    >>> H = np.array([[4.0, 1.0, 0.0], [1.0, 5.0, 2.0], [0.0, 2.0, 6.0]])
    >>> coloring = color_symmetric([0, 2, 5, 7], [0, 1, 0, 1, 2, 1, 2], 3, method="acyclic")
    >>> coloring
    Coloring(symmetric acyclic, 2 colours, lower bound 2, natural)
    >>> B = np.stack([H[:, group].sum(axis=1) for group in coloring.groups()], axis=1)
    >>> recovery = coloring.recovery()
    >>> recovery.finish(B[recovery.element, recovery.color], np.empty(7))
    array([4., 1., 1., 5., 2., 2., 6.])
    """

    indptr: np.ndarray
    indices: np.ndarray
    color: np.ndarray
    element: np.ndarray
    side: np.ndarray | None = None
    direct: bool = True
    _steps: tuple = field(default=(), repr=False)
    _chunks: np.ndarray = field(default_factory=lambda: np.zeros(1, np.int32), repr=False)

    def finish(self, values, out):
        """Entries from sources.

        Parameters
        ----------
        values : ndarray, shape (n_sources,)
            C-contiguous, float32, float64, complex64 or complex128. Left as it is.
        out : ndarray, shape (nnz,)
            C-contiguous, of the same dtype; shares no memory with `values` unless `direct`.

        Returns
        -------
        ndarray
            `out`: the entries in the order of `indices`. The same bits whatever the number of threads.

        Raises
        ------
        TypeError, ValueError
            If an array is none of these.
        """
        for name, array, size in (("values", values, self.color.size), ("out", out, self.indices.size)):
            if not isinstance(array, np.ndarray) or array.dtype not in DTYPES:
                raise TypeError(f"Recovery.finish: {name} must be an array of one of the dtypes {', '.join(map(str, DTYPES))}")
            if array.shape != (size,) or not array.flags.c_contiguous:
                raise ValueError(f"Recovery.finish: {name} of shape {array.shape} must be contiguous and of shape {(size,)}")
        if values.dtype != out.dtype:
            raise TypeError(f"Recovery.finish: values are of dtype {values.dtype}, out of {out.dtype}: must be the same")
        if self.direct:
            out[...] = values
        elif np.may_share_memory(values, out):
            raise ValueError("Recovery.finish: values and out share memory")
        else:
            _substitution.substitute(values, out, self._steps, self._chunks)
        return out


class Unreadable(ValueError):
    """Colours do not determine an entry."""

    def __init__(self, row, column):
        super().__init__(f"entry ({row}, {column}) cannot be found from sums for these colours")


def recovery_of(coloring, triangle):
    """The `Recovery` of a `Coloring`."""
    if coloring.pattern is None:
        raise ValueError(f"{CALLER}: this colouring was made without a pattern; give Coloring(..., pattern=...)")
    if triangle not in TRIANGLES:
        raise ValueError(f"{CALLER}: triangle is {triangle!r}, must be one of {TRIANGLES}")
    if triangle is not None and coloring.partition != "symmetric":
        raise ValueError(f"{CALLER}: a {coloring.partition} colouring has no triangles, only a symmetric one")
    if coloring.method == "acyclic":
        return _by_substitution(coloring, triangle)
    return _directly(coloring, triangle)


# ---- direct ------------------------------------------------------------------------------------------------------------


def row_of_entries(indptr):
    """Row of each entry."""
    return np.repeat(np.arange(indptr.size - 1, dtype=np.int32), np.diff(indptr))


def readable(pattern, column_colors, row_colors):
    """Entries that are the only one of their colour in their row (column): two arrays of bool; None for an uncoloured side."""
    indptr, indices, (_, n) = pattern
    by_column = by_row = None
    if column_colors is not None:
        by_column = _substitution.find_alone((indptr, indices), column_colors, int(column_colors.max(initial=-1)) + 1)
    if row_colors is not None:
        start, rows, position = _graphs.transpose_positions((indptr, indices), n)
        by_row = np.empty(indices.size, bool)
        by_row[position] = _substitution.find_alone((start, rows), row_colors, int(row_colors.max(initial=-1)) + 1)
    return by_column, by_row


def _directly(coloring, triangle):
    indptr, indices, _ = coloring.pattern
    rows, columns, symmetric = row_of_entries(indptr), indices, coloring.partition == "symmetric"
    if symmetric:
        symmetric_graph(CALLER, coloring.pattern)
    column_colors = coloring.column_colors
    row_colors = column_colors if symmetric else coloring.row_colors  # the sum of rows is that of columns, transposed
    by_column, by_row = readable(coloring.pattern, column_colors, row_colors)
    known = by_row if by_column is None else by_column if by_row is None else by_column | by_row
    if not known.all():
        lost = int(np.argmin(known))
        raise Unreadable(rows[lost], columns[lost])
    side = None
    if row_colors is None:
        color, element = column_colors[columns], rows
    elif column_colors is None:
        color, element, side = row_colors[rows], columns, np.ones(indices.size, np.int8)
    else:
        color = np.where(by_column, column_colors[columns], row_colors[rows])
        element = np.where(by_column, rows, columns)
        side = None if symmetric else (~by_column).astype(np.int8)
    if triangle is not None:
        chosen, indptr = _triangle(triangle, rows, columns, indptr)
        indices, color, element = columns[chosen], color[chosen], element[chosen]
    return Recovery(indptr, indices, color, element, side)


def _triangle(triangle, rows, columns, indptr):
    """Which entries are in it, and its indptr."""
    chosen = columns <= rows if triangle == "lower" else columns >= rows
    before = np.concatenate([[0], np.cumsum(chosen)]).astype(np.int32)
    return chosen, before[indptr]


# ---- substitution ------------------------------------------------------------------------------------------------------


def edges_of_symmetric(pattern):
    """Positions of the entries below the diagonal, which number the edges, of their mirror images, and of the diagonal."""
    indptr, indices, (_, n) = pattern
    rows = row_of_entries(indptr)
    below, diagonal = (np.flatnonzero(where).astype(np.int32) for where in (indices < rows, indices == rows))
    mirror = _graphs.transpose_positions((indptr, indices), n)[2]
    return below, mirror[below], diagonal


def _by_substitution(coloring, triangle):
    plan = _plan_symmetric if coloring.partition == "symmetric" else _plan_bidirectional
    color, element, side, steps, trees = plan(coloring)
    indptr, indices, _ = coloring.pattern
    if triangle is not None:
        rows = row_of_entries(indptr)
        chosen, new_indptr = _triangle(triangle, rows, indices, indptr)
        at, mirror, following = steps
        at = (np.cumsum(chosen) - 1).astype(np.int32)[np.where(chosen[at], at, mirror)]
        steps, indptr, indices = (at, at, following), new_indptr, indices[chosen]
    return Recovery(indptr, indices, color, element, side, False, steps, _chunks(trees))


def _plan_symmetric(coloring):
    pattern, colors = coloring.pattern, coloring.column_colors
    graph = symmetric_graph(CALLER, pattern).lists
    indptr, columns, _ = pattern
    rows, (below, above, diagonal) = row_of_entries(indptr), edges_of_symmetric(pattern)
    unread = colors[columns[diagonal]] < 0
    equal = (colors[rows[below]] == colors[columns[below]]) & (colors[rows[below]] >= 0)
    for positions, bad in ((diagonal, unread), (below, equal)):
        if bad.any():
            lost = positions[np.argmax(bad)]
            raise Unreadable(rows[lost], columns[lost])
    vertices, edges, following, trees = _planned(graph, colors, rows[below], columns[below])
    at = below[edges]
    other = rows[at] + columns[at] - vertices
    steps = (
        np.concatenate([at, diagonal]),
        np.concatenate([above[edges], diagonal]),
        np.concatenate([following, np.full(diagonal.size, -1, np.int32)]),
    )
    trees = np.concatenate([trees, trees[-1] + np.arange(1, diagonal.size + 1, dtype=np.int32)])
    element = np.concatenate([vertices, rows[diagonal]])
    return np.concatenate([colors[other], colors[rows[diagonal]]]), element, None, steps, trees


def _plan_bidirectional(coloring):
    indptr, columns, (_, n) = coloring.pattern
    rows = row_of_entries(indptr)
    graph = bipartite_graph(CALLER, coloring.pattern).lists
    colors = np.concatenate(coloring.colors)
    vertices, edges, following, trees = _planned(graph, colors, rows, columns)
    side = (vertices < n).astype(np.int8)
    color = np.where(side, coloring.row_colors[rows[edges]], coloring.column_colors[columns[edges]])
    element = np.where(side, vertices, vertices - n).astype(np.int32)
    return color, element, side, (edges, edges, following), trees


def _planned(graph, colors, rows, columns):
    try:
        return _substitution.plan(graph, colors, int(colors.max(initial=-1)) + 1)
    except ValueError as error:
        (edge,) = error.args
        raise Unreadable(rows[edge], columns[edge]) from None


def _chunks(trees):
    """First steps of runs of trees of about `GRAIN` steps, and the end."""
    first = np.searchsorted(trees, np.arange(0, trees[-1], GRAIN))
    return np.unique(np.append(trees[first], trees[-1])).astype(np.int32)
