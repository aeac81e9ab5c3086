"""A tape without loops.

Law: a loop is its body, once for each trip, with the trip as a constant. Windows that move with counters then stand still.
"""

from __future__ import annotations

import numpy as np

from sparsead.transform._simplify import simplify
from sparsead.transform.loops.rewrite import loops_of, rewritten


def unrolled_ops(tape):
    """How many ops `tape` has with all loops unrolled."""
    return len(tape) + sum(loop.trips * unrolled_ops(loop.body) for loop in (tape.op(k).attr for k in loops_of(tape)))


def unrolled(tape):
    """`tape` with all loops unrolled, those inside others too; the same object if it has none.

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
    return simplify(rewritten(tape, _trips)) if loops_of(tape) else tape


def _trips(new, op, operands):
    loop = op.attr
    body = rewritten(loop.body, _trips) if loops_of(loop.body) else loop.body
    carries, invariants = operands[: loop.carries], operands[loop.carries :]
    for j in loop.order():
        carries = new.inline(body, [new.const(np.int64(j)), *carries, *invariants])
    return carries
