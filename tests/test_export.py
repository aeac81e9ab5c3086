"""Derivatives written as C: compiled by the machine's compiler, they give what they give in Python."""

import ctypes
import re
import shutil
import subprocess
import threading
from itertools import count

import numpy as np
import pytest
from numpy.testing import assert_array_equal, assert_array_max_ulp

import sparsead
from engines import COMPILER, needs_compiler
from loop_tapes import RandomBranches, RandomLoop
from sized_tapes import SizedTape
from sparsead.engine import vm
from sparsead.engine._simd import choose_isa, isa
from sparsead.engine.native.export import Entry, Export, Parameter, Stage, write
from sparsead.tape._memory import blank
from sparsead.transform._adjoint import adjoint

GFORTRAN = shutil.which("gfortran")
FLAGS = ["-std=c99", "-O2", "-Wall", "-Werror"]
CC = COMPILER.command if COMPILER else ()
pytestmark = needs_compiler
NUMBER = count()
ROLLED = re.compile(r"for \(intptr_t j\d+ = 0")  # of a run of numbers


class Exported:
    """An exported function, compiled and loaded.

    ``function(*inputs, outputs)`` gives its status; floats are passed by value, arrays by address.
    """

    def __init__(self, derivative, folder, name="exported", flags=FLAGS):
        self._load(sparsead.export_c(derivative, name, folder), folder, name, flags)

    @classmethod
    def of_tape(cls, tape, folder):
        """A tape as a function."""
        types = [[tape.type(v) for v in values] for values in (tape.inputs, tape.outputs)]
        inputs, outputs = ([Parameter(f"{'xz'[k]}{j}", t.dtype, t.shape, t.strides, "a value", output=k == 1)
                            for j, t in enumerate(found)] for k, found in enumerate(types))  # fmt: skip
        self = cls.__new__(cls)
        entry = Entry("exported", "a tape", [Stage(tape, inputs, outputs)], [*inputs, *outputs])
        self._load(write(Export(entry), folder, {}), folder, "exported", ["-std=gnu99", "-O0", "-Wall", "-Werror"])
        return self

    def _load(self, paths, folder, name, flags):
        self.paths = paths
        self.header = self.paths[1].read_text()
        library = folder / f"{name}_{next(NUMBER)}.so"
        command = [*CC, *flags, "-shared", "-fPIC", "-o", str(library), str(self.paths[0]), "-lm"]
        built = subprocess.run(command, capture_output=True, text=True)
        assert built.returncode == 0, built.stderr
        self.library, self.name = ctypes.CDLL(str(library)), name
        self.function, size = getattr(self.library, name), getattr(self.library, f"{name}_workspace_size")
        size.restype = ctypes.c_size_t
        self.size = size()

    def __call__(self, *arguments, workspace=None):
        workspace = np.full(self.size, 0xAB, np.uint8) if workspace is None else workspace
        given = [a.ctypes.data_as(ctypes.c_void_p) if isinstance(a, np.ndarray) else ctypes.c_double(a) for a in arguments]
        return self.function(*given, workspace.ctypes.data_as(ctypes.c_void_p))

    def array(self, key, n):
        return np.array((ctypes.c_int32 * n).in_dll(self.library, f"{self.name}_{key}"))

    def number(self, key):
        return ctypes.c_int32.in_dll(self.library, f"{self.name}_{key}").value


def brusselator(n):
    alpha, work = 0.1 * n**2, np.zeros((n, n))

    def laplacian(w, out):
        np.multiply(w, -4.0, out=out)
        for a, b in ((np.s_[1:], np.s_[:-1]), (np.s_[:-1], np.s_[1:]), (np.s_[0], np.s_[-1]), (np.s_[-1], np.s_[0])):
            out[a] += w[b]
            out[:, a] += w[:, b]

    def rhs(t, y, dy):
        u, v = y.reshape(2, n, n)
        du, dv = dy.reshape(2, n, n)
        laplacian(u, du)
        laplacian(v, dv)
        dy *= alpha
        np.multiply(u, u, out=work)
        np.multiply(work, v, out=work)
        du += 1 + work - 4.4 * u
        dv += 3.4 * u - work
        if t >= 1.1:
            du[2:4, 1] += 5 * v[2:4, 1]

    return rhs


@pytest.mark.parametrize("method", ["direct", "column", "row"])
@pytest.mark.parametrize("form", ["csr", "csc"])
def test_brusselator_jacobian(tmp_path, method, form):
    n = 12
    y = np.random.default_rng(0).uniform(0.5, 2, 2 * n * n)
    jac = sparsead.jacobian(brusselator(n), wrt="y", of="dy", method=method, format=form).prepare(0.0, y, np.empty_like(y))
    c = Exported(jac, tmp_path)
    expected = jac(0.0, y, np.empty_like(y))
    values = np.full(expected.nnz, np.nan)
    assert c(0.5, y, values) == 0
    assert_array_equal(values, expected.data)
    assert (c.number("rows"), c.number("columns"), c.number("nnz")) == (*expected.shape, expected.nnz)
    assert_array_equal(c.array("indptr", len(expected.indptr)), expected.indptr)
    assert_array_equal(c.array("indices", expected.nnz), expected.indices)


def test_guards_on_both_paths(tmp_path):
    n = 6
    y = np.random.default_rng(0).uniform(0.5, 2, 2 * n * n)
    jac = sparsead.jacobian(brusselator(n), wrt="y", of="dy")
    for t, other in ((0.0, 2.0), (2.0, 0.0)):
        expected = jac(t, y, np.empty_like(y))
        c = Exported(jac, tmp_path, f"at_{t:.0f}")
        values = np.full(expected.nnz, -7.0)
        assert c(other, y, values) == 1
        assert_array_equal(values, -7.0)
        assert c(t, y, values) == 0
        assert_array_equal(values, expected.data)
        assert "if t >= 1.1:" in c.header


def burgers(u, nu, steps=40):
    new = np.empty_like(u)
    for k in sparsead.steps(steps):
        new[0] = new[-1] = 0.0
        new[1:-1] = u[1:-1] - 0.1 * u[1:-1] * (u[2:] - u[:-2]) + nu * (u[2:] - 2 * u[1:-1] + u[:-2])
        u, new = new, u
    return u @ u


@pytest.mark.parametrize("n", [50, 3000])
def test_burgers_in_a_loop(tmp_path, n):
    u = np.sin(np.linspace(0, np.pi, n))
    gradient = sparsead.value_and_grad(burgers, wrt=(0, 1)).prepare(u, 0.2)
    c = Exported(gradient, tmp_path)
    value, (by_u, by_nu) = gradient(u, 0.2)
    found, u_bar, nu_bar = np.empty(()), np.empty(n), np.empty(())
    assert c(u, 0.2, found, u_bar, nu_bar) == 0
    np.testing.assert_allclose(found, value, rtol=1e-13)  # the last step is a product of vectors, which BLAS adds up in its way
    assert_array_equal(u_bar, by_u)
    assert_array_equal(nu_bar, by_nu)


def seidel(a, f):
    for t in range(3):
        for i in range(1, 7):
            for j in range(1, 7):
                a[i, j] = 0.25 * (a[i - 1, j] + a[i, j - 1] + a[i + 1, j] + a[i, j + 1]) + f[i, j] * a[i, j]
    return np.sum(a)


def recurrence(x, a):
    s = x[0]
    for k in sparsead.steps(1, len(x)):
        s = a * s + np.sin(x[k]) * s
        x[k] = s
    return x[-1] * s


def test_scalar_code(tmp_path):
    rng = np.random.default_rng(0)
    a, f = rng.normal(size=(8, 8)), 0.1 * rng.normal(size=(8, 8))
    gradient = sparsead.grad(seidel, wrt=(0, 1)).prepare(a, f)
    c = Exported(gradient, tmp_path)
    found = np.empty_like(a), np.empty_like(f)
    assert c(a, f, *found) == 0
    assert_array_equal(found, gradient(a, f))


@pytest.mark.parametrize("pattern", [True, False])
def test_long_scalar_code_is_rolled_up_or_cut_into_pieces(pattern, tmp_path):
    rng = np.random.default_rng(0)
    places = [(k - 1, k, k + 7) for k in range(1, 540)] if pattern else rng.integers(20, size=(540, 3)).tolist()

    def f(x):
        for a, b, c in places:
            x[b % 20] = x[a % 20] * x[b % 20] + 0.5 * x[c % 20]
        return x[3]

    x = rng.uniform(-0.9, 0.9, 20)
    gradient = sparsead.grad(f).prepare(x)
    c = Exported(gradient, tmp_path, flags=["-std=gnu99", "-O1"])
    text = c.paths[0].read_text()
    assert (ROLLED.search(text) is not None, text.count("static int loop_")) == (pattern, 3 if pattern else 4)
    found = np.empty_like(x)
    assert c(x, found) == 0
    assert_array_equal(found, gradient(x))


def test_guards_of_a_long_scalar_code(tmp_path):
    """In loops as well: the number of the one that does not hold is that of its line."""

    def f(x):
        y = x[0]
        for k in range(1, len(x)):
            y = 0.5 * y + x[k] if x[k] > 0.25 else y - x[k]
        return y

    x = np.random.default_rng(0).uniform(0.3, 0.9, 600)
    gradient = sparsead.grad(f).prepare(x)
    c, found = Exported(gradient, tmp_path), np.full_like(x, 7)
    assert ROLLED.search(c.paths[0].read_text())
    assert c(x, found) == 0
    assert_array_equal(found, gradient(x))
    x[400], found[:] = 0.1, 7
    assert c(x, found) > 0 and np.all(found == 7)


def test_scalar_loop(tmp_path):
    x = np.random.default_rng(0).normal(size=60)
    gradient = sparsead.value_and_grad(recurrence, wrt=(0, 1)).prepare(x, 0.3)
    c = Exported(gradient, tmp_path)
    value, (x_bar, a_bar) = gradient(x, 0.3)
    found = np.empty(()), np.empty_like(x), np.empty(())
    assert c(x, 0.3, *found) == 0
    for a, b in zip(found, (value, x_bar, a_bar), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-15)


@pytest.fixture
def vector_functions(monkeypatch):
    """sparsead's own functions, as a compiler without special instructions compiles them."""
    before = isa()
    monkeypatch.setattr(sparsead.config, "vector_functions", True)
    choose_isa("baseline")
    yield
    choose_isa(before)


FUNCTIONS = {
    "exp": np.exp, "expm1": np.expm1, "log": lambda x: np.log(np.abs(x)), "log1p": lambda x: np.log1p(x * x),
    "sin": lambda x: np.sin(1e6 * x),
    "cos": np.cos, "tan": np.tan, "tanh": np.tanh, "sinh": np.sinh, "cosh": np.cosh, "arctan": np.arctan,
    "power": lambda x: np.abs(x) ** 1.7, "square": lambda x: x**2, "log10": lambda x: np.log10(np.abs(x)),
    "log2": lambda x: np.log2(np.abs(x)), "arcsin": lambda x: np.arcsin(np.tanh(x)), "arccos": lambda x: np.arccos(np.tanh(x)),
}  # fmt: skip
OTHERS = {
    "exp2": np.exp2, "cbrt": np.cbrt, "arcsinh": np.arcsinh, "arccosh": lambda x: np.arccosh(1.5 + x * x),
    "hypot": lambda x: np.hypot(x, 2.0),
    "arctanh": lambda x: np.arctanh(x / 10), "arctan2": lambda x: np.arctan2(x, 0.7), "logaddexp": lambda x: np.logaddexp(x, 0.3),
    "logaddexp2": lambda x: np.logaddexp2(x, 0.3),
    "remainder": lambda x: np.remainder(x, 0.7), "fmod": lambda x: np.fmod(x, -0.7),
    "floor_divide": lambda x: x * np.floor_divide(x, -0.7), "clip": lambda x: np.clip(x, -1, 1), "sign": lambda x: x * np.sign(x),
    "maximum": lambda x: np.maximum(x, 0.3), "fmin": lambda x: np.fmin(x, 0.3), "copysign": lambda x: np.copysign(x, -1.0),
    "floor": lambda x: x * np.floor(x), "rint": lambda x: x * np.rint(x), "heaviside": lambda x: x * np.heaviside(x, 0.5),
    "degrees": np.degrees, "radians": np.radians, "isfinite": lambda x: np.where(np.isfinite(x), x, 0.0),
    "modf": lambda x: np.modf(x)[0], "where": lambda x: np.where(x > 0, x * x, -x), "select": lambda x: np.abs(x) * (x > 0.5),
}  # fmt: skip


def rows_of(functions):
    """A function that gives the result of each of `functions` in a row."""

    def f(x):
        out = np.empty((len(functions), x.size), x.dtype)
        for k, function in enumerate(functions.values()):
            out[k] = function(x)
        return out

    return f


def tangents(folder, functions, x):
    """By name: (value, its tangent) in C, and in Python."""
    f, dot = rows_of(functions), np.random.default_rng(1).normal(size=x.shape).astype(x.dtype)
    d = sparsead.jvp(f).prepare(x)
    c = Exported(d, folder)
    found = np.empty((2, len(functions), x.size), x.dtype)
    assert c(x, dot, *found) == 0
    expected = np.stack(d(x, dot))
    return {name: (found[:, k], expected[:, k]) for k, name in enumerate(functions)}


def test_own_functions(tmp_path, vector_functions):
    x = np.concatenate([np.random.default_rng(0).normal(size=333) * 2, [1e-300, -1e-9, 40.0]])
    for name, (found, expected) in tangents(tmp_path, FUNCTIONS, x).items():
        assert_array_equal(found, expected, err_msg=name)


@pytest.mark.parametrize("dtype", [float, np.float32])
def test_functions_of_the_library(tmp_path, dtype):
    x = (np.random.default_rng(0).normal(size=333) * 2).astype(dtype)
    for name, (found, expected) in tangents(tmp_path, OTHERS, x).items():
        try:
            assert_array_max_ulp(found[0], expected[0], 2)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from None
        np.testing.assert_allclose(found[1], expected[1], rtol=1e-12 if dtype is float else 1e-4, err_msg=name)


def run(command):
    """What a program prints."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def printed(text):
    """By name of an output: its sum, and the first numbers."""
    rows = [line.replace(",", "").replace(":", "").split() for line in text.splitlines()]
    return {row[0]: np.array([float(x) for x in row[1:] if x not in ("sum", "first")]) for row in rows}


@pytest.mark.parametrize("language", ["c", "f90"])
@pytest.mark.parametrize("n", [6, 60])  # large arguments are repeated numbers in the examples
def test_examples_in_c_and_fortran(tmp_path, language, n):
    if language == "f90" and GFORTRAN is None:
        pytest.skip("no gfortran: the example in Fortran cannot be compiled")
    y = np.random.default_rng(0).uniform(0.5, 2, 2 * n * n)
    jac = sparsead.jacobian(brusselator(n), wrt="y", of="dy").prepare(0.25, y, np.empty_like(y))
    source, _, example, fortran = sparsead.export_c(jac, "brusselator_jac", tmp_path, examples=True)
    assert [p.name for p in (example, fortran)] == ["brusselator_jac_example.c", "brusselator_jac_example.f90"]
    if language == "c":
        run([*CC, *FLAGS, "-o", tmp_path / "example", example, source, "-lm"])
    else:
        run([*CC, *FLAGS, "-c", "-o", tmp_path / "source.o", source])
        run([GFORTRAN, "-Wall", "-Werror", "-o", tmp_path / "example", fortran, tmp_path / "source.o", "-lm"])
    given = y if y.size <= 4096 else np.resize(y[:16], y.size)
    data = jac(0.25, given, np.empty_like(y)).data
    found = printed(run([tmp_path / "example"]))["values"]
    np.testing.assert_allclose(found, [data.sum(), *data[:4]], rtol=1e-9)
    assert_array_equal(found[1:], data[:4])


@pytest.mark.skipif(GFORTRAN is None, reason="no gfortran: the example in Fortran cannot be compiled")
def test_names_in_fortran(tmp_path):
    def f(sum, Sum, real):
        return np.sum(sum * Sum * Sum) * real

    gradient = sparsead.value_and_grad(f, wrt=(0, 1)).prepare(np.array([1.0, np.nan, -np.inf]), np.arange(3.0), 2.0)
    source, *_, fortran = sparsead.export_c(gradient, "value_of_all_of_these_with_a_long_name_that_fits", tmp_path, examples=True)
    run([*CC, *FLAGS, "-c", "-o", tmp_path / "source.o", source])
    run([GFORTRAN, "-o", tmp_path / "example", fortran, tmp_path / "source.o", "-lm"])
    found = printed(run([tmp_path / "example"]))
    assert_array_equal(found["sum_bar"], [10, 0, 2, 8])
    assert np.isnan(found["value"]).all()


def same(found, expected, rtol=0.0):
    if rtol:
        np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol)
    else:
        assert_array_equal(found, expected)


def gradients_agree(folder, f, x, rtol=0.0, name="exported"):
    """The gradient of `f` by its only argument."""
    gradient = sparsead.grad(f).prepare(x)
    c = Exported(gradient, folder, name)
    found = np.full_like(x, np.nan)
    assert c(x, found) == 0
    same(found, gradient(x), rtol)
    return c


RNG = np.random.default_rng(3)
BIG = RNG.normal(size=(40, 40))
W, INDEX = RNG.normal(size=(7, 5)), RNG.integers(-40, 40, 90)
KERNELS = {
    "sums": (lambda x: np.sum(x.reshape(8, 5).sum(axis=0) ** 2) * np.mean(x), 0.0),
    "long sums": (lambda x: np.sum(np.outer(x, x)[3:, 2:] ** 2) + np.sum(np.outer(x, x * x), axis=1)[2] ** 2, 0.0),
    "gather": (lambda x: np.sum(x[INDEX] ** 3), 0.0),
    "scatter": (lambda x: put(x), 0.0),
    "mask": (lambda x: masked(x), 0.0),
    "matmul": (lambda x: np.sum((W @ x.reshape(5, 8)) ** 2), 1e-12),
    "einsum": (lambda x: np.sum(np.einsum("ij,jk,kl->il", x.reshape(5, 8), np.ones((8, 3)), W[:3]) ** 2), 1e-12),
    "products": (lambda x: np.sum(np.outer(x, x) @ (BIG @ np.outer(x, x[:9]))), 1e-12),
    "vectors": (lambda x: (x @ x) * (W[:, 0] @ x[:7]), 1e-12),
    "scan": (lambda x: np.sum(np.cumsum(x) ** 2) + np.cumprod(x[:6])[-1], 1e-12),
    "extrema": (lambda x: np.max(x) ** 2 + np.sum(x.reshape(8, 5).min(axis=1) ** 2) + np.prod(x[:5]), 1e-12),
    "reversed": (lambda x: np.sum(x[::-2] * x[::2]), 0.0),
    "roll": (lambda x: np.sum(np.roll(x, 3) * x**2), 0.0),
    "float32": (lambda x: np.sum((x.astype(np.float32) * np.float32(0.1)) ** 2), 0.0),
    "whole numbers": (lambda x: np.sum(x * (np.arange(40) // 3 % 4)), 0.0),
    "batches": (lambda x: np.sum(np.matmul(x.reshape(2, 4, 5), x.reshape(2, 5, 4)) ** 2), 1e-12),
    "norm": (lambda x: np.linalg.norm(x), 1e-12),
    "sorted": (lambda x: np.sum(x[np.array([3, 1, 2])] * np.tri(3) @ x[:3]), 1e-12),
}  # fmt: skip


def put(x):
    z = np.zeros(60)
    z[INDEX[:50]] = x[:25].repeat(2)
    z[INDEX[50:]] += x
    np.add.at(z, INDEX[:40], x * x)
    return np.sum(z * z)


def masked(x):
    z = x * x
    z[x < 0] = 0.5
    return np.sum(z * np.where(x > 0.3, x, 1.0))


@pytest.mark.parametrize("name", KERNELS)
def test_gradients(tmp_path, name):
    f, rtol = KERNELS[name]
    gradients_agree(tmp_path, f, RNG.normal(size=40), rtol)


def test_large_kernels_are_summed_in_the_same_chunks(tmp_path):
    def f(x):
        y = np.zeros_like(x)
        y[1:-1] += x[:-2] * x[2:] + x[1:-1]
        y[2:] += y[:-2] * 0.5
        return np.sum(y * x)

    gradients_agree(tmp_path, f, RNG.normal(size=300_001))


def test_strips_of_kernels(tmp_path):
    def f(u):
        for _ in range(6):
            new = np.zeros_like(u)
            around = u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2]
            new[1:-1, 1:-1] = u[1:-1, 1:-1] + 0.1 * (around - 4 * u[1:-1, 1:-1]) ** 2
            u = new
        return np.sum(u * u)

    c = gradients_agree(tmp_path, f, RNG.normal(size=(400, 300)))
    assert "run_strips(&strips" in c.paths[0].read_text()


def test_hessian_products_and_pullbacks(tmp_path):
    def f(x, a):
        return a * np.sum((x[1:] - x[:-1] ** 2) ** 2) + np.sum(x**4)

    x, v = RNG.normal(size=(2, 15))
    hessian = sparsead.hessian(f).prepare(x, 2.0)
    expected = hessian(x, 1.5)
    values = np.empty(expected.nnz)
    assert Exported(hessian, tmp_path, "h")(x, 1.5, values) == 0
    assert_array_equal(values, expected.data)
    hvp = sparsead.hvp(f)
    expected = hvp(x, 1.5, v)
    found = np.empty_like(x)
    assert Exported(hvp, tmp_path, "hv")(x, 1.5, v, found) == 0
    assert_array_equal(found, expected)

    def g(x, a):
        x[1:] *= a * x[:-1]
        return x, np.sum(x)

    vjp = sparsead.vjp(g, wrt=("x", "a"))
    value, pullback = vjp(x, 1.5)
    seeds = v, np.float64(0.3)
    c = Exported(vjp, tmp_path, "back")
    found = np.empty(15), np.empty(()), np.empty(15), np.empty(())
    assert c(x, 1.5, v, np.array(0.3), *found) == 0
    for a, b in zip(found, (*value, *pullback(seeds)), strict=True):
        assert_array_equal(a, b)


def test_sweeps_of_several_batches(tmp_path, monkeypatch):
    monkeypatch.setattr("sparsead.derivatives.sweeps.LANES_BYTES", 2000)
    x = RNG.normal(size=100)
    for method in ("column", "row"):
        jac = sparsead.jacobian(lambda x: x[2:] * x[:-2] + x[1:-1] ** 2, method=method).prepare(x)
        assert ("2 sweeps" if method == "column" else "2 reverse sweeps") in jac.report()
        expected = jac(x)
        values = np.empty(expected.nnz)
        assert Exported(jac, tmp_path, f"by_{method}")(x, values) == 0
        assert_array_equal(values, expected.data)


def test_arguments_in_other_layouts(tmp_path):
    def f(x, y):
        return np.sum(x * np.arange(12.0).reshape(3, 4)) * y @ y

    x, y = np.asfortranarray(RNG.normal(size=(3, 4))), RNG.normal(size=10)
    gradient = sparsead.grad(f, wrt=(0, 1)).prepare(x, y[::2])
    c = Exported(gradient, tmp_path)
    assert "3 x 4, Fortran order (8, 24)" in c.header
    assert "memory of y from byte 0, (5,), strides (16,), float64, 9" in c.header
    by_x, by_y = np.empty_like(x), np.empty(9)
    assert c(x, y, by_x, by_y) == 0
    expected_x, expected_y = gradient(x, y[::2])
    np.testing.assert_allclose(by_x, expected_x, rtol=1e-14)
    np.testing.assert_allclose(by_y[::2], expected_y, rtol=1e-14)


def test_captured_arrays_and_whole_numbers(tmp_path):
    small, large, count = RNG.normal(size=20), RNG.normal(size=10_000), np.array([3, 1, 2])

    def f(x, n, scale=2):
        return np.sum(small * x[:20]) * scale + np.sum(large * x**n) + x[count[1]]

    x = RNG.normal(size=10_000)
    gradient = sparsead.grad(f).prepare(x, 3)
    c = Exported(gradient, tmp_path)
    assert "const double *large" in c.header and "const double *small" not in c.header
    assert "captured, with its numbers in the source: small" in c.header
    assert "n = 3" in c.header
    found = np.empty_like(x)
    assert c(x, 2 * large, found) == 0
    expected = gradient(x, 3)
    large *= 2
    np.testing.assert_allclose(found, gradient(x, 3), rtol=1e-14)
    assert not np.allclose(expected, found)


def test_empty_arrays(tmp_path):
    gradient = sparsead.value_and_grad(lambda x, a: np.sum(x * x) + a).prepare(np.empty(0), 1.0)
    c = Exported(gradient, tmp_path)
    value = np.empty(())
    assert c(np.empty(0), 2.5, value, np.empty(0)) == 0
    assert value == 2.5
    jac = sparsead.jacobian(lambda x: np.sign(x)).prepare(np.ones(3))
    c = Exported(jac, tmp_path, "zero")
    assert c(np.ones(3), np.empty(0)) == 0
    assert (c.number("nnz"), list(c.array("indptr", 4))) == (0, [0, 0, 0, 0])


def test_an_index_out_of_bounds_leaves_the_outputs(tmp_path):
    def f(x, where):
        return np.sum(x[np.floor(where).astype(int)] ** 2) + np.sum(x)

    x = RNG.normal(size=9)
    gradient = sparsead.grad(f).prepare(x, np.array([1.5, 3.5]))
    c = Exported(gradient, tmp_path)
    found = np.full_like(x, 5.0)
    assert c(x, np.array([2.5, 9.5]), found) == -1
    assert_array_equal(found, 5.0)
    assert c(x, np.array([-1.0, 8.5]), found) == 0
    assert_array_equal(found, gradient(x, np.array([-1.0, 8.5])))


def test_guards_in_the_middle(tmp_path):
    def f(x):
        y = np.sin(x)
        for k in range(5):
            y = y * x
            if y[k] > 0:
                y = y + 1
        return np.sum(y)

    x = RNG.normal(size=30)
    gradient = sparsead.grad(f)
    expected = gradient(x)
    c = Exported(gradient, tmp_path)
    found = np.full_like(x, 5.0)
    assert c(-x, found) > 0
    assert_array_equal(found, 5.0)
    assert c(x, found) == 0
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_many_threads(tmp_path):
    u = RNG.normal(size=(8, 400))
    gradient = sparsead.grad(burgers).prepare(u[0], 0.2)
    c = Exported(gradient, tmp_path)
    found, status = np.empty_like(u), [None] * len(u)

    def work(k):
        workspace = np.empty(c.size, np.uint8)
        status[k] = {c(u[k], 0.2, found[k], workspace=workspace) for _ in range(50)}

    threads = [threading.Thread(target=work, args=(k,)) for k in range(len(u))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert status == [{0}] * len(u)
    for k in range(len(u)):
        assert_array_equal(found[k], gradient(u[k], 0.2))


def test_a_workspace_need_not_be_aligned(tmp_path):
    gradient = sparsead.grad(burgers).prepare(np.ones(40), 0.2)
    c, u, found = Exported(gradient, tmp_path), RNG.normal(size=40), np.empty(40)
    for shift in (1, 8, 63):
        memory = np.full(c.size + 64 + 64, 77, np.uint8)
        begin = -memory.ctypes.data % 64 + shift
        assert c(u, 0.2, found, workspace=memory[begin:]) == 0
        assert_array_equal(memory[:begin], 77)
        assert_array_equal(memory[begin + c.size :], 77)
        assert_array_equal(found, gradient(u, 0.2))


@pytest.mark.parametrize("flags", ["-std=gnu99 -O3", "-std=c99 -O3 -march=native -ffp-contract=off", "-std=c11 -O0"])
def test_other_flags(tmp_path, flags):
    x = RNG.normal(size=200)
    gradient = sparsead.grad(lambda x: np.sum(np.exp(-x * x) * np.sin(x) + np.tanh(x) ** 3)).prepare(x)
    found = np.empty_like(x)
    assert Exported(gradient, tmp_path, flags=[*flags.split(), "-Wall", "-Werror"])(x, found) == 0
    np.testing.assert_allclose(found, gradient(x), rtol=1e-14, atol=1e-15)


def test_the_header_is_cpp(tmp_path):
    compiler = shutil.which("c++")
    if compiler is None:
        pytest.skip("no C++ compiler")
    c = gradients_agree(tmp_path, lambda x: np.sum(x**2), RNG.normal(size=40))
    program = tmp_path / "main.cpp"
    program.write_text(f'#include "{c.paths[1]}"\nint main() {{ return exported_workspace_size() == 0; }}\n')
    run([*CC, "-std=c99", "-c", "-o", tmp_path / "source.o", c.paths[0]])
    run([compiler, "-Wall", "-Wextra", "-Werror", "-o", tmp_path / "main", program, tmp_path / "source.o", "-lm"])
    run([tmp_path / "main"])


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [("2fast", ValueError, "no identifier"), ("a-b", ValueError, "no identifier"), ("", ValueError, "no identifier"),
     ("while", ValueError, "word of the C"), ("class", ValueError, "word of the C"),
     ("_x", ValueError, "no identifier"), ("x" * 49, ValueError, "no identifier"),
     ("é", ValueError, "no identifier"), (3, TypeError, "has to be a string")],
)  # fmt: skip
def test_bad_names(tmp_path, name, error, message):
    gradient = sparsead.grad(lambda x: x * x).prepare(1.0)
    with pytest.raises(error, match=f"export_c: name=.*{message}"):
        sparsead.export_c(gradient, name, tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["add", "sin", "work_t", "run_kernel", "loop_of_add_ddd"])
def test_names_that_the_source_has_itself(tmp_path, name):
    gradient = sparsead.grad(lambda x: np.sum(x[:1] * x) + np.arctan2(x, x).sum()).prepare(np.ones(3))
    with pytest.raises(ValueError, match=f"export_c: name='{name}' is a name that the source itself uses"):
        sparsead.export_c(gradient, name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_names_of_arguments_that_c_has_itself(tmp_path):
    gradient = sparsead.grad(lambda double, sin: np.sum(double * sin)).prepare(np.ones(3), np.ones(3))
    c, found = Exported(gradient, tmp_path, "exp_"), np.empty(3)
    assert c(np.ones(3), np.arange(3.0), found) == 0
    assert_array_equal(found, np.arange(3.0))


def linear_algebra(x):
    return np.sum(np.linalg.solve(np.eye(3) + np.outer(x, x), x))


def printing(x):
    for k in sparsead.steps(20, on_step=lambda k: None):
        x = x * 0.5
    return np.sum(x)


@pytest.mark.parametrize("f", [linear_algebra, printing])
def test_what_needs_python_is_refused_with_its_line(tmp_path, f):
    gradient = sparsead.grad(f).prepare(np.ones(3))
    message = rf"export_c: sparsead.grad\({f.__name__}.*needs Python or a library \(test_export.py:\d+\)"
    with pytest.raises(NotImplementedError, match=message):
        sparsead.export_c(gradient, "f", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_derivatives_that_cannot_be_exported(tmp_path):
    with pytest.raises(TypeError, match=r"export_c: derivative has to be one of sparsead's.*not a function"):
        sparsead.export_c(lambda x: x, "f", tmp_path)
    with pytest.raises(RuntimeError, match="export_c: this grad is not prepared yet"):
        sparsead.export_c(sparsead.grad(lambda x: x * x * 3.0 + 1), "f", tmp_path)
    with pytest.raises(NotImplementedError, match=r"export_c: .*a linearize is no function of arrays"):
        sparsead.export_c(sparsead.linearize(lambda x: x * x), "f", tmp_path)
    dense = sparsead.jacobian(lambda x: x * x, format="dense").prepare(np.ones(3))
    with pytest.raises(NotImplementedError, match="format='dense'"):
        sparsead.export_c(dense, "f", tmp_path)
    with_aux = sparsead.jacobian(lambda x: (x * x, x), has_aux=True).prepare(np.ones(3))
    with pytest.raises(NotImplementedError, match="has_aux=True"):
        sparsead.export_c(with_aux, "f", tmp_path)
    assert not list(tmp_path.iterdir())


def reverse(tape):
    real = lambda values: [p for p, v in enumerate(values) if tape.type(v).dtype.kind == "f"]
    return adjoint(tape, real(tape.inputs), real(tape.outputs))[0]


TAPES = {
    "kernels": lambda seed: SizedTape(seed, "smooth").tape, "loops": lambda seed: RandomLoop(seed).tape,
    "branches": lambda seed: RandomBranches(seed).tape,
}  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", TAPES)
def test_random_tapes(tmp_path, kind, seed):
    made, rng = TAPES[kind](seed), np.random.default_rng(seed)
    tape = reverse(made)
    inputs, found = [], []
    for v in tape.inputs:
        t = tape.type(v)
        inputs.append(blank(t.shape, t.strides, t.dtype))
        inputs[-1][...] = rng.uniform(0.3, 0.9, t.shape)
    for v in tape.outputs:
        t = tape.type(v)
        found.append(blank(t.shape, t.strides, t.dtype))
    assert Exported.of_tape(tape, tmp_path)(*inputs, *found) == 0
    for a, b in zip(found, vm.Program(tape).run(inputs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-13)  # functions of the C library are not NumPy's


def test_numbers_that_fortran_and_c_do_not_share_are_refused(tmp_path):
    for dtype in (np.longdouble, np.float16):
        gradient = sparsead.grad(lambda x: np.sum(x * x)).prepare(np.ones(3, dtype))
        with pytest.raises(NotImplementedError, match=f"x is of type {np.dtype(dtype)}"):
            sparsead.export_c(gradient, "f", tmp_path)
    assert not list(tmp_path.iterdir())
