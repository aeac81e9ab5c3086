"""Orders in which first-fit visits the vertices; the order decides how many colours it needs.

Neighbours are counted exactly, but for those by nets that are too long to be looked through for each of their vertices, see
`Incidence.counted_nets`.
"""

import numpy as np

from ._incidence import as_int32


def natural(graph, seed):
    """As they come: for stencils as a rule optimal or a few colours off, and free."""
    return np.arange(graph.n_vertices, dtype=np.int32)


def largest_first(graph, seed):
    """By falling number of neighbours (Welsh and Powell 1967); ties stay in natural order."""
    return np.argsort(-graph.degrees(), kind="stable").astype(np.int32)


def smallest_last(graph, seed):
    """From the end: the one with fewest neighbours among those that are left (Matula 1968)."""
    return graph.dynamic_order(0)


def incidence_degree(graph, seed):
    """The one with most neighbours among those that have been ordered (Coleman and More 1983)."""
    return graph.dynamic_order(1)


def dynamic_largest_first(graph, seed):
    """The one with most neighbours among those that are left."""
    return graph.dynamic_order(2)


def random(graph, seed):
    """A permutation drawn by ``numpy.random.default_rng(seed)``."""
    return np.random.default_rng(seed).permutation(graph.n_vertices).astype(np.int32)


#: Name of an order -> function of (graph: Incidence or Graph, seed) that returns an int32 permutation of the vertices.
ORDERS = {
    "natural": natural,
    "largest_first": largest_first,
    "smallest_last": smallest_last,
    "incidence_degree": incidence_degree,
    "dynamic_largest_first": dynamic_largest_first,
    "random": random,
}


def candidates(caller, order, seed, graph):
    """Names and permutations, made as they are asked for, of `order`: a name in `ORDERS`, a permutation, or a tuple of these.

    The first "random" is drawn with `seed`, the next with ``seed + 1`` and so on.
    """
    orders, n_random = [], 0
    for one in several(order):
        if not isinstance(one, str):
            orders.append(("given", _checked_permutation(caller, one, graph.n_vertices)))
        elif one not in ORDERS:
            raise ValueError(f"{caller}: unknown order {one!r}, must be a permutation or one of {', '.join(ORDERS)}")
        else:
            orders.append((one, seed + n_random))
            n_random += one == "random"
    return _made(orders, graph)


def several(order):
    """The orders in `order`, which may be a tuple of them or a single one."""
    is_tuple = isinstance(order, tuple) and any(isinstance(one, (str, np.ndarray, list, tuple)) for one in order)
    return order if is_tuple else (order,)


def _made(orders, graph):
    for name, what in orders:
        if name == "given":
            yield name, what
        else:
            yield f"{name}, seed {what}" if name == "random" else name, ORDERS[name](graph, what)


def best(candidates, attempt, bound):
    """The best of several orders.

    Parameters
    ----------
    candidates : iterable of (name, permutation)
    attempt : callable
        Of a permutation and a result or None; gives another result ``(cost, ...)``, or None if that would be no better.
    bound : float
        No cost is below: no further order is tried once it is met.

    Returns
    -------
    name, result
    """
    found = None
    for name, permutation in candidates:
        result = attempt(permutation, found and found[1])
        if result is not None and (found is None or result[0] < found[1][0]):
            found = name, result
        if found and found[1][0] <= bound:
            break
    return found


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
