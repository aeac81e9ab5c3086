"""Shadows of memory: between the arrays that a block of memory consists of, and the block as one input of a tape."""

from __future__ import annotations

import numpy as np

from sparsead.ops.structural import positions
from sparsead.tape._memory import address, laid_out
from sparsead.tape.spec import View
from sparsead.tracing._traced import CURRENT, Traced, concrete_of
from sparsead.tracing.substitution import path_text


def pooled(block, members):
    """The shadow of a block from those of its members; `members` is by their place in the block."""
    if block.whole:
        return next(iter(members.values()))
    if not any(isinstance(shadow, Traced) for shadow in members.values()):
        return block.seed(members)
    memory = CURRENT.get().fresh(np.zeros(block.shape, block.dtype), True)
    for place, shadow in members.items():
        memory[_positions(block, place)] = shadow
    return memory


def extracted(block, memory, place):
    """Member number `place` of a block's memory."""
    if block.whole:
        return memory
    if isinstance(memory, Traced):
        return memory[_positions(block, place)]
    return block.member(laid_out(memory, block.shape, block.strides, block.dtype), place)


def _positions(block, place):
    shape, strides = block.windows[place]
    return positions(View(shape, strides, block.dtype), block.offsets[place])


def check_aligned(block, arrays, shadows, paths):
    """ValueError unless the shadows of arrays that share memory share it in the same way."""
    first, base = concrete_of(arrays[0]), concrete_of(shadows[0])
    for array, shadow, path in zip(arrays[1:], shadows[1:], paths[1:], strict=True):
        x, dx = concrete_of(array), concrete_of(shadow)
        apart = address(x) - address(first)
        if address(dx) - address(base) != apart or dx.strides != x.strides or base.strides != first.strides:
            raise ValueError(
                f"{path_text(paths[0])} and {path_text(path)} share memory, so their shadows have to share it in the same way; "
                "here one element has two shadows"
            )
