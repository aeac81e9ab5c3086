"""Large patterns seen from afar: how many entries there are in each block of rows and columns."""

from itertools import pairwise

import numpy as np

from sparsead.sparsity.colouring._incidence import checked_pattern


def block_counts(indptr, indices, shape, block):
    """Count the entries in each block of a pattern.

    Parameters
    ----------
    indptr : array_like of int, shape (m + 1,)
    indices : array_like of int, shape (nnz,)
        The pattern in CSR: column indices, strictly increasing in every row.
    shape : tuple of int
        ``(m, n)``.
    block : tuple of int
        Rows and columns of a block, both at least 1.

    Returns
    -------
    ndarray of int64, shape (ceil(m / block[0]), ceil(n / block[1]))
        The last blocks may hold fewer rows or columns.

    Raises
    ------
    TypeError, ValueError
        If the arguments do not describe a pattern, or a block is empty.

    Examples
    --------
    >>> from sparsead.sparsity.drawing import block_counts
    >>> block_counts([0, 2, 3, 4], [0, 1, 1, 3], (3, 4), (2, 2))
    array([[3, 0],
           [0, 1]])
    """
    (indptr, indices), (m, n) = checked_pattern("block_counts", indptr, indices, shape)
    rows, columns = block
    if min(rows, columns) < 1:
        raise ValueError(f"block_counts: block is {tuple(block)}, both must be at least 1")
    first_entries = indptr[[*range(0, m, rows), m]]
    counts = np.zeros((first_entries.size - 1, -(-n // columns)), np.int64)
    for count, (begin, end) in zip(counts, pairwise(first_entries), strict=True):
        count[:] = np.bincount(indices[begin:end] // columns, minlength=count.size)
    return counts


def fitting_block(shape, limits, least=16):
    """Rows and columns of the smallest block of which at most ``limits`` are needed in each direction.

    It is a square, unless that leaves fewer than `least` blocks along the shorter side: long patterns would be lines.
    """
    needed = [max(1, -(-size // limit)) for size, limit in zip(shape, limits, strict=True)]
    return tuple(max(own, min(max(needed), size // least)) for own, size in zip(needed, shape, strict=True))
