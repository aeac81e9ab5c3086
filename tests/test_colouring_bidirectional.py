"""Colourings of columns and rows together: their definitions, what they cost, published counts."""

import time

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from colouring_patterns import (
    DATA,
    arrow,
    assert_recovers,
    banded,
    csr,
    csr_from_entries,
    generated,
    patterns,
    random_pattern,
    read_pattern,
    reference_folder,
    table,
)
from sparsead.sparsity.colouring import (
    ORDERS,
    Coloring,
    color_bidirectional,
    color_columns,
    color_rows,
    is_acyclic_bicoloring,
    is_star_bicoloring,
)

METHODS = ["star", "acyclic", "strip"]
VALID = {"star": is_star_bicoloring, "strip": is_star_bicoloring, "acyclic": is_acyclic_bicoloring}
SOME_ORDERS = [None, *ORDERS, ("random", "smallest_last", "random")]


def cost(coloring, weights):
    return weights[0] * coloring.counts[0] + weights[1] * coloring.counts[1]


@settings(max_examples=4 * settings().max_examples)
@given(
    dense=patterns(),
    order=st.sampled_from(SOME_ORDERS),
    weights=st.sampled_from([(1, 1), (1, 2), (3, 1)]),
    postprocess=st.sampled_from([True, False, "row", "column"]),
)
@pytest.mark.parametrize("method", [*METHODS, "auto"])
def test_colors_are_valid_and_enough(method, dense, order, weights, postprocess):
    coloring = color_bidirectional(*csr(dense), method, order, weights=weights, postprocess=postprocess)
    assert VALID[coloring.method](*csr(dense), coloring.column_colors, coloring.row_colors)
    assert coloring.partition == "bidirectional" and method in ("auto", coloring.method)
    assert coloring.lower_bound <= coloring.count == sum(coloring.counts)
    for side, count, size in zip(coloring.colors, coloring.counts, dense.shape[::-1], strict=True):
        assert set(side.tolist()) - {-1} == set(range(count)) and side.shape == (size,)
    assert_recovers(coloring, dense)


@given(dense=patterns(), weights=st.sampled_from([(1, 1), (1, 2), (5, 1)]), seed=st.integers(0, 9))
def test_the_cheapest_is_taken(dense, weights, seed):
    auto, *each = (color_bidirectional(*csr(dense), method, seed=seed, weights=weights) for method in ("auto", *METHODS))
    assert cost(auto, weights) <= min(cost(one, weights) for one in each)
    strip = each[METHODS.index("strip")]
    assert cost(strip, weights) <= weights[0] * color_columns(*csr(dense)).count
    assert cost(strip, weights) <= weights[1] * color_rows(*csr(dense)).count


def augmented(dense):
    m, n = dense.shape
    return np.block([[np.zeros((n, n), bool), dense.T], [dense, np.zeros((m, m), bool)]])


@given(dense=patterns(), order=st.sampled_from(list(ORDERS)), seed=st.integers(0, 9))
@pytest.mark.parametrize("method", ["star", "acyclic"])
def test_as_the_augmented_matrix(method, dense, order, seed):
    """Columns, then rows, of [0 J^T; J 0], each side with its own numbers."""
    from sparsead.sparsity.colouring import color_symmetric

    both = color_symmetric(*csr(augmented(dense)), method, order, seed=seed, postprocess=False).colors
    found = color_bidirectional(*csr(dense), method, order, seed=seed, postprocess=False)
    for mine, others in ((found.column_colors, both[: dense.shape[1]]), (found.row_colors, both[dense.shape[1] :])):
        np.testing.assert_array_equal(np.equal.outer(mine, mine), np.equal.outer(others, others))


@pytest.mark.parametrize("method", METHODS)
def test_larger_patterns(method):
    for shape, density in [((80, 120), 0.1), ((150, 60), 0.3)]:
        dense = random_pattern(*shape, density)
        dense[3] = dense[:, 5] = True
        coloring = color_bidirectional(*csr(dense), method, ("natural", "random"))
        assert VALID[method](*csr(dense), coloring.column_colors, coloring.row_colors)
        assert_recovers(coloring, dense)


# --- what is known ------------------------------------------------------------------------------------------------------


def bordered(n, k):
    """Two diagonals, and k dense rows and columns."""
    pattern = np.eye(n, dtype=bool) | np.eye(n, k=1, dtype=bool)
    pattern[:k] = pattern[:, :k] = True
    return pattern


def test_arrowheads():
    """Natural order needs as many colours as there are rows; stripping, and trees, the three that are least."""
    pattern = csr(arrow(200))
    strip = color_bidirectional(*pattern)
    assert strip.counts == (2, 1) and strip.lower_bound == 3 and strip.order == "natural, 1 row stripped"
    assert color_bidirectional(*pattern, "star", "natural").count == 200
    assert color_bidirectional(*pattern, "star", ("random",) * 3).count <= 5
    assert color_bidirectional(*pattern, "acyclic").count == 3
    reverse = color_bidirectional(*pattern, "strip", weights=(5, 1))
    assert reverse.counts == (1, 2) and reverse.order == "natural, 1 column stripped"


@pytest.mark.parametrize("k", [1, 2, 7])
def test_bordered_systems(k):
    coloring = color_bidirectional(*csr(bordered(100, k)), "strip")
    assert coloring.count <= 2 * k + 2
    assert_recovers(coloring, bordered(100, k))


def test_large_arrowheads_take_no_time():
    n = 100_000
    i, zero = np.arange(n), np.zeros(n, int)
    pattern = csr_from_entries(np.concatenate([i, zero, i]), np.concatenate([i, i, zero]), (n, n))
    begin = time.process_time()
    counts = [color_bidirectional(*pattern, method).count for method in ("auto", *METHODS)]
    assert time.process_time() - begin < 10  # quadratic work would be minutes
    assert counts[0] == counts[3] == 3 and max(counts) <= 5


def test_dense_blocks_share_the_colors_of_rows():
    """Two stripped rows that have no column in common need one reverse sweep."""
    dense = np.eye(40, dtype=bool)
    dense[0, :20] = dense[20, 20:] = True
    coloring = color_bidirectional(*csr(dense), "strip")
    assert coloring.counts == (1, 1)
    assert_recovers(coloring, dense)


def test_policies_of_neutral_colors():
    """A diagonal matrix is read from either side, so that both are never needed."""
    pattern = csr(np.eye(5))
    assert color_bidirectional(*pattern, "star", postprocess=False).counts == (1, 1)
    assert color_bidirectional(*pattern, "star", weights=(2, 1)).counts == (0, 1)
    assert color_bidirectional(*pattern, "star", weights=(1, 2)).counts == (1, 0)
    assert color_bidirectional(*pattern, "star", postprocess="column").counts == (0, 1)
    assert color_bidirectional(*pattern, "star", postprocess="row").counts == (1, 0)


# --- published counts ---------------------------------------------------------------------------------------------------


def check_row(pattern, row):
    order = {"N": "natural", "LF": "largest_first"}[row["order"]]
    for method in ("star", "acyclic"):
        raw = color_bidirectional(*pattern, method, order, postprocess=False)
        columns, rows = raw.counts
        assert f"{raw.count}({rows}r+{columns}c)" == row[f"{method}_bicolour"]
        fewer = color_bidirectional(*pattern, method, order)
        assert fewer.lower_bound <= fewer.count <= int(row[f"{method}_bicolour_post"].split("(")[0])
        if max(pattern[2]) <= 300:
            for coloring in (raw, fewer):
                assert VALID[method](*pattern, coloring.column_colors, coloring.row_colors)


def test_counts_of_generated_patterns():
    """As an independent greedy colouring by the definitions counts them."""
    rows = table(DATA / "bicolouring_counts.csv")
    for row in rows:
        pattern = csr(generated(row["matrix"].removeprefix("gen/")))
        assert (pattern[2], len(pattern[1])) == ((int(row["m"]), int(row["n"])), int(row["nnz"]))
        check_row(pattern, row)
    assert len(rows) == 36


def test_counts_of_files():
    """The same for matrices that come as files, which the repository does not carry."""
    folder, n_checked = reference_folder(), 0
    folders = {"colpack": "colpack_graphs", "suitesparse": "suitesparse"}
    names = {"SMB_jac_full": "../colpack_smb/SMB_jac_full_std"}
    for row in table(folder / "reference_counts_oracle.csv"):
        group, name = row["matrix"].split("/")
        if row["kind"] == "jacobian" and group in folders:
            check_row(read_pattern(folder / folders[group] / f"{names.get(name, name)}.mtx"), row)
            n_checked += 1
    assert n_checked == 26


# --- the predicates, bad input, files -----------------------------------------------------------------------------------


def has_two_colored(method, dense, columns, rows):
    """By brute force: a path of four, or a cycle, of one colour of columns and one of rows."""
    for c in set(columns.tolist()):
        for r in set(rows.tolist()):
            part = dense[np.ix_(rows == r, columns == c)]
            if method == "star":
                in_row, in_column = part.sum(axis=1, keepdims=True), part.sum(axis=0, keepdims=True)
                if (part & (in_row > 1) & (in_column > 1)).any():
                    return True
            else:
                components = sp.csgraph.connected_components(augmented(part))[0]
                if part.sum() > sum(part.shape) - components:
                    return True
    return False


@pytest.mark.parametrize("method", ["star", "acyclic"])
def test_predicates_against_brute_force(method):
    rng, verdicts = np.random.default_rng(1), []
    for _ in range(300):
        dense = random_pattern(*rng.integers(0, 7, 2), rng.random(), rng.integers(2**32))
        columns, rows = rng.integers(0, 2, dense.shape[1]), rng.integers(0, 2, dense.shape[0])
        verdicts.append(not has_two_colored(method, dense, columns, rows))
        assert VALID[method](*csr(dense), columns, rows) == verdicts[-1]
    assert 50 < sum(verdicts) < 250  # both answers occur


@settings(max_examples=4 * settings().max_examples)
@given(patterns(), st.integers(0, 2**32 - 1))
@pytest.mark.parametrize("method", METHODS)
def test_what_predicates_accept_is_what_can_be_recovered(method, dense, seed):
    rng = np.random.default_rng(seed)
    colors = rng.integers(-1, 3, dense.shape[1]), rng.integers(-1, 3, dense.shape[0])
    coloring = Coloring("bidirectional", colors, method=method, pattern=csr(dense))
    if VALID[method](*csr(dense), *colors):
        assert_recovers(coloring, dense, seed=seed)
    else:
        with pytest.raises(ValueError, match="cannot be found"):
            coloring.recovery()


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"method": "tree"}, ValueError, "method is 'tree'"),
        ({"order": "wild"}, ValueError, "unknown order"),
        ({"order": [0, 1, 2]}, ValueError, "length 3, must list each of the 8"),
        ({"weights": (1, 0)}, ValueError, "must be positive"),
        ({"weights": (np.nan, 1)}, ValueError, "must be positive"),
        ({"weights": 3}, TypeError, "pair of numbers"),
        ({"postprocess": "none"}, ValueError, "postprocess is 'none'"),
    ],
)
def test_bad_options(options, error, message):
    with pytest.raises(error, match=message) as caught:
        color_bidirectional(*csr(np.eye(4)), **options)
    assert str(caught.value).startswith("color_bidirectional")


def test_bad_patterns_and_colors():
    with pytest.raises(ValueError, match="color_bidirectional: row 0 has column index 7"):
        color_bidirectional([0, 1], [7], (1, 3))
    with pytest.raises(ValueError, match="column_colors has length 1, must have one per column: 2"):
        is_star_bicoloring(*csr(np.eye(2)), [0], [0, 1])
    with pytest.raises(ValueError, match="row_colors has length 1"):
        is_acyclic_bicoloring(*csr(np.eye(2)), [0, 0], [0])
    with pytest.raises(ValueError, match="must be a pair"):
        Coloring("bidirectional", [0, 1, 2])
    with pytest.raises(ValueError, match="3 row colours for a pattern of shape"):
        Coloring("bidirectional", ([0, 1], [0, 1, 1]), pattern=csr(np.eye(2)))
    with pytest.raises(ValueError, match=r"entry \(0, 1\) cannot be found"):
        Coloring("bidirectional", ([0, -1], [-1, -1]), pattern=([0, 1, 2], [1, 0], (2, 2))).recovery()


def test_permutations_of_columns_and_rows():
    dense = random_pattern(6, 8, 0.4)
    for method in METHODS:
        coloring = color_bidirectional(*csr(dense), method, np.arange(14)[::-1])
        assert coloring.order.startswith("given")
        assert_recovers(coloring, dense)


@pytest.mark.parametrize("method", METHODS)
def test_coloring_of_both_sides(tmp_path, method):
    dense = banded(8, 1)
    dense[0] = True
    coloring = color_bidirectional(*csr(dense), method)
    columns, rows = coloring.groups()
    assert [len(columns), len(rows)] == list(coloring.counts)
    for groups, colors in ((columns, coloring.column_colors), (rows, coloring.row_colors)):
        for color, members in enumerate(groups):
            np.testing.assert_array_equal(members, np.flatnonzero(colors == color))
    coloring.save(tmp_path / "colours.npz")
    loaded = Coloring.load(tmp_path / "colours.npz")
    assert loaded == coloring and hash(loaded) == hash(coloring) and repr(loaded) == repr(coloring)
    assert_recovers(loaded, dense)
    assert loaded != Coloring("bidirectional", (coloring.column_colors, coloring.row_colors + 1), method=method)
    with np.load(tmp_path / "colours.npz", allow_pickle=False) as data:
        assert all(data[name].dtype != object for name in data)
