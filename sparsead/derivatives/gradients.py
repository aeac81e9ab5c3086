"""Gradients of scalar functions: one reverse sweep."""

from __future__ import annotations

import numpy as np

from sparsead.derivatives.arranging import Arrangement
from sparsead.derivatives.nested import execute
from sparsead.derivatives.prepared import Derivative
from sparsead.tracing.record import name_of
from sparsead.transform._simplify import prune


class ValueAndGrad(Derivative):
    """Callable that gives the value and the gradient; made by `value_and_grad`."""

    kind = "value_and_grad"

    def __call__(self, *args, **kwargs):
        """The function's value and its gradient."""
        value, aux, grads = self._run(args, kwargs, self._work)
        value = (value, aux) if self.has_aux else value
        return value, grads[0] if self._single_wrt else tuple(grads)

    def _ready(self, prepared):
        self._sweep(prepared)

    def _sweep(self, prepared):
        return prepared.once("sweep", lambda: self._made(prepared))

    def _made(self, prepared):
        _check_scalar(self, prepared)
        return Sweep(prepared, self._tape(prepared))

    def _tape(self, prepared):
        return prepared.adjoint_tape

    def _work(self, prepared, inputs, arguments):
        sweep = self._sweep(prepared)
        results = execute(sweep.program, [*inputs, sweep.seed])
        n = sweep.n_values
        (value,), aux = prepared.values(results[:n]) if n else ((None,), None)
        return value, aux, sweep.arranged(results[n:], arguments)


class Grad(ValueAndGrad):
    """Callable that gives the gradient; made by `grad`."""

    kind = "grad"

    def __call__(self, *args, **kwargs):
        """The function's gradient; (gradient, aux) with ``has_aux``."""
        _, aux, grads = self._run(args, kwargs, self._work)
        grads = grads[0] if self._single_wrt else tuple(grads)
        return (grads, aux) if self.has_aux else grads

    def _tape(self, prepared):
        tape = prepared.adjoint_tape
        return tape if self.has_aux else prune(tape, tape.outputs[len(prepared.tape.outputs) :])


class Sweep:
    """The reverse sweep of a gradient, made once for each recording.

    Attributes
    ----------
    program
        Takes the inputs of the tape and the `seed`.
    n_values : int
        So many values of the primal it gives before the adjoints; 0 if nobody asks for them.
    arranged : Arrangement
        Of the adjoints.
    """

    def __init__(self, prepared, tape):
        t = prepared.tape.type(prepared.tape.outputs[0])
        self.seed = np.ones(t.shape, t.dtype)
        self.program = prepared.once("adjoint", lambda: prepared.program(tape, "adjoint"))
        self.n_values = len(tape.outputs) - len(prepared.active)
        self.arranged = Arrangement(prepared, [tape.type(v) for v in tape.outputs[self.n_values :]])


def _check_scalar(derivative, prepared):
    outputs = prepared.outputs
    shapes = [prepared.tape.type(v).shape for v in prepared.tape.outputs[: outputs.n_targets]]
    if len(shapes) != 1 or any(n != 1 for n in shapes[0]):
        what = f"an array of shape {shapes[0]}" if len(shapes) == 1 else f"{len(shapes)} values"
        raise TypeError(
            f"sparsead.{derivative.kind}: {name_of(derivative.function)} has to give one number, but gives {what}; use "
            "sparsead.jacobian, or sparsead.vjp with a seed"
        )
    if prepared.tape.type(prepared.tape.outputs[0]).is_complex:
        raise TypeError(
            f"sparsead.{derivative.kind}: {name_of(derivative.function)} gives a complex number, which has no gradient: return "
            "its real or imaginary part, or use sparsead.vjp with a seed"
        )


def grad(f, wrt=0, of="return", *, has_aux=False, engine="auto", fast=False):
    """The gradient of a scalar function, as a function.

    Parameters
    ----------
    f : callable
        Returns one number (a 0-d or one-element array will do), or leaves it in the argument `of`. It may update arrays in
        place; the caller's arrays are never changed.
    wrt : int, str, or tuple of these
        Arguments to differentiate by, by position or name, those in ``*args`` and ``**kwargs`` included; the name after a star
        means all of them. Floats, floating arrays, and nested lists, tuples, dicts, dataclasses and objects that hold them. By a
        complex number the gradient is that by its real part plus i times that by its imaginary part.
    of : "return", int or str
        What is differentiated: the returned value, or an argument that `f` writes.
    has_aux : bool
        `f` returns ``(value, aux)``; `aux` comes along undifferentiated.
    engine : {"auto", "native", "vm", "reference"}
        What runs the derivative: kernels that the machine's compiler makes ("native"), the tiled engine ("vm"), or NumPy, op by
        op. "auto" is "vm" until the work pays for the compiler, which nobody waits for. "vm" and "native" give the same bits.
    fast : bool
        Compiled kernels may contract products and sums, and take sums in another order: results are right to rounding, but
        not those of "vm" to the bit; with "auto" they change when compiled kernels take over. For these two only.

    Returns
    -------
    Grad
        Takes the arguments of `f`; gives the gradient in the structure of the argument (a tuple of them if `wrt` is a tuple;
        ``(gradient, aux)`` with `has_aux`). Inspect it by ``.tape`` and ``.report()``; ``.prepare(*args)`` traces ahead,
        ``.release()`` gives the memory of calls back.

    Raises
    ------
    TypeError
        `f` gives more than one number, or a complex one, or an argument of `wrt` holds no floating numbers.
    ValueError
        `engine` is unknown, or knows no `fast`.
    MemoryError
        At a call that would need more memory than there is, before it begins.

    Notes
    -----
    One reverse sweep over the tape of `f`: Griewank and Walther, Evaluating Derivatives (2008), chapter 3.

    Examples
    --------
    >>> import numpy as np, sparsead
    >>> def loss(x):
    ...     x[1:] *= x[:-1]              # in place, on a copy that the caller does not see
    ...     return x @ x
    >>> sparsead.grad(loss)(np.array([1.0, 2.0]))
    array([10.,  4.])

    """
    return Grad(f, wrt, of, has_aux, engine, fast)


def value_and_grad(f, wrt=0, of="return", *, has_aux=False, engine="auto", fast=False):
    """Value and gradient of a scalar function, as a function.

    Parameters are those of `grad`. The result is ``(value, gradient)``, or ``((value, aux), gradient)`` with `has_aux`.

    Returns
    -------
    ValueAndGrad

    See Also
    --------
    grad

    Examples
    --------
    >>> import numpy as np, sparsead
    >>> value, gradient = sparsead.value_and_grad(lambda x: np.sum(x**2))(np.array([1.0, 2.0]))
    >>> float(value), gradient
    (5.0, array([2., 4.]))

    """
    return ValueAndGrad(f, wrt, of, has_aux, engine, fast)
