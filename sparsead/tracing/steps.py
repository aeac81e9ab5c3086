"""A Python loop that stays a loop: ``for k in sparsead.steps(n)``.

The first steps are traced as they are run. As soon as a step does to the tape what the step before it did, the rest of the
loop becomes one op (`sparsead.ops.loop`), and Python goes on behind the loop. That needs more than equal ops: what Python
itself remembers from step to step has to come round as well, or the loop would end in a state that the function never has.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import NamedTuple

import numpy as np

from sparsead import config
from sparsead.engine.reference import Program
from sparsead.ops.branch import Branch
from sparsead.ops.loop import Loop
from sparsead.tape.spec import BY_NAME, GuardFailed
from sparsead.tracing import _traced
from sparsead.tracing._traced import CURRENT, Mismatch, Plan, Segment, Traced, TracedArray, as_array
from sparsead.tracing.errors import TraceError
from sparsead.transform._simplify import prune

INPUT, CONST, CAST, GUARD = (BY_NAME[name] for name in ("input", "const", "cast", "guard"))
OUTSIDE, AGAIN = -1, -2  # kinds of descriptions: a value from before the loop, a constant to be made again
PERIODS = (1, 2, 3, 4)
REACH = 1000  # items of containers and objects that are looked at


def steps(n, unroll=False):
    """Count the steps of a loop; while a function is differentiated, the loop stays a loop.

    Parameters
    ----------
    n : int or array_like
        Number of steps; or an array, over whose rows the loop goes.
    unroll : bool
        Trace every step, as a loop over ``range(n)`` does.

    Returns
    -------
    iterable
        Of 0, 1, ..., n - 1, or of the rows. Outside of derivatives it is ``range(n)``, or the array itself.

    Raises
    ------
    TypeError, ValueError
        `n` is no integer and no array, or negative.
    TraceError
        While tracing: the steps are not alike, or a Python number, list or object remembers something from step to step.

    Notes
    -----
    The body may update arrays in place, swap them, index with the counter (``u[k + 1]``, ``F[k - 1:k + 2]``), and compute with
    it. The numbers of arrays that the loop changes are not known until somebody asks for them; shapes are.

    Examples
    --------
    >>> import numpy as np, sparsead
    >>> def simulate(u, nu):
    ...     new = u.copy()
    ...     for k in sparsead.steps(1000):
    ...         new[1:-1] = u[1:-1] + nu * (u[2:] - 2 * u[1:-1] + u[:-2])
    ...         u, new = new, u
    ...     return u @ u
    >>> sparsead.grad(simulate)(np.array([0.0, 1.0, 2.0, 0.0]), 0.25).round(6)
    array([0.666667, 0.      , 0.      , 0.333333])
    """
    if isinstance(n, (Traced, np.ndarray, list, tuple)):
        return _rows(n, unroll)
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)):
        raise TypeError(f"sparsead.steps() takes a number of steps or an array, got {type(n).__name__}")
    if n < 0:
        raise ValueError(f"sparsead.steps({n}): a number of steps is not negative")
    trace = CURRENT.get()
    return range(int(n)) if trace is None or unroll else _Steps(trace, int(n))


def _rows(array, unroll):
    trace = CURRENT.get()
    if trace is None or unroll:
        return array
    array = as_array(trace, array if isinstance(array, Traced) else np.asarray(array))
    return (array[k] for k in _Steps(trace, len(array), back=2))


class _Steps:
    """The iterator that traces steps until they repeat, and folds the rest."""

    def __init__(self, trace, n, back=1):
        self.trace, self.n, self.back = trace, n, back

    def __len__(self):
        return self.n

    def __iter__(self):
        roll = _Roll(self.trace, self.n, sys._getframe(self.back))
        k = 0
        self.trace.depth += 1
        try:
            while k < self.n:
                yield roll.head(k)
                k = roll.after(k + 1)
        finally:
            self.trace.depth -= 1
            roll.left()


class Seen(NamedTuple):
    """What is there at the head of a step."""

    values: dict  # of storages, by serial number
    numbers: dict  # the same of traced numbers
    state: dict  # what Python remembers, by path

    def names(self):
        """The paths that lead to each serial number."""
        found = defaultdict(list)
        for path, x in self.state.items():
            if x[0] == "traced":
                found[x[2]].append(path)
        return found


class _Roll:
    """The steps traced so far, and what was there at the head of each."""

    def __init__(self, trace, n, frame):
        self.trace, self.n, self.frame = trace, n, frame
        self.line = (frame.f_code.co_filename, frame.f_lineno)
        self.pieces, self.branches = 0, None
        self._begin(0)

    def _begin(self, first):
        self.first, self.heads, self.kept, self.reason = first, [], [], None

    def head(self, k):
        """Begin step `k`; gives its counter."""
        if self.branches:
            return self.branches.head(k)
        self.kept.append(self._seen())
        mark, number = _traced.counter(self.trace, k)
        self.heads.append(mark)
        return number

    def _seen(self):
        """What is there; what the last step has changed varies from here on."""
        state = remembered(self.frame)  # first: it lets go of what the frame's copy of its names held
        seen = Seen(*_traced.held(self.trace), state)
        if self.kept:
            before, since = self.kept[-1].values, self.heads[-1].value
            _traced.vary(self.trace, [v for s, v in seen.values.items() if before.get(s) != v])
            _traced.vary(self.trace, [v for v in seen.numbers.values() if v >= since])
        return seen

    def after(self, step):
        """The step to go on with, after those before `step`: that step, or one that a loop op leads to."""
        if self.branches:
            return self._go_on(self.branches.after())
        if step == self.n:
            return step
        end, now = [*self.heads, _traced.end_of(self.trace)], self._seen()
        for period in PERIODS:
            plan, comes_round = self._plan(period, end, now)
            if plan is not None and (self.n - step) % comes_round == 0:
                after = self._fold(plan, now, comes_round)
                if after is not None:
                    return after
        if len(self.heads) >= config.max_peeled:
            raise TraceError(self._complaint(now))
        return step

    # ---- whether the steps repeat --------------------------------------------------------------------------------

    def _plan(self, period, heads, now):
        """(plan, steps after which all is as it was), or (None, 0)."""
        last = len(heads) - 1
        if last < 2 * period:
            return None, 0
        operands = _traced.same_steps(self.trace, heads, last - 2 * period, last - period, period)
        if isinstance(operands, Mismatch):
            self.reason = operands
            return None, 0
        first = last - 2 * period
        while first >= period and _traced.same_steps(self.trace, heads, first - period, first, period) == operands:
            first -= period
        for multiple in PERIODS:
            back = last - multiple * period
            if back < 0:
                break
            then = self._roles(heads, back, period, self.kept[back], now)
            roles = self._roles(heads, last, period, now, self.kept[back])
            changes = _changes(self.kept[back], now, then, roles)
            if multiple == 1:
                self.reason = changes
            furthest = max([d for d, _ in operands] + [d for d, _ in roles.values()] + [1])
            start = first + furthest * period
            if not changes and start < last:
                return Plan(heads, start, last, period, operands, roles), multiple * period
        return None, 0

    def _roles(self, heads, step, period, seen, other):
        """The role of all that is there, by serial number; what is as at the other step comes from outside of the loop."""
        values, others = {**seen.values, **seen.numbers}, {**other.values, **other.numbers}
        names, others_names = seen.names(), other.names()
        roles = dict(zip(values, _traced.roles(heads, step, period, values.values()), strict=True))
        same = [s for s, v in values.items() if others.get(s) == v and names.get(s) == others_names.get(s)]
        return {**roles, **{s: (OUTSIDE, values[s]) for s in same}}

    # ---- folding -------------------------------------------------------------------------------------------------

    def _fold(self, plan, now, comes_round):
        """Fold the steps from ``plan.start`` on; the step to go on with, or None if the loop would be too short."""
        segment = _traced.last_steps(plan, self.first)
        folding = Folding(self.trace, plan, [segment], self.n - self.first)
        trips = folding.trips
        certain = folding.certain(0)
        elsewhere, changes = np.flatnonzero(~certain), np.count_nonzero(certain[1:] != certain[:-1])
        few = changes <= config.max_pieces // 4
        if not few or folding.decided_by_data():
            self.branches = Branches(self, folding, now, comes_round // plan.period)
            return self._go_on(self.branches.next())
        if len(elsewhere):
            trips = int(elsewhere[0])
        if plan.start + trips * plan.period <= len(self.heads):
            return None
        return self._replace(folding, trips, plan.held)

    def left(self):
        """The user's loop has ended, by itself or by a break, a return or an exception."""
        if self.branches is None:
            return
        branches, self.branches = self.branches, None
        try:
            branches.leave()
        except TraceError as error:  # raised here it would be lost: the generator is being closed
            self.trace.broken = str(error)

    def _go_on(self, step):
        """The step to trace next, or, when all paths are known, the one behind the loop op."""
        if step is None:
            branches, self.branches = self.branches, None
            return self._replace(branches.folding, branches.folding.trips, branches.roles())
        return step

    def _replace(self, folding, trips, roles):
        self.pieces += 1
        if self.pieces > config.max_pieces:
            raise TraceError(f"{self._where()}: a branch on the counter cuts the loop into more than {config.max_pieces} pieces; "
                             "give the steps of each kind a loop of their own")  # fmt: skip
        results, counted = folding.run(trips, self.line)
        _traced.hand_over(self.trace, roles, results, counted)
        self._begin(self.first + folding.plan.start + trips * folding.plan.period)
        return self.first

    # ---- what to say -----------------------------------------------------------------------------------------------

    def _where(self):
        return f"sparsead.steps() at {self.line[0]}:{self.line[1]}"

    def _complaint(self, now):
        many = f"{len(self.heads)} steps were traced and no two are alike"
        advice = "write it as a loop over range(n), or steps(n, unroll=True), if it has to be unrolled"
        state = self.kept[-1].state
        numbers = [path for path, (x, y) in _pairs(state, now.state) if x != y and x and y and x[0] == y[0] == "number"]
        if isinstance(self.reason, Mismatch) and not numbers:
            line = "" if self.reason.line is None else f" at {self.reason.line[0]}:{self.reason.line[1]}"
            return f"{self._where()}: {many}: {REASONS[self.reason.what]}{line}; {advice}"
        what = "; ".join(_described(path, state.get(path), now.state.get(path)) for path in (numbers or self.reason or [])[:3])
        return f"{self._where()}: {what or many}; {advice}"


REASONS = {
    "ops": "they do different things",
    "operands": "they work on different arrays",
    "guard": "a branch, or a number that is taken from a traced one (an index of a list, math.sin(k)), changes",
    "constant": "a constant changes: a Python number that the body computes? Compute it from the counter instead, as t = k * dt, "
                "or make it an array of one element",
    "window": "they look at other places of an array, which do not move evenly with the counter",
    "shape": "the shape or dtype of an array changes",
}  # fmt: skip


def _described(path, before, now):
    if before is None or now is None:
        return path if before is now else f"{path} appears or disappears in the body of the loop"
    if "number" in (before[0], now[0]):
        return (f"{path} changes from step to step ({before[1]!r}, then {now[1]!r}): a Python number that the body rebinds "
                "would be stale after the loop. Compute it from the counter, as t = k * dt, or use an array of one element")  # fmt: skip
    if before[0] == now[0] == "length":
        return f"{path} grows or shrinks in the body of the loop: store into an array instead, as history[k] = u"
    return f"{path} changes from step to step in another way than an array that is computed"


class Folding:
    """A loop op in the making.

    Attributes
    ----------
    segments : list of Segment
        The step that repeats, then those that branches lead to.
    trips : int
        All that are left.
    """

    def __init__(self, trace, plan, segments, n):
        self.trace, self.plan, self.segments = trace, plan, segments
        self.trips = (n - plan.start) // plan.period

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
        return Count(body, [None, *[None] * len(registers), *[_number(self.trace, v) for v in invariants]])

    def certain(self, k):
        """For each trip, whether the counter lets body `k` be run; true where it does not decide."""
        registers, invariants, bodies = self.bodies()
        count = self.count(bodies[k], registers, invariants)
        holds = np.ones(self.trips, bool)
        for value, expected in guards_of(bodies[k]):
            holds &= count.equal(value, expected, self.trips)
        return holds

    def decided_by_data(self):
        """Whether a guard looks at more than the counter."""
        registers, invariants, bodies = self.bodies()
        return any(
            self.count(body, registers, invariants).at(v, 0) is None for body in bodies for v, _ in guards_of(body)
        )  # fmt: skip

    def run(self, trips, line):
        """Put the loop op on the tape: ({role: value after the loop}, {role: number, where the counter gives it})."""
        registers, invariants, bodies = self.bodies()
        counted = {}
        for role, *values in zip(registers, *[body.outputs for body in bodies], strict=True):
            numbers = [self.count(body, registers, invariants).at(v, trips - 1) for body, v in zip(bodies, values, strict=True)]
            if numbers[0] is not None and all(number == numbers[0] for number in numbers):
                counted[role] = numbers[0]
        body = bodies[0] if len(bodies) == 1 else choosing(bodies, len(registers))
        loop = Loop(body, trips, len(registers))
        return _traced.fold(self.trace, self.plan, registers, invariants, loop, counted, line), counted


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
        self.open = ~folding.certain(0)
        self.traced, self.trip, self.numbers = 0, plan_trips(folding.plan), None
        self.marks = []  # heads of the steps of the trip that is traced

    def next(self):
        """The step to trace next; None when all paths are known."""
        if not self.open.any() and self.folding.decided_by_data() and not self._go_on():
            self.open[self.trip] = True
            self._set_numbers()
        if not self.open.any():
            # Names come round only after so many steps: the last path is traced again until they have.
            if self.traced % self.comes_round == 0:
                return None
            return self.step
        if len(self.folding.segments) > config.max_branches:
            raise TraceError(f"{self.roll._where()}: branches lead to more than {config.max_branches} paths through the body")
        plan = self.folding.plan
        self.tried = int(np.flatnonzero(self.open)[0])
        self.step = self.roll.first + plan.start + self.tried * plan.period
        return self.step

    def _go_on(self):
        """Run the loop on the trace's numbers as far as its paths are known; whether that is to the end."""
        registers, invariants, bodies = self.folding.bodies()
        if self.numbers is None:
            self._begin(registers, invariants)
        given = [self.numbers[OUTSIDE, v] for v in invariants]
        programs = [Program(body) for body in bodies]
        while self.trip < self.folding.trips:
            state = _first_path(programs, [np.int64(self.trip), *[self.numbers[role] for role in registers], *given])
            if state is None:
                return False
            self.numbers.update(zip(registers, state, strict=True))
            self.trip += 1
        return True

    def _begin(self, registers, invariants):
        """The numbers behind the traced steps, of registers and of all that is there from before the loop."""
        heads, end = self.folding.plan.heads, self.folding.plan.end
        there = {role for role in [*self.paths.values(), *self.nameless.values()] if role[0] == OUTSIDE}
        wanted = [*registers, *sorted(there | {(OUTSIDE, v) for v in invariants})]
        values = [r if d == OUTSIDE else heads[end - d * self.folding.plan.period].value + r for d, r in wanted]
        self.numbers = dict(zip(wanted, run_so_far(self.trace, self.trace.tape, values), strict=True))

    def _set_numbers(self):
        """Let what lives have the numbers at the head of the trip that is traced next."""
        _traced.set_numbers(self.trace, self.roles(), self.numbers)

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
            self.hidden = _traced.hide(self.trace, self.roles())
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
        if not self.marks or (self.tried - plan_trips(plan) - self.traced) % self.comes_round:
            raise TraceError(f"{roll._where()}: the loop is left while its arrays are swapped; write it as steps(n, unroll=True)")
        cut, roles = plan.heads[plan.start].value, dict(self.hidden)
        place = self.trace, self.marks[0], roles, cut
        operands = _traced.described(*place[:2], _traced.end_of(self.trace), roles, cut)
        left = {s: _traced.description(*place, v) for kind in _traced.held(self.trace) for s, v in kind.items()}
        if operands is None or None in left.values():
            raise TraceError(f"{roll._where()}: the loop is left on a path that reads what no name leads to")
        counters = {mark.op: roll.first + plan.start + q for q, mark in enumerate(self.marks)}
        end = _traced.end_of(self.trace)
        last = Segment(self.marks[0].op, end.op, self.marks[0].value, counters, operands, {})
        piece, registers, invariants = self.folding.piece(last, [known for known in left.values() if known[0] != AGAIN])
        results, _ = self.folding.run(self.tried, roll.line)
        given = [self.trace.constant_value(np.int64(self.tried)), *[results[r] for r in registers], *invariants]
        values = iter(self.trace.inline(piece, given))
        _traced.set_values(self.trace, {s: next(values) for s, known in left.items() if known[0] != AGAIN}, self.numbers is None)

    def _enter(self):
        end, plan, roles, head = _traced.end_of(self.trace), self.folding.plan, dict(self.hidden), self.marks[0]
        cut = plan.heads[plan.start].value
        operands = _traced.described(self.trace, head, end, roles, cut)
        outputs, state, held = {}, remembered(self.roll.frame), _traced.held(self.trace)[0]
        left = [(role, state[path][1]) for path, role in self.paths.items() if path in state]
        left += [(role, held[serial]) for serial, role in self.nameless.items() if serial in held]
        for role, v in left:
            known = _traced.description(self.trace, head, roles, cut, v)
            if outputs.setdefault(role, known) != known or known is None or known[0] == AGAIN:
                raise TraceError(f"{self.roll._where()}: two arrays that were one so far, or an array and a number, part on a "
                                 "path that is taken seldom; make the copy before the loop")  # fmt: skip
        if operands is None:
            raise TraceError(f"{self.roll._where()}: a path that is taken seldom reads what no name leads to")
        counters = {mark.op: self.roll.first + plan.start + q for q, mark in enumerate(self.marks)}
        self.folding.segments.append(Segment(head.op, end.op, head.value, counters, operands, outputs))
        holds = self.folding.certain(len(self.folding.segments) - 1)
        if not holds[self.tried]:
            raise TraceError(f"{self.roll._where()}: step {self.step} does not take the path that it was seen to take")
        self.open &= ~holds


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


def _holds(tape, body, inputs, truth):
    """Whether all guards of `body` hold, as a value of `tape`."""
    guards = guards_of(body)
    values = _inlined(tape, prune(unguarded(body), [v for v, _ in guards]), inputs)
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


# ---- what Python remembers --------------------------------------------------------------------------------------------


def remembered(frame):
    """{path: description} of what the names of a frame reach: numbers, lengths, and which traced values stand where."""
    found, budget = {}, [REACH]
    for name, value in frame.f_locals.items():
        _remember(name, value, found, set(), budget)
    return found


def _remember(path, value, found, seen, budget):
    budget[0] -= 1
    if budget[0] < 0:
        return
    if isinstance(value, Traced):
        if value.home is CURRENT.get():
            window = _traced.window_of(value) if isinstance(value, TracedArray) else (*_traced.number_of(value), None)
            found[path] = ("traced", *window)
        return
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes, np.generic)):
        found[path] = ("number", str(value) if value != value else value, type(value))
        return
    if isinstance(value, np.ndarray):
        found[path] = ("array", id(value), value.tobytes() if value.nbytes <= 4096 else None)
        return
    if id(value) in seen or isinstance(value, (type, ModuleType, FunctionType, MethodType, BuiltinFunctionType)):
        return
    seen.add(id(value))
    if isinstance(value, (list, tuple, dict)):
        found[path] = ("length", len(value))
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in list(items):
            _remember(f"{path}[{key!r}]", item, found, seen, budget)
    elif hasattr(value, "__dict__"):
        for key, item in list(vars(value).items()):
            _remember(f"{path}.{key}", item, found, seen, budget)


def _changes(then, now, a, b):
    """Paths and kinds of what is now not as it was then, given the roles by serial number then and now."""
    changes = [path for path, (x, y) in _pairs(then.state, now.state) if not _alike(x, y, a, b)]
    if changes:
        return changes
    if any(a[s] != b[s] for s in then.values if s in b):
        return ["an array"]
    new, old = [b[s] for s in now.values if s not in then.values], [a[s] for s in then.values if s not in now.values]
    return [] if Counter(new) == Counter(old) else ["arrays that are made in the loop and kept"]


def _alike(x, y, a, b):
    """Whether two descriptions are the same, given the roles of the one's and of the other's values by serial number."""
    if x is None or y is None or x[0] != y[0]:
        return False
    return x == y if x[0] != "traced" else x[3] == y[3] and a[x[2]] == b[y[2]]


def _pairs(a, b):
    return [(path, (a.get(path), b.get(path))) for path in {**a, **b}]


# ---- what the counter alone decides ----------------------------------------------------------------------------------


def _number(trace, value):
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
        ufunc = getattr(op.op.elementwise, "ufunc", None)
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


def run_so_far(trace, tape, outputs):
    """The numbers of some values of the tape, at the numbers of the trace's inputs."""
    return Program(prune(tape, outputs)).run(trace.supply())
