"""Every record of the table of elementwise ops against numbers: its partials, theirs, dtypes, kinks, coverage."""

import dataclasses
import itertools
import math
import numbers

import numpy as np
import pytest
import scipy.special

from sparsead.ops.elementwise import BY_NAME, RECORDS, TABLE, Elementwise, Range, select, stop_gradient, strong_multiply

POINTS = 40
CHECKED = [record for record in RECORDS if record.oracle is not None]
INF, NAN = math.inf, math.nan

ERF = Elementwise(
    "erf", scipy.special.erf, 1, 1, lambda x, z: (2 / math.sqrt(math.pi) * np.exp(-x * x),), (Range(-2, 2),), "complex"
)


def over(records):
    return pytest.mark.parametrize("record", records, ids=lambda record: record.name)


@pytest.fixture
def rng():
    return np.random.default_rng(20)


@pytest.fixture
def with_erf(monkeypatch):
    """A table that also has an op of another library."""
    monkeypatch.setitem(TABLE, ERF.ufunc, ERF)


# ---- Oracles: numerical derivatives of a function of several operands with several results ------------------------


def as_tuple(results):
    return results if isinstance(results, tuple) else (results,)


def primal(record):
    return lambda *operands: as_tuple(record.ufunc(*operands))


def moved(operands, k, step):
    return [x + step if i == k else x for i, x in enumerate(operands)]


def complex_step(f, operands, k):
    """Squire and Trapp, Using complex variables to estimate derivatives of real functions, SIAM Review 40 (1998)."""
    h = 1e-40
    return [z.imag / h for z in f(*moved(operands, k, 1j * h))]


def central_differences(f, operands, k):
    """Romberg's extrapolation of central differences; the steps stay inside the cells that operands are drawn from."""
    table = []
    for h in (2.0**-7, 2.0**-8, 2.0**-9, 2.0**-10):
        ahead, behind = f(*moved(operands, k, h)), f(*moved(operands, k, -h))
        row = [[(a - b) / (2 * h) for a, b in zip(ahead, behind, strict=True)]]
        for order, coarser in enumerate(table[-1] if table else [], start=1):
            fine = zip(row[-1], coarser, strict=True)
            row.append([a + (a - b) / (4.0**order - 1) for a, b in fine])
        table.append(row)
    return table[-1][-1]


ORACLES = {"complex": (complex_step, 1e-9), "difference": (central_differences, 1e-6)}


def is_constant(entry):
    return isinstance(entry, numbers.Real) and not isinstance(entry, np.generic)


def is_zero(entry):
    return is_constant(entry) and entry == 0


def sampled(record, rng, dtype=np.float64, shape=(POINTS,)):
    return record.sample(rng, *[shape] * record.nin, dtype=dtype)


def floating(record):
    """The operands that can be differentiated by."""
    return [k for k, values in enumerate(record.domain) if values.dtype is None]


def check_partials(record, rng):
    operands = sampled(record, rng)
    rows = record.rows(operands, primal(record)(*operands))
    assert len(rows) == record.nout
    assert all(len(row) == record.nin for row in rows)
    oracle, rtol = ORACLES[record.oracle]
    for k in range(record.nin):
        if k not in floating(record):
            assert all(is_zero(row[k]) for row in rows)
            continue
        for row, expected in zip(rows, oracle(primal(record), operands, k), strict=True):
            entry = np.broadcast_to(row[k], expected.shape)
            np.testing.assert_allclose(entry, expected, rtol=rtol, atol=1e-10, err_msg=f"{record.name}, operand {k}")


# ---- First order ------------------------------------------------------------------------------------------------


@over(CHECKED)
def test_partials_agree_with_the_oracle(record, rng):
    check_partials(record, rng)


def mutated(record, result, operand):
    """The record with one partial wrong by 0.1 %, or by 0.001 where it is 0."""

    def partials(*values):
        rows = [list(row) for row in record.rows(values[: record.nin], values[record.nin :])]
        p = np.asarray(rows[result][operand])
        rows[result][operand] = p + 0.001 * np.where(p == 0, 1, p)
        return tuple(map(tuple, rows)) if record.nout > 1 else tuple(rows[0])

    return dataclasses.replace(record, partials=partials)


@over(CHECKED)
def test_a_partial_wrong_by_a_thousandth_is_caught(record, rng):
    for result, operand in itertools.product(range(record.nout), range(record.nin)):
        with pytest.raises(AssertionError):
            check_partials(mutated(record, result, operand), rng)


@over(CHECKED)
def test_a_partial_that_never_changes_is_declared_constant(record, rng):
    operands = sampled(record, rng)
    rows = record.rows(operands, primal(record)(*operands))
    unchanging = {
        (r, k) for r, row in enumerate(rows) for k, p in enumerate(row) if not is_constant(p) and np.all(p == p[0])
    }
    assert unchanging == ({(0, 1)} if record.name == "heaviside" else set())  # 1 where x is exactly 0


# ---- dtypes -------------------------------------------------------------------------------------------------------


def loop_operands(record, operands):
    """Operands cast to the loop that the ufunc picks, as an engine does."""
    if not isinstance(record.ufunc, np.ufunc):
        return operands
    dtypes = record.ufunc.resolve_dtypes(tuple(x.dtype for x in operands) + (None,) * record.nout)
    return tuple(x.astype(dtype) for x, dtype in zip(operands, dtypes, strict=False))


@over(CHECKED)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.longdouble])
@pytest.mark.parametrize("shape", [(POINTS,), ()])
def test_partials_have_the_dtype_of_the_loop(record, rng, dtype, shape):
    operands = loop_operands(record, sampled(record, rng, dtype, shape))
    double = loop_operands(record, tuple(x.astype(float) if x.dtype == dtype else x for x in operands))
    rows = record.rows(operands, primal(record)(*operands))
    expected = record.rows(double, primal(record)(*double))
    for p, q in zip(itertools.chain(*rows), itertools.chain(*expected), strict=True):
        assert is_constant(p) == is_constant(q)
        if not is_constant(p):
            assert p.dtype == operands[0].dtype
            np.testing.assert_allclose(p.astype(float), q, rtol=3e-5, atol=1e-6)


# ---- Higher orders: the expressions are made of ops of the table ---------------------------------------------------


class Dual(np.lib.mixins.NDArrayOperatorsMixin):
    """A value and its tangent; what happens to it must have a record. Values may be dual themselves."""

    def __init__(self, value, tangent):
        self.value, self.tangent = value, tangent

    def __array_ufunc__(self, function, method, *operands, **kwargs):
        assert method == "__call__" and not kwargs
        record = TABLE[function]
        values = tuple(x.value if isinstance(x, Dual) else x for x in operands)
        tangents = tuple(x.tangent if isinstance(x, Dual) else 0 for x in operands)
        if record.kind == "select":
            return Dual(function(*values), function(values[0], *tangents[1:]))
        results = as_tuple(function(*values))
        if record.partials is not None:
            rows = record.rows(values, results)
            results = tuple(Dual(z, self.pushed(record, row, tangents)) for z, row in zip(results, rows, strict=True))
        return results if record.nout > 1 else results[0]

    @staticmethod
    def pushed(record, row, tangents):
        times = strong_multiply if record.strong else np.multiply
        ordered = [(row[k], t) if record.strong and k else (t, row[k]) for k, t in enumerate(tangents)]
        return sum(times(a, b) for a, b in ordered if not (is_zero(a) or is_zero(b)))


def partials_of(record):
    """All partials as one function of the operands."""
    return lambda *operands: tuple(itertools.chain(*record.rows(operands, primal(record)(*operands))))


def differentiated(f, k):
    """The derivative of `f` by operand `k`, by the table. All operands are dual: nested ones keep apart."""

    def derivative(*operands):
        results = f(*[Dual(x, 1.0 if i == k else 0) for i, x in enumerate(operands)])
        return tuple(z.tangent if isinstance(z, Dual) else 0.0 for z in results)

    return derivative


@over(CHECKED)
def test_partials_can_be_differentiated_again(record, rng):
    operands = sampled(record, rng)
    for j, k in itertools.product(floating(record), repeat=2):
        first = partials_of(record)
        second = differentiated(first, j)
        for f, derivative, i in [(first, second, j), (second, differentiated(second, k), k)]:
            for got, want in zip(derivative(*operands), central_differences(f, operands, i), strict=True):
                got, want = np.broadcast_arrays(got, want)
                np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6 * (1 + np.abs(want).max()))


def test_a_wrong_second_derivative_is_caught(rng, monkeypatch):
    cos = BY_NAME["cos"]
    monkeypatch.setitem(TABLE, np.cos, mutated(cos, 0, 0))
    with pytest.raises(AssertionError):
        test_partials_can_be_differentiated_again(BY_NAME["sin"], rng)


# ---- Another library's op is one record ----------------------------------------------------------------------------


def test_an_op_of_scipy_is_one_record(rng, with_erf):
    check_partials(ERF, rng)
    test_partials_have_the_dtype_of_the_loop(ERF, rng, np.float32, (POINTS,))
    test_partials_can_be_differentiated_again(ERF, rng)
    test_a_partial_wrong_by_a_thousandth_is_caught(ERF, rng)


# ---- Coverage -------------------------------------------------------------------------------------------------------


def numpy_ufuncs():
    """All ufuncs of NumPy's main namespace but the generalized ones and those on strings, which list no loops."""
    found = {name: getattr(np, name) for name in dir(np) if isinstance(getattr(np, name), np.ufunc)}
    return {name: ufunc for name, ufunc in found.items() if ufunc.signature is None and ufunc.types}


def test_every_ufunc_of_numpy_has_a_record():
    missing = sorted(name for name, ufunc in numpy_ufuncs().items() if ufunc not in TABLE)
    assert not missing
    assert np._core.umath.clip in TABLE
    assert len(numpy_ufuncs()) > 100


def test_no_generalized_ufunc_is_elementwise():
    assert not [record for record in RECORDS if getattr(record.ufunc, "signature", None)]
    assert not {np.matmul, np.vecdot} & set(TABLE)


def test_names_and_functions_are_unique_and_agree():
    assert len(TABLE) == len(BY_NAME) == len(RECORDS)
    assert all(record.name == record.ufunc.__name__ for record in RECORDS)


@pytest.mark.parametrize(
    ("alias", "name"),
    [(np.abs, "absolute"), (np.conj, "conjugate"), (np.true_divide, "divide"), (np.mod, "remainder"),
     (np.acos, "arccos"), (np.pow, "power"), (np.bitwise_not, "invert")],
)  # fmt: skip
def test_aliases_find_the_same_record(alias, name):
    assert TABLE[alias] is BY_NAME[name]


def float_loops(ufunc):
    loops = [loop.split("->") for loop in ufunc.types]
    return [results for operands, results in loops if set(operands) & set("efdg")]


@over([record for record in RECORDS if isinstance(record.ufunc, np.ufunc)])
def test_inactive_are_those_with_no_floating_result(record):
    floats = any(set(results) & set("efdg") for results in float_loops(record.ufunc))
    assert record.active == floats
    assert record.ufunc.nin == record.nin
    assert record.ufunc.nout == record.nout


@over(RECORDS)
def test_domains_suit_the_primal(record, rng):
    operands = sampled(record, rng, np.float64)
    results = primal(record)(*operands)
    assert len(results) == record.nout
    assert all(np.all(np.isfinite(z)) for z in results if z.dtype.kind != "m")
    assert all(len(set(x.tolist())) > 1 for x in operands)


def test_samples_keep_away_from_the_lattice_and_from_each_other(rng):
    operands = sampled(BY_NAME["clip"], rng, shape=(1000,))
    places = [x * 8 % 1 for x in operands]
    assert all(0.125 <= p.min() and p.max() <= 0.875 for p in places)
    assert all(np.abs(a - b).min() >= 0.12 for a, b in itertools.combinations(places, 2))


def test_a_record_with_missing_parts_is_refused():
    with pytest.raises(ValueError, match="f has 2 operands but a domain for 1"):
        Elementwise("f", np.add, 2, 1, lambda x, y, z: (1, 1), (Range(0, 1),), "complex")
    with pytest.raises(ValueError, match="f has no partials, so its oracle must be None"):
        Elementwise("f", np.isnan, 1, 1, None, (Range(0, 1),), "complex")
    with pytest.raises(TypeError, match="isnan has no partial derivatives"):
        BY_NAME["isnan"].rows((1.0,), (False,))


# ---- Kinks and special values ---------------------------------------------------------------------------------------

KINKS = [
    ("absolute", (0.0,), (0,)),
    ("absolute", (-0.0,), (0,)),
    ("absolute", (NAN,), (NAN,)),
    ("fabs", (0.0,), (0,)),
    ("sign", (0.0,), (0,)),
    ("sqrt", (0.0,), (INF,)),
    ("sqrt", (INF,), (0,)),
    ("cbrt", (0.0,), (INF,)),
    ("log", (0.0,), (INF,)),
    ("exp", (-INF,), (0,)),
    ("tanh", (INF,), (0,)),
    ("expm1", (-40.0,), (math.exp(-40.0),)),
    ("arccosh", (-2.0,), (NAN,)),
    ("copysign", (0.0, -1.0), (0, 0)),
    ("copysign", (-2.0, -0.0), (1, 0)),
    ("heaviside", (0.0, 0.3), (0, 1)),
    ("heaviside", (-0.0, 0.3), (0, 1)),
    ("heaviside", (INF, 0.3), (0, 0)),
    ("maximum", (1.0, 1.0), (0.5, 0.5)),
    ("maximum", (0.0, -0.0), (0.5, 0.5)),
    ("maximum", (INF, INF), (0.5, 0.5)),
    ("maximum", (-INF, -INF), (0.5, 0.5)),
    ("maximum", (-INF, 1.0), (0, 1)),
    ("maximum", (INF, -INF), (1, 0)),
    ("maximum", (NAN, 1.0), (NAN, NAN)),
    ("minimum", (1.0, 1.0), (0.5, 0.5)),
    ("minimum", (INF, INF), (0.5, 0.5)),
    ("minimum", (-INF, 1.0), (1, 0)),
    ("minimum", (1.0, NAN), (NAN, NAN)),
    ("fmax", (1.0, 1.0), (0.5, 0.5)),
    ("fmax", (NAN, 1.0), (0, 1)),
    ("fmax", (1.0, NAN), (1, 0)),
    ("fmax", (NAN, NAN), (0.5, 0.5)),
    ("fmax", (INF, INF), (0.5, 0.5)),
    ("fmin", (1.0, 1.0), (0.5, 0.5)),
    ("fmin", (NAN, 1.0), (0, 1)),
    ("fmin", (1.0, NAN), (1, 0)),
    ("fmin", (NAN, NAN), (0.5, 0.5)),
    ("clip", (0.5, 0.0, 1.0), (1, 0, 0)),
    ("clip", (-1.0, 0.0, 1.0), (0, 1, 0)),
    ("clip", (2.0, 0.0, 1.0), (0, 0, 1)),
    ("clip", (0.0, 0.0, 1.0), (0.5, 0.5, 0)),
    ("clip", (1.0, 0.0, 1.0), (0.5, 0, 0.5)),
    ("clip", (1.0, 1.0, 1.0), (0.25, 0.25, 0.5)),
    ("clip", (0.5, 1.0, 0.0), (0, 0, 1)),
    ("clip", (3.0, -INF, INF), (1, 0, 0)),
    ("clip", (INF, -INF, INF), (0.5, 0, 0.5)),
    ("hypot", (0.0, 0.0), (0, 0)),
    ("hypot", (3e-200, 4e-200), (0.6, 0.8)),
    ("arctan2", (0.0, 0.0), (0, 0)),
    ("arctan2", (3e-170, 4e-170), (0.16 / 1e-170, -0.12 / 1e-170)),
    ("arctan2", (0.0, -2.0), (-0.5, 0)),
    ("power", (0.0, 0.0), (0, -INF)),
    ("power", (2.0, 0.0), (0, math.log(2.0))),
    ("power", (0.0, 1.0), (1, 0)),
    ("power", (0.0, 2.0), (0, 0)),
    ("power", (0.0, 0.5), (INF, 0)),
    ("power", (0.0, 3.5), (0, 0)),
    ("power", (-3.0, 2.0), (-6, NAN)),
    ("power", (-3.0, 3.0), (27, NAN)),
    ("power", (-3.0, 0.0), (0, NAN)),
    ("power", (INF, -1.0), (0, 0)),
    ("float_power", (0.0, 0.0), (0, -INF)),
    ("logaddexp", (-INF, -INF), (0.5, 0.5)),
    ("logaddexp", (INF, INF), (0.5, 0.5)),
    ("logaddexp", (-INF, 1.0), (0, 1)),
    ("logaddexp", (INF, 1.0), (1, 0)),
    ("logaddexp", (INF, -INF), (1, 0)),
    ("logaddexp", (1e20, 1e20), (0.5, 0.5)),
    ("logaddexp", (1e5, -1e5), (1, 0)),
    ("logaddexp", (NAN, 1.0), (NAN, NAN)),
    ("logaddexp2", (-INF, -INF), (0.5, 0.5)),
    ("logaddexp2", (1.0, -INF), (1, 0)),
    ("remainder", (-1e-20, 1.0), (1, 1)),
    ("remainder", (1.0, 0.1), (1, -9)),  # 1.0 / 0.1 rounds to 10, but 0.1 is a little more than a tenth
    ("fmod", (1.0, 0.1), (1, -9)),
    ("fmod", (-7.0, 2.0), (1, 3)),
    ("remainder", (-7.0, 2.0), (1, 4)),
    ("ldexp", (0.0, 3), (8, 0)),
    ("ldexp", (-1.0, -2), (0.25, 0)),
    ("frexp", (0.0,), (1, 0)),
    ("frexp", (-12.0,), (1 / 16, 0)),
]


@pytest.mark.parametrize(("name", "point", "expected"), KINKS)
def test_conventions_at_kinks_and_special_values(name, point, expected):
    record = BY_NAME[name]
    operands = [np.array([x]) for x in point]
    with np.errstate(all="ignore"):
        rows = record.rows(operands, primal(record)(*operands))
    got = [np.broadcast_to(p, (1,))[0] for p in itertools.chain(*rows)]
    np.testing.assert_allclose(got, expected, rtol=1e-14)


SECOND = [
    ("power", (0.0, 2.0), (0, 0), 2),
    ("power", (0.0, 1.0), (0, 0), 0),
    ("power", (0.0, 3.0), (0, 0), 0),
    ("power", (0.0, 3.0), (1, 0), 0),
    ("power", (0.0, 3.0), (1, 1), 0),
    ("power", (2.0, 0.0), (0, 1), 0.5),  # d/dy of y * x**(y - 1): lost if y == 0 were treated as a constant
    ("power", (-2.0, 0.0), (0, 0), 0),
    ("logaddexp", (1.0, 1.0), (0, 0), 0.25),
    ("logaddexp", (1.0, 1.0), (0, 1), -0.25),
    ("logaddexp", (-1e30, 1.0), (0, 0), 0),
    ("logaddexp", (900.0, -900.0), (1, 1), 0),
    ("logaddexp", (-INF, -INF), (0, 0), 0),
    ("hypot", (0.0, 0.0), (0, 0), 0),
    ("hypot", (0.0, 0.0), (0, 1), 0),
    ("arctan2", (0.0, 0.0), (0, 1), 0),
    ("absolute", (0.0,), (0, 0), 0),
    ("maximum", (1.0, 1.0), (0, 0), 0),
    ("clip", (1.0, 1.0, 1.0), (0, 2), 0),
]


@pytest.mark.parametrize(("name", "point", "by", "expected"), SECOND)
def test_second_derivatives_at_kinks(name, point, by, expected):
    i, j = by
    operands = [np.array([x]) for x in point]
    with np.errstate(all="ignore"):
        got = differentiated(partials_of(BY_NAME[name]), j)(*operands)[i]
    np.testing.assert_allclose(got, expected, rtol=1e-14)


@pytest.mark.parametrize("name", ["hypot", "arctan2", "logaddexp"])
def test_no_order_divides_by_zero_at_the_origin(name):
    # In reverse mode the untaken side of a select gets a zero, and 0 / 0 would make it NaN.
    second = differentiated(partials_of(BY_NAME[name]), 0)
    with np.errstate(all="raise"):
        assert np.all(np.isfinite(differentiated(second, 1)(np.zeros(1), np.zeros(1))))


def test_the_derivative_of_a_square_is_exact(rng):
    x = rng.normal(size=1000) * 10.0 ** rng.integers(-100, 100, 1000)
    y = np.full(1000, 2.0)
    with np.errstate(invalid="ignore"):
        p, _ = BY_NAME["power"].partials(x, y, x**2)
    np.testing.assert_array_equal(p, 2 * x)


# ---- Ops that are no ufuncs ------------------------------------------------------------------------------------------


def test_select_is_where():
    c, a = np.array([True, False]), np.ones(2, np.float32)
    np.testing.assert_array_equal(select(c, a, 2.0), [1, 2])
    assert select(c, a, 2.0).dtype == np.float32
    assert isinstance(select(True, 1.0, 2.0), np.float64)


def test_strong_multiply_keeps_zero():
    g = np.array([0.0, -0.0, 0.0, 2.0, 2.0, NAN], np.float32)
    p = np.array([INF, NAN, 3.0, 3.0, INF, 0.0], np.float32)
    z = strong_multiply(g, p)
    np.testing.assert_array_equal(z, [0, 0, 0, 6, INF, NAN])
    assert z.dtype == np.float32


def test_derivatives_of_strong_multiply_are_strong():
    zero, two, infinite = np.zeros(1), np.full(1, 2.0), np.full(1, INF)
    assert strong_multiply(Dual(zero, two), Dual(infinite, 0)).tangent == INF
    assert strong_multiply(Dual(zero, zero), Dual(infinite, 0)).tangent == 0  # dg == 0 wins over p
    assert strong_multiply(Dual(zero, 0), Dual(two, infinite)).tangent == 0  # g == 0 wins over dp
    assert np.isnan(strong_multiply(Dual(infinite, 0), Dual(two, zero)).tangent)  # dp == 0 does not win over g
    mixed = strong_multiply(Dual(Dual(zero, zero), 0), Dual(Dual(infinite, infinite), Dual(infinite, infinite)))
    assert mixed.tangent.tangent == 0


def test_stop_gradient_is_an_identity_with_zero_partial():
    x = np.arange(3.0)
    y = stop_gradient(x)
    np.testing.assert_array_equal(y, x)
    assert not np.shares_memory(x, y)
    assert BY_NAME["stop_gradient"].rows((x,), (y,)) == ((0,),)


def test_functions_of_the_table_ask_their_operands_first():
    class Asked:
        def __array_ufunc__(self, function, method, *operands):
            return function, method, len(operands)

    assert select(True, 1.0, Asked()) == (select, "__call__", 3)
    assert strong_multiply(Asked(), 1.0) == (strong_multiply, "__call__", 2)
    assert TABLE[select] is BY_NAME["select"]
