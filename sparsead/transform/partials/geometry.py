"""Integer arrays in the layout of values: positions and column numbers, which windows move as they move the values."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from sparsead.ops.structural import positions
from sparsead.tape._memory import blank, laid_out, window
from sparsead.tape.spec import View


def in_layout(array, vtype):
    """An integer array in the memory layout of `vtype`."""
    return laid_out(array, vtype.shape, _scaled(vtype.strides, vtype.dtype, array), array.dtype)


def copied(array):
    """A copy in the same layout."""
    copy = blank(array.shape, array.strides, array.dtype)
    memory(copy)[:] = memory(array)
    return copy


def seen(array, view, offset):
    """A window, given in bytes of another dtype, on an array made by `in_layout`; not a copy."""
    item = view.dtype.itemsize
    return window(array, offset // item * array.itemsize, view.shape, _scaled(view.strides, view.dtype, array), array.dtype)


class Window:
    """Elements of arrays in one layout that a view shows; `shape` is its shape."""

    def __init__(self, view, offset):
        self.view, self.offset, self.shape = view, offset, view.shape

    def of(self, array):
        """Those elements; not a copy."""
        return seen(array, self.view, self.offset)

    def put(self, array, elements):
        """Overwrite them."""
        seen(array, self.view, self.offset)[...] = elements

    @cached_property
    def positions(self):
        """Where they are in memory."""
        return positions(self.view, self.offset)


class Elements:
    """The same for elements at given positions in memory; where the last of several stays, negative ones stand for the others."""

    def __init__(self, at, size):
        writer = np.empty(size, np.int64)
        writer[at.ravel()] = np.arange(at.size)
        self.at, self.shape = at, at.shape
        self.positions = np.where(writer[at] == np.arange(at.size).reshape(at.shape), at, -1)

    def of(self, array):
        """Those elements; a copy."""
        return memory(array)[self.at]

    def put(self, array, elements):
        """Overwrite them, one after the other."""
        memory(array)[self.at] = elements


def memory(array):
    """The memory of an array made by `in_layout`, as a vector; not a copy."""
    return window(array, 0, (array.size,), (array.itemsize,), array.dtype)


def _scaled(strides, dtype, array):
    return tuple(s // dtype.itemsize * array.itemsize for s in strides)


def places(vtype):
    """The position in memory of each element of a value."""
    return positions(View(vtype.shape, vtype.strides, vtype.dtype), 0)


def affine(array):
    """(start, strides) if an integer array is a linear function of its indices; strides are None if it is not."""
    if not array.size:
        return 0, (0,) * array.ndim
    start = int(array.flat[0])
    strides, expected = [], np.int64(start)
    for axis, n in enumerate(array.shape):
        step = int(array[tuple(int(k == axis) for k in range(array.ndim))]) - start if n > 1 else 0
        strides.append(step)
        expected = expected + (step * np.arange(n)).reshape((n,) + (1,) * (array.ndim - axis - 1))
    return start, (tuple(strides) if np.array_equal(array, expected) else None)
