"""Greedy colouring: every column (or row) in turn takes the first colour that none of its neighbours has."""

from . import _greedy
from ._coloring import Coloring
from ._incidence import Incidence, kept_pattern
from ._orders import resolve


def color_columns(indptr, indices, shape, order="natural", *, seed=0):
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
    order : {"natural", "largest_first", "random"} or array_like of int, shape (n,), optional
        The order in which columns choose: by name, or a permutation of ``range(n)``. "largest_first" counts for each
        column how many others share a row with it, which takes longer than the colouring itself.
    seed : int, optional
        For "random" only.

    Returns
    -------
    Coloring
        With partition "column" and `colors` of shape (n,). A column without entries has colour 0.

    Raises
    ------
    TypeError, ValueError
        If the arguments do not describe a pattern (wrong lengths, entries that are unsorted, duplicate or out of range,
        sizes beyond 32-bit integers) or an order.

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
    return _first_fit("color_columns", "column", indptr, indices, shape, order, seed)


def color_rows(indptr, indices, shape, order="natural", *, seed=0):
    """Colour the rows of a pattern so that rows of one colour have no column in common.

    As `color_columns` of the transposed pattern: a Jacobian follows from one adjoint sweep per colour.

    Parameters
    ----------
    indptr : array_like of int, shape (m + 1,)
    indices : array_like of int, shape (nnz,)
        The pattern in CSR: column indices, strictly increasing in every row.
    shape : tuple of int
        ``(m, n)``.
    order : {"natural", "largest_first", "random"} or array_like of int, shape (m,), optional
        The order in which rows choose: by name, or a permutation of ``range(m)``.
    seed : int, optional
        For "random" only.

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
    return _first_fit("color_rows", "row", indptr, indices, shape, order, seed)


def _first_fit(caller, partition, indptr, indices, shape, order, seed):
    pattern = kept_pattern(caller, indptr, indices, shape)
    graph = Incidence(pattern[:2], pattern.shape, partition)
    name, permutation = resolve(caller, order, seed, graph)
    colors = _greedy.first_fit_net(graph.nets_of, graph.n_nets, permutation)
    return Coloring(partition, colors, graph.largest_net, name, pattern=pattern)
