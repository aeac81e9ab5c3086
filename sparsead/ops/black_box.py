"""Functions that run but cannot be traced: an op for the value, and one for the entries of its Jacobian.

Law: the attribute of both ops is a call (see `sparsead.derivatives.black_box`) that computes with plain arrays. By
operand i the Jacobian is a value of the tape, all of it as an (m, n_i) matrix, or its entries at the rows and columns
of a pattern; what a tangent or adjoint does with it are ordinary ops. The Jacobian itself has no derivative.
"""

from __future__ import annotations

import numpy as np

from sparsead.tape.spec import GuardFailed, Op, register


def _evaluate(arrays, op, types):
    result = op.attr.value(arrays)
    if np.shape(result) != types[0].shape or np.asarray(result).dtype != types[0].dtype:
        raise GuardFailed(f"{op.attr.name} gave shape {np.shape(result)}, the trace had {types[0].shape}")
    return (result,)


def _jacobian(arrays, op, types):
    call, i = op.attr
    return (call.jacobian(arrays, i),)


def _flat(e, v, dtype):
    v = e.cast(v, dtype)
    return e.reshape(v, (e.type(v).size,))


def _jacobian_of(e, op, i, operands):
    """The value that holds the Jacobian by operand i, and its pattern (rows, columns) as values, if there is one."""
    dtype, pattern = e.type(op.results[0]).dtype, op.attr.pattern(i)
    m, n = e.type(op.results[0]).size, e.type(op.operands[i]).size
    shape = (m, n) if pattern is None else (len(pattern[0]),)
    J = e.op("black_box_jacobian", operands, e.array_type(dtype, shape), (op.attr, i))
    return J, None if pattern is None else [e.tape.const(index) for index in pattern]


def _times(e, J, pattern, v, n):
    """``J @ v``, or ``J.T @ v`` with `pattern` the other way round; n elements."""
    rows, columns = pattern
    v = e.op("gather", (v, columns), e.type(J))
    t = e.array_type(e.type(J).dtype, (n,))
    return e.op("scatter_add", (e.zeros(t), rows, e.ew("multiply", J, v)), t)


def _tangent(e, op, dots):
    result, total = e.type(op.results[0]), None
    for i, dot in enumerate(dots):
        if dot is None:
            continue
        J, pattern = _jacobian_of(e, op, i, op.operands)
        dot = _flat(e, dot, result.dtype)
        if pattern is None:
            term = e.op("einsum", (J, dot), e.array_type(result.dtype, (result.size,)), "ij,j->i")
        else:
            term = _times(e, J, pattern, dot, result.size)
        total = term if total is None else e.ew("add", total, term)
    return [e.reshape(total, result.shape)]


def _adjoint(e, op, bars):
    operands = [e.primal(v) for v in op.operands]
    return {i: _adjoint_by(e, op, i, operands, bars[0]) for i, v in enumerate(op.operands) if e.wanted(v)}


def _adjoint_by(e, op, i, operands, bar):
    t = e.type(op.operands[i])
    J, pattern = _jacobian_of(e, op, i, operands)
    bar = _flat(e, bar, e.type(J).dtype)
    if pattern is None:
        g = e.op("einsum", (J, bar), e.array_type(e.type(J).dtype, (t.size,)), "ij,i->j")
    else:
        g = _times(e, J, pattern[::-1], bar, t.size)
    return e.reshape(g, t.shape)


def _no_second(e, op, seeds):
    raise NotImplementedError(
        f"second derivatives of sparsead.black_box({op.attr[0].name}) are not available: its Jacobian is computed "
        "outside "
        "the tape"
    )


def _all_operands(op):
    return tuple(range(len(op.operands))), ()


register(Op("black_box", 20, _evaluate, tangent=_tangent, adjoint=_adjoint, needs=_all_operands, user=True))
register(Op("black_box_jacobian", 21, _jacobian, tangent=_no_second, adjoint=_no_second, needs=_all_operands, user=True))
