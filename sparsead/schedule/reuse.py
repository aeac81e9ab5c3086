"""Stores in place: a slot that is written where another one is read for the last time gets its memory.

Law: the kernel reads each element before it writes the one that takes its place, and nobody wants the old one afterwards.
"""

from __future__ import annotations

from sparsead.ops.structural import nested
from sparsead.schedule.form import Fill, Kernel, blocks_of, renamed
from sparsead.schedule.memory import slots_of


def reuse(block, slots, turning):
    """Let slots of a block, and of blocks inside, take each other's place; those of `turning` change hands and do not."""
    for step in block.steps:
        for child in blocks_of(step):
            reuse(child, slots, turning)
    touching: dict[int, list[int]] = {}
    for k, step in enumerate(block.steps):
        for slot in set(slots_of(step)):
            touching.setdefault(slot, []).append(k)
    free = {slot for slot in block.own if slot not in turning and _by_kernels(block.steps, touching.get(slot, ()))}
    names: dict[int, int] = {}  # slot -> the one that stands in its place
    for k, step in enumerate(block.steps):
        if isinstance(step, (Kernel, Fill)):
            block.steps[k] = _in_place(_named(step, names), k, slots, touching, free, names)


def _in_place(step, k, slots, touching, free, names):
    """Step `k` with its stores in place, and those slots out of `free`."""
    order = {i.access: j for j, i in enumerate(step.instrs) if i.access is not None} if isinstance(step, Kernel) else {}
    dying = [slot for slot in step.windows if slot in free and touching[slot][-1] == k] if order else []
    here = {}
    for new in [slot for slot in step.windows if slot in free and touching[slot][0] == k] if dying else ():
        old = _old(step, order, new, dying)
        if old is not None and slots[new].nbytes <= slots[old].nbytes:
            here[new] = old
            dying.remove(old)
            touching[old] += touching.pop(new)[1:]
            free.remove(new)
    names.update(here)
    return _named(step, here)


def _named(step, names):
    """A step on the slots that stand in the place of its own; renaming a kernel costs as much as all of its instructions."""
    return renamed(step, names) if names and any(slot in names for slot in slots_of(step)) else step


def _by_kernels(steps, touching):
    return bool(touching) and all(isinstance(steps[k], (Kernel, Fill)) for k in touching)


def _old(kernel, order, new, dying):
    """Of the slots that are `dying`, one that is read through one window, through which `new` is written after that; or None."""
    (kind, target), *more = kernel.windows[new]
    if more or kind != "store" or target.moving or target.by is not None:
        return None
    if not nested(kernel.space, target.strides, target.dtype.itemsize):
        return None
    for old in dying:
        if old != new and kernel.windows[old] == [("load", target._replace(slot=old, line=kernel.windows[old][0][1].line))]:
            if order[kernel.windows[old][0][1]] < order[target]:
                return old
    return None
