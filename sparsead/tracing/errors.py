"""Errors of tracing; each names what was done, where, and what to write instead."""

from __future__ import annotations


class TraceError(TypeError):
    """The function does something that a tape cannot hold."""


class TraceLimit(TraceError):
    """The trace became too long: an endless loop, or a long one that should be `sparsead.steps`."""


class MemoryDoor(TraceError, AttributeError):
    """An attribute that gives away an array's memory; an `AttributeError`, so that code which can do without it does."""


class ActivityError(TraceError):
    """A derivative would get lost in memory that was declared to carry none."""


class LeakError(TraceError):
    """A traced value was used after its trace had ended."""
