"""Values that come with sparse Jacobians and Hessians, of the same run."""

import doctest
import importlib

import numpy as np
import pytest

import sparsead
from engines import ARRANGED

METHODS = ("auto", "direct", "column", "row")
LAYOUTS = ("C", "F", "backwards", "every second")
X = np.linspace(0.3, 1.2, 12).reshape(4, 3)


def stencil(x, scale):
    """In place, with two results and something else."""
    r = np.empty_like(x)
    r[1:] = scale * x[1:] - x[:-1] ** 2
    r[0] = np.sin(x[0])
    x *= 2
    return (r, x[-1]), {"norm": np.sqrt(np.sum(r * r)), "name": "stencil"}


@pytest.mark.parametrize("engine", ["vm", "reference"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_value_and_jacobian(layout, method, engine):
    options = dict(wrt=("x", "scale"), has_aux=True, method=method, engine=engine)
    x = ARRANGED[layout](X)
    both = sparsead.value_and_jacobian(stencil, **options)
    (value, aux), J = both(x, 1.5)
    np.testing.assert_array_equal(x, X)
    expected, more = stencil(X.copy(), 1.5)
    for a, b in zip(value, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-15)
    np.testing.assert_allclose(aux["norm"], more["norm"], rtol=1e-14)
    assert aux["name"] == "stencil" and type(value) is tuple
    alone, aux = sparsead.jacobian(stencil, **options)(x, 1.5)
    assert both.method == (method if method != "auto" else both.method) and J.nnz == alone.nnz
    np.testing.assert_allclose(J.toarray(), alone.toarray(), rtol=1e-14)
    np.testing.assert_allclose(aux["norm"], more["norm"], rtol=1e-14)
    (value, _), again = both(2 * x, 0.5, out=J)
    assert again is J
    np.testing.assert_allclose(value[0], stencil(2 * X, 0.5)[0][0], rtol=1e-15)
    np.testing.assert_allclose(J.toarray(), sparsead.jacobian(stencil, **options)(2 * x, 0.5)[0].toarray(), rtol=1e-14)


def test_of_arguments():
    def rhs(t, y, dy):
        dy[:] = -t * y
        dy[1:] += y[:-1]

    dy, y = np.full(3, 7.0), np.ones(3)
    value, J = sparsead.value_and_jacobian(rhs, wrt="y", of="dy", format="csc")(2.0, y, dy)
    np.testing.assert_array_equal(value, [-2, -1, -1])
    np.testing.assert_array_equal(J.toarray(), np.diag([-2.0] * 3) + np.diag([1.0, 1], -1))
    assert J.format == "csc" and dy[0] == 7 and not np.shares_memory(value, dy)
    values, dense = sparsead.value_and_jacobian(rhs, wrt="y", of=("dy", "y"), format="dense")(2.0, y, dy)
    assert type(values) is tuple and type(dense) is np.ndarray
    np.testing.assert_array_equal(values[1], y)
    np.testing.assert_array_equal(dense[3:], np.eye(3))
    assert not np.shares_memory(values[1], y)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(5, 3), (3, 0), (0, 3)])
def test_values_without_entries(shape, method):
    kept = np.arange(shape[0], dtype=float)
    if method == "direct" and 0 in shape:
        method = "auto"
    value, J = sparsead.value_and_jacobian(lambda x: kept + 0 * np.floor(x.sum()), method=method)(np.ones(shape[1]))
    np.testing.assert_array_equal(value, kept)
    assert J.shape == shape and J.nnz == 0


def test_the_function_is_run_once():
    seen = []

    def f(x):
        y = x.copy()
        for k in sparsead.steps(12, on_step=lambda k: seen.append(int(k))):
            y[1:] = y[1:] * y[:-1]
        return y

    for method in ("column", "row"):
        seen.clear()
        both = sparsead.value_and_jacobian(f, method=method)
        both(X[0])
        seen.clear()
        value, _ = both(X[1])
        assert seen == list(range(12))
        seen.clear()
        np.testing.assert_allclose(value, f(X[1]), rtol=1e-15)
        assert [name for name in both.prepared.programs if "colours" not in name] == []


def test_one_program_has_it_all():
    for method in METHODS:
        both = sparsead.value_and_jacobian(lambda x: 2 * np.exp(x), method=method).prepare(np.ones(4))
        (made,) = both.prepared.programs.values()
        assert [op.op.name for op in made.tape].count("exp") == 1


def test_many_colours_in_several_sweeps(monkeypatch):
    monkeypatch.setattr("sparsead.derivatives.sweeps.LANES_BYTES", 4 * 6 * 8)
    for method in ("column", "row"):
        both = sparsead.value_and_jacobian(lambda x: np.sum(x * x) * np.sin(x[:6]), method=method)
        x = np.linspace(0, 1, 6)
        value, J = both(x)
        assert len(both._compressed(both.prepared).entries.sweeps.chunks) > 1
        np.testing.assert_allclose(value, x @ x * np.sin(x), rtol=1e-14)
        np.testing.assert_allclose(J.toarray(), 2 * np.outer(np.sin(x), x) + np.diag(x @ x * np.cos(x)), rtol=1e-13)


def loss(x, scale):
    x[1:] = x[1:] - scale * x[:-1] ** 2
    return np.sum(x * x) + x[0, 0] * x[-1, -1] ** 3


@pytest.mark.parametrize("engine", ["vm", "reference"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_value_gradient_and_hessian(layout, method, engine):
    x, options = ARRANGED[layout](X), dict(method=method, engine=engine)
    H = sparsead.hessian(loss, wrt=(0, 1), **options)(x, 1.5)
    gradient = sparsead.grad(loss, wrt=(0, 1))(x, 1.5)
    three = sparsead.value_gradient_and_hessian(loss, wrt=(0, 1), **options)
    value, grads, found = three(x, 1.5)
    np.testing.assert_allclose(value, loss(X.copy(), 1.5), rtol=1e-14)
    assert isinstance(value, np.floating) and type(grads) is tuple and grads[0].shape == X.shape
    for a, b in zip(grads, gradient, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-14)
    np.testing.assert_allclose(found.toarray(), H.toarray(), rtol=1e-13)
    value, found = sparsead.value_and_hessian(loss, wrt=(0, 1), **options)(x, 1.5)
    np.testing.assert_allclose(value, loss(X.copy(), 1.5), rtol=1e-14)
    np.testing.assert_allclose(found.toarray(), H.toarray(), rtol=1e-13)
    again = three(x, 0.5, out=found)
    assert again[2] is found and len(three.prepared.programs) == 1


def test_single_gradients_and_structures():
    p = {"a": 2.0, "b": np.array([1.0, 3.0])}
    value, gradient, H = sparsead.value_gradient_and_hessian(lambda p: p["a"] * p["b"] @ p["b"])(p)
    assert value == 20 and gradient["a"] == 10
    np.testing.assert_array_equal(gradient["b"], [4, 12])
    np.testing.assert_array_equal(np.sort(H.toarray(), axis=None), [0, 0, 0, 2, 2, 4, 4, 6, 6])
    assert (H != H.T).nnz == 0


def test_linear_functions_have_values_and_gradients():
    value, gradient, H = sparsead.value_gradient_and_hessian(lambda x: np.sum(3 * x))(np.ones(2))
    assert value == 6 and H.nnz == 0
    np.testing.assert_array_equal(gradient, [3, 3])


def test_the_options_of_jacobians():
    f, x = lambda x: x[1:] * x[:-1], np.linspace(1, 2, 6)
    jac = sparsead.jacobian(f).prepare(x)
    options = dict(pattern=jac.pattern, coloring=jac.coloring, memory="1 MB", check=True, method="column")
    value, J = sparsead.value_and_jacobian(f, **options)(x)
    np.testing.assert_array_equal(value, f(x))
    np.testing.assert_array_equal(J.toarray(), jac(x).toarray())
    energy = lambda x: np.sum(f(x) ** 2)
    for make in (sparsead.value_and_hessian, sparsead.value_gradient_and_hessian):
        for method in ("star", "acyclic", "column"):
            *_, H = make(energy, method=method, memory=10**6, check=True)(x)
            np.testing.assert_allclose(H.toarray(), sparsead.hessian(energy)(x).toarray(), rtol=1e-13)


def test_refusals(tmp_path):
    with pytest.raises(TypeError, match=r"sparsead\.value_and_hessian: <lambda> has to give one number"):
        sparsead.value_and_hessian(lambda x: x)(np.ones(2))
    with pytest.raises(ValueError, match="another structure"):
        both = sparsead.value_and_jacobian(lambda x: x * 2)
        both(np.ones(3), out=sparsead.jacobian(lambda x: x[::-1] * 2)(np.ones(3)))
    with pytest.raises(NotImplementedError, match="value_and_jacobian gives more than the matrix; take jacobian"):
        sparsead.export_c(sparsead.value_and_jacobian(lambda x: x * 2).prepare(np.ones(3)), "both", tmp_path)
    with pytest.raises(ValueError, match="method='rows' is unknown"):
        sparsead.value_and_jacobian(lambda x: x, method="rows")


def test_examples():
    result = doctest.testmod(importlib.import_module("sparsead.derivatives.values"))
    assert result.attempted > 5 and result.failed == 0
