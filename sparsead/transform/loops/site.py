"""A loop or a branch on its way into a simpler tape.

Law: every result keeps its bits, and every guard its verdict. Carries whose results nobody reads are no carries; one that no
body changes is what it was before; an operand that no body reads goes, and so does one that is there already.
"""

from __future__ import annotations

import numpy as np

from sparsead.ops.structural import CONST, EMPTY, INPUT
from sparsead.transform._simplify import simplify


class Site:
    """A loop or branch op on its way into the tape `new`: its attribute, its operands there, which result is which carry's.

    Attributes
    ----------
    behind : int
        Operands behind those of the bodies: the number of the body that a branch runs.
    """

    behind = 0

    def __init__(self, new, op, operands, used):
        self.new, self.op, self.line, self.attr, self.operands = new, op.op, op.line, op.attr, operands
        self.used = used
        self.carry_of = list(range(op.attr.carries))  # result -> carry
        self.known = {}  # result -> value, where no body changes it

    def simplified(self, fold):
        """Append what is left of the op; returns the values of its results."""
        raise NotImplementedError

    def _needed(self, used):
        """(flags of the operands that matter, which carries have to stay carries), given the carries whose results are used."""
        raise NotImplementedError

    def _set(self, bodies, carries):
        self.attr = self.attr.with_bodies(bodies, carries)

    def _bodies(self, fold):
        """Simplify the bodies, if this has not been done."""
        if self.attr.memo.get("simple") != fold:
            bodies = [simplify(body, fold) for body in self.attr.bodies]
            if any(new.key() != old.key() for new, old in zip(bodies, self.attr.bodies, strict=True)):
                self._set(bodies, self.attr.carries)

    def _narrow(self, fold):
        """Drop operands that are not needed, turn carries into invariants; whether anything changed."""
        m, n, bodies = self.attr.carries, len(self.operands) - self.behind, self.attr.bodies
        used = [False] * m
        for result, c in enumerate(self.carry_of):
            if c is not None:
                used[c] = self.used[result]
        live, stays = self._needed(tuple(used))
        constant = [all(body.outputs[c] == body.inputs[self.attr.lead + c] for body in bodies) for c in range(m)]
        carries = [c for c in range(m) if stays[c] and not constant[c]]
        invariants, twins = self._distinct([i for i in range(n) if live[i] and i not in carries])
        if len(carries) == m and len(invariants) == n - m:
            return False
        self._settle(constant, {c: k for k, c in enumerate(carries)})
        self._set([simplify(self._narrowed(body, carries, invariants, twins), fold) for body in bodies], len(carries))
        self.operands = [self.operands[i] for i in carries + invariants] + self.operands[n:]
        return True

    def _distinct(self, invariants):
        """Invariants that are no constants, each once, and for every other one what it is: a constant, or a twin."""
        first, twins = {}, {}
        for i in invariants:
            v = self.operands[i]
            if self._is_constant(v):
                twins[i] = None
            elif first.setdefault(v, i) != i:
                twins[i] = first[v]
        return [i for i in invariants if i not in twins], twins

    def _is_constant(self, v):
        return self.new.op(self.new.maker(v)).op is CONST

    def _constant(self, v):
        return self.new.op(self.new.maker(v)).attr

    def _settle(self, constant, place):
        for result, c in enumerate(self.carry_of):
            if c is not None:
                if constant[c]:
                    self.known[result] = self.operands[c]
                self.carry_of[result] = place.get(c)

    def _narrowed(self, old, carries, invariants, twins):
        """Body `old` with these operands only; `twins` says what the other inputs that are read are."""
        body, lead = old.fresh(), self.attr.lead
        value = np.full(old.n_values + 1, -1, np.intc)
        kept = [*range(lead), *(lead + i for i in carries + invariants)]
        for p, v in enumerate(old.inputs):  # the others are read by nobody, or by loops for carries that nobody reads
            value[v] = body.add(INPUT if p in kept else EMPTY, (), [old.type(v)])[0]
        for i, twin in twins.items():
            v = old.inputs[lead + i]
            value[v] = body.const(self._constant(self.operands[i])) if twin is None else value[old.inputs[lead + twin]]
        body.append(old, value)
        body.inputs = [int(value[old.inputs[p]]) for p in kept]
        body.outputs = [int(value[old.outputs[c]]) for c in carries]
        body.names = {int(value[v]): name for v, name in old.names.items() if int(value[v]) in body.inputs}
        return body

    def _results(self, values):
        """The values of all results, given those of the carries that are left."""
        nothing = -1 if not self.operands else self.operands[0]
        return [self.known.get(result, nothing if c is None else values[c]) for result, c in enumerate(self.carry_of)]
