"""Jacobians and Hessians at a point as ``scipy.sparse.linalg.LinearOperator``: products without the matrix.

Law: the tangent and the adjoint of a tape, linearised. What no seed reaches is computed once, at the point; each product runs the
rest, for all columns of a block in one sweep.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from scipy.sparse.linalg import LinearOperator

from sparsead.derivatives.axes import Axis
from sparsead.derivatives.jacobians import gradient_with_axes
from sparsead.derivatives.prepared import Derivative
from sparsead.derivatives.sweeps import flat_lanes, in_lanes
from sparsead.ops.effect import begin_sweep
from sparsead.tracing.errors import TraceError
from sparsead.tracing.record import name_of
from sparsead.tracing.substitution import path_text
from sparsead.transform._adjoint import adjoint
from sparsead.transform._batch import batch
from sparsead.transform._simplify import simplify
from sparsead.transform._split import sift, split
from sparsead.transform._tangent import tangent
from sparsead.transform.loops.rewrite import without_effects

EXACT = 8  # so many columns and fewer are one sweep of that width; more go in powers of two, so that programs stay few
WIDEST = 256
# Seeds and products of a sweep. With lanes a five-point stencil takes half the time per vector where that has 512 elements, the
# same where it has 32 768, and twice the time where it has 131 072 and lanes no longer fit a cache.
BLOCK_BYTES = 1 << 22


class Sweep:
    """One recording's map of seeds to products, in two parts: what is done once at a point, and what each product does.

    Parameters
    ----------
    name : str
        "tangent" or "adjoint".
    tape : Tape
        Its last inputs are the seeds, its outputs the products; what no seed reaches comes first.
    seeds : list of ValueType
    entering, leaving : Axis
        Of the vectors that products are taken with, and of the products.
    program : callable
        Makes a tape ready to run.
    """

    def __init__(self, name, tape, seeds, entering, leaving, program):
        self.name, self.seeds, self.entering, self.leaving, self.program = name, seeds, entering, leaving, program
        first, self.linear = split(tape, len(seeds))
        self.first = program(first, f"{name}s, at the point")
        self.ndims = [self.linear.type(v).ndim for v in self.linear.outputs]
        types = [*seeds, *(self.linear.type(v) for v in self.linear.outputs)]
        self.dtype = np.result_type(*[t.dtype for t in types]) if types else np.dtype(float)
        self.widest = max(1, min(WIDEST, BLOCK_BYTES // max(1, sum(t.nbytes for t in types))))
        self.programs: dict = {}

    @classmethod
    def tangents(cls, parts, program):
        """Products with the Jacobian of a tape; `parts` are the tape, its rows and its columns."""
        tape, rows, columns = parts
        made = tangent(tape, columns.values)
        made.outputs = [made.outputs[len(tape.outputs) + v] for v in rows.values]
        made = sift(simplify(made), len(columns.values))
        return cls("tangent", made, [tape.type(tape.inputs[v]) for v in columns.values], columns, rows, program)

    @classmethod
    def adjoints(cls, parts, program):
        """Products with the transpose of the Jacobian of a tape."""
        tape, rows, columns = parts
        made, _ = adjoint(tape, columns.values, rows.values)
        made.outputs = made.outputs[len(tape.outputs) :]
        return cls("adjoint", simplify(made), [tape.type(tape.outputs[v]) for v in rows.values], rows, columns, program)

    def widths(self, count):
        """Widths of the sweeps for so many columns."""
        while count > EXACT or count > self.widest:
            width = min(1 << (count.bit_length() - 1), 1 << (self.widest.bit_length() - 1))
            yield width
            count -= width
        if count:
            yield count

    def run(self, residuals, vectors):
        """Products with the rows of `vectors`, as rows."""
        if not self.leaving.length or not vectors.size:
            return np.zeros((len(vectors), self.leaving.length), self.dtype)
        products, done = np.empty((len(vectors), self.leaving.length), self.dtype), 0
        vectors = np.ascontiguousarray(vectors)
        for width in self.widths(len(vectors)):
            part = slice(done, done + width)
            products[part] = self._sweep(residuals, vectors[part])
            done += width
        return products

    def _sweep(self, residuals, vectors):
        lanes = len(vectors)
        results = self.program_of(lanes).run([*residuals, *self._in_memory(vectors)])
        flat = [flat_lanes(r, lanes, ndim) for r, ndim in zip(results, self.ndims, strict=True)]
        flat = np.concatenate(flat, axis=1) if len(flat) > 1 else flat[0]
        return flat if self.leaving.where is None else flat[:, self.leaving.where]

    def _in_memory(self, vectors):
        """Rows of `vectors` as seeds, which have lanes if there are several."""
        axis = self.entering
        if axis.where is not None:
            memory = np.zeros((len(vectors), axis.total))
            axis.scatter(memory, ..., slice(None), vectors)
            vectors = memory
        parts = np.split(vectors, np.cumsum(axis.sizes)[:-1], axis=1)
        made = [in_lanes(part, t) for part, t in zip(parts, self.seeds, strict=True)]
        return made if len(vectors) > 1 else [seed[0] for seed in made]

    def program_of(self, lanes):
        """What runs the linear part for so many seeds."""
        if lanes not in self.programs:
            tape, n = self.linear, len(self.linear.inputs)
            if lanes > 1:
                tape = simplify(batch(tape, range(n - len(self.seeds), n), lanes))
            self.programs[lanes] = self.program(tape, f"{self.name}s, {lanes} at once")
        return self.programs[lanes]


class _At:
    """A `Sweep` at a point: the part of it that is done once is done when somebody asks for the first product."""

    def __init__(self, sweep, inputs):
        self.sweep, self._inputs = sweep, inputs

    @cached_property
    def residuals(self):
        return self.sweep().first.run(self._inputs)

    def __call__(self, vectors):
        return self.sweep().run(self.residuals, vectors)


class DerivativeOperator(LinearOperator):
    """A Jacobian or Hessian at a point, as a linear operator; made by what `jacobian_operator` and `hessian_operator` give.

    Attributes
    ----------
    shape : tuple of int
        Elements of the outputs and of the inputs, raveled in C order.
    dtype : dtype
        Of products with real vectors of this dtype.
    T, H : DerivativeOperator
        The transpose, which is the adjoint: the operator is real.

    Notes
    -----
    `matvec`, `rmatvec`, `matmat`, `rmatmat`, ``@`` and SciPy's algebra of operators are those of
    `scipy.sparse.linalg.LinearOperator`. All columns of a block are carried by one sweep, as far as they fit a cache; more than
    eight, by sweeps of powers of two. The real and imaginary parts of complex vectors are columns.
    """

    def __init__(self, name, dtype, shape, forward, reverse):
        super().__init__(dtype, shape)
        self.name, self._forward, self._reverse = name, forward, reverse

    def _adjoint(self):
        if self._forward is self._reverse:
            return self
        return DerivativeOperator(f"transpose of the {self.name}", self.dtype, self.shape[::-1], self._reverse, self._forward)

    _transpose = _adjoint

    # ---- SciPy's names, with errors that name the operator ---------------------------------------------------------

    def matvec(self, x):
        """The product with a vector of shape (N,) or (N, 1)."""
        return super().matvec(self._vector(x, self.shape[1], "matvec"))

    def rmatvec(self, x):
        """The product of the transpose with a vector of shape (M,) or (M, 1)."""
        return super().rmatvec(self._vector(x, self.shape[0], "rmatvec"))

    def matmat(self, X):
        """The product with a matrix of shape (N, K)."""
        return super().matmat(self._matrix(X, self.shape[1], "matmat"))

    def rmatmat(self, X):
        """The product of the transpose with a matrix of shape (M, K)."""
        return super().rmatmat(self._matrix(X, self.shape[0], "rmatmat"))

    def dot(self, x):
        """The product with a vector, a matrix, a number, or another operator; ``@`` and ``*``."""
        if isinstance(x, np.ndarray) and x.ndim > 2:
            raise ValueError(f"a product with the {self} takes a vector or a matrix, got shape {x.shape}")
        return super().dot(x)

    def _vector(self, x, n, method):
        x = self._numbers(x, method)
        if x.shape not in ((n,), (n, 1)):
            raise ValueError(f"{method} of the {self} takes a vector of shape ({n},), got shape {x.shape}")
        return x

    def _matrix(self, X, n, method):
        X = self._numbers(X, method)
        if X.ndim != 2 or len(X) != n:
            raise ValueError(f"{method} of the {self} takes a matrix of shape ({n}, k), got shape {X.shape}")
        return X

    def _numbers(self, x, method):
        if hasattr(x, "toarray"):
            raise TypeError(f"{method} of the {self} takes dense arrays, got {type(x).__name__}; call its toarray()")
        x = np.asanyarray(x)
        if x.dtype.kind not in "biufc":
            raise TypeError(f"{method} of the {self} takes numbers, got an array of dtype {x.dtype}")
        return x

    # ---- what SciPy calls ------------------------------------------------------------------------------------------

    def _matvec(self, x):
        return _product(self._forward, x.reshape(1, -1))[0]

    def _rmatvec(self, x):
        return _product(self._reverse, x.reshape(1, -1))[0]

    def _matmat(self, X):
        return _product(self._forward, np.asarray(X).T).T

    def _rmatmat(self, X):
        return _product(self._reverse, np.asarray(X).T).T

    def __str__(self):
        return f"{self.shape[0]} x {self.shape[1]} {self.name}"

    def __repr__(self):
        return f"<{self.shape[0]}x{self.shape[1]} {type(self).__name__}: {self.name}, dtype={self.dtype}>"


def _product(at_point, vectors):
    vectors = np.asarray(vectors)
    if vectors.dtype.kind != "c":
        return at_point(vectors)
    both = at_point(np.concatenate([vectors.real, vectors.imag]))
    return both[: len(vectors)] + 1j * both[len(vectors) :]


class JacobianOperator(Derivative):
    """Callable that gives the Jacobian at a point as a `DerivativeOperator`; made by `jacobian_operator`."""

    kind = "jacobian_operator"
    of_complex = False
    noun = "Jacobian"

    def __call__(self, *args, **kwargs):
        """The operator at the arguments; ``(operator, aux)`` with ``has_aux``."""
        return self._run(args, kwargs, lambda p, inputs, arguments: self._work(p, inputs))

    def _work(self, prepared, inputs):
        if any(not isinstance(x, np.ndarray) for x in inputs):
            raise TraceError(f"sparsead.{self.kind} inside a differentiated function is not supported; use jvp or vjp there")
        inputs = [np.array(x) for x in inputs]
        _, rows, columns = self._parts(prepared)
        values = self._values(prepared, inputs)
        forward = _At(lambda: self._tangents(prepared), inputs)
        reverse = forward if self._symmetric else _At(lambda: self._adjoints(prepared), inputs)
        forward.residuals  # noqa: B018  (now: guards may choose another recording)
        by = ", ".join(map(path_text, self.wrt))
        operator = DerivativeOperator(f"{self.noun} of {name_of(self.function)} by {by}", self._tangents(prepared).dtype,
                                      (rows.length, columns.length), forward, reverse)  # fmt: skip
        return (operator, values[1]) if self.has_aux else operator

    _symmetric = False

    def _values(self, prepared, inputs):
        """(targets, aux), if the function is to be run for them, or for what it shows: sweeps show nothing."""
        if not self.has_aux and not prepared.shows:
            return None
        primal = prepared.once("primal", lambda: prepared.program(prepared.tape, "primal"))
        begin_sweep()
        return prepared.values(primal.run(inputs))

    def _ready(self, prepared):
        self._tangents(prepared).program_of(1)

    def _parts(self, prepared):
        """(tape, rows, columns) of the Jacobian."""
        return prepared.once("parts", lambda: self._made_parts(prepared))

    def _made_parts(self, prepared):
        rows = Axis.of_outputs(prepared.tape, list(range(prepared.outputs.n_targets)))
        return without_effects(prepared.tape), rows, Axis.of_leaves(prepared.leaves, prepared.tape, prepared.active)

    def _tangents(self, prepared):
        return prepared.once("tangents", lambda: Sweep.tangents(self._parts(prepared), prepared.program))

    def _adjoints(self, prepared):
        return prepared.once("adjoints", lambda: Sweep.adjoints(self._parts(prepared), prepared.program))


class HessianOperator(JacobianOperator):
    """Callable that gives the Hessian at a point as a `DerivativeOperator`; made by `hessian_operator`."""

    kind = "hessian_operator"
    noun = "Hessian"
    _symmetric = True

    def _made_parts(self, prepared):
        gradient, rows, columns = gradient_with_axes(self, prepared)
        return without_effects(gradient), rows, columns


def jacobian_operator(f, wrt=0, of="return", *, has_aux=False, engine="auto", fast=False):
    """The Jacobian of a function as a linear operator, as a function: products, and no matrix.

    Parameters
    ----------
    f : callable
        Gives numbers or arrays by its return value or through arguments that it writes. It may update arrays in place; the
        caller's arrays are never changed.
    wrt : int, str, or tuple of these
        Arguments to differentiate by; several give columns side by side.
    of : "return", int, str, or tuple of these
        What is differentiated: the return value, or arguments that `f` writes, by name or position.
    has_aux : bool
        `f` returns ``(value, aux)``.
    engine, fast
        See `jacobian`.

    Returns
    -------
    JacobianOperator
        Takes the arguments of `f`; gives a `scipy.sparse.linalg.LinearOperator` of shape (m, n) over the C-order raveled outputs
        and inputs, the Jacobian at these arguments, of which it keeps copies; ``(operator, aux)`` with `has_aux`. ``@``, `matvec`
        and `matmat` are forward sweeps, `rmatvec`, `rmatmat`, ``.T`` and ``.H`` reverse sweeps.

    Raises
    ------
    TypeError
        Nothing to differentiate; see `jacobian`. By a product: the vector is sparse, or holds no numbers.
    ValueError
        By a product: the vector has another length.

    Notes
    -----
    What does not depend on the vector is computed once: at the call for products with the operator, and at the first of them for
    products with its transpose. Loops (`sparsead.steps`) that the vector reaches are run by each product.
    Griewank and Walther, Evaluating Derivatives, 2nd edition (2008), chapter 3.

    Examples
    --------
    >>> import numpy as np, sparsead
    >>> from scipy.sparse.linalg import gmres
    >>> def residual(x):
    ...     r = 3 * x + x**3 - 1
    ...     r[1:] -= x[:-1]
    ...     return r
    >>> operator = sparsead.jacobian_operator(residual)
    >>> x = np.zeros(4)
    >>> for _ in range(5):
    ...     step, info = gmres(operator(x), -residual(x), rtol=1e-12)
    ...     x += step
    >>> bool(np.abs(residual(x)).max() < 1e-12)
    True
    >>> operator(np.zeros(4)) @ np.eye(4)[:, :2]
    array([[ 3.,  0.],
           [-1.,  3.],
           [ 0., -1.],
           [ 0.,  0.]])

    """
    return JacobianOperator(f, wrt, of, has_aux, engine, fast)


def hessian_operator(f, wrt=0, of="return", *, engine="auto", fast=False):
    """The Hessian of a scalar function as a linear operator, as a function: products, and no matrix.

    Parameters are those of `jacobian_operator`; `f` gives one number.

    Returns
    -------
    HessianOperator
        Like the result of `jacobian_operator`; the operator has shape (n, n) over the C-order raveled inputs, and is its own
        transpose.

    Notes
    -----
    Forward over reverse (Pearlmutter, Neural Computation 6 (1994)); value and gradient are not computed again for each product.

    Examples
    --------
    >>> import numpy as np, sparsead
    >>> H = sparsead.hessian_operator(lambda x: np.sum((x[1:] - x[:-1] ** 2) ** 2))(np.array([1.0, 2.0, 3.0]))
    >>> H @ np.array([1.0, 0.0, 0.0])
    array([ 4., -4.,  0.])
    >>> H.T is H
    True

    """
    return HessianOperator(f, wrt, of, False, engine, fast)


__all__ = ["DerivativeOperator", "HessianOperator", "JacobianOperator", "hessian_operator", "jacobian_operator"]
