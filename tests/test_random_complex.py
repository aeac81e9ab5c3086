"""Random programs on complex numbers, in place, against the same on pairs of real arrays."""

import numpy as np
import pytest

import sparsead
from complex_programs import ENGINES, N, directions, on_pairs, on_wholes, random_program, real_function


@pytest.mark.parametrize("seed", range(40))
def test_random_programs(seed):
    rng = np.random.default_rng(seed)
    program, matrix = random_program(rng), 0.3 * directions(rng, np.zeros((N, N), complex))
    z, r = directions(rng, np.zeros(N, complex)), rng.normal(size=N)
    value, by_parts = sparsead.value_and_grad(on_pairs(program, matrix), (0, 1, 2), engine="reference")(z.real, z.imag, r)
    assert np.isfinite(value)
    expected, by_r = by_parts[0] + 1j * by_parts[1], by_parts[2]
    scale = 1e-10 * (1 + max(np.abs(expected).max(), np.abs(by_r).max()))
    for engine in ENGINES if seed % 8 == 0 else ENGINES[:2]:
        got, (dz, dr) = sparsead.value_and_grad(on_wholes(program, matrix), (0, 1), engine=engine)(z, r)
        np.testing.assert_allclose(got, value, rtol=1e-10)
        np.testing.assert_allclose(dz, expected, rtol=1e-10, atol=scale)
        np.testing.assert_allclose(dr, by_r, rtol=1e-10, atol=scale)
    dots = directions(rng, z, r)
    product = sparsead.hvp(on_wholes(program, matrix), (0, 1), engine="vm")(z, r, dots)
    dots = dots[0].real, dots[0].imag, dots[1]
    pairs = sparsead.hvp(on_pairs(program, matrix), (0, 1, 2), engine="reference")(z.real, z.imag, r, dots)
    size = 1e-9 * (1 + max(np.abs(p).max() for p in pairs))
    np.testing.assert_allclose(product[0], pairs[0] + 1j * pairs[1], rtol=1e-9, atol=size)
    np.testing.assert_allclose(product[1], pairs[2], rtol=1e-9, atol=size)


@pytest.mark.parametrize("seed", range(10))
def test_jacobians_of_random_programs_that_are_complex_inside(seed):
    rng = np.random.default_rng(seed)
    f = real_function(random_program(rng, 8), 0.3 * directions(rng, np.zeros((N, N), complex)))
    loss, r = lambda r: (f(r) ** 2).sum(), rng.normal(size=N)
    pairs = ((sparsead.jacobian(f), sparsead.jvp(f)), (sparsead.hessian(loss), lambda r, e: (None, sparsead.hvp(loss)(r, e))))
    for matrix, product in pairs:
        expected = np.stack([product(r, e)[1] for e in np.eye(N)], 1)
        np.testing.assert_allclose(matrix(r).toarray(), expected, rtol=1e-10, atol=1e-10 * (1 + np.abs(expected).max()))
