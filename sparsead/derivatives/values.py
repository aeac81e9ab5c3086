"""Sparse Jacobians and Hessians together with the value, in one run.

Law: what the entries are computed from is the function itself, so its value comes from the same sweep.
"""

from __future__ import annotations

from sparsead.derivatives.arranging import Arrangement
from sparsead.derivatives.jacobians import Hessian, Jacobian


class ValueAndJacobian(Jacobian):
    """Callable that gives the value and the Jacobian; made by `value_and_jacobian`."""

    kind = "value_and_jacobian"

    def _kept(self, prepared):
        return range(len(prepared.tape.outputs))

    def _result(self, prepared, jacobian, values):
        targets, aux = prepared.values(values)
        value = targets[0] if self._single_of else tuple(targets)
        return ((value, aux) if self.has_aux else value), jacobian


class ValueGradientAndHessian(Hessian):
    """Callable that gives the value, the gradient and the Hessian; made by `value_gradient_and_hessian`."""

    kind = "value_gradient_and_hessian"

    def __call__(self, *args, out=None, **kwargs):
        """``(value, gradient, Hessian)`` at the arguments."""
        return self._run(args, kwargs, lambda p, inputs, arguments: self._arranged(p, arguments, *self._work(p, inputs, out)))

    def _kept(self, prepared):
        return range(len(prepared.active) + 1)

    def _result(self, prepared, hessian, values):
        return values, hessian

    def _arranged(self, prepared, arguments, values, hessian):
        *adjoints, value = values
        grads = prepared.once("arranged", lambda: self._arrangement(prepared))(adjoints, arguments)
        return prepared.values([value])[0][0], grads[0] if self._single_wrt else tuple(grads), hessian

    def _arrangement(self, prepared):
        gradient = self._compressed(prepared).tape
        return Arrangement(prepared, [gradient.type(v) for v in gradient.outputs[:-1]])


class ValueAndHessian(Hessian):
    """Callable that gives the value and the Hessian; made by `value_and_hessian`."""

    kind = "value_and_hessian"

    def _kept(self, prepared):
        return (len(prepared.active),)

    def _result(self, prepared, hessian, values):
        return prepared.values(values)[0][0], hessian


def value_and_jacobian(f, wrt=0, of="return", *, has_aux=False, format="csr", order="natural", method="auto", pattern=None,
                       coloring=None, memory=None, check=False, engine="auto", fast=False):  # fmt: skip
    """Value and sparse Jacobian of a function, as a function: both in one run.

    Parameters are those of `jacobian`.

    Returns
    -------
    ValueAndJacobian
        Like the result of `jacobian`, ``out=`` included; gives ``(value, jacobian)``, or ``((value, aux), jacobian)`` with
        `has_aux`. The value has the structure of what `of` names, a tuple if `of` is one.

    Raises
    ------
    TypeError, ValueError, MemoryError
        See `jacobian`.

    Notes
    -----
    Newton's method wants both at each point: the value costs next to nothing, as the entries are made of what it is made of.

    Examples
    --------
    >>> import numpy as np, sparsead
    >>> from scipy.sparse.linalg import spsolve
    >>> newton = sparsead.value_and_jacobian(lambda x: x**3 + np.roll(x, 1) - 2, format="csc")
    >>> x = np.array([2.0, 1.5, 1.2])
    >>> for _ in range(8):
    ...     value, J = newton(x)
    ...     x -= spsolve(J, value)
    >>> x.round(12)
    array([1., 1., 1.])

    """
    return ValueAndJacobian(f, wrt, of, has_aux, engine, fast, format, order, method, pattern, coloring, memory, check)


def value_and_hessian(f, wrt=0, of="return", *, format="csr", order="natural", method="auto", pattern=None, coloring=None,
                      memory=None, check=False, engine="auto", fast=False):  # fmt: skip
    """Value and sparse Hessian of a scalar function, as a function: both in one run.

    Parameters are those of `hessian`; `f` gives one number.

    Returns
    -------
    ValueAndHessian
        Like the result of `hessian`, ``out=`` included; gives ``(value, hessian)``.

    Examples
    --------
    >>> import numpy as np, sparsead
    >>> value, H = sparsead.value_and_hessian(lambda x: np.sum(x**3))(np.array([1.0, 2.0]))
    >>> float(value), H.diagonal()
    (9.0, array([ 6., 12.]))

    """
    return ValueAndHessian(f, wrt, of, False, engine, fast, format, order, method, pattern, coloring, memory, check)


def value_gradient_and_hessian(f, wrt=0, of="return", *, format="csr", order="natural", method="auto", pattern=None,
                               coloring=None, memory=None, check=False, engine="auto", fast=False):  # fmt: skip
    """Value, gradient and sparse Hessian of a scalar function, as a function: all in one run.

    Parameters are those of `hessian`; `f` gives one number.

    Returns
    -------
    ValueGradientAndHessian
        Like the result of `hessian`, ``out=`` included; gives ``(value, gradient, hessian)``. The gradient has the structure of
        the argument, as that of `grad`.

    Examples
    --------
    >>> import numpy as np, sparsead
    >>> value, gradient, H = sparsead.value_gradient_and_hessian(lambda x: np.sum(x**3))(np.array([1.0, 2.0]))
    >>> float(value), gradient, H.diagonal()
    (9.0, array([ 3., 12.]), array([ 6., 12.]))

    """
    return ValueGradientAndHessian(
        f, wrt, of, False, engine, fast, format, order, method, pattern, coloring, memory, check
    )  # fmt: skip


__all__ = ["ValueAndHessian", "ValueAndJacobian", "ValueGradientAndHessian", "value_and_hessian", "value_and_jacobian",
           "value_gradient_and_hessian"]  # fmt: skip
