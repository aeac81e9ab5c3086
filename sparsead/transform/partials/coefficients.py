"""Coefficients of a Jacobian: numbers, values of the new tape, and arrays that were overwritten in part.

Law: a coefficient belongs to the elements of an array. A float, or a value of shape (), is the same for all of them; another
value has the shape of the array; a `Stored` is `part` within a window on the memory of the array, and `base` elsewhere.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from sparsead.ops.structural import positions
from sparsead.tape.laws import span
from sparsead.tape.spec import View
from sparsead.transform.partials.geometry import affine


class Stored(NamedTuple):
    """What is `part` where the window is and `base` elsewhere; a base of None is needed by nobody."""

    base: Any
    view: View
    offset: int
    part: Any


class Coefficients:
    """Arithmetic of coefficients; what has to be computed is appended to the tape of an emitter."""

    def __init__(self, emitter):
        self.e = emitter
        self.made: dict = {}  # materialised: by the identity of a `Stored`, which is kept alive here

    def is_uniform(self, c):
        """Whether it is the same for all elements."""
        return isinstance(c, float) or (isinstance(c, int) and self.e.type(c).shape == ())

    def are_equal(self, a, b):
        """Whether two coefficients are uniform and the same."""
        return type(a) is type(b) and a == b and self.is_uniform(a)

    def value(self, c, vtype):
        """A value of type `vtype`."""
        if isinstance(c, Stored):
            return self._materialised(c, vtype)
        if isinstance(c, float):
            c = self._number(c, vtype)
        c = self.e.broadcast(self.e.cast(c, vtype.dtype), vtype.shape)
        return c if self.e.type(c) is vtype else self.e.op("copy", (c,), vtype)

    def _number(self, c, vtype):
        return self.e.tape.const(vtype.dtype.type(c))

    def _materialised(self, c, vtype):
        key = id(c), vtype.id
        if key not in self.made:
            base = self.e.zeros(vtype) if c.base is None else self.value(c.base, vtype)
            window = self.e.array_type(vtype.dtype, c.view.shape)
            part = self.value(c.part, window)
            self.made[key] = self.e.op("store", (base, part), vtype, c.view, c.offset), c
        return self.made[key][0]

    # ---- arithmetic ------------------------------------------------------------------------------------------------------

    def times(self, c, partial, vtype, strong=None):
        """``c * partial`` over an array of type `vtype`; `partial` is a float, or it is a value and `c` no `Stored`.

        `strong` is the position of the operand of a product in which zeros win (see `Elementwise.strong`).
        """
        if isinstance(partial, float):
            return self._scaled(c, partial)
        partial = self.e.cast(partial, vtype.dtype)
        if isinstance(c, float):
            scaled = partial if c == 1 else self.e.ew("negative", partial) if c == -1 else self.e.ew("multiply", c, partial)
            return self.fitted(scaled, vtype)
        if strong is None:
            return self.fitted(self.e.ew("multiply", c, partial), vtype)
        return self.fitted(self.e.ew("strong_multiply", *((c, partial) if strong == 0 else (partial, c))), vtype)

    def _scaled(self, c, number):
        if number == 1 or c is None:
            return c
        if isinstance(c, float):
            return c * number
        if isinstance(c, Stored):
            return c._replace(base=self._scaled(c.base, number), part=self._scaled(c.part, number))
        return self.e.ew("negative", c) if number == -1 else self.e.ew("multiply", c, number)

    def plus(self, a, b, vtype):
        """``a + b`` over an array of type `vtype`."""
        if isinstance(a, float) and isinstance(b, float):
            return a + b
        a, b = (self.value(c, vtype) if isinstance(c, Stored) else c for c in (a, b))
        return self.fitted(self.e.ew("add", a, b), vtype)

    def choose(self, condition, a, b, vtype):
        """``select(condition, a, b)``."""
        a, b = (self.value(c, vtype) if isinstance(c, Stored) else c for c in (a, b))
        if isinstance(a, float) and isinstance(b, float):
            a = self._number(a, vtype)
        return self.fitted(self.e.ew("select", condition, a, b), vtype)

    def fitted(self, c, vtype):
        """In the dtype of `vtype`, and uniform or of its shape."""
        if isinstance(c, (float, Stored)):
            return c
        c = self.e.cast(c, vtype.dtype)
        return c if self.e.type(c).shape == () else self.e.broadcast(c, vtype.shape)

    def cast(self, c, vtype, dtype):
        """In another dtype."""
        if isinstance(c, float):
            return c
        return self.e.cast(self.value(c, vtype) if isinstance(c, Stored) else c, dtype)

    # ---- windows ---------------------------------------------------------------------------------------------------------

    def loaded(self, c, vtype, view, offset):
        """Through a window on the memory of an array of type `vtype`."""
        if c is None or self.is_uniform(c):
            return c
        if isinstance(c, Stored):
            found = self._through(c, vtype, view, offset)
            if found is not c:
                return found
        return self.e.load(self.value(c, vtype), view, offset)

    def _through(self, c, vtype, view, offset):
        """What a window sees of a `Stored` if that is all of one side; else `c` itself."""
        made = self.e.array_type(vtype.dtype, c.view.shape)
        if (view, offset) == (c.view, c.offset):
            return c.part if self.is_uniform(c.part) else self.value(c.part, made)
        if _are_apart(span(view, offset), span(c.view, c.offset)):
            return self.loaded(c.base, vtype, view, offset)
        inside = np.full(vtype.size, -1, np.int64)
        inside[positions(c.view, c.offset)] = np.arange(math.prod(c.view.shape)).reshape(c.view.shape)
        seen = inside[positions(view, offset)]
        if (seen < 0).all():
            return self.loaded(c.base, vtype, view, offset)
        start, strides = affine(seen)
        if strides is None or (seen < 0).any():
            return c
        item = vtype.dtype.itemsize
        part = View(view.shape, tuple(s * item for s in strides), view.dtype)
        return self.loaded(c.part, made, part, start * item)

    def gathered(self, c, vtype, pos, shape):
        """Elements at positions in memory, `pos` a value of the tape with that shape."""
        if self.is_uniform(c):
            return c
        value = self.value(c, vtype)
        return self.e.op("gather", (value, pos), self.e.array_type(self.e.type(value).dtype, shape))


def _are_apart(a, b):
    return a[1] <= b[0] or b[1] <= a[0]
