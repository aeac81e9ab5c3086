"""A derivative called on traced values: its tape becomes part of the enclosing trace.

The inner function is recorded on the numbers of the moment, with inputs of its own (so perturbations are never confused);
the tape of its derivative is then appended to the enclosing tape, with the enclosing values as its inputs.
"""

from __future__ import annotations

import numpy as np

from sparsead.tracing._traced import CURRENT, Traced, TracedArray, concrete_of


def is_nested():
    """Whether a trace is under way."""
    return CURRENT.get() is not None


def call_nested(derivative, bound, work):
    """Record anew with plain numbers for the traced arguments, then let `work` run on `Inlined` inputs."""
    trace = CURRENT.get()
    originals: dict[tuple, Traced] = {}
    for name, value in list(bound.arguments.items()):
        bound.arguments[name] = _plain(value, (("argument", name),), originals)
    arguments = dict(bound.arguments)
    prepared = derivative._record(bound)
    recording = prepared.recording
    values = [_value(trace, recording, block, originals) for block in recording.blocks]
    values += [trace.operand(originals[leaf.path]) if leaf.path in originals else trace.operand(np.asarray(leaf.value))
               for leaf in recording.floats]  # fmt: skip
    values += [trace.c_order(trace.operand(traced)) for _, traced in recording.imports]
    inputs = [block.memory([leaf.value for leaf in recording.arrays]) for block in recording.blocks]
    inputs += [np.asarray(leaf.value) for leaf in recording.floats]
    inputs += [np.asarray(traced.concrete) for _, traced in recording.imports]
    return work(prepared, [NestedInput(trace, v, x) for v, x in zip(values, inputs, strict=True)], arguments)


class NestedInput:
    """An input of a nested tape: a value of the enclosing trace and its number."""

    def __init__(self, trace, value, number):
        self.trace, self.value, self.number = trace, value, number
        self.shape = number.shape


def _plain(obj, path, originals):
    if isinstance(obj, Traced):
        originals[path] = obj
        return np.array(obj.concrete, order="C") if isinstance(obj, TracedArray) else obj.concrete
    if isinstance(obj, dict):
        return {k: _plain(x, (*path, ("item", k)), originals) for k, x in obj.items()}
    if isinstance(obj, (list, tuple)) and not hasattr(obj, "_fields"):
        return type(obj)(_plain(x, (*path, ("item", k)), originals) for k, x in enumerate(obj))
    return obj


def _value(trace, recording, block, originals):
    leaf = recording.arrays[block.members[0]]
    if leaf.path in originals:
        return trace.c_order(trace.operand(originals[leaf.path]))
    memory = block.memory([leaf.value for leaf in recording.arrays])
    return trace.operand(np.array(memory, order="K"))


def execute(program, inputs):
    """Run `program`; on inputs of a nested derivative, append its tape to the enclosing trace instead."""
    if not any(isinstance(x, NestedInput) for x in inputs):
        return program.run([np.asarray(x) for x in inputs])
    trace = next(x.trace for x in inputs if isinstance(x, NestedInput))
    numbers = program.run([np.asarray(_number(x)) for x in inputs])
    values = [x.value if isinstance(x, NestedInput) else _operand(trace, x) for x in inputs]
    made = trace.inline(program.tape, values)
    return [_wrapped(trace, number, value) for number, value in zip(numbers, made, strict=True)]


def _number(x):
    return x.number if isinstance(x, NestedInput) else concrete_of(x)


def _operand(trace, x):
    if isinstance(x, Traced):
        return trace.c_order(trace.operand(x))
    x = np.asarray(x)
    return trace.constant_value(np.array(x, order="C") if x.ndim else x[()])


def _wrapped(trace, number, value):
    value = trace.c_order(value)
    return trace.result(np.array(number, order="C") if number.ndim else number[()], value)


__all__ = ["NestedInput", "call_nested", "execute", "is_nested"]
