"""Losses taken apart: the elements that they sum, the residuals whose squares they sum, and the Jacobians of these."""

import doctest
import importlib

import numpy as np
import pytest
from scipy.optimize import least_squares

import oracle
import sparsead
from engines import ARRANGED

X, W = np.linspace(0.4, 1.6, 6), np.linspace(0.5, 3, 5)


def chain(x):
    return x[1:] * x[:-1] - 1


def work(x):
    """One array for all terms: each overwrites the one before."""
    r = np.zeros(5)
    r[1:4] = x[2:5] - x[1:4]
    total = np.sum(r * r)
    r[:] = 0.5
    r[2:] += x[:3] ** 2
    return total + 3 * np.sum(r**2)


def work_residuals(x):
    first, second = np.zeros(5), np.full(5, 0.5)
    first[1:4] = x[2:5] - x[1:4]
    second[2:] += x[:3] ** 2
    return np.sqrt(2) * np.concatenate([first, np.sqrt(3) * second])


SQUARES = {
    "r @ r": (lambda x: 0.5 * chain(x) @ chain(x), chain),
    "sum of squares": (lambda x: np.sum(chain(x) ** 2), lambda x: np.sqrt(2) * chain(x)),
    "mean": (lambda x: np.mean(chain(x) * chain(x)), lambda x: np.sqrt(2 / 5) * chain(x)),
    "power": (lambda x: np.sum(np.power(chain(x), 2.0)) / 2, chain),
    "vdot": (lambda x: np.vdot(3 * chain(x), chain(x) / 2), lambda x: np.sqrt(3) * chain(x)),
    "weights": (lambda x: 0.5 * np.sum(W * chain(x) ** 2), lambda x: np.sqrt(W) * chain(x)),
    "weights times squares": (lambda x: W @ chain(x) ** 2, lambda x: np.sqrt(2 * W) * chain(x)),
    "weighted factors": (lambda x: 0.5 * np.sum((W * chain(x)) * chain(x)), lambda x: np.sqrt(W) * chain(x)),
    "variances": (lambda x: 0.5 * np.sum((chain(x) / W) ** 2), lambda x: chain(x) / W),
    "divided squares": (lambda x: 0.5 * np.sum(chain(x) ** 2 / W), lambda x: chain(x) / np.sqrt(W)),
    "two terms": (lambda x: 0.5 * np.sum(chain(x) ** 2) + 0.1 * x @ x, lambda x: np.concatenate([chain(x), np.sqrt(0.2) * x])),
    "minus minus": (lambda x: -(1 - 2 * chain(x) @ chain(x)) + 1, lambda x: 2 * chain(x)),
    "axes": (lambda x: np.sum(np.sum(x.reshape(3, 2) ** 2, axis=0)), lambda x: np.sqrt(2) * x),
    "transposed": (lambda x: np.sum(np.square(x.reshape(2, 3).T)), lambda x: np.sqrt(2) * x.reshape(2, 3).T.ravel()),
    "columns of weights": (lambda x: np.sum(W[:3, None] * x.reshape(3, 2) ** 2), lambda x: np.sqrt(2 * np.repeat(W[:3], 2)) * x),
    "python sums": (lambda x: sum(np.sum(x[k : k + 2] ** 2) for k in (0, 3)), lambda x: np.sqrt(2) * x[[0, 1, 3, 4]]),
    "numbers": (lambda x: (x[0] * x[1]) ** 2 / 2 + 2 * (x[2] - 1) ** 2, lambda x: np.array([x[0] * x[1], 2 * (x[2] - 1)])),
    "in place": (work, work_residuals),
}  # fmt: skip


@pytest.mark.parametrize("engine", ["vm", "reference"])
@pytest.mark.parametrize("name", SQUARES)
def test_residuals(name, engine):
    loss, expected = SQUARES[name]
    r, J = sparsead.residual_jacobian(loss, engine=engine)(X)
    np.testing.assert_allclose(r, expected(X), rtol=1e-14, atol=1e-15)
    np.testing.assert_allclose(J.toarray(), oracle.jacobian(expected, (X,), method="fd"), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(J.T @ r, sparsead.grad(loss)(X), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("engine", ["vm", "reference"])
@pytest.mark.parametrize("name", SQUARES)
def test_elements_of_squares(name, engine):
    loss, expected = SQUARES[name]
    elements, J = sparsead.element_jacobian(loss, engine=engine)(X)
    np.testing.assert_allclose(elements, expected(X) ** 2 / 2, rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(J.sum(axis=0), sparsead.grad(loss)(X), rtol=1e-13, atol=1e-14)


ELEMENTS = {
    "robust": (lambda x: 2 * np.sum(np.log1p(chain(x) ** 2)), lambda x: 2 * np.log1p(chain(x) ** 2)),
    "products": (lambda x: x[1:] @ np.sin(x[:-1]), lambda x: x[1:] * np.sin(x[:-1])),
    "differences": (lambda x: np.sum(np.exp(x)) - np.sum(chain(x)), lambda x: np.concatenate([np.exp(x), -chain(x)])),
    "weights of rows": (lambda x: W[:3] @ np.exp(x).reshape(3, 2).sum(1), lambda x: W[:3] * np.exp(x).reshape(3, 2).sum(1)),
    "no sum": (lambda x: np.sqrt(x @ x), lambda x: np.array([np.sqrt(x @ x)])),
    "broadcast": (lambda x: np.sum(x + x[0] * x[1]), lambda x: x + x[0] * x[1]),
    "part": (lambda x: np.sum(np.cosh(x)[::2]), lambda x: np.cosh(x)[::2]),
    "by a value": (lambda x: x[0] * np.sum(np.sin(x)), lambda x: np.array([x[0] * np.sum(np.sin(x))])),
}  # fmt: skip


@pytest.mark.parametrize("name", ELEMENTS)
def test_elements(name):
    loss, expected = ELEMENTS[name]
    elements, J = sparsead.element_jacobian(loss)(X)
    np.testing.assert_allclose(elements.sum(), loss(X), rtol=1e-13)
    np.testing.assert_allclose(elements, expected(X), rtol=1e-13)
    np.testing.assert_allclose(J.toarray(), oracle.jacobian(expected, (X,), method="fd"), rtol=1e-9, atol=1e-9)


def test_arguments_as_weights_and_layouts():
    def loss(x, data, weights):
        return 0.5 * np.sum(weights * (x * x - data) ** 2)

    x, data, weights = X.reshape(2, 3), np.ones((2, 3)), np.array([1.0, 4.0, 9.0])
    pieces = sparsead.residual_jacobian(loss, format="csc")
    for layout in ("C", "F", "backwards"):
        r, J = pieces(ARRANGED[layout](x), data, weights)
        np.testing.assert_allclose(r, (np.sqrt(weights) * (x * x - 1)).ravel(), rtol=1e-14)
        np.testing.assert_allclose(J.toarray(), np.diag((2 * np.sqrt(weights) * x).ravel()), rtol=1e-14)
    r, J = pieces(x, data, 4 * weights)
    np.testing.assert_allclose(r, (2 * np.sqrt(weights) * (x * x - 1)).ravel(), rtol=1e-14)
    again = pieces(2 * x, data, weights, out=J)[1]
    assert again is J and J.format == "csc"
    np.testing.assert_allclose(J.diagonal(), (4 * np.sqrt(weights) * x).ravel(), rtol=1e-14)
    r, J = sparsead.residual_jacobian(loss, wrt=(0, "data"))(x, data, weights)
    assert J.shape == (6, 12) and J.nnz == 12


def test_a_path_has_its_own_elements():
    pieces = sparsead.residual_jacobian(lambda x: 0.5 * np.sum(x * x) if x[0] > 0 else 0.5 * np.sum(chain(x) ** 2))
    assert pieces(X)[1].shape == (6, 6) and pieces(-X)[1].shape == (5, 6) and pieces(X)[1].shape == (6, 6)


def test_nothing_depends():
    elements, J = sparsead.element_jacobian(lambda x: np.float64(3.0) + 0 * np.floor(x[0]))(X)
    assert elements.sum() == 0 and J.shape[1] == 6 and J.nnz == 0


def test_least_squares_of_a_loss():
    def loss(x):
        return 0.5 * np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2) + 0.5 * np.sum((1 - x) ** 2)

    pieces = sparsead.residual_jacobian(loss)
    found = least_squares(lambda x: pieces(x)[0], np.zeros(8), jac=lambda x: pieces(x)[1])
    np.testing.assert_allclose(found.x, 1, rtol=1e-6)


REFUSED = [
    (lambda x: np.sum(np.log1p(x * x)), r"log1p at .*test_separable.py:\d+ is no square"),
    (lambda x: np.sum(x * x) - np.sum(chain(x) ** 2), r"a square at .*test_separable.py:\d+ is subtracted"),
    (lambda x: np.sum(x[1:] * x[:-1]), r"its factors differ"),
    (lambda x: np.sum(x**2) * x[0], r"multiply at .*test_separable.py:\d+ is no square: its factors differ"),
    (lambda x: np.sum(x**3), r"is no square"),
]  # fmt: skip


@pytest.mark.parametrize("loss, message", REFUSED)
def test_what_is_no_sum_of_squares_is_refused_with_its_line(loss, message):
    with pytest.raises(ValueError, match=r"sparsead\.residual_jacobian: <lambda> is no sum of squares: .*" + message):
        sparsead.residual_jacobian(loss)(X)
    sparsead.element_jacobian(loss)(X)


@pytest.mark.parametrize("weighted", [False, True])
def test_what_is_met_on_many_ways_is_one_element(weighted):
    """Three times as many ways lead back to the squares with each step; weights that are no constants are taken by themselves."""
    n_steps = 9

    def loss(x, w):
        s = np.sum(chain(x) ** 2) + np.sum(np.cosh(x))
        for _ in range(n_steps):
            s = s + (w if weighted else 0.5) * s - s / 4
        return s

    elements, J = sparsead.element_jacobian(loss)(X, 0.5)
    assert elements.size == 11 * (n_steps + 1 if weighted else 1)
    np.testing.assert_allclose(elements.sum(), loss(X, 0.5), rtol=1e-12)
    np.testing.assert_allclose(J.sum(axis=0), sparsead.grad(loss)(X, 0.5), rtol=1e-12)
    if not weighted:
        np.testing.assert_allclose(elements, 1.25**n_steps * np.concatenate([chain(X) ** 2, np.cosh(X)]), rtol=1e-12)


def test_squares_that_are_taken_away_in_part_are_residuals():
    r, J = sparsead.residual_jacobian(lambda x: (s := np.sum(x**2)) + s - 1.5 * s)(X)
    np.testing.assert_allclose(r, X, rtol=1e-14)
    np.testing.assert_allclose(J.toarray(), np.eye(6), rtol=1e-14)


def test_vectors_are_refused():
    with pytest.raises(TypeError, match=r"sparsead\.element_jacobian: chain has to give one number"):
        sparsead.element_jacobian(chain)(X)


def test_examples():
    result = doctest.testmod(importlib.import_module("sparsead.derivatives.separable"))
    assert result.attempted > 8 and result.failed == 0
