"""Rows and columns of a Jacobian, and the elements of tape values that they stand for."""

from __future__ import annotations

from functools import cached_property

import numpy as np


class Axis:
    """Rows or columns of a Jacobian: C-order elements of leaves, and where they are in the memory of tape values.

    Attributes
    ----------
    values : list of int
        Positions among the tape's inputs or outputs.
    sizes : list of int
        Elements of the memory of each.
    where : ndarray or None
        For each row (column) its position in the concatenated memory; None for the identity.
    """

    def __init__(self, values, sizes, where):
        self.values, self.sizes, self.total = values, sizes, sum(sizes)
        identity = len(where) == self.total and np.array_equal(where, np.arange(self.total))
        self.where, self.length = (None if identity else where), len(where)

    @classmethod
    def of_leaves(cls, leaves, tape, values):
        """The axis of differentiated leaves; `values` are the inputs that hold them."""
        sizes = [tape.type(tape.inputs[v]).size for v in values]
        start = dict(zip(values, np.concatenate([[0], np.cumsum(sizes)])[:-1], strict=True))
        where = [start[leaf.input] + leaf.element_positions() for leaf in leaves]
        return cls(values, sizes, np.concatenate(where) if where else np.zeros(0, np.int64))

    @classmethod
    def of_outputs(cls, tape, values):
        """The axis of C-order outputs."""
        sizes = [tape.type(tape.outputs[v]).size for v in values]
        return cls(values, sizes, np.arange(sum(sizes)))

    @cached_property
    def repeats(self):
        """Whether several rows (columns) stand for one element: leaves that share memory."""
        return self.where is not None and np.bincount(self.where).max(initial=0) > 1

    def numbers(self):
        """By position in the concatenated memory the row (column), -1 for none; None for the identity. Not if it `repeats`."""
        if self.where is None:
            return None
        numbers = np.full(self.total, -1, np.int64)
        numbers[self.where] = np.arange(self.length)
        return numbers

    def scatter(self, flat, lanes, numbers, values):
        """Put a value for each of some rows (columns) into lanes of zeros of the concatenated memory; what meets is added."""
        at = lanes, self.places(numbers)
        if self.repeats:
            np.add.at(flat, at, values)
        else:
            flat[at] = values

    def places(self, numbers):
        """Positions of rows (columns) in the concatenated memory."""
        return numbers if self.where is None else self.where[numbers]


__all__ = ["Axis"]
