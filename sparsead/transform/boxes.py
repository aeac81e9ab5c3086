"""Which elements of a storage a window covers: boxes, a pair (first, end) for each axis of the storage, the longest stride first.

Law: `exact` is what a window covers, each element once, or None; `cover` contains it, wherever the window moves.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from math import prod
from typing import NamedTuple

from sparsead.tape.spec import View

LEAST = 256  # elements of a storage, or of what is stored, that is worth looking at
MOST = 8  # boxes of a list, before one takes the place of all


class Exact(NamedTuple):
    """A window that covers a box of a storage.

    Attributes
    ----------
    box : tuple of (int, int)
    axes : tuple of int
        For each axis of the window, that of the storage along which it goes; -1 where it has one point.
    view : View
        The same elements in the same order, along axes of the storage.
    along : int
        The axis of the window that goes along several of the storage, which `axes` and `view` have in its place; -1 if none does.
    """

    box: tuple
    axes: tuple[int, ...]
    view: View
    along: int = -1


@lru_cache(maxsize=1 << 12)
def lattice(shape, strides, item):
    """(steps, extents) of a storage, longest steps first, or None where its elements do not fill its memory."""
    axes = sorted(((s, n) for n, s in zip(shape, strides, strict=True) if n > 1), reverse=True) or [(item, 1)]
    dense = axes[-1][0] == item and all(a[0] == b[0] * b[1] for a, b in pairwise(axes)) and 0 not in shape
    return tuple(zip(*axes, strict=True)) if dense else None


def whole(t):
    """The box of all elements of a storage of type `t`; None if it is no lattice."""
    found = lattice(t.shape, t.strides, t.dtype.itemsize)
    return tuple((0, n) for n in found[1]) if found else None


def exact(view, offset, t):
    """The `Exact` window of a view at a byte offset of a storage of type `t`, or None."""
    found = lattice(t.shape, t.strides, t.dtype.itemsize)
    return _exact(view, offset, *found) if found and view.dtype == t.dtype and 0 not in view.shape else None


@lru_cache(maxsize=1 << 14)
def _exact(view, offset, steps, extents):
    item, long = view.dtype.itemsize, [(n, s) for n, s in zip(view.shape, view.strides, strict=True) if n > 1]
    if len(long) == 1 and long[0][1] == item and len(steps) > 1 and long[0][0] > extents[-1]:
        return _rows(view, offset, steps, extents)
    axes = tuple(steps.index(s) if n > 1 and s in steps else -1 for n, s in zip(view.shape, view.strides, strict=True))
    used = [axis for axis in axes if axis >= 0]
    if len(used) != len(long) or len(set(used)) < len(used):
        return None
    lengths = dict(zip(axes, view.shape, strict=True))
    box, rest = [], offset
    for axis, (step, extent) in enumerate(zip(steps, extents, strict=True)):
        first, rest = divmod(rest, step)
        end = first + (lengths[axis] if axis in used else 1)
        if end > extent:
            return None
        box.append((first, end))
    return None if rest else Exact(tuple(box), axes, view)


def _rows(view, offset, steps, extents):
    """A window of one axis that covers whole rows of the storage."""
    nbytes = max(view.shape) * view.dtype.itemsize
    if offset % steps[0] or nbytes % steps[0]:
        return None
    first, rows = offset // steps[0], nbytes // steps[0]
    box = ((first, first + rows), *((0, n) for n in extents[1:]))
    along = view.shape.index(max(view.shape))
    return Exact(box, tuple(range(len(steps))), View((rows, *extents[1:]), steps, view.dtype), along)


def section(box, t):
    """(view, byte offset) of a box of a storage of type `t`, which is a lattice."""
    steps, _ = lattice(t.shape, t.strides, t.dtype.itemsize)
    offset = sum(low * step for (low, _), step in zip(box, steps, strict=True))
    return View(tuple(high - low for low, high in box), steps, t.dtype), offset


def cover(view, offset, t):
    """A box that contains what a `View` or `Moving` view reads of a storage of type `t`; None if it is no lattice."""
    found = lattice(t.shape, t.strides, t.dtype.itemsize)
    if found is None:
        return None
    return _cover(view, offset, *found)


@lru_cache(maxsize=1 << 14)
def _cover(view, offset, steps, extents):
    limits, moves = getattr(view, "limits", ()), getattr(view, "steps", ())
    view = getattr(view, "view", view)
    offset += sum(step * low for step, (low, _) in zip(moves, limits, strict=True))
    shape, strides = (*view.shape, *(high - low for low, high in limits)), (*view.strides, *moves)
    if any(n <= 0 for n in shape):
        return tuple((0, 0) for _ in steps)
    low = offset + sum(min(s * (n - 1), 0) for n, s in zip(shape, strides, strict=True))
    high = offset + sum(max(s * (n - 1), 0) for n, s in zip(shape, strides, strict=True)) + view.dtype.itemsize
    lengths = [1] * len(steps)
    for n, s in zip(shape, strides, strict=True):
        axis = next((k for k, step in enumerate(steps) if abs(s) % step == 0), None) if n > 1 and s else -1
        if axis is None:
            return _all_rows(low, high, steps, extents)
        if axis >= 0:
            lengths[axis] += (n - 1) * abs(s) // steps[axis]
    box, rest = [], low
    for step, extent, n in zip(steps, extents, lengths, strict=True):
        first, rest = divmod(rest, step)
        if first + n > extent:
            return _all_rows(low, high, steps, extents)
        box.append((first, first + n))
    return _all_rows(low, high, steps, extents) if rest or view.dtype.itemsize > steps[-1] else tuple(box)


def _all_rows(low, high, steps, extents):
    return ((max(low // steps[0], 0), min(-(-high // steps[0]), extents[0])), *((0, n) for n in extents[1:]))


# ---- lists of boxes ------------------------------------------------------------------------------------------------------


def size(box):
    """Elements of a box."""
    return prod(high - low for low, high in box)


def common(a, b):
    """The box that two boxes share, or None."""
    box = tuple((max(a_low, b_low), min(a_high, b_high)) for (a_low, a_high), (b_low, b_high) in zip(a, b, strict=True))
    return box if all(low < high for low, high in box) else None


def without(boxes, hole):
    """Boxes that cover `boxes` but for the box `hole`."""
    rest = []
    for box in boxes:
        if common(box, hole) is None:
            rest.append(box)
            continue
        for axis, ((low, high), (first, end)) in enumerate(zip(box, hole, strict=True)):
            for part in ((low, min(first, high)), (max(end, low), high)):
                if part[0] < part[1]:
                    rest.append((*box[:axis], part, *box[axis + 1 :]))
            box = (*box[:axis], (max(low, first), min(high, end)), *box[axis + 1 :])
    return rest


def including(boxes, box):
    """Boxes that cover `boxes` and `box`: few, perhaps of more than that."""
    for other in boxes:
        joined = _joined(box, other)
        if joined is not None:
            return including([b for b in boxes if b is not other], joined)
    if len(boxes) < MOST:
        return [*boxes, box]
    return [tuple((min(low), max(high)) for low, high in (zip(*axis, strict=True) for axis in zip(*boxes, box, strict=True)))]


def _joined(a, b):
    """The box that covers two boxes and nothing else, or None."""
    different = [axis for axis, (x, y) in enumerate(zip(a, b, strict=True)) if x != y]
    if all(a[k][0] <= b[k][0] and b[k][1] <= a[k][1] for k in different):
        return a
    if all(b[k][0] <= a[k][0] and a[k][1] <= b[k][1] for k in different):
        return b
    if len(different) != 1 or a[different[0]][0] > b[different[0]][1] or b[different[0]][0] > a[different[0]][1]:
        return None
    (k,) = different
    return (*a[:k], (min(a[k][0], b[k][0]), max(a[k][1], b[k][1])), *a[k + 1 :])


def pieces(boxes, box):
    """What `boxes` and `box` share, as boxes that share nothing."""
    found: list = []
    for other in boxes:
        shared = common(other, box)
        rest = [] if shared is None else [shared]
        for piece in found:
            rest = without(rest, piece)
        found += rest
    return found


def windows(place, box):
    """(shape, first index along each axis of the window) of a box inside that of an `Exact` window."""
    ends = [(0, 1, 0) if axis < 0 else (*box[axis], place.box[axis][0]) for axis in place.axes]
    return tuple(high - low for low, high, _ in ends), tuple(low - first for low, _, first in ends)
