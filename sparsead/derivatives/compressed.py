"""Everything about one recording's Jacobian that does not depend on the point: its pattern, and what computes its entries.

By colours (`sparsead.derivatives.sweeps`), or directly: entry by entry, where each is a product and sum of few partial
derivatives (`sparsead.sparsity.direct`). What counts as cheapest is taken.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from scipy.sparse import csr_array, diags_array

from sparsead.decisions import LOG
from sparsead.derivatives.layouts import Layout, index_pointers, sparse, triangle_of
from sparsead.derivatives.sweeps import FORWARD, REVERSE, Directions, Sweeps
from sparsead.ops.effect import begin_sweep
from sparsead.sparsity.colouring import color_bidirectional, color_columns, color_rows, color_symmetric, transpose_pattern
from sparsead.sparsity.direct.assembly import assembly
from sparsead.sparsity.direct.cost import cost_of, cost_of_sweeps
from sparsead.sparsity.direct.pieces import Structure
from sparsead.sparsity.pattern import jacobian_pattern
from sparsead.tape._memory import blank
from sparsead.transform._simplify import prune
from sparsead.transform.partials.terms import GiveUp

REVERSE_COST = 2.0  # of a reverse sweep with its forward sweep, in forward sweeps, as long as it has not been counted
MOST_ALONE = 32  # rows (columns) that are seeded on their own
FEW = 4  # star colours: with so few, substitution does not pay


class Compressed:
    """One recording's Jacobian.

    Parameters
    ----------
    tape : Tape
    rows, columns : Axis
        Over outputs and inputs of `tape`.
    format, order, method : str
        See `sparsead.jacobian`.
    program : callable
        Makes a tape ready to run.
    symmetric : bool
        Whether it is a Hessian.
    pattern : GivenPattern, optional
        The structure of the results.
    coloring : Coloring, optional
        What entries are computed by.
    memory : int, optional
        Bytes that sweeps for several colours at once may take.
    triangle : {None, "lower", "upper"}
        The part of a Hessian that results have.
    kept : sequence of int
        Positions of outputs of `tape` whose values are given along with the entries, by the same run.
    settle : callable, optional
        Called with this object before it chooses a method: it may `adopt` the layout of others first.

    Attributes
    ----------
    indptr, indices : ndarray
        The pattern that was found, as compressed rows.
    entries : Entries
        What computes them.
    method : str
        How entries are computed.
    costs : dict
        By method, what was counted for it; see `sparsead.sparsity.direct.cost`.
    obstacle : str or None
        Why entries cannot be computed directly.
    """

    def __init__(self, tape, rows, columns, format, order, program, method="auto", *, symmetric=False, pattern=None,
                 coloring=None, memory=None, triangle=None, kept=(), settle=None):  # fmt: skip
        self.tape, self.rows, self.columns, self.program = tape, rows, columns, program
        self.format, self.order, self.asked, self.symmetric = format, order, method, symmetric
        self.memory, self.given_coloring = memory, coloring
        indptr, indices, self.assumed_dense = jacobian_pattern(tape, columns.values, rows.values)
        self.shape = (rows.length, columns.length)
        indptr, indices = _selected(indptr, indices, (rows.total, columns.total), rows.where, columns.where)
        self.indptr, self.indices = self._stored(indptr, indices)
        self.directions, self.kept = Directions(tape, rows, columns, kept), kept
        self.costs, self.obstacle, self.colorings = {}, None, {}
        self.triangle = triangle
        if triangle is not None:
            indptr, indices = triangle_of(self.indptr, self.indices, triangle)
            layout = Layout(indptr, indices, self.shape, format)
        elif pattern is None:
            layout = Layout(self.indptr, self.indices, self.shape, format)
        else:
            layout = pattern.layout(self.indptr, self.indices, self.shape, format)
        self.entries = Entries(self, layout)
        if settle is not None:
            settle(self)
        self.method = self._choice()
        LOG.info("pattern of %d x %d with %d entries: %s", *self.shape, len(self.indices), self.described())

    def _stored(self, indptr, indices):
        """The entries that are computed, of all that may be other than zero."""
        return _symmetric(indptr, indices, self.shape) if self.symmetric else (indptr, indices)

    def adopt(self, layout):
        """Give results in another layout from now on."""
        if layout is not self.layout:
            self.entries = Entries(self, layout)

    @property
    def layout(self):
        """The structure of the results, which may have more entries than the pattern."""
        return self.entries.layout

    def make_ready(self):
        """Make what a call runs."""
        self.entries.make_ready()

    def assemble(self, inputs, out=None):
        """The Jacobian as an array of the format asked for; into `out` if given."""
        return self.entries.assemble(inputs, out)[0]

    def assemble_with_values(self, inputs, out=None):
        """(Jacobian, values of the outputs that are kept)."""
        return self.entries.assemble(inputs, out)

    # ---- the method ----------------------------------------------------------------------------------------------

    def _choice(self):
        """The method that was asked for, or the cheapest one."""
        given = self.given_coloring
        if given is not None:
            kind = given.method if given.partition == "symmetric" else given.partition
            self._check_coloring(given, kind)
            return kind
        if self.asked not in ("auto", "direct"):
            return self.asked
        direct = self.entries.direct_tape
        if self.asked == "direct":
            if direct is None:
                raise ValueError(f"method='direct' is not possible here: {self.obstacle}; leave it to method='auto'")
            return "direct"
        if not len(self.indices):
            return "star" if self.symmetric else "column"
        if direct is not None:
            self.costs = {"direct": cost_of(direct), "sweeps, at least": self._least()}
            if self.costs["direct"] <= self.costs["sweeps, at least"]:  # colours are counted only where they matter
                return "direct"
            del self.costs["sweeps, at least"]
        self.costs.update(self._counted())
        return min(self.costs, key=self.costs.__getitem__)

    def _least(self):
        """What sweeps count at least, whatever the colouring."""
        none, one = self._cost(), self._cost(1)
        return none + (one - none) * (2 if self.symmetric else min(self._bounds()))

    def _bounds(self):
        """Forward sweeps that colours cost at least: of columns, of rows, and about those of two sides.

        No two entries of a row (column) share a colour. Of two sides it is the number of the longest rows (columns) that are
        seeded on their own, and the length of the longest among the others.
        """
        by_rows = _largest(np.diff(self.indptr), MOST_ALONE + 1)
        by_columns = _largest(np.bincount(self.indices), MOST_ALONE + 1)
        two = [REVERSE_COST * k + longest for k, longest in enumerate(by_rows[1:], 1)]
        two += [k + REVERSE_COST * longest for k, longest in enumerate(by_columns[1:], 1)]
        return by_rows[0], REVERSE_COST * by_columns[0], min(two)

    def _cost(self, columns=0, rows=0, substituted=False):
        """What the sweeps of that many colours count."""
        sides = [(self.directions.sweep(side), lanes) for side, lanes in ((FORWARD, columns), (REVERSE, rows)) if lanes]
        return cost_of_sweeps(self.tape, sides, len(self.indices), substituted)

    def _weights(self):
        """What a sweep of each side costs."""
        none = self._cost()
        return max(self._cost(1) - none, 1), max(self._cost(0, 1) - none, 1)

    def _count(self, kind):
        """What the colours of a kind count."""
        coloring = self._coloring(kind)
        columns, rows = coloring.counts
        return self._cost(columns, rows, substituted=coloring.method == "acyclic")

    def _counted(self):
        """What each kind of colours counts that may be the cheapest."""
        costs = {}
        if self.symmetric:
            costs["star"] = self._count("star")
            if self._coloring("star").count > FEW:
                costs["acyclic"] = self._count("acyclic")
            return costs
        costs["column"] = self._count("column")
        by_column, by_row, by_both = self._bounds()
        if by_row / REVERSE_COST < self._coloring("column").count > 1:
            forward, reverse = self._weights()
            if by_row / REVERSE_COST * reverse < self._coloring("column").count * forward:
                costs["row"] = self._count("row")
        if 2 * by_both < min(by_column, by_row):
            costs["bidirectional"] = self._count("bidirectional")
        return costs

    # ---- colours -------------------------------------------------------------------------------------------------

    def _coloring(self, kind):
        """The colouring of a kind, made once."""
        if kind not in self.colorings:
            self.colorings[kind] = self._colored(kind)
        return self.colorings[kind]

    def _order_for(self, kind):
        """The order that was asked for; where a kind is just tried, a permutation counts for it only if it fits."""
        size = {"row": self.shape[0], "bidirectional": sum(self.shape)}.get(kind, self.shape[1])
        is_permutation = isinstance(self.order, tuple) and all(isinstance(k, int) for k in self.order)
        return "natural" if is_permutation and self.asked == "auto" and len(self.order) != size else self.order

    def _colored(self, kind):
        order = self._order_for(kind)
        if kind in ("star", "acyclic"):
            return color_symmetric(self.indptr, self.indices, self.shape, method=kind, order=order)
        if kind == "bidirectional":
            order = None if order == "natural" else order  # which is useless there: it is taken for not chosen
            return color_bidirectional(self.indptr, self.indices, self.shape, weights=self._weights(), order=order)
        return (color_rows if kind == "row" else color_columns)(self.indptr, self.indices, self.shape, order=order)

    @cached_property
    def coloring(self):
        """The `Coloring` that entries are computed by, or would be."""
        if self.given_coloring is not None:
            return self.given_coloring
        if self.method != "direct":
            return self._coloring(self.method)
        costs = self._counted()
        return self._coloring(min(costs, key=costs.__getitem__))

    def _check_coloring(self, given, kind):
        if self.asked not in ("auto", kind):
            raise ValueError(f"coloring={given!r} is one for method={kind!r}, not {self.asked!r}")
        if given.pattern is None or (given.partition == "symmetric" and not self.symmetric):
            raise ValueError(f"coloring={given!r} " + ("has no pattern" if given.pattern is None else "is for Hessians"))
        indptr, indices, shape = given.pattern
        if shape != self.shape or not (np.array_equal(indptr, self.indptr) and np.array_equal(indices, self.indices)):
            others = " in other places" if len(indices) == len(self.indices) else ""
            raise ValueError(f"coloring is of a pattern of shape {shape} with {len(indices)} entries, this one has shape "
                             f"{self.shape} and {len(self.indices)} entries{others}; colour its .pattern")  # fmt: skip

    # ---- looking inside ------------------------------------------------------------------------------------------

    def described(self):
        """In words: the method, and why."""
        if self.method == "direct":
            text = "entry by entry, without colours"
        elif not len(self.indices):
            text = "no entries"
        else:
            text = self.entries.sweeps.described()
        if self.costs:
            text += "; counted: " + ", ".join(f"{name} {cost:.3g}" for name, cost in sorted(self.costs.items()))
        return text if self.obstacle is None else f"{text}; not entry by entry: {self.obstacle}"

    def whole(self, matrix):
        """A result with its other triangle."""
        if self.triangle is None:
            return matrix
        diagonal = matrix.diagonal()
        return matrix + matrix.T - (np.diag(diagonal) if self.format == "dense" else diags_array(diagonal))

    @property
    def pattern(self):
        """The structure of the results as a ``csr_array`` of ones."""
        return self.layout.pattern


class Entries:
    """Computes the entries of a Jacobian in one layout; another layout has another one.

    Parameters
    ----------
    compressed : Compressed
    layout : Layout
        Has all entries of the pattern.
    """

    def __init__(self, compressed, layout):
        self.compressed, self.layout = compressed, layout

    @cached_property
    def direct_tape(self):
        """The tape from inputs to data and what is kept, or None."""
        c, layout = self.compressed, self.layout
        if c.rows.repeats or c.columns.repeats:
            c.obstacle = "arrays that are differentiated by share memory"
            return None
        structure = Structure(
            layout.out_indptr, layout.out_indices, layout.format == "csc", c.rows.numbers(), c.columns.numbers()
        )  # fmt: skip
        try:
            return assembly(c.tape, c.columns.values, c.rows.values, structure, c.kept)
        except GiveUp as error:
            c.obstacle = str(error)
            return None

    @cached_property
    def direct_program(self):
        """What runs it."""
        return self.compressed.program(self.direct_tape, "entries")

    @cached_property
    def sweeps(self):
        """The `Sweeps` of the coloring."""
        c = self.compressed
        return Sweeps(c.directions, c.coloring, self.layout, c.program, c.memory)

    def make_ready(self):
        """Make what a call runs."""
        if self.layout.format == "dense":
            self.layout.rows  # noqa: B018  (made where it is looked at)
        if not len(self.compressed.indices):
            self.primal_program  # noqa: B018
            return
        if self.compressed.method == "direct":
            self.direct_program  # noqa: B018
        else:
            self.sweeps.make_ready()

    @cached_property
    def primal_program(self):
        """What gives the values that are kept where there is no entry, and asks the guards: another path may have entries."""
        c = self.compressed
        return c.program(prune(c.tape, [c.tape.outputs[v] for v in c.kept]), "primal")

    def run(self, inputs, out=None):
        """(data, kept): the stored entries, in the order of the result's index arrays, in `out` if that is possible; values."""
        if not len(self.compressed.indices):
            begin_sweep()
            values = self.primal_program.run([np.asarray(x) for x in inputs])
            return np.zeros(self.layout.nnz), values
        return self._direct(inputs, out) if self.compressed.method == "direct" else self.sweeps.run(inputs, out)

    def _direct(self, inputs, out):
        program, types = self.direct_program, [self.direct_tape.type(v) for v in self.direct_tape.outputs]
        mine = (
            out is not None and out.dtype == types[0].dtype and out.flags.carray
            and not any(np.may_share_memory(out, x) for x in inputs)
        )  # fmt: skip
        places = [out, *(blank(t.shape, t.strides, t.dtype) for t in types[1:])] if mine else None
        begin_sweep()
        data, *values = program.run([np.asarray(x) for x in inputs], places)
        return data, values

    def assemble(self, inputs, out=None):
        """(the Jacobian as an array of the format asked for, in `out` if given; values of the outputs that are kept)."""
        layout = self.layout
        if out is None or layout.format == "dense":
            data, values = self.run(inputs)
            return (layout.dense(data, out) if layout.format == "dense" else layout.wrapped(data)), values
        layout.check(out)
        data, values = self.run(inputs, out.data)
        if data is not out.data:
            layout.fill(out, data)
        return out, values


def _selected(indptr, indices, shape, rows, columns):
    """The pattern's rows and columns at the given positions."""
    if rows is None and columns is None:
        return indptr, indices
    full = sparse(csr_array, np.ones(len(indices), np.int8), indices, indptr, shape)
    part = full if rows is None else full[rows]
    part = (part if columns is None else part.tocsc()[:, columns].tocsr()).sorted_indices()
    return index_pointers(part.indptr), part.indices.astype(np.int32, copy=False)


def _largest(numbers, n):
    """The `n` largest of some numbers, the largest first, with zeros behind them if they are fewer."""
    numbers = np.concatenate([numbers, np.zeros(max(n - len(numbers), 0), numbers.dtype)])
    return np.sort(np.partition(numbers, len(numbers) - n)[len(numbers) - n :])[::-1].tolist()


def _symmetric(indptr, indices, shape):
    """The pattern with what its transpose has too: what a tape computes of the two entries of a pair may look different."""
    start, items = transpose_pattern(indptr, indices, shape)
    if np.array_equal(start, indptr) and np.array_equal(items, indices):
        return indptr, indices
    part, other = (sparse(csr_array, np.ones(len(b), np.int8), b, a, shape) for a, b in ((indptr, indices), (start, items)))
    union = (part + other).sorted_indices()
    return index_pointers(union.indptr), union.indices.astype(np.int32, copy=False)


__all__ = ["Compressed"]
