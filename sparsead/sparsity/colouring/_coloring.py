"""The result of a colouring."""

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from . import _greedy
from ._incidence import Pattern, as_int32, kept_pattern, symmetric_graph
from ._recovery import recovery_of

#: Partition -> methods, the first of which is the default.
METHODS = {
    "column": ("direct",),
    "row": ("direct",),
    "symmetric": ("star", "acyclic"),
    "bidirectional": ("star", "acyclic", "strip"),
}
PARTITIONS = tuple(METHODS)


@dataclass(frozen=True, eq=False, repr=False)
class Coloring:
    """Groups of columns, of rows, or of both, that can share a sweep; and how the entries follow from the sweeps.

    Sweeps give sums of columns, ``B[row, color]``, and sums of rows, ``C[color, column]``. A vertex (a column or a row) of colour
    -1 is neutral: no entry is read from a sum that it would be in, and it needs no sweep.

    Two colourings are equal when they have the same partition, method and colours.

    Parameters
    ----------
    partition : {"column", "row", "symmetric", "bidirectional"}
        What is coloured: columns (tangent sweeps); rows (adjoint sweeps); columns of a symmetric matrix, each entry of which is
        found once; or columns and rows, each entry being read from one side.
    colors : array_like of int, shape (n,) for columns, (m,) for rows; for "bidirectional" a pair of them
        Colours, from 0; the pair is ``(column_colors, row_colors)``. Kept as read-only int32 copies. "symmetric" and
        "bidirectional" allow -1.
    lower_bound : int, optional
        No colouring of this kind has fewer colours than this.
    order : str, optional
        Name of the order in which the colours were chosen.
    method : str, optional
        "direct" for columns and rows. For the others "star" (each entry is itself one of the sums) or "acyclic" (entries follow
        by substitution); "strip" is another way to the colours of "bidirectional", and like "star" to read.
    pattern : tuple, optional
        ``(indptr, indices, shape)`` of the pattern in CSR, which `recovery` wants. Kept as read-only int32 arrays.

    Attributes
    ----------
    count : int
        Number of colours, hence of sweeps.
    counts : tuple of int
        Colours of columns, colours of rows.
    column_colors, row_colors : ndarray of int32 or None
        None for the side that is not coloured.

    Raises
    ------
    TypeError, ValueError
        If `partition` or `method` is unknown, `colors` is not what the partition takes, or `pattern` is none or does not fit.

    Examples
    --------
    >>> from sparsead.sparsity.colouring import Coloring
    >>> coloring = Coloring("column", [0, 1, 0], lower_bound=2, order="natural")
    >>> coloring
    Coloring(column, 2 colours, lower bound 2, natural)
    >>> coloring.groups()
    [array([0, 2], dtype=int32), array([1], dtype=int32)]
    >>> Coloring("bidirectional", ([0, 1, 1], [0, -1, -1]), lower_bound=3)
    Coloring(bidirectional star, 2 column + 1 row colours, lower bound 3, given)
    """

    partition: str
    colors: np.ndarray | tuple[np.ndarray, np.ndarray]
    lower_bound: int = 0
    order: str = "given"
    method: str = ""
    pattern: tuple | None = None
    column_colors: np.ndarray | None = field(init=False)
    row_colors: np.ndarray | None = field(init=False)
    counts: tuple[int, int] = field(init=False)

    def __post_init__(self):
        if self.partition not in PARTITIONS:
            raise ValueError(f"Coloring: partition is {self.partition!r}, must be one of {PARTITIONS}")
        method = self.method or METHODS[self.partition][0]
        if method not in METHODS[self.partition]:
            raise ValueError(f"Coloring: method of {self.partition!r} is {method!r}, must be one of {METHODS[self.partition]}")
        both = self.partition == "bidirectional"
        if both and not (isinstance(self.colors, (tuple, list)) and len(self.colors) == 2):
            raise ValueError("Coloring: colors of 'bidirectional' must be a pair (column_colors, row_colors)")
        lowest = -1 if self.partition in ("symmetric", "bidirectional") else 0
        colors = tuple(_checked_colors(part, lowest) for part in (self.colors if both else (self.colors,)))
        columns = None if self.partition == "row" else colors[0]
        rows = colors[-1] if self.partition in ("row", "bidirectional") else None
        known = {
            "method": method,
            "colors": colors if both else colors[0],
            "column_colors": columns,
            "row_colors": rows,
            "counts": tuple(0 if side is None else int(side.max(initial=-1)) + 1 for side in (columns, rows)),
            "pattern": None if self.pattern is None else self._checked(self.pattern, columns, rows),
        }
        for name, value in known.items():
            object.__setattr__(self, name, value)

    def _checked(self, pattern, columns, rows):
        known = isinstance(pattern, Pattern)
        if not known:
            pattern = kept_pattern("Coloring", *pattern)
        for size, side, name in ((pattern.shape[1], columns, "column"), (pattern.shape[0], rows, "row")):
            if side is not None and side.size != size:
                raise ValueError(f"Coloring: {side.size} {name} colours for a pattern of shape {pattern.shape}")
        if self.partition == "symmetric" and not known:
            symmetric_graph("Coloring", pattern)
        return pattern

    @property
    def count(self):
        """Number of colours, hence of sweeps."""
        return sum(self.counts)

    def __repr__(self):
        columns, rows = self.counts
        kind = self.partition if self.method == "direct" else f"{self.partition} {self.method}"
        number = f"{columns} column + {rows}" if self.partition == "bidirectional" else f"{self.count}"
        colors = "row colour" if self.partition == "bidirectional" else "colour"
        plural = "" if self.count == 1 else "s"
        return f"Coloring({kind}, {number} {colors}{plural}, lower bound {self.lower_bound}, {self.order})"

    def _sides(self):
        return self.colors if self.partition == "bidirectional" else (self.colors,)

    def __eq__(self, other):
        if not isinstance(other, Coloring):
            return NotImplemented
        if (self.partition, self.method) != (other.partition, other.method):
            return False
        return all(map(np.array_equal, self._sides(), other._sides()))

    def __hash__(self):
        return hash((self.partition, self.method, *(side.tobytes() for side in self._sides())))

    def groups(self):
        """Members of each colour.

        Returns
        -------
        list of ndarray of int32, length `count`; for "bidirectional" a pair of lists, of lengths `counts`
            Column (or row) indices of colour 0, 1, ..., each increasing. Neutral ones are in none.
        """
        groups = tuple(_groups(side) for side in self._sides())
        return groups if self.partition == "bidirectional" else groups[0]

    def recovery(self, triangle=None):
        """Which sums to read, and how the entries of the pattern follow from them.

        Parameters
        ----------
        triangle : {None, "lower", "upper"}, optional
            For "symmetric": only the entries of this triangle, with the diagonal.

        Returns
        -------
        Recovery

        Raises
        ------
        ValueError
            Without a pattern; if `triangle` is unknown or the partition is not symmetric; or if some entry cannot be found from
            sums for these colours, which is named.

        Examples
        --------
        >>> from sparsead.sparsity.colouring import color_columns
        >>> recovery = color_columns([0, 2, 3], [0, 1, 2], (2, 3)).recovery()
        >>> recovery.color, recovery.element
        (array([0, 1, 0], dtype=int32), array([0, 0, 1], dtype=int32))
        """
        return recovery_of(self, triangle)

    def plot(self, kind="coloring", *, ax=None):
        """Draw the pattern with each entry in the colour that it is read from, by matplotlib.

        Parameters
        ----------
        kind : {"coloring", "compressed"}
            The pattern; or also, beside it, the sums that sweeps give.
        ax : matplotlib.axes.Axes, optional
            Where to draw; else in a figure of its own.

        Returns
        -------
        matplotlib.axes.Axes
            Of the pattern; see `sparsead.sparsity.drawing.plot_compressed` for the others.

        Raises
        ------
        ImportError
            Without matplotlib.
        ValueError
            Without a pattern; or if `kind` is unknown.

        Examples
        --------
        >>> from sparsead.sparsity.colouring import color_columns
        >>> color_columns([0, 2, 3], [0, 1, 2], (2, 3)).plot().get_title().splitlines()
        ['2 × 3, 3 entries', '2 colours of columns']
        """
        from sparsead.sparsity.drawing import _shown  # which takes from here what a pattern is

        if kind not in _shown.KINDS[1:]:
            raise ValueError(f"Coloring.plot: kind={kind!r} is unknown; choose one of {', '.join(map(repr, _shown.KINDS[1:]))}")
        if self.pattern is None:
            raise ValueError("Coloring.plot: this colouring was made without a pattern; give Coloring(..., pattern=...)")
        return _shown.plot_colors(self, kind, self.pattern, ax)

    def save(self, path):
        """Write to an ``.npz`` file without pickled objects; `path` is used as it is.

        Parameters
        ----------
        path : str or os.PathLike
        """
        arrays = dict(zip(("colors", "row_colors"), self._sides(), strict=False))
        if self.pattern is not None:
            arrays.update(zip(("indptr", "indices", "shape"), self.pattern, strict=True))
        with open(path, "wb") as file:
            np.savez(file, partition=self.partition, method=self.method, lower_bound=self.lower_bound, order=self.order, **arrays)

    @classmethod
    def load(cls, path):
        """Read what `save` wrote.

        Parameters
        ----------
        path : str or os.PathLike

        Returns
        -------
        Coloring

        Raises
        ------
        ValueError
            If the file holds anything else.
        """
        from zipfile import BadZipFile

        try:
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as data:
                partition = str(data["partition"])
                colors = (data["colors"], data["row_colors"]) if partition == "bidirectional" else data["colors"]
                pattern = (data["indptr"], data["indices"], data["shape"]) if "indptr" in data else None
                return cls(partition, colors, int(data["lower_bound"]), str(data["order"]), str(data["method"]), pattern)
        except (KeyError, TypeError, ValueError, EOFError, BadZipFile) as error:
            raise ValueError(f"Coloring.load: {path} does not hold a colouring written by Coloring.save") from error


def _checked_colors(colors, lowest):
    colors = as_int32("Coloring", "colors", colors).copy()
    colors.setflags(write=False)
    if colors.min(initial=0) < lowest:
        raise ValueError(f"Coloring: colors has a negative entry at {int(np.argmin(colors))}; colours count from {lowest}")
    return colors


def _groups(colors):
    """Indices of each colour, by a counting sort: those of colour c are the items of list c."""
    chosen = np.flatnonzero(colors >= 0).astype(np.int32)
    one_each = np.arange(chosen.size + 1, dtype=np.int32)
    start, members = _greedy.transpose((one_each, colors[chosen]), int(colors.max(initial=-1)) + 1)
    return [chosen[members[begin:end]] for begin, end in pairwise(start)]
