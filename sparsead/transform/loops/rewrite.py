"""A tape with something else in place of its loops and branches."""

from __future__ import annotations

import numpy as np

from sparsead.ops.branch import BRANCH
from sparsead.ops.effect import EFFECT
from sparsead.ops.loop import LOOP
from sparsead.ops.structural import GUARD


def nested_of(tape):
    """Indices of the loop and branch ops."""
    codes = tape.codes()
    return np.flatnonzero((codes == LOOP.code) | (codes == BRANCH.code)).tolist()


def rewritten(tape, law):
    """`tape` with what ``law(new, op, operands)`` appends in place of each loop and branch; it returns the results' values."""
    new, value, at = tape.fresh(), np.full(tape.n_values + 1, -1, np.intc), 0
    for k in nested_of(tape):
        new.append(tape, value, at, k)
        op, at = tape.op(k), k + 1
        for v, result in zip(op.results, law(new, op, [int(value[v]) for v in op.operands]), strict=True):
            value[v] = result
    new.append(tape, value, at)
    new.inputs = [int(value[v]) for v in tape.inputs]
    new.outputs = [int(value[v]) for v in tape.outputs]
    new.names = {int(value[v]): name for v, name in tape.names.items() if value[v] >= 0}
    return new


def add_nested(new, op, attr, operands, line):
    """Append a loop or a branch; returns the values of its results."""
    return list(new.add(op, operands, [new.type(v) for v in operands[: attr.carries]], attr, 0, line))


def unguarded(tape):
    """`tape` with loops and branches that check and show nothing: what is run again has done so."""

    def law(new, op, operands):
        attr = op.attr.mapped(without_guards) if op.attr.kept else op.attr
        return add_nested(new, op.op, attr, operands, op.line)

    return rewritten(tape, law)


def without_guards(tape):
    """`tape` without its guards and effects, and those inside its loops and branches."""
    return unguarded(_without(tape, {GUARD, EFFECT}))


def without_effects(tape):
    """`tape` without its effects, and those inside its loops and branches; the same object if it has none."""
    if not has_effects(tape):
        return tape

    def law(new, op, operands):
        return add_nested(new, op.op, op.attr.mapped(without_effects), operands, op.line)

    return rewritten(_without(tape, {EFFECT}), law)


def has_effects(tape):
    """Whether there is an effect on the tape, or inside its loops and branches."""
    return EFFECT.code in tape.codes() or any(tape.op(k).attr.effective for k in nested_of(tape))


def effects_of(tape):
    """The attributes of all effects, those inside loops and branches too."""
    found = {tape.op(k).attr for k in np.flatnonzero(tape.codes() == EFFECT.code).tolist()}
    return found.union(*(effects_of(body) for k in nested_of(tape) for body in tape.op(k).attr.bodies))


def _without(tape, dropped):
    new, value = tape.fresh(), np.full(tape.n_values + 1, -1, np.intc)
    new.append(tape, value, chosen=np.array([op.op not in dropped for op in tape]))
    new.inputs, new.outputs = ([int(value[v]) for v in values] for values in (tape.inputs, tape.outputs))
    new.names = {int(value[v]): name for v, name in tape.names.items()}
    return new
