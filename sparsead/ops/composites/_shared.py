"""Axes, memory layouts and results: what several families of composites need.

What is known beforehand (axes, places, shapes) is computed without NumPy's creation functions and without those of its
functions that call them: while a trace runs, these make arrays of the tape.

Layouts matter although values do not depend on them: whether ``reshape`` of a result is a view or a copy, and so what a
later store writes to, follows from its strides. A composite therefore returns the strides that NumPy returns.
"""

import math

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from . import _primitives as prim

# -- axes


def at_axis(axis, index):
    """Index expression that applies `index` to one axis (counted from the front) and takes the others whole."""
    return (slice(None),) * axis + (index,)


def axis_tuple(axis, ndim):
    """All axes for None, else `axis` as a tuple of distinct non-negative numbers."""
    return tuple(range(ndim)) if axis is None else normalize_axis_tuple(axis, ndim)


def one_axis(a, axis):
    """(array, axis) with None meaning the flattened array, and a 0-d array taken as one element."""
    if axis is None:
        return a.ravel(), 0
    a = a.reshape(1) if a.ndim == 0 else a
    return a, normalize_axis_index(axis, a.ndim)


def along(vector_length, axis, ndim):
    """Shape of a vector that broadcasts along `axis` of an array with `ndim` axes."""
    return (1,) * axis + (vector_length,) + (1,) * (ndim - axis - 1)


def kept_shape(shape, axes):
    """`shape` with the reduced `axes` kept as length one."""
    return tuple(1 if d in axes else n for d, n in enumerate(shape))


def merge_axes(a, axis):
    """`a` with the axes of a reduction merged into one, which lies last in memory and is the first of the result."""
    if axis is None:
        return a.ravel()
    axes = axis_tuple(axis, a.ndim)
    rest = [d for d in range(a.ndim) if d not in axes]
    moved = a.transpose(*rest, *sorted(axes))
    if len(axes) != 1:
        moved = moved.reshape(*(a.shape[d] for d in rest), math.prod(a.shape[d] for d in axes))
    return moved.transpose(len(rest), *range(len(rest)))


# -- memory layouts


def is_contiguous(a, order="C"):
    """Whether `a` fills a block of memory in `order`; axes of length one do not count."""
    axes = range(a.ndim - 1, -1, -1) if order == "C" else range(a.ndim)
    expected = a.dtype.itemsize
    for d in axes:
        if a.shape[d] > 1 and prim.strides(a)[d] != expected and a.size:
            return False
        expected *= a.shape[d]
    return True


def layout_order(a):
    """"F" for a Fortran-ordered array of several axes, else "C"."""
    return "F" if is_contiguous(a, "F") and not is_contiguous(a) else "C"


def c_ordered(a):
    """`a`, copied if it is not C-contiguous; scalars as they are."""
    return a if not a.ndim or is_contiguous(a) else a.copy("C")


def zeros_like(prototype):
    """Zeros of the shape, dtype and memory layout of an array."""
    out = prim.empty_like(prototype)
    out[...] = 0
    return out


def with_layout_of(prototype, value):
    """The C-contiguous `value`, brought into the memory layout that ``empty_like(prototype)`` has."""
    if is_contiguous(prototype):
        return value
    out = prim.empty_like(prototype, value.dtype)
    out[...] = value
    return out


def empty_joint(arrays, shape, dtype):
    """New array whose axes lie in memory in the order of the `arrays` that it is made of.

    NumPy's rule for ``concatenate``: stable insertion by descending strides, C order where arrays contradict.
    """
    order = []
    for axis in range(len(shape)):
        position = place = len(order)
        while position > 0:
            verdict = _lies_outside(axis, order[position - 1], arrays)
            if verdict is False:
                break
            position -= 1
            place = position if verdict else place
        order.insert(place, axis)
    memory = prim.empty(tuple(shape[d] for d in order), dtype)
    return memory if order == sorted(order) else memory.transpose(*(order.index(d) for d in range(len(shape))))


def _lies_outside(axis, other, arrays):
    """Whether `axis` has the larger strides in all arrays that can tell; None if none can."""
    votes = [
        abs(prim.strides(a)[axis]) > abs(prim.strides(a)[other])
        for a in arrays
        if a.shape[axis] != 1 and a.shape[other] != 1
    ]
    return all(votes) if votes else None


# -- results


def deliver(function, value, out):
    """`value`, stored into `out` if the caller gave one."""
    if out is None:
        return value
    if prim.shape(value) != out.shape:
        raise ValueError(f"{function}(): out has shape {out.shape}, the result has {prim.shape(value)}")
    if not np.can_cast(prim.dtype(value), out.dtype, "same_kind"):
        raise TypeError(f"{function}(): cannot cast {prim.dtype(value)} to out of dtype {out.dtype}")
    out[...] = value
    return out


def scalar(a):
    """A 0-d array as the scalar that NumPy returns in its place; scalars, which need not have an index, as they are."""
    return a[()] if a.ndim == 0 and hasattr(a, "__getitem__") else a


def as_dtype(a, dtype):
    """`a` if it has the dtype, else a copy that has it."""
    return a if a.dtype == dtype else a.astype(dtype)


def result_type(*args):
    """``np.result_type`` of arrays, dtypes and Python numbers; those take the dtype of the others."""
    return np.result_type(*(a if prim.is_weak(a) or isinstance(a, np.dtype | type) else prim.dtype(a) for a in args))


def is_inexact(a):
    """Whether `a` has a floating or complex dtype."""
    return np.issubdtype(a.dtype, np.inexact)


def conjugate(a):
    """``conj`` of complex arrays; real ones as they are."""
    return np.conjugate(a) if a.dtype.kind == "c" else a


def square_modulus(x):
    """``|x|**2``, real."""
    return np.square(x.real) + np.square(x.imag) if x.dtype.kind == "c" else np.square(x)


def safe_power(base, ufunc, *exponent):
    """``sqrt`` or ``power`` of values >= 0, with derivative 0 instead of infinity where the value is 0.

    The predicate sits on the ufunc: selecting afterwards would still multiply 0 by infinity in reverse.
    """
    out = zeros_like(base)
    ufunc(base, *exponent, out=out, where=base != 0)
    return scalar(out)
