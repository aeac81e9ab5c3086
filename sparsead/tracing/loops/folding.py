"""A loop op in the making: its bodies, and what the counter says of them."""

from __future__ import annotations

import numpy as np

from sparsead.engine.reference import Program
from sparsead.ops.loop import Loop
from sparsead.ops.positions import Positions
from sparsead.tracing import _traced
from sparsead.tracing.errors import TraceError
from sparsead.tracing.loops.choosing import choosing, making
from sparsead.tracing.loops.counting import Count, constant, guards_of

OUTSIDE, AGAIN = -1, -2  # kinds of descriptions: a value from before the loop, a constant to be made again


class Folding:
    """A loop op in the making.

    Attributes
    ----------
    segments : list of Segment
        The step that repeats, then those that branches lead to.
    trips : int
        All that are left.
    cut : int
        Values from here on are taken off the tape.
    """

    def __init__(self, trace, plan, segments, n):
        self.trace, self.plan, self.segments = trace, plan, segments
        self.trips = (n - plan.start) // plan.period
        self.cut = plan.heads[plan.start].value

    def _registers(self):
        """Registers; those of the plan, and what only a branch changes."""
        registers = _traced.registers_of(self.plan)
        changed = {role for segment in self.segments for role, known in segment.outputs.items() if known != role}
        return registers + sorted(changed - set(registers))

    def bodies(self):
        """(registers, invariants, a body for each segment)."""
        registers = self._registers()
        read = {known for s in self.segments for known in [*s.operands, *s.outputs.values()] if known[0] == OUTSIDE}
        invariants = sorted(v for d, v in read - set(registers))
        return registers, invariants, [self._body(s, registers, invariants) for s in self.segments]

    def _body(self, segment, registers, invariants):
        return _traced.body_of(self.trace, segment, self.plan, registers, invariants)

    def piece(self, segment, wanted):
        """(tape, registers, invariants) of a segment that gives the `wanted` descriptions."""
        read = [known for known in [*segment.operands, *wanted] if known[0] == OUTSIDE]
        registers, invariants, _ = self.bodies()
        more = sorted({v for known in read for v in known[1:] if known not in registers} | set(invariants))
        return _traced.body_of(self.trace, segment, self.plan, registers, more, wanted), registers, more

    def count(self, body, registers, invariants):
        """The `Count` of a body."""
        return Count(body, [None, *[None] * len(registers), *[constant(self.trace, v) for v in invariants]])

    def is_guarded(self):
        """Whether a trip may take another path."""
        return any(guards_of(body) or asks(body) for body in self.bodies()[2])

    def certain(self, k):
        """For each trip, whether the counter lets body `k` be run; true where it does not decide."""
        registers, invariants, bodies = self.bodies()
        count = self.count(bodies[k], registers, invariants)
        holds = np.ones(self.trips, bool)
        for value, expected in guards_of(bodies[k]):
            holds &= count.equal(value, expected, self.trips)
        return holds

    def decided_by_data(self):
        """Whether a guard looks at more than the counter, or stands in a loop inside that does not decide it itself."""
        registers, invariants, bodies = self.bodies()
        return any(
            self.count(body, registers, invariants).at(v, 0) is None for body in bodies for v, _ in guards_of(body)
        ) or any(asks(body) for body in bodies)  # fmt: skip

    def check_masks(self):
        """TraceError for a mask that may name another number of elements at each step."""
        for body in self.bodies()[2]:
            for op in body:
                if isinstance(op.attr, Positions) and any(body.type(v).dtype == bool for v in op.operands):
                    where = "" if op.line is None else f" at {op.line[0]}:{op.line[1]}"
                    raise TraceError(f"a mask of traced values names elements in a loop{where}, and how many may change from "
                                     "step to step; use np.where(mask, new, u), or steps(n, unroll=True)")  # fmt: skip

    def run(self, trips, line):
        """Put the loop op on the tape: ({role: value after the loop}, {role: number, where the counter gives it})."""
        self.check_masks()
        registers, invariants, bodies = self.bodies()
        counted = {}
        for role, *values in zip(registers, *[body.outputs for body in bodies], strict=True):
            numbers = [self.count(body, registers, invariants).at(v, trips - 1) for body, v in zip(bodies, values, strict=True)]
            if numbers[0] is not None and all(number == numbers[0] for number in numbers):
                counted[role] = numbers[0]
        body = bodies[0] if len(bodies) == 1 else choosing(bodies, len(registers))
        loop = Loop(body, trips, len(registers))
        results = _traced.fold(self.trace, self.plan, registers, invariants, loop, counted, line)
        self._guard_outside(bodies, len(registers), invariants)
        return results, counted

    def _guard_outside(self, bodies, carries, invariants):
        """Guard outside as well what is the same in all trips, so that an enclosing loop sees it."""
        unread = self.trace.constant_value(np.int64(0))
        for body in bodies:
            varying = set(body.inputs[: 1 + carries])
            for op in body:
                varying.update(op.results if varying.intersection(op.operands) else ())
            guards = [(v, expected) for v, expected in guards_of(body) if v not in varying]
            piece = making(body, [v for v, _ in guards])
            values = self.trace.inline(piece, [*[unread] * (1 + carries), *invariants])
            for value, (_, expected) in zip(values, guards, strict=True):
                self.trace.expect(value, expected)


def asks(body):
    """Whether a loop in `body` has a guard that its own counter does not decide."""
    for op in body:
        if isinstance(op.attr, Loop):
            inner, trips = op.attr.body, op.attr.trips
            count = Count(inner, [None] * len(inner.inputs))
            if asks(inner) or not all(count.always(v, expected, trips) for v, expected in guards_of(inner)):
                return True
    return False


def run_so_far(trace, values):
    """The numbers of some values of the tape, at the numbers of the trace's inputs. They are on the path that was traced."""
    known = {v: number for loop in trace.hiding for v, number in loop.known().items()}
    return Program(making(trace.tape, values, known)).run([*trace.supply(), *known.values()])
