"""Adjoint of a branch.

Law: a branch by the same number over the adjoints of the bodies. It carries the adjoints of the carries, and those of the
invariants, to which a body adds in place. A body computes again, from the operands that the branch had, what its reverse
sweep reads: so the branch itself keeps nothing, and what it overwrites of those operands is kept.
"""

from __future__ import annotations

from typing import NamedTuple

from sparsead.ops.branch import Branch
from sparsead.transform._adjoint import adjoint
from sparsead.transform._simplify import simplify
from sparsead.transform.branches.activity import useful_operands
from sparsead.transform.loops import remembered
from sparsead.transform.loops.adjoint import zeros_made
from sparsead.transform.loops.rewrite import without_guards


class BranchAdjoint(NamedTuple):
    """The adjoint of a branch.

    Attributes
    ----------
    reverse : Branch
        Carries: the adjoints of the carries `seeds` and of the invariants `shadows`. Invariants: the adjoints of the results
        `ends`, then `reads`, of which the last says which body is run.
    seeds, shadows, ends, reads : list of int
        Positions among the operands or results of the branch.
    zero_kind : int
        Structural zeros that its adjoints may have.
    """

    reverse: Branch
    seeds: list[int]
    shadows: list[int]
    ends: list[int]
    reads: list[int]
    zero_kind: int


@remembered
def adjoint_of_branch(branch, operands, results, zero_kind):
    """The `BranchAdjoint` of `branch`; parameters are those of `adjoint_of_loop`."""
    m, which = branch.carries, len(operands) - 1
    useful = useful_operands(branch, operands, results)
    wanted = [i for i in range(which) if operands[i] and useful[i]]
    seeds, shadows = [i for i in wanted if i < m], [i for i in wanted if i >= m]
    of = [c for c in range(m) if results[c]]
    ends = [c for c in of if c not in seeds]
    bodies = [_reverse(body, seeds, shadows, of, ends, zero_kind) for body in branch.bodies]
    first = len(wanted) + len(ends)
    read = {v for body in bodies for v in _read_inputs(body)}
    reads = [i for i in range(which) if first + i in read]
    for body in bodies:
        body.inputs = body.inputs[:first] + [body.inputs[first + i] for i in reads]
    reverse = Branch([simplify(body) for body in bodies], len(wanted))
    return BranchAdjoint(reverse, seeds, shadows, ends, [*reads, which], max(zero_kind, zeros_made(branch)))


def _reverse(body, seeds, shadows, of, ends, zero_kind):
    """The reverse sweep of one body, with the sweep before it as far as it reads it. Inputs: adjoints, then those of the body."""
    incoming = [c for c in seeds if c not in of] + shadows
    tape, _ = adjoint(without_guards(body), seeds + shadows, of, incoming, zero_kind=zero_kind)
    n = len(body.inputs)
    of_results = dict(zip(of, tape.inputs[n:], strict=False))
    of_operands = dict(zip(incoming, tape.inputs[n + len(of) :], strict=True))
    bars = {**of_results, **of_operands}
    tape.inputs = [bars[i] for i in seeds + shadows + ends] + tape.inputs[:n]
    tape.outputs = tape.outputs[len(body.outputs) :]
    return simplify(tape)


def _read_inputs(body):
    """Positions of the inputs that ops of `body` read."""
    read = {v for op in body for v in op.operands}
    return [position for position, v in enumerate(body.inputs) if v in read]
