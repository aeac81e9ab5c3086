"""Star and acyclic colourings of symmetric patterns: their definitions, first-fit written out slowly, published counts."""

import json
from itertools import permutations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from colouring_patterns import (
    DATA,
    STATIC_ORDERS,
    arrow,
    assert_recovers,
    banded,
    csr,
    csr_from_entries,
    generated,
    grid,
    integers_on,
    random_pattern,
    read_pattern,
    reference_folder,
    sources,
    symmetric,
    symmetric_patterns,
    table,
)
from sparsead.sparsity.colouring import (
    ORDERS,
    Coloring,
    color_columns,
    color_symmetric,
    is_acyclic_coloring,
    is_star_coloring,
)

METHODS = ["star", "acyclic"]
VALID = {"star": is_star_coloring, "acyclic": is_acyclic_coloring}
FULL_ORDER = {"N": "natural", "LF": "largest_first"}


def has_two_colored(method, edges, colors):
    """By brute force over coloured vertices: neighbours alike, a path of four or a cycle that has two colours."""
    if any(colors[v] == colors[w] >= 0 for v, w in edges):
        return True
    if method == "star":
        colored = [v for v in range(len(colors)) if colors[v] >= 0]
        paths = [path for path in permutations(colored, 4) if {path[:2], path[1:3], path[2:]} <= edges]
        return any(colors[a] == colors[c] and colors[b] == colors[d] for a, b, c, d in paths)
    for pair in {frozenset((colors[v], colors[w])) for v, w in edges if min(colors[v], colors[w]) >= 0}:
        inside = [v for v in range(len(colors)) if colors[v] in pair]
        adjacency = np.array([[(v, w) in edges for w in inside] for v in inside], int)
        components = sp.csgraph.connected_components(adjacency)[0]
        if adjacency.sum() // 2 > len(inside) - components:
            return True
    return False


def slow_first_fit(method, dense, order):
    edges = {(v, w) for v, w in zip(*np.nonzero(dense), strict=True) if v != w}
    colors = np.full(len(dense), -1)
    for v in order:
        colors[v] = 0
        while has_two_colored(method, edges, colors):
            colors[v] += 1
    return colors


def order_of(order, dense, seed):
    degrees = dense.sum(axis=1) - dense.diagonal()
    return {
        "natural": np.arange(len(dense)),
        "largest_first": np.argsort(-degrees, kind="stable"),
        "random": np.random.default_rng(seed).permutation(len(dense)),
    }[order]


@given(symmetric_patterns().filter(lambda dense: len(dense) < 8), st.sampled_from(STATIC_ORDERS), st.integers(0, 99))
@pytest.mark.parametrize("method", METHODS)
def test_first_fit_on_small_patterns(method, dense, order, seed):
    coloring = color_symmetric(*csr(dense), method, order, seed=seed, postprocess=False)
    np.testing.assert_array_equal(coloring.colors, slow_first_fit(method, dense, order_of(order, dense, seed)))


@settings(max_examples=4 * settings().max_examples)
@given(symmetric_patterns(), st.sampled_from(list(ORDERS)), st.booleans(), st.sampled_from([None, "lower", "upper"]))
@pytest.mark.parametrize("method", METHODS)
def test_colors_are_valid_and_enough(method, dense, order, postprocess, triangle):
    coloring = color_symmetric(*csr(dense), method, order, seed=3, postprocess=postprocess)
    assert VALID[method](*csr(dense), coloring.colors)
    assert coloring.lower_bound <= coloring.count
    assert coloring.counts == (coloring.count, 0) and coloring.row_colors is None
    assert set(coloring.colors.tolist()) - {-1} == set(range(coloring.count))
    assert postprocess or -1 not in coloring.colors
    assert not dense.diagonal().all() or -1 not in coloring.colors
    assert_recovers(coloring, dense, triangle)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("method", METHODS)
def test_larger_patterns(method, order):
    """Bitsets of colours around a vertex, which begin at 64 colours, and trees of all depths."""
    for n, density, diagonal in [(150, 0.5, True), (300, 0.1, None), (400, 0.01, False)]:
        dense = symmetric(random_pattern(n, n, density), diagonal)
        coloring = color_symmetric(*csr(dense), method, order)
        assert VALID[method](*csr(dense), coloring.colors)
        assert_recovers(coloring, dense)


def two_hubs(n):
    """Vertices 0 and 1 are neighbours of all others, and not of each other."""
    dense = np.eye(n, dtype=bool)
    dense[:2, 2:] = dense[2:, :2] = True
    return dense


@pytest.mark.parametrize("method", METHODS)
def test_hubs_of_one_color(method):
    """Both hubs come first and get colour 0; so each of the others needs its own."""
    coloring = color_symmetric(*csr(two_hubs(300)), method)
    assert coloring.colors.tolist() == [0, 0, *range(1, 299)]
    assert_recovers(coloring, two_hubs(300))


@pytest.mark.parametrize("method", METHODS)
def test_a_bitset_holds_all_colors_around_a_vertex(method):
    """It is made for the 64th colour around the hub, which here is below all others, and is asked for each of them afterwards."""
    n = 400
    forced = np.full(n, -1)
    forced[0] = 399
    forced[1:64], forced[64] = np.arange(300, 363), 1
    coloring = color_symmetric(*csr(arrow(n)), method, forced_colors=forced)
    assert coloring.colors.tolist() == [399, *range(300, 363), 1, *[0] * (n - 65)]
    leaves = np.delete(np.arange(n), 0)
    again = color_symmetric(*csr(arrow(n)), method, forced_colors=np.append(399, leaves % 370))
    assert again.colors.tolist() == [399, *(leaves % 370).tolist()]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("method", METHODS)
def test_arrowheads_take_no_time(method, order):
    """With the work of visiting the neighbours of neighbours these would take minutes."""
    n = 200_000
    for hub in (0, n // 2, n - 1):
        others = np.delete(np.arange(n), hub)
        i = np.concatenate([np.arange(n), others, np.full(n - 1, hub)])
        j = np.concatenate([np.arange(n), np.full(n - 1, hub), others])
        coloring = color_symmetric(*csr_from_entries(i, j, (n, n)), method, order)
        assert coloring.count == coloring.lower_bound == 2


# --- known counts -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("half_bandwidth", [0, 1, 2, 3, 5, 12])
def test_counts_of_band_matrices(half_bandwidth):
    """Optimal: 2 b + 1 by stars and b + 1 by trees (Coleman and More 1984, Coleman and Cai 1986)."""
    pattern = csr(banded(60, half_bandwidth))
    assert color_symmetric(*pattern, "star").count == 2 * half_bandwidth + 1
    acyclic = color_symmetric(*pattern, "acyclic")
    assert acyclic.count == acyclic.lower_bound == half_bandwidth + 1


@pytest.mark.parametrize("method, counts", [("star", (12, 10)), ("acyclic", (7, 6))])
def test_counts_of_a_published_graph(method, counts):
    pattern = read_pattern(DATA / "hess_pat.mtx")
    found = tuple(color_symmetric(*pattern, method, order).count for order in ("natural", "largest_first"))
    assert found == ((10, 10) if method == "star" else counts)


def check_row(pattern, order, method, raw, post):
    coloring = color_symmetric(*pattern, method, order, postprocess=False)
    assert coloring.count == int(raw)
    fewer = color_symmetric(*pattern, method, order)
    assert fewer.lower_bound <= fewer.count <= int(post)
    return coloring, fewer


def test_counts_of_generated_patterns():
    """As an independent greedy colouring by the definitions counts them."""
    n_checked = 0
    for row in table(DATA / "symmetric_counts.csv"):
        pattern = csr(generated(row["matrix"].removeprefix("gen/")))
        assert len(pattern[1]) == int(row["nnz"])
        for method in METHODS:
            for coloring in check_row(pattern, FULL_ORDER[row["order"]], method, row[method], row[f"{method}_post"]):
                if pattern[2][0] <= 300:
                    assert VALID[method](*pattern, coloring.colors)
            n_checked += 1
    assert n_checked == 2 * 40


def test_counts_of_files():
    """The same for graphs that come as files, which the repository does not carry."""
    folder, n_checked = reference_folder(), 0
    for row in table(folder / "reference_counts_oracle.csv"):
        group, name = row["matrix"].split("/")
        if row["kind"] == "hessian" and group == "colpack":
            pattern = read_pattern(folder / "colpack_graphs" / f"{name}.mtx")
            for method in METHODS:
                check_row(pattern, FULL_ORDER[row["order"]], method, row[method], row[f"{method}_post"])
                n_checked += 1
    assert n_checked == 28


def test_counts_of_cutest_hessians():
    folder, n_checked = reference_folder(), 0
    data = np.load(folder / "cutest_patterns.npz", allow_pickle=False)
    for row in table(folder / "reference_counts_cutest.csv"):
        if row["set"] != "hessian":
            continue
        key = f"hessian/{row['problem']}"
        i, j = data[f"{key}/rows"], data[f"{key}/cols"]  # found by numbers: one lacks an entry on one side
        pattern = csr_from_entries(np.concatenate([i, j]), np.concatenate([j, i]), data[f"{key}/shape"])
        for method in METHODS:
            check_row(pattern, "natural", method, row[f"{method}_natural"], row[f"{method}_natural_post"])
        check_row(pattern, "largest_first", "star", row["star_LF_oracle"], row["star_LF_post_asdex"])
        n_checked += 1
    assert n_checked == 127


def test_figures_of_papers():
    folder = reference_folder()
    figures = json.loads((folder / "paper_figures.json").read_text())
    for figure in figures.values():
        dense = np.eye(figure["n"], dtype=bool)
        for v, w in figure["edges"]:
            dense[v - 1, w - 1] = dense[w - 1, v - 1] = True
        pattern, colors = csr(dense), np.array(figure["colors"]) - 1
        assert VALID[figure["kind"]](*pattern, colors)
        forced = color_symmetric(*pattern, figure["kind"], forced_colors=colors)
        np.testing.assert_array_equal(forced.colors, colors)
        assert_recovers(forced, dense)
        for method, count in figure["greedy_natural"].items():
            assert color_symmetric(*pattern, method).count == count
    assert len(figures) == 4


# --- the predicates ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_predicates_against_brute_force(method):
    rng, verdicts = np.random.default_rng(1), []
    for _ in range(300):
        dense = symmetric(random_pattern(*[int(rng.integers(1, 7))] * 2, rng.random(), rng.integers(2**32)))
        edges = {(v, w) for v, w in zip(*np.nonzero(dense), strict=True) if v != w}
        colors = rng.integers(0, 4, len(dense))
        verdicts.append(not has_two_colored(method, edges, colors))
        assert VALID[method](*csr(dense), colors) == verdicts[-1]
    assert 50 < sum(verdicts) < 250  # both answers occur


@settings(max_examples=4 * settings().max_examples)
@given(symmetric_patterns(), st.integers(0, 2**32 - 1))
@pytest.mark.parametrize("method", METHODS)
def test_what_predicates_accept_is_what_can_be_recovered(method, dense, seed):
    colors = np.random.default_rng(seed).integers(-1, 4, len(dense))
    coloring = Coloring("symmetric", colors, method=method, pattern=csr(dense))
    if VALID[method](*csr(dense), colors):
        assert_recovers(coloring, dense, seed=seed)
    elif dense.diagonal().all():
        with pytest.raises(ValueError, match="cannot be found"):
            coloring.recovery()


# --- recovery ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["f4", "f8", "c8", "c16"])
@pytest.mark.parametrize("method", METHODS)
def test_recovery_of_any_dtype(method, dtype):
    dense = grid(12, corners=True)
    coloring = color_symmetric(*csr(dense), method)
    matrix = integers_on(dense).astype(dtype) * (1 + 2j if dtype[0] == "c" else 1)
    recovery = coloring.recovery()
    values = sources(matrix, coloring, recovery)
    assert values.dtype == dtype
    kept = values.copy()
    out = np.empty(recovery.indices.size, dtype)
    assert recovery.finish(values, out) is out
    np.testing.assert_array_equal(out, matrix[dense])
    np.testing.assert_array_equal(values, kept)


def test_same_bits_on_any_number_of_threads():
    import sparsead

    dense = symmetric(random_pattern(1500, 1500, 0.01), True)
    coloring = color_symmetric(*csr(dense), "acyclic")
    recovery = coloring.recovery()
    values = np.random.default_rng(0).standard_normal(recovery.color.size)
    before, found = sparsead.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            sparsead.set_num_threads(threads)
            found.append(recovery.finish(values, np.empty(recovery.indices.size)).tobytes())
    finally:
        sparsead.set_num_threads(before)
    assert len(recovery._chunks) > 3 and found[0] == found[1] == found[2]


def test_a_nan_stays_in_its_tree():
    dense = grid(8, corners=False)
    for method, alone in (("star", True), ("acyclic", False)):
        coloring = color_symmetric(*csr(dense), method)
        matrix, recovery = integers_on(dense), coloring.recovery()
        values = sources(matrix, coloring, recovery)
        values[0 if recovery.direct else np.argmax(recovery._steps[2] >= 0)] = np.nan
        out = recovery.finish(values, np.empty(recovery.indices.size))
        i, j = np.nonzero(dense)
        bad = np.isnan(out)
        pairs = {frozenset((coloring.colors[v], coloring.colors[w])) for v, w in zip(i[bad], j[bad], strict=True)}
        assert len(pairs) == 1
        assert bad.sum() == 1 if alone else bad.sum() >= 4
        np.testing.assert_array_equal(out[~bad], matrix[dense][~bad])


def test_bad_arguments_of_finish():
    recovery = color_symmetric(*csr(banded(4, 1)), "acyclic").recovery()
    values, out = np.zeros(7), np.zeros(10)
    assert recovery.finish(values, out).tolist() == [0] * 10
    for bad, error, message in [
        ((values[:-1], out), ValueError, "values of shape"),
        ((values, out[::-1]), ValueError, "out of shape"),
        ((values, out.astype("f4")), TypeError, "must be the same"),
        ((values.astype(int), out), TypeError, "one of the dtypes"),
        (([0.0] * 7, out), TypeError, "one of the dtypes"),
        ((out[3:], out), ValueError, "share memory"),
    ]:
        with pytest.raises(error, match=message):
            recovery.finish(*bad)


def test_bad_arguments_of_recovery():
    with pytest.raises(ValueError, match="made without a pattern"):
        Coloring("symmetric", [0, 1]).recovery()
    with pytest.raises(ValueError, match="triangle is 'left'"):
        color_symmetric(*csr(banded(4, 1))).recovery("left")
    with pytest.raises(ValueError, match="row colouring has no triangles"):
        Coloring("row", [0, 1], pattern=csr(np.eye(2))).recovery("lower")
    with pytest.raises(ValueError, match=r"entry \(0, 0\) cannot be found"):
        Coloring("column", [0, 0], pattern=csr(np.ones((2, 2)))).recovery()
    with pytest.raises(ValueError, match=r"entry \(1, 0\) cannot be found"):
        Coloring("symmetric", [0, 0], method="acyclic", pattern=csr(np.ones((2, 2)))).recovery()


def test_the_pattern_of_a_coloring_is_its_own():
    indptr, indices, shape = csr(banded(5, 1))
    kept = indices.copy()
    coloring = color_symmetric(indptr, indices, shape)
    indices[:] = 1000
    np.testing.assert_array_equal(coloring.pattern[1], kept)
    for array in coloring.pattern[:2]:
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    again = color_symmetric(*coloring.pattern)
    assert again.pattern[1] is coloring.pattern[1]  # nobody writes it, so it is shared


# --- options, bad input -----------------------------------------------------------------------------------------------


def test_neutral_colors():
    """Without a diagonal: one entry, read from the sum that has the first column alone; and none at all."""
    pair = color_symmetric([0, 1, 2], [1, 0], 2)
    assert sorted(pair.colors.tolist()) == [-1, 0] and pair.count == pair.lower_bound == 1
    assert_recovers(pair, np.array([[False, True], [True, False]]))
    empty = color_symmetric([0, 0, 0], [], 2)
    assert empty.colors.tolist() == [-1, -1] and empty.count == empty.lower_bound == 0
    assert color_symmetric([0, 0, 0], [], 2, postprocess=False).colors.tolist() == [0, 0]
    assert repr(color_symmetric([0], [], 0)) == "Coloring(symmetric star, 0 colours, lower bound 0, natural)"


def test_forced_colors():
    pattern = csr(banded(5, 1))
    coloring = color_symmetric(*pattern, forced_colors=[-1, -1, 3, -1, -1])
    assert coloring.colors.tolist() == [0, 1, 3, 0, 1] and coloring.count == 4
    with pytest.raises(ValueError, match="colour 0 forced on 1 does not fit"):
        color_symmetric(*pattern, forced_colors=[0, 0, -1, -1, -1])
    with pytest.raises(ValueError, match="colour 1 forced on 3 does not fit"):
        color_symmetric(*pattern, forced_colors=[0, 1, 0, 1, -1])
    assert color_symmetric(*pattern, "acyclic", forced_colors=[0, 1, 0, 1, -1]).count == 2
    for bad, message in [([0], "length 1"), ([0, 1, 2, 3, 5], "from -1 to 4"), ([0, 1, 2, 3, -2], "from -1 to 4")]:
        with pytest.raises(ValueError, match=message):
            color_symmetric(*pattern, forced_colors=bad)


@pytest.mark.parametrize("method", METHODS)
@given(symmetric_patterns(), st.integers(0, 2**32 - 1))
def test_any_valid_colors_may_be_forced(method, dense, seed):
    colors = np.random.default_rng(seed).integers(0, max(len(dense), 1), len(dense))
    if VALID[method](*csr(dense), colors):
        assert color_symmetric(*csr(dense), method, "random", seed=seed, forced_colors=colors).colors.tolist() == colors.tolist()
    else:
        with pytest.raises(ValueError, match="does not fit"):
            color_symmetric(*csr(dense), method, "random", seed=seed, forced_colors=colors)


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        (([0, 2, 3], [0, 1, 1], 2), ValueError, r"it has the entry \(0, 1\) but not \(1, 0\)"),
        (([0, 0, 1, 2], [0, 0], 3), ValueError, r"it has the entry \(1, 0\) but not \(0, 1\)"),
        (([0, 2, 3, 4], [0, 2, 1, 2], 3), ValueError, r"but not \(2, 0\)"),
        (([0, 1, 3, 5], [1, 0, 2, 0, 1], 3), ValueError, r"it has the entry \(2, 0\) but not \(0, 2\)"),
        (([0, 1], [0], (1, 2)), ValueError, "not symmetric"),
        (([0, 2], [0, 0], 1), ValueError, "twice"),
        (([0, 2, 3], [1, 0, 0], 2), ValueError, "unsorted"),
        (([0, 1], [7], 1), ValueError, "outside"),
        (([0], [], 3), ValueError, "must have 4 entries"),
        (([0, 1], [0], "1"), TypeError, "pair of integers"),
        (([0, 1], [0], 1, "tree"), ValueError, "method is 'tree'"),
        (([0, 1], [0], 1, "star", "wild"), ValueError, "unknown order"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message) as caught:
        color_symmetric(*arguments)
    assert str(caught.value).startswith("color_symmetric")


def test_the_pattern_of_another_coloring():
    """It has been checked, but not for these colours."""
    pattern = color_columns([0, 2, 3], [0, 1, 1], (2, 2)).pattern
    with pytest.raises(ValueError, match="3 column colours for a pattern of shape"):
        Coloring("column", [0, 1, 2], pattern=pattern)
    for method in METHODS:
        with pytest.raises(ValueError, match=r"recovery: the pattern is not symmetric: it has the entry \(0, 1\)"):
            Coloring("symmetric", [0, 1], method=method, pattern=pattern).recovery()


def test_symmetric_patterns_only():
    for predicate in VALID.values():
        with pytest.raises(ValueError, match=r"entry \(0, 1\) but not \(1, 0\)"):
            predicate([0, 2, 3], [0, 1, 1], (2, 2), [0, 1])
        with pytest.raises(ValueError, match="must have one per column: 2"):
            predicate([0, 1, 2], [0, 1], (2, 2), [0])
    with pytest.raises(ValueError, match="not symmetric: it has the entry"):
        Coloring("symmetric", [0, 1], pattern=([0, 2, 3], [0, 1, 1], (2, 2)))
    with pytest.raises(ValueError, match="2 column colours for a pattern of shape"):
        Coloring("symmetric", [0, 1], pattern=csr(np.eye(3)))


def test_integers_of_any_kind_are_taken():
    indptr, indices, shape = csr(arrow(9))
    expected = color_symmetric(indptr, indices, shape)
    for convert in (list, lambda a: a.astype(np.int64), lambda a: a.astype(np.uint8), lambda a: np.repeat(a, 2)[::2]):
        assert color_symmetric(convert(indptr), convert(indices), np.int64(9)) == expected


@pytest.mark.parametrize("method", METHODS)
def test_save_and_load(tmp_path, method):
    dense = symmetric(random_pattern(20, 20, 0.1), False)
    coloring = color_symmetric(*csr(dense), method)
    coloring.save(tmp_path / "colours")
    loaded = Coloring.load(tmp_path / "colours")
    assert loaded == coloring and repr(loaded) == repr(coloring)
    assert_recovers(loaded, dense)
