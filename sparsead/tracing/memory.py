"""Which arrays share memory, and the storage that arrays sharing memory get together."""

from __future__ import annotations

from math import prod

import numpy as np

from sparsead.ops.structural import injective
from sparsead.tape._memory import address, blank, window
from sparsead.tape._tape import is_dense
from sparsead.tape.spec import View

PLAIN = (np.ndarray, np.memmap)  # other subclasses have arithmetic of their own


def bounds(array):
    """First and one past last byte that an array's elements span."""
    at = address(array)
    lo = at + sum(min(0, s * (n - 1)) for n, s in zip(array.shape, array.strides, strict=True))
    hi = at + sum(max(0, s * (n - 1)) for n, s in zip(array.shape, array.strides, strict=True)) + array.itemsize
    return (lo, hi) if array.size else (at, at)


def groups(arrays):
    """Lists of indices of arrays whose memory overlaps, directly or through others; in order of first appearance."""
    if len(arrays) == 1:
        return [[0]]
    spans = sorted((*bounds(a), k) for k, a in enumerate(arrays))
    found, end = [], None
    for lo, hi, k in spans:
        if end is not None and lo < end:
            found[-1].append(k)
            end = max(end, hi)
        else:
            found.append([k])
            end = hi if hi > lo else None
    return sorted((sorted(g) for g in found), key=lambda g: g[0])


class Block:
    """One input of a tape: the memory of one array, or of several that overlap.

    Attributes
    ----------
    members : list of int
        Indices of the arrays.
    whole : bool
        One dense array: the input is the array itself; else it is the flat memory that the members span.
    spread : bool
        The array repeats its memory and cannot be written (``np.broadcast_to``): the input is a copy without repeats.
    """

    def __init__(self, members, arrays, active=False):
        self.members = members
        first = arrays[members[0]]
        self.dtype = first.dtype
        # Derivatives are by elements, as a user would perturb them, not by the memory that they happen to share.
        repeats = not injective(View(first.shape, first.strides, first.dtype))
        self.spread = active and repeats and len(members) == 1 and not first.flags.writeable
        if self.spread:
            self.whole, self.shape = True, first.shape
            self.strides = tuple(first.itemsize * prod(first.shape[axis + 1 :]) for axis in range(first.ndim))
            return
        self.whole = is_dense(first) and all(_same_window(arrays[k], first) for k in members[1:])
        if self.whole:
            self.shape, self.strides = first.shape, first.strides
            return
        lo, hi = self._span(arrays)
        for k in members:
            if arrays[k].dtype != self.dtype or (address(arrays[k]) - lo) % self.dtype.itemsize:
                raise NotImplementedError(
                    f"arrays of dtypes {self.dtype} and {arrays[k].dtype} share memory: views of other dtypes are not supported"
                )
        self.shape, self.strides = ((hi - lo) // self.dtype.itemsize,), (self.dtype.itemsize,)
        self.offsets = [address(arrays[k]) - lo for k in members]
        self.windows = [(arrays[k].shape, arrays[k].strides) for k in members]

    def _span(self, arrays):
        spans = [bounds(arrays[k]) for k in self.members]
        return min(lo for lo, _ in spans), max(hi for _, hi in spans)

    def memory(self, arrays):
        """The input for a run, without a copy if that can be."""
        first = arrays[self.members[0]]
        if self.spread:
            return np.array(first, order="C")
        if self.whole:
            return first
        lo, _ = self._span(arrays)
        return window(first, lo - address(first), self.shape, self.strides, self.dtype)

    def memory_of(self, members):
        """Like `memory`, of the members alone, in their order."""
        return self.memory(dict(zip(self.members, members, strict=True)))

    def private(self, arrays):
        """A copy of the memory, and the members as views of it."""
        base = blank(self.shape, self.strides, self.dtype)
        base[...] = self.memory(arrays)
        return base, [self.member(base, place) for place in range(len(self.members))]

    def member(self, base, place):
        """The window of member number `place` in an array of the block's layout."""
        if self.whole:
            return base
        shape, strides = self.windows[place]
        return window(base, self.offsets[place], shape, strides, self.dtype)

    def seed(self, arrays_by_member):
        """A tangent or adjoint of the block from those of its members (others zero)."""
        base = blank(self.shape, self.strides, self.dtype)
        base[...] = 0
        for place, value in arrays_by_member.items():
            self.member(base, place)[...] = value
        return base


def _same_window(array, other):
    return address(array) == address(other) and same_layout(array, other)


def same_layout(array, other):
    """Whether two arrays have the same shape, strides and dtype."""
    return array.shape == other.shape and array.dtype == other.dtype and array.strides == other.strides
