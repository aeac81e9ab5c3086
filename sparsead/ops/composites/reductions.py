"""Reductions and scans: ``reduce`` and ``accumulate`` of ufuncs, and quotients of them. Bits are NumPy's.

A NaN that is skipped, and an element that a mask leaves out, contribute exactly zero to derivatives.
"""

import math
import warnings

import numpy as np

from . import _primitives as prim
from ._registry import NOVALUE, composite, method
from ._shared import at_axis, axis_tuple, deliver, one_axis, safe_power, square_modulus
from .joining import concatenate


def reduced(ufunc, a, axis, dtype=None, out=None, keepdims=NOVALUE, initial=NOVALUE, where=NOVALUE):
    given = {"keepdims": keepdims, "initial": initial, "where": where}
    options = {name: value for name, value in given.items() if value is not NOVALUE}
    return ufunc.reduce(prim.as_array(a), axis=axis, dtype=dtype, out=out, **options)


# -- one ufunc


@composite()
@method()
def sum(a, axis=None, dtype=None, out=None, keepdims=NOVALUE, initial=NOVALUE, where=NOVALUE):
    """Sum over axes."""
    return reduced(np.add, a, axis, dtype, out, keepdims, initial, where)


@composite()
@method()
def prod(a, axis=None, dtype=None, out=None, keepdims=NOVALUE, initial=NOVALUE, where=NOVALUE):
    """Product over axes."""
    return reduced(np.multiply, a, axis, dtype, out, keepdims, initial, where)


@composite("max", "amax")
@method("max")
def amax(a, axis=None, out=None, keepdims=NOVALUE, initial=NOVALUE, where=NOVALUE):
    """Maximum over axes; ties share the derivative."""
    return reduced(np.maximum, a, axis, None, out, keepdims, initial, where)


@composite("min", "amin")
@method("min")
def amin(a, axis=None, out=None, keepdims=NOVALUE, initial=NOVALUE, where=NOVALUE):
    """Minimum over axes; ties share the derivative."""
    return reduced(np.minimum, a, axis, None, out, keepdims, initial, where)


@composite()
def ptp(a, axis=None, out=None, keepdims=NOVALUE):
    """Maximum minus minimum over axes."""
    return np.subtract(amax(a, axis, keepdims=keepdims), amin(a, axis, keepdims=keepdims), out=out)


@composite()
@method()
def all(a, axis=None, out=None, keepdims=NOVALUE, *, where=NOVALUE):
    """Whether all elements over axes are true."""
    return reduced(np.logical_and, a, axis, None, out, keepdims, where=where)


@composite()
@method()
def any(a, axis=None, out=None, keepdims=NOVALUE, *, where=NOVALUE):
    """Whether any element over axes is true."""
    return reduced(np.logical_or, a, axis, None, out, keepdims, where=where)


@composite()
def count_nonzero(a, axis=None, *, keepdims=False):
    """Number of elements over axes that are not zero."""
    return np.add.reduce(prim.as_array(a) != 0, axis=axis, dtype=np.intp, keepdims=keepdims)


@composite()
@method()
def argmax(a, axis=None, out=None, *, keepdims=False):
    """Index of the first maximum."""
    return deliver("argmax", prim.argmax(prim.as_array(a), axis, keepdims), out)


@composite()
@method()
def argmin(a, axis=None, out=None, *, keepdims=False):
    """Index of the first minimum."""
    return deliver("argmin", prim.argmin(prim.as_array(a), axis, keepdims), out)


# -- scans


@composite()
@method()
def cumsum(a, axis=None, dtype=None, out=None):
    """Sums of the elements so far, of the flattened array by default."""
    a, axis = one_axis(prim.as_array(a), axis)
    return np.add.accumulate(a, axis=axis, dtype=dtype, out=out)


@composite()
@method()
def cumprod(a, axis=None, dtype=None, out=None):
    """Products of the elements so far, of the flattened array by default."""
    a, axis = one_axis(prim.as_array(a), axis)
    return np.multiply.accumulate(a, axis=axis, dtype=dtype, out=out)


@composite()
def cumulative_sum(x, /, *, axis=None, dtype=None, out=None, include_initial=False):
    """Sums of the elements so far, with a zero in front if asked for."""
    return _cumulative("cumulative_sum", np.add, x, axis, dtype, out, include_initial)


@composite()
def cumulative_prod(x, /, *, axis=None, dtype=None, out=None, include_initial=False):
    """Products of the elements so far, with a one in front if asked for."""
    return _cumulative("cumulative_prod", np.multiply, x, axis, dtype, out, include_initial)


def _cumulative(function, ufunc, x, axis, dtype, out, include_initial):
    x = prim.as_array(x)
    if axis is None and x.ndim > 1:
        raise ValueError(f"{function}(): x has {x.ndim} axes, give one")
    x, axis = one_axis(x, 0 if axis is None else axis)
    if not include_initial:
        return ufunc.accumulate(x, axis=axis, dtype=dtype, out=out)
    if out is not None:
        out[at_axis(axis, 0)] = ufunc.identity
        ufunc.accumulate(x, axis=axis, dtype=dtype, out=out[at_axis(axis, slice(1, None))])
        return out
    scan = ufunc.accumulate(x, axis=axis, dtype=dtype)
    first = prim.full((*x.shape[:axis], 1, *x.shape[axis + 1 :]), ufunc.identity, scan.dtype)
    return concatenate((first, scan), axis)


# -- mean and variance


@composite()
@method()
def mean(a, axis=None, dtype=None, out=None, keepdims=NOVALUE, *, where=NOVALUE):
    """Mean over axes. Of more than 2**24 float32 the last bit may differ, the count being rounded to float32."""
    a = prim.as_array(a)
    count = element_count(a, axis, keepdims, where)
    if isinstance(count, int) and count == 0:
        warnings.warn("Mean of empty slice", RuntimeWarning, stacklevel=2)
    half = dtype is None and a.dtype == np.float16  # is summed in float32
    total = sum(a, axis, np.float32 if half else _float_dtype(a, dtype), out, keepdims, where=where)
    result = quotient(total, count, out)
    return prim.as_array(result).astype(np.float16)[()] if half and out is None else result


def _float_dtype(a, dtype):
    """float64 for sums of integers that are to be divided."""
    return np.dtype(np.float64) if dtype is None and a.dtype.kind in "biu" else dtype


def element_count(a, axis, keepdims, where):
    """Number of elements in each sum: an int, or with a mask an array."""
    if where is NOVALUE or where is True:
        return math.prod(a.shape[d] for d in axis_tuple(axis, a.ndim))
    mask = prim.broadcast_to(prim.as_array(where), a.shape)
    return reduced(np.add, mask, axis, np.intp, None, keepdims)


def quotient(total, count, out=None):
    """``total / count`` in the dtype of the total."""
    if out is not None:
        return np.true_divide(total, count, out=out, casting="unsafe")
    result, dtype = np.true_divide(total, count), prim.dtype(total)
    return result if prim.dtype(result) == dtype else prim.as_array(result).astype(dtype)[()]


@composite()
@method()
def var(
    a, axis=None, dtype=None, out=None, ddof=0, keepdims=NOVALUE, *, where=NOVALUE, mean=NOVALUE, correction=NOVALUE
):
    """Variance over axes, by the mean and then the deviations from it."""
    a, ddof = prim.as_array(a), one_correction("var", ddof, correction)
    count = element_count(a, axis, True, where)
    _warn_if_few(count, ddof)
    dtype = _float_dtype(a, dtype)
    if mean is NOVALUE:
        mean = quotient(sum(a, axis, dtype, None, True, where=where), count)
    square = square_modulus(_masked(np.subtract(a, mean), where))
    total = sum(square, axis, dtype, out, keepdims, where=where)
    return quotient(total, _freedom(a, axis, keepdims, where, ddof), out)


@composite()
@method()
def std(
    a, axis=None, dtype=None, out=None, ddof=0, keepdims=NOVALUE, *, where=NOVALUE, mean=NOVALUE, correction=NOVALUE
):
    """Standard deviation over axes; its derivative where it is 0 is 0."""
    variance = var(a, axis, dtype, out, ddof, keepdims, where=where, mean=mean, correction=correction)
    return deliver("std", safe_power(variance, np.sqrt), out)


def one_correction(function, ddof, correction):
    if correction is NOVALUE:
        return ddof
    if ddof != 0:
        raise ValueError(f"{function}(): give ddof or correction, not both")
    return correction


def _warn_if_few(count, ddof):
    if isinstance(count, int) and count <= ddof:
        warnings.warn("Degrees of freedom <= 0 for slice", RuntimeWarning, stacklevel=3)


def _freedom(a, axis, keepdims, where, ddof):
    count = element_count(a, axis, keepdims, where)
    return max(count - ddof, 0) if isinstance(count, int) else np.maximum(count - ddof, 0)


def _masked(x, where):
    """Zero where a mask leaves out: squared later, what stands there could make NaN of a zero derivative."""
    return x if where is NOVALUE or where is True else prim.where(where, x, 0)


@composite()
def average(a, axis=None, weights=None, returned=False, *, keepdims=NOVALUE):
    """Weighted mean over axes."""
    a = prim.as_array(a)
    if weights is None:
        result = mean(a, axis, keepdims=keepdims)
        count = element_count(a, axis, keepdims, NOVALUE)
        total = prim.full(prim.shape(result), count, prim.dtype(result))[()] if returned else None
    else:
        weights = _aligned_weights(prim.as_array(weights), a, axis)
        dtype = np.result_type(a.dtype, weights.dtype, *(["f8"] if a.dtype.kind in "biu" else []))
        total = sum(weights, axis, dtype, None, keepdims)
        if bool(np.logical_or.reduce(total == 0.0, axis=None)):
            raise ZeroDivisionError("average(): weights sum to zero, cannot be normalized")
        result = sum(np.multiply(a, weights, dtype=dtype), axis, None, None, keepdims) / total
        if returned and prim.shape(total) != prim.shape(result):
            total = prim.broadcast_to(total, prim.shape(result)).copy()
    return (result, total) if returned else result


def _aligned_weights(weights, a, axis):
    """Weights of the shape of `a`; one number for each element along `axis` is extended over the others."""
    if weights.shape == a.shape:
        return weights
    if axis is None:
        raise TypeError(f"average(): weights of shape {weights.shape} do not match a of shape {a.shape}: give axis")
    axes = axis_tuple(axis, a.ndim)
    if weights.shape != tuple(a.shape[d] for d in axes):
        raise ValueError(f"average(): weights of shape {weights.shape} do not match a of shape {a.shape} along {axis}")
    order = sorted(range(len(axes)), key=axes.__getitem__)
    return weights.transpose(*order).reshape(tuple(n if d in axes else 1 for d, n in enumerate(a.shape)))
