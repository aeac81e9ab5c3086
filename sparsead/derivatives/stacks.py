"""Sparse matrices at several points: one structure, and the data of each."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass

import numpy as np
from scipy.sparse import sparray


@dataclass(frozen=True)
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


def stacked(matrix_at, points):
    """`Stack` of ``matrix_at(point)`` for all points; if the structure grows on the way, those before are computed again."""
    if not points:
        raise ValueError("at_points was given no point")
    while True:
        matrices = [matrix_at(point) for point in points]
        last = matrices[-1]
        other = next((m for m in matrices if m.shape != last.shape), None)
        if other is not None:
            raise ValueError(f"the points give matrices of shapes {other.shape} and {last.shape}; they have to have one shape")
        if all(m.indices is last.indices for m in matrices):
            return Stack(np.stack([m.data for m in matrices]), last)


__all__ = ["Stack", "stacked"]
