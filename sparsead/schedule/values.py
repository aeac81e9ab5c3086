"""Where a value of the tape is while it is planned.

A number that is known or goes with the trips of a loop, a register, a place in memory, a window that is not read yet, or what a
cheap op makes of another one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from sparsead.schedule.form import Index, Instr, Place


@dataclass
class Constant:
    """A value that is known: an array of its type, or one number for all elements."""

    value: Any


@dataclass(frozen=True)
class Counted:
    """A whole number that goes with the trips of a loop: `scale` times the counter in slot `slot`, plus `shift`."""

    slot: int
    trips: int
    scale: int = 1
    shift: int = 0

    @property
    def least(self):
        """The least value that it takes."""
        return self.shift + min(0, self.scale * (self.trips - 1))

    @property
    def most(self):
        """The greatest value that it takes."""
        return self.shift + max(0, self.scale * (self.trips - 1))

    def with_number(self, op, number, first):
        """What `op` makes of it and a number, which is the other operand; it is the first one itself, or the second."""
        if op == "multiply":
            return replace(self, scale=self.scale * number, shift=self.shift * number)
        if op == "add":
            return replace(self, shift=self.shift + number)
        sign = 1 if first else -1
        return replace(self, scale=sign * self.scale, shift=sign * (self.shift - number))


@dataclass
class Window:
    """A load: what is seen through a window as long as the slot has this version; `by` moves it from point to point."""

    place: Place
    view: Any
    imm: int
    moving: tuple[Index, ...]
    version: int
    line: Any
    by: Numbers | None = None

    def slots(self):
        """Those whose memory it is seen in."""
        own = {self.place.slot, *(index.slot for index in self.moving)}
        return own if self.by is None else own | self.by.window.slots()


@dataclass
class Numbers:
    """Index numbers: a window of them, and what they do, as in `sparsead.schedule.form.Indexed`."""

    window: Window
    step: int
    extent: int
    distinct: bool = False


@dataclass
class Cleared:
    """Zeros that step `step` stores, with nothing read or written in that memory since."""

    step: int
    instr: Instr
    loaded: set  # registers with what was there before


@dataclass
class Held:
    """A value in a register of the kernel that is step `step`."""

    step: int
    register: int


@dataclass
class Again:
    """A value that each kernel computes by itself, by the op that makes it: of one value and numbers, or of what is in memory."""

    op: Any
    dtypes: list  # of the operands, and of the value
    depth: int  # ops between it and what is in memory
