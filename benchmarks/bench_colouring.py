"""Colouring: columns by one bitset per row against visiting all neighbours; symmetric patterns; columns and rows together.

    python benchmarks/bench_colouring.py [--repeats 15]

Prints Markdown tables of medians in milliseconds. The first: first-fit in natural order on one thread, beside what the same
algorithm with 64-bit words took elsewhere (one core at 2.5 GHz); ``color_columns`` checks its input, transposes and colours, and
all three are asserted to give the same colours. The second: star and acyclic colourings, what it takes to plan the recovery of
entries, and to recover them on one thread and on two. The third: columns and rows together, by each method. lp_ken_11 and SMB
are timed when the reference data is there: in ``$SPARSEAD_REFERENCE_DATA/colouring``, or in ``shared/data/colouring`` beside the
repository.
"""

import argparse
import os
import sys
from pathlib import Path

import numpy as np
import scipy.io
import scipy.sparse as sp

import sparsead
from measuring import median_ms
from sparsead.sparsity.colouring import _greedy, color_bidirectional, color_columns, color_symmetric

#: Milliseconds of the net-based algorithm elsewhere, by matrix.
PUBLISHED = {
    "Brusselator 200 x 200 x 2": 1.06,
    "2-D 9-point, 400 x 400": 5.3,
    "3-D 27-point, 40 x 40 x 40": 5.1,
    "banded, b=10": 6.0,
    "banded, b=50": 7.8,
    "random, p=0.001": 1.6,
    "lp_ken_11, columns": 0.22,
    "lp_ken_11, rows": 0.15,
    "SMB, rows": 1.1,
}


def banded(n, b):
    offsets = range(-b, b + 1)
    return sp.diags_array([np.ones(n - abs(k)) for k in offsets], offsets=offsets)


def grid(n, dimensions):
    """Stencil over all neighbours, diagonal ones too: 9-point in two dimensions, 27-point in three."""
    stencil = line = banded(n, 1)
    for _ in range(dimensions - 1):
        stencil = sp.kron(stencil, line)
    return stencil


def brusselator(n):
    """Two fields on a periodic n x n grid: five points of one's own field, one of the other."""
    ring = sp.diags_array(np.ones((5, n)), offsets=[1 - n, -1, 0, 1, n - 1], shape=(n, n))
    one, exchange = sp.eye_array(n), sp.coo_array(np.array([[0.0, 1.0], [1.0, 0.0]]))
    laplacian = sp.kron(ring, one) + sp.kron(one, ring)
    return sp.kron(sp.eye_array(2), laplacian) + sp.kron(exchange, sp.eye_array(n * n))


def random(n, entries_per_row):
    i, j = np.random.default_rng(0).integers(0, n, (2, n * entries_per_row))
    return sp.coo_array((np.ones(i.size), (i, j)), shape=(n, n))


def arrow(n, border):
    """A diagonal with some dense rows and columns."""
    i, j = np.indices((border, n)).reshape(2, -1)
    dense = sp.coo_array((np.ones(i.size), (i, j)), shape=(n, n))
    return sp.eye_array(n) + dense + dense.T


def reference_folder():
    named = os.environ.get("SPARSEAD_REFERENCE_DATA")
    data = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    return data / "colouring"


def stencils():
    """Name and symmetric matrix, one at a time."""
    yield "Brusselator 200 x 200 x 2", brusselator(200)
    yield "2-D 9-point, 400 x 400", grid(400, 2)
    yield "3-D 27-point, 40 x 40 x 40", grid(40, 3)
    yield "banded, b=10", banded(100_000, 10)
    yield "banded, b=50", banded(20_000, 50)


def bordered():
    yield "arrowhead", arrow(100_000, 1)
    yield "5 dense rows and columns", arrow(100_000, 5)


def matrices():
    """Name and matrix whose columns are coloured, one at a time."""
    yield from stencils()
    yield "random, p=0.001", random(20_000, 20)
    folder = reference_folder()
    if not folder.is_dir():
        print("lp_ken_11 and SMB are left out: set SPARSEAD_REFERENCE_DATA to the data folder", file=sys.stderr)
        return
    ken = scipy.io.mmread(folder / "suitesparse" / "lp_ken_11.mtx", spmatrix=False)
    yield "lp_ken_11, columns", ken
    yield "lp_ken_11, rows", ken.T
    yield "SMB, rows", scipy.io.mmread(folder / "colpack_smb" / "SMB_jac_full_std.mtx", spmatrix=False).T


def pattern_of(matrix):
    csr = sp.csr_array(matrix)
    csr.sum_duplicates()
    return csr.indptr.astype(np.int32), csr.indices.astype(np.int32), csr.shape


def measure(matrix, repeats):
    """One row of the table: sizes, colours, and the milliseconds of each step."""
    pattern = indptr, indices, shape = pattern_of(matrix)
    rows, natural = (indptr, indices), np.arange(shape[1], dtype=np.int32)
    transposing, columns = median_ms(lambda: _greedy.transpose(rows, shape[1]), repeats)
    by_nets, colors = median_ms(lambda: _greedy.first_fit_net(columns, shape[0], natural), repeats)
    by_vertices, expected = median_ms(lambda: _greedy.first_fit_vertex(columns, rows, natural), max(3, repeats // 5))
    in_all, coloring = median_ms(lambda: color_columns(*pattern), repeats)
    np.testing.assert_array_equal(colors, expected)
    np.testing.assert_array_equal(colors, coloring.colors)
    return [shape[1], len(indices), coloring.count, coloring.lower_bound, by_vertices, by_nets, transposing, in_all]


def print_row(*cells):
    print("| " + " | ".join(f"{cell:.2f}" if isinstance(cell, float) else f"{cell}" for cell in cells) + " |", flush=True)


def print_head(names):
    print_row(*names.split(", "))
    print("|" + "---|" * (names.count(", ") + 1))


def columns_table(repeats):
    print_head("matrix, n, nnz, colours, bound, vertex ms, net ms, elsewhere, vertex/net, transpose ms, color_columns ms")
    for name, matrix in matrices():
        *sizes, by_vertices, by_nets, transposing, in_all = measure(matrix, repeats)
        print_row(name, *sizes, by_vertices, by_nets, PUBLISHED[name], by_vertices / by_nets, transposing, in_all)


def symmetric_table(repeats):
    print_head("matrix, method, nnz, colours, bound, columns alone, colour ms, plan ms, recover ms, on 2 threads ms")
    for name, matrix in [*stencils(), *bordered()]:
        pattern = pattern_of(matrix)
        for method in ("star", "acyclic"):
            print_row(name, method, *measure_symmetric(pattern, method, repeats))


def measure_symmetric(pattern, method, repeats):
    coloring_ms, coloring = median_ms(lambda: color_symmetric(*pattern, method), repeats)
    planning_ms, recovery = median_ms(coloring.recovery, repeats)
    values, out = np.ones(recovery.color.size), np.empty(recovery.indices.size)
    recovering = []
    for threads in (1, 2):
        sparsead.set_num_threads(threads)
        recovering.append(median_ms(lambda: recovery.finish(values, out), repeats)[0])
    sparsead.set_num_threads(1)
    counts = coloring.count, coloring.lower_bound, color_columns(*pattern).count
    return [len(pattern[1]), *counts, coloring_ms, planning_ms, *recovering]


def bidirectional_table(repeats):
    print_head("matrix, method, nnz, columns + rows, bound, columns alone, rows alone, order, colour ms, plan ms")
    for name, matrix in [*matrices(), *bordered()]:
        pattern, transposed = pattern_of(matrix), pattern_of(matrix.T)
        alone = color_columns(*pattern).count, color_columns(*transposed).count
        for method in ("strip", "star", "acyclic", "auto"):
            print_row(name, *measure_bidirectional(pattern, method, alone, repeats))


def measure_bidirectional(pattern, method, alone, repeats):
    coloring_ms, coloring = median_ms(lambda: color_bidirectional(*pattern, method), repeats)
    planning_ms, _ = median_ms(coloring.recovery, repeats)
    counts = "{} + {}".format(*coloring.counts)
    taken = method if method != "auto" else f"auto: {coloring.method}"
    return [taken, len(pattern[1]), counts, coloring.lower_bound, *alone, coloring.order, coloring_ms, planning_ms]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15, help="calls per median (a fifth for what is slow)")
    repeats = parser.parse_args().repeats
    sparsead.set_num_threads(1)
    columns_table(repeats)
    print()
    symmetric_table(max(3, repeats // 5))
    print()
    bidirectional_table(max(3, repeats // 5))


if __name__ == "__main__":
    main()
