"""Tangent of a loop.

Law: the loop of the tangent of its body, which carries the tangents of the carries that vary beside the carries.
"""

from __future__ import annotations

from typing import NamedTuple

from sparsead.ops.nested import Nested
from sparsead.transform._simplify import simplify
from sparsead.transform._tangent import tangent
from sparsead.transform.loops import remembered
from sparsead.transform.loops.activity import varied_carries


class NestedTangent(NamedTuple):
    """The tangent of a loop, or of a branch.

    Attributes
    ----------
    attr : Nested
        Carries: those of the primal op, then the tangents of the carries `active`. Invariants: the tangents of the operands
        `others`, then the invariants of the primal op.
    active : list of int
        Carries that have a tangent behind the op.
    others : list of int
        Other operands that have a tangent.
    """

    attr: Nested
    active: list[int]
    others: list[int]


@remembered
def tangent_of_loop(loop, operands, strong=False):
    """The `NestedTangent` of `loop`; `operands` flags those that have a tangent (a tuple of bool), `strong`: see `tangent`."""
    m, body = loop.carries, loop.body
    active = [c for c, flag in enumerate(varied_carries(loop, operands)) if flag]
    invariants = [i for i in range(m, len(operands)) if operands[i]]
    tape = tangent(body, [1 + i for i in active + invariants], strong)
    n = len(body.inputs)
    tape.inputs = tape.inputs[: 1 + m] + tape.inputs[n:] + tape.inputs[1 + m : n]
    tape.outputs = tape.outputs[:m] + [tape.outputs[m + c] for c in active]
    return NestedTangent(loop.replaced(simplify(tape), m + len(active)), active, invariants)
