"""Colouring of columns and rows together: each entry is read from one side, so that dense rows and columns both may be there."""

import math

import numpy as np

from . import _graphs, _greedy
from ._coloring import METHODS, Coloring
from ._first_fit import first_fit
from ._incidence import Incidence, Pattern, bipartite_graph, kept_pattern
from ._neutral import needed_bidirectional, without
from ._orders import best, candidates, several

#: What is tried where no order is given. No single one can be trusted: in natural order, columns come first and get one colour;
#: then each row of an arrowhead needs its own. A random order does with four.
DEFAULT_ORDERS = ("natural", "largest_first", "random", "random", "random")
ENOUGH = 2.0  # of these orders no further one is tried once the cost is within this factor of the lower bound
MOST_STRIPS = 6  # numbers of stripped rows (columns) that are tried at most
POLICIES = (False, True, "column", "row")


def color_bidirectional(
    indptr, indices, shape, method="auto", order=None, *, seed=0, weights=(1.0, 1.0), postprocess=True
):  # fmt: skip
    """Colour columns and rows so that each entry follows from sums of columns or from sums of rows.

    Parameters
    ----------
    indptr : array_like of int, shape (m + 1,)
    indices : array_like of int, shape (nnz,)
        The pattern in CSR: column indices, strictly increasing in every row.
    shape : tuple of int
        ``(m, n)``.
    method : {"auto", "star", "acyclic", "strip"}, optional
        "star": no path of four columns and rows has two colours; each entry is one of the sums. "acyclic": no cycle has; entries
        follow by substitution, from fewer colours. "strip": the densest rows are coloured as rows and what is left of the columns
        as columns, or the other way round; entries are read directly, and it never costs more than columns or rows alone. "auto":
        the cheapest of the three.
    order : str, array_like of int, shape (n + m,), or tuple of these, optional
        The order in which columns (0 to n - 1) and rows (n to n + m - 1) choose: a name in `ORDERS` or a permutation. Of several
        the cheapest is taken. By default natural and, while the cost is more than twice its lower bound, largest first and three
        random orders; for "strip", natural. Of a single order that turns out to be a bad one nothing limits the colours, nor the
        time, which grows with their number: name several, and those that need many more than "strip" are given up.
    seed : int, optional
        For "random" only; several in a tuple take this seed, the next one and so on.
    weights : tuple of float, optional
        Costs of a sweep for a colour of columns (forward) and for one of rows (reverse). Their sum over all colours is least.
    postprocess : {True, False, "column", "row"}, optional
        Take colours away that no entry has to be read from: vertices of colour -1. Which ones are kept is a choice: True keeps
        the cost low, "column" (or "row") the number of colours of columns (rows) before all.

    Returns
    -------
    Coloring
        With partition "bidirectional" and the method that was taken; `column_colors` of shape (n,), `row_colors` of shape (m,).

    Raises
    ------
    TypeError, ValueError
        If the arguments do not describe a pattern or an order, weights are not positive, or an option is unknown.

    See Also
    --------
    is_star_bicoloring, is_acyclic_bicoloring, Coloring.recovery

    Notes
    -----
    "star" and "acyclic" colour the bipartite graph of the pattern, as the graph of [0 J^T; J 0] (A. Montoison, G. Dalle and
    A. Gebremedhin, "Revisiting sparse matrix coloring and bicoloring", 2025). Their counts depend on the order more than any
    others. "strip" is one-sided minimum nonzero count ordering (Coleman and Verma, SIAM J. Sci. Comput. 19, 1998): if the k
    densest rows are stripped, the longest row of the rest bounds its colours, and the fullest column of what is stripped bounds
    those of rows; the numbers k with the least bounds are tried. That takes time in proportion to the number of entries.

    Examples
    --------
    An arrowhead: its dense row is read from a reverse sweep, all else from two forward sweeps.

    >>> from sparsead.sparsity.colouring import color_bidirectional
    >>> arrow = [0, 4, 6, 8, 10], [0, 1, 2, 3, 0, 1, 0, 2, 0, 3], (4, 4)
    >>> color_bidirectional(*arrow)
    Coloring(bidirectional strip, 2 column + 1 row colours, lower bound 3, natural, 1 row stripped)
    """
    caller = "color_bidirectional"
    if method not in ("auto", *METHODS["bidirectional"]):
        raise ValueError(f"{caller}: method is {method!r}, must be 'auto' or one of {METHODS['bidirectional']}")
    if not any(postprocess is policy or (postprocess == policy and policy in ("column", "row")) for policy in POLICIES):
        raise ValueError(f"{caller}: postprocess is {postprocess!r}, must be one of {POLICIES}")
    pattern = kept_pattern(caller, indptr, indices, shape)
    search = _Search(caller, pattern, order, seed, _checked_weights(caller, weights), postprocess)
    if method in ("auto", "strip") or search.has_choice:
        search.strip()
    for one in ("star", "acyclic") if method == "auto" else (method,) if method != "strip" else ():
        search.color(one, alone=method != "auto")
    return Coloring("bidirectional", search.colors, search.least_count, search.name, search.method, pattern)


class _Search:
    """The cheapest colouring of those that have been tried, of `cost`; None before the first."""

    def __init__(self, caller, pattern, order, seed, weights, postprocess):
        self.caller, self.pattern, self.order, self.seed = caller, pattern, order, seed
        self.orders = DEFAULT_ORDERS if order is None else order
        self.weights, self.postprocess, self.cost = weights, postprocess, None
        self.graph = bipartite_graph(caller, pattern)
        (m, n), nnz = pattern.shape, pattern.indices.size
        self.has_choice = len(several(self.orders)) > 1
        # A colour of columns gives m sums, one of rows n: there have to be as many as entries.
        self.least_count = math.ceil(nnz / max(m, n, 1))
        self.least_cost = nnz * min(weights[0] / max(m, 1), weights[1] / max(n, 1))
        self.enough = self.least_cost * (ENOUGH if order is None else 1.0)
        candidates(caller, self.orders, seed, self.graph)  # complains before any work is done

    def offer(self, method, name, colors, postprocess):
        """Keep it if it is cheaper than what was found, without the colours that are not needed."""
        if postprocess:
            policy = {"column": (1e9, 1.0), "row": (1.0, 1e9)}.get(self.postprocess, self.weights)
            needed = needed_bidirectional(self.pattern, self.graph, colors[0], colors[1], method, policy)
            colors = tuple(_kept(side, keep) for side, keep in zip(colors, needed, strict=True))
        cost = sum(weight * (int(side.max(initial=-1)) + 1) for weight, side in zip(self.weights, colors, strict=True))
        if self.cost is None or cost < self.cost:
            self.cost, self.method, self.name, self.colors = cost, method, name, colors

    # ---- the bipartite graph -------------------------------------------------------------------------------------------

    def color(self, method, alone):
        """Star or acyclic colourings in all orders; `alone`: what was found before is no alternative, but a measure."""
        known = self.cost
        if alone:
            self.cost = None
        elif known <= self.least_cost:
            return
        for name, permutation in candidates(self.caller, self.orders, self.seed, self.graph):
            self._try(method, name, permutation, self._limit(known))
            if self.cost is not None and self.cost <= self.enough:
                return
        if self.cost is None:  # then without a limit
            name, permutation = next(candidates(self.caller, self.orders, self.seed, self.graph))
            self._try(method, name, permutation, None)

    def _try(self, method, name, permutation, limit):
        n = self.pattern.shape[1]
        colors = _graphs.first_fit(self.graph.lists, method, permutation, None, limit)
        if colors is not None:
            self.offer(method, name, (_compact(colors[:n]), _compact(colors[n:])), self.postprocess)

    def _limit(self, known):
        """Colours beyond which an order is given up, as those that need thousands take long; one too many is often taken away."""
        if self.cost is not None:
            return int(self.cost / min(self.weights)) + 1
        return None if known is None else 4 * int(known / min(self.weights)) + 64

    # ---- stripping -----------------------------------------------------------------------------------------------------

    def strip(self):
        """Rows stripped from columns, columns stripped from rows."""
        indptr, indices, (m, n) = self.pattern
        transposed = Pattern(*_greedy.transpose((indptr, indices), n), (n, m))
        for pattern, weights, side in ((self.pattern, self.weights, "row"), (transposed, self.weights[::-1], "column")):
            ranking, sizes, bounds = _ranked(pattern, weights)
            for k, bound in [*zip(sizes, bounds, strict=True)][:MOST_STRIPS]:
                if self.cost is not None and bound >= self.cost:
                    break
                name, stripped, rest = self._stripped(pattern, ranking[:k], side)
                plural = "" if k == 1 else "s"
                name = f"{name}, {k} {side}{plural} stripped" if k else name
                colors = (rest, stripped) if side == "row" else (stripped, rest)
                self.offer("strip", name, colors, self.postprocess and (k or not indices.size))  # columns alone: all are needed

    def _stripped(self, pattern, chosen, side):
        """Name of the order; colours of the rows of `pattern` that are chosen, -1 for the others; colours of its columns."""
        is_chosen = np.zeros(pattern.shape[0], bool)
        is_chosen[chosen] = True
        name, rest = self._first_fit(_rows_of(pattern, ~is_chosen), "column", side == "row")
        if not len(chosen):
            return name, np.full(pattern.shape[0], -1, np.int32), rest
        _, stripped = self._first_fit(_rows_of(pattern, is_chosen), "row", side == "column")
        return name, np.where(is_chosen, stripped, -1).astype(np.int32), rest

    def _first_fit(self, pattern, partition, is_columns):
        graph = Incidence(pattern[:2], pattern.shape, partition)
        order = self._order_of_side(graph.n_vertices, is_columns)

        def attempt(permutation, _):
            colors = first_fit(graph, permutation)
            return int(colors.max(initial=-1)) + 1, colors

        name, (_, colors) = best(candidates(self.caller, order, self.seed, graph), attempt, graph.largest_net)
        return name, colors

    def _order_of_side(self, size, is_columns):
        """The orders with permutations of columns and rows reduced to those of one side."""
        n = self.pattern.shape[1]

        def reduced(one):
            if isinstance(one, str):
                return one
            one = np.asarray(one)
            return one[one < n] if is_columns else one[one >= n] - n

        if self.order is None:
            return "natural"
        return tuple(map(reduced, several(self.order)))


def _ranked(pattern, weights):
    """Rows by falling size; numbers k of rows to strip, most promising first; for each a bound of what stripping k rows costs.

    What is stripped has at least as many colours of rows as it has entries in its fullest column, the rest as many colours of
    columns as its longest row has entries. To strip some of several rows of one size gains nothing, and to strip all is to colour
    rows alone, which is another way to begin.
    """
    lengths = np.diff(pattern.indptr)
    ranking = np.argsort(-lengths, kind="stable")
    longest = lengths[ranking]  # row of the rest, by k
    sizes = np.flatnonzero((longest[1:] < longest[:-1]) & (longest[1:] > 0)) + 1
    sizes = np.concatenate([[0], sizes])
    fullest = np.zeros(sizes.size, np.int64)  # column of what is stripped
    if sizes.size > 1:
        fullest[1:] = np.maximum.accumulate(_heights(pattern, ranking))[sizes[1:] - 1]
    bounds = weights[1] * fullest + weights[0] * np.append(longest, 0)[sizes]
    promising = np.argsort(bounds, kind="stable")
    return ranking, sizes[promising].tolist(), bounds[promising].tolist()


def _heights(pattern, ranking):
    """For each row in this order, how many entries the fullest of its columns has up to there."""
    start, indices = _rows_in_order(pattern, ranking)
    column_start, _, position = _graphs.transpose_positions((start, indices), pattern.shape[1])
    nth = np.empty(indices.size, np.int64)
    nth[position] = np.arange(1, indices.size + 1) - np.repeat(column_start[:-1], np.diff(column_start))
    heights, filled = np.zeros(ranking.size, np.int64), np.diff(start) > 0
    heights[filled] = np.maximum.reduceat(nth, start[:-1][filled])
    return heights


def _rows_in_order(pattern, order):
    """indptr and indices of the rows in another order."""
    indptr, indices, _ = pattern
    lengths = np.diff(indptr)[order]
    start = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    where = np.arange(indices.size, dtype=np.int32) + np.repeat(indptr[order] - start[:-1], lengths)
    return start, indices[where]


def _rows_of(pattern, chosen):
    """The pattern with the entries of the chosen rows only."""
    indptr, indices, shape = pattern
    lengths = np.diff(indptr)
    start = np.concatenate([[0], np.cumsum(np.where(chosen, lengths, 0))]).astype(np.int32)
    return Pattern(start, indices[np.repeat(chosen, lengths)], shape)


def _compact(colors):
    """The same groups, with colours from 0 on."""
    used = np.zeros(int(colors.max(initial=-1)) + 1, bool)
    used[colors] = True
    return without(colors, used)


def _kept(colors, needed):
    return np.where(colors < 0, -1, without(colors, needed)).astype(np.int32) if needed.size else colors


def _checked_weights(caller, weights):
    try:
        forward, reverse = (float(weight) for weight in weights)
    except (TypeError, ValueError):
        raise TypeError(f"{caller}: weights is {weights!r}, must be a pair of numbers (forward, reverse)") from None
    if not (0 < forward < math.inf and 0 < reverse < math.inf):
        raise ValueError(f"{caller}: weights is {weights!r}, must be positive")
    return forward, reverse
