"""Composites through the tracer: values against NumPy, tangents and adjoints against central differences.

The cases are those of `test_composites`, where composites run without a trace. Here a case is a function of the arrays
that it asks for; its results are what it returns and what it leaves in these arrays.
"""

import inspect
import warnings

import numpy as np
import pytest

import sparsead
from composite_arrays import Arguments
from composite_cases import CASES
from test_composites import TOLERANCE, assert_equal_values, leaves, numpy_function

VALUE_KINDS = [("f8", "C"), ("f8", "F"), ("f4", "reversed"), ("f8", "strided")]
SLOPE_KINDS = [("f8", "C"), ("f8", "strided")]


# -- arguments


class Smooth(Arguments):
    """Numbers off the lattice and without ties, so that no step of a difference meets a kink."""

    def __call__(self, *shape):
        return self._add(self._rng.normal(size=shape).astype(self.dtype))

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
    return getattr(a, "dtype", None) is not None and a.dtype.kind == "f"


def arrays_of(case, function, source):
    """The arrays that a case makes, untouched, and what it calls the function with."""
    calls = []

    def spy(*args, **kwargs):
        calls.append((args, kwargs))

    spy.__name__ = function.__name__
    case(spy, source)
    return source.made, calls


def is_complex(calls):
    """Complex numbers are out of the tracer's scope; that composites handle them is tested without a trace."""
    return any(np.iscomplexobj(leaf) for args, kwargs in calls for leaf in leaves([*args, *kwargs.values()]))


def as_function(case, function, source, made):
    """The case as a function of its floating arrays, with what carries no derivative as the auxiliary result."""

    def run(floats):
        given = iter(floats)
        arrays = [next(given) if is_float(a) else a.copy() for a in made]
        found = leaves([case(function, Replayed(source, arrays))]) + arrays
        return [x for x in found if is_float(x)], [x for x in found if not is_float(x)]

    return run


def prepared(name, case, source):
    """(function of floating arrays, these arrays), or None where there is nothing to differentiate."""
    made, calls = arrays_of(case, numpy_function(name), source)
    floats = [a for a in made if is_float(a)]
    if is_complex(calls) or not floats:
        return None
    return as_function(case, numpy_function(name), source, made), floats


def plainly(f, floats):
    """What plain NumPy makes of copies."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return f([np.copy(a, order="K") if a.ndim else a.copy() for a in floats])


# -- derivatives by numbers


def moved(floats, tangents, h):
    return [a + a.dtype.type(h) * t for a, t in zip(floats, tangents, strict=True)]


def slope(f, floats, tangents):
    """Directional derivative of the floating results, by differences of fourth order."""
    exact = all(z.dtype == np.float64 for z in plainly(f, floats)[0])
    h = 1e-4 if exact else 1e-2

    def difference(h):
        ahead, behind = (plainly(f, moved(floats, tangents, s))[0] for s in (h, -h))
        return [(a - b) / (2 * h) for a, b in zip(ahead, behind, strict=True)]

    with np.errstate(invalid="ignore"):
        return [(4 * a - b) / 3 for a, b in zip(difference(h / 2), difference(h), strict=True)], 1e-7 if exact else 2e-3


def directions(floats, rng):
    return [np.where(np.isfinite(a), rng.normal(size=a.shape), 0.0).astype(a.dtype) for a in floats]


def assert_slopes(got, expected, tol):
    for dot, want in zip(got, expected, strict=True):
        known = np.isfinite(want)
        scale = max(1.0, np.abs(want[known]).max(initial=0.0)) if np.ndim(want) else max(1.0, abs(want))
        np.testing.assert_allclose(dot[known], want[known], rtol=0, atol=tol * scale)


def total(xs, ys):
    return sum(float(np.sum(np.asarray(x, float) * y)) for x, y in zip(xs, ys, strict=True))


# -- tests


def each(name, kinds, make, check):
    """Run the check on every case; the note names the one that fails."""
    checked = 0
    for number, case in enumerate(CASES[name]):
        for kind in kinds:
            found = prepared(name, case, make(*kind))
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
    def check(f, floats):
        values, others = plainly(f, floats)
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            (traced, aux), _ = sparsead.jvp(f, has_aux=True)(floats, [np.zeros_like(a) for a in floats])
        assert len(traced) == len(values) and len(aux) == len(others)
        for expected, actual in zip(values, traced, strict=True):
            assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
            assert_equal_values(expected, actual, TOLERANCE.get(name, 0.0) * np.finfo(expected.dtype).eps)
        for expected, actual in zip(others, aux, strict=True):
            np.testing.assert_array_equal(actual, expected)

    each(name, VALUE_KINDS, Arguments, check)


@pytest.mark.parametrize("name", CASES)
def test_tangents_and_adjoints(name):
    rng = np.random.default_rng(11)

    def check(f, floats):
        tangents = directions(floats, rng)
        expected, tol = slope(f, floats, tangents)
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            _, dots = sparsead.jvp(f, has_aux=True)(floats, tangents)
            assert_slopes(dots, expected, tol)
            seeds = [np.where(np.isfinite(d), rng.normal(size=np.shape(d)), 0.0) for d in expected]
            (_, _), pullback = sparsead.vjp(f, has_aux=True)(floats)
            adjoints = pullback(seeds)
        known = [np.where(np.isfinite(d), d, 0.0) for d in dots]
        assert [a.shape for a in adjoints] == [a.shape for a in floats]
        scale = 1 + total(map(np.abs, known), map(np.abs, seeds))
        assert abs(total(adjoints, tangents) - total(known, seeds)) <= (1e-11 if tol < 1e-5 else 1e-4) * scale

    each(name, SLOPE_KINDS, Smooth, check)
