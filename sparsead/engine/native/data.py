"""Arrays and numbers as static data in C."""

from __future__ import annotations

import math

import numpy as np

from sparsead.engine.native.kernels import TYPES
from sparsead.tape._memory import window

PER_LINE = 8
BITS = {1: "uint8_t", 2: "uint16_t", 4: "uint32_t", 8: "uint64_t"}


def literal(x, char):
    """A number of the type that NumPy calls `char`, exactly."""
    if char in "df":
        x = float(x)
        if math.isnan(x):
            return "-" * (math.copysign(1, x) < 0) + '__builtin_nan("")'
        if math.isinf(x):
            return "-" * (x < 0) + "__builtin_inf()"
        return float.hex(x) if x != int(x) or abs(x) > 1e15 else f"{x:.1f}"
    x = int(x)
    if char in "lq" and x == -(2**63):
        return "INT64_MIN"
    return f"{x}{'u' if char in 'ILQ' else ''}{'ll' if abs(x) > 2**31 - 1 else ''}"


def memory_of(array, nbytes):
    """The memory of an array, as one axis."""
    item = array.dtype.itemsize
    return window(array, 0, (nbytes // item,), (item,), array.dtype) if array.size else array.reshape(-1)


class Data:
    """Static tables of a source, each of them once.

    Attributes
    ----------
    texts : list of str
    """

    def __init__(self):
        self.texts, self.known = [], {}

    def table(self, ctype, values):
        """The name of an array of these C expressions; ``0`` if there are none."""
        values = tuple(map(str, values))
        if not values:
            return "0"
        key = ctype, values
        if key not in self.known:
            name = self.known[key] = f"table_{len(self.known)}"
            self.texts.append(declared(f"static {ctype} {name}[]", values))
        return self.known[key]

    def array(self, array, nbytes=None):
        """The name of an array with the memory of `array`."""
        char, memory = array.dtype.char, memory_of(array, array.nbytes if nbytes is None else nbytes)
        values = [literal(x, char) for x in memory.tolist()] or ["0"]
        return self.table(f"const {TYPES[char]}", values)

    def number(self, number):
        """Where a number is, as a ``char *``."""
        array = np.asarray(number)
        return f"(char *){self.array(array.reshape(1))}"

    def bytes(self, array):
        """Where bytes are, aligned for any number, as a ``char *``."""
        padded = np.zeros(-(-array.nbytes // 8), np.uint64)
        padded.view(np.uint8)[: array.nbytes] = array.view(np.uint8)
        return f"(char *){self.table('const uint64_t', [f'{x:#x}' for x in padded.tolist()])}"


def declared(head, values):
    """``head = {values};``, some of them in a line."""
    rows = [", ".join(values[k : k + PER_LINE]) for k in range(0, len(values), PER_LINE)]
    if len(rows) == 1:
        return f"{head} = {{{rows[0]}}};"
    return "\n".join([f"{head} = {{", *(f"    {row}," for row in rows), "};"])
