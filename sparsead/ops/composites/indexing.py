"""Taking and putting elements by index, mask or diagonal: gathers, and stores by index.

Masks and indices are inactive. Where NumPy's result depends on the number of true elements, indexing by the mask gives
the shape; everywhere else a masked store is a select over the whole array, whose shape no mask can change.
"""

import math

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from sparsead.ops.structural import broadcast_shape

from . import _primitives as prim
from ._registry import composite, method
from ._shared import (
    along,
    as_dtype,
    at_axis,
    c_ordered,
    deliver,
    is_contiguous,
    one_axis,
    result_type,
    scalar,
)

# -- taking


@composite()
@method()
def take(a, indices, axis=None, out=None, mode="raise"):
    """Elements at `indices` of one axis."""
    a, axis = one_axis(prim.as_array(a), axis)
    indices = _integers("take", indices)
    n = a.shape[axis]
    if not n and indices.size:
        raise IndexError(f"take(): cannot take from axis {axis}, which is empty")
    rows = c_ordered(a[at_axis(axis, _bounded("take", indices.reshape(-1), n, mode))])
    return deliver("take", scalar(rows.reshape(a.shape[:axis] + indices.shape + a.shape[axis + 1 :])), out)


def _integers(function, indices):
    """`indices` as an integer array; an empty list has no dtype of its own."""
    indices = prim.as_array(indices)
    if indices.dtype.kind in "bu" or not indices.size:
        return indices.astype(np.intp)
    if indices.dtype.kind != "i":
        raise TypeError(f"{function}(): indices must be integers, got {indices.dtype}")
    return indices


def _bounded(function, indices, n, mode):
    """Indices into an axis of length `n`, by the mode for those outside."""
    if mode == "wrap":
        return indices % n if n else indices
    if mode == "clip":
        return np.minimum(np.maximum(indices, 0), n - 1)
    if mode != "raise":
        raise ValueError(f'{function}(): mode must be "raise", "wrap" or "clip", got {mode!r}')
    return indices


@composite()
def take_along_axis(arr, indices, axis=-1):
    """For each line along an axis the elements at its own `indices`."""
    arr, axis = one_axis(prim.as_array(arr), axis)
    return arr[_along_axis_index("take_along_axis", arr.shape, prim.as_array(indices), axis)]


@composite()
def put_along_axis(arr, indices, values, axis):
    """Write into each line along an axis at its own `indices`."""
    indices = prim.as_array(indices)
    if axis is None:
        _check_along_axis("put_along_axis", (arr.size,), indices)
        _put_flat(arr, indices, prim.broadcast_to(prim.as_array(values), indices.shape))
        return
    axis = normalize_axis_index(axis, arr.ndim)
    arr[_along_axis_index("put_along_axis", arr.shape, indices, axis)] = prim.as_array(values)


def _along_axis_index(function, shape, indices, axis):
    _check_along_axis(function, shape, indices)
    grid = [prim.arange(n).reshape(along(n, d, len(shape))) for d, n in enumerate(shape)]
    grid[axis] = indices
    return tuple(grid)


def _check_along_axis(function, shape, indices):
    if indices.dtype.kind not in "iu":
        raise IndexError(f"{function}(): indices must be integers, got {indices.dtype}")
    if indices.ndim != len(shape):
        raise ValueError(f"{function}(): indices have shape {indices.shape}, the array {shape}: the axes must match")


@composite()
def compress(condition, a, axis=None, out=None):
    """Slices along an axis for which a vector of booleans is true; the vector may be shorter than the axis."""
    a, axis = one_axis(prim.as_array(a), axis)
    condition = _mask(condition)
    if condition.ndim != 1:
        raise ValueError(f"compress(): condition must be a vector, got shape {condition.shape}")
    n, m = a.shape[axis], condition.shape[0]
    if m > n and bool(np.logical_or.reduce(condition[n:])):
        raise IndexError(f"compress(): condition is true beyond the end of axis {axis} of length {n}")
    kept = a[at_axis(axis, slice(m))] if m < n else a
    return deliver("compress", c_ordered(kept[at_axis(axis, condition[:n])]), out)


@method("compress")
def _compress_method(a, condition, axis=None, out=None):
    return compress(condition, a, axis, out)


@composite()
def extract(condition, arr):
    """Elements of the flattened array where the flattened condition is true."""
    return compress(_mask(condition).ravel(), prim.as_array(arr).ravel(), 0)


def _mask(condition):
    condition = prim.as_array(condition)
    return condition if condition.dtype == bool else condition != 0


# -- choosing


@composite()
@method()
def choose(a, choices, out=None, mode="raise"):
    """Each element from the array that an index names; O(size) for each choice."""
    index = _integers("choose", a)
    choices = _choices(choices if isinstance(choices, list | tuple) else list(choices))
    n = len(choices)
    if not n:
        raise ValueError("choose(): needs at least one choice")
    if mode == "raise" and bool(np.logical_or.reduce((index < 0) | (index >= n), axis=None)):
        raise ValueError(f"choose(): an index lies outside 0 to {n - 1}")
    index = _bounded("choose", index, n, mode)
    conditions = [index == k for k in range(n - 1)]
    return deliver("choose", scalar(_select(conditions, choices, [index, *choices])), out)


@composite()
def select(condlist, choicelist, default=0):
    """Each element from the first array whose condition is true."""
    if len(condlist) != len(choicelist) or not len(condlist):
        raise ValueError(f"select(): got {len(condlist)} conditions and {len(choicelist)} choices, needs pairs of them")
    conditions = [prim.as_array(c) for c in condlist]
    for k, condition in enumerate(conditions):
        if condition.dtype != bool:
            raise TypeError(f"select(): condition {k} must be boolean, got {condition.dtype}")
    choices = _choices((*choicelist, default))
    return _select(conditions, choices, conditions + choices)


def _choices(given):
    """Arrays to choose from; Python numbers stay, for they take the dtype of the others."""
    return [c if prim.is_weak(c) else prim.as_array(c) for c in given]


def _select(conditions, choices, shaped):
    """New array of the first choice whose condition holds, else of the last choice."""
    dtype = result_type(*choices)
    result = choices[-1]
    for condition, choice in zip(conditions[::-1], choices[-2::-1], strict=True):
        result = prim.where(condition, choice, result)
    out = prim.empty(broadcast_shape(*(prim.shape(x) for x in shaped)), dtype)
    out[...] = result
    return out


# -- diagonals and triangles


@composite()
def diag(v, k=0):
    """Matrix with a given diagonal, or the diagonal of a matrix as a read-only view."""
    v = prim.as_array(v)
    if v.ndim not in (1, 2):
        raise ValueError(f"diag(): v has {v.ndim} axes, needs 1 or 2")
    return prim.diagonal(v, k) if v.ndim == 2 else diagflat(v, k)


@composite()
def diagflat(v, k=0):
    """Matrix with the flattened array on a diagonal: one store into zeros."""
    v = prim.as_array(v).ravel()
    n = v.size + abs(k)
    out = prim.zeros((n, n), v.dtype)
    first = k if k >= 0 else -k * n
    out.reshape(-1)[first : first + v.size * (n + 1) : n + 1] = v
    return out


@composite()
def tril(m, k=0):
    """Lower triangle of the last two axes, zeros above."""
    m = prim.as_array(m)
    return prim.where(_lower("tril", m.shape, k), m, m.dtype.type(0))


@composite()
def triu(m, k=0):
    """Upper triangle of the last two axes, zeros below."""
    m = prim.as_array(m)
    return prim.where(_lower("triu", m.shape, k - 1), m.dtype.type(0), m)


def _lower(function, shape, k):
    if not shape:
        raise TypeError(f"{function}(): m has no axes, needs at least 1")
    rows, columns = shape[-2:] if len(shape) > 1 else (shape[0], shape[0])
    return prim.arange(rows)[:, None] >= prim.arange(columns) - k


@composite()
def fill_diagonal(a, val, wrap=False):
    """Write `val` (repeated or cut to length) on the main diagonal."""
    if a.ndim < 2:
        raise ValueError(f"fill_diagonal(): a has {a.ndim} axes, needs at least 2")
    if a.ndim > 2 and len(set(a.shape)) > 1:
        raise ValueError(f"fill_diagonal(): all axes must have the same length, got {a.shape}")
    step = 1 + sum(math.prod(a.shape[d:]) for d in range(1, a.ndim))
    end = min(a.size, a.shape[1] ** 2) if a.ndim == 2 and not wrap else a.size
    places = prim.arange(0, end, step)
    _put_flat(a, places, _repeated(val, places.size))


# -- putting


@composite()
def copyto(dst, src, casting="same_kind", where=True):
    """Write `src` into `dst`, where a mask is true."""
    source = result_type(dst.dtype, src) if prim.is_weak(src) else prim.dtype(src)
    if not np.can_cast(source, dst.dtype, casting):
        raise TypeError(f"copyto(): cannot cast {source} to {dst.dtype} by casting={casting!r}")
    src = prim.as_array(src)
    dst[...] = src if where is True else prim.where(prim.as_array(where), as_dtype(src, dst.dtype), dst)


@composite()
def putmask(a, /, mask, values):
    """Write ``values[k % len(values)]`` to the flat position k where the mask is true."""
    mask = _flat_mask("putmask", mask, a)
    values = as_dtype(prim.as_array(values), a.dtype)
    if values.size:
        repeated = _repeated(values, a.size)
        a[...] = prim.where(mask, repeated.reshape(a.shape) if repeated.ndim else repeated, a)


@composite()
def place(arr, mask, vals):
    """Write the first elements of `vals`, repeated if need be, where the mask is true."""
    mask = _flat_mask("place", mask, arr)
    vals = as_dtype(prim.as_array(vals), arr.dtype).ravel()
    if vals.size:
        order = np.add.accumulate(mask.ravel(), dtype=np.intp) - 1  # how many are true so far; no shape depends on it
        arr[...] = prim.where(mask, vals[np.maximum(order, 0) % vals.size].reshape(arr.shape), arr)
    elif bool(np.logical_or.reduce(mask, axis=None)):
        raise ValueError("place(): cannot insert from an empty array")


@composite()
def put(a, ind, v, mode="raise"):
    """Write values (repeated or cut to length) to flat positions; of repeated positions the last wins."""
    ind = _bounded("put", _integers("put", ind).ravel(), a.size, mode)
    v = prim.as_array(v)
    if ind.size and v.size:
        _put_flat(a, ind, _repeated(v, ind.size))


@method("put")
def _put_method(a, indices, values, mode="raise"):
    put(a, indices, values, mode)


@method("fill")
def _fill_method(a, value):
    a[...] = value


def _flat_mask(function, mask, a):
    """`mask` in the shape of `a`: only their numbers of elements need agree."""
    mask = _mask(mask)
    if mask.size != a.size:
        raise ValueError(f"{function}(): mask of shape {mask.shape} and array of shape {a.shape} differ in size")
    return mask.reshape(a.shape)


def _repeated(values, n):
    """The flattened values, repeated or cut to length `n`; a single one as it is."""
    values = prim.as_array(values).ravel()
    if values.size == 1:
        return values.reshape(())
    return values[:n] if values.size >= n else values[prim.arange(n) % values.size]


def _put_flat(a, places, values):
    """Store by positions in C order, through a view where memory allows."""
    if a.ndim == 1:
        a[places] = values
    elif is_contiguous(a):
        a.reshape(-1)[places] = values
    else:
        a[_unravel(places, a.shape)] = values


def _unravel(places, shape):
    """Index arrays of flat positions. Only the first can be out of bounds, and is just when the position is."""
    index = []
    for n in shape[:0:-1]:
        index.append(places % n)
        places = places // n
    return (places, *index[::-1])
