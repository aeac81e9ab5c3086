"""Derivatives in the form in which each solver of SciPy takes them.

What SciPy's solvers take differs: sparse, dense, banded, products only, the gradient only; and what one takes, another one
turns down in the middle of its work. The functions here give the arguments for a solver, with derivatives that it takes; the
call of the solver stays yours::

    solve_ivp(**sparsead.scipy.for_solve_ivp(rhs, (0, 1), y0, method="Radau"), rtol=1e-8)

They may be looked at, and exchanged: they are a dict.
"""

from __future__ import annotations

import inspect

import numpy as np
import scipy
from scipy.sparse.linalg import LinearOperator, splu

from sparsead.derivatives.gradients import value_and_grad
from sparsead.derivatives.jacobians import hessian, jacobian
from sparsead.derivatives.operators import hessian_operator, jacobian_operator

# What methods take, best first.
SOLVE_IVP = {"BDF": ("sparse", "dense"), "Radau": ("sparse", "dense"), "LSODA": ("banded", "dense")}
LEAST_SQUARES = {"trf": ("sparse", "dense", "operator"), "dogbox": ("sparse", "dense", "operator"), "lm": ("dense",)}
ROOT = {"hybr": ("dense",), "lm": ("dense",), "krylov": ("preconditioner",)}
MINIMIZE = {
    "CG": (), "BFGS": (), "L-BFGS-B": (), "TNC": (), "SLSQP": (),
    "Newton-CG": ("products", "sparse", "dense", "operator"),
    "trust-constr": ("sparse", "dense", "operator", "products"),
    "trust-ncg": ("products", "dense"), "trust-krylov": ("products", "dense"),
    "trust-exact": ("dense",), "dogleg": ("dense",),
}  # fmt: skip
CONSTRAINT_JAC = {"trust-constr": ("sparse", "dense"), "SLSQP": ("dense",)}
CONSTRAINT_HESS = {"trust-constr": ("sparse", "dense", "operator"), "SLSQP": ()}
# SciPy's default begins with the directions of earlier steps. With a good preconditioner these are the worst ones: a
# reaction-diffusion problem took 39 factorizations by "lgmres", 8 by "gmres".
KRYLOV = "gmres"
# LSODA in Fortran wants room for its factors behind the bands; since 1.16 it is C, and wants none.
ROOM_FOR_FACTORS = tuple(map(int, scipy.__version__.split(".")[:2])) < (1, 16)
SMALL = 10_000  # elements of a matrix that is better dense, whatever its pattern
FULL = 0.25  # a matrix is better dense if it stores more of its elements than this


def _real(x, name="x0"):
    """A start as floats."""
    if np.iscomplexobj(x):
        raise TypeError(f"{name} is complex, and the derivatives are real: take the real and imaginary parts as unknowns")
    return np.asarray(x, dtype=float)


def _known_method(solver, method, methods):
    """The name in `methods` that `method` is; ValueError if it is none of these."""
    found = {name.lower(): name for name in methods}.get(str(method).lower())
    if found is None:
        names = ", ".join(map(repr, methods))
        raise ValueError(f"{solver}(method={method!r}) takes no derivatives of this function; methods that do: {names}")
    return found


def _form(solver, method, keyword, given, methods):
    """The form in which a method takes a derivative: the one that was asked for, or the best; None if it takes none."""
    forms = methods[method]
    if given == "auto":
        return forms[0] if forms else None
    if given not in forms:
        others = [repr(name) for name in methods if given in methods[name]]
        can = f"takes {keyword} {' or '.join(map(repr, forms))}" if forms else f"takes no {keyword}"
        use = f"; for {keyword}={given!r} choose method {' or '.join(others)}" if others else ""
        raise ValueError(f"{solver}(method={method!r}) {can}, not {given!r}{use}")
    return given


# ---- functions that write into an argument ---------------------------------------------------------------------------


class Written:
    """A function that writes into one of its arguments, called without it.

    Parameters
    ----------
    function : callable
    position : int
        Of the argument that is written.
    like : int
        Position, among the others, of one of its shape.
    returns : bool
        Whether a call gives what was written, or what `function` returns.
    """

    def __init__(self, function, position, like, returns):
        self.function, self.position, self.like, self.returns = function, position, like, returns

    def __call__(self, *args):
        out = np.zeros_like(args[self.like])
        result = self.function(*args[: self.position], out, *args[self.position :])
        return out if self.returns else result


def _returning(f, of, like, derivative):
    """(function, derivative, prepare), called without the argument that `of` names."""
    if of == "return":
        return f, derivative, derivative.prepare
    names = list(inspect.signature(f).parameters)
    position = names.index(of) if isinstance(of, str) else of
    made = (Written(f, position, like, True), Written(derivative, position, like, False))
    return *made, Written(derivative.prepare, position, like, False)


# ---- differential equations ------------------------------------------------------------------------------------------


class Banded:
    """A Jacobian as LSODA wants it: ``packed[i - j + uband, j]`` is the element in row i and column j.

    Before SciPy 1.16 as many rows as there are bands below the diagonal follow, of zeros.

    Attributes
    ----------
    lband, uband : int
        The farthest diagonals below and above the main one that have entries.
    """

    def __init__(self, jac, pattern):
        pattern = pattern.tocoo()
        below = pattern.row.astype(np.int64) - pattern.col
        self.jac, self.lband, self.uband = jac, max(0, int(below.max(initial=0))), max(0, -int(below.min(initial=0)))
        self._known = None

    def __call__(self, *args):
        J = self.jac(*args)
        rows = self.lband * (2 if ROOM_FOR_FACTORS else 1) + self.uband + 1
        packed = np.zeros((rows, J.shape[1]), J.dtype)
        packed.ravel()[self._places(J)] = J.data
        return packed

    def _places(self, J):
        known = self._known
        if known is None or known[0] is not J.indices:
            row, column = J.tocoo().coords
            below = row.astype(np.int64) - column
            if below.size and (below.max() > self.lband or -below.min() > self.uband):
                raise ValueError("on this path of the function the Jacobian has entries outside of the bands that LSODA was "
                                 "told; take jac='dense', or method='BDF'")  # fmt: skip
            self._known = known = J.indices, (below + self.uband) * J.shape[1] + column
        return known[1]


def for_solve_ivp(f, t_span, y0, method="BDF", *, args=(), of="return", jac="auto", engine="auto", fast=False):
    """Arguments for `scipy.integrate.solve_ivp`, with the Jacobian of the right-hand side.

    Parameters
    ----------
    f : callable
        The right-hand side, ``f(t, y, *args) -> dy``; or one that writes, such as ``f(t, y, dy, *args)``.
    t_span, y0, args
        As for `solve_ivp`.
    method : {"BDF", "Radau", "LSODA"}
        Implicit methods; others need no Jacobian.
    of : "return", int or str
        What is the derivative of y: the returned value, or an argument that `f` writes, by name or position. It is given
        zeros, and is none of `args`.
    jac : {"auto", "sparse", "dense", "banded"}
        "auto" is sparse for "BDF" and "Radau"; for "LSODA", which takes no sparse matrices, banded, or dense if the bands are as
        wide as the matrix.
    engine, fast
        See `sparsead.jacobian`.

    Returns
    -------
    dict
        ``fun``, ``t_span``, ``y0``, ``method``, ``args`` and ``jac``; for "LSODA" also ``lband`` and ``uband``, as they are
        found in the pattern at the begin.

    Raises
    ------
    ValueError
        The method takes no Jacobian, or not in this form.

    Notes
    -----
    SciPy works with CSC matrices, so these are what it gets. "LSODA" is not told more than the bands that it was told first:
    where another path of `f` has entries outside of them, the call ends in a ValueError.

    Examples
    --------
    >>> import numpy as np, sparsead
    >>> from scipy.integrate import solve_ivp
    >>> def rhs(t, y, dy, k):
    ...     dy[:] = -k * y * y
    ...     dy[1:] += y[:-1]
    >>> arguments = sparsead.scipy.for_solve_ivp(rhs, (0, 1), np.ones(50), method="BDF", args=(100.0,), of="dy")
    >>> solution = solve_ivp(**arguments, rtol=1e-6)
    >>> solution.success, solution.njev < 20
    (True, True)
    >>> arguments = sparsead.scipy.for_solve_ivp(rhs, (0, 1), np.ones(50), method="LSODA", args=(100.0,), of="dy")
    >>> arguments["lband"], arguments["uband"]
    (1, 0)

    """
    method = _known_method("solve_ivp", method, SOLVE_IVP)
    form = _form("solve_ivp", method, "jac", jac, SOLVE_IVP)
    y0 = _real(y0, "y0")
    derivative = jacobian(f, 1, of, format="dense" if form == "dense" else "csc", engine=engine, fast=fast)
    fun, jac_of, prepare = _returning(f, of, 1, derivative)
    bands = {}
    if form == "banded":
        prepare(float(t_span[0]), y0, *args)
        banded = Banded(jac_of, derivative.pattern)
        bands = {"lband": banded.lband, "uband": banded.uband}
        if jac == "auto" and 2 * banded.lband + banded.uband + 1 >= len(y0):
            return for_solve_ivp(f, t_span, y0, method, args=args, of=of, jac="dense", engine=engine, fast=fast)
        jac_of = banded
    return {"fun": fun, "t_span": t_span, "y0": y0, "method": method, "args": args or None, "jac": jac_of, **bands}


# ---- least squares ---------------------------------------------------------------------------------------------------


def for_least_squares(f, x0, method="trf", *, args=(), jac="auto", engine="auto", fast=False):
    """Arguments for `scipy.optimize.least_squares`, with the Jacobian of the residuals.

    Parameters
    ----------
    f : callable
        The residuals, ``f(x, *args)``, a vector.
    x0, args
        As for `least_squares`.
    method : {"trf", "dogbox", "lm"}
        "lm" takes dense Jacobians only.
    jac : {"auto", "sparse", "dense", "operator"}
        "auto" is sparse where the method takes it, unless the matrix is small (10 000 elements) or more than a quarter of it
        is stored: SciPy solves dense problems by a singular value decomposition, others by LSMR, which is less exact.
        "operator" is a `LinearOperator`, see `sparsead.jacobian_operator`; SciPy then takes no ``x_scale="jac"``.
    engine, fast
        See `sparsead.jacobian`.

    Returns
    -------
    dict
        ``fun``, ``x0``, ``method``, ``args`` and ``jac``.

    Raises
    ------
    ValueError
        The method is unknown, or does not take the Jacobian in this form.

    Examples
    --------
    >>> import numpy as np, sparsead
    >>> from scipy.optimize import least_squares
    >>> t = np.linspace(0, 1, 30)
    >>> def misfit(p, t, data):
    ...     return p[0] * np.exp(-p[1] * t) - data
    >>> data = 2 * np.exp(-3 * t)
    >>> arguments = sparsead.scipy.for_least_squares(misfit, [1.0, 1.0], method="lm", args=(t, data))
    >>> least_squares(**arguments, xtol=1e-12).x.round(9)
    array([2., 3.])

    """
    method = _known_method("least_squares", method, LEAST_SQUARES)
    form = _form("least_squares", method, "jac", jac, LEAST_SQUARES)
    x0 = np.atleast_1d(_real(x0))
    if form == "operator":
        jac_of = jacobian_operator(f, engine=engine, fast=fast)
    elif jac == "auto" and form == "sparse" and not _pays(jacobian(f, engine=engine, fast=fast).prepare(x0, *args).pattern):
        jac_of = jacobian(f, format="dense", engine=engine, fast=fast)
    else:
        jac_of = jacobian(f, format="dense" if form == "dense" else "csr", engine=engine, fast=fast)
    return {"fun": f, "x0": x0, "method": method, "args": args, "jac": jac_of}


def _pays(pattern):
    """Whether a matrix of this pattern had better be sparse."""
    elements = pattern.shape[0] * pattern.shape[1]
    return elements > SMALL and pattern.nnz <= FULL * elements


# ---- minimization ----------------------------------------------------------------------------------------------------


class Products:
    """``products(x, p, *args)``: of the Hessian at x with p; what does not depend on p is computed once for each x.

    All that the recording takes is compared, bit by bit: x, `args`, and what `f` captures, whose contents may have changed.
    """

    def __init__(self, operator):
        self.operator = operator
        self._known: tuple = (None, None)

    def __call__(self, x, p, *args):
        return self.operator._run((x, *args), {}, self._at) @ p

    def _at(self, prepared, inputs, arguments):
        """The operator at the inputs of a recording, the last one if it was there."""
        if not all(isinstance(value, np.ndarray) for value in inputs):  # of an enclosing derivative, which is refused
            return self.operator._work(prepared, inputs)
        key, (known, operator) = (prepared, [value.tobytes() for value in inputs]), self._known
        if key != known:
            operator = self.operator._work(prepared, inputs)
            self._known = key, operator
        return operator


def for_minimize(f, x0, method="L-BFGS-B", *, args=(), hess="auto", engine="auto", fast=False):
    """Arguments for `scipy.optimize.minimize`, with the gradient and what the method takes of the Hessian.

    Parameters
    ----------
    f : callable
        The objective, ``f(x, *args)``, one number.
    x0, args
        As for `minimize`.
    method : str
        "CG", "BFGS", "L-BFGS-B", "TNC" and "SLSQP" take the gradient alone; "Newton-CG", "trust-constr", "trust-ncg",
        "trust-krylov", "trust-exact" and "dogleg" the Hessian too.
    hess : {"auto", "sparse", "dense", "operator", "products"}
        "auto" is the form that suits the method: sparse for "trust-constr"; products with vectors (``hessp``) for "Newton-CG",
        "trust-ncg" and "trust-krylov", the last two of which fail on sparse matrices; dense for "trust-exact" and "dogleg", which
        factorize.
    engine, fast
        See `sparsead.grad`.

    Returns
    -------
    dict
        ``fun``, which gives the value and the gradient in one run, and so ``jac=True``; ``x0``, ``method``, ``args``; and
        ``hess`` or ``hessp``.

    Raises
    ------
    ValueError
        The method uses no derivatives ("Nelder-Mead", "Powell", "COBYLA", "COBYQA"), is unknown, or does not take the Hessian in
        this form.

    Notes
    -----
    ``hessp`` is called many times at one point: value and gradient are linearised there once, see `sparsead.hessian_operator`.
    "dogleg" wants Hessians that are positive definite.

    Examples
    --------
    >>> import numpy as np, sparsead
    >>> from scipy.optimize import minimize
    >>> def chained_rosenbrock(x):
    ...     return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)
    >>> for method in ("L-BFGS-B", "trust-krylov", "trust-constr"):
    ...     found = minimize(**sparsead.scipy.for_minimize(chained_rosenbrock, np.zeros(20), method), tol=1e-8)
    ...     print(method, np.abs(found.x - 1).max() < 1e-4)
    L-BFGS-B True
    trust-krylov True
    trust-constr True

    """
    method = _known_method("minimize", method, MINIMIZE)
    form = _form("minimize", method, "hess", hess, MINIMIZE)
    x0 = np.atleast_1d(_real(x0))
    arguments = {"fun": value_and_grad(f, engine=engine, fast=fast), "jac": True, "x0": x0, "method": method, "args": args}
    if form == "products":
        arguments["hessp"] = Products(hessian_operator(f, engine=engine, fast=fast))
    elif form is not None:
        arguments["hess"] = _hessian(f, form, engine, fast)
    return arguments


def _hessian(f, form, engine, fast):
    if form == "operator":
        return hessian_operator(f, engine=engine, fast=fast)
    return hessian(f, format="dense" if form == "dense" else "csr", engine=engine, fast=fast)


def _weighted(f):
    """The sum of what `f` gives, with weights that follow the point."""

    def weighted(x, v, *args):
        return np.sum(v * f(x, *args))

    return weighted


def nonlinear_constraint(f, lb, ub, method="trust-constr", *, args=(), jac="auto", hess="auto", keep_feasible=False,
                         engine="auto", fast=False):  # fmt: skip
    """A `scipy.optimize.NonlinearConstraint` with the Jacobian and the Hessian of the function.

    Parameters
    ----------
    f : callable
        ``f(x, *args)``, a vector or a number.
    lb, ub, keep_feasible
        As for `NonlinearConstraint`.
    method : {"trust-constr", "SLSQP"}
        Of `minimize`; others take no derivatives of constraints.
    args : tuple
        What `f` takes besides; SciPy passes only x to constraints.
    jac : {"auto", "sparse", "dense"}
        "auto" is sparse for "trust-constr"; "SLSQP" takes dense ones only.
    hess : {"auto", "sparse", "dense", "operator"}
        Of the sum of the constraints with the multipliers that "trust-constr" gives: one Hessian, whatever their number;
        "auto" is sparse. "SLSQP" takes none.
    engine, fast
        See `sparsead.jacobian`.

    Returns
    -------
    scipy.optimize.NonlinearConstraint

    Raises
    ------
    ValueError
        The method is unknown, or does not take the Jacobian or Hessian in this form.

    Notes
    -----
    The multipliers are an argument of the function whose Hessian is taken: new ones need no new trace.

    Examples
    --------
    >>> import numpy as np, sparsead
    >>> from scipy.optimize import minimize
    >>> def products(x):
    ...     return x[1:] * x[:-1]
    >>> constraint = sparsead.scipy.nonlinear_constraint(products, 1, np.inf)
    >>> arguments = sparsead.scipy.for_minimize(lambda x: x @ x, np.full(4, 2.0), "trust-constr")
    >>> minimize(**arguments, constraints=constraint).x.round(3)
    array([1., 1., 1., 1.])

    """
    from scipy.optimize import NonlinearConstraint  # a tenth of a second, which `import sparsead` does not take for it

    method = _known_method("nonlinear_constraint", method, CONSTRAINT_JAC)
    jac = _form("nonlinear_constraint", method, "jac", jac, CONSTRAINT_JAC)
    hess = _form("nonlinear_constraint", method, "hess", hess, CONSTRAINT_HESS)
    jac_of = jacobian(f, format="dense" if jac == "dense" else "csr", engine=engine, fast=fast)
    given = {"jac": _with(jac_of, args), "keep_feasible": keep_feasible}
    if hess is not None:
        given["hess"] = _with(_hessian(_weighted(f), hess, engine, fast), args)
    return NonlinearConstraint(_with(f, args), lb, ub, **given)


def _with(function, args):
    """`function` with `args` behind what it is called with."""
    return (lambda *given: function(*given, *args)) if args else function


# ---- equations -------------------------------------------------------------------------------------------------------


class Preconditioner(LinearOperator):
    """The inverse of a sparse Jacobian, factorized where `scipy.optimize.newton_krylov` is; made by `preconditioner`.

    Attributes
    ----------
    jac : Jacobian or callable
        Gives the Jacobian in CSC form.
    updates : int
        How often it was factorized.
    """

    def __init__(self, jac, x0, args, factorize):
        super().__init__(float, (x0.size, x0.size))
        self.jac, self.factorize, self.updates = jac, factorize, 0
        self._like, self._args = x0.shape, args
        self.update(x0)

    def setup(self, x, f, func):
        """Called by SciPy before the first iteration."""
        self.update(x, f)

    def update(self, x, f=None):
        """Factorize the Jacobian at `x`; called by SciPy after each iteration."""
        self._factors = self.factorize(self.jac(np.reshape(x, self._like), *self._args))
        self.updates += 1

    def _matvec(self, x):
        return self._factors.solve(np.asarray(x, dtype=float).ravel())


def preconditioner(f, x0, *, args=(), of="return", factorize=splu, engine="auto", fast=False):
    """A preconditioner for `scipy.optimize.newton_krylov`: the sparse Jacobian of the function, factorized.

    Parameters
    ----------
    f : callable
        ``f(x, *args) -> residual``, of the shape of x; or one that writes it into an argument.
    x0 : array_like
        Where it is factorized first.
    args : tuple
    of : "return", int or str
        Where the residual is, see `for_solve_ivp`.
    factorize : callable
        Takes a ``csc_array``, gives an object with ``solve(b)``: `scipy.sparse.linalg.splu`, or for example
        ``lambda J: spilu(J, drop_tol=1e-3)``, which is cheaper for three-dimensional problems.
    engine, fast
        See `sparsead.jacobian`.

    Returns
    -------
    Preconditioner
        A `LinearOperator` with the methods ``setup`` and ``update(x, f)``, which SciPy calls at each iteration.

    Examples
    --------
    >>> import numpy as np, sparsead
    >>> from scipy.optimize import newton_krylov
    >>> def residual(u):
    ...     r = 3 * u + u**3 - 1
    ...     r[1:] -= u[:-1]
    ...     r[:-1] -= u[1:]
    ...     return r
    >>> M = sparsead.scipy.preconditioner(residual, np.zeros(30))
    >>> u = newton_krylov(residual, np.zeros(30), inner_M=M, method="gmres")
    >>> bool(np.abs(residual(u)).max() < 1e-5)
    True

    """
    x0 = _real(x0)
    _, jac_of, _ = _returning(f, of, 0, jacobian(f, 0, of, format="csc", engine=engine, fast=fast))
    return Preconditioner(jac_of, x0, args, factorize)


def for_root(f, x0, method="hybr", *, args=(), of="return", options=None, engine="auto", fast=False):
    """Arguments for `scipy.optimize.root`, with the Jacobian.

    Parameters
    ----------
    f : callable
        ``f(x, *args) -> residual``, of the shape of x; or one that writes it into an argument.
    x0, args
        As for `root`.
    method : {"hybr", "lm", "krylov"}
        "hybr" and "lm" take a dense Jacobian, "krylov" a sparse one as preconditioner; SciPy's other methods take none.
    of : "return", int or str
        Where the residual is, see `for_solve_ivp`.
    options : dict, optional
        As for `root`; for "krylov" the preconditioner is put there. Ask this method for ``{"fatol": 1e-9}``: SciPy takes
        ``tol=`` for the length of steps, and ends where a line search takes a short one.
    engine, fast
        See `sparsead.jacobian`.

    Returns
    -------
    dict
        ``fun``, ``x0``, ``method``, ``args``, ``options``; and ``jac`` where the method takes it.

    Raises
    ------
    ValueError
        The method uses no Jacobian, or is unknown.

    Examples
    --------
    >>> import numpy as np, sparsead
    >>> from scipy.optimize import root
    >>> def residual(x, a):
    ...     return x**3 + np.roll(x, 1) - a
    >>> root(**sparsead.scipy.for_root(residual, np.full(5, 2.0), args=(2.0,))).x.round(9)
    array([1., 1., 1., 1., 1.])

    """
    method = _known_method("root", method, ROOT)
    x0 = _real(x0)
    if method == "krylov":
        M = preconditioner(f, x0, args=args, of=of, engine=engine, fast=fast)
        fun = f if of == "return" else Written(f, M.jac.position, 0, True)
        inner = {"method": KRYLOV, "inner_M": M, **(options or {}).get("jac_options", {})}
        return {"fun": fun, "x0": x0, "method": method, "args": args, "options": {**(options or {}), "jac_options": inner}}
    fun, jac_of, _ = _returning(f, of, 0, jacobian(f, 0, of, format="dense", engine=engine, fast=fast))
    return {"fun": fun, "x0": x0, "method": method, "args": args, "jac": jac_of, "options": options}


def for_newton_krylov(f, x0, *, args=(), of="return", factorize=splu, engine="auto", fast=False):
    """Arguments for `scipy.optimize.newton_krylov`, with the factorized sparse Jacobian as preconditioner.

    Parameters are those of `preconditioner`.

    Returns
    -------
    dict
        ``F``, without `args`, which `newton_krylov` does not know; ``xin``, ``inner_M``, and ``method="gmres"``.

    Notes
    -----
    SciPy takes products with the Jacobian by finite differences; the preconditioner is exact. SciPy's own default, "lgmres",
    begins with the directions of earlier steps, which are of no use then: it takes several times as many steps.

    Examples
    --------
    >>> import numpy as np, sparsead
    >>> from scipy.optimize import newton_krylov
    >>> def residual(u, r, source):
    ...     r[:] = 2 * u + np.exp(u) - source
    ...     r[1:] -= u[:-1]
    >>> u = newton_krylov(**sparsead.scipy.for_newton_krylov(residual, np.zeros(20), args=(3.0,), of="r"), f_tol=1e-9)
    >>> check = np.zeros(20)
    >>> residual(u, check, 3.0)
    >>> bool(np.abs(check).max() < 1e-9)
    True

    """
    M = preconditioner(f, x0, args=args, of=of, factorize=factorize, engine=engine, fast=fast)
    fun = f if of == "return" else Written(f, M.jac.position, 0, True)
    return {"F": _with(fun, args), "xin": _real(x0), "inner_M": M, "method": KRYLOV}


__all__ = ["for_least_squares", "for_minimize", "for_newton_krylov", "for_root", "for_solve_ivp", "nonlinear_constraint",
           "preconditioner"]  # fmt: skip
