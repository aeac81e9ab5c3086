"""Colourings with the fewest colours against all colourings there are."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from colouring_patterns import arrow, assert_recovers, banded, csr, grid, random_pattern, symmetric
from sparsead.sparsity.colouring import (
    ORDERS,
    color_columns,
    color_exactly,
    color_rows,
    color_symmetric,
    is_acyclic_coloring,
    is_star_coloring,
    is_structurally_orthogonal,
)

VALID = {"star": is_star_coloring, "acyclic": is_acyclic_coloring}


def partitions(n):
    """All ways to colour n vertices, up to the names of colours."""
    if n == 0:
        yield ()
    for first in partitions(n - 1) if n else ():
        for color in range(max(first, default=-1) + 2):
            yield (*first, color)


@st.composite
def small_patterns(draw):
    m, n = draw(st.integers(0, 6)), draw(st.integers(0, 6))
    return random_pattern(m, n, draw(st.sampled_from([0.2, 0.4, 0.6])), draw(st.integers(0, 2**32 - 1)))


@given(small_patterns())
def test_columns_and_rows(dense):
    for partition, greedy in (("column", color_columns), ("row", color_rows)):
        exact = color_exactly(*csr(dense), partition)
        size = dense.shape[partition == "column"]
        valid = [colors for colors in partitions(size) if is_structurally_orthogonal(*csr(dense), list(colors), partition)]
        assert exact.count == exact.lower_bound == min(max(colors, default=-1) for colors in valid) + 1
        assert exact.count <= greedy(*csr(dense)).count
        assert_recovers(exact, dense)


@pytest.mark.parametrize("method", VALID)
@given(st.integers(0, 6), st.sampled_from([0.2, 0.4, 0.6]), st.integers(0, 2**32 - 1))
def test_symmetric(method, n, density, seed):
    dense = symmetric(random_pattern(n, n, density, seed), True)
    exact = color_exactly(*csr(dense), "symmetric", method)
    valid = [colors for colors in partitions(n) if VALID[method](*csr(dense), list(colors))]
    assert exact.count == exact.lower_bound == min(max(colors, default=-1) for colors in valid) + 1
    assert color_symmetric(*csr(dense), method).lower_bound <= exact.count
    assert_recovers(exact, dense)


def test_fewer_than_greedy():
    """The search has something to find: fewer colours than a random order for columns, than all orders for symmetric patterns."""
    gains = {"column": 0, "star": 0, "acyclic": 0}
    for seed in range(12):
        dense = random_pattern(30, 30, 0.08, seed)
        exact = color_exactly(*csr(dense))
        assert is_structurally_orthogonal(*csr(dense), exact.colors)
        gains["column"] += color_columns(*csr(dense), "random").count - exact.count
        dense = symmetric(random_pattern(16, 16, 0.2, seed), True)
        for method in VALID:
            exact = color_exactly(*csr(dense), "symmetric", method)
            assert VALID[method](*csr(dense), exact.colors)
            gains[method] += color_symmetric(*csr(dense), method, tuple(ORDERS)).count - exact.count
    assert min(gains.values()) > 0


@pytest.mark.parametrize("b", [1, 2, 3])
def test_bands(b):
    assert color_exactly(*csr(banded(20, b))).count == 2 * b + 1
    for n, count in ((3 * b, 2 * b), (3 * b + 1, 2 * b + 1)):  # 2 b + 1 is least as soon as there is room for it
        assert color_exactly(*csr(banded(n, b)), "symmetric").count == count
    assert color_exactly(*csr(banded(20, b)), "symmetric", "acyclic").count == b + 1


def test_known_counts():
    assert color_exactly(*csr(arrow(30)), "symmetric").count == 2
    assert color_exactly(*csr(grid(5, corners=False))).count == 5
    assert color_exactly(*csr(np.zeros((3, 0)))).count == 0
    assert color_exactly(*csr(np.zeros((0, 3)))).count == 1


def test_nothing_is_searched_where_greedy_meets_the_bound():
    n = 8000
    begin = time.process_time()
    assert color_exactly([0, n], np.arange(n), (1, n)).count == n
    assert time.process_time() - begin < 3  # lists of all pairs take ten seconds, and gigabytes


def test_too_large():
    with pytest.raises(RuntimeError, match=r"100 steps are not enough for these 60 vertices; from [0-9]+ to [0-9]+ colours"):
        color_exactly(*csr(random_pattern(60, 60, 0.08)), max_steps=100)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((*csr(np.eye(3)), "bidirectional"), "partition is 'bidirectional'"),
        ((*csr(np.eye(3)), "symmetric", "direct"), "method of 'symmetric' is 'direct'"),
        ((*csr(np.eye(3)), "row", "star"), "method of 'row' is 'star'"),
        (([0, 1], [3], (1, 2)), "row 0 has column index 3"),
        (([0, 2, 3], [0, 1, 1], (2, 2), "symmetric"), "not symmetric"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        color_exactly(*arguments)
