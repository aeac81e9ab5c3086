"""Complex numbers: derivatives against differences, conventions, what NumPy does with them, refusals."""

import math

import numpy as np
import pytest
from scipy import sparse

import sparsead
from complex_programs import ENGINES, directions, inner
from sparsead.ops.elementwise import RECORDS

Z = np.array([0.7 + 0.4j, -0.3 + 1.2j, 1.1 - 0.6j])


def slope(f, arrays, dots, h=1e-3):
    """Directional derivative by differences of fourth order."""

    def at(h):
        return f(*[a + h * d for a, d in zip(arrays, dots, strict=True)])

    def difference(h):
        return (at(h) - at(-h)) / (2 * h)

    return (4 * difference(h / 2) - difference(h)) / 3


def check(f, *arrays, engine="reference", tol=1e-8):
    """Tangents against differences, adjoints against tangents, and products with the Hessian against differences of gradients."""
    rng = np.random.default_rng(0)
    wrt, dots = tuple(range(len(arrays))), tuple(directions(rng, a) for a in arrays)
    value, dot = sparsead.jvp(f, wrt, engine=engine)(*arrays, dots)
    np.testing.assert_allclose(value, f(*arrays), rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(dot, slope(f, arrays, dots), rtol=tol, atol=tol)
    value, pullback = sparsead.vjp(f, wrt, engine=engine)(*arrays)
    seed = directions(rng, value)
    bars = pullback(seed)
    assert all(np.asarray(bar).dtype == np.asarray(a).dtype for bar, a in zip(bars, arrays, strict=True))
    math.isclose(inner(seed, dot), sum(map(inner, bars, dots)), rel_tol=1e-12) or pytest.fail("adjoint")

    def loss(*arrays):
        z = f(*arrays)
        return (np.real(seed) * z.real + np.imag(seed) * z.imag + z.real * z.real / 2).sum()

    gradient = sparsead.grad(loss, wrt, engine=engine)
    product = sparsead.hvp(loss, wrt, engine=engine)(*arrays, dots)
    for k, found in enumerate(product):
        expected = slope(lambda *arrays, k=k: gradient(*arrays)[k], arrays, dots)
        np.testing.assert_allclose(found, expected, rtol=tol, atol=tol * (1 + np.abs(expected).max()))


# ---- elementwise


def complex_records():
    loops = {r.name: getattr(r.ufunc, "types", ()) for r in RECORDS}
    return [r for r in RECORDS if r.of_complex is not None and "D" * r.nin in [t.split("->")[0] for t in loops[r.name]]]


def test_there_are_rules_for_complex_operands():
    names = {r.name for r in complex_records()}
    assert names > {"add", "multiply", "divide", "power", "exp", "log", "sqrt", "sin", "arctanh", "absolute", "conjugate"}


@pytest.mark.parametrize("record", complex_records(), ids=lambda record: record.name)
def test_elementwise_ops(record):
    rng = np.random.default_rng(1)
    arrays = [rng.uniform(0.3, 1.4, 3) + 1j * rng.uniform(0.3, 1.4, 3) for _ in range(record.nin)]
    check(record.ufunc, *arrays, tol=1e-7)
    if record.nin == 2:
        check(record.ufunc, arrays[0], arrays[1].real, tol=1e-7)
        check(record.ufunc, arrays[0].real, arrays[1], tol=1e-7)


@pytest.mark.parametrize("engine", ENGINES)
def test_elementwise_ops_on_engines(engine):
    f = lambda x, y: np.exp(x) * np.conj(y) / (1 + abs(x) * y) + np.sqrt(y) ** (2 - 1j) - 1j * x.imag * y.real
    check(f, Z, Z[::-1] * 1j + 2, engine=engine)
    check(f, np.array([0.5, 1.5, 2.5]), Z, engine=engine)


def test_single_precision():
    z = Z.astype(np.complex64)
    gradient = sparsead.grad(lambda z: np.sum(abs(np.sin(z * 2j)) ** 2))(z)
    assert gradient.dtype == np.complex64
    exact = sparsead.grad(lambda z: np.sum(abs(np.sin(z * 2j)) ** 2))(Z)
    np.testing.assert_allclose(gradient, exact, rtol=1e-5)


def test_moduli_are_flat_at_the_origin():
    np.testing.assert_allclose(sparsead.grad(lambda z: np.sum(abs(z)))(np.array([0j, 3 + 4j])), [0, 0.6 + 0.8j], atol=0)


# ---- arrays


def real_and_imaginary(z):
    return z.real * 2 + np.imag(z) ** 2


def into_parts(z):
    w = np.zeros(3, complex)
    w.real = z.imag
    w.imag[1:] = z.real[:-1] ** 2
    w.real[[0, 2]] *= 3
    w.imag[w.real > 0.5] += z[0].real
    return w * z


def casts(z):
    w = z.real.astype(complex)
    w[0] = 2
    w[1:] = z.real[:2]
    return w * (z * 1j).astype(np.complex64).astype(complex) if z.dtype == np.complex64 else w * z


def through_scratch(z):
    work = np.empty((2, 3), complex)
    np.multiply(z, 1j, out=work[0])
    np.add(z, z.conj(), out=work[1])
    work[:, ::2] *= z[1]
    work += z.real
    return work.T @ np.array([1j, 2])


def reductions(z):
    return np.array([z.sum(), np.prod(z), z.mean(), np.cumsum(z)[1], np.cumprod(z)[2], np.dot(z, z), np.vdot(z, 2 * z)])


def products(z):
    a = np.outer(z, z.conj()) + np.diag(1j * z) + 4 * np.eye(3)
    return np.linalg.solve(a, z) + a @ z + np.einsum("ij,j,i->i", a, z, z) + np.linalg.inv(a)[0]


def determinants(z):
    a = np.outer(z, z.conj()) + np.diag(1j * z) + 4 * np.eye(3)
    return np.array([np.linalg.det(a), np.linalg.det(np.stack([a, a * z])).sum()])


A = sparse.csr_array((np.array([1j, 2.0, 3 - 1j, 0.5]), [0, 2, 1, 1], [0, 2, 3, 4]), (3, 3))


def sparse_products(z):
    return A @ (z * z) + A.T @ np.conj(z) + z.real @ A


def gathered(z):
    w = z[[2, 0, 0]] * 1j
    np.add.at(w, [0, 0, 1], z)
    w[[True, False, True]] = z[1] * w[1]
    np.add.at(w.imag, [1, 1], z.real[:2])
    return np.where(z.real > 0, w, z * w) * np.iscomplex(z) + np.isreal(z)


def joined(z):
    return np.concatenate([z, np.roll(z, 1) * z.real, np.stack([z, z.conj()]).ravel(), [z[0], 1j, 2 * z[1].imag]])


def angles(z):
    return np.angle(z) + np.angle(1j * z, deg=True) * abs(z)


def numbers(z):
    c = complex(1, 2) * z[0] + (z[1] - 1).conjugate()
    r, t = abs(c), np.angle(c)
    return np.array([c * c.real, r * np.exp(1j * t), c**2, 1 / c, 2**c, -c, c.imag + 0j])


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("f", [real_and_imaginary, into_parts, casts, through_scratch, reductions, products, determinants,
                               sparse_products, gathered, joined, angles, numbers])  # fmt: skip
def test_functions_of_arrays(f, engine):
    check(f, Z, engine=engine, tol=1e-7)


def test_sparse_entries():
    gradient = sparsead.grad(lambda a, z: (a @ z).imag.sum())(A, Z)
    np.testing.assert_allclose(gradient.data, 1j * np.conj(Z[[0, 2, 1, 1]]))


def test_check_derivatives():
    f = lambda z, x: (np.exp(z * x) * z.conj()).imag.sum()
    x = np.array([0.2, 0.5, 0.7])
    assert sparsead.testing.check_derivatives(f, Z, x, wrt=(0, 1)).order == 2
    sparsead.testing.check_derivatives(lambda z: z**2 * abs(z), 1 + 2j)
    plain = sparsead.black_box(lambda re, im: re * im, jac=lambda re, im: (im, -re))
    with pytest.raises(sparsead.testing.DerivativeError):
        sparsead.testing.check_derivatives(lambda z: plain(z.real, z.imag), 1 + 2j)


def test_steps():
    def f(z, r):
        for k in sparsead.steps(20):
            z = z * np.exp(1j * r[k % 2]) + 0.1 * z.conj()
            r = r * abs(z[0])
            z.imag[1] += r[0]
        return z * r.sum()

    check(f, Z, np.array([0.2, 0.4]), engine="vm", tol=1e-6)
    assert sparsead.testing.check_loop(f, Z.copy(), np.array([0.2, 0.4])).loops == 1


def parts_of_rows(z):
    w = np.zeros((12, 3), complex)
    for k in sparsead.steps(12):
        w[k] = z * (k + 1)
        w.imag[k, 1:] *= z.real[:-1]
        w.real[k] = w[k].imag + w.real[k] ** 2
    return (w * w.conj()).real.sum() * 1e-3 + w[3] * w.imag[5]


def along_rows(z):
    u, rows = z.copy(), np.arange(36).reshape(12, 3) * (0.01 + 0.02j)
    for k, row in zip(sparsead.steps(12), rows, strict=True):
        u = u * np.exp(row)
        u[k % 3] += 0.1 * u[0].conj()
        u.real[0] = u.imag[1]
    return u


def swapped(z):
    u, v = z.copy(), np.empty_like(z)
    for k in sparsead.steps(15):
        v[1:-1] = u[1:-1] + 0.1j * (u[2:] - 2 * u[1:-1] + u[:-2])
        v[0] = v[-1] = u[1] if k % 7 == 0 else 0.5
        u, v = v, u
    return u * z


def newton(z):
    x = z[0]
    for _ in sparsead.steps(None, until=lambda: abs(x * x - z[1]) < 1e-14):  # noqa: B023
        x = 0.5 * (x + z[1] / x)
    return x


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("f", [parts_of_rows, along_rows, swapped, newton])
def test_loops(f, engine):
    check(f, Z, engine=engine, tol=1e-6)


def test_real_functions_may_be_complex_inside():
    f = lambda x: (np.exp(1j * x) * x[::-1]).imag
    x = np.array([0.3, 0.8])
    expected = [[0.8 * np.cos(0.3), np.sin(0.3)], [np.sin(0.8), 0.3 * np.cos(0.8)]]
    np.testing.assert_allclose(sparsead.jacobian(f)(x).toarray(), expected)
    check(f, x)


def test_captured_numbers_and_arrays():
    weight, factor = Z * 2, 1 + 2j
    f = lambda x: np.sum(abs(weight * x + factor) ** 2)
    x = np.array([1.0, 2.0, 3.0])
    expected = 2 * (weight.conj() * (weight * x + factor)).real
    np.testing.assert_allclose(sparsead.grad(f)(x), expected)
    weight *= 1j
    np.testing.assert_allclose(sparsead.grad(f)(x), 2 * (weight.conj() * (weight * x + factor)).real)


def test_arguments_are_live():
    gradient = sparsead.grad(lambda z: (z * z).real)
    assert gradient(1 + 2j) == 2 - 4j
    assert gradient(3 - 1j) == 6 + 2j
    assert gradient._state.traces == 1
    assert gradient(3.0) == 6.0


# ---- what NumPy does


def test_what_arrays_tell():
    def f(z, x):
        assert np.iscomplexobj(z) and not np.isrealobj(z) and not np.iscomplexobj(x) and np.isrealobj(x)
        assert np.iscomplexobj(z[0]) and isinstance(z[0], complex) and z.real.dtype == x.dtype == float
        assert z.real.base is not None and x.real is x and not x.imag.any() and z.T.dtype == complex
        with pytest.raises(TypeError, match="imaginary part"):
            x.imag = 1
        return (z * x).sum().real

    assert sparsead.grad(f, 1)(Z, np.ones(3)).tolist() == Z.real.tolist()


@pytest.mark.parametrize("number", [np.complex64(1 + 2j), np.complex128(1 + 2j)], ids=["complex64", "complex128"])
def test_complex_numbers_lose_their_imaginary_parts_in_real_arrays(number):
    def f(x):
        y = 2 * x
        y[0] = number
        return np.sum(y * x)

    x = np.array([1.0, 2.0, 3.0])
    with pytest.warns(np.exceptions.ComplexWarning):
        value, by_x = sparsead.value_and_grad(f)(x)
    assert value == 1 + 8 + 18 and by_x.tolist() == [1, 8, 12]


def test_stores_follow_numpy():
    def f(z, x):
        with pytest.warns(np.exceptions.ComplexWarning):
            x[:2] = z[:2]
        with pytest.raises(TypeError):
            x[0] = 1j
        with pytest.raises(np._core._exceptions._UFuncOutputCastingError):
            x += z
        z += x
        return np.sum(x * x) + (z * z).imag.sum()

    x = np.array([1.0, 2.0, 3.0])
    by_z, by_x = sparsead.grad(f, (0, 1))(Z, x)
    # z -> z + Re z, twice the real part, in the first two elements
    moved = np.where([True, True, False], Z + Z.real, Z + x)
    want = 2 * moved.imag * np.array([2, 2, 1]) + 2j * moved.real
    want[:2] += 2 * Z.real[:2]
    np.testing.assert_allclose(by_z, want)
    np.testing.assert_allclose(by_x, [0, 0, 6 + 2 * moved.imag[2]])


def test_signs_of_zeros_in_constants():
    f = lambda z, c: (np.sqrt(z * 0 + complex(-1, 0.0)) + np.sqrt(z * 0 + complex(-1, -0.0)) * c).imag.sum()
    assert sparsead.value_and_grad(lambda z: f(z.real, 1.0 + z.real))(np.ones(1, complex))[0] == f(np.ones(1), 2.0)


# ---- conventions


def test_gradients_hold_both_partials():
    z = np.array([3.1 + 2.7j])
    assert sparsead.grad(lambda z: z.real.sum())(z) == 1
    assert sparsead.grad(lambda z: z.imag.sum())(z) == 1j
    np.testing.assert_allclose(sparsead.grad(lambda z: np.sum(abs(z) ** 2))(z), 2 * z)
    value, by = sparsead.value_and_grad(lambda z: abs(z))(3 + 4j)
    assert value == 5 and abs(by - 0.6 - 0.8j) < 1e-15 and type(by) is np.complex128


def test_seeds_and_tangents():
    square, z = lambda z: z * z, 3.1 + 2.7j
    for seed, bar, dot in ((1, 6.2 - 5.4j, 6.2 + 5.4j), (1j, 5.4 + 6.2j, -5.4 + 6.2j)):
        np.testing.assert_allclose(sparsead.vjp(square)(z)[1](seed), bar)
        np.testing.assert_allclose(sparsead.jvp(square)(z, seed)[1], dot)
        np.testing.assert_allclose(sparsead.linearize(square)(z)[1](seed), dot)


def test_derivatives_of_derivatives():
    inner_gradient = sparsead.grad(lambda z: (z**3).real)
    z = 1 + 2j
    np.testing.assert_allclose(inner_gradient(z), np.conj(3 * z * z))
    np.testing.assert_allclose(sparsead.grad(lambda z: inner_gradient(z).real)(z), np.conj(6 * z))
    np.testing.assert_allclose(sparsead.grad(lambda z: inner_gradient(z.imag * 1j).imag)(z), 0, atol=1e-12)


# ---- refusals


NO_RULE = {
    "maximum": lambda z: np.maximum(z, 1j * z).real.sum(),
    "sign": lambda z: np.sign(z).real.sum(),
    "max": lambda z: z.max().real,
    "accumulate": lambda z: np.maximum.accumulate(z)[1].imag,
    "slogdet": lambda z: np.linalg.slogdet(np.outer(z, z) + np.eye(3))[1],
}


@pytest.mark.parametrize("name", NO_RULE)
def test_what_has_no_rule_is_named(name):
    with pytest.raises(NotImplementedError, match=r"(?s)complex.*test_complex\.py"):
        sparsead.grad(NO_RULE[name])(Z)


def test_python_makes_no_complex_numbers():
    with pytest.raises(sparsead.TraceError, match=r"x \+ 1j \* y"):
        sparsead.grad(lambda x: abs(complex(x[0], x[1])))(np.ones(2))


@pytest.mark.parametrize("wrap", [
    pytest.param(lambda f: sparsead.rule(f, partials=(np.sign,)), id="rule"),
    pytest.param(lambda f: sparsead.black_box(f, jac="fd"), id="black_box"),
    pytest.param(lambda f: lambda z: sparsead.root(lambda u: u * u - f(z), np.ones(3)), id="root"),
])  # fmt: skip
def test_functions_of_the_user_are_real(wrap):
    wrapped = wrap(lambda z: abs(z))
    with pytest.raises(NotImplementedError, match="complex"):
        sparsead.grad(lambda z: wrapped(z).sum())(Z)


def test_complex_values_have_no_gradient():
    for f in (lambda z: z[0] * 2, lambda z: (z * 1j).sum()):
        with pytest.raises(TypeError, match="complex number, which has no gradient"):
            sparsead.grad(f)(Z)


def test_tangents_and_seeds_of_real_numbers_are_real():
    with pytest.raises(TypeError, match="tangent for 'x' is complex"):
        sparsead.jvp(lambda x: x * 1j)(np.ones(2), np.ones(2, complex))
    with pytest.raises(TypeError, match="seed is complex"):
        sparsead.vjp(abs)(Z)[1](np.ones(3, complex))


@pytest.mark.parametrize("make", [sparsead.jacobian, sparsead.hessian])
def test_jacobians_are_real(make):
    for f, z in ((lambda z: np.sum(abs(z)), Z), (lambda x: (1j * x).sum(), np.ones(2))):
        with pytest.raises(NotImplementedError, match="complex"):
            make(f)(z)
