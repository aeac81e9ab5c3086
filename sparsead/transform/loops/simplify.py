"""Simplification of a loop.

Law: every result keeps its bits, and every guard its verdict. Carries that nothing reads but themselves go; a carry that no
trip changes is an invariant; a loop of no trips is its carries, one of one trip is its body. What of the body is the same in
all trips is computed before the loop (`hoist`).
"""

from __future__ import annotations

import numpy as np

from sparsead.ops.structural import CONST, EMPTY, INPUT
from sparsead.transform._simplify import live_values, simplify
from sparsead.transform.loops import remembered
from sparsead.transform.loops.hoist import hoisted
from sparsead.transform.loops.rewrite import add_loop, rewritten


@remembered
def live_operands(loop, results):
    """Flags of the operands that the flagged results, or guards, are made of."""
    body, last = loop.body, 1 + loop.carries
    while True:
        flags = live_values(body, [v for v, used in zip(body.outputs, results, strict=True) if used])
        read = [bool(flags[v]) for v in body.inputs]
        carries = tuple(a or b for a, b in zip(results, read[1:last], strict=True))
        if carries == results:
            return carries + tuple(read[last:])
        results = carries


def tidied(tape, fold):
    """`tape` with simpler loops; the same object if they are as simple as they can be."""
    live, changed = live_values(tape, tape.outputs), []

    def law(new, op, operands):
        site = _Site(new, op, operands, [bool(live[v]) for v in op.results])
        results = site.simplified(fold)
        changed.append(site.loop is not op.attr)
        return results

    new = rewritten(tape, law)
    return new if any(changed) else tape


class _Site:
    """A loop op on its way into the tape `new`: its `loop`, its operands there, and which result is which carry's."""

    def __init__(self, new, op, operands, used):
        self.new, self.line, self.loop, self.operands = new, op.line, op.attr, operands
        self.used = used
        self.carry_of = list(range(op.attr.carries))  # result -> carry
        self.known = {}  # result -> value, where the loop does not change it

    def simplified(self, fold):
        """Append what is left of the loop; returns the values of its results."""
        if self.loop.trips > 0:
            self._body(fold)
        if self.loop.trips > 1:
            while self._narrow(fold):
                pass
            self._hoist()
            self.loop.memo["simple"] = fold
        return self._finish()

    def _set(self, body, carries):
        self.loop = self.loop.replaced(body, carries)

    def _body(self, fold):
        if self.loop.memo.get("simple") != fold:
            body = simplify(self.loop.body, fold)
            if body.key() != self.loop.body.key():
                self._set(body, self.loop.carries)

    def _narrow(self, fold):
        """Drop operands that are not needed, turn carries into invariants; whether anything changed."""
        m, body = self.loop.carries, self.loop.body
        used = [False] * m
        for result, c in enumerate(self.carry_of):
            if c is not None:
                used[c] = self.used[result]
        live = live_operands(self.loop, tuple(used))
        constant = [body.outputs[c] == body.inputs[1 + c] for c in range(m)]
        carries = [c for c in range(m) if live[c] and not constant[c]]
        moved = [c for c in range(m) if live[c] and constant[c]]
        invariants, twins = self._distinct([i for i in [*moved, *range(m, len(self.operands))] if live[i]])
        if len(carries) == m and len(invariants) == len(self.operands) - m:
            return False
        self._settle(constant, {c: k for k, c in enumerate(carries)})
        self._set(simplify(_narrowed(self.new, self.loop, self.operands, carries, invariants, twins), fold), len(carries))
        self.operands = [self.operands[i] for i in carries + invariants]
        return True

    def _distinct(self, invariants):
        """Invariants that are no constants, each once, and for every other one what it is: a constant, or a twin."""
        first, twins = {}, {}
        for i in invariants:
            v = self.operands[i]
            if self.new.op(self.new.maker(v)).op is CONST:
                twins[i] = None
            elif first.setdefault(v, i) != i:
                twins[i] = first[v]
        return [i for i in invariants if i not in twins], twins

    def _settle(self, constant, place):
        for result, c in enumerate(self.carry_of):
            if c is not None:
                if constant[c]:
                    self.known[result] = self.operands[c]
                self.carry_of[result] = place.get(c)

    def _hoist(self):
        found = hoisted(self.loop)
        if found is not None:
            before, body = found
            self.operands += self.new.inline(before, self.operands[self.loop.carries :])
            self._set(body, self.loop.carries)

    def _finish(self):
        loop, m = self.loop, self.loop.carries
        if loop.trips < 2:
            results, self.loop = self.operands[:m], None
            if loop.trips == 1:
                results = self.new.inline(loop.body, [self.new.const(np.int64(0)), *self.operands])
        else:
            results = add_loop(self.new, loop, self.operands, self.line) if m or loop.guarded else []
        nothing = -1 if not self.operands else self.operands[0]
        return [self.known.get(result, nothing if c is None else results[c]) for result, c in enumerate(self.carry_of)]


def _narrowed(new, loop, operands, carries, invariants, twins):
    """The body with these operands only; `twins` says what the other inputs that are read are."""
    old, body = loop.body, loop.body.fresh()
    value = np.full(old.n_values + 1, -1, np.intc)
    kept = [0, *(1 + i for i in carries + invariants)]
    for p, v in enumerate(old.inputs):  # the others are read by nobody, or by loops for carries that nobody reads
        value[v] = body.add(INPUT if p in kept else EMPTY, (), [old.type(v)])[0]
    for i, twin in twins.items():
        v = old.inputs[1 + i]
        value[v] = body.const(new.op(new.maker(operands[i])).attr) if twin is None else value[old.inputs[1 + twin]]
    body.append(old, value)
    body.inputs = [int(value[old.inputs[p]]) for p in kept]
    body.outputs = [int(value[old.outputs[c]]) for c in carries]
    body.names = {int(value[v]): name for v, name in old.names.items() if int(value[v]) in body.inputs}
    return body
