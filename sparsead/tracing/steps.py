"""A Python loop that stays a loop: ``for k in sparsead.steps(n)``.

The first steps are traced as they are run. As soon as a step does to the tape what the step before it did, the rest of the
loop becomes one op (`sparsead.ops.loop`), and Python goes on behind the loop. That needs more than equal ops: what Python
itself remembers from step to step has to come round as well, or the loop would end in a state that the function never has.
"""

from __future__ import annotations

import sys
from collections import Counter
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType

import numpy as np

from sparsead import config
from sparsead.engine.reference import Program
from sparsead.ops.loop import Loop
from sparsead.tape.spec import BY_NAME
from sparsead.tracing import _traced
from sparsead.tracing._traced import CURRENT, Mismatch, Plan, Traced, TracedArray, as_array
from sparsead.tracing.errors import TraceError
from sparsead.transform._simplify import prune

CONST, CAST, GUARD = BY_NAME["const"], BY_NAME["cast"], BY_NAME["guard"]
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


class _Roll:
    """The steps traced so far, and what was there at the head of each: values by serial number, and Python's state."""

    def __init__(self, trace, n, frame):
        self.trace, self.n, self.frame = trace, n, frame
        self.line = (frame.f_code.co_filename, frame.f_lineno)
        self.first, self.traced, self.pieces = 0, 0, 0
        self.heads, self.kept, self.reason = [], [], None

    def head(self, k):
        """Begin step `k`; gives its counter."""
        self.kept.append(self._seen())
        mark, number = _traced.counter(self.trace, k)
        self.heads.append(mark)
        self.traced += 1
        return number

    def _seen(self):
        """What is alive and what Python remembers; what the last step has changed varies from here on."""
        state = remembered(self.frame)  # first: it lets go of what the frame's copy of its names held
        storages, numbers = _traced.held(self.trace)
        if self.kept:
            before, since = self.kept[-1][0], self.heads[-1].value
            _traced.vary(self.trace, [v for s, v in storages.items() if before.get(s) != v])
            _traced.vary(self.trace, [v for v in numbers.values() if v >= since])
        return storages, numbers, state

    def after(self, step):
        """The step that comes after those before `step`: itself, or one that a loop op leads to."""
        if step == self.n:
            return step
        end, now = [*self.heads, _traced.end_of(self.trace)], self._seen()
        for period in PERIODS:
            plan = self._plan(period, end, now)
            if plan is not None and (self.n - step) % plan[1] == 0:
                after = self._fold(plan[0], now)
                if after is not None:
                    return after
        if self.traced >= config.max_peeled:
            raise TraceError(self._complaint(now))
        return step

    # ---- whether the steps repeat --------------------------------------------------------------------------------

    def _plan(self, period, heads, now):
        """(plan, steps after which all is as it was), or None."""
        last = len(heads) - 1
        if last < 2 * period:
            return None
        operands = _traced.same_steps(self.trace, heads, last - 2 * period, last - period, period)
        if isinstance(operands, Mismatch):
            self.reason = operands
            return None
        first = last - 2 * period
        while first >= period and _traced.same_steps(self.trace, heads, first - period, first, period) == operands:
            first -= period
        roles = self._roles(heads, last, period, now)
        furthest = max([d for d, _ in operands] + [d for d, _ in roles.values()] + [1])
        start = first + furthest * period
        if start >= last:
            return None
        for multiple in PERIODS:
            back = last - multiple * period
            if back < 0:
                break
            changes = self._changes(heads, back, last, period, now)
            if not changes:
                return Plan(heads, start, last, period, operands, sorted(set(roles.values()))), multiple * period
            if multiple == 1:
                self.reason = changes
        return None

    def _roles(self, heads, step, period, seen):
        values = {**seen[0], **seen[1]}
        return dict(zip(values, _traced.roles(heads, step, period, values.values()), strict=True))

    def _changes(self, heads, back, last, period, now):
        """Paths and kinds of what is not at step `last` as it was at step `back`."""
        then = self.kept[back]
        a, b = self._roles(heads, back, period, then), self._roles(heads, last, period, now)
        changes = [path for path, (x, y) in _pairs(then[2], now[2]) if not self._alike(x, y, heads, back, last, period)]
        if changes:
            return changes
        if any(a[s] != b[s] for s in then[0] if s in b):
            return ["an array"]
        new, old = ([roles[s] for s in seen[0] if s not in other[0]] for roles, seen, other in ((b, now, then), (a, then, now)))
        return [] if Counter(new) == Counter(old) else ["arrays that are made in the loop and kept"]

    def _alike(self, x, y, heads, back, last, period):
        if x is None or y is None or x[0] != y[0]:
            return False
        if x[0] != "traced":
            return x == y
        (_, v, place), (_, w, other) = x, y
        return place == other and _traced.roles(heads, back, period, [v]) == _traced.roles(heads, last, period, [w])

    # ---- folding -------------------------------------------------------------------------------------------------

    def _fold(self, plan, now):
        """Fold the steps from ``plan.start`` on; the step after the loop op, or None if the loop would be too short."""
        trace, first = self.trace, self.first
        registers, invariants = _traced.registers_of(plan), _traced.invariants_of(plan)
        body = _traced.body_of(trace, plan, registers, invariants, first)
        count = Count(body, [None, *[None] * len(registers), *[_number(trace, v) for v in invariants]])
        trips = (self.n - first - plan.start) // plan.period
        trips = min([trips, *[count.first_other(value, expected, trips) for value, expected in _guards(body)]])
        if first + plan.start + trips * plan.period <= first + len(self.heads):
            return None
        loop = Loop(body, trips, len(registers))
        counted = {}
        for (d, r), value in zip(registers, body.outputs, strict=True):
            number = count.at(value, trips - 1)
            if number is not None:
                counted[d, r] = number
        roles = self._roles(plan.heads, plan.end, plan.period, now)
        results = _traced.fold(trace, plan, registers, invariants, loop, self.line)
        _traced.hand_over(trace, roles, results, counted)
        self.pieces += 1
        if self.pieces > config.max_pieces:
            raise TraceError(f"{self._where()}: a branch on the counter cuts the loop into more than {config.max_pieces} pieces; "
                             "give the steps of each kind a loop of their own")  # fmt: skip
        self.first = first + plan.start + trips * plan.period
        self.heads, self.kept, self.traced = [], [], 0
        return self.first

    # ---- what to say -----------------------------------------------------------------------------------------------

    def _where(self):
        return f"sparsead.steps() at {self.line[0]}:{self.line[1]}"

    def _complaint(self, now):
        many = f"{self.traced} steps were traced and no two are alike"
        advice = "write it as a loop over range(n), or steps(n, unroll=True), if it has to be unrolled"
        state = self.kept[-1][2]
        numbers = [path for path, (x, y) in _pairs(state, now[2]) if x != y and x and y and x[0] == y[0] == "number"]
        if isinstance(self.reason, Mismatch) and not numbers:
            line = "" if self.reason.line is None else f" at {self.reason.line[0]}:{self.reason.line[1]}"
            return f"{self._where()}: {many}: {REASONS[self.reason.what]}{line}; {advice}"
        what = "; ".join(_described(path, state.get(path), now[2].get(path)) for path in (numbers or self.reason or [])[:3])
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
        if value.trace is CURRENT.get():
            window = _traced.window_of(value) if isinstance(value, TracedArray) else (value.value, None)
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


def _pairs(a, b):
    return [(path, (a.get(path), b.get(path))) for path in {**a, **b}]


# ---- what the counter alone decides ----------------------------------------------------------------------------------


def _number(trace, value):
    """The number of a constant of the tape; None for anything else."""
    op = trace.tape.op(trace.tape.maker(value))
    return op.attr if op.op is CONST and np.ndim(op.attr) == 0 else None


def _guards(body):
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

    def first_other(self, value, expected, trips):
        """The first trip at which a value is not the expected one; `trips` if there is none, or if it is not known."""
        numbers = self._over(value, np.arange(trips))
        if numbers is None:
            return trips
        other = np.flatnonzero(np.broadcast_to(numbers != expected, (trips,)))
        return int(other[0]) if len(other) else trips


def run_so_far(trace, tape, outputs):
    """The numbers of some values of the tape, at the numbers of the trace's inputs."""
    return Program(prune(tape, outputs)).run(trace.supply())
