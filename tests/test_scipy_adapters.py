"""Arguments for SciPy's solvers: each solves a real problem with our derivatives, and no warning; errors are warnings here."""

import doctest
import re
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import BFGS, Bounds, least_squares, minimize, newton_krylov, root
from scipy.sparse import issparse
from scipy.sparse.linalg import LinearOperator, spilu

import sparsead
from sparsead.scipy import (
    for_least_squares,
    for_minimize,
    for_newton_krylov,
    for_root,
    for_solve_ivp,
    nonlinear_constraint,
    preconditioner,
)


class Counted:
    """A callable that counts its calls and keeps its last result."""

    def __init__(self, function):
        self.function, self.calls, self.result = function, 0, None

    def __call__(self, *args):
        self.calls += 1
        self.result = self.function(*args)
        return self.result


def counted(arguments, *names):
    """The arguments, with these callables counted."""
    found = [Counted(arguments[name]) for name in names]
    return {**arguments, **dict(zip(names, found, strict=True))}, *found


# ---- differential equations ------------------------------------------------------------------------------------------

N = 30


def heat(t, y, dy, source, k):
    """A stiff reaction and diffusion, written into `dy`."""
    dy += k * (-2 * y) - y**3 + source * np.exp(-t)
    dy[1:] += k * y[:-1]
    dy[:-1] += k * y[1:]


def heat_returned(t, y, source, k):
    dy = np.zeros_like(y)
    heat(t, y, dy, source, k)
    return dy


Y0, ARGS = np.sin(np.linspace(0, np.pi, N)), (np.linspace(0, 1, N), 400.0)


@pytest.fixture(scope="module")
def exact():
    return solve_ivp(heat_returned, (0, 0.5), Y0, method="Radau", args=ARGS, rtol=1e-9, atol=1e-10).y[:, -1]


@pytest.mark.parametrize("of, f", [("return", heat_returned), ("dy", heat), (2, heat)])
@pytest.mark.parametrize("method", ["BDF", "Radau", "LSODA"])
def test_solve_ivp(method, of, f, exact):
    arguments, jac = counted(for_solve_ivp(f, (0, 0.5), Y0, method, args=ARGS, of=of), "jac")
    assert arguments["method"] == method
    solution = solve_ivp(**arguments, rtol=1e-7, atol=1e-9)
    assert solution.success and jac.calls > 0
    np.testing.assert_allclose(solution.y[:, -1], exact, rtol=1e-5, atol=1e-7)
    if method == "LSODA":
        assert (arguments["lband"], arguments["uband"]) == (1, 1)
        assert jac.result.shape == (4 if sparsead.scipy.ROOM_FOR_FACTORS else 3, N)
    else:
        assert issparse(jac.result) and jac.result.format == "csc" and jac.result.nnz == 3 * N - 2
    differences = solve_ivp(**{**arguments, "jac": None}, rtol=1e-7, atol=1e-9)
    assert solution.nfev < differences.nfev


@pytest.mark.parametrize("method", ["BDF", "Radau", "LSODA"])
def test_solve_ivp_dense(method, exact):
    arguments, jac = counted(for_solve_ivp(heat, (0, 0.5), Y0, method.lower() if method == "BDF" else method, args=ARGS, of="dy",
                                           jac="dense"), "jac")  # fmt: skip
    solution = solve_ivp(**arguments, rtol=1e-7, atol=1e-9)
    assert jac.calls > 0 and type(jac.result) is np.ndarray and jac.result.shape == (N, N) and "lband" not in arguments
    np.testing.assert_allclose(solution.y[:, -1], exact, rtol=1e-5, atol=1e-7)


def test_without_arguments_and_where_bands_are_wide():
    def ring(t, y):
        return np.roll(y, 1) - 3 * y

    arguments = for_solve_ivp(ring, (0, 1), np.arange(9.0), "LSODA")
    assert "lband" not in arguments and arguments["jac"](0.0, np.ones(9)).shape == (9, 9)
    expected = solve_ivp(ring, (0, 1), np.arange(9.0), rtol=1e-9, atol=1e-9).y[:, -1]
    np.testing.assert_allclose(solve_ivp(**arguments, rtol=1e-8, atol=1e-9).y[:, -1], expected, rtol=1e-5)
    banded = for_solve_ivp(ring, (0, 1), np.arange(9.0), "LSODA", jac="banded")
    assert (banded["lband"], banded["uband"]) == (1, 8)
    np.testing.assert_allclose(solve_ivp(**banded, rtol=1e-8, atol=1e-9).y[:, -1], expected, rtol=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_bands_are_packed_as_lsoda_wants_them(seed):
    rng = np.random.default_rng(seed)
    n, A = 7, np.zeros((7, 7))
    below, above = rng.integers(0, 4, 2)
    for k in range(-below, above + 1):
        A += np.diag(rng.random(n - abs(k)), k)
    arguments = for_solve_ivp(lambda t, y: _product(A, y), (0, 1), np.ones(n), "LSODA", jac="banded")
    packed = arguments["jac"](0.0, np.ones(n))
    assert (arguments["lband"], arguments["uband"]) == (below, above)
    assert len(packed) == below * (1 + sparsead.scipy.ROOM_FOR_FACTORS) + above + 1
    for i in range(n):
        for j in range(n):
            if A[i, j]:
                assert packed[i - j + above, j] == A[i, j]
    assert np.count_nonzero(packed) == np.count_nonzero(A)


def _product(A, y):
    """``A @ y``, of which only the entries count that are not zero."""
    result = np.zeros(len(y))
    for i, j in zip(*np.nonzero(A), strict=True):
        result[i] += A[i, j] * y[j]
    return result


def test_bands_that_grow_are_told():
    def f(t, y):
        return -y if t < 0.5 else -y[::-1]

    arguments = for_solve_ivp(f, (0, 1), np.ones(6), "LSODA", jac="banded")
    assert (arguments["lband"], arguments["uband"]) == (0, 0)
    arguments["jac"](0.0, np.ones(6))
    with pytest.raises(ValueError, match="entries outside of the bands that LSODA was told; take jac='dense', or method='BDF'"):
        arguments["jac"](1.0, np.ones(6))


# ---- least squares ---------------------------------------------------------------------------------------------------


def misfit(x, scale):
    """Chained Rosenbrock as residuals; zero at ones."""
    return np.concatenate([scale * (x[1:] - x[:-1] ** 2), 1 - x[:-1]])


FORMS = {"sparse": issparse, "dense": lambda J: type(J) is np.ndarray, "operator": lambda J: isinstance(J, LinearOperator)}


@pytest.mark.parametrize("method, form", [(m, f) for m in ("trf", "dogbox") for f in FORMS] + [("lm", "dense")])
def test_least_squares(method, form):
    arguments, jac = counted(for_least_squares(misfit, np.full(12, 0.5), method, args=(10.0,), jac=form), "jac")
    found = least_squares(**arguments, xtol=1e-12, ftol=1e-12, gtol=1e-12)
    np.testing.assert_allclose(found.x, 1, atol=1e-6)
    assert jac.calls > 1 and FORMS[form](jac.result)
    if method != "lm":
        assert found.njev == jac.calls and found.nfev < 100


def test_least_squares_choose_by_size_and_pattern():
    n = 200
    assert issparse(for_least_squares(misfit, np.zeros(n), args=(1.0,))["jac"](np.ones(n), 1.0))
    assert type(for_least_squares(misfit, np.zeros(20), args=(1.0,))["jac"](np.ones(20), 1.0)) is np.ndarray
    dense = for_least_squares(lambda x: x * np.sum(x), np.ones(n))
    assert type(dense["jac"](np.ones(n))) is np.ndarray
    assert type(for_least_squares(misfit, np.zeros(n), "lm", args=(1.0,))["jac"](np.ones(n), 1.0)) is np.ndarray


def test_large_least_squares_within_bounds():
    def smoothed(x, data):
        return np.concatenate([x**2 - data, 0.5 * (x[1:] - x[:-1])])

    n = 120
    x0, data = np.full(n, 0.9), np.linspace(0.5, 2, n) ** 2
    arguments, jac = counted(for_least_squares(smoothed, x0, args=(data,)), "jac")
    found = least_squares(**arguments, bounds=(0, 1.2), x_scale="jac")
    by_differences = least_squares(smoothed, x0, args=(data,), bounds=(0, 1.2), x_scale="jac", method="trf")
    assert found.success and issparse(jac.result) and jac.calls == found.njev
    np.testing.assert_allclose(found.x, by_differences.x, atol=1e-3)


# ---- minimization ----------------------------------------------------------------------------------------------------


def rosenbrock(x, weight):
    return np.sum(weight * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def bowl(x, weight):
    """Convex everywhere, as dogleg wants it."""
    return np.sum(np.cosh(x - 1)) + weight * np.sum((x[1:] - x[:-1]) ** 2)


@pytest.mark.parametrize("method", ["CG", "BFGS", "L-BFGS-B", "TNC", "SLSQP", "cg"])
def test_minimize_by_gradients(method):
    arguments, fun = counted(for_minimize(rosenbrock, np.zeros(6), method, args=(10.0,)), "fun")
    assert arguments["jac"] is True and not {"hess", "hessp"} & set(arguments)
    found = minimize(**arguments, tol=1e-10)
    np.testing.assert_allclose(found.x, 1, atol=1e-3)
    assert fun.calls == found.nfev and isinstance(fun.result[0], float)
    by_differences = minimize(rosenbrock, np.zeros(6), args=(10.0,), method=method, tol=1e-10)
    assert found.nfev < by_differences.nfev


SECOND = [(m, f) for m, forms in sparsead.scipy.MINIMIZE.items() for f in forms]


# SciPy 1.17.1: "trust-krylov" computes with memory that nobody has written, and warns of what it finds there.
krylov_warns = pytest.mark.filterwarnings("ignore::RuntimeWarning")


@krylov_warns
@pytest.mark.parametrize("method, form", SECOND)
def test_minimize_by_hessians(method, form):
    f, name = bowl if method == "dogleg" else rosenbrock, "hessp" if form == "products" else "hess"
    arguments, fun, second = counted(for_minimize(f, np.full(6, 0.5), method, args=(10.0,), hess=form), "fun", name)
    assert {"hess", "hessp"} & set(arguments) == {name}
    found = minimize(**arguments, tol=1e-9)
    np.testing.assert_allclose(found.x, 1, atol=1e-5)
    assert fun.calls > 1 and second.calls > 1
    assert FORMS.get(form, lambda product: product.shape == (6,))(second.result)


def test_the_best_form_is_the_default():
    for method, forms in sparsead.scipy.MINIMIZE.items():
        arguments = for_minimize(rosenbrock, np.zeros(3), method, args=(10.0,))
        assert ("hessp" in arguments) == (forms[:1] == ("products",))
        if "hess" in arguments:
            assert FORMS[forms[0]](arguments["hess"](np.zeros(3), 10.0))


def test_products_at_one_point_are_linearised_once():
    operators = sparsead.hessian_operator(rosenbrock)
    operators._work = Counted(operators._work)
    products, x, p = sparsead.scipy.Products(operators), np.linspace(0, 1, 5), np.arange(5.0)
    H = sparsead.hessian(rosenbrock)(x, 10.0)
    np.testing.assert_allclose(products(x, p, 10.0), H @ p, rtol=1e-13)
    np.testing.assert_allclose(products(x.copy(), p[::-1], 10.0), H @ p[::-1], rtol=1e-13)
    x[0] = 3.0
    np.testing.assert_allclose(products(x, p, 10.0), sparsead.hessian(rosenbrock)(x, 10.0) @ p, rtol=1e-13)
    np.testing.assert_allclose(products(x, p, 20.0), sparsead.hessian(rosenbrock)(x, 20.0) @ p, rtol=1e-13)
    assert operators._work.calls == 3


def test_products_follow_arrays_that_change_in_place():
    weights, captured, x, p = np.ones(3), np.ones(3), np.ones(3), np.arange(3.0)
    first = np.zeros(3)

    def cubes(x, w):
        return np.sum(w * captured * x**3) + (np.sum(x**4) if first[0] else 0.0)

    hessp = for_minimize(cubes, x, "trust-ncg", args=(weights,))["hessp"]
    np.testing.assert_allclose(hessp(x, p, weights), 6 * p)
    weights[:] = 10
    np.testing.assert_allclose(hessp(x, p, weights), 60 * p)
    captured[:] = 2
    np.testing.assert_allclose(hessp(x, p, weights), 120 * p)
    first[0] = 1
    np.testing.assert_allclose(hessp(x, p, weights), 132 * p)


# ---- constraints -----------------------------------------------------------------------------------------------------


def ring(x, radius):
    """Sums of neighbours' squares."""
    return (x[1:] ** 2 + x[:-1] ** 2) / radius


@pytest.mark.parametrize("hess", ["sparse", "dense", "operator"])
@pytest.mark.parametrize("jac", ["sparse", "dense"])
@pytest.mark.parametrize("args", [(), (2.0,)])
def test_constraints_of_trust_constr(jac, hess, args):
    f = ring if args else lambda x: ring(x, 2.0)
    constraint = nonlinear_constraint(f, -np.inf, 1, args=args, jac=jac, hess=hess)
    constraint.jac, constraint.hess = Counted(constraint.jac), Counted(constraint.hess)
    target = np.array([2.0, -1.0, 2.0, 3.0])
    found = minimize(**for_minimize(lambda x: np.sum((x - target) ** 2), np.full(4, 0.1), "trust-constr"), constraints=constraint,
                     options={"gtol": 1e-9, "xtol": 1e-10})  # fmt: skip
    by_differences = minimize(lambda x: np.sum((x - target) ** 2), np.full(4, 0.1), method="SLSQP", tol=1e-12,
                              constraints={"type": "ineq", "fun": lambda x: 1 - ring(x, 2.0)})  # fmt: skip
    np.testing.assert_allclose(found.x, by_differences.x, atol=1e-5)
    assert constraint.jac.calls > 1 and FORMS[jac](constraint.jac.result)
    assert constraint.hess.calls > 1 and FORMS[hess](constraint.hess.result)


def test_hessians_of_constraints_are_those_of_the_weighted_sum():
    hess = nonlinear_constraint(ring, 0, 1, args=(0.5,)).hess
    x, rng = np.array([1.0, 2, 3, 4]), np.random.default_rng(0)
    for _ in range(3):
        v = rng.random(3)
        weights = np.concatenate([v, [0]]) + np.concatenate([[0], v])
        np.testing.assert_allclose(hess(x, v).toarray(), np.diag(4 * weights), rtol=1e-14)
    number = nonlinear_constraint(lambda x: x @ x, 1, 1)
    np.testing.assert_allclose(number.hess(x, np.array([3.0])).toarray(), 6 * np.eye(4))
    assert number.jac(x).shape == (1, 4)


def test_constraints_of_slsqp():
    constraint = nonlinear_constraint(lambda x: x @ x, 1, 1, "SLSQP")
    constraint.jac = Counted(constraint.jac)
    found = minimize(**for_minimize(lambda x: x[0] + 2 * x[1], np.array([0.3, 0.4]), "SLSQP"), constraints=constraint,
                     bounds=Bounds(-2, 2), tol=1e-12)  # fmt: skip
    np.testing.assert_allclose(found.x, -np.array([1, 2]) / np.sqrt(5), rtol=1e-6)
    assert constraint.jac.calls > 1


def test_with_hessians_of_others():
    arguments = for_minimize(bowl, np.zeros(5), "trust-constr", args=(1.0,)) | {"hess": BFGS()}
    np.testing.assert_allclose(minimize(**arguments).x, 1, atol=1e-3)


# ---- equations -------------------------------------------------------------------------------------------------------


def residual(u, load):
    r = 3 * u + u**3 - load
    r[1:] -= u[:-1]
    r[:-1] -= u[1:]
    return r


def residual_written(r, u, load):
    r += residual(u, load)


@pytest.mark.parametrize("method", ["hybr", "lm", "krylov"])
def test_root(method):
    start, name = np.zeros(20), "jac"
    arguments = for_root(residual, start, method, args=(2.0,), options={"fatol": 1e-10} if method == "krylov" else None)
    if method == "krylov":
        found = root(**arguments)
        assert arguments["options"]["jac_options"]["inner_M"].updates > 2
    else:
        arguments, jac = counted(arguments, name)
        found = root(**arguments, tol=1e-12)
        assert jac.calls >= 1 and type(jac.result) is np.ndarray
        if method == "hybr":
            assert jac.calls >= found.njev > 0
    assert found.success
    np.testing.assert_allclose(residual(found.x, 2.0), 0, atol=1e-8)


@pytest.mark.parametrize("method", ["hybr", "lm", "krylov"])
def test_root_of_what_is_written(method):
    def written(u, r, load):
        r += residual(u, load)

    options = {"fatol": 1e-10, "jac_options": {"method": "bicgstab"}} if method == "krylov" else {"xtol": 1e-12}
    arguments = for_root(written, np.zeros(20), method, args=(2.0,), of="r", options=options)
    if method == "krylov":
        assert set(arguments["options"]["jac_options"]) == {"method", "inner_M"} and "inner_M" not in options["jac_options"]
    found = root(**arguments)
    np.testing.assert_allclose(residual(found.x, 2.0), 0, atol=1e-8)


@pytest.mark.parametrize("krylov", ["lgmres", "gmres", "bicgstab"])
@pytest.mark.parametrize("factorize", [None, lambda J: spilu(J, drop_tol=1e-4)])
def test_newton_krylov(krylov, factorize):
    given = {} if factorize is None else {"factorize": factorize}
    arguments = for_newton_krylov(residual, np.zeros((20,)), args=(2.0,), **given)
    solution = newton_krylov(**arguments | {"method": krylov}, f_tol=1e-10)
    np.testing.assert_allclose(residual(solution, 2.0), 0, atol=1e-9)
    assert arguments["inner_M"].updates > 2


def test_preconditioned_newton_takes_fewer_calls():
    n = 24

    def plate(u):
        r = 4.01 * u + 0.1 * u**3 - 1
        r[1:] -= u[:-1]
        r[:-1] -= u[1:]
        r[:, 1:] -= u[:, :-1]
        r[:, :-1] -= u[:, 1:]
        return r

    counts = []
    for arguments in (for_newton_krylov(plate, np.ones((n, n))), {"F": plate, "xin": np.ones((n, n)), "method": "gmres"}):
        arguments, calls = counted(arguments, "F")
        solution = newton_krylov(**arguments, f_tol=1e-8)
        assert solution.shape == (n, n)
        np.testing.assert_allclose(plate(solution), 0, atol=1e-7)
        counts.append(calls.calls)
    assert counts[0] < 0.5 * counts[1]


def test_preconditioners_are_inverses():
    M = preconditioner(residual, np.ones(10), args=(1.0,))
    J = sparsead.jacobian(residual, format="dense")
    b = np.arange(10.0)
    np.testing.assert_allclose(J(np.ones(10), 1.0) @ (M @ b), b, atol=1e-12)
    M.update(np.full(10, 2.0), None)
    np.testing.assert_allclose(J(np.full(10, 2.0), 1.0) @ (M @ b), b, atol=1e-12)
    assert M.updates == 2 and M.shape == (10, 10)


# ---- what cannot be --------------------------------------------------------------------------------------------------

F, X = lambda x: x * x, np.ones(3)
TAKE = "takes no derivatives of this function; methods that do: "
REFUSALS = [
    (lambda: for_solve_ivp(lambda t, y: -y, (0, 1), X, "RK45"),
     f"solve_ivp(method='RK45') {TAKE}'BDF', 'Radau', 'LSODA'"),
    (lambda: for_solve_ivp(lambda t, y: -y, (0, 1), X, "LSODA", jac="sparse"),
     "solve_ivp(method='LSODA') takes jac 'banded' or 'dense', not 'sparse'; for jac='sparse' choose method 'BDF' or 'Radau'"),
    (lambda: for_solve_ivp(lambda t, y: -y, (0, 1), X, "BDF", jac="banded"),
     "takes jac 'sparse' or 'dense', not 'banded'; for jac='banded' choose method 'LSODA'"),
    (lambda: for_least_squares(F, X, "lm", jac="sparse"),
     "least_squares(method='lm') takes jac 'dense', not 'sparse'; for jac='sparse' choose method 'trf' or 'dogbox'"),
    (lambda: for_least_squares(F, X, jac="csr"), "takes jac 'sparse' or 'dense' or 'operator', not 'csr'"),
    (lambda: for_minimize(F, X, "Nelder-Mead"), f"minimize(method='Nelder-Mead') {TAKE}'CG', 'BFGS'"),
    (lambda: for_minimize(F, X, "L-BFGS-B", hess="sparse"),
     "minimize(method='L-BFGS-B') takes no hess, not 'sparse'; for hess='sparse' choose method 'Newton-CG' or 'trust-constr'"),
    (lambda: for_minimize(F, X, "trust-exact", hess="sparse"), "takes hess 'dense', not 'sparse'; for hess='sparse' choose"),
    (lambda: nonlinear_constraint(F, 0, 1, jac="operator"),
     "nonlinear_constraint(method='trust-constr') takes jac 'sparse' or 'dense', not 'operator'"),
    (lambda: nonlinear_constraint(F, 0, 1, "SLSQP", hess="sparse"),
     "takes no hess, not 'sparse'; for hess='sparse' choose method 'trust-constr'"),
    (lambda: nonlinear_constraint(F, 0, 1, "COBYLA"), f"{TAKE}'trust-constr', 'SLSQP'"),
    (lambda: for_root(F, X, "broyden1"), f"root(method='broyden1') {TAKE}'hybr', 'lm', 'krylov'"),
]  # fmt: skip


def test_complex_starts_are_refused():
    for call in (lambda x: for_solve_ivp(lambda t, y: -y, (0, 1), x), lambda x: for_least_squares(F, x),
                 lambda x: for_minimize(F, x), lambda x: for_root(F, x), lambda x: for_newton_krylov(F, x)):  # fmt: skip
        with pytest.raises(TypeError, match="is complex, and the derivatives are real"):
            call(np.ones(3) + 0j)


@pytest.mark.parametrize("call, message", REFUSALS)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


@krylov_warns
def test_examples():
    result = doctest.testmod(sparsead.scipy)
    assert result.attempted > 30 and result.failed == 0


@krylov_warns
def test_the_page():
    page = Path(__file__).resolve().parents[1] / "docs" / "solvers.md"
    blocks = "\n".join(re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL))
    test = doctest.DocTestParser().get_doctest(blocks, {"__name__": "page"}, page.name, str(page), 0)
    result = doctest.DocTestRunner().run(test)
    assert result.attempted >= 40 and result.failed == 0
