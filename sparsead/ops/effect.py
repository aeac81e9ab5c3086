"""The effect: a function of the user that is shown numbers of the primal while a tape is run.

Law: ``effect(k, v_1, .., v_n)`` calls ``f(k, v_1, .., v_n)`` on copies, and makes no values. It is there for what it does, as a
guard for what it checks: it is never removed, shared or moved past another one. It belongs to the primal: tangents and adjoints
leave it where it is, and what a reverse sweep computes again is not shown again.
"""

from __future__ import annotations

import functools
from contextvars import ContextVar
from types import FunctionType, MethodType

import numpy as np

from sparsead.tape.spec import Op, register


class Effect:
    """What the attribute of an effect op holds; equal if it calls the same function.

    Attributes
    ----------
    function : callable
        ``function(k, *values)``.
    """

    def __init__(self, function):
        self.function, self._key = function, _identity(function)

    def parts(self):
        """The objects that it works on: the function, what it is bound to, what its cells hold."""
        function = getattr(self.function, "__func__", self.function)
        return [self.function, getattr(self.function, "__self__", None), *contents_of(function)]

    def __eq__(self, other):
        return type(other) is Effect and self._key == other._key

    def __hash__(self):
        return hash(self._key)

    def __repr__(self):
        return getattr(self.function, "__name__", type(self.function).__name__)


def _identity(function):
    """What tells functions apart; a lambda that is made anew in each step of an outer loop is the same one."""
    if type(function) is MethodType:
        return id(function.__self__), _identity(function.__func__)
    if type(function) is not FunctionType:
        return id(function)
    defaults = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    return (function.__code__, id(function.__globals__), *map(id, [*defaults, *contents_of(function)]))


def contents_of(function):
    """What the cells of a function hold."""
    return [x for cell in getattr(function, "__closure__", None) or () for x in contents_of_cell(cell)]


def contents_of_cell(cell):
    """What a cell holds, as a list; it is empty before the variable is bound."""
    try:
        return [cell.cell_contents]
    except ValueError:
        return []


class _Journal:
    """How many effects a call has had, and how many the sweep that is under way would have had.

    It keeps how the caller treats floating-point errors, which engines ignore.
    """

    def __init__(self):
        self.had = self.now = 0
        self.errors = np.geterr()

    def is_new(self):
        """Count one more effect of the sweep; whether no earlier sweep has had it."""
        self.now += 1
        self.had, before = max(self.had, self.now), self.had
        return self.now > before


_JOURNAL: ContextVar[_Journal | None] = ContextVar("sparsead_journal", default=None)


def once(method):
    """Let the effects of a call happen once, however often it runs the primal: in parts, or anew on another path."""

    @functools.wraps(method)
    def call(*args, **kwargs):
        token = _JOURNAL.set(_Journal())
        try:
            return method(*args, **kwargs)
        finally:
            _JOURNAL.reset(token)

    return call


def is_counting():
    """Whether a call is under way whose effects are counted."""
    return _JOURNAL.get() is not None


def begin_sweep():
    """From here on a primal is run from its begin."""
    journal = _JOURNAL.get()
    if journal is not None:
        journal.now = 0


def shown(value):
    """A copy of an array that cannot be mistaken for the array itself: it is read-only."""
    if not isinstance(value, np.ndarray) or value.ndim == 0:
        return value[()] if isinstance(value, np.ndarray) else value
    copy = np.array(value)
    copy.flags.writeable = False
    return copy


def _effect(arrays, op, types):
    journal = _JOURNAL.get()
    if journal is None:
        _call(op.attr.function, *arrays)
    elif journal.is_new():
        with np.errstate(**journal.errors):
            _call(op.attr.function, *arrays)
    return ()


def _call(function, k, *values):
    function(int(k), *map(shown, values))


EFFECT = register(Op("effect", 35, _effect, keep=True, inactive=True))
