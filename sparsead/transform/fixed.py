"""What of a tape depends on no input, computed once.

Law: the values of the tape stay what they are. Simplification folds op by op and stops at memory; here a whole chain of stores of
constants becomes its last version: the linear part of a derivative whose seeds are known.
"""

from __future__ import annotations

import numpy as np

from sparsead.engine.reference import Program
from sparsead.ops.structural import CONST, EMPTY, INPUT, LOAD, ZEROS

CHEAP = (CONST, EMPTY, ZEROS, LOAD)  # a constant in their place would cost memory and save nothing


def precomputed(tape):
    """`tape` with constants in place of what depends on no input; the same object if there is nothing to compute."""
    ops = list(tape)
    fixed = _fixed(tape, ops)
    kept, constants = _needed(tape, ops, fixed)
    if not constants:
        return tape
    first, value = tape.fresh(), np.full(tape.n_values + 1, -1, np.intc)
    first.append(tape, value, chosen=fixed)
    first.outputs = [int(value[v]) for v in constants]
    results = Program(first).run([])
    rest, value = tape.fresh(), np.full(tape.n_values + 1, -1, np.intc)
    for v, result in zip(constants, results, strict=True):
        value[v] = rest.const(result)
    rest.append(tape, value, chosen=kept)
    rest.inputs, rest.outputs = ([int(value[v]) for v in values] for values in (tape.inputs, tape.outputs))
    rest.names = {int(value[v]): name for v, name in tape.names.items() if value[v] >= 0}
    return rest


def _fixed(tape, ops):
    """Flags of the ops that depend on no input."""
    fixed = np.zeros(len(ops), bool)
    for op in ops:
        plain = not op.op.keep and op.op is not INPUT and not op.op.user and not hasattr(op.attr, "bodies")
        fixed[op.index] = plain and all(fixed[tape.maker(v)] for v in op.operands)
    return fixed


def _needed(tape, ops, fixed):
    """(flags of the ops that stay, values that become constants)."""
    kept, wanted, constants = ~fixed, set(tape.outputs), []
    for op in reversed(ops):
        used = [v for v in op.results if v in wanted]
        if fixed[op.index] and used:
            kept[op.index] = op.op in CHEAP
            if not kept[op.index]:
                constants += used
        if kept[op.index]:
            wanted.update(op.operands)
    return kept, constants
