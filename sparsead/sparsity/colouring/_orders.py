"""Orders in which first-fit visits the vertices; the order decides how many colours it needs."""

import numpy as np

from ._incidence import as_int32


def natural(graph, seed):
    """As they come: for stencils as a rule optimal or a few colours off, and free."""
    return np.arange(graph.n_vertices, dtype=np.int32)


def largest_first(graph, seed):
    """By falling number of neighbours (Welsh and Powell 1967), counted exactly; ties stay in natural order."""
    return np.argsort(-graph.degrees(), kind="stable").astype(np.int32)


def random(graph, seed):
    """A permutation drawn by ``numpy.random.default_rng(seed)``."""
    return np.random.default_rng(seed).permutation(graph.n_vertices).astype(np.int32)


#: Name of an order -> function of (graph: Incidence or Graph, seed) that returns an int32 permutation of the vertices.
ORDERS = {"natural": natural, "largest_first": largest_first, "random": random}


def resolve(caller, order, seed, graph):
    """Name and permutation of `order`, which is a name in `ORDERS` or a permutation."""
    if not isinstance(order, str):
        return "given", _checked_permutation(caller, order, graph.n_vertices)
    if order not in ORDERS:
        raise ValueError(f"{caller}: unknown order {order!r}, must be a permutation or one of {', '.join(ORDERS)}")
    name = f"{order}, seed {seed}" if order == "random" else order
    return name, ORDERS[order](graph, seed)


def _checked_permutation(caller, order, size):
    order = as_int32(caller, "order", order)
    if order.size != size:
        raise ValueError(f"{caller}: order has length {order.size}, must list each of the {size} to be coloured once")
    seen = np.zeros(size, bool)
    inside = (order >= 0) & (order < size)
    seen[order[inside]] = True
    if not seen.all():
        raise ValueError(f"{caller}: order is not a permutation of 0 to {size - 1}: it lacks {int(np.argmin(seen))}")
    return order
