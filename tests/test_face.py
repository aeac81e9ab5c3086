"""The functional face: what is given, what comes back, and that it all composes."""

import itertools
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp

import oracle
import sparsead

X = np.array([0.5, 1.5, 2.5])
Y = np.array([2.0, -1.0, 0.25])


def product(x, y):
    return (x * x * y).sum()


def tridiagonal(x, out):
    out[:] = 2 * x * x
    out[1:] -= x[:-1] * x[1:]
    out[:-1] -= np.sin(x[1:])


def dense_tridiagonal(x):
    j = np.diag(4 * x)
    for i in range(1, len(x)):
        j[i, i - 1] = -x[i]
        j[i, i] -= x[i - 1]
        j[i - 1, i] = -np.cos(x[i])
    return j


# ---- wrt and of


@pytest.mark.parametrize(
    ("wrt", "expected"),
    [
        (0, 2 * X * Y),
        ("y", X * X),
        (1, X * X),
        ("x", 2 * X * Y),
        ((0, 1), (2 * X * Y, X * X)),
        (("y", "x"), (X * X, 2 * X * Y)),
        (("y", 0), (X * X, 2 * X * Y)),
        (("y",), (X * X,)),
    ],
    ids=repr,
)
def test_wrt(wrt, expected):
    gradient = sparsead.grad(product, wrt=wrt)(X, Y)
    assert type(gradient) is type(expected)
    for g, e in zip(gradient, expected, strict=True):
        np.testing.assert_allclose(g, e, rtol=1e-15)


def test_value_and_grad_are_numbers_and_arrays():
    value, gradient = sparsead.value_and_grad(product)(X, Y)
    assert value == product(X, Y) and isinstance(value, float)
    assert type(gradient) is np.ndarray and gradient.flags.writeable
    value, slope = sparsead.value_and_grad(lambda t: t * t)(3.0)
    assert (value, slope) == (9.0, 6.0) and isinstance(slope, float)


def test_keywords_and_defaults():
    def f(x, *, gain=2.0, shift=0.0):
        return (gain * x + shift).sum()

    assert np.array_equal(sparsead.grad(f)(X), [2, 2, 2])
    assert np.array_equal(sparsead.grad(f)(X, gain=3.0), [3, 3, 3])
    assert sparsead.grad(f, wrt="gain")(X, gain=3.0) == X.sum()
    assert sparsead.grad(f, wrt=("gain", "shift"))(X, gain=3.0, shift=1.0) == (X.sum(), 3.0)
    assert np.array_equal(sparsead.grad(f)(x=X), [2, 2, 2])
    assert sparsead.jvp(f)(X, X, gain=3.0) == (f(X, gain=3.0), 3 * X.sum())
    assert np.array_equal(sparsead.vjp(f)(X, gain=3.0)[1](1.0), [3, 3, 3])


def starred(scale, *arrays, gain=2.0, **named):
    arrays[0][1:] *= named["w"][:2]
    return scale * gain * sum((a * a).sum() for a in arrays) + (named["w"] ** 3).sum()


def as_plain(scale, a, b, w):
    return starred(scale, a, b, w=w)


STARS = [(0, 0), (1, 1), (2, 2), ("w", 3), ((1, "w"), (1, 3)), (("scale", 2), (0, 2)), ("arrays", (1, 2))]


@pytest.mark.parametrize(("wrt", "position"), STARS, ids=repr)
def test_wrt_in_stars(wrt, position):
    args, kwargs = (1.5, X.copy(), Y.copy()), {"w": X[::-1].copy()}
    expected = sparsead.grad(as_plain, wrt=position)(*args, *kwargs.values())
    f = sparsead.grad(starred, wrt=wrt)
    for _ in range(2):
        oracle.same_bits(f(*args, **kwargs), expected)
    assert np.array_equal(args[1], X)


def test_wrt_of_all_keywords():
    w = X + 1
    found = sparsead.grad(lambda x, **named: (x * named["w"] ** 3 * named["s"]).sum(), wrt="named")(X, w=w, s=0.5)
    assert list(found) == ["w", "s"]
    np.testing.assert_allclose(found["w"], 1.5 * X * w**2, rtol=1e-15)
    np.testing.assert_allclose(found["s"], (X * w**3).sum(), rtol=1e-15)


def test_every_derivative_reaches_into_stars():
    def f(x, *rest, **named):
        rest[0][:] = rest[0] * x + named["w"] * rest[0]
        return (rest[0] ** 2).sum()

    args, w = (X, Y.copy()), X[::-1].copy()
    v, slope = np.cos(X), X + w
    np.testing.assert_allclose(sparsead.jvp(f, wrt=1)(*args, v, w=w)[1], (2 * slope**2 * Y * v).sum(), rtol=1e-14)
    np.testing.assert_allclose(sparsead.vjp(f, wrt="w")(*args, w=w)[1](1.0), 2 * slope * Y * Y, rtol=1e-14)
    np.testing.assert_allclose(sparsead.hvp(f, wrt="w")(*args, v, w=w), 2 * Y * Y * v, rtol=1e-14)
    np.testing.assert_allclose(sparsead.linearize(f, wrt=1)(*args, w=w)[1](v), (2 * slope**2 * Y * v).sum(), rtol=1e-14)
    np.testing.assert_allclose(sparsead.hessian(f, wrt=1)(*args, w=w).diagonal(), 2 * slope**2, rtol=1e-14)
    jac = sparsead.jacobian(f, wrt=("w", 1), of=1)
    np.testing.assert_allclose(jac(*args, w=w).toarray(), np.hstack([np.diag(Y), np.diag(slope)]), rtol=1e-14)
    nested = sparsead.grad(lambda x: sparsead.grad(f, wrt="w")(x, Y.copy(), w=w).sum())
    np.testing.assert_allclose(nested(X), 2 * Y * Y, rtol=1e-14)
    sparsead.testing.check_derivatives(f, *args, w=w, wrt=(1, "w"))
    assert "rest[0], named['w']" in sparsead.grad(f, wrt=(1, "w")).prepare(*args, w=w).report()


def test_what_is_not_among_the_arguments_in_stars():
    f = lambda x, *rest, **named: x.sum()
    with pytest.raises(TypeError, match=r"wrt=rest\[1\]: the call has no such argument"):
        sparsead.grad(f, wrt=2)(X, Y)
    with pytest.raises(TypeError, match=r"wrt=named\['w'\]: the call has no such argument"):
        sparsead.grad(f, wrt="w")(X, Y, v=X)
    with pytest.raises(TypeError, match=r"of=rest\[0\]: the call has no such argument"):
        sparsead.jacobian(f, of=1)(X)
    with pytest.raises(ValueError, match=r"wrt=-1: .* positional arguments x, \*rest"):
        sparsead.grad(f, wrt=-1)


def test_of_a_mutated_argument_by_name_or_position():
    out = np.full(3, 7.0)
    for of in ("out", 1):
        np.testing.assert_allclose(sparsead.jacobian(tridiagonal, of=of)(X, out).toarray(), dense_tridiagonal(X))
    assert np.array_equal(out, [7, 7, 7])


def test_several_of():
    def f(x, y):
        y *= x
        return x * x

    (r, y), pullback = sparsead.vjp(f, wrt=(0, 1), of=("return", "y"))(X, Y)
    assert np.array_equal(r, X * X) and np.array_equal(y, X * Y)
    for g, e in zip(pullback((X, Y)), (2 * X * X + Y * Y, Y * X), strict=True):
        np.testing.assert_allclose(g, e, rtol=1e-15)
    _, (dr, dy) = sparsead.jvp(f, of=("return", "y"))(X, Y, Y)
    np.testing.assert_allclose(dr, 2 * X * Y)
    np.testing.assert_allclose(dy, Y * Y)


def test_untouched_arguments_pass_their_tangents_on():
    value, tangent = sparsead.jvp(lambda x, y: None, of="x")(X, Y, Y)
    assert np.array_equal(value, X) and np.array_equal(tangent, Y)
    assert np.array_equal(sparsead.jacobian(lambda x, y: None, wrt="x", of="y")(X, Y).toarray(), np.zeros((3, 3)))


def test_no_dependence_is_zero_of_the_right_shape():
    assert np.array_equal(sparsead.grad(lambda x, y: y.sum())(X, Y), np.zeros(3))
    assert np.array_equal(sparsead.grad(lambda x: 1.0)(X), np.zeros(3))
    jac = sparsead.jacobian(lambda x: np.ones(2))(X)
    assert jac.shape == (2, 3) and jac.nnz == 0


@pytest.mark.parametrize("order", [("return", "x"), ("x", "return")])
def test_jacobian_of_outputs_that_do_not_depend_on_the_input(order):
    def f(x, y):
        x[0] = np.sin(x[1]) * x[2]
        return y[::-1]

    x, y = np.array([1.0, 2.0, 3.0]), np.arange(5.0)
    of_x = np.array([[0, 3 * np.cos(2.0), np.sin(2.0)], [0, 1, 0], [0, 0, 1]])
    rows = {"x": of_x, "return": np.zeros((5, 3))}
    value = sparsead.jacobian(f, of=order)(x, y).toarray()
    np.testing.assert_allclose(value, np.concatenate([rows[name] for name in order]), atol=1e-14)


def test_has_aux():
    f = lambda x: ((x * x).sum(), {"twice": 2 * x, "name": "run", "n": len(x)})
    gradient, aux = sparsead.grad(f, has_aux=True)(X)
    assert np.array_equal(gradient, 2 * X) and aux["name"] == "run" and aux["n"] == 3
    for x in (X, Y):
        (value, aux), gradient = sparsead.value_and_grad(f, has_aux=True)(x)
        assert value == (x * x).sum() and np.array_equal(gradient, 2 * x)
        assert type(aux["twice"]) is np.ndarray and np.array_equal(aux["twice"], 2 * x)
    jac, aux = sparsead.jacobian(lambda x: (x * x, x[0]), has_aux=True)(X)
    assert np.array_equal(jac.toarray(), np.diag(2 * X)) and aux == X[0]


# ---- structures


@dataclass
class Params:
    weights: np.ndarray
    rate: float
    label: str = "p"


STRUCTURES = {
    "list": [X, Y],
    "tuple": (X, Y),
    "dict": {"w": X, "b": Y},
    "nested": {"layers": [(X, 2.0), (Y, 3.0)], "scale": 0.5},
    "dataclass": Params(X, 0.5),
    "namespace": SimpleNamespace(weights=X, rate=0.5),
}


def leaves(s):
    if isinstance(s, (list, tuple)):
        return [leaf for part in s for leaf in leaves(part)]
    if isinstance(s, dict):
        return leaves(list(s.values()))
    if isinstance(s, (Params, SimpleNamespace)):
        return leaves([s.weights, s.rate])
    return [s]


@pytest.mark.parametrize("structure", STRUCTURES.values(), ids=STRUCTURES)
def test_results_have_the_structure_of_the_input(structure):
    def f(s):
        return sum((v * v * v).sum() if np.ndim(v) else v * v * v for v in leaves(s))

    gradient = sparsead.grad(f)(structure)
    assert type(gradient) is type(structure)
    if isinstance(structure, dict):
        assert list(gradient) == list(structure)
    for g, v in zip(leaves(gradient), leaves(structure), strict=True):
        assert type(g) is np.ndarray or isinstance(g, float)
        np.testing.assert_allclose(g, 3 * np.square(v), rtol=1e-15)
    value, tangent = sparsead.jvp(f)(structure, gradient)
    np.testing.assert_allclose(tangent, sum(np.sum(np.square(g)) for g in leaves(gradient)), rtol=1e-14)
    np.testing.assert_allclose(value, sum(np.sum(np.power(v, 3)) for v in leaves(structure)), rtol=1e-14)


def test_returned_structures():
    f = lambda x: {"square": x * x, "parts": [x[0], (x[1:], 2.0)]}
    value, pullback = sparsead.vjp(f)(X)
    assert np.array_equal(value["square"], X * X) and value["parts"][0] == 0.5
    assert type(value["parts"]) is list and type(value["parts"][1]) is tuple
    seed = {"square": np.ones(3), "parts": [1.0, (np.array([2.0, 3.0]), 0.0)]}
    np.testing.assert_allclose(pullback(seed), 2 * X + [1, 2, 3])


def test_mutated_structures():
    def step(state, dt):
        state["u"] += dt * state["v"]
        state["v"] *= 1 - dt

    state = {"u": X.copy(), "v": Y.copy()}
    value, tangent = sparsead.jvp(step, wrt="dt", of="state")(state, 0.25, 1.0)
    np.testing.assert_allclose(value["u"], X + 0.25 * Y)
    np.testing.assert_allclose(tangent["u"], Y)
    np.testing.assert_allclose(tangent["v"], -Y)
    assert np.array_equal(state["u"], X) and np.array_equal(state["v"], Y)


def test_objects_with_methods_as_callables():
    class Model:
        def __init__(self):
            self.w, self.work, self.calls = Y.copy(), np.zeros(3), 0

        def loss(self, x):
            np.multiply(x, self.w, out=self.work)
            self.last = self.work
            self.work = self.work * x
            return self.work.sum()

        __call__ = loss

    model = Model()
    work, w = model.work, model.w
    for f in (model.loss, model):
        np.testing.assert_allclose(sparsead.grad(f)(X), 2 * X * Y)
        assert model.work is work and model.w is w and type(work) is np.ndarray and not work.any()
        assert type(getattr(model, "last", work)) is np.ndarray


def test_elements_of_a_broadcast_array_are_differentiated_one_by_one():
    weights = np.array([1.0, 2.0, 3.0])
    f = lambda x: np.sum(weights * x**2)
    for x in (np.broadcast_to(2.0, 3), np.lib.stride_tricks.sliding_window_view(np.arange(4.0), 2)[:, 0]):
        dense = np.array(x)
        np.testing.assert_array_equal(sparsead.grad(f)(x), sparsead.grad(f)(dense))
        np.testing.assert_array_equal(sparsead.jacobian(f)(x).toarray(), sparsead.jacobian(f)(dense).toarray())
        np.testing.assert_array_equal(sparsead.hessian(f)(x).toarray(), np.diag(2 * weights))
        np.testing.assert_array_equal(sparsead.jvp(f)(x, weights)[1], sparsead.jvp(f)(dense, weights)[1])
        sparsead.testing.check_derivatives(f, x)
    windows = np.lib.stride_tricks.sliding_window_view(np.arange(4.0), 2)
    np.testing.assert_array_equal(sparsead.grad(lambda w: np.sum(w**2))(windows), 2 * windows)


def test_arrays_in_files(tmp_path):
    x = np.memmap(tmp_path / "x", float, "w+", shape=3)
    x[:] = X
    gradient = sparsead.grad(lambda x: np.sum(x**2))(x)
    assert type(gradient) is np.ndarray
    np.testing.assert_array_equal(gradient, 2 * X)


# ---- Jacobians and Hessians as sparse arrays


@pytest.mark.parametrize("format", ["csr", "csc", "dense"])
def test_formats(format):
    jac = sparsead.jacobian(tridiagonal, of="out", format=format)
    for x in (X, Y):
        result = jac(x, np.zeros(3))
        assert type(result) is {"csr": sp.csr_array, "csc": sp.csc_array, "dense": np.ndarray}[format]
        dense = result if format == "dense" else result.toarray()
        np.testing.assert_allclose(dense, dense_tridiagonal(x), rtol=1e-14)


@pytest.mark.parametrize("format", ["csr", "csc"])
def test_index_arrays_are_sorted_shared_and_read_only(format):
    jac = sparsead.jacobian(tridiagonal, of="out", format=format)
    x, out = np.linspace(0.1, 1, 20), np.zeros(20)
    first, second = jac(x, out), jac(x * 0, out)
    for j in (first, second):
        assert j.nnz == 58 and j.has_sorted_indices and j.has_canonical_format
        assert j.indices.dtype == j.indptr.dtype == np.int32
        assert not j.indices.flags.writeable and not j.indptr.flags.writeable and j.data.flags.writeable
    assert np.shares_memory(first.indices, second.indices) and np.shares_memory(first.indptr, second.indptr)
    assert not np.shares_memory(first.data, second.data)


def test_multidimensional_arrays_are_raveled_in_c_order():
    a = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    jac = sparsead.jacobian(lambda a: a.T * 2)(a).toarray()
    expected = np.zeros((6, 6))
    for i, j in itertools.product(range(2), range(3)):
        expected[j * 2 + i, i * 3 + j] = 2
    assert np.array_equal(jac, expected)
    assert sparsead.jacobian(lambda x: x[0] * x[1])(X).toarray().tolist() == [[1.5, 0.5, 0.0]]
    assert sparsead.jacobian(lambda t: t * X, format="dense")(2.0).tolist() == [[0.5], [1.5], [2.5]]


def test_jacobians_by_several_arguments():
    def f(x, y):
        y *= x
        return x * x

    beside = sparsead.jacobian(f, wrt=("y", "x"))(X, Y)
    assert np.array_equal(beside.toarray(), np.hstack([np.zeros((3, 3)), np.diag(2 * X)]))
    both = sparsead.jacobian(f, wrt=(0, 1), of=("return", "y"), format="dense")(X, Y)
    assert np.array_equal(both, np.block([[np.diag(2 * X), np.zeros((3, 3))], [np.diag(Y), np.diag(X)]]))


@pytest.mark.parametrize("format", ["csr", "csc", "dense"])
def test_out_is_refilled(format):
    jac = sparsead.jacobian(tridiagonal, of="out", format=format)
    out = jac(X, np.zeros(3))
    if format == "dense":
        out[...] = np.nan
    else:
        out.data[:] = np.nan
    assert jac(Y, np.zeros(3), out=out) is out
    np.testing.assert_allclose(out if format == "dense" else out.toarray(), dense_tridiagonal(Y), rtol=1e-14)


@pytest.mark.parametrize(
    "out",
    [sp.csr_array(np.eye(3)), sp.csr_array((3, 3)), sp.csc_array(np.eye(3)), sp.csr_array(np.ones((3, 4))), np.eye(3)],
    ids=["nnz", "empty", "format", "shape", "dense"],
)
def test_out_of_another_structure_is_refused(out):
    with pytest.raises((TypeError, ValueError), match="out"):
        sparsead.jacobian(tridiagonal, of="out")(X, np.zeros(3), out=out)


@pytest.mark.parametrize("format", ["csr", "csc", "dense"])
def test_hessian(format):
    f = lambda x: (np.sin(x[:-1]) * x[1:] ** 2).sum() + x[0] ** 3
    x = np.linspace(0.5, 1.5, 8)
    hess = sparsead.hessian(f, format=format)(x)
    dense = hess if format == "dense" else hess.toarray()
    expected = np.array([sparsead.hvp(f)(x, e) for e in np.eye(8)])
    np.testing.assert_allclose(dense, expected, rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(dense, dense.T, rtol=1e-13)
    np.testing.assert_allclose(dense[0, 0], -np.sin(x[0]) * x[1] ** 2 + 6 * x[0], rtol=1e-14)
    np.testing.assert_allclose(dense[3, 4], 2 * np.cos(x[3]) * x[4], rtol=1e-14)
    if format != "dense":
        assert hess.nnz == 22 and not hess.indices.flags.writeable


def test_hessian_by_name_and_of_linear_functions():
    assert sparsead.hessian(product, wrt="x")(X, Y).toarray().tolist() == np.diag(2 * Y).tolist()
    assert sparsead.hessian(product, wrt="y")(X, Y).nnz == 0


def test_float32_gives_float32():
    x, y = X.astype(np.float32), Y.astype(np.float32)
    assert sparsead.grad(product)(x, y).dtype == np.float32
    assert sparsead.jacobian(tridiagonal, of="out")(x, np.zeros(3, np.float32)).dtype == np.float32
    assert sparsead.hvp(product)(x, y, x).dtype == np.float32
    assert sparsead.grad(product, wrt="y")(x, Y).dtype == np.float64


# ---- products, linearization, nesting


def test_linearize():
    value, tangent = sparsead.linearize(lambda x: np.sin(x) * x)(X)
    assert np.array_equal(value, np.sin(X) * X)
    for v in (X, Y, np.eye(3)[1]):
        np.testing.assert_allclose(tangent(v), (np.cos(X) * X + np.sin(X)) * v, rtol=1e-15)


def test_a_pullback_may_be_called_many_times():
    def f(x):
        x[1:] *= np.sin(x[:-1])
        return x * x

    value, pullback = sparsead.vjp(f)(X)
    first = pullback(Y)
    kept = first.copy()
    first[:] = np.nan  # results are the caller's own
    for _ in range(3):
        assert pullback(Y).tobytes() == kept.tobytes()
    value[:] = np.nan
    assert pullback(Y).tobytes() == kept.tobytes()
    np.testing.assert_allclose(pullback(2 * Y), 2 * kept, rtol=1e-15)


def test_two_pullbacks_do_not_disturb_each_other():
    f = lambda x: np.exp(x) * x[::-1]
    _, at_x = sparsead.vjp(f)(X)
    expected = at_x(Y)
    _, at_y = sparsead.vjp(f)(Y)
    at_y(X)
    assert np.array_equal(at_x(Y), expected)


CAPTURED = Y.copy()


def test_memory_modified_between_the_sweeps():
    """The numbers of the forward sweep count; an error that says so is the only other answer."""
    x, w = X.copy(), Y.copy()
    _, pullback = sparsead.vjp(lambda x, w: x * x * w * CAPTURED)(x, w)
    expected = 2 * X * Y * CAPTURED * X
    x[:], w[:], CAPTURED[:] = 99, 98, 97
    try:
        np.testing.assert_allclose(pullback(X), expected, rtol=1e-15)
    except (RuntimeError, ValueError) as error:
        assert "changed" in str(error) or "modified" in str(error)
    finally:
        CAPTURED[:] = Y


def test_hvp_says_how_it_is_called():
    with pytest.raises(TypeError, match=r"write hvp\(f\)\(x, v\)"):
        sparsead.hvp(np.sum, np.ones(3), np.ones(3))


def test_hvp_and_gradient_of_gradients():
    f = lambda x: (x**4).sum() + x[0] * x[1] * x[2]
    hess = np.diag(12 * X**2) + np.array([[0, X[2], X[1]], [X[2], 0, X[0]], [X[1], X[0], 0]])
    np.testing.assert_allclose(sparsead.hvp(f)(X, Y), hess @ Y, rtol=1e-14)
    twice = sparsead.grad(lambda x: (sparsead.grad(f)(x) * Y).sum())
    np.testing.assert_allclose(twice(X), hess @ Y, rtol=1e-14)
    np.testing.assert_allclose(sparsead.jacobian(sparsead.grad(f))(X).toarray(), hess, rtol=1e-14)
    np.testing.assert_allclose(sparsead.jvp(sparsead.grad(f))(X, Y)[1], hess @ Y, rtol=1e-14)


def test_third_derivatives():
    f = lambda t: np.sin(t) * t**3
    third = sparsead.grad(sparsead.grad(sparsead.grad(f)))
    t = 0.7
    expected = -np.cos(t) * t**3 - 9 * np.sin(t) * t**2 + 18 * np.cos(t) * t + 6 * np.sin(t)
    np.testing.assert_allclose(third(t), expected, rtol=1e-13)


def test_third_derivatives_of_in_place_code():
    def f(x):
        for _ in range(2):
            x[1:] *= x[:-1]
        return x[2]

    # after two sweeps x[2] = (x0 x1 x2) (x0 x0 x1): the numbers are polynomials
    direction = lambda x: sparsead.hvp(f)(x, Y)
    third = sparsead.jvp(direction)(X, Y)[1]
    h = 1e-4
    np.testing.assert_allclose(third, (direction(X + h * Y) - direction(X - h * Y)) / (2 * h), rtol=1e-6)


def test_perturbations_are_not_confused():
    inner = lambda x: sparsead.grad(lambda y: x + y)(1.0)
    assert sparsead.grad(lambda x: x * inner(x))(1.0) == 1.0
    assert sparsead.jvp(lambda x: x * sparsead.jvp(lambda y: x + y)(1.0, 1.0)[1])(1.0, 1.0)[1] == 1.0
    mixed = sparsead.grad(lambda x: x * sparsead.grad(lambda y: x * y * y)(3.0))
    assert mixed(2.0) == 24.0  # d/dx (6 x^2)


def test_derivatives_inside_a_differentiated_solver():
    def newton(c):
        x = 1.0
        for _ in range(8):
            residual = lambda x: x**3 - c
            x = x - residual(x) / sparsead.grad(residual)(x)
        return x

    np.testing.assert_allclose(sparsead.grad(newton)(2.0), 2 ** (-2 / 3) / 3, rtol=1e-12)


def with_modf(x):  # on a piece: x^4 - w x^2 + w x
    part, whole = np.modf(x * x)
    return part * x * x + whole * x


def with_divmod(x):  # on a piece: q x^2 + (x^3 - 0.7 q)^2
    quotient, rest = np.divmod(x**3, 0.7)
    return quotient * x * x + rest * rest


def with_frexp(x):  # on a piece: n x^4 / 4^n
    mantissa, n = np.frexp(x * x)
    return mantissa * mantissa * n


CURVATURES = {
    with_modf: lambda x: 12 * x**2 - 2 * np.floor(x * x),
    with_divmod: lambda x: 30 * x**4 + (2 - 8.4 * x) * (x**3 // 0.7),
    with_frexp: lambda x: 12 * np.frexp(x * x)[1] * x**2 / 4.0 ** np.frexp(x * x)[1],
}
NESTED = {
    "grad": lambda f, x: sparsead.grad(lambda y: f(y).sum())(x),
    "jvp": lambda f, x: sparsead.jvp(f)(x, np.ones_like(x))[1],
    "vjp": lambda f, x: sparsead.vjp(f)(x)[1](np.ones_like(x)),
}


@pytest.mark.parametrize("outer", NESTED)
@pytest.mark.parametrize("inner", NESTED)
@pytest.mark.parametrize("f", CURVATURES, ids=lambda f: f.__name__)
def test_two_results_inside_nested_derivatives(f, inner, outer):
    slope = lambda x: NESTED[inner](f, x)
    np.testing.assert_allclose(NESTED[outer](slope, X), CURVATURES[f](X), rtol=1e-13)
    np.testing.assert_allclose(sparsead.jacobian(f)(X).diagonal(), slope(X), rtol=1e-13)


def given_an_integer(x):
    return sparsead.grad(lambda y, n: (y**2 * n).sum())(x, np.frexp(x[0] * 1.1)[1]).sum()


def given_a_flag(x):
    return sparsead.grad(lambda y, up: (y**2).sum() if up else (y**3).sum())(x, x[0] > 2).sum()


def given_positions(x):
    return sparsead.grad(lambda y, at: (y[at] ** 2 * Y).sum())(x, np.argsort(x)).sum()


def capturing_positions(x):
    at = np.argsort(x)
    return sparsead.grad(lambda y: (y[at] ** 2 * Y).sum())(x).sum()


def given_a_mask(x):
    return sparsead.grad(lambda y, options: (y[options["mask"]] ** 2).sum())(x, {"mask": x > 2}).sum()


@pytest.mark.parametrize("f", [given_an_integer, given_a_flag, given_positions, capturing_positions, given_a_mask])
def test_structure_given_to_a_nested_derivative_is_not_frozen(f):
    slope, h = sparsead.grad(f), 1e-6
    for x in (X, X[::-1] * 3, X):
        expected = [(f(x + h * e) - f(x - h * e)) / (2 * h) for e in np.eye(3)]
        np.testing.assert_allclose(slope(x), expected, rtol=1e-6, atol=1e-8)


def test_value_and_stop_gradient():
    seen = []
    look = seen.append  # a method of a list: nothing that a tape could depend on

    def f(x):
        look(sparsead.value(x))
        return (x * sparsead.stop_gradient(x * x)).sum()

    slope = sparsead.grad(f)
    assert np.array_equal(slope(X), X * X) and np.array_equal(slope(Y), Y * Y)
    assert type(seen[0]) is np.ndarray and np.array_equal(seen[0], X)
    assert sparsead.value(3.0) == 3.0 and sparsead.value(X) is X and sparsead.stop_gradient(X) is X


def test_the_reference_engine_everywhere():
    r = {"engine": "reference"}
    np.testing.assert_allclose(sparsead.grad(product, **r)(X, Y), 2 * X * Y)
    assert sparsead.value_and_grad(product, **r)(X, Y)[0] == product(X, Y)
    np.testing.assert_allclose(sparsead.jvp(product, **r)(X, Y, Y)[1], (2 * X * Y * Y).sum())
    np.testing.assert_allclose(sparsead.vjp(product, **r)(X, Y)[1](1.0), 2 * X * Y)
    np.testing.assert_allclose(sparsead.linearize(product, **r)(X, Y)[1](Y), (2 * X * Y * Y).sum())
    np.testing.assert_allclose(sparsead.hvp(product, **r)(X, Y, X), 2 * X * Y)
    np.testing.assert_allclose(sparsead.hessian(product, **r)(X, Y).diagonal(), 2 * Y)
    np.testing.assert_allclose(sparsead.jacobian(tridiagonal, of="out", **r)(X, Y).toarray(), dense_tridiagonal(X))
