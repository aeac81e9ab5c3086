"""Colouring of symmetric patterns, which finds each entry and its mirror image once."""

import operator

import numpy as np

from . import _graphs
from ._coloring import METHODS, Coloring
from ._incidence import checked_forced, kept_pattern, symmetric_graph
from ._neutral import needed_symmetric, without
from ._orders import best, candidates


def color_symmetric(
    indptr, indices, shape, method="star", order="natural", *, seed=0, postprocess=True, forced_colors=None
):  # fmt: skip
    """Colour the columns of a symmetric pattern so that its entries follow from the sums of columns of equal colours.

    Parameters
    ----------
    indptr : array_like of int, shape (n + 1,)
    indices : array_like of int, shape (nnz,)
        The pattern in CSR, both triangles: column indices, strictly increasing in every row.
    shape : int or tuple of int
        ``n`` or ``(n, n)``.
    method : {"star", "acyclic"}, optional
        "star": neighbours differ, and no path of four vertices has two colours; each entry is one of the sums. "acyclic":
        neighbours differ, and no cycle has two colours; entries follow by substitution, from fewer colours.
    order : str, array_like of int, shape (n,), or tuple of these, optional
        The order in which vertices choose: a name in `ORDERS`, or a permutation of ``range(n)``. Of several the first
        with the fewest colours is taken; no further order is tried once the lower bound is met.
    seed : int, optional
        For "random" only; several in a tuple take this seed, the next one and so on.
    postprocess : bool, optional
        Take colours away that no entry has to be read from: their columns are neutral, of colour -1. With a full diagonal there
        are none.
    forced_colors : array_like of int, shape (n,), optional
        Colours, below n, that columns have to take, before all others choose; -1 for a free choice. They are kept as they are,
        without `postprocess`.

    Returns
    -------
    Coloring
        With partition "symmetric", and `colors` of shape (n,).

    Raises
    ------
    TypeError, ValueError
        If the arguments do not describe a pattern or an order; if the pattern is not symmetric (an entry that is missing is
        named); or if a forced colour does not fit.

    See Also
    --------
    is_star_coloring, is_acyclic_coloring, Coloring.recovery

    Notes
    -----
    Gebremedhin, Tarafdar, Manne and Pothen, "New acyclic and star coloring algorithms with application to computing Hessians",
    SIAM J. Sci. Comput. 29 (2007), algorithms 4.1 and 3.1. Around each vertex one edge to each colour is listed, in place of all
    neighbours of neighbours: the time is the sum over all edges of the number of colours around their ends, in any order. Dense
    rows are safe, therefore, as long as the colours are few.

    Examples
    --------
    An arrowhead needs two colours however long it is:

    >>> from sparsead.sparsity.colouring import color_symmetric
    >>> color_symmetric([0, 4, 6, 8, 10], [0, 1, 2, 3, 0, 1, 0, 2, 0, 3], 4)
    Coloring(symmetric star, 2 colours, lower bound 2, natural)
    """
    caller = "color_symmetric"
    if method not in METHODS["symmetric"]:
        raise ValueError(f"{caller}: method is {method!r}, must be one of {METHODS['symmetric']}")
    pattern = kept_pattern(caller, indptr, indices, _square(shape))
    graph = symmetric_graph(caller, pattern)
    forced = None if forced_colors is None else checked_forced(caller, forced_colors, graph.n_vertices)
    n_diagonal = pattern.indices.size - 2 * graph.lists[3]
    postprocess = postprocess and forced is None and n_diagonal < graph.n_vertices  # a diagonal entry is read from its own colour
    bound = _lower_bound(graph, n_diagonal, postprocess)

    def attempt(permutation, found):
        """Colours less neutral ones; None where there are more of them than the best order had."""
        if forced is not None:
            permutation = permutation[np.argsort(forced[permutation] < 0, kind="stable")]
        colors = _graphs.first_fit(graph.lists, method, permutation, forced, found and found[2])
        if colors is None:
            return None
        n_chosen = int(colors.max(initial=-1)) + 1
        if postprocess:
            colors = without(colors, needed_symmetric(pattern, graph, colors, method))
        return int(colors.max(initial=-1)) + 1, colors, n_chosen

    try:
        name, (_, colors, _) = best(candidates(caller, order, seed, graph), attempt, bound)
    except _graphs.DoesNotFit as error:
        raise ValueError(f"{caller}: {error}") from None
    return Coloring("symmetric", colors, bound, name, method, pattern)


def _square(shape):
    try:
        return (operator.index(shape),) * 2
    except TypeError:
        return shape


def _lower_bound(graph, n_diagonal, postprocess):
    """Two colours make a forest of at most so many edges as vertices, less one: too few colours have not enough edges."""
    n, n_edges = graph.n_vertices, graph.lists[3]
    colors = np.arange(n + 1, dtype=np.int64)
    if postprocess:  # a neutral vertex has an edge to each colour at most
        room = colors * n - colors * (colors + 1) // 2
    else:
        room = (colors - 1) * n - colors * (colors - 1) // 2
    return max(int(np.argmax(room >= n_edges)), int(n_diagonal > 0), int(not postprocess and n > 0))
