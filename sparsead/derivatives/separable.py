"""Losses that are sums: the Jacobian of what is summed, found in the loss itself."""

from __future__ import annotations

import numpy as np

from sparsead.derivatives.axes import Axis
from sparsead.derivatives.gradients import _check_scalar
from sparsead.derivatives.jacobians import Jacobian
from sparsead.tracing.record import name_of
from sparsead.transform.elements import NoSquareError, elements, residuals


class ElementJacobian(Jacobian):
    """Callable that gives what a loss sums, and its Jacobian; made by `element_jacobian`."""

    kind = "element_jacobian"
    _taken_apart = staticmethod(elements)

    def _compress(self, prepared):
        tape = self._elements(prepared)
        columns = Axis.of_leaves(prepared.leaves, tape, prepared.active)
        return self._finish(prepared, tape, Axis.of_outputs(tape, list(range(len(tape.outputs)))), columns)

    @property
    def row_blocks(self):
        """The rows of what is summed, as a slice."""
        return {"elements": slice(0, self.pattern.shape[0])}

    def _elements(self, prepared):
        return prepared.once("elements", lambda: self._made(prepared))

    def _made(self, prepared):
        _check_scalar(self, prepared)
        return self._taken_apart(prepared.tape, 0, prepared.active)

    def _kept(self, prepared):
        return range(len(self._elements(prepared).outputs))

    def _result(self, prepared, jacobian, values):
        return np.concatenate([np.zeros(0), *(np.ravel(v) for v in values)]), jacobian


class ResidualJacobian(ElementJacobian):
    """Callable that gives the residuals of a sum of squares, and their Jacobian; made by `residual_jacobian`."""

    kind = "residual_jacobian"
    _taken_apart = staticmethod(residuals)

    def _made(self, prepared):
        try:
            return super()._made(prepared)
        except NoSquareError as error:
            raise ValueError(
                f"sparsead.{self.kind}: {name_of(self.function)} is no sum of squares: {error}; sparsead.element_jacobian takes "
                "any sum, and sparsead.jacobian the function that gives the residuals"
            ) from None


def element_jacobian(f, wrt=0, of="return", *, format="csr", order="natural", method="auto", memory=None, engine="auto",
                     fast=False):  # fmt: skip
    """What a loss sums, and the sparse Jacobian of that, as a function.

    Parameters
    ----------
    f : callable
        The loss, one number. Its last steps are sums, differences and factors that do not depend on `wrt`; what these are
        taken of are its elements. A loss without a sum is its own only element.
    wrt, of, format, order, method, memory, engine, fast
        See `jacobian`.

    Returns
    -------
    ElementJacobian
        Takes the arguments of `f`, and ``out=`` to refill an earlier Jacobian. Gives ``(elements, jacobian)`` of shapes (m,) and
        (m, n), over the elements and the C-order raveled inputs. The sum of the elements is the loss, but for numbers added to
        it that depend on none of `wrt`; the sum of the rows of the Jacobian is the gradient.

    Raises
    ------
    TypeError
        `f` gives more than one number.

    Notes
    -----
    What is a sum in a loop (`sparsead.steps`) is one element. What is added several times, with numbers or the same weights as
    factors, is there once: ``s + 0.5 * s`` has the elements of ``1.5 * s``. A sum over one axis, weighted by an array, and summed
    again, has one element for each weight.

    See Also
    --------
    residual_jacobian

    Examples
    --------
    >>> import numpy as np, sparsead
    >>> def loss(x):
    ...     return 2 * np.sum(np.cosh(x[1:] - x[:-1])) + x[0] ** 2
    >>> elements, J = sparsead.element_jacobian(loss)(np.array([1.0, 1.0, 1.0]))
    >>> elements
    array([2., 2., 1.])
    >>> J.toarray()
    array([[0., 0., 0.],
           [0., 0., 0.],
           [2., 0., 0.]])

    """
    return ElementJacobian(f, wrt, of, False, engine, fast, format, order, method, memory=memory)


def residual_jacobian(f, wrt=0, of="return", *, format="csr", order="natural", method="auto", memory=None, engine="auto",
                      fast=False):  # fmt: skip
    """The residuals of a loss that is a sum of squares, and their sparse Jacobian, as a function: for Gauss-Newton methods.

    Parameters
    ----------
    f : callable
        The loss, one number: a sum of ``r @ r``, ``np.sum(r**2)``, ``np.mean(r * r)`` and their like, with factors and
        weights that do not depend on `wrt` and are not negative.
    wrt, of, format, order, method, memory, engine, fast
        See `jacobian`.

    Returns
    -------
    ResidualJacobian
        Takes the arguments of `f`, and ``out=`` to refill an earlier Jacobian. Gives ``(r, jacobian)`` of shapes (m,) and (m, n).
        Factors are in the residuals, so that ``0.5 * r @ r`` is the loss, but for what in it depends on none of `wrt`;
        ``jacobian.T @ r`` is its gradient, and ``jacobian.T @ jacobian`` the Gauss-Newton approximation of its Hessian.

    Raises
    ------
    TypeError
        `f` gives more than one number.
    ValueError
        Something that is summed is no square, or is subtracted; the message names the line.

    Notes
    -----
    This is what `scipy.optimize.least_squares` minimizes. A weight that is negative gives NaN.
    J. Nocedal and S. J. Wright, Numerical Optimization, 2nd edition (2006), section 10.3.

    Examples
    --------
    >>> import numpy as np, sparsead
    >>> from scipy.sparse.linalg import spsolve
    >>> def loss(x, data):
    ...     return 0.5 * np.sum((x**3 - data) ** 2) + 0.005 * x @ x
    >>> pieces = sparsead.residual_jacobian(loss)
    >>> x, data = np.ones(3), np.array([1.0, 8.0, 27.0])
    >>> for _ in range(10):
    ...     r, J = pieces(x, data)
    ...     x -= spsolve((J.T @ J).tocsc(), J.T @ r)
    >>> x.round(3)
    array([0.999, 2.   , 3.   ])
    >>> bool(np.isclose(0.5 * r @ r, loss(x, data)))
    True

    """
    return ResidualJacobian(f, wrt, of, False, engine, fast, format, order, method, memory=memory)


__all__ = ["ElementJacobian", "ResidualJacobian", "element_jacobian", "residual_jacobian"]
