"""Contractions: one op, ``einsum`` with explicit output, run through BLAS where its form allows.

Law: einsum is linear in each operand; the adjoint by operand i is the einsum of the others, conjugated, with the result's
adjoint.
"""

from __future__ import annotations

import string
from functools import lru_cache
from math import prod

import numpy as np

from sparsead.tape.spec import Op, View, register


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
    """How the contraction is a (batched) matrix product, or None.

    (how many letters are of the batch, of the left and of the right operand alone; the axes of the operands and of the product in
    the order of the operands and of the result; those of the result in the order of the product).
    """
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
    perm_out, axes = (tuple(one.index(c) for c in other) for one, other in ((order, out), (out, order)))
    return len(batch), len(left), len(right), perm_a, perm_b, perm_out, axes


def _by_matmul(plan, a, b):
    a, b, shape = _matrices(plan, a, b)
    return _product(plan, a, b).reshape(shape).transpose(plan[5])


def _matrices(plan, a, b):
    """(the operands as stacks of matrices, the shape of the result with its letters in their order)."""
    n_batch, n_left, _, perm_a, perm_b, *_ = plan
    a, b = a.transpose(perm_a), b.transpose(perm_b)
    n_sum = a.ndim - n_batch - n_left
    batch, left = a.shape[:n_batch], a.shape[n_batch : n_batch + n_left]
    right = b.shape[n_batch + n_sum :]
    inner, m, n = prod(a.shape[n_batch + n_left :]), prod(left), prod(right)
    return a.reshape(*batch, m, inner), b.reshape(*batch, inner, n), batch + left + right


def _product(plan, a, b, out=None):
    # A vector operand is handed over as one: the same BLAS routine as NumPy's own `@`, the same bits.
    n_batch, n_left, n_right, *_ = plan
    if not n_batch and not n_left and not n_right:
        return np.dot(a[0], b[:, 0])
    if not n_batch and not n_right:
        return np.matmul(a, b[:, 0], out=out)
    if not n_batch and not n_left:
        return np.matmul(a[0], b, out=out)
    return np.matmul(a, b, out=out)


def _einsum(arrays, op, types):
    return (evaluate(op.attr, arrays),)


def _einsum_into(arrays, op, types, out):
    plan = _matmul_plan(op.attr) if len(arrays) == 2 else None
    if plan is None:
        np.einsum(op.attr, *arrays, out=out, optimize=len(arrays) > 2)
        return
    a, b, shape = _matrices(plan, *arrays)
    target = _rows_of(plan, out, a, b)
    product = _product(plan, a, b, target)
    if target is None:
        out[...] = product.reshape(shape).transpose(plan[5])


def _rows_of(plan, out, a, b):
    """What `_product` is to write, if it lies in `out` matrix by matrix; else None."""
    n_batch, n_left, n_right, *_, axes = plan
    if not n_batch and not n_left and not n_right:
        return None
    if (n_left > 1 or n_right > 1) and not (out.flags.c_contiguous and axes == tuple(range(out.ndim))):
        return None  # letters that are one axis of the product
    shape = a.shape[: a.ndim - 2] + (a.shape[-2:-1] if n_batch or n_left else ()) + (b.shape[-1:] if n_batch or n_right else ())
    rows = out.transpose(axes).reshape(shape)
    lies = rows.strides[-1] == rows.itemsize and rows.strides[-2:-1] in ((), (rows.shape[-1] * rows.itemsize,))
    return rows if lies else None


def _parts(op):
    inputs, out = op.attr.split("->")
    return inputs.split(","), out


def _contract(e, terms, out, operands):
    if len(operands) > 1 and all(set(term) <= set(out) for term in terms):
        return _product_of(e, terms, out, operands)
    dims = {}
    for term, v in zip(terms, operands, strict=True):
        dims.update(zip(term, e.type(v).shape, strict=True))
    vtype = e.array_type(e.type(operands[0]).dtype, tuple(dims[c] for c in out))
    return e.op("einsum", operands, vtype, ",".join(terms) + "->" + out)


def _product_of(e, terms, out, operands):
    """A contraction that sums nothing: the product of what is seen of the operands along the axes of the result."""
    dims, product = {}, None
    for term, v in zip(terms, operands, strict=True):
        dims.update(zip(term, e.type(v).shape, strict=True))
    for term, v in zip(terms, operands, strict=True):
        t = e.type(v)
        strides = tuple(sum(s for c, s in zip(term, t.strides, strict=True) if c == letter) for letter in out)
        seen = e.load(v, View(tuple(dims[c] for c in out), strides, t.dtype))
        product = seen if product is None else e.ew("multiply", product, seen)
    return product


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
    others = [(terms[j], e.conj(e.primal(op.operands[j]))) for j in range(len(terms)) if j != i]
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
            batch=_einsum_batch, into=_einsum_into, of_complex=True))  # fmt: skip
