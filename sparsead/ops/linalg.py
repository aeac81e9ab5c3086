"""Linear algebra of stacks of square matrices: systems of equations and determinants.

Laws: x = a^-1 b has d(x) = a^-1 (d(b) - d(a) x); its adjoint by b is g = a^-H x_bar, and by a it is -g x^H. A determinant has
d(det a) = sum(cof(a) * d(a)) with the matrix of cofactors, which is finite for singular matrices too, and
d(log|det a|) = sum(a^-T * d(a)). See Giles, An extended collection of matrix derivative results for forward and reverse mode
algorithmic differentiation (2008).

All operands of an op have the same leading axes. A singular matrix raises ``numpy.linalg.LinAlgError``, as in NumPy.
"""

from __future__ import annotations

import string

import numpy as np
from numpy import eye
from numpy.linalg import det, slogdet, svd
from numpy.linalg import solve as solve_systems

from sparsead.tape.spec import Op, register


def _like(e, v, shape=None):
    """The C-order type of the dtype of `v`."""
    t = e.type(v)
    return e.array_type(t.dtype, t.shape if shape is None else shape)


def _transposed(e, a):
    n = len(e.type(a).shape)
    return e.transpose(a, (*range(n - 2), n - 1, n - 2))


def _product(e, a, b):
    """``a @ b`` of two stacks of matrices."""
    shape = e.type(a).shape[:-1] + e.type(b).shape[-1:]
    lead = string.ascii_lowercase[: len(shape) - 2]
    return e.op("einsum", (a, b), _like(e, a, shape), f"{lead}IJ,{lead}JK->{lead}IK")


def _core(e, a):
    """The two axes of the matrices."""
    n = len(e.type(a).shape)
    return n - 2, n - 1


def _spread(e, v, a):
    """One number per matrix of `a`, at all of its elements."""
    return e.expand(v, _core(e, a), e.type(a).shape)


def _inner(e, a, b):
    """Sum of ``a * b`` over each matrix."""
    return e.sum(e.ew("multiply", a, b), _core(e, a))


# ---- systems of equations --------------------------------------------------------------------------------------------


def _solve(arrays, op, types):
    return (solve_systems(*arrays),)


def _solution(e, a, b):
    return e.op("solve", (a, b), _like(e, b))


def _solve_tangent(e, op, dots):
    a_dot, b_dot = dots
    if a_dot is None:
        return [_solution(e, op.operands[0], b_dot)]
    moved = _product(e, a_dot, op.results[0])
    right = e.ew("negative", moved) if b_dot is None else e.ew("subtract", b_dot, moved)
    return [_solution(e, op.operands[0], right)]


def _solve_adjoint(e, op, bars):
    g = _solution(e, e.conj(_transposed(e, e.primal(op.operands[0]))), bars[0])
    if not e.wanted(op.operands[0]):
        return {1: g}
    return {0: e.ew("negative", _product(e, g, e.conj(_transposed(e, e.primal(op.results[0]))))), 1: g}


def _solve_batch(e, op, flags, lanes, types):
    a, b = op.operands
    if flags[0]:
        return [_solution(e, a, b if flags[1] else e.broadcast(b, (lanes, *e.type(b).shape)))]
    # The right-hand sides of all lanes are columns of one system, whose matrix is factorised once.
    _, *lead, n, k = e.type(b).shape
    m = len(lead)
    columns = e.reshape(e.transpose(b, (*range(1, m + 2), 0, m + 2)), (*lead, n, lanes * k))
    x = e.reshape(_solution(e, a, columns), (*lead, n, lanes, k))
    return [e.transpose(x, (m + 1, *range(m + 1), m + 2))]


register(Op("solve", 22, _solve, tangent=_solve_tangent, adjoint=_solve_adjoint, needs=lambda op: ((0,), (0,)),
            batch=_solve_batch, of_complex=True))  # fmt: skip


# ---- determinants ----------------------------------------------------------------------------------------------------


def _determinant(arrays, op, types):
    return (det(arrays[0]),)


def _log_determinant(arrays, op, types):
    return (slogdet(arrays[0])[1],)


def _cofactors(arrays, op, types):
    """From the singular values, so that no rank is special: (u s v)^-T det(u s v), with s^-1 det(s) as products of the others.

    The inverse of a unitary matrix, transposed, is its conjugate.
    """
    u, s, vt = svd(arrays[0])
    others = np.where(eye(s.shape[-1], dtype=bool), 1, s[..., None, :]).prod(axis=-1)
    volume, (u, vt) = (det(u) * det(vt))[..., None, None], (u.conj(), vt.conj())
    return (volume * (u * others[..., None, :]) @ vt,)


def _cofactors_of(e, a):
    return e.op("cofactors", (a,), _like(e, a))


def _inverse_transposed(e, a):
    shape = e.type(a).shape
    identity = e.tape.const(eye(shape[-1], dtype=e.type(a).dtype))
    return _solution(e, _transposed(e, a), e.broadcast(identity, shape))


def _weighted_sum(weights):
    """Tangent and adjoint of a number per matrix whose partials are the matrices `weights`."""

    def tangent(e, op, dots):
        return [_inner(e, dots[0], weights(e, op.operands[0]))]

    def adjoint(e, op, bars):
        a = e.primal(op.operands[0])
        return {0: e.ew("multiply", _spread(e, bars[0], a), e.conj(weights(e, a)))}

    return {"tangent": tangent, "adjoint": adjoint, "needs": lambda op: ((0,), ())}


def _change_of_cofactors(e, a, c, v):
    """(<c, v> c - c v^T c) / det: symmetric, so that it is tangent and, conjugated, adjoint; of regular matrices."""
    straight = e.ew("multiply", _spread(e, _inner(e, c, v), a), c)
    crossed = _product(e, _product(e, c, _transposed(e, v)), c)
    volume = e.op("det", (a,), _like(e, a, e.type(a).shape[:-2]))
    return e.ew("divide", e.ew("subtract", straight, crossed), _spread(e, volume, a))


def _cofactors_tangent(e, op, dots):
    return [_change_of_cofactors(e, op.operands[0], op.results[0], dots[0])]


def _cofactors_adjoint(e, op, bars):
    return {0: _change_of_cofactors(e, e.conj(e.primal(op.operands[0])), e.conj(e.primal(op.results[0])), bars[0])}


def _batch_stack(e, op, flags, lanes, types):
    """Lanes are one more leading axis."""
    return [e.op(op.op.name, op.operands, e.array_type(types[0].dtype, types[0].shape))]


register(Op("det", 23, _determinant, batch=_batch_stack, of_complex=True, **_weighted_sum(_cofactors_of)))
register(Op("logabsdet", 24, _log_determinant, batch=_batch_stack, **_weighted_sum(_inverse_transposed)))
register(Op("cofactors", 25, _cofactors, tangent=_cofactors_tangent, adjoint=_cofactors_adjoint, needs=lambda op: ((0,), (0,)),
            batch=_batch_stack, of_complex=True))  # fmt: skip
