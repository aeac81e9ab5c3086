"""A tape without loops.

Law: a loop is its body, once for each trip, with the trip as a constant. Windows that move with counters then stand still, and
a branch that a counter decides is one of its bodies.
"""

from __future__ import annotations

import numpy as np

from sparsead.ops.loop import LOOP
from sparsead.transform._simplify import simplify
from sparsead.transform.loops.rewrite import add_nested, nested_of, rewritten


def unrolled_ops(tape):
    """How many ops `tape` has with all loops unrolled."""
    ops = [tape.op(k) for k in nested_of(tape)]
    return len(tape) + sum(getattr(op.attr, "trips", 1) * max(map(unrolled_ops, op.attr.bodies)) for op in ops)


def unrolled(tape):
    """`tape` with all loops unrolled, those inside others too; the same object if it has neither loops nor branches.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsead.ops.loop import LOOP, Loop
    >>> from sparsead.tape._tape import Tape
    >>> from sparsead.tape.spec import BY_NAME
    >>> tape = Tape()
    >>> t = tape.pool.type(np.dtype(float), ())
    >>> body = tape.fresh()
    >>> (j,), (u,) = (body.add(BY_NAME["input"], (), [s]) for s in (tape.pool.type(np.dtype(np.int64), ()), t))
    >>> body.inputs, body.outputs = [j, u], list(body.add(BY_NAME["sin"], (u,), [t]))
    >>> tape.inputs = list(tape.add(BY_NAME["input"], (), [t]))
    >>> tape.outputs = list(tape.add(LOOP, tape.inputs, [t], Loop(body, 3, 1)))
    >>> print(unrolled(tape))
    %0: f64 = input()
    %1: f64 = sin(%0)
    %2: f64 = sin(%1)
    %3: f64 = sin(%2)
    return %3
    """
    return simplify(_without_loops(tape)) if nested_of(tape) else tape


def _without_loops(tape):
    return rewritten(tape, _trips) if nested_of(tape) else tape


def _trips(new, op, operands):
    if op.op is not LOOP:
        return add_nested(new, op.op, op.attr.mapped(_without_loops), operands, op.line)
    loop = op.attr
    body = _without_loops(loop.body)
    carries, invariants = operands[: loop.carries], operands[loop.carries :]
    for j in loop.order():
        carries = new.inline(body, [new.const(np.int64(j)), *carries, *invariants])
    return carries
