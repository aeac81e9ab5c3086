"""``enumerate`` and ``zip`` of ``sparsead.steps``: loops over the counter, with items that are computed from it.

Law: an item is a function of the counter. So what goes along with the steps is a counter too, or the rows of an array.
"""

from __future__ import annotations

import operator

import numpy as np

from sparsead.tracing._traced import CURRENT, Traced
from sparsead.tracing.errors import TraceError
from sparsead.tracing.functions import array_of
from sparsead.tracing.steps import Steps


def enumerated(iterable, start=0):
    """``enumerate(sparsead.steps(..), start)``."""
    start = operator.index(start)
    return iterable.mapped(iterable.n, lambda k: (k + start if start else k, iterable.item(k)))


def zipped(*iterables, strict=False):
    """``zip(.., sparsead.steps(..), ..)``."""
    steps = [x for x in iterables if isinstance(x, Steps)]
    if sum(bool(x.ends) for x in steps) > 1:
        raise TraceError(f"zip() of several sparsead.steps with on_step or until{steps[0].trace.at()}: give them to one")
    first = max(steps, key=lambda x: bool(x.ends))
    parts = [_part(x) for x in iterables]
    lengths = {n for n, _ in parts if n is not None}
    if strict and len({n for n, _ in parts}) > 1:
        raise ValueError(f"zip() of arguments of different lengths{first.trace.at()}: {', '.join(str(n) for n, _ in parts)}")
    return first.mapped(min(lengths, default=None), lambda k: tuple(item(k) for _, item in parts))


def _part(x):
    """(length, item as a function of the counter) of what goes along."""
    if isinstance(x, Steps):
        return x.n, x.item
    if isinstance(x, range):
        return len(x), lambda k: x.start + x.step * k
    if isinstance(x, (Traced, np.ndarray, list, tuple)):
        trace = CURRENT.get()
        rows = array_of(trace, x)
        if rows.dtype.kind in "fiubc" and rows.ndim:
            rows = rows if isinstance(rows, Traced) else trace.constant_array(np.array(rows))
            return len(rows), lambda k: rows[k]
    raise TraceError(f"zip() of sparsead.steps and a {type(x).__name__}{CURRENT.get().at()}: what goes along has to be an array, "
                     "a list of numbers or a range, whose items follow from the counter; write `for k in sparsead.steps(n)`, and "
                     "compute the item from k")  # fmt: skip


class OfSteps:
    """Stands for the builtin `original` while a trace runs: what it is called with `Steps` for, `rule` does."""

    def __init__(self, original, rule):
        self._original, self._rule = original, rule

    def __call__(self, *args, **kwargs):
        for x in args:
            if isinstance(x, Steps) and x.trace is not None:
                return self._rule(*args, **kwargs)
        return self._original(*args, **kwargs)

    def __getattr__(self, name):
        return getattr(self._original, name)

    def __instancecheck__(self, value):
        return isinstance(value, self._original)

    def __subclasscheck__(self, cls):
        return issubclass(cls, self._original)

    def __mro_entries__(self, bases):
        return (self._original,)
