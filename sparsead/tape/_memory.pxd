cimport numpy as cnp


cdef class Layout:
    cdef int nd
    cdef cnp.npy_intp[64] shape, strides  # NumPy has no more axes
    cdef readonly cnp.dtype dtype

    cdef bint fits(self, cnp.ndarray array) except -1
    cdef object blank(self)


cdef Layout layout_of(tuple shape, tuple strides, cnp.dtype dtype)
