"""Batch of a loop.

Law: the loop of the batch of its body. A carry has lanes if it has them before the loop, or gets them from what has.
"""

from __future__ import annotations

from sparsead.transform._batch import batch
from sparsead.transform._simplify import simplify
from sparsead.transform.loops import remembered
from sparsead.transform.loops.activity import reached_carries


@remembered
def batched_loop(loop, operands, lanes):
    """(loop, flags of the carries that have lanes); `operands` flags those that have them (a tuple of bool)."""
    carries = reached_carries(loop, operands)
    inputs = [1 + i for i, flag in enumerate(carries + operands[loop.carries :]) if flag]
    body = batch(loop.body, inputs, lanes, [c for c, flag in enumerate(carries) if flag])
    return loop.replaced(simplify(body), loop.carries), carries
