"""Sparse arrays of SciPy inside of traced functions: products, and derivatives on stored entries."""

import numpy as np
import pytest
from scipy import sparse

import sparsead
from sparsead import Active, Const, Duplicated, Forward, Reverse, autodiff, make_zero

FORMATS = pytest.mark.parametrize("format", ["csr", "csc", "coo"])
ENGINES = pytest.mark.parametrize("engine", ["reference", "auto"])


def matrix(format, kind=sparse.csr_array):
    """With a stored zero, an empty row, and (coo) entries out of order."""
    made = kind((np.array([1.0, 2.0, 0.0, -3.0]), np.array([0, 2, 1, 0]), np.array([0, 2, 2, 4])), shape=(3, 4))
    return made.asformat(format)


PRODUCTS = {
    "A @ x": (lambda A, x: A @ x, (4,)),
    "A @ X": (lambda A, x: A @ x, (4, 2)),
    "A.dot(x)": (lambda A, x: A.dot(x), (4,)),
    "x @ A": (lambda A, x: x @ A, (3,)),
    "X @ A": (lambda A, x: x @ A, (2, 3)),
    "A.T @ x": (lambda A, x: A.T @ x, (3,)),
    "X @ A.T": (lambda A, x: x @ A.T, (2, 4)),
    "(A.T).T @ x": (lambda A, x: A.T.T @ x, (4,)),
}


@ENGINES
@FORMATS
@pytest.mark.parametrize("name", PRODUCTS)
def test_products(name, format, engine):
    f, shape = PRODUCTS[name]
    A, rng = matrix(format), np.random.default_rng(1)
    x, v = rng.normal(size=shape), rng.normal(size=shape)
    value, tangent = sparsead.jvp(lambda x: f(A, x), engine=engine)(x, v)
    np.testing.assert_array_equal(value, f(A, x))
    np.testing.assert_allclose(tangent, f(A, v), rtol=1e-14)
    w, dA, dx = rng.normal(size=value.shape), make_zero(A), np.zeros(shape)
    autodiff(Reverse, lambda A, x: (f(A, x) * w).sum(), Active, Duplicated(A, dA), Duplicated(x, dx), engine=engine)
    for k in range(A.nnz):
        unit = make_zero(A)
        unit.data[k] = 1
        np.testing.assert_allclose(dA.data[k], (f(unit, x) * w).sum(), rtol=1e-13, atol=1e-14)
    for k in range(x.size):
        unit = np.zeros(shape)
        unit.flat[k] = 1
        np.testing.assert_allclose(dx.flat[k], (f(A, unit) * w).sum(), rtol=1e-13, atol=1e-14)


@FORMATS
def test_the_functional_face_takes_them(format):
    A, x = matrix(format), np.arange(4.0)
    np.testing.assert_array_equal(sparsead.jacobian(lambda x: A @ x)(x).toarray(), A.toarray())
    gradient = sparsead.grad(lambda A: ((A @ x) ** 2).sum())(A)
    assert type(gradient) is type(A) and gradient.shape == A.shape
    full = 2 * np.outer(A @ x, x)
    np.testing.assert_allclose(gradient.toarray(), full * (make_ones(A).toarray() != 0), rtol=1e-14)
    np.testing.assert_allclose(sparsead.hvp(lambda x: ((A @ x) ** 3).sum())(x, x), A.T @ (6 * (A @ x) ** 2), rtol=1e-14)


def make_ones(A):
    ones = make_zero(A)
    ones.data[:] = 1
    return ones


def test_matrices_multiply_by_a_star():
    A, x = matrix("csr", sparse.csr_matrix), np.arange(4.0)
    np.testing.assert_array_equal(sparsead.jvp(lambda x: A * x)(x, x)[1], A @ x)
    with pytest.raises(NotImplementedError, match="elementwise"):
        sparsead.grad(lambda x: (matrix_of_functions() * x).sum())(x)


def matrix_of_functions():
    return CAPTURED


CAPTURED = matrix("csr")


def test_entries_are_written_in_place():
    def scale(A, x):
        A.data[:] *= x
        return A

    A, dA = matrix("csr"), make_ones(matrix("csr"))
    shadow, value = autodiff(sparsead.ForwardWithPrimal, scale, Duplicated, Duplicated(A, dA), Duplicated(3.0, 1.0))
    assert value is A and shadow is dA
    np.testing.assert_array_equal(A.data, [3, 6, 0, -9])
    np.testing.assert_array_equal(dA.data, [4, 5, 3, 0])


def test_a_new_pattern_is_a_new_trace():
    f = lambda A, x: (A @ x).sum()
    x = np.arange(4.0)
    for A in (matrix("csr"), matrix("csr")[::-1].tocsr(), matrix("csc"), 2 * matrix("csr")):
        dx = np.zeros(4)
        autodiff(Reverse, f, Active, Const(A), Duplicated(x, dx))
        np.testing.assert_array_equal(dx, A.sum(axis=0))


@pytest.mark.parametrize(
    "use", [lambda A: A.tocsr(), lambda A: A + A, lambda A: A @ A, lambda A: A @ 2.0, abs], ids=map(str, range(5))
)
def test_what_is_missing_says_so(use):
    with pytest.raises((NotImplementedError, TypeError), match=r"sparse|Sparse"):
        autodiff(Forward, lambda A: use(A), Duplicated(matrix("csr"), make_zero(matrix("csr"))))


def test_new_sparse_arrays_stay_inside():
    with pytest.raises(NotImplementedError, match="new sparse array"):
        autodiff(Forward, lambda A: A.T, Duplicated(matrix("csr"), make_zero(matrix("csr"))))
    with pytest.raises(ValueError, match="do not match"):
        autodiff(Forward, lambda A: A @ np.ones(3), Duplicated(matrix("csr"), make_zero(matrix("csr"))))
