"""Adjoint of a loop.

Law: a loop that runs the other way, over the adjoint of the body. It carries the adjoints of the carries, and those of the
invariants, to which every trip adds in place. What the reverse of a trip reads of the trip is a cut through the body (see
`logs`): the forward loop logs the values of the cut, trip by trip, and the reverse loop computes from them what else it
needs. What depends on the trip and on invariants only is computed again, not logged.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sparsead.ops.loop import Loop
from sparsead.ops.moving import LOAD_AT, STORE_AT, Moving
from sparsead.ops.nested import Nested
from sparsead.ops.structural import INPUT
from sparsead.tape._tape import ValueType
from sparsead.tape.spec import View
from sparsead.transform._adjoint import adjoint, zeros_of_code
from sparsead.transform._simplify import simplify
from sparsead.transform.loops import remembered
from sparsead.transform.loops.activity import useful_operands, varied_carries
from sparsead.transform.loops.logs import least_cut
from sparsead.transform.loops.rewrite import unguarded


class LoopAdjoint(NamedTuple):
    """The adjoint of a loop.

    Attributes
    ----------
    forward : Loop
        The loop with one more carry for each of `logs`, behind its own.
    logs : list of ValueType
        One row for each trip.
    reverse : Loop
        Carries: the adjoints of the carries `seeds` and of the invariants `shadows`. Invariants: the logs, then `reads`.
    seeds, shadows, reads : list of int
        Positions among the operands of the loop.
    zero_kind : int
        Structural zeros that its adjoints may have.
    """

    forward: Loop
    logs: list[ValueType]
    reverse: Loop
    seeds: list[int]
    shadows: list[int]
    reads: list[int]
    zero_kind: int


@remembered
def zeros_made(nested):
    """The kind of structural zeros that the reverse of a loop or a branch makes."""
    skipped = 1 if len(nested.bodies) > 1 else 0  # what one body reads and another does not
    ops = (op for body in nested.bodies for op in body)
    return max([skipped, *(zeros_made(op.attr) if isinstance(op.attr, Nested) else zeros_of_code(op.op.code) for op in ops)])


@remembered
def adjoint_of_loop(loop, operands, results, zero_kind):
    """The `LoopAdjoint` of `loop`.

    Parameters
    ----------
    loop : Loop
    operands : tuple of bool
        Operands by which derivatives are taken.
    results : tuple of bool
        Results that have an adjoint.
    zero_kind : int
        Structural zeros that the adjoints of the results may have.
    """
    m, zero_kind = loop.carries, max(zero_kind, zeros_made(loop))
    carries, useful = varied_carries(loop, operands), useful_operands(loop, operands, results)
    seeds = [c for c in range(m) if carries[c] and useful[c]]
    shadows = [i for i in range(m, len(operands)) if operands[i] and useful[i]]
    return _Parts(loop, seeds, shadows, zero_kind).made()


class _Parts:
    """The adjoint of the body, `tape`, whose ops from `begin` on are its reverse sweep, and what is made of the two sweeps."""

    def __init__(self, loop, seeds, shadows, zero_kind):
        self.loop, self.seeds, self.shadows, self.zero_kind = loop, seeds, shadows, zero_kind
        body = simplify(loop.body)
        inward = [1 + i for i in shadows]
        self.tape, self.begin = adjoint(body, [1 + c for c in seeds] + inward, seeds, inward, True, zero_kind)
        self.n_inputs, self.ops = len(body.inputs), list(self.tape)
        self.reverse_ops = self._makers(self.tape.outputs[loop.carries :], self.begin, set())
        self.cut = least_cut(self.tape, self._carried(), self._crossing())
        self.log_types = [self._log_type(v) for v in self.cut]

    def made(self):
        """The `LoopAdjoint`."""
        reverse, reads = self._reverse()
        return LoopAdjoint(self._forward(), self.log_types, reverse, self.seeds, self.shadows, reads, self.zero_kind)

    # ---- which values ----------------------------------------------------------------------------------------------

    def _makers(self, values, first, given):
        """Flags of the ops from `first` on that make `values`, up to those that are `given`."""
        wanted, chosen = set(values), np.zeros(len(self.ops), bool)
        for op in reversed(self.ops[first:]):
            if op.op is not INPUT and any(v in wanted and v not in given for v in op.results):
                chosen[op.index] = True
                wanted.update(v for v in op.operands if v not in given)
        return chosen

    def _carried(self):
        """Flags of the values whose ops have to have a carry."""
        flags = np.zeros(self.tape.n_values, bool)
        flags[self.tape.inputs[1 : 1 + self.loop.carries]] = True
        for op in self.ops:
            flags[list(op.results)] |= flags[list(op.operands)].any()
        return flags

    def _crossing(self):
        """Values of the forward sweep that the reverse sweep reads."""
        read = {v for op in self.ops[self.begin :] if self.reverse_ops[op.index] for v in op.operands}
        return sorted(v for v in read if self.tape.maker(v) < self.begin)

    # ---- the two loops ---------------------------------------------------------------------------------------------

    def _log_type(self, v):
        t = self.tape.type(v)
        return self.tape.pool.type(t.dtype, (self.loop.trips, *t.shape), (t.nbytes, *t.strides))

    def _row(self, v):
        """The window of a log that moves with the trip."""
        t = self.tape.type(v)
        return Moving(View(t.shape, t.strides, t.dtype), (t.nbytes,), ((0, self.loop.trips),))

    def _forward(self):
        """The body of the forward loop: each value of the cut goes to its log as soon as it is made."""
        tape, new, m = self.tape, self.tape.fresh(), self.loop.carries
        value, at = np.full(tape.n_values + 1, -1, np.intc), 0
        for v in tape.inputs[: self.n_inputs]:
            value[v] = new.add(INPUT, (), [tape.type(v)])[0]
        inputs = [int(value[v]) for v in tape.inputs[: self.n_inputs]]
        logs = [new.add(INPUT, (), [t])[0] for t in self.log_types]
        new.inputs = inputs[: 1 + m] + logs + inputs[1 + m :]
        for k in sorted(range(len(self.cut)), key=lambda k: tape.maker(self.cut[k])):
            v, end = self.cut[k], tape.maker(self.cut[k]) + 1
            new.append(tape, value, at, end)
            operands = (logs[k], int(value[v]), inputs[0])
            logs[k] = new.add(STORE_AT, operands, [self.log_types[k]], self._row(v), 0, self.ops[end - 1].line)[0]
            at = end
        new.append(tape, value, at, self.begin)
        new.outputs = [int(value[v]) for v in tape.outputs[:m]] + logs
        return self.loop.replaced(new, m + len(logs))

    def _reverse(self):
        """The reverse loop, and which operands of the forward loop it reads."""
        tape, new, m, n = self.tape, self.tape.fresh(), self.loop.carries, self.n_inputs
        value = np.full(tape.n_values + 1, -1, np.intc)
        again = self._makers(self._crossing(), 0, set(self.cut)) if self.cut else self._makers(self._crossing(), 0, ())
        again[self.begin :] = False
        used = {v for op in self.ops if again[op.index] or self.reverse_ops[op.index] for v in op.operands}
        reads = [p - 1 for p in range(1 + m, n) if tape.inputs[p] in used]
        given = [tape.inputs[0], *tape.inputs[n:]]
        for v in given + [tape.inputs[1 + i] for i in reads]:
            value[v] = new.add(INPUT, (), [tape.type(v)])[0]
        logs = [new.add(INPUT, (), [t])[0] for t in self.log_types]
        for v, log in zip(self.cut, logs, strict=True):
            value[v] = new.add(LOAD_AT, (log, int(value[tape.inputs[0]])), [tape.type(v)], self._row(v))[0]
        new.inputs = [int(value[v]) for v in given] + logs + [int(value[tape.inputs[1 + i]]) for i in reads]
        new.append(tape, value, 0, self.begin, again)
        new.append(tape, value, self.begin, None, self.reverse_ops)
        new.outputs = [int(value[v]) for v in tape.outputs[m:]]
        carries = len(self.seeds) + len(self.shadows)
        return Loop(unguarded(new), self.loop.trips, carries, not self.loop.backward, self.loop.policy), reads
