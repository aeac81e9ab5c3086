"""The structure of sparse results: given patterns, branches that need other entries, budgets, points, blocks, checks."""

import doctest
import importlib
import re
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

import sparsead
from sparsead.derivatives.layouts import GivenPattern, Layout
from sparsead.sparsity.colouring import color_columns
from sparsead.testing import DerivativeError

FORMATS = ("csr", "csc", "dense")


def chain(x):
    """Tridiagonal."""
    y = x**3
    y[1:] += np.sin(x[:-1])
    y[:-1] *= x[1:]
    return y


def forked(x):
    """Its second branch needs entries that the first has not, and lacks some that it has."""
    if x[0] > 0:
        return x[1:] * x[:-1]
    return x[1:] * x[0]


def dense(found):
    return found.toarray() if sp.issparse(found) else found


# ---- given patterns


@pytest.mark.parametrize("method", ["direct", "column", "row", "bidirectional"])
@pytest.mark.parametrize("format", FORMATS)
def test_a_given_pattern_is_kept(method, format):
    x = np.linspace(0.5, 1.5, 7)
    expected = sparsead.jacobian(chain)(x).toarray()
    wanted = (expected != 0) | np.eye(7, k=4, dtype=bool) | np.eye(7, k=-3, dtype=bool)
    jac = sparsead.jacobian(chain, pattern=sp.coo_array(wanted), method=method, format=format)
    found = jac(x)
    assert_allclose(dense(found), expected, rtol=1e-14)
    if format == "dense":
        return
    assert_array_equal(csr_of_ones(found), wanted)
    found.data[:] = np.nan
    assert jac(2 * x, out=found) is found
    assert_allclose(found.toarray(), sparsead.jacobian(chain)(2 * x).toarray(), rtol=1e-14)
    assert "with those of the given pattern" in jac.report()


def csr_of_ones(found):
    ones = found.copy()
    ones.data = np.ones_like(ones.data)
    return ones.toarray() != 0


def test_a_given_pattern_that_lacks_entries_is_refused():
    jac = sparsead.jacobian(chain, pattern=np.eye(5))
    with pytest.raises(ValueError, match=r"lacks 8 of the 13 entries.*\(0, 1\), \(1, 0\), \(1, 2\)"):
        jac(np.ones(5))


@pytest.mark.parametrize(
    "pattern, error, match",
    [
        (np.eye(4), ValueError, r"shape \(4, 4\), the Jacobian has shape \(5, 5\)"),
        (np.ones(5), TypeError, "two dimensions"),
        ("tridiagonal", TypeError, "two dimensions"),
        (sp.coo_array((np.ones(2), ([0, 0], [1, 1])), shape=(5, 5)), ValueError, r"\(0, 1\) twice"),
        (sp.csr_array((np.ones(2), [1, 1], [0, 2, 2, 2, 2, 2]), shape=(5, 5)), ValueError, r"\(0, 1\) twice"),
    ],
)
def test_bad_patterns(pattern, error, match):
    with pytest.raises(error, match=match):
        sparsead.jacobian(chain, pattern=pattern)(np.ones(5))


def test_indices_out_of_range_in_a_pattern():
    broken = sp.csr_array((np.ones(1), [4], [0, 1, 1, 1, 1, 1]), shape=(5, 5))
    broken.indices[0] = 7
    with pytest.raises(ValueError, match="7"):
        sparsead.jacobian(chain, pattern=broken)


def test_unsorted_patterns_and_explicit_zeros_count():
    wanted = sp.csr_array((np.zeros(13), [1, 0, 2, 0, 1, 3, 2, 1, 4, 2, 3, 4, 3], [0, 2, 5, 8, 11, 13]), shape=(5, 5))
    jac = sparsead.jacobian(chain, pattern=wanted)
    assert_allclose(jac(np.ones(5)).toarray(), sparsead.jacobian(chain)(np.ones(5)).toarray())
    assert jac.pattern.nnz == 13


def test_given_patterns_with_the_same_entries_are_one():
    a, b, c = GivenPattern(np.eye(3)), GivenPattern(sp.eye_array(3)), GivenPattern(np.ones((3, 3)))
    assert a == b and hash(a) == hash(b) and a != c
    f = lambda x: x * 2
    assert sparsead.jacobian(f, pattern=np.eye(3))(np.ones(3)).nnz == 3
    assert sparsead.jacobian(f, pattern=np.ones((3, 3)))(np.ones(3)).nnz == 9


# ---- branches


@pytest.mark.parametrize("format", ["csr", "csc"])
@pytest.mark.parametrize("method", ["direct", "column", "row", "bidirectional"])
def test_a_branch_makes_the_structure_grow_once(method, format):
    jac = sparsead.jacobian(forked, method=method, format=format)
    up, down = np.array([1.0, 2.0, 3.0, 4.0]), np.array([-1.0, 2.0, 3.0, 4.0])
    first = jac(up)
    assert jac.version == 1 and first.nnz == 6
    other = jac(down)
    assert jac.version == 2 and other.nnz == 8
    again = jac(up)
    assert again.nnz == 8 and again.indices is other.indices and again.indptr is other.indptr
    assert_allclose(again.toarray(), first.toarray())
    assert_allclose(other.toarray(), [[2, -1, 0, 0], [3, 0, -1, 0], [4, 0, 0, -1]])
    with pytest.raises(ValueError, match="grown since, to version 2"):
        jac(up, out=first)
    other.data[:] = np.nan
    assert_allclose(jac(up, out=other).toarray(), first.toarray())
    assert jac.version == 2 and jac(down).nnz == 8


def test_threads_on_two_paths_get_one_structure():
    up, down = np.array([1.0, 2.0, 3.0, 4.0]), np.array([-1.0, 2.0, 3.0, 4.0])
    for _ in range(10):
        jac = sparsead.jacobian(lambda x: forked(x))
        barrier = threading.Barrier(2)

        def call(x, jac=jac, barrier=barrier):
            barrier.wait()
            return jac(x)

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(call, (up, down)))
        first, other = jac(up), jac(down)
        assert first.nnz == other.nnz == 8 and first.indices is other.indices
        assert_allclose(other.toarray(), [[2, -1, 0, 0], [3, 0, -1, 0], [4, 0, 0, -1]])


def test_a_branch_that_needs_no_other_entries_changes_nothing():
    jac = sparsead.jacobian(lambda x: x[1:] * x[:-1] if x[0] > 0 else x[1:] + x[:-1])
    first = jac(np.ones(4))
    second = jac(-np.ones(4))
    assert jac.version == 1 and second.indices is first.indices
    assert jac(np.ones(4), out=second) is second


def test_other_static_arguments_have_their_own_structure():
    jac = sparsead.jacobian(lambda x, k: x[k:] * x[0])
    assert jac(np.ones(4), 1).nnz == 6 and jac(np.ones(4), 2).nnz == 4 and jac(np.ones(4), 1).nnz == 6
    assert jac.version == 1


def test_a_given_pattern_never_grows():
    one, both = np.eye(3, 4) + np.eye(3, 4, 1), np.eye(3, 4) + np.eye(3, 4, 1)
    both[:, 0] = 1
    jac = sparsead.jacobian(forked, pattern=both)
    assert jac(np.ones(4)).nnz == jac(-np.ones(4)).nnz == 8 and jac.version == 1
    jac = sparsead.jacobian(forked, pattern=one)
    assert jac(np.ones(4)).nnz == 6
    with pytest.raises(ValueError, match=r"lacks 2 of the 6 entries.*\(1, 0\), \(2, 0\)"):
        jac(-np.ones(4))
    assert jac(np.ones(4)).nnz == 6


# ---- budgets, colourings, colours one by one


@pytest.mark.parametrize("method", ["column", "row", "bidirectional"])
def test_a_budget_gives_the_same_entries(method):
    f = lambda x: np.concatenate([x[:1] * x.sum(), x[1:] * x[:-1]])
    x = np.linspace(1, 2, 60)
    whole = sparsead.jacobian(f, method=method)
    small = sparsead.jacobian(f, method=method, memory=1)
    assert_array_equal(whole(x).data, small(x).data)
    batches = [len(jac._compressed(jac.prepared).entries.sweeps.chunks) for jac in (whole, small)]
    assert batches == [1 + (method == "bidirectional"), small.coloring.count]
    middle = sparsead.jacobian(f, method=method, memory="10 kB").prepare(x)
    assert batches[0] <= len(middle._compressed(middle.prepared).entries.sweeps.chunks) <= batches[1]


def test_positions_beyond_32_bits(monkeypatch):
    x = np.linspace(1, 2, 40)
    jac = sparsead.jacobian(chain, method="column")
    expected = jac(x)
    monkeypatch.setattr("sparsead.derivatives.sweeps.SMALL", 100)
    large = sparsead.jacobian(chain, method="column", order="largest_first")
    assert_array_equal(large(x).toarray(), expected.toarray())
    for derivative, dtype in ((jac, np.int32), (large, np.int64)):
        ((gather, _),) = derivative._compressed(derivative.prepared).entries.sweeps.reads
        assert gather.dtype == dtype


@pytest.mark.parametrize("memory", [0, -1, "much", "3 apples", 1.5, True])
def test_bad_budgets(memory):
    with pytest.raises(ValueError, match="is no number of bytes"):
        sparsead.jacobian(chain, memory=memory)


def test_budgets_in_words():
    x = np.ones(5)
    for memory in ("1 MB", "0.5 GiB", "100000", 4096):
        assert_array_equal(sparsead.jacobian(chain, memory=memory, method="column")(x).data, sparsead.jacobian(chain)(x).data)


def test_a_coloring_of_ones_own():
    x = np.linspace(1, 2, 9)
    pattern = sparsead.jacobian(chain).prepare(x).pattern
    coloring = color_columns(pattern.indptr, pattern.indices, pattern.shape, order="random", seed=5)
    jac = sparsead.jacobian(chain, coloring=coloring)
    assert_allclose(jac(x).toarray(), sparsead.jacobian(chain)(x).toarray(), rtol=1e-14)
    assert jac.method == "column" and jac.coloring is coloring
    with pytest.raises(ValueError, match="coloring is of a pattern of shape"):
        jac(np.ones(8))
    with pytest.raises(ValueError, match="is one for method='column', not 'row'"):
        sparsead.jacobian(chain, coloring=coloring, method="row")(x)
    with pytest.raises(TypeError, match="has to be a Coloring"):
        sparsead.jacobian(chain, coloring=[0, 1, 2])


@pytest.mark.parametrize("method", ["column", "row", "bidirectional"])
def test_entries_colour_by_colour(method):
    x = np.linspace(1, 2, 9)
    jac = sparsead.jacobian(chain, method=method)
    found = np.zeros((9, 9))
    parts = list(jac.stream(x))
    for rows, columns, values in parts:
        found[rows, columns] += values
    assert len(parts) == jac.coloring.count
    assert_allclose(found, jac(x).toarray(), rtol=1e-14)


def test_colour_by_colour_on_another_path():
    jac = sparsead.jacobian(forked).prepare(np.ones(4))
    found = np.zeros((3, 4))
    for rows, columns, values in jac.stream(-np.arange(1.0, 5.0)):
        found[rows, columns] = values
    assert_allclose(found, jac(-np.arange(1.0, 5.0)).toarray())


# ---- Hessians by colours


def energy(x):
    e = np.sum((x[1:] - x[:-1] ** 2) ** 2 * np.sin(x[2]))
    return e + x[0] * np.sum(x[3:] ** 2)


@pytest.mark.parametrize("method", ["direct", "star", "acyclic", "column", "row"])
@pytest.mark.parametrize("format", FORMATS)
def test_hessians_by_all_methods(method, format):
    x = np.linspace(0.5, 1.5, 12)
    expected = sparsead.hessian(energy, method="column")(x).toarray()
    hess = sparsead.hessian(energy, method=method, format=format)
    found = hess(x)
    assert_allclose(dense(found), expected, rtol=1e-12, atol=1e-12)
    assert hess.method == method and hess.check(x) < 1e-12
    if format != "dense":
        found.data[:] = np.nan
        assert_allclose(hess(x, out=found).toarray(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("method", ["direct", "star", "acyclic", "column", "row"])
@pytest.mark.parametrize("triangle", ["lower", "upper"])
@pytest.mark.parametrize("format", FORMATS)
def test_one_triangle(method, triangle, format):
    x = np.linspace(0.5, 1.5, 12)
    expected = sparsead.hessian(energy, method="column")(x).toarray()
    hess = sparsead.hessian(energy, method=method, format=format, triangle=triangle)
    found = hess(x)
    assert_allclose(dense(found), np.tril(expected) if triangle == "lower" else np.triu(expected), rtol=1e-12, atol=1e-12)
    assert hess.method == method and hess.check(x) < 1e-12
    if format != "dense":
        assert found.nnz == np.count_nonzero(hess.local_pattern(x).toarray())
        found.data[:] = np.nan
        assert_allclose(hess(2 * x, out=found).toarray(), hess(2 * x).toarray(), rtol=1e-15)
        assert hess.at_points([(x,), (2 * x,)]).data.shape == (2, found.nnz)


def test_triangles_are_for_hessians():
    with pytest.raises(ValueError, match="triangle='left' is unknown"):
        sparsead.hessian(energy, triangle="left")
    with pytest.raises(ValueError, match="triangle= and pattern= exclude each other"):
        sparsead.hessian(energy, triangle="lower", pattern=np.ones((12, 12)))
    jac = sparsead.hessian(lambda x: x[0] * x[1] if x[0] > 0 else x[1] * x[2], triangle="lower")
    assert jac(np.ones(3)).nnz == 1 and jac(-np.ones(3)).nnz == 2 and jac.version == 2


@pytest.mark.parametrize("n", [30, 2000])
def test_an_arrowhead_is_not_one_colour_for_each_column(n):
    hess = sparsead.hessian(lambda x: np.sum(x[0] * x[1:] ** 2) + np.sum(x**4), method="star")
    x = np.linspace(0.5, 1.5, n)
    found = hess(x)
    assert hess.coloring.count == 2 and found.nnz == 3 * n - 2
    assert_allclose(found.toarray()[0, 1:], 2 * x[1:])


def bordered(x):
    return np.concatenate([x[:1] * np.sum(x**2), np.sin(x[1:]) * x[0]])


@pytest.mark.parametrize("format", FORMATS)
def test_an_arrowhead_jacobian_has_two_sides(format):
    jac = sparsead.jacobian(bordered, method="bidirectional", format=format)
    x = np.linspace(0.5, 1.5, 500)
    found = jac(x)
    assert jac.coloring.counts == (2, 1) and jac.check(x) < 1e-12 and "1 sweep and 1 reverse sweep" in jac.report()
    assert_allclose(dense(found), sparsead.jacobian(bordered, method="row")(x).toarray(), rtol=1e-13)


def test_two_sides_are_chosen_where_they_are_cheaper():
    def f(x):  # the sum is one that is not written entry by entry
        return np.concatenate([np.cumsum(x**2)[-1:], np.sin(x[1:]) * x[0]])

    x = np.linspace(0.5, 1.5, 300)
    jac = sparsead.jacobian(f).prepare(x)
    assert jac.method == "bidirectional" and jac.cost["bidirectional"] < 0.1 * jac.cost["column"]
    assert_allclose(jac(x).toarray(), sparsead.jacobian(f, method="column")(x).toarray(), rtol=1e-13)


def test_a_hessian_of_a_vector_is_refused():
    with pytest.raises(TypeError, match=r"one number|scalar"):
        sparsead.hessian(chain)(np.ones(3))


# ---- several points, blocks, checks


@pytest.mark.parametrize("format", ["csr", "csc"])
def test_matrices_at_several_points(format):
    jac = sparsead.jacobian(lambda t, x: t * chain(x), wrt="x", format=format)
    points = [(t, np.linspace(t, 2 * t, 5)) for t in (0.5, 1.0, 2.0)]
    stack = jac.at_points(points)
    assert len(stack) == 3 and stack.data.shape == (3, 13)
    for k, point in enumerate(points):
        assert_array_equal(stack[k].toarray(), jac(*point).toarray())
        assert stack[k].indices is jac(*point).indices


def test_points_on_several_paths():
    stack = sparsead.jacobian(forked).at_points([(s * np.arange(1.0, 5.0),) for s in (1, -1, 1)])
    assert stack.data.shape == (3, 8)
    assert_array_equal(stack[0].toarray(), stack[2].toarray())


def test_points_of_other_shapes():
    jac = sparsead.jacobian(chain)
    with pytest.raises(ValueError, match=r"shapes \(3, 3\) and \(4, 4\)"):
        jac.at_points([(np.ones(3),), (np.ones(4),)])
    with pytest.raises(ValueError, match="no point"):
        jac.at_points([])
    with pytest.raises(ValueError, match="format='csr'"):
        sparsead.jacobian(chain, format="dense").at_points([(np.ones(3),)])


def test_blocks():
    def f(u, v, out):
        out[:2] = u[0] * v[:2]
        return np.sum(u) * v

    u, v = np.arange(1.0, 7.0).reshape(2, 3)[:, :1], np.arange(3.0)
    jac = sparsead.jacobian(f, wrt=("u", "v"), of=("out", "return")).prepare(u, v, np.zeros(4))
    assert jac.column_blocks == {"u": slice(0, 2), "v": slice(2, 5)}
    assert jac.row_blocks == {"out": slice(0, 4), "return": slice(4, 7)}
    found = jac(u, v, np.zeros(4)).toarray()
    assert_allclose(found[jac.row_blocks["return"], jac.column_blocks["v"]], np.eye(3) * 5.0)
    hess = sparsead.hessian(lambda x, y: np.sum(x * x) * y, wrt=("x", "y")).prepare(np.ones(3), 2.0)
    assert hess.row_blocks == hess.column_blocks == {"x": slice(0, 3), "y": slice(3, 4)}


def test_a_check_finds_a_wrong_entry():
    jac = sparsead.jacobian(chain)
    x = np.linspace(1, 2, 8)
    assert jac.check(x.astype(np.float32)) < 1e-6 and jac.check(x) < 1e-14
    compressed = jac._compressed(jac.prepared)
    program = compressed.entries.direct_program

    class Broken:
        def run(self, inputs, out=None):
            data = program.run(inputs)[0].copy()
            data[3] *= 1 + 1e-9
            return [data]

    compressed.entries.direct_program = Broken()
    with pytest.raises(DerivativeError, match=r"row 1: .* the product is"):
        jac.check(x)


def test_a_checked_jacobian_checks_each_recording_once(monkeypatch):
    from sparsead.derivatives import jacobians

    calls = []
    monkeypatch.setattr(jacobians, "verify", lambda *args: calls.append(args) or 0.0)
    jac = sparsead.jacobian(forked, check=True)
    for x in (np.ones(4), 2 * np.ones(4), -np.ones(4), np.ones(4)):
        jac(x)
    assert len(calls) == 2


def test_nan_stays_an_entry():
    jac = sparsead.jacobian(lambda x: x**2 * x[0])
    found = jac(np.array([1.0, np.nan, 0.0]))
    assert found.nnz == 5 and np.isnan(found.data).sum() == 2
    assert jac.local_pattern(np.array([1.0, np.nan, 0.0])).nnz == 3


@pytest.mark.parametrize("shape", [(0, 4), (1, 4), (4, 1)])
@pytest.mark.parametrize("method", ["auto", "direct", "column", "row", "bidirectional"])
def test_thin_ones(shape, method):
    m, n = shape
    jac = sparsead.jacobian(lambda x: np.sum(np.ones((m, n)) * x**2, axis=1), method=method)
    found = jac(np.arange(1.0, n + 1))
    assert found.shape == (m, n)
    assert_allclose(found.toarray(), 2 * np.ones((m, 1)) * np.arange(1.0, n + 1))


def test_what_depends_on_nothing():
    for method in ("auto", "direct", "column", "row", "bidirectional"):
        found = sparsead.jacobian(lambda x: np.sign(x) * 2, method=method)(np.ones(3))
        assert found.shape == (3, 3) and found.nnz == 0
    assert sparsead.hessian(lambda x: np.sum(x))(np.ones(3)).nnz == 0


def test_layouts_unite():
    a, b = sp.csr_array(np.eye(3)), sp.csr_array(np.eye(3, k=1))
    layout = Layout(a.indptr, a.indices, (3, 3), "csc")
    grown = layout.united_with(b.indptr, b.indices)
    assert grown.version == 2 and grown.nnz == 5 and grown.united_with(a.indptr, a.indices) is grown
    assert layout.united_with(a.indptr, a.indices) is layout


@pytest.mark.parametrize("module", ["jacobians", "layouts", "stacks", "sweeps", "verifying"])
def test_examples_in_docstrings(module):
    assert doctest.testmod(importlib.import_module(f"sparsead.derivatives.{module}")).failed == 0


def test_the_page():
    page = Path(__file__).resolve().parents[1] / "docs" / "sparse.md"
    blocks = "\n".join(re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL))
    test = doctest.DocTestParser().get_doctest(blocks, {"__name__": "page"}, page.name, str(page), 0)
    result = doctest.DocTestRunner().run(test)
    assert result.attempted >= 25 and result.failed == 0


# ---- complex numbers on the way


def schroedinger(y, dy):
    n = len(y) // 2
    psi = y[:n] + 1j * y[n:]
    d = np.zeros_like(psi)
    d[1:-1] = 1j * (psi[2:] - 2 * psi[1:-1] + psi[:-2]) - 1j * np.abs(psi[1:-1]) ** 2 * psi[1:-1]
    dy[:n] = d.real
    dy[n:] = d.imag


def by_parts(y):
    z = np.zeros(len(y), complex)
    z.real = y**2
    z.imag[1:] = y[:-1]
    z.imag[0] += y[0]
    z.real[::2] *= 2
    return (z * z).imag


@pytest.mark.parametrize("method", ["auto", "column", "row", "bidirectional"])
def test_complex_numbers_on_the_way(method):
    y = np.random.default_rng(0).normal(size=20)
    jac = sparsead.jacobian(schroedinger, wrt="y", of="dy", method=method)
    assert jac(y, np.zeros(20)).nnz == 2 * 8 * 6 and jac.check(y, np.zeros(20)) < 1e-13
    assert "assumed dense" not in jac.report()
    parts = sparsead.jacobian(by_parts, method=method)
    assert parts(y).nnz == 39 and parts.check(y) < 1e-13


# ---- what a review found


@pytest.mark.parametrize("method", ["auto", "direct", "column", "row", "bidirectional"])
@pytest.mark.parametrize("pattern", [None, np.eye(3)])
def test_a_path_without_entries_still_asks_which_path_it_is(method, pattern):
    f = lambda x: np.ones(3) if x[0] > 0 else x**2
    jac = sparsead.jacobian(f, method=method, pattern=pattern)
    assert_array_equal(jac(np.ones(3)).toarray(), np.zeros((3, 3)))
    assert_array_equal(jac(-np.ones(3)).toarray(), -2 * np.eye(3))
    assert_array_equal(jac(np.ones(3)).toarray(), np.zeros((3, 3)))
    value, _ = sparsead.value_and_jacobian(f, method=method)(-np.ones(3))
    assert_array_equal(value, np.ones(3))


def test_hessians_of_a_path_without_entries():
    f = lambda x: np.sum(x) if x[0] > 0 else np.sum(x**2)
    hess, diagonal = sparsead.hessian(f), sparsead.hessian_diagonal(f)
    for x in (np.ones(3), -np.ones(3), np.ones(3)):
        assert_array_equal(hess(x).toarray(), (0 if x[0] > 0 else 2) * np.eye(3))
        assert_array_equal(diagonal(x), (0 if x[0] > 0 else 2) * np.ones(3))


@pytest.mark.parametrize("format", ["csr", "csc"])
def test_points_of_other_kinds(format):
    jac = sparsead.jacobian(lambda x, mode: x**2 if mode == "a" else x * x[::-1], format=format)
    x = np.arange(1.0, 5.0)
    stack = jac.at_points([(x, "a"), (x, "b"), (2 * x, "a")])
    assert stack.data.shape == (3, 8)
    for k, point in enumerate([(x, "a"), (x, "b"), (2 * x, "a")]):
        assert_array_equal(stack[k].toarray(), jac(*point).toarray())


@pytest.mark.parametrize("format", ["csr", "csc"])
def test_points_on_paths_with_a_given_pattern(format):
    jac = sparsead.jacobian(lambda x: x**2 if x[0] > 0 else 3 * x, pattern=np.eye(3), format=format)
    stack = jac.at_points([(np.ones(3),), (-np.ones(3),)])
    assert_array_equal(stack.data, [[2, 2, 2], [3, 3, 3]])
    assert jac(np.ones(3)).indices is jac(-np.ones(3)).indices
    assert stack != jac.at_points([(np.ones(3),)])


def test_threads_on_diagonals_that_grow():
    for _ in range(10):
        diagonal = sparsead.hessian_diagonal(lambda x: np.sum(x[:2] ** 3) if x[0] > 0 else np.sum(x[1:] ** 3))
        barrier = threading.Barrier(4)

        def call(x, diagonal=diagonal, barrier=barrier):
            barrier.wait()
            return [diagonal(s * x) for s in (1, -1, 1, -1)]

        with ThreadPoolExecutor(4) as pool:
            for found in pool.map(call, [np.arange(1.0, 5.0)] * 4):
                assert_array_equal(found, [[6, 12, 0, 0], [0, -12, -18, -24]] * 2)


def test_diagonals_at_points():
    stack = sparsead.hessian_diagonal(lambda x: np.sum(x**3)).at_points([(np.ones(3),), (2 * np.ones(3),)])
    assert_array_equal(stack.data, [[6, 6, 6], [12, 12, 12]])


def test_a_budget_is_kept():
    """Hundreds of colours: the seeds of all of them, or programs for each, would take many times the budget."""
    n = 4000
    f = lambda x: np.cumsum(x**2)[-200:] * np.cos(x[:200])
    x = np.linspace(1, 2, n)
    jac = sparsead.jacobian(f, memory="2 MB", method="row").prepare(x)
    sweeps = jac._compressed(jac.prepared).entries.sweeps
    assert len(sweeps.chunks) > 3 and len(jac.prepared.programs) <= 2
    jac(x)
    tracemalloc.start()
    jac(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4e6 + 8 * jac.pattern.nnz * 2  # of all colours it would be 200 rows of 4000, and as many seeds


def test_large_values_within_are_counted():
    from sparsead.derivatives.sweeps import LANES_BYTES

    jac = sparsead.jacobian(lambda x: np.sum(np.cumsum(np.outer(x, x), axis=0), axis=1), method="column").prepare(np.ones(700))
    chunks = jac._compressed(jac.prepared).entries.sweeps.chunks
    assert max(chunk.lanes for chunk in chunks) * 700 * 700 * 8 <= LANES_BYTES and len(chunks) > 1


def test_a_permutation_of_the_columns_is_no_order_of_rows():
    f = lambda x: np.stack([np.sum(np.cumsum(x**2)), x[3]])
    jac = sparsead.jacobian(f, order=list(range(400))[::-1])
    assert jac.check(np.linspace(0, 1, 400)) < 1e-12
    with pytest.raises(ValueError, match="length 400"):
        sparsead.jacobian(f, order=list(range(400)), method="row")(np.ones(400))


def test_checks_know_what_is_computed_in_single_precision():
    f = lambda x: (x.astype("f4") ** 2 * x[::-1].astype("f4")).astype(float)
    sparsead.jacobian(f, method="column", check=True)(np.linspace(0.1, 1, 9))


def test_a_stream_is_that_of_its_call():
    x = np.linspace(1, 2, 5)
    jac = sparsead.jacobian(chain)
    expected, stream = jac(x).toarray(), jac.stream(x)
    x[:] = 5
    found = np.zeros((5, 5))
    for rows, columns, values in stream:
        found[rows, columns] = values
    assert_allclose(found, expected, rtol=1e-14)
    with pytest.raises(ValueError, match="not read colour by colour"):
        sparsead.hessian(energy, method="acyclic").stream(np.ones(12))
    parts = sparsead.hessian(energy, triangle="lower", method="star").stream(np.ones(12))
    rows, columns, _ = (np.concatenate(part) for part in zip(*parts, strict=True))
    assert (columns <= rows).all() and len(rows) == sparsead.hessian(energy, triangle="lower")(np.ones(12)).nnz


def test_versions_do_not_go_down(monkeypatch):
    monkeypatch.setattr(sparsead.config, "max_recordings", 2)
    jac = sparsead.jacobian(forked)
    for x in (np.ones(4), -np.ones(4)):
        jac(x)
    assert jac.version == 2
    for n in (5, 6, 7):
        jac(np.ones(n))
    assert jac(np.ones(4)).nnz == 6 and jac.version == 3
    assert jac(-np.ones(4)).nnz == 8 and jac.version == 4


def test_an_out_with_other_pointers_is_refused():
    jac = sparsead.jacobian(chain)
    found = jac(np.ones(5))
    other = found.copy()
    other.indices, other.indptr = found.indices, np.array([0, 3, 5, 8, 11, 13], np.int32)
    with pytest.raises(ValueError, match="another structure"):
        jac(np.ones(5), out=other)


def test_rows_of_elements():
    jac = sparsead.element_jacobian(lambda x: np.sum(x[1:] ** 2 * x[:-1])).prepare(np.ones(5))
    assert jac.row_blocks == {"elements": slice(0, 4)} and jac.column_blocks == {"x": slice(0, 5)}
