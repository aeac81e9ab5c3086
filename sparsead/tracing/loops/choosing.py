"""One body out of several: the one whose guards hold is run."""

from __future__ import annotations

import numpy as np

from sparsead.ops.branch import Branch
from sparsead.tape.spec import BY_NAME
from sparsead.tracing import _traced
from sparsead.tracing.loops.counting import guards_of
from sparsead.transform.loops import rewrite

INPUT, GUARD = BY_NAME["input"], BY_NAME["guard"]


def choosing(bodies, carries):
    """A body that runs the one of `bodies` whose guards hold; GuardFailed if none does."""
    tape, model = bodies[0].fresh(), bodies[0]
    inputs = [tape.add(INPUT, (), [model.type(v)])[0] for v in model.inputs]
    integer, truth = tape.pool.type(np.int64, ()), tape.pool.type(bool, ())
    which = tape.const(np.int64(-1))
    for k in range(len(bodies) - 1, -1, -1):
        holds = _holds(tape, bodies[k], inputs, truth)
        (which,) = tape.add(BY_NAME["select"], (holds, tape.const(np.int64(k)), which), [integer])
    (known,) = tape.add(BY_NAME["greater_equal"], (which, tape.const(np.int64(0))), [truth])
    tape.add(GUARD, (known,), (), True)
    trip, registers, invariants = inputs[0], inputs[1 : 1 + carries], inputs[1 + carries :]
    branch = Branch([_as_branch(body, carries) for body in bodies], carries)
    types = [tape.type(v) for v in registers]
    tape.inputs = inputs
    tape.outputs = list(tape.add(BY_NAME["branch"], (*registers, trip, *invariants, which), types, branch))
    return tape


def making(tape, outputs, known=()):
    """What of a tape makes the `outputs`, and no guards and effects, also in loops; its last inputs are the `known` values."""
    return rewrite.unguarded(_traced.making(tape, outputs, known))


def _holds(tape, body, inputs, truth):
    """Whether all guards of `body` hold, as a value of `tape`."""
    guards = guards_of(body)
    values = _inlined(tape, making(body, [v for v, _ in guards]), inputs)
    holds = tape.const(np.bool_(True))
    for v, (_, expected) in zip(values, guards, strict=True):
        dtype = tape.type(v).dtype
        (same,) = tape.add(BY_NAME["equal"], (v, tape.const(dtype.type(expected))), [truth])
        (holds,) = tape.add(BY_NAME["logical_and"], (holds, same), [truth])
    return holds


def unguarded(body):
    """`body` without its guards."""
    tape = body.fresh()
    value: dict = {}
    for op in body:
        if op.op is not GUARD:
            made = tape.add(op.op, [value[v] for v in op.operands], [body.type(v) for v in op.results], op.attr, op.imm, op.line)
            value.update(zip(op.results, made, strict=True))
    tape.inputs, tape.outputs = [value[v] for v in body.inputs], [value[v] for v in body.outputs]
    return tape


def _inlined(tape, piece, inputs):
    """Append the ops of `piece` to `tape`; returns the values of its outputs."""
    value = dict(zip(piece.inputs, inputs, strict=True))
    for op in piece:
        if op.op is not INPUT:
            made = tape.add(op.op, [value[v] for v in op.operands], [piece.type(v) for v in op.results], op.attr, op.imm, op.line)
            value.update(zip(op.results, made, strict=True))
    return [value[v] for v in piece.outputs]


def _as_branch(body, carries):
    tape = unguarded(body)
    tape.inputs = [*tape.inputs[1 : 1 + carries], tape.inputs[0], *tape.inputs[1 + carries :]]
    return tape
