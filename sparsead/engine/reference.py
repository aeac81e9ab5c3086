"""The reference interpreter: plain NumPy, op by op. It defines what a tape means; every other engine is tested against it."""

from __future__ import annotations

from collections import Counter

import numpy as np

from sparsead.ops import registry  # noqa: F401  (fills the table of ops)
from sparsead.ops.structural import storage
from sparsead.tape._memory import blank, laid_out
from sparsead.tape.spec import BY_NAME, raised_by
from sparsead.transform._linear import linearize
from sparsead.transform._split import guards_first

INPUT, CONST = BY_NAME["input"], BY_NAME["const"]
REPEATED = {BY_NAME["loop"], BY_NAME["branch"]}
MAKERS = {BY_NAME[name] for name in ("zeros", "empty", "copy", "cast", "sum", "loop", "branch")}
MEMORY_OPS = {BY_NAME[name] for name in ("load", "store", "accumulate", "gather", "scatter", "scatter_add",
                                         "load_at", "store_at", "accumulate_at")}  # fmt: skip
VIEWS = {BY_NAME["load"], BY_NAME["load_at"]}


class Program:
    """A tape made ready to run: which loads must copy, and when each value is dropped.

    Parameters
    ----------
    tape : Tape
        Any tape; it is made linear first, so that stores may run in place.
    consumed : sequence of int
        Positions of inputs whose memory `run` may take over, for stores and for outputs: the carries of a loop.

    Notes
    -----
    Immutable: many threads may run one program.
    """

    def __init__(self, tape, consumed=()):
        tape = guards_first(tape)
        own = [tape.inputs[position] for position in consumed]
        self.tape = tape = linearize(tape, own)
        self._own = _own_outputs(tape, {tape.inputs[position] for position in consumed})
        self._slots = {v: position for position, v in enumerate(tape.inputs)}
        ops = list(tape)
        last, copied = _lifetimes(tape, ops)
        self._steps = [_step(tape, op, op.results and op.results[0] in copied) for op in ops if op.op is not INPUT]
        dropped: list[list[int]] = [[] for _ in ops]
        for v, k in enumerate(last):
            if k < len(ops):
                dropped[k if k >= 0 else tape.maker(v)].append(v)
        self._dropped = [tuple(dropped[op.index]) for op in ops if op.op is not INPUT]

    def run(self, inputs, out=None):
        """Outputs for `inputs`, which are left alone; no output shares memory with an input or another output.

        `out` are arrays of the outputs' types that are written to, if all guards hold, instead of new ones.

        Raises
        ------
        GuardFailed
            The inputs lead down another path than the one that was traced.
        """
        values = [None] * self.tape.n_values
        for v, position in self._slots.items():
            values[v] = inputs[position]
        with np.errstate(all="ignore"):
            for (evaluate, op, types, base), dropped in zip(self._steps, self._dropped, strict=True):
                arrays = [values[v] for v in op.operands]
                if base is not None:
                    arrays[0] = storage(arrays[0], base)
                try:
                    results = evaluate(arrays, op, types)
                except Exception as error:
                    raise raised_by(error, op.op)  # noqa: B904  (the same one)
                for v, result in zip(op.results, results, strict=True):
                    values[v] = result
                for v in dropped:
                    values[v] = None
        results = [_output(values[v], self.tape.type(v), own) for v, own in zip(self.tape.outputs, self._own, strict=True)]
        if out is None:
            return results
        for array, result in zip(out, results, strict=True):
            array[...] = result
        return out

    def release(self):
        """Nothing is kept from run to run."""


def _output(value, vtype, own):
    if own and isinstance(value, np.ndarray):
        return laid_out(value, vtype.shape, vtype.strides, vtype.dtype)
    return _copied(value, vtype)


def _copied(value, vtype):
    """A copy in the layout that the value's type declares; what NumPy gave may have another."""
    copy = blank(vtype.shape, vtype.strides, vtype.dtype)
    copy[...] = value
    return copy


def _own_outputs(tape, consumed):
    """For each output whether its memory is nobody else's."""
    count = Counter(tape.outputs)
    return [count[v] == 1 and (v in consumed or _makes_memory(tape.op(tape.maker(v)).op)) for v in tape.outputs]


def _makes_memory(op):
    return op in MAKERS or op.consumes or isinstance(getattr(op.elementwise, "ufunc", None), np.ufunc)


def _step(tape, op, copied):
    types = tuple(tape.type(v) for v in op.results)
    if op.op is CONST:
        constant = (op.attr,)
        return lambda arrays, op, types: constant, op, types, None
    base = tape.type(op.operands[0]) if op.op in MEMORY_OPS else None
    evaluate = op.op.evaluate
    if copied:
        return lambda arrays, op, types: (evaluate(arrays, op, types)[0].copy(),), op, types, base
    return evaluate, op, types, base


def _consumed(op):
    """The operands that `op` ends."""
    return op.operands[: op.attr.carries] if op.op in REPEATED else op.operands[: op.op.consumes]


def _lifetimes(tape, ops):
    """Last use of each value, and the loads that may not be views: their memory is overwritten while they are read."""
    last = [-1] * tape.n_values
    ended = [len(ops)] * tape.n_values
    for op in ops:
        for v in op.operands:
            last[v] = op.index
        for v in _consumed(op):
            ended[v] = op.index
    for v in tape.outputs:
        last[v] = len(ops)
    read_until, copied = list(last), set()
    for op in reversed(ops):
        if op.op in VIEWS:
            (view,), base = op.results, op.operands[0]
            if ended[view] < len(ops):
                copied.add(view)
            else:
                read_until[base] = max(read_until[base], read_until[view])
    for op in ops:
        if op.op in VIEWS:
            (view,), base = op.results, op.operands[0]
            overwritten = ended[base]
            # A store reads its operands before it writes, a loop while it writes.
            meanwhile = read_until[view] == overwritten < len(ops) and ops[overwritten].op in REPEATED
            if read_until[view] > overwritten or meanwhile:
                copied.add(view)
            elif view not in copied:
                ended[view] = overwritten
                # A view dies with its base: keep the base as long as it is looked at.
    return last, copied


def run(tape, inputs):
    """``Program(tape).run(inputs)``."""
    return Program(tape).run(inputs)
