"""Which sums of entries to read and how entries follow from them: thin wrappers of ``recovery.c``, without the GIL."""
from libc.stdint cimport int32_t, uint8_t

import numpy as np

from sparsead.engine.threads import get_num_threads

from sparsead.sparsity.colouring._graphs cimport as_graph, graph
from sparsead.sparsity.colouring._greedy cimport adjacency, as_adjacency

ctypedef fused number:
    float
    double
    float complex
    double complex


cdef extern from "recovery.h" nogil:
    ctypedef struct substitution:
        const int32_t *at
        const int32_t *mirror
        const int32_t *next
        const int32_t *chunks
        int32_t n_chunks
        const void *values
        void *out

    const int FLOATS, DOUBLES, COMPLEX_FLOATS, COMPLEX_DOUBLES
    void find_alone_of "find_alone" (adjacency, const int32_t *, int32_t *, uint8_t *)
    int32_t plan_substitution(graph, const int32_t *, int32_t, int32_t *, int32_t *, int32_t *, int32_t *, int32_t *)
    void substitute_on "substitute" (const substitution *, int, int)


def find_alone(lists, const int32_t[::1] colors, Py_ssize_t n_colors):
    """For each entry of adjacency lists whether it is the only one of its colour in its list; -1 is no colour.

    Parameters
    ----------
    lists : tuple of int32 arrays
    colors : int32 array
        Of the items, below `n_colors`.
    n_colors : int

    Returns
    -------
    bool array, shape (nnz,)
    """
    cdef adjacency adjacent = as_adjacency(lists)
    alone = np.zeros(len(lists[1]) + 1, bool)
    cdef uint8_t[::1] out = alone.view(np.uint8)
    cdef int32_t[::1] count = np.zeros(n_colors + 1, np.int32)
    if colors.shape[0]:
        with nogil:
            find_alone_of(adjacent, &colors[0], &count[0], &out[0])
    return alone[:len(lists[1])]


def plan(lists, const int32_t[::1] colors, int32_t n_colors):
    """Steps that solve for the entries at the edges of a graph from their sums over neighbours of one colour.

    Parameters
    ----------
    lists : tuple
        The graph; see ``_graphs.pyx``.
    colors : int32 array, shape (n,)
        Below `n_colors`; -1 for vertices that no sum has.
    n_colors : int

    Returns
    -------
    vertices, edges, following, trees : int32 arrays
        Step k finds entry ``edges[k]`` from the sum that ``vertices[k]`` has for the colour at the other end of this edge, less
        what the steps before it found that have it for their ``following``. Steps of a tree stand together; ``trees`` has where
        each begins, and the end.

    Raises
    ------
    ValueError
        An edge cannot be found so: its number is the argument.
    MemoryError
    """
    cdef graph g = as_graph(lists)
    cdef int32_t n_trees, culprit = 0, n = g.n_edges + 1
    vertices, edges, following, trees = (np.empty(n, np.int32) for _ in range(4))
    cdef int32_t[::1] v = vertices, e = edges, f = following, t = trees
    cdef const int32_t *of = &colors[0] if g.count else NULL
    with nogil:
        n_trees = plan_substitution(g, of, n_colors, &v[0], &e[0], &f[0], &t[0], &culprit)
    if n_trees < -1:
        raise MemoryError(f"no memory for the trees of {g.n_edges} entries")
    if n_trees == -1:
        raise ValueError(culprit)
    return vertices[:g.n_edges], edges[:g.n_edges], following[:g.n_edges], trees[:n_trees + 1]


def substitute(const number[::1] values, number[::1] out, steps, const int32_t[::1] chunks):
    """Turn sums into entries, on as many threads as sweeps may use.

    Parameters
    ----------
    values : array, shape (n_steps,)
        By step the sum that it reads; stays as it is.
    out : array of the same dtype, shape (nnz,)
    steps : tuple of int32 arrays, shape (n_steps,)
        ``(at, mirror, following)``: where the entry goes, where it goes once more, the step it is taken away from, or -1.
    chunks : int32 array, shape (n_chunks + 1,)
        First steps of pieces that have nothing to do with each other, and the end.

    Notes
    -----
    The same bits whatever the number of threads: each tree is worked through by one of them, in the order of its steps.
    """
    cdef const int32_t[::1] at = steps[0], mirror = steps[1], following = steps[2]
    cdef substitution s
    cdef int kind, threads = get_num_threads()
    if not at.shape[0]:
        return
    if number is float:
        kind = FLOATS
    elif number is double:
        kind = DOUBLES
    elif number is floatcomplex:
        kind = COMPLEX_FLOATS
    else:
        kind = COMPLEX_DOUBLES
    s.at, s.mirror, s.next, s.chunks = &at[0], &mirror[0], &following[0], &chunks[0]
    s.n_chunks = <int32_t> (chunks.shape[0] - 1)
    s.values, s.out = &values[0], &out[0]
    with nogil:
        substitute_on(&s, kind, threads)
