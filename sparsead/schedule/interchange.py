"""Loops whose trips are all run for some rows before the next rows begin.

Law: no trip touches in one row what a trip writes in another row, unless all only add to it; so the order of rows and trips does
not matter.

A sweep along the last axis of large arrays reads a cache line for one number at each point, and the same lines again on the next
trip, when they have left the cache. Run for few rows at a time they are still there. This is the loop interchange of compilers:
Wolfe, *High Performance Compilers for Parallel Computing*, Addison-Wesley 1996, section 9.2.
"""

from __future__ import annotations

from math import prod

from sparsead.schedule.form import Kernel, Repeat, blocks_of
from sparsead.schedule.memory import joined
from sparsead.schedule.windows import coalesced, lattice, lattice_box

BIG = 1 << 19  # bytes that a trip touches: less stays in a second-level cache
STRIP = 1 << 18  # the same, in a strip
LINE = 64  # bytes of a cache line
LEAST = 64  # points of a strip, so that a kernel is worth its start


def interchange(block):
    """Give the loops of a block, and of blocks inside, the height of their strips where that pays."""
    for step in block.steps:
        for child in blocks_of(step):
            interchange(child)
        if isinstance(step, Repeat) and step.trips > 1:
            _interchanged(step)


def _interchanged(loop):
    """Bring the kernels of a loop to common rows, and set its height, if its rows know nothing of each other."""
    kernels = loop.block.steps
    if not kernels or not all(isinstance(k, Kernel) and k.space == kernels[0].space for k in kernels):
        return
    windows = [window for kernel in kernels for window in kernel.accesses()]
    accesses = list(dict.fromkeys(access for _, access in windows))
    if any(access.by is not None for access in accesses):  # it touches any row
        return
    extents, strides = coalesced(kernels[0].space, [access.strides for access in accesses])
    if not extents or 0 in extents or extents[0] == 1:
        return
    joined = {access: access._replace(strides=new) for access, new in zip(accesses, strides, strict=True)}
    points = prod(extents)
    touched = points * sum(_bytes(access) for access in set(joined.values()))
    if touched < BIG or not _apart([(kind, joined[access]) for kind, access in windows], extents, loop.turning):
        return
    inner = points // extents[0]
    strips = extents[0] // max(STRIP * extents[0] // touched, -(-LEAST // inner), 1)
    if strips > 1:
        loop.height = -(-extents[0] // strips)
        kernels[:] = [kernel.changed(extents, joined.__getitem__) for kernel in kernels]


def _bytes(access):
    """Bytes of the cache that a point of a window takes up."""
    return min(max(abs(access.strides[-1]), access.dtype.itemsize), LINE) if any(access.strides) else 0


def _apart(windows, extents, turning):
    """Whether rows know nothing of each other. Slots that change hands are one memory."""
    same = joined(turning)
    written = {access.slot for kind, access in windows if kind != "load"}
    written |= {other for slot in written for other in same.get(slot, ())}
    if any(index.slot in written for _, access in windows for index in access.moving):
        return False
    groups: dict[int, list] = {}
    for kind, access in windows:
        if access.slot in written:
            groups.setdefault(min(same.get(access.slot, {access.slot})), []).append((kind, access))
    return all(_only_added(group) or _aligned([access for _, access in group], extents) for group in groups.values())


def _only_added(group):
    return all(kind == "accumulate" for kind, _ in group) and len({access.slot for _, access in group}) == 1


def _aligned(accesses, extents):
    """Whether row r of each window lies in row r of one lattice, on all trips."""
    pitch, boxes = accesses[0].strides[0], [_everywhere(access, extents) for access in accesses]
    steps = lattice(boxes)
    if not pitch or any(access.strides[0] != pitch for access in accesses) or not steps:
        return False
    places = [lattice_box(box, steps) for box in boxes]
    row = steps.index(abs(pitch))
    return None not in places and {place[row] for place in places} == {(places[0][row][0], places[0][row][0] + extents[0] - 1)}


def _everywhere(access, extents):
    """(offset, shape, strides, itemsize) of what a window covers, wherever its indices move it."""
    offset = access.offset + sum(i.step * i.low for i in access.moving)
    shape = (*extents, *(i.high - i.low for i in access.moving))
    return offset, shape, (*access.strides, *(i.step for i in access.moving)), access.dtype.itemsize
