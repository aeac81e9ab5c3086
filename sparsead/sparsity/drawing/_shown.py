"""What Jacobians and Hessians show of themselves once they are prepared: a line, a text, a table with a picture, and figures.

All take an object with a `pattern` (a ``csr_array``), a `method` and a `coloring`.
"""

from ._figures import plot_coloring, plot_compressed, plot_pattern
from ._markup import pattern_svg, table_html
from ._text import pattern_text
from ._words import counted, size_text

# What sweeps are for, and how many colours there are, by the partition of the colouring.
SWEEPS = {
    "column": ("columns", "{count} by columns"),
    "row": ("rows", "{count} by rows"),
    "symmetric": ("columns, each entry once ({method})", "{count}, {method}"),
    "bidirectional": ("columns and rows ({method})", "{count} by columns and rows"),
}
KINDS = ("pattern", "coloring", "compressed")


def as_line(derivative, name):
    """``Jacobian(name, 49 x 50, 98 entries, 2 colours by columns)``."""
    size = size_text(derivative.pattern.shape, derivative.pattern.nnz, " x ")
    return f"{type(derivative).__name__}({name}, {size}, {_way(derivative)})"


def as_text(derivative):
    """The representation of `derivative`, and below it the pattern in braille."""
    return f"{derivative!r}\n{pattern_text(*_rows(derivative))}"


def as_html(derivative):
    """The representation of `derivative`, a table, and the pattern as SVG."""
    return table_html(repr(derivative), _table(derivative), pattern_svg(*_rows(derivative)))


def plot(derivative, kind, ax):
    """The axes with a picture of one of `KINDS`."""
    if kind not in KINDS:
        raise ValueError(f"kind={kind!r} is unknown; choose one of {', '.join(map(repr, KINDS))}")
    if kind == "pattern":
        return plot_pattern(*_rows(derivative), ax=ax)
    coloring = derivative.coloring
    return plot_colors(coloring, kind, coloring.pattern or _rows(derivative), ax)  # of a triangle, the whole matrix is coloured


def plot_colors(coloring, kind, rows, ax):
    """The axes with a picture of a `Coloring` of a pattern, ``(indptr, indices, shape)``: one of the last two of `KINDS`."""
    draw = plot_coloring if kind == "coloring" else plot_compressed
    indptr, indices, shape = rows
    symmetric = coloring.partition == "symmetric"
    return draw(indptr, indices, shape, coloring.column_colors, coloring.row_colors, symmetric=symmetric, ax=ax)


def _rows(derivative):
    pattern = derivative.pattern
    return pattern.indptr, pattern.indices, pattern.shape


def _way(derivative):
    """How entries are computed, in words."""
    if derivative.method == "direct":
        return "entry by entry"
    coloring = derivative.coloring
    return SWEEPS[coloring.partition][1].format(count=counted(coloring.count, "colour"), method=coloring.method)


def _table(derivative):
    """Rows of a name and a text."""
    (m, n), n_entries = derivative.pattern.shape, derivative.pattern.nnz
    method, colours = "entry by entry", "not needed"
    if derivative.method != "direct":
        coloring = derivative.coloring
        method = f"sweeps for colours of {SWEEPS[coloring.partition][0].format(method=coloring.method)}"
        colours = " + ".join(str(count) for count in coloring.counts if count) or "0"
    return [
        ("shape", f"{m} × {n}"),
        ("entries", str(n_entries)),
        ("density", f"{n_entries / max(1, m * n):.3%}"),
        ("method", method),
        ("colours", colours),
    ]
