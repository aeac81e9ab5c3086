"""A derivative called on traced values: its tape becomes part of the enclosing trace.

The inner function is recorded on the numbers of the moment, with inputs of its own (so perturbations are never confused);
the tape of its derivative is then appended to the enclosing tape, with the enclosing values as its inputs.
"""

from __future__ import annotations

import numpy as np

from sparsead.tape._memory import address, window
from sparsead.tracing._traced import CURRENT, Traced, TracedArray, concrete_of
from sparsead.tracing.libraries import attributes, bare
from sparsead.tracing.substitution import Replacement, Walk, is_user_object
from sparsead.transform.loops.rewrite import without_effects


def is_nested():
    """Whether a trace is under way."""
    return CURRENT.get() is not None


class NestedInput:
    """An input of a nested tape: a value of the enclosing trace and its number."""

    def __init__(self, trace, value, number):
        self.trace, self.value, self.number = trace, value, number
        self.shape = number.shape


def entered(values):
    """Values as inputs of a program: those of the trace under way are marked, so that its tape becomes part of the trace."""
    trace = CURRENT.get()
    if trace is None:
        return values
    return [NestedInput(trace, _operand(trace, x), np.asarray(concrete_of(x))) if isinstance(x, Traced) else x for x in values]


class Numbers:
    """Plain copies of the enclosing trace's values; arrays that share memory share it in the copies."""

    def __init__(self, trace):
        self.trace = trace
        self._memory = {}  # id of a storage -> (storage, copy of its memory)
        self._plain = {}  # id of a traced value -> (traced value, its number)
        self._traced = {}  # id of a plain array -> traced array

    def of(self, traced):
        """The number of a traced value; the same object for the same value."""
        if id(traced) not in self._plain:
            number = self._array(traced) if isinstance(traced, TracedArray) else traced.concrete
            if traced.dtype.kind not in "fc":
                _guard(traced)
            self._plain[id(traced)] = traced, number
            if isinstance(traced, TracedArray):
                self._traced[id(number)] = traced
        return self._plain[id(traced)][1]

    def traced(self, number):
        """The traced array that plain array `number` stands for; None if there is none."""
        return self._traced.get(id(number))

    def _array(self, traced):
        storage = traced.storage
        if id(storage) not in self._memory:
            copy = np.empty_like(storage.base)
            copy[...] = storage.base
            self._memory[id(storage)] = storage, copy
        copy = self._memory[id(storage)][1]
        c = traced.concrete
        return window(copy, address(c) - address(storage.base), c.shape, c.strides, c.dtype)

    def block_value(self, block, arrays):
        """The enclosing trace's value of the memory of a block."""
        memory = block.memory(arrays)
        traced = self.traced(arrays[block.members[0]])
        if traced is None or traced.home is not self.trace:
            return _operand(self.trace, memory if traced is None else traced)
        copy = self._memory[id(traced.storage)][1]
        offset = address(memory) - address(copy)
        return self.trace.memory_value(traced.storage, offset, memory.shape, memory.strides, memory.dtype)


def call_nested(derivative, bound, work):
    """Record anew on plain numbers, then let `work` run on `NestedInput`s."""
    trace = CURRENT.get()
    numbers = Numbers(trace)
    floats, memo = {}, {}
    for name, value in list(bound.arguments.items()):
        bound.arguments[name] = _plain(value, (("argument", name),), numbers, floats, memo)
    arguments = dict(bound.arguments)
    prepared = derivative._record(bound, _without_enclosing(derivative.function, numbers))
    if prepared.engine != "reference":
        prepared.engine, prepared.fast = "vm", False  # it runs once, in the trace: nothing pays for a compiler
    recording = prepared.recording
    arrays = [leaf.value for leaf in recording.arrays]
    values = [numbers.block_value(block, arrays) for block in recording.blocks]
    values += [_operand(trace, floats.get(leaf.path, leaf.value)) for leaf in recording.floats]
    values += [_operand(trace, traced) for _, traced in recording.imports]
    inputs = [block.memory(arrays) for block in recording.blocks]
    inputs += [np.asarray(leaf.value) for leaf in recording.floats]
    inputs += [np.asarray(traced.concrete) for _, traced in recording.imports]
    return work(prepared, [NestedInput(trace, v, x) for v, x in zip(values, inputs, strict=True)], arguments)


def _guard(traced):
    """Integers and flags are part of the inner tape: the enclosing one is right as long as they are these."""
    if isinstance(traced, TracedArray):
        traced.__array__()
    else:
        int(traced)


def _without_enclosing(function, numbers):
    """`function` with plain copies of the enclosing trace's arrays that it captures: its scratch, its parameters."""
    walk = Walk()
    walk.scan(function, (("function", function),), False)
    plain = {id(t): numbers.of(t) for t in walk.enclosing if isinstance(t, TracedArray)}
    return Replacement(plain, None)(function, (("function", function),)) if plain else function


def _plain(obj, path, numbers, floats, memo):
    """`obj` with the numbers of traced values; what holds none stays the object it is, what is one object stays one."""
    if isinstance(obj, Traced):
        if not isinstance(obj, TracedArray):
            floats[path] = obj
        return numbers.of(obj)
    if id(obj) in memo:
        return memo[id(obj)][1]
    if not _leads_to_traced(obj, {}):
        return obj
    if isinstance(obj, (list, tuple)):
        new = [_plain(x, (*path, ("item", k)), numbers, floats, memo) for k, x in enumerate(obj)]
        made = type(obj)(*new) if hasattr(obj, "_fields") else type(obj)(new)
    elif isinstance(obj, dict):
        made = {k: _plain(x, (*path, ("item", k)), numbers, floats, memo) for k, x in obj.items()}
    else:
        return _plain_object(obj, path, numbers, floats, memo)
    memo[id(obj)] = obj, made
    return made


def _leads_to_traced(obj, seen):
    if isinstance(obj, Traced):
        return True
    if id(obj) in seen:
        return False
    seen[id(obj)] = obj
    if isinstance(obj, (list, tuple)):
        parts = obj
    elif isinstance(obj, dict):
        parts = obj.values()
    else:
        parts = attributes(obj).values() if is_user_object(obj) else ()
    return any(_leads_to_traced(part, seen) for part in parts)


def _plain_object(obj, path, numbers, floats, memo):
    new = bare(type(obj))
    memo[id(obj)] = obj, new
    parts = {name: _plain(x, (*path, ("attribute", name)), numbers, floats, memo) for name, x in attributes(obj).items()}
    for name, x in parts.items():
        object.__setattr__(new, name, x)
    return new


def execute(program, inputs):
    """Run `program`; on inputs of a nested derivative, append its tape to the enclosing trace instead, with its effects."""
    if NestedInput not in map(type, inputs):
        return program.run(inputs)
    trace = next(x.trace for x in inputs if isinstance(x, NestedInput))
    silent = without_effects(program.tape)
    results = (program if silent is program.tape else type(program)(silent)).run([np.asarray(_number(x)) for x in inputs])
    values = [x.value if isinstance(x, NestedInput) else _operand(trace, x) for x in inputs]
    made = trace.inline(program.tape, values)
    return [_wrapped(trace, number, value) for number, value in zip(results, made, strict=True)]


def _number(x):
    return x.number if isinstance(x, NestedInput) else concrete_of(x)


def _operand(trace, x):
    if isinstance(x, Traced):
        return trace.c_order(trace.operand(x))
    x = np.asarray(x)
    return trace.constant_value(np.array(x, order="K") if x.ndim else x[()])


def _wrapped(trace, number, value):
    value = trace.c_order(value)
    return trace.result(np.array(number, order="C") if number.ndim else number[()], value)


__all__ = ["NestedInput", "call_nested", "execute", "is_nested"]
