"""A tape with something else in place of its loops."""

from __future__ import annotations

import numpy as np

from sparsead.ops.loop import LOOP


def loops_of(tape):
    """Indices of the loop ops."""
    return np.flatnonzero(tape.codes() == LOOP.code).tolist()


def rewritten(tape, law):
    """`tape` with what ``law(new, op, operands)`` appends in place of each loop; it returns the values of the results."""
    new, value, at = tape.fresh(), np.full(tape.n_values + 1, -1, np.intc), 0
    for k in loops_of(tape):
        new.append(tape, value, at, k)
        op, at = tape.op(k), k + 1
        for v, result in zip(op.results, law(new, op, [int(value[v]) for v in op.operands]), strict=True):
            value[v] = result
    new.append(tape, value, at)
    new.inputs = [int(value[v]) for v in tape.inputs]
    new.outputs = [int(value[v]) for v in tape.outputs]
    new.names = {int(value[v]): name for v, name in tape.names.items() if value[v] >= 0}
    return new


def add_loop(new, loop, operands, line):
    """Append a loop op; returns the values of its results."""
    return list(new.add(LOOP, operands, [new.type(v) for v in operands[: loop.carries]], loop, 0, line))
