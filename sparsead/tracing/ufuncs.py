"""Ufuncs beyond the plain call: ``out=``, ``where=``, ``dtype=``, and the methods reduce, accumulate, outer, at."""

from __future__ import annotations

import numpy as np

from sparsead.ops.reductions import WEIGHTS
from sparsead.ops.structural import broadcast_shape
from sparsead.ops.table import CODE_OF_UFUNC
from sparsead.tracing._traced import Traced, TracedArray, TracedScalar, as_array, concrete_of, select
from sparsead.tracing.errors import TraceError
from sparsead.tracing.indexing import is_part, store_positions

LOGICAL = {np.logical_and, np.logical_or, np.logical_xor, np.bitwise_and, np.bitwise_or, np.bitwise_xor}


def dispatch(trace, ufunc, method, inputs, kwargs):
    """What ``__array_ufunc__`` was called with."""
    if method == "__call__":
        return _call(trace, ufunc, trace.unlisted(inputs), **kwargs)
    rules: dict = {"reduce": reduce, "accumulate": accumulate, "outer": outer, "at": at}
    rule = rules.get(method)
    if rule is None:
        raise NotImplementedError(f"np.{ufunc.__name__}.{method} has no derivative rule{trace.at()}")
    return rule(trace, ufunc, *inputs, **kwargs)


# ---- calls with keywords -----------------------------------------------------------------------------------------


def _call(trace, ufunc, inputs, out=None, where=True, dtype=None, casting="same_kind", **kwargs):
    for keyword in ("order", "subok"):
        kwargs.pop(keyword, None)
    if ufunc not in CODE_OF_UFUNC:
        given = {"out": out if out is None or len(out) > 1 else out[0], "dtype": dtype}
        kwargs.update({name: value for name, value in given.items() if value is not None})
        return trace.other_ufunc(ufunc, inputs, kwargs if casting == "same_kind" else {**kwargs, "casting": casting})
    if kwargs:
        raise TypeError(f"np.{ufunc.__name__}: keyword {next(iter(kwargs))!r} is not supported for traced arrays{trace.at()}")
    if out is None and where is True:
        return _typed(trace, ufunc, inputs, dtype, casting)
    outs = out if out is not None else (None,) * ufunc.nout
    return call_into(trace, ufunc, inputs, outs, where, dtype, casting)


def _typed(trace, ufunc, inputs, dtype, casting):
    if dtype is None:
        return trace.call(ufunc, inputs)
    return trace.call_as(ufunc, inputs, np.dtype(dtype), casting)


def call_into(trace, ufunc, inputs, outs, where=True, dtype=None, casting="same_kind"):
    """``ufunc(*inputs, out=outs, where=where)``: read all, compute, then store; where the mask is false, `outs` stays."""
    results = _results_before_store(trace, ufunc, inputs, outs, where, dtype, casting)
    finished = tuple(
        _into(trace, ufunc, r, out, where) for r, out in zip(results, outs, strict=True)
    )  # fmt: skip
    return finished[0] if len(finished) == 1 else finished


def _results_before_store(trace, ufunc, inputs, outs, where, dtype, casting):
    for out in outs:
        _check_out(trace, ufunc, out)
    with np.errstate(all=None if where is True else "ignore"):  # what the mask hides may be infinite
        results = _typed(trace, ufunc, inputs, None if dtype is None else dtype, casting)
    results = results if isinstance(results, tuple) else (results,)
    for r, out in zip(results, outs, strict=True):
        if out is not None:
            _check_fit(ufunc, r, out, casting)
    return results


def _check_out(trace, ufunc, out):
    if type(out) is np.ndarray and out.dtype.kind not in "fc":
        return  # a mask or an index: structure, whose contents are guarded
    if out is not None and not isinstance(out, TracedArray):
        raise TraceError(
            f"np.{ufunc.__name__} writes a traced value into a plain array{trace.at()}: make the array inside the traced "
            "function (np.zeros there is traced), or pass it as an argument"
        )
    if out is not None and not out.concrete.flags.writeable:
        raise ValueError("output array is read-only")


def _check_fit(ufunc, result, out, casting):
    if not np.can_cast(result.dtype, out.dtype, casting=casting):
        np.add(concrete_of(result), 0, out=concrete_of(out), casting=casting)  # raises NumPy's own UFuncTypeError
    if broadcast_shape(result.shape, out.shape) != out.shape:
        raise ValueError(
            f"non-broadcastable output operand with shape {out.shape} doesn't match the broadcast shape "
            f"{broadcast_shape(result.shape, out.shape)}"
        )


def _into(trace, ufunc, result, out, where):
    if where is True:
        return _stored(out, result)
    if out is None:
        shape = broadcast_shape(result.shape, np.shape(concrete_of(where)))
        out = trace.fresh(np.empty(shape, result.dtype))
    return _stored(out, select(trace, where, result, out))


def _stored(out, result):
    if isinstance(out, TracedArray):
        out.assign(out.concrete[...], result)
    elif out is not None:
        out[...] = result
    return result if out is None else out


# ---- reduce --------------------------------------------------------------------------------------------------------


def reduce(trace, ufunc, a, axis=0, dtype=None, out=None, keepdims=False, initial=np._NoValue, where=True):
    """``ufunc.reduce``."""
    a, dtype = as_array(trace, a), _loop_dtype(dtype, out)
    if where is not True:
        a = select(trace, where, a, _neutral(ufunc, initial, a))
    axes = _axes(axis, a.ndim)
    if initial is not np._NoValue and initial is not None and any(a.shape[k] == 0 for k in axes):
        made = np.full([n for k, n in enumerate(a.shape) if k not in axes], 0, dtype or a.dtype)
        result = trace.fresh(made)
        result[...] = initial
    else:
        result = _reduced(trace, ufunc, a, axes, dtype)
        result = _with_initial(trace, ufunc, initial, result)
    if keepdims:
        shape = tuple(1 if k in axes else n for k, n in enumerate(a.shape))
        result = as_array(trace, result).reshape(shape)
    if out is not None:
        target = out[0] if isinstance(out, tuple) else out
        _check_out(trace, ufunc, target)
        return _stored(target, result)
    return result


def _loop_dtype(dtype, out):
    # The dtype of `out` is that of the loop: float32 is summed in float64 if `out` is.
    out = out[0] if isinstance(out, tuple) else out
    return out.dtype if dtype is None and out is not None else dtype


def _with_initial(trace, ufunc, initial, result):
    if initial is np._NoValue or initial is None or _is_neutral(ufunc, initial):
        return result
    return trace.call(ufunc, (initial, result))


def _axes(axis, ndim):
    if axis is None:
        return tuple(range(ndim))
    axes = axis if isinstance(axis, tuple) else (axis,)
    normal = []
    for k in axes:
        if not -ndim <= k < ndim and ndim:
            raise np.exceptions.AxisError(k, ndim)
        normal.append(k % ndim if ndim else 0)
    return tuple(sorted(normal)) if ndim else ()


def _neutral(ufunc, initial, a):
    neutral = {np.maximum: -np.inf, np.minimum: np.inf, np.fmax: -np.inf, np.fmin: np.inf}.get(ufunc, ufunc.identity)
    if neutral is None or (ufunc.identity is None and initial is np._NoValue):
        raise ValueError(f"reduction operation {ufunc.__name__!r} does not have an identity: where= needs initial=")
    return np.asarray(neutral, a.dtype)[()]


def _is_neutral(ufunc, initial):
    return type(initial) in (int, float) and ufunc.identity is not None and initial == ufunc.identity


def _reduced(trace, ufunc, a, axes, dtype):
    concrete = ufunc.reduce(a.concrete, axis=axes, dtype=dtype)
    if concrete.dtype.kind not in "fc" or ufunc in LOGICAL:
        return _inactive_reduce(trace, ufunc, a, axes, concrete)
    if not axes:
        return trace.result(concrete, trace.operand(a, concrete.dtype))
    if ufunc is np.add:
        value = trace.op("sum", (trace.operand(a, concrete.dtype),), concrete.dtype, concrete.shape, axes)
        return trace.result(_dense(concrete), value)
    _check_complex(trace, ufunc, a, concrete)
    if ufunc.__name__ in WEIGHTS:
        return _weighted(trace, ufunc, a, axes, concrete)
    return _last_of_scan(trace, ufunc, a, axes, dtype)


def _check_complex(trace, ufunc, a, concrete):
    if concrete.dtype.kind == "c" and ufunc not in (np.add, np.multiply) and a.active:
        raise NotImplementedError(
            f"np.{ufunc.__name__} along an axis of complex numbers has no derivative rule{trace.at()}; reduce the real and "
            "imaginary parts, x.real and x.imag"
        )


def _weighted(trace, ufunc, a, axes, concrete):
    if ufunc is np.multiply and len(axes) > 1:  # the weights of a product are scans: one axis
        rest = [k for k in range(a.ndim) if k not in axes]
        n = int(np.prod([a.shape[k] for k in axes]))
        a = a.transpose(*rest, *axes).reshape(*(a.shape[k] for k in rest), n)
        return _reduced(trace, ufunc, a, (a.ndim - 1,), None)
    value = trace.op("reduce", (trace.operand(a, concrete.dtype),), concrete.dtype, concrete.shape, (ufunc.__name__, axes))
    return trace.result(_dense(concrete), value)


def _last_of_scan(trace, ufunc, a, axes, dtype):
    for axis in reversed(axes):
        scan = accumulate(trace, ufunc, a, axis, dtype)
        a = scan[(slice(None),) * axis + (-1,)]
    return a


class Reduction:
    """``ufunc.reduce`` over fixed axes, for results without derivative."""

    def __init__(self, ufunc, axes):
        self.ufunc, self.axes = ufunc, axes

    def __call__(self, array):
        return self.ufunc.reduce(array, axis=self.axes)

    def __eq__(self, other):
        return type(other) is Reduction and (self.ufunc, self.axes) == (other.ufunc, other.axes)

    def __hash__(self):
        return hash((self.ufunc, self.axes))


def _inactive_reduce(trace, ufunc, a, axes, concrete):
    value = trace.op("inactive", (trace.operand(a),), concrete.dtype, concrete.shape, Reduction(ufunc, axes))
    return trace.result(_dense(concrete), value)


def _dense(concrete):
    return np.array(concrete, order="C") if isinstance(concrete, np.ndarray) else concrete


# ---- accumulate, outer, at -------------------------------------------------------------------------------------------


def accumulate(trace, ufunc, a, axis=0, dtype=None, out=None):
    """``ufunc.accumulate``."""
    a, dtype = as_array(trace, a), _loop_dtype(dtype, out)
    concrete = _dense(ufunc.accumulate(a.concrete, axis=axis, dtype=dtype))
    (axis,) = _axes(axis, a.ndim)
    _check_complex(trace, ufunc, a, concrete)
    name = ufunc.__name__
    value = trace.op("scan", (trace.operand(a, concrete.dtype),), concrete.dtype, concrete.shape, (name, axis))
    result = trace.result(concrete, value)
    if out is not None:
        target = out[0] if isinstance(out, tuple) else out
        _check_out(trace, ufunc, target)
        return _stored(target, result)
    return result


def outer(trace, ufunc, a, b, **kwargs):
    """``ufunc.outer``."""
    a, b = (as_array(trace, x) for x in trace.unlisted((a, b)))
    left = a.reshape(a.shape + (1,) * b.ndim)
    if not kwargs:
        return trace.call(ufunc, (left, b))
    return _call(trace, ufunc, (left, b), **kwargs)


def at(trace, ufunc, a, indices, b=None):
    """``ufunc.at``: unbuffered, so that repeated indices act one after the other."""
    if not isinstance(a, TracedArray):
        raise TraceError(f"np.{ufunc.__name__}.at writes a traced value into a plain array{trace.at()}")
    if not a.concrete.flags.writeable:
        raise ValueError("output array is read-only")
    if is_part(a):
        whole = a.copy()
        at(trace, ufunc, whole, indices, b)
        a[...] = whole
        return
    (b,) = trace.unlisted((b,))
    pos, concrete_pos, fixed = store_positions(trace, a, indices)
    if ufunc in (np.add, np.subtract) and b is not None:
        addend = b if ufunc is np.add else trace.call(np.negative, (b,))
        value = trace.operand(addend) if isinstance(addend, (Traced, np.ndarray)) else trace.operand(addend, a.dtype)
        ufunc.at(a.concrete, _plain_index(indices), concrete_of(b))
        a.scatter(pos, value, True)
        return
    if not fixed and np.unique(concrete_pos).size < concrete_pos.size:
        raise NotImplementedError(f"np.{ufunc.__name__}.at with repeated indices that depend on the input{trace.at()}")
    _in_turns(ufunc, a, concrete_pos, b)


def _plain_index(indices):
    if isinstance(indices, tuple):
        return tuple(concrete_of(k) for k in indices)
    return concrete_of(indices)


def _in_turns(ufunc, a, pos, b):
    """Repeated positions in turns: first occurrences, second occurrences, ...; each turn is a plain indexed update."""
    flat, turn = pos.ravel(), _occurrence(pos.ravel())
    memory = a.storage_as_vector()
    if b is not None and isinstance(b, (Traced, np.ndarray)) and np.ndim(concrete_of(b)):
        b = np.broadcast_to(b, pos.shape).reshape(-1)
    for k in range(int(turn.max(initial=-1)) + 1):
        now = np.flatnonzero(turn == k)
        operands = () if b is None else ((b[now] if np.ndim(concrete_of(b)) else b),)
        memory[flat[now]] = ufunc(memory[flat[now]], *operands)


def _occurrence(flat):
    """How many equal elements stand before each element."""
    order = np.argsort(flat, kind="stable")
    ordered = flat[order]
    starts = np.r_[True, ordered[1:] != ordered[:-1]] if flat.size else np.zeros(0, bool)
    first = np.maximum.accumulate(np.where(starts, np.arange(flat.size), 0)) if flat.size else starts
    turn = np.empty(flat.size, np.intp)
    turn[order] = np.arange(flat.size) - first
    return turn


__all__ = ["TracedScalar", "accumulate", "at", "call_into", "dispatch", "outer", "reduce"]
