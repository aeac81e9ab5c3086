"""The primitives of the composites, on traced arrays: put in place of NumPy's by `install`."""

from __future__ import annotations

import functools

import numpy as np

from sparsead.ops.composites import _primitives as prim
from sparsead.tracing import _traced
from sparsead.tracing._traced import CURRENT, Traced, TracedArray, TracedScalar, concrete_of, select
from sparsead.tracing.contractions import contraction
from sparsead.tracing.functions import array_of, contains_traced, inactive


def as_array(trace, a):
    if isinstance(a, Traced):
        return _traced.as_array(trace, a)
    return array_of(trace, a) if contains_traced(a) else np.asarray(a)


def static(trace, a):
    """Numbers that decide shapes: a traced one becomes a guard."""
    if isinstance(a, (list, tuple)):
        return np.asarray([static(trace, x) for x in a])
    if isinstance(a, TracedScalar):
        return np.asarray(int(a) if isinstance(a.concrete, (int, np.integer)) else float(a))
    return np.asarray(a)


def shape(trace, a):
    return a.shape if hasattr(a, "shape") else as_array(trace, a).shape


def dtype(trace, a):
    return a.dtype if hasattr(a, "dtype") else as_array(trace, a).dtype


def is_weak(trace, a):
    return type(concrete_of(a) if isinstance(a, Traced) else a) in (int, float, complex)


def is_active(trace, a):
    return isinstance(a, Traced) and a.active


def empty(trace, shape, dtype=np.float64, order="C"):
    return trace.fresh(np.empty(shape, dtype, order))


def empty_like(trace, prototype, dtype=None, shape=None):
    return trace.fresh(np.empty_like(concrete_of(prototype), dtype=dtype, shape=shape, subok=False))


def zeros(trace, shape, dtype=np.float64):
    return trace.fresh(np.zeros(shape, dtype), True)


def full(trace, shape, fill_value, dtype):
    array = trace.fresh(np.empty(shape, dtype))
    array[...] = fill_value
    return array


def broadcast_to(trace, a, shape):
    if not isinstance(a, Traced):
        return np.broadcast_to(a, shape)
    a = _traced.as_array(trace, a)
    return a.view_as(np.broadcast_to(a.concrete, shape))


def diagonal(trace, a, offset=0, axis1=0, axis2=1, writeable=False):
    if not isinstance(a, Traced):
        return _plain["diagonal"](a, offset, axis1, axis2, writeable)
    return a.view_as(_plain["diagonal"](a.concrete, offset, axis1, axis2, writeable))


def windows(trace, a, length):
    if not isinstance(a, Traced):
        return _plain["windows"](a, length)
    return a.view_as(_plain["windows"](a.concrete, length))


def where(trace, condition, x, y):
    return select(trace, condition, x, y)


def einsum(trace, subscripts, *operands):
    inputs, out = subscripts.replace(" ", "").split("->")
    return contraction(trace, inputs.split(","), [as_array(trace, x) for x in operands], out)


def _of_matrices(trace, op, concrete, *operands):
    concrete = np.array(concrete, order="C")[()]
    return trace.result(concrete, trace.op(op, [trace.operand(x) for x in operands], concrete.dtype, concrete.shape))


def solve(trace, a, b):
    return _of_matrices(trace, "solve", _plain["solve"](concrete_of(a), concrete_of(b)), a, b)


def inv(trace, a):
    inverse = _plain["inv"](concrete_of(a))
    identity = trace.constant_array(np.eye(a.shape[-1], dtype=a.dtype))
    return _of_matrices(trace, "solve", inverse, a, broadcast_to(trace, identity, a.shape))


def det(trace, a):
    return _of_matrices(trace, "det", _plain["det"](concrete_of(a)), a)


def logabsdet(trace, a):
    if a.dtype.kind == "c" and is_active(trace, a):
        raise NotImplementedError(
            f"np.linalg.slogdet of complex numbers has no derivative rule{trace.at()}; np.linalg.det has"
        )
    return _of_matrices(trace, "logabsdet", _plain["logabsdet"](concrete_of(a)), a)


def sign_of_det(trace, a):
    return inactive(_plain["sign_of_det"], a)


def stop_gradient(trace, a):
    return trace.stop(a) if isinstance(a, Traced) else a


def _inactive(function):
    def rule(trace, a, *args, **kwargs):
        return inactive(function, a, *args, **kwargs)

    return rule


def sort_indices(trace, a, axis=-1, kind=None, stable=None):
    return inactive(np.argsort, a, axis=axis, kind=kind, stable=stable)


def argmax(trace, a, axis=None, keepdims=False):
    return inactive(np.argmax, a, axis=axis, keepdims=keepdims)


def argmin(trace, a, axis=None, keepdims=False):
    return inactive(np.argmin, a, axis=axis, keepdims=keepdims)


def searchsorted(trace, a, v, side="left", sorter=None):
    if sorter is not None:
        a = a[sorter]
    return inactive(np.searchsorted, a, v, side=side)


_RULES = (
    as_array, static, shape, dtype, is_weak, is_active, empty, empty_like, zeros, full, broadcast_to, diagonal, windows, where,
    einsum, solve, inv, det, logabsdet, sign_of_det, stop_gradient, sort_indices, argmax, argmin, searchsorted,
)  # fmt: skip
_plain = {rule.__name__: getattr(prim, rule.__name__) for rule in _RULES}


def _switch(rule, plain):
    """`rule` while a trace records, NumPy's own otherwise."""

    @functools.wraps(plain)
    def function(*args, **kwargs):
        trace = CURRENT.get()
        return plain(*args, **kwargs) if trace is None else rule(trace, *args, **kwargs)

    return function


def install():
    """Let composites use these primitives in every trace."""
    for rule in _RULES:
        setattr(prim, rule.__name__, _switch(rule, _plain[rule.__name__]))


__all__ = ["TracedArray", "install"]
