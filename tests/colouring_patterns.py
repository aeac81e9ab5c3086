"""Patterns and reference data for the tests of colourings."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import strategies as st

HERE = Path(__file__).resolve().parent
DATA = HERE / "data" / "colouring"


def csr(dense):
    """indptr, indices, shape of a dense Boolean pattern."""
    dense = np.asarray(dense, bool)
    indptr = np.concatenate([[0], np.cumsum(dense.sum(axis=1))])
    return indptr.astype(np.int32), np.nonzero(dense)[1].astype(np.int32), dense.shape


def random_pattern(m, n, density, seed=0):
    return np.random.default_rng(seed).random((m, n)) < density


#: Orders that tests follow on their own; the dynamic ones depend on ties.
STATIC_ORDERS = ["natural", "largest_first", "random"]


@st.composite
def patterns(draw):
    m, n = draw(st.integers(0, 9)), draw(st.integers(0, 9))
    density = draw(st.sampled_from([0.0, 0.1, 0.2, 0.4, 0.8, 1.0]))
    return random_pattern(m, n, density, draw(st.integers(0, 2**32 - 1)))


def banded(n, b):
    return np.abs(np.subtract.outer(np.arange(n), np.arange(n))) <= b


def arrow(n):
    pattern = np.eye(n, dtype=bool)
    pattern[0] = pattern[:, 0] = True
    return pattern


def grid(n, *, corners):
    """Stencil of n x n points with 5 or, with corners, 9 legs."""
    line, point = sp.csr_array(banded(n, 1).astype(int)), sp.eye_array(n, dtype=int)
    stencil = sp.kron(line, line) if corners else sp.kron(line, point) + sp.kron(point, line)
    return stencil.toarray() > 0


def brusselator(n):
    """Two fields on a periodic n x n grid: five points of one's own field, one of the other."""
    step = np.roll(np.eye(n, dtype=int), 1, axis=1)
    line = np.eye(n, dtype=int) + step + step.T
    laplacian = np.kron(line, np.eye(n, dtype=int)) + np.kron(np.eye(n, dtype=int), line)
    return np.kron(np.eye(2, dtype=int), laplacian) + np.kron(1 - np.eye(2, dtype=int), np.eye(n * n, dtype=int)) > 0


def read_pattern(path):
    """The pattern of a Matrix Market file, values ignored; some files lack a value here and there."""
    lines = path.read_text().splitlines()
    size, *entries = [[int(word) for word in line.split()[:2]] for line in lines if line.strip() and line[0] != "%"]
    i, j = np.array(entries).T - 1
    if "symmetric" in lines[0]:
        i, j = np.concatenate([i, j]), np.concatenate([j, i])
    return csr_from_entries(i, j, size)


def csr_from_entries(i, j, shape):
    pattern = sp.coo_array((np.ones(len(i)), (i, j)), shape=tuple(int(size) for size in shape)).tocsr()
    return pattern.indptr, pattern.indices, pattern.shape


def reference_folder():
    """Folder of the larger reference data, which the repository does not carry; the test is skipped where it is missing."""
    named = os.environ.get("SPARSEAD_REFERENCE_DATA")
    folder = Path(named) if named else HERE.parents[1] / "shared" / "data"
    if (folder / "colouring").is_dir():
        return folder / "colouring"
    if named:
        pytest.fail(f"SPARSEAD_REFERENCE_DATA is {named}, which has no folder colouring")
    pytest.skip("no colouring reference data: set SPARSEAD_REFERENCE_DATA to the folder that contains colouring/")


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def symmetric(dense, diagonal=None):
    """Its union with its transpose, the diagonal as given."""
    dense = dense | dense.T
    if diagonal is not None:
        np.fill_diagonal(dense, diagonal)
    return dense


@st.composite
def symmetric_patterns(draw):
    n = draw(st.integers(0, 9))
    density = draw(st.sampled_from([0.0, 0.1, 0.2, 0.4, 0.8, 1.0]))
    dense = random_pattern(n, n, density, draw(st.integers(0, 2**32 - 1)))
    return symmetric(dense, draw(st.sampled_from([None, True, False])))


def generated(name):
    """The pattern that the tables of reference counts call ``gen/<name>``."""
    kind, *numbers = name.split("_")
    if kind in ("rand", "rsym"):
        m, n = (int(size) for size in (numbers[0].split("x") * 2)[:2])
        dense = random_pattern(m, n, float(numbers[1]), int(numbers[2].removeprefix("seed")))
        return dense if kind == "rand" else symmetric(dense, numbers[-1] != "nodiag")
    make = {"brusselator": brusselator, "banded": banded, "arrow": arrow,
            "lap2d5": lambda n: grid(n, corners=False), "lap2d9": lambda n: grid(n, corners=True)}[kind]  # fmt: skip
    return make(*map(int, numbers))


def integers_on(dense, seed=0):
    """A matrix of small integers at these places, symmetric if `dense` is square and symmetric."""
    values = np.random.default_rng(seed).integers(1, 50, dense.shape).astype(float)
    if dense.shape[0] == dense.shape[1] and np.array_equal(dense, dense.T):
        values = np.triu(values) + np.triu(values, 1).T
    return values * dense


def sources(matrix, coloring, recovery):
    """What the sweeps of a colouring would give, at the places where the recovery reads."""

    def sums(colors, matrix):
        count = 0 if colors is None else int(colors.max(initial=-1)) + 1
        return np.array([matrix[:, colors == c].sum(axis=1) for c in range(count)]).reshape(count, matrix.shape[0])

    by_column, by_row = sums(coloring.column_colors, matrix), sums(coloring.row_colors, matrix.T)
    side = np.zeros(recovery.color.size, int) if recovery.side is None else recovery.side
    places = zip(side.tolist(), recovery.color.tolist(), recovery.element.tolist(), strict=True)
    return np.array([(by_column, by_row)[k][color, element] for k, color, element in places], matrix.dtype)


def assert_recovers(coloring, dense, triangle=None, seed=0):
    """Entries that follow from the sums are those of the matrix, exactly, and stand where the pattern has them."""
    matrix, recovery = integers_on(dense, seed), coloring.recovery(triangle)
    wanted = {None: dense, "lower": np.tril(dense), "upper": np.triu(dense)}[triangle]
    np.testing.assert_array_equal(recovery.indptr, csr(wanted)[0])
    np.testing.assert_array_equal(recovery.indices, csr(wanted)[1])
    out = recovery.finish(sources(matrix, coloring, recovery), np.full(recovery.indices.size, np.nan))
    np.testing.assert_array_equal(out, matrix[wanted])
    if recovery.direct:
        assert recovery.color.size == recovery.indices.size
    else:
        assert recovery.color.size <= recovery.indices.size
    for array in (recovery.color, recovery.element, recovery.indptr, recovery.indices):
        assert array.dtype == np.int32
