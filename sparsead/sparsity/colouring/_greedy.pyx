"""Compiled kernels of the colouring package: thin wrappers of ``greedy.c`` and ``lists.c``, which run without
the GIL.

Adjacency lists come as pairs ``(start, items)`` of contiguous int32 arrays, like ``indptr`` and ``indices`` of a CSR
array. They must have passed `find_bad_list` (see ``_incidence.py``): a kernel given anything else reads out of bounds.
"""
from libc.stdint cimport int32_t

import numpy as np


cdef extern from "greedy.h" nogil:
    int first_fit_by_nets(adjacency, int32_t, const int32_t *, int32_t *)
    void first_fit_by_vertices(adjacency, adjacency, const int32_t *, int32_t, int32_t *, int32_t *)
    void distance2_degrees_of(adjacency, adjacency, int32_t *, int32_t *)
    int dynamic_order_of(int, adjacency, adjacency, int32_t *, int32_t *)
    int32_t first_bad_list(adjacency, int32_t)
    void transpose_lists(adjacency, int32_t, int32_t *, int32_t *, int32_t *)


cdef adjacency as_adjacency(pair):
    """Bare pointers into the arrays of `pair`, which the caller's argument keeps alive."""
    cdef const int32_t[::1] start = pair[0], items = pair[1]
    cdef adjacency lists
    lists.count = <int32_t> (start.shape[0] - 1)
    lists.start = &start[0]
    lists.items = &items[0] if items.shape[0] else NULL
    return lists


def first_fit_net(nets_of, int n_nets, const int32_t[::1] order):
    """First-fit colours in the given order, by one bitset per net.

    Parameters
    ----------
    nets_of : tuple of int32 arrays
        Adjacency lists of the vertices: the nets (rows) that each vertex (column) is in.
    n_nets : int
        Number of nets.
    order : int32 array, shape (n_vertices,)
        A permutation: the order in which the vertices choose their colours.

    Returns
    -------
    int32 array, shape (n_vertices,)

    Raises
    ------
    MemoryError
        If there is none for 256 bits per net.

    Notes
    -----
    The same colours as `first_fit_vertex`, in O(nnz * ceil(colours / 256)) instead of the sum of squared net sizes.
    One word per net is the method of Kokkos Kernels (``COLORING_D2_SERIAL``, kokkos-kernels pull request 623).
    """
    cdef adjacency nets = as_adjacency(nets_of)
    colors = np.zeros(nets.count, np.int32)
    cdef int32_t[::1] out = colors
    cdef int status
    if nets.count == 0:
        return colors
    with nogil:
        status = first_fit_by_nets(nets, n_nets, &order[0], &out[0])
    if status:
        raise MemoryError(f"first_fit_net: no memory for the bitsets of {n_nets} nets")
    return colors


def first_fit_vertex(nets_of, vertices_of, const int32_t[::1] order, forced=None):
    """First-fit colours by visiting all neighbours of each vertex: the reference algorithm.

    Algorithm 3.2 of Gebremedhin, Manne and Pothen, "What color is your Jacobian?", SIAM Review 47 (2005). Here to test and to
    measure `first_fit_net` against, and for colours that are given in part.

    Parameters
    ----------
    nets_of, vertices_of : tuple of int32 arrays
        Adjacency lists of the vertices and of the nets, one the transpose of the other.
    order : int32 array
        Of all vertices, or of those that are not forced.
    forced : int32 array, shape (n_vertices,), optional
        Colours, below n_vertices, of vertices that have one; -1 for the others.

    Returns
    -------
    int32 array, shape (n_vertices,)
    """
    cdef adjacency nets = as_adjacency(nets_of), vertices = as_adjacency(vertices_of)
    colors = np.full(nets.count, -1, np.int32) if forced is None else forced.copy()
    cdef int32_t[::1] out = colors, stamp = np.full(nets.count, -1, np.int32)
    cdef int32_t n_order = <int32_t> order.shape[0]
    if n_order:
        with nogil:
            first_fit_by_vertices(nets, vertices, &order[0], n_order, &out[0], &stamp[0])
    return colors


def distance2_degrees(nets_of, vertices_of):
    """Number of other vertices that share a net with each vertex, counted exactly.

    Takes as long as colouring by vertices does: the sum of squared net sizes.

    Parameters
    ----------
    nets_of, vertices_of : tuple of int32 arrays
        Adjacency lists of the vertices and of the nets, one the transpose of the other.

    Returns
    -------
    int32 array, shape (n_vertices,)
    """
    cdef adjacency nets = as_adjacency(nets_of), vertices = as_adjacency(vertices_of)
    degrees = np.zeros(nets.count, np.int32)
    cdef int32_t[::1] out = degrees, stamp = np.full(nets.count, -1, np.int32)
    if nets.count:
        with nogil:
            distance2_degrees_of(nets, vertices, &out[0], &stamp[0])
    return degrees


def dynamic_order(int kind, degrees, nets_of, vertices_of=None):
    """An order in which each vertex is chosen by its degree among others that are ordered, or are not.

    Parameters
    ----------
    kind : {0, 1, 2}
        Smallest last; incidence degree; dynamic largest first.
    degrees : int32 array, shape (n_vertices,)
        Number of neighbours of each vertex.
    nets_of, vertices_of : tuple of int32 arrays
        Adjacency lists of the vertices and of the nets. Without `vertices_of`, `nets_of` lists the neighbours of each vertex.

    Returns
    -------
    int32 array, shape (n_vertices,)

    Raises
    ------
    MemoryError

    Notes
    -----
    The framework of Gebremedhin, Nguyen, Patwary and Pothen, "ColPack: Software for graph coloring and related problems in
    scientific computing", ACM Trans. Math. Softw. 40 (2013), section 5: vertices in buckets by degree, moved in constant time.
    """
    cdef adjacency nets = as_adjacency(nets_of), vertices
    vertices.items = NULL
    if vertices_of is not None:
        vertices = as_adjacency(vertices_of)
    order = np.empty(nets.count, np.int32)
    cdef int32_t[::1] out = order, used = np.array(degrees, np.int32)
    cdef int status
    if nets.count == 0 or (vertices_of is not None and not len(vertices_of[1])):
        return np.arange(nets.count, dtype=np.int32)
    with nogil:
        status = dynamic_order_of(kind, nets, vertices, &used[0], &out[0])
    if status:
        raise MemoryError(f"no memory for the buckets of {nets.count} vertices")
    return order


def find_bad_list(lists, int bound):
    """Index of the first list that is not strictly increasing within ``range(bound)``, or -1.

    Parameters
    ----------
    lists : tuple of int32 arrays
        ``(start, items)``; ``start`` must rise from 0 to ``len(items)``.
    bound : int

    Returns
    -------
    int
    """
    cdef adjacency adjacent = as_adjacency(lists)
    cdef int32_t bad
    with nogil:
        bad = first_bad_list(adjacent, bound)
    return bad


def transpose(lists, int bound):
    """Transpose adjacency lists by a counting sort; the lists of the result are sorted.

    Parameters
    ----------
    lists : tuple of int32 arrays
        ``(start, items)``, say of the rows of a pattern.
    bound : int
        Number of lists of the result (columns of the pattern).

    Returns
    -------
    start : int32 array, shape (bound + 1,)
    items : int32 array, shape (nnz,)
    """
    cdef adjacency adjacent = as_adjacency(lists)
    start, items = np.zeros(bound + 1, np.int32), np.empty(len(lists[1]), np.int32)
    cdef int32_t[::1] start_out = start, items_out = items
    if len(items):
        with nogil:
            transpose_lists(adjacent, bound, &start_out[0], &items_out[0], NULL)
    return start, items
