"""From a tape to its partial derivatives.

Law: the new tape computes what the old one does, and the coefficients of the terms of its outputs. Partials of elementwise ops
are those of the table of ops; the rest is moved as the values are.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sparsead.ops.structural import injective
from sparsead.tape._tape import Tape
from sparsead.tape.laws import span
from sparsead.tape.spec import ELEMENTWISE, View
from sparsead.transform._emit import Emitter
from sparsead.transform.loops.unroll import unrolled, unrolled_ops
from sparsead.transform.partials.rules import RULES, seeds
from sparsead.transform.partials.terms import GiveUp, Terms

MAX_OPS = 3000  # of a tape: half a second
MAX_WINDOWS = 64


class Partials(NamedTuple):
    """A tape that computes partial derivatives.

    Parameters
    ----------
    tape : Tape
        The inputs and outputs are those of the tape it was made of.
    values : list of int
        The values that the outputs that were asked for have become.
    terms : list of list of Term
        For each output that was asked for.
    windows : list of list of (View, int)
        For each of these outputs, windows on its memory, with offsets, that were written as a whole; no two of them overlap.
    """

    tape: Tape
    values: list
    terms: list
    windows: list


def partials(tape, wrt, of, most):
    """The `Partials` of a tape.

    Parameters
    ----------
    tape : Tape
    wrt, of : sequence of int
        Positions in ``tape.inputs`` and ``tape.outputs``. Columns count the elements of the inputs in the order of their memory,
        one input after the other.
    most : int
        Elements of index arrays that the preparation may move.

    Raises
    ------
    GiveUp
        The Jacobian is not known as a sum of few terms, each with one column for an element.

    Notes
    -----
    Forward accumulation of partials, as in Griewank and Walther, Evaluating Derivatives, 2nd edition (2008), section 7.1 ("sparse
    forward"), with a term for what would be one entry of each row there.
    """
    if unrolled_ops(tape) > MAX_OPS:
        raise GiveUp(f"more than {MAX_OPS} ops")
    return Sweep(unrolled(tape), most).run(wrt, of)


class Sweep:
    """The way over one tape; `value` are the values of the new tape that those of the old one have become."""

    def __init__(self, tape, most):
        self.old, self.new = tape, tape.fresh()
        self.e = Emitter(self.new)
        self.terms = Terms(self.e, most)
        self.value = np.full(tape.n_values + 1, -1, np.intc)
        self.jacobian: dict = {}
        self.windows: dict = {}

    def type(self, v):
        """The type of a value of the old tape."""
        return self.old.type(v)

    def of(self, v):
        """The terms of a value."""
        return self.jacobian.get(v, [])

    def known(self, v, op):
        """Contents of an index array that is a constant."""
        made = self.old.op(self.old.maker(v))
        if made.op.name != "const" or op.imm:
            raise GiveUp("index arrays that are computed")
        at = np.asarray(made.attr).astype(np.int64)
        size = self.type(op.operands[0]).size
        return np.where(at < 0, at + size, at)

    def run(self, wrt, of):
        """The `Partials`."""
        first, lines = 0, self.old.columns()["line"]
        for position in wrt:
            v = self.old.inputs[position]
            self.jacobian[v] = seeds(self, v, first)
            first += self.type(v).size
        for op in self.old:
            self.e.line = int(lines[op.index])
            self.new.append(self.old, self.value, op.index, op.index + 1)
            if any(v in self.jacobian for v in op.operands):
                self._op(op)
            self._note_windows(op)
        self.new.inputs, self.new.outputs = ([int(self.value[v]) for v in ends] for ends in (self.old.inputs, self.old.outputs))
        self.new.names = {int(self.value[v]): name for v, name in self.old.names.items()}
        outputs = [self.old.outputs[position] for position in of]
        return Partials(self.new, [int(self.value[v]) for v in outputs], [self.of(v) for v in outputs],
                        [self.windows.get(v, []) for v in outputs])  # fmt: skip

    def _op(self, op):
        if not any(self.type(v).inexact for v in op.results) or op.op.inactive:
            return
        if any(self.type(v).dtype.kind == "c" for v in (*op.operands, *op.results)):
            raise GiveUp("complex numbers")
        if op.op.code >= ELEMENTWISE and op.op.name != "select":
            self._elementwise(op)
        elif op.op.name in RULES:
            self._set(op.results[0], RULES[op.op.name](self, op))
        elif op.op.name != "guard":
            raise GiveUp(f"{op.op.name}{'' if op.line is None else f' at {op.line[0]}:{op.line[1]}'}")

    def _set(self, v, terms):
        if terms and self.type(v).inexact:
            self.jacobian[v] = terms

    def _elementwise(self, op):
        if not op.op.elementwise.active:
            return
        operands = [int(self.value[v]) for v in op.operands]
        results = [int(self.value[v]) for v in op.results]
        strong = op.op.elementwise.strong
        for r, z in enumerate(op.results):
            found = []
            for i, v in enumerate(op.operands):
                partial = self.e.partial_of(op.op.name, operands, results, r, i) if v in self.jacobian else 0.0
                if partial != 0.0 or not isinstance(partial, float):
                    found += self.terms.times(self.of(v), partial, self.type(v), self.type(z), i if strong else None)
            self._set(z, self.terms.joined(found, self.type(z)))

    # ---- windows -----------------------------------------------------------------------------------------------------------

    def _note_windows(self, op):
        """What was written as a whole: memory that is one array is often several to its user."""
        if len(op.results) != 1 or op.results[0] not in self.jacobian:
            return
        z = op.results[0]
        if op.op.name in ("store", "accumulate"):
            self.windows[z] = self._with_window(self.windows.get(op.operands[0], []), op)
        elif op.op.name == "load":
            self.windows[z] = self._of_memory(op.operands[0]) if self._is_whole(op) else []
        else:
            same = [v for v in op.operands if v in self.windows and self.type(v) is self.type(z)]
            self.windows[z] = self.windows[same[0]] if same else []

    def _is_whole(self, op):
        """Whether a load is a reshape of memory."""
        t, z = self.type(op.operands[0]), self.type(op.results[0])
        return op.imm == 0 and t.size == z.size and op.attr.strides == z.strides and z.size > 0

    def _of_memory(self, v):
        t = self.type(v)
        return self.windows.get(v) or ([(View(t.shape, t.strides, t.dtype), 0)] if t.ndim > 1 else [])

    def _with_window(self, windows, op):
        if not op.attr.shape or 0 in op.attr.shape or len(windows) > MAX_WINDOWS or not injective(op.attr):
            return windows
        first, last = span(op.attr, op.imm)
        kept = []
        for view, offset in windows:
            low, high = span(view, offset)
            if low <= first and last <= high:
                return windows
            if high <= first or last <= low:
                kept.append((view, offset))
            elif not first <= low < high <= last:
                return windows
        return [*kept, (op.attr, op.imm)]
