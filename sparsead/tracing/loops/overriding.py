"""Other numbers of steps, and loops unrolled or not, whatever a function says: for checks that compare the ways."""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from sparsead.tracing._traced import TracedArray

ROWS = (TracedArray, np.ndarray, list, tuple)
OVERRIDE: ContextVar[Any] = ContextVar("sparsead_steps", default=None)


class Override:
    """What `overridden` changes.

    Attributes
    ----------
    most : int or None
        No loop takes more steps.
    unroll : bool or None
        None: as the function says.
    longest : int
        Steps of the longest loop met so far: before it was cut, or as many as it took for its condition to hold.
    """

    def __init__(self, most, unroll):
        self.most, self.unroll, self.longest = most, unroll, 0

    def met(self, steps):
        """A loop takes so many steps."""
        self.longest = max(self.longest, steps)

    def counting(self, until):
        """The condition of a loop, which is asked once in each step."""
        asked = itertools.count(1)

        def counted():
            self.met(next(asked))
            return until()

        return counted


def overridden(n, unroll, until):
    """(n, unroll, until) of a loop after what is overridden."""
    override = OVERRIDE.get()
    if override is None:
        return n, unroll, until
    if override.unroll is not None:
        unroll = override.unroll
    if callable(until):
        n, until = override.most if n is None else n, override.counting(until)
    elif isinstance(n, ROWS):
        override.met(len(n))
    elif _is_integer(n):
        override.met(int(n))
    return _cut(n, override.most), unroll, until


def _cut(n, most):
    if isinstance(n, ROWS):
        return n[:most]
    return min(n, most) if most is not None and _is_integer(n) else n


def _is_integer(n):
    return isinstance(n, (int, np.integer)) and not isinstance(n, bool)


@contextmanager
def overriding(most, unroll=None):
    """Let all loops over ``sparsead.steps`` of this thread take `most` steps at most, and be unrolled or not."""
    override = Override(most, unroll)
    token = OVERRIDE.set(override)
    try:
        yield override
    finally:
        OVERRIDE.reset(token)
