"""Colourings with as few colours as there can be, by branch and bound: for small patterns."""

import numpy as np

from ._coloring import METHODS, Coloring
from ._first_fit import color_columns, color_rows
from ._incidence import Incidence, symmetric_graph
from ._orders import ORDERS
from ._symmetric import color_symmetric

PARTITIONS = ("column", "row", "symmetric")


def color_exactly(indptr, indices, shape, partition="column", method="", *, max_steps=1_000_000):
    """Colour with the least number of colours.

    Parameters
    ----------
    indptr : array_like of int, shape (m + 1,)
    indices : array_like of int, shape (nnz,)
        The pattern in CSR: column indices, strictly increasing in every row.
    shape : tuple of int
        ``(m, n)``.
    partition : {"column", "row", "symmetric"}, optional
    method : {"star", "acyclic"}, optional
        For "symmetric"; "star" by default.
    max_steps : int, optional
        Give up after so many tries of a colour for a vertex, about a microsecond to ten each. The problem is NP-hard: some
        patterns with a hundred columns take no time, others with fifty would take years.

    Returns
    -------
    Coloring
        With `lower_bound` equal to `count`. Of symmetric patterns all vertices are coloured: neutral ones, which a diagonal
        that is not full allows, are not searched for.

    Raises
    ------
    RuntimeError
        If `max_steps` are not enough to prove that no fewer colours do; the message has the bounds that are known.
    TypeError, ValueError
        If the arguments do not describe a pattern, or an option is unknown.

    Notes
    -----
    Vertices take colours in a fixed order, a largest clique that is known (a row or column of the pattern) first, and no colour
    is skipped: the method of Brown, "Chromatic scheduling and the chromatic number problem", Management Science 19 (1972). It
    begins with the best greedy colouring, and ends where a lower bound is met.

    Examples
    --------
    A cycle of five columns, each of which meets the next: no two colours do, greedy or not.

    >>> from sparsead.sparsity.colouring import color_exactly
    >>> color_exactly([0, 2, 4, 6, 8, 10], [0, 1, 1, 2, 2, 3, 3, 4, 0, 4], (5, 5))
    Coloring(column, 3 colours, lower bound 3, exact)
    """
    caller = "color_exactly"
    if partition not in PARTITIONS:
        raise ValueError(f"{caller}: partition is {partition!r}, must be one of {PARTITIONS}")
    method = method or METHODS[partition][0]
    if method not in METHODS[partition]:
        raise ValueError(f"{caller}: method of {partition!r} is {method!r}, must be one of {METHODS[partition]}")
    if partition == "symmetric":
        greedy = color_symmetric(indptr, indices, shape, method, tuple(ORDERS), postprocess=False)
    else:
        greedy = (color_columns if partition == "column" else color_rows)(indptr, indices, shape, tuple(ORDERS))
    colors = greedy.colors
    if greedy.count > greedy.lower_bound:
        order, may_take = _symmetric_search(greedy) if partition == "symmetric" else _distance2_search(greedy)
        colors = _fewest(order, may_take, colors, greedy.lower_bound, max_steps)
    count = int(colors.max(initial=-1)) + 1
    return Coloring(partition, colors, count, "exact", method, greedy.pattern)


def _distance2_search(greedy):
    """Order of the vertices, and whether one may take a colour; see `_fewest`."""
    pattern = greedy.pattern
    graph = Incidence(pattern[:2], pattern.shape, greedy.partition)
    start, vertices = graph.vertices_of
    members = [vertices[start[k] : start[k + 1]].tolist() for k in range(start.size - 1)]
    neighbors = [set() for _ in range(graph.n_vertices)]
    for net in members:
        for v in net:
            neighbors[v].update(net)
    clique = max(members, key=len, default=[])
    in_clique = set(clique)
    order = clique + [v for v in ORDERS["incidence_degree"](graph, 0).tolist() if v not in in_clique]

    def may_take(v, color, colors):
        return all(colors[w] != color for w in neighbors[v])

    return order, may_take


def _symmetric_search(greedy):
    graph = symmetric_graph("color_exactly", greedy.pattern)
    start, items = graph.lists[:2]
    neighbors = [items[start[v] : start[v + 1]].tolist() for v in range(graph.n_vertices)]
    ends_a_path = _closes_a_cycle if greedy.method == "acyclic" else _makes_a_path

    def may_take(v, color, colors):
        return all(colors[w] != color for w in neighbors[v]) and not ends_a_path(neighbors, v, color, colors)

    return ORDERS["incidence_degree"](graph, 0).tolist(), may_take


def _makes_a_path(neighbors, v, color, colors):
    """Whether a path of four vertices with two colours goes through v, if v has this colour."""
    by_color = {}
    for w in neighbors[v]:
        if colors[w] >= 0:
            by_color.setdefault(colors[w], []).append(w)
    for d, around in by_color.items():
        for w in around:
            beyond = [x for x in neighbors[w] if colors[x] == color and x != v]
            if beyond and len(around) > 1:  # another of them - v - w - x
                return True
            if any(colors[y] == d and y != w for x in beyond for y in neighbors[x]):  # v - w - x - y
                return True
    return False


def _closes_a_cycle(neighbors, v, color, colors):
    """Whether a cycle with two colours goes through v, if v has this colour: two neighbours that hang together without it."""
    reached = {}
    for w in neighbors[v]:
        if colors[w] < 0:
            continue
        tree = reached.setdefault(colors[w], set())
        if w in tree:
            return True
        tree.add(w)
        stack = [w]
        while stack:
            others = [y for y in neighbors[stack.pop()] if y != v and y not in tree and colors[y] in (color, colors[w])]
            tree.update(others)
            stack += others
    return False


def _fewest(order, may_take, greedy, lower, max_steps):
    """Colours as few as possible: depth first, in the given order, fewer than the best so far.

    Parameters
    ----------
    order : list of int
    may_take : callable
        Of a vertex, a colour, and the colours of all (-1 for none yet).
    greedy : int32 array
    lower, max_steps : int

    Returns
    -------
    int32 array
    """
    n, best = len(order), greedy
    colors, following, used = [-1] * n, [0] * n, [0] * (n + 1)
    upper, depth, steps = int(greedy.max(initial=-1)) + 1, 0, 0
    while depth >= 0 and upper > lower and n:
        if depth == n:
            best, upper = np.array(colors, np.int32), used[n]
            depth -= 1
            continue
        v = order[depth]
        colors[v], color = -1, following[depth]
        most = min(used[depth] + 1, upper - 1) if used[depth] < upper else 0
        while color < most and not may_take(v, color, colors):
            color += 1
            steps += 1
        steps += 1
        if steps > max_steps:
            known = f"from {lower} to {upper} colours are needed"
            raise RuntimeError(f"color_exactly: {max_steps} steps are not enough for these {n} vertices; {known}")
        if color >= most:
            depth -= 1
            continue
        colors[v], following[depth] = color, color + 1
        used[depth + 1] = max(used[depth], color + 1)
        depth += 1
        if depth < n:
            following[depth] = 0
    return best
