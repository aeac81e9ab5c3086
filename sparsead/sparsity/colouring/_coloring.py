"""The result of a colouring."""

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from . import _greedy
from ._incidence import as_int32

PARTITIONS = ("column", "row")


@dataclass(frozen=True, eq=False, repr=False)
class Coloring:
    """A partition of the columns or of the rows of a pattern into groups that can share a sweep.

    Two colourings are equal when they give the same colours to the same side of a pattern.

    Parameters
    ----------
    partition : {"column", "row"}
        What is coloured: columns (tangent sweeps) or rows (adjoint sweeps).
    colors : array_like of int, shape (n,) for columns, (m,) for rows
        Colour of each column or row, from 0. Kept as a read-only int32 copy.
    lower_bound : int, optional
        No colouring has fewer colours than this: the largest number of entries in a row (for columns) or column.
    order : str, optional
        Name of the order in which the colours were chosen.

    Attributes
    ----------
    count : int
        Number of colours, hence of sweeps.

    Raises
    ------
    TypeError, ValueError
        If `partition` is unknown, or `colors` is not a one-dimensional array of integers from 0.

    Examples
    --------
    >>> from sparsead.sparsity.colouring import Coloring
    >>> coloring = Coloring("column", [0, 1, 0], lower_bound=2, order="natural")
    >>> coloring
    Coloring(column, 2 colours, lower bound 2, natural)
    >>> coloring.groups()
    [array([0, 2], dtype=int32), array([1], dtype=int32)]
    """

    partition: str
    colors: np.ndarray
    lower_bound: int = 0
    order: str = "given"
    count: int = field(init=False)

    def __post_init__(self):
        if self.partition not in PARTITIONS:
            raise ValueError(f"Coloring: partition is {self.partition!r}, must be one of {PARTITIONS}")
        colors = as_int32("Coloring", "colors", self.colors).copy()
        if colors.min(initial=0) < 0:
            raise ValueError(f"Coloring: colors has a negative entry at {int(np.argmin(colors))}; colours count from 0")
        colors.setflags(write=False)
        object.__setattr__(self, "colors", colors)
        object.__setattr__(self, "count", int(colors.max(initial=-1)) + 1)

    def __repr__(self):
        plural = "" if self.count == 1 else "s"
        return f"Coloring({self.partition}, {self.count} colour{plural}, lower bound {self.lower_bound}, {self.order})"

    def __eq__(self, other):
        if not isinstance(other, Coloring):
            return NotImplemented
        return self.partition == other.partition and np.array_equal(self.colors, other.colors)

    def __hash__(self):
        return hash((self.partition, self.colors.tobytes()))

    def groups(self):
        """Members of each colour.

        Returns
        -------
        list of ndarray of int32, length `count`
            Column (or row) indices of colour 0, 1, ..., each increasing.
        """
        one_each = np.arange(self.colors.size + 1, dtype=np.int32)
        start, members = _greedy.transpose((one_each, self.colors), self.count)
        return [members[begin:end] for begin, end in pairwise(start)]

    def save(self, path):
        """Write to an ``.npz`` file without pickled objects; `path` is used as it is.

        Parameters
        ----------
        path : str or os.PathLike
        """
        with open(path, "wb") as file:
            np.savez(file, partition=self.partition, colors=self.colors, lower_bound=self.lower_bound, order=self.order)

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
                return cls(str(data["partition"]), data["colors"], int(data["lower_bound"]), str(data["order"]))
        except (KeyError, TypeError, ValueError, EOFError, BadZipFile) as error:
            raise ValueError(f"Coloring.load: {path} does not hold a colouring written by Coloring.save") from error
