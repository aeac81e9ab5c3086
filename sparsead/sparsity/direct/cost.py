"""What running a tape costs, roughly: in additions of numbers that are in the cache.

The weights are rounded from measurements of the tiled engine, on stencils, meshes and losses of 100 to 500 000 unknowns: a unit
is 0.2 to 1.1 ns there, whether entries are computed directly or by colours. A call of a NumPy function costs as much as
thousands of elements.
"""

from __future__ import annotations

import math

from sparsead.tape.spec import ELEMENTWISE

OP = 50  # of a step, whatever its size
CALL = 5000
GATHERED = 2
FUNCTION = 10
ASSEMBLED = 3  # an entry fetched from a compressed matrix
SUBSTITUTED = 12  # an entry that follows from others
ARITHMETIC = {"add", "subtract", "multiply", "negative", "square", "absolute", "select", "maximum", "minimum", "positive", "sign"}
FREE = {"input", "const", "empty", "zeros", "load", "guard"}
WINDOWED = {"store", "accumulate"}
INDEXED = {"gather", "scatter", "scatter_add"}


def cost_of(tape):
    """The cost of running a tape once."""
    return sum(_cost(tape, op) for op in tape)


def _cost(tape, op):
    name = op.op.name
    if name in FREE:
        return 0
    if name in WINDOWED:
        return OP + math.prod(op.attr.shape)
    if name in INDEXED:
        return OP + GATHERED * tape.type(op.operands[-1 if name != "gather" else 1]).size
    if hasattr(op.attr, "bodies"):
        return OP + getattr(op.attr, "trips", 1) * max(map(cost_of, op.attr.bodies))
    size = max((tape.type(v).size for v in (*op.operands, *op.results)), default=0)
    if op.op.code >= ELEMENTWISE:
        return OP + size * (1 if name in ARITHMETIC else FUNCTION)
    return OP + size if name in ("copy", "cast", "sum") else CALL + FUNCTION * size


def cost_of_sweeps(tape, sweeps, entries, substituted=False):
    """The cost of a compressed Jacobian.

    Parameters
    ----------
    tape : Tape
    sweeps : list of (Tape, int)
        Tangents or adjoints of `tape`, with its primal, and the number of seeds of each.
    entries : int
    substituted : bool
        Whether entries are not just read.
    """
    primal = cost_of(tape)
    lanes = sum(n * max(cost_of(sweep) - primal, 0) for sweep, n in sweeps)
    return primal + lanes + (SUBSTITUTED if substituted else ASSEMBLED) * entries
