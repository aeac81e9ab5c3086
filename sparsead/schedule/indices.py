"""Gathers and scatters: which elements of memory the positions of an index array name, and what checks them.

Law: a kernel reads and writes by index numbers only if they are known to be in range, or behind a `Bounds` step that makes sure;
and what it does by them is what the op does, in the order of its positions.

Positions go along a straight line for some axes of an index, as in ``u[:, triangles]`` of a C-ordered array: such axes are
strides of the window, and only what is left is read from an array of numbers. For a constant they are found when it is planned.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy import ascontiguousarray, broadcast_to, moveaxis, unique, where, zeros  # NumPy's own: a trace wraps its namespace

from sparsead.ops.positions import Line, Positions
from sparsead.schedule.form import Bounds, Origin, Place, Slot
from sparsead.schedule.inner import castable
from sparsead.schedule.values import Constant, Numbers, Window
from sparsead.schedule.windows import coalesced, squeezed
from sparsead.tape.spec import View

INDEXED = {"gather", "scatter", "scatter_add"}
NUMBERS = np.dtype(np.int32), np.dtype(np.int64)
ITEMS = 1, 2, 4, 8, 16, 32  # bytes of elements that are moved by index
ADDED = "?bBhHiIlLqQefdgFDG"
FAR = 100_000  # ops among which the readers of positions are looked for


class Lifted(NamedTuple):
    """An op that makes positions and is not run, and the `Line` that they are."""

    op: Any
    line: Line


class Spots(NamedTuple):
    """Positions ``first + sum(k * stride) + step * number``, for the coordinates k and the number there; without numbers a line.

    They are `distinct` if it is known that no two are equal.
    """

    first: int
    strides: tuple[int, ...]
    numbers: Window | None = None
    step: int = 0
    extent: int = 0
    distinct: bool = False


# ---- ops -----------------------------------------------------------------------------------------------------------------


def inactive(planner, op):
    """Positions by one array of numbers are found where they are used; all else is called."""
    lifted = _lifted(planner, op)
    if lifted is None:
        planner._call(op)
        return
    (v,), (x,) = op.results, op.operands
    planner.lifted[v] = lifted
    planner.last_use[x] = max(planner.last_use[x], planner.last_use[v])


def gather(planner, op):
    """What is gathered is a window, read where it is used."""
    (z,), (x, pos) = op.results, op.operands
    t = planner.type(z)
    spots = _spots(planner, op, t) if t.dtype.itemsize in ITEMS and t.dtype.isnative else None
    if spots is None:
        _called(planner, op, pos)
    elif planner.is_number(x):
        planner.values[z] = planner.values[x]
    else:
        place, moving = planner._base(x)
        planner.look(z, _window(planner, op, spots, place, moving, t))


def scatter(planner, op):
    """A store, or an accumulation, by index numbers."""
    (z,), (x, pos, v) = op.results, op.operands
    t, adds = planner.type(v), op.op.name == "scatter_add"
    fits = t.dtype.char in ADDED if adds else t.dtype.itemsize in ITEMS
    spots = _spots(planner, op, t) if fits and t.dtype.isnative else None
    if spots is None:
        _called(planner, op, pos)
        return
    place = planner.own_memory(x)
    planner.values[z] = place
    if not t.size:
        return
    if spots.numbers is not None and place.slot in spots.numbers.slots():
        spots = spots._replace(numbers=_copied(planner, spots.numbers))
    target = planner.through(_window(planner, op, spots, place, (), t), t.shape)
    planner._end_for(v, target, t.shape)
    planner._write_to("accumulate" if adds else "store", v, target, t.shape)


def _called(planner, op, pos):
    """Have an op called, and before it the one that makes its positions."""
    if pos in planner.lifted:
        planner._call(planner.lifted.pop(pos).op)
    planner._call(op)


def _window(planner, op, spots, place, moving, t):
    """The `Window` on the elements of a memory that positions name, a value of type `t` with lanes in front."""
    lead, item, whole = t.ndim - len(spots.strides), t.dtype.itemsize, planner.type(op.operands[0]).nbytes
    lanes = tuple(whole // max(prod(t.shape[: k + 1]), 1) for k in range(lead))
    view = View(t.shape, lanes + tuple(item * s for s in spots.strides), t.dtype)
    version = planner.version.get(place.slot, 0)
    by = None
    if spots.numbers is not None:
        numbers = spots.numbers.view
        named = View(t.shape, (0,) * lead + numbers.strides, numbers.dtype)
        by = Numbers(replace(spots.numbers, view=named), spots.step * item, spots.extent, spots.distinct)
    return Window(place, view, item * spots.first, moving, version, op.line, by)


# ---- views on what is gathered -----------------------------------------------------------------------------------------------


def viewed(window, t, view, imm, line):
    """The window of a view on a value of type `t` that is seen through `window` by index; None if there is none."""
    item, numbers = t.dtype.itemsize, window.by.window
    if view.dtype != t.dtype:
        return None
    extents, strides = coalesced(t.shape, [t.strides, window.view.strides, numbers.view.strides])
    own, source, named = strides
    found = _along_axes(imm, view, [s // item * item for s in own], extents)
    if found is None:
        return None
    start, axes = found
    return Window(
        window.place, View(view.shape, _times(axes, source), view.dtype), window.imm + _inner(start, source), window.moving,
        window.version, line,
        Numbers(
            replace(numbers, view=View(view.shape, _times(axes, named), numbers.view.dtype),
                    imm=numbers.imm + _inner(start, named)),
            window.by.step, window.by.extent,
        ),
    )  # fmt: skip


def _along_axes(imm, view, strides, extents):
    """A view on dense memory as (its first coordinates, for each of its axes the axis of the memory and the step there), or None.

    An axis that stays where it is has None instead.
    """
    start, ends, rest = [0] * len(extents), [[0, 0] for _ in extents], imm
    axes: list[tuple[int, int] | None] = []
    order = sorted((k for k, n in enumerate(extents) if n > 1), key=lambda k: -strides[k])
    for k in order:
        start[k], rest = divmod(rest, strides[k])
    for n, stride in zip(view.shape, view.strides, strict=True):
        if n == 1 or not stride:
            axes.append(None)
            continue
        k = next((k for k in order if stride % strides[k] == 0), None)
        if k is None:
            return None
        axes.append((k, stride // strides[k]))
        ends[k][stride > 0] += stride // strides[k] * (n - 1)
    inside = all(0 <= x + low and x + high < n for x, (low, high), n in zip(start, ends, extents, strict=True))
    return (start, axes) if inside and not rest else None


def _times(axes, strides):
    """Strides of a view whose axes are such axes and steps on them."""
    return tuple(0 if axis is None else axis[1] * strides[axis[0]] for axis in axes)


def _inner(start, strides):
    return sum(x * s for x, s in zip(start, strides, strict=True))


# ---- positions -------------------------------------------------------------------------------------------------------------


def _spots(planner, op, t):
    """The `Spots` of the elements that an op moves, a value of type `t`, checked; None if they are known to be out of bounds."""
    x, pos = op.operands[:2]
    size, shape = planner.type(x).size // max(op.imm, 1), planner.type(pos).shape
    if not t.size:
        return Spots(0, (0,) * len(shape), distinct=True)
    if isinstance(planner.values.get(pos), Constant):
        return _constant(planner, pos, size, op.op.name == "gather")
    found = planner.lifted.get(pos)
    by, line = (found.op.operands[0], found.line) if found else (pos, Line(0, (), (), 1, size))
    numbers = _numbers(planner, by)
    if numbers is None:
        return None
    vet(planner, planner.through(numbers, numbers.view.shape), numbers.view.shape, line.extent, op.line)
    before, behind = len(line.before), len(line.behind)
    strides = (0,) * before + numbers.view.strides + (0,) * behind
    numbers = replace(numbers, view=View(shape, strides, numbers.view.dtype))
    lines = [s for _, s in line.before] + [0] * (len(shape) - before - behind) + [s for _, s in line.behind]
    return Spots(line.first, tuple(lines), numbers, line.step, line.extent)


def _constant(planner, pos, size, lines):
    """The `Spots` of known positions among `size` elements; without `lines` no equal ones are a line."""
    if (pos, size) not in planner.spots:
        planner.spots[pos, size] = _found(planner, pos, size, True)
    spots = planner.spots[pos, size]
    if spots is None or lines or spots.distinct or spots.numbers is not None:
        return spots
    return _found(planner, pos, size, False)


def _found(planner, pos, size, straight):
    shape = planner.type(pos).shape
    array = broadcast_to(planner.values[pos].value, shape).astype(np.int64)
    array += where(array < 0, size, 0)
    if array.min() < 0 or array.max() >= size:
        return None
    distinct = _are_distinct(array, size)
    strides, left = _straight(array) if straight else ((0,) * len(shape), array)
    if left.size == 1 and straight:
        return Spots(int(left.flat[0]), strides, distinct=distinct)
    first = int(left.min())
    left = ascontiguousarray(left - first, _dtype_up_to(left.max() - first))
    planner.slots.append(Slot("constant", left.nbytes, array=left, origin=Origin("const", planner.line)))
    view = View(shape, tuple(0 if n == 1 else s for n, s in zip(left.shape, left.strides, strict=True)), left.dtype)
    numbers = Window(Place(len(planner.slots) - 1), view, 0, (), 0, None)
    return Spots(first, strides, numbers, 1, int(left.max()) + 1, distinct)


def _are_distinct(array, size):
    """Whether no two of some numbers below `size` are equal."""
    if size > 16 * array.size:
        return unique(array).size == array.size
    seen = zeros(size, bool)
    seen[array] = True
    return bool(seen.sum() == array.size)


def _straight(array):
    """(strides, what is left): the axes along which all numbers grow by the same, with one point left of them."""
    strides = [0] * array.ndim
    for axis in range(array.ndim):
        front = moveaxis(array, axis, 0)
        if len(front) > 1:
            steps = front[1] - front[0]
            step = steps.flat[0]
            if (steps == step).all() and (front[1:] - front[:-1] == step).all():
                strides[axis], array = int(step), moveaxis(front[:1], 0, axis)
    return tuple(strides), array


def _dtype_up_to(number):
    return NUMBERS[0] if number < 2**31 else NUMBERS[1]


def _lifted(planner, op):
    """The `Lifted` of an `inactive` op that makes positions by one index array, for gathers and scatters only; or None."""
    line = op.attr.line() if isinstance(op.attr, Positions) and len(op.operands) == 1 else None
    if line is None or planner.type(op.operands[0]).dtype.kind not in "iu":
        return None
    (v,), (x,) = op.results, op.operands
    shape = *(n for n, _ in line.before), *planner.type(x).shape, *(n for n, _ in line.behind)
    return Lifted(op, line) if shape == planner.type(v).shape and _only_names(planner, v) else None


def _only_names(planner, v):
    """Whether a value is nothing but the positions of gathers and scatters."""
    last = planner.last_use[v]
    if v in planner.tape.outputs or last > planner.at + FAR:
        return False
    ops = (planner.tape.op(k) for k in range(planner.at + 1, last + 1))
    return all(v not in op.operands or _names(op, v) for op in ops)


def _names(op, v):
    return op.op.name in INDEXED and op.operands.index(v) == 1 and op.operands.count(v) == 1


def _numbers(planner, v):
    """The `Window` of a value of whole numbers; None if they are of a kind that is not read by index."""
    t, home = planner.type(v), planner.values[v]
    if t.dtype not in NUMBERS:
        return _converted(planner, v) if castable(t.dtype, NUMBERS[1]) else None
    if isinstance(home, Window) and home.by is None:
        return home
    place = planner.in_memory(v)
    return Window(place, View(t.shape, t.strides, t.dtype), 0, (), planner.version.get(place.slot, 0), None)


def _converted(planner, v):
    """The same as numbers of the machine's size, as NumPy converts them."""
    if v not in planner.converted:
        t, dtype = planner.type(v), NUMBERS[1]
        window = _own(planner, planner.origin(v), t.shape, dtype)
        target = planner.through(window, t.shape)
        k, (register,) = planner.settled([v], t.shape, ("store", target))
        planner.steps[k].write("store", planner.cast(k, register, dtype), target)
        planner.written[target.slot] = k
        planner.converted[v] = window
    return planner.converted[v]


def _copied(planner, numbers):
    """The same numbers in memory of their own."""
    shape, dtype = numbers.view.shape, numbers.view.dtype
    window = _own(planner, Origin("copy", planner.line), shape, dtype)
    source, target = planner.through(numbers, shape), planner.through(window, shape)
    k = planner.kernel(shape, [source], ("store", target))
    planner.steps[k].write("store", planner.steps[k].load(source), target)
    planner.reads(source, k)
    planner.written[target.slot] = k
    return window


def _own(planner, origin, shape, dtype):
    """A window on new memory for numbers."""
    strides = tuple(dtype.itemsize * prod(shape[k + 1 :]) for k in range(len(shape)))
    return Window(planner.work(dtype.itemsize * prod(shape), origin), View(shape, strides, dtype), 0, (), 0, None)


# ---- checks ----------------------------------------------------------------------------------------------------------------


def vet(planner, access, shape, extent, line):
    """Have the index numbers in a window checked once, and before a loop if they are there before it."""
    axes = [(n, s) for n, s in zip(squeezed(shape), access.strides, strict=True) if s]
    space, strides = tuple(n for n, _ in axes), tuple(s for _, s in axes)
    _vet(planner, (space, access._replace(strides=strides, line=None), extent), line)


def _vet(planner, what, line):
    space, access, extent = what
    if _is_vetted(planner, what):
        return
    if planner.repeated and _from_outside(planner, access):
        _vet(planner.outer, what, line)
        return
    planner.check(Bounds((space, access), extent, line), access)
    planner.vets.add((what, planner.version.get(access.slot, 0)))


def _is_vetted(planner, what):
    """Whether this block has checked it already, or one around it."""
    if (what, planner.version.get(what[1].slot, 0)) in planner.vets:
        return True
    return _from_outside(planner, what[1]) and _is_vetted(planner.outer, what)


def _from_outside(planner, access):
    """Whether a window is in memory that a body reads and does not write."""
    return planner.outer is not None and not access.moving and access.slot not in planner.mine | planner.carried
