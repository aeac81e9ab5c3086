"""Products that are no contraction, traces, and convolution."""

import warnings

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from sparsead.ops.structural import broadcast_shape

from . import _primitives as prim
from ._registry import composite, method
from ._shared import as_dtype, conjugate
from .views import moveaxis

# -- traces


@composite()
@method()
def trace(a, offset=0, axis1=0, axis2=1, dtype=None, out=None):
    """Sum along diagonals of two axes."""
    return np.add.reduce(prim.diagonal(prim.as_array(a), offset, axis1, axis2), axis=-1, dtype=dtype, out=out)


@composite("linalg.trace")
def linalg_trace(x, /, *, offset=0, dtype=None):
    """Sum along diagonals of the last two axes."""
    return trace(x, offset, -2, -1, dtype)


# -- elementwise products in a larger space


@composite()
def kron(a, b):
    """Kronecker product: products of all pairs of elements, in blocks."""
    a, b = prim.as_array(a), prim.as_array(b)
    ndim = max(a.ndim, b.ndim)
    shape_a, shape_b = ((1,) * (ndim - x.ndim) + x.shape for x in (a, b))
    if not ndim or not a.ndim or not b.ndim:
        return np.multiply(a, b)
    a = a.reshape(tuple(n for m in shape_a for n in (m, 1)))
    b = b.reshape(tuple(n for m in shape_b for n in (1, m)))
    return np.multiply(a, b).reshape(tuple(m * n for m, n in zip(shape_a, shape_b, strict=True)))


@composite()
def vander(x, N=None, increasing=False):
    """Powers of the elements as columns of a matrix, from the highest down by default."""
    x = prim.as_array(x)
    if x.ndim != 1:
        raise ValueError(f"vander(): x must be a vector, got shape {x.shape}")
    n = x.size if N is None else N
    out = prim.empty((x.size, n), np.promote_types(x.dtype, int))
    powers = out if increasing else out[:, ::-1]
    if n > 0:
        powers[:, 0] = 1
    for k in range(1, n):
        powers[:, k] = powers[:, k - 1] * x if k > 1 else x
    return out


@composite()
def cross(a, b, axisa=-1, axisb=-1, axisc=-1, axis=None):
    """Vector products of vectors of length 3; length 2 is deprecated, as in NumPy."""
    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = _vectors("a", a, axisa), _vectors("b", b, axisb)
    if a.shape[-1] not in (2, 3) or b.shape[-1] not in (2, 3):
        raise ValueError(f"cross(): vectors must have length 2 or 3, got {a.shape[-1]} and {b.shape[-1]}")
    if 2 in (a.shape[-1], b.shape[-1]):
        warnings.warn(
            "Arrays of 2-dimensional vectors are deprecated. Use arrays of 3-dimensional vectors instead.",
            DeprecationWarning,
            stacklevel=2,
        )
    shape = broadcast_shape(a.shape[:-1], b.shape[:-1])
    dtype = np.promote_types(a.dtype, b.dtype)
    if a.shape[-1] == b.shape[-1] == 2:
        out = prim.empty(shape, dtype)
        out[...] = _minor(a, b, 0, 1)
        return out
    axisc = normalize_axis_index(axisc, len(shape) + 1, "axisc")
    out = prim.empty((*shape, 3), dtype)
    for k, (i, j) in enumerate(((1, 2), (2, 0), (0, 1))):
        out[..., k] = _minor(a, b, i, j)
    return moveaxis(out, -1, axisc)


def _vectors(name, x, axis):
    x = prim.as_array(x)
    if x.ndim < 1:
        raise ValueError(f"cross(): {name} has no axes, needs at least 1")
    return moveaxis(x, normalize_axis_index(axis, x.ndim, f"axis{name}"), -1)


def _minor(a, b, i, j):
    """``a[i] b[j] - a[j] b[i]``, where a third component that is missing is zero."""
    if i >= a.shape[-1] or j >= b.shape[-1]:
        return -(a[..., j] * b[..., i])
    first = a[..., i] * b[..., j]
    return first - a[..., j] * b[..., i] if j < a.shape[-1] and i < b.shape[-1] else first


@composite("linalg.cross")
def linalg_cross(x1, x2, /, *, axis=-1):
    """Vector products of vectors of length 3."""
    x1, x2 = prim.as_array(x1), prim.as_array(x2)
    if x1.shape[axis] != 3 or x2.shape[axis] != 3:
        raise ValueError(f"cross(): vectors must have length 3, got {x1.shape[axis]} and {x2.shape[axis]}")
    return cross(x1, x2, axis=axis)


# -- convolution


@composite()
def convolve(a, v, mode="full"):
    """Convolution of two vectors, in O(n m) operations and O(n + m) memory (see `correlate`)."""
    a, v = (prim.as_array(x) for x in (a, v))
    a, v = (x.reshape(1) if x.ndim == 0 else x for x in (a, v))
    if not a.size or not v.size:
        raise ValueError(f"convolve(): {'a' if not a.size else 'v'} is empty")
    a, v = (v, a) if v.size > a.size else (a, v)
    return _slide("convolve", a, v[::-1], mode)


@composite()
def correlate(a, v, mode="valid"):
    """Correlation of two vectors: one contraction of the windows of the padded longer one, a view, with the other.

    It costs O(n m) operations and O(n + m) memory, in either sweep; values agree with NumPy's to rounding.
    """
    a, v = (prim.as_array(x) for x in (a, v))
    a, v = (x.reshape(1) if x.ndim == 0 else x for x in (a, v))
    if not a.size or not v.size:
        raise ValueError(f"correlate(): {'a' if not a.size else 'v'} is empty")
    if v.size <= a.size:
        return _slide("correlate", a, conjugate(v), mode)
    return _slide("correlate", conjugate(v), a, mode)[::-1].copy()


def _slide(function, long, short, mode):
    """Products with `short` placed wherever the mode wants it on `long`."""
    if long.ndim != 1 or short.ndim != 1:
        raise ValueError(f"{function}(): arguments must be vectors, got shapes {long.shape} and {short.shape}")
    if mode not in ("full", "same", "valid"):
        raise ValueError(f'{function}(): mode must be "full", "same" or "valid", got {mode!r}')
    m = short.size
    left = {"full": m - 1, "same": m // 2, "valid": 0}[mode]
    right = {"full": m - 1, "same": m - 1 - m // 2, "valid": 0}[mode]
    dtype = np.promote_types(long.dtype, short.dtype)
    padded = long
    if left + right:
        padded = prim.zeros(long.size + left + right, long.dtype)
        padded[left : left + long.size] = long
    result = prim.einsum("ij,j->i", prim.windows(padded, m), short)
    return as_dtype(result, dtype)
