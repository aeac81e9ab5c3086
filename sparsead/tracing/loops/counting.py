"""What the counter of a loop alone decides: which branch a step takes, and the numbers that come of counters."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsead.tape.spec import BY_NAME

CONST, CAST, GUARD = (BY_NAME[name] for name in ("const", "cast", "guard"))


def constant(trace, value):
    """The number of a constant of the tape; None for anything else."""
    op = trace.tape.op(trace.tape.maker(value))
    return op.attr if op.op is CONST and np.ndim(op.attr) == 0 else None


def guards_of(body):
    """(value, what it has to be) of the guards of a tape."""
    return [(op.operands[0], op.attr) for op in body if op.op is GUARD]


class Count:
    """Values of a body that depend on the trip and on known numbers only."""

    def __init__(self, body, numbers):
        self.body = body
        self.known = dict(zip(body.inputs, numbers, strict=True))

    def _over(self, value, trips):
        """The value at all of `trips` (an array), or None."""
        if value == self.body.inputs[0]:
            return trips
        if value in self.known:
            return self.known[value]
        op = self.body.op(self.body.maker(value))
        if op.op is CONST:
            return op.attr if np.ndim(op.attr) == 0 else None
        ufunc: Any = getattr(op.op.elementwise, "ufunc", None)
        if op.op is not CAST and not isinstance(ufunc, np.ufunc):
            return None
        operands = [self._over(v, trips) for v in op.operands]
        if any(x is None for x in operands):
            return None
        dtype = self.body.type(value).dtype
        with np.errstate(all="ignore"):
            return np.asarray(operands[0] if op.op is CAST else ufunc(*operands)).astype(dtype)

    def at(self, value, trip):
        """The value at one trip, or None."""
        number = self._over(value, np.int64(trip))
        return None if number is None else np.asarray(number).item()

    def equal(self, value, expected, trips):
        """For each trip whether a value is the expected one; true where the counter does not decide it."""
        numbers = self._over(value, np.arange(trips))
        return np.ones(trips, bool) if numbers is None else np.broadcast_to(numbers == expected, (trips,))

    def always(self, value, expected, trips):
        """Whether the counter alone makes a value the expected one at all trips."""
        numbers = self._over(value, np.arange(trips))
        return numbers is not None and bool(np.all(numbers == expected))
