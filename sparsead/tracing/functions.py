"""NumPy's functions on traced arrays: natives here, composites from `sparsead.ops.composites`, errors for the rest."""

from __future__ import annotations

import numpy as np

from sparsead.ops.composites import COMPOSITES
from sparsead.tracing._traced import CURRENT, Traced, TracedArray, as_array, concrete_of, select
from sparsead.tracing.indexing import plain_index


def dispatch(trace, func, args, kwargs):
    """What ``__array_function__`` was called with."""
    rule = NATIVE.get(func) or COMPOSITES.get(func)
    if rule is None:
        name = f"{func.__module__}.{func.__name__}"
        raise NotImplementedError(
            f"{name} has no derivative rule{trace.at()}; express it by supported functions, or wrap the code that calls it "
            "in sparsead.black_box"
        )
    return rule(*args, **kwargs)


def array_of(trace, nested):
    """``np.array`` of (nested lists of) traced and plain values."""
    if isinstance(nested, Traced):
        return as_array(trace, nested)
    if not contains_traced(nested):
        return np.asarray(nested)
    rows = [array_of(trace, row) for row in nested]
    dtype = np.result_type(*(row.dtype for row in rows))  # as NumPy does in lists, where numbers of Python are not weak
    shape = rows[0].shape
    for row in rows:
        if row.shape != shape:
            raise ValueError(f"an array of traced rows needs equal shapes, got {shape} and {row.shape}{trace.at()}")
    result = trace.fresh(np.empty((len(rows), *shape), dtype))
    for k, row in enumerate(rows):
        result[k] = row
    return result


def contains_traced(nested):
    """Whether a traced value stands anywhere in nested lists."""
    if isinstance(nested, (list, tuple)):
        return any(contains_traced(x) for x in nested)
    return isinstance(nested, Traced)


def unlisted(trace, x):
    """A list or tuple as the array that it makes; anything else as it is."""
    return array_of(trace, x) if isinstance(x, (list, tuple)) else x


NATIVE = {}


def native(*functions):
    """Register a rule for NumPy functions that need the trace itself."""

    def register(rule):
        NATIVE.update(dict.fromkeys(functions, rule))
        return rule

    return register


def _trace_of():
    return CURRENT.get()


@native(np.where)
def where(condition, x=None, y=None):
    """``np.where``."""
    if x is None:
        return tuple(nonzero(condition))
    trace = _trace_of()
    return select(trace, *(unlisted(trace, v) for v in (condition, x, y)))


@native(np.shape)
def shape(a):
    """``np.shape``."""
    return unlisted(_trace_of(), a).shape


@native(np.ndim)
def ndim(a):
    """``np.ndim``."""
    return len(shape(a))


@native(np.size)
def size(a, axis=None):
    """``np.size``."""
    n = shape(a)
    return int(np.prod(n)) if axis is None else n[axis]


class Inactive:
    """A NumPy function with fixed keywords, for results without derivative."""

    def __init__(self, function, *args, **kwargs):
        self.function, self.args, self.kwargs = function, args, tuple(sorted(kwargs.items()))

    def __call__(self, *arrays):
        return self.function(*arrays, *self.args, **dict(self.kwargs))

    def _key(self):
        return self.function, self.args, self.kwargs

    def __eq__(self, other):
        return type(other) is Inactive and self._key() == other._key()

    def __hash__(self):
        return hash(self._key())

    def __repr__(self):
        return self.function.__name__


def inactive(function, *arrays, args=(), **kwargs):
    """Record ``function(*arrays, *args, **kwargs)``, whose result carries no derivative and has a shape to guard."""
    trace = _trace_of()
    arrays = tuple(unlisted(trace, a) for a in arrays)
    rule = Inactive(function, *args, **kwargs)
    concrete = rule(*(concrete_of(a) for a in arrays))
    concrete = np.array(concrete, order="C") if isinstance(concrete, np.ndarray) else concrete
    dtype = np.asarray(concrete).dtype
    value = trace.op("inactive", [trace.operand(a) for a in arrays], dtype, np.shape(concrete), rule)
    return trace.result(concrete, value)


@native(np.nonzero)
def nonzero(a):
    """``np.nonzero``: index arrays; their length is guarded."""
    return tuple(inactive(_nonzero_along, a, axis=k) for k in range(ndim(a)))


def _nonzero_along(a, axis):
    return np.nonzero(a)[axis]


def _register_plain_inactive():
    for function in (np.isclose, np.allclose, np.array_equal, np.flatnonzero, np.argwhere, np.lexsort, np.isreal, np.iscomplex):
        NATIVE[function] = _Plain(function)


class _Plain:
    def __init__(self, function):
        self.function = function

    def __call__(self, *arrays, **kwargs):
        return inactive(self.function, *arrays, **kwargs)


_register_plain_inactive()


@native(np.may_share_memory, np.shares_memory)
def shares_memory(a, b, max_work=None):
    """``np.shares_memory``."""
    return np.shares_memory(concrete_of(a), concrete_of(b))


@native(np.result_type)
def result_type(*operands):
    """``np.result_type``."""
    return np.result_type(*(concrete_of(x) for x in operands))


@native(np.can_cast)
def can_cast(from_, to, casting="safe"):
    """``np.can_cast``."""
    return np.can_cast(from_.dtype, to, casting)


@native(np.array_repr)
def array_repr(a, *args, **kwargs):
    """``np.array_repr``."""
    return repr(a)


@native(np.array_str, np.array2string)
def array_str(a, *args, **kwargs):
    """``np.array_str``."""
    return np.array_str(a.concrete, *args, **kwargs)


@native(np.iscomplexobj)
def iscomplexobj(x):
    """``np.iscomplexobj``."""
    return unlisted(_trace_of(), x).dtype.kind == "c"


@native(np.isrealobj)
def isrealobj(x):
    """``np.isrealobj``."""
    return not iscomplexobj(x)


@native(np.copy)
def copy(a, order="K", subok=False):
    """``np.copy``."""
    return as_array(_trace_of(), unlisted(_trace_of(), a)).copy(order)


__all__ = ["NATIVE", "TracedArray", "array_of", "contains_traced", "dispatch", "inactive", "plain_index"]
