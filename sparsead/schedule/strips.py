"""Kernels of a block, and of several trips of a loop, put together: what one writes is in the cache when the next reads it.

Law: that of `sparsead.schedule.groups`, also across trips: a trip's kernels are those of the loop on the memory that it has then.
"""

from __future__ import annotations

from sparsead.schedule.form import Block, Fill, Kernel, Repeat, Strips, blocks_of, renamed
from sparsead.schedule.groups import grouped
from sparsead.schedule.rings import with_rings

TRIPS = 8  # of a loop, that are run together


def strip(block, turning):
    """Put the kernels of a block, and of blocks inside, together where that pays; slots of `turning` change hands."""
    steps = []
    for step in block.steps:
        if isinstance(step, Repeat) and step.height:  # its trips are run for some rows at a time already
            steps.append(step)
            continue
        for child in blocks_of(step):
            strip(child, turning)
        steps += _trips_together(step, block, turning) if isinstance(step, Repeat) else [step]
    block.steps[:] = with_rings(grouped(steps), set(block.own) - turning)


def _trips_together(step, block, turning):
    """A loop, with several trips in one where all of their kernels are one group."""
    cycle = _cycle(step.turning)
    count = cycle * -(-TRIPS // cycle)
    if step.trips < 2 * count or any(not isinstance(s, (Kernel, Fill, Strips)) for s in step.block.steps):
        return [step]
    plain = [k for s in step.block.steps for k in (s.plain if isinstance(s, Strips) else [s])]
    if any(isinstance(s, Kernel) and step.counter in s.windows for s in plain):  # it is read as a number
        return [step]
    copies, now = [], {}
    turn = dict(step.turning)
    for trip in range(count):
        copies += [_moved(s, now, step.counter, trip * step.by) for s in plain]
        now = {slot: now.get(other, other) for slot, other in turn.items()}
    steps = with_rings(grouped(copies), set(step.block.own) - turning)
    if not steps or not isinstance(steps[-1], Strips) or len(steps[-1].plain) <= len(copies) - len(plain):
        return [step]
    block.own += step.block.own
    step.block.own = []
    whole = step.trips // count
    together = Repeat(Block(steps), whole, step.first, step.by * count, step.counter, [])
    rest = Repeat(
        step.block, step.trips - whole * count, step.first + whole * count * step.by, step.by, step.counter, step.turning
    )
    return [together, rest] if rest.trips else [together]


def _cycle(turning):
    """After how many trips each slot has its own memory again."""
    turn, now, count = dict(turning), dict(turning), 1
    while any(slot != other for slot, other in now.items()):
        now = {slot: turn[other] for slot, other in now.items()}
        count += 1
    return count


def _moved(step, now, counter, by):
    """A step of a later trip: `now` says whose memory a slot has then, and the counter is greater by `by`."""

    def later(access):
        offset = access.offset + sum(index.step * by for index in access.moving if index.slot == counter)
        moving = tuple(
            i._replace(low=i.low - by, high=i.high - by) if i.slot == counter else i for i in access.moving
        )  # fmt: skip
        return access._replace(offset=offset, moving=moving)

    return renamed(step if isinstance(step, Fill) else step.changed(step.space, later), now)
