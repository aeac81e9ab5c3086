"""Axes of kernels in the order in which their windows go through memory: the shortest strides last.

Law: points may be run in any order if no two of them touch the same memory, unless both only read it or both only add to it.

A tile goes along the last axes. Where an array is in Fortran's order, or transposed, that would be a cache line for each number.
"""

from __future__ import annotations

from sparsead.ops.structural import nested
from sparsead.schedule.form import Kernel, blocks_of
from sparsead.schedule.windows import coalesced, meeting

LINE = 64  # bytes of a cache line
SHORT = 16  # points of a row that is not worth its start


def sort_axes(block):
    """Sort the axes of the kernels of a block, and of blocks inside."""
    for step in block.steps:
        for child in blocks_of(step):
            sort_axes(child)
    block.steps[:] = [_sorted(step) if isinstance(step, Kernel) and len(step.space) > 1 else step for step in block.steps]


def _sorted(kernel):
    windows = [access.strides for _, access in kernel.accesses()]
    order = sorted(range(len(kernel.space)), key=lambda axis: _cost([strides[axis] for strides in windows]), reverse=True)
    space = _picked(kernel.space, order)
    if order == list(range(len(order))) or not _independent(kernel):
        return kernel
    if space[-1] < min(SHORT, kernel.space[-1]) and len(coalesced(space, [_picked(row, order) for row in windows])[0]) > 1:
        return kernel
    return kernel.changed(space, lambda access: access._replace(strides=_picked(access.strides, order)))


def _picked(row, order):
    return tuple(row[axis] for axis in order)


def _cost(strides):
    """What it costs to go along an axis: bytes of cache lines, then bytes."""
    return sum(min(abs(s), LINE) for s in strides), sum(map(abs, strides))


def _independent(kernel):
    """Whether the points of a kernel may be run in any order."""
    if any(access.by is not None for _, access in kernel.accesses()):
        return False
    for windows in kernel.windows.values():
        for k, (kind, access) in enumerate(windows):
            if kind == "store" and not nested(kernel.space, access.strides, access.dtype.itemsize):
                return False
            for other_kind, other in windows[:k]:
                if not kind == other_kind in ("load", "accumulate") and meeting(access, other, kernel.space) == "meet":
                    return False
    return True
