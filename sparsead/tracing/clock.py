"""Readings of the clock inside a traced function: they may be shown and compared, not computed with.

A reading is a float, a moment, a day, a time of day or a span whose type marks what is made from it. Text and truth values are
plain. Where a mark would be lost (in an integer, an array, a function of math) there is an error, as long as the trace runs.
"""

from __future__ import annotations

import datetime
import inspect
import types
from typing import Any

from sparsead.tracing.errors import TraceError


class Reading:
    """A reading of the clock, or made from one."""

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        refuse("an operand of NumPy")
        return getattr(ufunc, method)(*map(unmarked, inputs), **kwargs)


class Tainted(Reading, float):
    """Seconds."""

    def __float__(self):
        refuse("a plain float")
        return unmarked(self)


class Moment(Reading, datetime.datetime):
    """A date and time."""


class Day(Reading, datetime.date):
    """A date."""


class Hour(Reading, datetime.time):
    """A time of day."""


class Span(Reading, datetime.timedelta):
    """A difference of moments."""


class Calendar(Reading):
    """What ``time.localtime()`` gives: a tuple of integers, which would lose the mark, and text of it."""

    def __init__(self, plain):
        self.plain = plain

    def __getattr__(self, name):
        return marked(getattr(self.plain, name))

    def __getitem__(self, place):
        return marked(self.plain[place])

    def __repr__(self):
        return repr(self.plain)


_READINGS: dict[type, Any] = {c.__mro__[2]: c for c in (Tainted, Moment, Day, Hour, Span)}
_PLAIN = {reading: base for base, reading in _READINGS.items()}


def refuse(what):
    """Raise a `TraceError`, unless no trace runs any more."""
    from sparsead.tracing._traced import CURRENT  # which needs `Reading` itself

    trace = CURRENT.get()
    if trace is not None:
        raise TraceError(
            f"a reading of the clock is used as {what}{trace.at()}: it would be frozen in the tape; pass the time as an argument"
        )


def marked(value):
    """`value`, made from a reading, as a reading."""
    kind = type(value)
    if kind in _READINGS:
        return Tainted(value) if kind is float else _READINGS[kind](*value.__reduce_ex__(4)[1])
    if kind is tuple:
        return tuple(map(marked, value))
    if not isinstance(value, (Reading, str, bool, datetime.tzinfo, type(None), type(NotImplemented))):
        refuse(f"a value of type {kind.__name__}")
    return value


def unmarked(value):
    """A reading as the plain value; anything else as it is."""
    if isinstance(value, Tainted):
        return float.__mul__(value, 1.0)
    if isinstance(value, Calendar):
        return value.plain
    return _PLAIN[type(value)](*value.__reduce_ex__(4)[1]) if type(value) in _PLAIN else value


def _method(plain):
    return lambda self, *args, **kwargs: marked(plain(unmarked(self), *args, **kwargs))


def _attribute(plain):
    return property(lambda self: marked(plain.__get__(unmarked(self))))


_BINARY = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "divmod")
_SPECIAL = {f"__{side}{name}__" for name in _BINARY for side in ("", "r")} | {
    f"__{name}__" for name in ("neg", "pos", "abs", "round", "int", "trunc", "floor", "ceil", "str", "repr", "format")
}  # fmt: skip

for _base, _reading in _READINGS.items():
    for _name in dir(_base):
        _member = inspect.getattr_static(_base, _name)
        if _name.startswith("_") and _name not in _SPECIAL:
            continue
        if isinstance(_member, (types.MethodDescriptorType, types.WrapperDescriptorType)):
            setattr(_reading, _name, _method(_member))
        elif isinstance(_member, (types.GetSetDescriptorType, types.MemberDescriptorType)):
            setattr(_reading, _name, _attribute(_member))


# ---- the classes of datetime, which cannot be patched, as the traced function sees them -----------------------------------


class ClockClass:
    """Stands for ``datetime.datetime`` or ``datetime.date``: what it reads off the clock is marked."""

    def __init__(self, plain):
        self._plain = plain

    def __call__(self, *args, **kwargs):
        return self._plain(*args, **kwargs)

    def __getattr__(self, name):
        found = getattr(self._plain, name)
        if name in ("now", "today", "utcnow"):
            return lambda *args, **kwargs: marked(found(*args, **kwargs))
        return found

    def __instancecheck__(self, value):
        return isinstance(value, self._plain)

    def __subclasscheck__(self, cls):
        return issubclass(cls, self._plain)

    def __mro_entries__(self, bases):
        return (self._plain,)

    def __eq__(self, other):
        return other is self or other is self._plain

    def __hash__(self):
        return hash(self._plain)


_CLASSES = {"datetime": ClockClass(datetime.datetime), "date": ClockClass(datetime.date)}
STAND_INS = {
    id(datetime): types.SimpleNamespace(**{**vars(datetime), **_CLASSES}),
    id(datetime.datetime): _CLASSES["datetime"],
    id(datetime.date): _CLASSES["date"],
}
