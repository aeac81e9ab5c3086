"""``np.pad``: the array in the middle of an empty one, then stores into the margins, axis after axis."""

import numpy as np

from sparsead.ops.structural import broadcast_shape

from . import _primitives as prim
from ._registry import composite
from ._shared import along, at_axis, layout_order
from .reductions import amax, amin, mean
from .sorting import median

_KEYWORDS = {
    "constant": "constant_values",
    "edge": None,
    "empty": None,
    "linear_ramp": "end_values",
    "maximum": "stat_length",
    "mean": "stat_length",
    "median": "stat_length",
    "minimum": "stat_length",
    "reflect": "reflect_type",
    "symmetric": "reflect_type",
    "wrap": None,
}
_STATISTICS = {"maximum": amax, "minimum": amin, "mean": mean, "median": median}


@composite()
def pad(array, pad_width, mode="constant", **kwargs):
    """`array` within margins. Bits are NumPy's but for the rounding of ramps and of repeated odd reflections."""
    array = prim.as_array(array)
    widths = _widths(pad_width, array.ndim)
    _check_mode(mode, kwargs)
    lengths = tuple(before + n + after for n, (before, after) in zip(array.shape, widths, strict=True))
    middle = tuple(slice(before, before + n) for n, (before, _) in zip(array.shape, widths, strict=True))
    out = prim.empty(lengths, array.dtype, layout_order(array))
    out[middle] = array
    if mode == "empty":
        return out
    options = _options(mode, kwargs, array.ndim)
    for axis, (n, width) in enumerate(zip(array.shape, widths, strict=True)):
        if not n and any(width) and mode != "constant":
            raise ValueError(f"pad(): mode {mode!r} cannot extend the empty axis {axis}")
        if array.size or mode == "constant":
            known = out[(slice(None),) * (axis + 1) + middle[axis + 1 :]]
            _pad_axis(known, axis, n, width, mode, options[axis])
    return out


def _pad_axis(region, axis, n, width, mode, options):
    """Fill both margins of one axis, each as the end of a line that begins with what is known."""
    before, after = width
    left = region[at_axis(axis, slice(None, before + n))][at_axis(axis, slice(None, None, -1))]
    right = region[at_axis(axis, slice(before, None))]
    for line, margin, option in ((left, before, options[0]), (right, after, options[1])):
        if margin:
            _fill(line, axis, n, margin, mode, option)


def _fill(line, axis, n, margin, mode, option):
    """Fill what follows the first `n` elements of `line`."""
    beyond, edge = at_axis(axis, slice(n, None)), at_axis(axis, slice(n - 1, n))
    if mode == "constant":
        line[beyond] = option
    elif mode == "edge" or (mode == "reflect" and n == 1):
        line[beyond] = line[edge]
    elif mode == "linear_ramp":
        line[beyond] = _ramp(line[edge], option, margin, axis)
    elif mode in _STATISTICS:
        length = n if option is None else min(option, n)
        value = _STATISTICS[mode](line[at_axis(axis, slice(n - length, n))], axis=axis, keepdims=True)
        line[beyond] = np.rint(value) if line.dtype.kind in "iu" else value
    else:
        _repeat(line, axis, n, margin, mode, option)


def _ramp(edge, end, margin, axis):
    """From the edge to the end value that is reached in the last element."""
    k = prim.arange(margin - 1, -1, -1).reshape(along(margin, axis, edge.ndim))
    ramp = k * ((edge - end) / margin) + end
    return np.floor(ramp) if edge.dtype.kind in "iu" else ramp


def _repeat(line, axis, n, margin, mode, option):
    """Continue periodically, or mirrored at the last element or at its outer side, as often as it takes."""
    if option not in ("even", "odd"):
        raise ValueError(f'pad(): reflect_type must be "even" or "odd", got {option!r}')
    skip = mode == "reflect"
    done = n
    while done < n + margin:
        count = min(n - skip, n + margin - done)
        if mode == "wrap":
            chunk = line[at_axis(axis, slice(done - n, done - n + count))]
        else:
            start, stop = done - 1 - skip, done - 1 - skip - count
            chunk = line[at_axis(axis, slice(start, stop if stop >= 0 else None, -1))]
        if option == "odd":
            chunk = 2 * line[at_axis(axis, slice(done - 1, done))] - chunk
        line[at_axis(axis, slice(done, done + count))] = chunk
        done += count


# -- arguments


def _widths(pad_width, ndim):
    """(before, after) for each axis, as integers."""
    if isinstance(pad_width, dict):
        given = {d % ndim: (w, w) if isinstance(w, int) else w for d, w in pad_width.items()}
        pad_width = [given.get(d, (0, 0)) for d in range(ndim)]
    widths = prim.static(pad_width)
    if widths.dtype.kind != "i":
        raise TypeError(f"pad(): pad_width must be integers, got {widths.dtype}")
    if (widths < 0).any():
        raise ValueError("pad(): pad_width must not be negative")
    return _pairs("pad_width", widths, ndim)


def _pairs(name, a, ndim):
    if broadcast_shape(a.shape, (ndim, 2)) != (ndim, 2):
        raise ValueError(f"pad(): {name} of shape {a.shape} does not broadcast to {(ndim, 2)}")
    return (a + 0 * prim.arange(2 * ndim).reshape(ndim, 2)).tolist()


def _check_mode(mode, kwargs):
    if callable(mode):
        raise TypeError("pad() of traced arrays does not support a function as mode=; store the margins")
    if mode not in _KEYWORDS:
        raise ValueError(f"pad(): mode {mode!r} is not supported")
    foreign = set(kwargs) - {_KEYWORDS[mode]}
    if foreign:
        raise ValueError(f"pad(): mode {mode!r} does not take {sorted(foreign)}")


def _options(mode, kwargs, ndim):
    """The argument of the mode for each axis and side."""
    if mode in ("constant", "linear_ramp"):
        values = prim.broadcast_to(prim.as_array(kwargs.get(_KEYWORDS[mode], 0)), (ndim, 2))
        return [(values[d, 0], values[d, 1]) for d in range(ndim)]
    if mode in _STATISTICS and kwargs.get("stat_length") is not None:
        lengths = prim.static(kwargs["stat_length"]).round().astype(np.intp)
        if (lengths < 0).any():
            raise ValueError("pad(): stat_length must not be negative")
        return _pairs("stat_length", lengths, ndim)
    default = kwargs.get("reflect_type", "even") if mode not in _STATISTICS else None
    return [(default, default)] * ndim
