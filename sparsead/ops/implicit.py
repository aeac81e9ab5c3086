"""Solutions of equations: x with r(x, p_1, .., p_n) = 0.

Law: with A = dr/dx at the solution, A d(x) = -(dr/dp) d(p); the adjoint solves A^T g = x_bar once, and p_bar is -(dr/dp)^T g.
The starting point has no influence. A solution y of A y = b has A d(y) = d(b) - d(A) y, with A (x, p) y as a function of x and p
at a fixed y; the same holds for A^T. So every derivative is again such a system, of the one matrix, and none goes through the
iterations that found x. See Griewank and Walther, Evaluating Derivatives (2008), chapter 15; Blondel et al., Efficient and
Modular Implicit Differentiation, NeurIPS 2022.

The attribute of ``implicit(x0, p_1, .., p_n)`` has the solver and the equation, that of ``implicit_solve(b, x, p_1, .., p_n)``
is a `System` (see `sparsead.derivatives.equations`). The tapes of an equation have inputs (x, p_1, .., p_n).
"""

from __future__ import annotations

from sparsead.tape.spec import Op, register


def _evaluate(arrays, op, types):
    return (op.attr.solution(arrays[0], arrays[1:]),)


def _system(e, b, point, system):
    return e.op("implicit_solve", (b, *point), e.type(point[0]), system)


def _tangent(e, op, dots):
    moving = tuple(k for k, dot in enumerate(dots) if k and dot is not None)
    if not moving:
        return [None]
    point = [op.results[0], *op.operands[1:]]
    (r,) = e.tape.inline(op.attr.equation.residual.tangent(moving), [*point, *(dots[k] for k in moving)])
    return [_system(e, e.ew("negative", r), point, op.attr.system(False))]


def _adjoint(e, op, bars):
    wanted = tuple(k for k, v in enumerate(op.operands) if k and e.wanted(v))
    point = [e.primal(op.results[0]), *(e.primal(v) for v in op.operands[1:])]
    g = e.ew("negative", _system(e, bars[0], point, op.attr.system(True)))
    return dict(zip(wanted, e.tape.inline(op.attr.equation.residual.adjoint(wanted), [*point, g]), strict=True))


def _evaluate_system(arrays, op, types):
    b, *point = arrays
    return (op.attr.solution(b, point).reshape(types[0].shape),)


def _system_tangent(e, op, dots):
    system, point = op.attr, op.operands[1:]
    moving = tuple(k for k, dot in enumerate(dots[1:]) if dot is not None)
    right = dots[0]
    if moving:
        (moved,) = e.tape.inline(system.product.tangent(moving), [*point, op.results[0], *(dots[1 + k] for k in moving)])
        right = e.ew("negative", moved) if right is None else e.ew("subtract", right, moved)
    return [_system(e, right, point, system)]


def _system_adjoint(e, op, bars):
    system, point = op.attr, [e.primal(v) for v in op.operands[1:]]
    g = _system(e, bars[0], point, system.transposed())
    wanted = tuple(k for k, v in enumerate(op.operands[1:]) if e.wanted(v))
    if not wanted:
        return {0: g}
    operands = [*point, e.primal(op.results[0]), e.ew("negative", g)]
    made = e.tape.inline(system.product.adjoint(wanted), operands)
    return {0: g, **{1 + k: bar for k, bar in zip(wanted, made, strict=True)}}


def _system_batch(e, op, flags, lanes, types):
    """The right sides of all lanes belong to one matrix, which is factorised once."""
    if any(flags[1:]):
        raise TypeError(f"{op.attr.label}: its solution may not depend on a seed")
    return [e.op("implicit_solve", op.operands, types[0], op.attr)]


def _needs(op):
    return tuple(range(1, len(op.operands))), (0,)


register(Op("implicit", 37, _evaluate, tangent=_tangent, adjoint=_adjoint, needs=_needs, user=True))
register(Op("implicit_solve", 38, _evaluate_system, tangent=_system_tangent, adjoint=_system_adjoint, needs=_needs,
            batch=_system_batch, user=True))  # fmt: skip
