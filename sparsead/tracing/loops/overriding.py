"""Other numbers of steps, and loops unrolled or not, whatever a function says: for checks that compare the ways."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from sparsead.tracing._traced import Traced

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
        Steps of the longest loop met so far, before it was cut.
    """

    def __init__(self, most, unroll):
        self.most, self.unroll, self.longest = most, unroll, 0


def overridden(n, unroll):
    """(n, unroll) of a loop after what is overridden."""
    override = OVERRIDE.get()
    if override is None:
        return n, unroll
    if override.unroll is not None:
        unroll = override.unroll
    if isinstance(n, (Traced, np.ndarray, list, tuple)):
        override.longest = max(override.longest, len(n))
        return n[: override.most], unroll
    if isinstance(n, (int, np.integer)) and not isinstance(n, bool):
        override.longest = max(override.longest, int(n))
        return n if override.most is None else min(n, override.most), unroll
    return n, unroll


@contextmanager
def overriding(most, unroll=None):
    """Let all loops over ``sparsead.steps`` of this thread take `most` steps at most, and be unrolled or not."""
    override = Override(most, unroll)
    token = OVERRIDE.set(override)
    try:
        yield override
    finally:
        OVERRIDE.reset(token)
