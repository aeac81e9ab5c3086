"""Patterns as text: eight dots to a character, by Unicode's braille."""

import numpy as np

from ._blocks import block_counts, fitting_block

# By row and column the bit of a dot in U+2800 to U+28FF (Unicode standard, section 21.1, "Braille Patterns").
DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])


def pattern_text(indptr, indices, shape, *, lines=20, characters=64):
    """A pattern as dots in brackets.

    Parameters
    ----------
    indptr : array_like of int, shape (m + 1,)
    indices : array_like of int, shape (nnz,)
        The pattern in CSR: column indices, strictly increasing in every row.
    shape : tuple of int
        ``(m, n)``.
    lines, characters : int, optional
        At most so many, brackets not counted.

    Returns
    -------
    str
        Each dot is an entry; in patterns that are too large for this, a block of rows and columns that holds entries. Blocks
        are squares but for very long patterns. A pattern without rows or without columns gives ``"[]"``.

    Raises
    ------
    TypeError, ValueError
        If the arguments do not describe a pattern, or there is no room at all.

    Examples
    --------
    >>> import scipy.sparse as sp
    >>> from sparsead.sparsity.drawing import pattern_text
    >>> A = sp.diags_array([1.0, 1.0, 1.0], offsets=[-1, 0, 6], shape=(12, 12), format="csr")
    >>> print(pattern_text(A.indptr, A.indices, A.shape))
    ⎡⠳⣄⠀⠑⢄⠀⎤
    ⎢⠀⠈⠳⣄⠀⠑⎥
    ⎣⠀⠀⠀⠈⠳⣄⎦
    """
    if min(lines, characters) < 1:
        raise ValueError(f"pattern_text: {lines} lines of {characters} characters: there must be one at least")
    height, width = DOTS.shape
    block = fitting_block(shape, (height * lines, width * characters))
    return "\n".join(_in_brackets(_braille(block_counts(indptr, indices, shape, block) > 0)))


def _braille(dots):
    """Lines of characters for a Boolean array."""
    height, width = DOTS.shape
    padded = np.pad(dots, ((0, -dots.shape[0] % height), (0, -dots.shape[1] % width)))
    cells = padded.reshape(padded.shape[0] // height, height, padded.shape[1] // width, width)
    codes = 0x2800 + np.einsum("ahbw,hw->ab", cells, DOTS)
    return ["".join(map(chr, line)) for line in codes if line.size]


def _in_brackets(lines):
    if len(lines) < 2:
        return [f"[{''.join(lines)}]"]
    between = len(lines) - 2
    left, right = "⎡" + "⎢" * between + "⎣", "⎤" + "⎥" * between + "⎦"
    return [first + line + last for first, line, last in zip(left, lines, right, strict=True)]
