"""Composites on complex arrays: values against NumPy, tangents against differences, adjoints against tangents."""

import inspect

import numpy as np
import pytest

import sparsead
from composite_cases import CASES
from test_composites import numpy_function
from test_composites_traced import Smooth, assert_slopes, directions, plainly, prepared, quiet, random_like, slope, total

MOST = 6  # cases of each function

# What NumPy gives for complex numbers, but sparsead has no derivative of: the order of complex numbers, and more.
REFUSED = {"clip", "interp", "max", "min", "nan_to_num", "ptp", "linalg.slogdet"}


class Complex(Smooth):
    def _add(self, a):
        return super()._add(a + 1j * self._rng.normal(size=a.shape) if a.dtype.kind == "c" else a)


def check(f, floats, others, rng):
    values, _ = plainly(f, floats, others)
    tangents = directions(floats, rng)
    with quiet():
        (traced, _), dots = sparsead.jvp(f, has_aux=True)(floats, others, tangents)
    for actual, expected in zip(traced, values, strict=True):
        assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
        eps = np.finfo(expected.dtype).eps
        np.testing.assert_allclose(actual, expected, rtol=64 * eps, atol=64 * eps)
    expected, tol = slope(f, floats, others, tangents)
    if not all(np.all(np.isfinite(d)) for d in expected):
        return
    assert_slopes(dots, expected, tol)
    seeds = [random_like(d, rng) for d in expected]
    with quiet():
        _, pullback = sparsead.vjp(f, has_aux=True)(floats, others)
        adjoints = pullback(seeds)
    assert [a.dtype for a in adjoints] == [a.dtype for a in floats]
    scale = 1 + total(map(np.abs, dots), map(np.abs, seeds))
    assert abs(total(adjoints, tangents) - total(dots, seeds)) <= (1e-11 if tol < 1e-5 else 1e-4) * scale


def is_for_complex(f, floats, others):
    """Whether some argument is complex, and NumPy takes it."""
    if not any(map(np.iscomplexobj, floats)):
        return False
    try:
        plainly(f, floats, others)
    except (TypeError, ValueError, AttributeError, NotImplementedError):
        return False
    return True


@pytest.mark.parametrize("name", CASES)
def test_complex_arrays(name):
    rng, cases, refused = np.random.default_rng(3), CASES[name], False
    for case in cases[:: 1 + len(cases) // MOST]:
        found = prepared(numpy_function(name), case, Complex("c16", "C"))
        if found is None or not is_for_complex(*found):
            continue
        try:
            check(*found, rng)
        except Exception as error:
            if name in REFUSED and isinstance(error, (NotImplementedError, TypeError)) and "complex" in str(error):
                refused = True
                continue
            error.add_note(f"case: {inspect.getsource(getattr(case, 'func', case)).strip()} {getattr(case, 'keywords', '')}")
            raise
    assert refused == (name in REFUSED)
