cimport numpy as cnp
from libc.string cimport memcmp


cdef enum:
    AXES = 64  # of NumPy's arrays, at most


cdef class Layout:
    cdef int nd
    cdef cnp.npy_intp[AXES] shape, strides
    cdef readonly cnp.dtype dtype

    cdef bint fits(self, cnp.ndarray array) except -1
    cdef object blank(self)
    cdef object at(self, char *data)


cdef Layout layout_of(tuple shape, tuple strides, cnp.dtype dtype)


cdef inline bint same_bytes(const void *a, const void *b, size_t n) noexcept nogil:
    """Whether two pieces of memory have the same `n` bytes; of none there may be null pointers, which memcmp forbids."""
    return n == 0 or memcmp(a, b, n) == 0
