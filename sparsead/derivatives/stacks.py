"""Sparse matrices at several points: one structure, and the data of each."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass

import numpy as np
from scipy.sparse import sparray

from sparsead.derivatives.layouts import Layout, sparse


@dataclass(frozen=True, eq=False)
class Stack:
    """Sparse matrices with the same entries; ``stack[k]`` is number k of ``len(stack)``.

    Parameters
    ----------
    data : ndarray, shape (points, entries)
    structure : csr_array or csc_array
        One of them: its index arrays are those of all.
    """

    data: np.ndarray
    structure: sparray

    def __len__(self):
        return len(self.data)

    def __getitem__(self, k):
        """Number k, on the memory of `data`."""
        matrix = copy(self.structure)
        matrix.data = self.data[k]
        return matrix


def stacked(matrices):
    """`Stack` of matrices of one shape and format; those of other structures get zeros for entries that they have not."""
    if not matrices:
        raise ValueError("at_points was given no point")
    last = matrices[-1]
    other = next((m for m in matrices if m.shape != last.shape), None)
    if other is not None:
        raise ValueError(f"the points give matrices of shapes {other.shape} and {last.shape}; they have to have one shape")
    structures = list({id(m.indices): m for m in reversed(matrices)}.values())
    layout = _layout(last)
    for matrix in structures[1:]:
        layout = layout.united_with(matrix.indptr, matrix.indices)
    if len(structures) == 1:
        return Stack(np.stack([m.data for m in matrices]), last)
    places = {id(m.indices): layout.places(m.indptr, m.indices) for m in structures}
    data = np.zeros((len(matrices), layout.nnz), np.result_type(*[m.dtype for m in matrices]))
    for row, matrix in zip(data, matrices, strict=True):
        row[places[id(matrix.indices)]] = matrix.data
    return Stack(data, sparse(type(last), data[-1], layout.indices, layout.indptr, last.shape))


def _layout(matrix):
    """The structure of a matrix; of compressed columns that of the transpose."""
    shape = matrix.shape if matrix.format == "csr" else matrix.shape[::-1]
    return Layout(matrix.indptr, matrix.indices, shape, "csr")


__all__ = ["Stack", "stacked"]
