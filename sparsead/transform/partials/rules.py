"""Terms of the results of structural ops: ``rule(s, op)`` gives those of the one result of `op`; `s` is the `Sweep`."""

from __future__ import annotations

import math
from functools import reduce
from itertools import product

import numpy as np

from sparsead.ops.structural import injective, positions
from sparsead.tape.spec import View
from sparsead.transform.partials.coefficients import Stored
from sparsead.transform.partials.geometry import Elements, Window, in_layout, memory, places
from sparsead.transform.partials.terms import GiveUp, Term

UNROLLED = 8  # summands: a sum of so few is one term for each, else one with rows


def _load(s, op):
    (x,), (z,) = op.operands, op.results
    if op.attr.dtype != s.type(x).dtype:
        raise GiveUp("real and imaginary parts")
    return s.terms.loaded(s.of(x), s.type(x), op.attr, op.imm, s.type(z))


def _copy(s, op):
    (x,), (z,) = op.operands, op.results
    return s.terms.times(s.of(x), 1.0, s.type(x), s.type(z)) if s.type(x).dtype == s.type(z).dtype else _cast(s, op)


def _cast(s, op):
    (x,), (z,) = op.operands, op.results
    t, made = s.type(x), s.type(z)
    if not made.inexact or made.dtype.kind == "c":
        return []
    found = []
    for term in s.of(x):
        space = t if term.rows is None else s.e.array_type(t.dtype, term.rows.shape)
        term = term._replace(coefficient=s.terms.c.cast(term.coefficient, space, made.dtype))
        cast = s.e.tape.pool.type(made.dtype, t.shape, tuple(n // t.dtype.itemsize * made.dtype.itemsize for n in t.strides))
        found += s.terms.times([term], 1.0, cast, made)
    return found


def _store(s, op):
    x, v = op.operands
    return _written(s, op, s.of(x), s.of(v), s.type(v))


def _accumulate(s, op):
    x, v = op.operands
    if not injective(op.attr):
        at = positions(op.attr, op.imm)
        return s.of(x) + [s.terms.with_rows(term, s.type(v), at) for term in s.of(v)]
    if not s.of(v):
        return s.of(x)
    window = s.type(v)
    before = s.terms.loaded(s.of(x), s.type(x), op.attr, op.imm, window)
    return _written(s, op, s.of(x), s.terms.joined(before + s.of(v), window), window)


def _written(s, op, terms, new, given):
    """`terms` with those of a window replaced."""
    t, view, offset = s.type(op.results[0]), op.attr, op.imm
    if view.dtype != t.dtype:
        raise GiveUp("real and imaginary parts")
    return _placed(s, terms, new, given, t, Window(view, offset), lambda base, part: Stored(base, view, offset, part))


def _placed(s, terms, new, given, t, window, store):
    """`terms` of an array of type `t` with `new` ones, of one of type `given`, in place of those in a window."""
    made = s.e.array_type(given.dtype, window.shape)
    new = [_at_places(s, term, given, made, window) for term in new]
    kept = s.terms.cleared(terms, t, window)
    return s.terms.placed(kept, terms if len(kept) == len(terms) else (), t, window, new, store)


def _at_places(s, term, given, made, window):
    """A term of what is written: its columns in C order, or its rows in the memory that it is written to."""
    if term.rows is None:
        return s.terms.respread(term, given, made)
    table = np.empty(max(given.size, 1), np.int64)
    table[places(given)] = window.positions
    rows = table[term.rows]
    return Term(np.where(rows >= 0, term.columns, -1).astype(np.int32), term.coefficient, np.maximum(rows, 0))


def _gather(s, op):
    x, pos = op.operands
    t, z = s.type(x), s.type(op.results[0])
    at = s.known(pos, op)
    found = []
    for term in s.of(x):
        if term.rows is not None:
            raise GiveUp("a gather from a sum or a scattered array")
        columns = memory(term.columns)[at]
        if (columns >= 0).any():
            c = s.terms.c.gathered(term.coefficient, t, s.value[pos], at.shape)
            found.append(s.terms.respread(Term(s.terms.moved(columns), c), s.e.array_type(t.dtype, at.shape), z))
    return found


def _scatter(s, op):
    x, pos, v = op.operands
    t, at = s.type(op.results[0]), s.known(pos, op)
    made = s.e.array_type(t.dtype, at.shape)

    def store(base, part):
        base = s.e.zeros(t) if base is None else s.terms.c.value(base, t)
        return s.e.op("scatter", (base, s.value[pos], s.terms.c.value(part, made)), t)

    return _placed(s, s.of(x), s.of(v), s.type(v), t, Elements(at, t.size), store)


def _scatter_add(s, op):
    x, pos, v = op.operands
    at = s.known(pos, op)
    return s.of(x) + [s.terms.with_rows(term, s.type(v), at) for term in s.of(v)]


def _sum(s, op):
    (x,), (z,) = op.operands, op.results
    return _summed(s, s.of(x), s.type(x), op.attr, s.type(z))


def _summed(s, terms, t, axes, made):
    """Terms of an array of type `t` summed along axes."""
    if t.dtype != made.dtype:
        raise GiveUp("a sum in another dtype")
    extents = [range(t.shape[axis]) for axis in axes]
    if math.prod(map(len, extents)) <= UNROLLED:
        kept = [axis for axis in range(t.ndim) if axis not in axes]
        view = View(tuple(t.shape[a] for a in kept), tuple(t.strides[a] for a in kept), t.dtype)
        parts = [
            s.terms.loaded(terms, t, view, sum(t.strides[a] * i for a, i in zip(axes, index, strict=True)), made)
            for index in product(*extents)
        ]
        return s.terms.joined([term for part in parts for term in part], made)
    rows = places(made)[tuple(slice(None) if axis not in axes else None for axis in range(t.ndim))]
    rows = np.broadcast_to(rows, t.shape)
    return [s.terms.with_rows(term, t, rows) for term in terms]


def _einsum(s, op):
    """A product over all indices, summed over those that the result has not."""
    inputs, out = op.attr.split("->")
    letters, made = inputs.split(","), s.type(op.results[0])
    sizes = {c: n for v, axes in zip(op.operands, letters, strict=True) for c, n in zip(axes, s.type(v).shape, strict=True)}
    order = [*out, *(c for c in sizes if c not in out)]
    full = s.e.array_type(made.dtype, tuple(sizes[c] for c in order))
    views = [_broadcast_view(s.type(v), axes, order, full.shape) for v, axes in zip(op.operands, letters, strict=True)]
    found = []
    for i, v in enumerate(op.operands):
        if s.of(v):
            terms = s.terms.loaded(s.of(v), s.type(v), views[i], 0, full)
            others = [s.e.load(int(s.value[op.operands[k]]), view, 0) for k, view in enumerate(views) if k != i]
            partial = reduce(lambda a, b: s.e.ew("multiply", a, b), others) if others else 1.0
            found += s.terms.times(terms, partial, full, full)
    return _summed(s, s.terms.joined(found, full), full, tuple(range(len(out), len(order))), made)


def _broadcast_view(t, axes, order, shape):
    """An operand of type `t` over all indices; an index that it has twice is its diagonal."""
    strides = dict.fromkeys(order, 0)
    for c, stride in zip(axes, t.strides, strict=True):
        strides[c] += stride
    return View(shape, tuple(strides.values()), t.dtype)


def _select(s, op):
    """Both sides; a side that is not taken counts as 0, whatever its derivative is."""
    condition, *sides = op.operands
    z, found, c = s.type(op.results[0]), [], s.terms.c
    if any(term.rows is not None for v in sides for term in s.of(v)):
        raise GiveUp("a choice from a sum or a scattered array")
    for side, v in enumerate(sides):
        for term in s.of(v):
            term = s.terms.respread(term, s.type(v), z)
            chosen = (term.coefficient, 0.0) if side == 0 else (0.0, term.coefficient)
            found.append(term._replace(coefficient=c.choose(s.value[condition], *chosen, z)))
    return s.terms.joined(found, z)


def seeds(s, v, first):
    """The identity: an element of an input depends on its own column."""
    t = s.type(v)
    columns = in_layout(np.empty(t.shape, np.int32), t)
    memory(columns)[:] = np.arange(first, first + t.size)
    return [Term(columns, 1.0)]


RULES = {
    "load": _load,
    "copy": _copy,
    "cast": _cast,
    "einsum": _einsum,
    "store": _store,
    "accumulate": _accumulate,
    "gather": _gather,
    "scatter": _scatter,
    "scatter_add": _scatter_add,
    "sum": _sum,
    "select": _select,
}
