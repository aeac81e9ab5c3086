"""Tangent of a loop.

Law: the loop of the tangent of its body, which carries the tangents of the carries that vary beside the carries.
"""

from __future__ import annotations

from typing import NamedTuple

from sparsead.ops.loop import Loop
from sparsead.transform._simplify import simplify
from sparsead.transform._tangent import tangent
from sparsead.transform.loops import remembered
from sparsead.transform.loops.activity import varied_carries


class LoopTangent(NamedTuple):
    """The tangent of a loop.

    Attributes
    ----------
    loop : Loop
        Carries: those of the primal loop, then the tangents of the carries `active`. Invariants: those of the primal loop, then
        the tangents of those that have one.
    active : list of int
        Carries that have a tangent.
    carries_before : int
        How many carries the primal loop has.
    """

    loop: Loop
    active: list[int]
    carries_before: int


@remembered
def tangent_of_loop(loop, operands):
    """The `LoopTangent` of `loop`; `operands` flags those that have a tangent (a tuple of bool)."""
    m, body = loop.carries, loop.body
    active = [c for c, flag in enumerate(varied_carries(loop, operands)) if flag]
    invariants = [i for i in range(m, len(operands)) if operands[i]]
    tape = tangent(body, [1 + i for i in active + invariants])
    n, last = len(body.inputs), len(body.inputs) + len(active)
    tape.inputs = tape.inputs[: 1 + m] + tape.inputs[n:last] + tape.inputs[1 + m : n] + tape.inputs[last:]
    tape.outputs = tape.outputs[:m] + [tape.outputs[m + c] for c in active]
    return LoopTangent(loop.replaced(simplify(tape), m + len(active)), active, m)
