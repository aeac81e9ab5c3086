"""Reads of memory that nobody has written.

Law: whether an element is undefined moves as the element does. So the ops that move elements are run on flags instead of
numbers; any other op that is given an undefined element computes with it. What cannot be known from the tape alone (the
elements that a computed index names, the side that a select takes) counts as defined: what is reported is certain.
"""

from __future__ import annotations

import numpy as np

from sparsead.ops.structural import CONST, EMPTY
from sparsead.tape._memory import blank
from sparsead.tape._tape import ValueType
from sparsead.tape.spec import BY_NAME, View
from sparsead.transform._linear import copies_needed

BOOL = np.dtype(bool)
MOVES = {"load", "store", "gather", "scatter", "copy", "cast", "stop_gradient"}
READ_BY = {"accumulate": "load", "scatter_add": "gather"}  # how they read what they add to
INDEXED = {"gather", "scatter", "scatter_add"}
UNKNOWN = {"load_at", "store_at", "accumulate_at", "loop", "branch"}


def undefined_reads(tape, skeleton):
    """Numbers of the ops of `tape` that compute with undefined elements; each with what is wrong."""
    if EMPTY.code in skeleton.code:
        yield from _Flags(tape).reads(skeleton)


class _Flags:
    """Which elements are undefined: for each value that may have such, a bool array in the value's memory layout."""

    def __init__(self, tape):
        self.tape, self.flags = tape, {}
        self.copies = {k for k, _ in copies_needed(tape)}

    def reads(self, skeleton):
        for k, code in enumerate(skeleton.code):
            if code == EMPTY.code:
                z = skeleton.out[k]
                self.flags[z] = _laid(True, self._type(z))
            elif any(v in self.flags for v in skeleton.operands(k)):
                yield from self._follow(self.tape.op(k))

    def _follow(self, op):
        name = op.op.name
        if self._is_unknown(op):
            pass
        elif name in MOVES:
            self._put(op, self._moved(op, self._type(op.results[0])))
        elif name in READ_BY:
            yield from self._added(op)
        elif name == "select":
            self._put(op, self._of(op.operands[1]) & self._of(op.operands[2]))
        elif all(self._type(z).size for z in op.results):
            for v in op.operands:
                yield from _fault(op, v, self.flags.get(v))

    def _is_unknown(self, op):
        """Whether the tape does not tell which elements the op reads or writes, or tells parts of elements."""
        if op.op.name in UNKNOWN:
            return True
        if isinstance(op.attr, View):
            return op.attr.dtype != self.tape.type(op.operands[0]).dtype
        return op.op.name in INDEXED and self._maker(op.operands[1]).op is not CONST

    def _added(self, op):
        *read, v = op.operands
        reader = op._replace(op=BY_NAME[READ_BY[op.op.name]], operands=read)
        yield from _fault(op, read[0], self._moved(reader, self._type(v)))
        yield from _fault(op, v, self.flags.get(v))
        self._put(op, self._base(op))

    def _moved(self, op, t):
        """The flags of the result, of type `t`: the op itself, run on flags."""
        arrays = [self._base(op), *map(self._of, op.operands[1:])]
        if op.op.name in INDEXED:
            arrays[1] = self._maker(op.operands[1]).attr
        if isinstance(op.attr, View):
            item = op.attr.dtype.itemsize
            op = op._replace(attr=View(op.attr.shape, tuple(s // item for s in op.attr.strides), BOOL), imm=op.imm // item)
        return op.op.evaluate(arrays, op, [t])[0]

    def _base(self, op):
        """Flags of the first operand, to be changed by the op if it ends that operand."""
        flags = self._of(op.operands[0])
        return flags.copy("K") if op.op.consumes and op.index in self.copies else flags

    def _of(self, v):
        return self.flags[v] if v in self.flags else _laid(False, self._type(v))

    def _put(self, op, flags):
        (z,) = op.results
        if op.op.consumes:
            self.flags[z] = flags
        elif np.any(flags):  # no flags: all is defined
            self.flags[z] = _laid(flags, self._type(z))

    def _maker(self, v):
        return self.tape.op(self.tape.maker(v))

    def _type(self, v):
        """The type of the flags of `v`."""
        t = self.tape.type(v)
        return ValueType(-1, BOOL, t.shape, tuple(s // t.dtype.itemsize for s in t.strides))


def _laid(flags, t):
    fresh = blank(t.shape, t.strides, BOOL)
    fresh[...] = flags
    return fresh


def _fault(op, v, flags):
    if np.any(flags):
        yield op.index, f"it reads {np.count_nonzero(flags)} elements of %{v} that were never written"
