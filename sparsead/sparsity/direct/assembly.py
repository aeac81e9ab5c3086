"""The tape from inputs to the data of a sparse Jacobian.

Law: each position of the data gets the sum of the coefficients that belong to it. What has affine positions in a box is one store
on a window of the data, which an engine fuses with the computation of the coefficients; the rest is scattered.
"""

from __future__ import annotations

from itertools import groupby

import numpy as np

from sparsead.sparsity.direct.boxes import boxes, is_affine
from sparsead.sparsity.direct.pieces import pieces_of
from sparsead.sparsity.direct.restrict import Restricted
from sparsead.tape.spec import View
from sparsead.transform._emit import Emitter
from sparsead.transform._simplify import simplify
from sparsead.transform.partials.coefficients import Coefficients
from sparsead.transform.partials.sweep import partials

# Elements of index arrays that preparation may move: a fifth of a second, and more by entries, rows and columns of the result.
LEAST_EFFORT = 10_000_000
EFFORT = 64


def assembly(tape, wrt, of, structure, kept=()):
    """A tape whose first output is the data of the Jacobian of `tape`.

    Parameters
    ----------
    tape : Tape
    wrt, of : sequence of int
        Positions in ``tape.inputs`` and ``tape.outputs``.
    structure : Structure
    kept : sequence of int
        Positions in ``tape.outputs`` of what the new tape gives besides.

    Returns
    -------
    Tape
        On the inputs of `tape`. Entries of the structure that no partial derivative belongs to are 0.

    Raises
    ------
    GiveUp
        The Jacobian is not a sum of few terms; see `sparsead.transform.partials`.
    """
    ends = [tape.inputs[p] for p in wrt] + [tape.outputs[p] for p in of]
    size = len(structure.indices) + sum(tape.type(v).size for v in ends)
    made = partials(tape, wrt, of, EFFORT * size + LEAST_EFFORT)
    types = [made.tape.type(v) for v in made.values]
    dtype = np.result_type(*[t.dtype for t in types])
    plain, repeated, first = [], [], 0
    c = Coefficients(Emitter(made.tape))
    for terms, t, windows in zip(made.terms, types, made.windows, strict=True):
        found = pieces_of(terms, t, windows, first, structure, c)
        plain += found[0]
        repeated += found[1]
        first += t.size
    data = _Data(c, dtype, len(structure.indices))
    data.write(plain, repeated)
    made.tape.outputs = [data.value, *(made.tape.outputs[v] for v in kept)]
    return simplify(made.tape)


class _Data:
    """The data while they are written."""

    def __init__(self, coefficients, dtype, size):
        self.c, self.e = coefficients, coefficients.e
        self.type = self.e.array_type(dtype, (size,))
        self.value = -1

    def write(self, plain, repeated):
        """Write pieces; those in `plain` have no position twice, but may share some."""
        seen = np.zeros(self.type.size, bool)
        first, again = [], []
        for piece in plain:
            new = np.asarray(~seen[piece.where])
            if not new[piece.where >= 0].all():
                again.append(piece.kept(~new))
                piece = piece.kept(new)
            if not piece.is_empty():
                first.append(piece)
                seen[piece.where[piece.where >= 0]] = True
        self.value = self.e.op("empty" if seen.all() else "zeros", (), self.type)
        self.restricted = Restricted(self.e, {p.coefficient for p in (*first, *again) if isinstance(p.coefficient, int)})
        self._boxes(first, "store", "scatter")
        self._boxes(again, "accumulate", "scatter_add")
        for piece in repeated:
            self._scatter(piece, "scatter_add")

    def _boxes(self, pieces, windowed, indexed):
        """Write pieces box by box; boxes of one shape follow each other, so that they may share kernels."""
        jobs, rest = [], []
        for _, group in groupby(sorted(pieces, key=lambda p: repr(p.key)), key=lambda p: (p.key, p.where.shape)):
            group = list(group)
            found = boxes([p.where for p in group]) if group[0].where.ndim else [()]
            for number, piece in enumerate(group):
                for box in found:
                    place = is_affine(piece.where[box])
                    if place is not None:
                        shape = piece.where[box].shape
                        jobs.append((-np.prod(shape, initial=1), shape, box, number, piece, place))
                        piece.where[box] = -1
                if not piece.is_empty():
                    rest.append(piece)
        jobs.sort(key=lambda job: (job[0], job[1], [(s.start, s.stop) for s in job[2]]))
        for _, shape, box, _, piece, place in jobs:
            self._store(piece, box, shape, place, windowed)
        for piece in rest:
            self._scatter(piece, indexed)

    def _store(self, piece, box, shape, place, name):
        item = self.type.dtype.itemsize
        c = piece.coefficient
        if not self.c.is_uniform(c):
            c = self.restricted.value(c, box)
        window = self.e.array_type(self.type.dtype, shape)
        view = View(shape, tuple(s * item for s in place[1]), self.type.dtype)
        self.value = self.e.op(name, (self.value, self._as(c, window)), self.type, view, place[0] * item)

    def _as(self, c, window):
        """A coefficient in the dtype of the data, broadcast."""
        if isinstance(c, float):
            c = self.e.tape.const(window.dtype.type(c))
        return self.e.broadcast(self.e.cast(c, window.dtype), window.shape)

    def _scatter(self, piece, name):
        kept = np.flatnonzero(piece.where.ravel() >= 0)
        at = self.e.tape.const(piece.where.ravel()[kept])
        window = self.e.array_type(self.type.dtype, kept.shape)
        c = piece.coefficient
        if not self.c.is_uniform(c):
            t = self.e.array_type(self.e.type(c).dtype, self.e.type(c).shape)
            c = self.e.op("gather", (self.c.value(c, t), self.e.tape.const(kept)), self.e.array_type(t.dtype, kept.shape))
        self.value = self.e.op(name, (self.value, at, self.e.op("copy", (self._as(c, window),), window)), self.type)
