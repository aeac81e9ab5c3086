"""What a colouring must satisfy, as its definition has it: the oracle of the tests, not coded for speed."""

import numpy as np

from ._incidence import as_int32, checked_pattern, kept_pattern, symmetric_graph

SIDES = ("column", "row")


def is_structurally_orthogonal(indptr, indices, shape, colors, partition="column"):
    """Whether columns of equal colour never have an entry in the same row (rows: in the same column).

    Then, and only then, every entry of a matrix with this pattern can be read directly from the sums of its columns
    (rows) over each colour (Gebremedhin, Manne and Pothen, SIAM Review 47, 2005, section 3.1).

    Parameters
    ----------
    indptr : array_like of int, shape (m + 1,)
    indices : array_like of int, shape (nnz,)
        The pattern in CSR.
    shape : tuple of int
        ``(m, n)``.
    colors : array_like of int, shape (n,) for columns, (m,) for rows
    partition : {"column", "row"}, optional

    Returns
    -------
    bool

    Raises
    ------
    TypeError, ValueError
        If the arguments do not describe a pattern, or `colors` has the wrong length.

    Examples
    --------
    >>> from sparsead.sparsity.colouring import is_structurally_orthogonal
    >>> indptr, indices, shape = [0, 2, 3], [0, 1, 2], (2, 3)
    >>> is_structurally_orthogonal(indptr, indices, shape, [0, 1, 0])
    True
    >>> is_structurally_orthogonal(indptr, indices, shape, [0, 0, 1])
    False
    """
    caller = "is_structurally_orthogonal"
    (indptr, indices), shape = checked_pattern(caller, indptr, indices, shape)
    colors = as_int32(caller, "colors", colors)
    if partition not in SIDES:
        raise ValueError(f"{caller}: partition is {partition!r}, must be one of {SIDES}")
    _check_length(caller, "colors", colors, partition, shape[1] if partition == "column" else shape[0])
    rows = np.repeat(np.arange(shape[0]), np.diff(indptr))
    met_in, color = (rows, colors[indices]) if partition == "column" else (indices, colors[rows])
    meetings = list(zip(met_in.tolist(), color.tolist(), strict=True))
    return len(set(meetings)) == len(meetings)


def is_star_coloring(indptr, indices, shape, colors):
    """Whether neighbours differ and no path of four vertices has two colours only.

    Then, and only then, each entry of a symmetric matrix with this pattern can be read directly from the sums of its columns over
    each colour, if its diagonal is full (Coleman and More, Math. Program. 28, 1984).

    Parameters
    ----------
    indptr : array_like of int, shape (n + 1,)
    indices : array_like of int, shape (nnz,)
        The pattern in CSR, symmetric.
    shape : tuple of int
        ``(n, n)``.
    colors : array_like of int, shape (n,)
        A neutral vertex (-1) counts as of a colour of its own. It must be possible to read all its entries at itself: it has no
        diagonal entry, and its neighbours have different colours, none of them neutral.

    Returns
    -------
    bool

    Raises
    ------
    TypeError, ValueError
        If the arguments do not describe a symmetric pattern, or `colors` has the wrong length.

    Examples
    --------
    >>> from sparsead.sparsity.colouring import is_star_coloring
    >>> path = [0, 1, 3, 5, 6], [1, 0, 2, 1, 3, 2], (4, 4)
    >>> is_star_coloring(*path, [0, 1, 0, 2]), is_star_coloring(*path, [0, 1, 0, 1])
    (True, False)
    """
    neighbors, colors = _symmetric("is_star_coloring", indptr, indices, shape, colors)
    return neighbors is not None and _differ(neighbors, colors) and _has_stars_only(neighbors, colors)


def is_acyclic_coloring(indptr, indices, shape, colors):
    """Whether neighbours differ and no cycle has two colours only.

    Then the entries of a symmetric matrix with this pattern follow by substitution from the sums of its columns over each colour
    (Coleman and Cai, SIAM J. Algebraic Discrete Methods 7, 1986).

    Parameters
    ----------
    indptr : array_like of int, shape (n + 1,)
    indices : array_like of int, shape (nnz,)
        The pattern in CSR, symmetric.
    shape : tuple of int
        ``(n, n)``.
    colors : array_like of int, shape (n,)
        -1 as for `is_star_coloring`.

    Returns
    -------
    bool

    Raises
    ------
    TypeError, ValueError
        If the arguments do not describe a symmetric pattern, or `colors` has the wrong length.

    Examples
    --------
    >>> from sparsead.sparsity.colouring import is_acyclic_coloring
    >>> square = [0, 2, 4, 6, 8], [1, 3, 0, 2, 1, 3, 0, 2], (4, 4)
    >>> is_acyclic_coloring(*square, [0, 1, 0, 2]), is_acyclic_coloring(*square, [0, 1, 0, 1])
    (True, False)
    """
    neighbors, colors = _symmetric("is_acyclic_coloring", indptr, indices, shape, colors)
    return neighbors is not None and _differ(neighbors, colors) and _has_trees_only(neighbors, colors)


def is_star_bicoloring(indptr, indices, shape, column_colors, row_colors):
    """Whether no path of four columns and rows has one colour of columns and one of rows only.

    That is a star colouring of [0 J^T; J 0] whose columns and rows have no colour in common: each entry of a matrix J with this
    pattern can be read from a sum of columns or a sum of rows.

    Parameters
    ----------
    indptr : array_like of int, shape (m + 1,)
    indices : array_like of int, shape (nnz,)
        The pattern in CSR.
    shape : tuple of int
        ``(m, n)``.
    column_colors : array_like of int, shape (n,)
    row_colors : array_like of int, shape (m,)
        -1 as for `is_star_coloring`.

    Returns
    -------
    bool

    Raises
    ------
    TypeError, ValueError
        If the arguments do not describe a pattern, or colours have the wrong length.

    Examples
    --------
    >>> from sparsead.sparsity.colouring import is_star_bicoloring
    >>> is_star_bicoloring([0, 2, 4], [0, 1, 0, 1], (2, 2), [0, 0], [0, 1])
    True
    >>> is_star_bicoloring([0, 2, 4], [0, 1, 0, 1], (2, 2), [0, 0], [0, 0])
    False
    """
    neighbors, colors = _bipartite("is_star_bicoloring", indptr, indices, shape, column_colors, row_colors)
    return neighbors is not None and _has_stars_only(neighbors, colors)


def is_acyclic_bicoloring(indptr, indices, shape, column_colors, row_colors):
    """Whether no cycle of columns and rows has one colour of columns and one of rows only.

    Then the entries follow by substitution from sums of columns and of rows; see `is_star_bicoloring`.

    Parameters
    ----------
    indptr : array_like of int, shape (m + 1,)
    indices : array_like of int, shape (nnz,)
        The pattern in CSR.
    shape : tuple of int
        ``(m, n)``.
    column_colors : array_like of int, shape (n,)
    row_colors : array_like of int, shape (m,)
        -1 as for `is_star_coloring`.

    Returns
    -------
    bool

    Raises
    ------
    TypeError, ValueError
        If the arguments do not describe a pattern, or colours have the wrong length.

    Examples
    --------
    >>> from sparsead.sparsity.colouring import is_acyclic_bicoloring
    >>> is_acyclic_bicoloring([0, 2, 4], [0, 1, 0, 1], (2, 2), [0, 0], [0, 1])
    True
    """
    neighbors, colors = _bipartite("is_acyclic_bicoloring", indptr, indices, shape, column_colors, row_colors)
    return neighbors is not None and _has_trees_only(neighbors, colors)


def _check_length(caller, name, colors, side, expected):
    if colors.size != expected:
        raise ValueError(f"{caller}: {name} has length {colors.size}, must have one per {side}: {expected}")


def _symmetric(caller, indptr, indices, shape, colors):
    """Sets of neighbours, and colours without neutral ones; None for neighbours where a neutral vertex cannot be one."""
    pattern = kept_pattern(caller, indptr, indices, shape)
    symmetric_graph(caller, pattern)
    colors = as_int32(caller, "colors", colors)
    _check_length(caller, "colors", colors, "column", pattern.shape[1])
    neighbors = [set(row.tolist()) for row in np.split(pattern.indices, pattern.indptr[1:-1])][: pattern.shape[0]]
    colors = colors.tolist()
    if any(v in others and colors[v] < 0 for v, others in enumerate(neighbors)):
        return None, colors
    return _without_neutral([others - {v} for v, others in enumerate(neighbors)], colors)


def _bipartite(caller, indptr, indices, shape, column_colors, row_colors):
    """The same for columns, then rows, whose colours count on from those of the columns."""
    (indptr, indices), (m, n) = checked_pattern(caller, indptr, indices, shape)
    columns, rows = as_int32(caller, "column_colors", column_colors), as_int32(caller, "row_colors", row_colors)
    _check_length(caller, "column_colors", columns, "column", n)
    _check_length(caller, "row_colors", rows, "row", m)
    neighbors = [set() for _ in range(n + m)]
    for i, j in zip(np.repeat(np.arange(m), np.diff(indptr)).tolist(), indices.tolist(), strict=True):
        neighbors[j].add(n + i)
        neighbors[n + i].add(j)
    return _without_neutral(neighbors, columns.tolist() + np.where(rows < 0, -1, rows + n + m).tolist())


def _without_neutral(neighbors, colors):
    for v, others in enumerate(neighbors):
        around = [colors[w] for w in others]
        if colors[v] < 0 and (len(set(around)) < len(around) or min(around, default=0) < 0):
            return None, colors
    highest = max(colors, default=0)
    return neighbors, [highest + 1 + v if color < 0 else color for v, color in enumerate(colors)]


def _differ(neighbors, colors):
    return all(colors[v] != colors[w] for v, others in enumerate(neighbors) for w in others)


def _has_stars_only(neighbors, colors):
    def goes_on(w, x):
        """Whether w has a neighbour of the colour of x besides x."""
        return any(colors[v] == colors[x] for v in neighbors[w] - {x})

    return not any(goes_on(w, x) and goes_on(x, w) for w, others in enumerate(neighbors) for x in others if w < x)


def _has_trees_only(neighbors, colors):
    tree = {}  # of each pair of colours and vertex: a vertex of the same tree

    def root(pair, v):
        while (v_next := tree.setdefault((pair, v), v)) != v:
            v = v_next
        return v

    for w, others in enumerate(neighbors):
        for x in others:
            if w < x:
                pair = tuple(sorted((colors[w], colors[x])))
                a, b = root(pair, w), root(pair, x)
                if a == b:
                    return False
                tree[pair, a] = b
    return True
