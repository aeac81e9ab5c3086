"""A Python loop that stays a loop: ``for k in sparsead.steps(n)``.

The first steps are traced as they are run. As soon as a step does to the tape what the step before it did, the rest of the
loop becomes one op (`sparsead.ops.loop`), and Python goes on behind the loop. That needs more than equal ops: what Python
itself remembers from step to step has to come round as well, or the loop would end in a state that the function never has.
"""

from __future__ import annotations

import dis
import operator
import sys

import numpy as np

from sparsead import config
from sparsead.tracing import _traced
from sparsead.tracing._traced import CURRENT, Mismatch, Plan, Traced, TracedArray, as_array
from sparsead.tracing.errors import TraceError
from sparsead.tracing.loops.branches import Branches
from sparsead.tracing.loops.ends import Ends
from sparsead.tracing.loops.folding import OUTSIDE, Folding
from sparsead.tracing.loops.overriding import overridden
from sparsead.tracing.loops.remembered import Seen, changes, described, pairs, remembered
from sparsead.tracing.loops.verifying import verify

PERIODS = (1, 2, 3, 4)
EXTENDED_ARG, FOR_ITER, GET_ITER = (dis.opmap[name] for name in ("EXTENDED_ARG", "FOR_ITER", "GET_ITER"))


def steps(n, unroll=None, *, on_step=None, watch=None, until=None):
    """Count the steps of a loop; while a function is differentiated, the loop stays a loop.

    Parameters
    ----------
    n : int, array_like or None
        Number of steps; or an array, over whose rows the loop goes; or None, as many as it takes for `until` to hold.
    unroll : bool, optional
        True: trace every step, as a loop over ``range(n)`` does. False: fold what repeats, however few steps there are. Left out,
        loops of few steps are unrolled, which is cheaper, and long ones folded.
    on_step : callable, optional
        ``on_step(k, *values)``, called once at the end of each step of the function itself, for output and progress: never for
        what a derivative computes again. ``k`` is an int, the values are numbers and read-only copies of arrays. While a function
        is differentiated it is called when the tape is run, not when it is traced, so ``prepare`` does not call it. What it
        raises reaches the caller.
    watch : callable, optional
        ``watch()`` gives the values for `on_step`: an array or number, or a tuple of them. It is called at the end of each step,
        before `on_step`; ``watch=lambda: (u, t)`` gives what the names stand for then.
    until : callable, optional
        ``until() -> bool``, asked at the end of each step, after `on_step`; the loop ends when it holds. So there is one step at
        least, unless `n` is 0, and the condition may read what the body computes.

    Returns
    -------
    iterable
        Of 0, 1, ..., n - 1, or of the rows. Outside of derivatives it is ``range(n)``, or the array itself, if there is nothing
        to do at the ends of steps. ``enumerate``, ``zip`` with arrays, and ``reversed`` of it stay loops; a comprehension,
        ``list`` or ``sum`` over it is unrolled.

    Raises
    ------
    TypeError, ValueError
        `n` is no integer and no array, or negative; None without `until`; what should be a function is none.
    RuntimeError
        `until` does not hold after ``sparsead.config.max_steps`` steps, and `n` is None.
    TraceError
        While tracing: the steps are not alike; a Python number, list or object remembers something from step to step; or
        `on_step` reads by itself what the function computes.

    Notes
    -----
    The body may update arrays in place, swap them, index with the counter (``u[k + 1]``, ``F[k - 1:k + 2]``), and compute with
    it. The numbers of arrays that the loop changes are not known until somebody asks for them; shapes are.

    With `until`, the number of steps is part of what is traced: a call that takes another number traces the function again.

    Examples
    --------
    >>> import numpy as np, sparsead
    >>> def simulate(u, nu):
    ...     new = u.copy()
    ...     for k in sparsead.steps(10):
    ...         new[1:-1] = u[1:-1] + nu * (u[2:] - 2 * u[1:-1] + u[:-2])
    ...         u, new = new, u
    ...     return u @ u
    >>> sparsead.grad(simulate)(np.array([0.0, 1.0, 2.0, 0.0]), 0.25).round(6)
    array([0.159427, 0.009514, 0.009514, 0.159427])

    >>> def root(a):
    ...     x = a
    ...     for k in sparsead.steps(
    ...         None, until=lambda: abs(x * x - a) < 1e-12, on_step=lambda k, x: print(k, round(x, 6)), watch=lambda: x
    ...     ):
    ...         x = 0.5 * (x + a / x)
    ...     return x
    >>> sparsead.grad(root)(2.0).round(6)
    0 1.5
    1 1.416667
    2 1.414216
    3 1.414214
    np.float64(0.353553)
    """
    if isinstance(n, Traced) and isinstance(n.concrete, (int, np.integer)):
        n = operator.index(n)
    n, unroll, until = overridden(n, unroll, until)
    ends, trace = Ends(on_step, watch, until), CURRENT.get()
    if isinstance(n, (TracedArray, np.ndarray, list, tuple)):
        return _rows(n, trace, unroll, ends)
    if n is None and until is not None:
        return Steps(trace, None, unroll, ends)
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)):
        raise TypeError(f"sparsead.steps() takes a number of steps or an array, or None with until=; got {type(n).__name__}")
    if n < 0:
        raise ValueError(f"sparsead.steps({n}): a number of steps is not negative")
    return range(int(n)) if not ends and (trace is None or unroll) else Steps(trace, int(n), unroll, ends)


def _rows(array, trace, unroll, ends):
    if not ends and (trace is None or unroll):
        return array
    if trace is not None:
        array = as_array(trace, array if isinstance(array, Traced) else np.asarray(array))
    return Steps(trace, len(array), unroll, ends, lambda k: array[k])


def _counter(k):
    return k


class Steps:
    """The iterable of a loop's steps.

    Parameters
    ----------
    trace : Trace or None
        Of the function that is differentiated.
    n : int or None
    unroll : bool or None
    ends : Ends
    item : callable
        ``item(k)`` is what step `k` gets.
    """

    def __init__(self, trace, n, unroll, ends, item=_counter):
        self.trace, self.n, self.unroll, self.ends, self.item = trace, n, unroll, ends, item

    def __len__(self):
        if self.n is None:
            raise TypeError("sparsead.steps(None, until=...) has no length: it is not known before the loop has ended")
        return self.n

    def __reversed__(self):
        last = len(self) - 1
        return self.mapped(self.n, lambda k: self.item(last - k))

    def mapped(self, n, item):
        """The same loop with other items."""
        return Steps(self.trace, n, self.unroll, self.ends, item)

    def __iter__(self):
        frame = sys._getframe(1)
        place = f"sparsead.steps() at {frame.f_code.co_filename}:{frame.f_lineno}"
        return self._folded(frame, place) if self._folds(frame) else self._counted(place)

    def _folds(self, frame):
        """Whether the steps are to be folded: only of a for statement all is known that remembers something.

        Folding takes some steps itself. Measured with steps of 5 and of 25 ops, on 10 and 10^4 elements: up to 8 steps, the
        preparation of a gradient takes half to a third of the time if they are unrolled, and its call 0.8 to 1 of it; the two
        preparations are even at about 16 steps.
        """
        unroll = self.n is not None and self.n <= config.short_loop if self.unroll is None else self.unroll
        return self.trace is not None and not unroll and _in_for_statement(frame)

    @property
    def _most(self):
        return config.max_steps if self.n is None else self.n

    def _counted(self, place):
        for k in range(self._most):
            yield self.item(k)
            if self.ends.over(self.trace, k):
                return
        self._check_ended(place)

    def _folded(self, frame, place):
        """Trace steps until they repeat, and fold the rest."""
        roll, most, k = _Roll(self.trace, self._most, frame, place), self._most, 0
        self.trace.depth += 1
        try:
            while k < most:
                number = roll.head(k)
                yield self.item(number)
                if self.ends.over(self.trace, number):
                    return
                del number
                k = roll.after(k + 1)
        finally:
            self.trace.depth -= 1
            roll.left()
        self._check_ended(place)

    def _check_ended(self, place):
        if self.n is None:
            raise RuntimeError(f"{place}: the condition of until= does not hold after {self._most} steps; give a number of steps "
                               "that are enough, as steps(n, until=...), or raise sparsead.config.max_steps")  # fmt: skip


def _in_for_statement(frame):
    """Whether `frame` is about to begin a for statement; a comprehension keeps what it makes where nobody can see it."""
    code, at = frame.f_code.co_code, frame.f_lasti
    if code[at] != GET_ITER:
        return False
    at += 2
    while code[at] == EXTENDED_ARG:
        at += 2
    return code[at] == FOR_ITER


class _Roll:
    """The steps traced so far, and what was there at the head of each."""

    def __init__(self, trace, n, frame, place):
        self.trace, self.n, self.frame, self.place = trace, n, frame, place
        self.line = (frame.f_code.co_filename, frame.f_lineno)
        self.pieces = 0
        self.branches: Branches | None = None
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
            differences = changes(self.kept[back], now, then, roles)
            if multiple == 1:
                self.reason = differences
            furthest = max([d for d, _ in operands] + [d for d, _ in roles.values()] + [1])
            start = first + furthest * period
            if not differences and start < last:
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
        verify(folding, self.place)
        trips = folding.trips
        if not folding.is_guarded():
            return self._replace(folding, trips, plan.held)
        certain = folding.certain(0)
        elsewhere, switches = np.flatnonzero(~certain), np.count_nonzero(certain[1:] != certain[:-1])
        few = switches <= config.max_pieces // 4
        if not few or folding.decided_by_data():
            self.branches = Branches(self, folding, now, comes_round // plan.period)
            return self._go_on(self.branches.next())
        if len(elsewhere):
            trips = int(elsewhere[0])
            while (plan.start + trips * plan.period - plan.end) % comes_round:  # names are to stand as they do now
                trips -= 1
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
        if step is None and self.branches is not None:
            branches, self.branches = self.branches, None
            return self._replace(branches.folding, branches.folding.trips, branches.roles())
        return step

    def _replace(self, folding, trips, roles):
        self.pieces += 1
        if self.pieces > config.max_pieces:
            raise TraceError(f"{self.place}: a branch on the counter cuts the loop into more than {config.max_pieces} pieces; "
                             "give the steps of each kind a loop of their own")  # fmt: skip
        results, counted = folding.run(trips, self.line)
        _traced.hand_over(self.trace, roles, results, counted, folding.cut)
        self._begin(self.first + folding.plan.start + trips * folding.plan.period)
        return self.first

    # ---- what to say -----------------------------------------------------------------------------------------------

    def _complaint(self, now):
        many = f"{len(self.heads)} steps were traced and no two are alike"
        advice = "write it as a loop over range(n), or steps(n, unroll=True), if it has to be unrolled"
        state = self.kept[-1].state
        numbers = [path for path, (x, y) in pairs(state, now.state) if x != y and x and y and x[0] == y[0] == "number"]
        if isinstance(self.reason, Mismatch) and not numbers:
            line = "" if self.reason.line is None else f" at {self.reason.line[0]}:{self.reason.line[1]}"
            return f"{self.place}: {many}: {REASONS[self.reason.what]}{line}; {advice}"
        what = "; ".join(described(path, state.get(path), now.state.get(path)) for path in (numbers or self.reason or [])[:3])
        return f"{self.place}: {what or many}; {advice}"


REASONS = {
    "ops": "they do different things",
    "operands": "they work on different arrays",
    "guard": "a branch, or a number that is taken from a traced one (an index of a list, math.sin(k)), changes",
    "constant": "a constant changes: a Python number that the body computes? Compute it from the counter instead, as t = k * dt, "
                "or make it an array of one element",
    "callback": "on_step is another function in each of them: make it before the outer loop",
    "window": "they look at other places of an array, which do not move evenly with the counter",
    "shape": "the shape or dtype of an array changes",
}  # fmt: skip
