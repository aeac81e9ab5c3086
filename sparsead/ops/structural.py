"""Ops on memory: inputs, constants, and the loads and stores that in-place code is made of.

Law: ``store(x, view, v)`` is `x` with the elements of `view` replaced; nothing on a tape is ever overwritten. The
engines may work in place because a storage version is ended by one op only (see `sparsead.transform.linearize`).
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from sparsead.tape._memory import blank, laid_out, window
from sparsead.tape.spec import GuardFailed, Op, View, register


def storage(array, vtype):
    """`array` in the memory layout that its type declares, so that byte offsets mean the same everywhere."""
    return laid_out(array, vtype.shape, vtype.strides, vtype.dtype)


def flat(array, vtype):
    """The memory of a value as a 1-D array."""
    return window(storage(array, vtype), 0, (vtype.size,), (vtype.dtype.itemsize,), vtype.dtype)


@lru_cache(maxsize=4096)
def injective(view):
    """Whether no two elements of `view` share memory (sufficient test: axes nest by stride)."""
    return nested(view.shape, view.strides, view.dtype.itemsize)


def nested(shape, strides, width):
    """Whether each axis steps over all that the axes of smaller strides reach, and the smallest over `width` bytes."""
    for n, stride in sorted(((n, abs(s)) for n, s in zip(shape, strides, strict=True)), key=lambda p: p[1]):
        if n > 1:
            if stride < width:
                return False
            width = stride * n
    return True


def broadcast_shape(*shapes):
    """``np.broadcast_shapes``, for more than 32 axes, and without the arrays that it makes, which would be on the tape."""
    ndim = max(map(len, shapes), default=0)
    columns = zip(*((1,) * (ndim - len(shape)) + tuple(shape) for shape in shapes), strict=True)
    lengths = [set(column) - {1} for column in columns]
    if any(len(different) > 1 for different in lengths):
        raise ValueError(f"shapes {' and '.join(map(str, shapes))} do not broadcast")
    return tuple(different.pop() if different else 1 for different in lengths)


def positions(view, offset):
    """Element positions of `view` in the memory it looks into, an integer array of the view's shape."""
    item = view.dtype.itemsize
    pos = np.full(view.shape, offset // item, dtype=np.int64)
    for axis, (n, stride) in enumerate(zip(view.shape, view.strides, strict=True)):
        steps = np.arange(n, dtype=np.int64) * (stride // item)
        pos += steps.reshape((n,) + (1,) * (len(view.shape) - axis - 1))
    return pos


def _zeros(arrays, op, types):
    (t,) = types
    zeros = blank(t.shape, t.strides, t.dtype)
    zeros[...] = 0
    return (zeros,)


def _empty(arrays, op, types):
    # NaN, not garbage: a read of undefined memory must not look like a number.
    (t,) = types
    empty = blank(t.shape, t.strides, t.dtype)
    if t.inexact:
        empty[...] = math.nan
    return (empty,)


def _load(arrays, op, types):
    view = op.attr
    return (window(arrays[0], op.imm, view.shape, view.strides, view.dtype),)


def assign(target, v):
    """``target[...] = v``, where NumPy (2.4) mixes up elements of one-dimensional arrays that overlap with unlike strides."""
    target[...] = v.copy() if np.may_share_memory(target, v) else v


def _store(arrays, op, types):
    x, v = arrays
    view = op.attr
    assign(window(x, op.imm, view.shape, view.strides, view.dtype), v)
    return (x,)


def _accumulate(arrays, op, types):
    x, v = arrays
    view = op.attr
    if injective(view):
        target = window(x, op.imm, view.shape, view.strides, view.dtype)
        target += v
    else:
        _accumulate_overlapping(x, v, view, op.imm)
    return (x,)


def _accumulate_overlapping(x, v, view, offset):
    repeated = tuple(k for k, stride in enumerate(view.strides) if stride == 0 and view.shape[k] != 1)
    v = np.add.reduce(v, axis=repeated)
    keep = [k for k in range(len(view.shape)) if k not in repeated]
    rest = View(tuple(view.shape[k] for k in keep), tuple(view.strides[k] for k in keep), view.dtype)
    if injective(rest):
        target = window(x, offset, rest.shape, rest.strides, rest.dtype)
        target += v
        return
    memory = window(x, 0, (x.size,), (x.dtype.itemsize,), x.dtype)
    np.add.at(memory, positions(rest, offset), v)


def _lanes(array, pos, lanes):
    """Memory of `array` as (lanes, rest) or (rest,): gathers address the memory of one lane."""
    size = array.size
    memory = window(array, 0, (size,), (array.dtype.itemsize,), array.dtype)
    return memory.reshape(lanes, size // lanes) if lanes else memory


def _by_lane(v, pos, lanes):
    return np.reshape(v, (lanes, *np.shape(pos))) if lanes else v


def _gather(arrays, op, types):
    x, pos = arrays
    pos = np.asarray(pos)  # an array, if only of one number: a number would give a view, not a copy
    return (_lanes(x, pos, op.imm)[..., pos].reshape(types[0].shape),)


def _scatter(arrays, op, types):
    x, pos, v = arrays
    _lanes(x, pos, op.imm)[..., pos] = _by_lane(v, pos, op.imm)
    return (x,)


def _scatter_add(arrays, op, types):
    x, pos, v = arrays
    memory = _lanes(x, pos, op.imm)
    if op.imm:
        for lane, part in zip(memory, _by_lane(v, pos, op.imm), strict=True):
            np.add.at(lane, pos, part)
    else:
        np.add.at(memory, pos, v)
    return (x,)


def _copy(arrays, op, types):
    (t,) = types
    copy = blank(t.shape, t.strides, t.dtype)
    copy[...] = arrays[0]
    return (copy,)


def _cast(arrays, op, types):
    x, (t,) = np.asarray(arrays[0]), types
    if x.dtype.kind == "c" != t.dtype.kind:  # NumPy warns of what it drops, when the tape is traced
        x = x.real
    with np.errstate(all="ignore"):
        return (x.astype(t.dtype),)


def _guard(arrays, op, types):
    value = arrays[0][()] if isinstance(arrays[0], np.ndarray) else arrays[0]
    if value != op.attr and not (value != value and op.attr != op.attr):
        raise GuardFailed(f"a branch at {op.line} took {value!r} where the trace saw {op.attr!r}")
    return ()


def _never(arrays, op, types):
    raise AssertionError(f"{op.op.name} is not run, it is given")


INPUT = register(Op("input", 0, _never, keep=True))
CONST = register(Op("const", 1, _never))
ZEROS = register(Op("zeros", 2, _zeros))
EMPTY = register(Op("empty", 3, _empty))
LOAD = register(Op("load", 4, _load))
STORE = register(Op("store", 5, _store, consumes=True))
ACCUMULATE = register(Op("accumulate", 6, _accumulate, consumes=True))
GATHER = register(Op("gather", 7, _gather))
SCATTER = register(Op("scatter", 8, _scatter, consumes=True))
SCATTER_ADD = register(Op("scatter_add", 9, _scatter_add, consumes=True))
COPY = register(Op("copy", 10, _copy))
CAST = register(Op("cast", 11, _cast))
GUARD = register(Op("guard", 12, _guard, keep=True))
