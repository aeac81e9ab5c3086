"""Joining and moving: an empty array and stores, one for each part. Bits and strides are NumPy's.

Adjoint: each store hands the part of the shadow that it wrote on to its source, O(elements moved) in all.
"""

import itertools
import math
import operator

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from sparsead.ops.structural import broadcast_shape

from . import _primitives as prim
from ._registry import composite, method
from ._shared import at_axis, c_ordered, empty_joint, layout_order, one_axis
from .views import atleast_1d, atleast_2d, atleast_3d

# -- joining


@composite("concatenate", "concat")
def concatenate(arrays, /, axis=0, out=None, *, dtype=None, casting="same_kind"):
    """Arrays joined along an existing axis."""
    arrays = _operands("concatenate", arrays)
    if axis is None:
        arrays, axis = [a.ravel() for a in arrays], 0
    axis = _check_joinable(arrays, axis)
    ends = list(itertools.accumulate(a.shape[axis] for a in arrays))
    shape = (*arrays[0].shape[:axis], ends[-1], *arrays[0].shape[axis + 1 :])
    out = _destination("concatenate", arrays, shape, out, dtype, casting)
    for a, end in zip(arrays, ends, strict=True):
        out[at_axis(axis, slice(end - a.shape[axis], end))] = a
    return out


def _operands(function, arrays):
    if not hasattr(arrays, "__len__"):
        raise TypeError(f"{function}(): arrays must be a sequence of arrays, got {type(arrays).__name__}")
    arrays = [prim.as_array(a) for a in arrays]
    if not arrays:
        raise ValueError(f"{function}(): needs at least one array")
    return arrays


def _check_joinable(arrays, axis):
    """The axis counted from the front, if the arrays agree in all others."""
    first = arrays[0]
    if any(a.ndim == 0 for a in arrays):
        raise ValueError("concatenate(): arrays without axes cannot be joined; use stack()")
    axis = normalize_axis_index(axis, first.ndim)
    for k, a in enumerate(arrays):
        if a.ndim != first.ndim or _with_length(a, axis, 0) != _with_length(first, axis, 0):
            raise ValueError(f"concatenate(): along axis {axis} array {k} of shape {a.shape} does not fit")
    return axis


def _destination(function, arrays, shape, out, dtype, casting):
    """`out` if it fits, else a new array of the dtype and the memory layout that NumPy gives."""
    if out is not None and dtype is not None:
        raise TypeError(f"{function}(): give out or dtype, not both")
    if out is not None and out.shape != shape:
        raise ValueError(f"{function}(): out has shape {out.shape}, the result has {shape}")
    target = np.dtype(dtype) if dtype is not None else None if out is None else out.dtype
    target = np.result_type(*(a.dtype for a in arrays)) if target is None else target
    for a in arrays:
        if not np.can_cast(a.dtype, target, casting):
            raise TypeError(f"{function}(): cannot cast {a.dtype} to {target} by casting={casting!r}")
    return empty_joint(arrays, shape, target) if out is None else out


@composite()
def stack(arrays, axis=0, out=None, *, dtype=None, casting="same_kind"):
    """Arrays of one shape joined along a new axis."""
    arrays = _operands("stack", arrays)
    if len({a.shape for a in arrays}) > 1:
        raise ValueError(f"stack(): all arrays must have the same shape, got {[a.shape for a in arrays]}")
    axis = normalize_axis_index(axis, arrays[0].ndim + 1)
    return concatenate([a[at_axis(axis, None)] for a in arrays], axis, out, dtype=dtype, casting=casting)


@composite()
def hstack(tup, *, dtype=None, casting="same_kind"):
    """Arrays joined along axis 1, vectors along axis 0."""
    arrays = [atleast_1d(a) for a in _operands("hstack", tup)]
    return concatenate(arrays, 0 if arrays[0].ndim == 1 else 1, dtype=dtype, casting=casting)


@composite("vstack", "row_stack")
def vstack(tup, *, dtype=None, casting="same_kind"):
    """Arrays joined along axis 0, vectors as rows."""
    return concatenate([atleast_2d(a) for a in _operands("vstack", tup)], 0, dtype=dtype, casting=casting)


@composite()
def dstack(tup):
    """Arrays joined along axis 2, extended to three axes."""
    return concatenate([atleast_3d(a) for a in _operands("dstack", tup)], 2)


@composite()
def column_stack(tup):
    """Arrays joined along axis 1, vectors as columns."""
    return concatenate([atleast_2d(a).T if a.ndim < 2 else a for a in _operands("column_stack", tup)], 1)


@composite()
def append(arr, values, axis=None):
    """`values` after the end of `arr`."""
    arr, values = prim.as_array(arr), prim.as_array(values)
    return concatenate((arr.ravel(), values.ravel())) if axis is None else concatenate((arr, values), axis)


# -- blocks


@composite()
def block(arrays):
    """An array from nested lists of blocks, the innermost lists along the last axis."""
    depth = _list_depth(arrays)
    leaves = list(_leaves(arrays, depth))
    ndim = max(depth, *(a.ndim for a in leaves))
    if depth == 0:
        return leaves[0].copy("C")
    shape, placed = _arrange(arrays, depth, ndim)
    out = empty_joint([a for a, _ in placed], shape, np.result_type(*(a.dtype for a in leaves)))
    for a, corner in placed:
        out[tuple(slice(c, c + n) for c, n in zip(corner, a.shape, strict=True))] = a
    return out


def _list_depth(arrays):
    """Depth of the nested lists, the same at every leaf."""
    if isinstance(arrays, tuple):
        raise TypeError("block(): arrange blocks in lists; a tuple is ambiguous")
    if not isinstance(arrays, list):
        return 0
    if not arrays:
        raise ValueError("block(): lists of blocks must not be empty")
    depths = {_list_depth(a) for a in arrays}
    if len(depths) > 1:
        raise ValueError(f"block(): lists are nested to different depths {sorted(depths)}")
    return 1 + depths.pop()


def _leaves(arrays, depth):
    if depth == 0:
        return [prim.as_array(arrays)]
    return itertools.chain.from_iterable(_leaves(a, depth - 1) for a in arrays)


def _arrange(arrays, depth, ndim):
    """Shape that nested blocks fill, and their leaves with the corners where each begins."""
    if depth == 0:
        leaf = prim.as_array(arrays)
        leaf = leaf.reshape((1,) * (ndim - leaf.ndim) + leaf.shape)
        return leaf.shape, [(leaf, (0,) * ndim)]
    axis = ndim - depth
    parts = [_arrange(a, depth - 1, ndim) for a in arrays]
    if len({shape[:axis] + shape[axis + 1 :] for shape, _ in parts}) > 1:
        raise ValueError(f"block(): along axis {axis} blocks of shapes {[s for s, _ in parts]} do not fit")
    placed, end = [], 0
    for shape, leaves in parts:
        placed += [(leaf, (*corner[:axis], corner[axis] + end, *corner[axis + 1 :])) for leaf, corner in leaves]
        end += shape[axis]
    return (*parts[0][0][:axis], end, *parts[0][0][axis + 1 :]), placed


# -- inserting and deleting


@composite()
def insert(arr, obj, values, axis=None):
    """`values` in front of given places."""
    arr = prim.as_array(arr)
    order = layout_order(arr)
    arr, axis = _line("insert", arr, axis)
    n = arr.shape[axis]
    places = _places("insert", obj, n)
    if places.size == 1:
        return _insert_one(arr, places, values, axis, order)
    places = places + n * (places < 0)
    sorting = places.argsort(kind="stable")
    places[sorting] += prim.arange(places.size)
    new = prim.empty(_with_length(arr, axis, n + places.size), arr.dtype, order)
    old = prim.arange(n + places.size) >= 0
    old[places] = False
    new[at_axis(axis, places)] = prim.as_array(values)
    new[at_axis(axis, prim.arange(n + places.size)[old])] = arr
    return new


def _line(function, arr, axis):
    """`arr` and an axis of it; flattened for None."""
    if axis is None:
        return arr.ravel(), 0
    return arr, normalize_axis_index(axis, arr.ndim)


def _with_length(arr, axis, n):
    return (*arr.shape[:axis], n, *arr.shape[axis + 1 :])


def _places(function, obj, n):
    """Positions that an int, a slice, a list or a mask means, as integers of their own; negative ones as they are."""
    if isinstance(obj, slice):
        return prim.arange(n)[obj].copy()
    given = prim.static(obj)
    if given.ndim > 1:
        raise ValueError(f"{function}(): obj must have at most one axis, got {given.ndim}")
    if given.dtype == bool:
        if given.ndim != 1:
            raise ValueError(f"{function}(): a mask must have one axis")
        return given.nonzero()[0]
    return given.astype(np.intp) if given.size == 0 and not hasattr(obj, "dtype") else given.copy()


def _insert_one(arr, places, values, axis, order):
    n, place = arr.shape[axis], operator.index(places.reshape(-1)[0])
    if not -n <= place <= n:
        raise IndexError(f"insert(): index {place} is out of bounds for axis {axis} of length {n}")
    place += n * (place < 0)
    values = prim.as_array(values)
    values = values.reshape((1,) * (arr.ndim - values.ndim) + values.shape)
    if places.ndim == 0:  # a[:, 0, :] = values, with the values' own first axis for the new elements
        values = values.transpose(*range(1, axis + 1), 0, *range(axis + 1, values.ndim))
    count = values.shape[axis]
    new = prim.empty(_with_length(arr, axis, n + count), arr.dtype, order)
    new[at_axis(axis, slice(None, place))] = arr[at_axis(axis, slice(None, place))]
    new[at_axis(axis, slice(place, place + count))] = values
    new[at_axis(axis, slice(place + count, None))] = arr[at_axis(axis, slice(place, None))]
    return new


@composite()
def delete(arr, obj, axis=None):
    """Without the elements at given places."""
    arr = prim.as_array(arr)
    order = layout_order(arr)
    arr, axis = _line("delete", arr, axis)
    n = arr.shape[axis]
    gone = prim.arange(n) < 0
    gone[_deleted(obj, n, axis)] = True
    runs = _runs(~gone)
    if not isinstance(obj, slice) and prim.static(obj).size != 1:  # NumPy gathers here, with the strides of a gather
        return arr[at_axis(axis, prim.arange(n)[~gone])]
    new = prim.empty(_with_length(arr, axis, n - int(gone.sum())), arr.dtype, order)
    for start, stop, to in runs:
        new[at_axis(axis, slice(to, to + stop - start))] = arr[at_axis(axis, slice(start, stop))]
    return new


def _deleted(obj, n, axis):
    """Index expression of what to delete from a vector of length `n`."""
    if isinstance(obj, slice):
        return obj
    places = prim.static(obj)
    if places.dtype == bool and places.shape != (n,):
        raise ValueError(f"delete(): a mask must have shape ({n},), got {places.shape}")
    return places.astype(np.intp) if places.size == 0 and not hasattr(obj, "dtype") else places


def _runs(kept):
    """(start, stop, place in the result) of each run of neighbours that stay."""
    changes = (kept[1:] != kept[:-1]).nonzero()[0] + 1
    runs, place = [], 0
    for start, stop in itertools.pairwise([0, *changes.tolist(), kept.size]):
        if start < stop and kept[start]:
            runs.append((start, stop, place))
            place += stop - start
    return runs


# -- moving and repeating


@composite()
def roll(a, shift, axis=None):
    """Elements shifted along axes, those that leave entering at the other end."""
    a = prim.as_array(a)
    if axis is None:
        return roll(a.ravel(), shift, 0).reshape(a.shape)
    axes = normalize_axis_tuple(axis, a.ndim, allow_duplicate=True)
    shifts = prim.static(shift)
    if shifts.ndim > 1:
        raise ValueError(f"roll(): shift must be a scalar or a vector, got shape {shifts.shape}")
    (count,) = broadcast_shape(shifts.reshape(-1).shape, (len(axes),))
    total = [0] * a.ndim
    for k in range(count):
        total[axes[k % len(axes)]] += int(shifts.reshape(-1)[k % shifts.size])
    out = prim.empty_like(a)
    for pieces in itertools.product(*(_rolled(n, step) for n, step in zip(a.shape, total, strict=True))):
        source, target = zip(*pieces, strict=True) if pieces else ((), ())
        out[target] = a[source]
    return out


def _rolled(n, shift):
    """(source, target) of the one or two pieces into which a shift cuts an axis."""
    k = shift % n if n else 0
    if k == 0:
        return [(slice(None), slice(None))]
    return [(slice(None, n - k), slice(k, None)), (slice(n - k, None), slice(None, k))]


@composite()
def tile(A, reps):
    """`A` repeated as a whole along each axis: one store of a broadcast view."""
    A = prim.as_array(A)
    reps = prim.static(reps).reshape(-1).tolist()
    ndim = max(A.ndim, len(reps))
    lengths = (1,) * (ndim - A.ndim) + A.shape
    reps = (1,) * (ndim - len(reps)) + tuple(operator.index(r) for r in reps)
    if all(r == 1 for r in reps):
        return A.reshape(lengths).copy("K")
    A = A.reshape(tuple(m for n in lengths for m in (1, n)))
    out = prim.empty(tuple(m for pair in zip(reps, lengths, strict=True) for m in pair), A.dtype)
    out[...] = A
    return out.reshape(tuple(r * n for r, n in zip(reps, lengths, strict=True)))


@composite()
@method()
def repeat(a, repeats, axis=None):
    """Each element repeated in its place: one store for a scalar `repeats`, else a gather."""
    a, axis = one_axis(prim.as_array(a), axis)
    repeats, n = prim.static(repeats), a.shape[axis]
    if not np.can_cast(repeats.dtype, np.intp, "safe"):
        raise TypeError(f"repeat(): repeats must be integers, got {repeats.dtype}")
    if repeats.ndim > 1 or repeats.size not in (1, n):
        raise ValueError(f"repeat(): repeats has shape {repeats.shape}, axis {axis} has length {n}")
    if (repeats < 0).any():
        raise ValueError("repeat(): repeats may not contain negative values")
    if repeats.size != 1:
        return c_ordered(a[at_axis(axis, prim.arange(n).repeat(repeats))])
    count = int(repeats.reshape(-1)[0])
    out = prim.empty((*a.shape[: axis + 1], count, *a.shape[axis + 1 :]), a.dtype)
    out[...] = a[at_axis(axis + 1, None)]
    return out.reshape(_with_length(a, axis, n * count))


@composite()
def resize(a, new_shape):
    """Another shape, filled with the elements of `a` as often as needed."""
    shape = tuple(prim.static(new_shape).reshape(-1).tolist())
    if any(n < 0 for n in shape):
        raise ValueError(f"resize(): lengths must not be negative, got {shape}")
    a, size = prim.as_array(a).ravel(), math.prod(shape)
    if not a.size or not size:
        return prim.zeros(shape, a.dtype)
    return concatenate((a,) * -(-size // a.size))[:size].reshape(shape)
