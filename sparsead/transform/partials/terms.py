"""Terms of a Jacobian: which columns a coefficient belongs to.

Law: the Jacobian of a value is the sum of its terms. A term with `columns` c and coefficient a adds a[i] to the entry of
element i and column c[i]; or, if it has `rows` r, to that of the element that is r[i]-th in memory. Where c[i] is -1 it adds
nothing, and a[i] may be anything.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from sparsead.ops.structural import positions
from sparsead.transform.partials.coefficients import Coefficients, Stored
from sparsead.transform.partials.geometry import copied, in_layout, places, seen

MAX_TERMS = 256  # of one value
# Work that is not for elements: of making an array, of looking whether two are equal, and of looking into a window.
MADE, COMPARED, SEEN = 1000, 100, 200


class GiveUp(Exception):
    """This Jacobian is not a sum of few terms; the message says why."""


class Term(NamedTuple):
    """One term: `columns` lie in memory as the value does; with `rows` both have the shape of the coefficient."""

    columns: np.ndarray
    coefficient: Any
    rows: np.ndarray | None = None


def is_equal(a, b):
    """Whether two arrays of columns are the same; most that are not differ at the first or the last element."""
    if a is b:
        return True
    if a.shape != b.shape:
        return False
    if not a.size:
        return True
    first, last = (0,) * a.ndim, (-1,) * a.ndim
    return bool(a[first] == b[first] and a[last] == b[last]) and np.array_equal(a, b)


class Terms:
    """What is done to lists of terms; `work` counts columns that were moved, up to `most`."""

    def __init__(self, emitter, most):
        self.e, self.c = emitter, Coefficients(emitter)
        self.work, self.most = 0, most
        self.fresh: set[int] = set()  # arrays of columns that nobody else has, by their identity

    def moved(self, array):
        """An array of columns that had to be made."""
        self.work += array.size + MADE
        if self.work > self.most:
            raise GiveUp("too many partial derivatives")
        return array

    # ---- elementwise -----------------------------------------------------------------------------------------------------

    def joined(self, terms, vtype):
        """Terms with the same columns as one."""
        found: list[Term] = []
        for term in terms:
            self.work += COMPARED * len(found)
            for k, other in enumerate(found):
                if term.rows is other.rows is None and is_equal(term.columns, other.columns):
                    found[k] = other._replace(coefficient=self.c.plus(other.coefficient, term.coefficient, vtype))
                    break
            else:
                found.append(term)
        if len(found) > MAX_TERMS:
            raise GiveUp(f"more than {MAX_TERMS} terms")
        return found

    def times(self, terms, partial, given, vtype, strong=None):
        """Terms of an operand of type `given` times a partial, as terms of the result."""
        return [self._times(term, partial, given, vtype, strong) for term in terms]

    def _times(self, term, partial, given, vtype, strong):
        if term.rows is not None:
            return self._times_by_row(term, partial, given, vtype)
        c = term.coefficient
        if isinstance(c, Stored) and not isinstance(partial, float):
            c = self.c.value(c, given)
        return self.respread(term._replace(coefficient=self.c.times(c, partial, vtype, strong)), given, vtype)

    def respread(self, term, given, vtype):
        """A term of an array of type `given` broadcast to `vtype`."""
        c = term.coefficient
        if isinstance(c, Stored) and (given.shape, given.strides) != (vtype.shape, vtype.strides):
            c = self.c.value(c, given)
        columns = term.columns
        if columns.shape != vtype.shape:
            columns = self.moved(np.array(np.broadcast_to(columns, vtype.shape)))
        return Term(in_layout(columns, vtype), self.c.fitted(c, vtype))

    def _times_by_row(self, term, partial, given, vtype):
        rows = self.rows_in(term.rows, given, vtype)
        if isinstance(partial, float) or self.e.type(partial).shape == ():
            factor = partial
        else:
            at = self.e.tape.const(rows)
            factor = self.c.gathered(self.c.value(partial, vtype), vtype, at, rows.shape)
        space = self.e.array_type(vtype.dtype, rows.shape)
        return Term(term.columns, self.c.times(term.coefficient, factor, space), rows)

    def rows_in(self, rows, given, vtype):
        """Positions in memory of type `given` as those in memory of type `vtype`."""
        if given.shape != vtype.shape:
            raise GiveUp("a sum or a scattered array that is broadcast")
        old, new = places(given), places(vtype)
        return rows if np.array_equal(old, new) else self.moved(remapped(old, new, given.size)[rows])

    def with_rows(self, term, given, rows):
        """A term of a value of type `given` as one with rows: for each element of the value, or of its memory."""
        if term.rows is not None:
            table = np.empty(max(given.size, 1), np.int64)
            table[places(given)] = rows
            return term._replace(rows=self.moved(table[term.rows]))
        space = self.e.array_type(given.dtype, given.shape)
        c = term.coefficient
        c = c if self.c.is_uniform(c) else self.c.value(self.c.value(c, given), space)
        return Term(self.moved(np.array(term.columns, order="C")), c, np.ascontiguousarray(rows))

    # ---- memory ----------------------------------------------------------------------------------------------------------

    def loaded(self, terms, vtype, view, offset, result):
        """Terms seen through a window; `result` is the type of what is loaded."""
        found = []
        for term in terms:
            if term.rows is not None:
                found += self._rows_loaded(term, vtype, view, offset, result)
                continue
            columns = seen(term.columns, view, offset)
            if (columns >= 0).any():
                coefficient = self.c.loaded(term.coefficient, vtype, view, offset)
                found.append(Term(self.moved(in_layout(np.array(columns), result)), coefficient))
        return found

    def _rows_loaded(self, term, vtype, view, offset, result):
        at = positions(view, offset)
        if np.unique(at).size < at.size:
            raise GiveUp("a sum or a scattered array that is broadcast")
        rows = remapped(at, places(result), vtype.size)[term.rows]
        return self._kept(term, rows)

    def _kept(self, term, rows):
        """The term without what has no row any more."""
        columns = np.where(rows >= 0, term.columns, -1).astype(term.columns.dtype)
        self.moved(columns)
        return [Term(columns, term.coefficient, np.maximum(rows, 0))] if (columns >= 0).any() else []

    def cleared(self, terms, vtype, window):
        """Terms without those of the elements in a `Window`, or among `Elements`."""
        found, self.fresh = [], set()
        self.work += SEEN * len(terms)
        for term in terms:
            if term.rows is not None:
                gone = np.zeros(vtype.size, bool)
                gone[window.positions] = True  # a position of -1 is written by another element
                gone[-1] = (window.positions == vtype.size - 1).any()
                found += self._kept(term, np.where(gone[term.rows], -1, term.rows))
            elif (window.of(term.columns) >= 0).any():
                columns = self._own(term.columns)
                window.put(columns, -1)
                found.append(term._replace(columns=columns))
            else:
                found.append(term)
        return found

    def placed(self, terms, before, vtype, window, new, store):
        """Terms with `new` ones put into a `Window`, or onto `Elements`.

        Terms are joined where that keeps a coefficient uniform, or the columns were there `before`; of terms with
        coefficients of their own, one takes in another if it has nothing where that comes to.

        Parameters
        ----------
        store : callable
            ``store(base, part)``: the coefficient that is `part` there, else `base`.
        """
        terms, taken = list(terms), set()
        for term in new:
            if term.rows is not None:
                terms.append(term)
                continue
            k = self._home(terms, before, term, window, taken)
            if k is None:
                terms.append(Term(self._nothing(term.columns.dtype, vtype), None))
                k = len(terms) - 1
            taken.add(k)
            terms[k] = self._put(terms[k], window, term, store)
        if len(terms) > MAX_TERMS:
            raise GiveUp(f"more than {MAX_TERMS} terms")
        return [t for t in terms if t.rows is not None or (t.columns >= 0).any()]

    def _home(self, terms, before, term, window, taken):
        """The number of the term that takes in a new one, or None."""
        c = self.c
        self.work += 2 * SEEN * len(terms)
        free = [
            k for k, t in enumerate(terms)
            if t.rows is None and k not in taken and not (window.of(t.columns) >= 0).any()
        ]  # fmt: skip
        for k in free:
            if k < len(before) and is_equal(window.of(before[k].columns), term.columns):
                return k
        for k in free:
            if c.are_equal(terms[k].coefficient, term.coefficient):
                return k
        for k in free:
            if not c.is_uniform(term.coefficient) and not c.is_uniform(terms[k].coefficient):
                return k
        for k in free:
            if (terms[k].columns < 0).all():
                return k
        return None

    def _own(self, columns):
        """A copy that may be written to, or the array itself if it is one."""
        if id(columns) not in self.fresh:
            columns = self._noted(copied(columns))
        return columns

    def _nothing(self, dtype, vtype):
        return self._noted(in_layout(np.full(vtype.shape, -1, dtype), vtype))

    def _noted(self, columns):
        self.fresh.add(id(columns))
        return self.moved(columns)

    def _put(self, base, window, term, store):
        columns = self._own(base.columns)
        empty = not (columns >= 0).any()
        window.put(columns, term.columns)
        c, part = base.coefficient, term.coefficient
        if self.c.is_uniform(part) and (empty or c is None or self.c.are_equal(c, part)):
            return Term(columns, part)
        return Term(columns, store(None if empty else c, part))


def remapped(old, new, size):
    """For each of `size` positions its place in `new` if it is in `old`, at the same index; else -1."""
    table = np.full(size, -1, np.int64)
    table[old] = new
    return table
