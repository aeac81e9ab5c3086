"""Reductions and scans that skip NaN: the NaN become what the reduction ignores, with derivative zero.

Unlike NumPy's they do not warn of lines without any number: that would make a guard of the data.
"""

import math

import numpy as np

from . import _primitives as prim
from ._registry import NOVALUE, composite
from ._shared import as_dtype, deliver, is_inexact, safe_power, scalar, square_modulus
from .reductions import amax, amin, cumprod, cumsum, mean, one_correction, prod, quotient, reduced, sum, var


def _without_nan(a, value):
    """`a` with `value` in place of NaN, and the mask of these; None if the dtype has no NaN."""
    a = prim.as_array(a)
    if not is_inexact(a):
        return a, None
    mask = np.isnan(a)
    return prim.where(mask, a.dtype.type(value), a), mask


@composite()
def nansum(a, axis=None, dtype=None, out=None, keepdims=NOVALUE, initial=NOVALUE, where=NOVALUE):
    """Sum over axes, NaN as 0."""
    return sum(_without_nan(a, 0)[0], axis, dtype, out, keepdims, initial, where)


@composite()
def nanprod(a, axis=None, dtype=None, out=None, keepdims=NOVALUE, initial=NOVALUE, where=NOVALUE):
    """Product over axes, NaN as 1."""
    return prod(_without_nan(a, 1)[0], axis, dtype, out, keepdims, initial, where)


@composite()
def nancumsum(a, axis=None, dtype=None, out=None):
    """Sums so far, NaN as 0."""
    return cumsum(_without_nan(a, 0)[0], axis, dtype, out)


@composite()
def nancumprod(a, axis=None, dtype=None, out=None):
    """Products so far, NaN as 1."""
    return cumprod(_without_nan(a, 1)[0], axis, dtype, out)


@composite()
def nanmax(a, axis=None, out=None, keepdims=NOVALUE, initial=NOVALUE, where=NOVALUE):
    """Maximum over axes of what is not NaN; NaN where nothing else is."""
    return _extreme("nanmax", amax, -math.inf, a, axis, out, keepdims, initial, where)


@composite()
def nanmin(a, axis=None, out=None, keepdims=NOVALUE, initial=NOVALUE, where=NOVALUE):
    """Minimum over axes of what is not NaN; NaN where nothing else is."""
    return _extreme("nanmin", amin, math.inf, a, axis, out, keepdims, initial, where)


def _extreme(function, reduction, neutral, a, axis, out, keepdims, initial, where):
    numbers, mask = _without_nan(a, neutral)
    result = reduction(numbers, axis, None, keepdims, initial, where)
    if mask is not None and initial is NOVALUE:
        nothing = reduced(np.logical_and, mask, axis, None, None, keepdims, NOVALUE, where)
        result = prim.where(nothing, prim.dtype(result).type(math.nan), result)
    return deliver(function, scalar(result), out)


@composite()
def nanmean(a, axis=None, dtype=None, out=None, keepdims=NOVALUE, *, where=NOVALUE):
    """Mean over axes of what is not NaN."""
    numbers, mask = _without_nan(a, 0)
    if mask is None:
        return mean(numbers, axis, dtype, out, keepdims, where=where)
    _check_inexact("nanmean", dtype, out)
    total = sum(numbers, axis, dtype, out, keepdims, where=where)
    return quotient(total, _present(mask, axis, keepdims, where), out)


@composite()
def nanvar(
    a, axis=None, dtype=None, out=None, ddof=0, keepdims=NOVALUE, *, where=NOVALUE, mean=NOVALUE, correction=NOVALUE
):
    """Variance over axes of what is not NaN; NaN where that is too little."""
    numbers, mask = _without_nan(a, 0)
    if mask is None:
        return var(numbers, axis, dtype, out, ddof, keepdims, where=where, mean=mean, correction=correction)
    _check_inexact("nanvar", dtype, out)
    if mean is NOVALUE:
        mean = quotient(sum(numbers, axis, dtype, None, True, where=where), _present(mask, axis, True, where))
    left_out = mask if where is NOVALUE else mask | ~prim.broadcast_to(prim.as_array(where), mask.shape)
    deviation = as_dtype(prim.as_array(prim.where(left_out, 0, np.subtract(numbers, mean))), numbers.dtype)
    total = sum(square_modulus(deviation), axis, dtype, out, keepdims, where=where)
    freedom = _present(mask, axis, keepdims, where) - one_correction("nanvar", ddof, correction)
    result = prim.where(freedom > 0, quotient(total, freedom), prim.dtype(total).type(math.nan))
    return deliver("nanvar", scalar(result), out)


@composite()
def nanstd(
    a, axis=None, dtype=None, out=None, ddof=0, keepdims=NOVALUE, *, where=NOVALUE, mean=NOVALUE, correction=NOVALUE
):
    """Standard deviation over axes of what is not NaN; its derivative where it is 0 is 0."""
    variance = nanvar(a, axis, dtype, out, ddof, keepdims, where=where, mean=mean, correction=correction)
    return deliver("nanstd", safe_power(variance, np.sqrt), out)


def _present(mask, axis, keepdims, where):
    """Number of elements in each line that are not NaN."""
    return reduced(np.add, ~mask, axis, np.intp, None, keepdims, NOVALUE, where)


def _check_inexact(function, dtype, out):
    for name, given in (("dtype", dtype), ("out", None if out is None else out.dtype)):
        if given is not None and not np.issubdtype(np.dtype(given), np.inexact):
            raise TypeError(f"{function}(): {name} must be floating or complex, got {np.dtype(given)}")
