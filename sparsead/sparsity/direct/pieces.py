"""Terms of a Jacobian cut into pieces, each with one coefficient and a position in the data for each of its elements."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from sparsead.sparsity._places import places_of
from sparsead.tape.spec import View
from sparsead.transform.partials.coefficients import Stored
from sparsead.transform.partials.geometry import memory, seen


class Structure(NamedTuple):
    """The pattern of a result, and where its rows and columns are in memory.

    Parameters
    ----------
    indptr, indices : ndarray
        Compressed rows, or columns.
    by_column : bool
        Which of the two.
    row_of, column_of : ndarray or None
        By position in the memory of the outputs, and of the inputs, one after the other: the number of the row (column), -1 for
        none; None for the identity.
    """

    indptr: np.ndarray
    indices: np.ndarray
    by_column: bool
    row_of: np.ndarray | None
    column_of: np.ndarray | None

    def places(self, rows, columns):
        """Positions in the data, -1 for entries that are not in the structure."""
        rows = rows if self.row_of is None else np.where(rows >= 0, self.row_of[rows], -1)
        columns = columns if self.column_of is None else np.where(columns >= 0, self.column_of[columns], -1)
        major, minor = (columns, rows) if self.by_column else (rows, columns)
        return places_of(self.indptr, self.indices, major, minor)


class Piece(NamedTuple):
    """Elements of an array and their positions in the data.

    Parameters
    ----------
    key : tuple
        Which array it is; pieces of one array may be written together.
    where : ndarray of int64
        Of the array's shape; -1 for nothing.
    coefficient : float or int
        A number, or a value of the tape, of that shape or of shape ().
    """

    key: tuple
    where: np.ndarray
    coefficient: Any

    def kept(self, flags):
        """The piece without what is not flagged."""
        return self._replace(where=np.where(flags, self.where, -1))

    def is_empty(self):
        """Whether nothing is written."""
        return not (self.where >= 0).any()


def pieces_of(terms, vtype, windows, first, structure, coefficients):
    """(pieces with positions that differ, pieces with any positions) of an output's terms; its rows begin at `first`."""
    plain, repeated = [], []
    for term in terms:
        if term.rows is not None:
            where = structure.places(first + term.rows, term.columns)
            repeated.append(Piece((first, "rows"), where, term.coefficient))
            continue
        where = structure.places(first + np.arange(vtype.size), memory(term.columns))
        plain += _cut(term.coefficient, where, vtype, windows, (first,), coefficients)
    return [p for p in plain if not p.is_empty()], [p for p in repeated if not p.is_empty()]


def _cut(c, where, vtype, windows, key, coefficients):
    """Pieces of one coefficient; `where` is a vector over the memory of `vtype`, and used up."""
    if isinstance(c, Stored):
        window = seen(where, c.view, c.offset)
        part = coefficients.e.array_type(vtype.dtype, c.view.shape)
        yield from _cut(c.part, np.array(window, order="C").reshape(-1), part, [], (*key, c.view, c.offset), coefficients)
        window[...] = -1
        yield from _cut(c.base, where, vtype, windows, key, coefficients)
        return
    for view, offset in windows if (where >= 0).any() else ():
        window = seen(where, view, offset)
        if (window >= 0).any():
            yield Piece((*key, view, offset), np.array(window, order="C"), coefficients.loaded(c, vtype, view, offset))
            window[...] = -1
    if (where >= 0).any():
        whole = View(vtype.shape, vtype.strides, vtype.dtype)
        yield Piece(key, np.array(seen(where, whole, 0), order="C"), c)
