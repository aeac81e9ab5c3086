"""Batch of a branch.

Law: the branch of the batches of its bodies. A carry has lanes if it has them before the branch, or gets them in some body.
"""

from __future__ import annotations

from sparsead.transform._batch import batch
from sparsead.transform._simplify import simplify
from sparsead.transform.branches.activity import reached_carries
from sparsead.transform.loops import remembered


@remembered
def batched_branch(branch, operands, lanes):
    """(branch, flags of the carries that have lanes); `operands` flags those that have them (a tuple of bool)."""
    if operands[-1]:
        raise TypeError("a choice among bodies may not depend on a seed")
    carries = reached_carries(branch, operands)
    inputs = [i for i, flag in enumerate(carries + operands[branch.carries :]) if flag]
    outputs = [c for c, flag in enumerate(carries) if flag]
    return branch.mapped(lambda body: simplify(batch(body, inputs, lanes, outputs))), carries
