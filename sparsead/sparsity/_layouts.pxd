from libc.stdint cimport int64_t

cdef enum:
    MAX_NDIM = 64                       # NumPy's own limit

cdef struct Layout:
    int ndim, itemsize
    bint inexact
    int64_t size
    Py_ssize_t *shape
    Py_ssize_t *step                    # strides in elements


cdef class Layouts:
    cdef Layout *items
    cdef Py_ssize_t n


cdef bint same_memory(const Layout *a, const Layout *b) noexcept
