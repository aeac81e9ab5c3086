"""Composites through the tracer: values against NumPy, tangents and adjoints against central differences.

The cases are those of `test_composites`, where composites run without a trace. Here a case is a function of the arrays
that it asks for; its results are what it returns and what it leaves in these arrays.
"""

import inspect
import warnings
from contextlib import contextmanager

import numpy as np
import pytest

import sparsead
from composite_arrays import Arguments
from composite_cases import CASES
from test_composites import TOLERANCE, assert_equal_values, leaves, numpy_function

VALUE_KINDS = [("f8", "C"), ("f4", "F"), ("f8", "strided"), ("f4", "reversed"), ("f8", "F")]
SLOPE_KINDS = [("f8", "C"), ("f8", "strided")]
LONG = 128  # of longer tables only every second or third case

# Rounding in units of eps. Besides what goes through BLAS: with `where` and `initial`, and over several axes of an array
# in Fortran order, NumPy adds and multiplies in an order of its own.
SUMS = ["average", "mean", "nanmean", "nanprod", "nanstd", "nansum", "nanvar", "prod", "std", "sum", "var"]
ROUNDING = {**dict.fromkeys(SUMS, 4.0), **TOLERANCE}


# -- arguments


class Smooth(Arguments):
    """Numbers off the lattice and without ties, so that no step of a difference meets a kink."""

    def __call__(self, *shape):
        a = self._rng.normal(size=shape)
        return self._add((a + np.copysign(0.2, a)).astype(self.dtype))

    def distinct(self, *shape):
        return self.given(self._rng.permutation(np.prod(shape, dtype=int)).reshape(shape) - 3)

    def positive(self, *shape):
        return self.given(1 + self._rng.integers(0, 9, shape))

    def given(self, values, dtype=None):
        a = np.array(values, dtype or self.dtype)
        return self._add(a + self._rng.uniform(0.05, 0.2, a.shape).astype(a.dtype) if is_float(a) else a)


class Replayed:
    """Gives a case arrays that were made before."""

    def __init__(self, source, arrays):
        self.dtype, self.layout, self._arrays = source.dtype, source.layout, iter(arrays)

    def __call__(self, *args, **kwargs):
        return next(self._arrays)

    distinct = with_nan = positive = mask = integers = out = given = __call__


def is_float(a):
    return getattr(a, "dtype", None) is not None and a.dtype.kind in "fc"


def with_lists(function):
    """The function, given nested lists of numbers in place of its floating arrays."""

    def call(*args, **kwargs):
        return function(*[a.tolist() if is_float(a) and np.shape(a) else a for a in args], **kwargs)

    call.__name__ = function.__name__
    return call


def arrays_of(case, function, source):
    """The arrays that a case makes, untouched."""

    def spy(*args, **kwargs):
        pass

    spy.__name__ = function.__name__
    case(spy, source)
    return source.made


def as_function(case, function, source, made):
    """The case as a function of its floating and its other arrays, with what carries no derivative as auxiliary result."""
    kinds = [is_float(a) for a in made]

    def run(floats, others):
        rest = iter(floats), iter(others)
        arrays = [next(rest[0] if kind else rest[1]) for kind in kinds]
        found = [*leaves([case(function, Replayed(source, arrays))]), *arrays]
        return [x for x in found if is_float(x)], [x for x in found if not is_float(x)]

    return run


def prepared(function, case, source):
    """(function, its floating arrays, its other arrays), or None where there is nothing to differentiate."""
    made = arrays_of(case, function, source)
    floats, others = [a for a in made if is_float(a)], [a for a in made if not is_float(a)]
    if not floats:
        return None
    return as_function(case, function, source, made), floats, others


@contextmanager
def quiet():
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


def plainly(f, *arrays):
    """What plain NumPy makes of copies."""
    with quiet():
        return f(*[[np.array(a, order="K", copy=True) for a in some] for some in arrays])


# -- derivatives by numbers


# The step and the tolerance of differences, by the least exact result.
STEPS = {np.finfo("f8"): (1e-4, 1e-6), np.finfo("f4"): (1e-2, 2e-3), np.finfo("f2"): (1.0, 2e-2)}


def moved(floats, tangents, h):
    """The arrays with a step added, in the same memory layout."""
    new = [np.empty_like(a) for a in floats]
    for target, a, t in zip(new, floats, tangents, strict=True):
        target[...] = a + a.dtype.type(h) * t
    return new


def slope(f, floats, others, tangents):
    """Directional derivative of the floating results, by differences of fourth order; and how exact it is."""
    kinds = {np.finfo(z.dtype) for z in plainly(f, floats, others)[0]}
    h, tol = STEPS[max(kinds, key=lambda kind: kind.eps)]

    def difference(h):
        ahead, behind = (plainly(f, moved(floats, tangents, s), others)[0] for s in (h, -h))
        return [(a - b) / (2 * h) for a, b in zip(ahead, behind, strict=True)]

    with np.errstate(invalid="ignore"):
        return [(4 * a - b) / 3 for a, b in zip(difference(h / 2), difference(h), strict=True)], tol


def directions(floats, rng):
    return [np.where(np.isfinite(a), random_like(a, rng), 0.0).astype(a.dtype) for a in floats]


def random_like(a, rng):
    return rng.normal(size=np.shape(a)) + (1j * rng.normal(size=np.shape(a)) if np.iscomplexobj(a) else 0.0)


def assert_slopes(got, expected, tol):
    for dot, want in zip(got, expected, strict=True):
        known = np.isfinite(want)
        scale = max(1.0, np.abs(want[known]).max(initial=0.0)) if np.ndim(want) else max(1.0, abs(want))
        np.testing.assert_allclose(dot[known], want[known], rtol=0, atol=tol * scale)


def total(xs, ys):
    return sum(float(np.sum((np.conj(x) * np.asarray(y, np.result_type(y, float))).real)) for x, y in zip(xs, ys, strict=True))


# -- tests


def each(name, kinds, make, check, at_most=LONG):
    """Check the cases, the kinds of arrays taking turns; the note names the one that fails."""
    checked = 0
    cases = CASES[name]
    for number in range(0, len(cases), 1 + len(cases) // at_most):
        case = cases[number]
        kind = kinds[number % len(kinds)]
        found = prepared(numpy_function(name), case, make(*kind))
        if found is None:
            continue
        try:
            check(*found)
        except Exception as error:
            source = inspect.getsource(getattr(case, "func", case)).strip()
            error.add_note(f"case {number} with {kind}: {source} {getattr(case, 'keywords', '')}")
            raise
        checked += 1
    assert checked


@pytest.mark.parametrize("name", CASES)
def test_values_as_numpy(name):
    def check(f, floats, others):
        values, rest = plainly(f, floats, others)
        with quiet():
            (traced, aux), _ = sparsead.jvp(f, has_aux=True)(floats, others, [np.zeros_like(a) for a in floats])
        assert len(traced) == len(values) and len(aux) == len(rest)
        for expected, actual in zip(values, traced, strict=True):
            assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
            assert_equal_values(expected, actual, ROUNDING.get(name, 0.0) * np.finfo(expected.dtype).eps)
        for expected, actual in zip(rest, aux, strict=True):
            np.testing.assert_array_equal(actual, expected)

    each(name, VALUE_KINDS, Arguments, check)


@pytest.mark.parametrize("name", CASES)
def test_tangents_and_adjoints(name):
    rng = np.random.default_rng(11)

    def check(f, floats, others):
        tangents = directions(floats, rng)
        expected, tol = slope(f, floats, others, tangents)
        with quiet():
            _, dots = sparsead.jvp(f, has_aux=True)(floats, others, tangents)
            assert_slopes(dots, expected, tol)
            if not all(np.all(np.isfinite(d)) for d in expected):
                return  # even a seed of 0 there may come back as NaN
            seeds = [random_like(d, rng) for d in expected]
            _, pullback = sparsead.vjp(f, has_aux=True)(floats, others)
            adjoints = pullback(seeds)
        assert [a.shape for a in adjoints] == [a.shape for a in floats]
        scale = 1 + total(map(np.abs, dots), map(np.abs, seeds))
        assert abs(total(adjoints, tangents) - total(dots, seeds)) <= (1e-11 if tol < 1e-5 else 1e-4) * scale

    each(name, SLOPE_KINDS, Smooth, check)


def takes_lists(f, lists, floats, others):
    """Whether NumPy makes the same of lists as of arrays."""
    try:
        values = plainly(lists, floats, others)
    except (TypeError, ValueError, AttributeError):
        return False
    pairs = zip(leaves(values), leaves(plainly(f, floats, others)), strict=False)
    return all(np.array_equal(a, b, equal_nan=is_float(a)) and np.asarray(a).dtype == np.asarray(b).dtype for a, b in pairs)


LISTED = [name for name in CASES if not isinstance(numpy_function(name), np.ufunc)]  # a ufunc asks its operands alone


WANT_ARRAYS = {"copyto", "dsplit", "fill_diagonal", "hsplit", "place", "put", "put_along_axis", "putmask", "rollaxis", "split",
               "take_along_axis", "unstack"}  # fmt: skip


@pytest.mark.parametrize("name", LISTED)
def test_lists_of_traced_numbers(name):
    rng, tried = np.random.default_rng(13), 0
    for number, case in enumerate(CASES[name][:: 1 + len(CASES[name]) // 12]):
        function = numpy_function(name)
        found, lists = (prepared(g, case, Smooth("f8", "C")) for g in (function, with_lists(function)))
        if found is None or not takes_lists(found[0], *lists):
            continue
        f, floats, others = lists
        tangents = directions(floats, rng)
        expected, tol = slope(f, floats, others, tangents)
        with quiet():
            (values, _), dots = sparsead.jvp(f, has_aux=True)(floats, others, tangents)
        for value, actual in zip(plainly(f, floats, others)[0], values, strict=True):
            assert (actual.dtype, actual.shape) == (value.dtype, value.shape), number
            assert_equal_values(value, actual, max(32.0, ROUNDING.get(name, 0.0)) * np.finfo(value.dtype).eps)
        assert_slopes(dots, expected, tol)
        tried += 1
    assert tried or name in WANT_ARRAYS


def test_second_order():
    """Of the sum of squares of all results, against differences of its gradient."""
    rng, checked = np.random.default_rng(12), []

    def check(f, floats, others):
        values = plainly(f, floats, others)[0]
        if not all(np.all(np.isfinite(a)) for a in [*values, *floats]) or any(z.dtype.char not in "dD" for z in values):
            return
        weights = [rng.uniform(0.5, 1.5, np.shape(z)) for z in values]
        v = [rng.uniform(-1, 1, a.shape) for a in floats]

        def loss(floats, others):
            return sum([np.sum((w * z * z).real) for w, z in zip(weights, f(floats, others)[0], strict=True)])

        def gradients(floats, others):
            return sparsead.grad(loss)(floats, others), []

        with quiet():
            got = sparsead.hvp(loss)(floats, others, v)
            expected, tol = slope(gradients, floats, others, v)
        assert_slopes(got, expected, tol)
        checked.append(f)

    for name in CASES:
        each(name, SLOPE_KINDS, Smooth, check, at_most=4)
    assert len(checked) > 300
