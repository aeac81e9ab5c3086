"""What a sparse result looks like: one structure for all calls, whose index arrays the results share."""

from __future__ import annotations

from copy import copy
from functools import cached_property

import numpy as np
from scipy.sparse import csc_array, csr_array, issparse

from sparsead.sparsity._places import places_of

FORMATS = {"csr": csr_array, "csc": csc_array, "dense": np.ndarray}
SHOWN = 5  # entries that a message names


class Layout:
    """The structure of a result.

    Parameters
    ----------
    indptr, indices : ndarray
        Compressed rows, columns ascending within a row.
    shape : tuple of int
    format : {"csr", "csc", "dense"}
    version : int
        How often the structure of a function has grown, from 1.
    given : bool
        Whether the structure is the user's: then it never grows.

    Attributes
    ----------
    out_indptr, out_indices : ndarray
        Index arrays of the results, read-only; those of compressed rows for "dense".
    """

    def __init__(self, indptr, indices, shape, format, version=1, given=False):
        self.indptr, self.indices, self.shape, self.format = indptr, indices, shape, format
        self.version, self.given = version, given
        self.out_indptr, self.out_indices, self._order = indptr, indices, None
        if format == "csc":
            index = csr_array((np.arange(len(indices)), indices, indptr), shape).tocsc()
            index.sort_indices()
            self.out_indptr, self.out_indices, self._order = index.indptr, index.indices, index.data
        for array in (self.indptr, self.indices, self.out_indptr, self.out_indices):
            array.flags.writeable = False

    @property
    def nnz(self):
        """Number of stored entries."""
        return len(self.indices)

    # ---- other structures ------------------------------------------------------------------------------------------

    def same_as(self, indptr, indices):
        """Whether these are the entries of this structure."""
        return np.array_equal(self.indptr, indptr) and np.array_equal(self.indices, indices)

    def places(self, indptr, indices):
        """Of entries in compressed rows their positions in the data, -1 for none."""
        rows = np.repeat(np.arange(self.shape[0]), np.diff(indptr))
        major, minor = (indices, rows) if self.format == "csc" else (rows, indices)
        return places_of(self.out_indptr, self.out_indices, major, minor)

    def order_of(self, indptr, indices):
        """Where entries in compressed rows go: ``(order, None)`` if all of the data are among them, with the entry at each
        position, None for the identity; else ``(None, place)``, with the position of each entry."""
        if self.same_as(indptr, indices):
            return self._order, None
        place = self.places(indptr, indices)
        mine = np.flatnonzero(place >= 0)
        if len(mine) < self.nnz:
            return None, place
        order = np.empty(self.nnz, np.intp)
        order[place[mine]] = mine
        return order, None

    def united_with(self, indptr, indices):
        """This layout if it has all of these entries, else one that has them too, of the next version."""
        if self.same_as(indptr, indices) or (self.places(indptr, indices) >= 0).all():
            return self
        ones = csr_array((np.ones(self.nnz, np.int8), self.indices, self.indptr), self.shape)
        union = ones + csr_array((np.ones(len(indices), np.int8), indices, indptr), self.shape)
        union.sort_indices()
        indices = union.indices.astype(np.int32)
        return Layout(index_pointers(union.indptr), indices, self.shape, self.format, self.version + 1)

    # ---- results ---------------------------------------------------------------------------------------------------

    @cached_property
    def _empty(self):
        """A result without data: a copy of it costs a tenth of making one."""
        return sparse(FORMATS[self.format], np.zeros(0), self.out_indices, self.out_indptr, self.shape)

    def wrapped(self, data):
        """A sparse array of this structure around `data`."""
        result = copy(self._empty)
        result.data = data
        return result

    @cached_property
    def rows(self):
        """The row of each entry of compressed rows."""
        return np.repeat(np.arange(self.shape[0], dtype=np.int32), np.diff(self.indptr))

    def dense(self, data, out=None):
        """`data` in an array of all entries; in `out` if given."""
        dense = np.zeros(self.shape, data.dtype) if out is None else _checked_dense(out, self.shape, data.dtype)
        dense[...] = 0
        dense[self.rows, self.indices] = data
        return dense

    def check(self, out):
        """Refuse an `out` of another structure."""
        if type(out) is not FORMATS[self.format] or out.shape != self.shape:
            raise ValueError(f"out has to be a {self.format}_array of shape {self.shape}, got {type(out).__name__} of shape "
                             f"{getattr(out, 'shape', None)}")  # fmt: skip
        same = (out.indices is self.out_indices and out.indptr is self.out_indptr) or (
            np.array_equal(out.indices, self.out_indices) and np.array_equal(out.indptr, self.out_indptr)
        )
        if not same:
            grown = f"; it has grown since, to version {self.version}" if self.version > 1 else ""
            raise ValueError(f"out has another structure than this Jacobian{grown}; pass one of its own results")
        if out.data.shape != (self.nnz,):
            raise ValueError(f"out.data has shape {out.data.shape}, this Jacobian has {self.nnz} entries")

    @staticmethod
    def fill(out, data):
        """Copy `data` into those of `out`."""
        _check_dtype(out, data.dtype)
        out.data[...] = data

    @cached_property
    def pattern(self):
        """The structure as a ``csr_array`` of ones."""
        return sparse(csr_array, np.ones(self.nnz), self.indices, self.indptr, self.shape)


def sparse(cls, data, indices, indptr, shape):
    """A sparse array over shared index arrays, without SciPy's copies and checks."""
    array = cls(shape, dtype=data.dtype)
    array.data, array.indices, array.indptr = data, indices, indptr
    array.has_canonical_format = array.has_sorted_indices = True
    return array


def index_pointers(indptr):
    """`indptr` as 32-bit integers if they hold the number of entries."""
    return indptr.astype(np.int32 if indptr[-1] < 2**31 else np.int64, copy=False)


def triangle_of(indptr, indices, triangle):
    """The compressed rows of the lower or upper triangle of a pattern, with its diagonal."""
    rows = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    mine = indices <= rows if triangle == "lower" else indices >= rows
    counts = np.bincount(rows[mine], minlength=len(indptr) - 1)
    return index_pointers(np.concatenate([[0], np.cumsum(counts)])), indices[mine]


class GivenPattern:
    """A pattern from the user, as compressed rows; two with the same entries are equal.

    Parameters
    ----------
    pattern : sparse array or matrix, or array_like of two dimensions
        Stored entries count, zeros or not; of a dense array those that are not zero.

    Raises
    ------
    TypeError, ValueError
        It is neither; its indices are out of range, or one occurs twice.
    """

    def __init__(self, pattern):
        if not issparse(pattern):
            dense = np.asarray(pattern)
            if dense.ndim != 2 or dense.dtype.kind not in "biufc":
                raise TypeError(f"pattern has to be a sparse array or an array of two dimensions, got {type(pattern).__name__}"
                                f" of shape {dense.shape} and dtype {dense.dtype}")  # fmt: skip
            pattern = csr_array(dense != 0)
        self.shape = tuple(map(int, pattern.shape))
        if len(self.shape) != 2:
            raise ValueError(f"pattern has shape {self.shape}; it has to have two dimensions")
        _check_starts(pattern)
        coo = pattern.tocoo()
        rows, columns = (np.asarray(x, np.int64) for x in (coo.row, coo.col))
        self._check(rows, columns)
        order = np.lexsort((columns, rows))
        rows, columns = rows[order], columns[order]
        twice = np.flatnonzero((rows[1:] == rows[:-1]) & (columns[1:] == columns[:-1]))
        if twice.size:
            raise ValueError(f"pattern has entry ({rows[twice[0]]}, {columns[twice[0]]}) twice; pattern.sum_duplicates() merges "
                             "the entries of a SciPy array in place")  # fmt: skip
        starts = np.searchsorted(rows, np.arange(self.shape[0] + 1))
        self.indptr = starts.astype(np.int32 if len(rows) < 2**31 else np.int64)
        self.indices = columns.astype(np.int32)
        self._key = self.shape, self.indptr.tobytes(), self.indices.tobytes()

    def _check(self, rows, columns):
        for name, found, size in (("row", rows, self.shape[0]), ("column", columns, self.shape[1])):
            outside = found[(found < 0) | (found >= size)]
            if outside.size:
                raise ValueError(f"pattern has an entry in {name} {outside[0]}; its shape is {self.shape}")

    def __eq__(self, other):
        return isinstance(other, GivenPattern) and self._key == other._key

    def __hash__(self):
        return hash(self._key)

    def layout(self, indptr, indices, shape, format):
        """The layout of results, if the pattern has all entries that were found."""
        if self.shape != shape:
            raise ValueError(f"pattern has shape {self.shape}, the Jacobian has shape {shape}")
        layout = Layout(self.indptr, self.indices, shape, format, given=True)
        missing = np.flatnonzero(layout.places(indptr, indices) < 0)
        if len(missing):
            rows = np.repeat(np.arange(shape[0]), np.diff(indptr))[missing[:SHOWN]]
            named = ", ".join(f"({i}, {j})" for i, j in zip(rows, indices[missing[:SHOWN]], strict=True))
            raise ValueError(f"pattern lacks {len(missing)} of the {len(indices)} entries that may be other than zero: {named}"
                             f"{', ..' if len(missing) > SHOWN else ''}; leave pattern= out to have it found")  # fmt: skip
        return layout


def _check_starts(pattern):
    """Refuse an ``indptr`` by which SciPy, which follows it unchecked, would write where no entries are."""
    starts = getattr(pattern, "indptr", None)
    if starts is not None and (starts[0] != 0 or starts[-1] > len(pattern.indices) or (starts[1:] < starts[:-1]).any()):
        raise ValueError(f"pattern.indptr has to rise from 0 to at most {len(pattern.indices)}, the number of pattern.indices")


def _checked_dense(out, shape, dtype):
    if not isinstance(out, np.ndarray) or out.shape != shape:
        raise ValueError(f"out has to be an array of shape {shape}, got shape {getattr(out, 'shape', None)}")
    _check_dtype(out, dtype)
    return out


def _check_dtype(out, dtype):
    if not np.can_cast(dtype, out.dtype, "same_kind"):
        raise ValueError(f"out has to be of a dtype that holds {dtype}, got {out.dtype}")


__all__ = ["FORMATS", "GivenPattern", "Layout", "index_pointers", "sparse", "triangle_of"]
