"""Paths through the body of a loop that the counter or the data open: each is traced where it is met first."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsead import config
from sparsead.engine.reference import Program
from sparsead.tape.spec import GuardFailed
from sparsead.tracing import _traced
from sparsead.tracing._traced import Segment
from sparsead.tracing.errors import TraceError
from sparsead.tracing.loops.choosing import making
from sparsead.tracing.loops.counting import guards_of
from sparsead.tracing.loops.folding import AGAIN, OUTSIDE, run_so_far
from sparsead.tracing.loops.remembered import remembered
from sparsead.transform.loops.rewrite import without_effects


class Branches:
    """The steps of a loop that take another path than the one that repeats: each path is traced once, where it is met first.

    What a path leaves behind is told by the names: the value that a path leads to has, after the step, the role that the value
    there had before it. Arrays that no name reaches are told by their identity.
    """

    def __init__(self, roll, folding, now, comes_round):
        self.roll, self.folding, self.trace, self.comes_round = roll, folding, roll.trace, comes_round
        roles = folding.plan.held
        self.paths = {path: roles[x[2]] for path, x in now.state.items() if x[0] == "traced"}
        named = {x[2] for x in now.state.values() if x[0] == "traced"}
        self.nameless = {serial: role for serial, role in roles.items() if serial not in named}
        self.hands_on = self._handed_on(roll.kept[-1].state, now.state)
        self.open = ~folding.certain(0)
        self.traced, self.tried, self.step, self.trip = 0, 0, 0, plan_trips(folding.plan)
        self.numbers: dict = {}  # by role, at the head of `trip`
        self.numbers_tried: Any = None  # the same at the head of `tried`, once somebody has asked
        self.roles_before: dict = {}
        self.hidden: dict = {}
        self.marks = []  # heads of the steps of the trip that is traced
        self.trace.hiding.append(self)

    def next(self):
        """The step to trace next; None when all paths are known."""
        if self.folding.decided_by_data():  # one after the other, as a path may leave the loop
            ended = self._go_on(self.folding.trips)
            if not ended:
                self._check_guards()
            self.open[:] = False
            self.open[self.trip :] = not ended
        if not self.open.any():
            # Names come round only after so many steps: the last path is traced again until they have.
            if self.traced % self.comes_round == 0:
                self.trace.hiding.remove(self)
                return None
            return self.step
        if len(self.folding.segments) > config.max_branches:
            raise TraceError(f"{self.roll.place}: branches lead to more than {config.max_branches} paths through the body")
        plan = self.folding.plan
        self.tried = int(np.flatnonzero(self.open)[0])
        self.step = self.roll.first + plan.start + self.tried * plan.period
        self.numbers_tried = dict(self.numbers) if self.trip == self.tried and self.numbers else None
        return self.step

    def _go_on(self, end):
        """Run the loop on the trace's numbers as far as its paths are known; whether that is to the trip `end`."""
        registers, invariants, bodies = self.folding.bodies()
        self._begin([*registers, *[(OUTSIDE, v) for v in invariants]])
        given = [self.numbers[OUTSIDE, v] for v in invariants]
        programs = [Program(without_effects(body)) for body in bodies]
        while self.trip < end:
            state = _first_path(programs, [np.int64(self.trip), *[self.numbers[role] for role in registers], *given])
            if state is None:
                return False
            self.numbers.update(zip(registers, state, strict=True))
            self.trip += 1
        return True

    def _check_guards(self):
        """TraceError if a path fails at `trip` that, by its own guards, would be taken: then a loop inside fails."""
        registers, invariants, bodies = self.folding.bodies()
        inputs = [np.int64(self.trip), *[self.numbers[role] for role in [*registers, *[(OUTSIDE, v) for v in invariants]]]]
        for body in bodies:
            values = Program(making(body, [v for v, _ in guards_of(body)])).run(inputs)
            if all(value == expected for value, (_, expected) in zip(values, guards_of(body), strict=True)):
                step = self.roll.first + self.folding.plan.start + self.trip * self.folding.plan.period
                raise TraceError(f"{self.roll.place}: a branch inside an inner loop goes other ways in step {step} than "
                                 "before; use np.where in the inner loop, or unroll the outer one with unroll=True")  # fmt: skip

    def _begin(self, roles):
        """The numbers behind the traced steps, of all that these roles and the names have from before the loop."""
        heads, end = self.folding.plan.heads, self.folding.plan.end
        wanted = sorted({*roles, *self.paths.values(), *self.nameless.values()} - self.numbers.keys())
        values = [r if d == OUTSIDE else heads[end - d * self.folding.plan.period].value + r for d, r in wanted]
        self.trace.hiding.remove(self)
        self.numbers.update(zip(wanted, run_so_far(self.trace, values), strict=True))
        self.trace.hiding.append(self)

    def known(self):
        """The numbers at the head of the step that is traced, by placeholder."""
        if self.numbers_tried is None:
            self._go_on(self.tried)
            self.numbers_tried = dict(self.numbers)
        return {v: self.numbers_tried[role] for v, role in self.hidden.items()}

    def roles(self):
        """Roles by serial number, of what lives now."""
        found = dict(self.nameless)
        for path, x in remembered(self.roll.frame).items():
            if x[0] == "traced" and path in self.paths:
                found[x[2]] = self.paths[path]
        return found

    def head(self, k):
        """Begin a step on another path."""
        if not self.marks:
            self.roles_before = self.roles()
            self.hidden = _traced.hide(self.trace, self.roles_before)
        mark, number = _traced.counter(self.trace, k)
        self.marks.append(mark)
        return number

    def after(self):
        """End it; the step to trace next, or None."""
        if len(self.marks) < self.folding.plan.period:
            return self.step + len(self.marks)
        self.traced += 1
        if self.open.any():
            self._enter()
        self.marks = []
        return self.next()

    def leave(self):
        """End the loop in the middle of a step: what of the step was traced comes behind a loop op with the trips before it."""
        roll, plan = self.roll, self.folding.plan
        if self in self.trace.hiding:
            self.trace.hiding.remove(self)
        if not self.marks or (self.tried - plan_trips(plan) - self.traced) % self.comes_round:
            raise TraceError(f"{roll.place}: the loop is left while its arrays are swapped; write it as steps(n, unroll=True)")
        cut, roles = self.folding.cut, dict(self.hidden)
        place = self.trace, self.marks[0], roles, cut
        operands = _traced.described(*place[:2], _traced.end_of(self.trace), roles, cut)
        there = {s: v for kind in _traced.held(self.trace) for s, v in kind.items()}
        left = {s: _traced.description(*place, v) for s, v in there.items()}
        if operands is None:
            raise TraceError(f"{roll.place}: the loop is left on a path that reads what no name leads to")
        counters = {mark.op: roll.first + plan.start + q for q, mark in enumerate(self.marks)}
        end = _traced.end_of(self.trace)
        last = Segment(self.marks[0].op, end.op, self.marks[0].value, counters, operands, {})
        made = {s: known for s, known in left.items() if known is not None and known[0] != AGAIN}
        tape = self.trace.tape
        again = {s: tape.op(tape.maker(known[1])).attr for s, known in left.items() if known and s not in made}
        gone = {s for s, known in left.items() if known is None}
        piece, registers, invariants = self.folding.piece(last, made.values())
        results, _ = self.folding.run(self.tried, roll.line)
        given = [self.trace.constant_value(np.int64(self.tried)), *[results[r] for r in registers], *invariants]
        values = dict(zip(made, self.trace.inline(piece, given), strict=True))
        values |= {s: self.trace.constant_value(number) for s, number in again.items()}
        _traced.set_values(self.trace, values | {s: _traced.lost(self.trace, there[s]) for s in gone})

    def _enter(self):
        end, roles, head, cut = _traced.end_of(self.trace), dict(self.hidden), self.marks[0], self.folding.cut
        operands = _traced.described(self.trace, head, end, roles, cut)
        outputs, state, held = {}, remembered(self.roll.frame), _traced.held(self.trace)[0]
        left = [(role, state[path][1]) for path, role in self.paths.items() if path in state]
        left += [(role, held[serial]) for serial, role in self.nameless.items() if serial in held]
        for role, v in left:
            known = _traced.description(self.trace, head, roles, cut, v)
            if outputs.setdefault(role, known) != known or known is None or known[0] == AGAIN:
                raise TraceError(f"{self.roll.place}: two arrays that were one so far, or an array and a number, part on a "
                                 "path that is taken seldom; make the copy before the loop")  # fmt: skip
        if operands is None:
            raise TraceError(f"{self.roll.place}: a path that is taken seldom reads what no name leads to")
        counters = {mark.op: self.roll.first + self.folding.plan.start + q for q, mark in enumerate(self.marks)}
        self.folding.segments.append(Segment(head.op, end.op, head.value, counters, operands, outputs))
        holds = self.folding.certain(len(self.folding.segments) - 1)
        if not holds[self.tried]:
            raise TraceError(f"{self.roll.place}: step {self.step} does not take the path that it was seen to take")
        self.open &= ~holds
        self._check_swaps()
        self._let_go(held | _traced.held(self.trace)[1])


    def _handed_on(self, before, now):
        """Where a step takes arrays: {role of the name that had it: role of the name that has it now}."""
        had = {x[2]: self.paths[path] for path, x in before.items() if x[0] == "traced" and path in self.paths}
        return {had[x[2]]: self.paths[path] for path, x in now.items() if x[0] == "traced" and x[2] in had}

    def _check_swaps(self):
        """Swaps that depend on the path: the names have the right values, but who else knows the arrays would have others'."""
        roles = self.roles()
        both = [s for s, role in self.roles_before.items() if s in roles and role in self.hands_on]
        swapped = {s for s in both if self.hands_on[self.roles_before[s]] != roles[s]}
        self.trace.swapped |= swapped
        frame = self.roll.frame.f_back if swapped else None
        while frame is not None and not _is_recorder(frame):
            for path, x in remembered(frame).items():
                if x[0] == "traced" and x[2] in swapped:
                    name = frame.f_code.co_name
                    raise TraceError(f"{self.roll.place}: arrays are swapped on some paths only, and {path} is one of them "
                                     f"in {name}(); write into the arrays instead, or unroll the loop")  # fmt: skip
            frame = frame.f_back

    def _let_go(self, held):
        """What has lost its name on this path stays as it is: known if it was as before the loop, else lost."""
        changed = {role for s in self.folding.segments[:-1] for role, known in s.outputs.items() if known != role}
        gone = [s for s in self.roles_before if s in held and s not in self.roles()]
        roles = {s: self.hidden.get(held[s], (0, 0)) for s in gone}
        _traced.set_values(self.trace, {s: role[1] for s, role in roles.items() if role[0] == OUTSIDE and role not in changed})


def _is_recorder(frame):
    return frame.f_globals.get("__name__") == "sparsead.tracing.record"


def plan_trips(plan):
    """Trips of the loop that have been traced."""
    return (plan.end - plan.start) // plan.period


def _first_path(programs, inputs):
    """What the first program whose guards hold makes of the inputs; None if there is none."""
    for program in programs:
        try:
            return program.run(inputs)
        except GuardFailed:
            continue
    return None
