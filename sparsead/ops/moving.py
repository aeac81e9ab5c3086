"""Windows that move: loads and stores whose place is computed by the tape, as ``u[k + 1]`` in a loop over k.

Law: the byte offset is that of the op plus, for each index, its value times its step. An index that leaves its limits
raises IndexError, as NumPy does where the function is run.
"""

from __future__ import annotations

from typing import NamedTuple

from sparsead.ops.structural import ACCUMULATE, LOAD, STORE
from sparsead.tape.spec import Op, View, register


class Moving(NamedTuple):
    """A `View` that moves.

    Attributes
    ----------
    view : View
        Its shape, strides and dtype, the same at every place.
    steps : tuple of int
        For each index, the bytes that the window moves when the index grows by one.
    limits : tuple of (int, int)
        For each index, the least value that it may take, and one past the greatest.
    """

    view: View
    steps: tuple[int, ...]
    limits: tuple[tuple[int, int], ...]


def offset(op, indices):
    """Byte offset of the window of `op` (an `OpView` with a `Moving`) at these indices."""
    place = op.imm
    for index, step, (low, high) in zip(indices, op.attr.steps, op.attr.limits, strict=True):
        if not low <= index < high:
            raise out_of_bounds(int(index), low, high, op.line)
        place += int(index) * step
    return place


def out_of_bounds(index, low, high, line):
    """The IndexError for an index that is not from `low` up to `high`, exclusive; `line` is the user's (file, number) or None."""
    at = f" ({line[0]}:{line[1]})" if line else ""
    return IndexError(f"index {index} is out of bounds: it has to be from {low} to {high - 1}{at}")


def _still(op, indices):
    return op._replace(attr=op.attr.view, imm=offset(op, indices))


def _load_at(arrays, op, types):
    return LOAD.evaluate(arrays[:1], _still(op, arrays[1:]), types)


def _store_at(arrays, op, types):
    return STORE.evaluate(arrays[:2], _still(op, arrays[2:]), types)


def _accumulate_at(arrays, op, types):
    return ACCUMULATE.evaluate(arrays[:2], _still(op, arrays[2:]), types)


# Operands: the storage, the value for a store, then the indices, integers without a derivative.
LOAD_AT = register(Op("load_at", 30, _load_at))
STORE_AT = register(Op("store_at", 31, _store_at, consumes=True))
ACCUMULATE_AT = register(Op("accumulate_at", 32, _accumulate_at, consumes=True))
