"""What of a loop's body is the same in all trips.

Law: an op that reads neither the trip nor a carry is run once, before the loop, and its result is an invariant. Nothing is
moved past a guard that could fail where the guard would not have let it, and what shows something, or runs a function of the
user, does so in every trip. What costs nothing where it is (a window, memory that the body writes to) stays in the loop.
"""

from __future__ import annotations

import numpy as np

from sparsead.ops.effect import EFFECT
from sparsead.ops.nested import Nested
from sparsead.ops.structural import CONST, COPY, EMPTY, GUARD, INPUT, LOAD, ZEROS
from sparsead.tape.spec import ELEMENTWISE
from sparsead.transform.loops import remembered

STAYS = {INPUT, GUARD, EFFECT}
SAFE = {"zeros", "empty", "load", "store", "accumulate", "copy", "cast", "sum", "reduce", "scan", "linrec", "einsum", "winners"}


@remembered
def hoisted(loop):
    """(what is run before the loop, the body that is left), or None if there is nothing to move.

    The first is a tape of the loop's invariants; its outputs are further invariants of the new body.
    """
    body, ops = loop.body, list(loop.body)
    fixed = _fixed(loop, ops)
    before, inside, crossing = _places(body, ops, fixed)
    return _parted(loop, before, inside, crossing) if crossing else None


def _fixed(loop, ops):
    """Flags of the ops that make the same in all trips and may be run before the loop."""
    same = np.zeros(loop.body.n_values, bool)
    same[loop.body.inputs[1 + loop.carries :]] = True
    flags = np.zeros(len(ops), bool)
    for op in ops:
        stays = op.op in STAYS or op.op.user or getattr(op.attr, "effective", False)
        if not stays and all(same[v] for v in op.operands):
            if op.op is CONST or not loop.guarded or op.op.code >= ELEMENTWISE or op.op.name in SAFE:
                flags[op.index] = True
                same[list(op.results)] = True
    return flags


def _places(body, ops, fixed):
    """(ops before the loop, ops inside, values that cross): each op after all that read it."""
    before, inside = np.zeros(len(ops), bool), np.zeros(len(ops), bool)
    read_before, read_inside, written = (np.zeros(body.n_values, bool) for _ in range(3))
    read_inside[body.outputs] = written[body.outputs] = True
    crossing = []
    for op in reversed(ops):
        results = list(op.results)
        if not fixed[op.index]:
            inside[op.index] = op.op is not INPUT
        else:
            wanted = [v for v in results if read_inside[v]]
            stays = op.op in (CONST, LOAD) or ((op.op.consumes or op.op in (ZEROS, EMPTY, COPY)) and written[results].any())
            inside[op.index] = bool(wanted) and stays
            if not stays:
                crossing += wanted
            before[op.index] = read_before[results].any() or (bool(wanted) and not stays)
        operands = list(op.operands)
        if inside[op.index]:
            read_inside[operands] = True
            written[operands[: op.attr.carries if isinstance(op.attr, Nested) else op.op.consumes]] = True
        if before[op.index]:
            read_before[operands] = True
    return before, inside, crossing[::-1]


def _parted(loop, before, inside, crossing):
    old, m = loop.body, loop.carries
    invariants = old.inputs[1 + m :]
    first, value = old.fresh(), np.full(old.n_values + 1, -1, np.intc)
    for v in invariants:
        value[v] = first.add(INPUT, (), [old.type(v)])[0]
    first.inputs = [int(value[v]) for v in invariants]
    first.append(old, value, chosen=before)
    first.outputs = [int(value[v]) for v in crossing]
    rest, value = old.fresh(), np.full(old.n_values + 1, -1, np.intc)
    for v in old.inputs + crossing:
        value[v] = rest.add(INPUT, (), [old.type(v)])[0]
    rest.inputs = [int(value[v]) for v in old.inputs + crossing]
    rest.append(old, value, chosen=inside)
    rest.outputs = [int(value[v]) for v in old.outputs]
    rest.names = {int(value[v]): name for v, name in old.names.items() if value[v] >= 0}
    return first, rest
