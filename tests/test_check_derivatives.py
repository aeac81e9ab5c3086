"""`check_derivatives`: right derivatives pass, wrong ones are caught and named, for every structure of arguments."""

import itertools
from dataclasses import dataclass

import numpy as np
import pytest
import scipy.special

import sparsead
from sparsead.ops import table
from sparsead.ops.record import Elementwise, Range
from sparsead.ops.table import enter
from sparsead.testing import DerivativeError, check_derivatives

X = np.array([0.3, 1.2, 2.0, -0.7])
_names = (f"scaled_erf_{k}" for k in itertools.count())


@dataclass
class Model:
    k: float
    field: np.ndarray


work = np.zeros(4)


def rhs(t, y, dy):
    np.sin(y, out=work)
    dy[:] = work * t
    dy[1:] += y[:-1] ** 2


def in_place(x, y):
    x[1:] *= y[:-1]
    return x @ y


CASES = {
    "scalar": (lambda x: x**3, (2.0,), {}, 2),
    "numpy scalar": (lambda x: x**3, (np.float64(2.0),), {}, 2),
    "array": (lambda x: np.sum(np.exp(x) * x), (X,), {}, 2),
    "linear": (lambda x: 3.0 * x, (X,), {}, 1),
    "constant": (lambda x: np.sum(0.0 * x) + 1.0, (X,), {}, 2),
    "tiny and huge": (lambda x, y: np.sum(x * y), (1e-9 * X, 1e7 * X), {"wrt": (0, 1)}, 2),
    "vector": (lambda x: np.sin(x) ** 2, (X,), {}, 1),
    "structured result": (lambda x: (x * x, {"sum": np.sum(x), "n": 3}), (X,), {}, 1),
    "nested": (lambda p: p["b"][0] ** 2 * np.sum(p["a"]), ({"a": np.ones((2, 3)), "b": [2.0, 3]},), {}, 2),
    "dataclass": (lambda m: m.k**2 * np.sum(m.field**3), (Model(1.5, X),), {}, 2),
    "several": (lambda x, y: np.sum(x * np.sin(y)), (X, X + 1), {"wrt": (0, 1)}, 2),
    "by name": (rhs, (1.3, X, np.zeros(4)), {"wrt": "y", "of": "dy"}, 1),
    "live float": (rhs, (1.3, X, np.zeros(4)), {"wrt": "t", "of": "dy"}, 1),
    "keyword": (lambda x, *, k=2: np.sum(x**k), (X,), {"k": 3}, 2),
    "same array twice": (in_place, (X, X), {"wrt": (0, 1)}, 2),
    "overlapping": (in_place, (X, X[::-1]), {}, 2),
    "float32": (lambda x: np.sum(x * x * x), (X.astype(np.float32),), {}, 2),
    "not contiguous": (lambda x: np.sum(x[0] * x[1] ** 2), (np.arange(1.0, 13.0).reshape(6, 2).T,), {}, 2),
    "domain": (lambda x: np.sum(np.log(x)), (np.array([1e-6, 2.0]),), {}, 2),
}


@pytest.mark.parametrize("name", CASES)
def test_right_derivatives_pass(name):
    f, args, kwargs, order = CASES[name]
    report = check_derivatives(f, *args, **kwargs)
    assert report.order == order
    assert report.difference <= 1
    assert report.rate >= 1.5
    assert "\n" not in repr(report)


def test_arrays_are_left_alone():
    x, y = X.copy(), X[::-1].copy()
    work[:] = 7.0
    check_derivatives(in_place, x, y, wrt=(0, 1))
    check_derivatives(rhs, 1.0, x, y, wrt="y", of="dy")
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(y, X[::-1])
    np.testing.assert_array_equal(work, 7.0)


def wrong_box(factor):
    return sparsead.black_box(np.sin, jac=lambda x: np.diag(factor * np.cos(x)))


def test_a_jacobian_wrong_by_a_thousandth_is_caught():
    for factor, caught in ((1.0, False), (1.001, True), (0.999, True)):
        box = wrong_box(factor)
        if caught:
            with pytest.raises(DerivativeError, match=r"the tangent of .* by y is wrong: element"):
                check_derivatives(lambda x, y, box=box: box(y * y) * x, X, X + 1, wrt=(0, 1), order=1)
        else:
            check_derivatives(lambda x, y, box=box: box(y * y) * x, X, X + 1, wrt=(0, 1), order=1)


@pytest.mark.parametrize("factor", [1.0, 1.001, 0.999])
def test_a_rule_wrong_by_a_thousandth_is_caught(factor, monkeypatch):
    erf = scipy.special.erf
    monkeypatch.setitem(table.CODE_OF_UFUNC, erf, None)  # what was there comes back after the test
    # Every record gets a name and a code of its own for good: templates are compiled once per code.
    partials = lambda x, z: (factor * 1.1283791670955126 * np.exp(-x * x),)
    enter(Elementwise(next(_names), erf, 1, 1, partials, (Range(-2, 2),), "complex"))
    f = lambda x, factor=factor: np.sum(erf(x) ** 2)
    if factor == 1.0:
        assert check_derivatives(f, X).order == 2
    else:
        with pytest.raises(DerivativeError, match="by x is wrong"):
            check_derivatives(f, X)


def test_a_lost_derivative_is_caught():
    with pytest.raises(DerivativeError, match="central differences give"):
        check_derivatives(lambda x: np.sum(np.exp(x) * sparsead.stop_gradient(x)), X)


def test_a_wrong_second_derivative_is_caught():
    # value x^2 and gradient 2 x, but the Hessian is lost
    f = lambda x: np.sum(2 * x * sparsead.stop_gradient(x) - sparsead.stop_gradient(x) ** 2)
    assert check_derivatives(f, X, order=1).order == 1
    with pytest.raises(DerivativeError, match="Hessian"):
        check_derivatives(f, X)


def test_nan_and_infinity_are_reported_with_their_place():
    with np.errstate(all="ignore"):
        with pytest.raises(DerivativeError, match=r"gives -inf at element 1 of 2"):
            check_derivatives(lambda x: np.log(x), np.array([1.0, 0.0]))
        with pytest.raises(DerivativeError, match=r"the tangent of .* is inf at element 1 of 2"):
            check_derivatives(lambda x: np.sqrt(x), np.array([1.0, 0.0]))
        with pytest.raises(DerivativeError, match=r"gives nan at element 0 of 1"):
            check_derivatives(lambda x: x * float("nan"), 2.0)


def test_a_kink_is_reported():
    with pytest.raises(DerivativeError):
        check_derivatives(lambda x: np.abs(x), np.array([1.0, 0.0]))


def test_bad_calls():
    with pytest.raises(ValueError, match="order=3"):
        check_derivatives(np.sin, X, order=3)
    with pytest.raises(TypeError, match="holds no floating numbers"):
        check_derivatives(lambda n: n * 2, 3)
    with pytest.raises(TypeError, match="returned None"):
        check_derivatives(lambda x: None, X)
