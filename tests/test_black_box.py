"""`black_box`: values, derivatives by every kind of Jacobian, patterns, and errors that name the function."""

import ctypes
import operator
import pickle
import struct

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse as sp

import sparsead
from sparsead.testing import check_derivatives

X, Y = np.linspace(0.2, 1.4, 5), np.linspace(1.0, 3.0, 5)


def real(a):
    """What compiled code does with its argument: it reads memory."""
    memory = np.frombuffer(memoryview(a))
    return memory.reshape(np.shape(a))


def product(a, b):
    return np.sin(real(a)) * real(b)


def product_cs(a, b):
    return np.sin(a) * b


def product_jac(a, b):
    return np.diag(np.cos(a) * b), sp.diags_array(np.sin(a))


BOXES = {
    "fd": sparsead.black_box(product),
    "cs": sparsead.black_box(product_cs, jac="cs"),
    "callable": sparsead.black_box(product, jac=product_jac),
    "fd pattern": sparsead.black_box(product, pattern=(sp.eye_array(5), np.eye(5, dtype=bool))),
    "cs pattern": sparsead.black_box(product_cs, jac="cs", pattern=(sp.eye_array(5), None)),
    "callable pattern": sparsead.black_box(product, jac=product_jac, pattern=(sp.eye_array(5), sp.eye_array(5))),
}
exact = pytest.mark.parametrize("kind", BOXES)


def tolerance(kind):
    return 1e-9 if "fd" in kind else 1e-15


@exact
def test_outside_of_a_trace_it_is_the_function(kind):
    np.testing.assert_array_equal(BOXES[kind](X, Y), np.sin(X) * Y)


@exact
def test_gradients_and_products(kind):
    box, rtol = BOXES[kind], tolerance(kind)

    def loss(x, y):
        x *= 2
        return np.sum(box(x, y) ** 2)

    value, (gx, gy) = sparsead.value_and_grad(loss, wrt=(0, 1))(X, Y)
    assert value == np.sum((np.sin(2 * X) * Y) ** 2)
    np.testing.assert_allclose(gx, 4 * np.sin(2 * X) * np.cos(2 * X) * Y**2, rtol=rtol * 20)
    np.testing.assert_allclose(gy, 2 * np.sin(2 * X) ** 2 * Y, rtol=rtol * 20)
    _, tangent = sparsead.jvp(lambda x: box(x, Y))(X, np.ones(5))
    np.testing.assert_allclose(tangent, np.cos(X) * Y, rtol=rtol * 20)


@exact
def test_jacobian(kind):
    box = BOXES[kind]
    jac = sparsead.jacobian(lambda x, y: box(x[::-1], y), wrt=(0, 1))
    J = jac(X, Y)
    expected = np.hstack([np.diag(np.cos(X[::-1]) * Y)[:, ::-1], np.diag(np.sin(X[::-1]))])
    np.testing.assert_allclose(J.toarray(), expected, rtol=20 * tolerance(kind), atol=1e-12)
    assert J.nnz == {"fd": 50, "cs": 50, "callable": 50, "cs pattern": 30}.get(kind, 10)
    np.testing.assert_allclose(jac(X + 1, Y).toarray()[0, 4], np.cos(X[-1] + 1) * Y[0], rtol=1e-9)


def test_a_large_sparse_jacobian_is_never_dense():
    n, calls = 20_000, []

    def f(x):
        calls.append(0)
        y = x * x
        y[1:] += np.sin(x[:-1])
        return y

    box = sparsead.black_box(f, pattern=sp.diags_array([np.ones(n), np.ones(n - 1)], offsets=[0, -1]))
    J = sparsead.jacobian(lambda x: box(x))(x := np.linspace(0, 1, n))
    assert J.nnz == 2 * n - 1
    np.testing.assert_allclose(J.diagonal(), 2 * x, atol=1e-9)
    np.testing.assert_allclose(J.diagonal(-1), np.cos(x[:-1]), atol=1e-9)
    assert len(calls) < 12  # two colours, differenced centrally


@pytest.mark.parametrize("jac", ["fd", "cs", lambda x, k: 3 * x**2])
def test_numbers_and_static_arguments(jac):
    kinds = []

    def cube(x, k):
        kinds.append(type(x))
        return x**k

    assert sparsead.grad(lambda x, f=sparsead.black_box(cube, jac): f(x, 3) * 2)(2.0) == pytest.approx(24)
    assert kinds[0] is float
    assert set(kinds) <= {float, complex}


def test_a_matrix_argument_and_a_scalar_result():
    A = np.arange(6.0).reshape(2, 3)
    seen = []

    def norm(a):
        seen.append((a.flags.c_contiguous, a.shape))
        return float(np.sum(a**2))

    for jac in ("fd", lambda a: 2 * a, lambda a: 2 * a.reshape(1, -1)):
        g = sparsead.grad(lambda a, f=sparsead.black_box(norm, jac): f(a.T) / 2)(A)
        np.testing.assert_allclose(g, A, atol=1e-9)
    assert set(seen) == {(True, (3, 2))}


def test_integer_arrays_are_passed_on():
    box = sparsead.black_box(lambda x, index: x[index] ** 2)
    J = sparsead.jacobian(lambda x: box(x, np.array([2, 0])))(X)
    np.testing.assert_allclose(J.toarray()[[0, 1], [2, 0]], 2 * X[[2, 0]], rtol=1e-9)


def test_float32():
    box = sparsead.black_box(lambda x: x * x)
    g = sparsead.grad(lambda x: np.sum(box(x)))(X.astype(np.float32))
    assert g.dtype == np.float32
    np.testing.assert_allclose(g, 2 * X, rtol=1e-3)


def test_arguments_are_copies_and_results_are_copied():
    buffer = np.zeros(5)

    def f(x):
        np.multiply(x, x, out=buffer)  # returns its own memory, as wrappers of C code do
        x[:] = np.nan
        return buffer

    box = sparsead.black_box(f, jac=lambda x: np.diag(2 * x))
    value, gradient = sparsead.value_and_grad(lambda x: np.sum(box(x) + box(2 * x) + x))(X)
    np.testing.assert_allclose(value, np.sum(5 * X**2 + X))
    np.testing.assert_allclose(gradient, 10 * X + 1)


def test_another_jacobian_under_the_same_name_is_seen():
    holder = {"f": sparsead.black_box(np.sin, jac=lambda x: np.diag(np.cos(x)))}
    d = sparsead.grad(lambda x: np.sum(holder["f"](x)))
    first = d(X)
    holder["f"] = sparsead.black_box(np.sin, jac=lambda x: np.diag(0 * x))
    np.testing.assert_array_equal(first, np.cos(X))
    np.testing.assert_array_equal(d(X), 0)


def test_the_users_check():
    assert check_derivatives(lambda x, y: np.sum(BOXES["cs"](x, y) ** 2), X, Y, wrt=(0, 1), order=1).order == 1


def test_second_derivatives_raise():
    f = lambda x: np.sum(BOXES["fd"](x, x))
    for second in (
        lambda: sparsead.hvp(f)(X, X),
        lambda: sparsead.hessian(f)(X),
        lambda: sparsead.grad(lambda x: np.sum(sparsead.grad(f)(x)))(X),
        lambda: sparsead.jacobian(lambda x: sparsead.jvp(f)(x, np.ones(5))[1])(X),
    ):
        with pytest.raises(NotImplementedError, match=r"black_box\(product\)"):
            second()


def test_pickle():
    box = pickle.loads(pickle.dumps(BOXES["fd"]))
    np.testing.assert_array_equal(box(X, Y), product(X, Y))


def named(result):
    def fun(x):
        return result

    return fun


@pytest.mark.parametrize(
    "result, kind, message",
    [
        (None, TypeError, "fun returned None"),
        ("text", TypeError, "fun returned a str"),
        ((X, X), TypeError, "fun returned a tuple"),
        (X + 1j, TypeError, "fun returned dtype complex128"),
        (np.arange(3), TypeError, "fun returned dtype int64"),
        (X.astype(object), TypeError, "fun returned dtype object"),
    ],
)
def test_wrong_results(result, kind, message):
    box = sparsead.black_box(named(result))
    with pytest.raises(kind, match=message):
        sparsead.jvp(lambda x: box(x))(X, X)


@pytest.mark.parametrize(
    "jac, kind, message",
    [
        (lambda x: np.eye(3), ValueError, r"sin.*\(3, 3\) by argument 0; it has to be \(5, 5\)"),
        (lambda x: np.eye(5) * 1j, TypeError, "sin.*complex128"),
        (lambda x: None, TypeError, "sin.*dtype object"),
        (lambda x: (np.eye(5), np.eye(5)), TypeError, "sin.*2 Jacobians for 1 floating"),
        (lambda x: sp.eye_array(4), ValueError, r"sin.*\(4, 4\)"),
    ],
)
def test_wrong_jacobians(jac, kind, message):
    box = sparsead.black_box(np.sin, jac=jac)
    with pytest.raises(kind, match=message):
        sparsead.jvp(lambda x: box(x))(X, X)


def test_wrong_patterns():
    for pattern, message in (
        (np.eye(3), r"\(3, 3\)"),
        ((np.eye(5), np.eye(5)), "2 patterns"),
        (np.ones((5, 4)), r"\(5, 4\)"),
    ):
        box = sparsead.black_box(np.sin, pattern=pattern)
        with pytest.raises(ValueError, match=rf"black_box\(sin\).*{message}"):
            sparsead.jvp(lambda x, box=box: box(x))(X, X)
    box = sparsead.black_box(np.sin, jac=lambda x: np.ones((5, 5)), pattern=np.eye(5))
    with pytest.raises(ValueError, match=r"sin.*entry at \(0, 1\)"):
        sparsead.jvp(lambda x: box(x))(X, X)


def test_wrong_use():
    with pytest.raises(ValueError, match='jac=\'exact\' is unknown; it has to be "fd", "cs" or a function'):
        sparsead.black_box(np.sin, jac="exact")
    with pytest.raises(TypeError, match="takes a function, got int"):
        sparsead.black_box(3)
    box = sparsead.black_box(lambda xs: sum(xs))
    with pytest.raises(TypeError, match="list or tuple with traced values"):
        sparsead.grad(lambda x: box([x[0], x[1]]))(X)
    with pytest.raises(sparsead.TraceError, match="captures a traced value"):
        sparsead.grad(lambda x: sparsead.black_box(lambda y: np.sum(x * y))(x))(X)


def test_an_error_of_the_function_is_its_own():
    def singular(x):
        raise np.linalg.LinAlgError("singular")

    box = sparsead.black_box(singular)
    with pytest.raises(np.linalg.LinAlgError, match="singular"):
        sparsead.grad(lambda x: np.sum(box(x)))(X)
    np.testing.assert_allclose(sparsead.grad(lambda x: np.sum(BOXES["cs"](x, Y)))(X), np.cos(X) * Y)


# ---- without black_box: functions that need a real array ------------------------------------------------------------


def _ctypes(x):
    return ctypes.c_double.from_buffer(x).value


def _solve(x):
    import scipy.linalg

    return scipy.linalg.solve(np.eye(5), x)


NEED_ARRAYS = {
    "fft": lambda x: np.fft.fft(x).real,
    "pointer": lambda x: x.ctypes.data_as(ctypes.c_void_p).value * x,
    "data": lambda x: x.data[0] * x,
    "tobytes": lambda x: len(x.tobytes()) * x,
    "masked array": lambda x: np.copyto(np.ma.zeros(5), x),
    "float": lambda x: float(x[0]) * x,
    "vectorize": lambda x: np.vectorize(lambda v: v * v)(x),
    "iteration": lambda x: scipy.optimize.brentq(lambda t: t - x[0], -9, 9) * x,
}


@pytest.mark.parametrize("name", NEED_ARRAYS)
def test_functions_that_need_a_real_array_name_the_users_line(name):
    line = NEED_ARRAYS[name].__code__.co_firstlineno
    with pytest.raises((sparsead.TraceError, NotImplementedError), match=rf"test_black_box\.py:{line}\b"):
        sparsead.jvp(NEED_ARRAYS[name])(X, X)


def test_a_compiled_solver_points_to_black_box():
    line = _solve.__code__.co_firstlineno + 3
    with pytest.raises(sparsead.TraceError, match=rf"wanted as a plain array at .*:{line}\b.*sparsead\.black_box"):
        sparsead.jvp(_solve)(X, X)


MEMORY = {
    "memoryview": lambda x: memoryview(x)[0] * x,
    "frombuffer": lambda x: np.frombuffer(x).sum() * x,
    "bytes": lambda x: len(bytes(x)) * x,
    "from_buffer": lambda x: ctypes.c_double.from_buffer(x).value * x,
    "as_ctypes": lambda x: np.ctypeslib.as_ctypes(x)[0] * x,
    "interface": lambda x: x.__array_interface__["data"][0] * x,
    "dlpack": lambda x: np.from_dlpack(x) * x,
}


@pytest.mark.parametrize("name", MEMORY)
def test_the_memory_of_a_traced_array_is_refused(name):
    line = MEMORY[name].__code__.co_firstlineno
    with pytest.raises(sparsead.TraceError, match=rf"memory of a traced array .*:{line}\b.*sparsead\.black_box"):
        sparsead.jvp(MEMORY[name])(X, X)


def test_asking_whether_an_array_gives_its_memory_away_is_allowed():
    f = lambda x: x * (2.0 if hasattr(x, "__array_interface__") or hasattr(x, "ctypes") else 3.0)
    np.testing.assert_array_equal(sparsead.jvp(f)(X, X)[1], 3 * X)


# Code that puts an error of its own in the place of ours, or that looks at types and never asks.
STUMBLES = {
    "flat": lambda x: operator.setitem(np.ma.zeros(3).data.flat, 0, x[0]),
    "0-d array": lambda x: operator.setitem(np.frombuffer(bytearray(24)), 0, x[:1].reshape(())),
    "struct": lambda x: struct.pack("d", x[0]),
    "type check": lambda x: struct.pack_into("d", x, 0, 1.0),
    "attribute": lambda x: setattr(x, "note", 1),
    "readwrite": lambda x: next(iter(np.nditer(x, op_flags=[["readwrite"]]))) * x,
}


@pytest.mark.parametrize("name", STUMBLES)
def test_errors_of_code_that_stumbles_over_traced_values_are_explained(name):
    line = STUMBLES[name].__code__.co_firstlineno
    with pytest.raises(sparsead.TraceError, match=rf"test_black_box\.py:{line}\b.*(sparsead\.black_box|np\.zeros)") as caught:
        sparsead.jvp(STUMBLES[name])(X, X)
    cause = caught.value.__cause__  # what the code said itself is not lost; some says nothing and lets ours through
    assert cause is None if name == "iteration" else type(cause) not in (type(None), sparsead.TraceError)


class Rejected(Exception):
    pass


def test_what_the_user_raises_stays_what_it_is():
    def f(x):
        raise Rejected(f"cannot take {type(x).__name__}")

    def g(x):
        try:
            return float(x[0]) * x
        except TypeError:
            raise Rejected("not a number") from None

    with pytest.raises(Rejected, match="cannot take TracedArray"):
        sparsead.jvp(f)(X, X)
    with pytest.raises(Rejected, match="not a number"):
        sparsead.jvp(g)(X, X)
