"""Diagonals and diagonal blocks of Hessians: the same entries as the Hessian has, and fewer colours."""

import doctest
import importlib
import itertools

import numpy as np
import pytest

import sparsead
from engines import ARRANGED
from sparsead.derivatives.diagonals import conflicts

METHODS = ("auto", "direct", "column")
X = np.linspace(0.3, 1.4, 12).reshape(4, 3)


def energy(x, scale):
    """In place; neighbours in both directions, one far away, some entries of the diagonal zero."""
    x[1:, :2] = x[1:, :2] - scale * x[:-1, :2] ** 2
    return np.sum(x * x) - np.sum(x[:, 2] ** 2) + x[0, 0] * x[-1, -1] + np.sum(np.sin(x[:, 1]) * x[:, 0])


@pytest.mark.parametrize("engine", ["vm", "reference"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("layout", ["C", "F", "backwards", "every second"])
def test_against_the_hessian(layout, method, engine):
    H = sparsead.hessian(energy, wrt=(0, 1), format="dense")(X, 1.5)
    assert np.any(H.diagonal() == 0)
    diagonal = sparsead.hessian_diagonal(energy, wrt=(0, 1), method=method, engine=engine)
    x = ARRANGED[layout](X)
    by_x, by_scale = diagonal(x, 1.5)
    assert by_x.shape == X.shape and by_x.flags.c_contiguous and isinstance(by_scale, float)
    np.testing.assert_allclose([*by_x.ravel(), by_scale], H.diagonal(), rtol=1e-13)
    alone = sparsead.hessian_diagonal(energy, method=method, engine=engine)(x, 1.5)
    np.testing.assert_allclose(alone.ravel(), H.diagonal()[:-1], rtol=1e-13)
    for b in (1, 3, 6):
        blocks = sparsead.hessian_diagonal(energy, block=b, method=method, engine=engine)(x, 1.5)
        assert blocks.shape == (12 // b, b, b)
        for k, block in enumerate(blocks):
            np.testing.assert_allclose(block, H[b * k : b * k + b, b * k : b * k + b], rtol=1e-13, atol=1e-15)


def chain(x):
    return np.sum(np.exp(x[1:] * x[:-1]))


def tape_of(derivative):
    return derivative._compressed(derivative.prepared).entries.direct_tape


def test_fewer_colours_and_entries_than_the_hessian():
    x = np.linspace(0, 1, 50)
    hessian = sparsead.hessian(chain, method="column").prepare(x)
    diagonal = sparsead.hessian_diagonal(chain, method="column").prepare(x)
    assert hessian.coloring.count == 3 and diagonal.coloring.count == 2
    assert diagonal.pattern.nnz == 50 and np.array_equal(diagonal.pattern.toarray(), np.eye(50))
    direct = sparsead.hessian_diagonal(chain, method="direct").prepare(x)
    assert direct.method == "direct" and "entry by entry" in direct.report()
    whole = sparsead.hessian(chain, method="direct").prepare(x)
    assert len(tape_of(direct)) < len(tape_of(whole))
    assert "Coloring(column, 2 colours" in diagonal.report()


def test_an_arrowhead_takes_two_colours():
    n = 200

    def arrow(x):
        return np.sum(np.sin(x[0] * x[1:])) + x[0] ** 4

    x = np.linspace(0.5, 1, n)
    diagonal = sparsead.hessian_diagonal(arrow, method="column")
    found = diagonal(x)
    assert diagonal.coloring.count == 2
    expected = -np.sin(x[0] * x) * x[0] ** 2
    expected[0] = 12 * x[0] ** 2 - np.sum(np.sin(x[0] * x[1:]) * x[1:] ** 2)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_wanted_entries_can_be_told_apart(seed):
    rng = np.random.default_rng(seed)
    A = rng.random((9, 7)) < 0.3
    W = A & (rng.random(A.shape) < 0.4)
    indptr, indices = np.concatenate([[0], np.cumsum(A.sum(1))]), np.nonzero(A)[1]
    found = {tuple(map(int, pair)) for pair in conflicts(indptr, indices, W[A])}
    met = lambda j, k: np.any(A[:, j] & A[:, k] & (W[:, j] | W[:, k]))
    defined = {(j, k) for j, k in itertools.combinations(range(7), 2) if met(j, k)}
    assert found == defined and len(conflicts(indptr, indices, W[A])) == len(found)


def test_structures_float32_and_no_curvature():
    found = sparsead.hessian_diagonal(lambda p: p["a"] ** 3 * np.sum(p["b"] ** 2))({"a": 2.0, "b": np.array([1.0, 3.0])})
    assert found["a"] == 120
    np.testing.assert_array_equal(found["b"], [16, 16])
    small = sparsead.hessian_diagonal(lambda x: np.sum(x**3))(np.ones(2, np.float32))
    assert small.dtype == np.float32
    np.testing.assert_array_equal(small, [6, 6])
    np.testing.assert_array_equal(sparsead.hessian_diagonal(lambda x: np.sum(x))(np.ones(3)), np.zeros(3))
    np.testing.assert_array_equal(sparsead.hessian_diagonal(lambda x: x[0] * x[1])(np.ones(3)), np.zeros(3))


def test_paths():
    diagonal = sparsead.hessian_diagonal(lambda x: np.sum(x**3) if x[0] > 0 else np.sum(x**2))
    for first, expected in ((1.0, 6.0), (-1.0, 2.0), (2.0, 12.0)):
        np.testing.assert_array_equal(diagonal(np.full(3, first)), np.full(3, expected))


def test_refusals():
    with pytest.raises(ValueError, match=r"block=2 does not divide the 3 inputs of chain"):
        sparsead.hessian_diagonal(chain, block=2)(np.ones(3))
    for block in (0, True, 1.5):
        with pytest.raises(ValueError, match=f"block={block} has to be a number of rows"):
            sparsead.hessian_diagonal(chain, block=block)
    with pytest.raises(ValueError, match="method='row' is unknown; choose one of 'auto', 'direct', 'column'"):
        sparsead.hessian_diagonal(chain, method="row")
    with pytest.raises(TypeError, match="has to give one number"):
        sparsead.hessian_diagonal(lambda x: x)(np.ones(3))


def test_examples():
    result = doctest.testmod(importlib.import_module("sparsead.derivatives.diagonals"))
    assert result.attempted > 4 and result.failed == 0
