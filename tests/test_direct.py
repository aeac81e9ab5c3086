"""Sparse Jacobians entry by entry: against sweeps for colours, on stencils, meshes, boundaries and random programs."""

import math
import runpy
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sparsead
from sparsead.schedule.form import Access
from sparsead.schedule.windows import meeting
from sparsead.sparsity._places import places_of
from sparsead.sparsity.direct.boxes import boxes, is_affine

programs = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("programs.py"))))
oracle = programs.oracle
example = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "examples" / "brusselator.py")))


def sample(*shape, seed=0):
    return np.random.default_rng(seed).uniform(0.5, 1.5, shape)


def moved(a):
    return np.asarray(0.9 * a, a.dtype) if isinstance(a, np.ndarray) else a


def agree(f, *args, wrt=0, of="return", make=sparsead.jacobian, tol=1e-13, **options):
    """Entries, their order and their dtype are those of a sweep by columns: at two points, refilled, by both engines."""
    swept = make(f, wrt=wrt, of=of, method="column", **options)
    for engine in ("vm", "reference"):
        direct = make(f, wrt=wrt, of=of, method="direct", engine=engine, **options)
        out = None
        for point in (args, [moved(a) for a in args]):
            expected, result = swept(*point), direct(*point)
            assert result.dtype == expected.dtype and result.shape == expected.shape
            np.testing.assert_array_equal(result.indptr, expected.indptr)
            np.testing.assert_array_equal(result.indices, expected.indices)
            scale = max(1.0, np.abs(expected.data).max(initial=0))
            np.testing.assert_allclose(result.data, expected.data, rtol=0, atol=tol * scale)
            out = result if out is None else out
            out.data[:] = np.nan
            assert direct(*point, out=out) is out
            np.testing.assert_array_equal(out.data, result.data if result is not out else direct(*point).data)
    assert direct.method == "direct"
    return result


# ---- stencils and boundaries


def test_brusselator():
    for n in (3, 4, 9):
        rhs, y0 = example.brusselator(n)
        for t in (0.0, 2.0):
            agree(rhs, t, y0 + sample(y0.size), np.empty_like(y0), wrt="y", of="dy")


def burgers(u):
    r = np.zeros_like(u)
    r[1:-1] = 0.1 * (u[2:] - 2 * u[1:-1] + u[:-2]) - 0.2 * u[1:-1] * (u[2:] - u[:-2])
    return r


def burgers_steps(u):
    u = u.copy()
    for _ in range(3):
        u[1:-1] += 0.1 * (u[2:] - 2 * u[1:-1] + u[:-2]) - 0.2 * u[1:-1] * (u[2:] - u[:-2])
    return u


def rolled_loop(u):
    u = u.copy()
    for _ in sparsead.steps(12):
        u[1:] += 0.1 * u[:-1] * u[1:]
    return u


def upwind(u):
    back, ahead = u - np.roll(u, 1), np.roll(u, -1) - u
    return -u * np.where(u > 1, back, ahead) + np.maximum(u, 0.8 * back)


def with_ghosts(u):
    padded = np.pad(u, 1, mode="edge")
    return padded[2:] * padded[:-2] - padded[1:-1] ** 3


def dirichlet(u):
    r = np.empty_like(u)
    r[1:-1, 1:-1] = u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2] - 4 * np.exp(u[1:-1, 1:-1])
    r[0] = r[-1] = 0.0
    r[:, 0] = u[:, 0] - 1
    r[:, -1] = u[:, -1] * u[:, -2]
    return r


def periodic(u):
    return (np.roll(u, 1, 0) + np.roll(u, -1, 0) + np.roll(u, 1, 1) + np.roll(u, -1, 1) - 4 * u + np.exp(u)).ravel()


def flattened(y):
    u = y.reshape(6, 5)
    lap = np.zeros((6, 5))
    lap[1:-1, 1:-1] = u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2] - 4 * u[1:-1, 1:-1]
    return lap.ravel() * y - y**3


def diffusion_3d(u):
    k, r = 1 + u * u, np.zeros_like(u)
    x, y, z = (0.5 * (k[1:] + k[:-1]) * np.diff(u, axis=0), np.diff(u, axis=1), np.diff(u, axis=2) * k[:, :, 1:])
    r[1:-1] += x[1:] - x[:-1]
    r[:, 1:-1] += y[:, 1:] - y[:, :-1]
    r[:, :, 1:-1] += z[:, :, 1:] - z[:, :, :-1]
    r[0] = u[0]
    return r


def backwards(u):
    v = u[::-1].T
    w = np.empty_like(v)
    w[::2] = v[::2] ** 2
    w[1::2] = np.sin(v[1::2])[:, ::-1]
    return w[::-1]


STENCILS = [
    (burgers, (17,)), (burgers_steps, (12,)), (rolled_loop, (9,)), (upwind, (11,)), (with_ghosts, (7,)),
    (dirichlet, (7, 6)), (periodic, (5, 6)), (flattened, (30,)), (diffusion_3d, (4, 5, 6)), (backwards, (5, 4)),
]  # fmt: skip


@pytest.mark.parametrize("format", ["csr", "csc"])
@pytest.mark.parametrize(("f", "shape"), STENCILS, ids=lambda v: getattr(v, "__name__", str(v)))
def test_stencils(f, shape, format):
    agree(f, sample(*shape), format=format)


@pytest.mark.parametrize(("f", "shape"), STENCILS, ids=lambda v: getattr(v, "__name__", str(v)))
def test_layouts_and_dtypes(f, shape):
    agree(f, np.asfortranarray(sample(*shape)))
    agree(f, sample(*shape)[::-1])
    if f is not flattened:
        agree(f, np.repeat(sample(*shape), 2, axis=0)[::2])
    single = agree(f, sample(*shape).astype(np.float32), tol=1e-5)
    assert single.dtype == (np.float64 if f is flattened else np.float32)  # which has an array of zeros in double precision


def test_dense_format():
    direct, swept = (sparsead.jacobian(dirichlet, format="dense", method=m) for m in ("direct", "column"))
    out = np.full((42, 42), np.nan)
    assert direct(sample(7, 6), out=out) is out
    np.testing.assert_allclose(out, swept(sample(7, 6)), rtol=0, atol=1e-14)


# ---- several inputs and outputs


def shallow_water(h, u, v):
    dh, du, dv = np.zeros_like(h), np.zeros_like(u), np.zeros_like(v)
    dh -= u[1:] - u[:-1] + (v[:, 1:] - v[:, :-1])
    du[1:-1] = -9.81 * (h[1:] - h[:-1]) - u[1:-1] * 0.5 * (u[2:] - u[:-2])
    du[0], du[-1] = u[0], u[-1]
    dv[:, 1:-1] = -9.81 * (h[:, 1:] - h[:, :-1])
    return dh, du, dv


@pytest.mark.parametrize("wrt", [0, 1, (0, 1, 2), (2, 0)], ids=str)
def test_a_staggered_grid(wrt):
    agree(shallow_water, sample(4, 5), sample(5, 5), sample(4, 6), wrt=wrt)


def test_mutated_arguments():
    def step(u, v, work):
        work[:] = u * v
        u += 0.1 * work
        v[1:] -= work[:-1]
        return work.sum()

    args = sample(6), sample(6, seed=1), np.zeros(6)
    agree(step, *args, wrt=(0, 1), of=("v", "return", "u"))
    agree(step, *args, wrt=1, of="work")


def test_structured_arguments_and_parts_of_one_block():
    def f(state, k):
        a, b = state["a"], state["b"]
        return np.concatenate([a[1:] * b[:-1], k * a])

    block = sample(12)
    for a, b in ((sample(5), sample(5, seed=1)), (block[1:6], block[6:11]), (block[:10:2], block[1:11:2])):
        direct, swept = (sparsead.jacobian(f, wrt=(0, 1), method=m) for m in ("direct", "column"))
        args = {"a": a, "b": b}, 2.0
        np.testing.assert_allclose(direct(*args).toarray(), swept(*args).toarray(), rtol=0, atol=1e-14)


def test_outputs_of_several_dtypes():
    def f(x):
        return x[1:].astype(np.float32) ** 2, x[:-1] * 3, (x > 1).astype(float)

    agree(f, sample(6), tol=1e-6)


def test_single_and_double_precision_in_one_expression():
    def f(x, y):
        u = x.copy()
        u[1:] *= x[:-1]
        return u * y * x * u, (u * y).astype(np.float32) * x

    x, y = sample(5).astype(np.float32), sample(5, seed=1)
    for wrt in (0, 1, (0, 1)):
        agree(f, x, y, wrt=wrt, tol=1e-12)  # a coefficient in single precision would miss by 1e-8


def test_scalar_code():
    def f(y):
        r = np.empty(4)
        rate = [0.3 * y[0] * y[1], 2.0 * y[2], np.exp(-y[3]) * y[0]]
        r[0] = -rate[0] + rate[1]
        r[1] = -rate[0] - rate[2]
        r[2] = rate[0] - rate[1]
        r[3] = rate[2] * rate[1]
        return r

    agree(f, sample(4))


# ---- index arrays, sums, choices

AT = np.array([3, 0, 5, 0, 2, 3])


def mesh(u):
    corners = np.array([[0, 1, 2], [1, 3, 2], [2, 3, 4], [4, 3, 5], [5, 0, 4]])
    local = u[corners.T]
    slope = np.sum(np.array([1.0, -2.0, 0.5])[:, None] * local, axis=0)
    conductivity = 1 + np.mean(local, axis=0) ** 2
    r = np.zeros_like(u)
    for k in range(3):
        np.add.at(r, corners[:, k], (k + 1) * conductivity * slope)
    return r * u


def last_one_wins(u):
    r = u**2
    r[AT] = np.sin(u[AT[::-1]])
    return r * 2


def added_to_what_is_there(u):
    r = u**2
    r[AT] += u[1] * u
    np.add.at(r, AT, u * u)
    np.subtract.at(r, AT[:2], 3 * u[:2])
    return r


def windows_that_overlap(u):
    w = np.lib.stride_tricks.sliding_window_view(u, 3)
    return w.sum(axis=1) * w[:, 1]


def sums(u):
    m = u.reshape(2, 3)
    return np.concatenate([m.sum(axis=0) * m[0], np.atleast_1d((u**2).sum()), np.outer(u, u).sum(axis=1)[:2]])


def broadcasts(u):
    return u[:, None] * np.array([1.0, 2.0]) + np.ones((6, 1)) * u[2] + np.broadcast_to(u[:2], (6, 2))


def written_in_part_and_broadcast(u):
    v = u.copy()
    v[1:] *= u[:-1]
    return v * np.arange(12.0).reshape(2, 6) * u[None, :]


def choices(u):
    x = np.where(u > 1, np.sqrt(np.abs(u - 1)), 0 * u)
    x[u < 0.8] = 0.0
    x = np.where(np.arange(6) % 2 == 0, x, u[::-1])
    return np.clip(x, 0.2, u)


def two_results(u):
    whole, part = np.divmod(u, 0.3)
    return whole + part * np.modf(u)[0]


INDEXED = [mesh, last_one_wins, added_to_what_is_there, windows_that_overlap]
OTHERS = [sums, broadcasts, written_in_part_and_broadcast, choices, two_results]


@pytest.mark.parametrize("f", INDEXED + OTHERS, ids=lambda f: f.__name__)
def test_indices_sums_and_choices(f):
    agree(f, sample(6))


# ---- what there is little of


LITTLE = {
    "independent": lambda x: np.zeros(3),
    "no rows": lambda x: x[:0],
    "constant": lambda x: 2 * x + 1,
    "one number": lambda x: x[1],
    "flat": lambda x: np.floor(x) * 0.0 + np.arange(4),
    "an axis of nothing": lambda x: x.reshape(2, 2)[:, :0],
    "zeros among them": lambda x: np.concatenate([x, np.zeros(2), x * 0.0]),
    "one column": lambda x: np.full(5, 1.0) * x[3],
}


@pytest.mark.parametrize("f", LITTLE.values(), ids=LITTLE)
def test_little(f):
    for x in (sample(4), sample(4).astype(np.float32)):
        direct, swept = (sparsead.jacobian(f, method=m) for m in ("direct", "column"))
        for _ in range(2):
            result, expected = direct(x), swept(x)
            assert result.dtype == expected.dtype
            np.testing.assert_array_equal(result.toarray(), expected.toarray())


def test_no_columns():
    assert sparsead.jacobian(lambda x: np.append(x * 2, 1.0), method="direct")(np.zeros(0)).shape == (1, 0)


# ---- Hessians


@pytest.mark.parametrize(
    "loss",
    [
        lambda x: np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2),
        lambda x: np.sum(x**3) + x[0] * np.sum(x**2),
        lambda x: np.sum(np.exp(x) * x) + np.sum((x[1:] - x[:-1]) ** 2 * x[1:]),
        lambda x: np.sum(x.reshape(2, 3).sum(axis=0) ** 3),
    ],
    ids=["rosenbrock", "arrow", "neighbours", "partial sums"],
)
def test_hessians(loss):
    agree(loss, sample(6), make=sparsead.hessian, tol=1e-12)


# ---- random programs


def test_random_programs():
    """Programs that cannot be assembled say so; of the others every entry agrees."""
    how = Counter()

    @settings(max_examples=settings().max_examples, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(programs.programs())
    def run(program):
        f, of = program.function(), program.of
        tol = 3e-5 if "float32" in program.source else 1e-10
        direct, swept = (sparsead.jacobian(f, of=of, method=m) for m in ("direct", "column"))
        try:
            for args in (program.args, oracle.moved(program.args)):
                expected, result = swept(*args), direct(*args)
                oracle.close(result.toarray(), expected.toarray(), tol)
                oracle.close(direct(*args, out=result).toarray(), expected.toarray(), tol)
            how["direct"] += 1
        except ValueError as error:
            assert "method='direct' is not possible" in str(error)
            how["not possible"] += 1

    run()
    assert how["direct"] > how["not possible"] // 2 > 0


# ---- the choice


def test_the_cheaper_method_is_taken_and_reported():
    jac = sparsead.jacobian(burgers).prepare(sample(1000))
    assert "without colours" in jac.report() and jac.coloring.count == 3
    jac = sparsead.jacobian(lambda x: np.linalg.solve(np.eye(3) + np.diag(x), x)).prepare(sample(3))
    assert "not entry by entry: solve" in jac.report() and "Coloring" in jac.report()
    jac = sparsead.jacobian(lambda x: np.cumsum(x)).prepare(sample(5))
    assert "not entry by entry" in jac.report()


def test_nothing_is_coloured_where_no_colouring_could_be_cheaper():
    """An arrow: its first row has as many colours as there are columns."""
    x = sample(3000)
    hess = sparsead.hessian(lambda x: np.sum(x**3) + x[0] * np.sum(x**2))
    H = hess(x)
    assert hess.method == "direct" and "sweeps, at least" in hess.report()
    assert "coloring" not in vars(hess.prepared.cache["compressed"])
    np.testing.assert_allclose(H.diagonal()[1:], 6 * x[1:] + 2 * x[0])
    np.testing.assert_allclose(H[[0]].toarray()[0, 1:], 2 * x[1:])


@pytest.mark.parametrize("method", ["direct", "column", "row"])
def test_a_method_that_is_asked_for_is_taken(method):
    x = sample(9)
    jac = sparsead.jacobian(burgers, method=method)
    np.testing.assert_allclose(jac(x).toarray(), sparsead.jacobian(burgers)(x).toarray(), rtol=0, atol=1e-15)
    assert jac.method == method
    assert method == "direct" or jac.coloring.partition == method


def test_direct_where_it_is_not_possible():
    jac = sparsead.jacobian(lambda x: np.cumsum(x * x), method="direct")
    with pytest.raises(ValueError, match=r"method='direct' is not possible here: scan at .*test_direct.py:\d+"):
        jac(sample(4))


# ---- out


def test_out_of_another_recording_and_memory_that_is_in_use():
    def f(x, factor):
        return x * factor[0] if factor[0] < 2 else x**2

    jac, x = sparsead.jacobian(f, method="direct"), sample(4)
    first = jac(x, np.array([1.5]))
    assert jac(x, np.array([3.0]), out=first) is first  # another path, with the same structure
    np.testing.assert_allclose(first.data, 2 * x)
    data = first.data
    assert jac(data, np.array([3.0]), out=first) is first  # the point is in the memory of the result
    np.testing.assert_allclose(first.data, 4 * x)


def test_out_is_not_written_on_a_wrong_path():
    def f(x):
        work = x.copy()
        work[0] = 3 * x[1]
        y = np.exp(work)
        return y if work.sum() < 100 else np.concatenate([y, y])

    x = sample(4)
    jac = sparsead.jacobian(f, method="direct")
    out = jac(x)
    kept = out.data.copy()
    with pytest.raises(ValueError, match="out has"):
        jac(x + 200, out=out)
    np.testing.assert_array_equal(out.data, kept)


def test_out_of_another_dtype_and_read_only():
    jac, x = sparsead.jacobian(burgers, method="direct"), sample(9)
    expected, out = jac(x), jac(x).astype(np.float32)
    np.testing.assert_array_equal(jac(x, out=out).data, expected.data.astype(np.float32))
    out = jac(x)
    out.data = np.repeat(out.data, 2)[::2]
    out.data[:] = 0
    np.testing.assert_array_equal(jac(x, out=out).data, expected.data)
    out.data.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        jac(x, out=out)


# ---- numbers that are not finite


def test_each_entry_has_its_own_factors_only():
    x = np.array([1.0, np.inf, 2.0, np.nan, 3.0])
    for engine in ("vm", "reference"):
        J = sparsead.jacobian(lambda x: x[1:] * x[:-1], method="direct", engine=engine)(x).toarray()
        expected = np.zeros((4, 5))
        for i in range(4):
            expected[i, i], expected[i, i + 1] = x[i + 1], x[i]
        np.testing.assert_array_equal(J, expected)
        root = lambda x: np.where(x > 0, np.sqrt(np.maximum(x, 0)), 0)  # infinite on the side that is not taken
        J = sparsead.jacobian(root, method="direct", engine=engine)(np.array([0.0, 4.0, -1.0]))
        np.testing.assert_array_equal(J.toarray(), np.diag([0, 0.25, 0]))


# ---- parts


@settings(max_examples=settings().max_examples, deadline=None)
@given(st.integers(1, 3), st.integers(1, 3), st.randoms(use_true_random=False))
def test_boxes_are_a_partition(ndim, count, random):
    shape = tuple(random.randint(1, 7) for _ in range(ndim))
    arrays = [np.full(shape, -1, np.int64) for _ in range(count)]
    for array in arrays:
        for _ in range(random.randint(1, 3)):  # affine parts of rectangles
            part = tuple(slice(*sorted((random.randint(0, n), random.randint(0, n)))) for n in shape)
            grid = np.indices(shape)[(slice(None), *part)]
            array[part] = 50 + sum(random.randint(1, 9) * g for g in grid)
    covered = np.zeros(shape, int)
    for box in boxes(arrays):
        covered[box] += 1
    assert (covered == 1).all()


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        ([5, 0, 2, 4, 6, 1], [1, 4, 1]),
        ([0, 6, 12, 18, 30, 36, 42], [4, 3]),
        ([0, 6, 12, 18, 19, 20, 21], [4, 3]),
        ([-1, 6, 12, 18, -1], [1, 3, 1]),
        ([-1, -1, -1, 6, 12, 18], [3, 3]),
        ([3, 5], [2]),
        ([-1, 5], [1, 1]),
        ([7], [1]),
    ],
    ids=str,
)
def test_boxes_along_one_axis(array, expected):
    found = boxes([np.array(array)])
    assert [s.stop - s.start for (s,) in found] == expected
    assert all(is_affine(np.array(array)[box]) or (np.array(array)[box] < 0).all() for box in found)


def test_the_interior_of_a_grid_is_one_box():
    where = 6 * np.arange(80).reshape(8, 10)
    where[:, 0] += 5
    where[0] += 2
    where[-1] -= 1
    sizes = sorted((math.prod(s.stop - s.start for s in box) for box in boxes([where])), reverse=True)
    assert sizes[0] == 6 * 9 and len(sizes) == 6


def test_places_of_entries():
    pattern = np.random.default_rng(0).random((20, 30)) < 0.3
    rows, columns = np.nonzero(pattern)
    indptr = np.concatenate([[0], np.cumsum(pattern.sum(axis=1))])
    r, c = np.indices((20, 30))
    found = places_of(indptr, columns.astype(np.int32), r, c)
    np.testing.assert_array_equal(found >= 0, pattern)
    np.testing.assert_array_equal(found[pattern], np.arange(len(rows)))
    assert places_of(indptr, columns, np.array([-1, 3]), np.array([4, -1])).tolist() == [-1, -1]


@settings(max_examples=20 * settings().max_examples, deadline=None)
@given(st.data())
def test_windows_that_are_apart_share_no_byte(data):
    """Windows of one lattice with other remainders, as the entries of a row, are known to be apart."""
    space = tuple(data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)))

    def window():
        strides = tuple(8 * data.draw(st.integers(-6, 6)) for _ in space)
        return Access(0, 8 * data.draw(st.integers(20, 40)), strides, np.dtype(float))

    def elements(access):
        return {access.offset + sum(i * s for i, s in zip(index, access.strides, strict=True)) for index in np.ndindex(space)}

    a = window()
    b = window() if data.draw(st.booleans()) else a._replace(offset=a.offset + 8 * data.draw(st.integers(-3, 3)))
    if meeting(a, b, space) == "apart":
        assert not elements(a) & elements(b)


def test_entries_of_a_row_are_apart():
    a = Access(0, 0, (240, 48), np.dtype(float))
    assert [meeting(a, a._replace(offset=8 * k), (3, 5)) for k in range(7)] == ["same"] + 5 * ["apart"] + ["meet"]


def test_sums_over_a_broadcast_are_no_windows():
    def loss(a, c):
        wide = np.broadcast_to(a, (2, *a.shape))
        a[0] *= c
        r = np.concatenate([wide.ravel(), a])
        return np.sum(r**2 * np.roll(r, 1))

    agree(loss, sample(6), 0.75, wrt=("a", "c"), make=sparsead.hessian)


# ---- contractions


MATRIX, ELEMENTS = sample(6, 6, seed=3), sample(4, 3, 3, seed=4)
CELLS = np.arange(4)[:, None] + np.arange(3)


def test_products_with_matrices():
    agree(lambda x: MATRIX @ np.sin(x), sample(6))
    agree(lambda x: np.sin(x) @ MATRIX[:, :2], sample(6))
    agree(lambda x: (x[:, None] * MATRIX) @ x, sample(6))
    agree(lambda x: np.dot(x, x) * x[:2], sample(6))
    agree(lambda x: x.reshape(2, 3) @ x.reshape(3, 2), sample(6))
    agree(lambda x: np.matmul(x.reshape(4, 2, 3), x.reshape(4, 3, 2)), sample(24))
    agree(lambda a: a.T @ MATRIX[:3], np.asfortranarray(sample(3, 2)))
    agree(lambda x: np.outer(x, x[:3])[1:], sample(4))


def test_contractions():
    agree(lambda u: np.einsum("eij,ej->ei", ELEMENTS, u[CELLS] ** 2), sample(6))
    agree(lambda u: np.einsum("eij,ei,ej->e", ELEMENTS, u[CELLS], np.cos(u[CELLS])), sample(6))
    agree(lambda a: np.einsum("ii->i", a) * np.einsum("ij->j", a), sample(3, 3))
    agree(lambda a: np.einsum("ij,ij,jk->ki", a, a, MATRIX[:3]), sample(2, 3))
    agree(lambda a: np.einsum("ijk->kj", a)[::-1], sample(9, 2, 3))

    def residual(u, r):
        r[:] = 0
        np.add.at(r, CELLS, np.einsum("eij,ej->ei", ELEMENTS, u[CELLS] ** 2))

    agree(residual, sample(6), sample(6), wrt="u", of="r")
    agree(lambda u: np.einsum("eij,ei,ej->", ELEMENTS, u[CELLS], u[CELLS] ** 2), sample(6), make=sparsead.hessian)


def test_a_recurrence_is_given_up_before_long():
    def recurrence(a):
        y = a.copy()
        for i in range(1, len(a)):
            y[i] -= 0.3 * y[i - 1] * y[i]
        return y

    jac = sparsead.jacobian(recurrence).prepare(sample(60))
    assert jac.method != "direct" and "not entry by entry: too many partial derivatives" in jac.report()
