"""What the pages and docstrings of sparse derivatives promise, held against numbers that know nothing of sparsity."""

import copy
import itertools
import pickle
import runpy
import signal
import sys
import threading
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sparsead
from sparsead.sparsity.colouring import Coloring, color_bidirectional, color_columns, color_rows, color_symmetric

programs = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("programs.py"))))
oracle = programs.oracle

BY_COLOURS = ("column", "row", "bidirectional")
SYMMETRIC = ("star", "acyclic", "column")
FORMATS = ("csr", "csc", "dense")


def sample(*shape, seed=0):
    return np.random.default_rng(seed).uniform(0.5, 1.5, shape)


def dense(matrix):
    return matrix if isinstance(matrix, np.ndarray) else matrix.toarray()


def data_of(matrix):
    return matrix if isinstance(matrix, np.ndarray) else matrix.data


def held(derivative, args, expected, tol=1e-10):
    """One call agrees with `expected`, has its nonzeros in the pattern, and fills memory full of NaN with the same bits."""
    result = derivative(*args)
    oracle.close(dense(result), expected, tol)
    assert not np.any(expected[derivative.pattern.toarray() == 0])
    values = data_of(result).copy()
    data_of(result)[...] = np.nan
    assert derivative(*args, out=result) is result
    oracle.same_bits(data_of(result), values)
    if isinstance(result, np.ndarray):
        return values
    assert not result.indices.flags.writeable and not result.indptr.flags.writeable
    again = derivative(*args)
    assert again.indices is result.indices and again.indptr is result.indptr
    assert result.has_sorted_indices and result.has_canonical_format
    assert result.nnz == derivative.pattern.nnz
    return values


def possible(derivative, args, how):
    """Whether entries can be computed one by one; a refusal has to say that it is one."""
    try:
        derivative.prepare(*args)
    except ValueError as error:
        assert "method='direct' is not possible" in str(error)
        how["not possible"] += 1
        return False
    how[derivative.method] += 1
    return True


QUIET = {"database": None, "deadline": None, "suppress_health_check": list(HealthCheck)}


# ---- random programs


def test_jacobians_of_random_programs():
    how = Counter()

    @settings(max_examples=settings().max_examples, **QUIET)
    @given(programs.programs(size=8), st.sampled_from(FORMATS), st.sampled_from([0, 1, (0, 2), ("b", "a")]))
    def run(program, format, wrt):
        f, of = program.function(), program.of
        tol = 3e-5 if "float32" in program.source else 1e-10
        points = [program.args, oracle.moved(program.args)]
        expected = [oracle.jacobian(f, args, wrt, of) for args in points]
        for method in ("direct", *BY_COLOURS, "auto"):
            jac = sparsead.jacobian(f, wrt=wrt, of=of, method=method, format=format)
            for args, e in zip(points, expected, strict=True):
                if method != "direct" or possible(jac, args, how):
                    held(jac, args, e, tol)

    run()
    assert how["direct"] > how["not possible"]


def test_hessians_of_random_programs():
    how = Counter()

    @settings(max_examples=settings().max_examples // 2, **QUIET)
    @given(programs.programs(size=5, casts=False), st.sampled_from(FORMATS), st.sampled_from([None, "lower", "upper"]))
    def run(program, format, triangle):
        g = program.function()
        f = lambda a, b, c: np.sum(np.sin(g(a, b, c)) * (1 + np.arange(g(a, b, c).size)))
        half = {None: lambda x: x, "lower": np.tril, "upper": np.triu}[triangle]
        for args in (program.args, oracle.moved(program.args)):
            expected = half(products(f, args))
            for method in ("direct", *SYMMETRIC):
                hess = sparsead.hessian(f, method=method, format=format, triangle=triangle)
                if method != "direct" or possible(hess, args, how):
                    held(hess, args, expected)

    run()
    assert how["direct"] > 0


def products(f, args):
    """The Hessian by products with unit vectors, by the reference engine."""
    hvp = sparsead.hvp(f, engine="reference")
    return np.array([np.ravel(hvp(*args, seed)) for seed in oracle.basis(args[0])])


# ---- arguments that share memory


def shared(kind):
    a = sample(6)
    return {"same": (a, a), "reversed": (a, a[::-1]), "overlapping": (a, a[1:]), "apart": (a, sample(6, seed=1))}[kind]


@pytest.mark.parametrize("wrt", [(0, 1), (1, 0), 0, 1])
@pytest.mark.parametrize("kind", ["same", "reversed", "overlapping", "apart"])
def test_a_derivative_by_two_arrays_is_by_all_of_the_memory_of_each(kind, wrt):
    f = lambda a, b: np.concatenate([a[:5] * b[:5] ** 2, a[:2], np.sin(b[1:3])])
    args = shared(kind)
    expected = oracle.jacobian(f, args, wrt)
    for method in ("auto", *BY_COLOURS):
        jac = sparsead.jacobian(f, wrt=wrt, method=method)
        held(jac, args, expected)
        assert jac.check(*args) < 1e-13
    operator, v = sparsead.jacobian_operator(f, wrt=wrt)(*args), sample(expected.shape[1], seed=3)
    oracle.close(operator @ v, expected @ v)
    oracle.close(operator.T @ np.ones(9), expected.T @ np.ones(9))
    if kind == "apart" or isinstance(wrt, int):
        held(sparsead.jacobian(f, wrt=wrt, method="direct"), args, expected)
    else:
        with pytest.raises(ValueError, match="share memory"):
            sparsead.jacobian(f, wrt=wrt, method="direct")(*args)


@pytest.mark.parametrize("kind", ["same", "reversed", "overlapping", "apart"])
def test_hessians_by_two_arrays_that_share_memory(kind):
    f = lambda a, b, c: 1.5 * np.sum(a[1:] * a[:-1]) + np.sum(b[:5] ** 2 * c) + np.sum(a[:5] * c)
    args = (*shared(kind), sample(5, seed=2))
    for wrt in ((0, 1, 2), (1, 2, 0)):
        gradient = lambda a, b, c, wrt=wrt: np.concatenate(sparsead.grad(f, wrt=wrt)(a, b, c))
        expected = oracle.jacobian(gradient, args, wrt, method="fd")
        for method in ("auto", *SYMMETRIC):
            held(sparsead.hessian(f, wrt=wrt, method=method), args, expected, 1e-8)
        oracle.close(sparsead.hessian_operator(f, wrt=wrt)(*args) @ np.eye(len(expected)), expected, 1e-8)
        oracle.close(np.concatenate(sparsead.hessian_diagonal(f, wrt=wrt)(*args)), np.diag(expected), 1e-8)


def test_one_array_at_two_places_of_a_structure():
    a = sample(4)
    expected = np.hstack([np.diag(2 * a), np.diag(2 * a)])
    for structure in ([a, a], (a, a), {"u": a, "v": a}):
        get = (lambda s: s.values()) if isinstance(structure, dict) else iter
        f = lambda s, get=get: np.multiply(*get(s))
        for method in ("auto", *BY_COLOURS):
            oracle.close(dense(sparsead.jacobian(f, method=method)(structure)), expected)


# ---- `out`


@pytest.mark.parametrize("method", ["direct", *BY_COLOURS])
@pytest.mark.parametrize("dtype", [int, bool, np.uint8])
def test_out_that_cannot_hold_the_numbers_is_refused(method, dtype):
    jac, x = sparsead.jacobian(lambda x: 0.3 * x[::-1] ** 2, method=method), np.arange(1.0, 5.0)
    out = jac(x)
    out.data = np.ones(4, dtype)
    with pytest.raises(ValueError, match=f"out has to be of a dtype that holds float64, got {np.dtype(dtype)}"):
        jac(x, out=out)
    assert out.data.all() and out.data.dtype == dtype


# ---- a structure that grows


def upwind():
    """A new function of two paths, so that nothing is known about it."""

    def f(v, u):
        r = np.zeros(u.size - 2)
        if v > 0:
            r[:] = v * (u[1:-1] - u[:-2]) ** 2
        else:
            r[:] = v * (u[2:] - u[1:-1]) ** 2
        return r

    return f


def upwind_jacobian(v, u):
    n = u.size - 2
    at = np.arange(n) if v > 0 else np.arange(1, n + 1)
    slope = 2 * v * (u[at + 1] - u[at])
    expected = np.zeros((n, n + 2))
    expected[np.arange(n), at], expected[np.arange(n), at + 1] = -slope, slope
    return expected


U = np.arange(6.0) ** 2


@pytest.mark.parametrize("method", ["auto", "direct", *BY_COLOURS])
@pytest.mark.parametrize("format", FORMATS)
def test_growth(format, method):
    jac = sparsead.jacobian(upwind(), wrt="u", method=method, format=format)
    old = jac(1.0, U)
    before = dense(old).copy()
    if format != "dense":
        with pytest.raises(ValueError, match="version 2"):
            jac(-1.0, U, out=old)
        np.testing.assert_array_equal(dense(old), before)
    new = jac(-1.0, U)
    assert jac.version == 2
    for v in (2.0, -3.0, 1.0):
        held(jac, (v, U), upwind_jacobian(v, U))
        assert format == "dense" or jac(v, U).indices is new.indices
    jac.release()
    held(jac, (1.0, U), before)
    assert jac.version == 2
    for twin in (copy.copy(jac), copy.deepcopy(jac)):
        held(twin, (1.0, U), before)
        held(twin, (-1.0, U), upwind_jacobian(-1.0, U))


def module_level(v, u):
    return v * (u[1:-1] - u[:-2]) ** 2 if v > 0 else v * (u[2:] - u[1:-1]) ** 2


@pytest.mark.parametrize("method", ["direct", *BY_COLOURS])
def test_pickled_derivatives(method):
    jac = sparsead.jacobian(module_level, wrt="u", method=method)
    jac(1.0, U), jac(-1.0, U)
    sys.modules.setdefault(__name__, SimpleNamespace(module_level=module_level))
    twin = pickle.loads(pickle.dumps(jac))
    for v in (1.0, -2.0):
        held(twin, (v, U), upwind_jacobian(v, U))


def test_shapes_beyond_the_number_of_recordings(monkeypatch):
    monkeypatch.setattr(sparsead.config, "max_recordings", 3)
    jac = sparsead.jacobian(upwind(), wrt="u")
    jac(1.0, U), jac(-1.0, U)
    for n in range(3, 12):
        u = np.linspace(0, 1, n) ** 2
        for v in (1.0, -1.0):
            held(jac, (v, u), upwind_jacobian(v, u))
    for v in (1.0, -1.0, 1.0):
        held(jac, (v, U), upwind_jacobian(v, U))


@pytest.mark.parametrize("method", ["direct", "column", "row", "auto"])
def test_threads_that_take_two_paths_at_once(method):
    jac, wrong, start = sparsead.jacobian(upwind(), wrt="u", method=method), [], threading.Barrier(4)

    def work(k):
        start.wait(60)
        out = None
        for i in range(12):
            v = (1.0 if (i + k) % 3 else -1.0) * (1 + k)
            try:
                found = jac(v, U, out=out)
            except ValueError as error:  # another thread may have made it grow
                if "structure" not in str(error):
                    wrong.append(repr(error))
                found = jac(v, U)
            if not np.allclose(found.toarray(), upwind_jacobian(v, U)):
                wrong.append((k, i, v))
            out = found if i % 2 else None
            if i % 5 == k:
                jac.release()

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not any(thread.is_alive() for thread in threads) and not wrong
    version, found = jac.version, jac(1.0, U)  # there may have been others: functions of one piece of code share what is known
    assert found.nnz == 12 and jac(-1.0, U).indices is found.indices and jac.version == version > 1


# ---- patterns that are given


def bent(x):
    return x[::-1] ** 2 + np.where(x > 0, x, 3 * x)


P = np.eye(5) + np.eye(5)[::-1] + np.eye(5, k=1)
POINT = np.array([1.0, -2.0, 3.0, -4.0, 5.0])


def unsorted(pattern):
    indices = np.concatenate([row.nonzero()[0][::-1] for row in pattern])
    indptr = np.concatenate([[0], np.cumsum((pattern != 0).sum(1))])
    return sp.csr_array((np.ones(len(indices)), indices, indptr), shape=pattern.shape)


def zeros_stored(pattern):
    found = sp.csr_array(pattern)
    found.data[:] = 0
    return found


GIVEN = {
    "csr": sp.csr_array, "csc": sp.csc_array, "coo": sp.coo_array, "matrix": sp.csr_matrix, "lil": sp.lil_array,
    "dense": np.array, "bool": lambda p: p != 0, "int": lambda p: (p != 0).astype(int), "list": np.ndarray.tolist,
    "unsorted": unsorted, "explicit zeros": zeros_stored, "fortran": np.asfortranarray, "int64": lambda p: wide(sp.csr_array(p)),
}  # fmt: skip


def wide(pattern):
    pattern.indices, pattern.indptr = pattern.indices.astype(np.int64), pattern.indptr.astype(np.int64)
    return pattern


@pytest.mark.parametrize("kind", GIVEN)
def test_given_patterns(kind):
    expected = oracle.jacobian(bent, (POINT,))
    for method, format in itertools.product(("direct", *BY_COLOURS), ("csr", "csc")):
        jac = sparsead.jacobian(bent, pattern=GIVEN[kind](P), method=method, format=format)
        held(jac, (POINT,), expected)
        assert jac.pattern.nnz == np.count_nonzero(P) and (jac.pattern.toarray() == (P != 0)).all()


def test_a_dense_pattern_and_those_without_rows_or_columns():
    expected = oracle.jacobian(bent, (POINT,))
    for method in ("direct", *BY_COLOURS):
        full = sparsead.jacobian(bent, pattern=np.ones((5, 5)), method=method)
        held(full, (POINT,), expected)
        assert full.pattern.nnz == 25
        for f, x, shape in (
            (lambda x: 2 * x[:0], np.ones(4), (0, 4)),
            (lambda x: np.concatenate([x, np.ones(3)]), np.ones(0), (3, 0)),
            (lambda x: x * x, np.ones(0), (0, 0)),
            (lambda x: np.ones(3), np.ones(2), (3, 2)),
        ):
            for options in ({}, {"pattern": np.zeros(shape)}, {"pattern": sp.csr_array(shape)}):
                for format in FORMATS:
                    held(sparsead.jacobian(f, method=method, format=format, **options), (x,), np.zeros(shape))


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        (np.ones((4, 5)), r"pattern has shape \(4, 5\), the Jacobian has shape \(5, 5\)"),
        (np.eye(5), r"pattern lacks 4 of the 9 entries .*\(0, 4\), \(1, 3\), \(3, 1\), \(4, 0\)"),
        (sp.csr_array((5, 5)), "pattern lacks 9 of the 9"),
        (np.ones(5), "pattern has to be a sparse array or an array of two dimensions"),
        ("dense", "pattern has to be"),
        (sp.coo_array((np.ones(3), ([0, 0, 1], [2, 2, 1])), shape=(5, 5)), r"entry \(0, 2\) twice"),
    ],
    ids=["shape", "diagonal", "empty", "one dimension", "text", "twice"],
)
def test_patterns_that_are_refused(pattern, message):
    with pytest.raises((TypeError, ValueError), match=message):
        sparsead.jacobian(bent, pattern=pattern)(POINT)


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [("indices", 77, "77"), ("indices", -3, "-3"), ("indptr", 99, "pattern.indptr"), ("indptr", 0, "pattern.indptr")],
)
@pytest.mark.parametrize("cls", [sp.csr_array, sp.csc_array])
def test_patterns_that_are_broken(cls, part, value, message):
    pattern = cls(P)
    getattr(pattern, part)[2] = value
    with pytest.raises(ValueError, match=message):
        sparsead.jacobian(bent, pattern=pattern)(POINT)


# ---- memory, colourings, streams, points


def stencil(u):
    r = np.zeros_like(u)
    r[1:-1] = u[1:-1] * (u[2:] - 2 * u[1:-1] + u[:-2])
    r[0] = np.sum(u**2)
    return r


def energy(x):
    return np.sum(stencil(x)[1:] ** 2)


@pytest.mark.parametrize(
    ("make", "f", "method"),
    [(sparsead.jacobian, stencil, m) for m in BY_COLOURS] + [(sparsead.hessian, energy, m) for m in SYMMETRIC],
)
def test_memory_changes_no_bit(make, f, method):
    x = sample(30)
    expected = make(f, method=method)(x)
    for memory in (1, 500, "2 kB", "1 GB"):
        oracle.same_bits(make(f, method=method, memory=memory)(x).data, expected.data)


ORDERS = ["natural", "largest_first", "smallest_last", "incidence_degree", "dynamic_largest_first", "random"]


@pytest.mark.parametrize("order", [*ORDERS, tuple(ORDERS), "given"])
def test_colourings_from_elsewhere(order, tmp_path):
    x = sample(12)
    expected = oracle.jacobian(stencil, (x,))
    known = sparsead.jacobian(stencil).prepare(x).pattern
    pattern = known.indptr, known.indices, known.shape
    made = {
        "column": color_columns(*pattern, order=np.arange(12)[::-1] if order == "given" else order),
        "row": color_rows(*pattern, order=np.arange(12)[::-1] if order == "given" else order),
        "bidirectional": color_bidirectional(*pattern, order=np.arange(24)[::-1] if order == "given" else order),
    }
    for method, coloring in made.items():
        coloring.save(tmp_path / "colours.npz")
        for each in (coloring, Coloring.load(tmp_path / "colours.npz")):
            jac = sparsead.jacobian(stencil, coloring=each)
            held(jac, (x,), expected)
            assert jac.coloring == coloring and jac.method == method
    hess = sparsead.hessian(energy).prepare(x)
    known, expected = hess.pattern, products(energy, (x,))
    for method in ("star", "acyclic"):
        chosen = np.arange(12)[::-1] if order == "given" else order
        hess = sparsead.hessian(energy, coloring=color_symmetric(known.indptr, known.indices, known.shape, method, chosen))
        held(hess, (x,), expected)
        assert hess.method == method


@pytest.mark.parametrize("make", [sparsead.jacobian, sparsead.hessian, sparsead.hessian_diagonal])
@pytest.mark.parametrize("order", ["fastest", ("natural", "fastest"), None, 3])
def test_orders_that_are_none(make, order):
    with pytest.raises((TypeError, ValueError), match="order"):
        make(energy, order=order)


@pytest.mark.parametrize("method", ["direct", *BY_COLOURS])
def test_streams_points_and_local_patterns(method):
    points = [(sample(12, seed=k) * (np.arange(12) != k),) for k in range(3)]
    jac = sparsead.jacobian(stencil, method=method)
    stack = jac.at_points(points)
    for k, args in enumerate(points):
        expected = oracle.jacobian(stencil, args)
        found, times = np.zeros((12, 12)), np.zeros((12, 12))
        for rows, columns, values in jac.stream(*args):
            found[rows, columns], times[rows, columns] = values, times[rows, columns] + 1
        oracle.close(found, expected)
        np.testing.assert_array_equal(times, jac.pattern.toarray())
        oracle.close(stack[k].toarray(), expected)
        np.testing.assert_array_equal(jac.local_pattern(*args).toarray() != 0, expected != 0)
    assert stack.data.shape == (3, jac.pattern.nnz) and len(stack) == 3


def test_points_on_both_sides_of_a_branch_have_one_structure():
    stack = sparsead.jacobian(upwind(), wrt="u").at_points([(v, U) for v in (1.0, 2.0, -1.0, 3.0)])
    for k, v in enumerate((1.0, 2.0, -1.0, 3.0)):
        oracle.close(stack[k].toarray(), upwind_jacobian(v, U))


# ---- structures, layouts, dtypes


LAYOUTS = {
    "C": lambda x: x,
    "Fortran": np.asfortranarray,
    "transposed": lambda x: np.ascontiguousarray(x.T).T,
    "strided": lambda x: np.repeat(np.repeat(x, 2, 0), 3, 1)[::2, ::3],
    "backwards": lambda x: x[::-1, ::-1].copy()[::-1, ::-1],
    "float32": lambda x: x.astype(np.float32),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_structures_in_all_layouts(layout):
    def f(s, t, unused, r):
        r[...] = s["u"] ** 2 * t + s["v"][0][1]
        r[1:, :] += s["v"][1][:, None] * s["u"][:-1]
        return s["v"][1] * t

    make = LAYOUTS[layout]
    u, w, n = make(sample(3, 4)), make(sample(2, 2, seed=1))[:, 1], make(sample(2, 2, seed=3))[0]
    args = {"u": u, "v": [n, w]}, 1.5, sample(2), make(np.zeros((3, 4)))
    expected = np.zeros((14, 17))
    grid = np.arange(12).reshape(3, 4)
    for i, j in np.ndindex(3, 4):
        expected[grid[i, j], grid[i, j]] += 2 * 1.5 * u[i, j]
        expected[grid[i, j], 13] = 1
        expected[grid[i, j], 16] = u[i, j] ** 2
        if i:
            expected[grid[i, j], 14 + i - 1] += u[i - 1, j]
            expected[grid[i, j], grid[i - 1, j]] += w[i - 1]
    for i in range(2):
        expected[12 + i, 14 + i], expected[12 + i, 16] = 1.5, w[i]
    for method in ("auto", "direct", *BY_COLOURS):
        for format in FORMATS:
            jac = sparsead.jacobian(f, wrt=("s", "t"), of=("r", "return"), method=method, format=format)
            held(jac, args, expected, 1e-6 if layout == "float32" else 1e-12)
    assert list(jac.column_blocks.values()) == [slice(0, 16), slice(16, 17)]
    assert list(jac.row_blocks.values()) == [slice(0, 12), slice(12, 14)]


@pytest.mark.parametrize(
    "value", [2.0, np.float64(2.0), np.float32(2.0), np.array(2.0), np.array([2.0]), np.array([[2.0]])], ids=repr
)
def test_one_by_one(value):
    for method in ("direct", *BY_COLOURS):
        held(sparsead.jacobian(lambda x: x**3, method=method), (value,), np.array([[12.0]]), 1e-6)
    for method in ("direct", *SYMMETRIC):
        held(sparsead.hessian(lambda x: np.sum(x**3), method=method), (value,), np.array([[12.0]]), 1e-6)


# ---- numbers that are not finite


NOT_FINITE = {
    "products": lambda x: x[1:-1] * (x[2:] - x[:-2]),
    "quotients": lambda x: x[1:] / x[:-1],
    "logarithms": lambda x: np.log(x[1:]) * x[:-1],
    "chosen": lambda x: np.where(x > 0, np.sqrt(np.abs(x)), x[::-1]),
    "sums": lambda x: np.concatenate([np.array([np.sum(x * x)]), x[1:] * x[0]]),
}


@pytest.mark.parametrize("name", NOT_FINITE)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 0.0])
def test_entries_that_are_not_finite(name, bad):
    """Entry by entry each has its own factors; sweeps lose at most the row, or the column, of one that is not finite."""
    f = NOT_FINITE[name]
    exact = sparsead.jacobian(f, method="direct")
    for k in (0, 2, 5):
        x = np.linspace(0.5, 1.5, 6)
        nnz = exact.prepare(x).pattern.nnz
        x[k] = bad
        with np.errstate(all="ignore"):
            expected = exact(x)
            assert expected.nnz == nnz
            expected = expected.toarray()
            lost = ~np.isfinite(expected)
            by = {"column": lost.any(1)[:, None] | lost, "row": lost.any(0)[None, :] | lost}
            by["bidirectional"] = by["column"] | by["row"]
            for method, may in by.items():
                found = sparsead.jacobian(f, method=method)(x)
                assert found.nnz == nnz
                found = found.toarray()
                np.testing.assert_allclose(found[~may], expected[~may], rtol=1e-14)
                off = may & ~np.isclose(found, expected, equal_nan=True)
                assert np.isnan(found[off]).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0])
def test_entries_of_hessians_that_are_not_finite(bad):
    f = lambda x: np.sum(x[1:] ** 3 / x[:-1]) + np.sum(np.log(np.abs(x)))
    for k in (0, 2, 5):
        x = np.linspace(0.5, 1.5, 6)
        x[k] = bad
        with np.errstate(all="ignore"):
            expected = sparsead.hessian(f, method="direct")(x).toarray()
            lost = ~np.isfinite(expected)
            may = lost.any(1)[:, None] | lost.any(0)[None, :]
            for method in SYMMETRIC:
                found = sparsead.hessian(f, method=method)(x).toarray()
                off = ~np.isclose(found, expected, rtol=1e-13, equal_nan=True)
                assert np.isnan(found[off]).all()
                assert method == "acyclic" or may[off].all()


# ---- interrupts


@pytest.mark.parametrize("method", ["auto", "direct", *BY_COLOURS])
def test_a_call_after_an_interrupt_is_right(method):
    """KeyboardInterrupt at places all over the preparation and the call, from the function and from a signal."""
    for delay in (0.0005, 0.002, 0.005, 0.01, 0.02):
        f, x = (lambda x: stencil(x) * np.sin(x)), sample(60)
        jac = sparsead.jacobian(f, method=method)
        old = signal.signal(signal.SIGALRM, interrupted)
        try:
            signal.setitimer(signal.ITIMER_REAL, delay)
            for _ in range(20):
                jac(x)
                jac(x[:-1])
        except KeyboardInterrupt:
            pass
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, old)
        for point in (x, x[:-1], x):
            oracle.close(jac(point).toarray(), oracle.jacobian(f, (point,)))


def interrupted(*_):
    raise KeyboardInterrupt


def test_an_interrupt_raised_by_the_function_itself():
    again = [True]

    def f(x):
        y = x * x
        if again.pop() if again else False:
            raise KeyboardInterrupt
        return y[1:] * y[:-1]

    jac = sparsead.jacobian(f)
    with pytest.raises(KeyboardInterrupt):
        jac(sample(5))
    assert not again
    oracle.close(jac(sample(5)).toarray(), sparsead.jacobian(lambda x: x[1:] ** 2 * x[:-1] ** 2)(sample(5)).toarray())
