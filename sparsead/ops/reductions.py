"""Reductions and scans.

Laws: ``sum`` is linear, its adjoint spreads. A weighted reduction z = r(x) has d(z) = sum(w(x, z) * d(x)) along its axes. A scan
z_i = f(z_{i-1}, x_i) has the linear recurrence d(z_i) = a_i d(z_{i-1}) + b_i d(x_i) with the partials a, b of f: the op
``linrec``, whose adjoint is a ``linrec`` backwards. In adjoints weights and partials are conjugated.
"""

from __future__ import annotations

import numpy as np

from sparsead.ops.templates import template_of
from sparsead.tape.spec import BY_NAME, Op, View, register


def _batch_axes(e, op, flags, lanes, types):
    name, axes = op.attr
    attr = (name, tuple(a + 1 for a in axes) if isinstance(axes, tuple) else axes + 1)
    shape = e.type(op.operands[0]).shape
    kept = shape if op.op.name == "scan" else tuple(n for k, n in enumerate(shape) if k not in attr[1])
    return [e.op(op.op.name, op.operands, e.array_type(types[0].dtype, kept), attr)]


def _batch_linrec(e, op, flags, lanes, types):
    shape = (lanes, *e.type(op.operands[flags.index(True)]).shape[1:])
    operands = [v if flag else e.broadcast(v, shape) for v, flag in zip(op.operands, flags, strict=True)]
    axis, reverse = op.attr
    return [e.op("linrec", operands, e.array_type(types[0].dtype, shape), (axis + 1, reverse))]


# ---- sum ---------------------------------------------------------------------------------------------------


def _sum(arrays, op, types):
    return (np.add.reduce(arrays[0], axis=op.attr, dtype=types[0].dtype),)


def _sum_into(arrays, op, types, out):
    np.add.reduce(arrays[0], axis=op.attr, dtype=types[0].dtype, out=out)


def _sum_tangent(e, op, dots):
    return [e.sum(dots[0], op.attr)] if e.type(op.results[0]).inexact else [None]


def _sum_adjoint(e, op, bars):
    return {0: e.expand(bars[0], op.attr, e.type(op.operands[0]).shape)}


register(Op("sum", 13, _sum, tangent=_sum_tangent, adjoint=_sum_adjoint, needs=lambda op: ((), ()),
            into=_sum_into, of_complex=True))  # fmt: skip


# ---- weighted reductions: max, min, prod, logaddexp ------------------------------------------------------------


def _extremum_weights(e, op, x, z):
    # Ties share equally, as in JAX.
    hit = e.ew("equal", x, e.expand(z, op.attr[1], e.type(x).shape))
    hits = e.cast(hit, e.type(x).dtype)
    return e.ew("divide", hits, e.expand(e.sum(hits, op.attr[1]), op.attr[1], e.type(x).shape))


def _logaddexp_weights(e, op, x, z):
    return e.ew("exp", e.ew("subtract", x, e.expand(z, op.attr[1], e.type(x).shape)))


def _product_weights(e, op, x, z):
    # The product of all others, from both ends, so that zeros among the factors are no trouble.
    (axis,) = op.attr[1]
    before, after = (_exclusive_product(e, x, axis, reverse) for reverse in (False, True))
    return e.ew("multiply", before, after)


def _exclusive_product(e, x, axis, reverse):
    t = e.type(x)
    ones = e.broadcast(e.number_like(1.0, x), t.shape)
    if t.shape[axis] < 2:
        return ones
    inner = e.op("scan", (e.reversed(x, axis) if reverse else x,), e.array_type(t.dtype, t.shape), ("multiply", axis))
    shifted = e.shifted(inner, axis, 1.0)
    return e.reversed(shifted, axis) if reverse else shifted


EXTREMA = ("maximum", "minimum", "fmax", "fmin")
NARROW, LONG = 24, 100  # columns, and rows for each of them, from which on it is cheaper to go by columns

WEIGHTS = {
    "maximum": _extremum_weights,
    "minimum": _extremum_weights,
    "fmax": _extremum_weights,
    "fmin": _extremum_weights,
    "logaddexp": _logaddexp_weights,
    "multiply": _product_weights,
}


def _reduce(arrays, op, types):
    return (_reduced(np.asarray(arrays[0]), op),)


def _reduced(x, op, out=None):
    name, axes = op.attr
    ufunc = getattr(np, name)
    if name in EXTREMA and axes == (x.ndim - 1,) and 1 < x.shape[-1] <= NARROW and x.size >= LONG * x.shape[-1] ** 2:
        return _extremum_of_rows(ufunc, x, out)
    return ufunc.reduce(x, axis=axes if len(axes) != 1 else axes[0], out=out)


def _extremum_of_rows(ufunc, x, out):
    """Column by column: NumPy takes 40 ns for each row, however short it is."""
    out = ufunc(x[..., 0], x[..., 1], out=out)
    for k in range(2, x.shape[-1]):
        ufunc(out, x[..., k], out=out)
    return out


def _reduce_into(arrays, op, types, out):
    _reduced(arrays[0], op, out)


def _reduce_tangent(e, op, dots):
    weights = WEIGHTS[op.attr[0]](e, op, op.operands[0], op.results[0])
    return [e.sum(e.ew("multiply", dots[0], weights), op.attr[1])]


def _reduce_adjoint(e, op, bars):
    weights = WEIGHTS[op.attr[0]](e, op, e.primal(op.operands[0]), e.primal(op.results[0]))
    return {0: e.ew("multiply", e.expand(bars[0], op.attr[1], e.type(op.operands[0]).shape), e.conj(weights))}


register(Op("reduce", 14, _reduce, batch=_batch_axes, tangent=_reduce_tangent, adjoint=_reduce_adjoint,
            needs=lambda op: ((0,), (0,)), into=_reduce_into, of_complex=True))  # fmt: skip


# ---- scans -----------------------------------------------------------------------------------------------------


def _scan(arrays, op, types):
    name, axis = op.attr
    return (getattr(np, name).accumulate(arrays[0], axis=axis, dtype=types[0].dtype),)


def _scan_into(arrays, op, types, out):
    name, axis = op.attr
    getattr(np, name).accumulate(arrays[0], axis=axis, dtype=types[0].dtype, out=out)


def _scan_tangent(e, op, dots):
    name, axis = op.attr
    if name == "add":
        return [e.op("scan", (dots[0],), e.array_type(e.type(op.results[0]).dtype, e.type(op.results[0]).shape), op.attr)]
    a, b = _scan_partials(e, op, op.operands[0], op.results[0])
    return [_linrec_op(e, a, e.ew("multiply", b, dots[0]), axis, False)]


def _scan_adjoint(e, op, bars):
    name, axis = op.attr
    g = bars[0]
    if name == "add":
        t = e.type(g)
        back = e.op("scan", (e.reversed(g, axis),), e.array_type(t.dtype, t.shape), op.attr)
        return {0: e.reversed(back, axis)}
    a, b = (e.conj(p) for p in _scan_partials(e, op, e.primal(op.operands[0]), e.primal(op.results[0])))
    return {0: e.ew("multiply", b, _linrec_adjoint_of(e, a, g, axis, False))}


def _scan_partials(e, op, x, z):
    """a_i = df/dz_{i-1} (0 at i = 0) and b_i = df/dx_i (1 at i = 0) along the axis."""
    name, axis = op.attr
    record = BY_NAME[name].elementwise
    before = e.shifted(z, axis, 1.0)
    template_of(record)  # raises early for an inactive ufunc
    a, b = e.partials(record.name, (before, x), z)
    a, b = (e.broadcast(p, e.type(x).shape) for p in (a, b))
    return e.with_first(a, axis, 0.0), e.with_first(b, axis, 1.0)


def _linrec(arrays, op, types):
    """z_i = a_i z_{i-1} + c_i along an axis, from either end."""
    axis, reverse = op.attr
    a, c = (np.moveaxis(x, axis, 0) for x in arrays)
    z = np.empty(types[0].shape, types[0].dtype)
    out = np.moveaxis(z, axis, 0)
    order = range(len(c) - 1, -1, -1) if reverse else range(len(c))
    carry = 0.0
    for i in order:
        carry = out[i] = a[i] * carry + c[i]
    return (z,)


def _linrec_op(e, a, c, axis, reverse):
    t = e.type(c)
    return e.op("linrec", (a, c), e.array_type(t.dtype, t.shape), (axis, reverse))


def _linrec_adjoint_of(e, a, g, axis, reverse):
    # Transpose of z = (I - A S)^-1 c, with S the shift: the same recurrence from the other end with a shifted.
    nexts = e.reversed(e.shifted(e.reversed(a, axis), axis, 0.0), axis) if not reverse else e.shifted(a, axis, 0.0)
    return _linrec_op(e, nexts, g, axis, not reverse)


def _previous(e, z, axis, reverse):
    if reverse:
        return e.reversed(e.shifted(e.reversed(z, axis), axis, 0.0), axis)
    return e.shifted(z, axis, 0.0)


def _linrec_tangent(e, op, dots):
    axis, reverse = op.attr
    a, _ = op.operands
    forcing = dots[1]
    if dots[0] is not None:
        term = e.ew("multiply", dots[0], _previous(e, op.results[0], axis, reverse))
        forcing = term if forcing is None else e.ew("add", forcing, term)
    return [_linrec_op(e, a, forcing, axis, reverse)]


def _linrec_adjoint(e, op, bars):
    axis, reverse = op.attr
    c_bar = _linrec_adjoint_of(e, e.conj(e.primal(op.operands[0])), bars[0], axis, reverse)
    a_bar = e.ew("multiply", c_bar, e.conj(_previous(e, e.primal(op.results[0]), axis, reverse)))
    return {0: a_bar, 1: c_bar}


register(Op("scan", 15, _scan, batch=_batch_axes, tangent=_scan_tangent, adjoint=_scan_adjoint,
            needs=lambda op: ((), ()) if op.attr[0] == "add" else ((0,), (0,)), into=_scan_into, of_complex=True))  # fmt: skip
register(Op("linrec", 16, _linrec, batch=_batch_linrec, tangent=_linrec_tangent, adjoint=_linrec_adjoint,
            needs=lambda op: ((0,), (0,)), of_complex=True))  # fmt: skip


def reversed_view(vtype, axis):
    """The `View` and offset that run backwards along `axis`."""
    strides = tuple(-s if k == axis else s for k, s in enumerate(vtype.strides))
    return View(vtype.shape, strides, vtype.dtype), max(vtype.shape[axis] - 1, 0) * vtype.strides[axis]
