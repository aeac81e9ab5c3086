"""Simplification of a branch.

Law: that of `sparsead.transform.loops.site`; and a branch by a constant is the body that it names, as is one whose bodies are
all the same. Equal bodies are one.
"""

from __future__ import annotations

import numpy as np

from sparsead.ops.branch import BRANCH
from sparsead.ops.structural import GATHER
from sparsead.transform.branches.activity import live_operands
from sparsead.transform.loops.rewrite import add_nested
from sparsead.transform.loops.site import Site


class BranchSite(Site):
    """A branch op on its way into another tape."""

    behind = 1

    def simplified(self, fold):
        self._choose()
        self._bodies(fold)
        while self._narrow(fold):
            pass
        self._merge()
        self.attr.memo["simple"] = fold
        return self._finish()

    def _needed(self, used):
        return live_operands(self.attr, used), used

    def _choose(self):
        """Where the number is a constant, only one body is left."""
        if self._is_constant(self.operands[-1]):
            which = int(self._constant(self.operands[-1]))
            if 0 <= which < len(self.attr.bodies):
                self._set([self.attr.bodies[which]], self.attr.carries)

    def _merge(self):
        """Leave of equal bodies only one."""
        distinct: dict = {}
        table = [distinct.setdefault(body.key(), (len(distinct), body))[0] for body in self.attr.bodies]
        if len(distinct) < len(table):
            self._set([body for _, body in distinct.values()], self.attr.carries)
            integer = self.new.type(self.operands[-1])
            operands = (self.new.const(np.array(table, integer.dtype)), self.operands[-1])
            (self.operands[-1],) = self.new.add(GATHER, operands, [integer], None, 0, self.line)

    def _finish(self):
        branch = self.attr
        if len(branch.bodies) == 1:
            values, self.attr = self.new.inline(branch.bodies[0], self.operands[:-1]), None
        else:
            values = add_nested(self.new, BRANCH, branch, self.operands, self.line) if branch.carries or branch.kept else []
        return self._results(values)
