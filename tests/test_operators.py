"""Operators: products with the Jacobian and the Hessian at a point, linearised once."""

import copy
import doctest
import importlib

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.sparse.linalg import LinearOperator, eigsh, gmres, lsqr

import oracle
import sparsead
from engines import ARRANGED

ENGINES = ("vm", "reference")
LAYOUTS = ("C", "F", "backwards", "every second", "transposed", "read-only")


def mixing(x, y):
    """Written in place, of two arguments, with more outputs than one axis."""
    y = y.copy()
    y[1:] *= x[:, 0]
    x[1:] += x[:-1] * x[:-1]
    return (x @ y[:3], y), x


def arguments():
    rng = np.random.default_rng(7)
    return rng.random((4, 3)), rng.random(5)


def dense(x, y):
    """The Jacobian of `mixing` by (y, x)."""

    def flat(x, y):
        (product, y), x = mixing(x, y)
        return np.concatenate([product, y, x.ravel()])

    return oracle.jacobian(flat, (x.copy("C"), y.copy("C")), (1, 0), method="fd")


def moved_after(call, *args):
    """What `call` gives for arguments that are overwritten afterwards, where they can be."""
    own = [copy.deepcopy(a) for a in args]
    made = call(*args)
    for a, kept in zip(args, own, strict=True):
        if a.flags.writeable:
            a[...] = np.nan
        else:
            np.testing.assert_array_equal(a, kept)
    return made


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_products_in_all_layouts(layout, engine):
    x, y = arguments()
    J = dense(x, y)
    operator = moved_after(sparsead.jacobian_operator(mixing, (1, 0), engine=engine), ARRANGED[layout](x), ARRANGED[layout](y))
    assert isinstance(operator, LinearOperator) and operator.shape == J.shape == (21, 17) and operator.dtype == float
    v, w = np.cos(np.arange(17)), np.sin(np.arange(21))
    for product, expected in [
        (operator @ v, J @ v), (operator.matvec(v[:, None]), J @ v[:, None]), (operator.rmatvec(w), J.T @ w),
        (operator.T @ w, J.T @ w), (operator.H.T @ v, J @ v), (w @ operator, w @ J),
        ((2 * operator.T @ operator) @ v, 2 * J.T @ J @ v), (operator @ (v + 1j * v[::-1]), J @ (v + 1j * v[::-1])),
    ]:  # fmt: skip
        assert product.shape == expected.shape
        np.testing.assert_allclose(product, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("count", [0, 1, 2, 8, 9, 21])
def test_blocks(count):
    x, y = arguments()
    jac, rng = sparsead.jacobian_operator(mixing, (1, 0)), np.random.default_rng(count)
    operator = jac(x, y)
    J = operator @ np.eye(17)
    np.testing.assert_allclose(J, dense(x, y), rtol=1e-9, atol=1e-9)
    V, W = rng.random((17, count)), rng.random((count, 21)).T
    np.testing.assert_allclose(operator @ V, J @ V, rtol=1e-13)
    np.testing.assert_allclose(operator.rmatmat(W), J.T @ W, rtol=1e-13)
    np.testing.assert_allclose(operator @ (V + 2j * V), J @ V * (1 + 2j), rtol=1e-13)


def test_one_sweep_for_a_block_and_few_programs():
    jac = sparsead.jacobian_operator(lambda x, y: mixing(x, y), (1, 0))
    operator = jac(*arguments())
    sweep = jac._tangents(jac.prepared)
    assert [list(sweep.widths(n)) for n in (0, 1, 8, 9, 40, 300, 600)] == [
        [], [1], [8], [8, 1], [32, 8], [256, 32, 8, 4], [256, 256, 64, 16, 8]]  # fmt: skip
    for n in range(30):
        operator @ np.ones((17, n))
    assert set(sweep.programs) == {*range(1, 9), 16}
    sweep.widest = 5
    assert list(sweep.widths(13)) == [4, 4, 5]


def test_the_primal_is_run_once():
    seen = []

    def f(x):
        y = x.copy()
        for k in sparsead.steps(20, on_step=lambda k: seen.append(int(k))):
            y[:] = y * 0.9
        return np.sin(y) * x

    x = np.linspace(0, 1, 3)
    jac = sparsead.jacobian_operator(f)
    jac(x)
    seen.clear()
    operator = jac(x)
    for _ in range(3):
        product, transposed = operator @ np.ones(3), operator.T @ np.ones(3)
    assert seen == list(range(20))
    seen.clear()
    _, tangent_map = sparsead.linearize(f)(x)
    for _ in range(3):
        np.testing.assert_allclose(tangent_map(np.ones(3)), product, rtol=1e-14)
    assert seen == list(range(20))
    np.testing.assert_allclose(product, sparsead.jvp(f)(x, np.ones(3))[1], rtol=1e-14)
    np.testing.assert_allclose(transposed, product, rtol=1e-14)


def test_a_product_is_linear_algebra():
    jac, hess = sparsead.jacobian_operator(lambda x: np.exp(x) * x[0]), sparsead.hessian_operator(lambda x: np.sum(np.exp(x)))
    for derivative, parts in ((jac, (jac._tangents, jac._adjoints)), (hess, (hess._tangents,))):
        derivative.prepare(np.ones(3))
        assert "exp" in {op.op.name for op in derivative.tape}
        for part in parts:
            assert "exp" not in {op.op.name for op in part(derivative.prepared).linear}


def loss(x):
    x[1:] = x[1:] - x[:-1] ** 2
    return np.sum(x * x) + x[0, 0] * x[-1, -1] ** 3


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_hessians(layout, engine):
    x = np.linspace(0.2, 1, 12).reshape(4, 3)
    H = sparsead.hessian(loss, format="dense")(x.copy())
    for k in range(12):
        e = np.eye(12)[k].reshape(4, 3)
        np.testing.assert_allclose(H[k], oracle.hessian_product(loss, (x,), e).ravel(), rtol=1e-7, atol=1e-7)
    operator = moved_after(sparsead.hessian_operator(loss, engine=engine), ARRANGED[layout](x))
    v = np.cos(np.arange(12.0))
    assert operator.T is operator.H is operator and operator.shape == (12, 12)
    for product in (operator @ v, operator.rmatvec(v), v @ operator):
        np.testing.assert_allclose(product, H @ v, rtol=1e-12)
    np.testing.assert_allclose(operator.rmatmat(np.eye(12)), H, rtol=1e-12, atol=1e-12)


def test_paths_and_points_have_operators_of_their_own():
    def f(x):
        return x * x if x[0] > 0 else x**3

    jac = sparsead.jacobian_operator(f)
    up, down = jac(np.array([2.0, 3.0])), jac(np.array([-2.0, 3.0]))
    again = jac(np.array([5.0, 1.0]))
    assert jac._state.traces == 2
    for operator, diagonal in ((up, [4, 6]), (down, [12, 27]), (again, [10, 2])):
        np.testing.assert_allclose(operator @ np.eye(2), np.diag(diagonal), rtol=1e-15)
        np.testing.assert_allclose(operator.T @ np.eye(2), np.diag(diagonal), rtol=1e-15)


def test_captured_arrays_are_copied_too():
    scale = np.array([1.0, 2.0])
    operator = sparsead.jacobian_operator(lambda x: scale * x)(np.ones(2))
    scale[:] = 7
    np.testing.assert_array_equal(operator.T @ np.ones(2), [1, 2])
    np.testing.assert_array_equal(operator @ np.ones(2), [1, 2])


def test_krylov_methods_take_them():
    n = 40

    def residual(u):
        r = 2.2 * u + u**3 - 1
        r[1:] -= u[:-1]
        r[:-1] -= u[1:]
        return r

    u, jac = np.linspace(0, 1, n), sparsead.jacobian_operator(residual)
    J = sparsead.jacobian(residual, format="dense")(u)
    x, info = gmres(jac(u), residual(u), rtol=1e-12)
    assert info == 0
    np.testing.assert_allclose(J @ x, residual(u), atol=1e-10)
    np.testing.assert_allclose(J @ lsqr(jac(u), residual(u), atol=1e-14, btol=1e-14)[0], residual(u), atol=1e-8)
    H = sparsead.hessian_operator(lambda u: 0.5 * residual(u) @ residual(u))(u)
    largest = eigsh(H, k=2, return_eigenvectors=False)
    np.testing.assert_allclose(largest, np.linalg.eigvalsh(H @ np.eye(n))[-2:], rtol=1e-9)


def test_dtypes():
    x = np.array([1.0, 2.0], np.float32)
    operator = sparsead.jacobian_operator(lambda x: x * x)(x)
    assert operator.dtype == np.float32 and (operator @ np.ones(2)).dtype == np.float32
    np.testing.assert_array_equal(operator @ np.array([1, 2]), [2, 8])
    assert sparsead.jacobian_operator(lambda a, b: a * b, (0, 1))(x, np.ones(2)).dtype == float


def test_auxiliary_values():
    def f(x):
        y = x * x
        return y, {"largest": y.max()}

    operator, aux = sparsead.jacobian_operator(f, has_aux=True)(np.array([1.0, 3.0]))
    assert aux == {"largest": 9.0}
    np.testing.assert_array_equal(operator @ np.ones(2), [2, 6])


@pytest.mark.parametrize("f, shape", [(lambda x: x[:0], (0, 3)), (lambda x: np.ones(2), (2, 3)), (lambda x: x[0], (1, 3))])
def test_extremes(f, shape):
    operator = sparsead.jacobian_operator(f)(np.ones(3))
    expected = np.zeros(shape)
    expected[:1, :1] = shape == (1, 3)
    np.testing.assert_array_equal(operator @ np.eye(3), expected)
    np.testing.assert_array_equal(operator.T @ np.eye(shape[0]), expected.T)


def test_no_inputs():
    operator = sparsead.jacobian_operator(lambda x: x * 2)(np.ones(0))
    assert operator.shape == (0, 0) and (operator @ np.ones(0)).shape == (0,) and (operator.T @ np.ones((0, 2))).shape == (0, 2)


METHODS = {"matvec": (3, 2), "matmat": (3, 2), "rmatvec": (2, 3), "rmatmat": (2, 3)}


@pytest.mark.parametrize("method", METHODS)
def test_wrong_vectors_are_told_by_name(method):
    operator = sparsead.jacobian_operator(lambda x: x[1:] * x[:-1])(np.ones(3))
    wanted, other = METHODS[method]
    for bad in (np.ones((other, 1)), np.ones((1, wanted)), np.ones((wanted, 2, 2)), 1.0):
        with pytest.raises(ValueError, match=rf"{method} of the 2 x 3 Jacobian of <lambda> by x takes a .* \({wanted}, ?k?\)"):
            getattr(operator, method)(bad)
    with pytest.raises(TypeError, match=f"{method} of the 2 x 3 Jacobian .* dense arrays, got csr_array"):
        getattr(operator, method)(csr_array(np.eye(wanted)))
    with pytest.raises(TypeError, match=f"{method} of the 2 x 3 Jacobian .* numbers, got an array of dtype object"):
        getattr(operator, method)(np.array([None] * wanted))
    with pytest.raises(ValueError, match=r"a product with the 2 x 3 Jacobian .* takes a vector or a matrix, got shape"):
        operator @ np.ones((3, 1, 1))
    with pytest.raises(ValueError, match="matvec of the 3 x 2 transpose of the Jacobian of <lambda> by x"):
        operator.T @ np.ones(5)


def test_hessians_of_vectors_and_operators_inside_of_traces_are_refused():
    with pytest.raises(TypeError, match=r"sparsead.hessian_operator: <lambda> has to give one number"):
        sparsead.hessian_operator(lambda x: x * x)(np.ones(3))
    with pytest.raises(sparsead.TraceError, match=r"sparsead.jacobian_operator inside a differentiated function"):
        sparsead.grad(lambda x: sparsead.jacobian_operator(np.sin)(x) @ x)(np.ones(3))


def test_shown():
    operator = sparsead.jacobian_operator(lambda x: x[1:] * x[:-1])(np.ones(3))
    assert repr(operator) == "<2x3 DerivativeOperator: Jacobian of <lambda> by x, dtype=float64>"
    assert repr(operator.T) == "<3x2 DerivativeOperator: transpose of the Jacobian of <lambda> by x, dtype=float64>"


def test_examples():
    result = doctest.testmod(importlib.import_module("sparsead.derivatives.operators"))
    assert result.attempted > 5 and result.failed == 0
