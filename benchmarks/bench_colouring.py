"""Distance-2 colouring: one bitset per row against visiting all neighbours, both first-fit in natural order.

    python benchmarks/bench_colouring.py [--repeats 15]

Prints a Markdown table of medians on one thread; ``color_columns`` checks its input, transposes and colours. All three
are asserted to give the same colours. lp_ken_11 and SMB are timed when the reference data is there: in
``$SPARSEAD_REFERENCE_DATA/colouring``, or in ``shared/data/colouring`` beside the repository.
"""

import argparse
import os
import sys
from pathlib import Path

import numpy as np
import scipy.io
import scipy.sparse as sp

from measuring import median_ms
from sparsead.sparsity.colouring import _greedy, color_columns


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


def reference_folder():
    named = os.environ.get("SPARSEAD_REFERENCE_DATA")
    data = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    return data / "colouring"


def matrices():
    """Name and matrix whose columns are coloured, one at a time."""
    yield "Brusselator 200 x 200 x 2", brusselator(200)
    yield "2-D 9-point, 400 x 400", grid(400, 2)
    yield "3-D 27-point, 40 x 40 x 40", grid(40, 3)
    yield "banded, b=10", banded(100_000, 10)
    yield "banded, b=50", banded(20_000, 50)
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


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15, help="calls per median (a fifth for the slow algorithm)")
    repeats = parser.parse_args().repeats
    print("| matrix | n | nnz | colours | bound | vertex ms | net ms | vertex/net | transpose ms | color_columns ms |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name, matrix in matrices():
        *sizes, by_vertices, by_nets, transposing, in_all = measure(matrix, repeats)
        cells = [f"{size}" for size in sizes]
        cells += [f"{by_vertices:.2f}", f"{by_nets:.2f}", f"{by_vertices / by_nets:.1f}"]
        cells += [f"{transposing:.2f}", f"{in_all:.2f}"]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
