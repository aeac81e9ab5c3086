"""Graphs whose edges are numbered, and their star and acyclic colourings: thin wrappers of ``graph.c``, without the GIL.

A graph is a tuple ``(start, items, edge, n_edges)`` of contiguous int32 arrays and an int: adjacency lists as in ``_greedy.pyx``,
and the number of the edge behind each item. Each edge stands in the lists of both its ends.
"""
from libc.stdint cimport int32_t

import numpy as np

from sparsead.sparsity.colouring._greedy cimport adjacency, as_adjacency


cdef extern from "graph.h" nogil:
    int32_t graph_of_symmetric(adjacency, int32_t *, int32_t *, int32_t *, int32_t *)
    void graph_of_any(adjacency, int32_t, int32_t *, int32_t *, int32_t *)
    void transpose_lists(adjacency, int32_t, int32_t *, int32_t *, int32_t *)
    int32_t star_first_fit(graph, const int32_t *, const int32_t *, int32_t, int32_t *, int32_t *)
    int32_t acyclic_first_fit(graph, const int32_t *, const int32_t *, int32_t, int32_t *, int32_t *)


cdef graph as_graph(lists):
    """Bare pointers into the arrays of `lists`, which the caller's argument keeps alive."""
    cdef const int32_t[::1] start = lists[0], items = lists[1], edge = lists[2]
    cdef graph g
    g.count, g.n_edges = <int32_t> (start.shape[0] - 1), lists[3]
    g.start = &start[0]
    g.items = &items[0] if items.shape[0] else NULL
    g.edge = &edge[0] if edge.shape[0] else NULL
    return g


def symmetric_graph(rows):
    """The graph of a symmetric pattern, without its diagonal.

    Parameters
    ----------
    rows : tuple of int32 arrays
        ``(indptr, indices)`` of the pattern in CSR.

    Returns
    -------
    tuple or None
        None if an entry has no mirror image. Edges are numbered as they come below the diagonal.
    """
    cdef adjacency lists = as_adjacency(rows)
    cdef int32_t n_edges, n = lists.count
    start = np.zeros(n + 1, np.int32)
    items, edge = np.empty(len(rows[1]) + 1, np.int32), np.empty(len(rows[1]) + 1, np.int32)
    cdef int32_t[::1] start_out = start, items_out = items, edge_out = edge, following = np.empty(n + 1, np.int32)
    with nogil:
        n_edges = graph_of_symmetric(lists, &start_out[0], &items_out[0], &edge_out[0], &following[0])
    if n_edges < 0:
        return None
    return start, items[:2 * n_edges], edge[:2 * n_edges], n_edges


def bipartite_graph(rows, int32_t n_columns):
    """The graph of a pattern whose vertices are its columns, then its rows: that of [0 J^T; J 0]. Entries are edges.

    Parameters
    ----------
    rows : tuple of int32 arrays
        ``(indptr, indices)`` of the pattern in CSR; at most ``(2**31 - 1) // 2`` entries.
    n_columns : int

    Returns
    -------
    tuple
    """
    cdef adjacency lists = as_adjacency(rows)
    nnz = len(rows[1])
    start = np.zeros(n_columns + lists.count + 1, np.int32)
    items, edge = np.empty(2 * nnz + 1, np.int32), np.empty(2 * nnz + 1, np.int32)
    cdef int32_t[::1] start_out = start, items_out = items, edge_out = edge
    with nogil:
        graph_of_any(lists, n_columns, &start_out[0], &items_out[0], &edge_out[0])
    return start, items[:2 * nnz], edge[:2 * nnz], nnz


def transpose_positions(lists, int32_t bound):
    """As ``_greedy.transpose``, with the position that each item of the result had.

    Parameters
    ----------
    lists : tuple of int32 arrays
    bound : int

    Returns
    -------
    start : int32 array, shape (bound + 1,)
    items, positions : int32 arrays, shape (nnz,)
    """
    cdef adjacency adjacent = as_adjacency(lists)
    nnz = len(lists[1])
    start, items, positions = np.zeros(bound + 1, np.int32), np.empty(nnz + 1, np.int32), np.empty(nnz + 1, np.int32)
    cdef int32_t[::1] start_out = start, items_out = items, positions_out = positions
    with nogil:
        transpose_lists(adjacent, bound, &start_out[0], &items_out[0], &positions_out[0])
    return start, items[:nnz], positions[:nnz]


class DoesNotFit(ValueError):
    """A forced colour is not possible."""


def first_fit(lists, method, const int32_t[::1] order, const int32_t[::1] forced=None, limit=None):
    """Star or acyclic colouring of a graph: each vertex in turn takes the first colour that it may.

    Parameters
    ----------
    lists : tuple
        The graph.
    method : {"star", "acyclic"}
    order : int32 array, shape (n,)
        A permutation.
    forced : int32 array, shape (n,), optional
        Colours below n that vertices have to take; -1 for a free choice.
    limit : int, optional
        Give up when more colours than this are needed.

    Returns
    -------
    int32 array, shape (n,), or None
        None: `limit` was not enough.

    Raises
    ------
    DoesNotFit
        A forced colour is not possible.
    MemoryError

    Notes
    -----
    Gebremedhin, Tarafdar, Manne and Pothen, "New acyclic and star coloring algorithms with application to computing Hessians",
    SIAM J. Sci. Comput. 29 (2007): algorithms 4.1 (star) and 3.1 (acyclic). Where these visit all neighbours of a neighbour, one
    neighbour of each colour is enough: the same colours, and a hub with many neighbours costs no more than its colours.
    """
    cdef graph g = as_graph(lists)
    colors = np.empty(g.count + 1, np.int32)
    cdef int32_t[::1] out = colors
    cdef int32_t status, culprit = 0, most = g.count if limit is None else min(max(limit, 0), g.count)
    cdef const int32_t *orders = &order[0] if g.count else NULL
    cdef const int32_t *forces = &forced[0] if forced is not None and g.count else NULL
    cdef bint star = method == "star"
    with nogil:
        if star:
            status = star_first_fit(g, orders, forces, most, &out[0], &culprit)
        else:
            status = acyclic_first_fit(g, orders, forces, most, &out[0], &culprit)
    if status == NO_MEMORY:
        raise MemoryError(f"no memory for the colouring of a graph of {g.count} vertices and {g.n_edges} edges")
    if status == TOO_MANY:
        return None
    if status < 0:
        raise DoesNotFit(f"colour {forced[culprit]} forced on {culprit} does not fit the others")
    return colors[:g.count]
