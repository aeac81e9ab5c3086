"""The rows of ops that are neither elementwise nor windows: one rule per op, on arrays of row ids.

Law: ``rule(p, op)`` gives ``p.put(result, ids)`` for every result of `op`. An id names a set of columns, 0 the empty one;
`p` is the `Propagation` of ``_pattern.pyx``, and ``p.rows(v)`` is an int32 array of the shape of `v`.
"""

from __future__ import annotations

import math

import numpy as np

from sparsead.ops.structural import positions
from sparsead.sparsity.loops import branch, load_at, loop, store_at
from sparsead.tape._memory import laid_out, window

# A constant factor is looked at entry by entry as long as there are no more pairs of an entry and a column than this,
# or if most of it is zeros; else it is taken for full: about 0.2 s and 300 MB.
MAX_PAIRS = 1 << 24


# ---- reductions and scans -----------------------------------------------------------------------------------------


def _last(rows, axes):
    """`rows` with `axes` moved to the end and joined to one."""
    kept = [k for k in range(rows.ndim) if k not in axes]
    moved = rows.transpose(*kept, *axes)
    return moved.reshape(moved.shape[: len(kept)] + (math.prod(moved.shape[len(kept) :]),))


def _unite_axes(p, rows, axes):
    """The union over `axes`."""
    joined = _last(rows, axes)
    return p.unite_groups(joined.reshape(-1, joined.shape[-1])).reshape(joined.shape[:-1])


def _sum(p, op):
    p.put(op.results[0], _unite_axes(p, p.rows(op.operands[0]), op.attr))


def _reduce(p, op):
    p.put(op.results[0], _unite_axes(p, p.rows(op.operands[0]), op.attr[1]))


def _scan(p, op):
    name, axis = op.attr
    carried, taken = p.partials_used(name)
    rows = np.array(np.moveaxis(p.rows(op.operands[0]), axis, -1))
    if not taken:
        rows[..., 1:] = 0
    p.put(op.results[0], np.moveaxis(p.unite_prefixes(rows) if carried else rows, -1, axis))


def _linrec(p, op):
    """z_i = a_i z_{i-1} + c_i depends on all c_j and a_j before, but not on the first a, which meets no z."""
    axis, reverse = op.attr
    step = -1 if reverse else 1
    a, c = (np.moveaxis(p.rows(v), axis, -1)[..., ::step] for v in op.operands)
    rows = p.unite_prefixes(c, a if p.active(op.operands[0]) else None)
    p.put(op.results[0], np.moveaxis(rows[..., ::step], -1, axis))


# ---- memory ---------------------------------------------------------------------------------------------------------


def _lanes(p, op, memory):
    """`memory` by lanes of a batch; index arrays hold positions in one lane."""
    return memory.reshape(op.imm or 1, -1)


def flat_memory(p, v):
    """Row ids of `v` in the order of its memory."""
    t = p.tape.type(v)
    rows = laid_out(p.rows(v), t.shape, tuple(4 * (s // t.dtype.itemsize) for s in t.strides), np.dtype(np.int32))
    return window(rows, 0, (t.size,), (4,), np.dtype(np.int32))


def _gather(p, op):
    x, pos = op.operands
    if pos not in p.known:
        return p.assume_dense(op)
    rows = _lanes(p, op, flat_memory(p, x))[:, p.known[pos]]
    p.put(op.results[0], rows.reshape(p.tape.type(op.results[0]).shape))


def _written(p, op, pos, rows):
    """Positions and rows of a scatter as flat arrays over all lanes."""
    lanes, size = op.imm or 1, p.tape.type(op.results[0]).size
    pos = np.where(pos < 0, pos + size // lanes, pos).astype(np.int64)
    if pos.size and not (0 <= pos.min() and pos.max() < size // lanes):
        raise IndexError(f"{op.op.name} at {op.line}: positions out of bounds for {size // lanes} elements")
    pos = np.arange(lanes).reshape((lanes,) + (1,) * pos.ndim) * (size // lanes) + pos
    return pos.ravel(), np.broadcast_to(rows, pos.shape if op.imm else pos.shape[1:]).ravel()


def _scatter(p, op):
    _, pos, v = op.operands
    if pos not in p.known:
        return _scatter_anywhere(p, op)
    pos, rows = _written(p, op, p.known[pos], p.rows(v))
    p.succeed(op)[pos] = rows  # of repeated positions the last one wins, as in NumPy


def _scatter_add(p, op):
    _, pos, v = op.operands
    if pos not in p.known:
        return _scatter_anywhere(p, op)
    p.scatter_unite(p.succeed(op), *_written(p, op, p.known[pos], p.rows(v)))


def _scatter_anywhere(p, op):
    p.note_dense(op)
    x, _, v = op.operands
    p.put(op.results[0], p.unite(p.rows(x), p.unite_groups(p.rows(v).reshape(1, -1))))


def _load_part(p, op):
    """Real or imaginary parts: each may depend on what its number depends on."""
    p.put(op.results[0], flat_memory(p, op.operands[0])[_numbers(p, op)])


def _store_part(p, op):
    """Into real or imaginary parts: the other one stays, so what was there counts still."""
    pos = _numbers(p, op)
    rows = np.broadcast_to(p.rows(op.operands[1]), pos.shape)
    p.scatter_unite(p.succeed(op), pos.ravel(), rows.ravel())


def _numbers(p, op):
    """Positions in memory of the complex numbers whose parts a view shows."""
    return positions(op.attr, op.imm) * op.attr.dtype.itemsize // p.tape.type(op.operands[0]).dtype.itemsize


def _accumulate(p, op):
    """Into a view that overlaps itself."""
    pos = positions(op.attr, op.imm)
    rows = np.broadcast_to(p.rows(op.operands[1]), pos.shape)
    p.scatter_unite(p.succeed(op), pos.ravel(), rows.ravel())


# ---- products with known zeros, choices by known conditions ---------------------------------------------------------


def _multiply(p, op):
    """Whether one factor is known and has zeros: what they meet does not count."""
    for v, factor in (op.operands, op.operands[::-1]):
        if p.active(v) and factor in p.known:
            zeros = p.known[factor] == 0
            if zeros.any():
                p.put(op.results[0], np.where(zeros, 0, p.rows(v)))
                return True
    return False


def _select(p, op):
    """Whether the condition is known."""
    condition, a, b = op.operands
    if condition not in p.known:
        return False
    p.put(op.results[0], np.where(p.known[condition], p.rows(a), p.rows(b)))
    return True


# ---- contractions ---------------------------------------------------------------------------------------------------


def _einsum(p, op):
    """Each operand in turn, the others taken for full: the union over the letters that it does not share with the result."""
    inputs, out = op.attr.split("->")
    terms, total = inputs.split(","), None
    sizes = {}
    for term, v in zip(terms, op.operands, strict=True):
        sizes |= zip(term, p.tape.type(v).shape, strict=True)
    if 0 in sizes.values():
        return
    for i, v in enumerate(op.operands):
        if p.active(v):
            rows, letters = _diagonal(p.rows(v), terms[i])
            part = None
            if len(terms) == 2:
                part = _by_known_factor(p, rows, letters, op.operands[1 - i], terms[1 - i], out, sizes)
            if part is None:
                part = _by_full_factors(p, rows, letters, out)
            total = part if total is None else p.unite(total, part)
    p.put(op.results[0], total)


def _diagonal(array, term):
    """A view with one axis for each letter."""
    letters = "".join(dict.fromkeys(term))
    return np.einsum(f"{term}->{letters}", array), letters


def _by_full_factors(p, rows, letters, out):
    rows = _unite_axes(p, rows, [k for k, c in enumerate(letters) if c not in out])
    letters = [c for c in letters if c in out]
    rows = rows.transpose([letters.index(c) for c in out if c in letters])
    return rows[tuple(slice(None) if c in letters else None for c in out)]


def _by_known_factor(p, rows, letters, factor, term, out, sizes):
    """The same over the nonzero entries of a known factor; None where that does not pay."""
    if factor not in p.known or not term:
        return None
    factor, term = _diagonal(p.known[factor], term)
    entries = np.nonzero(factor)
    free = [c for c in letters if c not in term]
    shape = [sizes[c] for c in out]
    n_pairs = entries[0].size * math.prod(sizes[c] for c in free)
    if entries[0].size == factor.size or n_pairs > max(MAX_PAIRS, 4 * math.prod(shape)):
        return None
    at = dict(zip(term, (index.reshape((-1,) + (1,) * len(free)) for index in entries), strict=True))
    at |= zip(free, np.indices([sizes[c] for c in free], sparse=True), strict=True)
    memory = np.zeros(math.prod(shape), np.int32)
    targets = np.arange(memory.size).reshape(shape)[tuple(at[c] for c in out)]
    pairs = np.broadcast_arrays(targets, rows[tuple(at[c] for c in letters)], *at.values())[:2]
    p.scatter_unite(memory, *(np.ravel(x) for x in pairs))
    return memory.reshape(shape)


# ---- linear algebra ---------------------------------------------------------------------------------------------------


def _solve(p, op):
    """Dense within each system: a column of x depends on that column of b and on all of the matrix."""
    x = op.results[0]
    by_matrix, by_column = (p.rows(v) for v in op.operands)
    parts = [_unite_axes(p, by_matrix, (by_matrix.ndim - 2, by_matrix.ndim - 1))[..., None]] if p.active(op.operands[0]) else []
    if p.active(op.operands[1]):
        parts.append(_unite_axes(p, by_column, (by_column.ndim - 2,)))
    rows = parts[0] if len(parts) == 1 else p.unite(*np.broadcast_arrays(*parts))
    p.put(x, np.broadcast_to(rows[..., None, :], p.tape.type(x).shape))


def _by_matrix(p, op):
    """Everything depends on all of its matrix."""
    rows = p.rows(op.operands[0])
    rows = _unite_axes(p, rows, (rows.ndim - 2, rows.ndim - 1))
    shape = p.tape.type(op.results[0]).shape
    p.put(op.results[0], np.broadcast_to(rows[(..., *[None] * (len(shape) - rows.ndim))], shape))


# ---- functions that cannot be traced --------------------------------------------------------------------------------


def _black_box(p, op):
    """By the patterns that the user gave, over C-order elements; dense where there is none."""
    shape = p.tape.type(op.results[0]).shape
    memory = np.zeros(math.prod(shape), np.int32)
    for i, v in enumerate(op.operands):
        if not p.active(v):
            continue
        rows, pattern = p.rows(v).ravel(), op.attr.pattern(i)
        if pattern is None:
            p.note_dense(op)
            memory = p.unite(memory, p.unite_groups(rows[None]))
        else:
            p.scatter_unite(memory, pattern[0], rows[pattern[1]])
    p.put(op.results[0], memory.reshape(shape))


RULES = {
    "accumulate": _accumulate,
    "load": _load_part,
    "store": _store_part,
    "accumulate_at": store_at,
    "black_box": _black_box,
    "branch": branch,
    "cofactors": _by_matrix,
    "det": _by_matrix,
    "einsum": _einsum,
    "gather": _gather,
    "linrec": _linrec,
    "load_at": load_at,
    "logabsdet": _by_matrix,
    "loop": loop,
    "multiply": _multiply,
    "reduce": _reduce,
    "scan": _scan,
    "scatter": _scatter,
    "scatter_add": _scatter_add,
    "select": _select,
    "solve": _solve,
    "store_at": store_at,
    "strong_multiply": _multiply,
    "sum": _sum,
}
