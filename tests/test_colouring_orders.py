"""Orders of colouring: each by its definition, several at once; colours that are forced."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from colouring_patterns import (
    arrow,
    banded,
    csr,
    csr_from_entries,
    generated,
    patterns,
    random_pattern,
    read_pattern,
    reference_folder,
    symmetric,
    symmetric_patterns,
    table,
)
from sparsead.sparsity.colouring import (
    ORDERS,
    color_columns,
    color_rows,
    color_symmetric,
    is_structurally_orthogonal,
)
from sparsead.sparsity.colouring._incidence import Incidence, Pattern, symmetric_graph

DYNAMIC = {  # whether they look at what is ordered already, whether they take the smallest, and whether from the end
    "smallest_last": (False, True, True),
    "incidence_degree": (True, False, False),
    "dynamic_largest_first": (False, False, False),
}


def assert_follows(order, name, adjacent):
    """Each vertex has the smallest (largest) number of neighbours of its kind when it is taken; a vertex is none of its own."""
    by_ordered, smallest, from_end = DYNAMIC[name]
    adjacent = adjacent & ~np.eye(len(adjacent), dtype=bool)
    left = np.ones(len(order), bool)
    for vertex in order[::-1] if from_end else order:
        degrees = (adjacent & (~left if by_ordered else left)).sum(axis=1)[left]
        mine = (adjacent[vertex] & (~left if by_ordered else left)).sum()
        assert left[vertex] and mine == (degrees.min() if smallest else degrees.max())
        left[vertex] = False
    assert not left.any()


@pytest.mark.parametrize("name", DYNAMIC)
@given(dense=symmetric_patterns())
def test_dynamic_orders_of_graphs(name, dense):
    graph = symmetric_graph("test", Pattern(*csr(dense)))
    assert_follows(ORDERS[name](graph, 0), name, dense)


@pytest.mark.parametrize("partition", ["column", "row"])
@pytest.mark.parametrize("name", DYNAMIC)
@given(dense=patterns())
def test_dynamic_orders_of_columns_and_rows(name, partition, dense):
    by_column = (dense if partition == "column" else dense.T).astype(int)
    graph = Incidence(csr(dense)[:2], dense.shape, partition)
    assert_follows(ORDERS[name](graph, 0), name, by_column.T @ by_column > 0)


@pytest.mark.parametrize("name", DYNAMIC)
def test_dynamic_orders_of_larger_patterns(name):
    dense = random_pattern(120, 150, 0.03)
    assert_follows(ORDERS[name](Incidence(csr(dense)[:2], dense.shape, "column"), 0), name, dense.T.astype(int) @ dense > 0)
    square = symmetric(random_pattern(200, 200, 0.05))
    assert_follows(ORDERS[name](symmetric_graph("test", Pattern(*csr(square))), 0), name, square)


def with_long_row(pattern, size):
    """A pattern with one more row, the first one, of so many entries."""
    indptr, indices, (m, n) = pattern
    indptr, indices = np.concatenate([[0], size + indptr]), np.concatenate([np.arange(size), indices])
    return indptr.astype(np.int32), indices.astype(np.int32), (m + 1, n)


@pytest.mark.parametrize("missing", [0, 1])
@pytest.mark.parametrize("name", ORDERS)
def test_a_dense_row_needs_no_count_of_pairs(name, missing):
    n = 100_000
    identity = np.arange(n + 1), np.arange(n), (n, n)
    begin = time.process_time()
    assert color_columns(*with_long_row(identity, n - missing), name).count == n - missing
    assert time.process_time() - begin < 5  # all pairs would take minutes


@pytest.mark.parametrize("name", ORDERS)
def test_only_the_longest_rows_are_not_counted(name):
    n, rng = 12_000, np.random.default_rng(3)
    rows, columns = np.repeat(np.arange(n), 3), rng.integers(0, n, 3 * n)
    sparse = with_long_row(csr_from_entries(rows, columns, (n, n)), 0)
    counted = with_long_row(sparse, 400)
    orders = [ORDERS[name](Incidence(p[:2], p[2], "column"), 0) for p in (with_long_row(counted, n - 5), counted, sparse)]
    assert np.array_equal(orders[0], orders[1])
    assert np.array_equal(orders[0], orders[2]) == (name in ("natural", "random"))


@pytest.mark.parametrize("name", ORDERS)
@given(dense=patterns())
def test_every_order_gives_a_coloring(name, dense):
    for color, partition in ((color_columns, "column"), (color_rows, "row")):
        coloring = color(*csr(dense), name, seed=2)
        assert is_structurally_orthogonal(*csr(dense), coloring.colors, partition)
        assert coloring.order == ("random, seed 2" if name == "random" else name)


@given(patterns(), symmetric_patterns(), st.permutations(sorted(ORDERS)))
def test_best_of_several(dense, square, names):
    names = tuple(names)
    for color, pattern in ((color_columns, csr(dense)), (color_rows, csr(dense)), (color_symmetric, csr(square))):
        each = [color(*pattern, order=name) for name in names]
        together = color(*pattern, order=names)
        assert together.count <= min(one.count for one in each)
        assert together in each
        reached = [one.order for one in each if one.count == together.count]
        assert together.order == reached[0]


COLPACK_ORDERS = {
    "NATURAL": "natural",
    "LARGEST_FIRST": "largest_first",
    "SMALLEST_LAST": "smallest_last",
    "INCIDENCE_DEGREE": "incidence_degree",
    "DYNAMIC_LARGEST_FIRST": "dynamic_largest_first",
}


def test_counts_of_colpack():
    """What ColPack counts with its own orders. Natural and largest-first are the same orders; the others break ties elsewhere."""
    folder, equal = reference_folder(), dict.fromkeys(COLPACK_ORDERS, 0)
    files = {"lp_ken_11": "suitesparse/lp_ken_11.mtx", "SMB_jac_full_std": "colpack_smb/SMB_jac_full_std.mtx"}
    methods = {
        "COLUMN_PARTIAL_DISTANCE_TWO": color_columns,
        "ROW_PARTIAL_DISTANCE_TWO": color_rows,
        "DISTANCE_TWO": lambda p, i, s, order: color_columns(*with_diagonal(p, i, s), order),
        "ACYCLIC": lambda p, i, s, order: color_symmetric(p, i, s, "acyclic", order),
    }
    for row in table(folder / "reference_counts_colpack_measured.csv"):
        if row["method"] in methods:
            pattern = read_pattern(folder / files.get(row["graph"], f"colpack_graphs/{row['graph']}.mtx"))
            found = methods[row["method"]](*pattern, COLPACK_ORDERS[row["ordering"]]).count
            if row["ordering"] in ("NATURAL", "LARGEST_FIRST"):
                assert found == int(row["colors"]), row
            assert found <= int(row["colors"]) + 2, row
            equal[row["ordering"]] += found == int(row["colors"])
    assert equal["NATURAL"] == equal["LARGEST_FIRST"] == 40
    assert min(equal.values()) >= 30


OTHER_TOOLS = {
    "asdex_rows_LF": (color_rows, {"order": "largest_first"}),
    "asdex_cols_LF": (color_columns, {"order": "largest_first"}),
    "scipy_group_cols_natural": (color_columns, {}),
    "casadi_uni": (color_columns, {}),
    "casadi_uniT": (color_rows, {}),
    "asdex_star_LF": (color_symmetric, {"order": "largest_first", "postprocess": False}),
    "asdex_star_LF_post": (color_symmetric, {"order": "largest_first"}),
}


def test_counts_of_asdex_casadi_and_scipy():
    """All greedy colourings of columns and rows in these orders are the same; so are asdex' star colourings."""
    folder, n_checked = reference_folder(), 0
    files = {"suitesparse/lp_ken_11": "suitesparse/lp_ken_11.mtx", "colpack/SMB_jac_full": "colpack_smb/SMB_jac_full_std.mtx"}
    for row in table(folder / "reference_counts_tools.csv"):
        group, name = row["matrix"].split("/")
        if name in ("brusselator_100", "brusselator_200"):  # too large to be generated densely
            continue
        file = files.get(row["matrix"], f"colpack_graphs/{name}.mtx")
        pattern = csr(generated(name)) if group == "gen" else read_pattern(folder / file)
        for key in [key for key in OTHER_TOOLS if row[key]]:
            color, options = OTHER_TOOLS[key]
            assert color(*pattern, **options).count == int(row[key]), (row["matrix"], key)
            n_checked += 1
    assert n_checked == 209


def with_diagonal(indptr, indices, shape):
    diagonal = np.arange(shape[0])
    rows = np.repeat(diagonal, np.diff(indptr))
    return csr_from_entries(np.concatenate([rows, diagonal]), np.concatenate([indices, diagonal]), shape)


def test_no_order_is_tried_in_vain():
    """Once the bound is met; here by the first, although the second is no permutation of that many."""
    pattern = csr(banded(9, 1))
    assert color_columns(*pattern, ("natural", "smallest_last")).order == "natural"
    several = color_columns(*csr(random_pattern(60, 60, 0.1)), ("random",) * 5, seed=10)
    assert several.order in [f"random, seed {seed}" for seed in range(10, 15)]
    mixed = color_columns(*csr(arrow(4)), (np.arange(4)[::-1], "natural"))
    assert mixed.order == "given" and mixed.colors.tolist() == [3, 2, 1, 0]
    for bad in (("natural", "wild"), ("natural", [0, 1]), ("natural", [0, 0, 1])):
        with pytest.raises(ValueError, match=r"unknown order 'wild'|order has length 2|lacks 2"):
            color_columns(*csr(np.eye(3)), bad)


@given(dense=patterns(), seed=st.integers(0, 2**32 - 1))
@pytest.mark.parametrize("partition", ["column", "row"])
def test_forced_colors_of_columns_and_rows(partition, dense, seed):
    color = color_columns if partition == "column" else color_rows
    n = dense.shape[partition == "column"]
    forced = np.random.default_rng(seed).integers(-1, min(n, 5), n) if n else np.zeros(0, int)
    alone = np.where(forced < 0, np.arange(n) + n, forced)  # any valid colours for those that are not forced
    if is_structurally_orthogonal(*csr(dense), alone, partition):
        coloring = color(*csr(dense), "random", seed=seed, forced_colors=forced)
        np.testing.assert_array_equal(coloring.colors[forced >= 0], forced[forced >= 0])
        assert is_structurally_orthogonal(*csr(dense), coloring.colors, partition)
    else:
        with pytest.raises(ValueError, match="does not fit the others"):
            color(*csr(dense), forced_colors=forced)


def test_nothing_forced_is_first_fit():
    pattern = csr(random_pattern(40, 50, 0.08))
    assert color_columns(*pattern, forced_colors=np.full(50, -1)) == color_columns(*pattern)
    for bad in ([0] * 49, [50] + [0] * 49, [-2] + [0] * 49):
        with pytest.raises(ValueError, match="forced_colors"):
            color_columns(*pattern, forced_colors=bad)
