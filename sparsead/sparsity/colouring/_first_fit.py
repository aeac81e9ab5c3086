"""Greedy colouring: every column (or row) in turn takes the first colour that none of its neighbours has."""

import numpy as np

from . import _greedy, _substitution
from ._coloring import Coloring
from ._incidence import Incidence, checked_forced, kept_pattern
from ._orders import best, candidates


def color_columns(indptr, indices, shape, order="natural", *, seed=0, forced_colors=None):
    """Colour the columns of a pattern so that columns of one colour have no row in common.

    This is partial distance-2 colouring of the bipartite graph of the pattern by first-fit: a Jacobian with this
    pattern follows from one tangent sweep per colour (Curtis, Powell and Reid, J. Inst. Math. Appl. 13, 1974;
    Gebremedhin, Manne and Pothen, "What color is your Jacobian?", SIAM Review 47, 2005).

    Parameters
    ----------
    indptr : array_like of int, shape (m + 1,)
    indices : array_like of int, shape (nnz,)
        The pattern in CSR: column indices, strictly increasing in every row.
    shape : tuple of int
        ``(m, n)``.
    order : str, array_like of int, shape (n,), or tuple of these, optional
        The order in which columns choose: a name in `ORDERS`, or a permutation of ``range(n)``. Of several the first
        with the fewest colours is taken; no further order is tried once the lower bound is met. All but "natural" and
        "random" count the columns that share a row with each, which takes longer than the colouring itself: the sum of
        squared row sizes. Beyond both 10**8 and 1000 times the number of entries, the longest rows are not counted.
    seed : int, optional
        For "random" only; several in a tuple take this seed, the next one and so on.
    forced_colors : array_like of int, shape (n,), optional
        Colours, below n, that columns have to keep; -1 for a free choice.

    Returns
    -------
    Coloring
        With partition "column" and `colors` of shape (n,). A column without entries has colour 0.

    Raises
    ------
    TypeError, ValueError
        If the arguments do not describe a pattern (wrong lengths, entries that are unsorted, duplicate or out of range,
        sizes beyond 32-bit integers) or an order; or if two columns with an entry in the same row are forced to one colour.

    See Also
    --------
    color_rows, is_structurally_orthogonal

    Examples
    --------
    The columns of a tridiagonal matrix need three colours however long it is:

    >>> import scipy.sparse as sp
    >>> from sparsead.sparsity.colouring import color_columns
    >>> A = sp.diags_array([1.0, 1.0, 1.0], offsets=[-1, 0, 1], shape=(6, 6), format="csr")
    >>> coloring = color_columns(A.indptr, A.indices, A.shape)
    >>> coloring
    Coloring(column, 3 colours, lower bound 3, natural)
    >>> coloring.colors
    array([0, 1, 2, 0, 1, 2], dtype=int32)
    """
    return _first_fit("color_columns", "column", indptr, indices, shape, order, seed, forced_colors)


def color_rows(indptr, indices, shape, order="natural", *, seed=0, forced_colors=None):
    """Colour the rows of a pattern so that rows of one colour have no column in common.

    As `color_columns` of the transposed pattern: a Jacobian follows from one adjoint sweep per colour.

    Parameters
    ----------
    indptr : array_like of int, shape (m + 1,)
    indices : array_like of int, shape (nnz,)
        The pattern in CSR: column indices, strictly increasing in every row.
    shape : tuple of int
        ``(m, n)``.
    order : str, array_like of int, shape (m,), or tuple of these, optional
        As for `color_columns`.
    seed : int, optional
    forced_colors : array_like of int, shape (m,), optional

    Returns
    -------
    Coloring
        With partition "row" and `colors` of shape (m,).

    Raises
    ------
    TypeError, ValueError
        As `color_columns`.

    Examples
    --------
    With a dense column every row needs a colour of its own:

    >>> from sparsead.sparsity.colouring import color_columns, color_rows
    >>> indptr, indices, shape = [0, 2, 4, 6], [0, 1, 0, 2, 0, 3], (3, 4)
    >>> color_columns(indptr, indices, shape), color_rows(indptr, indices, shape)
    (Coloring(column, 2 colours, lower bound 2, natural), Coloring(row, 3 colours, lower bound 3, natural))
    """
    return _first_fit("color_rows", "row", indptr, indices, shape, order, seed, forced_colors)


def _first_fit(caller, partition, indptr, indices, shape, order, seed, forced_colors):
    pattern = kept_pattern(caller, indptr, indices, shape)
    graph = Incidence(pattern[:2], pattern.shape, partition)
    orders, bound = candidates(caller, order, seed, graph), graph.largest_net
    if forced_colors is None:
        name, (_, colors) = best(orders, lambda permutation, _: _counted(first_fit(graph, permutation)), bound)
    else:
        forced = checked_forced(caller, forced_colors, graph.n_vertices)
        _check_fit(caller, graph, forced)
        name, (_, colors) = best(orders, lambda permutation, _: _counted(_rest(graph, permutation, forced)), bound)
    return Coloring(partition, colors, bound, name, pattern=pattern)


def first_fit(graph, permutation):
    """Colours of an `Incidence` in this order."""
    return _greedy.first_fit_net(graph.nets_of, graph.n_nets, permutation)


def _counted(colors):
    return int(colors.max(initial=-1)) + 1, colors


def _rest(graph, permutation, forced):
    return _greedy.first_fit_vertex(graph.nets_of, graph.vertices_of, permutation[forced[permutation] < 0], forced)


def _check_fit(caller, graph, forced):
    met = graph.vertices_of[1]
    clash = (forced[met] >= 0) & ~_substitution.find_alone(graph.vertices_of, forced, graph.n_vertices)
    if clash.any():
        vertex = met[np.argmax(clash)]
        raise ValueError(f"{caller}: colour {forced[vertex]} forced on {vertex} does not fit the others")
