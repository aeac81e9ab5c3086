"""Where a value of the tape is while it is planned: a number, a register, a place in memory, or a window that is not read yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sparsead.schedule.form import Index, Instr, Place


@dataclass
class Constant:
    """A value that is known: an array of its type, or one number for all elements."""

    value: Any


@dataclass
class Window:
    """A load: what is seen through a window as long as the slot has this version."""

    place: Place
    view: Any
    imm: int
    moving: tuple[Index, ...]
    version: int
    line: Any


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
