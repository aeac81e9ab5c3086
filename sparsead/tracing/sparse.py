"""Sparse arrays of SciPy in a traced function: the stored entries are traced, the pattern is what it is.

A function that reaches a CSR, CSC or COO array sees a `TracedSparse` in its place. Its products gather, multiply and add, entry
by entry in the order in which SciPy does.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import issparse, isspmatrix

from sparsead.tracing._traced import CURRENT, TracedArray

PATTERN = {"csr": ("indices", "indptr"), "csc": ("indices", "indptr"), "coo": ("row", "col")}


def is_sparse(obj):
    """Whether `obj` is a matrix of SciPy whose stored entries may be traced."""
    return issparse(obj) and obj.format in PATTERN and obj.ndim == 2 and obj.dtype.kind in "fc"


class TracedSparse:
    """Stands for a sparse array whose entries are traced.

    Attributes
    ----------
    data : TracedArray
        The stored entries; write into them, ``A.data[:] = ...``.
    format, shape, and the arrays of the pattern
        As those of the original.
    """

    __array_ufunc__ = None  # ndarray @ A asks A

    def __init__(self, original, data, transposed=False):
        self._original, self._data, self._transposed = original, data, transposed

    data = property(lambda self: self._data)
    format = property(lambda self: self._pattern.format)
    shape = property(lambda self: self._pattern.shape)
    ndim = 2
    dtype = property(lambda self: self._data.dtype)
    nnz = property(lambda self: self._data.size)
    indices = property(lambda self: self._pattern.indices)
    indptr = property(lambda self: self._pattern.indptr)
    row = property(lambda self: self._pattern.row)
    col = property(lambda self: self._pattern.col)
    T = property(lambda self: self.transpose())

    @property
    def _pattern(self):
        return self._original.T if self._transposed else self._original

    def transpose(self):
        """The transpose, on the same entries."""
        return TracedSparse(self._original, self._data, not self._transposed)

    def _places(self):
        """(rows, columns) of the stored entries."""
        pattern = self._pattern
        if pattern.format == "coo":
            return pattern.row, pattern.col
        major = np.repeat(np.arange(len(pattern.indptr) - 1), np.diff(pattern.indptr))
        return (major, pattern.indices) if pattern.format == "csr" else (pattern.indices, major)

    def __matmul__(self, x):
        return self._product(x)

    def dot(self, x):
        """``A @ x``."""
        return self._product(x)

    def __mul__(self, x):
        if isspmatrix(self._original) and np.ndim(x):
            return self._product(x)
        self.__getattr__("the elementwise product")

    def __rmatmul__(self, x):
        return self.transpose()._product(x.T).T if _ndim(x) == 2 else self.transpose()._product(x)

    def _product(self, x):
        trace = CURRENT.get()
        if isinstance(x, TracedSparse) or issparse(x) or _ndim(x) not in (1, 2):
            self.__getattr__("the product with another sparse array or a number")
        (rows, columns), (m, n) = self._places(), self.shape
        if x.shape[0] != n:
            raise ValueError(f"matmul: a sparse array of shape {self.shape} and an array of shape {x.shape} do not match")
        terms = self._data[:, None] * x[columns] if _ndim(x) == 2 else self._data * x[columns]
        result = trace.fresh(np.zeros((m, *x.shape[1:]), terms.dtype), True)
        np.add.at(result, rows, terms)
        return result

    def __getattr__(self, name):
        trace = CURRENT.get()
        raise NotImplementedError(
            f"{name} of a traced sparse array is not supported{'' if trace is None else trace.at()}: it has data, its "
            "pattern, the transpose, and products with arrays"
        )


def _ndim(x):
    return x.ndim if isinstance(x, (np.ndarray, TracedArray)) else np.ndim(x)
