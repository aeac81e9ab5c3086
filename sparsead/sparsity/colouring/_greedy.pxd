from libc.stdint cimport int32_t


cdef extern from "lists.h" nogil:
    ctypedef struct adjacency:
        int32_t count
        const int32_t *start
        const int32_t *items


cdef adjacency as_adjacency(pair)
