"""The primitives that composites are made of, besides ufuncs, operators, indexing and methods of arrays.

Every composite calls them through this module at call time (``prim.empty(...)``). Here they are NumPy's own; the tracer
puts its versions in their place while it records. That is the whole coupling between composites and tracing, and it is
why a composite can be tested on plain arrays against the function that it stands for.
"""

import numpy as np
from numpy import arange
from numpy.lib.stride_tricks import sliding_window_view

__all__ = [
    "arange", "argmax", "argmin", "as_array", "broadcast_to", "det", "diagonal", "dtype", "einsum", "empty",
    "empty_like", "full", "inv", "is_active", "is_weak", "logabsdet", "searchsorted", "shape", "sign_of_det", "solve",
    "sort_indices", "static", "stop_gradient", "strides", "where", "windows", "zeros",
]  # fmt: skip


# -- what an argument is


def as_array(a):
    """`a` itself if it is an array, else the array that its scalars and nested lists make."""
    return np.asarray(a)


def static(a):
    """Concrete array of numbers that decide shapes (widths, sections, repeats): a guard if they are traced."""
    return np.asarray(a)


def shape(a):
    """Shape of an array, a scalar or nested lists."""
    return a.shape if hasattr(a, "shape") else as_array(a).shape


def dtype(a):
    """Dtype of an array, a scalar or nested lists."""
    return a.dtype if hasattr(a, "dtype") else as_array(a).dtype


def strides(a):
    """Strides of an array in bytes: they decide whether a later ``reshape`` is a view."""
    return a.strides


def is_weak(a):
    """Whether `a` takes the dtype of its partner (NEP 50): a Python number."""
    return type(a) in (int, float, complex)


def is_active(a):
    """Whether a derivative flows through `a`; never in plain NumPy."""
    return False


# -- new arrays


def empty(shape, dtype=np.float64, order="C"):
    """``np.empty``."""
    return np.empty(shape, dtype, order)


def empty_like(prototype, dtype=None, shape=None):
    """``np.empty_like`` with order "K"."""
    return np.empty_like(prototype, dtype=dtype, shape=shape, subok=False)


def zeros(shape, dtype=np.float64):
    """``np.zeros``."""
    return np.zeros(shape, dtype)


def full(shape, fill_value, dtype):
    """``np.full``."""
    return np.full(shape, fill_value, dtype)


# -- views


def broadcast_to(a, shape):
    """``np.broadcast_to``: a read-only view."""
    return np.broadcast_to(a, shape)


def diagonal(a, offset=0, axis1=0, axis2=1, writeable=False):
    """``np.diagonal``: a read-only view, or one as writeable as `a`."""
    view = a.diagonal(offset, axis1, axis2)
    if writeable and a.flags.writeable:
        view.flags.writeable = True
    return view


def windows(a, length):
    """All windows of `length` neighbours of a vector, as the rows of a read-only view that overlaps itself."""
    return sliding_window_view(a, length)


# -- values


def where(condition, x, y):
    """``np.where`` of three arguments; the side not taken contributes exactly zero to a derivative."""
    return np.where(condition, x, y)


def einsum(subscripts, *operands):
    """``np.einsum`` with explicit output and no ellipsis; a label has one length in all operands."""
    return np.einsum(subscripts, *operands)


def solve(a, b):
    """``np.linalg.solve`` of stacks of matrices with equal leading axes and dtype."""
    return np.linalg.solve(a, b)


def inv(a):
    """``np.linalg.inv``."""
    return np.linalg.inv(a)


def det(a):
    """``np.linalg.det``."""
    return np.linalg.det(a)


def logabsdet(a):
    """The logarithm of ``np.linalg.slogdet``."""
    return np.linalg.slogdet(a)[1]


def stop_gradient(a):
    """The value of `a`, as a constant."""
    return a


# -- values without derivative


def sort_indices(a, axis=-1, kind=None, stable=None):
    """``np.argsort``."""
    return np.argsort(a, axis=axis, kind=kind, stable=stable)


def sign_of_det(a):
    """The sign of ``np.linalg.slogdet``."""
    return np.linalg.slogdet(a)[0]


def argmax(a, axis=None, keepdims=False):
    """``np.argmax``."""
    return np.argmax(a, axis=axis, keepdims=keepdims)


def argmin(a, axis=None, keepdims=False):
    """``np.argmin``."""
    return np.argmin(a, axis=axis, keepdims=keepdims)


def searchsorted(a, v, side="left", sorter=None):
    """``np.searchsorted``."""
    return np.searchsorted(a, v, side=side, sorter=sorter)
