"""`root` and `fixed_point`: derivatives by the implicit function theorem, against differences and unrolled iterations."""

import doctest
import re

import numpy as np
import pytest
import scipy.optimize
from scipy.sparse.linalg import gmres

import sparsead
import sparsead.derivatives.implicit
from sparsead.testing import check_derivatives


def names_of(derivative):
    """The ops of the most recent recording, those in bodies of loops included."""
    found = []

    def look(tape):
        for op in tape:
            found.append(op.op.name)
            for body in getattr(op.attr, "bodies", ()):
                look(body)

    look(derivative.tape)
    return found


# ---- one number -----------------------------------------------------------------------------------------------------


def test_a_square_root():
    def square_root(a):
        return sparsead.root(lambda x, a: x * x - a, 1.0, a)

    assert square_root(2.0) == pytest.approx(np.sqrt(2), rel=1e-15)
    value, slope = sparsead.value_and_grad(square_root)(2.0)
    assert value == square_root(2.0)
    assert slope == pytest.approx(0.5 / np.sqrt(2), rel=1e-14)
    assert sparsead.hessian(square_root)(2.0).toarray() == pytest.approx(-0.25 * 2**-1.5, rel=1e-13)
    third = sparsead.grad(sparsead.grad(sparsead.grad(square_root)))
    assert third(2.0) == pytest.approx(0.375 * 2**-2.5, rel=1e-12)


def test_kepler():
    def anomaly(mean, e):
        return sparsead.fixed_point(lambda E: mean + e * np.sin(E), mean)

    E = anomaly(1.0, 0.3)
    assert E == pytest.approx(1.0 + 0.3 * np.sin(E), abs=1e-11)
    by_mean, by_e = sparsead.grad(anomaly, wrt=(0, 1))(1.0, 0.3)
    assert by_mean == pytest.approx(1 / (1 - 0.3 * np.cos(E)), rel=1e-11)
    assert by_e == pytest.approx(np.sin(E) / (1 - 0.3 * np.cos(E)), rel=1e-11)
    check_derivatives(anomaly, 1.0, 0.3, wrt=(0, 1))


def test_the_starting_point_has_no_derivative():
    assert sparsead.grad(lambda x0: sparsead.root(lambda x: x**2 - 2.0, x0))(1.0) == 0.0
    both = sparsead.grad(lambda a: sparsead.root(lambda x: x**2 - a, a))
    assert both(2.0) == pytest.approx(0.5 / np.sqrt(2), rel=1e-14)


def test_integers_start_floats():
    assert sparsead.root(lambda x: x * x - 2, 1) == pytest.approx(np.sqrt(2))
    assert sparsead.root(lambda x: x * x - 2, np.array([1, 2])).dtype == np.float64


def test_other_numbers_need_no_other_trace():
    gradient = sparsead.grad(lambda a: sparsead.root(lambda x, a: x * x - a, 1.0, a))
    for a in (2.0, 3.0, 50.0):
        assert gradient(a) == pytest.approx(0.5 / np.sqrt(a), rel=1e-14)
    assert "traces: 1" in gradient.report()
    assert names_of(gradient).count("implicit") == 1


# ---- arrays ---------------------------------------------------------------------------------------------------------


def cubic(x, p):
    return x**3 + 2 * x + 0.3 * np.roll(x, 1) * x[0] - p


def solved(p):
    return sparsead.root(cubic, np.ones(5), p)


def newton(p, steps=12):
    """The same by Newton steps that are differentiated."""
    x = np.ones(5)
    for _ in range(steps):
        J = np.diag(3 * x**2 + 2 + 0 * p)
        shift = np.roll(np.eye(5), 1, 0)
        J = J + 0.3 * x[0] * shift + 0.3 * np.outer(np.roll(x, 1), np.eye(5)[0])
        x = x - np.linalg.solve(J, cubic(x, p))
    return x


P = np.array([1.0, 2.0, -1.5, 4.0, 0.5])


def test_against_unrolled_newton_steps():
    value, pullback = sparsead.vjp(solved)(P)
    other, other_pullback = sparsead.vjp(newton)(P)
    np.testing.assert_allclose(value, other, rtol=1e-14)
    w = np.array([1.0, -2.0, 3.0, 0.5, 1.0])
    np.testing.assert_allclose(pullback(w), other_pullback(w), rtol=1e-12)
    np.testing.assert_allclose(sparsead.jvp(solved)(P, w)[1], sparsead.jvp(newton)(P, w)[1], rtol=1e-12)
    H, other = (sparsead.hessian(lambda p, f=f: np.sum(f(p) ** 3))(P).toarray() for f in (solved, newton))
    np.testing.assert_allclose(H, other, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(sparsead.hvp(lambda p: np.sum(solved(p) ** 3))(P, w), H @ w, rtol=1e-12)
    assert "implicit" not in names_of(sparsead.vjp(newton).prepare(P))


def test_against_differences():
    check_derivatives(solved, P)
    check_derivatives(lambda p: np.sum(solved(p) ** 3), P)


def test_jacobian_agrees_with_tangents():
    J = sparsead.jacobian(solved)(P).toarray()
    tangents = np.stack([sparsead.jvp(solved)(P, e)[1] for e in np.eye(5)], axis=1)
    np.testing.assert_allclose(J, tangents, rtol=1e-13, atol=1e-15)


def test_fixed_points_of_arrays():
    def f(x, A, b):
        return np.tanh(A @ x) + b

    def point(A, b):
        return sparsead.fixed_point(f, np.zeros(3), A, b)

    A, b = 0.3 * np.array([[1.0, -0.5, 0.2], [0.1, 0.8, 0.4], [-0.6, 0.3, 0.5]]), np.array([0.1, -0.2, 0.3])
    x = point(A, b)
    np.testing.assert_allclose(f(x, A, b), x, atol=1e-11)
    check_derivatives(point, A, b, wrt=(0, 1))
    check_derivatives(lambda A, b: np.sum(point(A, b) ** 2), A, b, wrt=(0, 1))

    def unrolled(A, b):
        x = np.zeros(3)
        for _ in range(80):
            x = f(x, A, b)
        return x @ x

    for mine, other in zip(*(sparsead.grad(g, wrt=(0, 1))(A, b)
                             for g in (lambda A, b: np.sum(point(A, b) ** 2), unrolled)), strict=True):  # fmt: skip
        np.testing.assert_allclose(mine, other, rtol=1e-10)


def test_layouts_and_shapes():
    M = np.asfortranarray(np.arange(1.0, 7.0).reshape(2, 3))

    def f(M):
        return sparsead.root(lambda X: X**3 + X + 0.1 * np.roll(X, 1, axis=1) - M, np.ones((2, 3)))

    check_derivatives(f, M)
    J = sparsead.jacobian(f)(M)
    np.testing.assert_allclose(J @ np.arange(6.0), sparsead.jvp(f)(M, np.arange(6.0).reshape(2, 3))[1].ravel(), rtol=1e-13)
    check_derivatives(lambda p: sparsead.root(lambda x: x**3 + x - p, np.ones(())), 2.0)
    assert sparsead.root(lambda x: x - 1.0, np.zeros((0, 3))).shape == (0, 3)


def test_float32():
    p = np.arange(1, 4, dtype=np.float32)
    x = sparsead.root(lambda x: x**3 + x - p, np.ones(3, np.float32))
    assert x.dtype == np.float32
    g = sparsead.grad(lambda p: np.sum(sparsead.root(lambda x: x**3 + x - p, np.ones(3, np.float32))))(p)
    assert g.dtype == np.float32
    np.testing.assert_allclose(g, 1 / (3 * x**2 + 1), rtol=1e-5)


# ---- parameters -------------------------------------------------------------------------------------------------------

WEIGHTS = np.array([1.0, 2.0, 3.0])
SCRATCH = np.zeros(3)


def test_what_the_residual_captures_is_a_parameter():
    def f(p, scale):
        half = 0.5 * p
        shift = scale * p[0]

        def residual(x):
            return x**3 + x - half * WEIGHTS - shift

        return np.sum(sparsead.root(residual, np.ones(3)) ** 2)

    p = np.array([1.0, -2.0, 0.5])
    check_derivatives(f, p, 0.7, wrt=(0, 1))
    gradient = sparsead.grad(f, wrt=(0, 1))
    before = gradient(p, 0.7)
    WEIGHTS[:] *= 2
    try:
        after = gradient(p, 0.7)
        fresh = sparsead.grad(lambda p, s: f(p, s), wrt=(0, 1))(p, 0.7)
    finally:
        WEIGHTS[:] /= 2
    np.testing.assert_allclose(after[0], fresh[0], rtol=1e-14)
    assert not np.allclose(before[0], after[0])


def test_scratch_that_the_residual_writes():
    work = np.zeros(3)

    def residual(x, p):
        work[:] = x**2
        work[1:] += x[:-1]
        np.multiply(work, x, out=SCRATCH)
        return SCRATCH + x - p

    def f(p):
        return sparsead.root(residual, np.ones(3), p)

    check_derivatives(f, np.array([1.0, 2.0, 3.0]))

    def of_the_function(p):
        out = np.empty_like(p)

        def residual(x):
            out[0] = x[0] - p[0]
            out[1:] = x[1:] ** 3 + x[:-1] - p[1:]
            return out

        return sparsead.root(residual, np.ones(3))

    check_derivatives(of_the_function, np.array([1.0, 2.0, 3.0]))


def test_parameters_in_structures_and_views_of_one_array():
    def residual(x, model, both):
        return x**3 + model["k"] * x - both[0] - both[1] ** 2

    def f(p, k):
        return sparsead.root(residual, np.ones(2), {"k": k}, [p[:2], p[1:]])

    check_derivatives(f, np.array([1.0, 2.0, 3.0]), 1.5, wrt=(0, 1))


def test_unknowns_in_structures():
    def residual(state, p, q):
        a, (b, c) = state["a"], state["b"]
        return {"a": a**3 + b - p, "b": [2 * b + np.sum(a) - q, c - q * p]}

    def f(p, q):
        state = sparsead.root(residual, {"a": np.ones(3), "b": [1.0, np.ones(3)]}, p, q)
        return state["a"] @ state["b"][1] * state["b"][0]

    p = np.array([1.0, 2.0, 3.0])
    state = sparsead.root(residual, {"a": np.ones(3), "b": [1.0, np.ones(3)]}, p, 2.0)
    np.testing.assert_allclose(state["b"][1], 2.0 * p)
    assert np.shape(state["b"][0]) == ()
    check_derivatives(f, p, 2.0, wrt=(0, 1))
    x, y = sparsead.fixed_point(lambda s: (0.5 * s[1], 0.5 * s[0] + 1.0), (0.0, 0.0))
    assert (x, y) == pytest.approx((2 / 3, 4 / 3))


def test_nothing_of_the_caller_changes():
    p, x0 = np.array([1.0, 2.0]), np.array([1.0, 1.0])
    sparsead.grad(lambda p, x0: np.sum(sparsead.root(lambda x, p: x**3 - p, x0, p)))(p, x0)
    x = sparsead.root(lambda x, p: x**3 - p, x0, p)
    x[:] = 0
    sparsead.fixed_point(lambda x: np.cos(x), x0)
    np.testing.assert_array_equal(p, [1.0, 2.0])
    np.testing.assert_array_equal(x0, [1.0, 1.0])


def test_nested_derivatives():
    def inner(a):
        return sparsead.grad(lambda b: sparsead.root(lambda x, b: x * x * b - a, 1.0, b))(a)  # -1 / (2 a)

    assert inner(2.0) == pytest.approx(-0.25, rel=1e-13)
    assert sparsead.grad(inner)(2.0) == pytest.approx(0.125, rel=1e-12)

    def residual_with_a_gradient(p):
        energy = lambda x, p: 0.25 * np.sum(x**4) + 0.5 * x @ x - p @ x + 0.1 * x[0] * x[1]
        return sparsead.root(lambda x, p: sparsead.grad(energy)(x, p), np.ones(2), p)

    check_derivatives(residual_with_a_gradient, np.array([1.0, 2.0]))


# ---- solvers ----------------------------------------------------------------------------------------------------------


def test_a_linear_solver_without_matrices():
    asked = []

    def krylov(A, b):
        asked.append(A.shape)
        assert type(b) is np.ndarray
        y, failed = gmres(A, b, rtol=1e-13, atol=0.0)
        assert not failed
        return y

    def f(p):
        return np.sum(sparsead.root(cubic, np.ones(5), p, linear_solver=krylov) ** 3)

    def direct(p):
        return np.sum(solved(p) ** 3)

    np.testing.assert_allclose(sparsead.grad(f)(P), sparsead.grad(direct)(P), rtol=1e-11)
    np.testing.assert_allclose(sparsead.hessian(f)(P).toarray(), sparsead.hessian(direct)(P).toarray(), rtol=1e-9, atol=1e-12)
    assert set(asked) == {(5, 5)}


def test_a_solver_of_the_user():
    calls = []

    def powell(f, x0):
        calls.append(x0)
        assert type(x0) is np.ndarray
        return scipy.optimize.fsolve(f, x0, xtol=1e-13)

    def f(p):
        return np.sum(sparsead.root(cubic, np.ones(5), p, solver=powell) ** 2)

    assert f(P) == pytest.approx(np.sum(solved(P) ** 2), rel=1e-13)
    assert len(calls) == 1
    gradient = sparsead.grad(f)
    np.testing.assert_allclose(gradient(P), sparsead.grad(lambda p: np.sum(solved(p) ** 2))(P), rtol=1e-11)
    np.testing.assert_allclose(gradient(2 * P), sparsead.grad(lambda p: np.sum(solved(p) ** 2))(2 * P), rtol=1e-11)
    brent = lambda f, x0: scipy.optimize.brentq(f, 0.0, 10.0, xtol=1e-14)
    assert sparsead.grad(lambda a: sparsead.root(lambda x: x**2 - a, 1.0, solver=brent))(2.0) == pytest.approx(0.5 / 2**0.5)


@pytest.mark.parametrize("engine", ["vm", "reference"])
def test_what_solvers_are_given_may_be_kept(engine):
    """An operator, a function, a right side and a start that a solver keeps, as preconditioners do, stay what they were."""
    kept = []

    def by_matrix(A, b):
        kept.append((lambda: (A @ np.ones(6), A.rmatvec(np.ones(6)), b), (A @ np.ones(6), A.rmatvec(np.ones(6)), b.copy())))
        return np.linalg.solve(A @ np.eye(6), b)

    def by_user(f, x0):
        kept.append((lambda: (f(x0), x0), (f(x0), x0.copy())))
        return scipy.optimize.fsolve(f, x0, xtol=1e-13)

    def diffuse(x, old, dt):
        r = x - old
        r[1:-1] -= dt * (x[2:] - 2 * x[1:-1] + x[:-2] - x[1:-1] ** 3)
        return r

    def f(u, how):
        for k in sparsead.steps(12):
            u = 1.1 * sparsead.root(diffuse, u, u, 0.1 * (k + 1), **how)
        return u @ u

    for how in ({"linear_solver": by_matrix}, {"solver": by_user}):
        derivative = sparsead.value_and_grad(f, engine=engine)
        for scale in (1.0, 1.1, 0.5):
            derivative(scale * np.linspace(0.2, 1, 6), how)
    assert len(kept) > 72
    for look, then in kept:
        for x, before in zip(look(), then, strict=True):
            np.testing.assert_array_equal(x, before)


def test_outside_of_derivatives_only_the_solver_runs():
    kinds = set()

    def f(x):
        kinds.add(type(x))
        return np.cos(x)

    sparsead.fixed_point(f, np.zeros(3))
    assert kinds == {np.ndarray}


def test_many_unknowns_are_solved_sparsely():
    n = 300
    c = np.linspace(1.0, 2.0, n)

    def bratu(u, lam):
        r = 2 * u
        r[1:] -= u[:-1]
        r[:-1] -= u[1:]
        return r - lam * c * np.exp(u) / n**2

    def f(lam):
        return sparsead.root(bratu, np.zeros(n), lam)

    np.testing.assert_allclose(bratu(f(1.0), 1.0), 0, atol=1e-13)
    step = 1e-5
    _, tangent = sparsead.jvp(f)(1.0, 1.0)
    np.testing.assert_allclose(tangent, (f(1.0 + step) - f(1.0 - step)) / (2 * step), rtol=1e-6)
    _, pullback = sparsead.vjp(f)(1.0)
    w = np.cos(np.arange(n))
    assert pullback(w) == pytest.approx(w @ tangent, rel=1e-11)
    slope = sparsead.grad(lambda lam: np.sum(f(lam)))
    second = sparsead.hessian(lambda lam: np.sum(f(lam)))(1.0).toarray().item()
    assert second == pytest.approx((slope(1.0 + step) - slope(1.0 - step)) / (2 * step), rel=1e-6)


def test_unsymmetric_systems_are_transposed():
    A = np.array([[2.0, 1.0, 0.0], [0.0, 3.0, -1.0], [5.0, 0.0, 4.0]])
    b = np.array([1.0, 2.0, 3.0])
    w = np.array([1.0, -1.0, 2.0])
    _, pullback = sparsead.vjp(lambda b: sparsead.root(lambda x: A @ x - b, np.zeros(3)))(b)
    np.testing.assert_allclose(pullback(w), np.linalg.solve(A.T, w), rtol=1e-13)
    n = 100  # the same by a sparse factorisation
    b, w = np.linspace(1, 2, n), np.linspace(-1, 1, n)

    def upwind(x):
        r = 2 * x
        r[1:] -= x[:-1]
        return r

    dense = sparsead.jacobian(upwind, format="dense")(b)
    _, pullback = sparsead.vjp(lambda b: sparsead.root(lambda x: upwind(x) - b, np.zeros(n)))(b)
    np.testing.assert_allclose(pullback(w), np.linalg.solve(dense.T, w), rtol=1e-12)


# ---- patterns -----------------------------------------------------------------------------------------------------------


def test_blocks_stay_blocks():
    n = 6
    p = np.linspace(1, 2, n)

    def f(p):
        return sparsead.root(lambda x, q: x**3 + x - q * np.roll(p, 1), np.ones(n), p)

    jac = sparsead.jacobian(f)
    expected = np.eye(n) + np.roll(np.eye(n), -1, 1)
    np.testing.assert_array_equal(jac.prepare(p).pattern.toarray(), expected)
    tangents = np.stack([sparsead.jvp(f)(p, e)[1] for e in np.eye(n)], axis=1)
    np.testing.assert_allclose(jac(p).toarray(), tangents, rtol=1e-13)
    hess = sparsead.hessian(lambda p: np.sum(f(p) ** 2))
    products = np.stack([sparsead.hvp(lambda p: np.sum(f(p) ** 2))(p, e) for e in np.eye(n)])
    np.testing.assert_allclose(hess(p).toarray(), products, rtol=1e-12, atol=1e-15)
    assert hess.pattern.nnz == 3 * n


def test_coupled_unknowns_are_dense():
    jac = sparsead.jacobian(solved).prepare(P)
    assert jac.pattern.nnz == 25


# ---- branches -----------------------------------------------------------------------------------------------------------


def test_a_branch_inside_the_residual():
    def f(p):
        def residual(x):
            return x**3 - p if x[0] > 2 else x**2 + x - p

        x = sparsead.root(residual, np.full(2, 5.0))
        return x @ x

    low, high = np.array([3.0, 4.0]), np.array([30.0, 40.0])
    check_derivatives(f, low)
    check_derivatives(f, high)
    gradient = sparsead.grad(f)
    for p, slope in ((low, lambda x: 2 * x + 1), (high, lambda x: 3 * x**2), (low, lambda x: 2 * x + 1)):
        x = (np.sqrt(1 + 4 * p) - 1) / 2 if p is low else np.cbrt(p)
        np.testing.assert_allclose(gradient(p), 2 * x / slope(x), rtol=1e-12)
    _, pullback = sparsead.vjp(f)(high)
    np.testing.assert_allclose(pullback(1.0), gradient(high), rtol=1e-13)


def test_a_choice_by_where():
    def f(p):
        return sparsead.root(lambda x: np.where(x > 0, x**3 + x, 2 * x) - p, np.ones(4))

    check_derivatives(f, np.array([1.0, -2.0, 3.0, -4.0]))


# ---- time loops ---------------------------------------------------------------------------------------------------------


def heat(new, old, dt, source, r):
    """Implicit Euler for u_t = u_xx - u^3 + source, written as a solver writes it."""
    r[0] = new[0]
    r[-1] = new[-1]
    r[1:-1] = new[1:-1] - old[1:-1]
    r[1:-1] -= dt * (new[2:] - 2 * new[1:-1] + new[:-2] - new[1:-1] ** 3 + source[1:-1])
    return r


def simulation(steps):
    work = np.zeros(8)

    def simulate(u, dt, sources, n):
        for k in steps(n):
            u = sparsead.root(lambda new, old, dt, s: heat(new, old, dt, s, work), u, u, dt, sources[k])
        return u @ u

    return simulate


U = np.sin(np.linspace(0, np.pi, 8))


def test_an_implicit_time_step_stays_a_loop():
    sources = np.cos(np.arange(12 * 8.0)).reshape(12, 8)
    rolled, unrolled = simulation(sparsead.steps), simulation(range)
    check_derivatives(rolled, U, 0.3, sources, 12, wrt=(0, 1, 2))
    value, gradient = sparsead.value_and_grad(rolled, wrt=(0, 1, 2))(U, 0.3, sources, 12)
    other, expected = sparsead.value_and_grad(unrolled, wrt=(0, 1, 2))(U, 0.3, sources, 12)
    assert value == other
    for mine, reference in zip(gradient, expected, strict=True):
        np.testing.assert_allclose(mine, reference, rtol=1e-12, atol=1e-15)
    H, expected = (sparsead.hessian(f)(U, 0.3, sources, 12).toarray() for f in (rolled, unrolled))
    np.testing.assert_allclose(H, expected, rtol=1e-11, atol=1e-13)


def test_the_tape_of_an_implicit_loop_has_one_size():
    sizes = set()
    for n in (10, 40):
        gradient = sparsead.grad(simulation(sparsead.steps)).prepare(U, 0.3, np.zeros((n, 8)), n)
        assert "loop" in names_of(gradient)
        sizes.add((len(gradient.tape), len(gradient.prepared.adjoint_tape)))
    assert len(sizes) == 1


def test_a_residual_that_captures_the_state_of_the_loop():
    def simulate(u, F, dt):
        for k in sparsead.steps(9):
            t, forcing, old = k * dt, F[k], u.copy()

            def residual(x):
                r = x - old - dt * (forcing + np.sin(t))  # noqa: B023
                r[1:-1] -= dt * (x[2:] - 2 * x[1:-1] + x[:-2])
                return r

            u = sparsead.root(residual, u)
        return u @ u

    F = np.cos(np.arange(9 * 8.0)).reshape(9, 8)
    check_derivatives(simulate, U, F, 0.3, wrt=(0, 1, 2))
    assert names_of(sparsead.grad(simulate).prepare(U, F, 0.3)).count("loop") == 1


def test_equations_after_a_loop_and_in_place_code():
    def f(u, nu):
        new = u.copy()
        for _ in sparsead.steps(20):
            new[1:-1] = u[1:-1] + nu * (u[2:] - 2 * u[1:-1] + u[:-2])
            u, new = new, u
        u[2:4] *= 3
        x = sparsead.root(lambda x: x**3 + x - u[1:-1], np.ones(len(u) - 2))
        u[:] = 0  # after the equation: of no influence
        return x @ x

    check_derivatives(f, U, 0.2, wrt=(0, 1))


def test_an_equation_behind_a_long_loop_does_not_run_the_loop():
    calls = []

    def solver(f, x0):
        calls.append(1)
        return scipy.optimize.brentq(f, 0.0, 1e9)

    def f(u, n, steps=sparsead.steps):
        for _ in steps(n):
            u = np.sqrt(u) + 1
        return sparsead.root(lambda x: x**3 - u, 1.0, solver=solver)

    gradient = sparsead.grad(f).prepare(2.0, 10**7)
    assert not calls
    assert "loop" in names_of(gradient)
    assert sparsead.grad(f)(2.0, 9) == pytest.approx(sparsead.grad(f)(2.0, 9, range), rel=1e-12)
    value, _ = sparsead.value_and_grad(f)(2.0, 100)
    assert value == pytest.approx(((3 + np.sqrt(5)) / 2) ** (1 / 3))  # the loop's fixed point

    def asked(u, n):
        x = f(u, n)
        return x**2 if x > 1.2 else 1.0 * x

    assert sparsead.value_and_grad(asked)(2.0, 100)[0] == pytest.approx(value**2)

    def branching(u):
        for _ in sparsead.steps(50):
            u = np.sqrt(u) + 1
        return sparsead.root(lambda x: x**3 - u if u > 2.6 else x - u, 1.0)

    assert sparsead.value_and_grad(branching)(2.0)[0] == pytest.approx(value)


def test_a_branch_in_a_loop_that_leaves_the_traced_paths():
    def simulate(u):
        for _ in sparsead.steps(12):
            u = sparsead.root(lambda x, old: x - 2 * old if x > 100.0 else x - 1.5 * old, u, u)
        return u

    with pytest.raises(Exception, match="a branch of the function goes another way"):
        sparsead.grad(simulate)(1.0)


def test_the_steady_state_of_a_reaction_with_diffusion():
    """A 2-D Fisher equation with walls at zero, as an optimisation of its rate would ask for it."""
    m = 12
    lap = np.zeros((m, m))

    def residual(u, rate, diffusion):
        lap[:] = -4 * u
        lap[1:] += u[:-1]
        lap[:-1] += u[1:]
        lap[:, 1:] += u[:, :-1]
        lap[:, :-1] += u[:, 1:]
        return diffusion * lap + rate * u * (1 - u)

    def misfit(rate, diffusion):
        u = sparsead.root(residual, np.ones((m, m)), rate, diffusion)
        return np.mean((u - 0.5) ** 2)

    rate = 1.0 + 0.2 * np.sin(np.arange(m * m * 1.0)).reshape(m, m)
    u = sparsead.root(residual, np.ones((m, m)), rate, 0.2)
    assert u.min() > 0.1  # not the trivial state
    check_derivatives(misfit, rate, 0.2, wrt=(0, 1))


# ---- bad input ----------------------------------------------------------------------------------------------------------


def both_ways(call, kind, *fragments):
    """`call()` fails alike outside and inside of a derivative."""
    for run in (call, lambda: sparsead.grad(lambda a: a * np.sum(call()))(1.0)):
        with np.errstate(all="ignore"), pytest.raises(kind, match=".*".join(map(re.escape, fragments))):
            run()


def lost(x):
    return x**2 + 1.0


def test_no_convergence():
    both_ways(lambda: sparsead.root(lost, np.array([0.7, 0.3]), max_steps=7), RuntimeError, "sparsead.root(lost)",
              "no convergence in 7 steps", "shape (2,)", "tol=", "solver=")  # fmt: skip
    both_ways(lambda: sparsead.fixed_point(lambda x: 1 - x, 0.2, max_steps=9), RuntimeError, "fixed_point", "in 9 steps")


def test_no_convergence_at_a_later_call():
    gradient = sparsead.grad(lambda a: sparsead.root(lambda x, a: x**2 - a, 1.0, a))
    assert gradient(2.0) > 0
    with pytest.raises(RuntimeError, match="no convergence"):
        gradient(-2.0)
    assert gradient(3.0) == pytest.approx(0.5 / np.sqrt(3))


def test_a_singular_jacobian():
    both_ways(lambda: sparsead.root(lambda x: x * 0 + 1.0, np.ones(3)), np.linalg.LinAlgError, "sparsead.root(<lambda>)",
              "shape (3,)", "singular")  # fmt: skip
    both_ways(lambda: sparsead.root(lambda x: x * 0 + 1.0, np.ones(100)), np.linalg.LinAlgError, "(100, 100)", "singular")
    with pytest.raises(np.linalg.LinAlgError, match=r"sparsead\.fixed_point.*singular"):  # found, but no function of a
        sparsead.grad(lambda a: sparsead.fixed_point(lambda x: x + 0 * a, 1.0))(1.0)


@pytest.mark.parametrize("solve", [sparsead.root, sparsead.fixed_point])
def test_another_shape(solve):
    both_ways(lambda: solve(lambda x: x[:-1], np.ones(3)), ValueError, f"sparsead.{solve.__name__}(<lambda>)", "(2,)", "(3,)")
    both_ways(lambda: solve(lambda x: np.sum(x), np.ones(3)), ValueError, "()", "(3,)")
    both_ways(lambda: solve(lambda x: {"b": x["a"]}, {"a": np.ones(3)}), ValueError, "another structure")
    both_ways(lambda: solve(lambda x: {"a": x["a"][:2]}, {"a": np.ones(3)}), ValueError, "(2,)", "(3,)")


def test_no_value():
    with pytest.raises(TypeError, match="returned None"):
        sparsead.root(lambda x: None, np.ones(3))
    with pytest.raises(ValueError, match="gave None"):
        sparsead.fixed_point(lambda x: None, np.ones(3))
    with pytest.raises(ValueError, match="2 values"):
        sparsead.root(lambda x: (x, x), np.ones(3))


def test_not_a_number():
    both_ways(lambda: sparsead.root(lambda x: x + np.nan, 1.0), FloatingPointError, "sparsead.root(<lambda>)", "NaN", "step 0")
    both_ways(lambda: sparsead.fixed_point(lambda x: np.log(-x), 1.0), FloatingPointError, "f is NaN")
    both_ways(lambda: sparsead.root(lambda x: np.sqrt(x), 0.0), FloatingPointError, "Jacobian", "infinite")
    both_ways(lambda: sparsead.root(lost, 1.0, solver=lambda f, x0: np.nan), FloatingPointError, "solver gave NaN")


def test_complex_and_other_unknowns():
    with pytest.raises(TypeError, match=r"root\(lost\): x0 .*complex unknowns are not supported"):
        sparsead.root(lost, 1j)
    for x0 in (None, "a", True):
        with pytest.raises(TypeError, match="x0 has to be a floating array or number"):
            sparsead.root(lost, x0)


@pytest.mark.parametrize(
    ("options", "kind", "text"),
    [
        ({"tol": 0.0}, ValueError, "tol=0.0"),
        ({"tol": -1.0}, ValueError, "positive"),
        ({"tol": "small"}, ValueError, "tol='small'"),
        ({"max_steps": 0}, ValueError, "max_steps=0"),
        ({"max_steps": 2.5}, ValueError, "max_steps=2.5"),
        ({"solver": 3}, TypeError, "solver= has to be a function, got int"),
        ({"linear_solver": "lu"}, TypeError, "linear_solver= has to be a function, got str"),
    ],
)
def test_options(options, kind, text):
    with pytest.raises(kind, match=text):
        sparsead.root(lost, 1.0, **options)


def test_results_of_solvers():
    both_ways(lambda: sparsead.root(cubic, np.ones(5), P, solver=lambda f, x0: x0[:2]), ValueError, "solver gave", "(2,)", "(5,)")
    both_ways(lambda: sparsead.root(cubic, np.ones(5), P, linear_solver=lambda A, b: b[:1]), ValueError, "linear_solver gave",
              "(1,)", "(5,)")  # fmt: skip


def test_the_examples_of_the_docstrings():
    result = doctest.testmod(sparsead.derivatives.implicit)
    assert result.attempted > 5
    assert result.failed == 0
