"""Functions of each element that are no ufuncs, and interpolation in a table."""

import math
import operator

import numpy as np

from . import _primitives as prim
from ._registry import NOVALUE, composite, method, unsupported
from ._shared import as_dtype, deliver, is_inexact, scalar, zeros_like
from .joining import concatenate

# -- clipping and rounding


@composite()
def clip(a, a_min=NOVALUE, a_max=NOVALUE, out=None, *, min=NOVALUE, max=NOVALUE, **kwargs):
    """Values limited to an interval; at a bound the derivative is shared, as maximum and minimum share ties."""
    if (a_min is NOVALUE) != (a_max is NOVALUE):
        raise TypeError(f"clip(): {'a_min' if a_min is NOVALUE else 'a_max'} is missing")
    if a_min is NOVALUE:
        a_min, a_max = (None if bound is NOVALUE else bound for bound in (min, max))
    elif min is not NOVALUE or max is not NOVALUE:
        raise ValueError("clip(): give a_min and a_max or min and max, not both")
    return _clip_method(a, a_min, a_max, out, **kwargs)


@method("clip")
def _clip_method(a, min=None, max=None, out=None, **kwargs):
    for keyword in kwargs:
        raise unsupported("clip", keyword, "use np.minimum and np.maximum")
    a = prim.as_array(a)
    lower, upper = _bound(min, a.dtype, operator.le, "min"), _bound(max, a.dtype, operator.ge, "max")
    if lower is None and upper is None:
        return np.positive(a, out=out)
    if upper is None:
        return np.maximum(a, lower, out=out)
    if lower is None:
        return np.minimum(a, upper, out=out)
    return np.minimum(np.maximum(a, lower), upper, out=out)


def _bound(bound, dtype, beyond, end):
    """`bound` as an operand; None if a Python integer beyond the end of the dtype, which bounds nothing."""
    if bound is None or (type(bound) is int and dtype.kind in "iu" and beyond(bound, getattr(np.iinfo(dtype), end))):
        return None
    return bound if prim.is_weak(bound) else prim.as_array(bound)


@composite("round", "around")
@method("round")
def round(a, decimals=0, out=None):
    """Rounded to decimals, half to even: piecewise constant, derivative 0."""
    a = prim.as_array(a)
    if a.dtype.kind in "biu" and decimals >= 0:
        return deliver("round", scalar(a.copy("K")), out)
    if decimals == 0:
        return np.rint(a, out=out)
    scale, unscale = (np.multiply, np.divide) if decimals > 0 else (np.divide, np.multiply)
    factor = 10.0 ** abs(decimals)
    result = unscale(np.rint(scale(a, factor)), factor, out=out)
    return result if is_inexact(a) or out is not None else scalar(prim.as_array(result).astype(a.dtype))


@composite()
def fix(x, out=None):
    """Rounded towards zero: piecewise constant, derivative 0."""
    return np.trunc(prim.as_array(x), out=out)


@composite()
def nan_to_num(x, copy=True, nan=0.0, posinf=None, neginf=None):
    """NaN and infinities replaced by numbers, where the derivative is then 0."""
    a = prim.as_array(x)
    if a.dtype.kind == "c":
        raise TypeError("nan_to_num() of traced arrays does not support complex x; treat x.real and x.imag")
    result = a
    if is_inexact(a):
        largest = float(np.finfo(a.dtype).max)
        for value, where in (
            (nan, np.isnan(a)),
            (largest if posinf is None else posinf, np.equal(a, math.inf)),
            (-largest if neginf is None else neginf, np.equal(a, -math.inf)),
        ):
            result = prim.where(where, value, result)
    if not copy:
        a[...] = result
        return scalar(a)
    return scalar(a.copy("K") if result is a else as_dtype(prim.as_array(result), a.dtype))


# -- special functions


@composite()
def sinc(x):
    """``sin(pi x) / (pi x)``; near 0 by its Taylor series, whose derivatives do not cancel.

    Within one unit in the last place of NumPy's value; derivatives hold to order 2 and beyond.
    """
    y = np.multiply(math.pi, prim.as_array(x))
    near = np.absolute(y) < 0.25
    square = np.square(prim.where(near, y, 0.0))
    series = 1.0
    for k in range(15, 1, -2):  # the first term left out is 0.25**16 / 17! < 1e-24
        series = 1.0 - square / (k * (k - 1)) * series
    away = prim.where(near, 1.0, y)
    return scalar(prim.where(near, series, np.sin(away) / away))


@composite()
def angle(z, deg=False):
    """Argument of complex numbers; of real ones 0 or pi, locally constant."""
    z = prim.as_array(z)
    a = np.arctan2(z.imag, z.real) if z.dtype.kind == "c" else np.arctan2(0, prim.stop_gradient(z))
    return a * (180 / math.pi) if deg else a


@composite()
def polyval(p, x):
    """Polynomial with coefficients from the highest power down, by Horner's rule."""
    p, x = prim.as_array(p), prim.as_array(x)
    y = zeros_like(x)
    for k in range(p.shape[0]):
        y = y * x + p[k]
    return y


# -- interpolation


@composite()
def interp(x, xp, fp, left=None, right=None, period=None):
    """Piecewise linear interpolation, differentiable by `x`, `xp` and `fp`.

    At a node the derivative by `x` is that of the interval to the right, outside of the nodes it is 0.
    """
    x, xp, fp = (prim.as_array(a) for a in (x, xp, fp))
    if xp.ndim != 1 or fp.ndim != 1:
        raise ValueError(f"interp(): xp and fp must be vectors, got shapes {xp.shape} and {fp.shape}")
    if xp.shape != fp.shape:
        raise ValueError(f"interp(): xp of length {xp.size} and fp of length {fp.size} must be equally long")
    if not xp.size:
        raise ValueError("interp(): xp and fp are empty")
    if "c" in (x.dtype.kind, xp.dtype.kind):
        raise TypeError(f"interp(): x and xp must be real, got {x.dtype} and {xp.dtype}")
    x, xp, fp = (as_dtype(a, np.promote_types(a.dtype, np.float64)) for a in (x, xp, fp))
    if period is not None:
        x, xp, fp = _unrolled(x, xp, fp, period)
        left = right = None
    left, right = (fp[0] if left is None else left), (fp[-1] if right is None else right)
    inside = _segments(x, xp, fp) if xp.size > 1 else fp[0]
    inside = prim.where(x == xp[-1], fp[-1], inside)
    result = prim.where(x < xp[0], left, prim.where(x > xp[-1], right, inside))
    return scalar(prim.where(np.isnan(x), x, result))


def _unrolled(x, xp, fp, period):
    """Arguments of one period, with a node more on either side."""
    if period == 0:
        raise ValueError("interp(): period must not be zero")
    period = np.absolute(period)
    x, xp = x % period, xp % period
    order = prim.sort_indices(xp)
    xp, fp = xp[order], fp[order]
    xp = concatenate((xp[-1:] - period, xp, xp[:1] + period))
    return x, xp, concatenate((fp[-1:], fp, fp[:1]))


def _segments(x, xp, fp):
    """Value at `x` on the line through the two nodes around it."""
    k = np.minimum(np.maximum(prim.searchsorted(xp, x, "right") - 1, 0), xp.size - 2)
    x0, x1, f0, f1 = xp[k], xp[k + 1], fp[k], fp[k + 1]
    slope = (f1 - f0) / (x1 - x0)
    return slope * (x - x0) + f0
