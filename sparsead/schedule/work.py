"""How much work a run of a schedule is, known before it is run.

The unit is an instruction of a kernel for one point, some 0.3 to 1 ns of the tiled engine. The weights are rounded from
measurements of it.
"""

from __future__ import annotations

from math import prod

from sparsead.schedule.form import Repeat, Scalars, blocks_of, kernels_of

TILE = 60  # what an instruction of a kernel costs apart from its points
NUMBER = 10  # what an instruction on a single number costs


def work_of(block):
    """The work of a block of steps, what is in loops and branches included: of ways the mean."""
    return sum(map(_of_step, block.steps))


def _of_step(step):
    own = sum((prod(kernel.space) + TILE) * len(kernel.instrs) for kernel in kernels_of(step))
    if isinstance(step, Scalars):
        return own + NUMBER * step.count
    blocks = [work_of(block) for block in blocks_of(step)]
    return own + sum(blocks) / max(len(blocks), 1) * (step.trips if isinstance(step, Repeat) else 1)


__all__ = ["work_of"]
