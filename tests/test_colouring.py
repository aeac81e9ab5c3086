"""Colourings: the definition, first-fit written out slowly, known cases, published counts."""

import doctest
import importlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from colouring_patterns import (
    DATA,
    STATIC_ORDERS,
    arrow,
    assert_recovers,
    banded,
    brusselator,
    csr,
    csr_from_entries,
    grid,
    patterns,
    random_pattern,
    read_pattern,
    reference_folder,
    table,
)
from sparsead.sparsity import colouring
from sparsead.sparsity.colouring import (
    ORDERS,
    Coloring,
    _greedy,
    color_columns,
    color_rows,
    is_structurally_orthogonal,
    transpose_pattern,
)

COLOR = {"column": color_columns, "row": color_rows}
SIDES = ["column", "row"]


def seen_by_column(dense, partition):
    return dense if partition == "column" else dense.T


def overlaps(dense):
    """Number of rows that columns i and j have in common, by definition."""
    return dense.T.astype(float) @ dense.astype(float)


def slow_first_fit(dense, order):
    """Columns one at a time; each compared with all others."""
    adjacent = overlaps(dense) > 0
    colors = np.full(dense.shape[1], -1)
    for j in order:
        taken = set(colors[adjacent[j]].tolist())
        colors[j] = next(color for color in range(len(colors)) if color not in taken)
    return colors


# --- first-fit against its definition -------------------------------------------------------------------------------


@settings(max_examples=4 * settings().max_examples)
@given(patterns(), st.sampled_from(SIDES), st.sampled_from([*STATIC_ORDERS, "given"]), st.integers(0, 99))
def test_first_fit_on_small_patterns(dense, partition, order, seed):
    pattern, by_column = csr(dense), seen_by_column(dense, partition)
    degrees = (overlaps(by_column) > 0).sum(axis=1) - by_column.any(axis=0)
    permutation = {
        "natural": np.arange(by_column.shape[1]),
        "largest_first": np.argsort(-degrees, kind="stable"),
        "random": np.random.default_rng(seed).permutation(by_column.shape[1]),
        "given": np.random.default_rng(seed + 1).permutation(by_column.shape[1]),
    }[order]
    coloring = COLOR[partition](*pattern, permutation if order == "given" else order, seed=seed)
    np.testing.assert_array_equal(coloring.colors, slow_first_fit(by_column, permutation))
    assert coloring.lower_bound == by_column.sum(axis=1).max(initial=0) <= coloring.count
    assert is_structurally_orthogonal(*pattern, coloring.colors, partition)


def all_but_one(outsider):
    """400 columns share a row, but for one, which shares another with the first 64."""
    pattern = np.zeros((2, 400), bool)
    pattern[0] = pattern[1, :64] = pattern[1, outsider] = True
    pattern[0, outsider] = False
    return pattern


# The kernel gives out 64 colours at its first visit, then 256 at each further one, and takes a short cut once all that
# wait share a row: patterns that end in each of these ways, and the numbers of colours that show it.
TWO_CLIQUES = np.zeros((2, 500), bool)
TWO_CLIQUES[0, :400] = TWO_CLIQUES[1, 400:] = True
MANY_COLORS = {
    "second visit": (random_pattern(60, 500, 0.15), range(65, 321)),
    "third visit": (random_pattern(60, 800, 0.22), range(321, 577)),
    "fourth visit": (random_pattern(60, 800, 0.32), range(577, 801)),
    "short cut after 64": (np.vstack([np.ones((1, 400), bool), np.eye(400, dtype=bool)]), [400]),
    "short cut after 320": (TWO_CLIQUES, [400]),
    "no short cut, first outside": (all_but_one(64), [399]),
    "no short cut, second outside": (all_but_one(65), [399]),
    "no short cut, last outside": (all_but_one(399), [399]),
    "exactly 64": (np.ones((2, 64), bool), [64]),
    "exactly 65": (np.ones((2, 65), bool), [65]),
    "exactly 320": (TWO_CLIQUES[:, 80:], [320]),
    "exactly 321": (TWO_CLIQUES[:, 79:], [321]),
}


@pytest.mark.parametrize("order", STATIC_ORDERS)
@pytest.mark.parametrize("name", MANY_COLORS)
def test_first_fit_with_many_colors(name, order):
    dense, counts = MANY_COLORS[name]
    permutation = np.random.default_rng(5).permutation(dense.shape[1]) if order == "random" else None
    if order == "largest_first":
        permutation = np.argsort(-(overlaps(dense) > 0).sum(axis=1), kind="stable")
    if order == "natural":
        permutation = np.arange(dense.shape[1])
    by_columns = color_columns(*csr(dense), order, seed=5)
    by_rows = color_rows(*csr(dense.T), order, seed=5)
    assert by_columns.count in counts
    np.testing.assert_array_equal(by_columns.colors, slow_first_fit(dense, permutation))
    np.testing.assert_array_equal(by_columns.colors, by_rows.colors)


@pytest.mark.parametrize("shape, density", [((3000, 2000), 0.002), ((500, 3000), 0.02), ((3000, 500), 0.02)])
@pytest.mark.parametrize("order", ORDERS)
def test_by_nets_as_by_vertices(shape, density, order):
    pattern = csr(random_pattern(*shape, density))
    rows, columns = pattern[:2], transpose_pattern(*pattern)
    permutation = ORDERS[order](colouring._incidence.Incidence(rows, shape, "column"), 1)
    by_nets = _greedy.first_fit_net(columns, shape[0], permutation)
    np.testing.assert_array_equal(by_nets, _greedy.first_fit_vertex(columns, rows, permutation))
    assert by_nets.dtype == np.int32
    assert is_structurally_orthogonal(*pattern, by_nets)


@given(patterns())
def test_distance2_degrees(dense):
    found = _greedy.distance2_degrees(csr(dense.T)[:2], csr(dense)[:2])
    adjacent = overlaps(dense) > 0
    np.fill_diagonal(adjacent, False)
    np.testing.assert_array_equal(found, adjacent.sum(axis=1))


# --- known cases ----------------------------------------------------------------------------------------------------


# Counts of natural order; those of the stencils are from the reference oracle that is used below.
KNOWN = {
    "diagonal": (np.eye(7, dtype=bool), 1),
    "dense": (np.ones((5, 5), bool), 5),
    "1 x 1": (np.ones((1, 1), bool), 1),
    "no entries": (np.zeros((3, 3), bool), 1),
    "arrow": (arrow(200), 200),
    "upper triangle": (np.triu(np.ones((70, 70), bool)), 70),
    **{f"banded, b={b}": (banded(100, b), 2 * b + 1) for b in (1, 2, 5, 10, 40)},
    "5-point grid": (grid(10, corners=False), 7),
    "9-point grid": (grid(10, corners=True), 9),
    "Brusselator 6": (brusselator(6), 9),
    "Brusselator 12": (brusselator(12), 10),
    "Brusselator 32": (brusselator(32), 12),
}


@pytest.mark.parametrize("partition", SIDES)
@pytest.mark.parametrize("name", KNOWN)
def test_known_cases(name, partition):
    dense, count = KNOWN[name]
    coloring = COLOR[partition](*csr(dense))
    assert coloring.count == count
    assert is_structurally_orthogonal(*csr(dense), coloring.colors, partition)


@pytest.mark.parametrize("shape", [(0, 0), (0, 4), (4, 0)])
@pytest.mark.parametrize("order", ORDERS)
def test_empty_patterns(shape, order):
    pattern = csr(np.zeros(shape, bool))
    columns, rows = color_columns(*pattern, order), color_rows(*pattern, order)
    assert columns.colors.tolist() == [0] * shape[1] and rows.colors.tolist() == [0] * shape[0]
    assert (columns.count, columns.lower_bound) == (min(shape[1], 1), 0)
    assert (rows.count, rows.lower_bound) == (min(shape[0], 1), 0)


def test_a_column_without_entries_has_color_zero():
    dense = np.ones((2, 4), bool)
    dense[:, 2] = False
    assert color_columns(*csr(dense)).colors.tolist() == [0, 1, 0, 2]


def test_random_order_is_reproducible():
    pattern = csr(random_pattern(100, 100, 0.05))
    first, again, other = (color_columns(*pattern, "random", seed=seed) for seed in (3, 3, 4))
    assert first == again and first != other
    assert first.order == "random, seed 3"


# --- the oracle itself, transposing, bad input ------------------------------------------------------------------------


def test_predicate_against_all_pairs():
    rng, verdicts = np.random.default_rng(0), []
    for _ in range(400):
        dense = random_pattern(*rng.integers(0, 8, 2), rng.random(), rng.integers(2**32))
        partition = SIDES[rng.integers(2)]
        by_column = seen_by_column(dense, partition)
        colors = rng.integers(0, 5, by_column.shape[1])
        same = np.equal.outer(colors, colors) & ~np.eye(len(colors), dtype=bool)
        verdicts.append(not np.any(overlaps(by_column)[same]))
        assert is_structurally_orthogonal(*csr(dense), colors, partition) == verdicts[-1]
    assert 100 < sum(verdicts) < 300  # both answers occur


@given(patterns())
def test_transpose(dense):
    for found, expected in zip(transpose_pattern(*csr(dense)), csr(dense.T)[:2], strict=True):
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == np.int32


def test_integers_of_any_kind_are_taken():
    indptr, indices, shape = csr(banded(9, 2))
    expected = color_columns(indptr, indices, shape)
    for convert in (list, lambda a: a.astype(np.int64), lambda a: a.astype(np.uint8), lambda a: np.repeat(a, 2)[::2]):
        assert color_columns(convert(indptr), convert(indices), np.array(shape)) == expected
    indptr.flags.writeable = indices.flags.writeable = False
    assert color_rows(indptr, indices, shape).count == 5
    assert color_columns([0, 0], [], (1, 3)).count == 1


BAD_PATTERNS = {  # indptr, indices, shape, error, what it says
    "unsorted": ([0, 2, 4], [0, 1, 2, 1], (2, 3), ValueError, "row 1 has unsorted"),
    "duplicate": ([0, 2, 4], [0, 1, 2, 2], (2, 3), ValueError, "row 1 has column index 2 twice"),
    "index too large": ([0, 1, 2], [0, 3], (2, 3), ValueError, "row 1 has column index 3, outside of 0 to 2"),
    "negative index": ([0, 1, 2], [-1, 0], (2, 3), ValueError, "row 0 has column index -1"),
    "indptr too short": ([0, 2], [0, 1], (2, 3), ValueError, "must have 3 entries"),
    "indptr empty": ([], [], (0, 3), ValueError, "must have 1 entries"),
    "indptr of CSC": ([0, 1, 2, 2], [0, 1], (2, 3), ValueError, "indptr of shape"),
    "indptr starts late": ([1, 1, 2], [0, 1], (2, 3), ValueError, "starts at 1"),
    "indptr ends early": ([0, 1, 1], [0, 1], (2, 3), ValueError, "ends at 1"),
    "indptr decreases": ([0, 2, 1, 2], [0, 1], (3, 3), ValueError, "never decrease"),
    "indptr beyond the end": ([0, 9, 2], [0, 1], (2, 3), ValueError, "never decrease"),
    "float indices": ([0, 1, 2], [0.0, 1.0], (2, 3), TypeError, "indices has dtype float64"),
    "matrix of indices": ([0, 1, 2], [[0, 1]], (2, 3), ValueError, r"indices has shape \(1, 2\)"),
    "64-bit values": ([0, 1, 2], [0, 2**32], (2, 3), ValueError, "beyond 32-bit"),
    "64-bit negative values": ([0, 1, 2], [-(2**32), 0], (2, 3), ValueError, "beyond 32-bit"),
    "64-bit shape": ([0], [], (0, 2**31 - 1), ValueError, "sizes must be"),
    "negative shape": ([0], [], (0, -1), ValueError, "sizes must be"),
    "shape of one": ([0], [], (0,), TypeError, "pair of integers"),
    "shape of floats": ([0], [], (0, 1.0), TypeError, "pair of integers"),
}


@pytest.mark.parametrize("function", [color_columns, color_rows, transpose_pattern])
@pytest.mark.parametrize("case", BAD_PATTERNS)
def test_bad_patterns(case, function):
    indptr, indices, shape, error, message = BAD_PATTERNS[case]
    with pytest.raises(error, match=message) as caught:
        function(indptr, indices, shape)
    assert str(caught.value).startswith(function.__name__)


@pytest.mark.parametrize(
    "order, error, message",
    [
        ([0, 1, 2], ValueError, "order has length 3, must list each of the 4"),
        ([0, 1, 1, 3], ValueError, "lacks 2"),
        ([0, 1, 2, 4], ValueError, "lacks 3"),
        ([0, -3, 2, 3], ValueError, "lacks 1"),
        ([0.0, 1.0, 2.0, 3.0], TypeError, "order has dtype float64"),
        ("alphabetic", ValueError, "unknown order 'alphabetic'.*natural, largest_first"),
    ],
)
def test_bad_orders(order, error, message):
    with pytest.raises(error, match=message):
        color_columns(*csr(np.eye(4)), order)


def test_bad_colors_for_the_predicate():
    pattern = csr(np.ones((2, 3)))
    with pytest.raises(ValueError, match="colors has length 2, must have one per column: 3"):
        is_structurally_orthogonal(*pattern, [0, 1])
    with pytest.raises(ValueError, match="one per row: 2"):
        is_structurally_orthogonal(*pattern, [0, 1, 2], "row")
    with pytest.raises(ValueError, match="partition is 'diagonal'"):
        is_structurally_orthogonal(*pattern, [0, 1, 2], "diagonal")


# --- the Coloring object ----------------------------------------------------------------------------------------------


def test_coloring_is_a_value():
    colors = np.array([0, 1, 0, 2], np.int32)
    coloring = Coloring("row", colors, lower_bound=2, order="natural")
    colors[0] = 7
    assert repr(coloring) == "Coloring(row, 3 colours, lower bound 2, natural)"
    assert coloring.colors.tolist() == [0, 1, 0, 2] and coloring.colors.dtype == np.int32
    assert coloring == Coloring("row", [0, 1, 0, 2]) and hash(coloring) == hash(Coloring("row", [0, 1, 0, 2]))
    assert coloring != Coloring("column", [0, 1, 0, 2]) and coloring != Coloring("row", [0, 1, 0, 1]) and coloring != 3
    with pytest.raises(AttributeError):
        coloring.count = 1
    with pytest.raises(ValueError, match="read-only"):
        coloring.colors[0] = 1
    assert repr(Coloring("column", [0, 0])) == "Coloring(column, 1 colour, lower bound 0, given)"


@given(st.lists(st.integers(0, 6), max_size=12))
def test_groups(colors):
    groups = Coloring("column", colors).groups()
    assert [group.tolist() for group in groups] == [
        [j for j, color in enumerate(colors) if color == wanted] for wanted in range(max(colors, default=-1) + 1)
    ]


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        (("columns", [0]), ValueError, "partition is 'columns'"),
        (("column", [0, -1]), ValueError, "negative entry at 1"),
        (("column", [0.5]), TypeError, "dtype float64"),
        (("column", [[0]]), ValueError, "one-dimensional"),
    ],
)
def test_bad_colorings(arguments, error, message):
    with pytest.raises(error, match=message):
        Coloring(*arguments)


@pytest.mark.parametrize("order", ["random", "natural"])
def test_save_and_load(tmp_path, order):
    coloring = color_rows(*csr(banded(20, 3)), order, seed=2)
    coloring.save(tmp_path / "colours")
    loaded = Coloring.load(tmp_path / "colours")
    assert loaded == coloring and repr(loaded) == repr(coloring)
    with np.load(tmp_path / "colours", allow_pickle=False) as data:
        assert all(data[name].dtype != object for name in data)


def test_load_of_something_else(tmp_path):
    np.savez(tmp_path / "other.npz", colors=np.zeros(3))
    np.savez(tmp_path / "object.npz", partition="row", colors=np.array([{}]), lower_bound=1, order="natural")
    np.save(tmp_path / "array.npy", np.zeros(3))
    (tmp_path / "text").write_text("not a colouring")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "cut.npz").write_bytes((tmp_path / "other.npz").read_bytes()[:100])
    for path in tmp_path.iterdir():
        with pytest.raises(ValueError, match="does not hold a colouring"):
            Coloring.load(path)
    with pytest.raises(FileNotFoundError):
        Coloring.load(tmp_path / "missing")


@pytest.mark.parametrize(
    "module", ["_bidirectional", "_coloring", "_exact", "_first_fit", "_incidence", "_predicates", "_recovery", "_symmetric"]
)
def test_examples_in_docstrings(module):
    results = doctest.testmod(importlib.import_module(f"{colouring.__name__}.{module}"))
    assert results.attempted > 0 and results.failed == 0


# --- recovery ---------------------------------------------------------------------------------------------------------


@settings(max_examples=4 * settings().max_examples)
@given(patterns(), st.sampled_from(SIDES), st.sampled_from(list(ORDERS)))
def test_entries_are_recovered(dense, partition, order):
    coloring = COLOR[partition](*csr(dense), order)
    assert_recovers(coloring, dense)
    recovery = coloring.recovery()
    assert recovery.direct and (recovery.side is None) == (partition == "column")


def test_what_orthogonality_allows_is_what_can_be_read():
    rng, verdicts = np.random.default_rng(2), []
    for _ in range(300):
        dense = random_pattern(*rng.integers(0, 8, 2), rng.random(), rng.integers(2**32))
        partition = SIDES[rng.integers(2)]
        colors = rng.integers(0, 5, dense.shape[partition == "column"])
        coloring = Coloring(partition, colors, pattern=csr(dense))
        verdicts.append(is_structurally_orthogonal(*csr(dense), colors, partition))
        if verdicts[-1]:
            assert_recovers(coloring, dense)
        else:
            with pytest.raises(ValueError, match="cannot be found"):
                coloring.recovery()
    assert 50 < sum(verdicts) < 250


def test_more_sums_than_32_bit_integers_count():
    """An arrowhead with 100 000 columns, each of its own colour: 10**10 sums, of which 3 * 10**5 are read."""
    n = 100_000
    others = np.arange(1, n)
    i = np.concatenate([np.arange(n), np.zeros(n - 1, int), others])
    j = np.concatenate([np.arange(n), others, np.zeros(n - 1, int)])
    pattern = csr_from_entries(i, j, (n, n))
    for color, by in ((color_columns, 1), (color_rows, 0)):
        coloring = color(*pattern)
        recovery = coloring.recovery()
        entries = np.repeat(np.arange(n), np.diff(pattern[0])), pattern[1]
        assert coloring.count == n
        np.testing.assert_array_equal(recovery.color, entries[by])
        np.testing.assert_array_equal(recovery.element, entries[1 - by])
        assert (recovery.color.astype(np.int64) * n + recovery.element).max() > 2**31


# --- published and measured counts ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, order, rows, columns",
    [
        ("jac_pat", "natural", 6, 11),
        ("jac_pat", "largest_first", 6, 11),
        ("hess_pat", "natural", 12, 12),
        ("hess_pat", "largest_first", 12, 12),
        ("Brusselator_jacobian", "natural", 9, 9),
        ("Brusselator_jacobian", "largest_first", 9, 9),
    ],
)
def test_counts_of_other_tools(name, order, rows, columns):
    """As ColPack counts them (natural) and an independent definitional greedy (both orders)."""
    pattern = read_pattern(DATA / f"{name}.mtx")
    assert (color_rows(*pattern, order).count, color_columns(*pattern, order).count) == (rows, columns)


@pytest.fixture(scope="module")
def reference():
    return reference_folder()


def test_counts_of_the_reference_oracle(reference):
    """Natural and largest-first counts of every matrix of the table that is stored as a file."""
    folders = {"colpack": "colpack_graphs", "suitesparse": "suitesparse", "gen": None}
    names = {"SMB_jac_full": "../colpack_smb/SMB_jac_full_std"}
    order = {"N": "natural", "LF": "largest_first"}
    n_checked = 0
    for row in table(reference / "reference_counts_oracle.csv"):
        group, name = row["matrix"].split("/")
        if row["kind"] != "jacobian" or folders[group] is None:
            continue
        pattern = read_pattern(reference / folders[group] / f"{names.get(name, name)}.mtx")
        assert (pattern[2], len(pattern[1])) == ((int(row["m"]), int(row["n"])), int(row["nnz"]))
        rows, columns = (color(*pattern, order[row["order"]]) for color in (color_rows, color_columns))
        assert (rows.count, columns.count) == (int(row["d2_rows"]), int(row["d2_cols"])), row
        assert is_structurally_orthogonal(*pattern, rows.colors, "row")
        assert is_structurally_orthogonal(*pattern, columns.colors)
        n_checked += 1
    assert n_checked >= 26


def test_counts_of_cutest_problems(reference):
    """348 Jacobians and Hessians: natural order, and largest first as asdex counts it."""
    data = np.load(reference / "cutest_patterns.npz", allow_pickle=False)
    expected = {
        "natural": ("d2_rows_natural", "d2_cols_natural"),
        "largest_first": ("d2_rows_LF_asdex", "d2_cols_LF_asdex"),
    }
    n_checked = 0
    for row in table(reference / "reference_counts_cutest.csv"):
        key = f"{row['set']}/{row['problem']}"
        pattern = csr_from_entries(data[f"{key}/rows"], data[f"{key}/cols"], data[f"{key}/shape"])
        for order, (rows, columns) in expected.items():
            found = color_rows(*pattern, order).count, color_columns(*pattern, order).count
            assert found == (int(row[rows]), int(row[columns])), (key, order)
            n_checked += 1
    assert n_checked >= 2 * 348
