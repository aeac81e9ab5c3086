"""What Jacobians and Hessians show of themselves once they are prepared: a line, a text, a table with a picture, and figures.

All take an object with a `pattern` (a ``csr_array``), a `method` and a `coloring`.
"""

from ._figures import plot_coloring, plot_compressed, plot_pattern
from ._markup import pattern_svg, table_html
from ._text import pattern_text
from ._words import counted, size_text

BY = {"column": "by columns", "row": "by rows", "bidirectional": "by columns and rows"}  # a symmetric one is named by its method
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
    rows = _rows(derivative)
    if kind == "pattern":
        return plot_pattern(*rows, ax=ax)
    draw = plot_coloring if kind == "coloring" else plot_compressed
    return draw(*rows, *sides_of(derivative.coloring), ax=ax)


def sides_of(coloring):
    """Colours of columns and of rows; None for the side that has none."""
    return coloring.column_colors, coloring.row_colors


def _rows(derivative):
    pattern = derivative.pattern
    return pattern.indptr, pattern.indices, pattern.shape


def _way(derivative):
    """How entries are computed, in words."""
    if derivative.method == "direct":
        return "entry by entry"
    return f"{counted(derivative.coloring.count, 'colour')} {_by(derivative.coloring)}"


def _by(coloring):
    return BY.get(coloring.partition) or coloring.method


def _table(derivative):
    """Rows of a name and a text."""
    (m, n), n_entries, direct = derivative.pattern.shape, derivative.pattern.nnz, derivative.method == "direct"
    return [
        ("shape", f"{m} × {n}"),
        ("entries", str(n_entries)),
        ("density", f"{n_entries / max(1, m * n):.3%}"),
        ("method", "entry by entry" if direct else f"sweeps for colours {_by(derivative.coloring)}"),
        ("colours", "not needed" if direct else str(derivative.coloring.count)),
    ]
