from libc.stdint cimport int32_t


cdef extern from "graph.h" nogil:
    ctypedef struct graph:
        int32_t count
        int32_t n_edges
        const int32_t *start
        const int32_t *items
        const int32_t *edge

    const int32_t NO_MEMORY
    const int32_t TOO_MANY


cdef graph as_graph(lists)
