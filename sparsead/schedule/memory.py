"""Where in the workspace each slot is.

Law: slots that are in use at the same time share no byte. A block's own slots are in use from the first of its steps that
touches them to the last; those whose memory changes hands are in use together. The workspace of a block inside a step is in use
with the step.

The method is first fit, largest first. Its cost grows with the square of the number of slots: where they are many, in a long
scalar code, each takes the place of a dead one of the same size instead.
"""

from __future__ import annotations

import heapq

from sparsead.schedule.form import Bounds, Call, Choose, Fill, Guard, Kernel, Repeat, Scalars, Strips, blocks_of, kernels_of

ALIGNED = 64
MANY = 1000


def place_work(schedule, together):
    """Give the work slots of a schedule their offsets, and the schedule the size of its workspace."""
    groups = joined(together)
    _hoist(schedule.block, groups, set())
    schedule.nbytes = _placed(schedule.block, schedule.slots, groups)


def _hoist(block, groups, taken):
    """Slots that change hands with one of this block belong to it as well: their memory has to last as long."""
    block.own = [slot for slot in block.own if slot not in taken]
    mine = dict.fromkeys(other for slot in block.own for other in sorted(groups.get(slot, (slot,))))
    block.own = list(mine)
    for step in block.steps:
        for child in blocks_of(step):
            _hoist(child, groups, taken | set(mine))


def joined(together):
    """slot -> the set of slots that it changes hands with; `together` are sets of some that do."""
    groups: dict[int, set[int]] = {}
    for slots in together:
        group = set(slots).union(*(groups.get(slot, ()) for slot in slots))
        groups.update(dict.fromkeys(group, group))
    return groups


def _placed(block, slots, groups):
    """Give the slots of a block their offsets, from 0 on; returns the bytes that they take together."""
    uses = _uses(block, groups)
    wanted = [(slots[s].nbytes, *uses[s], s) for s in block.own if s in uses]
    for k, step in enumerate(block.steps):
        for child in blocks_of(step):
            wanted.append((_placed(child, slots, groups), k, k, child))
    wanted = [(_rounded(nbytes, len(wanted)), *rest) for nbytes, *rest in wanted]
    offsets, size = (_first_fit if len(wanted) < MANY else _by_size)(wanted)
    for (*_, what), at in zip(wanted, offsets, strict=True):
        if isinstance(what, int):
            slots[what].offset = at
        else:
            _shift(what, slots, at)
    return size


def _rounded(nbytes, count):
    aligned = ALIGNED if count < MANY or nbytes > ALIGNED else 16  # a cache line for each number would be a waste
    return -(-max(nbytes, 1) // aligned) * aligned


def _first_fit(wanted):
    """(offsets, size): each in the first gap between those that are in use at the same time."""
    offsets, taken, size = [0] * len(wanted), [], 0  # taken: (first byte, one past the last, first step, last step)
    for k in sorted(range(len(wanted)), key=lambda k: -wanted[k][0]):
        nbytes, first, last, _ = wanted[k]
        at = _gap([t for t in taken if t[2] <= last and first <= t[3]], nbytes)
        taken.append((at, at + nbytes, first, last))
        offsets[k], size = at, max(size, at + nbytes)
    return offsets, size


def _by_size(wanted):
    """(offsets, size): each in the place of a dead one of the same size."""
    offsets, size, free, busy = [0] * len(wanted), 0, {}, []
    for k in sorted(range(len(wanted)), key=lambda k: (wanted[k][1], -wanted[k][0])):
        nbytes, first, last, _ = wanted[k]
        while busy and busy[0][0] < first:
            _, at, n = heapq.heappop(busy)
            free.setdefault(n, []).append(at)
        if free.get(nbytes):
            offsets[k] = free[nbytes].pop()
        else:
            offsets[k], size = size, size + nbytes
        heapq.heappush(busy, (last, offsets[k], nbytes))
    return offsets, -(-size // ALIGNED) * ALIGNED


def _gap(taken, nbytes):
    """The first gap of this size."""
    at = 0
    for low, high, *_ in sorted(taken):
        if low - at >= nbytes:
            break
        at = max(at, high)
    return at


def _shift(block, slots, by):
    for slot in block.own:
        if slots[slot].offset >= 0:
            slots[slot].offset += by
    for step in block.steps:
        for child in blocks_of(step):
            _shift(child, slots, by)


def _uses(block, groups):
    """slot -> (first step, last step) that touches it, or one that it changes hands with."""
    uses: dict[int, tuple[int, int]] = {}
    for k, step in enumerate(block.steps):
        for slot in slots_of(step):
            for other in groups.get(slot, (slot,)):
                uses[other] = (uses.get(other, (k, k))[0], k)
    return uses


def slots_of(step):
    """The slots that a step, and what is inside it, reads or writes."""
    yield from slots_of_itself(step)
    for child in blocks_of(step):
        for inner in child.steps:
            yield from slots_of(inner)


def slots_of_itself(step):
    """The slots that a step reads, writes or moves, but for what is done in blocks inside."""
    if isinstance(step, (Kernel, Strips)):
        for kernel in kernels_of(step):
            for _, access in kernel.accesses():
                yield from _of_access(access)
    elif isinstance(step, Scalars):
        yield from step.slots
    elif isinstance(step, Fill):
        yield step.slot
    elif isinstance(step, (Guard, Bounds)):
        yield from _of_argument(step.operand)
    elif isinstance(step, Call):
        for argument in step.operands:
            yield from _of_argument(argument)
        yield from (place.slot for place in step.results)
    else:
        if isinstance(step, Repeat):
            yield step.counter
        else:
            yield from _of_argument(step.which)
        for pair in turning_of(step):
            yield from pair


def turning_of(step):
    """The pairs of slots that change hands after the blocks inside a step."""
    if isinstance(step, Repeat):
        return step.turning
    return [pair for pairs in step.turning for pair in pairs] if isinstance(step, Choose) else []


def _of_argument(argument):
    return _of_access(argument[1]) if isinstance(argument, tuple) else ()


def _of_access(access):
    yield access.slot
    yield from (index.slot for index in access.moving)
