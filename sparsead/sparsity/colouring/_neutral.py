"""Colours that no entry is read from: they need no sweep."""

import heapq

import numpy as np

from . import _substitution
from ._recovery import edges_of_symmetric, readable, row_of_entries


def needed_symmetric(pattern, graph, colors, method):
    """Which colours of a symmetric colouring are read from.

    Parameters
    ----------
    pattern : Pattern
    graph : Graph
        Of this pattern.
    colors : int32 array, shape (n,)
    method : {"star", "acyclic"}

    Returns
    -------
    bool array, shape (n_colors,)
    """
    rows, columns = row_of_entries(pattern.indptr), pattern.indices
    below, above, diagonal = edges_of_symmetric(pattern)
    needed = np.zeros(int(colors.max(initial=-1)) + 1, bool)
    needed[colors[columns[diagonal]]] = True
    if method == "acyclic":
        choices = _choices_of_trees(graph, colors, rows[below], columns[below], needed)
    else:
        by_column, _ = readable(pattern, colors, None)
        choices = _choices(colors[columns[below]], colors[rows[below]], by_column[below], by_column[above], needed)
    return _cover(needed, choices, np.ones(needed.size))


def needed_bidirectional(pattern, graph, column_colors, row_colors, method, weights):
    """Which colours of columns and which colours of rows are read from; least in sum of `weights` for one of each.

    Parameters
    ----------
    pattern : Pattern
    graph : Graph
        `bipartite_graph` of it.
    column_colors, row_colors : int32 arrays, shape (n,) and (m,)
    method : {"star", "acyclic", "strip"}
    weights : tuple of float

    Returns
    -------
    bool array, shape (n_column_colors,)
    bool array, shape (n_row_colors,)
    """
    rows, columns = row_of_entries(pattern.indptr), pattern.indices
    counts = [int(side.max(initial=-1)) + 1 for side in (column_colors, row_colors)]
    needed, by_rows = np.zeros(sum(counts), bool), row_colors + counts[0]
    if method == "acyclic":
        colors = np.concatenate([column_colors, by_rows]).astype(np.int32)
        choices = _choices_of_trees(graph, colors, rows + pattern.shape[1], columns, needed)
    else:
        by_column, by_row = readable(pattern, column_colors, row_colors)
        choices = _choices(column_colors[columns], by_rows[rows], by_column, by_row, needed)
    needed = _cover(needed, choices, np.repeat(weights, counts))
    return needed[: counts[0]], needed[counts[0] :]


def without(colors, needed):
    """Colours without those that are not needed: -1 there, the others counted anew."""
    return np.where(needed, np.cumsum(needed) - 1, -1).astype(np.int32)[colors]


def _choices(first, second, by_first, by_second, needed):
    """Entries that can be read by either of two colours; where it must be one of them, it is noted as needed."""
    needed[first[~by_second]] = True
    needed[second[~by_first]] = True
    either = by_first & by_second
    return first[either], second[either]


def _choices_of_trees(graph, colors, rows, columns, needed):
    """The same for trees: a single edge is a choice; in larger ones all that a leaf hangs on is read from."""
    vertices, edges, _, trees = _substitution.plan(graph.lists, colors, int(colors.max(initial=-1)) + 1)
    first, second = rows[edges], columns[edges]
    single = np.repeat(np.diff(trees) == 1, np.diff(trees))
    parent = np.where(vertices == first, second, first)
    needed[colors[parent[~single]]] = True
    return colors[first[single]], colors[second[single]]


def _cover(needed, choices, weights):
    """One colour of each pair becomes needed, as few as a greedy choice finds: the one in most open pairs by its weight.

    Gebremedhin, Manne and Pothen (SIAM Review 47, 2005, section 6.2) find such covers of vertices greedily, too.
    """
    first, second = choices
    open_pairs = ~(needed[first] | needed[second])
    n = needed.size
    pairs = np.unique(first[open_pairs].astype(np.int64) * n + second[open_pairs])
    partners = {}
    for a, b in zip((pairs // n).tolist(), (pairs % n).tolist(), strict=True):
        partners.setdefault(a, set()).add(b)
        partners.setdefault(b, set()).add(a)
    queue = [(-len(others) / weights[color], color) for color, others in partners.items()]
    heapq.heapify(queue)
    needed = needed.copy()
    while queue:
        priority, color = heapq.heappop(queue)
        others = partners[color]
        if not others:
            continue
        if -len(others) / weights[color] != priority:  # some of its pairs have been covered meanwhile
            heapq.heappush(queue, (-len(others) / weights[color], color))
            continue
        needed[color] = True
        for other in others:
            partners[other].discard(color)
        partners[color] = set()
    return needed
