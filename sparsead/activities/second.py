"""Products with Hessians that are written into the caller's arrays."""

from __future__ import annotations

import numpy as np

from sparsead.derivatives.arranging import Arrangement
from sparsead.derivatives.gradients import _check_scalar
from sparsead.derivatives.nested import execute
from sparsead.derivatives.products import Hvp
from sparsead.transform._simplify import prune, simplify
from sparsead.transform._tangent import tangent


class HvpAndGradient(Hvp):
    """Callable that gives products with the Hessian and the gradient, in one sweep."""

    kind = "hvp_and_gradient"

    def _work(self, prepared, inputs, arguments, v):
        one, program, gradient, product = self._sweep(prepared)
        results = execute(program, [*inputs, one, *self._seeds(prepared, arguments, v)])
        n = len(prepared.active)
        return product(results[n:], arguments)[0], gradient(results[:n], arguments)[0]

    def _made(self, prepared):
        _check_scalar(self, prepared)
        n, n_adjoint = len(prepared.tape.outputs), len(prepared.adjoint_tape.outputs)
        tape = tangent(prepared.adjoint_tape, prepared.active)
        tape = simplify(prune(tape, tape.outputs[n:n_adjoint] + tape.outputs[n_adjoint + n :]))
        types, n_active = [tape.type(v) for v in tape.outputs], len(prepared.active)
        t = prepared.tape.type(prepared.tape.outputs[0])
        parts = [Arrangement(prepared, types[:n_active]), Arrangement(prepared, types[n_active:])]
        return np.ones(t.shape, t.dtype), prepared.program(tape, "hvp"), *parts


def hvp_inplace(res, f, x, v, *, engine="auto"):
    """Write the product of the Hessian of a scalar function with a vector into `res`.

    Parameters
    ----------
    res : ndarray
        Like `x`; what it holds does not matter.
    f : callable
        ``f(x)`` returns one number.
    x, v : ndarray
        The point, and the vector; they are left alone.
    engine : str
        As for `grad`.

    Raises
    ------
    TypeError
        `f` gives more than one number.
    ValueError
        Shapes that do not fit.

    Notes
    -----
    Forward over reverse: Pearlmutter, Fast exact multiplication by the Hessian, Neural Computation 6 (1994).

    Examples
    --------
    >>> import numpy as np, sparsead
    >>> res = np.empty(2)
    >>> sparsead.hvp_inplace(res, lambda x: np.sum(x**3), np.array([1.0, 2.0]), np.array([1.0, 1.0]))
    >>> res
    array([ 6., 12.])

    """
    _check_like(res, x, "res")
    res[...] = Hvp(f, 0, "return", False, engine, False)(x, v)


def hvp_and_gradient(res, grad, f, x, v, *, engine="auto"):
    """Write the product with the Hessian into `res` and the gradient into `grad`, of one sweep.

    Parameters
    ----------
    res, grad : ndarray
        Like `x`; what they hold does not matter.
    f, x, v, engine
        As for `hvp_inplace`.

    Raises
    ------
    TypeError, ValueError
        As `hvp_inplace`.

    Examples
    --------
    >>> import numpy as np, sparsead
    >>> res, grad = np.empty(2), np.empty(2)
    >>> sparsead.hvp_and_gradient(res, grad, lambda x: np.sum(x**3), np.array([1.0, 2.0]), np.array([1.0, 1.0]))
    >>> res, grad
    (array([ 6., 12.]), array([ 3., 12.]))

    """
    _check_like(res, x, "res")
    _check_like(grad, x, "grad")
    res[...], grad[...] = HvpAndGradient(f, 0, "return", False, engine, False)(x, v)


def _check_like(result, x, name):
    if np.shape(result) != np.shape(x) or result.dtype != x.dtype:
        raise ValueError(
            f"{name} has shape {np.shape(result)} and dtype {result.dtype}; it has to be like x, {np.shape(x)} and {x.dtype}"
        )
