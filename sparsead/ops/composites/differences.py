"""Differences, quadrature and phase unwrapping along an axis: views, subtractions and stores. Bits are NumPy's."""

import math

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from . import _primitives as prim
from ._registry import NOVALUE, composite
from ._shared import along, at_axis, is_inexact, result_type
from .joining import concatenate


@composite()
def diff(a, n=1, axis=-1, prepend=NOVALUE, append=NOVALUE):
    """Differences of neighbours, `n` times over."""
    if n == 0:
        return a
    if n < 0:
        raise ValueError(f"diff(): order must be non-negative, got {n}")
    a = prim.as_array(a)
    if a.ndim == 0:
        raise ValueError("diff(): a has no axes, needs at least 1")
    axis = normalize_axis_index(axis, a.ndim)
    ends = [_end(x, a, axis) for x in (prepend, append)]
    a = concatenate([*ends[0], a, *ends[1]], axis) if any(ends) else a
    subtract = np.not_equal if a.dtype == bool else np.subtract
    for _ in range(n):
        a = subtract(*_neighbours(a, axis))
    return a


def _end(x, a, axis):
    if x is NOVALUE:
        return []
    x = prim.as_array(x)
    return [x if x.ndim else prim.broadcast_to(x, (*a.shape[:axis], 1, *a.shape[axis + 1 :]))]


def _neighbours(a, axis):
    """Each element's successor, and each element that has one."""
    return a[at_axis(axis, slice(1, None))], a[at_axis(axis, slice(None, -1))]


@composite()
def ediff1d(ary, to_end=None, to_begin=None):
    """Differences of the flattened array, between given ends."""
    ary = prim.as_array(ary).ravel()
    if to_end is None and to_begin is None:
        return np.subtract(*_neighbours(ary, 0))
    begin, end = (_flat_end(x, name, ary.dtype) for x, name in ((to_begin, "to_begin"), (to_end, "to_end")))
    first, count = len(begin), max(ary.size - 1, 0)
    out = prim.empty(first + count + len(end), ary.dtype)
    out[:first] = begin
    out[first + count :] = end
    after, before = _neighbours(ary, 0)
    np.subtract(after, before, out=out[first : first + count])
    return out


def _flat_end(x, name, dtype):
    if x is None:
        return ()
    x = prim.as_array(x).ravel()
    if not np.can_cast(x.dtype, dtype, "same_kind"):
        raise TypeError(f"ediff1d(): cannot cast {name} of {x.dtype} to {dtype}")
    return x


# -- gradient


@composite()
def gradient(f, *varargs, axis=None, edge_order=1):
    """Second-order central differences inside, one-sided ones of `edge_order` at the ends.

    Coordinates through which a derivative flows take the formula for uneven spacing even where they are even, because
    the formula for even spacing depends on the first interval only. Its value differs in the last bits.
    """
    f = prim.as_array(f)
    axes = range(f.ndim) if axis is None else normalize_axis_tuple(axis, f.ndim)
    spacings = _spacings(f, varargs, axes)
    if edge_order > 2:
        raise ValueError(f"gradient(): edge_order must be 1 or 2, got {edge_order}")
    f = f if is_inexact(f) else f.astype(np.float64)
    results = tuple(_slope(f, d, h, edge_order) for d, h in zip(axes, spacings, strict=True))
    return results[0] if len(results) == 1 else results


def _spacings(f, given, axes):
    """For each axis a number, or the lengths of its intervals."""
    if not given:
        return [1.0] * len(axes)
    if len(given) == 1 and prim.shape(given[0]) == ():
        return list(given) * len(axes)
    if len(given) != len(axes):
        raise TypeError(f"gradient(): got {len(given)} spacings for {len(axes)} axes")
    return [_spacing(h, f.shape[d]) for h, d in zip(given, axes, strict=True)]


def _spacing(h, n):
    if prim.shape(h) == ():
        return h
    x = prim.as_array(h)
    if x.ndim != 1:
        raise ValueError(f"gradient(): spacings must be scalars or vectors, got shape {x.shape}")
    if x.size != n:
        raise ValueError(f"gradient(): got {x.size} coordinates for an axis of length {n}")
    steps = diff(x.astype(np.float64) if x.dtype.kind in "iu" else x)
    even = not prim.is_active(steps) and bool(np.logical_and.reduce(steps == steps[0]))
    return steps[0] if even else steps


def _slope(f, axis, h, edge_order):
    if f.shape[axis] < edge_order + 1:
        raise ValueError(f"gradient(): axis {axis} of length {f.shape[axis]} is too short for edge_order={edge_order}")

    def part(index):
        return f[at_axis(axis, index)]

    out = prim.empty_like(f)
    even = prim.shape(h) == ()
    before, here, after = part(slice(None, -2)), part(slice(1, -1)), part(slice(2, None))
    if even:
        out[at_axis(axis, slice(1, -1))] = (after - before) / (2.0 * h)
    else:
        a, b, c = (w.reshape(along(f.shape[axis] - 2, axis, f.ndim)) for w in _central_weights(h[:-1], h[1:]))
        out[at_axis(axis, slice(1, -1))] = a * before + b * here + c * after
    if edge_order == 1:
        out[at_axis(axis, 0)] = (part(1) - part(0)) / (h if even else h[0])
        out[at_axis(axis, -1)] = (part(-1) - part(-2)) / (h if even else h[-1])
        return out
    a, b, c = (-1.5 / h, 2.0 / h, -0.5 / h) if even else _first_weights(h[0], h[1])
    out[at_axis(axis, 0)] = a * part(0) + b * part(1) + c * part(2)
    a, b, c = (0.5 / h, -2.0 / h, 1.5 / h) if even else _last_weights(h[-2], h[-1])
    out[at_axis(axis, -1)] = a * part(-3) + b * part(-2) + c * part(-1)
    return out


# Weights of three points with intervals p and q between them, for the derivative at the second, first and last one:
# the derivatives of the Lagrange basis polynomials (Fornberg, Math. Comp. 51, 1988).


def _central_weights(p, q):
    return -(q) / (p * (p + q)), (q - p) / (p * q), p / (q * (p + q))


def _first_weights(p, q):
    return -(2.0 * p + q) / (p * (p + q)), (p + q) / (p * q), -p / (q * (p + q))


def _last_weights(p, q):
    return q / (p * (p + q)), -(q + p) / (p * q), (2.0 * q + p) / (q * (p + q))


# -- quadrature


@composite()
def trapezoid(y, x=None, dx=1.0, axis=-1):
    """Integral by the trapezoidal rule."""
    y = prim.as_array(y)
    axis = normalize_axis_index(axis, y.ndim)
    width = dx
    if x is not None:
        x = prim.as_array(x)
        width = diff(x, axis=-1 if x.ndim == 1 else axis - y.ndim)
        width = width.reshape(along(width.size, axis, y.ndim)) if x.ndim == 1 else width
    after, before = _neighbours(y, axis)
    return np.add.reduce(width * (after + before) / 2.0, axis=axis)


# -- phases


@composite()
def unwrap(p, discont=None, axis=-1, *, period=2 * math.pi):
    """Phases without jumps. The correction is locally constant, so the derivative is that of `p`."""
    p = prim.as_array(p)
    axis = normalize_axis_index(axis, p.ndim)
    step = prim.stop_gradient(diff(p, axis=axis))
    discont = period / 2 if discont is None else discont
    out = prim.empty_like(p, result_type(step, period))
    out[...] = p
    integer = out.dtype.kind in "iu"
    half = period // 2 if integer else period / 2
    wrapped = np.mod(step + half, period) - half
    if not (integer and period % 2):  # a jump of exactly half a period keeps its sign
        wrapped = prim.where((wrapped == -half) & (step > 0), half, wrapped)
    correction = prim.where(np.absolute(step) < discont, 0, wrapped - step)
    later = at_axis(axis, slice(1, None))
    out[later] = p[later] + np.add.accumulate(correction, axis=axis)
    return out
