"""What a colouring must satisfy, as its definition has it: the oracle of the tests, not coded for speed."""

import numpy as np

from ._coloring import PARTITIONS
from ._incidence import as_int32, checked_pattern


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
    if partition not in PARTITIONS:
        raise ValueError(f"{caller}: partition is {partition!r}, must be one of {PARTITIONS}")
    n_expected = shape[1] if partition == "column" else shape[0]
    if colors.size != n_expected:
        raise ValueError(f"{caller}: colors has length {colors.size}, must have one per {partition}: {n_expected}")
    rows = np.repeat(np.arange(shape[0]), np.diff(indptr))
    met_in, color = (rows, colors[indices]) if partition == "column" else (indices, colors[rows])
    meetings = list(zip(met_in.tolist(), color.tolist(), strict=True))
    return len(set(meetings)) == len(meetings)
