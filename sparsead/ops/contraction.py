"""Contractions: one op, ``einsum`` with explicit output, run through BLAS where its form allows.

Law: einsum is linear in each operand; the adjoint by operand i is the einsum of the others with the result's adjoint.
"""

from __future__ import annotations

import string
from functools import lru_cache

import numpy as np

from sparsead.tape.spec import Op, register


def evaluate(subscripts, arrays):
    """``np.einsum(subscripts, *arrays)``, never a view, through BLAS for two operands."""
    if len(arrays) == 2:
        plan = _matmul_plan(subscripts)
        if plan is not None:
            return _by_matmul(plan, *arrays)
    result = np.einsum(subscripts, *arrays, optimize=len(arrays) > 2)
    return result.copy() if isinstance(result, np.ndarray) and not result.flags.owndata else result


@lru_cache(maxsize=4096)
def _matmul_plan(subscripts):
    """(batch, left, right, contracted) letters, if the contraction is a (batched) matrix product."""
    inputs, out = subscripts.split("->")
    a, b = inputs.split(",")
    if len(set(a)) < len(a) or len(set(b)) < len(b):
        return None
    batch = [c for c in out if c in a and c in b]
    contracted = [c for c in a if c in b and c not in out]
    left = [c for c in out if c in a and c not in b]
    right = [c for c in out if c in b and c not in a]
    if set(a) != set(batch + left + contracted) or set(b) != set(batch + right + contracted) or not contracted:
        return None
    perm_a = tuple(a.index(c) for c in batch + left + contracted)
    perm_b = tuple(b.index(c) for c in batch + contracted + right)
    order = batch + left + right
    return len(batch), len(left), len(right), perm_a, perm_b, tuple(order.index(c) for c in out)


def _by_matmul(plan, a, b):
    n_batch, n_left, n_right, perm_a, perm_b, perm_out = plan
    a, b = a.transpose(perm_a), b.transpose(perm_b)
    n_sum = a.ndim - n_batch - n_left
    batch, left = a.shape[:n_batch], a.shape[n_batch : n_batch + n_left]
    right = b.shape[n_batch + n_sum :]
    inner = int(np.prod(a.shape[n_batch + n_left :], dtype=np.intp))
    m, n = (int(np.prod(s, dtype=np.intp)) for s in (left, right))
    a, b = a.reshape(*batch, m, inner), b.reshape(*batch, inner, n)
    # A vector operand is handed over as one: the same BLAS routine as NumPy's own `@`, the same bits.
    if not n_batch and not n_left and not n_right:
        return np.dot(a[0], b[:, 0])
    if not n_batch and not n_right:
        product = np.matmul(a, b[:, 0])
    elif not n_batch and not n_left:
        product = np.matmul(a[0], b)
    else:
        product = np.matmul(a, b)
    return product.reshape(batch + left + right).transpose(perm_out)


def _einsum(arrays, op, types):
    return (evaluate(op.attr, arrays),)


def _parts(op):
    inputs, out = op.attr.split("->")
    return inputs.split(","), out


def _contract(e, terms, out, operands):
    dims = {}
    for term, v in zip(terms, operands, strict=True):
        dims.update(zip(term, e.type(v).shape, strict=True))
    vtype = e.array_type(e.type(operands[0]).dtype, tuple(dims[c] for c in out))
    return e.op("einsum", operands, vtype, ",".join(terms) + "->" + out)


def _einsum_tangent(e, op, dots):
    terms, out = _parts(op)
    total = None
    for i, dot in enumerate(dots):
        if dot is None:
            continue
        operands = [dot if j == i else v for j, v in enumerate(op.operands)]
        term = _contract(e, terms, out, operands)
        total = term if total is None else e.ew("add", total, term)
    return [total]


def _einsum_adjoint(e, op, bars):
    return {i: _adjoint_by(e, op, i, bars[0]) for i in range(len(op.operands)) if e.wanted(op.operands[i])}


def _adjoint_by(e, op, i, g):
    """Adjoint of operand i: contract the others with g; letters summed from i alone are spread again."""
    terms, out = _parts(op)
    others = [(terms[j], e.primal(op.operands[j])) for j in range(len(terms)) if j != i]
    shape = e.type(op.operands[i]).shape
    letters = "".join(dict.fromkeys(terms[i]))  # a repeated letter is a diagonal
    known = set(out).union(*(t for t, _ in others)) if others else set(out)
    inner = "".join(c for c in letters if c in known)
    result = _contract(e, [out] + [t for t, _ in others], inner, [g] + [v for _, v in others])
    sizes = dict(zip(terms[i], shape, strict=True))
    if inner != letters:
        missing = [k for k, c in enumerate(letters) if c not in known]
        result = e.expand(result, missing, tuple(sizes[c] for c in letters))
    return result if letters == terms[i] else e.on_diagonal(result, terms[i], letters, shape)


def _einsum_batch(e, op, flags, lanes, types):
    terms, out = _parts(op)
    letter = next(c for c in string.ascii_letters if c not in op.attr)
    terms = [letter + t if flag else t for t, flag in zip(terms, flags, strict=True)]
    return [_contract(e, terms, letter + out, op.operands)]


def _einsum_needs(op):
    return tuple(range(len(op.operands))) if len(op.operands) > 1 else (), ()


register(Op("einsum", 17, _einsum, tangent=_einsum_tangent, adjoint=_einsum_adjoint, needs=_einsum_needs,
            batch=_einsum_batch))  # fmt: skip
