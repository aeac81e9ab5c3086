"""Ops through the public face: the table of elementwise ops drives the first half, the others have their cases here.

Of every function: its value against NumPy bit by bit, its full Jacobian by tangents and by adjoints against an oracle of
numbers alone, and the product of a second derivative with a vector. Each is taken from a replay at a second point.
"""

import itertools

import numpy as np
import pytest

import oracle
import sparsead
from composite_arrays import LAYOUTS
from sparsead.ops.elementwise import BY_NAME, RECORDS
from test_elementwise_partials import ORACLES, as_tuple, central_differences, floating

EPS_TOL = {np.float64: 1e-11, np.float32: 1e-4}  # tangents against adjoints: rounding alone

# ---- Elementwise: records x shapes x layouts x dtypes ---------------------------------------------------------------

SHAPES = {
    "scalar": [(), (), ()],
    "matrix": [(3, 4), (3, 4), (3, 4)],
    "outer": [(3, 1), (1, 4), (4,)],
    "rows": [(4,), (3, 4), ()],
    "empty": [(0, 3), (1, 3), (3,)],
}
# Every shape with every layout, the dtypes in turns: each pair of choices occurs. Scalars and what is empty have no layout.
KINDS = [("scalar", "C", np.float64), ("scalar", "C", np.float32), ("empty", "F", np.float64), ("empty", "C", np.float32)]
KINDS += [
    (shapes, layout, np.float32 if (i + j) % 2 else np.float64)
    for i, shapes in enumerate(["matrix", "outer", "rows"])
    for j, layout in enumerate(LAYOUTS)
]
# NumPy's functions for the records that are no ufuncs. strong_multiply is met in derivatives alone: of np.where.
DOORS = {"select": np.where, "stop_gradient": sparsead.stop_gradient, "strong_multiply": None}
ACTIVE = [r for r in RECORDS if (r.active or r.name == "stop_gradient") and DOORS.get(r.name, r.ufunc) is not None]
INACTIVE = [r for r in RECORDS if not r.active and r not in ACTIVE and floating(r)]


def over(records):
    return pytest.mark.parametrize("record", records, ids=lambda record: record.name)


def with_names(g, nin):
    """`g` with as many named arguments."""
    return {1: lambda x: g(x), 2: lambda x, y: g(x, y), 3: lambda x, y, z: g(x, y, z)}[nin]


def split_results(record):
    """The op as a function that returns its floating results, and the others as auxiliary ones."""
    function = DOORS.get(record.name, record.ufunc)

    def g(*operands):
        results = as_tuple(function(*operands))
        return tuple(z for z in results if z.dtype.kind == "f"), tuple(z for z in results if z.dtype.kind != "f")

    return with_names(g, record.nin)


def sampled(record, rng, kind):
    """Operands inside the domain; each has the next layout."""
    shapes, layout, dtype = kind
    start, makers = list(LAYOUTS).index(layout), list(LAYOUTS.values())
    operands = record.sample(rng, *SHAPES[shapes][: record.nin], dtype=dtype)
    return tuple(makers[(start + k) % len(makers)](x) if x.ndim else x for k, x in enumerate(operands))


def in_double(operands):
    return tuple(np.array(x, np.float64 if x.dtype.kind == "f" else x.dtype, order="C") for x in operands)


def primal(record):
    function = np.where if record.name == "select" else record.ufunc
    return lambda *operands: tuple(z for z in as_tuple(function(*operands)) if np.asarray(z).dtype.kind in "fc")


def oracle_partials(record, operands):
    """By floating operand, for each floating result its partial derivative; full shape, in double precision."""
    operands = np.broadcast_arrays(*in_double(operands))
    if record.name == "stop_gradient":
        return [[np.zeros(operands[0].shape)]]
    find, _ = ORACLES[record.oracle or "difference"]
    return [find(primal(record), operands, k) for k in floating(record)]


def spread_jacobian(partials, shapes, shape):
    """Jacobian of a broadcasting elementwise op by all its floating operands, from its partial derivatives."""
    blocks = []
    for by_result, own in zip(partials, shapes, strict=True):
        n = int(np.prod(own))
        moves = np.broadcast_to(np.eye(n).reshape(*own, n), (*shape, n)) if own else np.ones((*shape, 1))
        blocks.append([(np.broadcast_to(p, shape)[..., None] * moves).reshape(int(np.prod(shape)), n) for p in by_result])
    return np.hstack([np.vstack(block) for block in blocks])


def second_product(record, operands, weights, v):
    """Derivative along `v` of the gradient of ``sum(w * z * z)``, by differences of the table's partials."""
    operands, where = in_double(operands), floating(record)

    def gradient(s):
        at = list(operands)
        for k, direction in zip(where, v, strict=True):
            at[k] = at[k] + s * direction
        results = as_tuple(record.ufunc(*at))
        rows = record.rows(tuple(at), results)
        floats = [r for r, z in enumerate(results) if np.asarray(z).dtype.kind == "f"]
        terms = [[2 * w * results[r] * rows[r][k] for r, w in zip(floats, weights, strict=True)] for k in where]
        return tuple(summed_to(sum(term), operands[k].shape) for k, term in zip(where, terms, strict=True))

    return central_differences(gradient, (0.0,), 0)


def summed_to(a, shape):
    a = np.asarray(a)
    a = a.sum(axis=tuple(range(a.ndim - len(shape))))
    return a.sum(axis=tuple(k for k, n in enumerate(shape) if n == 1 and a.shape[k] != 1), keepdims=True).reshape(shape)


def basis_of(arrays):
    """Unit tangents of several arrays."""
    for k, a in enumerate(arrays):
        for unit in np.eye(a.size, dtype=a.dtype):
            yield tuple(unit.reshape(b.shape) if j == k else np.zeros(b.shape, b.dtype) for j, b in enumerate(arrays))


def raveled(arrays):
    return np.concatenate([np.ravel(a) for a in arrays]) if arrays else np.zeros(0)


def jacobian_by_tangents(jvp, args, wrt, outputs):
    columns = [raveled(jvp(*args, t)[1]) for t in basis_of([args[k] for k in wrt])]
    return np.array(columns, float).T.reshape(raveled(outputs).size, len(columns))


def jacobian_by_adjoints(vjp, args, wrt, outputs):
    _, pullback = vjp(*args)
    rows = [raveled(pullback(s)) for s in basis_of([np.asarray(z) for z in outputs])]
    return np.array(rows, float).reshape(len(rows), sum(np.size(args[k]) for k in wrt))


def near(got, expected, tol):
    scale = max(1.0, np.abs(expected).max(initial=0.0))
    np.testing.assert_allclose(got, expected, rtol=0, atol=tol * scale)


@over(ACTIVE)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind[0]}-{kind[1]}-{np.dtype(kind[2]).str[1:]}")
def test_elementwise(record, kind):
    rng, dtype = np.random.default_rng(23), kind[2]
    f, wrt = split_results(record), tuple(floating(record))
    first, args = sampled(record, rng, kind), sampled(record, rng, kind)
    jvp, vjp = (d(f, wrt=wrt, has_aux=True) for d in (sparsead.jvp, sparsead.vjp))
    zeros = tuple(np.zeros_like(first[k]) for k in wrt)
    for point in (first, args):
        ((values, others), dots), ((again, _), _) = jvp(*point, zeros), vjp(*point)
        expected, rest = f(*point)
        oracle.same_bits(values, expected)
        oracle.same_bits(again, expected)
        oracle.same_bits(others, rest)
        assert [np.asarray(d).dtype for d in dots] == [z.dtype for z in expected]
    partials = oracle_partials(record, args)
    shape = np.broadcast_shapes(*(x.shape for x in args))
    want = spread_jacobian(partials, [args[k].shape for k in wrt], shape)
    forward = jacobian_by_tangents(lambda *a: (None, jvp(*a)[1]), args, wrt, values)
    reverse = jacobian_by_adjoints(vjp, args, wrt, values)
    near(reverse, forward, EPS_TOL[dtype])
    near(forward, want, 3e-5 if dtype is np.float32 else ORACLES[record.oracle or "difference"][1])


@over([r for r in ACTIVE if r.partials is not None and r.oracle is not None])
@pytest.mark.parametrize("kind", KINDS[::3], ids=lambda kind: f"{kind[0]}-{kind[1]}-{np.dtype(kind[2]).str[1:]}")
def test_elementwise_to_second_order(record, kind):
    rng, f, wrt = np.random.default_rng(24), split_results(record), tuple(floating(record))
    first, args = sampled(record, rng, kind), sampled(record, rng, kind)
    weights = [rng.uniform(0.5, 1.5, np.shape(z)).astype(z.dtype) for z in f(*args)[0]]
    v = tuple(np.asarray(rng.uniform(-1, 1, args[k].shape)).astype(args[k].dtype) for k in wrt)
    hvp = sparsead.hvp(with_names(lambda *a: sum(np.sum(w * z * z) for w, z in zip(weights, f(*a)[0], strict=True)),
                                  record.nin), wrt=wrt)  # fmt: skip
    hvp(*first, v)
    want = second_product(record, args, weights, v)
    for got, expected, k in zip(hvp(*args, v), want, wrt, strict=True):
        assert np.asarray(got).dtype == args[k].dtype
        near(got, expected, 1e-3 if kind[2] is np.float32 else 1e-6)


@over(INACTIVE)
def test_results_without_derivative_are_computed_anew(record):
    rng = np.random.default_rng(25)
    kind = ("rows", "strided", np.float64)

    def g(*operands):
        truth = record.ufunc(*operands)
        return np.where(truth, operands[0], 2.0 * operands[-1]), truth

    f = with_names(g, record.nin)
    jvp = sparsead.jvp(f, has_aux=True)
    for args in (sampled(record, rng, kind), sampled(record, rng, kind)):
        (value, truth), dot = jvp(*args, np.ones_like(args[0]))
        oracle.same_bits((value, truth), f(*args))
        by_first = truth + 2.0 * ~truth if record.nin == 1 else truth
        np.testing.assert_array_equal(dot, np.broadcast_to(by_first, dot.shape))


@pytest.mark.parametrize("ufunc", [np.bitwise_and, np.bitwise_or, np.bitwise_xor])
def test_masks_are_combined_by_bits(ufunc):
    def f(x, y):
        return np.where(ufunc(x > 0, y > 0), x * y, ~(x > 0) * x)

    for x, y in ((np.array([1.0, -1, 1, -2]), np.array([1.0, 2, -3, -1])), (np.array([-1.0, 1, 4, 2]), np.ones(4))):
        value, dot = sparsead.jvp(f)(x, y, np.ones(4))
        oracle.same_bits(value, f(x, y))
        taken = ufunc(x > 0, y > 0)
        np.testing.assert_array_equal(dot, np.where(taken, y, ~(x > 0)))


def test_the_kinds_cover_every_pair_of_choices():
    laid_out = [kind for kind in KINDS if kind[0] not in ("scalar", "empty")]
    assert {kind[0] for kind in KINDS} == set(SHAPES)
    assert {kind[:2] for kind in laid_out} == set(itertools.product(["matrix", "outer", "rows"], LAYOUTS))
    for place in (0, 1):
        choices = {kind[place] for kind in laid_out}
        assert {(k[place], k[2]) for k in laid_out} == set(itertools.product(choices, [np.float64, np.float32]))


def test_every_record_is_tried():
    tried = {r.name for r in ACTIVE + INACTIVE}
    of_integers = {r.name for r in RECORDS if not r.active and not floating(r)}  # what takes no floats has no trace
    assert tried | of_integers | {"strong_multiply"} == set(BY_NAME)
    assert len(ACTIVE) > 60


# ---- What the other ops share -----------------------------------------------------------------------------------------


def smooth(*shapes, seed=3):
    """Distinct numbers away from 0, of both signs."""
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.uniform(0.3, 1.7, shape) * rng.choice([-1.0, 1.0], shape)) for shape in shapes]


def laid(args, layout):
    return [LAYOUTS[layout](a) if a.ndim else a for a in args]


def check(f, args, method="cs", exact=True, second=True):
    """Value, Jacobian by both modes and second order of `f` by all its arguments, at the second point that it sees."""
    wrt, args = tuple(range(len(args))), tuple(args)
    jvp, vjp = sparsead.jvp(f, wrt=wrt), sparsead.vjp(f, wrt=wrt)
    zeros = tuple(np.zeros_like(a) for a in args)
    first = (jvp(*args, zeros)[0], vjp(*args)[0])
    points = (args, oracle.moved(args))
    args = points[1]
    values = (first, (jvp(*args, zeros)[0], vjp(*args)[0]))
    for point, pair in zip(points, values, strict=True):
        for value in pair:
            (oracle.same_bits if exact else oracle.close)(value, oracle.values(f, point))
    outputs = (np.asarray(values[1][0]),)
    want = oracle.jacobian(f, args, wrt, method=method)
    forward = jacobian_by_tangents(lambda *a: (None, (jvp(*a)[1],)), args, wrt, outputs)
    _, pullback = vjp(*args)
    reverse = np.array([raveled(pullback(seed)) for (seed,) in basis_of(outputs)], float).reshape(want.shape)
    near(forward, want, 1e-10 if method == "cs" else 1e-7)
    near(reverse, forward, 1e-11)
    if second:
        check_second(f, args, wrt, method)


def check_second(f, args, wrt, method):
    rng = np.random.default_rng(5)
    w = rng.uniform(0.5, 1.5, np.shape(oracle.values(f, args)))
    v = tuple(np.asarray(rng.uniform(-1, 1, np.shape(a))) for a in args)
    got = sparsead.hvp(with_names(lambda *a: np.sum(w * f(*a) ** 2), len(args)), wrt=wrt)(*args, v)

    def gradient(s):
        at = [stepped(a, s * t) for a, t in zip(args, v, strict=True)]
        return np.ravel(2 * w * oracle.values(f, at)) @ oracle.jacobian(f, at, wrt, method=method)

    def slope(h):
        return (gradient(h) - gradient(-h)) / (2 * h)

    near(raveled(got), (4 * slope(5e-4) - slope(1e-3)) / 3, 1e-7 if method == "cs" else 1e-4)


def stepped(a, t):
    new = np.empty_like(a)
    new[...] = a + t
    return new


def cases(*functions):
    return pytest.mark.parametrize("f", functions, ids=range(len(functions)))


def over_ufuncs(**by_oracle):
    """Ufuncs by the method of their oracle: complex steps or differences."""
    rows = [pytest.param(ufunc, method, id=ufunc.__name__) for method, them in by_oracle.items() for ufunc in them]
    return pytest.mark.parametrize(("ufunc", "method"), rows)


# ---- Keywords of ufuncs ---------------------------------------------------------------------------------------------

MASK = np.array([[True, False, True, True], [False, False, True, False], [True, True, False, True]])


def into_new(x, y):
    out = np.zeros((3, 4), dtype=np.result_type(x, y))
    np.multiply(x, y, out=out)
    return out * x


def into_a_view(x, y):
    out = np.ones((4, 6), dtype=np.result_type(x, y))
    np.multiply(x, y, out=out[::-1, ::2].T)
    return out


def into_an_operand(x, y):
    x = x * 1
    np.multiply(x, y, out=x)
    np.sin(x, out=x)
    return x


def where_of_a_mask(x, y):
    out = x * y
    np.multiply(x, y, out=out, where=MASK)
    np.sin(y, out=out, where=~MASK[0])
    return out


def where_of_values(x, y):
    out = np.zeros((3, 4), dtype=np.result_type(x, y))
    np.divide(x, y, out=out, where=y > 0)
    return out


def hidden_poles(x, y):
    out = x * 1
    np.divide(x, MASK * y, out=out, where=MASK)
    return out


def two_results(x, y):
    whole, part = x * 1, y * np.ones((3, 1))
    np.modf(x * y, out=(part, whole))
    return part * y + whole * x


def one_of_two_results(x, y):
    part = np.zeros((3, 4), dtype=np.result_type(x, y))
    _, whole = np.modf(x * y, out=(None, part))
    return part * x + whole * y


def in_single_precision(x, y):
    return np.multiply(x, y, dtype=np.float32)


def from_single_precision(x, y):
    return np.sum(np.multiply(x.astype(np.float32), y, dtype=np.float64), axis=0, dtype=np.float64)


@cases(into_new, into_a_view, into_an_operand, where_of_a_mask, where_of_values, hidden_poles)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_keywords(f, layout):
    with np.errstate(all="ignore"):
        check(f, laid(smooth((3, 4), (4,)), layout))


@cases(two_results, one_of_two_results)
def test_out_of_ops_with_two_results(f):
    check(f, smooth((3, 4), (4,)), "fd")


@cases(in_single_precision, from_single_precision)
def test_dtype(f):
    x, y = smooth((3, 4), (4,))
    (value, dot), expected = sparsead.jvp(f, wrt=(0, 1))(x, y, (y * x, x[0] * 1)), f(x, y)
    oracle.same_bits(value, expected)
    assert dot.dtype == expected.dtype
    want = y * (x * y) + x * x[0]
    near(dot, want if want.shape == dot.shape else want.sum(axis=0), 1e-6)
    _, pullback = sparsead.vjp(f, wrt=(0, 1))(x, y)
    seed = np.linspace(1, 2, expected.size).reshape(expected.shape).astype(expected.dtype)
    adjoints = pullback(seed)
    assert [a.dtype for a in adjoints] == [np.float64] * 2
    near(np.sum(adjoints[0] * (x * y)) + np.sum(adjoints[1] * x[0]), np.sum(seed * dot, dtype=float), 1e-6)


# ---- Reductions -----------------------------------------------------------------------------------------------------

AXES = [None, 0, 1, -1, (0, 2), (-1, 1), ()]


@pytest.mark.parametrize("axis", AXES, ids=str)
@pytest.mark.parametrize("keepdims", [False, True])
@over_ufuncs(cs=[np.add, np.multiply], fd=[np.maximum, np.minimum, np.fmax, np.logaddexp])
def test_reduce(ufunc, method, axis, keepdims):
    if ufunc is np.logaddexp and (axis is None or (isinstance(axis, tuple) and len(axis) > 1)):
        pytest.skip("NumPy does not reorder logaddexp: it reduces one axis")
    layout = list(LAYOUTS)[AXES.index(axis) % len(LAYOUTS)]
    exact = ufunc not in (np.add, np.multiply)  # NumPy sums in the order of memory, which a tape need not keep
    f = lambda x: ufunc.reduce(x, axis=axis, keepdims=keepdims)
    if axis is None:
        f = lambda x: ufunc.reduce(x, axis=None, keepdims=keepdims)
    check(f, laid(smooth((2, 3, 4)), layout), method, exact, second=not keepdims)


@pytest.mark.parametrize("layout", LAYOUTS)
@cases(
    lambda x: np.add.reduce(x, axis=1, initial=2.5),
    lambda x: np.add.reduce(x, axis=0, where=MASK),
    lambda x: np.add.reduce(x, axis=None, where=MASK[0], initial=-1.0),
    lambda x: np.add.reduce(x, axis=1, where=x > 0, keepdims=True),
    lambda x: np.multiply.reduce(x, axis=1, initial=2.5),
    lambda x: np.multiply.reduce(x, axis=(0, 1), where=MASK),
    lambda x: np.multiply.reduce(x, axis=0, where=x > 0, initial=3.0),
    lambda x: np.add.reduce(np.exp(x), axis=0, out=x[0] * 1),
)
def test_reduce_with_keywords(f, layout):
    check(f, laid(smooth((3, 4)), layout), exact=False)


@cases(
    lambda x: np.maximum.reduce(x, axis=1, initial=0.5),
    lambda x: np.maximum.reduce(x, axis=0, where=MASK, initial=-9.0),
    lambda x: np.minimum.reduce(x, axis=(0, 1), where=MASK, initial=0.0),
    lambda x: np.minimum.reduce(x, axis=-1, initial=9.0, keepdims=True),
    lambda x: np.logaddexp.reduce(x, axis=1, initial=0.25),
    lambda x: np.logaddexp.reduce(x, axis=0, where=MASK),
    lambda x: np.hypot.reduce(x, axis=0),
    lambda x: np.subtract.reduce(x, axis=1),
    lambda x: np.divide.reduce(x, axis=0),
    lambda x: np.fmod.reduce(4 * x, axis=1),  # arctan2 and power would be wrong in NumPy (2.4) along contiguous axes
)
def test_reduce_to_kinks_and_of_other_ufuncs(f):
    check(f, smooth((3, 4)), "fd", exact=False)


PRODUCTS = [
    (np.array([2.0, 3.0, 4.0]), [12, 8, 6]),
    (np.array([2.0, 0.0, 4.0]), [0, 8, 0]),
    (np.array([0.0, 3.0, 0.0]), [0, 0, 0]),
    (np.array([5.0]), [1]),
]


@pytest.mark.parametrize(("x", "expected"), PRODUCTS)
def test_products_with_zeros(x, expected):
    np.testing.assert_array_equal(sparsead.grad(lambda x: np.multiply.reduce(x))(x), expected)
    np.testing.assert_array_equal(sparsead.jvp(np.prod)(x, np.ones(x.size))[1], np.sum(expected))
    n = x.size
    second = [[np.prod(np.delete(x, [i, j])) if i != j else 0.0 for j in range(n)] for i in range(n)]
    got = [sparsead.hvp(lambda x: np.multiply.reduce(x))(x, unit) for unit in np.eye(n)]
    np.testing.assert_allclose(got, second, rtol=1e-15)


def test_products_with_zeros_over_several_axes():
    x = np.array([[2.0, 0.0, 3.0], [4.0, 5.0, 0.0]])
    np.testing.assert_array_equal(sparsead.grad(lambda x: np.prod(x[:, :2]))(x), [[0, 40, 0], [0, 0, 0]])
    check(lambda x: np.prod(x, axis=(0, 1)), [x], exact=False)


TIES = [
    (np.maximum, [1.0, 3.0, 3.0], [0, 1 / 2, 1 / 2]),
    (np.maximum, [3.0, 3.0, 3.0], [1 / 3, 1 / 3, 1 / 3]),
    (np.minimum, [1.0, 3.0, 1.0], [1 / 2, 0, 1 / 2]),
    (np.fmax, [3.0, 1.0, 3.0], [1 / 2, 0, 1 / 2]),
    (np.fmax, [np.nan, 3.0, 1.0], [0, 1, 0]),
    (np.fmin, [1.0, np.nan, 1.0], [1 / 2, 0, 1 / 2]),
    (np.maximum, [np.inf, np.inf, 1.0], [1 / 2, 1 / 2, 0]),
    (np.minimum, [0.0, -0.0, 1.0], [1 / 2, 1 / 2, 0]),
]


@pytest.mark.parametrize(("ufunc", "x", "expected"), TIES)
def test_ties_share(ufunc, x, expected):
    x = np.array([x, [7.0, 8.0, 9.0]])
    f = lambda x: ufunc.reduce(x[0])
    np.testing.assert_allclose(sparsead.grad(f)(x)[0], expected, rtol=1e-15)
    for unit, want in zip(np.eye(3), expected, strict=True):
        np.testing.assert_allclose(sparsead.jvp(f)(x, np.vstack([unit, unit]))[1], want, rtol=1e-15)
    np.testing.assert_array_equal(sparsead.hvp(f)(x, np.ones((2, 3))), np.zeros((2, 3)))


def test_logaddexp_of_infinite_terms():
    f = lambda x: np.logaddexp.reduce(x)
    np.testing.assert_allclose(sparsead.grad(f)(np.array([-np.inf, 1.0, 1.0])), [0, 0.5, 0.5], rtol=1e-15)
    np.testing.assert_allclose(sparsead.grad(f)(np.array([800.0, 801.0])), [1 / (1 + np.e), np.e / (1 + np.e)], rtol=1e-13)


@pytest.mark.parametrize(
    ("f", "outside"),
    [
        (lambda x: np.add.reduce(1 / x, where=x != 0), 0),
        (lambda x: np.add.reduce(np.log(x), where=x > 0), 0),
        (lambda x: np.multiply.reduce(1 / x, where=x != 0), 0),
        (lambda x: np.maximum.reduce(1 / x, where=x != 0, initial=-9.0), 0),
        (lambda x: np.add.reduce(np.divide(1.0, x, out=x * 1, where=x != 0)), 1),  # what `out` held
    ],
    ids=["reciprocal", "logarithm", "product", "maximum", "out"],
)
def test_what_a_mask_leaves_out_contributes_zero(f, outside):
    grad = sparsead.grad(f)
    with np.errstate(all="ignore"):
        for x in (np.array([0.0, 2.0, 4.0]), np.array([0.5, 0.0, 4.0]), np.array([8.0, 1.0, 0.0])):  # masks of replays
            got, seen = grad(x), x != 0
            rest = sparsead.grad(lambda y: f(y))(x[seen])
            np.testing.assert_allclose(got[seen], rest, rtol=1e-15)
            assert got[~seen] == outside


@pytest.mark.parametrize("ufunc", [np.add, np.multiply], ids=str)
def test_reduction_of_nothing(ufunc):
    x = np.ones((0, 3))
    value, pullback = sparsead.vjp(lambda x: ufunc.reduce(x, axis=0))(x)
    oracle.same_bits(value, ufunc.reduce(x, axis=0))
    assert pullback(np.ones(3)).shape == (0, 3)
    value, dot = sparsead.jvp(lambda x: ufunc.reduce(x, axis=None))(x, x)
    oracle.same_bits((value, dot), (np.float64(ufunc.identity), np.float64(0)))


# ---- Scans, outer ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("axis", [0, 1, -1])
@over_ufuncs(cs=[np.add, np.multiply, np.subtract, np.divide], fd=[np.maximum, np.fmin, np.logaddexp])
def test_accumulate(ufunc, method, axis, layout):
    check(lambda x: ufunc.accumulate(x, axis=axis), laid(smooth((3, 4)), layout), method, second=layout == "C")


def test_scans_of_products_with_zeros():
    x = np.array([2.0, 0.0, 3.0, 0.0, 4.0])
    check(lambda x: np.multiply.accumulate(x), [x])
    check(lambda x: np.cumprod(x[::-1]), [x * 0])


def test_scan_with_ties():
    x = np.array([1.0, 1.0, 2.0, 2.0])
    pullback = sparsead.vjp(lambda x: np.maximum.accumulate(x))(x)[1]
    np.testing.assert_array_equal(pullback(np.array([0.0, 0, 0, 1])), [0, 0, 0.5, 0.5])
    np.testing.assert_array_equal(pullback(np.array([0.0, 1, 0, 0])), [0.5, 0.5, 0, 0])


@cases(
    lambda x: np.add.accumulate(x, axis=0, out=x * 2),
    lambda x: np.add.accumulate(x[:0], axis=0),
    lambda x: np.multiply.accumulate(x[:, :1], axis=1),
)
def test_accumulate_with_keywords(f):
    check(f, smooth((3, 4)))


def test_scan_in_the_dtype_of_out():
    x = smooth((5,))[0].astype(np.float32)
    f = lambda x: np.add.accumulate(x, out=np.zeros(5))
    oracle.same_bits(sparsead.jvp(f)(x, x)[0], np.add.accumulate(x, out=np.zeros(5)))


@cases(
    lambda x, y: np.multiply.outer(x, y),
    lambda x, y: np.subtract.outer(y, x),
    lambda x, y: np.divide.outer(x, y[0]),
    lambda x, y: np.add.outer(x, y, out=np.zeros((2, 3, 4), dtype=np.result_type(x, y))),
    lambda x, y: np.power.outer(x * x, y),
)
def test_outer(f):
    check(f, laid(smooth((2,), (3, 4)), "strided"))


# ---- at -------------------------------------------------------------------------------------------------------------

REPEATED = np.array([0, 2, 2, 1, 2])


def at(ufunc, index):
    def f(x, y):
        x = x * 1
        ufunc.at(x, index, y)
        return x

    return f


@pytest.mark.parametrize("layout", LAYOUTS)
@over_ufuncs(cs=[np.add, np.subtract, np.multiply, np.divide], fd=[np.maximum, np.minimum])
def test_at_with_repeated_indices(ufunc, method, layout):
    check(at(ufunc, REPEATED), laid(smooth((3, 2), (5, 2)), layout), method, second=layout == "C")
    check(at(ufunc, (REPEATED, slice(None, None, -1))), laid(smooth((3, 2), (2,)), layout), method, second=False)
    check(at(ufunc, (REPEATED, 1)), laid(smooth((3, 2), ()), layout), method, second=False)


@cases(at(np.add, np.array([True, False, True])), at(np.multiply, slice(1, None)), at(np.subtract, [[0, 1], [1, 1]]),
       at(np.add, (np.array([0, 0]), np.array([1, 1]))), at(np.multiply, np.array([], int)))  # fmt: skip
def test_at_with_other_indices(f):
    check(f, smooth((3, 2), ()), exact=False)


def test_at_of_one_operand():
    def f(x):
        x = x * 1
        np.sin.at(x, REPEATED)
        return x

    check(f, smooth((3,)))


def test_at_of_a_view_and_of_the_addend_itself():
    def f(x):
        x = x * 1
        np.add.at(x[::-2], [0, 1, 0], x[:3] * x[1:4])
        np.multiply.at(x.reshape(2, 3).T, ([0, 0, 2], [1, 1, 0]), x[3:])
        return x

    check(f, smooth((6,)))


# ---- Contractions ---------------------------------------------------------------------------------------------------

EINSUM = [
    ("i->", [(3,)]), ("ij->", [(3, 4)]), ("ij->j", [(3, 4)]), ("ij->ji", [(3, 4)]), ("ij", [(3, 4)]), ("ji", [(3, 4)]),
    ("ii", [(3, 3)]), ("ii->i", [(3, 3)]), ("iij->j", [(3, 3, 2)]), ("iij->ij", [(3, 3, 2)]), ("iii->", [(2, 2, 2)]),
    ("i...->...", [(3, 2, 2)]), ("...ii->...i", [(2, 3, 3)]),
    ("i,i->", [(3,), (3,)]), ("i,i->i", [(3,), (3,)]), ("i,j->ij", [(3,), (2,)]), ("i,j->", [(3,), (2,)]),
    ("ij,jk->ik", [(2, 3), (3, 4)]), ("ij,jk->ki", [(2, 3), (3, 4)]), ("ij,kj->ik", [(2, 3), (4, 3)]),
    ("ij,ji->", [(2, 3), (3, 2)]), ("ij,j->i", [(2, 3), (3,)]), ("bij,bjk->bik", [(2, 2, 3), (2, 3, 2)]),
    ("bij,jk->bik", [(2, 2, 3), (3, 2)]), ("ij,ij->ij", [(2, 3), (2, 3)]), ("ij,k->j", [(2, 3), (4,)]),
    ("ii,ij->j", [(3, 3), (3, 2)]), ("ii,jj->", [(2, 2), (3, 3)]), ("ij,jj->i", [(2, 3), (3, 3)]),
    ("...ij,...jk->...ik", [(4, 1, 2, 3), (2, 3, 2)]), ("...,i->i...", [(2, 2), (3,)]), ("i...,i...->...", [(3, 2), (3,)]),
    ("ij,ij->ij", [(3, 1), (3, 4)]), ("ij,ij->i", [(1, 4), (3, 4)]), ("ij,jk->ik", [(2, 1), (3, 4)]),
    (",i->i", [(), (3,)]), (",->", [(), ()]),
    ("i,j,k->kji", [(2,), (3,), (2,)]), ("ij,jk,kl->il", [(2, 3), (3, 2), (2, 4)]), ("i,ij,j->", [(2,), (2, 3), (3,)]),
    ("ii,i,j->j", [(3, 3), (3,), (2,)]), ("i,i,i->i", [(3,), (3,), (1,)]), ("ij,jk", [(0, 3), (3, 2)]),
    ("ij,jk->ik", [(2, 0), (0, 3)]), ("ij->i", [(3, 0)]),
]  # fmt: skip


@pytest.mark.parametrize(("subscripts", "shapes"), EINSUM, ids=[f"{k}:{row[0]}" for k, row in enumerate(EINSUM)])
def test_einsum(subscripts, shapes):
    layout = list(LAYOUTS)[len(subscripts) % len(LAYOUTS)]
    f = with_names(lambda *operands: np.einsum(subscripts, *operands), len(shapes))
    check(f, laid(smooth(*shapes), layout), exact=False)


@cases(
    lambda x, y: np.einsum(x, [0, 1], y, [1, 2]),
    lambda x, y: np.einsum(x, [0, 1], y, [1, 2], [2, 0]),
    lambda x, y: np.einsum(x, [..., 1], y, [1, 2], [..., 2]),
    lambda x, y: np.einsum(" ij , jk -> k i ", x, y),
    lambda x, y: np.einsum("ij,jk", x, y, optimize=True),
    lambda x, y: np.einsum("ij,jk->ik", x, y, out=np.zeros((2, 4), dtype=np.result_type(x, y))) * x[:, :1],
    lambda x, y: np.einsum("ij,jk->ik", x, x.T @ x) @ y,
)
def test_forms_of_einsum(f):
    check(f, laid(smooth((2, 3), (3, 4)), "strided"), exact=False)


@cases(
    lambda x, y: np.sum((x @ y[:, 0]) ** 2),
    lambda x, y: np.sum(np.einsum("ij,j->ij", np.einsum("i,j->ij", x[:, 0], y[0]), y[1]) ** 2),
    lambda x, y: np.sum(np.einsum("ii,ij->ij", x[:2, :2], y[:2]) * np.outer(x[:, 0], y[0])),
)
def test_what_sums_nothing_is_a_product_of_views(f):
    x, y = smooth((2, 3), (3, 4))
    gradient = sparsead.grad(f, wrt=(0, 1)).prepare(x, y)
    for op in gradient.prepared.adjoint_tape:
        if op.op.name == "einsum":
            terms, _, out = op.attr.partition("->")
            assert set(terms) - {","} - set(out), op.attr


def test_einsum_of_one_array_twice():
    check(lambda x: np.einsum("ij,ij->i", x, x), smooth((3, 4)), exact=False)
    check(lambda x: np.einsum("i,j,ij->", x[0, :3], x[:, 0], x[:, :3]), smooth((3, 4)), exact=False)


MATMUL = [
    [(3,), (3,)], [(2, 3), (3,)], [(2,), (2, 3)], [(2, 3), (3, 4)], [(2, 2, 3), (3, 2)], [(2, 3), (2, 3, 2)],
    [(2, 2, 3), (2, 3, 2)], [(2, 1, 2, 3), (3, 3, 2)], [(1, 2, 3), (2, 3, 1)], [(2, 2, 3), (3,)], [(2,), (3, 2, 2)],
    [(0, 3), (3, 2)], [(2, 0), (0, 2)],
]  # fmt: skip


@pytest.mark.parametrize("layout", ["C", "F", "strided"])
@pytest.mark.parametrize("shapes", MATMUL, ids=str)
def test_matmul(shapes, layout):
    check(lambda x, y: x @ y, laid(smooth(*shapes), layout), exact=False, second=layout == "F")


@cases(
    lambda x, y: np.matmul(x, y, out=np.zeros((2, 4), dtype=np.result_type(x, y))),
    lambda x, y: np.dot(x, y) * np.dot(x[0], y[:, 0]),
    lambda x, y: np.tensordot(x, y, ([1], [0])) + np.inner(x, y.T),
)
def test_other_products(f):
    check(f, laid(smooth((2, 3), (3, 4)), "F"), exact=False)


def test_vecdot():
    check(lambda x, y: np.vecdot(x, y), smooth((2, 3), (3,)), "fd", exact=False)  # it conjugates: no complex step


# ---- Ufuncs as functions, and operands that are numbers ---------------------------------------------------------------


@pytest.mark.parametrize("ufunc", [np.sin, np.multiply, np.hypot], ids=str)
def test_a_ufunc_is_a_function_to_differentiate(ufunc):
    x = [np.array([0.5, 1.5]) for _ in range(ufunc.nin)]  # not one array twice: that would be one memory
    value, dot = sparsead.jvp(ufunc)(*x, np.ones(2))
    oracle.same_bits(value, ufunc(*x))
    near(dot, BY_NAME[ufunc.__name__].rows(tuple(x), (value,))[0][0], 1e-15)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@cases(
    lambda x: x**2, lambda x: x**3, lambda x: x**-1, lambda x: x**0.5, lambda x: 2**x, lambda x: 1.5 - x / 3,
    lambda x: 2 // x + x % 1, lambda x: np.ldexp(x, 3), lambda x: np.ldexp(x, np.int8(-2)), lambda x: np.maximum(x, 1),
    lambda x: np.arctan2(1, x), lambda x: abs(-x) + (+x), lambda x: divmod(x, 0.7)[1], lambda x: np.clip(x, 0.6, 1),
    lambda x: np.hypot(x, np.float64(2)), lambda x: np.hypot(x, np.array(2.0)), lambda x: np.float32(0.5) * x,
    lambda x: np.heaviside(x, 0.5) * x, lambda x: np.copysign(3.0, x) * x, lambda x: np.where(x > 1, x, 0) + True,
)  # fmt: skip
def test_numbers_as_operands(f, dtype):
    x = np.array([0.53, 0.81, 1.37, 1.62], dtype)
    with np.errstate(all="ignore"):
        value, dot = sparsead.jvp(f)(x, np.ones_like(x))
        oracle.same_bits(value, f(x))
        assert dot.dtype == value.dtype
        (want,) = central_differences(lambda x: (f(x),), (x.astype(np.float64),), 0)
    near(dot, want, 1e-6)
    near(sparsead.vjp(f)(x)[1](np.ones_like(value)), want, 1e-6)
