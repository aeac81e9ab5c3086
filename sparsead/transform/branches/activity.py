"""What of a branch depends on what.

Law: the union over the bodies, as any of them may be the one that is run. The functions are those of
`sparsead.transform.loops.activity`, under the same names.
"""

from __future__ import annotations

from sparsead.transform._activity import reached, useful, varied
from sparsead.transform._simplify import live_values
from sparsead.transform.loops import remembered
from sparsead.transform.loops.activity import fixed_point


def _either(flags_of_bodies):
    """The union of flags, one tuple for each body."""
    return tuple(map(any, zip(*flags_of_bodies, strict=True)))


def _results_by(spread, branch, operands):
    flags = [(spread(body, operands[:-1]), body.outputs) for body in branch.bodies]
    return _either([tuple(bool(found[v]) for v in outputs) for found, outputs in flags])


@remembered
def reached_carries(branch, operands):
    """Flags of the carries that are flagged, or become by some body what is made from flagged operands.

    A carry is of one kind in all bodies, and before the branch as behind it: so this is a fixed point.
    """
    m = branch.carries
    if operands[-1]:
        return (True,) * m
    return fixed_point(lambda carries: _results_by(reached, branch, carries + operands[m:]), operands[:m])


@remembered
def varied_carries(branch, operands):
    """Flags of the results that have a derivative by flagged operands (a tuple of bool)."""
    return _results_by(varied, branch, operands)


@remembered
def useful_operands(branch, operands, results):
    """Flags of the operands from which a flagged result has a derivative; `operands` flags those that vary."""
    flags = [(useful(body, varied(body, operands[:-1]), results), body.inputs) for body in branch.bodies]
    return _either([tuple(bool(found[v]) for v in inputs) for found, inputs in flags]) + (False,)


@remembered
def live_operands(branch, results):
    """Flags of the operands that the flagged results, or guards, are made of."""
    made = [[v for v, used in zip(body.outputs, results, strict=True) if used] for body in branch.bodies]
    flags = [(live_values(body, values), body.inputs) for body, values in zip(branch.bodies, made, strict=True)]
    read = _either([tuple(bool(found[v]) for v in inputs) for found, inputs in flags])
    carries = tuple(a or b for a, b in zip(results, read, strict=False))
    return (*carries, *read[branch.carries :], True)
