"""Rows of what moves and of what is repeated, without unrolling it: rules as those of `sparsead.sparsity.rules`.

Law: a window whose place is not known may be at each place within its limits. A loop of n trips with the pattern C of its
carries by themselves and D by its invariants gives C S and S D with S = (I + C)^(n - 1), which holds all shorter powers too.
A branch has the pattern of the body that it runs, or of all of them if that is not known.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.sparse import csr_array, eye_array

from sparsead.ops.structural import positions
from sparsead.tape._memory import window
from sparsead.tape.spec import View

# All places of a window are looked at element by element up to this many pairs; above, its whole extent is one set.
MAX_PAIRS = 1 << 24


# ---- windows that move ------------------------------------------------------------------------------------------------


def _places(p, op, indices):
    """Positions of the window's elements: with an axis for each index that is not known, before the axes of the view."""
    view, steps, limits = op.attr
    offset, shape, strides = op.imm, [], []
    for v, step, (low, high) in zip(indices, steps, limits, strict=True):
        if v in p.known:
            offset += int(p.known[v]) * step
        else:
            offset += low * step
            shape.append(high - low)
            strides.append(step)
    whole = View((*shape, *view.shape), (*strides, *view.strides), view.dtype)
    return (positions(whole, offset) if math.prod(whole.shape) <= MAX_PAIRS else None), len(shape)


def _memory(p, v):
    """The ids of a value by position."""
    t = p.tape.type(v)
    strides = tuple(4 * (s // t.dtype.itemsize) for s in t.strides)
    ids = np.empty(t.size, np.int32)
    window(ids, 0, t.shape, strides, ids.dtype)[...] = p.rows(v)
    return ids


def load_at(p, op):
    """The union over all places."""
    x, *indices = op.operands
    if op.attr.view.dtype != p.tape.type(x).dtype:
        return p.assume_dense(op)
    places, n = _places(p, op, indices)
    if places is None:
        return p.assume_dense(op)
    rows = _memory(p, x)[places]
    if n:
        groups = np.moveaxis(rows.reshape(-1, *op.attr.view.shape), 0, -1)
        rows = p.unite_groups(groups.reshape(-1, groups.shape[-1])).reshape(op.attr.view.shape)
    p.put(op.results[0], rows)


def store_at(p, op):
    """What is stored may be at any place; what was there may be left, unless the place is known."""
    x, v, *indices = op.operands
    if op.attr.view.dtype != p.tape.type(x).dtype:
        return p.assume_dense(op)
    places, n = _places(p, op, indices)
    if places is None:
        p.note_dense(op)
        return p.put(op.results[0], p.unite(p.rows(x), p.unite_groups(p.rows(v).reshape(1, -1))))
    rows = np.broadcast_to(p.rows(v), places.shape)
    memory = p.succeed(op)
    if n == 0 and op.op.name == "store_at":
        memory[places] = rows
    else:
        p.scatter_unite(memory, places.ravel(), np.ravel(rows))


# ---- loops ------------------------------------------------------------------------------------------------------------


def loop(p, op):
    """By powers of the pattern of the body."""
    body, trips, floats = op.attr.body, op.attr.trips, _floats(p, op)
    carries = [k for k in floats if k < op.attr.carries]
    n_carried = _size(p, op, carries)
    pattern = _body_pattern(p, op, body, carries, floats).tocsc()
    by_carries, by_invariants = pattern[:, :n_carried].tocsr(), pattern[:, n_carried:].tocsr()
    if trips == 0:
        paths = eye_array(by_carries.shape[0], dtype=bool, format="csr")
        paths = _beside(paths, csr_array(by_invariants.shape, dtype=bool))
    else:
        powers = _powers(by_carries, trips - 1)
        paths = _beside(by_carries @ powers, powers @ by_invariants)
    _follow(p, op, paths, carries, floats)


def branch(p, op):
    """The union over the bodies that may be run."""
    bodies, which = op.attr.bodies, p.known.get(op.operands[-1])
    if which is not None and 0 <= which < len(bodies):
        bodies = [bodies[int(which)]]
    floats = _floats(p, op)
    carries = [k for k in floats if k < op.attr.carries]
    _follow(p, op, sum(_body_pattern(p, op, body, carries, floats) for body in bodies), carries, floats)


def _floats(p, op):
    """Positions of the operands that may have a derivative."""
    return [k for k, v in enumerate(op.operands) if p.tape.type(v).inexact]


def _size(p, op, positions):
    """Elements of these operands together."""
    return sum(p.tape.type(op.operands[k]).size for k in positions)


def _follow(p, op, paths, carries, floats):
    """Give the results the rows that `paths`, a pattern by the operands `floats`, leads to."""
    ids = np.concatenate([np.zeros(0, np.int32), *(_memory(p, op.operands[k]) for k in floats)])
    results = np.zeros(paths.shape[0], np.int32)
    rows = np.repeat(np.arange(paths.shape[0]), np.diff(paths.indptr))
    p.scatter_unite(results, rows, ids[paths.indices])
    start = 0
    for k in carries:
        t = p.tape.type(op.results[k])
        strides = tuple(4 * (s // t.dtype.itemsize) for s in t.strides)
        p.put(op.results[k], window(results[start : start + t.size].copy(), 0, t.shape, strides, results.dtype))
        start += t.size


def _body_pattern(p, op, body, carries, floats):
    """The pattern of one run of `body`."""
    from sparsead.sparsity._known import known_values
    from sparsead.sparsity._pattern import propagate
    from sparsead.sparsity.pattern import SQUEEZE_AT

    lead = op.attr.lead
    wrt, of = [body.inputs[lead + k] for k in floats], [body.outputs[k] for k in carries]
    fixed = range(op.attr.carries, len(body.inputs) - lead)
    given = {body.inputs[lead + k]: p.known[op.operands[k]] for k in fixed if op.operands[k] in p.known}
    indptr, indices, dense = propagate(body, wrt, of, known_values(body, given), SQUEEZE_AT)
    p.dense.update(dict.fromkeys(dense))
    return csr_array((np.ones(len(indices), bool), indices, indptr), (_size(p, op, carries), _size(p, op, floats)))


def _powers(pattern, n):
    """(I + pattern) to the power `n`: all paths of `n` steps or fewer."""
    result = eye_array(pattern.shape[0], dtype=bool, format="csr")
    power = (result + pattern).tocsr()
    while n:
        if n & 1:
            result = (result @ power).tocsr()
        n >>= 1
        if n:
            longer = (power @ power).tocsr()
            if longer.nnz == power.nnz:  # nothing is reached that was not: all higher powers are the same
                return power
            power = longer
    return result


def _beside(a, b):
    """Two patterns side by side."""
    a, b = a.tocoo(), b.tocoo()
    rows, columns = np.concatenate([a.row, b.row]), np.concatenate([a.col, b.col + a.shape[1]])
    return csr_array((np.ones(len(rows), bool), (rows, columns)), (a.shape[0], a.shape[1] + b.shape[1]))
