"""Composites against the functions of NumPy that they stand for: bits, dtypes, strides, views, errors, signatures.

Every case runs three times: by NumPy, by the composite on plain arrays, and by the composite on `Opaque` arrays, which
have nothing but the primitives that a composite may use.
"""

import inspect
import itertools
import math
import warnings
from functools import partial

import numpy as np
import pytest

from composite_arrays import LAYOUTS, PLAIN_RESULT, Arguments, OpaqueScalar, unwrap, wrap
from composite_cases import CASES, grid
from sparsead.ops.composites import COMPOSITES, METHODS, contractions
from sparsead.ops.composites import _primitives as prim


@pytest.fixture
def opaque(monkeypatch):
    """Primitives that take and make `Opaque` arrays."""

    def opaquely(name, original, *args, **kwargs):
        kwargs = dict(zip(kwargs, unwrap(tuple(kwargs.values())), strict=True))
        result = original(*unwrap(args), **kwargs)
        if name in ("where", "einsum") and result.ndim == 0:  # NumPy's own scalar, or its array with no axes
            result = result[()]
        return result if name in PLAIN_RESULT else wrap(result)

    for name in prim.__all__:
        monkeypatch.setattr(prim, name, partial(opaquely, name, getattr(prim, name)))


# -- comparison


def outcome(case, function, arguments):
    """Result of a case, or the exception that it raises; unwrapped."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            return unwrap(case(function, arguments))
        except AssertionError:
            raise
        except Exception as error:
            return error


def assert_same(expected, actual, rtol=0.0):
    if isinstance(expected, tuple | list):
        assert type(expected) is type(actual) and len(expected) == len(actual)
        for pair in zip(expected, actual, strict=True):
            assert_same(*pair, rtol)
    elif isinstance(expected, np.ndarray | np.generic):
        assert isinstance(actual, np.ndarray) == isinstance(expected, np.ndarray), (type(expected), type(actual))
        assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
        assert_equal_values(expected, actual, rtol)
        if isinstance(expected, np.ndarray):
            assert layout(actual) == layout(expected)
    else:
        assert type(expected) is type(actual) and expected == actual, (expected, actual)


def assert_equal_values(expected, actual, rtol):
    if rtol:
        scale = np.max(np.abs(expected[np.isfinite(expected)]), initial=1) if expected.ndim else 1
        np.testing.assert_allclose(actual, expected, rtol=rtol, atol=rtol * scale)
    else:
        np.testing.assert_array_equal(actual, expected)
        if expected.dtype.kind == "f":  # -0.0 == 0.0
            finite = np.isfinite(expected)
            np.testing.assert_array_equal(np.signbit(actual[finite]), np.signbit(expected[finite]))


def layout(a):
    """Strides that matter."""
    return [s for n, s in zip(a.shape, a.strides, strict=True) if n > 1] if a.size else None


def leaves(x):
    return [leaf for item in x for leaf in leaves(item)] if isinstance(x, tuple | list) else [x]


def views(result, arguments):
    """Which results share memory with which arguments, and which of these views may be written."""
    arrays = [leaf for leaf in leaves(result) if isinstance(leaf, np.ndarray)]
    shared = [[np.shares_memory(leaf, a) for a in arguments.made] for leaf in arrays]
    with warnings.catch_warnings():  # NumPy's broadcast_arrays warns that its results will be read-only, as ours are
        warnings.simplefilter("ignore", FutureWarning)
        writeable = [a.flags.writeable and 0 not in a.strides for a, s in zip(arrays, shared, strict=True) if any(s)]
    return shared, writeable


def check(case, reference, function, kind, rtol, wrapped):
    theirs, ours = Arguments(*kind), Arguments(*kind, wrapped=wrapped)
    expected, actual = outcome(case, reference, theirs), outcome(case, function, ours)
    if isinstance(expected, Exception):
        assert isinstance(actual, type(expected)), (expected, actual)
        return False
    if isinstance(actual, Exception):
        raise actual
    assert_same(expected, actual, rtol * np.finfo(kind[0]).eps if kind[0] != "i8" else rtol * np.finfo("f8").eps)
    assert views(actual, ours) == views(expected, theirs)
    for a, b in zip(theirs.made, ours.made, strict=True):
        assert_equal_values(a, b, rtol * np.finfo("f4").eps)
    return True


def enumerate_ids(rows):
    return [pytest.param(*row, id=f"{row[0]}-{k}") for k, row in enumerate(rows)]


KINDS = [*itertools.product(("f8", "f4"), LAYOUTS), ("i8", "C")]
OPAQUE_KINDS = [("f8", "C"), ("f4", "F"), ("f8", "strided")]

# Rounding in units of the dtype's eps, for what NumPy sums by BLAS; everything else agrees to the bit.
TOLERANCE = dict.fromkeys(
    ["convolve", "correlate", "dot", "einsum", "inner", "matmul", "matvec", "sinc", "tensordot", "vdot", "vecdot",
     "vecmat", "linalg.matmul", "linalg.matrix_norm", "linalg.multi_dot", "linalg.norm", "linalg.tensordot",
     "linalg.vecdot", "linalg.vector_norm"],
    32.0,
)  # fmt: skip
TOLERANCE["pad"] = 4.0


def numpy_function(name):
    return getattr(np.linalg, name[7:]) if name.startswith("linalg.") else getattr(np, name)


@pytest.mark.parametrize("wrapped", [False, True], ids=["plain", "opaque"])
@pytest.mark.parametrize("name", CASES)
def test_as_numpy(name, wrapped, request):
    if wrapped:
        request.getfixturevalue("opaque")
    reference = numpy_function(name)
    for number, case in enumerate(CASES[name]):
        passed = 0
        for kind in OPAQUE_KINDS if wrapped else KINDS:
            try:
                passed += check(case, reference, COMPOSITES[reference], kind, TOLERANCE.get(name, 0.0), wrapped)
            except Exception as error:
                source = inspect.getsource(getattr(case, "func", case)).strip()
                error.add_note(f"case {number} with {kind}: {source} {getattr(case, 'keywords', '')}")
                raise
        assert passed, f"case {number} raises for every kind of array"


def test_scalars_have_neither_index_nor_methods(opaque):
    """Scalars among the arguments, and those that functions make on their way."""
    for name, cases in SCALAR_CASES.items():
        for case in cases:
            assert check(case, numpy_function(name), COMPOSITES[numpy_function(name)], ("f8", "C"), 0.0, True), name


SCALAR_CASES = {
    "append": [lambda f, x: f(x(3), x.scalar())],
    "average": [lambda f, x: f([x.scalar(), x.scalar()], weights=[1.0, x.scalar()], returned=True)],
    "block": [lambda f, x: f([x(2), x.scalar()]), lambda f, x: f([[x.scalar(), 1.0], [x.scalar(), x.scalar()]])],
    "choose": [lambda f, x: f([0, 1], [x.scalar(), 2.0])],
    "clip": [lambda f, x: f(x(5), x.scalar(), None), lambda f, x: f(x.scalar(), 0, x.scalar()),
             lambda f, x: f(x(2), [x.scalar(), 0.0], 9.0)],
    "concatenate": [lambda f, x: f(([x.scalar(), 1.0], x(3)))],
    "copyto": [lambda f, x: f(x(3), x.scalar()),
               lambda f, x: f(x(2), [x.scalar(), 1.0]),
               lambda f, x: f(x(3), x.scalar(), where=x.mask(3))],
    "cross": [lambda f, x: f([x.scalar(), 0.0, x.scalar()], x(3))],
    "diff": [lambda f, x: f(x(3), prepend=x.scalar()), lambda f, x: f([x.scalar(), x.scalar()])],
    "dot": [lambda f, x: f(x.scalar(), x(3)), lambda f, x: f([x.scalar(), 1.0], x(2))],
    "ediff1d": [lambda f, x: f(x(3), x.scalar(), [x.scalar()])],
    "einsum": [lambda f, x: f("i,->i", x(3), x.scalar()), lambda f, x: f("i,i", [x.scalar(), 1.0], x(2))],
    "fill_diagonal": [lambda f, x: f(x(3, 3), x.scalar())],
    "gradient": [lambda f, x: f(x(5), x.scalar()), lambda f, x: f(x(3, 4), x.scalar(), x.scalar(), edge_order=2)],
    "insert": [lambda f, x: f(x(4), 1, x.scalar()), lambda f, x: f(x(4), [0, 2], [x.scalar(), 1.0])],
    "interp": [lambda f, x: f(x.scalar(), [0.0, 3.0, 9.0], x(3), x.scalar(), x.scalar())],
    "linalg.norm": [lambda f, x: f([x.scalar(), 5]), lambda f, x: f([x.scalar(), x.scalar()], 3, keepdims=True)],
    "linalg.vector_norm": [lambda f, x: f(x(3), keepdims=True), lambda f, x: f(x(3), ord=3, keepdims=True)],
    "mean": [lambda f, x: f([x.scalar(), 2.0]), lambda f, x: f(x.scalar())],
    "median": [lambda f, x: f([x.scalar(), x.scalar(), 5.0]), lambda f, x: f(x(5), keepdims=True)],
    "nan_to_num": [lambda f, x: f(x.with_nan(5), nan=x.scalar()), lambda f, x: f(x.scalar())],
    "nanvar": [lambda f, x: f([x.scalar(), np.nan, 3.0])],
    "outer": [lambda f, x: f(x(3), x.scalar())],
    "pad": [
        lambda f, x: f(x(3), 1, constant_values=x.scalar()),
        lambda f, x: f(x(3, 2), 1, constant_values=((x.scalar(), 1.0), (2.0, x.scalar()))),
        lambda f, x: f(x(3), 2, "linear_ramp", end_values=x.scalar()),
    ],
    "place": [lambda f, x: f(x(4), x.mask(4), [x.scalar()])],
    "polyval": [lambda f, x: f(x(3), x.scalar()), lambda f, x: f([x.scalar(), 1.0], 2.0)],
    "ptp": [lambda f, x: f([x.scalar(), x.scalar(), 9.0])],
    "put": [lambda f, x: f(x(4), [1, 2], x.scalar())],
    "putmask": [lambda f, x: f(x(4), x.mask(4), x.scalar())],
    "quantile": [lambda f, x: f(x(5), x.scalar() / 8)],
    "round": [lambda f, x: f(x.scalar()), lambda f, x: f(x.scalar(), 1)],
    "select": [lambda f, x: f([x.mask(3)], [x.scalar()], x.scalar())],
    "sinc": [lambda f, x: f(x.scalar())],
    "stack": [lambda f, x: f((x.scalar(), 1.0, x.scalar()))],
    "std": [lambda f, x: f([x.scalar(), 4.0]), lambda f, x: f(x.scalar())],
    "sum": [lambda f, x: f([x.scalar(), 2.0]), lambda f, x: f(x.scalar())],
    "tile": [lambda f, x: f(x.scalar(), 3)],
    "trapezoid": [lambda f, x: f(x(4), dx=x.scalar()), lambda f, x: f([x.scalar(), x.scalar()])],
    "unwrap": [lambda f, x: f(x(4), period=x.scalar()), lambda f, x: f(x(4), x.scalar())],
}  # fmt: skip


# -- what only a derivative would see


def test_roots_of_zero_are_predicated(opaque, monkeypatch):
    """``sqrt`` and ``power`` never see the zero whose derivative is infinite."""
    seen = []

    def spy(self, ufunc, how, *inputs, **kwargs):
        if ufunc in (np.sqrt, np.power):
            seen.append(unwrap(inputs[0])[unwrap(kwargs.get("where", True))])
        return call(self, ufunc, how, *inputs, **kwargs)

    call = OpaqueScalar.__array_ufunc__
    monkeypatch.setattr(OpaqueScalar, "__array_ufunc__", spy)
    x = wrap(np.array([[0.0, 0.0], [3.0, 3.0]]))
    assert unwrap(COMPOSITES[np.linalg.norm](x, axis=1)).tolist() == [0.0, np.sqrt(18.0)]
    assert unwrap(COMPOSITES[np.linalg.norm](x[0])) == 0.0
    assert unwrap(COMPOSITES[np.linalg.norm](x)) == np.sqrt(18.0)
    assert unwrap(COMPOSITES[np.linalg.norm](x, 3, axis=1))[0] == 0.0
    assert unwrap(COMPOSITES[np.std](x, axis=1)).tolist() == [0.0, 0.0]
    assert unwrap(COMPOSITES[np.nanstd](x)) == 1.5
    assert np.isnan(unwrap(COMPOSITES[np.linalg.norm](wrap(np.array([np.nan, 0.0])))))
    roots = [a for a in seen if a.ndim < 2]  # the elements themselves are raised to a power >= 1
    assert len(roots) == 7 and all(np.all(a != 0) for a in roots)


def test_multi_dot_takes_the_cheapest_order():
    """The example of Cormen et al., Introduction to Algorithms, figure 15.5: ((A1 (A2 A3)) ((A4 A5) A6))."""
    splits = contractions._cheapest_splits([30, 35, 15, 5, 10, 20, 25])
    assert (splits[0, 5], splits[0, 2], splits[3, 5]) == (2, 0, 4)


def test_derivative_of_sinc_by_complex_step():
    """Near 0 the quotient rule cancels; from its Taylor series in 40 terms sinc'(x) is known to rounding."""
    x = np.array([0.0, 1e-9, 1e-3, 0.05, 0.0795, 0.0797, 0.1, 0.3, 1.0, 1.5])
    terms = [(-1) ** k * 2 * k * np.pi ** (2 * k) * x ** (2 * k - 1) / math.factorial(2 * k + 1) for k in range(1, 40)]
    derivative = COMPOSITES[np.sinc](x + 1e-30j).imag / 1e-30
    np.testing.assert_allclose(derivative, sum(terms), rtol=1e-12, atol=1e-15)


def test_gradient_by_active_coordinates(monkeypatch):
    """Even coordinates through which a derivative flows enter each by itself, not as the first interval."""
    f, x = np.array([1.0, 4.0, 9.0, 25.0 + 0j]), np.array([0.0, 1.0, 2.0, 3.0])
    expected = np.gradient(f, x, edge_order=2)
    monkeypatch.setattr(prim, "is_active", lambda a: True)
    shifted = x + [0, 0, 0, 1e-30j]
    actual = COMPOSITES[np.gradient](f, shifted, edge_order=2)
    np.testing.assert_allclose(actual.real, expected, rtol=1e-14)
    assert (actual.imag != 0).tolist() == [False, False, True, True]


def test_piecewise_constants_stop_the_gradient(monkeypatch):
    """Phases are unwrapped, and real numbers have an angle, by what is constant around them."""
    stopped = []
    monkeypatch.setattr(prim, "stop_gradient", lambda a: stopped.append(a) or a)
    COMPOSITES[np.unwrap](np.array([0.0, 4.0]))
    COMPOSITES[np.angle](np.array([-1.0, 0.0]))
    assert [a.tolist() for a in stopped] == [[4.0], [-1.0, 0.0]]


@pytest.mark.parametrize("name", ["mean", "var", "std", "average"])
def test_warns_of_empty_slices_as_numpy(name):
    with np.errstate(all="ignore"), pytest.warns(RuntimeWarning) as theirs:
        numpy_function(name)(np.zeros((0, 2)), axis=0)
    with np.errstate(all="ignore"), pytest.warns(RuntimeWarning) as ours:
        COMPOSITES[numpy_function(name)](np.zeros((0, 2)), axis=0)
    assert {str(w.message) for w in ours} == {str(w.message) for w in theirs}


@pytest.mark.parametrize("shape", [(7,), (1,), (4, 5)])
def test_partition_is_one(shape):
    a = np.random.default_rng(0).permutation(math.prod(shape)).reshape(shape).astype(float)
    for kth in range(shape[-1]):
        part = COMPOSITES[np.partition](a, kth)
        np.testing.assert_array_equal(part[..., kth], np.partition(a, kth)[..., kth])
        assert np.all(part[..., :kth] <= part[..., kth, None]) and np.all(part[..., kth:] >= part[..., kth, None])
        np.testing.assert_array_equal(np.sort(part), np.sort(a))


# -- errors: the exception of NumPy, or one derived from it

BAD_AXIS = [
    *(
        (name, lambda f, x: f(x(2, 3), axis=2))
        for name in "all any argmax argmin amax amin average count_nonzero cumprod cumsum cumulative_sum diff flip "
        "gradient max mean median min nancumsum nanmax nanmean nanmin nanprod nanstd nansum nanvar prod ptp sort std "
        "sum trapezoid unwrap var linalg.norm linalg.vector_norm squeeze unstack".split()
    ),
    *((name, lambda f, x: f(x(2, 3), axis=(0, 0))) for name in "sum mean var max nansum median expand_dims".split()),
    *((name, lambda f, x: f(x(2, 3), 1, axis=-3)) for name in "take repeat delete partition".split()),
    *((name, lambda f, x: f((x(2, 3), x(2, 3)), axis=4)) for name in "concatenate stack".split()),
    ("expand_dims", lambda f, x: f(x(2, 3), 4)),
    ("roll", lambda f, x: f(x(2, 3), 1, 5)),
    ("moveaxis", lambda f, x: f(x(2, 3), 0, 5)),
    ("rollaxis", lambda f, x: f(x(2, 3), 0, 5)),
    ("swapaxes", lambda f, x: f(x(2, 3), 0, 5)),
    ("insert", lambda f, x: f(x(2, 3), 0, 1, axis=7)),
    ("take_along_axis", lambda f, x: f(x(2, 3), x.integers(0, 2, 2, 3), 3)),
    ("put_along_axis", lambda f, x: f(x(2, 3), x.integers(0, 2, 2, 3), 1, 3)),
    ("quantile", lambda f, x: f(x(2, 3), 0.5, axis=3)),
    ("split", lambda f, x: f(x(2, 3), 1, axis=2)),
    ("array_split", lambda f, x: f(x(2, 3), 1, axis=2)),
    ("diagonal", lambda f, x: f(x(2, 3), 0, 0, 2)),
    ("trace", lambda f, x: f(x(2, 3), 0, 0, 2)),
    ("compress", lambda f, x: f([True], x(2, 3), 2)),
]
ERRORS = [
    ("append", lambda f, x: f(x(2, 3), x(2), 0)),
    ("array_split", lambda f, x: f(x(4), 0)),
    ("average", lambda f, x: f(x(2), weights=x(2) * 0)),
    ("average", lambda f, x: f(x(2, 3), weights=x(3))),
    ("average", lambda f, x: f(x(2, 3), 0, weights=x(3))),
    ("block", lambda f, x: f([x(2), [x(2)]])),
    ("block", lambda f, x: f((x(2), x(2)))),
    ("block", lambda f, x: f([])),
    ("block", lambda f, x: f([[x(2, 2), x(3, 2)]])),
    ("broadcast_to", lambda f, x: f(x(3), (2,))),
    ("broadcast_arrays", lambda f, x: f(x(3), x(2))),
    ("choose", lambda f, x: f([0, 5], [x(2), x(2)])),
    ("choose", lambda f, x: f([0.5], [x(1)])),
    ("clip", lambda f, x: f(x(3), 1)),
    ("clip", lambda f, x: f(x(3), 1, 2, min=1)),
    ("clip", lambda f, x: f(x.given([1, 200], "u1"), 300, None)),
    ("column_stack", lambda f, x: f((x(2), x(3)))),
    ("compress", lambda f, x: f([False, False, False, True], x(3))),
    ("compress", lambda f, x: f([[True]], x(3))),
    ("concatenate", lambda f, x: f([])),
    ("concatenate", lambda f, x: f(x(i) for i in (1, 2))),
    ("concatenate", lambda f, x: f((x(), x()))),
    ("concatenate", lambda f, x: f((x(2, 3), x(3)))),
    ("concatenate", lambda f, x: f((x(2, 3), x(2, 4)))),
    ("concatenate", lambda f, x: f((x(2, 1), x(2, 3)), axis=0)),
    ("concatenate", lambda f, x: f((x(2), x(2)), out=x.out(5))),
    ("concatenate", lambda f, x: f((x(2), x(2)), out=x.out(4), dtype="f8")),
    ("concatenate", lambda f, x: f((x(2), x(2)), dtype="i4")),
    ("convolve", lambda f, x: f(x(0), x(2))),
    ("convolve", lambda f, x: f(x(2, 2), x(2))),
    ("convolve", lambda f, x: f(x(2), x(2), "wide")),
    ("copyto", lambda f, x: f(x(2), x(3))),
    ("copyto", lambda f, x: f(x.integers(0, 3, 2), 1.5)),
    ("copyto", lambda f, x: f(x.integers(0, 3, 2), x.with_nan(2))),
    ("copyto", lambda f, x: f(x(3), x(2, 3), where=x.mask(3))),
    ("correlate", lambda f, x: f(x(2), x(0))),
    ("cross", lambda f, x: f(x(4), x(4))),
    ("cross", lambda f, x: f(x(), x(3))),
    ("delete", lambda f, x: f(x(3), 3)),
    ("delete", lambda f, x: f(x(3), [0, 7])),
    ("delete", lambda f, x: f(x(3), [True, False])),
    ("diag", lambda f, x: f(x(2, 2, 2))),
    ("diff", lambda f, x: f(x(3), -1)),
    ("diff", lambda f, x: f(x())),
    ("digitize", lambda f, x: f(x(3), [0, 2, 1])),
    ("dot", lambda f, x: f(x(2, 3), x(2))),
    ("dot", lambda f, x: f(x(1), x(3))),
    ("dot", lambda f, x: f(x(2, 3), x(3), x.out(3))),
    ("dot", lambda f, x: f(x(2, 3), x(3), x.out(2, dtype="i2"))),
    ("dsplit", lambda f, x: f(x(2, 2), 2)),
    ("einsum", lambda f, x: f("ij,jk", x(2, 3), x(2, 3))),
    ("einsum", lambda f, x: f("ij,jk", x(2, 3))),
    ("einsum", lambda f, x: f("ijk", x(2, 3))),
    ("einsum", lambda f, x: f("ij->ik", x(2, 3))),
    ("einsum", lambda f, x: f("ij->ii", x(2, 3))),
    ("einsum", lambda f, x: f("i.j->i", x(2, 3))),
    ("einsum", lambda f, x: f("...i->i", x(2, 3))),
    ("einsum", lambda f, x: f("ii->i", x(2, 3))),
    ("fill_diagonal", lambda f, x: f(x(3), 1)),
    ("fill_diagonal", lambda f, x: f(x(2, 3, 3), 1)),
    ("fliplr", lambda f, x: f(x(3))),
    ("flipud", lambda f, x: f(x())),
    ("gradient", lambda f, x: f(x(1))),
    ("gradient", lambda f, x: f(x(2), edge_order=2)),
    ("gradient", lambda f, x: f(x(4), edge_order=3)),
    ("gradient", lambda f, x: f(x(4), 1, 2)),
    ("gradient", lambda f, x: f(x(4), [1, 2])),
    ("gradient", lambda f, x: f(x(4), x(2, 2))),
    ("hsplit", lambda f, x: f(x(), 1)),
    ("inner", lambda f, x: f(x(2, 3), x(2))),
    ("insert", lambda f, x: f(x(3), 4, 0)),
    ("insert", lambda f, x: f(x(3), [[1, 2]], 0)),
    ("insert", lambda f, x: f(x(3), [0, 1], [1, 2, 3])),
    ("interp", lambda f, x: f(x(3), [0, 1], [1])),
    ("interp", lambda f, x: f(x(3), [], [])),
    ("interp", lambda f, x: f(x(3), [0, 1], [1, 2], period=0)),
    ("kron", lambda f, x: f(x(2))),
    *(("linalg." + name, lambda f, x: f(x(3))) for name in ("inv", "det", "slogdet")),
    *(("linalg." + name, lambda f, x: f(x(2, 3))) for name in ("inv", "det", "slogdet")),
    ("linalg.inv", lambda f, x: f(x(2, 2) * 0)),
    ("linalg.solve", lambda f, x: f(x(2, 3), x(2))),
    ("linalg.solve", lambda f, x: f(x(2, 2), x(3))),
    ("linalg.solve", lambda f, x: f(x(2, 2), x())),
    ("linalg.solve", lambda f, x: f(x(), x(2))),
    ("linalg.solve", lambda f, x: f(x(2, 2, 2), x(3, 2, 1))),
    ("linalg.solve", lambda f, x: f(x(2, 2) * 0, x(2))),
    ("linalg.multi_dot", lambda f, x: f([x(2)])),
    ("linalg.multi_dot", lambda f, x: f([x(2, 2), x(2), x(2, 2)])),
    ("linalg.norm", lambda f, x: f(x(3), "fro")),
    ("linalg.norm", lambda f, x: f(x(2, 2), 3)),
    ("linalg.norm", lambda f, x: f(x(2, 2, 2), 1)),
    ("linalg.norm", lambda f, x: f(x(2, 2), None, (0, 0))),
    ("linalg.norm", lambda f, x: f(x(2, 2), None, "a")),
    ("linalg.outer", lambda f, x: f(x(2, 2), x(2))),
    ("matmul", lambda f, x: f(x(), x(2))),
    ("matmul", lambda f, x: f(x(2, 3), x(2, 3))),
    ("matmul", lambda f, x: f(x(2, 1), x(3, 2))),
    ("matmul", lambda f, x: f(x(2, 2, 3), x(3, 3, 1))),
    ("matmul", lambda f, x: f(x(2, 3), x(3), out=x.out(3))),
    ("max", lambda f, x: f(x(0))),
    ("max", lambda f, x: f(x(3), where=x.mask(3))),
    ("meshgrid", lambda f, x: f(x(2), indexing="ji")),
    ("moveaxis", lambda f, x: f(x(2, 3), (0, 1), 0)),
    ("nanmax", lambda f, x: f(x(0))),
    ("nanmean", lambda f, x: f(x.with_nan(3), dtype=int)),
    ("pad", lambda f, x: f(x(3), -1)),
    ("pad", lambda f, x: f(x(3), 1.5)),
    ("pad", lambda f, x: f(x(3), 1, "mirror")),
    ("pad", lambda f, x: f(x(3), 1, "wrap", constant_values=1)),
    ("pad", lambda f, x: f(x(0), 1, "wrap")),
    ("pad", lambda f, x: f(x(3), ((1, 2), (3, 4)))),
    ("pad", lambda f, x: f(x(3), 1, "maximum", stat_length=0)),
    ("pad", lambda f, x: f(x(3), 1, "mean", stat_length=-1)),
    ("partition", lambda f, x: f(x(3), 3)),
    ("partition", lambda f, x: f(x(3), 1.5)),
    ("place", lambda f, x: f(x(3), [True, False], 1)),
    ("place", lambda f, x: f(x(3), [True, False, True], [])),
    ("put", lambda f, x: f(x(3), [4], 1)),
    ("put", lambda f, x: f(x(3, 2), [-7], 1)),
    ("put", lambda f, x: f(x(3), x.given([1.5], "f8"), 1)),
    ("putmask", lambda f, x: f(x(3), [True, False], 1)),
    ("quantile", lambda f, x: f(x(3), 1.5)),
    ("quantile", lambda f, x: f(x(3), 0.5, method="best")),
    ("quantile", lambda f, x: f(x(0), 0.5)),
    ("quantile", lambda f, x: f(1j * x(3), 0.5)),
    ("repeat", lambda f, x: f(x(3), [1, 2])),
    ("repeat", lambda f, x: f(x(3), -1)),
    ("repeat", lambda f, x: f(x(3), x.given([1.5], "f8"))),
    ("reshape", lambda f, x: f(x(2, 3), 5)),
    ("resize", lambda f, x: f(x(3), -2)),
    ("roll", lambda f, x: f(x(3, 3), (1, 2, 3), (0, 1))),
    ("rot90", lambda f, x: f(x(3, 3), 1, (0, 0))),
    ("rot90", lambda f, x: f(x(3, 3), 1, (0, 2))),
    ("select", lambda f, x: f([], [])),
    ("select", lambda f, x: f([x(2)], [x(2)])),
    ("select", lambda f, x: f([x.mask(2)], [x(2), x(2)])),
    ("split", lambda f, x: f(x(5), 2)),
    ("squeeze", lambda f, x: f(x(2, 1), 0)),
    ("stack", lambda f, x: f([])),
    ("stack", lambda f, x: f([x(2), x(3)])),
    ("std", lambda f, x: f(x(3), ddof=1, correction=1)),
    ("take", lambda f, x: f(x(3), 3)),
    ("take", lambda f, x: f(x(3), x.given([1.5], "f8"))),
    ("take", lambda f, x: f(x(0), [0], mode="wrap")),
    ("take", lambda f, x: f(x(3), 1, mode="bounce")),
    ("take", lambda f, x: f(x(3), [1], 0, x.out(2))),
    ("take_along_axis", lambda f, x: f(x(3), x(3), 0)),
    ("take_along_axis", lambda f, x: f(x(3, 2), x.integers(0, 2, 3), 0)),
    ("tensordot", lambda f, x: f(x(2, 3), x(3, 2))),
    ("tensordot", lambda f, x: f(x(2, 3), x(3, 2), 1.5)),
    ("tensordot", lambda f, x: f(x(2, 2), x(2, 2), ([0, 0], [0, 1]))),
    ("tensordot", lambda f, x: f(x(2, 2), x(2, 2), ([0], [0, 1]))),
    ("transpose", lambda f, x: f(x(2, 3), (0, 0))),
    ("transpose", lambda f, x: f(x(2, 3), (0, 1, 2))),
    ("tril", lambda f, x: f(x())),
    ("unstack", lambda f, x: f(x())),
    ("vander", lambda f, x: f(x(2, 2))),
    ("vdot", lambda f, x: f(x(2), x(3))),
    ("vsplit", lambda f, x: f(x(4), 2)),
]
UNSUPPORTED = [
    ("clip", "where", lambda f, x: f(x(3), 0, 1, where=x.mask(3))),
    ("einsum", "casting", lambda f, x: f("i->", x(3), casting="unsafe")),
    *(("linalg.norm", "ord", partial(lambda f, x, k: f(x(3, 3), k), k=k)) for k in (2, -2, "nuc")),
    ("matmul", "axes", lambda f, x: f(x(3, 3), x(3, 3), axes=[(0, 1), (0, 1), (0, 1)])),
    ("pad", "mode", lambda f, x: f(x(3), 1, lambda *_: None)),
    ("quantile", "weights", lambda f, x: f(x(3), 0.5, weights=x(3))),
    ("sort", "order", lambda f, x: f(x(3), order="a")),
    ("sum", "foo", lambda f, x: f(x(3), foo=1)),
    ("vecdot", "axes", lambda f, x: f(x(3), x(3), axes=[(0,), (0,), ()])),
]


@pytest.mark.parametrize("wrapped", [False, True], ids=["plain", "opaque"])
@pytest.mark.parametrize(("name", "case"), enumerate_ids(BAD_AXIS + ERRORS))
def test_raises_as_numpy(name, case, wrapped, request):
    if wrapped:
        request.getfixturevalue("opaque")
    expected = outcome(case, numpy_function(name), Arguments())
    assert isinstance(expected, Exception), "the case is no error in NumPy"
    actual = outcome(case, COMPOSITES[numpy_function(name)], Arguments(wrapped=wrapped))
    assert isinstance(actual, Exception), actual
    assert isinstance(actual, type(expected)), (expected, actual)


@pytest.mark.parametrize(("name", "keyword", "case"), enumerate_ids(UNSUPPORTED))
def test_unsupported_keywords_are_named(name, keyword, case):
    with pytest.raises(TypeError, match=rf"{name.split('.')[-1]}\(\).*{keyword}"):
        case(COMPOSITES[numpy_function(name)], Arguments())


# -- tables

METHOD_CASES = {
    "all": [lambda f, x: f(x(3, 4), 1)],
    "any": [lambda f, x: f(x(3, 4), axis=0, keepdims=True)],
    "argmax": [lambda f, x: f(x(3, 4)), lambda f, x: f(x(3, 4), 1, keepdims=True)],
    "argmin": [lambda f, x: f(x(3, 4), 0)],
    "argsort": [lambda f, x: f(x.distinct(3, 4), 0)],
    "choose": [lambda f, x: f(x.integers(0, 2, 4), [x(4), x(4)], mode="clip")],
    "clip": [lambda f, x: f(x(3, 4), -1, 1), lambda f, x: f(x(3, 4), max=1), lambda f, x: f(x(3), 0, None, x.out(3))],
    "compress": [lambda f, x: f(x(3, 4), [True, False, True], 1)],
    "conj": [lambda f, x: f(x(3, 4)), lambda f, x: f(1j * x(3))],
    "conjugate": [lambda f, x: f(x(3))],
    "cumprod": [lambda f, x: f(x(3, 4), 1)],
    "cumsum": [lambda f, x: f(x(3, 4)), lambda f, x: f(x(3, 4), 0, "f8")],
    "diagonal": [lambda f, x: f(x(3, 4), 1)],
    "dot": [lambda f, x: f(x(2, 3), x(3))],
    "fill": [lambda f, x: f(x(3, 4), 2.5), lambda f, x: f(x(), 1)],
    "flatten": grid(lambda f, x, order: f(x(2, 3, 4), order), order=["C", "F", "A", "K"]),
    "max": [lambda f, x: f(x(3, 4), 0), lambda f, x: f(x(3, 4), initial=9)],
    "mean": [lambda f, x: f(x(3, 4), 0), lambda f, x: f(x(3, 4), 1, where=x.mask(3, 4))],
    "min": [lambda f, x: f(x(3, 4), -1, keepdims=True)],
    "partition": [lambda f, x: f(x(1), 0), lambda f, x: f(x.distinct(2, 2), 1)],
    "prod": [lambda f, x: f(x(3, 4), (0, 1))],
    "put": [lambda f, x: f(x(3, 4), [1, 2], [5, 6]), lambda f, x: f(x(3, 4), indices=[99], values=1, mode="clip")],
    "repeat": [lambda f, x: f(x(2, 3), 2, axis=1)],
    "round": [lambda f, x: f(x(3, 4), 1)],
    "searchsorted": [lambda f, x: f(x.given([0, 1, 2]), x(4), "right")],
    "sort": [lambda f, x: f(x.distinct(4, 3)), lambda f, x: f(x.distinct(4, 3), 0, kind="stable")],
    "std": [lambda f, x: f(x(3, 4), 0, ddof=1)],
    "sum": [lambda f, x: f(x(3, 4)), lambda f, x: f(x(3, 4), 0, "f8", x.out(4, dtype="f8"))],
    "take": [lambda f, x: f(x(3, 4), [0, 2], axis=1)],
    "trace": [lambda f, x: f(x(3, 4), 1)],
    "var": [lambda f, x: f(x(3, 4), mean=x(1, 1)), lambda f, x: f(x(3, 4), 1)],
}


@pytest.mark.parametrize("wrapped", [False, True], ids=["plain", "opaque"])
@pytest.mark.parametrize("name", METHODS)
def test_methods_as_numpy(name, wrapped, request):
    if wrapped:
        request.getfixturevalue("opaque")
    for case in METHOD_CASES[name]:
        for kind in KINDS:
            assert check(case, lambda a, *args, **kwargs: getattr(a, name)(*args, **kwargs), METHODS[name], kind,
                         TOLERANCE.get(name, 0.0), wrapped)  # fmt: skip


def test_every_function_has_cases():
    tested = {COMPOSITES[numpy_function(name)] for name in CASES}
    assert tested == set(COMPOSITES.values()), "aliases such as amax share a function"
    assert all(CASES.values()) and set(METHODS) == set(METHOD_CASES)


@pytest.mark.parametrize("function", COMPOSITES, ids=lambda f: f"{getattr(f, '__module__', 'numpy')}.{f.__name__}")
def test_signature_is_that_of_numpy(function):
    try:
        theirs = inspect.signature(function).parameters
    except ValueError:
        pytest.skip("this NumPy does not tell")
    ours = inspect.signature(COMPOSITES[function]).parameters
    if isinstance(function, np.ufunc):  # casting, order, subok, signature and axes go to **options, which refuses them
        assert "options" in ours and set(ours) - {"options"} <= set(theirs)
        return
    assert [(p.name, p.kind) for p in ours.values()] == [(p.name, p.kind) for p in theirs.values()]
    for p in ours.values():
        expected = theirs[p.name].default
        same = p.default is expected or p.default == expected
        assert same or (p.name, p.default, expected) == ("keepdims", False, np._NoValue), p
