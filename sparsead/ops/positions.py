"""Element positions that an index names, computed again at every replay."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sparsead.ops.structural import positions

TRACED = object()  # in the place of a part of an index


class Line(NamedTuple):
    """Positions that are a straight line along each axis, and for the axes of an array of numbers as that says.

    Attributes
    ----------
    first : int
        The position where all is zero.
    before, behind : tuple of (int, int)
        Extents and strides, in elements, of the axes before and behind those of the array.
    step, extent : int
        Elements for each unit of a number; numbers are from ``-extent`` up to `extent`, negative ones count from the end.
    """

    first: int
    before: tuple[tuple[int, int], ...]
    behind: tuple[tuple[int, int], ...]
    step: int
    extent: int


class Positions:
    """Element positions that an index with traced parts names, for the `inactive` op.

    `template` has the other parts of the index as `Fixed`, and None at the places `traced`, which are operands of the op.
    """

    def __init__(self, view, offset, template, traced):
        self.view, self.offset, self.template, self.traced = view, offset, template, traced

    def __call__(self, *arrays):
        filled = list(self.template)
        for place, array in zip(self.traced, arrays, strict=True):
            filled[place] = np.asarray(array)
        index = tuple(part.value if isinstance(part, Fixed) else part for part in filled)
        return positions(self.view, self.offset)[index]

    def line(self):
        """The `Line` of the positions, if one array is traced and the other parts are slices and numbers; else None."""
        parts = self._parts()
        if parts is None or len(self.traced) != 1:
            return None
        item, axes = self.view.dtype.itemsize, iter(zip(self.view.shape, self.view.strides, strict=True))
        first, made, chosen, step, extent = self.offset // item, [], [], 0, 0
        for k, part in enumerate(parts):
            n, stride = (1, 0) if part is None else next(axes)
            if isinstance(part, slice):
                begin, _, by = part.indices(n)
                made.append((len(range(n)[part]), by * stride // item))
                first += begin * stride // item
            elif part is None:
                made.append((1, 0))
            else:
                chosen.append((k, len(made)))
                if part is TRACED:
                    step, extent = stride // item, n
                else:
                    first += (part + n if part < 0 else part) * stride // item
        # NumPy puts the axes of arrays and numbers where they stand, if they stand together, else in front.
        together = chosen[-1][0] - chosen[0][0] == len(chosen) - 1
        at = chosen[0][1] if together else 0
        return Line(first, tuple(made[:at]), tuple(made[at:]), step, extent)

    def _parts(self):
        """The parts of the index, one for each axis of the view and for each new axis; None if arrays are among them."""
        parts = [TRACED if part is None else part.plain() for part in self.template]
        if any(part is NotImplemented for part in parts):
            return None
        missing = [slice(None)] * (len(self.view.shape) - sum(part is not None and part is not Ellipsis for part in parts))
        at = next((k for k, part in enumerate(parts) if part is Ellipsis), len(parts))
        return parts[:at] + missing + parts[at + 1 :]

    def _key(self):
        return self.view, self.offset, self.template, self.traced

    def __eq__(self, other):
        return type(other) is Positions and self._key() == other._key()

    def __hash__(self):
        return hash(self._key())


class Fixed:
    """A part of an index that is known at the trace; hashable by contents."""

    def __init__(self, value):
        self.value = value.copy() if isinstance(value, np.ndarray) else value
        self._bytes = (repr(value),) if not isinstance(value, np.ndarray) else (value.dtype, value.shape, value.tobytes())

    def plain(self):
        """The slice, ellipsis, None or whole number that it is; NotImplemented if it is an array or a flag."""
        if self.value is None or self.value is Ellipsis or isinstance(self.value, slice):
            return self.value
        whole = isinstance(self.value, (int, np.integer)) and not isinstance(self.value, bool)
        return int(self.value) if whole else NotImplemented

    def __eq__(self, other):
        return type(other) is Fixed and self._bytes == other._bytes

    def __hash__(self):
        return hash(self._bytes)
