"""Pictures of patterns: what they show is read back from the text, the SVG and the figures, and compared with the entries."""

import doctest
import importlib
import re
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

import sparsead
from sparsead.sparsity.colouring import Coloring, color_columns, color_rows, color_symmetric
from sparsead.sparsity.drawing import block_counts, pattern_svg, pattern_text, plot_coloring, plot_compressed, plot_pattern
from sparsead.sparsity.drawing._blocks import fitting_block
from sparsead.sparsity.drawing._sides import colored

SHAPES = [(0, 0), (0, 7), (7, 0), (1, 1), (1, 500), (500, 1), (3, 4), (40, 70), (100_000, 3), (3, 100_000), (1000, 1000)]
DRAW = {"pattern_text": pattern_text, "pattern_svg": pattern_svg, "plot_pattern": plot_pattern}


def csr(A):
    """indptr, indices, shape of the entries of an array."""
    A = sp.csr_array(A)
    A.sort_indices()
    return A.indptr, A.indices, A.shape


def random_pattern(shape, seed=0, density=0.1):
    entries = min(2000, max(1, int(density * shape[0] * shape[1]))) if min(shape) else 0
    rng = np.random.default_rng(seed)
    rows, columns = (rng.integers(0, max(size, 1), entries) for size in shape)
    A = sp.coo_array((np.ones(entries), (rows, columns)), shape).tocsr()
    A.data[:] = 1
    return A


def arrow(n):
    A = np.eye(n)
    A[0] = A[:, 0] = 1
    return A


def blocks_by_definition(A, block):
    counts = np.zeros([-(-size // step) for size, step in zip(A.shape, block, strict=True)], int)
    for i, j in zip(*A.nonzero(), strict=True):
        counts[i // block[0], j // block[1]] += 1
    return counts


# ---- blocks ----------------------------------------------------------------------------------------------------------


@given(st.tuples(*[st.integers(0, 30)] * 2), st.tuples(*[st.integers(1, 40)] * 2), st.integers(0, 1000))
def test_blocks_are_counted(shape, block, seed):
    A = random_pattern(shape, seed, 0.3)
    assert np.array_equal(block_counts(*csr(A), block), blocks_by_definition(A, block))


@given(*[st.tuples(*[st.integers(0, 10**6)] * 2)], *[st.tuples(*[st.integers(1, 200)] * 2)])
def test_blocks_are_few_and_no_larger_than_needed(shape, limits):
    block = fitting_block(shape, limits)
    assert all(-(-size // step) <= limit for size, step, limit in zip(shape, block, limits, strict=True))
    if block != (1, 1):
        assert any(-(-size // (step - 1)) > limit for size, step, limit in zip(shape, block, limits, strict=True) if step > 1)


def test_blocks_are_squares_where_that_leaves_something_to_see():
    assert fitting_block((4000, 3000), (100, 100)) == (40, 40)
    assert fitting_block((4000, 30), (100, 100)) == (40, 1)
    assert fitting_block((30, 64_000), (100, 100)) == (1, 640)


# ---- text ------------------------------------------------------------------------------------------------------------


def dots_of(text, shape):
    """The dots of a text, as an array of the given shape."""
    lines = [line[1:-1] for line in text.splitlines()]
    bits = np.array([[0, 3], [1, 4], [2, 5], [6, 7]])  # Unicode numbers dots 1, 2, 3, 7 on the left and 4, 5, 6, 8 on the right
    codes = np.array([[ord(c) - 0x2800 for c in line] for line in lines]).reshape(len(lines), len(lines[0]))
    dots = (codes[:, None, :, None] >> bits[None, :, None, :]) & 1
    full = dots.reshape(4 * codes.shape[0], 2 * codes.shape[1]) == 1
    assert not full[shape[0] :].any() and not full[:, shape[1] :].any()
    return full[: shape[0], : shape[1]]


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if min(shape)], ids=str)
def test_text_has_a_dot_where_there_are_entries(shape):
    A = random_pattern(shape)
    expected = blocks_by_definition(A, fitting_block(shape, (80, 128))) > 0
    assert np.array_equal(dots_of(pattern_text(*csr(A)), expected.shape), expected)


def test_a_small_pattern_is_shown_entry_by_entry():
    A = random_pattern((40, 100), density=0.2)
    assert np.array_equal(dots_of(pattern_text(*csr(A)), A.shape), A.toarray() == 1)
    assert pattern_text(*csr(arrow(8))) == "⎡⡟⢍⠉⠉⎤\n⎣⡇⠀⠑⢄⎦"


@pytest.mark.parametrize("lines, characters", [(1, 1), (2, 3), (20, 64)])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_text_keeps_to_its_room(shape, lines, characters):
    text = pattern_text(*csr(random_pattern(shape)), lines=lines, characters=characters).splitlines()
    assert 1 <= len(text) <= lines
    assert len({len(line) for line in text}) == 1
    assert 2 <= len(text[0]) <= characters + 2


@pytest.mark.parametrize("shape", [(0, 0), (0, 7), (7, 0)], ids=str)
def test_text_of_nothing(shape):
    assert pattern_text(*csr(np.zeros(shape))) == "[]"


def test_text_without_room_is_refused():
    with pytest.raises(ValueError, match="0 lines"):
        pattern_text(*csr(arrow(3)), lines=0)


# ---- SVG -------------------------------------------------------------------------------------------------------------

SVG = "{http://www.w3.org/2000/svg}"


def levels_of(svg):
    """The shades of an SVG's cells."""
    root = ElementTree.fromstring(svg)
    left, top, width, height = map(int, root.get("viewBox").split())
    levels = np.zeros((height, width))
    for path in root.iter(f"{SVG}path"):
        for begin, row, end, back in re.findall(r"M(\d+) (\d+)H(\d+)v1H(\d+)z", path.get("d")):
            assert begin == back and not levels[int(row), int(begin) : int(end)].any()
            levels[int(row), int(begin) : int(end)] = float(path.get("fill-opacity"))
    assert (left, top) == (0, 0)
    return levels


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if min(shape)], ids=str)
def test_svg_is_darker_where_there_are_more_entries(shape):
    A = random_pattern(shape)
    counts = blocks_by_definition(A, fitting_block(shape, (96, 96)))
    levels = levels_of(pattern_svg(*csr(A)))
    assert np.array_equal(levels > 0, counts > 0)
    assert levels.max() == 1
    by_count = levels.ravel()[np.argsort(counts, axis=None, kind="stable")]
    assert np.all(np.diff(by_count) >= 0)


def test_svg_of_the_size_asked_for():
    root = ElementTree.fromstring(pattern_svg(*csr(np.ones((20, 10))), size=100))
    assert (root.get("height"), root.get("width")) == ("100", "50")


@pytest.mark.parametrize("shape", [(0, 0), (0, 7), (7, 0), (2, 2)], ids=str)
def test_svg_of_nothing(shape):
    assert not levels_of(pattern_svg(*csr(np.zeros(shape)))).any()


def test_svg_stays_small():
    checkers = np.indices((96, 96)).sum(axis=0) % 2
    assert len(pattern_svg(*csr(checkers))) < 100_000


# ---- which side reads an entry ---------------------------------------------------------------------------------------


def as_array(sums, n_lines):
    """`Sums` as an array with a row for each line."""
    array = np.zeros((n_lines, sums.n_colors), int)
    array[sums.lines, sums.colors] = sums.terms
    return array


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 1000), st.sampled_from(["column", "row", "both"]))
def test_entries_are_read_from_the_colour_that_they_are_drawn_in(m, n, seed, partition):
    rng = np.random.default_rng(seed)
    A = random_pattern((m, n), seed, 0.3).toarray() * rng.uniform(1, 2, (m, n))
    column_colors = color_columns(*csr(A)).colors if partition != "row" else None
    row_colors = color_rows(*csr(A)).colors if partition != "column" else None
    if partition == "both":  # leave each line to one side, at random
        column_colors, row_colors = (np.where(rng.random(c.size) < 0.7, c, -1) for c in (column_colors, row_colors))
    entries = colored("test", *csr(A), column_colors, row_colors, 100)
    for i, j, color, by_row in zip(entries.rows, entries.columns, entries.color, entries.by_row, strict=True):
        if by_row:
            assert color == row_colors[i]
            assert partition == "row" or column_colors[j] == -1
            assert A[row_colors == color, j].sum() == A[i, j]
        elif color >= 0:
            assert color == column_colors[j]
            assert A[i, column_colors == color].sum() == A[i, j]
        else:
            assert (row_colors is None or row_colors[i] == -1) and (column_colors is None or column_colors[j] == -1)


def test_both_sides_of_an_arrow():
    n = 9
    entries = colored("test", *csr(arrow(n)), [0] + [1] * (n - 1), [0] + [-1] * (n - 1), 100)
    assert np.array_equal(entries.by_row, (entries.rows == 0) & (entries.columns > 0))
    assert np.array_equal(entries.color, np.where(entries.by_row, 0, np.minimum(entries.columns, 1)))
    assert as_array(entries.column_sums, n).tolist() == [[1, n - 1]] + [[1, 1]] * (n - 1)
    assert as_array(entries.row_sums, n).tolist() == [[1]] * n


@given(st.integers(1, 14), st.integers(0, 1000), st.sampled_from(["star", "acyclic"]))
def test_symmetric_entries_are_drawn_in_the_colours_that_recovery_reads(n, seed, method):
    A = random_pattern((n, n), seed, 0.2)
    indptr, indices, shape = csr(A + A.T + sp.eye_array(n))
    coloring = color_symmetric(indptr, indices, n, method=method)
    entries = colored("test", indptr, indices, shape, coloring.column_colors, None, 100, symmetric=True)
    if method == "star":
        recovery = coloring.recovery()
        assert np.array_equal(entries.color, recovery.color)
        assert np.array_equal(np.where(entries.by_row, entries.columns, entries.rows), recovery.element)
    sums = as_array(entries.column_sums, n)
    alone, mirrored = sums[entries.rows, entries.color] == 1, sums[entries.columns, entries.color] == 1
    assert np.all(np.where(entries.by_row, mirrored, alone)[entries.by_row | (method == "star")])
    assert np.array_equal(as_array(entries.row_sums, n), sums)


# ---- figures ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def plt(monkeypatch):
    plt = pytest.importorskip("matplotlib.pyplot")
    monkeypatch.setattr(plt, "show", lambda *args: pytest.fail("plt.show() was called"))
    yield plt
    plt.close("all")


def marks_of(ax):
    """(rows, columns, colours) of the squares and of the discs in axes."""
    from matplotlib.collections import EllipseCollection

    found = {True: [], False: []}
    for collection in ax.collections:
        discs = isinstance(collection, EllipseCollection)
        places = collection.get_offsets() if discs else np.array([p.vertices[:4].mean(axis=0) for p in collection.get_paths()])
        columns, rows = np.rint(places).astype(int).reshape(-1, 2).T
        found[discs] += zip(rows.tolist(), columns.tolist(), map(tuple, np.resize(collection.get_facecolor(), (rows.size, 4))),
                            strict=True)  # fmt: skip
    return found


def drawn(figure):
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())


def test_a_small_pattern_is_drawn_entry_by_entry(plt):
    A = random_pattern((30, 50))
    ax = plot_pattern(*csr(A))
    marks = marks_of(ax)
    assert sorted((i, j) for i, j, _ in marks[True]) == sorted(zip(*map(np.ndarray.tolist, A.nonzero()), strict=True))
    assert not marks[False]
    assert ax.get_title() == f"30 × 50, {A.nnz} entries"
    assert (ax.get_xlim(), ax.get_ylim()) == ((-0.5, 49.5), (29.5, -0.5))
    assert drawn(ax.figure).min() < 100


@pytest.mark.parametrize("shape", [(97, 97), (1000, 1500), (100_000, 3), (3, 100_000)], ids=str)
def test_a_large_pattern_is_drawn_by_counts(shape, plt):
    A = random_pattern(shape)
    ax = plot_pattern(*csr(A))
    (image,) = ax.images
    counts = np.ma.filled(image.get_array(), 0)
    assert counts.sum() == A.nnz
    assert max(counts.shape) <= 240
    left, right, bottom, top = image.get_extent()
    block = (bottom - top) / counts.shape[0], (right - left) / counts.shape[1]
    assert np.array_equal(counts, blocks_by_definition(A, [round(step) for step in block]))
    drawn(ax.figure)
    box = ax.get_window_extent()
    wanted = np.clip(shape[1] / shape[0], 1 / 8, 8)
    assert box.width / box.height == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("shape", [(0, 0), (0, 7), (7, 0), (1, 1), (500, 500)], ids=str)
@pytest.mark.parametrize("plot", [plot_pattern, plot_coloring, plot_compressed], ids=lambda plot: plot.__name__)
def test_drawings_of_nothing(shape, plot, plt):
    colors = [] if plot is plot_pattern else [np.full(shape[1], -1), np.full(shape[0], -1)]
    ax = plot(*csr(np.zeros(shape)), *colors)
    assert ax.get_title().startswith(f"{shape[0]} × {shape[1]}, 0 entries")
    drawn(ax.figure)


@pytest.mark.parametrize("partition", ["column", "row"])
def test_entries_have_the_colours_of_their_columns_or_rows(partition, plt):
    A = random_pattern((30, 40))
    of_rows = partition == "row"
    colors = (color_rows if of_rows else color_columns)(*csr(A)).colors
    ax = plot_coloring(*csr(A), **{f"{partition}_colors": colors})
    marks = marks_of(ax)
    assert not marks[not of_rows]
    pairs = {(colors[i if of_rows else j], color) for i, j, color in marks[of_rows]}
    assert len(marks[of_rows]) == A.nnz
    assert len(pairs) == len({k for k, _ in pairs}) == len({color for _, color in pairs}) == colors.max() + 1
    assert ax.get_title().splitlines()[1] == f"{colors.max() + 1} colours of {partition}s"


def test_sides_and_neutral_entries_can_be_told_apart(plt):
    n = 9
    column_colors = np.array([0] + [1] * (n - 1))
    column_colors[4] = -1
    marks = marks_of(plot_coloring(*csr(arrow(n)), column_colors, [0] + [-1] * (n - 1)))
    discs = {(i, j): color for i, j, color in marks[True]}
    squares = {(i, j): color for i, j, color in marks[False]}
    assert sorted(discs) == [(0, j) for j in range(1, n)]
    assert len(set(discs.values())) == 1
    red, green, blue, _ = squares[4, 4]
    assert red == green == blue  # neither side has a colour for it
    assert len({squares[3, 0], squares[3, 3], squares[4, 4], discs[0, 3]}) == 4
    warm, cold = squares[3, 0], discs[0, 3]
    assert warm[0] > warm[2] and cold[2] > cold[0]


def test_a_colouring_of_a_large_pattern_is_drawn_in_part(plt):
    A = sp.eye_array(500)
    ax = plot_coloring(*csr(A), np.zeros(500, int))
    assert sorted((i, j) for i, j, _ in marks_of(ax)[False]) == [(i, i) for i in range(96)]
    assert "500 × 500, 500 entries" in ax.get_title() and "the first 96 rows, 96 columns" in ax.get_title()


def test_the_compressed_matrix_is_beside_the_pattern(plt):
    A = random_pattern((20, 30), density=0.05)
    colors = color_columns(*csr(A)).colors
    ax = plot_compressed(*csr(A), colors)
    (side,) = ax.child_axes
    expected = {(i, colors[j]) for i, j in zip(*A.nonzero(), strict=True)}
    marks = marks_of(side)[False]
    assert {(i, k) for i, k, _ in marks} == expected and len(marks) == len(expected)
    of_colors = {colors[j]: color for _, j, color in marks_of(ax)[False]}
    assert all(color == of_colors[k] for _, k, color in marks)
    drawn(ax.figure)
    whole, part = ax.get_window_extent(), side.get_window_extent()
    assert part.height == pytest.approx(whole.height)
    assert part.width / whole.width == pytest.approx((colors.max() + 1) / 30)
    assert part.x0 > whole.x1


def test_many_colours_are_drawn_in_part(plt):
    ax = plot_compressed(*csr(arrow(500)), np.arange(500))
    (side,) = ax.child_axes
    assert side.get_xlabel() == "500 colours,\nthe first 96"
    assert max(k for _, k, _ in marks_of(side)[False]) == 95
    assert max(ax.figure.get_size_inches()) < 15
    assert drawn(ax.figure).min() < 100


def test_both_compressed_matrices_are_beside_the_pattern(plt):
    n = 9
    ax = plot_compressed(*csr(arrow(n)), [0] + [1] * (n - 1), [0] + [-1] * (n - 1))
    right, below = ax.child_axes
    sums = {(i, k): color for i, k, color in marks_of(right)[False]}
    assert len(sums) == 2 * n
    assert len(set(sums[0, 1][:3])) == 1 and len(set(sums[1, 1][:3])) > 1  # n - 1 entries of the first row: nobody reads them
    assert sorted((k, j) for k, j, _ in marks_of(below)[True]) == [(0, j) for j in range(n)]
    drawn(ax.figure)
    assert below.get_window_extent().y1 < ax.get_window_extent().y0
    assert right.get_window_extent().x0 > ax.get_window_extent().x1


def test_an_entry_that_is_read_by_symmetry_is_a_disc(plt):
    ax = plot_compressed(*csr(arrow(9)), [0] + [1] * 8, symmetric=True)
    marks = marks_of(ax)
    assert sorted((i, j) for i, j, _ in marks[True]) == [(0, j) for j in range(1, 9)]
    assert len({color for _, _, color in marks[True]} | {color for i, j, color in marks[False] if j == 0}) == 1
    assert len(ax.child_axes) == 1
    assert ax.get_title().splitlines()[1] == "2 colours of columns for both triangles"


@pytest.mark.parametrize("layout", [None, "constrained"])
def test_axes_of_the_caller_are_drawn_in(layout, plt):
    figure, axes = plt.subplots(1, 3, layout=layout)
    A, zeros = random_pattern((300, 300)), np.zeros(300, int)
    assert plot_pattern(*csr(A), ax=axes[0]) is axes[0]
    assert plot_coloring(*csr(A), zeros, ax=axes[1]) is axes[1]
    assert plot_compressed(*csr(A), zeros, ax=axes[2]) is axes[2]
    assert plt.get_fignums() == [figure.number]
    drawn(figure)


def test_matplotlib_is_imported_when_something_is_drawn(tmp_path):
    code = "import sys, sparsead; print('matplotlib' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert run.stdout.strip() == "False"


@pytest.mark.parametrize("plot", [plot_pattern, plot_coloring, plot_compressed], ids=lambda plot: plot.__name__)
def test_without_matplotlib(plot, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    colors = [] if plot is plot_pattern else [[0, 1, 2]]
    with pytest.raises(ImportError, match=r"pip install 'sparsead\[plot\]'"):
        plot(*csr(arrow(3)), *colors)


# ---- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("draw", DRAW)
@pytest.mark.parametrize(
    "indptr, indices, shape, message",
    [([0, 1], [3], (1, 3), "outside of 0 to 2"), ([0, 2], [1, 1], (1, 3), "twice"), ([0, 2], [1, 0], (1, 3), "unsorted"),
     ([0, 1], [0], (2, 3), "indptr"), ([0, 2], [0], (1, 3), "end at 1")],
)  # fmt: skip
def test_what_is_no_pattern_is_refused(draw, indptr, indices, shape, message):
    with pytest.raises(ValueError, match=message):
        DRAW[draw](indptr, indices, shape)


@pytest.mark.parametrize("plot", [plot_coloring, plot_compressed], ids=lambda plot: plot.__name__)
def test_colours_that_do_not_belong_to_the_pattern_are_refused(plot):
    with pytest.raises(ValueError, match=rf"{plot.__name__}: row_colors has length 2, must be 3"):
        plot(*csr(arrow(3)), None, [0, 1])
    with pytest.raises(ValueError, match="neither column_colors nor row_colors"):
        plot(*csr(arrow(3)))


def test_symmetry_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match=r"symmetric=True for a pattern of shape \(2, 3\)"):
        plot_coloring(*csr(np.ones((2, 3))), [0, 1, 2], symmetric=True)
    with pytest.raises(ValueError, match="takes column_colors only"):
        plot_coloring(*csr(arrow(3)), [0, 1, 1], [0, 1, 1], symmetric=True)


def test_empty_blocks_are_refused():
    with pytest.raises(ValueError, match=r"block is \(0, 1\)"):
        block_counts(*csr(arrow(3)), (0, 1))


# ---- what derivatives show of themselves -----------------------------------------------------------------------------


def differences(x):
    return x[1:] * x[:-1]


def test_before_it_is_prepared_there_is_nothing_to_draw():
    jac = sparsead.jacobian(lambda x: x * x)
    assert "\n" not in str(jac) and jac._repr_html_() is None
    with pytest.raises(RuntimeError, match="not prepared"):
        jac.plot()


@pytest.mark.parametrize(
    "method, way", [("direct", "entry by entry"), ("column", "2 colours by columns"), ("row", "2 colours by rows")]
)
def test_a_prepared_jacobian_shows_its_pattern(method, way):
    jac = sparsead.jacobian(differences, method=method).prepare(np.ones(50))
    assert repr(jac) == f"Jacobian(differences, 49 x 50, 98 entries, {way})"
    first, *picture = str(jac).splitlines()
    assert first == repr(jac)
    assert "\n".join(picture) == pattern_text(*csr(jac.pattern))


def test_a_hessian_names_itself():
    hessian = sparsead.hessian(lambda x: np.sum(differences(x)), method="direct").prepare(np.ones(5))
    assert repr(hessian) == "Hessian(<lambda>, 5 x 5, 8 entries, entry by entry)"


def test_a_failed_preparation_is_not_drawn():
    hessian = sparsead.hessian(lambda x: x * x)
    with pytest.raises(TypeError):
        hessian.prepare(np.ones(3))
    assert repr(hessian) == "sparsead.hessian(<lambda>, wrt=0, of='return')"


@pytest.mark.parametrize("method, colours", [("direct", "not needed"), ("column", "2")])
def test_a_notebook_shows_a_table_and_the_pattern(method, colours):
    jac = sparsead.jacobian(lambda x: differences(x), method=method).prepare(np.ones(50))
    root = ElementTree.fromstring(jac._repr_html_())
    table = {row[0].text: row[1].text for row in root.iter("tr")}
    assert list(table) == ["shape", "entries", "density", "method", "colours"]
    assert (table["shape"], table["entries"], table["density"], table["colours"]) == ("49 × 50", "98", "4.000%", colours)
    assert root.find(".//code").text == repr(jac)
    (svg,) = root.iter(f"{SVG}svg")
    assert np.array_equal(levels_of(ElementTree.tostring(svg)), jac.pattern.toarray())


@pytest.mark.parametrize("method", ["direct", "column", "row"])
@pytest.mark.parametrize("kind, sides", [("pattern", 0), ("coloring", 0), ("compressed", 1)])
def test_a_jacobian_draws_itself(method, kind, sides, plt):
    jac = sparsead.jacobian(differences, method=method).prepare(np.ones(20))
    ax = jac.plot(kind)
    marks = marks_of(ax)
    assert len(marks[False]) + len(marks[True]) == 38
    assert len(ax.child_axes) == sides
    assert jac.plot(kind, ax=ax) is ax


@pytest.mark.parametrize("kind, sides", [("coloring", [0, 0, 0, 0]), ("compressed", [1, 1, 1, 2])])
def test_a_colouring_draws_itself(kind, sides, plt):
    rows = csr(arrow(9))
    both = Coloring("bidirectional", ([0] + [1] * 8, [0] + [-1] * 8), pattern=rows)
    for coloring, n_sides in zip(
        [color_columns(*rows), color_rows(*rows), color_symmetric(*rows[:2], 9), both], sides, strict=True
    ):
        ax = coloring.plot(kind)
        assert sum(map(len, marks_of(ax).values())) == 25
        assert len(ax.child_axes) == n_sides
        assert coloring.plot(kind, ax=ax) is ax


def test_a_colouring_without_a_pattern_is_not_drawn():
    with pytest.raises(ValueError, match="without a pattern"):
        Coloring("column", [0, 1]).plot()
    with pytest.raises(ValueError, match="kind='pattern' is unknown"):
        color_columns(*csr(arrow(3))).plot("pattern")


def test_a_hessian_by_star_colours_draws_itself(plt):
    def chain(x):
        return np.sum((x[1:] - x[:-1] ** 2) ** 2)

    hessian = sparsead.hessian(chain, method="star").prepare(np.ones(12))
    marks = marks_of(hessian.plot("coloring"))
    assert len(marks[True]) + len(marks[False]) == 34
    assert not any(len(set(color[:3])) == 1 for side in marks.values() for _, _, color in side)
    assert repr(hessian) == "Hessian(chain, 12 x 12, 34 entries, 3 colours, star)"
    assert "columns, each entry once (star)</td>" in hessian._repr_html_()


def test_the_colouring_of_a_triangle_is_that_of_the_whole_matrix(plt):
    def chain(x):
        return np.sum((x[1:] - x[:-1] ** 2) ** 2)

    lower = sparsead.hessian(chain, method="star", triangle="lower").prepare(np.ones(12))
    both = sparsead.hessian(chain, method="star").prepare(np.ones(12))
    assert sum(map(len, marks_of(lower.plot()).values())) == 23
    assert marks_of(lower.plot("coloring")) == marks_of(both.plot("coloring"))


def test_an_unknown_kind_of_picture_is_refused():
    with pytest.raises(ValueError, match="kind='spy' is unknown"):
        sparsead.jacobian(differences).prepare(np.ones(3)).plot("spy")


@pytest.mark.parametrize("module", ["_blocks", "_text", "_markup", "_figures"])
def test_docstrings(module, plt):
    results = doctest.testmod(importlib.import_module(f"sparsead.sparsity.drawing.{module}"))
    assert results.attempted > 0
    assert results.failed == 0
