"""Patterns as SVG and HTML, for notebooks: nothing but text, in the reader's own colour."""

from html import escape

import numpy as np

from ._blocks import block_counts, fitting_block

CELLS = 96  # in each direction at most: a dense pattern takes a few kB, the worst one 100
SIZE = 280  # pixels of the longer side
LEVELS = 4  # shades of a cell


def pattern_svg(indptr, indices, shape, *, size=SIZE):
    """A pattern as an SVG element.

    Parameters
    ----------
    indptr : array_like of int, shape (m + 1,)
    indices : array_like of int, shape (nnz,)
        The pattern in CSR: column indices, strictly increasing in every row.
    shape : tuple of int
        ``(m, n)``.
    size : int, optional
        Pixels of the longer side.

    Returns
    -------
    str
        ``<svg ...>...</svg>``, to be put into HTML, or into a file as it is. Of patterns with more than 96 rows or columns,
        blocks are drawn in the shade of how many entries they hold, on a logarithmic scale.

    Raises
    ------
    TypeError, ValueError
        If the arguments do not describe a pattern.

    Examples
    --------
    >>> from sparsead.sparsity.drawing import pattern_svg
    >>> pattern_svg([0, 2, 3], [0, 1, 1], (2, 2)).count("<path")
    1
    """
    counts = block_counts(indptr, indices, shape, fitting_block(shape, (CELLS, CELLS)))
    height, width = (max(1, cells) for cells in counts.shape)
    scale = size / max(height, width)
    levels = np.ceil(LEVELS * np.log1p(counts) / np.log1p(counts.max(initial=1))).astype(int)
    paths = (
        f'<path fill-opacity="{level / LEVELS:g}" d="{_outline(levels == level)}"/>'
        for level in range(1, LEVELS + 1) if (levels == level).any()
    )  # fmt: skip
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{scale * width:.0f}" height="{scale * height:.0f}" '
        f'viewBox="0 0 {width} {height}" preserveAspectRatio="none" fill="currentColor" shape-rendering="crispEdges" '
        f'style="outline: 1px solid; outline-offset: 1px">{"".join(paths)}</svg>'
    )


def _outline(cells):
    """The path around the true cells; neighbours in a row are one rectangle."""
    steps = np.diff(np.pad(cells, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    begins, ends = np.argwhere(steps > 0).tolist(), np.argwhere(steps < 0).tolist()
    return "".join(f"M{begin} {row}H{end}v1H{begin}z" for (row, begin), (_, end) in zip(begins, ends, strict=True))


def table_html(title, rows, picture):
    """A title, a picture, and beside it rows of a name and a text each."""
    lines = "".join(f'<tr><th style="text-align: left">{escape(name)}</th><td style="text-align: left">{escape(text)}</td></tr>'
                    for name, text in rows)  # fmt: skip
    return (
        f'<div><code>{escape(title)}</code><div style="display: flex; gap: 1.5em; align-items: center; margin: 0.5em 2px">'
        f"{picture}<table>{lines}</table></div></div>"
    )
