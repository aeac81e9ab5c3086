"""Tangent of a branch.

Law: the branch of the tangents of its bodies. A result that varies in one body has a tangent in all; it is zero where a body
gives none.
"""

from __future__ import annotations

from sparsead.ops.structural import INPUT
from sparsead.transform._simplify import simplify
from sparsead.transform._tangent import tangent
from sparsead.transform.branches.activity import varied_carries
from sparsead.transform.loops import remembered
from sparsead.transform.loops.tangent import NestedTangent


@remembered
def tangent_of_branch(branch, operands, strong=False):
    """The `NestedTangent` of `branch`; `operands` flags those that have a tangent (a tuple of bool), `strong`: see `tangent`."""
    m = branch.carries
    active = [c for c, flag in enumerate(varied_carries(branch, operands)) if flag]
    flagged = [i for i, flag in enumerate(operands) if flag]
    others = [i for i in flagged if i not in active]

    def law(body):
        tape, n = tangent(body, flagged, strong), len(body.inputs)
        dots = dict(zip(flagged, tape.inputs[n:], strict=True))
        for c in active:
            if c not in dots:  # zero, and read by nobody
                (dots[c],) = tape.add(INPUT, (), [body.type(body.inputs[c])])
        tape.inputs = tape.inputs[:m] + [dots[i] for i in active + others] + tape.inputs[m:n]
        tape.outputs = tape.outputs[:m] + [tape.outputs[m + c] for c in active]
        return simplify(tape)

    return NestedTangent(branch.with_bodies([law(body) for body in branch.bodies], m + len(active)), active, others)
