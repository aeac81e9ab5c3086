"""What of a loop depends on what.

Law: the least fixed point through the body. A carry depends if it does so before the loop, or if the body makes it from
what depends; it is useful if it is so after the loop, or if the body makes something useful of it.
"""

from __future__ import annotations

from sparsead.transform._activity import reached, useful, varied
from sparsead.transform.loops import remembered


def fixed_point(grown, flags):
    """The least flags, from `flags` on, to which ``grown(flags)`` adds nothing."""
    while True:
        more = tuple(a or b for a, b in zip(flags, grown(flags), strict=True))
        if more == flags:
            return flags
        flags = more


def _carries_by(spread, loop, operands):
    def grown(carries):
        flags = spread(body, (False, *carries, *operands[loop.carries :]))
        return [bool(flags[v]) for v in body.outputs]

    body = loop.body
    return fixed_point(grown, operands[: loop.carries])


@remembered
def reached_carries(loop, operands):
    """Flags of the carries that depend on flagged operands (a tuple of bool), after any number of trips."""
    return _carries_by(reached, loop, operands)


@remembered
def varied_carries(loop, operands):
    """The same for dependence by a derivative."""
    return _carries_by(varied, loop, operands)


@remembered
def useful_operands(loop, operands, results):
    """Flags of the operands from which a flagged result has a derivative; `operands` flags those that vary."""
    body, last = loop.body, 1 + loop.carries
    varying = varied(body, (False, *varied_carries(loop, operands), *operands[loop.carries :]))

    def flags_at_head(carries):
        flags = useful(body, varying, carries)
        return [bool(flags[v]) for v in body.inputs]

    carries = fixed_point(lambda carries: flags_at_head(carries)[1:last], results)
    return carries + tuple(flags_at_head(carries)[last:])
