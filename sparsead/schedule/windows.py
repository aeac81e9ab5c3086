"""Whether two windows on one slot meet.

Law: "same" if they hold the same elements at the same points, each element at one point; "apart" if they share no byte; else
"meet".
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

from sparsead.ops.structural import nested


def meeting(a, b, space):
    """How two `Access`es of one slot, both over `space`, meet; windows that the same numbers move keep their distance."""
    if a.moving != b.moving:
        return "meet"
    if a.by is not None or b.by is not None:
        if a._replace(line=None) == b._replace(line=None):
            return "same" if a.by.distinct else "meet"
        return "meet" if _spans_meet(covered(a, space), covered(b, space)) else "apart"
    return _meeting((a.offset, space, a.strides, a.dtype.itemsize), (b.offset, space, b.strides, b.dtype.itemsize))


def apart(a, b):
    """Whether two windows (offset, shape, strides, itemsize) of one slot share no byte."""
    return _meeting(a, b) == "apart"


@lru_cache(maxsize=1 << 14)
def _meeting(a, b):
    if a == b:
        return "same" if nested(a[1], a[2], a[3]) else "meet"
    if not _spans_meet(a, b):
        return "apart"
    return "apart" if _boxes_apart(a, b) else "meet"


def _spans_meet(a, b):
    (low_a, high_a), (low_b, high_b) = reach(a), reach(b)
    return low_b < high_a and low_a < high_b


def covered(access, space):
    """(offset, shape, strides, itemsize) of all that an `Access` may touch, wherever index numbers move it."""
    shape, strides = space, access.strides
    if access.by is not None:
        shape, strides = (*shape, access.by.extent), (*strides, access.by.step)
    return access.offset, shape, strides, access.dtype.itemsize


def reach(window):
    """Of a window (offset, shape, strides, itemsize): first byte, and one past the last."""
    offset, shape, strides, item = window
    if 0 in shape:
        return offset, offset
    steps = [(n - 1) * s for n, s in zip(shape, strides, strict=True)]
    return offset + sum(s for s in steps if s < 0), offset + sum(s for s in steps if s > 0) + item


def _boxes_apart(a, b):
    """Whether the two are boxes of one lattice, and some coordinate tells them apart."""
    steps = lattice([a, b])
    boxes = [lattice_box(w, steps) for w in (a, b)] if steps else [None]
    if None in boxes:
        return False
    return any(high_a < low_b or high_b < low_a for (low_a, high_a), (low_b, high_b) in zip(*boxes, strict=True))


def lattice(windows):
    """Steps of the lattice that windows (offset, shape, strides, itemsize) lie on, the greatest first; None if there is none."""
    steps = sorted({abs(s) for w in windows for n, s in zip(w[1], w[2], strict=True) if n > 1 and s}, reverse=True)
    items = {item for *_, item in windows}
    if not steps or len(items) > 1 or steps[-1] < max(items) or any(big % small for big, small in pairwise(steps)):
        return None
    return steps


def lattice_box(window, steps):
    """Least and greatest coordinate for each step of the lattice, and in bytes of a cell; None if it leaves its box."""
    low, _ = reach(window)
    extents = dict.fromkeys(steps, 0)
    for n, s in zip(window[1], window[2], strict=True):
        if n > 1 and s:
            extents[abs(s)] += n - 1
    box, above = [], None
    for step in steps:
        first, low = divmod(low, step) if step else (0, low)
        last = first + extents[step]
        if above is not None and last >= above // step:
            return None  # it wraps around into the next coordinate
        box.append((first, last))
        above = step
    return [*box, (low, low + window[3] - 1)] if window[3] <= steps[-1] - low else None


@lru_cache(maxsize=1 << 14)
def spread(shape, strides, onto):
    """Strides of an array of `shape` seen as one of shape `onto`, without axes of one point."""
    lead = len(onto) - len(shape)
    if lead < 0:  # axes of one point in front
        shape, strides, lead = shape[-lead:], strides[-lead:], 0
    full = (0,) * lead + tuple(0 if n == 1 else s for n, s in zip(shape, strides, strict=True))
    return tuple(s for n, s in zip(onto, full, strict=True) if n != 1)


@lru_cache(maxsize=1 << 12)
def squeezed(shape):
    """`shape` without axes of one point."""
    return tuple(n for n in shape if n != 1)


def coalesced(space, strides, apart=0):
    """(space, strides of each window) with axes joined where all windows allow it, but for the first `apart`.

    Where there are no points there is one axis.
    """
    if 0 in space and not apart:
        return (0,), [(0,)] * len(strides)
    axes = list(zip(space, *strides, strict=True)) if space else []
    joined: list = []
    for axis in axes:
        if len(joined) > apart and all(outer == inner * axis[0] for outer, inner in zip(joined[-1][1:], axis[1:], strict=True)):
            joined[-1] = (joined[-1][0] * axis[0], *axis[1:])
        else:
            joined.append(axis)
    extents = tuple(int(axis[0]) for axis in joined)
    return extents, [tuple(int(axis[k + 1]) for axis in joined) for k in range(len(strides))]
