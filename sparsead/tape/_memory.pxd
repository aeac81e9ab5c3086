cimport numpy as cnp


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
