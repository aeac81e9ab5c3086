"""Whether a folded loop does what the traced steps did: a check of the fold, before it takes their place.

The traced steps were run by Python and NumPy, so what lives now has their numbers. The body of the loop op is run over the same
trips by the reference interpreter, from where they began, and has to give what lives the same numbers. Seen are faults of the
fold, and of what writes into arrays so that the trace cannot know. Not seen is what Python would do in later steps:
`sparsead.testing.check_loop` runs them all.

It costs a run of the tape so far, without its effects, and calls no code of the user. It is left out where that is not cheap,
or numbers are not known: behind and around other loops, on paths of theirs that are traced later, with black boxes and
equations, and for long tapes.
"""

from __future__ import annotations

import numpy as np

from sparsead.engine.reference import Program
from sparsead.tape._memory import blank
from sparsead.tape.spec import BY_NAME, OPS, GuardFailed
from sparsead.tracing import _traced
from sparsead.tracing._traced import CURRENT
from sparsead.tracing.errors import TraceError
from sparsead.tracing.loops.folding import OUTSIDE

EFFECT, EMPTY, INPUT = BY_NAME["effect"], BY_NAME["empty"], BY_NAME["input"]
DEAR = {"loop", "branch"}
LONGEST = 5000  # ops
TOLERANCE = 1e-3  # relative to the largest element: steps may magnify rounding, and faults are larger


def verify(folding, where):
    """Raise TraceError if the body of `folding` gives other numbers than the steps that were traced."""
    token = CURRENT.set(None)  # NumPy's own functions compare
    try:
        _verify(folding, where)
    finally:
        CURRENT.reset(token)


def _verify(folding, where):
    trace, tape, plan = folding.trace, folding.trace.tape, folding.plan
    is_unknown = trace.stale or trace.hiding
    if is_unknown or len(tape) > LONGEST or any(_is_left_out(OPS[code]) for code in np.unique(tape.codes())):
        return
    registers, invariants, bodies = folding.bodies()
    starts = [r if d == OUTSIDE else plan.heads[plan.start - d * plan.period].value + r for d, r in registers]
    numbers = _Run(tape, starts + invariants)(trace.supply())
    state, given = numbers[: len(starts)], numbers[len(starts) :]
    try:
        run = _Run(bodies[0], bodies[0].outputs)
        for trip in range((plan.end - plan.start) // plan.period):
            state = run([np.int64(trip), *state, *given])
    except GuardFailed:  # a step on a path of its own
        return
    by_role = dict(zip(registers, state, strict=True))
    for role, number in _living(folding):
        if role in by_role and not _agree(by_role[role], number):
            raise TraceError(f"{where}: the loop gives other numbers than the steps that were traced, so something writes into "
                             "an array without NumPy, or this is a fault of sparsead; write it as a loop over range(n), or "
                             "steps(n, unroll=True)")  # fmt: skip


def _is_left_out(op):
    """Whether running `op` once more is dear, or does something that is not known here."""
    return op.user or op.name in DEAR or (op.keep and op.name not in ("input", "guard", "effect"))


def _living(folding):
    """(role, number) of the floating arrays and numbers that somebody holds."""
    held, (storages, scalars) = _traced.held(folding.trace), _traced.alive(folding.trace)
    roles = {v: folding.plan.held.get(serial) for kind in held for serial, v in kind.items()}
    found = [(roles[s.version], s.base) for s in storages] + [(roles[x.value], np.asarray(x.concrete)) for x in scalars]
    return [(role, number) for role, number in found if number.dtype.kind in "fc"]


def _agree(mine, number):
    """Whether two arrays are the same but for rounding, where `mine` is defined."""
    if np.shape(mine) != number.shape:
        return False
    with np.errstate(all="ignore"):
        size = np.max(np.abs(number), initial=0.0, where=np.isfinite(number))
        near = np.abs(mine - number) <= TOLERANCE * size
    return bool(np.all(near | (mine == number) | np.isnan(mine)))


class _Run:
    """A tape made ready to run: without effects, and with NaN in floating memory that nobody has written, as it means nothing.

    Parameters
    ----------
    tape : Tape
    outputs : sequence of int
        Values that are asked for.
    """

    def __init__(self, tape, outputs):
        new, value, at, self.blanks = tape.fresh(), np.full(tape.n_values + 1, -1, np.intc), 0, []
        codes = tape.codes()
        chosen = codes != EFFECT.code
        for k in np.flatnonzero(codes == EMPTY.code).tolist():
            (v,) = tape.op(k).results
            t = tape.type(v)
            if t.inexact:
                new.append(tape, value, at, k, chosen)
                (value[v],), at = new.add(INPUT, (), [t]), k + 1
                self.blanks.append((int(value[v]), t))
        new.append(tape, value, at, chosen=chosen)
        new.inputs = [*value[tape.inputs].tolist(), *(v for v, _ in self.blanks)]
        new.outputs = value[outputs].tolist()
        self.program = Program(new)

    def __call__(self, inputs):
        """The values at these inputs."""
        memories = [blank(t.shape, t.strides, t.dtype) for _, t in self.blanks]
        for memory in memories:
            memory[...] = np.nan
        return self.program.run([*inputs, *memories])
