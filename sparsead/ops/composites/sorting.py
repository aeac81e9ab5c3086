"""Sorting and order statistics: a gather by inactive sort indices.

Where elements are equal, the derivative goes to those that the sort happens to pick (as in JAX).
"""

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from . import _primitives as prim
from ._registry import composite, method, unsupported
from ._shared import axis_tuple, c_ordered, deliver, is_inexact, kept_shape, merge_axes, scalar, with_layout_of
from .indexing import take_along_axis
from .reductions import mean

# -- sorting


@composite()
def sort(a, axis=-1, kind=None, order=None, *, stable=None):
    """Sorted copy. Equal elements may come in another order than NumPy's: zeros of either sign, NaN of any payload."""
    if order is not None:
        raise unsupported("sort", "order", "structured dtypes have no derivative")
    a = prim.as_array(a)
    a, axis = (a.ravel(), 0) if axis is None else (a, normalize_axis_index(axis, a.ndim))
    return with_layout_of(a, take_along_axis(a, prim.sort_indices(a, axis, kind, stable), axis))


@composite()
def partition(a, kth, axis=-1, kind="introselect", order=None):
    """Sorted copy, which is one of the partitions that NumPy may return."""
    a = prim.as_array(a)
    n = a.size if axis is None else a.shape[normalize_axis_index(axis, a.ndim)]
    kth = prim.static(kth)
    if kth.dtype.kind not in "iu":
        raise TypeError(f"partition(): kth must be integers, got {kth.dtype}")
    if kind != "introselect":
        raise ValueError(f'partition(): kind must be "introselect", got {kind!r}')
    if ((kth < -n) | (kth >= n)).any():
        raise ValueError(f"partition(): kth={kth} is out of bounds for length {n}")
    return sort(a, axis, order=order)


@method("sort")
def _sort_method(a, axis=-1, kind=None, order=None, *, stable=None):
    a[...] = sort(a, axis, kind, order, stable=stable)


@method("partition")
def _partition_method(a, kth, axis=-1, kind="introselect", order=None):
    a[...] = partition(a, kth, axis, kind, order)


@composite()
@method()
def argsort(a, axis=-1, kind=None, order=None, *, stable=None):
    """Indices that sort."""
    if order is not None:
        raise unsupported("argsort", "order", "structured dtypes have no derivative")
    return prim.sort_indices(prim.as_array(a), axis, kind, stable)


@composite()
@method()
def searchsorted(a, v, side="left", sorter=None):
    """Places that keep the order."""
    return prim.searchsorted(prim.as_array(a), prim.as_array(v), side, sorter)


@composite()
def digitize(x, bins, right=False):
    """Numbers of the bins that values lie in."""
    x, bins = prim.as_array(x), prim.as_array(bins)
    if x.dtype.kind == "c":
        raise TypeError("digitize(): x may not be complex")
    if bins.ndim != 1:
        raise ValueError(f"digitize(): bins must be a vector, got shape {bins.shape}")
    side = "left" if right else "right"
    if bool(np.logical_and.reduce(bins[1:] >= bins[:-1])):
        return prim.searchsorted(bins, x, side)
    if not bool(np.logical_and.reduce(bins[1:] <= bins[:-1])):
        raise ValueError("digitize(): bins must increase or decrease monotonically")
    return bins.shape[0] - prim.searchsorted(bins[::-1], x, side)


# -- order statistics


@composite()
def median(a, axis=None, out=None, overwrite_input=False, keepdims=False):
    """Middle of the sorted values; `overwrite_input` allows nothing here, the input stays as it is."""
    a = prim.as_array(a)
    ordered = sort(merge_axes(a, axis), 0)
    n = ordered.shape[0]
    result = mean(ordered[max((n - 1) // 2, 0) : n // 2 + 1], 0, None if out is None else out.dtype)
    if n and is_inexact(a):
        result = prim.where(np.isnan(ordered[-1]), ordered[-1], result)  # NaN sorts to the end
    return _reshaped("median", result, (), a, axis, keepdims, out)


@composite()
def quantile(a, q, axis=None, out=None, overwrite_input=False, method="linear", keepdims=False, *, weights=None):
    """Quantiles of values along axes; `q` may carry a derivative where the method interpolates."""
    return _quantile("quantile", a, prim.as_array(q), prim.is_weak(q), axis, out, method, keepdims, weights)


@composite()
def percentile(a, q, axis=None, out=None, overwrite_input=False, method="linear", keepdims=False, *, weights=None):
    """Quantiles at ``q / 100``."""
    fraction = prim.as_array(np.true_divide(prim.as_array(q), 100))
    return _quantile("percentile", a, fraction, prim.is_weak(q), axis, out, method, keepdims, weights)


def _quantile(function, a, q, weak, axis, out, method, keepdims, weights):
    if weights is not None:
        raise unsupported(function, "weights", "sort the values and accumulate their weights")
    if method not in _QUANTILES:
        raise ValueError(f"{function}(): method must be one of {sorted(_QUANTILES)}, got {method!r}")
    a = prim.as_array(a)
    if a.dtype.kind == "c":
        raise TypeError(f"{function}(): a must be real")
    if q.ndim > 2:
        raise ValueError(f"{function}(): q must be a scalar or a vector, got shape {q.shape}")
    if not bool(np.logical_and.reduce((q >= 0) & (q <= 1), axis=None)):
        raise ValueError(f"{function}(): q lies outside the range from none to all")
    ordered = sort(merge_axes(c_ordered(a), axis), 0)
    result = _QUANTILES[method](ordered, q.reshape(-1), weak)
    if is_inexact(a):
        result = prim.where(np.isnan(ordered[-1]), ordered[-1], result)
    return _reshaped(function, result.reshape(q.shape + ordered.shape[1:]), q.shape, a, axis, keepdims, out)


def _reshaped(function, result, front, a, axis, keepdims, out):
    """`result` with the reduced axes kept or not, as NumPy's scalar where it has none."""
    result = prim.as_array(result)
    if keepdims:
        result = result.reshape(front + kept_shape(a.shape, axis_tuple(axis, a.ndim)))
    return deliver(function, scalar(result), out)


# -- the methods of Hyndman and Fan (American Statistician 50, 1996) and four simpler ones: how a fraction q of n values
#    becomes a position among them, counted from 0, and what is done between two values


def _discrete(position):
    """Quantiles that are one of the values; no derivative by `q`."""

    def value(ordered, q, weak):
        places = position(ordered.shape[0], q).astype(np.intp)
        return c_ordered(ordered[np.maximum(places, 0)])

    return value


def _interpolated(position, weight=None):
    """Quantiles between the two values around a position, with the part behind the point as weight by default."""

    def value(ordered, q, weak):
        n = ordered.shape[0]
        at = position(n, q)
        below = np.floor(at)
        low, high = (ordered[np.minimum(np.maximum(k, 0), n - 1).astype(np.intp)] for k in (below, below + 1))
        t = at - below if weight is None else weight(at - below, at)
        return _between(low, high, t.reshape(-1, *(1,) * (ordered.ndim - 1)), weak)

    return value


def _between(low, high, t, weak):
    """``low + t (high - low)``, from the nearer end: monotonic in t, and exact at both."""
    near_high, rest = t >= 0.5, 1 - t
    if weak and is_inexact(low):
        t, rest = t.astype(low.dtype), rest.astype(low.dtype)
    step = high - low
    return prim.where(near_high, high - step * rest, low + step * t)


def _linear(ordered, q, weak):
    at_values = q.dtype.kind in "biu"  # an integer is the first or the last, and keeps an integer dtype
    method = _discrete if at_values else _interpolated
    return method(lambda n, q: (n - 1) * q)(ordered, q, weak)


def _hyndman_fan(alpha, beta):
    return _interpolated(lambda n, q: n * q + (alpha + q * (1 - alpha - beta)) - 1)


def _inverted_cdf(n, q):
    return np.ceil(n * q - 1)


def _closest_observation(n, q):
    at = n * q - 1 - 0.5
    below = np.floor(at)
    return below + 1 - ((at == below) & (below % 2 == 1))


_QUANTILES = {
    "inverted_cdf": _discrete(_inverted_cdf),
    "averaged_inverted_cdf": _interpolated(lambda n, q: n * q - 1, lambda t, at: prim.where(t == 0, 0.5, 1.0)),
    "closest_observation": _discrete(_closest_observation),
    "interpolated_inverted_cdf": _hyndman_fan(0, 1),
    "hazen": _hyndman_fan(0.5, 0.5),
    "weibull": _hyndman_fan(0, 0),
    "linear": _linear,
    "median_unbiased": _hyndman_fan(1 / 3.0, 1 / 3.0),
    "normal_unbiased": _hyndman_fan(3 / 8.0, 3 / 8.0),
    "lower": _discrete(lambda n, q: np.floor((n - 1) * q)),
    "higher": _discrete(lambda n, q: np.ceil((n - 1) * q)),
    "midpoint": _interpolated(
        lambda n, q: 0.5 * (np.floor((n - 1) * q) + np.ceil((n - 1) * q)),
        lambda t, at: prim.where(at % 1 == 0, 0.0, 0.5),
    ),
    "nearest": _discrete(lambda n, q: np.rint((n - 1) * q)),
}
