"""Simplification of a loop.

Law: that of `site`; and a loop of no trips is its carries, one of one trip is its body. What of the body is the same in all
trips is computed before the loop (`hoist`).
"""

from __future__ import annotations

import numpy as np

from sparsead.ops.loop import LOOP
from sparsead.transform._simplify import live_values
from sparsead.transform.branches.simplify import BranchSite
from sparsead.transform.loops import remembered
from sparsead.transform.loops.hoist import hoisted
from sparsead.transform.loops.rewrite import add_nested, rewritten
from sparsead.transform.loops.site import Site


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
    """`tape` with simpler loops and branches; the same object if they are as simple as they can be."""
    live, changed = live_values(tape, tape.outputs), []

    def law(new, op, operands):
        kind = LoopSite if op.op is LOOP else BranchSite
        site = kind(new, op, operands, [bool(live[v]) for v in op.results])
        results = site.simplified(fold)
        changed.append(site.attr is not op.attr)
        return results

    new = rewritten(tape, law)
    return new if any(changed) else tape


class LoopSite(Site):
    """A loop op on its way into another tape."""

    def simplified(self, fold):
        if self.attr.trips > 0:
            self._bodies(fold)
        if self.attr.trips > 1:
            while self._narrow(fold):
                pass
            self._hoist()
            self.attr.memo["simple"] = fold
        return self._finish()

    def _needed(self, used):
        live = live_operands(self.attr, used)
        return live, live

    def _hoist(self):
        found = hoisted(self.attr)
        if found is not None:
            before, body = found
            self.operands += self.new.inline(before, self.operands[self.attr.carries :])
            self._set([body], self.attr.carries)

    def _finish(self):
        loop, m = self.attr, self.attr.carries
        if loop.trips < 2:
            values, self.attr = self.operands[:m], None
            if loop.trips == 1:
                values = self.new.inline(loop.body, [self.new.const(np.int64(0)), *self.operands])
        else:
            values = add_nested(self.new, LOOP, loop, self.operands, self.line) if m or loop.kept else []
        return self._results(values)
