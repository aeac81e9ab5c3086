"""Where entries are in compressed rows."""
import numpy as np
from numpy import ascontiguousarray, empty  # NumPy's own: a trace wraps the names in its namespace


def places_of(indptr, indices, rows, columns):
    """For each entry (row, column) its position in `indices`, -1 where there is none.

    Parameters
    ----------
    indptr, indices : integer arrays
        Compressed rows, columns ascending within a row.
    rows, columns : integer arrays of one shape
        Negative ones are in no entry.

    Returns
    -------
    ndarray of int64, of that shape, in C order
    """
    found = empty(rows.shape, np.int64)
    _search(ascontiguousarray(indptr, np.int64), ascontiguousarray(indices, np.int32),
            ascontiguousarray(rows, np.int64).reshape(-1), ascontiguousarray(columns, np.int64).reshape(-1), found.reshape(-1))
    return found


cdef void _search(const long long[::1] indptr, const int[::1] indices, const long long[::1] rows,
                  const long long[::1] columns, long long[::1] found) noexcept nogil:
    cdef long long k, low, high, middle, column
    for k in range(rows.shape[0]):
        found[k] = -1
        column = columns[k]
        if rows[k] < 0 or column < 0:
            continue
        low, high = indptr[rows[k]], indptr[rows[k] + 1]
        while low < high:
            middle = (low + high) // 2
            if indices[middle] < column:
                low = middle + 1
            else:
                high = middle
        if low < indptr[rows[k] + 1] and indices[low] == column:
            found[k] = low
