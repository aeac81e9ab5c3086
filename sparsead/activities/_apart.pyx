"""A first look at memory: whether shadows are far from arguments and from one another, which they nearly always are."""
cimport numpy as cnp
from libc.stdint cimport intptr_t

cnp.import_array()


cdef struct Span:
    intptr_t low, high


cdef Span span_of(cnp.ndarray a) noexcept:
    """First and one past last byte that the elements of `a` span."""
    cdef Span s
    cdef int k
    cdef intptr_t reach
    s.low = s.high = <intptr_t> cnp.PyArray_DATA(a)
    for k in range(cnp.PyArray_NDIM(a)):
        reach = cnp.PyArray_STRIDE(a, k) * (cnp.PyArray_DIM(a, k) - 1)
        if reach < 0:
            s.low += reach
        else:
            s.high += reach
    s.high += cnp.PyArray_ITEMSIZE(a)
    return s


def apart(list arrays, list shadows):
    """Whether each shadow may be written and spans memory that no array, and no other shadow, spans.

    False is not certain: they may interleave.
    """
    cdef Span s, t
    cdef Py_ssize_t j, k
    for x in arrays:
        if type(x) is not cnp.ndarray:
            return False
    for k in range(len(shadows)):
        if type(shadows[k]) is not cnp.ndarray or not cnp.PyArray_ISWRITEABLE(<cnp.ndarray> shadows[k]):
            return False
        s = span_of(<cnp.ndarray> shadows[k])
        for x in arrays:
            t = span_of(<cnp.ndarray> x)
            if s.low < t.high and t.low < s.high:
                return False
        for j in range(k):
            t = span_of(<cnp.ndarray> shadows[j])
            if s.low < t.high and t.low < s.high:
                return False
    return True
