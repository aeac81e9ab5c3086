"""Norms of ``numpy.linalg``: reductions. The derivative of a norm at zero is zero, by predicated roots."""

import math

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from . import _primitives as prim
from ._registry import composite
from ._shared import axis_tuple, is_inexact, kept_shape, merge_axes, safe_power, square_modulus
from .reductions import amax, amin, sum


@composite("linalg.norm")
def norm(x, ord=None, axis=None, keepdims=False):
    """Norm of vectors or matrices, those by singular values excepted. Rounding differs from NumPy's."""
    x = prim.as_array(x)
    x = x if is_inexact(x) else x.astype(np.float64)
    whole = axis is None and (ord is None or (ord in ("f", "fro") and x.ndim == 2) or (ord == 2 and x.ndim == 1))
    axes = tuple(range(x.ndim)) if axis is None else axis if isinstance(axis, tuple) else (_integer(axis),)
    if whole or len(axes) == 1:
        if not whole:
            normalize_axis_index(axes[0], x.ndim)
        return _vector_norm(x, ord if not whole else 2, axes, keepdims)
    if len(axes) != 2:
        raise ValueError(f"norm(): axis must name one axis or two, got {axes}")
    row_axis, col_axis = (normalize_axis_index(d, x.ndim) for d in axes)
    return _matrix_norm(x, ord, row_axis, col_axis, keepdims)


def _integer(axis):
    try:
        return int(axis)
    except (TypeError, ValueError):
        raise TypeError(f"norm(): axis must be None, an integer or a tuple of integers, got {axis!r}") from None


def _vector_norm(x, ord, axes, keepdims):
    if isinstance(ord, str):
        raise ValueError(f"norm(): invalid order {ord!r} for vectors")
    if ord is None or ord == 2:
        return safe_power(sum(square_modulus(x), axes, keepdims=keepdims), np.sqrt)
    if ord == 0:
        return sum((x != 0).astype(x.real.dtype), axes, keepdims=keepdims)
    modulus = np.absolute(x)
    if ord == 1:
        return sum(modulus, axes, keepdims=keepdims)
    if ord == math.inf:
        return amax(modulus, axes, keepdims=keepdims, initial=0)
    if ord == -math.inf:
        return amin(modulus, axes, keepdims=keepdims)
    total = sum(modulus**ord, axes, keepdims=keepdims)
    # For ord < 0 a total of 0 means infinite elements, and the root is infinite.
    return safe_power(total, np.power, 1.0 / ord) if ord > 0 else total ** (1.0 / ord)


def _matrix_norm(x, ord, row_axis, col_axis, keepdims):
    if row_axis == col_axis:
        raise ValueError("norm(): duplicate axes given")
    if ord in (None, "f", "fro"):
        return safe_power(sum(square_modulus(x), (row_axis, col_axis), keepdims=keepdims), np.sqrt)
    if ord in (2, -2, "nuc"):
        raise TypeError(f"norm() of traced matrices does not support ord={ord!r}; take the norm of np.linalg.svd")
    if ord not in (1, -1, math.inf, -math.inf):
        raise ValueError(f"norm(): invalid order {ord!r} for matrices")
    inner = row_axis if abs(ord) == 1 else col_axis
    lengths = sum(np.absolute(x), inner, keepdims=True)
    axes = (row_axis, col_axis)
    return amax(lengths, axes, keepdims=keepdims, initial=0) if ord > 0 else amin(lengths, axes, keepdims=keepdims)


@composite("linalg.vector_norm")
def vector_norm(x, /, *, axis=None, keepdims=False, ord=2):
    """Norm of vectors that lie along one or several axes."""
    x = prim.as_array(x)
    x = x if is_inexact(x) else x.astype(np.float64)
    result = _vector_norm(merge_axes(x, axis), ord, (0,), False)
    return prim.as_array(result).reshape(kept_shape(x.shape, axis_tuple(axis, x.ndim))) if keepdims else result


@composite("linalg.matrix_norm")
def matrix_norm(x, /, *, keepdims=False, ord="fro"):
    """Norm of the matrices in the last two axes."""
    return norm(x, ord, (-2, -1), keepdims)
